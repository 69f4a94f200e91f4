/* Limits of a running container changed: in its cgroup, in its config.json, in its record. */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"

static int write_config(struct container *c, const struct oci_resources *resources)
{
        _cleanup_free_ char *path = text_printf("%s.json", c->id), *text = NULL;
        json_auto_t *config = NULL;
        int r = path ? container_inspect(c->rt, c->id, &config, NULL) : -ENOMEM;

        if (r == -ENOENT)
                return 0; /* it went with a reboot */
        if (r == 0)
                r = oci_config_update_resources(config, resources);
        text = r == 0 ? json_dumps(config, JSON_COMPACT) : NULL;
        if (r == 0)
                r = text ? fs_replace_at(c->rt->configs_fd, path, text, strlen(text), 0600, false)
                         : -ENOMEM;
        return r;
}

static int set_label(struct container *c, const struct string_map_entry *label)
{
        char *value;

        for (size_t i = 0; i < c->labels.n; i++) {
                if (!streq(c->labels.entries[i].key, label->key))
                        continue;
                value = strdup(label->value);
                if (!value)
                        return -ENOMEM;
                free(c->labels.entries[i].value);
                c->labels.entries[i].value = value;
                return container_save(c);
        }
        return -ENOENT;
}

int container_update(struct runtime *rt, const char *container_id,
                     const struct oci_resources *resources, const struct string_map_entry *label,
                     struct err *err)
{
        struct container *c = container_get(rt, container_id);
        int r;

        if (!c || c->status.state != CONTAINER_RUNNING)
                return err_set_kind(err, -ESRCH, ERR_NOT_RUNNING, "container '%s' does not run",
                                    container_id);
        r = cgroup_update_container(rt->cgroups, c->cgroup_parent, c->id, resources, err);
        if (r < 0)
                return err_wrap(err, r, "update container '%s'", container_id);
        r = write_config(c, resources);
        if (r < 0)
                log_warn(r, "Failed to bring the config.json of container '%s' up to date",
                         container_id);
        r = label ? set_label(c, label) : 0;
        return r < 0 ? err_sys(err, r, "record container '%s'", container_id) : 0;
}
