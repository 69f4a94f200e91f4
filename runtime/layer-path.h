/*
 * Paths below the root of a layer that is being unpacked: names out of archives made harmless, and
 * parents opened or made, without ever leaving the root.
 */
#pragma once
#include "base/tar.h"

/**
 * layer_path_normalize() - "/a//b/./c/" becomes "a/b/c", "./" becomes ""
 * Pure. Return: 0; -EINVAL for a name with ".." or with a component of more than 255 bytes.
 */
int layer_path_normalize(const char *name, char out[static TAR_PATH_MAX + 1], struct err *err);
/* Cuts a normalised path at its last '/': @path becomes the parent, the last component is
 * returned. */
char *layer_path_split(char *path);

/* What to do where a directory is missing on the way. */
struct layer_path_maker {
        /* @path: of the new directory; @was_whiteout: it was hidden from below by this layer */
        int (*make)(int parent_fd, const char *name, const char *path, bool was_whiteout,
                    void *userdata, struct err *err);
        void *userdata;
};
/**
 * layer_path_open() - the directory @path, links followed but never out of @root_fd
 * @path:  normalised; "" is the root
 * @maker: makes what is missing, also behind a link that leads nowhere yet; NULL: -ENOENT
 * Return: an O_PATH descriptor; negative errno.
 */
int layer_path_open(int root_fd, const char *path, const struct layer_path_maker *maker,
                    struct err *err);

/*
 * Removes all that is in a directory, or a directory with all that is in it. Any depth, a handful
 * of descriptors, no recursion: what is below is moved up first (for the second into a scratch
 * directory of @root_fd).
 */
int layer_path_empty(int dir_fd);
int layer_path_remove_tree(int parent_fd, const char *name, int root_fd);
