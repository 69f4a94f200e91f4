#include "kubelet/local-limit.h"

#include <errno.h>
#include <inttypes.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/qos.h"

#define EPHEMERAL "ephemeral-storage"

static bool is_limited_volume(const struct pod_volume *v)
{
        return v->source.kind == POD_VOLUME_EMPTY_DIR && v->size_limit > 0 && *v->medium == '\0';
}

static const char *container_limit(const struct pod_container *c)
{
        return string_map_get(&c->resources.limits, EPHEMERAL);
}

bool local_limit_is_set(const struct pod *pod)
{
        const struct pod_container *c;

        for (size_t i = 0; i < pod->n_volumes; i++)
                if (is_limited_volume(&pod->volumes[i]))
                        return true;
        POD_FOREACH_CONTAINER(c, pod)
        {
                if (container_limit(c))
                        return true;
        }
        return string_map_get(&pod->resources.limits, EPHEMERAL) != NULL;
}

/* 1 and the message, or -ENOMEM. */
static int exceeded(char **ret_message, char *message)
{
        *ret_message = message;
        return message ? 1 : -ENOMEM;
}

static int check_volumes(const struct pod *pod, const struct pod_disk *disk, char **ret_message)
{
        for (size_t i = 0; i < pod->n_volumes; i++) {
                const struct pod_volume *v = &pod->volumes[i];
                const struct disk_usage *u = pod_disk_find(disk, POD_DISK_VOLUME, v->name);

                if (!is_limited_volume(v) || !u || u->bytes <= (uint64_t)v->size_limit)
                        continue;
                return exceeded(ret_message,
                                text_printf("Usage of EmptyDir volume \"%s\" exceeds the limit "
                                            "\"%s\". ",
                                            v->name, v->size_limit_text));
        }
        return 0;
}

/* A sum is written in the kind of suffix that its first part has. */
static const char *sum_text(const struct pod *pod, int64_t sum, char buf[static QUANTITY_TEXT_MAX])
{
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, pod)
        {
                const char *text = container_limit(c);

                if (text)
                        return quantity_format_like(sum, text, buf);
        }
        return quantity_format_bytes(sum, buf);
}

static int check_pod(const struct pod *pod, const struct pod_disk *disk, char **ret_message)
{
        _cleanup_(amounts_done)
        struct amounts limits = { 0 };
        char text[QUANTITY_TEXT_MAX];
        int64_t limit;

        if (pod_limits(pod, &limits) < 0)
                return -ENOMEM;
        limit = amounts_get(&limits, EPHEMERAL);
        if (limit == POD_UNSET || pod_disk_total(disk).bytes <= (uint64_t)limit)
                return 0;
        return exceeded(ret_message, text_printf("Pod ephemeral local storage usage exceeds the "
                                                 "total limit of containers %s. ",
                                                 sum_text(pod, limit, text)));
}

static int check_containers(const struct pod *pod, const struct pod_disk *disk, bool with_layers,
                            char **ret_message)
{
        for (size_t i = 0; i < pod->n_containers; i++) {
                const struct pod_container *c = &pod->containers[i];
                const struct disk_usage *logs = pod_disk_find(disk, POD_DISK_LOGS, c->name);
                const struct disk_usage *layer =
                        with_layers ? pod_disk_find(disk, POD_DISK_LAYER, c->name) : NULL;
                uint64_t used = (logs ? logs->bytes : 0) + (layer ? layer->bytes : 0);
                int64_t limit = pod_resource_value(&c->resources.limits, EPHEMERAL);

                if (limit == POD_UNSET || limit == 0 || used <= (uint64_t)limit)
                        continue;
                return exceeded(ret_message,
                                text_printf("Container %s exceeded its local ephemeral storage "
                                            "limit \"%s\". ",
                                            c->name, container_limit(c)));
        }
        return 0;
}

int local_limit_check(const struct pod *pod, const struct pod_disk *disk, bool with_layers,
                      char **ret_message)
{
        int r = check_volumes(pod, disk, ret_message);

        if (r == 0)
                r = check_pod(pod, disk, ret_message);
        if (r == 0)
                r = check_containers(pod, disk, with_layers, ret_message);
        return r;
}
