#include "kubelet/expand.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

/* What stands at "$(": a reference, or two characters that are none. Returns what follows. */
static const char *expand_reference(const char *at, expand_lookup_fn lookup, void *userdata,
                                    struct strbuf *out)
{
        const char *end = strchr(at, ')');
        _cleanup_free_ char *name = NULL;
        const char *value;

        if (!end) {
                strbuf_add(out, "$(");
                return at + 2;
        }
        name = strndup(at + 2, (size_t)(end - at) - 2);
        if (!name) {
                out->failed = true;
                return end + 1;
        }
        value = lookup(name, userdata);
        if (value)
                strbuf_add(out, value);
        else
                strbuf_add_n(out, at, (size_t)(end - at) + 1);
        return end + 1;
}

int expand(const char *input, expand_lookup_fn lookup, void *userdata, char **ret)
{
        _cleanup_strbuf_ struct strbuf out = { 0 };
        const char *p = input;
        char *text;

        while (*p && !out.failed) {
                size_t plain = strcspn(p, "$");

                strbuf_add_n(&out, p, plain);
                p += plain;
                if (p[0] == '$' && p[1] == '(') {
                        p = expand_reference(p, lookup, userdata, &out);
                } else if (p[0] == '$' && p[1] == '$') {
                        strbuf_add(&out, "$");
                        p += 2;
                } else if (p[0] == '$') {
                        strbuf_add(&out, "$");
                        p++;
                }
                if (out.len > EXPAND_MAX)
                        return -E2BIG;
        }
        text = strbuf_take(&out);
        if (!text)
                return -ENOMEM;
        *ret = text;
        return 0;
}
