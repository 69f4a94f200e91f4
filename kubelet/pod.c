#include "kubelet/pod.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/quantity.h"
#include "base/text.h"
#include "kubelet/pod-decode.h"

#define SYSTEM_CRITICAL_PRIORITY 2000000000 /* scheduling.SystemCriticalPriority */

static const char *const phase_names[] = {
        [POD_PHASE_NONE] = NULL,       [POD_PENDING] = "Pending", [POD_RUNNING] = "Running",
        [POD_SUCCEEDED] = "Succeeded", [POD_FAILED] = "Failed",   [POD_UNKNOWN] = "Unknown",
};
static_assert(ARRAY_SIZE(phase_names) == _POD_PHASE_MAX, "a phase has no name");

const char *pod_phase_name(enum pod_phase phase)
{
        return phase_names[phase];
}

enum pod_phase pod_phase_from_name(const char *name)
{
        for (size_t i = 1; name && i < ARRAY_SIZE(phase_names); i++)
                if (streq(phase_names[i], name))
                        return (enum pod_phase)i;
        return POD_PHASE_NONE;
}

static void containers_free(struct pod_container *c, size_t n)
{
        for (size_t i = 0; i < n; i++)
                pod_container_done(&c[i]);
        free(c);
}

static void requirements_free(struct pod_requirement *r, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                free(r[i].key);
                strv_free(r[i].values);
        }
        free(r);
}

void pod_node_terms_free(struct pod_node_term *terms, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                requirements_free(terms[i].expressions, terms[i].n_expressions);
                requirements_free(terms[i].fields, terms[i].n_fields);
        }
        free(terms);
}

static void free_placement(struct pod *p)
{
        free(p->node_name);
        string_map_done(&p->node_selector);
        pod_node_terms_free(p->node_terms, p->n_node_terms);
        for (size_t i = 0; i < p->n_tolerations; i++) {
                free(p->tolerations[i].key);
                free(p->tolerations[i].value);
                free(p->tolerations[i].effect);
        }
        free(p->tolerations);
        strv_free(p->scheduling_gates);
        free(p->priority_class);
        free(p->os);
        free(p->runtime_class);
        strv_free(p->readiness_gates);
        strv_free(p->resource_claims);
}

static void free_network(struct pod *p)
{
        free(p->hostname);
        free(p->subdomain);
        free(p->hostname_override);
        for (size_t i = 0; i < p->n_host_aliases; i++) {
                free(p->host_aliases[i].ip);
                strv_free(p->host_aliases[i].hostnames);
        }
        free(p->host_aliases);
        strv_free(p->dns_nameservers);
        strv_free(p->dns_searches);
        pod_string_pairs_free(p->dns_options, p->n_dns_options);
        free(p->service_account);
        strv_free(p->image_pull_secrets);
}

static void free_metadata(struct pod *p)
{
        free(p->name);
        free(p->namespace);
        free(p->uid);
        free(p->resource_version);
        string_map_done(&p->labels);
        string_map_done(&p->annotations);
        for (size_t i = 0; i < p->n_owners; i++) {
                free(p->owners[i].api_version);
                free(p->owners[i].kind);
                free(p->owners[i].name);
                free(p->owners[i].uid);
        }
        free(p->owners);
}

static void pod_free(struct pod *p)
{
        free_metadata(p);
        containers_free(p->containers, p->n_containers);
        containers_free(p->init_containers, p->n_init_containers);
        containers_free(p->ephemeral_containers, p->n_ephemeral_containers);
        for (size_t i = 0; i < p->n_volumes; i++)
                pod_volume_done(&p->volumes[i]);
        free(p->volumes);
        pod_resources_done(&p->resources);
        string_map_done(&p->overhead);
        free(p->security.supplemental_groups);
        pod_string_pairs_free(p->security.sysctls, p->security.n_sysctls);
        pod_selinux_free(p->security.selinux);
        pod_profile_done(&p->security.seccomp);
        pod_profile_done(&p->security.apparmor);
        free_network(p);
        free_placement(p);
        free(p->metadata_text);
        free(p->spec_text);
        free(p->status_text);
        free(p);
}

struct pod *pod_ref(struct pod *p)
{
        p->n_ref++;
        return p;
}

struct pod *pod_unref(struct pod *p)
{
        if (p && --p->n_ref == 0)
                pod_free(p);
        return NULL;
}

static json_t *parse(const char *text)
{
        return json_loads(text, JSON_ALLOW_NUL, NULL);
}

json_t *pod_to_json(const struct pod *p)
{
        return json_pack("{s:s, s:s, s:o, s:o}", "apiVersion", "v1", "kind", "Pod", "metadata",
                         parse(p->metadata_text), "spec", parse(p->spec_text));
}

json_t *pod_status_json(const struct pod *p)
{
        return p->status_text ? parse(p->status_text) : json_object();
}

static bool maps_are_equal(const struct string_map *a, const struct string_map *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!streq(a->entries[i].key, b->entries[i].key) ||
                    !streq(a->entries[i].value, b->entries[i].value))
                        return false;
        return true;
}

/* This node's own marks are no change of the pod. */
static bool is_local_annotation(const char *key)
{
        return streq(key, POD_ANNOTATION_SOURCE) || streq(key, POD_ANNOTATION_SEEN) ||
               streq(key, POD_ANNOTATION_MIRROR);
}

static const struct string_map_entry *next_foreign(const struct string_map *m, size_t *i)
{
        while (*i < m->n && is_local_annotation(m->entries[*i].key))
                (*i)++;
        return *i < m->n ? &m->entries[(*i)++] : NULL;
}

static bool annotations_are_equal(const struct string_map *a, const struct string_map *b)
{
        size_t i = 0, k = 0;

        for (;;) {
                const struct string_map_entry *x = next_foreign(a, &i), *y = next_foreign(b, &k);

                if (!x || !y)
                        return x == y;
                if (!streq(x->key, y->key) || !streq(x->value, y->value))
                        return false;
        }
}

/* The API server writes fields in one order, so the texts are nearly always enough. */
static bool specs_are_equal(const struct pod *a, const struct pod *b)
{
        json_auto_t *x = NULL, *y = NULL;

        if (streq(a->spec_text, b->spec_text))
                return true;
        x = parse(a->spec_text);
        y = parse(b->spec_text);
        return x && y && json_equal(x, y);
}

bool pod_differs(const struct pod *a, const struct pod *b)
{
        return a->deleted_at != b->deleted_at || a->deletion_grace_sec != b->deletion_grace_sec ||
               !maps_are_equal(&a->labels, &b->labels) ||
               !annotations_are_equal(&a->annotations, &b->annotations) || !specs_are_equal(a, b);
}

static const char *condition_status(const json_t *status, const char *type)
{
        json_t *c;
        size_t i;

        json_array_foreach (json_object_get(status, "conditions"), i, c)
                if (streq_null(json_text_at(c, "type"), type))
                        return json_text_at(c, "status");
        return NULL;
}

bool pod_gates_differ(const struct pod *a, const struct pod *b)
{
        json_auto_t *x = NULL, *y = NULL;

        if (!b->readiness_gates || streq_null(a->status_text, b->status_text))
                return false;
        x = pod_status_json(a);
        y = pod_status_json(b);
        STRV_FOREACH (gate, b->readiness_gates)
                if (!streq_null(condition_status(x, *gate), condition_status(y, *gate)))
                        return true;
        return false;
}

bool pod_is_mirror(const struct pod *p)
{
        return p->source == POD_SOURCE_API &&
               string_map_get(&p->annotations, POD_ANNOTATION_MIRROR) != NULL;
}

bool pod_is_critical(const struct pod *p)
{
        return pod_is_static(p) || pod_is_mirror(p) ||
               (p->has_priority && p->priority >= SYSTEM_CRITICAL_PRIORITY);
}

bool pod_is_node_critical(const struct pod *p)
{
        return pod_is_critical(p) && streq_null(p->priority_class, "system-node-critical");
}

const struct pod_container *pod_container_at(const struct pod *p, size_t i)
{
        if (i < p->n_init_containers)
                return &p->init_containers[i];
        i -= p->n_init_containers;
        if (i < p->n_containers)
                return &p->containers[i];
        i -= p->n_containers;
        return i < p->n_ephemeral_containers ? &p->ephemeral_containers[i] : NULL;
}

const struct pod_container *pod_find_container(const struct pod *p, const char *name)
{
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, p)
        if (streq(c->name, name))
                return c;
        return NULL;
}

const struct pod_volume *pod_find_volume(const struct pod *p, const char *name)
{
        for (size_t i = 0; i < p->n_volumes; i++)
                if (streq(p->volumes[i].name, name))
                        return &p->volumes[i];
        return NULL;
}

int pod_port_number(const struct pod_container *c, const struct pod_int_or_name *port,
                    uint16_t *ret)
{
        uint16_t number;

        if (port->name) {
                for (size_t i = 0; i < c->n_ports; i++)
                        if (streq_null(c->ports[i].name, port->name)) {
                                *ret = c->ports[i].container_port;
                                return 0;
                        }
                if (text_to_u16(port->name, &number) < 0 || number == 0)
                        return -ENOENT;
                *ret = number;
                return 0;
        }
        if (port->number < 1 || port->number > UINT16_MAX)
                return -ERANGE;
        *ret = (uint16_t)port->number;
        return 0;
}

int64_t pod_resource_milli(const struct string_map *list, const char *name)
{
        const char *text = string_map_get(list, name);
        int64_t v;

        return text && quantity_parse_milli(text, &v) == 0 ? v : POD_UNSET;
}

int64_t pod_resource_value(const struct string_map *list, const char *name)
{
        const char *text = string_map_get(list, name);
        int64_t v;

        return text && quantity_parse(text, &v) == 0 ? v : POD_UNSET;
}

struct log_ids pod_log_ids(const struct pod *p, const char *container)
{
        return (struct log_ids){
                .pod = p->name, .namespace = p->namespace, .pod_uid = p->uid, .container = container
        };
}
