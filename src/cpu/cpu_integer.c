/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer operators of ai.onnx on the cpu: MatMulInteger and, at the end, DynamicQuantizeLinear, which makes its rows.
 *
 * MatMulInteger, where its second matrix is constant. In: rows of u8 or s8 [.., K] with one zero point. Out: s32
 * [.., N], the very integers that the operator is: sums are exact, so their order is free.
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

static nib_status run_integer(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const integer_product *p = step->state;
    const uint8_t *zero_at = p->zero >= 0 ? lane->group->slots[p->zero].t.data : NULL;
    const int zero = p->is_signed ? (zero_at ? *(const int8_t *)zero_at : 0) + 128 : zero_at ? *zero_at : 0;
    const float params[2] = {1, (float)zero};
    uint8_t *copy = (uint8_t *)lane->scratch;
    for (int64_t m = lo, rows; m < hi; m += rows) {
        const uint8_t *x = (const uint8_t *)plan_row(lane, p->a, m);
        rows = p->copies && hi - m > ROWS ? ROWS : hi - m;
        for (int64_t r = 0; p->copies && r < rows; r++) {
            memset(copy + r * p->words + p->K, 0, (size_t)(p->words - p->K)); /* meets weights of 0 */
            for (int64_t k = 0; k < p->K; k++) copy[r * p->words + k] = (uint8_t)(x[r * p->K + k] + (p->is_signed ? 128 : 0));
        }
        if (p->copies) x = copy;
        const kernel_linear_args a = {.x8 = x,
                                      .x_stride = p->copies ? p->words : p->K,
                                      .x_params = params,
                                      .w = p->packed,
                                      .y32 = (int32_t *)(void *)plan_row(lane, p->y, m),
                                      .y_stride = p->N,
                                      .M = rows,
                                      .N = p->N,
                                      .K = p->K};
        p->kernel->run(&a, 0, rows, 0, p->N);
        for (int64_t r = 0; p->zeros && r < rows; r++)
            cpu_take_off_zeros(x + r * a.x_stride, p->K, zero, p->zeros, p->N, p->one_zero, a.y32 + r * p->N);
    }
    return NIB_OK;
}

static bool is_byte(nib_dtype t) { return t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8; }

/* Why not; NULL: it can be done. */
static const char *refusal(const graph_node *n, int64_t *K) {
    const graph_value *a = n->inputs[0].value, *b = n->inputs[1].value;
    const graph_value *za = n->n_inputs > 2 ? n->inputs[2].value : NULL, *zb = n->n_inputs > 3 ? n->inputs[3].value : NULL;
    if (!b->constant || !is_byte(b->constant->dtype) || b->constant->rank != 2) return "the second matrix is not a constant of rank 2";
    if (a->constant || !is_byte(a->type.dtype) || a->type.rank < 2) return "the rows are constant, or not known to be rows";
    if (!graph_dim_is_const(a->type.dims[a->type.rank - 1], K) || *K != b->constant->dims[0])
        return "the width of the rows is not known before the run";
    if (*K < 1 || *K > KERNEL_S8_MOST_K || b->constant->dims[1] < 1 || b->constant->dims[1] > INT32_MAX)
        return "the matrix is empty or too large";
    if (za && (za->constant || za->type.dtype != a->type.dtype || za->type.rank != 0) &&
        !(za->constant && za->constant->dtype == a->type.dtype && graph_tensor_elements(za->constant) == 1))
        return "the rows have more than one zero point";
    if (zb && (!zb->constant || zb->constant->dtype != b->constant->dtype ||
               (graph_tensor_elements(zb->constant) != 1 && (zb->constant->rank != 1 || zb->constant->dims[0] != b->constant->dims[1]))))
        return "the matrix's zero points are not constant, or not one a column";
    return NULL;
}

/* Zero points of the matrix as s8 has them; NULL with *ok where all are 0. */
static const int16_t *zeros_of(cpu_compile *c, const graph_tensor *t, nib_dtype type, bool *ok) {
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

nib_status cpu_compile_matmul_integer(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    const graph_value *a = n->inputs[0].value, *b = n->inputs[1].value, *y = n->outputs[0];
    const graph_value *za = n->n_inputs > 2 ? n->inputs[2].value : NULL, *zb = n->n_inputs > 3 ? n->inputs[3].value : NULL;
    int64_t K;
    bool ok;
    const char *why = refusal(n, &K);
    if (why) return c->why = why, NIB_OK;
    c->step->extent = cpu_rows(y, c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    integer_product *p = base_arena_calloc(&c->p->arena, 1, sizeof *p);
    if (!p) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    p->kernel = kernel_linear_find(&c->d->kernels, KERNEL_INPUT_U8, KERNEL_WEIGHT_S8, NULL);
    p->K = K;
    p->N = b->constant->dims[1];
    p->words = (K + 3) / 4 * 4;
    p->a = a->id;
    p->y = y->id;
    p->zero = za ? za->id : -1;
    p->is_signed = a->type.dtype == NIB_DTYPE_I8;
    p->copies = p->is_signed || p->words != K;
    p->one_zero = !zb || graph_tensor_elements(zb->constant) == 1;
    p->zeros = zeros_of(c, zb ? zb->constant : NULL, b->constant->dtype, &ok);
    if (!ok) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    NIB_TRY(cpu_weight_get(c->d, c->p, b->constant, false, 0, p->N, NULL, p->kernel, &p->packed, c->err));
    if (p->copies) c->step->scratch = (size_t)(ROWS * p->words);
    c->step->whole = 1u << 2;
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
