#include "kubelet/volume-local.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "kubelet/volume-host-path.h"
#include "kubelet/volume-step.h"

#define TIMEOUT_USEC    (60 * USEC_PER_SEC)
#define LOCAL_PLUGIN    "kubernetes.io/local-volume"
#define HOSTPATH_PLUGIN "kubernetes.io/host-path"

/* ---- local ---- */
struct local_publish { /* for the child */
        const char *path;
        bool is_block;
        struct volume_bind bind;
};

/* In the child. */
static void publish_local(const void *arg, struct volume_child_answer *answer)
{
        const struct local_publish *p = arg;
        struct stat st;

        if (stat(p->path, &st) < 0) {
                if (errno != ENOENT && errno != ENOTDIR)
                        return volume_child_fail(answer, -errno, "path \"%s\"", p->path);
                snprintf(answer->text, sizeof answer->text, "path \"%s\" does not exist", p->path);
                answer->r = p->is_block ? -ENOENT : VOLUME_STEP_NO_MOUNTER;
                return;
        }
        if (p->is_block) { /* what it is, the map looks at */
                snprintf(answer->text, sizeof answer->text, "%s", p->path);
                return;
        }
        if (S_ISDIR(st.st_mode))
                return volume_bind_make(&p->bind, answer);
        answer->r = VOLUME_STEP_NO_MOUNTER;
        snprintf(answer->text, sizeof answer->text,
                 S_ISBLK(st.st_mode)
                         ? "path \"%s\" is a block device: with volumeMode Filesystem this node "
                           "supports directories only"
                         : "path \"%s\": only directory and block device are supported",
                 p->path);
}

static int check_local(const struct volume_spec *s, struct err *err)
{
        _cleanup_strv_ char **parts = NULL;

        if (*s->path != '/')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "local: path: '%s': expected an absolute path", s->path);
        if (strv_split(s->path, "/", &parts) < 0)
                return err_sys(err, -ENOMEM, "read local volume");
        if (strv_contains(parts, ".."))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "invalid path: %s must not contain '..'", s->path);
        return 0;
}

static int start_local(void *driver, const struct volume_request *q, volume_done_fn done,
                       void *userdata, void **ret_work, _unused_ struct volume_result *ret,
                       struct err *err)
{
        struct local_publish p;
        const struct volume_unmount u = { .target = q->target, .flags = MNT_DETACH };
        bool is_read_only = false;
        int r;

        if (q->step == VOLUME_UNPUBLISH)
                return q->is_block ? 1
                                   : volume_step_start(driver, volume_bind_remove, &u,
                                                       "unmount the volume", TIMEOUT_USEC, done,
                                                       userdata, ret_work, err);
        if (q->step != VOLUME_PUBLISH)
                return 1;
        p = (struct local_publish){ .path = q->spec->path,
                                    .is_block = q->is_block,
                                    .bind = { .source = q->spec->path, .target = q->target } };
        r = check_local(q->spec, err);
        if (r == 0)
                r = volume_bind_options(q->spec->mount_options, &p.bind.attributes, &is_read_only,
                                        err);
        if (r < 0)
                return r;
        p.bind.read_only = is_read_only || q->spec->read_only;
        return volume_step_start(driver, publish_local, &p, "mount the volume", TIMEOUT_USEC, done,
                                 userdata, ret_work, err);
}

static int name_local(_unused_ void *driver, const struct volume_spec *spec,
                      _unused_ const char *pod_uid, char **ret, struct err *err)
{
        *ret = text_printf(LOCAL_PLUGIN "/%s", spec->name);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name volume");
}

static enum volume_group group_local(_unused_ void *driver, _unused_ const struct volume_spec *spec)
{
        return VOLUME_GROUP_FIRST_POD;
}

const struct volume_driver volume_local_driver = {
        .plugin = LOCAL_PLUGIN,
        .dir = "kubernetes.io~local-volume",
        .map_prefix = "plugins/kubernetes.io~local-volume/volumeDevices",
        .takes_mount_options = true,
        .may_be_cancelled = true,
        .unique_name = name_local,
        .group = group_local,
        .start = start_local,
        .cancel = volume_step_cancel,
};

/* ---- hostPath ---- */
struct host_path_step {
        struct host_path_check *check; /* owned */
        char *path;                    /* owned */
        volume_done_fn done;
        void *userdata;
};

static void cancel_host_path(void *work)
{
        struct host_path_step *s = work;

        if (!s)
                return;
        host_path_check_free(s->check);
        free(s->path);
        free(s);
}

static void on_host_path_checked(const char *problem, void *userdata)
{
        struct host_path_step *s = userdata;
        _cleanup_err_ struct err err = { 0 };
        struct volume_result result = { .path = s->path };

        if (problem)
                result = (struct volume_result){ .r = err_set(&err, -EINVAL, "%s", problem),
                                                 .err = &err };
        s->done(&result, s->userdata);
        cancel_host_path(s);
}

static int start_host_path(void *driver, const struct volume_request *q, volume_done_fn done,
                           void *userdata, void **ret_work, struct volume_result *ret,
                           struct err *err)
{
        struct host_path_step *s;
        int r;

        if (q->step != VOLUME_PUBLISH)
                return 1;
        if (!*q->spec->path_type) {
                ret->path = q->spec->path;
                return 1;
        }
        s = calloc(1, sizeof *s);
        if (!s)
                return err_sys(err, -ENOMEM, "check '%s'", q->spec->path);
        *s = (struct host_path_step){ .path = strdup(q->spec->path),
                                      .done = done,
                                      .userdata = userdata };
        r = s->path ? host_path_check_new(driver, s->path, q->spec->path_type, on_host_path_checked,
                                          s, &s->check, err)
                    : err_sys(err, -ENOMEM, "check '%s'", q->spec->path);
        if (r < 0) {
                cancel_host_path(s);
                return r;
        }
        *ret_work = s;
        return 0;
}

static int name_host_path(_unused_ void *driver, const struct volume_spec *spec,
                          _unused_ const char *pod_uid, char **ret, struct err *err)
{
        *ret = text_printf(HOSTPATH_PLUGIN "/%s", spec->path);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name volume");
}

const struct volume_driver volume_host_path_driver = {
        .plugin = HOSTPATH_PLUGIN,
        .may_be_cancelled = true,
        .unique_name = name_host_path,
        .start = start_host_path,
        .cancel = cancel_host_path,
};
