/*
 * Which program to run: the vectors of the plan, and the command found in the container's own PATH,
 * by the container's own user.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/init.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The strings of a type as a vector; the strings stay in the plan. */
static char **vector_of(const struct plan_view *plan, enum plan_type type)
{
        char **v = calloc(plan->count[type] + 1, sizeof *v);
        struct plan_record record;
        size_t n = 0;

        if (!v)
                return NULL;
        PLAN_FOREACH(plan, type, record)
        v[n++] = (char *)record.payload;
        return v;
}

static const char *search_path(char *const *envp)
{
        const char *path = default_path;

        /* the last one, as the shell has it */
        for (; *envp; envp++)
                if (strncmp(*envp, "PATH=", 5) == 0)
                        path = *envp + 5;
        return path;
}

static int check_executable(const char *path)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* As execvp(3): a command that is there but may not be run is better news than none at all. */
static int search(const char *name, const char *path, char found[static COMMAND_PATH_MAX])
{
        int answer = -ENOENT;

        for (const char *next = path; next; path = next) {
                size_t n;
                struct line l = { .data = found, .size = COMMAND_PATH_MAX };
                int r;

                next = strchr(path, ':');
                n = next ? (size_t)(next++ - path) : strlen(path);
                if (n + strlen(name) + 2 > COMMAND_PATH_MAX)
                        continue;
                line_add_n(&l, n ? path : ".", n ? n : 1);
                line_add(&l, "/");
                line_add(&l, name);
                r = check_executable(found);
                if (r == 0)
                        return 0;
                if (r == -EACCES)
                        answer = r;
        }
        return answer;
}

int init_find_command(struct init *i, struct init_command *ret)
{
        init_at(i, STEP_FIND_COMMAND, LAUNCH_NO_RECORD);
        ret->argv = vector_of(init_plan_of(i, PLAN_ARG), PLAN_ARG);
        ret->envp = vector_of(init_plan_of(i, PLAN_ENV), PLAN_ENV);
        if (!ret->argv || !ret->envp)
                return -ENOMEM;
        ret->path = ret->argv[0];
        if (!*ret->path)
                return -ENOENT;
        if (strchr(ret->path, '/'))
                return 0;
        ret->path = ret->found;
        return search(ret->argv[0], search_path(ret->envp), ret->found);
}
