/*
 * Objects for tests, written with ' for ": JSON that reads well inside C. Whatever does not parse
 * fails the test.
 */
#pragma once
#include "kubelet/pod.h"

/* Owned. */
json_t *json_of(const char *text);
/* A pod of namespace "ns", name "web", uid "u1"; @spec and @rest ("'status':{…}"; may be NULL) as
 * above. One reference, the caller's. */
struct pod *pod_of(const char *spec, const char *rest);
/* Fails unless both are equal as JSON, key order aside; @expected is written as above. */
void check_json(const json_t *actual, const char *expected);
