/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs f32 weights of any strides and any alignment into zero-padded panels of tile_n columns, rounded or quantized on the way.
 */
#include "kernel_pack.h"
#include "base/base_half.h"
#include <math.h>
#include <string.h>

#define LINE 16 /* floats in a cache line: along a column at most so many are fetched before the next column's turn */
#define MOST_N 32

/* How a step is laid out: see kernel_pack.h. */
static const struct {
    int group;        /* numbers of a column in a step */
    int column_bytes; /* of a step; in Q4 of a block */
    int head_bytes;   /* for each column, before the steps */
    int64_t most_k;
} formats[] = {{1, 4, 0, INT64_MAX},
               {1, 2, 0, INT64_MAX},
               {2, 4, 0, INT64_MAX},
               {4, 4, 8, KERNEL_Q8_MOST_K},
               {KERNEL_Q4_BLOCK, 18, 4, INT64_MAX},
               {4, 4, 4, KERNEL_S8_MOST_K}};

size_t kernel_panel_bytes(kernel_pack_format format, int64_t K, int tile_n) {
    if (K < 0 || K > formats[format].most_k) return SIZE_MAX;
    uint64_t steps = (uint64_t)K / (unsigned)formats[format].group + ((uint64_t)K % (unsigned)formats[format].group != 0);
    uint64_t step_bytes = (uint64_t)(formats[format].column_bytes * tile_n), head = (uint64_t)(formats[format].head_bytes * tile_n);
    if (steps > (PTRDIFF_MAX - head) / step_bytes) return SIZE_MAX;
    return (size_t)(head + steps * step_bytes);
}

size_t kernel_packed_bytes(kernel_pack_format format, int64_t N, int64_t K, int tile_n) {
    size_t panel = kernel_panel_bytes(format, K, tile_n);
    if (N < 0 || panel == SIZE_MAX) return SIZE_MAX;
    uint64_t panels = (uint64_t)N / (unsigned)tile_n + ((uint64_t)N % (unsigned)tile_n != 0);
    if (panel != 0 && panels > PTRDIFF_MAX / panel) return SIZE_MAX;
    return (size_t)panels * panel;
}

/* A panel in the making: `columns` <= tile_n real columns, the first of which begins at w. Strides are counted in bytes because a
 * mapped file may hold the weight at any address. */
typedef struct source {
    const char *w;
    int64_t k_bytes, n_bytes, K;
    int columns, tile_n;
    const float *factor;
} source;

/* Rows [k, k + rows) of it as [rows][tile_n]. */
static void read_rows(const source *s, int64_t k, int rows, float *to) {
    if (s->columns < s->tile_n) memset(to, 0, (size_t)rows * (size_t)s->tile_n * sizeof(float));
    const char *from = s->w + k * s->k_bytes;
    if (s->n_bytes == (int64_t)sizeof(float)) {
        for (int i = 0; i < rows; i++) memcpy(to + i * s->tile_n, from + i * s->k_bytes, (size_t)s->columns * sizeof(float));
    } else {
        for (int n = 0; n < s->columns; n++) {
            for (int i = 0; i < rows; i++) memcpy(to + i * s->tile_n + n, from + i * s->k_bytes + n * s->n_bytes, sizeof(float));
        }
    }
    for (int i = 0; s->factor && i < rows; i++) {
        for (int n = 0; n < s->columns; n++) to[i * s->tile_n + n] *= 1.0f / s->factor[k + i];
    }
}

static uint16_t to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    return (uint16_t)(x != x ? u >> 16 | 0x40u : (u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}

/* A whole number of groups, of a block of LINE rows that is zero past `rows`. */
static void pack_bf16(const float *block, int rows, int group, int tile_n, uint16_t *to) {
    for (int k = 0; k < rows; k += group) {
        for (int n = 0; n < tile_n; n++) {
            for (int j = 0; j < group; j++) *to++ = to_bf16(block[(k + j) * tile_n + n]);
        }
    }
}

/* clamp(round(x / scale), -127, 127), half to even: adding 1.5 * 2^23 rounds, and leaves the number in the lowest byte. */
static uint8_t to_s8(float x, float scale) {
    float q = x / scale;
    q = q < -127.0f ? -127.0f : q > 127.0f ? 127.0f : q == q ? q : 0.0f;
    q += 12582912.0f;
    uint32_t u;
    memcpy(&u, &q, sizeof(u));
    return (uint8_t)u;
}

static void pack_q8(const float *block, int rows, int tile_n, const float *scale, int32_t *sum, uint8_t *to) {
    for (int k = 0; k < rows; k += 4) {
        for (int n = 0; n < tile_n; n++) {
            for (int j = 0; j < 4; j++, to++) {
                *to = to_s8(block[(k + j) * tile_n + n], scale[n]);
                sum[n] += (int8_t)*to;
            }
        }
    }
}

static float round_to_q4(const float *x, float inverse, int8_t *q, float *gain) {
    float xq = 0.0f, qq = 0.0f;
    for (int i = 0; i < KERNEL_Q4_BLOCK; i++) {
        float r = x[i] * inverse;
        r = r < -8.0f ? -8.0f : r > 7.0f ? 7.0f : r;
        q[i] = (int8_t)(int32_t)(r + 12582920.0f - 12582912.0f) - 8; /* half to even */
        xq += x[i] * (float)q[i];
        qq += (float)(q[i] * q[i]);
    }
    *gain = qq > 0.0f ? xq * xq / qq : 0.0f;
    return qq > 0.0f ? xq / qq : 0.0f;
}

/* Whether the numbers are whole multiples, -8 to 7, of one scale, but for what f16 cuts off of that: then they were of this
 * form before. */
static bool is_on_grid(const float *x, float largest, int8_t *q, float *scale) {
    for (int most = 8; most >= 1; most--) {
        for (int sign = -1; sign <= (most == 8 ? -1 : 1); sign += 2) {
            const float d = largest / (float)(sign * most);
            int i = 0;
            for (; i < KERNEL_Q4_BLOCK; i++) {
                const float r = rintf(x[i] / d);
                if (!(r >= -8.0f && r <= 7.0f) || fabsf(r * d - x[i]) > 1e-3f * fabsf(d)) break;
                q[i] = (int8_t)r;
            }
            if (i == KERNEL_Q4_BLOCK) return *scale = d, true;
        }
    }
    return false;
}

bool kernel_round_q4(const float *w, int64_t stride, int8_t q[KERNEL_Q4_BLOCK], float *scale) {
    float x[KERNEL_Q4_BLOCK], largest = 0.0f, best = 0.0f;
    for (int i = 0; i < KERNEL_Q4_BLOCK; i++) {
        x[i] = isfinite(w[i * stride]) ? w[i * stride] : 0.0f;
        if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
    }
    *scale = 0.0f;
    memset(q, 0, KERNEL_Q4_BLOCK);
    if (fabsf(largest) < 1e-20f) return true; /* f16 has no scale for them, and f32 no inverse */
    const bool on_grid = is_on_grid(x, largest, q, scale);
    if (!on_grid) memset(q, 0, KERNEL_Q4_BLOCK);
    for (int i = -9; i <= 9 && !on_grid; i += 3) {
        int8_t tried[KERNEL_Q4_BLOCK];
        float gain, d = round_to_q4(x, -(8.0f + 0.1f * (float)i) / largest, tried, &gain);
        if (!(gain > best)) continue;
        best = gain;
        *scale = d;
        memcpy(q, tried, sizeof(tried));
    }
    if (fabsf(*scale) > 65504.0f) *scale = copysignf(65504.0f, *scale);
    *scale = base_f16_to_f32(base_f32_to_f16(*scale));
    return on_grid;
}

/* A block of all columns; sum [tile_n] grows by sixteen times their numbers, in the order that kernels fold blocks. */
static void pack_q4(const float *block, int tile_n, float *sum, char *to) {
    for (int n = 0; n < tile_n; n++) {
        int8_t q[KERNEL_Q4_BLOCK];
        float scale;
        int whole = 0;
        kernel_round_q4(block + n, tile_n, q, &scale);
        const uint16_t half = base_f32_to_f16(scale);
        memcpy(to + 2 * n, &half, sizeof(half));
        uint8_t *halves = (uint8_t *)to + 2 * tile_n + 4 * n;
        for (int k = 0; k < KERNEL_Q4_BLOCK; k++) {
            uint8_t *byte = halves + k / 8 * 4 * tile_n + k % 4;
            *byte = (uint8_t)(k / 4 % 2 ? (*byte & 0x0f) | (uint8_t)((unsigned)q[k] << 4) : (uint8_t)(q[k] & 0x0f));
            whole += 16 * q[k];
        }
        sum[n] = fmaf((float)whole, scale, sum[n]);
    }
}

/* Whole numbers, as they are: the caller has them in -128 .. 127, and what is not is cut off. */
static void pack_s8(const float *block, int rows, int tile_n, int32_t *sum, int8_t *to) {
    for (int k = 0; k < rows; k += 4) {
        for (int n = 0; n < tile_n; n++) {
            for (int j = 0; j < 4; j++, to++) {
                float x = block[(k + j) * tile_n + n];
                *to = (int8_t)(x > 127.0f ? 127.0f : x < -128.0f ? -128.0f : x == x ? x : 0.0f);
                sum[n] += *to;
            }
        }
    }
}

static void find_scales(const source *s, float *scale) {
    float block[LINE * MOST_N], largest[MOST_N] = {0.0f};
    for (int64_t k = 0; k < s->K; k += LINE) {
        int rows = s->K - k < LINE ? (int)(s->K - k) : LINE;
        read_rows(s, k, rows, block);
        for (int i = 0; i < rows; i++) {
            for (int n = 0; n < s->tile_n; n++) {
                float x = block[i * s->tile_n + n], size = x < 0.0f ? -x : x;
                largest[n] = size > largest[n] ? size : largest[n];
            }
        }
    }
    for (int n = 0; n < s->tile_n; n++) {
        scale[n] = largest[n] / 127.0f;
        if (scale[n] == 0.0f) scale[n] = 1.0f;
    }
}

static void pack_panel(kernel_pack_format format, const source *s, char *panel) {
    const int group = formats[format].group, tile_n = s->tile_n;
    float block[KERNEL_Q4_BLOCK * MOST_N], scale[MOST_N], weights[MOST_N] = {0.0f};
    int32_t sum[MOST_N] = {0};
    char *to = panel + formats[format].head_bytes * tile_n;
    if (format == KERNEL_PACK_Q8) find_scales(s, scale);
    for (int64_t k = 0; format == KERNEL_PACK_Q4 && k < s->K; k += KERNEL_Q4_BLOCK, to += formats[format].column_bytes * tile_n) {
        int rows = s->K - k < KERNEL_Q4_BLOCK ? (int)(s->K - k) : KERNEL_Q4_BLOCK;
        memset(block, 0, sizeof(block));
        read_rows(s, k, rows, block);
        pack_q4(block, tile_n, weights, to);
    }
    if (format == KERNEL_PACK_Q4) {
        memcpy(panel, weights, (size_t)tile_n * sizeof(float));
        return;
    }
    for (int64_t k = 0; k < s->K; k += LINE) {
        int rows = s->K - k < LINE ? (int)(s->K - k) : LINE;
        if (format == KERNEL_PACK_F32) {
            read_rows(s, k, rows, (float *)(void *)panel + k * tile_n);
            continue;
        }
        read_rows(s, k, rows, block);
        for (; rows % group; rows++) memset(block + rows * tile_n, 0, (size_t)tile_n * sizeof(float));
        if (format == KERNEL_PACK_Q8) pack_q8(block, rows, tile_n, scale, sum, (uint8_t *)to);
        else if (format == KERNEL_PACK_S8) pack_s8(block, rows, tile_n, sum, (int8_t *)to);
        else pack_bf16(block, rows, group, tile_n, (uint16_t *)(void *)to);
        to += rows / group * formats[format].column_bytes * tile_n;
    }
    if (format == KERNEL_PACK_S8) memcpy(panel, sum, (size_t)tile_n * sizeof(int32_t));
    if (format == KERNEL_PACK_Q8) {
        memcpy(panel, scale, (size_t)tile_n * sizeof(float));
        memcpy(panel + (size_t)tile_n * sizeof(float), sum, (size_t)tile_n * sizeof(int32_t));
    }
}

void kernel_pack_panels(kernel_pack_format format, const kernel_weight *w, int64_t n_lo, int64_t n_hi, int tile_n, void *packed) {
    const int64_t unit = (int64_t)sizeof(float);
    const size_t panel_bytes = kernel_panel_bytes(format, w->K, tile_n);
    for (int64_t n = n_lo; n < n_hi; n += tile_n) {
        source s = {.w = (const char *)w->w + n * w->n_stride * unit,
                    .k_bytes = w->k_stride * unit,
                    .n_bytes = w->n_stride * unit,
                    .K = w->K,
                    .columns = w->N - n < tile_n ? (int)(w->N - n) : tile_n,
                    .tile_n = tile_n,
                    .factor = w->factor};
        pack_panel(format, &s, (char *)packed + (size_t)(n / tile_n) * panel_bytes);
    }
}

static float from_bf16(uint16_t half) {
    uint32_t u = (uint32_t)half << 16;
    float x;
    memcpy(&x, &u, sizeof(x));
    return x;
}

void kernel_panel_column(kernel_pack_format format, const void *packed, int64_t K, int tile_n, int64_t n, float *to) {
    const int group = formats[format].group, at = (int)(n % tile_n);
    const char *panel = (const char *)packed + (size_t)(n / tile_n) * kernel_panel_bytes(format, K, tile_n);
    const char *first = panel + formats[format].head_bytes * tile_n + at * formats[format].column_bytes;
    float scale = 1.0f;
    if (format == KERNEL_PACK_Q8) memcpy(&scale, panel + (size_t)at * sizeof(float), sizeof(scale));
    for (int64_t k = 0; format == KERNEL_PACK_Q4 && k < K; k++) {
        const char *block = panel + 4 * tile_n + k / KERNEL_Q4_BLOCK * 18 * tile_n;
        const uint8_t byte = ((const uint8_t *)block)[2 * tile_n + 4 * at + k % KERNEL_Q4_BLOCK / 8 * 4 * tile_n + k % 4];
        uint16_t half;
        memcpy(&half, block + 2 * at, sizeof(half));
        const int q = k / 4 % 2 ? byte >> 4 : byte & 0x0f;
        to[k] = base_f16_to_f32(half) * (float)(q < 8 ? q : q - 16);
    }
    if (format == KERNEL_PACK_Q4) return;
    for (int64_t k = 0; k < K; k++) {
        const char *step = first + k / group * formats[format].column_bytes * tile_n;
        if (format == KERNEL_PACK_F32) memcpy(&to[k], step, sizeof(to[k]));
        else if (format == KERNEL_PACK_Q8 || format == KERNEL_PACK_S8) to[k] = scale * (float)((const int8_t *)step)[k % group];
        else to[k] = from_bf16(((const uint16_t *)(const void *)step)[k % group]);
    }
}
