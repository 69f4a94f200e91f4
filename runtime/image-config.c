/*
 * The config of an image: process defaults and the digests of the unpacked layers. Declared in
 * manifest.h, since neither means anything without the other.
 */
#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "runtime/image-ref.h"
#include "runtime/manifest.h"

enum {
        ARGUMENTS_MAX = 1024,
        ENV_MAX = 1024,
        VOLUMES_MAX = 256,
        ARGUMENTS_SIZE_MAX = 128 << 10,
        USER_SIZE_MAX = 256,
        PATH_SIZE_MAX = 4095,
        SIGNAL_SIZE_MAX = 32,
};

struct text_limit {
        size_t max;
};

/* A string without control characters and of bounded length. */
static int decode_bounded_text(const json_t *v, void *member, const void *arg, struct err *err)
{
        const struct text_limit *limit = arg;
        const char *s = json_string_value(v);

        if (s && json_string_length(v) > limit->max)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%zu bytes: expected at most %zu",
                                    json_string_length(v), limit->max);
        for (const char *c = s; c && *c; c++)
                if ((unsigned char)*c < ' ')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "expected text without control characters");
        return decode_string(v, member, NULL, err);
}

static int decode_arguments(const json_t *v, void *member, const void *arg, struct err *err)
{
        const struct text_limit *limit = arg;
        size_t total = 0;
        const json_t *e;
        size_t i;

        if (json_array_size(v) > limit->max)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "%zu elements: expected at most %zu", json_array_size(v),
                                    limit->max);
        json_array_foreach ((json_t *)v, i, e)
                total += json_string_length(e) + 1;
        if (total > ARGUMENTS_SIZE_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "%zu bytes in all: expected at most %d", total,
                                    ARGUMENTS_SIZE_MAX);
        return decode_strv(v, member, NULL, err);
}

/* "Volumes" is a set: an object with empty objects. */
static int decode_volumes(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        char ***volumes = member;
        const char *key;
        json_t *value;

        if (!json_is_object(v) || json_object_size(v) > VOLUMES_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected an object of at most %d paths", VOLUMES_MAX);
        json_object_foreach ((json_t *)v, key, value) {
                int r;

                if (strlen(key) > PATH_SIZE_MAX)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "path of more than %d bytes", PATH_SIZE_MAX);
                r = strv_append(volumes, key);
                if (r < 0)
                        return err_sys(err, r, "read volumes");
        }
        return 0;
}

static int decode_diff_ids(const json_t *v, void *member, _unused_ const void *arg, struct err *err)
{
        char ***ids = member;
        const json_t *e;
        size_t i;

        if (!json_is_array(v) || json_array_size(v) > MANIFEST_LAYERS_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "expected an array of at most %d digests", MANIFEST_LAYERS_MAX);
        json_array_foreach ((json_t *)v, i, e) {
                const char *s = json_string_value(e);
                int r;

                if (!s || !digest_is_valid_n(s, json_string_length(e)))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "[%zu]: '%.80s': expected sha256: or sha512: and "
                                            "lower-case hex",
                                            i, s ? s : "");
                r = strv_append(ids, s);
                if (r < 0)
                        return err_sys(err, r, "read diff_ids");
        }
        return 0;
}

static int decode_rootfs_type(const json_t *v, _unused_ void *member, _unused_ const void *arg,
                              struct err *err)
{
        const char *s = json_string_value(v);

        if (s && streq(s, "layers"))
                return 0;
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%.64s': expected 'layers'", s ? s : "");
}

static const struct text_limit user_limit = { USER_SIZE_MAX }, path_limit = { PATH_SIZE_MAX },
                               signal_limit = { SIGNAL_SIZE_MAX }, name_limit = { 64 },
                               arguments_limit = { ARGUMENTS_MAX }, env_limit = { ENV_MAX };

static const struct json_field rootfs_fields[] = { /* clang-format off */
        { "type",     decode_rootfs_type, 0,                                       JSON_REQUIRED },
        { "diff_ids", decode_diff_ids,    offsetof(struct image_config, diff_ids), JSON_REQUIRED },
        {}
};
static const struct json_field process_fields[] = {
        { "User",       decode_bounded_text, offsetof(struct image_config, user),        JSON_OPTIONAL, &user_limit },
        { "WorkingDir", decode_bounded_text, offsetof(struct image_config, working_dir), JSON_OPTIONAL, &path_limit },
        { "StopSignal", decode_bounded_text, offsetof(struct image_config, stop_signal), JSON_OPTIONAL, &signal_limit },
        { "Entrypoint", decode_arguments,    offsetof(struct image_config, entrypoint),  JSON_OPTIONAL, &arguments_limit },
        { "Cmd",        decode_arguments,    offsetof(struct image_config, cmd),         JSON_OPTIONAL, &arguments_limit },
        { "Env",        decode_arguments,    offsetof(struct image_config, env),         JSON_OPTIONAL, &env_limit },
        { "Volumes",    decode_volumes,      offsetof(struct image_config, volumes),     JSON_OPTIONAL },
        {}
}; /* clang-format on */

/* Both fill members of the config itself. */
static int decode_part(const json_t *v, void *member, const void *arg, struct err *err)
{
        return json_decode(v, arg, member, err);
}

static const struct json_field config_fields[] = { /* clang-format off */
        { "os",           decode_bounded_text, offsetof(struct image_config, os),           JSON_OPTIONAL, &name_limit },
        { "architecture", decode_bounded_text, offsetof(struct image_config, architecture), JSON_OPTIONAL, &name_limit },
        { "rootfs",       decode_part,         0,                                           JSON_REQUIRED, rootfs_fields },
        { "config",       decode_part,         0,                                           JSON_OPTIONAL, process_fields },
        {}
}; /* clang-format on */

void image_config_done(struct image_config *c)
{
        strv_free(c->diff_ids);
        strv_free(c->entrypoint);
        strv_free(c->cmd);
        strv_free(c->env);
        strv_free(c->volumes);
        free(c->os);
        free(c->architecture);
        free(c->user);
        free(c->working_dir);
        free(c->stop_signal);
        *c = (struct image_config){ 0 };
}

static void drop_nameless(char **env)
{
        size_t kept = 0;

        for (size_t i = 0; env && env[i]; i++) {
                char *e = env[i];

                env[i] = NULL;
                if (e[0] == '=' || !strchr(e, '='))
                        free(e);
                else
                        env[kept++] = e;
        }
}

int image_config_parse(const char *text, size_t n, struct image_config *ret, struct err *err)
{
        _cleanup_image_config_ struct image_config c = { 0 };
        json_auto_t *root = NULL;
        int r = strict_json_parse(text, n, &root, err);

        if (r == 0)
                r = json_decode(root, config_fields, &c, err);
        if (r < 0)
                return r;
        if (strv_len(c.diff_ids) == 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "rootfs: diff_ids: expected at least one");
        drop_nameless(c.env);
        *ret = c;
        c = (struct image_config){ 0 };
        return 0;
}

int image_config_check(const struct image_config *c, const struct manifest *m,
                       const struct platform *p, struct err *err)
{
        if (strv_len(c->diff_ids) != m->n_layers)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "rootfs: diff_ids: %zu of them for %zu layers",
                                    strv_len(c->diff_ids), m->n_layers);
        /* some builders of old left them out; what is said must fit */
        if ((c->os && *c->os && !streq(c->os, p->os)) ||
            (c->architecture && *c->architecture && !streq(c->architecture, p->architecture)))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "image is for platform %s/%s, this node is %s/%s",
                                    c->os ? c->os : "?", c->architecture ? c->architecture : "?",
                                    p->os, p->architecture);
        return 0;
}
