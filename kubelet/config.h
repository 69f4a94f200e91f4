/*
 * KubeletConfiguration (kubelet.config.k8s.io/v1beta1): decoded, defaulted, validated.
 *
 * Every field of Kubernetes 1.36 is known. Those that this node does not act upon are accepted and
 * named in .ignored when they ask for something else than the default, so that the log can say so.
 * As in the kubelet, whose lenient decoder takes over from its strict one for v1beta1, a field that
 * Kubernetes does not know either is passed over; it is named in .unknown.
 *
 * Source: k8s.io/kubelet config/v1beta1 types.go; pkg/kubelet/apis/config (v1beta1
 * defaults.go, validation/validation.go).
 */
#pragma once
#include "base/json.h"
#include "base/usec.h"

struct eviction_config;

struct shutdown_group {   /* one of shutdownGracePeriodByPodPriority */
        int32_t priority; /* the lowest that is in it */
        int64_t grace_sec;
};

struct config_taint {
        char *key, *value, *effect; /* value NULL when empty */
};

struct kubelet_config {
        /* what to run */
        char *static_pod_path; /* NULL: none */
        char *static_pod_url;  /* NULL: none */
        char *pod_logs_dir;
        usec_t sync_usec, file_check_usec, http_check_usec;
        int32_t max_pods, pods_per_core; /* pods_per_core 0: no such limit */
        char *pod_cidr;                  /* standalone only; NULL */
        /* node object */
        bool register_node;
        struct config_taint *register_taints;
        size_t n_register_taints;
        char *provider_id; /* NULL */
        usec_t node_status_update_usec, node_status_report_usec;
        int32_t node_lease_duration_sec, node_status_max_images;
        /* servers */
        bool enable_server, enable_debugging_handlers, enable_system_log_handler;
        char *address, *healthz_address;
        uint16_t port, healthz_port;                         /* healthz_port 0: off */
        char *tls_cert_file, *tls_key_file, *client_ca_file; /* NULL */
        char **tls_cipher_suites;
        char *tls_min_version; /* NULL: VersionTLS12 */
        bool anonymous, webhook_authentication, authorize_always;
        usec_t authentication_cache_usec, authorized_cache_usec, unauthorized_cache_usec;
        usec_t streaming_idle_usec;
        bool rotate_certificates, server_tls_bootstrap;
        /* towards the API server */
        int32_t kube_api_qps, kube_api_burst, event_qps, event_burst; /* qps 0: no limit */
        enum { CONFIG_DETECT_WATCH, CONFIG_DETECT_CACHE, CONFIG_DETECT_GET } change_detection;
        bool controller_attach_detach;
        /* images and logs */
        int32_t registry_qps, registry_burst,
                max_parallel_pulls; /* max_parallel_pulls 0: no limit */
        bool serialize_pulls;
        usec_t image_min_gc_age_usec, image_max_gc_age_usec; /* max 0: off */
        int32_t image_gc_high_percent, image_gc_low_percent;
        int64_t log_max_size;
        int32_t log_max_files;
        /* DNS */
        char *cluster_domain; /* "" when unset */
        char **cluster_dns;
        char *resolv_conf; /* "": nothing is inherited */
        /* resources */
        char *cgroup_root;   /* "" when unset: the hierarchy's root */
        bool cgroup_systemd; /* cgroupDriver: systemd, else cgroupfs */
        bool cpu_quota;
        usec_t cpu_period_usec;
        int64_t pod_pids_limit; /* -1: none */
        bool single_process_oom_kill, fail_swap_on, swap_limited, protect_kernel_defaults;
        bool local_storage_isolation;
        int pull_verification; /* enum pull_verification */
        char **pull_allowlist; /* NULL */
        int32_t oom_score_adj;
        int64_t max_open_files;
        struct string_map system_reserved, kube_reserved; /* quantities */
        char **enforce_node_allocatable;
        char *reserved_cpus; /* NULL */
        struct string_map eviction_hard, eviction_soft, eviction_soft_grace, eviction_min_reclaim;
        usec_t eviction_transition_usec;
        int32_t eviction_max_grace_sec;
        /* pods */
        usec_t max_restart_period_usec; /* crashLoopBackOff.maxContainerRestartPeriod */
        bool seccomp_default;
        char **allowed_unsafe_sysctls;
        int64_t userns_ids_per_pod;
        usec_t shutdown_grace_usec, shutdown_grace_critical_usec;
        struct shutdown_group *shutdown_groups; /* as they were given */
        size_t n_shutdown_groups;
        /* set in the document, but not acted upon, or not known: paths such as "logging.format" */
        char **ignored, **unknown;
        char **given;  /* paths in the document, "logging.format"; a list is one path */
        char *configz; /* what /configz answers: {"kubeletconfig": …} as compact JSON */
};

/* RFC 7386: @patch over @base, in place (drop-ins of --config-dir, in lexical order). */
int config_merge(json_t *base, const json_t *patch);

/**
 * kubelet_config_decode() - a document, or the merge of several, to a configuration
 * @document: tree of a KubeletConfiguration; NULL: all defaults
 * @base_dir: what relative paths in it are relative to: the directory of the file; NULL: none may
 * be
 * @ret:      kubelet_config_done() frees it in both cases
 * Return: 0; -EINVAL and friends with path, value and rule in @err; -ENOMEM.
 */
int kubelet_config_decode(const json_t *document, const char *base_dir, struct kubelet_config *ret,
                          struct err *err);
void kubelet_config_done(struct kubelet_config *c);
/* Its fields about eviction; borrowed. */
struct eviction_config kubelet_config_eviction(const struct kubelet_config *c);
/* How many pods the node takes on a machine of @cpus: maxPods, and podsPerCore of each CPU. */
int32_t kubelet_config_max_pods(const struct kubelet_config *c, uint32_t cpus);
