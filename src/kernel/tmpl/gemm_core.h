/* SPDX-License-Identifier: Apache-2.0
 *
 * The heart of every product: a tile of mr rows and nv vectors of 16 columns, c[i][v] += sum over steps s of a(i, s) b(s, v),
 * one chain per output in the order s = 0, 1, ..., steps - 1. a is read in place, four bytes at a time; b is a packed panel.
 * What the bytes are is said by the gemm_format_<types>.h that has been included before.
 *
 * It may be included once for each format of a file: GEMM_PREFIX (gemm if it is not defined) stands before the names of the format's
 * types and functions, and before those of the functions here.
 *
 * mr and nv must be constants where this is inlined: with a height that is known only at run time gcc keeps the
 * accumulators on the stack, which costs most of the speed. So callers stamp out one function per height.
 */
#ifndef GEMM_PREFIX
#define GEMM_PREFIX gemm
#endif
#define GEMM_(name) VEC_PASTE(GEMM_PREFIX, name)

VEC_INLINE void GEMM_(step)(GEMM_(acc) * c, const int mr, const int nv, const char *const *a, int64_t a_row, const char *b) {
    GEMM_(w) bv[4];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) bv[v] = GEMM_(load_w)(b + GEMM_STEP_W * v);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        GEMM_(x) s = GEMM_(load_x)(a[i / 3] + i % 3 * a_row);
        VEC_UNROLL
        for (int v = 0; v < nv; v++) c[i * nv + v] = GEMM_(madd)(c[i * nv + v], bv[v], s);
    }
}

/* a(i, s) = the four bytes at a + i * a_row + s * a_step, b(s, v) = the GEMM_STEP_W bytes at b + s * b_step + GEMM_STEP_W v. One
 * pointer serves three rows: the processor's addressing reaches base, base + stride and base + 2 stride, and twelve
 * pointers would not fit its registers. `ahead`, if not 0, is how many bytes of b to fetch ahead; the address may lie past
 * the end, where nothing is read. */
VEC_INLINE void GEMM_(chain)(GEMM_(acc) * c, const int mr, const int nv, int64_t steps, const char *a, int64_t a_row, int64_t a_step,
                             const char *b, int64_t b_step, const int ahead, const char *next, int64_t next_step) {
    const char *p[4];
    VEC_UNROLL
    for (int i = 0; i < (mr + 2) / 3; i++) p[i] = a + 3 * i * a_row;
    for (int64_t s = 0; s < steps; s++) {
        GEMM_(step)(c, mr, nv, p, a_row, b);
        if (ahead > 0) {
            VEC_UNROLL
            for (int v = 0; v < (nv * GEMM_STEP_W + 63) / 64; v++)
                __builtin_prefetch((const void *)((uintptr_t)b + (uintptr_t)ahead + 64u * (unsigned)v));
            __builtin_prefetch(next, 0, 2);
            next += next_step;
        }
        b += b_step;
        VEC_UNROLL
        for (int i = 0; i < (mr + 2) / 3; i++) p[i] += a_step;
    }
}

#undef GEMM_PREFIX
#undef GEMM_
