#include "kubelet/grpc-health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/protobuf.h"
#include "base/text.h"

/* HealthCheckRequest.service and HealthCheckResponse.status */
#define FIELD_SERVICE 1
#define FIELD_STATUS  1
#define SERVING       1

int grpc_health_request(const char *service, uint8_t **ret)
{
        _cleanup_strbuf_ struct strbuf message = { 0 };
        struct strbuf body = { 0 };
        int n;

        protobuf_add_text(&message, FIELD_SERVICE, service);
        grpc_add_prefixed(&body, &message);
        n = (int)body.len;
        *ret = (uint8_t *)strbuf_take(&body);
        return *ret ? n : -ENOMEM;
}

/* The status of a HealthCheckResponse; 0 when it says none, as protobuf has it. */
static int read_status(const uint8_t *message, size_t n, uint64_t *ret)
{
        struct protobuf_reader reader = protobuf_reader(message, n);
        struct protobuf_field f;
        int r;

        *ret = 0;
        while ((r = protobuf_next(&reader, &f, NULL)) > 0) {
                if (f.number == FIELD_STATUS)
                        r = protobuf_number(&f, "status", ret, NULL);
                if (r < 0)
                        break;
        }
        return r;
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

static char *say_failed(enum grpc_code code, const char *description)
{
        return text_printf("error: health rpc probe failed: rpc error: code = %s desc = %s",
                           grpc_code_name(code), description);
}

static char *say_code(enum grpc_code code, const char *message)
{
        if (code == GRPC_UNIMPLEMENTED)
                return text_printf("error: this server does not implement the grpc health protocol "
                                   "(grpc.health.v1.Health): %s",
                                   message);
        return say_failed(code, message);
}

static bool judge_message(const struct grpc_answer *answer, char **ret_why)
{
        _cleanup_err_ struct err err = { 0 };
        const uint8_t *message;
        uint64_t status;
        size_t n;

        if (grpc_answer_message(answer, &message, &n, &err) < 0)
                *ret_why = say_failed(GRPC_INTERNAL, err_text(&err));
        else if (read_status(message, n, &status) < 0)
                *ret_why = say_failed(GRPC_INTERNAL, "the answer is no HealthCheckResponse");
        else if (status != SERVING)
                *ret_why = say_unhealthy(status);
        else
                return true;
        return false;
}

bool grpc_health_judge(const struct grpc_answer *answer, char **ret_why)
{
        _cleanup_free_ char *message = NULL;
        enum grpc_code code;

        *ret_why = NULL;
        if (answer->http_status != 200) {
                *ret_why = text_printf("error: health rpc probe failed: unexpected HTTP status %d",
                                       answer->http_status);
                return false;
        }
        code = grpc_answer_code(answer, &message);
        if (code == GRPC_OK)
                return judge_message(answer, ret_why);
        *ret_why = say_code(code, message ? message : "");
        return false;
}
