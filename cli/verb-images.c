#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "cli/verbs.h"

/* What an image is called: its tags, or else its digests, or else its id alone. New reference. */
static json_t *names_of(const json_t *image)
{
        json_t *tags = json_object_get(image, "tags"), *digests = json_object_get(image, "digests");

        if (json_array_size(tags))
                return json_incref(tags);
        if (json_array_size(digests))
                return json_incref(digests);
        return json_pack("[s]", "<none>");
}

static void print_names(const json_t *image)
{
        json_auto_t *names = names_of(image);
        const json_t *name;
        size_t i;

        json_array_foreach (names, i, name)
                printf("%s\n", streq(json_string_value(name), "<none>") ? json_text_at(image, "id")
                                                                        : json_string_value(name));
}

/* One row per name. */
static int add_rows(struct table *t, const json_t *image, bool wide)
{
        json_auto_t *names = names_of(image);
        const char *id = json_text_at(image, "id"), *digest;
        const json_t *name;
        char size[32], short_id[16];
        size_t i;

        size_format((uint64_t)json_integer_value(json_object_get(image, "size")), size);
        snprintf(short_id, sizeof short_id, "%.13s",
                 id && startswith(id, "sha256:") ? startswith(id, "sha256:") : "");
        digest = json_string_value(json_array_get(json_object_get(image, "digests"), 0));
        json_array_foreach (names, i, name) {
                const char *text = json_string_value(name),
                           *colon = strrchr(text, strchr(text, '@') ? '@' : ':');
                _cleanup_free_ char *repository =
                        strndup(text, (size_t)((colon ? colon : text + strlen(text)) - text));
                const char *tag = colon && !strchr(text, '@') ? colon + 1 : "<none>";
                const char *const cells[] = { repository, tag, wide ? id : short_id, size, digest };

                if (!repository || table_add(t, cells) < 0)
                        return -ENOMEM;
        }
        return 0;
}

int verb_images(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "IMAGE", "TAG", "IMAGE ID", "SIZE", NULL };
        static const char *const wide[] = { "IMAGE", "TAG", "IMAGE ID", "SIZE", "DIGEST", NULL };
        const bool is_wide = in->format == OUTPUT_WIDE;
        json_auto_t *list = NULL;
        const json_t *image, *items;
        struct table *t;
        size_t i;

        if (client_call(in->client, "GET", "/v1/images", NULL, &list, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, list) < 0 ? EXIT_FAILED : EXIT_OK;
        items = json_object_get(list, "items");
        if (in->format == OUTPUT_NAME) {
                json_array_foreach ((json_t *)items, i, image)
                        print_names(image);
                return EXIT_OK;
        }
        if (!json_array_size(items)) {
                fprintf(stderr, "No images on this node.\n");
                return EXIT_OK;
        }
        t = table_new(is_wide ? wide : narrow, !in->no_headers);
        if (!t)
                return EXIT_FAILED;
        json_array_foreach ((json_t *)items, i, image)
                if (add_rows(t, image, is_wide) < 0)
                        break;
        table_print(t);
        table_free(t);
        return EXIT_OK;
}

static int act(struct invocation *in, const char *path, json_t *body, struct err *err)
{
        json_auto_t *owned = body, *answer = NULL;
        char size[32];

        if (!owned) {
                err_sys(err, -ENOMEM, "ask skiffd");
                return EXIT_FAILED;
        }
        if (client_call(in->client, "POST", path, owned, &answer, err) < 0)
                return EXIT_FAILED;
        printf("%s %s\n", json_text_at(answer, "id"),
               size_format((uint64_t)json_integer_value(json_object_get(answer, "size")), size));
        return EXIT_OK;
}

static int import(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *absolute = NULL;
        char here[PATH_MAX];
        json_t *body;

        if (in->words[1][0] == '/')
                absolute = strdup(in->words[1]);
        else if (getcwd(here, sizeof here))
                absolute = text_printf("%s/%s", here, in->words[1]);
        if (!absolute) {
                err_sys(err, -errno, "find '%s'", in->words[1]);
                return EXIT_FAILED;
        }
        body = json_pack("{s:s}", "path", absolute);
        if (in->n_words > 2)
                json_set_text(body, "name", in->words[2]);
        return act(in, "/v1/images/import", body, err);
}

static int remove_image(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *name = client_escape(in->words[1]);
        _cleanup_free_ char *path = name ? text_printf("/v1/images?name=%s", name) : NULL;

        if (!path || client_call(in->client, "DELETE", path, NULL, NULL, err) < 0)
                return EXIT_FAILED;
        printf("removed %s\n", in->words[1]);
        return EXIT_OK;
}

int verb_image(struct invocation *in, struct err *err)
{
        if (streq(in->words[0], "pull") && in->n_words == 2)
                return act(in, "/v1/images/pull", json_pack("{s:s}", "image", in->words[1]), err);
        if (streq(in->words[0], "import"))
                return import(in, err);
        if (streq(in->words[0], "rm") && in->n_words == 2)
                return remove_image(in, err);
        err_set(err, -EINVAL, "usage: skiff image pull NAME | import FILE [NAME] | rm NAME");
        return EXIT_USAGE;
}
