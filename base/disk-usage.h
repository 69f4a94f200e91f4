/*
 * How much a directory tree takes on its disk: du by descriptor. Symbolic links are not followed,
 * mounts not entered, what vanishes meanwhile does not matter, and whoever made the tree cannot
 * make the walk expensive in memory or descriptors, however deep or wide it is.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/usec.h"

struct disk_usage {
        uint64_t bytes;   /* of blocks allocated, not of file sizes */
        uint64_t inodes;  /* files, directories and all else; one of several names is one */
        usec_t took_usec; /* to find out */
        bool is_known;    /* there is such a tree */
        bool is_partial; /* there is at least so much: the walk is not, or could not be completed */
};

enum { DISK_USAGE_ENTRIES_MAX = 16 * 1000 * 1000 }; /* some 30 s */

/**
 * disk_usage_measure() - adds up a tree, its root included
 * @path:    of the root, a directory; its last part is no symbolic link
 * @except:  name in the root that is left out with all below it; NULL: none
 * @entries: no more names than this are looked at; DISK_USAGE_ENTRIES_MAX
 * @ret:     starts at zero and grows while this runs, .is_partial until it is complete, so that
 *           whoever shares its memory sees how far it came
 * A file with several names counts as if each name had its share, which comes to the same when all
 * of them are in the tree.
 * Return: 0; negative errno when the root cannot be opened (then .is_known is false).
 */
int disk_usage_measure(const char *path, const char *except, uint64_t entries,
                       struct disk_usage *ret);
