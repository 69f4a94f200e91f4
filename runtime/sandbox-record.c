/* A sandbox made, written to <state_dir>/sandboxes/<id>.json and read from there. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/record.h"
#include "runtime/sandbox.h"

struct sandbox *sandbox_new(struct runtime *rt, const char *id)
{
        struct sandbox *s = calloc(1, sizeof *s);

        if (!s)
                return NULL;
        s->rt = rt;
        snprintf(s->id, sizeof s->id, "%s", id);
        s->status.id = s->id;
        s->status.labels = &s->labels;
        list_init(&s->containers);
        list_init(&s->stops);
        return s;
}

static json_t *ports_of(const struct sandbox *s)
{
        json_t *a = json_array();

        for (size_t i = 0; i < s->n_ports; i++)
                json_array_append_new(a, json_pack("{s:i, s:i, s:i, s:s?}", "protocol",
                                                   s->ports[i].protocol, "hostPort",
                                                   s->ports[i].host_port, "containerPort",
                                                   s->ports[i].container_port, "hostIp",
                                                   s->ports[i].host_ip));
        return a;
}

static json_t *addresses_of(const struct sandbox *s)
{
        json_t *a = json_array();
        char text[IP_TEXT_MAX];

        for (size_t i = 0; i < s->addresses.n; i++)
                json_array_append_new(a, json_string(ip_format(&s->addresses.ips[i], text)));
        return a;
}

int sandbox_save(const struct sandbox *s)
{
        _cleanup_free_ char *name = text_printf("%s.json", s->id);

        if (!name)
                return -ENOMEM;
        return record_write(
                s->rt->sandboxes_fd, name,
                json_pack("{s:s, s:s, s:o, s:s?, s:s, s:I, s:I, s:o, s:o, s:o, s:I, s:b}", "id",
                          s->id, "bootId", s->rt->boot_id, "labels", string_map_to_json(&s->labels),
                          "hostname", s->hostname, "cgroupParent", s->cgroup_parent, "flags",
                          (json_int_t)s->flags, "shmSize", (json_int_t)s->shm_size, "sysctls",
                          string_map_to_json(&s->sysctls), "addresses", addresses_of(s), "ports",
                          ports_of(s), "createdAt", (json_int_t)s->status.created_at, "stopped",
                          s->stopped));
}

static int decode_addresses(const json_t *value, void *member, _unused_ const void *arg,
                            struct err *err)
{
        struct pod_addresses *a = member;
        const json_t *e;
        size_t i;

        if (!json_is_array(value) || json_array_size(value) > ARRAY_SIZE(a->ips))
                return err_set(err, -EINVAL, "expected at most two addresses");
        json_array_foreach ((json_t *)value, i, e) {
                const char *text = json_string_value(e);

                if (!text || ip_parse(text, &a->ips[a->n]) < 0)
                        return err_set(err, -EINVAL, "[%zu]: expected an address", i);
                a->n++;
        }
        return 0;
}

static int decode_usec(const json_t *value, void *member, const void *arg, struct err *err)
{
        int64_t v;
        int r = decode_i64(value, &v, arg, err);

        if (r == 0)
                *(uint64_t *)member = (uint64_t)v;
        return r;
}

static int decode_protocol(const json_t *value, void *member, const void *arg, struct err *err)
{
        uint32_t v;
        int r = decode_u32(value, &v, arg, err);

        if (r == 0)
                *(uint8_t *)member = (uint8_t)v;
        return r;
}

static const struct json_range not_negative = { 0, INT64_MAX };
static const struct json_range byte = { 0, UINT8_MAX };
static const struct json_field
        port_fields[] = { /* clang-format off */
        { "protocol",      decode_protocol, offsetof(struct runtime_port, protocol), JSON_REQUIRED, &byte },
        { "hostPort",      decode_port,     offsetof(struct runtime_port, host_port), JSON_REQUIRED },
        { "containerPort", decode_port,     offsetof(struct runtime_port, container_port), JSON_REQUIRED },
        { "hostIp",        decode_string,   offsetof(struct runtime_port, host_ip) },
        {}
}; /* clang-format on */
static const struct json_array port_array = {
        .fields = port_fields,
        .element_size = sizeof(struct runtime_port),
        .count_offset = JSON_ARRAY_COUNT(struct sandbox, ports, n_ports),
};
static const struct json_field
        fields[] = { /* clang-format off */
        { "labels",       decode_string_map, offsetof(struct sandbox, labels), JSON_REQUIRED },
        { "hostname",     decode_string,     offsetof(struct sandbox, hostname) },
        { "cgroupParent", decode_string,     offsetof(struct sandbox, cgroup_parent), JSON_REQUIRED },
        { "flags",        decode_u32,        offsetof(struct sandbox, flags), JSON_REQUIRED },
        { "shmSize",      decode_usec,       offsetof(struct sandbox, shm_size), 0, &not_negative },
        { "sysctls",      decode_string_map, offsetof(struct sandbox, sysctls) },
        { "addresses",    decode_addresses,  offsetof(struct sandbox, addresses), JSON_REQUIRED },
        { "ports",        decode_array,      offsetof(struct sandbox, ports), 0, &port_array },
        { "createdAt",    decode_usec,       offsetof(struct sandbox, status.created_at), JSON_REQUIRED, &not_negative },
        { "stopped",      decode_bool,       offsetof(struct sandbox, stopped), JSON_REQUIRED },
        {}
}; /* clang-format on */

int sandbox_from_record(struct runtime *rt, const char *id, const json_t *record,
                        struct sandbox **ret, struct err *err)
{
        _cleanup_(sandbox_freep)
        struct sandbox *s = sandbox_new(rt, id);
        int r;

        if (!s)
                return err_sys(err, -ENOMEM, "read record");
        if (!streq_null(json_text_at(record, "id"), id))
                return err_set(err, -EBADMSG, "it belongs to another sandbox");
        r = json_decode(record, fields, s, err);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        *ret = TAKE_PTR(s);
        return 0;
}
