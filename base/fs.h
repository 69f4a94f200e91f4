/*
 * Files beneath a directory descriptor: read whole with a cap, replaced whole, removed as a tree
 * without crossing a mount. Whatever a tenant can write to is opened through fs_open_in_root() or
 * fs_open_beneath() only (openat2; never a joined path).
 */
#pragma once
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/**
 * fs_open_in_root() - resolve a tenant's path as a process chrooted to @root_fd would
 * @root_fd: O_PATH or directory descriptor; borrowed
 * @path:    absolute or relative; symbolic links stay below @root_fd
 * @flags:   as for open(2); O_CLOEXEC is added
 * @mode:    for O_CREAT
 * Retries EAGAIN (a rename race) for up to 5 ms, then fails closed.
 * Return: descriptor, or a negative errno.
 */
int fs_open_in_root(int root_fd, const char *path, uint64_t flags, mode_t mode);
/* As above, but a link that leads out of @dir_fd is -EXDEV instead of being re-rooted (subPath). */
int fs_open_inside(int dir_fd, const char *path, uint64_t flags, mode_t mode);
/* As above for trees only we should have written: no symbolic links, nothing above @dir_fd. */
int fs_open_beneath(int dir_fd, const char *path, uint64_t flags, mode_t mode);

/**
 * fs_read_at() - a whole small file
 * @max: more bytes than this are -EFBIG; regular files, /proc and /sys files, never a FIFO
 * @ret: NUL-terminated, owned by the caller; @ret_len may be NULL
 */
int fs_read_at(int dir_fd, const char *path, size_t max, char **ret, size_t *ret_len);
int fs_read_fd(int fd, size_t max, char **ret, size_t *ret_len);
/* The same, without the trailing newline. */
int fs_read_line_at(int dir_fd, const char *path, char **ret);

/* Replaces @path whole: temporary file beside it, fsync when @sync, rename. Never a half-written
 * file. */
int fs_replace_at(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync);
/* Writes to an existing kernel file (/proc, /sys, cgroup) in one write(2). */
int fs_write_kernel_at(int dir_fd, const char *path, const char *value);
int fs_write_all(int fd, const void *data, size_t n);

/* mkdir -p of a path that only we write (links are refused). What it makes has @mode whatever the
 * umask; existing directories are left as they are. */
int fs_mkdir_p_at(int dir_fd, const char *path, mode_t mode);
/* The same and then opens it O_DIRECTORY. Path of our own or of the administrator: links are
 * followed. */
int fs_open_dir(const char *path, mode_t mode_if_made, struct err *err);

/**
 * fs_remove_tree_at() - rm -rf by descriptor, without following links or crossing mounts
 * Return: 0, also when it does not exist; -EBUSY when something is mounted there or below; else
 * negative errno.
 */
int fs_remove_tree_at(int dir_fd, const char *path);

/* Names in a directory without "." and "..", sorted. */
int fs_list_at(int dir_fd, const char *path, char ***ret);

/* A sealed memfd holding @n bytes: cannot be changed by whoever gets it. */
int fs_sealed_memfd(const char *name, const void *data, size_t n);
/* "/proc/self/fd/N" of @fd, for the calls that know no descriptor. */
const char *fs_fd_path(int fd, char buf[static 32]);
