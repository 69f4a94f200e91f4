/*
 * One certificate of this node kept valid: asked for by a CertificateSigningRequest, stored when it
 * was issued, and asked for anew at a random moment in the last third of its life. Who approves
 * requests is the cluster's business: a request waits for 15 minutes and is then made anew.
 */
#pragma once
#include "base/kube-client.h"
#include "kubelet/certificate-request.h"

struct certificate_manager; /* opaque */

struct certificate_manager_options {
        enum certificate_purpose purpose;
        const char *dir;       /* of the files; borrowed */
        const char *node_name; /* borrowed */
        /* of a serving certificate; borrowed as long as it lives; NULL: none */
        const char *const *dns_names, *const *addresses;
        /* What is used while there is none in .dir; moved from; NULL: nothing. */
        struct certificate_info *initial;
        bool once;                    /* what was issued is not renewed */
        struct kube_session *session; /* borrowed; asks by it */
        /*
         * The session to ask by while there is no valid certificate (NULL or an answer of NULL: the
         * one above); called before each request.
         */
        struct kube_session *(*first_session)(void *userdata);
        /* There is a new one at @path. */
        void (*on_changed)(const char *path, void *userdata);
        void *userdata;
};
int certificate_manager_new(const struct certificate_manager_options *options,
                            struct certificate_manager **ret, struct err *err);
struct certificate_manager *certificate_manager_free(struct certificate_manager *m);
DEFINE_CLEANUP(struct certificate_manager *, certificate_manager_free)

enum { CERTIFICATE_AGE_BUCKETS = 10 };
/* Upper bounds in seconds; one more count stands for what is older than all. */
extern const double certificate_age_buckets[CERTIFICATE_AGE_BUCKETS];
struct certificate_counts {
        usec_t not_after;                           /* of the one in use; 0: none */
        uint64_t renew_errors;                      /* requests that came to nothing */
        uint64_t ages[CERTIFICATE_AGE_BUCKETS + 1]; /* how long replaced ones were used */
        uint64_t n_replaced;
        double age_sum_sec;
};
/* For metrics; borrowed. */
const struct certificate_counts *certificate_manager_counts(const struct certificate_manager *m);
