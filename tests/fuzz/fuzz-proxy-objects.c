/*
 * {"services": [Service, …], "slices": [EndpointSlice, …], "nodes": [Node, …]}: whatever decodes
 * goes into the tables of both families; nothing is left when all of it has gone, and no second
 * diff has anything to say.
 */
#include <stdint.h>

#include "base/json.h"
#include "netproxy/node.h"
#include "netproxy/ruleset-diff.h"
#include "netproxy/trace.h"

enum { MAX = 8 };

struct world {
        struct service *services[MAX];
        struct endpoint_slice *slices[MAX];
        struct node *nodes[MAX];
        size_t n_services, n_slices, n_nodes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void decode(const json_t *root, struct world *w)
{
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(root, "services"), i, e)
                if (w->n_services < MAX &&
                    service_decode(e, &w->services[w->n_services], NULL) == 0 &&
                    w->services[w->n_services])
                        w->n_services++;
        json_array_foreach (json_object_get(root, "slices"), i, e)
                if (w->n_slices < MAX &&
                    endpoint_slice_decode(e, "node-1", &w->slices[w->n_slices], NULL) == 0 &&
                    w->slices[w->n_slices])
                        w->n_slices++;
        json_array_foreach (json_object_get(root, "nodes"), i, e)
                if (w->n_nodes < MAX && node_decode(e, &w->nodes[w->n_nodes], NULL) == 0)
                        w->n_nodes++;
}

static void apply_all(struct ruleset_table *t, struct world *w, struct ruleset_owner *owners)
{
        struct ruleset_owner *o;

        for (size_t i = 0; i < w->n_services; i++) {
                ruleset_table_apply(t, &owners[i], w->services[i],
                                    (const struct endpoint_slice *const *)w->slices, w->n_slices);
                while ((o = ruleset_table_next_displaced(t)))
                        ruleset_table_apply(t, o, w->services[o - owners],
                                            (const struct endpoint_slice *const *)w->slices,
                                            w->n_slices);
        }
}

static size_t diff(struct ruleset_table *t, int family)
{
        _cleanup_(nft_batch_freep)
        struct nft_batch *b = NULL;
        size_t n;

        if (nft_batch_new(family, "fuzz", &b) < 0 || ruleset_table_diff(t, b) < 0)
                __builtin_trap();
        n = nft_batch_count(b);
        ruleset_table_committed(t);
        return n;
}

static int find_installed(enum ruleset_set set, const void *key, void *ret_value, void *userdata)
{
        return ruleset_table_find(userdata, set, key, ret_value, NULL);
}

/* Whatever is installed, no packet is led to an endpoint that is not there. */
static void trace_all(struct ruleset_table *t, const struct world *w, int family)
{
        const struct trace_sets sets = { find_installed, t };

        for (size_t i = 0; i < w->n_services; i++) {
                const struct service *s = w->services[i];
                const struct ip *ip = service_cluster_ip(s, family);

                for (size_t k = 0; ip && k < s->n_ports; k++) {
                        struct trace_query q = { .ip = *ip,
                                                 .protocol = s->ports[k].protocol,
                                                 .port = s->ports[k].port,
                                                 .serves_node_ports = k % 2 };
                        struct trace trace = { 0 };

                        if (trace_run(ruleset_table_context(t), &q, &sets, &trace) < 0)
                                continue;
                        for (int from = 0; from < _TRACE_FROM_MAX; from++)
                                if (trace.ways[from].missing > 0 ||
                                    trace.ways[from].verdict == TRACE_PASSES)
                                        __builtin_trap();
                        trace_done(&trace);
                }
        }
}

static void try_family(struct world *w, int family)
{
        _cleanup_(ruleset_table_freep)
        struct ruleset_table *t = NULL;
        _cleanup_(network_done)
        struct network network = { 0 };
        struct ruleset_owner owners[MAX] = { 0 };
        struct ruleset_context ctx = { .family = family, .mark = 0x4000, .zone = "a" };

        if (network_build((const struct node *const *)w->nodes, w->n_nodes, w->nodes[0], &network) <
            0)
                return;
        ctx.node_addresses = network.addresses;
        ctx.n_node_addresses = network.n_addresses;
        if (w->n_nodes > 0)
                ctx.zone = w->nodes[0]->zone;
        if (ruleset_table_new(family, &t) < 0 || ruleset_table_set_context(t, &ctx) < 0 ||
            ruleset_table_set_ranges(t, SET_POD_IPS, network.pods, network.n_pods) < 0)
                return;
        apply_all(t, w, owners);
        diff(t, family);
        trace_all(t, w, family);
        apply_all(t, w, owners);
        if (diff(t, family) != 0)
                __builtin_trap();
        for (size_t i = 0; i < w->n_services; i++)
                ruleset_table_drop(t, &owners[i]);
        if (ruleset_table_count(t) != 0)
                __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        json_auto_t *root = NULL;
        struct world w = { 0 };

        if (json_parse((const char *)data, n, false, &root, NULL) < 0)
                return 0;
        decode(root, &w);
        try_family(&w, AF_INET);
        try_family(&w, AF_INET6);
        for (size_t i = 0; i < w.n_services; i++)
                service_unref(w.services[i]);
        for (size_t i = 0; i < w.n_slices; i++)
                endpoint_slice_free(w.slices[i]);
        for (size_t i = 0; i < w.n_nodes; i++)
                node_free(w.nodes[i]);
        return 0;
}
