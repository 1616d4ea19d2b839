/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference of element-wise programs: number by number, each function in double and rounded once.
 */
#include "kernel/kernel_list.h"
#include "ref_math.h"

/* Where lo is above hi all numbers become hi, as ONNX has it. */
static double clip(double x, double lo, double hi) {
    const double least = x < lo ? lo : x;
    return least > hi ? hi : least;
}

static double one(const kernel_map_step *s, double x, double y) {
    const double p = (double)s->p, q = (double)s->q;
    switch ((kernel_map_function)s->function) {
    case KERNEL_MAP_ADD: return x + y;
    case KERNEL_MAP_SUB: return x - y;
    case KERNEL_MAP_MUL: return x * y;
    case KERNEL_MAP_DIV: return x / y;
    case KERNEL_MAP_MIN: return x < y || x != x ? x : y;
    case KERNEL_MAP_MAX: return x > y || x != x ? x : y;
    case KERNEL_MAP_NEG: return -x;
    case KERNEL_MAP_ABS: return fabs(x);
    case KERNEL_MAP_SQRT: return sqrt(x);
    case KERNEL_MAP_RECIPROCAL: return 1 / x;
    case KERNEL_MAP_EXP: return exp(x);
    case KERNEL_MAP_ERF: return erf(x);
    case KERNEL_MAP_TANH: return tanh(x);
    case KERNEL_MAP_SIGMOID: return ref_activate(KERNEL_ACT_SIGMOID, x);
    case KERNEL_MAP_RELU: return ref_activate(KERNEL_ACT_RELU, x);
    case KERNEL_MAP_GELU: return ref_activate(KERNEL_ACT_GELU_ERF, x);
    case KERNEL_MAP_HARD_SIGMOID: return clip(p * x + q, 0, 1);
    case KERNEL_MAP_HARD_SWISH: return x * clip(x / 6 + 0.5, 0, 1);
    case KERNEL_MAP_LEAKY_RELU: return x < 0 ? p * x : x;
    case KERNEL_MAP_ELU: return x < 0 ? p * expm1(x) : x;
    case KERNEL_MAP_CLIP: return clip(x, p, q);
    case KERNEL_MAP_COUNT: break;
    }
    return 0;
}

void nk_map_f32_f32__1x1_generic(const kernel_map *m, const kernel_map_input *inputs, int64_t n, float *y) {
    float r[KERNEL_MAP_INPUTS + KERNEL_MAP_STEPS];
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < m->inputs; k++) r[k] = inputs[k].at[inputs[k].one ? 0 : i];
        for (int k = 0; k < m->steps; k++) {
            const kernel_map_step *s = &m->step[k];
            r[m->inputs + k] = (float)one(s, (double)r[s->a], (double)r[s->b]);
        }
        y[i] = r[m->inputs + m->steps - 1];
    }
}
