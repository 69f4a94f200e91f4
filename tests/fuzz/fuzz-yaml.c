/* Whatever parses must print as YAML that parses to the same tree. */
#include <stdint.h>
#include <string.h>

#include "base/text.h"
#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *tree = NULL, *back = NULL;
        _cleanup_free_ char *text = NULL;

        if (yaml_parse((const char *)data, n, &tree, &err) < 0)
                return 0;
        text = yaml_print(tree);
        if (!text || yaml_parse(text, strlen(text), &back, &err) < 0 || !json_equal(tree, back))
                __builtin_trap();
        return 0;
}
