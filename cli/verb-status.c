#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

#define WATCH_PAUSE_USEC 1000000

static void add_line(struct strbuf *b, const char *label, const char *text)
{
        strbuf_addf(b, "%-12s %s\n", label, text ? text : "");
}

static void add_coloured(struct strbuf *b, const char *label, enum colour c, const char *text)
{
        strbuf_addf(b, "%-12s %s%s%s\n", label, colour_on(c), text ? text : "", colour_off(c));
}

static void add_node(struct strbuf *b, const json_t *node)
{
        const bool ready = json_is_true(json_object_get(node, "ready"));
        const char *api = json_text_at(node, "apiServer");
        usec_t since = time_at(node, "since");
        char age[32];
        _cleanup_free_ char *name = text_printf("%s (%s), %s", json_text_at(node, "name"),
                                                json_text_at(node, "address"),
                                                ready ? "ready" : "not ready"),
                            *connection = since ? text_printf("%s for %s", api ? api : "?",
                                                              age_since(since, age))
                                                : strdup_null(api),
                            *versions = text_printf("skiff %s, Kubernetes %s, kernel %s",
                                                    json_text_at(node, "version"),
                                                    json_text_at(node, "kubernetes"),
                                                    json_text_at(node, "kernel"));

        add_coloured(b, "Node", ready ? COLOUR_GOOD : COLOUR_BAD, name);
        add_coloured(b, "API server", api && streq(api, "not reachable") ? COLOUR_BAD : COLOUR_NONE,
                     connection);
        add_line(b, "Versions", versions);
}

static void add_pods(struct strbuf *b, const json_t *pods)
{
        _cleanup_strbuf_ struct strbuf text = { 0 };
        const char *phase;
        json_t *n;

        strbuf_addf(&text, "%lld", (long long)json_integer_value(json_object_get(pods, "total")));
        json_object_foreach (json_object_get(pods, "phases"), phase, n)
                strbuf_addf(&text, ", %lld %s", (long long)json_integer_value(n), phase);
        add_line(b, "Pods", text.data);
}

static void add_processes(struct strbuf *b, const json_t *list)
{
        const json_t *p;
        size_t i;

        json_array_foreach ((json_t *)list, i, p) {
                long long count = json_integer_value(json_object_get(p, "count"));
                uint64_t pss = (uint64_t)json_integer_value(json_object_get(p, "pssBytes"));
                uint64_t private = (uint64_t)json_integer_value(json_object_get(p, "privateBytes"));
                char all[32], own[32], times[32] = "";
                _cleanup_free_ char *text = NULL;

                if (count > 1)
                        snprintf(times, sizeof times, " (%lld of them)", count);
                text = text_printf("%-15s %s private, %s with shared pages%s",
                                   json_text_at(p, "name"), size_format(private, own),
                                   size_format(pss, all), times);
                add_line(b, i ? "" : "Memory", text);
        }
}

static void add_problems(struct strbuf *b, const json_t *list)
{
        const json_t *p;
        size_t i;

        if (!json_array_size(list))
                add_coloured(b, "Problems", COLOUR_GOOD, "none");
        json_array_foreach ((json_t *)list, i, p) {
                const char *help = json_text_at(p, "help");
                _cleanup_free_ char *text = text_printf("%s: %s", json_text_at(p, "about"),
                                                        json_text_at(p, "what"));

                add_coloured(b, i ? "" : "Problems", COLOUR_WARNING, text);
                if (help)
                        strbuf_addf(b, "%-12s   help: %s\n", "", help);
        }
}

static void print_new(const struct strbuf *b, char **shown)
{
        if (*shown && streq(*shown, b->data))
                return;
        if (*shown && isatty(STDOUT_FILENO) == 1)
                printf("\033[H\033[J");
        else if (*shown)
                printf("\n");
        fputs(b->data, stdout);
        free(*shown);
        *shown = strdup(b->data);
}

static int look(struct invocation *in, char **shown, struct err *err)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        json_auto_t *status = NULL;

        if (client_call(in->client, "GET", "/v1/status", NULL, &status, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, status) < 0 ? EXIT_FAILED : EXIT_OK;
        add_node(&b, json_object_get(status, "node"));
        add_pods(&b, json_object_get(status, "pods"));
        add_processes(&b, json_object_get(status, "processes"));
        add_problems(&b, json_object_get(status, "problems"));
        if (b.failed || !b.data) {
                err_sys(err, -ENOMEM, "show the status");
                return EXIT_FAILED;
        }
        print_new(&b, shown);
        return EXIT_OK;
}

int verb_status(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *shown = NULL;

        for (;;) {
                int code = look(in, &shown, err);

                if (code != EXIT_OK || !has_flag(in, FLAG_WATCH) || fflush(stdout) != 0)
                        return code;
                usleep(WATCH_PAUSE_USEC);
        }
}
