/* SPDX-License-Identifier: Apache-2.0
 *
 * In: items with sizes and lifetimes. Out: offsets. Up to FEW items: largest first, each at the lowest place where it overlaps no item
 * that is alive at the same time, within a few percent of the best for the chains that transformers are. More: in order of time, each in
 * a place that is free by then, so that a file of a million nodes costs no more than a million steps.
 */
#include "plan.h"
#include "base/base_sort.h"

#define FEW 1024
#define LOOK 64 /* free places that are looked at for an item */

static size_t place_few(plan_item *items, int n) {
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        int k = i; /* insertion into items[0..i).order, by size, stable */
        for (; k > 0 && items[items[k - 1].order].size < items[i].size; k--) items[k].order = items[k - 1].order;
        items[k].order = i;
    }
    for (int i = 0; i < n; i++) {
        plan_item *x = &items[items[i].order];
        size_t at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int k = 0; k < i; k++) {
                const plan_item *y = &items[items[k].order];
                bool alive = x->first <= y->last && y->first <= x->last;
                if (!alive || at >= y->offset + y->size || y->offset >= at + x->size) continue;
                at = y->offset + y->size;
                moved = true;
            }
        }
        x->offset = at;
        if (at > SIZE_MAX - x->size) return SIZE_MAX;
        if (at + x->size > total) total = at + x->size;
    }
    return total;
}

static int by_time(const void *a, const void *b) {
    const plan_item *x = a, *y = b;
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first) : (x->id > y->id) - (x->id < y->id);
}

/* A heap of items by the end of their lives: its numbers lie in items[0 .. alive).order. */
static bool ends_before(const plan_item *items, int a, int b) { return items[items[a].order].last < items[items[b].order].last; }

static void exchange(plan_item *items, int a, int b) {
    int x = items[a].order;
    items[a].order = items[b].order;
    items[b].order = x;
}

static void begin_life(plan_item *items, int alive, int i) {
    items[alive].order = i;
    for (int k = alive; k > 0 && ends_before(items, k, (k - 1) / 2); k = (k - 1) / 2) exchange(items, k, (k - 1) / 2);
}

static int end_life(plan_item *items, int alive) { /* the item that ends first */
    int ended = items[0].order;
    items[0].order = items[--alive].order;
    for (int k = 0, child; (child = 2 * k + 1) < alive; k = child) {
        if (child + 1 < alive && ends_before(items, child + 1, child)) child++;
        if (!ends_before(items, child, k)) break;
        exchange(items, child, k);
    }
    return ended;
}

/* Takes the tightest of the next free places that hold `size` and are not twice as large; -1 if there is none. */
static int take_free(plan_item *items, int *head, size_t size) {
    int best = -1, before_best = -1;
    for (int i = *head, before = -1, k = 0; i >= 0 && k < LOOK; before = i, i = items[i].next, k++)
        if (items[i].size >= size && items[i].size / 2 <= size && (best < 0 || items[i].size < items[best].size))
            best = i, before_best = before;
    if (best >= 0 && before_best >= 0) items[before_best].next = items[best].next;
    else if (best >= 0) *head = items[best].next;
    return best;
}

static size_t place_many(plan_item *items, int n) {
    size_t total = 0;
    int alive = 0, head = -1;
    base_sort(items, (size_t)n, sizeof *items, by_time);
    for (int i = 0; i < n; i++) {
        for (; alive > 0 && items[items[0].order].last < items[i].first; alive--) {
            int ended = end_life(items, alive);
            if (items[ended].size == 0) continue;
            items[ended].next = head;
            head = ended;
        }
        int place = items[i].size ? take_free(items, &head, items[i].size) : -1;
        if (place >= 0) items[i].size = items[place].size;
        items[i].offset = place >= 0 ? items[place].offset : total;
        if (place < 0 && total > SIZE_MAX - items[i].size) return SIZE_MAX;
        if (place < 0) total += items[i].size;
        begin_life(items, alive++, i);
    }
    return total;
}

size_t plan_memory_place(plan_item *items, int n) {
    for (int i = 0; i < n; i++) {
        if (items[i].size > SIZE_MAX - 63) return SIZE_MAX;
        items[i].size = (items[i].size + 63) / 64 * 64;
    }
    return n <= FEW ? place_few(items, n) : place_many(items, n);
}
