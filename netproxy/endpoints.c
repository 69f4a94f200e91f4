#include "netproxy/endpoints.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

enum { ENDPOINTS_MAX = 8192, PORTS_MAX = 20000 };

enum address_type { ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_FQDN };
static const char *const address_type_names[] = { "IPv4", "IPv6", "FQDN", NULL };

struct raw_name {
        char *name;
};
struct raw_names {
        struct raw_name *items;
        size_t n;
};
struct raw_hints {
        struct raw_names zones, nodes;
};
struct raw_endpoint {
        char **addresses, *node_name;
        struct raw_conditions {
                int ready, serving, terminating; /* -1: not said */
        } conditions;
        struct raw_hints hints;
};
struct raw_port {
        char *name;
        uint8_t protocol;
        int64_t port;
};
struct raw_slice {
        struct raw_slice_metadata {
                char *namespace, *name;
                struct string_map labels, annotations;
        } metadata;
        int address_type;
        struct raw_endpoint *endpoints;
        size_t n_endpoints;
        struct raw_port *ports;
        size_t n_ports;
};

static void init_port(void *port)
{
        ((struct raw_port *)port)->protocol = IPPROTO_TCP;
}

static void init_endpoint(void *endpoint)
{
        ((struct raw_endpoint *)endpoint)->conditions = (struct raw_conditions){ -1, -1, -1 };
}

static const struct json_range port_range = { 0, UINT16_MAX };
static const struct json_field name_fields[] = { /* clang-format off */
        { "name", decode_string, offsetof(struct raw_name, name), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array names = {
        .fields = name_fields,
        .element_size = sizeof(struct raw_name),
        .count_offset = JSON_ARRAY_COUNT(struct raw_names, items, n),
};
static const struct json_field hints_fields[] = {
        { "forZones", decode_array, offsetof(struct raw_hints, zones.items), JSON_OPTIONAL, &names },
        { "forNodes", decode_array, offsetof(struct raw_hints, nodes.items), JSON_OPTIONAL, &names },
        {}
};
static const struct json_field condition_fields[] = {
        { "ready",       decode_tristate, offsetof(struct raw_conditions, ready),       JSON_OPTIONAL, NULL },
        { "serving",     decode_tristate, offsetof(struct raw_conditions, serving),     JSON_OPTIONAL, NULL },
        { "terminating", decode_tristate, offsetof(struct raw_conditions, terminating), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field endpoint_fields[] = {
        { "addresses",  decode_strv,   offsetof(struct raw_endpoint, addresses),  JSON_REQUIRED, NULL },
        { "nodeName",   decode_string, offsetof(struct raw_endpoint, node_name),  JSON_OPTIONAL, NULL },
        { "conditions", decode_object, offsetof(struct raw_endpoint, conditions), JSON_OPTIONAL, condition_fields },
        { "hints",      decode_object, offsetof(struct raw_endpoint, hints),      JSON_OPTIONAL, hints_fields },
        {}
};
static const struct json_array endpoints = {
        .fields = endpoint_fields,
        .element_size = sizeof(struct raw_endpoint),
        .count_offset = JSON_ARRAY_COUNT(struct raw_slice, endpoints, n_endpoints),
        .max = ENDPOINTS_MAX,
        .init = init_endpoint,
};
static const struct json_field port_fields[] = {
        { "name",     decode_string,   offsetof(struct raw_port, name),     JSON_OPTIONAL, NULL },
        { "protocol", decode_ip_protocol, offsetof(struct raw_port, protocol), JSON_OPTIONAL, NULL },
        { "port",     decode_i64,      offsetof(struct raw_port, port),     JSON_OPTIONAL, &port_range },
        {}
};
static const struct json_array ports = {
        .fields = port_fields,
        .element_size = sizeof(struct raw_port),
        .count_offset = JSON_ARRAY_COUNT(struct raw_slice, ports, n_ports),
        .max = PORTS_MAX,
        .init = init_port,
};
static const struct json_field metadata_fields[] = {
        { "namespace",   decode_string,     offsetof(struct raw_slice_metadata, namespace),   JSON_REQUIRED, NULL },
        { "name",        decode_string,     offsetof(struct raw_slice_metadata, name),        JSON_REQUIRED, NULL },
        { "labels",      decode_string_map, offsetof(struct raw_slice_metadata, labels),      JSON_OPTIONAL, NULL },
        { "annotations", decode_string_map, offsetof(struct raw_slice_metadata, annotations), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field root_fields[] = {
        { "metadata",    decode_object, offsetof(struct raw_slice, metadata),     JSON_REQUIRED, metadata_fields },
        { "addressType", decode_enum,   offsetof(struct raw_slice, address_type), JSON_REQUIRED, address_type_names },
        { "endpoints",   decode_array,  offsetof(struct raw_slice, endpoints),    JSON_OPTIONAL, &endpoints },
        { "ports",       decode_array,  offsetof(struct raw_slice, ports),        JSON_OPTIONAL, &ports },
        {}
}; /* clang-format on */

static void names_done(struct raw_names *list)
{
        for (size_t i = 0; i < list->n; i++)
                free(list->items[i].name);
        free(list->items);
}

static void raw_done(struct raw_slice *raw)
{
        free(raw->metadata.namespace);
        free(raw->metadata.name);
        string_map_done(&raw->metadata.labels);
        string_map_done(&raw->metadata.annotations);
        for (size_t i = 0; i < raw->n_endpoints; i++) {
                strv_free(raw->endpoints[i].addresses);
                free(raw->endpoints[i].node_name);
                names_done(&raw->endpoints[i].hints.zones);
                names_done(&raw->endpoints[i].hints.nodes);
        }
        free(raw->endpoints);
        for (size_t i = 0; i < raw->n_ports; i++)
                free(raw->ports[i].name);
        free(raw->ports);
}

struct endpoint_slice *endpoint_slice_free(struct endpoint_slice *s)
{
        if (!s)
                return NULL;
        for (size_t i = 0; i < s->n_endpoints; i++)
                strv_free(s->endpoints[i].zones);
        for (size_t i = 0; i < s->n_ports; i++)
                free(s->ports[i].name);
        free(s->endpoints);
        free(s->nodes);
        free(s->ports);
        free(s->service);
        free(s);
        return NULL;
}

static uint8_t flags_of(const struct raw_endpoint *raw, const char *node)
{
        uint8_t flags = 0;

        if (raw->conditions.ready != 0)
                flags |= ENDPOINT_READY;
        if (raw->conditions.serving != 0)
                flags |= ENDPOINT_SERVING;
        if (raw->conditions.terminating == 1)
                flags |= ENDPOINT_TERMINATING;
        if (raw->node_name && streq(raw->node_name, node))
                flags |= ENDPOINT_LOCAL;
        for (size_t i = 0; i < raw->hints.nodes.n; i++) {
                flags |= ENDPOINT_HAS_NODE_HINT;
                if (streq(raw->hints.nodes.items[i].name, node))
                        flags |= ENDPOINT_NODE_HINTED;
        }
        return flags;
}

/* Most slices have few nodes: a list of names, looked through from its start. */
static int take_node(struct strbuf *nodes, const char *name, struct slice_endpoint *e)
{
        if (e->flags & ENDPOINT_LOCAL || !name || !name[0])
                return 0;
        if (nodes->len == 0)
                strbuf_add_n(nodes, "", 1);
        for (size_t at = 1; at < nodes->len; at += strlen(nodes->data + at) + 1) {
                if (streq(nodes->data + at, name)) {
                        e->node = (uint32_t)at;
                        return 0;
                }
        }
        e->node = (uint32_t)nodes->len;
        strbuf_add_n(nodes, name, strlen(name) + 1);
        return nodes->failed ? -ENOMEM : 0;
}

static int take_endpoint(struct endpoint_slice *s, const struct raw_endpoint *raw, const char *node,
                         struct strbuf *nodes, struct err *err)
{
        struct slice_endpoint e = { .flags = flags_of(raw, node) };
        const char *text = raw->addresses ? raw->addresses[0] : NULL; /* the others never count */

        if (!text)
                return 0;
        if (ip_parse_sloppy(text, &e.ip) < 0 || e.ip.family != s->family || ip_is_special(&e.ip)) {
                err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                             "endpoints: addresses: '%s': left out, expected an %s address that is "
                             "no loopback, link-local, multicast or unspecified one",
                             text, address_type_names[s->family == AF_INET6]);
                return 0;
        }
        if (take_node(nodes, raw->node_name, &e) < 0)
                return err_sys(err, -ENOMEM, "read EndpointSlice");
        for (size_t i = 0; i < raw->hints.zones.n; i++) {
                if (strv_append(&e.zones, raw->hints.zones.items[i].name) < 0) {
                        strv_free(e.zones);
                        return err_sys(err, -ENOMEM, "read EndpointSlice");
                }
        }
        s->endpoints[s->n_endpoints++] = e;
        return 0;
}

/* A port without a name is not the same as one with an empty name: it is nobody's. */
static int take_ports(struct endpoint_slice *s, struct raw_slice *raw, struct err *err)
{
        s->ports = calloc(raw->n_ports + 1, sizeof *s->ports);
        if (!s->ports)
                return err_sys(err, -ENOMEM, "read EndpointSlice");
        for (size_t i = 0; i < raw->n_ports; i++) {
                if (!raw->ports[i].name || raw->ports[i].port == 0)
                        continue;
                s->ports[s->n_ports++] = (struct slice_port){
                        .name = TAKE_PTR(raw->ports[i].name),
                        .protocol = raw->ports[i].protocol,
                        .port = (uint16_t)raw->ports[i].port,
                };
        }
        return 0;
}

static int fill(struct endpoint_slice *s, struct raw_slice *raw, const char *service,
                const char *node, struct err *err)
{
        const char *triggered = string_map_get(&raw->metadata.annotations,
                                               "endpoints.kubernetes.io/last-change-trigger-time");
        _cleanup_strbuf_ struct strbuf nodes = { 0 };
        int r;

        s->family = raw->address_type == ADDRESS_IPV6 ? AF_INET6 : AF_INET;
        s->service = text_printf("%s/%s", raw->metadata.namespace, service);
        s->endpoints = calloc(raw->n_endpoints + 1, sizeof *s->endpoints);
        if (!s->service || !s->endpoints)
                return err_sys(err, -ENOMEM, "read EndpointSlice");
        if (triggered && time_parse(triggered, &s->triggered) < 0)
                s->triggered = 0;
        for (size_t i = 0; i < raw->n_endpoints; i++) {
                r = take_endpoint(s, &raw->endpoints[i], node, &nodes, err);
                if (r < 0)
                        return r;
        }
        if (nodes.len > 0) {
                s->nodes = malloc(nodes.len);
                if (!s->nodes)
                        return err_sys(err, -ENOMEM, "read EndpointSlice");
                memcpy(s->nodes, nodes.data, nodes.len);
        }
        return take_ports(s, raw, err);
}

int endpoint_slice_decode(const json_t *object, const char *node, struct endpoint_slice **ret,
                          struct err *err)
{
        _cleanup_(raw_done)
        struct raw_slice raw = { 0 };
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *s = NULL;
        const char *service;
        int r = json_decode(object, root_fields, &raw, err);

        if (r < 0)
                return r;
        service = string_map_get(&raw.metadata.labels, "kubernetes.io/service-name");
        if (!service || !service[0] || raw.address_type == ADDRESS_FQDN ||
            string_map_get(&raw.metadata.labels, "service.kubernetes.io/headless")) {
                *ret = NULL;
                return 0;
        }
        s = calloc(1, sizeof *s);
        if (!s)
                return err_sys(err, -ENOMEM, "read EndpointSlice");
        r = fill(s, &raw, service, node, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

void endpoint_list_done(struct endpoint_list *l)
{
        free(l->items);
        *l = (struct endpoint_list){ 0 };
}

static int compare_targets(const void *a, const void *b)
{
        const struct endpoint *x = a, *y = b;
        int r = ip_compare(&x->ip, &y->ip);

        return r != 0 ? r : (int)x->port - (int)y->port;
}

/* Of the same target the one that does not terminate comes first. */
static int compare_endpoints(const void *a, const void *b)
{
        const struct endpoint *x = a, *y = b;
        int r = compare_targets(a, b);

        return r != 0 ? r
                      : (int)(x->flags & ENDPOINT_TERMINATING) -
                                (int)(y->flags & ENDPOINT_TERMINATING);
}

static int append_endpoints(struct endpoint_list *l, const struct endpoint_slice *s, uint16_t port)
{
        struct endpoint *more = reallocarray(l->items, l->n + s->n_endpoints + 1, sizeof *l->items);

        if (!more)
                return -ENOMEM;
        l->items = more;
        for (size_t i = 0; i < s->n_endpoints; i++)
                l->items[l->n++] = (struct endpoint){
                        .ip = s->endpoints[i].ip,
                        .port = port,
                        .flags = s->endpoints[i].flags,
                        .node = s->nodes ? s->nodes + s->endpoints[i].node : "",
                        .zones = s->endpoints[i].zones,
                };
        return 0;
}

/* Sorts, and keeps the first of the same target. */
static void settle(struct endpoint_list *l)
{
        size_t kept = 0;

        if (l->n > 1)
                qsort(l->items, l->n, sizeof *l->items, compare_endpoints);
        for (size_t i = 0; i < l->n; i++)
                if (kept == 0 || compare_targets(&l->items[kept - 1], &l->items[i]) != 0)
                        l->items[kept++] = l->items[i];
        l->n = kept;
}

int endpoints_collect_addresses(const struct endpoint_slice *const *slices, size_t n_slices,
                                int family, struct endpoint_list *ret)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list l = { 0 };

        for (size_t i = 0; i < n_slices; i++)
                if (slices[i]->family == family && append_endpoints(&l, slices[i], 0) < 0)
                        return -ENOMEM;
        settle(&l);
        *ret = TAKE_VALUE(l);
        return 0;
}

int endpoints_collect(const struct endpoint_slice *const *slices, size_t n_slices,
                      const char *port_name, uint8_t protocol, int family,
                      struct endpoint_list *ret)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list l = { 0 };

        for (size_t i = 0; i < n_slices; i++) {
                if (slices[i]->family != family)
                        continue;
                for (size_t k = 0; k < slices[i]->n_ports; k++) {
                        const struct slice_port *p = &slices[i]->ports[k];

                        if (p->protocol == protocol && streq(p->name, port_name) &&
                            append_endpoints(&l, slices[i], p->port) < 0)
                                return -ENOMEM;
                }
        }
        settle(&l);
        *ret = TAKE_VALUE(l);
        return 0;
}

static int compare_ips(const void *a, const void *b)
{
        return ip_compare(a, b);
}

int endpoints_count_local(const struct endpoint_slice *const *slices, size_t n_slices, int family,
                          size_t *ret)
{
        static const uint8_t wanted = ENDPOINT_READY | ENDPOINT_LOCAL;
        _cleanup_free_ struct ip *ips = NULL;
        size_t n = 0, max = 0, distinct = 0;

        for (size_t i = 0; i < n_slices; i++)
                max += slices[i]->n_endpoints;
        ips = calloc(max + 1, sizeof *ips);
        if (!ips)
                return -ENOMEM;
        for (size_t i = 0; i < n_slices; i++) {
                if (slices[i]->family != family || slices[i]->n_ports == 0)
                        continue;
                for (size_t k = 0; k < slices[i]->n_endpoints; k++)
                        if ((slices[i]->endpoints[k].flags & wanted) == wanted)
                                ips[n++] = slices[i]->endpoints[k].ip;
        }
        qsort(ips, n, sizeof *ips, compare_ips);
        for (size_t i = 0; i < n; i++)
                distinct += i == 0 || !ip_equal(&ips[i - 1], &ips[i]);
        *ret = distinct;
        return 0;
}

void endpoint_selection_done(struct endpoint_selection *s)
{
        endpoint_list_done(&s->cluster);
        endpoint_list_done(&s->local);
}

enum topology { TOPOLOGY_NONE, TOPOLOGY_SAME_NODE, TOPOLOGY_SAME_ZONE };

/*
 * Hints count only when every ready endpoint has one and at least one is meant for us: a service
 * must never lose its traffic because a controller has not caught up.
 */
static enum topology topology_of(const struct endpoint_list *all, const char *zone)
{
        bool any_ready = false, all_nodes = true, our_node = false, all_zones = true,
             our_zone = false;

        for (size_t i = 0; i < all->n; i++) {
                const struct endpoint *e = &all->items[i];

                if (!(e->flags & ENDPOINT_READY))
                        continue;
                any_ready = true;
                all_nodes &= (e->flags & ENDPOINT_HAS_NODE_HINT) != 0;
                our_node |= (e->flags & ENDPOINT_NODE_HINTED) != 0;
                all_zones &= e->zones != NULL;
                our_zone |= strv_contains(e->zones, zone);
        }
        if (any_ready && all_nodes && our_node)
                return TOPOLOGY_SAME_NODE;
        if (any_ready && all_zones && our_zone)
                return TOPOLOGY_SAME_ZONE;
        return TOPOLOGY_NONE;
}

static bool is_leaving_but_serves(const struct endpoint *e)
{
        return (e->flags & ENDPOINT_SERVING) && (e->flags & ENDPOINT_TERMINATING);
}

struct endpoint_policy endpoint_policy_of(const struct endpoint_list *all, bool local,
                                          const char *zone)
{
        struct endpoint_policy p = {
                .local = local,
                .topology = (uint8_t)(local ? TOPOLOGY_NONE : topology_of(all, zone)),
                .zone = zone,
        };

        for (size_t i = 0; i < all->n; i++)
                p.any_ready |= (all->items[i].flags & ENDPOINT_READY) &&
                               (!local || (all->items[i].flags & ENDPOINT_LOCAL));
        return p;
}

enum endpoint_fate endpoint_fate_of(const struct endpoint *e, const struct endpoint_policy *p)
{
        if (p->local && !(e->flags & ENDPOINT_LOCAL))
                return ENDPOINT_NOT_LOCAL;
        /* none is ready: those that shut down are better than nothing */
        if (!(e->flags & ENDPOINT_READY)) {
                if (!(e->flags & ENDPOINT_TERMINATING))
                        return ENDPOINT_NOT_READY;
                if (!is_leaving_but_serves(e))
                        return ENDPOINT_GONE;
                return p->any_ready ? ENDPOINT_LEAVING : ENDPOINT_CHOSEN_LEAVING;
        }
        if (p->topology == TOPOLOGY_SAME_NODE && !(e->flags & ENDPOINT_NODE_HINTED))
                return ENDPOINT_OTHER_NODES;
        if (p->topology == TOPOLOGY_SAME_ZONE && !strv_contains(e->zones, p->zone))
                return ENDPOINT_OTHER_ZONES;
        return ENDPOINT_CHOSEN;
}

const char *endpoint_fate_text(enum endpoint_fate fate)
{
        static const char *const texts[] = {
                [ENDPOINT_CHOSEN] = "",
                [ENDPOINT_CHOSEN_LEAVING] = "terminating, but none is ready",
                [ENDPOINT_NOT_READY] = "not ready",
                [ENDPOINT_LEAVING] = "terminating, and others are ready",
                [ENDPOINT_GONE] = "terminating and not serving",
                [ENDPOINT_OTHER_NODES] = "hinted for other nodes",
                [ENDPOINT_OTHER_ZONES] = "hinted for other zones",
                [ENDPOINT_NOT_LOCAL] = "on another node, and the traffic policy is Local",
        };
        static_assert(ARRAY_SIZE(texts) == _ENDPOINT_FATE_MAX, "a fate has no text");

        return texts[fate];
}

static int choose(const struct endpoint_list *all, bool local, const char *zone,
                  struct endpoint_list *ret)
{
        struct endpoint_policy p = endpoint_policy_of(all, local, zone);
        struct endpoint *items = calloc(all->n + 1, sizeof *items);
        size_t n = 0;

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < all->n; i++)
                if (endpoint_is_chosen(endpoint_fate_of(&all->items[i], &p)))
                        items[n++] = all->items[i];
        *ret = (struct endpoint_list){ items, n };
        return 0;
}

static bool any_serves(const struct endpoint_list *all)
{
        for (size_t i = 0; i < all->n; i++)
                if ((all->items[i].flags & ENDPOINT_READY) || is_leaving_but_serves(&all->items[i]))
                        return true;
        return false;
}

int endpoints_select(const struct endpoint_list *all, bool uses_cluster, bool uses_local,
                     const char *zone, struct endpoint_selection *ret)
{
        _cleanup_(endpoint_selection_done)
        struct endpoint_selection s = { 0 };

        if (uses_cluster && choose(all, false, zone, &s.cluster) < 0)
                return -ENOMEM;
        if (uses_local && choose(all, true, zone, &s.local) < 0)
                return -ENOMEM;
        s.has_any = s.cluster.n > 0 || (uses_local && any_serves(all));
        *ret = TAKE_VALUE(s);
        return 0;
}
