/*
 * YAML to the tree that JSON gives, by libyaml: manifests, configurations, kubeconfigs.
 *
 * Plain scalars are typed as sigs.k8s.io/yaml does for every Kubernetes program, which is YAML 1.1:
 * true, yes, on; null, ~; 1, 0x1f, 0644 (octal), 1_000, 1.5; dates and quoted scalars stay strings.
 * Anchors and merge keys are refused (no bombs), duplicate keys too; depth is at most 100.
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
/* All documents, in an array; empty ones are left out. Otherwise the same. */
int yaml_parse_all(const char *text, size_t n, json_t **ret, struct err *err);
/* Reads (at most 10 MiB) and parses; @err names the path. */
int yaml_parse_file(const char *path, json_t **ret, struct err *err);
/* Block-style YAML of a tree, keys in order: what `-o yaml` prints. Owned. */
char *yaml_print(const json_t *root);
