#include "kubelet/pod-source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "base/yaml.h"
#include "kubelet/pod-defaults.h"
#include "kubelet/pod-log.h"

#define MANIFEST_MAX  (10 << 20)
#define MANIFESTS_MAX 4096
#define SETTLE_USEC   (20 * USEC_PER_MSEC) /* an editor's several writes are one change */

struct pod_sources {
        sd_event *event;              /* borrowed */
        struct kube_session *session; /* borrowed; NULL: standalone */
        struct pod_source_ops ops;
        void *userdata;
        char *node_name, *manifest_path, *selector; /* owned */
        struct kube_watch *watch;                   /* owned; NULL: standalone, or not started */
        struct map *api_pods;                  /* "ns/name" -> struct pod, one reference each */
        struct map *file_pods;                 /* "ns/name" -> struct pod, one reference each */
        struct map *problems;                  /* file -> sentence (owned), told once */
        sd_event_source *scan_timer, *inotify; /* owned */
        usec_t file_check_usec;
        bool api_synced, file_synced, told_synced, told_missing;
};

static void free_pod_value(void *value)
{
        pod_unref(value);
}

static void tell_synced(struct pod_sources *s)
{
        if (s->told_synced || !pod_sources_are_synced(s))
                return;
        s->told_synced = true;
        s->ops.on_all_synced(s->userdata);
}

bool pod_sources_are_synced(const struct pod_sources *s)
{
        return s->api_synced && s->file_synced;
}

/* ---- both ---- */

static void tell_removed(struct pod_sources *s, struct map *pods, const char *key)
{
        struct pod *p = map_remove(pods, key);

        if (!p)
                return;
        s->ops.on_removed(p->source, p->namespace, p->name, p->uid, s->userdata);
        pod_unref(p);
}

/* Puts @pod (one reference, taken) under its name; another uid of the same name was removed before.
 */
static int take_pod(struct pod_sources *s, struct map *pods, const char *key, struct pod *pod)
{
        struct pod *old = map_get(pods, key);
        int r;

        if (old && !streq(old->uid, pod->uid))
                tell_removed(s, pods, key);
        r = map_put(pods, key, pod, (void **)&old);
        if (r < 0) {
                pod_unref(pod);
                return r;
        }
        pod_unref(old);
        s->ops.on_pod(pod, s->userdata);
        return 0;
}

/* ---- the API ---- */

static int on_api_event(enum kube_event event, const char *key, const json_t *object,
                        void *userdata, struct err *err)
{
        struct pod_sources *s = userdata;
        struct pod *pod;
        int r;

        if (event == KUBE_DELETED) {
                tell_removed(s, s->api_pods, key);
                return 0;
        }
        r = pod_decode(object, POD_SOURCE_API, &pod, err);
        if (r < 0) {
                s->ops.on_invalid(key, err_text(err), s->userdata);
                return r;
        }
        return take_pod(s, s->api_pods, key, pod);
}

static void on_api_synced(void *userdata)
{
        struct pod_sources *s = userdata;

        s->api_synced = true;
        tell_synced(s);
}

int pod_sources_start_api(struct pod_sources *s, struct err *err)
{
        static const struct kube_watch_ops ops = { on_api_event, on_api_synced };
        struct kube_watch_options options;

        if (!s->session || s->watch)
                return 0;
        if (!s->selector)
                s->selector = text_printf("spec.nodeName=%s", s->node_name);
        if (!s->selector)
                return err_sys(err, -ENOMEM, "watch pods");
        options = (struct kube_watch_options){ .path = "/api/v1/pods",
                                               .field_selector = s->selector,
                                               .what = "pods" };
        return kube_watch_new(s->session, &options, &ops, s, &s->watch, err);
}

/* ---- manifests ---- */

static void tell_problem(struct pod_sources *s, const char *file, const char *sentence)
{
        const char *before = map_get(s->problems, file);
        char *copy, *old = NULL;

        if (before && streq(before, sentence))
                return;
        s->ops.on_invalid(file, sentence, s->userdata);
        copy = strdup(sentence);
        if (copy && map_put(s->problems, file, copy, (void **)&old) < 0)
                free(copy);
        free(old);
}

/* 1: *ret is a pod; 0: skipped with a word. */
static int read_manifest(struct pod_sources *s, const char *path, struct pod **ret)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *root = NULL;
        int r = yaml_parse_file(path, &root, &err);

        if (r == 0)
                r = pod_from_manifest(root, s->node_name, path, now_realtime(), ret, &err);
        if (r == 0)
                return 1;
        tell_problem(s, path, err_text(&err));
        return 0;
}

static bool is_manifest_name(const char *name)
{
        return name[0] != '.' && !endswith(name, "~") && !endswith(name, ".swp");
}

/* The paths of all manifests, sorted by name; a missing folder has none. */
static int list_manifests(struct pod_sources *s, char ***ret)
{
        _cleanup_strv_ char **names = NULL, **paths = NULL;
        struct stat st;
        int r;

        if (stat(s->manifest_path, &st) < 0) {
                if (errno != ENOENT)
                        return -errno;
                if (!s->told_missing)
                        log_warn(0, "There is no '%s' (staticPodPath), waiting for it",
                                 s->manifest_path);
                s->told_missing = true;
                return 0;
        }
        s->told_missing = false;
        if (S_ISREG(st.st_mode))
                return strv_append(ret, s->manifest_path);
        r = fs_list_at(AT_FDCWD, s->manifest_path, &names);
        if (r < 0)
                return r;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *path = text_printf("%s/%s", s->manifest_path, *name);

                if (!path)
                        return -ENOMEM;
                if (!is_manifest_name(*name) || stat(path, &st) < 0 || !S_ISREG(st.st_mode))
                        continue;
                if (strv_len(paths) >= MANIFESTS_MAX)
                        return -E2BIG;
                r = strv_consume(&paths, TAKE_PTR(path));
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(paths);
        return 0;
}

static void take_manifest_pod(struct pod_sources *s, struct map *seen, const char *path,
                              struct pod *pod)
{
        _cleanup_free_ char *key = text_printf("%s/%s", pod->namespace, pod->name);
        const struct pod *old = key ? map_get(s->file_pods, key) : NULL;

        if (!key || map_get(seen, key)) {
                if (key)
                        tell_problem(s, path,
                                     "another manifest has a pod of this name and namespace");
                pod_unref(pod);
                return;
        }
        free(map_remove(s->problems, path));
        if (map_put(seen, key, s, NULL) < 0 || (old && streq(old->uid, pod->uid)))
                pod_unref(pod); /* the same content as before */
        else
                take_pod(s, s->file_pods, key, pod);
}

static void scan(struct pod_sources *s)
{
        _cleanup_strv_ char **paths = NULL, **known = map_keys(s->file_pods);
        _cleanup_(map_freep)
        struct map *seen = map_new();
        int r = seen && known ? list_manifests(s, &paths) : -ENOMEM;

        if (r < 0) {
                log_warn(r, "Failed to read the manifests of '%s', trying again later",
                         s->manifest_path);
                return;
        }
        STRV_FOREACH (path, paths) {
                struct pod *pod;

                if (read_manifest(s, *path, &pod) > 0)
                        take_manifest_pod(s, seen, *path, pod);
        }
        STRV_FOREACH (key, known)
                if (!map_get(seen, *key))
                        tell_removed(s, s->file_pods, *key);
        s->file_synced = true;
        tell_synced(s);
}

static void scan_in(struct pod_sources *s, usec_t pause)
{
        sd_event_source_set_time(s->scan_timer, now_monotonic() + pause);
        sd_event_source_set_enabled(s->scan_timer, SD_EVENT_ONESHOT);
}

static int on_inotify(_unused_ sd_event_source *source, _unused_ const struct inotify_event *event,
                      void *userdata)
{
        scan_in(userdata, SETTLE_USEC);
        return 0;
}

/* Watches the folder (or the file's folder); tried again at every scan until it exists. */
static void watch_manifests(struct pod_sources *s)
{
        uint32_t mask = IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_TO | IN_MOVED_FROM |
                        IN_DELETE | IN_DELETE_SELF;

        if (s->inotify)
                return;
        if (sd_event_add_inotify(s->event, &s->inotify, s->manifest_path, mask, on_inotify, s) < 0)
                s->inotify = NULL;
}

static int on_scan_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        struct pod_sources *s = userdata;
        struct stat st;

        if (s->inotify && stat(s->manifest_path, &st) < 0)
                s->inotify = sd_event_source_disable_unref(s->inotify);
        watch_manifests(s);
        scan(s);
        scan_in(s, s->file_check_usec);
        return 0;
}

static int start_manifests(struct pod_sources *s, struct err *err)
{
        int r;

        if (!s->manifest_path || !*s->manifest_path) {
                s->file_synced = true;
                return 0;
        }
        r = sd_event_add_time(s->event, &s->scan_timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                              on_scan_timer, s);
        return r < 0 ? err_sys(err, r, "watch manifests in '%s'", s->manifest_path) : 0;
}

/* Standalone without manifests everything is there from the start; told from the loop. */
static int on_nothing_to_wait_for(sd_event_source *source, void *userdata)
{
        tell_synced(userdata);
        sd_event_source_unref(source);
        return 0;
}

int pod_sources_new(sd_event *event, const struct pod_source_options *o,
                    const struct pod_source_ops *ops, void *userdata, struct pod_sources **ret,
                    struct err *err)
{
        _cleanup_(pod_sources_freep)
        struct pod_sources *s = calloc(1, sizeof *s);
        sd_event_source *defer;
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "start the pod sources");
        *s = (struct pod_sources){
                .event = event,
                .session = o->session,
                .ops = *ops,
                .userdata = userdata,
                .node_name = strdup(o->node_name),
                .manifest_path = strdup_null(o->manifest_path),
                .api_pods = map_new(),
                .file_pods = map_new(),
                .problems = map_new(),
                .file_check_usec = o->file_check_usec,
                .api_synced = !o->session,
        };
        if (!s->node_name || !s->api_pods || !s->file_pods || !s->problems)
                return err_sys(err, -ENOMEM, "start the pod sources");
        r = start_manifests(s, err);
        if (r < 0)
                return r;
        if (pod_sources_are_synced(s)) {
                r = sd_event_add_defer(event, &defer, on_nothing_to_wait_for, s);
                if (r < 0)
                        return err_sys(err, r, "start the pod sources");
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct pod_sources *pod_sources_free(struct pod_sources *s)
{
        if (!s)
                return NULL;
        kube_watch_free(s->watch);
        sd_event_source_disable_unref(s->scan_timer);
        sd_event_source_disable_unref(s->inotify);
        map_free_with(s->api_pods, free_pod_value);
        map_free_with(s->file_pods, free_pod_value);
        map_free_with(s->problems, free);
        free(s->node_name);
        free(s->manifest_path);
        free(s->selector);
        free(s);
        return NULL;
}
