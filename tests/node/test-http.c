#include "base/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"

static struct fake *api;

/* One session and what its requests came to. */
struct run {
        sd_event *event;
        struct http_session *session;
        struct http_request *request;
        unsigned n_done, n_data;
        int status, error;
        enum err_kind kind;
        char text[512], body[512], type[64];
        size_t body_len;
        usec_t retry_after_usec;
        enum { DO_NOTHING, DO_CANCEL, DO_START, DO_RESET, DO_FREE, DO_ABORT } in_data, in_done;
        struct http_options next; /* what DO_START starts */
};

static void act(struct run *r, int what)
{
        struct http_options next = r->next;

        if (what == DO_CANCEL)
                r->request = http_cancel(r->request);
        else if (what == DO_RESET)
                http_session_reset(r->session, "the test says so");
        else if (what == DO_FREE)
                r->session = http_session_free(r->session);
        else if (what == DO_START)
                CHECK_INT(http_start(r->session, &next, NULL, NULL), 0);
}

static int on_data(struct http_request *request, _unused_ const void *data, size_t n,
                   void *userdata)
{
        struct run *r = userdata;

        CHECK(n > 0);
        CHECK_INT(http_request_status(request), 200);
        if (r->n_data++ == 0)
                act(r, r->in_data);
        return r->in_data == DO_ABORT ? -EPROTO : 0;
}

static void on_done(_unused_ struct http_request *request, const struct http_response *response,
                    void *userdata)
{
        struct run *r = userdata;

        r->n_done++;
        r->status = response->status;
        r->error = response->error;
        r->kind = response->err ? response->err->kind : ERR_OTHER;
        r->body_len = response->body_len;
        r->retry_after_usec = response->retry_after_usec;
        CHECK((response->err != NULL) == (response->error < 0));
        snprintf(r->text, sizeof r->text, "%s", response->err ? err_text(response->err) : "");
        snprintf(r->body, sizeof r->body, "%s", response->body);
        snprintf(r->type, sizeof r->type, "%s", response->content_type);
        if (r->n_done == 1)
                act(r, r->in_done);
}

static void begin_with(struct run *r, const struct http_session_options *o)
{
        *r = (struct run){ 0 };
        CHECK(sd_event_new(&r->event) >= 0);
        CHECK_INT(http_session_new(r->event, o, &r->session, NULL), 0);
}

static void begin(struct run *r)
{
        if (!api)
                api = fake_start("apiserver.py", NULL);
        fake_control(api, "{\"op\":\"clear\"}");
        begin_with(r, &(struct http_session_options){ .user_agent = "test/1" });
}

static void finish(struct run *r)
{
        http_session_free(r->session);
        sd_event_unref(r->event);
}

static void start(struct run *r, const char *path, struct http_options o)
{
        _cleanup_free_ char *url = text_printf("%s%s", api->url, path);
        _cleanup_err_ struct err err = { 0 };

        o.method = o.method ? o.method : "GET";
        o.url = o.url ? o.url : url;
        o.done = on_done;
        o.userdata = r;
        if (http_start(r->session, &o, &r->request, &err) < 0)
                fail_msg("%s", err_text(&err));
        r->n_done = 0;
}

static void get(struct run *r, const char *path, struct http_options o)
{
        start(r, path, o);
        CHECK_INT(r->n_done, 0); /* never from http_start() */
        RUN_UNTIL(r->event, r->n_done == 1);
}

static void fault(const char *action, const char *more)
{
        fake_control(api, "{\"op\":\"fault\",\"action\":\"%s\",\"match\":{\"method\":\"GET\"}%s%s}",
                     action, more ? "," : "", more ? more : "");
}

#define STREAM "/api/v1/namespaces?watch=true"

TEST(an_answer_comes_whole_with_its_status_and_type)
{
        struct run r;

        begin(&r);
        get(&r, "/healthz", (struct http_options){ 0 });
        CHECK_INT(r.status, 200);
        CHECK_STR(r.body, "ok");
        CHECK_STR(r.type, "application/json");
        CHECK_INT(r.error, 0);
        get(&r, "/nothing", (struct http_options){ .on_data = on_data });
        CHECK_INT(r.status, 404);
        CHECK_CONTAINS(r.body, "NotFound"); /* only 2xx bodies are streamed */
        CHECK_INT(r.n_data, 0);
        finish(&r);
}

TEST(bodies_and_headers_are_sent_as_given)
{
        static const char *const headers[] = { "Authorization: Bearer x", "Content-Type: a/b",
                                               NULL };
        struct run r;
        json_t *seen;
        const json_t *last;

        begin(&r);
        json_decref(fake_ask(api, "POST", "/_control", "{\"op\":\"requests\",\"reset\":true}"));
        get(&r, "/api/v1/nodes",
            (struct http_options){ .method = "POST",
                                   .headers = headers,
                                   .body = "{\"metadata\":{\"name\":\"h\"}}",
                                   .body_len = 25 });
        CHECK_INT(r.status, 201);
        get(&r, "/api/v1/nodes/h", (struct http_options){ .method = "DELETE" });
        CHECK_INT(r.status, 200);
        get(&r, "/api/v1/nodes", (struct http_options){ .method = "POST" });
        CHECK_INT(r.status, 422);
        seen = fake_ask(api, "POST", "/_control", "{\"op\":\"requests\"}");
        last = json_array_get(seen, 1);
        CHECK_STR(json_text_at(last, "authorization"), "Bearer x");
        CHECK_STR(json_text_at(last, "type"), "a/b");
        CHECK_STR(json_text_at(last, "agent"), "test/1");
        last = json_array_get(seen, 3);
        CHECK_STR(json_text_at(last, "method"), "POST");
        CHECK(json_is_null(json_object_get(last, "type")));
        json_decref(seen);
        finish(&r);
}

TEST(a_bad_url_or_header_is_refused_at_once)
{
        static const char *const urls[] = { "",           "localhost", "file:///etc/passwd",
                                            "ftp://x/",   "http://",   "http://a:99999/",
                                            "http://a b/" };
        static const char *const headers[] = { "A: b\r\nC: d", NULL };
        struct run r;

        begin(&r);
        for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
                struct http_options o = { .method = "GET", .url = urls[i], .done = on_done };
                _cleanup_err_ struct err err = { 0 };

                if (http_start(r.session, &o, NULL, &err) != -EINVAL)
                        fail_msg("'%s' was taken", urls[i]);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
        }
        CHECK_INT(http_start(r.session,
                             &(struct http_options){ .method = "GET",
                                                     .url = "http://127.0.0.1/",
                                                     .headers = headers,
                                                     .done = on_done },
                             NULL, NULL),
                  -EINVAL);
        finish(&r);
}

TEST(failures_are_told_apart)
{
        struct run r;

        begin(&r);
        get(&r, "", (struct http_options){ .url = "http://127.0.0.1:1/" });
        CHECK_INT(r.status, 0);
        CHECK_INT(r.error, -ECONNREFUSED);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        CHECK_CONTAINS(r.text, "Connection refused");
        fault("close", NULL);
        get(&r, "/healthz", (struct http_options){ 0 });
        CHECK_INT(r.error, -ECONNRESET);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        fault("garbage", NULL);
        get(&r, "/healthz", (struct http_options){ 0 });
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        fault("hang", NULL);
        get(&r, "/healthz", (struct http_options){ .timeout_usec = 100 * USEC_PER_MSEC });
        CHECK_INT(r.error, -ETIMEDOUT);
        CHECK_INT(r.kind, ERR_TIMEOUT);
        fault("hang", NULL);
        get(&r, "/healthz",
            (struct http_options){ .idle_timeout_usec = 9 * USEC_PER_SEC,
                                   .first_byte_timeout_usec = 100 * USEC_PER_MSEC });
        CHECK_INT(r.error, -ETIMEDOUT);
        CHECK_STR(r.text, "no byte for 100 ms");
        fault("cut", NULL);
        get(&r, STREAM, (struct http_options){ 0 });
        CHECK_INT(r.status, 200);
        CHECK_INT(r.error, -ECONNRESET);
        get(&r, "/api/v1/namespaces", (struct http_options){ .body_max = 100 });
        CHECK_INT(r.error, -EFBIG);
        CHECK_INT(r.kind, ERR_TOO_MANY);
        get(&r, "/healthz", (struct http_options){ 0 }); /* and all is well again */
        CHECK_INT(r.error, 0);
        finish(&r);
}

TEST(a_server_that_never_finishes_the_handshake_is_unreachable)
{
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof address;
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_free_ char *url = NULL;
        struct run r;

        CHECK(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 1) == 0);
        CHECK(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
        url = text_printf("https://127.0.0.1:%d/", ntohs(address.sin_port));
        begin_with(&r,
                   &(struct http_session_options){ .connect_timeout_usec = 200 * USEC_PER_MSEC });
        get(&r, "", (struct http_options){ .url = url });
        CHECK_INT(r.error, -EHOSTUNREACH);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        finish(&r);
}

TEST(retry_after_is_read)
{
        struct run r;

        begin(&r);
        fault("status", "\"code\":429,\"retry_after\":7");
        get(&r, "/healthz", (struct http_options){ 0 });
        CHECK_INT(r.status, 429);
        CHECK(r.retry_after_usec == 7 * USEC_PER_SEC);
        finish(&r);
}

TEST(a_silent_stream_times_out_and_a_talking_one_does_not)
{
        struct run r;
        usec_t before = now_monotonic();

        begin(&r);
        start(&r, STREAM,
              (struct http_options){ .on_data = on_data,
                                     .idle_timeout_usec = 300 * USEC_PER_MSEC });
        for (int i = 0; i < 6; i++) {
                run_for(r.event, 100 * USEC_PER_MSEC);
                CHECK_INT(r.n_done, 0);
                fake_control(api, "{\"op\":\"inject\",\"text\":\"\\n\"}");
        }
        RUN_UNTIL(r.event, r.n_done == 1);
        CHECK_INT(r.error, -ETIMEDOUT);
        CHECK(now_monotonic() - before > 800 * USEC_PER_MSEC);
        finish(&r);
}

TEST(on_data_may_cancel_start_reset_and_abort)
{
        struct run r;

        begin(&r);
        r.in_data = DO_CANCEL;
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_data > 0);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_data, 1);
        CHECK_INT(r.n_done, 0);
        finish(&r);

        begin(&r);
        r.in_data = DO_START;
        r.next = (struct http_options){ .method = "GET", .done = on_done, .userdata = &r };
        r.next.url = text_printf("%s/healthz", api->url);
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_done == 1);
        CHECK_STR(r.body, "ok");
        free((char *)r.next.url);
        finish(&r);

        begin(&r);
        r.in_data = DO_RESET;
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_done == 1);
        CHECK_INT(r.error, -ECONNRESET);
        CHECK_STR(r.text, "connection dropped: the test says so");
        finish(&r);

        begin(&r);
        r.in_data = DO_ABORT;
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_done == 1);
        CHECK_INT(r.error, -EPROTO);
        CHECK_INT(r.n_data, 1);
        finish(&r);
}

TEST(the_session_may_be_freed_from_any_callback)
{
        struct run r;

        begin(&r);
        r.in_data = DO_FREE;
        for (int i = 0; i < 5; i++)
                start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_data > 0);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_data, 1);
        CHECK_INT(r.n_done, 0);
        finish(&r);

        begin(&r);
        r.in_done = DO_FREE;
        for (int i = 0; i < 5; i++)
                start(&r, "/healthz", (struct http_options){ 0 });
        RUN_UNTIL(r.event, r.n_done > 0);
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_done, 1);
        finish(&r);
}

TEST(a_done_callback_may_cancel_itself_and_start_and_reset)
{
        struct run r;

        begin(&r);
        r.in_done = DO_CANCEL;
        get(&r, "/healthz", (struct http_options){ 0 });
        r.in_done = DO_RESET;
        get(&r, "/healthz", (struct http_options){ 0 });
        r.in_done = DO_START;
        r.next = (struct http_options){ .method = "GET", .done = on_done, .userdata = &r };
        r.next.url = text_printf("%s/healthz", api->url);
        start(&r, "/healthz", (struct http_options){ 0 });
        RUN_UNTIL(r.event, r.n_done == 2);
        free((char *)r.next.url);
        finish(&r);
}

TEST(a_connection_is_used_again_until_the_session_is_reset)
{
        struct run r;
        json_t *seen;
        json_int_t port[3];

        begin(&r);
        json_decref(fake_ask(api, "POST", "/_control", "{\"op\":\"requests\",\"reset\":true}"));
        get(&r, "/healthz", (struct http_options){ 0 });
        get(&r, "/healthz", (struct http_options){ 0 });
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_data > 0);
        http_session_reset(r.session, "test");
        CHECK_INT(r.n_done, 0); /* from the loop alone */
        RUN_UNTIL(r.event, r.n_done == 1);
        CHECK_INT(r.kind, ERR_UNREACHABLE);
        get(&r, "/healthz", (struct http_options){ 0 });
        seen = fake_ask(api, "POST", "/_control", "{\"op\":\"requests\"}");
        for (int i = 0; i < 2; i++)
                port[i] = json_integer_value(
                        json_object_get(json_array_get(seen, 1 + (size_t)i), "port"));
        port[2] = json_integer_value(json_object_get(json_array_get(seen, 4), "port"));
        CHECK_INT(port[0], port[1]);
        CHECK(port[2] != port[0]);
        json_decref(seen);
        for (int i = 0; i < 100; i++) { /* the server sees it when it writes: only ours is left */
                json_t *now;
                json_int_t open;

                fake_control(api, "{\"op\":\"inject\",\"text\":\"\\n\"}");
                now = fake_ask(api, "POST", "/_control", "{\"op\":\"state\"}");
                open = json_integer_value(json_object_get(now, "connections"));
                json_decref(now);
                if (open == 1)
                        break;
                CHECK(i < 99);
                usleep(10000);
        }
        finish(&r);
}

TEST(a_one_shot_session_connects_anew_each_time)
{
        struct run r;
        json_auto_t *seen = NULL;

        begin(&r);
        json_decref(fake_ask(api, "POST", "/_control", "{\"op\":\"requests\",\"reset\":true}"));
        http_session_free(r.session);
        CHECK_INT(http_session_new(r.event, &(struct http_session_options){ .one_shot = true },
                                   &r.session, NULL),
                  0);
        get(&r, "/healthz", (struct http_options){ 0 });
        get(&r, "/healthz", (struct http_options){ 0 });
        seen = fake_ask(api, "POST", "/_control", "{\"op\":\"requests\"}");
        CHECK(json_integer_value(json_object_get(json_array_get(seen, 1), "port")) !=
              json_integer_value(json_object_get(json_array_get(seen, 2), "port")));
        finish(&r);
}

/* A socket that listens but takes no more: a connection to it stays under way. */
static int listen_full(struct sockaddr_in *address, int *ret_filler)
{
        socklen_t size = sizeof *address;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        *address = (struct sockaddr_in){ .sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        CHECK(bind(fd, (struct sockaddr *)address, size) == 0 && listen(fd, 0) == 0);
        CHECK(getsockname(fd, (struct sockaddr *)address, &size) == 0);
        *ret_filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_INT(connect(*ret_filler, (struct sockaddr *)address, size), 0);
        return fd;
}

/* A child forked while curl connects has the socket's file open too, and epoll goes on showing it.
 */
TEST(a_child_forked_meanwhile_does_not_make_the_loop_trip_over_a_cancelled_connection)
{
        struct sockaddr_in address;
        _cleanup_free_ char *url = NULL;
        int filler, fd = listen_full(&address, &filler);
        pid_t child;
        struct run r;

        begin(&r);
        url = text_printf("http://127.0.0.1:%d/", ntohs(address.sin_port));
        start(&r, "", (struct http_options){ .url = url });
        run_for(r.event, 50 * USEC_PER_MSEC);
        CHECK_INT(r.n_done, 0);
        child = fork();
        CHECK(child >= 0);
        if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(fd);
                pause();
                _exit(0);
        }
        http_cancel(r.request);
        close(filler);
        close(fd); /* what is sent again after a second is refused, and the child's copy shows it */
        run_for(r.event, 1500 * USEC_PER_MSEC);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        finish(&r);
}

TEST(proxies_of_the_environment_are_not_asked)
{
        struct run r;

        begin(&r);
        setenv("http_proxy", "http://127.0.0.1:1", 1);
        setenv("all_proxy", "http://127.0.0.1:1", 1);
        get(&r, "/healthz", (struct http_options){ 0 });
        CHECK_INT(r.status, 200);
        unsetenv("http_proxy");
        unsetenv("all_proxy");
        finish(&r);
}

TEST(many_requests_at_once_all_end)
{
        struct run r;

        begin(&r);
        for (int i = 0; i < 50; i++)
                start(&r, "/healthz", (struct http_options){ 0 });
        RUN_UNTIL(r.event, r.n_done == 50);
        finish(&r);
}

static char *pki_file(const char *name)
{
        return text_printf("%s/%s", fake_pki(), name);
}

static char *pki_text(const char *name)
{
        _cleanup_free_ char *path = pki_file(name);
        char *text = NULL;

        CHECK(fs_read_at(AT_FDCWD, path, 65536, &text, NULL) == 0);
        return text;
}

TEST(tls_verifies_the_authority_the_name_and_shows_our_certificate)
{
        _cleanup_free_ char *ca = pki_file("ca.crt"), *other = pki_file("other-ca.crt"),
                            *server = pki_file("server.crt"), *server_key = pki_file("server.key"),
                            *cert = pki_file("client.crt"), *key = pki_file("client.key"),
                            *both = pki_file("client.pem"), *stranger = pki_file("stranger.crt"),
                            *stranger_key = pki_file("stranger.key"), *ca_pem = pki_text("ca.crt"),
                            *cert_pem = pki_text("client.crt"), *key_pem = pki_text("client.key");
        const char *const args[] = { "--tls-cert",  server, "--tls-key", server_key,
                                     "--client-ca", ca,     NULL };
        struct fake *tls = fake_start("apiserver.py", args);
        _cleanup_free_ char *url = text_printf("https://localhost:%d/healthz", tls->port);
        _cleanup_free_ char *by_ip = text_printf("https://127.0.0.1:%d/healthz", tls->port);
        const struct {
                const char *what, *url;
                struct http_session_options o;
                int status;
                const char *text;
        } cases[] = {
                { "files", url, { .ca_file = ca, .cert_file = cert, .key_file = key }, 200, "" },
                { "one file",
                  url,
                  { .ca_file = ca, .cert_file = both, .key_file = both },
                  200,
                  "" },
                { "data",
                  url,
                  { .ca_data = ca_pem, .cert_data = cert_pem, .key_data = key_pem },
                  200,
                  "" },
                { "mixed",
                  url,
                  { .ca_data = ca_pem, .cert_file = cert, .key_data = key_pem },
                  200,
                  "" },
                { "other authority",
                  url,
                  { .ca_file = other, .cert_file = cert, .key_file = key },
                  0,
                  "certificate" },
                { "system's authorities",
                  url,
                  { .cert_file = cert, .key_file = key },
                  0,
                  "certificate" },
                { "other name",
                  by_ip,
                  { .ca_file = ca, .cert_file = cert, .key_file = key },
                  0,
                  "matches" },
                { "name given",
                  by_ip,
                  { .ca_file = ca,
                    .cert_file = cert,
                    .key_file = key,
                    .tls_server_name = "api.test" },
                  200,
                  "" },
                { "wrong name given",
                  url,
                  { .ca_file = ca,
                    .cert_file = cert,
                    .key_file = key,
                    .tls_server_name = "api.wrong" },
                  0,
                  "matches" },
                { "unverified",
                  by_ip,
                  { .insecure_skip_verify = true, .cert_file = cert, .key_file = key },
                  200,
                  "" },
                { "no certificate", url, { .ca_file = ca }, 0, "" },
                { "stranger",
                  url,
                  { .ca_file = ca, .cert_file = stranger, .key_file = stranger_key },
                  0,
                  "" },
                { "wrong key",
                  url,
                  { .ca_file = ca, .cert_file = cert, .key_file = stranger_key },
                  0,
                  "" },
                { "no such file", url, { .ca_file = "/nonexistent" }, 0, "/nonexistent" },
                { "data that is none", url, { .ca_data = "x" }, 0, "" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct run r;

                begin_with(&r, &cases[i].o);
                get(&r, "", (struct http_options){ .url = cases[i].url });
                if (r.status != cases[i].status || !strstr(r.text, cases[i].text))
                        fail_msg("%s: status %d, '%s'", cases[i].what, r.status, r.text);
                CHECK((r.error < 0) == (r.status == 0));
                finish(&r);
        }
        fake_stop(tls);
}

TEST(escape_leaves_what_urls_may_hold)
{
        _cleanup_free_ char *e = http_escape("a-Z_0.9~ /=&+%\xc3\xa9");

        CHECK_STR(e, "a-Z_0.9~%20%2F%3D%26%2B%25%C3%A9");
}

TEST(nothing_is_left_open)
{
        struct run r;
        int before = count_descriptors();

        begin(&r);
        start(&r, STREAM, (struct http_options){ .on_data = on_data });
        RUN_UNTIL(r.event, r.n_data > 0);
        finish(&r);
        CHECK_INT(count_descriptors(), before);
        api = fake_stop(api);
}
