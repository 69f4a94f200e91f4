#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/http-conn.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif

union any_address {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
};

static int parse_address(const char *text, uint16_t port, union any_address *ret,
                         socklen_t *ret_len)
{
        *ret = (union any_address){ 0 };
        if (inet_pton(AF_INET, text, &ret->in4.sin_addr) == 1) {
                ret->in4.sin_family = AF_INET;
                ret->in4.sin_port = htons(port);
                *ret_len = sizeof ret->in4;
                return 0;
        }
        if (inet_pton(AF_INET6, text, &ret->in6.sin6_addr) == 1) {
                ret->in6.sin6_family = AF_INET6;
                ret->in6.sin6_port = htons(port);
                *ret_len = sizeof ret->in6;
                return 0;
        }
        return -EINVAL;
}

static int listen_tcp(const char *address, uint16_t port, int v6_only, struct err *err)
{
        _cleanup_close_ int fd = -1;
        union any_address a;
        socklen_t len;
        int on = 1;

        if (parse_address(address, port, &a, &len) < 0)
                return err_set_kind(err, -EINVAL, ERR_BAD_INPUT,
                                    "listen address '%s': expected a numeric IP address", address);
        fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_sys(err, -errno, "socket for '%s' port %u", address, port);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (a.any.sa_family == AF_INET6)
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
        if (bind(fd, &a.any, len) < 0 || listen(fd, SOMAXCONN) < 0)
                return err_sys(err, -errno, "listen on '%s' port %u", address, port);
        return TAKE_FD(fd);
}

int http_listen_tcp(const char *address, uint16_t port, struct err *err)
{
        return listen_tcp(address, port, 0, err);
}

int http_listen_tcp_family(const char *address, uint16_t port, struct err *err)
{
        return listen_tcp(address, port, 1, err);
}

/* Opens the folder of @path; *ret_name points at the last component. */
static int open_folder(const char *path, const char **ret_name, struct err *err)
{
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder = NULL;
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (!slash || slash == path || !slash[1])
                return err_set(err, -EINVAL, "socket '%s': expected /folder/name", path);
        folder = strndup(path, (size_t)(slash - path));
        if (!folder)
                return -ENOMEM;
        fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return err_sys(err, -errno, "folder of socket '%s'", path);
        if (st.st_uid != geteuid() || (st.st_mode & 022))
                return err_set(err, -EPERM,
                               "socket '%s': its folder must be ours and writable to nobody else",
                               path);
        *ret_name = slash + 1;
        return TAKE_FD(fd);
}

/* The address of a socket through its folder's descriptor: the path may be longer than 107 bytes.
 */
static int socket_address(int folder_fd, const char *name, struct sockaddr_un *ret)
{
        int n;

        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        n = snprintf(ret->sun_path, sizeof ret->sun_path, "/proc/self/fd/%d/%s", folder_fd, name);
        return n < (int)sizeof ret->sun_path ? 0 : -ENAMETOOLONG;
}

/* Removes a socket nobody listens on any more. */
static int remove_stale(int folder_fd, const char *name, const struct sockaddr_un *a,
                        const char *path, struct err *err)
{
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : err_sys(err, -errno, "look at '%s'", path);
        if (!S_ISSOCK(st.st_mode))
                return err_set(err, -EEXIST, "'%s' exists and is no socket: not removed", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_sys(err, -errno, "socket");
        if (connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN)
                return err_set(err, -EADDRINUSE, "another process listens on '%s'", path);
        if (errno != ECONNREFUSED)
                return err_sys(err, -errno, "connect to what is left at '%s'", path);
        if (unlinkat(folder_fd, name, 0) < 0)
                return err_sys(err, -errno, "remove the stale socket '%s'", path);
        return 0;
}

int http_listen_unix(const char *path, mode_t mode, gid_t gid, struct err *err)
{
        _cleanup_close_ int folder_fd = -1, fd = -1;
        struct sockaddr_un a;
        const char *name;
        mode_t old_mask;
        int r;

        folder_fd = open_folder(path, &name, err);
        if (folder_fd < 0)
                return folder_fd;
        r = socket_address(folder_fd, name, &a);
        if (r < 0)
                return err_set(err, r, "socket '%s': its name is too long", path);
        r = remove_stale(folder_fd, name, &a, path, err);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_sys(err, -errno, "socket");
        old_mask = umask(0177);
        r = bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
        umask(old_mask);
        if (r < 0)
                return err_sys(err, r, "bind '%s'", path);
        /* Nobody else can write to the folder, so that the name is still our socket. */
        if (fchownat(folder_fd, name, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0 ||
            fchmodat(folder_fd, name, mode, 0) < 0)
                return err_sys(err, -errno, "mode of '%s'", path);
        if (listen(fd, SOMAXCONN) < 0)
                return err_sys(err, -errno, "listen on '%s'", path);
        return TAKE_FD(fd);
}

/* Is /proc/@pid/ns/@name the same namespace as our own? */
static bool shares_namespace(pid_t pid, const char *name)
{
        char theirs[64], ours[64];
        struct stat a, b;

        snprintf(theirs, sizeof theirs, "/proc/%d/ns/%s", (int)pid, name);
        snprintf(ours, sizeof ours, "/proc/self/ns/%s", name);
        return stat(theirs, &a) == 0 && stat(ours, &b) == 0 && a.st_dev == b.st_dev &&
               a.st_ino == b.st_ino;
}

/*
 * A pidfd of who connected: from the socket, or (before Linux 6.5) opened by number. In the second
 * case it may be of a process that got the number after the peer died; reusing a pid between a
 * connect and our accept takes a whole turn of the pid counter.
 */
static int peer_pidfd(int fd, pid_t pid)
{
        int pidfd;
        socklen_t len = sizeof pidfd;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
                return pidfd;
        if (errno != ENOPROTOOPT)
                return -errno;
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        return pidfd < 0 ? -errno : pidfd;
}

static bool lives_with_us(int fd, pid_t pid)
{
        _cleanup_close_ int pidfd = -1;
        struct pollfd p;

        if (pid <= 0) /* not visible in our pid namespace */
                return false;
        pidfd = peer_pidfd(fd, pid);
        if (pidfd < 0 || !shares_namespace(pid, "user") || !shares_namespace(pid, "pid"))
                return false;
        /* Still alive, so that what we read in /proc was about it. */
        p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        return poll(&p, 1, 0) == 0;
}

static int read_unix_peer(int fd, struct http_peer *ret)
{
        struct ucred cred;
        socklen_t len = sizeof cred;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
                return -errno;
        if (!lives_with_us(fd, cred.pid))
                return -EPERM;
        *ret = (struct http_peer){
                .is_unix = true, .uid = cred.uid, .gid = cred.gid, .pid = cred.pid
        };
        snprintf(ret->address, sizeof ret->address, "pid %d, uid %u", (int)cred.pid, cred.uid);
        return 0;
}

int http_peer_read(int fd, struct http_peer *ret)
{
        union any_address a;
        socklen_t len = sizeof a;
        const void *address = &a.in4.sin_addr;

        if (getpeername(fd, &a.any, &len) < 0)
                return -errno;
        if (a.any.sa_family == AF_UNIX)
                return read_unix_peer(fd, ret);
        if (a.any.sa_family == AF_INET6)
                address = &a.in6.sin6_addr;
        *ret = (struct http_peer){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
        if (!inet_ntop(a.any.sa_family, address, ret->address, sizeof ret->address))
                return -EAFNOSUPPORT;
        return 0;
}
