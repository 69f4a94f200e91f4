#include "kubelet/plugin-message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define PATH_MAX_BYTES 4096
#define VERSIONS_MAX   64
#define VERSION_PARTS  4 /* of 16 bits each */

void plugin_info_done(struct plugin_info *i)
{
        free(i->type);
        free(i->name);
        free(i->endpoint);
        strv_free(i->versions);
        *i = (struct plugin_info){ 0 };
}

static int add_version(struct plugin_info *i, const struct protobuf_field *f, struct err *err)
{
        char *version = NULL;
        int r;

        if (i->n_versions == VERSIONS_MAX)
                return err_set_kind(err, -EBADMSG, ERR_BAD_INPUT,
                                    "supported_versions: expected at most %d", VERSIONS_MAX);
        r = protobuf_text(f, "supported_versions", NAME_MAX_BYTES, &version, err);
        if (r < 0)
                return r;
        i->n_versions++;
        r = strv_consume(&i->versions, version);
        return r < 0 ? err_sys(err, r, "read supported_versions") : 0;
}

static int read_field(struct plugin_info *i, const struct protobuf_field *f, struct err *err)
{
        switch (f->number) {
        case 1:
                return protobuf_text(f, "type", NAME_MAX_BYTES, &i->type, err);
        case 2:
                return protobuf_text(f, "name", NAME_MAX_BYTES, &i->name, err);
        case 3:
                return protobuf_text(f, "endpoint", PATH_MAX_BYTES, &i->endpoint, err);
        case 4:
                return add_version(i, f, err);
        default:
                return 0;
        }
}

int plugin_read_info(const void *message, size_t n, struct plugin_info *ret, struct err *err)
{
        struct protobuf_reader reader = protobuf_reader(message, n);
        struct protobuf_field f;
        int r;

        *ret = (struct plugin_info){ strdup(""), strdup(""), strdup(""), NULL, 0 };
        if (!ret->type || !ret->name || !ret->endpoint)
                return err_sys(err, -ENOMEM, "read PluginInfo");
        while ((r = protobuf_next(&reader, &f, err)) > 0) {
                r = read_field(ret, &f, err);
                if (r < 0)
                        break;
        }
        return r < 0 ? err_wrap(err, r, "PluginInfo") : 0;
}

void plugin_write_status(struct strbuf *b, const char *error)
{
        protobuf_add_number(b, 1, !error);
        protobuf_add_text(b, 2, error);
}

uint64_t plugin_version_parse(const char *text)
{
        uint64_t version = 0;
        unsigned parts = 0;

        if (*text == 'v')
                text++;
        while (parts < VERSION_PARTS) {
                uint64_t part = 0;

                if (*text < '0' || *text > '9')
                        return 0;
                for (; *text >= '0' && *text <= '9'; text++) {
                        part = part * 10 + (uint64_t)(*text - '0');
                        if (part > UINT16_MAX)
                                return 0;
                }
                version = version << 16 | part;
                parts++;
                if (*text != '.')
                        break;
                text++;
        }
        return *text || parts < 2 ? 0 : version << 16 * (VERSION_PARTS - parts);
}

uint64_t plugin_version_highest(char *const *versions)
{
        uint64_t highest = 0;

        STRV_FOREACH (v, versions) {
                uint64_t version = plugin_version_parse(*v);

                if (version >> 48 == 1)
                        highest = MAX(highest, version);
        }
        return highest;
}
