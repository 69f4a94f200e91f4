#include "kubelet/container-start.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/container-config.h"
#include "kubelet/container-images.h"
#include "kubelet/host-devices.h"
#include "kubelet/pod-files.h"
#include "kubelet/pod-log.h"
#include "kubelet/pod-observe.h"
#include "kubelet/reason.h"
#include "kubelet/services.h"
#include "kubelet/volume-spec.h"
#include "kubelet/volume-sub-path.h"

#define CONFIG_RETRY_USEC (10 * USEC_PER_SEC)
#define ENV_FILE_MAX      65536

struct container_start {
        const struct context *ctx;
        struct container_start_options options; /* .pod: one reference */
        char *sandbox_id, *ip4, *ip6;           /* owned copies of the options' */
        struct container_start_ops ops;
        void *userdata;
        enum start_stage stage;
        usec_t stage_since;              /* CLOCK_MONOTONIC */
        sd_event_source *defer;          /* owned: steps from the loop */
        struct container_images *images; /* owned */
        struct runtime_op *op;           /* owned */
        struct attempt *hook;            /* owned */
        char *container_id, *log_path;   /* owned */
};

size_t container_start_index(const struct container_start *s)
{
        return s->options.index;
}

const char *container_start_id(const struct container_start *s)
{
        return s->container_id;
}

static const char *name_of(const struct container_start *s)
{
        return s->options.container->name;
}

static void enter(struct container_start *s, enum start_stage next)
{
        s->stage = next;
        s->stage_since = now_monotonic();
}

enum start_stage container_start_stage(const struct container_start *s, usec_t *ret_since,
                                       const char **ret_pulling)
{
        *ret_since = s->stage_since;
        *ret_pulling = s->images ? container_images_asked(s->images) : NULL;
        return s->stage;
}

bool container_start_is_allowed(const struct container_start *s)
{
        return s->sandbox_id != NULL;
}

static void finish(struct container_start *s, enum start_result result, const char *reason,
                   const char *message, usec_t wake_at)
{
        enter(s, START_OVER);
        s->ops.done(s, result, reason, message, wake_at, s->userdata);
}

/* A failure with its event, as the kubelet tells it: "Error: <sentence>". */
static void fail(struct container_start *s, const char *reason, const char *sentence,
                 usec_t wake_at)
{
        log_container_warn(s->options.pod, name_of(s), 0, "%s: %s", reason, sentence);
        pod_event(s->ctx, s->options.pod, s->options.container, EVENT_WARNING, "Failed",
                  "Error: %s", sentence);
        finish(s, START_FAILED, reason, sentence, wake_at);
}

/* ---- images ---- */

static void step_in(struct container_start *s, enum start_stage next)
{
        enter(s, next);
        sd_event_source_set_enabled(s->defer, SD_EVENT_ONESHOT);
}

static void on_images_ready(const char *reason, const char *message, usec_t wake_at, void *userdata)
{
        struct container_start *s = userdata;

        if (reason) {
                finish(s, START_FAILED, reason, message, wake_at);
                return;
        }
        s->ops.step(s, "image", container_images_pulled(s->images), s->userdata);
        step_in(s, START_CONFIG);
}

static void ensure_images(struct container_start *s)
{
        enter(s, START_IMAGE);
        if (container_images_ensure(s->images, on_images_ready, s)) /* else @s may be gone */
                s->ops.step(s, "pulling", 0, s->userdata);
}

/* ---- configuration ---- */

static const json_t *on_object(bool is_secret, const char *name, void *userdata)
{
        const struct container_start *s = userdata;

        return pod_objects_get(s->options.objects, is_secret, name);
}

/* A file that an init container wrote into an emptyDir: below the volume, no links out. */
static int on_read_file(const char *volume, const char *path, char **ret, void *userdata)
{
        const struct container_start *s = userdata;
        const char *root = pod_volumes_path(s->options.volumes, volume);
        _cleanup_close_ int dir_fd = root ? open(root, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (dir_fd < 0)
                return -ENOENT;
        fd = fs_open_inside(dir_fd, path, O_RDONLY | O_NONBLOCK, 0);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return -EINVAL;
        return fs_read_fd(fd, ENV_FILE_MAX, ret, NULL);
}

/* subPath, or subPathExpr expanded, of a mount; NULL: the volume itself. */
static int sub_path_of(const struct pod_mount *m, const struct container_input *in, char **ret,
                       struct err *err)
{
        if (m->sub_path_expr && *m->sub_path_expr)
                return container_expand_sub_path(in, m->sub_path_expr, ret, err);
        if (m->sub_path && *m->sub_path) {
                *ret = strdup(m->sub_path);
                return *ret ? 0 : err_sys(err, -ENOMEM, "read subPath");
        }
        *ret = NULL;
        return 0;
}

static bool is_read_only_kind(enum pod_volume_kind kind)
{
        return kind == POD_VOLUME_CONFIG_MAP || kind == POD_VOLUME_SECRET ||
               kind == POD_VOLUME_DOWNWARD_API || kind == POD_VOLUME_PROJECTED;
}

/* An image volume: "sha256:…", or with the subPath "sha256:…/a/b"; goes to @paths, which owns it.
 */
static int collect_image(const struct container_start *s, const struct container_input *in,
                         const struct pod_mount *m, struct container_mount_input *ret,
                         char ***paths, struct err *err)
{
        const char *id = container_images_of_volume(s->images, m->name);
        _cleanup_free_ char *sub_path = NULL, *source = NULL;
        int r = sub_path_of(m, in, &sub_path, err);

        if (r == 0 && sub_path)
                r = sub_path_validate(sub_path, err);
        if (r < 0)
                return r;
        if (!id)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "the image of volume \"%s\" was not pulled", m->name);
        source = text_printf("%s%s%s", id, sub_path ? "/" : "", sub_path ? sub_path : "");
        if (!source || strv_append(paths, source) < 0)
                return err_sys(err, -ENOMEM, "prepare mounts");
        *ret = (struct container_mount_input){ .mount = m,
                                               .image = (*paths)[strv_len(*paths) - 1] };
        return 0;
}

/* What is known of the volume: whether it is read-only, what its host path must be. */
static void set_source(struct container_mount_input *m, const struct pod_volume *v,
                       const struct volume_spec *spec, bool is_sub_path)
{
        const char *type = v->source.kind == POD_VOLUME_HOST_PATH        ? v->host_path_type
                           : spec && spec->kind == VOLUME_SPEC_HOST_PATH ? spec->path_type
                                                                         : NULL;

        m->read_only = is_read_only_kind(v->source.kind) || (spec && spec->read_only);
        m->create_missing = type && !*type && !is_sub_path;
        m->source_type = is_sub_path ? NULL : type;
}

/* volumeDevices: the volumes' devices as the container will find them; the paths are the pod's. */
static int collect_devices(const struct container_start *s, struct container_input *in,
                           struct container_device_input *devices, struct err *err)
{
        const struct pod_container *c = s->options.container;

        for (size_t i = 0; i < c->n_devices; i++) {
                const char *name = c->devices[i].name,
                           *device = pod_volumes_device(s->options.volumes, name);
                const struct volume_spec *spec = pod_volumes_spec(s->options.volumes, name);
                struct stat st;

                if (!device || !spec)
                        return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                            "cannot find volume \"%s\" to pass into container "
                                            "\"%s\"",
                                            name, c->name);
                /* a node in /dev, which skiffd holds open: this asks no disk */
                if (stat(device, &st) < 0 || !S_ISBLK(st.st_mode))
                        return err_set_kind(err, -ENOTBLK, ERR_CONTAINER_CONFIG,
                                            "volume \"%s\": '%s' is not a block device any more",
                                            name, device);
                devices[i] = (struct container_device_input){ .path = c->devices[i].value,
                                                              .major = major(st.st_rdev),
                                                              .minor = minor(st.st_rdev),
                                                              .read_only = spec->read_only };
        }
        in->devices = devices;
        in->n_devices = c->n_devices;
        return 0;
}

/* Fills in->mounts; the host paths of subPaths go to @paths, which owns them. */
static int collect_mounts(struct container_start *s, struct container_input *in,
                          struct container_mount_input *mounts, char ***paths, struct err *err)
{
        const struct pod_container *c = s->options.container;
        const struct pod *pod = s->options.pod;

        for (size_t i = 0; i < c->n_mounts; i++) {
                const struct pod_mount *m = &c->mounts[i];
                const struct pod_volume *v = pod_find_volume(pod, m->name);
                const char *host_path = pod_volumes_path(s->options.volumes, m->name);
                _cleanup_free_ char *sub_path = NULL, *place = NULL;
                int r;

                if (v && v->source.kind == POD_VOLUME_IMAGE) {
                        r = collect_image(s, in, m, &mounts[i], paths, err);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (!v || !host_path)
                        return err_set_kind(
                                err, -ENOENT, ERR_CONTAINER_CONFIG,
                                "cannot find volume \"%s\" to mount into container \"%s\"", m->name,
                                c->name);
                r = sub_path_of(m, in, &sub_path, err);
                if (r == 0 && sub_path)
                        r = pod_volumes_sub_path(s->options.volumes, m->name, c->name, i, sub_path,
                                                 &place, err);
                if (r < 0)
                        return r;
                if (place) {
                        r = strv_append(paths, place);
                        if (r < 0)
                                return err_sys(err, r, "prepare mounts");
                        host_path = (*paths)[strv_len(*paths) - 1];
                }
                mounts[i] = (struct container_mount_input){ .mount = m, .host_path = host_path };
                set_source(&mounts[i], v, pod_volumes_spec(s->options.volumes, m->name),
                           place != NULL);
        }
        in->mounts = mounts;
        in->n_mounts = c->n_mounts;
        return 0;
}

/* Resolves the user the container runs as, and the groups the image gives it. */
static int resolve_user(const struct container_start *s, const struct image_info *image,
                        struct image_user *user, uint32_t **groups, size_t *n_groups,
                        struct err *err)
{
        const struct pod *pod = s->options.pod;
        _cleanup_free_ char *wanted = NULL;
        int r = container_user_wanted(pod, s->options.container, image, &wanted, err);

        if (r == 0)
                r = image_resolve_user(s->ctx->rt, image->id, wanted, user, err);
        if (r == 0 && !pod->security.groups_strict)
                r = image_groups_of(s->ctx->rt, image->id, user->uid, groups, n_groups, err);
        return r;
}

static int load_seccomp(const struct container_start *s, struct container_output *out,
                        struct err *err)
{
        switch (out->seccomp) {
        case SECCOMP_RUNTIME_DEFAULT:
                return seccomp_runtime_default(out->spec.process.cap_bounding, &out->spec.seccomp,
                                               err);
        case SECCOMP_LOCALHOST:
                return seccomp_localhost(s->ctx->rt, out->seccomp_localhost,
                                         out->spec.process.cap_bounding, &out->spec.seccomp, err);
        default:
                return 0;
        }
}

static char *joined_ips(const char *a, const char *b)
{
        return text_printf("%s%s%s", a, *a && *b ? "," : "", b);
}

static int add_label(struct string_map *m, const char *key, const char *value)
{
        if (!value)
                return 0;
        m->entries[m->n] = (struct string_map_entry){ strdup(key), strdup(value) };
        if (!m->entries[m->n].key || !m->entries[m->n].value) {
                m->n++;
                return -ENOMEM;
        }
        m->n++;
        return 0;
}

static int by_key(const void *a, const void *b)
{
        return strcmp(((const struct string_map_entry *)a)->key,
                      ((const struct string_map_entry *)b)->key);
}

static int build_labels(const struct container_start *s, const struct pod_files *files,
                        struct string_map *m)
{
        const struct pod *pod = s->options.pod;
        const struct pod_container *c = s->options.container;
        const struct container_amounts a = container_amounts_of(pod, c);
        char count[16], hash[24], grace[24], amounts[CONTAINER_AMOUNTS_TEXT_MAX];
        const char *const pairs[][2] = {
                { LABEL_POD_NAME, pod->name },
                { LABEL_POD_NAMESPACE, pod->namespace },
                { LABEL_POD_UID, pod->uid },
                { LABEL_CONTAINER_NAME, c->name },
                { LABEL_RESTART_COUNT, count },
                { LABEL_HASH, hash },
                { LABEL_GRACE, grace },
                { LABEL_AMOUNTS, amounts },
                { LABEL_MESSAGE_FILE, files->termination_log },
                { LABEL_MESSAGE_POLICY,
                  c->message_fallback_to_logs ? "FallbackToLogsOnError" : "File" },
        };

        snprintf(count, sizeof count, "%" PRIu32, s->options.restart_count);
        snprintf(hash, sizeof hash, "%" PRIu64, container_definition_hash(c));
        snprintf(grace, sizeof grace, "%" PRIi64, pod->grace_sec);
        container_amounts_format(&a, amounts);
        m->entries = calloc(ARRAY_SIZE(pairs), sizeof *m->entries);
        if (!m->entries)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
                if (add_label(m, pairs[i][0], pairs[i][1]) < 0)
                        return -ENOMEM;
        qsort(m->entries, m->n, sizeof *m->entries, by_key);
        return 0;
}

static void on_created(int r, const char *container_id, const struct err *err, void *userdata);

struct target {
        const char *name; /* of the container */
        pid_t pid;        /* of its first process; 0: it does not run */
};

static void match_target(const struct container_status *c, void *userdata)
{
        struct target *t = userdata;
        const char *name = string_map_get(c->labels, LABEL_CONTAINER_NAME);

        if (name && streq(name, t->name) && c->state == CONTAINER_RUNNING)
                t->pid = c->pid;
}

/* Whose processes an ephemeral container sees; 0: nobody's, or its target does not run. */
static pid_t target_pid(const struct container_start *s)
{
        struct target t = { .name = s->options.container->target_container };

        if (t.name)
                container_foreach(s->ctx->rt, s->sandbox_id, match_target, &t);
        return t.pid;
}

/* All of it that need not be looked up. @ips is borrowed as long as what comes back. */
static struct container_input input_of(struct container_start *s, const struct image_info *image,
                                       const struct image_user *user, const char *ips)
{
        const struct context *ctx = s->ctx;

        return (struct container_input){
                .pod = s->options.pod,
                .container = s->options.container,
                .image = image,
                .user = user,
                .object = on_object,
                .read_file = on_read_file,
                .userdata = s,
                .pod_ip = *s->ip4 ? s->ip4 : s->ip6,
                .pod_ips = ips,
                .host_ip = ctx->node_ip,
                .host_ips = ctx->node_ip,
                .node_name = ctx->node_name,
                .target_pid = target_pid(s),
                .node_memory_bytes = ctx->node_memory_bytes,
                .possible_cpus = ctx->possible_cpus,
                .cpu_quota = ctx->config->cpu_quota,
                .seccomp_default = ctx->config->seccomp_default,
                .apparmor_default = ctx->apparmor_default,
                .single_process_oom_kill = ctx->config->single_process_oom_kill,
                .cpu_period_usec = ctx->config->cpu_period_usec,
        };
}

/* @services is the caller's to free. */
static int find_services(const struct context *ctx, const struct pod *pod,
                         const struct service_info ***services, struct container_input *in,
                         struct err *err)
{
        int r = ctx->services ? services_for(ctx->services, pod->namespace,
                                             pod->enable_service_links, services, &in->n_services)
                              : 0;

        if (r < 0)
                return err_sys(err, r, "read the services");
        in->services = *services;
        return 0;
}

/* @devices is the caller's to free. */
static int find_host_devices(struct oci_device **devices, struct container_input *in,
                             struct err *err)
{
        int r = host_devices_read(devices, &in->n_host_devices);

        if (r < 0)
                return err_sys(err, r, "read the host's devices");
        in->host_devices = *devices;
        return 0;
}

/* Everything is here: the spec is built and handed to the runtime. */
static int create(struct container_start *s, const struct image_info *image, struct err *err)
{
        const struct context *ctx = s->ctx;
        const struct pod *pod = s->options.pod;
        const struct pod_container *c = s->options.container;
        _cleanup_(pod_files_done)
        struct pod_files files = { 0 };
        _cleanup_(string_map_done)
        struct string_map labels = { 0 };
        _cleanup_(container_output_done)
        struct container_output out = { 0 };
        _cleanup_free_ struct container_mount_input *mounts = calloc(c->n_mounts + 1,
                                                                     sizeof *mounts);
        _cleanup_free_ struct container_device_input *block = calloc(c->n_devices + 1,
                                                                     sizeof *block);
        _cleanup_free_ uint32_t *volume_groups = NULL;
        _cleanup_free_ const struct service_info **services = NULL;
        _cleanup_free_ uint32_t *groups = NULL, *user_groups = NULL;
        _cleanup_free_ char *ips = joined_ips(s->ip4, s->ip6);
        _cleanup_free_ char *hostname = NULL, *domain = NULL, *home = NULL;
        _cleanup_strv_ char **paths = NULL;
        struct oci_device *devices = NULL;
        struct image_user user = { 0 };
        struct container_config config = { .image_id = image->id, .image_name = c->image };
        struct container_input in = input_of(s, image, &user, ips);
        int r;

        volume_groups = pod_volumes_groups(s->options.volumes, &in.n_volume_groups);
        in.volume_groups = volume_groups;
        if (!mounts || !ips || !block || !volume_groups)
                return err_sys(err, -ENOMEM, "prepare the container");
        ctx->allocatable(&in.allocatable, ctx->userdata);
        r = resolve_user(s, image, &user, &groups, &in.n_image_groups, err);
        user_groups = user.groups;
        home = user.home;
        in.image_groups = groups;
        if (r == 0)
                r = pod_hostname(pod, ctx->config->cluster_domain, ctx->node_name, &hostname,
                                 &domain, err);
        in.hostname = hostname;
        if (r == 0)
                r = find_services(ctx, pod, &services, &in, err);
        if (r == 0 && c->security && c->security->privileged == 1)
                r = find_host_devices(&devices, &in, err);
        if (r == 0)
                r = collect_mounts(s, &in, mounts, &paths, err);
        if (r == 0)
                r = collect_devices(s, &in, block, err);
        if (r == 0)
                r = pod_files_write(ctx, pod, c, s->ip4, s->ip6, &files, err);
        if (r == 0) {
                in.hosts_file = files.hosts;
                in.resolv_conf_file = files.resolv_conf;
                in.hostname_file = pod->host_network ? NULL : files.hostname;
                in.termination_log_file = files.termination_log;
                r = container_config_build(&in, &out, err);
        }
        if (r == 0)
                r = load_seccomp(s, &out, err);
        host_devices_free(devices, in.n_host_devices);
        if (r < 0)
                return r;
        s->log_path = pod_log_path(ctx, pod, c->name, s->options.restart_count);
        if (!s->log_path || build_labels(s, &files, &labels) < 0)
                return err_sys(err, -ENOMEM, "prepare the container");
        config.labels = labels;
        config.spec = &out.spec;
        config.log_path = s->log_path;
        config.stdin_open = c->stdin;
        config.stdin_once = c->stdin_once;
        config.stop_sec = (uint32_t)MIN(MAX(pod->grace_sec, 0), INT32_MAX);
        enter(s, START_CREATE);
        return container_create(ctx->rt, s->sandbox_id, &config, on_created, s, &s->op, err);
}

static void configure(struct container_start *s)
{
        const struct context *ctx = s->ctx;
        const char *image_id = container_images_own(s->images);
        const struct image_info *image = image_id ? image_find(ctx->rt, image_id) : NULL;
        _cleanup_err_ struct err err = { 0 };
        const char *problem;
        int r;

        if (!s->sandbox_id || !pod_objects_are_here(s->options.objects, &problem))
                return; /* allowed or poked when they are */
        if (ctx->services && !services_are_synced(ctx->services) && !pod_is_static(s->options.pod))
                return;
        if (problem) {
                fail(s, "CreateContainerConfigError", problem, now_monotonic() + USEC_PER_SEC);
                return;
        }
        if (!image) {
                fail(s, "ErrImagePull", "the image was removed before the container was made",
                     now_monotonic());
                return;
        }
        r = create(s, image, &err);
        if (r < 0) {
                err_kind(&err, r, ERR_CONTAINER_CONFIG);
                fail(s, reason_of_start(err.kind), err_text(&err),
                     now_monotonic() + CONFIG_RETRY_USEC);
        }
}

/* ---- create, start, hook ---- */

static void on_started(int r, const struct err *err, void *userdata);

static void fail_create(struct container_start *s, const struct err *err)
{
        bool is_image = err->kind == ERR_IMAGE_MOUNT;
        _cleanup_free_ char *text = text_printf("%s%s", is_image ? REASON_IMAGE_VOLUME ": " : "",
                                                err_text(err));

        fail(s, reason_of_start(err->kind == ERR_OTHER ? ERR_CONTAINER_CREATE : err->kind),
             text ? text : err_text(err), now_monotonic() + CONFIG_RETRY_USEC);
}

static void on_created(int r, const char *container_id, const struct err *err, void *userdata)
{
        struct container_start *s = userdata;
        const struct pod *pod = s->options.pod;
        _cleanup_err_ struct err start_err = { 0 };

        s->op = NULL;
        if (r < 0) {
                fail_create(s, err);
                return;
        }
        s->container_id = strdup(container_id);
        if (!s->container_id) {
                fail(s, "CreateContainerError", "out of memory",
                     now_monotonic() + CONFIG_RETRY_USEC);
                return;
        }
        pod_event(s->ctx, pod, s->options.container, EVENT_NORMAL, "Created", "Container created");
        pod_log_link(s->ctx, pod, name_of(s), container_id, s->log_path);
        s->ops.step(s, "created", 0, s->userdata);
        enter(s, START_START);
        r = container_start(s->ctx->rt, container_id, on_started, s, &s->op, &start_err);
        if (r < 0)
                fail(s, "RunContainerError", err_text(&start_err), 0);
}

static void on_hook_done(enum handler_outcome outcome, const char *output, void *userdata)
{
        struct container_start *s = userdata;
        const struct pod *pod = s->options.pod;
        const struct pod_handler *h = s->options.container->post_start;
        _cleanup_free_ char *message = NULL, *argv = NULL;

        s->hook = NULL;
        if (outcome == HANDLER_SUCCESS || outcome == HANDLER_WARNING) {
                s->ops.step(s, "postStart", 0, s->userdata);
                finish(s, START_DONE, NULL, NULL, 0);
                return;
        }
        argv = h->command ? strv_join(h->command, " ") : NULL;
        if (h->kind == POD_HANDLER_EXEC)
                message = text_printf(
                        "Exec lifecycle hook ([%s]) for Container \"%s\" in Pod \"%s_%s(%s)\" failed - error: %s, message: \"%s\"",
                        argv ? argv : "", name_of(s), pod->name, pod->namespace, pod->uid, output,
                        output);
        else
                message = text_printf(
                        "%s lifecycle hook (%s) for Container \"%s\" in Pod \"%s_%s(%s)\" failed - error: %s",
                        h->kind == POD_HANDLER_SLEEP ? "Sleep" : "HTTP", h->path ? h->path : "",
                        name_of(s), pod->name, pod->namespace, pod->uid, output);
        pod_event(s->ctx, pod, s->options.container, EVENT_WARNING, "FailedPostStartHook",
                  "PostStartHook failed");
        finish(s, START_HOOK_FAILED, "PostStartHookError", message ? message : "", 0);
}

static void run_hook(struct container_start *s)
{
        const struct attempt_options options = {
                .handler = s->options.container->post_start,
                .container = s->options.container,
                .container_id = s->container_id,
                .pod_ip = *s->ip4 ? s->ip4 : s->ip6,
                .is_hook = true,
                .done = on_hook_done,
                .userdata = s,
        };
        _cleanup_err_ struct err err = { 0 };

        enter(s, START_HOOK);
        if (attempt_start(s->ctx->handlers, &options, &s->hook, &err) < 0)
                on_hook_done(HANDLER_ERROR, err_text(&err), s);
}

static void on_started(int r, const struct err *err, void *userdata)
{
        struct container_start *s = userdata;

        s->op = NULL;
        if (r < 0) {
                fail(s, reason_of_start(err->kind == ERR_OTHER ? ERR_CONTAINER_START : err->kind),
                     err_text(err), 0);
                return;
        }
        pod_event(s->ctx, s->options.pod, s->options.container, EVENT_NORMAL, "Started",
                  "Container started");
        s->ops.step(s, "started", 0, s->userdata);
        if (s->options.container->post_start)
                run_hook(s);
        else
                finish(s, START_DONE, NULL, NULL, 0);
}

/* ---- the whole ---- */

static int on_defer(_unused_ sd_event_source *source, void *userdata)
{
        struct container_start *s = userdata;

        if (s->stage == START_OBJECTS &&
            (!s->options.pod->image_pull_secrets || pod_objects_are_here(s->options.objects, NULL)))
                ensure_images(s);
        else if (s->stage == START_CONFIG)
                configure(s);
        return 0;
}

void container_start_poke(struct container_start *s)
{
        if (s->stage == START_OBJECTS || s->stage == START_CONFIG)
                sd_event_source_set_enabled(s->defer, SD_EVENT_ONESHOT);
}

int container_start_allow(struct container_start *s, const char *sandbox_id, const char *ip4,
                          const char *ip6)
{
        if (s->sandbox_id)
                return 0;
        s->ip4 = strdup(ip4);
        s->ip6 = strdup(ip6);
        s->sandbox_id = s->ip4 && s->ip6 ? strdup(sandbox_id) : NULL;
        if (!s->sandbox_id)
                return -ENOMEM;
        container_start_poke(s);
        return 0;
}

int container_start_new(const struct context *ctx, const struct container_start_options *o,
                        const struct container_start_ops *ops, void *userdata,
                        struct container_start **ret, struct err *err)
{
        _cleanup_(container_start_freep)
        struct container_start *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "start a container");
        *s = (struct container_start){
                .ctx = ctx, .options = *o, .ops = *ops, .userdata = userdata
        };
        enter(s, START_OBJECTS);
        s->options.pod = pod_ref(o->pod);
        r = container_images_new(ctx, o->puller, o->objects, o->pod, o->container, &s->images);
        if (r == 0)
                r = sd_event_add_defer(ctx->event, &s->defer, on_defer, s);
        if (r < 0)
                return err_sys(err, r, "start a container");
        *ret = TAKE_PTR(s);
        return 0;
}

struct container_start *container_start_free(struct container_start *s)
{
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->defer);
        container_images_free(s->images);
        runtime_op_abandon(s->op);
        attempt_cancel(s->hook);
        pod_unref(s->options.pod);
        free(s->sandbox_id);
        free(s->ip4);
        free(s->ip6);
        free(s->container_id);
        free(s->log_path);
        free(s);
        return NULL;
}
