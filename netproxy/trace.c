#include "netproxy/trace.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void trace_done(struct trace *t)
{
        for (size_t i = 0; i < _TRACE_FROM_MAX; i++)
                free(t->ways[i].endpoints);
        *t = (struct trace){ .found_in = _SET_MAX };
}

bool trace_way_equal(const struct trace_way *a, const struct trace_way *b)
{
        if (a->verdict != b->verdict || a->reason != b->reason || a->masquerade != b->masquerade ||
            a->sticky_sec != b->sticky_sec || a->missing != b->missing ||
            a->n_endpoints != b->n_endpoints)
                return false;
        for (size_t i = 0; i < a->n_endpoints; i++)
                if (a->endpoints[i].port != b->endpoints[i].port ||
                    !ip_equal(&a->endpoints[i].ip, &b->endpoints[i].ip))
                        return false;
        return true;
}

bool trace_equal(const struct trace *a, const struct trace *b)
{
        for (size_t i = 0; i < _TRACE_FROM_MAX; i++)
                if (!trace_way_equal(&a->ways[i], &b->ways[i]))
                        return false;
        return a->is_cluster_ip == b->is_cluster_ip && a->is_guarded == b->is_guarded;
}

const char *trace_verdict_name(enum trace_verdict v)
{
        static const char *const names[] = { "passes", "sent", "refused", "dropped" };
        static_assert(ARRAY_SIZE(names) == _TRACE_VERDICT_MAX, "a verdict has no name");

        return names[v];
}

const char *trace_from_name(enum trace_from f)
{
        static const char *const names[] = { "pods", "node", "outside" };
        static_assert(ARRAY_SIZE(names) == _TRACE_FROM_MAX, "a sender has no name");

        return names[f];
}

const char *trace_reason_text(enum trace_reason r)
{
        static const char *const texts[] = {
                [TRACE_BECAUSE_NOTHING] = "",
                [TRACE_BECAUSE_NO_ENDPOINTS] = "the Service has no endpoint that serves",
                [TRACE_BECAUSE_NO_LOCAL_ENDPOINTS] =
                        "the traffic policy is Local, and no endpoint that serves is on this node",
                [TRACE_BECAUSE_NO_SUCH_PORT] = "the Service with this cluster IP has no such port",
                [TRACE_BECAUSE_NO_SUCH_SERVICE] = "no Service has this cluster IP",
                [TRACE_BECAUSE_LOOPBACK] = "node ports are not served on loopback addresses",
        };
        static_assert(ARRAY_SIZE(texts) == _TRACE_REASON_MAX, "a reason has no text");

        return texts[r];
}

/* One walk: of the packets of one kind of sender. */
struct walk {
        const struct ruleset_context *ctx;
        const struct trace_query *q;
        const struct trace_sets *sets;
        enum trace_from from;
        struct trace *trace;
        struct trace_way *way;
};

static int find(const struct walk *w, enum ruleset_set set, void *ret_value)
{
        uint8_t key[RULESET_KEY_MAX] = { 0 };

        switch (set) {
        case SET_CLUSTER_IPS:
                memcpy(key, w->q->ip.bytes, ip_len(&w->q->ip));
                break;
        case SET_SERVICE_NODE_PORTS:
        case SET_SHORT_NODE_PORTS:
        case SET_NO_ENDPOINT_NODE_PORTS:
                ruleset_key_node_port(w->q->protocol, w->q->port, key);
                break;
        default:
                ruleset_key_service(&w->q->ip, w->q->protocol, w->q->port, key);
                break;
        }
        return w->sets->find(set, key, ret_value, w->sets->userdata);
}

/* ---- translation ---- */

/* Do the rules know what this sender sends from what others do? */
static bool is_known_pod(const struct walk *w)
{
        return w->from == TRACE_FROM_PODS && w->ctx->detector != DETECTOR_NONE;
}

/* "to a cluster IP from outside: hide the source"; see build_services(). */
static bool is_hidden_at_cluster_ip(const struct walk *w)
{
        if (w->ctx->masquerade_all)
                return true;
        switch (w->ctx->detector) {
        case DETECTOR_NONE:
                return false;
        case DETECTOR_INTERFACE:
        case DETECTOR_PREFIX: /* what the node sends comes in by no interface: no match */
                return w->from == TRACE_FROM_OUTSIDE;
        default:
                return w->from != TRACE_FROM_PODS;
        }
}

static bool takes_local(const struct ruleset_target *t)
{
        return t->variant == TARGET_LOCAL || t->variant == TARGET_EXTERNAL_LOCAL;
}

static int add_endpoints(const struct walk *w, const struct ruleset_target *t)
{
        uint32_t first = takes_local(t) ? LOCAL_INDEX : 0;
        struct trace_endpoint *items = calloc(t->count + 1U, sizeof *items);

        if (!items)
                return -ENOMEM;
        w->way->endpoints = items;
        for (uint32_t i = 0; i < t->count; i++) {
                uint8_t key[RULESET_KEY_MAX], value[RULESET_VALUE_MAX];
                int r;

                ruleset_key_endpoint(t, &w->q->ip, w->q->protocol, w->q->port, first + i, key);
                r = w->sets->find(ruleset_endpoint_set(t), key, value, w->sets->userdata);
                if (r < 0)
                        return r;
                if (r == 0) {
                        w->way->missing++;
                        continue;
                }
                ruleset_read_endpoint(t, w->ctx->family, value, &items[w->way->n_endpoints].ip,
                                      &items[w->way->n_endpoints].port);
                w->way->n_endpoints++;
        }
        if (w->way->n_endpoints > 0)
                w->way->verdict = TRACE_SENT;
        w->way->sticky_sec = t->sticky_sec;
        return 0;
}

/* Policy Local, asked from inside: as if it were Cluster. */
static int take_short_circuit(const struct walk *w, struct ruleset_target *t)
{
        bool from_node = w->from == TRACE_FROM_NODE;

        if (t->variant != TARGET_EXTERNAL_LOCAL || !(from_node || is_known_pod(w)))
                return 0;
        w->way->masquerade |= from_node;
        return find(w, t->kind == TARGET_NODE_PORT ? SET_SHORT_NODE_PORTS : SET_SHORT_IPS, t);
}

static int translate(const struct walk *w, enum ruleset_set dispatch)
{
        struct ruleset_target t;
        int r = find(w, dispatch, &t);

        if (r <= 0)
                return r;
        w->trace->found_in = dispatch;
        w->way->masquerade |= t.variant == TARGET_MASQUERADE;
        r = take_short_circuit(w, &t);
        if (r < 0)
                return r;
        return ruleset_target_has_chain(&t) ? add_endpoints(w, &t) : 0;
}

/* ---- what nothing translated ---- */
static int refuse(const struct walk *w, enum ruleset_set set)
{
        struct ruleset_target t;
        int r = find(w, set, &t);

        if (r <= 0)
                return r;
        w->trace->found_in = set;
        w->way->verdict = t.kind == TARGET_DROP ? TRACE_DROPPED : TRACE_REFUSED;
        w->way->reason = t.kind == TARGET_DROP ? TRACE_BECAUSE_NO_LOCAL_ENDPOINTS
                                               : TRACE_BECAUSE_NO_ENDPOINTS;
        return 0;
}

static int filter(const struct walk *w)
{
        int r = refuse(w, SET_NO_ENDPOINT_IPS);

        if (r == 0 && w->way->verdict == TRACE_PASSES && w->q->serves_node_ports)
                r = refuse(w, SET_NO_ENDPOINT_NODE_PORTS);
        if (r < 0 || w->way->verdict != TRACE_PASSES)
                return r;
        if (w->trace->is_cluster_ip) {
                w->way->verdict = TRACE_REFUSED;
                w->way->reason = TRACE_BECAUSE_NO_SUCH_PORT;
        } else if (w->q->is_handed_out) {
                w->way->verdict = TRACE_DROPPED;
                w->way->reason = TRACE_BECAUSE_NO_SUCH_SERVICE;
        } else if (ip_is_loopback(&w->q->ip)) {
                r = find(w, SET_SERVICE_NODE_PORTS, NULL);
                if (r > 0)
                        w->way->reason = TRACE_BECAUSE_LOOPBACK;
        }
        return MIN(r, 0);
}

static int walk(const struct walk *w)
{
        int r;

        w->way->masquerade = w->trace->is_cluster_ip && is_hidden_at_cluster_ip(w);
        r = translate(w, SET_SERVICE_IPS);
        if (r == 0 && w->trace->found_in != SET_SERVICE_IPS && w->q->serves_node_ports) {
                r = translate(w, SET_SERVICE_NODE_PORTS);
                w->way->by_node_port = w->way->verdict == TRACE_SENT;
        }
        if (r == 0 && w->way->verdict != TRACE_SENT)
                r = filter(w);
        w->way->masquerade &= w->way->verdict == TRACE_SENT;
        return r;
}

int trace_run(const struct ruleset_context *ctx, const struct trace_query *q,
              const struct trace_sets *sets, struct trace *ret)
{
        _cleanup_(trace_done)
        struct trace t = { .found_in = _SET_MAX };
        struct walk w = { .ctx = ctx, .q = q, .sets = sets, .trace = &t };
        int r = find(&w, SET_CLUSTER_IPS, NULL);

        if (r < 0)
                return r;
        t.is_cluster_ip = r > 0;
        r = find(&w, SET_FIREWALL_IPS, NULL);
        if (r < 0)
                return r;
        t.is_guarded = r > 0;
        for (int from = 0; from < _TRACE_FROM_MAX; from++) {
                w.from = (enum trace_from)from;
                w.way = &t.ways[from];
                r = walk(&w);
                if (r < 0)
                        return r;
        }
        *ret = t;
        t = (struct trace){ .found_in = _SET_MAX };
        return 0;
}
