/*
 * Which images go when their disk fills up: unused ones, those that were used least recently first.
 * Pure. Source: pkg/kubelet/images/image_gc_manager.go.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/usec.h"

struct gc_image {
        const char *id;      /* borrowed */
        uint64_t size;       /* bytes */
        usec_t last_used_at; /* CLOCK_REALTIME; 0: not since anybody can say */
        usec_t pulled_at;
        bool is_used, must_go; /* must_go: the answer */
};
struct image_gc_policy {
        unsigned high_percent, low_percent; /* of the file system: begins at one, goes down to the
                                               other; high 100: off */
        usec_t min_age, max_age;            /* max 0: off */
};
/* How many bytes are to be freed of a file system of which so much is available; 0: none. */
uint64_t image_gc_wanted(const struct image_gc_policy *p, uint64_t capacity, uint64_t available);
/* Oldest first. */
void image_gc_sort(struct gc_image *images, size_t n);
/**
 * image_gc_choose() - marks what goes until so many bytes are free
 * @images: sorted; what must go already is left so and counts nothing
 * Return: bytes that will be freed; maybe fewer than @wanted.
 */
uint64_t image_gc_choose(struct gc_image *images, size_t n, const struct image_gc_policy *p,
                         uint64_t wanted, usec_t now);
/* Marks those unused for longer than .max_age, once the agent itself runs that long. */
void image_gc_choose_old(struct gc_image *images, size_t n, const struct image_gc_policy *p,
                         usec_t started_at, usec_t now);
enum { SIZE_TEXT_MAX = 32 };
/* "12.3 GiB", "512 B". Returns buf. */
const char *image_gc_size_text(uint64_t bytes, char buf[static SIZE_TEXT_MAX]);
