/* The answer of a gRPC health check, its message as a pod's server may send it. */
#include <assert.h>
#include <stdlib.h>

#include "kubelet/grpc-health.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        const struct grpc_answer answer = {
                .http_status = 200, .grpc_status = "0", .body = bytes, .body_len = n
        };
        char *why;
        bool healthy = grpc_health_judge(&answer, &why);

        assert(healthy == !why);
        free(why);
        return 0;
}
