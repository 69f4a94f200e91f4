#include <stdint.h>

#include "base/kube-client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };
        struct kube_config config = { 0 };

        if (kube_config_parse((const char *)data, n, "/", &config, &err) == 0 && !config.server)
                __builtin_trap();
        kube_config_done(&config);
        return 0;
}
