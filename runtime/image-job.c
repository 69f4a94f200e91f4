#include "runtime/image-job.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

enum {
        PARALLEL_LAYERS = 3,
        STALL_SEC = 60,
        KNOWN_LAYERS_MAX = 100000,
        KNOWN_MANIFESTS_MAX = 4096,
};

static const char *const kind_names[] = { "pull", "import", "remove", "export", "check", NULL };

static void wipe(char **secret)
{
        if (*secret)
                explicit_bzero(*secret, strlen(*secret));
        free(*secret);
        *secret = NULL;
}

static void credential_done(struct image_credential *c)
{
        wipe(&c->username);
        wipe(&c->password);
        wipe(&c->identity_token);
}

void image_job_forget_secrets(struct image_job *job)
{
        for (size_t i = 0; i < job->n_endpoints; i++)
                credential_done(&job->endpoints[i].credential);
        for (size_t i = 0; i < job->n_auths; i++)
                credential_done(&job->auths[i]);
        for (size_t i = 0; i < job->n_hosts; i++)
                wipe(&job->hosts[i].key);
        wipe(&job->https_proxy); /* may hold a password */
        wipe(&job->http_proxy);
}

void image_job_done(struct image_job *job)
{
        for (size_t i = 0; i < job->n_endpoints; i++) {
                struct image_job_endpoint *e = &job->endpoints[i];

                free(e->url);
                free(e->repository);
                free(e->tls_host);
                strv_free(e->token_realms);
                credential_done(&e->credential);
        }
        for (size_t i = 0; i < job->n_hosts; i++) {
                free(job->hosts[i].host);
                free(job->hosts[i].ca);
                free(job->hosts[i].certificate);
                wipe(&job->hosts[i].key);
        }
        for (size_t i = 0; i < job->n_auths; i++)
                credential_done(&job->auths[i]);
        for (size_t i = 0; i < job->n_layers; i++) {
                free(job->layers[i].diff_id);
                free(job->layers[i].name);
                free(job->layers[i].chain_id);
        }
        free(job->endpoints);
        free(job->hosts);
        free(job->auths);
        free(job->layers);
        strv_free(job->known_manifests);
        free(job->name);
        free(job->tag);
        free(job->digest);
        wipe(&job->https_proxy);
        wipe(&job->http_proxy);
        free(job->no_proxy);
        *job = (struct image_job){ 0 };
}

/* ---- the job, decoded ---- */

static int decode_u64(const json_t *v, void *member, const void *arg, struct err *err)
{
        static const struct json_range not_negative = { 0, INT64_MAX };
        int64_t value = 0;
        int r = decode_i64(v, &value, arg ? arg : &not_negative, err);

        if (r == 0)
                *(uint64_t *)member = (uint64_t)value;
        return r;
}

static const struct json_field
        credential_fields[] = { /* clang-format off */
        { "username",       decode_string, offsetof(struct image_credential, username),       JSON_OPTIONAL },
        { "password",       decode_string, offsetof(struct image_credential, password),       JSON_OPTIONAL },
        { "identity_token", decode_string, offsetof(struct image_credential, identity_token), JSON_OPTIONAL },
        {}
};
static const struct json_field host_fields[] = {
        { "host",        decode_string, offsetof(struct image_job_host, host),                 JSON_REQUIRED },
        { "ca",          decode_string, offsetof(struct image_job_host, ca),                   JSON_OPTIONAL },
        { "certificate", decode_string, offsetof(struct image_job_host, certificate),          JSON_OPTIONAL },
        { "key",         decode_string, offsetof(struct image_job_host, key),                  JSON_OPTIONAL },
        { "insecure",    decode_bool,   offsetof(struct image_job_host, insecure_skip_verify), JSON_OPTIONAL },
        {}
};
static const struct json_field endpoint_fields[] = {
        { "url",          decode_string, offsetof(struct image_job_endpoint, url),          JSON_REQUIRED },
        { "repository",   decode_string, offsetof(struct image_job_endpoint, repository),   JSON_REQUIRED },
        { "is_registry",  decode_bool,   offsetof(struct image_job_endpoint, is_registry),  JSON_OPTIONAL },
        { "credential",   decode_object, offsetof(struct image_job_endpoint, credential),   JSON_OPTIONAL, credential_fields },
        { "tls_host",     decode_string, offsetof(struct image_job_endpoint, tls_host),     JSON_OPTIONAL },
        { "token_realms", decode_strv,   offsetof(struct image_job_endpoint, token_realms), JSON_OPTIONAL },
        {}
};
static const struct json_field known_layer_fields[] = {
        { "diff_id",  decode_string, offsetof(struct image_job_layer, diff_id),  JSON_REQUIRED },
        { "name",     decode_string, offsetof(struct image_job_layer, name),     JSON_REQUIRED },
        { "chain_id", decode_string, offsetof(struct image_job_layer, chain_id), JSON_OPTIONAL },
        { "root_is_opaque", decode_bool, offsetof(struct image_job_layer, root_is_opaque), JSON_OPTIONAL },
        { "size",     decode_u64,    offsetof(struct image_job_layer, size),     JSON_OPTIONAL },
        {}
}; /* clang-format on */

static const struct json_array endpoints_array = {
        .fields = endpoint_fields,
        .element_size = sizeof(struct image_job_endpoint),
        .count_offset = JSON_ARRAY_COUNT(struct image_job, endpoints, n_endpoints),
};
static const struct json_array hosts_array = {
        .fields = host_fields,
        .element_size = sizeof(struct image_job_host),
        .count_offset = JSON_ARRAY_COUNT(struct image_job, hosts, n_hosts),
};
static const struct json_array auths_array = {
        .fields = credential_fields,
        .element_size = sizeof(struct image_credential),
        .count_offset = JSON_ARRAY_COUNT(struct image_job, auths, n_auths),
};
static const struct json_array known_layers_array = {
        .fields = known_layer_fields,
        .element_size = sizeof(struct image_job_layer),
        .count_offset = JSON_ARRAY_COUNT(struct image_job, layers, n_layers),
        .max = KNOWN_LAYERS_MAX,
};

static const struct json_range uid_range = { 1, UINT32_MAX - 1 }, parallel_range = { 1, 16 },
                               stall_range = { 1, 3600 }, index_range = { 0, MANIFEST_LAYERS_MAX },
                               auth_range = { -1, IMAGE_AUTHS_MAX };

static const struct json_field
        job_fields[] = { /* clang-format off */
        { "kind",            decode_enum,   offsetof(struct image_job, kind),            JSON_REQUIRED, kind_names },
        { "name",            decode_string, offsetof(struct image_job, name),            JSON_OPTIONAL },
        { "tag",             decode_string, offsetof(struct image_job, tag),             JSON_OPTIONAL },
        { "digest",          decode_string, offsetof(struct image_job, digest),          JSON_OPTIONAL },
        { "endpoints",       decode_array,  offsetof(struct image_job, endpoints),       JSON_OPTIONAL, &endpoints_array },
        { "hosts",           decode_array,  offsetof(struct image_job, hosts),           JSON_OPTIONAL, &hosts_array },
        { "auths",           decode_array,  offsetof(struct image_job, auths),           JSON_OPTIONAL, &auths_array },
        { "known_manifests", decode_strv,   offsetof(struct image_job, known_manifests), JSON_OPTIONAL },
        { "layers",          decode_array,  offsetof(struct image_job, layers),          JSON_OPTIONAL, &known_layers_array },
        { "https_proxy",     decode_string, offsetof(struct image_job, https_proxy),     JSON_OPTIONAL },
        { "http_proxy",      decode_string, offsetof(struct image_job, http_proxy),      JSON_OPTIONAL },
        { "no_proxy",        decode_string, offsetof(struct image_job, no_proxy),        JSON_OPTIONAL },
        { "reserve_bytes",   decode_u64,    offsetof(struct image_job, reserve_bytes),   JSON_OPTIONAL },
        { "fetcher_uid",     decode_u32,    offsetof(struct image_job, fetcher_uid),     JSON_OPTIONAL, &uid_range },
        { "parallel_layers", decode_u32,    offsetof(struct image_job, parallel_layers), JSON_OPTIONAL, &parallel_range },
        { "stall_sec",       decode_u32,    offsetof(struct image_job, stall_sec),       JSON_OPTIONAL, &stall_range },
        {}
}; /* clang-format on */

int image_job_from_json(const json_t *root, struct image_job *ret, struct err *err)
{
        _cleanup_image_job_ struct image_job job = {
                .fetcher_uid = IMAGE_FETCHER_UID,
                .parallel_layers = PARALLEL_LAYERS,
                .stall_sec = STALL_SEC,
        };
        int r = json_decode(root, job_fields, &job, err);

        if (r < 0)
                return r;
        if (job.kind == IMAGE_JOB_PULL &&
            (!job.name || !job.tag == !job.digest || job.n_endpoints == 0))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "a pull needs a name, a tag or a digest, and endpoints");
        if (job.kind == IMAGE_JOB_EXPORT && !job.digest)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "an export needs an image's id");
        *ret = job;
        job = (struct image_job){ 0 };
        return 0;
}

/* ---- the job, written ---- */

static json_t *strv_to_json(char *const *v)
{
        json_t *a = json_array();

        STRV_FOREACH (s, v)
                json_array_append_new(a, json_string(*s));
        return a;
}

static json_t *credential_to_json(const struct image_credential *c)
{
        return json_pack("{s:s*, s:s*, s:s*}", "username", c->username, "password", c->password,
                         "identity_token", c->identity_token);
}

static json_t *endpoint_to_json(const struct image_job_endpoint *e)
{
        return json_pack("{s:s, s:s, s:b, s:o, s:s*, s:o}", "url", e->url, "repository",
                         e->repository, "is_registry", (int)e->is_registry, "credential",
                         credential_to_json(&e->credential), "tls_host", e->tls_host,
                         "token_realms", strv_to_json(e->token_realms));
}

static json_t *host_to_json(const struct image_job_host *h)
{
        return json_pack("{s:s, s:s*, s:s*, s:s*, s:b}", "host", h->host, "ca", h->ca,
                         "certificate", h->certificate, "key", h->key, "insecure",
                         (int)h->insecure_skip_verify);
}

json_t *image_job_to_json(const struct image_job *job)
{
        json_t *endpoints = json_array(), *hosts = json_array(), *auths = json_array(),
               *layers = json_array();

        for (size_t i = 0; i < job->n_endpoints; i++)
                json_array_append_new(endpoints, endpoint_to_json(&job->endpoints[i]));
        for (size_t i = 0; i < job->n_hosts; i++)
                json_array_append_new(hosts, host_to_json(&job->hosts[i]));
        for (size_t i = 0; i < job->n_auths; i++)
                json_array_append_new(auths, credential_to_json(&job->auths[i]));
        for (size_t i = 0; i < job->n_layers; i++)
                json_array_append_new(layers, json_pack("{s:s, s:s, s:s*, s:b, s:I}", "diff_id",
                                                        job->layers[i].diff_id, "name",
                                                        job->layers[i].name, "chain_id",
                                                        job->layers[i].chain_id, "root_is_opaque",
                                                        (int)job->layers[i].root_is_opaque, "size",
                                                        (json_int_t)job->layers[i].size));
        return json_pack("{s:s, s:s*, s:s*, s:s*, s:o, s:o, s:o, s:o, s:o, s:s*, s:s*, s:s*, s:I, "
                         "s:I, s:I, s:I}",
                         "kind", kind_names[job->kind], "name", job->name, "tag", job->tag,
                         "digest", job->digest, "endpoints", endpoints, "hosts", hosts, "auths",
                         auths, "known_manifests", strv_to_json(job->known_manifests), "layers",
                         layers, "https_proxy", job->https_proxy, "http_proxy", job->http_proxy,
                         "no_proxy", job->no_proxy, "reserve_bytes", (json_int_t)job->reserve_bytes,
                         "fetcher_uid",
                         (json_int_t)(job->fetcher_uid ? job->fetcher_uid : IMAGE_FETCHER_UID),
                         "parallel_layers",
                         (json_int_t)(job->parallel_layers ? job->parallel_layers
                                                           : PARALLEL_LAYERS),
                         "stall_sec", (json_int_t)(job->stall_sec ? job->stall_sec : STALL_SEC));
}

/* ---- events ---- */

/* Kinds travel by name: skiffd may be one version older than skiff-image. */
static const struct {
        enum err_kind kind;
        const char *name;
} err_kinds[] = {
        { ERR_OTHER, "other" },
        { ERR_BAD_INPUT, "bad_input" },
        { ERR_UNREACHABLE, "unreachable" },
        { ERR_TIMEOUT, "timeout" },
        { ERR_NOT_FOUND, "not_found" },
        { ERR_UNAUTHORIZED, "unauthorized" },
        { ERR_FORBIDDEN, "forbidden" },
        { ERR_TOO_MANY, "too_many" },
        { ERR_SERVER, "server" },
        { ERR_IMAGE_PULL, "image_pull" },
        { ERR_REGISTRY_UNAVAILABLE, "registry_unavailable" },
        { ERR_IMAGE_VERIFY, "image_verify" },
        { ERR_NO_SPACE, "no_space" },
};

static const char *err_kind_name(enum err_kind kind)
{
        for (size_t i = 0; i < ARRAY_SIZE(err_kinds); i++)
                if (err_kinds[i].kind == kind)
                        return err_kinds[i].name;
        return "other";
}

static int decode_err_kind(const json_t *v, void *member, _unused_ const void *arg,
                           _unused_ struct err *err)
{
        const char *name = json_string_value(v);

        *(enum err_kind *)member = ERR_OTHER;
        for (size_t i = 0; name && i < ARRAY_SIZE(err_kinds); i++)
                if (streq(err_kinds[i].name, name))
                        *(enum err_kind *)member = err_kinds[i].kind;
        return 0;
}

void image_layer_event_done(struct image_layer_event *l)
{
        free(l->dir);
        free(l->diff_id);
        free(l->digest);
        free(l->chain_id);
        *l = (struct image_layer_event){ 0 };
}

void image_event_image_done(struct image_event_image *i)
{
        free(i->id);
        free(i->manifest_digest);
        free(i->index_digest);
        free(i->media_type);
        strv_free(i->names);
        strv_free(i->diff_ids);
        image_config_done(&i->config);
        *i = (struct image_event_image){ 0 };
}

void image_event_done(struct image_event *e)
{
        image_layer_event_done(&e->layer);
        image_event_image_done(&e->image);
        free(e->present.manifest_digest);
        free(e->present.index_digest);
        err_done(&e->err);
        *e = (struct image_event){ 0 };
}

static int decode_digest(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        const char *s = json_string_value(v);

        if (!s || !digest_is_valid_n(s, json_string_length(v)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a digest");
        return free_and_strdup(member, s);
}

static int decode_digests(const json_t *v, void *member, const void *arg, struct err *err)
{
        int r = decode_strv(v, member, arg, err);

        if (r < 0)
                return r;
        if (strv_len(*(char ***)member) > MANIFEST_LAYERS_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected at most %d digests",
                                    MANIFEST_LAYERS_MAX);
        STRV_FOREACH (s, *(char ***)member)
                if (!digest_is_valid(*s))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected digests");
        return 0;
}

/* A name in the job's directory: digits. */
static int decode_dir(const json_t *v, void *member, const void *arg, struct err *err)
{
        int r = decode_string(v, member, arg, err);
        const char *s = *(char **)member;

        if (r == 0 && (!*s || strlen(s) > 8 || strspn(s, "0123456789") != strlen(s)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "expected a number");
        return r;
}

const struct json_field image_layer_event_fields
        [] = { /* clang-format off */
        { "dir",            decode_dir,    offsetof(struct image_layer_event, dir),            JSON_REQUIRED },
        { "diff_id",        decode_digest, offsetof(struct image_layer_event, diff_id),        JSON_REQUIRED },
        { "digest",         decode_digest, offsetof(struct image_layer_event, digest),         JSON_OPTIONAL },
        { "chain_id",       decode_digest, offsetof(struct image_layer_event, chain_id),       JSON_OPTIONAL },
        { "size",           decode_u64,    offsetof(struct image_layer_event, size),           JSON_REQUIRED },
        { "unpacked_size",  decode_u64,    offsetof(struct image_layer_event, unpacked_size),  JSON_REQUIRED },
        { "disk_bytes",     decode_u64,    offsetof(struct image_layer_event, disk_bytes),     JSON_REQUIRED },
        { "inodes",         decode_u64,    offsetof(struct image_layer_event, n_inodes),       JSON_REQUIRED },
        { "root_is_opaque", decode_bool,   offsetof(struct image_layer_event, root_is_opaque), JSON_OPTIONAL },
        {}
};
static const struct json_field config_fields[] = {
        { "user",        decode_string, offsetof(struct image_config, user),        JSON_OPTIONAL },
        { "working_dir", decode_string, offsetof(struct image_config, working_dir), JSON_OPTIONAL },
        { "stop_signal", decode_string, offsetof(struct image_config, stop_signal), JSON_OPTIONAL },
        { "entrypoint",  decode_strv,   offsetof(struct image_config, entrypoint),  JSON_OPTIONAL },
        { "cmd",         decode_strv,   offsetof(struct image_config, cmd),         JSON_OPTIONAL },
        { "env",         decode_strv,   offsetof(struct image_config, env),         JSON_OPTIONAL },
        { "volumes",     decode_strv,   offsetof(struct image_config, volumes),     JSON_OPTIONAL },
        {}
};
const struct json_field image_event_image_fields[] = {
        { "id",              decode_digest,  offsetof(struct image_event_image, id),              JSON_REQUIRED },
        { "manifest_digest", decode_digest,  offsetof(struct image_event_image, manifest_digest), JSON_OPTIONAL },
        { "index_digest",    decode_digest,  offsetof(struct image_event_image, index_digest),    JSON_OPTIONAL },
        { "media_type",      decode_string,  offsetof(struct image_event_image, media_type),      JSON_OPTIONAL },
        { "names",           decode_strv,    offsetof(struct image_event_image, names),           JSON_OPTIONAL },
        { "diff_ids",        decode_digests, offsetof(struct image_event_image, diff_ids),        JSON_REQUIRED },
        { "auth_index",      decode_i32,     offsetof(struct image_event_image, auth_index),      JSON_OPTIONAL, &auth_range },
        { "config",          decode_object,  offsetof(struct image_event_image, config),          JSON_REQUIRED, config_fields },
        {}
};
static const struct json_field progress_fields[] = {
        { "layer",     decode_u32, offsetof(struct image_progress, layer),     JSON_REQUIRED, &index_range },
        { "of_layers", decode_u32, offsetof(struct image_progress, of_layers), JSON_REQUIRED, &index_range },
        { "bytes",     decode_u64, offsetof(struct image_progress, bytes),     JSON_REQUIRED },
        { "of_bytes",  decode_u64, offsetof(struct image_progress, of_bytes),  JSON_REQUIRED },
        {}
}; /* clang-format on */

static const struct json_field
        present_fields[] = { /* clang-format off */
        { "manifest_digest", decode_digest, offsetof(struct image_present, manifest_digest), JSON_REQUIRED },
        { "index_digest",    decode_digest, offsetof(struct image_present, index_digest),    JSON_OPTIONAL },
        { "auth_index",      decode_i32,    offsetof(struct image_present, auth_index),      JSON_OPTIONAL, &auth_range },
        {}
}; /* clang-format on */

struct error_event {
        uint32_t number;
        enum err_kind kind;
        char *message;
};
static const struct json_range errno_range = { 1, 4095 };
static const struct json_field error_fields[] = { /* clang-format off */
        { "errno",   decode_u32,      offsetof(struct error_event, number),  JSON_REQUIRED, &errno_range },
        { "kind",    decode_err_kind, offsetof(struct error_event, kind),    JSON_REQUIRED },
        { "message", decode_string,   offsetof(struct error_event, message), JSON_REQUIRED },
        {}
}; /* clang-format on */

static int error_from_json(const json_t *v, struct image_event *e, struct err *err)
{
        struct error_event x = { 0 };
        int r = json_decode(v, error_fields, &x, err);

        if (r == 0) {
                e->error = -(int)x.number;
                e->err = (struct err){ .message = TAKE_PTR(x.message), .kind = x.kind };
        }
        free(x.message);
        return r;
}

int image_event_image_from_json(const json_t *root, struct image_event_image *ret, struct err *err)
{
        struct image_event_image i = { .auth_index = -1 };
        int r = json_decode(root, image_event_image_fields, &i, err);

        if (r == 0 && strv_len(i.diff_ids) == 0)
                r = err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "diff_ids: expected at least one");
        if (r < 0)
                image_event_image_done(&i);
        else
                *ret = i;
        return r;
}

static int event_from_json(const json_t *root, struct image_event *e, struct err *err)
{
        const json_t *v;

        if (json_object_size(root) != 1) /* one line says one thing */
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "not an event");
        if ((v = json_object_get(root, "progress"))) {
                e->kind = IMAGE_EVENT_PROGRESS;
                return json_decode(v, progress_fields, &e->progress, err);
        }
        if ((v = json_object_get(root, "layer"))) {
                e->kind = IMAGE_EVENT_LAYER;
                return json_decode(v, image_layer_event_fields, &e->layer, err);
        }
        if ((v = json_object_get(root, "image"))) {
                e->kind = IMAGE_EVENT_IMAGE;
                return image_event_image_from_json(v, &e->image, err);
        }
        if ((v = json_object_get(root, "present"))) {
                e->kind = IMAGE_EVENT_PRESENT;
                e->present.auth_index = -1;
                return json_decode(v, present_fields, &e->present, err);
        }
        if ((v = json_object_get(root, "error"))) {
                e->kind = IMAGE_EVENT_ERROR;
                return error_from_json(v, e, err);
        }
        e->kind = IMAGE_EVENT_DONE;
        if (!json_is_true(json_object_get(root, "done")))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "not an event");
        return 0;
}

int image_event_from_line(const char *line, size_t n, struct image_event *ret, struct err *err)
{
        _cleanup_image_event_ struct image_event e = { 0 };
        json_auto_t *root = NULL;
        int r = json_parse(line, n, true, &root, err);

        if (r == 0)
                r = event_from_json(root, &e, err);
        if (r < 0)
                return err_wrap(err, r, "event of skiff-image");
        *ret = e;
        e = (struct image_event){ 0 };
        return 0;
}

json_t *image_layer_event_to_json(const struct image_layer_event *l)
{
        return json_pack("{s:s, s:s, s:s*, s:s*, s:I, s:I, s:I, s:I, s:b}", "dir", l->dir,
                         "diff_id", l->diff_id, "digest", l->digest, "chain_id", l->chain_id,
                         "size", (json_int_t)l->size, "unpacked_size", (json_int_t)l->unpacked_size,
                         "disk_bytes", (json_int_t)l->disk_bytes, "inodes", (json_int_t)l->n_inodes,
                         "root_is_opaque", (int)l->root_is_opaque);
}

json_t *image_event_image_to_json(const struct image_event_image *i)
{
        const struct image_config *c = &i->config;
        json_t *config = json_pack("{s:s*, s:s*, s:s*, s:o, s:o, s:o, s:o}", "user", c->user,
                                   "working_dir", c->working_dir, "stop_signal", c->stop_signal,
                                   "entrypoint", strv_to_json(c->entrypoint), "cmd",
                                   strv_to_json(c->cmd), "env", strv_to_json(c->env), "volumes",
                                   strv_to_json(c->volumes));

        return json_pack("{s:s, s:s*, s:s*, s:s*, s:o, s:o, s:i, s:o}", "id", i->id,
                         "manifest_digest", i->manifest_digest, "index_digest", i->index_digest,
                         "media_type", i->media_type, "names", strv_to_json(i->names), "diff_ids",
                         strv_to_json(i->diff_ids), "auth_index", i->auth_index, "config", config);
}

/* Names out of archives may be in any encoding; from here on they are text for people. */
static json_t *readable(const struct err *err)
{
        json_t *text = json_string(err_text(err));
        _cleanup_free_ char *copy = NULL;

        if (text)
                return text;
        copy = strdup(err_text(err));
        for (char *c = copy; c && *c; c++)
                if ((unsigned char)*c >= 0x80)
                        *c = '?';
        return copy ? json_string(copy) : NULL;
}

char *image_event_to_line(const struct image_event *e)
{
        json_auto_t *root = NULL;

        switch (e->kind) {
        case IMAGE_EVENT_PROGRESS:
                root = json_pack("{s:{s:i, s:i, s:I, s:I}}", "progress", "layer",
                                 (int)e->progress.layer, "of_layers", (int)e->progress.of_layers,
                                 "bytes", (json_int_t)e->progress.bytes, "of_bytes",
                                 (json_int_t)e->progress.of_bytes);
                break;
        case IMAGE_EVENT_LAYER:
                root = json_pack("{s:o}", "layer", image_layer_event_to_json(&e->layer));
                break;
        case IMAGE_EVENT_IMAGE:
                root = json_pack("{s:o}", "image", image_event_image_to_json(&e->image));
                break;
        case IMAGE_EVENT_PRESENT:
                root = json_pack("{s:{s:s, s:s*, s:i}}", "present", "manifest_digest",
                                 e->present.manifest_digest, "index_digest",
                                 e->present.index_digest, "auth_index", e->present.auth_index);
                break;
        case IMAGE_EVENT_ERROR:
                root = json_pack("{s:{s:i, s:s, s:o}}", "error", "errno", -e->error, "kind",
                                 err_kind_name(e->err.kind), "message", readable(&e->err));
                break;
        case IMAGE_EVENT_DONE:
                root = json_pack("{s:b}", "done", 1);
                break;
        }
        return root ? json_dumps(root, JSON_COMPACT) : NULL;
}
