#include "base/map.h"

#include "base/list.h"
#include "base/text.h"
#include "tests/check.h"

TEST(what_was_put_is_found_until_removed)
{
        _cleanup_(map_freep)
        struct map *m = map_new();
        static int values[1000];
        char key[16];

        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 1000; i++) {
                        snprintf(key, sizeof key, "k%d", i);
                        CHECK_INT(map_put(m, key, &values[i], NULL), 0);
                }
                CHECK_INT(map_size(m), 1000);
                for (int i = 0; i < 1000; i++) {
                        snprintf(key, sizeof key, "k%d", i);
                        CHECK(map_get(m, key) == &values[i]);
                        if (i % 2)
                                CHECK(map_remove(m, key) == &values[i]);
                }
                CHECK_INT(map_size(m), 500);
                CHECK(map_get(m, "k1") == NULL);
                CHECK(map_get(m, "k2") == &values[2]);
        }
}

TEST(putting_again_replaces_and_tells_the_old_value)
{
        _cleanup_(map_freep)
        struct map *m = map_new();
        int a, b;
        void *old;

        map_put(m, "x", &a, NULL);
        map_put(m, "x", &b, &old);
        CHECK(old == &a);
        CHECK(map_get(m, "x") == &b);
        CHECK_INT(map_size(m), 1);
}

TEST(entries_may_be_removed_while_iterating)
{
        _cleanup_(map_freep)
        struct map *m = map_new();
        char key_text[16];
        const char *key;
        int v, *value, seen = 0;

        for (int i = 0; i < 100; i++) {
                snprintf(key_text, sizeof key_text, "%d", i);
                map_put(m, key_text, &v, NULL);
        }
        MAP_FOREACH (key, value, m) {
                snprintf(key_text, sizeof key_text, "%s", key);
                map_remove(m, key_text);
                seen++;
        }
        CHECK_INT(seen, 100);
        CHECK_INT(map_size(m), 0);
}

TEST(keys_come_sorted)
{
        _cleanup_(map_freep)
        struct map *m = map_new();
        _cleanup_strv_ char **keys = NULL;

        map_put(m, "b", m, NULL);
        map_put(m, "a", m, NULL);
        keys = map_keys(m);
        CHECK_STR(keys[0], "a");
        CHECK_STR(keys[1], "b");
        CHECK(keys[2] == NULL);
}

struct item {
        int v;
        struct list_node node;
};

TEST(a_list_keeps_order_and_survives_removal_while_walking)
{
        struct item items[4] = { { 0 }, { 1 }, { 2 }, { 3 } }, *i, *next;
        struct list l;
        int sum = 0;

        list_init(&l);
        for (int k = 0; k < 4; k++)
                list_append(&l, &items[k].node);
        LIST_FOREACH_SAFE (i, next, &l, node)
                if (i->v % 2)
                        list_remove(&i->node);
        LIST_FOREACH (i, &l, node)
                sum = sum * 10 + i->v;
        CHECK_INT(sum, 2);
        CHECK(!list_contains(&items[1].node));
        CHECK(list_pop(&l) == &items[0].node);
}
