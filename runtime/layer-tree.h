/*
 * The tree that a layer's entries become, in overlay form: a whiteout is a 0:0 character device, an
 * opaque directory carries trusted.overlay.opaque.
 *
 * Runs in the unpacker; nothing else writes to the tree. Every path is resolved below the root
 * (openat2), the last component is never followed, metadata is set on what was just made.
 *
 * What a layer means, where archives leave room:
 *  - Whiteouts and opaque marks hide what lower layers have, and nothing of this layer, wherever in
 *    the archive they stand. A name that has both a whiteout and an entry is the entry; a directory
 *    of that kind is opaque.
 *  - A later entry replaces an earlier one of the same name; directories are kept and get the later
 *    metadata. Names with ".." are refused, absolute names lie below the root, links stay in it.
 *  - A character device 0:0 is a whiteout, as it would be in an overlay.
 *  - Of extended attributes security.capability and user.* (but user.overlay.*) are kept.
 *  - A hard link's target is in the same layer, and no directory.
 *
 * Source: OCI image-spec 1.1 layer.md; Documentation/filesystems/overlayfs.rst.
 */
#pragma once
#include "base/tar.h"

struct layer_tree; /* opaque */

enum {
        LAYER_INODES_MAX = TAR_ENTRIES_MAX, /* directories that no entry names count as well */
        /*
         * Owner of a directory that the archive implies but does not hold, until the layers below
         * have been asked what it is like there (layer_adopt_implied).
         */
        LAYER_IMPLIED_UID = 0x7ffffffe,
};

struct layer_tree_options {
        int root_fd;    /* an empty directory; borrowed */
        int implied_fd; /* a file that takes the NUL-terminated paths of implied directories */
        /* Makes a directory opaque (trusted.* needs a privilege that the unpacker lacks). */
        int (*make_opaque)(int dir_fd, void *userdata);
        void *userdata;
        uint64_t reserve_bytes; /* -ENOSPC once the file system has less left */
        uint64_t inodes_max;    /* 0: LAYER_INODES_MAX */
};

struct layer_tree_result {
        uint64_t disk_bytes; /* about what the tree takes on disk */
        uint64_t n_inodes;
        uint64_t n_replaced; /* files of the archive that later entries took away */
        uint64_t n_implied;
        bool root_is_opaque; /* the layers below do not count at all */
};

/* NULL without memory. @options is copied. */
struct layer_tree *layer_tree_new(const struct layer_tree_options *options);
struct layer_tree *layer_tree_free(struct layer_tree *t);
DEFINE_CLEANUP(struct layer_tree *, layer_tree_free)

/* A TAR_ENTRY, TAR_DATA, TAR_ENTRY_END. Errors name the entry. */
int layer_tree_begin(struct layer_tree *t, const struct tar_entry *e, struct err *err);
int layer_tree_data(struct layer_tree *t, const void *data, size_t n, struct err *err);
int layer_tree_end(struct layer_tree *t, const struct tar_entry *e, struct err *err);

/* Where the entry begun last lies, without leading '/'; "" is the root. Borrowed. */
const char *layer_tree_path(const struct layer_tree *t);
/* Does the entry begun last have its data in the tree (a file, and no whiteout)? */
bool layer_tree_keeps_data(const struct layer_tree *t);
struct layer_tree_result layer_tree_result(const struct layer_tree *t);

/**
 * layer_adopt_implied() - give implied directories what they are like in the layers below
 * @root_fd:    the layer
 * @implied_fd: what layer_tree_options.implied_fd took
 * @lower_fds:  topmost first; borrowed
 * A directory that no layer below has becomes 0755 root. Runs outside the sandbox, on paths that it
 * resolves without following any link.
 */
int layer_adopt_implied(int root_fd, int implied_fd, const int *lower_fds, size_t n_lower,
                        struct err *err);
