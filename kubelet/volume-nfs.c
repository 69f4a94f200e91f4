#include "kubelet/volume-nfs.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/child.h"
#include "base/text.h"
#include "kubelet/volume-step.h"
#include "kubelet/volume-sub-path.h"

#define PLUGIN        "kubernetes.io/nfs"
#define MOUNT_PROGRAM "/usr/bin/mount"
#define MOUNT_USEC    (150 * USEC_PER_SEC) /* mount.nfs itself gives up after two minutes */
#define UNMOUNT_USEC  (60 * USEC_PER_SEC)
#define ERRORS_SHOWN  1000

struct nfs_step {
        sd_event *event;          /* borrowed */
        struct child *mount;      /* owned */
        struct volume_child *off; /* owned; unmounts */
        char *target;             /* owned */
        struct err why;           /* owned; of the mount, while what it left is unmounted */
        bool is_forced;
        volume_done_fn done;
        void *userdata;
};

static void cancel(void *work)
{
        struct nfs_step *s = work;

        if (!s)
                return;
        child_free(s->mount);
        volume_child_free(s->off);
        err_done(&s->why);
        free(s->target);
        free(s);
}

static void finish(struct nfs_step *s, int r, const struct err *err)
{
        const struct volume_result result = { .r = r, .err = err, .is_uncertain = r == -EBUSY };

        s->done(&result, s->userdata);
        cancel(s);
}

/* ---- off ---- */
static int start_unmount(struct nfs_step *s, struct err *err);

static void on_unmounted(struct volume_child_answer *answer, void *userdata)
{
        struct nfs_step *s = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r = answer->r;

        if (r < 0)
                err_set(&err, r, "%s", answer->text);
        s->off = volume_child_free(s->off);
        if (r == -ETIMEDOUT && !s->is_forced) { /* its server is gone: without asking it */
                s->is_forced = true;
                r = start_unmount(s, &err);
                if (r == 0)
                        return;
        }
        if (s->why.message) /* the mount's failure is what counts */
                finish(s, r < 0 ? -EBUSY : -EIO, &s->why);
        else
                finish(s, r, &err);
}

static int start_unmount(struct nfs_step *s, struct err *err)
{
        const struct volume_unmount u = { .target = s->target,
                                          .flags = s->is_forced ? MNT_FORCE | MNT_DETACH : 0 };

        return volume_child_start(s->event, volume_bind_remove, &u, "unmount the volume",
                                  UNMOUNT_USEC, on_unmounted, s, &s->off, err);
}

/* ---- on ---- */
static void on_mounted(_unused_ struct child *c, const struct child_result *result, void *userdata)
{
        struct nfs_step *s = userdata;
        _cleanup_err_ struct err err = { 0 };
        size_t n = result->errors_len;

        if (result->exit_code == 0 && !result->timed_out)
                return finish(s, 0, NULL);
        while (n && strchr("\n ", result->errors[n - 1]))
                n--;
        err_set(&s->why, -EIO, "mount failed: %s%d: %.*s",
                result->timed_out ? "no answer in time, exit status " : "exit status ",
                result->exit_code, (int)MIN(n, (size_t)ERRORS_SHOWN), result->errors);
        s->mount = child_free(s->mount);
        if (start_unmount(s, &err) < 0)
                finish(s, -EBUSY, &s->why);
}

/* "rw,vers=4,ro": the volume's options, then ours; owned. */
static char *options_of(const struct volume_spec *spec)
{
        _cleanup_free_ char *joined = strv_join(spec->mount_options, ",");
        bool has = strv_len(spec->mount_options) > 0;

        return text_printf("%s%s%s", has && joined ? joined : "", has && spec->read_only ? "," : "",
                           spec->read_only ? "ro" : "");
}

static int start_mount(struct nfs_step *s, const struct volume_spec *spec, struct err *err)
{
        _cleanup_free_ char *options = options_of(spec);
        bool is_ip6 = strchr(spec->server, ':') != NULL && spec->server[0] != '[';
        _cleanup_free_ char *source = text_printf("%s%s%s:%s", is_ip6 ? "[" : "", spec->server,
                                                  is_ip6 ? "]" : "", spec->path);
        const char *argv[] = { MOUNT_PROGRAM, "-t", "nfs", source, s->target, NULL, NULL, NULL };
        const struct child_options child = { .argv = argv, .timeout_usec = MOUNT_USEC };

        if (!options || !source)
                return err_sys(err, -ENOMEM, "mount volume");
        if (*options) {
                argv[5] = "-o";
                argv[6] = options;
        }
        if (mkdir(s->target, 0750) < 0 && errno != EEXIST)
                return err_sys(err, -errno, "make folder '%s'", s->target);
        return child_spawn(s->event, &child, on_mounted, s, &s->mount, err);
}

static int start(void *driver, const struct volume_request *q, volume_done_fn done, void *userdata,
                 void **ret_work, _unused_ struct volume_result *ret, struct err *err)
{
        struct nfs_step *s;
        int r;

        if (q->step != VOLUME_PUBLISH && q->step != VOLUME_UNPUBLISH)
                return 1;
        if (q->step == VOLUME_PUBLISH) {
                /* the table says it without asking the server */
                r = mount_is_at(q->target, err);
                if (r != 0)
                        return r;
        }
        s = calloc(1, sizeof *s);
        if (!s)
                return err_sys(err, -ENOMEM, "mount volume");
        *s = (struct nfs_step){
                .event = driver, .target = strdup(q->target), .done = done, .userdata = userdata
        };
        r = !s->target                    ? err_sys(err, -ENOMEM, "mount volume")
            : q->step == VOLUME_UNPUBLISH ? start_unmount(s, err)
                                          : start_mount(s, q->spec, err);
        if (r < 0) {
                cancel(s);
                return r;
        }
        *ret_work = s;
        return 0;
}

static int unique_name(_unused_ void *driver, const struct volume_spec *spec,
                       _unused_ const char *pod_uid, char **ret, struct err *err)
{
        *ret = text_printf(PLUGIN "/%s/%s", spec->server, spec->path);
        return *ret ? 0 : err_sys(err, -ENOMEM, "name volume");
}

const struct volume_driver volume_nfs_driver = {
        .plugin = PLUGIN,
        .dir = "kubernetes.io~nfs",
        .takes_mount_options = true,
        .may_be_cancelled = true,
        .unique_name = unique_name,
        .start = start,
        .cancel = cancel,
};
