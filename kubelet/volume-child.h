/*
 * One blocking thing done by a child of skiffd, in the same namespaces: to look at, mount, unmount
 * or walk what may be slow, or dead. skiffd waits for the answer, never for the file system.
 */
#pragma once
#include <systemd/sd-event.h>

#include "base/err.h"
#include "base/usec.h"

struct volume_child; /* opaque */

enum { VOLUME_CHILD_TEXT_MAX = 4096 }; /* a path fits */
struct volume_child_answer {
        int r;                            /* 0, a named outcome, or a negative errno */
        char text[VOLUME_CHILD_TEXT_MAX]; /* the sentence of a failure, or what was found; "" */
        int fd;                           /* what the child opened; -1: nothing */
};
/* In the child: descriptors 0 to 2 and @answer's alone are open. Fills @answer, .fd is -1 before.
 */
typedef void (*volume_child_fn)(const void *arg, struct volume_child_answer *answer);
/* Once, from the loop. Who wants @answer->fd takes it and leaves -1. The child may be freed here.
 */
typedef void (*volume_child_done_fn)(struct volume_child_answer *answer, void *userdata);

/**
 * volume_child_start() - @fn(@arg) in a child
 * @arg:          as it is now: the child has its own copy of everything
 * @what:         static; "mount the volume", for the sentence when it is killed at its deadline
 * @timeout_usec: 0: none
 */
int volume_child_start(sd_event *event, volume_child_fn fn, const void *arg, const char *what,
                       usec_t timeout_usec, volume_child_done_fn done, void *userdata,
                       struct volume_child **ret, struct err *err);
/* Kills one that still runs; done is not called. Returns NULL. */
struct volume_child *volume_child_free(struct volume_child *c);
DEFINE_CLEANUP(struct volume_child *, volume_child_free)

/* For @fn: its failure in a sentence, "<what>: <strerror>". */
void volume_child_fail(struct volume_child_answer *answer, int r, const char *fmt, ...)
        _printf_(3, 4);
/* Unmounts @path and removes the folder it leaves. 0, also when there is none. */
int volume_child_unmount(const char *path, int flags);
