#include "base/grpc.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/un.h>

#include "base/http.h"

#define ANSWER_MAX           (4 << 20) /* as Go's client has it */
#define CONNECT_TIMEOUT_USEC (10 * USEC_PER_SEC)

struct grpc_call {
        struct http_session *http; /* owned: one connection */
        char *socket;              /* owned */
        grpc_done_fn done;
        void *userdata;
        bool reporting; /* done is on the stack */
};

static void call_free(struct grpc_call *c)
{
        http_session_free(c->http);
        free(c->socket);
        free(c);
}

struct grpc_call *grpc_cancel(struct grpc_call *c)
{
        if (c && !c->reporting)
                call_free(c);
        return NULL;
}

static enum grpc_code code_of(const struct err *err)
{
        if (err->kind == ERR_TIMEOUT)
                return GRPC_DEADLINE_EXCEEDED;
        if (err->kind == ERR_TOO_MANY)
                return GRPC_RESOURCE_EXHAUSTED;
        return GRPC_UNAVAILABLE;
}

/* curl knows the URL's host and port, which mean nothing here. */
static char *say_broken(const struct grpc_call *c, const struct http_response *response)
{
        int e = response->error;

        if (e == -ENOENT || e == -ECONNREFUSED || e == -EACCES)
                return text_printf("connect to socket '%s': %s", c->socket, strerror(-e));
        return text_printf("socket '%s': %s", c->socket, err_text(response->err));
}

struct grpc_answer grpc_answer_of(struct http_request *request,
                                  const struct http_response *response)
{
        return (struct grpc_answer){
                .http_status = response->status,
                .grpc_status = http_response_header(request, "grpc-status"),
                .grpc_message = http_response_header(request, "grpc-message"),
                .body = response->body,
                .body_len = response->body_len,
        };
}

static void on_done(struct http_request *request, const struct http_response *response,
                    void *userdata)
{
        struct grpc_call *c = userdata;
        const struct grpc_answer answer = grpc_answer_of(request, response);
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *why = NULL;
        struct grpc_result result = { .code = GRPC_INTERNAL };

        if (response->err) {
                result.code = code_of(response->err);
                why = say_broken(c, response);
        } else {
                result.code = grpc_answer_code(&answer, &why);
        }
        if (result.code == GRPC_OK &&
            grpc_answer_message(&answer, &result.message, &result.message_len, &err) < 0) {
                result.code = GRPC_INTERNAL;
                free(why);
                why = strdup(err_text(&err));
        }
        if (result.code != GRPC_OK) {
                err_set(&err, -EIO, "rpc error: code = %s desc = %s", grpc_code_name(result.code),
                        why ? why : "?");
                result.err = &err;
        }
        c->reporting = true;
        c->done(&result, c->userdata);
        call_free(c);
}

static int start(struct grpc_call *c, const struct grpc_options *o, struct err *err)
{
        _cleanup_strbuf_ struct strbuf body = { 0 };
        _cleanup_free_ char *url = text_printf("http://localhost%s", o->method);
        _cleanup_free_ char *timeout = text_printf("grpc-timeout: %" PRIu64 "m",
                                                   o->timeout_usec / USEC_PER_MSEC);
        const char *const headers[] = { "Content-Type: application/grpc", "TE: trailers", timeout,
                                        NULL };
        struct http_options http = { .method = "POST",
                                     .url = url,
                                     .headers = headers,
                                     .http2 = true,
                                     .timeout_usec = o->timeout_usec,
                                     .body_max = ANSWER_MAX,
                                     .done = on_done,
                                     .userdata = c };
        int r;

        grpc_add_prefixed(&body, o->message);
        if (!url || !timeout || body.failed)
                return err_sys(err, -ENOMEM, "call '%s'", o->method);
        http.body = body.data;
        http.body_len = body.len;
        r = http_start(c->http, &http, NULL, err);
        explicit_bzero(body.data, body.len); /* secrets may be in it */
        return r;
}

int grpc_start(sd_event *event, const struct grpc_options *o, struct grpc_call **ret,
               struct err *err)
{
        const struct http_session_options session = {
                .user_agent = "grpc-c/skiff",
                .unix_socket = o->socket,
                .one_shot = true,
                .connect_timeout_usec = MIN(CONNECT_TIMEOUT_USEC, o->timeout_usec),
        };
        struct grpc_call *c;
        int r;

        if (strlen(o->socket) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
                return err_set_kind(err, -ENAMETOOLONG, ERR_BAD_INPUT,
                                    "socket '%s': expected a path of at most 107 bytes", o->socket);
        c = calloc(1, sizeof *c);
        if (!c)
                return err_sys(err, -ENOMEM, "call '%s'", o->method);
        c->done = o->done;
        c->userdata = o->userdata;
        c->socket = strdup(o->socket);
        r = c->socket ? http_session_new(event, &session, &c->http, err)
                      : err_sys(err, -ENOMEM, "call '%s'", o->method);
        if (r == 0)
                r = start(c, o, err);
        if (r < 0) {
                call_free(c);
                return r;
        }
        *ret = c;
        return 0;
}
