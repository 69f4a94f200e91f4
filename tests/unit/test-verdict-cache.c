#include "kubelet/verdict-cache.h"

#include "base/text.h"
#include "tests/check.h"

static int n_freed;

static void count_free(void _unused_ *value)
{
        n_freed++;
}

static char a[] = "a", b[] = "b";

TEST(an_answer_is_kept_for_its_time)
{
        _cleanup_(verdict_cache_freep)
        struct verdict_cache *c = verdict_cache_new(10, NULL);

        CHECK(verdict_cache_get(c, "k", 0) == NULL);
        CHECK_INT(verdict_cache_put(c, "k", a, 100, 50), 0);
        CHECK(verdict_cache_get(c, "k", 149) == a);
        CHECK(verdict_cache_get(c, "k", 150) == NULL);
        CHECK_INT(verdict_cache_size(c), 0);
        CHECK_INT(verdict_cache_put(c, "k", a, 100, 0), 0);
        CHECK(verdict_cache_get(c, "k", 100) == NULL);
}

TEST(a_new_answer_replaces_the_old_one)
{
        _cleanup_(verdict_cache_freep)
        struct verdict_cache *c = verdict_cache_new(10, count_free);

        n_freed = 0;
        CHECK_INT(verdict_cache_put(c, "k", a, 0, 10), 0);
        CHECK_INT(verdict_cache_put(c, "k", b, 5, 10), 0);
        CHECK(verdict_cache_get(c, "k", 12) == b);
        CHECK_INT(n_freed, 1);
        CHECK_INT(verdict_cache_size(c), 1);
}

TEST(when_full_the_oldest_goes_and_all_are_given_up_in_the_end)
{
        struct verdict_cache *c = verdict_cache_new(3, count_free);

        n_freed = 0;
        for (int i = 0; i < 100; i++) {
                char key[16];

                snprintf(key, sizeof key, "%d", i);
                CHECK_INT(verdict_cache_put(c, key, a, (usec_t)i, 1000), 0);
        }
        CHECK_INT(verdict_cache_size(c), 3);
        CHECK(verdict_cache_get(c, "96", 100) == NULL);
        CHECK(verdict_cache_get(c, "97", 100) == a);
        CHECK_INT(n_freed, 97);
        verdict_cache_free(c);
        CHECK_INT(n_freed, 100);
}

TEST(expired_answers_make_room_first)
{
        _cleanup_(verdict_cache_freep)
        struct verdict_cache *c = verdict_cache_new(3, NULL);

        CHECK_INT(verdict_cache_put(c, "1", a, 0, 10), 0);
        CHECK_INT(verdict_cache_put(c, "2", a, 0, 10), 0);
        CHECK_INT(verdict_cache_put(c, "3", a, 0, 100), 0);
        CHECK_INT(verdict_cache_put(c, "4", a, 20, 100), 0);
        CHECK_INT(verdict_cache_size(c), 2);
        CHECK(verdict_cache_get(c, "3", 50) == a);
}
