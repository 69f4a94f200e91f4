#include "runtime/image-user.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/fs.h"
#include "base/text.h"

/* ---- passwd and group ---- */

/* A file read line by line up to a limit in bytes. */
struct lines {
        FILE *file;
        char *line; /* owned; of USER_LINE_MAX + 1 bytes */
        size_t total;
};

static void lines_done(struct lines *l)
{
        free(l->line);
}

/*
 * 1: a line (without its end, NULs cut it); 0: no more; -EFBIG, -ENOMEM. Not by getline(), which
 * would take as much memory as the image asks for.
 */
static int next_line(struct lines *l)
{
        size_t n = 0;
        int c;

        if (!l->line)
                l->line = malloc(USER_LINE_MAX + 1);
        if (!l->line)
                return -ENOMEM;
        while ((c = getc_unlocked(l->file)) != EOF) {
                if (++l->total > USER_FILE_MAX)
                        return -EFBIG;
                if (c == '\n')
                        break;
                if (n == USER_LINE_MAX)
                        return -EFBIG;
                l->line[n++] = (char)c;
        }
        l->line[n] = '\0';
        return n > 0 || c != EOF;
}

/* Cuts the next field off at ':'; NULL when there is none left. */
static char *next_field(char **rest)
{
        char *field = *rest, *colon;

        if (!field)
                return NULL;
        colon = strchr(field, ':');
        if (colon)
                *colon++ = '\0';
        *rest = colon;
        return field;
}

static bool parse_id(const char *text, uint32_t *ret)
{
        return text && text_to_u32(text, ret) == 0 && *ret != UINT32_MAX;
}

int passwd_find(FILE *passwd, const char *name, uint32_t uid, struct passwd_entry *ret)
{
        _cleanup_(lines_done)
        struct lines l = { .file = passwd };
        int r;

        while ((r = next_line(&l)) > 0) {
                struct passwd_entry e;
                char *rest = l.line, *n = next_field(&rest);

                next_field(&rest); /* the password */
                if (!n || !*n || strlen(n) >= sizeof e.name ||
                    !parse_id(next_field(&rest), &e.uid) || !parse_id(next_field(&rest), &e.gid))
                        continue;
                if (name ? !streq(n, name) : e.uid != uid)
                        continue;
                snprintf(e.name, sizeof e.name, "%s", n);
                *ret = e;
                return 1;
        }
        return r;
}

int group_find(FILE *group, const char *name, uint32_t *ret)
{
        _cleanup_(lines_done)
        struct lines l = { .file = group };
        int r;

        while ((r = next_line(&l)) > 0) {
                char *rest = l.line, *n = next_field(&rest);
                uint32_t gid;

                next_field(&rest);
                if (n && streq(n, name) && parse_id(next_field(&rest), &gid)) {
                        *ret = gid;
                        return 1;
                }
        }
        return r;
}

static bool lists(char *members, const char *member)
{
        char *state = NULL;

        for (char *m = members ? strtok_r(members, ",", &state) : NULL; m;
             m = strtok_r(NULL, ",", &state))
                if (streq(m, member))
                        return true;
        return false;
}

int group_memberships(FILE *group, const char *member, uint32_t **ret, size_t *ret_n)
{
        _cleanup_(lines_done)
        struct lines l = { .file = group };
        _cleanup_free_ uint32_t *gids = NULL;
        size_t n = 0;
        int r;

        while ((r = next_line(&l)) > 0) {
                char *rest = l.line;
                uint32_t gid, *grown;

                next_field(&rest);
                next_field(&rest);
                if (!parse_id(next_field(&rest), &gid) || !lists(next_field(&rest), member))
                        continue;
                if (n == USER_GROUPS_MAX)
                        return -E2BIG;
                grown = reallocarray(gids, n + 1, sizeof *gids);
                if (!grown)
                        return -ENOMEM;
                gids = grown;
                gids[n++] = gid;
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(gids);
        *ret_n = n;
        return 0;
}

/* ---- out of layers ---- */

/*
 * A file by its path in the merged image, without mounting it: the topmost layer that says anything
 * about the path decides. A link in the path is followed in the layer it is in alone; an image
 * whose /etc leads through links across layers has no users as far as this goes. -ENOENT: there is
 * none.
 */
static int open_in_layer(int layer_fd, const char *path)
{
        _cleanup_close_ int handle = fs_open_in_root(layer_fd, path, O_PATH | O_NOFOLLOW, 0);
        char link[32];
        struct stat st;
        int fd;

        if (handle < 0)
                return handle;
        if (fstat(handle, &st) < 0)
                return -errno;
        /* the image may have a device there, whose opening alone does something */
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        fd = open(fs_fd_path(handle, link), O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static bool is_whiteout(int layer_fd, const char *path)
{
        _cleanup_close_ int fd = fs_open_in_root(layer_fd, path, O_PATH | O_NOFOLLOW, 0);
        struct stat st;

        return fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static bool hides_below(int layer_fd)
{
        _cleanup_close_ int fd = fs_open_in_root(layer_fd, "etc", O_RDONLY | O_DIRECTORY, 0);
        char value;

        return fd >= 0 && fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static int open_in_image(const struct image_store *s, const struct image *i, const char *file)
{
        _cleanup_free_ char *path = text_printf("etc/%s", file);

        if (!path)
                return -ENOMEM;
        for (size_t k = strv_len(i->what.diff_ids); k-- > 0;) {
                _cleanup_close_ int layer_fd = openat(s->layers_fd, i->layers[k]->name,
                                                      O_PATH | O_DIRECTORY | O_CLOEXEC);
                int fd;

                if (layer_fd < 0)
                        return -errno;
                if (is_whiteout(layer_fd, path) || is_whiteout(layer_fd, "etc"))
                        return -ENOENT;
                fd = open_in_layer(layer_fd, path);
                if (fd != -ENOENT)
                        return fd;
                if (i->layers[k]->what.root_is_opaque || hides_below(layer_fd))
                        return -ENOENT;
        }
        return -ENOENT;
}

/* *ret is NULL when the image has no such file. */
static int open_users(const struct image_store *s, const char *image_id, const char *file,
                      FILE **ret, struct err *err)
{
        const struct image *i = map_get(s->images, image_id);
        _cleanup_close_ int fd = -1;

        if (!i)
                return err_set_kind(err, -ENOENT, ERR_IMAGE_NOT_PRESENT, "image '%s' is not here",
                                    image_id);
        fd = open_in_image(s, i, file);
        *ret = NULL;
        if (fd == -ENOENT)
                return 0;
        if (fd == -EINVAL)
                return err_set_kind(err, fd, ERR_CONTAINER_CONFIG,
                                    "/etc/%s of the image is not a regular file", file);
        if (fd < 0)
                return err_sys(err, fd, "read /etc/%s of the image", file);
        *ret = fdopen(fd, "re");
        if (!*ret)
                return err_sys(err, -errno, "read /etc/%s of the image", file);
        TAKE_FD(fd);
        return 0;
}

static int refuse_file(struct err *err, int r, const char *file)
{
        if (r != -EFBIG && r != -E2BIG)
                return err_sys(err, r, "read /etc/%s of the image", file);
        return err_set_kind(err, r, ERR_CONTAINER_CONFIG,
                            "/etc/%s of the image: expected at most %d bytes, %d a line, and %d "
                            "groups of a user",
                            file, USER_FILE_MAX, USER_LINE_MAX, USER_GROUPS_MAX);
}

static int look_up_passwd(const struct image_store *s, const char *image_id, const char *name,
                          uint32_t uid, struct passwd_entry *ret, struct err *err)
{
        _cleanup_fclose_ FILE *f = NULL;
        int r = open_users(s, image_id, "passwd", &f, err);

        if (r < 0 || !f)
                return r;
        r = passwd_find(f, name, uid, ret);
        return r < 0 ? refuse_file(err, r, "passwd") : r;
}

static int look_up_group(const struct image_store *s, const char *image_id, const char *name,
                         uint32_t *ret, struct err *err)
{
        _cleanup_fclose_ FILE *f = NULL;
        int r = open_users(s, image_id, "group", &f, err);

        if (r < 0 || !f)
                return r;
        r = group_find(f, name, ret);
        return r < 0 ? refuse_file(err, r, "group") : r;
}

static int add_memberships(const struct image_store *s, const char *image_id, const char *member,
                           uint32_t **ret, size_t *ret_n, struct err *err)
{
        _cleanup_fclose_ FILE *f = NULL;
        int r = open_users(s, image_id, "group", &f, err);

        *ret = NULL;
        *ret_n = 0;
        if (r < 0 || !f)
                return r;
        r = group_memberships(f, member, ret, ret_n);
        return r < 0 ? refuse_file(err, r, "group") : 0;
}

/* All digits is a number, however large: it is never looked up as a name. */
static bool is_number(const char *text)
{
        return *text && strspn(text, "0123456789") == strlen(text);
}

static int refuse(struct err *err, const char *user, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG, "user '%.128s': %s", user, rule);
}

static int resolve_group(const struct image_store *s, const char *image_id, const char *user,
                         const char *group, uint32_t *ret, struct err *err)
{
        int r;

        if (is_number(group))
                return parse_id(group, ret) ? 0
                                            : refuse(err, user, "group: expected 0 to 4294967294");
        r = look_up_group(s, image_id, group, ret, err);
        if (r < 0)
                return r;
        return r > 0 ? 0
                     : err_set_kind(
                               err, -ENOENT, ERR_CONTAINER_CONFIG,
                               "unable to find group %.128s: no matching entries in group file",
                               group);
}

static int resolve_name(const struct image_store *s, const char *image_id, const char *user,
                        const char *name, struct passwd_entry *ret, struct err *err)
{
        uint32_t uid;
        int r;

        if (!is_number(name)) {
                r = look_up_passwd(s, image_id, name, 0, ret, err);
                if (r < 0)
                        return r;
                return r > 0 ? 1
                             : err_set_kind(err, -ENOENT, ERR_CONTAINER_CONFIG,
                                            "unable to find user %.128s: no matching entries in "
                                            "passwd file",
                                            name);
        }
        if (!parse_id(name, &uid))
                return refuse(err, user, "expected a uid of 0 to 4294967294");
        r = look_up_passwd(s, image_id, NULL, uid, ret, err);
        if (r == 0)
                *ret = (struct passwd_entry){ .uid = uid }; /* unknown to the image: group 0 */
        return r;
}

int image_store_resolve_user(const struct image_store *s, const char *image_id, const char *user,
                             struct image_user *ret, struct err *err)
{
        _cleanup_free_ char *name = strdup(*user ? user : "0"), *group = NULL;
        struct passwd_entry entry = { 0 };
        struct image_user out = { 0 };
        char *colon;
        int r;

        if (!name)
                return err_sys(err, -ENOMEM, "resolve user");
        colon = strchr(name, ':');
        if (colon) {
                *colon = '\0';
                group = strdup(colon + 1);
                if (!group)
                        return err_sys(err, -ENOMEM, "resolve user");
                if (!*group || strchr(group, ':'))
                        return refuse(err, user, "expected 'user' or 'user:group'");
        }
        if (!*name)
                return refuse(err, user, "expected 'user' or 'user:group'");
        r = resolve_name(s, image_id, user, name, &entry, err);
        if (r < 0)
                return r;
        out.uid = entry.uid;
        out.gid = entry.gid;
        if (group)
                r = resolve_group(s, image_id, user, group, &out.gid, err);
        if (r >= 0 && entry.name[0])
                r = add_memberships(s, image_id, entry.name, &out.groups, &out.n_groups, err);
        if (r < 0)
                return r;
        *ret = out;
        return 0;
}

int image_store_groups_of(const struct image_store *s, const char *image_id, uint32_t uid,
                          uint32_t **ret, size_t *ret_n, struct err *err)
{
        struct passwd_entry entry;
        int r = look_up_passwd(s, image_id, NULL, uid, &entry, err);

        *ret = NULL;
        *ret_n = 0;
        return r <= 0 ? r : add_memberships(s, image_id, entry.name, ret, ret_n, err);
}
