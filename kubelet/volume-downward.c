/* Files of downward API volumes. Source: pkg/volume/downwardapi/downwardapi.go (CollectData). */
#include <string.h>

#include "kubelet/volume-payload.h"

static int add_item(struct payload *p, const struct pod_volume_item *item, const struct pod *pod,
                    const struct node_allocatable *node, int32_t default_mode, struct err *err)
{
        mode_t mode = (mode_t)(item->mode != POD_UNSET ? item->mode : default_mode);
        _cleanup_free_ char *text = NULL;
        int r;

        if (item->from.kind == POD_VALUE_RESOURCE)
                r = field_resource_value(pod, NULL, &item->from, node, &text, err);
        else
                r = field_path_value(pod, item->from.field_path, NULL, &text, err);
        return r < 0 ? r : payload_add(p, item->path, text, strlen(text), mode, err);
}

int payload_add_downward_api(struct payload *p, const struct pod_volume_source *source,
                             const struct pod *pod, const struct node_allocatable *node,
                             int32_t default_mode, struct err *err)
{
        for (size_t i = 0; i < source->n_items; i++) {
                int r = add_item(p, &source->items[i], pod, node, default_mode, err);

                if (r < 0)
                        return r;
        }
        return 0;
}
