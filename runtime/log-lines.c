#include "runtime/log-lines.h"

#include <string.h>

size_t log_lines_next(const char *data, size_t n, bool at_end, struct log_piece *ret)
{
        /* a newline behind exactly LOG_PIECE_MAX bytes still makes a whole line */
        size_t look = n > LOG_PIECE_MAX + 1 ? LOG_PIECE_MAX + 1 : n;
        const char *newline = memchr(data, '\n', look);

        if (newline) {
                *ret = (struct log_piece){ data, (size_t)(newline - data), false };
                return ret->len + 1;
        }
        if (n > LOG_PIECE_MAX) {
                *ret = (struct log_piece){ data, LOG_PIECE_MAX, true };
                return LOG_PIECE_MAX;
        }
        if (n > 0 && at_end) {
                *ret = (struct log_piece){ data, n, true };
                return n;
        }
        return 0;
}
