#include "kubelet/csi-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX        4096
#define NODE_ID_MAX     256 /* bytes; 192 in the specification, more in the wild */
#define SEGMENTS_MAX    256
#define DRIVER_NAME_MAX 63

enum access_mode { /* VolumeCapability.AccessMode.Mode */
                   SINGLE_NODE_WRITER = 1,
                   MULTI_NODE_READER_ONLY = 3,
                   MULTI_NODE_MULTI_WRITER = 5,
                   SINGLE_NODE_SINGLE_WRITER = 6,
                   SINGLE_NODE_MULTI_WRITER = 7,
};

/* ---- answers ---- */

/* NodeServiceCapability { rpc { type } }: of what is unknown 0 is returned. */
static int read_capability(struct protobuf_reader capability, uint32_t *ret, struct err *err)
{
        struct protobuf_field f, inner;
        struct protobuf_reader rpc;
        int r;

        while ((r = protobuf_next(&capability, &f, err)) > 0) {
                if (f.number != 1)
                        continue;
                r = protobuf_message(&f, "rpc", &rpc, err);
                while (r == 0 && (r = protobuf_next(&rpc, &inner, err)) > 0) {
                        uint64_t type = 0;

                        r = 0;
                        if (inner.number == 1)
                                r = protobuf_number(&inner, "type", &type, err);
                        if (type > 0 && type < 32)
                                *ret |= UINT32_C(1) << type;
                }
                if (r < 0)
                        return r;
        }
        return r;
}

int csi_read_capabilities(const void *message, size_t n, uint32_t *ret, struct err *err)
{
        struct protobuf_reader reader = protobuf_reader(message, n), capability;
        struct protobuf_field f;
        uint32_t found = 0;
        int r;

        while ((r = protobuf_next(&reader, &f, err)) > 0) {
                if (f.number != 1)
                        continue;
                r = protobuf_message(&f, "capabilities", &capability, err);
                if (r == 0)
                        r = read_capability(capability, &found, err);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return err_wrap(err, r, "NodeGetCapabilitiesResponse");
        *ret = found;
        return 0;
}

void csi_node_info_done(struct csi_node_info *i)
{
        free(i->node_id);
        string_map_done(&i->topology);
        *i = (struct csi_node_info){ 0 };
}

/* One entry of a map<string, string>. */
static int read_entry(struct protobuf_reader entry, json_t *to, struct err *err)
{
        _cleanup_free_ char *key = strdup(""), *value = strdup("");
        struct protobuf_field f;
        int r;

        if (!key || !value)
                return err_sys(err, -ENOMEM, "read segments");
        while ((r = protobuf_next(&entry, &f, err)) > 0) {
                r = 0;
                if (f.number == 1)
                        r = protobuf_text(&f, "key", TEXT_MAX, &key, err);
                else if (f.number == 2)
                        r = protobuf_text(&f, "value", TEXT_MAX, &value, err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (json_object_size(to) >= SEGMENTS_MAX)
                return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT, "segments: expected at most %d",
                                    SEGMENTS_MAX);
        return json_set_text(to, key, value) < 0 ? err_sys(err, -ENOMEM, "read segments") : 0;
}

static int read_topology(struct protobuf_reader topology, struct string_map *ret, struct err *err)
{
        json_auto_t *segments = json_object();
        struct protobuf_reader entry;
        struct protobuf_field f;
        int r;

        while ((r = protobuf_next(&topology, &f, err)) > 0) {
                if (f.number != 1)
                        continue;
                r = protobuf_message(&f, "segments", &entry, err);
                if (r == 0)
                        r = read_entry(entry, segments, err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        string_map_done(ret);
        return decode_string_map(segments, ret, NULL, err);
}

static int read_info_field(struct csi_node_info *i, const struct protobuf_field *f, struct err *err)
{
        struct protobuf_reader topology;
        uint64_t max;
        int r;

        switch (f->number) {
        case 1:
                return protobuf_text(f, "node_id", NODE_ID_MAX, &i->node_id, err);
        case 2:
                r = protobuf_number(f, "max_volumes_per_node", &max, err);
                if (r < 0)
                        return r;
                if (max > INT64_MAX)
                        return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                            "max_volumes_per_node: expected 0 or more, not %lld",
                                            (long long)max);
                i->max_volumes = (int64_t)MIN(max, (uint64_t)INT32_MAX); /* what CSINode holds */
                return 0;
        case 3:
                r = protobuf_message(f, "accessible_topology", &topology, err);
                if (r == 0)
                        r = read_topology(topology, &i->topology, err);
                return r < 0 ? err_wrap(err, r, "accessible_topology") : 0;
        default:
                return 0;
        }
}

int csi_read_node_info(const void *message, size_t n, struct csi_node_info *ret, struct err *err)
{
        struct protobuf_reader reader = protobuf_reader(message, n);
        struct protobuf_field f;
        int r;

        *ret = (struct csi_node_info){ 0 };
        while ((r = protobuf_next(&reader, &f, err)) > 0) {
                r = read_info_field(ret, &f, err);
                if (r < 0)
                        break;
        }
        if (r == 0 && (!ret->node_id || !*ret->node_id))
                r = err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                 "node_id: expected a text, it is empty");
        return r < 0 ? err_wrap(err, r, "NodeGetInfoResponse") : 0;
}

static int read_amount(struct protobuf_reader usage, struct csi_usage *ret, struct err *err)
{
        uint64_t values[5] = { 0 }; /* by field: available, total, used, unit */
        struct csi_amount amount;
        struct protobuf_field f;
        int r;

        while ((r = protobuf_next(&usage, &f, err)) > 0) {
                r = 0;
                if (f.number < ARRAY_SIZE(values))
                        r = protobuf_number(&f, "usage", &values[f.number], err);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        for (size_t i = 1; i <= 3; i++)
                if (values[i] > INT64_MAX)
                        return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                            "usage: expected amounts of 0 or more");
        amount = (struct csi_amount){ (int64_t)values[1], (int64_t)values[2], (int64_t)values[3] };
        if (values[4] == 1) {
                ret->has_bytes = true;
                ret->bytes = amount;
        } else if (values[4] == 2) {
                ret->has_inodes = true;
                ret->inodes = amount;
        }
        return 0;
}

int csi_read_usage(const void *message, size_t n, struct csi_usage *ret, struct err *err)
{
        struct protobuf_reader reader = protobuf_reader(message, n), usage;
        struct protobuf_field f;
        int r;

        *ret = (struct csi_usage){ 0 };
        while ((r = protobuf_next(&reader, &f, err)) > 0) {
                if (f.number != 1)
                        continue;
                r = protobuf_message(&f, "usage", &usage, err);
                if (r == 0)
                        r = read_amount(usage, ret, err);
                if (r < 0)
                        break;
        }
        return r < 0 ? err_wrap(err, r, "NodeGetVolumeStatsResponse") : 0;
}

/* ---- requests ---- */

static enum access_mode access_mode_of(const struct csi_mount *m)
{
        bool knows_single = m->capabilities & CSI_SINGLE_NODE_MULTI_WRITER;

        if (streq(m->access_mode, "ReadOnlyMany"))
                return MULTI_NODE_READER_ONLY;
        if (streq(m->access_mode, "ReadWriteMany"))
                return MULTI_NODE_MULTI_WRITER;
        if (!knows_single)
                return SINGLE_NODE_WRITER;
        return streq(m->access_mode, "ReadWriteOncePod") ? SINGLE_NODE_SINGLE_WRITER
                                                         : SINGLE_NODE_MULTI_WRITER;
}

static void add_capability(struct strbuf *b, uint32_t field, const struct csi_mount *m)
{
        _cleanup_strbuf_ struct strbuf capability = { 0 }, mount = { 0 }, access = { 0 };

        if (!m->is_block) {
                protobuf_add_text(&mount, 1, m->fs_type);
                STRV_FOREACH (flag, m->mount_flags)
                        protobuf_add_item(&mount, 2, *flag);
                protobuf_add_text(&mount, 3, m->mount_group);
        }
        protobuf_add_message(&capability, m->is_block ? 1 : 2, &mount);
        protobuf_add_number(&access, 1, access_mode_of(m));
        protobuf_add_message(&capability, 3, &access);
        protobuf_add_message(b, field, &capability);
}

void csi_write_stage(struct strbuf *b, const struct csi_mount *m)
{
        protobuf_add_text(b, 1, m->volume_id);
        protobuf_add_map(b, 2, m->publish_context);
        protobuf_add_text(b, 3, m->staging_path);
        add_capability(b, 4, m);
        protobuf_add_map(b, 5, m->secrets);
        protobuf_add_map(b, 6, m->volume_context);
}

void csi_write_publish(struct strbuf *b, const struct csi_mount *m)
{
        protobuf_add_text(b, 1, m->volume_id);
        protobuf_add_map(b, 2, m->publish_context);
        protobuf_add_text(b, 3, m->staging_path);
        protobuf_add_text(b, 4, m->target_path);
        add_capability(b, 5, m);
        protobuf_add_number(b, 6, m->read_only);
        protobuf_add_map(b, 7, m->secrets);
        protobuf_add_map(b, 8, m->volume_context);
}

void csi_write_undo(struct strbuf *b, const char *volume_id, const char *path)
{
        protobuf_add_text(b, 1, volume_id);
        protobuf_add_text(b, 2, path);
}

void csi_write_get_stats(struct strbuf *b, const char *volume_id, const char *path)
{
        csi_write_undo(b, volume_id, path);
}

static bool is_alphanumeric(char c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int csi_check_driver_name(const char *name, struct err *err)
{
        size_t n = strlen(name);
        bool well = n > 0 && n <= DRIVER_NAME_MAX && is_alphanumeric(name[0]) &&
                    is_alphanumeric(name[n - 1]);

        for (size_t i = 0; well && i < n; i++)
                well = is_alphanumeric(name[i]) || name[i] == '-' || name[i] == '.';
        if (well)
                return 0;
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                            "CSI driver name '%.*s': expected 1 to %d letters, digits, '-' and "
                            "'.', a letter or digit at both ends",
                            DRIVER_NAME_MAX + 1, name, DRIVER_NAME_MAX);
}
