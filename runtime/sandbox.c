/*
 * Theory of operation. A sandbox is its shim. It is READY from the shim's word until the shim is
 * dead, however that came about: stopping it means asking the shim to kill what is left and to
 * leave, and everything else happens when it is gone (on_gone). So there is one way down, which a
 * killed shim and a stopped sandbox share; what differs is who is told.
 */
#include "runtime/sandbox.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/cgroup.h"
#include "runtime/container.h"
#include "runtime/host-port.h"
#include "runtime/plan.h"
#include "runtime/record.h"
#include "runtime/shim-stray.h"
#include "runtime/source-guard.h"

#define SHM_SIZE_DEFAULT (UINT64_C(64) << 20)
#define STOP_TIMEOUT_USEC                                                       \
        (20 * USEC_PER_SEC) /* for a shim to kill all it has; then it is killed \
                             */

/* Somebody waits for a start or a stop. */
struct sandbox_op {
        struct runtime_op op; /* first member */
        struct list_node node;
        sandbox_done_fn run_done;
        runtime_done_fn stop_done;
        void *userdata;
};

struct sandbox *sandbox_free(struct sandbox *s)
{
        struct list_node *n;

        if (!s)
                return NULL;
        shim_free(s->shim);
        free(s->run);
        while ((n = list_pop(&s->stops)))
                free(CONTAINER_OF(n, struct sandbox_op, node));
        sd_event_source_disable_unref(s->stop_source);
        string_map_done(&s->labels);
        string_map_done(&s->sysctls);
        free(s->hostname);
        free(s->cgroup_parent);
        for (size_t i = 0; i < s->n_ports; i++)
                free((char *)s->ports[i].host_ip);
        free(s->ports);
        free(s);
        return NULL;
}

struct sandbox *sandbox_get(const struct runtime *rt, const char *id)
{
        return map_get(rt->sandboxes, id);
}

const struct sandbox_status *sandbox_find(const struct runtime *rt, const char *sandbox_id)
{
        struct sandbox *s = sandbox_get(rt, sandbox_id);

        return s ? &s->status : NULL;
}

void sandbox_foreach(const struct runtime *rt,
                     void (*fn)(const struct sandbox_status *s, void *userdata), void *userdata)
{
        const char *id;
        struct sandbox *s;

        MAP_FOREACH (id, s, rt->sandboxes)
                fn(&s->status, userdata);
}

static void set_state(struct sandbox *s, enum sandbox_state state)
{
        s->status.state = state;
        s->status.shim_pid = s->shim ? shim_pid(s->shim) : 0;
}

static void fill_status(struct sandbox *s)
{
        char text[IP_TEXT_MAX];

        s->status.host_network = s->flags & PLAN_HOST_NETWORK;
        s->status.ipv4[0] = s->status.ipv6[0] = '\0';
        for (size_t i = 0; i < s->addresses.n; i++) {
                bool v4 = s->addresses.ips[i].family == AF_INET;

                snprintf(v4 ? s->status.ipv4 : s->status.ipv6,
                         v4 ? sizeof s->status.ipv4 : sizeof s->status.ipv6, "%s",
                         ip_format(&s->addresses.ips[i], text));
        }
}

static void save(const struct sandbox *s)
{
        int r = sandbox_save(s);

        if (r < 0)
                log_warn(r,
                         "Failed to record sandbox '%s', after a restart it is taken for what "
                         "the last record says",
                         s->id);
}

/* Record, socket and addresses; what it was is known to nobody any more. */
static void forget(struct sandbox *s)
{
        _cleanup_free_ char *name = text_printf("%s.json", s->id);

        host_ports_remove(s->rt->host_ports, s);
        pod_network_release(s->rt->network, s->id);
        shim_launcher_forget(s->rt->launcher, s->id);
        if (name && unlinkat(s->rt->sandboxes_fd, name, 0) < 0 && errno != ENOENT)
                log_warn(-errno, "Failed to remove the record of sandbox '%s'", s->id);
        map_remove(s->rt->sandboxes, s->id);
        source_guard_check(s->rt->source_guard);
        sandbox_free(s);
}

/* ---- the way down ---- */

static void finish_stop(struct sandbox *s)
{
        struct list waiting;
        struct list_node *n;

        s->stop_source = sd_event_source_disable_unref(s->stop_source);
        host_ports_remove(s->rt->host_ports, s); /* before the address is another's */
        s->stopped = true;
        s->addresses.n = 0;
        source_guard_check(s->rt->source_guard);
        pod_network_release(s->rt->network, s->id);
        save(s);
        list_init(&waiting);
        while ((n = list_pop(&s->stops)))
                list_append(&waiting, n);
        while ((n = list_pop(&waiting))) { /* @s may be freed by the first of them */
                struct sandbox_op *op = CONTAINER_OF(n, struct sandbox_op, node);

                if (!op->op.abandoned)
                        op->stop_done(0, NULL, op->userdata);
                free(op);
        }
}

static void fail_run(struct sandbox *s, int r, struct err *err)
{
        struct sandbox_op *op = TAKE_PTR(s->run);

        err_kind(err, r, ERR_SANDBOX);
        s->shim = shim_end(s->shim);
        forget(s);
        if (op && !op->op.abandoned)
                op->run_done(r, NULL, err, op->userdata);
        free(op);
}

static void settle_containers(struct sandbox *s)
{
        struct container *c;

        LIST_FOREACH (c, &s->containers, in_sandbox)
                container_settle(c);
}

static void on_gone(void *userdata)
{
        struct sandbox *s = userdata;
        _cleanup_err_ struct err err = { 0 };
        bool was_told = !list_is_empty(&s->stops);

        shim_launcher_forget(s->rt->launcher, s->id);
        if (s->status.state == SANDBOX_STARTING) {
                fail_run(s,
                         err_set_kind(&err, -ECHILD, ERR_SANDBOX,
                                      "the shim died before the sandbox was ready"),
                         &err);
                return;
        }
        s->shim = shim_free(s->shim);
        s->is_awaited = false;
        set_state(s, SANDBOX_NOT_READY);
        settle_containers(s);
        if (was_told) {
                finish_stop(s);
        } else {
                log_warn(0, "Shim of sandbox '%s' died, its containers were killed", s->id);
                runtime_notify_sandbox(s->rt, s->id);
        }
}

/* ---- the way up ---- */

static void on_ready(const struct shim_message *m, const char *text, void *userdata)
{
        struct sandbox *s = userdata;
        struct sandbox_op *op;
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (s->status.state != SANDBOX_STARTING)
                return;
        if (m->verb == SHIM_FAILED) {
                fail_run(s, shim_failure(m, text, &err), &err);
                return;
        }
        r = source_guard_add(s->rt->source_guard, s, &err);
        if (r >= 0)
                r = host_ports_add(s->rt->host_ports, s, &err);
        if (r < 0) {
                fail_run(s, r, &err);
                return;
        }
        set_state(s, SANDBOX_READY);
        op = TAKE_PTR(s->run);
        if (op && !op->op.abandoned)
                op->run_done(0, s->id, NULL, op->userdata);
        free(op);
}

static int on_state(const struct shim_message *m, const char *text, void *userdata)
{
        return container_note_state(userdata, m, text);
}

static void on_inventory_end(void *userdata)
{
        struct sandbox *s = userdata;
        struct container *c, *next;

        s->is_awaited = false;
        set_state(s, SANDBOX_READY);
        LIST_FOREACH_SAFE (c, next, &s->containers, in_sandbox)
                container_recover(c);
        runtime_check_ready(s->rt);
}

static const struct shim_handler handler = {
        .on_ready = on_ready,
        .on_state = on_state,
        .on_inventory_end = on_inventory_end,
        .on_gone = on_gone,
};

static int copy_ports(struct sandbox *s, const struct sandbox_config *config)
{
        s->ports = calloc(config->n_ports + 1, sizeof *s->ports);
        if (!s->ports)
                return -ENOMEM;
        for (; s->n_ports < config->n_ports; s->n_ports++) {
                struct runtime_port *p = &s->ports[s->n_ports];

                *p = config->ports[s->n_ports];
                p->host_ip = strdup_null(p->host_ip);
                if (config->ports[s->n_ports].host_ip && !p->host_ip)
                        return -ENOMEM;
        }
        return 0;
}

static int copy_config(struct sandbox *s, const struct sandbox_config *config)
{
        int r = string_map_copy(&s->labels, &config->labels);

        if (r == 0 && config->sysctls)
                r = string_map_copy(&s->sysctls, config->sysctls);
        if (r == 0)
                r = free_and_strdup(&s->hostname, config->host_network ? NULL : config->hostname);
        if (r == 0)
                r = free_and_strdup(&s->cgroup_parent, config->cgroup_parent);
        if (r == 0)
                r = copy_ports(s, config);
        s->flags = (config->host_network ? PLAN_HOST_NETWORK | PLAN_HOST_UTS : 0) |
                   (config->host_pid ? PLAN_HOST_PID : 0) | (config->host_ipc ? PLAN_HOST_IPC : 0) |
                   (config->share_process_namespace ? PLAN_SHARED_PID : 0);
        s->shm_size = config->shm_size ? config->shm_size : SHM_SIZE_DEFAULT;
        s->status.created_at = now_realtime();
        return r;
}

/* The plan as a sealed memfd. */
static int compile(const struct sandbox *s, struct err *err)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        struct plan_address addresses[ARRAY_SIZE(s->addresses.ips)];
        struct plan_link link;
        struct plan_sandbox_options options = {
                .id = s->id,
                .hostname = s->hostname,
                .flags = s->flags,
                .shm_size = s->shm_size,
                .sysctls = &s->sysctls,
                .addresses = addresses,
                .n_addresses = s->addresses.n,
        };
        int r;

        for (size_t i = 0; i < s->addresses.n; i++)
                addresses[i] = pod_network_plan_address(&s->addresses.ips[i]);
        if (!(s->flags & PLAN_HOST_NETWORK)) {
                pod_network_fill_link(s->rt->network, s->id, &link);
                options.link = &link;
        }
        r = plan_compile_sandbox(&options, &w, err);
        if (r < 0)
                return r;
        r = fs_sealed_memfd("sandbox-plan", w.data, w.len);
        return r < 0 ? err_sys(err, r, "make the sandbox's plan") : r;
}

static int start(struct sandbox *s, struct err *err)
{
        _cleanup_close_ int plan_fd = -1;
        int r = 0;

        r = host_ports_check(s->ports, s->n_ports, err);
        if (r < 0)
                return r;
        if (!cgroup_exists(s->rt->cgroups, s->cgroup_parent))
                return err_set_kind(err, -ENOENT, ERR_SANDBOX, "cgroup '%s' does not exist",
                                    s->cgroup_parent);
        if (!(s->flags & PLAN_HOST_NETWORK))
                r = pod_network_acquire(s->rt->network, s->id, &s->addresses, err);
        if (r < 0)
                return r;
        fill_status(s);
        plan_fd = compile(s, err);
        if (plan_fd < 0)
                return plan_fd;
        r = sandbox_save(s);
        if (r < 0)
                return err_sys(err, r, "record the sandbox");
        set_state(s, SANDBOX_STARTING);
        return shim_spawn(s->rt->launcher, s->id, plan_fd, &handler, s, &s->shim, err);
}

/* Random, and its link's name (which holds only a part of it) is nobody else's. */
static void make_id(const struct runtime *rt, char id[static RUNTIME_ID_SIZE])
{
        struct plan_link ours, theirs;
        const char *other;
        struct sandbox *s;
        bool is_taken;

        do {
                is_taken = false;
                runtime_make_id(id);
                pod_network_fill_link(rt->network, id, &ours);
                MAP_FOREACH (other, s, rt->sandboxes) {
                        pod_network_fill_link(rt->network, other, &theirs);
                        is_taken |= streq(ours.host_name, theirs.host_name);
                }
        } while (is_taken);
}

int sandbox_run(struct runtime *rt, const struct sandbox_config *config, sandbox_done_fn done,
                void *userdata, struct runtime_op **ret, struct err *err)
{
        _cleanup_free_ struct sandbox_op *op = calloc(1, sizeof *op);
        char id[RUNTIME_ID_SIZE];
        struct sandbox *s;
        int r;

        make_id(rt, id);
        s = op ? sandbox_new(rt, id) : NULL;
        r = s ? copy_config(s, config) : -ENOMEM;
        if (r == 0)
                r = map_put(rt->sandboxes, s->id, s, NULL);
        if (r < 0) {
                sandbox_free(s);
                return err_sys(err, r, "make a sandbox");
        }
        r = start(s, err);
        if (r < 0) {
                forget(s);
                return err_kind(err, r, ERR_SANDBOX);
        }
        op->run_done = done;
        op->userdata = userdata;
        s->run = TAKE_PTR(op);
        if (ret)
                *ret = &s->run->op;
        return 0;
}

/* ---- stop, remove ---- */

static int on_stop_due(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
        struct sandbox *s = userdata;

        if (!s->shim) {
                finish_stop(s); /* it was dead already: told from the loop all the same */
                return 0;
        }
        log_warn(0, "Shim of sandbox '%s' does not end, killing it", s->id);
        shim_kill(s->shim);
        return 0;
}

static int begin_stop(struct sandbox *s)
{
        struct shim_message m = { .verb = SHIM_SHUTDOWN };
        int r = 0;

        if (s->stop_source)
                return 0; /* under way */
        if (s->shim)
                r = shim_request(s->shim, &m, NULL, 0, NULL, NULL, NULL);
        if (r == -ENOTCONN)
                r = 0; /* it is just dying, and on_gone comes */
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(s->rt->event, &s->stop_source, CLOCK_MONOTONIC,
                                       s->shim ? STOP_TIMEOUT_USEC : 0, ACCURACY_USEC, on_stop_due,
                                       s);
        return r < 0 ? r : 0;
}

int sandbox_stop(struct runtime *rt, const char *sandbox_id, runtime_done_fn done, void *userdata,
                 struct runtime_op **ret, struct err *err)
{
        struct sandbox *s = sandbox_get(rt, sandbox_id);
        _cleanup_free_ struct sandbox_op *op = NULL;
        int r;

        if (!s)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no sandbox '%s'", sandbox_id);
        op = calloc(1, sizeof *op);
        r = op ? begin_stop(s) : -ENOMEM;
        if (r < 0)
                return err_sys(err, r, "stop sandbox '%s'", sandbox_id);
        op->stop_done = done;
        op->userdata = userdata;
        list_append(&s->stops, &op->node);
        if (ret)
                *ret = &op->op;
        TAKE_PTR(op);
        return 0;
}

int sandbox_remove(struct runtime *rt, const char *sandbox_id, struct err *err)
{
        struct sandbox *s = sandbox_get(rt, sandbox_id);
        struct container *c, *next;

        if (!s)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND, "no sandbox '%s'", sandbox_id);
        if (!s->stopped)
                return err_set(err, -EBUSY, "sandbox '%s' has not been stopped", sandbox_id);
        LIST_FOREACH_SAFE (c, next, &s->containers, in_sandbox)
                container_discard(c);
        forget(s);
        return 0;
}

/* ---- after a restart ---- */

static void load(struct runtime *rt, const char *name)
{
        _cleanup_free_ char *id = strndup(name, RUNTIME_ID_SIZE - 1);
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL;
        struct sandbox *s = NULL;
        int r;

        if (!id || !is_hex_lower(id, RUNTIME_ID_SIZE - 1) ||
            !streq(name + RUNTIME_ID_SIZE - 1, ".json"))
                return; /* set aside, or half-written when somebody died */
        r = record_read(rt->sandboxes_fd, name, &record, &err);
        if (r == 0)
                r = sandbox_from_record(rt, id, record, &s, &err);
        if (r < 0) {
                record_set_aside(rt->sandboxes_fd, name, r, &err);
                return;
        }
        set_state(s, SANDBOX_NOT_READY);
        if (!streq_null(json_text_at(record, "bootId"), rt->boot_id)) {
                s->stopped = true; /* nothing outlives a boot */
                s->addresses.n = 0;
        }
        if (!s->stopped) {
                r = pod_network_adopt(rt->network, s->id, &s->addresses);
                if (r < 0)
                        log_warn(r, "Address of sandbox '%s' is another's too, or cannot be kept",
                                 s->id);
        }
        fill_status(s);
        if (map_put(rt->sandboxes, s->id, s, NULL) < 0) {
                log_oom();
                sandbox_free(s);
        }
}

/* A shim whose sandbox has no record (any more) is found all the same, so that it can be stopped:
 * its labels are empty. */
static struct sandbox *adopt_nameless(struct runtime *rt, const char *id)
{
        struct sandbox *s = sandbox_new(rt, id);

        if (s && (free_and_strdup(&s->cgroup_parent, "") < 0 ||
                  map_put(rt->sandboxes, s->id, s, NULL) < 0))
                s = sandbox_free(s);
        if (s)
                log_warn(0, "Sandbox '%s' lives, but what it belongs to is not known", id);
        return s;
}

static void find_shim(struct runtime *rt, const char *id)
{
        struct sandbox *s = sandbox_get(rt, id);
        _cleanup_(shim_freep)
        struct shim *shim = NULL;
        _cleanup_err_ struct err err = { 0 };
        int r;

        if (!s)
                s = adopt_nameless(rt, id);
        r = s ? shim_connect(rt->launcher, id, &handler, s, &shim, &err)
              : err_sys(&err, -ENOMEM, "adopt sandbox '%s'", id);
        if (r < 0) {
                if (r != -ECONNREFUSED && r != -ENOENT) {
                        log_warn(0, "%s", err_text(&err));
                        if (s)
                                s->may_have_shim = true;
                } else if (s) {
                        shim_launcher_forget(rt->launcher, id);
                }
                if (s && s->status.created_at == 0)
                        forget(s); /* a socket without record or shim was all there was */
                return;
        }
        s->shim = TAKE_PTR(shim);
        s->is_awaited = true;
        s->stopped = false;
        set_state(s, SANDBOX_READY);
}

static bool is_stray(const char *id, void *userdata)
{
        const struct sandbox *s = sandbox_get(userdata, id);

        return s && !s->shim && !s->may_have_shim;
}

int sandbox_load_all(struct runtime *rt, struct err *err)
{
        _cleanup_strv_ char **names = NULL, **ids = NULL;
        int r = fs_list_at(rt->sandboxes_fd, ".", &names);

        if (r == 0)
                r = shim_launcher_list(rt->launcher, &ids);
        if (r < 0)
                return err_sys(err, r, "list sandboxes");
        STRV_FOREACH (name, names)
                load(rt, *name);
        STRV_FOREACH (id, ids)
                find_shim(rt, *id);
        r = shim_strays_end(cgroup_tree_shims_fd(rt->cgroups), is_stray, rt);
        if (r < 0)
                log_warn(r, "Failed to look for shims without a socket, going on");
        return 0;
}

bool sandbox_is_any_awaited(const struct runtime *rt)
{
        const char *id;
        struct sandbox *s;

        MAP_FOREACH (id, s, rt->sandboxes)
                if (s->is_awaited)
                        return true;
        return false;
}

void sandbox_give_up_waiting(struct runtime *rt)
{
        const char *id;
        struct sandbox *s;
        struct container *c;

        MAP_FOREACH (id, s, rt->sandboxes) {
                if (!s->is_awaited)
                        continue;
                log_warn(0,
                         "Shim of sandbox '%s' does not answer, its containers' state is unknown",
                         id);
                s->is_awaited = false;
                LIST_FOREACH (c, &s->containers, in_sandbox)
                        if (!c->is_heard_of && c->status.state != CONTAINER_EXITED)
                                c->status.state = CONTAINER_UNKNOWN;
        }
}
