/* list.h: intrusive doubly linked list with a sentinel; all operations are constant time. */
#ifndef ENGINE_BASE_LIST_H
#define ENGINE_BASE_LIST_H

#include "engine/base/base.h"

struct list {
    struct list *prev, *next; /* never NULL once initialised; both self when empty or detached */
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_push_tail(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}

static inline void list_push_head(struct list *head, struct list *item)
{
    list_push_tail(head->next, item);
}

/* list_remove detaches the item; harmless on one that is detached already. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

static inline struct list *list_head(struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

static inline struct list *list_pop(struct list *head)
{
    struct list *item = list_head(head);
    if (item)
        list_remove(item);
    return item;
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_for_each(it, head)       for (struct list *it = (head)->next; it != (head); it = it->next)
#define list_for_each_safe(it, head)                                          \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)

#endif
