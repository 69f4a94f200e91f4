/*
 * Who mounts volumes on this node: each driver, CSI's registered ones among them, and node-volumes,
 * which has them work. What an earlier skiffd left mounted is taken up with them.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/node-volumes.h"

struct volume_drivers; /* opaque */

struct volume_drivers_options {
        struct kube_session *session; /* borrowed; NULL: standalone, and no CSI */
        const char *root_dir;         /* /var/lib/kubelet; borrowed */
        const char *node_name;        /* borrowed */
        const char *(*node_uid)(void *userdata);
        void (*on_in_use_changed)(void *userdata); /* volumesInUse of the Node is another one */
        void *userdata;
};
int volume_drivers_new(sd_event *event, const struct volume_drivers_options *options,
                       struct volume_drivers **ret, struct err *err);
struct volume_drivers *volume_drivers_free(struct volume_drivers *d);
DEFINE_CLEANUP(struct volume_drivers *, volume_drivers_free)
struct node_volumes *volume_drivers_volumes(const struct volume_drivers *d); /* borrowed */
