/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs (kernel_map.h), written once. The including file has included a vec_<isa>.h and vec_math.h and
 * defines KERNEL_ISA. Every register holds MAP_BLOCK numbers, so that all of a program's fit the first cache and the
 * choice of a function is made once for so many.
 */
#ifndef MAP_H
#define MAP_H

#define MAP_BLOCK 128

VEC_INLINE vec map_min(vec x, vec y) { return vec_keep_nan(x, vec_min(x, y)); }
VEC_INLINE vec map_max(vec x, vec y) { return vec_keep_nan(x, vec_max(x, y)); }
VEC_INLINE vec map_clip(vec x, vec lo, vec hi) { return vec_min(hi, vec_max(lo, x)); }
VEC_INLINE vec map_hard_sigmoid(vec x, vec alpha, vec beta) {
    return map_clip(vec_add(vec_mul(alpha, x), beta), vec_zero(), vec_set1(1.0f));
}
VEC_INLINE vec map_hard_swish(vec x) { return vec_mul(x, map_hard_sigmoid(x, vec_set1(1.0f / 6.0f), vec_set1(0.5f))); }
VEC_INLINE vec map_leaky(vec x, vec alpha) { return vec_select_lt(x, vec_zero(), vec_mul(alpha, x), x); }
VEC_INLINE vec map_elu(vec x, vec alpha) {
    return vec_select_lt(x, vec_zero(), vec_mul(alpha, vec_sub(vec_exp_wide(x), vec_set1(1.0f))), x);
}

#define MAP_EACH(expression)                                                                                                               \
    for (int i = 0; i < n; i += 16) {                                                                                                      \
        const vec x = vec_load(a + i);                                                                                                     \
        vec_store(y + i, expression);                                                                                                      \
    }                                                                                                                                      \
    break
#define MAP_BOTH(function)                                                                                                                 \
    for (int i = 0; i < n; i += 16) vec_store(y + i, function(vec_load(a + i), vec_load(b + i)));                                          \
    break

/* n: a multiple of 16. */
static void map_step(const kernel_map_step *s, const float *a, const float *b, int n, float *y) {
    const vec p = vec_set1(s->p), q = vec_set1(s->q);
    switch ((kernel_map_function)s->function) {
    case KERNEL_MAP_ADD: MAP_BOTH(vec_add);
    case KERNEL_MAP_SUB: MAP_BOTH(vec_sub);
    case KERNEL_MAP_MUL: MAP_BOTH(vec_mul);
    case KERNEL_MAP_DIV: MAP_BOTH(vec_div);
    case KERNEL_MAP_MIN: MAP_BOTH(map_min);
    case KERNEL_MAP_MAX: MAP_BOTH(map_max);
    case KERNEL_MAP_NEG: MAP_EACH(vec_mul(vec_set1(-1.0f), x));
    case KERNEL_MAP_ABS: MAP_EACH(vec_abs(x));
    case KERNEL_MAP_SQRT: MAP_EACH(vec_sqrt(x));
    case KERNEL_MAP_RECIPROCAL: MAP_EACH(vec_div(vec_set1(1.0f), x));
    case KERNEL_MAP_EXP: MAP_EACH(vec_exp_wide(x));
    case KERNEL_MAP_ERF: MAP_EACH(vec_erf(x));
    case KERNEL_MAP_TANH: MAP_EACH(vec_tanh(x));
    case KERNEL_MAP_SIGMOID: MAP_EACH(vec_sigmoid(x));
    case KERNEL_MAP_RELU: MAP_EACH(vec_relu(x));
    case KERNEL_MAP_GELU: MAP_EACH(vec_gelu_erf(x));
    case KERNEL_MAP_HARD_SIGMOID: MAP_EACH(map_hard_sigmoid(x, p, q));
    case KERNEL_MAP_HARD_SWISH: MAP_EACH(map_hard_swish(x));
    case KERNEL_MAP_LEAKY_RELU: MAP_EACH(map_leaky(x, p));
    case KERNEL_MAP_ELU: MAP_EACH(map_elu(x, p));
    case KERNEL_MAP_CLIP: MAP_EACH(map_clip(x, p, q));
    case KERNEL_MAP_COUNT: break;
    }
}
#undef MAP_EACH
#undef MAP_BOTH

/* One block of n numbers, a multiple of 16: where those of each input are, and where the result's go. */
static void map_block(const kernel_map *m, const float *const *in, int n, float registers[KERNEL_MAP_STEPS][MAP_BLOCK], float *y) {
    for (int i = 0; i < m->steps; i++) {
        const kernel_map_step *s = &m->step[i];
        const float *a = s->a < m->inputs ? in[s->a] : registers[s->a - m->inputs];
        const float *b = s->b < m->inputs ? in[s->b] : registers[s->b - m->inputs];
        map_step(s, a, b, n, i + 1 < m->steps ? registers[i] : y);
    }
}

void KERNEL_NAME(nk_map_f32_f32__1x16)(const kernel_map *m, const kernel_map_input *inputs, int64_t n, float *y) {
    float registers[KERNEL_MAP_STEPS][MAP_BLOCK], own[KERNEL_MAP_INPUTS][MAP_BLOCK], last[16];
    const float *in[KERNEL_MAP_INPUTS];
    for (int k = 0; k < m->inputs; k++) {
        in[k] = own[k];
        if (!inputs[k].one) continue;
        for (int i = 0; i < MAP_BLOCK && i < n; i += 16) vec_store(own[k] + i, vec_set1(*inputs[k].at));
    }
    int64_t at = 0;
    for (int part; n - at >= 16; at += part) {
        part = n - at < MAP_BLOCK ? (int)(n - at) / 16 * 16 : MAP_BLOCK;
        for (int k = 0; k < m->inputs; k++)
            if (!inputs[k].one) in[k] = inputs[k].at + at;
        map_block(m, in, part, registers, y + at);
    }
    if (at == n) return;
    const int left = (int)(n - at);
    for (int k = 0; k < m->inputs; k++) {
        if (!inputs[k].one) vec_store(own[k], vec_load_n(inputs[k].at + at, left));
        in[k] = own[k];
    }
    map_block(m, in, 16, registers, last);
    vec_store_n(y + at, vec_load(last), left);
}

#endif
