/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear kernels against the reference: random sizes around the tiles, strides, misaligned weights and bias, activations,
 * residuals (also in place), splits into ranges of rows and columns, single rows, NaN and infinity. In q8 some cases have
 * whole weights and scales of 1, so that outputs are the sums themselves: these are exact, also where numbers are extreme.
 */
#include "checkkernel.h"
#include <math.h>
#include <string.h>

typedef enum format { F32, BF16, Q8, Q4 } format;
static const char *const task_names[] = {"linear_f32", "linear_bf16", "linear_q8", "linear_q4"};

typedef struct linear_case {
    format format;
    int64_t M, N, K, x_stride, y_stride, residual_stride;
    kernel_linear_args args; /* all but w, y and x_stride */
    const float *w;          /* as the file has it */
    int64_t k_stride, n_stride;
    const float *factor; /* [K] that it is divided by, or NULL */
    bool in_place;
    double *bound;
    int64_t x16_stride, x8_stride;
    const float *rounded; /* x16 as floats, for the reference; rows x_stride apart */
    float *exact;         /* [M, N] sums of a q8 case of whole numbers, or NULL */
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
    return c->factor ? w / c->factor[k] : w;
}

static float *pack(const linear_case *c, const kernel_linear *kernel) {
    void *packed = check_bytes(kernel->packed_bytes(c->N, c->K), 0);
    int64_t cut = check_pick(0, (c->N + kernel->tile_n - 1) / kernel->tile_n) * kernel->tile_n;
    if (cut > c->N) cut = c->N;
    const kernel_weight w = {c->w, c->k_stride, c->n_stride, c->N, c->K, c->factor};
    CHECK_CALL(kernel->pack(&w, 0, cut, packed));
    CHECK_CALL(kernel->pack(&w, cut, c->N, packed));
    return packed;
}

/* A weight of which neither rows nor columns lie side by side is packed to the same bytes. */
static void pack_spread(const linear_case *c, const kernel_linear *kernel, const void *packed) {
    const int64_t k_stride = 2 * c->N + 1, n_stride = 2;
    const size_t bytes = kernel->packed_bytes(c->N, c->K);
    float *w = check_floats(c->K > 0 ? (size_t)((c->K - 1) * k_stride + (c->N - 1) * n_stride + 1) : 0);
    for (int64_t k = 0; k < c->K; k++) {
        for (int64_t n = 0; n < c->N; n++) w[k * k_stride + n * n_stride] = weight_at(c, k, n);
    }
    void *again = check_bytes(bytes, 0);
    const kernel_weight spread = {w, k_stride, n_stride, c->N, c->K, NULL};
    CHECK_CALL(kernel->pack(&spread, 0, c->N, again));
    if (memcmp(again, packed, bytes) != 0) check_fail("other strides are packed to other bytes");
}

/* A column comes back as the reference of its format has it. */
static void check_columns(const linear_case *c, const kernel_linear *kernel, const void *packed, const kernel_linear *ref,
                          const void *by_ref) {
    float *got = check_floats((size_t)c->K + 1), *want = check_floats((size_t)c->K + 1);
    for (int64_t n = 0; n < c->N; n++) {
        CHECK_CALL(kernel->column(packed, c->K, n, got));
        CHECK_CALL(ref->column(by_ref, c->K, n, want));
        for (int64_t k = 0; k < c->K; k++)
            if (memcmp(&got[k], &want[k], sizeof got[k]) != 0 && got[k] == got[k])
                check_fail("number %d of column %d is %g, not %g", (int)k, (int)n, (double)got[k], (double)want[k]);
    }
}

/* Runs a kernel over the case in pieces of at most `rows` x `columns`. */
static float *run(const linear_case *c, const kernel_linear *kernel, const void *packed, int64_t rows, int64_t columns, bool rounded) {
    kernel_linear_args args = c->args;
    args.x_stride = kernel->input == KERNEL_INPUT_F32 ? c->x_stride : kernel->input == KERNEL_INPUT_BF16 ? c->x16_stride : c->x8_stride;
    if (kernel->input != KERNEL_INPUT_F32) args.x = NULL;
    else if (rounded) args.x = c->rounded;
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

static double product_size(const linear_case *c, int64_t m, int64_t n) {
    double size = 0.0, largest = 0.0;
    const float *params = c->args.x_params + m * c->args.x_params_stride;
    if (c->format < Q8) {
        for (int64_t k = 0; k < c->K; k++) size += fabs((double)c->args.x[m * c->x_stride + k] * (double)weight_at(c, k, n));
        return size;
    }
    for (int64_t k = 0; k < c->K; k++) largest = fmax(largest, fabs((double)weight_at(c, k, n)));
    for (int64_t k = 0; k < c->K; k++) {
        double x = ((double)c->args.x8[m * c->x8_stride + k] - (double)params[1]) * (double)params[0];
        size += fabs(x) * (fabs((double)weight_at(c, k, n)) + (c->format == Q4 ? largest / 4.0 : largest / 127.0));
        if (c->format == Q4) size += fabs((double)params[1] * (double)params[0]) * 1.25 * largest; /* the zero point is taken off last */
    }
    return size;
}

/* Error of one chain of K roundings (of q8: of the multiply-add of an integer), of the rest, and of the activation: its slope is
 * below 1.2, its own error 1e-6 (of GELU on fewer bits 2.8e-5). */
static void fill_bound(linear_case *c) {
    const double roundings = c->format == Q8 ? 8.0 : c->format == Q4 ? (double)(c->K / 32 + 8) : (double)(c->K + 6);
    const bool short_gelu = c->args.activation == KERNEL_ACT_GELU_ERF && c->format != F32;
    const double of_activation = c->args.activation == KERNEL_ACT_NONE ? 0.0 : short_gelu ? 2.8e-5 : 1e-6;
    for (int64_t m = 0; m < c->M; m++) {
        for (int64_t n = 0; n < c->N; n++) {
            double size = c->args.residual ? fabs((double)c->args.residual[m * c->residual_stride + n]) : 0.0;
            size += product_size(c, m, n);
            c->bound[m * c->N + n] = 1.2 * roundings * CHECK_EPSILON * (size + 1.0) + of_activation;
        }
    }
}

static float *random_rows(int64_t rows, int64_t stride, int64_t columns) {
    return check_random_floats((size_t)((rows - 1) * stride + columns));
}

/* x of a case in f32, and in bf16 too where that is asked for. */
static void make_x(linear_case *c) {
    c->args.x = random_rows(c->M, c->x_stride, c->K);
    if (c->format != BF16) return;
    const int64_t even = (c->K + 1) / 2 * 2;
    kernel_fn_round_rows_bf16 *round = (kernel_fn_round_rows_bf16 *)check_find("round_rows_bf16").entry[0]->function;
    c->x16_stride = even + (check_chance(50) ? 0 : check_pick(1, 9));
    uint16_t *x16 = check_bytes((size_t)((c->M - 1) * c->x16_stride + even) * sizeof(uint16_t), 0);
    float *rounded = check_floats((size_t)((c->M - 1) * c->x_stride + c->K));
    round(c->args.x, c->x_stride, c->M, c->K, x16, c->x16_stride);
    for (int64_t m = 0; m < c->M; m++) {
        for (int64_t k = 0; k < c->K; k++) {
            uint32_t u = (uint32_t)x16[m * c->x16_stride + k] << 16;
            memcpy(&rounded[m * c->x_stride + k], &u, sizeof(u));
        }
    }
    c->args.x16 = x16;
    c->rounded = rounded;
}

static void make_x8(linear_case *c, bool exact) {
    const int64_t whole = (c->K + 3) / 4 * 4;
    const bool extreme = check_chance(40);
    c->x8_stride = whole + (check_chance(50) ? 0 : check_pick(1, 9));
    c->args.x_params_stride = check_pick(2, 3);
    uint8_t *x8 = check_bytes((size_t)((c->M - 1) * c->x8_stride + whole), 0);
    float *params = check_floats((size_t)((c->M - 1) * c->args.x_params_stride + 2));
    for (int64_t m = 0; m < c->M; m++) {
        int64_t zero = extreme && check_chance(80) ? (check_chance(50) ? 0 : 255) : check_pick(0, 255);
        params[m * c->args.x_params_stride] = exact ? 1.0f : 0.01f * (1.25f + check_uniform());
        params[m * c->args.x_params_stride + 1] = (float)zero;
        for (int64_t k = 0; k < whole; k++) {
            int64_t x = extreme && check_chance(97) ? (check_chance(5) ? zero : 255 - zero) : check_pick(0, 255);
            x8[m * c->x8_stride + k] = (uint8_t)(k < c->K ? x : zero);
        }
    }
    c->args.x8 = x8;
    c->args.x_params = params;
}

/* Whole weights, one of each column 127 so that its scale is 1, and what comes out then. */
static void make_exact(linear_case *c) {
    const bool extreme = check_chance(50);
    for (int64_t n = 0; n < c->N; n++) {
        for (int64_t k = 0; k < c->K; k++) {
            float w = (float)(k == 0 || extreme ? 127 : check_pick(-127, 127));
            if (extreme && check_chance(n % 2 ? 1 : 50)) w = -w;
            memcpy((char *)(uintptr_t)c->w + (k * c->k_stride + n * c->n_stride) * (int64_t)sizeof(float), &w, sizeof(w));
        }
    }
    c->exact = check_floats((size_t)(c->M * c->N));
    for (int64_t m = 0; m < c->M; m++) {
        int64_t zero = (int64_t)c->args.x_params[m * c->args.x_params_stride + 1];
        for (int64_t n = 0; n < c->N; n++) {
            int64_t sum = 0;
            for (int64_t k = 0; k < c->K; k++) sum += (c->args.x8[m * c->x8_stride + k] - zero) * (int64_t)weight_at(c, k, n);
            c->exact[m * c->N + n] = (float)sum;
        }
    }
}

static void make_weight(linear_case *c, bool exact) {
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
    if (c->format >= Q8 && !exact && check_chance(30)) {
        float *factor = check_floats((size_t)c->K);
        for (int64_t k = 0; k < c->K; k++) factor[k] = ldexpf(1.0f, (int)check_pick(-3, 3));
        c->factor = factor;
    }
    for (int64_t k = 0; check_chance(5) && k < c->K; k++) { /* a column of zeros */
        memset(w + (k * c->k_stride + c->N / 2 * c->n_stride) * (int64_t)sizeof(float), 0, sizeof(float));
    }
}

static void make_end(linear_case *c) { /* what is done to the sums */
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
        c->args.residual = random_rows(c->M, c->residual_stride, c->N);
        c->args.residual_stride = c->residual_stride;
        c->args.residual_multiplies = check_chance(40);
        c->in_place = check_chance(50);
    }
}

/* After the bound, which is for finite numbers. */
static void spoil_x(linear_case *c) {
    if (c->format >= Q8 && !c->exact) {
        float *params = (float *)(uintptr_t)c->args.x_params;
        params[check_pick(0, c->M - 1) * c->args.x_params_stride] = check_chance(50) ? INFINITY : NAN;
        const float bad = check_chance(50) ? INFINITY : NAN;
        const int64_t at = check_pick(0, c->K - 1) * c->k_stride + check_pick(0, c->N - 1) * c->n_stride;
        memcpy((char *)(uintptr_t)c->w + at * (int64_t)sizeof(float), &bad, sizeof(bad));
    }
    if (c->format != F32) return;
    float *x = (float *)(uintptr_t)c->args.x;
    x[check_pick(0, c->M - 1) * c->x_stride + check_pick(0, c->K - 1)] = NAN;
    x[check_pick(0, c->M - 1) * c->x_stride + check_pick(0, c->K - 1)] = check_chance(50) ? INFINITY : -INFINITY;
}

static void make_case(linear_case *c, format f, bool large, int64_t K) {
    memset(c, 0, sizeof(*c));
    c->format = f;
    c->M = large ? check_pick(20, 90) : size_near(70);
    c->N = large ? check_pick(1, 70) : size_near(200);
    c->K = large ? check_pick(1500, 5000) : check_chance(3) ? 0 : size_near(150);
    if (K > 0) {
        c->M = check_pick(1, 6);
        c->N = check_pick(1, 34);
        c->K = K;
    }
    if (f == Q4) c->K = (c->K + 31) / 32 * 32;
    c->x_stride = c->K + (check_chance(50) ? 0 : check_pick(1, 9));
    c->y_stride = c->N + (check_chance(50) ? 0 : check_pick(1, 9));
    c->residual_stride = c->N + (check_chance(50) ? 0 : check_pick(1, 9));
    c->args = (kernel_linear_args){.y_stride = c->y_stride, .M = c->M, .N = c->N, .K = c->K};
    bool exact = f == Q8 && c->K > 0 && (K > 0 || check_chance(50));
    if (f >= Q8) make_x8(c, exact);
    else make_x(c);
    make_weight(c, exact);
    if (exact) make_exact(c);
    else make_end(c);
    c->bound = check_bytes((size_t)(c->M * c->N) * sizeof(double), 0);
    if (exact) memset(c->bound, 0, (size_t)(c->M * c->N) * sizeof(double));
    else fill_bound(c);
    if (c->K > 0 && check_chance(10)) spoil_x(c);
}

static void one_case(const check_task *task, format f, bool large, int64_t K) {
    linear_case c;
    make_case(&c, f, large, K);
    const float *want = NULL, *fused = NULL, *want_rounded = NULL;
    const void *first = NULL; /* packed by the reference */
    for (int i = 0; i < task->count; i++) {
        const kernel_linear *kernel = task->entry[i]->linear;
        check_begin(kernel->name, "M %d N %d K %d x_stride %d y_stride %d activation %d%s%s%s%s", (int)c.M, (int)c.N, (int)c.K,
                    (int)c.x_stride, (int)c.y_stride, (int)c.args.activation, c.args.bias ? " bias" : "",
                    c.in_place        ? " in place"
                    : c.args.residual ? " residual"
                                      : "",
                    c.args.residual_multiplies ? " times" : "", c.exact ? " exact" : "");
        const void *packed = pack(&c, kernel);
        if (!large && check_chance(40)) pack_spread(&c, kernel, packed);
        if (i == 0) first = packed;
        if (!large) check_columns(&c, kernel, packed, task->entry[0]->linear, first);
        float *y = run(&c, kernel, packed, c.M, c.N, false);
        if (i == 0) {
            want = y;
            if (f == BF16) want_rounded = run(&c, kernel, packed, c.M, c.N, true);
        }
        check_near(y, c.y_stride, kernel->input == KERNEL_INPUT_BF16 ? want_rounded : want, c.y_stride, c.M, c.N, c.bound, 0.0);
        if (c.exact) check_near(y, c.y_stride, c.exact, c.N, c.M, c.N, NULL, 0.0);
        float *single = run(&c, kernel, packed, 1, c.N, false);
        float *split = run(&c, kernel, packed, check_pick(1, c.M), check_pick(1, c.N), false);
        check_same(single, c.y_stride, y, c.y_stride, c.M, c.N, "among more rows");
        check_same(split, c.y_stride, y, c.y_stride, c.M, c.N, "in one piece");
        /* On bf16 rows the processor adds in its own way: no other rung has the same bits. */
        if (kernel->isa == BASE_ISA_GENERIC || kernel->input == KERNEL_INPUT_BF16) continue;
        if (fused) check_same(y, c.y_stride, fused, c.y_stride, c.M, c.N, "on a lower rung");
        else check_digest(task_names[f], y, c.y_stride, c.M, c.N);
        fused = y;
    }
    check_release();
}

/* Tile registers as another library of the process has set them up on this thread, which a kernel must leave so. */
#if defined(__x86_64__)
static const uint8_t others_tiles[64] = {[0] = 1, [16] = 48, [18] = 64, [48] = 12, [49] = 3};
static void take_tiles(bool take) {
    if (take) __asm__ volatile(".byte 0xc4,0xe2,0x78,0x49,0x00" : : "a"(others_tiles) : "memory"); /* ldtilecfg (%rax) */
    else __asm__ volatile(".byte 0xc4,0xe2,0x78,0x49,0xc0" : : : "memory");                         /* tilerelease */
}
static bool has_tiles(bool taken) {
    static const uint8_t none[64];
    uint8_t now[64];
    __asm__ volatile(".byte 0xc4,0xe2,0x79,0x49,0x00" : : "a"(now) : "memory"); /* sttilecfg (%rax) */
    return memcmp(now, taken ? others_tiles : none, sizeof(now)) == 0;
}
#else
static void take_tiles(bool take) {}
static bool has_tiles(bool taken) { return true; }
#endif

/* Whole sums, extreme ones too, against plain code; in ranges, and rows alone. */
static void check_whole(void) {
    check_task task = check_find("linear_s8");
    for (int round = 0; round < CHECK_CASES(200); round++) {
        check_case("linear_s8", (uint64_t)round);
        const int64_t M = size_near(40), N = size_near(90), K = round < 196 ? size_near(150) : KERNEL_S8_MOST_K - round % 2;
        const int64_t rows = round < 196 ? M : 2, stride = (K + 3) / 4 * 4;
        const bool extreme = check_chance(30), low = check_chance(50);
        uint8_t *x = check_bytes((size_t)(rows * stride), 0);
        float *w = check_floats((size_t)(K * N)), *params = check_floats((size_t)(2 * rows));
        for (int64_t i = 0; i < rows * stride; i++) x[i] = (uint8_t)(extreme ? low ? 0 : 255 : check_pick(0, 255));
        for (int64_t i = 0; i < K * N; i++) w[i] = (float)(extreme ? -128 : check_pick(-128, 127));
        for (int64_t m = 0; m < rows; m++) params[2 * m] = 1, params[2 * m + 1] = (float)(extreme ? low ? 255 : 0 : check_pick(0, 255));
        for (int i = 0; i < task.count; i++) {
            const kernel_linear *k = task.entry[i]->linear;
            check_begin(k->name, "M %d N %d K %d", (int)rows, (int)N, (int)K);
            const kernel_weight packed_of = {w, N, 1, N, K, NULL};
            void *packed = check_bytes(k->packed_bytes(N, K), 0);
            int32_t *y = check_bytes((size_t)(rows * N) * sizeof(int32_t), 0);
            CHECK_CALL(k->pack(&packed_of, 0, N, packed));
            const int64_t cut = check_pick(0, rows), columns = check_pick(0, N / k->tile_n) * k->tile_n;
            kernel_linear_args a = {.x8 = x, .x_stride = stride, .x_params = params, .x_params_stride = 2, .w = packed, .y32 = y};
            a.y_stride = a.N = N;
            a.M = rows;
            a.K = K;
            const bool tiles = k->isa == BASE_ISA_AMX;
            if (tiles) take_tiles(round % 2);
            CHECK_CALL(k->run(&a, 0, cut, 0, N));
            CHECK_CALL(k->run(&a, cut, rows, 0, columns));
            CHECK_CALL(k->run(&a, cut, rows, columns, N));
            if (tiles && !has_tiles(round % 2)) check_fail("tile registers are not set up as they were");
            if (tiles) take_tiles(false);
            for (int64_t m = 0; m < rows; m++)
                for (int64_t n = 0; n < N; n++) {
                    int64_t sum = 0;
                    for (int64_t j = 0; j < K; j++) sum += (x[m * stride + j] - (int64_t)params[2 * m + 1]) * (int64_t)w[j * N + n];
                    if (sum != y[m * N + n]) check_fail("row %d, column %d: %d, not %lld", (int)m, (int)n, y[m * N + n], (long long)sum);
                }
        }
        check_release();
    }
}

void check_linear(void) {
    check_whole();
    for (format f = F32; f <= Q4; f++) {
        check_task task = check_find(task_names[f]);
        for (int i = 0; i < CHECK_CASES(406); i++) {
            check_case(f == F32 ? "linear" : task_names[f], (uint64_t)i);
            if (i < 404 || f == Q8) one_case(&task, f, i >= 400, i < 404 ? 0 : KERNEL_Q8_MOST_K - i % 2);
        }
        for (int i = 0; i < task.count; i++) {
            const kernel_linear *kernel = task.entry[i]->linear;
            check_begin(kernel->name, "sizes that do not fit");
            if (kernel->packed_bytes(INT64_MAX, 1) != SIZE_MAX || kernel->packed_bytes(1, INT64_MAX) != SIZE_MAX ||
                kernel->packed_bytes(INT64_MAX / 8, INT64_MAX / 8) != SIZE_MAX || kernel->packed_bytes(-1, 1) != SIZE_MAX ||
                kernel->packed_bytes(1, -1) != SIZE_MAX) {
                check_fail("packed_bytes accepts them");
            }
            if (f == Q8 && kernel->packed_bytes(1, KERNEL_Q8_MOST_K + 1) != SIZE_MAX) check_fail("a sum may not fit 32 bits");
        }
    }
}
