/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory. A heap is the runtime's allocator with a count and a ceiling; every block that nib takes comes from one, so
 * that a limit holds and a test can make the n-th request fail. An arena is a list of blocks freed all at once: graphs
 * and everything else that lives as long as its owner are built in one.
 *
 * Blocks are aligned to BASE_ALIGN. A request of 0 bytes gives a block. All functions return NULL when memory or the
 * ceiling runs out; callers turn that into NIB_OUT_OF_MEMORY. Heaps may be used by any thread; an arena by one at a time.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base_error.h"
#include "base_spill.h"
#include <stdatomic.h>
#include <stdbool.h>

#define BASE_ALIGN 64

typedef struct base_heap {
    void *(*allocate)(void *user, size_t bytes);
    void (*release)(void *user, void *pointer, size_t bytes);
    void *user;
    size_t limit;      /* 0: none */
    nib_limits limits; /* filled in: what opening may cost, for whoever works in this heap */
    _Atomic size_t current, peak;
    _Atomic uint64_t allocations;
    _Atomic size_t refused, refused_at; /* the last of them: its bytes, and what was held then */
} base_heap;

/* options may be NULL: libc's allocator without a ceiling. */
void base_heap_init(base_heap *heap, const nib_runtime_options *options);

void *base_alloc(base_heap *heap, size_t bytes);
void *base_calloc(base_heap *heap, size_t count, size_t size);  /* zeroed; NULL if count * size overflows */
void *base_realloc(base_heap *heap, void *block, size_t bytes); /* block may be NULL; on failure it stays as it was */
void base_free(base_heap *heap, void *block);                   /* NULL is accepted */
char *base_strndup(base_heap *heap, const char *text, size_t length);

/* Grows an array to at least `need` elements (doubling); false when memory runs out, the array stays as it was. */
bool base_grow(base_heap *heap, void **array, size_t *capacity, size_t need, size_t element);

/* A piece of work that must know whether a request of its own was refused, whatever others ask of the same heap meanwhile. It is on
 * watch from begin to end, on the thread that began it and on those that help it (base_pool hands it on). Watches nest, and live on
 * their thread's stack. */
typedef struct base_watch {
    const base_heap *heap;
    _Atomic uint64_t failures; /* requests that were not granted */
    struct base_watch *outer;
} base_watch;
void base_watch_begin(base_watch *watch, const base_heap *heap);
void base_watch_end(base_watch *watch);
bool base_watch_refused(const base_watch *watch); /* whether a request was, so far */
/* Puts `watch` in the place of the calling thread's, which is returned; NULL: none. */
base_watch *base_watch_swap(base_watch *watch);

typedef struct base_arena {
    base_heap *heap;
    struct base_arena_block *blocks;
    size_t bytes; /* taken so far */
    base_spill spill;
    size_t in_memory; /* bytes after which large blocks are spilled */
} base_arena;

void base_arena_init(base_arena *arena, base_heap *heap);
/* From now on blocks of more than BASE_SPILL_LEAST bytes lie in a file without a name in `folder`, once `in_memory` bytes were taken; no
 * ceiling counts them. Where the folder takes no file, or its disk is full, they are memory as before. */
void base_arena_spill(base_arena *arena, const char *folder, size_t in_memory);
#define BASE_SPILL_LEAST ((size_t)1 << 20)
void base_arena_free(base_arena *arena);
void *base_arena_alloc(base_arena *arena, size_t bytes); /* aligned to 16; 64 from 64 bytes on */
void *base_arena_calloc(base_arena *arena, size_t count, size_t size);
char *base_arena_strndup(base_arena *arena, const char *text, size_t length);
char *base_arena_printf(base_arena *arena, const char *format, ...) BASE_PRINTF(2, 3);

/* Overflow-checked sizes: false when a * b or a + b does not fit. */
bool base_mul_size(size_t a, size_t b, size_t *out);
bool base_add_size(size_t a, size_t b, size_t *out);
bool base_mul_i64(int64_t a, int64_t b, int64_t *out);

#endif
