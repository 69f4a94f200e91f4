#include "runtime/image-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "base/yaml.h"

enum { PEM_MAX = 1 << 20, RESERVE_PERCENT = 5 };
#define RESERVE_MAX (UINT64_C(1) << 30)

static int read_registries(const char *path, struct registries *ret, struct err *err)
{
        json_auto_t *root = NULL;
        int r;

        if (!path || (access(path, F_OK) < 0 && errno == ENOENT))
                return 0;
        r = yaml_parse_file(path, &root, err);
        if (r < 0)
                return r;
        r = registries_decode(root, ret, err);
        return r < 0 ? err_wrap(err, r, "'%s'", path) : 0;
}

static int read_pem(const char *path, char **ret, struct err *err)
{
        int r = path ? fs_read_at(AT_FDCWD, path, PEM_MAX, ret, NULL) : 0;

        return r < 0 ? err_sys(err, r, "read '%s'", path) : 0;
}

static int plan_hosts(const struct registries *from, struct image_job *job, struct err *err)
{
        job->hosts = calloc(from->n_hosts + 1, sizeof *job->hosts);
        if (!job->hosts)
                return err_sys(err, -ENOMEM, "plan the pull");
        for (size_t i = 0; i < from->n_hosts; i++) {
                const struct registry_host *h = &from->hosts[i];
                struct image_job_host *to = &job->hosts[job->n_hosts++];
                int r;

                to->insecure_skip_verify = h->insecure_skip_verify;
                to->host = strdup(h->host);
                r = to->host ? 0 : err_sys(err, -ENOMEM, "plan the pull");
                if (r == 0)
                        r = read_pem(h->ca_file, &to->ca, err);
                if (r == 0)
                        r = read_pem(h->cert_file, &to->certificate, err);
                if (r == 0)
                        r = read_pem(h->key_file, &to->key, err);
                if (r < 0)
                        return err_wrap(err, r, "configs: %s: tls", h->host);
        }
        return 0;
}

static int copy_credential(struct image_credential *to, const char *username, const char *password,
                           const char *identity_token)
{
        to->username = strdup_null(username);
        to->password = strdup_null(password);
        to->identity_token = strdup_null(identity_token);
        return (username && !to->username) || (password && !to->password) ||
                               (identity_token && !to->identity_token)
                       ? -ENOMEM
                       : 0;
}

static int plan_endpoint(const struct registry_endpoint *from, struct image_job_endpoint *to)
{
        const struct registry_host *h = from->host;
        int r = 0;

        to->is_registry = from->is_registry;
        to->url = strdup(from->url.text);
        to->repository = strdup(from->repository);
        if (!to->url || !to->repository)
                return -ENOMEM;
        if (!h)
                return 0;
        to->tls_host = strdup(h->host);
        to->token_realms = strv_copy(h->token_realms);
        if (!to->tls_host || (h->token_realms && !to->token_realms))
                return -ENOMEM;
        /* "*" is for TLS alone: a credential is bound to a host */
        if (!streq(h->host, "*"))
                r = copy_credential(&to->credential, h->username, h->password, h->identity_token);
        return r;
}

static int plan_endpoints(const struct registries *from, const struct image_ref *ref,
                          struct image_job *job, struct err *err)
{
        struct registry_endpoint *list = NULL;
        size_t n = 0;
        int r = registries_endpoints(from, ref, &list, &n, err);

        if (r < 0)
                return r;
        job->endpoints = calloc(n, sizeof *job->endpoints);
        if (!job->endpoints)
                r = -ENOMEM;
        for (size_t i = 0; r == 0 && i < n; i++)
                r = plan_endpoint(&list[i], &job->endpoints[job->n_endpoints++]);
        registry_endpoints_free(list, n);
        return r < 0 ? err_sys(err, r, "plan the pull") : 0;
}

static int plan_auths(const struct image_auth *auths, size_t n, struct image_job *job)
{
        int r = 0;

        job->auths = calloc(n + 1, sizeof *job->auths);
        if (!job->auths)
                return -ENOMEM;
        for (size_t i = 0; r == 0 && i < n; i++)
                r = copy_credential(&job->auths[job->n_auths++], auths[i].username,
                                    auths[i].password, auths[i].identity_token);
        return r;
}

/* As curl and Go read them; uppercase http_proxy is left out, as CGI programs taught everybody. */
static int plan_proxies(struct image_job *job)
{
        const char *https = getenv("HTTPS_PROXY"), *http = getenv("http_proxy"),
                   *none = getenv("NO_PROXY");

        https = https ? https : getenv("https_proxy");
        none = none ? none : getenv("no_proxy");
        job->https_proxy = strdup_null(https);
        job->http_proxy = strdup_null(http);
        job->no_proxy = strdup_null(none);
        return (https && !job->https_proxy) || (http && !job->http_proxy) ||
                               (none && !job->no_proxy)
                       ? -ENOMEM
                       : 0;
}

/* ---- what is here ---- */

static int plan_layers(const struct image_store *s, struct image_job *job)
{
        const char *name;
        struct layer *l;

        job->layers = calloc(map_size(s->layers) + 1, sizeof *job->layers);
        if (!job->layers)
                return -ENOMEM;
        MAP_FOREACH (name, l, s->layers) {
                struct image_job_layer *to = &job->layers[job->n_layers++];

                to->name = strdup(name);
                to->diff_id = strdup(l->what.diff_id);
                to->chain_id = strdup_null(l->what.chain_id);
                to->root_is_opaque = l->what.root_is_opaque;
                if (!to->name || !to->diff_id || (l->what.chain_id && !to->chain_id))
                        return -ENOMEM;
        }
        return 0;
}

static int plan_manifests(const struct image_store *s, struct image_job *job)
{
        const char *id;
        struct image *i;
        int r = 0;

        MAP_FOREACH (id, i, s->images) {
                if (r == 0 && i->what.manifest_digest)
                        r = strv_append(&job->known_manifests, i->what.manifest_digest);
                if (r == 0 && i->what.index_digest)
                        r = strv_append(&job->known_manifests, i->what.index_digest);
        }
        return r;
}

static int plan_common(const struct image_store *s, struct image_job *job)
{
        struct statvfs v;

        if (fstatvfs(s->dir_fd, &v) < 0)
                return -errno;
        job->reserve_bytes = MIN((uint64_t)v.f_blocks * v.f_frsize / 100 * RESERVE_PERCENT,
                                 RESERVE_MAX);
        return plan_layers(s, job);
}

int image_plan_import(const struct image_store *s, struct image_job *ret, struct err *err)
{
        _cleanup_image_job_ struct image_job job = { .kind = IMAGE_JOB_IMPORT };
        int r = plan_common(s, &job);

        if (r < 0)
                return err_sys(err, r, "plan the import");
        *ret = job;
        job = (struct image_job){ 0 };
        return 0;
}

void image_plan_check(const struct image_store *s)
{
        _cleanup_registries_ struct registries registries = { 0 };
        _cleanup_image_job_ struct image_job job = { .kind = IMAGE_JOB_PULL };
        _cleanup_err_ struct err err = { 0 };
        int r = read_registries(s->registries_file, &registries, &err);

        if (r == 0)
                r = plan_hosts(&registries, &job, &err);
        if (r < 0)
                log_warn(0, "No image can be pulled until this is mended: %s", err_text(&err));
}

int image_plan_pull(const struct image_store *s, const struct image_ref *ref,
                    const struct image_auth *auths, size_t n_auths, struct image_job *ret,
                    struct err *err)
{
        _cleanup_registries_ struct registries registries = { 0 };
        _cleanup_image_job_ struct image_job job = { .kind = IMAGE_JOB_PULL };
        int r = read_registries(s->registries_file, &registries, err);

        if (r == 0)
                r = plan_hosts(&registries, &job, err);
        if (r == 0)
                r = plan_endpoints(&registries, ref, &job, err);
        if (r < 0)
                return r;
        job.name = image_ref_name(ref);
        job.tag = strdup_null(ref->tag);
        job.digest = strdup_null(ref->digest);
        r = job.name && (job.tag || job.digest) ? 0 : -ENOMEM;
        if (r == 0)
                r = plan_auths(auths, n_auths, &job);
        if (r == 0)
                r = plan_proxies(&job);
        if (r == 0)
                r = plan_common(s, &job);
        if (r == 0)
                r = plan_manifests(s, &job);
        if (r < 0)
                return err_sys(err, r, "plan the pull");
        *ret = job;
        job = (struct image_job){ 0 };
        return 0;
}
