#include "base/tar.h"

#include <errno.h>
#include <stdio.h>

#include "base/text.h"
#include "tests/check.h"
#include "tests/tar-builder.h"

/* Reads an archive in pieces of @step bytes and writes down what was seen. */
static int list(const struct strbuf *in, size_t step, struct strbuf *out, struct err *err)
{
        _cleanup_(tar_freep)
        struct tar *t = tar_new();
        size_t at = 0;

        CHECK(t != NULL);
        for (;;) {
                size_t n = MIN(step, in->len - at), used = 0;
                int r = tar_next(t, in->data + at, n, &used, err);
                const struct tar_entry *e = tar_entry(t);

                if (r < 0)
                        return r;
                CHECK(used <= n);
                if (r == TAR_ENTRY) {
                        strbuf_addf(out, "[%d %s", (int)e->type, e->name);
                        if (*e->link)
                                strbuf_addf(out, " -> %s", e->link);
                        strbuf_addf(out, " %o %u:%u %lld.%09ld", e->mode, e->uid, e->gid,
                                    (long long)e->mtime.tv_sec, e->mtime.tv_nsec);
                        if (e->type == TAR_CHAR || e->type == TAR_BLOCK)
                                strbuf_addf(out, " %u,%u", e->major, e->minor);
                        for (size_t i = 0; i < e->n_xattrs; i++)
                                strbuf_addf(out, " %s=%zu", e->xattrs[i].name, e->xattrs[i].size);
                        strbuf_add(out, "|");
                } else if (r == TAR_DATA) {
                        strbuf_add_n(out, in->data + at, used);
                } else if (r == TAR_ENTRY_END) { /* the entry is still whole */
                        for (size_t i = 0; i < e->n_xattrs; i++)
                                CHECK(*e->xattrs[i].name);
                        strbuf_add(out, "]");
                } else if (r == TAR_NEED_MORE && at + used == in->len) {
                        return tar_finish(t, err);
                }
                at += used;
        }
}

static void check_lists(const struct strbuf *in, const char *wanted)
{
        static const size_t steps[] = { 1, 7, 511, 512, 513, 100000 };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_strbuf_ struct strbuf out = { 0 };
                _cleanup_err_ struct err err = { 0 };

                strbuf_add(&out, "");
                if (list(in, steps[i], &out, &err) < 0)
                        fail_msg("in steps of %zu: %s", steps[i], err_text(&err));
                CHECK_STR(out.data, wanted);
        }
}

static void check_refused(const struct strbuf *in, const char *why)
{
        static const size_t steps[] = { 1, 512, 100000 };

        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                _cleanup_strbuf_ struct strbuf out = { 0 };
                _cleanup_err_ struct err err = { 0 };

                if (list(in, steps[i], &out, &err) != -EINVAL)
                        fail_msg("accepted, wanted '%s'", why);
                CHECK_CONTAINS(err_text(&err), why);
        }
}

TEST(all_types_are_read)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "d/", .type = '5', .mode = 01777, .mtime = 5);
        TAR_ADD(&b, .name = "d/f", .data = "hello", .size = 5, .uid = 7, .gid = 8);
        TAR_ADD(&b, .name = "d/h", .type = '1', .link = "d/f");
        TAR_ADD(&b, .name = "d/s", .type = '2', .link = "../x", .mode = 0777);
        TAR_ADD(&b, .name = "c", .type = '3', .major = 1, .minor = 3);
        TAR_ADD(&b, .name = "b", .type = '4', .major = 8, .minor = 0);
        TAR_ADD(&b, .name = "p", .type = '6', .mode = 04755);
        TAR_ADD(&b, .name = "7", .type = '7', .data = "x", .size = 1);
        tar_end(&b);
        check_lists(&b, "[5 d/ 1777 0:0 5.000000000|][0 d/f 644 7:8 0.000000000|hello]"
                        "[1 d/h -> d/f 644 0:0 0.000000000|][2 d/s -> ../x 777 0:0 0.000000000|]"
                        "[3 c 644 0:0 0.000000000 1,3|][4 b 644 0:0 0.000000000 8,0|]"
                        "[6 p 4755 0:0 0.000000000|][0 7 644 0:0 0.000000000|x]");
}

TEST(an_end_mark_may_be_missing_or_followed_by_zeros)
{
        static const char zeros[9000];
        _cleanup_strbuf_ struct strbuf b = { 0 }, none = { 0 };

        strbuf_add(&none, "");
        check_lists(&none, "");
        TAR_ADD(&b, .name = "f", .data = "x", .size = 1);
        check_lists(&b, "[0 f 644 0:0 0.000000000|x]");
        strbuf_add_n(&b, zeros, 512);
        check_lists(&b, "[0 f 644 0:0 0.000000000|x]");
        strbuf_add_n(&b, zeros, sizeof zeros);
        check_lists(&b, "[0 f 644 0:0 0.000000000|x]");
        strbuf_add(&b, "junk");
        check_refused(&b, "behind the end");
}

TEST(a_header_behind_one_zero_block_is_refused)
{
        static const char zeros[512];
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_add_n(&b, zeros, 512);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "behind a block of zeros");
}

TEST(an_archive_cut_short_is_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        char data[700] = { 0 };

        TAR_ADD(&b, .name = "f", .data = data, .size = sizeof data);
        for (size_t n = 1; n < 512 + 1024; n += 97) {
                _cleanup_strbuf_ struct strbuf cut = { 0 };

                strbuf_add_n(&cut, b.data, n);
                check_refused(&cut, "ends in the middle");
        }
}

TEST(old_and_gnu_headers_are_read)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        char name[250], wanted[600];

        TAR_ADD(&b, .name = "old/", .v7 = true, .mode = 0755);
        TAR_ADD(&b, .name = "f", .v7 = true, .data = "x", .size = 1);
        memset(name, 'n', sizeof name);
        name[249] = '\0';
        tar_add_long(&b, 'L', name);
        tar_add_long(&b, 'K', "some/target");
        TAR_ADD(&b, .name = "short", .type = '2', .link = "short", .gnu = true);
        TAR_ADD(&b, .name = "big", .gnu = true, .uid = 3000000, .mtime = -1);
        snprintf(wanted, sizeof wanted,
                 "[5 old/ 755 0:0 0.000000000|][0 f 644 0:0 0.000000000|x]"
                 "[2 %s -> some/target 644 0:0 0.000000000|][0 big 644 3000000:0 -1.000000000|]",
                 name);
        check_lists(&b, wanted);
}

TEST(a_ustar_prefix_is_put_before_the_name)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        uint32_t sum = 0;

        TAR_ADD(&b, .name = "file");
        memcpy(b.data + 345, "long/prefix", 11);
        memset(b.data + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
                sum += (uint8_t)b.data[i];
        snprintf(b.data + 148, 8, "%06o", sum);
        check_lists(&b, "[0 long/prefix/file 644 0:0 0.000000000|]");
}

TEST(pax_values_win_over_the_header)
{
        _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };

        pax_add_record(&p, "path", "a/very/long/name", 16);
        pax_add_record(&p, "size", "3", 1);
        pax_add_record(&p, "uid", "4294967294", 10);
        pax_add_record(&p, "gid", "5", 1);
        pax_add_record(&p, "mtime", "1700000000.25", 13);
        pax_add_record(&p, "SCHILY.xattr.user.a", "x\0y", 3);
        pax_add_record(&p, "SCHILY.xattr.security.capability", "", 0);
        pax_add_record(&p, "comment", "c", 1);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "short", .data = "abc", .size = 3, .raw_size = "00000000000");
        TAR_ADD(&b, .name = "next", .data = "1", .size = 1);
        check_lists(&b, "[0 a/very/long/name 644 4294967294:5 1700000000.250000000 user.a=3 "
                        "security.capability=0|abc][0 next 644 0:0 0.000000000|1]");
}

TEST(pax_times_are_exact)
{
        static const struct {
                const char *text, *wanted;
        } cases[] = {
                { "0", "0.000000000" },
                { "1.5", "1.500000000" },
                { "-1.5", "-2.500000000" },
                { "-3", "-3.000000000" },
                { "1.123456789999", "1.123456789" },
                { "12.", "12.000000000" },
        };
        static const char *const bad[] = { "x",   "1.x", "-", ".5", "99999999999999999",
                                           "1e5", "+1",  " 1" };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };
                char wanted[100];

                pax_add_record(&p, "mtime", cases[i].text, strlen(cases[i].text));
                tar_add_pax(&b, 'x', &p);
                TAR_ADD(&b, .name = "f");
                snprintf(wanted, sizeof wanted, "[0 f 644 0:0 %s|]", cases[i].wanted);
                check_lists(&b, wanted);
        }
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };

                pax_add_record(&p, "mtime", bad[i], strlen(bad[i]));
                tar_add_pax(&b, 'x', &p);
                TAR_ADD(&b, .name = "f");
                check_refused(&b, "pax 'mtime'");
        }
}

TEST(malformed_pax_records_are_refused)
{
        static const char *const bad[] = { "x",           "5",         "5 a=b",     "99 a=b\n",
                                           "06 a=b\n",    "6 a=bc\n",  "5 ab\n",    "4 =b\n",
                                           "0 a=b\n",     "-6 a=b\n",  "6  a=b\n",  "3 \n",
                                           "123456789 a", "6 a=b\n\n", "7 a\n=b\nx" };

        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };
                _cleanup_strbuf_ struct strbuf out = { 0 };
                _cleanup_err_ struct err err = { 0 };

                strbuf_add(&p, bad[i]);
                tar_add_pax(&b, 'x', &p);
                TAR_ADD(&b, .name = "f");
                if (list(&b, 4096, &out, &err) != -EINVAL && !streq(bad[i], "6  a=b\n"))
                        fail_msg("'%s' was accepted", bad[i]);
        }
}

TEST(names_with_a_nul_are_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 }, c = { 0 };

        pax_add_record(&p, "path", "a\0b", 3);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "holds a NUL");

        TAR_ADD(&c, .name = "././@LongLink", .type = 'L', .gnu = true, .data = "a\0b", .size = 4);
        TAR_ADD(&c, .name = "f", .gnu = true);
        check_refused(&c, "holds a NUL");
}

TEST(what_readers_disagree_about_is_refused)
{
        _cleanup_strbuf_ struct strbuf p = { 0 }, b = { 0 };

        pax_add_record(&p, "path", "a", 1);
        tar_add_pax(&b, 'x', &p);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "two extension headers");

        b.len = 0;
        tar_add_pax(&b, 'x', &p);
        tar_add_long(&b, 'L', "b");
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "both a GNU long name and a pax name");

        b.len = 0;
        tar_add_pax(&b, 'g', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "global pax header sets 'path'");

        b.len = p.len = 0;
        pax_add_record(&p, "comment", "of git archive", 14);
        tar_add_pax(&b, 'g', &p);
        TAR_ADD(&b, .name = "f");
        check_lists(&b, "[0 f 644 0:0 0.000000000|]");

        b.len = 0;
        tar_add_pax(&b, 'x', &p);
        tar_end(&b);
        check_refused(&b, "without an entry");

        b.len = 0;
        TAR_ADD(&b, .name = "d", .type = '5', .data = "x", .size = 1);
        check_refused(&b, "claims data");

        b.len = 0;
        TAR_ADD(&b, .name = "s", .type = 'S');
        check_refused(&b, "sparse");

        b.len = p.len = 0;
        pax_add_record(&p, "GNU.sparse.major", "1", 1);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "sparse");
}

TEST(a_hard_link_never_carries_data)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "h", .type = '1', .link = "f", .raw_size = "00000001000");
        TAR_ADD(&b, .name = "next");
        check_lists(&b, "[1 h -> f 644 0:0 0.000000000|][0 next 644 0:0 0.000000000|]");
}

TEST(bad_numbers_are_refused)
{
        static const char *const sizes[] = {
                "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", /* -1 */
                "\x80\0\0\0\x80\0\0\0\0\0\0\0",                     /* 2^63 */
                "\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", /* enormous */
                "-0000000001",
                "0000000008 ",
                "000x0000000",
                ("0000001\0"
                 "0001"),
        };

        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                _cleanup_strbuf_ struct strbuf b = { 0 };

                TAR_ADD(&b, .name = "f", .raw_size = sizes[i]);
                if (i == ARRAY_SIZE(sizes) - 1) /* digits, NUL, digits: not a terminator */
                        check_refused(&b, "'size'");
                else
                        check_refused(&b, "header field 'size'");
        }
}

TEST(base_256_sizes_are_read)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "f", .data = "abc", .size = 3,
                .raw_size = "\x80\0\0\0\0\0\0\0\0\0\0\x03");
        check_lists(&b, "[0 f 644 0:0 0.000000000|abc]");
}

TEST(a_wrong_checksum_is_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "f", .bad_checksum = true);
        check_refused(&b, "checksum");
}

TEST(limits_are_kept)
{
        _cleanup_strbuf_ struct strbuf b = { 0 }, p = { 0 };
        _cleanup_free_ char *big = calloc(1, 70000);

        CHECK(big != NULL);
        TAR_ADD(&b, .name = "x", .type = 'x', .raw_size = "77777777777");
        check_refused(&b, "extension headers of more than");

        b.len = 0;
        TAR_ADD(&b, .name = "L", .type = 'L', .raw_size = "00000020000");
        check_refused(&b, "name of more than 4095 bytes");

        b.len = 0;
        for (int i = 0; i < 65; i++) {
                char key[40];

                snprintf(key, sizeof key, "SCHILY.xattr.user.%d", i);
                pax_add_record(&p, key, "v", 1);
        }
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "more than 64 extended attributes");

        b.len = p.len = 0;
        pax_add_record(&p, "SCHILY.xattr.user.big", big, 65537);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "expected at most 65536");

        b.len = p.len = 0;
        memset(big, 'a', 5000);
        pax_add_record(&p, "path", big, 4096);
        tar_add_pax(&b, 'x', &p);
        TAR_ADD(&b, .name = "f");
        check_refused(&b, "name of more than 4095 bytes");
}

TEST(unknown_types_and_empty_names_are_refused)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        TAR_ADD(&b, .name = "v", .type = 'V');
        check_refused(&b, "unknown entry type 0x56");
        b.len = 0;
        TAR_ADD(&b, .name = "");
        check_refused(&b, "name is empty");
        b.len = 0;
        TAR_ADD(&b, .name = "s", .type = '2');
        check_refused(&b, "link without a target");
}
