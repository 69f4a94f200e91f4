/*
 * YAML to the tree that JSON gives, by libyaml: manifests, configurations, kubeconfigs.
 *
 * Plain scalars are typed by YAML 1.2's core schema as sigs.k8s.io/yaml does (true, null, 1, 1.5; a
 * quoted "1" stays a string). Anchors are refused (no bombs), duplicate keys too, depth is at most
 * 100, size at most @max.
 */
#pragma once
#include <jansson.h>

#include "base/err.h"

/**
 * yaml_parse() - the first document of @text; JSON is YAML too
 * @ret: owned; an empty document gives JSON null
 * Return: 0, or -EINVAL with line and column in @err.
 */
int yaml_parse(const char *text, size_t n, json_t **ret, struct err *err);
/* Reads (at most 10 MiB) and parses; @err names the path. */
int yaml_parse_file(const char *path, json_t **ret, struct err *err);
/* Block-style YAML of a tree, keys in order: what `-o yaml` prints. Owned. */
char *yaml_print(const json_t *root);
