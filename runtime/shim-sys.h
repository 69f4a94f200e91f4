/*
 * System calls that the static shim makes: thin, answering a negative errno, without a libc
 * wrapper in between where libc 2.36 has none, or where its header cannot stand beside the
 * kernel's (sys/mount.h and linux/mount.h).
 */
#pragma once
#include <errno.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
/* umount2(2); sys/mount.h has it, but clashes */
#define DETACH_MOUNT 2

static inline int sys_answer(long r)
{
        return r < 0 ? -errno : (int)r;
}

static inline int sys_clone3(const struct clone_args *args)
{
        return sys_answer(syscall(SYS_clone3, args, sizeof *args));
}

static inline int sys_openat2(int dir_fd, const char *path, const struct open_how *how)
{
        return sys_answer(syscall(SYS_openat2, dir_fd, path, how, sizeof *how));
}

static inline int sys_open_tree(int dir_fd, const char *path, unsigned flags)
{
        return sys_answer(syscall(SYS_open_tree, dir_fd, path, flags));
}

/* Attaches the mount @from on the place @to: both are handles, nothing is resolved again. */
static inline int sys_move_mount(int from, int to)
{
        return sys_answer(syscall(SYS_move_mount, from, "", to, "",
                                  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static inline int sys_fsopen(const char *type)
{
        return sys_answer(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
}

/* @value NULL: a flag. */
static inline int sys_fsconfig(int fs, const char *key, const char *value)
{
        return sys_answer(syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
                                  key, value, 0));
}

static inline int sys_fsconfig_fd(int fs, const char *key, int fd)
{
        return sys_answer(syscall(SYS_fsconfig, fs, FSCONFIG_SET_FD, key, NULL, fd));
}

static inline int sys_fscreate(int fs)
{
        return sys_answer(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

static inline int sys_fsmount(int fs, unsigned attributes)
{
        return sys_answer(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
}

static inline int sys_mount_setattr(int fd, unsigned flags, const struct mount_attr *attr)
{
        return sys_answer(
                syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, attr, sizeof *attr));
}

static inline int sys_mount(const char *source, const char *target, const char *type,
                            unsigned long flags, const char *data)
{
        return sys_answer(syscall(SYS_mount, source, target, type, flags, data));
}

static inline int sys_umount2(const char *target, int flags)
{
        return sys_answer(syscall(SYS_umount2, target, flags));
}

static inline int sys_pivot_root(const char *new_root, const char *put_old)
{
        return sys_answer(syscall(SYS_pivot_root, new_root, put_old));
}

static inline int sys_close_range(unsigned first, unsigned last)
{
        return sys_answer(syscall(SYS_close_range, first, last, 0));
}

static inline int sys_pidfd_send_signal(int pidfd, int signal)
{
        return sys_answer(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

static inline int sys_capset(const struct __user_cap_header_struct *head,
                             const struct __user_cap_data_struct *data)
{
        return sys_answer(syscall(SYS_capset, head, data));
}

static inline int sys_capget(struct __user_cap_header_struct *head,
                             struct __user_cap_data_struct *data)
{
        return sys_answer(syscall(SYS_capget, head, data));
}
