/*
 * support: one archive with what somebody else needs in order to help, without secrets. What cannot
 * be had is said in its place; nothing but a full disk makes it fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/archive.h"
#include "cli/doctor.h"
#include "cli/redact.h"
#include "cli/verbs.h"

enum { OUTPUT_MAX = 8 << 20, FILE_MAX = 1 << 20, COMMAND_MSEC = 20000, ANSWER_SEC = 15 };

static void add_text(struct archive *a, const char *name, const char *text)
{
        _cleanup_free_ char *clean = redact_text(text);

        archive_add(a, name, clean ? clean : "", clean ? strlen(clean) : 0);
}

static void add_trouble(struct archive *a, const char *name, const char *why)
{
        _cleanup_free_ char *path = text_printf("%s.error", name), *text = text_printf("%s\n", why);

        if (path && text)
                add_text(a, path, text);
}

static void add_answer(struct invocation *in, struct archive *a, const char *name, const char *path)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *answer = NULL;
        char *text;

        if (client_call(in->client, "GET", path, NULL, &answer, &err) < 0) {
                add_trouble(a, name, err_text(&err));
                return;
        }
        redact_tree(answer);
        text = json_dumps(answer, JSON_INDENT(2));
        if (text)
                archive_add(a, name, text, strlen(text));
        free(text);
}

static void add_file(struct archive *a, const char *path)
{
        _cleanup_free_ char *text = NULL, *name = text_printf("files%s", path);
        int r = fs_read_at(AT_FDCWD, path, FILE_MAX, &text, NULL);

        if (name && r == 0)
                add_text(a, name, text);
        else if (name && r != -ENOENT)
                add_trouble(a, name, strerror(-r));
}

/* Reads up to the end, for so long as the command may take. */
static int collect(int fd, struct strbuf *b)
{
        for (;;) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                char chunk[16384];
                ssize_t n;

                if (poll(&p, 1, COMMAND_MSEC) <= 0)
                        return -ETIMEDOUT;
                n = read(fd, chunk, sizeof chunk);
                if (n < 0)
                        return -errno;
                if (n == 0 || b->len > OUTPUT_MAX)
                        return 0;
                strbuf_add_n(b, chunk, (size_t)n);
        }
}

static void add_command(struct archive *a, const char *name, const char *const *argv)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        posix_spawn_file_actions_t actions;
        int ends[2], r, status;
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
        r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        safe_close(ends[1]);
        if (r != 0) {
                add_trouble(a, name, strerror(r));
        } else {
                r = collect(ends[0], &b);
                if (r < 0)
                        kill(pid, SIGKILL);
                safe_close(ends[0]);
                (void)waitpid(pid, &status, 0);
                add_text(a, name, b.data ? b.data : "");
                return;
        }
        safe_close(ends[0]);
}

static int add_finding(enum doctor_level level, const char *area, const char *what,
                       const char *help, void *userdata)
{
        strbuf_addf(userdata, "%-8s %-13s %s%s%s\n", doctor_level_names[level], area, what,
                    help ? " -> " : "", help ? help : "");
        return 0;
}

static void add_doctor(struct invocation *in, struct archive *a)
{
        _cleanup_(doctor_facts_done)
        struct doctor_facts f = { 0 };
        _cleanup_strbuf_ struct strbuf b = { 0 };

        if (doctor_facts_read("/", &f) < 0)
                return;
        if (client_call(in->client, "GET", "/v1/node", NULL, &f.node, NULL) < 0)
                f.daemon_trouble = strdup("see status.json.error");
        (void)doctor_judge(&f, add_finding, &b);
        add_text(a, "doctor.txt", b.data ? b.data : "");
}

/* skiff-netproxy's own socket is beside skiffd's. */
static void add_services(const struct invocation *in, struct archive *a)
{
        struct invocation proxy = *in;
        _cleanup_(client_freep)
        struct client *client = NULL;

        if (client_new_beside(CLIENT_NETPROXY, in->values[FLAG_SOCKET], &client, NULL) < 0)
                return;
        client_set_timeout(client, ANSWER_SEC);
        proxy.client = client;
        add_answer(&proxy, a, "services.json", "/v1/services");
}

static void fill(struct invocation *in, struct archive *a)
{
        static const char *const answers[] = { "status", "node",   "pods",  "containers",
                                               "images", "events", "stats", "config" };
        static const char *const files[] = {
                "/proc/version",
                "/proc/cmdline",
                "/proc/meminfo",
                "/proc/mounts",
                "/proc/loadavg",
                "/proc/swaps",
                "/proc/pressure/cpu",
                "/proc/pressure/io",
                "/proc/modules",
                "/etc/os-release",
                "/proc/pressure/memory",
                "/etc/resolv.conf",
                "/sys/fs/cgroup/cgroup.controllers",
        };
        static const struct {
                const char *name;
                const char *argv[10];
        } commands[] = {
                { "commands/journal-skiffd.txt",
                  { "journalctl", "--no-pager", "-n", "3000", "-u", "skiffd", NULL } },
                { "commands/journal-netproxy.txt",
                  { "journalctl", "--no-pager", "-n", "1000", "-u", "skiff-netproxy", NULL } },
                { "commands/journal-kernel.txt",
                  { "journalctl", "--no-pager", "-k", "-n", "500", NULL } },
                { "commands/units.txt",
                  { "systemctl", "--no-pager", "status", "skiffd", "skiff-netproxy", NULL } },
                { "commands/processes.txt",
                  { "ps", "-eo", "pid,ppid,user,etime,rss,stat,comm", NULL } },
                { "commands/addresses.txt", { "ip", "addr", NULL } },
                { "commands/routes.txt", { "ip", "route", "show", "table", "all", NULL } },
                { "commands/nft.txt", { "nft", "list", "ruleset", NULL } },
                { "commands/df.txt", { "df", "-h", NULL } },
        };

        for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
                _cleanup_free_ char *name = text_printf("%s.json", answers[i]),
                                    *path = text_printf("/v1/%s", answers[i]);

                if (name && path)
                        add_answer(in, a, name, path);
        }
        add_services(in, a);
        add_doctor(in, a);
        for (size_t i = 0; i < ARRAY_SIZE(files); i++)
                add_file(a, files[i]);
        for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
                add_command(a, commands[i].name, commands[i].argv);
}

static char *default_name(void)
{
        char host[65] = "node", text[32];
        time_t now = time(NULL);
        struct tm tm;

        (void)gethostname(host, sizeof host - 1);
        host[strcspn(host, "./ ")] = '\0';
        strftime(text, sizeof text, "%Y%m%d-%H%M%S", gmtime_r(&now, &tm));
        return text_printf("skiff-support-%s-%s.tar.gz", host, text);
}

int verb_support(struct invocation *in, struct err *err)
{
        _cleanup_free_ char *name = in->n_words ? strdup(in->words[0]) : default_name();
        struct archive *a;
        int fd, r;

        fd = name ? open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
        if (fd < 0) {
                err_sys(err, -errno, "write '%s'", name ? name : "");
                return EXIT_FAILED;
        }
        r = archive_new(fd, &a);
        if (r == 0) {
                client_set_timeout(in->client, ANSWER_SEC); /* a daemon that hangs is news, too */
                fill(in, a);
                r = archive_end(a);
        }
        if (r < 0) {
                err_sys(err, r, "write '%s'", name);
                return EXIT_FAILED;
        }
        printf("%s\n", name);
        fprintf(stderr, "Values of environment variables, annotations, tokens and keys were left "
                        "out; look through it before you give it away.\n");
        return EXIT_OK;
}
