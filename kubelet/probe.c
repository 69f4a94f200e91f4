#include "kubelet/probe.h"

enum probe_change probe_fold(struct probe_state *s, const struct probe_limits *limits,
                             enum probe_result result)
{
        bool success = result == PROBE_SUCCESS;
        int32_t threshold = success ? limits->success_threshold : limits->failure_threshold;

        if (s->run > 0 && s->last == success) {
                if (s->run < UINT32_MAX)
                        s->run++;
        } else {
                s->last = success;
                s->run = 1;
        }
        if (threshold > 0 && s->run < (uint32_t)threshold)
                return PROBE_UNCHANGED;
        if (s->decided && s->passing == success)
                return PROBE_UNCHANGED;
        s->decided = true;
        s->passing = success;
        return PROBE_FLIPPED;
}
