/*
 * A seccomp profile compiled to the kernel's filter program: libseccomp's, behind a prologue of
 * ours for the system calls that libseccomp does not know. Blocks for tens of milliseconds: meant
 * for a child process (seccomp-store.c).
 */
#pragma once
#include <linux/filter.h>

#include "runtime/oci-spec.h"

/**
 * seccomp_compile() - the program for this machine's architectures
 * @ret: owned; *ret_n instructions
 * Return: 0; -EINVAL and the rule that cannot be compiled; -E2BIG; -ENOMEM.
 */
int seccomp_compile(const struct oci_seccomp *profile, struct sock_filter **ret, size_t *ret_n,
                    struct err *err);
