/*
 * How many containers ended, by kind, exit code and reason: kubelet_terminated_containers_total.
 * Pure. Source: pkg/kubelet/status/status_manager.go (updateStatusInternal).
 */
#pragma once
#include <jansson.h>

#include "base/text.h"

struct termination_counts; /* opaque */

struct termination_counts *termination_counts_new(void); /* NULL without memory */
struct termination_counts *termination_counts_free(struct termination_counts *t);
DEFINE_CLEANUP(struct termination_counts *, termination_counts_free)
/* A pod's status was @before (NULL: none) and is @now: each container that has newly ended counts.
 */
void termination_counts_note(struct termination_counts *t, const json_t *before, const json_t *now);
/* The family in Prometheus' text format; nothing when none has ended. */
void termination_counts_format(const struct termination_counts *t, struct strbuf *b);
