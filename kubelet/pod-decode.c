/* A v1.Pod as a whole: metadata, the pod's own part of the spec, what is needed of the status. */
#include "kubelet/pod-decode.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define FIELD(type, member) offsetof(struct type, member)

static const struct json_range ids = { 0, UINT32_MAX - 1 }; /* -1 is none to the kernel */
static const struct json_range not_negative_64 = { 0, INT64_MAX };

/* ---- metadata ---- */
/* A uid names directories and cgroups here, whatever the API server thinks of it. */
static int decode_uid(const json_t *value, void *member, const void *arg, struct err *err)
{
        static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.";
        char **s = member;
        int r = decode_string(value, s, arg, err);

        if (r < 0)
                return r;
        if (**s == '\0' || **s == '.' || strlen(*s) > 128 || (*s)[strspn(*s, allowed)] != '\0')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%s': expected 1 to 128 of a-z, A-Z, 0-9, '-', '_' and '.'",
                                    *s);
        return 0;
}

static const struct json_field
        owner_fields[] = { /* clang-format off */
        { "apiVersion", decode_string, FIELD(pod_owner, api_version), 0, NULL },
        { "kind",       decode_string, FIELD(pod_owner, kind), 0, NULL },
        { "name",       decode_string, FIELD(pod_owner, name), 0, NULL },
        { "uid",        decode_string, FIELD(pod_owner, uid), 0, NULL },
        { "controller", decode_bool,   FIELD(pod_owner, controller), 0, NULL },
        {}
};
static const struct json_array owners = {
        .fields = owner_fields, .element_size = sizeof(struct pod_owner),
        .count_offset = JSON_ARRAY_COUNT(struct pod, owners, n_owners),
};
static const struct json_field metadata_fields[] = {
        { "name",              decode_dns_subdomain, FIELD(pod, name), JSON_REQUIRED, NULL },
        { "namespace",         decode_dns_label,     FIELD(pod, namespace), JSON_REQUIRED, NULL },
        { "uid",               decode_uid,           FIELD(pod, uid), JSON_REQUIRED, NULL },
        { "resourceVersion",   decode_text,          FIELD(pod, resource_version), 0, NULL },
        { "labels",            decode_string_map,    FIELD(pod, labels), 0, NULL },
        { "annotations",       decode_string_map,    FIELD(pod, annotations), 0, NULL },
        { "generation",        decode_i64,           FIELD(pod, generation), 0, NULL },
        { "creationTimestamp", decode_time,          FIELD(pod, created_at), 0, NULL },
        { "deletionTimestamp", decode_time,          FIELD(pod, deleted_at), 0, NULL },
        { "deletionGracePeriodSeconds", decode_i64,  FIELD(pod, deletion_grace_sec), 0, &not_negative_64 },
        { "ownerReferences",   decode_array,         FIELD(pod, owners), 0, &owners },
        {}
};

/* ---- security ---- */
static const struct json_array groups = {
        .decode = decode_u32, .decode_arg = &ids, .element_size = sizeof(uint32_t),
        .count_offset = JSON_ARRAY_COUNT(struct pod_security_context, supplemental_groups,
                                         n_supplemental_groups),
};
static const struct json_array sysctls = {
        .fields = pod_name_value_fields, .element_size = sizeof(struct pod_string_pair),
        .count_offset = JSON_ARRAY_COUNT(struct pod_security_context, sysctls, n_sysctls),
};
static const char *const group_policies[] = { "Merge", "Strict", NULL };
static const char *const change_policies[] = { "Always", "OnRootMismatch", NULL };
static const struct json_field security_fields[] = {
        { "runAsUser",          decode_i64,      FIELD(pod_security_context, run_as_user), 0, &ids },
        { "runAsGroup",         decode_i64,      FIELD(pod_security_context, run_as_group), 0, &ids },
        { "fsGroup",            decode_i64,      FIELD(pod_security_context, fs_group), 0, &ids },
        { "runAsNonRoot",       decode_tristate, FIELD(pod_security_context, run_as_non_root), 0, NULL },
        { "supplementalGroups", decode_array,    FIELD(pod_security_context, supplemental_groups), 0, &groups },
        { "supplementalGroupsPolicy", decode_named_bool, FIELD(pod_security_context, groups_strict), 0, group_policies },
        { "fsGroupChangePolicy", decode_named_bool, FIELD(pod_security_context, fs_group_on_root_mismatch), 0, change_policies },
        { "sysctls",            decode_array,    FIELD(pod_security_context, sysctls), 0, &sysctls },
        { "seLinuxOptions",     decode_object_pointer, FIELD(pod_security_context, selinux), 0, &pod_selinux_pointer },
        { "seccompProfile",     decode_object,   FIELD(pod_security_context, seccomp), 0, pod_profile_fields },
        { "appArmorProfile",    decode_object,   FIELD(pod_security_context, apparmor), 0, pod_profile_fields },
        {}
}; /* clang-format on */

static int decode_security_context(const json_t *value, void *member, _unused_ const void *arg,
                                   struct err *err)
{
        struct pod_security_context *s = member;

        s->has_windows_options = json_is_object(json_object_get(value, "windowsOptions"));
        return json_decode(value, security_fields, s, err);
}

/* ---- placement ---- */
static const char *const operators[] = {
        "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", NULL
};
static const struct json_field requirement_fields[] = { /* clang-format off */
        { "key",      decode_string, FIELD(pod_requirement, key), JSON_REQUIRED, NULL },
        { "operator", decode_enum,   FIELD(pod_requirement, op), JSON_REQUIRED, operators },
        { "values",   decode_strv,   FIELD(pod_requirement, values), 0, NULL },
        {}
};
static const struct json_array expressions = {
        .fields = requirement_fields, .element_size = sizeof(struct pod_requirement),
        .count_offset = JSON_ARRAY_COUNT(struct pod_node_term, expressions, n_expressions),
};
static const struct json_array match_fields = {
        .fields = requirement_fields, .element_size = sizeof(struct pod_requirement),
        .count_offset = JSON_ARRAY_COUNT(struct pod_node_term, fields, n_fields),
};
static const struct json_field term_fields[] = {
        { "matchExpressions", decode_array, FIELD(pod_node_term, expressions), 0, &expressions },
        { "matchFields",      decode_array, FIELD(pod_node_term, fields), 0, &match_fields },
        {}
};
const struct json_array pod_node_terms = {
        .fields = term_fields, .element_size = sizeof(struct pod_node_term),
        .count_offset = JSON_ARRAY_COUNT(struct pod, node_terms, n_node_terms),
};
static const struct json_field selector_fields[] = {
        { "nodeSelectorTerms", decode_array, FIELD(pod, node_terms), JSON_REQUIRED, &pod_node_terms },
        {}
}; /* clang-format on */

static int decode_required_affinity(const json_t *value, void *member, _unused_ const void *arg,
                                    struct err *err)
{
        struct pod *p = member;

        p->has_node_affinity = true;
        return json_decode(value, selector_fields, p, err);
}

static const struct json_field
        node_affinity_fields[] = { /* clang-format off */
        { "requiredDuringSchedulingIgnoredDuringExecution", decode_required_affinity, 0, 0, NULL },
        {}
};
static const struct json_field affinity_fields[] = {
        { "nodeAffinity", decode_object, 0, 0, node_affinity_fields },
        {}
}; /* clang-format on */

static void toleration_init(void *element)
{
        ((struct pod_toleration *)element)->seconds = POD_UNSET;
}

static const char *const toleration_operators[] = { "Equal", "Exists", NULL };
static const struct json_field
        toleration_fields[] = { /* clang-format off */
        { "key",      decode_text,       FIELD(pod_toleration, key), 0, NULL },
        { "value",    decode_text,       FIELD(pod_toleration, value), 0, NULL },
        { "effect",   decode_text,       FIELD(pod_toleration, effect), 0, NULL },
        { "operator", decode_named_bool, FIELD(pod_toleration, exists), 0, toleration_operators },
        { "tolerationSeconds", decode_i64, FIELD(pod_toleration, seconds), 0, NULL },
        {}
};
static const struct json_array tolerations = {
        .fields = toleration_fields, .element_size = sizeof(struct pod_toleration),
        .init = toleration_init, .count_offset = JSON_ARRAY_COUNT(struct pod, tolerations, n_tolerations),
}; /* clang-format on */

static int decode_priority(const json_t *value, void *member, const void *arg, struct err *err)
{
        struct pod *p = member;

        p->has_priority = true;
        return decode_i32(value, &p->priority, arg, err);
}

static const struct json_field os_fields[] = { /* clang-format off */
        { "name", decode_text, FIELD(pod, os), 0, NULL },
        {}
};

/* ---- network ---- */
static const struct json_field host_alias_fields[] = {
        { "ip",        decode_string, FIELD(pod_host_alias, ip), JSON_REQUIRED, NULL },
        { "hostnames", decode_strv,   FIELD(pod_host_alias, hostnames), 0, NULL },
        {}
};
static const struct json_array host_aliases = {
        .fields = host_alias_fields, .element_size = sizeof(struct pod_host_alias),
        .count_offset = JSON_ARRAY_COUNT(struct pod, host_aliases, n_host_aliases),
};
static const struct json_array dns_options = {
        .fields = pod_name_value_fields, .element_size = sizeof(struct pod_string_pair),
        .count_offset = JSON_ARRAY_COUNT(struct pod, dns_options, n_dns_options),
};
static const struct json_field dns_config_fields[] = {
        { "nameservers", decode_strv,  FIELD(pod, dns_nameservers), 0, NULL },
        { "searches",    decode_strv,  FIELD(pod, dns_searches), 0, NULL },
        { "options",     decode_array, FIELD(pod, dns_options), 0, &dns_options },
        {}
};
static const char *const dns_policies[] = { "ClusterFirst", "ClusterFirstWithHostNet", "Default",
                                            "None", NULL };
static const char *const restart_policies[] = { "Always", "OnFailure", "Never", NULL };

/* ---- spec ---- */
static const bool is_init = true;
static const struct json_array containers = {
        .decode = decode_container, .element_size = sizeof(struct pod_container),
        .count_offset = JSON_ARRAY_COUNT(struct pod, containers, n_containers),
};
static const struct json_array init_containers = {
        .decode = decode_container, .decode_arg = &is_init, .element_size = sizeof(struct pod_container),
        .count_offset = JSON_ARRAY_COUNT(struct pod, init_containers, n_init_containers),
};
static const struct json_array ephemeral_containers = {
        .decode = decode_container, .element_size = sizeof(struct pod_container),
        .count_offset = JSON_ARRAY_COUNT(struct pod, ephemeral_containers, n_ephemeral_containers),
};
static const struct json_array volumes = {
        .decode = decode_volume, .element_size = sizeof(struct pod_volume),
        .count_offset = JSON_ARRAY_COUNT(struct pod, volumes, n_volumes),
};
static const struct json_field spec_fields[] = {
        { "containers",          decode_array,  FIELD(pod, containers), JSON_REQUIRED, &containers },
        { "initContainers",      decode_array,  FIELD(pod, init_containers), 0, &init_containers },
        { "ephemeralContainers", decode_array,  FIELD(pod, ephemeral_containers), 0, &ephemeral_containers },
        { "volumes",             decode_array,  FIELD(pod, volumes), 0, &volumes },
        { "restartPolicy",       decode_named,  FIELD(pod, restart_policy), 0, restart_policies },
        { "terminationGracePeriodSeconds", decode_i64, FIELD(pod, grace_sec), 0, NULL },
        { "activeDeadlineSeconds", decode_i64,  FIELD(pod, active_deadline_sec), 0, &not_negative_64 },
        { "resources",           decode_resources, FIELD(pod, resources), 0, NULL },
        { "overhead",            decode_quantities, FIELD(pod, overhead), 0, NULL },
        { "securityContext",     decode_security_context, FIELD(pod, security), 0, NULL },
        { "hostNetwork",         decode_bool,   FIELD(pod, host_network), 0, NULL },
        { "hostPID",             decode_bool,   FIELD(pod, host_pid), 0, NULL },
        { "hostIPC",             decode_bool,   FIELD(pod, host_ipc), 0, NULL },
        { "shareProcessNamespace", decode_bool, FIELD(pod, share_process_namespace), 0, NULL },
        { "hostUsers",           decode_bool,   FIELD(pod, host_users), 0, NULL },
        { "hostname",            decode_text,   FIELD(pod, hostname), 0, NULL },
        { "subdomain",           decode_text,   FIELD(pod, subdomain), 0, NULL },
        { "hostnameOverride",    decode_text,   FIELD(pod, hostname_override), 0, NULL },
        { "setHostnameAsFQDN",   decode_bool,   FIELD(pod, set_hostname_as_fqdn), 0, NULL },
        { "hostAliases",         decode_array,  FIELD(pod, host_aliases), 0, &host_aliases },
        { "dnsPolicy",           decode_named,  FIELD(pod, dns_policy), 0, dns_policies },
        { "dnsConfig",           decode_object, 0, 0, dns_config_fields },
        { "enableServiceLinks",  decode_bool,   FIELD(pod, enable_service_links), 0, NULL },
        { "serviceAccountName",  decode_text,   FIELD(pod, service_account), 0, NULL },
        { "imagePullSecrets",    decode_names,  FIELD(pod, image_pull_secrets), 0, "name" },
        { "nodeName",            decode_text,   FIELD(pod, node_name), 0, NULL },
        { "nodeSelector",        decode_string_map, FIELD(pod, node_selector), 0, NULL },
        { "affinity",            decode_object, 0, 0, affinity_fields },
        { "tolerations",         decode_array,  FIELD(pod, tolerations), 0, &tolerations },
        { "schedulingGates",     decode_names,  FIELD(pod, scheduling_gates), 0, "name" },
        { "priority",            decode_priority, 0, 0, NULL },
        { "priorityClassName",   decode_text,   FIELD(pod, priority_class), 0, NULL },
        { "os",                  decode_object, 0, 0, os_fields },
        { "runtimeClassName",    decode_text,   FIELD(pod, runtime_class), 0, NULL },
        { "readinessGates",      decode_names,  FIELD(pod, readiness_gates), 0, "conditionType" },
        { "resourceClaims",      decode_names,  FIELD(pod, resource_claims), 0, "name" },
        {}
};

/* ---- status ---- */
static int decode_phase(const json_t *value, void *member, _unused_ const void *arg,
                        _unused_ struct err *err)
{
        *(enum pod_phase *)member = pod_phase_from_name(json_string_value(value));
        return 0;
}

static const char *const qos_names[] = { "Guaranteed", "Burstable", "BestEffort", NULL };
static const struct json_field status_fields[] = {
        { "phase",     decode_phase, FIELD(pod, phase), 0, NULL },
        { "startTime", decode_time,  FIELD(pod, start_time), 0, NULL },
        { "qosClass",  decode_named, FIELD(pod, qos_class), 0, qos_names },
        {}
};
static const struct json_field pod_fields[] = {
        { "metadata", decode_object, 0, JSON_REQUIRED, metadata_fields },
        { "spec",     decode_object, 0, JSON_REQUIRED, spec_fields },
        { "status",   decode_object, 0, 0, status_fields },
        {}
}; /* clang-format on */

/* A containers list is walked by name everywhere: two of a name would be one. */
static int check_names(const struct pod *p, struct err *err)
{
        const struct pod_container *c, *other;

        if (p->n_containers == 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "spec: containers: expected at least one");
        for (size_t i = 0; (c = pod_container_at(p, i)); i++)
                for (size_t k = 0; k < i && (other = pod_container_at(p, k)); k++)
                        if (streq(c->name, other->name))
                                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                                    "spec: container name '%s': expected each "
                                                    "name only once",
                                                    c->name);
        for (size_t i = 0; i < p->n_volumes; i++)
                if (pod_find_volume(p, p->volumes[i].name) != &p->volumes[i])
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "spec: volumes: [%zu]: name: '%s': expected each name "
                                            "only once",
                                            i, p->volumes[i].name);
        return 0;
}

static void default_host_ports(struct pod_container *containers_, size_t n)
{
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < containers_[i].n_ports; k++)
                        if (containers_[i].ports[k].host_port == 0)
                                containers_[i].ports[k].host_port =
                                        containers_[i].ports[k].container_port;
}

static void finish(struct pod *p)
{
        for (size_t i = 0; i < p->n_ephemeral_containers; i++)
                p->ephemeral_containers[i].kind = POD_CONTAINER_EPHEMERAL;
        if (p->host_network) {
                default_host_ports(p->containers, p->n_containers);
                default_host_ports(p->init_containers, p->n_init_containers);
        }
        p->grace_sec = MAX(p->grace_sec, 0);
}

/* metadata without managedFields, which are most of many an object and nobody here reads */
static char *dump_metadata(const json_t *object)
{
        json_auto_t *meta = json_copy(json_object_get(object, "metadata"));

        if (!meta)
                return NULL;
        json_object_del(meta, "managedFields");
        return json_dumps(meta, JSON_COMPACT);
}

static int keep_texts(struct pod *p, const json_t *object)
{
        const json_t *status = json_object_get(object, "status");

        p->metadata_text = dump_metadata(object);
        p->spec_text = json_dumps(json_object_get(object, "spec"), JSON_COMPACT);
        if (json_is_object(status) && json_object_size(status) > 0) {
                p->status_text = json_dumps(status, JSON_COMPACT);
                if (!p->status_text)
                        return -ENOMEM;
        }
        return p->metadata_text && p->spec_text ? 0 : -ENOMEM;
}

int pod_decode(const json_t *object, enum pod_source source, struct pod **ret, struct err *err)
{
        _cleanup_(pod_unrefp)
        struct pod *p = calloc(1, sizeof *p);
        int r;

        if (!p)
                return err_sys(err, -ENOMEM, "read pod");
        *p = (struct pod){
                .n_ref = 1,
                .source = source,
                .deletion_grace_sec = POD_UNSET,
                .grace_sec = 30,
                .active_deadline_sec = POD_UNSET,
                .qos_class = POD_UNSET,
                .host_users = true,
                .enable_service_links = true,
                .security = { .run_as_user = POD_UNSET,
                              .run_as_group = POD_UNSET,
                              .fs_group = POD_UNSET,
                              .run_as_non_root = POD_UNSET },
        };
        r = json_decode(object, pod_fields, p, err);
        if (r < 0)
                return r;
        finish(p);
        r = check_names(p, err);
        if (r < 0)
                return r;
        r = keep_texts(p, object);
        if (r < 0)
                return err_sys(err, r, "read pod");
        *ret = TAKE_PTR(p);
        return 0;
}
