#include "kubelet/log-read.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "kubelet/log-source.h"

enum {
        BUFFER_SIZE = 64 * 1024, /* one record has 16 KiB and a head; longer ones are dropped */
        SLICE = 256 * 1024,      /* read in one go before others get their turn */
};

#define WATCH_MASK                                                                        \
        (IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_MOVE_SELF | \
         IN_ONLYDIR)
#define POLL_USEC (1 * USEC_PER_SEC) /* only where inotify has no watch left */

enum state {
        STATE_TAIL, /* going back from the newest file to where the last lines begin */
        STATE_READ,
        STATE_WAIT, /* at the end, following */
        STATE_DONE,
};

struct log_reader {
        sd_event_source *work, *watch, *poll; /* owned */
        const struct log_reader_ops *ops;
        void *userdata;
        int dir_fd;                /* owned */
        char *base;                /* owned */
        char *name;                /* owned; of .source when it was opened */
        struct log_source *source; /* owned; NULL: the current file does not exist yet */
        enum state state;
        struct log_filter filter;
        uint64_t tail;         /* TAIL: lines still to find */
        uint64_t records_left; /* READ: not following, so many records and no more */
        uint64_t skip_lines;   /* READ: lines before those asked for, in a compressed file */
        uint64_t n_lines;      /* TAIL: counted in a compressed file */
        off_t tail_at;         /* TAIL: where the block looked at last begins */
        off_t stop_at;         /* READ: not following, the current file's size at first; -1: none */
        char *buf;             /* owned; NULL while nothing is in it */
        size_t len;
        char last_time[LOG_TIME_MAX + 1]; /* of the last record seen, when following */
        usec_t skip_usec;                 /* after a gap: records up to this were shown already */
        bool follow, is_running;
        bool discarding;  /* inside a line that is too long */
        bool at_end_once; /* the end was seen; what was written in the meantime is read once more */
};

static void schedule(struct log_reader *r)
{
        sd_event_source_set_enabled(r->work, SD_EVENT_ONESHOT);
}

static void finish(struct log_reader *r, const struct err *err)
{
        r->state = STATE_DONE;
        r->ops->done(err, r->userdata);
}

/* The container's files now, oldest first. */
static int list_files(struct log_reader *r, char ***ret)
{
        _cleanup_strv_ char **names = NULL;
        int n = fs_list_at(r->dir_fd, ".", &names);

        return n < 0 ? n : log_files_select(names, r->base, ret);
}

/* Position in @files of the file that is open, which may have been renamed since; -1: gone. */
static ssize_t find_open_file(const struct log_reader *r, char *const *files)
{
        struct stat st;

        for (ssize_t i = 0; files && files[i]; i++) {
                if (log_file_is_same(files[i], r->name, r->base))
                        return i;
                if (fstatat(r->dir_fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                    st.st_ino == log_source_inode(r->source))
                        return i;
        }
        return -1;
}

static int open_file(struct log_reader *r, const char *name)
{
        struct log_source *source;
        int n = log_source_open(r->dir_fd, name, &source);

        if (n < 0)
                return n;
        n = free_and_strdup(&r->name, name);
        if (n < 0) {
                log_source_free(source);
                return n;
        }
        log_source_free(r->source);
        r->source = source;
        r->at_end_once = false;
        return 0;
}

/* Opens the first usable file from files[i] on, in steps of @step. Returns 1 when there is none. */
static int open_from(struct log_reader *r, char *const *files, ssize_t i, ssize_t step)
{
        ssize_t n = (ssize_t)strv_len(files);

        for (; i >= 0 && i < n; i += step) {
                int result = open_file(r, files[i]);

                if (result == 0 || result == -ENOMEM)
                        return result;
                if (result != -ENOENT)
                        log_warn(result, "Passing over log file '%s'", files[i]);
        }
        return 1;
}

/* Opens the file before the one that is open. 1: there is none. */
static int open_older(struct log_reader *r)
{
        _cleanup_strv_ char **files = NULL;
        int n = list_files(r, &files);
        ssize_t at;

        if (n < 0)
                return n;
        at = find_open_file(r, files);
        return at <= 0 ? 1 : open_from(r, files, at - 1, -1);
}

/* Opens the file after the one that is open. 1: there is none. */
static int open_newer(struct log_reader *r)
{
        _cleanup_strv_ char **files = NULL;
        int n = list_files(r, &files);
        ssize_t at;

        if (n < 0)
                return n;
        at = r->source ? find_open_file(r, files) : -1;
        /* Ours is gone: older ones may be read again, and what was shown is left out. */
        if (at < 0 && r->last_time[0])
                (void)time_parse(r->last_time, &r->skip_usec);
        return open_from(r, files, at + 1, 1);
}

/* The buffer is only there while it holds something. */
static void give_back_buffer(struct log_reader *r)
{
        if (r->len == 0)
                free(TAKE_PTR(r->buf));
}

static int need_buffer(struct log_reader *r)
{
        if (!r->buf)
                r->buf = malloc(BUFFER_SIZE);
        return r->buf ? 0 : -ENOMEM;
}

/* Has the record been shown before a gap? Notes its time. */
static bool is_repeated(struct log_reader *r, const struct log_record *record)
{
        usec_t at;

        if (r->skip_usec > 0) {
                if (log_record_usec(record, &at) < 0 || at <= r->skip_usec)
                        return true;
                r->skip_usec = 0;
        }
        if (r->follow) {
                memcpy(r->last_time, record->time, record->time_len);
                r->last_time[record->time_len] = '\0';
        }
        return false;
}

/* Returns false when no more is to be shown. */
static bool take_line(struct log_reader *r, const char *line, size_t n, struct strbuf *out)
{
        struct log_record record;

        if (r->skip_lines > 0) {
                r->skip_lines--;
                return true;
        }
        if (r->records_left == 0)
                return false;
        if (log_line_parse(line, n, &record) < 0 || is_repeated(r, &record))
                return true;
        if (r->records_left != UINT64_MAX)
                r->records_left--;
        return log_filter_add(&r->filter, &record, out) == LOG_FILTER_GO_ON;
}

/* Takes whole lines from the buffer. Returns false when no more is to be shown. */
static bool take_lines(struct log_reader *r, struct strbuf *out)
{
        size_t at = 0;
        bool go_on = true;

        while (go_on) {
                char *newline = memchr(r->buf + at, '\n', r->len - at);
                size_t n;

                if (!newline)
                        break;
                n = (size_t)(newline - r->buf) + 1 - at;
                if (!r->discarding)
                        go_on = take_line(r, r->buf + at, n, out);
                r->discarding = false;
                at += n;
        }
        memmove(r->buf, r->buf + at, r->len - at);
        r->len -= at;
        if (r->len == BUFFER_SIZE) {
                r->discarding = true;
                r->len = 0;
        }
        return go_on;
}

/* Hands @out to the sink. Returns false when the reader has to pause or stop. */
static bool put(struct log_reader *r, const struct strbuf *out)
{
        ssize_t waiting;

        if (out->len == 0)
                return true;
        waiting = r->ops->write(out->data, out->len, r->userdata);
        if (waiting < 0)
                r->state = STATE_DONE;
        return waiting >= 0 && waiting <= LOG_SINK_FULL;
}

/* At most @max bytes of what the file has more. 0: its end, as far as it concerns us. */
static ssize_t fill_buffer(struct log_reader *r)
{
        size_t room = BUFFER_SIZE - r->len;
        off_t at = log_source_position(r->source);
        ssize_t n;

        if (!log_source_is_compressed(r->source) && r->stop_at >= 0 && streq(r->name, r->base)) {
                if (at >= r->stop_at)
                        return 0;
                room = MIN(room, (size_t)(r->stop_at - at));
        }
        n = log_source_read(r->source, r->buf + r->len, room);
        if (n > 0)
                r->len += (size_t)n;
        return n;
}

/* The file's last bytes have no newline. Behind them nothing of it will follow. */
static bool take_remainder(struct log_reader *r, struct strbuf *out)
{
        bool go_on = r->len == 0 || r->discarding || take_line(r, r->buf, r->len, out);

        r->len = 0;
        r->discarding = false;
        return go_on;
}

static void read_failed(struct log_reader *r, int error)
{
        _cleanup_err_ struct err err = { 0 };

        err_sys(&err, error, "read log file '%s'", r->name ? r->name : r->base);
        finish(r, &err);
}

/* Does the name of the current file now belong to another one, or to none? */
static bool is_rotated(const struct log_reader *r)
{
        struct stat st;

        if (!streq(r->name, r->base))
                return true;
        return fstatat(r->dir_fd, r->base, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
               st.st_ino != log_source_inode(r->source);
}

/* Our descriptor keeps the folder from being deleted for good, so that inotify does not tell. */
static bool is_folder_gone(const struct log_reader *r)
{
        struct stat st;

        return fstat(r->dir_fd, &st) < 0 || st.st_nlink == 0;
}

static void end_of_log(struct log_reader *r)
{
        if (r->follow && r->is_running && !is_folder_gone(r)) {
                give_back_buffer(r);
                r->state = STATE_WAIT;
        } else {
                finish(r, NULL);
        }
}

/* Goes on in the next file, if there is one yet. */
static void go_to_newer(struct log_reader *r)
{
        int n = open_newer(r);

        if (n < 0)
                read_failed(r, n);
        else if (n == 0)
                schedule(r);
        else
                end_of_log(r);
}

/*
 * Nothing more to read for now. Whether the file was rotated, or the container has ended, is looked
 * at first and the file read once more after it: what was written before then is not missed.
 */
static void end_of_file(struct log_reader *r)
{
        bool is_last = !r->follow && streq(r->name, r->base);
        bool may_leave = is_last || is_rotated(r) || !r->is_running || !r->follow;
        _cleanup_strbuf_ struct strbuf out = { 0 };
        bool go_on;

        if (may_leave && !r->at_end_once && !is_last) {
                r->at_end_once = true;
                schedule(r);
                return;
        }
        r->at_end_once = false;
        if (!may_leave) {
                end_of_log(r);
                return;
        }
        go_on = take_remainder(r, &out);
        if (!put(r, &out) && r->state == STATE_DONE)
                return;
        if (!go_on || is_last)
                finish(r, NULL);
        else if (is_rotated(r))
                go_to_newer(r);
        else
                end_of_log(r);
}

static void step_read(struct log_reader *r)
{
        _cleanup_strbuf_ struct strbuf out = { 0 };
        bool go_on = r->records_left > 0;
        ssize_t n = 1;

        if (need_buffer(r) < 0) {
                read_failed(r, -ENOMEM);
                return;
        }
        for (size_t done = 0; go_on && done < SLICE; done += (size_t)n) {
                n = fill_buffer(r);
                if (n <= 0)
                        break;
                r->at_end_once = false;
                go_on = take_lines(r, &out);
        }
        if (out.failed) {
                read_failed(r, -ENOMEM);
                return;
        }
        if (!put(r, &out)) {
                if (!go_on && r->state != STATE_DONE)
                        finish(r, NULL);
                return; /* the sink is full, log_reader_resume() comes back; or it is closed */
        }
        if (!go_on) {
                finish(r, NULL);
        } else if (n > 0) {
                schedule(r);
        } else if (n == -EBADMSG) { /* a damaged compressed file must not hide the newer ones */
                log_warn(0, "Log file '%s' is damaged, going on with the next one", r->name);
                r->len = 0;
                end_of_file(r);
        } else if (n < 0) {
                read_failed(r, (int)n);
        } else {
                end_of_file(r);
        }
}

/* The last lines begin in the file that is open. */
static void begin_reading(struct log_reader *r)
{
        r->state = STATE_READ;
        r->len = 0;
        schedule(r);
}

/* All of the open file belongs to the last lines: what is missing is in older ones. */
static void tail_in_older(struct log_reader *r)
{
        int n = open_older(r);

        if (n < 0) {
                read_failed(r, n);
                return;
        }
        if (n == 1) {
                /* There are fewer lines than asked for. */
                if (log_source_is_compressed(r->source))
                        (void)open_file(r, r->name);
                else
                        log_source_seek(r->source, 0);
                begin_reading(r);
                return;
        }
        r->tail_at = log_source_size(r->source);
        r->n_lines = 0;
        schedule(r);
}

static void tail_plain(struct log_reader *r)
{
        for (size_t done = 0; done < SLICE && r->tail_at > 0; done += BUFFER_SIZE) {
                off_t from = r->tail_at > BUFFER_SIZE ? r->tail_at - BUFFER_SIZE : 0;
                ssize_t n = log_source_read_at(r->source, r->buf, (size_t)(r->tail_at - from),
                                               from);
                size_t offset;

                if (n < 0) {
                        read_failed(r, (int)n);
                        return;
                }
                if (log_tail_search(r->buf, (size_t)n, &r->tail, &offset)) {
                        log_source_seek(r->source, from + (off_t)offset);
                        begin_reading(r);
                        return;
                }
                r->tail_at = from;
        }
        if (r->tail_at > 0)
                schedule(r);
        else
                tail_in_older(r);
}

static uint64_t count_newlines(const char *s, size_t n)
{
        uint64_t count = 0;

        for (const char *end = s + n; (s = memchr(s, '\n', (size_t)(end - s))); s++)
                count++;
        return count;
}

/* gzip goes forwards only: all its lines are counted, then those before the last ones skipped. */
static void tail_compressed(struct log_reader *r)
{
        ssize_t n = 1;

        for (size_t done = 0; done < SLICE && n > 0; done += (size_t)n) {
                n = log_source_read(r->source, r->buf, BUFFER_SIZE);
                if (n > 0)
                        r->n_lines += count_newlines(r->buf, (size_t)n);
        }
        if (n > 0) {
                schedule(r);
        } else if (n < 0 && n != -EBADMSG) {
                read_failed(r, (int)n);
        } else if (r->n_lines <= r->tail) {
                r->tail -= r->n_lines;
                tail_in_older(r);
        } else {
                /* Gone meanwhile: reading goes on at its end, in the next one. */
                r->skip_lines = open_file(r, r->name) < 0 ? 0 : r->n_lines - r->tail;
                begin_reading(r);
        }
}

static int on_work(sd_event_source _unused_ *source, void *userdata)
{
        struct log_reader *r = userdata;

        if (r->state == STATE_WAIT)
                r->state = STATE_READ;
        if (r->state == STATE_DONE)
                return 0;
        if (!r->source) /* the current file was not there yet */
                go_to_newer(r);
        else if (r->state == STATE_READ)
                step_read(r);
        else if (need_buffer(r) < 0)
                read_failed(r, -ENOMEM);
        else if (log_source_is_compressed(r->source))
                tail_compressed(r);
        else
                tail_plain(r);
        return 0;
}

static int on_watch(sd_event_source _unused_ *source, const struct inotify_event *e, void *userdata)
{
        struct log_reader *r = userdata;

        if (e->mask & (IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT))
                r->is_running = false; /* the folder goes with the pod */
        if (r->state == STATE_WAIT)
                schedule(r);
        return 0;
}

static int on_poll(sd_event_source *source, uint64_t _unused_ usec, void *userdata)
{
        struct log_reader *r = userdata;

        if (r->state == STATE_WAIT)
                schedule(r);
        sd_event_source_set_time_relative(source, POLL_USEC);
        sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

static int start_watching(struct log_reader *r, sd_event *event)
{
        int n;

        if (!r->follow || !r->is_running)
                return 0;
        n = sd_event_add_inotify_fd(event, &r->watch, r->dir_fd, WATCH_MASK, on_watch, r);
        if (n >= 0)
                return 0;
        log_warn(n, "No inotify watch for a log, looking once a second");
        n = sd_event_add_time_relative(event, &r->poll, CLOCK_MONOTONIC, POLL_USEC, 0, on_poll, r);
        return n < 0 ? n : 0;
}

/* The first file that was written to since then: whatever is older ends before it. */
static ssize_t first_since(const struct log_reader *r, char *const *files)
{
        struct stat st;
        ssize_t i = 0;

        while (files && files[i] && files[i + 1] &&
               fstatat(r->dir_fd, files[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               (usec_t)st.st_mtime < r->filter.since_usec / USEC_PER_SEC)
                i++;
        return i;
}

/* Opens the newest file for the search of the last lines, or the oldest one. */
static int open_first(struct log_reader *r)
{
        _cleanup_strv_ char **files = NULL;
        bool from_end = r->tail != UINT64_MAX;
        int n = list_files(r, &files);

        if (n < 0)
                return n;
        if (from_end)
                n = open_from(r, files, (ssize_t)strv_len(files) - 1, -1);
        else
                n = open_from(r, files, first_since(r, files), 1);
        if (n < 0)
                return n;
        r->state = from_end && n == 0 ? STATE_TAIL : STATE_READ;
        if (n == 1)
                return r->follow && r->is_running ? 0 : -ENOENT;
        r->tail_at = log_source_size(r->source);
        return 0;
}

/* Not following: what is written from now on is not read. */
static void note_end(struct log_reader *r)
{
        struct stat st;

        r->stop_at = -1;
        if (!r->follow && fstatat(r->dir_fd, r->base, &st, AT_SYMLINK_NOFOLLOW) == 0)
                r->stop_at = st.st_size;
}

int log_reader_new(sd_event *event, int dir_fd, const char *base, const struct log_options *options,
                   bool is_running, const struct log_reader_ops *ops, void *userdata,
                   struct log_reader **ret, struct err *err)
{
        _cleanup_(log_reader_freep)
        struct log_reader *r = malloc(sizeof *r);
        int n;

        if (!r) {
                safe_close(dir_fd);
                return -ENOMEM;
        }
        *r = (struct log_reader){
                .ops = ops,
                .userdata = userdata,
                .dir_fd = dir_fd,
                .follow = options->follow,
                .is_running = is_running,
                .tail = options->tail,
                .records_left = options->follow ? UINT64_MAX : options->tail,
                .filter = { .since_usec = options->since_usec,
                            .streams = options->streams,
                            .timestamps = options->timestamps,
                            .left = options->limit_bytes },
        };
        r->base = strdup(base);
        if (!r->base)
                return -ENOMEM;
        n = start_watching(r, event);
        if (n >= 0)
                n = sd_event_add_defer(event, &r->work, on_work, r);
        if (n < 0)
                return err_sys(err, n, "log '%s'", base);
        note_end(r);
        n = open_first(r);
        if (n < 0)
                return err_sys(err, n, "log '%s'", base);
        *ret = TAKE_PTR(r);
        return 0;
}

struct log_reader *log_reader_free(struct log_reader *r)
{
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->work);
        sd_event_source_disable_unref(r->watch);
        sd_event_source_disable_unref(r->poll);
        log_source_free(r->source);
        safe_close(r->dir_fd);
        free(r->base);
        free(r->name);
        free(r->buf);
        free(r);
        return NULL;
}

void log_reader_resume(struct log_reader *r)
{
        if (r->state != STATE_DONE)
                schedule(r);
}

void log_reader_container_ended(struct log_reader *r)
{
        r->is_running = false;
        if (r->state == STATE_WAIT)
                schedule(r);
}
