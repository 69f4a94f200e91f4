/*
 * Who may use an image that is here already: one record for each image that this node pulled, with
 * the credentials that were needed. In the kubelet's format, so that a node may change from it to
 * us. Pure; pull-records keeps them.
 * Source: pkg/kubelet/images/pullmanager (image_pull_manager.go, image_pull_policies.go).
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "kubelet/pull-secret.h"

enum pull_verification { /* imagePullCredentialsVerificationPolicy */
                         PULL_NEVER_VERIFY,
                         PULL_NEVER_VERIFY_PRELOADED, /* the default: what others brought here is
                                                         everybody's */
                         PULL_NEVER_VERIFY_ALLOWLISTED,
                         PULL_ALWAYS_VERIFY,
};
extern const char *const pull_verifications[];

/* "docker.io/library/busybox" of a normalized reference; owned; NULL without memory. */
char *pull_repository(const char *image);
/* A pattern of preloadedImagesVerificationAllowlist: "r.io/team/app" or "r.io/team/" and '*'.
 * -EINVAL with the rule. */
int pull_pattern_check(const char *pattern, struct err *err);
/* Must whoever uses an image of @repository show credentials? @is_ours: this node pulled it. */
bool pull_must_verify(enum pull_verification v, char *const *allowlist, const char *repository,
                      bool is_ours);

/* ImagePulledRecord without any credentials: nobody may use it yet. New; NULL without memory. */
json_t *pull_record_new(const char *image_id);
/* Lets those who have @origin use it, or with NULL all pods of this node. 1: the record changed;
 * 0; -ENOMEM. */
int pull_record_grant(json_t *record, const char *repository, const struct pull_origin *origin);
enum pull_access {
        PULL_DENIED,
        PULL_GRANTED,
        PULL_GRANTED_ANEW, /* by a Secret or content that the record does not have: grant that */
};
/* @origins: what the pod has for this registry. *ret_origin: which one opened it, or NULL. */
enum pull_access pull_record_access(const json_t *record, const char *repository,
                                    const struct pull_auths *auths,
                                    const struct pull_origin **ret_origin);
