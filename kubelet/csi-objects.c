#include "kubelet/csi-objects.h"

#include <errno.h>

#include "base/map.h"

struct csi_objects {
        struct kube_session *session; /* borrowed */
        void (*on_changed)(void *userdata);
        void *userdata;
        struct kube_watch *watch; /* owned; NULL: nobody asked yet */
        struct map *objects;      /* owned, and its values */
};

static void free_object(void *object)
{
        csi_driver_object_free(object);
}

static int on_event(enum kube_event event, const char *key, const json_t *json, void *userdata,
                    struct err *err)
{
        struct csi_objects *o = userdata;
        struct csi_driver_object *object = NULL;
        void *old = NULL;
        int r = 0;

        if (event == KUBE_DELETED) {
                csi_driver_object_free(map_remove(o->objects, key));
        } else {
                r = csi_driver_object_decode(json, &object, err);
                if (r == 0)
                        r = map_put(o->objects, key, object, &old);
                if (r < 0)
                        object = csi_driver_object_free(object);
                csi_driver_object_free(old);
        }
        if (kube_watch_is_synced(o->watch))
                o->on_changed(o->userdata);
        return r;
}

static void on_synced(void *userdata)
{
        struct csi_objects *o = userdata;

        o->on_changed(o->userdata);
}

static int start(struct csi_objects *o, struct err *err)
{
        static const struct kube_watch_ops ops = { on_event, on_synced };
        const struct kube_watch_options options = { .path = "/apis/storage.k8s.io/v1/csidrivers",
                                                    .what = "CSI drivers" };

        return o->watch ? 0 : kube_watch_new(o->session, &options, &ops, o, &o->watch, err);
}

int csi_objects_find(struct csi_objects *o, const char *driver,
                     const struct csi_driver_object **ret, struct err *err)
{
        int r = start(o, err);

        if (r < 0)
                return r;
        if (!kube_watch_is_synced(o->watch))
                return err_set(err, -EAGAIN, "the CSIDriver objects have not been read yet");
        *ret = map_get(o->objects, driver);
        return 0;
}

int csi_objects_new(struct kube_session *session, void (*on_changed)(void *userdata),
                    void *userdata, struct csi_objects **ret, struct err *err)
{
        _cleanup_(csi_objects_freep)
        struct csi_objects *o = calloc(1, sizeof *o);

        if (o)
                *o = (struct csi_objects){ session, on_changed, userdata, NULL, map_new() };
        if (!o || !o->objects)
                return err_sys(err, -ENOMEM, "start the CSIDriver objects");
        *ret = TAKE_PTR(o);
        return 0;
}

struct csi_objects *csi_objects_free(struct csi_objects *o)
{
        if (!o)
                return NULL;
        kube_watch_free(o->watch);
        map_free_with(o->objects, free_object);
        free(o);
        return NULL;
}
