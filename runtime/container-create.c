/*
 * A container being made. All that skiffd itself makes (directory, config.json, cgroup, plan,
 * seccomp program) belongs to the operation until the shim has created the container from it; then
 * the container is known. On failure all of it is taken away again.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/image-store.h"
#include "runtime/plan.h"
#include "runtime/seccomp-store.h"

struct create_op {
        struct runtime_op op;        /* first member */
        struct runtime *rt;          /* borrowed */
        struct container *container; /* owned until it is created */
        int plan_fd;
        struct cgroup_leaf leaf;
        container_done_fn done;
        void *userdata;
};

static void create_op_free(struct create_op *op)
{
        cgroup_leaf_done(&op->leaf);
        if (op->container) {
                struct container *c = op->container;

                cgroup_remove_container(op->rt->cgroups, c->cgroup_parent, c->id);
                container_remove_files(op->rt, c->id);
                container_free(c);
        }
        safe_close(op->plan_fd);
        free(op);
}

static void fail_create(struct create_op *op, int r, struct err *err)
{
        container_done_fn done = op->op.abandoned ? NULL : op->done;
        void *userdata = op->userdata;

        create_op_free(op);
        err_kind(err, r, ERR_CONTAINER_CREATE);
        if (done)
                done(r, NULL, err, userdata);
}

static void on_created(const struct shim_message *answer, const char *text, _unused_ int *fds,
                       _unused_ unsigned n_fds, void *userdata)
{
        struct create_op *op = userdata;
        struct container *c = op->container;
        struct sandbox *s = sandbox_get(op->rt, c->sandbox_id);
        _cleanup_err_ struct err err = { 0 };
        int r = 0;

        if (!answer) {
                op->container = container_free(c); /* after a restart the shim tells of it */
                create_op_free(op);
                return;
        }
        if (answer->verb != SHIM_OK)
                r = shim_failure(answer, text, &err);
        else if (!s)
                r = err_set(&err, -ENOENT, "its sandbox has been removed");
        else
                r = container_insert(op->rt, s, c);
        if (r < 0) {
                fail_create(op, r, &err);
                return;
        }
        c->status.pid = (pid_t)answer->value;
        op->container = NULL;
        if (!op->op.abandoned)
                op->done(0, c->id, NULL, op->userdata);
        create_op_free(op);
}

static int send_create(struct create_op *op, int seccomp_fd, struct err *err)
{
        struct sandbox *s = sandbox_get(op->rt, op->container->sandbox_id);
        struct shim_message m = { .verb = SHIM_CREATE };
        int fds[3] = { op->plan_fd, op->leaf.fd, seccomp_fd };
        int r = s && s->shim ? 0 : -ENOTCONN;

        memcpy(m.id, op->container->id, sizeof op->container->id);
        if (r == 0)
                r = shim_request(s->shim, &m, fds, seccomp_fd >= 0 ? 3 : 2, on_created, op, NULL);
        if (r == -ENOTCONN)
                return err_set_kind(err, r, ERR_CONTAINER_CREATE, "the pod's shim died");
        return r < 0 ? err_sys(err, r, "ask the shim to create the container") : 0;
}

static void on_seccomp(int r, int fd, const struct err *why, void *userdata)
{
        struct create_op *op = userdata;
        _cleanup_err_ struct err err = { 0 };

        if (r == -ECANCELED) {
                create_op_free(op);
                return;
        }
        if (r < 0)
                err_set_kind(&err, r, why->kind, "%s", err_text(why));
        else
                r = send_create(op, fd, &err);
        if (r < 0)
                fail_create(op, r, &err);
}

static int make_directories(struct container *c, struct err *err)
{
        static const char *const below[] = { "", "/upper", "/work" };

        for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
                _cleanup_free_ char *path = text_printf("%s%s", c->id, below[i]);

                if (!path)
                        return err_sys(err, -ENOMEM, "make the container's directory");
                /* the upper directory becomes the root the container sees */
                if (mkdirat(c->rt->containers_fd, path, i == 1 ? 0755 : 0700) < 0 ||
                    fchmodat(c->rt->containers_fd, path, i == 1 ? 0755 : 0700, 0) < 0)
                        return err_sys(err, -errno, "make directory '%s/containers/%s'",
                                       c->rt->options.state_dir, path);
        }
        return 0;
}

static int make_log_directory(const char *log_path, struct err *err)
{
        _cleanup_free_ char *path = strdup_null(log_path);
        _cleanup_close_ int fd = -1;
        char *end = path ? strrchr(path, '/') : NULL;

        if (!log_path)
                return 0;
        if (!path)
                return err_sys(err, -ENOMEM, "make the log's folder");
        if (log_path[0] != '/' || !end || end == path || !end[1])
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "log path '%s': expected an absolute path of a file", log_path);
        *end = '\0';
        fd = fs_open_dir(path, 0755, err);
        return fd < 0 ? fd : 0;
}

/* "/var/lib/skiff/images/layers" of the descriptor that the image store lends. */
static int path_of(int fd, char **ret)
{
        char link[32], path[4096];
        ssize_t n = readlink(fs_fd_path(fd, link), path, sizeof path - 1);

        if (n < 0)
                return -errno;
        path[n] = '\0';
        *ret = strdup(path);
        return *ret ? 0 : -ENOMEM;
}

static void images_done(struct plan_image **images)
{
        for (struct plan_image *i = *images; i && i->id; i++)
                i->layers = strv_free(i->layers);
        free(*images);
}

/* The layers of every image that is mounted into it; the ids are borrowed. */
static int find_mounted_images(const struct container *c, struct plan_image **ret, size_t *ret_n,
                               struct err *err)
{
        _cleanup_(images_done)
        struct plan_image *images = calloc(strv_len(c->mounted_images) + 1, sizeof *images);
        size_t n = 0;
        int r, fd;

        if (!images)
                return err_sys(err, -ENOMEM, "find the mounted images");
        STRV_FOREACH (id, c->mounted_images) {
                r = image_store_layers(c->rt->images, *id, &fd, &images[n].layers, err);
                if (r < 0)
                        return r;
                images[n++].id = *id;
        }
        *ret = TAKE_PTR(images);
        *ret_n = n;
        return 0;
}

static int compile(struct container *c, const struct container_config *config, uint32_t flags,
                   struct err *err)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        _cleanup_free_ char *layer_dir = NULL, *upper_dir = NULL;
        _cleanup_strv_ char **layers = NULL;
        _cleanup_(images_done)
        struct plan_image *images = NULL;
        struct plan_container_options options = {
                .id = c->id,
                .spec = config->spec,
                .sandbox_flags = flags,
                .log_path = config->log_path,
                .log_max_size = c->rt->options.log_max_size,
                .log_max_files = c->rt->options.log_max_files,
                .stdin_open = config->stdin_open,
                .stdin_once = config->stdin_once,
                .stop_sec = config->stop_sec,
        };
        int r = 0, fd;

        if (config->image_id) {
                r = image_store_layers(c->rt->images, config->image_id, &fd, &layers, err);
                if (r < 0)
                        return r;
                r = find_mounted_images(c, &images, &options.n_images, err);
                if (r < 0)
                        return r;
                r = path_of(fd, &layer_dir);
                upper_dir = text_printf("%s/containers/%s", c->rt->options.state_dir, c->id);
                if (r == 0 && !upper_dir)
                        r = -ENOMEM;
        }
        if (r < 0)
                return err_sys(err, r, "find the image's layers");
        options.layer_dir = layer_dir;
        options.layers = layers;
        options.images = images;
        options.upper_dir = upper_dir;
        r = plan_compile_container(&options, &w, err);
        if (r < 0)
                return r;
        r = fs_sealed_memfd("container-plan", w.data, w.len);
        return r < 0 ? err_sys(err, r, "make the container's plan") : r;
}

static int write_config(const struct container *c, const struct container_config *config,
                        struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s.json", c->id), *text = NULL,
                            *cgroup = text_printf("/%s/%s", c->cgroup_parent, c->id);
        json_auto_t *root = oci_spec_to_json(config->spec);
        int r = -ENOMEM;

        if (root && cgroup && path &&
            json_set_text(json_object_get(root, "linux"), "cgroupsPath", cgroup) == 0 &&
            (!config->image_id ||
             json_set_text(json_object_get(root, "root"), "path", "rootfs") == 0))
                text = json_dumps(root, JSON_COMPACT);
        if (text)
                r = fs_replace_at(c->rt->configs_fd, path, text, strlen(text), 0600, false);
        return r < 0 ? err_sys(err, r, "write config.json") : 0;
}

static int copy_mounted_images(struct container *c, const struct oci_spec *spec)
{
        for (size_t i = 0; i < spec->n_mounts; i++) {
                const struct oci_mount *m = &spec->mounts[i];
                _cleanup_free_ char *id = NULL;

                if (!streq_null(m->type, OCI_MOUNT_IMAGE) || !m->source)
                        continue;
                id = strndup(m->source, strcspn(m->source, "/"));
                if (!id || (!strv_contains(c->mounted_images, id) &&
                            strv_append(&c->mounted_images, id) < 0))
                        return -ENOMEM;
        }
        return 0;
}

static int copy_config(struct container *c, const struct container_config *config)
{
        const struct oci_process *p = &config->spec->process;
        int r = string_map_copy(&c->labels, &config->labels);

        if (r == 0)
                r = copy_mounted_images(c, config->spec);

        if (r == 0)
                r = free_and_strdup(&c->image_id, config->image_id);
        if (r == 0)
                r = free_and_strdup(&c->image_name, config->image_name);
        if (r == 0)
                r = free_and_strdup(&c->log_path, config->log_path);
        if (r == 0 && p->n_additional_gids) {
                c->groups = calloc(p->n_additional_gids, sizeof *c->groups);
                if (!c->groups)
                        return -ENOMEM;
                memcpy(c->groups, p->additional_gids, p->n_additional_gids * sizeof *c->groups);
        }
        c->status.n_groups = p->n_additional_gids;
        c->status.groups = c->groups;
        c->status.uid = p->uid;
        c->status.gid = p->gid;
        c->status.image_id = c->image_id;
        c->status.image_name = c->image_name;
        c->status.log_path = c->log_path;
        c->status.created_at = now_realtime();
        c->status.state = CONTAINER_CREATED;
        return r;
}

/* All that skiffd itself makes of a container; what there is on failure goes with @op. */
static int prepare(struct create_op *op, const struct sandbox *s,
                   const struct container_config *config, struct err *err)
{
        struct container *c = op->container;
        const char *missing;
        int r = make_directories(c, err);

        if (r == 0)
                r = make_log_directory(config->log_path, err);
        if (r < 0)
                return r;
        r = container_hold_images(c, &missing);
        if (r < 0)
                return err_set_kind(err, r, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    missing);
        op->plan_fd = compile(c, config, s->flags, err);
        if (op->plan_fd < 0)
                return op->plan_fd;
        r = write_config(c, config, err);
        if (r == 0)
                r = cgroup_create_container(op->rt->cgroups, c->cgroup_parent, c->id,
                                            &config->spec->resources, &op->leaf, err);
        if (r < 0)
                return r;
        r = container_save(c);
        return r < 0 ? err_sys(err, r, "record the container") : 0;
}

static struct create_op *create_op_new(struct sandbox *s, const struct container_config *config)
{
        struct create_op *op = calloc(1, sizeof *op);
        char id[RUNTIME_ID_SIZE];

        if (!op)
                return NULL;
        op->rt = s->rt;
        op->plan_fd = op->leaf.fd = -1;
        runtime_make_id(id);
        op->container = container_new(s->rt, id, s->id);
        if (!op->container ||
            free_and_strdup(&op->container->cgroup_parent, s->cgroup_parent) < 0 ||
            copy_config(op->container, config) < 0) {
                op->container = container_free(op->container);
                create_op_free(op);
                return NULL;
        }
        return op;
}

int container_create(struct runtime *rt, const char *sandbox_id,
                     const struct container_config *config, container_done_fn done, void *userdata,
                     struct runtime_op **ret, struct err *err)
{
        struct sandbox *s = sandbox_get(rt, sandbox_id);
        struct create_op *op;
        int r, seccomp_fd = -1;

        if (!rt->is_ready) /* directories without a container are being removed until then */
                return err_set_kind(err, -EAGAIN, ERR_CONTAINER_CREATE,
                                    "the runtime is still finding its containers");
        if (!s || s->status.state != SANDBOX_READY || !s->shim)
                return err_set_kind(err, s ? -ENOTCONN : -ENOENT, ERR_CONTAINER_CREATE,
                                    "sandbox '%s' %s", sandbox_id,
                                    s ? "is not ready" : "does not exist");
        op = create_op_new(s, config);
        if (!op)
                return err_sys(err, -ENOMEM, "create a container");
        op->done = done;
        op->userdata = userdata;
        r = prepare(op, s, config, err);
        if (r == 0 && config->spec->seccomp) {
                r = seccomp_store_get(rt->seccomp, config->spec->seccomp, on_seccomp, op,
                                      &seccomp_fd, err);
                if (r > 0)
                        r = send_create(op, seccomp_fd, err);
        } else if (r == 0) {
                r = send_create(op, -1, err);
        }
        if (r < 0) {
                create_op_free(op);
                return err_kind(err, r, ERR_CONTAINER_CREATE);
        }
        if (ret)
                *ret = &op->op;
        return 0;
}
