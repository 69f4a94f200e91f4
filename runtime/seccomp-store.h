/*
 * Compiled seccomp programs by profile. Compiling takes tens of milliseconds (libseccomp, three
 * ABIs), so it is done by a child process, once per profile and version of Skiff: the program is
 * kept in <run_dir>/seccomp and, once asked for, as an open descriptor.
 */
#pragma once
#include "runtime/runtime-internal.h"

struct seccomp_store; /* opaque */

int seccomp_store_new(struct runtime *rt, struct seccomp_store **ret, struct err *err);
/* Who waits is called with -ECANCELED. */
struct seccomp_store *seccomp_store_free(struct seccomp_store *s);
DEFINE_CLEANUP(struct seccomp_store *, seccomp_store_free)

/* @fd: the bare sock_filter array in a sealed file; borrowed for the callback. */
typedef void (*seccomp_done_fn)(int r, int fd, const struct err *err, void *userdata);
/**
 * seccomp_store_get() - the program of a profile
 * Return: 1: *ret_fd is it (borrowed, until the loop runs again); 0: it is being made, and @done
 * comes; a negative errno: the profile cannot be compiled (ERR_CONTAINER_CONFIG).
 */
int seccomp_store_get(struct seccomp_store *s, const struct oci_seccomp *profile,
                      seccomp_done_fn done, void *userdata, int *ret_fd, struct err *err);
