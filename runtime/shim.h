/*
 * The program skiff-shim: parent of one sandbox's containers and execs. One thread, one epoll loop,
 * no library but libc; it outlives skiffd and answers whoever connects next.
 *
 *      shim.c             birth, the loop, shutdown
 *      shim-connection.c  who is connected; answers and events that wait until they are read
 *      shim-request.c     a message taken apart and handed on
 *      shim-container.c   one container: created, running, exited, recorded, acknowledged
 *      shim-record.c      its exit record on disk
 *      shim-log.c         its output as CRI log files, rotated
 *      shim-exec.c        further processes in it
 *
 * Memory: this process exists once per pod. Buffers are static, few, and given back when it idles.
 */
#pragma once
#include "base/cleanup.h"
#include "base/list.h"
#include "runtime/launch.h"
#include "runtime/shim-protocol.h"
#include "runtime/shim-sandbox.h"

/* ---- the loop (shim.c) ---- */
struct source {
        int fd; /* borrowed; -1: not watched */
        void (*on_ready)(struct source *s, uint32_t events);
};
#define SOURCE_OFF(handler)                     \
        (struct source)                         \
        {                                       \
                .fd = -1, .on_ready = (handler) \
        }
/* Watches @fd until source_unwatch(); level-triggered. 0 or a negative errno. */
int source_watch(struct source *s, int fd, uint32_t events);
int source_change(struct source *s, uint32_t events);
void source_unwatch(struct source *s);

struct connection;
struct reply_to { /* who waits for an answer; connection NULL: nobody, any more */
        struct connection *connection;
        uint64_t request;
};

struct shim {
        int records; /* directory of exit records */
        struct sandbox sandbox;
        struct list containers, execs;
        bool ending;            /* a shutdown: nothing new starts */
        uint64_t signalled;     /* monotonic: when the machine began to go down; 0: it does not */
        uint64_t last_sequence; /* of events */
};
extern struct shim shim;

uint64_t shim_monotonic_usec(void);
uint64_t shim_realtime_usec(void);
/* A warning to standard error: "skiff-shim: <what>['<whom>'][: <error>]". @r 0: no error. */
void shim_warn(const char *what, const char *whom, int r);
/* Kills what runs; @to is answered, and the process ends, when nothing does any more. */
void shim_shutdown(struct reply_to to);
void shim_forget_connection(const struct connection *gone);
/* Something has ended: looks whether a shutdown is complete. */
void shim_check_end(void);

/* ---- connections (shim-connection.c) ---- */
int connections_listen(int listen_fd);
/* Takes @fd. */
int connection_add(int fd, bool wants_events);
void connection_want_events(struct connection *c);
/* Takes @fds, also on failure. Forgets @to. */
void reply(struct reply_to *to, struct shim_message *m, const char *text, int *fds, unsigned n_fds);
void reply_ok(struct reply_to *to, const char *id, int64_t value);
void reply_failed(struct reply_to *to, const char *id, int r, unsigned kind, const char *text);
/* To one connection, or (NULL) to all that want events. */
void send_event(struct connection *c, const struct shim_message *m, const char *text);
bool connections_are_flushed(void);

/* ---- requests (shim-request.c) ---- */
/* Owns @fds: what nobody took is closed. */
void request_handle(struct connection *c, const struct shim_message *m, int *fds, unsigned n_fds);

/* ---- plans (shim-request.c) ---- */
/* Maps a sealed plan; unmap with plan_unmap(). -EBADMSG and the rule in @why. */
struct mapped_plan {
        void *data;
        size_t len;
        struct plan_view view;
};
int plan_map(int fd, struct mapped_plan *ret, const char **why);
void plan_unmap(struct mapped_plan *p);

/* ---- containers (shim-container.c) ---- */
/* Takes what it needs of @fds (plan, cgroup, [seccomp]), leaving -1. */
void container_create(struct reply_to to, const char *id, int *fds, unsigned n_fds);
void container_start(struct reply_to to, const char *id);
void container_kill(struct reply_to to, const char *id, int signal);
void container_reopen_log(struct reply_to to, const char *id);
void container_delete(struct reply_to to, const char *id);
void container_attach(struct reply_to to, const struct shim_message *m);
void containers_kill_all(void);
bool containers_have_ended(void);
/* The machine goes down: when the next container's time to end by itself is over. UINT64_MAX: none.
 */
uint64_t containers_deadline(void);
void containers_check_deadlines(uint64_t now_usec);
/* Every container's state to a connection that said HELLO; then what is not acknowledged. */
void containers_tell(struct connection *c);
void containers_acknowledge(uint64_t sequence);
void containers_forget_connection(const struct connection *c);
/* What an exec needs to know of a running container; all borrowed. */
struct exec_target {
        int plan, cgroup, seccomp, pidfd;
};
/* -ENOENT: unknown; -ESRCH: not running. */
int container_exec_target(const char *id, struct exec_target *ret);

/* ---- exit records (shim-record.c) ---- */
struct exit_record {
        int exit_code;
        bool oom_killed, start_failed;
        uint64_t started_usec, finished_usec;
        const char *message; /* "" for none */
};
/* Below @records, whole or not at all, and on disk when it returns. */
int exit_record_write(int records, const char *id, const struct exit_record *record);

/* ---- logs (shim-log.c) ---- */
struct container_log {
        int dir, file; /* owned */
        char *name;    /* owned: the file's, below dir */
        uint64_t size, max_size, rotate_at;
        uint32_t max_files;
        bool complained;
};
enum { LOG_TAPS_MAX = 8 };
struct log_stream { /* one of a container's outputs */
        struct source source;
        int taps[LOG_TAPS_MAX]; /* owned: pipes of those who are attached, the first .n_taps */
        unsigned n_taps;
        int fd; /* owned; -1: at its end */
        struct container_log *log;
        const char *name; /* "stdout" */
        char *carry;      /* owned: the beginning of a line */
        size_t carry_len;
};
/* @path NULL: nothing is kept, outputs are only drained. */
int log_open(struct container_log *log, const char *path, uint64_t max_size, uint32_t max_files);
int log_reopen(struct container_log *log);
void log_close(struct container_log *log);
/* Takes @fd and reads it from the loop on. */
int log_stream_open(struct log_stream *s, struct container_log *log, const char *name, int fd);
/* A pipe that gets a copy of what comes from now on: its read end, -EMFILE when there are many. */
int log_stream_tap(struct log_stream *s);
/* Writes what is there by now. */
void log_stream_drain(struct log_stream *s);
void log_stream_close(struct log_stream *s);
#define LOG_NONE                      \
        (struct container_log)        \
        {                             \
                .dir = -1, .file = -1 \
        }

/* A buffer for reading, shared by all whose content is used up at once. */
enum { SHIM_BUFFER_SIZE = 32768 };
extern char *shim_buffer;
int shim_buffer_open(void);
/* Gives the buffer's pages back to the kernel. */
void shim_buffer_release(void);

/* ---- execs (shim-exec.c) ---- */
void exec_start(struct reply_to to, const struct shim_message *m, int plan_fd);
/* Of the same connection. */
void exec_kill(struct reply_to to, uint64_t request);
bool execs_have_ended(void);
void execs_forget_connection(const struct connection *c);
/* The next time-out, monotonic; UINT64_MAX: none. */
uint64_t execs_deadline(void);
void execs_check_deadlines(uint64_t now_usec);

/* What waitid(2) said as a shell would: 0 to 255, or 128 + signal. */
int exit_code_of(int code, int status);
