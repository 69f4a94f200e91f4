/*
 * Seccomp profiles as values: the default one for a capability set, and the kernel's calls that are
 * newer than libseccomp. Pure. Localhost profiles are read by seccomp-localhost.c.
 *
 * Source: containerd's default profile, which Kubernetes calls RuntimeDefault, as facts.
 */
#pragma once
#include "runtime/oci-spec.h"

/* One rule for all the names in @names (separated by blanks). */
int seccomp_profile_add(struct oci_seccomp *s, const char *names, uint32_t action,
                        int32_t errno_ret, const struct oci_seccomp_arg *arg);
/* Names, each followed by one blank; see the comments in seccomp-default.c. */
extern const char seccomp_always_allowed[];
struct seccomp_by_capability {
        uint64_t capabilities; /* any of these */
        const char *names;
};
extern const struct seccomp_by_capability seccomp_by_capabilities[]; /* ended by NULL names */

/* A system call that this version of libseccomp may not know. */
struct seccomp_newer_call {
        const char *name;
        uint32_t nr;
        bool x86_64_only; /* else the same number on every architecture (424 and above) */
};
extern const struct seccomp_newer_call seccomp_newer_calls[]; /* ended by a NULL name */

/* A profile document (changed by the call), for the capabilities the container has; *ret is the
 * caller's in both cases. -EINVAL and the field's path. */
int seccomp_localhost_parse(json_t *profile, uint64_t capabilities, struct oci_seccomp **ret,
                            struct err *err);
