/*
 * What base/kube-client.c offers base/kube-watch.c. Nobody else includes this.
 */
#pragma once
#include "base/kube-client.h"
#include "base/list.h"

/*
 * A GET whose 2xx body goes to on_data as it comes. The request is http's: http_cancel(),
 * http_response. Whether there was an answer is the caller's to note. A third of the idle timeout
 * is granted until the answer begins.
 */
struct kube_stream {
        const char *path;
        usec_t idle_timeout_usec;
        http_head_fn on_head;
        http_data_fn on_data;
        http_done_fn done;
        void *userdata;
};
int kube_stream(struct kube_session *s, const struct kube_stream *stream, struct http_request **ret,
                struct err *err);

/* Does the server answer? Told by whoever sees an answer or the lack of one. */
void kube_session_note(struct kube_session *s, bool connected);

/*
 * While the server does not answer one watch knocks every second for all: the others wait to be
 * woken, or a hundred of them would knock. @wake is called once, and may be called from within
 * http's callbacks.
 */
struct kube_waiter {
        struct list_node node;
        void (*wake)(void *userdata);
        void *userdata;
};
/* To be woken when the server answers, if it does not now. */
void kube_session_wait(struct kube_session *s, struct kube_waiter *w);
/* True when the server answers, or when the caller, who waits, is the one that knocks. */
bool kube_session_knocks(struct kube_session *s, struct kube_waiter *w);
/* Harmless for one that does not wait. */
void kube_session_unwait(struct kube_session *s, struct kube_waiter *w);

/* metav1.Status of an answer that is not 2xx: kind, message and (owned) reason, as far as known. */
int kube_decode_failure(int http_status, const char *body, size_t n, char **ret_reason,
                        struct err *err);
