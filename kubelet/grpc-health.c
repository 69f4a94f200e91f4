#include "kubelet/grpc-health.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define PREFIX_SIZE 5 /* compressed or not, and the length, before every message */
#define VARINT_MAX  10

/* HealthCheckRequest.service and HealthCheckResponse.status: field 1 each */
#define TAG_SERVICE (1 << 3 | 2)
#define TAG_STATUS  (1 << 3 | 0)
#define SERVING     1

#define STATUS_UNIMPLEMENTED 12

static size_t put_varint(uint8_t *to, size_t value)
{
        size_t n = 0;

        for (; value >= 0x80; value >>= 7)
                to[n++] = (uint8_t)(value | 0x80);
        to[n++] = (uint8_t)value;
        return n;
}

int grpc_health_request(const char *service, uint8_t **ret)
{
        size_t len = strlen(service), n = PREFIX_SIZE;
        uint8_t *message = calloc(1, PREFIX_SIZE + 1 + VARINT_MAX + len);
        uint32_t size;

        if (!message)
                return -ENOMEM;
        if (len > 0) {
                message[n++] = TAG_SERVICE;
                n += put_varint(message + n, len);
                for (; *service; service++)
                        message[n++] = (uint8_t)*service;
        }
        size = htobe32((uint32_t)(n - PREFIX_SIZE));
        memcpy(message + 1, &size, sizeof size);
        *ret = message;
        return (int)n;
}

/* Reads a number and moves on; false: cut short, or no number of 64 bits. */
static bool take_varint(const uint8_t **p, const uint8_t *end, uint64_t *ret)
{
        *ret = 0;
        for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
                uint8_t byte = *(*p)++;

                *ret |= (uint64_t)(byte & 0x7f) << shift;
                if (!(byte & 0x80))
                        return true;
        }
        return false;
}

/* Fields that nobody here knows are passed over by their wire type. */
static bool skip_field(const uint8_t **p, const uint8_t *end, unsigned wire_type)
{
        uint64_t n = 0;

        switch (wire_type) {
        case 0:
                return take_varint(p, end, &n);
        case 1:
                n = 8;
                break;
        case 2:
                if (!take_varint(p, end, &n))
                        return false;
                break;
        case 5:
                n = 4;
                break;
        default:
                return false;
        }
        if (n > (uint64_t)(end - *p))
                return false;
        *p += n;
        return true;
}

/* The status of a HealthCheckResponse; 0 when it says none, as protobuf has it. */
static bool read_status(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
        *ret = 0;
        while (p < end) {
                uint64_t tag;

                if (!take_varint(&p, end, &tag))
                        return false;
                if (tag == TAG_STATUS ? !take_varint(&p, end, ret)
                                      : !skip_field(&p, end, (unsigned)(tag & 7)))
                        return false;
        }
        return true;
}

static char *say_unhealthy(uint64_t status)
{
        static const char *const names[] = { "UNKNOWN", "SERVING", "NOT_SERVING",
                                             "SERVICE_UNKNOWN" };

        if (status < ARRAY_SIZE(names))
                return text_printf("service unhealthy (responded with \"%s\")", names[status]);
        return text_printf("service unhealthy (responded with \"%llu\")",
                           (unsigned long long)status);
}

static char *say_failed(const char *code, const char *description)
{
        return text_printf("error: health rpc probe failed: rpc error: code = %s desc = %s", code,
                           description);
}

static char *say_status(uint16_t status, const char *message)
{
        static const char *const names[] = {
                "OK",
                "Canceled",
                "Unknown",
                "InvalidArgument",
                "DeadlineExceeded",
                "NotFound",
                "AlreadyExists",
                "PermissionDenied",
                "ResourceExhausted",
                "FailedPrecondition",
                "Aborted",
                "OutOfRange",
                "Unimplemented",
                "Internal",
                "Unavailable",
                "DataLoss",
                "Unauthenticated",
        };

        if (status == STATUS_UNIMPLEMENTED)
                return text_printf("error: this server does not implement the grpc health protocol "
                                   "(grpc.health.v1.Health): %s",
                                   message);
        return say_failed(status < ARRAY_SIZE(names) ? names[status] : "Unknown", message);
}

static bool judge_body(const uint8_t *body, size_t n, char **ret_why)
{
        uint64_t status = 0;
        uint32_t size;

        if (n < PREFIX_SIZE) {
                *ret_why = say_failed("Internal", "the answer holds no message");
                return false;
        }
        memcpy(&size, body + 1, sizeof size);
        size = be32toh(size);
        if (body[0] != 0)
                *ret_why = say_failed("Unimplemented", "the answer is compressed");
        else if (size != n - PREFIX_SIZE || !read_status(body + PREFIX_SIZE, body + n, &status))
                *ret_why = say_failed("Internal", "the answer is no HealthCheckResponse");
        else if (status != SERVING)
                *ret_why = say_unhealthy(status);
        else
                return true;
        return false;
}

bool grpc_health_judge(const struct grpc_answer *answer, char **ret_why)
{
        const char *message = answer->grpc_message ? answer->grpc_message : "";
        uint16_t status;

        *ret_why = NULL;
        if (answer->http_status != 200)
                *ret_why = text_printf("error: health rpc probe failed: unexpected HTTP status %d",
                                       answer->http_status);
        else if (!answer->grpc_status || text_to_u16(answer->grpc_status, &status) < 0)
                *ret_why = say_failed("Internal", "the answer has no grpc-status");
        else if (status != 0)
                *ret_why = say_status(status, message);
        else
                return judge_body(answer->body, answer->body_len, ret_why);
        return false;
}
