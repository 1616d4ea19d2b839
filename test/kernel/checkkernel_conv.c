/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions: columns of random windows have the reference's bits on every rung, and planes are within a bound of the
 * sum of their products, with the same bits on all rungs with FMA. So are pools, and sums of rows.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

static kernel_conv random_conv(void) {
    kernel_conv c = {.channels = check_pick(1, 5), .kernel_h = check_pick(1, 5), .kernel_w = check_pick(1, 5)};
    c.stride_h = check_chance(60) ? 1 : check_pick(1, 4);
    c.stride_w = check_chance(60) ? 1 : check_pick(1, 4);
    c.dilation_h = check_chance(80) ? 1 : check_pick(1, 3);
    c.dilation_w = check_chance(80) ? 1 : check_pick(1, 3);
    c.in_h = check_pick(1, 20), c.in_w = check_chance(20) ? check_pick(60, 150) : check_pick(1, 40);
    if (check_chance(20)) c.kernel_h = c.kernel_w = c.stride_h = c.stride_w = 1;
    const int64_t high = (c.kernel_h - 1) * c.dilation_h + 1, wide = (c.kernel_w - 1) * c.dilation_w + 1;
    c.top = check_chance(40) ? 0 : check_pick(0, high);
    c.left = check_chance(40) ? 0 : check_pick(0, wide);
    const int64_t below = check_pick(0, high), right = check_pick(0, wide);
    if (c.in_h + c.top + below < high) c.in_h = high;
    if (c.in_w + c.left + right < wide) c.in_w = wide;
    c.out_h = (c.in_h + c.top + below - high) / c.stride_h + 1;
    c.out_w = (c.in_w + c.left + right - wide) / c.stride_w + 1;
    return c;
}

static void one_columns(const check_task *task, uint64_t number) {
    check_case("columns", number);
    const kernel_conv c = random_conv();
    const int columns = 8 << check_pick(0, 2);
    const int64_t K = c.channels * c.kernel_h * c.kernel_w + 1, pixels = c.out_h * c.out_w;
    const int64_t lo = check_pick(0, pixels - 1), hi = check_pick(lo + 1, pixels), panels = (hi - lo + columns - 1) / columns;
    const float *x = check_random_floats((size_t)(c.channels * c.in_h * c.in_w)), *want = NULL;
    for (int i = 0; i < task->count; i++) {
        if (columns < 16 && task->entry[i]->isa != BASE_ISA_GENERIC) continue;
        kernel_fn_conv_columns_f32 *run = (kernel_fn_conv_columns_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "%d channels, window %dx%d, pixels %d to %d of rows of %d", (int)c.channels, (int)c.kernel_h,
                    (int)c.kernel_w, (int)lo, (int)hi, (int)c.out_w);
        float *y = check_floats((size_t)(panels * K * columns));
        CHECK_CALL(run(&c, x, lo, hi, columns, y));
        if (want) check_same(y, columns, want, columns, panels * K, columns, "in the reference");
        else want = y;
    }
    check_release();
}

static void one_plane(const check_task *task, uint64_t number) {
    check_case("planes", number);
    const kernel_conv c = random_conv();
    const int64_t lo = check_pick(0, c.out_h - 1), hi = check_pick(lo + 1, c.out_h), n = hi - lo, taps = c.kernel_h * c.kernel_w;
    const float *x = check_random_floats((size_t)(c.in_h * c.in_w)), *w = check_random_floats((size_t)taps), *want = NULL, *fused = NULL;
    const float bias = check_uniform();
    for (int i = 0; i < task->count; i++) {
        kernel_fn_conv_plane_f32 *run = (kernel_fn_conv_plane_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "window %dx%d stride %d, rows %d to %d of %d", (int)c.kernel_h, (int)c.kernel_w, (int)c.stride_w,
                    (int)lo, (int)hi, (int)c.out_w);
        float *y = check_floats((size_t)(n * c.out_w)), *scratch = check_floats((size_t)kernel_conv_scratch(&c, n));
        CHECK_CALL(run(&c, x, w, bias, lo, hi, scratch, y));
        if (i == 0) want = y;
        check_near(y, c.out_w, want, c.out_w, n, c.out_w, NULL, 2.0 * (double)(taps + 2) * (double)(taps + 2) * CHECK_EPSILON);
        if (task->entry[i]->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, c.out_w, fused, c.out_w, n, c.out_w, "on a lower rung");
        else check_digest("conv_plane_f32", y, c.out_w, n, c.out_w);
        fused = y;
    }
    check_release();
}

static void one_pool(const check_task *task, uint64_t number) {
    check_case("pools", number);
    const kernel_conv c = random_conv();
    const bool most = check_chance(50);
    const int64_t lo = check_pick(0, c.out_h - 1), hi = check_pick(lo + 1, c.out_h), n = hi - lo, taps = c.kernel_h * c.kernel_w;
    float *x = check_random_floats((size_t)(c.in_h * c.in_w)), *want = NULL, *fused = NULL;
    if (check_chance(30)) x[check_pick(0, c.in_h * c.in_w - 1)] = NAN;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_pool_plane_f32 *run = (kernel_fn_pool_plane_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "%s of %dx%d stride %d, rows %d to %d of %d", most ? "largest" : "sum", (int)c.kernel_h,
                    (int)c.kernel_w, (int)c.stride_w, (int)lo, (int)hi, (int)c.out_w);
        float *y = check_floats((size_t)(n * c.out_w)), *scratch = check_floats((size_t)kernel_conv_scratch(&c, n));
        CHECK_CALL(run(&c, most, x, lo, hi, scratch, y));
        if (i == 0) want = y;
        check_near(y, c.out_w, want, c.out_w, n, c.out_w, NULL, most ? 0 : 2.0 * (double)(taps + 1) * (double)taps * CHECK_EPSILON);
        if (task->entry[i]->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, c.out_w, fused, c.out_w, n, c.out_w, "on a lower rung");
        else check_digest("pool_plane_f32", y, c.out_w, n, c.out_w);
        fused = y;
    }
    check_release();
}

static void one_reduction(const check_task *task, uint64_t number) {
    check_case("reductions", number);
    const bool most = check_chance(50);
    const int64_t rows = check_pick(0, 9), n = check_pick(0, 300), stride = n + check_pick(0, 5);
    float *x = check_random_floats((size_t)(rows * stride + 1)), *want = NULL, *fused = NULL;
    if (check_chance(30)) x[check_pick(0, rows * stride)] = NAN;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_reduce_rows_f32 *run = (kernel_fn_reduce_rows_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "%s of %d rows of %d", most ? "largest" : "sum", (int)rows, (int)n);
        float *y = check_floats((size_t)rows);
        CHECK_CALL(run(most, x, stride, rows, n, y));
        if (i == 0) want = y;
        check_near(y, rows, want, rows, 1, rows, NULL, most ? 0 : (double)(n + 16) * (double)n * CHECK_EPSILON / 8);
        if (task->entry[i]->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, rows, fused, rows, 1, rows, "on a lower rung");
        else check_digest("reduce_rows_f32", y, rows, 1, rows);
        fused = y;
    }
    check_release();
}

/* ---- bytes: the same on every rung */

static void same_bytes(const void *got, const void *want, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((const uint8_t *)got)[i] != ((const uint8_t *)want)[i]) {
            check_fail("byte %zu is %d, not %d", i, ((const uint8_t *)got)[i], ((const uint8_t *)want)[i]);
            return;
        }
}

static uint8_t *random_bytes(size_t n) {
    uint8_t *x = check_bytes(n, (size_t)check_pick(0, 3));
    for (size_t i = 0; i < n; i++) x[i] = (uint8_t)check_random();
    return x;
}

static void one_turn(const check_task *task) {
    const int64_t rows = check_pick(1, 40), columns = check_pick(1, 40), x_stride = columns + check_pick(0, 5),
                  y_stride = rows + check_pick(0, 5);
    const size_t n = (size_t)(columns * y_stride);
    const uint8_t *x = random_bytes((size_t)(rows * x_stride)), flip = check_chance(50) ? 0 : 128;
    uint8_t *want = NULL;
    for (int i = 0; i < task->count; i++) {
        check_begin(task->entry[i]->name, "%d x %d bytes", (int)rows, (int)columns);
        uint8_t *y = check_bytes(n, (size_t)check_pick(0, 3));
        memset(y, 77, n); /* gaps stay */
        CHECK_CALL(((kernel_fn_turn_u8 *)task->entry[i]->function)(x, x_stride, rows, columns, flip, y, y_stride));
        if (want) same_bytes(y, want, n);
        else want = y;
    }
}

static void one_requantize(const check_task *task) {
    const int64_t n = check_pick(1, 100);
    const bool is_signed = check_chance(50);
    const int lo = is_signed ? -128 : 0, zero = (int)check_pick(0, 255) + lo;
    int32_t *x = check_bytes((size_t)n * sizeof *x, 0);
    const int64_t step = check_chance(30) ? 0 : 1;
    int32_t *add = check_bytes((size_t)n * sizeof *add, 0);
    float *factor = check_floats((size_t)n);
    uint8_t *want = NULL;
    for (int64_t i = 0; i < n; i++) {
        x[i] = (int32_t)check_random() >> check_pick(0, 31);
        add[i] = check_chance(50) ? 0 : (int32_t)check_random() >> check_pick(0, 31);
        factor[i] = check_chance(20) ? 0.5f : check_chance(10) ? 1e38f : check_uniform() * 0.01f;
    }
    for (int i = 0; i < task->count; i++) {
        check_begin(task->entry[i]->name, "n %d, zero %d", (int)n, zero);
        uint8_t *y = check_bytes((size_t)n, (size_t)check_pick(0, 3));
        CHECK_CALL(((kernel_fn_requantize_s32 *)task->entry[i]->function)(x, add, factor, step, n, zero, lo, lo + 255, y));
        if (want) same_bytes(y, want, (size_t)n);
        else want = y;
    }
}

static void one_byte_plane(const check_task *task) {
    const kernel_conv c = random_conv();
    const int64_t lo = check_pick(0, c.out_h - 1), hi = check_pick(lo + 1, c.out_h), taps = c.kernel_h * c.kernel_w;
    const size_t n = (size_t)((hi - lo) * c.out_w) * sizeof(int32_t);
    const uint8_t *x = random_bytes((size_t)(c.in_h * c.in_w)), flip = check_chance(50) ? 0 : 128, pad = (uint8_t)check_random();
    int16_t *w = check_bytes((size_t)taps * sizeof *w, 0);
    int32_t *want = NULL;
    for (int64_t i = 0; i < taps; i++) w[i] = (int16_t)check_pick(-255, 255);
    for (int i = 0; i < task->count; i++) {
        check_begin(task->entry[i]->name, "window %dx%d stride %d, rows %d to %d of %d", (int)c.kernel_h, (int)c.kernel_w, (int)c.stride_w,
                    (int)lo, (int)hi, (int)c.out_w);
        int32_t *y = check_bytes(n, 0);
        int16_t *scratch = check_bytes((size_t)kernel_conv_scratch(&c, hi - lo) * sizeof *scratch, 0);
        CHECK_CALL(((kernel_fn_conv_plane_u8 *)task->entry[i]->function)(&c, x, flip, pad, w, lo, hi, scratch, y));
        if (want) same_bytes(y, want, n);
        else want = y;
    }
}

static void check_bytes_of_convolutions(void) {
    const check_task turn = check_find("turn_u8"), requantize = check_find("requantize_s32"), plane = check_find("conv_plane_u8");
    for (int i = 0; i < CHECK_CASES(1000); i++) {
        check_case("bytes of convolutions", (uint64_t)i);
        one_turn(&turn);
        one_requantize(&requantize);
        one_byte_plane(&plane);
        check_release();
    }
}

void check_convolutions(void) {
    check_bytes_of_convolutions();
    const check_task columns = check_find("conv_columns_f32"), planes = check_find("conv_plane_f32");
    const check_task pools = check_find("pool_plane_f32"), reductions = check_find("reduce_rows_f32");
    for (uint64_t i = 0; i < CHECK_CASES(3000); i++) one_columns(&columns, i);
    for (uint64_t i = 0; i < CHECK_CASES(3000); i++) one_plane(&planes, i);
    for (uint64_t i = 0; i < CHECK_CASES(2000); i++) one_pool(&pools, i);
    for (uint64_t i = 0; i < CHECK_CASES(2000); i++) one_reduction(&reductions, i);
}
