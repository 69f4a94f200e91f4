/*
 * What a program finds in its environment and on its command line.
 * Source: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars/envvars.go.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/container-parts.h"
#include "kubelet/env-file.h"
#include "kubelet/expand.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- the list ---- */
void env_done(struct env *e)
{
        for (size_t i = 0; i < e->n; i++) {
                free(e->entries[i].name);
                free(e->entries[i].value);
        }
        free(e->entries);
        map_free(e->index);
        *e = (struct env){ 0 };
}

static struct env_entry *find(const struct env *e, const char *name)
{
        uintptr_t number = (uintptr_t)map_get(e->index, name);

        return number ? &e->entries[number - 1] : NULL;
}

const char *env_get(const struct env *e, const char *name)
{
        const struct env_entry *entry = find(e, name);

        return entry ? entry->value : NULL;
}

static int grow(struct env *e)
{
        size_t cap = e->cap ? 2 * e->cap : 32;
        struct env_entry *grown;

        if (!e->index)
                e->index = map_new();
        if (!e->index)
                return -ENOMEM;
        if (e->n < e->cap)
                return 0;
        grown = realloc(e->entries, cap * sizeof *grown);
        if (!grown)
                return -ENOMEM;
        e->entries = grown;
        e->cap = cap;
        return 0;
}

int env_set(struct env *e, const char *name, const char *value)
{
        struct env_entry *entry = find(e, name), fresh;

        if (entry)
                return free_and_strdup(&entry->value, value);
        if (grow(e) < 0)
                return -ENOMEM;
        fresh = (struct env_entry){ strdup(name), strdup(value) };
        if (!fresh.name || !fresh.value ||
            map_put(e->index, name, (void *)(uintptr_t)(e->n + 1), NULL) < 0) {
                free(fresh.name);
                free(fresh.value);
                return -ENOMEM;
        }
        e->entries[e->n++] = fresh;
        return 0;
}

/* ---- values out of ConfigMaps and Secrets ---- */
struct building {
        const struct container_input *in;
        struct env *env;
        struct env services; /* known to references, and added at the end */
};

static int config_error(struct err *err, int r, const char *fmt, ...) _printf_(3, 4);
static int config_error(struct err *err, int r, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        return err_set_kind(err, r, ERR_CONTAINER_CONFIG, "%s", text ? text : "out of memory");
}

/* The text of one key: of a Secret it is base64. 1: found. */
static int read_key(const json_t *object, bool is_secret, const char *key, char **ret,
                    struct err *err)
{
        const json_t *v = json_object_get(json_object_get(object, "data"), key);
        const char *s = json_string_value(v);
        size_t n = json_string_length(v);
        _cleanup_free_ char *text = NULL;
        int r = 0;

        if (!s)
                return 0;
        if (is_secret)
                r = base64_decode(s, n, (uint8_t **)&text, &n);
        else
                text = strdup(s);
        if (r == -EINVAL)
                return config_error(err, r, "key '%s' of a Secret: expected base64", key);
        if (!text)
                return err_sys(err, -ENOMEM, "read key '%s'", key);
        if (memchr(is_secret ? text : s, '\0', n))
                return config_error(err, -EINVAL,
                                    "key '%s': expected text without NUL bytes, for an "
                                    "environment variable",
                                    key);
        *ret = TAKE_PTR(text);
        return 1;
}

static int missing_object(struct err *err, bool is_secret, const char *name)
{
        return config_error(err, -ENOENT, "%s \"%s\" not found", is_secret ? "secret" : "configmap",
                            name);
}

static int add_all_keys(struct building *b, const struct pod_env_from *from, const json_t *object,
                        struct err *err)
{
        const char *key;
        json_t *v;

        json_object_foreach (json_object_get(object, "data"), key, v) {
                _cleanup_free_ char *name = text_printf("%s%s", from->prefix, key);
                _cleanup_free_ char *value = NULL;
                int r = read_key(object, from->is_secret, key, &value, err);

                if (r < 0)
                        return r;
                if (!value)
                        continue;
                if (!name || env_set(b->env, name, value) < 0)
                        return err_sys(err, -ENOMEM, "read envFrom");
        }
        return 0;
}

static int add_env_from(struct building *b, struct err *err)
{
        const struct pod_container *c = b->in->container;

        for (size_t i = 0; i < c->n_env_from; i++) {
                const struct pod_env_from *from = &c->env_from[i];
                const json_t *object = b->in->object(from->is_secret, from->name, b->in->userdata);
                int r;

                if (!object && from->optional)
                        continue;
                if (!object)
                        return missing_object(err, from->is_secret, from->name);
                r = add_all_keys(b, from, object, err);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- env ---- */
/* 1: *ret is the value; 0: optional and not there, the variable is left out. */
static int value_of_key(const struct container_input *in, const struct pod_value_from *from,
                        char **ret, struct err *err)
{
        bool is_secret = from->kind == POD_VALUE_SECRET;
        const char *name = from->name ? from->name : "";
        const json_t *object = in->object(is_secret, name, in->userdata);
        int r;

        if (!object)
                return from->optional ? 0 : missing_object(err, is_secret, name);
        r = read_key(object, is_secret, from->key, ret, err);
        if (r != 0 || from->optional)
                return r;
        return config_error(err, -ENOENT, "couldn't find key %s in %s %s/%s", from->key,
                            is_secret ? "Secret" : "ConfigMap", in->pod->namespace, name);
}

static int value_of_file(const struct container_input *in, const struct pod_value_from *from,
                         char **ret, struct err *err)
{
        _cleanup_free_ char *text = NULL, *value = NULL;

        if (!pod_find_volume(in->pod, from->name))
                return config_error(err, -ENOENT,
                                    "cannot find the volume \"%s\" referenced by FileKeyRef",
                                    from->name);
        if (in->read_file(from->name, from->path, &text, in->userdata) < 0 ||
            env_file_get(text, from->key, &value, NULL) < 0)
                return config_error(err, -EINVAL, "couldn't parse env file");
        if (*value == '\0')
                return from->optional ? 0
                                      : config_error(err, -ENOENT,
                                                     "environment variable key \"%s\" not found "
                                                     "in file \"%s\"",
                                                     from->key, from->path);
        *ret = TAKE_PTR(value);
        return 1;
}

static int value_from(const struct container_input *in, const struct pod_value_from *from,
                      char **ret, struct err *err)
{
        const struct field_facts facts = { in->node_name, in->pod_ip, in->pod_ips, in->host_ip,
                                           in->host_ips };
        int r;

        switch (from->kind) {
        case POD_VALUE_FIELD:
                r = field_path_value(in->pod, from->field_path, &facts, ret, err);
                return r < 0 ? r : 1;
        case POD_VALUE_RESOURCE:
                r = field_resource_value(in->pod, in->container, from, &in->allocatable, ret, err);
                return r < 0 ? r : 1;
        case POD_VALUE_FILE:
                return value_of_file(in, from, ret, err);
        default:
                return value_of_key(in, from, ret, err);
        }
}

/* A reference sees what was set before it, and the services. */
static const char *lookup_while_building(const char *name, void *userdata)
{
        const struct building *b = userdata;
        const char *value = env_get(b->env, name);

        return value ? value : env_get(&b->services, name);
}

static int too_long(struct err *err, const char *what, const char *name)
{
        return config_error(err, -E2BIG, "%s '%s': expected at most %d bytes when expanded", what,
                            name, EXPAND_MAX);
}

static int add_env(struct building *b, struct err *err)
{
        const struct pod_container *c = b->in->container;

        for (size_t i = 0; i < c->n_env; i++) {
                const struct pod_env *e = &c->env[i];
                _cleanup_free_ char *value = NULL;
                int r = 1;

                if (*e->value || !e->from)
                        r = expand(e->value, lookup_while_building, b, &value);
                else
                        r = value_from(b->in, e->from, &value, err);
                if (r == -E2BIG)
                        return too_long(err, "environment variable", e->name);
                if (r == -ENOMEM)
                        return err_sys(err, r, "make the environment");
                if (r < 0)
                        return r;
                if (value && env_set(b->env, e->name, value) < 0)
                        return err_sys(err, -ENOMEM, "make the environment");
        }
        return 0;
}

/* ---- services ---- */
/* "my-svc" -> "MY_SVC"; owned. */
static char *variable_name(const char *s)
{
        char *name = strdup(s);

        for (char *p = name; p && *p; p++)
                *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        return name;
}

static int set_service(struct env *e, const char *value, const char *fmt, ...) _printf_(3, 4);
static int set_service(struct env *e, const char *value, const char *fmt, ...)
{
        _cleanup_free_ char *name = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&name, fmt, ap) < 0)
                name = NULL;
        va_end(ap);
        return name && value ? env_set(e, name, value) : -ENOMEM;
}

static int add_service_port(struct env *e, const char *prefix, const struct service_info *s,
                            size_t i)
{
        const struct service_port_info *p = &s->ports[i];
        _cleanup_free_ char *upper = variable_name(p->protocol ? p->protocol : "TCP");
        _cleanup_free_ char *lower = strdup(p->protocol ? p->protocol : "TCP");
        bool v6 = strchr(s->cluster_ip, ':') != NULL;
        _cleanup_free_ char *port = text_printf("%u", p->port), *url = NULL;
        int r;

        for (char *c = lower; c && *c; c++)
                *c = (char)tolower((unsigned char)*c);
        if (!upper || !lower || !port)
                return -ENOMEM;
        url = text_printf(v6 ? "%s://[%s]:%s" : "%s://%s:%s", lower, s->cluster_ip, port);
        r = i == 0 ? set_service(e, url, "%s_PORT", prefix) : 0;
        if (r == 0)
                r = set_service(e, url, "%s_PORT_%s_%s", prefix, port, upper);
        if (r == 0)
                r = set_service(e, lower, "%s_PORT_%s_%s_PROTO", prefix, port, upper);
        if (r == 0)
                r = set_service(e, port, "%s_PORT_%s_%s_PORT", prefix, port, upper);
        if (r == 0)
                r = set_service(e, s->cluster_ip, "%s_PORT_%s_%s_ADDR", prefix, port, upper);
        return r;
}

static int add_named_ports(struct env *e, const char *prefix, const struct service_info *s)
{
        for (size_t i = 0; i < s->n_ports; i++) {
                _cleanup_free_ char *name = NULL, *port = NULL;

                if (!s->ports[i].name || !*s->ports[i].name)
                        continue;
                name = variable_name(s->ports[i].name);
                port = text_printf("%u", s->ports[i].port);
                if (!name || set_service(e, port, "%s_SERVICE_PORT_%s", prefix, name) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_service(struct env *e, const struct service_info *s)
{
        _cleanup_free_ char *prefix = variable_name(s->name);
        _cleanup_free_ char *port = s->n_ports > 0 ? text_printf("%u", s->ports[0].port) : NULL;
        int r;

        if (!prefix || s->n_ports == 0)
                return prefix ? 0 : -ENOMEM;
        r = set_service(e, s->cluster_ip, "%s_SERVICE_HOST", prefix);
        if (r == 0)
                r = set_service(e, port, "%s_SERVICE_PORT", prefix);
        if (r == 0)
                r = add_named_ports(e, prefix, s);
        for (size_t i = 0; i < s->n_ports && r == 0; i++)
                r = add_service_port(e, prefix, s, i);
        return r;
}

static int collect_services(struct building *b)
{
        for (size_t i = 0; i < b->in->n_services; i++) {
                int r = add_service(&b->services, b->in->services[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* They lose against everything. */
static int add_services(struct building *b)
{
        for (size_t i = 0; i < b->services.n; i++) {
                const struct env_entry *s = &b->services.entries[i];

                if (!env_get(b->env, s->name) && env_set(b->env, s->name, s->value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int container_env_build(const struct container_input *in, struct env *ret, struct err *err)
{
        struct building b = { .in = in, .env = ret };
        int r = collect_services(&b);

        if (r < 0)
                err_sys(err, r, "read services");
        if (r == 0)
                r = add_env_from(&b, err);
        if (r == 0)
                r = add_env(&b, err);
        if (r == 0) {
                r = add_services(&b);
                if (r < 0)
                        err_sys(err, r, "make the environment");
        }
        env_done(&b.services);
        return r;
}

/* ---- command line ---- */
static const char *lookup_built(const char *name, void *userdata)
{
        return env_get(userdata, name);
}

static int append_expanded(char ***args, char *const *words, struct env *env, struct err *err)
{
        STRV_FOREACH (w, words) {
                char *text = NULL;
                int r = expand(*w, lookup_built, env, &text);

                if (r == -E2BIG)
                        return too_long(err, "argument", *w);
                if (r == 0)
                        r = strv_consume(args, text);
                if (r < 0)
                        return err_sys(err, r, "make the command line");
        }
        return 0;
}

static int append_words(char ***args, char *const *words, struct err *err)
{
        STRV_FOREACH (w, words)
                if (strv_append(args, *w) < 0)
                        return err_sys(err, -ENOMEM, "make the command line");
        return 0;
}

/* A command of the pod's own drops the image's arguments too. */
static int make_args(const struct container_input *in, struct env *env, char ***args,
                     struct err *err)
{
        const struct pod_container *c = in->container;
        bool own_command = strv_len(c->command) > 0, own_args = strv_len(c->args) > 0;
        int r = own_command ? append_expanded(args, c->command, env, err)
                            : append_words(args, in->image->entrypoint, err);

        if (r == 0 && own_args)
                r = append_expanded(args, c->args, env, err);
        else if (r == 0 && !own_command)
                r = append_words(args, in->image->cmd, err);
        if (r == 0 && strv_len(*args) == 0)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CREATE, "no command specified");
        return r;
}

/* ---- environment ---- */
static int set_default(struct env *e, const char *name, const char *value)
{
        return value && !env_get(e, name) ? env_set(e, name, value) : 0;
}

static int add_image_env(const struct container_input *in, struct env *e)
{
        STRV_FOREACH (s, in->image->env) {
                const char *equals = strchr(*s, '=');
                _cleanup_free_ char *name = NULL;

                if (!equals || equals == *s)
                        continue; /* an image may hold anything; this is no variable */
                name = strndup(*s, (size_t)(equals - *s));
                if (!name || env_set(e, name, equals + 1) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int merge_env(const struct container_input *in, const struct env *own, struct env *all)
{
        const char *home = in->user->home && *in->user->home ? in->user->home
                           : in->user->uid == 0              ? "/root"
                                                             : "/";
        int r = in->hostname ? env_set(all, "HOSTNAME", in->hostname) : 0;

        if (r == 0)
                r = add_image_env(in, all);
        if (r == 0 && in->container->tty)
                r = set_default(all, "TERM", "xterm");
        for (size_t i = 0; i < own->n && r == 0; i++)
                r = env_set(all, own->entries[i].name, own->entries[i].value);
        if (r == 0)
                r = set_default(all, "PATH", DEFAULT_PATH);
        return r < 0 ? r : set_default(all, "HOME", home);
}

static int write_env(const struct env *e, char ***ret)
{
        char **list = calloc(e->n + 1, sizeof *list);

        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < e->n; i++) {
                list[i] = text_printf("%s=%s", e->entries[i].name, e->entries[i].value);
                if (!list[i]) {
                        strv_free(list);
                        return -ENOMEM;
                }
        }
        *ret = list;
        return 0;
}

int container_add_process(const struct container_input *in, struct oci_spec *spec, struct err *err)
{
        const char *cwd = in->container->working_dir ? in->container->working_dir
                                                     : in->image->working_dir;
        _cleanup_(env_done)
        struct env own = { 0 }, all = { 0 };
        int r = container_env_build(in, &own, err);

        if (r == 0)
                r = make_args(in, &own, &spec->process.args, err);
        if (r < 0)
                return r;
        r = merge_env(in, &own, &all);
        if (r == 0)
                r = write_env(&all, &spec->process.env);
        if (r == 0)
                r = free_and_strdup(&spec->process.cwd, cwd && *cwd ? cwd : "/");
        spec->process.terminal = in->container->tty;
        return r < 0 ? err_sys(err, r, "make the environment") : 0;
}

/* ---- subPathExpr ---- */
struct sub_path {
        const struct env *env;
        char **missing; /* owned; sorted below */
        bool failed;
};

static const char *lookup_sub_path(const char *name, void *userdata)
{
        struct sub_path *s = userdata;
        const char *value = env_get(s->env, name);

        if (value && *value)
                return value;
        if (!strv_contains(s->missing, name) && strv_append(&s->missing, name) < 0)
                s->failed = true;
        return "";
}

static int by_text(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

int container_expand_sub_path(const struct container_input *in, const char *expr, char **ret,
                              struct err *err)
{
        _cleanup_(env_done)
        struct env env = { 0 };
        struct sub_path s = { .env = &env };
        _cleanup_free_ char *text = NULL, *names = NULL;
        _cleanup_strv_ char **missing = NULL;
        int r = container_env_build(in, &env, err);

        if (r < 0)
                return r;
        r = expand(expr, lookup_sub_path, &s, &text);
        missing = s.missing;
        if (r == -E2BIG)
                return too_long(err, "subPathExpr", expr);
        if (r < 0 || s.failed)
                return err_sys(err, -ENOMEM, "expand subPathExpr");
        if (missing) {
                qsort(missing, strv_len(missing), sizeof *missing, by_text);
                names = strv_join(missing, ", ");
                return config_error(err, -ENOENT, "missing value for %s", names ? names : "?");
        }
        *ret = TAKE_PTR(text);
        return 0;
}
