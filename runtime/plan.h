/*
 * An OCI spec compiled into launch plans (launch-plan.h): the last place where a document is
 * interpreted, and where what Skiff cannot do is refused. Pure.
 *
 * Namespaces in the spec: with a path, that one is joined; without one, "pid" and "cgroup" are the
 * container's own, "network", "ipc" and "uts" are the sandbox's; an absent one is the host's, which
 * the sandbox must have been given too.
 *
 * Options of a mount, beyond the runtime-spec's: "x-skiff.create-source" makes a missing directory
 * at the source of a bind mount, as a hostPath volume without a type asks for;
 * "x-skiff.source=TYPE" insists on the type of the source (Directory, File, Socket, CharDevice,
 * BlockDevice), which is looked at in what is mounted. A tmpfs with source "shm" at /dev/shm is the
 * sandbox's. Type "image" mounts another image, read-only: its source is "sha256:<id>", or
 * "sha256:<id>/<path>" for a file or directory in it.
 */
#pragma once
#include "runtime/launch-plan.h"
#include "runtime/oci-spec.h"

struct plan_sandbox_options {
        const char *id, *hostname; /* hostname NULL: the host's */
        uint32_t flags;            /* PLAN_HOST_…, PLAN_SHARED_PID */
        uint64_t shm_size;
        const struct string_map *sysctls;     /* or NULL; names with dots or slashes */
        const struct plan_link *link;         /* NULL: the host's network */
        const struct plan_address *addresses; /* of the link */
        size_t n_addresses;
};
/* ERR_SANDBOX and the field. @w is the caller's to free in both cases. */
int plan_compile_sandbox(const struct plan_sandbox_options *o, struct plan_writer *w,
                         struct err *err);

struct plan_image {     /* that a mount of type "image" names */
        const char *id; /* "sha256:…" */
        char **layers;  /* topmost first, in the same layer_dir */
};

struct plan_container_options {
        const char *id;
        const struct oci_spec *spec;
        uint32_t sandbox_flags;          /* as given to plan_compile_sandbox() */
        const char *layer_dir;           /* NULL: spec->root_path is a plain directory */
        char *const *layers;             /* topmost first */
        const struct plan_image *images; /* all that mounts of the spec name */
        size_t n_images;
        const char *upper_dir, *log_path; /* log_path NULL: output is dropped */
        uint64_t log_max_size;
        uint32_t log_max_files;
        bool stdin_open, stdin_once;
        uint32_t stop_sec; /* time to end in when the machine goes down */
};
/* ERR_CONTAINER_CONFIG and the field's path. */
int plan_compile_container(const struct plan_container_options *o, struct plan_writer *w,
                           struct err *err);

/* Arguments alone: identity, environment and confinement of an exec are the container's own. */
int plan_compile_exec(const char *const *argv, struct plan_writer *w, struct err *err);

/* plan-mount.c: one mount of a spec into a record of the plan. */
int plan_add_mount(struct plan_writer *w, const struct plan_container_options *o,
                   const struct oci_mount *m, struct err *err);
