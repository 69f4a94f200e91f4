/*
 * inspect, restart, stop.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

/* Path of the pod of the first word. @ret_container: of the word, of the second, or of the flag;
 * owned, NULL: none was named. */
static char *path_of(struct invocation *in, const char *what, json_t **ret_pod,
                     char **ret_container, struct err *err)
{
        const char *word = in->n_words > 1 ? in->words[1] : in->values[FLAG_CONTAINER], *name;
        json_t *pod = find_pod(in, in->words[0], ret_container, err);

        *ret_pod = pod;
        if (!pod)
                return NULL;
        if (word) {
                name = find_container(pod, word, err);
                if (!name || free_and_strdup(ret_container, name) < 0)
                        return NULL;
        }
        return text_printf("/v1/pods/%s/%s/%s", text_in(pod, "metadata", "namespace"),
                           text_in(pod, "metadata", "name"), what);
}

/* ---- inspect ---- */

static void print_list(const char *label, const json_t *list)
{
        const json_t *e;
        size_t i;

        json_array_foreach ((json_t *)list, i, e)
                printf("%-14s %s\n", i ? "" : label, json_string_value(e));
}

static void print_line(const char *label, const char *text)
{
        if (text && *text)
                printf("%-14s %s\n", label, text);
}

static void print_mounts(const json_t *list)
{
        const json_t *m;
        size_t i;

        json_array_foreach ((json_t *)list, i, m)
                printf("%-14s %s on %s (%s)\n", i ? "" : "Mounts:", json_text_at(m, "source"),
                       json_text_at(m, "destination"), json_text_at(m, "type"));
}

static void print_container(const json_t *o)
{
        const json_t *config = json_object_get(o, "config"),
                     *process = json_object_get(config, "process");
        _cleanup_free_ char *args = json_dumps(json_object_get(process, "args"), 0);
        const char *kind;
        json_t *ns;

        print_line("Container:", json_text_at(o, "name"));
        print_line("ID:", json_text_at(o, "id"));
        print_line("Image:", json_text_at(o, "image"));
        print_line("Log:", json_text_at(o, "logPath"));
        if (json_integer_value(json_object_get(o, "pid")))
                printf("%-14s %lld\n",
                       "Process:", (long long)json_integer_value(json_object_get(o, "pid")));
        print_line("Cgroup:", json_text_at(o, "cgroup"));
        print_line("Command:", args);
        print_line("Directory:", json_text_at(process, "cwd"));
        print_list("Environment:", json_object_get(process, "env"));
        print_list("Capabilities:", json_path(process, "capabilities", "effective", NULL));
        print_mounts(json_object_get(config, "mounts"));
        json_object_foreach (json_object_get(o, "namespaces"), kind, ns)
                printf("%-14s %s\n", "Namespace:", json_string_value(ns));
}

int verb_inspect(struct invocation *in, struct err *err)
{
        json_auto_t *pod = NULL, *answer = NULL;
        _cleanup_free_ char *container = NULL,
                            *path = path_of(in, "inspect", &pod, &container, err), *whole = NULL;

        if (!path)
                return EXIT_FAILED;
        whole = text_printf("%s?container=%s", path, container ? container : "");
        if (!whole || client_call(in->client, "GET", whole, NULL, &answer, err) < 0)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, answer) < 0 ? EXIT_FAILED : EXIT_OK;
        print_container(answer);
        return EXIT_OK;
}

/* ---- restart, stop ---- */

int verb_restart(struct invocation *in, struct err *err)
{
        json_auto_t *pod = NULL, *answer = NULL, *body = json_object();
        _cleanup_free_ char *container = NULL,
                            *path = path_of(in, "restart", &pod, &container, err);
        long long n;

        if (!path || !body)
                return EXIT_FAILED;
        json_set_text(body, "container", container);
        if (client_call(in->client, "POST", path, body, &answer, err) < 0)
                return EXIT_FAILED;
        n = (long long)json_integer_value(json_object_get(answer, "restarted"));
        printf("restarting %lld container%s of %s/%s\n", n, n == 1 ? "" : "s",
               text_in(pod, "metadata", "namespace"), text_in(pod, "metadata", "name"));
        return EXIT_OK;
}

int verb_stop(struct invocation *in, struct err *err)
{
        json_auto_t *pod = NULL;
        _cleanup_free_ char *container = NULL, *path = path_of(in, "stop", &pod, &container, err);

        if (!path || client_call(in->client, "POST", path, NULL, NULL, err) < 0)
                return EXIT_FAILED;
        printf("stopping %s/%s\n", text_in(pod, "metadata", "namespace"),
               text_in(pod, "metadata", "name"));
        return EXIT_OK;
}
