#include "kubelet/pull-record.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "runtime/runtime.h"

enum { SECRETS_WHILE_MATCHING = 100 }; /* a record that is full learns from pulls only */

const char *const pull_verifications[] = { "NeverVerify", "NeverVerifyPreloadedImages",
                                           "NeverVerifyAllowlistedImages", "AlwaysVerify", NULL };

/* ---- policies ---- */

char *pull_repository(const char *image)
{
        size_t n = strcspn(image, "@");
        const char *colon = memrchr(image, ':', n), *slash = memrchr(image, '/', n);

        return strndup(image, colon && (!slash || colon > slash) ? (size_t)(colon - image) : n);
}

static int bad_pattern(const char *pattern, const char *rule, struct err *err)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "preloadedImagesVerificationAllowlist: '%s': %s", pattern, rule);
}

int pull_pattern_check(const char *pattern, struct err *err)
{
        const char *star = strchr(pattern, '*');
        _cleanup_free_ char *normal = NULL, *repository = NULL;

        if (!*pattern)
                return bad_pattern(pattern, "expected an image's name without tag", err);
        if (star)
                return endswith(pattern, "/*") && star == pattern + strlen(pattern) - 1 &&
                                       star > pattern + 1
                               ? 0
                               : bad_pattern(pattern, "expected '*' after the last '/' only", err);
        if (image_normalize(pattern, &normal, NULL) < 0)
                return bad_pattern(pattern, "expected an image's name without tag", err);
        repository = pull_repository(pattern);
        if (!repository)
                return err_sys(err, -ENOMEM, "read configuration");
        return streq(repository, pattern)
                       ? 0
                       : bad_pattern(pattern, "expected neither tag nor digest", err);
}

/* As it is written in the list, and as the same name is written in full. */
static bool is_allowlisted(char *const *allowlist, const char *repository)
{
        STRV_FOREACH (pattern, allowlist) {
                _cleanup_free_ char *normal = NULL, *full = NULL;

                if (endswith(*pattern, "*")) {
                        if (strncmp(repository, *pattern, strlen(*pattern) - 1) == 0)
                                return true;
                        continue;
                }
                if (image_normalize(*pattern, &normal, NULL) == 0)
                        full = pull_repository(normal);
                if (full && streq(full, repository))
                        return true;
        }
        return false;
}

bool pull_must_verify(enum pull_verification v, char *const *allowlist, const char *repository,
                      bool is_ours)
{
        switch (v) {
        case PULL_NEVER_VERIFY:
                return false;
        case PULL_NEVER_VERIFY_PRELOADED:
                return is_ours;
        case PULL_NEVER_VERIFY_ALLOWLISTED:
                return !is_allowlisted(allowlist, repository);
        case PULL_ALWAYS_VERIFY:
                break;
        }
        return true;
}

/* ---- records ---- */

static int touch(json_t *record)
{
        char now[TIME_TEXT_MAX];

        return json_set_text(record, "lastUpdatedTime", time_format(now_realtime(), now));
}

json_t *pull_record_new(const char *image_id)
{
        json_auto_t *record = json_pack("{s:s, s:s, s:s}", "kind", "ImagePulledRecord",
                                        "apiVersion", "kubelet.config.k8s.io/v1beta1", "imageRef",
                                        image_id);

        if (!record || touch(record) < 0 ||
            json_set(record, "credentialMapping", json_object()) < 0)
                return NULL;
        return TAKE_PTR(record);
}

/* An object below @parent, made when it is not there. Borrowed; NULL without memory. */
static json_t *child(json_t *parent, const char *key)
{
        json_t *o = json_object_get(parent, key);

        if (!json_is_object(o) && json_set(parent, key, json_object()) < 0)
                return NULL;
        return json_object_get(parent, key);
}

static bool is_same_secret(const json_t *entry, const struct pull_origin *o)
{
        return streq_null(json_text_at(entry, "uid"), o->uid) &&
               streq_null(json_text_at(entry, "namespace"), o->namespace) &&
               streq_null(json_text_at(entry, "name"), o->name);
}

static bool has_same_hash(const json_t *entry, const struct pull_origin *o)
{
        return o->hash[0] && streq_null(json_text_at(entry, "credentialHash"), o->hash);
}

static int grant_secret(json_t *access, const struct pull_origin *o)
{
        json_t *list = json_object_get(access, "kubernetesSecrets"), *entry;
        size_t i;

        if (!json_is_array(list) && json_set(access, "kubernetesSecrets", json_array()) < 0)
                return -ENOMEM;
        list = json_object_get(access, "kubernetesSecrets");
        json_array_foreach (list, i, entry)
                if (is_same_secret(entry, o)) {
                        if (has_same_hash(entry, o))
                                return 0;
                        return json_set_text(entry, "credentialHash", o->hash) < 0 ? -ENOMEM : 1;
                }
        entry = json_pack("{s:s, s:s, s:s, s:s}", "uid", o->uid, "namespace", o->namespace, "name",
                          o->name, "credentialHash", o->hash);
        return json_array_append_new(list, entry) < 0 ? -ENOMEM : 1;
}

int pull_record_grant(json_t *record, const char *repository, const struct pull_origin *origin)
{
        json_t *mapping = child(record, "credentialMapping"),
               *access = mapping ? child(mapping, repository) : NULL;
        int r;

        if (!access)
                return -ENOMEM;
        if (json_is_true(json_object_get(access, "nodePodsAccessible")))
                return 0;
        if (origin) {
                r = grant_secret(access, origin);
        } else {
                json_object_clear(access);
                r = json_set(access, "nodePodsAccessible", json_true()) < 0 ? -ENOMEM : 1;
        }
        if (r > 0 && touch(record) < 0)
                return -ENOMEM;
        return r;
}

enum pull_access pull_record_access(const json_t *record, const char *repository,
                                    const struct pull_auths *auths,
                                    const struct pull_origin **ret_origin)
{
        const json_t *access = json_path(record, "credentialMapping", repository, NULL),
                     *list = json_object_get(access, "kubernetesSecrets"), *entry;
        size_t k;

        *ret_origin = NULL;
        if (json_is_true(json_object_get(access, "nodePodsAccessible")))
                return PULL_GRANTED;
        for (size_t i = 0; i < auths->n; i++) {
                const struct pull_origin *o = &auths->origins[i];

                json_array_foreach (list, k, entry) {
                        bool same = is_same_secret(entry, o), hash = has_same_hash(entry, o);
                        bool has_room = json_array_size(list) < SECRETS_WHILE_MATCHING;

                        if (!hash && !(same && has_room))
                                continue;
                        *ret_origin = o;
                        return (same && hash) || !has_room ? PULL_GRANTED : PULL_GRANTED_ANEW;
                }
        }
        return PULL_DENIED;
}
