#include "netproxy/config.h"

#include <errno.h>

#include "base/text.h"
#include "base/yaml.h"
#include "tests/check.h"

#define HEAD "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

static int decode(const char *yaml, struct proxy_config *c, struct err *err)
{
        json_auto_t *root = NULL;

        CHECK(yaml_parse(yaml, strlen(yaml), &root, err) == 0);
        proxy_config_init(c);
        return proxy_config_decode(root, c, err);
}

TEST(an_empty_configuration_has_kube_proxys_defaults)
{
        _cleanup_(proxy_config_done)
        struct proxy_config c;

        CHECK(decode(HEAD, &c, NULL) == 0);
        CHECK_INT(c.healthz_port, 10256);
        CHECK(ip_is_unspecified(&c.healthz_ip) && ip_is_loopback(&c.metrics_ip));
        CHECK_INT(c.metrics_port, 10249);
        CHECK_INT(c.masquerade_bit, 14);
        CHECK(c.node_ports_on_primary && !c.masquerade_all && !c.min_sync_period_given);
        CHECK_INT(c.sync_period_usec, 30 * USEC_PER_SEC);
        CHECK_INT(c.min_sync_period_usec, USEC_PER_SEC);
        CHECK_INT(c.detect_local, DETECT_LOCAL_CLUSTER_CIDR);
        CHECK_INT(c.oom_score_adj, -999);
}

TEST(what_kubeadm_writes_is_understood)
{
        static const char yaml[] = HEAD "bindAddress: 0.0.0.0\n"
                                        "bindAddressHardFail: false\n"
                                        "clientConnection:\n"
                                        "  acceptContentTypes: \"\"\n"
                                        "  burst: 0\n"
                                        "  contentType: \"\"\n"
                                        "  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf\n"
                                        "  qps: 0\n"
                                        "clusterCIDR: 10.244.0.0/16,fd00:10::/64\n"
                                        "configSyncPeriod: 0s\n"
                                        "conntrack:\n"
                                        "  maxPerCore: 0\n"
                                        "  min: null\n"
                                        "  tcpBeLiberal: true\n"
                                        "  tcpCloseWaitTimeout: null\n"
                                        "  tcpEstablishedTimeout: 0s\n"
                                        "detectLocal:\n"
                                        "  bridgeInterface: \"\"\n"
                                        "  interfaceNamePrefix: \"\"\n"
                                        "detectLocalMode: \"\"\n"
                                        "enableProfiling: false\n"
                                        "healthzBindAddress: \"\"\n"
                                        "hostnameOverride: \"\"\n"
                                        "iptables:\n"
                                        "  localhostNodePorts: null\n"
                                        "  masqueradeAll: false\n"
                                        "  masqueradeBit: null\n"
                                        "  minSyncPeriod: 0s\n"
                                        "  syncPeriod: 0s\n"
                                        "logging:\n"
                                        "  flushFrequency: 0\n"
                                        "metricsBindAddress: \"\"\n"
                                        "mode: nftables\n"
                                        "nftables:\n"
                                        "  masqueradeAll: true\n"
                                        "  masqueradeBit: 3\n"
                                        "  minSyncPeriod: 250ms\n"
                                        "  syncPeriod: 10s\n"
                                        "nodePortAddresses: null\n"
                                        "oomScoreAdj: null\n"
                                        "portRange: \"\"\n"
                                        "windows: {}\n";
        _cleanup_(proxy_config_done)
        struct proxy_config c;
        _cleanup_err_ struct err err = { 0 };

        if (decode(yaml, &c, &err) < 0)
                fail_msg("%s", err_text(&err));
        CHECK_STR(c.kubeconfig, "/var/lib/kube-proxy/kubeconfig.conf");
        CHECK_INT(c.n_cluster_cidrs, 2);
        CHECK(c.masquerade_all && c.tcp_be_liberal && c.min_sync_period_given);
        CHECK_INT(c.masquerade_bit, 3);
        CHECK_INT(c.min_sync_period_usec, 250 * USEC_PER_MSEC);
        CHECK_INT(c.conntrack_max_per_core, 0);
        CHECK_INT(c.tcp_established_timeout_usec, 0);
        CHECK_INT(c.tcp_close_wait_timeout_usec, 60 * USEC_PER_MINUTE);
}

TEST(addresses_to_serve_on_may_lack_their_port_and_be_of_either_family)
{
        _cleanup_(proxy_config_done)
        struct proxy_config c, d;

        CHECK(decode(HEAD "healthzBindAddress: 127.0.0.1\nmetricsBindAddress: '[::1]:1234'\n", &c,
                     NULL) == 0);
        CHECK(ip_is_loopback(&c.healthz_ip));
        CHECK_INT(c.healthz_port, 10256);
        CHECK_INT(c.metrics_ip.family, AF_INET6);
        CHECK_INT(c.metrics_port, 1234);
        CHECK(decode(HEAD "bindAddress: '::'\n", &d, NULL) == 0);
        CHECK_INT(d.healthz_ip.family, AF_INET6);
}

TEST(an_error_names_field_value_and_rule)
{
        static const struct {
                const char *yaml, *error;
        } cases[] = {
                { "kind: KubeProxyConfiguration\n", "apiVersion: required, but missing" },
                { "apiVersion: v1\nkind: KubeProxyConfiguration\n",
                  "apiVersion: 'v1': expected kubeproxy.config.k8s.io/v1alpha1" },
                { HEAD "mode: userspace\n",
                  "mode: 'userspace': expected one of , iptables, ipvs, nftables" },
                { HEAD "iptables: {masqueradeBit: 32}\n",
                  "iptables: masqueradeBit: 32: expected 0 to 31" },
                { HEAD "bindAddress: node-1\n", "bindAddress: 'node-1': expected an IP address" },
                { HEAD "metricsBindAddress: localhost:1\n",
                  "metricsBindAddress: 'localhost:1': expected an IP address and a port, such as "
                  "127.0.0.1:10249" },
                { HEAD "healthzBindAddress: 1.2.3.4:0\n",
                  "healthzBindAddress: '1.2.3.4:0': expected an IP address and a port, such as "
                  "127.0.0.1:10249" },
                { HEAD "clusterCIDR: 10.0.0.0/8,10.1.0.0/16\n",
                  "clusterCIDR: '10.0.0.0/8,10.1.0.0/16': expected one CIDR, or one of each family "
                  "separated by a comma" },
                { HEAD "nodePortAddresses: [primary, 10.0.0.0/8]\n",
                  "nodePortAddresses: 'primary': expected a CIDR, or 'primary' and nothing else" },
                { HEAD "detectLocalMode: BridgeInterface\n",
                  "detectLocal: bridgeInterface: '': expected an interface name of 1 to 15 "
                  "characters" },
                { HEAD "oomScoreAdj: 1001\n", "oomScoreAdj: 1001: expected -1000 to 1000" },
                { HEAD "mode: nftables\nnftables: {syncPeriod: 1s, minSyncPeriod: 2s}\n",
                  "nftables: minSyncPeriod: '2s': expected at most syncPeriod" },
                { HEAD "conntrack: {udpTimeout: -1s}\n",
                  "conntrack: udpTimeout: '-1s': expected a duration such as 1m30s" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(proxy_config_done)
                struct proxy_config c;
                _cleanup_err_ struct err err = { 0 };

                CHECK(decode(cases[i].yaml, &c, &err) < 0);
                CHECK_STR(err_text(&err), cases[i].error);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
        }
}
