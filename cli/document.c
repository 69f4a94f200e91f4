#include "cli/document.h"

#include <errno.h>
#include <string.h>

enum { HELP_COLUMN = 42, HELP_WIDTH = 84 };

#define SYNOPSIS "skiff [OPTION]... VERB [WORD]..."

static const char about_names[] =
        "A POD is NAMESPACE/NAME, NAME, or a unique beginning of either; where a container may be "
        "named, NAMESPACE/NAME/CONTAINER is one, too.";
static const char about_codes[] = "0 fine, 1 failed, 2 wrong usage";

static bool takes(const struct verb *v, enum flag_id id)
{
        return ((v->flags | FLAGS_ALWAYS) & (UINT32_C(1) << id)) != 0;
}

/* "-n, --namespace NS" */
static void add_flag_name(struct strbuf *b, const struct flag *f)
{
        if (f->letter)
                strbuf_addf(b, "-%c, ", f->letter);
        else
                strbuf_add(b, "    ");
        strbuf_addf(b, "--%s%s%s", f->name, f->value ? " " : "", f->value ? f->value : "");
}

static void add_flag(struct strbuf *b, const struct flag *f)
{
        _cleanup_strbuf_ struct strbuf name = { 0 };

        add_flag_name(&name, f);
        strbuf_addf(b, "  %-28s %s\n", name.data ? name.data : "", f->help);
}

/* Lines of at most HELP_WIDTH columns, broken at blanks; the text's own line ends stay. */
static void add_wrapped(struct strbuf *b, const char *text)
{
        size_t column = 0;

        while (*text) {
                size_t n = strcspn(text, " \n"), blanks = strspn(text + n, " ");

                if (column > 0 && column + n > HELP_WIDTH) {
                        strbuf_add(b, "\n");
                        column = 0;
                } else if (column > 0) {
                        strbuf_add(b, " ");
                        column++;
                }
                strbuf_add_n(b, text, n);
                column += n;
                text += n + blanks;
                for (; *text == '\n'; text++, column = 0)
                        strbuf_add(b, "\n");
        }
        strbuf_add(b, "\n");
}

void document_help(struct strbuf *b)
{
        strbuf_add(b, "Usage: " SYNOPSIS "\n\n");
        for (const struct verb *v = verbs; v->name; v++) {
                _cleanup_free_ char *left = text_printf("%s %s", v->name, v->arguments);

                strbuf_addf(b, "  %-*s %s\n", HELP_COLUMN, left ? left : "", v->help);
        }
        strbuf_add(b, "\nOptions of most verbs:\n");
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (FLAGS_BEFORE & (UINT32_C(1) << id))
                        add_flag(b, &flags[id]);
        strbuf_add(b, "\n");
        add_wrapped(b, about_names);
        strbuf_addf(b,
                    "'skiff VERB --help' tells more of a verb.\n"
                    "Exit code: %s; exec and attach: the command's own.\n",
                    about_codes);
}

void document_verb(struct strbuf *b, const struct verb *v)
{
        strbuf_addf(b, "Usage: skiff %s [OPTION]...%s%s\n\n%c%s.\n", v->name,
                    *v->arguments ? " " : "", v->arguments,
                    v->help[0] >= 'a' && v->help[0] <= 'z' ? v->help[0] - 'a' + 'A' : v->help[0],
                    v->help + 1);
        if (v->description) {
                strbuf_add(b, "\n");
                add_wrapped(b, v->description);
        }
        strbuf_add(b, "\nOptions:\n");
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (takes(v, id))
                        add_flag(b, &flags[id]);
        for (size_t i = 0; i < ARRAY_SIZE(v->examples) && v->examples[i].command; i++)
                strbuf_addf(b, "%s  # %s\n  %s\n", i ? "" : "\nExamples:\n", v->examples[i].what,
                            v->examples[i].command);
        strbuf_addf(b, "\nExit code: %s%s%s.\n", about_codes, v->exit_codes ? "; " : "",
                    v->exit_codes ? v->exit_codes : "");
}

/* ---- man pages ---- */

/* "image pull" -> "skiff-image-pull" */
static char *page_name(const char *verb)
{
        char *name = text_printf("skiff-%s", verb);

        for (char *p = name; p && *p; p++)
                if (*p == ' ')
                        *p = '-';
        return name;
}

char **document_pages(void)
{
        char **names = NULL;

        if (strv_append(&names, "skiff") < 0)
                return NULL;
        for (const struct verb *v = verbs; v->name; v++)
                if (strv_consume(&names, page_name(v->name)) < 0)
                        return strv_free(names);
        return names;
}

/* Text as man(7) takes it: no line begins with a request, a '-' is one that can be typed. */
static void add_roff(struct strbuf *b, const char *text)
{
        bool at_start = true;

        for (const char *p = text; *p; p++) {
                if (at_start && (*p == '.' || *p == '\''))
                        strbuf_add(b, "\\&");
                at_start = *p == '\n';
                if (*p == '\\')
                        strbuf_add(b, "\\e");
                else if (*p == '-')
                        strbuf_add(b, "\\-");
                else if (*p == '\n' && p[1] == '\n') {
                        strbuf_add(b, "\n.PP\n");
                        p++;
                } else
                        strbuf_add_n(b, p, 1);
        }
        strbuf_add(b, "\n");
}

static void add_roff_flag(struct strbuf *b, const struct flag *f)
{
        strbuf_add(b, ".TP\n");
        if (f->letter)
                strbuf_addf(b, "\\fB\\-%c\\fR, ", f->letter);
        strbuf_add(b, "\\fB\\-\\-");
        for (const char *p = f->name; *p; p++)
                strbuf_addf(b, "%s%c", *p == '-' ? "\\" : "", *p);
        strbuf_addf(b, "\\fR%s%s%s\n", f->value ? " \\fI" : "", f->value ? f->value : "",
                    f->value ? "\\fR" : "");
        add_roff(b, f->help);
}

static void add_page_start(struct strbuf *b, const char *page, const char *help)
{
        strbuf_addf(b, ".TH \"%s\" 1 \"\" \"Skiff %s\" \"Skiff\"\n.SH NAME\n", page, SKIFF_VERSION);
        add_roff(b, page);
        strbuf_add(b, "\\- ");
        add_roff(b, help);
        strbuf_add(b, ".SH SYNOPSIS\n.nf\n");
}

static void add_verb_page(struct strbuf *b, const char *page, const struct verb *v)
{
        strbuf_addf(b, "\\fBskiff %s\\fR [OPTION]... ", v->name);
        add_roff(b, v->arguments);
        strbuf_add(b, ".fi\n.SH DESCRIPTION\n");
        add_roff(b, v->description ? v->description : v->help);
        if (v->words == WORD_POD)
                strbuf_add(b, ".PP\n"), add_roff(b, about_names);
        strbuf_add(b, ".SH OPTIONS\n");
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (takes(v, id))
                        add_roff_flag(b, &flags[id]);
        if (v->examples[0].command)
                strbuf_add(b, ".SH EXAMPLES\n");
        for (size_t i = 0; i < ARRAY_SIZE(v->examples) && v->examples[i].command; i++) {
                strbuf_add(b, ".TP\n");
                add_roff(b, v->examples[i].command);
                add_roff(b, v->examples[i].what);
        }
        strbuf_add(b, ".SH EXIT STATUS\n");
        add_roff(b, about_codes);
        if (v->exit_codes)
                strbuf_add(b, ".PP\n"), add_roff(b, v->exit_codes);
        strbuf_add(b, ".SH SEE ALSO\n.BR skiff (1),\n.BR skiff\\-api (5)\n");
        (void)page;
}

static void add_main_page(struct strbuf *b)
{
        strbuf_add(b, "\\fBskiff\\fR [OPTION]... VERB [WORD]...\n.fi\n.SH DESCRIPTION\n");
        add_roff(b, "See and handle what runs on this node, with or without the API server: skiff "
                    "asks skiffd over its unix socket. Root may do everything; members of the "
                    "socket's group may look.");
        strbuf_add(b, ".PP\n");
        add_roff(b, about_names);
        strbuf_add(b, ".SH VERBS\n");
        for (const struct verb *v = verbs; v->name; v++) {
                strbuf_addf(b, ".TP\n\\fB%s\\fR ", v->name);
                add_roff(b, v->arguments);
                add_roff(b, v->help);
        }
        strbuf_add(b, ".SH OPTIONS\n");
        for (enum flag_id id = 0; id < _FLAG_MAX; id++)
                if (FLAGS_BEFORE & (UINT32_C(1) << id))
                        add_roff_flag(b, &flags[id]);
        strbuf_add(
                b,
                ".SH ENVIRONMENT\n.TP\n.B SKIFF_SOCKET\nskiffd's socket instead of /run/skiff/skiff.sock\n"
                ".TP\n.B SKIFF_NETPROXY_SOCKET\nthat of skiff\\-netproxy, which services, "
                "service and trace ask, instead of netproxy.sock beside skiffd's\n"
                ".TP\n.B NO_COLOR\nwhen set, no colours, on a terminal either\n"
                ".SH EXIT STATUS\n");
        add_roff(b, about_codes);
        strbuf_add(b, ".SH SEE ALSO\n.BR skiff\\-api (5)");
        for (const struct verb *v = verbs; v->name; v++) {
                _cleanup_free_ char *name = page_name(v->name);

                strbuf_addf(b, ",\n.BR %s (1)", name ? name : "");
        }
        strbuf_add(b, "\n");
}

int document_page(struct strbuf *b, const char *page)
{
        if (streq(page, "skiff")) {
                add_page_start(b, page, "see and handle what runs on a Skiff node");
                add_main_page(b);
                return 0;
        }
        for (const struct verb *v = verbs; v->name; v++) {
                _cleanup_free_ char *name = page_name(v->name);

                if (!name || !streq(name, page))
                        continue;
                add_page_start(b, page, v->help);
                add_verb_page(b, page, v);
                return 0;
        }
        return -ENOENT;
}
