/* A container's root both ways: layers one by one, and as one string as before Linux 6.5. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/init.h"
#include "tests/check.h"

static char dir[64];

static const char *path_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static const char *path_of(const char *fmt, ...)
{
        static char bufs[4][256];
        static unsigned at;
        char *buf = bufs[at++ % 4];
        va_list ap;
        int n = snprintf(buf, 256, "%s/", dir);

        va_start(ap, fmt);
        vsnprintf(buf + n, 256 - (size_t)n, fmt, ap);
        va_end(ap);
        return buf;
}

static void leave(void)
{
        syscall(SYS_umount2, dir, 2L /* MNT_DETACH */); /* while mounted here it stays busy */
        rmdir(dir);
}

static void enter(void)
{
        if (dir[0])
                return;
        if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                check_skip_all("not root, or no mount namespaces");
        syscall(SYS_mount, NULL, "/", NULL, 0x44000L /* MS_REC | MS_PRIVATE */, NULL);
        snprintf(dir, sizeof dir, "/tmp/skiff-overlay-XXXXXX");
        CHECK(mkdtemp(dir));
        atexit(leave);
        CHECK_INT(syscall(SYS_mount, "test", dir, "tmpfs", 0L, ""), 0);
        CHECK_INT(mkdir(path_of("layers"), 0755), 0);
}

/* @n layers named @prefix and a number, each with a file of its own and one in common. */
static void make_layers(struct plan_writer *w, const char *prefix, unsigned n)
{
        CHECK_INT(plan_begin(w), 0);
        plan_add_string(w, PLAN_LAYER_DIR, path_of("layers"));
        for (unsigned k = 0; k < n; k++) {
                char name[128], text[16];
                int fd;

                snprintf(name, sizeof name, "%s%u", prefix, k);
                mkdir(path_of("layers/%s", name), 0755);
                close(open(path_of("layers/%s/file%u", name, k), O_CREAT | O_WRONLY | O_CLOEXEC,
                           0644));
                fd = open(path_of("layers/%s/common", name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
                snprintf(text, sizeof text, "%u", k);
                CHECK(write(fd, text, strlen(text)) > 0);
                close(fd);
                plan_add_string(w, PLAN_LAYER, name);
        }
        plan_add_string(w, PLAN_UPPER_DIR, path_of("%s-upper", prefix));
        plan_finish(w);
        mkdir(path_of("%s-upper", prefix), 0755);
        mkdir(path_of("%s-upper/upper", prefix), 0755);
        mkdir(path_of("%s-upper/work", prefix), 0755);
}

/* 0 when every layer is seen, the first on top. */
static int try(const char *prefix, unsigned n, enum overlay_way way)
{
        struct plan_writer w = { 0 };
        struct plan_view v;
        struct init i = { .plan = &v };
        const char *why;
        char name[32], text[16] = "";
        int root, fd;

        enter();
        make_layers(&w, prefix, n);
        CHECK_INT(plan_view_open(&v, w.data, w.len, &why), 0);
        root = init_open_overlay(&i, way);
        plan_writer_done(&w);
        if (root < 0)
                return root;
        for (unsigned k = 0; k < n; k++) {
                snprintf(name, sizeof name, "file%u", k);
                CHECK_INT(faccessat(root, name, F_OK, 0), 0);
        }
        fd = openat(root, "common", O_RDONLY | O_CLOEXEC);
        CHECK(read(fd, text, sizeof text - 1) > 0);
        CHECK_STR(text, "0");
        close(fd);
        close(root);
        return 0;
}

TEST(layers_go_in_one_by_one_where_the_kernel_can)
{
        int r = try("one", 3, OVERLAY_BY_LAYER);

        CHECK(r == 0 || r == -EINVAL);
        if (r == 0)
                CHECK_INT(try("many", 200, OVERLAY_BY_LAYER), 0);
}

TEST(a_few_layers_go_in_as_one_string)
{
        CHECK_INT(try("few", 3, OVERLAY_BY_STRING), 0);
        CHECK_INT(try("single", 1, OVERLAY_BY_STRING), 0);
}

TEST(more_layers_than_a_string_holds_go_through_short_names)
{
        CHECK_INT(try("a-rather-long-name-for-a-layer-0123456789abcdef-", 10, OVERLAY_BY_STRING),
                  0);
        CHECK_INT(try("string", 120, OVERLAY_BY_STRING), 0);
        CHECK_INT(try("toomany", 140, OVERLAY_BY_STRING), -E2BIG);
}

TEST(the_same_upper_directory_can_be_mounted_again_after_a_failed_start)
{
        CHECK_INT(try("again", 2, OVERLAY_BY_STRING), 0);
        CHECK_INT(try("again", 2, OVERLAY_BY_STRING), 0);
}
