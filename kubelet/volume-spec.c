#include "kubelet/volume-spec.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/admission.h"
#include "kubelet/pod-decode.h"

#define FINALIZER_PROTECTION     "kubernetes.io/pvc-protection"
#define ANNOTATION_MOUNT_OPTIONS "volume.beta.kubernetes.io/mount-options"
#define ANNOTATION_GID           "pv.beta.kubernetes.io/gid"
#define FIELD(type, member)      offsetof(struct type, member)

static_assert(JSON_ARRAY_COUNT(struct volume_spec, node_terms, n_node_terms) ==
                      JSON_ARRAY_COUNT(struct pod, node_terms, n_node_terms),
              "pod_node_terms counts right behind the pointer");

/* A driver's name may have capitals, unlike the names of objects. */
static int decode_driver(const json_t *value, void *member, const void *arg, struct err *err)
{
        char **s = member;
        int r = decode_string(value, s, arg, err);
        _cleanup_free_ char *small = NULL;

        if (r < 0)
                return r;
        small = strdup(*s);
        if (!small)
                return err_sys(err, -ENOMEM, "read driver");
        for (char *p = small; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p += 'a' - 'A';
        if (!is_dns_subdomain(small))
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "'%s': expected the name of a CSI driver: a DNS subdomain, "
                                    "which may have capitals",
                                    *s);
        return 0;
}

/* ---- sources ---- */
static const struct json_field pv_secret_fields[] = { /* clang-format off */
        { "name",      decode_dns_subdomain, FIELD(volume_secret, name), JSON_REQUIRED, NULL },
        { "namespace", decode_dns_label,     FIELD(volume_secret, namespace), 0, NULL },
        {}
};
static const struct json_field host_path_fields[] = {
        { "path", decode_string, FIELD(volume_spec, path), JSON_REQUIRED, NULL },
        { "type", decode_string, FIELD(volume_spec, path_type), 0, NULL },
        {}
};
static const struct json_field local_fields[] = {
        { "path",   decode_string, FIELD(volume_spec, path), JSON_REQUIRED, NULL },
        { "fsType", decode_text,   FIELD(volume_spec, fs_type), 0, NULL },
        {}
};
static const struct json_field nfs_fields[] = {
        { "server",   decode_string, FIELD(volume_spec, server), JSON_REQUIRED, NULL },
        { "path",     decode_string, FIELD(volume_spec, path), JSON_REQUIRED, NULL },
        {}
};
static const struct json_field csi_fields[] = {
        { "driver",               decode_driver,     FIELD(volume_spec, csi.driver), JSON_REQUIRED, NULL },
        { "volumeHandle",         decode_text,       FIELD(volume_spec, csi.handle), 0, NULL },
        { "fsType",               decode_text,       FIELD(volume_spec, fs_type), 0, NULL },
        { "readOnly",             decode_bool,       FIELD(volume_spec, csi.source_read_only), 0, NULL },
        { "volumeAttributes",     decode_string_map, FIELD(volume_spec, csi.attributes), 0, NULL },
        { "nodeStageSecretRef",   decode_object,     FIELD(volume_spec, csi.stage_secret), 0, pv_secret_fields },
        { "nodePublishSecretRef", decode_object,     FIELD(volume_spec, csi.publish_secret), 0, pv_secret_fields },
        { "nodeExpandSecretRef",  decode_object,     FIELD(volume_spec, csi.expand_secret), 0, pv_secret_fields },
        {}
};
static const struct json_field read_only_fields[] = {
        { "readOnly", decode_bool, FIELD(volume_spec, read_only), 0, NULL },
        {}
};

#define SOURCE(kind_, fields_) \
        &(const struct json_variant){ kind_, FIELD(volume_spec, kind), fields_, "source" }
static const struct json_field source_fields[] = {
        { "hostPath", decode_variant, 0, 0, SOURCE(VOLUME_SPEC_HOST_PATH, host_path_fields) },
        { "local",    decode_variant, 0, 0, SOURCE(VOLUME_SPEC_LOCAL, local_fields) },
        { "nfs",      decode_variant, 0, 0, SOURCE(VOLUME_SPEC_NFS, nfs_fields) },
        { "csi",      decode_variant, 0, 0, SOURCE(VOLUME_SPEC_CSI, csi_fields) },
        {}
};

/* ---- PersistentVolume ---- */
static const char *const volume_modes[] = { "Filesystem", "Block", NULL };
static const struct json_field required_fields[] = {
        { "nodeSelectorTerms", decode_array, FIELD(volume_spec, node_terms), JSON_REQUIRED, &pod_node_terms },
        {}
};
static const struct json_field affinity_fields[] = {
        { "required", decode_object, 0, 0, required_fields },
        {}
};
static const struct json_field pv_spec_fields[] = {
        { "accessModes",  decode_strv,       FIELD(volume_spec, access_modes), 0, NULL },
        { "mountOptions", decode_strv,       FIELD(volume_spec, mount_options), 0, NULL },
        { "volumeMode",   decode_named_bool, FIELD(volume_spec, is_block), 0, volume_modes },
        { "nodeAffinity", decode_object,     0, 0, affinity_fields },
        {}
};
static const struct json_field pv_metadata_fields[] = {
        { "name", decode_dns_subdomain, FIELD(volume_spec, name), JSON_REQUIRED, NULL },
        {}
};
static const struct json_field pv_fields[] = {
        { "metadata", decode_object, 0, JSON_REQUIRED, pv_metadata_fields },
        { "spec",     decode_object, 0, JSON_REQUIRED, pv_spec_fields },
        { "spec",     decode_object, 0, 0, source_fields },
        {}
}; /* clang-format on */

struct volume_spec *volume_spec_ref(struct volume_spec *s)
{
        s->n_ref++;
        return s;
}

struct volume_spec *volume_spec_free(struct volume_spec *s)
{
        if (!s || --s->n_ref > 0)
                return NULL;
        free(s->unsupported);
        free(s->name);
        free(s->claim_namespace);
        free(s->claim_name);
        strv_free(s->access_modes);
        strv_free(s->mount_options);
        pod_node_terms_free(s->node_terms, s->n_node_terms);
        free(s->path);
        free(s->path_type);
        free(s->server);
        free(s->fs_type);
        free(s->csi.driver);
        free(s->csi.handle);
        string_map_done(&s->csi.attributes);
        struct volume_secret *const secrets[] = { &s->csi.stage_secret, &s->csi.publish_secret,
                                                  &s->csi.expand_secret };
        for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
                free(secrets[i]->namespace);
                free(secrets[i]->name);
        }
        free(s);
        return NULL;
}

/* What becomes part of a mount(8) command, or of a path, keeps its meaning there. */
static int check_source(struct volume_spec *s, struct err *err)
{
        switch (s->kind) {
        case VOLUME_SPEC_HOST_PATH:
                if (!s->path_type && free_and_strdup(&s->path_type, "") < 0)
                        return err_sys(err, -ENOMEM, "read volume");
                return 0;
        case VOLUME_SPEC_NFS:
                if (*s->server == '\0' || *s->server == '-' || strpbrk(s->server, "/ \t\n"))
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "server: '%s': expected a host name or an address",
                                            s->server);
                if (*s->path != '/')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "path: '%s': expected an absolute path", s->path);
                return 0;
        case VOLUME_SPEC_CSI:
                if (volume_spec_is_persistent(s) && !s->csi.handle)
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "volumeHandle: required, but missing");
                return 0;
        default:
                return 0;
        }
}

int volume_spec_decode_inline(enum volume_spec_kind kind, const char *volume_name,
                              const json_t *value, struct volume_spec **ret, struct err *err)
{
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "read volume");
        *s = (struct volume_spec){
                .n_ref = 1, .kind = kind, .name = strdup(volume_name), .gid = -1
        };
        if (!s->name)
                return err_sys(err, -ENOMEM, "read volume");
        r = json_decode(value, kind == VOLUME_SPEC_NFS ? nfs_fields : csi_fields, s, err);
        if (r == 0)
                r = json_decode(value, read_only_fields, s, err);
        if (r == 0)
                r = check_source(s, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

/* The first key of a PersistentVolume's spec that is no common field: a kind that we do not know.
 */
static int name_unsupported(const json_t *pv_spec, struct volume_spec *s)
{
        static const char *const common[] = { "accessModes",      "capacity",
                                              "claimRef",         "mountOptions",
                                              "nodeAffinity",     "persistentVolumeReclaimPolicy",
                                              "storageClassName", "volumeAttributesClassName",
                                              "volumeMode" };
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)pv_spec, key, v) {
                bool is_common = json_is_null(v);

                for (size_t i = 0; !is_common && i < ARRAY_SIZE(common); i++)
                        is_common = streq(key, common[i]);
                if (!is_common)
                        return free_and_strdup(&s->unsupported, key);
        }
        return free_and_strdup(&s->unsupported, "?");
}

static int read_annotations(const json_t *pv, struct volume_spec *s, struct err *err)
{
        const json_t *annotations = json_path(pv, "metadata", "annotations", NULL);
        const char *options = json_text_at(annotations, ANNOTATION_MOUNT_OPTIONS);
        const char *gid = json_text_at(annotations, ANNOTATION_GID);
        char **list = NULL;

        s->gid = -1;
        if (gid && (text_to_i64(gid, &s->gid) < 0 || s->gid < 0 || s->gid > UINT32_MAX))
                s->gid = -1; /* as the kubelet does */
        if (!options)
                return 0;
        if (strv_split(options, ",", &list) < 0)
                return err_sys(err, -ENOMEM, "read volume");
        strv_free(s->mount_options);
        s->mount_options = list;
        return 0;
}

static int check_claim_ref(const json_t *pv, const char *name, const json_t *claim, struct err *err)
{
        const json_t *ref = json_path(pv, "spec", "claimRef", NULL);
        const char *uid = json_text_at(ref, "uid"),
                   *want = json_string_value(json_path(claim, "metadata", "uid", NULL));

        if (!json_is_object(ref))
                return err_set(err, -EINVAL,
                               "found PV object %s but it has a nil pv.Spec.ClaimRef indicating it "
                               "is not yet bound to the claim",
                               name);
        if (!want || !streq_null(uid, want))
                return err_set(err, -EINVAL,
                               "found PV object %s but its pv.Spec.ClaimRef.UID %s does not point "
                               "to claim.UID %s",
                               name, uid ? uid : "", want ? want : "");
        return 0;
}

int volume_spec_from_pv(const json_t *pv, const json_t *claim, bool read_only,
                        struct volume_spec **ret, struct err *err)
{
        const json_t *metadata = json_object_get(claim, "metadata");
        _cleanup_(volume_spec_freep)
        struct volume_spec *s = calloc(1, sizeof *s);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "read volume");
        s->n_ref = 1;
        s->claim_namespace = strdup_null(json_text_at(metadata, "namespace"));
        s->claim_name = strdup_null(json_text_at(metadata, "name"));
        if (!s->claim_namespace || !s->claim_name)
                return err_sys(err, -ENOMEM, "read volume");
        r = json_decode(pv, pv_fields, s, err);
        if (r == 0)
                r = check_claim_ref(pv, s->name, claim, err);
        if (r == 0)
                r = read_annotations(pv, s, err);
        if (r < 0)
                return r;
        s->read_only = read_only;
        s->has_node_affinity = json_is_object(
                json_path(pv, "spec", "nodeAffinity", "required", NULL));
        if (s->kind == VOLUME_SPEC_UNSUPPORTED &&
            name_unsupported(json_object_get(pv, "spec"), s) < 0)
                return err_sys(err, -ENOMEM, "read volume");
        r = check_source(s, err);
        if (r < 0)
                return err_wrap(err, r, "PV %s", s->name);
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- claims ---- */
char *claim_name_of(const struct pod *pod, const struct pod_volume *volume)
{
        return volume->source.kind == POD_VOLUME_EPHEMERAL
                       ? text_printf("%s-%s", pod->name, volume->name)
                       : strdup(volume->claim);
}

static bool has_finalizer(const json_t *metadata, const char *name)
{
        const json_t *f;
        size_t i;

        json_array_foreach (json_object_get(metadata, "finalizers"), i, f)
                if (streq_null(json_string_value(f), name))
                        return true;
        return false;
}

static bool is_controlled_by(const json_t *metadata, const char *uid)
{
        const json_t *owner;
        size_t i;

        json_array_foreach (json_object_get(metadata, "ownerReferences"), i, owner)
                if (json_is_true(json_object_get(owner, "controller")))
                        return streq_null(json_text_at(owner, "uid"), uid);
        return false;
}

int claim_check(const json_t *claim, const struct pod *pod, const struct pod_volume *volume,
                struct err *err)
{
        const json_t *metadata = json_object_get(claim, "metadata");
        const char *namespace = json_text_at(metadata, "namespace"),
                   *name = json_text_at(metadata, "name"),
                   *phase = json_string_value(json_path(claim, "status", "phase", NULL)),
                   *pv = json_string_value(json_path(claim, "spec", "volumeName", NULL));

        if (!namespace || !name)
                return err_set_kind(err, -EAGAIN, ERR_BAD_INPUT,
                                    "the claim has no namespace or no name");
        /* one that a running pod uses keeps its finalizer until the pod has gone */
        if (json_text_at(metadata, "deletionTimestamp") &&
            !has_finalizer(metadata, FINALIZER_PROTECTION))
                return err_set(err, -EAGAIN, "error processing PVC %s/%s: PVC is being deleted",
                               namespace, name);
        if (!streq_null(phase, "Bound"))
                return err_set(err, -EAGAIN, "error processing PVC %s/%s: PVC is not bound",
                               namespace, name);
        if (!pv || !*pv)
                return err_set(err, -EAGAIN,
                               "error processing PVC %s/%s: PVC has empty pvc.Spec.VolumeName",
                               namespace, name);
        if (!is_dns_subdomain(pv))
                return err_set_kind(err, -EAGAIN, ERR_BAD_INPUT,
                                    "error processing PVC %s/%s: volumeName: '%s': expected a DNS "
                                    "subdomain",
                                    namespace, name, pv);
        if (volume->source.kind == POD_VOLUME_EPHEMERAL &&
            (!streq(namespace, pod->namespace) || !is_controlled_by(metadata, pod->uid)))
                return err_set(err, -EAGAIN,
                               "PVC %s/%s was not created for pod %s/%s (pod is not owner)",
                               namespace, name, pod->namespace, pod->name);
        return 0;
}

int volume_spec_check_mode(const struct volume_spec *s, const struct pod *pod,
                           const struct pod_volume *volume, struct err *err)
{
        const struct pod_container *c;
        bool mounted = false, mapped = false;

        POD_FOREACH_CONTAINER(c, pod)
        {
                for (size_t i = 0; i < c->n_mounts; i++)
                        mounted |= streq(c->mounts[i].name, volume->name);
                for (size_t i = 0; i < c->n_devices; i++)
                        mapped |= streq(c->devices[i].name, volume->name);
        }
        if (mounted && s->is_block)
                return err_set(err, -EINVAL,
                               "volume %s has volumeMode Block, but is specified in volumeMounts",
                               volume->name);
        if (mapped && !s->is_block)
                return err_set(err, -EINVAL,
                               "volume %s has volumeMode Filesystem, but is specified in "
                               "volumeDevices",
                               volume->name);
        return 0;
}

int volume_spec_check_node(const struct volume_spec *s, const json_t *labels, const char *node_name,
                           struct err *err)
{
        if (!s->has_node_affinity ||
            admission_matches_terms(s->node_terms, s->n_node_terms, labels, node_name))
                return 0;
        return err_set(err, -EINVAL, "no matching NodeSelectorTerms");
}

bool volume_spec_is_for_one_pod(const struct volume_spec *s)
{
        return strv_len(s->access_modes) == 1 && streq(s->access_modes[0], "ReadWriteOncePod");
}
