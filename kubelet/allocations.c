#include "kubelet/allocations.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"
#include "kubelet/pod-allocation.h"
#include "kubelet/pod-log.h"

#define FILE_NAME "allocation.json"
#define FILE_MAX  (1 << 20)
#define VERSION   1

void allocation_save(const struct context *ctx, const struct pod *pod)
{
        json_auto_t *allocation = pod_allocation_json(pod);
        _cleanup_free_ char *text = NULL;
        _cleanup_err_ struct err err = { 0 };
        _cleanup_close_ int fd = -1;
        int r;

        if (!allocation)
                return;
        json_object_set_new(allocation, "version", json_integer(VERSION));
        text = json_dumps(allocation, JSON_COMPACT);
        fd = volumes_pod_dir(ctx->volumes, pod->uid, &err);
        r = !text ? -ENOMEM : fd < 0 ? fd : 0;
        if (r == 0)
                r = fs_replace_at(fd, FILE_NAME, text, strlen(text), 0600, false);
        if (r < 0)
                log_pod_warn(pod, r,
                             "Failed to record what it was granted; a restart of ours would take "
                             "what its spec asks for");
}

static int load(const struct context *ctx, const char *uid, json_t **ret, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/pods/%s/" FILE_NAME, ctx->root_dir, uid),
                            *text = NULL;
        size_t n;
        int r = path ? fs_read_at(AT_FDCWD, path, FILE_MAX, &text, &n) : -ENOMEM;

        if (r < 0)
                return r == -ENOENT ? r : err_sys(err, r, "read '%s'", path ? path : "");
        r = json_parse(text, n, false, ret, err);
        if (r == 0 && json_integer_value(json_object_get(*ret, "version")) != VERSION)
                r = err_set(err, -EBADMSG, "version: expected %d", VERSION);
        return r < 0 ? err_wrap(err, r, "'%s'", path) : 0;
}

struct pod *allocation_restore(const struct context *ctx, struct pod *desired)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *allocation = NULL;
        struct pod *pod;
        int r = strchr(desired->uid, '/') ? -ENOENT : load(ctx, desired->uid, &allocation, &err);

        if (r == 0)
                r = pod_with_allocation(desired, allocation, &pod, &err);
        if (r == 0)
                return pod;
        if (r != -ENOENT)
                log_pod_warn(desired, r,
                             "What it was granted cannot be read, taking what its spec asks for: "
                             "%s",
                             err_text(&err));
        return pod_ref(desired);
}
