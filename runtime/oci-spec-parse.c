/*
 * config.json, ours or another tool's, as a struct oci_spec.
 *
 * A container that silently lacks what its document asks for may be less confined than its author
 * meant, so a field that no table here names is refused with its path. What asks for nothing
 * (null, false, "", [], {}) passes.
 */
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"
#include "runtime/oci-spec-names.h"
#include "runtime/runtime.h" /* oci_seccomp_free */

enum { MOUNTS_MAX = 8192, ARGS_MAX = 6, DEVICE_NUMBER_MAX = 0xfffff };

static bool asks_for_nothing(const json_t *v)
{
        return json_is_null(v) || json_is_false(v) ||
               (json_is_string(v) && json_string_length(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0) ||
               (json_is_object(v) && json_object_size(v) == 0);
}

static int decode_closed(const json_t *value, void *target, const void *arg, struct err *err)
{
        const struct json_field *fields = arg;
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)value, key, v) {
                const struct json_field *f = fields;

                while (f->name && !streq(f->name, key))
                        f++;
                if (!f->name && !asks_for_nothing(v))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: not supported", key);
        }
        return json_decode(value, fields, target, err);
}

/* An array whose elements are closed objects: .decode_arg is the element's table. */
#define CLOSED_ARRAY(type, pointer, count, table, element)                                       \
        {                                                                                        \
                .decode = decode_closed, .decode_arg = (table), .element_size = sizeof(element), \
                .count_offset = JSON_ARRAY_COUNT(type, pointer, count)                           \
        }

static int bad(struct err *err, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected %s", value, rule);
}

static int decode_ignored(_unused_ const json_t *value, _unused_ void *member,
                          _unused_ const void *arg, _unused_ struct err *err)
{
        return 0;
}

static int decode_u64(const json_t *value, void *member, const void *arg, struct err *err)
{
        static const struct json_range not_negative = { 0, INT64_MAX };
        int64_t v;
        int r = decode_i64(value, &v, arg ? arg : &not_negative, err);

        if (r == 0)
                *(uint64_t *)member = (uint64_t)v;
        return r;
}

/* INT64_MAX is the largest integer JSON reaches here; it stands for no limit. */
static int decode_rlimit_value(const json_t *value, void *member, _unused_ const void *arg,
                               struct err *err)
{
        uint64_t v;
        int r = decode_u64(value, &v, NULL, err);

        if (r == 0)
                *(uint64_t *)member = v == INT64_MAX ? RLIM_INFINITY : v;
        return r;
}

static int decode_absolute(const json_t *value, void *member, const void *arg, struct err *err)
{
        int r = decode_string(value, member, arg, err);

        if (r == 0 && (*(char **)member)[0] != '/')
                return bad(err, *(char **)member, "an absolute path");
        return r;
}

static int decode_name(const json_t *value, void *member, const void *arg, struct err *err)
{
        const struct oci_name *names = arg;
        const char *s = json_string_value(value);

        for (; s && names->name; names++) {
                if (streq(names->name, s)) {
                        *(uint32_t *)member = names->value;
                        return 0;
                }
        }
        return bad(err, s ? s : "", "a name of the OCI runtime-spec that Skiff supports");
}

static int decode_capabilities(const json_t *value, void *member, _unused_ const void *arg,
                               struct err *err)
{
        _cleanup_strv_ char **names = NULL;
        uint64_t mask = 0;
        int r = decode_strv(value, &names, NULL, err);

        if (r < 0)
                return r;
        STRV_FOREACH (s, names) {
                int cap = startswith(*s, "CAP_") ? oci_cap_from_name(*s) : -EINVAL;

                if (cap < 0)
                        return bad(err, *s, "a capability such as CAP_CHOWN");
                mask |= UINT64_C(1) << cap;
        }
        *(uint64_t *)member = mask;
        return 0;
}

static const struct json_field capability_fields
        [] = { /* clang-format off */
        { "bounding",    decode_capabilities, offsetof(struct oci_process, cap_bounding) },
        { "effective",   decode_capabilities, offsetof(struct oci_process, cap_effective) },
        { "inheritable", decode_capabilities, offsetof(struct oci_process, cap_inheritable) },
        { "permitted",   decode_capabilities, offsetof(struct oci_process, cap_permitted) },
        { "ambient",     decode_capabilities, offsetof(struct oci_process, cap_ambient) },
        {}
}; /* clang-format on */

static const struct json_range id_range = { 0, UINT32_MAX - 1 };
static const struct json_range umask_range = { 0, 0777 };
static const struct json_array gid_array = {
        .decode = decode_u32,
        .decode_arg = &id_range,
        .element_size = sizeof(uint32_t),
        .count_offset = JSON_ARRAY_COUNT(struct oci_process, additional_gids, n_additional_gids),
        .max = 65536, /* NGROUPS_MAX */
};

static int decode_umask(const json_t *value, void *member, const void *arg, struct err *err)
{
        struct oci_process *p = CONTAINER_OF(member, struct oci_process, umask);

        p->has_umask = true;
        return decode_u32(value, member, arg, err);
}

static const struct json_field
        user_fields[] = { /* clang-format off */
        { "uid",            decode_u32,   offsetof(struct oci_process, uid), JSON_REQUIRED, &id_range },
        { "gid",            decode_u32,   offsetof(struct oci_process, gid), JSON_REQUIRED, &id_range },
        { "umask",          decode_umask, offsetof(struct oci_process, umask), 0, &umask_range },
        { "additionalGids", decode_array, offsetof(struct oci_process, additional_gids), 0, &gid_array },
        {}
}; /* clang-format on */

static const struct json_field rlimit_fields[] = { /* clang-format off */
        { "type", decode_string,       offsetof(struct oci_rlimit, type), JSON_REQUIRED },
        { "soft", decode_rlimit_value, offsetof(struct oci_rlimit, soft), JSON_REQUIRED },
        { "hard", decode_rlimit_value, offsetof(struct oci_rlimit, hard), JSON_REQUIRED },
        {}
}; /* clang-format on */
static const struct json_array rlimit_array = CLOSED_ARRAY(struct oci_process, rlimits, n_rlimits,
                                                           rlimit_fields, struct oci_rlimit);

static int decode_oom_score(const json_t *value, void *member, _unused_ const void *arg,
                            struct err *err)
{
        static const struct json_range range = { -1000, 1000 };
        struct oci_process *p = CONTAINER_OF(member, struct oci_process, oom_score_adj);

        p->has_oom_score_adj = true;
        return decode_i32(value, member, &range, err);
}

static int decode_args(const json_t *value, void *member, const void *arg, struct err *err)
{
        int r = decode_strv(value, member, arg, err);

        if (r == 0 && strv_len(*(char ***)member) == 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected at least one string: the program to run");
        return r;
}

/* Nested objects that live flat in struct oci_process: offset 0, the same target. */
static const struct json_field process_fields
        [] = { /* clang-format off */
        { "terminal",        decode_bool,      offsetof(struct oci_process, terminal) },
        { "consoleSize",     decode_ignored },
        { "user",            decode_closed,    0, JSON_REQUIRED, user_fields },
        { "args",            decode_args,      offsetof(struct oci_process, args), JSON_REQUIRED },
        { "env",             decode_strv,      offsetof(struct oci_process, env) },
        { "cwd",             decode_absolute,  offsetof(struct oci_process, cwd), JSON_REQUIRED },
        { "capabilities",    decode_closed,    0, 0, capability_fields },
        { "rlimits",         decode_array,     offsetof(struct oci_process, rlimits), 0, &rlimit_array },
        { "noNewPrivileges", decode_bool,      offsetof(struct oci_process, no_new_privileges) },
        { "apparmorProfile", decode_string,    offsetof(struct oci_process, apparmor_profile) },
        { "oomScoreAdj",     decode_oom_score, offsetof(struct oci_process, oom_score_adj) },
        {}
}; /* clang-format on */

static const struct json_field root_fields[] = { /* clang-format off */
        { "path",     decode_string, offsetof(struct oci_spec, root_path), JSON_REQUIRED },
        { "readonly", decode_bool,   offsetof(struct oci_spec, root_readonly) },
        {}
}; /* clang-format on */

static const struct json_field
        mount_fields[] = { /* clang-format off */
        { "destination", decode_absolute, offsetof(struct oci_mount, destination), JSON_REQUIRED },
        { "type",        decode_string,   offsetof(struct oci_mount, type) },
        { "source",      decode_string,   offsetof(struct oci_mount, source) },
        { "options",     decode_strv,     offsetof(struct oci_mount, options) },
        {}
}; /* clang-format on */
static const struct json_array mount_array = {
        .decode = decode_closed,
        .decode_arg = mount_fields,
        .element_size = sizeof(struct oci_mount),
        .count_offset = JSON_ARRAY_COUNT(struct oci_spec, mounts, n_mounts),
        .max = MOUNTS_MAX,
};

static int decode_namespaces(const json_t *value, void *member, _unused_ const void *arg,
                             struct err *err)
{
        struct parsed {
                int type;
                char *path;
        };
        static const struct json_field fields[] = {
                /* clang-format off */
                { "type", decode_enum,     offsetof(struct parsed, type), JSON_REQUIRED, oci_namespace_names },
                { "path", decode_absolute, offsetof(struct parsed, path) },
                {}
        }; /* clang-format on */
        struct oci_namespace *all = member;
        const json_t *e;
        size_t i;

        if (!json_is_array(value))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected an array");
        json_array_foreach ((json_t *)value, i, e) {
                struct parsed p = { 0 };
                int r = decode_closed(e, &p, fields, err);

                if (r == 0 && all[p.type].present)
                        r = bad(err, oci_namespace_names[p.type], "each type at most once");
                if (r < 0) {
                        free(p.path);
                        return err_wrap(err, r, "[%zu]", i);
                }
                all[p.type] = (struct oci_namespace){ .present = true, .path = p.path };
        }
        return 0;
}

static int decode_type(const json_t *value, void *member, const void *arg, struct err *err)
{
        const char *letters = arg, *s = json_string_value(value);

        if (!s || s[0] == '\0' || s[1] != '\0' || !strchr(letters, s[0]))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected one of '%s'",
                                    s ? s : "", letters);
        *(char *)member = s[0] == 'u' ? 'c' : s[0];
        return 0;
}

static const struct json_range device_number = { 0, DEVICE_NUMBER_MAX };
static const struct json_range mode_range = { 0, 0177777 };
static const struct json_field device_fields
        [] = { /* clang-format off */
        { "path",     decode_absolute, offsetof(struct oci_device, path), JSON_REQUIRED },
        { "type",     decode_type,     offsetof(struct oci_device, type), JSON_REQUIRED, "cubp" },
        { "major",    decode_i64,      offsetof(struct oci_device, major), 0, &device_number },
        { "minor",    decode_i64,      offsetof(struct oci_device, minor), 0, &device_number },
        { "fileMode", decode_u32,      offsetof(struct oci_device, file_mode), 0, &mode_range },
        { "uid",      decode_u32,      offsetof(struct oci_device, uid), 0, &id_range },
        { "gid",      decode_u32,      offsetof(struct oci_device, gid), 0, &id_range },
        {}
}; /* clang-format on */
static void init_device(void *d)
{
        ((struct oci_device *)d)->file_mode = 0666;
}
static const struct json_array device_array = {
        .decode = decode_closed,
        .decode_arg = device_fields,
        .element_size = sizeof(struct oci_device),
        .count_offset = JSON_ARRAY_COUNT(struct oci_spec, devices, n_devices),
        .init = init_device,
};

static int decode_access(const json_t *value, void *member, const void *arg, struct err *err)
{
        int r = decode_string(value, member, arg, err);
        const char *s;

        if (r < 0)
                return r;
        s = *(char **)member;
        return s[strspn(s, "rwm")] == '\0' ? 0 : bad(err, s, "letters of 'rwm'");
}

static const struct json_range rule_number = { -1, DEVICE_NUMBER_MAX };
static const struct json_field device_rule_fields
        [] = { /* clang-format off */
        { "allow",  decode_bool,   offsetof(struct oci_device_rule, allow), JSON_REQUIRED },
        { "type",   decode_type,   offsetof(struct oci_device_rule, type), 0, "acb" },
        { "major",  decode_i64,    offsetof(struct oci_device_rule, major), 0, &rule_number },
        { "minor",  decode_i64,    offsetof(struct oci_device_rule, minor), 0, &rule_number },
        { "access", decode_access, offsetof(struct oci_device_rule, access) },
        {}
}; /* clang-format on */
static void init_device_rule(void *rule)
{
        *(struct oci_device_rule *)rule =
                (struct oci_device_rule){ .type = 'a', .major = -1, .minor = -1 };
}
static const struct json_array device_rule_array = {
        .decode = decode_closed,
        .decode_arg = device_rule_fields,
        .element_size = sizeof(struct oci_device_rule),
        .count_offset = JSON_ARRAY_COUNT(struct oci_resources, devices, n_devices),
        .init = init_device_rule,
};

static const struct json_field
        cpu_fields[] = { /* clang-format off */
        { "shares", decode_i64,    offsetof(struct oci_resources, cpu_shares) },
        { "quota",  decode_i64,    offsetof(struct oci_resources, cpu_quota) },
        { "period", decode_i64,    offsetof(struct oci_resources, cpu_period) },
        { "cpus",   decode_string, offsetof(struct oci_resources, cpuset_cpus) },
        { "mems",   decode_string, offsetof(struct oci_resources, cpuset_mems) },
        {}
};
static const struct json_field memory_fields[] = {
        { "limit",       decode_i64, offsetof(struct oci_resources, memory_limit) },
        { "reservation", decode_i64, offsetof(struct oci_resources, memory_reservation) },
        { "swap",        decode_i64, offsetof(struct oci_resources, memory_swap) },
        { "checkBeforeUpdate", decode_ignored },
        {}
};
static const struct json_field pids_fields[] = {
        { "limit", decode_i64, offsetof(struct oci_resources, pids_limit) },
        {}
};
static const struct json_field hugepage_fields[] = {
        { "pageSize", decode_string, offsetof(struct oci_hugepage_limit, page_size), JSON_REQUIRED },
        { "limit",    decode_i64,    offsetof(struct oci_hugepage_limit, limit), JSON_REQUIRED },
        {}
}; /* clang-format on */
static const struct json_array hugepage_array = CLOSED_ARRAY(struct oci_resources, hugepage_limits,
                                                             n_hugepage_limits, hugepage_fields,
                                                             struct oci_hugepage_limit);

static int decode_unified(const json_t *value, void *member, const void *arg, struct err *err)
{
        struct string_map *m = member;
        int r = decode_string_map(value, member, arg, err);

        /* a file name of cgroup v2, never a path: "cpu.max", "hugetlb.2MB.max" */
        for (size_t i = 0; r == 0 && i < m->n; i++)
                if (strchr(m->entries[i].key, '/') || !strchr(m->entries[i].key, '.') ||
                    m->entries[i].key[0] == '.' || startswith(m->entries[i].key, "cgroup."))
                        r = bad(err, m->entries[i].key, "a controller's file such as memory.high");
        return r;
}

static const struct json_field resources_fields[] = { /* clang-format off */
        { "devices",        decode_array,   offsetof(struct oci_resources, devices), 0, &device_rule_array },
        { "cpu",            decode_closed,  0, 0, cpu_fields },
        { "memory",         decode_closed,  0, 0, memory_fields },
        { "pids",           decode_closed,  0, 0, pids_fields },
        { "hugepageLimits", decode_array,   offsetof(struct oci_resources, hugepage_limits), 0, &hugepage_array },
        { "unified",        decode_unified, offsetof(struct oci_resources, unified) },
        {}
}; /* clang-format on */

static const struct json_range arg_index = { 0, ARGS_MAX - 1 };
static const struct json_field
        seccomp_arg_fields[] = { /* clang-format off */
        { "index",    decode_u32,  offsetof(struct oci_seccomp_arg, index), JSON_REQUIRED, &arg_index },
        { "value",    decode_u64,  offsetof(struct oci_seccomp_arg, value), JSON_REQUIRED },
        { "valueTwo", decode_u64,  offsetof(struct oci_seccomp_arg, value_two) },
        { "op",       decode_name, offsetof(struct oci_seccomp_arg, op), JSON_REQUIRED, oci_seccomp_operators },
        {}
}; /* clang-format on */
static const struct json_array seccomp_arg_array = {
        .decode = decode_closed,
        .decode_arg = seccomp_arg_fields,
        .element_size = sizeof(struct oci_seccomp_arg),
        .count_offset = JSON_ARRAY_COUNT(struct oci_seccomp_rule, args, n_args),
        .max = ARGS_MAX,
};
static const struct json_range errno_range = { 0, 4095 };
static const struct json_field
        seccomp_rule_fields[] = { /* clang-format off */
        { "names",    decode_strv,  offsetof(struct oci_seccomp_rule, names), JSON_REQUIRED },
        { "action",   decode_name,  offsetof(struct oci_seccomp_rule, action), JSON_REQUIRED, oci_seccomp_actions },
        { "errnoRet", decode_i32,   offsetof(struct oci_seccomp_rule, errno_ret), 0, &errno_range },
        { "args",     decode_array, offsetof(struct oci_seccomp_rule, args), 0, &seccomp_arg_array },
        {}
}; /* clang-format on */
static void init_seccomp_rule(void *rule)
{
        ((struct oci_seccomp_rule *)rule)->errno_ret = -1;
}
static const struct json_array seccomp_rule_array = {
        .decode = decode_closed,
        .decode_arg = seccomp_rule_fields,
        .element_size = sizeof(struct oci_seccomp_rule),
        .count_offset = JSON_ARRAY_COUNT(struct oci_seccomp, rules, n_rules),
        .init = init_seccomp_rule,
};
static const struct json_field
        seccomp_fields[] = { /* clang-format off */
        { "defaultAction",   decode_name,  offsetof(struct oci_seccomp, default_action), JSON_REQUIRED, oci_seccomp_actions },
        { "defaultErrnoRet", decode_i32,   offsetof(struct oci_seccomp, default_errno_ret), 0, &errno_range },
        { "architectures",   decode_strv,  offsetof(struct oci_seccomp, architectures) },
        { "flags",           decode_strv,  offsetof(struct oci_seccomp, flags) },
        { "syscalls",        decode_array, offsetof(struct oci_seccomp, rules), 0, &seccomp_rule_array },
        {}
}; /* clang-format on */

static int decode_seccomp(const json_t *value, void *member, _unused_ const void *arg,
                          struct err *err)
{
        struct oci_seccomp *s = calloc(1, sizeof *s);

        if (!s)
                return err_sys(err, -ENOMEM, "read object");
        s->default_errno_ret = -1;
        oci_seccomp_free(*(struct oci_seccomp **)member);
        *(struct oci_seccomp **)member = s;
        return decode_closed(value, s, seccomp_fields, err);
}

static const char *const propagations[] = { "private", "rprivate", "slave",      "rslave",
                                            "shared",  "rshared",  "unbindable", NULL };

static int decode_propagation(const json_t *value, void *member, const void *arg, struct err *err)
{
        int r = decode_string(value, member, arg, err);

        if (r == 0 && **(char **)member &&
            !strv_contains((char *const *)propagations, *(char **)member))
                return bad(err, *(char **)member, "private, slave or shared");
        return r;
}

static const struct json_field linux_fields
        [] = { /* clang-format off */
        { "namespaces",        decode_namespaces,  offsetof(struct oci_spec, namespaces) },
        { "devices",           decode_array,       offsetof(struct oci_spec, devices), 0, &device_array },
        { "cgroupsPath",       decode_string,      offsetof(struct oci_spec, cgroups_path) },
        { "resources",         decode_closed,      offsetof(struct oci_spec, resources), 0, resources_fields },
        { "seccomp",           decode_seccomp,     offsetof(struct oci_spec, seccomp) },
        { "sysctl",            decode_string_map,  offsetof(struct oci_spec, sysctl) },
        { "maskedPaths",       decode_strv,        offsetof(struct oci_spec, masked_paths) },
        { "readonlyPaths",     decode_strv,        offsetof(struct oci_spec, readonly_paths) },
        { "rootfsPropagation", decode_propagation, offsetof(struct oci_spec, rootfs_propagation) },
        {}
}; /* clang-format on */

static int decode_version(const json_t *value, void *member, const void *arg, struct err *err)
{
        int r = decode_string(value, member, arg, err);

        if (r == 0 && !startswith(*(char **)member, "1."))
                return bad(err, *(char **)member, "a version 1.x of the OCI runtime-spec");
        return r;
}

static const struct json_field
        spec_fields[] = { /* clang-format off */
        { "ociVersion",  decode_version,    offsetof(struct oci_spec, version), JSON_REQUIRED },
        { "process",     decode_closed,     offsetof(struct oci_spec, process), JSON_REQUIRED, process_fields },
        { "root",        decode_closed,     0, JSON_REQUIRED, root_fields },
        { "hostname",    decode_string,     offsetof(struct oci_spec, hostname) },
        { "mounts",      decode_array,      offsetof(struct oci_spec, mounts), 0, &mount_array },
        { "annotations", decode_string_map, offsetof(struct oci_spec, annotations) },
        { "linux",       decode_closed,     0, 0, linux_fields },
        {}
}; /* clang-format on */

int oci_spec_parse(const json_t *config, struct oci_spec *ret, struct err *err)
{
        return decode_closed(config, ret, spec_fields, err);
}

int oci_seccomp_parse(const json_t *object, struct oci_seccomp **ret, struct err *err)
{
        return decode_seccomp(object, ret, NULL, err);
}
