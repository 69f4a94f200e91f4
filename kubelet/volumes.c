#include "kubelet/volumes.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trash.h"
#include "kubelet/volume-empty-dir.h"
#include "kubelet/volume-sub-path.h"
#include "kubelet/volumes-internal.h"

#define TRASH "skiff-trash"

static int on_notify(_unused_ sd_event_source *s, void *userdata)
{
        struct pod_volumes *pv = userdata;

        pv->ops.on_changed(pv->userdata);
        return 0;
}

/* ---- the volumes of a pod ---- */

/* Images are no matter of ours: the runtime mounts them (container-images.h). */
static bool is_used(const struct pod *pod, const struct pod_volume *spec)
{
        const struct pod_container *c;
        const char *volume = spec->name;

        if (spec->source.kind == POD_VOLUME_IMAGE)
                return false;
        POD_FOREACH_CONTAINER(c, pod)
        {
                for (size_t i = 0; i < c->n_mounts; i++)
                        if (streq(c->mounts[i].name, volume))
                                return true;
                for (size_t i = 0; i < c->n_devices; i++)
                        if (streq(c->devices[i].name, volume))
                                return true;
        }
        return false;
}

int volumes_pod_dir(struct volumes *v, const char *pod_uid, struct err *err)
{
        _cleanup_free_ char *path = text_printf("pods/%s", pod_uid);
        _cleanup_free_ char *inner = text_printf("pods/%s/volumes", pod_uid);
        _cleanup_free_ char *plugins = text_printf("pods/%s/plugins", pod_uid);
        int r = path && inner && plugins ? fs_mkdir_p_at(v->root_fd, inner, 0750) : -ENOMEM;

        if (r == 0)
                r = fs_mkdir_p_at(v->root_fd, plugins, 0750);
        if (r == 0)
                r = fs_open_beneath(v->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
        return r < 0 ? err_sys(err, r, "error making pod data directories") : r;
}

int pod_volumes_new(struct volumes *vs, struct pod *pod, const struct pod_volumes_ops *ops,
                    void *userdata, struct pod_volumes **ret, struct err *err)
{
        _cleanup_(pod_volumes_freep)
        struct pod_volumes *pv = calloc(1, sizeof *pv);
        _cleanup_close_ int dir_fd = volumes_pod_dir(vs, pod->uid, err);
        int r;

        if (dir_fd < 0)
                return dir_fd;
        if (!pv)
                return err_sys(err, -ENOMEM, "start the volumes");
        *pv = (struct pod_volumes){
                .volumes = vs, .pod = pod_ref(pod), .ops = *ops, .userdata = userdata
        };
        pv->items = calloc(pod->n_volumes + 1, sizeof *pv->items);
        if (!pv->items)
                return err_sys(err, -ENOMEM, "start the volumes");
        r = sd_event_add_defer(vs->event, &pv->notify, on_notify, pv);
        if (r < 0)
                return err_sys(err, r, "start the volumes");
        for (size_t i = 0; i < pod->n_volumes; i++) {
                struct volume *v = &pv->items[pv->n_items];
                _cleanup_err_ struct err why = { 0 };

                if (!is_used(pod, &pod->volumes[i]))
                        continue;
                pv->n_items++;
                r = volume_start(v, pv, &pod->volumes[i], &why);
                if (r == -ENOMEM || !v->timer) {
                        err_move(err, &why);
                        return r;
                }
                if (r < 0)
                        volume_set_problem(v, err_text(&why));
                else if (v->spec->source.kind != POD_VOLUME_HOST_PATH)
                        volume_write(v);
        }
        *ret = TAKE_PTR(pv);
        return 0;
}

void pod_volumes_update(struct pod_volumes *pv, struct pod *pod)
{
        struct pod *old = pv->pod;

        pv->pod = pod_ref(pod);
        /* volumes of a pod never change, so the new pod has the same ones at the same places */
        for (size_t i = 0; i < pv->n_items; i++) {
                struct volume *v = &pv->items[i];
                const struct pod_volume *spec = pod_find_volume(pod, v->spec->name);

                if (!spec || spec->source.kind != v->spec->source.kind ||
                    spec->n_sources != v->spec->n_sources) {
                        pod_ref(old); /* stays alive: v->spec points into it */
                        continue;
                }
                v->spec = spec;
                if (v->claim)
                        volume_claim_set_pod(v->claim, pod);
                for (size_t k = 0; k < v->n_inputs; k++)
                        v->inputs[k].source = spec->source.kind == POD_VOLUME_PROJECTED
                                                      ? &spec->sources[k]
                                                      : &spec->source;
                if (v->n_inputs)
                        volume_write(v);
        }
        pod_unref(old);
}

bool pod_volumes_are_ready(const struct pod_volumes *pv)
{
        for (size_t i = 0; i < pv->n_items; i++)
                if (!pv->items[i].ready)
                        return false;
        return true;
}

char *pod_volumes_missing(const struct pod_volumes *pv)
{
        struct strbuf b = { 0 };
        const char *separator = "unmounted volumes=[";

        if (pod_volumes_are_ready(pv))
                return NULL;
        for (size_t i = 0; i < pv->n_items; i++) {
                if (pv->items[i].ready)
                        continue;
                strbuf_addf(&b, "%s%s", separator, pv->items[i].spec->name);
                separator = " ";
        }
        strbuf_add(&b, "]");
        for (size_t i = 0; i < pv->n_items; i++)
                if (!pv->items[i].ready && pv->items[i].problem)
                        strbuf_addf(&b, ": %s", pv->items[i].problem);
        return strbuf_take(&b);
}

const char *pod_volumes_missing_at(const struct pod_volumes *pv, size_t i, const char **ret_problem)
{
        for (size_t k = 0; k < pv->n_items; k++)
                if (!pv->items[k].ready && i-- == 0) {
                        *ret_problem = pv->items[k].problem;
                        return pv->items[k].spec->name;
                }
        return NULL;
}

static const struct volume *find(const struct pod_volumes *pv, const char *name)
{
        for (size_t i = 0; i < pv->n_items; i++)
                if (streq(pv->items[i].spec->name, name))
                        return &pv->items[i];
        return NULL;
}

const char *pod_volumes_path(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return !v || !v->ready ? NULL : v->claim ? volume_claim_path(v->claim) : v->path;
}

const char *pod_volumes_device(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return v && v->ready && v->claim ? volume_claim_device(v->claim) : NULL;
}

const struct volume_spec *pod_volumes_spec(const struct pod_volumes *pv, const char *volume)
{
        const struct volume *v = find(pv, volume);

        return v && v->claim ? volume_claim_spec(v->claim) : NULL;
}

uint32_t *pod_volumes_groups(const struct pod_volumes *pv, size_t *ret_n)
{
        uint32_t *groups = calloc(pv->n_items + 1, sizeof *groups);

        *ret_n = 0;
        for (size_t i = 0; groups && i < pv->n_items; i++) {
                const struct volume_spec *s = pv->items[i].claim
                                                      ? volume_claim_spec(pv->items[i].claim)
                                                      : NULL;

                if (s && s->gid >= 0)
                        groups[(*ret_n)++] = (uint32_t)s->gid;
        }
        return groups;
}

int pod_volumes_sub_path(struct pod_volumes *pv, const char *volume, const char *container,
                         size_t index, const char *sub_path, char **ret, struct err *err)
{
        struct volumes *vs = pv->volumes;
        const char *path = pod_volumes_path(pv, volume);
        _cleanup_free_ char *place = text_printf("pods/%s/volume-subpaths/%s/%s/%zu", pv->pod->uid,
                                                 volume, container, index);
        _cleanup_free_ char *full = place ? text_printf("%s/%s", vs->root_dir, place) : NULL;
        int r;

        if (!path)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "cannot find volume \"%s\" to mount into container \"%s\"",
                                    volume, container);
        if (!full)
                return err_sys(err, -ENOMEM, "prepare subPath");
        r = sub_path_bind(path, sub_path, vs->root_fd, place, volume, container, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(full);
        return 0;
}

struct pod_volumes *pod_volumes_free(struct pod_volumes *pv)
{
        if (!pv)
                return NULL;
        for (size_t i = 0; i < pv->n_items; i++)
                volume_done(&pv->items[i]);
        free(pv->items);
        sd_event_source_disable_unref(pv->notify);
        pod_unref(pv->pod);
        free(pv);
        return NULL;
}

/* ---- taking down ---- */

/* A pod may leave millions of files: they go in the background. */
static int remove_below(struct volumes *v, const char *dir, const char *what, struct err *err)
{
        int r = trash_put(v->trash, v->root_fd, dir);

        return r < 0 ? err_sys(err, r, "remove the pod's %s", what) : 0;
}

static int teardown(struct volumes *v, const char *uid, struct err *err)
{
        _cleanup_free_ char *base = text_printf("pods/%s", uid);
        _cleanup_free_ char *full = text_printf("%s/pods/%s", v->root_dir, uid);
        _cleanup_free_ char *volumes = text_printf("pods/%s/volumes", uid);
        _cleanup_free_ char *sub = text_printf("pods/%s/volume-subpaths", uid);
        _cleanup_free_ char *sub_full = text_printf("%s/pods/%s/volume-subpaths", v->root_dir, uid);
        int r;

        if (!base || !full || !volumes || !sub || !sub_full)
                return err_sys(err, -ENOMEM, "take down the volumes");
        if (strchr(uid, '/') || startswith(uid, "."))
                return err_set(err, -EINVAL, "pod uid '%s': expected no path", uid);
        /* what lies on a volume, then the volume by its driver, then what is ours */
        r = mounts_detach_below(sub_full, err);
        if (r == 0 && v->nodes)
                r = node_volumes_release(v->nodes, uid, err);
        if (r == 0)
                r = mounts_detach_below(full, err);
        if (r == 0)
                r = remove_below(v, sub, "subPath mounts", err);
        if (r == 0)
                r = remove_below(v, volumes, "volumes", err);
        if (r == 0)
                r = remove_below(v, base, "folder", err);
        if (r == 0 && fs_remove_tree_at(v->memory_fd, uid) < 0)
                r = err_set(err, -EBUSY, "remove '%s/%s'", v->memory_dir, uid);
        return r;
}

int pod_volumes_teardown(struct pod_volumes *pv, struct err *err)
{
        for (size_t i = 0; i < pv->n_items; i++)
                volume_done(&pv->items[i]);
        pv->n_items = 0;
        return teardown(pv->volumes, pv->pod->uid, err);
}

int volumes_teardown_orphan(struct volumes *v, const char *pod_uid, struct err *err)
{
        return teardown(v, pod_uid, err);
}

bool volumes_are_removing(const struct volumes *v)
{
        return trash_is_busy(v->trash);
}

int volumes_list_pods(struct volumes *v, char ***ret)
{
        int r = fs_list_at(v->root_fd, "pods", ret);

        return r == -ENOENT ? 0 : r;
}

/* ---- the node ---- */

static int open_memory(struct volumes *v, struct err *err)
{
        v->memory_fd = fs_open_dir(v->memory_dir, 0700, err);
        if (v->memory_fd < 0)
                return v->memory_fd;
        if (is_tmpfs(v->memory_fd)) {
                _cleanup_free_ char *parent = text_printf("%s/..", v->memory_dir);
                struct stat here, above;

                /* ours from before the restart; the parent may be a tmpfs too (/run) */
                if (parent && fstat(v->memory_fd, &here) == 0 && stat(parent, &above) == 0 &&
                    here.st_dev != above.st_dev)
                        return 0;
        }
        safe_close(v->memory_fd);
        v->memory_fd = -1;
        if (mount_tmpfs(v->memory_dir, 0, "0700", err) < 0)
                return -EIO;
        v->memory_fd = fs_open_dir(v->memory_dir, 0700, err);
        return v->memory_fd;
}

static int open_trash(struct volumes *v, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/" TRASH, v->root_dir);

        if (!path)
                return err_sys(err, -ENOMEM, "start the volumes");
        return trash_new(v->event, v->root_fd, TRASH, path, &v->trash, err);
}

int volumes_new(sd_event *event, const struct volumes_options *o, struct volumes **ret,
                struct err *err)
{
        _cleanup_(volumes_freep)
        struct volumes *v = calloc(1, sizeof *v);
        int r;

        if (!v)
                return err_sys(err, -ENOMEM, "start the volumes");
        *v = (struct volumes){
                .event = event,
                .session = o->session,
                .objects = o->objects,
                .nodes = o->nodes,
                .root_dir = strdup(o->root_dir),
                .memory_dir = text_printf("%s/volumes", o->private_dir),
                .root_fd = -1,
                .memory_fd = -1,
                .allocatable = o->allocatable,
                .userdata = o->userdata,
        };
        if (!v->root_dir || !v->memory_dir)
                return err_sys(err, -ENOMEM, "start the volumes");
        v->root_fd = fs_open_dir(v->root_dir, 0750, err);
        if (v->root_fd < 0)
                return v->root_fd;
        r = fs_mkdir_p_at(v->root_fd, "pods", 0750);
        if (r < 0)
                return err_sys(err, r, "make folder '%s/pods'", v->root_dir);
        r = open_memory(v, err);
        if (r >= 0)
                r = open_trash(v, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(v);
        return 0;
}

struct volumes *volumes_free(struct volumes *v)
{
        if (!v)
                return NULL;
        trash_free(v->trash);
        safe_close(v->root_fd);
        safe_close(v->memory_fd);
        free(v->root_dir);
        free(v->memory_dir);
        free(v);
        return NULL;
}
