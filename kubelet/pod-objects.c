#include "kubelet/pod-objects.h"

#include <errno.h>

#include "base/text.h"

struct pod_objects {
        const struct context *ctx;
        struct object_ref **refs; /* owned */
        size_t n;
        void (*on_changed)(void *userdata);
        void *userdata;
};

static void on_ref_changed(_unused_ struct object_ref *ref, void *userdata)
{
        struct pod_objects *o = userdata;

        o->on_changed(o->userdata);
}

static struct object_ref *find(const struct pod_objects *o, enum object_kind kind, const char *name)
{
        for (size_t i = 0; i < o->n; i++)
                if (object_ref_kind(o->refs[i]) == kind && streq(object_ref_name(o->refs[i]), name))
                        return o->refs[i];
        return NULL;
}

static int want(struct pod_objects *o, const struct pod *pod, enum object_kind kind,
                const char *name)
{
        const char *namespace = kind == OBJECT_RUNTIME_CLASS ? "" : pod->namespace;
        struct object_ref **grown;
        int r;

        if (!o->ctx->objects || find(o, kind, name))
                return 0;
        grown = realloc(o->refs, (o->n + 1) * sizeof(struct object_ref *));
        if (!grown)
                return -ENOMEM;
        o->refs = grown;
        r = object_ref_new(o->ctx->objects, kind, namespace, name, on_ref_changed, o,
                           &o->refs[o->n]);
        if (r == 0)
                o->n++;
        return r;
}

static int want_container(struct pod_objects *o, const struct pod *pod,
                          const struct pod_container *c)
{
        int r = 0;

        for (size_t i = 0; i < c->n_env_from && r >= 0; i++)
                r = want(o, pod, c->env_from[i].is_secret ? OBJECT_SECRET : OBJECT_CONFIG_MAP,
                         c->env_from[i].name);
        for (size_t i = 0; i < c->n_env && r >= 0; i++) {
                const struct pod_value_from *from = c->env[i].from;

                if (from && from->kind == POD_VALUE_CONFIG_MAP)
                        r = want(o, pod, OBJECT_CONFIG_MAP, from->name);
                else if (from && from->kind == POD_VALUE_SECRET)
                        r = want(o, pod, OBJECT_SECRET, from->name);
        }
        return r;
}

int pod_objects_new(const struct context *ctx, const struct pod *pod,
                    void (*on_changed)(void *userdata), void *userdata, struct pod_objects **ret)
{
        _cleanup_(pod_objects_freep)
        struct pod_objects *o = calloc(1, sizeof *o);
        const struct pod_container *c;
        int r = 0;

        if (!o)
                return -ENOMEM;
        *o = (struct pod_objects){ .ctx = ctx, .on_changed = on_changed, .userdata = userdata };
        if (pod->runtime_class && *pod->runtime_class)
                r = want(o, pod, OBJECT_RUNTIME_CLASS, pod->runtime_class);
        if (r < 0)
                return r;
        STRV_FOREACH (name, pod->image_pull_secrets) {
                r = want(o, pod, OBJECT_SECRET, *name);
                if (r < 0)
                        return r;
        }
        POD_FOREACH_CONTAINER(c, pod)
        {
                r = want_container(o, pod, c);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(o);
        return 0;
}

struct pod_objects *pod_objects_free(struct pod_objects *o)
{
        if (!o)
                return NULL;
        for (size_t i = 0; i < o->n; i++)
                object_ref_free(o->refs[i]);
        free(o->refs);
        free(o);
        return NULL;
}

bool pod_objects_are_here(const struct pod_objects *o, const char **ret_problem)
{
        if (ret_problem)
                *ret_problem = NULL;
        for (size_t i = 0; i < o->n; i++) {
                if (object_ref_state(o->refs[i]) == OBJECT_PENDING)
                        return false;
                if (object_ref_state(o->refs[i]) == OBJECT_FAILED && ret_problem && !*ret_problem)
                        *ret_problem = object_ref_error(o->refs[i]);
        }
        return true;
}

char *pod_objects_pending(const struct pod_objects *o)
{
        static const char *const kinds[_OBJECT_KIND_MAX] = { [OBJECT_SECRET] = "Secret",
                                                             [OBJECT_CONFIG_MAP] = "ConfigMap",
                                                             [OBJECT_RUNTIME_CLASS] =
                                                                     "RuntimeClass" };

        for (size_t i = 0; i < o->n; i++)
                if (object_ref_state(o->refs[i]) == OBJECT_PENDING)
                        return text_printf("%s '%s'", kinds[object_ref_kind(o->refs[i])],
                                           object_ref_name(o->refs[i]));
        return NULL;
}

const struct object_ref *pod_objects_runtime_class(const struct pod_objects *o)
{
        for (size_t i = 0; i < o->n; i++)
                if (object_ref_kind(o->refs[i]) == OBJECT_RUNTIME_CLASS)
                        return o->refs[i];
        return NULL;
}

const json_t *pod_objects_get(const struct pod_objects *o, bool is_secret, const char *name)
{
        const struct object_ref *ref = find(o, is_secret ? OBJECT_SECRET : OBJECT_CONFIG_MAP, name);

        return ref ? object_ref_object(ref) : NULL;
}
