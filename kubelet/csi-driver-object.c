#include "kubelet/csi-driver-object.h"

#include <errno.h>
#include <stdlib.h>

#include "base/text.h"

#define TOKENS_MAX 64

static const char *const group_policies[] = { "ReadWriteOnceWithFSType", "File", "None", NULL };
static const struct json_range seconds = { 0, INT64_MAX };

static const struct json_field token_fields[] = { /* clang-format off */
        { "audience",          decode_string, offsetof(struct csi_token_request, audience) },
        { "expirationSeconds", decode_i64,    offsetof(struct csi_token_request, expiration_sec), 0, &seconds },
        {}
};
static const struct json_array tokens = {
        .fields = token_fields,
        .element_size = sizeof(struct csi_token_request),
        .count_offset = JSON_ARRAY_COUNT(struct csi_driver_object, tokens, n_tokens),
        .max = TOKENS_MAX,
};
#define MEMBER(m) offsetof(struct csi_driver_object, m)
static const struct json_field spec_fields[] = {
        { "attachRequired",               decode_bool,  MEMBER(attach_required) },
        { "podInfoOnMount",               decode_bool,  MEMBER(pod_info_on_mount) },
        { "requiresRepublish",            decode_bool,  MEMBER(requires_republish) },
        { "serviceAccountTokenInSecrets", decode_bool,  MEMBER(tokens_in_secrets) },
        { "seLinuxMount",                 decode_bool,  MEMBER(se_linux_mount) },
        { "fsGroupPolicy",                decode_enum,  MEMBER(group_policy), 0, group_policies },
        { "volumeLifecycleModes",         decode_strv,  MEMBER(modes) },
        { "tokenRequests",                decode_array, MEMBER(tokens), 0, &tokens },
        {}
}; /* clang-format on */
static const struct json_field object_fields[] = {
        { "spec", decode_object, 0, JSON_REQUIRED, spec_fields }, {}
};

struct csi_driver_object *csi_driver_object_free(struct csi_driver_object *o)
{
        if (!o)
                return NULL;
        for (size_t i = 0; i < o->n_tokens; i++)
                free(o->tokens[i].audience);
        free(o->tokens);
        strv_free(o->modes);
        free(o);
        return NULL;
}

int csi_driver_object_decode(const json_t *object, struct csi_driver_object **ret, struct err *err)
{
        _cleanup_(csi_driver_object_freep)
        struct csi_driver_object *o = calloc(1, sizeof *o);
        int r;

        if (!o)
                return err_sys(err, -ENOMEM, "decode a CSIDriver");
        o->attach_required = true;
        r = json_decode(object, object_fields, o, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(o);
        return 0;
}

int csi_check_mode(const struct csi_driver_object *o, const char *driver, bool is_persistent,
                   struct err *err)
{
        const char *mode = is_persistent ? "Persistent" : "Ephemeral";
        _cleanup_free_ char *modes = NULL;

        if (!o && is_persistent)
                return 0;
        if (!o)
                return err_set(
                        err, -EINVAL,
                        "volume mode \"%s\" not supported by driver %s (no CSIDriver object)", mode,
                        driver);
        /* the server fills in "Persistent" where nothing is said */
        if (o->modes ? strv_contains(o->modes, mode) : is_persistent)
                return 0;
        modes = strv_join(o->modes, "\" \"");
        return err_set(err, -EINVAL,
                       "volume mode \"%s\" not supported by driver %s (only supports [\"%s\"])",
                       mode, driver, modes && *modes ? modes : "Persistent");
}

bool csi_group_applies(const struct csi_driver_object *o, const char *fs_type, bool is_persistent,
                       char *const *access_modes)
{
        enum csi_group_policy policy = o ? o->group_policy : CSI_GROUP_READ_WRITE_ONCE_WITH_FS_TYPE;

        if (policy != CSI_GROUP_READ_WRITE_ONCE_WITH_FS_TYPE)
                return policy == CSI_GROUP_FILE;
        if (!fs_type || !*fs_type)
                return false;
        return !is_persistent || strv_contains(access_modes, "ReadWriteOnce") ||
               strv_contains(access_modes, "ReadWriteOncePod");
}
