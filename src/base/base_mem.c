/* SPDX-License-Identifier: Apache-2.0
 *
 * Heap: each block carries its size in a header of BASE_ALIGN bytes in front of it, so that freeing can count.
 *
 *     | size ........ | block (aligned to 64) ... |
 *
 * Arena: blocks of growing size, newest first; large ones on their own, in memory or in the file of base_spill.
 */
#include "base_mem.h"
#include "base_number.h"
#include "base_cpu.h"
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE (2u << 20)

/* Large blocks ask for large pages. */
static void *libc_allocate(void *user, size_t bytes) {
    void *p = NULL;
    bool large = bytes >= HUGE_PAGE;
    if (posix_memalign(&p, large ? HUGE_PAGE : BASE_ALIGN, bytes) != 0) return NULL;
#if defined(MADV_HUGEPAGE)
    if (large) madvise(p, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return p;
}
static void libc_release(void *user, void *p, size_t bytes) { free(p); }

static int within(int wanted, int otherwise, int most) { return wanted <= 0 ? otherwise : wanted < most ? wanted : most; }

static void take_limits(nib_limits *to, const nib_limits *wanted) {
    nib_limits none = {0}, l = wanted ? *wanted : none;
    to->size = sizeof *to;
    to->graph_depth = within(l.graph_depth, 32, 100);
    to->wire_nesting = within(l.wire_nesting, 100, 200);
    to->json_depth = within(l.json_depth, 64, 1000);
    to->files = within(l.files, 4096, INT_MAX);
    to->fold_bytes = l.fold_bytes ? l.fold_bytes : (size_t)64 << 20;
    to->expand_bytes = l.expand_bytes ? l.expand_bytes : (size_t)64 << 20;
}

void base_heap_init(base_heap *heap, const nib_runtime_options *options) {
    memset(heap, 0, sizeof *heap);
    take_limits(&heap->limits, options ? options->limits : NULL);
    heap->allocate = libc_allocate;
    heap->release = libc_release;
    if (options) {
        heap->limit = options->memory_limit == NIB_MEMORY_AUTO ? base_cpu_memory() : options->memory_limit;
        if (options->allocate && options->release) {
            heap->allocate = options->allocate;
            heap->release = options->release;
            heap->user = options->alloc_user;
        }
    }
}

/* Reserves `bytes` under the ceiling before they are taken. */
static bool reserve(base_heap *heap, size_t bytes) {
    size_t now = atomic_load_explicit(&heap->current, memory_order_relaxed), next;
    do {
        if (bytes > SIZE_MAX - now) return false;
        next = now + bytes;
        if (heap->limit && next > heap->limit) return false;
    } while (!atomic_compare_exchange_weak(&heap->current, &now, next));
    size_t peak = atomic_load_explicit(&heap->peak, memory_order_relaxed);
    while (peak < next && !atomic_compare_exchange_weak(&heap->peak, &peak, next)) {
    }
    return true;
}

static _Thread_local base_watch *watch;

base_watch *base_watch_swap(base_watch *w) {
    base_watch *before = watch;
    watch = w;
    return before;
}

void base_watch_begin(base_watch *w, const base_heap *heap) {
    w->heap = heap;
    atomic_init(&w->failures, 0);
    w->outer = base_watch_swap(w);
}

void base_watch_end(base_watch *w) { base_watch_swap(w->outer); }

bool base_watch_refused(const base_watch *w) { return atomic_load((_Atomic uint64_t *)(uintptr_t)&w->failures) > 0; }

static void count_refusal(const base_heap *heap) {
    for (base_watch *w = watch; w; w = w->outer)
        if (w->heap == heap) atomic_fetch_add_explicit(&w->failures, 1, memory_order_relaxed);
}

void *base_alloc(base_heap *heap, size_t bytes) {
    if (bytes > SIZE_MAX - BASE_ALIGN * 2) return NULL;
    size_t total = (bytes + BASE_ALIGN - 1) / BASE_ALIGN * BASE_ALIGN + BASE_ALIGN;
    bool granted = reserve(heap, total);
    char *block = granted ? heap->allocate(heap->user, total) : NULL;
    if (!block) {
        if (granted) atomic_fetch_sub(&heap->current, total);
        count_refusal(heap);
        atomic_store_explicit(&heap->refused, total, memory_order_relaxed);
        atomic_store_explicit(&heap->refused_at, atomic_load_explicit(&heap->current, memory_order_relaxed), memory_order_relaxed);
        return NULL;
    }
    atomic_fetch_add_explicit(&heap->allocations, 1, memory_order_relaxed);
    memcpy(block, &total, sizeof total);
    return block + BASE_ALIGN;
}

void *base_calloc(base_heap *heap, size_t count, size_t size) {
    size_t bytes;
    if (!base_mul_size(count, size, &bytes)) return NULL;
    void *p = base_alloc(heap, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

static size_t block_total(const void *block) {
    size_t total;
    memcpy(&total, (const char *)block - BASE_ALIGN, sizeof total);
    return total;
}

void *base_realloc(base_heap *heap, void *block, size_t bytes) {
    if (!block) return base_alloc(heap, bytes);
    size_t old = block_total(block) - BASE_ALIGN;
    if (bytes <= old && bytes > old / 2) return block;
    void *p = base_alloc(heap, bytes);
    if (!p) return NULL;
    memcpy(p, block, old < bytes ? old : bytes);
    base_free(heap, block);
    return p;
}

void base_free(base_heap *heap, void *block) {
    if (!block) return;
    size_t total = block_total(block);
    heap->release(heap->user, (char *)block - BASE_ALIGN, total);
    atomic_fetch_sub(&heap->current, total);
}

char *base_strndup(base_heap *heap, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *p = base_alloc(heap, length + 1);
    if (!p) return NULL;
    if (length) memcpy(p, text, length);
    p[length] = 0;
    return p;
}

bool base_grow(base_heap *heap, void **array, size_t *capacity, size_t need, size_t element) {
    if (need <= *capacity) return true;
    size_t want = *capacity ? *capacity : 8, bytes;
    while (want < need) {
        if (want > SIZE_MAX / 2) return false;
        want *= 2;
    }
    if (!base_mul_size(want, element, &bytes)) return false;
    void *p = base_realloc(heap, *array, bytes);
    if (!p) return false;
    *array = p;
    *capacity = want;
    return true;
}

struct base_arena_block {
    struct base_arena_block *next;
    size_t used, size; /* of the bytes that follow, counted from the struct's begin */
    bool spilled;
};

#define ARENA_FIRST 16384
#define ARENA_MOST (4u << 20)

void base_arena_init(base_arena *arena, base_heap *heap) { *arena = (base_arena){.heap = heap}; }

void base_arena_spill(base_arena *arena, const char *folder, size_t in_memory) {
    base_spill_close(&arena->spill);
    base_spill_open(&arena->spill, folder);
    arena->in_memory = in_memory;
}

void base_arena_free(base_arena *arena) {
    struct base_arena_block *b = arena->blocks;
    while (b) {
        struct base_arena_block *next = b->next;
        if (b->spilled) base_spill_unmap(b, b->size);
        else base_free(arena->heap, b);
        b = next;
    }
    base_spill_close(&arena->spill);
    base_arena_init(arena, arena->heap);
}

/* A block of `size` bytes, its header among them; `large`: for one piece alone. */
static struct base_arena_block *new_block(base_arena *arena, size_t size, bool large) {
    struct base_arena_block *b = NULL;
    if (large && size > BASE_SPILL_LEAST && arena->bytes >= arena->in_memory) b = base_spill_map(&arena->spill, size);
    bool spilled = b != NULL;
    if (!b && !(b = base_alloc(arena->heap, size))) return NULL;
    b->size = size;
    b->used = BASE_ALIGN;
    b->spilled = spilled;
    return b;
}

void *base_arena_alloc(base_arena *arena, size_t bytes) {
    size_t align = bytes >= BASE_ALIGN ? BASE_ALIGN : 16;
    if (bytes > SIZE_MAX / 2) return NULL;
    if (bytes == 0) bytes = 1;
    struct base_arena_block *b = arena->blocks;
    size_t at = b ? (b->used + align - 1) / align * align : 0;
    if (!b || at > b->size || b->size - at < bytes) {
        size_t grow = b ? b->size * 2 : ARENA_FIRST;
        if (grow > ARENA_MOST) grow = ARENA_MOST;
        bool large = bytes > grow / 4;
        struct base_arena_block *fresh = new_block(arena, large ? bytes + BASE_ALIGN : grow, large);
        if (!fresh) return NULL;
        if (b && large) { /* keep filling the current one */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            arena->blocks = fresh;
        }
        b = fresh;
        at = b->used;
    }
    b->used = at + bytes;
    arena->bytes += bytes;
    return (char *)b + at;
}

void *base_arena_calloc(base_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (!base_mul_size(count, size, &bytes)) return NULL;
    void *p = base_arena_alloc(arena, bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

char *base_arena_strndup(base_arena *arena, const char *text, size_t length) {
    if (length == SIZE_MAX) return NULL;
    char *p = base_arena_alloc(arena, length + 1);
    if (!p) return NULL;
    if (length) memcpy(p, text, length);
    p[length] = 0;
    return p;
}

char *base_arena_printf(base_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = base_vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = n < 0 ? NULL : base_arena_alloc(arena, (size_t)n + 1);
    if (p) base_vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

bool base_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
bool base_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
bool base_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
