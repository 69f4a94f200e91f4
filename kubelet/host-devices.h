/*
 * All devices of the host, for privileged containers. Source: what containerd's HostDevices finds
 * in /dev.
 */
#pragma once
#include "runtime/runtime.h"

/* Character and block devices below /dev, without pts, shm, fd, mqueue and console. *ret owned
 * (host_devices_free). */
int host_devices_read(struct oci_device **ret, size_t *ret_n);
void host_devices_free(struct oci_device *devices, size_t n);
