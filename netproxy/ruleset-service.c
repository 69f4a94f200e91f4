/* What one Service puts into the sets and maps. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netproxy/ruleset.h"

size_t ruleset_key_len(int family, enum ruleset_set set)
{
        const struct nft_set *s = ruleset_set(family, set);
        size_t n = nft_fields_len(s->key);

        return s->flags & NFT_SET_INTERVAL ? 2 * n : n;
}

size_t ruleset_value_len(int family, enum ruleset_set set)
{
        const struct nft_set *s = ruleset_set(family, set);

        return s->data[0] == NFT_FIELD_VERDICT ? sizeof(struct ruleset_target)
                                               : nft_fields_len(s->data);
}

/* A key or value being put together, field by field. */
struct bytes {
        uint8_t data[RULESET_KEY_MAX];
        size_t n;
};

static void add_address(struct bytes *b, const struct ip *ip)
{
        memcpy(b->data + b->n, ip->bytes, ip_len(ip));
        b->n += ip_len(ip);
}

static void add_protocol(struct bytes *b, uint8_t protocol)
{
        b->data[b->n] = protocol;
        b->n += 4;
}

static void add_port(struct bytes *b, uint16_t port)
{
        port = htons(port);
        memcpy(b->data + b->n, &port, sizeof port);
        b->n += 4;
}

static void add_index(struct bytes *b, uint32_t index)
{
        memcpy(b->data + b->n, &index, sizeof index);
        b->n += sizeof index;
}

static struct bytes service_key(const struct ip *ip, const struct service_port *port)
{
        struct bytes b = { 0 };

        add_address(&b, ip);
        add_protocol(&b, port->protocol);
        add_port(&b, port->port);
        return b;
}

static struct bytes node_port_key(const struct service_port *port)
{
        struct bytes b = { 0 };

        add_protocol(&b, port->protocol);
        add_port(&b, port->node_port);
        return b;
}

/* One Service port at work. */
struct port_work {
        const struct ruleset_context *ctx;
        const struct service *service;
        const struct service_port *port;
        const struct ruleset_sink *sink;
        struct bytes key;                    /* its name */
        struct endpoint_selection selection; /* owned */
        bool has_external, left_out;
};

static int emit(const struct port_work *w, enum ruleset_set set, const void *key, const void *value,
                int rank)
{
        return w->sink->emit(set, key, value, rank, w->sink->userdata);
}

static int emit_endpoint(const struct port_work *w, const struct endpoint *e, uint32_t index,
                         enum ruleset_set affinity)
{
        struct bytes key = w->key, value = { 0 }, pair = { 0 };
        int r;

        add_index(&key, index);
        add_address(&value, &e->ip);
        add_port(&value, e->port);
        r = emit(w, SET_ENDPOINTS, key.data, value.data, 0);
        if (r == 0 && w->service->affinity_sec > 0) {
                key = w->key;
                add_address(&key, &e->ip);
                add_port(&key, e->port);
                r = emit(w, affinity, key.data, NULL, 0);
        }
        if (r == 0 && (e->flags & ENDPOINT_LOCAL)) {
                add_address(&pair, &e->ip);
                add_address(&pair, &e->ip);
                r = emit(w, SET_HAIRPIN, pair.data, NULL, 0);
        }
        return r;
}

static int emit_endpoints(const struct port_work *w)
{
        const struct endpoint_selection *s = &w->selection;
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->cluster.n; i++)
                r = emit_endpoint(w, &s->cluster.items[i], (uint32_t)i, SET_AFFINITY_CLUSTER);
        for (size_t i = 0; r == 0 && i < s->local.n; i++)
                r = emit_endpoint(w, &s->local.items[i], LOCAL_INDEX + (uint32_t)i,
                                  SET_AFFINITY_LOCAL);
        return r;
}

static uint16_t count_of(const struct endpoint_list *l)
{
        return (uint16_t)MIN(l->n, (size_t)UINT16_MAX);
}

static struct ruleset_target pick_target(const struct port_work *w, enum target_kind kind,
                                         enum target_variant variant)
{
        return (struct ruleset_target){
                .kind = (uint8_t)kind,
                .variant = (uint8_t)variant,
                .count = count_of(variant == TARGET_LOCAL ? &w->selection.local
                                                          : &w->selection.cluster),
                .sticky_sec = w->service->affinity_sec,
        };
}

/* None anywhere: refused. None here, although the policy wants one here: dropped. */
static struct ruleset_target no_endpoint_target(const struct port_work *w)
{
        return (struct ruleset_target){ .kind = w->selection.has_any ? TARGET_DROP
                                                                     : TARGET_REJECT };
}

static int emit_cluster_ip(const struct port_work *w, const struct ip *ip)
{
        bool is_local = w->service->internal_local;
        struct ruleset_target t = pick_target(w, TARGET_CLUSTER_IP,
                                              is_local ? TARGET_LOCAL : TARGET_PLAIN);
        int r = emit(w, SET_CLUSTER_IPS, ip->bytes, NULL, 0);

        if (r < 0)
                return r;
        if (w->selection.has_any && t.count > 0)
                return emit(w, SET_SERVICE_IPS, w->key.data, &t, 0);
        t = no_endpoint_target(w);
        return emit(w, SET_NO_ENDPOINT_IPS, w->key.data, &t, 0);
}

struct frontend_sets {
        enum target_kind kind;
        enum ruleset_set dispatch, translate, short_circuit, no_endpoint;
};

/* An address that is reached from outside: external IP, VIP, node port. */
static int emit_external(const struct port_work *w, const struct frontend_sets *sets,
                         const struct bytes *key)
{
        bool is_local = w->service->external_local;
        struct ruleset_target t = pick_target(w, sets->kind,
                                              is_local ? TARGET_LOCAL : TARGET_MASQUERADE);
        struct ruleset_target inside = pick_target(w, sets->kind, TARGET_PLAIN);
        int r = 0;

        if (w->selection.has_any) {
                /* with policy Local also without endpoints here: pods and node are served */
                r = emit(w, sets->dispatch, key->data, &t, 1);
                if (r == 0)
                        r = emit(w, sets->translate, key->data, w->key.data, 1);
                if (r == 0 && is_local && inside.count > 0)
                        r = emit(w, sets->short_circuit, key->data, &inside, 1);
        }
        if (r == 0 && (!w->selection.has_any || t.count == 0)) {
                t = no_endpoint_target(w);
                r = emit(w, sets->no_endpoint, key->data, &t, 1);
        }
        return r;
}

static const struct frontend_sets external_sets = {
        TARGET_EXTERNAL_IP, SET_SERVICE_IPS, SET_EXTERNAL_IPS, SET_SHORT_IPS, SET_NO_ENDPOINT_IPS,
};
static const struct frontend_sets node_port_sets = {
        TARGET_NODE_PORT,     SET_SERVICE_NODE_PORTS,     SET_NODE_PORTS,
        SET_SHORT_NODE_PORTS, SET_NO_ENDPOINT_NODE_PORTS,
};

static int emit_range(const struct port_work *w, const struct bytes *key,
                      const struct ip_range *range)
{
        struct bytes first = *key, last = *key;
        uint8_t both[2 * RULESET_KEY_MAX];

        add_address(&first, &range->first);
        add_address(&last, &range->last);
        memcpy(both, first.data, first.n);
        memcpy(both + first.n, last.data, last.n);
        return emit(w, SET_FIREWALL_SOURCES, both, NULL, 1);
}

/* Who may reach the VIP: the ranges; and the node by the VIP itself, when a range has the node. */
static int emit_firewall(const struct port_work *w, const struct bytes *key)
{
        const struct service *s = w->service;
        _cleanup_free_ struct ip_range *ranges = calloc(s->n_source_ranges + s->n_vips + 1,
                                                        sizeof *ranges);
        bool node_may = false;
        size_t n = 0;
        int r;

        if (!ranges)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_source_ranges; i++) {
                const struct cidr *c = &s->source_ranges[i];

                if (c->ip.family != w->ctx->family)
                        continue;
                ranges[n++] = cidr_range(c);
                node_may |= w->ctx->node_ip.family && cidr_contains(c, &w->ctx->node_ip);
        }
        if (n == 0)
                return 0;
        for (size_t i = 0; node_may && i < s->n_vips; i++)
                if (s->vips[i].family == w->ctx->family)
                        ranges[n++] = (struct ip_range){ s->vips[i], s->vips[i] };
        n = ip_ranges_merge(ranges, n);
        r = emit(w, SET_FIREWALL_IPS, key->data, NULL, 1);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = emit_range(w, key, &ranges[i]);
        return r;
}

static int compare_ips(const void *a, const void *b)
{
        return ip_compare(a, b);
}

/* Else a Service could take over the node's own ports, its agent's among them (INV-46). */
static bool is_node_address(const struct ruleset_context *ctx, const struct ip *ip)
{
        return ctx->n_node_addresses > 0 &&
               bsearch(ip, ctx->node_addresses, ctx->n_node_addresses, sizeof *ip, compare_ips);
}

static int emit_externals(struct port_work *w)
{
        const struct service *s = w->service;
        struct bytes key;
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->n_external_ips; i++) {
                if (s->external_ips[i].family != w->ctx->family)
                        continue;
                if (is_node_address(w->ctx, &s->external_ips[i])) {
                        w->left_out = true;
                        continue;
                }
                key = service_key(&s->external_ips[i], w->port);
                r = emit_external(w, &external_sets, &key);
        }
        for (size_t i = 0; r == 0 && i < s->n_vips; i++) {
                if (s->vips[i].family != w->ctx->family)
                        continue;
                key = service_key(&s->vips[i], w->port);
                r = emit_external(w, &external_sets, &key);
                if (r == 0)
                        r = emit_firewall(w, &key);
        }
        if (r == 0 && w->port->node_port != 0) {
                key = node_port_key(w->port);
                r = emit_external(w, &node_port_sets, &key);
        }
        return r;
}

static int emit_port(struct port_work *w, const struct ip *cluster_ip,
                     const struct endpoint_slice *const *slices, size_t n_slices)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        int family = w->ctx->family, r;

        r = endpoints_collect(slices, n_slices, w->port->name, w->port->protocol, family, &all);
        if (r == 0)
                r = endpoints_select(&all, service_port_uses_cluster(w->service, w->port, family),
                                     service_port_uses_local(w->service, w->port, family),
                                     w->ctx->zone, &w->selection);
        if (r == 0)
                r = emit_endpoints(w);
        if (r == 0)
                r = emit_cluster_ip(w, cluster_ip);
        if (r == 0)
                r = emit_externals(w);
        endpoint_selection_done(&w->selection);
        return r;
}

int ruleset_service(const struct ruleset_context *ctx, const struct service *s,
                    const struct endpoint_slice *const *slices, size_t n_slices,
                    const struct ruleset_sink *sink)
{
        const struct ip *cluster_ip = service_cluster_ip(s, ctx->family);
        bool left_out = false;
        int r = 0;

        if (!cluster_ip)
                return 0;
        for (size_t i = 0; r == 0 && i < s->n_ports; i++) {
                struct port_work w = {
                        .ctx = ctx,
                        .service = s,
                        .port = &s->ports[i],
                        .sink = sink,
                        .key = service_key(cluster_ip, &s->ports[i]),
                };

                r = emit_port(&w, cluster_ip, slices, n_slices);
                left_out |= w.left_out;
        }
        return r == 0 && left_out ? RULESET_LEFT_OUT : r;
}
