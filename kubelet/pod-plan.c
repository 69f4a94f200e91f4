#include "kubelet/pod-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/api-schema.h"
#include "kubelet/pod-defaults.h"
#include "kubelet/qos.h"

enum { FIELDS_MAX = 200 }; /* unknown and ignored ones that are told of one object */

struct plan {
        struct plan_options options;
        const struct pod **pods; /* owned array: the active ones, borrowed, and behind them ours */
        size_t n;
};

int plan_new(const struct plan_options *options, struct plan **ret)
{
        struct plan *p = calloc(1, sizeof *p);

        if (!p)
                return -ENOMEM;
        p->options = *options;
        p->pods = calloc(options->n_active + 1, sizeof *p->pods);
        if (!p->pods) {
                free(p);
                return -ENOMEM;
        }
        for (; p->n < options->n_active; p->n++)
                p->pods[p->n] = options->active[p->n];
        *ret = p;
        return 0;
}

struct plan *plan_free(struct plan *p)
{
        if (!p)
                return NULL;
        for (size_t i = p->options.n_active; i < p->n; i++)
                pod_unref((struct pod *)p->pods[i]);
        free(p->pods);
        free(p);
        return NULL;
}

static int keep(struct plan *p, struct pod *pod)
{
        const struct pod **more = reallocarray(p->pods, p->n + 1, sizeof *more);

        if (!more)
                return -ENOMEM;
        p->pods = more;
        p->pods[p->n++] = pod_ref(pod);
        return 0;
}

/* ---- which object has a pod, and where ---- */
enum restart_rule {
        RESTART_ANY,
        RESTART_ALWAYS, /* of the workloads that run for ever */
        RESTART_ENDS,   /* of Jobs */
};
static const struct kind {
        const char *version, *kind, *path[4]; /* keys that lead to the template */
        enum restart_rule restart;
        bool has_selector;
} kinds[] = {
        { "v1", "Pod", { NULL }, RESTART_ANY, false },
        { "v1", "PodTemplate", { "template" }, RESTART_ANY, false },
        { "v1", "ReplicationController", { "spec", "template" }, RESTART_ALWAYS, false },
        { "apps/v1", "Deployment", { "spec", "template" }, RESTART_ALWAYS, true },
        { "apps/v1", "ReplicaSet", { "spec", "template" }, RESTART_ALWAYS, true },
        { "apps/v1", "StatefulSet", { "spec", "template" }, RESTART_ALWAYS, true },
        { "apps/v1", "DaemonSet", { "spec", "template" }, RESTART_ALWAYS, true },
        { "batch/v1", "Job", { "spec", "template" }, RESTART_ENDS, false },
        { "batch/v1",
          "CronJob",
          { "spec", "jobTemplate", "spec", "template" },
          RESTART_ENDS,
          false },
};

static const struct kind *find_kind(const json_t *object)
{
        const char *version = json_text_at(object, "apiVersion"),
                   *kind = json_text_at(object, "kind");

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (streq_null(version, kinds[i].version) && streq_null(kind, kinds[i].kind))
                        return &kinds[i];
        return NULL;
}

static int invalid(struct err *err, const char *field, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': %s", field, value ? value : "",
                            rule);
}

/* The template, or a Pod itself; borrowed. @prefix: "spec: template: ", in front of errors. */
static const json_t *find_template(const struct kind *k, const json_t *object,
                                   struct strbuf *prefix, struct err *err)
{
        for (size_t i = 0; i < ARRAY_SIZE(k->path) && k->path[i]; i++) {
                strbuf_addf(prefix, "%s: ", k->path[i]);
                object = json_object_get(object, k->path[i]);
                if (json_is_object(object))
                        continue;
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%sexpected an object", prefix->data);
                return NULL;
        }
        return object;
}

/* ---- the pod that would come of it ---- */
static int check_name(const json_t *object, struct err *err)
{
        const json_t *meta = json_object_get(object, "metadata");
        const char *name = json_text_at(meta, "name"), *from = json_text_at(meta, "generateName");

        if (!name && from)
                return 0;
        return name && is_dns_subdomain(name)
                       ? 0
                       : invalid(err, "metadata: name", name, "expected a DNS subdomain");
}

/* apps/v1: every label of the selector is one of the template's. */
static int check_selector(const json_t *object, const json_t *template, struct err *err)
{
        const json_t *selector = json_path(object, "spec", "selector", NULL),
                     *labels = json_path(template, "metadata", "labels", NULL);
        const char *key;
        json_t *value;

        if (!json_is_object(selector))
                return invalid(err, "spec: selector", "", "required");
        json_object_foreach (json_object_get(selector, "matchLabels"), key, value)
                if (!streq_null(json_string_value(value), json_text_at(labels, key)))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "spec: selector: matchLabels: %s: '%s': expected a "
                                            "label of spec: template",
                                            key, json_string_value(value));
        return 0;
}

static int check_restart(const struct kind *k, const json_t *template, struct err *err)
{
        const char *policy = json_text_at(json_object_get(template, "spec"), "restartPolicy");
        bool always = !policy || streq(policy, "Always");

        if (k->restart == RESTART_ALWAYS && !always)
                return invalid(err, "spec: restartPolicy", policy, "expected Always");
        if (k->restart == RESTART_ENDS && always)
                return invalid(err, "spec: restartPolicy", policy ? policy : "",
                               "expected OnFailure or Never");
        return 0;
}

/* A StatefulSet's pods find the claims of its templates among their volumes. */
static void add_claims(json_t *spec, const json_t *object, const char *name)
{
        const json_t *templates = json_path(object, "spec", "volumeClaimTemplates", NULL), *t;
        json_t *volumes = json_object_get(spec, "volumes");
        size_t i;

        if (!json_array_size(templates) || !json_is_object(spec))
                return;
        if (!volumes) {
                volumes = json_array();
                json_set(spec, "volumes", volumes);
        }
        json_array_foreach ((json_t *)templates, i, t) {
                const char *own = json_text_at(json_object_get(t, "metadata"), "name");
                _cleanup_free_ char *claim = own ? text_printf("%s-%s-0", own, name) : NULL;

                if (claim)
                        json_array_append_new(volumes, json_pack("{s:s, s:{s:s}}", "name", own,
                                                                 "persistentVolumeClaim",
                                                                 "claimName", claim));
        }
}

/* As the API server would have it from a controller. New reference. */
static json_t *make_pod(const json_t *object, const json_t *template)
{
        const json_t *meta = json_object_get(object, "metadata"),
                     *own = json_object_get(template, "metadata");
        const char *name = json_text_at(meta, "name"), *from = json_text_at(meta, "generateName"),
                   *namespace = json_text_at(meta, "namespace");
        _cleanup_free_ char *generated = name ? NULL : text_printf("%sxxxxx", from ? from : "");
        json_t *metadata = json_pack("{s:s, s:s, s:s, s:O*, s:O*}", "name",
                                     name        ? name
                                     : generated ? generated
                                                 : "",
                                     "namespace", namespace && *namespace ? namespace : "default",
                                     "uid", "planned", "labels", json_object_get(own, "labels"),
                                     "annotations", json_object_get(own, "annotations")),
               *spec = json_deep_copy(json_object_get(template, "spec"));

        add_claims(spec, object, name ? name : "");
        return json_pack("{s:s, s:s, s:o, s:o*}", "apiVersion", "v1", "kind", "Pod", "metadata",
                         metadata, "spec", spec);
}

static int decode(const struct kind *k, const json_t *object, struct pod **ret, struct err *err)
{
        _cleanup_strbuf_ struct strbuf prefix = { 0 };
        _cleanup_err_ struct err why = { 0 };
        _cleanup_(pod_unrefp)
        struct pod *pod = NULL;
        json_auto_t *tree = NULL;
        const json_t *template;
        int r = check_name(object, err);

        if (r < 0)
                return r;
        template = find_template(k, object, &prefix, err);
        if (!template)
                return -EINVAL;
        if (k->has_selector)
                r = check_selector(object, template, err);
        if (r < 0)
                return r;
        r = check_restart(k, template, &why);
        tree = make_pod(object, template);
        if (!tree)
                return err_sys(err, -ENOMEM, "plan");
        if (r == 0)
                r = pod_decode(tree, POD_SOURCE_API, &pod, &why);
        if (r == 0)
                r = pod_validate(pod, &why);
        if (r < 0)
                return err_set_kind(err, r, why.kind, "%s%s", prefix.data ? prefix.data : "",
                                    err_text(&why));
        *ret = TAKE_PTR(pod);
        return 0;
}

/* ---- what is told of it ---- */
static int on_field(const char *path, enum api_field what, const char *why, void *userdata)
{
        json_t *o = userdata, *entry = json_pack("{s:s, s:s}", "path", path, "what",
                                                 what == API_FIELD_UNKNOWN ? "unknown" : "ignored");

        json_set_text(entry, "why", why);
        json_array_append_new(o, entry);
        return json_array_size(o) < FIELDS_MAX ? 0 : 1;
}

static void warn(json_t *o, const char *fmt, ...) _printf_(2, 3);
static void warn(json_t *o, const char *fmt, ...)
{
        json_t *list = json_object_get(o, "warnings");
        va_list args;
        char *text = NULL;

        va_start(args, fmt);
        if (vasprintf(&text, fmt, args) < 0)
                text = NULL;
        va_end(args);
        if (text)
                json_array_append_new(list, json_string(text));
        free(text);
}

static const char *image_action(bool present, enum pod_pull_policy policy)
{
        if (present)
                return policy == POD_PULL_ALWAYS ? "present; its registry is asked whether it is "
                                                   "the newest"
                                                 : "present";
        return policy == POD_PULL_NEVER ? "not present, and imagePullPolicy is Never: "
                                          "ErrImageNeverPull"
                                        : "not present: would be pulled";
}

static void add_image(const struct plan *p, json_t *list, const char *container, const char *image,
                      enum pod_pull_policy policy)
{
        struct plan_image found = { 0 };
        bool present = p->options.find_image(image, &found, p->options.userdata);
        json_t *o = json_pack("{s:s, s:s, s:b, s:s}", "image", image, "for", container, "present",
                              present, "action", image_action(present, policy));

        if (present) {
                json_set_text(o, "id", found.id);
                json_set(o, "size", json_integer((json_int_t)found.size));
        }
        json_array_append_new(list, o);
}

static void add_images(const struct plan *p, json_t *o, const struct pod *pod)
{
        json_t *list = json_array();
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, pod)
        {
                if (c->image && *c->image)
                        add_image(p, list, c->name, c->image, c->pull_policy);
        }
        for (size_t i = 0; i < pod->n_volumes; i++)
                if (pod->volumes[i].source.kind == POD_VOLUME_IMAGE && *pod->volumes[i].image)
                        add_image(p, list, pod->volumes[i].name, pod->volumes[i].image,
                                  pod->volumes[i].pull_policy);
        json_set(o, "images", list);
}

static void set_amount(json_t *o, const char *name, int64_t value)
{
        char text[QUANTITY_TEXT_MAX];

        json_set_text(o, name,
                      streq(name, "cpu") ? quantity_format_milli(value, text)
                                         : quantity_format_bytes(value, text));
}

static int add_requests(json_t *o, const struct pod *pod)
{
        _cleanup_(amounts_done)
        struct amounts a = { 0 };
        json_t *requests = json_object();

        if (pod_requests(pod, &a) < 0) {
                json_decref(requests);
                return -ENOMEM;
        }
        for (size_t i = 0; i < a.n; i++)
                set_amount(requests, a.list[i].name, a.list[i].value);
        return json_set(o, "requests", requests);
}

static const char *const node_resources[] = { "cpu", "memory", "ephemeral-storage" };

/* What the node would have left beside all pods, ours included. */
static int add_left(const struct plan *p, json_t *o)
{
        const struct node_allocatable *a = &p->options.node->allocatable;
        int64_t left[ARRAY_SIZE(node_resources)] = { a->cpu_milli, a->memory_bytes,
                                                     a->ephemeral_bytes };
        json_t *list = json_object();

        for (size_t i = 0; i < p->n; i++) {
                _cleanup_(amounts_done)
                struct amounts each = { 0 };

                if (pod_requests(p->pods[i], &each) < 0) {
                        json_decref(list);
                        return -ENOMEM;
                }
                for (size_t k = 0; k < ARRAY_SIZE(left); k++)
                        left[k] -= MAX(amounts_get(&each, node_resources[k]), 0);
        }
        for (size_t k = 0; k < ARRAY_SIZE(left); k++)
                set_amount(list, node_resources[k], MAX(left[k], 0));
        json_set(list, "pods",
                 json_integer((json_int_t)p->options.node->max_pods - (json_int_t)p->n));
        return json_set(o, "left", list);
}

static void warn_of_volumes(json_t *o, const struct pod *pod)
{
        for (size_t i = 0; i < pod->n_volumes; i++) {
                const struct pod_volume *v = &pod->volumes[i];

                if (v->source.kind == POD_VOLUME_UNSUPPORTED)
                        warn(o,
                             "volume '%s': %s is not supported here: the pod would wait "
                             "(FailedMount)",
                             v->name, v->source.unsupported ? v->source.unsupported : "its kind");
                for (size_t k = 0; k < v->n_sources; k++)
                        if (v->sources[k].kind == POD_VOLUME_UNSUPPORTED)
                                warn(o,
                                     "volume '%s': %s is not supported here: the pod would wait "
                                     "(FailedMount)",
                                     v->name,
                                     v->sources[k].unsupported ? v->sources[k].unsupported
                                                               : "a source");
        }
}

/* What others decide before a pod comes here. */
static void warn_of_scheduling(const struct plan *p, json_t *o, const struct kind *k,
                               const struct pod *pod)
{
        const json_t *taint = admission_find_taint(pod, p->options.node->node, "NoSchedule");
        const char *key = json_text_at(taint, "key");

        if (pod->node_name && *pod->node_name && !streq(pod->node_name, p->options.node->name))
                warn(o, "spec.nodeName is '%s': it would not come to this node, '%s'",
                     pod->node_name, p->options.node->name);
        else if (taint && !(pod->node_name && *pod->node_name))
                warn(o, "the scheduler would not choose this node for its taint '%s'%s",
                     key ? key : "",
                     streq(k->kind, "DaemonSet")
                             ? ", unless the DaemonSet's own tolerations have it"
                             : "");
}

/* Admission, and what is left. */
static int judge(struct plan *p, json_t *o, const struct kind *k, struct pod *pod)
{
        struct admission_refusal refusal = { 0 };
        int r = admission_check(pod, p->options.node, p->pods, p->n, &refusal);

        if (r > 0 && pod_is_critical(pod))
                warn(o, "the pod is critical: where only resources are missing others are evicted "
                        "for it");
        json_set_text(o, "outcome", r > 0 ? "refused" : "admitted");
        json_set_text(o, "reason", refusal.reason);
        json_set_text(o, "message", refusal.message);
        admission_refusal_done(&refusal);
        if (r == 0)
                r = keep(p, pod);
        if (r < 0)
                return r;
        json_set_text(o, "qosClass", qos_name(pod_qos(pod)));
        add_images(p, o, pod);
        warn_of_volumes(o, pod);
        warn_of_scheduling(p, o, k, pod);
        r = add_requests(o, pod);
        return r == 0 ? add_left(p, o) : r;
}

static json_t *make_entry(const json_t *object)
{
        const json_t *meta = json_object_get(object, "metadata");
        const char *kind = json_text_at(object, "kind"),
                   *namespace = json_text_at(meta, "namespace");
        const char *name = json_text_at(meta, "name");
        json_t *o = json_pack("{s:s, s:[], s:[]}", "kind", kind ? kind : "", "fields", "warnings");

        json_set_text(o, "apiVersion", json_text_at(object, "apiVersion"));
        json_set_text(o, "namespace", namespace && *namespace ? namespace : "default");
        json_set_text(o, "name", name ? name : json_text_at(meta, "generateName"));
        if (json_is_integer(json_path(object, "spec", "replicas", NULL)))
                json_set(o, "replicas",
                         json_incref((json_t *)json_path(object, "spec", "replicas", NULL)));
        return o;
}

json_t *plan_object(struct plan *p, const json_t *object)
{
        const struct kind *k = find_kind(object);
        json_auto_t *o = make_entry(object);
        _cleanup_(pod_unrefp)
        struct pod *pod = NULL;
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!o)
                return NULL;
        if (!k) {
                json_set_text(o, "outcome", "nothing");
                json_set_text(o, "message", "nothing of this kind runs on a node");
                return TAKE_PTR(o);
        }
        r = api_schema_walk(object, k->kind, on_field, json_object_get(o, "fields"));
        if (r < 0)
                return NULL;
        r = decode(k, object, &pod, &err);
        if (r == 0)
                r = judge(p, o, k, pod);
        if (r == -ENOMEM)
                return NULL;
        if (r < 0) {
                json_set_text(o, "outcome", "invalid");
                json_set_text(o, "message", err_text(&err));
        }
        return TAKE_PTR(o);
}
