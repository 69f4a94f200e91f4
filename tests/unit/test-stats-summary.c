#include "kubelet/stats-summary.h"

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

#define AT (1700000000 * USEC_PER_SEC)

static const char net_dev[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
        "drop fifo colls carrier compressed\n"
        "    lo:  100      1    0    0    0     0          0         0      100       1    0    0    "
        "0     0       0          0\n"
        "  eth0: 5000     40    1    0    0     0          0         0     6000      50    2    0    "
        "0     0       0          0\n"
        "  net1:7 8 9 0 0 0 0 0 10 11 12 0 0 0 0 0\n"
        "veth12:  7 8 9 0 0 0 0 0 10 11 12 0 0 0 0 0\n";

static json_int_t integer_at(const json_t *object, const char *key)
{
        const json_t *value = json_object_get(object, key);

        if (!json_is_integer(value))
                fail_msg("'%s' is no integer", key);
        return json_integer_value(value);
}

/* One pod with all there can be; lives as long as the program. */
static struct stats_snapshot make_snapshot(void)
{
        static const struct stats_usage usage = {
                .read_at = AT,
                .cpu_usec = 1500000,
                .cpu_nanocores = 250000000,
                .memory_usage = 5000,
                .memory_working_set = 4000,
                .memory_rss = 3000,
                .memory_limit = 10000,
                .page_faults = 7,
                .major_page_faults = 0,
                .swap_usage = STATS_UNKNOWN,
                .swap_limit = STATS_UNKNOWN,
                .cpu_pressure = { true, { 7, 1.5, 0, 0 }, { 3, 0, 0, 0.25 } },
                .io_pressure = { .is_known = true },
        };
        static const struct stats_fs fs = {
                .read_at = AT,
                .available = 1,
                .capacity = 2,
                .used = STATS_UNKNOWN,
                .inodes = 4,
                .inodes_free = 5,
                .inodes_used = 6,
        };
        static struct stats_container c = { .name = "c", .started_at = AT };
        static struct stats_volume volume = { .name = "v" };
        static struct stats_pod pod = { .name = "p",
                                        .namespace = "ns",
                                        .uid = "u",
                                        .started_at = AT,
                                        .containers = &c,
                                        .n_containers = 1,
                                        .volumes = &volume,
                                        .n_volumes = 1 };

        c.usage = pod.usage = usage;
        c.rootfs = c.logs = volume.fs = pod.ephemeral = fs;
        if (!pod.network.list)
                CHECK_INT(stats_network_parse(net_dev, &pod.network), 0);
        pod.network.read_at = AT;
        return (struct stats_snapshot){ .node_name = "node-1",
                                        .booted_at = AT,
                                        .node = usage,
                                        .fs = fs,
                                        .image_fs = fs,
                                        .container_fs = fs,
                                        .limits_read_at = AT,
                                        .max_pid = 4194304,
                                        .processes = 80,
                                        .pods = &pod,
                                        .n_pods = 1 };
}

TEST(a_network_is_read_without_loopback_and_pairs)
{
        struct stats_network n = { 0 };

        CHECK_INT(stats_network_parse(net_dev, &n), 0);
        CHECK_INT(n.n, 2);
        CHECK_STR(n.list[0].name, "eth0");
        CHECK(n.list[0].rx_bytes == 5000 && n.list[0].rx_errors == 1);
        CHECK(n.list[0].tx_bytes == 6000 && n.list[0].tx_errors == 2);
        CHECK_STR(n.list[1].name, "net1");
        free(n.list);
        CHECK_INT(stats_network_parse("eth0: 1 2 3\n: 1\nno colon\n"
                                      "\xff\"x: 1 2 3 4 5 6 7 8 9 10 11 12\n",
                                      &n),
                  0);
        CHECK_INT(n.n, 0);
        free(n.list);
}

TEST(a_pod_with_very_many_interfaces_shows_some)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        struct stats_network n = { 0 };

        for (int i = 0; i < 1000; i++)
                strbuf_addf(&b, "d%d: 1 2 3 4 5 6 7 8 9 10 11 12\n", i);
        CHECK_INT(stats_network_parse(b.data, &n), 0);
        CHECK_INT(n.n, 64);
        free(n.list);
}

TEST(a_pod_has_its_containers_network_and_volumes)
{
        struct stats_snapshot s = make_snapshot();
        json_auto_t *summary = stats_summary_json(&s, false);
        const json_t *pod = json_array_get(json_object_get(summary, "pods"), 0);
        const json_t *c = json_array_get(json_object_get(pod, "containers"), 0);
        const json_t *network = json_object_get(pod, "network"), *cpu, *memory;

        CHECK_STR(json_text_at(json_object_get(pod, "podRef"), "uid"), "u");
        CHECK_STR(json_text_at(pod, "startTime"), "2023-11-14T22:13:20Z");
        CHECK_STR(json_text_at(c, "name"), "c");
        cpu = json_object_get(c, "cpu");
        CHECK_STR(json_text_at(cpu, "time"), "2023-11-14T22:13:20Z");
        CHECK_INT(integer_at(cpu, "usageCoreNanoSeconds"), 1500000000);
        CHECK_INT(integer_at(cpu, "usageNanoCores"), 250000000);
        CHECK_INT(json_integer_value(json_path(cpu, "psi", "some", "total", NULL)), 7000);
        CHECK(json_real_value(json_path(cpu, "psi", "full", "avg300", NULL)) == 0.25);
        CHECK(json_path(c, "io", "psi", "some", NULL));
        memory = json_object_get(c, "memory");
        CHECK(!json_object_get(memory, "psi"));
        CHECK_INT(integer_at(memory, "availableBytes"), 6000);
        CHECK_INT(integer_at(memory, "workingSetBytes"), 4000);
        CHECK_INT(integer_at(memory, "majorPageFaults"), 0);
        CHECK_INT(integer_at(json_object_get(c, "logs"), "inodesUsed"), 6);
        CHECK(!json_object_get(json_object_get(c, "rootfs"), "usedBytes"));
        CHECK(!json_object_get(c, "swap"));
        CHECK_STR(json_text_at(network, "name"), "eth0");
        CHECK_INT(integer_at(network, "rxBytes"), 5000);
        CHECK_INT(json_array_size(json_object_get(network, "interfaces")), 2);
        CHECK_STR(json_text_at(json_array_get(json_object_get(pod, "volume"), 0), "name"), "v");
        CHECK_INT(integer_at(json_object_get(pod, "ephemeral-storage"), "capacityBytes"), 2);
}

TEST(the_node_has_its_file_systems_and_limits)
{
        struct stats_snapshot s = make_snapshot();
        json_auto_t *summary = stats_summary_json(&s, false);
        const json_t *node = json_object_get(summary, "node");

        CHECK_STR(json_text_at(node, "nodeName"), "node-1");
        CHECK_INT(integer_at(json_object_get(node, "rlimit"), "maxpid"), 4194304);
        CHECK_INT(integer_at(json_object_get(node, "fs"), "capacityBytes"), 2);
        CHECK(json_path(node, "runtime", "imageFs", NULL));
        CHECK(json_path(node, "runtime", "containerFs", NULL));
        CHECK(!json_object_get(node, "network")); /* it was not read */
}

TEST(only_cpu_and_memory_leaves_disks_and_networks_out)
{
        struct stats_snapshot s = make_snapshot();
        json_auto_t *summary = stats_summary_json(&s, true);
        const json_t *pod = json_array_get(json_object_get(summary, "pods"), 0);
        const json_t *node = json_object_get(summary, "node");
        const json_t *c = json_array_get(json_object_get(pod, "containers"), 0);

        CHECK_INT(json_object_size(pod), 5); /* podRef startTime containers cpu memory */
        CHECK_INT(json_object_size(c), 4);   /* name startTime cpu memory */
        CHECK_INT(json_object_size(node), 4);
}

TEST(an_empty_node_still_has_a_list_of_pods)
{
        struct stats_snapshot s = { .node_name = "n" };
        json_auto_t *summary = stats_summary_json(&s, false);

        CHECK(json_is_array(json_object_get(summary, "pods")));
        CHECK(!json_path(summary, "node", "cpu", NULL));
}
