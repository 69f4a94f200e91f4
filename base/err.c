#include "base/err.h"

#include <stdarg.h>
#include <string.h>

#define ERR_TEXT_MAX 4096 /* a sentence for a person; hostile input may be quoted in it */

void err_done(struct err *err)
{
        free(err->message);
        *err = (struct err){ 0 };
}

const char *err_text(const struct err *err)
{
        return err && err->message ? err->message : "unknown error";
}

static _printf_(1, 0) char *format(const char *fmt, va_list ap)
{
        char *s = NULL;

        if (vasprintf(&s, fmt, ap) < 0)
                return NULL;
        if (strlen(s) > ERR_TEXT_MAX)
                memcpy(s + ERR_TEXT_MAX - 3, "...", sizeof "...");
        return s;
}

static void replace(struct err *err, char *message)
{
        free(err->message);
        err->message = message;
}

int err_set(struct err *err, int r, const char *fmt, ...)
{
        va_list ap;

        if (!err)
                return r;
        va_start(ap, fmt);
        replace(err, format(fmt, ap));
        va_end(ap);
        err->kind = ERR_OTHER;
        return r;
}

int err_set_kind(struct err *err, int r, enum err_kind kind, const char *fmt, ...)
{
        va_list ap;

        if (!err)
                return r;
        va_start(ap, fmt);
        replace(err, format(fmt, ap));
        va_end(ap);
        err->kind = kind;
        return r;
}

int err_sys(struct err *err, int r, const char *fmt, ...)
{
        _cleanup_free_ char *what = NULL;
        va_list ap;

        if (!err)
                return r;
        va_start(ap, fmt);
        what = format(fmt, ap);
        va_end(ap);
        return err_set(err, r, "%s: %s", what ? what : "?", strerror(-r));
}

int err_wrap(struct err *err, int r, const char *fmt, ...)
{
        _cleanup_free_ char *whom = NULL;
        enum err_kind kind;
        va_list ap;

        if (!err)
                return r;
        va_start(ap, fmt);
        whom = format(fmt, ap);
        va_end(ap);
        kind = err->kind;
        if (err->message) {
                _cleanup_free_ char *what = TAKE_PTR(err->message);

                err_set(err, r, "%s: %s", whom ? whom : "?", what);
        } else {
                err_sys(err, r, "%s", whom ? whom : "?");
        }
        err->kind = kind;
        return r;
}

int err_kind(struct err *err, int r, enum err_kind kind)
{
        if (err && err->kind == ERR_OTHER)
                err->kind = kind;
        return r;
}

void err_move(struct err *dst, struct err *src)
{
        if (dst) {
                err_done(dst);
                *dst = *src;
                *src = (struct err){ 0 };
        } else {
                err_done(src);
        }
}
