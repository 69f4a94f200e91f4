#include "kubelet/node-cgroups.h"

#include "base/text.h"
#include "tests/check.h"

#define GI ((int64_t)1 << 30)

static const struct node_share machine = { 4000, 8 * GI, 32768 };

static struct oci_resources limits_of(const char *settings)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *text = text_printf(
                "{\"apiVersion\":\"kubelet.config.k8s.io/v1beta1\",\"kind\":\"KubeletConfiguration\"%s}",
                settings);
        json_auto_t *document = json_loads(text, 0, NULL);
        struct kubelet_config config;
        struct oci_resources r;

        CHECK(document != NULL);
        if (kubelet_config_decode(document, NULL, &config, &err) < 0)
                fail_msg("%s", err_text(&err));
        node_cgroups_limits(&config, &machine, &r);
        kubelet_config_done(&config);
        return r;
}

TEST(all_pods_together_may_have_what_is_not_reserved)
{
        struct oci_resources r = limits_of(
                ",\"kubeReserved\":{\"cpu\":\"500m\",\"memory\":\"1Gi\",\"pid\":\"1000\"},"
                "\"systemReserved\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}");

        CHECK_INT(r.cpu_shares, 3072);
        CHECK_INT(r.memory_limit, 6 * GI);
        CHECK_INT(r.pids_limit, 31768);
        oci_resources_done(&r);
}

TEST(eviction_is_to_come_before_the_limit_of_all_pods)
{
        struct oci_resources r = limits_of(",\"evictionHard\":{\"memory.available\":\"2Gi\"}");

        CHECK_INT(r.memory_limit, 8 * GI);
        CHECK_INT(r.cpu_shares, 4096);
        oci_resources_done(&r);
}

TEST(where_it_is_not_enforced_pods_have_no_limit)
{
        struct oci_resources r = limits_of(
                ",\"kubeReserved\":{\"memory\":\"1Gi\"},\"enforceNodeAllocatable\":[\"none\"]");

        CHECK_INT(r.memory_limit, -1);
        CHECK_INT(r.pids_limit, -1);
        oci_resources_done(&r);
}
