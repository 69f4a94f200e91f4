#include "kubelet/running-pods.h"

#include "base/json.h"
#include "kubelet/pod-observe.h"
#include "runtime/runtime.h"

struct listing {
        const struct runtime *rt;
        json_t *into; /* items, or the containers of one */
        bool failed;
};

static void add_container(const struct container_status *c, void *userdata)
{
        struct listing *l = userdata;
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);
        json_t *o;

        if (c->state != CONTAINER_RUNNING || !name)
                return;
        o = json_pack("{s:s, s:s, s:{}}", "name", name, "image", c->image_name ? c->image_name : "",
                      "resources");
        l->failed |= json_array_append_new(l->into, o) < 0;
}

static void add_pod(const struct sandbox_status *s, void *userdata)
{
        struct listing *l = userdata;
        struct listing containers = { .rt = l->rt, .into = json_array() };
        const char *name = string_map_get(s->labels, LABEL_POD_NAME);
        const char *namespace = string_map_get(s->labels, LABEL_POD_NAMESPACE);
        const char *uid = string_map_get(s->labels, LABEL_POD_UID);
        json_t *o;

        if (s->state != SANDBOX_READY || !name || !namespace || !uid) {
                json_decref(containers.into);
                return;
        }
        container_foreach(l->rt, s->id, add_container, &containers);
        o = json_pack("{s:{s:s, s:s, s:s}, s:{s:o}, s:{}}", "metadata", "name", name, "namespace",
                      namespace, "uid", uid, "spec", "containers", containers.into, "status");
        l->failed |= containers.failed || json_array_append_new(l->into, o) < 0;
}

json_t *running_pods_list(const struct runtime *rt)
{
        struct listing l = { .rt = rt, .into = json_array() };
        json_t *list;

        sandbox_foreach(rt, add_pod, &l);
        list = json_pack("{s:s, s:s, s:{}, s:o}", "apiVersion", "v1", "kind", "PodList", "metadata",
                         "items", l.into);
        if (!l.failed)
                return list;
        json_decref(list);
        return NULL;
}
