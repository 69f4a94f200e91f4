#include "cli/archive.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

enum { BLOCK = 512, NAME_MAX_BYTES = 99 };

struct archive {
        gzFile gz; /* owns the descriptor */
        int r;     /* the first failure */
};

int archive_new(int fd, struct archive **ret)
{
        struct archive *a = calloc(1, sizeof *a);

        if (a)
                a->gz = gzdopen(fd, "wb");
        if (!a || !a->gz) {
                safe_close(fd);
                free(a);
                return -ENOMEM;
        }
        *ret = a;
        return 0;
}

static void put(struct archive *a, const void *data, size_t n)
{
        if (a->r == 0 && n > 0 && gzwrite(a->gz, data, (unsigned)n) != (int)n)
                a->r = -EIO;
}

void archive_add(struct archive *a, const char *name, const void *data, size_t n)
{
        static const char zeros[BLOCK];
        unsigned char header[BLOCK] = { 0 };
        unsigned sum = 0;

        if (strlen(name) > NAME_MAX_BYTES || n >= UINT32_MAX) {
                a->r = a->r ? a->r : -ENAMETOOLONG;
                return;
        }
        snprintf((char *)header, NAME_MAX_BYTES + 1, "%s", name);
        snprintf((char *)header + 100, 8, "%07o", 0600);
        snprintf((char *)header + 108, 8, "%07o", 0);
        snprintf((char *)header + 116, 8, "%07o", 0);
        snprintf((char *)header + 124, 12, "%011lo", (unsigned long)n);
        snprintf((char *)header + 136, 12, "%011lo", (unsigned long)time(NULL));
        memset(header + 148, ' ', 8);
        header[156] = '0';
        snprintf((char *)header + 257, 6, "ustar");
        header[263] = header[264] = '0';
        for (size_t i = 0; i < BLOCK; i++)
                sum += header[i];
        snprintf((char *)header + 148, 8, "%06o", sum);
        put(a, header, sizeof header);
        put(a, data, n);
        if (n % BLOCK)
                put(a, zeros, BLOCK - n % BLOCK);
}

int archive_end(struct archive *a)
{
        static const char zeros[2 * BLOCK];
        int r;

        put(a, zeros, sizeof zeros);
        r = a->r;
        if (gzclose(a->gz) != Z_OK && r == 0)
                r = -EIO;
        free(a);
        return r;
}
