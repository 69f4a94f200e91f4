#include "netproxy/service.h"

#include <errno.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

#define META \
        "\"metadata\":{\"namespace\":\"ns\",\"name\":\"web\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"}"

static int try_decode(const char *spec, struct service **ret, struct err *err)
{
        _cleanup_free_ char *text = text_printf("{" META ",%s}", spec);
        json_auto_t *root = NULL;

        CHECK(text && json_parse(text, strlen(text), true, &root, err) == 0);
        return service_decode(root, ret, err);
}

static struct service *decode(const char *spec)
{
        struct service *s = NULL;
        struct err err = { 0 };

        if (try_decode(spec, &s, &err) < 0)
                fail_msg("%s", err_text(&err));
        err_done(&err);
        return s;
}

TEST(a_cluster_ip_service_has_its_defaults)
{
        _cleanup_(service_unrefp)
        struct service *s = decode("\"spec\":{\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":80,"
                                   "\"targetPort\":8080}]}");

        CHECK_STR(s->key, "ns/web");
        CHECK(s->created > 0);
        CHECK_INT(s->ports[0].protocol, IPPROTO_TCP);
        CHECK_STR(s->ports[0].name, "");
        CHECK(service_cluster_ip(s, AF_INET) != NULL && service_cluster_ip(s, AF_INET6) == NULL);
        CHECK(service_port_uses_cluster(s, &s->ports[0], AF_INET));
        CHECK(!service_port_uses_local(s, &s->ports[0], AF_INET));
        CHECK(!service_port_is_external(s, &s->ports[0], AF_INET));
        CHECK_INT(s->affinity_sec, 0);
}

TEST(what_is_not_proxied_is_nothing)
{
        CHECK(decode("\"spec\":{\"clusterIP\":\"None\"}") == NULL);
        CHECK(decode("\"spec\":{\"clusterIP\":\"\"}") == NULL);
        CHECK(decode("\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"example.com\"}") ==
              NULL);
}

TEST(both_families_have_their_own_addresses)
{
        _cleanup_(service_unrefp)
        struct service *s = decode(
                "\"spec\":{\"clusterIP\":\"fd00::10\",\"clusterIPs\":[\"fd00::10\",\"10.96.0.10\"],"
                "\"externalIPs\":[\"192.0.2.1\"],\"ports\":[{\"port\":80,\"nodePort\":0}]}");
        char text[IP_TEXT_MAX];

        CHECK_STR(ip_format(service_cluster_ip(s, AF_INET), text), "10.96.0.10");
        CHECK_STR(ip_format(service_cluster_ip(s, AF_INET6), text), "fd00::10");
        CHECK(service_port_is_external(s, &s->ports[0], AF_INET));
        CHECK(!service_port_is_external(s, &s->ports[0], AF_INET6));
}

TEST(a_load_balancer_gives_its_vips_ranges_and_health_port)
{
        _cleanup_(service_unrefp)
        struct service *s = decode(
                "\"spec\":{\"type\":\"LoadBalancer\",\"clusterIP\":\"10.96.0.10\","
                "\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":30100,"
                "\"sessionAffinity\":\"ClientIP\",\"loadBalancerSourceRanges\":[\" 192.0.2.0/24 \","
                "\"2001:db8::/32\",\"::/0\"],\"ports\":[{\"port\":80,\"nodePort\":30080}]},"
                "\"status\":{\"loadBalancer\":{\"ingress\":[{\"ip\":\"198.51.100.1\"},"
                "{\"ip\":\"198.51.100.2\",\"ipMode\":\"Proxy\"},{\"hostname\":\"lb\"},"
                "{\"ip\":\"198.51.100.3\",\"ipMode\":\"VIP\"}]}}");

        CHECK_INT(s->n_vips, 2);
        CHECK_INT(s->vips[1].bytes[3], 3);
        CHECK_INT(s->n_source_ranges, 1); /* everybody may, over IPv6 */
        CHECK(s->external_local);
        CHECK_INT(s->health_check_node_port, 30100);
        CHECK_INT(s->affinity_sec, 10800);
        CHECK(service_port_uses_local(s, &s->ports[0], AF_INET));
        CHECK(service_port_uses_cluster(s, &s->ports[0], AF_INET));
}

TEST(policies_count_only_where_they_apply)
{
        _cleanup_(service_unrefp)
        struct service *plain = decode(
                "\"spec\":{\"clusterIP\":\"10.96.0.10\",\"externalTrafficPolicy\":\"Local\","
                "\"ports\":[{\"port\":80}]}");
        _cleanup_(service_unrefp)
        struct service *internal = decode(
                "\"spec\":{\"clusterIP\":\"10.96.0.10\",\"internalTrafficPolicy\":\"Local\","
                "\"ports\":[{\"port\":80}]}");
        _cleanup_(service_unrefp)
        struct service *external = decode(
                "\"spec\":{\"clusterIP\":\"10.96.0.10\",\"externalTrafficPolicy\":\"Local\","
                "\"externalIPs\":[\"192.0.2.1\"],\"ports\":[{\"port\":80}]}");

        CHECK(!plain->external_local);
        CHECK(external->external_local);
        CHECK(service_port_uses_local(internal, &internal->ports[0], AF_INET));
        CHECK(!service_port_uses_cluster(internal, &internal->ports[0], AF_INET));
}

TEST(addresses_of_the_nodes_own_loopback_are_left_out)
{
        _cleanup_(service_unrefp)
        struct service *s = NULL;
        _cleanup_err_ struct err err = { 0 };

        CHECK(try_decode("\"spec\":{\"clusterIP\":\"10.96.0.10\",\"externalIPs\":[\"127.0.0.1\","
                         "\"169.254.169.254\",\"192.0.2.1\"],\"ports\":[{\"port\":80}]}",
                         &s, &err) == 0);
        CHECK_INT(s->n_external_ips, 1);
        CHECK_CONTAINS(err_text(&err), "spec: externalIPs: '169.254.169.254': left out");
}

TEST(a_service_that_breaks_a_rule_is_refused_by_path)
{
        static const struct {
                const char *spec, *error;
        } cases[] = {
                { "\"spec\":{\"ports\":[{\"port\":0}]}",
                  "spec: ports: [0]: port: 0: expected 1 to 65535" },
                { "\"spec\":{\"ports\":[{\"port\":80,\"protocol\":\"ICMP\"}]}",
                  "spec: ports: [0]: protocol: 'ICMP': expected one of TCP, UDP, SCTP" },
                { "\"spec\":{\"clusterIP\":\"x\"}",
                  "spec: clusterIPs: 'x': expected an IP address" },
                { "\"spec\":{\"clusterIP\":\"10.0.0.1\",\"externalIPs\":[\"host\"]}",
                  "spec: externalIPs: 'host': expected an IP address" },
                { "\"spec\":{\"clusterIP\":\"10.0.0.1\",\"loadBalancerSourceRanges\":[\"1.2.3.4\"]}",
                  "spec: loadBalancerSourceRanges: '1.2.3.4': expected a CIDR" },
                { "\"spec\":{\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":86401}}}",
                  "spec: sessionAffinityConfig: clientIP: timeoutSeconds: 86401: expected 1 to "
                  "86400" },
                { "\"spec\":{\"clusterIPs\":[\"10.0.0.1\",\"fd00::1\",\"10.0.0.2\"],"
                  "\"clusterIP\":\"10.0.0.1\"}",
                  "spec: clusterIPs: expected at most two" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(service_unrefp)
                struct service *s = NULL;
                _cleanup_err_ struct err err = { 0 };

                CHECK(try_decode(cases[i].spec, &s, &err) < 0);
                CHECK_STR(err_text(&err), cases[i].error);
        }
}

TEST(of_two_services_the_older_one_comes_first)
{
        struct service old = { .key = (char *)"ns/z", .created = 1 };
        struct service new = { .key = (char *)"ns/a", .created = 2 };
        struct service same = { .key = (char *)"ns/b", .created = 2 };

        CHECK(service_compare(&old, &new) < 0);
        CHECK(service_compare(&new, &same) < 0);
}
