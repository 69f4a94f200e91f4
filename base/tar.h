/*
 * A strict streaming tar reader. Pure: bytes in, entries out; no descriptor, no path is touched.
 *
 * It reads ustar, old V7, GNU long names and pax (path, linkpath, size, uid, gid, mtime,
 * SCHILY.xattr.*). Where readers in the field disagree about an archive it is refused rather than
 * guessed at: sparse files, both kinds of long name for one entry, two pax headers for one entry,
 * meaningful keys in a global pax header, data behind a directory or device. A hard link never
 * carries data, whatever its size field says: there GNU tar, Go and Python agree.
 *
 * Source: POSIX.1-2017 pax, GNU tar manual "Basic Tar Format".
 */
#pragma once
#include <stdint.h>
#include <time.h>

#include "base/err.h"

struct tar; /* opaque */

enum tar_type {
        TAR_FILE,
        TAR_HARD_LINK,
        TAR_SYMLINK,
        TAR_CHAR,
        TAR_BLOCK,
        TAR_DIRECTORY,
        TAR_FIFO,
};

enum tar_event {
        TAR_NEED_MORE, /* all input is used up: hand over more */
        TAR_ENTRY,     /* tar_entry() is a new entry; its data follows */
        TAR_DATA,      /* the bytes used are the next data of the entry, exactly */
        TAR_ENTRY_END, /* the entry is complete */
        TAR_END,       /* end mark seen: only zeros may follow; hand them over as well */
};

enum {
        TAR_PATH_MAX = 4095,
        TAR_ENTRIES_MAX = 1000000,
        TAR_EXTENSION_MAX = 1 << 20, /* pax and long names of one entry together */
        TAR_XATTRS_MAX = 64,
        TAR_XATTR_SIZE_MAX = 65536,
};

struct tar_xattr {
        const char *name;
        const void *value;
        size_t size;
};

/* Everything is borrowed from the reader until the call after TAR_ENTRY_END. */
struct tar_entry {
        enum tar_type type;
        const char *name; /* as written: may be absolute, hold "..", end in '/'; never empty */
        const char *link; /* of hard and symbolic links, never empty there; "" otherwise */
        uint64_t size;    /* bytes of data; 0 unless a TAR_FILE */
        uint32_t mode;    /* 07777 at most */
        uint32_t uid, gid;
        struct timespec mtime;
        uint32_t major, minor; /* of devices */
        const struct tar_xattr *xattrs;
        size_t n_xattrs;
};

struct tar *tar_new(void); /* NULL without memory */
struct tar *tar_free(struct tar *t);
DEFINE_CLEANUP(struct tar *, tar_free)

/**
 * tar_next() - go on with the archive
 * @data, @n:  input not used so far
 * @ret_used:  how much of it this step took; the rest is to be handed over again. What is used
 *             without TAR_DATA is header, padding or end mark
 * Return: enum tar_event; -EINVAL (ERR_BAD_INPUT) with entry and rule in @err; -ENOMEM. After an
 * error the reader is of no more use.
 */
int tar_next(struct tar *t, const void *data, size_t n, size_t *ret_used, struct err *err);
/* After TAR_ENTRY: the caller passes over the entry's data by itself, so many bytes of it. */
uint64_t tar_skip_data(struct tar *t);
/* The input is at its end: 0, or -EINVAL when that is inside an entry. */
int tar_finish(const struct tar *t, struct err *err);
/* The entry announced last. */
const struct tar_entry *tar_entry(const struct tar *t);
