/*
 * The local end of `skiff cp`: a file or folder of this machine as a tar archive, and an archive
 * from a container as files. What a container sends is a stranger's: nothing of it lands outside of
 * the place that was asked for, and no link in that place is followed.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct copy_end {           /* SRC or DEST */
        char *pod;          /* owned; as find_pod() takes it; NULL: on this machine */
        char *path;         /* owned; cleaned: no "//", no "." and no '/' at its end; "." is one */
        bool ends_in_slash; /* a folder was meant */
};
void copy_end_done(struct copy_end *e);
/* "ns/pod:path", "pod:path" or a path, which is one when a '/' or '.' begins it. Pure. -EINVAL. */
int copy_end_parse(const char *word, struct copy_end *ret, struct err *err);
/* "/etc" and "passwd" of "/etc/passwd"; "." and "x" of "x"; "/" and "." of "/". Pure; both owned.
 * -ENOMEM. */
int copy_split(const char *path, char **ret_folder, char **ret_name);

/**
 * copy_pack() - a file or folder into an archive
 * @fd:   takes the archive
 * @path: of this machine; a link in it is followed, one at its end and those below are not
 * @name: what it is called in the archive
 * What is no file, folder or link is left out and told on standard error.
 */
int copy_pack(int fd, const char *path, const char *name, struct err *err);

struct copy_unpacker; /* opaque */
/**
 * copy_unpacker_new() - files out of an archive
 * @dir_fd: where; borrowed
 * @from:   what all names in the archive begin with; ".": anything goes
 * @to:     what it is called in @dir_fd instead; ".": @dir_fd itself
 * @keep:   permissions and times, too
 * Links are left out and told on standard error, as kubectl does.
 */
int copy_unpacker_new(int dir_fd, const char *from, const char *to, bool keep,
                      struct copy_unpacker **ret);
struct copy_unpacker *copy_unpacker_free(struct copy_unpacker *u);
DEFINE_CLEANUP(struct copy_unpacker *, copy_unpacker_free)
/* The next bytes. -EINVAL with the entry and the rule that it breaks. */
int copy_unpack(struct copy_unpacker *u, const void *data, size_t n, struct err *err);
/* There are no more: -EINVAL when it was cut short. */
int copy_unpack_end(struct copy_unpacker *u, struct err *err);
