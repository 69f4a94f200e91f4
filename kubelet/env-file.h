/*
 * Environment files that an init container wrote (fileKeyRef): NAME='value', strictly. Pure.
 * Source: pkg/kubelet/util/env/env_util.go.
 */
#pragma once
#include "base/err.h"

/**
 * env_file_get() - the value of @key in @text
 * @ret: owned; "" when the key is absent or assigned nothing
 * Return: 0; -EINVAL with line and rule (only lines up to the one found are looked at); -ENOMEM.
 */
int env_file_get(const char *text, const char *key, char **ret, struct err *err);
