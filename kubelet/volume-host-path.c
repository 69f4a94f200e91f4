#include "kubelet/volume-host-path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/text.h"

/* What the child answers by its exit code. */
enum answer { ANSWER_FITS = 0, ANSWER_WRONG_TYPE = 1, ANSWER_ERRNO = 2 /* and above: errno + 2 */ };

struct host_path_check {
        char *path;
        int kind; /* index into types */
        int pidfd;
        sd_event_source *source; /* owned */
        host_path_done_fn done;
        void *userdata;
};

static const struct {
        const char *name, *noun;
        mode_t format;
        bool create;
} types[] = {
        { "Directory", "a directory", S_IFDIR, false },
        { "DirectoryOrCreate", "a directory", S_IFDIR, true },
        { "File", "a file", S_IFREG, false },
        { "FileOrCreate", "a file", S_IFREG, true },
        { "Socket", "a socket file", S_IFSOCK, false },
        { "CharDevice", "a character device", S_IFCHR, false },
        { "BlockDevice", "a block device", S_IFBLK, false },
};

/* mkdir -p of the administrator's path: links in it are the administrator's too. */
static int make_directories(const char *path)
{
        _cleanup_free_ char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1; *p; p++) {
                if (*p != '/')
                        continue;
                *p = '\0';
                if (mkdir(copy, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *p = '/';
        }
        return mkdir(copy, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

/* In the child: the same namespaces as skiffd. */
static int look(const char *path, int kind)
{
        struct stat st;

        if (stat(path, &st) < 0) {
                int fd;

                if (errno != ENOENT || !types[kind].create)
                        return errno == ENOENT ? ANSWER_WRONG_TYPE : ANSWER_ERRNO + errno;
                if (types[kind].format == S_IFDIR) {
                        int r = make_directories(path);

                        return r < 0 ? ANSWER_ERRNO - r : ANSWER_FITS;
                }
                fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                if (fd < 0)
                        return ANSWER_ERRNO + errno;
                return fchmod(fd, 0644) < 0 ? ANSWER_ERRNO + errno : ANSWER_FITS;
        }
        return (st.st_mode & S_IFMT) == types[kind].format ? ANSWER_FITS : ANSWER_WRONG_TYPE;
}

static int on_end(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents,
                  void *userdata)
{
        struct host_path_check *c = userdata;
        _cleanup_free_ char *problem = NULL;
        siginfo_t si = { 0 };
        int code;

        if (waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
                return 0;
        code = si.si_code == CLD_EXITED ? si.si_status : ANSWER_ERRNO + EINTR;
        c->source = sd_event_source_disable_unref(c->source);
        c->pidfd = safe_close(c->pidfd);
        if (code == ANSWER_WRONG_TYPE)
                problem = text_printf("hostPath type check failed: %s is not %s", c->path,
                                      types[c->kind].noun);
        else if (code >= ANSWER_ERRNO)
                problem = text_printf("hostPath type check failed: %s: %s", c->path,
                                      strerror(code - ANSWER_ERRNO));
        c->done(problem, c->userdata);
        return 0;
}

int host_path_check_new(sd_event *event, const char *path, const char *type, host_path_done_fn done,
                        void *userdata, struct host_path_check **ret, struct err *err)
{
        struct host_path_check *c;
        struct clone_args args = { .flags = CLONE_PIDFD, .exit_signal = SIGCHLD };
        int kind = -1, pidfd = -1, r;
        pid_t pid;

        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
                if (streq(types[i].name, type))
                        kind = (int)i;
        if (kind < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT, "%s is an invalid volume type",
                                    type);
        c = calloc(1, sizeof *c);
        if (!c)
                return err_sys(err, -ENOMEM, "check '%s'", path);
        *c = (struct host_path_check){
                .path = strdup(path), .kind = kind, .pidfd = -1, .done = done, .userdata = userdata
        };
        if (!c->path) {
                host_path_check_free(c);
                return err_sys(err, -ENOMEM, "check '%s'", path);
        }
        args.pidfd = (uint64_t)(uintptr_t)&pidfd;
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
        if (pid == 0) {
                /* it may hang for long, and keeps nothing of ours open meanwhile */
                close_range(3, ~0U, 0);
                umask(022); /* as the kubelet makes them; our own files are private */
                _exit(look(path, kind));
        }
        if (pid < 0) {
                r = -errno;
                host_path_check_free(c);
                return err_sys(err, r, "start the check of '%s'", path);
        }
        c->pidfd = pidfd;
        r = sd_event_add_io(event, &c->source, pidfd, EPOLLIN, on_end, c);
        if (r < 0) {
                host_path_check_free(c);
                return err_sys(err, r, "watch the check of '%s'", path);
        }
        *ret = c;
        return 0;
}

struct host_path_check *host_path_check_free(struct host_path_check *c)
{
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->source);
        if (c->pidfd >= 0) {
                siginfo_t si;

                /* one that hangs in the kernel dies when it can */
                syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
                waitid(P_PIDFD, (id_t)c->pidfd, &si, WEXITED | WNOHANG);
                safe_close(c->pidfd);
        }
        free(c->path);
        free(c);
        return NULL;
}
