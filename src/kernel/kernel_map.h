/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs: several operators on numbers at the same place, one after the other, while they are in the
 * first cache. A program works on registers: the first ones are its inputs, then each instruction writes the next.
 * The last one's is the result.
 */
#ifndef KERNEL_MAP_H
#define KERNEL_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* name, inputs, the ONNX operator that means it. p and q are its parameters (HardSigmoid: alpha, beta; Clip: least, most, and
 * most where least is above it; LeakyRelu, Elu: alpha). What one gives for NaN is what the operator gives: NaN; of two, Min
 * and Max give NaN if either is. Exp, Erf, Tanh, Sigmoid and what is made of them: within 3e-7 of the result, or of 1 where
 * the result is below 1. */
#define KERNEL_MAP_FUNCTIONS(X)                                                                                                            \
    X(ADD, 2, "Add")                                                                                                                       \
    X(SUB, 2, "Sub")                                                                                                                       \
    X(MUL, 2, "Mul")                                                                                                                       \
    X(DIV, 2, "Div")                                                                                                                       \
    X(MIN, 2, "Min")                                                                                                                       \
    X(MAX, 2, "Max")                                                                                                                       \
    X(NEG, 1, "Neg")                                                                                                                       \
    X(ABS, 1, "Abs")                                                                                                                       \
    X(SQRT, 1, "Sqrt")                                                                                                                     \
    X(RECIPROCAL, 1, "Reciprocal")                                                                                                         \
    X(EXP, 1, "Exp")                                                                                                                       \
    X(ERF, 1, "Erf")                                                                                                                       \
    X(TANH, 1, "Tanh")                                                                                                                     \
    X(SIGMOID, 1, "Sigmoid")                                                                                                               \
    X(RELU, 1, "Relu")                                                                                                                     \
    X(GELU, 1, "Gelu")                                                                                                                     \
    X(HARD_SIGMOID, 1, "HardSigmoid")                                                                                                      \
    X(HARD_SWISH, 1, "HardSwish")                                                                                                          \
    X(LEAKY_RELU, 1, "LeakyRelu")                                                                                                          \
    X(ELU, 1, "Elu")                                                                                                                       \
    X(CLIP, 1, "Clip")

typedef enum kernel_map_function {
#define KERNEL_MAP_ENUM(name, inputs, op) KERNEL_MAP_##name,
    KERNEL_MAP_FUNCTIONS(KERNEL_MAP_ENUM)
#undef KERNEL_MAP_ENUM
        KERNEL_MAP_COUNT
} kernel_map_function;

#define KERNEL_MAP_INPUTS 12 /* most inputs, and most instructions, of a program */
#define KERNEL_MAP_STEPS 24

typedef struct kernel_map_step {
    uint8_t function, a, b; /* registers that it reads; b only of two inputs */
    float p, q;
} kernel_map_step;

typedef struct kernel_map {
    int inputs, steps; /* at least one each */
    kernel_map_step step[KERNEL_MAP_STEPS];
} kernel_map;

/* Where an input's numbers are for one call. */
typedef struct kernel_map_input {
    const float *at; /* [n], any alignment of 4 bytes; or one number for all */
    bool one;
} kernel_map_input;

#endif
