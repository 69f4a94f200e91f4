/*
 * Between the files pod*.c only: the tables that decode a v1.Pod, and the destructors of what they
 * fill. Everything else includes kubelet/pod.h.
 */
#pragma once
#include "kubelet/pod.h"

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
int decode_resources(const json_t *value, void *member, const void *arg,
                     struct err *err); /* struct pod_resources */
int decode_int_or_name(const json_t *value, void *member, const void *arg,
                       struct err *err); /* struct pod_int_or_name */

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

extern const struct json_field pod_value_from_fields[]; /* struct pod_value_from, all kinds */
extern const struct json_field pod_field_ref_fields[], pod_resource_ref_fields[];
extern const struct json_field pod_profile_fields[], pod_selinux_fields[];
extern const struct json_object_pointer pod_selinux_pointer;
extern const struct json_field pod_name_value_fields[]; /* struct pod_string_pair: name, value */

/* An element of containers[], initContainers[] or ephemeralContainers[]; arg: a const bool *:
 * whether the list is the init one. */
int decode_container(const json_t *value, void *member, const void *arg, struct err *err);
int decode_volume(const json_t *value, void *member, const void *arg, struct err *err);

void pod_container_done(struct pod_container *c);
void pod_volume_done(struct pod_volume *v);
void pod_handler_done(struct pod_handler *h);
void pod_value_from_done(struct pod_value_from *v);
void pod_resources_done(struct pod_resources *r);
void pod_profile_done(struct pod_profile *p);
struct pod_selinux *pod_selinux_free(struct pod_selinux *s);
void pod_string_pairs_free(struct pod_string_pair *pairs, size_t n);
