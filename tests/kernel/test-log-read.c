/* The log reader on real files: rotation, compression, following, a sink that is full. */
#include "kubelet/log-read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/fs.h"
#include "tests/check.h"

struct bench {
        char path[64];
        int dir_fd;
        sd_event *event;
        struct log_reader *reader;
        struct strbuf got;
        char *error; /* of done, or NULL */
        bool is_done;
        bool is_full; /* the sink takes one piece and no more until emptied */
        size_t n_writes;
};

static ssize_t on_write(const void *data, size_t n, void *userdata)
{
        struct bench *b = userdata;

        strbuf_add_n(&b->got, data, n);
        b->n_writes++;
        return b->is_full ? LOG_SINK_FULL + 1 : 0;
}

static void on_done(const struct err *err, void *userdata)
{
        struct bench *b = userdata;

        CHECK(!b->is_done);
        b->is_done = true;
        b->error = err ? strdup(err_text(err)) : NULL;
        b->reader = log_reader_free(b->reader);
}

static const struct log_reader_ops ops = { .write = on_write, .done = on_done };

static void setup(struct bench *b)
{
        *b = (struct bench){ .path = "/tmp/test-log-read.XXXXXX" };
        CHECK(mkdtemp(b->path) != NULL);
        b->dir_fd = open(b->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CHECK(b->dir_fd >= 0);
        CHECK(sd_event_new(&b->event) >= 0);
}

static void teardown(struct bench *b)
{
        b->reader = log_reader_free(b->reader);
        sd_event_unref(b->event);
        strbuf_done(&b->got);
        free(b->error);
        safe_close(b->dir_fd);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, b->path), 0);
}

/* Appends records @from to @to - 1, "line <n>", to the file. */
static void append(const struct bench *b, const char *name, int from, int to)
{
        _cleanup_close_ int fd = openat(b->dir_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                                        0640);
        _cleanup_strbuf_ struct strbuf s = { 0 };

        CHECK(fd >= 0);
        for (int i = from; i < to; i++)
                strbuf_addf(&s, "2024-05-06T07:%02d:%02d.%06dZ stdout F line %d\n", i / 60 % 60,
                            i % 60, i, i);
        CHECK_INT(fs_write_all(fd, s.data, s.len), 0);
}

static void write_file(const struct bench *b, const char *name, const char *text)
{
        CHECK_INT(fs_replace_at(b->dir_fd, name, text, strlen(text), 0640, false), 0);
}

static void compress_file(const struct bench *b, const char *name)
{
        _cleanup_free_ char *data = NULL, *path = text_printf("%s/%s.gz", b->path, name);
        gzFile gz = gzopen(path, "wb");
        size_t n;

        CHECK_INT(fs_read_at(b->dir_fd, name, 64 << 20, &data, &n), 0);
        CHECK_INT(gzwrite(gz, data, (unsigned)n), n);
        gzclose(gz);
        CHECK_INT(unlinkat(b->dir_fd, name, 0), 0);
}

static void rotate(const struct bench *b, const char *to)
{
        CHECK_INT(renameat(b->dir_fd, "0.log", b->dir_fd, to), 0);
}

static int start_as(struct bench *b, struct log_options o, bool is_running)
{
        if (o.tail == 0)
                o.tail = UINT64_MAX;
        if (o.limit_bytes == 0)
                o.limit_bytes = UINT64_MAX;
        o.streams = LOG_ALL;
        return log_reader_new(b->event, fcntl(b->dir_fd, F_DUPFD_CLOEXEC, 3), "0.log", &o,
                              is_running, &ops, b, &b->reader, NULL);
}

static void start(struct bench *b, struct log_options o)
{
        CHECK_INT(start_as(b, o, true), 0);
}

/* Runs the loop until nothing happens for @msec. */
static void run(struct bench *b, uint64_t msec)
{
        while (sd_event_run(b->event, msec * USEC_PER_MSEC) > 0)
                ;
}

/* Are exactly the lines @from to @to - 1 there? */
static void check_lines(const struct bench *b, int from, int to)
{
        _cleanup_strbuf_ struct strbuf want = { 0 };

        for (int i = from; i < to; i++)
                strbuf_addf(&want, "line %d\n", i);
        CHECK_STR(b->got.data ? b->got.data : "", want.data ? want.data : "");
}

/* Three files: compressed, rotated, current; @n lines each. */
static void three_files(struct bench *b, int n)
{
        append(b, "0.log", 0, n);
        rotate(b, "0.log.20240101-000000");
        compress_file(b, "0.log.20240101-000000");
        append(b, "0.log", n, 2 * n);
        rotate(b, "0.log.20240102-000000");
        append(b, "0.log", 2 * n, 3 * n);
        append(b, "1.log", 9000, 9010);
}

TEST(all_of_a_log_is_read_across_rotated_and_compressed_files)
{
        struct bench b;

        setup(&b);
        three_files(&b, 20000);
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        CHECK(b.is_done && !b.error);
        check_lines(&b, 0, 60000);
        teardown(&b);
}

TEST(the_last_lines_are_found_across_files)
{
        static const int counts[] = { 1, 9, 10, 11, 19, 20, 21, 29, 30, 31, 1000 };

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
                struct bench b;

                setup(&b);
                three_files(&b, 10);
                start(&b, (struct log_options){ .tail = (uint64_t)counts[i] });
                run(&b, 10);
                CHECK(b.is_done && !b.error);
                check_lines(&b, counts[i] > 30 ? 0 : 30 - counts[i], 30);
                teardown(&b);
        }
}

TEST(the_last_lines_of_a_long_log_are_found)
{
        struct bench b;

        setup(&b);
        three_files(&b, 30000);
        start(&b, (struct log_options){ .tail = 75000 });
        run(&b, 10);
        check_lines(&b, 15000, 90000);
        teardown(&b);
}

TEST(without_follow_a_log_that_grows_ends_where_it_ended)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 10);
        start(&b, (struct log_options){ 0 });
        append(&b, "0.log", 10, 20);
        run(&b, 10);
        CHECK(b.is_done);
        check_lines(&b, 0, 10);
        teardown(&b);
}

TEST(following_sees_appends_and_rotations_and_ends_with_the_container)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 5);
        start(&b, (struct log_options){ .follow = true, .tail = 2 });
        run(&b, 20);
        check_lines(&b, 3, 5);
        append(&b, "0.log", 5, 7);
        run(&b, 20);
        check_lines(&b, 3, 7);
        append(&b, "0.log", 7, 8);
        rotate(&b, "0.log.20240101-000000");
        append(&b, "0.log.20240101-000000", 8, 9); /* by whoever had it open */
        append(&b, "0.log", 9, 11);
        run(&b, 20);
        check_lines(&b, 3, 11);
        rotate(&b, "0.log.20240102-000000");
        run(&b, 20);
        CHECK(!b.is_done);
        append(&b, "0.log", 11, 12);
        log_reader_container_ended(b.reader);
        run(&b, 20);
        CHECK(b.is_done && !b.error);
        check_lines(&b, 3, 12);
        teardown(&b);
}

TEST(a_follower_that_fell_behind_many_rotations_loses_and_repeats_nothing)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 10);
        b.is_full = true;
        start(&b, (struct log_options){ .follow = true });
        run(&b, 20);
        check_lines(&b, 0, 10);
        append(&b, "0.log", 10, 12);
        rotate(&b, "0.log.20240101-000000");
        append(&b, "0.log", 12, 14);
        compress_file(&b, "0.log.20240101-000000");
        rotate(&b, "0.log.20240102-000000");
        append(&b, "0.log", 14, 16);
        b.is_full = false;
        log_reader_resume(b.reader);
        run(&b, 20);
        check_lines(&b, 0, 16);
        teardown(&b);
}

TEST(a_follower_waits_for_a_log_that_does_not_exist_yet)
{
        struct bench b;

        setup(&b);
        CHECK_INT(start_as(&b, (struct log_options){ 0 }, true), -ENOENT);
        start(&b, (struct log_options){ .follow = true });
        run(&b, 20);
        CHECK(!b.is_done);
        append(&b, "0.log", 0, 2);
        run(&b, 20);
        check_lines(&b, 0, 2);
        teardown(&b);
}

TEST(following_a_container_that_has_ended_ends_at_once)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 3);
        CHECK_INT(start_as(&b, (struct log_options){ .follow = true }, false), 0);
        run(&b, 20);
        CHECK(b.is_done);
        check_lines(&b, 0, 3);
        teardown(&b);
}

TEST(following_ends_when_the_folder_is_removed)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 3);
        start(&b, (struct log_options){ .follow = true });
        run(&b, 20);
        CHECK_INT(fs_remove_tree_at(AT_FDCWD, b.path), 0);
        run(&b, 20);
        CHECK(b.is_done);
        check_lines(&b, 0, 3);
        teardown(&b);
}

TEST(a_full_sink_pauses_the_reader)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 100000);
        b.is_full = true;
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        CHECK_INT(b.n_writes, 1);
        CHECK(b.got.len < 512 * 1024);
        b.is_full = false;
        log_reader_resume(b.reader);
        run(&b, 10);
        CHECK(b.is_done);
        check_lines(&b, 0, 100000);
        teardown(&b);
}

TEST(an_unfinished_last_record_is_shown_at_the_end_only)
{
        struct bench b;

        setup(&b);
        write_file(&b, "0.log",
                   "2024-05-06T07:08:09Z stdout F whole\n2024-05-06T07:08:09Z stdout F cut");
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        CHECK_STR(b.got.data, "whole\ncut");
        b.got.len = 0;
        b.is_done = false;
        start(&b, (struct log_options){ .follow = true });
        run(&b, 10);
        CHECK_STR(b.got.data, "whole\n");
        teardown(&b);
}

TEST(garbage_and_endless_lines_are_passed_over_in_flat_memory)
{
        _cleanup_close_ int fd = -1;
        static char nul[64 * 1024];
        struct rusage before, after;
        struct bench b;

        setup(&b);
        write_file(&b, "0.log", "no record\n2024-05-06T07:08:09Z stdout F one\n\n");
        fd = openat(b.dir_fd, "0.log", O_WRONLY | O_APPEND | O_CLOEXEC);
        for (int i = 0; i < 512; i++)
                CHECK_INT(fs_write_all(fd, nul, sizeof nul), 0);
        CHECK_INT(fs_write_all(fd, "\n2024-05-06T07:08:09Z stdout F two\n", 35), 0);
        getrusage(RUSAGE_SELF, &before);
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        getrusage(RUSAGE_SELF, &after);
        CHECK_STR(b.got.data, "one\ntwo\n");
        CHECK(after.ru_maxrss - before.ru_maxrss < 4096);
        teardown(&b);
}

TEST(links_fifos_and_second_names_are_never_read)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 5, 6);
        write_file(&b, "secret", "2024-05-06T07:08:09Z stdout F secret\n");
        CHECK_INT(symlinkat("/etc/passwd", b.dir_fd, "0.log.20240101-000000"), 0);
        CHECK_INT(symlinkat("secret", b.dir_fd, "0.log.20240102-000000"), 0);
        CHECK_INT(linkat(b.dir_fd, "secret", b.dir_fd, "0.log.20240103-000000", 0), 0);
        CHECK_INT(mkfifoat(b.dir_fd, "0.log.20240104-000000", 0600), 0);
        CHECK_INT(mkdirat(b.dir_fd, "0.log.20240105-000000", 0700), 0);
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        CHECK(b.is_done && !b.error);
        check_lines(&b, 5, 6);
        teardown(&b);
}

TEST(a_damaged_compressed_file_does_not_hide_the_newer_ones)
{
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 1000);
        rotate(&b, "0.log.20240101-000000");
        compress_file(&b, "0.log.20240101-000000");
        write_file(&b, "0.log.20240100-000000.gz", "\x1f\x8b no gzip at all");
        append(&b, "0.log", 1000, 1005);
        start(&b, (struct log_options){ 0 });
        run(&b, 10);
        CHECK(b.is_done && !b.error);
        check_lines(&b, 0, 1005);
        teardown(&b);
}

TEST(old_files_are_not_looked_at_when_only_recent_lines_are_wanted)
{
        struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
        struct bench b;

        setup(&b);
        append(&b, "0.log", 0, 10);
        rotate(&b, "0.log.20240101-000000");
        CHECK_INT(utimensat(b.dir_fd, "0.log.20240101-000000", old, 0), 0);
        append(&b, "0.log", 10, 20);
        start(&b, (struct log_options){ .since_usec = UINT64_C(1714979220) * USEC_PER_SEC });
        run(&b, 10);
        CHECK(b.is_done);
        check_lines(&b, 20, 20);
        teardown(&b);
}
