/*
 * How skiff-image's children are locked in, before they see the first foreign byte. Each function
 * runs once, in a child that was just forked as root, in the namespaces of its parent; after it the
 * process has what its work needs and nothing else. A child dies with its parent.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/**
 * sandbox_enter_fetcher() - the one that meets the network (or reads the archive)
 * An own user and group, no capabilities, no new privileges, /proc and /sys covered, no file
 * larger than some documents, and system calls that a network client needs: IP sockets only.
 * @parent: whose end is the end
 */
int sandbox_enter_fetcher(uint32_t uid, pid_t parent, struct err *err);

/**
 * sandbox_enter_unpacker() - the one that meets tar, gzip and zstd
 * The root is the layer's directory (mounted nodev, nosuid, noexec), capabilities are those that
 * set owners, modes and devices, and system calls those that read, write and make files; anything
 * else kills. No network, no mounts, no other processes.
 * @root_fd: the layer's directory; of no use after
 * Return: descriptor of the new root directory; negative errno.
 */
int sandbox_enter_unpacker(int root_fd, pid_t parent, struct err *err);

/* No seccomp and no memory limit with sanitizers, which need calls and memory of their own. */
#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED 1
#else
#define SANDBOX_SANITIZED 0
#endif
