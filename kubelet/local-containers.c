#include "kubelet/local-containers.h"

#include <string.h>

#include "base/log.h"
#include "base/text.h"

struct listing {
        const struct context *ctx;
        const struct pod_manager *pods;
        const char *namespace, *pod;
        struct found {                     /* owned */
                struct pod *pod;           /* borrowed */
                struct pod_worker *worker; /* borrowed */
        } * found;
        size_t n, cap;
        json_t *items;
};

static const char *kind_name(enum pod_container_kind kind)
{
        switch (kind) {
        case POD_CONTAINER_INIT:
                return "init";
        case POD_CONTAINER_SIDECAR:
                return "sidecar";
        case POD_CONTAINER_EPHEMERAL:
                return "ephemeral";
        default:
                return "regular";
        }
}

static const json_t *find_status(const json_t *status, const char *name)
{
        static const char *const lists[] = { "initContainerStatuses", "containerStatuses",
                                             "ephemeralContainerStatuses" };

        for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                const json_t *s;
                size_t i;

                json_array_foreach ((json_t *)json_object_get(status, lists[k]), i, s)
                        if (streq_null(json_text_at(s, "name"), name))
                                return s;
        }
        return NULL;
}

/* What only the runtime knows. */
static void add_instance(const struct context *ctx, const char *container_id, json_t *o)
{
        const char *id = container_id ? startswith(container_id, "skiff://") : NULL;
        const struct container_status *c = id && *id ? container_find(ctx->rt, id) : NULL;

        json_set_text(o, "id", id && *id ? id : NULL);
        if (!c)
                return;
        json_set_text(o, "logPath", c->log_path);
        if (c->state == CONTAINER_RUNNING && c->pid > 0)
                json_set(o, "pid", json_integer(c->pid));
}

static void add_containers(struct listing *l, struct pod *pod, struct pod_worker *w)
{
        static const char *const copied[] = { "state", "lastState", "ready", "restartCount" };
        json_auto_t *whole = pod_manager_pod_json(l->pods, pod, w);
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, pod)
        {
                const json_t *s = find_status(json_object_get(whole, "status"), c->name);
                json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s}", "namespace", pod->namespace,
                                      "pod", pod->name, "name", c->name, "kind", kind_name(c->kind),
                                      "image", c->image ? c->image : "");

                for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
                        if (json_object_get(s, copied[i]))
                                json_object_set(o, copied[i], json_object_get(s, copied[i]));
                add_instance(l->ctx, json_text_at(s, "containerID"), o);
                json_array_append_new(l->items, o);
        }
}

static void collect(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct listing *l = userdata;

        if ((l->namespace && !streq(pod->namespace, l->namespace)) ||
            (l->pod && !streq(pod->name, l->pod)))
                return;
        if (l->n == l->cap) {
                struct found *grown = realloc(l->found, (l->cap * 2 + 16) * sizeof *grown);

                if (!grown)
                        return log_oom();
                l->found = grown;
                l->cap = l->cap * 2 + 16;
        }
        l->found[l->n++] = (struct found){ pod, w };
}

static int by_name(const void *a, const void *b)
{
        const struct pod *x = ((const struct found *)a)->pod, *y = ((const struct found *)b)->pod;
        int r = strcmp(x->namespace, y->namespace);

        return r ? r : strcmp(x->name, y->name);
}

json_t *local_containers_json(const struct context *ctx, const struct pod_manager *pods,
                              const char *namespace, const char *pod)
{
        struct listing l = {
                .ctx = ctx, .pods = pods, .namespace = namespace, .pod = pod, .items = json_array()
        };

        pod_manager_foreach(pods, collect, &l);
        if (l.n)
                qsort(l.found, l.n, sizeof *l.found, by_name);
        for (size_t i = 0; i < l.n; i++)
                add_containers(&l, l.found[i].pod, l.found[i].worker);
        free(l.found);
        return json_pack("{s:o}", "items", l.items);
}
