/* SPDX-License-Identifier: Apache-2.0
 *
 * checkkernel --bench: every kernel on the shapes of real models, as the median of many runs with their spread.
 *
 * The share that Linear and attention are given is that of the machine's peak: the same multiply-adds on operands that lie
 * in L1, measured here by the kernel's own tile on one panel. The ratio is to the rung below.
 * Shapes come from MiniLM, or from a file of lines `linear M N K`, `attention T H D`, `rows T C`,
 * `planes H W` (of an image of 64 channels).
 */
#include "checkkernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct shape {
    char kind; /* 'l' linear, 'a' attention, 'r' rows, 'p' planes */
    int64_t a, b, c;
} shape;

static const shape minilm[] = {
    {'l', 1, 384, 384},   {'l', 12, 384, 384},   {'l', 48, 384, 384},   {'l', 128, 384, 384},  {'l', 512, 384, 384}, {'l', 1, 1536, 384},
    {'l', 12, 1536, 384}, {'l', 48, 1536, 384},  {'l', 128, 1536, 384}, {'l', 512, 1536, 384}, {'l', 1, 384, 1536},  {'l', 12, 384, 1536},
    {'l', 48, 384, 1536}, {'l', 128, 384, 1536}, {'l', 512, 384, 1536}, {'a', 16, 12, 32},     {'a', 53, 12, 32},    {'a', 128, 12, 32},
    {'a', 512, 12, 32},   {'r', 128, 384, 0},    {'p', 56, 56, 0},
};

static double budget; /* seconds of one measurement */
static double peak;   /* GFLOP/s of the rung at hand */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

typedef struct result {
    double median, low, high; /* seconds; low and high: the first and third quarter */
} result;

/* Runs `work` again and again; one sample is as many runs as take 20 us, so that the clock's grain does not matter. */
static result measure(void (*work)(void *), void *arg) {
    enum { MOST = 2000 };
    static double samples[MOST];
    int64_t runs = 1;
    for (;;) {
        double t = now();
        for (int64_t i = 0; i < runs; i++) work(arg);
        if (now() - t > 2e-5) break;
        runs *= 2;
    }
    int n = 0;
    for (double end = now() + budget; n < 5 || (n < MOST && now() < end); n++) {
        double t = now();
        for (int64_t i = 0; i < runs; i++) work(arg);
        samples[n] = (now() - t) / (double)runs;
    }
    qsort(samples, (size_t)n, sizeof(*samples), by_value);
    return (result){samples[n / 2], samples[n / 4], samples[3 * n / 4]};
}

static float *numbers(size_t n) {
    float *p = aligned_alloc(64, (n * sizeof(float) + 63) / 64 * 64 + 64);
    if (!p) {
        fprintf(stderr, "checkkernel: no memory\n");
        exit(2);
    }
    for (size_t i = 0; i < n; i++) p[i] = check_uniform();
    return p;
}

/* work / seconds in `unit`; `share` is printed where the peak is what limits. */
static void print_line(const char *name, const char *what, result r, double amount, const char *unit, bool share, double *lower) {
    double rate = amount / r.median * 1e-9;
    printf("%-46s %-24s %10.2f us  %+5.1f %+5.1f %%  %8.2f %s", name, what, r.median * 1e6, (r.low / r.median - 1.0) * 100.0,
           (r.high / r.median - 1.0) * 100.0, rate, unit);
    if (share) printf("  %5.1f %% of peak", rate / peak * 100.0);
    if (*lower > 0.0) printf("  %6.2fx", *lower / r.median);
    printf("\n");
    *lower = r.median;
}

/* ---- linear ---- */

typedef struct linear_work {
    const kernel_linear *kernel;
    kernel_linear_args args;
} linear_work;

static void run_linear(void *arg) {
    linear_work *w = arg;
    w->kernel->run(&w->args, 0, w->args.M, 0, w->args.N);
}

static linear_work make_linear(const kernel_linear *kernel, int64_t M, int64_t N, int64_t K) {
    const int64_t row = (K + 3) / 4 * 4;
    linear_work w = {kernel, {.x_stride = row, .y_stride = N, .M = M, .N = N, .K = K, .x_params_stride = 2}};
    float *weight = numbers((size_t)(N * K)), *packed = numbers(kernel->packed_bytes(N, K) / sizeof(float) + 1);
    kernel->pack(&(kernel_weight){weight, 1, K, N, K, NULL}, 0, N, packed);
    free(weight);
    w.args.w = packed;
    float *x = numbers((size_t)(M * row)), *params = numbers((size_t)(2 * M));
    for (int64_t m = 0; m < M; m++) params[2 * m + 1] = 128.0f;
    w.args.x = x; /* its bytes serve as u8 too */
    w.args.x8 = (const uint8_t *)x;
    w.args.x16 = (const uint16_t *)(const void *)x;
    if (kernel->input == KERNEL_INPUT_BF16) {
        kernel_fn_round_rows_bf16 *f = (kernel_fn_round_rows_bf16 *)check_find("round_rows_bf16").entry[0]->function;
        f(x, row, M, K, (uint16_t *)(void *)x, row); /* each number is read before its place is written */
    }
    w.args.x_params = params;
    w.args.bias = numbers((size_t)N);
    w.args.y = numbers((size_t)(M * N));
    return w;
}

static void free_linear(linear_work *w) {
    free((void *)(uintptr_t)w->args.w);
    free((void *)(uintptr_t)w->args.x);
    free((void *)(uintptr_t)w->args.x_params);
    free((void *)(uintptr_t)w->args.bias);
    free(w->args.y);
}

/* One tile from L1, at two depths: their difference is multiply-adds alone, without the call and the store. */
static double measure_peak(const kernel_linear *kernel) {
    const int group = kernel->input == KERNEL_INPUT_U8 ? 4 : kernel->input == KERNEL_INPUT_BF16 ? 2 : 1;
    double best[2] = {1.0, 1.0};
    for (int i = 0; i < 2; i++) {
        linear_work w = make_linear(kernel, kernel->tile_m, kernel->tile_n, group * (i ? 128 : 32));
        for (int j = 0; j < 5; j++) {
            result r = measure(run_linear, &w);
            best[i] = r.low < best[i] ? r.low : best[i];
        }
        free_linear(&w);
    }
    return 2.0 * kernel->tile_m * kernel->tile_n * group * 96.0 / (best[1] - best[0]) * 1e-9;
}

static void bench_linear(const char *name, const shape *shapes, size_t count) {
    check_task task = check_find(name);
    double lower[64] = {0};
    for (int i = 0; i < task.count; i++) {
        const kernel_linear *kernel = task.entry[i]->linear;
        peak = measure_peak(kernel);
        printf("%s: peak %.1f GFLOP/s\n", kernel->name, peak);
        for (size_t s = 0; s < count; s++) {
            if (shapes[s].kind != 'l') continue;
            for (int gelu = 0; gelu < (shapes[s].b > shapes[s].c && shapes[s].a > 1 ? 2 : 1); gelu++) {
                linear_work w = make_linear(kernel, shapes[s].a, shapes[s].b, shapes[s].c);
                w.args.activation = gelu ? KERNEL_ACT_GELU_ERF : KERNEL_ACT_NONE;
                char what[64];
                snprintf(what, sizeof(what), "%dx%dx%d%s", (int)shapes[s].a, (int)shapes[s].b, (int)shapes[s].c, gelu ? " gelu" : "");
                double none = 0.0;
                print_line(kernel->name, what, measure(run_linear, &w), 2.0 * (double)(shapes[s].a * shapes[s].b * shapes[s].c), "GFLOP/s",
                           true, gelu || s >= BASE_COUNT(lower) ? &none : &lower[s]);
                free_linear(&w);
            }
        }
    }
}

/* ---- attention ---- */

static const kernel_linear *best_up_to(const check_task *linear, base_isa isa) {
    const kernel_linear *best = linear->entry[0]->linear;
    for (int i = 0; i < linear->count; i++)
        if (linear->entry[i]->isa <= isa) best = linear->entry[i]->linear;
    return best;
}

typedef struct attention_work {
    kernel_fn_attention_f32 *f;
    kernel_attention_args args;
    int64_t n;
    void *scratch;
} attention_work;

static void run_attention(void *arg) {
    attention_work *w = arg;
    for (int h = 0; h < w->args.heads; h++) w->f(&w->args, 0, 0, w->n, 0, h, 0, w->n, w->scratch);
}

/* Against the peak of the f32 products of the rung, in both precisions. */
static void bench_attention(const char *name, const shape *shapes, size_t count) {
    check_task task = check_find(name), linear = check_find("linear_f32");
    const bool q8 = strcmp(name, "attention_q8") == 0;
    double lower[64] = {0};
    for (int i = 0; i < task.count; i++) {
        peak = measure_peak(best_up_to(&linear, task.entry[i]->isa));
        for (size_t s = 0; s < count; s++) {
            if (shapes[s].kind != 'a' || s >= BASE_COUNT(lower)) continue;
            int64_t T = shapes[s].a, H = shapes[s].b, D = shapes[s].c, row = 3 * H * D; /* q, k and v side by side,
                as QKV in one gives them */
            float *qkv = numbers((size_t)(T * row)), *y = numbers((size_t)(T * H * D));
            attention_work w = {(kernel_fn_attention_f32 *)task.entry[i]->function,
                                {.q = qkv,
                                 .k = qkv + H * D,
                                 .v = qkv + 2 * H * D,
                                 .y = y,
                                 .q_stride = row,
                                 .k_stride = row,
                                 .v_stride = row,
                                 .y_stride = H * D,
                                 .heads = (int)H,
                                 .kv_heads = (int)H,
                                 .head_dim = (int)D,
                                 .scale = 1.0f / sqrtf((float)D),
                                 .window_left = -1,
                                 .window_right = -1},
                                T,
                                numbers((q8 ? check_q8_scratch : check_scratch)((int)D) / sizeof(float))};
            char what[64];
            snprintf(what, sizeof(what), "T %d H %d D %d", (int)T, (int)H, (int)D);
            print_line(task.entry[i]->name, what, measure(run_attention, &w), 4.0 * (double)(T * T * H * D), "GFLOP/s", true, &lower[s]);
            free(qkv);
            free(y);
            free(w.scratch);
        }
    }
}

/* ---- rows ---- */

typedef struct rows_work {
    void (*f)(void);
    int kind;
    int64_t rows, columns;
    float *x, *residual, *y, *params;
} rows_work;

static void run_rows(void *arg) {
    rows_work *w = arg;
    const int64_t n = w->columns;
    switch (w->kind) {
    case 0: ((kernel_fn_layer_norm_f32 *)w->f)(w->x, n, w->residual, n, w->x, w->x, 1e-12f, w->rows, n, w->y, n, NULL, 0); break;
    case 1: ((kernel_fn_rms_norm_f32 *)w->f)(w->x, n, w->residual, n, w->x, 1e-6f, w->rows, n, w->y, n, NULL, 0); break;
    case 2: ((kernel_fn_softmax_f32 *)w->f)(w->x, n, w->rows, n, w->y, n); break;
    case 3: ((kernel_fn_activation_f32 *)w->f)(KERNEL_ACT_GELU_ERF, w->x, w->rows * n, w->y); break;
    case 4: ((kernel_fn_activation_f32 *)w->f)(KERNEL_ACT_GELU_TANH, w->x, w->rows * n, w->y); break;
    case 5: ((kernel_fn_activation_f32 *)w->f)(KERNEL_ACT_TANH, w->x, w->rows * n, w->y); break;
    case 6: ((kernel_fn_add_f32 *)w->f)(w->x, w->residual, w->rows * n, w->y); break;
    case 7: ((kernel_fn_row_sum_f32 *)w->f)(w->x, n, NULL, w->rows, n, w->y); break;
    case 8: ((kernel_fn_quantize_rows_u8 *)w->f)(w->x, n, NULL, w->rows, n, (uint8_t *)w->y, n, w->params, 2); break;
    case 9: ((kernel_fn_round_rows_bf16 *)w->f)(w->x, n, w->rows, n, (uint16_t *)(void *)w->y, n); break;
    default: ((kernel_fn_l2_normalize_f32 *)w->f)(w->x, n, w->rows, n, w->y, n); break;
    }
}

static void bench_rows(const shape *s) {
    static const struct {
        const char *task, *label;
    } kinds[] = {{"layer_norm_f32", "residual"},  {"rms_norm_f32", "residual"}, {"softmax_f32", ""},     {"activation_f32", "gelu"},
                 {"activation_f32", "gelu_tanh"}, {"activation_f32", "tanh"},   {"add_f32", ""},         {"row_sum_f32", ""},
                 {"quantize_rows_u8", ""},        {"round_rows_bf16", ""},      {"l2_normalize_f32", ""}};
    for (int kind = 0; kind < (int)BASE_COUNT(kinds); kind++) {
        check_task task = check_find(kinds[kind].task);
        double lower = 0.0;
        for (int i = 0; i < task.count; i++) {
            size_t n = (size_t)(s->a * s->b);
            rows_work w = {task.entry[i]->function, kind, s->a, s->b, numbers(n), numbers(n), numbers(n), numbers(2 * (size_t)s->a)};
            char what[64];
            snprintf(what, sizeof(what), "%dx%d %s", (int)s->a, (int)s->b, kinds[kind].label);
            print_line(task.entry[i]->name, what, measure(run_rows, &w), (double)n, "Gelem/s", false, &lower);
            free(w.x);
            free(w.residual);
            free(w.y);
            free(w.params);
        }
    }
}

/* ---- planes: what networks that are no transformers are made of, on an image [CHANNELS, H, W] with windows of 3 x 3 ---- */

enum { CHANNELS = 64 };

typedef struct planes_work {
    void (*f)(void);
    int kind;
    kernel_conv c;
    int64_t n; /* numbers of the image */
    float *x, *more, *y, *scratch;
    int16_t w[9];
    kernel_map map;
} planes_work;

static void run_planes(void *arg) {
    planes_work *w = arg;
    const kernel_conv *c = &w->c;
    const int64_t plane = c->in_h * c->in_w;
    const kernel_map_input in[2] = {{w->x, false}, {w->more, false}};
    const int32_t add = 5, *sums = (const int32_t *)(const void *)w->more;
    const float factor = 1e-9f;
    if (w->kind == 0) ((kernel_fn_map_f32 *)w->f)(&w->map, in, w->n, w->y);
    if (w->kind == 1) ((kernel_fn_conv_columns_f32 *)w->f)(c, w->x, 0, plane, 32, w->y);
    if (w->kind == 2) ((kernel_fn_reduce_rows_f32 *)w->f)(false, w->x, plane, c->channels, plane, w->y);
    if (w->kind == 3) ((kernel_fn_row_max_f32 *)w->f)(w->x, plane, c->channels, plane, w->y);
    if (w->kind == 4) ((kernel_fn_turn_u8 *)w->f)((const uint8_t *)w->x, plane, c->channels, plane, 128, (uint8_t *)w->y, c->channels);
    if (w->kind == 5) ((kernel_fn_requantize_s32 *)w->f)(sums, &add, &factor, 0, w->n, 3, 0, 255, (uint8_t *)w->y);
    for (int64_t ch = 0; w->kind > 5 && ch < c->channels; ch++) {
        const float *x = w->x + ch * plane;
        float *y = w->y + ch * plane;
        if (w->kind == 6) ((kernel_fn_conv_plane_f32 *)w->f)(c, x, w->more, 1, 0, c->out_h, w->scratch, y);
        if (w->kind == 7 || w->kind == 8) ((kernel_fn_pool_plane_f32 *)w->f)(c, w->kind == 7, x, 0, c->out_h, w->scratch, y);
        if (w->kind == 9)
            ((kernel_fn_conv_plane_u8 *)w->f)(c, (const uint8_t *)x, 128, 3, w->w, 0, c->out_h, (int16_t *)(void *)w->scratch,
                                              (int32_t *)(void *)y);
    }
}

static void bench_planes(const shape *s) {
    static const struct {
        const char *task, *label;
    } kinds[] = {{"map_f32", "add, gelu, mul"},
                 {"conv_columns_f32", ""},
                 {"reduce_rows_f32", "sum"},
                 {"row_max_f32", ""},
                 {"turn_u8", ""},
                 {"requantize_s32", ""},
                 {"conv_plane_f32", ""},
                 {"pool_plane_f32", "largest"},
                 {"pool_plane_f32", "sum"},
                 {"conv_plane_u8", ""}};
    for (int kind = 0; kind < (int)BASE_COUNT(kinds); kind++) {
        const check_task task = check_find(kinds[kind].task);
        double lower = 0.0;
        for (int i = 0; i < task.count; i++) {
            planes_work w = {.f = task.entry[i]->function, .kind = kind, .n = CHANNELS * s->a * s->b, .w = {1, -2, 3, 4, 5, 6, 7, 8, 9}};
            w.c = (kernel_conv){CHANNELS, s->a, s->b, s->a, s->b, 3, 3, 1, 1, 1, 1, 1, 1};
            w.map = (kernel_map){.inputs = 2,
                                 .steps = 3,
                                 .step = {{KERNEL_MAP_ADD, 0, 1, 0, 0}, {KERNEL_MAP_GELU, 2, 2, 0, 0}, {KERNEL_MAP_MUL, 3, 1, 0, 0}}};
            w.x = numbers((size_t)w.n), w.more = numbers((size_t)w.n);
            w.y = numbers((size_t)((s->a * s->b + 31) / 32 * 32 * (9 * CHANNELS + 1))); /* the columns are the largest */
            w.scratch = numbers((size_t)kernel_conv_scratch(&w.c, w.c.out_h));
            char what[64];
            snprintf(what, sizeof what, "%dx%dx%d %s", CHANNELS, (int)s->a, (int)s->b, kinds[kind].label);
            print_line(task.entry[i]->name, what, measure(run_planes, &w), (double)w.n, "Gelem/s", false, &lower);
            free(w.x);
            free(w.more);
            free(w.y);
            free(w.scratch);
        }
    }
}

static size_t read_shapes(const char *path, shape *out, size_t most) {
    FILE *file = fopen(path, "r");
    char line[256], kind[32];
    size_t n = 0;
    while (file && n < most && fgets(line, sizeof(line), file)) {
        long long a = 0, b = 0, c = 0;
        if (sscanf(line, "%31s %lld %lld %lld", kind, &a, &b, &c) < 3 || kind[0] == '#') continue;
        out[n++] = (shape){kind[0], a, b, c};
    }
    if (file) fclose(file);
    else fprintf(stderr, "checkkernel: cannot open %s\n", path);
    return n;
}

int check_bench(const char *filter, const char *path, double seconds) {
    static shape read[64];
    const shape *shapes = minilm;
    size_t count = BASE_COUNT(minilm);
    kernels table;
    kernel_table_init(&table, base_cpu_isas());
    check_scratch = table.attention_scratch;
    check_q8_scratch = table.attention_q8_scratch;
    budget = seconds;
    if (path) {
        shapes = read;
        count = read_shapes(path, read, BASE_COUNT(read));
    }
    static const char *const linears[] = {"linear_f32", "linear_bf16", "linear_q8", "linear_q4"};
    for (size_t i = 0; i < BASE_COUNT(linears); i++) {
        if (!filter || strstr(linears[i], filter)) bench_linear(linears[i], shapes, count);
    }
    if (!filter || strstr("attention_f32", filter)) bench_attention("attention_f32", shapes, count);
    if (!filter || strstr("attention_q8", filter)) bench_attention("attention_q8", shapes, count);
    for (size_t s = 0; s < count; s++) {
        if (shapes[s].kind == 'r' && (!filter || strstr("rows", filter))) bench_rows(&shapes[s]);
        if (shapes[s].kind == 'p' && (!filter || strstr("planes", filter))) bench_planes(&shapes[s]);
    }
    return 0;
}
