#include "kubelet/csi-volume.h"

#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/sha256.h"
#include "base/text.h"

#define BLOCK_DIR CSI_DIR "/volumeDevices"
#define DATA_MAX  (64 << 10)

char *csi_unique_name(const char *driver, const char *handle)
{
        return text_printf(CSI_PLUGIN "/%s^%s", driver, handle);
}

int csi_split_unique_name(const char *name, char **ret_driver, char **ret_handle)
{
        const char *driver = startswith(name, CSI_PLUGIN "/");
        const char *end = driver ? strchr(driver, '^') : NULL;
        _cleanup_free_ char *d = NULL, *h = NULL;

        if (!end || end == driver || !end[1])
                return -EINVAL;
        d = strndup(driver, (size_t)(end - driver));
        h = strdup(end + 1);
        if (!d || !h)
                return -ENOMEM;
        *ret_driver = TAKE_PTR(d);
        *ret_handle = TAKE_PTR(h);
        return 0;
}

/* "csi-<hash of the three, one after the other>" */
static char *hashed(const char *a, const char *b, const char *c)
{
        _cleanup_free_ char *all = text_printf("%s%s%s", a, b, c);
        char hex[SHA256_HEX_SIZE];

        if (!all || sha256_hex(all, strlen(all), hex) < 0)
                return NULL;
        return text_printf("csi-%s", hex);
}

char *csi_inline_handle(const char *pod_uid, const char *volume)
{
        return hashed(pod_uid, volume, "");
}

char *csi_attachment_name(const char *handle, const char *driver, const char *node)
{
        return hashed(handle, driver, node);
}

char *csi_staging_dir(const char *driver, const char *handle)
{
        char hex[SHA256_HEX_SIZE];

        if (sha256_hex(handle, strlen(handle), hex) < 0)
                return NULL;
        return text_printf(CSI_DIR "/%s/%s", driver, hex);
}

char *csi_block_staging_path(const char *spec_name)
{
        return text_printf(BLOCK_DIR "/staging/%s", spec_name);
}

char *csi_block_publish_dir(const char *spec_name)
{
        return text_printf(BLOCK_DIR "/publish/%s", spec_name);
}

char *csi_block_data_dir(const char *spec_name)
{
        return text_printf(BLOCK_DIR "/%s/data", spec_name);
}

/* ---- vol_data.json ---- */

#define MEMBER(m) offsetof(struct csi_data, m)
static const struct json_field
        data_fields[] = { /* clang-format off */
        { "specVolID",           decode_string, MEMBER(spec_name) },
        { "volumeHandle",        decode_string, MEMBER(handle), JSON_REQUIRED },
        { "driverName",          decode_string, MEMBER(driver), JSON_REQUIRED },
        { "nodeName",            decode_string, MEMBER(node) },
        { "attachmentID",        decode_string, MEMBER(attachment) },
        { "volumeLifecycleMode", decode_string, MEMBER(mode) },
        {}
}; /* clang-format on */

void csi_data_done(struct csi_data *d)
{
        for (const struct json_field *f = data_fields; f->name; f++)
                free(*(char **)((char *)d + f->offset));
        *d = (struct csi_data){ 0 };
}

static char *data_path(const char *dir)
{
        return text_printf("%s/" CSI_DATA, dir);
}

int csi_data_read(int root_fd, const char *dir, struct csi_data *ret, struct err *err)
{
        _cleanup_free_ char *path = data_path(dir), *text = NULL;
        _cleanup_(csi_data_done)
        struct csi_data d = { 0 };
        json_auto_t *o = NULL;
        size_t n = 0;
        int r = path ? fs_read_at(root_fd, path, DATA_MAX, &text, &n) : -ENOMEM;

        if (r < 0)
                return err_sys(err, r, "read '%s'", path ? path : dir);
        r = json_parse(text, n, false, &o, err);
        if (r == 0)
                r = json_decode(o, data_fields, &d, err);
        for (const struct json_field *f = data_fields; f->name && r == 0; f++) {
                char **member = (char **)((char *)&d + f->offset);

                if (!*member && !(*member = strdup("")))
                        r = err_sys(err, -ENOMEM, "read");
        }
        if (r < 0)
                return err_wrap(err, r, "'%s'", path);
        *ret = TAKE_VALUE(d);
        return 0;
}

int csi_data_write(int root_fd, const char *dir, const struct csi_data *d, struct err *err)
{
        _cleanup_free_ char *path = data_path(dir), *text = NULL;
        json_auto_t *o = json_object();
        int r = path && o ? 0 : -ENOMEM;

        for (const struct json_field *f = data_fields; f->name && r == 0; f++)
                r = json_set_text(o, f->name, *(char *const *)((const char *)d + f->offset));
        text = r == 0 ? json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        if (r == 0)
                r = text ? fs_replace_at(root_fd, path, text, strlen(text), 0644, false) : -ENOMEM;
        return r < 0 ? err_sys(err, r, "write '%s'", path ? path : dir) : 0;
}

int csi_data_remove(int root_fd, const char *dir, struct err *err)
{
        _cleanup_free_ char *path = data_path(dir);

        if (!path)
                return err_sys(err, -ENOMEM, "remove '%s/" CSI_DATA "'", dir);
        if (unlinkat(root_fd, path, 0) < 0 && errno != ENOENT)
                return err_sys(err, -errno, "remove '%s'", path);
        return 0;
}

/* ---- what is on disk ---- */

/* Of one folder that may hold a volume; what cannot be read is nobody's. */
static int add_staged(int root_fd, const char *dir, char ***list)
{
        _cleanup_(csi_data_done)
        struct csi_data d = { 0 };
        int r = csi_data_read(root_fd, dir, &d, NULL);

        if (r == 0 && *d.driver && *d.handle)
                return strv_consume(list, csi_unique_name(d.driver, d.handle));
        return r == -ENOMEM ? r : 0;
}

/* @suffix: between the folder of one volume and its data. */
static int list_below(int root_fd, const char *dir, const char *suffix, char ***list)
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(root_fd, dir, &names);

        if (r < 0)
                return r == -ENOENT || r == -ENOTDIR ? 0 : r;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *path = text_printf("%s/%s%s", dir, *name, suffix);

                r = path ? add_staged(root_fd, path, list) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

int csi_list_staged(int root_fd, char ***ret, struct err *err)
{
        _cleanup_strv_ char **list = NULL, **drivers = NULL;
        int r = fs_list_at(root_fd, CSI_DIR, &drivers);

        if (r == -ENOENT) {
                *ret = NULL;
                return 0;
        }
        for (size_t i = 0; r >= 0 && drivers && drivers[i]; i++) {
                _cleanup_free_ char *dir = text_printf(CSI_DIR "/%s", drivers[i]);
                bool is_block = streq(drivers[i], "volumeDevices");

                r = dir ? list_below(root_fd, dir, is_block ? "/data" : "", &list) : -ENOMEM;
        }
        if (r < 0)
                return err_sys(err, r, "look for staged volumes in '" CSI_DIR "'");
        *ret = TAKE_PTR(list);
        return 0;
}

int csi_find_block(int root_fd, const char *driver, const char *handle, char **ret)
{
        _cleanup_strv_ char **names = NULL;
        int r = fs_list_at(root_fd, BLOCK_DIR, &names);

        if (r < 0)
                return r;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *dir = csi_block_data_dir(*name);
                _cleanup_(csi_data_done)
                struct csi_data d = { 0 };

                if (!dir)
                        return -ENOMEM;
                if (csi_data_read(root_fd, dir, &d, NULL) < 0 || !streq(d.driver, driver) ||
                    !streq(d.handle, handle))
                        continue;
                *ret = strdup(*name);
                return *ret ? 0 : -ENOMEM;
        }
        return -ENOENT;
}
