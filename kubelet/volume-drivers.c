#include "kubelet/volume-drivers.h"

#include <errno.h>
#include <stdlib.h>

#include "kubelet/csi.h"
#include "kubelet/volume-csi.h"
#include "kubelet/volume-local.h"
#include "kubelet/volume-nfs.h"

struct volume_drivers {
        struct node_volumes *volumes;
        struct csi *csi;                     /* NULL: standalone */
        struct volume_csi_kind *csi_volumes; /* likewise */
        const char *(*node_uid)(void *userdata);
        void *userdata;
};

/* A driver or a CSIDriver object came, went or changed. */
static void on_csi_changed(void *userdata)
{
        struct volume_drivers *d = userdata;

        if (d->volumes)
                node_volumes_driver_changed(d->volumes, VOLUME_SPEC_CSI);
}

static const char *on_node_uid(void *userdata)
{
        const struct volume_drivers *d = userdata;

        return d->node_uid(d->userdata);
}

static int start_csi(struct volume_drivers *d, sd_event *event,
                     const struct volume_drivers_options *o, struct err *err)
{
        const struct csi_options options = { .session = o->session,
                                             .root_dir = o->root_dir,
                                             .node_name = o->node_name,
                                             .node_uid = on_node_uid,
                                             .on_changed = on_csi_changed,
                                             .userdata = d };
        struct volume_csi_options volumes = { .event = event,
                                              .session = o->session,
                                              .root_dir = o->root_dir,
                                              .node_name = o->node_name };
        int r;

        r = csi_new(event, &options, &d->csi, err);
        volumes.csi = d->csi;
        return r < 0 ? r : volume_csi_new(&volumes, &d->csi_volumes, err);
}

static int add_drivers(struct volume_drivers *d, sd_event *event, struct err *err)
{
        const struct {
                enum volume_spec_kind kind;
                const struct volume_driver *ops;
                void *driver;
        } drivers[] = {
                { VOLUME_SPEC_HOST_PATH, &volume_host_path_driver, event },
                { VOLUME_SPEC_LOCAL, &volume_local_driver, event },
                { VOLUME_SPEC_NFS, &volume_nfs_driver, event },
                { VOLUME_SPEC_CSI, &volume_csi_driver, d->csi_volumes },
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(drivers) && r == 0; i++)
                if (drivers[i].driver)
                        r = node_volumes_add_driver(d->volumes, drivers[i].kind, drivers[i].ops,
                                                    drivers[i].driver, err);
        return r;
}

int volume_drivers_new(sd_event *event, const struct volume_drivers_options *options,
                       struct volume_drivers **ret, struct err *err)
{
        const struct node_volumes_options volumes = { .root_dir = options->root_dir,
                                                      .node_name = options->node_name,
                                                      .on_in_use_changed =
                                                              options->on_in_use_changed,
                                                      .userdata = options->userdata };
        _cleanup_(volume_drivers_freep)
        struct volume_drivers *d = calloc(1, sizeof *d);
        int r = d ? 0 : err_sys(err, -ENOMEM, "start the volume drivers");

        if (r < 0)
                return r;
        d->node_uid = options->node_uid;
        d->userdata = options->userdata;
        if (options->session)
                r = start_csi(d, event, options, err);
        if (r == 0)
                r = node_volumes_new(event, &volumes, &d->volumes, err);
        if (r == 0)
                r = add_drivers(d, event, err);
        if (r == 0)
                r = node_volumes_observe(d->volumes, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}

struct volume_drivers *volume_drivers_free(struct volume_drivers *d)
{
        if (!d)
                return NULL;
        node_volumes_free(d->volumes);
        volume_csi_free(d->csi_volumes);
        csi_free(d->csi);
        free(d);
        return NULL;
}

struct node_volumes *volume_drivers_volumes(const struct volume_drivers *d)
{
        return d->volumes;
}
