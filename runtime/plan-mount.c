/* One mount of an OCI spec: its options sorted into attributes, propagation, flags and data. */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "base/text.h"
#include "runtime/plan.h"

struct option {
        const char *name;
        uint64_t set, clear;  /* MOUNT_ATTR_* */
        uint64_t propagation; /* MS_* */
        uint32_t flags;       /* PLAN_MOUNT_* */
        bool bind;
};
static const struct option options[] = {
        /* clang-format off */
        { "ro",            .set = MOUNT_ATTR_RDONLY },
        { "rw",            .clear = MOUNT_ATTR_RDONLY },
        { "nosuid",        .set = MOUNT_ATTR_NOSUID },
        { "suid",          .clear = MOUNT_ATTR_NOSUID },
        { "nodev",         .set = MOUNT_ATTR_NODEV },
        { "dev",           .clear = MOUNT_ATTR_NODEV },
        { "noexec",        .set = MOUNT_ATTR_NOEXEC },
        { "exec",          .clear = MOUNT_ATTR_NOEXEC },
        { "noatime",       .set = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME },
        { "strictatime",   .set = MOUNT_ATTR_STRICTATIME, .clear = MOUNT_ATTR__ATIME },
        { "relatime",      .set = MOUNT_ATTR_RELATIME, .clear = MOUNT_ATTR__ATIME },
        { "atime",         .set = MOUNT_ATTR_RELATIME, .clear = MOUNT_ATTR__ATIME },
        { "nodiratime",    .set = MOUNT_ATTR_NODIRATIME },
        { "diratime",      .clear = MOUNT_ATTR_NODIRATIME },
        { "nosymfollow",   .set = MOUNT_ATTR_NOSYMFOLLOW },
        { "symfollow",     .clear = MOUNT_ATTR_NOSYMFOLLOW },
        { "rro",           .set = MOUNT_ATTR_RDONLY, .flags = PLAN_MOUNT_RECURSIVE_READONLY },
        { "bind",          .bind = true },
        { "rbind",         .bind = true, .flags = PLAN_MOUNT_RECURSIVE },
        { "private",       .propagation = MS_PRIVATE },
        { "rprivate",      .propagation = MS_PRIVATE | MS_REC },
        { "slave",         .propagation = MS_SLAVE },
        { "rslave",        .propagation = MS_SLAVE | MS_REC },
        { "shared",        .propagation = MS_SHARED },
        { "rshared",       .propagation = MS_SHARED | MS_REC },
        { "tmpcopyup",     .flags = PLAN_MOUNT_COPY_UP },
        { "defaults" },
        { "x-skiff.create-source", .flags = PLAN_MOUNT_CREATE_SOURCE },
        { "x-skiff.source=Directory",   .flags = PLAN_MOUNT_SOURCE_DIRECTORY },
        { "x-skiff.source=File",        .flags = PLAN_MOUNT_SOURCE_FILE },
        { "x-skiff.source=Socket",      .flags = PLAN_MOUNT_SOURCE_SOCKET },
        { "x-skiff.source=CharDevice",  .flags = PLAN_MOUNT_SOURCE_CHAR_DEVICE },
        { "x-skiff.source=BlockDevice", .flags = PLAN_MOUNT_SOURCE_BLOCK_DEVICE },
}; /* clang-format on */

static const struct {
        const char *type;
        enum plan_mount_kind kind;
} kinds[] = {
        { "bind", PLAN_MOUNT_BIND },      { "none", PLAN_MOUNT_BIND },
        { "tmpfs", PLAN_MOUNT_TMPFS },    { "proc", PLAN_MOUNT_PROC },
        { "sysfs", PLAN_MOUNT_SYSFS },    { "mqueue", PLAN_MOUNT_MQUEUE },
        { "devpts", PLAN_MOUNT_DEVPTS },  { "cgroup", PLAN_MOUNT_CGROUP },
        { "cgroup2", PLAN_MOUNT_CGROUP }, { OCI_MOUNT_IMAGE, PLAN_MOUNT_IMAGE },
};

static int refuse(struct err *err, const char *what, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_CONTAINER_CONFIG, "'%s': expected %s", what, rule);
}

/* A later option wins over an earlier one that says the opposite, as with mount(8). */
static void apply_option(struct plan_mount *m, bool *bind, const struct option *o)
{
        m->attr_set = (m->attr_set & ~o->clear) | o->set;
        m->attr_clear = (m->attr_clear & ~o->set) | o->clear;
        if (o->flags & PLAN_MOUNT_SOURCE_TYPE)
                m->flags &= ~(uint32_t)PLAN_MOUNT_SOURCE_TYPE;
        m->flags |= o->flags;
        if (o->propagation)
                m->propagation = o->propagation & ~(uint64_t)MS_REC;
        *bind |= o->bind;
}

static int sort_options(const struct oci_mount *m, struct plan_mount *ret, bool *ret_bind,
                        struct strbuf *data)
{
        STRV_FOREACH (s, m->options) {
                const struct option *o = NULL;

                for (size_t i = 0; i < ARRAY_SIZE(options) && !o; i++)
                        if (streq(options[i].name, *s))
                                o = &options[i];
                if (o)
                        apply_option(ret, ret_bind, o);
                else
                        strbuf_addf(data, "%s%s", data->len ? "," : "", *s);
        }
        return data->failed ? -ENOMEM : 0;
}

static int find_kind(const struct oci_mount *m, bool bind, uint32_t *ret, struct err *err)
{
        if (bind) {
                *ret = PLAN_MOUNT_BIND;
                return 0;
        }
        if (streq(m->destination, "/dev/shm") && streq_null(m->source, "shm") &&
            streq_null(m->type, "tmpfs")) {
                *ret = PLAN_MOUNT_SHM;
                return 0;
        }
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (streq_null(m->type, kinds[i].type)) {
                        *ret = kinds[i].kind;
                        return 0;
                }
        }
        err_set_kind(
                err, -EINVAL, ERR_CONTAINER_CONFIG,
                "type '%s': expected bind, tmpfs, proc, sysfs, mqueue, devpts, cgroup or image",
                m->type ? m->type : "");
        return -EINVAL;
}

static int check(const struct oci_mount *m, const struct plan_mount *p, const char *data,
                 struct err *err)
{
        if (m->destination[0] != '/')
                return refuse(err, m->destination, "an absolute destination");
        if (p->kind == PLAN_MOUNT_BIND && (!m->source || m->source[0] != '/'))
                return refuse(err, m->source ? m->source : "", "an absolute source");
        if (p->kind == PLAN_MOUNT_IMAGE && data[0])
                return refuse(err, data, "an option of image mounts that Skiff knows");
        if (p->kind == PLAN_MOUNT_BIND && data[0])
                return refuse(err, data, "an option of bind mounts that Skiff knows");
        if (p->kind != PLAN_MOUNT_BIND &&
            p->flags & (PLAN_MOUNT_RECURSIVE | PLAN_MOUNT_RECURSIVE_READONLY |
                        PLAN_MOUNT_CREATE_SOURCE | PLAN_MOUNT_SOURCE_TYPE))
                return refuse(err, m->type,
                              "a bind mount with 'rbind', 'rro', 'x-skiff.create-source' or "
                              "'x-skiff.source'");
        if (p->flags & PLAN_MOUNT_COPY_UP && p->kind != PLAN_MOUNT_TMPFS)
                return refuse(err, m->type, "a tmpfs with 'tmpcopyup'");
        /* a mount propagated in later would be writable */
        if (p->flags & PLAN_MOUNT_RECURSIVE_READONLY && p->propagation &&
            p->propagation != MS_PRIVATE)
                return refuse(err, "rro", "private propagation with it");
        return 0;
}

/* The strings of a PLAN_MOUNT behind its struct: source, destination, data. */
static int add_record(struct plan_writer *w, const struct plan_mount *p, const char *source,
                      const char *destination, const char *data)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };

        strbuf_add_n(&b, source, strlen(source) + 1);
        strbuf_add_n(&b, destination, strlen(destination) + 1);
        strbuf_add_n(&b, data, strlen(data) + 1);
        return b.failed ? -ENOMEM : plan_add(w, PLAN_MOUNT, p, sizeof *p, b.data, b.len);
}

/* "sha256:<id>/<path>" -> the path, and the layers of the image joined by ':'. */
static int find_image(const struct plan_container_options *o, const struct oci_mount *m,
                      const char **ret_path, struct strbuf *layers, struct err *err)
{
        const char *source = m->source ? m->source : "";
        size_t n = strcspn(source, "/");
        const struct plan_image *image = NULL;

        for (size_t i = 0; i < o->n_images && !image; i++)
                if (strlen(o->images[i].id) == n && strncmp(o->images[i].id, source, n) == 0)
                        image = &o->images[i];
        if (!image || !o->layer_dir)
                return refuse(err, source, "an image that is here, for a root that is one");
        STRV_FOREACH (l, image->layers)
                strbuf_addf(layers, "%s%s", layers->len ? ":" : "", *l);
        *ret_path = source + n + strspn(source + n, "/");
        return layers->failed ? err_sys(err, -ENOMEM, "list layers") : 0;
}

int plan_add_mount(struct plan_writer *w, const struct plan_container_options *o,
                   const struct oci_mount *m, struct err *err)
{
        _cleanup_strbuf_ struct strbuf data = { 0 };
        struct plan_mount p = { 0 };
        const char *source = m->source ? m->source : "";
        bool bind = false;
        int r = sort_options(m, &p, &bind, &data);

        if (r < 0)
                return err_sys(err, r, "sort options");
        r = find_kind(m, bind, &p.kind, err);
        if (r == 0)
                r = check(m, &p, data.len ? data.data : "", err);
        if (r == 0 && p.kind == PLAN_MOUNT_IMAGE)
                r = find_image(o, m, &source, &data, err);
        if (r == 0) {
                r = add_record(w, &p, source, m->destination, data.len ? data.data : "");
                if (r < 0)
                        err_sys(err, r, "add to the launch plan");
        }
        return r < 0 ? err_wrap(err, r, "mount '%s'", m->destination) : 0;
}
