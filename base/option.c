#include "base/option.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

int option_parse(int argc, char *const argv[], const struct option *table, option_fn take,
                 void *userdata, struct err *err)
{
        int id, index = 0, r = 0;

        opterr = 0;
        optind = 0; /* from the first word, and as if it had never been called before */
        while (r == 0 && (id = getopt_long(argc, argv, "", table, &index)) >= 0) {
                if (id < OPTION_FIRST)
                        return err_set_kind(
                                err, -EINVAL, ERR_BAD_INPUT,
                                "'%s': expected one of the options of --help, with its value",
                                argv[MIN(optind, argc) - 1]);
                r = take(id, table[index].name, optarg, userdata, err);
        }
        if (r == 0 && optind < argc)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "'%s': expected no further words",
                                    argv[optind]);
        return r;
}

int option_bad(struct err *err, const char *option, const char *value, const char *rule)
{
        return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "--%s: '%s': expected %s", option, value,
                            rule);
}

int option_set_text(char **member, const char *option, const char *value, struct err *err)
{
        int r = free_and_strdup(member, value);

        return r < 0 ? err_sys(err, r, "read --%s", option) : 0;
}

int option_set_path(char **member, const char *option, const char *value, struct err *err)
{
        char *path, *end;

        if (value[0] != '/')
                return option_bad(err, option, value, "an absolute path");
        path = end = malloc(strlen(value) + 1);
        if (!path)
                return err_sys(err, -ENOMEM, "read --%s", option);
        for (const char *c = value; *c; c++)
                if (*c != '/' || (c[1] != '/' && c[1] != '\0'))
                        *end++ = *c;
        if (end == path)
                *end++ = '/';
        *end = '\0';
        free(*member);
        *member = path;
        return 0;
}

int option_set_log_level(int *member, const char *option, const char *value, struct err *err)
{
        int level = log_level_parse(value);

        if (level < 0)
                return option_bad(err, option, value, "debug, info, warning or error");
        *member = level;
        return 0;
}

const char *run_dir_id(const char *run_dir, char buf[static RUN_DIR_ID_MAX])
{
        uint64_t hash = fnv1a(run_dir, strlen(run_dir), FNV1A_SEED);

        if (streq(run_dir, RUN_DIR_DEFAULT))
                buf[0] = '\0';
        else
                snprintf(buf, RUN_DIR_ID_MAX, "s%06x", (unsigned)(hash & 0xffffff));
        return buf;
}
