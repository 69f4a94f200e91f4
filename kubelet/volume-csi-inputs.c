#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "kubelet/csi-volume.h"
#include "kubelet/volume-csi-internal.h"

#define POD_INFO "csi.storage.k8s.io/"

static int ask(struct csi_work *w, const char *method, const char *path, const json_t *body,
               kube_done_fn done, struct err *err)
{
        const struct kube_request request = {
                .method = method, .path = path, .body = body, .done = done, .userdata = w
        };

        return path ? kube_start(w->kind->session, &request, &w->call, err)
                    : err_sys(err, -ENOMEM, "ask the API");
}

/* ---- the attachment ---- */

static int take_attachment(struct csi_work *w, const json_t *object, struct err *err)
{
        const json_t *status = json_object_get(object, "status");
        const json_t *metadata = json_object_get(status, "attachmentMetadata");
        const char *why = json_text_at(json_object_get(status, "attachError"), "message");

        if (json_text_at(json_object_get(object, "metadata"), "deletionTimestamp"))
                return err_set(err, -EAGAIN, "volume attachment is being deleted");
        if (!json_is_true(json_object_get(status, "attached")))
                return err_set(err, -EAGAIN, "volume %s is not attached: %s", w->handle,
                               why ? why : "the driver's attacher has not said so yet");
        return json_is_object(metadata)
                       ? decode_string_map(metadata, &w->publish_context, NULL, err)
                       : 0;
}

static void on_attachment(_unused_ struct kube_call *call, int status, json_t *object,
                          const struct err *why, void *userdata)
{
        struct csi_work *w = userdata;
        _cleanup_err_ struct err err = { 0 };
        int r;

        w->call = NULL;
        if (status == 200 && object)
                r = take_attachment(w, object, &err);
        else
                r = err_set(&err, -EAGAIN, "%s", err_text(why));
        if (r < 0) {
                _cleanup_free_ char *name = csi_attachment_name(w->handle, w->driver,
                                                                w->kind->node_name);

                err_wrap(&err, r, "VolumeAttachment '%s'", name ? name : "?");
        }
        csi_work_goes_on(w, r, &err);
}

int csi_read_attachment(struct csi_work *w, struct err *err)
{
        _cleanup_free_ char *name = csi_attachment_name(w->handle, w->driver, w->kind->node_name);
        _cleanup_free_ char *path =
                name ? text_printf("/apis/storage.k8s.io/v1/volumeattachments/%s", name) : NULL;

        return ask(w, "GET", path, NULL, on_attachment, err);
}

/* ---- Secrets ---- */

/* A Secret's values are bytes, a call's are text. */
static int add_secret(json_t *to, const char *key, const json_t *value, struct err *err)
{
        _cleanup_free_ uint8_t *bytes = NULL;
        const char *text = json_string_value(value);
        json_t *copy = NULL;
        size_t n = 0;

        if (text && base64_decode(text, strlen(text), &bytes, &n) == 0 && !memchr(bytes, 0, n))
                copy = json_stringn((const char *)bytes, n);
        if (bytes)
                explicit_bzero(bytes, n);
        if (!copy)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "data: %s: expected text in UTF-8, as CSI has it", key);
        return json_set(to, key, copy) < 0 ? err_sys(err, -ENOMEM, "read") : 0;
}

static int take_secret(struct csi_work *w, const json_t *object, struct err *err)
{
        json_auto_t *data = json_object();
        const char *key;
        json_t *value;

        json_object_foreach (json_object_get(object, "data"), key, value) {
                int r = add_secret(data, key, value, err);

                if (r < 0)
                        return r;
        }
        return decode_string_map(data, &w->secrets, NULL, err);
}

static void on_secret(_unused_ struct kube_call *call, int status, json_t *object,
                      const struct err *why, void *userdata)
{
        struct csi_work *w = userdata;
        const struct volume_secret *s = w->step == VOLUME_STAGE ? &w->spec->csi.stage_secret
                                                                : &w->spec->csi.publish_secret;
        _cleanup_err_ struct err err = { 0 };
        int r;

        w->call = NULL;
        if (status == 200 && object)
                r = take_secret(w, object, &err);
        else
                r = err_set(&err, -EAGAIN, "%s", err_text(why));
        if (r < 0)
                err_wrap(&err, r, "fetching %s %s/%s failed",
                         w->step == VOLUME_STAGE ? "NodeStageSecretRef" : "NodePublishSecretRef",
                         s->namespace ? s->namespace : w->pod->namespace, s->name);
        csi_work_goes_on(w, r, &err);
}

int csi_read_secret(struct csi_work *w, const char *namespace, const char *name, struct err *err)
{
        _cleanup_free_ char *path = text_printf("/api/v1/namespaces/%s/secrets/%s", namespace,
                                                name);

        return ask(w, "GET", path, NULL, on_secret, err);
}

/* ---- tokens ---- */

static const struct csi_token_request *next_token(struct csi_work *w)
{
        const struct csi_driver_object *o = NULL;

        if (csi_objects_find(csi_get_objects(w->kind->csi), w->driver, &o, NULL) < 0 || !o ||
            w->n_tokens >= o->n_tokens)
                return NULL;
        return &o->tokens[w->n_tokens];
}

static int ask_token(struct csi_work *w, const struct csi_token_request *t, struct err *err);

static int take_token(struct csi_work *w, const json_t *object, struct err *err)
{
        const struct csi_token_request *t = next_token(w);
        json_t *status = json_object_get(object, "status");
        const char *token = json_text_at(status, "token");
        const char *expires = json_text_at(status, "expirationTimestamp");

        if (!t)
                return 0; /* the CSIDriver changed meanwhile: it asks for no more */
        if (!token || !expires)
                return err_set(err, -EBADMSG, "the answer holds no token");
        if (!w->tokens)
                w->tokens = json_object();
        if (json_set(w->tokens, t->audience ? t->audience : "",
                     json_pack("{s:s, s:s}", "token", token, "expirationTimestamp", expires)) < 0)
                return err_sys(err, -ENOMEM, "read");
        w->n_tokens++;
        return 0;
}

static void on_token(_unused_ struct kube_call *call, int status, json_t *object,
                     const struct err *why, void *userdata)
{
        struct csi_work *w = userdata;
        const struct csi_token_request *t;
        _cleanup_err_ struct err err = { 0 };
        int r;

        w->call = NULL;
        if (status == 201 && object)
                r = take_token(w, object, &err);
        else
                r = err_set(&err, -EAGAIN, "%s", err_text(why));
        t = r == 0 ? next_token(w) : NULL;
        if (t) {
                r = ask_token(w, t, &err);
                if (r == 0)
                        return;
        }
        if (r < 0)
                err_wrap(&err, r, "failed to get service account token attributes");
        csi_work_goes_on(w, r, &err);
}

static int ask_token(struct csi_work *w, const struct csi_token_request *t, struct err *err)
{
        const struct pod *pod = w->pod;
        const char *account = pod->service_account ? pod->service_account : "default";
        bool own = t->audience && *t->audience;
        json_auto_t *body =
                json_pack("{s:s, s:s, s:{s:o, s:{s:s, s:s, s:s, s:s}}}", "apiVersion",
                          "authentication.k8s.io/v1", "kind", "TokenRequest", "spec", "audiences",
                          own ? json_pack("[s]", t->audience) : json_array(), "boundObjectRef",
                          "apiVersion", "v1", "kind", "Pod", "name", pod->name, "uid", pod->uid);
        _cleanup_free_ char *path = text_printf("/api/v1/namespaces/%s/serviceaccounts/%s/token",
                                                pod->namespace, account);

        if (!body ||
            (t->expiration_sec > 0 && json_set(json_object_get(body, "spec"), "expirationSeconds",
                                               json_integer(t->expiration_sec)) < 0))
                return err_sys(err, -ENOMEM, "ask for a token");
        return ask(w, "POST", path, body, on_token, err);
}

int csi_get_tokens(struct csi_work *w, struct err *err)
{
        const struct csi_token_request *t = next_token(w);

        return t ? ask_token(w, t, err) : 1;
}

/* ---- what the driver is told of the pod ---- */

static json_t *map_json(const struct string_map *m)
{
        return m->n ? string_map_to_json(m) : json_object();
}

static int add_tokens(struct csi_work *w, json_t *context, bool in_secrets, struct err *err)
{
        _cleanup_free_ char *text = json_dumps(w->tokens, JSON_COMPACT | JSON_SORT_KEYS);
        json_auto_t *secrets = in_secrets ? map_json(&w->secrets) : NULL;
        int r = text ? json_set_text(in_secrets ? secrets : context,
                                     POD_INFO "serviceAccount.tokens", text)
                     : -ENOMEM;

        if (text)
                explicit_bzero(text, strlen(text));
        if (r < 0)
                return err_sys(err, -ENOMEM, "hand over the tokens");
        if (!in_secrets)
                return 0;
        csi_wipe_map(&w->secrets);
        return decode_string_map(secrets, &w->secrets, NULL, err);
}

static int add_pod(json_t *context, const struct pod *pod, bool is_persistent)
{
        const char *const pairs[][2] = {
                { POD_INFO "pod.name", pod->name },
                { POD_INFO "pod.namespace", pod->namespace },
                { POD_INFO "pod.uid", pod->uid },
                { POD_INFO "serviceAccount.name",
                  pod->service_account ? pod->service_account : "default" },
                { POD_INFO "ephemeral", is_persistent ? "false" : "true" },
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(pairs) && r == 0; i++)
                r = json_set_text(context, pairs[i][0], pairs[i][1]);
        return r;
}

int csi_add_pod_info(struct csi_work *w, struct err *err)
{
        const struct csi_driver_object *o = NULL;
        json_auto_t *context = map_json(&w->spec->csi.attributes);
        int r = csi_objects_find(csi_get_objects(w->kind->csi), w->driver, &o, err);

        if (r == 0 && !context)
                r = err_sys(err, -ENOMEM, "describe the pod");
        if (r == 0 && o && o->pod_info_on_mount && add_pod(context, w->pod, w->is_persistent) < 0)
                r = err_sys(err, -ENOMEM, "describe the pod");
        if (r == 0 && w->tokens)
                r = add_tokens(w, context, o && o->tokens_in_secrets, err);
        return r < 0 ? r : decode_string_map(context, &w->context, NULL, err);
}

/* ---- small things ---- */

/* rmdir() says "busy" of what is mounted without asking what is mounted, which may hang. */
int csi_remove_target(int dir_fd, const char *path, struct err *err)
{
        if (unlinkat(dir_fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno == ENOTDIR && (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT))
                return 0;
        if (errno == EBUSY)
                return err_set(err, -EBUSY, "the driver says it is done, but '%s' is still mounted",
                               path);
        return err_sys(err, -errno, "remove '%s'", path);
}

void csi_wipe(struct strbuf *b)
{
        if (b->data)
                explicit_bzero(b->data, b->len);
}

void csi_wipe_map(struct string_map *m)
{
        for (size_t i = 0; i < m->n; i++)
                if (m->entries[i].value)
                        explicit_bzero(m->entries[i].value, strlen(m->entries[i].value));
        string_map_done(m);
}
