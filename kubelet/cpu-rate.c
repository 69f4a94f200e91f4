#include "kubelet/cpu-rate.h"

uint64_t cpu_rate_fold(struct cpu_rate *r, usec_t now, uint64_t cpu_usec)
{
        const struct cpu_reading reading = { now, cpu_usec };

        /* It counts from 0 again: another group under the same name. */
        if (r->newer.at == 0 || now < r->newer.at || cpu_usec < r->newer.cpu_usec) {
                *r = (struct cpu_rate){ .newer = reading };
                return UINT64_MAX;
        }
        if (now - r->newer.at >= CPU_RATE_WINDOW_USEC) {
                r->older = r->newer;
                r->newer = reading;
        }
        if (r->older.at == 0)
                return UINT64_MAX;
        return (uint64_t)((double)(cpu_usec - r->older.cpu_usec) * 1e9 /
                          (double)(now - r->older.at));
}
