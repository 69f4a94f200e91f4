#include "kubelet/volume-payload.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define TOKEN_OWNER_MODE 0600

/* One key of a ConfigMap: data (text) or binaryData (base64); of a Secret: data (base64). 1: found.
 */
static int find_key(const json_t *object, bool is_secret, const char *key, uint8_t **ret,
                    size_t *ret_n, struct err *err)
{
        const json_t *text = is_secret ? NULL
                                       : json_object_get(json_object_get(object, "data"), key);
        const json_t *encoded =
                json_object_get(json_object_get(object, is_secret ? "data" : "binaryData"), key);
        int r;

        if (json_is_string(text)) {
                size_t n = json_string_length(text);
                uint8_t *copy = malloc(n + 1);

                if (!copy)
                        return err_sys(err, -ENOMEM, "read key '%s'", key);
                memcpy(copy, json_string_value(text), n);
                *ret = copy;
                *ret_n = n;
                return 1;
        }
        if (!json_is_string(encoded))
                return 0;
        r = base64_decode(json_string_value(encoded), json_string_length(encoded), ret, ret_n);
        return r < 0 ? err_set_kind(err, r, ERR_BAD_INPUT, "key '%s': expected base64", key) : 1;
}

static int add_key(struct payload *p, const json_t *object, bool is_secret, const char *key,
                   const char *path, int32_t mode, struct err *err)
{
        _cleanup_free_ uint8_t *data = NULL;
        size_t n;
        int r = find_key(object, is_secret, key, &data, &n, err);

        if (r <= 0)
                return r;
        r = payload_add(p, path, data, n, (mode_t)mode, err);
        if (is_secret)
                explicit_bzero(data, n);
        return r < 0 ? r : 1;
}

static int add_every_key(struct payload *p, const json_t *map, const json_t *object, bool is_secret,
                         int32_t mode, struct err *err)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)map, key, value) {
                int r = add_key(p, object, is_secret, key, key, mode, err);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_object(struct payload *p, const struct pod_volume_source *source,
                      const json_t *object, bool is_secret, int32_t default_mode, struct err *err)
{
        if (!object && source->optional)
                return 0;
        if (!object)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "%s \"%s\" not found",
                                    is_secret ? "secret" : "configmap", source->name);
        if (source->n_items == 0) {
                int r = add_every_key(p, json_object_get(object, "data"), object, is_secret,
                                      default_mode, err);

                if (r == 0 && !is_secret)
                        r = add_every_key(p, json_object_get(object, "binaryData"), object, false,
                                          default_mode, err);
                return r;
        }
        for (size_t i = 0; i < source->n_items; i++) {
                const struct pod_volume_item *item = &source->items[i];
                int r = add_key(p, object, is_secret, item->key, item->path,
                                item->mode == POD_UNSET ? default_mode : item->mode, err);

                if (r < 0)
                        return r;
                if (r == 0 && !source->optional)
                        return err_set_kind(
                                err, -ENOENT, ERR_NOT_FOUND,
                                is_secret ? "references non-existent secret key: %s"
                                          : "configmap references non-existent config key: %s",
                                item->key);
        }
        return 0;
}

int payload_add_config_map(struct payload *p, const struct pod_volume_source *source,
                           const json_t *object, int32_t default_mode, struct err *err)
{
        return add_object(p, source, object, false, default_mode, err);
}

int payload_add_secret(struct payload *p, const struct pod_volume_source *source,
                       const json_t *object, int32_t default_mode, struct err *err)
{
        return add_object(p, source, object, true, default_mode, err);
}

int payload_add_token(struct payload *p, const struct pod_volume_source *source, const char *token,
                      bool has_owner, int32_t default_mode, struct err *err)
{
        size_t before = p->n_files;
        int r = payload_add(p, source->path, token, strlen(token),
                            has_owner ? TOKEN_OWNER_MODE : (mode_t)default_mode, err);

        if (r == 0 && p->n_files > before)
                p->files[before].owner_only = true;
        return r;
}

int64_t pod_common_user(const struct pod *pod)
{
        const struct pod_container *c;
        int64_t common = POD_UNSET;
        bool first = true;

        POD_FOREACH_CONTAINER(c, pod)
        {
                int64_t user = c->security && c->security->run_as_user != POD_UNSET
                                       ? c->security->run_as_user
                                       : pod->security.run_as_user;

                if (c->kind == POD_CONTAINER_EPHEMERAL)
                        continue;
                if (!first && user != common)
                        return POD_UNSET;
                common = user;
                first = false;
        }
        return common;
}
