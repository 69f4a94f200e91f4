/* Manifests of `-f`: files, folders and standard input to a flat list of objects. */
#pragma once
#include <jansson.h>

#include "base/err.h"

/**
 * manifest_read() - all objects at @path
 * @path:      a file, a folder (its *.yaml, *.yml and *.json, in the order of their names), or "-"
 * @namespace: for objects that name none; NULL: they stay so
 * @ret:       a v1.List, lists in it taken apart; new reference
 * Return: 0; -EINVAL for what cannot be read as YAML or JSON, with file, line and reason in @err;
 * -ENOENT for a folder without manifests; else what the file system said.
 */
int manifest_read(const char *path, const char *namespace, json_t **ret, struct err *err);
/* Appends the objects of a text, named @source in errors, to an array. */
int manifest_append(const char *text, size_t n, const char *source, const char *namespace,
                    json_t *items, struct err *err);
