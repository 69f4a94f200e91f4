#include <errno.h>
#include <stdio.h>

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

int verb_events(struct invocation *in, struct err *err)
{
        static const char *const headings[] = { "LAST SEEN", "TYPE",    "REASON",
                                                "OBJECT",    "MESSAGE", NULL };
        json_auto_t *list = NULL;
        const json_t *e;
        size_t i, shown = 0;
        struct table *t;

        if (in->format == OUTPUT_NAME) {
                err_set(err, -EINVAL, "--output: 'name': events have none");
                return EXIT_USAGE;
        }
        if (client_call(in->client, "GET", "/v1/events", NULL, &list, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, list) < 0 ? EXIT_FAILED : EXIT_OK;
        t = table_new(headings, !in->no_headers);
        if (!t)
                return EXIT_FAILED;
        json_array_foreach (json_object_get(list, "items"), i, e) {
                const json_t *object = json_object_get(e, "involvedObject");
                _cleanup_free_ char *name = text_printf("%s/%s", json_text_at(object, "kind"),
                                                        json_text_at(object, "name"));
                const char *when = json_text_at(e, "lastTimestamp");
                char age[32] = "";
                usec_t then, now = now_realtime();
                const char *const cells[] = { age, json_text_at(e, "type"),
                                              json_text_at(e, "reason"), name,
                                              json_text_at(e, "message") };

                if (in->namespace && !streq_null(json_text_at(object, "namespace"), in->namespace))
                        continue;
                if (when && time_parse(when, &then) == 0 && now >= then)
                        age_format(now - then, age);
                if (table_add(t, cells) < 0)
                        break;
                shown++;
        }
        if (shown)
                table_print(t);
        else
                fprintf(stderr, "No events.\n");
        table_free(t);
        return EXIT_OK;
}
