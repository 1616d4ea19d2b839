/* SPDX-License-Identifier: Apache-2.0
 *
 * The activations over the whole line of floats: every 4,099th bit pattern of both signs, and every one near the places where
 * a polynomial begins or ends, against the reference in double; lengths around a vector; in place.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

enum { MANY = 4096 };

/* Absolute error allowed at x, beside half an ulp of the result, which is a float. */
static double allowed(kernel_activation activation, double x, double y) {
    double ulp = fabs(y) * CHECK_EPSILON;
    switch (activation) {
    case KERNEL_ACT_GELU_ERF: return 1e-6 + ulp;
    case KERNEL_ACT_GELU_TANH:
    case KERNEL_ACT_SILU: return 1e-6 * (1.0 + fabs(y)) + ulp;
    case KERNEL_ACT_TANH: return fabs(x) < 0.6 ? 4.0 * ulp + 1e-45 : 4e-7;
    case KERNEL_ACT_SIGMOID: return 4e-7;
    default: return 0.0;
    }
}

static void over(const check_task *task, kernel_activation activation, const float *x, int64_t n) {
    static double bound[MANY];
    const float *fused = NULL, *want = NULL;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_activation_f32 *f = (kernel_fn_activation_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "activation %d, n %d from %a", (int)activation, (int)n, n > 0 ? (double)x[0] : 0.0);
        float *y = check_floats((size_t)n);
        bool in_place = check_chance(50);
        if (in_place && n > 0) memcpy(y, x, (size_t)n * sizeof(float));
        CHECK_CALL(f(activation, in_place ? y : x, n, y));
        if (i == 0) {
            want = y;
            for (int64_t j = 0; j < n; j++) bound[j] = allowed(activation, (double)x[j], (double)y[j]);
        }
        check_near(y, n, want, n, 1, n, bound, 0.0);
        for (int64_t j = 0; j < n; j++) {
            if (isnan(x[j]) != isnan(y[j])) check_fail("%g becomes %g", (double)x[j], (double)y[j]);
        }
        if (task->entry[i]->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, n, fused, n, 1, n, "on a lower rung");
        else check_digest("activation_f32", y, n, 1, n);
        fused = y;
    }
    check_release();
}

void check_functions(void) {
    check_task task = check_find("activation_f32");
    static const float edges[] = {0.0f, 0.36f, 0.6f, 1.0f, 5.25f, 43.0f, 87.0f, 88.5f, 1e10f, INFINITY};
    for (int activation = 0; activation <= KERNEL_ACT_SIGMOID; activation++) {
        for (int64_t n = 0; n < 70; n++) {
            check_case("lengths", (uint64_t)n);
            over(&task, (kernel_activation)activation, check_random_floats((size_t)n), n);
        }
        for (uint64_t u = 0; u <= UINT32_MAX;) {
            float *x = check_floats(MANY);
            for (int i = 0; i < MANY; i++, u += 4099) {
                uint32_t bits = (uint32_t)(u <= UINT32_MAX ? u : 0);
                memcpy(&x[i], &bits, sizeof(bits));
            }
            over(&task, (kernel_activation)activation, x, MANY);
        }
        for (size_t e = 0; e < 2 * BASE_COUNT(edges); e++) {
            float *x = check_floats(MANY), edge = e % 2 ? -edges[e / 2] : edges[e / 2];
            uint32_t bits;
            memcpy(&bits, &edge, sizeof(bits));
            for (uint32_t i = 0; i < MANY; i++) {
                uint32_t u = bits + i - MANY / 2;
                memcpy(&x[i], &u, sizeof(u));
            }
            over(&task, (kernel_activation)activation, x, MANY);
        }
    }
}
