/*
 * struct oci_spec as the document config.json. What is unset is left out, so that the reader's
 * defaults and ours are the same thing. Without memory a json_set() fails and all of it is dropped.
 */
#include <errno.h>
#include <seccomp.h>

#include "base/text.h"
#include "runtime/oci-spec-names.h"

/* jansson's integers end at INT64_MAX, which stands for "unlimited" (2^64 - 1) in an rlimit. */
static json_t *number_of(uint64_t v)
{
        return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static json_t *strings_of(char *const *v)
{
        json_t *a = json_array();

        STRV_FOREACH (s, v) {
                if (json_array_append_new(a, json_string(*s)) < 0) {
                        json_decref(a);
                        return NULL;
                }
        }
        return a;
}

static int set_strings(json_t *o, const char *key, char *const *v)
{
        return v ? json_set(o, key, strings_of(v)) : 0;
}

static int set_number(json_t *o, const char *key, int64_t v)
{
        return v == OCI_UNSET ? 0 : json_set(o, key, json_integer(v));
}

static int set_flag(json_t *o, const char *key, bool v)
{
        return v ? json_set(o, key, json_true()) : 0;
}

static int set_map(json_t *o, const char *key, const struct string_map *m)
{
        return m->n ? json_set(o, key, string_map_to_json(m)) : 0;
}

/* Takes @value; an empty object or array says nothing and is left out. */
static int set_unless_empty(json_t *o, const char *key, json_t *value)
{
        if (value && json_object_size(value) == 0 && json_array_size(value) == 0) {
                json_decref(value);
                return 0;
        }
        return json_set(o, key, value);
}

/* One element of an array, or NULL when it could not be built; @r collects the json_set()s. */
static json_t *built(json_t *o, int r)
{
        if (r < 0) {
                json_decref(o);
                return NULL;
        }
        return o;
}

static json_t *capabilities_of(uint64_t mask)
{
        json_t *a = json_array();

        for (int cap = 0; oci_cap_name(cap); cap++) {
                if (!(mask >> cap & 1))
                        continue;
                if (json_array_append_new(a, json_string(oci_cap_name(cap))) < 0) {
                        json_decref(a);
                        return NULL;
                }
        }
        return a;
}

static json_t *user_of(const struct oci_process *p)
{
        json_t *o = json_object();
        int r = json_set(o, "uid", json_integer(p->uid)) | json_set(o, "gid", json_integer(p->gid));

        if (p->has_umask)
                r |= json_set(o, "umask", json_integer(p->umask));
        if (p->n_additional_gids) {
                json_t *gids = json_array();

                for (size_t i = 0; i < p->n_additional_gids; i++)
                        r |= json_array_append_new(gids, json_integer(p->additional_gids[i]));
                r |= json_set(o, "additionalGids", gids);
        }
        return built(o, r);
}

static json_t *process_of(const struct oci_process *p)
{
        json_t *o = json_object(), *caps = json_object(), *rlimits = json_array();
        int r = 0;

        r |= set_flag(o, "terminal", p->terminal);
        r |= json_set(o, "user", user_of(p));
        r |= json_set(o, "args", strings_of(p->args));
        r |= set_strings(o, "env", p->env);
        r |= json_set_text(o, "cwd", p->cwd);
        r |= json_set(caps, "bounding", capabilities_of(p->cap_bounding));
        r |= json_set(caps, "effective", capabilities_of(p->cap_effective));
        r |= json_set(caps, "inheritable", capabilities_of(p->cap_inheritable));
        r |= json_set(caps, "permitted", capabilities_of(p->cap_permitted));
        r |= json_set(caps, "ambient", capabilities_of(p->cap_ambient));
        r |= json_set(o, "capabilities", caps);
        for (size_t i = 0; i < p->n_rlimits; i++)
                r |= json_array_append_new(rlimits,
                                           json_pack("{s:s, s:o, s:o}", "type", p->rlimits[i].type,
                                                     "hard", number_of(p->rlimits[i].hard), "soft",
                                                     number_of(p->rlimits[i].soft)));
        r |= set_unless_empty(o, "rlimits", rlimits);
        r |= set_flag(o, "noNewPrivileges", p->no_new_privileges);
        r |= json_set_text(o, "apparmorProfile", p->apparmor_profile);
        if (p->has_oom_score_adj)
                r |= json_set(o, "oomScoreAdj", json_integer(p->oom_score_adj));
        return built(o, r);
}

static json_t *mount_of(const struct oci_mount *m)
{
        json_t *o = json_object();
        int r = json_set_text(o, "destination", m->destination);

        r |= json_set_text(o, "type", m->type);
        r |= json_set_text(o, "source", m->source);
        r |= set_strings(o, "options", m->options);
        return built(o, r);
}

static json_t *device_of(const struct oci_device *d)
{
        char type[] = { d->type, '\0' };

        return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "path", d->path, "type", type,
                         "major", (json_int_t)d->major, "minor", (json_int_t)d->minor, "fileMode",
                         (json_int_t)d->file_mode, "uid", (json_int_t)d->uid, "gid",
                         (json_int_t)d->gid);
}

static json_t *device_rule_of(const struct oci_device_rule *rule)
{
        json_t *o = json_object();
        char type[] = { rule->type, '\0' };
        int r = json_set(o, "allow", json_boolean(rule->allow));

        r |= json_set_text(o, "type", type);
        if (rule->major >= 0)
                r |= json_set(o, "major", json_integer(rule->major));
        if (rule->minor >= 0)
                r |= json_set(o, "minor", json_integer(rule->minor));
        r |= json_set_text(o, "access", rule->access);
        return built(o, r);
}

static json_t *resources_of(const struct oci_resources *res)
{
        json_t *o = json_object(), *devices = json_array(), *memory = json_object(),
               *cpu = json_object(), *pids = json_object(), *pages = json_array();
        int r = 0;

        for (size_t i = 0; i < res->n_devices; i++)
                r |= json_array_append_new(devices, device_rule_of(&res->devices[i]));
        r |= set_unless_empty(o, "devices", devices);
        r |= set_number(memory, "limit", res->memory_limit);
        r |= set_number(memory, "reservation", res->memory_reservation);
        r |= set_number(memory, "swap", res->memory_swap);
        r |= set_unless_empty(o, "memory", memory);
        r |= set_number(cpu, "shares", res->cpu_shares);
        r |= set_number(cpu, "quota", res->cpu_quota);
        r |= set_number(cpu, "period", res->cpu_period);
        r |= json_set_text(cpu, "cpus", res->cpuset_cpus);
        r |= json_set_text(cpu, "mems", res->cpuset_mems);
        r |= set_unless_empty(o, "cpu", cpu);
        r |= set_number(pids, "limit", res->pids_limit);
        r |= set_unless_empty(o, "pids", pids);
        for (size_t i = 0; i < res->n_hugepage_limits; i++)
                r |= json_array_append_new(pages,
                                           json_pack("{s:s, s:I}", "pageSize",
                                                     res->hugepage_limits[i].page_size, "limit",
                                                     (json_int_t)res->hugepage_limits[i].limit));
        r |= set_unless_empty(o, "hugepageLimits", pages);
        r |= set_map(o, "unified", &res->unified);
        return built(o, r);
}

/* SCMP_ACT_KILL reads as _THREAD, so the last of two names is the one to write. */
static const char *name_of(const struct oci_name *names, uint32_t value)
{
        const char *found = NULL;

        for (; names->name; names++)
                if (names->value == value)
                        found = names->name;
        return found;
}

static json_t *seccomp_rule_of(const struct oci_seccomp_rule *rule)
{
        json_t *o = json_object(), *args = json_array();
        int r = json_set(o, "names", strings_of(rule->names));

        r |= json_set(o, "action", json_string(name_of(oci_seccomp_actions, rule->action)));
        if (rule->errno_ret >= 0)
                r |= json_set(o, "errnoRet", json_integer(rule->errno_ret));
        for (size_t i = 0; i < rule->n_args; i++) {
                const struct oci_seccomp_arg *a = &rule->args[i];

                r |= json_array_append_new(
                        args,
                        json_pack("{s:I, s:I, s:I, s:s}", "index", (json_int_t)a->index, "value",
                                  (json_int_t)a->value, "valueTwo", (json_int_t)a->value_two, "op",
                                  name_of(oci_seccomp_operators, (uint32_t)a->op)));
        }
        r |= set_unless_empty(o, "args", args);
        return built(o, r);
}

json_t *oci_seccomp_to_json(const struct oci_seccomp *s)
{
        json_t *o = json_object(), *rules = json_array();
        int r = json_set(o, "defaultAction",
                         json_string(name_of(oci_seccomp_actions, s->default_action)));

        if (s->default_errno_ret >= 0)
                r |= json_set(o, "defaultErrnoRet", json_integer(s->default_errno_ret));
        r |= set_strings(o, "architectures", s->architectures);
        r |= set_strings(o, "flags", s->flags);
        for (size_t i = 0; i < s->n_rules; i++)
                r |= json_array_append_new(rules, seccomp_rule_of(&s->rules[i]));
        r |= json_set(o, "syscalls", rules);
        return built(o, r);
}

static json_t *namespaces_of(const struct oci_spec *spec)
{
        json_t *a = json_array();
        int r = 0;

        for (int i = 0; i < _OCI_NS_MAX; i++) {
                json_t *o;
                int n;

                if (!spec->namespaces[i].present)
                        continue;
                o = json_object();
                n = json_set_text(o, "type", oci_namespace_names[i]);
                n |= json_set_text(o, "path", spec->namespaces[i].path);
                r |= json_array_append_new(a, built(o, n));
        }
        return built(a, r);
}

static json_t *linux_of(const struct oci_spec *spec)
{
        json_t *o = json_object(), *devices = json_array();
        int r = 0;

        r |= set_map(o, "sysctl", &spec->sysctl);
        r |= set_unless_empty(o, "resources", resources_of(&spec->resources));
        r |= json_set_text(o, "cgroupsPath", spec->cgroups_path);
        r |= json_set(o, "namespaces", namespaces_of(spec));
        for (size_t i = 0; i < spec->n_devices; i++)
                r |= json_array_append_new(devices, device_of(&spec->devices[i]));
        r |= set_unless_empty(o, "devices", devices);
        if (spec->seccomp)
                r |= json_set(o, "seccomp", oci_seccomp_to_json(spec->seccomp));
        r |= json_set_text(o, "rootfsPropagation", spec->rootfs_propagation);
        r |= set_strings(o, "maskedPaths", spec->masked_paths);
        r |= set_strings(o, "readonlyPaths", spec->readonly_paths);
        return built(o, r);
}

json_t *oci_spec_to_json(const struct oci_spec *spec)
{
        json_t *o = json_object(), *root = json_object(), *mounts = json_array();
        int r = 0;

        r |= json_set_text(o, "ociVersion", spec->version ? spec->version : "1.1.0");
        r |= json_set(o, "process", process_of(&spec->process));
        r |= json_set_text(root, "path", spec->root_path ? spec->root_path : "rootfs");
        r |= set_flag(root, "readonly", spec->root_readonly);
        r |= json_set(o, "root", root);
        r |= json_set_text(o, "hostname", spec->hostname);
        for (size_t i = 0; i < spec->n_mounts; i++)
                r |= json_array_append_new(mounts, mount_of(&spec->mounts[i]));
        r |= set_unless_empty(o, "mounts", mounts);
        r |= set_map(o, "annotations", &spec->annotations);
        r |= json_set(o, "linux", linux_of(spec));
        return built(o, r);
}

int oci_config_update_resources(json_t *config, const struct oci_resources *res)
{
        json_auto_t *changes = json_pack("{s:{s:o}}", "linux", "resources", resources_of(res));

        return changes && json_object_update_recursive(config, changes) == 0 ? 0 : -ENOMEM;
}
