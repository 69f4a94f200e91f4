#include "cli/upgrade.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/json.h"

enum { HEAD_MAX = 16384, REFUSAL_MAX = 65536 };

static int connect_to(const char *path, struct err *err)
{
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        if (fd < 0)
                return err_sys(err, -errno, "make a socket");
        if (strlen(path) >= sizeof a.sun_path)
                return err_set(err, -ENAMETOOLONG, "the path of the socket '%s' is too long", path);
        memcpy(a.sun_path, path, strlen(path));
        if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
                return err_sys(err, -errno, "cannot reach skiffd at '%s'", path);
        return TAKE_FD(fd);
}

int upgrade_ask(const char *path, const char *target, const char *protocol, struct err *err)
{
        _cleanup_free_ char *request =
                text_printf("POST %s HTTP/1.1\r\nHost: skiff\r\nConnection: Upgrade\r\n"
                            "Upgrade: %s\r\nContent-Length: 0\r\n\r\n",
                            target, protocol);
        _cleanup_close_ int fd = request ? connect_to(path, err) : -ENOMEM;
        int r;

        if (!request)
                return err_sys(err, -ENOMEM, "ask skiffd");
        if (fd < 0)
                return fd;
        r = fs_write_all(fd, request, strlen(request));
        return r < 0 ? err_sys(err, r, "ask skiffd") : TAKE_FD(fd);
}

/* The sentence of an answer that is no upgrade. */
static int refused(const char *body, size_t n, struct err *err)
{
        json_auto_t *root = NULL;
        const char *message = NULL;

        if (n && json_parse(body, n, false, &root, NULL) == 0)
                message = json_text_at(root, "message");
        if (message)
                return err_set(err, -EREMOTEIO, "%s", message);
        return err_set(err, -EREMOTEIO, "%.*s", n ? (int)n : 33,
                       n ? body : "skiffd refused without saying why");
}

int upgrade_answer(const struct strbuf *got, bool ended, size_t *ret_rest, struct err *err)
{
        const char *end = got->data ? memmem(got->data, got->len, "\r\n\r\n", 4) : NULL;
        size_t rest;

        if (got->failed)
                return err_sys(err, -ENOMEM, "read skiffd's answer");
        if (!end && (ended || got->len > HEAD_MAX))
                return err_set(err, -EPIPE, "skiffd ended in the middle of its answer");
        if (!end)
                return 0;
        rest = (size_t)(end - got->data) + 4;
        if (startswith(got->data, "HTTP/1.1 101")) {
                *ret_rest = rest;
                return 1;
        }
        if (!ended && got->len < REFUSAL_MAX)
                return 0;
        return refused(got->data + rest, got->len - rest, err);
}
