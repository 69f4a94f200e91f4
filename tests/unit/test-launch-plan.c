#include <errno.h>
#include <stdlib.h>

#include "runtime/launch-plan.h"
#include "tests/check.h"

static void build(struct plan_writer *w)
{
        struct plan_container c = { .flags = PLAN_OWN_PID, .uid = 1000 };

        CHECK_INT(plan_begin(w), 0);
        CHECK_INT(plan_add(w, PLAN_CONTAINER, &c, sizeof c, NULL, 0), 0);
        CHECK_INT(plan_add_string(w, PLAN_ARG, "sh"), 0);
        CHECK_INT(plan_add_string(w, PLAN_ARG, ""), 0);
        CHECK_INT(plan_add(w, PLAN_SYSCTL, "net/x", 6, "0", 2), 0);
        CHECK_INT(plan_finish(w), 0);
}

TEST(a_plan_reads_back_record_by_record_as_it_was_written)
{
        struct plan_writer w = { 0 };
        const struct plan_container *c;
        struct plan_reader r;
        struct plan_record rec;
        size_t at = 0;

        build(&w);
        CHECK_INT(plan_open(&r, w.data, w.len), 0);
        CHECK_INT(plan_next(&r, &rec), 1);
        CHECK(rec.type == PLAN_CONTAINER);
        c = plan_struct(&rec, sizeof *c);
        CHECK(c && c->uid == 1000 && c->flags == PLAN_OWN_PID);
        CHECK_INT(plan_next(&r, &rec), 1);
        CHECK(rec.type == PLAN_ARG);
        CHECK_STR(plan_string(&rec, &at), "sh");
        CHECK(!plan_string(&rec, &at));
        CHECK_INT(plan_next(&r, &rec), 1);
        at = 0;
        CHECK_STR(plan_string(&rec, &at), "");
        CHECK_INT(plan_next(&r, &rec), 1);
        at = 0;
        CHECK_STR(plan_string(&rec, &at), "net/x");
        CHECK_STR(plan_string(&rec, &at), "0");
        CHECK_INT(plan_next(&r, &rec), 0);
        plan_writer_done(&w);
}

TEST(a_plan_cut_short_at_any_byte_is_refused)
{
        struct plan_writer w = { 0 };

        build(&w);
        for (size_t n = 0; n < w.len; n++) {
                uint8_t *copy = malloc(n ? n : 1);
                struct plan_reader r;

                CHECK(copy);
                memcpy(copy, w.data, n);
                CHECK_INT(plan_open(&r, copy, n), -EBADMSG);
                free(copy);
        }
        plan_writer_done(&w);
}

TEST(a_record_longer_than_the_plan_is_refused)
{
        struct plan_writer w = { 0 };
        struct plan_reader r;
        struct plan_record rec;

        build(&w);
        /* behind the header record stands the container's: lie about its length */
        w.data[8 + sizeof(struct plan_header) + 4] = 0xff;
        w.data[8 + sizeof(struct plan_header) + 5] = 0xff;
        CHECK_INT(plan_open(&r, w.data, w.len), 0);
        CHECK_INT(plan_next(&r, &rec), -EBADMSG);
        plan_writer_done(&w);
}

TEST(an_unknown_record_type_is_an_error_not_skipped)
{
        struct plan_writer w = { 0 };
        struct plan_reader r;
        struct plan_record rec;

        CHECK_INT(plan_begin(&w), 0);
        CHECK_INT(plan_add_string(&w, _PLAN_TYPE_MAX, "new"), 0);
        CHECK_INT(plan_finish(&w), 0);
        CHECK_INT(plan_open(&r, w.data, w.len), 0);
        CHECK_INT(plan_next(&r, &rec), -EBADMSG);
        plan_writer_done(&w);
}

TEST(a_second_header_is_refused)
{
        struct plan_header h = { .magic = PLAN_MAGIC, .version = PLAN_VERSION };
        struct plan_writer w = { 0 };
        struct plan_reader r;
        struct plan_record rec;

        CHECK_INT(plan_begin(&w), 0);
        CHECK_INT(plan_add(&w, PLAN_HEADER, &h, sizeof h, NULL, 0), 0);
        CHECK_INT(plan_finish(&w), 0);
        CHECK_INT(plan_open(&r, w.data, w.len), 0);
        CHECK_INT(plan_next(&r, &rec), -EBADMSG);
        plan_writer_done(&w);
}

TEST(another_version_or_magic_is_refused)
{
        struct plan_writer w = { 0 };
        struct plan_reader r;

        build(&w);
        w.data[8 + offsetof(struct plan_header, version)]++;
        CHECK_INT(plan_open(&r, w.data, w.len), -EBADMSG);
        w.data[8 + offsetof(struct plan_header, version)]--;
        CHECK_INT(plan_open(&r, w.data, w.len), 0);
        w.data[8]++;
        CHECK_INT(plan_open(&r, w.data, w.len), -EBADMSG);
        plan_writer_done(&w);
}

TEST(a_string_without_its_end_is_no_string)
{
        struct plan_record rec = { .type = PLAN_ARG, .payload = "abc", .len = 3 };
        size_t at = 0;

        CHECK(!plan_string(&rec, &at));
        CHECK_INT(at, 0);
}

TEST(a_payload_shorter_than_its_struct_is_no_struct)
{
        struct plan_record rec = { .type = PLAN_RLIMIT, .payload = "abc", .len = 3 };

        CHECK(!plan_struct(&rec, sizeof(struct plan_rlimit)));
}

TEST(a_plan_beyond_its_maximum_is_refused_while_written)
{
        static char big[1 << 20];
        struct plan_writer w = { 0 };
        int r = plan_begin(&w);

        for (int i = 0; r == 0 && i < 16; i++)
                r = plan_add(&w, PLAN_ENV, big, sizeof big, NULL, 0);
        CHECK_INT(r, -EFBIG);
        CHECK(w.len <= PLAN_MAX);
        CHECK_INT(plan_add(&w, PLAN_ENV, big, SIZE_MAX - 4, NULL, 0), -EFBIG);
        plan_writer_done(&w);
}
