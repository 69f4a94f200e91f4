/*
 * Help, man pages and completion, printed.
 */
#pragma once
#include "cli/verbs.h"

/* Of a verb, or of all (NULL). Returns the exit code. */
int help_print(const struct verb *v, FILE *f);
/* For the build: the man page @name, or the names of all (NULL). Returns the exit code. */
int help_print_page(const char *name);
