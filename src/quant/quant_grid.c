/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights that were quantized before, and read back as numbers: whoever reads a file need not carry along how. Numbers (q - zero) * scale
 * are whole multiples of one scale, -255 to 255, in each block, and in each aligned part of a block. That 16 numbers of a weight that was
 * not quantized are that by chance, to a thousandth of the scale, does not happen.
 */
#include "quant.h"
#include "kernel/kernel_pack.h"
#include <math.h>
#include <string.h>

#define PART 16    /* numbers: no block is shorter */
#define TABLE_SAMPLES 256 /* rows of a table */
#define SAMPLES 24 /* blocks of a weight that are looked at */

static bool are_multiples(const float *x, int n, int most) {
    float largest = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > largest) largest = fabsf(x[i]);
    for (int m = 1; m <= most; m++) {
        const float d = largest / (float)m;
        int i = 0;
        for (; i < n; i++) {
            const float r = x[i] / d;
            if (!(fabsf(r - rintf(r)) <= 1e-3f)) break;
        }
        if (i == n) return true;
    }
    return largest == 0;
}

static kernel_weight_format grid_of(const graph_tensor *w, bool trans) {
    const int64_t K = w->dims[trans], N = w->dims[!trans], blocks = K / KERNEL_Q4_BLOCK;
    bool q4 = blocks > 0 && K % KERNEL_Q4_BLOCK == 0;
    if (w->dtype != NIB_DTYPE_F32 || K < PART) return KERNEL_WEIGHT_F32;
    for (int i = 0; i < SAMPLES; i++) {
        const int64_t n = i * (N - 1) / (SAMPLES - 1), block = blocks > 0 ? i * 7 % blocks : 0;
        float x[KERNEL_Q4_BLOCK], scale;
        int8_t q[KERNEL_Q4_BLOCK];
        const int many = K >= KERNEL_Q4_BLOCK ? KERNEL_Q4_BLOCK : PART;
        for (int k = 0; k < many; k++) {
            const int64_t at = block * KERNEL_Q4_BLOCK + k;
            memcpy(&x[k], (const char *)w->data + 4 * (trans ? n * K + at : at * N + n), 4);
        }
        for (int k = 0; k < many; k += PART)
            if (!are_multiples(x + k, PART, 255)) return KERNEL_WEIGHT_F32;
        q4 = q4 && kernel_round_q4(x, 1, q, &scale);
    }
    return q4 ? KERNEL_WEIGHT_Q4 : KERNEL_WEIGHT_Q8;
}

bool quant_grid_of_rows(const graph_tensor *t) {
    const int64_t rows = t->dims[0], columns = t->dims[1];
    if (t->dtype != NIB_DTYPE_F32 || columns < PART) return false;
    for (int s = 0; s < TABLE_SAMPLES; s++) {
        const char *row = (const char *)t->data + 4 * columns * (s * (rows - 1) / (TABLE_SAMPLES - 1));
        float largest = 0, x;
        for (int64_t k = 0; k < columns; k++) {
            memcpy(&x, row + 4 * k, sizeof x);
            if (!(fabsf(x) <= largest)) largest = fabsf(x);
        }
        for (int64_t k = 0; k < columns && largest > 0; k++) {
            memcpy(&x, row + 4 * k, sizeof x);
            const float r = x / (largest / 127);
            if (!(fabsf(r - rintf(r)) <= 1e-3f)) return false;
        }
    }
    return true;
}

kernel_weight_format quant_grid_of(const op_linear *l) {
    kernel_weight_format all = KERNEL_WEIGHT_Q4;
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *w = l->weights[i]->constant;
        const kernel_weight_format one = w && w->rank == 2 ? grid_of(w, l->trans) : KERNEL_WEIGHT_F32;
        if (one == KERNEL_WEIGHT_F32) return one;
        if (one == KERNEL_WEIGHT_Q8) all = one;
    }
    return all;
}
