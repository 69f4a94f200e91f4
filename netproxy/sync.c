#include "netproxy/sync.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "netproxy/conntrack.h"
#include "netproxy/family.h"
#include "netproxy/local-addresses.h"
#include "netproxy/node-routes.h"
#include "netproxy/service-health.h"

enum {
        INTERVAL_MIN_MSEC = 10,     /* between two syncs, unless the file says otherwise */
        INTERVAL_PER_DURATION = 20, /* so that we take at most 5 % of a CPU */
        LARGE_SYNC = 1000,          /* operations after which memory is given back */
        COLLECT_SEC = 3,            /* until chains without use go */
        UNSUPPORTED_RETRY_SEC = 300,
};

struct family_sync {
        struct family *family; /* owned; NULL: not in use */
        struct sync_family_status status;
        char *missing;   /* owned; behind status.missing */
        usec_t retry_at; /* CLOCK_MONOTONIC; while something is missing: not before */
};

struct sync {
        sd_event *event; /* borrowed */
        struct sync_options options;
        struct state state;
        struct family_links *links; /* owned */
        struct family_sync families[FAMILIES];
        struct network network; /* what the contexts point into */
        char *zone;             /* owned; likewise */
        struct ip node_ips[FAMILIES];
        struct node_routes *routes;              /* owned; NULL: could not be watched */
        struct local_addresses_watch *addresses; /* owned; NULL: not needed */
        struct service_health *service_health;   /* owned */
        struct udp_plan stale_flows;             /* of changes since flows were looked at */
        sd_event_source *timer;                  /* owned; the next sync, when one is due */
        sd_event_source *sweep;                  /* owned; the next look at flows */
        sd_event_source *collect;                /* owned */
        usec_t ended_at, duration_usec;          /* of the last sync, CLOCK_MONOTONIC */
        usec_t swept_at, sweep_usec; /* when flows were looked at last, and what it took */
        bool is_ready, addresses_changed, has_trimmed;
};

usec_t sync_interval(const struct proxy_config *c, usec_t duration_usec)
{
        usec_t adapted = MAX(duration_usec * INTERVAL_PER_DURATION,
                             INTERVAL_MIN_MSEC * USEC_PER_MSEC);

        return c->min_sync_period_given ? c->min_sync_period_usec
                                        : MIN(adapted, c->min_sync_period_usec);
}

/* ---- when ---- */
/* Sets a timer, or makes it when there is none yet; the earlier of two dates stands. */
static void arm(struct sync *s, sd_event_source **timer, usec_t due, sd_event_time_handler_t fn)
{
        usec_t before;
        int enabled = SD_EVENT_OFF, r;

        if (*timer && sd_event_source_get_enabled(*timer, &enabled) >= 0 &&
            enabled != SD_EVENT_OFF && sd_event_source_get_time(*timer, &before) >= 0 &&
            before <= due)
                return;
        if (!*timer) {
                r = sd_event_add_time(s->event, timer, CLOCK_MONOTONIC, due, ACCURACY_USEC, fn, s);
                /* whatever else is ready is read first, and goes into the same transaction */
                if (r >= 0)
                        r = sd_event_source_set_priority(*timer, SD_EVENT_PRIORITY_IDLE);
        } else {
                r = sd_event_source_set_time(*timer, due);
                if (r >= 0)
                        r = sd_event_source_set_enabled(*timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_warn(r, "Failed to arm a timer of the sync");
}

static int on_due(sd_event_source *source, uint64_t due_usec, void *userdata);

static void arm_sync(struct sync *s, usec_t due)
{
        arm(s, &s->timer, due, on_due);
}

void sync_request(struct sync *s)
{
        usec_t now = now_monotonic();

        for (size_t i = 0; i < FAMILIES; i++) {
                struct sync_family_status *status = &s->families[i].status;

                status->queued_at = now_realtime();
                if (s->families[i].family && status->waiting_since == 0)
                        status->waiting_since = now;
        }
        if (s->is_ready)
                arm_sync(s, MAX(now,
                                s->ended_at + sync_interval(s->options.config, s->duration_usec)));
}

void sync_set_ready(struct sync *s)
{
        if (s->is_ready)
                return;
        s->is_ready = true;
        s->state.network_changed = true;
        sync_request(s);
}

/* Repair does not wait for minSyncPeriod; somebody who flushes in a loop does not get all the CPU.
 */
static void on_meddled(void *userdata)
{
        struct sync *s = userdata;

        if (!s->is_ready)
                return;
        log_notice("Somebody changed our nftables, repairing");
        arm_sync(s, MAX(now_monotonic(),
                        s->ended_at + MAX(s->duration_usec * INTERVAL_PER_DURATION / 2,
                                          INTERVAL_MIN_MSEC * USEC_PER_MSEC)));
}

static void on_addresses_changed(void *userdata)
{
        struct sync *s = userdata;

        s->addresses_changed = true;
        sync_request(s);
}

/* ---- what: the network around the Services ---- */
static bool has_cni_config(const struct sync *s)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(AT_FDCWD, s->options.cni_dir, &names) < 0)
                return false;
        STRV_FOREACH (name, names)
                if (endswith(*name, ".conflist") || endswith(*name, ".conf") ||
                    endswith(*name, ".json"))
                        return true;
        return false;
}

static bool makes_pod_routes(const struct sync *s)
{
        if (s->options.pod_routes == POD_ROUTES_AUTO)
                return !has_cni_config(s);
        return s->options.pod_routes == POD_ROUTES_ON;
}

static size_t count_family(const struct ip_range *ranges, size_t n, int family)
{
        size_t count = 0;

        for (size_t i = 0; i < n; i++)
                count += ranges[i].first.family == family;
        return count;
}

/* clusterCIDR where it has one of this family, else what the Nodes say. */
static int set_pod_ranges(struct sync *s, struct ruleset_table *t, int family, bool *ret_any)
{
        const struct proxy_config *c = s->options.config;
        struct ip_range configured[ARRAY_SIZE(c->cluster_cidrs)];
        size_t n = 0;

        for (size_t i = 0; i < c->n_cluster_cidrs; i++)
                if (c->cluster_cidrs[i].ip.family == family)
                        configured[n++] = cidr_range(&c->cluster_cidrs[i]);
        *ret_any = n > 0 || count_family(s->network.pods, s->network.n_pods, family) > 0;
        return n > 0 ? ruleset_table_set_ranges(t, SET_POD_IPS, configured, n)
                     : ruleset_table_set_ranges(t, SET_POD_IPS, s->network.pods, s->network.n_pods);
}

static int set_cluster_net(struct sync *s, struct ruleset_table *t)
{
        const struct proxy_config *c = s->options.config;
        _cleanup_free_ struct ip_range *ranges = NULL;
        size_t n = 0;
        int r = network_unmasqueraded(&s->network, c->cluster_cidrs, c->n_cluster_cidrs, &ranges,
                                      &n);

        return r < 0 ? r : ruleset_table_set_ranges(t, SET_CLUSTER_NET, ranges, n);
}

static int set_service_cidrs(struct sync *s, struct ruleset_table *t)
{
        size_t n = 2 * map_size(s->state.service_cidrs), count = 0;
        _cleanup_free_ struct ip_range *ranges = calloc(n + 1, sizeof *ranges);
        struct cidr *cidrs;
        const char *key;

        if (!ranges)
                return -ENOMEM;
        MAP_FOREACH (key, cidrs, s->state.service_cidrs)
                for (size_t i = 0; i < 2; i++)
                        if (cidrs[i].ip.family)
                                ranges[count++] = cidr_range(&cidrs[i]);
        return ruleset_table_set_ranges(t, SET_SERVICE_CIDRS, ranges, count);
}

/* They serve node ports, and with them the health of Services. */
static int take_node_port_ips(struct sync *s, struct ruleset_table *t, size_t family, bool any,
                              const struct ip_range *ips, size_t n)
{
        int r = service_health_set_addresses(s->service_health, family, any, ips, n);

        return r < 0 ? r : ruleset_table_set_ranges(t, SET_NODE_PORT_IPS, ips, n);
}

/* Which local addresses serve node ports; *ret_any: all of them. */
static int set_node_port_ips(struct sync *s, struct ruleset_table *t, size_t family, bool *ret_any)
{
        const struct proxy_config *c = s->options.config;
        const struct ip *primary = &s->node_ips[family];
        _cleanup_free_ struct ip_range *found = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct ip_range one = { *primary, *primary };
        size_t n = 0, n_cidrs = 0;

        *ret_any = false;
        if (c->node_ports_on_primary) {
                /* a node that is not known by an address of the family serves on all it has */
                *ret_any = primary->family == 0;
                return take_node_port_ips(s, t, family, *ret_any, &one, *ret_any ? 0 : 1);
        }
        for (size_t i = 0; i < c->n_node_port_cidrs; i++) {
                if (c->node_port_cidrs[i].ip.family != family_of_index(family))
                        continue;
                n_cidrs++;
                *ret_any |= c->node_port_cidrs[i].prefix == 0;
        }
        *ret_any |= n_cidrs == 0;
        if (!*ret_any &&
            local_addresses_within(c->node_port_cidrs, c->n_node_port_cidrs, &found, &n, &err) < 0)
                log_warn(0, "Failed to find the addresses for node ports: %s", err_text(&err));
        return take_node_port_ips(s, t, family, *ret_any, found, n);
}

static enum ruleset_detector detector_of(const struct sync *s, int family, bool any_pods)
{
        switch (s->options.config->detect_local) {
        case DETECT_LOCAL_NODE_CIDR:
                return count_family(s->network.own_pods, s->network.n_own_pods, family) > 0
                               ? DETECTOR_NODE_POD_IPS
                               : DETECTOR_NONE;
        case DETECT_LOCAL_BRIDGE_INTERFACE:
                return DETECTOR_INTERFACE;
        case DETECT_LOCAL_INTERFACE_NAME_PREFIX:
                return DETECTOR_PREFIX;
        default:
                return any_pods ? DETECTOR_POD_IPS : DETECTOR_NONE;
        }
}

static int set_context(struct sync *s, size_t i, bool pod_routes)
{
        const struct proxy_config *c = s->options.config;
        struct ruleset_table *t = family_wanted(s->families[i].family);
        int family = family_of_index(i), r;
        struct ruleset_context ctx = {
                .family = family,
                .mark = UINT32_C(1) << c->masquerade_bit,
                .masquerade_all = c->masquerade_all,
                .masquerade_pods = pod_routes,
                .drop_invalid = !c->tcp_be_liberal,
                .interface = c->detect_local == DETECT_LOCAL_BRIDGE_INTERFACE
                                     ? c->bridge_interface
                                     : c->interface_name_prefix,
                .node_ip = s->node_ips[i],
                .node_addresses = s->network.addresses,
                .n_node_addresses = s->network.n_addresses,
                .zone = s->zone,
        };
        bool any_pods = false;

        r = set_pod_ranges(s, t, family, &any_pods);
        if (r == 0)
                r = ruleset_table_set_ranges(t, SET_NODE_POD_IPS, s->network.own_pods,
                                             s->network.n_own_pods);
        if (r == 0)
                r = set_cluster_net(s, t);
        if (r == 0)
                r = set_service_cidrs(s, t);
        if (r == 0)
                r = set_node_port_ips(s, t, i, &ctx.node_ports_any);
        ctx.detector = detector_of(s, family, any_pods);
        return r == 0 ? ruleset_table_set_context(t, &ctx) : r;
}

/* What Services are built with: when it changed, all of them are built anew. */
static int take_network(struct sync *s, const struct node *const *nodes, size_t n)
{
        const struct node *own = s->state.own;
        const struct ip *bind = &s->options.config->bind_address;
        _cleanup_(network_done)
        struct network old = s->network;
        _cleanup_free_ char *zone = strdup(own ? own->zone : "");
        bool changed;
        int r;

        if (!zone)
                return -ENOMEM;
        s->network = (struct network){ 0 };
        r = network_build(nodes, n, own, &s->network);
        if (r < 0) {
                s->network = TAKE_VALUE(old);
                return r;
        }
        changed = !s->zone || !streq(zone, s->zone) || old.n_addresses != s->network.n_addresses ||
                  (old.n_addresses > 0 && memcmp(old.addresses, s->network.addresses,
                                                 old.n_addresses * sizeof *old.addresses) != 0);
        free(s->zone);
        s->zone = TAKE_PTR(zone);
        for (size_t i = 0; i < FAMILIES; i++) {
                const struct ip *ip = own ? node_address(own, family_of_index(i)) : NULL;
                struct ip now = ip ? *ip : (struct ip){ 0 };

                if (bind->family == family_of_index(i) && !ip_is_unspecified(bind))
                        now = *bind;
                changed |= !ip_equal(&now, &s->node_ips[i]);
                s->node_ips[i] = now;
        }
        if (changed)
                state_touch_all(&s->state);
        return 0;
}

static int sync_network(struct sync *s)
{
        _cleanup_free_ const struct node **nodes = NULL;
        _cleanup_free_ struct node_route *routes = NULL;
        size_t n = 0, n_routes = 0;
        bool pod_routes;
        int r;

        if (!s->state.network_changed && !s->addresses_changed)
                return 0;
        r = state_nodes(&s->state, &nodes, &n);
        if (r == 0)
                r = take_network(s, nodes, n);
        if (r < 0)
                return r;
        pod_routes = makes_pod_routes(s);
        for (size_t i = 0; r == 0 && i < FAMILIES; i++)
                if (s->families[i].family)
                        r = set_context(s, i, pod_routes);
        if (r == 0 && pod_routes)
                r = node_routes_wanted(nodes, n, s->state.own, &routes, &n_routes);
        /* as long as our own Node is not known nothing is taken away either */
        if (r == 0 && s->routes && (s->state.own || !pod_routes))
                r = node_routes_set(s->routes, routes, n_routes);
        if (r == 0)
                s->state.network_changed = s->addresses_changed = false;
        return r;
}

/* ---- one sync ---- */
static void on_dirty(const struct known_service *k, const struct service *before, void *userdata)
{
        struct sync *s = userdata;

        if (udp_plan_add(&s->stale_flows, before, k->service,
                         (const struct endpoint_slice *const *)k->slices, k->n_slices) < 0 ||
            service_health_want(s->service_health, k) < 0)
                log_oom();
}

static double seconds_since(usec_t begun)
{
        return (double)(now_monotonic() - begun) / USEC_PER_SEC;
}

/* A walk through the whole machine's connections: some tens of milliseconds on a large table. */
static int on_sweep(_unused_ sd_event_source *source, _unused_ uint64_t due_usec, void *userdata)
{
        struct sync *s = userdata;
        usec_t begun = now_monotonic();

        for (size_t i = 0; i < FAMILIES && s->stale_flows.n > 0; i++) {
                struct sync_family_status *status = &s->families[i].status;
                _cleanup_err_ struct err err = { 0 };
                usec_t family_begun = now_monotonic();
                size_t n = 0;

                if (!s->families[i].family || status->missing)
                        continue;
                if (conntrack_forget(family_of_index(i), &s->stale_flows, &n, &err) < 0)
                        log_warn(0, "Some UDP clients may stay with endpoints that have gone: %s",
                                 err_text(&err));
                histogram_observe(&status->sweeps, seconds_since(family_begun));
                status->flows_forgotten += n;
                if (n > 0)
                        log_debug("Forgot %zu UDP flows of endpoints that have gone", n);
        }
        udp_plan_done(&s->stale_flows);
        s->swept_at = now_monotonic();
        s->sweep_usec = s->swept_at - begun;
        return 0;
}

static void arm_sweep(struct sync *s)
{
        if (s->stale_flows.n > 0)
                arm(s, &s->sweep,
                    MAX(now_monotonic(), s->swept_at + s->sweep_usec * INTERVAL_PER_DURATION),
                    on_sweep);
}

static void set_missing(struct family_sync *f, const char *what)
{
        if (!streq_null(f->missing, what) && what)
                log_warn(0,
                         "Services are not routed: %s. Going on without, next look in %d minutes",
                         what, UNSUPPORTED_RETRY_SEC / 60);
        if (f->missing && !what)
                log_notice("nf_tables is there now: Services are routed");
        free(f->missing);
        f->missing = strdup_null(what);
        f->status.missing = f->missing ? f->missing : what ? "nf_tables" : NULL;
}

/* From when a controller saw a pod change, by its own clock, until that is in force here. */
static void observe_programming(struct sync *s, size_t i)
{
        struct triggers *t = &s->state.triggers[i];
        usec_t now = now_realtime();

        for (size_t k = 0; k < t->n; k++)
                if (t->items[k] <= now)
                        histogram_observe(&s->families[i].status.programming,
                                          (double)(now - t->items[k]) / USEC_PER_SEC);
        t->n = 0;
}

/* @begun: when this sync began, with what both families share. */
static void observe_duration(struct family_sync *f, usec_t begun, bool was_known)
{
        double seconds = seconds_since(begun);

        f->status.last_duration_usec = now_monotonic() - begun;
        histogram_observe(&f->status.durations, seconds);
        histogram_observe(was_known ? &f->status.partial_durations : &f->status.full_durations,
                          seconds);
}

/* @shared_usec: what preparing it took. Returns when to try again, or USEC_NEVER. */
static usec_t sync_family(struct sync *s, struct family_sync *f, usec_t shared_usec)
{
        _cleanup_err_ struct err err = { 0 };
        usec_t begun = now_monotonic(), since = f->status.waiting_since;
        bool was_known = family_is_known(f->family);
        int r;

        f->status.waiting_since = 0; /* what comes meanwhile is for the next one */
        if (f->status.missing && begun < f->retry_at)
                return f->retry_at;
        r = family_sync(f->family, &f->status.last_operations, &err);
        if (r == FAMILY_UNSUPPORTED) {
                set_missing(f, err_text(&err));
                s->state.triggers[f - s->families].n = 0;
                f->retry_at = begun + UNSUPPORTED_RETRY_SEC * USEC_PER_SEC;
                return f->retry_at;
        }
        f->status.syncs++;
        observe_duration(f, begun - shared_usec, was_known);
        if (r < 0) {
                char period[TIME_TEXT_MAX];

                f->status.failures++;
                f->status.waiting_since = since ? since : begun;
                log_warn(0, "Failed to write Services into nftables, next try in %s: %s",
                         duration_format(s->options.config->sync_period_usec, period),
                         err_text(&err));
                return begun + s->options.config->sync_period_usec;
        }
        set_missing(f, NULL);
        f->status.synced_at = now_realtime();
        observe_programming(s, (size_t)(f - s->families));
        if (f->status.last_operations > 0)
                log_debug("IPv%c: %zu operations in force after %" PRIu64 " us",
                          family_number(f->family) == AF_INET6 ? '6' : '4',
                          f->status.last_operations, f->status.last_duration_usec);
        return USEC_NEVER;
}

static int on_collect(_unused_ sd_event_source *source, _unused_ uint64_t due_usec, void *userdata)
{
        struct sync *s = userdata;

        for (size_t i = 0; i < FAMILIES; i++) {
                _cleanup_err_ struct err err = { 0 };

                if (!s->families[i].family || family_collect(s->families[i].family, &err) == 0)
                        continue;
                s->families[i].status.collect_failures++;
                log_debug("Chains without use stay a little longer: %s", err_text(&err));
        }
        return 0;
}

static void arm_collect(struct sync *s)
{
        for (size_t i = 0; i < FAMILIES; i++)
                if (s->families[i].family && family_has_stale(s->families[i].family))
                        arm(s, &s->collect, now_monotonic() + COLLECT_SEC * USEC_PER_SEC,
                            on_collect);
}

static int apply_changes(struct sync *s)
{
        struct ruleset_table *tables[FAMILIES] = { NULL };
        int r = sync_network(s);

        if (r < 0)
                return r;
        for (size_t i = 0; i < FAMILIES; i++)
                if (s->families[i].family)
                        tables[i] = family_wanted(s->families[i].family);
        state_foreach_dirty(&s->state, on_dirty, s);
        return state_apply(&s->state, tables);
}

static void run(struct sync *s)
{
        usec_t begun = now_monotonic(), again = USEC_NEVER, shared_usec;
        bool all_in_force = true;
        int r = apply_changes(s);

        if (r < 0) {
                log_warn(r, "Failed to work out nftables for Services, trying again");
                arm_sync(s, begun + s->options.config->sync_period_usec);
                return;
        }
        shared_usec = now_monotonic() - begun;
        for (size_t i = 0; i < FAMILIES; i++) {
                usec_t due;

                if (!s->families[i].family)
                        continue;
                due = sync_family(s, &s->families[i], shared_usec);
                all_in_force &= due == USEC_NEVER || s->families[i].status.missing;
                again = MIN(again, due);
        }
        if (all_in_force) {
                arm_sweep(s);
                service_health_apply(s->service_health);
        }
        if (again != USEC_NEVER)
                arm_sync(s, again);
        arm_collect(s);
        s->ended_at = now_monotonic();
        s->duration_usec = s->ended_at - begun;
        /* lists were read, a batch was built: most of that memory is free now */
        if (!s->has_trimmed || s->families[0].status.last_operations > LARGE_SYNC ||
            s->families[1].status.last_operations > LARGE_SYNC)
                malloc_trim(0);
        s->has_trimmed = true;
        if (s->options.on_synced)
                s->options.on_synced(s->options.userdata);
}

static int on_due(_unused_ sd_event_source *source, _unused_ uint64_t due_usec, void *userdata)
{
        run(userdata);
        return 0;
}

/* ---- life ---- */
static void init_status(struct sync_family_status *f)
{
        f->durations.bounds = f->full_durations.bounds = f->partial_durations.bounds =
                f->sweeps.bounds = histogram_bounds_sync();
        f->programming.bounds = histogram_bounds_programming();
        f->is_used = true;
}

static int make_families(struct sync *s)
{
        if (family_links_new(s->event, s->options.table, on_meddled, s, &s->links) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < FAMILIES; i++) {
                int r;

                if (i > 0 && !s->options.with_ipv6)
                        continue;
                r = family_new(s->links, family_of_index(i), &s->families[i].family);
                if (r < 0)
                        return r;
                init_status(&s->families[i].status);
        }
        return 0;
}

static void on_left_out(const char *kind, const char *key, const char *why, void *userdata)
{
        const struct sync *s = userdata;

        if (s->options.on_warning)
                s->options.on_warning(kind, key, "AddressLeftOut", why, s->options.userdata);
}

static void on_health_trouble(const char *key, const char *why, void *userdata)
{
        const struct sync *s = userdata;

        if (s->options.on_warning)
                s->options.on_warning("Service", key, "FailedToStartServiceHealthcheck", why,
                                      s->options.userdata);
}

/* Load balancers are to pass by a node that does not do what is wanted, for whatever reason. */
static bool routes_all(void *userdata)
{
        const struct sync *s = userdata;

        for (size_t i = 0; i < FAMILIES; i++)
                if (s->families[i].family &&
                    (s->families[i].status.missing || !sync_family_is_well(s, i)))
                        return false;
        return true;
}

int sync_new(sd_event *event, const struct sync_options *options, struct sync **ret,
             struct err *err)
{
        _cleanup_(sync_freep)
        struct sync *s = calloc(1, sizeof *s);
        const struct service_health_options health = { .is_well = routes_all,
                                                       .on_trouble = on_health_trouble,
                                                       .userdata = s };
        _cleanup_err_ struct err why = { 0 };
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "set up sync");
        s->event = event;
        s->options = *options;
        if (state_init(&s->state, options->node_name) < 0 || make_families(s) < 0 ||
            service_health_new(event, &health, &s->service_health) < 0)
                return err_sys(err, -ENOMEM, "set up sync");
        s->state.on_left_out = on_left_out;
        s->state.userdata = s;
        if (node_routes_new(event, &s->routes, &why) < 0)
                log_warn(0, "Routes to other nodes' pods are not set: %s", err_text(&why));
        if (!options->config->node_ports_on_primary) {
                r = local_addresses_watch_new(event, on_addresses_changed, s, &s->addresses, err);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct sync *sync_free(struct sync *s)
{
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->sweep);
        sd_event_source_disable_unref(s->collect);
        service_health_free(s->service_health);
        node_routes_free(s->routes);
        local_addresses_watch_free(s->addresses);
        for (size_t i = 0; i < FAMILIES; i++) {
                family_free(s->families[i].family);
                free(s->families[i].missing);
        }
        family_links_free(s->links);
        state_done(&s->state);
        udp_plan_done(&s->stale_flows);
        network_done(&s->network);
        free(s->zone);
        free(s);
        return NULL;
}

struct state *sync_state(struct sync *s)
{
        return &s->state;
}

const struct ruleset_table *sync_table(const struct sync *s, size_t family)
{
        return s->families[family].family ? family_wanted(s->families[family].family) : NULL;
}

int sync_read_element(struct sync *s, size_t family, enum ruleset_set set, const void *key,
                      void *ret_value, struct err *err)
{
        return family_read_element(s->families[family].family, set, key, ret_value, err);
}

const struct sync_family_status *sync_status(const struct sync *s, size_t family)
{
        return &s->families[family].status;
}

bool sync_family_is_well(const struct sync *s, size_t family)
{
        const struct sync_family_status *f = &s->families[family].status;

        return f->missing || f->waiting_since == 0 ||
               now_monotonic() < f->waiting_since + 2 * s->options.config->sync_period_usec;
}
