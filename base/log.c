#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>

#include "base/text.h"
#include "base/usec.h"

static const char *log_identifier = "skiff";
static int max_level = LOG_INFO;
static bool to_journal;

/* systemd tells by JOURNAL_STREAM=dev:inode whether our standard error is the journal. */
static bool stderr_is_journal(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        char here[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        snprintf(here, sizeof here, "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino);
        return streq(stream, here);
}

void log_open(const char *identifier, int level)
{
        log_identifier = identifier;
        max_level = level;
        to_journal = stderr_is_journal();
}

void log_set_level(int level)
{
        max_level = level;
}

int log_level_parse(const char *text)
{
        if (streq(text, "debug"))
                return LOG_DEBUG;
        if (streq(text, "info"))
                return LOG_INFO;
        if (streq(text, "warning"))
                return LOG_WARNING;
        if (streq(text, "error"))
                return LOG_ERR;
        return -EINVAL;
}

static const char *level_name(int level)
{
        switch (level) {
        case LOG_DEBUG:
                return "debug";
        case LOG_INFO:
        case LOG_NOTICE:
                return "info";
        case LOG_WARNING:
                return "warning";
        default:
                return "error";
        }
}

static void write_stderr(const struct log_ids *ids, int level, const char *message)
{
        struct strbuf b = { 0 };
        char when[TIME_TEXT_MAX];

        strbuf_addf(&b, "%s %s %s: ", time_format_micro(now_realtime(), when), log_identifier,
                    level_name(level));
        if (ids && ids->pod) {
                strbuf_addf(&b, "%s/%s", ids->namespace ? ids->namespace : "", ids->pod);
                if (ids->container)
                        strbuf_addf(&b, "[%s]", ids->container);
                strbuf_add(&b, ": ");
        }
        /* one line stays one line, whatever was quoted in it */
        for (const char *p = message; *p; p++)
                if (*p == '\n')
                        strbuf_add(&b, "\\n");
                else
                        strbuf_add_n(&b, (unsigned char)*p < ' ' ? "?" : p, 1);
        strbuf_add(&b, "\n");
        if (!b.failed && write(STDERR_FILENO, b.data, b.len) < 0) {
                /* nowhere left to complain */
        }
        strbuf_done(&b);
}

static void write_journal(const struct log_ids *ids, int level, int r, const char *message)
{
        const char *pairs[][2] = {
                { "MESSAGE", message },
                { "SYSLOG_IDENTIFIER", log_identifier },
                { "POD", ids ? ids->pod : NULL },
                { "NAMESPACE", ids ? ids->namespace : NULL },
                { "POD_UID", ids ? ids->pod_uid : NULL },
                { "CONTAINER", ids ? ids->container : NULL },
        };
        struct iovec iov[ARRAY_SIZE(pairs) + 2];
        char priority[16], error[24];
        int n = 0;

        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                char *field;

                if (!pairs[i][1])
                        continue;
                field = text_printf("%s=%s", pairs[i][0], pairs[i][1]);
                if (field)
                        iov[n++] = (struct iovec){ field, strlen(field) };
        }
        iov[n] = (struct iovec){ priority, (size_t)snprintf(priority, sizeof priority,
                                                            "PRIORITY=%d", level) };
        iov[n + 1] = (struct iovec){ error, (size_t)snprintf(error, sizeof error, "ERRNO=%d", -r) };
        sd_journal_sendv(iov, r < 0 ? n + 2 : n + 1);
        while (n > 0)
                free(iov[--n].iov_base);
}

void log_full(const struct log_ids *ids, int level, int r, const char *fmt, ...)
{
        _cleanup_free_ char *text = NULL, *message = NULL;
        int saved = errno;
        va_list ap;

        if (level > max_level)
                return;
        va_start(ap, fmt);
        if (vasprintf(&text, fmt, ap) < 0)
                text = NULL;
        va_end(ap);
        message = r < 0 ? text_printf("%s: %s", text ? text : fmt, strerror(-r)) : TAKE_PTR(text);
        if (to_journal)
                write_journal(ids, level, r, message ? message : fmt);
        else
                write_stderr(ids, level, message ? message : fmt);
        errno = saved;
}
