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
        const json_t *used_by = json_object_get(image, "usedBy");
        char size[32], shared[32], alone[32], short_id[16], users[300] = "";
        size_t i;

        size_format((uint64_t)json_integer_value(json_object_get(image, "size")), size);
        snprintf(short_id, sizeof short_id, "%.13s",
                 id && startswith(id, "sha256:") ? startswith(id, "sha256:") : "");
        size_format((uint64_t)json_integer_value(json_object_get(image, "sizeShared")), shared);
        size_format((uint64_t)json_integer_value(json_object_get(image, "sizeAlone")), alone);
        if (json_array_size(used_by) > 1)
                snprintf(users, sizeof users, "%.250s +%zu",
                         json_string_value(json_array_get(used_by, 0)),
                         json_array_size(used_by) - 1);
        else if (json_array_size(used_by))
                snprintf(users, sizeof users, "%.290s",
                         json_string_value(json_array_get(used_by, 0)));
        digest = json_string_value(json_array_get(json_object_get(image, "digests"), 0));
        json_array_foreach (names, i, name) {
                const char *text = json_string_value(name),
                           *colon = strrchr(text, strchr(text, '@') ? '@' : ':');
                _cleanup_free_ char *repository =
                        strndup(text, (size_t)((colon ? colon : text + strlen(text)) - text));
                const char *tag = colon && !strchr(text, '@') ? colon + 1 : "<none>";
                const char *const cells[] = { repository, tag,    wide ? id : short_id,
                                              size,       shared, alone,
                                              users,      digest };

                if (!repository || table_add(t, cells) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int get_images(struct invocation *in, json_t **ret, struct err *err)
{
        return client_call(in->client, "GET", "/v1/images", NULL, ret, err);
}

static int images_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *image;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, image)
                if (add_rows(t, image, in->format == OUTPUT_WIDE) < 0)
                        return -ENOMEM;
        return 0;
}

static void images_names(_unused_ struct invocation *in, const json_t *answer)
{
        const json_t *image;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, image)
                print_names(image);
}

int verb_images(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "IMAGE", "TAG", "IMAGE ID", "SIZE", NULL };
        static const char *const wide[] = { "IMAGE", "TAG",     "IMAGE ID", "SIZE", "SHARED",
                                            "ALONE", "USED BY", "DIGEST",   NULL };
        static const struct list_view view = { narrow,     wide,        "No images on this node.",
                                               get_images, images_rows, images_names };

        return list_show(in, &view, err);
}

/* "sha256:… 3.97MB docker.io/library/busybox:1.37" */
static void print_image(const json_t *image)
{
        json_t *names = json_object_get(image, "names");
        const json_t *e;
        char size[32];
        size_t i;

        printf("%s %s", json_text_at(image, "id"),
               size_format((uint64_t)json_integer_value(json_object_get(image, "size")), size));
        json_array_foreach (names, i, e)
                printf(" %s", json_string_value(e));
        printf("%s\n", names && !json_array_size(names) ? " <none>" : "");
        json_array_foreach (json_object_get(image, "refused"), i, e)
                fprintf(stderr, "skiff: a name in the archive was left out: %s\n",
                        json_string_value(e));
}

static int act(struct invocation *in, const char *path, json_t *body, struct err *err)
{
        json_auto_t *owned = body, *answer = NULL;
        const json_t *images, *image;
        size_t i;

        if (!owned) {
                err_sys(err, -ENOMEM, "ask skiffd");
                return EXIT_FAILED;
        }
        if (client_call(in->client, "POST", path, owned, &answer, err) < 0)
                return EXIT_FAILED;
        images = json_object_get(answer, "images");
        json_array_foreach ((json_t *)images, i, image)
                print_image(image);
        if (!images)
                print_image(answer);
        return EXIT_OK;
}

int verb_image_import(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *absolute = NULL;
        char here[PATH_MAX];
        json_t *body;

        if (in->words[0][0] == '/')
                absolute = strdup(in->words[0]);
        else if (getcwd(here, sizeof here))
                absolute = text_printf("%s/%s", here, in->words[0]);
        if (!absolute) {
                err_sys(err, -errno, "find '%s'", in->words[0]);
                return EXIT_FAILED;
        }
        body = json_pack("{s:s}", "path", absolute);
        if (in->n_words > 1)
                json_set_text(body, "name", in->words[1]);
        return act(in, "/v1/images/import", body, err);
}

int verb_image_pull(struct invocation *in, struct err *err)
{
        return act(in, "/v1/images/pull", json_pack("{s:s}", "image", in->words[0]), err);
}

int verb_image_prune(struct invocation *in, struct err *err)
{
        json_auto_t *body = json_object(), *answer = NULL;
        const json_t *image;
        size_t i;

        if (!body || client_call(in->client, "POST", "/v1/images/prune", body, &answer, err) < 0)
                return EXIT_FAILED;
        json_array_foreach (json_object_get(answer, "removed"), i, image)
                print_image(image);
        printf("removed %zu image%s\n", i, i == 1 ? "" : "s");
        return EXIT_OK;
}

int verb_image_rm(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *name = client_escape(in->words[0]);
        _cleanup_free_ char *path = name ? text_printf("/v1/images?name=%s", name) : NULL;

        if (!path || client_call(in->client, "DELETE", path, NULL, NULL, err) < 0)
                return EXIT_FAILED;
        printf("removed %s\n", in->words[0]);
        return EXIT_OK;
}
