#include "kubelet/context.h"

#include <stdio.h>

struct event_object pod_event_object(const struct pod *pod, const struct pod_container *container,
                                     char path[static POD_FIELD_PATH_MAX])
{
        static const char *const lists[] = {
                [POD_CONTAINER_INIT] = "initContainers",
                [POD_CONTAINER_SIDECAR] = "initContainers",
                [POD_CONTAINER_REGULAR] = "containers",
                [POD_CONTAINER_EPHEMERAL] = "ephemeralContainers",
        };
        struct event_object o = {
                .kind = "Pod",
                .api_version = "v1",
                .namespace = pod->namespace,
                .name = pod->name,
                .uid = pod->uid,
                .resource_version = pod->resource_version,
        };

        if (container) {
                snprintf(path, POD_FIELD_PATH_MAX, "spec.%s{%s}", lists[container->kind],
                         container->name);
                o.field_path = path;
        }
        return o;
}
