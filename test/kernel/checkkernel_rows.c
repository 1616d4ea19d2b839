/* SPDX-License-Identifier: Apache-2.0
 *
 * Row kernels against the reference: norms, softmax, sums, maxima, element-wise arithmetic, table look-up. Row lengths
 * around the 16 lanes, strides, in-place calls, NaN and infinity; a row alone gives the bits that it gives among others.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

static const check_task *task_now;
static int64_t size_of_row(void) {
    static const int64_t edges[] = {1, 8, 16, 32, 48, 64, 128, 384, 768};
    int64_t n = check_chance(70) ? edges[check_pick(0, (int64_t)BASE_COUNT(edges) - 1)] + check_pick(-1, 1) : check_pick(1, 900);
    return n < 1 ? 1 : n;
}

static int64_t stride_of(int64_t columns) { return columns + (check_chance(50) ? 0 : check_pick(1, 7)); }

/* Half of the cases of a task have a little of what breaks things. */
static void spoil(float *x, int64_t n) {
    if (!check_chance(15)) return;
    x[check_pick(0, n - 1)] = NAN;
    if (check_chance(50)) x[check_pick(0, n - 1)] = check_chance(50) ? INFINITY : -INFINITY;
}

/* y of candidate i, [rows][columns]: near the reference, and the same as on the rung below. */
static void judge(const char *task, int i, const float *y, int64_t stride, int64_t rows, int64_t columns, const double *bound,
                  double flat) {
    static const float *want, *fused;
    if (i == 0) {
        want = y;
        fused = NULL;
    }
    check_near(y, stride, want, stride, rows, columns, bound, flat);
    if (task_now->entry[i]->isa == BASE_ISA_GENERIC) return;
    if (fused) check_same(y, stride, fused, stride, rows, columns, "on a lower rung");
    else check_digest(task, y, stride, rows, columns);
    fused = y;
}

/* ---- norms ---- */

typedef struct norm_case {
    int64_t rows, columns, x_stride, y_stride, residual_stride, sum_stride;
    const float *x, *residual, *gamma, *beta;
    float eps;
    bool rms, sum;
    int place; /* y is another array, or x, or residual; 3: sum_out is x */
} norm_case;

static void norm_bound(const norm_case *c, double *bound) {
    double unit = 8.0 * (double)(c->columns / 16 + 16) * CHECK_EPSILON;
    for (int64_t r = 0; r < c->rows; r++) {
        double mean = 0.0, variance = 0.0, most = 0.0;
        for (int pass = 0; pass < 3; pass++) {
            for (int64_t i = 0; i < c->columns; i++) {
                double s = (double)c->x[r * c->x_stride + i] + (c->residual ? (double)c->residual[r * c->residual_stride + i] : 0.0);
                double z = (s - mean) / sqrt(variance / (double)c->columns + (double)c->eps), g = fabs((double)c->gamma[i]);
                if (pass == 0) mean += c->rms ? 0.0 : s / (double)c->columns;
                if (pass == 0) most = fabs(s) > most ? fabs(s) : most;
                if (pass == 2) {
                    bound[r * c->columns + i] = unit * (g * (most / sqrt(variance / (double)c->columns + (double)c->eps) + fabs(z)) + 2.0);
                }
            }
            for (int64_t i = 0; pass == 1 && i < c->columns; i++) {
                double s = (double)c->x[r * c->x_stride + i] + (c->residual ? (double)c->residual[r * c->residual_stride + i] : 0.0);
                variance += (s - mean) * (s - mean);
            }
        }
    }
}

static const float *copied(float *to, const float *from, int64_t stride, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; r++) memcpy(to + r * stride, from + r * stride, (size_t)columns * sizeof(float));
    return to;
}

static void norm_call(const norm_case *c, const kernel_entry *e, int64_t row, int64_t rows, float *y, float *sum) {
    const float *x = c->x + row * c->x_stride, *residual = c->residual ? c->residual + row * c->residual_stride : NULL;
    float *to = y + row * c->y_stride, *sums = sum ? sum + row * c->sum_stride : NULL;
    if (c->place == 1) x = copied(to, x, c->x_stride, rows, c->columns);
    if (c->place == 2 && residual) residual = copied(to, residual, c->x_stride, rows, c->columns);
    if (c->place == 3 && sums) x = copied(sums, x, c->x_stride, rows, c->columns);
    if (c->rms) {
        CHECK_CALL(((kernel_fn_rms_norm_f32 *)e->function)(x, c->x_stride, residual, c->residual_stride, c->gamma, c->eps, rows, c->columns,
                                                           to, c->y_stride, sums, c->sum_stride));
    } else {
        CHECK_CALL(((kernel_fn_layer_norm_f32 *)e->function)(x, c->x_stride, residual, c->residual_stride, c->gamma, c->beta, c->eps, rows,
                                                             c->columns, to, c->y_stride, sums, c->sum_stride));
    }
}

static void check_norm(const char *task, bool rms) {
    norm_case c = {.rms = rms, .rows = check_pick(1, 5), .columns = size_of_row(), .eps = check_chance(50) ? 1e-5f : 1e-12f};
    c.x_stride = stride_of(c.columns);
    c.y_stride = stride_of(c.columns);
    c.residual_stride = stride_of(c.columns);
    c.sum_stride = stride_of(c.columns);
    c.sum = check_chance(40);
    c.place = (int)check_pick(0, 3);
    if (c.place > 0) c.y_stride = c.residual_stride = c.sum_stride = c.x_stride;
    int64_t length = (c.rows - 1) * c.x_stride + c.columns;
    float *x = check_random_floats((size_t)length);
    for (int64_t i = 0; check_chance(20) && i < length; i++) x[i] += 10.0f;
    c.x = x;
    if (check_chance(50)) c.residual = check_random_floats((size_t)((c.rows - 1) * c.residual_stride + c.columns));
    c.gamma = check_random_floats((size_t)c.columns);
    c.beta = check_chance(70) ? check_random_floats((size_t)c.columns) : NULL;
    double *bound = check_bytes((size_t)(c.rows * c.columns) * sizeof(double), 0);
    norm_bound(&c, bound);
    spoil(x, length);
    for (int i = 0; i < task_now->count; i++) {
        const kernel_entry *e = task_now->entry[i];
        check_begin(e->name, "rows %d columns %d place %d eps %g%s%s%s", (int)c.rows, (int)c.columns, c.place, (double)c.eps,
                    c.residual ? " residual" : "", c.beta ? " beta" : "", c.sum ? " sum" : "");
        float *sum = c.sum ? check_floats((size_t)((c.rows - 1) * c.sum_stride + c.columns)) : NULL;
        float *y = check_floats((size_t)((c.rows - 1) * c.y_stride + c.columns));
        float *alone = check_floats((size_t)((c.rows - 1) * c.y_stride + c.columns));
        norm_call(&c, e, 0, c.rows, y, sum);
        for (int64_t r = 0; r < c.rows; r++) norm_call(&c, e, r, 1, alone, NULL);
        judge(task, i, y, c.y_stride, c.rows, c.columns, bound, 0.0);
        check_same(alone, c.y_stride, y, c.y_stride, c.rows, c.columns, "among more rows");
        for (int64_t r = 0; sum && r < c.rows; r++) {
            for (int64_t j = 0; j < c.columns; j++) {
                float s = c.x[r * c.x_stride + j] + (c.residual ? c.residual[r * c.residual_stride + j] : 0.0f);
                check_same(&sum[r * c.sum_stride + j], 1, &s, 1, 1, 1, "in sum_out");
            }
        }
    }
    check_release();
}

static void check_layer_norm(const char *task) { check_norm(task, false); }
static void check_rms_norm(const char *task) { check_norm(task, true); }

/* ---- softmax and l2 ---- */

static void check_softmax(const char *task) {
    int64_t rows = check_pick(1, 4), columns = size_of_row(), x_stride = stride_of(columns), y_stride = stride_of(columns);
    int64_t length = (rows - 1) * x_stride + columns;
    float *x = check_random_floats((size_t)length), scale = check_chance(50) ? 1.0f : 60.0f;
    for (int64_t i = 0; i < length; i++) x[i] *= scale;
    double *bound = check_bytes((size_t)(rows * columns) * sizeof(double), 0);
    for (int64_t i = 0; i < rows * columns; i++) bound[i] = (double)(columns / 16 + 24) * CHECK_EPSILON + 4e-7;
    if (check_chance(15)) {
        for (int64_t i = 0; i < columns; i++) x[i] = check_chance(50) ? -INFINITY : x[i]; /* masks */
    }
    spoil(x, length);
    for (int i = 0; i < task_now->count; i++) {
        kernel_fn_softmax_f32 *f = (kernel_fn_softmax_f32 *)task_now->entry[i]->function;
        check_begin(task_now->entry[i]->name, "rows %d columns %d scale %g", (int)rows, (int)columns, (double)scale);
        float *y = check_floats((size_t)((rows - 1) * y_stride + columns)), *alone = check_floats((size_t)columns);
        CHECK_CALL(f(x, x_stride, rows, columns, y, y_stride));
        judge(task, i, y, y_stride, rows, columns, bound, 0.0);
        int64_t r = check_pick(0, rows - 1);
        CHECK_CALL(f(x + r * x_stride, x_stride, 1, columns, alone, columns));
        check_same(alone, columns, y + r * y_stride, y_stride, 1, columns, "among more rows");
    }
    check_release();
}

static void check_l2(const char *task) {
    int64_t rows = check_pick(1, 4), columns = size_of_row(), stride = stride_of(columns), length = (rows - 1) * stride + columns;
    float *x = check_random_floats((size_t)length);
    for (int64_t i = 0; check_chance(20) && i < columns; i++) x[i] = 0.0f;
    spoil(x, length);
    for (int i = 0; i < task_now->count; i++) {
        kernel_fn_l2_normalize_f32 *f = (kernel_fn_l2_normalize_f32 *)task_now->entry[i]->function;
        bool in_place = check_chance(50);
        check_begin(task_now->entry[i]->name, "rows %d columns %d%s", (int)rows, (int)columns, in_place ? " in place" : "");
        float *y = check_floats((size_t)length);
        for (int64_t r = 0; in_place && r < rows; r++) memcpy(y + r * stride, x + r * stride, (size_t)columns * sizeof(float));
        CHECK_CALL(f(in_place ? y : x, stride, rows, columns, y, stride));
        judge(task, i, y, stride, rows, columns, NULL, (double)(columns / 16 + 24) * CHECK_EPSILON);
    }
    check_release();
}

/* ---- sums over rows ---- */

static void check_row_sum(const char *task) {
    int64_t rows = check_pick(0, 40), columns = size_of_row(), stride = stride_of(columns);
    float *x = check_random_floats(rows > 0 ? (size_t)((rows - 1) * stride + columns) : 0);
    const float *weight = check_chance(50) ? check_random_floats((size_t)rows) : NULL;
    if (rows > 0) spoil(x, (rows - 1) * stride + columns);
    for (int i = 0; i < task_now->count; i++) {
        kernel_fn_row_sum_f32 *f = (kernel_fn_row_sum_f32 *)task_now->entry[i]->function;
        check_begin(task_now->entry[i]->name, "rows %d columns %d%s", (int)rows, (int)columns, weight ? " weight" : "");
        float *y = check_floats((size_t)columns), *part = check_floats((size_t)columns);
        CHECK_CALL(f(x, stride, weight, rows, columns, y));
        judge(task, i, y, columns, 1, columns, NULL, (double)(rows * rows + 2) * CHECK_EPSILON);
        int64_t cut = check_pick(0, columns);
        CHECK_CALL(f(x, stride, weight, rows, cut, part));
        CHECK_CALL(f(x + (rows > 0 ? cut : 0), stride, weight, rows, columns - cut, part + cut));
        check_same(part, columns, y, columns, 1, columns, "with all columns at once");
    }
    check_release();
}

static void check_row_max(const char *task) {
    int64_t rows = check_pick(0, 20), columns = size_of_row(), stride = stride_of(columns);
    float *x = check_random_floats(rows > 0 ? (size_t)((rows - 1) * stride + columns) : 0);
    if (rows > 0) spoil(x, (rows - 1) * stride + columns);
    for (int i = 0; i < task_now->count; i++) {
        check_begin(task_now->entry[i]->name, "rows %d columns %d", (int)rows, (int)columns);
        float *y = check_floats((size_t)columns);
        CHECK_CALL(((kernel_fn_row_max_f32 *)task_now->entry[i]->function)(x, stride, rows, columns, y));
        judge(task, i, y, columns, 1, columns, NULL, 0.0);
    }
    check_release();
}

static void check_gather(const char *task) {
    int64_t columns = size_of_row();
    int n = (int)check_pick(1, 4);
    const void **rows = check_bytes((size_t)n * sizeof(*rows), 0);
    for (int t = 0; t < n; t++) {
        char *row = check_bytes((size_t)columns * sizeof(float), (size_t)check_pick(0, 3));
        for (int64_t i = 0; i < columns; i++) {
            float u = check_uniform();
            memcpy(row + i * (int64_t)sizeof(float), &u, sizeof(u));
        }
        rows[t] = row;
    }
    for (int i = 0; i < task_now->count; i++) {
        check_begin(task_now->entry[i]->name, "tables %d columns %d", n, (int)columns);
        float *y = check_floats((size_t)columns);
        CHECK_CALL(((kernel_fn_gather_sum_f32 *)task_now->entry[i]->function)(rows, n, columns, y));
        judge(task, i, y, columns, 1, columns, NULL, (double)(n * n) * CHECK_EPSILON);
    }
    check_release();
}

/* ---- pairs of columns ---- */

static void check_rotary(const char *task) {
    int64_t heads = check_pick(1, 4), half = size_of_row() / 8 + 1, head_dim = 2 * half + (check_chance(60) ? 0 : check_pick(1, 40));
    bool interleaved = check_chance(30), twice = check_chance(50);
    int64_t n = heads * head_dim, second = twice ? half : 0;
    float *x = check_random_floats((size_t)n);
    char *tables[2];
    for (int t = 0; t < 2; t++) {
        tables[t] = check_bytes((size_t)(half + second) * sizeof(float), (size_t)check_pick(0, 3));
        for (int64_t i = 0; i < half + second; i++) {
            float u = check_uniform();
            memcpy(tables[t] + i * (int64_t)sizeof(float), &u, sizeof(u));
        }
    }
    spoil(x, n);
    for (int i = 0; i < task_now->count; i++) {
        bool in_place = check_chance(50);
        check_begin(task_now->entry[i]->name, "heads %d head_dim %d half %d%s%s%s", (int)heads, (int)head_dim, (int)half,
                    interleaved ? " interleaved" : "", twice ? " twice" : "", in_place ? " in place" : "");
        float *y = check_floats((size_t)n);
        if (in_place) memcpy(y, x, (size_t)n * sizeof(float));
        CHECK_CALL(((kernel_fn_rotary_f32 *)task_now->entry[i]->function)(in_place ? y : x, heads, head_dim, half, interleaved,
                                                                          (const float *)(const void *)tables[0],
                                                                          (const float *)(const void *)tables[1], second, y));
        judge(task, i, y, n, 1, n, NULL, 4 * CHECK_EPSILON);
    }
    check_release();
}

/* ---- element by element: exact, also in place ---- */

typedef enum element_op { ELEMENT_ADD, ELEMENT_MUL, ELEMENT_SCALE } element_op;

static void check_elements(const char *task, element_op op) {
    int64_t n = check_pick(0, 3) ? size_of_row() : 0;
    float *a = check_random_floats((size_t)n), *b = check_random_floats((size_t)n), s = check_uniform();
    if (n > 0) spoil(a, n);
    for (int i = 0; i < task_now->count; i++) {
        void (*f)(void) = task_now->entry[i]->function;
        float *y = check_floats((size_t)n);
        int place = (int)check_pick(0, op == ELEMENT_SCALE ? 1 : 2); /* y is another array, a, or b */
        check_begin(task_now->entry[i]->name, "n %d place %d", (int)n, place);
        if (place && n > 0) memcpy(y, place == 1 ? a : b, (size_t)n * sizeof(float));
        const float *x = place == 1 ? y : a, *z = place == 2 ? y : b;
        if (op == ELEMENT_ADD) CHECK_CALL(((kernel_fn_add_f32 *)f)(x, z, n, y));
        if (op == ELEMENT_MUL) CHECK_CALL(((kernel_fn_mul_f32 *)f)(x, z, n, y));
        if (op == ELEMENT_SCALE) CHECK_CALL(((kernel_fn_scale_f32 *)f)(x, s, n, y));
        judge(task, i, y, n, 1, n, NULL, 0.0);
    }
    check_release();
}

static void check_add(const char *task) { check_elements(task, ELEMENT_ADD); }
static void check_mul(const char *task) { check_elements(task, ELEMENT_MUL); }
static void check_scale(const char *task) { check_elements(task, ELEMENT_SCALE); }

void check_rows(void) {
    static const struct {
        const char *task;
        void (*one)(const char *task);
    } parts[] = {{"layer_norm_f32", check_layer_norm},
                 {"rms_norm_f32", check_rms_norm},
                 {"softmax_f32", check_softmax},
                 {"l2_normalize_f32", check_l2},
                 {"row_sum_f32", check_row_sum},
                 {"row_max_f32", check_row_max},
                 {"gather_sum_f32", check_gather},
                 {"rotary_f32", check_rotary},
                 {"add_f32", check_add},
                 {"mul_f32", check_mul},
                 {"scale_f32", check_scale}};
    for (size_t i = 0; i < BASE_COUNT(parts); i++) {
        check_task task = check_find(parts[i].task);
        task_now = &task;
        for (int j = 0; j < CHECK_CASES(200); j++) {
            check_case(parts[i].task, (uint64_t)j);
            parts[i].one(parts[i].task);
        }
    }
}
