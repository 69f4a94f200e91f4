/*
 * The messages of the Container Storage Interface that a node exchanges with a driver (service
 * csi.v1.Node). Pure. Source: container-storage-interface/spec csi.proto; how the kubelet fills
 * them in: pkg/volume/csi/csi_client.go.
 */
#pragma once
#include "base/protobuf.h"

#define CSI_METHOD(name) "/csi.v1.Node/" name

/* What a driver can do: bits by NodeServiceCapability.RPC.Type. */
enum csi_capability {
        CSI_STAGE_UNSTAGE_VOLUME = 1 << 1,
        CSI_GET_VOLUME_STATS = 1 << 2,
        CSI_EXPAND_VOLUME = 1 << 3,
        CSI_VOLUME_CONDITION = 1 << 4,
        CSI_SINGLE_NODE_MULTI_WRITER = 1 << 5,
        CSI_VOLUME_MOUNT_GROUP = 1 << 6,
};
int csi_read_capabilities(const void *message, size_t n, uint32_t *ret, struct err *err);

struct csi_node_info {              /* NodeGetInfoResponse */
        char *node_id;              /* owned; never empty */
        int64_t max_volumes;        /* 0: says none */
        struct string_map topology; /* owned; accessible_topology.segments */
};
void csi_node_info_done(struct csi_node_info *i);
/* -EBADMSG names the field; @ret is to be freed in any case. */
int csi_read_node_info(const void *message, size_t n, struct csi_node_info *ret, struct err *err);

struct csi_usage { /* NodeGetVolumeStatsResponse */
        bool has_bytes, has_inodes;
        struct csi_amount {
                int64_t available, total, used;
        } bytes, inodes;
};
int csi_read_usage(const void *message, size_t n, struct csi_usage *ret, struct err *err);

struct csi_mount { /* NodeStageVolumeRequest and NodePublishVolumeRequest; all borrowed */
        const char *volume_id;
        const char *staging_path;                                            /* NULL: none */
        const char *target_path;                                             /* of publish */
        const struct string_map *publish_context, *secrets, *volume_context; /* or NULL */
        const char *access_mode;                                             /* "ReadWriteOnce" */
        bool is_block, read_only;
        const char *fs_type;      /* NULL: as the driver likes */
        char *const *mount_flags; /* or NULL */
        const char *mount_group;  /* NULL: none */
        uint32_t capabilities;    /* of the driver */
};
void csi_write_stage(struct strbuf *b, const struct csi_mount *m);
void csi_write_publish(struct strbuf *b, const struct csi_mount *m);
/* NodeUnstageVolumeRequest and NodeUnpublishVolumeRequest are alike. */
void csi_write_undo(struct strbuf *b, const char *volume_id, const char *path);
void csi_write_get_stats(struct strbuf *b, const char *volume_id, const char *path);

/* A name that can be a driver's, and a folder's: -EINVAL names it and the rule. */
int csi_check_driver_name(const char *name, struct err *err);
