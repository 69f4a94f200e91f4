#include "kubelet/admission.h"

#include "base/text.h"
#include "tests/check.h"

#define ONE_CONTAINER "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}"

static struct pod *make(const char *spec)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *spec_json = NULL, *object = NULL;
        struct pod *p = NULL;

        CHECK_INT(json_parse(spec, strlen(spec), true, &spec_json, &err), 0);
        object = json_pack("{s:{s:s, s:s, s:s}, s:O}", "metadata", "name", "p", "namespace", "ns",
                           "uid", "u", "spec", spec_json);
        if (pod_decode(object, POD_SOURCE_API, &p, &err) < 0)
                fail_msg("%s", err_text(&err));
        return p;
}

static const char plain[] = "{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}";

static struct admission_node node_with(json_t *object)
{
        return (struct admission_node){ .node = object,
                                        .name = "n1",
                                        .allocatable = { 2000, 1 << 30, 1 << 30 },
                                        .max_pods = 3 };
}

/* The reason of the refusal, or "" when admitted. */
static const char *check(const char *spec, const struct admission_node *node,
                         const struct pod *const *others, size_t n)
{
        static char reason[256];
        _cleanup_(pod_unrefp)
        struct pod *p = make(spec);
        struct admission_refusal r = { 0 };
        int result = admission_check(p, node, others, n, &r);

        CHECK(result >= 0);
        snprintf(reason, sizeof reason, "%s: %s", r.reason ? r.reason : "",
                 r.message ? r.message : "");
        admission_refusal_done(&r);
        return result ? reason : "";
}

TEST(an_ordinary_pod_is_admitted)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        const struct admission_node node = node_with(object);

        CHECK_STR(check(plain, &node, NULL, 0), "");
}

TEST(extended_resources_are_counted_and_those_the_node_does_not_have_are_not_ours)
{
        json_auto_t *object = json_pack("{s:{}, s:{s:{s:s}}}", "metadata", "status", "allocatable",
                                        "example.com/dongle", "3");
        const struct admission_node node = node_with(object);
        static const char two[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"example.com/dongle\":\"2\"}}}]}";
        static const char other_kind[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"example.com/other\":\"2\"}}}]}";
        _cleanup_(pod_unrefp)
        struct pod *other = make(two);
        const struct pod *others[] = { other };

        CHECK_STR(check(two, &node, NULL, 0), "");
        CHECK_STR(
                check(two, &node, others, 1),
                "OutOfexample.com/dongle: Node didn't have enough resource: example.com/dongle, requested: 2, used: 2, capacity: 3");
        CHECK_STR(check(other_kind, &node, others, 1), "");
}

TEST(huge_pages_that_the_node_lacks_are_refused)
{
        json_auto_t *object = json_pack("{s:{}, s:{s:{s:s}}}", "metadata", "status", "allocatable",
                                        "cpu", "3");
        const struct admission_node node = node_with(object);

        CHECK_STR(
                check("{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"hugepages-2Mi\":\"4Mi\"}}}]}",
                      &node, NULL, 0),
                "OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi, requested: 4194304, used: 0, capacity: 0");
}

TEST(a_machine_that_shuts_down_takes_no_pod)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        struct admission_node node = node_with(object);

        node.is_shutting_down = true;
        CHECK_STR(check(plain, &node, NULL, 0),
                  "NodeShutdown: Pod was rejected as the node is shutting down.");
}

TEST(requests_of_all_pods_must_fit)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        const struct admission_node node = node_with(object);
        static const char wants[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{\"requests\":{\"cpu\":\"1200m\"}}}]}";
        _cleanup_(pod_unrefp)
        struct pod *other = make(wants);
        const struct pod *others[] = { other };

        CHECK_STR(check(wants, &node, NULL, 0), "");
        CHECK_STR(
                check(wants, &node, others, 1),
                "OutOfcpu: Node didn't have enough resource: cpu, requested: 1200, used: 1200, capacity: 2000");
}

TEST(the_number_of_pods_is_limited)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        const struct admission_node node = node_with(object);
        _cleanup_(pod_unrefp)
        struct pod *other = make(plain);
        const struct pod *others[] = { other, other, other };

        CHECK_STR(
                check(plain, &node, others, 3),
                "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 3, capacity: 3");
}

TEST(node_selector_and_affinity_are_checked_against_labels)
{
        json_auto_t *object = json_pack("{s:{s:{s:s, s:s}}}", "metadata", "labels", "disk", "ssd",
                                        "size", "7");
        const struct admission_node node = node_with(object);
        static const char *const fits[] = {
                "{\"nodeSelector\":{\"disk\":\"ssd\"}," ONE_CONTAINER,
                "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":["
                "{\"matchExpressions\":[{\"key\":\"size\",\"operator\":\"Gt\",\"values\":[\"5\"]},{\"key\":\"x\",\"operator\":\"DoesNotExist\"}]}]}}}," ONE_CONTAINER,
                "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":["
                "{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n1\"]}]}]}}}," ONE_CONTAINER,
        };
        static const char *const misses[] = {
                "{\"nodeSelector\":{\"disk\":\"hdd\"}," ONE_CONTAINER,
                "{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":["
                "{\"matchExpressions\":[{\"key\":\"size\",\"operator\":\"Lt\",\"values\":[\"5\"]}]}]}}}," ONE_CONTAINER,
        };

        for (size_t i = 0; i < ARRAY_SIZE(fits); i++)
                CHECK_STR(check(fits[i], &node, NULL, 0), "");
        for (size_t i = 0; i < ARRAY_SIZE(misses); i++)
                CHECK_CONTAINS(check(misses[i], &node, NULL, 0), "NodeAffinity: ");
}

TEST(only_no_execute_taints_count_and_can_be_tolerated)
{
        json_auto_t *object = json_pack("{s:{}, s:{s:[{s:s,s:s},{s:s,s:s,s:s}]}}", "metadata",
                                        "spec", "taints", "key", "a", "effect", "NoSchedule", "key",
                                        "b", "value", "v", "effect", "NoExecute");
        const struct admission_node node = node_with(object);

        CHECK_CONTAINS(check(plain, &node, NULL, 0), "TaintToleration: ");
        CHECK_STR(check("{\"tolerations\":[{\"key\":\"b\",\"value\":\"v\"}]," ONE_CONTAINER, &node,
                        NULL, 0),
                  "");
        CHECK_STR(check("{\"tolerations\":[{\"operator\":\"Exists\"}]," ONE_CONTAINER, &node, NULL,
                        0),
                  "");
}

TEST(a_node_that_is_short_of_something_takes_critical_pods_only)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        struct admission_node node = node_with(object);

        node.disk_pressure = true;
        CHECK_STR(check(plain, &node, NULL, 0),
                  "Evicted: The node had condition: [DiskPressure]. ");
        CHECK_STR(check("{\"priority\":2000000000," ONE_CONTAINER, &node, NULL, 0), "");
        node.memory_pressure = node.pid_pressure = true;
        CHECK_STR(check(plain, &node, NULL, 0),
                  "Evicted: The node had condition: [MemoryPressure DiskPressure PIDPressure]. ");
        node.disk_pressure = false;
        CHECK_STR(check(plain, &node, NULL, 0),
                  "Evicted: The node had condition: [MemoryPressure PIDPressure]. ");
}

TEST(one_short_of_memory_alone_takes_who_says_how_much_it_needs_or_tolerates_that)
{
        static const char burstable[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":"
                "{\"requests\":{\"memory\":\"1Mi\"}}}]}";
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        struct admission_node node = node_with(object);

        node.memory_pressure = true;
        CHECK_STR(check(plain, &node, NULL, 0),
                  "Evicted: The node had condition: [MemoryPressure]. ");
        CHECK_STR(check(burstable, &node, NULL, 0), "");
        CHECK_STR(check("{\"tolerations\":[{\"key\":\"node.kubernetes.io/memory-pressure\","
                        "\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}]," ONE_CONTAINER,
                        &node, NULL, 0),
                  "");
        CHECK_CONTAINS(check("{\"tolerations\":[{\"key\":\"node.kubernetes.io/memory-pressure\","
                             "\"operator\":\"Exists\",\"effect\":\"NoExecute\"}]," ONE_CONTAINER,
                             &node, NULL, 0),
                       "MemoryPressure");
        node.pid_pressure = true;
        CHECK_CONTAINS(check(burstable, &node, NULL, 0), "[MemoryPressure PIDPressure]");
}

TEST(a_host_port_is_given_once_per_address_and_protocol)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        const struct admission_node node = node_with(object);
        static const char tcp[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080,\"hostIP\":\"10.0.0.1\"}]}]}";
        static const char udp[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080,\"protocol\":\"UDP\"}]}]}";
        static const char any[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"ports\":[{\"containerPort\":80,\"hostPort\":8080}]}]}";
        _cleanup_(pod_unrefp)
        struct pod *other = make(tcp);
        const struct pod *others[] = { other };

        CHECK_STR(check(udp, &node, others, 1), "");
        CHECK_CONTAINS(check(any, &node, others, 1), "NodePorts: ");
}

TEST(sysctls_are_safe_or_allowed)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        struct admission_node node = node_with(object);
        static const char unsafe[] =
                "{\"securityContext\":{\"sysctls\":[{\"name\":\"kernel/msgmax\",\"value\":\"1\"}]}," ONE_CONTAINER;
        char *allowed[] = { "kernel.msg*", NULL };

        CHECK_STR(
                check("{\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_syncookies\",\"value\":\"1\"}]}," ONE_CONTAINER,
                      &node, NULL, 0),
                "");
        CHECK_STR(check(unsafe, &node, NULL, 0),
                  "SysctlForbidden: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
        node.allowed_unsafe_sysctls = allowed;
        CHECK_STR(check(unsafe, &node, NULL, 0), "");
        CHECK_CONTAINS(
                check("{\"hostNetwork\":true,\"securityContext\":{\"sysctls\":[{\"name\":\"net.ipv4.tcp_syncookies\",\"value\":\"1\"}]}," ONE_CONTAINER,
                      &node, NULL, 0),
                "not allowed with host Net enabled");
}

TEST(a_pod_that_wants_apparmor_is_not_run_without)
{
        static const char of_pod[] =
                "{\"securityContext\":{\"appArmorProfile\":{\"type\":\"RuntimeDefault\"}}," ONE_CONTAINER;
        static const char unconfined[] =
                "{\"securityContext\":{\"appArmorProfile\":{\"type\":\"Unconfined\"}}," ONE_CONTAINER;
        static const char of_container[] =
                "{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"securityContext\":{"
                "\"appArmorProfile\":{\"type\":\"Localhost\",\"localhostProfile\":\"x\"}}}]}";
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        struct admission_node node = node_with(object);

        CHECK_STR(check(of_pod, &node, NULL, 0),
                  "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host");
        CHECK_CONTAINS(check(of_container, &node, NULL, 0), "AppArmor: ");
        CHECK_STR(check(unconfined, &node, NULL, 0), "");
        node.has_apparmor = true;
        CHECK_STR(check(of_pod, &node, NULL, 0), "");
        CHECK_STR(check(of_container, &node, NULL, 0), "");
}

TEST(what_the_node_does_not_do_is_refused_by_name)
{
        json_auto_t *object = json_pack("{s:{}}", "metadata");
        const struct admission_node node = node_with(object);

        CHECK_CONTAINS(check("{\"hostUsers\":false," ONE_CONTAINER, &node, NULL, 0),
                       "hostUsers: false");
        CHECK_CONTAINS(check("{\"os\":{\"name\":\"windows\"}," ONE_CONTAINER, &node, NULL, 0),
                       "PodOSNotSupported");
}
