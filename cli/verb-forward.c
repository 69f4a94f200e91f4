#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/forward.h"
#include "cli/verbs.h"

static int listen_on(struct forwarder *f, char *const *addresses, const char *word,
                     const json_t *pod, struct err *err)
{
        struct forward_port port;
        int r = forward_port_parse(word, pod, &port, err);

        if (r < 0)
                return r;
        STRV_FOREACH (a, addresses) {
                uint16_t local;

                r = forwarder_listen(f, *a, port, &local, err);
                if (r < 0)
                        return r;
                printf("Forwarding from %s%s%s:%u -> %u\n", strchr(*a, ':') ? "[" : "", *a,
                       strchr(*a, ':') ? "]" : "", local, port.remote);
        }
        return 0;
}

int verb_port_forward(struct invocation *in, struct err *err)
{
        const char *given = in->values[FLAG_ADDRESS];
        json_auto_t *pod = find_pod(in, in->words[0], NULL, err);
        _cleanup_free_ char *target = NULL;
        _cleanup_strv_ char **addresses = NULL;
        _cleanup_(forwarder_freep)
        struct forwarder *f = NULL;

        if (!pod)
                return EXIT_FAILED;
        target = text_printf("/v1/pods/%s/%s/port-forward", text_in(pod, "metadata", "namespace"),
                             text_in(pod, "metadata", "name"));
        f = target ? forwarder_new(client_socket(in->client), target) : NULL;
        if (!f || strv_split(given ? given : "localhost", ",", &addresses) < 0) {
                err_sys(err, -ENOMEM, "forward ports");
                return EXIT_FAILED;
        }
        if (!addresses) {
                err_set(err, -EINVAL, "--address: '%s': expected localhost or addresses", given);
                return EXIT_USAGE;
        }
        for (size_t i = 1; i < in->n_words; i++) {
                int r = listen_on(f, addresses, in->words[i], pod, err);

                if (r < 0)
                        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
        }
        fflush(stdout); /* who started us waits for it */
        return forwarder_run(f, err) < 0 ? EXIT_FAILED : EXIT_OK;
}
