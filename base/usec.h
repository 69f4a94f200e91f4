/*
 * Time in microseconds, its text forms, and exponential back-off. The arithmetic is pure: "now" is
 * a parameter wherever something is decided, so that tests need no sleep.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t usec_t; /* microseconds; the one typedef of the code base, as sd-event spells it */

#define USEC_PER_SEC    ((usec_t)1000000)
#define USEC_PER_MSEC   ((usec_t)1000)
#define NSEC_PER_USEC   ((usec_t)1000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_NEVER      UINT64_MAX
#define ACCURACY_USEC   1 /* for sd_event timers, where 0 would mean 250 ms */

usec_t now_monotonic(void); /* CLOCK_MONOTONIC; sd_event_now(CLOCK_MONOTONIC) agrees with it */
usec_t now_realtime(void);  /* CLOCK_REALTIME since the epoch */

enum { TIME_TEXT_MAX = 40 };
/* RFC 3339 in UTC: "2006-01-02T15:04:05Z" (metav1.Time). @t is CLOCK_REALTIME. Returns buf. */
const char *time_format(usec_t t, char buf[static TIME_TEXT_MAX]);
/* "2006-01-02T15:04:05.000000Z" (metav1.MicroTime). */
const char *time_format_micro(usec_t t, char buf[static TIME_TEXT_MAX]);
/* Parses any RFC 3339 time with up to nine fractional digits and any offset. -EINVAL when not. */
int time_parse(const char *text, usec_t *ret);

/* Go's time.Duration text: "1h2m3.5s", "100ms", "0s"; negative is -ERANGE. Full consumption. */
int duration_parse(const char *text, usec_t *ret);
/* As Go prints it: "1m30s", "1.234s", "250ms", "12µs", "0s". Returns buf. */
const char *duration_format(usec_t d, char buf[static TIME_TEXT_MAX]);

struct backoff {
        usec_t initial_usec, max_usec;
        usec_t current_usec; /* the pause handed out last; 0: none yet */
};
/* Next pause: initial, then doubling up to max. */
usec_t backoff_next(struct backoff *b);
static inline void backoff_reset(struct backoff *b)
{
        b->current_usec = 0;
}
/* A uniform value in [d, d + d * percent / 100). @random: 32 uniform bits. */
usec_t usec_jitter(usec_t d, unsigned percent, uint32_t random);
/* 32 uniform bits from the kernel. */
uint32_t random_u32(void);
