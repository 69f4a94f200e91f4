#include <errno.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sys/stat.h>

#include "runtime/plan-view.h"
#include "tests/check.h"

static const char *why;

/* A plan of one record besides the least that a container needs; its fate. */
static int view_with(enum plan_type type, const void *a, size_t a_len, const void *b, size_t b_len)
{
        struct plan_container c = { .flags = PLAN_OWN_PID };
        struct plan_writer w = { 0 };
        struct plan_view v;
        int r;

        CHECK_INT(plan_begin(&w), 0);
        plan_add_string(&w, PLAN_ID, "id");
        plan_add(&w, PLAN_CONTAINER, &c, sizeof c, NULL, 0);
        plan_add_string(&w, PLAN_ARG, "true");
        plan_add_string(&w, PLAN_ROOT_PATH, "/");
        if (type)
                CHECK_INT(plan_add(&w, type, a, a_len, b, b_len), 0);
        CHECK_INT(plan_finish(&w), 0);
        r = plan_view_open(&v, w.data, w.len, &why);
        if (r == 0)
                r = plan_view_check_container(&v, &why);
        plan_writer_done(&w);
        return r;
}

static int view_mount(struct plan_mount m, const char *strings, size_t n)
{
        return view_with(PLAN_MOUNT, &m, sizeof m, strings, n);
}

TEST(the_least_a_container_needs_is_enough)
{
        CHECK_INT(view_with(0, NULL, 0, NULL, 0), 0);
}

TEST(values_that_nobody_knows_are_errors)
{
        struct plan_container c = { .flags = UINT32_MAX };
        struct plan_device d = { .type = S_IFSOCK };
        struct plan_rlimit l = { .resource = 99 };

        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        c = (struct plan_container){ .uid = UINT32_MAX };
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        c = (struct plan_container){ .gid = UINT32_MAX };
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        c = (struct plan_container){ .root_propagation = 12345 };
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        c = (struct plan_container){ .cap_effective = 2, .cap_permitted = 1 };
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        c = (struct plan_container){ .cap_ambient = 1, .cap_permitted = 1 };
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c, NULL, 0), -EBADMSG);
        CHECK_INT(view_with(PLAN_CONTAINER, &c, sizeof c - 1, NULL, 0), -EBADMSG);
        CHECK_INT(view_with(PLAN_DEVICE, &d, sizeof d, "/dev/x", 7), -EBADMSG);
        d.type = S_IFCHR;
        CHECK_INT(view_with(PLAN_DEVICE, &d, sizeof d, "/dev/x", 7), 0);
        CHECK_INT(view_with(PLAN_DEVICE, &d, sizeof d, "dev/x", 6), -EBADMSG);
        CHECK_INT(view_with(PLAN_DEVICE, &d, sizeof d, "/dev/x", 6), -EBADMSG); /* no NUL */
        CHECK_INT(view_with(PLAN_RLIMIT, &l, sizeof l, NULL, 0), -EBADMSG);
}

TEST(a_mount_has_a_known_kind_three_strings_and_absolute_paths)
{
        struct plan_mount bind = { .kind = PLAN_MOUNT_BIND };

        CHECK_INT(view_mount(bind, "/a\0/b\0", 7), 0);
        CHECK_INT(view_mount(bind, "/a\0/b", 6), -EBADMSG);
        CHECK_INT(view_mount(bind, "/a\0/b\0\0x", 9), -EBADMSG);
        CHECK_INT(view_mount(bind, "a\0/b\0", 6), -EBADMSG);
        CHECK_INT(view_mount(bind, "/a\0b\0", 6), -EBADMSG);
        CHECK_INT(view_mount((struct plan_mount){ .kind = PLAN_MOUNT_TMPFS }, "a\0/b\0", 6), 0);
        CHECK_INT(view_mount((struct plan_mount){ .kind = 99 }, "/a\0/b\0", 7), -EBADMSG);
        CHECK_INT(view_mount((struct plan_mount){ .kind = 0 }, "/a\0/b\0", 7), -EBADMSG);
        bind.flags = 1u << 30;
        CHECK_INT(view_mount(bind, "/a\0/b\0", 7), -EBADMSG);
        bind = (struct plan_mount){ .kind = PLAN_MOUNT_BIND, .propagation = MS_REC };
        CHECK_INT(view_mount(bind, "/a\0/b\0", 7), -EBADMSG);
        bind = (struct plan_mount){ .kind = PLAN_MOUNT_IMAGE };
        CHECK_INT(view_mount(bind, "etc\0/b\0top:base", 16), 0);
        CHECK_INT(view_mount(bind, "\0/b\0one", 8), 0);
        CHECK_INT(view_mount(bind, "/etc\0/b\0one", 12), -EBADMSG);
        CHECK_INT(view_mount(bind, "\0/b\0", 5), -EBADMSG);
        CHECK_INT(view_mount(bind, "\0/b\0a::b", 9), -EBADMSG);
        CHECK_INT(view_mount(bind, "\0/b\0a:b,c", 10), -EBADMSG);
        bind = (struct plan_mount){ .kind = PLAN_MOUNT_TMPFS, .flags = PLAN_MOUNT_COPY_UP };
        CHECK_INT(view_mount(bind, "\0/b\0", 5), -EBADMSG);
        CHECK_CONTAINS(why, "tmpcopyup");
}

TEST(layers_have_names_that_mean_nothing_to_overlayfs)
{
        CHECK_INT(view_with(PLAN_LAYER, "a:b", 4, NULL, 0), -EBADMSG);
        CHECK_INT(view_with(PLAN_LAYER, "a,b", 4, NULL, 0), -EBADMSG);
        CHECK_INT(view_with(PLAN_LAYER, "a\\", 3, NULL, 0), -EBADMSG);
        CHECK_INT(view_with(PLAN_LAYER, "", 1, NULL, 0), -EBADMSG);
}

TEST(namespaces_to_join_are_those_that_a_container_may_share)
{
        uint32_t record[2] = { CLONE_NEWNET };

        CHECK_INT(view_with(PLAN_NAMESPACE_PATH, record, 8, "/n", 3), 0);
        record[0] = CLONE_NEWUSER;
        CHECK_INT(view_with(PLAN_NAMESPACE_PATH, record, 8, "/n", 3), -EBADMSG);
        record[0] = CLONE_NEWNS;
        CHECK_INT(view_with(PLAN_NAMESPACE_PATH, record, 8, "/n", 3), -EBADMSG);
        CHECK_INT(view_with(PLAN_NAMESPACE_PATH, record, 4, NULL, 0), -EBADMSG);
}

TEST(sysctls_belong_to_sandboxes_and_have_plain_names)
{
        struct plan_sandbox s = { 0 };
        static const struct {
                const char *record;
                size_t n;
                int r;
        } cases[] = {
                { "net/a\0"
                  "1",
                  8, 0 },
                { "net/../a\0"
                  "1",
                  11, -EBADMSG },
                { "/net\0"
                  "1",
                  7, -EBADMSG },
                { "net//a\0"
                  "1",
                  9, -EBADMSG },
                { "net/A\0"
                  "1",
                  8, -EBADMSG },
                { "net/a\0"
                  "1\n2",
                  10, -EBADMSG },
                { "net/a\0", 6, -EBADMSG },
                { "net/a/\0"
                  "1",
                  9, -EBADMSG },
        };

        CHECK_INT(view_with(PLAN_SYSCTL, "net/a\0001", 8, NULL, 0), -EBADMSG);
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
                struct plan_writer w = { 0 };
                struct plan_view v;

                plan_begin(&w);
                plan_add(&w, PLAN_SANDBOX, &s, sizeof s, NULL, 0);
                plan_add(&w, PLAN_SYSCTL, cases[n].record, cases[n].n, NULL, 0);
                plan_finish(&w);
                CHECK_INT(plan_view_open(&v, w.data, w.len, &why), cases[n].r);
                plan_writer_done(&w);
        }
}

TEST(a_container_has_one_kind_of_root)
{
        CHECK_INT(view_with(PLAN_UPPER_DIR, "/u", 3, NULL, 0), -EBADMSG); /* beside a root path */
        CHECK_INT(view_with(PLAN_LAYER, "l", 2, NULL, 0), -EBADMSG);      /* without their folder */
}

TEST(records_are_found_by_type_and_by_place)
{
        struct plan_writer w = { 0 };
        struct plan_record record;
        struct plan_view v;
        unsigned n = 0;

        plan_begin(&w);
        plan_add_string(&w, PLAN_ARG, "a");
        plan_add_string(&w, PLAN_ENV, "E=1");
        plan_add_string(&w, PLAN_ARG, "b");
        plan_finish(&w);
        CHECK_INT(plan_view_open(&v, w.data, w.len, &why), 0);
        CHECK_INT(plan_view_check_exec(&v, &why), 0);
        CHECK_INT(v.count[PLAN_ARG], 2);
        PLAN_FOREACH(&v, PLAN_ARG, record)
        {
                CHECK_STR(record.payload, n++ ? "b" : "a");
                CHECK_INT(plan_view_index(&v, &record), n == 1 ? 0 : 2);
        }
        CHECK_INT(n, 2);
        CHECK(plan_view_at(&v, 1, &record) && record.type == PLAN_ENV);
        CHECK(!plan_view_at(&v, 3, &record));
        plan_writer_done(&w);
}
