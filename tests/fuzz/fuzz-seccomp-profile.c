/* Localhost profiles, in the runtime-spec's form and in Docker's. */
#include <stdlib.h>

#include "runtime/oci-spec-names.h"
#include "runtime/runtime.h"
#include "runtime/seccomp-profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        json_auto_t *doc = NULL, *written = NULL;
        _cleanup_err_ struct err err = { 0 };
        struct oci_seccomp *s = NULL, *again = NULL;

        if (json_parse((const char *)data, size, true, &doc, &err) < 0)
                return 0;
        if (seccomp_localhost_parse(doc, UINT64_C(0xa80425fb), &s, &err) == 0) {
                written = oci_seccomp_to_json(s);
                if (!written || oci_seccomp_parse(written, &again, &err) < 0)
                        abort(); /* it goes into config.json */
        }
        oci_seccomp_free(s);
        oci_seccomp_free(again);
        return 0;
}
