/*
 * Owning locals: an owner is tagged where it is declared and gives up what it owns by a visible
 * TAKE_PTR() or TAKE_FD(). Every file may include this one.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ARRAY_SIZE(a)         (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, t, m) ((t *)((char *)(p)-offsetof(t, m)))
#define MAX(a, b)             ((a) > (b) ? (a) : (b))
#define MIN(a, b)             ((a) < (b) ? (a) : (b))
#define _printf_(a, b)        __attribute__((format(printf, a, b)))
#define _unused_              __attribute__((unused))
#define _cleanup_(f)          __attribute__((cleanup(f)))
#define _cleanup_free_        _cleanup_(cleanup_free)
#define _cleanup_close_       _cleanup_(cleanup_close)
#define _cleanup_fclose_      _cleanup_(cleanup_fclose)

#define TAKE_PTR(p)                         \
        ({                                  \
                __typeof__(p) _taken = (p); \
                (p) = NULL;                 \
                _taken;                     \
        })
/* The same for a struct by value: what stays behind is all zero. */
#define TAKE_VALUE(v)                       \
        ({                                  \
                __typeof__(v) _taken = (v); \
                (v) = (__typeof__(v)){ 0 }; \
                _taken;                     \
        })
#define TAKE_FD(fd)                \
        ({                         \
                int _taken = (fd); \
                (fd) = -1;         \
                _taken;            \
        })

/* Defines `name`p() for _cleanup_(): calls `name` on the pointer, which must accept NULL. */
#define DEFINE_CLEANUP(type, name)                   \
        static inline _unused_ void name##p(type *p) \
        {                                            \
                if (*p)                              \
                        name(*p);                    \
        }

static inline void cleanup_free(void *p)
{
        free(*(void **)p);
}

/* Closes and forgets; always returns -1, so that `fd = safe_close(fd)` reads well. Keeps errno. */
int safe_close(int fd);

static inline void cleanup_close(const int *fd)
{
        safe_close(*fd);
}

static inline void cleanup_fclose(FILE **f)
{
        if (*f)
                fclose(*f);
}
