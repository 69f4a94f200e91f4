#include "tests/kernel/volume-folder.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/check.h"

static char dir[64];

const char *volume_folder(void)
{
        return dir;
}

const char *path_of(const char *name)
{
        static char bufs[4][512];
        static unsigned at;
        char *buf = bufs[at++ % 4];

        snprintf(buf, sizeof bufs[0], "%s/%s", dir, name);
        return buf;
}

static void leave(void)
{
        umount2(dir, MNT_DETACH);
        rmdir(dir);
}

void volume_folder_enter(const char *test_name)
{
        if (!dir[0]) {
                if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
                        check_skip_all("not root, or no mount namespaces");
                CHECK_INT(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
                snprintf(dir, sizeof dir, "/tmp/skiff-volumes-XXXXXX");
                CHECK(mkdtemp(dir) != NULL);
                atexit(leave);
                log_open(test_name, LOG_ERR); /* it says each failed attempt */
        }
        umount2(dir, MNT_DETACH);
        CHECK_INT(mount("test", dir, "tmpfs", 0, "mode=0755"), 0);
}
