#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/manifest.h"
#include "cli/verbs.h"

static void print_amounts(const char *label, const json_t *amounts, const char *behind)
{
        const char *key;
        json_t *value;
        bool any = false;

        printf("  %-9s", label);
        json_object_foreach ((json_t *)amounts, key, value) {
                if (json_is_string(value))
                        printf("%s%s %s", any ? ", " : " ", key, json_string_value(value));
                else
                        printf("%s%s %lld", any ? ", " : " ", key,
                               (long long)json_integer_value(value));
                any = true;
        }
        printf("%s%s\n", any ? "" : " nothing", behind);
}

static void print_images(const json_t *list)
{
        const json_t *e;
        size_t i;

        json_array_foreach ((json_t *)list, i, e) {
                bool present = json_is_true(json_object_get(e, "present"));
                char size[32];

                printf("  %-9s %s (%s): %s%s%s", "image", json_text_at(e, "image"),
                       json_text_at(e, "for"), colour_on(present ? COLOUR_NONE : COLOUR_WARNING),
                       json_text_at(e, "action"),
                       colour_off(present ? COLOUR_NONE : COLOUR_WARNING));
                if (present)
                        printf(", %s",
                               size_format((uint64_t)json_integer_value(json_object_get(e, "size")),
                                           size));
                printf("\n");
        }
}

static void print_remarks(const json_t *item)
{
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(item, "fields"), i, e) {
                const char *why = json_text_at(e, "why"), *what = json_text_at(e, "what");
                bool unknown = streq_null(what, "unknown");

                printf("  %s%-9s%s %s%s%s\n", colour_on(unknown ? COLOUR_BAD : COLOUR_WARNING),
                       what, colour_off(unknown ? COLOUR_BAD : COLOUR_WARNING),
                       json_text_at(e, "path"), why ? ": " : "", why ? why : "");
        }
        json_array_foreach (json_object_get(item, "warnings"), i, e)
                printf("  %s%-9s%s %s\n", colour_on(COLOUR_WARNING), "warning",
                       colour_off(COLOUR_WARNING), json_string_value(e));
}

static void print_item(const json_t *item)
{
        const char *outcome = json_text_at(item, "outcome"), *qos = json_text_at(item, "qosClass"),
                   *reason = json_text_at(item, "reason"), *message = json_text_at(item, "message"),
                   *kind = json_text_at(item, "kind"), *name = json_text_at(item, "name");
        bool good = streq_null(outcome, "admitted"), none = streq_null(outcome, "nothing");
        enum colour c = good ? COLOUR_GOOD : none ? COLOUR_NONE : COLOUR_BAD;
        _cleanup_free_ char *class = text_printf(" (%s)", qos ? qos : "");

        printf("%s %s/%s", kind && *kind ? kind : "?", json_text_at(item, "namespace"),
               name ? name : "?");
        if (json_object_get(item, "replicas"))
                printf(" (one pod of %lld)",
                       (long long)json_integer_value(json_object_get(item, "replicas")));
        printf(": %s%s%s%s%s%s%s\n", colour_on(c), outcome, colour_off(c), reason ? ": " : "",
               reason ? reason : "", message ? ": " : "", message ? message : "");
        print_images(json_object_get(item, "images"));
        if (json_object_get(item, "requests"))
                print_amounts("asks for", json_object_get(item, "requests"), class ? class : "");
        if (json_object_get(item, "left"))
                print_amounts(good ? "leaves" : "there is", json_object_get(item, "left"), "");
        print_remarks(item);
}

static bool is_well(const json_t *item)
{
        const char *outcome = json_text_at(item, "outcome");
        const json_t *e;
        size_t i;

        json_array_foreach (json_object_get(item, "fields"), i, e)
                if (streq_null(json_text_at(e, "what"), "unknown"))
                        return false;
        return streq_null(outcome, "admitted") || streq_null(outcome, "nothing");
}

int verb_plan(struct invocation *in, struct err *err)
{
        const char *path = in->values[FLAG_FILENAME];
        json_auto_t *list = NULL, *answer = NULL;
        const json_t *items, *item;
        bool well = true;
        size_t i;

        if (!path) {
                err_set(err, -EINVAL, "usage: skiff plan -f FILE");
                return EXIT_USAGE;
        }
        if (manifest_read(path, in->namespace, &list, err) < 0 ||
            client_call(in->client, "POST", "/v1/plan", list, &answer, err) < 0)
                return EXIT_FAILED;
        items = json_object_get(answer, "items");
        json_array_foreach ((json_t *)items, i, item)
                well &= is_well(item);
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML) {
                if (output_tree(in->format, answer) < 0)
                        return EXIT_FAILED;
                return well ? EXIT_OK : EXIT_FAILED;
        }
        json_array_foreach ((json_t *)items, i, item)
                print_item(item);
        if (json_array_size(items) == 0)
                fprintf(stderr, "No objects in '%s'.\n", path);
        return well ? EXIT_OK : EXIT_FAILED;
}
