#include "kubelet/handler.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/grpc.h"
#include "base/text.h"
#include "kubelet/grpc-health.h"
#include "kubelet/redirect.h"

#define OUTPUT_MAX    10240 /* of an exec's output, and of an HTTP body, in an event */
#define REDIRECTS_MAX 10
#define HTTP_BODY_MAX                                                              \
        (64 << 20) /* read and dropped beyond OUTPUT_MAX by the client's collector \
                    */
#define KUBE_MINOR_TEXT "1.36"

struct handlers {
        sd_event *event;           /* borrowed */
        struct runtime *rt;        /* borrowed */
        struct http_session *http; /* owned; fresh connections, certificates not verified */
};

struct attempt {
        struct handlers *handlers;
        struct attempt_options options;
        struct runtime_op *exec;      /* owned */
        struct http_request *request; /* owned */
        char *url, *body;             /* owned; body: the first OUTPUT_MAX bytes */
        size_t body_len;
        unsigned redirects;
        usec_t deadline;             /* CLOCK_MONOTONIC; 0: none */
        usec_t connect_pause;        /* grpc: before the connection is tried again; 0: first try */
        int fd;                      /* owned; tcpSocket */
        int connect_error;           /* of a connect() that failed at once; told from the loop */
        char *address;               /* owned; "ip:port" for the error */
        sd_event_source *io, *timer; /* owned */
};

static void attempt_free(struct attempt *a)
{
        runtime_op_abandon(a->exec);
        http_cancel(a->request);
        sd_event_source_disable_unref(a->io);
        sd_event_source_disable_unref(a->timer);
        safe_close(a->fd);
        free(a->url);
        free(a->body);
        free(a->address);
        free(a);
}

struct attempt *attempt_cancel(struct attempt *a)
{
        if (a)
                attempt_free(a);
        return NULL;
}

static void finish(struct attempt *a, enum handler_outcome outcome, const char *output)
{
        attempt_done_fn done = a->options.done;
        void *userdata = a->options.userdata;
        _cleanup_free_ char *copy = strdup(output);

        attempt_free(a);
        done(outcome, copy ? copy : "", userdata);
}

/* ---- exec ---- */

static void on_exec_done(int r, const struct exec_result *result, const struct err *err,
                         void *userdata)
{
        struct attempt *a = userdata;
        _cleanup_free_ char *text = NULL;

        a->exec = NULL;
        if (r < 0) {
                finish(a, HANDLER_ERROR, err_text(err));
        } else if (result->timed_out) {
                _cleanup_free_ char *command = strv_join(a->options.handler->command, " ");
                char timeout[TIME_TEXT_MAX];

                text = text_printf("command timed out: \"%s\" timed out after %s",
                                   command ? command : "",
                                   duration_format(a->options.timeout_usec, timeout));
                finish(a, HANDLER_FAILURE, text ? text : "command timed out");
        } else if (a->options.is_hook && result->exit_code != 0) {
                text = text_printf("command '%s' exited with %d: %.*s",
                                   a->options.handler->command[0], result->exit_code,
                                   (int)result->output_len, result->output);
                finish(a, HANDLER_FAILURE, text ? text : "command failed");
        } else {
                text = strndup(result->output, result->output_len);
                finish(a, result->exit_code == 0 ? HANDLER_SUCCESS : HANDLER_FAILURE,
                       text ? text : "");
        }
}

static int start_exec(struct attempt *a, struct err *err)
{
        return exec_sync(a->handlers->rt, a->options.container_id,
                         (const char *const *)a->options.handler->command, a->options.timeout_usec,
                         OUTPUT_MAX, on_exec_done, a, &a->exec, err);
}

/* ---- httpGet ---- */

static int start_request(struct attempt *a, struct err *err);

/* Follows a redirect to the same host name. 1: followed; 0: it leads elsewhere. */
static int follow(struct attempt *a, const char *location, struct err *err)
{
        char *next = NULL;
        int r = redirect_follow(a->url, location, &next);

        if (r <= 0)
                return r < 0 ? err_sys(err, r, "follow a redirect") : 0;
        free(a->url);
        a->url = next;
        a->body_len = 0;
        if (++a->redirects > REDIRECTS_MAX)
                return err_set(err, -ELOOP, "stopped after %d redirects", REDIRECTS_MAX);
        r = start_request(a, err);
        return r < 0 ? r : 1;
}

static int on_http_data(_unused_ struct http_request *r, const void *data, size_t n, void *userdata)
{
        struct attempt *a = userdata;
        size_t room = OUTPUT_MAX - a->body_len;

        n = MIN(n, room);
        memcpy(a->body + a->body_len, data, n);
        a->body_len += n;
        a->body[a->body_len] = '\0';
        return 0; /* the rest is read and dropped */
}

static void finish_unreachable(struct attempt *a, const struct http_response *response)
{
        _cleanup_free_ char *text = NULL;
        const char *why = err_text(response->err);
        enum handler_outcome outcome = a->options.is_hook ? HANDLER_ERROR : HANDLER_FAILURE;

        if (response->err && response->err->kind == ERR_TIMEOUT)
                why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        text = text_printf("Get \"%s\": %s", a->url, why);
        finish(a, outcome, text ? text : why);
}

static void on_http_done(struct http_request *request, const struct http_response *response,
                         void *userdata)
{
        struct attempt *a = userdata;
        const char *location = http_response_header(request, "location");
        _cleanup_free_ char *text = NULL;
        int status = response->status;

        a->request = NULL;
        if (status == 0 || (response->err && !a->options.is_hook && a->body_len < OUTPUT_MAX)) {
                finish_unreachable(a, response);
                return;
        }
        if (a->options.is_hook) { /* whatever was answered */
                finish(a, HANDLER_SUCCESS, "");
                return;
        }
        if (status >= 300 && status <= 399 && location) {
                _cleanup_err_ struct err err = { 0 };
                int r = follow(a, location, &err);

                if (r > 0)
                        return;
                if (r < 0) {
                        text = text_printf("Get \"%s\": %s", a->url, err_text(&err));
                        finish(a, HANDLER_FAILURE, text ? text : "");
                        return;
                }
                text = text_printf("Probe terminated redirects, Response body: %s", a->body);
                finish(a, HANDLER_WARNING, text ? text : "");
                return;
        }
        if (status >= 200 && status < 400) {
                finish(a, HANDLER_SUCCESS, "");
                return;
        }
        text = text_printf("HTTP probe failed with statuscode: %d", status);
        finish(a, HANDLER_FAILURE, text ? text : "");
}

/* The headers of the spec, with the two that everybody sends unless told otherwise. */
static char **build_headers(const struct attempt *a)
{
        const struct pod_handler *h = a->options.handler;
        char **headers = NULL;
        bool has_agent = false, has_accept = false;
        int r = 0;

        for (size_t i = 0; i < h->n_headers && r >= 0; i++) {
                bool accept = strcasecmp(h->headers[i].name, "accept") == 0;

                has_agent |= strcasecmp(h->headers[i].name, "user-agent") == 0;
                has_accept |= accept;
                if (accept && !*h->headers[i].value)
                        r = strv_append(&headers, "Accept:"); /* removes it */
                else
                        r = strv_consume(&headers, text_printf("%s: %s", h->headers[i].name,
                                                               h->headers[i].value));
        }
        if (r >= 0 && !has_agent)
                r = strv_append(&headers, a->options.is_hook
                                                  ? "User-Agent: kube-lifecycle/" KUBE_MINOR_TEXT
                                                  : "User-Agent: kube-probe/" KUBE_MINOR_TEXT);
        if (r >= 0 && !has_accept)
                r = strv_append(&headers, "Accept: */*");
        if (r >= 0)
                r = strv_append(&headers, "Connection: close");
        return r < 0 ? strv_free(headers) : headers;
}

static int start_request(struct attempt *a, struct err *err)
{
        _cleanup_strv_ char **headers = build_headers(a);
        usec_t now = now_monotonic();
        struct http_options o = {
                .method = "GET",
                .url = a->url,
                .headers = (const char *const *)headers,
                .body_max = HTTP_BODY_MAX,
                .on_data = on_http_data,
                .on_data_always = true, /* a warning quotes the body of a redirect */
                .done = on_http_done,
                .userdata = a,
        };

        if (!headers)
                return err_sys(err, -ENOMEM, "prepare the request");
        if (a->deadline)
                o.timeout_usec = a->deadline > now ? a->deadline - now : 1;
        return http_start(a->handlers->http, &o, &a->request, err);
}

static int start_http(struct attempt *a, const char *host, uint16_t port, struct err *err)
{
        const struct pod_handler *h = a->options.handler;
        bool v6 = strchr(host, ':') != NULL;

        a->body = calloc(1, OUTPUT_MAX + 1);
        a->url = text_printf("%s://%s%s%s:%u%s%s", h->https ? "https" : "http", v6 ? "[" : "", host,
                             v6 ? "]" : "", (unsigned)port, h->path[0] == '/' ? "" : "/", h->path);
        if (!a->body || !a->url)
                return err_sys(err, -ENOMEM, "prepare the request");
        return start_request(a, err);
}

/* ---- grpc ---- */

/*
 * Go's gRPC client is asked to block until it is connected: it tries again after 1 s, 1.6 s, ...
 * (give or take a fifth), and only the probe's timeout ends that.
 */
#define GRPC_PAUSE_USEC     USEC_PER_SEC
#define GRPC_PAUSE_GROWTH   1.6
#define GRPC_PAUSE_MAX_USEC (120 * USEC_PER_SEC)

static int send_grpc(struct attempt *a, struct err *err);

static void finish_grpc_unconnected(struct attempt *a)
{
        char timeout[TIME_TEXT_MAX];
        _cleanup_free_ char *text = text_printf(
                "timeout: failed to connect service \"%s\" within %s: context deadline exceeded",
                a->address, duration_format(a->options.timeout_usec, timeout));

        finish(a, HANDLER_FAILURE, text ? text : "timeout: failed to connect service");
}

static void finish_grpc_failed(struct attempt *a, const char *why)
{
        _cleanup_free_ char *text = text_printf("error: failed to connect service at \"%s\": %s",
                                                a->address, why);

        finish(a, HANDLER_FAILURE, text ? text : why);
}

static int on_grpc_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct attempt *a = userdata;
        _cleanup_err_ struct err err = { 0 };

        a->timer = sd_event_source_disable_unref(a->timer);
        if (now_monotonic() >= a->deadline)
                finish_grpc_unconnected(a);
        else if (send_grpc(a, &err) < 0)
                finish_grpc_failed(a, err_text(&err));
        return 0;
}

static void retry_grpc(struct attempt *a, const char *why)
{
        usec_t d = a->connect_pause ? (usec_t)((double)a->connect_pause * GRPC_PAUSE_GROWTH)
                                    : GRPC_PAUSE_USEC;
        usec_t next;
        int r;

        a->connect_pause = MIN(d, GRPC_PAUSE_MAX_USEC);
        next = now_monotonic() + usec_jitter(a->connect_pause * 4 / 5, 50, random_u32());
        r = sd_event_add_time(a->handlers->event, &a->timer, CLOCK_MONOTONIC,
                              MIN(next, a->deadline), ACCURACY_USEC, on_grpc_retry, a);
        if (r < 0)
                finish_grpc_failed(a, why);
}

static void on_grpc_done(struct http_request *request, const struct http_response *response,
                         void *userdata)
{
        struct attempt *a = userdata;
        const struct grpc_answer answer = grpc_answer_of(request, response);
        _cleanup_free_ char *why = NULL;
        char timeout[TIME_TEXT_MAX];

        a->request = NULL;
        if (!response->err) {
                if (grpc_health_judge(&answer, &why))
                        finish(a, HANDLER_SUCCESS, "service healthy");
                else
                        finish(a, HANDLER_FAILURE, why ? why : "service unhealthy");
        } else if (response->err->kind == ERR_TIMEOUT) {
                why = text_printf("timeout: health rpc did not complete within %s",
                                  duration_format(a->options.timeout_usec, timeout));
                finish(a, HANDLER_FAILURE, why ? why : "timeout: health rpc did not complete");
        } else if (response->err->kind == ERR_UNREACHABLE && response->status == 0 && a->deadline) {
                retry_grpc(a, err_text(response->err));
        } else {
                finish_grpc_failed(a, err_text(response->err));
        }
}

static int send_grpc(struct attempt *a, struct err *err)
{
        static const char *const headers[] = { "Content-Type: application/grpc", "TE: trailers",
                                               "User-Agent: kube-probe/" KUBE_MINOR_TEXT, NULL };
        _cleanup_free_ uint8_t *message = NULL;
        usec_t now = now_monotonic();
        struct http_options o = {
                .method = "POST",
                .url = a->url,
                .headers = headers,
                .http2 = true,
                .body_max = OUTPUT_MAX,
                .done = on_grpc_done,
                .userdata = a,
        };
        int n = grpc_health_request(a->options.handler->service, &message);

        if (n < 0)
                return err_sys(err, n, "prepare the request");
        o.body = message;
        o.body_len = (size_t)n;
        if (a->deadline)
                o.timeout_usec = a->deadline > now ? a->deadline - now : 1;
        return http_start(a->handlers->http, &o, &a->request, err);
}

static int start_grpc(struct attempt *a, const char *host, uint16_t port, struct err *err)
{
        a->address = text_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
        if (a->address)
                a->url = text_printf("http://%s" GRPC_HEALTH_PATH, a->address);
        if (!a->url)
                return err_sys(err, -ENOMEM, "prepare the request");
        return send_grpc(a, err);
}

/* ---- tcpSocket ---- */

static void finish_tcp(struct attempt *a, const char *why)
{
        _cleanup_free_ char *text = why ? text_printf("dial tcp %s: %s", a->address, why) : NULL;

        finish(a, why ? HANDLER_FAILURE : HANDLER_SUCCESS, text ? text : "");
}

static void finish_connect(struct attempt *a, int error)
{
        _cleanup_free_ char *why = NULL;

        if (error) {
                why = text_printf("connect: %s", strerror(error));
                if (why && why[9] >= 'A' && why[9] <= 'Z') /* Go's texts are lower case */
                        why[9] = (char)(why[9] - 'A' + 'a');
        }
        finish_tcp(a, error ? (why ? why : "connect") : NULL);
}

static int on_connected(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents,
                        void *userdata)
{
        socklen_t n = sizeof(int);
        int error = 0;

        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                error = errno;
        finish_connect(userdata, error);
        return 0;
}

static int on_timeout(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct attempt *a = userdata;

        if (a->options.handler->kind == POD_HANDLER_SLEEP)
                finish(a, HANDLER_SUCCESS, "");
        else if (a->connect_error)
                finish_connect(a, a->connect_error);
        else
                finish_tcp(a, "i/o timeout");
        return 0;
}

static int arm_timer(struct attempt *a, usec_t pause, struct err *err)
{
        int r = sd_event_add_time(a->handlers->event, &a->timer, CLOCK_MONOTONIC,
                                  now_monotonic() + pause, ACCURACY_USEC, on_timeout, a);

        return r < 0 ? err_sys(err, r, "start a timer") : 0;
}

static int start_tcp(struct attempt *a, const char *host, uint16_t port, struct err *err)
{
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        bool is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
        struct linger linger = { .l_onoff = 1, .l_linger = 1 };
        int r;

        if (!is_v6 && inet_pton(AF_INET, host, &v4.sin_addr) != 1)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "tcpSocket: host '%s': expected an IP address", host);
        a->address = text_printf(is_v6 ? "[%s]:%u" : "%s:%u", host, (unsigned)port);
        if (!a->address)
                return err_sys(err, -ENOMEM, "connect");
        a->fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (a->fd < 0)
                return err_sys(err, -errno, "make a socket");
        /* failing probes must not pile up TIME_WAIT */
        if (setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) < 0)
                return err_sys(err, -errno, "set SO_LINGER");
        if (connect(a->fd, is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4,
                    is_v6 ? sizeof v6 : sizeof v4) < 0 &&
            errno != EINPROGRESS) {
                a->connect_error = errno; /* an answer like any other */
                return arm_timer(a, 0, err);
        }
        r = sd_event_add_io(a->handlers->event, &a->io, a->fd, EPOLLOUT, on_connected, a);
        if (r < 0)
                return err_sys(err, r, "watch a socket");
        return a->options.timeout_usec ? arm_timer(a, a->options.timeout_usec, err) : 0;
}

/* ---- all ---- */

static int bad_port(const struct pod_int_or_name *port, struct err *err)
{
        static const char rule[] = "expected a port name of the container or 1 to 65535";

        return port->name ? err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "couldn't find port: %s: %s",
                                         port->name, rule)
                          : err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "couldn't find port: %d: %s",
                                         port->number, rule);
}

static int start_networked(struct attempt *a, struct err *err)
{
        const struct pod_handler *h = a->options.handler;
        const char *host = h->host && *h->host ? h->host : a->options.pod_ip;
        uint16_t port;

        if (!host || !*host)
                return err_set(err, -ENODEV,
                               "failed to find networking container: the pod has no IP yet");
        if (pod_port_number(a->options.container, &h->port, &port) < 0)
                return bad_port(&h->port, err);
        switch (h->kind) {
        case POD_HANDLER_HTTP_GET:
                return start_http(a, host, port, err);
        case POD_HANDLER_GRPC:
                return start_grpc(a, host, port, err);
        default:
                return start_tcp(a, host, port, err);
        }
}

int attempt_start(struct handlers *h, const struct attempt_options *options, struct attempt **ret,
                  struct err *err)
{
        struct attempt *a = calloc(1, sizeof *a);
        int r;

        if (!a)
                return err_sys(err, -ENOMEM, "start an attempt");
        *a = (struct attempt){ .handlers = h, .options = *options, .fd = -1 };
        if (options->timeout_usec)
                a->deadline = now_monotonic() + options->timeout_usec;
        switch (options->handler->kind) {
        case POD_HANDLER_EXEC:
                r = start_exec(a, err);
                break;
        case POD_HANDLER_HTTP_GET:
        case POD_HANDLER_GRPC:
                r = start_networked(a, err);
                break;
        case POD_HANDLER_TCP_SOCKET:
                r = options->is_hook ? err_set(err, -EINVAL,
                                               "invalid handler: tcpSocket is no lifecycle hook")
                                     : start_networked(a, err);
                break;
        case POD_HANDLER_SLEEP:
                r = arm_timer(a, (usec_t)options->handler->sleep_sec * USEC_PER_SEC, err);
                break;
        default:
                r = err_set_kind(err, -EOPNOTSUPP, ERR_BAD_INPUT, "missing probe handler");
                break;
        }
        if (r < 0) {
                attempt_free(a);
                return r;
        }
        *ret = a;
        return 0;
}

int handlers_new(sd_event *event, struct runtime *rt, struct handlers **ret, struct err *err)
{
        _cleanup_(handlers_freep)
        struct handlers *h = calloc(1, sizeof *h);
        const struct http_session_options options = { .insecure_skip_verify = true,
                                                      .one_shot = true };
        int r;

        if (!h)
                return err_sys(err, -ENOMEM, "start the probes");
        *h = (struct handlers){ .event = event, .rt = rt };
        r = http_session_new(event, &options, &h->http, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

struct handlers *handlers_free(struct handlers *h)
{
        if (!h)
                return NULL;
        http_session_free(h->http);
        free(h);
        return NULL;
}
