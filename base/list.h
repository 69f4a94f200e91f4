/*
 * An intrusive doubly linked list: the element holds a struct list_node, the owner a struct list.
 * Nothing is allocated. A node that is in no list has next == NULL.
 */
#pragma once
#include "base/cleanup.h"

struct list_node {
        struct list_node *next, *prev;
};

struct list {
        struct list_node head;
};

static inline void list_init(struct list *l)
{
        l->head.next = l->head.prev = &l->head;
}

static inline bool list_is_empty(const struct list *l)
{
        return l->head.next == &l->head;
}

static inline bool list_contains(const struct list_node *n)
{
        return n->next != NULL;
}

static inline void list_append(struct list *l, struct list_node *n)
{
        n->prev = l->head.prev;
        n->next = &l->head;
        n->prev->next = n;
        l->head.prev = n;
}

/* Harmless for a node that is in no list. */
static inline void list_remove(struct list_node *n)
{
        if (!n->next)
                return;
        n->prev->next = n->next;
        n->next->prev = n->prev;
        n->next = n->prev = NULL;
}

static inline struct list_node *list_pop(struct list *l)
{
        struct list_node *n = l->head.next;

        if (n == &l->head)
                return NULL;
        list_remove(n);
        return n;
}

#define LIST_FIRST(l, type, member) \
        (list_is_empty(l) ? NULL : CONTAINER_OF((l)->head.next, type, member))
#define LIST_FOREACH(p, l, member)                                         \
        for ((p) = CONTAINER_OF((l)->head.next, __typeof__(*(p)), member); \
             &(p)->member != &(l)->head;                                   \
             (p) = CONTAINER_OF((p)->member.next, __typeof__(*(p)), member))
/* @p may be removed (and freed) in the body; @n is scratch. */
#define LIST_FOREACH_SAFE(p, n, l, member)                                  \
        for ((p) = CONTAINER_OF((l)->head.next, __typeof__(*(p)), member),  \
            (n) = CONTAINER_OF((p)->member.next, __typeof__(*(p)), member); \
             &(p)->member != &(l)->head;                                    \
             (p) = (n), (n) = CONTAINER_OF((n)->member.next, __typeof__(*(p)), member))
