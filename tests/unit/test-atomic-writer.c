#include "kubelet/atomic-writer.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"

struct volume {
        char path[32];
        int fd;
};

static struct volume volume_new(void)
{
        struct volume v = { "/tmp/test-aw-XXXXXX", -1 };

        CHECK(mkdtemp(v.path) != NULL);
        v.fd = open(v.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return v;
}

static void volume_done(struct volume *v)
{
        safe_close(v->fd);
        fs_remove_tree_at(AT_FDCWD, v->path);
}

static const struct atomic_writer_owner nobody = { -1, -1 };

static int write_files(const struct volume *v, const char *const files[][2], size_t n)
{
        _cleanup_(payload_done)
        struct payload p = { 0 };

        for (size_t i = 0; i < n; i++)
                CHECK_INT(payload_add(&p, files[i][0], files[i][1], strlen(files[i][1]), 0640,
                                      NULL),
                          0);
        return atomic_writer_write(v->fd, &p, &nobody, NULL);
}

static bool holds(const struct volume *v, const char *path, const char *text)
{
        _cleanup_free_ char *have = NULL;

        return fs_read_at(v->fd, path, 1000, &have, NULL) == 0 && streq(have, text);
}

TEST(files_appear_behind_links_that_change_all_at_once)
{
        _cleanup_(volume_done)
        struct volume v = volume_new();
        static const char *const first[][2] = { { "a", "1" }, { "dir/b", "2" } };
        static const char *const second[][2] = { { "a", "1" }, { "dir/b", "3" }, { "c", "4" } };
        char before[256] = "", after[256] = "";
        struct stat st;

        CHECK_INT(write_files(&v, first, 2), 1);
        CHECK(holds(&v, "a", "1") && holds(&v, "dir/b", "2"));
        CHECK(readlinkat(v.fd, "..data", before, 255) > 0);
        CHECK_INT(write_files(&v, first, 2), 0); /* the same content is no change */
        CHECK_INT(write_files(&v, second, 3), 1);
        CHECK(readlinkat(v.fd, "..data", after, 255) > 0);
        CHECK(!streq(before, after));
        CHECK(holds(&v, "dir/b", "3") && holds(&v, "c", "4"));
        CHECK(fstatat(v.fd, before, &st, 0) < 0 && errno == ENOENT);
        CHECK(fstatat(v.fd, "a", &st, 0) == 0 && (st.st_mode & 0777) == 0640);
}

TEST(what_left_the_payload_leaves_the_volume)
{
        _cleanup_(volume_done)
        struct volume v = volume_new();
        static const char *const both[][2] = { { "a", "1" }, { "b", "2" } };
        struct stat st;

        CHECK_INT(write_files(&v, both, 2), 1);
        CHECK_INT(write_files(&v, both, 1), 1);
        CHECK(holds(&v, "a", "1"));
        CHECK(fstatat(v.fd, "b", &st, AT_SYMLINK_NOFOLLOW) < 0);
        CHECK_INT(write_files(&v, both, 0), 1);
        CHECK(fstatat(v.fd, "a", &st, AT_SYMLINK_NOFOLLOW) < 0);
}

TEST(a_path_that_leaves_the_volume_is_refused_with_the_rule)
{
        static const char *const bad[] = { "/a", "../a", "a/../../b", "..data", "", ".", "a/.." };
        _cleanup_(payload_done)
        struct payload p = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_err_ struct err err = { 0 };

                CHECK_INT(payload_add(&p, bad[i], "x", 1, 0644, &err), -EINVAL);
                CHECK_CONTAINS(err_text(&err), "invalid path");
        }
        CHECK_INT(p.n_files, 0);
        CHECK_INT(payload_add(&p, "a//./b", "x", 1, 0644, NULL), 0);
        CHECK_STR(p.files[0].path, "a/b");
}

TEST(a_link_planted_in_the_volume_is_not_followed)
{
        _cleanup_(volume_done)
        struct volume v = volume_new(), other = volume_new();
        static const char *const files[][2] = { { "a", "1" } };
        struct stat st;

        CHECK_INT(fs_replace_at(other.fd, "keep", "", 0, 0600, false), 0);
        CHECK_INT(symlinkat(other.path, v.fd, "..data"), 0);
        CHECK_INT(write_files(&v, files, 1), 1);
        CHECK(holds(&v, "a", "1"));
        CHECK(fstatat(other.fd, "keep", &st, 0) == 0);
        CHECK(fstatat(other.fd, "a", &st, 0) < 0);
}

TEST(a_group_owns_the_volume_and_may_read_it)
{
        _cleanup_(volume_done)
        struct volume v = volume_new();
        _cleanup_(payload_done)
        struct payload p = { 0 };
        const struct atomic_writer_owner owner = { .fs_group = 4321, .fs_user = 1234 };
        struct stat st;

        if (geteuid() != 0)
                SKIP("needs root");
        CHECK_INT(payload_add(&p, "token", "x", 1, 0600, NULL), 0);
        p.files[0].owner_only = true;
        CHECK_INT(atomic_writer_write(v.fd, &p, &owner, NULL), 1);
        CHECK(fstatat(v.fd, "token", &st, 0) == 0);
        CHECK_INT(st.st_gid, 4321);
        CHECK_INT(st.st_uid, 1234);
        CHECK_INT(st.st_mode & 07777, 0640);
        CHECK(fstat(v.fd, &st) == 0 && (st.st_mode & S_ISGID) && st.st_gid == 4321);
}
