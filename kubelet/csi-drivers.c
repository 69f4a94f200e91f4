#include "kubelet/csi-drivers.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/list.h"
#include "base/log.h"

#define CALL_TIMEOUT_USEC (2 * USEC_PER_MINUTE)

struct csi_driver {
        struct list_node node;
        struct csi_drivers *drivers;
        char *name, *endpoint; /* owned */
        char *registration;    /* owned; socket by which it registered */
        uint64_t version;
        uint32_t capabilities;
        struct grpc_call *call; /* owned; NodeGetInfo under way */
        plugin_started_fn done; /* NULL: was told */
        void *userdata;
};

struct csi_drivers {
        sd_event *event; /* borrowed */
        struct csi_drivers_options options;
        struct list list; /* few */
};

static struct csi_driver *find(const struct csi_drivers *d, const char *name)
{
        struct csi_driver *driver;

        LIST_FOREACH (driver, &d->list, node)
                if (streq(driver->name, name))
                        return driver;
        return NULL;
}

static void driver_free(struct csi_driver *driver)
{
        list_remove(&driver->node);
        grpc_cancel(driver->call);
        free(driver->name);
        free(driver->endpoint);
        free(driver->registration);
        free(driver);
}

/* ---- registration ---- */

/* Also what the API was to be told of it. */
static void forget(struct csi_driver *driver)
{
        if (driver->drivers->options.node)
                csi_node_remove(driver->drivers->options.node, driver->name);
        driver_free(driver);
}

/* @why_not: it is forgotten. */
static void finish(struct csi_driver *driver, const struct err *why_not)
{
        struct csi_drivers *d = driver->drivers;
        plugin_started_fn done = TAKE_PTR(driver->done);
        void *userdata = driver->userdata;

        if (why_not) {
                forget(driver);
        } else {
                d->options.on_changed(d->options.userdata);
        }
        if (done)
                done(why_not, userdata);
}

static void on_installed(const struct err *why_not, void *userdata)
{
        finish(userdata, why_not);
}

static void on_info(const struct grpc_result *result, void *userdata)
{
        struct csi_driver *driver = userdata;
        struct csi_drivers *d = driver->drivers;
        _cleanup_(csi_node_info_done)
        struct csi_node_info info = { 0 };
        _cleanup_err_ struct err err = { 0 };
        int r = result->err ? err_set(&err, -EIO, "%s", err_text(result->err)) : 0;

        driver->call = NULL;
        if (r == 0)
                r = csi_read_node_info(result->message, result->message_len, &info, &err);
        if (r < 0)
                err_wrap(&err, r, "CSI driver '%s': NodeGetInfo", driver->name);
        else if (d->options.node)
                r = csi_node_install(d->options.node, driver->name, &info, on_installed, driver,
                                     &err);
        if (r < 0 || !d->options.node)
                finish(driver, r < 0 ? &err : NULL);
}

static int check(struct csi_drivers *d, const char *socket, const struct plugin_info *info,
                 struct err *err)
{
        uint64_t version = plugin_version_highest(info->versions);
        const struct csi_driver *other = find(d, info->name);
        _cleanup_free_ char *versions = strv_join(info->versions, ", ");
        int r = csi_check_driver_name(info->name, err);

        if (r < 0)
                return r;
        if (*info->endpoint != '/')
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "CSI driver '%s': endpoint '%s': expected an absolute path",
                                    info->name, info->endpoint);
        if (version == 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "CSI driver '%s': supported_versions '%s': expected one of 1.x",
                                    info->name, versions ? versions : "?");
        if (other && other->version >= version)
                return err_set_kind(err, -EEXIST, ERR_BAD_INPUT,
                                    "CSI driver '%s': another driver with the same name is already "
                                    "registered with the same or a higher version, by '%s' (this "
                                    "one: '%s')",
                                    info->name, other->registration, socket);
        return 0;
}

static int driver_start(void *kind, const char *socket, const struct plugin_info *info,
                        plugin_started_fn done, void *userdata, struct err *err)
{
        static const struct strbuf empty;
        struct csi_drivers *d = kind;
        struct csi_driver *driver, *other;
        int r = check(d, socket, info, err);

        if (r < 0)
                return r;
        driver = calloc(1, sizeof *driver);
        if (!driver)
                return err_sys(err, -ENOMEM, "register CSI driver '%s'", info->name);
        *driver = (struct csi_driver){ .drivers = d,
                                       .name = strdup(info->name),
                                       .endpoint = strdup(info->endpoint),
                                       .registration = strdup(socket),
                                       .version = plugin_version_highest(info->versions),
                                       .done = done,
                                       .userdata = userdata };
        other = find(d, info->name);
        if (other)
                forget(other);
        list_append(&d->list, &driver->node);
        if (!driver->name || !driver->endpoint || !driver->registration)
                r = err_sys(err, -ENOMEM, "register CSI driver '%s'", info->name);
        if (r == 0)
                r = csi_call(d, driver->name, CSI_METHOD("NodeGetInfo"), &empty, on_info, driver,
                             &driver->call, err);
        if (r < 0)
                driver_free(driver);
        return r;
}

static void driver_stop(void *kind, const char *socket)
{
        struct csi_drivers *d = kind;
        struct csi_driver *driver, *next;

        LIST_FOREACH_SAFE (driver, next, &d->list, node) {
                if (!streq(driver->registration, socket))
                        continue;
                log_info("CSI driver '%s' is no longer registered", driver->name);
                forget(driver);
                d->options.on_changed(d->options.userdata);
        }
}

const struct plugin_kind csi_plugin_kind = { "CSIPlugin", driver_start, driver_stop };

/* ---- calls ---- */

int csi_call(struct csi_drivers *d, const char *name, const char *call,
             const struct strbuf *message, grpc_done_fn done, void *userdata,
             struct grpc_call **ret, struct err *err)
{
        const struct csi_driver *driver = find(d, name);
        struct grpc_options o = { .method = call,
                                  .message = message,
                                  .timeout_usec = CALL_TIMEOUT_USEC,
                                  .done = done,
                                  .userdata = userdata };

        if (!driver)
                return err_set_kind(
                        err, -EAGAIN, ERR_NOT_FOUND,
                        "driver name %s not found in the list of registered CSI drivers", name);
        o.socket = driver->endpoint;
        return grpc_start(d->event, &o, ret, err);
}

bool csi_is_uncertain(enum grpc_code code)
{
        return code == GRPC_CANCELED || code == GRPC_DEADLINE_EXCEEDED ||
               code == GRPC_UNAVAILABLE || code == GRPC_RESOURCE_EXHAUSTED || code == GRPC_ABORTED;
}

uint32_t csi_driver_capabilities(const struct csi_drivers *d, const char *name)
{
        const struct csi_driver *driver = find(d, name);

        return driver ? driver->capabilities : 0;
}

void csi_driver_set_capabilities(struct csi_drivers *d, const char *name, uint32_t capabilities)
{
        struct csi_driver *driver = find(d, name);

        if (driver)
                driver->capabilities = capabilities;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

char **csi_drivers_names(const struct csi_drivers *d)
{
        const struct csi_driver *driver;
        char **names = NULL;

        LIST_FOREACH (driver, &d->list, node)
                strv_append(&names, driver->name);
        if (names)
                qsort(names, strv_len(names), sizeof *names, by_name);
        return names;
}

int csi_drivers_new(sd_event *event, const struct csi_drivers_options *options,
                    struct csi_drivers **ret, struct err *err)
{
        struct csi_drivers *d = calloc(1, sizeof *d);

        if (!d)
                return err_sys(err, -ENOMEM, "start the CSI drivers");
        d->event = event;
        d->options = *options;
        list_init(&d->list);
        *ret = d;
        return 0;
}

struct csi_drivers *csi_drivers_free(struct csi_drivers *d)
{
        struct list_node *n;

        if (!d)
                return NULL;
        while ((n = d->list.head.next) != &d->list.head)
                driver_free(CONTAINER_OF(n, struct csi_driver, node));
        free(d);
        return NULL;
}
