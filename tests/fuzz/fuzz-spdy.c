/* A peer that may send anything: nothing but -EPROTO comes of it, whatever we answer meanwhile. */
#include <stdlib.h>

#include "base/spdy.h"

static struct spdy *spdy;

static void on_output(_unused_ const void *data, _unused_ size_t n, _unused_ void *userdata)
{
}

static bool on_open(uint32_t id, const struct spdy_headers *headers, _unused_ bool is_ended,
                    _unused_ void *userdata)
{
        const char *type = spdy_header(headers, "streamtype");

        spdy_send(spdy, id, "hello", 5);
        return !type || type[0] != 'x';
}

static void on_data(uint32_t id, const void *data, size_t n, _unused_ void *userdata)
{
        spdy_send(spdy, id, data, n);
        if (n > 8)
                spdy_reset(spdy, id);
}

static void on_end(uint32_t id, _unused_ void *userdata)
{
        spdy_end(spdy, id);
}

static void on_reset(uint32_t id, _unused_ void *userdata)
{
        if (spdy_is_open(spdy, id))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const struct spdy_ops ops = { on_output, on_open, on_data, on_end, on_reset };
        _cleanup_err_ struct err err = { 0 };
        size_t first = n > 0 ? data[0] % n : 0;

        spdy = spdy_new(&ops, NULL);
        if (spdy_feed(spdy, data, first, &err) == 0)
                spdy_feed(spdy, data + first, n - first, &err);
        spdy_free(spdy);
        return 0;
}
