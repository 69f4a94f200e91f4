/*
 * Reads a container's log as /containerLogs and `skiff logs` show it: the last lines or all, across
 * rotated files, then follows what is appended until the container has ended.
 *
 * It works in slices from the loop, so that a long log holds nobody up; it stops while the sink is
 * full and goes on when told; it keeps no more than one record in memory. Following is by inotify
 * on the folder. Rotation is noticed by the name belonging to another file; which file comes next
 * is found in the folder again, since files are renamed, compressed and removed at any time.
 */
#pragma once
#include <systemd/sd-event.h>

#include "kubelet/log-line.h"

struct log_reader; /* opaque */

struct log_reader_ops {
        /* Takes the bytes. Returns how many are waiting at the sink; negative: it is closed, the
         * reader stops without a word. */
        ssize_t (*write)(const void *data, size_t n, void *userdata);
        /* Called once, from the loop, when all was written; @err NULL, or why it broke off. The
         * reader may be freed in it. */
        void (*done)(const struct err *err, void *userdata);
};

enum { LOG_SINK_FULL = 256 * 1024 }; /* more than this waiting: log_reader_resume() goes on */

/**
 * log_reader_new() - starts from the loop; nothing is written before this returns
 * @dir_fd:     the container's log folder; owned from now on, also on failure
 * @base:       "0.log"; copied
 * @is_running: without it, following ends where the log ends
 * Return: 0; -ENOENT when there is no file yet and nothing to follow; other negative errno.
 */
int log_reader_new(sd_event *event, int dir_fd, const char *base, const struct log_options *options,
                   bool is_running, const struct log_reader_ops *ops, void *userdata,
                   struct log_reader **ret, struct err *err);
struct log_reader *log_reader_free(struct log_reader *r);
DEFINE_CLEANUP(struct log_reader *, log_reader_free)
/* The sink has room again. */
void log_reader_resume(struct log_reader *r);
/* The container has ended, all it wrote is in the files: the reader finishes with what is there. */
void log_reader_container_ended(struct log_reader *r);
