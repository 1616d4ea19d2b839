/* SPDX-License-Identifier: Apache-2.0
 *
 * What convolutions need beside a product of matrices, written once: the columns that the product reads, and windows of
 * one plane. The including file has included a vec_<isa>.h and defines KERNEL_ISA, and CONV_WIDE where registers are
 * enough for tiles of four rows by two vectors.
 */
#ifndef CONV_H
#define CONV_H

#include <math.h>
#include <string.h>

/* Pixels of the output that lie in one of its rows, and the part of them whose cell (i, j) of the window is real. */
typedef struct conv_run {
    int64_t y, x; /* the first pixel */
    int n, to;    /* how many; which column of the panel the first one is */
} conv_run;

enum { CONV_MOST_COLUMNS = 64 };

static int conv_runs_of(const kernel_conv *c, int64_t lo, int64_t hi, conv_run *runs) {
    int count = 0, to = 0;
    for (int64_t at = lo; at < hi;) {
        const int64_t y = at / c->out_w, x = at % c->out_w, left = c->out_w - x;
        const int n = (int)(left < hi - at ? left : hi - at);
        runs[count++] = (conv_run){y, x, n, to};
        to += n;
        at += n;
    }
    return count;
}

VEC_INLINE void conv_copy(float *to, const float *from, int n) {
    int i = 0;
    for (; i + 16 <= n; i += 16) vec_store(to + i, vec_load(from + i));
    if (i < n) vec_store_n(to + i, vec_load_n(from + i, n - i), n - i);
}

/* One cell of the window, of all channels: where its pixels are real. The panel was cleared where they may not be. */
static void conv_cell(const kernel_conv *c, const float *x, const conv_run *r, int64_t i, int64_t j, int columns, float *panel) {
    const int64_t row = r->y * c->stride_h - c->top + i * c->dilation_h, first = r->x * c->stride_w - c->left + j * c->dilation_w;
    const int64_t taps = c->kernel_h * c->kernel_w, plane = c->in_h * c->in_w, s = c->stride_w;
    if (row < 0 || row >= c->in_h) return;
    int64_t lo = first >= 0 ? 0 : (-first + s - 1) / s, hi = c->in_w - first <= 0 ? 0 : (c->in_w - first + s - 1) / s;
    if (hi > r->n) hi = r->n;
    if (lo >= hi) return;
    const int n = (int)(hi - lo);
    const float *from = x + row * c->in_w + first + lo * s;
    float *to = panel + (i * c->kernel_w + j) * columns + r->to + lo;
    for (int64_t ch = 0; ch < c->channels; ch++, from += plane, to += taps * columns) {
        if (s == 1) conv_copy(to, from, n);
        else
            for (int k = 0; k < n; k++) to[k] = from[k * s];
    }
}

/* A window of one cell that moves by one: all pixels are one run. */
static void conv_plain(const kernel_conv *c, const float *x, int64_t lo, int n, int columns, float *panel) {
    const int64_t plane = c->in_h * c->in_w;
    const float *from = x + lo;
    if (n == columns) {
        for (int64_t ch = 0; ch < c->channels; ch++, from += plane, panel += columns)
            for (int k = 0; k < columns; k += 16) vec_store(panel + k, vec_load(from + k));
        return;
    }
    memset(panel, 0, (size_t)(c->channels * columns) * sizeof(float));
    for (int64_t ch = 0; ch < c->channels; ch++, from += plane, panel += columns) conv_copy(panel, from, n);
}

void KERNEL_NAME(nk_columns_f32_f32__1x16)(const kernel_conv *c, const float *x, int64_t lo, int64_t hi, int columns, float *panels) {
    const int64_t taps = c->kernel_h * c->kernel_w, K = c->channels * taps;
    const bool plain =
        taps == 1 && c->stride_h == 1 && c->stride_w == 1 && !c->top && !c->left && c->in_w == c->out_w && c->in_h == c->out_h;
    conv_run runs[CONV_MOST_COLUMNS];
    for (int64_t at = lo; at < hi; at += columns, panels += (K + 1) * columns) {
        const int n = (int)(hi - at < columns ? hi - at : columns);
        float *last = panels + K * columns;
        for (int i = 0; i < columns; i++) last[i] = i < n ? 1.0f : 0.0f;
        if (plain) {
            conv_plain(c, x, at, n, columns, panels);
            continue;
        }
        const int count = conv_runs_of(c, at, at + n, runs);
        const bool inside = n == columns && runs[0].y * c->stride_h >= c->top &&
                            runs[count - 1].y * c->stride_h - c->top + (c->kernel_h - 1) * c->dilation_h < c->in_h && !c->left &&
                            (c->out_w - 1) * c->stride_w + (c->kernel_w - 1) * c->dilation_w < c->in_w;
        if (!inside) memset(panels, 0, (size_t)(K * columns) * sizeof(float));
        for (int r = 0; r < count; r++)
            for (int64_t i = 0; i < c->kernel_h; i++)
                for (int64_t j = 0; j < c->kernel_w; j++) conv_cell(c, x, &runs[r], i, j, columns, panels);
    }
}

/* ---- one plane under one window (depthwise) */

/* Rows of the input with their padding, cut into phases: column p of the padded input is column p / stride of phase
 * p % stride, so that what neighbouring pixels see of one cell lies side by side. */
static void conv_lay_rows(const kernel_conv *c, const float *x, int64_t first, int64_t rows, float padding, float *to) {
    const int64_t lane = kernel_conv_lane(c), s = c->stride_w, size = s * lane;
    for (int64_t r = 0; r < rows; r++, to += size) {
        const int64_t y = first + r;
        for (int64_t i = 0; i < size; i += 16) vec_store(to + i, vec_set1(padding));
        if (y < 0 || y >= c->in_h) continue;
        const float *from = x + y * c->in_w;
        if (s == 1) {
            const int64_t n = c->in_w < lane - c->left ? c->in_w : lane - c->left;
            if (n > 0) memcpy(to + c->left, from, (size_t)n * sizeof(float));
            continue;
        }
        for (int64_t phase = 0; phase < s; phase++) {
            float *at = to + phase * lane;
            int64_t k = c->left > phase ? (c->left - phase + s - 1) / s : 0;
            for (int64_t p = k * s + phase - c->left; k < lane && p < c->in_w; k++, p += s) at[k] = from[p];
        }
    }
}

/* What a window does with its cells. */
typedef enum conv_kind { CONV_PRODUCTS, CONV_SUM, CONV_MOST } conv_kind;

/* Where each column of the window is in a padded row, of the first pixel: a division by the stride that no tile has to do. */
typedef struct conv_columns {
    int64_t at[KERNEL_CONV_COLUMNS];
} conv_columns;

/* mr rows by nv vectors of the output; each output is one chain over the cells in order, then the bias. */
VEC_INLINE void conv_tile(const kernel_conv *c, const conv_columns *columns, const float *rows, const float *w, vec bias,
                          const conv_kind kind, const int mr, const int nv, int64_t x, float *y) {
    const int64_t lane = kernel_conv_lane(c), row_size = c->stride_w * lane, left = c->out_w - x;
    vec sum[8];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) sum[i] = kind == CONV_MOST ? vec_set1(-INFINITY) : vec_zero();
    for (int64_t i = 0; i < c->kernel_h; i++)
        for (int64_t j = 0; j < c->kernel_w; j++) {
            const float *from = rows + i * c->dilation_h * row_size + columns->at[j] + x;
            const vec weight = kind == CONV_PRODUCTS ? vec_set1(*w++) : vec_zero();
            VEC_UNROLL
            for (int m = 0; m < mr; m++) {
                VEC_UNROLL
                for (int v = 0; v < nv; v++) {
                    const vec e = vec_load(from + m * c->stride_h * row_size + 16 * v);
                    vec *to = &sum[m * nv + v];
                    if (kind == CONV_PRODUCTS) *to = vec_fma(e, weight, *to);
                    else if (kind == CONV_SUM) *to = vec_add(*to, e);
                    else *to = vec_keep_nan(*to, vec_max(*to, e)); /* a NaN stays */
                }
            }
        }
    VEC_UNROLL
    for (int m = 0; m < mr; m++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            const vec s = kind == CONV_PRODUCTS ? vec_add(sum[m * nv + v], bias) : sum[m * nv + v];
            float *to = y + m * c->out_w + x + 16 * v;
            if (left - 16 * v >= 16) vec_store(to, s);
            else if (left > 16 * v) vec_store_n(to, s, (int)(left - 16 * v));
        }
    }
}

#ifdef CONV_WIDE
#define CONV_FOUR 2
#else
#define CONV_FOUR 1
#endif

/* Four rows of the output, or one, from `scratch` on. */
VEC_INLINE void conv_rows(const kernel_conv *c, const conv_columns *columns, const float *rows, const float *w, vec b, const conv_kind kind,
                          bool four, float *y) {
    for (int64_t x = 0; x < c->out_w;) {
        const bool wide = c->out_w - x > 16;
        if (four && wide && CONV_FOUR == 2) conv_tile(c, columns, rows, w, b, kind, 4, CONV_FOUR, x, y);
        else if (four) conv_tile(c, columns, rows, w, b, kind, 4, 1, x, y);
        else if (wide) conv_tile(c, columns, rows, w, b, kind, 1, 4, x, y);
        else conv_tile(c, columns, rows, w, b, kind, 1, 1, x, y);
        x += 16 * (!wide ? 1 : four ? CONV_FOUR : 4);
    }
}

VEC_INLINE void conv_plane(const kernel_conv *c, const float *x, const float *w, float bias, const conv_kind kind, int64_t row_lo,
                           int64_t row_hi, float *scratch, float *y) {
    const int64_t size = c->stride_w * kernel_conv_lane(c), rows = row_hi - row_lo;
    conv_columns columns;
    if (rows <= 0) return;
    for (int64_t j = 0, at = 0; j < c->kernel_w; j++, at += c->dilation_w)
        columns.at[j] = at % c->stride_w * kernel_conv_lane(c) + at / c->stride_w;
    conv_lay_rows(c, x, row_lo * c->stride_h - c->top, kernel_conv_rows(c, rows), kind == CONV_MOST ? -INFINITY : 0.0f, scratch);
    for (int64_t r = 0, n; r < rows; r += n) {
        n = rows - r >= 4 ? 4 : 1;
        conv_rows(c, &columns, scratch + r * c->stride_h * size, w, vec_set1(bias), kind, n == 4, y + r * c->out_w);
    }
}

void KERNEL_NAME(nk_plane_f32_f32__1x16)(const kernel_conv *c, const float *x, const float *w, float bias, int64_t row_lo, int64_t row_hi,
                                         float *scratch, float *y) {
    conv_plane(c, x, w, bias, CONV_PRODUCTS, row_lo, row_hi, scratch, y);
}

void KERNEL_NAME(nk_pool_f32_f32__1x16)(const kernel_conv *c, bool most, const float *x, int64_t row_lo, int64_t row_hi, float *scratch,
                                        float *y) {
    if (most) conv_plane(c, x, NULL, 0, CONV_MOST, row_lo, row_hi, scratch, y);
    else conv_plane(c, x, NULL, 0, CONV_SUM, row_lo, row_hi, scratch, y);
}

#endif
