/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine can do at most, measured in about 100 ms. In: the kernels. Out: operations a second in each kind of Linear, and bytes a
 * second from cache and from memory, all threads together, each working at the same time.
 *
 * The peak is that of the best kernel's own tile on one panel in L1, at two depths: their difference is multiply-adds alone, without the
 * call and the store. The best of many short runs is taken: others on the machine only ever make it slower.
 */
#include "cpu.h"
#include <string.h>

#define SECONDS 0.018 /* of one measurement */
#define CHUNK 3e-5    /* of one timed run: the clock's grain does not matter */
#define PATIENCE 0.02
#define SHALLOW 32
#define DEEP 128 /* a tile of 32 rows and one of 32 columns, four bytes a step, are 32 KiB: L1 */
#define MEMORY_LEAST ((size_t)64 << 20)
#define MEMORY_MOST ((size_t)256 << 20)

typedef struct speed_job {
    base_heap *heap;
    const kernels *k;
    int threads;
    _Atomic int here; /* members that have come */
    uint64_t *memory; /* shared: each member reads its part */
    size_t memory_bytes, cache_bytes;
    _Atomic int status;
    plan_speed *members; /* [threads] */
} speed_job;

typedef struct tile {
    const kernel_linear *kernel;
    kernel_linear_args args;
    void *memory;
} tile;

static int group_of(const kernel_linear *k) { return kernel_input_formats[k->input].multiple; }

/* | packed | weight, then x | params, bias | y | */
static bool tile_create(base_heap *heap, const kernel_linear *k, int64_t depth, tile *out) {
    int64_t M = k->tile_m, N = k->tile_n, K = depth * group_of(k);
    size_t packed = (k->packed_bytes(N, K) + 63) / 64 * 64, plane = (size_t)((M > N ? M : N) * K) * sizeof(float) + 64;
    size_t params = (size_t)(2 * M + N + 32) * sizeof(float), y = (size_t)(M * N) * sizeof(float) + 64;
    params = (params + 63) / 64 * 64;
    plane = (plane + 63) / 64 * 64;
    char *at = base_alloc(heap, packed + plane + params + y);
    *out = (tile){.kernel = k, .memory = at};
    if (!at) return false;
    memset(at, 0, packed + plane + params + y);
    float *w = (float *)(void *)(at + packed), *p = (float *)(void *)(at + packed + plane);
    for (int64_t i = 0; i < N * K; i++) w[i] = 0.01f * (float)(i % 7);
    k->pack(&(kernel_weight){w, 1, K, N, K, NULL}, 0, N, at);
    memset(w, 0, plane); /* rows of zeros in every type: as fast as any */
    for (int64_t m = 0; m < M; m++) p[2 * m] = 1.0f;
    out->args = (kernel_linear_args){.x = w,
                                     .x_stride = K,
                                     .w = at,
                                     .y = (float *)(void *)(at + packed + plane + params),
                                     .y_stride = N,
                                     .M = M,
                                     .N = N,
                                     .K = K,
                                     .x16 = (const uint16_t *)(const void *)w,
                                     .x8 = (const uint8_t *)(const void *)w,
                                     .x_params = p,
                                     .x_params_stride = 2};
    return true;
}

static double time_tile(const tile *t, int64_t runs) {
    double begun = base_clock();
    for (int64_t i = 0; i < runs; i++) t->kernel->run(&t->args, 0, t->args.M, 0, t->args.N);
    return (base_clock() - begun) / (double)runs;
}

static bool measure_linear(base_heap *heap, const kernel_linear *k, double *out) {
    tile shallow = {0}, deep = {0};
    bool ok = tile_create(heap, k, SHALLOW, &shallow) && tile_create(heap, k, DEEP, &deep);
    if (ok) {
        double once = time_tile(&deep, 8), low[2] = {1e9, 1e9};
        int64_t runs = once > 0 && CHUNK / once > 1 ? (int64_t)(CHUNK / once) : 1;
        for (double end = base_clock() + SECONDS; base_clock() < end;) {
            double a = time_tile(&shallow, runs), b = time_tile(&deep, runs);
            if (a < low[0]) low[0] = a;
            if (b < low[1]) low[1] = b;
        }
        double work = 2.0 * k->tile_m * k->tile_n * group_of(k), difference = low[1] - low[0];
        /* where calls and stores are nothing beside the work (plain C), the deep run itself is the better figure */
        *out = difference > 0 ? work * (DEEP - SHALLOW) / difference : work * DEEP / low[1];
    }
    base_free(heap, shallow.memory);
    base_free(heap, deep.memory);
    return ok;
}

typedef uint64_t wide __attribute__((vector_size(16))); /* a register of any CPU that nib runs on */

/* Four chains; no instruction set reads much faster from L2 or memory. x is 64-aligned, n a multiple of 4. */
static uint64_t read_all(const void *x, size_t n) {
    const wide *at = x, *end = at + n;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    for (; at < end; at += 4) {
        a ^= at[0];
        b ^= at[1];
        c ^= at[2];
        d ^= at[3];
    }
    a ^= b ^ c ^ d;
    return a[0] ^ a[1];
}

static double measure_read(const void *x, size_t bytes) {
    volatile uint64_t sink = 0;
    double low = 1e9;
    size_t runs = bytes > (8u << 20) ? 1 : (8u << 20) / (bytes + 1) + 1;
    if (bytes < 4096) return 0;
    for (double end = base_clock() + SECONDS; base_clock() < end;) {
        double begun = base_clock();
        for (size_t i = 0; i < runs; i++) sink = sink ^ read_all(x, bytes / sizeof(wide) / 4 * 4);
        double t = (base_clock() - begun) / (double)runs;
        if (t < low) low = t;
    }
    return (double)bytes / low;
}

/* Waits for the others, so that all measure at once; a pool that is busy elsewhere is not waited for long. */
static void meet(speed_job *j) {
    atomic_fetch_add(&j->here, 1);
    for (double end = base_clock() + PATIENCE; atomic_load(&j->here) < j->threads && base_clock() < end;) {
    }
}

static void measure_member(void *arg, size_t member, int slot) {
    speed_job *j = arg;
    plan_speed *s = &j->members[member];
    meet(j);
    for (int i = 0; i < KERNEL_WEIGHTS; i++) {
        const kernel_linear *k = kernel_linear_find(j->k, KERNEL_INPUTS, (kernel_weight_format)i, NULL);
        if (kernel_weight_formats[i].sums) continue;
        double rate = 0;
        if (!measure_linear(j->heap, k, &rate)) atomic_store(&j->status, NIB_OUT_OF_MEMORY);
        /* Weights in fewer bits may be computed on f32 rows: then they are f32's business. Of those on one kind of rows the fastest
         * counts. */
        if ((i == KERNEL_WEIGHT_F32 || k->input != KERNEL_INPUT_F32) && rate > s->operations[k->input]) s->operations[k->input] = rate;
    }
    uint64_t *cache = base_calloc(j->heap, 1, j->cache_bytes);
    if (cache) s->cache_bytes = measure_read(cache, j->cache_bytes);
    else atomic_store(&j->status, NIB_OUT_OF_MEMORY);
    base_free(j->heap, cache);
    size_t part = j->memory_bytes / (size_t)j->threads / 4096 * 4096;
    if (j->memory) s->memory_bytes = measure_read(j->memory + part / sizeof *j->memory * member, part);
}

nib_status cpu_measure(nib_runtime *rt, const kernels *k, int threads, plan_speed *out, nib_error *err) {
    nib_status status = NIB_OK;
    base_caches caches = base_cpu_caches();
    speed_job j = {.heap = &rt->heap, .k = k, .threads = threads, .cache_bytes = caches.l2 / 2 / 4096 * 4096};
    *out = (plan_speed){0};
    if (j.cache_bytes < 65536) j.cache_bytes = 65536;
    j.memory_bytes = 2 * caches.l3 > MEMORY_MOST ? MEMORY_MOST : 2 * caches.l3 < MEMORY_LEAST ? MEMORY_LEAST : 2 * caches.l3;
    j.members = base_calloc(&rt->heap, (size_t)threads, sizeof *j.members);
    if (!j.members) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for measuring");
    j.memory = base_alloc(&rt->heap, j.memory_bytes); /* without it (a low ceiling) reading from memory stays unmeasured */
    if (j.memory) memset(j.memory, 0, j.memory_bytes);
    base_pool_run(rt->pool, (size_t)threads, measure_member, &j);
    if (atomic_load(&j.status) != NIB_OK) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for measuring");
    for (int i = 0; i < threads; i++) {
        const plan_speed *s = &j.members[i];
        for (int kind = 0; kind < 3; kind++) out->operations[kind] += s->operations[kind];
        out->cache_bytes += s->cache_bytes;
        out->memory_bytes += s->memory_bytes;
    }
    out->cache_size = caches.l3;
fail:
    base_free(&rt->heap, j.memory);
    base_free(&rt->heap, j.members);
    return status;
}
