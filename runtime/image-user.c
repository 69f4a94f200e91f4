/*
 * Who "www-data" is in an image: its own passwd and group files, the topmost layer's that has one.
 * Never the host's name service. The files are a stranger's: opened below the layer's root, regular
 * ones only, read as a stream, ids strict decimal numbers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/image-store-internal.h"
#include "runtime/runtime-internal.h"

enum { FILE_SIZE_MAX = 10 << 20, LINE_SIZE_MAX = 64 << 10, GROUPS_MAX = 65536 };

/* A regular file of the image; a whiteout (device 0:0) hides those below. NULL: there is none. */
static FILE *open_file(const struct image_store *s, const struct stored_image *i, const char *path)
{
        for (size_t k = i->n_layers; k > 0; k--) {
                _cleanup_close_ int root = fs_open_beneath(s->layers_fd, i->layers[k - 1]->name,
                                                           O_PATH | O_DIRECTORY, 0);
                _cleanup_close_ int fd =
                        root < 0 ? -1
                                 : fs_open_in_root(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
                struct stat st;
                FILE *f;

                if (fd == -ENXIO) /* a device without a driver: the whiteout */
                        return NULL;
                if (fd < 0)
                        continue;
                if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_SIZE_MAX)
                        return NULL;
                f = fdopen(fd, "re");
                if (f)
                        fd = -1;
                return f;
        }
        return NULL;
}

/* Calls @fn for each line's fields (at least @n); a positive answer ends it. */
static int each_line(FILE *f, size_t n, int (*fn)(char **fields, void *userdata), void *userdata)
{
        _cleanup_free_ char *line = malloc(LINE_SIZE_MAX);
        int r = line ? 0 : -ENOMEM;

        while (r == 0 && fgets(line, LINE_SIZE_MAX, f)) {
                char *fields[8], *p = line;
                size_t k = 0;

                line[strcspn(line, "\r\n")] = '\0';
                while (k < ARRAY_SIZE(fields)) {
                        char *colon = strchr(p, ':');

                        fields[k++] = p;
                        if (!colon)
                                break;
                        *colon = '\0';
                        p = colon + 1;
                }
                if (k >= n && line[0] != '#')
                        r = fn(fields, userdata);
        }
        return r;
}

struct user_search {
        const char *name; /* or NULL: by .uid */
        uint32_t uid, gid;
        char *found_name; /* owned */
};

/* name:password:uid:gid:… */
static int match_user(char **f, void *userdata)
{
        struct user_search *s = userdata;
        uint32_t uid, gid;

        if (text_to_u32(f[2], &uid) < 0 || text_to_u32(f[3], &gid) < 0 || uid == UINT32_MAX ||
            gid == UINT32_MAX)
                return 0;
        if (s->name ? !streq(f[0], s->name) : uid != s->uid)
                return 0;
        s->uid = uid;
        s->gid = gid;
        s->found_name = strdup(f[0]);
        return s->found_name ? 1 : -ENOMEM;
}

struct group_search {
        const char *name;
        uint32_t gid;
};

static int match_group(char **f, void *userdata)
{
        struct group_search *s = userdata;

        return streq(f[0], s->name) && text_to_u32(f[2], &s->gid) == 0 && s->gid != UINT32_MAX;
}

struct member_search {
        const char *user;
        uint32_t *groups;
        size_t n;
};

static bool is_member(const char *list, const char *user)
{
        size_t n = strlen(user);

        for (const char *p = list; *p; p += strcspn(p, ","), p += *p == ',')
                if (strncmp(p, user, n) == 0 && (p[n] == ',' || p[n] == '\0'))
                        return true;
        return false;
}

/* name:password:gid:members */
static int collect_membership(char **f, void *userdata)
{
        struct member_search *s = userdata;
        uint32_t gid, *grown;

        if (!is_member(f[3], s->user) || text_to_u32(f[2], &gid) < 0 || gid == UINT32_MAX ||
            s->n >= GROUPS_MAX)
                return 0;
        grown = realloc(s->groups, (s->n + 1) * sizeof *grown);
        if (!grown)
                return -ENOMEM;
        s->groups = grown;
        s->groups[s->n++] = gid;
        return 0;
}

/* 1: found; 0: not; negative errno. */
static int search_file(const struct image_store *s, const struct stored_image *i, const char *path,
                       size_t n_fields, int (*fn)(char **fields, void *userdata), void *userdata)
{
        _cleanup_fclose_ FILE *f = open_file(s, i, path);

        return f ? each_line(f, n_fields, fn, userdata) : 0;
}

static bool is_number(const char *s)
{
        return *s && strspn(s, "0123456789") == strlen(s);
}

static int parse_id(const char *text, const char *what, uint32_t *ret, struct err *err)
{
        if (text_to_u32(text, ret) < 0 || *ret == UINT32_MAX)
                return err_set_kind(err, -ERANGE, ERR_CONTAINER_CONFIG,
                                    "%s '%s': expected 0 to 4294967294", what, text);
        return 0;
}

static int find_user(const struct image_store *s, const struct stored_image *i, const char *user,
                     struct user_search *ret, struct err *err)
{
        int r;

        if (is_number(user)) {
                r = parse_id(user, "user", &ret->uid, err);
                if (r < 0)
                        return r;
        } else {
                ret->name = user;
        }
        r = search_file(s, i, "etc/passwd", 4, match_user, ret);
        if (r < 0)
                return err_sys(err, r, "read the image's /etc/passwd");
        if (r == 0 && ret->name)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "unable to find user %s: no matching entries in passwd file",
                                    user);
        return 0;
}

static int find_group(const struct image_store *s, const struct stored_image *i, const char *group,
                      uint32_t *ret, struct err *err)
{
        struct group_search search = { .name = group };
        int r;

        if (is_number(group))
                return parse_id(group, "group", ret, err);
        r = search_file(s, i, "etc/group", 3, match_group, &search);
        if (r < 0)
                return err_sys(err, r, "read the image's /etc/group");
        if (r == 0)
                return err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                    "unable to find group %s: no matching entries in group file",
                                    group);
        *ret = search.gid;
        return 0;
}

static int find_memberships(const struct image_store *s, const struct stored_image *i,
                            const char *name, uint32_t **ret, size_t *ret_n, struct err *err)
{
        struct member_search search = { .user = name };
        int r = name ? search_file(s, i, "etc/group", 4, collect_membership, &search) : 0;

        if (r < 0) {
                free(search.groups);
                return err_sys(err, r, "read the image's /etc/group");
        }
        *ret = search.groups;
        *ret_n = search.n;
        return 0;
}

int image_resolve_user(const struct runtime *rt, const char *image_id, const char *user,
                       struct image_user *ret, struct err *err)
{
        const struct image_store *s = rt->images;
        const struct stored_image *i = image_store_find(s, image_id);
        const char *colon = strchr(user, ':');
        _cleanup_free_ char *name = strndup(user, colon ? (size_t)(colon - user) : strlen(user));
        struct user_search search = { 0 };
        uint32_t *groups = NULL;
        size_t n = 0;
        int r;

        if (!i)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    image_id);
        if (!name)
                return err_sys(err, -ENOMEM, "resolve user '%s'", user);
        r = find_user(s, i, *name ? name : "0", &search, err);
        if (r == 0 && colon && colon[1])
                r = find_group(s, i, colon + 1, &search.gid, err);
        if (r == 0)
                r = find_memberships(s, i, search.found_name, &groups, &n, err);
        free(search.found_name);
        if (r < 0)
                return r;
        *ret = (struct image_user){ search.uid, search.gid, groups, n };
        return 0;
}

int image_groups_of(const struct runtime *rt, const char *image_id, uint32_t uid, uint32_t **ret,
                    size_t *ret_n, struct err *err)
{
        const struct image_store *s = rt->images;
        const struct stored_image *i = image_store_find(s, image_id);
        struct user_search search = { .uid = uid };
        int r;

        *ret = NULL;
        *ret_n = 0;
        if (!i)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    image_id);
        r = search_file(s, i, "etc/passwd", 4, match_user, &search);
        if (r > 0)
                r = find_memberships(s, i, search.found_name, ret, ret_n, err);
        free(search.found_name);
        return r < 0 ? r : 0;
}
