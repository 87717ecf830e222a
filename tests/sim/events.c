#include "tests/sim/events.h"

#include <stdlib.h>

static bool before(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
    struct event t = *a;
    *a = *b;
    *b = t;
}

void events_push(struct events *q, struct event event)
{
    if (q->count == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 256;
        q->heap = realloc(q->heap, q->capacity * sizeof(*q->heap));
        if (!q->heap)
            abort();
    }
    event.order = q->pushed++;
    uint32_t i = q->count++;
    q->heap[i] = event;
    for (; i > 0 && before(&q->heap[i], &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&q->heap[i], &q->heap[(i - 1) / 2]);
}

bool events_pop(struct events *q, struct event *event)
{
    if (q->count == 0)
        return false;
    *event = q->heap[0];
    q->heap[0] = q->heap[--q->count];
    for (uint32_t i = 0;;) {
        uint32_t least = i, left = 2 * i + 1;
        if (left < q->count && before(&q->heap[left], &q->heap[least]))
            least = left;
        if (left + 1 < q->count && before(&q->heap[left + 1], &q->heap[least]))
            least = left + 1;
        if (least == i)
            return true;
        swap(&q->heap[i], &q->heap[least]);
        i = least;
    }
}

void events_free(struct events *q)
{
    free(q->heap);
    *q = (struct events){0};
}
