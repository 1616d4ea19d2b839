/* SPDX-License-Identifier: Apache-2.0
 *
 * C's qsort and bsearch, but an empty array may be NULL: C11 7.22.5 forbids that even for 0 elements, and an array that grows when its
 * first element comes is NULL until then.
 */
#ifndef BASE_SORT_H
#define BASE_SORT_H

#include <stdint.h>
#include <stdlib.h>

typedef int (*base_compare)(const void *a, const void *b);

static inline void base_sort(void *items, size_t count, size_t size, base_compare compare) {
    if (count > 1) qsort(items, count, size, compare);
}

static inline void *base_find(const void *key, const void *items, size_t count, size_t size, base_compare compare) {
    return count ? (void *)(uintptr_t)bsearch(key, items, count, size, compare) : NULL; /* C23's is as const as items */
}

#endif
