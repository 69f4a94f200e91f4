/* One sandbox, its containers' lives and ends, their logs, and skiffd's comings and goings. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/check.h"
#include "tests/kernel/shim-rig.h"

static struct rig_outcome o;
static struct rig_message m;
static const struct rig_sandbox plain = { 0 };

/* Runs for a moment or until it is killed; says when it began. */
static const struct rig_container sleeper = { .argv = (const char *const[]){ "sleep", "1000",
                                                                             NULL } };

static const char *create_and_start(const struct rig_container *c)
{
        const char *id = rig_new_id();

        CHECK_INT(rig_create(id, c, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        return id;
}

static void kill_and_delete(const char *id)
{
        CHECK_INT(rig_request(SHIM_KILL, id, SIGKILL, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(rig_request(SHIM_DELETE, id, 0, NULL, 0, NULL), 0);
}

static void check_record(const char *id, const char *wanted)
{
        static char text[4096];

        CHECK(rig_read(rig_path("containers/%s/exit", id), text, sizeof text) > 0);
        CHECK_CONTAINS(text, wanted);
}

/* ---- life ---- */

TEST(a_container_runs_and_its_exit_code_and_output_come_back)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("echo out; echo err >&2; exit 7") }, &o);
        CHECK_STR(o.text, "");
        CHECK_INT(o.r, 0);
        CHECK_INT(o.exit_code, 7);
        CHECK_INT(o.flags, 0);
        CHECK_STR(o.out, "out\n");
        CHECK_STR(o.err, "err\n");
        rig_down();
}

TEST(a_created_container_waits_and_runs_only_after_start)
{
        const char *id = rig_new_id();
        struct rig_container c = { .argv = rig_sh("echo ran") };
        struct stat st;

        rig_up(&plain);
        CHECK_INT(rig_create(id, &c, &m), 0);
        CHECK(m.m.value > 0 && kill((pid_t)m.m.value, 0) == 0);
        CHECK(!rig_poll(SHIM_EV_EXITED, id, 0, 100, &m));
        CHECK_INT(stat(rig_log_path(id), &st), 0);
        CHECK_INT(st.st_size, 0);
        CHECK_INT(st.st_mode & 07777 & ~0640, 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        CHECK(m.m.time_usec > 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 0);
        CHECK(m.m.time2_usec >= m.m.time_usec && m.m.sequence > 0);
        rig_down();
}

TEST(an_exit_is_on_disk_when_it_is_told)
{
        const char *id;

        rig_up(&plain);
        id = create_and_start(&(struct rig_container){ .argv = rig_sh("exit 3") });
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        check_record(id, "{\"version\":1,\"exitCode\":3,\"oomKilled\":false,\"startedAt\":1");
        check_record(id, "\"startFailed\":false,\"message\":\"\"}\n");
        CHECK(access(rig_path("containers/%s/exit.tmp", id), F_OK) < 0);
        rig_down();
}

TEST(a_signal_reaches_the_first_process_and_the_code_is_128_and_the_signal)
{
        const char *id;

        rig_up(&plain);
        id = create_and_start(&(struct rig_container){
                .argv = rig_sh("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done") });
        rig_wait_for_log(id, "up");
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 9);
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, &m), -ESRCH);
        CHECK_INT(m.m.kind, ERR_NOT_RUNNING);

        id = create_and_start(&sleeper);
        CHECK_INT(rig_request(SHIM_KILL, id, SIGKILL, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 128 + SIGKILL);
        rig_down();
}

TEST(a_container_killed_before_its_start_exits_and_was_never_started)
{
        const char *id = rig_new_id();

        rig_up(&plain);
        CHECK_INT(rig_create(id, &sleeper, &m), 0);
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 137);
        CHECK_INT(m.m.time_usec, 0);
        check_record(id, "\"startedAt\":0,");
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), -ECANCELED);
        rig_down();
}

TEST(a_command_that_is_not_there_fails_the_start_with_the_field_s_words)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "nope", NULL } }, &o);
        CHECK_INT(o.r, -ENOENT);
        CHECK_INT(o.kind, ERR_COMMAND_NOT_FOUND);
        CHECK_STR(o.text, "exec 'nope': executable file not found in $PATH");
        CHECK_INT(o.exit_code, 128);
        CHECK_INT(o.flags, SHIM_STATE_START_FAILED);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "/no/such", NULL } }, &o);
        CHECK_INT(o.kind, ERR_COMMAND_NOT_FOUND);
        CHECK_STR(o.text, "exec '/no/such': No such file or directory");
        rig_down();
}

static void add_unrunnable(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, rig_path("not-executable"), "/bin/data", "");
}

TEST(a_command_that_may_not_be_run_is_told_apart_from_one_that_is_missing)
{
        rig_up(&plain);
        rig_write(rig_path("not-executable"), "text", 0644);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "data", NULL },
                                         .extra = add_unrunnable },
                &o);
        CHECK_INT(o.kind, ERR_COMMAND_NOT_EXECUTABLE);
        CHECK_STR(o.text, "exec 'data': Permission denied");
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "/bin", NULL } }, &o);
        CHECK_INT(o.kind, ERR_COMMAND_NOT_EXECUTABLE);
        CHECK_INT(chmod(rig_path("not-executable"), 0755), 0);
        rig_run(&(struct rig_container){ .argv = (const char *const[]){ "data", NULL },
                                         .extra = add_unrunnable },
                &o);
        CHECK_INT(o.r, -ENOEXEC);
        CHECK_INT(o.kind, ERR_COMMAND_NOT_EXECUTABLE);
        rig_down();
}

static void add_missing_source(struct plan_writer *w)
{
        rig_mount(w, PLAN_MOUNT_BIND, 0, 0, "/no/such/source", "/data", "");
}

TEST(a_create_that_fails_leaves_nothing_and_may_be_tried_again)
{
        const char *id = rig_new_id();
        struct rig_container bad = { .argv = rig_sh("true"), .extra = add_missing_source },
                             good = { .argv = rig_sh("true") };

        rig_up(&plain);
        CHECK_INT(rig_create(id, &bad, &m), -ENOENT);
        CHECK_INT(m.m.kind, ERR_CONTAINER_CREATE);
        CHECK_STR(m.text, "open the source of mount '/no/such/source': No such file or directory");
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), -ENOENT);
        CHECK_INT(rig_create(id, &good, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 0);
        rig_down();
}

TEST(verbs_are_idempotent_by_container_id)
{
        const char *id = rig_new_id();
        int64_t pid;

        rig_up(&plain);
        CHECK_INT(rig_create(id, &sleeper, &m), 0);
        pid = m.m.value;
        CHECK_INT(rig_create(id, &sleeper, &m), 0);
        CHECK_INT(m.m.value, pid);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        CHECK_INT(m.m.value, pid);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        CHECK_INT(rig_request(SHIM_DELETE, id, 0, NULL, 0, &m), -EBUSY);
        kill_and_delete(id);
        CHECK_INT(rig_request(SHIM_DELETE, id, 0, NULL, 0, &m), 0);
        CHECK_INT(rig_request(SHIM_KILL, id, 9, NULL, 0, &m), -ENOENT);
        CHECK_INT(m.m.kind, ERR_NOT_FOUND);
        rig_down();
}

TEST(what_is_no_request_is_refused_and_the_shim_goes_on)
{
        const char *id = rig_new_id();
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), fds[2] = { null, null };

        rig_up(&plain);
        CHECK_INT(rig_request(SHIM_CREATE, "../../etc", 0, fds, 2, &m), -EINVAL);
        CHECK_INT(rig_request(SHIM_CREATE, id, 0, fds, 1, &m), -EINVAL);
        CHECK_INT(rig_request(SHIM_CREATE, id, 0, fds, 2, &m), -EBADMSG);
        CHECK_CONTAINS(m.text, "sealed memfd");
        CHECK_INT(rig_request(SHIM_KILL, id, -1, NULL, 0, &m), -EINVAL);
        CHECK_INT(rig_request(99, NULL, 0, NULL, 0, &m), -EINVAL);
        CHECK_INT(rig_request(SHIM_EXEC, id, 0, fds, 1, &m), -ENOENT);
        CHECK_INT(rig_request(SHIM_EXEC_KILL, NULL, 77, NULL, 0, &m), -ENOENT);
        rig_run(&(struct rig_container){ .argv = rig_sh("true") }, &o);
        CHECK_INT(o.r, 0);
        close(null);
        rig_down();
}

TEST(a_container_killed_for_its_memory_says_so_and_so_does_one_whose_child_was)
{
        static const char *const scripts[] = {
                "exec head -c 200000000 /dev/zero | tail", /* busybox' tail keeps one endless line
                                                            */
                "(head -c 200000000 /dev/zero | tail) ; exit 3",
        };
        char path[300];

        rig_up(&plain);
        for (int n = 0; n < 2; n++) {
                struct rig_container c = { .argv = rig_sh(scripts[n]) };
                const char *id = rig_new_id();

                CHECK_INT(rig_create(id, &c, &m), 0);
                snprintf(path, sizeof path, "%s/memory.max", rig_cgroup_path(id));
                if (access(path, W_OK) < 0) {
                        rig_down();
                        SKIP("no memory controller in cgroup v2");
                }
                rig_write_kernel(path, "20000000");
                CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
                rig_wait(SHIM_EV_EXITED, id, 0, &m);
                CHECK(m.m.flags & SHIM_STATE_OOM_KILLED);
                CHECK_INT(m.m.value, n == 0 ? 137 : 3);
                check_record(id, "\"oomKilled\":true");
        }
        rig_down();
}

/* ---- skiffd comes and goes ---- */

TEST(a_new_connection_finds_every_container_and_what_it_has_missed)
{
        const char *runs, *exits;
        uint64_t sequence;

        rig_up(&plain);
        runs = create_and_start(&sleeper);
        exits = create_and_start(&(struct rig_container){ .argv = rig_sh("sleep 0.2; exit 5") });
        rig_disconnect(); /* as kill -9 of skiffd would */
        for (int n = 0; n < 2000 && access(rig_path("containers/%s/exit", exits), F_OK) < 0; n++)
                usleep(10000);
        rig_reconnect();
        CHECK_INT(rig_request(SHIM_HELLO, NULL, 0, NULL, 0, &m), 0);
        CHECK_INT(m.m.value, rig_shim);
        rig_wait(SHIM_EV_STATE, runs, 0, &m);
        CHECK_INT(m.m.state, SHIM_RUNNING);
        CHECK(kill((pid_t)m.m.value, 0) == 0 && m.m.time_usec > 0);
        rig_wait(SHIM_EV_STATE, exits, 0, &m);
        CHECK_INT(m.m.state, SHIM_EXITED);
        CHECK_INT(m.m.value, 5);
        rig_wait(SHIM_EV_EXITED, exits, 0, &m);
        CHECK_INT(m.m.value, 5);
        sequence = m.m.sequence;
        CHECK(sequence > 0);
        rig_wait(SHIM_EV_END, NULL, 0, &m);

        /* not acknowledged: again; acknowledged: only the state */
        rig_reconnect();
        CHECK_INT(rig_request(SHIM_HELLO, NULL, 0, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_EXITED, exits, 0, &m);
        {
                struct shim_message ack = { .verb = SHIM_ACK, .value = (int64_t)sequence };

                CHECK_INT(shim_send(rig_connection, &ack, NULL, NULL, 0), 0);
        }
        CHECK_INT(rig_request(SHIM_REOPEN, exits, 0, NULL, 0, NULL), 0); /* it is read by now */
        rig_reconnect();
        CHECK_INT(rig_request(SHIM_HELLO, NULL, 0, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_END, NULL, 0, &m);
        CHECK(!rig_poll(SHIM_EV_EXITED, exits, 0, 50, &m));
        rig_wait(SHIM_EV_STATE, exits, 0, &m);
        kill_and_delete(runs);
        rig_down();
}

TEST(a_create_whose_asker_went_away_is_adopted_by_the_next)
{
        const char *id = rig_new_id();
        struct rig_container c = { .argv = rig_sh("exit 4") };

        rig_up(&plain);
        CHECK_INT(rig_create(id, &c, &m), 0);
        rig_reconnect();
        CHECK_INT(rig_request(SHIM_HELLO, NULL, 0, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_STATE, id, 0, &m);
        CHECK_INT(m.m.state, SHIM_CREATED);
        CHECK_INT(rig_create(id, &c, &m), 0);
        CHECK_INT(rig_request(SHIM_START, id, 0, NULL, 0, &m), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 4);
        rig_down();
}

TEST(a_peer_that_does_not_read_gets_all_answers_once_it_does)
{
        enum { MANY = 900 };
        int answers = 0;

        rig_up(&plain);
        for (int n = 0; n < MANY; n++) {
                struct shim_message hello = { .verb = SHIM_HELLO, .request = 100000 + (unsigned)n };
                int r;

                while ((r = shim_send(rig_connection, &hello, NULL, NULL, 0)) == -EAGAIN)
                        break;
                if (r < 0)
                        break;
                answers++;
        }
        CHECK(answers > 20);
        for (int n = 0; n < answers; n++)
                rig_wait(SHIM_OK, NULL, 100000 + (unsigned)n, &m),
                        rig_wait(SHIM_EV_END, NULL, 0, &m);
        rig_down();
}

TEST(after_sigterm_containers_end_in_their_own_time_and_then_the_sandbox)
{
        const char *id;
        int status;

        rig_up(&plain);
        id = create_and_start(&(struct rig_container){
                .argv = rig_sh("trap 'exit 9' TERM; echo up; while :; do sleep 0.02; done"),
                .stop_sec = 30 });
        rig_wait_for_log(id, "up");
        CHECK_INT(kill(rig_shim, SIGTERM), 0);
        CHECK(!rig_poll(SHIM_EV_EXITED, id, 0, 300, &m)); /* it is not killed for it */
        CHECK_INT(rig_request(SHIM_KILL, id, SIGTERM, NULL, 0, NULL), 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 9);
        CHECK_INT(waitpid(rig_shim, &status, 0), rig_shim);
        rig_shim = 0;
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        check_record(id, "\"exitCode\":9");
}

TEST(after_sigterm_a_container_that_does_not_end_is_killed_at_its_time)
{
        const char *id;
        int status;

        rig_up(&plain);
        id = create_and_start(&(struct rig_container){ .argv = sleeper.argv, .stop_sec = 1 });
        CHECK_INT(kill(rig_shim, SIGTERM), 0);
        CHECK(!rig_poll(SHIM_EV_EXITED, id, 0, 500, &m));
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(m.m.value, 137);
        CHECK_INT(waitpid(rig_shim, &status, 0), rig_shim);
        rig_shim = 0;
}

TEST(sigterm_ends_a_sandbox_without_containers_at_once)
{
        int status;

        rig_up(&plain);
        CHECK_INT(kill(rig_shim, SIGTERM), 0);
        CHECK_INT(waitpid(rig_shim, &status, 0), rig_shim);
        rig_shim = 0;
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(a_shutdown_kills_what_runs_and_answers_when_nothing_does)
{
        const char *id;

        rig_up(&plain);
        id = create_and_start(&sleeper);
        rig_down();
        check_record(id, "\"exitCode\":137");
}

/* ---- logs ---- */

/* The log of a script, raw. */
static const char *raw_log(const struct rig_container *c)
{
        static char text[1 << 20];
        const char *id = create_and_start(c);

        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK(rig_read(rig_log_path(id), text, sizeof text) >= 0);
        return text;
}

TEST(a_log_line_is_time_stream_tag_and_text_byte_for_byte)
{
        const char *text;

        rig_up(&plain);
        text = raw_log(&(struct rig_container){ .argv = rig_sh("printf 'a b\\001c\\n\\nlast'") });
        CHECK_INT(strlen(text), 3 * 40 + strlen("a b\001c\n") + strlen("\n") + strlen("last\n"));
        CHECK(text[4] == '-' && text[10] == 'T' && text[19] == '.' && text[29] == 'Z');
        CHECK(memcmp(text + 30, " stdout F a b\001c\n", 16) == 0);
        CHECK(memcmp(text + 30 + 16 + 30, " stdout F \n", 11) == 0);
        CHECK_STR(text + 30 + 16 + 30 + 11 + 30, " stdout P last\n");
        rig_down();
}

TEST(a_long_line_is_cut_into_partial_pieces_of_16_kib)
{
        const char *text, *line;
        size_t lengths[3];
        char tags[3];

        rig_up(&plain);
        text = raw_log(&(struct rig_container){
                .argv = rig_sh("head -c 40000 /dev/zero | tr '\\0' x; echo; echo next") });
        line = text;
        for (int n = 0; n < 3; n++) {
                const char *end = strchr(line, '\n');

                CHECK(end);
                tags[n] = line[38];
                lengths[n] = (size_t)(end - line) - 40;
                line = end + 1;
        }
        CHECK(tags[0] == 'P' && tags[1] == 'P' && tags[2] == 'F');
        CHECK(lengths[0] == 16384 && lengths[1] == 16384 && lengths[2] == 40000 - 32768);
        CHECK_STR(line + 30, " stdout F next\n");
        rig_down();
}

TEST(a_line_written_in_parts_is_one_line)
{
        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("printf a; usleep 30000; printf b; usleep "
                                                        "30000; echo c") },
                &o);
        CHECK_STR(o.out, "abc\n");
        rig_down();
}

static unsigned count_logs(const char *id, size_t *ret_bytes)
{
        char command[256], text[64];
        FILE *p;

        snprintf(command, sizeof command, "ls %s/log/%s | wc -l; cat %s/log/%s/* | wc -l", rig_dir,
                 id, rig_dir, id);
        p = popen(command, "r");
        CHECK(p && fgets(text, sizeof text, p));
        *ret_bytes = 0;
        {
                char more[64];

                if (fgets(more, sizeof more, p))
                        *ret_bytes = (size_t)strtoul(more, NULL, 10);
        }
        pclose(p);
        return (unsigned)strtoul(text, NULL, 10);
}

TEST(a_log_is_rotated_at_its_size_and_only_so_many_files_are_kept)
{
        struct rig_container c = { .argv = rig_sh("seq 1 20000"),
                                   .log_max_size = 65536,
                                   .log_max_files = 1000 };
        const char *id;
        size_t lines;

        rig_up(&plain);
        id = create_and_start(&c);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK(count_logs(id, &lines) >= 5);
        CHECK_INT(lines, 20000); /* none lost, none cut in two */

        c.log_max_files = 3;
        id = create_and_start(&c);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK_INT(count_logs(id, &lines), 3);
        rig_down();
}

TEST(a_log_is_opened_anew_on_request_and_never_through_a_link)
{
        struct rig_container c = {
                .argv = rig_sh("echo one; while [ ! -e /tmp/go ]; do usleep 10000; done; echo two")
        };
        const char *id, *touch[] = { "touch", "/tmp/go", NULL };
        static struct rig_exec_outcome e;
        char text[256];

        rig_up(&plain);
        id = create_and_start(&c);
        rig_wait_for_log(id, "one");
        CHECK_INT(rename(rig_log_path(id), rig_path("log/%s/rotated", id)), 0);
        rig_write(rig_path("canary"), "", 0600);
        CHECK_INT(symlink(rig_path("canary"), rig_log_path(id)), 0);
        CHECK(rig_request(SHIM_REOPEN, id, 0, NULL, 0, &m) < 0);
        CHECK_INT(unlink(rig_log_path(id)), 0);
        CHECK_INT(link(rig_path("canary"), rig_log_path(id)), 0);
        CHECK_INT(rig_request(SHIM_REOPEN, id, 0, NULL, 0, &m), -EPERM);
        CHECK_INT(unlink(rig_log_path(id)), 0);
        CHECK_INT(mkfifo(rig_log_path(id), 0600), 0);
        CHECK(rig_request(SHIM_REOPEN, id, 0, NULL, 0, &m) < 0);
        CHECK_INT(unlink(rig_log_path(id)), 0);
        CHECK_INT(rig_request(SHIM_REOPEN, id, 0, NULL, 0, &m), 0);
        rig_exec(id, touch, 25000, 100, &e);
        CHECK_INT(e.r, 0);
        rig_wait(SHIM_EV_EXITED, id, 0, &m);
        CHECK(rig_read(rig_log_path(id), text, sizeof text) > 0);
        CHECK_CONTAINS(text, "stdout F two");
        CHECK_INT(rig_read(rig_path("canary"), text, sizeof text), 0);
        CHECK(rig_read(rig_path("log/%s/rotated", id), text, sizeof text) > 0);
        CHECK_CONTAINS(text, "stdout F one");
        rig_down();
}

TEST(a_terminal_s_output_is_the_log_and_the_container_has_a_console)
{
        rig_up(&plain);
        rig_run(
                &(struct rig_container){
                        .argv = rig_sh("tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && stat -c %t:%T "
                                       "/dev/console $(tty); cat /proc/self/stat"),
                        .flags = PLAN_TERMINAL },
                &o);
        CHECK_STR(o.text, "");
        CHECK_INT(o.exit_code, 0);
        CHECK(strncmp(o.out, "/dev/pts/0\r\n88:0\r\n88:0\r\n", 24) == 0);
        rig_down();
}

TEST(an_open_stdin_blocks_and_a_closed_one_is_the_null_device)
{
        const char *id;

        rig_up(&plain);
        rig_run(&(struct rig_container){ .argv = rig_sh("cat; stat -L -c %t:%T /proc/self/fd/0") },
                &o);
        CHECK_STR(o.out, "1:3\n");
        id = create_and_start(
                &(struct rig_container){ .argv = rig_sh("cat"), .flags = PLAN_STDIN });
        CHECK(!rig_poll(SHIM_EV_EXITED, id, 0, 100, &m));
        kill_and_delete(id);
        rig_down();
}

/* ---- memory ---- */

static void show_memory(const char *when)
{
        static char text[8192];
        const char *dirty;

        usleep(1300000); /* it gives memory back when it idles */
        CHECK(rig_read(rig_path("../../proc/%d/smaps_rollup", rig_shim), text, sizeof text) > 0);
        dirty = strstr(text, "Private_Dirty:");
        CHECK(dirty);
        printf("             %.*s %s\n", (int)strcspn(dirty, "\n"), dirty, when);
        if (getenv("SHOW_SMAPS")) {
                char command[64];

                snprintf(command, sizeof command, "cat /proc/%d/smaps", rig_shim);
                CHECK_INT(system(command), 0);
        }
}

TEST(the_shim_s_memory_is_reported)
{
        const char *ids[8];

        rig_up(&plain);
        show_memory("without a container");
        for (int n = 0; n < 8; n++) {
                ids[n] = create_and_start(&sleeper);
                if (n == 0)
                        show_memory("with 1");
                rig_run(&(struct rig_container){ .argv = rig_sh("seq 1 5000") }, &o);
        }
        show_memory("with 8");
        for (int n = 0; n < 8; n++)
                kill_and_delete(ids[n]);
        rig_down();
}
