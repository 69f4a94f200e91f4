/*
 * One attempt of a probe or a lifecycle hook: exec, httpGet, tcpSocket, grpc, sleep. Says how it
 * went, in the kubelet's words. Source: pkg/probe/{exec,grpc,http,tcp},
 * pkg/kubelet/lifecycle/handlers.go.
 */
#pragma once
#include "base/http.h"
#include "kubelet/pod.h"
#include "runtime/runtime.h"

enum handler_outcome {
        HANDLER_SUCCESS,
        HANDLER_WARNING, /* success, and the output is worth an event (a redirect to elsewhere) */
        HANDLER_FAILURE, /* it ran and said no */
        HANDLER_ERROR,   /* it could not be run */
};

struct handlers; /* opaque: what all attempts of the node share */
struct attempt;  /* opaque: one under way; gone when its callback was called */
/* @output: what an event quotes; borrowed. */
typedef void (*attempt_done_fn)(enum handler_outcome outcome, const char *output, void *userdata);

struct attempt_options {
        const struct pod_handler *handler;     /* borrowed while the attempt lives */
        const struct pod_container *container; /* for port names; borrowed likewise */
        const char *container_id;
        const char *pod_ip;  /* for grpc, and httpGet and tcpSocket without a host */
        usec_t timeout_usec; /* 0: none */
        bool is_hook;        /* any HTTP status is success; User-Agent kube-lifecycle */
        attempt_done_fn done;
        void *userdata;
};

int handlers_new(sd_event *event, struct runtime *rt, struct handlers **ret, struct err *err);
struct handlers *handlers_free(struct handlers *h);
DEFINE_CLEANUP(struct handlers *, handlers_free)
/* @done is called once, from the loop. Negative errno: it could not be started, with the sentence.
 */
int attempt_start(struct handlers *h, const struct attempt_options *options, struct attempt **ret,
                  struct err *err);
/* done is not called; what runs in a container goes on to its own time-out. NULL is fine; returns
 * NULL. */
struct attempt *attempt_cancel(struct attempt *a);
