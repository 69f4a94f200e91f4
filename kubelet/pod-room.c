#include "kubelet/pod-room.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

static int replace_refusal(struct admission_refusal *refusal, const char *why_not)
{
        admission_refusal_done(refusal);
        refusal->reason = strdup("UnexpectedAdmissionError");
        refusal->message = text_printf("Unexpected error while attempting to recover from "
                                       "admission failure: %s",
                                       why_not);
        return refusal->reason && refusal->message ? 0 : -ENOMEM;
}

/* Is there anything else in its way? Then 1, and @refusal says that. */
static int check_all_else(const struct pod *pod, const struct admission_node *node,
                          const struct pod *const *active, size_t n,
                          struct admission_refusal *refusal)
{
        struct admission_node roomy = *node;
        struct admission_refusal other = { 0 };
        int r;

        roomy.max_pods = UINT32_MAX;
        roomy.allocatable = (struct node_allocatable){ INT64_MAX, INT64_MAX, INT64_MAX };
        r = admission_check(pod, &roomy, active, n, &other);
        if (r > 0) {
                admission_refusal_done(refusal);
                *refusal = other;
        }
        return r;
}

int pod_room_make(const struct pod *pod, const struct admission_node *node,
                  const struct pod *const *active, size_t n_active, const struct pod_manager *pods,
                  struct admission_refusal *refusal)
{
        struct preemption_need needs[PREEMPTION_NEEDS_MAX];
        _cleanup_free_ bool *goes = calloc(n_active + 1, sizeof *goes);
        _cleanup_free_ char *why_not = NULL;
        int r = goes ? check_all_else(pod, node, active, n_active, refusal) : -ENOMEM, n;

        if (r != 0)
                return r < 0 ? r : 0;
        n = admission_shortage(pod, node, active, n_active, needs);
        if (n <= 0)
                return n;
        r = preemption_choose(pod, active, n_active, needs, (size_t)n, goes, &why_not);
        if (r <= 0)
                return r < 0 ? r : replace_refusal(refusal, why_not);
        for (size_t i = 0; i < n_active; i++) {
                struct pod_worker *w = goes[i] ? pod_manager_worker(pods, active[i]->uid) : NULL;

                if (w)
                        pod_worker_preempt(w);
        }
        return 1;
}
