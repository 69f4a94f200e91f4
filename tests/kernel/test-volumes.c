/*
 * Volumes against a tenant who changes them meanwhile: what is mounted of a volume is inside it
 * (VO-01), what is taken down is the pod's own (VO-08), and nothing of it is open to others.
 */
#include "kubelet/volumes.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/atomic-writer.h"
#include "kubelet/pod-observe.h"
#include "kubelet/volume-host-path.h"
#include "kubelet/volume-sub-path.h"
#include "tests/check.h"
#include "tests/kernel/volume-folder.h"
#include "tests/unit/pod-fixture.h"

#define POD_DIR "root/pods/u1"
#define VOLUME  POD_DIR "/volumes/kubernetes.io~empty-dir/v"

enum { ATTEMPTS = 4000 };

static void enter(void)
{
        umask(022);
        volume_folder_enter("test-volumes");
        CHECK_INT(mkdir(path_of("outside"), 0755), 0);
        CHECK_INT(mkdir(path_of("outside/t"), 0755), 0);
        CHECK_INT(mknod(path_of("outside/t/canary"), S_IFREG | 0600, 0), 0);
}

static bool is_there(const char *name)
{
        struct stat st;

        return lstat(path_of(name), &st) == 0;
}

static mode_t mode_of(const char *name)
{
        struct stat st;

        CHECK_INT(lstat(path_of(name), &st), 0);
        return st.st_mode & 07777;
}

/* ---- subPath ---- */

static int volume_and_root(void)
{
        int root;

        enter();
        CHECK_INT(mkdir(path_of("volume"), 0777), 0);
        CHECK_INT(chmod(path_of("volume"), 0777), 0);
        CHECK_INT(mkdir(path_of("root"), 0750), 0);
        root = open(path_of("root"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(root >= 0);
        return root;
}

static int bind_sub_path(const char *sub_path, int root, const char *place)
{
        _cleanup_err_ struct err err = { 0 };
        int r = sub_path_bind(path_of("volume"), sub_path, root, place, "v", "c", &err);

        /* it goes into the pod's status: no path of the host's */
        CHECK(r == 0 || !strstr(err_text(&err), volume_folder()));
        return r;
}

/* Exchanges volume/d and a link that leads to @target, until it is killed. */
static pid_t start_racer(const char *target)
{
        pid_t pid;

        CHECK_INT(mkdir(path_of("volume/d"), 0777), 0);
        CHECK_INT(mkdir(path_of("volume/d/t"), 0777), 0);
        CHECK_INT(symlink(target, path_of("volume/link")), 0);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                int fd = open(path_of("volume"), O_PATH | O_DIRECTORY | O_CLOEXEC);

                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a check that fails does not come to stop it */
                for (;;)
                        syscall(SYS_renameat2, fd, "d", fd, "link", 2 /* EXCHANGE */);
        }
        return pid;
}

static void race(const char *target, const char *sub_path, bool make)
{
        _cleanup_close_ int root = volume_and_root();
        unsigned inside = 0, n = 0;
        pid_t racer = start_racer(target);

        for (; n < ATTEMPTS || (inside == 0 && n < 50 * ATTEMPTS); n++) {
                if (bind_sub_path(sub_path, root, "place/0") < 0)
                        continue;
                inside++;
                CHECK(!is_there("root/place/0/canary"));
                CHECK_INT(umount2(path_of("root/place/0"), MNT_DETACH), 0);
                if (make) {
                        unlinkat(AT_FDCWD, path_of("volume/d/n"), AT_REMOVEDIR);
                        unlinkat(AT_FDCWD, path_of("volume/link/n"), AT_REMOVEDIR);
                }
        }
        kill(racer, SIGKILL);
        waitpid(racer, NULL, 0);
        printf("             %u of %u inside, none outside\n", inside, n);
        CHECK(inside > 0 && inside < n); /* or there was no race */
        CHECK(!is_there("outside/n"));
        CHECK(is_there("outside/t/canary"));
}

TEST(a_sub_path_under_a_racing_folder_is_mounted_from_within_the_volume)
{
        race(path_of("outside"), "d/t", false);
        race("../outside", "d/t", false);
}

TEST(a_missing_sub_path_is_made_within_the_volume_only)
{
        race(path_of("outside"), "d/n", true);
}

TEST(a_link_in_a_volume_is_followed_within_it_and_not_out)
{
        _cleanup_close_ int root = volume_and_root();

        CHECK_INT(mkdir(path_of("volume/real"), 0777), 0);
        CHECK_INT(mknod(path_of("volume/real/mine"), S_IFREG | 0600, 0), 0);
        CHECK_INT(symlink("real", path_of("volume/within")), 0);
        CHECK_INT(symlink(path_of("outside"), path_of("volume/absolute")), 0);
        CHECK_INT(symlink("../outside/t", path_of("volume/up")), 0);
        CHECK_INT(symlink("/proc/self/root", path_of("volume/magic")), 0);
        CHECK_INT(symlink("nowhere", path_of("volume/dangling")), 0);

        CHECK_INT(bind_sub_path("within", root, "place/0"), 0);
        CHECK(is_there("root/place/0/mine"));
        CHECK(bind_sub_path("absolute", root, "place/1") < 0);
        CHECK(bind_sub_path("absolute/t", root, "place/1") < 0);
        CHECK(bind_sub_path("up", root, "place/1") < 0);
        CHECK(bind_sub_path("magic", root, "place/1") < 0);
        CHECK(bind_sub_path("magic/etc", root, "place/1") < 0);
        CHECK(bind_sub_path("dangling/x", root, "place/1") < 0);
        CHECK(bind_sub_path("../outside", root, "place/1") < 0);
        CHECK(bind_sub_path("/etc", root, "place/1") < 0);
        CHECK(!is_there("root/place/1/canary"));
}

TEST(a_sub_path_may_be_a_file_and_one_that_is_made_is_like_its_volume)
{
        _cleanup_close_ int root = volume_and_root();
        struct stat st;

        CHECK_INT(mknod(path_of("volume/file"), S_IFREG | 0640, 0), 0);
        CHECK_INT(bind_sub_path("file", root, "place/0"), 0);
        CHECK_INT(stat(path_of("root/place/0"), &st), 0);
        CHECK(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640);
        CHECK_INT(bind_sub_path("new/er", root, "place/1"), 0);
        CHECK_INT(mode_of("volume/new/er"), 0777);
        CHECK_INT(mode_of("root/place"), 0750);
}

/* ---- hostPath ---- */

static void on_host_path_checked(const char *problem, void *userdata)
{
        snprintf(userdata, 512, "%s", problem ? problem : "");
}

static const char *check_host_path(const char *path, const char *type)
{
        _cleanup_(sd_event_unrefp)
        sd_event *event = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct host_path_check *check;
        static char answer[512];

        snprintf(answer, sizeof answer, "?");
        CHECK(sd_event_new(&event) >= 0);
        CHECK_INT(host_path_check_new(event, path_of(path), type, on_host_path_checked, answer,
                                      &check, &err),
                  0);
        while (answer[0] == '?')
                CHECK(sd_event_run(event, USEC_PER_SEC) >= 0);
        host_path_check_free(check);
        return answer;
}

/* What is there is told apart without being opened: a FIFO holds nobody up (VO-06). */
TEST(a_host_path_is_of_its_type_or_made)
{
        enter();
        umask(077);
        CHECK_INT(mknod(path_of("fifo"), S_IFIFO | 0600, 0), 0);
        CHECK_INT(symlink("outside", path_of("link")), 0);
        CHECK_STR(check_host_path("outside", "Directory"), "");
        CHECK_STR(check_host_path("link", "Directory"), "");
        CHECK_STR(check_host_path("outside/t/canary", "File"), "");
        CHECK_CONTAINS(check_host_path("outside", "File"), "is not a file");
        CHECK_CONTAINS(check_host_path("fifo", "File"), "is not a file");
        CHECK_CONTAINS(check_host_path("fifo", "FileOrCreate"), "is not a file");
        CHECK_CONTAINS(check_host_path("nowhere", "Directory"), "is not a directory");
        CHECK_STR(check_host_path("made/deep", "DirectoryOrCreate"), "");
        CHECK_INT(mode_of("made/deep"), 0755);
        CHECK_STR(check_host_path("made/file", "FileOrCreate"), "");
        CHECK_INT(mode_of("made/file"), 0644);
}

/* ---- the termination message ---- */

static char *message(const char *name)
{
        return termination_message_read(path_of(name), false, NULL, 1);
}

TEST(a_termination_message_is_read_from_a_file_of_its_own_and_bounded)
{
        _cleanup_free_ char *plain = NULL, *sparse = NULL, *log = NULL;

        enter();
        CHECK_INT(fs_replace_at(AT_FDCWD, path_of("plain"), "why", 3, 0666, false), 0);
        plain = message("plain");
        CHECK_STR(plain, "why");
        CHECK_INT(mknod(path_of("fifo"), S_IFIFO | 0600, 0), 0);
        CHECK_INT(symlink("plain", path_of("link")), 0);
        CHECK(!message("fifo"));
        CHECK(!message("link"));
        CHECK(!message("outside"));
        CHECK(!message("nowhere"));
        CHECK_INT(mknod(path_of("zero"), S_IFCHR | 0666, makedev(1, 5)), 0);
        CHECK(!message("zero"));
        CHECK_INT(link(path_of("plain"), path_of("second")), 0);
        CHECK(!message("second"));
        CHECK_INT(fs_replace_at(AT_FDCWD, path_of("sparse"), "x", 1, 0666, false), 0);
        CHECK_INT(truncate(path_of("sparse"), 1L << 40), 0);
        sparse = message("sparse"); /* 4 KiB of NULs: no text */
        CHECK(!sparse);
        log = termination_message_read(NULL, true, path_of("second"), 1);
        CHECK(!log);
}

/* ---- a pod's folder ---- */

struct world {
        sd_event *event;
        struct volumes *volumes;
        struct pod_volumes *pod;
};

static void on_allocatable(struct node_allocatable *ret, _unused_ void *userdata)
{
        *ret = (struct node_allocatable){ .memory_bytes = 1 << 30 };
}

static void on_nothing(_unused_ void *userdata)
{
}

static void on_event(_unused_ bool is_warning, const char *reason, const char *message,
                     _unused_ void *userdata)
{
        fail_msg("%s: %s", reason, message);
}

static void start_volumes(struct world *w)
{
        const struct volumes_options options = { .root_dir = path_of("root"),
                                                 .private_dir = path_of("private"),
                                                 .allocatable = on_allocatable };
        _cleanup_err_ struct err err = { 0 };

        if (volumes_new(w->event, &options, &w->volumes, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void begin(struct world *w)
{
        const struct pod_volumes_ops ops = { on_nothing, on_event };
        _cleanup_err_ struct err err = { 0 };
        struct pod *pod;

        enter();
        umask(077);
        *w = (struct world){ 0 };
        CHECK(sd_event_new(&w->event) >= 0);
        start_volumes(w);
        pod = pod_of("{'containers':[{'name':'c','image':'i','volumeMounts':["
                     "{'name':'v','mountPath':'/v'},{'name':'d','mountPath':'/d'},"
                     "{'name':'m','mountPath':'/m'}]}],"
                     "'volumes':[{'name':'v','emptyDir':{}},{'name':'m','emptyDir':{'medium':"
                     "'Memory'}},{'name':'d','downwardAPI':{'items':[{'path':'name','fieldRef':"
                     "{'fieldPath':'metadata.name'}}]}}]}",
                     NULL);
        if (pod_volumes_new(w->volumes, pod, &ops, NULL, &w->pod, &err) < 0)
                fail_msg("%s", err_text(&err));
        pod_unref(pod);
        CHECK(pod_volumes_are_ready(w->pod));
}

static void finish(struct world *w)
{
        pod_volumes_free(w->pod);
        volumes_free(w->volumes);
        sd_event_unref(w->event);
}

static void take_down(struct world *w)
{
        _cleanup_err_ struct err err = { 0 };

        if (pod_volumes_teardown(w->pod, &err) < 0)
                fail_msg("%s", err_text(&err));
}

/* Nobody but root gets beyond the first folders, whatever modes are below them (UN-09, VO-10). */
TEST(a_pod_s_folders_are_closed_to_others_and_what_skiffd_writes_is_in_memory)
{
        struct world w;
        struct statfs fs;

        begin(&w);
        CHECK_INT(mode_of("root/pods") & 07, 0);
        CHECK_INT(mode_of(POD_DIR) & 07, 0);
        CHECK_INT(mode_of("private") & 077, 0);
        CHECK_INT(mode_of("private/volumes"), 0700);
        CHECK_INT(mode_of("root/skiff-trash"), 0700);
        CHECK_INT(mode_of(VOLUME), 0777);
        CHECK_INT(mode_of("private/volumes/u1/d/name"), 0777); /* a link, through ..data */
        CHECK_INT(statfs(path_of("private/volumes"), &fs), 0);
        CHECK_INT(fs.f_type, 0x01021994); /* TMPFS_MAGIC */
        take_down(&w);
        CHECK(!is_there("private/volumes/u1"));
        finish(&w);
}

TEST(taking_a_pod_down_leaves_what_was_mounted_into_it)
{
        struct world w;

        begin(&w);
        CHECK_INT(mkdir(path_of(VOLUME "/a"), 0777), 0);
        CHECK_INT(mount(path_of("outside"), path_of(VOLUME "/a"), NULL, MS_BIND, NULL), 0);
        CHECK_INT(symlink(path_of("outside/t"), path_of(VOLUME "/link")), 0);
        take_down(&w);
        CHECK(!is_there(POD_DIR));
        CHECK(is_there("outside/t/canary"));
        finish(&w);
}

/* Removing never crosses a mount, also one that nobody knew of (VO-08). */
TEST(removing_stops_at_a_mount)
{
        struct world w;

        begin(&w);
        CHECK_INT(mkdir(path_of(VOLUME "/a"), 0777), 0);
        CHECK_INT(mkdir(path_of(VOLUME "/a/b"), 0777), 0);
        CHECK_INT(mount(path_of("outside"), path_of(VOLUME "/a/b"), NULL, MS_BIND, NULL), 0);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, path_of(VOLUME)), -EBUSY);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, path_of(VOLUME "/a/b")), -EBUSY);
        CHECK(is_there("outside/t/canary"));
        take_down(&w);
        CHECK(is_there("outside/t/canary"));
        finish(&w);
}

static void wait_for_empty_trash(struct world *w)
{
        for (int n = 0; n < 1000; n++) {
                _cleanup_strv_ char **names = NULL;

                CHECK_INT(fs_list_at(AT_FDCWD, path_of("root/skiff-trash"), &names), 0);
                if (!names)
                        return;
                CHECK(sd_event_run(w->event, 10 * USEC_PER_MSEC) >= 0);
        }
        fail_msg("the trash is not emptied");
}

static void fill(const char *folder)
{
        CHECK_INT(mkdir(path_of(folder), 0777), 0);
        for (int n = 0; n < 1000; n++) {
                char name[200];

                snprintf(name, sizeof name, "%s/%d", folder, n);
                CHECK_INT(mknod(path_of(name), S_IFREG | 0600, 0), 0);
        }
}

/* Millions of files are not to hold up the loop: they are out of the way at once, and go later. */
TEST(what_a_large_pod_leaves_goes_in_the_background)
{
        _cleanup_strv_ char **names = NULL;
        struct world w;

        begin(&w);
        fill(VOLUME "/many");
        take_down(&w);
        CHECK(!is_there(POD_DIR));
        CHECK_INT(fs_list_at(AT_FDCWD, path_of("root/skiff-trash"), &names), 0);
        CHECK_INT(strv_len(names), 1);
        wait_for_empty_trash(&w);
        finish(&w);
}

TEST(what_was_left_in_the_trash_goes_at_the_next_start)
{
        struct world w;

        begin(&w);
        pod_volumes_free(w.pod);
        volumes_free(w.volumes);
        w.pod = NULL;
        fill("root/skiff-trash/left");
        start_volumes(&w);
        wait_for_empty_trash(&w);
        finish(&w);
}

/* Links are themselves changed, not what they lead to; a submount is somebody else's (VO-07). */
TEST(the_group_of_a_volume_is_set_on_its_own_entries_only)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        enter();
        CHECK_INT(mkdir(path_of("volume"), 0777), 0);
        CHECK_INT(mkdir(path_of("volume/d"), 0700), 0);
        CHECK_INT(mknod(path_of("volume/d/file"), S_IFREG | 0600, 0), 0);
        CHECK_INT(symlink(path_of("outside/t/canary"), path_of("volume/link")), 0);
        CHECK_INT(symlink(path_of("outside"), path_of("volume/d/link")), 0);
        fd = open(path_of("volume"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        volume_set_group(fd, 4711, false);
        CHECK_INT(stat(path_of("volume/d/file"), &st), 0);
        CHECK_INT(st.st_gid, 4711);
        CHECK_INT(st.st_mode & 07777, 0660);
        CHECK_INT(lstat(path_of("volume/link"), &st), 0);
        CHECK_INT(st.st_gid, 4711);
        for (size_t i = 0; i < 3; i++) {
                static const char *const canaries[] = { "outside", "outside/t",
                                                        "outside/t/canary" };

                CHECK_INT(stat(path_of(canaries[i]), &st), 0);
                CHECK_INT(st.st_gid, 0);
                CHECK_INT(st.st_mode & 077, i < 2 ? 055 : 0);
        }
}
