#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/plan-view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void view(const uint8_t *data, size_t size)
{
        struct plan_record record;
        volatile size_t sink = 0;
        struct plan_view v;
        const char *why;
        uint32_t flag;

        if (plan_view_open(&v, data, size, &why) < 0)
                return;
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
        (void)sink;
}

/* Records of types and lengths that the bytes choose: { type, length, payload } over and over. */
static void write_records(struct plan_writer *w, const uint8_t *data, size_t size)
{
        while (size >= 2) {
                enum plan_type type = data[0] % (_PLAN_TYPE_MAX + 1);
                size_t n = data[1] < size - 2 ? data[1] : size - 2;

                if (plan_add(w, type, data + 2, n, NULL, 0) < 0)
                        return;
                data += 2 + n;
                size -= 2 + n;
        }
}

/*
 * The bytes as a plan as they are, and as the records of a plan with a true header: what passed the
 * checks can be walked whole.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *copy = malloc(size ? size : 1); /* exactly as long: overreads are seen */
        struct plan_writer w = { 0 };

        if (!copy)
                return 0;
        if (size)
                memcpy(copy, data, size);
        view(copy, size);
        free(copy);
        if (plan_begin(&w) == 0) {
                write_records(&w, data, size);
                plan_finish(&w);
                copy = malloc(w.len);
                if (copy) {
                        memcpy(copy, w.data, w.len);
                        view(copy, w.len);
                        free(copy);
                }
        }
        plan_writer_done(&w);
        return 0;
}
