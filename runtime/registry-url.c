#include "runtime/registry-url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"

/* libcurl's strings come from its own allocator. */
static void curl_freep(char **p)
{
        curl_free(*p);
}
#define _cleanup_curl_ _cleanup_(curl_freep)

static void url_cleanupp(CURLU **u)
{
        curl_url_cleanup(*u);
}

void registry_url_done(struct registry_url *u)
{
        free(u->text);
        free(u->host);
        free(u->path);
        *u = (struct registry_url){ 0 };
}

static int refuse(struct err *err, const char *text, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "URL '%.200s': %s", text, rule);
}

static int check_characters(const char *text, struct err *err)
{
        size_t n = strnlen(text, REGISTRY_URL_MAX + 1);

        if (n > REGISTRY_URL_MAX)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "URL of more than %d bytes",
                                    REGISTRY_URL_MAX);
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)text[i] <= ' ' || text[i] == 0x7f || text[i] == '\\')
                        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                            "URL: blanks and control characters are not allowed");
        return 0;
}

static int copy_part(CURLU *u, CURLUPart part, unsigned flags, char **ret)
{
        _cleanup_curl_ char *text = NULL;
        CURLUcode code = curl_url_get(u, part, &text, flags);

        if (code != CURLUE_OK)
                return code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int fill(CURLU *u, const char *shown, struct registry_url *ret, struct err *err)
{
        _cleanup_free_ char *scheme = NULL, *port = NULL, *zone = NULL;
        int r = copy_part(u, CURLUPART_SCHEME, 0, &scheme);

        if (copy_part(u, CURLUPART_ZONEID, 0, &zone) == 0)
                return refuse(err, shown, "expected an address without a zone");
        if (r == 0)
                r = copy_part(u, CURLUPART_HOST, 0, &ret->host);
        if (r == 0)
                r = copy_part(u, CURLUPART_PATH, 0, &ret->path);
        if (r == 0)
                r = copy_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
        if (r == 0)
                r = copy_part(u, CURLUPART_URL, 0, &ret->text);
        if (r == -ENOMEM)
                return err_sys(err, r, "read URL");
        if (r < 0)
                return refuse(err, shown, "expected http or https and a host");
        ret->https = streq(scheme, "https");
        if (!ret->https && !streq(scheme, "http"))
                return refuse(err, shown, "expected http or https");
        if (!*ret->host || text_to_u16(port, &ret->port) < 0 || ret->port == 0)
                return refuse(err, shown, "expected a host, and a port of 1 to 65535");
        for (char *c = ret->host; *c; c++) {
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char)(*c - 'A' + 'a');
                if (*c == '%')
                        return refuse(err, shown, "expected a host without escapes");
        }
        return 0;
}

int registry_url_parse(const char *text, const struct registry_url *base, struct registry_url *ret,
                       struct err *err)
{
        _cleanup_(url_cleanupp)
        CURLU *u = curl_url();
        _cleanup_registry_url_ struct registry_url out = { 0 };
        CURLUcode code;
        int r;

        if (!u)
                return err_sys(err, -ENOMEM, "read URL");
        r = check_characters(text, err);
        if (r < 0)
                return r;
        if (base && curl_url_set(u, CURLUPART_URL, base->text, 0) != CURLUE_OK)
                return err_sys(err, -ENOMEM, "read URL");
        code = curl_url_set(u, CURLUPART_URL, text, CURLU_DISALLOW_USER);
        if (code == CURLUE_USER_NOT_ALLOWED)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "URL: user and password are not allowed in it");
        if (code != CURLUE_OK)
                return refuse(err, text, curl_url_strerror(code));
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        r = fill(u, text, &out, err);
        if (r < 0)
                return r;
        *ret = out;
        out = (struct registry_url){ 0 };
        return 0;
}

bool registry_url_same_origin(const struct registry_url *a, const struct registry_url *b)
{
        return a->https == b->https && a->port == b->port && streq(a->host, b->host);
}

char *registry_url_authority(const struct registry_url *u)
{
        if (u->port == (u->https ? 443 : 80))
                return strdup(u->host);
        return text_printf("%s:%u", u->host, u->port);
}

bool registry_url_host_is_address(const struct registry_url *u)
{
        struct in_addr v4;

        /* libcurl has turned 0x7f.1 and 2130706433 into 127.0.0.1 already */
        return u->host[0] == '[' || inet_pton(AF_INET, u->host, &v4) == 1;
}

static bool v4_is_internal(uint32_t a)
{
        return (a >> 24) == 127 || (a >> 24) == 0 || (a >> 16) == 0xa9fe || /* 169.254/16 */
               a == 0x6464c8c8 ||                                           /* 100.100.200.200 */
               a == 0xa83f8110;                                             /* 168.63.129.16 */
}

bool registry_address_is_internal(const struct sockaddr *address)
{
        static const struct in6_addr aws = { { { 0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54 } } };

        if (address->sa_family == AF_INET) {
                const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;

                return v4_is_internal(ntohl(in->sin_addr.s_addr));
        }
        if (address->sa_family == AF_INET6) {
                const struct in6_addr *a =
                        &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
                uint32_t last;

                memcpy(&last, a->s6_addr + 12, sizeof last);
                if (IN6_IS_ADDR_V4MAPPED(a) || IN6_IS_ADDR_V4COMPAT(a))
                        return v4_is_internal(ntohl(last)) || IN6_IS_ADDR_LOOPBACK(a) ||
                               IN6_IS_ADDR_UNSPECIFIED(a);
                return IN6_IS_ADDR_LOOPBACK(a) || IN6_IS_ADDR_UNSPECIFIED(a) ||
                       IN6_IS_ADDR_LINKLOCAL(a) || memcmp(a, &aws, sizeof aws) == 0;
        }
        return true; /* no other family has business here */
}
