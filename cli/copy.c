#include "cli/copy.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

void copy_end_done(struct copy_end *e)
{
        free(e->pod);
        free(e->path);
        *e = (struct copy_end){ 0 };
}

/* Without "//", "." and a slash at the end; ".." stays, whoever opens it knows what it is. */
static char *clean(const char *path)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_strv_ char **parts = NULL;

        if (strv_split(path, "/", &parts) < 0)
                return NULL;
        strbuf_add(&b, path[0] == '/' ? "/" : "");
        STRV_FOREACH (p, parts)
                if (!streq(*p, "."))
                        strbuf_addf(&b, "%s%s", b.len > 0 && b.data[b.len - 1] != '/' ? "/" : "",
                                    *p);
        if (b.len == 0)
                strbuf_add(&b, ".");
        return strbuf_take(&b);
}

int copy_end_parse(const char *word, struct copy_end *ret, struct err *err)
{
        const char *colon = word[0] == '/' || word[0] == '.' ? NULL : strchr(word, ':');
        const char *path = colon ? colon + 1 : word;
        struct copy_end e = { .ends_in_slash = endswith(path, "/") };

        if (!*path || colon == word)
                return err_set(err, -EINVAL, "'%s': expected [NAMESPACE/]POD:PATH, or a path here",
                               word);
        e.path = clean(path);
        e.pod = colon ? strndup(word, (size_t)(colon - word)) : NULL;
        if (!e.path || (colon && !e.pod)) {
                copy_end_done(&e);
                return err_sys(err, -ENOMEM, "read '%s'", word);
        }
        *ret = e;
        return 0;
}

int copy_split(const char *path, char **ret_folder, char **ret_name)
{
        const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
        _cleanup_free_ char *folder = NULL;
        char *copy;

        if (!slash)
                folder = strdup(".");
        else
                folder = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
        copy = strdup(*name ? name : ".");
        if (!folder || !copy) {
                free(copy);
                return -ENOMEM;
        }
        *ret_folder = TAKE_PTR(folder);
        *ret_name = copy;
        return 0;
}
