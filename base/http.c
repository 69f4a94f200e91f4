/*
 * The session: curl's multi handle on the event loop.
 *
 * curl tells which sockets and which timer it wants, the loop tells when they are ready, and
 * curl_multi_socket_action() does the work. From within it curl calls our callbacks, and these the
 * user's on_data, who may start, cancel, reset or free anything: none of that may reach curl before
 * it has returned. So while .in_curl is set such wishes are only noted, and session_step() carries
 * them out. Completions are reported from session_step() too, never from within curl and never from
 * http_start().
 */
#include "base/http.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/http-internal.h"
#include "base/log.h"

#define STREAMS_MAX 1000 /* of one HTTP/2 connection; the server's own limit is lower */

/*
 * One of curl's sockets that is watched. libcurl closes a socket whose connect() failed before it
 * tells us to forget it (7.88 to 8.1), so the number is soon another file's. The loop watches a
 * duplicate of our own: what we added to epoll can always be taken out of it.
 */
struct session_socket {
        struct list_node node;
        struct http_session *session; /* borrowed */
        int fd;                       /* curl's, a number only */
        sd_event_source *source;      /* owns the duplicate; NULL: .fd was closed unsaid */
};

static void session_step(struct http_session *s);
static void session_unref(struct http_session *s);

/* ---- strings of the options ---- */

/* Offsets of all strings in struct http_session_options. */
static const size_t option_strings[] = {
        offsetof(struct http_session_options, ca_file),
        offsetof(struct http_session_options, ca_data),
        offsetof(struct http_session_options, cert_file),
        offsetof(struct http_session_options, cert_data),
        offsetof(struct http_session_options, key_file),
        offsetof(struct http_session_options, key_data),
        offsetof(struct http_session_options, tls_server_name),
        offsetof(struct http_session_options, proxy_url),
        offsetof(struct http_session_options, user_agent),
        offsetof(struct http_session_options, unix_socket),
};

static char **option_string(struct http_session_options *o, size_t i)
{
        return (char **)((char *)o + option_strings[i]);
}

static void options_done(struct http_session_options *o)
{
        for (size_t i = 0; i < ARRAY_SIZE(option_strings); i++) {
                char **s = option_string(o, i);

                if (*s)
                        explicit_bzero(*s, strlen(*s)); /* one of them is a private key */
                free(*s);
                *s = NULL;
        }
}

static int options_copy(struct http_session_options *dst, const struct http_session_options *src)
{
        struct http_session_options copy = *src;

        for (size_t i = 0; i < ARRAY_SIZE(option_strings); i++)
                *option_string(&copy, i) = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(option_strings); i++) {
                const char *s = *option_string((struct http_session_options *)src, i);

                if (!s)
                        continue;
                *option_string(&copy, i) = strdup(s);
                if (!*option_string(&copy, i)) {
                        options_done(&copy);
                        return -ENOMEM;
                }
        }
        options_done(dst);
        *dst = copy;
        return 0;
}

/* No transfer may be under way: curl borrows the PEM data. */
static void options_replace(struct http_session *s)
{
        if (!s->next_options)
                return;
        options_done(&s->options);
        s->options = *s->next_options;
        free(s->next_options);
        s->next_options = NULL;
}

/* ---- curl's sockets and timer ---- */

static void session_kick(struct http_session *s)
{
        sd_event_source_set_enabled(s->kick, SD_EVENT_ONESHOT);
}

static void run_curl(struct http_session *s, curl_socket_t fd, int mask)
{
        int running;

        s->refs++;
        s->in_curl++;
        curl_multi_socket_action(s->multi, fd, mask, &running);
        s->in_curl--;
        session_step(s);
        session_unref(s);
}

static int on_socket_ready(_unused_ sd_event_source *source, _unused_ int own, uint32_t revents,
                           void *userdata)
{
        const struct session_socket *k = userdata; /* may be gone when curl returns */

        run_curl(k->session, k->fd,
                 (revents & EPOLLIN ? CURL_CSELECT_IN : 0) |
                         (revents & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                         (revents & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        run_curl(userdata, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

static int on_kick(_unused_ sd_event_source *source, void *userdata)
{
        struct http_session *s = userdata;

        if (s->curl_is_due) {
                s->curl_is_due = false;
                run_curl(s, CURL_SOCKET_TIMEOUT, 0);
        } else {
                s->refs++;
                session_step(s);
                session_unref(s);
        }
        return 0;
}

static void socket_free(struct session_socket *k)
{
        list_remove(&k->node);
        sd_event_source_disable_unref(k->source);
        free(k);
}

static int socket_add(struct http_session *s, curl_socket_t fd, uint32_t events)
{
        struct session_socket *k = calloc(1, sizeof *k);
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (!k || own < 0 ||
            sd_event_add_io(s->event, &k->source, own, events, on_socket_ready, k) < 0) {
                safe_close(own);
                free(k);
                return -1; /* curl fails every transfer under way; they are started again */
        }
        sd_event_source_set_io_fd_own(k->source, true);
        k->session = s;
        k->fd = fd;
        list_append(&s->sockets, &k->node);
        curl_multi_assign(s->multi, fd, k);
        return 0;
}

static int on_curl_socket(_unused_ CURL *easy, curl_socket_t fd, int what, void *userdata,
                          void *socket_pointer)
{
        struct http_session *s = userdata;
        struct session_socket *k = socket_pointer;
        uint32_t events = (what & CURL_POLL_IN ? EPOLLIN : 0) |
                          (what & CURL_POLL_OUT ? EPOLLOUT : 0);

        if (what == CURL_POLL_REMOVE) {
                if (k) {
                        curl_multi_assign(s->multi, fd, NULL);
                        socket_free(k);
                }
                return 0;
        }
        if (k && k->source)
                return sd_event_source_set_io_events(k->source, events) < 0 ? -1 : 0;
        if (k)
                socket_free(k);
        return socket_add(s, fd, events);
}

void http_session_socket_opened(struct http_session *s, int fd)
{
        struct session_socket *k;

        LIST_FOREACH (k, &s->sockets, node)
                if (k->fd == fd)
                        k->source = sd_event_source_disable_unref(k->source);
}

static int on_curl_timer(_unused_ CURLM *multi, long timeout_msec, void *userdata)
{
        struct http_session *s = userdata;
        int r;

        s->curl_is_due = timeout_msec == 0;
        if (timeout_msec <= 0) {
                if (s->curl_is_due)
                        session_kick(s);
                return sd_event_source_set_enabled(s->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        }
        r = sd_event_source_set_time_relative(s->timer, (usec_t)timeout_msec * USEC_PER_MSEC);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
        return r < 0 ? -1 : 0;
}

/* ---- the multi handle ---- */

static int multi_open(struct http_session *s)
{
        if (s->multi)
                return 0;
        s->multi = curl_multi_init();
        if (!s->multi)
                return -ENOMEM;
        curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
        curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
        curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
        curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s);
        curl_multi_setopt(s->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
        curl_multi_setopt(s->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)STREAMS_MAX);
        return 0;
}

/* No request may be in it any more. Closes every connection. */
static void multi_close(struct http_session *s)
{
        struct list_node *n;

        if (!s->multi)
                return;
        curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, NULL);
        curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, NULL);
        while ((n = list_pop(&s->sockets)))
                socket_free(CONTAINER_OF(n, struct session_socket, node));
        curl_multi_cleanup(s->multi);
        s->multi = NULL;
        s->curl_is_due = false;
        sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

/* ---- requests ---- */

static void request_move(struct http_request *r, struct list *to, enum request_state state)
{
        list_remove(&r->node);
        list_append(to, &r->node);
        r->state = state;
}

static int request_add(struct http_session *s, struct http_request *r)
{
        CURLMcode code = multi_open(s) < 0 ? CURLM_OUT_OF_MEMORY
                                           : curl_multi_add_handle(s->multi, r->easy);

        if (code == CURLM_OK) {
                request_move(r, &s->active, REQUEST_ACTIVE);
                return 0;
        }
        r->error = err_set(&r->err, code == CURLM_OUT_OF_MEMORY ? -ENOMEM : -EINVAL,
                           "start request: %s", curl_multi_strerror(code));
        return r->error;
}

void http_session_finish(struct http_session *s, struct http_request *r)
{
        if (r->state == REQUEST_ACTIVE)
                curl_multi_remove_handle(s->multi, r->easy);
        request_move(r, &s->finished, REQUEST_FINISHED);
        session_kick(s);
}

int http_start(struct http_session *s, const struct http_options *options,
               struct http_request **ret, struct err *err)
{
        struct http_request *r = NULL;
        int k = http_request_new(s, options, &r, err);

        if (k < 0)
                return k;
        if (s->in_curl) {
                request_move(r, &s->waiting, REQUEST_WAITING);
        } else {
                k = request_add(s, r);
                if (k < 0) {
                        err_move(err, &r->err);
                        http_request_free(r);
                        return k;
                }
        }
        if (ret)
                *ret = r;
        return 0;
}

struct http_request *http_cancel(struct http_request *r)
{
        struct http_session *s;

        if (!r || r->state == REQUEST_REPORTING || r->state == REQUEST_DROPPED)
                return NULL;
        s = r->session;
        if (r->state == REQUEST_ACTIVE && s->in_curl) {
                request_move(r, &s->dropped, REQUEST_DROPPED);
                return NULL;
        }
        if (r->state == REQUEST_ACTIVE)
                curl_multi_remove_handle(s->multi, r->easy);
        http_request_free(r);
        return NULL;
}

/* ---- steps between two calls of curl ---- */

static void finish_all(struct http_session *s, struct list *l, const char *why)
{
        struct http_request *r, *next;

        LIST_FOREACH_SAFE (r, next, l, node) {
                if (r->error == 0)
                        r->error = err_set_kind(&r->err, -ECONNRESET, ERR_UNREACHABLE,
                                                "connection dropped: %s", why);
                http_session_finish(s, r);
        }
}

static void drop_all(struct http_session *s, struct list *l, bool in_multi)
{
        struct list_node *n;

        while ((n = list_pop(l))) {
                struct http_request *r = CONTAINER_OF(n, struct http_request, node);

                if (in_multi)
                        curl_multi_remove_handle(s->multi, r->easy);
                http_request_free(r);
        }
}

static void reset_now(struct http_session *s, const char *why)
{
        drop_all(s, &s->dropped, true);
        finish_all(s, &s->active, why);
        finish_all(s, &s->waiting, why);
        multi_close(s);
}

static void collect_completions(struct http_session *s)
{
        CURLMsg *m;
        int left;

        while (s->multi && (m = curl_multi_info_read(s->multi, &left))) {
                struct http_request *r = NULL;

                curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
                if (m->msg != CURLMSG_DONE || r->state != REQUEST_ACTIVE)
                        continue;
                http_request_conclude(r, m->data.result);
                http_session_finish(s, r);
        }
}

/* The caller holds a reference; curl is not on the stack. Done callbacks may do anything. */
static void session_step(struct http_session *s)
{
        struct list_node *n;

        if (s->in_curl || s->dead)
                return;
        if (s->reset_why) {
                _cleanup_free_ char *why = TAKE_PTR(s->reset_why);

                reset_now(s, why);
                options_replace(s);
        }
        drop_all(s, &s->dropped, true);
        collect_completions(s);
        while ((n = list_pop(&s->waiting))) {
                struct http_request *r = CONTAINER_OF(n, struct http_request, node);

                if (request_add(s, r) < 0)
                        request_move(r, &s->finished, REQUEST_FINISHED);
        }
        while (!s->dead && (n = list_pop(&s->finished))) {
                struct http_request *r = CONTAINER_OF(n, struct http_request, node);

                r->state = REQUEST_REPORTING;
                http_request_report(r);
                http_request_free(r);
        }
}

void http_session_reset(struct http_session *s, const char *why)
{
        if (s->in_curl) {
                free_and_strdup(&s->reset_why, why);
        } else {
                reset_now(s, why);
                options_replace(s);
        }
}

/* ---- life ---- */

static void session_destroy(struct http_session *s)
{
        drop_all(s, &s->dropped, true);
        drop_all(s, &s->active, true);
        drop_all(s, &s->waiting, false);
        drop_all(s, &s->finished, false);
        multi_close(s);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->kick);
        sd_event_unref(s->event);
        options_replace(s);
        options_done(&s->options);
        free(s->reset_why);
        free(s);
}

static void session_unref(struct http_session *s)
{
        if (--s->refs == 0)
                session_destroy(s);
}

struct http_session *http_session_free(struct http_session *s)
{
        if (!s)
                return NULL;
        s->dead = true; /* from here on no callback is called */
        session_unref(s);
        return NULL;
}

static int global_init(struct err *err)
{
        static bool done;

        if (done)
                return 0;
        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return err_set(err, -EIO, "libcurl cannot be initialised");
        done = true;
        return 0;
}

int http_session_new(sd_event *event, const struct http_session_options *options,
                     struct http_session **ret, struct err *err)
{
        _cleanup_(http_session_freep)
        struct http_session *s = NULL;
        int r = global_init(err);

        if (r < 0)
                return r;
        s = calloc(1, sizeof *s);
        if (!s)
                return err_sys(err, -ENOMEM, "make HTTP session");
        s->refs = 1;
        s->event = sd_event_ref(event);
        list_init(&s->sockets);
        list_init(&s->waiting);
        list_init(&s->active);
        list_init(&s->finished);
        list_init(&s->dropped);
        r = options_copy(&s->options, options);
        if (r >= 0)
                r = sd_event_add_time(event, &s->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer,
                                      s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(event, &s->kick, on_kick, s);
        if (r >= 0)
                r = sd_event_source_set_enabled(s->kick, SD_EVENT_OFF);
        if (r >= 0)
                r = multi_open(s);
        if (r < 0)
                return err_sys(err, r, "make HTTP session");
        *ret = TAKE_PTR(s);
        return 0;
}

int http_session_set_options(struct http_session *s, const struct http_session_options *options,
                             struct err *err)
{
        struct http_session_options *next = s->next_options;

        if (!next)
                next = calloc(1, sizeof *next);
        if (!next || options_copy(next, options) < 0) {
                if (next != s->next_options)
                        free(next);
                return err_sys(err, -ENOMEM, "set options of HTTP session");
        }
        s->next_options = next;
        http_session_reset(s, "new credentials");
        return 0;
}

int http_session_set_certificate(struct http_session *s, const char *pem_file, struct err *err)
{
        struct http_session_options o = s->next_options ? *s->next_options : s->options;

        o.cert_file = o.key_file = (char *)pem_file;
        o.cert_data = o.key_data = NULL;
        return http_session_set_options(s, &o, err);
}
