#include "kubelet/pod-defaults.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"

/* ---- uid ---- */
/* FNV-1a, 128 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
typedef unsigned __int128 fnv128;
#define FNV128_OFFSET (((fnv128)UINT64_C(0x6c62272e07bb0142) << 64) | UINT64_C(0x62b821756295c58d))
#define FNV128_PRIME  (((fnv128)UINT64_C(0x0000000001000000) << 64) | UINT64_C(0x000000000000013b))

static fnv128 fnv128_add(fnv128 hash, const char *s)
{
        for (; *s; s++)
                hash = (hash ^ (unsigned char)*s) * FNV128_PRIME;
        return hash;
}

struct origin {
        const char *node_name, *path;
        usec_t seen;
};

static char *make_uid(const json_t *manifest, const struct origin *origin)
{
        _cleanup_free_ char *text = json_dumps(manifest, JSON_COMPACT | JSON_SORT_KEYS);
        fnv128 hash = FNV128_OFFSET;
        uint8_t bytes[16];
        char *uid = malloc(2 * sizeof bytes + 1);

        if (!text || !uid) {
                free(uid);
                return NULL;
        }
        hash = fnv128_add(hash, text);
        hash = fnv128_add(fnv128_add(hash, "host:"), origin->node_name);
        hash = fnv128_add(fnv128_add(hash, "file:"), origin->path);
        for (size_t i = 0; i < sizeof bytes; i++)
                bytes[i] = (uint8_t)(hash >> (8 * (sizeof bytes - 1 - i)));
        hex_encode(bytes, sizeof bytes, uid);
        return uid;
}

/* ---- the object as the API server would have completed it ---- */
static int set_default(json_t *object, const char *key, json_t *value)
{
        const json_t *had = json_object_get(object, key);

        if (had && !json_is_null(had)) {
                json_decref(value);
                return 0;
        }
        return json_set(object, key, value);
}

/* The member, made when absent; -EINVAL when it is no object. Borrowed. */
static int object_at(json_t *object, const char *key, json_t **ret)
{
        int r = set_default(object, key, json_object());

        if (r < 0)
                return r;
        *ret = json_object_get(object, key);
        return json_is_object(*ret) ? 0 : -EINVAL;
}

static int default_containers(json_t *spec, const char *list)
{
        json_t *c;
        size_t i;

        json_array_foreach (json_object_get(spec, list), i, c) {
                int r = set_default(c, "terminationMessagePath",
                                    json_string("/dev/termination-log"));

                if (r == 0)
                        r = set_default(c, "terminationMessagePolicy", json_string("File"));
                if (r == 0)
                        r = set_default(c, "resources", json_object());
                if (r < 0)
                        return r;
        }
        return 0;
}

static int default_spec(json_t *spec, const char *node_name)
{
        const struct {
                const char *key;
                json_t *value;
        } defaults[] = {
                { "dnsPolicy", json_string("ClusterFirst") },
                { "restartPolicy", json_string("Always") },
                { "securityContext", json_object() },
                { "terminationGracePeriodSeconds", json_integer(30) },
                { "schedulerName", json_string("default-scheduler") },
                { "enableServiceLinks", json_true() },
        };
        int r = json_set_text(spec, "nodeName", node_name);

        for (size_t i = 0; i < ARRAY_SIZE(defaults); i++) {
                int k = set_default(spec, defaults[i].key, defaults[i].value);

                r = r < 0 ? r : k;
        }
        if (r == 0)
                r = default_containers(spec, "containers");
        if (r == 0)
                r = default_containers(spec, "initContainers");
        return r;
}

/* A node that is in trouble must not lose the pods it was given by hand. */
static int tolerate_no_execute(json_t *spec)
{
        int r = set_default(spec, "tolerations", json_array());
        json_t *list = json_object_get(spec, "tolerations"), *t;
        size_t i;

        if (r < 0)
                return r;
        json_array_foreach (list, i, t)
                if (streq_null(json_text_at(t, "operator"), "Exists") &&
                    streq_null(json_text_at(t, "effect"), "NoExecute") && !json_text_at(t, "key"))
                        return 0;
        return json_array_append_new(list, json_pack("{s:s, s:s}", "operator", "Exists", "effect",
                                                     "NoExecute")) < 0
                       ? -ENOMEM
                       : 0;
}

static char *pod_name_on(const char *name, const char *node_name)
{
        char *full = text_printf("%s-%s", name, node_name);

        for (char *p = full ? full + strlen(name) : NULL; p && *p; p++)
                *p = (char)tolower((unsigned char)*p);
        return full;
}

static int identify(json_t *meta, const json_t *manifest, const struct origin *origin)
{
        _cleanup_free_ char *name = pod_name_on(json_text_at(meta, "name"), origin->node_name);
        _cleanup_free_ char *uid = NULL;
        char seen[TIME_TEXT_MAX];
        json_t *annotations;
        int r;

        if (json_string_length(json_object_get(meta, "uid")) > 0)
                uid = strdup(json_text_at(meta, "uid"));
        else
                uid = make_uid(manifest, origin);
        if (!name || !uid)
                return -ENOMEM;
        r = object_at(meta, "annotations", &annotations);
        if (r == 0)
                r = json_set_text(meta, "name", name);
        if (r == 0)
                r = json_set_text(meta, "uid", uid);
        if (r == 0 && json_string_length(json_object_get(meta, "namespace")) == 0)
                r = json_set_text(meta, "namespace", "default");
        if (r == 0)
                r = json_set_text(annotations, POD_ANNOTATION_HASH, uid);
        if (r == 0)
                r = json_set_text(annotations, POD_ANNOTATION_SOURCE, "file");
        if (r == 0)
                r = json_set_text(annotations, POD_ANNOTATION_SEEN,
                                  time_format_micro(origin->seen, seen));
        if (r == 0 && json_object_get(annotations, POD_ANNOTATION_MIRROR))
                json_object_del(annotations, POD_ANNOTATION_MIRROR); /* only the API has mirrors */
        return r;
}

static int complete(json_t *object, const json_t *manifest, const struct origin *origin,
                    struct err *err)
{
        json_t *meta = json_object_get(object, "metadata"), *spec = json_object_get(object, "spec");
        const char *kind = json_text_at(object, "kind"),
                   *version = json_text_at(object, "apiVersion");
        int r;

        if (!streq_null(kind, "Pod") || !streq_null(version, "v1"))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "kind '%s', apiVersion '%s': expected Pod, v1",
                                    kind ? kind : "", version ? version : "");
        if (json_string_length(json_object_get(meta, "name")) == 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "invalid pod: name is needed for the pod");
        if (!json_is_object(spec))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "spec: expected an object");
        r = identify(meta, manifest, origin);
        if (r == -EINVAL)
                return err_set_kind(err, r, ERR_BAD_INPUT,
                                    "metadata: annotations: expected an object");
        if (r == 0)
                r = default_spec(spec, origin->node_name);
        if (r == 0)
                r = tolerate_no_execute(spec);
        if (r == 0)
                r = json_set(object, "status", json_pack("{s:s}", "phase", "Pending"));
        return r < 0 ? err_sys(err, r, "read manifest") : 0;
}

/* ---- what a static pod may not refer to: nothing proves that its author may read it ---- */
static bool container_refers_to(const struct pod_container *c, bool secret)
{
        enum pod_value_kind kind = secret ? POD_VALUE_SECRET : POD_VALUE_CONFIG_MAP;

        for (size_t i = 0; i < c->n_env_from; i++)
                if (c->env_from[i].is_secret == secret)
                        return true;
        for (size_t i = 0; i < c->n_env; i++)
                if (c->env[i].from && c->env[i].from->kind == kind)
                        return true;
        return false;
}

static bool refers_to(const struct pod *p, bool secret)
{
        enum pod_volume_kind kind = secret ? POD_VOLUME_SECRET : POD_VOLUME_CONFIG_MAP;
        const struct pod_container *c;

        POD_FOREACH_CONTAINER(c, p)
        if (container_refers_to(c, secret))
                return true;
        for (size_t i = 0; i < p->n_volumes; i++) {
                if (p->volumes[i].source.kind == kind)
                        return true;
                for (size_t k = 0; k < p->volumes[i].n_sources; k++)
                        if (p->volumes[i].sources[k].kind == kind)
                                return true;
        }
        return false;
}

static const char *forbidden_source(const struct pod_volume_source *s)
{
        static const char *const kinds[] = {
                [POD_VOLUME_SERVICE_ACCOUNT_TOKEN] = "serviceaccounts (via projected volumes)",
                [POD_VOLUME_CSI] = "csidrivers (via CSI volumes)",
                [POD_VOLUME_CLAIM] = "persistentvolumeclaims",
                [POD_VOLUME_EPHEMERAL] = "persistentvolumeclaims (via ephemeral volumes)",
        };
        static const char *const table[][2] = {
                { "glusterfs", "endpoints (via glusterFS volumes)" },
                { "azureFile", "secrets (via azureFile volumes)" },
                { "clusterTrustBundle", "clustertrustbundles" },
                { "podCertificate", "podcertificates" },
        };

        if ((size_t)s->kind < ARRAY_SIZE(kinds) && kinds[s->kind])
                return kinds[s->kind];
        for (size_t i = 0; i < ARRAY_SIZE(table); i++)
                if (streq_null(s->unsupported, table[i][0]))
                        return table[i][1];
        return NULL;
}

static const char *api_reference(const struct pod *p)
{
        const char *what = NULL;

        if (p->service_account)
                return "serviceaccounts";
        if (p->image_pull_secrets || refers_to(p, true))
                return "secrets";
        if (refers_to(p, false))
                return "configmaps";
        if (p->resource_claims)
                return "resourceclaims";
        for (size_t i = 0; i < p->n_volumes && !what; i++) {
                what = forbidden_source(&p->volumes[i].source);
                for (size_t k = 0; k < p->volumes[i].n_sources && !what; k++)
                        what = forbidden_source(&p->volumes[i].sources[k]);
        }
        return what;
}

static int decode(const json_t *manifest, const struct origin *origin, struct pod **ret,
                  struct err *err)
{
        json_auto_t *object = json_deep_copy(manifest);
        _cleanup_(pod_unrefp)
        struct pod *p = NULL;
        const char *reference;
        int r;

        if (!object)
                return err_sys(err, -ENOMEM, "read manifest");
        r = complete(object, manifest, origin, err);
        if (r == 0)
                r = pod_decode(object, POD_SOURCE_FILE, &p, err);
        if (r == 0)
                r = pod_validate(p, err);
        if (r < 0)
                return r;
        assert(p);
        reference = api_reference(p);
        if (reference)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "static pods may not reference %s",
                                    reference);
        *ret = TAKE_PTR(p);
        return 0;
}

int pod_from_manifest(const json_t *manifest, const char *node_name, const char *path, usec_t now,
                      struct pod **ret, struct err *err)
{
        const struct origin origin = { .node_name = node_name, .path = path, .seen = now };
        _cleanup_err_ struct err why = { 0 };
        int r = decode(manifest, &origin, ret, &why);

        if (r < 0)
                return err_set_kind(err, r, why.kind,
                                    "%s: couldn't parse as pod(%s), please check config file", path,
                                    err_text(&why));
        return 0;
}
