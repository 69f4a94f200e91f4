/*
 * Theory of operation. connect() asks for three things at once: the signal, and how long logind
 * lets a shutdown be delayed. When that is less than what we need, a drop-in says so, logind is
 * told to read its configuration, and is asked again a few times. Then the lock is asked for: it is
 * a descriptor, and closing it is letting go. What fails is said once and tried again in a second.
 */
#include "kubelet/logind.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"

#define DESTINATION     "org.freedesktop.login1"
#define OBJECT          "/org/freedesktop/login1"
#define MANAGER         "org.freedesktop.login1.Manager"
#define DROP_IN         "99-kubelet.conf"
#define RETRY_USEC      USEC_PER_SEC
#define CALL_USEC       (25 * USEC_PER_SEC)
#define FIRST_LOOK_USEC (100 * USEC_PER_MSEC)
#define LOOKS           5 /* 0.1 to 1.6 s apart, until logind has read its configuration */
#define TIMER_ACCURACY  (50 * USEC_PER_MSEC)

struct logind {
        struct logind_options options;
        sd_event *event;                    /* borrowed */
        sd_bus *bus;                        /* owned; NULL: not connected */
        sd_bus_slot *prepare, *gone, *call; /* owned; one call at a time */
        sd_event_source *timer;             /* owned; when to connect, or to look again */
        int lock;                           /* -1: none */
        unsigned looks;                     /* since logind was told to read its configuration */
        bool complained;                    /* about what went wrong last; it is said once */
};

static void ask_delay(struct logind *l);
static void ask_lock(struct logind *l);

static void set_timer(struct logind *l, usec_t pause)
{
        sd_event_source_set_time(l->timer, now_monotonic() + pause);
        sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void disconnect(struct logind *l)
{
        l->prepare = sd_bus_slot_unref(l->prepare);
        l->gone = sd_bus_slot_unref(l->gone);
        l->call = sd_bus_slot_unref(l->call);
        if (l->bus)
                sd_bus_detach_event(l->bus);
        l->bus = sd_bus_close_unref(l->bus);
}

/* The lock stays: logind keeps it over a restart of its own and of the bus. */
static void fail(struct logind *l, int r, const char *what, const char *detail)
{
        if (!l->complained)
                log_warn(r, "Shutdowns of this machine cannot be waited for, trying again: %s%s%s",
                         what, detail ? ": " : "", detail ? detail : "");
        l->complained = true;
        disconnect(l);
        set_timer(l, RETRY_USEC);
}

/* 0; else it was an error, and has been dealt with. */
static int check_answer(struct logind *l, sd_bus_message *answer, const char *what)
{
        const sd_bus_error *e = sd_bus_message_get_error(answer);

        l->call = sd_bus_slot_unref(l->call);
        if (!e)
                return 0;
        fail(l, -sd_bus_message_get_errno(answer), what, e->message ? e->message : e->name);
        return -EIO;
}

/* ---- the lock ---- */

static int on_lock(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct logind *l = userdata;
        int fd, r;

        if (check_answer(l, m, "logind refuses the lock") < 0)
                return 0;
        r = sd_bus_message_read(m, "h", &fd);
        if (r >= 0) {
                fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                r = fd < 0 ? -errno : 0;
        }
        if (r < 0) {
                fail(l, r, "take logind's lock", NULL);
                return 0;
        }
        safe_close(l->lock);
        l->lock = fd;
        l->complained = false;
        log_info("A shutdown of this machine waits for its pods, up to %" PRIu64 " s",
                 l->options.delay_usec / USEC_PER_SEC);
        return 0;
}

static void ask_lock(struct logind *l)
{
        int r = sd_bus_call_method_async(l->bus, &l->call, DESTINATION, OBJECT, MANAGER, "Inhibit",
                                         on_lock, l, "ssss", "shutdown", "kubelet",
                                         "Kubelet needs time to handle node shutdown", "delay");

        if (r < 0)
                fail(l, r, "ask logind for a lock", NULL);
}

/* ---- how long a shutdown can be delayed ---- */

static int write_drop_in(const struct logind *l)
{
        _cleanup_free_ char *text = text_printf("# Of skiffd: shutdownGracePeriod\n"
                                                "[Login]\n"
                                                "InhibitDelayMaxSec=%" PRIu64 "\n",
                                                l->options.delay_usec / USEC_PER_SEC);
        _cleanup_close_ int dir = -1;

        if (!text)
                return -ENOMEM;
        if (fs_mkdir_p_at(AT_FDCWD, l->options.conf_dir, 0755) < 0)
                return -errno;
        dir = open(l->options.conf_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return dir < 0 ? -errno : fs_replace_at(dir, DROP_IN, text, strlen(text), 0644, false);
}

static int on_told(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct logind *l = userdata;

        if (check_answer(l, m, "tell logind to read its configuration") == 0)
                set_timer(l, FIRST_LOOK_USEC);
        return 0;
}

/* logind reads its configuration at SIGHUP, which systemd sends for us. */
static void raise_delay(struct logind *l)
{
        int r = write_drop_in(l);

        if (r < 0) {
                fail(l, r, "write '" DROP_IN "'", l->options.conf_dir);
                return;
        }
        l->looks = 1;
        r = sd_bus_call_method_async(l->bus, &l->call, "org.freedesktop.systemd1",
                                     "/org/freedesktop/systemd1",
                                     "org.freedesktop.systemd1.Manager", "KillUnit", on_told, l,
                                     "ssi", "systemd-logind.service", "all", 1);
        if (r < 0)
                fail(l, r, "tell logind to read its configuration", NULL);
}

/* Less is better than nothing: the lock is taken all the same. */
static void settle_for(struct logind *l, uint64_t granted)
{
        log_warn(0,
                 "logind grants a shutdown %" PRIu64
                 " s only (InhibitDelayMaxSec), pods may need %" PRIu64 ": some may be cut off",
                 granted / USEC_PER_SEC, l->options.delay_usec / USEC_PER_SEC);
        ask_lock(l);
}

static int on_delay(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct logind *l = userdata;
        uint64_t granted;
        int r;

        if (check_answer(l, m, "logind does not answer") < 0)
                return 0;
        r = sd_bus_message_read(m, "v", "t", &granted);
        if (r < 0)
                fail(l, r, "read logind's InhibitDelayMaxUSec", NULL);
        else if (granted >= l->options.delay_usec)
                ask_lock(l);
        else if (l->looks == 0)
                raise_delay(l);
        else if (l->looks >= LOOKS)
                settle_for(l, granted);
        else
                set_timer(l, FIRST_LOOK_USEC << l->looks++);
        return 0;
}

static void ask_delay(struct logind *l)
{
        int r = sd_bus_call_method_async(l->bus, &l->call, DESTINATION, OBJECT,
                                         "org.freedesktop.DBus.Properties", "Get", on_delay, l,
                                         "ss", MANAGER, "InhibitDelayMaxUSec");

        if (r < 0)
                fail(l, r, "ask logind how long a shutdown can be delayed", NULL);
}

/* ---- the connection ---- */

static int on_prepare(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct logind *l = userdata;
        int is_beginning;

        if (sd_bus_message_read(m, "b", &is_beginning) < 0) {
                log_warn(0, "logind's PrepareForShutdown is not a boolean, passed over");
                return 0;
        }
        l->options.on_prepare(is_beginning, l->options.userdata);
        if (!is_beginning && l->bus && !l->call)
                ask_lock(l);
        return 0;
}

static int on_match(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct logind *l = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e)
                fail(l, -sd_bus_message_get_errno(m), "listen to logind", e->message);
        return 0;
}

static int on_gone(_unused_ sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        fail(userdata, 0, "the connection to the bus is lost", NULL);
        return 0;
}

static void connect_bus(struct logind *l)
{
        int r = sd_bus_open_system(&l->bus);

        l->looks = 0;
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(l->bus, CALL_USEC);
        if (r >= 0)
                r = sd_bus_attach_event(l->bus, l->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_match_signal_async(l->bus, &l->gone, "org.freedesktop.DBus.Local",
                                              "/org/freedesktop/DBus/Local",
                                              "org.freedesktop.DBus.Local", "Disconnected", on_gone,
                                              NULL, l);
        if (r >= 0)
                r = sd_bus_match_signal_async(l->bus, &l->prepare, DESTINATION, OBJECT, MANAGER,
                                              "PrepareForShutdown", on_prepare, on_match, l);
        if (r < 0)
                fail(l, r, "connect to the system's bus", NULL);
        else
                ask_delay(l);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata)
{
        struct logind *l = userdata;

        if (l->bus)
                ask_delay(l);
        else
                connect_bus(l);
        return 0;
}

/* ---- from outside ---- */

void logind_release(struct logind *l)
{
        l->lock = safe_close(l->lock);
}

bool logind_holds_lock(const struct logind *l)
{
        return l->lock >= 0;
}

int logind_new(sd_event *event, const struct logind_options *options, struct logind **ret,
               struct err *err)
{
        _cleanup_(logind_freep)
        struct logind *l = calloc(1, sizeof *l);
        int r;

        if (!l)
                return err_sys(err, -ENOMEM, "wait for shutdowns");
        *l = (struct logind){ .options = *options, .event = event, .lock = -1 };
        r = sd_event_add_time(event, &l->timer, CLOCK_MONOTONIC, now_monotonic(), TIMER_ACCURACY,
                              on_timer, l);
        if (r < 0)
                return err_sys(err, r, "wait for shutdowns");
        *ret = TAKE_PTR(l);
        return 0;
}

struct logind *logind_free(struct logind *l)
{
        if (!l)
                return NULL;
        disconnect(l);
        sd_event_source_disable_unref(l->timer);
        safe_close(l->lock);
        free(l);
        return NULL;
}
