#include "kubelet/server-auth.h"

#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/text.h"
#include "kubelet/verdict-cache.h"

enum {
        CACHE_MAX = 4096,
        REJECTED_MAX = 1024, /* apart, so that guessed tokens cannot push out good ones */
};

#define REVIEW_TIMEOUT_USEC    (10 * USEC_PER_SEC)
#define ERROR_TTL_USEC         (5 * USEC_PER_SEC) /* it may be the authenticator's own trouble */
#define WARN_EVERY_USEC        (10 * USEC_PER_SEC)
#define TOKEN_REVIEWS          "/apis/authentication.k8s.io/v1/tokenreviews"
#define SUBJECT_ACCESS_REVIEWS "/apis/authorization.k8s.io/v1/subjectaccessreviews"

struct server_auth {
        struct server_auth_options options;
        unsigned char salt[REVIEW_SALT_SIZE];
        struct verdict_cache *tokens;   /* owned; struct identity */
        struct verdict_cache *rejected; /* owned; rejected_mark */
        struct verdict_cache *accesses; /* owned; allowed_mark or denied_mark */
        struct map *questions;          /* owned; struct question by key */
        usec_t warned_usec;
};

/* One review under way, and who waits for it. */
struct question {
        struct server_auth *auth; /* borrowed */
        struct kube_call *call;   /* owned */
        struct list waiting;      /* struct auth_request */
        bool is_token;
        char key[REVIEW_KEY_SIZE];
};

struct auth_request {
        struct server_auth *auth; /* borrowed */
        const struct server_request *what;
        auth_done_fn done;
        void *userdata;
        struct identity *who;        /* reference; NULL: not known yet */
        size_t n_asked;              /* of what->subresources */
        struct list_node in_waiting; /* question->waiting */
        bool in_check;               /* server_auth_check() has not returned yet */
        int status;                  /* settled within it: what to tell at its end */
        char *text;                  /* owned */
};

static const char rejected_mark[] = "rejected", allowed_mark[] = "allowed",
                  denied_mark[] = "denied";

static void unref_identity(void *i)
{
        identity_unref(i);
}

int server_auth_new(const struct server_auth_options *options, struct server_auth **ret)
{
        _cleanup_(server_auth_freep)
        struct server_auth *a = malloc(sizeof *a);

        if (!a)
                return -ENOMEM;
        *a = (struct server_auth){
                .options = *options,
                .tokens = verdict_cache_new(CACHE_MAX, unref_identity),
                .rejected = verdict_cache_new(REJECTED_MAX, NULL),
                .accesses = verdict_cache_new(CACHE_MAX, NULL),
                .questions = map_new(),
        };
        if (!a->tokens || !a->rejected || !a->accesses || !a->questions)
                return -ENOMEM;
        if (RAND_bytes(a->salt, sizeof a->salt) != 1)
                return -EIO;
        *ret = TAKE_PTR(a);
        return 0;
}

static void question_free(void *p)
{
        struct question *q = p;

        kube_cancel(q->call);
        free(q);
}

struct server_auth *server_auth_free(struct server_auth *a)
{
        if (!a)
                return NULL;
        map_free_with(a->questions, question_free);
        verdict_cache_free(a->tokens);
        verdict_cache_free(a->rejected);
        verdict_cache_free(a->accesses);
        free(a);
        return NULL;
}

struct auth_request *server_auth_cancel(struct auth_request *r)
{
        if (!r)
                return NULL;
        list_remove(&r->in_waiting);
        identity_unref(r->who);
        free(r->text);
        free(r);
        return NULL;
}

static void warn_now_and_then(struct server_auth *a, const char *text)
{
        usec_t now = now_monotonic();

        if (a->warned_usec != 0 && now - a->warned_usec < WARN_EVERY_USEC)
                return;
        a->warned_usec = now;
        log_warn(0, "Denying requests to :10250: %s", text);
}

/* Tells the answer and forgets the request. */
static void settle(struct auth_request *r, int status, const char *text)
{
        if (r->in_check) {
                r->status = status;
                r->text = strdup(text);
                return;
        }
        list_remove(&r->in_waiting);
        r->done(status, r->who, text, r->userdata);
        server_auth_cancel(r);
}

static void settle_unauthorized(struct auth_request *r)
{
        r->who = identity_unref(r->who);
        settle(r, 401, "Unauthorized");
}

/* "Forbidden (user=u, verb=get, resource=nodes, subresource(s)=[pods proxy])", the kubelet's text.
 */
static void settle_forbidden(struct auth_request *r)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_addf(&b, "Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=[",
                    r->who->user, r->what->verb);
        for (size_t i = 0; r->what->subresources[i]; i++)
                strbuf_addf(&b, "%s%s", i > 0 ? " " : "", r->what->subresources[i]);
        strbuf_add(&b, "])\n");
        settle(r, 403, b.failed ? "Forbidden" : b.data);
}

static void settle_error(struct auth_request *r)
{
        size_t last = r->n_asked > 0 ? r->n_asked - 1 : 0;
        _cleanup_free_ char *text = text_printf(
                "Authorization error (user=%s, verb=%s, resource=nodes, subresource=%s)",
                r->who->user, r->what->verb, r->what->subresources[last]);

        settle(r, 500, text ? text : "Authorization error");
}

static void authorize(struct auth_request *r);

/* The requests that waited for @q; it is out of the table already, so that they may ask anew. */
static void answer_waiting(struct question *q, int result, struct identity *who)
{
        struct list_node *n;

        while ((n = list_pop(&q->waiting))) {
                struct auth_request *r = CONTAINER_OF(n, struct auth_request, in_waiting);

                if (q->is_token && result == REVIEW_YES) {
                        r->who = identity_ref(who);
                        authorize(r);
                } else if (q->is_token) {
                        settle_unauthorized(r);
                } else if (result == REVIEW_YES) {
                        settle(r, 200, "");
                } else if (result == REVIEW_NO) {
                        authorize(r); /* the next subresource */
                } else {
                        settle_error(r);
                }
        }
}

static void keep_access(struct server_auth *a, const char *key, int result)
{
        const char *mark = result == REVIEW_YES ? allowed_mark : denied_mark;
        usec_t ttl = result == REVIEW_YES ? a->options.allowed_ttl : a->options.denied_ttl;

        (void)verdict_cache_put(a->accesses, key, (void *)mark, now_monotonic(), ttl);
}

static void keep_token(struct server_auth *a, const char *key, int result, struct identity *who)
{
        usec_t now = now_monotonic(), ttl = a->options.token_ttl;

        if (result == REVIEW_YES)
                (void)verdict_cache_put(a->tokens, key, identity_ref(who), now, ttl);
        else if (result == REVIEW_NO)
                (void)verdict_cache_put(a->rejected, key, (void *)rejected_mark, now, ttl);
        else if (result == -EACCES)
                (void)verdict_cache_put(a->rejected, key, (void *)rejected_mark, now,
                                        MIN(ttl, ERROR_TTL_USEC));
}

static void on_answer(struct kube_call _unused_ *call, int status, json_t *object,
                      const struct err *call_err, void *userdata)
{
        _cleanup_(identity_unrefp)
        struct identity *who = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct question *q = userdata;
        struct server_auth *a = q->auth;
        int result;

        q->call = NULL;
        map_remove(a->questions, q->key);
        if (status != 200 && status != 201)
                result = err_set(&err, -EIO, "%s: status %d: %s",
                                 q->is_token ? "TokenReview" : "SubjectAccessReview", status,
                                 err_text(call_err));
        else if (q->is_token)
                result = token_review_read(object, &who, &err);
        else
                result = access_review_read(object, &err);
        if (result < 0 && result != -EACCES)
                warn_now_and_then(a, err_text(&err));
        if (q->is_token)
                keep_token(a, q->key, result, who);
        else if (result >= 0)
                keep_access(a, q->key, result);
        answer_waiting(q, result, who);
        question_free(q);
}

/* Sends the review, or joins the one under way. 0 or a negative errno. */
static int ask(struct auth_request *r, const char *key, bool is_token, json_t *review)
{
        struct server_auth *a = r->auth;
        struct question *q = map_get(a->questions, key);
        struct kube_request request = {
                .method = "POST",
                .path = is_token ? TOKEN_REVIEWS : SUBJECT_ACCESS_REVIEWS,
                .body = review,
                .timeout_usec = REVIEW_TIMEOUT_USEC,
                .done = on_answer,
        };
        _cleanup_err_ struct err err = { 0 };
        int n;

        if (q) {
                list_append(&q->waiting, &r->in_waiting);
                return 0;
        }
        q = malloc(sizeof *q);
        if (!q)
                return -ENOMEM;
        *q = (struct question){ .auth = a, .is_token = is_token };
        list_init(&q->waiting);
        memcpy(q->key, key, sizeof q->key);
        request.userdata = q;
        n = map_put(a->questions, key, q, NULL);
        if (n < 0) {
                question_free(q);
                return n;
        }
        n = kube_start(a->options.session, &request, &q->call, &err);
        if (n < 0) {
                warn_now_and_then(a, err_text(&err));
                map_remove(a->questions, key);
                question_free(q);
                return n;
        }
        list_append(&q->waiting, &r->in_waiting);
        return 0;
}

/* Asks about the subresources that were not asked about yet, until there is a yes. */
static void authorize(struct auth_request *r)
{
        struct server_auth *a = r->auth;
        const char *subresource;

        if (a->options.authorize_always) {
                settle(r, 200, "");
                return;
        }
        while (*r->what->verb && (subresource = r->what->subresources[r->n_asked])) {
                struct access access = { r->what->verb, a->options.node_name, subresource };
                json_auto_t *review = access_review_json(r->who, &access);
                char key[REVIEW_KEY_SIZE];
                const char *verdict;

                r->n_asked++;
                if (!review || access_review_key(a->salt, review, key) < 0) {
                        settle_error(r);
                        return;
                }
                verdict = verdict_cache_get(a->accesses, key, now_monotonic());
                if (verdict == denied_mark)
                        continue;
                if (verdict == allowed_mark)
                        settle(r, 200, "");
                else if (!a->options.session || ask(r, key, false, review) < 0)
                        settle_error(r);
                return;
        }
        settle_forbidden(r);
}

static void authenticate_token(struct auth_request *r, const char *token)
{
        struct server_auth *a = r->auth;
        usec_t now = now_monotonic();
        char key[REVIEW_KEY_SIZE];
        json_auto_t *review = NULL;

        if (!a->options.token_webhook || !a->options.session ||
            token_review_key(a->salt, token, key) < 0 || verdict_cache_get(a->rejected, key, now)) {
                settle_unauthorized(r);
                return;
        }
        r->who = identity_ref(verdict_cache_get(a->tokens, key, now));
        if (r->who) {
                authorize(r);
                return;
        }
        review = token_review_json(token);
        if (!review || ask(r, key, true, review) < 0)
                settle_unauthorized(r);
}

static void authenticate(struct auth_request *r, const struct http_peer *peer,
                         const char *authorization)
{
        const char *token = bearer_token(authorization);

        if (peer->certificate_cn) {
                r->who = identity_new(peer->certificate_cn, peer->certificate_orgs);
        } else if (token) {
                authenticate_token(r, token);
                return;
        } else if (r->auth->options.anonymous && !authorization) {
                r->who = identity_anonymous();
        }
        if (r->who)
                authorize(r);
        else
                settle_unauthorized(r);
}

struct auth_request *server_auth_check(struct server_auth *a, const struct http_peer *peer,
                                       const char *authorization, const struct server_request *what,
                                       auth_done_fn done, void *userdata)
{
        struct auth_request *r = malloc(sizeof *r);

        if (!r) {
                done(500, NULL, "out of memory", userdata);
                return NULL;
        }
        *r = (struct auth_request){ .auth = a, .what = what, .done = done, .userdata = userdata };
        r->in_check = true;
        authenticate(r, peer, authorization);
        r->in_check = false;
        if (r->status == 0)
                return r;
        settle(r, r->status, r->text ? r->text : "");
        return NULL;
}
