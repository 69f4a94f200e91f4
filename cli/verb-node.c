#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "cli/verbs.h"

int verb_node(struct invocation *in, struct err *err)
{
        json_auto_t *node = NULL;
        const char *key;
        json_t *value;

        if (client_call(in->client, "GET", "/v1/node", NULL, &node, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, node) < 0 ? EXIT_FAILED : EXIT_OK;
        if (in->format == OUTPUT_NAME) {
                printf("%s\n", json_text_at(node, "name"));
                return EXIT_OK;
        }
        json_object_foreach (node, key, value) {
                const json_t *element;
                size_t i;

                if (json_is_string(value))
                        printf("%-16s %s\n", key, json_string_value(value));
                else if (json_is_boolean(value))
                        printf("%-16s %s\n", key, json_is_true(value) ? "yes" : "no");
                else if (json_is_integer(value))
                        printf("%-16s %lld\n", key, (long long)json_integer_value(value));
                json_array_foreach (value, i, element)
                        printf("%-16s %s\n", i ? "" : key, json_string_value(element));
        }
        return EXIT_OK;
}

/* ---- events ---- */

static int get_events(struct invocation *in, json_t **ret, struct err *err)
{
        return client_call(in->client, "GET", "/v1/events", NULL, ret, err);
}

static bool is_wanted(const struct invocation *in, const json_t *object)
{
        const char *name = in->n_words ? in->words[0] : NULL, *of = json_text_at(object, "name"),
                   *ns = json_text_at(object, "namespace"),
                   *slash = name ? strchr(name, '/') : NULL;

        if (in->namespace && !streq_null(ns, in->namespace))
                return false;
        if (!name)
                return true;
        if (slash &&
            (!ns || strlen(ns) != (size_t)(slash - name) || strncmp(ns, name, strlen(ns)) != 0))
                return false;
        return of && startswith(of, slash ? slash + 1 : name);
}

static int event_row(struct invocation *in, const json_t *e, struct table *t)
{
        const json_t *object = json_object_get(e, "involvedObject");
        const char *kind = json_text_at(object, "kind"), *of = json_text_at(object, "name"),
                   *type = json_text_at(e, "type"), *ns = json_text_at(object, "namespace");
        _cleanup_free_ char *name = text_printf("%s/%s", kind ? kind : "", of ? of : "");
        char age[32], count[24];
        const char *const narrow[] = { age_since(time_at(e, "lastTimestamp"), age), type,
                                       json_text_at(e, "reason"), name,
                                       json_text_at(e, "message") };
        const char *const wide[] = { ns,        narrow[0], narrow[1], narrow[2],
                                     narrow[3], count,     narrow[4] };

        if (!is_wanted(in, object))
                return 0;
        snprintf(count, sizeof count, "%lld",
                 (long long)json_integer_value(json_object_get(e, "count")));
        if (table_add(t, in->format == OUTPUT_WIDE ? wide : narrow) < 0)
                return -ENOMEM;
        if (type && streq(type, "Warning"))
                table_set_colour(t, in->format == OUTPUT_WIDE ? 2 : 1, COLOUR_WARNING);
        return 0;
}

static int events_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, e)
                if (event_row(in, e, t) < 0)
                        return -ENOMEM;
        return 0;
}

int verb_events(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "LAST SEEN", "TYPE",    "REASON",
                                              "OBJECT",    "MESSAGE", NULL };
        static const char *const wide[] = { "NAMESPACE", "LAST SEEN", "TYPE",    "REASON",
                                            "OBJECT",    "COUNT",     "MESSAGE", NULL };
        static const struct list_view view = { narrow,     wide,        "No events.",
                                               get_events, events_rows, NULL };

        return list_show(in, &view, err);
}

/* ---- version ---- */

int verb_version(struct invocation *in, struct err *err)
{
        json_auto_t *node = NULL, *o = NULL;
        _cleanup_err_ struct err away = { 0 };
        const char *daemon;

        if (client_call(in->client, "GET", "/v1/node", NULL, &node, &away) < 0)
                node = NULL;
        daemon = json_text_at(node, "version");
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                o = json_pack("{s:s, s:s}", "skiff", SKIFF_VERSION, "kubernetes",
                              KUBERNETES_VERSION);
                json_set_text(o, "skiffd", daemon);
                json_set_text(o, "kernel", json_text_at(node, "kernel"));
                return output_tree(in->format, o) < 0 ? EXIT_FAILED : EXIT_OK;
        }
        printf("skiff       %s\nskiffd      %s\nKubernetes  %s\n", SKIFF_VERSION,
               daemon ? daemon : "does not answer", KUBERNETES_VERSION);
        if (json_text_at(node, "kernel"))
                printf("kernel      %s\n", json_text_at(node, "kernel"));
        if (!daemon)
                err_move(err, &away);
        return daemon ? EXIT_OK : EXIT_FAILED;
}
