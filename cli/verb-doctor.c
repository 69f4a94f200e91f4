#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/doctor.h"
#include "cli/verbs.h"

struct report {
        json_t *list;
        size_t n[_DOCTOR_LEVEL_MAX];
};

static int note(enum doctor_level level, const char *area, const char *what, const char *help,
                void *userdata)
{
        struct report *r = userdata;
        json_t *o = json_pack("{s:s, s:s, s:s}", "level", doctor_level_names[level], "area", area,
                              "what", what);

        r->n[level]++;
        json_set_text(o, "help", help);
        return json_array_append_new(r->list, o) < 0 ? -ENOMEM : 0;
}

static void print_finding(const json_t *o)
{
        const char *level = json_text_at(o, "level"), *help = json_text_at(o, "help");
        enum colour c = streq(level, "ok")        ? COLOUR_GOOD
                        : streq(level, "warning") ? COLOUR_WARNING
                                                  : COLOUR_BAD;

        printf("%s%-8s%s %-13s %s\n", colour_on(c), level, colour_off(c), json_text_at(o, "area"),
               json_text_at(o, "what"));
        if (help && *help)
                printf("%-22s -> %s\n", "", help);
}

static void ask_daemon(struct invocation *in, struct doctor_facts *f)
{
        _cleanup_err_ struct err err = { 0 };

        if (client_call(in->client, "GET", "/v1/node", NULL, &f->node, &err) < 0)
                f->daemon_trouble = strdup(err_text(&err));
}

int verb_doctor(struct invocation *in, struct err *err)
{
        _cleanup_(doctor_facts_done)
        struct doctor_facts facts = { 0 };
        json_auto_t *list = json_array();
        struct report report = { .list = list };
        const json_t *o;
        size_t i;
        int r = list ? doctor_facts_read("/", &facts) : -ENOMEM;

        if (r == 0) {
                ask_daemon(in, &facts);
                r = doctor_judge(&facts, note, &report);
        }
        if (r < 0) {
                err_sys(err, r, "look at this machine");
                return EXIT_FAILED;
        }
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                if (output_tree(in->format, list) < 0)
                        return EXIT_FAILED;
        } else {
                json_array_foreach (list, i, o)
                        print_finding(o);
                printf("\n%zu ok, %zu warning%s, %zu problem%s\n", report.n[DOCTOR_OK],
                       report.n[DOCTOR_WARNING], report.n[DOCTOR_WARNING] == 1 ? "" : "s",
                       report.n[DOCTOR_PROBLEM], report.n[DOCTOR_PROBLEM] == 1 ? "" : "s");
                if (!facts.is_root)
                        printf("Not all can be seen without root.\n");
        }
        return report.n[DOCTOR_PROBLEM] ? EXIT_FAILED : EXIT_OK;
}
