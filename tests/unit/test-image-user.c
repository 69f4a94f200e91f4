/* Users and groups out of files that an image brought along. */
#include "runtime/image-user.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "tests/check.h"

static FILE *file_of(const char *text)
{
        FILE *f = fmemopen((void *)text, strlen(text), "r");

        CHECK(f != NULL);
        return f;
}

TEST(the_first_entry_of_a_name_or_a_uid_is_found)
{
        _cleanup_fclose_ FILE *f = file_of("root:x:0:0::/:\napp:x:7:8\napp:x:9:9\nlast:x:3:4");
        struct passwd_entry e;

        CHECK_INT(passwd_find(f, "app", 0, &e), 1);
        CHECK_INT(e.uid, 7);
        CHECK_INT(e.gid, 8);
        rewind(f);
        CHECK_INT(passwd_find(f, NULL, 3, &e), 1);
        CHECK_STR(e.name, "last");
        rewind(f);
        CHECK_INT(passwd_find(f, "nobody", 0, &e), 0);
}

/* A number too large for a uid, a sign, a blank: no entry, and never somebody else's (PR-05). */
TEST(lines_that_are_no_entry_are_passed_over)
{
        _cleanup_fclose_ FILE *f = file_of("a:x:4294967296:0\na:x:-1:0\na:x: 0:0\na:x:+0:0\n"
                                           "a:x:4294967295:0\na:x::0\na\n:x:0:0\n\na:x:5:6\n");
        struct passwd_entry e;

        CHECK_INT(passwd_find(f, "a", 0, &e), 1);
        CHECK_INT(e.uid, 5);
        CHECK_INT(e.gid, 6);
        rewind(f);
        CHECK_INT(passwd_find(f, NULL, 0, &e), 0);
}

TEST(groups_of_a_member_are_all_found)
{
        _cleanup_fclose_ FILE *f = file_of("a:x:1:me\nb:x:2:you,me\nc:x:3:men\nd:x:4:you,me,x\n");
        _cleanup_free_ uint32_t *gids = NULL;
        size_t n;

        CHECK_INT(group_memberships(f, "me", &gids, &n), 0);
        CHECK_INT(n, 3);
        CHECK_INT(gids[2], 4);
}

/* A file without holes for the reader: 1 GiB of NULs, without a single line end (PR-08). */
TEST(one_endless_line_is_refused_in_little_memory)
{
        int fd = memfd_create("passwd", MFD_CLOEXEC);
        _cleanup_fclose_ FILE *f = fdopen(fd, "re");
        _cleanup_free_ uint32_t *gids = NULL;
        struct rusage before, after;
        struct passwd_entry e;
        uint32_t gid;
        size_t n;

        CHECK(f != NULL && ftruncate(fd, 1 << 30) == 0);
        getrusage(RUSAGE_SELF, &before);
        CHECK_INT(passwd_find(f, "a", 0, &e), -EFBIG);
        rewind(f);
        CHECK_INT(group_find(f, "a", &gid), -EFBIG);
        rewind(f);
        CHECK_INT(group_memberships(f, "a", &gids, &n), -EFBIG);
        getrusage(RUSAGE_SELF, &after);
        CHECK(after.ru_maxrss - before.ru_maxrss < 4096); /* KiB */
}

TEST(many_short_lines_are_refused_beyond_the_limit)
{
        int fd = memfd_create("passwd", MFD_CLOEXEC);
        _cleanup_fclose_ FILE *f = fdopen(fd, "re");
        static char lines[1 << 20];
        struct passwd_entry e;

        CHECK(f != NULL);
        memset(lines, '\n', sizeof lines);
        for (size_t n = 0; n <= USER_FILE_MAX; n += sizeof lines)
                CHECK_INT(fs_write_all(fd, lines, sizeof lines), 0);
        rewind(f);
        CHECK_INT(passwd_find(f, "a", 0, &e), -EFBIG);
}
