/*
 * Theory of operation. Each volume that a container mounts is a struct volume with what it waits
 * for: objects of the cache, tokens, a hostPath check. Whenever one of these answers, volume_try()
 * looks whether all have; then it writes, and the volume is ready. A change later goes the same way
 * and rewrites. Trouble is told with back-off, the volume stays as it was.
 */
#include "kubelet/volumes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trash.h"
#include "kubelet/pod-log.h"
#include "kubelet/token.h"
#include "kubelet/volume-claim.h"
#include "kubelet/volume-empty-dir.h"
#include "kubelet/volume-host-path.h"
#include "kubelet/volume-sub-path.h"

#define PROBLEM_FIRST_USEC (500 * USEC_PER_MSEC)
#define PROBLEM_MAX_USEC   (122 * USEC_PER_SEC)
#define TRASH              "skiff-trash"

struct volumes {
        sd_event *event;              /* borrowed */
        struct kube_session *session; /* borrowed; NULL: standalone */
        struct object_cache *objects; /* borrowed */
        struct node_volumes *nodes;   /* borrowed */
        char *root_dir, *memory_dir;  /* owned */
        int root_fd, memory_fd;       /* owned */
        struct trash *trash;          /* owned; on root_dir's file system */
        void (*allocatable)(struct node_allocatable *ret, void *userdata);
        void *userdata;
};

struct source_input {                           /* what one source of a volume waits for */
        const struct pod_volume_source *source; /* of the pod */
        struct object_ref *object;              /* owned; or NULL */
        struct token *token;                    /* owned; or NULL */
};

struct volume {
        struct pod_volumes *owner;
        const struct pod_volume *spec; /* of the owner's pod */
        struct source_input *inputs;   /* owned */
        size_t n_inputs;
        struct host_path_check *check; /* owned */
        struct volume_claim *claim;    /* owned; of what a driver mounts */
        char *path;                    /* owned; where it is, or will be */
        bool ready;
        char *problem;          /* owned; NULL: none */
        struct backoff backoff; /* of telling the problem */
        sd_event_source *timer; /* owned */
};

struct pod_volumes {
        struct volumes *volumes; /* borrowed */
        struct pod *pod;         /* one reference */
        struct volume *items;    /* owned; the used ones */
        size_t n_items;
        struct pod_volumes_ops ops;
        void *userdata;
        sd_event_source *notify; /* owned; tells ops.on_changed from the loop */
};

static const char *const plugin_dirs[] = {
        [POD_VOLUME_EMPTY_DIR] = "kubernetes.io~empty-dir",
        [POD_VOLUME_CONFIG_MAP] = "kubernetes.io~configmap",
        [POD_VOLUME_SECRET] = "kubernetes.io~secret",
        [POD_VOLUME_DOWNWARD_API] = "kubernetes.io~downward-api",
        [POD_VOLUME_PROJECTED] = "kubernetes.io~projected",
};

/* ---- one volume ---- */

static void volume_done(struct volume *v)
{
        for (size_t i = 0; i < v->n_inputs; i++) {
                object_ref_free(v->inputs[i].object);
                token_free(v->inputs[i].token);
        }
        free(v->inputs);
        host_path_check_free(v->check);
        volume_claim_free(v->claim);
        sd_event_source_disable_unref(v->timer);
        free(v->path);
        free(v->problem);
}

static void tell_changed(struct pod_volumes *pv)
{
        sd_event_source_set_enabled(pv->notify, SD_EVENT_ONESHOT);
}

static int on_notify(_unused_ sd_event_source *s, void *userdata)
{
        struct pod_volumes *pv = userdata;

        pv->ops.on_changed(pv->userdata);
        return 0;
}

static void volume_set_ready(struct volume *v)
{
        bool was = v->ready;

        v->ready = true;
        free_and_strdup(&v->problem, NULL);
        backoff_reset(&v->backoff);
        sd_event_source_set_enabled(v->timer, SD_EVENT_OFF);
        if (!was)
                tell_changed(v->owner);
}

static int on_problem_due(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata);

/* Tells it now and again with back-off, while it lasts. */
static void volume_set_problem(struct volume *v, const char *sentence)
{
        bool is_new = !v->problem || !streq(v->problem, sentence);

        if (free_and_strdup(&v->problem, sentence) < 0)
                return log_oom();
        if (is_new)
                on_problem_due(NULL, 0, v);
}

static void volume_write(struct volume *v);

static void tell_problem(struct volume *v)
{
        struct pod_volumes *pv = v->owner;
        _cleanup_free_ char *message =
                text_printf("MountVolume.SetUp failed for volume \"%s\" : %s", v->spec->name,
                            v->problem);

        if (message)
                pv->ops.on_event(true, "FailedMount", message, pv->userdata);
}

static int on_problem_due(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct volume *v = userdata;

        if (s)
                volume_write(v); /* what failed may work now */
        if (!v->problem)
                return 0;
        sd_event_source_set_time(v->timer, now_monotonic() + backoff_next(&v->backoff));
        sd_event_source_set_enabled(v->timer, SD_EVENT_ONESHOT);
        tell_problem(v);
        return 0;
}

/* 1: every input answered; 0: one is still awaited; negative: one failed, with its sentence. */
static int inputs_are_here(const struct volume *v, struct err *err)
{
        bool all = true;

        for (size_t i = 0; i < v->n_inputs; i++) {
                const struct source_input *in = &v->inputs[i];

                if (in->object && object_ref_state(in->object) == OBJECT_FAILED)
                        return err_set(err, -EAGAIN, "%s", object_ref_error(in->object));
                if (in->object && object_ref_state(in->object) == OBJECT_PENDING)
                        all = false;
                if (in->token && !token_text(in->token)) {
                        if (*token_error(in->token))
                                return err_set(err, -EAGAIN, "failed to fetch token: %s",
                                               token_error(in->token));
                        all = false;
                }
        }
        return all;
}

static int add_input(struct payload *p, const struct volume *v, const struct source_input *in,
                     struct err *err)
{
        const struct pod *pod = v->owner->pod;
        const json_t *object = in->object ? object_ref_object(in->object) : NULL;
        bool has_owner = pod->security.fs_group != POD_UNSET || pod_common_user(pod) != POD_UNSET;
        struct node_allocatable node;
        int32_t mode = v->spec->default_mode;

        switch (in->source->kind) {
        case POD_VOLUME_CONFIG_MAP:
                return payload_add_config_map(p, in->source, object, mode, err);
        case POD_VOLUME_SECRET:
                return payload_add_secret(p, in->source, object, mode, err);
        case POD_VOLUME_DOWNWARD_API:
                v->owner->volumes->allocatable(&node, v->owner->volumes->userdata);
                return payload_add_downward_api(p, in->source, pod, &node, mode, err);
        case POD_VOLUME_SERVICE_ACCOUNT_TOKEN:
                return payload_add_token(p, in->source, token_text(in->token), has_owner, mode,
                                         err);
        default:
                return err_set(err, -EOPNOTSUPP, "projected source '%s' is not supported",
                               in->source->unsupported ? in->source->unsupported : "?");
        }
}

/* The volume's folder on our tmpfs, with the kubelet's name linked to it. */
static int open_memory_dir(const struct volume *v, struct err *err)
{
        struct volumes *vs = v->owner->volumes;
        const struct pod *pod = v->owner->pod;
        _cleanup_free_ char *below = text_printf("%s/%s", pod->uid, v->spec->name);
        _cleanup_free_ char *link = text_printf("pods/%s/volumes/%s/%s", pod->uid,
                                                plugin_dirs[v->spec->source.kind], v->spec->name);
        int fd, r;

        if (!below || !link)
                return err_sys(err, -ENOMEM, "make the volume's folder");
        r = fs_mkdir_p_at(vs->memory_fd, below, 0755);
        if (r < 0)
                return err_sys(err, r, "make folder '%s/%s'", vs->memory_dir, below);
        fd = fs_open_beneath(vs->memory_fd, below, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return err_sys(err, fd, "open folder '%s/%s'", vs->memory_dir, below);
        if (fchmod(fd, 0777) < 0 ||
            (symlinkat(v->path, vs->root_fd, link) < 0 && errno != EEXIST)) {
                r = err_sys(err, -errno, "link '%s/%s'", vs->root_dir, link);
                safe_close(fd);
                return r;
        }
        return fd;
}

static int write_payload(struct volume *v, struct err *err)
{
        const struct pod *pod = v->owner->pod;
        const struct atomic_writer_owner owner = { .fs_group = pod->security.fs_group,
                                                   .fs_user = pod_common_user(pod) };
        _cleanup_(payload_done)
        struct payload p = { 0 };
        _cleanup_close_ int fd = -1;
        int r;

        for (size_t i = 0; i < v->n_inputs; i++) {
                r = add_input(&p, v, &v->inputs[i], err);
                if (r < 0)
                        return r;
        }
        fd = open_memory_dir(v, err);
        if (fd < 0)
                return fd;
        r = atomic_writer_write(fd, &p, &owner, err);
        return r < 0 ? r : 0;
}

static struct empty_dir empty_dir_of(const struct volume *v)
{
        const struct volumes *vs = v->owner->volumes;
        struct empty_dir e = { .root_fd = vs->root_fd,
                               .root_dir = vs->root_dir,
                               .pod = v->owner->pod,
                               .volume = v->spec };

        vs->allocatable(&e.allocatable, vs->userdata);
        return e;
}

/* Sets up or rewrites, if everything it needs is here. */
static void volume_write(struct volume *v)
{
        struct empty_dir empty_dir;
        _cleanup_err_ struct err err = { 0 };
        int r = inputs_are_here(v, &err);

        if (r == 0)
                return;
        if (r > 0) {
                switch (v->spec->source.kind) {
                case POD_VOLUME_EMPTY_DIR:
                        empty_dir = empty_dir_of(v);
                        r = empty_dir_make(&empty_dir, &err);
                        break;
                case POD_VOLUME_HOST_PATH:
                        return; /* the check's callback decides */
                case POD_VOLUME_UNSUPPORTED:
                        r = err_set_kind(&err, -EOPNOTSUPP, ERR_BAD_INPUT,
                                         "volume type '%s' is not supported by this node",
                                         v->spec->source.unsupported);
                        break;
                case POD_VOLUME_CLAIM:
                case POD_VOLUME_EPHEMERAL:
                case POD_VOLUME_NFS:
                case POD_VOLUME_CSI:
                        return; /* likewise */
                default:
                        r = write_payload(v, &err);
                        break;
                }
        }
        if (r < 0)
                volume_set_problem(v, err_text(&err));
        else
                volume_set_ready(v);
}

static void on_object_changed(_unused_ struct object_ref *ref, void *userdata)
{
        volume_write(userdata);
}

static void on_token_changed(_unused_ struct token *t, void *userdata)
{
        volume_write(userdata);
}

static void on_host_path_checked(const char *problem, void *userdata)
{
        struct volume *v = userdata;

        v->check = host_path_check_free(v->check);
        if (problem)
                volume_set_problem(v, problem);
        else
                volume_set_ready(v);
}

/* ---- what a driver mounts ---- */

static bool has_driver(const struct pod_volume *spec)
{
        return spec->source.kind == POD_VOLUME_CLAIM || spec->source.kind == POD_VOLUME_EPHEMERAL ||
               spec->source.kind == POD_VOLUME_NFS || spec->source.kind == POD_VOLUME_CSI;
}

static void on_claim_changed(void *userdata)
{
        struct volume *v = userdata;
        const char *problem = volume_claim_problem(v->claim);
        bool ready = volume_claim_path(v->claim) || volume_claim_device(v->claim);

        if (ready)
                return volume_set_ready(v);
        if (free_and_strdup(&v->problem, problem) < 0)
                log_oom();
        tell_changed(v->owner);
}

static void on_claim_event(bool is_warning, const char *reason, const char *message, void *userdata)
{
        struct volume *v = userdata;

        v->owner->ops.on_event(is_warning, reason, message, v->owner->userdata);
}

/* "[a b]" of the volumes that @is says. */
static void list_volumes(struct strbuf *b, const struct pod_volumes *pv,
                         bool (*is)(const struct volume *v))
{
        const char *separator = "";

        strbuf_add(b, "[");
        for (size_t i = 0; i < pv->n_items; i++)
                if (is(&pv->items[i])) {
                        strbuf_addf(b, "%s%s", separator, pv->items[i].spec->name);
                        separator = " ";
                }
        strbuf_add(b, "]");
}

static bool is_unmounted(const struct volume *v)
{
        return !v->ready;
}

static bool is_unattached(const struct volume *v)
{
        return v->claim && volume_claim_is_unattached(v->claim);
}

static bool is_unresolved(const struct volume *v)
{
        return v->claim && !volume_claim_spec(v->claim);
}

static void on_claim_unresolved(const char *sentence, void *userdata)
{
        struct volume *v = userdata;
        struct pod_volumes *pv = v->owner;
        struct strbuf b = { 0 };
        _cleanup_free_ char *message = NULL;

        strbuf_add(&b, "Unable to attach or mount volumes: unmounted volumes=");
        list_volumes(&b, pv, is_unmounted);
        strbuf_add(&b, ", unattached volumes=");
        list_volumes(&b, pv, is_unattached);
        strbuf_add(&b, ", failed to process volumes=");
        list_volumes(&b, pv, is_unresolved);
        strbuf_addf(&b, ": %s", sentence);
        message = strbuf_take(&b);
        if (message)
                pv->ops.on_event(true, "FailedMount", message, pv->userdata);
}

static int start_claim(struct volume *v, struct err *err)
{
        static const struct volume_claim_ops ops = { on_claim_changed, on_claim_unresolved,
                                                     on_claim_event };
        struct volumes *vs = v->owner->volumes;

        return volume_claim_new(vs->event, vs->session, vs->nodes, v->owner->pod, v->spec, &ops, v,
                                &v->claim, err);
}

static int start_input(struct volume *v, struct source_input *in, struct err *err)
{
        struct volumes *vs = v->owner->volumes;
        const struct pod *pod = v->owner->pod;
        const struct pod_volume_source *s = in->source;
        struct token_options token;
        int r = 0;

        if (s->kind != POD_VOLUME_CONFIG_MAP && s->kind != POD_VOLUME_SECRET &&
            s->kind != POD_VOLUME_SERVICE_ACCOUNT_TOKEN)
                return 0;
        if (!vs->session)
                return err_set(err, -EOPNOTSUPP,
                               "cannot setup volume %s because kube client is not configured",
                               v->spec->name);
        if (s->kind != POD_VOLUME_SERVICE_ACCOUNT_TOKEN) {
                r = object_ref_new(vs->objects,
                                   s->kind == POD_VOLUME_SECRET ? OBJECT_SECRET : OBJECT_CONFIG_MAP,
                                   pod->namespace, s->name, on_object_changed, v, &in->object);
        } else {
                token = (struct token_options){
                        .namespace = pod->namespace,
                        .service_account = pod->service_account ? pod->service_account : "default",
                        .pod_name = pod->name,
                        .pod_uid = pod->uid,
                        .audience = s->audience,
                        .expiration_sec = s->expiration_sec,
                        .changed = on_token_changed,
                        .userdata = v,
                };
                r = token_new(vs->session, &token, &in->token);
        }
        return r < 0 ? err_sys(err, r, "start volume '%s'", v->spec->name) : 0;
}

static int start_inputs(struct volume *v, struct err *err)
{
        const struct pod_volume_source *sources = v->spec->sources;
        size_t n = v->spec->n_sources;

        if (v->spec->source.kind != POD_VOLUME_PROJECTED) {
                sources = &v->spec->source;
                n = plugin_dirs[v->spec->source.kind] &&
                    v->spec->source.kind != POD_VOLUME_EMPTY_DIR;
        }
        v->inputs = calloc(n ? n : 1, sizeof *v->inputs);
        if (!v->inputs)
                return err_sys(err, -ENOMEM, "start volume '%s'", v->spec->name);
        v->n_inputs = n;
        for (size_t i = 0; i < n; i++) {
                int r;

                v->inputs[i].source = &sources[i];
                r = start_input(v, &v->inputs[i], err);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int start_host_path(struct volume *v, struct err *err)
{
        const struct pod_volume *spec = v->spec;

        if (!*spec->host_path_type) {
                volume_set_ready(v);
                return 0;
        }
        return host_path_check_new(v->owner->volumes->event, spec->source.path,
                                   spec->host_path_type, on_host_path_checked, v, &v->check, err);
}

static char *choose_path(const struct volume *v)
{
        struct volumes *vs = v->owner->volumes;
        enum pod_volume_kind kind = v->spec->source.kind;

        if (kind == POD_VOLUME_HOST_PATH)
                return strdup(v->spec->source.path);
        if (has_driver(v->spec))
                return strdup("");
        if (kind == POD_VOLUME_EMPTY_DIR)
                return text_printf("%s/pods/%s/volumes/%s/%s", vs->root_dir, v->owner->pod->uid,
                                   plugin_dirs[kind], v->spec->name);
        return text_printf("%s/%s/%s", vs->memory_dir, v->owner->pod->uid, v->spec->name);
}

static int volume_start(struct volume *v, struct pod_volumes *pv, const struct pod_volume *spec,
                        struct err *err)
{
        int r;

        *v = (struct volume){ .owner = pv,
                              .spec = spec,
                              .backoff = { PROBLEM_FIRST_USEC, PROBLEM_MAX_USEC, 0 } };
        v->path = choose_path(v);
        if (!v->path)
                return err_sys(err, -ENOMEM, "start volume '%s'", spec->name);
        r = sd_event_add_time(pv->volumes->event, &v->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                              on_problem_due, v);
        if (r >= 0)
                r = sd_event_source_set_enabled(v->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_sys(err, r, "start volume '%s'", spec->name);
        if (plugin_dirs[spec->source.kind] && spec->source.kind != POD_VOLUME_EMPTY_DIR) {
                _cleanup_free_ char *dir = text_printf("pods/%s/volumes/%s", pv->pod->uid,
                                                       plugin_dirs[spec->source.kind]);

                r = dir ? fs_mkdir_p_at(pv->volumes->root_fd, dir, 0750) : -ENOMEM;
                if (r < 0)
                        return err_sys(err, r, "make folder '%s'", dir ? dir : "?");
        }
        if (has_driver(spec))
                return start_claim(v, err);
        return spec->source.kind == POD_VOLUME_HOST_PATH ? start_host_path(v, err)
                                                         : start_inputs(v, err);
}

/* ---- the volumes of a pod ---- */

/* Images are no matter of ours: the runtime mounts them (container-images.h). */
static bool is_used(const struct pod *pod, const struct pod_volume *spec)
{
        const struct pod_container *c;
        const char *volume = spec->name;

        if (spec->source.kind == POD_VOLUME_IMAGE)
                return false;
        POD_FOREACH_CONTAINER(c, pod)
        {
                for (size_t i = 0; i < c->n_mounts; i++)
                        if (streq(c->mounts[i].name, volume))
                                return true;
                for (size_t i = 0; i < c->n_devices; i++)
                        if (streq(c->devices[i].name, volume))
                                return true;
        }
        return false;
}

int volumes_pod_dir(struct volumes *v, const char *pod_uid, struct err *err)
{
        _cleanup_free_ char *path = text_printf("pods/%s", pod_uid);
        _cleanup_free_ char *inner = text_printf("pods/%s/volumes", pod_uid);
        _cleanup_free_ char *plugins = text_printf("pods/%s/plugins", pod_uid);
        int r = path && inner && plugins ? fs_mkdir_p_at(v->root_fd, inner, 0750) : -ENOMEM;

        if (r == 0)
                r = fs_mkdir_p_at(v->root_fd, plugins, 0750);
        if (r == 0)
                r = fs_open_beneath(v->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        return r < 0 ? err_sys(err, r, "error making pod data directories") : r;
}

int pod_volumes_new(struct volumes *vs, struct pod *pod, const struct pod_volumes_ops *ops,
                    void *userdata, struct pod_volumes **ret, struct err *err)
{
        _cleanup_(pod_volumes_freep)
        struct pod_volumes *pv = calloc(1, sizeof *pv);
        _cleanup_close_ int dir_fd = volumes_pod_dir(vs, pod->uid, err);
        int r;

        if (dir_fd < 0)
                return dir_fd;
        if (!pv)
                return err_sys(err, -ENOMEM, "start the volumes");
        *pv = (struct pod_volumes){
                .volumes = vs, .pod = pod_ref(pod), .ops = *ops, .userdata = userdata
        };
        pv->items = calloc(pod->n_volumes + 1, sizeof *pv->items);
        if (!pv->items)
                return err_sys(err, -ENOMEM, "start the volumes");
        r = sd_event_add_defer(vs->event, &pv->notify, on_notify, pv);
        if (r < 0)
                return err_sys(err, r, "start the volumes");
        for (size_t i = 0; i < pod->n_volumes; i++) {
                struct volume *v = &pv->items[pv->n_items];
                _cleanup_err_ struct err why = { 0 };

                if (!is_used(pod, &pod->volumes[i]))
                        continue;
                pv->n_items++;
                r = volume_start(v, pv, &pod->volumes[i], &why);
                if (r == -ENOMEM || !v->timer) {
                        err_move(err, &why);
                        return r;
                }
                if (r < 0)
                        volume_set_problem(v, err_text(&why));
                else if (v->spec->source.kind != POD_VOLUME_HOST_PATH)
                        volume_write(v);
        }
        *ret = TAKE_PTR(pv);
        return 0;
}

void pod_volumes_update(struct pod_volumes *pv, struct pod *pod)
{
        struct pod *old = pv->pod;

        pv->pod = pod_ref(pod);
        /* volumes of a pod never change, so the new pod has the same ones at the same places */
        for (size_t i = 0; i < pv->n_items; i++) {
                struct volume *v = &pv->items[i];
                const struct pod_volume *spec = pod_find_volume(pod, v->spec->name);

                if (!spec || spec->source.kind != v->spec->source.kind ||
                    spec->n_sources != v->spec->n_sources) {
                        pod_ref(old); /* stays alive: v->spec points into it */
                        continue;
                }
                v->spec = spec;
                if (v->claim)
                        volume_claim_set_pod(v->claim, pod);
                for (size_t k = 0; k < v->n_inputs; k++)
                        v->inputs[k].source = spec->source.kind == POD_VOLUME_PROJECTED
                                                      ? &spec->sources[k]
                                                      : &spec->source;
                if (v->n_inputs)
                        volume_write(v);
        }
        pod_unref(old);
}

bool pod_volumes_are_ready(const struct pod_volumes *pv)
{
        for (size_t i = 0; i < pv->n_items; i++)
                if (!pv->items[i].ready)
                        return false;
        return true;
}

char *pod_volumes_missing(const struct pod_volumes *pv)
{
        struct strbuf b = { 0 };
        const char *separator = "unmounted volumes=[";

        if (pod_volumes_are_ready(pv))
                return NULL;
        for (size_t i = 0; i < pv->n_items; i++) {
                if (pv->items[i].ready)
                        continue;
                strbuf_addf(&b, "%s%s", separator, pv->items[i].spec->name);
                separator = " ";
        }
        strbuf_add(&b, "]");
        for (size_t i = 0; i < pv->n_items; i++)
                if (!pv->items[i].ready && pv->items[i].problem)
                        strbuf_addf(&b, ": %s", pv->items[i].problem);
        return strbuf_take(&b);
}

const char *pod_volumes_missing_at(const struct pod_volumes *pv, size_t i, const char **ret_problem)
{
        for (size_t k = 0; k < pv->n_items; k++)
                if (!pv->items[k].ready && i-- == 0) {
                        *ret_problem = pv->items[k].problem;
                        return pv->items[k].spec->name;
                }
        return NULL;
}

static const struct volume *find(const struct pod_volumes *pv, const char *name)
{
        for (size_t i = 0; i < pv->n_items; i++)
                if (streq(pv->items[i].spec->name, name))
                        return &pv->items[i];
        return NULL;
}

const char *pod_volumes_path(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return !v || !v->ready ? NULL : v->claim ? volume_claim_path(v->claim) : v->path;
}

const char *pod_volumes_device(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return v && v->ready && v->claim ? volume_claim_device(v->claim) : NULL;
}

const struct volume_spec *pod_volumes_spec(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return v && v->claim ? volume_claim_spec(v->claim) : NULL;
}

uint32_t *pod_volumes_groups(const struct pod_volumes *pv, size_t *ret_n)
{
        uint32_t *groups = calloc(pv->n_items + 1, sizeof *groups);

        *ret_n = 0;
        for (size_t i = 0; groups && i < pv->n_items; i++) {
                const struct volume_spec *s = pv->items[i].claim
                                                      ? volume_claim_spec(pv->items[i].claim)
                                                      : NULL;

                if (s && s->gid >= 0)
                        groups[(*ret_n)++] = (uint32_t)s->gid;
        }
        return groups;
}

int pod_volumes_sub_path(struct pod_volumes *pv, const char *volume, const char *container,
                         size_t index, const char *sub_path, char **ret, struct err *err)
{
        struct volumes *vs = pv->volumes;
        const char *path = pod_volumes_path(pv, volume);
        _cleanup_free_ char *place = text_printf("pods/%s/volume-subpaths/%s/%s/%zu", pv->pod->uid,
                                                 volume, container, index);
        _cleanup_free_ char *full = place ? text_printf("%s/%s", vs->root_dir, place) : NULL;
        int r;

        if (!path)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "cannot find volume \"%s\" to mount into container \"%s\"",
                                    volume, container);
        if (!full)
                return err_sys(err, -ENOMEM, "prepare subPath");
        r = sub_path_bind(path, sub_path, vs->root_fd, place, volume, container, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(full);
        return 0;
}

struct pod_volumes *pod_volumes_free(struct pod_volumes *pv)
{
        if (!pv)
                return NULL;
        for (size_t i = 0; i < pv->n_items; i++)
                volume_done(&pv->items[i]);
        free(pv->items);
        sd_event_source_disable_unref(pv->notify);
        pod_unref(pv->pod);
        free(pv);
        return NULL;
}

/* ---- taking down ---- */

/* A pod may leave millions of files: they go in the background. */
static int remove_below(struct volumes *v, const char *dir, const char *what, struct err *err)
{
        int r = trash_put(v->trash, v->root_fd, dir);

        return r < 0 ? err_sys(err, r, "remove the pod's %s", what) : 0;
}

static int teardown(struct volumes *v, const char *uid, struct err *err)
{
        _cleanup_free_ char *base = text_printf("pods/%s", uid);
        _cleanup_free_ char *full = text_printf("%s/pods/%s", v->root_dir, uid);
        _cleanup_free_ char *volumes = text_printf("pods/%s/volumes", uid);
        _cleanup_free_ char *sub = text_printf("pods/%s/volume-subpaths", uid);
        _cleanup_free_ char *sub_full = text_printf("%s/pods/%s/volume-subpaths", v->root_dir, uid);
        int r;

        if (!base || !full || !volumes || !sub || !sub_full)
                return err_sys(err, -ENOMEM, "take down the volumes");
        if (strchr(uid, '/') || startswith(uid, "."))
                return err_set(err, -EINVAL, "pod uid '%s': expected no path", uid);
        /* what lies on a volume, then the volume by its driver, then what is ours */
        r = mounts_detach_below(sub_full, err);
        if (r == 0 && v->nodes)
                r = node_volumes_release(v->nodes, uid, err);
        if (r == 0)
                r = mounts_detach_below(full, err);
        if (r == 0)
                r = remove_below(v, sub, "subPath mounts", err);
        if (r == 0)
                r = remove_below(v, volumes, "volumes", err);
        if (r == 0)
                r = remove_below(v, base, "folder", err);
        if (r == 0 && fs_remove_tree_at(v->memory_fd, uid) < 0)
                r = err_set(err, -EBUSY, "remove '%s/%s'", v->memory_dir, uid);
        return r;
}

int pod_volumes_teardown(struct pod_volumes *pv, struct err *err)
{
        for (size_t i = 0; i < pv->n_items; i++)
                volume_done(&pv->items[i]);
        pv->n_items = 0;
        return teardown(pv->volumes, pv->pod->uid, err);
}

int volumes_teardown_orphan(struct volumes *v, const char *pod_uid, struct err *err)
{
        return teardown(v, pod_uid, err);
}

bool volumes_are_removing(const struct volumes *v)
{
        return trash_is_busy(v->trash);
}

int volumes_list_pods(struct volumes *v, char ***ret)
{
        int r = fs_list_at(v->root_fd, "pods", ret);

        return r == -ENOENT ? 0 : r;
}

/* ---- the node ---- */

static int open_memory(struct volumes *v, struct err *err)
{
        v->memory_fd = fs_open_dir(v->memory_dir, 0700, err);
        if (v->memory_fd < 0)
                return v->memory_fd;
        if (is_tmpfs(v->memory_fd)) {
                _cleanup_free_ char *parent = text_printf("%s/..", v->memory_dir);
                struct stat here, above;

                /* ours from before the restart; the parent may be a tmpfs too (/run) */
                if (parent && fstat(v->memory_fd, &here) == 0 && stat(parent, &above) == 0 &&
                    here.st_dev != above.st_dev)
                        return 0;
        }
        safe_close(v->memory_fd);
        v->memory_fd = -1;
        if (mount_tmpfs(v->memory_dir, 0, "0700", err) < 0)
                return -EIO;
        v->memory_fd = fs_open_dir(v->memory_dir, 0700, err);
        return v->memory_fd;
}

static int open_trash(struct volumes *v, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/" TRASH, v->root_dir);

        if (!path)
                return err_sys(err, -ENOMEM, "start the volumes");
        return trash_new(v->event, v->root_fd, TRASH, path, &v->trash, err);
}

int volumes_new(sd_event *event, const struct volumes_options *o, struct volumes **ret,
                struct err *err)
{
        _cleanup_(volumes_freep)
        struct volumes *v = calloc(1, sizeof *v);
        int r;

        if (!v)
                return err_sys(err, -ENOMEM, "start the volumes");
        *v = (struct volumes){
                .event = event,
                .session = o->session,
                .objects = o->objects,
                .nodes = o->nodes,
                .root_dir = strdup(o->root_dir),
                .memory_dir = text_printf("%s/volumes", o->private_dir),
                .root_fd = -1,
                .memory_fd = -1,
                .allocatable = o->allocatable,
                .userdata = o->userdata,
        };
        if (!v->root_dir || !v->memory_dir)
                return err_sys(err, -ENOMEM, "start the volumes");
        v->root_fd = fs_open_dir(v->root_dir, 0750, err);
        if (v->root_fd < 0)
                return v->root_fd;
        r = fs_mkdir_p_at(v->root_fd, "pods", 0750);
        if (r < 0)
                return err_sys(err, r, "make folder '%s/pods'", v->root_dir);
        r = open_memory(v, err);
        if (r >= 0)
                r = open_trash(v, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

struct volumes *volumes_free(struct volumes *v)
{
        if (!v)
                return NULL;
        trash_free(v->trash);
        safe_close(v->root_fd);
        safe_close(v->memory_fd);
        free(v->root_dir);
        free(v->memory_dir);
        free(v);
        return NULL;
}
