#include "kubelet/cadvisor-metrics.h"

#include <string.h>

#include "tests/check.h"

static const struct cadvisor_machine machine = { .machine_id = "m",
                                                 .system_uuid = "s",
                                                 .boot_id = "b",
                                                 .kernel_version = "6.1",
                                                 .os_version = "Debian",
                                                 .cpus = 4,
                                                 .physical_cpus = 2,
                                                 .memory_bytes = 1024 };

/* Nothing is known of it. */
static struct cadvisor_subject subject(const char *id)
{
        struct cadvisor_subject s = { .container = "",
                                      .image = "",
                                      .name = "",
                                      .namespace = "",
                                      .pod = "",
                                      .read_at = 1700000000123000 };

        memset(&s.usage, 0xff, sizeof s.usage);
        s.usage.cpu_pressure = s.usage.memory_pressure = s.usage.io_pressure =
                (struct runtime_pressure){ 0 };
        memset(&s.detail, 0xff, sizeof s.detail);
        s.detail.n_devices = 0;
        s.id = id;
        return s;
}

static struct cadvisor_subject container(void)
{
        struct cadvisor_subject s = subject("/kubepods/podu/c");

        s.container = "web";
        s.image = "nginx:1";
        s.name = "c0ffee";
        s.namespace = "ns";
        s.pod = "p";
        return s;
}

#define C \
        "container=\"web\",id=\"/kubepods/podu/c\",image=\"nginx:1\",name=\"c0ffee\",namespace=\"ns\",pod=\"p\""

TEST(numbers_of_a_container_carry_its_names_and_the_time_of_the_reading)
{
        struct cadvisor_subject s = container();
        _cleanup_free_ char *text = NULL;

        s.usage.cpu_usec = 2500000;
        s.usage.memory_working_set = 4096;
        s.detail.cpu_weight = 100;
        s.detail.oom_kills = 3;
        s.started_at = 1600000000000000;
        text = cadvisor_format(&machine, &s, 1);
        CHECK_CONTAINS(text, "# TYPE container_cpu_usage_seconds_total counter\n"
                             "container_cpu_usage_seconds_total{" C
                             ",cpu=\"total\"} 2.5 1700000000123\n");
        CHECK_CONTAINS(text, "container_memory_working_set_bytes{" C "} 4096 1700000000123\n");
        CHECK_CONTAINS(text, "container_spec_cpu_shares{" C "} 2597 1700000000123\n");
        CHECK_CONTAINS(text, "container_oom_events_total{" C "} 3 1700000000123\n");
        CHECK_CONTAINS(text, "container_start_time_seconds{" C "} 1600000000 1700000000123\n");
        CHECK_CONTAINS(text, "container_last_seen{" C "} 1700000000 1700000000123\n");
}

TEST(what_is_not_known_is_left_out_but_no_limit_is_zero)
{
        struct cadvisor_subject s = container();
        _cleanup_free_ char *text = cadvisor_format(&machine, &s, 1);

        CHECK(!strstr(text, "container_memory_usage_bytes"));
        CHECK(!strstr(text, "container_cpu_usage_seconds_total"));
        CHECK(!strstr(text, "container_pressure_"));
        CHECK(!strstr(text, "container_network_"));
        CHECK(!strstr(text, "machine_cpu_sockets"));
        CHECK_CONTAINS(text, "container_spec_memory_limit_bytes{" C "} 0 ");
        CHECK_CONTAINS(text, "container_memory_failcnt{" C "} 0 ");
        CHECK_CONTAINS(text, "container_scrape_error 0\n");
}

TEST(devices_interfaces_and_pressure_are_series_of_their_own)
{
        struct cadvisor_subject s = container();
        struct stats_interface eth0 = { .name = "eth0", .rx_bytes = 1, .tx_dropped = 2 };
        _cleanup_free_ char *text = NULL;

        s.detail.n_devices = 1;
        s.detail.devices[0] = (struct runtime_device_io){ 8, 16, 1, 2, 3, 4 };
        s.network = (struct stats_network){ .list = &eth0, .n = 1 };
        s.usage.cpu_pressure = (struct runtime_pressure){ .is_known = true,
                                                          .some.total_usec = 1500000 };
        s.usage.page_faults = 7;
        text = cadvisor_format(&machine, &s, 1);
        CHECK_CONTAINS(text, "container_fs_reads_bytes_total{" C ",device=\"8:16\"} 1 ");
        CHECK_CONTAINS(text, "container_fs_writes_total{" C ",device=\"8:16\"} 4 ");
        CHECK_CONTAINS(text, "container_blkio_device_usage_total{" C
                             ",device=\"\",major=\"8\",minor=\"16\",operation=\"Write\"} 2 ");
        CHECK_CONTAINS(text, "container_network_receive_bytes_total{" C ",interface=\"eth0\"} 1 ");
        CHECK_CONTAINS(text, "container_network_transmit_packets_dropped_total{" C
                             ",interface=\"eth0\"} 2 ");
        CHECK_CONTAINS(text, "container_pressure_cpu_waiting_seconds_total{" C "} 1.5 ");
        CHECK_CONTAINS(text, "container_memory_failures_total{" C
                             ",failure_type=\"pgfault\",scope=\"hierarchy\"} 7 ");
}

TEST(the_machine_is_told_by_its_ids)
{
        _cleanup_free_ char *text = cadvisor_format(&machine, NULL, 0);

        CHECK_CONTAINS(text,
                       "machine_cpu_cores{boot_id=\"b\",machine_id=\"m\",system_uuid=\"s\"} 4\n");
        CHECK_CONTAINS(
                text,
                "machine_cpu_physical_cores{boot_id=\"b\",machine_id=\"m\",system_uuid=\"s\"} 2\n");
        CHECK_CONTAINS(text, "kernelVersion=\"6.1\",osVersion=\"Debian\"} 1\n");
}

TEST(each_family_is_announced_once)
{
        struct cadvisor_subject s[2] = { container(), subject("/") };
        _cleanup_free_ char *text = NULL;
        const char *first;

        s[0].usage.cpu_usec = s[1].usage.cpu_usec = 1;
        text = cadvisor_format(&machine, s, 2);
        first = strstr(text, "# TYPE container_cpu_usage_seconds_total ");
        CHECK(first && !strstr(first + 1, "# TYPE container_cpu_usage_seconds_total "));
        CHECK_CONTAINS(
                text,
                "container_cpu_usage_seconds_total{container=\"\",id=\"/\",image=\"\",name=\"\","
                "namespace=\"\",pod=\"\",cpu=\"total\"} 1e-06 ");
}
