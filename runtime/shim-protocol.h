/*
 * What skiffd and a shim say to each other: SOCK_SEQPACKET messages, each one fixed header followed
 * by text, with descriptors beside it (SCM_RIGHTS). Plans travel as sealed memfds (launch-plan.h).
 *
 * A request carries an id that the answer repeats; verbs are idempotent by container id, so skiffd
 * may ask again after a restart. Events carry a sequence number and are kept by the shim until
 * acknowledged. Linked into the static shim: libc and the kernel's headers only.
 *
 * Descriptors a shim is born with (in the shims' cgroup, argv: "skiff-shim", the sandbox's id):
 * 3 listening socket (SOCK_SEQPACKET), 4 sandbox plan, 5 first connection (socketpair), 6 the
 * template mount namespace, 7 exit-record directory (containers/); standard error is for warnings.
 *
 * The template's root is a tmpfs of ours, all private, with two empty directories "root" (where a
 * container's root is attached before pivot_root) and "shm" (the sandbox's /dev/shm), and nothing
 * else: its size is what every container start copies.
 *
 * A container ends up in exactly one exit record, <records>/<id>/exit, before SHIM_EV_EXITED:
 * {"version":1,"exitCode":0,"oomKilled":false,"startedAt":usec,"finishedAt":usec,
 * "startFailed":false,"message":""}; startedAt 0: never started.
 *
 * Execs belong to the connection that asked: when it ends, captured ones are killed (nobody waits
 * for them), streamed ones live on as long as their streams let them.
 */
#pragma once
#include <stdint.h>

enum { SHIM_PROTOCOL_VERSION = 1, SHIM_MAX_FDS = 4, SHIM_TEXT_MAX = 3072, SHIM_ID_SIZE = 65 };
enum {
        SHIM_FD_LISTEN = 3,
        SHIM_FD_PLAN,
        SHIM_FD_CONNECTION,
        SHIM_FD_TEMPLATE,
        SHIM_FD_RECORDS,
        _SHIM_FD_END
};

enum shim_verb {
        /* skiffd -> shim */
        SHIM_HELLO = 1, /* answer SHIM_OK: value = shim's pid; then a SHIM_EV_STATE for every
                           container, then SHIM_EV_END */
        SHIM_CREATE,    /* fds: plan, container's cgroup directory, [seccomp program: a bare
                           sock_filter array]; answer: value = pid. After SHIM_FAILED the id is
                           unknown again */
        SHIM_START,     /* answer: value = pid, time_usec = started at; or SHIM_FAILED with err_kind
                           ERR_COMMAND_…, and the container is EXITED (128) with its record and
                           SHIM_EV_EXITED */
        SHIM_KILL,      /* value = signal; SIGKILL kills the cgroup; before START any signal does */
        SHIM_EXEC, /* id = container; fds: plan; flags SHIM_EXEC_…; value = time-out in ms (0:
                      none); value2 = output cap. The plan needs PLAN_ARG only: CONTAINER, ENV, CWD,
                      GROUP and RLIMIT are the container's own where the exec's plan has none of
                      that type; confinement always is. Answer after execve: value = pid (of the
                      host), fds of a stream: stdin, stdout, stderr as asked for; with a terminal
                      its master alone */
        SHIM_EXEC_KILL, /* value = request id of the exec */
        SHIM_REOPEN,    /* open the log anew */
        SHIM_DELETE,    /* forget an exited container and its event; fine for an unknown one */
        SHIM_ACK,       /* value = highest sequence number seen; no answer */
        SHIM_SHUTDOWN,  /* kill what is left, answer when nothing runs, exit */
        SHIM_ATTACH, /* flags SHIM_EXEC_STDIN, _STDOUT, _STDERR: what is wanted of a container's own
                        streams; answer: flags = what there is, with a terminal also _TTY; fds in
                        that order: the write end of its input (the only one if it is stdin-once),
                        or its terminal, then copies of its outputs from now on. Who does not take
                        a copy's bytes in time loses the rest: the container does not wait */
        /* shim -> skiffd, answers */
        SHIM_OK = 64,
        SHIM_FAILED, /* value = negative errno, kind = enum err_kind, text = sentence */
        /* shim -> skiffd, events */
        SHIM_EV_READY = 128, /* once after birth: namespaces and network stand; or SHIM_FAILED with
                                request 0 */
        SHIM_EV_STATE,  /* id, state, value = pid or exit code, flags SHIM_STATE_…, time_usec =
                           started, time2_usec = finished; kind and text of a failed start */
        SHIM_EV_EXITED, /* the same fields; sequence to acknowledge; also on disk already */
        SHIM_EV_EXEC_EXITED, /* request = the exec's; value = exit code; flags SHIM_EXEC_TIMED_OUT;
                                captured: fds: output memfd, value2 = its bytes. sequence 0 */
        SHIM_EV_END,
};
enum shim_container_state { SHIM_CREATED = 1, SHIM_RUNNING, SHIM_EXITED };
enum { SHIM_STATE_OOM_KILLED = 1, SHIM_STATE_START_FAILED = 2 };
enum {
        SHIM_EXEC_CAPTURE = 1,
        SHIM_EXEC_TTY = 2,
        SHIM_EXEC_STDIN = 4,
        SHIM_EXEC_STDOUT = 8,
        SHIM_EXEC_STDERR = 16,
        SHIM_EXEC_TIMED_OUT = 32
};

struct shim_message {
        uint32_t version; /* SHIM_PROTOCOL_VERSION */
        uint16_t verb;    /* enum shim_verb */
        uint16_t flags;
        uint64_t request;  /* chosen by skiffd; 0 in events that answer none */
        uint64_t sequence; /* of an event; 0: needs no acknowledgement */
        int64_t value, value2;
        uint64_t time_usec, time2_usec; /* CLOCK_REALTIME */
        uint16_t kind;                  /* enum err_kind */
        uint8_t state;                  /* enum shim_container_state */
        uint8_t pad;
        uint32_t text_len;         /* bytes of text behind the header */
        char id[SHIM_ID_SIZE + 7]; /* container id, NUL-terminated */
};

/* Sends one message; 0, -EAGAIN when the peer does not read, other negative errno. */
int shim_send(int fd, const struct shim_message *m, const char *text, const int *fds,
              unsigned n_fds);
/**
 * shim_receive() - takes one message
 * @text: at least SHIM_TEXT_MAX + 1 bytes; NUL-terminated
 * @fds:  room for SHIM_MAX_FDS, owned by the caller after success, close-on-exec
 * Return: 1; 0 at end of stream; -EAGAIN; -EBADMSG when it is no message of this version; other
 * negative errno.
 */
int shim_receive(int fd, struct shim_message *m, char *text, int *fds, unsigned *n_fds);
