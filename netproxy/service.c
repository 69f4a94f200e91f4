#include "netproxy/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

enum {
        PORTS_MAX = 4096,
        ADDRESSES_MAX = 4096,
        AFFINITY_DEFAULT_SEC = 10800,
        AFFINITY_MAX_SEC = 86400,
};

enum service_type {
        TYPE_CLUSTER_IP,
        TYPE_NODE_PORT,
        TYPE_LOAD_BALANCER,
        TYPE_EXTERNAL_NAME,
};
static const char *const type_names[] = { "ClusterIP", "NodePort", "LoadBalancer", "ExternalName",
                                          NULL };
static const char *const policy_names[] = { "Cluster", "Local", NULL };
static const char *const affinity_names[] = { "None", "ClientIP", NULL };
static const char *const ip_mode_names[] = { "VIP", "Proxy", NULL };

struct raw_ingress {
        char *ip;
        int ip_mode;
};

/* The object as it is. */
struct raw_service {
        struct {
                char *namespace, *name;
                usec_t created;
                struct string_map labels;
        } metadata;
        struct raw_service_spec {
                int type, external_policy, internal_policy, affinity;
                char *cluster_ip, **cluster_ips, **external_ips, **source_ranges;
                uint16_t health_check_node_port;
                struct raw_affinity_config {
                        struct raw_client_ip {
                                uint32_t timeout_sec;
                        } client_ip;
                } affinity_config;
                struct service_port *ports;
                size_t n_ports;
        } spec;
        struct raw_service_status {
                struct raw_load_balancer {
                        struct raw_ingress *ingress;
                        size_t n_ingress;
                } load_balancer;
        } status;
};

/* Ports that the API writes as 0 when they are not set. */
static int decode_port_or_zero(const json_t *value, void *member, const void *arg, struct err *err)
{
        if (json_is_integer(value) && json_integer_value(value) == 0)
                return 0;
        return decode_port(value, member, arg, err);
}

int decode_ip_protocol(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        static const char *const names[] = { "TCP", "UDP", "SCTP", NULL };
        static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
        int i, r = decode_enum(value, &i, names, err);

        if (r == 0)
                *(uint8_t *)member = numbers[i];
        return r;
}

static void init_port(void *port)
{
        ((struct service_port *)port)->protocol = IPPROTO_TCP;
}

static const struct json_range affinity_range = { 1, AFFINITY_MAX_SEC };
static const struct json_field
        metadata_fields[] = { /* clang-format off */
        { "namespace",         decode_string,     offsetof(struct raw_service, metadata.namespace), JSON_REQUIRED, NULL },
        { "name",              decode_string,     offsetof(struct raw_service, metadata.name),      JSON_REQUIRED, NULL },
        { "creationTimestamp", decode_time,       offsetof(struct raw_service, metadata.created),   JSON_OPTIONAL, NULL },
        { "labels",            decode_string_map, offsetof(struct raw_service, metadata.labels),    JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field port_fields[] = {
        { "name",     decode_string,       offsetof(struct service_port, name),      JSON_OPTIONAL, NULL },
        { "protocol", decode_ip_protocol,   offsetof(struct service_port, protocol),  JSON_OPTIONAL, NULL },
        { "port",     decode_port,         offsetof(struct service_port, port),      JSON_REQUIRED, NULL },
        { "nodePort", decode_port_or_zero, offsetof(struct service_port, node_port), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_array ports = {
        .fields = port_fields,
        .element_size = sizeof(struct service_port),
        .count_offset = JSON_ARRAY_COUNT(struct raw_service_spec, ports, n_ports),
        .max = PORTS_MAX,
        .init = init_port,
};
static const struct json_field client_ip_fields[] = {
        { "timeoutSeconds", decode_u32, offsetof(struct raw_client_ip, timeout_sec), JSON_OPTIONAL, &affinity_range },
        {}
};
static const struct json_field affinity_fields[] = {
        { "clientIP", decode_object, offsetof(struct raw_affinity_config, client_ip), JSON_OPTIONAL, client_ip_fields },
        {}
};
static const struct json_field spec_fields[] = {
        { "type",                     decode_enum,         offsetof(struct raw_service_spec, type),                   JSON_OPTIONAL, type_names },
        { "clusterIP",                decode_string,       offsetof(struct raw_service_spec, cluster_ip),             JSON_OPTIONAL, NULL },
        { "clusterIPs",               decode_strv,         offsetof(struct raw_service_spec, cluster_ips),            JSON_OPTIONAL, NULL },
        { "externalIPs",              decode_strv,         offsetof(struct raw_service_spec, external_ips),           JSON_OPTIONAL, NULL },
        { "loadBalancerSourceRanges", decode_strv,         offsetof(struct raw_service_spec, source_ranges),          JSON_OPTIONAL, NULL },
        { "externalTrafficPolicy",    decode_enum,         offsetof(struct raw_service_spec, external_policy),        JSON_OPTIONAL, policy_names },
        { "internalTrafficPolicy",    decode_enum,         offsetof(struct raw_service_spec, internal_policy),        JSON_OPTIONAL, policy_names },
        { "sessionAffinity",          decode_enum,         offsetof(struct raw_service_spec, affinity),               JSON_OPTIONAL, affinity_names },
        { "sessionAffinityConfig",    decode_object,       offsetof(struct raw_service_spec, affinity_config),        JSON_OPTIONAL, affinity_fields },
        { "healthCheckNodePort",      decode_port_or_zero, offsetof(struct raw_service_spec, health_check_node_port), JSON_OPTIONAL, NULL },
        { "ports",                    decode_array,        offsetof(struct raw_service_spec, ports),                  JSON_OPTIONAL, &ports },
        {}
};
static const struct json_field ingress_fields[] = {
        { "ip",     decode_string, offsetof(struct raw_ingress, ip),      JSON_OPTIONAL, NULL },
        { "ipMode", decode_enum,   offsetof(struct raw_ingress, ip_mode), JSON_OPTIONAL, ip_mode_names },
        {}
};
static const struct json_array ingress = {
        .fields = ingress_fields,
        .element_size = sizeof(struct raw_ingress),
        .count_offset = JSON_ARRAY_COUNT(struct raw_load_balancer, ingress, n_ingress),
};
static const struct json_field load_balancer_fields[] = {
        { "ingress", decode_array, offsetof(struct raw_load_balancer, ingress), JSON_OPTIONAL, &ingress },
        {}
};
static const struct json_field status_fields[] = {
        { "loadBalancer", decode_object, offsetof(struct raw_service_status, load_balancer), JSON_OPTIONAL, load_balancer_fields },
        {}
};
static const struct json_field root_fields[] = {
        { "metadata", decode_object, 0,                                    JSON_REQUIRED, metadata_fields },
        { "spec",     decode_object, offsetof(struct raw_service, spec),   JSON_REQUIRED, spec_fields },
        { "status",   decode_object, offsetof(struct raw_service, status), JSON_OPTIONAL, status_fields },
        {}
}; /* clang-format on */

static void ports_free(struct service_port *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                free(p[i].name);
        free(p);
}

static void raw_done(struct raw_service *raw)
{
        free(raw->metadata.namespace);
        free(raw->metadata.name);
        string_map_done(&raw->metadata.labels);
        free(raw->spec.cluster_ip);
        strv_free(raw->spec.cluster_ips);
        strv_free(raw->spec.external_ips);
        strv_free(raw->spec.source_ranges);
        ports_free(raw->spec.ports, raw->spec.n_ports);
        for (size_t i = 0; i < raw->status.load_balancer.n_ingress; i++)
                free(raw->status.load_balancer.ingress[i].ip);
        free(raw->status.load_balancer.ingress);
}

struct service *service_ref(struct service *s)
{
        if (s)
                s->refs++;
        return s;
}

struct service *service_unref(struct service *s)
{
        if (!s || --s->refs > 0)
                return NULL;
        ports_free(s->ports, s->n_ports);
        free(s->key);
        free(s->external_ips);
        free(s->vips);
        free(s->source_ranges);
        free(s);
        return NULL;
}

/* A Service may not take over loopback, link-local or multicast addresses of the node. */
static bool is_usable(const char *field, const struct ip *ip, struct err *err)
{
        char text[IP_TEXT_MAX];

        if (!ip_is_special(ip))
                return true;
        err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                     "%s: '%s': left out, expected no loopback, link-local, multicast or "
                     "unspecified address",
                     field, ip_format(ip, text));
        return false;
}

static int bad_ip(struct err *err, const char *field, const char *value)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': expected an IP address", field,
                            value);
}

static int take_cluster_ip(struct service *s, const char *text, struct err *err)
{
        struct ip ip;

        if (s->n_cluster_ips == ARRAY_SIZE(s->cluster_ips))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "spec: clusterIPs: expected at most two");
        if (ip_parse_sloppy(text, &ip) < 0)
                return bad_ip(err, "spec: clusterIPs", text);
        if (is_usable("spec: clusterIPs", &ip, err) && !service_cluster_ip(s, ip.family))
                s->cluster_ips[s->n_cluster_ips++] = ip;
        return 0;
}

static int take_cluster_ips(struct service *s, const struct raw_service_spec *spec, struct err *err)
{
        int r = 0;

        if (strv_len(spec->cluster_ips) == 0)
                return spec->cluster_ip && spec->cluster_ip[0]
                               ? take_cluster_ip(s, spec->cluster_ip, err)
                               : 0;
        STRV_FOREACH (text, spec->cluster_ips) {
                r = take_cluster_ip(s, *text, err);
                if (r < 0)
                        break;
        }
        return r;
}

static int take_external_ips(struct service *s, char *const *texts, struct err *err)
{
        s->external_ips = calloc(strv_len(texts) + 1, sizeof *s->external_ips);
        if (!s->external_ips)
                return err_sys(err, -ENOMEM, "read Service");
        STRV_FOREACH (text, texts) {
                struct ip ip;

                if (ip_parse_sloppy(*text, &ip) < 0)
                        return bad_ip(err, "spec: externalIPs", *text);
                if (is_usable("spec: externalIPs", &ip, err))
                        s->external_ips[s->n_external_ips++] = ip;
        }
        return 0;
}

static int take_vips(struct service *s, const struct raw_load_balancer *lb, struct err *err)
{
        s->vips = calloc(lb->n_ingress + 1, sizeof *s->vips);
        if (!s->vips)
                return err_sys(err, -ENOMEM, "read Service");
        for (size_t i = 0; i < lb->n_ingress; i++) {
                struct ip ip;

                /* ipMode Proxy: the load balancer speaks to node or pod, never to the VIP here */
                if (!lb->ingress[i].ip || !lb->ingress[i].ip[0] || lb->ingress[i].ip_mode == 1)
                        continue;
                if (ip_parse_sloppy(lb->ingress[i].ip, &ip) < 0)
                        return bad_ip(err, "status: loadBalancer: ingress: ip", lb->ingress[i].ip);
                if (is_usable("status: loadBalancer: ingress: ip", &ip, err))
                        s->vips[s->n_vips++] = ip;
        }
        return 0;
}

/* Blanks around a range are allowed by the API (a mistake that stayed). */
static int take_source_ranges(struct service *s, char *const *texts, struct err *err)
{
        bool any[2] = { false, false };
        size_t kept = 0;

        s->source_ranges = calloc(strv_len(texts) + 1, sizeof *s->source_ranges);
        if (!s->source_ranges)
                return err_sys(err, -ENOMEM, "read Service");
        STRV_FOREACH (text, texts) {
                struct cidr *c = &s->source_ranges[s->n_source_ranges];
                _cleanup_strv_ char **words = NULL;

                if (strv_split(*text, " \t\r\n", &words) < 0)
                        return err_sys(err, -ENOMEM, "read Service");
                if (strv_len(words) != 1 || cidr_parse(words[0], c) < 0)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "spec: loadBalancerSourceRanges: '%s': expected a CIDR",
                                            *text);
                if (c->prefix == 0)
                        any[c->ip.family == AF_INET6] = true;
                s->n_source_ranges++;
        }
        /* one range that allows everybody makes its family's list pointless */
        for (size_t i = 0; i < s->n_source_ranges; i++)
                if (!any[s->source_ranges[i].ip.family == AF_INET6])
                        s->source_ranges[kept++] = s->source_ranges[i];
        s->n_source_ranges = kept;
        return 0;
}

static bool is_for_us(const struct raw_service *raw)
{
        const char *ip = raw->spec.cluster_ip;

        if (string_map_get(&raw->metadata.labels, "service.kubernetes.io/service-proxy-name"))
                return false;
        if (raw->spec.type == TYPE_EXTERNAL_NAME)
                return false;
        return ip && ip[0] && !streq(ip, "None");
}

static int fill(struct service *s, struct raw_service *raw, struct err *err)
{
        const struct raw_service_spec *spec = &raw->spec;
        int r;

        s->key = text_printf("%s/%s", raw->metadata.namespace, raw->metadata.name);
        if (!s->key)
                return err_sys(err, -ENOMEM, "read Service");
        s->created = raw->metadata.created;
        s->type = (uint8_t)spec->type;
        s->ports = TAKE_PTR(raw->spec.ports);
        s->n_ports = raw->spec.n_ports;
        raw->spec.n_ports = 0;
        for (size_t i = 0; i < s->n_ports; i++) {
                if (!s->ports[i].name && free_and_strdup(&s->ports[i].name, "") < 0)
                        return err_sys(err, -ENOMEM, "read Service");
        }
        r = take_cluster_ips(s, spec, err);
        if (r == 0)
                r = take_external_ips(s, spec->external_ips, err);
        if (r == 0)
                r = take_vips(s, &raw->status.load_balancer, err);
        if (r == 0)
                r = take_source_ranges(s, spec->source_ranges, err);
        if (r < 0)
                return r;
        s->internal_local = spec->internal_policy == 1;
        s->external_local = spec->external_policy == 1 &&
                            (spec->type == TYPE_LOAD_BALANCER || spec->type == TYPE_NODE_PORT ||
                             s->n_external_ips > 0);
        if (spec->affinity == 1)
                s->affinity_sec = spec->affinity_config.client_ip.timeout_sec;
        if (spec->type == TYPE_LOAD_BALANCER && s->external_local)
                s->health_check_node_port = spec->health_check_node_port;
        return 0;
}

int service_decode(const json_t *object, struct service **ret, struct err *err)
{
        _cleanup_(raw_done)
        struct raw_service raw = {
                .spec.affinity_config.client_ip.timeout_sec = AFFINITY_DEFAULT_SEC,
        };
        _cleanup_(service_unrefp)
        struct service *s = NULL;
        int r = json_decode(object, root_fields, &raw, err);

        if (r < 0)
                return r;
        if (!is_for_us(&raw)) {
                *ret = NULL;
                return 0;
        }
        s = calloc(1, sizeof *s);
        if (!s)
                return err_sys(err, -ENOMEM, "read Service");
        s->refs = 1;
        r = fill(s, &raw, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

const char *service_type_name(const struct service *s)
{
        return type_names[s->type];
}

const struct ip *service_cluster_ip(const struct service *s, int family)
{
        for (size_t i = 0; i < s->n_cluster_ips; i++)
                if (s->cluster_ips[i].family == family)
                        return &s->cluster_ips[i];
        return NULL;
}

static bool has_family(const struct ip *ips, size_t n, int family)
{
        for (size_t i = 0; i < n; i++)
                if (ips[i].family == family)
                        return true;
        return false;
}

bool service_port_is_external(const struct service *s, const struct service_port *p, int family)
{
        return p->node_port != 0 || has_family(s->external_ips, s->n_external_ips, family) ||
               has_family(s->vips, s->n_vips, family);
}

bool service_port_uses_cluster(const struct service *s, const struct service_port *p, int family)
{
        /* External traffic from this cluster's own pods goes to all nodes, whatever the policy. */
        return !s->internal_local || service_port_is_external(s, p, family);
}

bool service_port_uses_local(const struct service *s, const struct service_port *p, int family)
{
        return s->internal_local || (s->external_local && service_port_is_external(s, p, family));
}

int service_compare(const struct service *a, const struct service *b)
{
        if (a->created != b->created)
                return a->created < b->created ? -1 : 1;
        return strcmp(a->key, b->key);
}
