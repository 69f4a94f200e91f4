#include <errno.h>
#include <langinfo.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/timeline.h"
#include "cli/verbs.h"

/* ---- explain ---- */

/* "14:03:11 (2m ago)", "14:05:01 (in 12s)". */
static void print_time(const char *label, const json_t *wait, const char *key)
{
        usec_t t = time_at(wait, key), now = now_realtime();
        char text[TIME_TEXT_MAX], age[32];

        if (!t)
                return;
        printf("  %-6s %s (%s%s%s)\n", label, time_format(t, text), t > now ? "in " : "",
               age_format(t > now ? t - now : now - t, age), t > now ? "" : " ago");
}

static void print_text(const char *label, const json_t *wait, const char *key)
{
        const char *text = json_text_at(wait, key);

        if (text)
                printf("  %-6s %s\n", label, text);
}

static void print_wait(const json_t *wait)
{
        const char *about = json_text_at(wait, "about"), *what = json_text_at(wait, "what");

        printf("\n%s%s: %s%s\n", colour_on(COLOUR_WARNING), about ? about : "", what ? what : "",
               colour_off(COLOUR_WARNING));
        print_time("since", wait, "since");
        print_text("tried", wait, "tried");
        print_text("next", wait, "next");
        print_time("when", wait, "nextAt");
        print_text("help", wait, "help");
}

int verb_explain(struct invocation *in, struct err *err)
{
        json_auto_t *pod = get_pod(in, in->words[0], err), *o = NULL;
        const json_t *ours = json_object_get(pod, "skiff"), *wait;
        const char *summary = json_text_at(ours, "summary");
        size_t i;

        if (!pod)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                o = json_pack("{s:s, s:s, s:s, s:O*}", "namespace",
                              text_in(pod, "metadata", "namespace"), "name",
                              text_in(pod, "metadata", "name"), "summary", summary ? summary : "",
                              "waits", json_object_get(ours, "waits"));
                return output_tree(in->format, o) < 0 ? EXIT_FAILED : EXIT_OK;
        }
        printf("%s/%s: %s\n", text_in(pod, "metadata", "namespace"),
               text_in(pod, "metadata", "name"), summary ? summary : "");
        json_array_foreach (json_object_get(ours, "waits"), i, wait)
                print_wait(wait);
        return EXIT_OK;
}

/* ---- timeline ---- */

enum { WIDE_COLUMNS = 110, TABLE_COLUMNS = 66, BAR_MIN = 24 };

/* Columns of the terminal; 0: there is none. */
static size_t terminal_width(void)
{
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int add_span(struct table *t, const struct timeline *line, const struct timeline_span *s,
                    size_t bar_width)
{
        _cleanup_strbuf_ struct strbuf bar = { 0 };
        char at[32], took[32], plus[40], time[TIME_TEXT_MAX];
        const char *const cells[] = { plus,
                                      took_format(s->end - s->begin, took),
                                      *s->who ? s->who : "(pod)",
                                      s->step,
                                      s->detail,
                                      bar_width ? NULL : time,
                                      NULL };
        const char *with_bar[7];

        snprintf(plus, sizeof plus, "+%s", took_format(s->end - line->begin, at));
        time_format_micro(s->end, time);
        memcpy(with_bar, cells, sizeof with_bar);
        if (bar_width) {
                timeline_bar(line, s, bar_width, streq(nl_langinfo(CODESET), "UTF-8"), &bar);
                with_bar[5] = bar.data;
        }
        if (table_add(t, with_bar) < 0)
                return -ENOMEM;
        if (streq(s->step, "exited") || streq(s->step, "not started") || streq(s->step, "killed"))
                table_set_colour(t, 3, COLOUR_BAD);
        return 0;
}

static int print_timeline(const struct invocation *in, const struct timeline *line)
{
        static const char *const plain[] = { "AT", "TOOK", "WHO", "STEP", "", "TIME", NULL };
        static const char *const wide[] = { "AT", "TOOK", "WHO", "STEP", "", "CHART", NULL };
        size_t columns = terminal_width(),
               bar = columns >= WIDE_COLUMNS ? MAX(columns - TABLE_COLUMNS, (size_t)BAR_MIN) : 0;
        _cleanup_(table_freep)
        struct table *t = table_new(bar ? wide : plain, !has_flag(in, FLAG_NO_HEADERS));

        if (!t)
                return -ENOMEM;
        for (size_t i = 0; i < line->n; i++)
                if (add_span(t, line, &line->spans[i], bar) < 0)
                        return -ENOMEM;
        table_print(t);
        return 0;
}

int verb_timeline(struct invocation *in, struct err *err)
{
        json_auto_t *pod = get_pod(in, in->words[0], err);
        _cleanup_(timeline_done)
        struct timeline line = { 0 };
        _cleanup_strbuf_ struct strbuf svg = { 0 };
        _cleanup_free_ char *title = NULL;
        int r;

        if (!pod)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, json_path(pod, "skiff", "timeline", NULL)) < 0
                               ? EXIT_FAILED
                               : EXIT_OK;
        title = text_printf("%s/%s", text_in(pod, "metadata", "namespace"),
                            text_in(pod, "metadata", "name"));
        r = title ? timeline_read(pod, &line) : -ENOMEM;
        if (r == 0 && in->format == OUTPUT_SVG) {
                timeline_svg(&line, title, &svg);
                r = svg.failed ? -ENOMEM : 0;
                printf("%s", svg.data ? svg.data : "");
        } else if (r == 0) {
                r = print_timeline(in, &line);
        }
        if (r < 0)
                err_sys(err, r, "show the timeline");
        return r < 0 ? EXIT_FAILED : EXIT_OK;
}
