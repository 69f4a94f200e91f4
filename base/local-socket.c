#include "base/local-socket.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/text.h"

#define SOCKET_MODE  0660
#define SOCKET_GROUP "skiff"
#define GROUP_MAX    (1 << 20)

/* Group "skiff" of /etc/group, read plainly (no name service); root when there is none. */
static gid_t socket_group(void)
{
        _cleanup_free_ char *text = NULL;
        char *state = NULL;

        if (fs_read_at(AT_FDCWD, "/etc/group", GROUP_MAX, &text, NULL) < 0)
                return 0;
        for (char *line = strtok_r(text, "\n", &state); line; line = strtok_r(NULL, "\n", &state)) {
                const char *rest = startswith(line, SOCKET_GROUP ":");
                const char *number = rest ? strchr(rest, ':') : NULL;
                _cleanup_free_ char *digits = number ? strndup(number + 1, strcspn(number + 1, ":"))
                                                     : NULL;
                uint32_t gid;

                if (digits && text_to_u32(digits, &gid) == 0)
                        return gid;
        }
        return 0;
}

/* The run directory is ours: what lies in the socket's place is damage, and nobody's data. */
static void clear_place(const char *path)
{
        struct stat st;

        if (lstat(path, &st) < 0 || S_ISSOCK(st.st_mode))
                return;
        log_warn(0, "'%s' is no socket, removing it", path);
        fs_remove_tree_at(AT_FDCWD, path);
}

int local_socket_listen(const char *path, struct err *err)
{
        clear_place(path);
        return http_listen_unix(path, SOCKET_MODE, socket_group(), err);
}

static const char *reason_of_status(int status)
{
        switch (status) {
        case 400:
                return "BadRequest";
        case 403:
                return "Forbidden";
        case 404:
                return "NotFound";
        case 405:
                return "MethodNotAllowed";
        case 409:
                return "Conflict";
        case 429:
                return "TooManyRequests";
        case 422:
                return "Invalid";
        default:
                return "InternalError";
        }
}

void local_socket_fail(struct http_exchange *x, int status, const char *message)
{
        http_answer_json(x, status,
                         json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "apiVersion", "v1", "kind",
                                   "Status", "status", "Failure", "reason",
                                   reason_of_status(status), "message", message, "code", status));
}

bool local_socket_is_method(struct http_exchange *x, const char *method)
{
        _cleanup_free_ char *message = NULL;

        if (streq(http_exchange_method(x), method))
                return true;
        message = text_printf("the method is not allowed here: expected %s", method);
        local_socket_fail(x, 405, message ? message : "the method is not allowed here");
        return false;
}
