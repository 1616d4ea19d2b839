/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: u8 rows, s4 weights in blocks of 32 along K with a scale each. Sums of a block are integers in s32, and are folded
 * into f32 with the block's scale: sum = fma(sum of the block, scale, sum), block after block, which is the one chain of an output. The
 * including file has included a dot_<rung>.h. See gemm_format_f32.h for what each name means.
 *
 * Weights come as sixteen times themselves (dot_load_low, dot_load_high), and the epilogue's scale of a row is a sixteenth. What the zero
 * point of a row adds is taken off there, too: zero times the sum of the column's weights, which lies in the panel's head.
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

typedef vec gemm_acc;
typedef dot_x gemm_x;
#define gemm_load_x dot_load_x

#define GEMM_OP nk_gemm_q8_q4_f32
#define GEMM_INPUT KERNEL_INPUT_U8
#define GEMM_WEIGHT KERNEL_WEIGHT_Q4
#define GEMM_PACK KERNEL_PACK_Q4
#define GEMM_LAYOUT "q4"
#define GEMM_GELU_ERF vec_gelu_erf_short

/* A block: 16 scales for each vector of columns, then two steps at a time, in the halves of a byte. */
#define GEMM_FOLD 8 /* steps of a block, each of four numbers of a row */
#define GEMM_SCALES 32
#define GEMM_TWO_STEPS 64
typedef dot_acc gemm_part;
typedef dot_w gemm_w;
#define gemm_part_zero dot_zero
#define gemm_part_madd dot_madd_full
#define gemm_load_first dot_load_low
#define gemm_load_second dot_load_high
#define gemm_settle dot_settle

VEC_INLINE gemm_acc gemm_fold(gemm_acc c, gemm_part sum, vec scale) { return vec_fma(dot_float(sum), scale, c); }

typedef struct gemm_column {
    vec bias, weights; /* the sum of them */
} gemm_column;
typedef struct gemm_row {
    vec scale, minus_zero;
} gemm_row;

VEC_INLINE const char *gemm_rows(const kernel_linear_args *g, int64_t m, int64_t *row_bytes) {
    *row_bytes = g->x_stride;
    return (const char *)g->x8 + m * g->x_stride;
}

VEC_INLINE gemm_column gemm_column_at(const char *panel, int v, const int tile_n, vec bias) {
    return (gemm_column){bias, vec_load(panel + 64 * v)};
}

VEC_INLINE gemm_row gemm_row_at(const kernel_linear_args *g, int64_t m) {
    const float *params = g->x_params + m * g->x_params_stride;
    return (gemm_row){vec_set1(params[0] * 0.0625f), vec_set1(-params[1])};
}

VEC_INLINE gemm_acc gemm_begin(const kernel_linear_args *g, int64_t m, const char *panel, int v, const int tile_n) { return vec_zero(); }

VEC_INLINE vec gemm_value(gemm_acc c, gemm_row row, gemm_column column) {
    return vec_fma(vec_fma(row.minus_zero, column.weights, c), row.scale, column.bias);
}

#endif
