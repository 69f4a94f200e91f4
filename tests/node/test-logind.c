/* The delay lock against a logind of our own, on a bus of our own. */
#include "kubelet/logind.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/node/fake.h"

#define DAEMON  "/usr/bin/dbus-daemon"
#define OBJECT  "/org/freedesktop/login1"
#define MANAGER "org.freedesktop.login1.Manager"

static const char bus_config[] =
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
        "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">"
        "<busconfig><listen>unix:path=%s/bus</listen><policy context=\"default\">"
        "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/>"
        "<allow own=\"*\"/></policy></busconfig>";

struct run {
        char dir[64];
        sd_event *event;
        pid_t daemon;
        sd_bus *bus;         /* the fake logind's */
        uint64_t delay;      /* InhibitDelayMaxUSec */
        uint64_t next_delay; /* once it was told to read its configuration */
        int held;            /* our end of the lock's pipe: the other end closes with the lock */
        unsigned n_locks, n_reloads, n_begun, n_called_off;
        struct logind *logind;
};

static int on_inhibit(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct run *r = userdata;
        const char *what, *who, *why, *mode;
        int ends[2], answered;

        CHECK(sd_bus_message_read(m, "ssss", &what, &who, &why, &mode) >= 0);
        CHECK_STR(what, "shutdown");
        CHECK_STR(mode, "delay");
        CHECK(pipe2(ends, O_CLOEXEC) == 0);
        safe_close(r->held);
        r->held = ends[0];
        r->n_locks++;
        answered = sd_bus_reply_method_return(m, "h", ends[1]);
        close(ends[1]);
        return answered;
}

static int on_kill_unit(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct run *r = userdata;
        const char *unit, *who;
        int signal;

        CHECK(sd_bus_message_read(m, "ssi", &unit, &who, &signal) >= 0);
        CHECK_STR(unit, "systemd-logind.service");
        CHECK(signal == SIGHUP);
        r->n_reloads++;
        r->delay = r->next_delay;
        return sd_bus_reply_method_return(m, "");
}

static const sd_bus_vtable logind_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("Inhibit", "ssss", "h", on_inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("InhibitDelayMaxUSec", "t", NULL, offsetof(struct run, delay), 0),
        SD_BUS_SIGNAL("PrepareForShutdown", "b", 0),
        SD_BUS_VTABLE_END,
};
static const sd_bus_vtable systemd_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("KillUnit", "ssi", "", on_kill_unit, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static void start_bus(struct run *r)
{
        char config[96], socket[96], text[1024];
        FILE *f;

        snprintf(config, sizeof config, "%s/bus.conf", r->dir);
        snprintf(socket, sizeof socket, "%s/bus", r->dir);
        snprintf(text, sizeof text, bus_config, r->dir);
        unlink(socket);
        f = fopen(config, "we");
        CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
        r->daemon = fork();
        CHECK(r->daemon >= 0);
        if (r->daemon == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed does not stop it */
                dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO); /* talks of limits */
                execl(DAEMON, DAEMON, "--nofork", "--config-file", config, (char *)NULL);
                _exit(127);
        }
}

static void stop_bus(struct run *r)
{
        if (r->bus)
                sd_bus_detach_event(r->bus);
        r->bus = sd_bus_close_unref(r->bus);
        kill(r->daemon, SIGKILL);
        waitpid(r->daemon, NULL, 0);
}

static void start_fake_logind(struct run *r)
{
        int k = -1;

        /* its socket is there before it listens */
        for (int i = 0; k < 0 && i < 2000; i++) {
                k = sd_bus_open_system(&r->bus);
                if (k < 0)
                        poll(NULL, 0, 5);
        }
        CHECK(k >= 0);
        CHECK(sd_bus_add_object_vtable(r->bus, NULL, OBJECT, MANAGER, logind_vtable, r) >= 0);
        CHECK(sd_bus_add_object_vtable(r->bus, NULL, "/org/freedesktop/systemd1",
                                       "org.freedesktop.systemd1.Manager", systemd_vtable, r) >= 0);
        CHECK(sd_bus_request_name(r->bus, "org.freedesktop.login1", 0) >= 0);
        CHECK(sd_bus_request_name(r->bus, "org.freedesktop.systemd1", 0) >= 0);
        CHECK(sd_bus_attach_event(r->bus, r->event, 0) >= 0);
}

static void on_prepare(bool is_beginning, void *userdata)
{
        struct run *r = userdata;

        r->n_begun += is_beginning;
        r->n_called_off += !is_beginning;
}

/* @delay: what logind grants at first; @next_delay: when it has read the drop-in. */
static void begin(struct run *r, uint64_t delay, uint64_t next_delay)
{
        struct logind_options options = { .delay_usec = 30 * USEC_PER_SEC,
                                          .conf_dir = NULL,
                                          .on_prepare = on_prepare,
                                          .userdata = r };
        static char conf_dir[96];
        char address[96];
        _cleanup_err_ struct err err = { 0 };

        if (access(DAEMON, X_OK) < 0)
                check_skip_all("there is no " DAEMON);
        *r = (struct run){ .dir = "/tmp/skiff-logind.XXXXXX",
                           .delay = delay,
                           .next_delay = next_delay,
                           .held = -1 };
        CHECK(mkdtemp(r->dir));
        snprintf(conf_dir, sizeof conf_dir, "%s/logind.conf.d", r->dir);
        snprintf(address, sizeof address, "unix:path=%s/bus", r->dir);
        setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
        CHECK(sd_event_new(&r->event) >= 0);
        start_bus(r);
        start_fake_logind(r);
        options.conf_dir = conf_dir;
        if (logind_new(r->event, &options, &r->logind, &err) < 0)
                fail_msg("%s", err_text(&err));
}

static void finish(struct run *r)
{
        logind_free(r->logind);
        stop_bus(r);
        sd_event_unref(r->event);
        safe_close(r->held);
        fs_remove_tree_at(AT_FDCWD, r->dir);
}

static bool lock_is_gone(const struct run *r)
{
        struct pollfd p = { .fd = r->held };

        return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

static void announce(struct run *r, bool is_beginning)
{
        CHECK(sd_bus_emit_signal(r->bus, OBJECT, MANAGER, "PrepareForShutdown", "b",
                                 (int)is_beginning) >= 0);
}

TEST(the_lock_is_held_until_the_work_is_done_and_again_when_the_shutdown_is_called_off)
{
        struct run r;

        begin(&r, 60 * USEC_PER_SEC, 0);
        RUN_UNTIL(r.event, logind_holds_lock(r.logind));
        CHECK(r.n_reloads == 0);
        announce(&r, true);
        RUN_UNTIL(r.event, r.n_begun == 1);
        CHECK(!lock_is_gone(&r));
        logind_release(r.logind);
        CHECK(lock_is_gone(&r));
        announce(&r, false);
        RUN_UNTIL(r.event, r.n_called_off == 1 && logind_holds_lock(r.logind));
        CHECK(r.n_locks == 2);
        finish(&r);
        CHECK(access(r.dir, F_OK) < 0);
}

TEST(logind_is_made_to_grant_the_time_that_pods_may_need)
{
        struct run r;
        _cleanup_free_ char *text = NULL;
        char path[128];

        begin(&r, 5 * USEC_PER_SEC, 30 * USEC_PER_SEC);
        RUN_UNTIL(r.event, logind_holds_lock(r.logind));
        CHECK(r.n_reloads == 1);
        snprintf(path, sizeof path, "%s/logind.conf.d/99-kubelet.conf", r.dir);
        CHECK(fs_read_at(AT_FDCWD, path, 4096, &text, NULL) == 0);
        CHECK(strstr(text, "[Login]\nInhibitDelayMaxSec=30\n"));
        finish(&r);
}

TEST(a_logind_that_grants_less_is_held_up_for_as_long_as_it_grants)
{
        struct run r;

        begin(&r, 5 * USEC_PER_SEC, 5 * USEC_PER_SEC);
        RUN_UNTIL(r.event, logind_holds_lock(r.logind));
        CHECK(r.n_reloads == 1);
        finish(&r);
}

TEST(a_bus_that_went_away_is_found_again_and_the_lock_taken_anew)
{
        struct run r;

        begin(&r, 60 * USEC_PER_SEC, 0);
        RUN_UNTIL(r.event, logind_holds_lock(r.logind));
        stop_bus(&r);
        run_for(r.event, 20 * USEC_PER_MSEC);
        CHECK(logind_holds_lock(r.logind)); /* logind keeps it */
        start_bus(&r);
        start_fake_logind(&r);
        RUN_UNTIL(r.event, r.n_locks == 2);
        announce(&r, true);
        RUN_UNTIL(r.event, r.n_begun == 1);
        finish(&r);
}
