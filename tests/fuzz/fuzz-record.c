/* Our own records, after somebody else had them: F-06. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "runtime/container.h"
#include "runtime/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_objects(const json_t *record)
{
        static const char zeros[] =
                "0000000000000000000000000000000000000000000000000000000000000000";
        const char *id = json_text_at(record, "id");
        _cleanup_err_ struct err err = { 0 };
        struct runtime rt = { 0 };
        struct sandbox *s = NULL;
        struct container *c = NULL;

        if (!id || strlen(id) != sizeof zeros - 1)
                id = zeros;
        if (sandbox_from_record(&rt, id, record, &s, &err) == 0)
                sandbox_free(s);
        if (container_from_record(&rt, id, record, &c, &err) == 0)
                container_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *record = NULL, *plain = NULL;

        if (record_parse((const char *)data, size, &record, &err) == 0)
                read_objects(record);
        /* past the checksum, which a fuzzer does not guess */
        if (json_parse((const char *)data, size, true, &plain, &err) == 0 && json_is_object(plain))
                read_objects(plain);
        return 0;
}
