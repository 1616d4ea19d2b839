/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: u8 rows, s8 weights, sums in s32. The including file has included a dot_<rung>.h, which knows how four
 * of each meet. See gemm_format_f32.h for what each name means.
 *
 * Some rungs subtract DOT_SHIFT from each number of a row so that it fits s8. Then the zero point is less by as much, and the
 * integer that the epilogue turns to f32 is the same: sum of (x - zero) w.
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

typedef dot_acc gemm_acc;
typedef dot_w gemm_w;
typedef dot_x gemm_x;
#define GEMM_STEP_W 64
#define gemm_zero dot_zero
#define gemm_load_w dot_load_w
#define gemm_load_x dot_load_x
#define gemm_madd dot_madd

#define GEMM_OP nk_gemm_q8_q8_f32
#define GEMM_INPUT KERNEL_INPUT_U8
#define GEMM_PACK KERNEL_PACK_Q8
#define GEMM_WEIGHT KERNEL_WEIGHT_Q8
#define GEMM_LAYOUT "q8"
#define GEMM_GELU_ERF vec_gelu_erf_short

typedef struct gemm_column {
    vec bias, scale;
} gemm_column;
typedef vec gemm_row; /* its scale */

VEC_INLINE const char *gemm_rows(const kernel_linear_args *g, int64_t m, int64_t *row_bytes) {
    *row_bytes = g->x_stride;
    return (const char *)g->x8 + m * g->x_stride;
}

VEC_INLINE gemm_column gemm_column_at(const char *panel, int v, const int tile_n, vec bias) {
    return (gemm_column){bias, vec_load(panel + 64 * v)};
}

VEC_INLINE gemm_row gemm_row_at(const kernel_linear_args *g, int64_t m) { return vec_set1(g->x_params[m * g->x_params_stride]); }

/* The sums begin with what the row's zero point adds to them: integers may be added in any order, and here the processor still has
 * the end of the tile before to do. */
VEC_INLINE gemm_acc gemm_begin(const kernel_linear_args *g, int64_t m, const char *panel, int v, const int tile_n) {
    const char *sums = panel + 4 * tile_n + 64 * v;
    const vec zero = vec_set1(g->x_params[m * g->x_params_stride + 1]);
    return dot_times((const int32_t *)(const void *)sums, vec_sub(vec_set1(DOT_SHIFT), zero));
}

VEC_INLINE vec gemm_value(gemm_acc c, gemm_row row, gemm_column column) {
    return vec_fma(dot_float(c), vec_mul(row, column.scale), column.bias);
}

#endif
