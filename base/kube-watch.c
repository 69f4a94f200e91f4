/*
 * A watch is in one of three modes (base/watch-policy.h): a streamed list, a list in pages, or the
 * changes since a resourceVersion. One request or one timer is under way at any time. When the
 * request ends, its end is classified, watch_decide() says what comes next, and that is all the
 * state there is besides the resourceVersion and the keys that the caller knows.
 *
 * The keys carry the number of the list attempt that saw them last. When a list is complete, those
 * with an older number were deleted while nobody looked, and the caller is told so. An object that
 * could not be read does not count as deleted.
 */
#include "base/kube-watch.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "base/kube-internal.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/watch-lines.h"
#include "base/watch-policy.h"

#define LINE_MAX_BYTES       (8 << 20)
#define PAGE_LIMIT           500
#define BAD_LINES_TOLD       5                     /* in a row, at warning level */
#define BAD_LINES_MAX        100                   /* in a row: this is no watch */
#define IDLE_USEC            (90 * USEC_PER_SEC)   /* bookmarks come every minute */
#define LIFE_MIN_USEC        (5 * USEC_PER_MINUTE) /* asked of the server, up to twice that */
#define PRODUCTIVE_USEC      (1 * USEC_PER_SEC) /* a stream that lived so long was none in vain */
#define RELIST_SPACING_USEC  (2 * USEC_PER_MINUTE) /* closer ones back off */
#define BACKOFF_RESET_USEC   (2 * USEC_PER_MINUTE)
#define BACKOFF_INITIAL_USEC (800 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC     (30 * USEC_PER_SEC)
#define SHORT_PAUSE_USEC     (200 * USEC_PER_MSEC) /* up to four times that with jitter */
#define WAITING_PAUSE_USEC   (10 * USEC_PER_SEC)   /* while another watch knocks */

struct kube_watch {
        struct kube_session *session;  /* borrowed */
        char *path, *what, *selectors; /* owned; selectors: "&fieldSelector=…", escaped */
        struct kube_watch_ops ops;
        void *userdata;
        usec_t idle_timeout_usec;

        enum watch_mode mode;
        char *version;    /* owned: resourceVersion to go on from, or NULL */
        char *page_token; /* owned: continue token of the next page, or NULL */
        unsigned page_limit;
        struct map *known;        /* key -> number of the attempt that saw it */
        uintptr_t attempt;        /* number of the list attempt, from 1 */
        bool attempt_has_unknown; /* it held an object whose key could not be read */
        bool synced, dead, in_feed;

        struct http_request *stream;
        struct kube_call *page;
        struct watch_lines lines;
        unsigned bad_lines; /* in a row */
        size_t n_events;    /* of the request under way */
        usec_t started_usec;
        bool ended; /* .end is known already: from an event within the stream */
        enum watch_end end;

        sd_event_source *timer;
        struct kube_waiter waiter;
        struct backoff backoff;
        usec_t last_backoff_usec, last_relist_usec;
        enum watch_end last_logged;
        bool logged;
};

static void watch_start(struct kube_watch *w);

/* ---- objects ---- */

static char *key_of(const json_t *object)
{
        const json_t *metadata = json_object_get(object, "metadata");
        const char *name = json_text_at(metadata, "name");
        const char *namespace = json_text_at(metadata, "namespace");

        if (!name || !*name)
                return NULL;
        return namespace && *namespace ? text_printf("%s/%s", namespace, name) : strdup(name);
}

static const char *version_of(const json_t *object)
{
        const char *v = json_text_at(json_object_get(object, "metadata"), "resourceVersion");

        return v && *v ? v : NULL;
}

/* Tells the caller; true when it took the object. */
static bool tell(struct kube_watch *w, enum kube_event event, const char *key, const json_t *object)
{
        _cleanup_err_ struct err err = { 0 };
        int r = w->ops.on_event(event, key, object, w->userdata, &err);

        if (r < 0)
                log_warn(err.message ? 0 : r, "Object '%s' of %s is skipped%s%s", key, w->what,
                         err.message ? ": " : "", err.message ? err.message : "");
        return r >= 0;
}

static int mark_known(struct kube_watch *w, const char *key)
{
        return map_put(w->known, key, (void *)w->attempt, NULL);
}

/*
 * One the caller knew and now cannot decode stays known: its deletion must be told one day. One it
 * never knew stays unknown.
 */
static int take_object(struct kube_watch *w, enum kube_event event, const char *key,
                       const json_t *object)
{
        bool known = map_get(w->known, key) != NULL;

        if (event == KUBE_DELETED) {
                if (!known)
                        return 0;
                map_remove(w->known, key);
                tell(w, KUBE_DELETED, key, object);
                return 0;
        }
        if (tell(w, known ? event : KUBE_ADDED, key, object) || known)
                return mark_known(w, key);
        return 0;
}

static int tell_missed_deletion(struct kube_watch *w, const char *key)
{
        const char *slash = strchr(key, '/');
        json_auto_t *object = slash ? json_pack("{s:{s:s%, s:s}}", "metadata", "namespace", key,
                                                (size_t)(slash - key), "name", slash + 1)
                                    : json_pack("{s:{s:s}}", "metadata", "name", key);

        if (!object)
                return -ENOMEM;
        map_remove(w->known, key);
        tell(w, KUBE_DELETED, key, object);
        return 0;
}

/* What the finished list did not hold is gone. */
static int sweep(struct kube_watch *w)
{
        _cleanup_strv_ char **keys = NULL;

        if (w->attempt_has_unknown) {
                log_warn(0,
                         "The list of %s held objects that could not be read: what it lacks is "
                         "kept until the next list",
                         w->what);
                return 0;
        }
        keys = map_keys(w->known);
        if (!keys && map_size(w->known) > 0)
                return -ENOMEM;
        STRV_FOREACH (key, keys) {
                int r;

                if ((uintptr_t)map_get(w->known, *key) == w->attempt)
                        continue;
                r = tell_missed_deletion(w, *key);
                if (r < 0 || w->dead)
                        return r;
        }
        return 0;
}

static int list_is_complete(struct kube_watch *w, const char *version)
{
        int r = free_and_strdup(&w->version, version);

        if (r == 0)
                r = sweep(w);
        if (r < 0 || w->dead)
                return r;
        free_and_strdup(&w->page_token, NULL);
        w->mode = WATCH_CHANGES;
        w->synced = true;
        log_debug("List of %s is complete: %zu objects at '%s'", w->what, map_size(w->known),
                  version);
        if (w->ops.on_synced)
                w->ops.on_synced(w->userdata);
        return 0;
}

/* ---- events of the stream ---- */

/* Ends the request from within: the return value stops the stream. */
static int end_stream(struct kube_watch *w, enum watch_end end)
{
        w->ended = true;
        w->end = end;
        return -ECANCELED;
}

static bool is_ahead(const json_t *status)
{
        const json_t *causes = json_path(status, "details", "causes", NULL), *c;
        size_t i;

        json_array_foreach ((json_t *)causes, i, c) {
                const char *reason = json_text_at(c, "reason");

                if (reason && streq(reason, "ResourceVersionTooLarge"))
                        return true;
        }
        return false;
}

static int on_error_event(struct kube_watch *w, const json_t *status)
{
        const char *message = json_text_at(status, "message");

        log_debug("Watch of %s: %s", w->what, message ? message : "error without a message");
        return end_stream(w, watch_end_of_status(w->mode,
                                                 (int)json_integer_value(
                                                         json_object_get(status, "code")),
                                                 json_text_at(status, "reason"), is_ahead(status)));
}

static int on_bookmark(struct kube_watch *w, const json_t *object)
{
        const json_t *annotations = json_path(object, "metadata", "annotations", NULL);
        const char *end = json_text_at(annotations, "k8s.io/initial-events-end");
        const char *version = version_of(object);

        if (!version)
                return 0;
        if (w->mode == WATCH_CHANGES)
                return free_and_strdup(&w->version, version);
        if (end && streq(end, "true"))
                return list_is_complete(w, version);
        return end_stream(w,
                          WATCH_END_NOT_OFFERED); /* a server that overlooked what we asked for */
}

static int on_object(struct kube_watch *w, enum kube_event event, const json_t *object)
{
        _cleanup_free_ char *key = key_of(object);
        const char *version = version_of(object);
        int r;

        if (!key)
                return -EBADMSG;
        r = take_object(w, event, key, object);
        if (r < 0 || w->dead || w->mode != WATCH_CHANGES || !version)
                return r;
        return free_and_strdup(&w->version, version);
}

static int on_event(struct kube_watch *w, const json_t *event)
{
        const char *type = json_text_at(event, "type");
        const json_t *object = json_object_get(event, "object");

        if (!type || !json_is_object(object))
                return -EBADMSG;
        w->n_events++;
        if (streq(type, "ADDED"))
                return on_object(w, KUBE_ADDED, object);
        if (streq(type, "MODIFIED"))
                return on_object(w, KUBE_MODIFIED, object);
        if (streq(type, "DELETED"))
                return on_object(w, KUBE_DELETED, object);
        if (streq(type, "BOOKMARK"))
                return on_bookmark(w, object);
        if (streq(type, "ERROR"))
                return on_error_event(w, object);
        return -EBADMSG;
}

static int skip_line(struct kube_watch *w, const char *line, size_t n, const char *why)
{
        _cleanup_free_ char *key = watch_lines_find_key(line, n);
        int level = w->bad_lines < BAD_LINES_TOLD ? LOG_WARNING : LOG_DEBUG;

        log_full(NULL, level, 0, "Object '%s' of %s is skipped: %s", key ? key : "?", w->what, why);
        if (!key)
                w->attempt_has_unknown = true;
        else if (map_get(w->known, key))
                mark_known(w, key); /* it is there still; an entry is overwritten without memory */
        return ++w->bad_lines > BAD_LINES_MAX ? end_stream(w, WATCH_END_FAILED) : 0;
}

static int on_line(const char *line, size_t n, bool too_long, void *userdata)
{
        struct kube_watch *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *event = NULL;
        int r;

        if (n == 0)
                return 0;
        if (too_long)
                return skip_line(w, line, n, "it is larger than 8 MiB");
        if (json_parse(line, n, false, &event, &err) < 0)
                return skip_line(w, line, n, err_text(&err));
        r = on_event(w, event);
        if (w->dead)
                return -ECANCELED;
        if (r == -EBADMSG)
                return skip_line(w, line, n, "it is no watch event with a named object");
        if (r == -ENOMEM)
                return end_stream(w, WATCH_END_INTERNAL); /* something was missed: list again */
        if (r == 0)
                w->bad_lines = 0;
        return r;
}

static void watch_destroy(struct kube_watch *w);

/* An idle watch has no first byte but that of its head for a minute. */
static void on_stream_head(_unused_ struct http_request *request, _unused_ int status,
                           void *userdata)
{
        struct kube_watch *w = userdata;

        kube_session_note(w->session, true);
}

static int on_stream_data(_unused_ struct http_request *request, const void *data, size_t n,
                          void *userdata)
{
        struct kube_watch *w = userdata;
        int r;

        w->in_feed = true;
        r = watch_lines_feed(&w->lines, data, n, on_line, w);
        w->in_feed = false;
        if (w->dead) {
                watch_destroy(w);
                return -ECANCELED;
        }
        return r;
}

/* ---- what comes next ---- */

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        watch_start(userdata);
        return 0;
}

static void arm(struct kube_watch *w, usec_t delay_usec)
{
        /* on a timer that exists both cannot fail but for a loop that is ending */
        sd_event_source_set_time_relative(w->timer, delay_usec);
        sd_event_source_set_enabled(w->timer, SD_EVENT_ONESHOT);
}

static void on_server_is_back(void *userdata)
{
        struct kube_watch *w = userdata;

        /* pauses that the one before the outage made us learn: after a few outages nobody would see
         * a change for a minute */
        backoff_reset(&w->backoff);
        w->last_relist_usec = 0;
        if (!w->stream && !w->page)
                arm(w, random_u32() % SHORT_PAUSE_USEC);
}

static usec_t backoff_pause(struct kube_watch *w)
{
        usec_t now = now_monotonic();

        if (now - w->last_backoff_usec > BACKOFF_RESET_USEC)
                backoff_reset(&w->backoff);
        w->last_backoff_usec = now;
        return usec_jitter(backoff_next(&w->backoff), 100, random_u32());
}

static usec_t relist_pause(struct kube_watch *w)
{
        usec_t now = now_monotonic();
        bool seldom = now - w->last_relist_usec > RELIST_SPACING_USEC;

        w->last_relist_usec = now;
        return seldom ? 0 : backoff_pause(w);
}

static usec_t pause_usec(struct kube_watch *w, enum watch_pause pause)
{
        kube_session_wait(w->session, &w->waiter);
        switch (pause) {
        case WATCH_PAUSE_NONE:
                return 0;
        case WATCH_PAUSE_SHORT:
                if (kube_session_knocks(w->session, &w->waiter))
                        return usec_jitter(SHORT_PAUSE_USEC, 300, random_u32());
                return usec_jitter(WAITING_PAUSE_USEC, 100, random_u32());
        case WATCH_PAUSE_RELIST:
                return relist_pause(w);
        case WATCH_PAUSE_BACKOFF:
                break;
        }
        return backoff_pause(w);
}

/* What repeats itself is told once. A lost server is the session's to tell, once for all. */
static void log_end(struct kube_watch *w, enum watch_end end, const struct err *err, usec_t pause)
{
        bool usual = end == WATCH_END_CLOSED || end == WATCH_END_EXPIRED ||
                     end == WATCH_END_NOT_OFFERED || end == WATCH_END_BROKEN;
        bool again = w->logged && w->last_logged == end;

        log_full(NULL, usual || again ? LOG_DEBUG : LOG_WARNING, 0,
                 "Watch of %s: %s, next try in %" PRIu64 " ms", w->what,
                 err ? err_text(err) : watch_end_text(end), pause / USEC_PER_MSEC);
        w->logged = !usual;
        w->last_logged = end;
}

static void go_on(struct kube_watch *w, enum watch_end end, bool productive, usec_t retry_after,
                  const struct err *err)
{
        struct watch_next next = watch_decide(w->mode, end, productive);
        usec_t pause;

        if (next.mode != WATCH_PAGE_LIST)
                free_and_strdup(&w->page_token, NULL);
        if (next.forget_version)
                free_and_strdup(&w->version, NULL);
        w->mode = next.mode;
        pause = pause_usec(w, next.pause);
        retry_after = usec_jitter(retry_after, 20, random_u32());
        pause = MAX(pause, retry_after);
        log_end(w, end, err, pause);
        arm(w, pause);
}

/* ---- the stream's end ---- */

static enum watch_end classify_end(struct kube_watch *w, const struct http_response *response,
                                   struct err *err)
{
        json_auto_t *status = NULL;
        _cleanup_free_ char *reason = NULL;

        if (w->ended)
                return w->end;
        if (response->err) {
                err_set_kind(err, response->error, response->err->kind, "%s",
                             err_text(response->err));
                return watch_end_of_error(response->error);
        }
        if (response->status / 100 == 2)
                return WATCH_END_CLOSED;
        kube_decode_failure(response->status, response->body, response->body_len, &reason, err);
        if (json_parse(response->body, response->body_len, false, &status, NULL) < 0)
                status = NULL;
        return watch_end_of_status(w->mode, response->status, reason, is_ahead(status));
}

static void on_stream_end(_unused_ struct http_request *request,
                          const struct http_response *response, void *userdata)
{
        struct kube_watch *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        enum watch_end end = classify_end(w, response, &err);
        bool lived = response->status / 100 == 2 &&
                     (w->n_events > 0 || now_monotonic() - w->started_usec >= PRODUCTIVE_USEC);

        w->stream = NULL;
        watch_lines_reset(&w->lines);
        if (response->status == 0 && response->err &&
            (response->err->kind == ERR_UNREACHABLE || response->err->kind == ERR_TIMEOUT))
                kube_session_note(w->session, false);
        if (end == WATCH_END_SILENT && response->status == 0)
                kube_session_reset(w->session, "a watch got no answer");
        go_on(w, end, lived, response->retry_after_usec, err.message ? &err : NULL);
}

static void begin_attempt(struct kube_watch *w)
{
        w->attempt++;
        w->attempt_has_unknown = false;
}

static int start_stream(struct kube_watch *w, struct err *err)
{
        usec_t life = usec_jitter(LIFE_MIN_USEC, 100, random_u32());
        struct kube_stream stream = {
                .idle_timeout_usec = w->idle_timeout_usec,
                .on_head = on_stream_head,
                .on_data = on_stream_data,
                .done = on_stream_end,
                .userdata = w,
        };
        _cleanup_free_ char *version = w->version ? http_escape(w->version) : NULL, *path = NULL;

        if (w->mode == WATCH_STREAM_LIST)
                begin_attempt(w);
        path = text_printf("%s?watch=true&allowWatchBookmarks=true&timeoutSeconds=%" PRIu64
                           "&resourceVersion=%s%s%s",
                           w->path, life / USEC_PER_SEC, version ? version : "",
                           w->mode == WATCH_STREAM_LIST ? "&sendInitialEvents=true"
                                                          "&resourceVersionMatch=NotOlderThan"
                                                        : "",
                           w->selectors);
        if (!path || (w->version && !version))
                return err_sys(err, -ENOMEM, "watch %s", w->what);
        stream.path = path;
        return kube_stream(w->session, &stream, &w->stream, err);
}

/* ---- pages ---- */

static int take_page(struct kube_watch *w, const json_t *list)
{
        const json_t *items = json_object_get(list, "items"), *item;
        size_t i;

        json_array_foreach ((json_t *)items, i, item) {
                _cleanup_free_ char *key = key_of(item);
                int r;

                if (!key) {
                        log_warn(0, "Object %zu of a page of %s is skipped: it has no name", i,
                                 w->what);
                        w->attempt_has_unknown = true;
                        continue;
                }
                r = take_object(w, KUBE_ADDED, key, item);
                if (r < 0 || w->dead)
                        return r;
        }
        return 0;
}

static int on_good_page(struct kube_watch *w, const json_t *list)
{
        const json_t *metadata = json_object_get(list, "metadata");
        const char *next = json_text_at(metadata, "continue"), *version = version_of(list);
        int r;

        if (!json_is_object(metadata) || !version)
                return -EBADMSG;
        r = take_page(w, list);
        if (r < 0 || w->dead)
                return r;
        if (next && *next)
                return free_and_strdup(&w->page_token, next);
        return list_is_complete(w, version);
}

/* A page that is too large is asked for again with fewer objects. */
static bool shrink_page(struct kube_watch *w, const struct err *err)
{
        if (!err || err->kind != ERR_TOO_MANY || w->page_limit == 1)
                return false;
        w->page_limit = (w->page_limit + 1) / 2;
        log_info("A page of %s is too large, asking for %u objects at a time", w->what,
                 w->page_limit);
        return true;
}

static void on_page(struct kube_call *call, int status, json_t *list, const struct err *err,
                    void *userdata)
{
        struct kube_watch *w = userdata;
        _cleanup_err_ struct err no_list = { 0 };
        enum watch_end end = WATCH_END_FAILED;
        int r = -EBADMSG;

        w->page = NULL;
        if (status == 0 && shrink_page(w, err)) {
                arm(w, 0);
                return;
        }
        if (list && !err) {
                w->in_feed = true;
                r = on_good_page(w, list);
                w->in_feed = false;
        }
        if (w->dead) {
                watch_destroy(w);
                return;
        }
        if (r == 0) {
                w->page_limit = PAGE_LIMIT;
                arm(w, 0);
                return;
        }
        if (status == 0 && err)
                end = err->kind == ERR_UNREACHABLE ? WATCH_END_BROKEN
                      : err->kind == ERR_TIMEOUT   ? WATCH_END_SILENT
                                                   : WATCH_END_FAILED;
        else if (err)
                end = watch_end_of_status(w->mode, status, kube_call_reason(call), false);
        else
                err_set(&no_list, r, "the answer is no list of objects");
        go_on(w, end, false, kube_call_retry_after(call), err ? err : &no_list);
}

static int start_page(struct kube_watch *w, struct err *err)
{
        _cleanup_free_ char *token = w->page_token ? http_escape(w->page_token) : NULL;
        _cleanup_free_ char *path = text_printf("%s?limit=%u%s%s%s", w->path, w->page_limit,
                                                token ? "&continue=" : "", token ? token : "",
                                                w->selectors);
        struct kube_request request = {
                .method = "GET",
                .path = path,
                .done = on_page,
                .userdata = w,
        };

        if (!path || (w->page_token && !token))
                return err_sys(err, -ENOMEM, "list %s", w->what);
        if (!w->page_token)
                begin_attempt(w);
        return kube_start(w->session, &request, &w->page, err);
}

/* ---- life ---- */

static void watch_start(struct kube_watch *w)
{
        _cleanup_err_ struct err err = { 0 };
        int r;

        w->n_events = 0;
        w->bad_lines = 0;
        w->ended = false;
        w->started_usec = now_monotonic();
        r = w->mode == WATCH_PAGE_LIST ? start_page(w, &err) : start_stream(w, &err);
        if (r < 0)
                go_on(w, WATCH_END_FAILED, false, 0, &err);
}

static int make_selectors(struct kube_watch *w, const struct kube_watch_options *o)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        const struct {
                const char *name, *value;
        } parts[] = { { "fieldSelector", o->field_selector },
                      { "labelSelector", o->label_selector } };

        for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
                _cleanup_free_ char *escaped = NULL;

                if (!parts[i].value)
                        continue;
                escaped = http_escape(parts[i].value);
                if (!escaped)
                        return -ENOMEM;
                strbuf_addf(&b, "&%s=%s", parts[i].name, escaped);
        }
        w->selectors = strbuf_take(&b);
        return w->selectors ? 0 : -ENOMEM;
}

static void watch_destroy(struct kube_watch *w)
{
        sd_event_source_disable_unref(w->timer);
        watch_lines_reset(&w->lines);
        map_free(w->known);
        free(w->path);
        free(w->what);
        free(w->selectors);
        free(w->version);
        free(w->page_token);
        free(w);
}

struct kube_watch *kube_watch_free(struct kube_watch *w)
{
        if (!w || w->dead)
                return NULL;
        w->dead = true;
        w->stream = http_cancel(w->stream);
        w->page = kube_cancel(w->page);
        kube_session_unwait(w->session, &w->waiter);
        if (!w->in_feed)
                watch_destroy(w);
        return NULL;
}

int kube_watch_new(struct kube_session *s, const struct kube_watch_options *options,
                   const struct kube_watch_ops *ops, void *userdata, struct kube_watch **ret,
                   struct err *err)
{
        _cleanup_(kube_watch_freep)
        struct kube_watch *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return err_sys(err, -ENOMEM, "watch %s", options->what);
        *w = (struct kube_watch){
                .session = s,
                .path = strdup(options->path),
                .what = strdup(options->what),
                .ops = *ops,
                .userdata = userdata,
                .idle_timeout_usec = options->idle_timeout_usec ? options->idle_timeout_usec
                                                                : IDLE_USEC,
                .page_limit = PAGE_LIMIT,
                .known = map_new(),
                .lines = { .max = LINE_MAX_BYTES },
                .backoff = { .initial_usec = BACKOFF_INITIAL_USEC, .max_usec = BACKOFF_MAX_USEC },
                .waiter = { .wake = on_server_is_back, .userdata = w },
        };
        r = w->path && w->what && w->known ? make_selectors(w, options) : -ENOMEM;
        if (r >= 0)
                r = sd_event_add_time(kube_session_event(s), &w->timer, CLOCK_MONOTONIC, 0,
                                      10 * USEC_PER_MSEC, on_timer, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "watch %s", options->what);
        r = start_stream(w, err);
        if (r < 0)
                return r;
        w->started_usec = now_monotonic();
        *ret = TAKE_PTR(w);
        return 0;
}

bool kube_watch_is_synced(const struct kube_watch *w)
{
        return w->synced;
}
