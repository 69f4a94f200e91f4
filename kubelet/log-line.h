/*
 * Container logs, the pure half: one record of the CRI log format taken apart, filtered and written
 * as the kubelet answers it; the search for the last N lines; the query of /containerLogs.
 *
 *      2006-01-02T15:04:05.000000000Z stdout F a whole line
 *      2006-01-02T15:04:05.000000000Z stderr P the beginning of a longer one
 *
 * Source: k8s.io/cri-client/pkg/logs.
 */
#pragma once
#include "base/err.h"
#include "base/text.h"
#include "base/usec.h"

enum log_stream { LOG_STDOUT = 1, LOG_STDERR = 2, LOG_ALL = LOG_STDOUT | LOG_STDERR };

enum { LOG_TIME_MAX = 35 }; /* date, point, nine digits, "+00:00" */

struct log_record {
        const char *time; /* all borrowed from the line; RFC 3339, at most LOG_TIME_MAX */
        size_t time_len;
        enum log_stream stream;
        bool is_partial;     /* the line goes on in the next record */
        const char *content; /* with its newline, unless partial or cut off */
        size_t content_len;
};

/* @line: with its newline, or without at the end of a file. -EINVAL when it is no CRI record. */
int log_line_parse(const char *line, size_t n, struct log_record *ret);
/* CLOCK_REALTIME. -EINVAL or -ERANGE when it is no time since 1970. */
int log_record_usec(const struct log_record *record, usec_t *ret);

/* What of the records is shown, and how. */
struct log_filter {
        usec_t since_usec; /* older ones are not; 0: all */
        enum log_stream streams;
        bool timestamps; /* before each line, nine digits of the second */
        uint64_t left;   /* bytes still to be written, timestamps included; UINT64_MAX: no limit */
        bool in_line;    /* { false }: the next record begins a line */
};
enum log_filter_result {
        LOG_FILTER_GO_ON,
        LOG_FILTER_FULL, /* the last allowed byte was written */
};
/* Appends what is shown of @record to @out. */
enum log_filter_result log_filter_add(struct log_filter *f, const struct log_record *record,
                                      struct strbuf *out);

/*
 * The last N lines of a file that is read backwards in blocks: give each block, and the number of
 * lines still to find. Return: true and the offset in the block where those lines begin; false:
 * look at the block before it, *left counts down.
 */
bool log_tail_search(const char *block, size_t n, uint64_t *left, size_t *ret_offset);

/* v1.PodLogOptions as far as the kubelet looks at them. */
struct log_options {
        bool follow, previous, timestamps;
        uint64_t tail;        /* lines; UINT64_MAX: all */
        uint64_t limit_bytes; /* UINT64_MAX: none */
        usec_t since_usec;    /* CLOCK_REALTIME; 0: all */
        enum log_stream streams;
};
/**
 * log_options_parse() - the query of /containerLogs
 * @get: value of a query parameter, or NULL
 * @now: CLOCK_REALTIME, for sinceSeconds
 * @err: names parameter, value and rule
 * Return: 0, or the status to refuse with: 400 (does not parse) or 422 (breaks a rule).
 */
int log_options_parse(const char *(*get)(const void *userdata, const char *key),
                      const void *userdata, usec_t now, struct log_options *ret, struct err *err);

/*
 * The files of one container instance among the names in its folder, oldest first: "0.log.<time>",
 * "0.log.<time>.gz", then "0.log" itself. Of a file beside its compressed copy the copy is left
 * out, since it may be half written. @base: "0.log". 0 or -ENOMEM.
 */
int log_files_select(char *const *names, const char *base, char ***ret);
/* Are @a and @b the same rotated file, before and after compression? Never true for @base. */
bool log_file_is_same(const char *a, const char *b, const char *base);
