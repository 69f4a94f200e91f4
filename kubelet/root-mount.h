/*
 * The kubelet's root directory as a mount that others share: what a privileged pod mounts below it
 * (a CSI driver, with mountPropagation Bidirectional) is seen by the host and by other pods.
 * Source: pkg/kubelet (setupDataDirs: MakeRShared).
 */
#pragma once
#include "base/err.h"

/* Binds @path on itself and makes it shared, unless it is on a shared mount already. Before
 * anything below it is opened: a descriptor stays with the mount that it was opened on. */
int root_mount_share(const char *path, struct err *err);
