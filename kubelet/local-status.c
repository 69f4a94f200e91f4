#include "kubelet/local-status.h"

#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"

enum { ROLLUP_MAX = 4096, PROBLEMS_MAX = 20 };

/* ---- processes ---- */

struct memory {
        uint64_t pss, private; /* bytes */
        unsigned count;
};

/* "Private_Dirty:      123 kB" -> bytes; 0 when the line is not there. */
static uint64_t rollup_value(const char *text, const char *key)
{
        const char *line = strstr(text, key);
        _cleanup_free_ char *digits = NULL;
        uint64_t kib;

        if (!line)
                return 0;
        line += strlen(key);
        line += strspn(line, " ");
        digits = strndup(line, strspn(line, "0123456789"));
        return digits && text_to_u64(digits, &kib) == 0 ? kib * 1024 : 0;
}

static void add_process(struct memory *m, pid_t pid)
{
        _cleanup_free_ char *path = text_printf("/proc/%d/smaps_rollup", (int)pid), *text = NULL;

        if (!path || fs_read_at(AT_FDCWD, path, ROLLUP_MAX, &text, NULL) < 0)
                return;
        m->pss += rollup_value(text, "\nPss:");
        m->private += rollup_value(text, "\nPrivate_Dirty:");
        m->count++;
}

static void add_shim(const struct sandbox_status *s, void *userdata)
{
        if (s->shim_pid > 0)
                add_process(userdata, s->shim_pid);
}

/* Is process @pid in our network namespace, that is of this node? */
static bool is_of_this_node(const char *pid)
{
        _cleanup_free_ char *path = text_printf("/proc/%s/ns/net", pid);
        struct stat ours, theirs;

        return path && stat(path, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 &&
               ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static void add_by_name(struct memory *m, const char *name)
{
        _cleanup_strv_ char **pids = NULL;

        if (fs_list_at(AT_FDCWD, "/proc", &pids) < 0)
                return;
        STRV_FOREACH (pid, pids) {
                _cleanup_free_ char *path = NULL, *comm = NULL;
                uint32_t number;

                if (text_to_u32(*pid, &number) < 0)
                        continue;
                path = text_printf("/proc/%s/comm", *pid);
                if (path && fs_read_line_at(AT_FDCWD, path, &comm) == 0 && streq(comm, name) &&
                    is_of_this_node(*pid))
                        add_process(m, (pid_t)number);
        }
}

static void add_memory(json_t *list, const char *name, const struct memory *m)
{
        if (m->count)
                json_array_append_new(list, json_pack("{s:s, s:i, s:I, s:I}", "name", name, "count",
                                                      (int)m->count, "pssBytes", (json_int_t)m->pss,
                                                      "privateBytes", (json_int_t)m->private));
}

static json_t *processes_json(const struct context *ctx)
{
        struct memory self = { 0 }, shims = { 0 }, images = { 0 }, proxy = { 0 };
        json_t *list = json_array();

        add_process(&self, getpid());
        sandbox_foreach(ctx->rt, add_shim, &shims);
        add_by_name(&images, "skiff-image");
        add_by_name(&proxy, "skiff-netproxy");
        add_memory(list, "skiffd", &self);
        add_memory(list, "skiff-shim", &shims);
        add_memory(list, "skiff-image", &images);
        add_memory(list, "skiff-netproxy", &proxy);
        return list;
}

/* ---- what is wrong ---- */

static void add_problem(json_t *list, const char *about, const char *what, const char *help)
{
        json_t *o = json_pack("{s:s, s:s}", "about", about, "what", what);

        json_set_text(o, "help", help);
        json_array_append_new(list, o);
}

static void add_node_problems(const json_t *node, json_t *list)
{
        static const struct {
                const char *key, *what, *help;
        } pressures[] = {
                { "memoryPressure", "memory is short", "'skiff top' says who has it" },
                { "diskPressure", "disk space is short",
                  "'skiff images' and 'df' say what takes it" },
                { "pidPressure", "process ids are short", "'skiff top' says who has many" },
        };
        const char *not_ready = json_text_at(node, "notReady"),
                   *api = json_text_at(node, "apiServer");
        const json_t *missing;
        size_t i;

        if (not_ready)
                add_problem(list, "node", not_ready, NULL);
        if (api && streq(api, "not reachable"))
                add_problem(list, "API server",
                            "it cannot be reached; pods go on, news of them waits",
                            "check the network and the address in the kubeconfig; skiffd's log "
                            "says why");
        for (i = 0; i < ARRAY_SIZE(pressures); i++)
                if (json_is_true(json_object_get(node, pressures[i].key)))
                        add_problem(list, "node", pressures[i].what, pressures[i].help);
        json_array_foreach (json_object_get(node, "missing"), i, missing)
                add_problem(list, "kernel", json_string_value(missing), "'skiff doctor' says more");
}

struct survey {
        const struct pod_manager *pods;
        json_t *phases, *problems;
        size_t total, n_problems;
};

/* The first thing that a pod waits for and that somebody could do something about. */
static void survey_pod(struct pod *pod, struct pod_worker *w, void *userdata)
{
        struct survey *s = userdata;
        json_auto_t *whole = pod_manager_pod_json(s->pods, pod, w),
                    *explained = pod_manager_explain(s->pods, pod, w);
        const char *phase = json_string_value(json_path(whole, "status", "phase", NULL));
        const json_t *wait;
        size_t i;

        if (!phase)
                phase = "Pending";
        s->total++;
        json_set(s->phases, phase,
                 json_integer(json_integer_value(json_object_get(s->phases, phase)) + 1));
        json_array_foreach (json_object_get(explained, "waits"), i, wait) {
                _cleanup_free_ char *about = NULL;

                if (!json_object_get(wait, "help"))
                        continue;
                if (s->n_problems++ >= PROBLEMS_MAX)
                        return;
                about = text_printf("pod %s/%s: %s", pod->namespace, pod->name,
                                    json_text_at(wait, "about"));
                add_problem(s->problems, about ? about : pod->name, json_text_at(wait, "what"),
                            json_text_at(wait, "help"));
                return;
        }
}

json_t *local_status_json(const struct context *ctx, const struct pod_manager *pods, json_t *node)
{
        struct survey s = { .pods = pods, .phases = json_object(), .problems = json_array() };

        add_node_problems(node, s.problems);
        pod_manager_foreach(pods, survey_pod, &s);
        if (s.n_problems > PROBLEMS_MAX)
                add_problem(s.problems, "pods", "more of them wait for something",
                            "'skiff pods' lists them, 'skiff explain POD' tells of each");
        return json_pack("{s:o, s:{s:I, s:o}, s:o, s:o}", "node", node, "pods", "total",
                         (json_int_t)s.total, "phases", s.phases, "problems", s.problems,
                         "processes", processes_json(ctx));
}
