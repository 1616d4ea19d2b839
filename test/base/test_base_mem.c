/* SPDX-License-Identifier: Apache-2.0
 *
 * Heap and arena: alignment, counts, the ceiling, a failing allocator, sizes that overflow, blocks that lie in a file.
 */
#include "base_test.h"
#include "base/base_mem.h"
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static bool is_aligned(const void *p, size_t to) { return (uintptr_t)p % to == 0; }

static void blocks_are_aligned_and_counted(void **state) {
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, 100000};
    base_heap heap;
    base_heap_init(&heap, NULL);
    void *blocks[BASE_COUNT(sizes)];
    size_t least = 0;
    for (size_t i = 0; i < BASE_COUNT(sizes); i++) {
        blocks[i] = base_alloc(&heap, sizes[i]);
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], BASE_ALIGN));
        memset(blocks[i], 0xa5, sizes[i]);
        least += sizes[i];
    }
    assert_int_equal(atomic_load(&heap.allocations), BASE_COUNT(sizes));
    assert_true(atomic_load(&heap.current) >= least);
    size_t most = atomic_load(&heap.current);
    for (size_t i = 0; i < BASE_COUNT(sizes); i++) base_free(&heap, blocks[i]);
    base_free(&heap, NULL);
    assert_int_equal(atomic_load(&heap.current), 0);
    assert_int_equal(atomic_load(&heap.peak), most);
}

static void calloc_zeroes_and_refuses_overflow(void **state) {
    base_heap heap;
    base_heap_init(&heap, NULL);
    char *p = base_alloc(&heap, 1000);
    memset(p, 7, 1000);
    base_free(&heap, p);
    p = base_calloc(&heap, 10, 100);
    assert_non_null(p);
    for (int i = 0; i < 1000; i++) assert_int_equal(p[i], 0);
    base_free(&heap, p);
    assert_null(base_calloc(&heap, SIZE_MAX / 2, 3));
    assert_null(base_alloc(&heap, SIZE_MAX));
    assert_null(base_alloc(&heap, SIZE_MAX - 100));
    assert_null(base_strndup(&heap, "x", SIZE_MAX));
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void realloc_keeps_contents(void **state) {
    base_heap heap;
    base_heap_init(&heap, NULL);
    unsigned char *p = base_realloc(&heap, NULL, 10);
    for (int i = 0; i < 10; i++) p[i] = (unsigned char)i;
    static const size_t sizes[] = {100, 5000, 70, 10, 64};
    for (size_t k = 0; k < BASE_COUNT(sizes); k++) {
        p = base_realloc(&heap, p, sizes[k]);
        assert_non_null(p);
        for (int i = 0; i < 10; i++) assert_int_equal(p[i], i);
        memset(p + 10, 0xee, sizes[k] - 10);
    }
    base_free(&heap, p);
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void the_ceiling_holds(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 4096};
    base_heap heap;
    base_heap_init(&heap, &options);
    assert_null(base_alloc(&heap, 4096)); /* the header counts too */
    assert_int_equal(atomic_load(&heap.current), 0);
    char *p = base_alloc(&heap, 2000);
    assert_non_null(p);
    memset(p, 3, 2000);
    assert_null(base_alloc(&heap, 2100));
    assert_null(base_realloc(&heap, p, 3000)); /* needs both for a moment: stays as it was */
    for (int i = 0; i < 2000; i++) assert_int_equal(p[i], 3);
    base_free(&heap, p);
    p = base_alloc(&heap, 4096 - BASE_ALIGN);
    assert_non_null(p);
    assert_int_equal(atomic_load(&heap.current), 4096);
    assert_int_equal(atomic_load(&heap.peak), 4096);
    base_free(&heap, p);
}

typedef struct failing {
    int left; /* requests that succeed */
    size_t taken, given_back;
} failing;

static void *failing_allocate(void *user, size_t bytes) {
    failing *f = user;
    void *p = NULL;
    if (f->left-- <= 0 || posix_memalign(&p, BASE_ALIGN, bytes) != 0) return NULL;
    f->taken += bytes;
    return p;
}

static void failing_release(void *user, void *p, size_t bytes) {
    ((failing *)user)->given_back += bytes;
    free(p);
}

static base_heap failing_heap(failing *f) {
    nib_runtime_options options = {.size = sizeof options, .allocate = failing_allocate, .release = failing_release, .alloc_user = f};
    base_heap heap;
    base_heap_init(&heap, &options);
    return heap;
}

static void a_failed_request_changes_nothing(void **state) {
    failing f = {.left = 1};
    base_heap heap = failing_heap(&f);
    size_t capacity = 0;
    void *array = NULL;
    assert_true(base_grow(&heap, &array, &capacity, 3, 4));
    assert_true(capacity >= 3);
    memset(array, 9, capacity * 4);
    size_t before = capacity, current = atomic_load(&heap.current);
    void *same = array;
    assert_false(base_grow(&heap, &array, &capacity, 1000, 4));
    assert_false(base_grow(&heap, &array, &capacity, SIZE_MAX, 4));
    assert_ptr_equal(array, same);
    assert_int_equal(capacity, before);
    assert_int_equal(atomic_load(&heap.current), current);
    assert_int_equal(((char *)array)[capacity * 4 - 1], 9);
    base_free(&heap, array);
    assert_int_equal(f.taken, f.given_back); /* release is told the size that was asked for */
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void arenas_align_and_count(void **state) {
    base_heap heap;
    base_arena arena;
    base_heap_init(&heap, NULL);
    base_arena_init(&arena, &heap);
    unsigned char *seen[400];
    size_t sizes[400], total = 0;
    for (size_t i = 0; i < 400; i++) {
        sizes[i] = i % 50 == 49 ? 40000 + i : (i * 37) % 130 + 1;
        seen[i] = base_arena_alloc(&arena, sizes[i]);
        assert_non_null(seen[i]);
        assert_true(is_aligned(seen[i], sizes[i] >= 64 ? 64 : 16));
        memset(seen[i], (int)(i % 251), sizes[i]);
        total += sizes[i];
    }
    for (size_t i = 0; i < 400; i++) /* no block was given twice */
        for (size_t k = 0; k < sizes[i]; k++) assert_int_equal(seen[i][k], i % 251);
    assert_int_equal(arena.bytes, total);
    assert_non_null(base_arena_alloc(&arena, 0));
    assert_null(base_arena_alloc(&arena, SIZE_MAX));
    assert_null(base_arena_calloc(&arena, SIZE_MAX / 4, 8));
    char *text = base_arena_printf(&arena, "%s-%d", "a", 12);
    assert_string_equal(text, "a-12");
    assert_string_equal(base_arena_strndup(&arena, "abcdef", 3), "abc");
    base_arena_free(&arena);
    assert_int_equal(atomic_load(&heap.current), 0);
    base_arena_free(&arena); /* twice is fine */
}

static void arenas_survive_failure(void **state) {
    for (int left = 0; left < 4; left++) {
        failing f = {.left = left};
        base_heap heap = failing_heap(&f);
        base_arena arena;
        base_arena_init(&arena, &heap);
        int got = 0;
        for (int i = 0; i < 6; i++) got += base_arena_alloc(&arena, 30000) != NULL;
        assert_int_equal(got, left);
        base_arena_free(&arena);
        assert_int_equal(f.taken, f.given_back);
    }
}

static void overflow_is_seen(void **state) {
    size_t s;
    int64_t i;
    assert_true(base_mul_size(3, 4, &s) && s == 12);
    assert_false(base_mul_size(SIZE_MAX, 2, &s));
    assert_true(base_add_size(SIZE_MAX - 1, 1, &s) && s == SIZE_MAX);
    assert_false(base_add_size(SIZE_MAX, 1, &s));
    assert_true(base_mul_i64(-3, 4, &i) && i == -12);
    assert_false(base_mul_i64(INT64_MIN, -1, &i));
}

static int files_in(const char *folder) {
    int n = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2; /* "." and ".." */
}

/* Large blocks beyond a size are no memory of the heap's, keep what is written to them, and leave nothing in the folder. */
static void large_blocks_lie_in_a_file(void **state) {
    char folder[] = "/tmp/nib-spill-XXXXXX";
    enum { MB = 1 << 20, BLOCKS = 8 };
    base_heap heap;
    base_arena arena;
    unsigned char *blocks[BLOCKS];
    assert_non_null(mkdtemp(folder));
    base_heap_init(&heap, NULL);
    base_arena_init(&arena, &heap);
    base_arena_spill(&arena, folder, 5 * MB);
    assert_non_null(base_arena_alloc(&arena, 100));
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = base_arena_alloc(&arena, 2 * MB + (size_t)i);
        assert_non_null(blocks[i]);
        assert_true(is_aligned(blocks[i], BASE_ALIGN));
        memset(blocks[i], i + 1, 2 * MB + (size_t)i);
        assert_non_null(base_arena_alloc(&arena, 100)); /* small ones are memory as ever */
    }
    assert_int_equal(files_in(folder), 0);
    assert_true(atomic_load(&heap.current) > 6 * MB && atomic_load(&heap.current) < 7 * MB); /* three of them, until 5 MB were taken */
    for (int i = 0; i < BLOCKS; i++)
        for (int k = 0; k < 2 * MB + i; k += 4095) assert_int_equal(blocks[i][k], i + 1);
    assert_null(base_arena_alloc(&arena, SIZE_MAX));
    base_arena_free(&arena);
    assert_int_equal(atomic_load(&heap.current), 0);
    assert_int_equal(rmdir(folder), 0);

    base_arena_init(&arena, &heap); /* no such folder: memory */
    base_arena_spill(&arena, folder, 0);
    assert_non_null(base_arena_calloc(&arena, 2, MB));
    assert_true(atomic_load(&heap.current) > 2 * MB);
    base_arena_free(&arena);
}

/* A file that cannot grow: memory, and not a block that fails when it is written to. */
static void a_full_disk_leaves_memory(void **state) {
    struct rlimit old, none;
    base_heap heap;
    base_arena arena;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none = old;
    none.rlim_cur = 3 << 20;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    base_heap_init(&heap, NULL);
    base_arena_init(&arena, &heap);
    base_arena_spill(&arena, "/tmp", 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (int i = 0; i < 3; i++) {
        char *block = base_arena_alloc(&arena, 2 << 20);
        if (block) memset(block, 1, 2 << 20);
        assert_non_null(block);
    }
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, before);
    assert_true(atomic_load(&heap.current) > 4 << 20);
    assert_true(atomic_load(&heap.current) < 5 << 20); /* the first is in the file */
    base_arena_free(&arena);
}

/* Whoever is on watch sees the refusals of its own work and heap, and no others. */
static void watches_see_their_own_refusals(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 4096};
    base_heap heap, other;
    base_watch outer, foreign, inner;
    base_heap_init(&heap, &options);
    base_heap_init(&other, &options);
    assert_null(base_alloc(&heap, 5000)); /* before: nobody's */
    base_watch_begin(&outer, &heap);
    base_watch_begin(&foreign, &other);
    assert_false(base_watch_refused(&outer));
    assert_null(base_alloc(&other, 5000));
    assert_true(base_watch_refused(&foreign));
    assert_false(base_watch_refused(&outer));
    base_watch_end(&foreign);
    base_watch_begin(&inner, &heap);
    assert_null(base_calloc(&heap, 50, 100));
    assert_true(base_watch_refused(&inner));
    base_watch_end(&inner);
    assert_true(base_watch_refused(&outer)); /* what is in a piece of work is its own, too */
    base_watch_begin(&inner, &heap);
    assert_false(base_watch_refused(&inner));
    base_watch_end(&inner);
    base_watch_end(&outer);
    assert_null(base_watch_swap(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_counted),   cmocka_unit_test(calloc_zeroes_and_refuses_overflow),
        cmocka_unit_test(realloc_keeps_contents),           cmocka_unit_test(the_ceiling_holds),
        cmocka_unit_test(a_failed_request_changes_nothing), cmocka_unit_test(arenas_align_and_count),
        cmocka_unit_test(arenas_survive_failure),           cmocka_unit_test(overflow_is_seen),
        cmocka_unit_test(large_blocks_lie_in_a_file),       cmocka_unit_test(a_full_disk_leaves_memory),
        cmocka_unit_test(watches_see_their_own_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
