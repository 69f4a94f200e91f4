#include "kubelet/certificate-store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"

enum { FILE_MAX = 1 << 20 };

char *certificate_store_path(const char *dir, const char *prefix)
{
        return text_printf("%s/%s-current.pem", dir, prefix);
}

int certificate_store_load(const char *dir, const char *prefix, usec_t now,
                           struct certificate_info *ret, struct err *err)
{
        _cleanup_free_ char *path = certificate_store_path(dir, prefix), *text = NULL;
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        size_t n;
        int r = path ? fs_read_at(AT_FDCWD, path, FILE_MAX, &text, &n) : -ENOMEM;

        if (r < 0)
                return err_sys(err, r, "certificate '%s'", path ? path : prefix);
        r = certificate_read(text, n, &info, err);
        explicit_bzero(text, n);
        if (r < 0)
                return err_wrap(err, r, "certificate '%s'", path);
        if (!info.has_key)
                return err_set(err, -EINVAL, "certificate '%s': expected its key in the same file",
                               path);
        r = now >= info.not_before && now < info.not_after ? 0 : -EKEYEXPIRED;
        if (r < 0)
                err_set(err, r, "certificate '%s' is not valid now", path);
        *ret = info;
        info = (struct certificate_info){ 0 };
        return r;
}

/* "<prefix>-2006-01-02-15-04-05.pem", as the kubelet in local time; owned. */
static char *file_name(const char *prefix, usec_t now)
{
        time_t seconds = (time_t)(now / USEC_PER_SEC);
        char stamp[32];
        struct tm tm;

        if (!localtime_r(&seconds, &tm) ||
            strftime(stamp, sizeof stamp, "%Y-%m-%d-%H-%M-%S", &tm) == 0)
                return NULL;
        return text_printf("%s-%s.pem", prefix, stamp);
}

/* The name is swapped by rename, so that who opens it at any moment finds a whole pair. */
static int swap_link(int dir_fd, const char *dir, const char *prefix, const char *file,
                     struct err *err)
{
        _cleanup_free_ char *target = text_printf("%s/%s", dir, file);
        _cleanup_free_ char *updated = text_printf("%s-updated.pem", prefix);
        _cleanup_free_ char *current = text_printf("%s-current.pem", prefix);

        if (!target || !updated || !current)
                return err_sys(err, -ENOMEM, "keep certificate '%s'", file);
        if (unlinkat(dir_fd, updated, 0) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "remove '%s/%s'", dir, updated);
        if (symlinkat(target, dir_fd, updated) < 0)
                return err_sys(err, -errno, "link '%s/%s'", dir, updated);
        if (renameat(dir_fd, updated, dir_fd, current) < 0)
                return err_sys(err, -errno, "rename '%s/%s'", dir, updated);
        return fsync(dir_fd) < 0 ? err_sys(err, -errno, "sync '%s'", dir) : 0;
}

int certificate_store_put(const char *dir, const char *prefix, const char *chain, const char *key,
                          usec_t now, struct err *err)
{
        bool has_newline = *chain && chain[strlen(chain) - 1] == '\n';
        _cleanup_free_ char *name = file_name(prefix, now),
                            *both = text_printf("%s%s%s", chain, has_newline ? "" : "\n", key);
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        _cleanup_close_ int dir_fd = -1;
        int r;

        if (!name || !both) {
                free(TAKE_PTR(both));
                return err_sys(err, -ENOMEM, "keep a certificate");
        }
        r = certificate_read(both, strlen(both), &info, err);
        if (r == 0 && !info.has_key)
                r = err_set(err, -EINVAL, "the certificate is for another key than was asked for");
        if (r == 0)
                r = dir_fd = fs_open_dir(dir, 0700, err);
        if (r >= 0) {
                r = fs_replace_at(dir_fd, name, both, strlen(both), 0600, true);
                if (r < 0)
                        err_sys(err, r, "write '%s/%s'", dir, name);
        }
        explicit_bzero(both, strlen(both));
        return r < 0 ? r : swap_link(dir_fd, dir, prefix, name, err);
}
