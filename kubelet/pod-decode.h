/*
 * Between the files pod*.c only: the tables that decode a v1.Pod, and the destructors of what they
 * fill. Everything else includes kubelet/pod.h.
 */
#pragma once
#include "kubelet/decode.h"
#include "kubelet/pod.h"

int decode_resources(const json_t *value, void *member, const void *arg,
                     struct err *err); /* struct pod_resources */
int decode_int_or_name(const json_t *value, void *member, const void *arg,
                       struct err *err); /* struct pod_int_or_name */

extern const struct json_field pod_value_from_fields[]; /* struct pod_value_from, all kinds */
extern const struct json_field pod_field_ref_fields[], pod_resource_ref_fields[];
extern const struct json_field pod_profile_fields[], pod_selinux_fields[];
extern const struct json_object_pointer pod_selinux_pointer;
extern const struct json_field pod_name_value_fields[]; /* struct pod_string_pair: name, value */

/* nodeSelectorTerms: struct pod_node_term *, with the count right behind it. */
extern const struct json_array pod_node_terms;
void pod_node_terms_free(struct pod_node_term *terms, size_t n);

extern const char *const pod_pull_policies[]; /* of enum pod_pull_policy */
/* What the API server fills in: Always for the tag "latest" and for none. */
enum pod_pull_policy pod_default_pull_policy(const char *image);

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
