#include "kubelet/config.h"

#include <errno.h>

#include "base/text.h"
#include "base/yaml.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

#define HEAD "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

static int decode(const char *yaml, struct kubelet_config *c, struct err *err)
{
        json_auto_t *document = NULL;

        CHECK_INT(yaml_parse(yaml, strlen(yaml), &document, err), 0);
        return kubelet_config_decode(document, "/var/lib/kubelet", c, err);
}

TEST(without_a_file_everything_has_the_kubelets_default)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(kubelet_config_decode(NULL, NULL, &c, NULL), 0);
        CHECK_INT(c.port, 10250);
        CHECK_STR(c.address, "0.0.0.0");
        CHECK_STR(c.resolv_conf, "/etc/resolv.conf");
        CHECK_STR(c.pod_logs_dir, "/var/log/pods");
        CHECK_INT(c.node_status_update_usec, 10 * USEC_PER_SEC);
        CHECK_INT(c.node_status_report_usec, 5 * USEC_PER_MINUTE);
        CHECK(c.serialize_pulls && c.max_parallel_pulls == 0);
        CHECK_INT(c.eviction_hard.n, 5);
        CHECK_STR(c.enforce_node_allocatable[0], "pods");
        CHECK_INT(c.max_restart_period_usec, 300 * USEC_PER_SEC);
        CHECK(c.ignored == NULL);
}

TEST(what_kubeadm_writes_is_understood_and_its_zeros_mean_defaults)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };
        _cleanup_err_ struct err err = { 0 };

        CHECK_INT(decode(HEAD "authentication:\n  anonymous:\n    enabled: false\n  webhook:\n"
                              "    cacheTTL: 0s\n    enabled: true\n  x509:\n"
                              "    clientCAFile: /etc/kubernetes/pki/ca.crt\n"
                              "authorization:\n  mode: Webhook\n  webhook:\n"
                              "    cacheAuthorizedTTL: 0s\n    cacheUnauthorizedTTL: 0s\n"
                              "cgroupDriver: systemd\nclusterDNS:\n- 10.96.0.10\n"
                              "clusterDomain: cluster.local\n"
                              "containerRuntimeEndpoint: \"\"\ncpuManagerReconcilePeriod: 0s\n"
                              "crashLoopBackOff: {}\nevictionPressureTransitionPeriod: 0s\n"
                              "fileCheckFrequency: 0s\nhealthzBindAddress: 127.0.0.1\n"
                              "healthzPort: 10248\nhttpCheckFrequency: 0s\nimageMaximumGCAge: 0s\n"
                              "imageMinimumGCAge: 0s\nlogging:\n  flushFrequency: 0\n  options:\n"
                              "    json:\n      infoBufferSize: \"0\"\n  verbosity: 0\n"
                              "memorySwap: {}\nnodeStatusReportFrequency: 0s\n"
                              "nodeStatusUpdateFrequency: 0s\nrotateCertificates: true\n"
                              "runtimeRequestTimeout: 0s\nshutdownGracePeriod: 0s\n"
                              "shutdownGracePeriodCriticalPods: 0s\n"
                              "staticPodPath: /etc/kubernetes/manifests\n"
                              "streamingConnectionIdleTimeout: 0s\nsyncFrequency: 0s\n"
                              "volumeStatsAggPeriod: 0s\n",
                         &c, &err),
                  0);
        CHECK(c.ignored == NULL);
        CHECK(c.unknown == NULL);
        CHECK(c.cgroup_systemd && c.rotate_certificates && !c.authorize_always);
        CHECK_STR(c.client_ca_file, "/etc/kubernetes/pki/ca.crt");
        CHECK_STR(c.cluster_dns[0], "10.96.0.10");
        CHECK_INT(c.sync_usec, USEC_PER_MINUTE);
        CHECK_INT(c.authorized_cache_usec, 5 * USEC_PER_MINUTE);
        CHECK_STR(c.static_pod_path, "/etc/kubernetes/manifests");
}

TEST(fields_that_are_not_acted_upon_are_named)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(decode(HEAD "featureGates: {X: true}\nlogging: {format: json}\nreadOnlyPort: 0\n"
                              "authentication: {anonymous: {enabled: true}}\n",
                         &c, NULL),
                  0);
        CHECK(c.anonymous); /* this one is */
        CHECK_INT(strv_len(c.ignored), 2);
        CHECK(strv_contains(c.ignored, "featureGates"));
        CHECK(strv_contains(c.ignored, "logging"));
}

TEST(a_field_that_is_not_acted_upon_is_not_named_when_it_is_set_to_its_default)
{
        static const struct {
                const char *yaml, *named; /* NULL: none */
        } cases[] = {
                { "failSwapOn: true\n", NULL },
                { "failSwapOn: false\n", NULL }, /* that is what happens */
                { "imageGCHighThresholdPercent: 100\n", NULL },
                { "imageGCHighThresholdPercent: 90\n", "imageGCHighThresholdPercent" },
                { "registryPullQPS: 5\n", NULL },
                { "registryPullQPS: 7\n", "registryPullQPS" },
                { "syncFrequency: 0s\n", NULL },
                { "syncFrequency: 60s\n", NULL },
                { "syncFrequency: 2m\n", "syncFrequency" },
                { "memorySwap: {swapBehavior: NoSwap}\n", NULL },
                { "memorySwap: {swapBehavior: LimitedSwap}\n", "memorySwap.swapBehavior" },
                { "enforceNodeAllocatable: [pods]\n", NULL },
                { "enforceNodeAllocatable: [none]\n", "enforceNodeAllocatable" },
                { "configMapAndSecretChangeDetectionStrategy: Watch\n", NULL },
                { "configMapAndSecretChangeDetectionStrategy: Get\n",
                  "configMapAndSecretChangeDetectionStrategy" },
                { "evictionMaxPodGracePeriod: 60\n", "evictionMaxPodGracePeriod" },
                { "protectKernelDefaults: true\n", "protectKernelDefaults" },
                { "serverTLSBootstrap: true\n", NULL },
                { "makeIPTablesUtilChains: true\n", NULL },
                { "memoryThrottlingFactor: 0.9\n", NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(kubelet_config_done)
                struct kubelet_config c = { 0 };
                _cleanup_err_ struct err err = { 0 };
                _cleanup_free_ char *yaml = text_printf(HEAD "%s", cases[i].yaml);

                CHECK_INT(decode(yaml, &c, &err), 0);
                CHECK(streq_null(c.ignored ? c.ignored[0] : NULL, cases[i].named));
        }
}

TEST(unknown_fields_are_passed_over_and_named)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(decode(HEAD "evictionHrad: {}\nmaxPods: 7\n"
                              "authentication: {x509: {clientCA: x}}\n",
                         &c, NULL),
                  0);
        CHECK_INT(c.max_pods, 7);
        CHECK_INT(strv_len(c.unknown), 2);
        CHECK(strv_contains(c.unknown, "evictionHrad"));
        CHECK(strv_contains(c.unknown, "authentication.x509.clientCA"));
}

TEST(pods_per_core_bounds_the_number_of_pods)
{
        struct kubelet_config c = { .max_pods = 110 };

        CHECK_INT(kubelet_config_max_pods(&c, 2), 110);
        c.pods_per_core = 10;
        CHECK_INT(kubelet_config_max_pods(&c, 2), 20);
        CHECK_INT(kubelet_config_max_pods(&c, 64), 110);
        c.pods_per_core = INT32_MAX;
        CHECK_INT(kubelet_config_max_pods(&c, 64), 110);
}

TEST(bad_configurations_are_refused_with_path_value_and_rule)
{
        static const struct {
                const char *yaml, *error;
        } cases[] = {
                { "", "not an empty document" },
                { "- a\n", "expected a KubeletConfiguration, not a list" },
                { "kind: Pod\napiVersion: v1\n", "kind: 'Pod': expected KubeletConfiguration" },
                { "kind: KubeletConfiguration\napiVersion: v1\n", "apiVersion: 'v1': expected" },
                { HEAD "port: 70000\n", "port: 70000: expected 0 to 65535" },
                { HEAD "maxPods: -1\n", "maxPods: -1: expected 0" },
                { HEAD "syncFrequency: quick\n", "syncFrequency: 'quick': expected a duration" },
                { HEAD "imageGCHighThresholdPercent: 101\n", "101: expected 0 to 100" },
                { HEAD "imageGCHighThresholdPercent: 80\n", "imageGCLowThresholdPercent: 80: "
                                                            "expected less than" },
                { HEAD "containerLogMaxFiles: 1\n", "containerLogMaxFiles: 1: expected 2" },
                { HEAD "containerLogMaxSize: 10 Mi\n", "'10 Mi': expected a quantity" },
                { HEAD "crashLoopBackOff: {maxContainerRestartPeriod: 301s}\n",
                  "crashLoopBackOff: maxContainerRestartPeriod: 5m1s: expected 1s to 5m0s" },
                { HEAD "cgroupDriver: docker\n",
                  "cgroupDriver: 'docker': expected one of cgroupfs, systemd" },
                { HEAD "evictionHard: {memory.free: 1Gi}\n", "'memory.free': unknown signal" },
                { HEAD "evictionHard: {memory.available: some}\n",
                  "evictionHard: memory.available: 'some': expected a quantity or a percentage" },
                { HEAD "evictionSoft: {memory.available: 1Gi}\n",
                  "needs a grace period in evictionSoftGracePeriod" },
                { HEAD "enforceNodeAllocatable: [pods, none]\n", "'none': expected alone" },
                { HEAD "enforceNodeAllocatable: [kube-reserved]\n", "needs kubeReservedCgroup" },
                { HEAD "podLogsDir: /var/../log\n",
                  "podLogsDir: '/var/../log': must be normalized" },
                { HEAD "shutdownGracePeriodCriticalPods: 10s\n", "expected at most "
                                                                 "shutdownGracePeriod" },
                { HEAD "shutdownGracePeriod: 10s\n"
                       "shutdownGracePeriodByPodPriority: [{priority: 0, "
                       "shutdownGracePeriodSeconds: 1}]\n",
                  "expected none beside shutdownGracePeriod" },
                { HEAD "maxParallelImagePulls: 3\nserializeImagePulls: true\n",
                  "maxParallelImagePulls: 3: expected 1" },
                { HEAD "registerWithTaints: [{key: a, effect: Sometimes}]\n",
                  "registerWithTaints: effect: 'Sometimes': expected one of NoSchedule" },
                { HEAD "userNamespaces: {idsPerPod: 1000}\n",
                  "idsPerPod: 1000: expected a multiple" },
                { HEAD "systemReserved: {frob: 1}\n",
                  "systemReserved: 'frob': expected one of cpu, memory" },
                { HEAD "podCIDR: 10.0.0.0\n", "podCIDR: '10.0.0.0': expected a range" },
                { HEAD "podCIDR: 10.0.0.0/24,x\n", "podCIDR: 'x': expected a range" },
                { HEAD "clusterDNS: [ns.example]\n",
                  "clusterDNS: 'ns.example': expected an IP address" },
                { HEAD "tlsCertFile: /a\n", "tlsPrivateKeyFile: required beside tlsCertFile" },
                { HEAD "runOnce: true\n", "runOnce: 'true'" },
                { HEAD "systemReserved: {cpu: lots}\n", "systemReserved: cpu: 'lots': expected" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_(kubelet_config_done)
                struct kubelet_config c = { 0 };
                _cleanup_err_ struct err err = { 0 };

                CHECK(decode(cases[i].yaml, &c, &err) < 0);
                CHECK_CONTAINS(err_text(&err), cases[i].error);
                CHECK_INT(err.kind, ERR_BAD_INPUT);
        }
}

TEST(ones_own_eviction_thresholds_replace_the_defaults_unless_merging_is_asked_for)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config a = { 0 }, b = { 0 }, none = { 0 };

        CHECK_INT(decode(HEAD "evictionHard: {nodefs.available: 1Gi}\n", &a, NULL), 0);
        CHECK_INT(a.eviction_hard.n, 1);
        CHECK_INT(decode(HEAD "evictionHard: {nodefs.available: 1Gi}\n"
                              "mergeDefaultEvictionSettings: true\n",
                         &b, NULL),
                  0);
        CHECK_INT(b.eviction_hard.n, 5);
        CHECK_STR(string_map_get(&b.eviction_hard, "nodefs.available"), "1Gi");
        CHECK_INT(decode(HEAD "evictionHard: {}\n", &none, NULL), 0);
        CHECK_INT(none.eviction_hard.n, 0);
}

TEST(pulls_are_parallel_once_a_number_above_one_is_given)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(decode(HEAD "maxParallelImagePulls: 3\n", &c, NULL), 0);
        CHECK(!c.serialize_pulls && c.max_parallel_pulls == 3);
}

TEST(pulls_are_one_by_one_when_that_is_asked_for)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(decode(HEAD "serializeImagePulls: true\n", &c, NULL), 0);
        CHECK_INT(c.max_parallel_pulls, 1);
}

TEST(relative_paths_are_relative_to_the_files_directory)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        CHECK_INT(decode(HEAD "staticPodPath: manifests\nresolvConf: \"\"\n"
                              "nodeStatusUpdateFrequency: 20s\n",
                         &c, NULL),
                  0);
        CHECK_STR(c.static_pod_path, "/var/lib/kubelet/manifests");
        CHECK_STR(c.resolv_conf, "");
        CHECK_INT(c.node_status_report_usec, 20 * USEC_PER_SEC);
}

TEST(drop_ins_merge_maps_replace_lists_and_remove_by_null)
{
        json_auto_t *base = json_of("{'a':{'x':1,'y':2},'l':[1,2],'n':1}");
        json_auto_t *patch = json_of("{'a':{'y':3},'l':[3],'n':null,'new':{'z':1}}");

        CHECK_INT(config_merge(base, patch), 0);
        check_json(base, "{'a':{'x':1,'y':3},'l':[3],'new':{'z':1}}");
}

/* Every key of @wanted is in @seen, with its value. */
static void check_part(const json_t *seen, const json_t *wanted, const char *path)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)wanted, key, value) {
                _cleanup_free_ char *below = text_printf("%s.%s", path, key);
                const json_t *there = json_object_get(seen, key);

                if (json_is_object(value) && json_is_object(there))
                        check_part(there, value, below);
                else if (!there || !json_equal(there, value))
                        fail_msg("%s", below);
        }
}

static json_t *configz_of(const struct kubelet_config *c)
{
        json_auto_t *all = json_loads(c->configz, 0, NULL);

        CHECK(all);
        return json_incref(json_object_get(all, "kubeletconfig"));
}

TEST(configz_shows_the_defaults_as_the_kubelet_does)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };
        json_auto_t *wanted = json_load_file(TEST_DATA_DIR "/configz-defaults.json", 0, NULL);
        json_auto_t *seen = NULL;

        CHECK_INT(kubelet_config_decode(NULL, NULL, &c, NULL), 0);
        seen = configz_of(&c);
        CHECK(wanted);
        check_part(seen, wanted, "");
        CHECK_STR(json_text_at(seen, "kind"), "KubeletConfiguration");
        CHECK_STR(json_text_at(seen, "apiVersion"), "kubelet.config.k8s.io/v1beta1");
}

TEST(configz_shows_what_is_in_force)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };
        json_auto_t *wanted = json_of(
                "{'staticPodPath':'/var/lib/kubelet/manifests','syncFrequency':'1m30s','port':11250,"
                "'clusterDNS':['10.96.0.10'],'resolvConf':'','containerLogMaxSize':'1536Ki',"
                "'authentication':{'webhook':{'enabled':false,'cacheTTL':'2m0s'}},"
                "'authorization':{'mode':'AlwaysAllow'},'evictionHard':{'memory.available':'5%'},"
                "'registerWithTaints':[{'key':'a','effect':'NoSchedule'}],'maxParallelImagePulls':4,"
                "'serializeImagePulls':false,'cgroupDriver':'systemd','iptablesDropBit':13,"
                "'volumeStatsAggPeriod':'2m0s','memorySwap':{'swapBehavior':'LimitedSwap'}}");
        json_auto_t *seen = NULL;

        CHECK_INT(decode(HEAD "staticPodPath: manifests\nsyncFrequency: 90s\nport: 11250\n"
                              "clusterDNS: [10.96.0.10]\nresolvConf: \"\"\n"
                              "containerLogMaxSize: 1536Ki\n"
                              "authentication: {webhook: {enabled: false, cacheTTL: 0s}}\n"
                              "authorization: {mode: AlwaysAllow}\n"
                              "evictionHard: {memory.available: 5%}\n"
                              "registerWithTaints: [{key: a, effect: NoSchedule}]\n"
                              "maxParallelImagePulls: 4\ncgroupDriver: systemd\n"
                              "iptablesDropBit: 13\nvolumeStatsAggPeriod: 2m\n"
                              "memorySwap: {swapBehavior: LimitedSwap}\n",
                         &c, NULL),
                  0);
        seen = configz_of(&c);
        check_part(seen, wanted, "");
        CHECK(!json_object_get(seen, "tlsCertFile") && !json_object_get(seen, "readOnlyPort"));
}
