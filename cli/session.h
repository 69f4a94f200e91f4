/*
 * A command in a container, or the container's own streams, on our own: input and output go through
 * skiffd's socket as frames (base/frames), and with a terminal ours is put into raw mode meanwhile.
 */
#pragma once
#include "base/err.h"

struct session_options {
        const char *socket; /* path */
        const char *path;   /* "/v1/pods/NS/NAME/exec?command=…" */
        bool in, tty;
        int in_fd; /* instead of standard input; borrowed */
        /* Instead of standard output; negative errno with its own sentence stops. */
        int (*on_output)(const void *data, size_t n, void *userdata, struct err *err);
        void *userdata;
};
/**
 * session_run() - from the request to the last word
 * @ret_exit_code: of the command; set on success
 * Return: 0; negative errno with the daemon's sentence, or why it cannot be reached.
 */
int session_run(const struct session_options *o, int *ret_exit_code, struct err *err);
