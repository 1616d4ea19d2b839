/* SPDX-License-Identifier: Apache-2.0
 *
 * The heart of every product: a tile of mr rows and nv vectors of 16 columns, c[i][v] += sum over steps s of a(i, s) b(s, v),
 * one chain per output in the order s = 0, 1, ..., steps - 1. a is read in place, four bytes at a time; b is a packed panel.
 * What the bytes are is said by the gemm_format_<types>.h that has been included before.
 *
 * mr and nv must be constants where this is inlined: with a height that is known only at run time gcc keeps the
 * accumulators on the stack, which costs most of the speed. So callers stamp out one function per height.
 */
#ifndef GEMM_CORE_H
#define GEMM_CORE_H

VEC_INLINE void gemm_step(gemm_acc *c, const int mr, const int nv, const char *const *a, int64_t a_row, const char *b) {
    gemm_w bv[4];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) bv[v] = gemm_load_w(b + GEMM_STEP_W * v);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        gemm_x s = gemm_load_x(a[i / 3] + i % 3 * a_row);
        VEC_UNROLL
        for (int v = 0; v < nv; v++) c[i * nv + v] = gemm_madd(c[i * nv + v], bv[v], s);
    }
}

/* a(i, s) = the four bytes at a + i * a_row + s * a_step, b(s, v) = the GEMM_STEP_W bytes at b + s * b_step + GEMM_STEP_W v. One
 * pointer serves three rows: the processor's addressing reaches base, base + stride and base + 2 stride, and twelve
 * pointers would not fit its registers. `ahead`, if not 0, is how many bytes of b to fetch ahead; the address may lie past
 * the end, where nothing is read. */
VEC_INLINE void gemm_chain(gemm_acc *c, const int mr, const int nv, int64_t steps, const char *a, int64_t a_row, int64_t a_step,
                           const char *b, int64_t b_step, const int ahead) {
    const char *p[4];
    VEC_UNROLL
    for (int i = 0; i < (mr + 2) / 3; i++) p[i] = a + 3 * i * a_row;
    for (int64_t s = 0; s < steps; s++) {
        gemm_step(c, mr, nv, p, a_row, b);
        if (ahead > 0) {
            VEC_UNROLL
            for (int v = 0; v < (nv * GEMM_STEP_W + 63) / 64; v++)
                __builtin_prefetch((const void *)((uintptr_t)b + (uintptr_t)ahead + 64u * (unsigned)v));
        }
        b += b_step;
        VEC_UNROLL
        for (int i = 0; i < (mr + 2) / 3; i++) p[i] += a_step;
    }
}

#endif
