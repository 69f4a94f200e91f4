#include "kubelet/volume-step.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

struct step {
        struct volume_child *child; /* owned */
        volume_done_fn done;
        void *userdata;
};

static void on_answer(struct volume_child_answer *answer, void *userdata)
{
        struct step *s = userdata;
        _cleanup_err_ struct err err = { 0 };
        struct volume_result result = { .is_uncertain = answer->r == -ETIMEDOUT };

        if (answer->r != 0) {
                result.r = err_set(&err, answer->r < 0 ? answer->r : -EINVAL, "%s", answer->text);
                result.err = &err;
                result.failed_as = answer->r == VOLUME_STEP_NO_MOUNTER
                                           ? "MountVolume.NewMounter initialization failed"
                                           : NULL;
        } else if (*answer->text) {
                result.device = result.path = answer->text;
        }
        s->done(&result, s->userdata);
        volume_step_cancel(s);
}

int volume_step_start(sd_event *event, volume_child_fn fn, const void *arg, const char *what,
                      usec_t timeout_usec, volume_done_fn done, void *userdata, void **ret_work,
                      struct err *err)
{
        struct step *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "%s", what);
        s->done = done;
        s->userdata = userdata;
        r = volume_child_start(event, fn, arg, what, timeout_usec, on_answer, s, &s->child, err);
        if (r < 0) {
                volume_step_cancel(s);
                return r;
        }
        *ret_work = s;
        return 0;
}

void volume_step_cancel(void *work)
{
        struct step *s = work;

        if (!s)
                return;
        volume_child_free(s->child);
        free(s);
}

/* ---- in the child ---- */

/* Is it another mount than the folder above it? */
static int is_mount_point(const char *path)
{
        struct statx st;

        if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &st) <
            0)
                return errno == ENOENT ? 0 : -errno;
        return (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

void volume_bind_make(const void *arg, struct volume_child_answer *answer)
{
        const struct volume_bind *b = arg;
        struct mount_attr attr = {
                .attr_set = b->attributes | (b->read_only ? MOUNT_ATTR_RDONLY : 0),
                /* one field of several bits, which is replaced as a whole */
                .attr_clr = b->attributes & MOUNT_ATTR__ATIME ? MOUNT_ATTR__ATIME : 0
        };
        int r = is_mount_point(b->target);
        _cleanup_close_ int source = -1, tree = -1, target = -1;

        if (r > 0)
                return;
        if (r < 0)
                return volume_child_fail(answer, r, "look at '%s'", b->target);
        source = open(b->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (source < 0)
                return volume_child_fail(answer, -errno, "open '%s'", b->source);
        if (mkdir(b->target, 0750) < 0 && errno != EEXIST)
                return volume_child_fail(answer, -errno, "make folder '%s'", b->target);
        target = open(b->target, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        tree = (int)syscall(SYS_open_tree, source, "",
                            AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (target < 0 || tree < 0)
                return volume_child_fail(answer, -errno, "bind '%s'", b->source);
        if (attr.attr_set &&
            syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
                return volume_child_fail(answer, -errno, "set options of the mount on '%s'",
                                         b->target);
        if (syscall(SYS_move_mount, tree, "", target, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
                return volume_child_fail(answer, -errno, "mount on '%s'", b->target);
}

void volume_bind_remove(const void *arg, struct volume_child_answer *answer)
{
        const struct volume_unmount *u = arg;
        int r = volume_child_unmount(u->target, u->flags);

        if (r < 0)
                volume_child_fail(answer, r, "unmount '%s'", u->target);
}

int volume_bind_options(char *const *options, uint64_t *ret, bool *ret_read_only, struct err *err)
{
        static const struct {
                const char *name;
                uint64_t attribute;
        } known[] = {
                { "defaults", 0 },
                { "bind", 0 },
                { "rw", 0 },
                { "ro", MOUNT_ATTR_RDONLY },
                { "nosuid", MOUNT_ATTR_NOSUID },
                { "nodev", MOUNT_ATTR_NODEV },
                { "noexec", MOUNT_ATTR_NOEXEC },
                { "noatime", MOUNT_ATTR_NOATIME },
                { "relatime", MOUNT_ATTR_RELATIME },
                { "strictatime", MOUNT_ATTR_STRICTATIME },
                { "nodiratime", MOUNT_ATTR_NODIRATIME },
                { "nosymfollow", MOUNT_ATTR_NOSYMFOLLOW },
        };
        uint64_t attributes = 0;

        STRV_FOREACH (o, options) {
                size_t i = 0;

                while (i < ARRAY_SIZE(known) && !streq(known[i].name, *o))
                        i++;
                if (i == ARRAY_SIZE(known))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "mountOptions: '%s': expected an option of bind mounts "
                                            "(noatime, nosuid, nodev, noexec, …)",
                                            *o);
                attributes |= known[i].attribute;
        }
        *ret_read_only = (attributes & MOUNT_ATTR_RDONLY) != 0;
        *ret = attributes & ~(uint64_t)MOUNT_ATTR_RDONLY;
        return 0;
}
