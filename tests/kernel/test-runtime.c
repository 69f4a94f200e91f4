/* The whole of runtime.h but for images and the network, on the real kernel and with real shims. */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/record.h"
#include "tests/kernel/runtime-rig.h"

static char sandbox[RUNTIME_ID_SIZE];

static void run_sandbox(void)
{
        struct rig_answer a = rig_run_sandbox(NULL);

        if (a.r < 0)
                fail_msg("sandbox: %s", a.text);
        memcpy(sandbox, a.id, sizeof sandbox);
}

static const char *path_in(const char *directory, const char *id, const char *suffix)
{
        static char path[512];

        snprintf(path, sizeof path, "%s/state/%s/%s%s", rig_dir, directory, id, suffix);
        return path;
}

static bool exists(const char *path)
{
        struct stat st;

        return lstat(path, &st) == 0;
}

TEST(a_container_runs_to_its_end_and_its_status_tells)
{
        const struct container_status *c;
        const struct sandbox_status *s;
        const char *id;

        rig_up();
        run_sandbox();
        s = sandbox_find(rig, sandbox);
        CHECK(s && s->state == SANDBOX_READY && s->shim_pid > 0 && s->created_at);
        CHECK_STR(s->ipv4, "10.99.0.2");
        id = rig_begin_shell(sandbox, "echo out; echo err >&2; hostname; exit 7");
        c = rig_wait_exit(id);
        CHECK_INT(c->exit_code, 7);
        CHECK(c->created_at && c->started_at >= c->created_at && c->finished_at >= c->started_at);
        CHECK(!c->oom_killed && !c->start_failed && !c->lost && c->pid == 0);
        CHECK_STR(c->sandbox_id, sandbox);
        CHECK_STR(c->image_name, "busybox");
        CHECK_STR(rig_last_changed, id);
        CHECK_INT(rig_container_changes, 1);
        CHECK_CONTAINS(rig_log_of(id), "out\n");
        CHECK_CONTAINS(rig_log_of(id), "err\n");
        CHECK_CONTAINS(rig_log_of(id), "pod\n");
        CHECK(container_remove(rig, id, NULL) == 0);
        CHECK(!container_find(rig, id));
        CHECK(!exists(path_in("containers", id, "")));
        rig_down();
}

TEST(what_a_container_wrote_to_its_root_can_go_when_it_has_ended_and_all_else_of_it_stays)
{
        _cleanup_free_ char *layer = NULL, *file = NULL;
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "echo out; echo data > /tmp/file; sleep 0.3; exit 3");
        layer = container_layer_path(rig, id);
        file = text_printf("%s/tmp/file", layer);
        CHECK(layer && file);
        container_drop_layer(rig, id); /* it still runs */
        rig_wait_exit(id);
        CHECK(exists(file));
        container_drop_layer(rig, id);
        container_drop_layer(rig, id);
        CHECK(!exists(layer));
        rig_restart();
        CHECK_INT(container_find(rig, id)->exit_code, 3);
        CHECK_CONTAINS(rig_log_of(id), "out\n");
        container_drop_layer(rig, id);
        CHECK(container_remove(rig, id, NULL) == 0);
        rig_down();
}

TEST(labels_and_configuration_come_back)
{
        struct string_map_entry entry = { (char *)"pod", (char *)"web-0" };
        struct sandbox_config config = { .labels = { &entry, 1 },
                                         .hostname = "web-0",
                                         .cgroup_parent = "kubepods/pod1" };
        struct rig_answer a;
        json_auto_t *doc = NULL;
        struct oci_spec spec;

        rig_up();
        a = rig_run_sandbox(&config);
        CHECK_INT(a.r, 0);
        memcpy(sandbox, a.id, sizeof sandbox);
        rig_make_spec(&spec, "exec sleep 100");
        a = rig_create(sandbox, &spec);
        CHECK_INT(a.r, 0);
        CHECK(container_find(rig, a.id)->state == CONTAINER_CREATED);
        CHECK(container_find(rig, a.id)->pid > 0);
        CHECK_INT(rig_start(a.id).r, 0);
        rig_restart();
        CHECK_STR(string_map_get(sandbox_find(rig, sandbox)->labels, "pod"), "web-0");
        CHECK(container_find(rig, a.id)->state == CONTAINER_RUNNING);
        CHECK(container_inspect(rig, a.id, &doc, NULL) == 0);
        CHECK_STR(json_string_value(json_path(doc, "root", "path", NULL)), "rootfs");
        CHECK_CONTAINS(json_string_value(json_path(doc, "linux", "cgroupsPath", NULL)), a.id);
        rig_down();
}

TEST(limits_of_a_running_container_change_with_its_record)
{
        struct string_map_entry entry = { (char *)"size", (char *)"small" },
                                larger = { (char *)"size", (char *)"large" },
                                other = { (char *)"colour", (char *)"red" };
        struct container_config config = { .labels = { &entry, 1 }, .image_id = rig_image_id };
        struct oci_resources r;
        struct rig_answer a;
        json_auto_t *doc = NULL;
        struct oci_spec spec;

        rig_up();
        run_sandbox();
        rig_make_spec(&spec, "exec sleep 100");
        spec.resources.memory_limit = 64 << 20;
        spec.resources.cpu_shares = 512;
        config.spec = &spec;
        a = rig_create_from(sandbox, &config);
        CHECK_INT(a.r, 0);
        oci_resources_init(&r);
        r.memory_limit = r.memory_swap = 128 << 20;
        CHECK_INT(container_update(rig, a.id, &r, &larger, NULL), -ESRCH); /* not started yet */
        CHECK_INT(rig_start(a.id).r, 0);
        CHECK_INT(container_update(rig, a.id, &r, &larger, NULL), 0);
        CHECK_INT(container_update(rig, a.id, &r, &other, NULL), -ENOENT);
        rig_restart();
        CHECK_STR(string_map_get(container_find(rig, a.id)->labels, "size"), "large");
        CHECK_INT(container_inspect(rig, a.id, &doc, NULL), 0);
        CHECK_INT(json_integer_value(json_path(doc, "linux", "resources", "memory", "limit", NULL)),
                  128 << 20);
        CHECK_INT(json_integer_value(json_path(doc, "linux", "resources", "cpu", "shares", NULL)),
                  512);
        rig_down();
}

static struct rig_answer create_in_pid_namespace_of(pid_t pid, const char *script)
{
        struct oci_spec spec;

        rig_make_spec(&spec, script);
        spec.namespaces[OCI_NS_PID].path = text_printf("/proc/%d/ns/pid", (int)pid);
        return rig_create(sandbox, &spec);
}

TEST(a_container_may_see_the_processes_of_another_one_of_its_pod_and_of_nobody_else)
{
        const char *target;
        struct rig_answer a;

        rig_up();
        run_sandbox();
        target = rig_begin_shell(sandbox, "sleep 4321");
        a = create_in_pid_namespace_of(container_find(rig, target)->pid,
                                       "ps -o args | grep -c '[s]leep 4321'; echo $$");
        CHECK_STR(a.text, "");
        CHECK_INT(a.r, 0);
        CHECK_INT(rig_start(a.id).r, 0);
        rig_wait_exit(a.id);
        CHECK_CONTAINS(rig_log_of(a.id), "1\n");
        CHECK(!streq(rig_log_of(a.id), "1\n1\n")); /* it is not the first one there */
        a = create_in_pid_namespace_of(getpid(), "true");
        CHECK_INT(a.r, -ESRCH);
        CHECK_CONTAINS(a.text, "enter namespace");
        a = create_in_pid_namespace_of(1, "true");
        CHECK_INT(a.r, -ESRCH);
        rig_down();
}

/* ---- exec ---- */

struct exec_answer {
        bool done;
        int r, exit_code;
        bool timed_out;
        char output[256];
        size_t len;
        enum err_kind kind;
};

static void on_exec(int r, const struct exec_result *result, const struct err *err, void *userdata)
{
        struct exec_answer *a = userdata;

        a->done = true;
        a->r = r;
        if (r < 0) {
                a->kind = err->kind;
                return;
        }
        a->exit_code = result->exit_code;
        a->timed_out = result->timed_out;
        a->len = result->output_len;
        memcpy(a->output, result->output, MIN(result->output_len, sizeof a->output - 1));
}

static struct exec_answer run_exec(const char *id, const char *script, usec_t timeout_usec,
                                   size_t max)
{
        const char *argv[] = { "/bin/sh", "-c", script, NULL };
        _cleanup_err_ struct err err = { 0 };
        struct exec_answer a = { 0 };
        int r = exec_sync(rig, id, argv, timeout_usec, max, on_exec, &a, NULL, &err);

        if (r < 0)
                on_exec(r, NULL, &err, &a);
        rig_wait(&a.done);
        return a;
}

TEST(commands_run_in_a_container_and_answer)
{
        const char *argv[] = { "/no/such/program", NULL };
        struct exec_answer a;
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "exec sleep 100");
        a = run_exec(id, "echo hello; echo there >&2; exit 3", 10 * USEC_PER_SEC, 1024);
        CHECK(a.r == 0 && a.exit_code == 3 && !a.timed_out);
        CHECK_CONTAINS(a.output, "hello\n");
        CHECK_CONTAINS(a.output, "there\n");
        a = run_exec(id, "sleep 50", 100 * USEC_PER_MSEC, 1024);
        CHECK(a.r == 0 && a.timed_out);
        a = run_exec(id, "yes | head -c 100000", 30 * USEC_PER_SEC, 100);
        CHECK(a.r == 0);
        CHECK_INT(a.len, 100);
        a = run_exec(id, "true", 10 * USEC_PER_SEC, 100);
        CHECK(a.r == 0 && a.exit_code == 0 && a.len == 0);
        a = (struct exec_answer){ 0 };
        CHECK(exec_sync(rig, id, argv, 10 * USEC_PER_SEC, 100, on_exec, &a, NULL, NULL) == 0);
        rig_wait(&a.done);
        CHECK(a.r < 0);
        CHECK_INT(a.kind, ERR_COMMAND_NOT_FOUND);
        CHECK(container_kill(rig, id, SIGKILL, NULL) == 0);
        CHECK_INT(rig_wait_exit(id)->exit_code, 137);
        a = run_exec(id, "true", 10 * USEC_PER_SEC, 100);
        CHECK(a.r == -ESRCH && a.kind == ERR_NOT_RUNNING);
        rig_down();
}

TEST(an_abandoned_probe_is_killed_and_says_nothing)
{
        const char *argv[] = { "/bin/sh", "-c", "sleep 77", NULL };
        struct runtime_op *op = NULL;
        struct exec_answer a = { 0 };
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "exec sleep 100");
        CHECK(exec_sync(rig, id, argv, 60 * USEC_PER_SEC, 10, on_exec, &a, &op, NULL) == 0);
        rig_idle(50);
        CHECK(!runtime_op_abandon(op));
        rig_idle(100);
        CHECK(!a.done);
        for (int i = 0; i < 100; i++) { /* killed by now, or soon */
                a = run_exec(id, "ps | grep -q '[s]leep 77'", 10 * USEC_PER_SEC, 10);
                if (a.exit_code == 1)
                        break;
                rig_idle(50);
        }
        CHECK_INT(a.exit_code, 1);
        rig_down();
}

struct stream_answer {
        bool started, exited;
        int r, exit_code;
        struct exec_streams streams;
};

static void on_started(int r, const struct exec_streams *streams, _unused_ const struct err *err,
                       void *userdata)
{
        struct stream_answer *a = userdata;

        a->started = true;
        a->r = r;
        if (r == 0)
                a->streams = *streams;
}

static void on_exited(int exit_code, void *userdata)
{
        struct stream_answer *a = userdata;

        a->exited = true;
        a->exit_code = exit_code;
}

TEST(a_command_with_streams_hands_over_its_ends)
{
        const char *argv[] = { "/bin/sh", "-c", "cat; echo bad >&2; exit 5", NULL };
        struct exec_options options = {
                .argv = argv, .want_stdin = true, .want_stdout = true, .want_stderr = true
        };
        struct stream_answer a = { 0 };
        char text[64];
        const char *id;
        ssize_t n;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "exec sleep 100");
        CHECK(exec_stream(rig, id, &options, on_started, on_exited, &a, NULL, NULL) == 0);
        rig_wait(&a.started);
        CHECK_INT(a.r, 0);
        CHECK(write(a.streams.stdin_fd, "ping\n", 5) == 5);
        n = read(a.streams.stdout_fd, text, sizeof text);
        CHECK(n == 5 && memcmp(text, "ping\n", 5) == 0);
        close(a.streams.stdin_fd);
        n = read(a.streams.stderr_fd, text, sizeof text);
        CHECK(n == 4 && memcmp(text, "bad\n", 4) == 0);
        rig_wait(&a.exited);
        CHECK_INT(a.exit_code, 5);
        close(a.streams.stdout_fd);
        close(a.streams.stderr_fd);
        rig_down();
}

/* ---- failures ---- */

TEST(a_command_that_is_not_there_fails_the_start)
{
        struct oci_spec spec;
        struct rig_answer a, started;

        rig_up();
        run_sandbox();
        rig_make_spec(&spec, "true");
        free(spec.process.args[0]);
        spec.process.args[0] = strdup("/no/such");
        a = rig_create(sandbox, &spec);
        CHECK_INT(a.r, 0);
        started = rig_start(a.id);
        CHECK(started.r < 0);
        CHECK_INT(started.kind, ERR_COMMAND_NOT_FOUND);
        CHECK_CONTAINS(started.text, "/no/such");
        CHECK(container_find(rig, a.id)->state == CONTAINER_EXITED);
        CHECK(container_find(rig, a.id)->start_failed);
        CHECK_INT(container_find(rig, a.id)->exit_code, 128);
        rig_idle(50);
        rig_restart();
        CHECK(container_find(rig, a.id)->start_failed);
        CHECK_CONTAINS(container_find(rig, a.id)->message, "/no/such");
        rig_down();
}

TEST(what_cannot_be_created_leaves_nothing)
{
        struct oci_spec spec;
        struct rig_answer a;

        rig_up();
        run_sandbox();
        rig_make_spec(&spec, "true");
        CHECK(oci_spec_add_mount(&spec, "/x", "bind", "/no/such/source", "bind") == 0);
        a = rig_create(sandbox, &spec);
        CHECK(a.r < 0);
        CHECK_CONTAINS(a.text, "/no/such/source");
        rig_make_spec(&spec, "true");
        CHECK(oci_spec_add_mount(&spec, "/x", "nfs", "h:/x", NULL) == 0);
        a = rig_create(sandbox, &spec);
        CHECK(a.r < 0);
        CHECK_INT(a.kind, ERR_CONTAINER_CONFIG);
        CHECK_CONTAINS(a.text, "mount '/x': type 'nfs'");
        rig_make_spec(&spec, "true");
        CHECK(strv_append(&spec.seccomp->architectures, "SCMP_ARCH_MOON") == 0);
        a = rig_create(sandbox, &spec);
        CHECK(a.r < 0);
        CHECK_INT(a.kind, ERR_CONTAINER_CONFIG);
        CHECK_CONTAINS(a.text, "SCMP_ARCH_MOON");
        rig_make_spec(&spec, "true");
        a = rig_create("00", &spec);
        CHECK(a.r == -ENOENT && a.kind == ERR_CONTAINER_CREATE);
        {
                _cleanup_strv_ char **names = NULL;

                CHECK(fs_list_at(AT_FDCWD, path_in("containers", "", ""), &names) == 0);
                CHECK(!names);
        }
        rig_down();
}

TEST(a_sandbox_that_cannot_be_made_leaves_nothing)
{
        struct sandbox_config config = { .hostname = "x", .cgroup_parent = "kubepods/none" };
        struct string_map_entry sysctl = { (char *)"kernel.core_pattern", (char *)"x" };
        struct string_map sysctls = { &sysctl, 1 };
        struct rig_answer a;

        rig_up();
        a = rig_run_sandbox(&config);
        CHECK(a.r == -ENOENT && a.kind == ERR_SANDBOX);
        config.cgroup_parent = "kubepods/pod1";
        config.sysctls = &sysctls;
        a = rig_run_sandbox(&config);
        CHECK(a.r < 0 && a.kind == ERR_SANDBOX);
        CHECK_CONTAINS(a.text, "kernel/core_pattern");
        rig_down(); /* looks for left-overs */
}

/* ---- confinement ---- */

TEST(the_default_profile_is_in_force_inside)
{
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "grep Seccomp: /proc/self/status; mount -t tmpfs x /tmp;"
                                      "unshare -m true; ls /proc/self/fd | wc -l;"
                                      "echo x > /proc/sys/kernel/hostname");
        rig_wait_exit(id);
        CHECK_CONTAINS(rig_log_of(id), "Seccomp:\t2");
        CHECK_CONTAINS(rig_log_of(id), "mount: permission denied");
        CHECK_CONTAINS(rig_log_of(id), "unshare: unshare(0x20000): Operation not permitted");
        CHECK_CONTAINS(rig_log_of(id), "Read-only file system");
        rig_down();
}

/* ---- restarts ---- */

/* Until the shim has written down that it ended. */
static void wait_for_exit_record(const char *id)
{
        for (int i = 0; i < 1000 && !exists(path_in("containers", id, "/exit")); i++)
                usleep(20000);
        CHECK(exists(path_in("containers", id, "/exit")));
}

TEST(containers_live_on_and_their_ends_are_not_missed)
{
        const char *lives, *ends, *quick;
        pid_t pid;

        rig_up();
        run_sandbox();
        lives = rig_begin_shell(sandbox, "exec sleep 100");
        ends = rig_begin_shell(sandbox, "sleep 0.3; exit 9");
        quick = rig_begin_shell(sandbox, "exit 4");
        pid = container_find(rig, lives)->pid;
        rig_let_go();
        wait_for_exit_record(ends);
        wait_for_exit_record(quick);
        rig_container_changes = 0;
        rig_take_up();
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_READY);
        CHECK(sandbox_find(rig, sandbox)->shim_pid > 0);
        CHECK(container_find(rig, lives)->state == CONTAINER_RUNNING);
        CHECK_INT(container_find(rig, lives)->pid, pid);
        CHECK_INT(container_find(rig, ends)->exit_code, 9);
        CHECK_INT(container_find(rig, quick)->exit_code, 4);
        CHECK(container_find(rig, ends)->finished_at > container_find(rig, ends)->started_at);
        rig_idle(50);
        CHECK_INT(rig_container_changes, 0); /* what was right at the start is not news */
        CHECK(container_kill(rig, lives, SIGTERM, NULL) == 0);
        CHECK(container_kill(rig, lives, SIGKILL, NULL) == 0);
        CHECK_INT(rig_wait_exit(lives)->exit_code, 137);
        CHECK(rig_container_changes >= 1);
        rig_down();
}

TEST(what_was_created_and_never_started_is_no_instance_after_a_restart)
{
        const char *lives;
        struct oci_spec spec;
        struct rig_answer created;

        rig_up();
        run_sandbox();
        lives = rig_begin_shell(sandbox, "exec sleep 100");
        rig_make_spec(&spec, "exit 0");
        created = rig_create(sandbox, &spec);
        oci_spec_done(&spec);
        CHECK(*created.id);
        rig_restart();
        for (int i = 0; i < 500 && container_find(rig, created.id); i++)
                rig_idle(10);
        CHECK(!container_find(rig, created.id));
        CHECK(!exists(path_in("containers", created.id, "")));
        CHECK(container_find(rig, lives)->state == CONTAINER_RUNNING);
        CHECK(container_kill(rig, lives, SIGKILL, NULL) == 0);
        rig_wait_exit(lives);
        rig_down();
}

TEST(a_second_runtime_on_the_same_directories_is_refused)
{
        _cleanup_free_ char *run = NULL, *state_dir = NULL;
        struct runtime_options options = { .libexec_dir = SHIM_DIR, .instance = "rig" };
        struct runtime_events events = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct runtime *second = NULL;

        rig_up();
        options.run_dir = run = text_printf("%s/run", rig_dir);
        options.state_dir = state_dir = text_printf("%s/state", rig_dir);
        CHECK_INT(runtime_new(rig_event, &options, &events, NULL, NULL, &second, &err), -EBUSY);
        CHECK_CONTAINS(err.message, "in use by another skiffd");
        rig_down();
}

TEST(a_killed_shim_costs_its_own_pod_and_nobody_else)
{
        char other[RUNTIME_ID_SIZE];
        const struct container_status *c;
        const char *lost, *ended, *lives;

        rig_up();
        run_sandbox();
        memcpy(other, sandbox, sizeof other);
        lives = rig_begin_shell(other, "exec sleep 100");
        run_sandbox();
        lost = rig_begin_shell(sandbox, "exec sleep 100");
        ended = rig_begin_shell(sandbox, "exit 6");
        rig_wait_exit(ended);
        rig_container_changes = rig_sandbox_changes = 0;
        CHECK(kill(sandbox_find(rig, sandbox)->shim_pid, SIGKILL) == 0);
        c = rig_wait_exit(lost);
        CHECK(c->exit_code == 137 && c->lost && c->started_at && c->finished_at);
        rig_idle(20);
        CHECK(rig_sandbox_changes == 1 && rig_container_changes == 1);
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_NOT_READY);
        CHECK_INT(sandbox_find(rig, sandbox)->shim_pid, 0);
        CHECK_INT(container_find(rig, ended)->exit_code, 6);
        CHECK(container_find(rig, lives)->state == CONTAINER_RUNNING);
        CHECK(sandbox_remove(rig, sandbox, NULL) == -EBUSY);
        CHECK_INT(rig_stop(sandbox).r, 0);
        CHECK_INT(rig_stop(sandbox).r, 0); /* idempotent */
        CHECK(sandbox_remove(rig, sandbox, NULL) == 0);
        rig_down();
}

TEST(a_shim_killed_while_nobody_looked_is_noticed_at_the_start)
{
        const char *lost;
        pid_t shim;

        rig_up();
        run_sandbox();
        lost = rig_begin_shell(sandbox, "exec sleep 100");
        shim = sandbox_find(rig, sandbox)->shim_pid;
        rig_let_go();
        CHECK(kill(shim, SIGKILL) == 0);
        waitpid(shim, NULL, 0);
        rig_take_up();
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_NOT_READY);
        CHECK(container_find(rig, lost)->state == CONTAINER_EXITED);
        CHECK(container_find(rig, lost)->lost);
        CHECK_INT(container_find(rig, lost)->exit_code, 137);
        rig_down();
}

TEST(a_shim_whose_socket_was_removed_is_ended_at_the_start)
{
        char path[sizeof rig_dir + RUNTIME_ID_SIZE + 16];
        int status = 0;
        const char *lost;
        pid_t shim;

        rig_up();
        run_sandbox();
        lost = rig_begin_shell(sandbox, "exec sleep 100");
        shim = sandbox_find(rig, sandbox)->shim_pid;
        rig_let_go();
        snprintf(path, sizeof path, "%s/run/shims/%s", rig_dir, sandbox);
        CHECK(unlink(path) == 0);
        rig_take_up();
        CHECK_INT(waitpid(shim, &status, 0), shim);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_NOT_READY);
        CHECK(container_find(rig, lost)->lost);
        rig_down();
}

/* Rewrites the boot id of a record, as a reboot would make it look. */
static void age_record(const char *path)
{
        json_t *record = NULL;

        CHECK(record_read(AT_FDCWD, path, &record, NULL) == 0);
        json_object_del(record, "checksum");
        CHECK(json_set_text(record, "bootId", "00000000-0000-0000-0000-000000000000") == 0);
        CHECK(record_write(AT_FDCWD, path, record) == 0);
}

TEST(after_a_reboot_all_has_ended_and_exit_codes_are_known)
{
        const char *ended, *lost;
        pid_t shim;

        rig_up();
        run_sandbox();
        ended = rig_begin_shell(sandbox, "exit 3");
        lost = rig_begin_shell(sandbox, "exec sleep 100");
        rig_wait_exit(ended);
        shim = sandbox_find(rig, sandbox)->shim_pid;
        rig_let_go();
        kill(shim, SIGKILL);
        waitpid(shim, NULL, 0);
        age_record(path_in("sandboxes", sandbox, ".json"));
        age_record(path_in("containers", ended, "/record.json"));
        age_record(path_in("containers", lost, "/record.json"));
        age_record(path_in("network/addresses", "10.99.0.2", ""));
        rig_take_up();
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_NOT_READY);
        CHECK_INT(container_find(rig, ended)->exit_code, 3);
        CHECK(!container_find(rig, ended)->lost && container_find(rig, lost)->lost);
        CHECK(!exists(path_in("network/addresses", "10.99.0.2", "")));
        CHECK(sandbox_remove(rig, sandbox, NULL) == 0);
        rig_down();
}

/* ---- damage ---- */

static void write_file(const char *path, const char *data, size_t n)
{
        CHECK(fs_replace_at(AT_FDCWD, path, data, n, 0600, false) == 0);
}

TEST(a_damaged_record_stops_nothing)
{
        _cleanup_free_ char *sandbox_path = NULL, *container_path = NULL, *address_path = NULL;
        _cleanup_free_ char *bad = NULL;
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "exec sleep 100");
        sandbox_path = strdup(path_in("sandboxes", sandbox, ".json"));
        container_path = strdup(path_in("containers", id, "/record.json"));
        address_path = strdup(path_in("network/addresses", "10.99.0.2", ""));
        rig_let_go();
        write_file(sandbox_path, "{\"checksum\":\"0", 14);
        write_file(container_path, "", 0);
        write_file(address_path, "\0\xff", 2);
        rig_take_up();
        bad = text_printf("%s.bad", sandbox_path);
        CHECK(exists(bad));
        /* the pod lives, and can be found and stopped, though nobody knows whose it is */
        CHECK(sandbox_find(rig, sandbox)->state == SANDBOX_READY);
        CHECK_INT(sandbox_find(rig, sandbox)->labels->n, 0);
        CHECK(container_find(rig, id)->state == CONTAINER_RUNNING);
        /* and its address is not given away */
        {
                char first[RUNTIME_ID_SIZE];

                memcpy(first, sandbox, sizeof first);
                run_sandbox();
                CHECK_STR(sandbox_find(rig, sandbox)->ipv4, "10.99.0.3");
                CHECK_INT(rig_stop(first).r, 0);
                CHECK(sandbox_remove(rig, first, NULL) == 0);
        }
        CHECK(unlink(bad) == 0);
        rig_down();
}

/* Every kind of record, cut at each byte and with a bit flipped in each: LO-05. */
static void damage(const char *path, const char *text, size_t n, size_t step)
{
        _cleanup_free_ char *bad = text_printf("%s.bad", path), *copy = malloc(n + 1);

        for (size_t at = 0; at < n; at += step) {
                memcpy(copy, text, n);
                copy[at] ^= 4;
                write_file(path, at % 2 ? copy : text, at % 2 ? n : at);
                rig_take_up();
                CHECK(exists(bad) || !exists(path));
                unlink(bad);
                rig_let_go();
        }
        unlink(path);
}

TEST(any_damage_to_any_record_is_set_aside)
{
        _cleanup_free_ char *sandbox_text = NULL, *container_text = NULL, *last_text = NULL;
        _cleanup_free_ char *sandbox_path = NULL, *container_path = NULL, *last_path = NULL;
        _cleanup_free_ char *container_dir = NULL;
        size_t n_sandbox, n_container, n_last;
        const char *id;

        rig_up();
        run_sandbox();
        id = rig_begin_shell(sandbox, "exit 0");
        rig_wait_exit(id);
        sandbox_path = strdup(path_in("sandboxes", sandbox, ".json"));
        container_path = strdup(path_in("containers", id, "/record.json"));
        container_dir = strdup(path_in("containers", id, ".bad"));
        last_path = strdup(path_in("network", "last.json", ""));
        CHECK_INT(rig_stop(sandbox).r, 0);
        CHECK(fs_read_at(AT_FDCWD, sandbox_path, 65536, &sandbox_text, &n_sandbox) == 0);
        CHECK(fs_read_at(AT_FDCWD, container_path, 65536, &container_text, &n_container) == 0);
        CHECK(fs_read_at(AT_FDCWD, last_path, 65536, &last_text, &n_last) == 0);
        rig_let_go();
        log_set_level(LOG_ERR);
        damage(sandbox_path, sandbox_text, n_sandbox, 7);
        damage(last_path, last_text, n_last, 1);
        for (size_t at = 0; at < n_container; at += 17) {
                write_file(container_path, container_text, at);
                rig_take_up();
                CHECK(!container_find(rig, id));
                rig_let_go();
                CHECK(fs_remove_tree_at(AT_FDCWD, container_dir) == 0);
                CHECK(mkdir(path_in("containers", id, ""), 0700) == 0);
        }
        log_set_level(LOG_WARNING);
        rig_take_up();
        rig_down();
}

/* ---- measured, not judged ---- */

static int compare_times(const void *a, const void *b)
{
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

        return x < y ? -1 : x > y;
}

TEST(one_life_of_a_container_is_timed)
{
        enum { ROUNDS = 61 };
        usec_t times[ROUNDS];

        rig_up();
        run_sandbox();
        for (int i = 0; i < ROUNDS; i++) {
                struct oci_spec spec;
                usec_t begin;
                const char *id;

                rig_make_spec(&spec, "true");
                spec.process.args = strv_free(spec.process.args);
                CHECK(strv_append(&spec.process.args, "/bin/true") == 0);
                begin = now_monotonic();
                id = rig_begin(sandbox, &spec);
                rig_wait_exit(id);
                CHECK(container_remove(rig, id, NULL) == 0);
                times[i] = now_monotonic() - begin;
        }
        qsort(times, ROUNDS, sizeof *times, compare_times);
        print_message("create, start, exit, remove: median %llu us, fastest %llu us\n",
                      (unsigned long long)times[ROUNDS / 2], (unsigned long long)times[0]);
        rig_down();
}
