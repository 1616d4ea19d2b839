/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs: every function alone over the whole line of floats against the reference in double, and random
 * programs of several: exact functions give the reference's bits, and all rungs with FMA the same. Lengths around a block,
 * one number for all, in place.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

enum { MANY = 4096 };
#ifdef CHECK_PART
#define STRIDE 28 /* of bit patterns, in 4099 */
#else
#define STRIDE 7
#endif

static const struct {
    const char *name;
    int inputs;
} functions[] = {
#define FUNCTION(name, inputs, op) {#name, inputs},
    KERNEL_MAP_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/* Absolute error allowed, beside half an ulp of the result; < 0: none, the bits are those of the reference. */
static double allowed(kernel_map_function f, double x, double y) {
    const double ulp = fabs(y) * CHECK_EPSILON;
    switch (f) {
    case KERNEL_MAP_EXP: return fabs(y) < 1.2e-38 ? 2e-44 : 5.0 * ulp;
    case KERNEL_MAP_ELU: return 3e-7 + 4.0 * ulp;
    case KERNEL_MAP_ERF: return 2e-7;
    case KERNEL_MAP_TANH: return fabs(x) < 0.6 ? 4.0 * ulp + 1e-45 : 4e-7;
    case KERNEL_MAP_SIGMOID: return 4e-7;
    case KERNEL_MAP_GELU: return 1e-6 + ulp;
    case KERNEL_MAP_HARD_SIGMOID: return 2e-7;
    case KERNEL_MAP_HARD_SWISH: return 3e-7 * (1.0 + fabs(x)) + 2.0 * ulp; /* x / 6 may overflow to what clips */
    default: return -1;
    }
}

static void compare(const check_task *task, const kernel_map *map, const kernel_map_input *in, int64_t n, bool exact) {
    static double bound[MANY];
    const float *fused = NULL, *want = NULL;
    const kernel_map_function f = (kernel_map_function)map->step[0].function;
    for (int i = 0; i < task->count; i++) {
        kernel_fn_map_f32 *run = (kernel_fn_map_f32 *)task->entry[i]->function;
        const bool reference = task->entry[i]->isa == BASE_ISA_GENERIC;
        kernel_map_input own[KERNEL_MAP_INPUTS];
        float *y = check_floats((size_t)n);
        memcpy(own, in, sizeof own);
        check_begin(task->entry[i]->name, "%d steps from %s, n %d", map->steps, functions[f].name, (int)n);
        if (!in[0].one && check_chance(30)) { /* in place */
            if (n > 0) memcpy(y, in[0].at, (size_t)n * sizeof(float));
            own[0].at = y;
        }
        CHECK_CALL(run(map, own, n, y));
        if (i == 0) {
            want = y;
            for (int64_t j = 0; j < n; j++) {
                const double x = (double)in[0].at[in[0].one ? 0 : j], may = allowed(f, x, (double)y[j]);
                bound[j] = may < 0 || exact ? 0.0 : may;
            }
        }
        if (exact) check_same(y, n, want, n, 1, n, "in the reference");
        else if (map->steps == 1) check_near(y, n, want, n, 1, n, bound, 0.0);
        if (reference) continue;
        if (fused) check_same(y, n, fused, n, 1, n, "on a lower rung");
        else check_digest("map_f32", y, n, 1, n);
        fused = y;
    }
    check_release();
}

static kernel_map_step step(kernel_map_function f, int a, int b) {
    kernel_map_step s = {.function = (uint8_t)f, .a = (uint8_t)a, .b = (uint8_t)b};
    s.p = f == KERNEL_MAP_CLIP ? (check_chance(25) ? 1.5f : -0.25f) : 0.2f; /* above the most, too */
    s.q = f == KERNEL_MAP_CLIP ? 0.75f : 0.5f;
    return s;
}

/* A function alone: lengths, then bit patterns of the whole line of floats. */
static void alone(const check_task *task, kernel_map_function f) {
    const bool exact = allowed(f, 0.0, 0.0) < 0;
    kernel_map map = {.inputs = functions[f].inputs, .steps = 1, .step = {step(f, 0, functions[f].inputs - 1)}};
    for (int64_t n = 0; n < 300; n += n < 40 ? 1 : 17) {
        check_case("lengths", (uint64_t)n);
        kernel_map_input in[KERNEL_MAP_INPUTS] = {{check_random_floats((size_t)n + 1), false},
                                                  {check_random_floats((size_t)n + 1), check_chance(50)}};
        compare(task, &map, in, n, exact);
    }
    for (uint64_t u = 0; u <= UINT32_MAX;) {
        float *x = check_floats(MANY), *z = check_random_floats(MANY);
        for (int i = 0; i < MANY; i++, u += 4099 * STRIDE) {
            uint32_t bits = (uint32_t)(u <= UINT32_MAX ? u : 0);
            memcpy(&x[i], &bits, sizeof(bits));
        }
        if (check_chance(50)) z[check_pick(0, MANY - 1)] = NAN;
        kernel_map_input in[KERNEL_MAP_INPUTS] = {{x, false}, {z, false}};
        compare(task, &map, in, MANY, exact);
    }
}

static void random_program(const check_task *task, uint64_t number) {
    static const kernel_map_function exact[] = {KERNEL_MAP_ADD, KERNEL_MAP_SUB, KERNEL_MAP_MUL, KERNEL_MAP_DIV,  KERNEL_MAP_MIN,
                                                KERNEL_MAP_MAX, KERNEL_MAP_NEG, KERNEL_MAP_ABS, KERNEL_MAP_RELU, KERNEL_MAP_CLIP};
    kernel_map map = {0};
    kernel_map_input in[KERNEL_MAP_INPUTS];
    check_case("programs", number);
    const bool plain = check_chance(50);
    const int64_t n = check_pick(0, 700);
    map.inputs = (int)check_pick(1, KERNEL_MAP_INPUTS);
    map.steps = (int)check_pick(1, KERNEL_MAP_STEPS);
    for (int i = 0; i < map.inputs; i++) in[i] = (kernel_map_input){check_random_floats((size_t)n + 1), check_chance(30)};
    for (int i = 0; i < map.steps; i++) {
        const int top = map.inputs + i - 1;
        const kernel_map_function f =
            plain ? exact[check_pick(0, (int)BASE_COUNT(exact) - 1)] : (kernel_map_function)check_pick(0, KERNEL_MAP_COUNT - 1);
        map.step[i] = step(f, (int)check_pick(0, top), (int)check_pick(0, top));
    }
    if (!plain && map.steps == 1) return check_release();
    compare(task, &map, in, n, plain);
}

void check_maps(void) {
    check_task task = check_find("map_f32");
    for (int f = 0; f < KERNEL_MAP_COUNT; f++) alone(&task, (kernel_map_function)f);
    for (uint64_t i = 0; i < CHECK_CASES(2000); i++) random_program(&task, i);
}
