/*
 * A container's output cut into lines of the CRI log format:
 *
 *      2006-01-02T15:04:05.000000000Z stdout F a whole line
 *      2006-01-02T15:04:05.000000000Z stderr P the first 16 KiB of a longer one
 *
 * Pure: bytes in, pieces out; what is left over waits for more.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum { LOG_PIECE_MAX = 16384 };

struct log_piece {
        const char *data; /* into what was given */
        size_t len;       /* without the newline */
        bool partial;     /* P: the line goes on, or ended without a newline */
};

/**
 * log_lines_next() - the next piece in front of what was read
 * @data, @n: not yet taken
 * @at_end:   no more will come: what is left is a piece
 * Return: bytes taken (the newline included); 0: wait for more, at most LOG_PIECE_MAX are left.
 */
size_t log_lines_next(const char *data, size_t n, bool at_end, struct log_piece *ret);
