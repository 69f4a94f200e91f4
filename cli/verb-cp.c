/*
 * cp: an archive through `tar` in the container, which does there what the container's own user
 * may. What comes from there is unpacked by us (copy.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/text.h"
#include "cli/copy.h"
#include "cli/session.h"
#include "cli/verbs.h"

struct remote { /* where commands of this copy run */
        struct invocation *in;
        json_t *pod;     /* owned */
        char *container; /* owned; NULL: the pod's first */
};

static void remote_done(struct remote *r)
{
        json_decref(r->pod);
        free(r->container);
}

static int find_remote(struct invocation *in, const char *word, struct remote *ret, struct err *err)
{
        const char *named = in->values[FLAG_CONTAINER];

        ret->in = in;
        ret->pod = find_pod(in, word, &ret->container, err);
        if (!ret->pod)
                return -ENOENT;
        if (!named)
                return 0;
        named = find_container(ret->pod, named, err);
        if (!named)
                return -ENOENT;
        return free_and_strdup(&ret->container, named);
}

/* Runs a command there with the streams of @o; its exit code in @ret. */
static int run(const struct remote *r, const char *const *command, struct session_options *o,
               int *ret, struct err *err)
{
        _cleanup_strbuf_ struct strbuf path = { 0 };

        strbuf_addf(&path, "/v1/pods/%s/%s/exec?output=1&error=1%s",
                    text_in(r->pod, "metadata", "namespace"), text_in(r->pod, "metadata", "name"),
                    o->in ? "&input=1" : "");
        for (; *command; command++) {
                _cleanup_free_ char *word = client_escape(*command);

                strbuf_addf(&path, "&command=%s", word ? word : "");
                path.failed |= !word;
        }
        if (r->container)
                strbuf_addf(&path, "&container=%s", r->container);
        if (path.failed)
                return err_sys(err, -ENOMEM, "ask skiffd");
        o->socket = client_socket(r->in->client);
        o->path = path.data;
        return session_run(o, ret, err);
}

static int run_tar(const struct remote *r, const char *const *command, struct session_options *o,
                   struct err *err)
{
        int code = 0, k = run(r, command, o, &code, err);

        if (k == -EREMOTEIO)
                return err_wrap(err, k, "run tar, which the container must have");
        if (k == 0 && code != 0)
                return err_set(err, -EREMOTEIO, "tar in the container ended with exit code %d",
                               code);
        return k;
}

/* ---- from a container ---- */

static bool is_folder(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Into a folder that is there by its own name, else by the name that was given. */
static int choose_place(const struct copy_end *to, const char *name, char **ret_folder,
                        char **ret_name, struct err *err)
{
        int r;

        if (is_folder(to->path)) {
                *ret_folder = strdup(to->path);
                *ret_name = strdup(name);
                return *ret_folder && *ret_name ? 0 : err_sys(err, -ENOMEM, "copy");
        }
        if (to->ends_in_slash)
                return err_set(err, -ENOTDIR, "'%s': there is no such folder here", to->path);
        r = copy_split(to->path, ret_folder, ret_name);
        return r < 0 ? err_sys(err, r, "copy") : 0;
}

static int on_archive(const void *data, size_t n, void *userdata, struct err *err)
{
        return copy_unpack(userdata, data, n, err);
}

static int copy_from(const struct remote *r, const struct copy_end *from, const struct copy_end *to,
                     bool keep, struct err *err)
{
        _cleanup_free_ char *folder = NULL, *name = NULL, *here = NULL, *called = NULL,
                            *operand = NULL;
        _cleanup_(copy_unpacker_freep)
        struct copy_unpacker *u = NULL;
        struct session_options o = { .on_output = on_archive };
        _cleanup_close_ int dir = -1;
        int k = copy_split(from->path, &folder, &name);

        operand = k == 0 ? text_printf("%s%s", name[0] == '-' ? "./" : "", name) : NULL;
        if (!operand)
                return err_sys(err, -ENOMEM, "copy");
        k = choose_place(to, name, &here, &called, err);
        if (k < 0)
                return k;
        dir = open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return err_sys(err, -errno, "open the folder '%s'", here);
        if (copy_unpacker_new(dir, name, called, keep, &u) < 0)
                return err_sys(err, -ENOMEM, "copy");
        o.userdata = u;
        k = run_tar(r, (const char *const[]){ "tar", "cf", "-", "-C", folder, operand, NULL }, &o,
                    err);
        return k < 0 ? k : copy_unpack_end(u, err);
}

/* ---- to a container ---- */

static int on_nothing(_unused_ const void *data, _unused_ size_t n, _unused_ void *userdata,
                      _unused_ struct err *err)
{
        return 0;
}

/* As kubectl asks. */
static int is_remote_folder(const struct remote *r, const char *path, bool *ret, struct err *err)
{
        struct session_options o = { .on_output = on_nothing };
        int code = 1, k = run(r, (const char *const[]){ "test", "-d", path, NULL }, &o, &code, err);

        *ret = code == 0;
        return k < 0 ? err_wrap(err, k, "look at '%s'", path) : 0;
}

/* The archive is made by a child, which may wait for its reader while we talk to skiffd. */
static pid_t start_packing(const char *path, const char *name, int *ret_fd, struct err *err)
{
        int fds[2];
        pid_t pid;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return err_sys(err, -errno, "make a pipe");
        pid = fork();
        if (pid < 0) {
                pid = err_sys(err, -errno, "start a process");
                close(fds[0]);
                close(fds[1]);
                return pid;
        }
        if (pid == 0) {
                _cleanup_err_ struct err own = { 0 };

                close(fds[0]);
                signal(SIGPIPE, SIG_DFL);
                if (copy_pack(fds[1], path, name, &own) == 0)
                        _exit(0);
                fprintf(stderr, "skiff: %s\n", err_text(&own));
                fflush(stderr);
                _exit(1);
        }
        close(fds[1]);
        *ret_fd = fds[0];
        return pid;
}

static int copy_to(const struct remote *r, const struct copy_end *from, const struct copy_end *to,
                   bool keep, struct err *err)
{
        _cleanup_free_ char *own_folder = NULL, *own_name = NULL, *folder = NULL, *name = NULL;
        struct session_options o = { .in = true };
        _cleanup_close_ int fd = -1;
        bool into = false;
        int k, status = 0;
        pid_t pid;

        if (access(from->path, R_OK) < 0 && errno != ELOOP && errno != ENOENT)
                return err_sys(err, -errno, "open '%s'", from->path);
        k = is_remote_folder(r, to->path, &into, err);
        if (k < 0)
                return k;
        if (!into && to->ends_in_slash)
                return err_set(err, -ENOTDIR, "'%s': there is no such folder in the container",
                               to->path);
        if (copy_split(from->path, &own_folder, &own_name) < 0 ||
            copy_split(to->path, &folder, &name) < 0)
                return err_sys(err, -ENOMEM, "copy");
        pid = start_packing(from->path, into ? own_name : name, &fd, err);
        if (pid < 0)
                return (int)pid;
        o.in_fd = fd;
        k = run_tar(r,
                    keep ? (const char *const[]){ "tar", "xmf", "-", "-C", into ? to->path : folder,
                                                  NULL }
                         : (const char *const[]){ "tar", "-xm", "--no-same-permissions",
                                                  "--no-same-owner", "-f", "-", "-C",
                                                  into ? to->path : folder, NULL },
                    &o, err);
        fd = safe_close(fd);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        if (k == 0 && status != 0)
                return err_set(err, -EIO, "not all of '%s' was copied", from->path);
        return k;
}

/* ---- the verb ---- */

static int copy(struct invocation *in, const struct copy_end *from, const struct copy_end *to,
                struct err *err)
{
        const bool keep = !has_flag(in, FLAG_NO_PRESERVE);
        struct remote r = { 0 };
        int k;

        if (!from->pod == !to->pod) {
                err_set(err, -EINVAL, "expected one of the two in a pod, [NAMESPACE/]POD:PATH");
                return EXIT_USAGE;
        }
        k = find_remote(in, from->pod ? from->pod : to->pod, &r, err);
        if (k == 0)
                k = from->pod ? copy_from(&r, from, to, keep, err)
                              : copy_to(&r, from, to, keep, err);
        remote_done(&r);
        return k < 0 ? EXIT_FAILED : EXIT_OK;
}

int verb_cp(struct invocation *in, struct err *err)
{
        struct copy_end from = { 0 }, to = { 0 };
        int code = EXIT_USAGE;

        if (copy_end_parse(in->words[0], &from, err) == 0 &&
            copy_end_parse(in->words[1], &to, err) == 0)
                code = copy(in, &from, &to, err);
        copy_end_done(&from);
        copy_end_done(&to);
        return code;
}
