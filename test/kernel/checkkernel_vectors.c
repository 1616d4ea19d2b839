/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors as they are stored and compared: every rung gives the reference's bytes where it rounds, norms are what
 * l2_normalize_f32 divides by, and scores are near the reference's, with the same bits from one rung to the next and
 * whatever other rows are scored along. The reference is held against what its words mean.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

enum { MOST_ROWS = 19, UNTOUCHED = 0xb7 };

static int64_t row_length(void) {
    static const int64_t edges[] = {8, 16, 32, 64, 128, 384};
    if (check_chance(2)) return 0;
    return check_chance(70) ? edges[check_pick(0, (int64_t)BASE_COUNT(edges) - 1)] + check_pick(-2, 2)
                            : check_pick(1, 600);
}

/* Numbers of ordinary size, zeros, halves, subnormals, huge ones, and now and then what is not finite. */
static void fill(float *x, int64_t n) {
    const int way = (int)check_pick(0, 7);
    for (int64_t i = 0; i < n; i++) {
        const float u = check_uniform();
        x[i] = way == 1   ? 0.0f
               : way == 2 ? 0.5f * (float)check_pick(-600, 600)
               : way == 3 ? u * 1e-38f * (check_chance(50) ? 1e-4f : 1e-7f)
               : way == 4 ? u * 3.4e38f
               : way == 5 ? u * 1e-7f
                          : u;
    }
    if (way >= 6 && n > 0 && check_chance(40)) x[check_pick(0, n - 1)] = way == 6 ? NAN : -INFINITY;
}

typedef struct rows {
    int64_t n, columns, stride;
    float *x;
    float *divisor; /* NULL: none */
} rows;

static rows some_rows(void) {
    rows r = {.n = check_pick(1, MOST_ROWS), .columns = row_length()};
    r.stride = r.columns + check_pick(0, 3);
    r.x = check_floats((size_t)((r.n - 1) * r.stride + r.columns));
    for (int64_t i = 0; i < r.n; i++) fill(r.x + i * r.stride, r.columns);
    r.divisor = check_chance(60) ? check_floats((size_t)r.n) : NULL;
    for (int64_t i = 0; r.divisor && i < r.n; i++) r.divisor[i] = fabsf(check_uniform()) * 4.0f + 1e-12f;
    return r;
}

/* got and want: n rows of `bytes`, `stride` bytes apart. */
static void same_bytes(const uint8_t *got, const uint8_t *want, int64_t n, int64_t bytes, int64_t stride) {
    for (int64_t r = 0; r < n; r++) {
        if (bytes && memcmp(got + r * stride, want + r * stride, (size_t)bytes) != 0) {
            check_fail("row %d has other bytes", (int)r);
            return;
        }
        for (int64_t i = bytes; i < stride && r + 1 < n; i++)
            if (got[r * stride + i] != UNTOUCHED) check_fail("wrote into the gap after row %d", (int)r);
    }
}

static float divided(const rows *r, int64_t i, int64_t j) {
    const float v = r->x[i * r->stride + j];
    return r->divisor ? v / r->divisor[i] : v;
}

static void one_norms(const check_task *task) {
    const rows r = some_rows();
    const check_task divides = check_find("l2_normalize_f32");
    const float *before = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_l2_norms_f32 *f = (kernel_fn_l2_norms_f32 *)task->entry[i]->function;
        kernel_fn_l2_normalize_f32 *by = (kernel_fn_l2_normalize_f32 *)divides.entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)r.n, (int)r.columns);
        float *norms = check_floats((size_t)r.n), *unit = check_floats((size_t)(r.n * r.columns));
        float *want = check_floats((size_t)(r.n * r.columns));
        CHECK_CALL(f(r.x, r.stride, r.n, r.columns, norms));
        by(r.x, r.stride, r.n, r.columns, want, r.columns);
        for (int64_t k = 0; k < r.n; k++)
            for (int64_t j = 0; j < r.columns; j++) unit[k * r.columns + j] = r.x[k * r.stride + j] / norms[k];
        if (i > 0) check_same(unit, r.columns, want, r.columns, r.n, r.columns, "divided by l2_normalize_f32");
        if (i > 1) check_same(norms, 1, before, 1, r.n, 1, "on the rung below");
        before = norms;
    }
    check_release();
}

static void one_f16(const check_task *task) {
    const rows r = some_rows();
    const int64_t stride = r.columns + check_pick(0, 3);
    const uint16_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_round_rows_f16 *f = (kernel_fn_round_rows_f16 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)r.n, (int)r.columns);
        uint16_t *y = check_bytes((size_t)((r.n - 1) * stride + r.columns) * sizeof *y, 0);
        CHECK_CALL(f(r.x, r.stride, r.divisor, r.n, r.columns, y, stride));
        if (i == 0) want = y;
        /* a NaN's payload is its own affair */
        for (int64_t k = 0; k < r.n; k++)
            for (int64_t j = 0; j < r.columns; j++) {
                const uint16_t g = y[k * stride + j], w = want[k * stride + j];
                const float v = divided(&r, k, j);
                if (isnan(v) ? (g & 0x7fffu) <= 0x7c00u : g != w) check_fail("%a became %x, not %x", (double)v, g, w);
            }
        same_bytes((const uint8_t *)y, (const uint8_t *)y, r.n, 2 * r.columns, 2 * stride);
    }
    check_release();
}

static void judge_buckets(const rows *r, const float *lo, const float *hi, bool is_signed, const uint8_t *y, int64_t stride) {
    for (int64_t k = 0; k < r->n; k++)
        for (int64_t j = 0; j < r->columns; j++) {
            float step = (hi[j] - lo[j]) / 255.0f;
            if (step == 0.0f) step = 1.0f;
            const float t = floorf((divided(r, k, j) - lo[j]) / step);
            const int want = isnan(t) || t < 0.0f ? 0 : t > 255.0f ? 255 : (int)t;
            const int got = is_signed ? (int8_t)y[k * stride + j] + 128 : y[k * stride + j];
            if (got != want) check_fail("%g is in bucket %d, not %d", (double)divided(r, k, j), want, got);
        }
}

static void one_bucket(const check_task *task) {
    const rows r = some_rows();
    const int64_t stride = r.columns + check_pick(0, 3);
    const bool is_signed = check_chance(50);
    float *lo = check_floats((size_t)r.columns), *hi = check_floats((size_t)r.columns);
    for (int64_t j = 0; j < r.columns; j++) {
        lo[j] = check_uniform();
        hi[j] = check_chance(5) ? lo[j] : lo[j] + fabsf(check_uniform());
    }
    const uint8_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_bucket_rows_u8 *f = (kernel_fn_bucket_rows_u8 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)r.n, (int)r.columns);
        uint8_t *y = check_bytes((size_t)((r.n - 1) * stride + r.columns), (size_t)check_pick(0, 3));
        CHECK_CALL(f(r.x, r.stride, r.divisor, lo, hi, is_signed, r.n, r.columns, y, stride));
        if (i == 0) want = y, judge_buckets(&r, lo, hi, is_signed, y, stride);
        same_bytes(y, want, r.n, r.columns, stride);
    }
    check_release();
}

static void one_pack(const check_task *task) {
    const rows r = some_rows();
    const int64_t bytes = (r.columns + 7) / 8, stride = bytes + check_pick(0, 3);
    const bool is_signed = check_chance(50);
    float *threshold = check_chance(50) ? check_floats((size_t)r.n) : NULL;
    for (int64_t k = 0; threshold && k < r.n; k++) threshold[k] = check_chance(20) ? NAN : 0.25f * check_uniform();
    const uint8_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_pack_rows_u1 *f = (kernel_fn_pack_rows_u1 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)r.n, (int)r.columns);
        uint8_t *y = check_bytes((size_t)((r.n - 1) * stride + bytes), (size_t)check_pick(0, 3));
        CHECK_CALL(f(r.x, r.stride, threshold, is_signed, r.n, r.columns, y, stride));
        if (i == 0) want = y;
        same_bytes(y, want, r.n, bytes, stride);
        for (int64_t k = 0; k < r.n; k++)
            for (int64_t j = 0; j < 8 * bytes; j++) {
                const unsigned byte = y[k * stride + j / 8] ^ (is_signed ? 0x80u : 0u);
                const bool is = j < r.columns && r.x[k * r.stride + j] > (threshold ? threshold[k] : 0.0f);
                if ((byte >> (7 - j % 8) & 1u) != (unsigned)is) check_fail("bit %d of row %d", (int)j, (int)k);
            }
    }
    check_release();
}

/* A row of documents: small whole numbers, which every type has. */
static void put_element(kernel_element e, void *x, int64_t at, int number) {
    static const uint16_t halves[] = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400}; /* 0, 1, 2, 3, 4 */
    if (e == KERNEL_ELEMENT_F32) ((float *)x)[at] = (float)number;
    if (e == KERNEL_ELEMENT_F16) ((uint16_t *)x)[at] = halves[number];
    if (e == KERNEL_ELEMENT_I8 || e == KERNEL_ELEMENT_U8) ((uint8_t *)x)[at] = (uint8_t)number;
}

static void one_score(const check_task *task) {
    static const size_t sizes[KERNEL_ELEMENTS] = {4, 2, 1, 1};
    const kernel_score score = (kernel_score)check_pick(0, 2);
    const kernel_element e = (kernel_element)check_pick(0, KERNEL_ELEMENTS - 1);
    const int64_t n = check_pick(1, MOST_ROWS), columns = row_length(), stride = columns + check_pick(0, 3);
    const bool negative = e == KERNEL_ELEMENT_I8 && check_chance(50);
    float *q = check_random_floats((size_t)columns);
    void *x = check_bytes((size_t)((n - 1) * stride + columns) * sizes[e], 0);
    for (int64_t i = 0; i < (n - 1) * stride + columns; i++) put_element(e, x, i, (int)check_pick(0, 4) - (negative ? 4 : 0));
    const float *want = NULL, *before = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_score_rows *f = (kernel_fn_score_rows *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "score %d element %d rows %d columns %d", score, e, (int)n, (int)columns);
        float *y = check_floats((size_t)n), *alone = check_floats((size_t)n);
        CHECK_CALL(f(score, e, q, x, stride * (int64_t)sizes[e], n, columns, y));
        for (int64_t r = 0; r < n; r++) {
            const char *row = (const char *)x + r * stride * (int64_t)sizes[e];
            CHECK_CALL(f(score, e, q, row, 0, 1, columns, alone + r));
        }
        if (i == 0) want = y;
        check_near(y, 1, want, 1, n, 1, NULL, 25.0 * (double)(columns + 1) * (double)(columns / 16 + 8) * CHECK_EPSILON);
        if (i > 1) check_same(y, 1, before, 1, n, 1, "on the rung below");
        check_same(alone, 1, y, 1, n, 1, "among more rows");
        before = y;
    }
    check_release();
}

static void one_hamming(const check_task *task) {
    const int64_t n = check_pick(1, MOST_ROWS), bytes = check_pick(0, 70), stride = bytes + check_pick(0, 3);
    uint8_t *q = check_bytes((size_t)bytes, 0), *x = check_bytes((size_t)((n - 1) * stride + bytes), 0);
    for (int64_t i = 0; i < bytes; i++) q[i] = (uint8_t)check_random();
    for (int64_t i = 0; i < (n - 1) * stride + bytes; i++) x[i] = (uint8_t)check_random();
    for (int i = 0; i < task->count; i++) {
        kernel_fn_hamming_rows *f = (kernel_fn_hamming_rows *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d bytes %d", (int)n, (int)bytes);
        int32_t *y = check_bytes((size_t)n * sizeof *y, 0);
        CHECK_CALL(f(q, x, stride, n, bytes, y));
        for (int64_t r = 0; r < n; r++) {
            int differ = 0;
            for (int64_t b = 0; b < 8 * bytes; b++)
                differ += ((q[b / 8] ^ x[r * stride + b / 8]) >> (b % 8) & 1) != 0;
            if (y[r] != differ) check_fail("row %d differs in %d bits, not %d", (int)r, differ, (int)y[r]);
        }
    }
    check_release();
}

void check_vectors(void) {
    static const struct {
        const char *task;
        void (*run)(const check_task *task);
    } parts[] = {{"l2_norms_f32", one_norms},  {"round_rows_f16", one_f16}, {"bucket_rows_u8", one_bucket},
                 {"pack_rows_u1", one_pack}, {"score_rows", one_score},   {"hamming_rows", one_hamming}};
    for (size_t p = 0; p < BASE_COUNT(parts); p++) {
        const check_task task = check_find(parts[p].task);
        for (int i = 0; i < CHECK_CASES(300); i++) {
            check_case(parts[p].task, (uint64_t)i);
            parts[p].run(&task);
        }
    }
}
