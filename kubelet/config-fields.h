/* Between config.c and config-fields.c only: the tables. */
#pragma once
#include "kubelet/config.h"

/* Defaults that are plain numbers; everything else zero. */
void config_init(struct kubelet_config *c);
extern const struct json_field config_fields[];
/* Notes in @c what Kubernetes does not know, and what asks for something that is not done here. */
int config_check_known(const json_t *document, struct kubelet_config *c);
