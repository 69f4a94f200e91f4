/*
 * The API server: kubeconfig and credentials; get, create, patch, delete one object.
 *
 * struct kube_session owns the one HTTP session of the process (HTTP/2 to one server). A request
 * is answered by one callback with the decoded tree or a struct err whose kind tells 404 from 409.
 */
#pragma once
#include <jansson.h>

#include "base/http.h"

/* kubeconfig, current context resolved. Relative files are taken from the kubeconfig's folder. */
struct kube_config {
        char *server; /* https://host:port, perhaps a path; no trailing slash */
        char *ca_file, *ca_data, *cert_file, *cert_data, *key_file, *key_data; /* owned */
        char *token, *token_file;
        char *tls_server_name, *proxy_url;
        char *namespace;
        bool insecure_skip_verify;
};
void kube_config_done(struct kube_config *c);
/*
 * Bad input names the field and the rule. What Skiff does not do is refused by name: exec and
 * auth-provider plugins, passwords, impersonation. Inline data wins over files, tokenFile over
 * token.
 */
/* kube_config_load() also wants the files that it names to be readable. */
int kube_config_load(const char *path, struct kube_config *ret, struct err *err);
int kube_config_parse(const char *text, size_t n, const char *dir, struct kube_config *ret,
                      struct err *err);

struct kube_session; /* opaque */
struct kube_call;    /* opaque; one request under way */

/* @object: borrowed, NULL on failure or for an empty body. @status: HTTP status, 0: no answer. */
typedef void (*kube_done_fn)(struct kube_call *call, int status, json_t *object,
                             const struct err *err, void *userdata);

int kube_session_new(sd_event *event, const struct kube_config *config, const char *user_agent,
                     struct kube_session **ret, struct err *err);
struct kube_session *kube_session_free(struct kube_session *s);
DEFINE_CLEANUP(struct kube_session *, kube_session_free)
/* From now on the client certificate and its key are those in @pem_file; connections are made anew.
 */
int kube_session_use_certificate(struct kube_session *s, const char *pem_file, struct err *err);
sd_event *kube_session_event(struct kube_session *s);
/* All connections are dropped and made anew: the lease timed out, or credentials changed on disk.
 */
void kube_session_reset(struct kube_session *s, const char *why);
/* Is the server answering, and since when has it (not) been? CLOCK_REALTIME. */
bool kube_session_is_connected(const struct kube_session *s, usec_t *ret_since);

/* Answers so far, for metrics; @code 0: no answer. Borrowed; those of one method and code. */
struct kube_answer_count {
        const char *method;
        int code;
        uint64_t n;
};
const struct kube_answer_count *kube_session_answers(const struct kube_session *s, size_t *ret_n);
const char *kube_session_server(const struct kube_session *s); /* "https://host:port" */

enum kube_patch {
        KUBE_PATCH_NONE,
        KUBE_PATCH_STRATEGIC, /* application/strategic-merge-patch+json */
        KUBE_PATCH_MERGE,     /* application/merge-patch+json */
};
struct kube_request {
        const char *method;    /* GET, POST, PUT, PATCH, DELETE */
        const char *path;      /* "/api/v1/nodes/x/status?…", names escaped by the caller */
        const json_t *body;    /* borrowed; NULL: none */
        enum kube_patch patch; /* content type of a PATCH */
        usec_t timeout_usec;   /* 0: 30 s */
        kube_done_fn done;
        void *userdata;
};
/**
 * kube_start() - one request with the session's credentials
 * The token file is read again when it changed. 429 and 5xx come back as they are: the caller backs
 * off.
 */
int kube_start(struct kube_session *s, const struct kube_request *request, struct kube_call **ret,
               struct err *err);
struct kube_call *kube_cancel(struct kube_call *c);      /* done is not called; NULL is fine */
usec_t kube_call_retry_after(const struct kube_call *c); /* in done: Retry-After, or 0 */
/* In done: the reason of a failure as the server names it ("AlreadyExists", "Conflict"), or "". */
const char *kube_call_reason(const struct kube_call *c);
