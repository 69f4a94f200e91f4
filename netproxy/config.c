#include "netproxy/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

#define API_VERSION "kubeproxy.config.k8s.io/v1alpha1"
#define KIND        "KubeProxyConfiguration"

enum { HEALTHZ_PORT = 10256, METRICS_PORT = 10249 };

/* The settings that kube-proxy keeps per mode. */
struct mode_section {
        uint32_t masquerade_bit;
        bool masquerade_all;
        usec_t sync_period_usec, min_sync_period_usec;
};

/* The file as it is; what depends on other fields is worked out afterwards. */
struct raw_config {
        char *api_version, *kind, *bind_address, *healthz_address, *metrics_address, *cluster_cidr;
        char **node_port_addresses;
        int mode, detect_local;
        struct mode_section iptables, ipvs, nftables;
        struct raw_detect_local {
                char *bridge_interface, *interface_name_prefix;
        } detect;
        struct raw_client {
                char *kubeconfig;
        } client;
        struct raw_conntrack {
                uint32_t max_per_core, min;
                bool tcp_be_liberal;
                usec_t tcp_established_usec, tcp_close_wait_usec, udp_usec, udp_stream_usec;
        } conntrack;
        char *hostname_override;
        int32_t oom_score_adj;
};

static const char *const mode_names[] = { "", "iptables", "ipvs", "nftables", NULL };
/* in the order of enum detect_local_mode; the empty name is ClusterCIDR too */
static const char *const detect_local_names[] = {
        "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix", "", NULL
};
static const struct json_range bit_range = { 0, 31 }, oom_range = { -1000, 1000 },
                               count_range = { 0, INT32_MAX };

static const struct json_field
        section_fields[] = { /* clang-format off */
        { "masqueradeBit", decode_u32,      offsetof(struct mode_section, masquerade_bit),       JSON_OPTIONAL, &bit_range },
        { "masqueradeAll", decode_bool,     offsetof(struct mode_section, masquerade_all),       JSON_OPTIONAL, NULL },
        { "syncPeriod",    decode_duration, offsetof(struct mode_section, sync_period_usec),     JSON_OPTIONAL, NULL },
        { "minSyncPeriod", decode_duration, offsetof(struct mode_section, min_sync_period_usec), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field detect_fields[] = {
        { "bridgeInterface",     decode_string, offsetof(struct raw_detect_local, bridge_interface),      JSON_OPTIONAL, NULL },
        { "interfaceNamePrefix", decode_string, offsetof(struct raw_detect_local, interface_name_prefix), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field client_fields[] = {
        { "kubeconfig", decode_string, offsetof(struct raw_client, kubeconfig), JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field conntrack_fields[] = {
        { "maxPerCore",            decode_u32,      offsetof(struct raw_conntrack, max_per_core),         JSON_OPTIONAL, &count_range },
        { "min",                   decode_u32,      offsetof(struct raw_conntrack, min),                  JSON_OPTIONAL, &count_range },
        { "tcpEstablishedTimeout", decode_duration, offsetof(struct raw_conntrack, tcp_established_usec), JSON_OPTIONAL, NULL },
        { "tcpCloseWaitTimeout",   decode_duration, offsetof(struct raw_conntrack, tcp_close_wait_usec),  JSON_OPTIONAL, NULL },
        { "tcpBeLiberal",          decode_bool,     offsetof(struct raw_conntrack, tcp_be_liberal),       JSON_OPTIONAL, NULL },
        { "udpTimeout",            decode_duration, offsetof(struct raw_conntrack, udp_usec),             JSON_OPTIONAL, NULL },
        { "udpStreamTimeout",      decode_duration, offsetof(struct raw_conntrack, udp_stream_usec),      JSON_OPTIONAL, NULL },
        {}
};
static const struct json_field root_fields[] = {
        { "apiVersion",         decode_string,   offsetof(struct raw_config, api_version),         JSON_REQUIRED, NULL },
        { "kind",               decode_string,   offsetof(struct raw_config, kind),                JSON_REQUIRED, NULL },
        { "bindAddress",        decode_string,   offsetof(struct raw_config, bind_address),        JSON_OPTIONAL, NULL },
        { "healthzBindAddress", decode_string,   offsetof(struct raw_config, healthz_address),     JSON_OPTIONAL, NULL },
        { "metricsBindAddress", decode_string,   offsetof(struct raw_config, metrics_address),     JSON_OPTIONAL, NULL },
        { "clusterCIDR",        decode_string,   offsetof(struct raw_config, cluster_cidr),        JSON_OPTIONAL, NULL },
        { "nodePortAddresses",  decode_strv,     offsetof(struct raw_config, node_port_addresses), JSON_OPTIONAL, NULL },
        { "mode",               decode_enum,     offsetof(struct raw_config, mode),                JSON_OPTIONAL, mode_names },
        { "detectLocalMode",    decode_enum,     offsetof(struct raw_config, detect_local),        JSON_OPTIONAL, detect_local_names },
        { "detectLocal",        decode_object,   offsetof(struct raw_config, detect),              JSON_OPTIONAL, detect_fields },
        { "clientConnection",   decode_object,   offsetof(struct raw_config, client),              JSON_OPTIONAL, client_fields },
        { "conntrack",          decode_object,   offsetof(struct raw_config, conntrack),           JSON_OPTIONAL, conntrack_fields },
        { "iptables",           decode_object,   offsetof(struct raw_config, iptables),            JSON_OPTIONAL, section_fields },
        { "ipvs",               decode_object,   offsetof(struct raw_config, ipvs),                JSON_OPTIONAL, section_fields },
        { "nftables",           decode_object,   offsetof(struct raw_config, nftables),            JSON_OPTIONAL, section_fields },
        { "hostnameOverride",   decode_string,   offsetof(struct raw_config, hostname_override),   JSON_OPTIONAL, NULL },
        { "oomScoreAdj",        decode_i32,      offsetof(struct raw_config, oom_score_adj),       JSON_OPTIONAL, &oom_range },
        {}
}; /* clang-format on */

static void raw_done(struct raw_config *raw)
{
        free(raw->api_version);
        free(raw->kind);
        free(raw->bind_address);
        free(raw->healthz_address);
        free(raw->metrics_address);
        free(raw->cluster_cidr);
        strv_free(raw->node_port_addresses);
        free(raw->detect.bridge_interface);
        free(raw->detect.interface_name_prefix);
        free(raw->client.kubeconfig);
        free(raw->hostname_override);
}

void proxy_config_init(struct proxy_config *c)
{
        *c = (struct proxy_config){
                .bind_address = { .family = AF_INET },
                .healthz_ip = { .family = AF_INET },
                .healthz_port = HEALTHZ_PORT,
                .metrics_ip = { .family = AF_INET, .bytes = { 127, 0, 0, 1 } },
                .metrics_port = METRICS_PORT,
                .masquerade_bit = 14,
                .sync_period_usec = 30 * USEC_PER_SEC,
                .min_sync_period_usec = USEC_PER_SEC,
                .node_ports_on_primary = true,
                .conntrack_max_per_core = 32768,
                .conntrack_min = 131072,
                .tcp_established_timeout_usec = 24 * 60 * USEC_PER_MINUTE,
                .tcp_close_wait_timeout_usec = 60 * USEC_PER_MINUTE,
                .oom_score_adj = -999,
        };
}

void proxy_config_done(struct proxy_config *c)
{
        free(c->kubeconfig);
        free(c->hostname_override);
        free(c->bridge_interface);
        free(c->interface_name_prefix);
        free(c->node_port_cidrs);
        *c = (struct proxy_config){ 0 };
}

static int bad(struct err *err, const char *field, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': expected %s", field, value,
                            rule);
}

/* "IP", "IP:port", "[IP]:port"; the port is optional, as in kube-proxy's defaults. */
static int parse_bind_address(const char *field, const char *text, struct ip *ip, uint16_t *port,
                              struct err *err)
{
        static const char rule[] = "an IP address and a port, such as 127.0.0.1:10249";
        _cleanup_free_ char *host = NULL;
        const char *colon = strrchr(text, ':');

        if (ip_parse_sloppy(text, ip) == 0)
                return 0; /* no port: also an IPv6 address without brackets */
        if (!colon)
                return bad(err, field, text, rule);
        if (text[0] == '[' && colon > text + 1 && colon[-1] == ']')
                host = strndup(text + 1, (size_t)(colon - text) - 2);
        else
                host = strndup(text, (size_t)(colon - text));
        if (!host)
                return err_sys(err, -ENOMEM, "%s", field);
        if (ip_parse_sloppy(host, ip) < 0 || text_to_u16(colon + 1, port) < 0 || *port == 0)
                return bad(err, field, text, rule);
        return 0;
}

static int apply_addresses(const struct raw_config *raw, struct proxy_config *c, struct err *err)
{
        int r = 0;

        if (raw->bind_address && raw->bind_address[0] &&
            ip_parse_sloppy(raw->bind_address, &c->bind_address) < 0)
                return bad(err, "bindAddress", raw->bind_address, "an IP address");
        if (c->bind_address.family == AF_INET6) /* the servers follow it, as in defaults.go */
                c->healthz_ip = (struct ip){ .family = AF_INET6 };
        if (c->bind_address.family == AF_INET6)
                c->metrics_ip = (struct ip){ .family = AF_INET6, .bytes = { [15] = 1 } };
        if (raw->healthz_address && raw->healthz_address[0])
                r = parse_bind_address("healthzBindAddress", raw->healthz_address, &c->healthz_ip,
                                       &c->healthz_port, err);
        if (r == 0 && raw->metrics_address && raw->metrics_address[0])
                r = parse_bind_address("metricsBindAddress", raw->metrics_address, &c->metrics_ip,
                                       &c->metrics_port, err);
        return r;
}

static int apply_cluster_cidr(const struct raw_config *raw, struct proxy_config *c, struct err *err)
{
        static const char rule[] = "one CIDR, or one of each family separated by a comma";
        _cleanup_strv_ char **parts = NULL;

        if (!raw->cluster_cidr || !raw->cluster_cidr[0])
                return 0;
        if (strv_split(raw->cluster_cidr, ",", &parts) < 0)
                return err_sys(err, -ENOMEM, "clusterCIDR");
        if (strv_len(parts) == 0 || strv_len(parts) > ARRAY_SIZE(c->cluster_cidrs))
                return bad(err, "clusterCIDR", raw->cluster_cidr, rule);
        STRV_FOREACH (part, parts) {
                if (cidr_parse(*part, &c->cluster_cidrs[c->n_cluster_cidrs]) < 0)
                        return bad(err, "clusterCIDR", raw->cluster_cidr, rule);
                c->n_cluster_cidrs++;
        }
        if (c->n_cluster_cidrs == 2 &&
            c->cluster_cidrs[0].ip.family == c->cluster_cidrs[1].ip.family)
                return bad(err, "clusterCIDR", raw->cluster_cidr, rule);
        return 0;
}

static int apply_node_port_addresses(const struct raw_config *raw, struct proxy_config *c,
                                     struct err *err)
{
        size_t n = strv_len(raw->node_port_addresses);

        if (n == 0 || (n == 1 && streq(raw->node_port_addresses[0], "primary")))
                return 0;
        c->node_ports_on_primary = false;
        c->node_port_cidrs = calloc(n, sizeof *c->node_port_cidrs);
        if (!c->node_port_cidrs)
                return err_sys(err, -ENOMEM, "nodePortAddresses");
        for (; c->n_node_port_cidrs < n; c->n_node_port_cidrs++) {
                const char *text = raw->node_port_addresses[c->n_node_port_cidrs];

                if (cidr_parse(text, &c->node_port_cidrs[c->n_node_port_cidrs]) < 0)
                        return bad(err, "nodePortAddresses", text,
                                   "a CIDR, or 'primary' and nothing else");
        }
        return 0;
}

static int apply_detect_local(struct raw_config *raw, struct proxy_config *c, struct err *err)
{
        size_t max = 15; /* IFNAMSIZ without its NUL */
        const char *b = raw->detect.bridge_interface, *p = raw->detect.interface_name_prefix;

        c->detect_local = raw->detect_local > DETECT_LOCAL_INTERFACE_NAME_PREFIX
                                  ? DETECT_LOCAL_CLUSTER_CIDR
                                  : raw->detect_local;
        if (c->detect_local == DETECT_LOCAL_BRIDGE_INTERFACE && (!b || !b[0] || strlen(b) > max))
                return bad(err, "detectLocal: bridgeInterface", b ? b : "",
                           "an interface name of 1 to 15 characters");
        if (c->detect_local == DETECT_LOCAL_INTERFACE_NAME_PREFIX &&
            (!p || !p[0] || strlen(p) > max))
                return bad(err, "detectLocal: interfaceNamePrefix", p ? p : "",
                           "the first 1 to 15 characters of an interface name");
        c->bridge_interface = TAKE_PTR(raw->detect.bridge_interface);
        c->interface_name_prefix = TAKE_PTR(raw->detect.interface_name_prefix);
        return 0;
}

static int apply_section(const struct raw_config *raw, struct proxy_config *c, struct err *err)
{
        static const char *const names[] = { "iptables", "iptables", "ipvs", "nftables" };
        const struct mode_section *s = c->mode == PROXY_MODE_NFTABLES ? &raw->nftables
                                       : c->mode == PROXY_MODE_IPVS   ? &raw->ipvs
                                                                      : &raw->iptables;
        char value[TIME_TEXT_MAX];

        c->masquerade_bit = s->masquerade_bit;
        c->masquerade_all = s->masquerade_all;
        if (s->sync_period_usec > 0)
                c->sync_period_usec = s->sync_period_usec;
        c->min_sync_period_given = s->min_sync_period_usec >
                                   0; /* 0 in the file means the default */
        if (c->min_sync_period_given)
                c->min_sync_period_usec = s->min_sync_period_usec;
        if (c->min_sync_period_usec > c->sync_period_usec)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "%s: minSyncPeriod: '%s': expected at most syncPeriod",
                                    names[c->mode],
                                    duration_format(c->min_sync_period_usec, value));
        return 0;
}

static void apply_plain(struct raw_config *raw, struct proxy_config *c)
{
        c->mode = (enum proxy_mode)raw->mode;
        c->kubeconfig = TAKE_PTR(raw->client.kubeconfig);
        c->hostname_override = TAKE_PTR(raw->hostname_override);
        c->conntrack_max_per_core = raw->conntrack.max_per_core;
        c->conntrack_min = raw->conntrack.min;
        c->tcp_be_liberal = raw->conntrack.tcp_be_liberal;
        c->tcp_established_timeout_usec = raw->conntrack.tcp_established_usec;
        c->tcp_close_wait_timeout_usec = raw->conntrack.tcp_close_wait_usec;
        c->udp_timeout_usec = raw->conntrack.udp_usec;
        c->udp_stream_timeout_usec = raw->conntrack.udp_stream_usec;
        c->oom_score_adj = raw->oom_score_adj;
}

int proxy_config_decode(const json_t *root, struct proxy_config *c, struct err *err)
{
        static const struct mode_section section = { .masquerade_bit = 14 };
        _cleanup_(raw_done)
        struct raw_config raw = {
                .iptables = section,
                .ipvs = section,
                .nftables = section,
                .oom_score_adj = c->oom_score_adj,
                .conntrack = { .max_per_core = c->conntrack_max_per_core,
                               .min = c->conntrack_min,
                               .tcp_established_usec = c->tcp_established_timeout_usec,
                               .tcp_close_wait_usec = c->tcp_close_wait_timeout_usec },
        };
        int r = json_decode(root, root_fields, &raw, err);

        if (r < 0)
                return r;
        if (!streq(raw.api_version, API_VERSION))
                return bad(err, "apiVersion", raw.api_version, API_VERSION);
        if (!streq(raw.kind, KIND))
                return bad(err, "kind", raw.kind, KIND);
        apply_plain(&raw, c);
        r = apply_addresses(&raw, c, err);
        if (r == 0)
                r = apply_cluster_cidr(&raw, c, err);
        if (r == 0)
                r = apply_node_port_addresses(&raw, c, err);
        if (r == 0)
                r = apply_detect_local(&raw, c, err);
        if (r == 0)
                r = apply_section(&raw, c, err);
        return r;
}
