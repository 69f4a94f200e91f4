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

static void add_bytes(struct bytes *b, const struct bytes *more)
{
        memcpy(b->data + b->n, more->data, more->n);
        b->n += more->n;
}

void ruleset_key_service(const struct ip *ip, uint8_t protocol, uint16_t port,
                         uint8_t key[static RULESET_KEY_MAX])
{
        struct bytes b = { 0 };

        add_address(&b, ip);
        add_protocol(&b, protocol);
        add_port(&b, port);
        memcpy(key, b.data, sizeof b.data);
}

void ruleset_key_node_port(uint8_t protocol, uint16_t port, uint8_t key[static RULESET_KEY_MAX])
{
        struct bytes b = { 0 };

        add_protocol(&b, protocol);
        add_port(&b, port);
        memcpy(key, b.data, sizeof b.data);
}

static struct bytes service_key(const struct ip *ip, const struct service_port *port)
{
        struct bytes b = { .n = ip_len(ip) + 8 };

        ruleset_key_service(ip, port->protocol, port->port, b.data);
        return b;
}

static struct bytes node_port_key(const struct service_port *port)
{
        struct bytes b = { .n = 8 };

        ruleset_key_node_port(port->protocol, port->node_port, b.data);
        return b;
}

enum ruleset_set ruleset_endpoint_set(const struct ruleset_target *t)
{
        if (t->sticky_sec > 0)
                return SET_STICKY_ENDPOINTS;
        return t->kind == TARGET_NODE_PORT ? SET_NODE_PORT_ENDPOINTS : SET_ENDPOINTS;
}

void ruleset_key_endpoint(const struct ruleset_target *t, const struct ip *ip, uint8_t protocol,
                          uint16_t port, uint32_t number, uint8_t key[static RULESET_KEY_MAX])
{
        const struct ip zero = { .family = ip->family };
        struct bytes b = { 0 };

        if (t->sticky_sec > 0) {
                add_protocol(&b, protocol);
                add_address(&b, t->kind == TARGET_NODE_PORT ? &zero : ip);
        } else {
                if (t->kind == TARGET_IP)
                        add_address(&b, ip);
                add_protocol(&b, protocol);
        }
        add_port(&b, port);
        add_index(&b, number);
        memcpy(key, b.data, sizeof b.data);
}

void ruleset_read_endpoint(const struct ruleset_target *t, int family, const void *value,
                           struct ip *ret_ip, uint16_t *ret_port)
{
        const uint8_t *p = value;
        struct ip ip = { .family = (uint8_t)family };
        uint16_t port;

        p += t->sticky_sec > 0 ? sizeof(uint32_t) : 0; /* the policy */
        memcpy(ip.bytes, p, ip_len(&ip));
        memcpy(&port, p + ip_len(&ip), sizeof port);
        *ret_ip = ip;
        *ret_port = ntohs(port);
}

/* One Service port at work. */
struct port_work {
        const struct ruleset_context *ctx;
        const struct service *service;
        const struct service_port *port;
        const struct ruleset_sink *sink;
        struct endpoint_selection selection; /* owned */
        bool left_out;
};

/* One address that leads to it: the cluster IP, an external IP or VIP, or the node port. */
struct frontend {
        struct bytes key;
        struct bytes address; /* with session affinity; 0 for a node port */
        uint16_t number;      /* port or node port */
        enum target_kind kind;
        enum target_variant variant,
                inside; /* inside: for pods and the node; same: no difference */
        enum ruleset_set dispatch, short_circuit, no_endpoint, endpoints;
        int rank;
};

static int emit(const struct port_work *w, enum ruleset_set set, const void *key, const void *value,
                int rank)
{
        return w->sink->emit(set, key, value, rank, w->sink->userdata);
}

static int emit_endpoint(const struct port_work *w, const struct frontend *f,
                         const struct endpoint *e, uint32_t index)
{
        struct bytes key = f->key, value = { 0 };

        add_index(&key, index);
        add_address(&value, &e->ip);
        add_port(&value, e->port);
        return emit(w, f->endpoints, key.data, value.data, f->rank);
}

static int emit_sticky_endpoint(const struct port_work *w, const struct frontend *f,
                                const struct endpoint *e, uint32_t index)
{
        struct bytes key = { 0 }, value = { 0 }, good = f->address;
        int r;

        add_protocol(&key, w->port->protocol);
        add_bytes(&key, &f->address);
        add_port(&key, f->number);
        add_index(&key, index);
        add_index(&value, index & LOCAL_INDEX);
        add_address(&value, &e->ip);
        add_port(&value, e->port);
        r = emit(w, SET_STICKY_ENDPOINTS, key.data, value.data, f->rank);
        if (r < 0)
                return r;
        add_port(&good, f->number);
        add_bytes(&good, &value);
        return emit(w, SET_STICKY_GOOD, good.data, NULL, f->rank);
}

/* The endpoints of one policy, numbered from @first on. */
static int emit_endpoints(const struct port_work *w, const struct frontend *f,
                          const struct endpoint_list *l, uint32_t first)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < MIN(l->n, (size_t)UINT16_MAX); i++)
                r = w->service->affinity_sec > 0
                            ? emit_sticky_endpoint(w, f, &l->items[i], first + (uint32_t)i)
                            : emit_endpoint(w, f, &l->items[i], first + (uint32_t)i);
        return r;
}

static bool takes_local(enum target_variant variant)
{
        return variant == TARGET_LOCAL || variant == TARGET_EXTERNAL_LOCAL;
}

static const struct endpoint_list *endpoints_of(const struct port_work *w,
                                                enum target_variant variant)
{
        return takes_local(variant) ? &w->selection.local : &w->selection.cluster;
}

static struct ruleset_target pick_target(const struct port_work *w, const struct frontend *f,
                                         enum target_variant variant)
{
        return (struct ruleset_target){
                .kind = (uint8_t)f->kind,
                .variant = (uint8_t)variant,
                .count = (uint16_t)MIN(endpoints_of(w, variant)->n, (size_t)UINT16_MAX),
                .sticky_sec = w->service->affinity_sec,
        };
}

static int emit_variant(const struct port_work *w, const struct frontend *f, enum ruleset_set set,
                        enum target_variant variant)
{
        struct ruleset_target t = pick_target(w, f, variant);
        int r = emit(w, set, f->key.data, &t, f->rank);

        return r < 0 ? r
                     : emit_endpoints(w, f, endpoints_of(w, variant),
                                      takes_local(variant) ? LOCAL_INDEX : 0);
}

static int emit_frontend(const struct port_work *w, const struct frontend *f)
{
        bool has_endpoints = endpoints_of(w, f->variant)->n > 0;
        /* With another policy inside, pods and node are served also without endpoints here. */
        bool is_served = w->selection.has_any && (has_endpoints || f->inside != f->variant);
        struct ruleset_target none = { .kind = w->selection.has_any ? TARGET_DROP : TARGET_REJECT };
        int r = 0;

        if (is_served)
                r = emit_variant(w, f, f->dispatch, f->variant);
        if (r == 0 && is_served && f->inside != f->variant && endpoints_of(w, f->inside)->n > 0)
                r = emit_variant(w, f, f->short_circuit, f->inside);
        /* None anywhere: refused. None here, although the policy wants one here: dropped. */
        if (r == 0 && !(w->selection.has_any && has_endpoints))
                r = emit(w, f->no_endpoint, f->key.data, &none, f->rank);
        return r;
}

static int emit_hairpin(const struct port_work *w, const struct endpoint_list *l)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < l->n; i++) {
                struct bytes pair = { 0 };

                if (!(l->items[i].flags & ENDPOINT_LOCAL))
                        continue;
                add_address(&pair, &l->items[i].ip);
                add_address(&pair, &l->items[i].ip);
                r = emit(w, SET_HAIRPIN, pair.data, NULL, 0);
        }
        return r;
}

static struct frontend ip_frontend(const struct port_work *w, const struct ip *ip, bool is_cluster)
{
        struct frontend f = {
                .key = service_key(ip, w->port),
                .number = w->port->port,
                .kind = TARGET_IP,
                .dispatch = SET_SERVICE_IPS,
                .short_circuit = SET_SHORT_IPS,
                .no_endpoint = SET_NO_ENDPOINT_IPS,
                .endpoints = SET_ENDPOINTS,
                .rank = is_cluster ? 0 : 1,
        };

        add_address(&f.address, ip);
        if (is_cluster)
                f.variant = f.inside = w->service->internal_local ? TARGET_LOCAL : TARGET_PLAIN;
        else if (w->service->external_local)
                f.variant = TARGET_EXTERNAL_LOCAL; /* inside: TARGET_PLAIN */
        else
                f.variant = f.inside = TARGET_MASQUERADE;
        return f;
}

static struct frontend node_port_frontend(const struct port_work *w)
{
        struct ip zero = { .family = (uint8_t)w->ctx->family };
        struct frontend f = ip_frontend(w, &zero, false);

        f.key = node_port_key(w->port);
        f.number = w->port->node_port;
        f.kind = TARGET_NODE_PORT;
        f.dispatch = SET_SERVICE_NODE_PORTS;
        f.short_circuit = SET_SHORT_NODE_PORTS;
        f.no_endpoint = SET_NO_ENDPOINT_NODE_PORTS;
        f.endpoints = SET_NODE_PORT_ENDPOINTS;
        return f;
}

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

/* Else a Service could take over the node's own ports, its agent's among them. */
static bool is_node_address(const struct ruleset_context *ctx, const struct ip *ip)
{
        return ctx->n_node_addresses > 0 &&
               bsearch(ip, ctx->node_addresses, ctx->n_node_addresses, sizeof *ip, compare_ips);
}

static int emit_externals(struct port_work *w)
{
        const struct service *s = w->service;
        struct frontend f;
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->n_external_ips; i++) {
                if (s->external_ips[i].family != w->ctx->family)
                        continue;
                if (is_node_address(w->ctx, &s->external_ips[i])) {
                        w->left_out = true;
                        continue;
                }
                f = ip_frontend(w, &s->external_ips[i], false);
                r = emit_frontend(w, &f);
        }
        for (size_t i = 0; r == 0 && i < s->n_vips; i++) {
                if (s->vips[i].family != w->ctx->family)
                        continue;
                f = ip_frontend(w, &s->vips[i], false);
                r = emit_frontend(w, &f);
                if (r == 0)
                        r = emit_firewall(w, &f.key);
        }
        if (r == 0 && w->port->node_port != 0) {
                f = node_port_frontend(w);
                r = emit_frontend(w, &f);
        }
        return r;
}

static int emit_port(struct port_work *w, const struct ip *cluster_ip,
                     const struct endpoint_slice *const *slices, size_t n_slices)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        struct frontend f = ip_frontend(w, cluster_ip, true);
        int family = w->ctx->family, r;

        r = endpoints_collect(slices, n_slices, w->port->name, w->port->protocol, family, &all);
        if (r == 0)
                r = endpoints_select(&all, service_port_uses_cluster(w->service, w->port, family),
                                     service_port_uses_local(w->service, w->port, family),
                                     w->ctx->zone, &w->selection);
        if (r == 0)
                r = emit(w, SET_CLUSTER_IPS, cluster_ip->bytes, NULL, 0);
        if (r == 0)
                r = emit_frontend(w, &f);
        if (r == 0)
                r = emit_externals(w);
        if (r == 0)
                r = emit_hairpin(w, &w->selection.cluster);
        if (r == 0)
                r = emit_hairpin(w, &w->selection.local);
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
                };

                r = emit_port(&w, cluster_ip, slices, n_slices);
                left_out |= w.left_out;
        }
        return r == 0 && left_out ? RULESET_LEFT_OUT : r;
}
