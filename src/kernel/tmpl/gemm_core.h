/* SPDX-License-Identifier: Apache-2.0
 *
 * The heart of every f32 product: a tile of mr rows and nv vectors of columns, c[i][v] += sum over k of a(i, k) b(k, v),
 * one chain of fused multiply-adds per output in the order k = 0, 1, ..., K - 1. a is read in place, one number at a time;
 * b is a packed panel.
 *
 * mr and nv must be constants where this is inlined: with a height that is known only at run time gcc keeps the
 * accumulators on the stack, which costs most of the speed. So callers stamp out one function per height.
 */
#ifndef GEMM_CORE_H
#define GEMM_CORE_H

VEC_INLINE void gemm_step(vec *c, const int mr, const int nv, const float *const *a, int64_t a_row, const float *b) {
    vec bv[4];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) bv[v] = vec_load(b + 16 * v);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        vec s = vec_set1(a[i / 3][i % 3 * a_row]);
        VEC_UNROLL
        for (int v = 0; v < nv; v++) c[i * nv + v] = vec_fma(s, bv[v], c[i * nv + v]);
    }
}

/* a(i, k) = a[i * a_row + k * a_k], b(k, v) = the 16 floats at b + k * b_k + 16 v. One pointer serves three rows: the
 * processor's addressing reaches base, base + stride and base + 2 stride, and twelve pointers would not fit its registers.
 * `ahead`, if not 0, is how many bytes of b to fetch ahead; the address may lie past the end, where nothing is read. */
VEC_INLINE void gemm_chain(vec *c, const int mr, const int nv, int64_t K, const float *a, int64_t a_row, int64_t a_k, const float *b,
                           int64_t b_k, const int ahead) {
    const float *p[4];
    VEC_UNROLL
    for (int i = 0; i < (mr + 2) / 3; i++) p[i] = a + 3 * i * a_row;
    for (int64_t k = 0; k < K; k++) {
        gemm_step(c, mr, nv, p, a_row, b);
        if (ahead > 0) {
            VEC_UNROLL
            for (int v = 0; v < nv; v++) __builtin_prefetch((const void *)((uintptr_t)b + (uintptr_t)ahead + 64u * (unsigned)v));
        }
        b += b_k;
        VEC_UNROLL
        for (int i = 0; i < (mr + 2) / 3; i++) p[i] += a_k;
    }
}

#endif
