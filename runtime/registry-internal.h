/*
 * What registry.c, registry-login.c and registry-blob.c share about a registry and its endpoints.
 */
#pragma once
#include "base/list.h"
#include "runtime/registry.h"

struct registry_endpoint_state {
        const struct image_job_endpoint *job; /* borrowed */
        struct registry_url url;
        char *authority;                            /* owned: "host:port", for people */
        const char *ns;                             /* mirrors are told whose images they mirror */
        const struct image_credential *credentials; /* to be tried in order; borrowed */
        size_t n_credentials, credential;           /* the one at hand */
        bool internal;            /* the registry itself is at an internal address */
        char *authorization;      /* owned: what is sent; NULL: nothing (yet) */
        bool authorization_works; /* it has been good for something */
        bool used_credential;     /* it came from a credential, not from asking anonymously */
        usec_t authorization_end; /* CLOCK_MONOTONIC; of a token */
        unsigned logins;          /* how often one was asked for */
};

struct registry {
        const struct image_job *job; /* borrowed */
        struct registry_http *http;
        struct registry_endpoint_state *endpoints;
        size_t n_endpoints;
        size_t first; /* the endpoint that gave the manifest: asked first from then on */
        struct list transfers;
};

/* After 401 or 403: gets the next authorization worth trying. 1: ask again; 0: there is none;
 * negative errno: the token server could not be asked. */
int registry_login(struct registry *r, struct registry_endpoint_state *e,
                   const struct http_answer *answer, struct err *err);
/* What to send now; NULL when it has run out. Borrowed. */
const char *registry_authorization(struct registry_endpoint_state *e);

/* URL of a manifest or blob at an endpoint. @kind: "manifests" or "blobs". */
int registry_object_url(const struct registry_endpoint_state *e, const char *kind,
                        const char *reference, struct registry_url *ret, struct err *err);
/* The error that a status stands for: what the server wrote is not repeated, it may echo secrets.
 */
int registry_status_error(const struct registry_endpoint_state *e, const struct http_answer *answer,
                          struct err *err);
bool registry_is_redirect(int status);
/* One hop: replaces @url. Return: 1 with the credential, 0 without; negative errno. */
int registry_redirect(const struct registry_endpoint_state *e, const struct http_answer *answer,
                      struct registry_url *url, unsigned *hops, struct err *err);
/* Is it worth asking the same endpoint once more? */
bool registry_error_is_temporary(const struct err *err);
/* How the whole thing failed, for the outside. */
int registry_final_error(int r, struct err *err);
void registry_transfers_free(struct registry *r);
