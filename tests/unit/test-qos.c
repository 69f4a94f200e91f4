#include "kubelet/qos.h"

#include "base/text.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define BOTH(cpu, memory) "'cpu':'" cpu "','memory':'" memory "'"

TEST(the_class_follows_from_requests_and_limits_of_cpu_and_memory)
{
        static const struct {
                const char *spec, *qos;
        } cases[] = {
                { "{'containers':[{'name':'c'}]}", "BestEffort" },
                { "{'containers':[{'name':'c','resources':{'requests':{'cpu':'0'}}}]}",
                  "BestEffort" },
                { "{'containers':[{'name':'c','resources':{'limits':{'example.com/gpu':'1'}}}]}",
                  "BestEffort" },
                { "{'containers':[{'name':'c','resources':{'limits':{" BOTH("1", "1Gi") "}}}]}",
                  "Guaranteed" },
                { "{'containers':[{'name':'c','resources':{'limits':{" BOTH(
                          "1", "1Gi") "},'requests':{'cpu':'500m'}}}]}",
                  "Burstable" },
                { "{'containers':[{'name':'c','resources':{'limits':{'cpu':'1'}}}]}", "Burstable" },
                { "{'containers':[{'name':'c','resources':{'limits':{" BOTH(
                          "1", "1Gi") "}}},{'name':'d'}]}",
                  "Burstable" },
                { "{'initContainers':[{'name':'i'}],'containers':[{'name':'c','resources':{'limits':"
                  "{" BOTH("1", "1Gi") "}}}]}",
                  "Burstable" },
                { "{'resources':{'limits':{" BOTH("1", "1Gi") "}},'containers':[{'name':'c'}]}",
                  "Guaranteed" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(cases[i].spec, NULL);

                CHECK_STR(qos_name(pod_qos(p)), cases[i].qos);
        }
}

TEST(what_the_api_said_once_stays_the_class)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of("{'containers':[{'name':'c'}]}",
                               "'status':{'qosClass':'Burstable'}");

        CHECK_INT(pod_qos(p), QOS_BURSTABLE);
}

TEST(a_pod_asks_for_its_containers_or_for_its_greatest_init_step)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'overhead':{'cpu':'10m'},'initContainers':["
                "{'name':'s','restartPolicy':'Always','resources':{'requests':{'cpu':'100m'}}},"
                "{'name':'i','resources':{'requests':{'cpu':'2','memory':'1Mi'}}}],"
                "'containers':[{'name':'c','resources':{'requests':{'cpu':'500m','memory':'4Mi'}}},"
                "{'name':'d','resources':{'requests':{'cpu':'250m'}}}]}",
                NULL);
        _cleanup_(amounts_done)
        struct amounts a = { 0 };

        CHECK_INT(pod_requests(p, &a), 0);
        CHECK_INT(amounts_get(&a, "cpu"), 2110); /* init container with the sidecar before it */
        CHECK_INT(amounts_get(&a, "memory"), 4 << 20);
        CHECK_INT(amounts_get(&a, "pods"), POD_UNSET);
        CHECK_INT(a.n, 2);
}

TEST(pod_level_values_count_instead_and_overhead_only_raises_limits_that_are_there)
{
        _cleanup_(pod_unrefp)
        struct pod *p = pod_of(
                "{'overhead':{'cpu':'10m','memory':'1Mi'},'resources':{'limits':{'cpu':'3'},"
                "'requests':{'cpu':'1'}},'containers':[{'name':'c','resources':{'limits':{'cpu':'9'},"
                "'requests':{'cpu':'2','example.com/gpu':'1'}}}]}",
                NULL);
        _cleanup_(amounts_done)
        struct amounts requests = { 0 }, limits = { 0 };

        CHECK_INT(pod_requests(p, &requests), 0);
        CHECK_INT(pod_limits(p, &limits), 0);
        CHECK_INT(amounts_get(&requests, "cpu"), 1010);
        CHECK_INT(amounts_get(&requests, "memory"), 1 << 20);
        CHECK_INT(amounts_get(&requests, "example.com/gpu"), 1);
        CHECK_INT(amounts_get(&limits, "cpu"), 3010);
        CHECK_INT(amounts_get(&limits, "memory"), POD_UNSET);
        CHECK(pod_limit_is_declared(p, "cpu") && !pod_limit_is_declared(p, "memory"));
}

TEST(cpu_becomes_shares_and_quota)
{
        CHECK_INT(qos_cpu_shares(0), 2);
        CHECK_INT(qos_cpu_shares(1), 2);
        CHECK_INT(qos_cpu_shares(100), 102);
        CHECK_INT(qos_cpu_shares(1000), 1024);
        CHECK_INT(qos_cpu_shares(1000000), 262144);
        CHECK_INT(qos_cpu_shares(INT64_MAX), 262144);
        CHECK_INT(qos_cpu_quota(0, 100000), 0);
        CHECK_INT(qos_cpu_quota(1, 100000), 1000);
        CHECK_INT(qos_cpu_quota(1500, 100000), 150000);
        CHECK(qos_cpu_quota(INT64_MAX, 100000) > 0);
}

TEST(who_asks_for_less_memory_is_killed_first)
{
        static const struct {
                const char *spec;
                int score; /* of the first init container if any, else of the first one */
        } cases[] = {
                { "{'containers':[{'name':'c'}]}", 1000 },
                { "{'containers':[{'name':'c','resources':{'limits':{" BOTH("1", "1Gi") "}}}]}",
                  -997 },
                { "{'containers':[{'name':'c','resources':{'requests':{'memory':'250'}}}]}", 750 },
                { "{'containers':[{'name':'c','resources':{'requests':{'cpu':'1'}}}]}", 999 },
                { "{'containers':[{'name':'c','resources':{'requests':{'memory':'5000'}}}]}", 3 },
                { "{'initContainers':[{'name':'s','restartPolicy':'Always','resources':{'requests':"
                  "{'memory':'10'}}}],'containers':[{'name':'c','resources':{'requests':{'memory':"
                  "'400'}}},{'name':'d','resources':{'requests':{'memory':'300'}}}]}",
                  700 },
                { "{'resources':{'requests':{'memory':'500'}},'containers':[{'name':'c','resources':"
                  "{'requests':{'memory':'100'}}},{'name':'d'}]}",
                  700 },
                { "{'priority':2000001000,'priorityClassName':'system-node-critical','containers':"
                  "[{'name':'c'}]}",
                  -997 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(pod_unrefp)
                struct pod *p = pod_of(cases[i].spec, NULL);

                CHECK_INT(qos_oom_score_adj(p, pod_container_at(p, 0), 1000), cases[i].score);
        }
}
