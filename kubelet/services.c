#include "kubelet/services.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "base/text.h"

struct services {
        struct kube_watch *watch; /* owned */
        struct map *all;          /* "ns/name" -> struct service_info, owned */
        void (*on_synced)(void *userdata);
        void *userdata;
};

static const struct json_field port_fields[] = {
        { "name", decode_string, offsetof(struct service_port_info, name), JSON_OPTIONAL, NULL },
        { "port", decode_port, offsetof(struct service_port_info, port), JSON_REQUIRED, NULL },
        { "protocol", decode_string, offsetof(struct service_port_info, protocol), JSON_OPTIONAL,
          NULL },
        {}
};
static const struct json_array ports = {
        .fields = port_fields,
        .element_size = sizeof(struct service_port_info),
        .count_offset = JSON_ARRAY_COUNT(struct service_info, ports, n_ports),
};
static const struct json_field spec_fields[] = {
        { "clusterIP", decode_string, offsetof(struct service_info, cluster_ip), JSON_OPTIONAL,
          NULL },
        { "ports", decode_array, offsetof(struct service_info, ports), JSON_OPTIONAL, &ports },
        {}
};
static const struct json_field metadata_fields[] = {
        { "name", decode_string, offsetof(struct service_info, name), JSON_REQUIRED, NULL },
        { "namespace", decode_string, offsetof(struct service_info, namespace), JSON_REQUIRED,
          NULL },
        {}
};
static const struct json_field service_fields[] = {
        { "metadata", decode_object, 0, JSON_REQUIRED, metadata_fields },
        { "spec", decode_object, 0, JSON_REQUIRED, spec_fields },
        {}
};

static void service_free(void *value)
{
        struct service_info *s = value;

        if (!s)
                return;
        for (size_t i = 0; i < s->n_ports; i++) {
                free(s->ports[i].name);
                free(s->ports[i].protocol);
        }
        free(s->ports);
        free(s->namespace);
        free(s->name);
        free(s->cluster_ip);
        free(s);
}

static int on_event(enum kube_event event, const char *key, const json_t *object, void *userdata,
                    struct err *err)
{
        struct services *s = userdata;
        struct service_info *service, *old = NULL;
        int r;

        if (event == KUBE_DELETED) {
                service_free(map_remove(s->all, key));
                return 0;
        }
        service = calloc(1, sizeof *service);
        if (!service)
                return err_sys(err, -ENOMEM, "keep service '%s'", key);
        r = json_decode(object, service_fields, service, err);
        if (r == 0)
                r = map_put(s->all, key, service, (void **)&old);
        if (r < 0) {
                service_free(service);
                return r;
        }
        service_free(old);
        return 0;
}

static void on_synced(void *userdata)
{
        struct services *s = userdata;

        s->on_synced(s->userdata);
}

int services_new(struct kube_session *session, void (*synced)(void *userdata), void *userdata,
                 struct services **ret, struct err *err)
{
        static const struct kube_watch_ops ops = { on_event, on_synced };
        static const struct kube_watch_options options = { .path = "/api/v1/services",
                                                           .field_selector = "spec.clusterIP!=None",
                                                           .what = "services" };
        _cleanup_(services_freep)
        struct services *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "watch services");
        *s = (struct services){ .all = map_new(), .on_synced = synced, .userdata = userdata };
        if (!s->all)
                return err_sys(err, -ENOMEM, "watch services");
        r = kube_watch_new(session, &options, &ops, s, &s->watch, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct services *services_free(struct services *s)
{
        if (!s)
                return NULL;
        kube_watch_free(s->watch);
        map_free_with(s->all, service_free);
        free(s);
        return NULL;
}

bool services_are_synced(const struct services *s)
{
        return kube_watch_is_synced(s->watch);
}

static bool has_cluster_ip(const struct service_info *s)
{
        return s->cluster_ip && *s->cluster_ip && !streq(s->cluster_ip, "None");
}

static int by_name(const void *a, const void *b)
{
        return strcmp((*(const struct service_info *const *)a)->name,
                      (*(const struct service_info *const *)b)->name);
}

int services_for(const struct services *s, const char *namespace, bool links,
                 const struct service_info ***ret, size_t *ret_n)
{
        const struct service_info **list = calloc(map_size(s->all) + 1, sizeof *list);
        _cleanup_free_ char *own_kubernetes = text_printf("%s/kubernetes", namespace);
        const struct service_info *service;
        const char *key;
        size_t n = 0;

        if (!list || !own_kubernetes) {
                free(list);
                return -ENOMEM;
        }
        MAP_FOREACH (key, service, s->all) {
                bool own = links && streq(service->namespace, namespace);
                bool master = streq(key, "default/kubernetes") &&
                              !(links && map_get(s->all, own_kubernetes));

                if (has_cluster_ip(service) && (own || master))
                        list[n++] = service;
        }
        qsort(list, n, sizeof *list, by_name);
        *ret = list;
        *ret_n = n;
        return 0;
}
