/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear kernels against the reference: random sizes around the tiles, strides, misaligned weights and bias, activations,
 * residuals (also in place), splits into ranges of rows and columns, single rows, NaN and infinity.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

typedef struct linear_case {
    int64_t M, N, K, x_stride, y_stride, residual_stride;
    kernel_linear_args args; /* all but w and y */
    const float *w;          /* as the file has it */
    int64_t k_stride, n_stride;
    bool in_place;
    double *bound;
} linear_case;

/* Sizes that meet the edges of tiles, of vectors and of lines. */
static int64_t size_near(int64_t most) {
    static const int64_t edges[] = {1, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128};
    int64_t n = check_chance(70) ? edges[check_pick(0, (int64_t)BASE_COUNT(edges) - 1)] + check_pick(-1, 1) : check_pick(1, most);
    return n < 1 ? 1 : n > most ? most : n;
}

static float weight_at(const linear_case *c, int64_t k, int64_t n) {
    float w;
    memcpy(&w, (const char *)c->w + (k * c->k_stride + n * c->n_stride) * (int64_t)sizeof(float), sizeof(w));
    return w;
}

static float *pack(const linear_case *c, const kernel_linear *kernel) {
    void *packed = check_bytes(kernel->packed_bytes(c->N, c->K), 0);
    int64_t cut = check_pick(0, (c->N + kernel->tile_n - 1) / kernel->tile_n) * kernel->tile_n;
    if (cut > c->N) cut = c->N;
    kernel->pack(c->w, c->k_stride, c->n_stride, c->N, c->K, 0, cut, packed);
    kernel->pack(c->w, c->k_stride, c->n_stride, c->N, c->K, cut, c->N, packed);
    return packed;
}

/* Runs a kernel over the case in pieces of at most `rows` x `columns`. */
static float *run(const linear_case *c, const kernel_linear *kernel, const void *packed, int64_t rows, int64_t columns) {
    kernel_linear_args args = c->args;
    int64_t length = (c->M - 1) * c->y_stride + c->N;
    float *y = check_floats((size_t)length);
    args.w = packed;
    args.y = y;
    if (c->in_place) {
        for (int64_t m = 0; m < c->M; m++)
            memcpy(y + m * c->y_stride, c->args.residual + m * c->residual_stride, (size_t)c->N * sizeof(float));
        args.residual = y;
        args.residual_stride = c->y_stride;
    }
    columns = (columns + kernel->tile_n - 1) / kernel->tile_n * kernel->tile_n;
    for (int64_t m = 0; m < c->M; m += rows) {
        for (int64_t n = 0; n < c->N; n += columns) {
            int64_t m_hi = m + rows < c->M ? m + rows : c->M, n_hi = n + columns < c->N ? n + columns : c->N;
            CHECK_CALL(kernel->run(&args, m, m_hi, n, n_hi));
        }
    }
    return y;
}

/* Error of one chain of K roundings, of the rest, and of the activation: its slope is below 1.2, its own error 1e-6. */
static void fill_bound(linear_case *c) {
    for (int64_t m = 0; m < c->M; m++) {
        for (int64_t n = 0; n < c->N; n++) {
            double size = c->args.residual ? fabs((double)c->args.residual[m * c->residual_stride + n]) : 0.0;
            for (int64_t k = 0; k < c->K; k++) size += fabs((double)c->args.x[m * c->x_stride + k] * (double)weight_at(c, k, n));
            c->bound[m * c->N + n] =
                1.2 * (double)(c->K + 6) * CHECK_EPSILON * (size + 1.0) + (c->args.activation == KERNEL_ACT_NONE ? 0.0 : 1e-6);
        }
    }
}

static void make_case(linear_case *c, bool large) {
    memset(c, 0, sizeof(*c));
    c->M = large ? check_pick(20, 90) : size_near(70);
    c->N = large ? check_pick(1, 70) : size_near(200);
    c->K = large ? check_pick(1500, 5000) : check_chance(3) ? 0 : size_near(150);
    c->x_stride = c->K + (check_chance(50) ? 0 : check_pick(1, 9));
    c->y_stride = c->N + (check_chance(50) ? 0 : check_pick(1, 9));
    c->residual_stride = c->N + (check_chance(50) ? 0 : check_pick(1, 9));
    float *x = check_random_floats((size_t)((c->M - 1) * c->x_stride + c->K));
    bool turned = check_chance(50);
    int64_t gap = check_chance(50) ? 0 : check_pick(1, 5);
    c->k_stride = turned ? 1 : c->N + gap;
    c->n_stride = turned ? c->K + gap : 1;
    size_t bytes = c->K > 0 ? (size_t)((c->K - 1) * c->k_stride + (c->N - 1) * c->n_stride + 1) * sizeof(float) : 0;
    char *w = check_bytes(bytes, (size_t)check_pick(0, 3));
    for (size_t i = 0; i + sizeof(float) <= bytes; i += sizeof(float)) {
        float u = check_uniform();
        memcpy(w + i, &u, sizeof(u));
    }
    c->w = (const float *)(const void *)w;
    c->args = (kernel_linear_args){.x = x, .x_stride = c->x_stride, .y_stride = c->y_stride, .M = c->M, .N = c->N, .K = c->K};
    c->args.activation = check_chance(40) ? KERNEL_ACT_NONE : (kernel_activation)check_pick(0, KERNEL_ACT_SIGMOID);
    if (check_chance(70)) {
        char *bias = check_bytes((size_t)c->N * sizeof(float), (size_t)check_pick(0, 3));
        for (int64_t n = 0; n < c->N; n++) {
            float u = check_uniform();
            memcpy(bias + n * (int64_t)sizeof(float), &u, sizeof(u));
        }
        c->args.bias = (const float *)(const void *)bias;
    }
    if (check_chance(40)) {
        c->args.residual = check_random_floats((size_t)((c->M - 1) * c->residual_stride + c->N));
        c->args.residual_stride = c->residual_stride;
        c->in_place = check_chance(50);
    }
    c->bound = check_bytes((size_t)(c->M * c->N) * sizeof(double), 0);
    fill_bound(c);
    if (c->K > 0 && check_chance(10)) { /* after the bound, which is for finite numbers */
        x[check_pick(0, c->M - 1) * c->x_stride + check_pick(0, c->K - 1)] = NAN;
        x[check_pick(0, c->M - 1) * c->x_stride + check_pick(0, c->K - 1)] = check_chance(50) ? INFINITY : -INFINITY;
    }
}

static void one_case(const check_task *task, bool large) {
    linear_case c;
    make_case(&c, large);
    const float *want = NULL, *fused = NULL;
    for (int i = 0; i < task->count; i++) {
        const kernel_linear *kernel = task->entry[i]->linear;
        check_begin(kernel->name, "M %d N %d K %d x_stride %d y_stride %d activation %d%s%s", (int)c.M, (int)c.N, (int)c.K, (int)c.x_stride,
                    (int)c.y_stride, (int)c.args.activation, c.args.bias ? " bias" : "",
                    c.in_place        ? " in place"
                    : c.args.residual ? " residual"
                                      : "");
        const void *packed = pack(&c, kernel);
        float *y = run(&c, kernel, packed, c.M, c.N);
        if (i == 0) want = y;
        check_near(y, c.y_stride, want, c.y_stride, c.M, c.N, c.bound, 0.0);
        float *single = run(&c, kernel, packed, 1, c.N), *split = run(&c, kernel, packed, check_pick(1, c.M), check_pick(1, c.N));
        check_same(single, c.y_stride, y, c.y_stride, c.M, c.N, "among more rows");
        check_same(split, c.y_stride, y, c.y_stride, c.M, c.N, "in one piece");
        if (kernel->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, c.y_stride, fused, c.y_stride, c.M, c.N, "on a lower rung");
        else check_digest("linear_f32", y, c.y_stride, c.M, c.N);
        fused = y;
    }
    check_release();
}

void check_linear(void) {
    check_task task = check_find("linear_f32");
    for (int i = 0; i < 404; i++) {
        check_case("linear", (uint64_t)i);
        one_case(&task, i >= 400);
    }
    for (int i = 0; i < task.count; i++) {
        const kernel_linear *kernel = task.entry[i]->linear;
        check_begin(kernel->name, "sizes that do not fit");
        if (kernel->packed_bytes(INT64_MAX, 1) != SIZE_MAX || kernel->packed_bytes(1, INT64_MAX) != SIZE_MAX ||
            kernel->packed_bytes(INT64_MAX / 8, INT64_MAX / 8) != SIZE_MAX || kernel->packed_bytes(-1, 1) != SIZE_MAX) {
            check_fail("packed_bytes accepts them");
        }
    }
}
