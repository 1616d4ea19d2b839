/* SPDX-License-Identifier: Apache-2.0
 *
 * The activations as their definitions say, in double. Where the product of zero and infinity would give NaN (SiLU and
 * GELU at minus infinity) the limit is given. And the end of every Linear: bias, activation, residual.
 */
#ifndef REF_MATH_H
#define REF_MATH_H

#include "kernel/kernel.h"
#include <math.h>
#include <string.h>

static inline double ref_activate(kernel_activation activation, double x) {
    const double sqrt_2_over_pi = 0.79788456080286535588, sqrt_half = 0.70710678118654752440;
    switch (activation) {
    case KERNEL_ACT_NONE: return x;
    case KERNEL_ACT_GELU_ERF: return x == -INFINITY ? 0.0 : 0.5 * x * erfc(-x * sqrt_half); /* erfc(-z) = 1 + erf(z) */
    case KERNEL_ACT_GELU_TANH: return x == -INFINITY ? 0.0 : 0.5 * x * (1.0 + tanh(sqrt_2_over_pi * (x + 0.044715 * x * x * x)));
    case KERNEL_ACT_TANH: return tanh(x);
    case KERNEL_ACT_SILU: return x == -INFINITY ? 0.0 : x / (1.0 + exp(-x));
    case KERNEL_ACT_RELU: return 0.0 > x ? 0.0 : x; /* NaN passes */
    case KERNEL_ACT_SIGMOID: return 1.0 / (1.0 + exp(-x));
    }
    return x;
}

/* Output (m, n) of its sum over k; rounded to float once. */
static inline void ref_finish(const kernel_linear_args *args, int64_t m, int64_t n, double sum) {
    if (args->bias) {
        float bias;
        memcpy(&bias, (const char *)args->bias + n * (int64_t)sizeof(float), sizeof(float));
        sum += (double)bias;
    }
    sum = ref_activate(args->activation, sum);
    if (args->residual) {
        double residual = (double)args->residual[m * args->residual_stride + n];
        sum = args->residual_multiplies ? sum * residual : sum + residual;
    }
    args->y[m * args->y_stride + n] = (float)sum;
}

#endif
