#include "netproxy/udp-flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct udp_servers *udp_servers_unref(struct udp_servers *s)
{
        if (s && --s->refs == 0)
                free(s);
        return NULL;
}
DEFINE_CLEANUP(struct udp_servers *, udp_servers_unref)

void udp_plan_done(struct udp_plan *p)
{
        for (size_t i = 0; i < p->n; i++)
                udp_servers_unref(p->frontends[i].good);
        free(p->frontends);
        *p = (struct udp_plan){ 0 };
}

static int compare_endpoints(const void *a, const void *b)
{
        const struct udp_endpoint *x = a, *y = b;
        int r = ip_compare(&x->ip, &y->ip);

        return r != 0 ? r : (int)x->port - (int)y->port;
}

/* Those that serve: policies, hints and readiness are for new flows. NULL without memory. */
static struct udp_servers *udp_servers_new(const struct endpoint_list *l)
{
        struct udp_servers *s = malloc(sizeof *s + l->n * sizeof *s->items);

        if (!s)
                return NULL;
        s->refs = 1;
        s->n = 0;
        for (size_t i = 0; i < l->n; i++)
                if (l->items[i].flags & ENDPOINT_SERVING)
                        s->items[s->n++] = (struct udp_endpoint){ l->items[i].ip,
                                                                  l->items[i].port };
        qsort(s->items, s->n, sizeof *s->items, compare_endpoints);
        return s;
}

static int add_address(struct udp_plan *p, const struct ip *ip, uint16_t port,
                       struct udp_servers *good)
{
        struct udp_frontend *more = reallocarray(p->frontends, p->n + 1, sizeof *more);

        if (!more)
                return -ENOMEM;
        good->refs++;
        p->frontends = more;
        p->frontends[p->n++] = (struct udp_frontend){ *ip, port, good };
        p->is_sorted = false;
        return 0;
}

static int add_addresses(struct udp_plan *p, const struct ip *ips, size_t n, int family,
                         uint16_t port, struct udp_servers *good)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                if (ips[i].family == family)
                        r = add_address(p, &ips[i], port, good);
        return r;
}

static int add_port(struct udp_plan *p, const struct service *s, const struct service_port *port,
                    int family, const struct endpoint_slice *const *slices, size_t n_slices)
{
        _cleanup_(endpoint_list_done)
        struct endpoint_list l = { 0 };
        _cleanup_(udp_servers_unrefp)
        struct udp_servers *good = NULL;
        const struct ip *cluster_ip = service_cluster_ip(s, family);
        struct ip any = { .family = (uint8_t)family };
        int r;

        if (port->protocol != IPPROTO_UDP || !cluster_ip)
                return 0;
        r = endpoints_collect(slices, n_slices, port->name, port->protocol, family, &l);
        if (r < 0)
                return r;
        good = udp_servers_new(&l);
        if (!good)
                return -ENOMEM;
        r = add_address(p, cluster_ip, port->port, good);
        if (r == 0)
                r = add_addresses(p, s->external_ips, s->n_external_ips, family, port->port, good);
        if (r == 0)
                r = add_addresses(p, s->vips, s->n_vips, family, port->port, good);
        if (r == 0 && port->node_port)
                r = add_address(p, &any, port->node_port, good);
        return r;
}

static int add_service(struct udp_plan *p, const struct service *s,
                       const struct endpoint_slice *const *slices, size_t n_slices)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < s->n_ports; i++) {
                r = add_port(p, s, &s->ports[i], AF_INET, slices, n_slices);
                if (r == 0)
                        r = add_port(p, s, &s->ports[i], AF_INET6, slices, n_slices);
        }
        return r;
}

int udp_plan_add(struct udp_plan *p, const struct service *before, const struct service *now,
                 const struct endpoint_slice *const *slices, size_t n_slices)
{
        int r = 0;

        if (before && before != now)
                r = add_service(p, before, NULL, 0);
        if (r == 0 && now)
                r = add_service(p, now, slices, n_slices);
        return r;
}

static int compare_frontends(const void *a, const void *b)
{
        const struct udp_frontend *x = a, *y = b;
        int r = ip_compare(&x->ip, &y->ip);

        return r != 0 ? r : (int)x->port - (int)y->port;
}

struct ordered { /* qsort() does not keep the order of equals */
        struct udp_frontend frontend;
        size_t order;
};

static int compare_ordered(const void *a, const void *b)
{
        const struct ordered *x = a, *y = b;
        int r = compare_frontends(&x->frontend, &y->frontend);

        return r != 0 ? r : x->order < y->order ? -1 : 1;
}

static int sort_plan(struct udp_plan *p)
{
        struct ordered *all = calloc(p->n + 1, sizeof *all);
        size_t kept = 0;

        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < p->n; i++)
                all[i] = (struct ordered){ p->frontends[i], i };
        qsort(all, p->n, sizeof *all, compare_ordered);
        for (size_t i = 0; i < p->n; i++) {
                if (kept > 0 && compare_frontends(&p->frontends[kept - 1], &all[i].frontend) == 0)
                        udp_servers_unref(p->frontends[--kept].good);
                p->frontends[kept++] = all[i].frontend;
        }
        p->n = kept;
        p->is_sorted = true;
        free(all);
        return 0;
}

static const struct udp_frontend *find_frontend(const struct udp_plan *p, const struct ip *ip,
                                                uint16_t port)
{
        struct udp_frontend wanted = { .ip = *ip, .port = port };

        return p->n > 0 ? bsearch(&wanted, p->frontends, p->n, sizeof wanted, compare_frontends)
                        : NULL;
}

bool udp_flow_is_stale(struct udp_plan *p, const struct udp_flow *flow)
{
        struct udp_endpoint who = { flow->answers, flow->answers_port };
        bool is_translated = !ip_equal(&flow->dst, &flow->answers) ||
                             flow->dst_port != flow->answers_port;
        struct ip any = { .family = flow->dst.family };
        const struct udp_frontend *f;

        if (!p->is_sorted && sort_plan(p) < 0)
                return false;
        f = find_frontend(p, &flow->dst, flow->dst_port);
        /* a flow that just happens to use a node port's number was never translated */
        if (!f && is_translated)
                f = find_frontend(p, &any, flow->dst_port);
        if (!f)
                return false;
        return f->good->n == 0 ||
               !bsearch(&who, f->good->items, f->good->n, sizeof who, compare_endpoints);
}
