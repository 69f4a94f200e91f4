/*
 * Layers into trees on a real file system, hostile ones included: every test ends by looking at a
 * canary tree outside, which nothing may touch.
 */
#include "runtime/layer.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <zlib.h>
#include <zstd.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/digest.h"
#include "tests/check.h"
#include "tests/tar-builder.h"

static char base_path[64]; /* a directory of this test; canary/ and layer trees are in it */
static int base_fd = -1, root_fd = -1, index_fd = -1, implied_fd = -1;
static unsigned n_roots;

static void describe(struct strbuf *out, int dir_fd, const char *prefix, bool with_links);

static void describe_one(struct strbuf *out, int dir_fd, const char *name, const char *path,
                         bool with_links)
{
        char target[4200], opaque;
        struct stat st;
        ssize_t n;
        int fd;

        CHECK_INT(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
        strbuf_addf(out, "%s %o %u:%u", path, st.st_mode, st.st_uid, st.st_gid);
        if (with_links)
                strbuf_addf(out, " %lu n%lu %lld.%09ld", (unsigned long)st.st_ino,
                            (unsigned long)st.st_nlink, (long long)st.st_mtim.tv_sec,
                            st.st_mtim.tv_nsec);
        if (S_ISLNK(st.st_mode)) {
                n = readlinkat(dir_fd, name, target, sizeof target - 1);
                CHECK(n >= 0);
                target[n] = '\0';
                strbuf_addf(out, " -> %s", target);
        } else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
                strbuf_addf(out, " %u,%u", major(st.st_rdev), minor(st.st_rdev));
        } else if (S_ISREG(st.st_mode)) {
                strbuf_addf(out, " %lld", (long long)st.st_size);
        } else if (S_ISDIR(st.st_mode)) {
                fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                CHECK(fd >= 0);
                if (fgetxattr(fd, "trusted.overlay.opaque", &opaque, 1) == 1 && opaque == 'y')
                        strbuf_add(out, " opaque");
                strbuf_add(out, "\n");
                describe(out, fd, path, with_links);
                close(fd);
                return;
        }
        strbuf_add(out, "\n");
}

static void describe(struct strbuf *out, int dir_fd, const char *prefix, bool with_links)
{
        _cleanup_strv_ char **names = NULL;

        CHECK_INT(fs_list_at(dir_fd, ".", &names), 0);
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *path = text_printf("%s%s%s", prefix, *prefix ? "/" : "",
                                                        *name);

                describe_one(out, dir_fd, *name, path, with_links);
        }
}

static char *tree_text(void)
{
        struct strbuf b = { 0 };

        strbuf_add(&b, "");
        describe(&b, root_fd, "", false);
        return strbuf_take(&b);
}

static char *canary_before;

static char *canary_text(void)
{
        struct strbuf b = { 0 };
        char data[64] = "";
        int fd = openat(base_fd, "canary", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int file = openat(fd, "file", O_RDONLY | O_CLOEXEC);

        CHECK(fd >= 0 && file >= 0);
        CHECK(read(file, data, sizeof data - 1) >= 0);
        strbuf_addf(&b, "%s\n", data);
        describe(&b, fd, "canary", true);
        close(file);
        close(fd);
        return strbuf_take(&b);
}

__attribute__((constructor(101))) static void set_up(void)
{
        int fd;

        if (geteuid() != 0)
                check_skip_all("unpacking layers needs root");
        snprintf(base_path, sizeof base_path, "/tmp/test-layer-XXXXXX");
        if (!mkdtemp(base_path))
                check_skip_all("no directory in /tmp");
        base_fd = open(base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        mkdirat(base_fd, "canary", 0750);
        mkdirat(base_fd, "canary/sub", 0700);
        fd = openat(base_fd, "canary/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        if (write(fd, "untouched", 9) != 9 || fchown(fd, 12, 13) < 0)
                check_skip_all("cannot write to /tmp");
        close(fd);
        mknodat(base_fd, "canary/null", S_IFCHR | 0600, makedev(1, 3));
        if (symlinkat("file", base_fd, "canary/link") < 0)
                check_skip_all("cannot write to /tmp");
        canary_before = canary_text();
}

__attribute__((destructor(101))) static void tear_down(void)
{
        if (base_fd < 0)
                return;
        safe_close(root_fd);
        safe_close(index_fd);
        safe_close(implied_fd);
        close(base_fd);
        fs_remove_tree_at(AT_FDCWD, base_path);
        free(canary_before);
}

static int set_opaque(int dir_fd, _unused_ void *userdata)
{
        return fsetxattr(dir_fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

static void fresh_root(void)
{
        char name[24];

        safe_close(root_fd);
        safe_close(index_fd);
        safe_close(implied_fd);
        snprintf(name, sizeof name, "root%u", ++n_roots);
        CHECK_INT(mkdirat(base_fd, name, 0755), 0);
        root_fd = openat(base_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        index_fd = memfd_create("index", MFD_CLOEXEC);
        implied_fd = memfd_create("implied", MFD_CLOEXEC);
        CHECK(root_fd >= 0 && index_fd >= 0 && implied_fd >= 0);
}

static int input_of(const void *data, size_t n)
{
        int fd = memfd_create("input", MFD_CLOEXEC);

        CHECK(fd >= 0);
        CHECK_INT(fs_write_all(fd, data, n), 0);
        CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
        return fd;
}

static char *digest_of(const void *data, size_t n)
{
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");

        digest_add(d, data, n);
        return strdup(digest_text(d));
}

struct sink {
        struct digest *digest;
        size_t n;
};

static int on_exported(const void *data, size_t n, void *userdata)
{
        struct sink *s = userdata;

        digest_add(s->digest, data, n);
        s->n += n;
        return 0;
}

/* What is exported must be what was unpacked, byte for byte. */
static void check_export(const char *diff_id)
{
        _cleanup_(digest_freep)
        struct digest *d = digest_new(diff_id);
        struct sink sink = { .digest = d };
        _cleanup_err_ struct err err = { 0 };

        if (layer_export(root_fd, index_fd, on_exported, &sink, &err) < 0)
                fail_msg("export: %s", err_text(&err));
        CHECK_STR(digest_text(d), diff_id);
}

static struct layer_job job_for(int input_fd, enum compression compression, const char *digest,
                                const char *diff_id, uint64_t size)
{
        return (struct layer_job){
                .compression = compression,
                .digest = digest,
                .diff_id = diff_id,
                .size = size,
                .input_fd = input_fd,
                .index_fd = index_fd,
                .tree = { .root_fd = root_fd, .implied_fd = implied_fd, .make_opaque = set_opaque },
        };
}

static struct layer_result last;

/* Unpacks into a fresh root. */
static int unpack(const struct strbuf *tar, struct err *err)
{
        _cleanup_free_ char *digest = digest_of(tar->data, tar->len), *after = NULL;
        _cleanup_close_ int fd = input_of(tar->data, tar->len);
        struct layer_job job;
        int r;

        fresh_root();
        job = job_for(fd, COMPRESSION_NONE, digest, digest, tar->len);
        r = layer_unpack(&job, &last, err);
        if (r == 0 && last.tree.n_replaced == 0)
                check_export(digest);
        after = canary_text();
        CHECK_STR(after, canary_before);
        return r;
}

static void check_tree(const struct strbuf *tar, const char *wanted)
{
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *text = NULL;

        if (unpack(tar, &err) < 0)
                fail_msg("refused: %s", err_text(&err));
        text = tree_text();
        CHECK_STR(text, wanted);
}

static void check_refused(const struct strbuf *tar, const char *why)
{
        _cleanup_err_ struct err err = { 0 };

        if (unpack(tar, &err) >= 0)
                fail_msg("accepted, wanted '%s'", why);
        CHECK_CONTAINS(err_text(&err), why);
}

/* An absolute path into the canary tree, for links. */
static const char *canary(const char *rest)
{
        static char path[200];

        snprintf(path, sizeof path, "%s/canary%s", base_path, rest);
        return path;
}

TEST(entries_become_a_tree)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        struct stat st;

        TAR_ADD(&b, .name = "./", .type = '5', .mode = 0711, .mtime = 77);
        TAR_ADD(&b, .name = "d/", .type = '5', .mode = 01777, .mtime = 1000, .uid = 5);
        TAR_ADD(&b, .name = "d/f", .data = "hello", .size = 5, .uid = 7, .gid = 8, .mtime = 3);
        TAR_ADD(&b, .name = "d/suid", .mode = 06755, .uid = 7);
        TAR_ADD(&b, .name = "d/h", .type = '1', .link = "d/f");
        TAR_ADD(&b, .name = "s", .type = '2', .link = "/etc/passwd", .uid = 9);
        TAR_ADD(&b, .name = "n", .type = '3', .major = 1, .minor = 3, .mode = 0666);
        TAR_ADD(&b, .name = "p", .type = '6', .mode = 04622);
        TAR_ADD(&b, .name = "sgid", .type = '5', .mode = 02775, .gid = 5);
        tar_end(&b);
        check_tree(&b, "d 41777 5:0\nd/f 100644 7:8 5\nd/h 100644 7:8 5\nd/suid 106755 7:0 0\n"
                       "n 20666 0:0 1,3\np 14622 0:0\ns 120777 9:0 -> /etc/passwd\n"
                       "sgid 42775 0:5\n");
        CHECK_INT(fstatat(root_fd, "d", &st, 0), 0);
        CHECK_INT(st.st_mtime, 1000); /* what came into it later does not show */
        CHECK_INT(fstatat(root_fd, "d/f", &st, 0), 0);
        CHECK_INT(st.st_mtime, 3);
        CHECK_INT(st.st_nlink, 2);
        CHECK_INT(fstat(root_fd, &st), 0);
        CHECK_INT(st.st_mode & 07777, 0711);
        CHECK_INT(st.st_mtime, 77);
        CHECK_INT(last.tree.n_implied, 0);
}

TEST(names_stay_below_the_root)
{
        static const char *const fine[][2] = {
                { "/x", "x" },      { "//x", "x" },
                { "./x", "x" },     { "a//b", "a/b" },
                { "a/./b", "a/b" }, { "/./a/b", "a/b" },
                { "x/", "x" },      { "...", "..." },
                { "..x", "..x" },   { "x..", "x.." },
                { "a\\b", "a\\b" }, { "C:\\x", "C:\\x" },
                { "a\nb", "a\nb" }, { "\xff\xfe", "\xff\xfe" },
                { " ", " " },       { "~", "~" },
        };
        static const char *const bad[] = { "../x",          "..",  "a/../x",
                                           "a/..",          "/..", "a/../../x",
                                           "./../x",        "../", "/../x",
                                           "a/b/../../../x" };
        static const char *const roots[] = { ".", "./", "/", "//", "/.", "./." };
        char name[300];
        struct stat st;

        for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 };
                _cleanup_err_ struct err err = { 0 };

                TAR_ADD(&b, .name = fine[i][0], .type = '0');
                if (unpack(&b, &err) < 0)
                        fail_msg("'%s': %s", fine[i][0], err_text(&err));
                CHECK_INT(fstatat(root_fd, fine[i][1], &st, AT_SYMLINK_NOFOLLOW), 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 };

                TAR_ADD(&b, .name = bad[i]);
                check_refused(&b, "'..' in a name");
        }
        for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 }, link = { 0 };

                TAR_ADD(&b, .name = roots[i], .type = '5', .mode = 0700);
                check_tree(&b, "");
                CHECK_INT(fstat(root_fd, &st), 0);
                CHECK_INT(st.st_mode & 07777, 0700);
                TAR_ADD(&link, .name = roots[i], .type = '2', .link = canary(""));
                TAR_ADD(&link, .name = "file", .data = "x", .size = 1);
                check_refused(&link, "the root can only be a directory");
        }
        for (size_t n = 255; n <= 256; n++) {
                _cleanup_strbuf_ struct strbuf b = { 0 };

                memset(name, 'n', n);
                name[n] = '\0';
                tar_add_long(&b, 'L', name);
                TAR_ADD(&b, .name = "x", .gnu = true);
                if (n == 255)
                        CHECK_INT(unpack(&b, NULL), 0);
                else
                        check_refused(&b, "more than 255 bytes");
        }
}

TEST(links_do_not_lead_out)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        /* an absolute link is absolute within the root */
        TAR_ADD(&b, .name = "d", .type = '2', .link = canary(""));
        TAR_ADD(&b, .name = "d/file", .data = "evil", .size = 4);
        CHECK_INT(unpack(&b, NULL), 0);
        CHECK_INT(faccessat(root_fd, "d", F_OK, AT_SYMLINK_NOFOLLOW), 0);
        {
                _cleanup_free_ char *inside = text_printf("%s/file", canary("") + 1);

                CHECK_INT(faccessat(root_fd, inside, F_OK, 0), 0);
        }
        b.len = 0;
        TAR_ADD(&b, .name = "up", .type = '2', .link = "../../../../../../../../tmp");
        TAR_ADD(&b, .name = "up/x", .data = "evil", .size = 4);
        check_tree(&b, "tmp 40755 2147483646:0\ntmp/x 100644 0:0 4\n"
                       "up 120777 0:0 -> ../../../../../../../../tmp\n");
        b.len = 0;
        TAR_ADD(&b, .name = "a", .type = '5');
        TAR_ADD(&b, .name = "a", .type = '2', .link = canary(""));
        TAR_ADD(&b, .name = "a/file", .data = "evil", .size = 4);
        CHECK_INT(unpack(&b, NULL), 0);
        b.len = 0;
        TAR_ADD(&b, .name = "loop", .type = '2', .link = "loop");
        TAR_ADD(&b, .name = "loop/x");
        check_refused(&b, "open 'loop'");
        b.len = 0;
        TAR_ADD(&b, .name = "f", .data = "x", .size = 1);
        TAR_ADD(&b, .name = "f/x");
        check_refused(&b, "'f' is no directory");
}

TEST(an_entry_replaces_a_link_and_does_not_follow_it)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_free_ char *wanted = NULL;

        TAR_ADD(&b, .name = "f", .type = '2', .link = canary("/file"));
        TAR_ADD(&b, .name = "f", .data = "evil", .size = 4, .mode = 0777);
        TAR_ADD(&b, .name = "d", .type = '2', .link = canary(""));
        TAR_ADD(&b, .name = "d", .type = '5', .mode = 0700, .uid = 99, .mtime = 5);
        TAR_ADD(&b, .name = "l", .type = '2', .link = canary("/file"), .mode = 0600, .uid = 98);
        wanted = text_printf("d 40700 99:0\nf 100777 0:0 4\nl 120777 98:0 -> %s\n",
                             canary("/file"));
        check_tree(&b, wanted);
}

TEST(hard_links_stay_in_the_layer)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        static const char *const targets[] = { "/etc/shadow", "canary/file", "later", "h", "d/x" };

        for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
                b.len = 0;
                TAR_ADD(&b, .name = "d", .type = '5');
                TAR_ADD(&b, .name = "h", .type = '1', .link = targets[i]);
                TAR_ADD(&b, .name = "later");
                check_refused(&b, "is not in this layer");
        }
        b.len = 0;
        TAR_ADD(&b, .name = "h", .type = '1', .link = "../../etc/shadow");
        check_refused(&b, "'..' in a name");
        b.len = 0;
        TAR_ADD(&b, .name = "d", .type = '5');
        TAR_ADD(&b, .name = "h", .type = '1', .link = "d");
        check_refused(&b, "is a directory");
        b.len = 0;
        TAR_ADD(&b, .name = "h", .type = '1', .link = "/");
        check_refused(&b, "is not in this layer");
        /* to a link: the link itself, never what it points to */
        b.len = 0;
        TAR_ADD(&b, .name = "s", .type = '2', .link = canary("/file"));
        TAR_ADD(&b, .name = "h", .type = '1', .link = "s", .mode = 0777, .uid = 44);
        TAR_ADD(&b, .name = "via", .type = '2', .link = canary(""));
        CHECK_INT(unpack(&b, NULL), 0);
        TAR_ADD(&b, .name = "h2", .type = '1', .link = "via/file");
        check_refused(&b, "is not in this layer");
        /* to itself, twice, and a chain */
        b.len = 0;
        TAR_ADD(&b, .name = "f", .data = "x", .size = 1);
        TAR_ADD(&b, .name = "f", .type = '1', .link = "f");
        TAR_ADD(&b, .name = "g", .type = '1', .link = "f");
        TAR_ADD(&b, .name = "g", .type = '1', .link = "./f");
        check_tree(&b, "f 100644 0:0 1\ng 100644 0:0 1\n");
        CHECK_INT(last.tree.n_replaced, 0);
        b.len = 0;
        TAR_ADD(&b, .name = "l0", .data = "x", .size = 1);
        for (int i = 1; i <= 10000; i++) {
                char name[16], target[16];

                snprintf(name, sizeof name, "l%d", i);
                snprintf(target, sizeof target, "l%d", i - 1);
                TAR_ADD(&b, .name = name, .type = '1', .link = target);
        }
        CHECK_INT(unpack(&b, NULL), 0);
}

TEST(whiteouts_take_overlay_form)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "d", .type = '5');
        TAR_ADD(&b, .name = "d/.wh.gone");
        TAR_ADD(&b, .name = ".wh.top");
        TAR_ADD(&b, .name = "o", .type = '5');
        TAR_ADD(&b, .name = "o/.wh..wh..opq");
        TAR_ADD(&b, .name = "o/kept");
        TAR_ADD(&b, .name = "dev", .type = '3', .major = 0, .minor = 0);
        TAR_ADD(&b, .name = ".wh..wh.plnk", .type = '5');
        TAR_ADD(&b, .name = ".wh..wh.plnk/1.2", .data = "x", .size = 1);
        TAR_ADD(&b, .name = ".wh..wh.aufs");
        check_tree(&b, "d 40755 0:0\nd/gone 20000 0:0 0,0\ndev 20000 0:0 0,0\no 40755 0:0 opaque\n"
                       "o/kept 100644 0:0 0\ntop 20000 0:0 0,0\n");
        CHECK(!last.tree.root_is_opaque);
        b.len = 0;
        TAR_ADD(&b, .name = ".wh..wh..opq");
        TAR_ADD(&b, .name = "x");
        check_tree(&b, "x 100644 0:0 0\n");
        CHECK(last.tree.root_is_opaque);
}

TEST(a_name_with_a_whiteout_and_an_entry_is_the_entry)
{
        static const char *const names[][2] = { { ".wh.x", "x" }, { "x", ".wh.x" } };

        for (size_t i = 0; i < 2; i++) {
                _cleanup_strbuf_ struct strbuf f = { 0 }, d = { 0 }, in = { 0 };

                for (size_t k = 0; k < 2; k++)
                        TAR_ADD(&f, .name = names[i][k], .data = "1", .size = 1);
                check_tree(&f, "x 100644 0:0 1\n");
                for (size_t k = 0; k < 2; k++)
                        TAR_ADD(&d, .name = names[i][k], .type = names[i][k][0] == 'x' ? '5' : '0');
                check_tree(&d, "x 40755 0:0 opaque\n");
                if (i == 1)
                        continue;
                TAR_ADD(&in, .name = ".wh.x");
                TAR_ADD(&in, .name = "x/f");
                check_tree(&in, "x 40755 2147483646:0 opaque\nx/f 100644 0:0 0\n");
        }
}

TEST(whiteouts_do_not_reach_out)
{
        static const char *const bad[] = { ".wh.",   ".wh..",   ".wh...",
                                           "d/.wh.", "d/.wh..", "d/.wh..." };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                b.len = 0;
                TAR_ADD(&b, .name = bad[i]);
                check_refused(&b, "whiteout of no name");
        }
        b.len = 0;
        TAR_ADD(&b, .name = "l", .type = '2', .link = canary(""));
        TAR_ADD(&b, .name = "l/.wh.file");
        TAR_ADD(&b, .name = "l/.wh..wh..opq");
        TAR_ADD(&b, .name = "l/.wh.sub");
        CHECK_INT(unpack(&b, NULL), 0);
        b.len = 0;
        TAR_ADD(&b, .name = ".wh.x/y");
        check_refused(&b, "named as a whiteout");
}

TEST(later_entries_replace_earlier_ones)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct sink sink = { 0 };

        TAR_ADD(&b, .name = "t/a/b/c/d/e", .data = "deep", .size = 4);
        TAR_ADD(&b, .name = "t/a/x", .type = '6');
        TAR_ADD(&b, .name = "t/a/l", .type = '2', .link = canary(""));
        TAR_ADD(&b, .name = "t", .data = "file", .size = 4);
        TAR_ADD(&b, .name = "f", .data = "1", .size = 1);
        TAR_ADD(&b, .name = "f", .data = "22", .size = 2);
        TAR_ADD(&b, .name = "d", .type = '5', .mode = 0700);
        TAR_ADD(&b, .name = "d/kept");
        TAR_ADD(&b, .name = "d", .type = '5', .mode = 0755);
        check_tree(&b, "d 40755 0:0\nd/kept 100644 0:0 0\nf 100644 0:0 2\nt 100644 0:0 4\n");
        CHECK(last.tree.n_replaced > 0);
        sink.digest = digest_new("sha256:");
        CHECK_INT(layer_export(root_fd, index_fd, on_exported, &sink, &err), -ENOTSUP);
        CHECK_CONTAINS(err_text(&err), "cannot be written again");
        digest_free(sink.digest);
}

TEST(deep_trees_are_removed_with_few_descriptors)
{
        _cleanup_strbuf_ struct strbuf b = { 0 }, name = { 0 };

        for (int i = 0; i < 2000; i++)
                strbuf_add(&name, "d/");
        strbuf_add(&name, "f");
        tar_add_long(&b, 'L', name.data);
        TAR_ADD(&b, .name = "x", .gnu = true);
        TAR_ADD(&b, .name = "d", .data = "1", .size = 1);
        check_tree(&b, "d 100644 0:0 1\n");
}

TEST(only_harmless_attributes_are_kept)
{
        static const struct {
                const char *name;
                bool kept;
        } cases[] = {
                { "user.plain", true },
                { "user.overlay.opaque", false },
                { "user.overlay.redirect", false },
                { "trusted.overlay.opaque", false },
                { "trusted.overlay.redirect", false },
                { "trusted.overlay.metacopy", false },
                { "trusted.overlay.origin", false },
                { "trusted.x", false },
                { "security.selinux", false },
                { "security.ima", false },
                { "system.posix_acl_access", false },
                { "security.capability", true },
        };
        /* VFS_CAP_REVISION_2, effective, CAP_NET_RAW */
        static const uint8_t capability[20] = { 1, 0, 0, 2, 0, 0x20 };
        _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };
        _cleanup_free_ char *wanted = NULL;
        char value[64];
        int file;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_free_ char *key = text_printf("SCHILY.xattr.%s", cases[i].name);

                if (streq(cases[i].name, "security.capability"))
                        pax_add_record(&p, key, capability, sizeof capability);
                else
                        pax_add_record(&p, key, "y", 1);
        }
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f", .mode = 0755, .uid = 5);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "d", .type = '5');
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "l", .type = '2', .link = canary("/file"));
        wanted = text_printf("d 40755 0:0\nf 100755 5:0 0\nl 120777 0:0 -> %s\n", canary("/file"));
        check_tree(&b, wanted);
        file = openat(root_fd, "f", O_RDONLY | O_CLOEXEC);
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                if ((fgetxattr(file, cases[i].name, value, sizeof value) > 0) != cases[i].kept)
                        fail_msg("%s", cases[i].name);
        close(file);
}

TEST(implied_directories_are_like_those_below)
{
        _cleanup_strbuf_ struct strbuf low = { 0 }, top = { 0 };
        _cleanup_close_ int low_fd = -1, mid_fd = -1;
        _cleanup_free_ char *text = NULL;
        _cleanup_err_ struct err err = { 0 };
        int lower[2];

        TAR_ADD(&low, .name = "tmp", .type = '5', .mode = 01777, .uid = 3, .gid = 4);
        TAR_ADD(&low, .name = "hidden", .type = '5', .mode = 0700);
        TAR_ADD(&low, .name = "cleared/in", .type = '5', .mode = 0700);
        TAR_ADD(&low, .name = "link", .type = '2', .link = "tmp");
        CHECK_INT(unpack(&low, NULL), 0);
        low_fd = dup(root_fd);
        low.len = 0;
        TAR_ADD(&low, .name = ".wh.hidden");
        TAR_ADD(&low, .name = "cleared", .type = '5', .mode = 0711);
        TAR_ADD(&low, .name = "cleared/.wh..wh..opq");
        CHECK_INT(unpack(&low, NULL), 0);
        mid_fd = dup(root_fd);

        TAR_ADD(&top, .name = "tmp/x");
        TAR_ADD(&top, .name = "hidden/x");
        TAR_ADD(&top, .name = "cleared/in/x");
        TAR_ADD(&top, .name = "link/x");
        TAR_ADD(&top, .name = "new/x");
        TAR_ADD(&top, .name = "named/x");
        TAR_ADD(&top, .name = "named", .type = '5', .mode = 0750, .uid = 9);
        TAR_ADD(&top, .name = "gone/x");
        TAR_ADD(&top, .name = "gone");
        CHECK_INT(unpack(&top, NULL), 0);
        lower[0] = mid_fd;
        lower[1] = low_fd;
        if (layer_adopt_implied(root_fd, implied_fd, lower, 2, &err) < 0)
                fail_msg("%s", err_text(&err));
        text = tree_text();
        CHECK_STR(text, "cleared 40711 0:0\ncleared/in 40755 0:0\ncleared/in/x 100644 0:0 0\n"
                        "gone 100644 0:0 0\nhidden 40755 0:0\nhidden/x 100644 0:0 0\n"
                        "link 40755 0:0\nlink/x 100644 0:0 0\n"
                        "named 40750 9:0\nnamed/x 100644 0:0 0\nnew 40755 0:0\n"
                        "new/x 100644 0:0 0\ntmp 41777 3:4\ntmp/x 100644 0:0 0\n");
}

/* ---- compressed ---- */

static void add_gzip(struct strbuf *out, const void *data, size_t n)
{
        z_stream z = { 0 };
        uLong max;
        char *buf;

        CHECK_INT(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
        max = deflateBound(&z, n);
        buf = malloc(max);
        z.next_in = (Bytef *)data;
        z.avail_in = (uInt)n;
        z.next_out = (Bytef *)buf;
        z.avail_out = (uInt)max;
        CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
        strbuf_add_n(out, buf, max - z.avail_out);
        deflateEnd(&z);
        free(buf);
}

static void add_zstd(struct strbuf *out, const void *data, size_t n)
{
        size_t max = ZSTD_compressBound(n), len;
        char *buf = malloc(max);

        len = ZSTD_compress(buf, max, data, n, 3);
        CHECK(!ZSTD_isError(len));
        strbuf_add_n(out, buf, len);
        free(buf);
}

static int unpack_compressed(const struct strbuf *bytes, enum compression c, const char *diff_id,
                             uint64_t max, struct err *err)
{
        _cleanup_free_ char *digest = digest_of(bytes->data, bytes->len);
        _cleanup_close_ int fd = input_of(bytes->data, bytes->len);
        struct layer_job job;

        fresh_root();
        job = job_for(fd, c, digest, diff_id, bytes->len);
        job.unpacked_max = max;
        return layer_unpack(&job, &last, err);
}

static void small_tar(struct strbuf *b)
{
        static char data[100000];

        for (size_t i = 0; i < sizeof data; i++)
                data[i] = (char)(i * i >> 7);
        TAR_ADD(b, .name = "f", .data = data, .size = sizeof data);
        tar_end(b);
}

TEST(gzip_and_zstd_are_undone_also_in_several_pieces)
{
        _cleanup_strbuf_ struct strbuf tar = { 0 }, one = { 0 }, many = { 0 }, z = { 0 };
        static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c' };
        _cleanup_free_ char *diff_id = NULL;
        size_t half;

        small_tar(&tar);
        half = tar.len / 2;
        diff_id = digest_of(tar.data, tar.len);
        add_gzip(&one, tar.data, tar.len);
        CHECK_INT(unpack_compressed(&one, COMPRESSION_GZIP, diff_id, 0, NULL), 0);
        check_export(diff_id);
        add_gzip(&many, tar.data, half);
        add_gzip(&many, "", 0);
        add_gzip(&many, tar.data + half, tar.len - half);
        CHECK_INT(unpack_compressed(&many, COMPRESSION_GZIP, diff_id, 0, NULL), 0);
        add_zstd(&z, tar.data, half);
        strbuf_add_n(&z, skippable, sizeof skippable);
        add_zstd(&z, tar.data + half, tar.len - half);
        strbuf_add_n(&z, skippable, sizeof skippable);
        CHECK_INT(unpack_compressed(&z, COMPRESSION_ZSTD, diff_id, 0, NULL), 0);
        check_export(diff_id);
}

static void compressed_refused(const struct strbuf *bytes, enum compression c, const char *diff_id,
                               const char *why)
{
        _cleanup_err_ struct err err = { 0 };

        if (unpack_compressed(bytes, c, diff_id, 0, &err) >= 0)
                fail_msg("accepted, wanted '%s'", why);
        CHECK_CONTAINS(err_text(&err), why);
}

TEST(damaged_streams_are_refused)
{
        _cleanup_strbuf_ struct strbuf tar = { 0 }, gz = { 0 }, zst = { 0 }, b = { 0 };
        _cleanup_free_ char *diff_id = NULL;

        small_tar(&tar);
        diff_id = digest_of(tar.data, tar.len);
        add_gzip(&gz, tar.data, tar.len);
        add_zstd(&zst, tar.data, tar.len);
        for (size_t n = 0; n < gz.len; n += gz.len / 7 + 1) {
                b.len = 0;
                strbuf_add_n(&b, gz.data, n);
                compressed_refused(&b, COMPRESSION_GZIP, diff_id, "expected");
        }
        b.len = 0;
        strbuf_add_n(&b, gz.data, gz.len);
        b.data[b.len - 6] ^= 1; /* the checksum */
        compressed_refused(&b, COMPRESSION_GZIP, diff_id, "gzip stream is damaged");
        b.data[b.len - 6] ^= 1;
        strbuf_add(&b, "junk");
        compressed_refused(&b, COMPRESSION_GZIP, diff_id, "gzip stream is damaged");
        b.len = 0;
        strbuf_add_n(&b, zst.data, zst.len);
        strbuf_add(&b, "junk");
        compressed_refused(&b, COMPRESSION_ZSTD, diff_id, "zstd stream is damaged");
        /* a decompressor is never guessed */
        compressed_refused(&zst, COMPRESSION_GZIP, diff_id, "gzip stream is damaged");
        compressed_refused(&gz, COMPRESSION_ZSTD, diff_id, "zstd stream is damaged");
        compressed_refused(&gz, COMPRESSION_NONE, diff_id, "tar entry 1");
        compressed_refused(&tar, COMPRESSION_GZIP, diff_id, "gzip stream is damaged");
}

TEST(digests_and_sizes_are_checked)
{
        _cleanup_strbuf_ struct strbuf tar = { 0 }, gz = { 0 };
        _cleanup_free_ char *diff_id = NULL, *digest = NULL, *other = digest_of("x", 1);
        _cleanup_err_ struct err err = { 0 };
        struct layer_job job;
        int fd;

        small_tar(&tar);
        diff_id = digest_of(tar.data, tar.len);
        add_gzip(&gz, tar.data, tar.len);
        digest = digest_of(gz.data, gz.len);
        compressed_refused(&gz, COMPRESSION_GZIP, other, "diff id is sha256:");

        fresh_root();
        fd = input_of(gz.data, gz.len);
        job = job_for(fd, COMPRESSION_GZIP, other, diff_id, gz.len);
        CHECK_INT(layer_unpack(&job, &last, &err), -EINVAL);
        CHECK_INT(err.kind, ERR_IMAGE_VERIFY);
        CHECK_CONTAINS(err_text(&err), "digest is sha256:");
        fresh_root();
        CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
        job = job_for(fd, COMPRESSION_GZIP, digest, diff_id, gz.len - 1);
        CHECK_INT(layer_unpack(&job, &last, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "more than the");
        fresh_root();
        CHECK_INT(lseek(fd, 0, SEEK_SET), 0);
        job = job_for(fd, COMPRESSION_GZIP, digest, diff_id, gz.len + 1);
        CHECK_INT(layer_unpack(&job, &last, &err), -EPIPE);
        close(fd);
}

TEST(bombs_stop_at_the_limit)
{
        _cleanup_strbuf_ struct strbuf bomb = { 0 }, head = { 0 }, window = { 0 };
        _cleanup_free_ char *zeros = calloc(1, 64 << 20);
        _cleanup_err_ struct err err = { 0 };
        static const uint8_t frame[] = { 0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00 };

        /* a file of 10 GiB of zeros: some 10 MiB of gzip, of which the first members suffice */
        TAR_ADD(&head, .name = "zeros", .size = (size_t)10 << 30);
        add_gzip(&bomb, head.data, head.len);
        for (int i = 0; i < 8; i++)
                add_gzip(&bomb, zeros, 64 << 20);
        CHECK_INT(unpack_compressed(&bomb, COMPRESSION_GZIP, "sha256:", 16 << 20, &err), -EFBIG);
        CHECK_CONTAINS(err_text(&err), "unpacks to more than the limit of");
        /* a window of 2 GiB */
        strbuf_add_n(&window, frame, sizeof frame);
        CHECK_INT(unpack_compressed(&window, COMPRESSION_ZSTD, "sha256:", 0, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "zstd stream is damaged");
}

TEST(files_are_counted_and_implied_directories_too)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_free_ char *digest = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct layer_job job;

        for (int i = 0; i < 10; i++) {
                char name[40];

                snprintf(name, sizeof name, "%d/a/b/c/d/e/f/g/h/x", i);
                TAR_ADD(&b, .name = name);
        }
        digest = digest_of(b.data, b.len);
        for (uint64_t max = 99; max <= 100; max++) {
                _cleanup_close_ int fd = input_of(b.data, b.len);

                fresh_root();
                job = job_for(fd, COMPRESSION_NONE, digest, digest, b.len);
                job.tree.inodes_max = max;
                if (max == 100) {
                        CHECK_INT(layer_unpack(&job, &last, &err), 0);
                        continue;
                }
                CHECK_INT(layer_unpack(&job, &last, &err), -EFBIG);
                CHECK_CONTAINS(err_text(&err), "limit of 99 files and directories");
        }
}

TEST(the_reserve_of_the_disk_is_kept)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_free_ char *digest = NULL, *data = calloc(1, 40 << 20);
        _cleanup_err_ struct err err = { 0 };
        struct layer_job job;
        int fd;

        TAR_ADD(&b, .name = "f", .data = data, .size = 40 << 20);
        digest = digest_of(b.data, b.len);
        fd = input_of(b.data, b.len);
        fresh_root();
        job = job_for(fd, COMPRESSION_NONE, digest, digest, b.len);
        job.tree.reserve_bytes = UINT64_MAX / 2;
        CHECK_INT(layer_unpack(&job, &last, &err), -ENOSPC);
        CHECK_INT(err.kind, ERR_NO_SPACE);
        CHECK_CONTAINS(err_text(&err), "reserve");
        close(fd);
}

TEST(a_changed_tree_is_found_when_it_is_exported)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct sink sink = { .digest = digest_new("sha256:") };
        int fd;

        TAR_ADD(&b, .name = "f", .data = "hello", .size = 5);
        CHECK_INT(unpack(&b, NULL), 0);
        fd = openat(root_fd, "f", O_WRONLY | O_CLOEXEC);
        CHECK_INT(pwrite(fd, "j", 1, 0), 1);
        CHECK_INT(layer_export(root_fd, index_fd, on_exported, &sink, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "file 'f': changed");
        CHECK_INT(ftruncate(fd, 3), 0);
        CHECK_INT(layer_export(root_fd, index_fd, on_exported, &sink, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "of another size");
        CHECK_INT(unlinkat(root_fd, "f", 0), 0);
        CHECK_INT(layer_export(root_fd, index_fd, on_exported, &sink, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "missing");
        CHECK_INT(ftruncate(index_fd, 20), 0);
        CHECK_INT(layer_export(root_fd, index_fd, on_exported, &sink, &err), -EINVAL);
        CHECK_CONTAINS(err_text(&err), "index is damaged");
        digest_free(sink.digest);
        close(fd);
}

TEST(random_orders_of_hostile_entries_never_get_out)
{
        static const char *const names[] = { "a",      "a/b",      "a/b/c",          "a/file",
                                             "b",      "b/file",   "a/.wh.b",        ".wh.a",
                                             "b/sub",  "a/b/file", "c/.wh..wh..opq", "c/a",
                                             "c/link", "c/sub/x" };
        unsigned seed = 12345;
        int accepted = 0;

        for (int round = 0; round < 25; round++) {
                _cleanup_strbuf_ struct strbuf b = { 0 };
                const char *links[] = { "..",      ".",        "a",   "b",        "../../../../..",
                                        base_path, canary(""), "a/b", "../canary" };

                for (int i = 0; i < 30; i++) {
                        static const char types[] = "00552216";
                        const char *name = names[rand_r(&seed) % ARRAY_SIZE(names)];
                        const char *link = links[rand_r(&seed) % ARRAY_SIZE(links)];
                        char type = types[rand_r(&seed) % (sizeof types - 1)];

                        if (type == '1')
                                link = names[rand_r(&seed) % ARRAY_SIZE(names)];
                        TAR_ADD(&b, .name = name, .type = type,
                                .link = type == '1' || type == '2' ? link : NULL,
                                .data = type == '0' ? "evil" : NULL, .size = type == '0' ? 4 : 0,
                                .mode = 0777, .uid = 99, .mtime = 5);
                        if (unpack(&b, NULL) == 0)
                                accepted++;
                        else
                                b.len = 0;
                }
        }
        CHECK(accepted > 150); /* no escape must not mean no attempt */
}
