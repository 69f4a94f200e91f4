#include "kubelet/grpc-health.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "tests/check.h"

#define ANSWER(...)                                                                            \
        &(const struct grpc_answer)                                                            \
        {                                                                                      \
                .http_status = 200, .grpc_status = "0", .body = (const char[]){ __VA_ARGS__ }, \
                .body_len = sizeof((const char[]){ __VA_ARGS__ })                              \
        }

static void check_unhealthy(const struct grpc_answer *answer, const char *wanted)
{
        _cleanup_free_ char *why = NULL;

        CHECK(!grpc_health_judge(answer, &why));
        CHECK_STR(why, wanted);
}

TEST(a_request_for_the_whole_server_is_an_empty_message)
{
        _cleanup_free_ uint8_t *message = NULL;

        CHECK_INT(grpc_health_request("", &message), 5);
        CHECK(memcmp(message, "\0\0\0\0\0", 5) == 0);
}

TEST(a_request_names_its_service)
{
        _cleanup_free_ uint8_t *message = NULL;

        CHECK_INT(grpc_health_request("liveness", &message), 15);
        CHECK(memcmp(message, "\0\0\0\0\012\012\010liveness", 15) == 0);
}

TEST(the_length_of_a_long_name_takes_two_bytes)
{
        _cleanup_free_ uint8_t *message = NULL;
        char name[301] = "";

        memset(name, 'a', 300);
        CHECK_INT(grpc_health_request(name, &message), 5 + 1 + 2 + 300);
        CHECK(memcmp(message, "\0\0\0\001\057\012\254\002a", 9) == 0);
}

TEST(serving_is_healthy_and_nothing_else)
{
        char *why;

        CHECK(grpc_health_judge(ANSWER(0, 0, 0, 0, 2, 8, 1), &why));
        CHECK(!why);
        check_unhealthy(ANSWER(0, 0, 0, 0, 2, 8, 2),
                        "service unhealthy (responded with \"NOT_SERVING\")");
        check_unhealthy(ANSWER(0, 0, 0, 0, 2, 8, 9), "service unhealthy (responded with \"9\")");
        check_unhealthy(ANSWER(0, 0, 0, 0, 0), "service unhealthy (responded with \"UNKNOWN\")");
}

TEST(unknown_fields_of_an_answer_are_passed_over)
{
        char *why;

        CHECK(grpc_health_judge(ANSWER(0, 0, 0, 0, 6, 18, 2, 8, 2, 8, 1), &why));
}

TEST(an_answer_that_is_cut_short_is_a_failure)
{
        static const char no_answer[] =
                "error: health rpc probe failed: rpc error: code = Internal "
                "desc = the answer is no HealthCheckResponse";

        check_unhealthy(
                ANSWER(0, 0, 0, 0, 9, 8, 1),
                "error: health rpc probe failed: rpc error: code = Internal desc = the answer's message is not as long as it says");
        check_unhealthy(ANSWER(0, 0, 0, 0, 1, 8), no_answer);
        check_unhealthy(ANSWER(0, 0, 0, 0, 2, 18, 9), no_answer);
        check_unhealthy(
                ANSWER(0, 0, 0),
                "error: health rpc probe failed: rpc error: code = Internal desc = the answer holds no message");
}

TEST(an_error_says_its_code)
{
        check_unhealthy(
                &(const struct grpc_answer){ .http_status = 200,
                                             .grpc_status = "12",
                                             .grpc_message = "unknown service" },
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unknown service");
        check_unhealthy(
                &(const struct grpc_answer){
                        .http_status = 200, .grpc_status = "5", .grpc_message = "unknown service" },
                "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service");
        check_unhealthy(
                &(const struct grpc_answer){ .http_status = 200 },
                "error: health rpc probe failed: rpc error: code = Internal desc = the answer has no grpc-status");
        check_unhealthy(&(const struct grpc_answer){ .http_status = 404 },
                        "error: health rpc probe failed: unexpected HTTP status 404");
}
