/*
 * Secrets out of what is given to others. Pure.
 */
#pragma once
#include <jansson.h>

#include "base/text.h"

#define REDACTED "(removed)"

/* In a tree of Kubernetes objects, in place: values of environment variables, all annotations'
 * values, data of Secrets and ConfigMaps, whatever stands under a key that sounds like a secret. */
void redact_tree(json_t *root);
/* Text such as a log: what follows "token", "password", "Bearer" and the like, and PEM blocks of
 * keys. Owned; NULL without memory. */
char *redact_text(const char *text);
