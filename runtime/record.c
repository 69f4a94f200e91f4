#include "runtime/record.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

static const char opening[] = "{\"checksum\":\"";
enum { OPENING_LEN = sizeof opening - 1, DIGITS = 16 };

static uint64_t checksum_of(const char *text, size_t n)
{
        uint64_t sum = fnv1a(opening, OPENING_LEN, FNV1A_SEED);

        return fnv1a(text + OPENING_LEN + DIGITS, n - OPENING_LEN - DIGITS, sum);
}

int record_write(int dir_fd, const char *path, json_t *object)
{
        _cleanup_free_ char *body = NULL, *text = NULL;
        char digits[DIGITS + 1];
        size_t n;
        int r = object ? json_set(object, "version", json_integer(RECORD_VERSION)) : -ENOMEM;

        if (r == 0)
                body = json_dumps(object, JSON_COMPACT);
        json_decref(object);
        if (!body)
                return -ENOMEM;
        text = text_printf("%s%0*d\",%s\n", opening, DIGITS, 0, body + 1);
        if (!text)
                return -ENOMEM;
        n = strlen(text);
        snprintf(digits, sizeof digits, "%0*" PRIx64, DIGITS, checksum_of(text, n));
        memcpy(text + OPENING_LEN, digits, DIGITS);
        return fs_replace_at(dir_fd, path, text, n, 0600, false);
}

static int check(const char *text, size_t n, struct err *err)
{
        char digits[DIGITS + 1];

        if (n <= OPENING_LEN + DIGITS || memcmp(text, opening, OPENING_LEN) != 0)
                return err_set(err, -EBADMSG, "it does not begin as a record does");
        snprintf(digits, sizeof digits, "%0*" PRIx64, DIGITS, checksum_of(text, n));
        if (memcmp(text + OPENING_LEN, digits, DIGITS) != 0)
                return err_set(err, -EBADMSG, "its checksum is wrong");
        return 0;
}

int record_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
        json_auto_t *root = NULL;
        json_int_t version;
        int r = check(text, n, err);

        if (r < 0)
                return r;
        if (json_parse(text, n, true, &root, err) < 0)
                return -EBADMSG;
        version = json_integer_value(json_object_get(root, "version"));
        if (version != RECORD_VERSION)
                return err_set(err, -EBADMSG, "version %" JSON_INTEGER_FORMAT ": expected %d",
                               version, RECORD_VERSION);
        *ret = TAKE_PTR(root);
        return 0;
}

int record_read(int dir_fd, const char *path, json_t **ret, struct err *err)
{
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r = fs_read_at(dir_fd, path, RECORD_MAX, &text, &n);

        return r < 0 ? err_sys(err, r, "read") : record_parse(text, n, ret, err);
}

void record_set_aside(int dir_fd, const char *path, int r, const struct err *why)
{
        _cleanup_free_ char *bad = text_printf("%s.bad", path);

        log_warn(0, "Record '%s' cannot be used (%s), setting it aside", path,
                 why && why->message ? why->message : strerror(-r));
        if (bad)
                fs_remove_tree_at(dir_fd, bad); /* a folder cannot take the place of a file */
        if (!bad || renameat(dir_fd, path, dir_fd, bad) < 0)
                log_warn(bad ? -errno : -ENOMEM, "Failed to set record '%s' aside", path);
}
