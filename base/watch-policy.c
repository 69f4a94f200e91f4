/* Source: k8s.io/client-go tools/cache/reflector.go (ListAndWatch, handleAnyWatch). */
#include "base/watch-policy.h"

#include <errno.h>
#include <stddef.h>

#include "base/text.h"

/* An attempt to list begins again as a stream: the server may have been replaced by a newer one. */
static enum watch_mode same_again(enum watch_mode mode)
{
        return mode == WATCH_CHANGES ? WATCH_CHANGES : WATCH_STREAM_LIST;
}

struct watch_next watch_decide(enum watch_mode mode, enum watch_end end, bool productive)
{
        struct watch_next next = { .mode = same_again(mode), .pause = WATCH_PAUSE_BACKOFF };

        switch (end) {
        case WATCH_END_CLOSED:
                if (productive)
                        next.pause = mode == WATCH_CHANGES ? WATCH_PAUSE_NONE : WATCH_PAUSE_SHORT;
                break;
        case WATCH_END_BROKEN:
                next.pause = WATCH_PAUSE_SHORT;
                break;
        case WATCH_END_SILENT:
                next.pause = productive ? WATCH_PAUSE_NONE : WATCH_PAUSE_BACKOFF;
                break;
        case WATCH_END_EXPIRED:
                next.mode = WATCH_STREAM_LIST;
                next.pause = mode == WATCH_CHANGES ? WATCH_PAUSE_RELIST : WATCH_PAUSE_BACKOFF;
                next.forget_version = mode != WATCH_CHANGES;
                break;
        case WATCH_END_AHEAD:
                next.mode = WATCH_STREAM_LIST;
                next.forget_version = true;
                break;
        case WATCH_END_TOO_MANY:
                next.mode = mode;
                break;
        case WATCH_END_NOT_OFFERED:
                next.mode = WATCH_PAGE_LIST;
                next.pause = WATCH_PAUSE_NONE;
                break;
        case WATCH_END_INTERNAL:
                next.mode = WATCH_STREAM_LIST;
                break;
        case WATCH_END_FAILED:
                break;
        }
        return next;
}

enum watch_end watch_end_of_status(enum watch_mode mode, int status, const char *reason, bool ahead)
{
        if (status == 410 || (reason && (streq(reason, "Expired") || streq(reason, "Gone"))))
                return WATCH_END_EXPIRED;
        if (ahead)
                return WATCH_END_AHEAD;
        if (status == 429)
                return WATCH_END_TOO_MANY;
        if (status == 500)
                return WATCH_END_INTERNAL;
        if (mode == WATCH_STREAM_LIST && (status == 400 || status == 405 || status == 422))
                return WATCH_END_NOT_OFFERED;
        return WATCH_END_FAILED;
}

enum watch_end watch_end_of_error(int error)
{
        switch (-error) {
        case ECONNREFUSED:
        case ECONNRESET:
        case ECONNABORTED:
        case EPIPE:
                return WATCH_END_BROKEN;
        case ETIMEDOUT:
                return WATCH_END_SILENT;
        default:
                return WATCH_END_FAILED;
        }
}

const char *watch_end_text(enum watch_end end)
{
        static const char *const texts[] = {
                [WATCH_END_CLOSED] = "closed by the server",
                [WATCH_END_BROKEN] = "connection lost",
                [WATCH_END_SILENT] = "no byte for too long",
                [WATCH_END_EXPIRED] = "resource version is too old",
                [WATCH_END_AHEAD] = "resource version is newer than the server's",
                [WATCH_END_TOO_MANY] = "too many requests",
                [WATCH_END_NOT_OFFERED] = "streamed lists are not offered",
                [WATCH_END_INTERNAL] = "internal error of the server",
                [WATCH_END_FAILED] = "refused or failed",
        };

        return texts[end];
}
