#include "kubelet/volume-group.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "kubelet/atomic-writer.h"

/* rw for the group, and what is made in it gets the group too. */
static bool root_fits(const struct stat *st, gid_t group)
{
        const mode_t wanted = S_ISGID | 0770;

        return st->st_gid == group && (st->st_mode & wanted) == wanted;
}

void volume_group_apply(const void *arg, struct volume_child_answer *answer)
{
        const struct volume_group_job *job = arg;
        _cleanup_close_ int fd = open(job->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return volume_child_fail(answer, -errno, "failed to check fsGroup for %s",
                                         job->path);
        if (job->only_look) {
                if (st.st_gid == job->group)
                        return;
                answer->r = VOLUME_GROUP_DIFFERS;
                snprintf(answer->text, sizeof answer->text, "%u", st.st_gid);
                return;
        }
        if (!job->on_root_mismatch || !root_fits(&st, job->group))
                volume_set_group(fd, job->group, false);
}
