#include "kubelet/handler.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "tests/check.h"

/*
 * Attempts against a server of one connection that reads until the request is whole and then sends
 * fixed bytes: a text for HTTP/1.1, a few frames for gRPC.
 */
#define PREFACE_SIZE 24
#define FRAME_HEAD   9
#define FRAME_DATA   0
#define END_STREAM   1

#define SETTINGS 0, 0, 0, 4, 0, 0, 0, 0, 0, /* */ 0, 0, 0, 4, 1, 0, 0, 0, 0
#define HEAD     0, 0, 20, 1, 4, 0, 0, 0, 1, 0x88, 0x0f, 0x10, 16 /* :status 200, content-type */
#define TRAILER  0, 0, 15, 1, 5, 0, 0, 0, 1, 0, 11                /* a new name, grpc-status */
#define DATA(n)  0, 0, n, 0, 0, 0, 0, 0, 1

static const uint8_t settings[] = { SETTINGS };
static const uint8_t head[] = { HEAD };
static const uint8_t serving[] = { DATA(7), 0, 0, 0, 0, 2, 8, 1 };
static const uint8_t not_serving[] = { DATA(7), 0, 0, 0, 0, 2, 8, 2 };
static const uint8_t trailer[] = { TRAILER };

struct rig {
        sd_event *event;
        struct handlers *handlers;
        struct attempt *attempt;
        struct pod_handler handler;
        char service[1], path[2];
        sd_event_source *accept, *read, *timer;
        int listener, connection;
        uint16_t port;
        uint8_t received[4096];
        size_t n_received;
        const uint8_t *message; /* NULL: stays silent */
        size_t message_len;
        const char *text; /* an HTTP/1.1 server, and its whole answer */
        enum handler_outcome outcome;
        char output[256];
        bool done;
};

static void answer(struct rig *r)
{
        CHECK_INT(write(r->connection, head, sizeof head), sizeof head);
        CHECK_INT(write(r->connection, "application/grpc", 16), 16);
        CHECK_INT(write(r->connection, r->message, r->message_len), r->message_len);
        CHECK_INT(write(r->connection, trailer, sizeof trailer), sizeof trailer);
        CHECK_INT(write(r->connection, "grpc-status\0010", 13), 13);
}

static bool request_is_whole(const struct rig *r)
{
        for (size_t at = PREFACE_SIZE; at + FRAME_HEAD <= r->n_received;) {
                const uint8_t *f = r->received + at;
                size_t size = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];

                at += FRAME_HEAD + size;
                if (f[3] == FRAME_DATA && f[4] & END_STREAM)
                        return at <= r->n_received;
        }
        return false;
}

static int on_readable(sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata)
{
        struct rig *r = userdata;
        ssize_t n = read(fd, r->received + r->n_received, sizeof r->received - r->n_received);

        if (n <= 0) {
                sd_event_source_set_enabled(s, SD_EVENT_OFF);
                return 0;
        }
        r->n_received += (size_t)n;
        if (r->text && memmem(r->received, r->n_received, "\r\n\r\n", 4)) {
                CHECK_INT(write(r->connection, r->text, strlen(r->text)), strlen(r->text));
                r->connection = safe_close(r->connection);
                r->read = sd_event_source_disable_unref(r->read);
                r->n_received = 0;
        } else if (r->message && request_is_whole(r))
                answer(r);
        return 0;
}

static int on_connection(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents,
                         void *userdata)
{
        struct rig *r = userdata;

        r->connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        CHECK(r->connection >= 0);
        if (!r->text)
                CHECK_INT(write(r->connection, settings, sizeof settings), sizeof settings);
        CHECK(sd_event_add_io(r->event, &r->read, r->connection, EPOLLIN, on_readable, r) >= 0);
        return 0;
}

/* From here on connections are taken; a bound port that nobody listens on refuses them. */
static void listen_now(struct rig *r)
{
        CHECK_INT(listen(r->listener, 4), 0);
        CHECK(sd_event_add_io(r->event, &r->accept, r->listener, EPOLLIN, on_connection, r) >= 0);
}

static int on_time_to_listen(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        listen_now(userdata);
        return 0;
}

static void on_attempt_done(enum handler_outcome outcome, const char *output, void *userdata)
{
        struct rig *r = userdata;

        r->attempt = NULL;
        r->outcome = outcome;
        snprintf(r->output, sizeof r->output, "%s", output);
        r->done = true;
}

static void rig_init(struct rig *r)
{
        struct sockaddr_in any = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof any;
        _cleanup_err_ struct err err = { 0 };

        *r = (struct rig){ .connection = -1, .path = "/" };
        CHECK(sd_event_new(&r->event) >= 0);
        CHECK_INT(handlers_new(r->event, NULL, &r->handlers, &err), 0);
        r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        CHECK(r->listener >= 0);
        CHECK_INT(bind(r->listener, (struct sockaddr *)&any, sizeof any), 0);
        CHECK_INT(getsockname(r->listener, (struct sockaddr *)&any, &n), 0);
        r->port = ntohs(any.sin_port);
}

static void rig_done(struct rig *r)
{
        attempt_cancel(r->attempt);
        sd_event_source_disable_unref(r->accept);
        sd_event_source_disable_unref(r->read);
        sd_event_source_disable_unref(r->timer);
        safe_close(r->connection);
        safe_close(r->listener);
        handlers_free(r->handlers);
        sd_event_unref(r->event);
}

static void start(struct rig *r, usec_t timeout_usec)
{
        static const struct pod_container container = { 0 };
        const struct attempt_options o = { .handler = &r->handler,
                                           .container = &container,
                                           .container_id = "",
                                           .pod_ip = "127.0.0.1",
                                           .timeout_usec = timeout_usec,
                                           .done = on_attempt_done,
                                           .userdata = r };
        _cleanup_err_ struct err err = { 0 };

        r->handler = (struct pod_handler){ .kind = r->text ? POD_HANDLER_HTTP_GET
                                                           : POD_HANDLER_GRPC,
                                           .port = { .number = r->port },
                                           .path = r->path,
                                           .service = r->service };
        CHECK_INT(attempt_start(r->handlers, &o, &r->attempt, &err), 0);
}

static void probe(struct rig *r, usec_t timeout_usec)
{
        start(r, timeout_usec);
        for (usec_t deadline = now_monotonic() + 20 * USEC_PER_SEC; !r->done;) {
                CHECK(now_monotonic() < deadline);
                CHECK(sd_event_run(r->event, 100 * USEC_PER_MSEC) >= 0);
        }
}

static void check_failure(const struct rig *r, const char *wanted)
{
        CHECK_INT(r->outcome, HANDLER_FAILURE);
        CHECK_STR(r->output, wanted);
}

TEST(a_grpc_service_that_serves_is_healthy)
{
        struct rig r;

        rig_init(&r);
        r.message = serving;
        r.message_len = sizeof serving;
        listen_now(&r);
        probe(&r, 10 * USEC_PER_SEC);
        CHECK_STR(r.output, "service healthy");
        CHECK_INT(r.outcome, HANDLER_SUCCESS);
        rig_done(&r);
}

TEST(a_grpc_service_that_does_not_serve_is_not)
{
        struct rig r;

        rig_init(&r);
        r.message = not_serving;
        r.message_len = sizeof not_serving;
        listen_now(&r);
        probe(&r, 10 * USEC_PER_SEC);
        CHECK_STR(r.output, "service unhealthy (responded with \"NOT_SERVING\")");
        CHECK_INT(r.outcome, HANDLER_FAILURE);
        rig_done(&r);
}

TEST(a_grpc_port_that_refuses_is_tried_again_within_the_timeout)
{
        struct rig r;

        rig_init(&r);
        r.message = serving;
        r.message_len = sizeof serving;
        CHECK(sd_event_add_time_relative(r.event, &r.timer, CLOCK_MONOTONIC, 100 * USEC_PER_MSEC,
                                         ACCURACY_USEC, on_time_to_listen, &r) >= 0);
        probe(&r, 10 * USEC_PER_SEC);
        CHECK_STR(r.output, "service healthy");
        CHECK_INT(r.outcome, HANDLER_SUCCESS);
        rig_done(&r);
}

TEST(a_grpc_port_that_refuses_to_the_end_is_a_timeout)
{
        struct rig r;
        _cleanup_free_ char *wanted = NULL;

        rig_init(&r);
        probe(&r, 200 * USEC_PER_MSEC);
        wanted = text_printf("timeout: failed to connect service \"127.0.0.1:%u\" within 200ms: "
                             "context deadline exceeded",
                             (unsigned)r.port);
        check_failure(&r, wanted);
        rig_done(&r);
}

TEST(a_grpc_server_that_takes_the_request_and_says_nothing_is_a_timeout)
{
        struct rig r;

        rig_init(&r);
        listen_now(&r);
        probe(&r, 300 * USEC_PER_MSEC);
        check_failure(&r, "timeout: health rpc did not complete within 300ms");
        rig_done(&r);
}

TEST(a_grpc_attempt_that_waits_to_try_again_can_be_cancelled)
{
        struct rig r;
        usec_t until = now_monotonic() + 200 * USEC_PER_MSEC;

        rig_init(&r);
        start(&r, 10 * USEC_PER_SEC);
        while (now_monotonic() < until)
                CHECK(sd_event_run(r.event, 20 * USEC_PER_MSEC) >= 0);
        CHECK(!r.done);
        r.attempt = attempt_cancel(r.attempt);
        rig_done(&r);
        CHECK(!r.done);
}

static void check_http(const char *answer, enum handler_outcome outcome, const char *output)
{
        struct rig r;

        rig_init(&r);
        r.text = answer;
        listen_now(&r);
        probe(&r, 10 * USEC_PER_SEC);
        CHECK_STR(r.output, output);
        CHECK_INT(r.outcome, outcome);
        rig_done(&r);
}

TEST(an_http_status_from_200_to_399_is_success)
{
        check_http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", HANDLER_SUCCESS, "");
        check_http("HTTP/1.1 304 Not Modified\r\n\r\n", HANDLER_SUCCESS, "");
        check_http("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", HANDLER_FAILURE,
                   "HTTP probe failed with statuscode: 404");
}

TEST(an_http_redirect_to_another_host_is_a_warning_that_quotes_the_body)
{
        check_http("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 4\r\n"
                   "\r\nthis",
                   HANDLER_WARNING, "Probe terminated redirects, Response body: this");
}
