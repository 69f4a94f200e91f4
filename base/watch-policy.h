/*
 * What a watch does next when a request of its has ended. Pure: the table of spec and patience.
 */
#pragma once
#include <stdbool.h>

enum watch_mode {
        WATCH_STREAM_LIST, /* WATCH with sendInitialEvents: a list, and then its changes */
        WATCH_PAGE_LIST,   /* LIST in pages, where the server does not do the above */
        WATCH_CHANGES,     /* WATCH from a resourceVersion */
};

enum watch_end {
        WATCH_END_CLOSED,      /* the server closed the stream in good order */
        WATCH_END_BROKEN,      /* refused, reset, or cut off */
        WATCH_END_SILENT,      /* no byte for too long */
        WATCH_END_EXPIRED,     /* 410, as status or event: our resourceVersion is too old */
        WATCH_END_AHEAD,       /* 504 ResourceVersionTooLarge: the server is older than we are */
        WATCH_END_TOO_MANY,    /* 429 */
        WATCH_END_NOT_OFFERED, /* the request itself is refused: no streamed lists here */
        WATCH_END_INTERNAL,    /* 500 */
        WATCH_END_FAILED,      /* everything else: 401, 403, 404, 5xx, not HTTP */
};

enum watch_pause {
        WATCH_PAUSE_NONE,
        WATCH_PAUSE_SHORT,   /* within a second */
        WATCH_PAUSE_RELIST,  /* none when the last relist is long ago, else as BACKOFF */
        WATCH_PAUSE_BACKOFF, /* exponential with jitter */
};

struct watch_next {
        enum watch_mode mode;
        enum watch_pause pause;
        bool forget_version; /* list without asking for a resourceVersion */
};

/* @productive: it lasted a second or brought an event. */
struct watch_next watch_decide(enum watch_mode mode, enum watch_end end, bool productive);
/* @reason: metav1.Status.reason, or NULL; @ahead: it has the cause ResourceVersionTooLarge. */
enum watch_end watch_end_of_status(enum watch_mode mode, int status, const char *reason,
                                   bool ahead);
/* @error: negative errno of a request without a whole answer. */
enum watch_end watch_end_of_error(int error);
const char *watch_end_text(enum watch_end end);
