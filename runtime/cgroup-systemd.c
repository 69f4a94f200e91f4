#include "runtime/cgroup-systemd.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "base/text.h"
#include "base/usec.h"
#include "runtime/cgroup-values.h"

#define PRIVATE_SOCKET   "unix:path=/run/systemd/private"
#define DESTINATION      "org.freedesktop.systemd1"
#define OBJECT           "/org/freedesktop/systemd1"
#define MANAGER          "org.freedesktop.systemd1.Manager"
#define JOB_TIMEOUT_USEC (10 * USEC_PER_SEC)
enum { SCOPE_NAME_SIZE = 96 };
#define QUOTA_STEP_USEC 10000 /* systemd keeps a quota per second in these */

#define _cleanup_bus_     _cleanup_(sd_bus_flush_close_unrefp)
#define _cleanup_message_ _cleanup_(sd_bus_message_unrefp)

/* ---- names ---- */

/* '-' separates the levels of a slice's name, so within a component it becomes '_'. */
static void add_component(struct strbuf *name, const char *component, size_t n)
{
        if (name->len)
                strbuf_add(name, "-");
        for (size_t i = 0; i < n; i++)
                strbuf_add_n(name, component[i] == '-' ? "_" : &component[i], 1);
}

static char *translate(const char *path, bool whole)
{
        _cleanup_strbuf_ struct strbuf name = { 0 }, all = { 0 };

        for (const char *p = path; *p;) {
                size_t n = strcspn(p, "/");

                if (n) {
                        add_component(&name, p, n);
                        strbuf_addf(&all, "%s%s.slice", all.len ? "/" : "",
                                    name.data ? name.data : "");
                }
                p += n + (p[n] == '/');
        }
        if (name.failed || all.failed)
                return NULL;
        return whole ? strbuf_take(&all) : text_printf("%s.slice", name.data ? name.data : "-");
}

char *cgroup_systemd_slice_name(const char *path)
{
        return translate(path, false);
}

char *cgroup_systemd_slice_path(const char *path)
{
        return translate(path, true);
}

/* ---- the bus ---- */

static int connect_bus(sd_bus **ret, struct err *err)
{
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = sd_bus_new(&bus);

        if (r >= 0)
                r = sd_bus_set_address(bus, PRIVATE_SOCKET);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0)
                return err_sys(err, r, "connect to systemd at '/run/systemd/private'");
        *ret = TAKE_PTR(bus);
        return 0;
}

int cgroup_systemd_check(struct err *err)
{
        _cleanup_bus_ sd_bus *bus = NULL;

        return connect_bus(&bus, err);
}

/* Jobs that ended while we waited: ours may be among them before we know its name. */
struct jobs {
        char **ended, **results; /* owned; side by side */
};

static int on_job_removed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *error)
{
        struct jobs *jobs = userdata;
        const char *job, *unit, *result;
        uint32_t id;

        if (sd_bus_message_read(m, "uoss", &id, &job, &unit, &result) < 0)
                return 0;
        if (strv_append(&jobs->ended, job) == 0 && strv_append(&jobs->results, result) < 0)
                strv_consume(&jobs->results, NULL);
        return 0;
}

static const char *result_of(const struct jobs *jobs, const char *job)
{
        for (size_t i = 0; i < strv_len(jobs->ended) && i < strv_len(jobs->results); i++)
                if (streq(jobs->ended[i], job))
                        return jobs->results[i];
        return NULL;
}

static int wait_for_job(sd_bus *bus, const struct jobs *jobs, const char *job, const char *unit,
                        struct err *err)
{
        usec_t deadline = now_monotonic() + JOB_TIMEOUT_USEC;
        const char *result;

        while (!(result = result_of(jobs, job))) {
                usec_t now = now_monotonic();
                int r = sd_bus_process(bus, NULL);

                if (r == 0 && now >= deadline)
                        return err_set_kind(err, -ETIMEDOUT, ERR_TIMEOUT,
                                            "systemd did not finish the job of '%s'", unit);
                if (r == 0)
                        r = sd_bus_wait(bus, deadline - now);
                if (r < 0 && r != -EINTR)
                        return err_sys(err, r, "wait for systemd's job of '%s'", unit);
        }
        return streq(result, "done") || streq(result, "skipped")
                       ? 0
                       : err_set(err, -EIO, "systemd's job of '%s' ended with '%s'", unit, result);
}

/* Sends a call that is answered by a job and waits for it. @error has systemd's name for a
 * refusal. */
static int run_job(sd_bus *bus, sd_bus_message *call, const char *unit, sd_bus_error *error,
                   struct err *err)
{
        _cleanup_(sd_bus_slot_unrefp)
        sd_bus_slot *slot = NULL;
        _cleanup_message_ sd_bus_message *reply = NULL;
        struct jobs jobs = { 0 };
        const char *job;
        int r = sd_bus_match_signal(bus, &slot, NULL, OBJECT, MANAGER, "JobRemoved", on_job_removed,
                                    &jobs);

        if (r >= 0)
                r = sd_bus_call(bus, call, JOB_TIMEOUT_USEC, error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job);
        if (r < 0)
                err_set(err, r, "systemd refuses '%s': %s", unit,
                        error->message ? error->message : strerror(-r));
        else
                r = wait_for_job(bus, &jobs, job, unit, err);
        strv_free(jobs.ended);
        strv_free(jobs.results);
        return r < 0 ? r : 0;
}

static int new_call(sd_bus *bus, const char *method, sd_bus_message **ret)
{
        return sd_bus_message_new_method_call(bus, ret, DESTINATION, OBJECT, MANAGER, method);
}

static void keep(int *r, int result)
{
        if (*r >= 0 && result < 0)
                *r = result;
}

static void add_bool(int *r, sd_bus_message *m, const char *name, bool value)
{
        keep(r, sd_bus_message_append(m, "(sv)", name, "b", (int)value));
}

static void add_u64(int *r, sd_bus_message *m, const char *name, uint64_t value)
{
        keep(r, sd_bus_message_append(m, "(sv)", name, "t", value));
}

static void add_text(int *r, sd_bus_message *m, const char *name, const char *value)
{
        keep(r, sd_bus_message_append(m, "(sv)", name, "s", value));
}

/* What slices and scopes have in common: every controller is on, nothing is waited for. */
static void add_basics(int *r, sd_bus_message *m, const char *unit)
{
        static const char *const accounts[] = { "MemoryAccounting", "CPUAccounting", "IOAccounting",
                                                "TasksAccounting" };
        char description[128];

        snprintf(description, sizeof description, "skiff %.100s", unit);
        add_text(r, m, "Description", description);
        add_bool(r, m, "DefaultDependencies", false);
        for (size_t i = 0; i < ARRAY_SIZE(accounts); i++)
                add_bool(r, m, accounts[i], true);
}

/* ---- limits ---- */

static uint64_t or_infinity(int64_t v)
{
        return v < 0 ? UINT64_MAX : (uint64_t)v;
}

/* The same values are written to the files as well; systemd has to know them, or it would write its
 * own at the next reload. */
static void add_limits(int *r, sd_bus_message *m, const struct oci_resources *res,
                       enum cgroup_level level)
{
        uint64_t period = res->cpu_period > 0 ? (uint64_t)res->cpu_period : 100000, per_sec;

        if (res->cpu_shares != OCI_UNSET && res->cpu_shares > 0)
                add_u64(r, m, "CPUWeight", cgroup_weight(res->cpu_shares, level));
        if (res->cpu_quota != OCI_UNSET || res->cpu_period != OCI_UNSET) {
                per_sec = UINT64_MAX;
                if (res->cpu_quota > 0)
                        per_sec = ((uint64_t)res->cpu_quota * USEC_PER_SEC / period +
                                   QUOTA_STEP_USEC - 1) /
                                  QUOTA_STEP_USEC * QUOTA_STEP_USEC;
                add_u64(r, m, "CPUQuotaPeriodUSec", period);
                add_u64(r, m, "CPUQuotaPerSecUSec", per_sec);
        }
        if (res->memory_limit != OCI_UNSET && res->memory_limit != 0)
                add_u64(r, m, "MemoryMax", or_infinity(res->memory_limit));
        /* the runtime-spec's swap is memory and swap together */
        if (res->memory_swap != OCI_UNSET && res->memory_swap != 0)
                add_u64(r, m, "MemorySwapMax",
                        res->memory_swap < 0
                                ? UINT64_MAX
                                : (uint64_t)MAX(res->memory_swap - MAX(res->memory_limit, 0), 0));
        if (res->memory_reservation != OCI_UNSET && res->memory_reservation != 0)
                add_u64(r, m, "MemoryLow", or_infinity(res->memory_reservation));
        if (res->pids_limit != OCI_UNSET && res->pids_limit != 0)
                add_u64(r, m, "TasksMax", or_infinity(res->pids_limit));
}

/* ---- slices ---- */

static int start_slice(sd_bus *bus, const char *unit, struct err *err)
{
        _cleanup_(sd_bus_error_free)
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        int r = new_call(bus, "StartTransientUnit", &m);

        if (r < 0)
                return err_sys(err, r, "start '%s'", unit);
        keep(&r, sd_bus_message_append(m, "ss", unit, "replace"));
        keep(&r, sd_bus_message_open_container(m, 'a', "(sv)"));
        add_basics(&r, m, unit);
        keep(&r, sd_bus_message_close_container(m));
        keep(&r, sd_bus_message_append(m, "a(sa(sv))", 0));
        if (r < 0)
                return err_sys(err, r, "start '%s'", unit);
        r = run_job(bus, m, unit, &error, err);
        if (sd_bus_error_has_name(&error, "org.freedesktop.systemd1.UnitExists"))
                return 0; /* from an earlier time: what it shall be comes next */
        return r;
}

static int set_limits(sd_bus *bus, const char *unit, const struct oci_resources *res,
                      enum cgroup_level level, struct err *err)
{
        _cleanup_(sd_bus_error_free)
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_message_ sd_bus_message *m = NULL;
        int r = new_call(bus, "SetUnitProperties", &m);

        if (r < 0)
                return err_sys(err, r, "set limits of '%s'", unit);
        keep(&r, sd_bus_message_append(m, "sb", unit, 1));
        keep(&r, sd_bus_message_open_container(m, 'a', "(sv)"));
        add_limits(&r, m, res, level);
        keep(&r, sd_bus_message_close_container(m));
        if (r >= 0)
                r = sd_bus_call(bus, m, JOB_TIMEOUT_USEC, &error, NULL);
        return r < 0 ? err_set(err, r, "set limits of '%s': %s", unit,
                               error.message ? error.message : strerror(-r))
                     : 0;
}

int cgroup_systemd_apply_slice(const char *path, const struct oci_resources *res, struct err *err)
{
        _cleanup_free_ char *unit = cgroup_systemd_slice_name(path);
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = unit ? connect_bus(&bus, err) : err_sys(err, -ENOMEM, "name slice '%s'", path);

        if (r == 0)
                r = start_slice(bus, unit, err);
        return r == 0 ? set_limits(bus, unit, res, CGROUP_LEVEL_GROUP, err) : r;
}

int cgroup_systemd_stop_slice(const char *path, struct err *err)
{
        _cleanup_(sd_bus_error_free)
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *unit = cgroup_systemd_slice_name(path);
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = unit ? connect_bus(&bus, err) : err_sys(err, -ENOMEM, "name slice '%s'", path);

        if (r < 0)
                return r;
        r = new_call(bus, "StopUnit", &m);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", unit, "replace");
        if (r < 0)
                return err_sys(err, r, "stop '%s'", unit);
        r = run_job(bus, m, unit, &error, err);
        return sd_bus_error_has_name(&error, "org.freedesktop.systemd1.NoSuchUnit") ? 0 : r;
}

/* ---- scopes ---- */

/* Runs in a forked child until it is killed, or skiffd is. It holds nothing. */
static _Noreturn void hold_place(pid_t parent)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(0);
        syscall(SYS_close_range, 0, ~0U, 0);
        for (;;)
                poll(NULL, 0, -1);
}

void cgroup_systemd_end_placeholder(pid_t pid)
{
        if (pid <= 0)
                return;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

static void scope_name(const char *id, char ret[static SCOPE_NAME_SIZE])
{
        snprintf(ret, SCOPE_NAME_SIZE, "skiff-%.64s.scope", id);
}

static int start_scope(const char *parent, const char *unit, const struct oci_resources *res,
                       pid_t placeholder, struct err *err)
{
        _cleanup_(sd_bus_error_free)
        sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_free_ char *slice = cgroup_systemd_slice_name(parent);
        _cleanup_message_ sd_bus_message *m = NULL;
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = slice ? connect_bus(&bus, err) : err_sys(err, -ENOMEM, "name '%s'", unit);

        if (r < 0)
                return r;
        r = new_call(bus, "StartTransientUnit", &m);
        if (r < 0)
                return err_sys(err, r, "start '%s'", unit);
        keep(&r, sd_bus_message_append(m, "ss", unit, "replace"));
        keep(&r, sd_bus_message_open_container(m, 'a', "(sv)"));
        add_basics(&r, m, unit);
        add_text(&r, m, "Slice", slice);
        add_text(&r, m, "CollectMode", "inactive-or-failed");
        add_bool(&r, m, "Delegate", true);
        add_limits(&r, m, res, CGROUP_LEVEL_CONTAINER);
        keep(&r, sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, (uint32_t)placeholder));
        keep(&r, sd_bus_message_close_container(m));
        keep(&r, sd_bus_message_append(m, "a(sa(sv))", 0));
        return r < 0 ? err_sys(err, r, "start '%s'", unit) : run_job(bus, m, unit, &error, err);
}

int cgroup_systemd_start_scope(const char *parent, const char *id, const struct oci_resources *res,
                               pid_t *ret_placeholder, struct err *err)
{
        char unit[SCOPE_NAME_SIZE];
        pid_t ours = getpid(), pid = fork();
        int r;

        if (pid == 0)
                hold_place(ours);
        if (pid < 0)
                return err_sys(err, -errno, "fork");
        scope_name(id, unit);
        r = start_scope(parent, unit, res, pid, err);
        if (r < 0) {
                cgroup_systemd_end_placeholder(pid);
                return r;
        }
        *ret_placeholder = pid;
        return 0;
}

int cgroup_systemd_update_scope(const char *id, const struct oci_resources *res, struct err *err)
{
        char unit[SCOPE_NAME_SIZE];
        _cleanup_bus_ sd_bus *bus = NULL;
        int r = connect_bus(&bus, err);

        scope_name(id, unit);
        return r < 0 ? r : set_limits(bus, unit, res, CGROUP_LEVEL_CONTAINER, err);
}
