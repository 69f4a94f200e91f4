/* What a plugin and a CSI driver may answer: the first byte says to which question. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/grpc-answer.h"
#include "kubelet/csi-message.h"
#include "kubelet/plugin-message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void read_info(const uint8_t *bytes, size_t n)
{
        struct plugin_info i;

        if (plugin_read_info(bytes, n, &i, NULL) == 0)
                assert(i.type && i.name && i.endpoint && strv_len(i.versions) == i.n_versions);
        plugin_info_done(&i);
}

static void read_node_info(const uint8_t *bytes, size_t n)
{
        struct csi_node_info i;

        if (csi_read_node_info(bytes, n, &i, NULL) == 0)
                assert(*i.node_id && i.max_volumes >= 0 && i.max_volumes <= INT32_MAX);
        csi_node_info_done(&i);
}

static void read_usage(const uint8_t *bytes, size_t n)
{
        struct csi_usage u;

        if (csi_read_usage(bytes, n, &u, NULL) == 0 && u.has_bytes)
                assert(u.bytes.total >= 0 && u.bytes.used >= 0 && u.bytes.available >= 0);
}

static void read_answer(const uint8_t *bytes, size_t n)
{
        _cleanup_free_ char *text = strndup((const char *)bytes, n), *why = NULL;
        const struct grpc_answer answer = { .http_status = 200,
                                            .grpc_status = "13",
                                            .grpc_message = text,
                                            .body = bytes,
                                            .body_len = n };
        const uint8_t *message;
        size_t len;

        grpc_answer_code(&answer, &why);
        for (const char *p = why; p && *p; p++)
                assert(*p >= ' ' && *p < 0x7f);
        if (grpc_answer_message(&answer, &message, &len, NULL) == 0)
                assert(message >= bytes && message + len == bytes + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        uint32_t capabilities;

        if (n == 0)
                return 0;
        switch (bytes[0] % 5) {
        case 0:
                read_info(bytes + 1, n - 1);
                break;
        case 1:
                read_node_info(bytes + 1, n - 1);
                break;
        case 2:
                read_usage(bytes + 1, n - 1);
                break;
        case 3:
                csi_read_capabilities(bytes + 1, n - 1, &capabilities, NULL);
                break;
        default:
                read_answer(bytes + 1, n - 1);
        }
        return 0;
}
