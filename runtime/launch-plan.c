#include "runtime/launch-plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* In front of each payload. @length is the payload's own; the next record starts 8-aligned. */
struct record_head {
        uint32_t type, length;
};

static size_t padded(size_t n)
{
        return (n + 7) & ~(size_t)7;
}

void plan_writer_done(struct plan_writer *w)
{
        free(w->data);
        *w = (struct plan_writer){ 0 };
}

int plan_begin(struct plan_writer *w)
{
        struct plan_header header = { .magic = PLAN_MAGIC, .version = PLAN_VERSION };

        plan_writer_done(w);
        return plan_add(w, PLAN_HEADER, &header, sizeof header, NULL, 0);
}

static int reserve(struct plan_writer *w, size_t more)
{
        size_t cap = w->cap ? w->cap : 4096;
        uint8_t *grown;

        if (more > PLAN_MAX || w->len > PLAN_MAX - more)
                return -EFBIG;
        while (cap < w->len + more)
                cap *= 2;
        if (cap == w->cap)
                return 0;
        grown = realloc(w->data, cap);
        if (!grown)
                return -ENOMEM;
        w->data = grown;
        w->cap = cap;
        return 0;
}

int plan_add(struct plan_writer *w, enum plan_type type, const void *a, size_t a_len, const void *b,
             size_t b_len)
{
        struct record_head head = { .type = type };
        uint8_t *at;
        size_t n;
        int r;

        if (a_len > PLAN_MAX || b_len > PLAN_MAX)
                return -EFBIG;
        head.length = (uint32_t)(a_len + b_len);
        n = sizeof head + padded(head.length);
        r = reserve(w, n);
        if (r < 0)
                return r;
        at = w->data + w->len;
        memset(at, 0, n);
        memcpy(at, &head, sizeof head);
        if (a_len)
                memcpy(at + sizeof head, a, a_len);
        if (b_len)
                memcpy(at + sizeof head + a_len, b, b_len);
        w->len += n;
        return 0;
}

int plan_add_string(struct plan_writer *w, enum plan_type type, const char *s)
{
        return plan_add(w, type, s, strlen(s) + 1, NULL, 0);
}

int plan_finish(struct plan_writer *w)
{
        struct plan_header header;

        if (w->len < sizeof(struct record_head) + sizeof header)
                return -EINVAL; /* never begun */
        memcpy(&header, w->data + sizeof(struct record_head), sizeof header);
        header.total = w->len;
        memcpy(w->data + sizeof(struct record_head), &header, sizeof header);
        return 0;
}

int plan_open(struct plan_reader *r, const void *data, size_t len)
{
        struct plan_reader reader = { .data = data, .len = len };
        const struct plan_header *header;
        struct plan_record record;

        if (len > PLAN_MAX || (uintptr_t)data % 8 != 0)
                return -EBADMSG;
        if (plan_next(&reader, &record) != 1 || record.type != PLAN_HEADER)
                return -EBADMSG;
        header = plan_struct(&record, sizeof *header);
        if (!header || header->magic != PLAN_MAGIC || header->version != PLAN_VERSION ||
            header->total != len)
                return -EBADMSG;
        *r = reader;
        return 0;
}

int plan_next(struct plan_reader *r, struct plan_record *ret)
{
        size_t left = r->len - r->at;
        struct record_head head;

        if (left == 0)
                return 0;
        if (left < sizeof head)
                return -EBADMSG;
        memcpy(&head, r->data + r->at, sizeof head);
        left -= sizeof head;
        if (head.length > left || padded(head.length) > left)
                return -EBADMSG;
        if (head.type == 0 || head.type >= _PLAN_TYPE_MAX)
                return -EBADMSG;
        /* one header, at the very start */
        if ((head.type == PLAN_HEADER) != (r->at == 0))
                return -EBADMSG;
        *ret = (struct plan_record){
                .type = head.type,
                .payload = r->data + r->at + sizeof head,
                .len = head.length,
        };
        r->at += sizeof head + padded(head.length);
        return 1;
}

const char *plan_string(const struct plan_record *r, size_t *at)
{
        const char *s, *end;

        if (*at >= r->len)
                return NULL;
        s = (const char *)r->payload + *at;
        end = memchr(s, '\0', r->len - *at);
        if (!end)
                return NULL;
        *at += (size_t)(end - s) + 1;
        return s;
}

const void *plan_struct(const struct plan_record *r, size_t size)
{
        return r->len >= size ? r->payload : NULL;
}
