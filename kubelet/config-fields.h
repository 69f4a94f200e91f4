/* Between config.c and config-fields.c only: the tables. */
#pragma once
#include "kubelet/config.h"

/* Defaults that are plain numbers; everything else zero. */
void config_init(struct kubelet_config *c);
extern const struct json_field config_fields[];
/* -EINVAL for a field that Kubernetes does not know; names in *ignored those set to something that
 * this node does not act upon. */
int config_check_known(const json_t *document, char ***ignored, struct err *err);
