/* A KubeletConfiguration, and a drop-in over it: the two halves of the input. */
#include <assert.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"
#include "kubelet/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void decode(const json_t *document)
{
        _cleanup_(kubelet_config_done)
        struct kubelet_config c = { 0 };

        if (kubelet_config_decode(document, "/etc", &c, NULL) < 0)
                return;
        assert(c.address && c.pod_logs_dir && c.resolv_conf && c.port > 0);
        assert(c.max_restart_period_usec >= USEC_PER_SEC);
        assert(c.image_gc_low_percent < c.image_gc_high_percent);
        assert(strv_len(c.enforce_node_allocatable) > 0 || c.enforce_node_allocatable);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        static const char separator[] = "\n---\n";
        const char *text = (const char *)bytes,
                   *second = memmem(text, n, separator, sizeof separator - 1);
        size_t first = second ? (size_t)(second - text) : n;
        json_auto_t *base = NULL, *patch = NULL;

        if (yaml_parse(text, first, &base, NULL) < 0)
                return 0;
        decode(base);
        if (!second || !json_is_object(base))
                return 0;
        second += sizeof separator - 1;
        if (yaml_parse(second, n - (size_t)(second - text), &patch, NULL) < 0 ||
            !json_is_object(patch))
                return 0;
        assert(config_merge(base, patch) == 0);
        decode(base);
        return 0;
}
