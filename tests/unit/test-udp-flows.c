#include "netproxy/udp-flows.h"

#include "tests/check.h"
#include "tests/unit/proxy-fixture.h"

static const char dns_spec[] = "\"clusterIP\":\"10.96.0.10\",\"externalIPs\":[\"198.51.100.1\"],"
                               "\"ports\":[{\"name\":\"dns\",\"protocol\":\"UDP\",\"port\":53,"
                               "\"nodePort\":30053},{\"name\":\"http\",\"port\":80}]";

static struct udp_flow flow(const char *dst, uint16_t dst_port, const char *answers,
                            uint16_t answers_port)
{
        struct udp_flow f = { .dst_port = dst_port,
                              .answers_port = answers_port,
                              .src_port = 4000 };

        CHECK(ip_parse("10.244.0.9", &f.src) == 0 && ip_parse(dst, &f.dst) == 0 &&
              ip_parse(answers, &f.answers) == 0);
        return f;
}

static bool is_stale(struct udp_plan *p, const char *dst, uint16_t dst_port, const char *answers,
                     uint16_t answers_port)
{
        struct udp_flow f = flow(dst, dst_port, answers, answers_port);

        return udp_flow_is_stale(p, &f);
}

TEST(flows_to_endpoints_that_serve_stay_and_all_others_go)
{
        _cleanup_(service_unrefp)
        struct service *s = make_service("dns", dns_spec);
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *slice = make_slice("dns", "http", 8080, "10.244.0.1 10.244.0.2");
        const struct endpoint_slice *slices[] = { slice };
        _cleanup_(udp_plan_done)
        struct udp_plan p = { 0 };

        slice->endpoints[1].flags = ENDPOINT_SERVING |
                                    ENDPOINT_TERMINATING; /* leaves, but serves */
        CHECK(udp_plan_add(&p, NULL, s, slices, 1) == 0);
        CHECK(!is_stale(&p, "10.96.0.10", 53, "10.244.0.1", 53));
        CHECK(!is_stale(&p, "10.96.0.10", 53, "10.244.0.2", 53));
        CHECK(is_stale(&p, "10.96.0.10", 53, "10.244.0.3", 53));
        CHECK(is_stale(&p, "10.96.0.10", 53, "10.244.0.1", 5353)); /* target port changed */
        CHECK(is_stale(&p, "10.96.0.10", 53, "10.96.0.10", 53));   /* began before the Service */
        CHECK(is_stale(&p, "198.51.100.1", 53, "10.244.0.3", 53));
        CHECK(is_stale(&p, "192.0.2.1", 30053, "10.244.0.3", 53));
        CHECK(!is_stale(&p, "192.0.2.1", 30053, "10.244.0.1", 53));
}

TEST(flows_that_have_nothing_to_do_with_it_stay)
{
        _cleanup_(service_unrefp)
        struct service *s = make_service("dns", dns_spec);
        _cleanup_(udp_plan_done)
        struct udp_plan p = { 0 };

        CHECK(udp_plan_add(&p, NULL, s, NULL, 0) == 0);
        CHECK(!is_stale(&p, "10.96.0.11", 53, "10.244.0.3", 53));
        CHECK(!is_stale(&p, "10.96.0.10", 80, "10.244.0.3", 8080)); /* a TCP port's number */
        CHECK(!is_stale(&p, "8.8.8.8", 30053, "8.8.8.8", 30053));   /* a node port's number */
        CHECK(is_stale(&p, "10.96.0.10", 53, "10.244.0.1", 53));    /* nobody serves any more */
}

TEST(addresses_that_a_service_lost_lead_to_nobody)
{
        _cleanup_(service_unrefp)
        struct service *before = make_service("dns", dns_spec),
                       *now = make_service(
                               "dns", "\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"name\":\"dns\","
                                      "\"protocol\":\"UDP\",\"port\":53}]");
        _cleanup_(endpoint_slice_freep)
        struct endpoint_slice *slice = make_slice("dns", "http", 8080, "10.244.0.1");
        const struct endpoint_slice *slices[] = { slice };
        _cleanup_(udp_plan_done)
        struct udp_plan p = { 0 };

        CHECK(udp_plan_add(&p, before, now, slices, 1) == 0);
        CHECK(!is_stale(&p, "10.96.0.10", 53, "10.244.0.1", 53));
        CHECK(is_stale(&p, "198.51.100.1", 53, "10.244.0.1", 53));
        CHECK(is_stale(&p, "192.0.2.1", 30053, "10.244.0.1", 53));
        CHECK(udp_plan_add(&p, now, NULL, NULL, 0) == 0); /* and now it goes */
        CHECK(is_stale(&p, "10.96.0.10", 53, "10.244.0.1", 53));
}

TEST(a_service_without_udp_costs_nothing)
{
        _cleanup_(service_unrefp)
        struct service *s = make_service("web",
                                         "\"clusterIP\":\"10.96.0.10\",\"ports\":[{\"port\":80}]");
        _cleanup_(udp_plan_done)
        struct udp_plan p = { 0 };

        CHECK(udp_plan_add(&p, s, s, NULL, 0) == 0);
        CHECK_INT(p.n, 0);
}
