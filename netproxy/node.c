#include "netproxy/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

struct raw_address {
        char *type, *address;
};
struct raw_taint {
        char *key;
};
struct raw_node {
        struct raw_node_metadata {
                char *name, *deleted;
                struct string_map labels;
        } metadata;
        struct raw_node_spec {
                char *pod_cidr, **pod_cidrs;
                struct raw_taint *taints;
                size_t n_taints;
        } spec;
        struct raw_node_status {
                struct raw_address *addresses;
                size_t n_addresses;
        } status;
};

static const struct json_field address_fields[] = { /* clang-format off */
        { "type",    decode_string, offsetof(struct raw_address, type),    JSON_REQUIRED, NULL },
        { "address", decode_string, offsetof(struct raw_address, address), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array addresses = {
        .fields = address_fields,
        .element_size = sizeof(struct raw_address),
        .count_offset = JSON_ARRAY_COUNT(struct raw_node_status, addresses, n_addresses),
};
static const struct json_field taint_fields[] = {
        { "key", decode_string, offsetof(struct raw_taint, key), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array taints = {
        .fields = taint_fields,
        .element_size = sizeof(struct raw_taint),
        .count_offset = JSON_ARRAY_COUNT(struct raw_node_spec, taints, n_taints),
};
static const struct json_field metadata_fields[] = {
        { "name",              decode_string,     offsetof(struct raw_node_metadata, name),    JSON_REQUIRED, NULL },
        { "deletionTimestamp", decode_string,     offsetof(struct raw_node_metadata, deleted), JSON_OPTIONAL, NULL },
        { "labels",            decode_string_map, offsetof(struct raw_node_metadata, labels),  JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field spec_fields[] = {
        { "podCIDR",  decode_string, offsetof(struct raw_node_spec, pod_cidr),  JSON_OPTIONAL, NULL },
        { "podCIDRs", decode_strv,   offsetof(struct raw_node_spec, pod_cidrs), JSON_OPTIONAL, NULL },
        { "taints",   decode_array,  offsetof(struct raw_node_spec, taints),    JSON_OPTIONAL, &taints },
        {}
};
static const struct json_field status_fields[] = {
        { "addresses", decode_array, offsetof(struct raw_node_status, addresses), JSON_OPTIONAL, &addresses },
        {}
};
static const struct json_field root_fields[] = {
        { "metadata", decode_object, offsetof(struct raw_node, metadata), JSON_REQUIRED, metadata_fields },
        { "spec",     decode_object, offsetof(struct raw_node, spec),     JSON_OPTIONAL, spec_fields },
        { "status",   decode_object, offsetof(struct raw_node, status),   JSON_OPTIONAL, status_fields },
        {}
}; /* clang-format on */

static void raw_done(struct raw_node *raw)
{
        free(raw->metadata.name);
        free(raw->metadata.deleted);
        string_map_done(&raw->metadata.labels);
        free(raw->spec.pod_cidr);
        strv_free(raw->spec.pod_cidrs);
        for (size_t i = 0; i < raw->spec.n_taints; i++)
                free(raw->spec.taints[i].key);
        free(raw->spec.taints);
        for (size_t i = 0; i < raw->status.n_addresses; i++) {
                free(raw->status.addresses[i].type);
                free(raw->status.addresses[i].address);
        }
        free(raw->status.addresses);
}

struct node *node_free(struct node *n)
{
        if (!n)
                return NULL;
        free(n->name);
        free(n->zone);
        free(n->addresses);
        free(n);
        return NULL;
}

static int take_pod_cidr(struct node *n, const char *text, struct err *err)
{
        struct cidr c;

        if (cidr_parse(text, &c) < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "spec: podCIDRs: '%s': expected a CIDR", text);
        /* one a family: the API says so, and a default route through a node is nobody's wish */
        if (c.prefix == 0 || n->n_pod_cidrs == ARRAY_SIZE(n->pod_cidrs) ||
            (n->n_pod_cidrs == 1 && n->pod_cidrs[0].ip.family == c.ip.family))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "spec: podCIDRs: '%s': expected one of each family at most",
                                    text);
        n->pod_cidrs[n->n_pod_cidrs++] = c;
        return 0;
}

static void take_addresses(struct node *n, const struct raw_node_status *status, const char *type)
{
        for (size_t i = 0; i < status->n_addresses; i++) {
                struct ip ip;

                /* addresses that cannot be parsed are the node's own trouble, not ours */
                if (streq(status->addresses[i].type, type) &&
                    ip_parse_sloppy(status->addresses[i].address, &ip) == 0 && !ip_is_special(&ip))
                        n->addresses[n->n_addresses++] = ip;
        }
}

static int fill(struct node *n, struct raw_node *raw, struct err *err)
{
        const char *zone = string_map_get(&raw->metadata.labels, "topology.kubernetes.io/zone");
        int r = 0;

        n->name = TAKE_PTR(raw->metadata.name);
        n->zone = strdup(zone ? zone : "");
        n->addresses = calloc(raw->status.n_addresses + 1, sizeof *n->addresses);
        if (!n->zone || !n->addresses)
                return err_sys(err, -ENOMEM, "read Node");
        take_addresses(n, &raw->status, "InternalIP");
        n->n_internal = n->n_addresses;
        take_addresses(n, &raw->status, "ExternalIP");
        n->is_eligible = !raw->metadata.deleted;
        for (size_t i = 0; i < raw->spec.n_taints; i++)
                if (streq(raw->spec.taints[i].key, "ToBeDeletedByClusterAutoscaler"))
                        n->is_eligible = false;
        if (strv_len(raw->spec.pod_cidrs) == 0 && raw->spec.pod_cidr && raw->spec.pod_cidr[0])
                r = take_pod_cidr(n, raw->spec.pod_cidr, err);
        STRV_FOREACH (text, raw->spec.pod_cidrs) {
                r = take_pod_cidr(n, *text, err);
                if (r < 0)
                        break;
        }
        return r;
}

int node_decode(const json_t *object, struct node **ret, struct err *err)
{
        _cleanup_(raw_done)
        struct raw_node raw = { 0 };
        _cleanup_(node_freep)
        struct node *n = NULL;
        int r = json_decode(object, root_fields, &raw, err);

        if (r < 0)
                return r;
        n = calloc(1, sizeof *n);
        if (!n)
                return err_sys(err, -ENOMEM, "read Node");
        r = fill(n, &raw, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(n);
        return 0;
}

bool node_equal(const struct node *a, const struct node *b)
{
        if (!streq(a->zone, b->zone) || a->n_pod_cidrs != b->n_pod_cidrs ||
            a->n_addresses != b->n_addresses || a->n_internal != b->n_internal ||
            a->is_eligible != b->is_eligible)
                return false;
        for (size_t i = 0; i < a->n_pod_cidrs; i++)
                if (a->pod_cidrs[i].prefix != b->pod_cidrs[i].prefix ||
                    !ip_equal(&a->pod_cidrs[i].ip, &b->pod_cidrs[i].ip))
                        return false;
        for (size_t i = 0; i < a->n_addresses; i++)
                if (!ip_equal(&a->addresses[i], &b->addresses[i]))
                        return false;
        return true;
}

const struct ip *node_address(const struct node *n, int family)
{
        for (size_t i = 0; i < n->n_addresses; i++)
                if (n->addresses[i].family == family)
                        return &n->addresses[i];
        return NULL;
}

void network_done(struct network *n)
{
        free(n->pods);
        free(n->own_pods);
        free(n->addresses);
        *n = (struct network){ 0 };
}

static int compare_ips(const void *a, const void *b)
{
        return ip_compare(a, b);
}

int network_build(const struct node *const *nodes, size_t n_nodes, const struct node *own,
                  struct network *ret)
{
        _cleanup_(network_done)
        struct network n = { 0 };
        size_t n_addresses = 0;

        for (size_t i = 0; i < n_nodes; i++)
                n_addresses += nodes[i]->n_addresses;
        n.pods = calloc(2 * n_nodes + 1, sizeof *n.pods);
        n.own_pods = calloc(2, sizeof *n.own_pods);
        n.addresses = calloc(n_addresses + 1, sizeof *n.addresses);
        if (!n.pods || !n.own_pods || !n.addresses)
                return -ENOMEM;
        for (size_t i = 0; i < n_nodes; i++) {
                for (size_t k = 0; k < nodes[i]->n_pod_cidrs; k++)
                        n.pods[n.n_pods++] = cidr_range(&nodes[i]->pod_cidrs[k]);
                for (size_t k = 0; k < nodes[i]->n_addresses; k++)
                        n.addresses[n.n_addresses++] = nodes[i]->addresses[k];
        }
        for (size_t k = 0; own && k < own->n_pod_cidrs; k++)
                n.own_pods[n.n_own_pods++] = cidr_range(&own->pod_cidrs[k]);
        qsort(n.addresses, n.n_addresses, sizeof *n.addresses, compare_ips);
        *ret = TAKE_VALUE(n);
        return 0;
}

int network_unmasqueraded(const struct network *n, const struct cidr *extra, size_t n_extra,
                          struct ip_range **ret, size_t *ret_n)
{
        static const struct cidr multicast[] = {
                { { AF_INET, { 224 } }, 4 },
                { { AF_INET6, { 0xff } }, 8 },
        };
        struct ip_range *ranges = calloc(n->n_pods + n->n_addresses + n_extra +
                                                 ARRAY_SIZE(multicast),
                                         sizeof *ranges);
        size_t count = 0;

        if (!ranges)
                return -ENOMEM;
        for (size_t i = 0; i < n->n_pods; i++)
                ranges[count++] = n->pods[i];
        for (size_t i = 0; i < n->n_addresses; i++)
                ranges[count++] = (struct ip_range){ n->addresses[i], n->addresses[i] };
        for (size_t i = 0; i < n_extra; i++)
                ranges[count++] = cidr_range(&extra[i]);
        for (size_t i = 0; i < ARRAY_SIZE(multicast); i++)
                ranges[count++] = cidr_range(&multicast[i]);
        *ret = ranges;
        *ret_n = count;
        return 0;
}

int node_route_compare(const void *a, const void *b)
{
        const struct node_route *x = a, *y = b;
        int r = ip_compare(&x->dst.ip, &y->dst.ip);

        return r != 0 ? r : (int)x->dst.prefix - (int)y->dst.prefix;
}

static int compare_names(const void *a, const void *b)
{
        const struct node *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

/* Of two claims to a range the first stands: ours, then that of the first node by name. */
struct claim {
        struct node_route route;
        size_t order;
};

static int compare_claims(const void *a, const void *b)
{
        const struct claim *x = a, *y = b;
        int r = node_route_compare(&x->route, &y->route);

        return r != 0 ? r : x->order < y->order ? -1 : 1;
}

static void add_claims_of(const struct node *n, bool is_own, struct claim *claims, size_t *count)
{
        for (size_t k = 0; k < n->n_pod_cidrs; k++) {
                const struct ip *via = node_address(n, n->pod_cidrs[k].ip.family);
                struct node_route route = { .dst = n->pod_cidrs[k] };

                if (!is_own && !via)
                        continue;
                if (!is_own)
                        route.via = *via;
                claims[*count] = (struct claim){ route, *count };
                ++*count;
        }
}

int node_routes_wanted(const struct node *const *nodes, size_t n_nodes, const struct node *own,
                       struct node_route **ret, size_t *ret_n)
{
        _cleanup_free_ const struct node **sorted = calloc(n_nodes + 1, sizeof(struct node *));
        _cleanup_free_ struct claim *claims = calloc(2 * n_nodes + 2, sizeof *claims);
        _cleanup_free_ struct node_route *routes = calloc(2 * n_nodes + 2, sizeof *routes);
        size_t count = 0, kept = 0;

        if (!sorted || !claims || !routes)
                return -ENOMEM;
        for (size_t i = 0; i < n_nodes; i++)
                sorted[i] = nodes[i];
        qsort(sorted, n_nodes, sizeof(struct node *), compare_names);
        if (own)
                add_claims_of(own, true, claims, &count);
        for (size_t i = 0; own && i < n_nodes; i++)
                if (!streq(sorted[i]->name, own->name))
                        add_claims_of(sorted[i], false, claims, &count);
        qsort(claims, count, sizeof *claims, compare_claims);
        for (size_t i = 0; i < count; i++)
                if (kept == 0 || node_route_compare(&routes[kept - 1], &claims[i].route) != 0)
                        routes[kept++] = claims[i].route;
        *ret = TAKE_PTR(routes);
        *ret_n = kept;
        return 0;
}
