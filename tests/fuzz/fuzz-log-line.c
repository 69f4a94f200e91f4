/* Whole lines of a log file through the parser and a filter that the first byte selects. */
#include <assert.h>
#include <string.h>

#include "kubelet/log-line.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
        _cleanup_strbuf_ struct strbuf out = { 0 };
        struct log_filter f = { 0 };
        const char *s = (const char *)bytes + 1, *end = (const char *)bytes + n;
        uint64_t limit, left = n % 7;
        size_t offset;

        if (n == 0)
                return 0;
        limit = bytes[0] & 4 ? bytes[0] : UINT64_MAX;
        f = (struct log_filter){ .streams = (bytes[0] & 3) ? bytes[0] & 3 : LOG_ALL,
                                 .timestamps = bytes[0] & 8,
                                 .since_usec = bytes[0] & 16 ? 1714979289 * USEC_PER_SEC : 0,
                                 .left = limit };
        if (log_tail_search(s, (size_t)(end - s), &left, &offset))
                assert(offset > 0 && offset <= (size_t)(end - s));
        while (s < end) {
                const char *newline = memchr(s, '\n', (size_t)(end - s));
                const char *next = newline ? newline + 1 : end;
                struct log_record r;

                if (log_line_parse(s, (size_t)(next - s), &r) == 0) {
                        assert(r.content >= s && r.content + r.content_len <= next);
                        assert(r.time_len <= LOG_TIME_MAX);
                        if (log_filter_add(&f, &r, &out) == LOG_FILTER_FULL)
                                break;
                }
                s = next;
        }
        assert(limit == UINT64_MAX || out.len <= limit);
        return 0;
}
