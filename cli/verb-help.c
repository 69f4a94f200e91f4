#include "cli/verb-help.h"

#include <errno.h>
#include <stdio.h>

#include "cli/document.h"

static int print(struct strbuf *b, FILE *f)
{
        if (b->failed || !b->data)
                return EXIT_FAILED;
        fputs(b->data, f);
        return EXIT_OK;
}

int help_print(const struct verb *v, FILE *f)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        if (v)
                document_verb(&b, v);
        else
                document_help(&b);
        return print(&b, f);
}

int verb_help(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *name = strv_join(in->words, " ");
        const struct verb *v = name ? verb_find(name) : NULL;

        if (in->n_words && !v) {
                err_set(err, -EINVAL, "unknown verb '%s', see 'skiff --help'", name ? name : "");
                return EXIT_USAGE;
        }
        return help_print(v, stdout);
}

int verb_completion(struct invocation *in, struct err *err)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        if (document_completion(&b, in->words[0]) < 0) {
                err_set(err, -EINVAL, "'%s': expected bash, zsh or fish", in->words[0]);
                return EXIT_USAGE;
        }
        return print(&b, stdout);
}

int help_print_page(const char *name)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_strv_ char **names = NULL;

        if (name)
                return document_page(&b, name) < 0 ? EXIT_USAGE : print(&b, stdout);
        names = document_pages();
        STRV_FOREACH (n, names)
                printf("%s\n", *n);
        return EXIT_OK;
}
