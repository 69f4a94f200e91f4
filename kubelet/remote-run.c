#include "kubelet/remote-run.h"

#include <errno.h>
#include <string.h>

#include "base/list.h"
#include "base/text.h"

enum {
        RUNS_MAX = 64,
        OUTPUT_MAX = 1 << 20,
        WORDS_MAX = 1024,
};

/* The kubelet sets no limit; without one, what nobody waits for any more would run for ever. */
#define RUN_USEC (60 * USEC_PER_MINUTE)

struct remote_runs {
        struct runtime *rt;
        struct list runs;
        size_t n_runs;
};

struct run {
        struct remote_runs *runs;
        struct list_node node;
        struct http_exchange *x; /* borrowed */
        struct runtime_op *op;   /* owned */
        char *command;           /* owned; as it was asked for */
};

int remote_runs_new(struct runtime *rt, struct remote_runs **ret)
{
        struct remote_runs *r = malloc(sizeof *r);

        if (!r)
                return -ENOMEM;
        *r = (struct remote_runs){ .rt = rt };
        list_init(&r->runs);
        *ret = r;
        return 0;
}

static void run_free(struct run *r)
{
        list_remove(&r->node);
        r->runs->n_runs--;
        runtime_op_abandon(r->op);
        free(r->command);
        free(r);
}

struct remote_runs *remote_runs_free(struct remote_runs *r)
{
        struct run *run, *next;

        if (!r)
                return NULL;
        LIST_FOREACH_SAFE (run, next, &r->runs, node) {
                http_exchange_on_closed(run->x, NULL, NULL);
                run_free(run);
        }
        free(r);
        return NULL;
}

static void fail(struct run *r, const char *why)
{
        http_exchange_on_closed(r->x, NULL, NULL);
        http_answer_text(r->x, 500, "%s", why);
        run_free(r);
}

static void on_done(int n, const struct exec_result *result, const struct err *err, void *userdata)
{
        struct run *r = userdata;

        r->op = NULL;
        if (n < 0)
                return fail(r, err_text(err));
        http_exchange_on_closed(r->x, NULL, NULL);
        if (result->timed_out)
                http_answer_text(r->x, 500, "command '%s' timed out", r->command);
        else if (result->exit_code != 0)
                http_answer_text(r->x, 500, "command '%s' exited with %d: %.*s", r->command,
                                 result->exit_code, (int)MIN(result->output_len, OUTPUT_MAX),
                                 result->output ? result->output : "");
        else if (result->output_len > OUTPUT_MAX)
                http_answer_text(r->x, 500, "the output of '%s' is over %d bytes: use exec",
                                 r->command, OUTPUT_MAX);
        else
                http_answer(r->x, 200, "application/json", result->output, result->output_len);
        run_free(r);
}

static void on_peer_gone(_unused_ struct http_exchange *x, void *userdata)
{
        run_free(userdata);
}

/* Go's strings.Split(cmd, " "). NULL after the answer. */
static char **words_of(struct http_exchange *x, const char *command)
{
        _cleanup_strv_ char **words = NULL;
        const char *end;

        if (!command || !*command) {
                http_answer_text(x, 400, "cmd: expected a command");
                return NULL;
        }
        for (const char *word = command; word; word = *end ? end + 1 : NULL) {
                _cleanup_free_ char *copy = NULL;

                end = word + strcspn(word, " ");
                copy = strndup(word, (size_t)(end - word));
                if (!copy || strv_consume(&words, TAKE_PTR(copy)) < 0) {
                        http_answer_text(x, 500, "out of memory");
                        return NULL;
                }
                if (strv_len(words) > WORDS_MAX) {
                        http_answer_text(x, 400, "cmd: expected at most %d words", WORDS_MAX);
                        return NULL;
                }
        }
        return TAKE_PTR(words);
}

void remote_runs_handle(struct remote_runs *runs, struct http_exchange *x, const char *container_id)
{
        const char *command = http_exchange_query(x, "cmd");
        _cleanup_strv_ char **words = words_of(x, command);
        _cleanup_err_ struct err err = { 0 };
        struct run *r;

        if (!words)
                return;
        if (runs->n_runs >= RUNS_MAX)
                return http_answer_text(x, 429, "%d commands run already", RUNS_MAX);
        r = calloc(1, sizeof *r);
        if (!r)
                return http_answer_text(x, 500, "out of memory");
        *r = (struct run){ .runs = runs, .x = x };
        list_append(&runs->runs, &r->node);
        runs->n_runs++;
        r->command = strdup(command);
        http_exchange_on_closed(x, on_peer_gone, r);
        if (!r->command)
                return fail(r, "out of memory");
        if (exec_sync(runs->rt, container_id, (const char *const *)words, RUN_USEC, OUTPUT_MAX + 1,
                      on_done, r, &r->op, &err) < 0)
                fail(r, err_text(&err));
}
