#include "runtime/plan-view.h"

#include <errno.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { PATH_LIMIT = 4096, GROUPS_LIMIT = 65536, LAYER_NAME_LIMIT = 255 };

static bool is_absolute(const char *path)
{
        return path && path[0] == '/' && strlen(path) < PATH_LIMIT;
}

/* One string, and nothing behind it. */
static const char *only_string(const struct plan_record *r, size_t at)
{
        const char *s = plan_string(r, &at);

        return s && at == r->len ? s : NULL;
}

static bool is_propagation(uint64_t flag)
{
        return flag == 0 || flag == MS_PRIVATE || flag == MS_SLAVE || flag == MS_SHARED;
}

static const char *check_container(const struct plan_container *c)
{
        enum { KNOWN = 2 * PLAN_OWN_NET - 1 };

        if (!c)
                return "a container record is too short";
        if (c->flags & ~(uint32_t)KNOWN)
                return "a container record has a flag that nobody knows";
        if (c->uid == UINT32_MAX || c->gid == UINT32_MAX)
                return "a user or group id is beyond 4294967294";
        if (!is_propagation(c->root_propagation))
                return "the root's propagation is none of private, slave, shared";
        if (c->flags & PLAN_HAS_UMASK && c->umask > 07777)
                return "a umask is beyond 07777";
        if ((c->cap_effective | c->cap_inheritable | c->cap_ambient) & ~c->cap_permitted)
                return "a capability is effective, inheritable or ambient but not permitted";
        if (c->cap_ambient & ~c->cap_inheritable)
                return "a capability is ambient but not inheritable";
        return NULL;
}

static bool is_layer_name(const char *s, size_t n)
{
        return n > 0 && n <= LAYER_NAME_LIMIT && !memchr(s, '\\', n) && !memchr(s, ',', n) &&
               !memchr(s, ':', n);
}

/* Names as in PLAN_LAYER, with ':' between them. */
static bool is_layer_list(const char *s)
{
        for (;; s++) {
                size_t n = strcspn(s, ":");

                if (!is_layer_name(s, n))
                        return false;
                s += n;
                if (!*s)
                        return true;
        }
}

static const char *check_mount(const struct plan_record *r)
{
        const struct plan_mount *m = plan_struct(r, sizeof *m);
        const char *source, *destination, *data;
        size_t at = sizeof *m;

        if (!m)
                return "a mount record is too short";
        source = plan_string(r, &at);
        destination = plan_string(r, &at);
        data = plan_string(r, &at);
        if (!data || at != r->len)
                return "a mount record lacks one of its three strings";
        if (m->kind < PLAN_MOUNT_BIND || m->kind > PLAN_MOUNT_IMAGE ||
            m->flags & ~(uint32_t)PLAN_MOUNT_FLAGS)
                return "a mount is of a kind or has a flag that nobody knows";
        if (!is_absolute(destination) || (m->kind == PLAN_MOUNT_BIND && !is_absolute(source)))
                return "a mount's source or destination is no absolute path";
        if (!is_propagation(m->propagation))
                return "a mount's propagation is none of private, slave, shared";
        if (m->kind == PLAN_MOUNT_IMAGE && (!is_layer_list(data) || source[0] == '/' || m->flags))
                return "an image mount lacks its layers, has an absolute source or a flag";
        if (m->flags & PLAN_MOUNT_COPY_UP)
                return "a tmpfs that starts with the image's files (tmpcopyup) is not supported";
        return NULL;
}

static const char *check_device(const struct plan_record *r)
{
        const struct plan_device *d = plan_struct(r, sizeof *d);

        if (!d || !is_absolute(only_string(r, sizeof *d)))
                return "a device record lacks its path";
        if (d->type != S_IFCHR && d->type != S_IFBLK && d->type != S_IFIFO)
                return "a device is none of character, block, FIFO";
        if (d->mode & ~07777u || d->major > 0xfff || d->minor > 0xfffff)
                return "a device's mode or number is out of range";
        return NULL;
}

static const char *check_namespace(const struct plan_record *r)
{
        uint32_t flag;

        if (!plan_struct(r, 8) || !is_absolute(only_string(r, 8)))
                return "a namespace record lacks its path";
        memcpy(&flag, r->payload, sizeof flag);
        switch (flag) {
        case CLONE_NEWPID:
        case CLONE_NEWNET:
        case CLONE_NEWIPC:
        case CLONE_NEWUTS:
        case CLONE_NEWCGROUP:
                return NULL;
        default:
                return "a namespace to join is none of pid, network, ipc, uts, cgroup";
        }
}

static const char *check_sysctl(const struct plan_record *r)
{
        static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_./-";
        size_t at = 0;
        const char *name = plan_string(r, &at), *value = name ? plan_string(r, &at) : NULL;

        if (!value || at != r->len)
                return "a sysctl record lacks its name or value";
        if (!name[0] || strspn(name, letters) != strlen(name) || strchr(value, '\n'))
                return "a sysctl's name or value has a character that none has";
        for (const char *segment = name; segment; segment = strchr(segment, '/')) {
                segment += segment != name;
                if (!*segment || *segment == '/' || *segment == '.')
                        return "a sysctl's name has an empty or dotted segment";
        }
        return NULL;
}

static const char *check_link(const struct plan_link *l)
{
        if (!l || !memchr(l->host_name, '\0', sizeof l->host_name) || !l->host_name[0] ||
            !memchr(l->pod_name, '\0', sizeof l->pod_name) || !l->pod_name[0] ||
            strchr(l->host_name, '/') || strchr(l->pod_name, '/'))
                return "a link record lacks its names";
        return NULL;
}

static const char *check_address(const struct plan_record *r)
{
        const struct plan_address *a = plan_struct(r, sizeof *a);

        /* 2 and 10: AF_INET, AF_INET6 */
        if (!a || !((a->family == 2 && a->prefix <= 32) || (a->family == 10 && a->prefix <= 128)))
                return "an address is no IPv4 or IPv6 address with its prefix";
        return NULL;
}

static const char *check_groups(struct plan_view *v, const struct plan_record *r)
{
        if (r->len % sizeof *v->groups || r->len / sizeof *v->groups > GROUPS_LIMIT)
                return "a list of groups has an odd length";
        v->groups = r->payload;
        v->n_groups = r->len / sizeof *v->groups;
        for (size_t i = 0; i < v->n_groups; i++)
                if (v->groups[i] == UINT32_MAX)
                        return "a group id is beyond 4294967294";
        return NULL;
}

/* For types that are one string: which member of the view it becomes, and whether it is a path. */
static const char *take_string(struct plan_view *v, const struct plan_record *r)
{
        const char *s = only_string(r, 0), **member = NULL;
        bool path = true;

        switch (r->type) {
        case PLAN_HOSTNAME:
                member = &v->hostname;
                path = false;
                break;
        case PLAN_ID:
                member = &v->id;
                path = false;
                break;
        case PLAN_APPARMOR:
                member = &v->apparmor;
                path = false;
                break;
        case PLAN_CWD:
                member = &v->cwd;
                break;
        case PLAN_LAYER_DIR:
                member = &v->layer_dir;
                break;
        case PLAN_UPPER_DIR:
                member = &v->upper_dir;
                break;
        case PLAN_ROOT_PATH:
                member = &v->root_path;
                break;
        case PLAN_LAYER:
                if (!s || !is_layer_name(s, strlen(s)))
                        return "a layer's name is empty, long, or has one of ':', ',', '\\'";
                return NULL;
        case PLAN_MASKED:
        case PLAN_READONLY:
                break;
        default: /* arguments and environment: anything */
                path = false;
        }
        if (!s)
                return "a record of one string is not one string";
        if (path && !is_absolute(s))
                return "a path is not absolute";
        if (member)
                *member = s;
        return NULL;
}

static const char *take_record(struct plan_view *v, const struct plan_record *r)
{
        size_t at = sizeof *v->log;

        switch (r->type) {
        case PLAN_SANDBOX:
                v->sandbox = plan_struct(r, sizeof *v->sandbox);
                if (!v->sandbox || v->sandbox->flags & ~(uint32_t)(2 * PLAN_HOST_UTS - 1))
                        return "a sandbox record has a flag that nobody knows";
                return NULL;
        case PLAN_LINK:
                v->link = plan_struct(r, sizeof *v->link);
                return check_link(v->link);
        case PLAN_ADDRESS:
                return check_address(r);
        case PLAN_SYSCTL:
                return check_sysctl(r);
        case PLAN_CONTAINER:
                v->container = plan_struct(r, sizeof *v->container);
                return check_container(v->container);
        case PLAN_GROUP:
                return check_groups(v, r);
        case PLAN_RLIMIT: {
                const struct plan_rlimit *l = plan_struct(r, sizeof *l);

                return l && l->resource < RLIM_NLIMITS ? NULL : "an rlimit is none we know";
        }
        case PLAN_MOUNT:
                return check_mount(r);
        case PLAN_DEVICE:
                return check_device(r);
        case PLAN_NAMESPACE_PATH:
                return check_namespace(r);
        case PLAN_LOG:
                v->log = plan_struct(r, sizeof *v->log);
                v->log_path = v->log ? plan_string(r, &at) : NULL;
                return is_absolute(v->log_path) ? NULL : "a log record lacks its path";
        default:
                return take_string(v, r);
        }
}

int plan_view_open(struct plan_view *v, const void *data, size_t len, const char **why)
{
        struct plan_view view = { 0 };
        struct plan_record record;
        struct plan_reader r;
        int more;

        *why = "it is no plan of this version";
        if (plan_open(&r, data, len) < 0)
                return -EBADMSG;
        view.start = r;
        while ((more = plan_next(&r, &record)) == 1) {
                const char *broken = take_record(&view, &record);

                if (broken) {
                        *why = broken;
                        return -EBADMSG;
                }
                view.count[record.type]++;
        }
        if (more < 0) {
                *why = "it is cut short or has a record that nobody knows";
                return -EBADMSG;
        }
        *v = view;
        return 0;
}

int plan_view_check_sandbox(const struct plan_view *v, const char **why)
{
        *why = NULL;
        if (!v->sandbox)
                *why = "it has no sandbox record";
        else if (v->link && v->sandbox->flags & PLAN_HOST_NETWORK)
                *why = "it has a link beside the host's network";
        else if (v->hostname && v->sandbox->flags & PLAN_HOST_UTS)
                *why = "it has a host name beside the host's";
        return *why ? -EBADMSG : 0;
}

int plan_view_check_exec(const struct plan_view *v, const char **why)
{
        *why = v->count[PLAN_ARG] ? NULL : "it has no argument";
        return *why ? -EBADMSG : 0;
}

int plan_view_check_container(const struct plan_view *v, const char **why)
{
        *why = NULL;
        if (!v->container)
                *why = "it has no container record";
        else if (!v->count[PLAN_ARG])
                *why = "it has no argument";
        else if (!v->root_path == !v->upper_dir)
                *why = "it needs either a root path or layers with their upper directory";
        else if (v->count[PLAN_SYSCTL])
                *why = "it has a sysctl, which belongs to the sandbox";
        else if (v->count[PLAN_LAYER] && !v->layer_dir)
                *why = "it has layers but not their directory";
        return *why ? -EBADMSG : 0;
}

bool plan_view_next(struct plan_reader *r, enum plan_type type, struct plan_record *ret)
{
        while (plan_next(r, ret) == 1)
                if (ret->type == type)
                        return true;
        return false;
}

struct plan_mount_view plan_view_mount(const struct plan_record *r)
{
        struct plan_mount_view m = { .mount = r->payload };
        size_t at = sizeof *m.mount;

        m.source = plan_string(r, &at);
        m.destination = plan_string(r, &at);
        m.data = plan_string(r, &at);
        return m;
}

const char *plan_view_device_path(const struct plan_record *r)
{
        return (const char *)r->payload + sizeof(struct plan_device);
}

const char *plan_view_namespace(const struct plan_record *r, uint32_t *ret_flag)
{
        memcpy(ret_flag, r->payload, sizeof *ret_flag);
        return (const char *)r->payload + 8;
}

const char *plan_view_sysctl(const struct plan_record *r, const char **ret_value)
{
        const char *name = r->payload;

        *ret_value = name + strlen(name) + 1;
        return name;
}

bool plan_view_at(const struct plan_view *v, unsigned index, struct plan_record *ret)
{
        struct plan_reader r = v->start;

        for (unsigned i = 0; plan_next(&r, ret) == 1; i++)
                if (i == index)
                        return true;
        return false;
}

unsigned plan_view_index(const struct plan_view *v, const struct plan_record *r)
{
        struct plan_reader reader = v->start;
        struct plan_record record;
        unsigned i = 0;

        while (plan_next(&reader, &record) == 1 && record.payload != r->payload)
                i++;
        return i;
}
