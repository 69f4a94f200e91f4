/*
 * What the API knows of the CSI drivers of a node: the CSINode object, and the Node's annotation
 * and topology labels. Pure. Source: pkg/volume/csi/nodeinfomanager.
 */
#pragma once
#include "kubelet/csi-message.h"

#define CSI_NODE_ID_ANNOTATION "csi.volume.kubernetes.io/nodeid"

/* A CSINode without drivers, owned by its Node; new reference. */
json_t *csi_node_object(const char *node_name, const char *node_uid);
/* Does it belong to this Node, and not to an earlier one of that name? */
bool csi_node_object_is_owned(const json_t *csi_node, const char *node_name, const char *node_uid);
/**
 * csi_node_object_set() - puts a driver in, or takes it out
 * @info: NULL: out
 * Return: 1: @csi_node is another now; 0: it said so already; -ENOMEM.
 */
int csi_node_object_set(json_t *csi_node, const char *driver, const struct csi_node_info *info);
/**
 * csi_node_patch() - a merge patch by which the Node says so
 * @info: NULL: the driver's node id goes, the labels stay
 * @ret:  new reference; NULL: the Node says so already
 * Return: 0; -EINVAL with the kubelet's sentence: the driver's topology contradicts a label, or the
 * annotation cannot be read; -ENOMEM.
 */
int csi_node_patch(const json_t *node, const char *driver, const struct csi_node_info *info,
                   json_t **ret, struct err *err);
