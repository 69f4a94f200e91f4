#include "base/disk-usage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"

/* A fresh folder that is removed at the end of the test. */
struct folder {
        char path[40];
        int fd;
};

static struct folder folder_new(void)
{
        struct folder f = { "/tmp/test-disk-usage-XXXXXX", -1 };

        CHECK(mkdtemp(f.path) != NULL);
        f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(f.fd >= 0);
        return f;
}

static void folder_done(struct folder *f)
{
        safe_close(f->fd);
        fs_remove_tree_at(AT_FDCWD, f->path);
}
#define _cleanup_folder_ _cleanup_(folder_done)

static void write_file(int dir_fd, const char *name, size_t n)
{
        _cleanup_free_ char *data = calloc(1, n + 1);

        memset(data, 'x', n);
        CHECK_INT(fs_replace_at(dir_fd, name, data, n, 0600, n > 1000), 0);
}

static uint64_t bytes_of(int dir_fd, const char *name)
{
        struct stat st;

        CHECK_INT(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        return (uint64_t)st.st_blocks * 512;
}

static struct disk_usage measure(const struct folder *f)
{
        struct disk_usage u = { 0 };

        CHECK_INT(disk_usage_measure(f->path, NULL, DISK_USAGE_ENTRIES_MAX, &u), 0);
        CHECK(u.is_known);
        return u;
}

TEST(files_folders_links_and_fifos_count_and_the_root_too)
{
        _cleanup_folder_ struct folder f = folder_new();
        uint64_t expected;
        struct disk_usage u;

        CHECK_INT(fs_mkdir_p_at(f.fd, "a/b", 0700), 0);
        write_file(f.fd, "one", 100000);
        write_file(f.fd, "a/b/two", 5000);
        CHECK_INT(symlinkat("/etc", f.fd, "away"), 0);
        CHECK_INT(mkfifoat(f.fd, "a/pipe", 0600), 0);
        expected = bytes_of(f.fd, ".") + bytes_of(f.fd, "a") + bytes_of(f.fd, "a/b") +
                   bytes_of(f.fd, "one") + bytes_of(f.fd, "a/b/two") + bytes_of(f.fd, "away") +
                   bytes_of(f.fd, "a/pipe");
        u = measure(&f);
        CHECK(!u.is_partial);
        CHECK_INT(u.bytes, expected);
        CHECK(u.bytes >= 105000);
        CHECK_INT(u.inodes, 7);
}

TEST(a_file_of_several_names_counts_once)
{
        _cleanup_folder_ struct folder f = folder_new();
        uint64_t before;
        struct disk_usage u;

        write_file(f.fd, "one", 300000);
        before = measure(&f).bytes;
        CHECK_INT(fs_mkdir_p_at(f.fd, "a", 0700), 0);
        CHECK_INT(linkat(f.fd, "one", f.fd, "two", 0), 0);
        CHECK_INT(linkat(f.fd, "one", f.fd, "a/three", 0), 0);
        u = measure(&f);
        CHECK(u.bytes <= before + bytes_of(f.fd, "a") && u.bytes + 3 > before);
        CHECK_INT(u.inodes, 3);
}

TEST(what_is_excepted_in_the_root_is_left_out_and_only_there)
{
        _cleanup_folder_ struct folder f = folder_new();
        struct disk_usage u;

        CHECK_INT(fs_mkdir_p_at(f.fd, "volumes/deep", 0700), 0);
        CHECK_INT(fs_mkdir_p_at(f.fd, "a/volumes", 0700), 0);
        CHECK_INT(disk_usage_measure(f.path, "volumes", DISK_USAGE_ENTRIES_MAX, &u), 0);
        CHECK_INT(u.inodes, 3);
}

TEST(a_tree_of_too_many_names_is_known_in_part)
{
        _cleanup_folder_ struct folder f = folder_new();
        struct disk_usage u;

        for (int i = 0; i < 20; i++) {
                char name[16];

                snprintf(name, sizeof name, "f%d", i);
                write_file(f.fd, name, 1);
        }
        CHECK_INT(disk_usage_measure(f.path, NULL, 10, &u), 0);
        CHECK(u.is_known && u.is_partial);
        CHECK(u.inodes >= 9 && u.inodes <= 11);
        CHECK_INT(disk_usage_measure(f.path, NULL, 22, &u), 0); /* "." and ".." are no names */
        CHECK(!u.is_partial);
        CHECK_INT(u.inodes, 21);
}

TEST(a_tree_deeper_than_any_path_is_measured_to_its_bottom)
{
        enum { DEPTH = 1000 };
        _cleanup_folder_ struct folder f = folder_new();
        int fd = dup(f.fd);
        struct disk_usage u;

        for (int i = 0; i < DEPTH; i++) {
                int below;

                CHECK_INT(mkdirat(fd, "deeper", 0700), 0);
                write_file(fd, "beside", 1);
                below = openat(fd, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                CHECK(below >= 0);
                safe_close(fd);
                fd = below;
        }
        write_file(fd, "bottom", 1 << 20);
        safe_close(fd);
        u = measure(&f);
        CHECK(!u.is_partial);
        CHECK_INT(u.inodes, 1 + 2 * DEPTH + 1);
        CHECK(u.bytes >= 1 << 20);
}

TEST(a_folder_that_is_not_there_or_a_link_is_not_measured)
{
        _cleanup_folder_ struct folder f = folder_new();
        _cleanup_free_ char *link = text_printf("%s/link", f.path);
        struct disk_usage u = { 0 };

        CHECK_INT(symlinkat("/etc", f.fd, "link"), 0);
        CHECK(disk_usage_measure(link, NULL, DISK_USAGE_ENTRIES_MAX, &u) < 0);
        CHECK_INT(disk_usage_measure("/nonexistent/x", NULL, 1, &u), -ENOENT);
        CHECK(!u.is_known);
}
