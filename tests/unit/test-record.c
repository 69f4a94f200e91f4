#include "runtime/record.h"

#include <errno.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "tests/check.h"

static char directory[64];
static int dir_fd;

static void make_directory(void)
{
        snprintf(directory, sizeof directory, "/tmp/test-record-XXXXXX");
        CHECK(mkdtemp(directory));
        dir_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(dir_fd >= 0);
}

static void remove_directory(void)
{
        close(dir_fd);
        CHECK(fs_remove_tree_at(AT_FDCWD, directory) == 0);
}

static json_t *sample(void)
{
        return json_pack("{s:s, s:{s:s}, s:I}", "id", "abc", "labels", "app", "caf\xc3\xa9",
                         "createdAt", (json_int_t)1790000000000000);
}

static int read_back(json_t **ret)
{
        return record_read(dir_fd, "r.json", ret, NULL);
}

TEST(a_record_comes_back_as_it_was_written)
{
        json_auto_t *got = NULL, *want = sample();
        struct stat st;

        make_directory();
        CHECK(record_write(dir_fd, "r.json", sample()) == 0);
        CHECK(read_back(&got) == 0);
        json_object_del(got, "checksum");
        json_object_del(got, "version");
        CHECK(json_equal(got, want));
        CHECK(fstatat(dir_fd, "r.json", &st, 0) == 0);
        CHECK_INT(st.st_mode & 07777, 0600);
        remove_directory();
}

TEST(a_record_cut_off_at_any_byte_is_noticed)
{
        _cleanup_free_ char *text = NULL;
        size_t n;

        make_directory();
        CHECK(record_write(dir_fd, "r.json", sample()) == 0);
        CHECK(fs_read_at(dir_fd, "r.json", RECORD_MAX, &text, &n) == 0);
        for (size_t cut = 0; cut < n; cut++) {
                json_t *got = NULL;

                CHECK(fs_replace_at(dir_fd, "r.json", text, cut, 0600, false) == 0);
                CHECK_INT(read_back(&got), -EBADMSG);
                CHECK(!got);
        }
        remove_directory();
}

TEST(a_record_with_any_byte_changed_is_noticed)
{
        _cleanup_free_ char *text = NULL;
        size_t n;

        make_directory();
        CHECK(record_write(dir_fd, "r.json", sample()) == 0);
        CHECK(fs_read_at(dir_fd, "r.json", RECORD_MAX, &text, &n) == 0);
        for (size_t at = 0; at < n; at++) {
                for (int bit = 0; bit < 8; bit++) {
                        json_t *got = NULL;

                        text[at] ^= (char)(1 << bit);
                        CHECK(fs_replace_at(dir_fd, "r.json", text, n, 0600, false) == 0);
                        CHECK_INT(read_back(&got), -EBADMSG);
                        text[at] ^= (char)(1 << bit);
                }
        }
        remove_directory();
}

TEST(a_record_that_is_missing_or_huge_or_no_file_gives_its_errno)
{
        json_t *got = NULL;

        make_directory();
        CHECK_INT(read_back(&got), -ENOENT);
        CHECK(mkdirat(dir_fd, "r.json", 0700) == 0);
        CHECK_INT(read_back(&got), -EISDIR);
        CHECK(unlinkat(dir_fd, "r.json", AT_REMOVEDIR) == 0);
        CHECK(mkfifoat(dir_fd, "r.json", 0600) == 0);
        CHECK_INT(read_back(&got), -EINVAL);
        CHECK(unlinkat(dir_fd, "r.json", 0) == 0);
        CHECK(fs_replace_at(dir_fd, "r.json", "{}", 2, 0600, false) == 0);
        CHECK(truncate(directory, 0) < 0);
        {
                _cleanup_close_ int fd = openat(dir_fd, "r.json", O_WRONLY | O_CLOEXEC);

                CHECK(ftruncate(fd, (off_t)1 << 30) == 0); /* sparse */
        }
        CHECK_INT(read_back(&got), -EFBIG);
        remove_directory();
}

TEST(a_record_of_another_version_is_not_used)
{
        _cleanup_err_ struct err err = { 0 };
        json_t *got = NULL;
        static const char future[] = "{\"checksum\":\"0000000000000000\",\"version\":2}\n";

        make_directory();
        CHECK(fs_replace_at(dir_fd, "r.json", future, sizeof future - 1, 0600, false) == 0);
        CHECK_INT(record_read(dir_fd, "r.json", &got, &err), -EBADMSG);
        remove_directory();
}

TEST(a_folder_in_a_records_place_is_set_aside_over_an_older_one)
{
        struct stat st;

        make_directory();
        CHECK(mkdirat(dir_fd, "r.json", 0700) == 0);
        CHECK(symlinkat("/nowhere", dir_fd, "r.json.bad") == 0);
        record_set_aside(dir_fd, "r.json", -EISDIR, NULL);
        CHECK(fstatat(dir_fd, "r.json", &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
        CHECK(fstatat(dir_fd, "r.json.bad", &st, AT_SYMLINK_NOFOLLOW) == 0);
        CHECK(S_ISDIR(st.st_mode));
        remove_directory();
}

TEST(a_record_set_aside_keeps_its_bytes)
{
        _cleanup_free_ char *text = NULL;
        json_t *got = NULL;

        make_directory();
        CHECK(fs_replace_at(dir_fd, "r.json", "junk", 4, 0600, false) == 0);
        CHECK_INT(read_back(&got), -EBADMSG);
        record_set_aside(dir_fd, "r.json", -EBADMSG, NULL);
        CHECK_INT(read_back(&got), -ENOENT);
        CHECK(fs_read_at(dir_fd, "r.json.bad", 10, &text, NULL) == 0);
        CHECK_STR(text, "junk");
        remove_directory();
}
