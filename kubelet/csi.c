#include "kubelet/csi.h"

#include <errno.h>

struct csi {
        struct csi_node *node;
        struct csi_drivers *drivers;
        struct csi_objects *objects;
        struct plugin_registry *plugins;
};

static int start(struct csi *c, sd_event *event, const struct csi_options *o, struct err *err)
{
        const struct csi_node_options node = { o->node_name, o->node_uid, o->userdata };
        struct csi_drivers_options drivers = { NULL, o->on_changed, o->userdata };
        _cleanup_free_ char *dir = text_printf("%s/plugins_registry", o->root_dir);
        int r = dir ? csi_node_new(o->session, &node, &c->node, err)
                    : err_sys(err, -ENOMEM, "start CSI");

        drivers.node = c->node;
        if (r == 0)
                r = csi_objects_new(o->session, o->on_changed, o->userdata, &c->objects, err);
        if (r == 0)
                r = csi_drivers_new(event, &drivers, &c->drivers, err);
        if (r == 0)
                r = plugin_registry_new(event, dir, &csi_plugin_kind, c->drivers, &c->plugins, err);
        return r;
}

int csi_new(sd_event *event, const struct csi_options *options, struct csi **ret, struct err *err)
{
        struct csi *c = calloc(1, sizeof *c);
        int r = c ? start(c, event, options, err) : err_sys(err, -ENOMEM, "start CSI");

        if (r < 0) {
                csi_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct csi *csi_free(struct csi *c)
{
        if (!c)
                return NULL;
        plugin_registry_free(c->plugins);
        csi_node_free(c->node);
        csi_drivers_free(c->drivers);
        csi_objects_free(c->objects);
        free(c);
        return NULL;
}

struct csi_drivers *csi_get_drivers(struct csi *c)
{
        return c->drivers;
}

struct csi_objects *csi_get_objects(struct csi *c)
{
        return c->objects;
}
