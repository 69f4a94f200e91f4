/*
 * skiffd's end of the conversation with its shims: starts them, finds them again, asks, listens.
 *
 * A shim is executed from one sealed memfd, so that no process in a pod can reach a binary of the
 * host, in the shims' own cgroup, so that nothing that happens to skiffd happens to it. Its socket
 * lies in <run_dir>/shims/<sandbox id>.
 */
#pragma once
#include "runtime/runtime-internal.h"
#include "runtime/shim-protocol.h"

struct shim_launcher; /* opaque; what all shims are started with */
/* Reads and seals the program, makes the mount template and the folder of sockets. */
int shim_launcher_new(struct runtime *rt, struct shim_launcher **ret, struct err *err);
struct shim_launcher *shim_launcher_free(struct shim_launcher *l);
DEFINE_CLEANUP(struct shim_launcher *, shim_launcher_free)
/* Ids of the sandboxes that have a socket, sorted; owned. */
int shim_launcher_list(const struct shim_launcher *l, char ***ret);
/* The socket of a shim that is dead. */
void shim_launcher_forget(const struct shim_launcher *l, const char *id);

struct shim; /* opaque; one connection */
struct shim_handler {
        /* SHIM_EV_READY, or SHIM_FAILED: it could not set its sandbox up. */
        void (*on_ready)(const struct shim_message *m, const char *text, void *userdata);
        /* SHIM_EV_STATE or SHIM_EV_EXITED. The latter is acknowledged when this returns 0. */
        int (*on_state)(const struct shim_message *m, const char *text, void *userdata);
        /* All states were told (the answer to HELLO is complete). */
        void (*on_inventory_end)(void *userdata);
        /* It is dead, and all it had to say was heard. Its requests were answered with SHIM_FAILED
         * before. Called once; the owner may free the shim from here, as from all others. */
        void (*on_gone)(void *userdata);
};
/**
 * shim_spawn() - starts one; on_ready tells when its namespaces and network stand
 * @plan_fd: the sandbox's plan; borrowed
 */
int shim_spawn(struct shim_launcher *l, const char *id, int plan_fd,
               const struct shim_handler *handler, void *userdata, struct shim **ret,
               struct err *err);
/* Connects to one that is there and says HELLO. -ECONNREFUSED, -ENOENT: it is dead. */
int shim_connect(struct shim_launcher *l, const char *id, const struct shim_handler *handler,
                 void *userdata, struct shim **ret, struct err *err);
/* Lets go; the shim lives on. Requests under way get their callback with a NULL answer. */
struct shim *shim_free(struct shim *s);
DEFINE_CLEANUP(struct shim *, shim_free)
/* The same, and kills it: on_gone does not come. */
struct shim *shim_end(struct shim *s);
pid_t shim_pid(const struct shim *s);
void shim_kill(struct shim *s); /* SIGKILL; on_gone follows */

/*
 * @answer: SHIM_OK or SHIM_FAILED; for an exec SHIM_EV_EXEC_EXITED follows an SHIM_OK. NULL: nobody
 *          will answer (the connection was let go); free what you have, call nobody.
 * @fds:    closed after the call, unless the callee takes one out and leaves -1
 */
typedef void (*shim_answer_fn)(const struct shim_message *answer, const char *text, int *fds,
                               unsigned n_fds, void *userdata);
/**
 * shim_request() - asks; the answer comes from the loop
 * @m:      verb, id, flags and values; the request's id is filled in
 * @fds:    borrowed
 * @answer: may be NULL: nobody cares
 * Return: 0; -ENOTCONN when the shim is dead; -ENOMEM.
 */
int shim_request(struct shim *s, struct shim_message *m, const int *fds, unsigned n_fds,
                 shim_answer_fn answer, void *userdata, uint64_t *ret_request);
/* Sentence and kind of a SHIM_FAILED; returns its errno. */
int shim_failure(const struct shim_message *answer, const char *text, struct err *err);
