#include "runtime/image-ref.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"

enum {
        TEXT_MAX = 4096, /* no reference that parses is longer */
        PATH_LENGTH_MAX = 255,
        TAG_MAX = 128,
};

void image_ref_done(struct image_ref *ref)
{
        free(ref->host);
        free(ref->path);
        free(ref->tag);
        free(ref->digest);
        *ref = (struct image_ref){ 0 };
}

bool digest_is_valid_n(const char *text, size_t n)
{
        size_t hex;

        if (n == 7 + 64 && memcmp(text, "sha256:", 7) == 0)
                hex = 64;
        else if (n == 7 + 128 && memcmp(text, "sha512:", 7) == 0)
                hex = 128;
        else
                return false;
        for (size_t i = 7; i < 7 + hex; i++)
                if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] >= 'a' && text[i] <= 'f'))
                        return false;
        return true;
}

bool digest_is_valid(const char *text)
{
        return digest_is_valid_n(text, strnlen(text, DIGEST_TEXT_MAX + 1));
}

static bool is_lower_alnum(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
        return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* ":" and decimal digits, or nothing. */
static bool is_optional_port(const char *s, size_t n)
{
        if (n == 0)
                return true;
        if (s[0] != ':' || n == 1)
                return false;
        for (size_t i = 1; i < n; i++)
                if (s[i] < '0' || s[i] > '9')
                        return false;
        return true;
}

/* Labels of letters, digits and inner dashes, joined by dots. */
static bool is_domain_name(const char *s, size_t n)
{
        size_t start = 0;

        for (size_t i = 0; i <= n; i++) {
                if (i < n && (is_alnum(s[i]) || s[i] == '-'))
                        continue;
                if (i < n && s[i] != '.')
                        return false;
                if (i == start || s[start] == '-' || s[i - 1] == '-')
                        return false;
                start = i + 1;
        }
        return true;
}

static bool is_host(const char *s, size_t n)
{
        size_t end = 0;

        if (n > 0 && s[0] == '[') { /* no zones, no embedded IPv4: colons and hex digits only */
                for (end = 1; end < n && s[end] != ']'; end++)
                        if (!isxdigit((unsigned char)s[end]) && s[end] != ':')
                                return false;
                return end > 1 && end < n && is_optional_port(s + end + 1, n - end - 1);
        }
        while (end < n && s[end] != ':')
                end++;
        return end > 0 && is_domain_name(s, end) && is_optional_port(s + end, n - end);
}

/* Between two runs of [a-z0-9]: one dot, one or two underscores, or any number of dashes. */
static bool is_separator(const char *s, size_t n)
{
        if (n == 1)
                return s[0] == '.' || s[0] == '_' || s[0] == '-';
        if (n == 2 && s[0] == '_' && s[1] == '_')
                return true;
        for (size_t i = 0; i < n; i++)
                if (s[i] != '-')
                        return false;
        return n > 0;
}

static bool is_path_component(const char *s, size_t n)
{
        size_t i = 0;

        for (;;) {
                size_t separator;

                if (i == n || !is_lower_alnum(s[i]))
                        return false;
                while (i < n && is_lower_alnum(s[i]))
                        i++;
                if (i == n)
                        return true;
                for (separator = i; i < n && !is_lower_alnum(s[i]); i++)
                        ;
                if (!is_separator(s + separator, i - separator))
                        return false;
        }
}

static bool is_path(const char *s, size_t n)
{
        size_t start = 0;

        for (size_t i = 0; i <= n; i++) {
                if (i < n && s[i] != '/')
                        continue;
                if (!is_path_component(s + start, i - start))
                        return false;
                start = i + 1;
        }
        return true;
}

bool image_path_is_valid(const char *path)
{
        size_t n = strnlen(path, PATH_LENGTH_MAX + 1);

        return n <= PATH_LENGTH_MAX && is_path(path, n);
}

static bool is_tag(const char *s)
{
        size_t n = strnlen(s, TAG_MAX + 1);

        if (n == 0 || n > TAG_MAX || (!is_alnum(s[0]) && s[0] != '_'))
                return false;
        for (size_t i = 1; i < n; i++)
                if (!is_alnum(s[i]) && s[i] != '_' && s[i] != '.' && s[i] != '-')
                        return false;
        return true;
}

static int refuse(struct err *err, const char *why)
{
        return err_set_kind(err, -EINVAL, ERR_INVALID_IMAGE_NAME, "%s", why);
}

static int check_digest(const char *digest, struct err *err)
{
        const char *colon = strchr(digest, ':');
        const char *hex = startswith(digest, "sha256:");
        size_t want = 64;

        if (digest_is_valid(digest))
                return 0;
        if (!hex) {
                hex = startswith(digest, "sha512:");
                want = 128;
        }
        if (!colon)
                return refuse(err, "invalid reference format");
        if (!hex)
                return refuse(err, "unsupported digest algorithm");
        if (strlen(hex) != want)
                return refuse(err, "invalid checksum digest length");
        return refuse(err, "invalid checksum digest format");
}

static bool has_upper(const char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (s[i] >= 'A' && s[i] <= 'Z')
                        return true;
        return false;
}

/* The first component is a host when it looks like one; Docker Hub's is implied otherwise. */
static size_t host_length(const char *text)
{
        const char *slash = strchr(text, '/');
        size_t n = slash ? (size_t)(slash - text) : 0;

        if (!slash)
                return 0;
        if (memchr(text, '.', n) || memchr(text, ':', n) || has_upper(text, n) ||
            (n == 9 && memcmp(text, "localhost", 9) == 0))
                return n;
        return 0;
}

/* Docker Hub answers to two names, and its own images live below "library/". */
static int fill_names(struct image_ref *ref, const char *host, size_t host_len, const char *path,
                      size_t path_len)
{
        bool hub = host_len == 0 || (host_len == 9 && memcmp(host, "docker.io", 9) == 0) ||
                   (host_len == 15 && memcmp(host, "index.docker.io", 15) == 0);

        ref->host = hub ? strdup("docker.io") : strndup(host, host_len);
        ref->path = text_printf("%s%.*s", hub && !memchr(path, '/', path_len) ? "library/" : "",
                                (int)path_len, path);
        return ref->host && ref->path ? 0 : -ENOMEM;
}

int image_ref_parse(const char *text, struct image_ref *ret, struct err *err)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        _cleanup_free_ char *copy = NULL;
        char *rest, *digest, *tag;
        size_t host_len;
        int r;

        if (text[0] == '\0')
                return refuse(err, "repository name must have at least one component");
        if (strnlen(text, TEXT_MAX + 1) > TEXT_MAX)
                return refuse(err, "invalid reference format: longer than 4096 characters");
        if (is_hex_lower(text, 64))
                return err_set_kind(err, -EINVAL, ERR_INVALID_IMAGE_NAME,
                                    "invalid repository name (%s), cannot specify 64-byte "
                                    "hexadecimal strings",
                                    text);
        copy = strdup(text);
        if (!copy)
                return err_sys(err, -ENOMEM, "image reference");
        host_len = host_length(copy);
        rest = copy + host_len + (host_len ? 1 : 0);
        digest = strchr(rest, '@');
        if (digest)
                *digest++ = '\0';
        tag = strchr(rest, ':');
        if (tag)
                *tag++ = '\0';

        if (has_upper(rest, strlen(rest)))
                return err_set_kind(err, -EINVAL, ERR_INVALID_IMAGE_NAME,
                                    "invalid reference format: repository name (%s) must be "
                                    "lowercase",
                                    rest);
        if ((host_len && !is_host(copy, host_len)) || !is_path(rest, strlen(rest)) ||
            (tag && !is_tag(tag)))
                return refuse(err, "invalid reference format");
        r = digest ? check_digest(digest, err) : 0;
        if (r < 0)
                return r;
        r = fill_names(&ref, copy, host_len, rest, strlen(rest));
        if (r == 0 && strlen(ref.path) > PATH_LENGTH_MAX)
                return refuse(err, "repository name must not be more than 255 characters");
        if (r == 0 && digest)
                r = free_and_strdup(&ref.digest, digest);
        else if (r == 0)
                r = free_and_strdup(&ref.tag, tag ? tag : "latest");
        if (r < 0)
                return err_sys(err, r, "image reference");
        *ret = ref;
        ref = (struct image_ref){ 0 };
        return 0;
}

char *image_ref_format(const struct image_ref *ref)
{
        return ref->digest ? text_printf("%s/%s@%s", ref->host, ref->path, ref->digest)
                           : text_printf("%s/%s:%s", ref->host, ref->path, ref->tag);
}

char *image_ref_name(const struct image_ref *ref)
{
        return text_printf("%s/%s", ref->host, ref->path);
}

bool registry_host_is_local(const char *host)
{
        size_t n = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
        const char *four = startswith(host, "127.");

        if (n == 9 && memcmp(host, "localhost", 9) == 0)
                return true;
        if (n == 5 && memcmp(host, "[::1]", 5) == 0)
                return true;
        /* digits and dots only, or "127.evil.example" would count */
        return four && strspn(host, "0123456789.") == n;
}

int image_normalize(const char *reference, char **ret, struct err *err)
{
        _cleanup_image_ref_ struct image_ref ref = { 0 };
        int r = image_ref_parse(reference, &ref, err);

        if (r < 0)
                return r;
        *ret = image_ref_format(&ref);
        return *ret ? 0 : err_sys(err, -ENOMEM, "image reference");
}
