/* SPDX-License-Identifier: Apache-2.0
 *
 * A quantized type: how numbers are held in fewer bits. number = (element - zero) * scale, and which elements share a scale:
 *
 *     a weight of s8, one scale a column        {I8, F32, .axis = K}
 *     rows of u8, a scale and a zero point each {U8, F32, true, .axis = last}
 *     a weight of u4 in blocks of 32            {U4, F16, true, .axis = K, .block = 32}   (ONNX: MatMulNBits, blocked DequantizeLinear)
 *     one scale for a tensor                    {U8, F32, true, .axis = -1}               (ONNX: DynamicQuantizeLinear)
 *     rounded, without a scale                  {BF16}
 *
 * graph_type says it of a value, kernel_format of what a kernel reads.
 */
#ifndef BASE_QUANT_H
#define BASE_QUANT_H

#include "base_error.h"
#include <stdbool.h>

typedef struct base_quant {
    nib_dtype element; /* UNDEFINED: not quantized, and nothing below counts */
    nib_dtype scale;   /* UNDEFINED: there is none */
    bool zero_points;  /* one beside each scale; else zero is 0 */
    int axis;          /* elements along it share a scale; -1: all of the tensor do */
    int64_t block;     /* so many of them do; 0: all along the axis */
} base_quant;

static inline bool base_is_quantized(const base_quant *q) { return q->element != NIB_DTYPE_UNDEFINED; }

/* But for the axis, which says where in a tensor it is, and not what. */
static inline bool base_same_quant(const base_quant *a, const base_quant *b) {
    return a->element == b->element && a->scale == b->scale && a->zero_points == b->zero_points && a->block == b->block;
}

/* Bytes of an element with its share of scales and zero points, where `count` of them lie along the axis. */
static inline double base_quant_bytes(const base_quant *q, int64_t count) {
    double share = (double)(q->block > 0 ? q->block : count > 0 ? count : 1);
    double extra = nib_dtype_bits(q->scale) + (q->zero_points ? nib_dtype_bits(q->element) : 0);
    return (nib_dtype_bits(q->element) + (q->scale == NIB_DTYPE_UNDEFINED ? 0 : extra / share)) / 8;
}

#endif
