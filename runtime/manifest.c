#include "runtime/manifest.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "runtime/image-ref.h"

enum { JSON_VALUES_MAX = 100000 }; /* jansson needs some 100 bytes for each */

#define OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"

static int refuse(struct err *err, const char *what, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s: '%.128s': %s", what, value, rule);
}

/* ---- JSON of strangers ---- */

static size_t count_values(const char *text, size_t n)
{
        size_t values = 1;
        bool in_string = false;

        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (in_string && c == '\\')
                        i++;
                else if (c == '"')
                        in_string = !in_string;
                else if (!in_string)
                        values += c == ',' || c == '[' || c == '{';
        }
        return values;
}

int strict_json_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
        if (n > MANIFEST_SIZE_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "%zu bytes of JSON: expected at most %d", n, MANIFEST_SIZE_MAX);
        if (count_values(text, n) > JSON_VALUES_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "JSON of more than %d values",
                                    JSON_VALUES_MAX);
        return json_parse(text, n, true, ret, err);
}

/* Other readers match keys in any case: "Layers" must not mean nothing here and layers there. */
static int check_spelling(const json_t *object, const char *const *known, struct err *err)
{
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)object, key, v) {
                for (size_t i = 0; known[i]; i++)
                        if (strcasecmp(key, known[i]) == 0 && !streq(key, known[i]))
                                return refuse(err, "key", key, "differs from a known one in case");
        }
        return 0;
}

/* ---- media types ---- */

static int kind_of(const char *media_type, enum manifest_kind *ret)
{
        if (streq(media_type, OCI_MANIFEST) || streq(media_type, DOCKER_MANIFEST))
                *ret = MANIFEST_IMAGE;
        else if (streq(media_type, OCI_INDEX) || streq(media_type, DOCKER_LIST))
                *ret = MANIFEST_INDEX;
        else
                return -EINVAL;
        return 0;
}

/*
 * The type in a Content-Type header: without parameters and in lower case, as RFC 9110 has it. A
 * general type ("application/json", "text/plain", …) says nothing: *ret stays NULL.
 */
static int from_content_type(const char *header, char **ret)
{
        size_t n = header ? strcspn(header, "; \t") : 0;
        _cleanup_free_ char *type = NULL;

        if (n == 0)
                return 0;
        type = strndup(header, n);
        if (!type)
                return -ENOMEM;
        for (char *c = type; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
        if (startswith(type, "application/vnd."))
                *ret = TAKE_PTR(type);
        return 0;
}

/* The one type that everybody who names one agrees on. */
static int settle_media_type(const char *content_type, const char *own, const char *expected,
                             char **ret, struct err *err)
{
        _cleanup_free_ char *header = NULL;
        const char *type;
        int r = from_content_type(content_type, &header);

        if (r < 0)
                return err_sys(err, r, "read media type");
        type = own ? own : expected ? expected : header;
        if (!type)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "mediaType: neither document nor server names one");
        if (startswith(type, "application/vnd.docker.distribution.manifest.v1+"))
                return refuse(err, "mediaType", type, "schema 1 is not supported");
        if (own && header && !streq(own, header))
                return refuse(err, "mediaType", own, "the server's Content-Type says otherwise");
        if (own && expected && !streq(own, expected))
                return refuse(err, "mediaType", own, "the descriptor says otherwise");
        if (header && expected && !streq(header, expected))
                return refuse(err, "Content-Type", header, "the descriptor says otherwise");
        *ret = strdup(type);
        return *ret ? 0 : err_sys(err, -ENOMEM, "read media type");
}

struct layer_type {
        const char *media_type;
        enum compression compression;
};

static int decode_layer_type(const json_t *v, void *member, _unused_ const void *arg,
                             struct err *err)
{
        static const struct layer_type types[] = {
                { "application/vnd.oci.image.layer.v1.tar", COMPRESSION_NONE },
                { "application/vnd.oci.image.layer.v1.tar+gzip", COMPRESSION_GZIP },
                { "application/vnd.oci.image.layer.v1.tar+zstd", COMPRESSION_ZSTD },
                { "application/vnd.docker.image.rootfs.diff.tar", COMPRESSION_NONE },
                { "application/vnd.docker.image.rootfs.diff.tar.gzip", COMPRESSION_GZIP },
                { "application/vnd.docker.image.rootfs.diff.tar.zstd", COMPRESSION_ZSTD },
        };
        const char *s = json_string_value(v);

        if (!s)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a string");
        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                if (streq(s, types[i].media_type)) {
                        *(enum compression *)member = types[i].compression;
                        return 0;
                }
        }
        if (strstr(s, "nondistributable") || strstr(s, ".foreign."))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%.128s': foreign layers are not supported", s);
        if (endswith(s, "+encrypted"))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%.128s': encrypted layers are not supported", s);
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%.128s': not a layer that is known", s);
}

/* ---- descriptors ---- */

static int decode_digest(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        const char *s = json_string_value(v);

        if (!s || !digest_is_valid_n(s, json_string_length(v)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%.80s': expected sha256: or sha512: and lower-case hex",
                                    s ? s : "");
        return free_and_strdup(member, s);
}

static int decode_size(const json_t *v, void *member, const void *arg, struct err *err)
{
        int64_t size = 0;
        int r = decode_i64(v, &size, arg, err);

        if (r == 0)
                *(uint64_t *)member = (uint64_t)size;
        return r;
}

static const struct json_range layer_size_range = { 0, INT64_C(64) << 30 };
static const struct json_range document_size_range = { 1, MANIFEST_SIZE_MAX };
static const char *const descriptor_keys[] = { "mediaType", "digest", "size", "urls", NULL };

static const struct json_field layer_fields[] = { /* clang-format off */
        { "mediaType", decode_layer_type, offsetof(struct manifest_layer, compression), JSON_REQUIRED },
        { "digest",    decode_digest,     offsetof(struct manifest_layer, digest),      JSON_REQUIRED },
        { "size",      decode_size,       offsetof(struct manifest_layer, size),        JSON_REQUIRED, &layer_size_range },
        {}
}; /* clang-format on */

static int decode_layer(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        int r = json_is_object(v) ? check_spelling(v, descriptor_keys, err) : 0;

        return r < 0 ? r : json_decode(v, layer_fields, member, err);
}

static int decode_config_type(const json_t *v, _unused_ void *member, _unused_ const void *arg,
                              struct err *err)
{
        const char *s = json_string_value(v);

        if (s && (streq(s, "application/vnd.oci.image.config.v1+json") ||
                  streq(s, "application/vnd.docker.container.image.v1+json")))
                return 0;
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "'%.128s': this is not the config of a container image", s ? s : "");
}

static const struct json_field
        config_descriptor_fields[] = { /* clang-format off */
        { "mediaType", decode_config_type, 0,                                       JSON_REQUIRED },
        { "digest",    decode_digest,      offsetof(struct manifest, config_digest), JSON_REQUIRED },
        { "size",      decode_size,        offsetof(struct manifest, config_size),   JSON_REQUIRED, &document_size_range },
        {}
}; /* clang-format on */

/* The descriptor fills members of the manifest itself, so the member is the manifest. */
static int decode_config_descriptor(const json_t *v, void *member, _unused_ const void *arg,
                                    struct err *err)
{
        int r = json_is_object(v) ? check_spelling(v, descriptor_keys, err) : 0;

        return r < 0 ? r : json_decode(v, config_descriptor_fields, member, err);
}

static const struct json_array layers_array = {
        .decode = decode_layer,
        .element_size = sizeof(struct manifest_layer),
        .count_offset = JSON_ARRAY_COUNT(struct manifest, layers, n_layers),
        .max = MANIFEST_LAYERS_MAX,
};
static const struct json_field image_fields[] = { /* clang-format off */
        { "config", decode_config_descriptor, 0,                                JSON_REQUIRED },
        { "layers", decode_array,             offsetof(struct manifest, layers), JSON_REQUIRED, &layers_array },
        {}
}; /* clang-format on */

/* ---- indexes ---- */

static const struct json_field
        platform_fields[] = { /* clang-format off */
        { "os",           decode_string, offsetof(struct manifest_entry, os),           JSON_OPTIONAL },
        { "architecture", decode_string, offsetof(struct manifest_entry, architecture), JSON_OPTIONAL },
        { "variant",      decode_string, offsetof(struct manifest_entry, variant),      JSON_OPTIONAL },
        {}
}; /* clang-format on */

static int decode_platform(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        return json_decode(v, platform_fields, member, err);
}

static const struct json_field entry_fields[] = { /* clang-format off */
        { "mediaType", decode_string,   offsetof(struct manifest_entry, media_type), JSON_REQUIRED },
        { "digest",    decode_digest,   offsetof(struct manifest_entry, digest),     JSON_REQUIRED },
        { "size",      decode_size,     offsetof(struct manifest_entry, size),       JSON_REQUIRED, &layer_size_range },
        { "platform",  decode_platform, 0,                                           JSON_OPTIONAL },
        {}
}; /* clang-format on */

static int decode_entry(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        int r = json_is_object(v) ? check_spelling(v, descriptor_keys, err) : 0;

        return r < 0 ? r : json_decode(v, entry_fields, member, err);
}

static const struct json_array entries_array = {
        .decode = decode_entry,
        .element_size = sizeof(struct manifest_entry),
        .count_offset = JSON_ARRAY_COUNT(struct manifest, entries, n_entries),
        .max = MANIFEST_ENTRIES_MAX,
};
static const struct json_field index_fields[] = { /* clang-format off */
        { "manifests", decode_array, offsetof(struct manifest, entries), JSON_REQUIRED, &entries_array },
        {}
}; /* clang-format on */

static void entry_done(struct manifest_entry *e)
{
        free(e->media_type);
        free(e->digest);
        free(e->os);
        free(e->architecture);
        free(e->variant);
}

/* Artifacts of other kinds may stand beside images: what cannot be an image is no candidate. */
static void drop_unknown_entries(struct manifest *m)
{
        size_t kept = 0;

        for (size_t i = 0; i < m->n_entries; i++) {
                struct manifest_entry *e = &m->entries[i];
                enum manifest_kind kind;

                if (kind_of(e->media_type, &kind) < 0 || e->size == 0 ||
                    e->size > MANIFEST_SIZE_MAX)
                        entry_done(e);
                else
                        m->entries[kept++] = *e;
        }
        m->n_entries = kept;
}

void manifest_done(struct manifest *m)
{
        for (size_t i = 0; i < m->n_layers; i++)
                free(m->layers[i].digest);
        for (size_t i = 0; i < m->n_entries; i++)
                entry_done(&m->entries[i]);
        free(m->layers);
        free(m->entries);
        free(m->media_type);
        free(m->config_digest);
        *m = (struct manifest){ 0 };
}

static int check_kind(const json_t *root, const struct manifest *m, struct err *err)
{
        static const char *const image_only[] = { "config", "layers", "fsLayers", "history", NULL };
        static const char *const index_only[] = { "manifests", "fsLayers", "history", NULL };
        const char *const *alien = m->kind == MANIFEST_IMAGE ? index_only : image_only;

        for (size_t i = 0; alien[i]; i++)
                if (json_object_get(root, alien[i]))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "%s: has no place in a document of type '%s'", alien[i],
                                            m->media_type);
        return 0;
}

static int check_top(const json_t *root, struct err *err)
{
        static const char *const keys[] = { "schemaVersion", "mediaType", "config",  "layers",
                                            "manifests",     "fsLayers",  "history", NULL };
        const json_t *version, *type;

        if (!json_is_object(root))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a JSON object");
        version = json_object_get(root, "schemaVersion");
        type = json_object_get(root, "mediaType");
        if (json_integer_value(version) == 1)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "schemaVersion: schema 1 is not supported");
        if (json_integer_value(version) != 2)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "schemaVersion: expected 2");
        if (type && !json_is_null(type) &&
            (!json_is_string(type) || strlen(json_string_value(type)) != json_string_length(type)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "mediaType: expected a string");
        return check_spelling(root, keys, err);
}

int manifest_parse(const char *text, size_t n, const char *content_type, const char *expected,
                   struct manifest *ret, struct err *err)
{
        _cleanup_manifest_ struct manifest m = { 0 };
        json_auto_t *root = NULL;
        int r;

        r = strict_json_parse(text, n, &root, err);
        if (r == 0)
                r = check_top(root, err);
        if (r == 0)
                r = settle_media_type(content_type, json_text_at(root, "mediaType"), expected,
                                      &m.media_type, err);
        if (r < 0)
                return r;
        if (kind_of(m.media_type, &m.kind) < 0)
                return refuse(err, "mediaType", m.media_type, "not a manifest of an image");
        r = check_kind(root, &m, err);
        if (r == 0)
                r = json_decode(root, m.kind == MANIFEST_IMAGE ? image_fields : index_fields, &m,
                                err);
        if (r < 0)
                return r;
        if (m.kind == MANIFEST_INDEX)
                drop_unknown_entries(&m);
        *ret = m;
        m = (struct manifest){ 0 };
        return 0;
}

/* ---- choosing a platform ---- */

struct platform platform_here(void)
{
#if defined(__x86_64__)
        return (struct platform){ "linux", "amd64", NULL };
#elif defined(__aarch64__)
        return (struct platform){ "linux", "arm64", NULL };
#elif defined(__arm__)
        return (struct platform){ "linux", "arm", "v7" };
#elif defined(__i386__)
        return (struct platform){ "linux", "386", NULL };
#elif defined(__riscv) && __riscv_xlen == 64
        return (struct platform){ "linux", "riscv64", NULL };
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return (struct platform){ "linux", "ppc64le", NULL };
#elif defined(__s390x__)
        return (struct platform){ "linux", "s390x", NULL };
#else
#error "name this architecture as Go does"
#endif
}

/* arm64 without a variant is v8, amd64 is v1; everything else stays what it is. */
static const char *variant_of(const char *architecture, const char *variant)
{
        bool none = !variant || !*variant;

        if (streq(architecture, "arm64") && (none || streq(variant, "8")))
                return "v8";
        if (streq(architecture, "amd64") && none)
                return "v1";
        if (streq(architecture, "arm") && none)
                return "v7";
        return none ? "" : variant;
}

static const struct manifest_entry *find_variant(const struct manifest *m, const struct platform *p,
                                                 const char *variant)
{
        for (size_t i = 0; i < m->n_entries; i++) {
                const struct manifest_entry *e = &m->entries[i];

                if (e->os && e->architecture && streq(e->os, p->os) &&
                    streq(e->architecture, p->architecture) &&
                    streq(variant_of(e->architecture, e->variant), variant))
                        return e;
        }
        return NULL;
}

const struct manifest_entry *manifest_pick(const struct manifest *m, const struct platform *p,
                                           struct err *err)
{
        static const char *const older_arm[] = { "v7", "v6", "v5", NULL };
        const char *variant = variant_of(p->architecture, p->variant);
        const struct manifest_entry *e = find_variant(m, p, variant);
        bool reached = false;

        for (size_t i = 0; !e && streq(p->architecture, "arm") && older_arm[i]; i++) {
                reached |= streq(older_arm[i], variant);
                if (reached)
                        e = find_variant(m, p, older_arm[i]);
        }
        if (!e && m->n_entries == 1 && !m->entries[0].os && !m->entries[0].architecture)
                e = &m->entries[0];
        if (!e)
                err_set_kind(err, -ENOENT, ERR_BAD_INPUT,
                             "manifests: no entry for platform %s/%s among %zu", p->os,
                             p->architecture, m->n_entries);
        return e;
}
