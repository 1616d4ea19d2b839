/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: model files with smaller weights. A part of nib.h, which includes it.
 */
#ifndef NIB_QUANTIZE_H
#define NIB_QUANTIZE_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What weights become. */
#define NIB_QUANTIZE_MAP(X)                                                                                            \
    X(INT8, 1, "int8") /* products in 8 bits: MatMulInteger of rows quantized when it runs, a scale a column */        \
    X(INT4, 2, "int4") /* weights alone: 4 bits, a scale for each block of a column */                                \
    X(MIXED, 3, "mixed") /* weights alone: each layer the fewest of 4, 8 and 32 bits that reach min_cosine, or that    \
                            most_bytes allows, by what it was measured to cost */                                      \
    X(FP16, 4, "fp16") /* half precision throughout, but for what leaves its range: as nib_optimize_file's level 4 */  \
    X(BF16, 5, "bf16") /* weights alone, behind a Cast */                                                              \
    X(INT8_STATIC, 6, "int8-static") /* products in 8 bits with ranges that calibration found: QuantizeLinear and      \
                                        DequantizeLinear, a scale for all rows, one a column of the weight */

typedef enum nib_quantize_type {
#define NIB_QUANTIZE_ENUM(name, number, text) NIB_QUANTIZE_##name = number,
    NIB_QUANTIZE_MAP(NIB_QUANTIZE_ENUM)
#undef NIB_QUANTIZE_ENUM
} nib_quantize_type;

/* What of the rows that calibration saw is the range of INT8_STATIC: all; all but a ten thousandth at either end; what is
 * rounded and clipped with the least error; or by the least Kullback-Leibler divergence of their histogram. */
#define NIB_RANGES_MAP(X) X(MINMAX, 0, "minmax") X(PERCENTILE, 1, "percentile") X(MSE, 2, "mse") X(ENTROPY, 3, "entropy")

typedef enum nib_ranges {
#define NIB_RANGES_ENUM(name, number, text) NIB_RANGES_##name = number,
    NIB_RANGES_MAP(NIB_RANGES_ENUM)
#undef NIB_RANGES_ENUM
} nib_ranges;

/* For which machines ONNX Runtime shall find the file best, as Optimum's AutoQuantizationConfig has them: AVX2 has weights of u8 with a
 * zero point in the middle, the others of i8. With one, too, what Optimum writes beside: every table has one scale and is looked up
 * before it becomes numbers; of INT8, products of two values (attention's) are products of 8 bits. */
#define NIB_PRESET_MAP(X) X(NONE, 0, "none") X(AVX2, 1, "avx2") X(AVX512, 2, "avx512") X(AVX512_VNNI, 3, "avx512_vnni") X(ARM64, 4, "arm64")

typedef enum nib_preset {
#define NIB_PRESET_ENUM(name, number, text) NIB_PRESET_##name = number,
    NIB_PRESET_MAP(NIB_PRESET_ENUM)
#undef NIB_PRESET_ENUM
} nib_preset;

typedef struct nib_quantize_options {
    size_t size;
    nib_runtime *runtime; /* NULL: a default one */
    nib_quantize_type type;
    nib_target target; /* which operators the file may have */
    int64_t block;     /* of INT4: numbers of a column that share a scale: 32 (the default), 64, 128 */
    /* Texts whose rows say what matters of each weight (GPTQ, Frantar et al., 2022); none: weights are rounded to the nearest. */
    const char *const *calibrate;
    size_t calibrate_count;
    const char *const *check; /* what the result is measured with; none of them may be one to calibrate on. None: nib's own */
    size_t check_count;
    const char *const *keep; /* names of weights or nodes that stay as they are; '*' stands for any characters */
    size_t keep_count;
    double min_cosine; /* mean cosine to f32 that the result has, in nib and as ONNX means the file; 0: whatever it is */
    int64_t external_over; /* as nib_optimize_options */
    nib_stop_fn stop;      /* in stages; NULL: it goes on to its end */
    void *stop_user;
    int64_t most_bytes; /* of all weights, of MIXED; 0: as many as min_cosine takes */
    nib_ranges ranges;  /* of INT8_STATIC, which must be calibrated */
    int speed;          /* 1 (the default): the report says, too, how fast both models are on this machine and how much memory they
                           hold, which takes some 2 s and what both hold; 0: not */
    nib_preset preset; /* of INT8 and INT8_STATIC */
    int per_tensor;    /* 1: a weight has one scale, not one a column; of the same types */
    int reduce_range;  /* 1: weights of 7 bits, for CPUs that add two products in 16 bits (no VNNI); of the same types */
} nib_quantize_options;

NIB_API void nib_quantize_defaults(nib_quantize_options *options, size_t size);

/* Writes a model file or folder with smaller weights, to `out` as nib_optimize_file does, and measures what that
 * does to vectors of texts: as nib runs the file, and as ONNX means it. Products with constant matrices and tables
 * of 256 rows and more are quantized; others, and those whose rows are no multiple of the block, stay as they are,
 * and the report says why. What the model gives below options->min_cosine gets more bits, layer by layer, 4 to 8 to
 * f32, those first that gain most for a byte, before it is given up. A model that does not embed texts is compared
 * on random inputs; calibrating it, MIXED, or asking for a min_cosine, is UNSUPPORTED. UNSUPPORTED, too: there is
 * nothing to quantize, or the fewest bits take more than most_bytes. `*report` (may be NULL) is given on success,
 * and with DIFFERENT: min_cosine was not reached, or a text gives what is no number where f32 gives numbers (values leave
 * f16's range, say), and nothing was written. Other errors as nib_optimize_file, and
 * INVALID_ARGUMENT: a block that is none of these, MIXED without min_cosine or most_bytes, texts of both kinds that
 * are the same, or texts without a token. */
NIB_API nib_status nib_quantize_file(const char *in, const char *out, const nib_quantize_options *options, nib_report **report,
                                     nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
