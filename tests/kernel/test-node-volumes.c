/*
 * What drivers mount, step by step and over a restart: a driver of the test's own that answers as
 * it is told, then local and nfs for real. A stand-in for mount.nfs mounts a tmpfs: what is tried
 * is that mount(8) is run with the right words, and what becomes of its failure.
 */
#include "kubelet/node-volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/volume-local.h"
#include "kubelet/volume-nfs.h"
#include "kubelet/volume-sub-path.h"
#include "tests/check.h"
#include "tests/kernel/volume-folder.h"
#include "tests/unit/pod-fixture.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)
#define FAKE_NFS      "/sbin/mount.nfs"

/* ---- a driver that does what it is told ---- */
struct fake {
        struct strbuf said;     /* "publish pv1/u1 " … */
        int must_attach, fails; /* fails: the step that does, + 1 */
        char staged[32];        /* found staged at the start; "" */
};

static const char *const step_names[] = { "attach", "stage", "publish", "unpublish", "unstage" };

static int fake_start(void *driver, const struct volume_request *q, _unused_ volume_done_fn done,
                      _unused_ void *userdata, _unused_ void **ret_work,
                      _unused_ struct volume_result *ret, struct err *err)
{
        struct fake *f = driver;

        strbuf_addf(&f->said, "%s%s%s ", step_names[q->step], q->pod_uid ? ":" : "",
                    q->pod_uid ? q->pod_uid : "");
        if (f->fails == (int)q->step + 1)
                return err_set(err, -EIO, "no luck");
        if (q->step == VOLUME_PUBLISH)
                CHECK_INT(mkdir(q->target, 0755), 0);
        if (q->step == VOLUME_UNPUBLISH && rmdir(q->target) < 0)
                CHECK_INT(errno, ENOENT);
        return 1;
}

static void fake_cancel(_unused_ void *work)
{
}

static int fake_name(_unused_ void *driver, const struct volume_spec *spec,
                     _unused_ const char *uid, char **ret, _unused_ struct err *err)
{
        *ret = text_printf("fake/%s", spec->name);
        return 0;
}

static int fake_must_attach(void *driver, _unused_ const struct volume_spec *spec,
                            _unused_ struct err *err)
{
        return ((struct fake *)driver)->must_attach;
}

static int fake_staged(void *driver, char ***ret, _unused_ struct err *err)
{
        struct fake *f = driver;

        return f->staged[0] ? strv_append(ret, f->staged) : 0;
}

static const struct volume_driver fake_driver = {
        .plugin = "fake",
        .dir = "fake",
        .leaf = "mount",
        .has_stage = true,
        .unique_name = fake_name,
        .must_attach = fake_must_attach,
        .list_staged = fake_staged,
        .start = fake_start,
        .cancel = fake_cancel,
};

/* ---- the world ---- */
struct world {
        sd_event *event;
        struct node_volumes *volumes;
        struct fake fake;
        unsigned n_in_use; /* how often it changed */
        char last_event[1024];
};

static void on_in_use(void *userdata)
{
        ((struct world *)userdata)->n_in_use++;
}

static void on_changed(_unused_ void *userdata)
{
}

static void on_event(_unused_ bool is_warning, const char *reason, const char *message,
                     void *userdata)
{
        struct world *w = userdata;

        snprintf(w->last_event, sizeof w->last_event, "%s: %s", reason, message);
}

static void start(struct world *w)
{
        const struct node_volumes_options options = { .root_dir = volume_folder(),
                                                      .node_name = "n1",
                                                      .on_in_use_changed = on_in_use,
                                                      .userdata = w };

        CHECK_INT(node_volumes_new(w->event, &options, &w->volumes, NULL), 0);
        CHECK_INT(node_volumes_add_driver(w->volumes, VOLUME_SPEC_CSI, &fake_driver, &w->fake,
                                          NULL),
                  0);
        CHECK_INT(node_volumes_add_driver(w->volumes, VOLUME_SPEC_LOCAL, &volume_local_driver,
                                          w->event, NULL),
                  0);
        CHECK_INT(node_volumes_add_driver(w->volumes, VOLUME_SPEC_NFS, &volume_nfs_driver, w->event,
                                          NULL),
                  0);
        CHECK_INT(node_volumes_observe(w->volumes, NULL), 0);
}

static void begin(struct world *w)
{
        volume_folder_enter("test-node-volumes");
        *w = (struct world){ 0 };
        CHECK(sd_event_new(&w->event) >= 0);
        start(w);
        node_volumes_settled(w->volumes);
}

static void restart(struct world *w)
{
        node_volumes_free(w->volumes);
        strbuf_consume(&w->fake.said, w->fake.said.len);
        start(w);
}

static void finish(struct world *w)
{
        node_volumes_free(w->volumes);
        sd_event_unref(w->event);
        strbuf_done(&w->fake.said);
}

/* Lets the loop go on until @is says so. */
#define WAIT(w, is)                                                  \
        do {                                                         \
                usec_t _end = now_monotonic() + PATIENCE_USEC;       \
                while (!(is)) {                                      \
                        CHECK(now_monotonic() < _end);               \
                        CHECK(sd_event_run((w)->event, 20000) >= 0); \
                }                                                    \
        } while (0)

static const char *said(const struct world *w)
{
        return w->fake.said.data ? w->fake.said.data : "";
}

static struct volume_hold *hold(struct world *w, const char *uid, const char *pv_spec,
                                const char *security)
{
        static const struct volume_hold_ops ops = { on_changed, on_event };
        _cleanup_free_ char *pod_text = text_printf(
                "{'metadata':{'name':'web','namespace':'ns','uid':'%s'},'spec':{'containers':"
                "[{'name':'c','image':'i'}]%s}}",
                uid, security);
        _cleanup_free_ char *pv_text =
                text_printf("{'metadata':{'name':'pv1'},'spec':{'claimRef':{'uid':'c1'},%s}}",
                            pv_spec);
        json_auto_t *pod_json = json_of(pod_text), *pv = json_of(pv_text),
                    *claim = json_of("{'metadata':{'name':'data','namespace':'ns','uid':'c1'}}");
        _cleanup_(volume_spec_freep)
        struct volume_spec *spec = NULL;
        _cleanup_(pod_unrefp)
        struct pod *pod = NULL;
        struct volume_hold *h = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(pod_decode(pod_json, POD_SOURCE_API, &pod, NULL), 0);
        if (volume_spec_from_pv(pv, claim, false, &spec, &err) < 0 ||
            volume_hold_new(w->volumes, pod, spec, &ops, w, &h, &err) < 0)
                fail_msg("%s", err_text(&err));
        return h;
}

#define CSI "'csi':{'driver':'d.example','volumeHandle':'h'}"

static void set_node(struct world *w, const char *status)
{
        _cleanup_free_ char *text = text_printf("{'metadata':{'labels':{}},'status':%s}", status);
        json_auto_t *node = json_of(text);

        node_volumes_set_node(w->volumes, node);
}

static void release(struct world *w, const char *uid)
{
        WAIT(w, node_volumes_release(w->volumes, uid, NULL) == 0);
}

TEST(a_volume_is_staged_once_and_published_to_each_pod)
{
        struct world w;
        struct volume_hold *a, *b;

        begin(&w);
        a = hold(&w, "u1", CSI, "");
        WAIT(&w, volume_hold_path(a));
        CHECK_STR(said(&w), "stage:u1 publish:u1 ");
        CHECK_STR(volume_hold_path(a), path_of("pods/u1/volumes/fake/pv1/mount"));
        b = hold(&w, "u2", CSI, "");
        WAIT(&w, volume_hold_path(b));
        CHECK_STR(said(&w), "stage:u1 publish:u1 publish:u2 ");
        volume_hold_free(a);
        release(&w, "u1");
        CHECK_STR(said(&w), "stage:u1 publish:u1 publish:u2 unpublish:u1 ");
        CHECK(access(path_of("pods/u1/volumes/fake/pv1"), F_OK) < 0);
        volume_hold_free(b);
        release(&w, "u2");
        CHECK_STR(said(&w), "stage:u1 publish:u1 publish:u2 unpublish:u1 unpublish:u2 unstage ");
        finish(&w);
}

TEST(what_must_be_attached_waits_for_the_nodes_status)
{
        struct world w;
        struct volume_hold *h;

        begin(&w);
        w.fake.must_attach = 1;
        h = hold(&w, "u1", CSI, "");
        WAIT(&w, volume_hold_problem(h));
        CHECK_STR(volume_hold_problem(h),
                  "volume 'fake/pv1' is not yet in the node's status (volumesInUse)");
        CHECK(volume_hold_is_unattached(h) && w.n_in_use == 1);
        json_auto_t *in_use = node_volumes_in_use(w.volumes);
        check_json(in_use, "['fake/pv1']");
        set_node(&w, "{'volumesInUse':['fake/pv1']}");
        CHECK_CONTAINS(volume_hold_problem(h), "is not attached according to the node's status");
        CHECK_STR(said(&w), "");
        set_node(&w, "{'volumesInUse':['fake/pv1'],'volumesAttached':[{'name':'fake/pv1'}]}");
        WAIT(&w, volume_hold_path(h));
        CHECK_STR(said(&w), "attach:u1 stage:u1 publish:u1 ");
        CHECK_STR(w.last_event, ""); /* waiting is no failure */
        volume_hold_free(h);
        release(&w, "u1");
        json_auto_t *none = node_volumes_in_use(w.volumes);
        check_json(none, "[]");
        finish(&w);
}

TEST(a_step_that_fails_is_told_and_tried_again)
{
        struct world w;
        struct volume_hold *h;

        begin(&w);
        w.fake.fails = VOLUME_STAGE + 1;
        h = hold(&w, "u1", CSI, "");
        WAIT(&w, *w.last_event);
        CHECK_STR(w.last_event,
                  "FailedMount: MountVolume.MountDevice failed for volume \"pv1\" : no luck");
        w.fake.fails = VOLUME_PUBLISH + 1;
        node_volumes_driver_changed(w.volumes, VOLUME_SPEC_CSI);
        CHECK_STR(w.last_event,
                  "FailedMount: MountVolume.SetUp failed for volume \"pv1\" : no luck");
        w.fake.fails = 0;
        WAIT(&w, volume_hold_path(h)); /* by its own timer */
        volume_hold_free(h);
        w.fake.fails = VOLUME_UNPUBLISH + 1;
        _cleanup_err_ struct err err = { 0 };
        CHECK_INT(node_volumes_release(w.volumes, "u1", &err), -EBUSY);
        CHECK_STR(err_text(&err), "volume 'pv1' is still being unmounted: no luck");
        w.fake.fails = 0;
        release(&w, "u1");
        finish(&w);
}

TEST(a_read_write_once_pod_volume_goes_from_one_pod_to_the_next)
{
        static const char spec[] = CSI ",'accessModes':['ReadWriteOncePod']";
        struct world w;
        struct volume_hold *a, *b;

        begin(&w);
        a = hold(&w, "u1", spec, "");
        WAIT(&w, volume_hold_path(a));
        b = hold(&w, "u2", spec, "");
        WAIT(&w, *w.last_event);
        CHECK_CONTAINS(w.last_event,
                       "MountVolume.SetUp failed for volume \"pv1\" : volume uses the "
                       "ReadWriteOncePod access mode and is already in use by another "
                       "pod");
        volume_hold_free(a);
        release(&w, "u1");
        WAIT(&w, volume_hold_path(b));
        volume_hold_free(b);
        release(&w, "u2");
        finish(&w);
}

TEST(a_restart_finds_what_was_mounted)
{
        struct world w;
        struct volume_hold *a, *b;

        begin(&w);
        a = hold(&w, "u1", CSI, "");
        b = hold(&w, "u2", CSI, "");
        WAIT(&w, volume_hold_path(a) && volume_hold_path(b));
        volume_hold_free(a);
        volume_hold_free(b);
        restart(&w);
        /* one of them went meanwhile: it is unpublished, and nothing is unstaged */
        release(&w, "u1");
        CHECK_STR(said(&w), "unpublish:u1 ");
        node_volumes_settled(w.volumes);
        CHECK_STR(said(&w), "unpublish:u1 ");
        release(&w, "u2");
        CHECK_STR(said(&w), "unpublish:u1 unpublish:u2 unstage ");
        finish(&w);
}

TEST(what_is_staged_for_nobody_is_unstaged_when_the_pods_are_known)
{
        struct world w;

        begin(&w);
        snprintf(w.fake.staged, sizeof w.fake.staged, "fake/pv9");
        restart(&w);
        CHECK_STR(said(&w), "");
        node_volumes_settled(w.volumes);
        CHECK_STR(said(&w), "unstage ");
        finish(&w);
}

/* ---- local ---- */

TEST(a_local_volume_is_bound_with_its_group_and_its_data_outlives_it)
{
        struct world w;
        struct volume_hold *h;
        _cleanup_free_ char *spec = NULL;
        struct stat st;

        begin(&w);
        CHECK_INT(mkdir(path_of("data"), 0700), 0);
        CHECK_INT(symlink(path_of("data"), path_of("link")), 0);
        CHECK_INT(mknod(path_of("data/f"), S_IFREG | 0600, 0), 0);
        spec = text_printf("'local':{'path':'%s'},'mountOptions':['noatime','noexec']",
                           path_of("link"));
        h = hold(&w, "u1", spec, ",'securityContext':{'fsGroup':4321}");
        WAIT(&w, volume_hold_path(h));
        CHECK_STR(volume_hold_path(h), path_of("pods/u1/volumes/kubernetes.io~local-volume/pv1"));
        CHECK_INT(mount_is_at(volume_hold_path(h), NULL), 1);
        CHECK_INT(stat(path_of("data/f"), &st), 0);
        CHECK(st.st_gid == 4321 && (st.st_mode & 0777) == 0660);
        volume_hold_free(h);
        release(&w, "u1");
        CHECK(access(path_of("data/f"), F_OK) == 0);
        CHECK(access(path_of("pods/u1/volumes/kubernetes.io~local-volume/pv1"), F_OK) < 0);
        finish(&w);
}

TEST(a_local_path_with_dots_or_of_another_kind_is_refused)
{
        static const char *const cases[][2] = {
                { "'local':{'path':'/tmp/../etc'}", "must not contain '..'" },
                { "'local':{'path':'tmp'}", "expected an absolute path" },
                { "'local':{'path':'/dev/null'}", "only directory and block device are supported" },
                { "'local':{'path':'/tmp'},'mountOptions':['nope']", "mountOptions: 'nope'" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct world w;
                struct volume_hold *h;

                begin(&w);
                h = hold(&w, "u1", cases[i][0], "");
                WAIT(&w, *w.last_event);
                CHECK_CONTAINS(w.last_event, cases[i][1]);
                volume_hold_free(h);
                release(&w, "u1");
                finish(&w);
        }
}

TEST(a_target_that_became_a_link_is_not_followed)
{
        struct world w;
        struct volume_hold *h;
        _cleanup_free_ char *spec = NULL;

        begin(&w);
        CHECK_INT(mkdir(path_of("data"), 0700), 0);
        CHECK_INT(mkdir(path_of("victim"), 0700), 0);
        _cleanup_close_ int fd = open(volume_folder(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK_INT(fs_mkdir_p_at(fd, "pods/u1/volumes/kubernetes.io~local-volume", 0750), 0);
        CHECK_INT(symlink(path_of("victim"),
                          path_of("pods/u1/volumes/kubernetes.io~local-volume/pv1")),
                  0);
        spec = text_printf("'local':{'path':'%s'}", path_of("data"));
        h = hold(&w, "u1", spec, "");
        WAIT(&w, *w.last_event);
        CHECK_CONTAINS(w.last_event, "MountVolume.SetUp failed");
        CHECK_INT(mount_is_at(path_of("victim"), NULL), 0);
        volume_hold_free(h);
        CHECK_INT(unlink(path_of("pods/u1/volumes/kubernetes.io~local-volume/pv1")), 0);
        release(&w, "u1");
        finish(&w);
}

/* ---- nfs ---- */

/* In this mount namespace alone. */
static void fake_nfs(const char *script)
{
        FILE *f = fopen(path_of("mount.nfs"), "w");

        CHECK(f && fputs(script, f) >= 0 && fclose(f) == 0);
        CHECK_INT(chmod(path_of("mount.nfs"), 0755), 0);
        CHECK_INT(mkdir(path_of("sbin"), 0755), 0);
        CHECK_INT(mkdir(path_of("up"), 0755), 0);
        CHECK_INT(mkdir(path_of("work"), 0755), 0);
        _cleanup_free_ char *options = text_printf("lowerdir=/sbin,upperdir=%s,workdir=%s",
                                                   path_of("up"), path_of("work"));
        if (access(FAKE_NFS, F_OK) == 0) {
                CHECK_INT(mount(path_of("mount.nfs"), FAKE_NFS, NULL, MS_BIND, NULL), 0);
                return;
        }
        CHECK_INT(rename(path_of("mount.nfs"), path_of("up/mount.nfs")), 0);
        if (mount("overlay", "/sbin", "overlay", 0, options) < 0)
                SKIP("no overlay on this machine");
}

static void unfake_nfs(void)
{
        if (umount2(FAKE_NFS, MNT_DETACH) < 0)
                umount2("/sbin", MNT_DETACH);
}

TEST(nfs_is_mounted_by_the_systems_helper_with_the_options)
{
        struct world w;
        struct volume_hold *h;
        _cleanup_free_ char *script = NULL, *words = NULL;

        begin(&w);
        script = text_printf(
                "#!/bin/sh\necho \"$@\" > %s\nexec /usr/bin/mount -i -t tmpfs fake \"$2\"\n",
                path_of("words"));
        fake_nfs(script);
        h = hold(
                &w, "u1",
                "'nfs':{'server':'fd00::1','path':'/export'},'mountOptions':['hard','nfsvers=4.2']",
                ",'securityContext':{'fsGroup':77}");
        WAIT(&w, volume_hold_path(h) || *w.last_event);
        CHECK_STR(w.last_event, "");
        CHECK_INT(mount_is_at(path_of("pods/u1/volumes/kubernetes.io~nfs/pv1"), NULL), 1);
        CHECK_INT(fs_read_line_at(AT_FDCWD, path_of("words"), &words), 0);
        CHECK_CONTAINS(words, "[fd00::1]:/export ");
        CHECK_CONTAINS(words, "hard,nfsvers=4.2");
        volume_hold_free(h);
        /* an agent that comes up again takes what is mounted for mounted, and off */
        restart(&w);
        release(&w, "u1");
        CHECK_INT(mount_is_at(path_of("pods/u1/volumes/kubernetes.io~nfs/pv1"), NULL), 0);
        CHECK(access(path_of("pods/u1/volumes/kubernetes.io~nfs/pv1"), F_OK) < 0);
        unfake_nfs();
        finish(&w);
}

TEST(a_failure_of_the_helper_is_told_in_its_own_words)
{
        struct world w;
        struct volume_hold *h;

        begin(&w);
        fake_nfs("#!/bin/sh\necho 'mount.nfs: Connection refused' >&2\nexit 32\n");
        h = hold(&w, "u1", "'nfs':{'server':'a','path':'/x'}", "");
        WAIT(&w, *w.last_event);
        CHECK_STR(w.last_event, "FailedMount: MountVolume.SetUp failed for volume \"pv1\" : mount "
                                "failed: exit status 32: mount.nfs: Connection refused");
        CHECK(access(path_of("pods/u1/volumes/kubernetes.io~nfs/pv1"), F_OK) < 0);
        volume_hold_free(h);
        release(&w, "u1");
        unfake_nfs();
        finish(&w);
}

TEST(a_pod_that_goes_does_not_wait_for_a_helper_that_hangs)
{
        struct world w;
        struct volume_hold *h;
        usec_t began;

        begin(&w);
        fake_nfs("#!/bin/sh\nexec sleep 60\n");
        h = hold(&w, "u1", "'nfs':{'server':'a','path':'/x'}", "");
        WAIT(&w, access(path_of("pods/u1/volumes/kubernetes.io~nfs/pv1"), F_OK) == 0);
        volume_hold_free(h);
        began = now_monotonic();
        release(&w, "u1");
        CHECK(now_monotonic() - began < 5 * USEC_PER_SEC);
        unfake_nfs();
        finish(&w);
}
