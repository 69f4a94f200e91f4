#include "base/protobuf.h"

#include <errno.h>
#include <string.h>

#include "base/grpc-answer.h"
#include "tests/check.h"

#define READER(...) \
        protobuf_reader((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

TEST(what_is_written_is_read_again)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_free_ char *text = NULL;
        struct protobuf_reader r;
        struct protobuf_field f;
        uint64_t n = 0;

        protobuf_add_number(&b, 1, UINT64_MAX);
        protobuf_add_text(&b, 2, "grün");
        protobuf_add_number(&b, 3, 0);
        protobuf_add_text(&b, 4, "");
        protobuf_add_item(&b, 5, "");
        r = protobuf_reader(b.data, b.len);
        CHECK_INT(protobuf_next(&r, &f, NULL), 1);
        CHECK_INT(protobuf_number(&f, "n", &n, NULL), 0);
        CHECK(n == UINT64_MAX);
        CHECK_INT(protobuf_next(&r, &f, NULL), 1);
        CHECK_INT(protobuf_text(&f, "t", 10, &text, NULL), 0);
        CHECK_STR(text, "grün");
        CHECK_INT(protobuf_next(&r, &f, NULL), 1);
        CHECK_INT(f.number, 5);
        CHECK_INT(protobuf_next(&r, &f, NULL), 0);
}

TEST(the_bytes_are_those_of_the_specification)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        protobuf_add_number(&b, 1, 150);
        protobuf_add_text(&b, 2, "testing");
        CHECK_INT(b.len, 12);
        CHECK(memcmp(b.data, "\x08\x96\x01\x12\x07testing", 12) == 0);
}

static void check_no_message(struct protobuf_reader r, const char *sentence)
{
        _cleanup_err_ struct err err = { 0 };
        struct protobuf_field f;
        int k;

        while ((k = protobuf_next(&r, &f, &err)) > 0)
                ;
        CHECK_INT(k, -EBADMSG);
        CHECK_STR(err_text(&err), sentence);
}

TEST(lengths_and_numbers_that_lie_are_refused)
{
        check_no_message(READER(0x0a, 5, 'a'), "a field is longer than its message");
        check_no_message(READER(0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
                         "a field is longer than its message");
        check_no_message(READER(0x08, 0x80), "a number is cut short");
        check_no_message(READER(0x08), "a number is cut short");
        check_no_message(READER(0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2),
                         "a number is longer than 64 bits");
        check_no_message(READER(0x00, 0), "a field has a number that no field can have");
        check_no_message(READER(0x0b, 0), "a field is of a type that there is not");
        check_no_message(READER(0x09, 1, 2, 3), "a field is longer than its message");
}

static int read_text(struct protobuf_reader r, size_t max)
{
        _cleanup_free_ char *text = NULL;
        struct protobuf_field f;

        CHECK_INT(protobuf_next(&r, &f, NULL), 1);
        return protobuf_text(&f, "name", max, &text, NULL);
}

TEST(a_text_is_utf8_without_nul_and_no_longer_than_allowed)
{
        CHECK_INT(read_text(READER(0x0a, 2, 'a', 'b'), 2), 0);
        CHECK_INT(read_text(READER(0x0a, 2, 'a', 'b'), 1), -EBADMSG);
        CHECK_INT(read_text(READER(0x0a, 1, 0), 9), -EBADMSG);
        CHECK_INT(read_text(READER(0x0a, 1, 0xff), 9), -EBADMSG);
        CHECK_INT(read_text(READER(0x0a, 2, 0xc0, 0x80), 9), -EBADMSG);             /* overlong */
        CHECK_INT(read_text(READER(0x0a, 3, 0xed, 0xa0, 0x80), 9), -EBADMSG);       /* surrogate */
        CHECK_INT(read_text(READER(0x0a, 4, 0xf4, 0x90, 0x80, 0x80), 9), -EBADMSG); /* too high */
        CHECK_INT(read_text(READER(0x0a, 4, 0xf0, 0x9f, 0x9a, 0x80), 9), 0);
        CHECK_INT(read_text(READER(0x08, 1), 9), -EBADMSG);
}

TEST(an_empty_member_of_a_one_of_is_there)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        const struct strbuf empty = { 0 };

        protobuf_add_message(&b, 1, &empty);
        CHECK_INT(b.len, 2);
        CHECK(memcmp(b.data, "\x0a\0", 2) == 0);
}

TEST(a_grpc_error_has_its_message_decoded_and_made_printable)
{
        const struct grpc_answer answer = { .http_status = 200,
                                            .grpc_status = "14",
                                            .grpc_message = "no%20luck%0a%1b[31m100%" };
        _cleanup_free_ char *why = NULL;

        CHECK_INT(grpc_answer_code(&answer, &why), GRPC_UNAVAILABLE);
        CHECK_STR(why, "no luck ?[31m100%");
}

TEST(a_grpc_status_that_is_none_is_an_error)
{
        static const char *const none[] = { NULL, "", "-1", "0x0", "99999999999" };

        for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
                const struct grpc_answer answer = { .http_status = 200, .grpc_status = none[i] };
                _cleanup_free_ char *why = NULL;

                CHECK_INT(grpc_answer_code(&answer, &why), GRPC_INTERNAL);
        }
}

TEST(a_status_that_nobody_knows_is_unknown)
{
        const struct grpc_answer answer = { .http_status = 200, .grpc_status = "77" };
        _cleanup_free_ char *why = NULL;

        CHECK_INT(grpc_answer_code(&answer, &why), GRPC_UNKNOWN);
}
