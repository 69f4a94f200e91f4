/* Between the files container-*.c that build one container's spec only. */
#pragma once
#include "base/map.h"
#include "kubelet/container-config.h"

/* Variables in the order they came, each name once. */
struct env {
        struct env_entry {
                char *name, *value; /* owned */
        } * entries;                /* owned */
        size_t n, cap;
        struct map *index; /* owned: name -> entry number + 1 */
};
void env_done(struct env *e);
const char *env_get(const struct env *e, const char *name); /* NULL: unknown */
/* A later value takes the place of an earlier one. 0 or -ENOMEM. */
int env_set(struct env *e, const char *name, const char *value);

/* What Kubernetes puts into the environment: envFrom, env, services; not the image's. @ret was
 * zeroed; env_done() in both cases. ERR_CONTAINER_CONFIG. */
int container_env_build(const struct container_input *in, struct env *ret, struct err *err);
/* process.args and process.env. */
int container_add_process(const struct container_input *in, struct oci_spec *spec, struct err *err);
int container_add_mounts(const struct container_input *in, struct oci_spec *spec, struct err *err);
/* Identity, capabilities, masks, devices, namespaces; which seccomp profile. */
int container_add_security(const struct container_input *in, struct container_output *out,
                           struct err *err);
int container_add_resources(const struct container_input *in, struct oci_spec *spec,
                            struct err *err);

static inline bool container_is_privileged(const struct pod_container *c)
{
        return c->security && c->security->privileged == 1;
}
