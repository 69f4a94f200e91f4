/* What a new process does with its signals. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * All to their default, the two that libc keeps to itself included: whoever was started by
 * posix_spawn(3), as make does it, has inherited one of them ignored. Safe after a clone.
 */
static inline void signals_reset(void)
{
        static const uint64_t by_default[8]; /* the kernel's struct sigaction: SIG_DFL, no flags */

        for (int n = 1; n <= 64; n++)
                syscall(SYS_rt_sigaction, n, by_default, NULL, sizeof(uint64_t));
}
