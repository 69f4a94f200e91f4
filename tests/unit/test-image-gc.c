#include "kubelet/image-gc.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "tests/check.h"

#define GI   ((uint64_t)1 << 30)
#define HOUR (60 * USEC_PER_MINUTE)
#define NOW  (1000 * HOUR)

static const struct image_gc_policy usual = { 85, 80, 2 * USEC_PER_MINUTE, 0 };

TEST(room_is_wanted_from_the_high_threshold_down_to_the_low_one)
{
        CHECK_INT(image_gc_wanted(&usual, 100 * GI, 16 * GI), 0);
        CHECK_INT(image_gc_wanted(&usual, 100 * GI, 15 * GI), 5 * GI);
        CHECK_INT(image_gc_wanted(&usual, 100 * GI, 0), 20 * GI);
        CHECK_INT(image_gc_wanted(&usual, 100 * GI, 200 * GI), 0);
        CHECK_INT(image_gc_wanted(&usual, 0, 0), 0);
        CHECK_INT(image_gc_wanted(&(struct image_gc_policy){ 100, 80, 0, 0 }, 100 * GI, 0), 0);
}

/* Ids of those that must go, in the order in which they do. */
static const char *gone(const struct gc_image *images, size_t n)
{
        static char text[100];

        text[0] = '\0';
        for (size_t i = 0; i < n; i++)
                if (images[i].must_go)
                        snprintf(text + strlen(text), sizeof text - strlen(text), "%s",
                                 images[i].id);
        return text;
}

TEST(unused_images_go_those_used_least_recently_first_until_it_is_enough)
{
        struct gc_image images[] = {
                { "a", 2 * GI, NOW - 1 * HOUR, NOW - 90 * HOUR, false, false },
                { "b", 2 * GI, NOW - 5 * HOUR, NOW - 80 * HOUR, false, false },
                { "c", 9 * GI, NOW - 9 * HOUR, NOW - 99 * HOUR, true, false },
                { "d", 2 * GI, 0, NOW - 10 * HOUR, false, false },
                { "e", 2 * GI, 0, NOW - 20 * HOUR, false, false },
                { "f", 2 * GI, 0, NOW - 1 * USEC_PER_MINUTE, false, false },
        };

        image_gc_sort(images, ARRAY_SIZE(images));
        CHECK_INT(image_gc_choose(images, ARRAY_SIZE(images), &usual, 5 * GI, NOW), 6 * GI);
        CHECK_STR(gone(images, ARRAY_SIZE(images)), "edb");
        CHECK_INT(image_gc_choose(images, ARRAY_SIZE(images), &usual, UINT64_MAX, NOW), 2 * GI);
        CHECK_STR(gone(images, ARRAY_SIZE(images)), "edba");
        CHECK_INT(image_gc_choose(images, ARRAY_SIZE(images), &usual, 0, NOW), 0);
}

TEST(images_unused_for_too_long_go_once_the_agent_itself_ran_that_long)
{
        const struct image_gc_policy p = { 100, 80, 0, 10 * HOUR };
        struct gc_image images[] = {
                { "a", GI, NOW - 11 * HOUR, NOW - 90 * HOUR, false, false },
                { "b", GI, NOW - 9 * HOUR, NOW - 90 * HOUR, false, false },
                { "c", GI, NOW - 11 * HOUR, NOW - 90 * HOUR, true, false },
        };

        image_gc_choose_old(images, 3, &p, NOW - 10 * HOUR, NOW);
        CHECK_STR(gone(images, 3), "");
        image_gc_choose_old(images, 3, &p, NOW - 10 * HOUR - 1, NOW);
        CHECK_STR(gone(images, 3), "a");
        image_gc_choose_old(images, 3, &usual, 0, NOW);
        CHECK_STR(gone(images, 3), "a");
}

TEST(sizes_are_told_in_the_unit_that_reads_best)
{
        char text[SIZE_TEXT_MAX];

        CHECK_STR(image_gc_size_text(512, text), "512 B");
        CHECK_STR(image_gc_size_text(1536, text), "1.5 KiB");
        CHECK_STR(image_gc_size_text(12 * GI + GI / 3, text), "12.3 GiB");
        CHECK_STR(image_gc_size_text(5000 * 1024 * GI, text), "5000.0 TiB");
}
