/*
 * Every allocation of the pure half fails once, one after another: nothing crashes, nothing that
 * was promised is missing without an error, and (with sanitizers) nothing leaks. The linker puts
 * the functions below in the place of libc's (--wrap); jansson is given them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/dns.h"
#include "kubelet/etc-hosts.h"
#include "kubelet/pod-defaults.h"
#include "kubelet/pod-status.h"
#include "kubelet/resource-metrics.h"
#include "kubelet/stats-summary.h"
#include "kubelet/status-patch.h"
#include "tests/check.h"
#include "tests/unit/pod-fixture.h"

static long left = -1; /* allocations until the one that fails; -1: none does */
static long counted;

static bool fails(void)
{
        counted++;
        return left >= 0 && left-- == 0;
}

#define WRAP(type, name, declared, given)                    \
        type __real_##name declared;                         \
        type __wrap_##name declared;                         \
        type __wrap_##name declared                          \
        {                                                    \
                return fails() ? NULL : __real_##name given; \
        }
WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, reallocarray, (void *p, size_t n, size_t size), (p, n, size))
WRAP(char *, strdup, (const char *s), (s))
WRAP(char *, strndup, (const char *s, size_t n), (s, n))

int __real_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
        if (!fails())
                return __real_vasprintf(ret, fmt, ap);
        *ret = NULL;
        return -1;
}

/* what vasprintf() is called where the source is fortified */
int __real___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap);
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap);
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
        if (!fails())
                return __real___vasprintf_chk(ret, flag, fmt, ap);
        *ret = NULL;
        return -1;
}

static void *json_malloc(size_t n)
{
        return fails() ? NULL : __real_malloc(n);
}

__attribute__((constructor)) static void use_our_malloc(void)
{
        json_set_alloc_funcs(json_malloc, free);
}

/* @body once as it is, where it must succeed, then once for every allocation it made. */
static void fail_each(int (*body)(void *userdata), void *userdata)
{
        long n;

        counted = 0;
        left = -1;
        CHECK_INT(body(userdata), 0);
        n = counted;
        CHECK(n > 0);
        for (long i = 0; i < n; i++) {
                int r;

                left = i;
                r = body(userdata);
                left = -1;
                /* where only an error's sentence could not be written, the error stays what it was
                 */
                if (r != 0 && r != -ENOMEM)
                        fail_msg("allocation %ld of %ld: expected -ENOMEM, got %d", i, n, r);
        }
}

#define SPEC                                                                                        \
        "{'overhead':{'cpu':'1m'},'hostAliases':[{'ip':'1.2.3.4','hostnames':['a']}],'hostname':"   \
        "'h','subdomain':'s','tolerations':[{'operator':'Exists'}],'affinity':{'nodeAffinity':{"    \
        "'requiredDuringSchedulingIgnoredDuringExecution':{'nodeSelectorTerms':[{"                  \
        "'matchExpressions':[{'key':'k','operator':'In','values':['v']}]}]}}},"                     \
        "'securityContext':{'supplementalGroups':[5],'sysctls':[{'name':'a','value':'b'}]},"        \
        "'containers':[{'name':'c','image':'i','command':['$(E)'],'ports':[{'containerPort':1}],"   \
        "'env':[{'name':'E','value':'e'},{'name':'F','valueFrom':{'fieldRef':{'fieldPath':"         \
        "'metadata.labels'}}}],'resources':{'limits':{'cpu':'1','hugepages-2Mi':'2Mi'}},"           \
        "'volumeMounts':[{'name':'v','mountPath':'/v','readOnly':true}],'livenessProbe':{'httpGet'" \
        ":{'port':'x'}},'securityContext':{'capabilities':{'add':['CHOWN']}}}],"                    \
        "'initContainers':[{'name':'s','image':'x','restartPolicy':'Always'},{'name':'i','image':"  \
        "'x'}],'volumes':[{'name':'v'},{'name':'w','projected':{'sources':[{'downwardAPI':{"        \
        "'items':[{'path':'l','fieldRef':{'fieldPath':'metadata.labels'}}]}}]}}]}"

/* ---- bodies ---- */
static int decode(void *userdata)
{
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;
        _cleanup_err_ struct err err = { 0 };
        json_t *back;
        int r = pod_decode(userdata, POD_SOURCE_API, &p, &err);

        if (r < 0)
                return r;
        back = pod_to_json(p);
        json_decref(back);
        return back ? 0 : -ENOMEM;
}

static int decode_manifest(void *userdata)
{
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;
        _cleanup_err_ struct err err = { 0 };

        return pod_from_manifest(userdata, "node-1", "/m/x.yaml", 1, &p, &err);
}

static int decode_config(void *userdata)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };
        _cleanup_err_ struct err err = { 0 };

        return kubelet_config_decode(userdata, "/etc", &c, &err);
}

struct deciding {
        struct pod *pod;
        const struct pod_observed *seen;
        const struct crash_backoff *backoffs;
};

static int decide(void *userdata)
{
        const struct deciding *d = userdata;
        json_auto_t *first = NULL, *last = NULL, *patch = NULL;
        struct pod_actions actions;
        struct pod_status_input in = { .pod = d->pod, .seen = d->seen, .now = 1 };
        int r = pod_actions_compute(d->pod, d->seen, d->backoffs, 1, &actions);

        if (r < 0)
                return r;
        in.actions = &actions;
        first = pod_status_build(&in);
        in.previous = first;
        in.is_terminated = true;
        last = first ? pod_status_build(&in) : NULL;
        pod_actions_done(&actions);
        if (!last)
                return -ENOMEM;
        r = status_patch_build(first, last, "u", &patch);
        return r == 1 ? 0 : r;
}

static const json_t *on_object(bool is_secret, const char *name, void *userdata)
{
        (void)is_secret;
        (void)name;
        return userdata;
}

static int configure(void *userdata)
{
        struct pod *pod = userdata;
        struct service_port_info port = { (char *)"http", 80, NULL };
        const struct service_info service = { (char *)"ns", (char *)"a", (char *)"1.1.1.1", &port,
                                              1 };
        const struct service_info *const services[] = { &service };
        const struct image_info image = { .user = "app" };
        const struct image_user user = { .uid = 1, .gid = 2 };
        const struct container_mount_input mount = { .mount = pod->containers[0].mounts,
                                                     .host_path = "/h" };
        const struct container_input in = {
                .pod = pod,
                .container = &pod->containers[0],
                .image = &image,
                .user = &user,
                .mounts = &mount,
                .n_mounts = 1,
                .object = on_object,
                .services = services,
                .n_services = 1,
                .pod_ip = "1",
                .pod_ips = "1",
                .host_ip = "2",
                .host_ips = "2",
                .node_name = "n",
                .hostname = "h",
                .hosts_file = "/a",
                .cpu_quota = true,
                .cpu_period_usec = 100000,
        };
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_free_ char *sub_path = NULL, *wanted = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct oci_resources resources;
        int r = container_user_wanted(pod, in.container, &image, &wanted, &err);

        if (r == 0)
                r = container_config_build(&in, &out, &err);
        if (r == 0)
                r = container_expand_sub_path(&in, "$(E)/x", &sub_path, &err);
        if (r == 0) {
                r = pod_cgroup_resources(pod, &in, &resources);
                oci_resources_done(&resources);
        }
        return r;
}

static int write_files(void *userdata)
{
        struct pod *pod = userdata;
        char *const dns[] = { (char *)"10.96.0.10", NULL };
        const struct dns_node node = { dns, "cluster.local", "search a b\noptions x:1 x:2\n" };
        const char *const ips[] = { "10.0.0.1", NULL };
        _cleanup_free_ char *hosts = NULL, *resolv = NULL, *hostname = NULL, *domain = NULL;
        _cleanup_strv_ char **warnings = NULL;
        _cleanup_err_ struct err err = { 0 };
        int r = pod_hostname(pod, "cluster.local", "n", &hostname, &domain, &err);

        if (r == 0)
                r = pod_resolv_conf(pod, &node, &resolv, &warnings, &err);
        if (r < 0)
                return r;
        hosts = pod_etc_hosts(pod, ips, hostname, domain, NULL);
        return hosts ? 0 : -ENOMEM;
}

static int write_stats(void *userdata)
{
        _cleanup_free_ char *text = resource_metrics_format(userdata);
        json_auto_t *summary = text ? stats_summary_json(userdata, false) : NULL;
        struct stats_network network = { 0 };

        if (!summary || stats_network_parse("eth0: 1 2 3 4 5 6 7 8 9 10 11 12\n", &network) < 0)
                return -ENOMEM;
        free(network.list);
        return 0;
}

/* ---- tests ---- */
TEST(an_object_is_decoded_whole_or_not_at_all)
{
        json_auto_t *object = json_of("{'metadata':{'name':'w','namespace':'n','uid':'u','labels':{"
                                      "'a':'b'}},'spec':" SPEC ",'status':{'phase':'Running'}}");

        fail_each(decode, object);
}

TEST(a_manifest_is_read_whole_or_not_at_all)
{
        json_auto_t *manifest = json_of(
                "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'w'},'spec':" SPEC "}");

        fail_each(decode_manifest, manifest);
}

TEST(a_configuration_is_read_whole_or_not_at_all)
{
        json_auto_t *document = json_of(
                "{'apiVersion':'kubelet.config.k8s.io/v1beta1','kind':'KubeletConfiguration',"
                "'staticPodPath':'m','clusterDNS':['1.1.1.1'],'logging':{'format':'json'},"
                "'systemReserved':{'cpu':'1'},'registerWithTaints':[{'key':'a','effect':"
                "'NoExecute'}],'evictionHard':{'memory.available':'5%'},"
                "'mergeDefaultEvictionSettings':true}");

        fail_each(decode_config, document);
}

TEST(a_status_is_complete_or_there_is_none)
{
        static const struct crash_backoff backoffs[8];
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC, NULL);
        _cleanup_(observed_freep)
        struct observed_fixture *f = observed_of(
                pod,
                "{'sandbox':{'ip':'10.1.0.2'},'s':[{'state':'running'}],'i':[{'state':'exited',"
                "'code':1,'message':'m'}],'c':{'instances':[{'state':'running','uid':1},{"
                "'state':'exited'}],'waiting':['ErrImagePull','x']}}");
        struct deciding d = { pod, observed_seen(f), backoffs };

        fail_each(decide, &d);
}

TEST(a_container_is_configured_whole_or_not_at_all)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC, NULL);

        fail_each(configure, pod);
}

TEST(files_are_written_whole_or_not_at_all)
{
        _cleanup_(pod_unrefp)
        struct pod *pod = pod_of(SPEC, NULL);

        fail_each(write_files, pod);
}

TEST(what_is_used_is_told_whole_or_not_at_all)
{
        static const struct stats_fs fs = { .read_at = 1 };
        struct stats_interface eth0 = { .name = "eth0" };
        struct stats_container c = { .name = "c",
                                     .usage = { .read_at = 1,
                                                .cpu_pressure.is_known = true,
                                                .io_pressure.is_known = true },
                                     .logs = fs };
        struct stats_volume volume = { "v", fs };
        struct stats_pod pod = { .name = "p",
                                 .namespace = "n",
                                 .uid = "u",
                                 .usage = { .read_at = 1 },
                                 .containers = &c,
                                 .n_containers = 1,
                                 .network = { 1, &eth0, 1 },
                                 .volumes = &volume,
                                 .n_volumes = 1 };
        struct stats_snapshot s = { .node_name = "n",
                                    .node = { .read_at = 1 },
                                    .image_fs = fs,
                                    .limits_read_at = 1,
                                    .pods = &pod,
                                    .n_pods = 1 };

        fail_each(write_stats, &s);
}
