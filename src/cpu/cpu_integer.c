/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer operators of ai.onnx on the cpu: MatMulInteger, QLinearMatMul and, at the end, DynamicQuantizeLinear, which
 * makes their rows.
 *
 * Products whose second matrix is constant. In: rows of u8 or s8 [.., K] with one zero point. Out: s32 [.., N], the very
 * integers that MatMulInteger is: sums are exact, so their order is free; or QLinearMatMul's bytes of them.
 *
 * The matrix is packed once, as s8: of u8, 128 less, and its zero point likewise. What a zero point of the matrix that is not 0 takes off
 * is the sum of the row times it: y = sum (a - za) b - zb sum (a - za).
 */
#include "cpu.h"
#include <math.h>
#include <string.h>

typedef struct integer_product {
    const kernel_linear *kernel;
    const void *packed;
    int64_t K, N, words; /* bytes of a row, rounded up to what the kernel reads at a time */
    int a, y, zero;      /* value ids; zero -1: it is 0 */
    bool is_signed;      /* rows are s8: they are read as u8 with 128 added */
    bool copies;         /* rows are copied for the kernel */
    bool one_zero;       /* of the matrix, else one a column */
    const int16_t *zeros; /* of the matrix [1 or N], as s8 has it; NULL: 0 */
    /* of QLinearMatMul: */
    const kernels *k;
    const float *scales; /* of the matrix [N]; NULL: it is MatMulInteger */
    const graph_value *x_scale, *y_scale, *y_zero;
    size_t sums, factors, bytes; /* where in the scratch: s32 [ROWS, N], f32 [N], s32 [N] zeros */
} integer_product;

#define ROWS 32 /* that are copied at a time */

void cpu_take_off_zeros(const uint8_t *x, int64_t K, int zero, const int16_t *zeros, int64_t N, bool one_zero, int32_t *y) {
    int32_t sum = 0;
    for (int64_t k = 0; k < K; k++) sum += x[k];
    const uint32_t all = (uint32_t)sum - (uint32_t)K * (uint32_t)zero;
    for (int64_t n = 0; n < N; n++) {
        uint32_t v = (uint32_t)y[n] - all * (uint32_t)(int32_t)zeros[one_zero ? 0 : n];
        memcpy(&y[n], &v, sizeof v);
    }
}

void cpu_grid_of(float lo, float hi, float params[2]) {
    params[0] = hi == lo ? 1.0f : (hi - lo) / 255.0f; /* nothing but zeros: any scale will do, but not 0 */
    const float zero = nearbyintf(-lo / params[0]);
    params[1] = !(zero > 0.0f) ? 0.0f : zero > 255.0f ? 255.0f : zero;
}

/* A number that is one for all. */
static const void *number_of(const plan_lane *lane, const graph_value *v) { return plan_tensor(lane->group, v)->data; }

static void factors_of(const integer_product *p, const plan_lane *lane, float *factor) {
    float x, y;
    memcpy(&x, number_of(lane, p->x_scale), sizeof x);
    memcpy(&y, number_of(lane, p->y_scale), sizeof y);
    for (int64_t n = 0; n < p->N; n++) factor[n] = x * p->scales[n] / y;
}

/* Sums of rows [m, m + rows) -> y's bytes. */
static void put_bytes(const integer_product *p, const plan_lane *lane, int64_t m, int64_t rows, const int32_t *sums, const float *factor) {
    const uint8_t zero = *(const uint8_t *)number_of(lane, p->y_zero);
    const bool is_signed = p->y_zero->type.dtype == NIB_DTYPE_I8;
    const int lo = is_signed ? -128 : 0;
    const int32_t *none = (const int32_t *)(const void *)((const char *)lane->scratch + p->bytes);
    for (int64_t r = 0; r < rows; r++)
        p->k->requantize_s32(sums + r * p->N, none, factor, 1, p->N, is_signed ? (int8_t)zero : zero, lo, lo + 255,
                             (uint8_t *)plan_row(lane, p->y, m + r));
}

static nib_status run_integer(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const integer_product *p = step->state;
    const uint8_t *zero_at = p->zero >= 0 ? lane->group->slots[p->zero].t.data : NULL;
    const int zero = p->is_signed ? (zero_at ? *(const int8_t *)zero_at : 0) + 128 : zero_at ? *zero_at : 0;
    const float params[2] = {1, (float)zero};
    uint8_t *copy = (uint8_t *)lane->scratch;
    int32_t *sums = (int32_t *)(void *)((char *)lane->scratch + p->sums);
    float *factor = (float *)(void *)((char *)lane->scratch + p->factors);
    if (p->scales) factors_of(p, lane, factor), memset((char *)lane->scratch + p->bytes, 0, (size_t)p->N * sizeof(int32_t));
    for (int64_t m = lo, rows; m < hi; m += rows) {
        const uint8_t *x = (const uint8_t *)plan_row(lane, p->a, m);
        rows = (p->copies || p->scales) && hi - m > ROWS ? ROWS : hi - m;
        for (int64_t r = 0; p->copies && r < rows; r++) {
            memset(copy + r * p->words + p->K, 0, (size_t)(p->words - p->K)); /* meets weights of 0 */
            for (int64_t k = 0; k < p->K; k++) copy[r * p->words + k] = (uint8_t)(x[r * p->K + k] + (p->is_signed ? 128 : 0));
        }
        if (p->copies) x = copy;
        const kernel_linear_args a = {.x8 = x,
                                      .x_stride = p->copies ? p->words : p->K,
                                      .x_params = params,
                                      .w = p->packed,
                                      .y32 = p->scales ? sums : (int32_t *)(void *)plan_row(lane, p->y, m),
                                      .y_stride = p->N,
                                      .M = rows,
                                      .N = p->N,
                                      .K = p->K};
        p->kernel->run(&a, 0, rows, 0, p->N);
        for (int64_t r = 0; p->zeros && r < rows; r++)
            cpu_take_off_zeros(x + r * a.x_stride, p->K, zero, p->zeros, p->N, p->one_zero, a.y32 + r * p->N);
        if (p->scales) put_bytes(p, lane, m, rows, sums, factor);
    }
    return NIB_OK;
}

static bool is_byte(nib_dtype t) { return t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8; }

/* The operands by either operator's order; NULL: left out. */
typedef struct operands {
    const graph_value *a, *a_zero, *b, *b_zero, *a_scale, *b_scale, *y_scale, *y_zero;
} operands;

static operands operands_of(const graph_node *n) {
    const graph_value *in[8] = {NULL};
    for (int i = 0; i < n->n_inputs && i < 8; i++) in[i] = n->inputs[i].value;
    if (graph_is_op(n, "", "QLinearMatMul")) return (operands){in[0], in[2], in[3], in[5], in[1], in[4], in[6], in[7]};
    return (operands){.a = in[0], .b = in[1], .a_zero = in[2], .b_zero = in[3]};
}

static bool is_one(const graph_value *v, nib_dtype type) {
    if (v->constant) return v->constant->dtype == type && v->constant->data && graph_tensor_elements(v->constant) == 1;
    return v->type.dtype == type && v->type.rank == 0;
}

/* One number for the matrix, or one a column. */
static bool is_by_column(const graph_value *v, nib_dtype type, int64_t N) {
    const graph_tensor *t = v->constant;
    return t && t->data && t->dtype == type && (graph_tensor_elements(t) == 1 || (t->rank == 1 && t->dims[0] == N));
}

/* Why not; NULL: it can be done. */
static const char *refusal(const operands *o, int64_t *K) {
    const graph_value *a = o->a, *b = o->b;
    if (!b->constant || !is_byte(b->constant->dtype) || b->constant->rank != 2) return "the second matrix is not a constant of rank 2";
    if (a->constant || !is_byte(a->type.dtype) || a->type.rank < 2) return "the rows are constant, or not known to be rows";
    if (!graph_dim_is_const(a->type.dims[a->type.rank - 1], K) || *K != b->constant->dims[0])
        return "the width of the rows is not known before the run";
    if (*K < 1 || *K > KERNEL_S8_MOST_K || b->constant->dims[1] < 1 || b->constant->dims[1] > INT32_MAX)
        return "the matrix is empty or too large";
    if (o->a_zero && !is_one(o->a_zero, a->type.dtype)) return "the rows have more than one zero point";
    if (o->b_zero && !is_by_column(o->b_zero, b->constant->dtype, b->constant->dims[1]))
        return "the matrix's zero points are not constant, or not one a column";
    if (!o->y_scale) return NULL;
    if (!is_one(o->a_scale, NIB_DTYPE_F32) || !is_one(o->y_scale, NIB_DTYPE_F32) || !is_byte(o->y_zero->type.dtype) ||
        !is_one(o->y_zero, o->y_zero->type.dtype))
        return "its rows, or what it gives, have more than one scale";
    return is_by_column(o->b_scale, NIB_DTYPE_F32, b->constant->dims[1]) ? NULL : "the matrix's scales are not constant, or not one a column";
}

const int16_t *cpu_zeros_of(cpu_compile *c, const graph_tensor *t, nib_dtype type, bool *ok) {
    const int64_t count = t ? graph_tensor_elements(t) : 1;
    int16_t *zeros = base_arena_alloc(&c->p->arena, (size_t)count * sizeof *zeros);
    bool any = false;
    *ok = zeros != NULL;
    for (int64_t i = 0; zeros && i < count; i++) {
        const uint8_t at = t ? ((const uint8_t *)t->data)[i] : 0;
        zeros[i] = (int16_t)(type == NIB_DTYPE_U8 ? (int)at - 128 : (int)(int8_t)at);
        any |= zeros[i] != 0;
    }
    return any ? zeros : NULL;
}

/* What QLinearMatMul has beside MatMulInteger. */
static nib_status prepare_scales(cpu_compile *c, integer_product *p, const operands *o) {
    const graph_tensor *t = o->b_scale->constant;
    float *scales = base_arena_alloc(&c->p->arena, (size_t)p->N * sizeof *scales);
    if (!scales) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    for (int64_t n = 0; n < p->N; n++) scales[n] = (float)op_number(t, graph_tensor_elements(t) == 1 ? 0 : n);
    p->k = &c->d->kernels;
    p->scales = scales;
    p->x_scale = o->a_scale, p->y_scale = o->y_scale, p->y_zero = o->y_zero;
    p->sums = (c->step->scratch + 63) / 64 * 64;
    p->factors = p->sums + (size_t)(ROWS * p->N) * sizeof(int32_t);
    p->bytes = p->factors + (size_t)p->N * sizeof(float);
    c->step->scratch = p->bytes + (size_t)p->N * sizeof(int32_t);
    c->step->whole = 1u << 1 | 1u << 2 | 1u << 6 | 1u << 7;
    return NIB_OK;
}

nib_status cpu_compile_matmul_integer(cpu_compile *c) {
    nib_status status = NIB_OK;
    const operands o = operands_of(c->node);
    const graph_value *y = c->node->outputs[0];
    int64_t K;
    bool ok;
    const char *why = refusal(&o, &K);
    if (why) return c->why = why, NIB_OK;
    c->step->extent = cpu_rows(y, c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    integer_product *p = base_arena_calloc(&c->p->arena, 1, sizeof *p);
    if (!p) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    p->kernel = kernel_linear_find(&c->d->kernels, KERNEL_INPUT_U8, KERNEL_WEIGHT_S8, NULL);
    p->K = K;
    p->N = o.b->constant->dims[1];
    p->words = (K + 3) / 4 * 4;
    p->a = o.a->id;
    p->y = y->id;
    p->zero = o.a_zero ? o.a_zero->id : -1;
    p->is_signed = o.a->type.dtype == NIB_DTYPE_I8;
    p->copies = p->is_signed || p->words != K;
    p->one_zero = !o.b_zero || graph_tensor_elements(o.b_zero->constant) == 1;
    p->zeros = cpu_zeros_of(c, o.b_zero ? o.b_zero->constant : NULL, o.b->constant->dtype, &ok);
    if (!ok) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    NIB_TRY(cpu_weight_get(c->d, c->p, o.b->constant, false, 0, p->N, NULL, p->kernel, &p->packed, c->err));
    if (p->copies) c->step->scratch = (size_t)(ROWS * p->words);
    c->step->whole = 1u << 2;
    if (o.y_scale) NIB_TRY(prepare_scales(c, p, &o));
    c->step->state = p;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = p->kernel->name;
    c->step->run = run_integer;
fail:
    return status;
}

/* ---- DynamicQuantizeLinear: f32 of any shape -> u8 of that shape, one scale, one zero point */

#define PART 65536 /* numbers */

/* The f32 numbers that the step is given; NULL: they are others, and the eval says so. */
static const graph_tensor *numbers_of(const plan_step *step, const plan_group *group, int64_t *count) {
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value);
    *count = x->dtype == NIB_DTYPE_F32 ? graph_tensor_elements(x) : -1;
    return *count < 0 ? NULL : x;
}

static int64_t dynamic_parts(const plan_step *step, const plan_group *group) {
    int64_t n;
    const graph_value *y = step->node->outputs[0];
    if (!numbers_of(step, group, &n) || n <= PART || !cpu_is_planned(group, y->id, (size_t)n)) return 1;
    return (n + PART - 1) / PART;
}

/* A part is a stretch of the numbers. Whoever rounds one looks at all of them first: nobody else could be waited for. */
static nib_status run_dynamic(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const kernels *k = step->state;
    const graph_node *n = step->node;
    const int64_t parts = dynamic_parts(step, lane->group);
    int64_t count;
    const graph_tensor *x = numbers_of(step, lane->group, &count);
    nib_status status = NIB_OK;
    if (!x) return cpu_eval_whole(step, k, lane);
    const float *from = x->data;
    float params[2], least = 0, most = 0, *scale = NULL;
    uint8_t *y = NULL, *zero = NULL;
    if (!(y = cpu_output(lane, n, 0, NIB_DTYPE_U8, x->rank, x->dims, &status))) goto fail;
    if (lo == 0 && n->n_outputs > 1 && n->outputs[1] && !(scale = cpu_output(lane, n, 1, NIB_DTYPE_F32, 0, NULL, &status))) goto fail;
    if (lo == 0 && n->n_outputs > 2 && n->outputs[2] && !(zero = cpu_output(lane, n, 2, NIB_DTYPE_U8, 0, NULL, &status))) goto fail;
    for (int64_t i = 0; i < count; i += PART) {
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        k->range_f32(from + i, count - i < PART ? count - i : PART, &least, &most);
    }
    cpu_grid_of(least, most, params);
    if (scale) *scale = params[0];
    if (zero) *zero = (uint8_t)params[1];
    const int64_t end = hi == parts ? count : hi * PART;
    for (int64_t i = lo * PART; i < end; i += PART) {
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        k->round_u8(from + i, end - i < PART ? end - i : PART, params[0], params[1], y + i);
    }
fail:
    if (status != NIB_OK) base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
    return status;
}

nib_status cpu_compile_dynamic(cpu_compile *c) {
    const graph_node *n = c->node;
    if (n->n_inputs != 1 || n->n_outputs > 3 || !n->outputs[0] || n->inputs[0].value->type.dtype != NIB_DTYPE_F32)
        return c->why = "it is not f32 that becomes u8", NIB_OK;
    c->step->state = &c->d->kernels;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = dynamic_parts;
    c->step->kernel = "round_u8";
    c->step->evaluates = true; /* what is of another type after all */
    c->step->run = run_dynamic;
    return NIB_OK;
}
