/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: u8 rows, s8 weights as they are, and the s32 sums of (x - zero) w are the result: what ONNX's MatMulInteger is. The
 * including file has included a dot_<rung>.h. See gemm_format_f32.h for what each name means; y is args.y32, and has no bias,
 * activation or residual.
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

typedef dot_acc gemm_acc;
typedef dot_w gemm_w;
typedef dot_x gemm_x;
#define GEMM_STEP_W 64
#define gemm_load_w dot_load_w
#define gemm_load_x dot_load_x
#define gemm_madd dot_madd_full

#define GEMM_OP nk_gemm_q8_s8_s32
#define GEMM_INPUT KERNEL_INPUT_U8
#define GEMM_WEIGHT KERNEL_WEIGHT_S8
#define GEMM_PACK KERNEL_PACK_S8
#define GEMM_LAYOUT "s8"
#define GEMM_GELU_ERF vec_gelu_erf_short
#define GEMM_SUMS 1 /* the result is s32 */

typedef char gemm_column, gemm_row;

VEC_INLINE const char *gemm_rows(const kernel_linear_args *g, int64_t m, int64_t *row_bytes) {
    *row_bytes = g->x_stride;
    return (const char *)g->x8 + m * g->x_stride;
}

VEC_INLINE gemm_column gemm_column_at(const char *panel, int v, const int tile_n, vec bias) { return 0; }
VEC_INLINE gemm_row gemm_row_at(const kernel_linear_args *g, int64_t m) { return 0; }

VEC_INLINE gemm_acc gemm_begin(const kernel_linear_args *g, int64_t m, const char *panel, int v, const int tile_n) {
    const vec zero = vec_set1(g->x_params[m * g->x_params_stride + 1]);
    return dot_times((const int32_t *)(const void *)(panel + 64 * v), vec_sub(vec_set1(DOT_SHIFT), zero));
}

VEC_INLINE vec gemm_value(gemm_acc c, gemm_row row, gemm_column column) { return dot_bits(c); }

#endif
