/*
 * What the daemons' command lines have in common: values of options, and what a run directory
 * stands for. skiffd and skiff-netproxy of one node find each other's names by it, so it is read
 * here and nowhere else. Pure.
 */
#pragma once
#include "base/err.h"

/* Does what option @id (of the table) means; @name as in the table, @value NULL if it takes none.
 */
typedef int (*option_fn)(int id, const char *name, const char *value, void *userdata,
                         struct err *err);
/**
 * option_parse() - tells @take each option of a command line
 * @table: getopt_long()'s; ids from OPTION_FIRST on
 * Return: 0; what @take returned; -EINVAL for an unknown option, a missing value, further words.
 */
struct option;
int option_parse(int argc, char *const argv[], const struct option *table, option_fn take,
                 void *userdata, struct err *err);
enum { OPTION_FIRST = 256 };

/* -EINVAL, and "--run-dir: 'x': expected an absolute path". */
int option_bad(struct err *err, const char *option, const char *value, const char *rule);
/* Copies of @value instead of *member (owned): 0, -ENOMEM, -EINVAL; then it is as it was. */
int option_set_text(char **member, const char *option, const char *value, struct err *err);
/* An absolute path: without slashes at its end or doubled ones, so that one place has one name. */
int option_set_path(char **member, const char *option, const char *value, struct err *err);
int option_set_log_level(int *member, const char *option, const char *value, struct err *err);

#define RUN_DIR_DEFAULT "/run/skiff"
enum { RUN_DIR_ID_MAX = 8 };
/*
 * Several nodes on one machine differ in their run directories: what they share by name (tables,
 * links, groups) carries "s" and six hex digits; "" for the one at RUN_DIR_DEFAULT. Returns buf.
 */
const char *run_dir_id(const char *run_dir, char buf[static RUN_DIR_ID_MAX]);
