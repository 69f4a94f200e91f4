/*
 * TokenReview and SubjectAccessReview: the documents asked with and what their answers say. Pure.
 * Whatever is not a clear yes is a no or an error, and an error denies.
 * Source: authentication.k8s.io/v1, authorization.k8s.io/v1.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"

/* Who somebody is. Shared between a cache and the requests under way, hence counted. */
struct identity {
        char *user, *uid; /* owned; uid may be NULL */
        char **groups;    /* owned */
        json_t *extra;    /* reference; NULL: none */
        unsigned refs;
};
/* Copies @user and @groups and adds the group system:authenticated. NULL without memory. */
struct identity *identity_new(const char *user, const char *const *groups);
struct identity *identity_anonymous(void);
struct identity *identity_ref(struct identity *i);
struct identity *identity_unref(struct identity *i);
DEFINE_CLEANUP(struct identity *, identity_unref)

/* The token of "Bearer <token>" (any case of the word), or NULL: no, or no usable, bearer token. */
const char *bearer_token(const char *authorization);

json_t *token_review_json(const char *token); /* new reference, NULL without memory */
enum review_result { REVIEW_NO, REVIEW_YES };
/**
 * token_review_read() - the answered TokenReview
 * @ret: set on REVIEW_YES
 * Return: REVIEW_YES; REVIEW_NO; -EACCES: no, and the authenticators had an error, which may be
 * about the token or themselves; -EINVAL: the answer is none.
 */
int token_review_read(const json_t *answer, struct identity **ret, struct err *err);

/* What is to be done to this node. */
struct access {
        const char *verb, *node, *subresource;
};
json_t *access_review_json(const struct identity *who, const struct access *what);
/* REVIEW_YES, REVIEW_NO, or -EINVAL. */
int access_review_read(const json_t *answer, struct err *err);

/* Keys for the caches: 64 hex digits over @salt (random, of this process) and the question. */
enum { REVIEW_KEY_SIZE = 65, REVIEW_SALT_SIZE = 32 };
int token_review_key(const unsigned char salt[static REVIEW_SALT_SIZE], const char *token,
                     char key[static REVIEW_KEY_SIZE]);
int access_review_key(const unsigned char salt[static REVIEW_SALT_SIZE], const json_t *review,
                      char key[static REVIEW_KEY_SIZE]);
