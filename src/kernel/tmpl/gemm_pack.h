/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of weights whose rows or columns lie side by side, with vectors: the same bytes as kernel_pack.c makes, which does what
 * is left. A model's weights are packed when it is opened, so this is most of its start-up time.
 *
 * The panel is made in strips of 16 columns and blocks of 16 k, [k][column].
 */
#ifndef GEMM_PACK_H
#define GEMM_PACK_H

#define PACK_MAGIC 12582912.0f /* 1.5 * 2^23: a small number added to it is rounded to an integer, found in the lowest bits */

typedef struct pack_strip {
    const char *w; /* of its first column */
    int64_t k_bytes, n_bytes, K;
    int columns; /* 0 to 16 of them are real, the rest are zeros */
    char *to;    /* its place in the panel's first step */
    const float *factor;
} pack_strip;

/* Numbers k .. k + 15 of the strip; those past K are zeros. */
VEC_NOINLINE void pack_read(const pack_strip *s, int64_t k, vec *r) {
    const int rows = s->K - k < 16 ? (int)(s->K - k) : 16;
    if (s->n_bytes == (int64_t)sizeof(float)) {
        for (int i = 0; i < 16; i++) r[i] = i < rows ? vec_load_n(s->w + (k + i) * s->k_bytes, s->columns) : vec_zero();
    } else {
        for (int i = 0; i < 16; i++) {
            const char *column = s->w + i * s->n_bytes + k * (int64_t)sizeof(float);
            r[i] = i >= s->columns ? vec_zero() : rows == 16 ? vec_load(column) : vec_load_n(column, rows);
        }
        vec_transpose(r);
    }
    for (int i = 0; s->factor && i < rows; i++) r[i] = vec_mul(r[i], vec_set1(1.0f / s->factor[k + i]));
}

VEC_INLINE vec pack_quantized(vec w, vec scale) {
    vec q = vec_div(w, scale);
    q = vec_select_lt(vec_abs(q), vec_set1(1024.0f), q, vec_zero()); /* NaN */
    return vec_min(vec_max(vec_add(q, vec_set1(PACK_MAGIC)), vec_set1(PACK_MAGIC - 127.0f)), vec_set1(PACK_MAGIC + 127.0f));
}

/* The scales and the sums are the panel's head; sums in f32 are exact, being below 2^24. */
static void pack_q8(const pack_strip *s, char *scales, char *sums) {
    vec r[16], largest = vec_zero(), sum = vec_zero();
    for (int64_t k = 0; k < s->K; k += 16) {
        pack_read(s, k, r);
        for (int i = 0; i < 16; i++) largest = vec_max(vec_abs(r[i]), largest);
    }
    vec scale = vec_div(largest, vec_set1(127.0f));
    scale = vec_select_lt(vec_zero(), scale, scale, vec_set1(1.0f));
    for (int64_t k = 0; k < s->K; k += 16) {
        pack_read(s, k, r);
        for (int i = 0; i < 16; i++) {
            r[i] = pack_quantized(r[i], scale);
            sum = vec_add(sum, vec_sub(r[i], vec_set1(PACK_MAGIC)));
        }
        for (int i = 0; i < 16 && k + i < s->K; i += 4) vec_store_low8_of4(s->to + (k + i) / 4 * (4 * GEMM_NR), r + i);
    }
    float lanes[16];
    int32_t whole[16];
    vec_store(lanes, sum);
    for (int l = 0; l < 16; l++) whole[l] = (int32_t)lanes[l];
    vec_store(lanes, scale);
    memcpy(scales, lanes, sizeof(lanes));
    memcpy(sums, whole, sizeof(whole));
}

static void pack_plain(const pack_strip *s) {
    uint16_t half[2][16];
    vec r[16];
    for (int64_t k = 0; k < s->K; k += 16) {
        pack_read(s, k, r);
        for (int i = 0; i < 16 && k + i < s->K; i++) {
            if (GEMM_PACK == KERNEL_PACK_F32) vec_store((float *)(void *)(s->to + (k + i) * (4 * GEMM_NR)), r[i]);
            if (GEMM_PACK == KERNEL_PACK_BF16) vec_store_bf16(s->to + (k + i) * (2 * GEMM_NR), r[i]);
            if (GEMM_PACK == KERNEL_PACK_BF16_PAIRS && i % 2 == 0) {
                char *to = s->to + (k + i) / 2 * (4 * GEMM_NR);
                vec_store_bf16(half[0], r[i]);
                vec_store_bf16(half[1], r[i + 1]);
                for (int l = 0; l < 16; l++) {
                    uint16_t pair[2] = {half[0][l], half[1][l]};
                    memcpy(to + 4 * l, pair, sizeof(pair));
                }
            }
        }
    }
}

static void gemm_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    const int64_t unit = (int64_t)sizeof(float), panel_bytes = (int64_t)kernel_panel_bytes(GEMM_PACK, w->K, GEMM_NR);
    if (GEMM_PACK == KERNEL_PACK_Q4 || GEMM_PACK == KERNEL_PACK_S8 || (w->k_stride != 1 && w->n_stride != 1)) {
        kernel_pack_panels(GEMM_PACK, w, n_lo, n_hi, GEMM_NR, packed);
        return;
    }
    for (int64_t n = n_lo; n < n_hi; n += GEMM_NR) {
        char *panel = (char *)packed + n / GEMM_NR * panel_bytes;
        for (int v = 0; v < GEMM_NV; v++) {
            const int64_t left = w->N - n - 16 * v;
            pack_strip s = {.k_bytes = w->k_stride * unit, .n_bytes = w->n_stride * unit, .K = w->K, .factor = w->factor};
            s.columns = left > 16 ? 16 : left > 0 ? (int)left : 0;
            s.w = (const char *)w->w + (s.columns > 0 ? n + 16 * v : 0) * s.n_bytes;
            s.to = panel + (GEMM_PACK == KERNEL_PACK_Q8 ? 8 * GEMM_NR : 0) + GEMM_STEP_BYTES / GEMM_NV * v;
            if (GEMM_PACK == KERNEL_PACK_Q8) pack_q8(&s, panel + 64 * v, panel + 4 * GEMM_NR + 64 * v);
            else pack_plain(&s);
        }
    }
}

#endif
