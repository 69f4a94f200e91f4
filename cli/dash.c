/*
 * dash: the node on a whole screen. Asks skiffd once a second, and goes on when it is away. Logs,
 * shells and so on are this program again, on the same terminal.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/dash-draw.h"
#include "cli/verbs.h"

enum { ANSWER_SEC = 3 };
#define LOOK_USEC USEC_PER_SEC

static volatile sig_atomic_t must_end;

static void on_signal(_unused_ int number)
{
        must_end = 1;
}

/* ---- looking ---- */

static int look(struct client *c, struct dash_model *m)
{
        json_auto_t *pods = NULL, *stats = NULL, *events = NULL, *node = NULL;
        _cleanup_err_ struct err err = { 0 };
        _cleanup_free_ char *sentence = NULL;
        int r = client_call(c, "GET", "/v1/pods", NULL, &pods, &err);

        if (r == 0)
                r = client_call(c, "GET", "/v1/stats", NULL, &stats, &err);
        if (r == 0)
                r = client_call(c, "GET", "/v1/events", NULL, &events, &err);
        if (r == 0)
                r = client_call(c, "GET", "/v1/node", NULL, &node, &err);
        if (r < 0) {
                sentence = text_printf("%s; trying again", err_text(&err));
                dash_model_trouble(m, sentence);
                return 0;
        }
        dash_model_trouble(m, NULL);
        return dash_model_update(m, pods, stats, events, node, now_realtime());
}

static void set_capacity(struct dash_model *m)
{
        const long cpus = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES),
                   page = sysconf(_SC_PAGESIZE);

        m->node_cpu_milli = cpus > 0 ? cpus * 1000 : 0;
        m->node_memory = pages > 0 && page > 0 ? (int64_t)pages * page : 0;
}

/* ---- other programs on our terminal ---- */

static void wait_for_enter(void)
{
        struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
        char c = 0;

        printf("\n-- Enter goes back --");
        fflush(stdout);
        while (c != '\n' && !must_end) {
                ssize_t n = read(STDIN_FILENO, &c, 1);

                if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
                        return;
                if (n < 0) /* a resize is no Enter */
                        poll(&input, 1, -1);
        }
}

/* Ctrl-C is for them alone. */
static void run(const char *const *argv)
{
        const struct sigaction ignored = { .sa_handler = SIG_IGN };
        struct sigaction interrupt, quit;
        pid_t pid;

        sigaction(SIGINT, &ignored, &interrupt);
        sigaction(SIGQUIT, &ignored, &quit);
        pid = fork();
        if (pid == 0) {
                signal(SIGINT, SIG_DFL);
                signal(SIGQUIT, SIG_DFL);
                execv("/proc/self/exe", (char *const *)argv);
                _exit(127);
        }
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
        sigaction(SIGINT, &interrupt, NULL);
        sigaction(SIGQUIT, &quit, NULL);
}

static void act(struct dash_terminal *t, const struct dash_model *m, const char *socket,
                enum dash_action action)
{
        const struct dash_row *row = dash_model_selected(m);
        _cleanup_free_ char *pod = row ? strdup(row->key) : NULL;

        if (!pod)
                return;
        if (!row->is_pod) /* explain and timeline are about pods */
                *strrchr(pod, '/') = '\0';
        dash_terminal_leave(t);
        switch (action) {
        case DASH_LOGS:
                run((const char *const[]){ "skiff", "--socket", socket, "logs", "-f", "--tail",
                                           "200", row->key, NULL });
                wait_for_enter();
                break;
        case DASH_SHELL:
                run((const char *const[]){ "skiff", "--socket", socket, "exec", "-it", row->key,
                                           "--", "sh", NULL });
                break;
        case DASH_EXPLAIN:
        case DASH_TIMELINE:
                run((const char *const[]){ "skiff", "--socket", socket,
                                           action == DASH_EXPLAIN ? "explain" : "timeline", pod,
                                           NULL });
                wait_for_enter();
                break;
        default:
                break;
        }
        dash_terminal_return(t);
}

/* ---- the loop ---- */

static int loop(struct invocation *in, struct dash_terminal *t, struct dash_model *m,
                struct err *err)
{
        usec_t next = 0;

        while (!must_end) {
                const usec_t now = now_monotonic();
                enum dash_action action;

                if (now >= next) {
                        if (look(in->client, m) < 0)
                                return err_sys(err, -ENOMEM, "show the node");
                        next = now_monotonic() + LOOK_USEC;
                }
                if (dash_terminal_draw(t, m) < 0)
                        return err_sys(err, -ENOMEM, "draw");
                action = dash_model_key(
                        m, dash_terminal_key(t, (int)((next - MIN(next, now_monotonic())) / 1000) +
                                                        1));
                if (action == DASH_QUIT)
                        break;
                if (action == DASH_NOTHING)
                        continue;
                act(t, m, client_socket(in->client), action);
                next = 0;
        }
        return 0;
}

int verb_dash(struct invocation *in, struct err *err)
{
        const struct sigaction end = { .sa_handler = on_signal };
        struct dash_terminal *t = NULL;
        struct dash_model m = { 0 };
        int r;

        if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
                err_set(err, -ENOTTY, "expected a terminal; 'skiff pods --watch' needs none");
                return EXIT_USAGE;
        }
        sigaction(SIGTERM, &end, NULL);
        sigaction(SIGHUP, &end, NULL);
        sigaction(SIGINT, &end, NULL);
        if (dash_terminal_new(&t, err) < 0)
                return EXIT_FAILED;
        client_set_timeout(in->client, ANSWER_SEC);
        set_capacity(&m);
        r = loop(in, t, &m, err);
        dash_terminal_free(t);
        dash_model_done(&m);
        return r < 0 ? EXIT_FAILED : EXIT_OK;
}
