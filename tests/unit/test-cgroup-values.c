#include "runtime/cgroup-values.h"

#include <errno.h>

#include "base/text.h"
#include "tests/check.h"

static struct cgroup_value values[CGROUP_VALUES_MAX];
static int n_values;

static int compute(const struct oci_resources *r, enum cgroup_level level)
{
        return n_values = cgroup_values(r, level, values, NULL);
}

static const char *text_of(const char *file)
{
        for (int i = 0; i < n_values; i++)
                if (streq(values[i].file, file))
                        return values[i].long_text ? values[i].long_text : values[i].text;
        return "(absent)";
}

TEST(shares_of_groups_become_weights_linearly)
{
        static const struct {
                int64_t shares;
                uint64_t weight;
        } cases[] = { { 0, 1 },     { 2, 1 },         { 3, 1 },          { 102, 4 },
                      { 1024, 39 }, { 262143, 9999 }, { 262144, 10000 }, { INT64_MAX, 10000 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CHECK_INT(cgroup_weight(cases[i].shares, CGROUP_LEVEL_GROUP), cases[i].weight);
        CHECK_INT(cgroup_shares(39), 998);
        CHECK_INT(cgroup_shares(1), 2);
        CHECK_INT(cgroup_shares(10000), 262144);
}

TEST(shares_of_containers_become_weights_on_the_curve_through_100)
{
        static const struct {
                int64_t shares;
                uint64_t weight;
        } cases[] = { { 2, 1 },      { 102, 17 },   { 512, 59 },
                      { 1024, 100 }, { 2048, 174 }, { 262144, 10000 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                CHECK_INT(cgroup_weight(cases[i].shares, CGROUP_LEVEL_CONTAINER), cases[i].weight);
        for (int64_t s = 3; s < 262144; s++)
                CHECK(cgroup_weight(s, CGROUP_LEVEL_CONTAINER) >=
                      cgroup_weight(s - 1, CGROUP_LEVEL_CONTAINER));
}

TEST(limits_become_the_text_of_cgroup_files)
{
        struct string_map_entry unified[] = { { (char *)"memory.oom.group", (char *)"1" } };
        struct oci_hugepage_limit pages[] = { { (char *)"2MB", 0 }, { (char *)"1GB", -1 } };
        struct oci_resources r;

        oci_resources_init(&r);
        r.cpu_shares = 1024;
        r.cpu_quota = 20000;
        r.cpu_period = 50000;
        r.memory_limit = r.memory_swap = 67108864;
        r.memory_reservation = 1000;
        r.pids_limit = 64;
        r.cpuset_cpus = (char *)"0-1";
        r.unified = (struct string_map){ unified, 1 };
        r.hugepage_limits = pages;
        r.n_hugepage_limits = 2;
        CHECK(compute(&r, CGROUP_LEVEL_CONTAINER) > 0);
        CHECK_STR(text_of("cpu.weight"), "100");
        CHECK_STR(text_of("cpu.max"), "20000 50000");
        CHECK_STR(text_of("memory.max"), "67108864");
        CHECK_STR(text_of("memory.swap.max"), "0");
        CHECK_STR(text_of("memory.low"), "1000");
        CHECK_STR(text_of("pids.max"), "64");
        CHECK_STR(text_of("cpuset.cpus"), "0-1");
        CHECK_STR(text_of("cpuset.mems"), "(absent)");
        CHECK_STR(text_of("hugetlb.2MB.max"), "0");
        CHECK_STR(text_of("hugetlb.1GB.rsvd.max"), "max");
        CHECK_STR(text_of("memory.oom.group"), "1");
}

TEST(what_is_unset_is_not_written)
{
        struct oci_resources r;

        oci_resources_init(&r);
        CHECK_INT(compute(&r, CGROUP_LEVEL_GROUP), 0);
}

TEST(minus_one_lifts_a_limit)
{
        struct oci_resources r;

        oci_resources_init(&r);
        r.cpu_quota = r.memory_limit = r.memory_swap = r.pids_limit = -1;
        CHECK(compute(&r, CGROUP_LEVEL_GROUP) > 0);
        CHECK_STR(text_of("cpu.max"), "max 100000");
        CHECK_STR(text_of("memory.max"), "max");
        CHECK_STR(text_of("memory.swap.max"), "max");
        CHECK_STR(text_of("pids.max"), "max");
}

static void check_refused(const struct oci_resources *r, const char *said)
{
        _cleanup_err_ struct err err = { 0 };

        CHECK(cgroup_values(r, CGROUP_LEVEL_GROUP, values, &err) < 0);
        CHECK_CONTAINS(err.message, said);
        CHECK_INT(err.kind, ERR_CONTAINER_CONFIG);
}

TEST(a_value_that_cannot_be_is_refused_by_field)
{
        struct string_map_entry bad[] = { { (char *)"memory.high/../x", (char *)"1" } };
        struct oci_hugepage_limit many[CGROUP_VALUES_MAX];
        struct oci_resources r;

        oci_resources_init(&r);
        r.cpu_shares = -5;
        check_refused(&r, "cpu.shares: -5");
        oci_resources_init(&r);
        r.memory_swap = 5;
        check_refused(&r, "memory.swap: 5");
        oci_resources_init(&r);
        r.memory_limit = 10;
        r.memory_swap = 5;
        check_refused(&r, "memory.swap: 5");
        oci_resources_init(&r);
        r.unified = (struct string_map){ bad, 1 };
        check_refused(&r, "unified: 'memory.high/../x'");
        bad[0].key = (char *)"cgroup.procs";
        check_refused(&r, "unified: 'cgroup.procs'");
        oci_resources_init(&r);
        for (size_t i = 0; i < ARRAY_SIZE(many); i++)
                many[i] = (struct oci_hugepage_limit){ (char *)"2MB", 1 };
        r.hugepage_limits = many;
        r.n_hugepage_limits = ARRAY_SIZE(many);
        check_refused(&r, "resources: more than");
}
