/*
 * Objects for tests, written with ' for ": JSON that reads well inside C. Whatever does not parse
 * fails the test.
 */
#pragma once
#include "kubelet/pod-observed.h"
#include "kubelet/pod.h"

/* Owned. */
json_t *json_of(const char *text);
/* A pod of namespace "ns", name "web", uid "u1"; @spec and @rest ("'status':{…}"; may be NULL) as
 * above. One reference, the caller's. */
struct pod *pod_of(const char *spec, const char *rest);
/* Fails unless both are equal as JSON, key order aside; @expected is written as above. */
void check_json(const json_t *actual, const char *expected);

/*
 * What is there of a pod, from a text such as
 *   {'sandbox':{'ip':'10.1.0.2','attempt':1,'ready':false,'host':true,'created':s},
 *    'c':[{'state':'running','started':s}, older ones …], 'other':{'instances':[…],
 *    'startup':'success','liveness':'failure','readiness':'success','startedBefore':true,
 *    'readyBefore':true,'mustRestart':true,'waiting':['ErrImagePull','text']}}
 * An instance: state, code, oom, startFailed, lost, message, created, started, finished (seconds),
 * count, old (of an older sandbox), changed (another definition), image, imageID, id, uid, gid,
 * amounts ("100 200 0 1048576": what it was configured with).
 */
struct observed_fixture; /* opaque */
struct observed_fixture *observed_of(const struct pod *pod, const char *text);
const struct pod_observed *observed_seen(const struct observed_fixture *f);
struct observed_fixture *observed_free(struct observed_fixture *f);
DEFINE_CLEANUP(struct observed_fixture *, observed_free)
