#include "netproxy/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

enum { TRIGGERS_MAX = 4096 };

struct known_slice {
        struct endpoint_slice *slice;  /* owned */
        struct known_service *service; /* borrowed */
};

static void known_service_free(void *p)
{
        struct known_service *k = p;

        for (size_t i = 0; i < FAMILIES; i++) {
                free(k->owners[i].elements);
                service_unref(k->owners[i].service);
        }
        service_unref(k->service);
        free(k->slices);
        free(k->key);
        free(k);
}

static void known_slice_free(void *p)
{
        struct known_slice *k = p;

        endpoint_slice_free(k->slice);
        free(k);
}

static void node_free_value(void *p)
{
        node_free(p);
}

int state_init(struct state *s, const char *node_name)
{
        *s = (struct state){
                .node_name = strdup(node_name),
                .services = map_new(),
                .slices = map_new(),
                .nodes = map_new(),
                .service_cidrs = map_new(),
                .started_at = now_realtime(),
        };
        list_init(&s->dirty);
        if (s->node_name && s->services && s->slices && s->nodes && s->service_cidrs)
                return 0;
        state_done(s);
        return -ENOMEM;
}

void state_done(struct state *s)
{
        map_free_with(s->slices, known_slice_free);
        map_free_with(s->services, known_service_free);
        map_free_with(s->nodes, node_free_value);
        map_free_with(s->service_cidrs, free);
        for (size_t i = 0; i < FAMILIES; i++)
                free(s->triggers[i].items);
        free(s->node_name);
        *s = (struct state){ 0 };
}

static void touch(struct state *s, struct known_service *k)
{
        if (!list_contains(&k->dirty))
                list_append(&s->dirty, &k->dirty);
}

void state_touch_all(struct state *s)
{
        struct known_service *k;
        const char *key;

        MAP_FOREACH (key, k, s->services)
                touch(s, k);
}

static struct known_service *ensure_service(struct state *s, const char *key)
{
        struct known_service *k = map_get(s->services, key);

        if (k)
                return k;
        k = calloc(1, sizeof *k);
        if (!k)
                return NULL;
        k->key = strdup(key);
        if (!k->key || map_put(s->services, key, k, NULL) < 0) {
                known_service_free(k);
                return NULL;
        }
        return k;
}

/* An object that is used but for something: said once for each time it is told. */
static void tell_left_out(const struct state *s, const char *kind, const char *key, const char *why)
{
        if (!why)
                return;
        log_warn(0, "%s '%s': %s", kind, key, why);
        if (s->on_left_out)
                s->on_left_out(kind, key, why, s->userdata);
}

int state_set_service(struct state *s, const char *key, const json_t *object, struct err *err)
{
        _cleanup_(service_unrefp)
        struct service *service = NULL;
        _cleanup_err_ struct err why = { 0 };
        struct known_service *k;
        int r = object ? service_decode(object, &service, &why) : 0;

        if (r < 0)
                err_move(err, &why);
        else
                tell_left_out(s, "Service", key, why.message);
        k = service ? ensure_service(s, key) : map_get(s->services, key);
        if (service && !k)
                return err_sys(err, -ENOMEM, "remember Service");
        if (k) {
                service_unref(k->service);
                k->service = TAKE_PTR(service);
                touch(s, k);
                s->service_changes++;
                s->services_pending++;
        }
        return r;
}

static void detach_slice(struct state *s, struct known_slice *slice)
{
        struct known_service *k = slice->service;

        for (size_t i = 0; i < k->n_slices; i++) {
                if (k->slices[i] == slice->slice) {
                        k->slices[i] = k->slices[--k->n_slices];
                        break;
                }
        }
        touch(s, k);
}

static int attach_slice(struct state *s, struct known_slice *slice)
{
        struct known_service *k = ensure_service(s, slice->slice->service);
        struct endpoint_slice **more;

        if (!k)
                return -ENOMEM;
        more = reallocarray(k->slices, k->n_slices + 1, sizeof(struct endpoint_slice *));
        if (!more)
                return -ENOMEM;
        k->slices = more;
        k->slices[k->n_slices++] = slice->slice;
        slice->service = k;
        touch(s, k);
        return 0;
}

/* For a figure: what does not fit is left out. */
static void note_trigger(struct state *s, const struct endpoint_slice *old,
                         const struct endpoint_slice *now)
{
        struct triggers *t = &s->triggers[now->family == AF_INET6];
        usec_t *more;

        if (now->triggered <= s->started_at || (old && old->triggered == now->triggered) ||
            t->n == TRIGGERS_MAX)
                return;
        more = reallocarray(t->items, t->n + 1, sizeof *more);
        if (!more)
                return;
        t->items = more;
        t->items[t->n++] = now->triggered;
}

static void forget_slice(struct state *s, const char *key)
{
        struct known_slice *old = map_remove(s->slices, key);

        if (!old)
                return;
        detach_slice(s, old);
        known_slice_free(old);
        s->slice_changes++;
        s->slices_pending++;
}

int state_set_slice(struct state *s, const char *key, const json_t *object, struct err *err)
{
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *decoded = NULL;
        _cleanup_err_ struct err why = { 0 };
        struct known_slice *slice;
        int r = object ? endpoint_slice_decode(object, s->node_name, &decoded, &why) : 0;

        if (r < 0)
                err_move(err, &why);
        else
                tell_left_out(s, "EndpointSlice", key, why.message);
        slice = map_get(s->slices, key);
        if (decoded)
                note_trigger(s, slice ? slice->slice : NULL, decoded);
        if (!decoded || slice) {
                forget_slice(s, key);
        } else {
                s->slice_changes++;
                s->slices_pending++;
        }
        if (!decoded)
                return r;
        slice = calloc(1, sizeof *slice);
        if (!slice)
                return err_sys(err, -ENOMEM, "remember EndpointSlice");
        slice->slice = TAKE_PTR(decoded);
        r = attach_slice(s, slice);
        if (r == 0) {
                r = map_put(s->slices, key, slice, NULL);
                if (r < 0)
                        detach_slice(s, slice);
        }
        if (r < 0) {
                known_slice_free(slice);
                return err_sys(err, r, "remember EndpointSlice");
        }
        return 0;
}

int state_set_node(struct state *s, const char *key, const json_t *object, struct err *err)
{
        _cleanup_(node_freep)
        struct node *node = NULL;
        struct node *old = map_get(s->nodes, key);
        int r = object ? node_decode(object, &node, err) : 0;

        if (old && node && node_equal(old, node))
                return 0; /* status and lease come every few seconds */
        s->network_changed |= old || node;
        old = map_remove(s->nodes, key);
        if (s->own == old)
                s->own = NULL;
        node_free(old);
        if (!node)
                return r;
        r = map_put(s->nodes, key, node, NULL);
        if (r < 0)
                return err_sys(err, r, "remember Node");
        if (streq(key, s->node_name))
                s->own = node;
        node = NULL;
        return 0;
}

struct raw_service_cidr {
        struct raw_cidr_spec {
                char **cidrs;
        } spec;
};
static const struct json_field cidr_spec_fields[] = { /* clang-format off */
        { "cidrs", decode_strv, offsetof(struct raw_cidr_spec, cidrs), JSON_REQUIRED, NULL },
        {}
};
static const struct json_field service_cidr_fields[] = {
        { "spec", decode_object, offsetof(struct raw_service_cidr, spec), JSON_REQUIRED, cidr_spec_fields },
        {}
}; /* clang-format on */

static int decode_service_cidr(const json_t *object, struct cidr ranges[static 2], struct err *err)
{
        struct raw_service_cidr raw = { 0 };
        int r = json_decode(object, service_cidr_fields, &raw, err);
        size_t n = strv_len(raw.spec.cidrs);

        for (size_t i = 0; r == 0 && i < n; i++)
                if (i >= 2 || cidr_parse(raw.spec.cidrs[i], &ranges[i]) < 0)
                        r = err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                         "spec: cidrs: '%s': expected one CIDR of each family",
                                         raw.spec.cidrs[i]);
        strv_free(raw.spec.cidrs);
        return r;
}

int state_set_service_cidr(struct state *s, const char *key, const json_t *object, struct err *err)
{
        _cleanup_free_ struct cidr *ranges = NULL;
        void *old;
        int r = 0;

        s->network_changed = true;
        free(map_remove(s->service_cidrs, key));
        if (!object)
                return 0;
        ranges = calloc(2, sizeof *ranges);
        if (!ranges)
                return err_sys(err, -ENOMEM, "remember ServiceCIDR");
        r = decode_service_cidr(object, ranges, err);
        if (r < 0)
                return r;
        r = map_put(s->service_cidrs, key, ranges, &old);
        if (r < 0)
                return err_sys(err, r, "remember ServiceCIDR");
        ranges = NULL;
        return 0;
}

int state_nodes(const struct state *s, const struct node ***ret, size_t *ret_n)
{
        const struct node **nodes = calloc(map_size(s->nodes) + 1, sizeof(struct node *));
        struct node *node;
        const char *key;
        size_t n = 0;

        if (!nodes)
                return -ENOMEM;
        MAP_FOREACH (key, node, s->nodes)
                nodes[n++] = node;
        *ret = nodes;
        *ret_n = n;
        return 0;
}

static int apply_owner(const struct state *s, struct ruleset_table *t, struct known_service *k,
                       size_t family)
{
        int r = ruleset_table_apply(t, &k->owners[family], k->service,
                                    (const struct endpoint_slice *const *)k->slices, k->n_slices);

        if (r == RULESET_LEFT_OUT)
                tell_left_out(s, "Service", k->key,
                              "spec: externalIPs: a node's own address is left out, expected "
                              "addresses that no node has");
        return MIN(r, 0);
}

/* Others that lost an address to it, or may have one now that it let go. */
static int apply_displaced(const struct state *s, struct ruleset_table *t, size_t family)
{
        struct ruleset_owner *o;
        int r = 0;

        while (r == 0 && (o = ruleset_table_next_displaced(t))) {
                struct ruleset_owner *first = o - family; /* owners[0] of the same Service */
                struct known_service *k = CONTAINER_OF(first, struct known_service, owners);

                /* one that is dirty has its turn anyway, and may refer to what is gone */
                if (!list_contains(&k->dirty))
                        r = apply_owner(s, t, k, family);
        }
        return r;
}

static bool is_forgotten(const struct known_service *k)
{
        return !k->service && k->n_slices == 0;
}

static int apply_service(struct state *s, struct known_service *k,
                         struct ruleset_table *const tables[static FAMILIES])
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < FAMILIES; i++)
                if (tables[i])
                        r = apply_owner(s, tables[i], k, i);
        if (r < 0)
                return r;
        list_remove(&k->dirty);
        for (size_t i = 0; r == 0 && i < FAMILIES; i++)
                if (tables[i])
                        r = apply_displaced(s, tables[i], i);
        if (is_forgotten(k)) {
                for (size_t i = 0; i < FAMILIES; i++)
                        if (tables[i])
                                ruleset_table_drop(tables[i], &k->owners[i]);
                known_service_free(map_remove(s->services, k->key));
        }
        return r;
}

int state_apply(struct state *s, struct ruleset_table *const tables[static FAMILIES])
{
        struct known_service *k;

        while ((k = LIST_FIRST(&s->dirty, struct known_service, dirty))) {
                int r = apply_service(s, k, tables);

                if (r < 0)
                        return r;
        }
        s->services_pending = s->slices_pending = 0;
        return 0;
}

void state_foreach_dirty(const struct state *s,
                         void (*fn)(const struct known_service *service,
                                    const struct service *before, void *userdata),
                         void *userdata)
{
        struct known_service *k;

        LIST_FOREACH (k, &s->dirty, dirty)
                fn(k, k->owners[0].service ? k->owners[0].service : k->owners[1].service, userdata);
}

bool state_has_changes(const struct state *s)
{
        return s->network_changed || !list_is_empty(&s->dirty);
}

size_t state_count_services(const struct state *s)
{
        return map_size(s->services);
}

const struct known_service *state_service(const struct state *s, const char *key)
{
        return map_get(s->services, key);
}

const struct node *state_node(const struct state *s, const char *name)
{
        return map_get(s->nodes, name);
}

static bool is_asked_for(const char *key, const char *namespace, const char *prefix)
{
        const char *slash = strchr(key, '/');

        if (!slash)
                return false;
        if (namespace && ((size_t)(slash - key) != strlen(namespace) ||
                          strncmp(key, namespace, strlen(namespace)) != 0))
                return false;
        return startswith(slash + 1, prefix) != NULL;
}

static int compare_keys(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int state_service_keys(const struct state *s, const char *namespace, const char *prefix,
                       char ***ret)
{
        char **keys = calloc(map_size(s->services) + 1, sizeof *keys);
        struct known_service *k;
        const char *key;
        size_t n = 0;

        if (!keys)
                return -ENOMEM;
        MAP_FOREACH (key, k, s->services) {
                if (!k->service || !is_asked_for(key, namespace, prefix))
                        continue;
                keys[n] = strdup(key);
                if (!keys[n++]) {
                        strv_free(keys);
                        return -ENOMEM;
                }
        }
        qsort(keys, n, sizeof *keys, compare_keys);
        *ret = keys;
        return 0;
}

static bool lacks_local(const struct known_service *k, const struct service_port *port, int family)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        _cleanup_(endpoint_selection_done)
        struct endpoint_selection selection = { 0 };

        /* the zone plays no part in what is local, nor in whether there are any */
        return endpoints_collect((const struct endpoint_slice *const *)k->slices, k->n_slices,
                                 port->name, port->protocol, family, &all) == 0 &&
               endpoints_select(&all, true, true, "", &selection) == 0 && selection.has_any &&
               selection.local.n == 0;
}

void state_count_without_local(const struct state *s, size_t family, size_t *ret_internal,
                               size_t *ret_external)
{
        struct known_service *k;
        const char *key;

        *ret_internal = *ret_external = 0;
        MAP_FOREACH (key, k, s->services) {
                const struct service *service = k->service;

                if (!service || !(service->internal_local || service->external_local) ||
                    !service_cluster_ip(service, family_of_index(family)))
                        continue;
                for (size_t i = 0; i < service->n_ports; i++) {
                        if (!lacks_local(k, &service->ports[i], family_of_index(family)))
                                continue;
                        *ret_internal += service->internal_local;
                        *ret_external += service->external_local;
                }
        }
}
