#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

static int get_containers(struct invocation *in, json_t **ret, struct err *err)
{
        json_auto_t *pod = NULL;
        _cleanup_strbuf_ struct strbuf path = { 0 };

        strbuf_add(&path, "/v1/containers");
        if (in->n_words) {
                pod = find_pod(in, in->words[0], NULL, err);
                if (!pod)
                        return -ENOENT;
                strbuf_addf(&path, "?namespace=%s&pod=%s", text_in(pod, "metadata", "namespace"),
                            text_in(pod, "metadata", "name"));
        } else if (in->namespace) {
                _cleanup_free_ char *escaped = client_escape(in->namespace);

                strbuf_addf(&path, "?namespace=%s", escaped ? escaped : "");
        }
        return path.failed ? err_sys(err, -ENOMEM, "ask for containers")
                           : client_call(in->client, "GET", path.data, NULL, ret, err);
}

/* "Running", "CrashLoopBackOff", "Completed": the word for a state. */
static const char *state_word(const json_t *state)
{
        static const char *const kinds[] = { "waiting", "terminated" };

        if (json_object_get(state, "running"))
                return "Running";
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                const char *reason = json_text_at(json_object_get(state, kinds[i]), "reason");

                if (reason)
                        return reason;
        }
        return "Waiting";
}

/* "Error (1)": how the run before ended. */
static void last_end(const json_t *c, char out[static 64])
{
        const json_t *t = json_path(c, "lastState", "terminated", NULL);
        const char *reason = json_text_at(t, "reason");

        snprintf(out, 64, "%s", "");
        if (t)
                snprintf(out, 64, "%s (%lld)", reason ? reason : "?",
                         (long long)json_integer_value(json_object_get(t, "exitCode")));
}

static int container_row(struct invocation *in, const json_t *c, struct table *t)
{
        const char *id = json_text_at(c, "id"), *word = state_word(json_object_get(c, "state"));
        const json_t *running = json_path(c, "state", "running", NULL),
                     *ended = json_path(c, "state", "terminated", NULL);
        usec_t at = running ? time_at(running, "startedAt") : time_at(ended, "finishedAt");
        char age[32], restarts[24], last[64], pid[24] = "", short_id[16];
        const char *const cells[] = { json_text_at(c, "namespace"),
                                      json_text_at(c, "pod"),
                                      json_text_at(c, "name"),
                                      word,
                                      restarts,
                                      last,
                                      age_since(at, age),
                                      json_text_at(c, "image"),
                                      short_id,
                                      pid,
                                      json_text_at(c, "logPath") };

        last_end(c, last);
        snprintf(short_id, sizeof short_id, "%.13s", id ? id : "");
        snprintf(restarts, sizeof restarts, "%lld",
                 (long long)json_integer_value(json_object_get(c, "restartCount")));
        if (json_integer_value(json_object_get(c, "pid")))
                snprintf(pid, sizeof pid, "%lld",
                         (long long)json_integer_value(json_object_get(c, "pid")));
        if (table_add(t, cells) < 0)
                return -ENOMEM;
        table_set_colour(t, 3, status_colour(word));
        (void)in;
        return 0;
}

static int containers_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, c)
                if (container_row(in, c, t) < 0)
                        return -ENOMEM;
        return 0;
}

static void containers_names(_unused_ struct invocation *in, const json_t *answer)
{
        const json_t *c;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, c)
                printf("%s/%s/%s\n", json_text_at(c, "namespace"), json_text_at(c, "pod"),
                       json_text_at(c, "name"));
}

int verb_containers(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "NAMESPACE", "POD", "CONTAINER", "STATE", "RESTARTS",
                                              "LAST END",  "AGE", "IMAGE",     NULL };
        static const char *const wide[] = { "NAMESPACE", "POD",      "CONTAINER", "STATE",
                                            "RESTARTS",  "LAST END", "AGE",       "IMAGE",
                                            "ID",        "PID",      "LOG",       NULL };
        static const struct list_view view = { narrow,
                                               wide,
                                               "No containers on this node.",
                                               get_containers,
                                               containers_rows,
                                               containers_names,
                                               3,
                                               3 };

        return list_show(in, &view, err);
}
