/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows made ready for Linear on bf16 and q8 weights: every rung gives the reference's bytes, on ordinary rows and on rows of
 * zeros, of one sign, of ties, of subnormal, huge and infinite numbers and of NaN. The reference itself is held against what
 * rounding means.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

enum { UNTOUCHED = 0xb7 };

static int64_t row_length(void) {
    static const int64_t edges[] = {4, 8, 16, 32, 48, 64, 128, 384};
    int64_t n = check_chance(70) ? edges[check_pick(0, (int64_t)BASE_COUNT(edges) - 1)] + check_pick(-2, 2) : check_pick(1, 900);
    return check_chance(2) ? 0 : n;
}

/* Fills a row in one of the ways that matter; true if its numbers are ordinary. */
static bool fill(float *x, int64_t n) {
    const int way = (int)check_pick(0, 9);
    const float size = check_chance(50) ? 1.0f : ldexpf(1.0f, (int)check_pick(-60, 60));
    for (int64_t i = 0; i < n; i++) {
        float u = check_uniform();
        x[i] = u * size;
        if (way == 1) x[i] = 0.0f;
        if (way == 2) x[i] = fabsf(u) + 3.0f;
        if (way == 3) x[i] = -fabsf(u);
        if (way == 4) x[i] = 0.5f * (float)check_pick(-255, 255); /* once scaled by 1, halves */
        if (way == 5) x[i] = u * 1e-38f * (check_chance(50) ? 1e-5f : 1e-7f);
        if (way == 6) x[i] = u * 3.4e38f;
    }
    if (way == 4 && n > 1) {
        x[0] = 127.5f;
        x[n - 1] = -127.5f;
    }
    if ((way == 7 || way == 8) && n > 0) x[check_pick(0, n - 1)] = way == 7 ? NAN : check_chance(50) ? INFINITY : -INFINITY;
    return way == 0 || (way >= 2 && way <= 4);
}

static bool touched(const unsigned char *p, int64_t bytes) {
    bool wrong = false;
    for (int64_t i = 0; i < bytes; i++) wrong |= p[i] != UNTOUCHED;
    return wrong;
}

/* `size` bytes an element, `length` elements a row: equal to the reference, nothing between the rows. */
static void same_rows(const void *got, const void *want, int64_t size, int64_t stride, int64_t rows, int64_t length) {
    for (int64_t r = 0; r < rows; r++) {
        const unsigned char *g = (const unsigned char *)got + r * stride * size, *w = (const unsigned char *)want + r * stride * size;
        for (int64_t i = 0; i < length * size; i++) {
            if (g[i] == w[i]) continue;
            check_fail("[%d][%d] has the byte %d, not %d", (int)r, (int)(i / size), g[i], w[i]);
            return;
        }
        if (r + 1 < rows && touched(g + length * size, (stride - length) * size)) check_fail("wrote into the gap after row %d", (int)r);
    }
}

/* A quantized number times its scale is the number again, off by a step at most. */
static void judge_quantized(const float *x, int64_t n, const uint8_t *y, const float *params) {
    for (int64_t i = 0; i < n; i++) {
        double back = ((double)y[i] - (double)params[1]) * (double)params[0];
        if (fabs(back - (double)x[i]) > 1.001 * (double)params[0])
            check_fail("%g became %g (scale %g)", (double)x[i], back, (double)params[0]);
    }
}

static void one_quantize(const check_task *task) {
    const int64_t rows = check_pick(1, 5), columns = row_length(), whole = (columns + 3) / 4 * 4, x_stride = columns + check_pick(0, 3);
    const int64_t y_stride = whole + check_pick(0, 3), p_stride = check_pick(2, 4);
    bool ordinary[5];
    float *x = check_floats((size_t)((rows - 1) * x_stride + columns)), *factor = check_chance(30) ? check_floats((size_t)columns) : NULL;
    for (int64_t i = 0; factor && i < columns; i++) factor[i] = ldexpf(1.0f, (int)check_pick(-4, 4));
    for (int64_t r = 0; r < rows; r++) ordinary[r] = fill(x + r * x_stride, columns);
    const uint8_t *want = NULL;
    const float *want_params = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_quantize_rows_u8 *f = (kernel_fn_quantize_rows_u8 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)rows, (int)columns);
        const size_t bytes = (size_t)((rows - 1) * y_stride + whole), count = (size_t)((rows - 1) * p_stride + 2);
        uint8_t *y = check_bytes(bytes, (size_t)check_pick(0, 3)), *alone = check_bytes(bytes, 0);
        float *params = check_floats(count), *params_alone = check_floats(count);
        CHECK_CALL(f(x, x_stride, factor, rows, columns, y, y_stride, params, p_stride));
        for (int64_t r = 0; r < rows; r++)
            CHECK_CALL(
                f(x + r * x_stride, x_stride, factor, 1, columns, alone + r * y_stride, y_stride, params_alone + r * p_stride, p_stride));
        if (i == 0) {
            want = y;
            want_params = params;
            for (int64_t r = 0; r < rows; r++) {
                if (ordinary[r] && !factor) judge_quantized(x + r * x_stride, columns, y + r * y_stride, params + r * p_stride);
            }
        }
        same_rows(y, want, 1, y_stride, rows, whole);
        same_rows(alone, want, 1, y_stride, rows, whole);
        check_near(params, p_stride, want_params, p_stride, rows, 2, NULL, 0.0); /* the gaps */
        check_same(params, p_stride, want_params, p_stride, rows, 2, "in the reference");
        check_same(params_alone, p_stride, want_params, p_stride, rows, 2, "among more rows");
    }
    check_release();
}

static void round_over(const check_task *task, const float *x, int64_t x_stride, int64_t rows, int64_t columns) {
    const int64_t even = (columns + 1) / 2 * 2, y_stride = even + check_pick(0, 3);
    const uint16_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_round_rows_bf16 *f = (kernel_fn_round_rows_bf16 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "rows %d columns %d", (int)rows, (int)columns);
        uint16_t *y = check_bytes((size_t)((rows - 1) * y_stride + even) * sizeof(*y), 0);
        CHECK_CALL(f(x, x_stride, rows, columns, y, y_stride));
        if (i == 0) want = y;
        same_rows(y, want, 2, y_stride, rows, even);
    }
    for (int64_t i = 0; i < columns; i++) {
        uint32_t u = (uint32_t)want[i] << 16;
        float back;
        memcpy(&back, &u, sizeof(back));
        bool ok = isnan(x[i])   ? isnan(back)
                  : isinf(back) ? fabsf(x[i]) >= 3.3961e38f
                                : fabsf(back - x[i]) <= fmaxf(fabsf(x[i]) * 0x1p-8f, 0x1p-134f);
        if (!ok) check_fail("%a became %a", (double)x[i], (double)back);
    }
    check_release();
}

/* Every bfloat16, with lower halves around the tie. */
static void every_half(const check_task *task) {
    static const uint32_t rests[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    enum { STRETCH = 4096 };
    for (uint32_t from = 0; from < 0x10000; from += STRETCH) {
        float *x = check_floats(STRETCH * BASE_COUNT(rests));
        for (uint32_t i = 0; i < STRETCH * BASE_COUNT(rests); i++) {
            uint32_t u = (from + i % STRETCH) << 16 | rests[i / STRETCH];
            memcpy(&x[i], &u, sizeof(u));
        }
        round_over(task, x, 0, 1, STRETCH * BASE_COUNT(rests));
    }
}

static void one_range(const check_task *task, const float *x, int64_t n, float range[2]) {
    for (int i = 0; i < task->count; i++) {
        float lo = check_chance(50) ? 0.0f : 3.0f, hi = lo, want[2] = {lo, lo};
        check_begin(task->entry[i]->name, "n %d", (int)n);
        CHECK_CALL(((kernel_fn_range_f32 *)task->entry[i]->function)(x, n, &lo, &hi));
        for (int64_t k = 0; k < n; k++) want[0] = fminf(want[0], x[k]), want[1] = fmaxf(want[1], x[k]);
        if (lo != want[0] || hi != want[1]) check_fail("%a to %a, not %a to %a", (double)lo, (double)hi, (double)want[0], (double)want[1]);
    }
    range[0] = range[1] = 0.0f;
    ((kernel_fn_range_f32 *)task->entry[0]->function)(x, n, &range[0], &range[1]);
}

/* By the scale that belongs to the range, or by any other. */
static void one_round(const check_task *task, const float *x, int64_t n, const float range[2]) {
    const float own = (range[1] - range[0]) / 255.0f, other = check_chance(20) ? 0.0f : ldexpf(1.0f, (int)check_pick(-40, 40));
    const float scale = check_chance(70) ? own : other, zero = (float)check_pick(0, 255);
    uint8_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        check_begin(task->entry[i]->name, "n %d", (int)n);
        uint8_t *y = check_bytes((size_t)n, (size_t)check_pick(0, 3));
        CHECK_CALL(((kernel_fn_round_u8 *)task->entry[i]->function)(x, n, scale, zero, y));
        if (i == 0) want = y;
        same_rows(y, want, 1, n, 1, n);
    }
}

static void one_scale(const check_task *task, int64_t n) {
    int32_t *x = check_bytes((size_t)n * sizeof *x, 0);
    for (int64_t i = 0; i < n; i++) x[i] = (int32_t)((uint32_t)check_random() >> check_pick(0, 31));
    const float *scale = check_chance(30) ? NULL : check_random_floats((size_t)n);
    const float *add = check_chance(30) ? NULL : check_random_floats((size_t)n);
    const float factor = check_uniform();
    double *bound = check_bytes((size_t)n * sizeof *bound, 0);
    float *want = NULL, *fused = NULL;
    for (int64_t i = 0; i < n; i++) {
        const float most = fabsf((float)x[i] * factor * (scale ? scale[i] : 1.0f)) + (add ? fabsf(add[i]) : 0.0f);
        bound[i] = 3e-7 * (double)most;
    }
    for (int i = 0; i < task->count; i++) {
        check_begin(task->entry[i]->name, "n %d", (int)n);
        float *y = check_floats((size_t)n);
        const bool in_place = check_chance(50);
        if (in_place) memcpy(y, x, (size_t)n * sizeof *y);
        const int32_t *from = in_place ? (const int32_t *)(const void *)y : x;
        CHECK_CALL(((kernel_fn_scale_s32 *)task->entry[i]->function)(from, scale, factor, add, n, y));
        if (i == 0) want = y;
        check_near(y, n, want, n, 1, n, bound, 0.0);
        if (task->entry[i]->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, n, fused, n, 1, n, "on a lower rung");
        else check_digest("scale_s32", y, n, 1, n);
        fused = y;
    }
}

static void check_integers(void) {
    check_task range = check_find("range_f32"), round = check_find("round_u8"), scale = check_find("scale_s32");
    for (int i = 0; i < CHECK_CASES(600); i++) {
        check_case("integers", (uint64_t)i);
        const int64_t n = row_length();
        float *x = check_floats((size_t)n), found[2];
        fill(x, n);
        one_range(&range, x, n, found);
        one_round(&round, x, n, found);
        one_scale(&scale, n);
        check_release();
    }
}

void check_convert(void) {
    check_integers();
    check_task quantize = check_find("quantize_rows_u8"), round = check_find("round_rows_bf16");
    for (int i = 0; i < CHECK_CASES(600); i++) {
        check_case("quantize_rows_u8", (uint64_t)i);
        one_quantize(&quantize);
    }
    for (int i = 0; i < CHECK_CASES(300); i++) {
        check_case("round_rows_bf16", (uint64_t)i);
        int64_t rows = check_pick(1, 5), columns = row_length(), x_stride = columns + check_pick(0, 3);
        float *x = check_floats((size_t)((rows - 1) * x_stride + columns));
        for (int64_t r = 0; r < rows; r++) fill(x + r * x_stride, columns);
        round_over(&round, x, x_stride, rows, columns);
    }
    every_half(&round);
}
