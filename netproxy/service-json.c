#include "netproxy/service-json.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "netproxy/trace-json.h"

static json_t *ips_json(const struct ip *ips, size_t n)
{
        json_t *list = json_array();
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, json_string(ip_format(&ips[i], text)));
        return list;
}

/* Sets what is not empty. */
static void set_ips(json_t *o, const char *key, const struct ip *ips, size_t n)
{
        if (n > 0)
                json_set(o, key, ips_json(ips, n));
}

static json_t *port_json(const struct service_port *p)
{
        json_t *o = json_pack("{s:s, s:i}", "protocol", protocol_name(p->protocol), "port",
                              p->port);

        json_set_text(o, "name", *p->name ? p->name : NULL);
        if (p->node_port)
                json_set(o, "nodePort", json_integer(p->node_port));
        return o;
}

/* Addresses, each counted once whatever its ports. */
static json_t *counts_json(const struct known_service *k)
{
        size_t total = 0, ready = 0, serving = 0, terminating = 0, local = 0;

        for (size_t f = 0; f < FAMILIES; f++) {
                _cleanup_(endpoint_list_done)
                struct endpoint_list l = { 0 };

                if (endpoints_collect_addresses((const struct endpoint_slice *const *)k->slices,
                                                k->n_slices, family_of_index(f), &l) < 0)
                        return NULL;
                total += l.n;
                for (size_t i = 0; i < l.n; i++) {
                        ready += (l.items[i].flags & ENDPOINT_READY) != 0;
                        serving += (l.items[i].flags & ENDPOINT_SERVING) != 0;
                        terminating += (l.items[i].flags & ENDPOINT_TERMINATING) != 0;
                        local += (l.items[i].flags & ENDPOINT_LOCAL) != 0;
                }
        }
        return json_pack("{s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)total, "ready",
                         (json_int_t)ready, "serving", (json_int_t)serving, "terminating",
                         (json_int_t)terminating, "local", (json_int_t)local);
}

static bool is_external(const struct service *s)
{
        for (size_t i = 0; i < s->n_ports; i++)
                for (size_t f = 0; f < FAMILIES; f++)
                        if (service_port_is_external(s, &s->ports[i], family_of_index(f)))
                                return true;
        return false;
}

static void add_source_ranges(json_t *o, const struct service *s)
{
        json_t *list;
        char text[CIDR_TEXT_MAX];

        if (s->n_source_ranges == 0)
                return;
        list = json_array();
        for (size_t i = 0; i < s->n_source_ranges; i++)
                json_array_append_new(list, json_string(cidr_format(&s->source_ranges[i], text)));
        json_set(o, "loadBalancerSourceRanges", list);
}

json_t *service_json_brief(const struct state *state, const struct known_service *k)
{
        const struct service *s = k->service;
        const char *slash = strchr(k->key, '/');
        json_t *ports = json_array();
        json_t *o = json_pack("{s:s%, s:s, s:s, s:o, s:o, s:o, s:s, s:b}", "namespace", k->key,
                              (size_t)(slash - k->key), "name", slash + 1, "type",
                              service_type_name(s), "clusterIPs",
                              ips_json(s->cluster_ips, s->n_cluster_ips), "ports", ports,
                              "endpoints", counts_json(k), "internalTrafficPolicy",
                              s->internal_local ? "Local" : "Cluster", "inForce",
                              !list_contains(&k->dirty) && !state_has_changes(state));

        for (size_t i = 0; o && i < s->n_ports; i++)
                json_array_append_new(ports, port_json(&s->ports[i]));
        if (!o)
                return NULL;
        set_ips(o, "externalIPs", s->external_ips, s->n_external_ips);
        set_ips(o, "loadBalancerIPs", s->vips, s->n_vips);
        add_source_ranges(o, s);
        if (is_external(s))
                json_set_text(o, "externalTrafficPolicy", s->external_local ? "Local" : "Cluster");
        if (s->affinity_sec)
                json_set(o, "sessionAffinitySeconds", json_integer(s->affinity_sec));
        if (s->health_check_node_port)
                json_set(o, "healthCheckNodePort", json_integer(s->health_check_node_port));
        return o;
}

/* ---- one in full ---- */
static json_t *fate_json(const struct endpoint *e, const struct endpoint_policy *p)
{
        enum endpoint_fate fate = endpoint_fate_of(e, p);
        const char *why = endpoint_fate_text(fate);
        json_t *o = json_pack("{s:b}", "chosen", endpoint_is_chosen(fate));

        json_set_text(o, "why", *why ? why : NULL);
        return o;
}

static json_t *endpoint_json(const struct state *state, const struct endpoint *e)
{
        bool local = e->flags & ENDPOINT_LOCAL;
        const char *name = local ? state->node_name : e->node;
        const struct node *node = state_node(state, name);
        char text[IP_TEXT_MAX];
        json_t *o = json_pack("{s:s, s:i, s:b, s:b, s:b, s:b}", "address", ip_format(&e->ip, text),
                              "port", e->port, "ready", (e->flags & ENDPOINT_READY) != 0, "serving",
                              (e->flags & ENDPOINT_SERVING) != 0, "terminating",
                              (e->flags & ENDPOINT_TERMINATING) != 0, "local", local);

        json_set_text(o, "node", *name ? name : NULL);
        json_set_text(o, "zone", node && *node->zone ? node->zone : NULL);
        if (e->zones) {
                json_t *zones = json_array();

                STRV_FOREACH (z, e->zones)
                        json_array_append_new(zones, json_string(*z));
                json_set(o, "zoneHints", zones);
        }
        return o;
}

/* "inside": what asks its cluster IP; "outside": what asks its other addresses. */
static void add_endpoints(json_t *list, const struct state *state, const struct known_service *k,
                          const struct service_port *port, int family)
{
        const char *zone = state->own ? state->own->zone : "";
        _cleanup_(endpoint_list_done)
        struct endpoint_list all = { 0 };
        struct endpoint_policy inside, outside;

        if (endpoints_collect((const struct endpoint_slice *const *)k->slices, k->n_slices,
                              port->name, port->protocol, family, &all) < 0)
                return;
        inside = endpoint_policy_of(&all, k->service->internal_local, zone);
        outside = endpoint_policy_of(&all, k->service->external_local, zone);
        for (size_t i = 0; i < all.n; i++) {
                json_t *o = endpoint_json(state, &all.items[i]);

                json_set(o, "inside", fate_json(&all.items[i], &inside));
                if (service_port_is_external(k->service, port, family))
                        json_set(o, "outside", fate_json(&all.items[i], &outside));
                json_array_append_new(list, o);
        }
}

static void add_traces(json_t *list, struct sync *sync, const struct service *s, const char *kind,
                       const struct ip *ips, size_t n, const struct service_port *port)
{
        for (size_t i = 0; i < n; i++)
                json_array_append_new(list, trace_json_brief(sync, s, kind, &ips[i], port));
}

static void add_addresses(json_t *list, struct sync *sync, const struct service *s,
                          const struct service_port *port)
{
        add_traces(list, sync, s, "ClusterIP", s->cluster_ips, s->n_cluster_ips, port);
        add_traces(list, sync, s, "ExternalIP", s->external_ips, s->n_external_ips, port);
        add_traces(list, sync, s, "LoadBalancer", s->vips, s->n_vips, port);
        for (size_t f = 0; port->node_port && f < FAMILIES; f++) {
                struct ip zero = { .family = (uint8_t)family_of_index(f) };

                if (service_cluster_ip(s, zero.family))
                        add_traces(list, sync, s, "NodePort", &zero, 1, port);
        }
}

json_t *service_json_full(struct sync *sync, const struct known_service *k)
{
        const struct state *state = sync_state(sync);
        json_t *o = service_json_brief(state, k), *addresses = json_array();
        const struct service *s = k->service;

        for (size_t i = 0; o && i < s->n_ports; i++) {
                json_t *list = json_array();

                for (size_t f = 0; f < FAMILIES; f++)
                        add_endpoints(list, state, k, &s->ports[i], family_of_index(f));
                json_set(json_array_get(json_object_get(o, "ports"), i), "endpoints", list);
                add_addresses(addresses, sync, s, &s->ports[i]);
        }
        if (!o) {
                json_decref(addresses);
                return NULL;
        }
        json_set(o, "addresses", addresses);
        return o;
}

/* ---- the proxy itself ---- */
static json_t *family_json(const struct sync *s, size_t i)
{
        const struct sync_family_status *f = sync_status(s, i);
        json_t *o = json_pack("{s:s, s:b, s:I, s:I}", "family", i == 0 ? "IPv4" : "IPv6", "inForce",
                              f->synced_at > 0 && f->waiting_since == 0 && !f->missing, "syncs",
                              (json_int_t)f->syncs, "failures", (json_int_t)f->failures);
        char text[TIME_TEXT_MAX];

        if (f->synced_at)
                json_set_text(o, "lastSync", time_format(f->synced_at, text));
        if (f->waiting_since)
                json_set_text(o, "waitingSince",
                              time_format(now_realtime() - (now_monotonic() - f->waiting_since),
                                          text));
        json_set_text(o, "missing", f->missing);
        json_set(o, "elements", json_integer((json_int_t)ruleset_table_count(sync_table(s, i))));
        return o;
}

json_t *service_json_proxy(const struct sync *s, const struct state *state)
{
        const char *zone = state->own ? state->own->zone : "";
        json_t *families = json_array(),
               *o = json_pack("{s:s, s:s, s:o}", "node", state->node_name, "version", SKIFF_VERSION,
                              "families", families);

        json_set_text(o, "zone", *zone ? zone : NULL);
        for (size_t i = 0; i < FAMILIES; i++)
                if (sync_table(s, i))
                        json_array_append_new(families, family_json(s, i));
        return o;
}
