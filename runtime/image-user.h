/*
 * Users and groups of an image: passwd and group read line by line out of its layers, never by NSS.
 * The parsing is pure.
 */
#pragma once
#include <stdio.h>

#include "runtime/image-store-internal.h"

/* As image_resolve_user() of runtime.h. */
int image_store_resolve_user(const struct image_store *s, const char *image_id, const char *user,
                             struct image_user *ret, struct err *err);
/* As image_groups_of() of runtime.h. */
int image_store_groups_of(const struct image_store *s, const char *image_id, uint32_t uid,
                          uint32_t **ret, size_t *ret_n, struct err *err);

enum {
        USER_FILE_MAX = 10 << 20,
        USER_LINE_MAX = 256 << 10,
        USER_GROUPS_MAX = 65536,
        USER_NAME_MAX = 256,
};

struct passwd_entry {
        char name[USER_NAME_MAX];
        uint32_t uid, gid;
};
/**
 * passwd_find() - the first entry of a name, or else of a uid
 * @name: NULL: look for @uid
 * @passwd: read to its end at most; lines that are no entry are passed over
 * Return: 1; 0 when there is none; -EFBIG (the file, or a line of it); -ENOMEM.
 */
int passwd_find(FILE *passwd, const char *name, uint32_t uid, struct passwd_entry *ret);
/* The gid of a group's name, likewise. */
int group_find(FILE *group, const char *name, uint32_t *ret);
/* All groups that list @member; owned. 0 or negative errno. */
int group_memberships(FILE *group, const char *member, uint32_t **ret, size_t *ret_n);
