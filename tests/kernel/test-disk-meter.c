#include "base/disk-meter.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"

struct seen {
        sd_event *event;
        struct disk_usage usage[8];
        size_t n;
        unsigned calls;
};

static void on_done(const struct disk_usage *usage, size_t n, void *userdata)
{
        struct seen *s = userdata;

        CHECK(n <= ARRAY_SIZE(s->usage));
        memcpy(s->usage, usage, n * sizeof *usage);
        s->n = n;
        s->calls++;
        sd_event_exit(s->event, 0);
}

static void loop(struct seen *s)
{
        CHECK_INT(sd_event_loop(s->event), 0);
}

/* A tmpfs of our own mount namespace; it goes with the test. */
static void own_mounts(const char *path)
{
        if (unshare(CLONE_NEWNS) < 0)
                check_skip_all("no mount namespaces here: %m");
        CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
        CHECK_INT(mount("tmpfs", path, "tmpfs", 0, "size=16m"), 0);
}

static void write_megabytes(const char *path, size_t n)
{
        _cleanup_free_ char *data = calloc(n, 1 << 20);

        CHECK_INT(fs_replace_at(AT_FDCWD, path, data, n << 20, 0600, false), 0);
}

TEST(trees_are_measured_in_their_order_and_the_missing_are_unknown)
{
        struct seen s = { 0 };
        struct disk_meter *m;
        char path[] = "/tmp/test-disk-meter-XXXXXX";
        const struct disk_tree trees[] = { { path, NULL },
                                           { "/nonexistent", NULL },
                                           { path, "a" } };

        CHECK(mkdtemp(path) != NULL);
        own_mounts(path);
        CHECK_INT(fs_mkdir_p_at(AT_FDCWD, path, 0700), 0);
        CHECK_INT(chdir(path), 0);
        CHECK_INT(mkdir("a", 0700), 0);
        CHECK_INT(mkdir("a/mounted", 0700), 0);
        write_megabytes("a/one", 2);
        CHECK_INT(mount("tmpfs", "a/mounted", "tmpfs", 0, "size=16m"), 0);
        write_megabytes("a/mounted/other", 3);
        CHECK_INT(sd_event_new(&s.event), 0);
        CHECK_INT(disk_meter_new(s.event, &m), 0);
        CHECK_INT(disk_meter_start(m, trees, 3, 60 * USEC_PER_SEC, on_done, &s, NULL), 0);
        CHECK(disk_meter_is_busy(m));
        CHECK_INT(disk_meter_start(m, trees, 3, 60 * USEC_PER_SEC, on_done, &s, NULL), -EBUSY);
        CHECK_INT(s.calls, 0);
        loop(&s);
        CHECK_INT(s.calls, 1);
        CHECK_INT(s.n, 3);
        CHECK(!disk_meter_is_busy(m));
        CHECK(s.usage[0].is_known && !s.usage[0].is_partial);
        CHECK_INT(s.usage[0].bytes, 2 << 20); /* not what is mounted below */
        CHECK_INT(s.usage[0].inodes, 3);
        CHECK(!s.usage[1].is_known);
        CHECK(s.usage[2].is_known);
        CHECK_INT(s.usage[2].bytes, 0);
        CHECK_INT(s.usage[2].inodes, 1);
        disk_meter_free(m);
        CHECK_INT(chdir("/"), 0);
        CHECK_INT(umount2(path, MNT_DETACH), 0);
        CHECK_INT(rmdir(path), 0);
        sd_event_unref(s.event);
}

TEST(a_job_that_is_given_up_leaves_nothing_and_is_not_told)
{
        const struct disk_tree tree = { "/usr", NULL };
        struct seen s = { 0 };
        struct disk_meter *m;

        CHECK_INT(sd_event_new(&s.event), 0);
        CHECK_INT(disk_meter_new(s.event, &m), 0);
        CHECK_INT(disk_meter_start(m, &tree, 1, 60 * USEC_PER_SEC, on_done, &s, NULL), 0);
        disk_meter_free(m);
        CHECK_INT(sd_event_run(s.event, 0), 0);
        CHECK_INT(s.calls, 0);
        sd_event_unref(s.event);
}

TEST(a_job_that_takes_too_long_tells_what_it_found)
{
        const struct disk_tree trees[] = { { "/proc/self", NULL }, { "/usr", NULL } };
        struct seen s = { 0 };
        struct disk_meter *m;

        CHECK_INT(sd_event_new(&s.event), 0);
        CHECK_INT(disk_meter_new(s.event, &m), 0);
        CHECK_INT(disk_meter_start(m, &trees[1], 1, 1, on_done, &s, NULL), 0);
        loop(&s);
        CHECK_INT(s.calls, 1);
        CHECK_INT(s.n, 1);
        disk_meter_free(m);
        sd_event_unref(s.event);
}
