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

#ifndef GEMM_FOLD
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

#else

/* The same where weights lie in blocks with a scale for each column (a format that has GEMM_FOLD): a block's integers are summed, and
 * folded into c with its scales. The columns are those of nv / panel_nv panels, panel_bytes apart, each of panel_nv vectors; `first` is
 * the first block of the first. */
VEC_INLINE void GEMM_(blocks)(GEMM_(acc) * c, const int mr, const int nv, const int panel_nv, int64_t blocks, const char *a, int64_t a_row,
                              const char *first, int64_t panel_bytes) {
    const char *p[4];
    VEC_UNROLL
    for (int i = 0; i < (mr + 2) / 3; i++) p[i] = a + 3 * i * a_row;
    for (int64_t block = 0; block < blocks; block++) {
        const char *scales[4], *b[4];
        GEMM_(part) sum[12];
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            const char *at = first + v / panel_nv * panel_bytes + block * panel_nv * (GEMM_SCALES + GEMM_FOLD / 2 * GEMM_TWO_STEPS);
            scales[v] = at + v % panel_nv * GEMM_SCALES;
            b[v] = at + panel_nv * GEMM_SCALES + v % panel_nv * GEMM_TWO_STEPS;
        }
        VEC_UNROLL
        for (int i = 0; i < mr * nv; i++) sum[i] = GEMM_(part_zero)();
#if DOT_SHIFT
        GEMM_(part) shift[4]; /* DOT_SHIFT times the sum of the weights, in two halves of it */
        const GEMM_(x) half = GEMM_(load_x)("\300\300\300\300");
        VEC_UNROLL
        for (int v = 0; v < nv; v++) shift[v] = GEMM_(part_zero)();
#endif
        for (int s = 0; s < GEMM_FOLD; s += 2) {
            VEC_UNROLL
            for (int side = 0; side < 2; side++) {
                GEMM_(w) w[4];
                VEC_UNROLL
                for (int v = 0; v < nv; v++) w[v] = side ? GEMM_(load_second)(b[v]) : GEMM_(load_first)(b[v]);
#if DOT_SHIFT
                VEC_UNROLL
                for (int v = 0; v < nv; v++) shift[v] = GEMM_(part_madd)(GEMM_(part_madd)(shift[v], w[v], half), w[v], half);
#endif
                VEC_UNROLL
                for (int i = 0; i < mr; i++) {
                    GEMM_(x) x = GEMM_(load_x)(p[i / 3] + i % 3 * a_row + 4 * side);
                    VEC_UNROLL
                    for (int v = 0; v < nv; v++) sum[i * nv + v] = GEMM_(part_madd)(sum[i * nv + v], w[v], x);
                }
            }
            VEC_UNROLL
            for (int v = 0; v < nv; v++) b[v] += panel_nv * GEMM_TWO_STEPS;
            VEC_UNROLL
            for (int i = 0; i < (mr + 2) / 3; i++) p[i] += 8;
        }
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            const vec scale = vec_load_f16(scales[v]);
            VEC_UNROLL
            for (int i = 0; i < mr; i++) {
#if DOT_SHIFT
                sum[i * nv + v] = dot_add(sum[i * nv + v], shift[v]);
#endif
                c[i * nv + v] = GEMM_(fold)(c[i * nv + v], sum[i * nv + v], scale);
            }
        }
    }
}
#endif

#undef GEMM_PREFIX
#undef GEMM_
