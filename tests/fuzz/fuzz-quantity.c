/* A quantity that parses is at most a thousandth of itself in milli units, rounding aside. */
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/quantity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        _cleanup_free_ char *text = strndup((const char *)data, n);
        char buf[QUANTITY_TEXT_MAX];
        int64_t value, milli, back;

        if (!text || quantity_parse(text, &value) < 0)
                return 0;
        if (quantity_parse(quantity_format_bytes(value, buf), &back) < 0 || back != value)
                __builtin_trap();
        if (quantity_parse_milli(text, &milli) < 0)
                return 0;
        if (milli > 0 ? (milli - 1) / 1000 + 1 != value : milli / 1000 != value)
                __builtin_trap();
        if (quantity_parse_milli(quantity_format_milli(milli, buf), &back) < 0 || back != milli)
                __builtin_trap();
        return 0;
}
