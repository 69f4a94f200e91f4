#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

struct walk {
        struct table *table;
        const json_t *given;
        const char *file;
        int r;
};

/* Is @path, or something above or below it, among those that the file sets? */
static bool is_given(const json_t *given, const char *path)
{
        const json_t *e;
        size_t i, n = strlen(path);

        json_array_foreach ((json_t *)given, i, e) {
                const char *g = json_string_value(e);
                size_t k = strlen(g);

                if (strncmp(g, path, MIN(n, k)) == 0 &&
                    (n == k || (n < k && g[n] == '.') || (k < n && path[k] == '.')))
                        return true;
        }
        return false;
}

static void add_setting(struct walk *w, const char *path, const json_t *value)
{
        char *text = json_is_string(value) ? strdup(json_string_value(value))
                                           : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        bool given = is_given(w->given, path);
        const char *const cells[] = { path, text, given ? w->file : "default" };

        if (w->r == 0)
                w->r = text ? table_add(w->table, cells) : -ENOMEM;
        if (w->r == 0 && !given)
                table_set_colour(w->table, 2, COLOUR_DIM);
        free(text);
}

static void walk(struct walk *w, const char *path, const json_t *value)
{
        const char *key;
        json_t *member;

        if (!json_is_object(value) || json_object_size(value) == 0) {
                add_setting(w, path, value);
                return;
        }
        json_object_foreach ((json_t *)value, key, member) {
                _cleanup_free_ char *below = text_printf("%s%s%s", path, *path ? "." : "", key);

                if (!below)
                        w->r = -ENOMEM;
                else
                        walk(w, below, member);
        }
}

static int add_options(struct table *t, const json_t *list)
{
        const json_t *o;
        size_t i;

        json_array_foreach ((json_t *)list, i, o) {
                _cleanup_free_ char *name = text_printf("--%s", json_text_at(o, "name"));
                const char *value = json_text_at(o, "value");
                bool given = json_is_true(json_object_get(o, "given"));
                const char *const cells[] = { name, value ? value : "(none)",
                                              given ? "command line" : "default" };

                if (!name || table_add(t, cells) < 0)
                        return -ENOMEM;
                if (!given)
                        table_set_colour(t, 2, COLOUR_DIM);
        }
        return 0;
}

static int get_config(struct invocation *in, json_t **ret, struct err *err)
{
        return client_call(in->client, "GET", "/v1/config", NULL, ret, err);
}

static int config_rows(_unused_ struct invocation *in, const json_t *answer, struct table *t)
{
        const char *file = json_text_at(answer, "file");
        struct walk w = { .table = t,
                          .given = json_object_get(answer, "given"),
                          .file = file ? file : "?" };

        walk(&w, "", json_object_get(answer, "kubeletconfig"));
        return w.r < 0 ? w.r : add_options(t, json_object_get(answer, "options"));
}

int verb_config(struct invocation *in, struct err *err)
{
        static const char *const headings[] = { "SETTING", "VALUE", "FROM", NULL };
        static const struct list_view view = {
                headings, NULL, NULL, get_config, config_rows, NULL
        };

        return list_show(in, &view, err);
}
