/*
 * bench-netproxy SERVICES ENDPOINTS: what skiff-netproxy needs for a cluster of that size, without
 * an API server. In a network namespace of its own. Prints medians of 20 changes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/check.h"
#include "tests/kernel/netns.h"
#include "tests/kernel/proxy-world.h"

enum { CHANGES = 20 };

static unsigned n_services, n_endpoints;

static void set_slice(struct fixture *f, unsigned i, unsigned round)
{
        _cleanup_strbuf_ struct strbuf b = { 0 };
        _cleanup_free_ char *name = text_printf("s%u", i);

        for (unsigned k = 0; k < n_endpoints; k++)
                strbuf_addf(&b, "%s10.%u.%u.%u", k ? " " : "", 128 + k + (k == 0 ? 64 * round : 0),
                            i >> 8, i & 0xff);
        fixture_slice(f, name, b.data);
}

static void set_service(struct fixture *f, unsigned i)
{
        _cleanup_free_ char *name = text_printf("s%u", i),
                            *spec = text_printf(
                                    "\"clusterIP\":\"10.96.%u.%u\",\"ports\":[{\"port\":80}]",
                                    i >> 8, i & 0xff);

        fixture_service(f, name, spec);
}

static int compare(const void *a, const void *b)
{
        usec_t x = *(const usec_t *)a, y = *(const usec_t *)b;

        return x < y ? -1 : x > y;
}

TEST(figures)
{
        struct fixture f = { 0 };
        usec_t begun, changes[CHANGES];
        struct rusage usage;

        netns_enter_fresh();
        fixture_start(&f, "skiff-bench");
        fixture_nodes(&f);
        begun = now_monotonic();
        for (unsigned i = 0; i < n_services; i++) {
                set_service(&f, i);
                set_slice(&f, i, 0);
        }
        printf("%u Services, %u endpoints each\n", n_services, n_endpoints);
        printf("  decode:               %8.2f ms\n", (double)(now_monotonic() - begun) / 1000);
        begun = now_monotonic();
        fixture_sync(&f);
        printf("  first sync:           %8.2f ms, %zu operations, in the kernel %.2f ms\n",
               (double)(now_monotonic() - begun) / 1000, sync_status(f.sync, 0)->last_operations,
               (double)sync_status(f.sync, 0)->last_duration_usec / 1000);
        for (unsigned i = 0; i < CHANGES; i++) {
                fixture_wait(&f, USEC_PER_SEC, NULL); /* a quiet time between */
                begun = now_monotonic();
                set_slice(&f, i * 7 % n_services, 1);
                fixture_sync(&f);
                changes[i] = now_monotonic() - begun;
        }
        qsort(changes, CHANGES, sizeof *changes, compare);
        printf("  one endpoint changed: %8.2f ms (%.2f to %.2f), %zu operations\n",
               (double)changes[CHANGES / 2] / 1000, (double)changes[0] / 1000,
               (double)changes[CHANGES - 1] / 1000, sync_status(f.sync, 0)->last_operations);
        fixture_stop(&f);
        fixture_start(&f, "skiff-bench");
        fixture_nodes(&f);
        for (unsigned i = 0; i < n_services; i++) {
                set_service(&f, i);
                set_slice(&f, i, i % 7 == 0 && i / 7 < CHANGES);
        }
        begun = now_monotonic();
        fixture_sync(&f);
        printf("  after a restart:      %8.2f ms, %zu operations\n",
               (double)(now_monotonic() - begun) / 1000, sync_status(f.sync, 0)->last_operations);
        getrusage(RUSAGE_SELF, &usage);
        printf("  most memory:          %8.2f MB\n", (double)usage.ru_maxrss / 1024);
        fixture_stop(&f);
}

__attribute__((constructor)) static void take_sizes(int argc, char *argv[])
{
        uint32_t services = 1000, endpoints = 3;

        if (argc > 1)
                (void)text_to_u32(argv[1], &services);
        if (argc > 2)
                (void)text_to_u32(argv[2], &endpoints);
        n_services = services;
        n_endpoints = endpoints;
}
