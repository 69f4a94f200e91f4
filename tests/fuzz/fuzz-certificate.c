#include <stdint.h>

#include "base/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };
        struct certificate_info info = { 0 };

        if (certificate_read((const char *)data, n, &info, &err) == 0 && !info.common_name)
                __builtin_trap();
        certificate_info_done(&info);
        return 0;
}
