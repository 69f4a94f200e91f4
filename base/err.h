/*
 * struct err: what failed and for whom, in a sentence, with a kind from one small enum.
 *
 * The leaf says what failed (err_sys, err_set), each caller adds for whom (err_wrap), and whoever
 * owns the pod, the pull or the sync shows it. A NULL err is allowed everywhere: nobody asked.
 * The errno travels as the return value; the kind is for callers that must tell reasons apart
 * (kubelet/reason.c has the one table from kind to Kubernetes reason).
 */
#pragma once
#include "base/cleanup.h"

enum err_kind {
        ERR_OTHER,                  /* nothing more is known than errno and sentence */
        ERR_BAD_INPUT,              /* a foreign document breaks a rule: names field, value, rule */
        ERR_UNREACHABLE,            /* no connection, or it broke */
        ERR_TIMEOUT,                /* a deadline passed */
        ERR_NOT_FOUND,              /* the thing asked for does not exist */
        ERR_UNAUTHORIZED,           /* the other side does not know us (401) */
        ERR_FORBIDDEN,              /* the other side knows us and says no (403) */
        ERR_CONFLICT,               /* 409: changed or created by somebody else */
        ERR_GONE,                   /* 410: our resourceVersion is too old */
        ERR_TOO_MANY,               /* 429, or a limit of ours */
        ERR_SERVER,                 /* 5xx */
        ERR_INVALID_IMAGE_NAME,     /* image reference does not parse */
        ERR_IMAGE_NOT_PRESENT,      /* not in the local store */
        ERR_IMAGE_PULL,             /* registry or content said no */
        ERR_REGISTRY_UNAVAILABLE,   /* registry cannot be reached */
        ERR_IMAGE_VERIFY,           /* digest or size differs from what was promised */
        ERR_SANDBOX,                /* the pod's namespaces could not be made */
        ERR_SANDBOX_NETWORK,        /* the pod's network could not be made */
        ERR_CONTAINER_CONFIG,       /* the container's configuration cannot be carried out */
        ERR_CONTAINER_CREATE,       /* everything before execve */
        ERR_COMMAND_NOT_FOUND,      /* execve: ENOENT */
        ERR_COMMAND_NOT_EXECUTABLE, /* execve: EACCES, ENOEXEC, EISDIR */
        ERR_CONTAINER_START,        /* any other failure of the start */
        ERR_NOT_RUNNING,            /* the container is not (or no longer) running */
        ERR_NO_SPACE,               /* ENOSPC or EDQUOT under our own directories */
        ERR_IMAGE_MOUNT,            /* another image, or a path in it, could not be mounted */
        _ERR_KIND_MAX,
};

struct err {
        char *message; /* owned; NULL: nothing set */
        enum err_kind kind;
};

#define _cleanup_err_ _cleanup_(err_done)

void err_done(struct err *err);
/* The sentence, or a fixed one when nothing was set; never NULL. */
const char *err_text(const struct err *err);

/**
 * err_set() - we say no, or pass on what somebody else said
 * @err: set (replacing what it held), unless NULL
 * @r:   negative errno, returned unchanged
 */
int err_set(struct err *err, int r, const char *fmt, ...) _printf_(3, 4);
/* As err_set(), and gives the kind. */
int err_set_kind(struct err *err, int r, enum err_kind kind, const char *fmt, ...) _printf_(4, 5);
/* The kernel said no: the sentence is followed by ": " and strerror(-r). */
int err_sys(struct err *err, int r, const char *fmt, ...) _printf_(3, 4);
/* "<fmt>: <what err held>"; the kind stays. Returns r. */
int err_wrap(struct err *err, int r, const char *fmt, ...) _printf_(3, 4);
/* Names the kind of what was set before, unless it has one already. Returns r. */
int err_kind(struct err *err, int r, enum err_kind kind);
/* Moves src into dst (dst may be NULL: freed); src is empty after. */
void err_move(struct err *dst, struct err *src);
