/* SPDX-License-Identifier: Apache-2.0
 *
 * The specification of Linear: each output is one sum over k in double, then bias, activation, residual, rounded to float
 * once at the end. The weight is packed as the tuned kernels pack theirs, in panels of 8 columns.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "ref_math.h"

#define TILE_N 8

static size_t ref_packed_bytes(int64_t N, int64_t K) { return kernel_packed_bytes(KERNEL_PACK_F32, N, K, TILE_N); }

static void ref_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    kernel_pack_panels(KERNEL_PACK_F32, w, n_lo, n_hi, TILE_N, packed);
}

static void ref_column(const void *packed, int64_t K, int64_t n, float *to) {
    kernel_panel_column(KERNEL_PACK_F32, packed, K, TILE_N, n, to);
}

static void ref_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    const float *w = args->w;
    for (int64_t m = m_lo; m < m_hi; m++) {
        for (int64_t n = n_lo; n < n_hi; n++) {
            const float *panel = w + n / TILE_N * TILE_N * args->K, *x = args->x + m * args->x_stride;
            double sum = 0.0;
            for (int64_t k = 0; k < args->K; k++) sum += (double)x[k] * (double)panel[k * TILE_N + n % TILE_N];
            ref_finish(args, m, n, sum);
        }
    }
}

const kernel_linear nk_gemm_f32_f32_f32__1x8_generic = {
    "nk_gemm_f32_f32_f32__1x8_generic", BASE_ISA_GENERIC, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, 1, TILE_N, ref_packed_bytes, ref_pack,
    ref_column,                         ref_run,          "f32"};
