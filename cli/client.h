/*
 * Requests to a daemon's unix socket, one after another: libcurl's easy interface.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"

struct client; /* opaque */

enum client_daemon { CLIENT_SKIFFD, CLIENT_NETPROXY };

/**
 * client_new() - nothing is connected yet
 * @socket: path; NULL: that of the environment, or the usual one. skiffd: $SKIFF_SOCKET, or
 *          /run/skiff/skiff.sock; skiff-netproxy: $SKIFF_NETPROXY_SOCKET, or netproxy.sock beside
 *          skiffd's
 */
int client_new(enum client_daemon daemon, const char *socket, struct client **ret, struct err *err);
/* The same for who was told the other daemon's socket (NULL: was told none): it is beside that. */
int client_new_beside(enum client_daemon daemon, const char *others_socket, struct client **ret,
                      struct err *err);
struct client *client_free(struct client *c);
DEFINE_CLEANUP(struct client *, client_free)

/**
 * client_call() - one request with a JSON answer
 * @path: "/v1/pods?…", escaped
 * @body: borrowed; NULL: none
 * @ret:  owned; may be NULL when the answer does not matter
 * Return: 0; negative errno with the daemon's own sentence (metav1.Status) or why it cannot be
 * reached.
 */
int client_call(struct client *c, const char *method, const char *path, const json_t *body,
                json_t **ret, struct err *err);
/* A streamed answer; @on_data gets its bytes, negative errno from it stops. */
int client_stream(struct client *c, const char *method, const char *path, const json_t *body,
                  int (*on_data)(const void *data, size_t n, void *userdata), void *userdata,
                  struct err *err);
const char *client_socket(const struct client *c); /* its path; borrowed */
/* Requests from now on end after so long; 0: never, as at first. */
void client_set_timeout(struct client *c, unsigned seconds);
/* Escapes one path segment or query value; owned. */
char *client_escape(const char *text);
