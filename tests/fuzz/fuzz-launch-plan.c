#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan-view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as a plan, seen as the shim sees it: what passed its checks can be walked whole. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *copy = malloc(size ? size : 1); /* exactly as long: overreads are seen */
        struct plan_record record;
        volatile size_t sink = 0;
        struct plan_view v;
        const char *why;
        uint32_t flag;

        if (!copy)
                return 0;
        if (size)
                memcpy(copy, data, size);
        if (plan_view_open(&v, copy, size, &why) == 0) {
                PLAN_FOREACH(&v, PLAN_MOUNT, record)
                sink += strlen(plan_view_mount(&record).data);
                PLAN_FOREACH(&v, PLAN_DEVICE, record)
                sink += strlen(plan_view_device_path(&record));
                PLAN_FOREACH(&v, PLAN_NAMESPACE_PATH, record)
                sink += strlen(plan_view_namespace(&record, &flag));
                PLAN_FOREACH(&v, PLAN_SYSCTL, record)
                {
                        const char *value, *name = plan_view_sysctl(&record, &value);

                        sink += strlen(name) + strlen(value);
                }
                PLAN_FOREACH(&v, PLAN_ARG, record)
                sink += strlen(record.payload);
                for (size_t n = 0; n < v.n_groups; n++)
                        sink += v.groups[n];
                sink += v.id ? strlen(v.id) : 0;
                sink += v.log_path ? strlen(v.log_path) : 0;
                plan_view_check_container(&v, &why);
                plan_view_check_sandbox(&v, &why);
        }
        (void)sink;
        free(copy);
        return 0;
}
