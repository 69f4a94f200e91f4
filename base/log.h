/*
 * Log lines that carry pod and container. Nothing else in the daemons prints.
 *
 * Under systemd the lines go to the journal with the fields POD, NAMESPACE, POD_UID, CONTAINER and
 * ERRNO; elsewhere to standard error as text, each with its time, level and "ns/pod[container]: ".
 */
#pragma once
#include <syslog.h>

#include "base/cleanup.h"

/* For whom a line is; members may be NULL, and the whole pointer too. */
struct log_ids {
        const char *pod, *namespace, *pod_uid, *container;
};

/* Opens the log; @level: LOG_DEBUG to LOG_ERR are shown. @identifier is static. */
void log_open(const char *identifier, int level);
void log_set_level(int level);
int log_level_parse(const char *text); /* "debug", "info", "warning", "error"; -EINVAL */

/* @r: negative errno to append ("…: No such file or directory") or 0. */
void log_full(const struct log_ids *ids, int level, int r, const char *fmt, ...) _printf_(4, 5);

#define log_debug(...)    log_full(NULL, LOG_DEBUG, 0, __VA_ARGS__)
#define log_info(...)     log_full(NULL, LOG_INFO, 0, __VA_ARGS__)
#define log_notice(...)   log_full(NULL, LOG_NOTICE, 0, __VA_ARGS__)
#define log_warn(r, ...)  log_full(NULL, LOG_WARNING, (r), __VA_ARGS__)
#define log_error(r, ...) log_full(NULL, LOG_ERR, (r), __VA_ARGS__)
#define log_oom()         log_full(NULL, LOG_ERR, 0, "Out of memory")
