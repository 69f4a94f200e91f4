/*
 * What the daemons' unix sockets have in common: HTTP+JSON for the command `skiff` and for scripts,
 * described in skiff-api(5). Mode 0660 and group skiff: who may open one may look. Errors are
 * metav1.Status.
 */
#pragma once
#include "base/http-server.h"

/**
 * local_socket_listen() - makes the socket at @path in a run directory of ours
 * What lies in its place and is no socket is removed. A socket that somebody listens on stays.
 * Return: the descriptor; negative errno with the sentence in @err.
 */
int local_socket_listen(const char *path, struct err *err);
/* Answers with a metav1.Status of that HTTP status. */
void local_socket_fail(struct http_exchange *x, int status, const char *message);
/* False: the method is another, and the request was answered so. */
bool local_socket_is_method(struct http_exchange *x, const char *method);
