#include "kubelet/env-file.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/text.h"

#define BLANKS " \t"

static int refuse(struct err *err, unsigned line, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "invalid environment variable format at line %u: %s", line, rule);
}

static unsigned count_lines(const char *from, const char *to)
{
        unsigned n = 0;

        for (; from < to; from++)
                n += *from == '\n';
        return n;
}

/* The name before '='; its length, or a rule that it breaks. */
static const char *check_name(const char *line, size_t length, size_t *ret)
{
        const char *equals = memchr(line, '=', length);
        size_t n = equals ? (size_t)(equals - line) : 0;

        if (!equals)
                return "missing '='";
        if (n == 0 || strspn(line, BLANKS) == n)
                return "empty variable name";
        if (line[n - 1] == ' ' || line[n - 1] == '\t')
                return "whitespace before '=' is not allowed";
        *ret = n;
        return NULL;
}

/* What stands behind a closing quote, up to the end of its line: nothing, or a comment. */
static bool is_clean_end(const char *after)
{
        after += strspn(after, BLANKS);
        return *after == '\0' || *after == '\n' || *after == '\r' || *after == '#';
}

int env_file_get(const char *text, const char *key, char **ret, struct err *err)
{
        const char *p = text;
        unsigned line = 1;
        char *value = NULL;

        while (*p && !value) {
                size_t length, n;
                const char *rule, *close;
                bool wanted;

                p += strspn(p, BLANKS);
                length = strcspn(p, "\n");
                if (length == 0 || *p == '#' || *p == '\r') {
                        p += length + (p[length] == '\n');
                        line++;
                        continue;
                }
                rule = check_name(p, length, &n);
                if (rule)
                        return refuse(err, line, rule);
                wanted = strlen(key) == n && strncmp(p, key, n) == 0;
                p += n + 1;
                if (*p == ' ' || *p == '\t') { /* as in a shell: assigned nothing */
                        if (wanted)
                                break;
                        p += strcspn(p, "\n");
                        continue;
                }
                if (*p != '\'')
                        return refuse(err, line, "value must be enclosed in single quotes");
                close = strchr(p + 1, '\'');
                if (!close)
                        return refuse(err, line, "unclosed single quote");
                line += count_lines(p, close);
                if (!is_clean_end(close + 1))
                        return refuse(err, line, "unexpected content after closing quote");
                if (wanted) {
                        value = strndup(p + 1, (size_t)(close - p) - 1);
                        if (!value)
                                return err_sys(err, -ENOMEM, "read environment file");
                }
                p = close + 1 + strcspn(close + 1, "\n");
        }
        if (!value)
                value = strdup("");
        if (!value)
                return err_sys(err, -ENOMEM, "read environment file");
        *ret = value;
        return 0;
}
