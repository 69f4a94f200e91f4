/* KubeProxyConfiguration: decoded or refused with a sentence, never half-used. */
#include <stdint.h>

#include "base/yaml.h"
#include "netproxy/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *tree = NULL;
        struct proxy_config c;

        if (yaml_parse((const char *)data, n, &tree, NULL) < 0)
                return 0;
        proxy_config_init(&c);
        if (proxy_config_decode(tree, &c, &err) < 0 && !err.message)
                __builtin_trap();
        proxy_config_done(&c);
        return 0;
}
