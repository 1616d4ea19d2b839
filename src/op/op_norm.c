/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax and normalisations, https://onnx.ai/onnx/operators/: Softmax LogSoftmax Hardmax, LayerNormalization
 * RMSNormalization LpNormalization, BatchNormalization InstanceNormalization GroupNormalization. Sums are taken
 * in double in the order of the input and rounded once.
 */
#include "op_local.h"

static nib_status check_floats(op_eval *c, int n) {
    for (int i = 0; i < n; i++)
        if (op_arg(c, i) && !op_is_float(op_arg(c, i)->dtype))
            return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(op_arg(c, i)->dtype));
    return NIB_OK;
}

/* ---- Softmax and its like: before opset 13 over all axes from `axis` on, then over that axis alone */

typedef enum soft { SOFT_MAX, SOFT_LOG, SOFT_HARD } soft;

static void soft_line(const graph_tensor *x, void *y, int64_t base, int64_t step, int64_t n, soft how) {
    int64_t best = 0;
    double most = op_number(x, base), sum = 0;
    for (int64_t k = 1; k < n; k++) {
        double v = op_number(x, base + k * step);
        if (v > most || v != v) {
            most = v;
            best = k;
        }
    }
    for (int64_t k = 0; how != SOFT_HARD && k < n; k++) sum += exp(op_number(x, base + k * step) - most);
    double log_sum = how == SOFT_LOG ? log(sum) : 0;
    for (int64_t k = 0; k < n; k++) {
        double v = op_number(x, base + k * step) - most;
        op_put(x->dtype, y, base + k * step, how == SOFT_HARD ? k == best : how == SOFT_LOG ? v - log_sum : exp(v) / sum);
    }
}

static nib_status eval_soft(op_eval *c, soft how) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    bool old = op_since(c->node) < 13;
    int axis = op_axis(graph_attr_int(c->node, "axis", old ? 1 : -1), x->rank);
    void *y;
    OP_TRY(check_floats(c, 1));
    /* A vector's axis 1 is the end of its shape: one row, as ONNX's coercion to two dimensions has it. */
    if (axis < 0 && !(old && graph_attr_int(c->node, "axis", 1) == x->rank)) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (axis < 0) axis = x->rank;
    int64_t outer = op_count(axis, dims.d), n, inner;
    n = old ? op_count(x->rank - axis, dims.d + axis) : dims.d[axis];
    inner = old ? 1 : op_count(x->rank - axis - 1, dims.d + axis + 1);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (op_count(dims.rank, dims.d) == 0) return NIB_OK; /* a side may be huge all the same */
    for (int64_t o = 0; y && o < outer; o++)
        for (int64_t i = 0; i < inner; i++) soft_line(x, y, o * n * inner + i, inner, n, how);
    return NIB_OK;
}
static nib_status eval_softmax(op_eval *c) { return eval_soft(c, SOFT_MAX); }
static nib_status eval_log_softmax(op_eval *c) { return eval_soft(c, SOFT_LOG); }
static nib_status eval_hardmax(op_eval *c) { return eval_soft(c, SOFT_HARD); }

/* ---- LayerNormalization, RMSNormalization */

/* A parameter read at element i of x: repeated every `period` elements. One that broadcasts in another way is expanded. */
typedef struct parameter {
    graph_tensor t;
    int64_t period;
} parameter;

static nib_status parameter_of(op_eval *c, int input, parameter *p) {
    const graph_tensor *x = op_arg(c, 0), *t = op_arg(c, input);
    int64_t own[GRAPH_MAX_RANK], strides[GRAPH_MAX_RANK] = {0};
    op_dims both;
    p->period = 0;
    if (!t) return NIB_OK;
    p->t = *t;
    p->period = op_count(t->rank, t->dims);
    OP_TRY(op_broadcast_dims(c, 2, (const graph_tensor *const[]){x, t}, &both));
    if (both.rank != x->rank || memcmp(both.d, x->dims, sizeof(int64_t) * (size_t)x->rank) != 0)
        return op_bad(c, NIB_SHAPE, "input %d does not broadcast to the data", input);
    int shift = x->rank - t->rank;
    bool trailing = true, inside = false; /* ones, then the data's own dims */
    for (int i = 0; i < t->rank; i++) {
        inside = inside || t->dims[i] != 1;
        if (inside && t->dims[i] != x->dims[i + shift]) trailing = false;
    }
    if (trailing) return NIB_OK;
    op_strides(t->rank, t->dims, own);
    for (int i = 0; i < t->rank; i++) strides[i + shift] = t->dims[i] == 1 ? 0 : own[i];
    OP_TRY(op_scratch(c, op_count(x->rank, x->dims), op_size(t->dtype), &p->t.data));
    op_copy(p->t.data, NULL, t->data, strides, x->rank, x->dims, op_size(t->dtype));
    p->period = op_count(x->rank, x->dims);
    return NIB_OK;
}

static nib_status eval_layer(op_eval *c, bool centred) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x), rows = op_dims_of(x);
    parameter scale, bias;
    void *y;
    float *mean_out = NULL, *inverse_out = NULL;
    double epsilon = graph_attr_float(c->node, "epsilon", 1e-5f);
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank);
    OP_TRY(check_floats(c, 3));
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    for (int i = axis; i < x->rank; i++) rows.d[i] = 1;
    int64_t outer = op_count(axis, dims.d), n = op_count(x->rank - axis, dims.d + axis);
    OP_TRY(parameter_of(c, 1, &scale));
    OP_TRY(parameter_of(c, 2, &bias));
    OP_TRY(op_out(c, 0, op_arg(c, 1)->dtype, &dims, &y));
    OP_TRY(op_out(c, 1, NIB_DTYPE_F32, &rows, &mean_out));
    OP_TRY(op_out(c, 2, NIB_DTYPE_F32, &rows, &inverse_out));
    if (!y && !mean_out && !inverse_out) return NIB_OK;
    if (n == 0 && !mean_out && !inverse_out) return NIB_OK; /* no element, however many rows */
    for (int64_t r = 0; r < outer; r++) {
        double mean = 0, square = 0;
        for (int64_t i = 0; centred && i < n; i++) mean += op_number(x, r * n + i);
        mean = n > 0 ? mean / (double)n : 0;
        for (int64_t i = 0; i < n; i++) {
            double v = op_number(x, r * n + i) - mean;
            square += v * v;
        }
        double inverse = 1 / sqrt((n > 0 ? square / (double)n : 0) + epsilon);
        for (int64_t i = r * n; y && i < (r + 1) * n; i++) {
            double v = (op_number(x, i) - mean) * inverse;
            if (scale.period) v *= op_number(&scale.t, i % scale.period);
            if (bias.period) v += op_number(&bias.t, i % bias.period);
            op_put(op_arg(c, 1)->dtype, y, i, v);
        }
        if (mean_out) mean_out[r] = (float)mean;
        if (inverse_out) inverse_out[r] = (float)inverse;
    }
    return NIB_OK;
}
static nib_status eval_layer_norm(op_eval *c) { return eval_layer(c, true); }
static nib_status eval_rms_norm(op_eval *c) { return eval_layer(c, false); }

static nib_status infer_layer_norm(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    OP_TRY(op_check_float(c, 0));
    OP_TRY(op_set_like(c, 0, op_in_type(c, 1)->dtype, x));
    if (x->rank < 0) return NIB_OK;
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    for (int i = 0; i < x->rank; i++) dims[i] = i < axis ? x->dims[i] : op_const(c, 1);
    OP_TRY(op_set(c, 1, NIB_DTYPE_F32, x->rank, dims));
    return op_set(c, 2, NIB_DTYPE_F32, x->rank, dims);
}

/* ---- LpNormalization */

static nib_status eval_lp(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank);
    int64_t p = graph_attr_int(c->node, "p", 2);
    void *y;
    OP_TRY(check_floats(c, 1));
    if (axis < 0 || (p != 1 && p != 2)) return op_bad(c, NIB_SHAPE, "axis or p out of range");
    int64_t outer = op_count(axis, dims.d), n = dims.d[axis], inner = op_count(x->rank - axis - 1, dims.d + axis + 1);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    for (int64_t line = 0; y && n > 0 && line < outer * inner; line++) {
        int64_t base = line / inner * n * inner + line % inner;
        double sum = 0;
        for (int64_t k = 0; k < n; k++) {
            double v = op_number(x, base + k * inner);
            sum += p == 1 ? fabs(v) : v * v;
        }
        double norm = p == 1 ? sum : sqrt(sum);
        for (int64_t k = 0; k < n; k++) op_put(x->dtype, y, base + k * inner, norm == 0 ? 0 : op_number(x, base + k * inner) / norm);
    }
    return NIB_OK;
}

/* ---- Batch, instance and group: [N, C, ...] with channels on axis 1 */

static nib_status check_channels(op_eval *c, int from, int to, int64_t channels) {
    for (int i = from; i <= to; i++)
        if (op_count(op_arg(c, i)->rank, op_arg(c, i)->dims) != channels)
            return op_bad(c, NIB_SHAPE, "input %d does not have one element per channel", i);
    return NIB_OK;
}

/* With training_mode the input's own mean and variance normalize it, and what runs along is moved towards them. Outputs of
 * opsets 7 to 13 beyond the first are of a training that those versions do not describe: they are refused. */
static nib_status eval_batch_norm(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    double epsilon = graph_attr_float(c->node, "epsilon", 1e-5f), momentum = graph_attr_float(c->node, "momentum", 0.9f), *mean, *variance;
    bool training = op_since(c->node) >= 14 && graph_attr_int(c->node, "training_mode", 0) != 0;
    void *y, *running[2];
    OP_TRY(check_floats(c, 5));
    const graph_attr *test = graph_find_attr(c->node, "is_test"); /* before opset 7; where it is absent, versions differ */
    if (test && test->kind == GRAPH_ATTR_INT && test->u.i == 0) return op_bad(c, NIB_UNSUPPORTED, "training");
    if (!training && c->node->n_outputs > 1) return op_bad(c, NIB_UNSUPPORTED, "outputs of training");
    if (x->rank < 1) return op_bad(c, NIB_SHAPE, "input has rank 0");
    int64_t channels = x->rank > 1 ? x->dims[1] : 1, n = op_count(x->rank, x->dims),
            inner = x->rank > 2 ? op_count(x->rank - 2, x->dims + 2) : 1;
    double per = channels > 0 ? (double)(n / channels) : 0;
    OP_TRY(check_channels(c, 1, 4, channels));
    OP_TRY(op_reals(c, op_arg(c, 3), &mean));
    OP_TRY(op_reals(c, op_arg(c, 4), &variance));
    op_dims one = {1, {channels}};
    for (int k = 0; k < 2; k++) OP_TRY(op_out(c, 1 + k, op_arg(c, 3 + k)->dtype, &one, &running[k]));
    if (training) {
        for (int64_t k = 0; k < channels; k++) mean[k] = variance[k] = 0;
        for (int64_t i = 0; i < n; i++) mean[i / inner % channels] += op_number(x, i) / per;
        for (int64_t i = 0; i < n; i++) {
            double v = op_number(x, i) - mean[i / inner % channels];
            variance[i / inner % channels] += v * v / per;
        }
        for (int k = 0; k < 2; k++)
            for (int64_t i = 0; running[k] && i < channels; i++)
                op_put(op_arg(c, 3 + k)->dtype, running[k], i,
                       op_number(op_arg(c, 3 + k), i) * momentum + (k ? variance : mean)[i] * (1 - momentum));
    }
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) {
        int64_t k = i / inner % channels;
        double v = (op_number(x, i) - mean[k]) / sqrt(variance[k] + epsilon);
        op_put(x->dtype, y, i, v * op_number(op_arg(c, 1), k) + op_number(op_arg(c, 2), k));
    }
    return NIB_OK;
}

static nib_status infer_batch_norm(op_infer *c) {
    OP_TRY(op_infer_float_same(c));
    for (int k = 0; k < 2; k++) OP_TRY(op_set_like(c, 1 + k, op_in_type(c, 3 + k)->dtype, op_in_type(c, 3 + k)));
    return NIB_OK;
}

/* Instance is group with one channel each. */
static nib_status eval_group(op_eval *c, int64_t groups, bool per_group) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    double epsilon = graph_attr_float(c->node, "epsilon", 1e-5f);
    void *y;
    OP_TRY(check_floats(c, 3));
    if (x->rank < 2) return op_bad(c, NIB_SHAPE, "input has rank %d", x->rank);
    int64_t channels = x->dims[1];
    if (groups == 0) groups = channels;
    if (groups < 0 || (channels > 0 && (groups == 0 || channels % groups != 0)))
        return op_bad(c, NIB_SHAPE, "channels do not split into groups");
    OP_TRY(check_channels(c, 1, 2, per_group ? groups : channels));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t inner = op_count(x->rank - 2, x->dims + 2), width = groups > 0 ? channels / groups : 0, n = width * inner;
    for (int64_t g = 0; y && n > 0 && g < x->dims[0] * groups; g++) {
        double mean = 0, square = 0;
        for (int64_t i = g * n; i < (g + 1) * n; i++) mean += op_number(x, i);
        mean /= (double)n;
        for (int64_t i = g * n; i < (g + 1) * n; i++) square += (op_number(x, i) - mean) * (op_number(x, i) - mean);
        double inverse = 1 / sqrt(square / (double)n + epsilon);
        for (int64_t i = g * n; i < (g + 1) * n; i++) {
            int64_t k = per_group ? g % groups : i / inner % channels;
            op_put(x->dtype, y, i, (op_number(x, i) - mean) * inverse * op_number(op_arg(c, 1), k) + op_number(op_arg(c, 2), k));
        }
    }
    return NIB_OK;
}
static nib_status eval_instance_norm(op_eval *c) { return eval_group(c, 0, false); }
static nib_status eval_group_norm(op_eval *c) {
    int64_t groups = graph_attr_int(c->node, "num_groups", -1);
    return eval_group(c, groups == 0 ? -1 : groups, op_since(c->node) < 21);
}

#define ROW(name, since, inputs, rows, eval)                                                                                               \
    { name, "", since, inputs, inputs, 1, rows, op_infer_float_same, eval, NULL }

const op op_family_norm[] = {
    {"BatchNormalization", "", 1, 5, 5, 5, OP_ROWS_MIXED, infer_batch_norm, eval_batch_norm, NULL},
    {"BatchNormalization", "", 14, 5, 5, 3, OP_ROWS_MIXED, infer_batch_norm, eval_batch_norm, NULL},
    ROW("GroupNormalization", 18, 3, OP_ROWS_MIXED, eval_group_norm),
    ROW("GroupNormalization", 21, 3, OP_ROWS_MIXED, eval_group_norm),
    ROW("Hardmax", 1, 1, OP_ROWS_MIXED, eval_hardmax),
    ROW("Hardmax", 13, 1, OP_ROWS_MIXED, eval_hardmax),
    ROW("InstanceNormalization", 1, 3, OP_ROWS_MIXED, eval_instance_norm),
    {"LayerNormalization", "", 17, 2, 3, 3, OP_ROWS_LAST, infer_layer_norm, eval_layer_norm, NULL},
    ROW("LogSoftmax", 1, 1, OP_ROWS_LAST, eval_log_softmax),
    ROW("LogSoftmax", 13, 1, OP_ROWS_LAST, eval_log_softmax),
    ROW("LpNormalization", 1, 1, OP_ROWS_LAST, eval_lp),
    {"RMSNormalization", "", 23, 2, 2, 1, OP_ROWS_LAST, infer_layer_norm, eval_rms_norm, NULL},
    ROW("Softmax", 1, 1, OP_ROWS_LAST, eval_softmax),
    ROW("Softmax", 13, 1, OP_ROWS_LAST, eval_softmax),
    {0},
};
