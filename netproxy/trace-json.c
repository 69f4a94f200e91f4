#include "netproxy/trace-json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "netproxy/local-addresses.h"

/* Looks into the kernel are a system call each: beyond so many endpoints it is not asked. */
enum { KERNEL_ENDPOINTS_MAX = 512 };

const char *protocol_name(uint8_t protocol)
{
        return protocol == IPPROTO_UDP ? "UDP" : protocol == IPPROTO_SCTP ? "SCTP" : "TCP";
}

/* ---- the two ways to look into a set ---- */
struct looker {
        struct sync *sync;
        size_t family;
        struct err *err;
};

static int find_installed(enum ruleset_set set, const void *key, void *ret_value, void *userdata)
{
        const struct looker *l = userdata;

        return ruleset_table_find(sync_table(l->sync, l->family), set, key, ret_value, NULL);
}

static int find_in_kernel(enum ruleset_set set, const void *key, void *ret_value, void *userdata)
{
        const struct looker *l = userdata;

        return sync_read_element(l->sync, l->family, set, key, ret_value, l->err);
}

/* ---- the question ---- */
static bool is_local_address(const struct ip *ip)
{
        struct cidr just = { *ip, ip->family == AF_INET6 ? 128 : 32 };
        _cleanup_free_ struct ip_range *found = NULL;
        size_t n = 0;

        return local_addresses_within(&just, 1, &found, &n, NULL) == 0 && n > 0;
}

static struct trace_query make_query(const struct ruleset_table *t, const struct ip *ip,
                                     uint8_t protocol, uint16_t port, bool is_local)
{
        const struct ruleset_context *ctx = ruleset_table_context(t);

        return (struct trace_query){
                .ip = *ip,
                .protocol = protocol,
                .port = port,
                .serves_node_ports = is_local && (ctx->node_ports_any ||
                                                  ruleset_table_has_ip(t, SET_NODE_PORT_IPS, ip)),
                .is_handed_out = ruleset_table_has_ip(t, SET_SERVICE_CIDRS, ip),
        };
}

static bool has_ip(const struct ip *ips, size_t n, const struct ip *ip)
{
        for (size_t i = 0; i < n; i++)
                if (ip_equal(&ips[i], ip))
                        return true;
        return false;
}

/* Whose cluster IP it is; a walk through all Services. */
static const struct known_service *find_cluster_ip(const struct state *s, const struct ip *ip)
{
        struct known_service *k;
        const char *key;

        MAP_FOREACH (key, k, s->services)
                if (k->service && has_ip(k->service->cluster_ips, k->service->n_cluster_ips, ip))
                        return k;
        return NULL;
}

static const struct known_service *find_health_check(const struct state *s, uint16_t port)
{
        struct known_service *k;
        const char *key;

        MAP_FOREACH (key, k, s->services)
                if (k->service && k->service->health_check_node_port == port)
                        return k;
        return NULL;
}

/* Whose the element is that decided. */
static const char *find_owner(const struct ruleset_table *t, const struct trace_query *q,
                              enum ruleset_set set)
{
        uint8_t key[RULESET_KEY_MAX];
        const char *owner = NULL;

        if (set == _SET_MAX)
                return NULL;
        if (set == SET_SERVICE_NODE_PORTS || set == SET_NO_ENDPOINT_NODE_PORTS)
                ruleset_key_node_port(q->protocol, q->port, key);
        else
                ruleset_key_service(&q->ip, q->protocol, q->port, key);
        ruleset_table_find(t, set, key, NULL, &owner);
        return owner;
}

static bool is_node_port(enum ruleset_set set)
{
        return set == SET_SERVICE_NODE_PORTS || set == SET_NO_ENDPOINT_NODE_PORTS;
}

static const char *kind_of(const struct trace *t, const struct trace_query *q,
                           const struct service *s)
{
        if (is_node_port(t->found_in))
                return "NodePort";
        if (t->is_cluster_ip)
                return "ClusterIP";
        if (s && has_ip(s->vips, s->n_vips, &q->ip))
                return "LoadBalancer";
        if (s && has_ip(s->external_ips, s->n_external_ips, &q->ip))
                return "ExternalIP";
        return q->is_handed_out ? "ClusterIP" : "None";
}

static const struct service_port *find_port(const struct service *s, const struct trace_query *q,
                                            bool node_port)
{
        for (size_t i = 0; s && i < s->n_ports; i++)
                if (s->ports[i].protocol == q->protocol &&
                    (node_port ? s->ports[i].node_port : s->ports[i].port) == q->port)
                        return &s->ports[i];
        return NULL;
}

/* ---- the answer ---- */
static void describe_endpoint(json_t *o, const struct state *state, const struct known_service *k,
                              const struct service_port *port, const struct trace_endpoint *e)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };

        if (!k || !port ||
            endpoints_collect((const struct endpoint_slice *const *)k->slices, k->n_slices,
                              port->name, port->protocol, e->ip.family, &all) < 0)
                return;
        for (size_t i = 0; i < all.n; i++) {
                const struct endpoint *known = &all.items[i];
                bool local = known->flags & ENDPOINT_LOCAL;
                const char *name = local ? state->node_name : known->node;
                const struct node *node = state_node(state, name);

                if (known->port != e->port || !ip_equal(&known->ip, &e->ip))
                        continue;
                json_set_text(o, "node", *name ? name : NULL);
                json_set_text(o, "zone", node && *node->zone ? node->zone : NULL);
                json_set(o, "local", json_boolean(local));
                return;
        }
        json_set(o, "stale", json_true()); /* the API server has no such endpoint any more */
}

static json_t *way_json(const struct state *state, const struct known_service *k,
                        const struct service_port *port, const struct trace_way *way)
{
        json_t *o = json_pack("{s:[], s:s, s:b}", "from", "verdict",
                              trace_verdict_name(way->verdict), "masquerade", way->masquerade),
               *list = json_array();
        const char *why = trace_reason_text(way->reason);

        json_set_text(o, "why", *why ? why : NULL);
        for (size_t i = 0; i < way->n_endpoints; i++) {
                const struct trace_endpoint *e = &way->endpoints[i];
                char text[IP_TEXT_MAX];
                json_t *item = json_pack("{s:s, s:i, s:f}", "address", ip_format(&e->ip, text),
                                         "port", e->port, "chance", 1.0 / (double)way->n_endpoints);

                describe_endpoint(item, state, k, port, e);
                json_array_append_new(list, item);
        }
        json_set(o, "endpoints", list);
        return o;
}

/* Senders that fare alike share an entry. */
static json_t *ways_json(const struct state *state, const struct known_service *k,
                         const struct service_port *port, const struct trace *t)
{
        json_t *ways = json_array(), *entries[_TRACE_FROM_MAX] = { NULL };

        for (int i = 0; i < _TRACE_FROM_MAX; i++) {
                for (int j = 0; !entries[i] && j < i; j++)
                        if (trace_way_equal(&t->ways[i], &t->ways[j]))
                                entries[i] = entries[j];
                if (!entries[i]) {
                        entries[i] = way_json(state, k, port, &t->ways[i]);
                        json_array_append_new(ways, entries[i]);
                }
                json_array_append_new(json_object_get(entries[i], "from"),
                                      json_string(trace_from_name((enum trace_from)i)));
        }
        return ways;
}

static char *way_text(const struct trace_way *way)
{
        if (way->verdict == TRACE_SENT)
                return text_printf("sent to %zu endpoint%s%s", way->n_endpoints,
                                   way->n_endpoints == 1 ? "" : "s",
                                   way->masquerade ? ", masqueraded" : "");
        return strdup(trace_verdict_name(way->verdict));
}

/* Both texts may be the same although endpoints differ. */
static void note_difference(json_t *list, int from, const struct trace_way *ours,
                            const struct trace_way *kernels)
{
        _cleanup_free_ char *a = way_text(ours), *b = way_text(kernels);
        _cleanup_free_ char *text =
                text_printf("%s: by our books it is %s, by the kernel's %s%s",
                            trace_from_name((enum trace_from)from), a ? a : "?", b ? b : "?",
                            kernels->missing > ours->missing ? ", numbers without an endpoint"
                                                             : ", other ones");

        if (text)
                json_array_append_new(list, json_string(text));
}

static json_t *kernel_json(struct looker *l, const struct trace_query *q, const struct trace *ours)
{
        const struct trace_sets sets = { find_in_kernel, l };
        _cleanup_(trace_done)
        struct trace kernels = { .found_in = _SET_MAX };
        json_t *differences;

        for (int i = 0; i < _TRACE_FROM_MAX; i++)
                if (ours->ways[i].n_endpoints > KERNEL_ENDPOINTS_MAX)
                        return json_pack("{s:b, s:s}", "checked", false, "why",
                                         "there are too many endpoints to look up each");
        if (trace_run(ruleset_table_context(sync_table(l->sync, l->family)), q, &sets, &kernels) <
            0)
                return json_pack("{s:b, s:s}", "checked", false, "why", err_text(l->err));
        differences = json_array();
        for (int i = 0; i < _TRACE_FROM_MAX; i++)
                if (!trace_way_equal(&ours->ways[i], &kernels.ways[i]))
                        note_difference(differences, i, &ours->ways[i], &kernels.ways[i]);
        return json_pack("{s:b, s:b, s:o}", "checked", true, "agrees", trace_equal(ours, &kernels),
                         "differences", differences);
}

static void add_source_ranges(json_t *o, const struct service *s, int family)
{
        json_t *list = json_array();
        char text[CIDR_TEXT_MAX];

        for (size_t i = 0; i < s->n_source_ranges; i++)
                if (s->source_ranges[i].ip.family == family)
                        json_array_append_new(list,
                                              json_string(cidr_format(&s->source_ranges[i], text)));
        json_set(o, "sourceRanges", list);
}

static void add_health_check(json_t *o, const struct known_service *k)
{
        size_t n = 0, more = 0;

        endpoints_count_local((const struct endpoint_slice *const *)k->slices, k->n_slices, AF_INET,
                              &n);
        endpoints_count_local((const struct endpoint_slice *const *)k->slices, k->n_slices,
                              AF_INET6, &more);
        json_set_text(o, "kind", "HealthCheckNodePort");
        json_set_text(o, "service", k->key);
        json_set(o, "healthCheck", json_pack("{s:I}", "localEndpoints", (json_int_t)MAX(n, more)));
}

static bool passes_all(const struct trace *t)
{
        for (int i = 0; i < _TRACE_FROM_MAX; i++)
                if (t->ways[i].verdict != TRACE_PASSES)
                        return false;
        return true;
}

static json_t *answer(struct looker *l, const struct trace_query *q, const struct trace *t,
                      bool is_local)
{
        const struct state *state = sync_state(l->sync);
        const char *owner = find_owner(sync_table(l->sync, l->family), q, t->found_in);
        const struct known_service *k = owner              ? state_service(state, owner)
                                        : t->is_cluster_ip ? find_cluster_ip(state, &q->ip)
                                                           : NULL;
        const struct service_port *port = find_port(k ? k->service : NULL, q,
                                                    is_node_port(t->found_in));
        char text[IP_TEXT_MAX];
        json_t *o = json_pack("{s:s, s:i, s:s, s:s, s:b, s:o, s:o}", "address",
                              ip_format(&q->ip, text), "port", q->port, "protocol",
                              protocol_name(q->protocol), "kind",
                              kind_of(t, q, k ? k->service : NULL), "isNodeAddress", is_local,
                              "ways", ways_json(state, k, port, t), "kernel", kernel_json(l, q, t));

        json_set_text(o, "service", k ? k->key : NULL);
        json_set_text(o, "portName", port && *port->name ? port->name : NULL);
        if (t->ways[TRACE_FROM_OUTSIDE].sticky_sec > 0)
                json_set(o, "affinitySeconds",
                         json_integer(t->ways[TRACE_FROM_OUTSIDE].sticky_sec));
        if (t->is_guarded && k && k->service)
                add_source_ranges(o, k->service, q->ip.family);
        if (k)
                json_set(o, "inForce", json_boolean(!list_contains(&k->dirty)));
        if (is_local && q->protocol == IPPROTO_TCP && passes_all(t)) {
                const struct known_service *checked = find_health_check(state, q->port);

                if (checked)
                        add_health_check(o, checked);
        }
        return o;
}

json_t *trace_json(struct sync *s, const struct ip *ip, uint8_t protocol, uint16_t port,
                   struct err *err)
{
        _cleanup_err_ struct err why = { 0 };
        struct looker l = { s, ip->family == AF_INET6, &why };
        const struct ruleset_table *table = sync_table(s, l.family);
        const struct trace_sets sets = { find_installed, &l };
        bool is_local = is_local_address(ip);
        _cleanup_(trace_done)
        struct trace t = { .found_in = _SET_MAX };
        struct trace_query q;
        json_t *o;

        if (!table || !ruleset_table_context(table)->family) {
                err_set(err, -ENODATA, "nothing is installed for IPv%c %s",
                        ip->family == AF_INET6 ? '6' : '4',
                        table ? "yet" : "on this node: it has no IPv6");
                return NULL;
        }
        q = make_query(table, ip, protocol, port, is_local);
        o = trace_run(ruleset_table_context(table), &q, &sets, &t) < 0
                    ? NULL
                    : answer(&l, &q, &t, is_local);
        if (!o)
                err_sys(err, -ENOMEM, "trace");
        return o;
}

static const char *brief_reason(const struct ruleset_context *ctx, const struct trace_way *way,
                                const char *owner, const struct service *service,
                                const struct ip *ip)
{
        if (owner && !streq(owner, service->key))
                return "another Service has it";
        if (owner || way->verdict != TRACE_PASSES)
                return trace_reason_text(way->reason);
        return has_ip(ctx->node_addresses, ctx->n_node_addresses, ip)
                       ? "it is a node's own address, and left out"
                       : "it is not installed";
}

json_t *trace_json_brief(struct sync *s, const struct service *service, const char *kind,
                         const struct ip *ip, const struct service_port *port)
{
        struct looker l = { s, ip->family == AF_INET6, NULL };
        const struct ruleset_table *table = sync_table(s, l.family);
        const struct trace_sets sets = { find_installed, &l };
        bool node_port = streq(kind, "NodePort");
        uint16_t number = node_port ? port->node_port : port->port;
        _cleanup_(trace_done)
        struct trace t = { .found_in = _SET_MAX };
        struct trace_query q;
        const struct trace_way *way;
        const char *why, *owner;
        char text[IP_TEXT_MAX];
        json_t *o = json_pack("{s:s, s:i, s:s}", "kind", kind, "port", number, "protocol",
                              protocol_name(port->protocol));

        if (!node_port)
                json_set_text(o, "address", ip_format(ip, text));
        else
                json_set_text(o, "family", ip->family == AF_INET6 ? "IPv6" : "IPv4");
        if (!table || !ruleset_table_context(table)->family)
                return o;
        q = make_query(table, ip, port->protocol, number, false);
        q.serves_node_ports = node_port;
        if (trace_run(ruleset_table_context(table), &q, &sets, &t) < 0)
                return o;
        owner = find_owner(table, &q, t.found_in);
        /* cluster IPs are there for pods, the others for who is outside */
        way = &t.ways[streq(kind, "ClusterIP") ? TRACE_FROM_PODS : TRACE_FROM_OUTSIDE];
        why = brief_reason(ruleset_table_context(table), way, owner, service, ip);
        json_set_text(o, "verdict", trace_verdict_name(way->verdict));
        json_set_text(o, "why", *why ? why : NULL);
        json_set(o, "endpoints", json_integer((json_int_t)way->n_endpoints));
        json_set(o, "masquerade", json_boolean(way->masquerade));
        if (owner && !streq(owner, service->key))
                json_set_text(o, "owner", owner);
        return o;
}
