/*
 * The body of POST /v1/plan, or a manifest for it: whatever it is, each object gets an entry with
 * an outcome, and nothing is left of it.
 */
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"
#include "kubelet/pod-plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static bool find_image(const char *image, struct plan_image *ret, _unused_ void *userdata)
{
        *ret = (struct plan_image){ .id = "sha256:1", .size = 1 };
        return strlen(image) % 2;
}

static void plan_all(const json_t *objects)
{
        static const struct admission_node node = { .name = "node-1",
                                                    .standalone = true,
                                                    .allocatable = { 2000, 1 << 30, 1 << 30 },
                                                    .max_pods = 5 };
        const struct plan_options options = { .node = &node, .find_image = find_image };
        _cleanup_(plan_freep)
        struct plan *p = NULL;
        const json_t *object;
        size_t i;

        if (plan_new(&options, &p) < 0)
                return;
        json_array_foreach ((json_t *)objects, i, object) {
                json_auto_t *entry = json_is_object(object) ? plan_object(p, object) : NULL;

                if (json_is_object(object) && (!entry || !json_text_at(entry, "outcome")))
                        __builtin_trap();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        json_auto_t *objects = NULL;

        if (yaml_parse_all((const char *)bytes, n, &objects, NULL) == 0)
                plan_all(objects);
        return 0;
}
