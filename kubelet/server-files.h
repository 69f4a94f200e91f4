/*
 * /logs of the kubelet's server: the files of the machine's /var/log, and lists of them as HTML, as
 * Go's http.FileServer has them. Links are not followed, and nothing but regular files with one
 * name is read: pods may write below that folder.
 */
#pragma once
#include "base/http-server.h"

struct server_files; /* opaque: the files being sent */

int server_files_new(const char *root, struct server_files **ret);
struct server_files *server_files_free(struct server_files *f); /* after all its exchanges */
DEFINE_CLEANUP(struct server_files *, server_files_free)
/* @path: below the root, decoded, without "." and ".."; "" is the root itself. */
void server_files_handle(struct server_files *f, struct http_exchange *x, const char *path);
