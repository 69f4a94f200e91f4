/* config.json of others: what is accepted can be written again, and compiled or refused. */
#include <stdlib.h>

#include "base/text.h"
#include "runtime/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compile(const struct oci_spec *spec, uint32_t sandbox_flags)
{
        _cleanup_(plan_writer_done)
        struct plan_writer w = { 0 };
        _cleanup_err_ struct err err = { 0 };
        struct plan_container_options o = {
                .id = "x", .spec = spec, .sandbox_flags = sandbox_flags, .log_path = "/log"
        };
        struct plan_reader reader;

        if (plan_compile_container(&o, &w, &err) == 0 && plan_open(&reader, w.data, w.len) < 0)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        json_auto_t *doc = NULL, *written = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct oci_spec spec, again;

        if (json_parse((const char *)data, size, true, &doc, &err) < 0)
                return 0;
        oci_spec_init(&spec);
        oci_spec_init(&again);
        if (oci_spec_parse(doc, &spec, &err) == 0) {
                written = oci_spec_to_json(&spec);
                if (!written || oci_spec_parse(written, &again, &err) < 0)
                        abort(); /* ours must always be readable */
                compile(&spec, 0);
                compile(&spec, PLAN_HOST_NETWORK | PLAN_HOST_IPC | PLAN_HOST_PID | PLAN_HOST_UTS);
        }
        oci_spec_done(&spec);
        oci_spec_done(&again);
        return 0;
}
