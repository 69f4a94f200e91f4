#include "kubelet/log-target.h"

#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"

static const json_t *find_status(const json_t *status, const char *container)
{
        static const char *const lists[] = { "containerStatuses", "initContainerStatuses",
                                             "ephemeralContainerStatuses" };

        for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
                const json_t *list = json_object_get(status, lists[i]), *s;
                size_t n;

                json_array_foreach (list, n, s) {
                        const char *name = json_text_at(s, "name");

                        if (name && streq(name, container))
                                return s;
                }
        }
        return NULL;
}

/* "skiff://<id>" without its scheme; NULL for none. */
static const char *id_at(const json_t *object)
{
        const char *id = json_text_at(object, "containerID");
        const char *scheme = id ? strstr(id, "://") : NULL;

        if (scheme)
                id = scheme + 3;
        return id && *id ? id : NULL;
}

static int waiting(const json_t *state, const char *pod, const char *container, struct err *err)
{
        const char *reason = json_text_at(state, "reason");

        if (reason && streq(reason, "ErrImagePull"))
                reason = "image can't be pulled";
        else if (reason && streq(reason, "ImagePullBackOff"))
                reason = "trying and failing to pull image";
        return err_set_kind(err, -ENOENT, ERR_NOT_FOUND,
                            "container \"%s\" in pod \"%s\" is waiting to start: %s", container,
                            pod, reason ? reason : "");
}

int log_target_choose(const json_t *status, const char *pod, const char *container, bool previous,
                      const char **ret_id, struct err *err)
{
        const json_t *s = find_status(status, container), *state = json_object_get(s, "state");
        const json_t *last = json_object_get(json_object_get(s, "lastState"), "terminated");
        const json_t *terminated = json_object_get(state, "terminated");
        const json_t *wait = json_object_get(state, "waiting");
        const char *id = NULL, *why = "is terminated";

        if (!s)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND,
                                    "container \"%s\" in pod \"%s\" is not available", container,
                                    pod);
        if (previous) {
                id = id_at(last);
                if (!id)
                        return err_set_kind(
                                err, -ENOENT, ERR_NOT_FOUND,
                                "previous terminated container \"%s\" in pod \"%s\" not found",
                                container, pod);
        } else if (json_is_object(json_object_get(state, "running"))) {
                id = id_at(s);
                why = "has no log yet";
        } else if (json_is_object(terminated)) {
                /* When the next instance did not start, the last one is meant. */
                id = id_at(terminated);
                if (!id)
                        id = id_at(last);
        } else if (json_is_object(last)) {
                id = id_at(last);
        } else if (json_is_object(wait)) {
                return waiting(wait, pod, container, err);
        } else {
                why = "is waiting to start - no logs yet";
        }
        if (!id)
                return err_set_kind(err, -ENOENT, ERR_NOT_FOUND,
                                    "container \"%s\" in pod \"%s\" %s", container, pod, why);
        *ret_id = id;
        return 0;
}
