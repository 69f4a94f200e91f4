#include "kubelet/pull-records.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/sha256.h"
#include "base/text.h"
#include "kubelet/config.h"
#include "kubelet/pull-record.h"

enum { RECORD_MAX = 1 << 20, NAME_SIZE = sizeof "sha256-" + SHA256_HEX_SIZE };

struct pull_records {
        const struct context *ctx;
        int pulling_fd, pulled_fd; /* owned */
        struct map *under_way;     /* image -> how many pulls of it: numbers, not pointers */
};

static int name_of(const char *what, char ret[static NAME_SIZE])
{
        memcpy(ret, "sha256-", sizeof "sha256-");
        return sha256_hex(what, strlen(what), ret + strlen("sha256-"));
}

/* ---- records ---- */

/* 1, and the record; 0: there is none; negative errno: it cannot be read. */
static int read_record(const struct pull_records *r, const char *image_id, json_t **ret)
{
        _cleanup_free_ char *text = NULL;
        char name[NAME_SIZE];
        size_t n;
        int k = name_of(image_id, name);

        if (k == 0)
                k = fs_read_at(r->pulled_fd, name, RECORD_MAX, &text, &n);
        if (k < 0)
                return k == -ENOENT ? 0 : k;
        k = json_parse(text, n, true, ret, NULL);
        if (k < 0)
                return k;
        if (streq_null(json_text_at(*ret, "imageRef"), image_id))
                return 1;
        json_decref(*ret);
        *ret = NULL;
        return -EBADMSG;
}

static void write_record(const struct pull_records *r, const char *image_id, const json_t *record)
{
        _cleanup_free_ char *text = json_dumps(record, JSON_COMPACT);
        char name[NAME_SIZE];
        int k = text ? name_of(image_id, name) : -ENOMEM;

        if (k == 0)
                k = fs_replace_at(r->pulled_fd, name, text, strlen(text), 0600, false);
        if (k < 0)
                log_warn(k,
                         "Failed to record who may use image '%s': it is pulled again when "
                         "somebody wants it",
                         image_id);
}

/* @for_all: whoever runs here may; else those with @origin, and with NULL nobody yet. */
static void grant(struct pull_records *r, const char *image, const char *image_id, bool for_all,
                  const struct pull_origin *origin)
{
        _cleanup_free_ char *repository = pull_repository(image);
        json_auto_t *record = NULL;
        int k = read_record(r, image_id, &record), changed = 0;

        if (k <= 0)
                record = pull_record_new(image_id);
        if (!record || !repository)
                return log_oom();
        if (for_all || origin)
                changed = pull_record_grant(record, repository, origin);
        if (changed < 0)
                return log_oom();
        if (k <= 0 || changed)
                write_record(r, image_id, record);
}

bool pull_records_allow(struct pull_records *r, const char *image, const char *image_id,
                        const struct pull_auths *auths)
{
        const struct kubelet_config *c = r->ctx->config;
        _cleanup_free_ char *repository = pull_repository(image);
        const struct pull_origin *origin;
        json_auto_t *record = NULL;
        enum pull_access access;
        char name[NAME_SIZE];
        int k = read_record(r, image_id, &record);
        bool is_ours = k != 0 ||
                       (name_of(image, name) == 0 && faccessat(r->pulling_fd, name, F_OK, 0) == 0);

        if (!repository)
                return false;
        if (!pull_must_verify(c->pull_verification, c->pull_allowlist, repository, is_ours))
                return true;
        if (k <= 0)
                return false;
        access = pull_record_access(record, repository, auths, &origin);
        if (access == PULL_GRANTED_ANEW)
                grant(r, image, image_id, false, origin);
        return access != PULL_DENIED;
}

/* ---- pulls under way ---- */

static uintptr_t count_of(const struct pull_records *r, const char *image)
{
        return (uintptr_t)map_get(r->under_way, image);
}

static int set_count(struct pull_records *r, const char *image, uintptr_t n)
{
        if (n == 0) {
                map_remove(r->under_way, image);
                return 0;
        }
        return map_put(r->under_way, image, (void *)n, NULL);
}

int pull_records_begin(struct pull_records *r, const char *image, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        char name[NAME_SIZE];
        json_auto_t *intent = json_pack("{s:s, s:s, s:s}", "kind", "ImagePullIntent", "apiVersion",
                                        "kubelet.config.k8s.io/v1beta1", "image", image);
        int k = name_of(image, name);

        if (intent)
                text = json_dumps(intent, JSON_COMPACT);
        if (!text)
                k = -ENOMEM;
        if (k == 0 && count_of(r, image) == 0)
                k = fs_replace_at(r->pulling_fd, name, text, strlen(text), 0600, false);
        if (k == 0)
                k = set_count(r, image, count_of(r, image) + 1);
        return k < 0 ? err_sys(err, k, "record that '%s' is pulled", image) : 0;
}

void pull_records_end(struct pull_records *r, const char *image, const char *image_id,
                      const struct pull_origin *origin)
{
        uintptr_t n = count_of(r, image);
        char name[NAME_SIZE];

        if (image_id)
                grant(r, image, image_id, !origin, origin);
        if (n > 0)
                set_count(r, image, n - 1);
        if (n <= 1 && name_of(image, name) == 0)
                unlinkat(r->pulling_fd, name, 0);
}

void pull_records_abandon(struct pull_records *r, const char *image)
{
        uintptr_t n = count_of(r, image);

        if (n > 0)
                set_count(r, image, n - 1);
}

/* ---- what other lives left ---- */

static void settle(struct pull_records *r, const char *name)
{
        _cleanup_free_ char *text = NULL;
        json_auto_t *intent = NULL;
        const struct image_info *image;
        const char *reference;
        size_t n;

        if (fs_read_at(r->pulling_fd, name, RECORD_MAX, &text, &n) == 0)
                json_parse(text, n, true, &intent, NULL);
        reference = json_text_at(intent, "image");
        image = reference ? image_find(r->ctx->rt, reference) : NULL;
        if (image) {
                _cleanup_free_ char *id = strdup(image->id);

                if (id)
                        grant(r, reference, id, false, NULL);
        }
        fs_remove_tree_at(r->pulling_fd, name);
}

static void settle_all(struct pull_records *r)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(r->pulling_fd, ".", &names) < 0)
                return;
        STRV_FOREACH (name, names)
                settle(r, *name);
}

struct pruning {
        char **names; /* of records; NULL'd when their image is here */
        bool failed;
};

static void keep_record(const struct image_info *image, void *userdata)
{
        struct pruning *p = userdata;
        char name[NAME_SIZE];

        if (name_of(image->id, name) < 0) {
                p->failed = true;
                return;
        }
        STRV_FOREACH (s, p->names)
                if (streq(*s, name))
                        **s = '\0';
}

void pull_records_prune(struct pull_records *r)
{
        struct pruning p = { 0 };

        if (fs_list_at(r->pulled_fd, ".", &p.names) == 0) {
                image_foreach(r->ctx->rt, keep_record, &p);
                STRV_FOREACH (name, p.names)
                        if (**name && !p.failed)
                                fs_remove_tree_at(r->pulled_fd, *name);
        }
        strv_free(p.names);
}

/* ---- birth and end ---- */

static int open_folder(const char *root_dir, const char *name, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/image_manager/%s", root_dir, name);

        return path ? fs_open_dir(path, 0700, err) : err_sys(err, -ENOMEM, "open the pull records");
}

int pull_records_new(const struct context *ctx, struct pull_records **ret, struct err *err)
{
        _cleanup_(pull_records_freep)
        struct pull_records *r = calloc(1, sizeof *r);

        if (!r)
                return err_sys(err, -ENOMEM, "open the pull records");
        *r = (struct pull_records){
                .ctx = ctx, .pulling_fd = -1, .pulled_fd = -1, .under_way = map_new()
        };
        if (!r->under_way)
                return err_sys(err, -ENOMEM, "open the pull records");
        r->pulling_fd = open_folder(ctx->root_dir, "pulling", err);
        if (r->pulling_fd < 0)
                return r->pulling_fd;
        r->pulled_fd = open_folder(ctx->root_dir, "pulled", err);
        if (r->pulled_fd < 0)
                return r->pulled_fd;
        settle_all(r);
        pull_records_prune(r);
        *ret = TAKE_PTR(r);
        return 0;
}

struct pull_records *pull_records_free(struct pull_records *r)
{
        if (!r)
                return NULL;
        map_free(r->under_way);
        safe_close(r->pulling_fd);
        safe_close(r->pulled_fd);
        free(r);
        return NULL;
}
