/*
 * The names of a CSI volume: of itself, of its VolumeAttachment, of its places below the kubelet's
 * root directory; and vol_data.json, which says after a restart whose it is.
 *
 * Source: pkg/volume/csi (csi_attacher.go, csi_block.go, csi_mounter.go, csi_util.go).
 */
#pragma once
#include "base/json.h"

#define CSI_PLUGIN "kubernetes.io/csi"
#define CSI_DIR    "plugins/" CSI_PLUGIN /* below the root directory */
#define CSI_DATA   "vol_data.json"

/* "kubernetes.io/csi/<driver>^<handle>"; owned, NULL without memory. */
char *csi_unique_name(const char *driver, const char *handle);
/* The same taken apart: -EINVAL when it is none; both are owned. */
int csi_split_unique_name(const char *name, char **ret_driver, char **ret_handle);
/* Of a volume that stands in the pod itself: "csi-<hash of pod and volume>"; owned. */
char *csi_inline_handle(const char *pod_uid, const char *volume);
/* "csi-<hash of volume, driver and node>"; owned. */
char *csi_attachment_name(const char *handle, const char *driver, const char *node);

/* Folders below the root directory, owned, NULL without memory. */
char *csi_staging_dir(const char *driver, const char *handle); /* the volume is in "globalmount" */
char *csi_block_staging_path(const char *spec_name);
char *csi_block_publish_dir(const char *spec_name); /* a pod's device is <this>/<pod uid> */
char *csi_block_data_dir(const char *spec_name);

struct csi_data { /* vol_data.json; "" for what is not there */
        char *spec_name, *handle, *driver, *node, *attachment, *mode; /* owned */
};
void csi_data_done(struct csi_data *d);
/* @dir: below @root_fd. 0; -ENOENT: there is none; -EINVAL names field and rule. */
int csi_data_read(int root_fd, const char *dir, struct csi_data *ret, struct err *err);
/* NULL members are left out. */
int csi_data_write(int root_fd, const char *dir, const struct csi_data *d, struct err *err);
/* Also when there is none. */
int csi_data_remove(int root_fd, const char *dir, struct err *err);

/* Unique names of what is staged, by what is on disk; owned. */
int csi_list_staged(int root_fd, char ***ret, struct err *err);
/* The name of the block volume of this driver and handle; owned. -ENOENT: there is none here. */
int csi_find_block(int root_fd, const char *driver, const char *handle, char **ret);
