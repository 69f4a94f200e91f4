/* Which fields there are, which of them we act upon, and their plain defaults. */
#include "kubelet/config-fields.h"

#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "base/usec.h"
#include "kubelet/decode.h"
#include "kubelet/pull-record.h"

#define FIELD(member) offsetof(struct kubelet_config, member)

void config_init(struct kubelet_config *c)
{
        *c = (struct kubelet_config){
                .sync_usec = USEC_PER_MINUTE,
                .file_check_usec = 20 * USEC_PER_SEC,
                .http_check_usec = 20 * USEC_PER_SEC,
                .max_pods = 110,
                .register_node = true,
                .node_lease_duration_sec = 40,
                .node_status_max_images = 50,
                .enable_server = true,
                .enable_debugging_handlers = true,
                .enable_system_log_handler = true,
                .port = 10250,
                .healthz_port = 10248,
                .webhook_authentication = true,
                .authentication_cache_usec = 2 * USEC_PER_MINUTE,
                .authorized_cache_usec = 5 * USEC_PER_MINUTE,
                .unauthorized_cache_usec = 30 * USEC_PER_SEC,
                .streaming_idle_usec = 240 * USEC_PER_MINUTE,
                .kube_api_qps = 50,
                .kube_api_burst = 100,
                .event_qps = 50,
                .event_burst = 100,
                .controller_attach_detach = true,
                .registry_qps = 5,
                .registry_burst = 10,
                .image_min_gc_age_usec = 2 * USEC_PER_MINUTE,
                .pull_verification = PULL_NEVER_VERIFY_PRELOADED,
                .image_gc_high_percent = 85,
                .image_gc_low_percent = 80,
                .log_max_size = INT64_C(10) << 20,
                .log_max_files = 5,
                .cpu_quota = true,
                .cpu_period_usec = 100 * USEC_PER_MSEC,
                .pod_pids_limit = -1,
                .fail_swap_on = true,
                .local_storage_isolation = true,
                .oom_score_adj = -999,
                .max_open_files = 1000000,
                .eviction_transition_usec = 5 * USEC_PER_MINUTE,
                .max_restart_period_usec = 300 * USEC_PER_SEC,
                .userns_ids_per_pod = 65536,
        };
}

/* ---- decoders: where Go has no pointer, zero means "the default" ---- */
int config_decode_span(const json_t *value, void *member, const void *arg, struct err *err)
{
        usec_t v;
        int r = decode_duration(value, &v, arg, err);

        if (r == 0 && v != 0)
                *(usec_t *)member = v;
        return r;
}

int config_decode_i32(const json_t *value, void *member, const void *arg, struct err *err)
{
        int32_t v;
        int r = decode_i32(value, &v, arg, err);

        if (r == 0 && v != 0)
                *(int32_t *)member = v;
        return r;
}

int config_decode_i64(const json_t *value, void *member, const void *arg, struct err *err)
{
        int64_t v;
        int r = decode_i64(value, &v, arg, err);

        if (r == 0 && v != 0)
                *(int64_t *)member = v;
        return r;
}

int config_decode_port(const json_t *value, void *member, const void *arg, struct err *err)
{
        uint16_t v;
        int r = decode_port_or_zero(value, &v, arg, err);

        if (r == 0 && v != 0)
                *(uint16_t *)member = v;
        return r;
}

int config_decode_size(const json_t *value, void *member, const void *arg, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        int64_t v = 0;
        int r;

        if (json_is_string(value) && json_string_length(value) == 0)
                return 0;
        r = decode_quantity_text(value, &text, arg, err);
        if (r == 0 && (quantity_parse(text, &v) < 0 || v == 0))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected more than 0",
                                    text);
        if (r == 0)
                *(int64_t *)member = v;
        return r;
}

/* {} means unset too, but for evictionHard, where it means "none". */
static const struct json_range zero_up = { 0, INT32_MAX }, one_up = { 1, INT32_MAX };
static const struct json_range zero_up_64 = { 0, INT64_MAX }, minus_one_up = { -1, INT32_MAX };
static const struct json_range percent = { 0, 100 }, two_up = { 2, INT32_MAX };
static const struct json_range shutdown_range = { 0, INT32_MAX };
static const struct json_range oom_scores = { -1000, 1000 };

static const char *const authorization_modes[] = { "Webhook", "AlwaysAllow", NULL };
static const char *const cgroup_drivers[] = { "cgroupfs", "systemd", NULL };
static const char *const swap_behaviors[] = { "NoSwap", "LimitedSwap", NULL };
static const char *const detections[] = { "Watch", "Cache", "Get", NULL };

/* clang-format off */
static const struct json_field x509_fields[] = {
        { "clientCAFile", decode_text, FIELD(client_ca_file), 0, NULL },
        {}
};
static const struct json_field authentication_webhook_fields[] = {
        { "enabled",  decode_bool, FIELD(webhook_authentication), 0, NULL },
        { "cacheTTL", config_decode_span, FIELD(authentication_cache_usec), 0, NULL },
        {}
};
static const struct json_field anonymous_fields[] = {
        { "enabled", decode_bool, FIELD(anonymous), 0, NULL },
        {}
};
static const struct json_field authentication_fields[] = {
        { "anonymous", decode_object, 0, 0, anonymous_fields },
        { "x509",    decode_object, 0, 0, x509_fields },
        { "webhook", decode_object, 0, 0, authentication_webhook_fields },
        {}
};
static const struct json_field authorization_webhook_fields[] = {
        { "cacheAuthorizedTTL",   config_decode_span, FIELD(authorized_cache_usec), 0, NULL },
        { "cacheUnauthorizedTTL", config_decode_span, FIELD(unauthorized_cache_usec), 0, NULL },
        {}
};
static const struct json_field authorization_fields[] = {
        { "mode",    decode_named_bool, FIELD(authorize_always), 0, authorization_modes },
        { "webhook", decode_object, 0, 0, authorization_webhook_fields },
        {}
};
static const struct json_field swap_fields[] = {
        { "swapBehavior", decode_named_bool, FIELD(swap_limited), 0, swap_behaviors },
        {}
};
static const struct json_field crash_loop_fields[] = {
        { "maxContainerRestartPeriod", decode_duration, FIELD(max_restart_period_usec), 0, NULL },
        {}
};
static const struct json_field userns_fields[] = {
        { "idsPerPod", decode_i64, FIELD(userns_ids_per_pod), 0, NULL },
        {}
};
static const struct json_field taint_fields[] = {
        { "key",    decode_string, offsetof(struct config_taint, key), JSON_REQUIRED, NULL },
        { "value",  decode_text,   offsetof(struct config_taint, value), 0, NULL },
        { "effect", decode_string, offsetof(struct config_taint, effect), JSON_REQUIRED, NULL },
        {}
};
static const struct json_array taints = {
        .fields = taint_fields, .element_size = sizeof(struct config_taint),
        .count_offset = JSON_ARRAY_COUNT(struct kubelet_config, register_taints, n_register_taints),
};

static const struct json_field shutdown_fields[] = {
        { "priority",                   decode_i32, offsetof(struct shutdown_group, priority), 0, NULL },
        { "shutdownGracePeriodSeconds", decode_i64, offsetof(struct shutdown_group, grace_sec), 0, &shutdown_range },
        {}
};
static const struct json_array shutdown_groups = {
        .fields = shutdown_fields, .element_size = sizeof(struct shutdown_group),
        .count_offset = JSON_ARRAY_COUNT(struct kubelet_config, shutdown_groups, n_shutdown_groups),
};

const struct json_field config_fields[] = {
        { "enableServer",                    decode_bool,        FIELD(enable_server), 0, NULL },
        { "staticPodPath",                   decode_text,        FIELD(static_pod_path), 0, NULL },
        { "staticPodURL",                    decode_text,        FIELD(static_pod_url), 0, NULL },
        { "podLogsDir",                      decode_text,        FIELD(pod_logs_dir), 0, NULL },
        { "syncFrequency",                   config_decode_span,        FIELD(sync_usec), 0, NULL },
        { "fileCheckFrequency",              config_decode_span,        FIELD(file_check_usec), 0, NULL },
        { "httpCheckFrequency",              config_decode_span,        FIELD(http_check_usec), 0, NULL },
        { "address",                         decode_text,        FIELD(address), 0, NULL },
        { "port",                            config_decode_port,    FIELD(port), 0, NULL },
        { "tlsCertFile",                     decode_text,        FIELD(tls_cert_file), 0, NULL },
        { "tlsPrivateKeyFile",               decode_text,        FIELD(tls_key_file), 0, NULL },
        { "tlsCipherSuites",                 decode_strv,        FIELD(tls_cipher_suites), 0, NULL },
        { "tlsMinVersion",                   decode_text,        FIELD(tls_min_version), 0, NULL },
        { "rotateCertificates",              decode_bool,        FIELD(rotate_certificates), 0, NULL },
        { "serverTLSBootstrap",              decode_bool,        FIELD(server_tls_bootstrap), 0, NULL },
        { "authentication",                  decode_object,      0, 0, authentication_fields },
        { "authorization",                   decode_object,      0, 0, authorization_fields },
        { "registryPullQPS",                 decode_i32,         FIELD(registry_qps), 0, &zero_up },
        { "registryBurst",                   config_decode_i32,     FIELD(registry_burst), 0, &zero_up },
        { "eventRecordQPS",                  decode_i32,         FIELD(event_qps), 0, &zero_up },
        { "eventBurst",                      config_decode_i32,     FIELD(event_burst), 0, &zero_up },
        { "enableDebuggingHandlers",         decode_bool,        FIELD(enable_debugging_handlers), 0, NULL },
        { "enableSystemLogHandler",          decode_bool,        FIELD(enable_system_log_handler), 0, NULL },
        { "healthzPort",                     decode_port_or_zero, FIELD(healthz_port), 0, NULL },
        { "healthzBindAddress",              decode_text,        FIELD(healthz_address), 0, NULL },
        { "oomScoreAdj",                     decode_i32,         FIELD(oom_score_adj), 0, &oom_scores },
        { "clusterDomain",                   decode_text,        FIELD(cluster_domain), 0, NULL },
        { "clusterDNS",                      decode_strv,        FIELD(cluster_dns), 0, NULL },
        { "streamingConnectionIdleTimeout",  config_decode_span,        FIELD(streaming_idle_usec), 0, NULL },
        { "nodeStatusUpdateFrequency",       config_decode_span,        FIELD(node_status_update_usec), 0, NULL },
        { "nodeStatusReportFrequency",       config_decode_span,        FIELD(node_status_report_usec), 0, NULL },
        { "nodeLeaseDurationSeconds",        config_decode_i32,     FIELD(node_lease_duration_sec), 0, &zero_up },
        { "imageMinimumGCAge",               config_decode_span,        FIELD(image_min_gc_age_usec), 0, NULL },
        { "imageMaximumGCAge",               config_decode_span,        FIELD(image_max_gc_age_usec), 0, NULL },
        { "imagePullCredentialsVerificationPolicy", decode_named, FIELD(pull_verification), 0, pull_verifications },
        { "preloadedImagesVerificationAllowlist", decode_strv, FIELD(pull_allowlist), 0, NULL },
        { "imageGCHighThresholdPercent",     decode_i32,         FIELD(image_gc_high_percent), 0, &percent },
        { "imageGCLowThresholdPercent",      decode_i32,         FIELD(image_gc_low_percent), 0, &percent },
        { "cgroupRoot",                      decode_text,        FIELD(cgroup_root), 0, NULL },
        { "cgroupDriver",                    decode_named_bool,  FIELD(cgroup_systemd), 0, cgroup_drivers },
        { "singleProcessOOMKill",            decode_bool,        FIELD(single_process_oom_kill), 0, NULL },
        { "maxPods",                         config_decode_i32,     FIELD(max_pods), 0, &zero_up },
        { "podsPerCore",                     decode_i32,         FIELD(pods_per_core), 0, &zero_up },
        { "podCIDR",                         decode_text,        FIELD(pod_cidr), 0, NULL },
        { "podPidsLimit",                    decode_i64,         FIELD(pod_pids_limit), 0, NULL },
        { "resolvConf",                      decode_string,      FIELD(resolv_conf), 0, NULL },
        { "cpuCFSQuota",                     decode_bool,        FIELD(cpu_quota), 0, NULL },
        { "cpuCFSQuotaPeriod",               decode_duration,    FIELD(cpu_period_usec), 0, NULL },
        { "nodeStatusMaxImages",             decode_i32,         FIELD(node_status_max_images), 0, &minus_one_up },
        { "maxOpenFiles",                    config_decode_i64,     FIELD(max_open_files), 0, &zero_up_64 },
        { "kubeAPIQPS",                      decode_i32,         FIELD(kube_api_qps), 0, &zero_up },
        { "kubeAPIBurst",                    config_decode_i32,     FIELD(kube_api_burst), 0, &zero_up },
        { "serializeImagePulls",             decode_bool,        FIELD(serialize_pulls), 0, NULL },
        { "maxParallelImagePulls",           decode_i32,         FIELD(max_parallel_pulls), 0, &one_up },
        { "evictionHard",                    decode_string_map,  FIELD(eviction_hard), 0, NULL },
        { "evictionSoft",                    decode_string_map,  FIELD(eviction_soft), 0, NULL },
        { "evictionSoftGracePeriod",         decode_string_map,  FIELD(eviction_soft_grace), 0, NULL },
        { "evictionMinimumReclaim",          decode_string_map,  FIELD(eviction_min_reclaim), 0, NULL },
        { "evictionPressureTransitionPeriod", config_decode_span,       FIELD(eviction_transition_usec), 0, NULL },
        { "evictionMaxPodGracePeriod",       decode_i32,         FIELD(eviction_max_grace_sec), 0, NULL },
        { "enableControllerAttachDetach",    decode_bool,        FIELD(controller_attach_detach), 0, NULL },
        { "protectKernelDefaults",           decode_bool,        FIELD(protect_kernel_defaults), 0, NULL },
        { "failSwapOn",                      decode_bool,        FIELD(fail_swap_on), 0, NULL },
        { "memorySwap",                      decode_object,      0, 0, swap_fields },
        { "containerLogMaxSize",             config_decode_size,        FIELD(log_max_size), 0, NULL },
        { "containerLogMaxFiles",            decode_i32,         FIELD(log_max_files), 0, &two_up },
        { "configMapAndSecretChangeDetectionStrategy", decode_named, FIELD(change_detection), 0, detections },
        { "systemReserved",                  decode_quantities,  FIELD(system_reserved), 0, NULL },
        { "kubeReserved",                    decode_quantities,  FIELD(kube_reserved), 0, NULL },
        { "reservedSystemCPUs",              decode_text,        FIELD(reserved_cpus), 0, NULL },
        { "enforceNodeAllocatable",          decode_strv,        FIELD(enforce_node_allocatable), 0, NULL },
        { "allowedUnsafeSysctls",            decode_strv,        FIELD(allowed_unsafe_sysctls), 0, NULL },
        { "providerID",                      decode_text,        FIELD(provider_id), 0, NULL },
        { "shutdownGracePeriod",             decode_duration,    FIELD(shutdown_grace_usec), 0, NULL },
        { "shutdownGracePeriodCriticalPods", decode_duration,    FIELD(shutdown_grace_critical_usec), 0, NULL },
        { "shutdownGracePeriodByPodPriority", decode_array,      FIELD(shutdown_groups), 0, &shutdown_groups },
        { "crashLoopBackOff",                decode_object,      0, 0, crash_loop_fields },
        { "seccompDefault",                  decode_bool,        FIELD(seccomp_default), 0, NULL },
        { "registerWithTaints",              decode_array,       FIELD(register_taints), 0, &taints },
        { "registerNode",                    decode_bool,        FIELD(register_node), 0, NULL },
        { "localStorageCapacityIsolation",   decode_bool,        FIELD(local_storage_isolation), 0, NULL },
        { "userNamespaces",                  decode_object,      0, 0, userns_fields },
        {}
};
/* clang-format on */

/*
 * Known to Kubernetes, and read by validation at most, or not even that. A value that equals the
 * default asks for nothing, and one that is what this node does in any case is granted.
 */
static const struct ignored_field {
        const char *path;
        const char *usual;   /* the default as compact JSON; NULL: 0, "", false, {} and the like */
        const char *granted; /* likewise; NULL: no other value */
} not_acted_upon[] = {
        { "cgroupsPerQOS", "true", NULL },
        { "configMapAndSecretChangeDetectionStrategy", "\"Watch\"", NULL },
        { "containerLogMaxWorkers", "1", NULL },
        { "containerLogMonitorInterval", "\"10s\"", NULL },
        { "containerRuntimeEndpoint", NULL, NULL },
        { "contentType", "\"application/vnd.kubernetes.protobuf\"", NULL },
        { "cpuManagerPolicy", "\"none\"", NULL },
        { "cpuManagerPolicyOptions", NULL, NULL },
        { "cpuManagerReconcilePeriod", "\"10s\"", NULL },
        { "enableContentionProfiling", NULL, NULL },
        { "enableDebugFlagsHandler", "true", "false" },
        { "enableProfilingHandler", "true", "false" },
        { "enableSystemLogQuery", "false", NULL },
        { "enforceNodeAllocatable", "[\"pods\"]", NULL },
        { "evictionMaxPodGracePeriod", NULL, NULL },
        { "evictionMinimumReclaim", NULL, NULL },
        { "evictionSoft", NULL, NULL },
        { "evictionSoftGracePeriod", NULL, NULL },
        { "failCgroupV1", "true", NULL },
        { "failSwapOn", "true", "false" },
        { "featureGates", NULL, NULL },
        { "hairpinMode", "\"promiscuous-bridge\"", NULL },
        { "httpCheckFrequency", "\"20s\"", NULL },
        { "imageGCHighThresholdPercent", "85", "100" },
        { "imageGCLowThresholdPercent", "80", NULL },
        { "imageMaximumGCAge", NULL, NULL },
        { "imageMinimumGCAge", "\"2m\"", NULL },
        { "imageServiceEndpoint", NULL, NULL },
        { "iptablesDropBit", "15", NULL },
        { "iptablesMasqueradeBit", "14", NULL },
        { "kernelMemcgNotification", NULL, NULL },
        { "kubeAPIBurst", "100", NULL },
        { "kubeAPIQPS", "50", "0" },
        { "kubeReservedCgroup", NULL, NULL },
        { "kubeletCgroups", NULL, NULL },
        { "localStorageCapacityIsolation", "true", NULL },
        { "logging", NULL, NULL },
        { "makeIPTablesUtilChains", "true", "false" },
        { "memoryManagerPolicy", "\"None\"", NULL },
        { "memoryReservationPolicy", "\"None\"", NULL },
        { "memorySwap.swapBehavior", "\"NoSwap\"", NULL },
        { "memoryThrottlingFactor", "0.9", NULL },
        { "protectKernelDefaults", NULL, NULL },
        { "qosReserved", NULL, NULL },
        { "readOnlyPort", NULL, NULL },
        { "registryBurst", "10", NULL },
        { "registryPullQPS", "5", "0" },
        { "reservedMemory", NULL, NULL },
        { "reservedSystemCPUs", NULL, NULL },
        { "runtimeRequestTimeout", "\"2m\"", NULL },
        { "showHiddenMetricsForVersion", NULL, NULL },
        { "staticPodURL", NULL, NULL },
        { "staticPodURLHeader", NULL, NULL },
        { "syncFrequency", "\"1m\"", NULL },
        { "systemCgroups", NULL, NULL },
        { "systemReservedCgroup", NULL, NULL },
        { "tlsCurvePreferences", NULL, NULL },
        { "topologyManagerPolicy", "\"none\"", NULL },
        { "topologyManagerPolicyOptions", NULL, NULL },
        { "topologyManagerScope", "\"container\"", NULL },
        { "tracing", NULL, NULL },
        { "userNamespaces", "{\"idsPerPod\":65536}", NULL },
        { "volumePluginDir", "\"/usr/libexec/kubernetes/kubelet-plugins/volume/exec/\"", NULL },
        { "volumeStatsAggPeriod", "\"1m\"", NULL },
};
/* Known, and nothing to tell the log about. */
static const char *const silent[] = { "apiVersion", "kind", "mergeDefaultEvictionSettings",
                                      "runOnce" };

static const struct ignored_field *find_ignored(const char *path)
{
        for (size_t i = 0; i < ARRAY_SIZE(not_acted_upon); i++)
                if (streq(not_acted_upon[i].path, path))
                        return &not_acted_upon[i];
        return NULL;
}

bool config_ignored_field(size_t i, const char **ret_path, const char **ret_usual)
{
        if (i >= ARRAY_SIZE(not_acted_upon))
                return false;
        *ret_path = not_acted_upon[i].path;
        *ret_usual = not_acted_upon[i].usual;
        return true;
}

static bool is_silent(const char *path)
{
        for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
                if (streq(silent[i], path))
                        return true;
        return false;
}

/* kubeadm writes out every field that it leaves alone: 0, "", "0s", {}. */
bool config_says_nothing(const json_t *value)
{
        const char *s = json_string_value(value), *key;
        json_t *v;

        if (s)
                return streq(s, "") || streq(s, "0") || streq(s, "0s");
        if (json_is_number(value))
                return json_number_value(value) == 0;
        if (json_is_array(value))
                return json_array_size(value) == 0;
        json_object_foreach ((json_t *)value, key, v)
                if (!config_says_nothing(v))
                        return false;
        return !json_is_true(value);
}

/* "2m0s" is "2m". */
static bool is_same(const json_t *a, const json_t *b)
{
        usec_t x, y;

        if (json_is_string(a) && json_is_string(b) &&
            duration_parse(json_string_value(a), &x) == 0 &&
            duration_parse(json_string_value(b), &y) == 0)
                return x == y;
        return json_equal(a, b);
}

static bool is_written(const json_t *value, const char *text)
{
        json_auto_t *other = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

        return other && is_same(value, other);
}

/*
 * Where false is not the default, it says something: only what kubeadm writes for "unset" ("", 0,
 * {}) does not.
 */
static bool asks_for_something(const json_t *value, const struct ignored_field *f)
{
        if (is_written(value, f->usual) || is_written(value, f->granted))
                return false;
        return (f->usual && json_is_boolean(value)) || !config_says_nothing(value);
}

static const struct json_field *find_field(const struct json_field *fields, const char *name)
{
        for (; fields->name; fields++)
                if (streq(fields->name, name))
                        return fields;
        return NULL;
}

/* @prefix: "" or "authentication." */
static int check_level(const json_t *object, const struct json_field *fields, const char *prefix,
                       struct kubelet_config *c)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)object, key, value) {
                _cleanup_free_ char *path = text_printf("%s%s", prefix, key), *below = NULL;
                const struct json_field *f = find_field(fields, key);
                const struct ignored_field *ignored = path ? find_ignored(path) : NULL;
                int r = 0;

                if (!path)
                        return -ENOMEM;
                if (ignored) {
                        if (asks_for_something(value, ignored))
                                r = strv_append(&c->ignored, path);
                } else if (f && f->decode == decode_object) {
                        below = text_printf("%s.", path);
                        r = below ? check_level(value, f->arg, below, c) : -ENOMEM;
                } else if (!f && !is_silent(path)) {
                        r = strv_append(&c->unknown, path);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int config_check_known(const json_t *document, struct kubelet_config *c)
{
        return check_level(document, config_fields, "", c);
}
