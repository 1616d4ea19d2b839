/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs f32 weights of any strides and any alignment into zero-padded panels of tile_n columns.
 */
#include "kernel_pack.h"
#include <string.h>

#define LINE 16 /* floats in a cache line: along a column at most so many are fetched before the next column's turn */

size_t kernel_packed_bytes(int64_t N, int64_t K, int tile_n) {
    if (N < 0 || K < 0 || N > INT64_MAX - tile_n) return SIZE_MAX;
    uint64_t columns = (uint64_t)(N + tile_n - 1) / (uint64_t)tile_n * (uint64_t)tile_n;
    uint64_t limit = (SIZE_MAX < PTRDIFF_MAX ? SIZE_MAX : PTRDIFF_MAX) / sizeof(float);
    if (columns != 0 && (uint64_t)K > limit / columns) return SIZE_MAX;
    return (size_t)(columns * (uint64_t)K) * sizeof(float);
}

/* `columns` <= tile_n real columns of one panel; w is where its first one begins. Addresses are counted in bytes because
 * a mapped file may hold the weight at any of them. */
static void pack_panel(const char *w, int64_t k_stride, int64_t n_stride, int64_t K, int columns, int tile_n, float *panel) {
    const int64_t k_bytes = k_stride * (int64_t)sizeof(float), n_bytes = n_stride * (int64_t)sizeof(float);
    if (columns < tile_n) memset(panel, 0, (size_t)K * (size_t)tile_n * sizeof(float));
    if (n_stride == 1) {
        for (int64_t k = 0; k < K; k++) memcpy(panel + k * tile_n, w + k * k_bytes, (size_t)columns * sizeof(float));
        return;
    }
    for (int64_t k0 = 0; k0 < K; k0 += LINE) {
        int64_t k1 = K - k0 < LINE ? K : k0 + LINE;
        for (int n = 0; n < columns; n++) {
            for (int64_t k = k0; k < k1; k++) memcpy(panel + k * tile_n + n, w + k * k_bytes + n * n_bytes, sizeof(float));
        }
    }
}

void kernel_pack_panels(const float *w, int64_t k_stride, int64_t n_stride, int64_t N, int64_t K, int64_t n_lo, int64_t n_hi, int tile_n,
                        void *packed) {
    for (int64_t n = n_lo; n < n_hi; n += tile_n) {
        const char *column = (const char *)w + n * n_stride * (int64_t)sizeof(float);
        int columns = N - n < tile_n ? (int)(N - n) : tile_n;
        pack_panel(column, k_stride, n_stride, K, columns, tile_n, (float *)packed + n * K);
    }
}
