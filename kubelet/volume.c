/*
 * Theory of operation. Each volume that a container mounts is a struct volume with what it waits
 * for: objects of the cache, tokens, a hostPath check. Whenever one of these answers,
 * volume_write() looks whether all have; then it writes, and the volume is ready. A change later
 * goes the same way and rewrites. Trouble is told with back-off, the volume stays as it was.
 */
#include "kubelet/volumes-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-log.h"
#include "kubelet/token.h"
#include "kubelet/volume-empty-dir.h"

#define PROBLEM_FIRST_USEC (500 * USEC_PER_MSEC)
#define PROBLEM_MAX_USEC   (122 * USEC_PER_SEC)

static const char *const plugin_dirs[] = {
        [POD_VOLUME_EMPTY_DIR] = "kubernetes.io~empty-dir",
        [POD_VOLUME_CONFIG_MAP] = "kubernetes.io~configmap",
        [POD_VOLUME_SECRET] = "kubernetes.io~secret",
        [POD_VOLUME_DOWNWARD_API] = "kubernetes.io~downward-api",
        [POD_VOLUME_PROJECTED] = "kubernetes.io~projected",
};

void volume_done(struct volume *v)
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
void volume_set_problem(struct volume *v, const char *sentence)
{
        bool is_new = !v->problem || !streq(v->problem, sentence);

        if (free_and_strdup(&v->problem, sentence) < 0)
                return log_oom();
        if (is_new)
                on_problem_due(NULL, 0, v);
}

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
void volume_write(struct volume *v)
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

int volume_start(struct volume *v, struct pod_volumes *pv, const struct pod_volume *spec,
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
