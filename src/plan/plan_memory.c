/* SPDX-License-Identifier: Apache-2.0
 *
 * In: items with sizes and lifetimes. Out: offsets. Largest first, each at the lowest place where it overlaps no item that is
 * alive at the same time: within a few percent of the best for the chains that transformers are.
 */
#include "plan.h"

size_t plan_memory_place(plan_item *items, int n) {
    size_t total = 0;
    for (int i = 0; i < n; i++) {
        if (items[i].size > SIZE_MAX - 63) return SIZE_MAX;
        items[i].size = (items[i].size + 63) / 64 * 64;
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
