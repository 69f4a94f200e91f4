#include "base/fs.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/text.h"
#include "tests/check.h"

/* A fresh folder that is removed at the end of the test. */
struct folder {
        char path[32];
        int fd;
};

static struct folder folder_new(void)
{
        struct folder f = { "/tmp/test-fs-XXXXXX", -1 };

        CHECK(mkdtemp(f.path) != NULL);
        f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(f.fd >= 0);
        return f;
}

static void folder_done(struct folder *f)
{
        fs_remove_tree_at(f->fd, "a");
        safe_close(f->fd);
        fs_remove_tree_at(AT_FDCWD, f->path);
}
#define _cleanup_folder_ _cleanup_(folder_done)

TEST(a_link_in_a_tenants_tree_stays_below_its_root)
{
        _cleanup_folder_ struct folder f = folder_new();
        _cleanup_close_ int fd = -1;
        struct stat a, b;

        CHECK_INT(symlinkat("/../../..", f.fd, "up"), 0);
        fd = fs_open_in_root(f.fd, "/up/up/../..", O_PATH | O_DIRECTORY, 0);
        CHECK(fd >= 0);
        CHECK(fstat(fd, &a) == 0 && fstat(f.fd, &b) == 0);
        CHECK(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
        CHECK_INT(fs_open_beneath(f.fd, "up", O_PATH, 0), -ELOOP);
        CHECK_INT(fs_open_beneath(f.fd, "..", O_PATH, 0), -EXDEV);
}

TEST(a_file_is_replaced_whole)
{
        _cleanup_folder_ struct folder f = folder_new();
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **names = NULL;
        struct stat st;

        CHECK_INT(fs_replace_at(f.fd, "x", "one", 3, 0600, false), 0);
        CHECK_INT(fs_replace_at(f.fd, "x", "two!", 4, 0640, true), 0);
        CHECK_INT(fs_read_at(f.fd, "x", 100, &text, NULL), 0);
        CHECK_STR(text, "two!");
        CHECK(fstatat(f.fd, "x", &st, 0) == 0 && (st.st_mode & 0777) == 0640);
        CHECK_INT(fs_list_at(f.fd, ".", &names), 0);
        CHECK_INT(strv_len(names), 1);
}

TEST(reading_has_a_cap_and_never_waits_for_a_fifo)
{
        _cleanup_folder_ struct folder f = folder_new();
        char *text = NULL;

        CHECK_INT(fs_replace_at(f.fd, "x", "12345", 5, 0600, false), 0);
        CHECK_INT(fs_read_at(f.fd, "x", 4, &text, NULL), -EFBIG);
        CHECK_INT(mkfifoat(f.fd, "fifo", 0600), 0);
        CHECK_INT(fs_read_at(f.fd, "fifo", 100, &text, NULL), -EINVAL);
        CHECK_INT(fs_read_at(f.fd, ".", 100, &text, NULL), -EISDIR);
}

TEST(folders_that_are_made_have_the_mode_asked_for_whatever_the_umask)
{
        _cleanup_folder_ struct folder f = folder_new();
        mode_t before = umask(077);
        struct stat st;

        CHECK_INT(fs_mkdir_p_at(f.fd, "a/b", 0755), 0);
        CHECK_INT(fs_mkdir_p_at(f.fd, "a", 0700), 0);
        umask(before);
        CHECK(fstatat(f.fd, "a", &st, 0) == 0);
        CHECK_INT(st.st_mode & 07777, 0755);
        CHECK(fstatat(f.fd, "a/b", &st, 0) == 0);
        CHECK_INT(st.st_mode & 07777, 0755);
}

TEST(a_tree_is_removed_without_following_links)
{
        _cleanup_folder_ struct folder f = folder_new();
        _cleanup_folder_ struct folder other = folder_new();
        struct stat st;

        CHECK_INT(fs_replace_at(other.fd, "keep", "", 0, 0600, false), 0);
        CHECK_INT(fs_mkdir_p_at(f.fd, "a/b/c", 0700), 0);
        CHECK_INT(symlinkat(other.path, f.fd, "a/b/link"), 0);
        CHECK_INT(fs_remove_tree_at(f.fd, "a"), 0);
        CHECK(fstatat(f.fd, "a", &st, 0) < 0 && errno == ENOENT);
        CHECK(fstatat(other.fd, "keep", &st, 0) == 0);
        CHECK_INT(fs_remove_tree_at(f.fd, "a"), 0);
}

/* A container can make a tree that is deeper than a path is long, or than there are descriptors. */
TEST(a_tree_of_any_depth_is_removed_with_few_descriptors)
{
        _cleanup_folder_ struct folder f = folder_new();
        struct rlimit before, few;
        struct stat st;
        int at = fcntl(f.fd, F_DUPFD_CLOEXEC, 3);

        CHECK_INT(getrlimit(RLIMIT_NOFILE, &before), 0);
        few = (struct rlimit){ 48, before.rlim_max };
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
        for (int i = 0; i < 150; i++) {
                int next;

                CHECK_INT(mkdirat(at, "a", 0700), 0);
                next = openat(at, "a", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                safe_close(at);
                at = next;
                CHECK(at >= 0);
                CHECK_INT(mknodat(at, "file", S_IFREG | 0600, 0), 0);
        }
        safe_close(at);
        CHECK_INT(fs_remove_tree_at(f.fd, "a"), 0);
        CHECK(fstatat(f.fd, "a", &st, 0) < 0 && errno == ENOENT);
        CHECK_INT(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(directories_are_not_made_through_links)
{
        _cleanup_folder_ struct folder f = folder_new();

        CHECK_INT(symlinkat("/tmp", f.fd, "link"), 0);
        CHECK(fs_mkdir_p_at(f.fd, "link/x", 0700) < 0);
        CHECK_INT(fs_mkdir_p_at(f.fd, "a/../../x", 0700), -EINVAL);
}

TEST(a_sealed_memfd_cannot_be_changed)
{
        _cleanup_close_ int fd = fs_sealed_memfd("plan", "abc", 3);

        CHECK(fd >= 0);
        CHECK(write(fd, "x", 1) < 0 && errno == EPERM);
        CHECK(ftruncate(fd, 0) < 0 && errno == EPERM);
}
