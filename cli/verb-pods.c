#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/verbs.h"

const char *text_in(const json_t *o, const char *a, const char *b)
{
        const char *s = json_string_value(json_path(o, a, b, NULL));

        return s ? s : "";
}

static int get_pods(struct invocation *in, json_t **ret, struct err *err)
{
        _cleanup_free_ char *escaped = in->namespace ? client_escape(in->namespace) : NULL;
        _cleanup_free_ char *path = escaped ? text_printf("/v1/pods?namespace=%s", escaped)
                                            : strdup("/v1/pods");

        return path ? client_call(in->client, "GET", path, NULL, ret, err)
                    : err_sys(err, -ENOMEM, "ask for pods");
}

/* ---- summary ---- */

usec_t time_at(const json_t *o, const char *key)
{
        const char *text = json_text_at(o, key);
        usec_t t;

        return text && time_parse(text, &t) == 0 ? t : 0;
}

/* What the state of one container says in a word; NULL: nothing worth a word. */
static const char *state_word(const json_t *status)
{
        const json_t *waiting = json_path(status, "state", "waiting", NULL);
        const json_t *terminated = json_path(status, "state", "terminated", NULL);
        const char *reason = json_text_at(waiting ? waiting : terminated, "reason");

        return reason && *reason ? reason : NULL;
}

struct counts {
        size_t ready, total, running;
        long long restarts;
        usec_t last_restart;
};

static void count(const json_t *list, struct counts *c)
{
        const json_t *s;
        size_t i;

        json_array_foreach ((json_t *)list, i, s) {
                usec_t finished = time_at(json_path(s, "lastState", "terminated", NULL),
                                          "finishedAt");

                c->restarts += json_integer_value(json_object_get(s, "restartCount"));
                c->ready += json_is_true(json_object_get(s, "ready"));
                c->running += json_path(s, "state", "running", NULL) != NULL;
                c->last_restart = MAX(c->last_restart, finished);
        }
}

/* "Init:1/2", "Init:CrashLoopBackOff" while init containers are not through; false when they are.
 */
static bool init_word(const json_t *pod, char reason[static 64])
{
        const json_t *list = json_path(pod, "status", "initContainerStatuses", NULL), *s;
        size_t i, total = json_array_size(json_path(pod, "spec", "initContainers", NULL));

        json_array_foreach ((json_t *)list, i, s) {
                const json_t *terminated = json_path(s, "state", "terminated", NULL);
                const char *word = state_word(s);

                if (terminated && json_integer_value(json_object_get(terminated, "exitCode")) == 0)
                        continue;
                if (json_is_true(json_object_get(s, "started")) &&
                    json_path(s, "state", "running", NULL) &&
                    json_is_true(json_object_get(s, "ready")))
                        continue; /* a sidecar */
                if (word && !streq(word, "PodInitializing"))
                        snprintf(reason, 64, "Init:%s", word);
                else
                        snprintf(reason, 64, "Init:%zu/%zu", i, total);
                return true;
        }
        return false;
}

void pod_summary(const json_t *pod, char ready[static 16], char reason[static 64],
                 char restarts[static 64], usec_t now)
{
        const json_t *status = json_object_get(pod, "status"),
                     *list = json_object_get(status, "containerStatuses"), *s;
        const char *phase = json_text_at(status, "phase"), *own = json_text_at(status, "reason");
        struct counts c = { .total = json_array_size(json_path(pod, "spec", "containers", NULL)) };
        size_t i;

        count(list, &c);
        snprintf(ready, 16, "%zu/%zu", c.ready, c.total);
        snprintf(reason, 64, "%s", own && *own ? own : phase ? phase : "Unknown");
        if (!init_word(pod, reason))
                json_array_foreach ((json_t *)list, i, s) {
                        const char *word = state_word(s);

                        if (!word || (c.running && streq(word, "Completed")))
                                continue;
                        snprintf(reason, 64, "%s", word);
                        break; /* the first container that has something to say, as in kubectl */
                }
        if (json_path(pod, "metadata", "deletionTimestamp", NULL))
                snprintf(reason, 64, "Terminating");
        if (c.restarts && c.last_restart && now > c.last_restart) {
                char age[32];

                snprintf(restarts, 64, "%lld (%s ago)", c.restarts,
                         age_format(now - c.last_restart, age));
        } else {
                snprintf(restarts, 64, "%lld", c.restarts);
        }
}

/* ---- pods ---- */

static int add_row(struct table *t, const struct invocation *in, const json_t *pod)
{
        char ready[16], reason[64], restarts[64], age[32];
        usec_t created = time_at(json_object_get(pod, "metadata"), "creationTimestamp");
        const char *cells[8] = { text_in(pod, "metadata", "namespace"),
                                 text_in(pod, "metadata", "name"),
                                 ready,
                                 reason,
                                 restarts,
                                 age };

        pod_summary(pod, ready, reason, restarts, now_realtime());
        if (!created)
                created = time_at(json_object_get(pod, "status"), "startTime");
        age_since(created, age);
        if (in->format == OUTPUT_WIDE) {
                cells[6] = text_in(pod, "status", "podIP");
                cells[7] = text_in(pod, "metadata", "uid");
        }
        if (table_add(t, cells) < 0)
                return -ENOMEM;
        table_set_colour(t, 3, status_colour(reason));
        return 0;
}

enum colour status_colour(const char *reason)
{
        static const char *const good[] = { "Running", "Completed", "Succeeded", NULL };
        static const char *const passing[] = { "Pending", "ContainerCreating", "PodInitializing",
                                               "Terminating", NULL };

        if (strv_contains((char *const *)good, reason))
                return COLOUR_GOOD;
        if (strv_contains((char *const *)passing, reason))
                return COLOUR_WARNING;
        if (startswith(reason, "Init:"))
                return reason[5] >= '0' && reason[5] <= '9' ? COLOUR_WARNING : COLOUR_BAD;
        return COLOUR_BAD;
}

static int pods_rows(struct invocation *in, const json_t *answer, struct table *t)
{
        const json_t *pod;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, pod)
                if (add_row(t, in, pod) < 0)
                        return -ENOMEM;
        return 0;
}

static void pods_names(_unused_ struct invocation *in, const json_t *answer)
{
        const json_t *pod;
        size_t i;

        json_array_foreach (json_object_get(answer, "items"), i, pod)
                printf("%s/%s\n", text_in(pod, "metadata", "namespace"),
                       text_in(pod, "metadata", "name"));
}

int verb_pods(struct invocation *in, struct err *err)
{
        static const char *const narrow[] = { "NAMESPACE", "NAME", "READY", "STATUS",
                                              "RESTARTS",  "AGE",  NULL };
        static const char *const wide[] = { "NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS",
                                            "AGE",       "IP",   "UID",   NULL };
        _cleanup_free_ char *none = in->namespace
                                            ? text_printf("No pods in namespace '%s' on this node.",
                                                          in->namespace)
                                            : strdup("No pods on this node.");
        const struct list_view view = { narrow, wide, none, get_pods, pods_rows, pods_names, 2, 3 };

        return list_show(in, &view, err);
}

/* ---- one pod ---- */

static bool word_means(const char *word, const json_t *pod, bool exact)
{
        const char *namespace = text_in(pod, "metadata", "namespace"),
                   *name = text_in(pod, "metadata", "name");
        _cleanup_free_ char *full = text_printf("%s/%s", namespace, name);

        if (!full)
                return false;
        if (exact)
                return streq(word, full) || streq(word, name);
        return startswith(full, word) || startswith(name, word);
}

static void refuse_ambiguous(const char *word, const json_t *pods, struct err *err)
{
        enum { NAMED_MAX = 5 };
        _cleanup_strbuf_ struct strbuf b = { 0 };
        const json_t *pod;
        size_t i, n = 0;

        json_array_foreach ((json_t *)pods, i, pod) {
                if (!word_means(word, pod, true) && !word_means(word, pod, false))
                        continue;
                if (n++ < NAMED_MAX)
                        strbuf_addf(&b, "%s%s/%s", n > 1 ? ", " : "",
                                    text_in(pod, "metadata", "namespace"),
                                    text_in(pod, "metadata", "name"));
        }
        err_set(err, -ENOTUNIQ, "'%s' may be %s%s: write more of the name", word,
                b.data ? b.data : "several pods", n > NAMED_MAX ? " or others" : "");
}

/* "ns/pod/container" without its last part, which is what the pod is called then. */
static char *pod_part(const char *word, const char **ret_container)
{
        const char *first = strchr(word, '/'), *second = first ? strchr(first + 1, '/') : NULL;

        *ret_container = second ? second + 1 : NULL;
        return second ? strndup(word, (size_t)(second - word)) : strdup(word);
}

static json_t *choose_pod(struct invocation *in, const char *word, struct err *err)
{
        json_auto_t *list = NULL;
        const json_t *pod;
        json_t *found = NULL;
        size_t i, n = 0;

        if (get_pods(in, &list, err) < 0)
                return NULL;
        for (int exact = 1; exact >= 0 && n == 0 && *word; exact--)
                json_array_foreach (json_object_get(list, "items"), i, pod)
                        if (word_means(word, pod, exact)) {
                                found = (json_t *)pod;
                                n++;
                        }
        if (n == 1)
                return json_incref(found);
        if (n)
                refuse_ambiguous(word, json_object_get(list, "items"), err);
        else if (in->namespace)
                err_set(err, -ENOENT, "no pod '%s' in namespace '%s' on this node", word,
                        in->namespace);
        else
                err_set(err, -ENOENT, "no pod '%s' on this node", word);
        return NULL;
}

const char *find_container(const json_t *pod, const char *word, struct err *err)
{
        static const char *const lists[] = { "initContainers", "containers",
                                             "ephemeralContainers" };
        const char *found = NULL;
        size_t n = 0;

        for (int exact = 1; exact >= 0 && n == 0; exact--)
                for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
                        const json_t *c;
                        size_t i;

                        json_array_foreach ((json_t *)json_path(pod, "spec", lists[k], NULL), i,
                                            c) {
                                const char *name = json_text_at(c, "name");

                                if (!name ||
                                    !(exact ? streq(name, word) : startswith(name, word) != NULL))
                                        continue;
                                found = name;
                                n++;
                        }
                }
        if (n == 1)
                return found;
        err_set(err, n ? -ENOTUNIQ : -ENOENT, "%s container '%s' in pod %s/%s%s",
                n ? "several containers begin with" : "no", word,
                text_in(pod, "metadata", "namespace"), text_in(pod, "metadata", "name"),
                n ? ": write more of the name" : "");
        return NULL;
}

json_t *find_pod(struct invocation *in, const char *word, char **ret_container, struct err *err)
{
        const char *container = NULL, *name;
        _cleanup_free_ char *part = ret_container ? pod_part(word, &container) : strdup(word);
        json_auto_t *pod = part ? choose_pod(in, part, err) : NULL;

        if (ret_container)
                *ret_container = NULL;
        if (!pod || !container)
                return TAKE_PTR(pod);
        name = find_container(pod, container, err);
        if (!name)
                return NULL;
        *ret_container = strdup(name);
        return *ret_container ? TAKE_PTR(pod) : NULL;
}

json_t *get_pod(struct invocation *in, const char *word, struct err *err)
{
        json_auto_t *listed = find_pod(in, word, NULL, err);
        _cleanup_free_ char *path = NULL;
        json_t *pod = NULL;

        if (!listed)
                return NULL;
        path = text_printf("/v1/pods/%s/%s", text_in(listed, "metadata", "namespace"),
                           text_in(listed, "metadata", "name"));
        return path && client_call(in->client, "GET", path, NULL, &pod, err) == 0 ? pod : NULL;
}

/* A container that never started has no time of it. */
static void print_span(const json_t *terminated)
{
        const char *from = json_text_at(terminated, "startedAt"),
                   *to = json_text_at(terminated, "finishedAt");

        if (from && !startswith(from, "1970-01-01T00:00:00"))
                printf(", %s to %s", from, to ? to : "?");
        else if (to)
                printf(", at %s", to);
}

static void print_terminated(const char *label, const json_t *state)
{
        const char *reason = json_text_at(state, "reason"),
                   *message = json_text_at(state, "message");

        printf("    %-14s Terminated: %s, exit code %lld", label, reason ? reason : "?",
               (long long)json_integer_value(json_object_get(state, "exitCode")));
        print_span(state);
        printf("%s%s\n", message ? "\n                   " : "", message ? message : "");
}

static void print_state(const char *label, const json_t *state)
{
        const json_t *running = json_object_get(state, "running"),
                     *waiting = json_object_get(state, "waiting");
        const json_t *terminated = json_object_get(state, "terminated");

        if (running)
                printf("    %-14s Running since %s\n", label, json_text_at(running, "startedAt"));
        if (waiting)
                printf("    %-14s Waiting: %s%s%s\n", label, json_text_at(waiting, "reason"),
                       json_text_at(waiting, "message") ? ": " : "",
                       json_text_at(waiting, "message") ? json_text_at(waiting, "message") : "");
        if (terminated)
                print_terminated(label, terminated);
}

static void print_containers(const char *title, const json_t *list)
{
        const json_t *c;
        size_t i;

        if (json_array_size(list))
                printf("%s:\n", title);
        json_array_foreach ((json_t *)list, i, c) {
                const char *id = json_text_at(c, "containerID");

                printf("  %s\n", json_text_at(c, "name"));
                printf("    %-14s %s\n",
                       "Image:", json_text_at(c, "image") ? json_text_at(c, "image") : "");
                if (id && *id)
                        printf("    %-14s %s\n", "Container ID:", id);
                print_state("State:", json_object_get(c, "state"));
                print_state("Last state:", json_object_get(c, "lastState"));
                printf("    %-14s %s\n",
                       "Ready:", json_is_true(json_object_get(c, "ready")) ? "True" : "False");
                printf("    %-14s %lld\n", "Restarts:",
                       (long long)json_integer_value(json_object_get(c, "restartCount")));
        }
}

static void print_conditions(const json_t *list)
{
        const json_t *c;
        size_t i;

        if (json_array_size(list))
                printf("Conditions:\n");
        json_array_foreach ((json_t *)list, i, c) {
                const char *message = json_text_at(c, "message");

                const char *reason = json_text_at(c, "reason");

                printf("  %-28s %s", json_text_at(c, "type"), json_text_at(c, "status"));
                if (reason && *reason)
                        printf("%*s%s", (int)(7 - strlen(json_text_at(c, "status"))), "", reason);
                printf("%s%s\n", message && *message ? ": " : "", message ? message : "");
        }
}

static void print_timeline(const json_t *ours)
{
        const json_t *step;
        size_t i;

        printf("Steps:\n");
        json_array_foreach (json_object_get(ours, "timeline"), i, step) {
                const char *container = json_text_at(step, "container");

                printf("  %s  %s%s%s%s\n", json_text_at(step, "time"), json_text_at(step, "step"),
                       container ? " (" : "", container ? container : "", container ? ")" : "");
        }
        if (json_text_at(ours, "volumes"))
                printf("Volumes:       %s\n", json_text_at(ours, "volumes"));
}

static void print_pod(const json_t *pod)
{
        const json_t *status = json_object_get(pod, "status");
        char ready[16], reason[64], restarts[64];

        pod_summary(pod, ready, reason, restarts, now_realtime());
        printf("Name:          %s\n", text_in(pod, "metadata", "name"));
        printf("Namespace:     %s\n", text_in(pod, "metadata", "namespace"));
        printf("UID:           %s\n", text_in(pod, "metadata", "uid"));
        printf("Status:        %s (phase %s, %s ready)\n", reason,
               json_text_at(status, "phase") ? json_text_at(status, "phase") : "?", ready);
        if (json_text_at(status, "message"))
                printf("Message:       %s\n", json_text_at(status, "message"));
        printf("IP:            %s\n", text_in(pod, "status", "podIP"));
        printf("Started:       %s\n", text_in(pod, "status", "startTime"));
        print_containers("Init containers", json_object_get(status, "initContainerStatuses"));
        print_containers("Containers", json_object_get(status, "containerStatuses"));
        print_containers("Ephemeral containers",
                         json_object_get(status, "ephemeralContainerStatuses"));
        print_conditions(json_object_get(status, "conditions"));
        print_timeline(json_object_get(pod, "skiff"));
}

int verb_pod(struct invocation *in, struct err *err)
{
        json_auto_t *pod = get_pod(in, in->words[0], err);

        if (!pod)
                return EXIT_FAILED;
        if (in->format == OUTPUT_JSON || in->format == OUTPUT_YAML)
                return output_tree(in->format, pod) < 0 ? EXIT_FAILED : EXIT_OK;
        if (in->format == OUTPUT_NAME)
                printf("%s/%s\n", text_in(pod, "metadata", "namespace"),
                       text_in(pod, "metadata", "name"));
        else
                print_pod(pod);
        return EXIT_OK;
}
