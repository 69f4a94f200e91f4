/*
 * The program of the tests' image 'web': answers HTTP and UDP on a port and says who it is.
 *
 *      web [PORT [NAME]]
 *      web get ADDRESS:PORT/PATH [COUNT]       GET, and prints each answer's body or "failed: why"
 *      web udp ADDRESS:PORT [COUNT]            the same with datagrams
 *
 * GET /            "<hostname> <version>\n"; the version is $WEB_VERSION
 * GET /client      the address of whoever asks
 * GET /env/NAME    an environment variable, 404 when it is not set
 * GET /ready       200, or 503 after GET /set/ready/0
 * GET /alive       200, or 503 after GET /set/alive/0
 * GET /set/X/0|1   see there
 * GET /exit/N      ends with status N
 * A UDP datagram is answered by what GET / says. SIGTERM ends it at once with 0.
 *
 * (As a client it needs no resolver, which a static program has not in an image without libraries.)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int is_ready = 1, is_alive = 1;
static char me[512];

static void on_term(int signal)
{
        (void)signal;
        _exit(0);
}

static int *switch_of(const char *name)
{
        if (strncmp(name, "ready", 5) == 0)
                return &is_ready;
        return strncmp(name, "alive", 5) == 0 ? &is_alive : NULL;
}

/* Fills @body (of 4096 bytes) and returns the HTTP status. */
static int answer(const char *path, const struct sockaddr_in6 *from, char *body)
{
        int *state;

        body[0] = '\0';
        if (strcmp(path, "/") == 0) {
                snprintf(body, 4096, "%s\n", me);
                return 200;
        }
        if (strcmp(path, "/client") == 0) {
                char text[INET6_ADDRSTRLEN] = "";

                inet_ntop(AF_INET6, &from->sin6_addr, text, sizeof text);
                snprintf(body, 4096, "%s\n", strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
                return 200;
        }
        if (strncmp(path, "/env/", 5) == 0) {
                const char *value = getenv(path + 5);

                snprintf(body, 4096, "%s\n", value ? value : "");
                return value ? 200 : 404;
        }
        if (strncmp(path, "/set/", 5) == 0 && (state = switch_of(path + 5))) {
                *state = path[strlen(path) - 1] == '1';
                return 200;
        }
        if (strncmp(path, "/exit/", 6) == 0)
                exit((int)strtol(path + 6, NULL, 10));
        state = switch_of(path + 1);
        if (state)
                return *state ? 200 : 503;
        return 404;
}

static void serve_http(int listener)
{
        struct sockaddr_in6 from = { 0 };
        socklen_t from_len = sizeof from;
        char request[4096] = "", path[1024] = "", body[4096], reply[4300];
        struct timeval patience = { .tv_sec = 2 };
        size_t have = 0;
        int status, n, fd = accept(listener, (struct sockaddr *)&from, &from_len);

        if (fd < 0)
                return;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        while (have < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
                ssize_t got = read(fd, request + have, sizeof request - 1 - have);

                if (got <= 0)
                        break;
                have += (size_t)got;
        }
        if (sscanf(request, "%*7s %1023s", path) == 1) {
                status = answer(path, &from, body);
                n = snprintf(reply, sizeof reply,
                             "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                             "Connection: close\r\n\r\n%s",
                             status, status == 200 ? "OK" : "No", strlen(body), body);
                if (write(fd, reply, (size_t)n) < 0)
                        perror("web: write");
                printf("%s %d\n", path, status);
                fflush(stdout);
        }
        close(fd);
}

static void serve_udp(int fd)
{
        struct sockaddr_in6 from = { 0 };
        socklen_t from_len = sizeof from;
        char datagram[2048];

        if (recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&from, &from_len) < 0)
                return;
        snprintf(datagram, sizeof datagram, "%s\n", me);
        sendto(fd, datagram, strlen(datagram), 0, (struct sockaddr *)&from, from_len);
}

static int open_port(int type, unsigned port)
{
        struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        int fd, on = 1, off = 0;

        fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
            (type == SOCK_STREAM && listen(fd, 128) < 0))
                return -1;
        return fd;
}

/* "10.0.0.1:80/path" taken apart; @path points into @target. */
static int parse_target(const char *target, struct sockaddr_in *to, const char **path)
{
        char address[64];
        unsigned port;

        if (sscanf(target, "%63[0-9.]:%u", address, &port) != 2)
                return -1;
        *to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
        *path = strchr(target, '/');
        if (!*path)
                *path = "/";
        return inet_pton(AF_INET, address, &to->sin_addr) == 1 ? 0 : -1;
}

/* One question; what came back is in @reply. 0, or -1 with errno. */
static int ask(int type, const struct sockaddr_in *to, const char *path, char *reply, size_t size)
{
        struct timeval patience = { .tv_sec = 2 };
        char request[1200];
        size_t have = 0;
        ssize_t got;
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: web\r\n\r\n", path);

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 ||
            write(fd, request, (size_t)n) < 0) {
                close(fd);
                return -1;
        }
        while (have < size - 1 && (got = read(fd, reply + have, size - 1 - have)) > 0) {
                have += (size_t)got;
                if (type == SOCK_DGRAM)
                        break;
        }
        reply[have] = '\0';
        close(fd);
        return have > 0 ? 0 : -1;
}

static int run_client(int type, const char *target, unsigned count)
{
        struct sockaddr_in to;
        const char *path;
        int failed = 0;

        if (parse_target(target, &to, &path) < 0) {
                fprintf(stderr, "web: '%s' is not ADDRESS:PORT/PATH\n", target);
                return 2;
        }
        while (count-- > 0) {
                char reply[8192], *body;

                if (ask(type, &to, path, reply, sizeof reply) < 0) {
                        printf("failed: %s\n", strerror(errno));
                        failed = 1;
                        continue;
                }
                body = type == SOCK_STREAM ? strstr(reply, "\r\n\r\n") : NULL;
                printf("%s", body ? body + 4 : reply);
        }
        return failed;
}

int main(int argc, char **argv)
{
        unsigned port = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8080;
        const char *version = getenv("WEB_VERSION");
        char host[256] = "";
        struct pollfd fds[2];

        signal(SIGTERM, on_term);
        signal(SIGPIPE, SIG_IGN);
        if (argc > 2 && (strcmp(argv[1], "get") == 0 || strcmp(argv[1], "udp") == 0))
                return run_client(argv[1][0] == 'g' ? SOCK_STREAM : SOCK_DGRAM, argv[2],
                                  argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1);
        gethostname(host, sizeof host - 1);
        snprintf(me, sizeof me, "%s %s", argc > 2 ? argv[2] : host, version ? version : "?");
        fds[0] = (struct pollfd){ .fd = open_port(SOCK_STREAM, port), .events = POLLIN };
        fds[1] = (struct pollfd){ .fd = open_port(SOCK_DGRAM, port), .events = POLLIN };
        if (fds[0].fd < 0 || fds[1].fd < 0) {
                perror("web: cannot listen");
                return 1;
        }
        printf("listening on %u as %s\n", port, me);
        fflush(stdout);
        for (;;) {
                if (poll(fds, 2, -1) < 0)
                        continue;
                if (fds[0].revents)
                        serve_http(fds[0].fd);
                if (fds[1].revents)
                        serve_udp(fds[1].fd);
        }
}
