#include "kubelet/redirect.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* What follows "scheme://"; NULL when @url has no scheme. */
static const char *after_scheme(const char *url)
{
        size_t n = strspn(url, LETTERS DIGITS "+.-");

        return n > 0 ? startswith(url + n, "://") : NULL;
}

/*
 * The host of an authority that is nothing but a host and maybe a port; owned, NULL when it is
 * anything else: "http://10.0.0.1:x@10.0.0.2/" is one of 10.0.0.2.
 */
static char *host_of(const char *url)
{
        const char *host = after_scheme(url), *rest;
        size_t n;

        if (!host)
                return NULL;
        n = *host == '[' ? 1 + strspn(host + 1, DIGITS "abcdefABCDEF:.%") : 0;
        n = n > 0 ? n + (host[n] == ']') : strspn(host, LETTERS DIGITS "._-");
        rest = host + n;
        if (*rest == ':')
                rest += 1 + strspn(rest + 1, DIGITS);
        return n > 0 && (*rest == '\0' || strchr("/?#", *rest)) ? strndup(host, n) : NULL;
}

int redirect_follow(const char *url, const char *location, char **ret)
{
        _cleanup_free_ char *next = NULL, *here = host_of(url), *there = NULL;
        const char *authority = after_scheme(url);

        if (!here || !authority)
                return 0;
        next = after_scheme(location)
                       ? strdup(location)
                       : text_printf("%.*s%s%s",
                                     (int)(authority - url + (ssize_t)strcspn(authority, "/?#")),
                                     url, location[0] == '/' ? "" : "/", location);
        if (!next)
                return -ENOMEM;
        there = host_of(next);
        if (!there || !streq(here, there))
                return 0;
        *ret = TAKE_PTR(next);
        return 1;
}
