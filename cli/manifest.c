#include "cli/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"

enum { FILE_MAX = 10 * 1024 * 1024 };

static int append_object(json_t *object, const char *namespace, json_t *items)
{
        const char *kind = json_text_at(object, "kind");
        json_t *list = json_object_get(object, "items"), *meta, *e;
        size_t i;

        if (json_is_array(list) && kind && endswith(kind, "List")) {
                json_array_foreach (list, i, e) {
                        int r = append_object(e, namespace, items);

                        if (r < 0)
                                return r;
                }
                return 0;
        }
        meta = json_object_get(object, "metadata");
        if (namespace && json_is_object(meta) && !json_text_at(meta, "namespace") &&
            json_set_text(meta, "namespace", namespace) < 0)
                return -ENOMEM;
        return json_array_append(items, object) < 0 ? -ENOMEM : 0;
}

int manifest_append(const char *text, size_t n, const char *source, const char *namespace,
                    json_t *items, struct err *err)
{
        json_auto_t *documents = NULL;
        json_t *d;
        size_t i;
        int r = yaml_parse_all(text, n, &documents, err);

        if (r < 0)
                return err_wrap(err, r, "'%s'", source);
        json_array_foreach (documents, i, d) {
                if (!json_is_object(d))
                        return err_set(err, -EINVAL,
                                       "'%s': document %zu: expected an object with kind and "
                                       "metadata",
                                       source, i + 1);
                r = append_object(d, namespace, items);
                if (r < 0)
                        return err_sys(err, r, "read '%s'", source);
        }
        return 0;
}

static int read_file(int dir_fd, const char *name, const char *source, const char *namespace,
                     json_t *items, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        size_t n = 0;
        int r = fs_read_at(dir_fd, name, FILE_MAX, &text, &n);

        return r < 0 ? err_sys(err, r, "read '%s'", source)
                     : manifest_append(text, n, source, namespace, items, err);
}

static int read_input(const char *namespace, json_t *items, struct err *err)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        char chunk[16384];
        ssize_t n;

        while ((n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0) {
                strbuf_add_n(&b, chunk, (size_t)n);
                if (b.len > FILE_MAX)
                        return err_set(err, -EFBIG, "standard input: expected at most 10 MiB");
        }
        if (n < 0 || b.failed)
                return err_sys(err, n < 0 ? -errno : -ENOMEM, "read standard input");
        return manifest_append(b.data ? b.data : "", b.len, "standard input", namespace, items,
                               err);
}

static bool is_manifest(const char *name)
{
        return name[0] != '.' &&
               (endswith(name, ".yaml") || endswith(name, ".yml") || endswith(name, ".json"));
}

static int read_folder(const char *path, const char *namespace, json_t *items, struct err *err)
{
        _cleanup_strv_ char **names = NULL;
        size_t n_read = 0;
        int r = fs_list_at(AT_FDCWD, path, &names);

        if (r < 0)
                return err_sys(err, r, "read '%s'", path);
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *file = text_printf("%s/%s", path, *name);

                if (!is_manifest(*name))
                        continue;
                n_read++;
                r = file ? read_file(AT_FDCWD, file, file, namespace, items, err) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return n_read ? 0
                      : err_set(err, -ENOENT, "'%s': expected files *.yaml, *.yml or *.json in it",
                                path);
}

int manifest_read(const char *path, const char *namespace, json_t **ret, struct err *err)
{
        json_auto_t *items = json_array();
        struct stat st;
        int r;

        if (!items)
                return err_sys(err, -ENOMEM, "read '%s'", path);
        if (streq(path, "-"))
                r = read_input(namespace, items, err);
        else if (stat(path, &st) < 0)
                r = err_sys(err, -errno, "read '%s'", path);
        else if (S_ISDIR(st.st_mode))
                r = read_folder(path, namespace, items, err);
        else
                r = read_file(AT_FDCWD, path, path, namespace, items, err);
        if (r < 0)
                return r;
        *ret = json_pack("{s:s, s:s, s:O}", "apiVersion", "v1", "kind", "List", "items", items);
        return *ret ? 0 : err_sys(err, -ENOMEM, "read '%s'", path);
}
