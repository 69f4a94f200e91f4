/*
 * $(VAR) in commands, arguments, environment values and subPathExpr. Pure.
 * Source: third_party/forked/golang/expansion/expand.go.
 */
#pragma once

/* The value of @name, borrowed; NULL: unknown, and the reference stays as it is written. */
typedef const char *(*expand_lookup_fn)(const char *name, void *userdata);

/**
 * expand() - @input with its references replaced; values are not expanded again, "$$" is "$"
 * Return: 0 with an owned *ret; -E2BIG when it grows beyond EXPAND_MAX; -ENOMEM.
 */
int expand(const char *input, expand_lookup_fn lookup, void *userdata, char **ret);
enum { EXPAND_MAX = 1 << 20 };
