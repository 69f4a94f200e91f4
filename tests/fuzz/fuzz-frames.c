#include "base/frames.h"

static int count(enum frame_channel c, const void *data, size_t n, bool ends, void *userdata)
{
        size_t *total = userdata;
        const char *p = data;

        for (size_t i = 0; i < n; i++)
                *total += (size_t)(p[i] & 1);
        return (int)c < _FRAME_CHANNEL_MAX && !ends ? 0 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct frame_reader whole = { 0 }, cut = { 0 };
        size_t a = 0, b = 0, half = n / 2;
        int r = frame_read(&whole, data, n, count, &a, NULL);

        if (frame_read(&cut, data, half, count, &b, NULL) == 0 &&
            frame_read(&cut, data + half, n - half, count, &b, NULL) == 0 && (r < 0 || a != b))
                __builtin_trap();
        return 0;
}
