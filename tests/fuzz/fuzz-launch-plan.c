#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/launch-plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every record, as string and as struct, of any bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *copy = malloc(size ? size : 1); /* exactly as long: overreads are seen */
        struct plan_reader r;
        struct plan_record rec;
        volatile uint8_t sink = 0;

        if (!copy)
                return 0;
        memcpy(copy, data, size);
        if (plan_open(&r, copy, size) == 0) {
                while (plan_next(&r, &rec) == 1) {
                        const struct plan_mount *m = plan_struct(&rec, sizeof *m);
                        size_t at = m ? sizeof *m : 0;
                        const char *s;

                        if (m)
                                sink += m->kind;
                        while ((s = plan_string(&rec, &at)))
                                sink += (uint8_t)strlen(s);
                }
        }
        free(copy);
        (void)sink;
        return 0;
}
