/*
 * struct pod: a v1.Pod as this node acts upon it, decoded once at the edge and never changed after.
 * A change in the API is a new struct pod; whoever keeps one holds a reference.
 *
 * Defaults of the API are filled in while decoding, so that nobody downstream
 * asks "set?" for what always has a value. The object itself is kept as compact JSON text for
 * mirror pods and for /pods; its managedFields are dropped.
 *
 * Source: k8s.io/api core/v1 types.go (v0.36).
 */
#pragma once
#include <jansson.h>

#include "base/json.h"
#include "base/log.h"
#include "base/usec.h"

struct volume_spec;

enum pod_source { POD_SOURCE_API, POD_SOURCE_FILE, POD_SOURCE_HTTP };
enum pod_phase {
        POD_PHASE_NONE, /* no status yet */
        POD_PENDING,
        POD_RUNNING,
        POD_SUCCEEDED,
        POD_FAILED,
        POD_UNKNOWN,
        _POD_PHASE_MAX
};
enum pod_restart_policy { POD_RESTART_ALWAYS, POD_RESTART_ON_FAILURE, POD_RESTART_NEVER };

#define POD_UNSET (-1) /* of numbers that cannot be negative, and of tristates */

/* ---- values that several places share ---- */
/* requests and limits: name -> quantity text, each proven to parse. pod_resource_*() reads them. */
struct pod_resources {
        struct string_map limits, requests;
        char **claims; /* names of resource claims (DRA) */
};
struct pod_int_or_name { /* intstr.IntOrString of a port */
        char *name;      /* NULL: .number */
        int32_t number;
};
struct pod_string_pair {
        char *name, *value;
};

enum pod_value_kind {
        POD_VALUE_NONE,
        POD_VALUE_FIELD,      /* fieldRef */
        POD_VALUE_RESOURCE,   /* resourceFieldRef */
        POD_VALUE_CONFIG_MAP, /* configMapKeyRef */
        POD_VALUE_SECRET,     /* secretKeyRef */
        POD_VALUE_FILE,       /* fileKeyRef */
};
struct pod_value_from {
        enum pod_value_kind kind;
        char *field_path;                          /* FIELD */
        char *container_name, *resource, *divisor; /* RESOURCE; container NULL: the own one */
        char *name;       /* of the ConfigMap or Secret; FILE: of the volume */
        char *key, *path; /* path: FILE */
        bool optional;
};
struct pod_env {
        char *name;
        char *value;                 /* never NULL */
        struct pod_value_from *from; /* NULL: .value */
};
struct pod_env_from {
        char *prefix; /* never NULL */
        char *name;
        bool is_secret, optional; /* else a ConfigMap */
};

enum pod_handler_kind {
        POD_HANDLER_NONE,
        POD_HANDLER_EXEC,
        POD_HANDLER_HTTP_GET,
        POD_HANDLER_TCP_SOCKET,
        POD_HANDLER_GRPC,
        POD_HANDLER_SLEEP,
};
struct pod_handler { /* of a probe or a lifecycle hook */
        enum pod_handler_kind kind;
        char **command;              /* EXEC */
        char *host, *path;           /* HTTP_GET, TCP_SOCKET; host NULL: the pod's IP; path "/" */
        bool https;                  /* HTTP_GET */
        struct pod_int_or_name port; /* HTTP_GET, TCP_SOCKET, GRPC */
        struct pod_string_pair *headers;
        size_t n_headers;
        char *service;     /* GRPC; never NULL there */
        int64_t sleep_sec; /* SLEEP */
};
struct pod_probe {
        struct pod_handler handler;
        int32_t initial_delay_sec, timeout_sec, period_sec, success_threshold, failure_threshold;
        int64_t grace_sec; /* terminationGracePeriodSeconds; POD_UNSET */
};

struct pod_profile { /* seccompProfile, appArmorProfile */
        enum {
                POD_PROFILE_UNSET,
                POD_PROFILE_RUNTIME_DEFAULT,
                POD_PROFILE_UNCONFINED,
                POD_PROFILE_LOCALHOST
        } type;
        char *localhost;
};
struct pod_selinux {
        char *user, *role, *type, *level;
};

/* ---- container ---- */
enum pod_container_kind {
        POD_CONTAINER_INIT,
        POD_CONTAINER_SIDECAR, /* init container with restartPolicy Always */
        POD_CONTAINER_REGULAR,
        POD_CONTAINER_EPHEMERAL,
};
struct pod_port {
        char *name, *host_ip;               /* NULL when unset */
        uint16_t container_port, host_port; /* host_port 0: none */
        uint8_t protocol;                   /* IPPROTO_TCP, _UDP, _SCTP */
};
struct pod_mount {
        char *name, *path;
        char *sub_path, *sub_path_expr; /* NULL when unset */
        bool read_only;
        enum {
                POD_PROPAGATION_NONE,
                POD_PROPAGATION_HOST_TO_CONTAINER,
                POD_PROPAGATION_BIDIRECTIONAL
        } propagation;
        enum { POD_RRO_DISABLED, POD_RRO_IF_POSSIBLE, POD_RRO_ENABLED } recursive_read_only;
};
struct pod_security { /* container's securityContext; numbers and tristates POD_UNSET */
        char **cap_add, **cap_drop;
        int privileged, run_as_non_root, read_only_root, allow_privilege_escalation;
        int64_t run_as_user, run_as_group;
        bool proc_unmasked; /* procMount: Unmasked */
        bool has_windows_options;
        struct pod_selinux *selinux; /* NULL when unset */
        struct pod_profile seccomp, apparmor;
};
enum pod_pull_policy { POD_PULL_ALWAYS, POD_PULL_IF_NOT_PRESENT, POD_PULL_NEVER, _POD_PULL_MAX };
enum pod_restart_action { POD_RULE_RESTART, POD_RULE_RESTART_ALL_CONTAINERS };
struct pod_restart_rule {
        enum pod_restart_action action;
        bool not_in; /* operator NotIn */
        int32_t *exit_codes;
        size_t n_exit_codes;
};
struct pod_container {
        enum pod_container_kind kind;
        char *name, *image;
        char **command, **args; /* NULL: the image's */
        char *working_dir;      /* NULL: the image's */
        struct pod_port *ports;
        size_t n_ports;
        struct pod_env *env;
        size_t n_env;
        struct pod_env_from *env_from;
        size_t n_env_from;
        struct pod_resources resources;
        struct pod_string_pair *resize_policies; /* resourceName, restartPolicy */
        size_t n_resize_policies;
        int restart_policy; /* enum pod_restart_policy; POD_UNSET: the pod's */
        struct pod_restart_rule *restart_rules;
        size_t n_restart_rules;
        struct pod_mount *mounts;
        size_t n_mounts;
        struct pod_string_pair *devices; /* volumeDevices: name, devicePath */
        size_t n_devices;
        struct pod_probe *liveness, *readiness, *startup; /* NULL when absent */
        struct pod_handler *post_start, *pre_stop;        /* NULL when absent */
        char *stop_signal;                                /* "SIGUSR1"; NULL: the image's */
        char *termination_message_path;                   /* never NULL */
        bool message_fallback_to_logs;                    /* terminationMessagePolicy */
        enum pod_pull_policy pull_policy;
        struct pod_security *security; /* NULL when absent */
        bool stdin, stdin_once, tty;
        char *target_container; /* ephemeral: targetContainerName; NULL */
};

/* ---- volumes ---- */
enum pod_volume_kind {
        POD_VOLUME_UNSUPPORTED, /* .unsupported names it */
        POD_VOLUME_EMPTY_DIR,
        POD_VOLUME_HOST_PATH,
        POD_VOLUME_CONFIG_MAP,
        POD_VOLUME_SECRET,
        POD_VOLUME_DOWNWARD_API,
        POD_VOLUME_PROJECTED,
        POD_VOLUME_IMAGE,
        POD_VOLUME_SERVICE_ACCOUNT_TOKEN, /* only inside a projected one */
        POD_VOLUME_CLAIM,                 /* persistentVolumeClaim */
        POD_VOLUME_EPHEMERAL,             /* generic: the claim is named after pod and volume */
        POD_VOLUME_NFS,
        POD_VOLUME_CSI, /* inline */
};
struct pod_volume_item {            /* KeyToPath, or a file of the downward API */
        char *key;                  /* NULL in the downward API */
        char *path;                 /* relative, no '..' */
        int32_t mode;               /* POD_UNSET: the volume's */
        struct pod_value_from from; /* FIELD or RESOURCE; NONE elsewhere */
};
struct pod_volume_source { /* a volume's, or one of a projected volume's */
        enum pod_volume_kind kind;
        char *unsupported; /* "iscsi": the field's name */
        char *name;        /* of the ConfigMap or Secret */
        bool optional;
        struct pod_volume_item *items; /* none: every key */
        size_t n_items;
        char *audience; /* SERVICE_ACCOUNT_TOKEN; NULL: the API server's */
        int64_t expiration_sec;
        char *path; /* HOST_PATH: on the host; SERVICE_ACCOUNT_TOKEN: in the volume */
};
struct pod_volume {
        char *name;
        struct pod_volume_source source;
        char *medium; /* EMPTY_DIR: "", "Memory", "HugePages", "HugePages-<size>"; never NULL there
                       */
        int64_t size_limit;                /* EMPTY_DIR: bytes; POD_UNSET */
        char *size_limit_text;             /* the same as it was written; NULL when unset */
        char *host_path_type;              /* HOST_PATH: "", "Directory", …; never NULL there */
        int32_t default_mode;              /* of files: 0644 */
        char *image;                       /* IMAGE: its reference; never NULL there */
        enum pod_pull_policy pull_policy;  /* IMAGE */
        char *claim;                       /* CLAIM: name of the PersistentVolumeClaim */
        bool claim_read_only;              /* CLAIM */
        struct volume_spec *spec;          /* NFS, CSI; else NULL (volume-spec.h) */
        struct pod_volume_source *sources; /* PROJECTED */
        size_t n_sources;
};

/* ---- pod ---- */
struct pod_toleration {
        char *key, *value, *effect; /* NULL: any key, empty, any effect */
        bool exists;                /* operator Exists, else Equal */
        int64_t seconds;            /* POD_UNSET: for ever */
};
struct pod_requirement { /* of node affinity */
        char *key;
        enum {
                POD_OP_IN,
                POD_OP_NOT_IN,
                POD_OP_EXISTS,
                POD_OP_DOES_NOT_EXIST,
                POD_OP_GT,
                POD_OP_LT
        } op;
        char **values;
};
struct pod_node_term { /* all of both lists must match; an empty term matches nothing */
        struct pod_requirement *expressions, *fields;
        size_t n_expressions, n_fields;
};
struct pod_host_alias {
        char *ip;
        char **hostnames;
};
struct pod_owner {
        char *api_version, *kind, *name, *uid;
        bool controller;
};
struct pod_security_context { /* numbers and tristates POD_UNSET */
        int64_t run_as_user, run_as_group, fs_group;
        int run_as_non_root;
        uint32_t *supplemental_groups;
        size_t n_supplemental_groups;
        bool groups_strict;             /* supplementalGroupsPolicy: Strict, else Merge */
        bool fs_group_on_root_mismatch; /* fsGroupChangePolicy: OnRootMismatch, else Always */
        struct pod_string_pair *sysctls;
        size_t n_sysctls;
        bool has_windows_options;
        struct pod_selinux *selinux;
        struct pod_profile seccomp, apparmor;
};
enum pod_dns_policy {
        POD_DNS_CLUSTER_FIRST,
        POD_DNS_CLUSTER_FIRST_WITH_HOST_NET,
        POD_DNS_DEFAULT,
        POD_DNS_NONE
};

struct pod {
        unsigned n_ref; /* pod.c's */
        enum pod_source source;
        /* metadata */
        char *name, *namespace, *uid;
        char *resource_version; /* NULL for static pods */
        struct string_map labels, annotations;
        int64_t generation;
        usec_t created_at, deleted_at; /* CLOCK_REALTIME; deletionTimestamp; 0 when unset */
        int64_t deletion_grace_sec;    /* POD_UNSET */
        struct pod_owner *owners;
        size_t n_owners;
        /* spec: containers; init ones in start order, sidecars among them */
        struct pod_container *containers, *init_containers, *ephemeral_containers;
        size_t n_containers, n_init_containers, n_ephemeral_containers;
        struct pod_volume *volumes;
        size_t n_volumes;
        enum pod_restart_policy restart_policy;
        int64_t grace_sec;              /* terminationGracePeriodSeconds: 30 */
        int64_t active_deadline_sec;    /* POD_UNSET */
        struct pod_resources resources; /* pod level; empty when absent */
        struct string_map overhead;
        struct pod_security_context security;
        /* spec: identity and network */
        bool host_network, host_pid, host_ipc, share_process_namespace;
        bool host_users;                                /* true unless hostUsers: false */
        char *hostname, *subdomain, *hostname_override; /* NULL when unset */
        bool set_hostname_as_fqdn;
        struct pod_host_alias *host_aliases;
        size_t n_host_aliases;
        enum pod_dns_policy dns_policy;
        char **dns_nameservers, **dns_searches; /* dnsConfig */
        struct pod_string_pair *dns_options;    /* value NULL: the bare name */
        size_t n_dns_options;
        bool enable_service_links;
        char *service_account; /* NULL when unset */
        char **image_pull_secrets;
        /* spec: where it may run */
        char *node_name;
        struct string_map node_selector;
        bool has_node_affinity; /* required…: at least one term must match */
        struct pod_node_term *node_terms;
        size_t n_node_terms;
        struct pod_toleration *tolerations;
        size_t n_tolerations;
        char **scheduling_gates; /* names */
        bool has_priority;
        int32_t priority;
        char *priority_class; /* NULL when unset */
        char *os, *runtime_class;
        char **readiness_gates; /* condition types */
        char **resource_claims; /* names */
        /* status as the API had it */
        enum pod_phase phase;
        usec_t start_time; /* 0 when unset */
        int qos_class;     /* enum qos_class; POD_UNSET */
        /* the object as it came; pod_to_json() and pod_status_json() read them */
        char *metadata_text, *spec_text; /* metadata without managedFields */
        char *status_text;               /* NULL when there was none */
};

/**
 * pod_decode() - a v1.Pod (kind and apiVersion are not looked at) to a struct pod
 * @object: borrowed, and not kept
 * @ret:    set on success only; one reference, the caller's
 * Return: 0; -EINVAL, -ERANGE, -E2BIG (ERR_BAD_INPUT) with the field's path in @err; -ENOMEM.
 * What this node does not carry out (a volume of an unknown kind, say) is decoded as such:
 * admission and volumes refuse it by name.
 */
int pod_decode(const json_t *object, enum pod_source source, struct pod **ret, struct err *err);
struct pod *pod_ref(struct pod *p);   /* returns p */
struct pod *pod_unref(struct pod *p); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct pod *, pod_unref)

/* The object without its status; new reference, NULL without memory. */
json_t *pod_to_json(const struct pod *p);
/* status as the API had it ({} when it had none); new reference, NULL without memory. */
json_t *pod_status_json(const struct pod *p);
/*
 * Whether what this node acts upon differs: spec, labels, annotations (but not source, seen and
 * mirror), deletionTimestamp, deletionGracePeriodSeconds. False when only status or resourceVersion
 * do. Source: pkg/kubelet/config/config.go (podsDifferSemantically).
 */
bool pod_differs(const struct pod *a, const struct pod *b);
/* Whether a condition that is a readiness gate of @b has another status (or is there or not). */
bool pod_gates_differ(const struct pod *a, const struct pod *b);

#define POD_ANNOTATION_SOURCE "kubernetes.io/config.source"
#define POD_ANNOTATION_HASH   "kubernetes.io/config.hash"
#define POD_ANNOTATION_SEEN   "kubernetes.io/config.seen"
#define POD_ANNOTATION_MIRROR "kubernetes.io/config.mirror"

/* Read from a manifest, not from the API. */
static inline bool pod_is_static(const struct pod *p)
{
        return p->source != POD_SOURCE_API;
}
/* The API's image of a static pod: never run. */
bool pod_is_mirror(const struct pod *p);
/* Static, mirror, or of system priority (>= 2000000000): neither preempted nor evicted here. */
bool pod_is_critical(const struct pod *p);
/* critical and of class system-node-critical. */
bool pod_is_node_critical(const struct pod *p);
static inline bool pod_phase_is_terminal(enum pod_phase phase)
{
        return phase == POD_SUCCEEDED || phase == POD_FAILED;
}
const char *pod_phase_name(enum pod_phase phase);     /* "Pending"; NULL for POD_PHASE_NONE */
enum pod_phase pod_phase_from_name(const char *name); /* POD_PHASE_NONE when unknown or NULL */

/* Any of the three lists; NULL when there is none of that name. */
const struct pod_container *pod_find_container(const struct pod *p, const char *name);
const struct pod_volume *pod_find_volume(const struct pod *p, const char *name);
/* All containers in the order init, regular, ephemeral; NULL beyond the last. */
const struct pod_container *pod_container_at(const struct pod *p, size_t i);
#define POD_FOREACH_CONTAINER(c, p) \
        for (size_t _i = 0; ((c) = pod_container_at((p), _i)) != NULL; _i++)
static inline size_t pod_n_containers(const struct pod *p)
{
        return p->n_init_containers + p->n_containers + p->n_ephemeral_containers;
}

/* The number of a port given by number or by name (of @c's ports, else the number it spells).
 * -ENOENT: no such name; -ERANGE: not 1 to 65535. */
int pod_port_number(const struct pod_container *c, const struct pod_int_or_name *port,
                    uint16_t *ret);

/* A quantity of a list; POD_UNSET when the name is absent. cpu in thousandths, others whole. */
int64_t pod_resource_milli(const struct string_map *list, const char *name);
int64_t pod_resource_value(const struct string_map *list, const char *name);

/* For log lines: the ids of a pod; borrowed from it. @container may be NULL. */
struct log_ids pod_log_ids(const struct pod *p, const char *container);
