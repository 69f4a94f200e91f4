#include "kubelet/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/certificate-store.h"

enum { PEM_MAX = 1 << 20 };

struct credentials {
        sd_event *event;                           /* reference */
        char *bootstrap, *cert_dir, *name, *agent; /* owned */
        char *current;                             /* owned; the certificate asked for */
        struct kube_session *session;              /* owned */
        struct kube_session *first;                /* owned; NULL when it is not needed */
        struct certificate_manager *manager;       /* owned; NULL: nothing to renew */
};

/* ---- is what stands in a kubeconfig good? ---- */

/* What its certificate says. 1: it has none but a token, which is not ours to judge. */
static int read_certificate(const struct kube_config *k, struct certificate_info *ret,
                            struct err *err)
{
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r = 0;

        if (!k->cert_data && !k->cert_file)
                return k->token || k->token_file ? 1 : err_set(err, -ENOENT, "no credentials");
        if (!k->cert_data)
                r = fs_read_at(AT_FDCWD, k->cert_file, PEM_MAX, &text, &n);
        if (r < 0)
                return err_sys(err, r, "client certificate '%s'", k->cert_file);
        r = certificate_read(text ? text : k->cert_data, text ? n : strlen(k->cert_data), ret, err);
        if (text)
                explicit_bzero(text, n); /* it may hold the key too */
        return r;
}

static int check_certificate(const struct kube_config *k, struct err *err)
{
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        int r = read_certificate(k, &info, err);

        if (r == 0 && now_realtime() >= info.not_after)
                r = err_set(err, -EKEYEXPIRED, "the client certificate has expired");
        return MIN(r, 0);
}

/* ---- a kubeconfig of our own making ---- */

static json_t *cluster_json(const struct kube_config *k)
{
        _cleanup_free_ char *ca = k->ca_data ? base64_encode(k->ca_data, strlen(k->ca_data)) : NULL;
        json_t *o = json_pack("{s:s}", "server", k->server);

        if ((k->ca_data && !ca) || json_set_text(o, "certificate-authority-data", ca) < 0 ||
            json_set_text(o, "certificate-authority", k->ca_data ? NULL : k->ca_file) < 0 ||
            json_set_text(o, "tls-server-name", k->tls_server_name) < 0 ||
            json_set_text(o, "proxy-url", k->proxy_url) < 0 ||
            (k->insecure_skip_verify && json_set(o, "insecure-skip-tls-verify", json_true()) < 0)) {
                json_decref(o);
                return NULL;
        }
        return o;
}

/* The cluster of @k, the certificate at @pem; names as the kubelet gives them. JSON is YAML. */
static char *kubeconfig_text(const struct kube_config *k, const char *pem)
{
        json_auto_t *o = json_pack("{s:s, s:s, s:[{s:s, s:o}], s:[{s:s, s:{s:s, s:s}}], "
                                   "s:[{s:s, s:{s:s, s:s, s:s}}], s:s}",
                                   "apiVersion", "v1", "kind", "Config", "clusters", "name",
                                   "default-cluster", "cluster", cluster_json(k), "users", "name",
                                   "default-auth", "user", "client-certificate", pem, "client-key",
                                   pem, "contexts", "name", "default-context", "context", "cluster",
                                   "default-cluster", "user", "default-auth", "namespace",
                                   "default", "current-context", "default-context");

        return o ? json_dumps(o, JSON_INDENT(2)) : NULL;
}

static int write_kubeconfig(const char *path, const struct kube_config *bootstrap, const char *pem,
                            struct kube_config *ret, struct err *err)
{
        _cleanup_free_ char *text = kubeconfig_text(bootstrap, pem);
        int r;

        if (!text)
                return err_sys(err, -ENOMEM, "write kubeconfig '%s'", path);
        r = fs_replace_at(AT_FDCWD, path, text, strlen(text), 0600, true);
        if (r < 0)
                return err_sys(err, r, "write kubeconfig '%s'", path);
        log_info("Wrote kubeconfig '%s'", path);
        return kube_config_parse(text, strlen(text), "/", ret, err);
}

/* ---- the way in ---- */

/* What to connect by: the kubeconfig that stands, or one made from the bootstrap kubeconfig. */
static int choose_config(struct credentials *c, const char *path, struct kube_config *ret,
                         bool *ret_is_new, struct err *err)
{
        _cleanup_(kube_config_done)
        struct kube_config bootstrap = { 0 };
        int r = kube_config_load(path, ret, err);

        *ret_is_new = false;
        if (!c->bootstrap)
                return r;
        if (r == 0) {
                r = check_certificate(ret, err);
                if (r == 0)
                        return 0;
                kube_config_done(ret);
        }
        if (r != -ENOENT)
                log_warn(0, "Kubeconfig '%s' is no longer good, asking for a new certificate: %s",
                         path, err_text(err));
        r = kube_config_load(c->bootstrap, &bootstrap, err);
        if (r < 0)
                return r;
        *ret_is_new = true;
        return write_kubeconfig(path, &bootstrap, c->current, ret, err);
}

/* Where rotation has put a certificate already, that is the one: the kubeconfig may hold the first
 * for ever. */
static int prefer_rotated(const struct credentials *c, struct kube_config *k)
{
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };

        if (certificate_store_load(c->cert_dir, certificate_purpose_prefix(CERTIFICATE_CLIENT),
                                   now_realtime(), &info, NULL) < 0)
                return 0;
        free(TAKE_PTR(k->cert_data));
        free(TAKE_PTR(k->key_data));
        return free_and_strdup(&k->cert_file, c->current) < 0 ||
                               free_and_strdup(&k->key_file, c->current) < 0
                       ? -ENOMEM
                       : 0;
}

static struct kube_session *on_first_session(void *userdata)
{
        _cleanup_(kube_config_done)
        struct kube_config config = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct credentials *c = userdata;

        if (!c->bootstrap || c->first)
                return c->first;
        if (kube_config_load(c->bootstrap, &config, &err) < 0 ||
            kube_session_new(c->event, &config, c->agent, &c->first, &err) < 0)
                log_error(0, "Failed to use the bootstrap kubeconfig: %s", err_text(&err));
        return c->first;
}

static void on_changed(const char *path, void *userdata)
{
        struct credentials *c = userdata;
        _cleanup_err_ struct err err = { 0 };

        if (kube_session_use_certificate(c->session, path, &err) < 0)
                log_error(0, "Failed to use the new client certificate: %s", err_text(&err));
        c->first = kube_session_free(c->first);
}

static int start_manager(struct credentials *c, const struct kube_config *config, bool once,
                         struct err *err)
{
        _cleanup_(certificate_info_done)
        struct certificate_info info = { 0 };
        bool has_one = read_certificate(config, &info, NULL) == 0;
        const struct certificate_manager_options options = {
                .purpose = CERTIFICATE_CLIENT,
                .dir = c->cert_dir,
                .node_name = c->name,
                .initial = has_one ? &info : NULL,
                .once = once,
                .session = c->session,
                .first_session = on_first_session,
                .on_changed = on_changed,
                .userdata = c,
        };

        return certificate_manager_new(&options, &c->manager, err);
}

static int copy_options(struct credentials *c, const struct credentials_options *o)
{
        c->event = sd_event_ref(o->event);
        c->bootstrap = strdup_null(o->bootstrap_kubeconfig);
        c->cert_dir = strdup(o->cert_dir);
        c->name = strdup(o->node_name);
        c->agent = strdup(o->user_agent);
        c->current = certificate_store_path(o->cert_dir,
                                            certificate_purpose_prefix(CERTIFICATE_CLIENT));
        return (o->bootstrap_kubeconfig && !c->bootstrap) || !c->cert_dir || !c->name ||
                               !c->agent || !c->current
                       ? -ENOMEM
                       : 0;
}

int credentials_new(const struct credentials_options *options, struct credentials **ret,
                    struct err *err)
{
        _cleanup_(credentials_freep)
        struct credentials *c = calloc(1, sizeof *c);
        _cleanup_(kube_config_done)
        struct kube_config config = { 0 };
        bool is_new, has_certificate;
        int r;

        if (!c || copy_options(c, options) < 0)
                return err_sys(err, -ENOMEM, "read the credentials");
        r = choose_config(c, options->kubeconfig, &config, &is_new, err);
        if (r < 0)
                return r;
        has_certificate = config.cert_data || config.cert_file;
        if (options->rotate && has_certificate && prefer_rotated(c, &config) < 0)
                return err_sys(err, -ENOMEM, "read the credentials");
        r = kube_session_new(c->event, &config, c->agent, &c->session, err);
        if (r == 0 && (is_new || (options->rotate && has_certificate)))
                r = start_manager(c, &config, !options->rotate, err);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}

struct credentials *credentials_free(struct credentials *c)
{
        if (!c)
                return NULL;
        certificate_manager_free(c->manager);
        kube_session_free(c->first);
        kube_session_free(c->session);
        sd_event_unref(c->event);
        free(c->bootstrap);
        free(c->cert_dir);
        free(c->name);
        free(c->agent);
        free(c->current);
        free(c);
        return NULL;
}

struct kube_session *credentials_session(const struct credentials *c)
{
        return c->session;
}

const struct certificate_counts *credentials_counts(const struct credentials *c)
{
        return c->manager ? certificate_manager_counts(c->manager) : NULL;
}
