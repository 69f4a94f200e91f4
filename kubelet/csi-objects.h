/*
 * The CSIDriver objects of the API, watched from the first time that somebody asks for one: a node
 * without CSI volumes has no watch.
 */
#pragma once
#include "base/kube-watch.h"
#include "kubelet/csi-driver-object.h"

struct csi_objects; /* opaque */

int csi_objects_new(struct kube_session *session, void (*on_changed)(void *userdata),
                    void *userdata, struct csi_objects **ret, struct err *err);
struct csi_objects *csi_objects_free(struct csi_objects *o);
DEFINE_CLEANUP(struct csi_objects *, csi_objects_free)
/**
 * csi_objects_find()
 * @ret: borrowed until the loop goes on; NULL: there is none of that name
 * Return: 0; -EAGAIN with a sentence: it is not known yet; on_changed comes when it is.
 */
int csi_objects_find(struct csi_objects *o, const char *driver,
                     const struct csi_driver_object **ret, struct err *err);
