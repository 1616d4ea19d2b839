/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kernel there is, made of kernels.def: the type of each task, the prototype of each kernel, and (in
 * kernel_table.c) a list with names that the checker walks. Included by the kernels themselves, so that a definition that
 * differs from its prototype does not compile.
 */
#ifndef KERNEL_LIST_H
#define KERNEL_LIST_H

#include "kernel.h"

typedef void kernel_fn_attention_f32(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head,
                                     int64_t row_lo, int64_t row_hi, void *scratch);
typedef kernel_fn_attention_f32 kernel_fn_attention_q8;
typedef void kernel_fn_layer_norm_f32(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride, const float *gamma,
                                      const float *beta, float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride,
                                      float *sum_out, int64_t sum_stride);
typedef void kernel_fn_rms_norm_f32(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride, const float *gamma,
                                    float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride, float *sum_out,
                                    int64_t sum_stride);
typedef void kernel_fn_softmax_f32(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride);
typedef void kernel_fn_activation_f32(kernel_activation activation, const float *x, int64_t n, float *y);
typedef void kernel_fn_map_f32(const kernel_map *map, const kernel_map_input *inputs, int64_t n, float *y);
typedef void kernel_fn_conv_columns_f32(const kernel_conv *c, const float *x, int64_t lo, int64_t hi, int columns, float *panels);
typedef void kernel_fn_conv_plane_f32(const kernel_conv *c, const float *x, const float *w, float bias, int64_t row_lo, int64_t row_hi,
                                      float *scratch, float *y);
typedef void kernel_fn_pool_plane_f32(const kernel_conv *c, bool most, const float *x, int64_t row_lo, int64_t row_hi, float *scratch,
                                      float *y);
typedef void kernel_fn_turn_u8(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns, uint8_t flip, uint8_t *y,
                               int64_t y_stride);
typedef void kernel_fn_requantize_s32(const int32_t *x, const int32_t *add, const float *factor, int64_t step, int64_t n, int zero, int lo,
                                      int hi, uint8_t *y);
typedef void kernel_fn_conv_plane_u8(const kernel_conv *c, const uint8_t *x, uint8_t flip, uint8_t pad, const int16_t *w, int64_t row_lo,
                                     int64_t row_hi, int16_t *scratch, int32_t *y);
typedef void kernel_fn_reduce_rows_f32(bool most, const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y);
typedef void kernel_fn_add_f32(const float *a, const float *b, int64_t n, float *y);
typedef void kernel_fn_mul_f32(const float *a, const float *b, int64_t n, float *y);
typedef void kernel_fn_scale_f32(const float *a, float s, int64_t n, float *y);
typedef void kernel_fn_row_sum_f32(const float *x, int64_t x_stride, const float *weight, int64_t rows, int64_t columns, float *y);
typedef void kernel_fn_row_max_f32(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y);
typedef void kernel_fn_l2_normalize_f32(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride);
typedef void kernel_fn_rotary_f32(const float *x, int64_t heads, int64_t head_dim, int64_t half, bool interleaved, const float *cos,
                                  const float *sin, int64_t second, float *y);
typedef void kernel_fn_gather_sum_f32(const void *const *rows, int n, int64_t columns, float *y);
typedef void kernel_fn_quantize_rows_u8(const float *x, int64_t x_stride, const float *factor, int64_t rows, int64_t columns, uint8_t *y,
                                        int64_t y_stride, float *params, int64_t params_stride);
typedef void kernel_fn_round_rows_bf16(const float *x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t *y, int64_t y_stride);
typedef void kernel_fn_range_f32(const float *x, int64_t n, float *lo, float *hi);
typedef void kernel_fn_round_u8(const float *x, int64_t n, float scale, float zero, uint8_t *y);
typedef void kernel_fn_scale_s32(const int32_t *x, const float *scale, float factor, const float *add, int64_t n, float *y);
typedef void kernel_fn_l2_norms_f32(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *norms);
typedef void kernel_fn_round_rows_f16(const float *x, int64_t x_stride, const float *divisor, int64_t rows,
                                      int64_t columns, uint16_t *y, int64_t y_stride);
typedef void kernel_fn_bucket_rows_u8(const float *x, int64_t x_stride, const float *divisor, const float *lo,
                                      const float *hi, bool is_signed, int64_t rows, int64_t columns, uint8_t *y,
                                      int64_t y_stride);
typedef void kernel_fn_pack_rows_u1(const float *x, int64_t x_stride, const float *threshold, bool is_signed,
                                    int64_t rows, int64_t columns, uint8_t *y, int64_t y_stride);
typedef void kernel_fn_score_rows(kernel_score score, kernel_element element, const float *q, const void *x,
                                  int64_t x_stride, int64_t rows, int64_t columns, float *y);
typedef void kernel_fn_hamming_rows(const uint8_t *q, const uint8_t *x, int64_t x_stride, int64_t rows, int64_t bytes,
                                    int32_t *y);

/* Prototypes of all rungs, also of those that this build does not compile. */
#define KERNEL_EVERY_RUNG
#define LINEAR(weight, name, tile, isa, ISA) extern const kernel_linear nk_##name##__##tile##_##isa;
#define KERNEL(member, name, tile, isa, ISA) kernel_fn_##member nk_##name##__##tile##_##isa;
#include "kernels.def"
#undef LINEAR
#undef KERNEL
#undef KERNEL_EVERY_RUNG

typedef struct kernel_entry {
    const char *task; /* the member of `kernels` that it fills; of a linear kernel "linear_" and the format of its weights */
    const char *name;
    base_isa isa;
    void (*function)(void);      /* of type kernel_fn_<task>; NULL for a linear kernel */
    const kernel_linear *linear; /* or this */
} kernel_entry;

/* In order of kernels.def, worst rung first; *count gets how many. */
const kernel_entry *kernel_entries(size_t *count);

#endif
