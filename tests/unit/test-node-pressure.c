#include "kubelet/node-pressure.h"

#include <stdlib.h>

#include "kubelet/token.h"
#include "tests/check.h"

/* A node whose evictionHard is @hard, as JSON. */
static struct node_pressure *node_of(struct kubelet_config *config, const char *hard)
{
        _cleanup_err_ struct err err = { 0 };
        json_auto_t *document =
                json_pack("{s:s, s:s, s:o}", "apiVersion", "kubelet.config.k8s.io/v1beta1", "kind",
                          "KubeletConfiguration", "evictionHard", json_loads(hard, 0, NULL));
        struct node_pressure_options options = { .config = config,
                                                 .memory_capacity = (uint64_t)1 << 60,
                                                 .root_dir = "/",
                                                 .state_dir = "/" };
        struct node_pressure *p = NULL;

        CHECK(document != NULL);
        if (kubelet_config_decode(document, NULL, config, &err) < 0 ||
            node_pressure_new(&options, &p, &err) < 0)
                fail_msg("%s", err_text(&err));
        return p;
}

TEST(a_node_is_short_of_what_a_threshold_asks_for_and_it_has_not)
{
        struct kubelet_config config;
        struct node_pressure *p = node_of(&config, "{\"nodefs.available\":\"1E\"}");

        CHECK(!node_pressure_has(p, EVICTION_DISK_PRESSURE));
        CHECK(node_pressure_look(p, 1000 * USEC_PER_SEC));
        CHECK(!node_pressure_look(p, 1010 * USEC_PER_SEC));
        CHECK(node_pressure_has(p, EVICTION_DISK_PRESSURE));
        CHECK(!node_pressure_has(p, EVICTION_MEMORY_PRESSURE));
        CHECK_INT(node_pressure_chosen(p)->signal, EVICTION_NODEFS);
        CHECK(node_pressure_seen(p, EVICTION_NODEFS)->is_known);
        CHECK(!node_pressure_is_relieved(p));
        CHECK(!node_pressure_has_image_fs(p));
        node_pressure_free(p);
        kubelet_config_done(&config);
}

TEST(memory_disk_and_process_ids_of_this_machine_are_known_and_enough_for_a_byte)
{
        struct kubelet_config config;
        struct node_pressure *p = node_of(
                &config,
                "{\"memory.available\":\"1\",\"nodefs.available\":\"1\",\"pid.available\":\"1\"}");

        CHECK(!node_pressure_look(p, 1000 * USEC_PER_SEC));
        CHECK(node_pressure_is_relieved(p));
        CHECK(!node_pressure_chosen(p));
        CHECK(node_pressure_seen(p, EVICTION_MEMORY)->is_known);
        CHECK(node_pressure_seen(p, EVICTION_PIDS)->is_known);
        CHECK_INT(node_pressure_memory_threshold(p), 1);
        node_pressure_free(p);
        kubelet_config_done(&config);
}

TEST(a_token_is_refreshed_at_four_fifths_of_its_life_or_after_a_day)
{
        const usec_t now = 1000000 * USEC_PER_SEC, hour = 3600 * USEC_PER_SEC;

        CHECK_INT(token_refresh_at(now, now + hour), now + hour / 10 * 8);
        CHECK_INT(token_refresh_at(now, now + 100 * hour), now + 24 * hour);
        CHECK_INT(token_refresh_at(now, now - hour), now);
}
