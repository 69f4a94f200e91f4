/* Containers found again after a start: from their records, settled where no shim lives. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "runtime/container.h"
#include "runtime/image-store.h"
#include "runtime/record.h"

static bool load(struct runtime *rt, const char *id, struct container **ret)
{
        _cleanup_free_ char *path = text_printf("%s/record.json", id);
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL;
        int r = path ? record_read(rt->containers_fd, path, &record, &err) : -ENOMEM;

        if (r == -ENOENT)
                return false;
        if (r == 0)
                r = container_from_record(rt, id, record, ret, &err);
        if (r < 0) {
                record_set_aside(rt->containers_fd, path, r, &err);
                return false;
        }
        if (!streq_null(json_text_at(record, "bootId"), rt->boot_id))
                (*ret)->status.pid = 0;
        return true;
}

static int adopt(struct runtime *rt, struct container *c)
{
        struct sandbox *s = sandbox_get(rt, c->sandbox_id);
        const char *missing;

        container_hold_images(c, &missing); /* one that was removed by hand is missed by nobody */
        if (container_insert(rt, s, c) < 0)
                return -ENOMEM;
        if (!s || !s->shim)
                container_settle(c);
        return 0;
}

int container_load_all(struct runtime *rt, struct err *err)
{
        _cleanup_strv_ char **ids = NULL;
        int r = fs_list_at(rt->containers_fd, ".", &ids);

        if (r < 0)
                return err_sys(err, r, "list containers");
        STRV_FOREACH (id, ids) {
                struct container *c = NULL;

                if (!is_hex_lower(*id, RUNTIME_ID_SIZE - 1) || !load(rt, *id, &c))
                        continue;
                if (adopt(rt, c) < 0) {
                        container_free(c);
                        return err_sys(err, -ENOMEM, "adopt containers");
                }
        }
        return 0;
}

/* What a damaged record belonged to is kept for whoever wants to know why, without its files. */
static void sweep(struct runtime *rt, const char *id)
{
        _cleanup_free_ char *bad = text_printf("%s.bad", id),
                            *record = text_printf("%s/record.json.bad", id),
                            *upper = text_printf("%s.bad/upper", id),
                            *work = text_printf("%s.bad/work", id);

        if (!bad || !record || !upper || !work)
                return;
        if (faccessat(rt->containers_fd, record, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
                log_info("Directory '%s' belongs to no container, removing it", id);
                runtime_remove_directory(rt, rt->containers_fd, id);
                return;
        }
        if (renameat(rt->containers_fd, id, rt->containers_fd, bad) < 0) {
                log_warn(-errno, "Failed to set directory '%s' aside", id);
                return;
        }
        runtime_remove_directory(rt, rt->containers_fd, upper);
        runtime_remove_directory(rt, rt->containers_fd, work);
}

/* Of containers that went while nobody was looking, and files half written. */
static void sweep_configs(struct runtime *rt)
{
        _cleanup_strv_ char **names = NULL;

        if (fs_list_at(rt->configs_fd, ".", &names) < 0)
                return;
        STRV_FOREACH (name, names) {
                _cleanup_free_ char *id = strndup(*name, RUNTIME_ID_SIZE - 1);

                if (!id || !streq(*name + strlen(id), ".json") || !container_get(rt, id))
                        unlinkat(rt->configs_fd, *name, 0);
        }
}

void container_sweep(struct runtime *rt)
{
        _cleanup_strv_ char **ids = NULL;

        sweep_configs(rt);
        if (fs_list_at(rt->containers_fd, ".", &ids) < 0)
                return;
        STRV_FOREACH (id, ids)
                if (is_hex_lower(*id, RUNTIME_ID_SIZE - 1) && !container_get(rt, *id))
                        sweep(rt, *id);
}
