/* A client that may send anything: parts of messages, or -EPROTO; a message begins once and ends
 * once. */
#include <stdlib.h>

#include "base/websocket.h"

static struct websocket *websocket;
static bool in_message;

static void on_output(_unused_ const void *data, _unused_ size_t n, _unused_ void *userdata)
{
}

static void on_message(const void *data, size_t n, bool begins, bool ends, _unused_ void *userdata)
{
        if (begins == in_message)
                abort();
        in_message = !ends;
        websocket_send(websocket, false, "x", 1, data, n);
}

static void on_close(_unused_ void *userdata)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        static const struct websocket_ops ops = { on_output, on_message, on_close };
        _cleanup_err_ struct err err = { 0 };
        size_t first = n > 0 ? data[0] % n : 0;

        in_message = false;
        websocket = websocket_new(&ops, NULL);
        if (websocket_feed(websocket, data, first, &err) == 0)
                websocket_feed(websocket, data + first, n - first, &err);
        websocket_free(websocket);
        return 0;
}
