/* A container made, freed, written to <state_dir>/containers/<id>/record.json and read from there.
 */
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/text.h"
#include "runtime/container.h"
#include "runtime/image-store.h"
#include "runtime/record.h"

enum { EXIT_RECORD_MAX = 64 << 10 };

static const char *const state_names[] = {
        [CONTAINER_CREATED] = "created",
        [CONTAINER_RUNNING] = "running",
        [CONTAINER_EXITED] = "exited",
        [CONTAINER_UNKNOWN] = "unknown",
        NULL,
};

struct container *container_new(struct runtime *rt, const char *id, const char *sandbox_id)
{
        struct container *c = calloc(1, sizeof *c);

        if (!c)
                return NULL;
        c->rt = rt;
        snprintf(c->id, sizeof c->id, "%s", id);
        snprintf(c->sandbox_id, sizeof c->sandbox_id, "%s", sandbox_id);
        c->status.id = c->id;
        c->status.sandbox_id = c->sandbox_id;
        c->status.labels = &c->labels;
        return c;
}

struct container *container_free(struct container *c)
{
        if (!c)
                return NULL;
        STRV_FOREACH (id, c->held_images)
                image_store_release(c->rt->images, *id);
        strv_free(c->held_images);
        strv_free(c->mounted_images);
        list_remove(&c->in_sandbox);
        string_map_done(&c->labels);
        free(c->image_id);
        free(c->image_name);
        free(c->log_path);
        free(c->message);
        free(c->cgroup_parent);
        free(c->groups);
        free(c);
        return NULL;
}

static int hold(struct container *c, const char *image_id)
{
        int r = image_store_hold(c->rt->images, image_id);

        if (r == 0 && strv_append(&c->held_images, image_id) < 0) {
                image_store_release(c->rt->images, image_id);
                r = -ENOMEM;
        }
        return r;
}

int container_hold_images(struct container *c, const char **ret_missing)
{
        int r = c->image_id ? hold(c, c->image_id) : 0;

        *ret_missing = c->image_id;
        STRV_FOREACH (id, c->mounted_images) {
                int k = hold(c, *id);

                if (k < 0 && r == 0) {
                        r = k;
                        *ret_missing = *id;
                }
        }
        return r;
}

static json_t *groups_of(const struct container_status *s)
{
        json_t *a = json_array();

        for (size_t i = 0; i < s->n_groups; i++)
                json_array_append_new(a, json_integer(s->groups[i]));
        return a;
}

static json_t *images_of(const struct container *c)
{
        json_t *a = json_array();

        STRV_FOREACH (id, c->mounted_images)
                json_array_append_new(a, json_string(*id));
        return a;
}

int container_save(const struct container *c)
{
        const struct container_status *s = &c->status;
        _cleanup_free_ char *path = text_printf("%s/record.json", c->id);

        if (!path)
                return -ENOMEM;
        return record_write(
                c->rt->containers_fd, path,
                json_pack(
                        "{s:s, s:s, s:s, s:o, s:s?, s:s?, s:s?, s:s, s:s, s:I, s:I, s:I, s:i, s:b,"
                        " s:b, s:b, s:s?, s:I, s:I, s:o, s:o}",
                        "id", c->id, "sandboxId", c->sandbox_id, "bootId", c->rt->boot_id, "labels",
                        string_map_to_json(&c->labels), "imageId", c->image_id, "imageName",
                        c->image_name, "logPath", c->log_path, "cgroupParent", c->cgroup_parent,
                        "state", state_names[s->state], "createdAt", (json_int_t)s->created_at,
                        "startedAt", (json_int_t)s->started_at, "finishedAt",
                        (json_int_t)s->finished_at, "exitCode", s->exit_code, "oomKilled",
                        s->oom_killed, "startFailed", s->start_failed, "lost", s->lost, "message",
                        s->message, "uid", (json_int_t)s->uid, "gid", (json_int_t)s->gid, "groups",
                        groups_of(s), "mountedImages", images_of(c)));
}

static int decode_usec(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        static const struct json_range not_negative = { 0, INT64_MAX };
        int64_t v;
        int r = decode_i64(value, &v, &not_negative, err);

        if (r == 0)
                *(usec_t *)member = (usec_t)v;
        return r;
}

static int decode_id(const json_t *value, void *member, _unused_ const void *arg, struct err *err)
{
        const char *s = json_string_value(value);

        if (!s || !is_hex_lower(s, RUNTIME_ID_SIZE - 1))
                return err_set(err, -EINVAL, "expected 64 hex digits");
        memcpy(member, s, RUNTIME_ID_SIZE);
        return 0;
}

static const struct json_range exit_codes = { 0, 255 };
static const struct json_array group_array = {
        .decode = decode_u32,
        .element_size = sizeof(uint32_t),
        .count_offset = (ptrdiff_t)offsetof(struct container, status.n_groups) -
                        (ptrdiff_t)offsetof(struct container, groups),
        .max = 65536,
};
static const struct json_field fields
        [] = { /* clang-format off */
        { "sandboxId",    decode_id,         offsetof(struct container, sandbox_id), JSON_REQUIRED },
        { "labels",       decode_string_map, offsetof(struct container, labels), JSON_REQUIRED },
        { "imageId",      decode_string,     offsetof(struct container, image_id) },
        { "imageName",    decode_string,     offsetof(struct container, image_name) },
        { "logPath",      decode_string,     offsetof(struct container, log_path) },
        { "cgroupParent", decode_string,     offsetof(struct container, cgroup_parent), JSON_REQUIRED },
        { "state",        decode_enum,       offsetof(struct container, status.state), JSON_REQUIRED, state_names },
        { "createdAt",    decode_usec,       offsetof(struct container, status.created_at), JSON_REQUIRED },
        { "startedAt",    decode_usec,       offsetof(struct container, status.started_at), JSON_REQUIRED },
        { "finishedAt",   decode_usec,       offsetof(struct container, status.finished_at), JSON_REQUIRED },
        { "exitCode",     decode_i32,        offsetof(struct container, status.exit_code), JSON_REQUIRED, &exit_codes },
        { "oomKilled",    decode_bool,       offsetof(struct container, status.oom_killed), JSON_REQUIRED },
        { "startFailed",  decode_bool,       offsetof(struct container, status.start_failed), JSON_REQUIRED },
        { "lost",         decode_bool,       offsetof(struct container, status.lost), JSON_REQUIRED },
        { "message",      decode_string,     offsetof(struct container, message) },
        { "uid",          decode_u32,        offsetof(struct container, status.uid), JSON_REQUIRED },
        { "gid",          decode_u32,        offsetof(struct container, status.gid), JSON_REQUIRED },
        { "groups",       decode_array,      offsetof(struct container, groups), 0, &group_array },
        { "mountedImages", decode_strv,      offsetof(struct container, mounted_images) },
        {}
}; /* clang-format on */

int container_from_record(struct runtime *rt, const char *id, const json_t *record,
                          struct container **ret, struct err *err)
{
        _cleanup_(container_freep)
        struct container *c = container_new(rt, id, "");
        int r;

        if (!c)
                return err_sys(err, -ENOMEM, "read record");
        if (!streq_null(json_text_at(record, "id"), id))
                return err_set(err, -EBADMSG, "it belongs to another container");
        r = json_decode(record, fields, c, err);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        c->status.image_id = c->image_id;
        c->status.image_name = c->image_name;
        c->status.log_path = c->log_path;
        c->status.message = c->message;
        c->status.groups = c->groups;
        *ret = TAKE_PTR(c);
        return 0;
}

static const struct json_field
        exit_fields[] = { /* clang-format off */
        { "exitCode",    decode_i32,    offsetof(struct exit_record, exit_code), JSON_REQUIRED, &exit_codes },
        { "oomKilled",   decode_bool,   offsetof(struct exit_record, oom_killed), JSON_REQUIRED },
        { "startedAt",   decode_usec,   offsetof(struct exit_record, started_at), JSON_REQUIRED },
        { "finishedAt",  decode_usec,   offsetof(struct exit_record, finished_at), JSON_REQUIRED },
        { "startFailed", decode_bool,   offsetof(struct exit_record, start_failed), JSON_REQUIRED },
        { "message",     decode_string, offsetof(struct exit_record, message) },
        {}
}; /* clang-format on */

int container_read_exit(const struct runtime *rt, const char *id, struct exit_record *ret,
                        struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/exit", id), *text = NULL;
        _cleanup_(exit_record_done)
        struct exit_record e = { 0 };
        json_auto_t *root = NULL;
        size_t n;
        int r;

        if (!path)
                return err_sys(err, -ENOMEM, "read exit record");
        r = fs_read_at(rt->containers_fd, path, EXIT_RECORD_MAX, &text, &n);
        if (r < 0)
                return err_sys(err, r, "read exit record");
        r = json_parse(text, n, true, &root, err);
        if (r == 0 && json_integer_value(json_object_get(root, "version")) != 1)
                r = err_set(err, -EBADMSG, "version: expected 1");
        if (r == 0)
                r = json_decode(root, exit_fields, &e, err);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        *ret = e;
        e.message = NULL;
        return 0;
}

void exit_record_done(struct exit_record *e)
{
        free(e->message);
        *e = (struct exit_record){ 0 };
}
