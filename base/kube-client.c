#include "base/kube-client.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/kube-internal.h"
#include "base/log.h"
#include "base/text.h"

#define TIMEOUT_DEFAULT_USEC (30 * USEC_PER_SEC)
#define TOKEN_MAX            (64 << 10)
#define ANSWERS_MAX          32
#define STATUS_QUOTED_MAX    200 /* of an answer that is no metav1.Status */

/* What a file was when it was read: another answer means another content. */
struct file_version {
        dev_t device;
        ino_t inode;
        struct timespec changed; /* ctime: chmod counts too */
        off_t size;
};

struct kube_session {
        sd_event *event; /* own reference */
        struct http_session *http;
        char *server, *token_file, *cert_file, *key_file; /* of the kubeconfig; owned */
        char *authorization; /* owned: "Authorization: Bearer …", or NULL */
        struct file_version token_version, cert_version, key_version;
        bool connected;
        usec_t since_usec; /* CLOCK_REALTIME */
        struct list calls;
        struct list waiters;
        struct kube_waiter *knocker; /* borrowed: the one of the waiters that goes on trying */
        struct kube_answer_count answers[ANSWERS_MAX]; /* more kinds than that are not told apart */
        size_t n_answers;
};

struct kube_call {
        struct kube_session *session; /* borrowed */
        const char *method;           /* static */
        struct list_node node;
        struct http_request *request;
        kube_done_fn done;
        void *userdata;
        usec_t retry_after_usec;
        char *reason;
};

/* ---- credentials ---- */

/* False when @path is as it was (or cannot be looked at). */
static bool file_changed(const char *path, struct file_version *v)
{
        struct file_version now;
        struct stat st;

        if (!path || stat(path, &st) < 0)
                return false;
        now = (struct file_version){ st.st_dev, st.st_ino, st.st_ctim, st.st_size };
        if (now.device == v->device && now.inode == v->inode && now.size == v->size &&
            now.changed.tv_sec == v->changed.tv_sec && now.changed.tv_nsec == v->changed.tv_nsec)
                return false;
        *v = now;
        return true;
}

static int set_token(struct kube_session *s, const char *token)
{
        char *line;

        for (const char *p = token; *p; p++)
                if (*p <= ' ' || *p == 0x7f)
                        return -EINVAL;
        if (!*token)
                return -ENODATA;
        line = text_printf("Authorization: Bearer %s", token);
        if (!line)
                return -ENOMEM;
        if (s->authorization)
                explicit_bzero(s->authorization, strlen(s->authorization));
        free(s->authorization);
        s->authorization = line;
        return 0;
}

/* A file that is unreadable for a moment leaves the token as it was. */
static void refresh_token(struct kube_session *s)
{
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        if (!file_changed(s->token_file, &s->token_version))
                return;
        r = fs_read_at(AT_FDCWD, s->token_file, TOKEN_MAX, &text, &n);
        if (r == 0) {
                while (n > 0 && strchr(" \t\r\n", text[n - 1]))
                        text[--n] = '\0';
                r = set_token(s, text);
                explicit_bzero(text, n);
        }
        if (r < 0)
                log_warn(r, "Failed to read token file '%s', keeping the token read before",
                         s->token_file);
}

/* curl reads certificate and key files whenever it connects; so a new one wants new connections. */
static void refresh_certificate(struct kube_session *s)
{
        bool cert = file_changed(s->cert_file, &s->cert_version);
        bool key = file_changed(s->key_file, &s->key_version);

        if (cert || key)
                kube_session_reset(s, "the client certificate changed on disk");
}

/* ---- session ---- */

static int copy_config(struct kube_session *s, const struct kube_config *c)
{
        s->server = strdup(c->server);
        s->token_file = strdup_null(c->token_file);
        s->cert_file = strdup_null(c->cert_file);
        s->key_file = strdup_null(c->key_file);
        if (!s->server || !s->token_file != !c->token_file || !s->cert_file != !c->cert_file ||
            !s->key_file != !c->key_file)
                return -ENOMEM;
        return c->token ? set_token(s, c->token) : 0;
}

static int open_http(struct kube_session *s, const struct kube_config *c, const char *user_agent,
                     struct err *err)
{
        struct http_session_options o = {
                .ca_file = c->ca_file,
                .ca_data = c->ca_data,
                .cert_file = c->cert_file,
                .cert_data = c->cert_data,
                .key_file = c->key_file,
                .key_data = c->key_data,
                .tls_server_name = c->tls_server_name,
                .proxy_url = c->proxy_url,
                .user_agent = user_agent,
                .insecure_skip_verify = c->insecure_skip_verify,
        };

        file_changed(s->cert_file, &s->cert_version);
        file_changed(s->key_file, &s->key_version);
        return http_session_new(s->event, &o, &s->http, err);
}

int kube_session_new(sd_event *event, const struct kube_config *config, const char *user_agent,
                     struct kube_session **ret, struct err *err)
{
        _cleanup_(kube_session_freep)
        struct kube_session *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "make session");
        list_init(&s->calls);
        list_init(&s->waiters);
        s->event = sd_event_ref(event);
        s->since_usec = now_realtime();
        r = copy_config(s, config);
        if (r < 0)
                return err_sys(err, r, "make session");
        r = open_http(s, config, user_agent, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static void call_free(struct kube_call *c)
{
        list_remove(&c->node);
        free(c->reason);
        free(c);
}

struct kube_session *kube_session_free(struct kube_session *s)
{
        struct list_node *n;

        if (!s)
                return NULL;
        http_session_free(s->http);
        while ((n = list_pop(&s->calls)))
                call_free(CONTAINER_OF(n, struct kube_call, node));
        if (s->authorization)
                explicit_bzero(s->authorization, strlen(s->authorization));
        free(s->authorization);
        free(s->server);
        free(s->token_file);
        free(s->cert_file);
        free(s->key_file);
        sd_event_unref(s->event);
        free(s);
        return NULL;
}

sd_event *kube_session_event(struct kube_session *s)
{
        return s->event;
}

void kube_session_reset(struct kube_session *s, const char *why)
{
        log_info("Dropping all connections to '%s': %s", s->server, why);
        http_session_reset(s->http, why);
}

int kube_session_use_certificate(struct kube_session *s, const char *pem_file, struct err *err)
{
        if (free_and_strdup(&s->cert_file, pem_file) < 0 ||
            free_and_strdup(&s->key_file, pem_file) < 0)
                return err_sys(err, -ENOMEM, "use certificate '%s'", pem_file);
        file_changed(s->cert_file, &s->cert_version);
        file_changed(s->key_file, &s->key_version);
        log_info("Connecting to '%s' with client certificate '%s'", s->server, pem_file);
        return http_session_set_certificate(s->http, pem_file, err);
}

bool kube_session_is_connected(const struct kube_session *s, usec_t *ret_since)
{
        if (ret_since)
                *ret_since = s->since_usec;
        return s->connected;
}

void kube_session_note(struct kube_session *s, bool connected)
{
        struct list_node *n;

        if (s->connected == connected)
                return;
        s->connected = connected;
        s->since_usec = now_realtime();
        log_notice("API server '%s' %s", s->server, connected ? "answers" : "does not answer");
        while (connected && (n = list_pop(&s->waiters))) {
                struct kube_waiter *w = CONTAINER_OF(n, struct kube_waiter, node);

                s->knocker = NULL;
                w->wake(w->userdata);
        }
}

void kube_session_wait(struct kube_session *s, struct kube_waiter *w)
{
        if (!s->connected && !list_contains(&w->node))
                list_append(&s->waiters, &w->node);
}

bool kube_session_knocks(struct kube_session *s, struct kube_waiter *w)
{
        if (s->connected)
                return true;
        if (!s->knocker)
                s->knocker = w;
        return s->knocker == w;
}

void kube_session_unwait(struct kube_session *s, struct kube_waiter *w)
{
        list_remove(&w->node);
        if (s->knocker == w)
                s->knocker = NULL;
}

/* ---- answers ---- */

/* The caller's @method lives for ever here. */
static const char *static_method(const char *method)
{
        static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };

        for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
                if (streq(methods[i], method))
                        return methods[i];
        return "other";
}

static void count_answer(struct kube_session *s, const char *method, int code)
{
        size_t i = 0;

        while (i < s->n_answers && (s->answers[i].method != method || s->answers[i].code != code))
                i++;
        if (i == s->n_answers && i < ANSWERS_MAX)
                s->answers[s->n_answers++] = (struct kube_answer_count){ method, code, 0 };
        s->answers[MIN(i, (size_t)ANSWERS_MAX - 1)].n++;
}

const struct kube_answer_count *kube_session_answers(const struct kube_session *s, size_t *ret_n)
{
        *ret_n = s->n_answers;
        return s->answers;
}

const char *kube_session_server(const struct kube_session *s)
{
        return s->server;
}

static enum err_kind kind_of_status(int status)
{
        switch (status) {
        case 400:
        case 422:
                return ERR_BAD_INPUT;
        case 401:
                return ERR_UNAUTHORIZED;
        case 403:
                return ERR_FORBIDDEN;
        case 404:
                return ERR_NOT_FOUND;
        case 409:
                return ERR_CONFLICT;
        case 410:
                return ERR_GONE;
        case 429:
                return ERR_TOO_MANY;
        default:
                return status >= 500 ? ERR_SERVER : ERR_OTHER;
        }
}

static int errno_of_kind(enum err_kind kind)
{
        switch (kind) {
        case ERR_BAD_INPUT:
                return -EINVAL;
        case ERR_UNAUTHORIZED:
        case ERR_FORBIDDEN:
                return -EACCES;
        case ERR_NOT_FOUND:
                return -ENOENT;
        case ERR_CONFLICT:
                return -EEXIST;
        case ERR_GONE:
                return -ESTALE;
        case ERR_TOO_MANY:
                return -EBUSY;
        default:
                return -EREMOTEIO;
        }
}

int kube_decode_failure(int http_status, const char *body, size_t n, char **ret_reason,
                        struct err *err)
{
        json_auto_t *status = NULL;
        enum err_kind kind = kind_of_status(http_status);
        const char *message = NULL, *reason = NULL;

        if (n > 0 && json_parse(body, n, false, &status, NULL) == 0 && json_is_object(status)) {
                message = json_text_at(status, "message");
                reason = json_text_at(status, "reason");
        }
        if (ret_reason)
                *ret_reason = strdup_null(reason);
        if (message)
                return err_set_kind(err, errno_of_kind(kind), kind, "%s", message);
        if (reason)
                return err_set_kind(err, errno_of_kind(kind), kind, "%s", reason);
        return err_set_kind(err, errno_of_kind(kind), kind, "HTTP status %d%s%.*s", http_status,
                            n ? ": " : "", (int)MIN(n, STATUS_QUOTED_MAX), body);
}

/* A broken or silent connection; an answer that we refuse (too large) is an answer too. */
static bool is_unanswered(const struct http_response *response)
{
        return response->err &&
               (response->err->kind == ERR_UNREACHABLE || response->err->kind == ERR_TIMEOUT);
}

static int read_body(const struct http_response *response, json_t **ret, struct err *err)
{
        if (response->body_len == 0)
                return 0;
        return json_parse(response->body, response->body_len, false, ret, err);
}

static void on_answer(_unused_ struct http_request *request, const struct http_response *response,
                      void *userdata)
{
        struct kube_call *c = userdata;
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *object = NULL;
        bool failed = true;

        c->request = NULL;
        c->retry_after_usec = response->retry_after_usec;
        kube_session_note(c->session, !is_unanswered(response));
        count_answer(c->session, c->method, response->err ? 0 : response->status);
        if (response->err)
                err_set_kind(&err, response->error, response->err->kind, "%s",
                             err_text(response->err));
        else if (response->status / 100 != 2)
                kube_decode_failure(response->status, response->body, response->body_len,
                                    &c->reason, &err);
        else
                failed = read_body(response, &object, &err) < 0;
        list_remove(&c->node); /* the callback may free the session */
        c->done(c, response->err ? 0 : response->status, failed ? NULL : object,
                failed ? &err : NULL, c->userdata);
        call_free(c);
}

/* ---- requests ---- */

struct headers {
        const char *lines[4];
        size_t n;
};

static void add_header(struct headers *h, const char *line)
{
        h->lines[h->n++] = line;
        h->lines[h->n] = NULL;
}

static int start_http(struct kube_session *s, const char *path, const char *content_type,
                      struct http_options *o, struct http_request **ret, struct err *err)
{
        _cleanup_free_ char *url = text_printf("%s%s", s->server, path);
        struct headers h = { 0 };

        if (!url)
                return err_sys(err, -ENOMEM, "make request");
        refresh_certificate(s);
        refresh_token(s);
        add_header(&h, "Accept: application/json");
        if (s->authorization)
                add_header(&h, s->authorization);
        if (content_type)
                add_header(&h, content_type);
        o->url = url;
        o->headers = h.lines;
        return http_start(s->http, o, ret, err);
}

static const char *content_type_of(const struct kube_request *r)
{
        if (!r->body)
                return NULL;
        if (r->patch == KUBE_PATCH_STRATEGIC)
                return "Content-Type: application/strategic-merge-patch+json";
        if (r->patch == KUBE_PATCH_MERGE)
                return "Content-Type: application/merge-patch+json";
        return "Content-Type: application/json";
}

int kube_start(struct kube_session *s, const struct kube_request *request, struct kube_call **ret,
               struct err *err)
{
        _cleanup_free_ char *body = NULL;
        struct kube_call *c;
        struct http_options o = {
                .method = request->method,
                .timeout_usec = request->timeout_usec ? request->timeout_usec
                                                      : TIMEOUT_DEFAULT_USEC,
                .done = on_answer,
        };
        int r;

        if (request->body) {
                body = json_dumps(request->body, JSON_COMPACT);
                if (!body)
                        return err_sys(err, -ENOMEM, "write body");
                o.body = body;
                o.body_len = strlen(body);
        }
        c = calloc(1, sizeof *c);
        if (!c)
                return err_sys(err, -ENOMEM, "make request");
        *c = (struct kube_call){
                .session = s,
                .method = static_method(request->method),
                .done = request->done,
                .userdata = request->userdata,
        };
        o.userdata = c;
        r = start_http(s, request->path, content_type_of(request), &o, &c->request, err);
        if (r < 0) {
                free(c);
                return r;
        }
        list_append(&s->calls, &c->node);
        if (ret)
                *ret = c;
        return 0;
}

struct kube_call *kube_cancel(struct kube_call *c)
{
        if (!c || !c->request)
                return NULL; /* its callback runs */
        http_cancel(c->request);
        call_free(c);
        return NULL;
}

usec_t kube_call_retry_after(const struct kube_call *c)
{
        return c->retry_after_usec;
}

const char *kube_call_reason(const struct kube_call *c)
{
        return c->reason ? c->reason : "";
}

int kube_stream(struct kube_session *s, const struct kube_stream *stream, struct http_request **ret,
                struct err *err)
{
        struct http_options o = {
                .method = "GET",
                .idle_timeout_usec = stream->idle_timeout_usec,
                .first_byte_timeout_usec = stream->idle_timeout_usec / 3,
                .on_head = stream->on_head,
                .on_data = stream->on_data,
                .done = stream->done,
                .userdata = stream->userdata,
        };

        return start_http(s, stream->path, NULL, &o, ret, err);
}
