/*
 * Decoders for what Kubernetes objects have in common, beside those of base/json: names,
 * quantities, enumerations where "" means unset, one-of-several sources. Pure.
 */
#pragma once
#include "base/json.h"

/*
 * As in Go, "" means unset. decode_text leaves NULL then, decode_named and decode_named_bool the
 * default.
 */
int decode_text(const json_t *value, void *member, const void *arg, struct err *err); /* char * */
/* enum or int; arg: const char *const []. */
int decode_named(const json_t *value, void *member, const void *arg, struct err *err);
/* bool; arg: const char *const [2], the names of false and true. */
int decode_named_bool(const json_t *value, void *member, const void *arg, struct err *err);
int decode_port_or_zero(const json_t *value, void *member, const void *arg, struct err *err);
/* Names that become parts of paths. char * */
int decode_dns_label(const json_t *value, void *member, const void *arg, struct err *err);
int decode_dns_subdomain(const json_t *value, void *member, const void *arg, struct err *err);
/* "a/b": relative, no "..". char * */
int decode_relative_path(const json_t *value, void *member, const void *arg, struct err *err);
/* [{"name": "x"}, …] -> char **; arg: the key's name. Objects without it are passed over. */
int decode_names(const json_t *value, void *member, const void *arg, struct err *err);
/* name -> quantity; struct string_map of texts that are proven to parse and not negative. */
int decode_quantities(const json_t *value, void *member, const void *arg, struct err *err);
int decode_quantity_text(const json_t *value, void *member, const void *arg,
                         struct err *err); /* char * */

/*
 * One of several ways: the field's presence sets an int beside (or above) it, and a second way is
 * refused. .arg of a decode_variant field.
 */
struct json_variant {
        int kind; /* not 0, which is "none yet" */
        ptrdiff_t kind_offset;
        const struct json_field *fields; /* of the same struct, from the member on */
        const char *what;                /* "source", "handler": for the error */
};
int decode_variant(const json_t *value, void *member, const void *arg, struct err *err);
