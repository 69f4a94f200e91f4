/* The launcher: program, template and sockets; one clone and execve per shim. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/signals.h"
#include "base/text.h"
#include "runtime/cgroup.h"
#include "runtime/mount-template.h"
#include "runtime/shim-launcher.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
enum { PROGRAM_MAX = 32 << 20, BACKLOG = 4, SPARE_FD = 32 };

/* Sealed, so that a process which gets hold of /proc/self/exe can write to nothing (PR-01). */
static int seal_program(const char *libexec_dir, struct err *err)
{
        _cleanup_free_ char *path = text_printf("%s/skiff-shim", libexec_dir), *data = NULL;
        _cleanup_close_ int fd = memfd_create("skiff-shim",
                                              MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
        size_t n;
        int r;

        if (!path)
                return err_sys(err, -ENOMEM, "read skiff-shim");
        if (fd < 0 && errno == EINVAL)
                fd = memfd_create("skiff-shim", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return err_sys(err, -errno, "make a memfd for '%s'", path);
        r = fs_read_at(AT_FDCWD, path, PROGRAM_MAX, &data, &n);
        if (r < 0)
                return err_sys(err, r, "read '%s'", path);
        r = fs_write_all(fd, data, n);
        if (r == 0 && fchmod(fd, 0500) < 0)
                r = -errno;
        if (r == 0 &&
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
                r = -errno;
        return r < 0 ? err_sys(err, r, "seal a copy of '%s'", path) : TAKE_FD(fd);
}

int shim_launcher_new(struct runtime *rt, struct shim_launcher **ret, struct err *err)
{
        _cleanup_(shim_launcher_freep)
        struct shim_launcher *l = malloc(sizeof *l);
        int r;

        if (!l)
                return err_sys(err, -ENOMEM, "prepare to start shims");
        *l = (struct shim_launcher){
                .rt = rt, .program_fd = -1, .template_fd = -1, .sockets_fd = -1
        };
        r = fs_mkdir_p_at(rt->run_fd, "shims", 0700);
        if (r == 0) {
                l->sockets_fd = openat(rt->run_fd, "shims", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                r = l->sockets_fd < 0 ? -errno : 0;
        }
        if (r < 0)
                return err_sys(err, r, "make '%s/shims'", rt->options.run_dir);
        l->program_fd = seal_program(rt->options.libexec_dir, err);
        if (l->program_fd < 0)
                return l->program_fd;
        l->template_fd = mount_template_make(err);
        if (l->template_fd < 0)
                return l->template_fd;
        *ret = TAKE_PTR(l);
        return 0;
}

struct shim_launcher *shim_launcher_free(struct shim_launcher *l)
{
        if (!l)
                return NULL;
        safe_close(l->program_fd);
        safe_close(l->template_fd);
        safe_close(l->sockets_fd);
        free(l);
        return NULL;
}

int shim_launcher_list(const struct shim_launcher *l, char ***ret)
{
        _cleanup_strv_ char **names = NULL, **ids = NULL;
        int r = fs_list_at(l->sockets_fd, ".", &names);

        if (r < 0)
                return r;
        STRV_FOREACH (name, names) {
                if (!is_hex_lower(*name, RUNTIME_ID_SIZE - 1))
                        continue;
                r = strv_append(&ids, *name);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(ids);
        return 0;
}

void shim_launcher_forget(const struct shim_launcher *l, const char *id)
{
        unlinkat(l->sockets_fd, id, 0);
}

/* The run directory's path may be longer than a socket address; the descriptor's never is. */
static int socket_address(const struct shim_launcher *l, const char *id, struct sockaddr_un *ret)
{
        int n;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", l->sockets_fd, id);
        return n < (int)sizeof ret->sun_path ? 0 : -ENAMETOOLONG;
}

static int make_listener(const struct shim_launcher *l, const char *id)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address;
        int r = socket_address(l, id, &address);

        if (r < 0)
                return r;
        if (fd < 0)
                return -errno;
        unlinkat(l->sockets_fd, id, 0); /* ids are random: a left-over of a start that failed */
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        if (fchmodat(l->sockets_fd, id, 0600, 0) < 0 || listen(fd, BACKLOG) < 0) {
                r = -errno;
                unlinkat(l->sockets_fd, id, 0);
                return r;
        }
        return TAKE_FD(fd);
}

int shim_dial(const struct shim_launcher *l, const char *id, int *ret_fd)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address;
        int r = socket_address(l, id, &address);

        if (r < 0)
                return r;
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

struct launch {
        const char *id;
        int program_fd;
        int fds[_SHIM_FD_END]; /* by target; the first three are standard input, output, error */
};

/* Runs between clone and execve, in skiffd's namespaces; nothing here may allocate or lock. */
static _Noreturn void run_child(struct launch *launch)
{
        char *argv[] = { (char *)"skiff-shim", (char *)launch->id, NULL };
        char *env[] = { NULL };
        sigset_t none;
        int program_fd;

        signals_reset();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        setsid();
        umask(077);
        program_fd = fcntl(launch->program_fd, F_DUPFD_CLOEXEC, SPARE_FD);
        for (int i = 0; i < _SHIM_FD_END; i++) {
                launch->fds[i] = fcntl(launch->fds[i], F_DUPFD_CLOEXEC, SPARE_FD);
                if (launch->fds[i] < 0)
                        _exit(126);
        }
        for (int i = 0; i < _SHIM_FD_END; i++)
                if (dup2(launch->fds[i], i) < 0)
                        _exit(126);
        if (chdir("/") == 0)
                syscall(SYS_execveat, program_fd, "", argv, env, AT_EMPTY_PATH);
        _exit(127);
}

static int clone_shim(struct shim_launcher *l, struct launch *launch, int *ret_pidfd,
                      pid_t *ret_pid)
{
        int pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)cgroup_tree_shims_fd(l->rt->cgroups),
        };
        sigset_t all, before;
        pid_t pid;
        int r;

        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &before);
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        r = pid < 0 ? -errno : 0;
        if (pid == 0)
                run_child(launch);
        sigprocmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        *ret_pidfd = pidfd;
        *ret_pid = pid;
        return 0;
}

int shim_launch(struct shim_launcher *l, const char *id, int plan_fd, int *ret_fd, int *ret_pidfd,
                pid_t *ret_pid, struct err *err)
{
        _cleanup_close_ int ours = -1, theirs = -1, listener = -1,
                            null = open("/dev/null", O_RDWR | O_CLOEXEC);
        int sockets[2], r;

        if (null < 0)
                return err_sys(err, -errno, "open '/dev/null'");
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0)
                return err_sys(err, -errno, "make a socket pair");
        ours = sockets[0];
        theirs = sockets[1];
        listener = make_listener(l, id);
        if (listener < 0)
                return err_sys(err, listener, "make the shim's socket");
        r = clone_shim(l,
                       &(struct launch){
                               .id = id,
                               .program_fd = l->program_fd,
                               .fds = {
                                       null,
                                       null,
                                       STDERR_FILENO,
                                       [SHIM_FD_LISTEN] = listener,
                                       [SHIM_FD_PLAN] = plan_fd,
                                       [SHIM_FD_CONNECTION] = theirs,
                                       [SHIM_FD_TEMPLATE] = l->template_fd,
                                       [SHIM_FD_RECORDS] = l->rt->containers_fd,
                               },
                       },
                       ret_pidfd, ret_pid);
        if (r < 0) {
                shim_launcher_forget(l, id);
                return err_sys(err, r, "clone a shim");
        }
        *ret_fd = TAKE_FD(ours);
        return 0;
}
