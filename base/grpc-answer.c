#include "base/grpc-answer.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define WHY_MAX 1024 /* bytes of it that a person will read */

static const char *const names[] = {
        [GRPC_OK] = "OK",
        [GRPC_CANCELED] = "Canceled",
        [GRPC_UNKNOWN] = "Unknown",
        [GRPC_INVALID_ARGUMENT] = "InvalidArgument",
        [GRPC_DEADLINE_EXCEEDED] = "DeadlineExceeded",
        [GRPC_NOT_FOUND] = "NotFound",
        [GRPC_ALREADY_EXISTS] = "AlreadyExists",
        [GRPC_PERMISSION_DENIED] = "PermissionDenied",
        [GRPC_RESOURCE_EXHAUSTED] = "ResourceExhausted",
        [GRPC_FAILED_PRECONDITION] = "FailedPrecondition",
        [GRPC_ABORTED] = "Aborted",
        [GRPC_OUT_OF_RANGE] = "OutOfRange",
        [GRPC_UNIMPLEMENTED] = "Unimplemented",
        [GRPC_INTERNAL] = "Internal",
        [GRPC_UNAVAILABLE] = "Unavailable",
        [GRPC_DATA_LOSS] = "DataLoss",
        [GRPC_UNAUTHENTICATED] = "Unauthenticated",
};
static_assert(ARRAY_SIZE(names) == _GRPC_CODE_MAX, "a code has no name");

const char *grpc_code_name(enum grpc_code code)
{
        return (unsigned)code < ARRAY_SIZE(names) ? names[code] : "Unknown";
}

void grpc_add_prefixed(struct strbuf *b, const struct strbuf *message)
{
        uint8_t prefix[GRPC_PREFIX_SIZE] = { 0 };
        uint32_t size = htobe32((uint32_t)message->len);

        memcpy(prefix + 1, &size, sizeof size);
        b->failed |= message->failed;
        strbuf_add_n(b, prefix, sizeof prefix);
        if (message->len > 0)
                strbuf_add_n(b, message->data, message->len);
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* It ends in logs and events: control characters have no business there. */
static char *decode(const char *text)
{
        struct strbuf b = { 0 };

        for (; *text && b.len < WHY_MAX; text++) {
                unsigned char c = (unsigned char)*text;

                if (c == '%' && hex_digit(text[1]) >= 0 && hex_digit(text[2]) >= 0) {
                        c = (unsigned char)(hex_digit(text[1]) << 4 | hex_digit(text[2]));
                        text += 2;
                }
                if (c < ' ' || c >= 0x7f)
                        c = c == '\n' || c == '\t' ? ' ' : '?';
                strbuf_add_n(&b, &c, 1);
        }
        return strbuf_take(&b);
}

enum grpc_code grpc_answer_code(const struct grpc_answer *answer, char **ret_why)
{
        uint16_t code;

        if (answer->http_status != 200) {
                *ret_why = text_printf("unexpected HTTP status %d", answer->http_status);
                return GRPC_UNKNOWN;
        }
        if (!answer->grpc_status || text_to_u16(answer->grpc_status, &code) < 0) {
                *ret_why = strdup("the answer has no grpc-status");
                return GRPC_INTERNAL;
        }
        *ret_why = decode(answer->grpc_message && code != 0 ? answer->grpc_message : "");
        return code < _GRPC_CODE_MAX ? (enum grpc_code)code : GRPC_UNKNOWN;
}

static int bad(struct err *err, const char *sentence)
{
        return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT, "%s", sentence);
}

int grpc_answer_message(const struct grpc_answer *answer, const uint8_t **ret, size_t *ret_len,
                        struct err *err)
{
        const uint8_t *body = answer->body;
        uint32_t size;

        if (answer->body_len < GRPC_PREFIX_SIZE)
                return bad(err, "the answer holds no message");
        if (body[0] != 0)
                return bad(err, "the answer is compressed");
        memcpy(&size, body + 1, sizeof size);
        if (be32toh(size) != answer->body_len - GRPC_PREFIX_SIZE)
                return bad(err, "the answer's message is not as long as it says");
        *ret = body + GRPC_PREFIX_SIZE;
        *ret_len = answer->body_len - GRPC_PREFIX_SIZE;
        return 0;
}
