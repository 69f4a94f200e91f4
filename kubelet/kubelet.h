/*
 * The agent: owns every module below and wires their callbacks. No logic of its own.
 */
#pragma once
#include <systemd/sd-event.h>

#include "kubelet/config.h"
#include "kubelet/options.h"

struct kubelet; /* opaque */

/* Starts everything; sockets listen when it returns. @options and @config are borrowed as long as
 * it lives. */
int kubelet_new(sd_event *event, const struct options *options, const struct kubelet_config *config,
                struct kubelet **ret, struct err *err);
/* Lets go of everything; containers go on. */
struct kubelet *kubelet_free(struct kubelet *k);
DEFINE_CLEANUP(struct kubelet *, kubelet_free)
