/* Between the files pod-status*.c only. */
#pragma once
#include "kubelet/pod-status.h"

/* "2026-01-02T03:04:05Z"; new reference. */
json_t *status_time(usec_t t);
/* A string, with bytes that are not UTF-8 replaced, cut at @max bytes (not inside a character). */
json_t *status_text(const char *s, size_t max);

/* ---- container statuses, as JSON ---- */
struct status_lists {
        json_t *init, *regular, *ephemeral; /* owned: arrays in the API's order */
};
void status_lists_done(struct status_lists *l);
int status_lists_build(const struct pod_status_input *in, struct status_lists *ret);
/* The status of that name in one of the arrays; borrowed, NULL when absent. */
json_t *status_of(const json_t *array, const char *name);
/* Of a status: its state of that kind ("running", "terminated", "waiting"); NULL when in another.
 */
json_t *status_state(const json_t *status, const char *kind);
/* The same of lastState. */
json_t *status_last(const json_t *status, const char *kind);
int status_exit_code(const json_t *terminated);
/* RestartAllContainers is under way: asked for by an exit, or its condition is True still. */
bool status_restarts_all(const struct pod_status_input *in);

/* ---- conditions ---- */
/* All conditions, in the kubelet's order; new reference, NULL without memory. */
json_t *status_conditions(const struct pod_status_input *in, const struct status_lists *lists,
                          enum pod_phase phase);
bool status_condition_is_true(const json_t *conditions, const char *type);
