/*
 * The CSI drivers that have registered with this node: where each listens, what it can do. Calls to
 * them go through here. Source: pkg/volume/csi/csi_plugin.go, csi_client.go.
 */
#pragma once
#include "base/grpc.h"
#include "kubelet/csi-node.h"
#include "kubelet/plugin-registry.h"

struct csi_drivers; /* opaque */

struct csi_drivers_options {
        struct csi_node *node;              /* borrowed; NULL: there is no API to tell */
        void (*on_changed)(void *userdata); /* one came or went */
        void *userdata;
};
int csi_drivers_new(sd_event *event, const struct csi_drivers_options *options,
                    struct csi_drivers **ret, struct err *err);
struct csi_drivers *csi_drivers_free(struct csi_drivers *d); /* no call may be under way */
DEFINE_CLEANUP(struct csi_drivers *, csi_drivers_free)
/* For plugin_registry_new(), with the drivers as its "kind". */
extern const struct plugin_kind csi_plugin_kind;

/* What it could do when it was asked last: enum csi_capability; 0: not known. */
uint32_t csi_driver_capabilities(const struct csi_drivers *d, const char *driver);
void csi_driver_set_capabilities(struct csi_drivers *d, const char *driver, uint32_t capabilities);
/* Names of those that are registered, sorted; owned. */
char **csi_drivers_names(const struct csi_drivers *d);

/**
 * csi_call() - one call of service csi.v1.Node
 * @call: CSI_METHOD("NodeStageVolume")
 * Return: 0: @done comes; -EAGAIN with the kubelet's sentence: the driver is not registered.
 */
int csi_call(struct csi_drivers *d, const char *driver, const char *call,
             const struct strbuf *message, grpc_done_fn done, void *userdata,
             struct grpc_call **ret, struct err *err);
/* May what such a call was to do have happened all the same? The kubelet's "uncertain". */
bool csi_is_uncertain(enum grpc_code code);
