/* SPDX-License-Identifier: Apache-2.0
 *
 * CPU arithmetic on raw pointers: the table of functions that cpu/ and op/ call.
 *
 * `kernels` holds one function per task, filled by kernel_table_init from the reference (plain C) upwards, each rung of
 * the instruction-set ladder overriding what it does better. Nothing here allocates, locks, fails or knows what a graph
 * is; sizes were checked by the caller. Kernels never read or write outside the ranges that their arguments describe.
 *
 * Same bits. For a row of input, the bits of the row of output depend on nothing else: not on M, on where the row lies,
 * or on how rows and columns were split between calls. So every kernel adds along K (and along a row, and along keys) in
 * one fixed order:
 *   - Linear: one chain of fused multiply-adds per output, k = 0 .. K-1, starting from 0; then bias, then activation,
 *     then residual (added, or multiplied with). On bf16 rows a link of the chain is a pair of k, or 32 in tile registers, and how
 *     the processor adds them is its own affair; on u8 rows the sum is an integer, which no order changes.
 *   - Row reductions (norm, softmax, pool's L2): 16 virtual lanes, lane l takes elements l, l + 16, ...; lanes are then
 *     added as a tree 8, 4, 2, 1. No approximate instructions.
 *   - Attention: keys in tiles of KERNEL_KEY_TILE counted from position 0 of the text, online softmax per tile.
 * The rungs with FMA (avx2 upwards, neon) give the same bits as one another; `generic` (ref/, no FMA) may differ from
 * them within rounding.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "base/base_cpu.h"
#include "base/base_quant.h"
#include "kernel_conv.h"
#include "kernel_map.h"

typedef enum kernel_activation {
    KERNEL_ACT_NONE,
    KERNEL_ACT_GELU_ERF, /* 0.5 x (1 + erf(x / sqrt 2)), absolute error <= 1e-6 (beside the result's own rounding; of a Linear on bf16 or q8
                            weights 2.8e-5, which is less than its next reader rounds away); 0 at -infinity */
    KERNEL_ACT_GELU_TANH, /* the tanh form, as its own function, not as an approximation of the above */
    KERNEL_ACT_TANH,
    KERNEL_ACT_SILU,
    KERNEL_ACT_RELU,
    KERNEL_ACT_SIGMOID
} kernel_activation;

/* What a Linear kernel reads its input as. */
typedef enum kernel_input {
    KERNEL_INPUT_F32,  /* args.x */
    KERNEL_INPUT_BF16, /* args.x16: rows made by round_rows_bf16, K rounded up to a multiple of 2, padded with 0 */
    KERNEL_INPUT_U8,   /* args.x8: rows made by quantize_rows_u8, K rounded up to a multiple of 4, padded with the row's zero point */
    KERNEL_INPUTS
} kernel_input;

/* What a Linear kernel multiplies them with; each a row of kernel_weight_formats. */
typedef enum kernel_weight_format {
    KERNEL_WEIGHT_F32,
    KERNEL_WEIGHT_BF16,
    /* symmetric s8: one scale a column, max |w| / 127 (1 if that is 0), clamp(round(w / scale), -127, 127), half to even, NaN counting
     * as 0 */
    KERNEL_WEIGHT_Q8,
    /* symmetric s4 in blocks of 32 along K, a scale of f16 each: kernel_round_q4 (kernel_pack.h) */
    KERNEL_WEIGHT_Q4,
    /* whole numbers of s8, and y is s32: the sums of (x - zero) w, exact; no bias, activation or residual. For integer operators */
    KERNEL_WEIGHT_S8,
    KERNEL_WEIGHTS
} kernel_weight_format;

/* A format of rows or of weights. `axis` of its type counts for nothing: it is K. */
typedef struct kernel_format {
    const char *name; /* "q8" */
    base_quant type;  /* of f32: not quantized */
    int multiple;     /* K is a multiple of it where a graph asks for such rows or weights */
    int64_t most_k;   /* and at most this */
    bool sums;        /* y is s32: no format of a Linear's weights */
} kernel_format;
extern const kernel_format kernel_input_formats[KERNEL_INPUTS], kernel_weight_formats[KERNEL_WEIGHTS];
/* The row of `formats` [count] that is of this type and no `sums`; -1: there is none, and no kernel reads or packs it. */
int kernel_format_of(const kernel_format *formats, int count, const base_quant *type);

typedef struct kernel_linear_args {
    const float *x; /* [M, K], rows x_stride elements apart */
    int64_t x_stride;
    const void *w;         /* packed by `pack` */
    const float *bias;     /* [N] or NULL; may be misaligned by less than 4 bytes' worth: read with memcpy or unaligned loads */
    const float *residual; /* [M, N], rows residual_stride apart, added (or multiplied with) last; or NULL */
    int64_t residual_stride;
    float *y;     /* [M, N], rows y_stride apart; may be `residual` itself */
    int32_t *y32; /* in place of y, of a format of `sums` */
    int64_t y_stride;
    int64_t M, N, K;
    kernel_activation activation;
    bool residual_multiplies; /* y = activation(..) * residual: the second half of a gated pair */
    const uint16_t *x16;      /* [M, K2] bfloat16; x_stride counts its elements */
    const uint8_t *x8;        /* [M, K4]; x_stride counts its elements */
    const float *x_params;    /* [M, 2] of x8's rows: scale, zero point (a whole number); row m at x_params + m * x_params_stride */
    int64_t x_params_stride;
} kernel_linear_args;

/* A weight [K, N] as a file holds it. */
typedef struct kernel_weight {
    const float *w; /* w(k, n) is at w + k * k_stride + n * n_stride (in elements), any byte alignment */
    int64_t k_stride, n_stride, N, K;
    const float *factor; /* [K] powers of two that x will be multiplied by, so the weight is divided by them; or NULL */
} kernel_weight;

#define KERNEL_Q8_MOST_K 65536
#define KERNEL_S8_MOST_K 65536 /* 65536 * 255 * 128 < 2^31 */

/* One way to do y = activation(x W + bias) + residual, or times residual. Chosen once per weight, when the plan is made. */
typedef struct kernel_linear {
    const char *name; /* nk_gemm_f32_f32_f32__12x32_avx512 */
    base_isa isa;
    kernel_input input;
    kernel_weight_format weight;
    int tile_m, tile_n;
    /* How much `pack` writes: panels of tile_n columns, one after the other, the last one padded with zeros. SIZE_MAX if it does not fit;
     * in q8 also if K > KERNEL_Q8_MOST_K, where a sum might not fit 32 bits. */
    size_t (*packed_bytes)(int64_t N, int64_t K);
    /* Packs columns [n_lo, n_hi) of the weight; n_lo is a multiple of tile_n. Other column ranges may be packed by other threads. */
    void (*pack)(const struct kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed);
    /* The K numbers of column n, as products have them: what a table that is also a weight is looked up by. */
    void (*column)(const void *packed, int64_t K, int64_t n, float *to);
    /* Rows [m_lo, m_hi), columns [n_lo, n_hi) of y; n_lo is a multiple of tile_n. Blocks itself for the caches. */
    void (*run)(const struct kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi);
    /* How a panel is laid out, "bf16_pairs": with tile_n the whole of what `pack` writes. Files hold packed weights by this name, so a
     * panel that is laid out otherwise gets another one. */
    const char *layout;
} kernel_linear;

#define KERNEL_LAYOUT_NAME 32
/* "q8_n32": kernels of one name read what the others pack. */
void kernel_layout_name(const kernel_linear *kernel, char name[KERNEL_LAYOUT_NAME]);

/* What a score has beside q . k by how far apart query i and key j stand (He et al., "DeBERTa: Decoding-enhanced BERT
 * with Disentangled Attention", 2021): q . keys[row] + k . queries[row], scaled as q . k is, where row = rows[reach +
 * clip(position of i - position of j, -reach, reach)]. */
typedef struct kernel_relative {
    const void *keys, *queries; /* tables of all query heads, as kernel_relative_pack writes them; each may be NULL */
    const float *bias;          /* [heads, count], or NULL: bias[row] is added to the scaled score (T5's, MPNet's) */
    /* [heads], or NULL: slopes[head] times the distance, positive on either side, is added to the scaled score (Press et al., "Train
     * Short, Test Long: Attention with Linear Biases", 2021). Positions are below 2^24 */
    const float *slopes;
    const int32_t *rows;        /* [2 reach + 1] from 0 to count - 1, each the one before it or one more; NULL: there are no tables */
    int64_t reach, count;       /* count: rows of a head's table */
} kernel_relative;

#define KERNEL_RELATIVE_BLOCK 16
typedef enum kernel_relative_table { KERNEL_RELATIVE_KEYS, KERNEL_RELATIVE_QUERIES } kernel_relative_table;
/* Bytes of a packed head, a multiple of 64; `q8`: for attention_q8, which wants head_dim to be a multiple of 16, and
 * numbers that are finite: one scale a row, max |x| / 127, as keys have it. SIZE_MAX if they do not fit. */
size_t kernel_relative_bytes(bool q8, int64_t count, int64_t head_dim);
/* table [heads, count, head_dim], any alignment. With rows rounded up to whole blocks of KERNEL_RELATIVE_BLOCK, those
 * behind the last all 0, a head is, in f32: keys [rows][D], queries [rows / block][D][block]; in q8: scales [rows] f32,
 * -128 times the sums of the numbers [rows] s32, then keys + 128 as u8 [rows][D], or queries as s8 [rows / block][D /
 * 4][block][4]. */
void kernel_relative_pack(kernel_relative_table which, bool q8, const float *table, int heads, int64_t count,
                          int64_t head_dim, void *packed);

/* What is summed of a query q and a row d, and what a row's numbers are. */
typedef enum kernel_score { KERNEL_SCORE_DOT, KERNEL_SCORE_SQUARES, KERNEL_SCORE_ABSOLUTE } kernel_score;
typedef enum kernel_element {
    KERNEL_ELEMENT_F32,
    KERNEL_ELEMENT_F16,
    KERNEL_ELEMENT_I8,
    KERNEL_ELEMENT_U8,
    KERNEL_ELEMENTS
} kernel_element;

#define KERNEL_KEY_TILE 64
#define KERNEL_ATTENTION_PANELS 6 /* of queries that share a copy of a tile of keys */
#define KERNEL_RELATIVE_SCRATCH (96 << 10)

/* One text's attention, or part of it. Matrices are ragged: row r of the batch is at base + r * stride elements, head h
 * begins at h * head_dim within the row. The design's page-table cache: old keys of the text lie in pages of `page` keys,
 * page p at cache_k + pages[p] * page_stride, key i within it at + i * cache_key_stride, head at + h * head_dim. */
typedef struct kernel_attention_args {
    const float *q;     /* row r: q + r * q_stride, [heads, head_dim] */
    const float *k, *v; /* new keys and values, row r, [kv_heads, head_dim] */
    float *y;           /* row r: y + r * y_stride, [heads, head_dim] */
    int64_t q_stride, k_stride, v_stride, y_stride;
    int heads, kv_heads, head_dim; /* heads is a multiple of kv_heads: query head h uses kv head h / (heads / kv_heads) */
    float scale;
    float softcap;                     /* > 0: s = softcap * tanh(s / softcap) after scaling */
    bool causal;                       /* position of key <= position of query */
    int64_t window_left, window_right; /* < 0: unlimited; else query position - window_left <= key position <= query position
        + window_right */
    const int32_t *positions;          /* [T] position of each batch row in its text, or NULL: kv_old + (row - first row of the text) */
    /* Additive bias, or NULL: row r of the batch, head h, key j at
     * bias + text * bias_text_stride + h * bias_head_stride + (r - first row) * bias_row_stride + j. */
    const float *bias;
    int64_t bias_text_stride, bias_head_stride, bias_row_stride;
    const float *sinks; /* [heads] or NULL: one more logit per head that takes part in the softmax's sum only */
    /* The cache; cache_k NULL: none. Positions of old keys are 0 .. kv_old - 1. */
    const float *cache_k, *cache_v;
    const int32_t *pages;
    int64_t page, page_stride, cache_key_stride;
    const kernel_relative *relative; /* or NULL */
} kernel_attention_args;

/* As many Linear kernels as kernels.def has for any processor. */
enum {
    KERNEL_LINEARS = 0
#define KERNEL_EVERY_RUNG
#define LINEAR(weight, name, tile, isa, ISA) +1
#define KERNEL(member, name, tile, isa, ISA)
#include "kernels.def"
#undef LINEAR
#undef KERNEL
#undef KERNEL_EVERY_RUNG
};

/* Ready-made instances of every task for one CPU. Row tasks work on rows [0, rows), row r at base + r * stride. */
typedef struct kernels {
    uint32_t isas;                                       /* what it was made for */
    /* Of all formats, the best of each first, its reference last, NULL after the last: kernel_linear_find chooses.
     * bf16 weights: with AVX512_BF16 (or the like) on bf16 rows, elsewhere f32 arithmetic on f32 rows; `input` says which.
     * q8: asymmetric u8 rows (one scale and zero point a row) x symmetric s8 weights. The s32 sums are the same integers on every
     * CPU, the rest is one multiply-add with the product of the scales, fused from avx2 and neon upwards. y = activation((sum - zero *
     * column_sum) * (row scale * column scale) + bias)
     * + residual, in this order.
     * q4: the same rows x s4 weights in blocks. A block's sum is an integer; sums = fma(block's sum, block's scale, sums), block after
     * block; y = activation(fma(sums - zero * sum of the column's weights, row scale, bias)) + residual. */
    const kernel_linear *linear[KERNEL_LINEARS + 1];
    /* u8 rows of f32 rows, each number first times factor[column] if factor [columns] is not NULL: lo = min(row, 0), hi = max(row, 0),
     * scale = (hi - lo) / 255 (1 if that is below FLT_MIN), zero = round(-lo * (1 / scale)),
     * y = clamp(round(x * (1 / scale) + zero), 0, 255): product and sum are one operation, rounded once, half to even. params
     * [rows, 2] gets scale, zero. A row that is not finite (or whose hi - lo is not) gets the scale NaN and zeros, and so gives
     * NaN in Linear. Columns up to the next multiple of 4 are filled with zero. The same bits on every rung. */
    void (*quantize_rows_u8)(const float *x, int64_t x_stride, const float *factor, int64_t rows, int64_t columns, uint8_t *y,
                             int64_t y_stride, float *params, int64_t params_stride);
    /* To the nearest bfloat16, half to even; NaN stays NaN. An odd row gets one 0 more. The same bits on every rung. */
    void (*round_rows_bf16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t *y, int64_t y_stride);
    /* For integer operators, whose rows ONNX's DynamicQuantizeLinear rounds; the same bits on every rung, but of scale_s32.
     * *lo and *hi are moved apart until x [n] lies between them; a NaN counts for nothing. */
    void (*range_f32)(const float *x, int64_t n, float *lo, float *hi);
    /* y = clamp(round(x / scale) + zero, 0, 255), half to even; zero is a whole number from 0 to 255, and a NaN gives 0. */
    void (*round_u8)(const float *x, int64_t n, float scale, float zero, uint8_t *y);
    /* y = x * (scale[i] * factor) + add[i], x first rounded to f32, the rest one multiply-add; scale NULL: all 1, add NULL: all 0. y may be
     * x, or add. */
    void (*scale_s32)(const int32_t *x, const float *scale, float factor, const float *add, int64_t n, float *y);

    /* Attention of query rows [row_lo, row_hi) (rows of the batch, first <= row_lo, row_hi <= first + n) and head
     * `head` of one text whose new keys are batch rows [first, first + n) and whose old keys number kv_old. A query
     * that may look at no key gets a zero row; a key that it may not look at has no influence, even if it holds NaN.
     * `scratch` has attention_scratch(head_dim) bytes, and KERNEL_RELATIVE_SCRATCH more where `relative` is not NULL,
     * 64-aligned; memory does not depend on n. */
    void (*attention_f32)(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head,
                          int64_t row_lo, int64_t row_hi, void *scratch);
    size_t (*attention_scratch)(int head_dim);
    /* The same with integer products: queries and keys rounded to s8 with one scale each, values to 1/8191 of the
     * largest of the same dimension in their tile of KERNEL_KEY_TILE keys. A weight is 2^-u, u in log2 units below the
     * largest score so far and rounded to 1/2048, given in units of 1/4095: off by less than 0.9 of one, and 0 from u =
     * 13 on. All sums are exact, that of the rounded weights too, which the output is divided by. What `relative` has
     * is rounded as keys are, and its products are added in f32. head_dim is a multiple of 16, at most 256; kv_old 0,
     * not causal, no bias, softcap or sinks. A query, or a key it looks at, that is not finite gives a row of NaN; so
     * does a value in a tile that it looks at. Same bits on every rung from avx2 and neon upwards. */
    void (*attention_q8)(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head,
                         int64_t row_lo, int64_t row_hi, void *scratch);
    size_t (*attention_q8_scratch)(int head_dim);

    /* y = (x [+ residual] - mean) / sqrt(var + eps) * gamma + beta; beta may be NULL. sum_out (may be NULL) gets x + residual.
     * y and sum_out may each be x or residual, with the same stride. */
    void (*layer_norm_f32)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride, const float *gamma,
                           const float *beta, float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride, float *sum_out,
                           int64_t sum_stride);
    /* y = (x [+ residual]) / sqrt(mean(x^2) + eps) * gamma */
    void (*rms_norm_f32)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride, const float *gamma, float eps,
                         int64_t rows, int64_t columns, float *y, int64_t y_stride, float *sum_out, int64_t sum_stride);
    void (*softmax_f32)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride);
    void (*activation_f32)(kernel_activation activation, const float *x, int64_t n, float *y); /* y may be x */
    /* y[i] = the program's last register for number i of each input; y may be an input. */
    void (*map_f32)(const kernel_map *map, const kernel_map_input *inputs, int64_t n, float *y);
    /* Pixels [lo, hi) of the output, counted row by row, as columns of a product: panels of `columns` (at most 64) as the f32 linear
     * kernel of so many columns packs its weights, K + 1 rows each: k = (channel, row, column of the window), then ones for a bias.
     * What lies in the padding is 0, and so are columns past hi. x [channels, in_h, in_w]. */
    void (*conv_columns_f32)(const kernel_conv *c, const float *x, int64_t lo, int64_t hi, int columns, float *panels);
    /* Rows [row_lo, row_hi) of one plane of the output, y [rows, out_w], of one plane of the input under the window
     * w: channels counts for nothing, and kernel_w is at most KERNEL_CONV_COLUMNS. Each output is one chain of
     * multiply-adds over the cells in order, then the bias. scratch: kernel_conv_scratch(c, row_hi - row_lo) floats. */
    void (*conv_plane_f32)(const kernel_conv *c, const float *x, const float *w, float bias, int64_t row_lo, int64_t row_hi,
                           float *scratch, float *y);
    /* The same of the largest cell (NaN if one is), or of the sum of all; the padding counts for nothing. */
    void (*pool_plane_f32)(const kernel_conv *c, bool most, const float *x, int64_t row_lo, int64_t row_hi, float *scratch, float *y);
    /* Around the s8 product, and of one plane; the same bits on every rung.
     * y[c][r] = x[r][c] ^ flip, of rows x columns bytes; 128 makes u8 of s8. */
    void (*turn_u8)(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns, uint8_t flip, uint8_t *y, int64_t y_stride);
    /* y = clamp(round((float)(x + add) * factor) + zero, lo, hi), half to even; |zero| <= 255, factors are finite. add and factor
     * [n], or of step 0 one number for all. As ONNX Runtime does it. */
    void (*requantize_s32)(const int32_t *x, const int32_t *add, const float *factor, int64_t step, int64_t n, int zero, int lo, int hi,
                           uint8_t *y);
    /* conv_plane_f32 of bytes: sums of (x ^ flip) w, in the padding of pad w. At most 32768 cells a window, |w| <= 255. scratch:
     * kernel_conv_scratch(c, row_hi - row_lo) numbers. */
    void (*conv_plane_u8)(const kernel_conv *c, const uint8_t *x, uint8_t flip, uint8_t pad, const int16_t *w, int64_t row_lo,
                          int64_t row_hi, int16_t *scratch, int32_t *y);
    /* y[r] = the sum of row r of x, or its largest number (NaN if one is; -infinity of none), in the order of row reductions. */
    void (*reduce_rows_f32)(bool most, const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y);
    void (*add_f32)(const float *a, const float *b, int64_t n, float *y);                      /* y may be a or b */
    void (*mul_f32)(const float *a, const float *b, int64_t n, float *y);
    void (*scale_f32)(const float *a, float s, int64_t n, float *y);
    /* y[columns] = sum (or element-wise maximum) over rows of x, optionally each times weight[r]; rows are added in order r = 0, 1, ...
     * No rows give 0. A NaN in a column makes its maximum NaN. */
    void (*row_sum_f32)(const float *x, int64_t x_stride, const float *weight, int64_t rows, int64_t columns, float *y);
    void (*row_max_f32)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y);
    /* y = x / max(||x||_2, eps), eps 1e-12; a zero row stays zero. y may be x. */
    void (*l2_normalize_f32)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride);
    /* Turns pairs of columns of one row: `heads` heads of head_dim columns, of each of which the first 2 `half` columns are pairs
     * (i, half + i), or (2 i, 2 i + 1) if interleaved, and the rest stays. Pair i becomes a cos[i] - b sin[i], b cos[second + i] +
     * a sin[second + i], each one multiplication and one multiply-add. `second` is 0 where a table's row has the angle of each pair
     * once, half where it has it twice. y may be x; tables may be misaligned. */
    void (*rotary_f32)(const float *x, int64_t heads, int64_t head_dim, int64_t half, bool interleaved, const float *cos, const float *sin,
                       int64_t second, float *y);
    /* y = sum over t of tables[t][ids[t]], added in order t. Each table row pointer is given: no bounds are known here.
     * Tables may be misaligned (mapped files): read with unaligned loads. */
    void (*gather_sum_f32)(const void *const *rows, int n, int64_t columns, float *y);

    /* Vectors as they are stored (nib/vectors.h). divisor [rows] may be NULL: each number is first divided by its row's.
     * norms[r] = max(||x_r||_2, 1e-12), the bits that l2_normalize_f32 divides by. */
    void (*l2_norms_f32)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *norms);
    /* To the nearest f16, half to even; NaN stays NaN. The same bits on every rung, as of the next two. */
    void (*round_rows_f16)(const float *x, int64_t x_stride, const float *divisor, int64_t rows, int64_t columns,
                           uint16_t *y, int64_t y_stride);
    /* y = floor(clamp((x - lo) / step, 0, 255)), step = (hi - lo) / 255, 1 where that is 0 or NaN; a NaN gives 0.
     * is_signed: less 128, as s8. */
    void (*bucket_rows_u8)(const float *x, int64_t x_stride, const float *divisor, const float *lo, const float *hi,
                           bool is_signed, int64_t rows, int64_t columns, uint8_t *y, int64_t y_stride);
    /* A bit a number, x > threshold[r] (NULL: 0): eight to a byte, the first in the highest bit, the last byte filled
     * with 0. is_signed: each byte less 128, as s8. */
    void (*pack_rows_u1)(const float *x, int64_t x_stride, const float *threshold, bool is_signed, int64_t rows,
                         int64_t columns, uint8_t *y, int64_t y_stride);
    /* y[r] = sum of q d, of (q - d)^2, or of |q - d|, in the order of row reductions. Rows are x_stride bytes apart. */
    void (*score_rows)(kernel_score score, kernel_element element, const float *q, const void *x, int64_t x_stride,
                       int64_t rows, int64_t columns, float *y);
    /* y[r] = how many bits of q and of row r differ. */
    void (*hamming_rows)(const uint8_t *q, const uint8_t *x, int64_t x_stride, int64_t rows, int64_t bytes, int32_t *y);
} kernels;

/* The best table for these instruction sets (bits 1u << base_isa). Deterministic; cheap enough to call per model. */
void kernel_table_init(kernels *table, uint32_t isas);
/* The best that multiplies `input` rows (KERNEL_INPUTS: any) with such weights, packed as `layout` (kernel_layout_name; NULL: anyhow).
 * NULL if there is none; never where both are left open, since each format has its reference. */
const kernel_linear *kernel_linear_find(const kernels *table, kernel_input input, kernel_weight_format weight, const char *layout);
/* The plainest one of a format, whose packed columns lie one after the other where they are looked up. */
const kernel_linear *kernel_linear_reference(const kernels *table, kernel_weight_format weight);
/* The format of the weights that some kernel of this build packs so; -1: none does. */
int kernel_layout_format(const char *layout);

#endif
