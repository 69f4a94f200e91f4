/*
 * Theory of operation. Whatever happens in the folder (or in one below it) makes a scan due, which
 * finds out what there is; only that a socket was made anew under its old name is taken from the
 * event itself. Each plugin goes asked -> starting -> told -> registered, or back to waiting.
 */
#include "kubelet/plugin-registry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/grpc.h"
#include "base/list.h"
#include "base/log.h"

#define SCAN_DELAY_USEC   (50 * USEC_PER_MSEC) /* a socket is bound before it listens */
#define RESCAN_USEC       (10 * USEC_PER_SEC)  /* when the folder could not be read */
#define CALL_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define RETRY_FIRST_USEC  (200 * USEC_PER_MSEC)
#define RETRY_MAX_USEC    (122 * USEC_PER_SEC)
#define DEPTH_MAX         4
#define PLUGINS_MAX       1000

enum plugin_state {
        PLUGIN_WAITING,    /* for the next try */
        PLUGIN_ASKED,      /* GetInfo is under way */
        PLUGIN_STARTING,   /* its kind is at work */
        PLUGIN_TOLD,       /* NotifyRegistrationStatus is under way */
        PLUGIN_REGISTERED, /* all is well until the socket goes */
        PLUGIN_REFUSED,    /* for good: nothing changes before the socket is made anew */
};

struct plugin {
        struct list_node node;
        struct plugin_registry *registry;
        char *socket; /* owned */
        enum plugin_state state;
        struct plugin_info info;
        ino_t inode;
        bool seen;    /* by the scan */
        bool remade;  /* to be asked anew */
        bool started; /* its kind knows it */
        bool is_unknown;
        char *why;              /* owned; what it is told; NULL: it is registered */
        struct grpc_call *call; /* owned */
        sd_event_source *timer; /* owned */
        struct backoff backoff;
};

struct watched { /* the folder, or one below it */
        struct list_node node;
        struct plugin_registry *registry;
        char *path;              /* owned */
        sd_event_source *source; /* owned */
        bool seen;
};

struct plugin_registry {
        sd_event *event; /* borrowed */
        char *dir;       /* owned */
        const struct plugin_kind *ops;
        void *kind;
        struct list plugins, folders;
        size_t n_plugins;
        sd_event_source *scan_timer; /* owned */
};

static void schedule_scan(struct plugin_registry *r, usec_t delay)
{
        sd_event_source_set_time_relative(r->scan_timer, delay);
        sd_event_source_set_enabled(r->scan_timer, SD_EVENT_ONESHOT);
}

/* ---- one plugin ---- */

static void ask(struct plugin *p);

static void retry_later(struct plugin *p, const char *why)
{
        usec_t pause = backoff_next(&p->backoff);

        log_warn(0, "Failed to register the plugin at '%s', next try in %" PRIu64 " ms: %s",
                 p->socket, pause / USEC_PER_MSEC, why);
        p->state = PLUGIN_WAITING;
        sd_event_source_set_time_relative(p->timer, pause);
        sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
}

static int call(struct plugin *p, const char *method, const struct strbuf *message,
                grpc_done_fn done, struct err *err)
{
        const struct grpc_options o = { .socket = p->socket,
                                        .method = method,
                                        .message = message,
                                        .timeout_usec = CALL_TIMEOUT_USEC,
                                        .done = done,
                                        .userdata = p };

        return grpc_start(p->registry->event, &o, &p->call, err);
}

static void finish(struct plugin *p)
{
        if (p->is_unknown) {
                p->state = PLUGIN_REFUSED;
                log_warn(0, "Refused the plugin at '%s': %s", p->socket, p->why);
        } else if (p->why) {
                retry_later(p, p->why);
        } else {
                p->state = PLUGIN_REGISTERED;
                backoff_reset(&p->backoff);
                log_info("Registered the plugin '%s' (%s) at '%s'", p->info.name, p->info.type,
                         p->socket);
        }
}

static void on_told(const struct grpc_result *result, void *userdata)
{
        struct plugin *p = userdata;

        p->call = NULL;
        if (result->err)
                log_warn(0, "Failed to tell the plugin at '%s' how its registration went: %s",
                         p->socket, err_text(result->err));
        finish(p);
}

/* @why: NULL: it is registered. */
static void tell(struct plugin *p, const char *why)
{
        _cleanup_strbuf_ struct strbuf message = { 0 };
        _cleanup_err_ struct err err = { 0 };

        free(p->why);
        p->why = strdup_null(why);
        if (why && !p->why)
                return retry_later(p, why);
        p->state = PLUGIN_TOLD;
        plugin_write_status(&message, why);
        if (call(p, PLUGIN_NOTIFY_METHOD, &message, on_told, &err) == 0)
                return;
        log_warn(0, "Failed to tell the plugin at '%s' how its registration went: %s", p->socket,
                 err_text(&err));
        finish(p);
}

static void on_started(const struct err *why_not, void *userdata)
{
        struct plugin *p = userdata;

        p->started = !why_not;
        tell(p, why_not ? err_text(why_not) : NULL);
}

static void start(struct plugin *p)
{
        struct plugin_registry *r = p->registry;
        _cleanup_err_ struct err err = { 0 };
        int k;

        p->is_unknown = !streq(p->info.type, r->ops->type);
        if (p->is_unknown) {
                _cleanup_free_ char *why = text_printf(
                        "no handler registered for plugin type: %s at socket %s (this node "
                        "takes plugins of type %s)",
                        p->info.type, p->socket, r->ops->type);

                return tell(p, why ? why : "out of memory");
        }
        p->state = PLUGIN_STARTING;
        p->started = true;
        k = r->ops->start(r->kind, p->socket, &p->info, on_started, p, &err);
        if (k == 0)
                return;
        p->started = false;
        tell(p, err_text(&err));
}

static void on_info(const struct grpc_result *result, void *userdata)
{
        struct plugin *p = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r;

        p->call = NULL;
        plugin_info_done(&p->info);
        if (result->err)
                return retry_later(p, err_text(result->err));
        r = plugin_read_info(result->message, result->message_len, &p->info, &err);
        if (r == 0 && !*p->info.endpoint)
                r = free_and_strdup(&p->info.endpoint, p->socket);
        if (r < 0)
                return retry_later(p, err_text(&err));
        start(p);
}

static void ask(struct plugin *p)
{
        static const struct strbuf empty;
        _cleanup_err_ struct err err = { 0 };

        p->state = PLUGIN_ASKED;
        if (call(p, PLUGIN_GET_INFO_METHOD, &empty, on_info, &err) < 0)
                retry_later(p, err_text(&err));
}

static int on_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        ask(userdata);
        return 0;
}

/* Back to the start: nobody is at work for it any more. */
static void plugin_stop(struct plugin *p)
{
        p->call = grpc_cancel(p->call);
        sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (p->started)
                p->registry->ops->stop(p->registry->kind, p->socket);
        p->started = false;
}

static void plugin_free(struct plugin *p)
{
        list_remove(&p->node);
        p->registry->n_plugins--;
        grpc_cancel(p->call);
        sd_event_source_disable_unref(p->timer);
        plugin_info_done(&p->info);
        free(p->socket);
        free(p->why);
        free(p);
}

static struct plugin *find_plugin(struct plugin_registry *r, const char *socket)
{
        struct plugin *p;

        LIST_FOREACH (p, &r->plugins, node)
                if (streq(p->socket, socket))
                        return p;
        return NULL;
}

static int plugin_add(struct plugin_registry *r, const char *socket, ino_t inode)
{
        struct plugin *p;
        int k;

        if (r->n_plugins >= PLUGINS_MAX)
                return -E2BIG;
        p = calloc(1, sizeof *p);
        if (!p)
                return -ENOMEM;
        *p = (struct plugin){ .registry = r,
                              .socket = strdup(socket),
                              .inode = inode,
                              .seen = true,
                              .remade = true,
                              .backoff = { RETRY_FIRST_USEC, RETRY_MAX_USEC, 0 } };
        list_append(&r->plugins, &p->node);
        r->n_plugins++;
        k = p->socket ? sd_event_add_time(r->event, &p->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                          on_retry, p)
                      : -ENOMEM;
        if (k >= 0)
                k = sd_event_source_set_enabled(p->timer, SD_EVENT_OFF);
        if (k < 0)
                plugin_free(p);
        return k < 0 ? k : 0;
}

/* ---- the folder ---- */

static void watched_free(struct watched *w)
{
        list_remove(&w->node);
        sd_event_source_disable_unref(w->source);
        free(w->path);
        free(w);
}

static int on_inotify(_unused_ sd_event_source *s, const struct inotify_event *event,
                      void *userdata)
{
        struct watched *w = userdata;
        struct plugin_registry *r = w->registry;

        if (event->mask & (IN_DELETE_SELF | IN_IGNORED)) {
                watched_free(w); /* the next of that name is another folder */
        } else if (event->len > 0 && event->mask & (IN_CREATE | IN_MOVED_TO)) {
                _cleanup_free_ char *path = text_printf("%s/%s", w->path, event->name);
                struct plugin *p = path ? find_plugin(r, path) : NULL;

                if (p)
                        p->remade = true;
        }
        schedule_scan(r, SCAN_DELAY_USEC);
        return 0;
}

static int watch(struct plugin_registry *r, const char *path)
{
        const uint32_t mask = IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE_SELF |
                              IN_ONLYDIR;
        struct watched *w;
        int k;

        LIST_FOREACH (w, &r->folders, node) {
                if (streq(w->path, path)) {
                        w->seen = true;
                        return 0;
                }
        }
        w = calloc(1, sizeof *w);
        if (!w)
                return -ENOMEM;
        *w = (struct watched){ .registry = r, .path = strdup(path), .seen = true };
        list_append(&r->folders, &w->node);
        k = w->path ? sd_event_add_inotify(r->event, &w->source, path, mask, on_inotify, w)
                    : -ENOMEM;
        if (k < 0)
                watched_free(w);
        return k < 0 ? k : 0;
}

static int scan_folder(struct plugin_registry *r, const char *dir, unsigned depth);

static int scan_entry(struct plugin_registry *r, const char *dir, const char *name, unsigned depth)
{
        _cleanup_free_ char *path = text_printf("%s/%s", dir, name);
        struct plugin *p;
        struct stat st;

        if (!path)
                return -ENOMEM;
        if (lstat(path, &st) < 0)
                return 0; /* gone already */
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
                return scan_folder(r, path, depth + 1);
        if (!S_ISSOCK(st.st_mode))
                return 0;
        p = find_plugin(r, path);
        if (!p)
                return plugin_add(r, path, st.st_ino);
        p->seen = true;
        p->remade |= p->inode != st.st_ino;
        p->inode = st.st_ino;
        return 0;
}

/* Names that begin with a dot are none. */
static int scan_folder(struct plugin_registry *r, const char *dir, unsigned depth)
{
        _cleanup_strv_ char **names = NULL;
        int k = watch(r, dir); /* before it is read: nothing may slip in between */

        if (k == 0)
                k = fs_list_at(AT_FDCWD, dir, &names);
        if (k == -ENOENT && depth > 0)
                return 0;
        if (k < 0)
                return k;
        STRV_FOREACH (name, names) {
                k = **name == '.' ? 0 : scan_entry(r, dir, *name, depth);
                if (k < 0)
                        log_warn(k, "Failed to look at '%s/%s'", dir, *name);
        }
        return 0;
}

static void settle(struct plugin_registry *r)
{
        struct plugin *p, *next;
        struct watched *w, *after;

        LIST_FOREACH_SAFE (w, after, &r->folders, node)
                if (!w->seen)
                        watched_free(w);
        LIST_FOREACH_SAFE (p, next, &r->plugins, node) {
                if (!p->seen) {
                        log_info("The plugin at '%s' is gone", p->socket);
                        plugin_stop(p);
                        plugin_free(p);
                } else if (p->remade) {
                        p->remade = false;
                        plugin_stop(p);
                        backoff_reset(&p->backoff);
                        ask(p);
                }
        }
}

static int scan(struct plugin_registry *r, struct err *err)
{
        struct plugin *p;
        struct watched *w;
        int fd, k;

        LIST_FOREACH (p, &r->plugins, node)
                p->seen = false;
        LIST_FOREACH (w, &r->folders, node)
                w->seen = false;
        fd = fs_open_dir(r->dir, 0750, err);
        if (fd < 0)
                return fd;
        safe_close(fd);
        k = scan_folder(r, r->dir, 0);
        if (k < 0)
                return err_sys(err, k, "watch folder '%s'", r->dir);
        settle(r);
        return 0;
}

static int on_scan(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct plugin_registry *r = userdata;
        _cleanup_err_ struct err err = { 0 };
        int k = scan(r, &err);

        if (k < 0) {
                log_warn(0, "Failed to look for plugins, next try in %" PRIu64 " s: %s",
                         RESCAN_USEC / USEC_PER_SEC, err_text(&err));
                schedule_scan(r, RESCAN_USEC);
        }
        return 0;
}

int plugin_registry_new(sd_event *event, const char *dir, const struct plugin_kind *ops, void *kind,
                        struct plugin_registry **ret, struct err *err)
{
        _cleanup_(plugin_registry_freep)
        struct plugin_registry *r = calloc(1, sizeof *r);
        int k;

        if (!r)
                return err_sys(err, -ENOMEM, "watch for plugins");
        *r = (struct plugin_registry){
                .event = event, .dir = strdup(dir), .ops = ops, .kind = kind
        };
        list_init(&r->plugins);
        list_init(&r->folders);
        k = r->dir ? sd_event_add_time(event, &r->scan_timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                       on_scan, r)
                   : -ENOMEM;
        if (k < 0)
                return err_sys(err, k, "watch for plugins");
        *ret = TAKE_PTR(r);
        return 0;
}

struct plugin_registry *plugin_registry_free(struct plugin_registry *r)
{
        struct list_node *n;

        if (!r)
                return NULL;
        while ((n = r->plugins.head.next) && n != &r->plugins.head)
                plugin_free(CONTAINER_OF(n, struct plugin, node));
        while ((n = r->folders.head.next) && n != &r->folders.head)
                watched_free(CONTAINER_OF(n, struct watched, node));
        sd_event_source_disable_unref(r->scan_timer);
        free(r->dir);
        free(r);
        return NULL;
}
