/*
 * Theory of operation. Each step of volume-driver.h is a row of small parts (tables at the end):
 * one asks the driver what it can do, one reads the attachment, one the Secret, the last one makes
 * the call. A part is done at once or goes on from a callback; the first that fails ends the step.
 */
#include "kubelet/volume-csi.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "kubelet/csi-volume.h"
#include "kubelet/volume-csi-internal.h"

/* ---- going through the parts ---- */

static void work_free(struct csi_work *w)
{
        grpc_cancel(w->rpc);
        kube_cancel(w->call);
        volume_spec_free(w->spec);
        pod_unref(w->pod);
        string_map_done(&w->publish_context);
        csi_wipe_map(&w->secrets);
        csi_wipe_map(&w->context);
        json_decref(w->tokens);
        free(w->driver);
        free(w->handle);
        free(w->spec_name);
        free(w->pod_uid);
        free(w->target);
        free(w->staging);
        free(w->device);
        free(w);
}

static void cancel(void *work)
{
        if (work)
                work_free(work);
}

/* Return: 1: the step is done; 0: a part is under way; negative: one failed. */
static int run_parts(struct csi_work *w, struct err *err)
{
        int r = 1;

        while (w->parts[w->at] && r > 0) {
                r = w->parts[w->at](w, err);
                if (r > 0)
                        w->at++;
        }
        return r;
}

static void end(struct csi_work *w, int r, struct err *err)
{
        const struct volume_result result = {
                .r = r,
                .err = r < 0 ? err : NULL,
                .is_uncertain = w->is_uncertain,
                .device = r >= 0 ? w->device : NULL,
        };

        w->done(&result, w->userdata);
        work_free(w);
}

void csi_work_goes_on(struct csi_work *w, int r, struct err *err)
{
        if (r >= 0) {
                w->at++;
                r = run_parts(w, err);
        }
        if (r != 0)
                end(w, MIN(r, 0), err);
}

/* ---- calls to the driver ---- */

static int call(struct csi_work *w, const char *method, const struct strbuf *message,
                grpc_done_fn done, struct err *err)
{
        int r = message->failed ? err_sys(err, -ENOMEM, "call the driver")
                                : csi_call(csi_get_drivers(w->kind->csi), w->driver, method,
                                           message, done, w, &w->rpc, err);

        return r < 0 ? r : 0;
}

/* The sentence of a call that failed: who said no, to what, and how. */
static int take_failure(struct csi_work *w, const char *what, const struct grpc_result *result,
                        struct err *err)
{
        w->is_uncertain = csi_is_uncertain(result->code);
        return err_set(err, -EIO, "CSI driver '%s': %s: %s", w->driver, what,
                       err_text(result->err));
}

static void on_capabilities(const struct grpc_result *result, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r;

        w->rpc = NULL;
        if (result->err)
                r = err_set(&err, -EIO, "CSI driver '%s': NodeGetCapabilities: %s", w->driver,
                            err_text(result->err));
        else
                r = csi_read_capabilities(result->message, result->message_len, &w->capabilities,
                                          &err);
        if (r == 0)
                csi_driver_set_capabilities(csi_get_drivers(w->kind->csi), w->driver,
                                            w->capabilities);
        else if (!result->err)
                err_wrap(&err, r, "CSI driver '%s'", w->driver);
        csi_work_goes_on(w, r, &err);
}

/* A driver that was replaced by a newer one can do something else: it is asked each time. */
static int get_capabilities(struct csi_work *w, struct err *err)
{
        static const struct strbuf empty;

        return call(w, CSI_METHOD("NodeGetCapabilities"), &empty, on_capabilities, err);
}

/* ---- what the API knows ---- */

static int get_attachment(struct csi_work *w, struct err *err)
{
        const struct csi_driver_object *o;
        int r;

        if (!w->is_persistent)
                return 1;
        r = csi_objects_find(csi_get_objects(w->kind->csi), w->driver, &o, err);
        if (r < 0)
                return r;
        return !o || o->attach_required ? csi_read_attachment(w, err) : 1;
}

static int get_secret(struct csi_work *w, struct err *err)
{
        const struct volume_secret *s = w->step == VOLUME_STAGE ? &w->spec->csi.stage_secret
                                                                : &w->spec->csi.publish_secret;

        if (!s->name || (w->step == VOLUME_STAGE && !(w->capabilities & CSI_STAGE_UNSTAGE_VOLUME)))
                return 1;
        return csi_read_secret(w, s->namespace ? s->namespace : w->pod->namespace, s->name, err);
}

static int check_mode(struct csi_work *w, struct err *err)
{
        const struct csi_driver_object *o;
        int r = csi_objects_find(csi_get_objects(w->kind->csi), w->driver, &o, err);

        if (r == 0)
                r = csi_check_mode(o, w->driver, w->is_persistent, err);
        return r < 0 ? r : 1;
}

/* ---- staging ---- */

static int make_dir(const struct csi_work *w, const char *dir, struct err *err)
{
        int r = fs_mkdir_p_at(w->kind->root_fd, dir, 0750);

        return r < 0 ? err_sys(err, r, "make folder '%s/%s'", w->kind->root_dir, dir) : 0;
}

/* The folder with vol_data.json; owned, below the root directory. */
static char *staging_data_dir(const struct csi_work *w)
{
        return w->is_block ? csi_block_data_dir(w->spec_name)
                           : csi_staging_dir(w->driver, w->handle);
}

/* What the driver is given; below the root directory. */
static char *staging_path(const struct csi_work *w)
{
        _cleanup_free_ char *dir = w->is_block ? NULL : csi_staging_dir(w->driver, w->handle);

        if (w->is_block)
                return csi_block_staging_path(w->spec_name);
        return dir ? text_printf("%s/globalmount", dir) : NULL;
}

static char *below_root(const struct csi_work *w, const char *path)
{
        return path ? text_printf("%s/%s", w->kind->root_dir, path) : NULL;
}

static struct csi_mount mount_of(const struct csi_work *w, const char *mount_group)
{
        const struct volume_spec *s = w->spec;
        bool has_stage = w->is_persistent && w->capabilities & CSI_STAGE_UNSTAGE_VOLUME;

        return (struct csi_mount){
                .volume_id = w->handle,
                .staging_path = has_stage ? w->staging : NULL,
                .publish_context = &w->publish_context,
                .secrets = &w->secrets,
                .volume_context = &s->csi.attributes,
                .access_mode = s->access_modes && *s->access_modes ? s->access_modes[0]
                                                                   : "ReadWriteOnce",
                .is_block = w->is_block,
                .read_only = s->read_only,
                .fs_type = s->fs_type,
                .mount_flags = s->mount_options,
                .mount_group = mount_group,
                .capabilities = w->capabilities,
        };
}

/* fsGroup as the driver is told it, when it applies it itself; owned, NULL: it is not told. */
static int delegated_group(const struct csi_work *w, char **ret)
{
        int64_t group = w->pod->security.fs_group;

        *ret = NULL;
        if (group == POD_UNSET || w->is_block || !(w->capabilities & CSI_VOLUME_MOUNT_GROUP))
                return 0;
        *ret = text_printf("%" PRId64, group);
        return *ret ? 0 : -ENOMEM;
}

static int remove_staging(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *path = staging_path(w), *dir = staging_data_dir(w);
        int r = path && dir ? csi_remove_target(w->kind->root_fd, path, err)
                            : err_sys(err, -ENOMEM, "unstage");

        if (r == 0)
                r = csi_data_remove(w->kind->root_fd, dir, err);
        if (r == 0)
                unlinkat(w->kind->root_fd, dir, AT_REMOVEDIR);
        return r;
}

static void on_staged(const struct grpc_result *result, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r = result->err ? take_failure(w, "NodeStageVolume", result, &err) : 0;

        w->rpc = NULL;
        if (r < 0 && !w->is_uncertain)
                remove_staging(w, NULL);
        csi_work_goes_on(w, r, &err);
}

static int stage(struct csi_work *w, struct err *err)
{
        const struct csi_data data = { .handle = w->handle,
                                       .driver = w->driver,
                                       .spec_name = w->is_block ? w->spec_name : NULL };
        _cleanup_free_ char *path = staging_path(w), *dir = staging_data_dir(w), *group = NULL;
        _cleanup_strbuf_ struct strbuf message = { 0 };
        struct csi_mount m;
        int r;

        if (!(w->capabilities & CSI_STAGE_UNSTAGE_VOLUME))
                return 1;
        if (!path || !dir || delegated_group(w, &group) < 0)
                return err_sys(err, -ENOMEM, "stage");
        r = make_dir(w, dir, err);
        if (r == 0 && w->is_block)
                r = make_dir(w, CSI_DIR "/volumeDevices/staging", err);
        if (r == 0 && mkdirat(w->kind->root_fd, path, 0750) < 0 && errno != EEXIST)
                r = err_sys(err, -errno, "make folder '%s'", w->staging);
        if (r == 0)
                r = csi_data_write(w->kind->root_fd, dir, &data, err);
        if (r < 0)
                return r;
        m = mount_of(w, group);
        csi_write_stage(&message, &m);
        r = call(w, CSI_METHOD("NodeStageVolume"), &message, on_staged, err);
        csi_wipe(&message);
        return r;
}

static void on_unstaged(const struct grpc_result *result, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r = result->err ? take_failure(w, "NodeUnstageVolume", result, &err) : 0;

        w->rpc = NULL;
        if (r == 0)
                r = remove_staging(w, &err);
        csi_work_goes_on(w, r, &err);
}

static int unstage(struct csi_work *w, struct err *err)
{
        _cleanup_strbuf_ struct strbuf message = { 0 };

        if (!(w->capabilities & CSI_STAGE_UNSTAGE_VOLUME)) {
                int r = remove_staging(w, err);

                return r < 0 ? r : 1;
        }
        csi_write_undo(&message, w->handle, w->staging);
        return call(w, CSI_METHOD("NodeUnstageVolume"), &message, on_unstaged, err);
}

/* ---- publishing ---- */

/* vol_data.json of a pod's volume; absolute. */
static char *publish_data_dir(const struct csi_work *w)
{
        _cleanup_free_ char *dir = w->is_block ? csi_block_data_dir(w->spec_name) : NULL;
        const char *slash = strrchr(w->target, '/');

        if (w->is_block)
                return below_root(w, dir);
        return slash ? strndup(w->target, (size_t)(slash - w->target)) : NULL;
}

static int remove_published(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *dir = publish_data_dir(w);
        int r = dir ? csi_remove_target(AT_FDCWD, w->target, err)
                    : err_sys(err, -ENOMEM, "unpublish");

        if (r == 0 && w->is_block) {
                _cleanup_free_ char *parent = csi_block_publish_dir(w->spec_name);

                if (parent) /* while other pods have it, it is not empty */
                        unlinkat(w->kind->root_fd, parent, AT_REMOVEDIR);
                return 0;
        }
        return r < 0 ? r : csi_data_remove(AT_FDCWD, dir, err);
}

static void on_published(const struct grpc_result *result, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r = result->err ? take_failure(w, "NodePublishVolume", result, &err) : 0;

        w->rpc = NULL;
        if (r < 0 && !w->is_uncertain && !w->is_repeated)
                remove_published(w, NULL);
        csi_work_goes_on(w, r, &err);
}

static int write_publish_data(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *dir = publish_data_dir(w);
        _cleanup_free_ char *attachment = csi_attachment_name(w->handle, w->driver,
                                                              w->kind->node_name);
        const struct csi_data data = { .spec_name = w->spec_name,
                                       .handle = w->handle,
                                       .driver = w->driver,
                                       .node = w->kind->node_name,
                                       .attachment = attachment,
                                       .mode = w->is_persistent ? (char *)"Persistent"
                                                                : (char *)"Ephemeral" };
        int r = 0;

        if (!dir || !attachment)
                return err_sys(err, -ENOMEM, "publish");
        if (w->is_block) {
                _cleanup_free_ char *publish = csi_block_publish_dir(w->spec_name);
                _cleanup_free_ char *block = csi_block_data_dir(w->spec_name);

                r = publish && block ? make_dir(w, publish, err) : err_sys(err, -ENOMEM, "publish");
                if (r == 0)
                        r = make_dir(w, block, err);
        }
        return r < 0 ? r : csi_data_write(AT_FDCWD, dir, &data, err);
}

static int publish(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *group = NULL;
        _cleanup_strbuf_ struct strbuf message = { 0 };
        struct csi_mount m;
        int r = csi_add_pod_info(w, err);

        if (r == 0 && delegated_group(w, &group) < 0)
                r = err_sys(err, -ENOMEM, "publish");
        if (r == 0)
                r = write_publish_data(w, err);
        if (r < 0)
                return r;
        m = mount_of(w, group);
        m.target_path = w->target;
        m.volume_context = &w->context;
        csi_write_publish(&message, &m);
        r = call(w, CSI_METHOD("NodePublishVolume"), &message, on_published, err);
        csi_wipe(&message);
        return r;
}

static void on_unpublished(const struct grpc_result *result, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r = result->err ? take_failure(w, "NodeUnpublishVolume", result, &err) : 0;

        w->rpc = NULL;
        if (r == 0)
                r = remove_published(w, &err);
        csi_work_goes_on(w, r, &err);
}

static int unpublish(struct csi_work *w, struct err *err)
{
        _cleanup_strbuf_ struct strbuf message = { 0 };

        csi_write_undo(&message, w->handle, w->target);
        return call(w, CSI_METHOD("NodeUnpublishVolume"), &message, on_unpublished, err);
}

/* ---- the steps ---- */

static const csi_part_fn *const steps[] = {
        [VOLUME_ATTACH] = (const csi_part_fn[]){ get_attachment, NULL },
        [VOLUME_STAGE] = (const csi_part_fn[]){ get_capabilities, get_attachment, get_secret, stage,
                                                NULL },
        [VOLUME_PUBLISH] = (const csi_part_fn[]){ check_mode, get_capabilities, get_attachment,
                                                  get_secret, csi_get_tokens, publish, NULL },
        [VOLUME_UNPUBLISH] = (const csi_part_fn[]){ unpublish, NULL },
        [VOLUME_UNSTAGE] = (const csi_part_fn[]){ get_capabilities, unstage, NULL },
};

/* Of UNSTAGE it is known on disk alone whether it is a block volume. */
static int find_staged(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *dir = csi_staging_dir(w->driver, w->handle);
        _cleanup_(csi_data_done)
        struct csi_data data = { 0 };
        int r = dir ? csi_data_read(w->kind->root_fd, dir, &data, err)
                    : err_sys(err, -ENOMEM, "unstage");

        if (r != -ENOENT)
                return r;
        r = csi_find_block(w->kind->root_fd, w->driver, w->handle, &w->spec_name);
        w->is_block = true;
        return r < 0 && r != -ENOENT ? err_sys(err, r, "look for the volume") : r;
}

static int fill(struct csi_work *w, const struct volume_request *q, struct err *err)
{
        _cleanup_free_ char *path = NULL;

        if (csi_split_unique_name(q->unique_name, &w->driver, &w->handle) < 0)
                return err_set(err, -EINVAL, "volume '%s': expected the name of a CSI volume",
                               q->unique_name);
        w->spec_name = strdup_null(q->spec_name);
        w->pod_uid = strdup_null(q->pod_uid);
        if (q->spec)
                w->spec = volume_spec_ref((struct volume_spec *)q->spec);
        if (q->pod)
                w->pod = pod_ref((struct pod *)q->pod);
        w->is_persistent = q->spec && volume_spec_is_persistent(q->spec);
        if ((q->spec_name && !w->spec_name) || (q->pod_uid && !w->pod_uid))
                return err_sys(err, -ENOMEM, "start step");
        if (q->step == VOLUME_UNSTAGE) {
                int r = find_staged(w, err);

                if (r < 0)
                        return r;
        }
        if (q->step == VOLUME_PUBLISH || q->step == VOLUME_UNPUBLISH) {
                _cleanup_free_ char *dir = w->is_block ? csi_block_publish_dir(w->spec_name) : NULL;

                w->target = w->is_block ? text_printf("%s/%s/%s", w->kind->root_dir, dir ? dir : "",
                                                      w->pod_uid)
                                        : strdup(q->target);
                if (!w->target || (w->is_block && !dir))
                        return err_sys(err, -ENOMEM, "start step");
        }
        if (q->step == VOLUME_PUBLISH && w->is_block) {
                w->device = strdup(w->target);
                if (!w->device)
                        return err_sys(err, -ENOMEM, "start step");
        }
        path = staging_path(w);
        w->staging = below_root(w, path);
        return w->staging ? 0 : err_sys(err, -ENOMEM, "start step");
}

static int start(void *driver, const struct volume_request *q, volume_done_fn done, void *userdata,
                 void **ret_work, struct volume_result *ret, struct err *err)
{
        struct csi_work *w = calloc(1, sizeof *w);
        int r;

        if (!w)
                return err_sys(err, -ENOMEM, "start step");
        *w = (struct csi_work){ .kind = driver,
                                .step = q->step,
                                .parts = steps[q->step],
                                .is_block = q->is_block,
                                .is_repeated = q->is_repeated,
                                .done = done,
                                .userdata = userdata };
        r = fill(w, q, err);
        if (q->step == VOLUME_UNSTAGE && r == -ENOENT)
                r = 1; /* nothing is staged */
        else if (q->step == VOLUME_STAGE && !w->is_persistent && r == 0)
                r = 1; /* a volume that stands in the pod has one step */
        else if (r == 0)
                r = run_parts(w, err);
        if (r == 0) {
                *ret_work = w;
                return 0;
        }
        *ret = (struct volume_result){ .r = MIN(r, 0) };
        work_free(w);
        return r;
}

/* ---- what the manager asks ---- */

static int unique_name(_unused_ void *driver, const struct volume_spec *spec, const char *pod_uid,
                       char **ret, struct err *err)
{
        const struct volume_csi *c = &spec->csi;
        _cleanup_free_ char *handle = c->handle ? strdup(c->handle)
                                                : csi_inline_handle(pod_uid, spec->name);
        int r = csi_check_driver_name(c->driver, err);

        if (r < 0)
                return r;
        *ret = handle ? csi_unique_name(c->driver, handle) : NULL;
        return *ret ? 0 : err_sys(err, -ENOMEM, "name volume");
}

static int recognize(void *driver, const char *spec_dir, bool is_block, const char *spec_name,
                     _unused_ const char *pod_uid, char **ret, struct err *err)
{
        struct volume_csi_kind *k = driver;
        _cleanup_free_ char *block = is_block ? csi_block_data_dir(spec_name) : NULL;
        _cleanup_(csi_data_done)
        struct csi_data data = { 0 };
        int r = is_block && !block ? err_sys(err, -ENOMEM, "name volume")
                                   : csi_data_read(is_block ? k->root_fd : AT_FDCWD,
                                                   is_block ? block : spec_dir, &data, err);

        if (r == 0)
                r = csi_check_driver_name(data.driver, err);
        if (r < 0)
                return r;
        *ret = csi_unique_name(data.driver, data.handle);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name volume");
}

static int must_attach(void *driver, const struct volume_spec *spec, struct err *err)
{
        struct volume_csi_kind *k = driver;
        const struct csi_driver_object *o;
        int r;

        if (!volume_spec_is_persistent(spec))
                return 0;
        r = csi_objects_find(csi_get_objects(k->csi), spec->csi.driver, &o, err);
        return r < 0 ? r : !o || o->attach_required;
}

static enum volume_group group(void *driver, const struct volume_spec *spec)
{
        struct volume_csi_kind *k = driver;
        uint32_t capabilities = csi_driver_capabilities(csi_get_drivers(k->csi), spec->csi.driver);
        const struct csi_driver_object *o;

        if (spec->read_only || capabilities & CSI_VOLUME_MOUNT_GROUP ||
            csi_objects_find(csi_get_objects(k->csi), spec->csi.driver, &o, NULL) < 0)
                return VOLUME_GROUP_NEVER;
        return csi_group_applies(o, spec->fs_type, volume_spec_is_persistent(spec),
                                 spec->access_modes)
                       ? VOLUME_GROUP_ALWAYS
                       : VOLUME_GROUP_NEVER;
}

static bool wants_republish(void *driver, const struct volume_spec *spec)
{
        struct volume_csi_kind *k = driver;
        const struct csi_driver_object *o;

        return csi_objects_find(csi_get_objects(k->csi), spec->csi.driver, &o, NULL) == 0 && o &&
               o->requires_republish;
}

static int list_staged(void *driver, char ***ret, struct err *err)
{
        struct volume_csi_kind *k = driver;

        return csi_list_staged(k->root_fd, ret, err);
}

const struct volume_driver volume_csi_driver = {
        .plugin = CSI_PLUGIN,
        .dir = "kubernetes.io~csi",
        .leaf = "mount",
        .map_prefix = CSI_DIR "/volumeDevices/",
        .map_suffix = "/dev",
        .takes_mount_options = true,
        .has_stage = true,
        .unique_name = unique_name,
        .recognize = recognize,
        .list_staged = list_staged,
        .must_attach = must_attach,
        .group = group,
        .wants_republish = wants_republish,
        .start = start,
        .cancel = cancel,
};

int volume_csi_new(const struct volume_csi_options *o, struct volume_csi_kind **ret,
                   struct err *err)
{
        _cleanup_(volume_csi_freep)
        struct volume_csi_kind *k = calloc(1, sizeof *k);

        if (!k)
                return err_sys(err, -ENOMEM, "start CSI volumes");
        *k = (struct volume_csi_kind){ .event = o->event,
                                       .session = o->session,
                                       .csi = o->csi,
                                       .root_dir = strdup(o->root_dir),
                                       .node_name = strdup(o->node_name),
                                       .root_fd = -1 };
        if (!k->root_dir || !k->node_name)
                return err_sys(err, -ENOMEM, "start CSI volumes");
        k->root_fd = fs_open_dir(o->root_dir, 0750, err);
        if (k->root_fd < 0)
                return k->root_fd;
        *ret = TAKE_PTR(k);
        return 0;
}

struct volume_csi_kind *volume_csi_free(struct volume_csi_kind *k)
{
        if (!k)
                return NULL;
        safe_close(k->root_fd);
        free(k->root_dir);
        free(k->node_name);
        free(k);
        return NULL;
}
