/* Between config.c, config-fields.c and config-print.c only: the tables. */
#pragma once
#include "kubelet/config.h"

/* Defaults that are plain numbers; everything else zero. */
void config_init(struct kubelet_config *c);
extern const struct json_field config_fields[];
/* Notes in @c what Kubernetes does not know, and what asks for something that is not done here. */
int config_check_known(const json_t *document, struct kubelet_config *c);
/* The @i-th of the fields that are known and not acted upon, and its default as JSON (NULL: says
 * nothing). False: no more. */
bool config_ignored_field(size_t i, const char **ret_path, const char **ret_usual);
/* kubeadm writes out every field that it leaves alone: 0, "", "0s", {}. */
bool config_says_nothing(const json_t *value);

/* Decoders: where Go has no pointer, zero means "the default". */
int config_decode_span(const json_t *value, void *member, const void *arg, struct err *err);
int config_decode_i32(const json_t *value, void *member, const void *arg, struct err *err);
int config_decode_i64(const json_t *value, void *member, const void *arg, struct err *err);
int config_decode_port(const json_t *value, void *member, const void *arg, struct err *err);
int config_decode_size(const json_t *value, void *member, const void *arg, struct err *err);
