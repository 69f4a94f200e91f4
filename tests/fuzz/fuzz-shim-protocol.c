#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/shim-protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any bytes as one message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static char text[SHIM_TEXT_MAX + 1];
        struct shim_message m;
        int pair[2], fds[SHIM_MAX_FDS];
        unsigned n;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        if (size > 0 && send(pair[0], data, size, MSG_NOSIGNAL) > 0 &&
            shim_receive(pair[1], &m, text, fds, &n) == 1) {
                if (strlen(text) > SHIM_TEXT_MAX || strlen(m.id) >= SHIM_ID_SIZE)
                        abort();
                while (n > 0)
                        close(fds[--n]);
        }
        close(pair[0]);
        close(pair[1]);
        return 0;
}
