#include "kubelet/node-object.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

static struct node_facts facts = {
        .machine_id = "m",
        .system_uuid = "u",
        .boot_id = "b",
        .kernel_version = "6.1",
        .os_image = "Debian",
        .architecture = "amd64",
        .cpus = 2,
        .memory_bytes = UINT64_C(8) << 30,
        .hugepages = { { UINT64_C(2) << 20, 10 } },
        .n_hugepages = 1,
};

static struct node_input input(void)
{
        return (struct node_input){ .name = "n1",
                                    .address = "10.0.0.1",
                                    .facts = &facts,
                                    .max_pods = 110,
                                    .kubelet_port = 10250,
                                    .ephemeral_bytes = UINT64_C(100) << 30,
                                    .reserved = { 200, 100 << 20, 10LL << 30 },
                                    .now = 1000 * USEC_PER_SEC };
}

static const char *text_at(const json_t *o, const char *a, const char *b)
{
        const char *s = json_string_value(json_path(o, a, b, NULL));

        return s ? s : "";
}

static const json_t *condition(const json_t *status, const char *type)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, c)
                if (streq(json_text_at(c, "type"), type))
                        return c;
        fail_msg("no condition %s", type);
        return NULL;
}

TEST(extended_resources_of_others_are_allocatable_and_stay_in_the_capacity_as_they_are)
{
        struct node_input in = input();
        json_auto_t *shown = json_pack("{s:{s:s, s:s}, s:{s:s, s:s}}", "capacity", "cpu", "9",
                                       "example.com/dongle", "3", "allocatable", "cpu", "9",
                                       "example.com/gone", "1");
        json_auto_t *s = NULL;

        in.shown = shown;
        s = node_status_build(&in, NULL);
        CHECK_STR(text_at(s, "allocatable", "example.com/dongle"), "3");
        CHECK(!json_path(s, "capacity", "example.com/dongle", NULL));
        CHECK(json_is_null(json_path(s, "allocatable", "example.com/gone", NULL)));
        CHECK_STR(text_at(s, "capacity", "cpu"), "2");
        CHECK(node_extended_resources_differ(shown));
        json_object_set_new(json_object_get(shown, "allocatable"), "example.com/dongle",
                            json_string("3"));
        json_object_del(json_object_get(shown, "allocatable"), "example.com/gone");
        CHECK(!node_extended_resources_differ(shown));
}

TEST(allocatable_is_capacity_less_what_is_reserved_and_huge_pages)
{
        const struct node_input in = input();
        json_auto_t *s = node_status_build(&in, NULL);

        CHECK_STR(text_at(s, "capacity", "cpu"), "2");
        CHECK_STR(text_at(s, "allocatable", "cpu"), "1800m");
        CHECK_STR(text_at(s, "capacity", "memory"), "8Gi");
        CHECK_STR(text_at(s, "allocatable", "memory"), "8072Mi");
        CHECK_STR(text_at(s, "allocatable", "ephemeral-storage"), "90Gi");
        CHECK_STR(text_at(s, "capacity", "hugepages-2Mi"), "20Mi");
        CHECK_STR(text_at(s, "capacity", "pods"), "110");
        CHECK(startswith(text_at(s, "nodeInfo", "containerRuntimeVersion"), "skiff://"));
}

TEST(what_pods_may_need_of_a_node_is_declared)
{
        const struct node_input in = input();
        json_auto_t *s = node_status_build(&in, NULL);
        const json_t *declared = json_object_get(s, "declaredFeatures");

        CHECK_INT(json_array_size(declared), 3);
        for (size_t i = 1; i < 3; i++) /* sorted */
                CHECK(strcmp(json_string_value(json_array_get(declared, i - 1)),
                             json_string_value(json_array_get(declared, i))) < 0);
        CHECK_STR(json_string_value(json_array_get(declared, 2)),
                  "RestartAllContainersOnContainerExits");
}

TEST(more_reserved_than_there_is_is_refused_by_name)
{
        struct node_input in = input();
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(node_reservation_check(&in, &err), 0);
        in.reserved.memory_bytes = INT64_C(9) << 30;
        CHECK_INT(node_reservation_check(&in, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "memory: reserved is 9Gi, and the node has 8Gi");
        in.reserved = (struct node_reservation){ .cpu_milli = 2500 };
        CHECK_INT(node_reservation_check(&in, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "cpu: reserved is 2500m, and the node has 2");
}

TEST(a_condition_keeps_its_transition_time_until_it_flips)
{
        struct node_input in = input();
        json_auto_t *first = node_status_build(&in, NULL), *second = NULL, *third = NULL;

        in.now += 60 * USEC_PER_SEC;
        second = node_status_build(&in, first);
        CHECK_STR(json_text_at(condition(second, "Ready"), "lastTransitionTime"),
                  "1970-01-01T00:16:40Z");
        CHECK_STR(json_text_at(condition(second, "Ready"), "lastHeartbeatTime"),
                  "1970-01-01T00:17:40Z");
        CHECK(node_status_equal(first, second));
        in.not_ready = "network";
        third = node_status_build(&in, second);
        CHECK_STR(json_text_at(condition(third, "Ready"), "status"), "False");
        CHECK_STR(json_text_at(condition(third, "Ready"), "reason"), "KubeletNotReady");
        CHECK_STR(json_text_at(condition(third, "Ready"), "lastTransitionTime"),
                  "1970-01-01T00:17:40Z");
        CHECK(!node_status_equal(second, third));
}

TEST(what_the_machine_lacks_is_a_warning_of_the_ready_condition)
{
        struct node_input in = input();
        json_auto_t *s = NULL;

        in.warning = "cgroup controller 'memory' is missing";
        s = node_status_build(&in, NULL);
        CHECK_STR(
                json_text_at(condition(s, "Ready"), "message"),
                "kubelet is posting ready status. WARNING: cgroup controller 'memory' is missing");
}

TEST(addresses_are_sent_whole)
{
        const struct node_input in = input();
        json_auto_t *s = node_status_build(&in, NULL), *patch = node_status_patch(s);
        const json_t *list = json_path(patch, "status", "addresses", NULL);

        CHECK_INT(json_array_size(list), 3);
        CHECK_STR(json_text_at(json_array_get(list, 2), "$patch"), "replace");
        CHECK_INT(json_array_size(json_object_get(s, "addresses")), 2);
}

TEST(labels_of_kubernetes_own_domains_are_refused_but_for_the_known_ones)
{
        struct string_map_entry good[] = { { "app", "x" },
                                           { "example.com/a", "x" },
                                           { "node.kubernetes.io/x", "1" },
                                           { "topology.kubernetes.io/zone", "z" } };
        struct string_map_entry bad[] = { { "node-role.kubernetes.io/worker", "" } };
        const struct string_map a = { good, ARRAY_SIZE(good) }, b = { bad, 1 };

        CHECK(node_labels_refused(&a) == NULL);
        CHECK_STR(node_labels_refused(&b), "node-role.kubernetes.io/worker");
}

TEST(an_image_shows_five_names_digests_first)
{
        json_auto_t *list = json_array();
        char *digests[] = { "r@sha256:1", NULL }, *tags[] = { "a", "b", "c", "d", "e", NULL };
        const json_t *names;

        CHECK_INT(node_images_add(list, digests, tags, 7), 0);
        names = json_object_get(json_array_get(list, 0), "names");
        CHECK_INT(json_array_size(names), 5);
        CHECK_STR(json_string_value(json_array_get(names, 0)), "r@sha256:1");
}
