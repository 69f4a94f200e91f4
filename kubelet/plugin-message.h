/*
 * The messages by which a plugin registers with the node (pluginregistration.Registration). Pure.
 * Source: k8s.io/kubelet/pkg/apis/pluginregistration/v1/api.proto.
 */
#pragma once
#include "base/protobuf.h"

#define PLUGIN_GET_INFO_METHOD "/pluginregistration.Registration/GetInfo"
#define PLUGIN_NOTIFY_METHOD   "/pluginregistration.Registration/NotifyRegistrationStatus"

struct plugin_info {     /* PluginInfo */
        char *type;      /* owned; "CSIPlugin", "DevicePlugin", "DRAPlugin" */
        char *name;      /* owned; of a CSI plugin the driver's */
        char *endpoint;  /* owned; path of the socket to talk to; "": the one that was asked */
        char **versions; /* owned */
        size_t n_versions;
};
void plugin_info_done(struct plugin_info *i);
/* Texts that are absent are "". -EBADMSG names the field; @ret is to be freed in any case. */
int plugin_read_info(const void *message, size_t n, struct plugin_info *ret, struct err *err);
/* RegistrationStatus; @error: why not, or NULL: it is registered. */
void plugin_write_status(struct strbuf *b, const char *error);

/* 1.2.3 as a number that compares; 0: no version. */
uint64_t plugin_version_parse(const char *text);
/* The highest of 1.x; 0: there is none. */
uint64_t plugin_version_highest(char *const *versions);
