#include "runtime/registry.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "runtime/digest.h"
#include "runtime/registry-auth.h"
#include "runtime/registry-internal.h"

enum {
        HOPS_MAX = 5,
        ROUNDS = 3, /* over all endpoints, while trouble looks temporary */
        RETRY_AFTER_MAX_SEC = 10,
};

void registry_document_done(struct registry_document *d)
{
        free(d->text);
        free(d->content_type);
        free(d->digest);
        *d = (struct registry_document){ 0 };
}

/* ---- endpoints ---- */

static bool has_credential(const struct image_credential *c)
{
        return c->username || c->identity_token;
}

static int set_endpoint(struct registry *r, const struct image_job_endpoint *from,
                        struct registry_endpoint_state *e, struct err *err)
{
        int k;

        e->job = from;
        e->ns = r->job->name;
        if (from->is_registry && r->job->n_auths > 0) {
                e->credentials = r->job->auths;
                e->n_credentials = r->job->n_auths;
        } else if (has_credential(&from->credential)) {
                e->credentials = &from->credential;
                e->n_credentials = 1;
        }
        k = registry_url_parse(from->url, NULL, &e->url, err);
        if (k == 0 && !(e->authority = registry_url_authority(&e->url)))
                k = err_sys(err, -ENOMEM, "set up the registry client");
        return k;
}

int registry_new(const struct image_job *job, struct registry **ret, struct err *err)
{
        _cleanup_(registry_freep)
        struct registry *r = calloc(1, sizeof *r);
        int k;

        if (!r)
                return err_sys(err, -ENOMEM, "set up the registry client");
        list_init(&r->transfers);
        r->job = job;
        r->endpoints = calloc(job->n_endpoints, sizeof *r->endpoints);
        if (!r->endpoints)
                return err_sys(err, -ENOMEM, "set up the registry client");
        for (size_t i = 0; i < job->n_endpoints; i++) {
                r->n_endpoints = i + 1;
                k = set_endpoint(r, &job->endpoints[i], &r->endpoints[i], err);
                if (k < 0)
                        return k;
        }
        k = registry_http_new(job, &r->http, err);
        if (k < 0)
                return k;
        *ret = TAKE_PTR(r);
        return 0;
}

struct registry *registry_free(struct registry *r)
{
        if (!r)
                return NULL;
        if (r->transfers.head.next)
                registry_transfers_free(r);
        registry_http_free(r->http);
        for (size_t i = 0; i < r->n_endpoints; i++) {
                registry_url_done(&r->endpoints[i].url);
                free(r->endpoints[i].authority);
                free(r->endpoints[i].authorization);
        }
        free(r->endpoints);
        free(r);
        return NULL;
}

int registry_auth_index(const struct registry *r)
{
        const struct registry_endpoint_state *e = &r->endpoints[r->first];

        return e->credentials == r->job->auths && e->n_credentials > 0 && e->used_credential
                       ? (int)e->credential
                       : -1;
}

int registry_object_url(const struct registry_endpoint_state *e, const char *kind,
                        const char *reference, struct registry_url *ret, struct err *err)
{
        int host_len = (int)strcspn(e->ns, "/");
        _cleanup_free_ char *text = NULL;

        /* mirrors of several registries know by "ns" which one is meant, as from containerd */
        text = text_printf("%s/%s/%s/%s%s%.*s", e->url.text, e->job->repository, kind, reference,
                           e->job->is_registry ? "" : "?ns=", e->job->is_registry ? 0 : host_len,
                           e->ns);
        return text ? registry_url_parse(text, NULL, ret, err)
                    : err_sys(err, -ENOMEM, "ask the registry");
}

/* ---- answers ---- */

int registry_status_error(const struct registry_endpoint_state *e, const struct http_answer *answer,
                          struct err *err)
{
        const char *host = e->authority;

        switch (answer->status) {
        case 401:
                return err_set_kind(err, -EACCES, ERR_UNAUTHORIZED,
                                    "'%s': pull access denied, repository does not exist or may "
                                    "require authorization",
                                    host);
        case 403:
                return err_set_kind(err, -EACCES, ERR_FORBIDDEN,
                                    "'%s': pull access denied: forbidden", host);
        case 404:
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "'%s': not found", host);
        case 429:
                return err_set_kind(err, -EBUSY, ERR_TOO_MANY, "'%s': too many requests", host);
        default:
                return err_set_kind(err, -EIO,
                                    answer->status / 100 == 5 ? ERR_SERVER : ERR_IMAGE_PULL,
                                    "'%s': unexpected HTTP status %d", host, answer->status);
        }
}

bool registry_is_redirect(int status)
{
        return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

int registry_redirect(const struct registry_endpoint_state *e, const struct http_answer *answer,
                      struct registry_url *url, unsigned *hops, struct err *err)
{
        _cleanup_registry_url_ struct registry_url next = { 0 };
        struct registry_url before;
        int r;

        if (++*hops > HOPS_MAX)
                return err_set_kind(err, -ELOOP, ERR_IMAGE_PULL, "'%s': more than %d redirects",
                                    e->authority, HOPS_MAX);
        if (!answer->location)
                return err_set_kind(err, -EINVAL, ERR_IMAGE_PULL, "'%s': a redirect to nowhere",
                                    url->host);
        r = registry_url_parse(answer->location, url, &next, err);
        if (r == 0)
                r = auth_judge_redirect(&e->url, &next, err);
        if (r < 0)
                return err_wrap(err, r, "'%s': redirect", url->host);
        before = *url;
        *url = next;
        next = before;
        return r;
}

bool registry_error_is_temporary(const struct err *err)
{
        return err->kind == ERR_UNREACHABLE || err->kind == ERR_TIMEOUT ||
               err->kind == ERR_SERVER || err->kind == ERR_TOO_MANY;
}

int registry_final_error(int r, struct err *err)
{
        if (err->kind == ERR_UNREACHABLE || err->kind == ERR_TIMEOUT || err->kind == ERR_SERVER)
                err->kind = ERR_REGISTRY_UNAVAILABLE;
        return r;
}

/* ---- documents ---- */

struct question {
        const char *kind, *reference, *accept;
        bool head;
        size_t max;
};

static int ask_once(struct registry *r, struct registry_endpoint_state *e, const struct question *q,
                    const struct registry_url *url, bool authorized, struct http_answer *ret,
                    struct err *err)
{
        bool own = registry_url_same_origin(url, &e->url);
        struct http_ask ask = {
                .url = url,
                .tls_host = own ? e->job->tls_host : NULL,
                .authorization = authorized ? registry_authorization(e) : NULL,
                .accept = q->accept,
                .head = q->head,
                .refuse_internal = !own && !e->internal,
                .body_max = q->max,
        };
        int k = registry_http_get(r->http, &ask, ret, err);

        if (own)
                e->internal |= ret->internal;
        return k;
}

/* Follows redirects and logs in, until there is an answer to give. */
static int ask_endpoint(struct registry *r, struct registry_endpoint_state *e,
                        const struct question *q, struct http_answer *ret, struct err *err)
{
        _cleanup_registry_url_ struct registry_url url = { 0 };
        bool authorized = true;
        unsigned hops = 0;
        int k = registry_object_url(e, q->kind, q->reference, &url, err);

        while (k >= 0) {
                _cleanup_http_answer_ struct http_answer answer = { 0 };

                k = ask_once(r, e, q, &url, authorized, &answer, err);
                if (k < 0)
                        return k;
                if (answer.status == 200) {
                        e->authorization_works |= e->authorization != NULL;
                        *ret = answer;
                        answer = (struct http_answer){ 0 };
                        return 0;
                }
                if (registry_is_redirect(answer.status)) {
                        k = registry_redirect(e, &answer, &url, &hops, err);
                        authorized = authorized && k == 1;
                        continue;
                }
                if ((answer.status == 401 || answer.status == 403) && authorized) {
                        k = registry_login(r, e, &answer, err);
                        if (k == 1) { /* from the start, redirects and all */
                                registry_url_done(&url);
                                hops = 0;
                                k = registry_object_url(e, q->kind, q->reference, &url, err);
                                continue;
                        }
                        if (k < 0)
                                return k;
                }
                return registry_status_error(e, &answer, err);
        }
        return k;
}

/* One round over the endpoints; *ret_index is the one that answered. */
static int ask_all(struct registry *r, const struct question *q, struct http_answer *ret,
                   size_t *ret_index, struct err *err)
{
        _cleanup_err_ struct err before = { 0 };
        int k = -EIO;

        for (size_t i = 0; i < r->n_endpoints; i++) {
                size_t index = (r->first + i) % r->n_endpoints;

                k = ask_endpoint(r, &r->endpoints[index], q, ret, err);
                if (k == 0) {
                        *ret_index = index;
                        return 0;
                }
                if (before.message) /* say what all of them said, the last one first */
                        err_set_kind(err, k, err->kind, "%s; before that %s", err_text(err),
                                     err_text(&before));
                if (i + 1 < r->n_endpoints)
                        err_move(&before, err);
        }
        return k;
}

static void pause_before(unsigned round)
{
        struct timespec t = { .tv_sec = round };

        nanosleep(&t, NULL);
}

static int ask(struct registry *r, const struct question *q, struct http_answer *ret,
               size_t *ret_index, struct err *err)
{
        int k = -EIO;

        for (unsigned round = 0; round < ROUNDS; round++) {
                if (round > 0)
                        pause_before(round);
                k = ask_all(r, q, ret, ret_index, err);
                /* what took too long once would only take longer */
                if (k == 0 || !registry_error_is_temporary(err) || err->kind == ERR_TIMEOUT)
                        break;
        }
        return k < 0 ? registry_final_error(k, err) : 0;
}

static int check_text(const struct http_answer *a, const char *wanted, uint64_t size,
                      struct err *err)
{
        _cleanup_(digest_freep)
        struct digest *d = digest_new(wanted);
        const char *is;

        if (!d)
                return err_sys(err, -ENOMEM, "check digest");
        if (size != 0 && a->body_len != size)
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY,
                                    "%zu bytes where the descriptor says %llu", a->body_len,
                                    (unsigned long long)size);
        digest_add(d, a->body, a->body_len);
        is = digest_text(d);
        if (!streq(is, wanted))
                return err_set_kind(err, -EINVAL, ERR_IMAGE_VERIFY, "digest is %s, expected %s", is,
                                    wanted);
        return 0;
}

static int fill_document(struct http_answer *a, const char *digest, struct registry_document *ret,
                         struct err *err)
{
        ret->digest = strdup(digest);
        if (!ret->digest)
                return err_sys(err, -ENOMEM, "keep document");
        ret->text = TAKE_PTR(a->body);
        ret->n = a->body_len;
        ret->content_type = TAKE_PTR(a->content_type);
        return 0;
}

/* A tag's digest is that of the bytes; a registry that says another one is not believed at all. */
static int digest_of_tag(const struct http_answer *a, char **ret, struct err *err)
{
        bool said = a->docker_digest && digest_is_valid(a->docker_digest);
        _cleanup_(digest_freep)
        struct digest *d = digest_new("sha256:");
        int r = said ? check_text(a, a->docker_digest, 0, err) : 0;

        if (r < 0)
                return err_wrap(err, r, "Docker-Content-Digest");
        if (!d)
                return err_sys(err, -ENOMEM, "check digest");
        digest_add(d, a->body, a->body_len);
        *ret = strdup(said ? a->docker_digest : digest_text(d));
        return *ret ? 0 : err_sys(err, -ENOMEM, "check digest");
}

int registry_manifest(struct registry *r, const char *reference, uint64_t size,
                      struct registry_document *ret, struct err *err)
{
        struct question q = { "manifests", reference, MANIFEST_ACCEPT, false, MANIFEST_SIZE_MAX };
        _cleanup_http_answer_ struct http_answer answer = { 0 };
        _cleanup_free_ char *digest = NULL;
        size_t index;
        int k = ask(r, &q, &answer, &index, err);

        if (k < 0)
                return err_wrap(err, k, "manifest '%s'", reference);
        r->first = index;
        if (digest_is_valid(reference))
                k = check_text(&answer, reference, size, err);
        else
                k = digest_of_tag(&answer, &digest, err);
        if (k < 0)
                return err_wrap(err, k, "manifest '%s'", reference);
        return fill_document(&answer, digest ? digest : reference, ret, err);
}

int registry_resolve(struct registry *r, const char *tag, char **ret, struct err *err)
{
        struct question q = { "manifests", tag, MANIFEST_ACCEPT, true, MANIFEST_SIZE_MAX };
        _cleanup_http_answer_ struct http_answer answer = { 0 };
        size_t index;
        int k = ask(r, &q, &answer, &index, err);

        if (k < 0)
                return err_wrap(err, k, "manifest '%s'", tag);
        *ret = NULL;
        if (answer.docker_digest && digest_is_valid(answer.docker_digest))
                *ret = TAKE_PTR(answer.docker_digest);
        r->first = index;
        return 0;
}

int registry_blob(struct registry *r, const char *digest, uint64_t size,
                  struct registry_document *ret, struct err *err)
{
        struct question q = { "blobs", digest, NULL, false, MANIFEST_SIZE_MAX };
        _cleanup_http_answer_ struct http_answer answer = { 0 };
        size_t index;
        int k = ask(r, &q, &answer, &index, err);

        if (k == 0)
                k = check_text(&answer, digest, size, err);
        if (k < 0)
                return err_wrap(err, k, "blob '%s'", digest);
        return fill_document(&answer, digest, ret, err);
}
