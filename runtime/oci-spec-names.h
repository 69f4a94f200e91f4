/* Names in config.json and the values they stand for: shared by oci-spec's reader and writer. */
#pragma once
#include "runtime/oci-spec.h"

struct oci_name {
        const char *name;
        uint32_t value;
};
/* Ended by a NULL name. For a value with two names the first one read, the last one is written. */
extern const struct oci_name oci_seccomp_actions[];
extern const struct oci_name oci_seccomp_operators[];
extern const char *const oci_namespace_names[_OCI_NS_MAX + 1]; /* ended by NULL */
json_t *oci_seccomp_to_json(const struct oci_seccomp *s);      /* "linux.seccomp" by itself */
/* And back; *ret is set (and the caller's) in both cases. */
int oci_seccomp_parse(const json_t *object, struct oci_seccomp **ret, struct err *err);
