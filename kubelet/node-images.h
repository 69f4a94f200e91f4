/* The images of this node as status.images of its Node lists them. */
#pragma once
#include <jansson.h>

#include "runtime/runtime.h"

/**
 * node_images_list() - the biggest first
 * @max: how many at most; negative: all
 * Return: new reference; NULL without memory.
 */
json_t *node_images_list(const struct runtime *rt, int32_t max);
