#include "kubelet/field-path.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"

/* As Go's strconv.Quote for what labels and annotations hold: printable text stays itself. */
static void add_quoted(struct strbuf *b, const char *s)
{
        strbuf_add(b, "\"");
        for (; *s; s++) {
                unsigned char c = (unsigned char)*s;

                if (c == '"' || c == '\\')
                        strbuf_addf(b, "\\%c", c);
                else if (c == '\n')
                        strbuf_add(b, "\\n");
                else if (c == '\t')
                        strbuf_add(b, "\\t");
                else if (c == '\r')
                        strbuf_add(b, "\\r");
                else if (c < ' ' || c == 0x7f)
                        strbuf_addf(b, "\\x%02x", c);
                else
                        strbuf_add_n(b, s, 1);
        }
        strbuf_add(b, "\"");
}

static char *format_map(const struct string_map *m)
{
        struct strbuf b = { 0 };

        for (size_t i = 0; i < m->n; i++) {
                strbuf_addf(&b, "%s%s=", i > 0 ? "\n" : "", m->entries[i].key);
                add_quoted(&b, m->entries[i].value);
        }
        return strbuf_take(&b);
}

/* The k of "<prefix>['k']"; owned. NULL: @path has another form. */
static char *subscript(const char *path, const char *prefix)
{
        const char *rest = startswith(path, prefix);
        size_t n = rest ? strlen(rest) : 0;

        if (n < 4 || !startswith(rest, "['") || !endswith(rest, "']"))
                return NULL;
        return strndup(rest + 2, n - 4);
}

static int give(char **ret, char *value, struct err *err)
{
        if (!value)
                return err_sys(err, -ENOMEM, "read field");
        *ret = value;
        return 0;
}

static const char *plain_field(const struct pod *pod, const char *path,
                               const struct field_facts *facts)
{
        const struct {
                const char *path, *value;
        } fields[] = {
                { "metadata.name", pod->name },
                { "metadata.namespace", pod->namespace },
                { "metadata.uid", pod->uid },
                { "spec.nodeName", facts ? facts->node_name : NULL },
                { "spec.serviceAccountName", !facts                 ? NULL
                                             : pod->service_account ? pod->service_account
                                                                    : "" },
                { "status.hostIP", facts ? facts->host_ip : NULL },
                { "status.hostIPs", facts ? facts->host_ips : NULL },
                { "status.podIP", facts ? facts->pod_ip : NULL },
                { "status.podIPs", facts ? facts->pod_ips : NULL },
        };

        for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
                if (streq(fields[i].path, path))
                        return fields[i].value;
        return NULL;
}

int field_path_value(const struct pod *pod, const char *path, const struct field_facts *facts,
                     char **ret, struct err *err)
{
        _cleanup_free_ char *label = subscript(path, "metadata.labels");
        _cleanup_free_ char *annotation = subscript(path, "metadata.annotations");
        const char *value;

        if (label || annotation) {
                value = string_map_get(label ? &pod->labels : &pod->annotations,
                                       label ? label : annotation);
                return give(ret, strdup(value ? value : ""), err);
        }
        if (streq(path, "metadata.labels"))
                return give(ret, format_map(&pod->labels), err);
        if (streq(path, "metadata.annotations"))
                return give(ret, format_map(&pod->annotations), err);
        value = plain_field(pod, path, facts);
        if (!value)
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG, "unsupported fieldPath: %s",
                                    path);
        return give(ret, strdup(value), err);
}

/* ---- resources ---- */
static const struct pod_container *container_named(const struct pod *pod, const char *name)
{
        const struct pod_container *c = pod_find_container(pod, name);

        return c && c->kind != POD_CONTAINER_EPHEMERAL ? c : NULL;
}

/* cpu in thousandths. A limit that is not set is the pod's, or all that the node has. */
static int64_t amount(const struct pod *pod, const struct pod_container *c, const char *name,
                      bool is_limit, const struct node_allocatable *node)
{
        const struct string_map *list = is_limit ? &c->resources.limits : &c->resources.requests;
        bool cpu = streq(name, "cpu");
        int64_t v = cpu ? pod_resource_milli(list, name) : pod_resource_value(list, name);

        if (v > 0 || !is_limit || startswith(name, "hugepages-"))
                return MAX(v, 0);
        v = cpu ? pod_resource_milli(&pod->resources.limits, name)
                : pod_resource_value(&pod->resources.limits, name);
        if (v > 0 && !streq(name, "ephemeral-storage"))
                return v;
        if (cpu)
                return node->cpu_milli;
        return streq(name, "memory") ? node->memory_bytes : node->ephemeral_bytes;
}

static int64_t divisor_of(const char *text, bool cpu)
{
        int64_t v = 0;
        int r = !text ? 0 : cpu ? quantity_parse_milli(text, &v) : quantity_parse(text, &v);

        if (r < 0 || v <= 0)
                return cpu ? 1000 : 1;
        return v;
}

static bool is_known(const char *name)
{
        return streq(name, "cpu") || streq(name, "memory") || streq(name, "ephemeral-storage") ||
               startswith(name, "hugepages-");
}

int field_resource_value(const struct pod *pod, const struct pod_container *own,
                         const struct pod_value_from *from, const struct node_allocatable *node,
                         char **ret, struct err *err)
{
        const char *limit = startswith(from->resource, "limits.");
        const char *name = limit ? limit : startswith(from->resource, "requests.");
        const struct pod_container *c = from->container_name
                                                ? container_named(pod, from->container_name)
                                                : own;
        int64_t v, divisor;

        if (!c)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG, "container %s not found",
                                    from->container_name ? from->container_name : "");
        if (!name || !is_known(name))
                return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG,
                                    "unsupported container resource : %s", from->resource);
        v = amount(pod, c, name, limit != NULL, node);
        divisor = divisor_of(from->divisor, streq(name, "cpu"));
        return give(ret, text_printf("%" PRId64, v / divisor + (v % divisor > 0)), err);
}
