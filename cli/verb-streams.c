/*
 * logs, exec and attach: what comes as a stream.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "base/usec.h"
#include "cli/session.h"
#include "cli/verbs.h"

/* As kubectl: says which container it is when the pod has several and none was named. */
static void tell_default(const json_t *pod)
{
        static const struct {
                const char *list, *mark;
        } kinds[] = { { "containers", "" },
                      { "ephemeralContainers", " (ephem)" },
                      { "initContainers", " (init)" } };
        _cleanup_strbuf_ struct strbuf all = { 0 };
        const char *first = NULL;
        const json_t *c;
        size_t i, n = 0;

        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
                json_array_foreach ((json_t *)json_path(pod, "spec", kinds[k].list, NULL), i, c) {
                        const char *name = json_text_at(c, "name");

                        first = first ? first : name;
                        strbuf_addf(&all, "%s%s%s", n++ ? ", " : "", name, kinds[k].mark);
                }
        if (n > 1 && all.data)
                fprintf(stderr, "Defaulted container \"%s\" out of: %s\n", first, all.data);
}

/**
 * pod_path() - where the pod of the first word is asked
 * @container: as the user named it; NULL: not by a flag or word of its own
 * @ret_container: its whole name, owned; NULL: the pod's first is meant
 */
static char *pod_path(struct invocation *in, const char *what, const char *container,
                      char **ret_container, struct err *err)
{
        json_auto_t *pod = find_pod(in, in->words[0], ret_container, err);
        const char *name;

        if (!pod)
                return NULL;
        if (container) {
                name = find_container(pod, container, err);
                if (!name || free_and_strdup(ret_container, name) < 0)
                        return NULL;
        }
        if (!*ret_container)
                tell_default(pod);
        return text_printf("/v1/pods/%s/%s/%s", text_in(pod, "metadata", "namespace"),
                           text_in(pod, "metadata", "name"), what);
}

static int on_log(const void *data, size_t n, _unused_ void *userdata)
{
        return fs_write_all(STDOUT_FILENO, data, n);
}

static int add_query(struct strbuf *b, const char *key, const char *value)
{
        _cleanup_free_ char *escaped = client_escape(value);

        if (!escaped)
                return -ENOMEM;
        strbuf_addf(b, "%s%s=%s", strchr(b->data, '?') ? "&" : "?", key, escaped);
        return 0;
}

int verb_logs(struct invocation *in, struct err *err)
{
        const char *tail_text = in->values[FLAG_TAIL], *since_text = in->values[FLAG_SINCE];
        _cleanup_strbuf_ struct strbuf path = { 0 };
        _cleanup_free_ char *base = NULL, *container = NULL;
        int64_t tail = -1;
        usec_t since;

        if (tail_text && (text_to_i64(tail_text, &tail) < 0 || tail < -1)) {
                err_set(err, -EINVAL, "--tail: '%s': expected a number of lines, or -1 for all",
                        tail_text);
                return EXIT_USAGE;
        }
        base = pod_path(in, "log", in->n_words > 1 ? in->words[1] : in->values[FLAG_CONTAINER],
                        &container, err);
        if (!base)
                return EXIT_FAILED;
        strbuf_add(&path, base);
        if (container)
                add_query(&path, "container", container);
        if (has_flag(in, FLAG_FOLLOW))
                add_query(&path, "follow", "true");
        if (has_flag(in, FLAG_PREVIOUS))
                add_query(&path, "previous", "true");
        if (has_flag(in, FLAG_TIMESTAMPS))
                add_query(&path, "timestamps", "true");
        if (tail >= 0)
                add_query(&path, "tailLines", tail_text);
        if (since_text) {
                char seconds[24];

                if (duration_parse(since_text, &since) < 0) {
                        err_set(err, -EINVAL, "--since: '%s': expected a duration such as 5m",
                                since_text);
                        return EXIT_USAGE;
                }
                snprintf(seconds, sizeof seconds, "%llu",
                         (unsigned long long)((since + USEC_PER_SEC - 1) / USEC_PER_SEC));
                add_query(&path, "sinceSeconds", seconds);
        }
        if (path.failed) {
                err_sys(err, -ENOMEM, "ask for logs");
                return EXIT_FAILED;
        }
        return client_stream(in->client, "GET", path.data, NULL, on_log, NULL, err) < 0
                       ? EXIT_FAILED
                       : EXIT_OK;
}

/* ---- exec, attach ---- */

/* As kubectl: without a terminal of our own there is none in the container. */
static bool wants_terminal(struct invocation *in)
{
        if (!has_flag(in, FLAG_TTY) || !has_flag(in, FLAG_STDIN))
                return false;
        if (isatty(STDIN_FILENO) == 1)
                return true;
        fprintf(stderr, "Unable to use a TTY - input is not a terminal\n");
        return false;
}

static int run_session(struct invocation *in, const char *what, struct err *err)
{
        _cleanup_free_ char *container = NULL;
        _cleanup_free_ char *base = pod_path(in, what, in->values[FLAG_CONTAINER], &container, err);
        _cleanup_strbuf_ struct strbuf path = { 0 };
        struct session_options o = { .socket = client_socket(in->client),
                                     .in = has_flag(in, FLAG_STDIN),
                                     .tty = wants_terminal(in) };
        int exit_code;

        if (!base)
                return EXIT_FAILED;
        strbuf_addf(&path, "%s?output=1%s%s", base, o.in ? "&input=1" : "",
                    o.tty ? "&tty=1" : "&error=1");
        for (size_t i = 1; i < in->n_words; i++)
                add_query(&path, "command", in->words[i]);
        if (container)
                add_query(&path, "container", container);
        if (path.failed) {
                err_sys(err, -ENOMEM, "ask skiffd");
                return EXIT_FAILED;
        }
        o.path = path.data;
        return session_run(&o, &exit_code, err) < 0 ? EXIT_FAILED : exit_code;
}

int verb_exec(struct invocation *in, struct err *err)
{
        return run_session(in, "exec", err);
}

int verb_attach(struct invocation *in, struct err *err)
{
        return run_session(in, "attach", err);
}
