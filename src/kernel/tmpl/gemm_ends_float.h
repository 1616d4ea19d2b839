/* SPDX-License-Identifier: Apache-2.0
 *
 * The ends of a Linear whose accumulators are the sums themselves: only the bias is left to add.
 */
#ifndef GEMM_ENDS_FLOAT_H
#define GEMM_ENDS_FLOAT_H

typedef vec gemm_column;
typedef char gemm_row;

VEC_INLINE const char *gemm_rows(const kernel_linear_args *g, int64_t m, int64_t *row_bytes) {
    const int64_t size = GEMM_INPUT == KERNEL_INPUT_F32 ? 4 : 2;
    *row_bytes = g->x_stride * size;
    return (const char *)(GEMM_INPUT == KERNEL_INPUT_F32 ? (const void *)g->x : (const void *)g->x16) + m * *row_bytes;
}
VEC_INLINE gemm_column gemm_column_at(const char *panel, int v, const int tile_n, vec bias) { return bias; }
VEC_INLINE gemm_acc gemm_begin(const kernel_linear_args *g, int64_t m, const char *panel, int v, const int tile_n) { return gemm_zero(); }
VEC_INLINE gemm_row gemm_row_at(const kernel_linear_args *g, int64_t m) { return 0; }
VEC_INLINE vec gemm_value(gemm_acc c, gemm_row row, gemm_column column) { return vec_add(c, column); }

#endif
