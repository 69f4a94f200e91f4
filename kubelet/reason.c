#include "kubelet/reason.h"

#include "base/text.h"

const char *reason_of_start(enum err_kind kind)
{
        switch (kind) {
        case ERR_INVALID_IMAGE_NAME:
                return REASON_INVALID_IMAGE_NAME;
        case ERR_IMAGE_NOT_PRESENT:
                return REASON_IMAGE_NEVER_PULL;
        case ERR_IMAGE_PULL:
        case ERR_IMAGE_VERIFY:
                return REASON_ERR_IMAGE_PULL;
        case ERR_REGISTRY_UNAVAILABLE:
                return REASON_REGISTRY;
        case ERR_CONTAINER_CONFIG:
        case ERR_BAD_INPUT:
        case ERR_NOT_FOUND:
                return REASON_CONTAINER_CONFIG;
        case ERR_COMMAND_NOT_FOUND:
        case ERR_COMMAND_NOT_EXECUTABLE:
        case ERR_CONTAINER_START:
                return REASON_CONTAINER_RUN;
        default:
                return REASON_CONTAINER_CREATE;
        }
}

const char *reason_of_exit(const struct instance *i)
{
        if (i->lost)
                return REASON_STATUS_UNKNOWN;
        if (i->start_failed)
                return REASON_START_ERROR;
        if (i->oom_killed)
                return REASON_OOM_KILLED;
        return i->exit_code == 0 ? REASON_COMPLETED : REASON_ERROR;
}

char *reason_crash_loop_text(const struct pod *pod, const struct pod_container *c,
                             usec_t delay_usec)
{
        char delay[TIME_TEXT_MAX];

        return text_printf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
                           duration_format(delay_usec, delay), c->name, pod->name, pod->namespace,
                           pod->uid);
}
