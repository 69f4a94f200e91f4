#include "kubelet/config.h"

#include <errno.h>
#include <string.h>

#include "base/ip.h"
#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/config-fields.h"
#include "kubelet/config-print.h"
#include "kubelet/eviction.h"
#include "kubelet/pull-record.h"

int config_merge(json_t *base, const json_t *patch)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)patch, key, value) {
                json_t *had = json_object_get(base, key);

                if (json_is_null(value)) {
                        json_object_del(base, key);
                } else if (json_is_object(value) && json_is_object(had)) {
                        int r = config_merge(had, value);

                        if (r < 0)
                                return r;
                } else if (json_set(base, key, json_deep_copy(value)) < 0) {
                        return -ENOMEM;
                }
        }
        return 0;
}

static int bad(struct err *err, const char *field, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%s': %s", field, value, rule);
}

static int set_text(char **member, const char *value)
{
        return *member ? 0 : free_and_strdup(member, value);
}

static int default_evictions(struct kubelet_config *c, const json_t *document)
{
        json_auto_t *all = json_pack("{s:s, s:s, s:s, s:s, s:s}", "memory.available", "100Mi",
                                     "nodefs.available", "10%", "nodefs.inodesFree", "5%",
                                     "imagefs.available", "15%", "imagefs.inodesFree", "5%");
        const json_t *given = json_object_get(document, "evictionHard");

        if (json_is_object(given) &&
            !json_is_true(json_object_get(document, "mergeDefaultEvictionSettings")))
                return 0; /* any key of one's own drops all of these */
        if (!all)
                return -ENOMEM;
        for (size_t i = 0; i < c->eviction_hard.n; i++)
                if (json_set_text(all, c->eviction_hard.entries[i].key,
                                  c->eviction_hard.entries[i].value) < 0)
                        return -ENOMEM;
        return decode_string_map(all, &c->eviction_hard, NULL, NULL);
}

/* Defaults that depend on what was set, or need memory. */
static int fill_defaults(struct kubelet_config *c, const json_t *document)
{
        int r = 0;

        if (c->node_status_report_usec == 0)
                c->node_status_report_usec = c->node_status_update_usec ? c->node_status_update_usec
                                                                        : 5 * USEC_PER_MINUTE;
        if (c->node_status_update_usec == 0)
                c->node_status_update_usec = 10 * USEC_PER_SEC;
        if (!json_is_boolean(json_object_get(document, "serializeImagePulls")))
                c->serialize_pulls = c->max_parallel_pulls < 2;
        else if (c->serialize_pulls && c->max_parallel_pulls == 0)
                c->max_parallel_pulls = 1; /* asked for, not merely the default */
        if (c->pod_pids_limit < 0)
                c->pod_pids_limit = -1;
        if (!c->enforce_node_allocatable)
                r = strv_append(&c->enforce_node_allocatable, "pods");
        if (r == 0)
                r = set_text(&c->pod_logs_dir, "/var/log/pods");
        if (r == 0)
                r = set_text(&c->address, "0.0.0.0");
        if (r == 0)
                r = set_text(&c->healthz_address, "127.0.0.1");
        if (r == 0)
                r = set_text(&c->resolv_conf, "/etc/resolv.conf");
        if (r == 0)
                r = set_text(&c->cluster_domain, "");
        if (r == 0)
                r = set_text(&c->cgroup_root, "");
        return r < 0 ? r : default_evictions(c, document);
}

static int make_absolute(char **path, const char *base_dir, const char *field, struct err *err)
{
        char *full;

        if (!*path || **path == '/' || **path == '\0')
                return 0;
        if (!base_dir)
                return bad(err, field, *path, "expected an absolute path");
        full = text_printf("%s/%s", base_dir, *path);
        if (!full)
                return err_sys(err, -ENOMEM, "read configuration");
        free(*path);
        *path = full;
        return 0;
}

static int make_paths_absolute(struct kubelet_config *c, const char *base_dir, struct err *err)
{
        const struct {
                char **path;
                const char *field;
        } paths[] = {
                { &c->static_pod_path, "staticPodPath" },
                { &c->client_ca_file, "authentication.x509.clientCAFile" },
                { &c->tls_cert_file, "tlsCertFile" },
                { &c->tls_key_file, "tlsPrivateKeyFile" },
                { &c->resolv_conf, "resolvConf" },
                { &c->pod_logs_dir, "podLogsDir" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                int r = make_absolute(paths[i].path, base_dir, paths[i].field, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- validation ---- */
static int check_pod_logs_dir(const char *path, struct err *err)
{
        _cleanup_strv_ char **parts = NULL;
        size_t n = strlen(path);

        for (const char *p = path; *p; p++)
                if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
                        return bad(err, "podLogsDir", path, "must contain ASCII characters only");
        if (strv_split(path, "/", &parts) < 0)
                return err_sys(err, -ENOMEM, "read configuration");
        if (strstr(path, "//") || (n > 1 && path[n - 1] == '/') || strv_contains(parts, ".") ||
            strv_contains(parts, ".."))
                return bad(err, "podLogsDir", path, "must be normalized");
        return 0;
}

static int check_enforcement(const struct kubelet_config *c, const json_t *document,
                             struct err *err)
{
        static const char *const known[] = { "pods",
                                             "system-reserved",
                                             "system-reserved-compressible",
                                             "kube-reserved",
                                             "kube-reserved-compressible",
                                             "none",
                                             NULL };
        char **list = c->enforce_node_allocatable;
        static const char field[] = "enforceNodeAllocatable";

        for (char **s = list; *s; s++) {
                if (!strv_contains((char *const *)known, *s))
                        return bad(err, field, *s,
                                   "expected one of pods, system-reserved, "
                                   "system-reserved-compressible, kube-reserved, "
                                   "kube-reserved-compressible, none");
                if (strv_contains(s + 1, *s))
                        return bad(err, field, *s, "expected only once");
                if (startswith(*s, "system-reserved") &&
                    !json_text_at(document, "systemReservedCgroup"))
                        return bad(err, field, *s, "needs systemReservedCgroup");
                if (startswith(*s, "kube-reserved") &&
                    !json_text_at(document, "kubeReservedCgroup"))
                        return bad(err, field, *s, "needs kubeReservedCgroup");
        }
        if (strv_contains(list, "none") && strv_len(list) > 1)
                return bad(err, field, "none", "expected alone");
        return 0;
}

static int check_evictions(const struct kubelet_config *c, struct err *err)
{
        const struct eviction_config config = kubelet_config_eviction(c);
        struct eviction_thresholds thresholds;

        return eviction_thresholds_parse(&config, &thresholds, err);
}

static int check_images(const struct kubelet_config *c, struct err *err)
{
        if (c->image_gc_low_percent >= c->image_gc_high_percent)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "imageGCLowThresholdPercent: %d: expected less than "
                                    "imageGCHighThresholdPercent, which is %d",
                                    c->image_gc_low_percent, c->image_gc_high_percent);
        if (c->image_max_gc_age_usec != 0 && c->image_max_gc_age_usec <= c->image_min_gc_age_usec)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "imageMaximumGCAge: expected 0 or more than imageMinimumGCAge");
        if (c->serialize_pulls && c->max_parallel_pulls > 1)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "maxParallelImagePulls: %d: expected 1 while "
                                    "serializeImagePulls is true",
                                    c->max_parallel_pulls);
        return 0;
}

static int check_shutdown(const struct kubelet_config *c, struct err *err)
{
        const usec_t grace = c->shutdown_grace_usec, critical = c->shutdown_grace_critical_usec;

        if (critical > grace)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "shutdownGracePeriodCriticalPods: expected at most "
                                    "shutdownGracePeriod");
        if ((grace > 0 && grace < USEC_PER_SEC) || (critical > 0 && critical < USEC_PER_SEC))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "shutdownGracePeriod, shutdownGracePeriodCriticalPods: "
                                    "expected 0 or at least 1s");
        if (grace > 0 && c->n_shutdown_groups > 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "shutdownGracePeriodByPodPriority: expected none beside "
                                    "shutdownGracePeriod");
        return 0;
}

static int check_taints(const struct kubelet_config *c, struct err *err)
{
        static const char *const effects[] = { "NoSchedule", "PreferNoSchedule", "NoExecute",
                                               NULL };

        for (size_t i = 0; i < c->n_register_taints; i++) {
                const struct config_taint *t = &c->register_taints[i];

                if (!strv_contains((char *const *)effects, t->effect ? t->effect : ""))
                        return bad(err, "registerWithTaints: effect", t->effect ? t->effect : "",
                                   "expected one of NoSchedule, PreferNoSchedule, NoExecute");
        }
        return 0;
}

static int check_reserved(const struct string_map *m, const char *field, struct err *err)
{
        static const char *const known[] = { "cpu", "memory", "ephemeral-storage", "pid", NULL };

        for (size_t i = 0; i < m->n; i++)
                if (!strv_contains((char *const *)known, m->entries[i].key))
                        return bad(err, field, m->entries[i].key,
                                   "expected one of cpu, memory, ephemeral-storage, pid");
        return 0;
}

static int check_network(const struct kubelet_config *c, struct err *err)
{
        _cleanup_strv_ char **ranges = NULL;
        struct cidr range;
        struct ip ip;

        if (c->pod_cidr && strv_split(c->pod_cidr, ",", &ranges) < 0)
                return err_sys(err, -ENOMEM, "read configuration");
        STRV_FOREACH (text, ranges)
                if (cidr_parse(*text, &range) < 0)
                        return bad(err, "podCIDR", *text, "expected a range such as 10.244.1.0/24");
        STRV_FOREACH (text, c->cluster_dns)
                if (ip_parse_sloppy(*text, &ip) < 0)
                        return bad(err, "clusterDNS", *text, "expected an IP address");
        if (!c->tls_cert_file != !c->tls_key_file)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "%s: required beside %s, but missing",
                                    c->tls_cert_file ? "tlsPrivateKeyFile" : "tlsCertFile",
                                    c->tls_cert_file ? "tlsCertFile" : "tlsPrivateKeyFile");
        return 0;
}

static int check_rest(const struct kubelet_config *c, const json_t *document, struct err *err)
{
        static const struct {
                const char *field;
                size_t offset;
                usec_t min, max;
        } spans[] = {
                { "cpuCFSQuotaPeriod", offsetof(struct kubelet_config, cpu_period_usec),
                  USEC_PER_MSEC, USEC_PER_SEC },
                { "crashLoopBackOff: maxContainerRestartPeriod",
                  offsetof(struct kubelet_config, max_restart_period_usec), USEC_PER_SEC,
                  300 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
                usec_t v = *(const usec_t *)((const char *)c + spans[i].offset);
                char text[TIME_TEXT_MAX], min[TIME_TEXT_MAX], max[TIME_TEXT_MAX];

                if (v < spans[i].min || v > spans[i].max)
                        return err_set_kind(err, -ERANGE, ERR_BAD_INPUT,
                                            "%s: %s: expected %s to %s", spans[i].field,
                                            duration_format(v, text),
                                            duration_format(spans[i].min, min),
                                            duration_format(spans[i].max, max));
        }
        if (json_is_true(json_object_get(document, "runOnce")))
                return bad(err, "runOnce", "true", "this mode no longer exists");
        if (c->reserved_cpus && (json_text_at(document, "systemReservedCgroup") ||
                                 json_text_at(document, "kubeReservedCgroup")))
                return bad(err, "reservedSystemCPUs", c->reserved_cpus,
                           "not together with systemReservedCgroup or kubeReservedCgroup");
        if (c->userns_ids_per_pod <= 0 || c->userns_ids_per_pod % 65536 != 0 ||
            c->userns_ids_per_pod > UINT32_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "userNamespaces: idsPerPod: %lld: expected a multiple of 65536",
                                    (long long)c->userns_ids_per_pod);
        if (c->cgroup_systemd && json_is_false(json_object_get(document, "cgroupsPerQOS")))
                return bad(err, "cgroupsPerQOS", "false", "pods always get cgroups of their class");
        return 0;
}

static int check_pulls(const struct kubelet_config *c, struct err *err)
{
        if (c->pull_allowlist && *c->pull_allowlist &&
            c->pull_verification != PULL_NEVER_VERIFY_ALLOWLISTED)
                return bad(err, "preloadedImagesVerificationAllowlist", *c->pull_allowlist,
                           "needs imagePullCredentialsVerificationPolicy "
                           "NeverVerifyAllowlistedImages");
        STRV_FOREACH (pattern, c->pull_allowlist) {
                int r = pull_pattern_check(*pattern, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int validate(const struct kubelet_config *c, const json_t *document, struct err *err)
{
        int r = check_pod_logs_dir(c->pod_logs_dir, err);

        if (r == 0)
                r = check_enforcement(c, document, err);
        if (r == 0)
                r = check_evictions(c, err);
        if (r == 0)
                r = check_images(c, err);
        if (r == 0)
                r = check_shutdown(c, err);
        if (r == 0)
                r = check_taints(c, err);
        if (r == 0)
                r = check_reserved(&c->system_reserved, "systemReserved", err);
        if (r == 0)
                r = check_reserved(&c->kube_reserved, "kubeReserved", err);
        if (r == 0)
                r = check_network(c, err);
        if (r == 0)
                r = check_pulls(c, err);
        return r < 0 ? r : check_rest(c, document, err);
}

static int check_kind(const json_t *document, struct err *err)
{
        const char *kind = json_text_at(document, "kind");
        const char *version = json_text_at(document, "apiVersion");

        if (!json_is_object(document))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected a KubeletConfiguration, not %s",
                                    !document || json_is_null(document) ? "an empty document"
                                    : json_is_array(document)           ? "a list"
                                                                        : "a single value");
        if (!streq_null(kind, "KubeletConfiguration"))
                return bad(err, "kind", kind ? kind : "", "expected KubeletConfiguration");
        if (!streq_null(version, "kubelet.config.k8s.io/v1beta1"))
                return bad(err, "apiVersion", version ? version : "",
                           "expected kubelet.config.k8s.io/v1beta1");
        return 0;
}

static int collect_given(const json_t *o, const char *above, char ***ret)
{
        const char *key;
        json_t *value;
        int r = 0;

        json_object_foreach ((json_t *)o, key, value) {
                char *path = text_printf("%s%s%s", above, *above ? "." : "", key);

                if (!path)
                        return -ENOMEM;
                if (json_is_object(value) && json_object_size(value)) {
                        r = collect_given(value, path, ret);
                        free(path);
                } else {
                        r = strv_consume(ret, path);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int print_configz(struct kubelet_config *c, const json_t *document, struct err *err)
{
        json_auto_t *o = json_pack("{s:o}", "kubeletconfig", config_print(c, document));

        if (document && collect_given(document, "", &c->given) < 0)
                return err_sys(err, -ENOMEM, "print configuration");
        c->configz = o ? json_dumps(o, JSON_COMPACT) : NULL;
        return c->configz ? 0 : err_sys(err, -ENOMEM, "print configuration");
}

int kubelet_config_decode(const json_t *document, const char *base_dir, struct kubelet_config *ret,
                          struct err *err)
{
        int r = 0;

        config_init(ret);
        if (document) {
                r = check_kind(document, err);
                if (r == 0)
                        r = config_check_known(document, ret);
                if (r == -ENOMEM)
                        return err_sys(err, r, "read configuration");
                if (r == 0)
                        r = json_decode(document, config_fields, ret, err);
                if (r < 0)
                        return r;
        }
        r = fill_defaults(ret, document);
        if (r < 0)
                return err_sys(err, r, "read configuration");
        r = make_paths_absolute(ret, base_dir, err);
        if (r == 0)
                r = validate(ret, document, err);
        return r < 0 ? r : print_configz(ret, document, err);
}

int32_t kubelet_config_max_pods(const struct kubelet_config *c, uint32_t cpus)
{
        const int64_t by_core = (int64_t)c->pods_per_core * cpus;

        return c->pods_per_core > 0 && by_core < c->max_pods ? (int32_t)by_core : c->max_pods;
}

void kubelet_config_done(struct kubelet_config *c)
{
        char *const texts[] = { c->static_pod_path, c->static_pod_url,  c->pod_logs_dir,
                                c->pod_cidr,        c->provider_id,     c->address,
                                c->healthz_address, c->tls_cert_file,   c->tls_key_file,
                                c->client_ca_file,  c->tls_min_version, c->cluster_domain,
                                c->resolv_conf,     c->cgroup_root,     c->reserved_cpus,
                                c->configz };
        char **const lists[] = {
                c->tls_cipher_suites,      c->cluster_dns, c->enforce_node_allocatable,
                c->allowed_unsafe_sysctls, c->ignored,     c->unknown,
                c->pull_allowlist,         c->given
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                free(texts[i]);
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                strv_free(lists[i]);
        for (size_t i = 0; i < c->n_register_taints; i++) {
                free(c->register_taints[i].key);
                free(c->register_taints[i].value);
                free(c->register_taints[i].effect);
        }
        free(c->register_taints);
        free(c->shutdown_groups);
        string_map_done(&c->system_reserved);
        string_map_done(&c->kube_reserved);
        string_map_done(&c->eviction_hard);
        string_map_done(&c->eviction_soft);
        string_map_done(&c->eviction_soft_grace);
        string_map_done(&c->eviction_min_reclaim);
        *c = (struct kubelet_config){ 0 };
}

struct eviction_config kubelet_config_eviction(const struct kubelet_config *c)
{
        return (struct eviction_config){
                .hard = &c->eviction_hard,
                .soft = &c->eviction_soft,
                .soft_grace = &c->eviction_soft_grace,
                .min_reclaim = &c->eviction_min_reclaim,
                .enforces_pods = strv_contains(c->enforce_node_allocatable, "pods"),
        };
}
