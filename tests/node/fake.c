#include "tests/node/fake.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"

#define ARGS_MAX 16

static _Noreturn void exec_server(const char *script, const char *const *args, int out)
{
        _cleanup_free_ char *path = text_printf("%s/%s", FAKE_DIR, script);
        const char *argv[ARGS_MAX] = { "python3", path };

        for (size_t i = 0; args && args[i] && i + 3 < ARRAY_SIZE(argv); i++)
                argv[i + 2] = args[i];
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that is killed leaves nothing */
        dup2(out, STDOUT_FILENO);
        execv("/usr/bin/python3", (char *const *)argv);
        _exit(127);
}

struct fake *fake_start(const char *script, const char *const *args)
{
        struct fake *f = calloc(1, sizeof *f);
        int out[2];
        FILE *in;

        assert_non_null(f);
        CHECK(pipe2(out, O_CLOEXEC) == 0);
        f->pid = fork();
        CHECK(f->pid >= 0);
        if (f->pid == 0)
                exec_server(script, args, out[1]);
        close(out[1]);
        in = fdopen(out[0], "r");
        if (!in || fscanf(in, "listening %d", &f->port) != 1)
                fail_msg("%s did not start", script);
        fclose(in);
        for (size_t i = 0; args && args[i]; i++)
                if (streq(args[i], "--tls-cert"))
                        f->url = text_printf("https://localhost:%d", f->port);
        if (!f->url)
                f->url = text_printf("http://127.0.0.1:%d", f->port);
        return f;
}

struct fake *fake_stop(struct fake *f)
{
        if (!f)
                return NULL;
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        free(f->url);
        free(f);
        return NULL;
}

static char pki[] = "/tmp/skiff-test-pki-XXXXXX";

static void remove_pki(void)
{
        fs_remove_tree_at(AT_FDCWD, pki);
}

const char *fake_pki(void)
{
        static bool made;
        const char *const args[] = { pki, NULL };
        int status = -1;
        pid_t pid;

        if (made)
                return pki;
        CHECK(mkdtemp(pki) != NULL);
        atexit(remove_pki);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
                exec_server("pki.py", args, STDERR_FILENO);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        made = true;
        return pki;
}

static size_t on_bytes(char *data, size_t size, size_t n, void *userdata)
{
        strbuf_add_n(userdata, data, size * n);
        return size * n;
}

static json_t *ask(struct fake *f, const char *method, const char *path, const char *body)
{
        _cleanup_strbuf_ struct strbuf answer = { 0 };
        _cleanup_free_ char *url = text_printf("%s%s", f->url, path);
        CURL *easy = curl_easy_init();
        CURLcode code;
        json_t *v;

        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        if (body)
                curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
        code = curl_easy_perform(easy);
        curl_easy_cleanup(easy);
        if (code != CURLE_OK)
                fail_msg("%s %s: %s", method, url, curl_easy_strerror(code));
        if (!answer.data || json_parse(answer.data, answer.len, false, &v, NULL) < 0)
                return json_null();
        return v;
}

json_t *fake_ask(struct fake *f, const char *method, const char *path, const char *body, ...)
{
        char *text = NULL;
        json_t *v;
        va_list ap;

        if (body) {
                va_start(ap, body);
                CHECK(vasprintf(&text, body, ap) >= 0);
                va_end(ap);
        }
        v = ask(f, method, path, text);
        free(text);
        return v;
}

void fake_control(struct fake *f, const char *fmt, ...)
{
        char *text = NULL;
        json_t *v;
        va_list ap;

        va_start(ap, fmt);
        CHECK(vasprintf(&text, fmt, ap) >= 0);
        va_end(ap);
        v = ask(f, "POST", "/_control", text);
        if (!json_is_object(v) || json_object_size(v) > 0)
                fail_msg("'%s' was refused: %s", text, json_dumps(v, JSON_ENCODE_ANY));
        json_decref(v);
        free(text);
}

int fake_count(struct fake *f, const char *path, const char *parameter)
{
        json_t *all = ask(f, "POST", "/_control", "{\"op\":\"requests\"}"), *e;
        int n = 0;
        size_t i;

        json_array_foreach (all, i, e) {
                const char *p = json_text_at(e, "path");

                n += p && startswith(p, path) &&
                     (!parameter || json_object_get(json_object_get(e, "query"), parameter));
        }
        json_decref(all);
        return n;
}

static int on_time(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        *(bool *)userdata = true;
        return 0;
}

void run_for(sd_event *event, usec_t usec)
{
        sd_event_source *timer = NULL;
        bool over = false;

        CHECK(sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC, usec, ACCURACY_USEC,
                                         on_time, &over) >= 0);
        while (!over)
                CHECK(sd_event_run(event, UINT64_MAX) >= 0);
        sd_event_source_unref(timer);
}

int count_descriptors(void)
{
        char **names = NULL;
        int n;

        CHECK(fs_list_at(AT_FDCWD, "/proc/self/fd", &names) == 0);
        n = (int)strv_len(names);
        strv_free(names);
        return n;
}
