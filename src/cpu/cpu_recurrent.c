/* SPDX-License-Identifier: Apache-2.0
 *
 * RNN, GRU and LSTM (ai.onnx) and DynamicQuantizeLSTM (com.microsoft) on the cpu, where weights are constants, of f32 or of 8 bits. In: X,
 * states, lengths as src/op/op_recurrent.c has them. Out: Y, Y_h, Y_c within rounding of what its eval gives.
 *
 * The weights are packed once. Time is walked in blocks: the inputs of a block meet W in one product a text, and each step adds one
 * product of the texts' states with R, in place, and passes the sums through the gates:
 *
 *     z [steps of the block, texts, G H] = x W + biases;   at each step: z += h R,   h = gates(z, h)
 *
 * A part is a direction and up to BATCH texts, which no other part looks at. What a call brings that does not fit the weights, or is
 * empty, goes to the eval, which has a message for it.
 */
#include "cpu.h"
#include "op/op_recurrent.h"
#include <string.h>

#define BATCH 12           /* texts of a part: as many rows as the tallest tile has */
#define ROWS 96            /* of z at a time: steps by texts */
#define Z_BYTES (1u << 19) /* that z has at most, if it has more than BATCH rows: beside the weights in L2 */

typedef struct direction {
    const void *w, *r, *r_last; /* packed: [I, G H]; [H, G H], of GRU [H, 2 H] and [H, H] */
    const float *bias;          /* [G H] both biases; of a GRU that is linear_before_reset, the last H are W's alone */
    const float *bias_last;     /* [H] R's, of that GRU; NULL: 0 */
    const float *peephole;      /* [3 H] i o f, or NULL */
    kernel_activation f[3];
    const float *w_scale, *r_scale; /* [G H] of 8 bits, as the next two: what the integers of w and r are multiples of */
    const int16_t *w_zero, *r_zero; /* [G H] zero points; NULL: all are 0 */
} direction;

typedef struct recurrent {
    const kernels *k;
    const kernel_linear *kernel;
    op_cell cell;
    int64_t I, H, G, rows;    /* G: columns of all gates; rows of z */
    int64_t x_bytes, h_bytes; /* of a row in 8 bits: I and H rounded up to what the kernel reads at a time */
    direction ways[2];
} recurrent;

/* What a call brings. */
typedef struct sizes {
    int64_t T, B;
    const graph_tensor *x, *lengths, *h0, *c0;
} sizes;

/* A part on its way through time. */
typedef struct walk {
    const recurrent *s;
    const direction *way;
    const sizes *call;
    int64_t d, first, n; /* the direction, and its texts [first, first + n) */
    bool reverse;
    float *z, *h, *c, *a; /* [rows, G], and [BATCH, H]: states, and what a step needs between */
    float *y, *y_h, *y_c; /* outputs, each may be NULL */
    uint8_t *x8, *h8;     /* [rows, x_bytes] and [BATCH, h_bytes] of 8 bits */
    float *h_params;      /* [BATCH, 2] scale and zero point of h8 */
    int32_t *sums;        /* [BATCH, G] */
    float x_params[2];    /* of all x */
} walk;

/* ---- the sizes of a call */

static const graph_tensor *input_of(const plan_group *group, const graph_node *n, int i) {
    return i < n->n_inputs && n->inputs[i].value ? plan_tensor(group, n->inputs[i].value) : NULL;
}

static bool is_f32(const graph_tensor *t, int rank, const int64_t *dims) {
    bool is = t->dtype == NIB_DTYPE_F32 && t->rank == rank;
    for (int k = 0; is && k < rank; k++) is = t->dims[k] == dims[k];
    return is;
}

static int64_t length_of(const sizes *call, int64_t b) {
    const graph_tensor *t = call->lengths;
    if (!t) return call->T;
    return t->dtype == NIB_DTYPE_I32 ? ((const int32_t *)t->data)[b] : ((const int64_t *)t->data)[b];
}

/* False: it is the eval's to say what is wrong, or nothing is to be done. */
static bool read_call(const recurrent *s, const graph_node *n, const plan_group *group, sizes *out) {
    const bool first = s->cell.batch_first;
    const graph_tensor *x = input_of(group, n, 0), *lengths = input_of(group, n, 4);
    if (!x || x->dtype != NIB_DTYPE_F32 || x->rank != 3 || x->dims[2] != s->I) return false;
    *out = (sizes){x->dims[first], x->dims[!first], x, lengths, input_of(group, n, 5), input_of(group, n, 6)};
    const int64_t state[3] = {first ? out->B : s->cell.D, first ? s->cell.D : out->B, s->H};
    if (out->T < 1 || out->B < 1 || (out->h0 && !is_f32(out->h0, 3, state)) || (out->c0 && !is_f32(out->c0, 3, state))) return false;
    if (!lengths) return true;
    if ((lengths->dtype != NIB_DTYPE_I32 && lengths->dtype != NIB_DTYPE_I64) || lengths->rank != 1 || lengths->dims[0] != out->B)
        return false;
    for (int64_t b = 0; b < out->B; b++)
        if (length_of(out, b) < 0 || length_of(out, b) > out->T) return false;
    return true;
}

/* Shape of output i; its rank. */
static int output_shape(const recurrent *s, const sizes *call, int i, int64_t dims[4]) {
    const int64_t D = s->cell.D;
    int at = 0;
    if (i == 0) dims[at++] = s->cell.batch_first ? call->B : call->T;
    if (i == 0 && s->cell.batch_first) dims[at++] = call->T;
    if (i > 0 && s->cell.batch_first) dims[at++] = call->B;
    dims[at++] = D;
    if (!s->cell.batch_first) dims[at++] = call->B;
    dims[at++] = s->H;
    return at;
}

static int64_t parts_of(const recurrent *s, const sizes *call) { return s->cell.D * ((call->B + BATCH - 1) / BATCH); }

/* Whether all outputs lie where the plan put them, so that several lanes can write them. */
static bool is_planned(const recurrent *s, const graph_node *n, const plan_group *group, const sizes *call) {
    int64_t dims[4];
    for (int i = 0; i < n->n_outputs; i++) {
        graph_tensor t = {.rank = n->outputs[i] ? output_shape(s, call, i, dims) : 0};
        if (!n->outputs[i]) continue;
        memcpy(t.dims, dims, (size_t)t.rank * sizeof *dims);
        const int64_t count = graph_tensor_elements(&t);
        if (count < 0 || !cpu_is_planned(group, n->outputs[i]->id, graph_type_bytes(NIB_DTYPE_F32, (size_t)count))) return false;
    }
    return true;
}

static int64_t recurrent_parts(const plan_step *step, const plan_group *group) {
    sizes call;
    return read_call(step->state, step->node, group, &call) && is_planned(step->state, step->node, group, &call)
               ? parts_of(step->state, &call)
               : 1;
}

/* ---- products */

static void product(const recurrent *s, const void *w, const float *x, int64_t x_stride, int64_t K, const float *bias, bool adds, float *y,
                    int64_t y_stride, int64_t M, int64_t N) {
    const kernel_linear_args a = {.x = x,
                                  .x_stride = x_stride,
                                  .w = w,
                                  .bias = bias,
                                  .residual = adds ? y : NULL,
                                  .residual_stride = y_stride,
                                  .y = y,
                                  .y_stride = y_stride,
                                  .M = M,
                                  .N = N,
                                  .K = K};
    s->kernel->run(&a, 0, M, 0, N);
}

/* The same of integers: y = sums of (x - zero point) (w - its zero point), which are exact. */
static void product_of_8(const recurrent *s, const void *w, const int16_t *zeros, const uint8_t *x, int64_t x_stride, int64_t K,
                         const float *params, int64_t params_stride, int32_t *y, int64_t y_stride, int64_t M) {
    const kernel_linear_args a = {.x8 = x,
                                  .x_stride = x_stride,
                                  .x_params = params,
                                  .x_params_stride = params_stride,
                                  .w = w,
                                  .y32 = y,
                                  .y_stride = y_stride,
                                  .M = M,
                                  .N = s->G,
                                  .K = K};
    s->kernel->run(&a, 0, M, 0, s->G);
    for (int64_t m = 0; zeros && m < M; m++)
        cpu_take_off_zeros(x + m * x_stride, K, (int)params[m * params_stride + 1], zeros, s->G, false, y + m * y_stride);
}

static void round_row(const recurrent *s, const float *x, int64_t n, const float params[2], uint8_t *y, int64_t bytes) {
    s->k->round_u8(x, n, params[0], params[1], y);
    memset(y + n, 0, (size_t)(bytes - n)); /* meets weights of 0 */
}

/* z [rows, G] of `rows` rows of x, x_stride apart; those of z are z_stride apart. */
static void read_inputs_of_8(const walk *w, const float *x, int64_t x_stride, int64_t rows, float *z, int64_t z_stride) {
    const recurrent *s = w->s;
    int32_t *sums = (int32_t *)(void *)z;
    for (int64_t m = 0; m < rows; m++) round_row(s, x + m * x_stride, s->I, w->x_params, w->x8 + m * s->x_bytes, s->x_bytes);
    product_of_8(s, w->way->w, w->way->w_zero, w->x8, s->x_bytes, s->I, w->x_params, 0, sums, z_stride, rows);
    for (int64_t m = 0; m < rows; m++)
        s->k->scale_s32(sums + m * z_stride, w->way->w_scale, w->x_params[0], w->way->bias, s->G, z + m * z_stride);
}

/* z += h R of `n` texts from text b on. */
static void add_states_of_8(const walk *w, float *z, int64_t b, int64_t n) {
    const recurrent *s = w->s;
    for (int64_t i = b; i < b + n; i++) {
        const float *h = w->h + i * s->H;
        float lo = 0, hi = 0;
        s->k->range_f32(h, s->H, &lo, &hi);
        cpu_grid_of(lo, hi, w->h_params + 2 * i);
        round_row(s, h, s->H, w->h_params + 2 * i, w->h8 + i * s->h_bytes, s->h_bytes);
    }
    product_of_8(s, w->way->r, w->way->r_zero, w->h8 + b * s->h_bytes, s->h_bytes, s->H, w->h_params + 2 * b, 2, w->sums, s->G, n);
    for (int64_t i = 0; i < n; i++)
        s->k->scale_s32(w->sums + i * s->G, w->way->r_scale, w->h_params[2 * (b + i)], z + i * s->G, s->G, z + i * s->G);
}

/* Where text b of the part is at its step i. */
static int64_t time_of(const walk *w, int64_t b, int64_t i) { return w->reverse ? length_of(w->call, w->first + b) - 1 - i : i; }

/* z of text b at steps [lo, hi), which are the first of z. */
static void read_inputs(const walk *w, int64_t b, int64_t lo, int64_t hi) {
    const recurrent *s = w->s;
    const int64_t text = w->first + b, t = time_of(w, b, lo), step = s->cell.batch_first ? s->I : w->call->B * s->I;
    const int64_t stride = w->reverse ? -step : step;
    const float *x = (const float *)w->call->x->data + (s->cell.batch_first ? text * w->call->T + t : t * w->call->B + text) * s->I;
    float *z = w->z + b * s->G;
    if (s->cell.of_8) read_inputs_of_8(w, x, stride, hi - lo, z, w->n * s->G);
    else product(s, w->way->w, x, stride, s->I, w->way->bias, false, z, w->n * s->G, hi - lo, s->G);
}

/* ---- gates, of one text: z [G H] holds the sums; h, c [H] are its states */

static void clip_row(const recurrent *s, float *z, int64_t n) {
    const float most = (float)s->cell.clip;
    for (int64_t k = 0; s->cell.clip > 0 && k < n; k++) z[k] = z[k] > most ? most : z[k] < -most ? -most : z[k];
}

static void curve(const recurrent *s, kernel_activation f, float *z, int64_t n) {
    clip_row(s, z, n);
    s->k->activation_f32(f, z, n, z);
}

/* z += p c, with room for [H] */
static void peep(const recurrent *s, const float *p, const float *c, float *room, float *z) {
    s->k->mul_f32(p, c, s->H, room);
    s->k->add_f32(z, room, s->H, z);
}

static void lstm_row(const walk *w, float *z, float *h, float *c) {
    const recurrent *s = w->s;
    const kernels *k = s->k;
    const kernel_activation *f = w->way->f;
    const float *p = w->way->peephole;
    const int64_t H = s->H;
    float *in = z, *out = z + H, *forget = z + 2 * H, *next = z + 3 * H;
    if (p) {
        peep(s, p, c, h, in);
        peep(s, p + 2 * H, c, h, forget);
        curve(s, f[0], in, H);
        curve(s, f[0], forget, H);
    } else {
        curve(s, f[0], z, 3 * H);
    }
    for (int64_t i = 0; s->cell.coupled && i < H; i++) forget[i] = 1.0f - in[i];
    curve(s, f[1], next, H);
    k->mul_f32(forget, c, H, c);
    k->mul_f32(in, next, H, next);
    k->add_f32(c, next, H, c);
    if (p) {
        peep(s, p + H, c, h, out);
        curve(s, f[0], out, H);
    }
    k->activation_f32(f[2], c, H, h);
    k->mul_f32(out, h, H, h);
}

static void rnn_row(const walk *w, float *z, float *h) {
    curve(w->s, w->way->f[0], z, w->s->H);
    memcpy(h, z, (size_t)w->s->H * sizeof *h);
}

/* h = (1 - update) next + update h, with `next` before its curve and room for [H] */
static void gru_row(const walk *w, const float *update, float *next, float *room, float *h) {
    const kernels *k = w->s->k;
    const int64_t H = w->s->H;
    curve(w->s, w->way->f[1], next, H);
    k->scale_f32(next, -1.0f, H, room);
    k->add_f32(h, room, H, room);
    k->mul_f32(update, room, H, room);
    k->add_f32(next, room, H, h);
}

/* Texts [b, b + n) of the part, whose sums so far are z [n, G]. */
static void step_gru(const walk *w, float *z, int64_t b, int64_t n) {
    const recurrent *s = w->s;
    const kernels *k = s->k;
    const int64_t H = s->H, G = s->G;
    float *h = w->h + b * H, *a = w->a + b * H;
    product(s, w->way->r, h, H, H, NULL, true, z, G, n, 2 * H);
    if (s->cell.linear) product(s, w->way->r_last, h, H, H, w->way->bias_last, false, a, H, n, H);
    for (int64_t i = 0; i < n; i++) {
        float *row = z + i * G, *reset = row + H;
        curve(s, w->way->f[0], row, 2 * H);
        k->mul_f32(reset, s->cell.linear ? a + i * H : h + i * H, H, a + i * H);
        if (s->cell.linear) k->add_f32(row + 2 * H, a + i * H, H, row + 2 * H);
    }
    if (!s->cell.linear) product(s, w->way->r_last, a, H, H, NULL, true, z + 2 * H, G, n, H);
    for (int64_t i = 0; i < n; i++) gru_row(w, z + i * G, z + i * G + 2 * H, a + i * H, h + i * H);
}

static void step_cells(const walk *w, float *z, int64_t b, int64_t n) {
    const recurrent *s = w->s;
    const int64_t H = s->H;
    if (s->cell.kind == OP_CELL_GRU) {
        step_gru(w, z, b, n);
        return;
    }
    if (s->cell.of_8) add_states_of_8(w, z, b, n);
    else product(s, w->way->r, w->h + b * H, H, H, NULL, true, z, s->G, n, s->G);
    for (int64_t i = b; i < b + n; i++, z += s->G) {
        if (s->cell.kind == OP_CELL_LSTM) lstm_row(w, z, w->h + i * H, w->c + i * H);
        else rnn_row(w, z, w->h + i * H);
    }
}

/* ---- time */

static float *y_row(const walk *w, int64_t b, int64_t t) {
    const sizes *call = w->call;
    const int64_t D = w->s->cell.D, text = w->first + b;
    return w->y + (w->s->cell.batch_first ? (text * call->T + t) * D + w->d : (t * D + w->d) * call->B + text) * w->s->H;
}

/* Step i of all texts that are that long. */
static void step_all(const walk *w, float *z, int64_t i) {
    const size_t bytes = (size_t)w->s->H * sizeof(float);
    for (int64_t b = 0, end; b < w->n; b = end) {
        end = b + 1;
        if (length_of(w->call, w->first + b) <= i) continue;
        while (end < w->n && length_of(w->call, w->first + end) > i) end++;
        step_cells(w, z + b * w->s->G, b, end - b);
        for (int64_t k = b; w->y && k < end; k++) memcpy(y_row(w, k, time_of(w, k, i)), w->h + k * w->s->H, bytes);
    }
}

static int64_t state_at(const walk *w, int64_t b) {
    const int64_t text = w->first + b;
    return (w->s->cell.batch_first ? text * w->s->cell.D + w->d : w->d * w->call->B + text) * w->s->H;
}

/* The states as they are before the first step; *longest: of the part's texts. */
static void begin(const walk *w, int64_t *longest) {
    const size_t bytes = (size_t)w->s->H * sizeof(float);
    *longest = 0;
    memset(w->h, 0, (size_t)w->n * bytes);
    memset(w->c, 0, (size_t)w->n * bytes);
    for (int64_t b = 0; b < w->n; b++) {
        const int64_t length = length_of(w->call, w->first + b);
        if (length > *longest) *longest = length;
        if (w->call->h0) memcpy(w->h + b * w->s->H, (const float *)w->call->h0->data + state_at(w, b), bytes);
        if (w->call->c0) memcpy(w->c + b * w->s->H, (const float *)w->call->c0->data + state_at(w, b), bytes);
    }
}

/* The states as they are in the end, and zeros behind the texts. */
static void finish(const walk *w) {
    const size_t bytes = (size_t)w->s->H * sizeof(float);
    for (int64_t b = 0; b < w->n; b++) {
        for (int64_t t = length_of(w->call, w->first + b); w->y && t < w->call->T; t++) memset(y_row(w, b, t), 0, bytes);
        if (w->y_h) memcpy(w->y_h + state_at(w, b), w->h + b * w->s->H, bytes);
        if (w->y_c) memcpy(w->y_c + state_at(w, b), w->c + b * w->s->H, bytes);
    }
}

static nib_status run_part(walk *w, int64_t part, plan_lane *lane) {
    const int64_t groups = (w->call->B + BATCH - 1) / BATCH, group = part % groups;
    int64_t longest;
    w->d = part / groups;
    w->way = &w->s->ways[w->d];
    w->reverse = w->s->cell.reverse || w->d == 1;
    w->first = w->call->B * group / groups;
    w->n = w->call->B * (group + 1) / groups - w->first;
    begin(w, &longest);
    const int64_t steps = w->s->rows / w->n;
    for (int64_t lo = 0, hi; lo < longest; lo = hi) {
        hi = longest - lo < steps ? longest : lo + steps;
        for (int64_t b = 0; b < w->n; b++) {
            const int64_t length = length_of(w->call, w->first + b);
            if (length > lo) read_inputs(w, b, lo, length < hi ? length : hi);
        }
        for (int64_t i = lo; i < hi; i++) {
            if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
            step_all(w, w->z + (i - lo) * w->n * w->s->G, i);
        }
    }
    finish(w);
    return NIB_OK;
}

static void *take(char *base, size_t *used, int64_t n, size_t size) {
    void *at = base ? base + *used : NULL;
    *used += ((size_t)n * size + BASE_ALIGN - 1) / BASE_ALIGN * BASE_ALIGN;
    return at;
}

/* Divides scratch memory; how much there must be. base NULL: only that. */
static size_t lay_out(const recurrent *s, char *base, walk *w) {
    size_t used = 0;
    w->z = take(base, &used, s->rows * s->G, sizeof *w->z);
    w->h = take(base, &used, BATCH * s->H, sizeof *w->h);
    w->c = take(base, &used, BATCH * s->H, sizeof *w->c);
    w->a = take(base, &used, BATCH * s->H, sizeof *w->a);
    if (!s->cell.of_8) return used;
    w->x8 = take(base, &used, s->rows * s->x_bytes, 1);
    w->h8 = take(base, &used, BATCH * s->h_bytes, 1);
    w->h_params = take(base, &used, 2 * BATCH, sizeof *w->h_params);
    w->sums = take(base, &used, BATCH * s->G, sizeof *w->sums);
    return used;
}

/* The grid that all of x is rounded to, whatever is padding. */
static void find_x_params(walk *w) {
    float lo = 0, hi = 0;
    w->s->k->range_f32(w->call->x->data, graph_tensor_elements(w->call->x), &lo, &hi);
    cpu_grid_of(lo, hi, w->x_params);
}

static nib_status run_recurrent(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const recurrent *s = step->state;
    const graph_node *n = step->node;
    nib_status status = NIB_OK;
    sizes call;
    if (!read_call(s, n, lane->group, &call)) return cpu_eval_whole(step, s->k, lane);
    if (!is_planned(s, n, lane->group, &call)) hi = parts_of(s, &call);
    walk w = {.s = s, .call = &call};
    float **const outputs[] = {&w.y, &w.y_h, &w.y_c};
    for (int i = 0; i < n->n_outputs; i++) {
        int64_t dims[4];
        if (!n->outputs[i]) continue;
        const int rank = output_shape(s, &call, i, dims);
        if (!(*outputs[i] = cpu_output(lane, n, i, NIB_DTYPE_F32, rank, dims, &status))) goto fail;
    }
    lay_out(s, lane->scratch, &w);
    if (s->cell.of_8) find_x_params(&w);
    for (int64_t part = lo; part < hi && status == NIB_OK; part++) status = run_part(&w, part, lane);
fail:
    if (status != NIB_OK) base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
    return status;
}

/* ---- making the step */

static const graph_tensor *constant_of(const graph_node *n, int i) {
    return i < n->n_inputs && n->inputs[i].value ? n->inputs[i].value->constant : NULL;
}

static bool is_there(const graph_node *n, int i) { return i < n->n_inputs && n->inputs[i].value; }

static bool is_constant(const graph_node *n, int i, int rank, const int64_t *dims) {
    return constant_of(n, i) && is_f32(constant_of(n, i), rank, dims);
}

static bool fast_curve(op_curve_kind f, kernel_activation *out) {
    static const struct {
        op_curve_kind curve;
        kernel_activation activation;
    } fast[] = {{OP_CURVE_SIGMOID, KERNEL_ACT_SIGMOID}, {OP_CURVE_TANH, KERNEL_ACT_TANH}, {OP_CURVE_RELU, KERNEL_ACT_RELU}};
    for (size_t i = 0; i < BASE_COUNT(fast); i++)
        if (fast[i].curve == f) return *out = fast[i].activation, true;
    return false;
}

/* Whether input i is weights [D, K, G] of 8 bits, with constant scales in input `scale` and zero points behind, [D] or [D, G]. */
static bool are_of_8(const graph_node *n, const recurrent *s, int i, int64_t K, int scale) {
    const graph_tensor *w = constant_of(n, i), *of = constant_of(n, scale), *zero = constant_of(n, scale + 1);
    if (!of || !zero || (w->dtype != NIB_DTYPE_U8 && w->dtype != NIB_DTYPE_I8) || zero->dtype != w->dtype || K > KERNEL_S8_MOST_K)
        return false;
    const int64_t dims[3] = {s->cell.D, K, s->G}, each[2] = {s->cell.D, s->G};
    for (int k = 0; k < 3; k++)
        if (w->dims[k] != dims[k]) return false;
    if (!is_f32(of, of->rank == 2 ? 2 : 1, each) || zero->rank != of->rank) return false;
    for (int k = 0; k < of->rank; k++)
        if (zero->dims[k] != of->dims[k]) return false;
    return true;
}

/* Why not; NULL: it can be done, and s knows the sizes and curves. */
static const char *refusal(const graph_node *n, recurrent *s) {
    const graph_attr *hidden = graph_find_attr(n, "hidden_size");
    const graph_tensor *w = constant_of(n, 1), *r = constant_of(n, 2);
    const char *why = "";
    if (op_cell_get(n, &s->cell, &why) != NIB_OK) return why;
    if (n->n_inputs > n->meaning->max_in || n->n_outputs > n->meaning->n_out) return "it has too many inputs or outputs";
    if (!w || !r || w->rank != 3 || r->rank != 3) return "its weights are not constant";
    const int64_t D = s->cell.D;
    const bool of_8 = s->cell.of_8;
    s->I = w->dims[of_8 ? 1 : 2];
    s->H = r->dims[of_8 ? 1 : 2];
    if (s->I < 1 || s->H < 1 || s->I > INT32_MAX / 8 || s->H > INT32_MAX / 8) return "its weights are empty or too large";
    s->G = (int64_t)s->cell.kind * s->H;
    s->x_bytes = (s->I + 3) / 4 * 4;
    s->h_bytes = (s->H + 3) / 4 * 4;
    if (of_8 ? !are_of_8(n, s, 1, s->I, 8) || !are_of_8(n, s, 2, s->H, 10)
             : !is_f32(w, 3, (int64_t[]){D, s->G, s->I}) || !is_f32(r, 3, (int64_t[]){D, s->G, s->H}))
        return "its weights are of another type or size";
    if (hidden && hidden->kind == GRAPH_ATTR_INT && hidden->u.i != s->H) return "hidden_size is not that of its weights";
    if (is_there(n, 3) && !is_constant(n, 3, 2, (int64_t[]){D, 2 * s->G})) return "its biases are not constant";
    if (is_there(n, 7) && !is_constant(n, 7, 2, (int64_t[]){D, 3 * s->H})) return "its peepholes are not constant";
    if (n->inputs[0].value->type.dtype != NIB_DTYPE_F32) return "its input is not f32";
    const int curves = op_cell_curves(&s->cell);
    for (int i = 0; i < (int)D * curves; i++)
        if (!fast_curve(s->cell.curves[i].f, &s->ways[i / curves].f[i % curves])) return "an activation has no kernel";
    return NULL;
}

static void *room(cpu_compile *c, int64_t n, size_t size) { return base_arena_calloc(&c->p->arena, (size_t)n, size); }

/* Gates [first, first + N) of direction d of weight number i, [D, G, K] or of 8 bits [D, K, G], packed. */
static nib_status pack(cpu_compile *c, const recurrent *s, int i, int64_t d, int64_t first, int64_t N, const void **packed) {
    const graph_tensor *t = constant_of(c->node, i);
    graph_tensor all = {.dtype = t->dtype, .rank = 2, .dims = {t->dims[0] * t->dims[1], t->dims[2]}, .data = t->data, .bytes = t->bytes};
    if (!s->cell.of_8) return cpu_weight_get(c->d, c->p, &all, true, d * s->G + first, N, NULL, s->kernel, packed, c->err);
    all.bytes = (size_t)(t->dims[1] * t->dims[2]);
    all.data = (char *)t->data + (size_t)d * all.bytes;
    all.dims[0] = t->dims[1];
    return cpu_weight_get(c->d, c->p, &all, false, first, N, NULL, s->kernel, packed, c->err);
}

/* Scales in this input and zero points behind, one a column; the kernel has 128 less of u8. */
static bool read_grid(cpu_compile *c, const recurrent *s, int64_t d, int input, const float **scale, const int16_t **zero) {
    const graph_tensor *of = constant_of(c->node, input), *at = constant_of(c->node, input + 1);
    float *scales = room(c, s->G, sizeof *scales);
    int16_t *zeros = room(c, s->G, sizeof *zeros);
    bool any = false;
    for (int64_t k = 0; scales && zeros && k < s->G; k++) {
        const int64_t from = of->rank == 2 ? d * s->G + k : d;
        const uint8_t byte = ((const uint8_t *)at->data)[from];
        memcpy(&scales[k], (const char *)of->data + from * (int64_t)sizeof *scales, sizeof *scales);
        zeros[k] = (int16_t)(at->dtype == NIB_DTYPE_U8 ? (int)byte - 128 : (int)(int8_t)byte);
        any |= zeros[k] != 0;
    }
    *scale = scales;
    *zero = any ? zeros : NULL;
    return scales && zeros;
}

/* The sums of both biases, which products of inputs begin with. */
static bool read_biases(cpu_compile *c, const recurrent *s, int64_t d, direction *way) {
    const graph_tensor *t = constant_of(c->node, 3), *p = constant_of(c->node, 7);
    const bool apart = s->cell.kind == OP_CELL_GRU && s->cell.linear;
    float *sums = room(c, s->G, sizeof *sums), *last = room(c, s->H, sizeof *last), *peephole = room(c, 3 * s->H, sizeof *peephole);
    if (!sums || !last || !peephole) return false;
    for (int64_t k = 0; t && k < s->G; k++) {
        float b[2];
        for (int i = 0; i < 2; i++) memcpy(&b[i], (const char *)t->data + ((2 * d + i) * s->G + k) * (int64_t)sizeof *b, sizeof *b);
        const bool in_last = apart && k >= 2 * s->H;
        sums[k] = in_last ? b[0] : b[0] + b[1];
        if (in_last) last[k - 2 * s->H] = b[1];
    }
    if (p) memcpy(peephole, (const char *)p->data + d * 3 * s->H * (int64_t)sizeof *peephole, (size_t)(3 * s->H) * sizeof *peephole);
    way->bias = sums;
    way->bias_last = apart ? last : NULL;
    way->peephole = p ? peephole : NULL;
    return true;
}

nib_status cpu_compile_recurrent(cpu_compile *c) {
    nib_status status = NIB_OK;
    recurrent *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    if ((c->why = refusal(c->node, s))) return NIB_OK;
    c->why = "";
    s->k = &c->d->kernels;
    s->kernel = s->cell.of_8 ? kernel_linear_find(s->k, KERNEL_INPUT_U8, KERNEL_WEIGHT_S8, NULL)
                             : kernel_linear_find(s->k, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    const int64_t fit = (int64_t)(Z_BYTES / sizeof(float)) / s->G;
    s->rows = fit < BATCH ? BATCH : fit > ROWS ? ROWS : fit;
    for (int64_t d = 0; d < s->cell.D; d++) {
        direction *way = &s->ways[d];
        const int64_t first = s->cell.kind == OP_CELL_GRU ? 2 * s->H : s->G; /* that a step's first product has */
        bool read = read_biases(c, s, d, way);
        if (s->cell.of_8)
            read = read && read_grid(c, s, d, 8, &way->w_scale, &way->w_zero) && read_grid(c, s, d, 10, &way->r_scale, &way->r_zero);
        if (!read) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
        NIB_TRY(pack(c, s, 1, d, 0, s->G, &way->w));
        NIB_TRY(pack(c, s, 2, d, 0, first, &way->r));
        if (first < s->G) NIB_TRY(pack(c, s, 2, d, first, s->G - first, &way->r_last));
    }
    c->step->scratch = lay_out(s, NULL, &(walk){.s = s});
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = recurrent_parts;
    c->step->kernel = s->kernel->name;
    c->step->evaluates = true; /* what does not fit */
    c->step->run = run_recurrent;
fail:
    return status;
}
