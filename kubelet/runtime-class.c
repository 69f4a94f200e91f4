#include "kubelet/runtime-class.h"

#include <errno.h>

#include "base/text.h"

const char *const runtime_handlers[] = { "", "crun", "runc", "skiff", NULL };

bool runtime_handler_is_ours(const char *handler)
{
        for (size_t i = 0; runtime_handlers[i]; i++)
                if (streq(runtime_handlers[i], handler))
                        return true;
        return false;
}

int runtime_class_check(const struct pod *pod, const struct pod_objects *objects, struct err *err)
{
        const struct object_ref *ref = pod_objects_runtime_class(objects);
        const char *handler;

        if (!ref)
                return 0;
        switch (object_ref_state(ref)) {
        case OBJECT_PENDING:
                return RUNTIME_CLASS_PENDING;
        case OBJECT_ABSENT:
                return err_set(err, -ENOENT, "runtimeclass.node.k8s.io \"%s\" not found",
                               pod->runtime_class);
        case OBJECT_FAILED:
                return err_set(err, -EAGAIN, "failed to lookup RuntimeClass %s: %s",
                               pod->runtime_class, object_ref_error(ref));
        default:
                break;
        }
        handler = json_text_at(object_ref_object(ref), "handler");
        if (handler && runtime_handler_is_ours(handler))
                return 0;
        return err_set(err, -EINVAL,
                       "failed to get sandbox runtime: no runtime for \"%s\" is configured",
                       handler ? handler : "");
}
