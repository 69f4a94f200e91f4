/*
 * A fake server of tests/fake for a C test: started, asked and commanded from outside the loop, and
 * stopped with the test. Failures end the test.
 */
#pragma once
#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "base/usec.h"

struct fake {
        pid_t pid;
        int port;
        char *url; /* owned: "http://127.0.0.1:PORT" */
};
/* @script: "apiserver.py"; @args: further arguments, NULL-terminated, or NULL. */
struct fake *fake_start(const char *script, const char *const *args);
struct fake *fake_stop(struct fake *f); /* kills and reaps */

/* A folder with the certificates of pki.py, made once and removed when the program ends. */
const char *fake_pki(void);

/* Blocking request; @body is printf text or NULL. Owned answer (JSON null when it is not JSON). */
json_t *fake_ask(struct fake *f, const char *method, const char *path, const char *body, ...)
        __attribute__((format(printf, 4, 5)));
/* POST /_control. */
void fake_control(struct fake *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* How many requests there were whose path and query parameter (NULL: any) begin so. */
int fake_count(struct fake *f, const char *path, const char *parameter);

void run_for(sd_event *event, usec_t usec);
int count_descriptors(void);
#define RUN_UNTIL(event, condition)                                                  \
        do {                                                                         \
                usec_t _end = now_monotonic() + 10 * USEC_PER_SEC;                   \
                while (!(condition)) {                                               \
                        if (now_monotonic() > _end)                                  \
                                fail_msg("waited 10 s in vain for: %s", #condition); \
                        CHECK(sd_event_run((event), 10 * USEC_PER_MSEC) >= 0);       \
                }                                                                    \
        } while (0)
