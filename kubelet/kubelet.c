#include "kubelet/kubelet.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/option.h"
#include "base/text.h"
#include "kubelet/context.h"
#include "kubelet/credentials.h"
#include "kubelet/evictor.h"
#include "kubelet/front.h"
#include "kubelet/lease.h"
#include "kubelet/mirrors.h"
#include "kubelet/node-cgroups.h"
#include "kubelet/node-images.h"
#include "kubelet/node-pressure.h"
#include "kubelet/node-shutdown.h"
#include "kubelet/node-status.h"
#include "kubelet/pod-manager.h"
#include "kubelet/pod-source.h"
#include "kubelet/root-mount.h"
#include "kubelet/runtime-class.h"
#include "kubelet/services.h"
#include "kubelet/volume-drivers.h"

struct kubelet {
        const struct options *options;       /* borrowed */
        const struct kubelet_config *config; /* borrowed */
        struct context ctx;                  /* what the pods share */
        char *node_name, *node_ip, *private_dir, *cert_dir, *instance, *seccomp_dir; /* owned */
        char *warning, *not_ready; /* owned; texts of the node's conditions */
        json_t *taints, *images;   /* owned; of the node status last built */
        json_t *volumes_in_use;    /* likewise */
        struct node_facts facts;
        struct node_reservation reserved;
        uint64_t root_fs_bytes;
        struct node_pressure *pressure;
        struct credentials *credentials; /* NULL: standalone */
        struct kube_session *session;    /* borrowed from them */
        struct runtime *rt;
        struct object_cache *objects;
        struct volume_drivers *volume_drivers;
        struct volumes *volumes;
        struct handlers *handlers;
        struct events *events;
        struct termination_counts *ended;
        struct services *services;
        struct image_puller *puller;
        struct status_writer *statuses;
        struct mirrors *mirrors;
        struct pod_manager *pods;
        struct pod_sources *sources;
        struct node_status *node_status;
        struct lease *lease;
        struct evictor *evictor;
        struct node_shutdown *shutdown; /* NULL: not asked for */
        struct front *front;
        bool runtime_ready;
        bool node_synced; /* it is known whether there is a Node of ours, and which */
};

/* ---- what is true of this node ---- */

static struct node_input node_input_of(const struct kubelet *k)
{
        return (struct node_input){
                .name = k->node_name,
                .address = k->node_ip,
                .facts = &k->facts,
                .max_pods = (uint32_t)kubelet_config_max_pods(k->config, k->facts.cpus),
                .kubelet_port = k->config->port,
                .ephemeral_bytes = k->root_fs_bytes,
                .reserved = k->reserved,
                .runtime_handlers = runtime_handlers,
        };
}

static void on_allocatable(struct node_allocatable *ret, void *userdata)
{
        const struct node_input in = node_input_of(userdata);

        *ret = (struct node_allocatable){
                .cpu_milli = node_allocatable_cpu_milli(&in),
                .memory_bytes = node_allocatable_memory(&in),
                .ephemeral_bytes = node_allocatable_ephemeral(&in),
        };
}

static const char *why_not_ready(struct kubelet *k)
{
        const char *why;

        free(k->not_ready);
        k->not_ready = NULL;
        if (!k->runtime_ready)
                return "container runtime status check may not have completed yet";
        if (runtime_network_is_ready(k->rt, &why))
                return NULL;
        k->not_ready =
                text_printf("container runtime network not ready: NetworkReady=false "
                            "reason:NetworkPluginNotReady message:Network plugin returns error: %s",
                            why);
        return k->not_ready ? k->not_ready : "container runtime network not ready";
}

static bool on_is_shutting_down(void *userdata)
{
        const struct kubelet *k = userdata;

        return node_shutdown_is_on(k->shutdown);
}

/* With the shutdown, which the kubelet names last. */
static const char *all_why_not_ready(struct kubelet *k)
{
        static const char shutting_down[] = "node is shutting down";
        const char *why = why_not_ready(k);
        char *both;

        if (!node_shutdown_is_on(k->shutdown))
                return why;
        both = why ? text_printf("[%s, %s]", why, shutting_down) : NULL;
        if (!both)
                return shutting_down;
        free(k->not_ready);
        k->not_ready = both;
        return both;
}

static json_t *taints_json(const struct kubelet_config *c)
{
        json_t *list = json_array();

        for (size_t i = 0; i < c->n_register_taints; i++) {
                json_t *t = json_pack("{s:s, s:s}", "key", c->register_taints[i].key, "effect",
                                      c->register_taints[i].effect);

                json_set_text(t, "value", c->register_taints[i].value);
                json_array_append_new(list, t);
        }
        return list;
}

static void on_fill_node(struct node_input *in, void *userdata)
{
        struct kubelet *k = userdata;
        usec_t now = in->now;

        *in = node_input_of(k);
        in->now = now;
        in->provider_id = k->config->provider_id;
        in->labels = &k->options->node_labels;
        in->controller_attach_detach = k->config->controller_attach_detach;
        json_decref(k->taints);
        json_decref(k->images);
        json_decref(k->volumes_in_use);
        in->taints = k->taints = taints_json(k->config);
        in->images = k->images = node_images_list(k->rt, k->config->node_status_max_images);
        in->volumes_in_use = k->volumes_in_use = node_volumes_in_use(k->ctx.node_volumes);
        in->not_ready = all_why_not_ready(k);
        in->warning = k->warning;
        in->memory_pressure = node_pressure_has(k->pressure, EVICTION_MEMORY_PRESSURE);
        in->disk_pressure = node_pressure_has(k->pressure, EVICTION_DISK_PRESSURE);
        in->pid_pressure = node_pressure_has(k->pressure, EVICTION_PID_PRESSURE);
}

static const json_t *on_node_wanted(void *userdata)
{
        const struct kubelet *k = userdata;

        return k->node_status ? node_status_node(k->node_status) : NULL;
}

/* ---- callbacks that tie modules together ---- */

static void set_pod_cidrs(struct kubelet *k, const char *cidrs)
{
        _cleanup_err_ struct err err = { 0 };
        const char *why;
        bool was = runtime_network_is_ready(k->rt, &why);

        if (runtime_set_pod_cidrs(k->rt, cidrs, &err) < 0) {
                log_error(0, "Failed to take the node's podCIDRs '%s': %s", cidrs, err_text(&err));
                return;
        }
        if (!was && runtime_network_is_ready(k->rt, &why)) {
                log_info("Pod network is ready: '%s'", cidrs);
                pod_manager_poke_all(k->pods);
                if (k->node_status)
                        node_status_changed(k->node_status);
        }
}

static void on_node(const json_t *node, void *userdata)
{
        struct kubelet *k = userdata;
        const json_t *spec = json_object_get(node, "spec"), *cidr;
        struct strbuf b = { 0 };
        _cleanup_free_ char *cidrs = NULL;
        size_t i;

        json_array_foreach (json_object_get(spec, "podCIDRs"), i, cidr)
                if (json_is_string(cidr))
                        strbuf_addf(&b, "%s%s", i ? "," : "", json_string_value(cidr));
        cidrs = strbuf_take(&b);
        if (cidrs && *cidrs)
                set_pod_cidrs(k, cidrs);
        mirrors_node_changed(k->mirrors);
        node_volumes_set_node(k->ctx.node_volumes, node);
}

static void on_in_use_changed(void *userdata)
{
        struct kubelet *k = userdata;

        if (k->node_status)
                node_status_changed(k->node_status);
}

/* The kubelet too takes no pod from the API before it knows its own node. */
static void start_api_pods(struct kubelet *k)
{
        _cleanup_err_ struct err err = { 0 };

        if (!k->sources || !k->node_synced)
                return;
        if (pod_sources_start_api(k->sources, &err) < 0) {
                log_error(0, "Failed to start the watch of pods: %s", err_text(&err));
                sd_event_exit(k->ctx.event, 1);
        }
}

static void on_node_synced(void *userdata)
{
        struct kubelet *k = userdata;

        k->node_synced = true;
        start_api_pods(k);
}

static struct event_object node_object(const struct kubelet *k)
{
        return (struct event_object){ .kind = "Node", .name = k->node_name, .uid = k->node_name };
}

static void on_condition(const char *reason, void *userdata)
{
        struct kubelet *k = userdata;
        const struct event_object node = node_object(k);

        events_add(k->events, &node, EVENT_NORMAL, reason, "Node %s status is now: %s",
                   k->node_name, reason);
}

static const char *on_node_uid(void *userdata)
{
        const struct kubelet *k = userdata;

        return k->node_status ? node_status_uid(k->node_status) : NULL;
}

static void on_container_changed(const char *container_id, void *userdata)
{
        struct kubelet *k = userdata;

        const struct container_status *c = container_find(k->rt, container_id);

        if (k->pods)
                pod_manager_container_changed(k->pods, container_id);
        if (k->front && c && c->state == CONTAINER_EXITED)
                front_container_ended(k->front, container_id);
}

static void on_sandbox_changed(const char *sandbox_id, void *userdata)
{
        struct kubelet *k = userdata;

        if (k->pods)
                pod_manager_sandbox_changed(k->pods, sandbox_id);
}

static void on_image_changed(void *userdata)
{
        struct kubelet *k = userdata;

        if (k->node_status)
                node_status_changed(k->node_status);
        if (k->puller)
                image_puller_images_changed(k->puller);
}

static void on_services_synced(void *userdata)
{
        struct kubelet *k = userdata;

        if (k->pods)
                pod_manager_poke_all(k->pods);
}

static void on_pod_gone(const char *uid, void *userdata)
{
        struct kubelet *k = userdata;

        pod_manager_gone(k->pods, uid);
}

static void on_mirror_changed(const char *namespace, const char *name, void *userdata)
{
        struct kubelet *k = userdata;

        pod_manager_mirror_changed(k->pods, namespace, name);
}

static void on_pod(struct pod *pod, void *userdata)
{
        struct kubelet *k = userdata;

        pod_manager_put(k->pods, pod);
}

static void on_pod_removed(enum pod_source source, const char *namespace, const char *name,
                           const char *uid, void *userdata)
{
        struct kubelet *k = userdata;

        pod_manager_removed(k->pods, source, namespace, name, uid);
}

static void on_all_synced(void *userdata)
{
        struct kubelet *k = userdata;

        log_info("All sources have delivered their pods");
        pod_manager_synced(k->pods);
        evictor_start(k->evictor);
}

/* It has no status of its own to tell it by: the node's events are where a person looks next. */
static void on_invalid_pod(const char *name, const char *sentence, void *userdata)
{
        struct kubelet *k = userdata;
        const struct event_object node = node_object(k);
        const bool says_name = strstr(sentence, name);

        log_warn(0, "Not a valid pod, passed over: %s%s%s", says_name ? "" : name,
                 says_name ? "" : ": ", sentence);
        events_add(k->events, &node, EVENT_WARNING, "InvalidPod",
                   "Not a valid pod, passed over: %s%s%s", says_name ? "" : name,
                   says_name ? "" : ": ", sentence);
}

/* ---- starting ---- */

static int choose_name(struct kubelet *k, struct err *err)
{
        struct utsname u;
        const char *name = k->options->hostname_override;

        uname(&u);
        k->node_name = strdup(name ? name : u.nodename);
        if (!k->node_name)
                return err_sys(err, -ENOMEM, "choose the node's name");
        for (char *p = k->node_name; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char)(*p - 'A' + 'a');
        if (!is_dns_subdomain(k->node_name))
                return err_set_kind(
                        err, -EINVAL, ERR_BAD_INPUT,
                        "node name '%s': expected a DNS subdomain; set --hostname-override",
                        k->node_name);
        return 0;
}

/* "" would be too short for an interface's name. */
static char *instance_id(const char *run_dir)
{
        char id[RUN_DIR_ID_MAX];

        return strdup(run_dir_id(run_dir, id)[0] ? id : "sk");
}

static int read_node(struct kubelet *k, struct err *err)
{
        const struct kubelet_config *c = k->config;
        struct fs_capacity capacity;
        struct node_pressure_options pressure = { 0 };
        struct node_input input;
        int r = node_facts_read(&k->facts, err);

        if (r < 0)
                return r;
        if (fs_capacity_read(k->options->root_dir, &capacity) == 0)
                k->root_fs_bytes = capacity.bytes;
        pressure = (struct node_pressure_options){
                .config = c,
                .memory_capacity = k->facts.memory_bytes,
                .root_dir = k->options->root_dir,
                .state_dir = k->options->state_dir,
        };
        r = node_pressure_new(&pressure, &k->pressure, err);
        if (r < 0)
                return r;
        node_pressure_look(k->pressure, now_monotonic()); /* for the first status of the node */
        k->reserved = (struct node_reservation){
                .cpu_milli = config_reserved(c, "cpu", true),
                .memory_bytes = config_reserved(c, "memory", false) +
                                node_pressure_memory_threshold(k->pressure),
                .ephemeral_bytes = config_reserved(c, "ephemeral-storage", false) +
                                   node_pressure_disk_threshold(k->pressure, k->root_fs_bytes),
        };
        input = node_input_of(k);
        r = node_reservation_check(&input, err);
        return r < 0 ? r : node_address_choose(k->options->node_ip, &k->node_ip, err);
}

static int open_directories(struct kubelet *k, struct err *err)
{
        const struct options *o = k->options;
        const char *pod_logs = o->pod_log_dir ? o->pod_log_dir : k->config->pod_logs_dir;
        const struct {
                const char *path;
                mode_t mode;
        } dirs[] = { { o->root_dir, 0750 },          { pod_logs, 0755 },
                     { o->container_log_dir, 0755 }, { o->run_dir, 0755 },
                     { k->private_dir, 0700 },       { o->state_dir, 0700 } };

        for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
                int fd = fs_open_dir(dirs[i].path, dirs[i].mode, err);

                if (fd < 0)
                        return fd;
                if (i == 3 &&
                    fchmod(fd, 0755) < 0) { /* the umask must not hide the sockets' folder */
                        safe_close(fd);
                        return err_sys(err, -errno, "chmod '%s'", dirs[i].path);
                }
                safe_close(fd);
        }
        k->ctx.pod_log_dir = pod_logs;
        return 0;
}

/* Without it all is well but for drivers in pods, whose mounts would stay theirs. */
static void share_root_dir(const struct options *o)
{
        _cleanup_err_ struct err err = { 0 };

        if (o->kubeconfig && root_mount_share(o->root_dir, &err) < 0)
                log_warn(0, "Mounts that pods make below '%s' stay their own: %s", o->root_dir,
                         err_text(&err));
}

static void start_pods(struct kubelet *k)
{
        static const struct pod_source_ops ops = { on_pod, on_pod_removed, on_all_synced,
                                                   on_invalid_pod };
        const struct pod_source_options options = {
                .node_name = k->node_name,
                .manifest_path = k->config->static_pod_path,
                .file_check_usec = k->config->file_check_usec,
                .session = k->session,
        };
        _cleanup_err_ struct err err = { 0 };

        if (pod_sources_new(k->ctx.event, &options, &ops, k, &k->sources, &err) < 0) {
                log_error(0, "Failed to start the pod sources: %s", err_text(&err));
                sd_event_exit(k->ctx.event, 1);
                return;
        }
        start_api_pods(k);
}

static void on_runtime_ready(void *userdata)
{
        struct kubelet *k = userdata;
        const struct node_share machine = {
                .cpu_milli = (int64_t)k->facts.cpus * 1000,
                .memory_bytes = (int64_t)k->facts.memory_bytes,
                .pids = (int64_t)node_pressure_seen(k->pressure, EVICTION_PIDS)->capacity,
        };
        _cleanup_err_ struct err err = { 0 };

        k->runtime_ready = true;
        k->warning = strv_join(runtime_missing_features(k->rt), "; ");
        if (k->warning && !*k->warning) {
                free(k->warning);
                k->warning = NULL;
        }
        if (node_cgroups_apply(k->rt, k->config, &machine, &err) < 0) {
                log_error(0, "Failed to make the cgroups of pods: %s", err_text(&err));
                sd_event_exit(k->ctx.event, 1);
                return;
        }
        node_event(&k->ctx, EVENT_NORMAL, "NodeAllocatableEnforced",
                   "Updated Node Allocatable limit across pods");
        if (!k->session)
                set_pod_cidrs(k, k->config->pod_cidr ? k->config->pod_cidr : "10.85.0.0/16");
        if (k->node_status)
                node_status_changed(k->node_status);
        start_pods(k);
        sd_notify(0, "READY=1");
        log_info("Node '%s' is up at %s", k->node_name, k->node_ip);
}

static int start_runtime(struct kubelet *k, struct err *err)
{
        static const struct runtime_events events = { on_container_changed, on_sandbox_changed,
                                                      on_image_changed };
        const struct options *o = k->options;
        const struct kubelet_config *c = k->config;
        struct runtime_options options = {
                .run_dir = o->run_dir,
                .state_dir = o->state_dir,
                .libexec_dir = o->libexec_dir,
                .cgroup_root = *c->cgroup_root ? c->cgroup_root : "/",
                .cgroup_driver = c->cgroup_systemd ? CGROUP_DRIVER_SYSTEMD : CGROUP_DRIVER_CGROUPFS,
                .registries_file = o->registries,
                .log_max_size = (uint64_t)c->log_max_size,
                .log_max_files = (uint32_t)c->log_max_files,
                .max_parallel_pulls = (uint32_t)c->max_parallel_pulls,
        };

        k->instance = instance_id(o->run_dir);
        k->seccomp_dir = text_printf("%s/seccomp", o->root_dir);
        if (!k->instance || !k->seccomp_dir)
                return err_sys(err, -ENOMEM, "start the runtime");
        options.instance = k->instance;
        options.seccomp_dir = k->seccomp_dir;
        return runtime_new(k->ctx.event, &options, &events, on_runtime_ready, k, &k->rt, err);
}

static int connect_api(struct kubelet *k, struct err *err)
{
        const struct options *o = k->options;
        const struct credentials_options options = {
                .event = k->ctx.event,
                .kubeconfig = o->kubeconfig,
                .bootstrap_kubeconfig = o->bootstrap_kubeconfig,
                .cert_dir = k->cert_dir,
                .node_name = k->node_name,
                .user_agent = "kubelet/" KUBERNETES_VERSION " (linux) skiffd/" SKIFF_VERSION,
                .rotate = k->config->rotate_certificates,
        };
        int r;

        if (!o->kubeconfig) {
                log_info("No --kubeconfig: this node stands alone");
                return 0;
        }
        r = credentials_new(&options, &k->credentials, err);
        if (r < 0)
                return r;
        k->session = credentials_session(k->credentials);
        return object_cache_new(k->session, &k->objects);
}

static void fill_context(struct kubelet *k)
{
        long cpus = sysconf(_SC_NPROCESSORS_CONF);
        struct context *ctx = &k->ctx;

        ctx->config = k->config;
        ctx->node_name = k->node_name;
        ctx->node_ip = k->node_ip;
        ctx->root_dir = k->options->root_dir;
        ctx->container_log_dir = k->options->container_log_dir;
        ctx->crash_limits = crash_backoff_limits_from(k->config->max_restart_period_usec);
        ctx->node_memory_bytes = k->facts.memory_bytes;
        ctx->has_apparmor = k->facts.has_apparmor;
        ctx->apparmor_default = k->facts.apparmor_default;
        ctx->max_pods = (uint32_t)kubelet_config_max_pods(k->config, k->facts.cpus);
        ctx->possible_cpus = cpus > 0 ? (uint32_t)cpus : 1;
        ctx->started_at = now_realtime();
        ctx->allocatable = on_allocatable;
        ctx->is_shutting_down = on_is_shutting_down;
        ctx->userdata = k;
        ctx->rt = k->rt;
        ctx->pressure = k->pressure;
        node_pressure_set_runtime(k->pressure, k->rt);
        ctx->objects = k->objects;
}

static int start_volume_drivers(struct kubelet *k, struct err *err)
{
        const struct volume_drivers_options options = { .session = k->session,
                                                        .root_dir = k->options->root_dir,
                                                        .node_name = k->node_name,
                                                        .node_uid = on_node_uid,
                                                        .on_in_use_changed = on_in_use_changed,
                                                        .userdata = k };
        int r = volume_drivers_new(k->ctx.event, &options, &k->volume_drivers, err);

        if (r == 0)
                k->ctx.node_volumes = volume_drivers_volumes(k->volume_drivers);
        return r;
}

static int start_shared(struct kubelet *k, struct err *err)
{
        struct context *ctx = &k->ctx;
        int r = start_volume_drivers(k, err);
        const struct volumes_options volumes = {
                .root_dir = k->options->root_dir,
                .private_dir = k->private_dir,
                .session = k->session,
                .objects = k->objects,
                .nodes = k->ctx.node_volumes,
                .allocatable = on_allocatable,
                .userdata = k,
        };
        const struct events_options events = { k->node_name, k->config->event_qps,
                                               k->config->event_burst };

        if (r == 0)
                r = volumes_new(ctx->event, &volumes, &k->volumes, err);
        if (r == 0)
                r = handlers_new(ctx->event, k->rt, &k->handlers, err);
        if (r == 0)
                r = events_new(ctx->event, k->session, &events, &k->events, err);
        if (r == 0)
                r = image_puller_new(ctx, &k->puller, err);
        ctx->volumes = k->volumes;
        ctx->handlers = k->handlers;
        ctx->events = k->events;
        ctx->ended = k->ended = termination_counts_new();
        return r == 0 && !k->ended ? err_sys(err, -ENOMEM, "start the agent") : r;
}

static int start_api_side(struct kubelet *k, struct err *err)
{
        struct context *ctx = &k->ctx;
        const struct status_writer_ops statuses = { on_pod_gone, k };
        const struct mirrors_options mirrors = { k->node_name, on_node_uid, on_mirror_changed, k };
        const struct node_status_options node = {
                .node_name = k->node_name,
                .register_node = k->config->register_node,
                .update_period_usec = k->config->node_status_update_usec,
                .report_period_usec = k->config->node_status_report_usec,
                .fill = on_fill_node,
                .on_node = on_node,
                .on_synced = on_node_synced,
                .on_condition = on_condition,
                .userdata = k,
        };
        const struct lease_options lease = { k->node_name,
                                             (uint32_t)k->config->node_lease_duration_sec,
                                             on_node_uid, k };
        int r;

        if (!k->session)
                return 0;
        r = status_writer_new(k->session, &statuses, &k->statuses, err);
        if (r == 0)
                r = services_new(k->session, on_services_synced, k, &k->services, err);
        if (r == 0)
                r = mirrors_new(k->session, &mirrors, &k->mirrors, err);
        if (r == 0)
                r = node_status_new(k->session, &node, &k->node_status, err);
        if (r == 0)
                r = lease_new(k->session, &lease, &k->lease, err);
        ctx->statuses = k->statuses;
        ctx->services = k->services;
        return r;
}

static void on_conditions(void *userdata)
{
        struct kubelet *k = userdata;

        if (k->node_status)
                node_status_changed(k->node_status);
}

static int start_eviction(struct kubelet *k, struct err *err)
{
        const struct evictor_options options = { &k->ctx, k->pods, k->pressure, on_conditions, k };

        int r = evictor_new(&options, &k->evictor, err);

        if (r == 0)
                k->ctx.disks = evictor_disks(k->evictor);
        return r;
}

static int start_shutdown(struct kubelet *k, struct err *err)
{
        const struct node_shutdown_options options = {
                &k->ctx, k->pods, "/etc/systemd/logind.conf.d", on_conditions, k,
        };

        return node_shutdown_new(&options, &k->shutdown, err);
}

/* What `skiff node` shows. */
static json_t *on_node_info(void *userdata)
{
        struct kubelet *k = userdata;
        const char *not_ready = all_why_not_ready(k);
        json_t *missing = json_array();
        json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "name", k->node_name, "address",
                              k->node_ip, "version", SKIFF_VERSION, "kubernetes",
                              KUBERNETES_VERSION, "kernel", k->facts.kernel_version, "ready",
                              !not_ready);
        char since_text[TIME_TEXT_MAX];
        usec_t since;

        json_set_text(o, "notReady", not_ready);
        if (k->session) {
                bool connected = kube_session_is_connected(k->session, &since);

                json_set_text(o, "apiServer", connected ? "connected" : "not reachable");
                json_set_text(o, "since", time_format(since, since_text));
        } else {
                json_set_text(o, "apiServer", "none: this node stands alone");
        }
        STRV_FOREACH (m, runtime_missing_features(k->rt))
                json_array_append_new(missing, json_string(*m));
        json_object_set_new(o, "missing", missing);
        json_set(o, "memoryPressure",
                 json_boolean(node_pressure_has(k->pressure, EVICTION_MEMORY_PRESSURE)));
        json_set(o, "diskPressure",
                 json_boolean(node_pressure_has(k->pressure, EVICTION_DISK_PRESSURE)));
        json_set(o, "pidPressure",
                 json_boolean(node_pressure_has(k->pressure, EVICTION_PID_PRESSURE)));
        return o;
}

static int start_front(struct kubelet *k, struct err *err)
{
        const struct front_options options = {
                .ctx = &k->ctx,
                .pods = k->pods,
                .shutdown = k->shutdown,
                .session = k->session,
                .run_dir = k->options->run_dir,
                .cert_dir = k->cert_dir,
                .client = k->credentials ? credentials_counts(k->credentials) : NULL,
                .agent = k->options,
                .node = on_node_info,
                .userdata = k,
        };

        return front_new(&options, &k->front, err);
}

int kubelet_new(sd_event *event, const struct options *options, const struct kubelet_config *config,
                struct kubelet **ret, struct err *err)
{
        _cleanup_(kubelet_freep)
        struct kubelet *k = calloc(1, sizeof *k);
        struct pod_manager_options pods;
        const char *refused = node_labels_refused(&options->node_labels);
        int r;

        if (!k)
                return err_sys(err, -ENOMEM, "start");
        if (refused)
                return err_set_kind(
                        err, -EINVAL, ERR_BAD_INPUT,
                        "--node-labels: '%s': labels of kubernetes.io and k8s.io are refused but for the well-known ones",
                        refused);
        k->options = options;
        k->config = config;
        k->ctx.event = event;
        k->private_dir = text_printf("%s/private", options->run_dir);
        k->cert_dir = options->cert_dir ? strdup(options->cert_dir)
                                        : text_printf("%s/pki", options->root_dir);
        if (!k->private_dir || !k->cert_dir)
                return err_sys(err, -ENOMEM, "start");
        r = choose_name(k, err);
        if (r == 0)
                r = open_directories(k, err);
        if (r < 0)
                return r;
        share_root_dir(options);
        r = read_node(k, err);
        if (r == 0)
                r = connect_api(k, err);
        if (r == 0)
                r = start_runtime(k, err);
        if (r < 0)
                return r;
        fill_context(k);
        r = start_shared(k, err);
        if (r == 0)
                r = start_api_side(k, err);
        if (r < 0)
                return r;
        pods = (struct pod_manager_options){ &k->ctx, k->puller, k->mirrors, on_node_wanted, k };
        r = pod_manager_new(&pods, &k->pods, err);
        if (r == 0)
                r = start_eviction(k, err);
        if (r == 0)
                r = start_shutdown(k, err);
        if (r == 0)
                r = start_front(k, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(k);
        return 0;
}

struct kubelet *kubelet_free(struct kubelet *k)
{
        if (!k)
                return NULL;
        front_free(k->front);
        node_shutdown_free(k->shutdown);
        evictor_free(k->evictor);
        lease_free(k->lease);
        node_status_free(k->node_status);
        pod_sources_free(k->sources);
        pod_manager_free(k->pods);
        image_puller_free(k->puller);
        mirrors_free(k->mirrors);
        status_writer_free(k->statuses);
        services_free(k->services);
        events_free(k->events);
        termination_counts_free(k->ended);
        handlers_free(k->handlers);
        volumes_free(k->volumes);
        volume_drivers_free(k->volume_drivers);
        object_cache_free(k->objects);
        runtime_free(k->rt);
        credentials_free(k->credentials);
        node_pressure_free(k->pressure);
        node_facts_done(&k->facts);
        free(k->node_name);
        free(k->node_ip);
        free(k->private_dir);
        free(k->cert_dir);
        free(k->instance);
        free(k->seccomp_dir);
        free(k->warning);
        free(k->not_ready);
        json_decref(k->taints);
        json_decref(k->images);
        json_decref(k->volumes_in_use);
        free(k);
        return NULL;
}
