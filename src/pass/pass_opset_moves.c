/* SPDX-License-Identifier: Apache-2.0
 *
 * Arguments that were an attribute up to some opset and are an input since. In: a node at that border. Out: the same
 * node in the words of the other side. An input can become an attribute only where it is a constant.
 */
#include "pass_opset.h"
#include "base/base_half.h"
#include <string.h>

typedef enum form {
    FORM_LIST,   /* integers: i64 [n] */
    FORM_ONE,    /* an integer: i64 [1] */
    FORM_SCALAR, /* an integer: i64 [] */
    FORM_NUMBER, /* a float: [] of the type of input 0 */
} form;

#define NOTHING INT64_MIN

static const struct moved {
    const char *op, *attr;
    int input, since;
    form form;
    int64_t absent[2]; /* what its absence means as attribute, as input; NOTHING: the same in both */
} moved[] = {
    {"Squeeze", "axes", 1, 13, FORM_LIST, {NOTHING, NOTHING}},
    {"Unsqueeze", "axes", 1, 13, FORM_LIST, {NOTHING, NOTHING}},
    {"Split", "split", 1, 13, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceSum", "axes", 1, 13, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceMax", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceMean", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceMin", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceProd", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceL1", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceL2", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceLogSum", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceLogSumExp", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"ReduceSumSquare", "axes", 1, 18, FORM_LIST, {NOTHING, NOTHING}},
    {"Slice", "starts", 1, 10, FORM_LIST, {NOTHING, NOTHING}},
    {"Slice", "ends", 2, 10, FORM_LIST, {NOTHING, NOTHING}},
    {"Slice", "axes", 3, 10, FORM_LIST, {NOTHING, NOTHING}},
    {"Pad", "pads", 1, 11, FORM_LIST, {NOTHING, NOTHING}},
    {"Pad", "value", 2, 11, FORM_NUMBER, {NOTHING, NOTHING}},
    {"Clip", "min", 1, 11, FORM_NUMBER, {NOTHING, NOTHING}},
    {"Clip", "max", 2, 11, FORM_NUMBER, {NOTHING, NOTHING}},
    {"TopK", "k", 1, 10, FORM_ONE, {NOTHING, NOTHING}},
    {"DFT", "axis", 2, 20, FORM_SCALAR, {1, -2}},
    {"Dropout", "ratio", 1, 12, FORM_NUMBER, {NOTHING, NOTHING}},
};

void pass_drop_attr(graph_node *n, const char *name) {
    int kept = 0;
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) != 0) n->attrs[kept++] = n->attrs[i];
    n->n_attrs = kept;
}

nib_status pass_border_no_memory(pass_border *b) {
    return base_error_set(b->ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
}

nib_status pass_put_input(pass_border *b, int i, graph_value *v) {
    nib_status status = NIB_OK;
    graph_node *n = b->n;
    while (v && n->n_inputs <= i) NIB_TRY(graph_append_input(n, NULL, b->ctx->err));
    if (i < n->n_inputs) graph_set_input(n, i, v);
    while (n->n_inputs > 0 && !n->inputs[n->n_inputs - 1].value) n->n_inputs--;
fail:
    return status;
}

graph_value *pass_const_number(graph *g, const char *name, nib_dtype dtype, int rank, float x) {
    const double wide = x;
    const uint16_t half = dtype == NIB_DTYPE_F16 ? base_f32_to_f16(x) : base_f32_to_bf16(x);
    graph_tensor t = {.dtype = dtype, .rank = rank, .dims = {1}, .bytes = (size_t)nib_dtype_bits(dtype) / 8};
    switch (dtype) {
    case NIB_DTYPE_F32: t.data = &x; break;
    case NIB_DTYPE_F64: t.data = (void *)(uintptr_t)&wide; break;
    case NIB_DTYPE_F16:
    case NIB_DTYPE_BF16: t.data = (void *)(uintptr_t)&half; break;
    default: return NULL;
    }
    return graph_add_constant(g, name, &t, true);
}

/* ---------------------------------------------------------------- to an input */

static nib_status to_input(pass_border *b, const struct moved *m) {
    nib_status status = NIB_OK;
    graph *g = b->n->owner;
    const graph_attr *a = graph_find_attr(b->n, m->attr);
    graph_value *v = NULL;
    if (!a && m->absent[0] == NOTHING) return NIB_OK;
    if (m->form == FORM_LIST) {
        const int64_t *values;
        int64_t count = graph_attr_ints(b->n, m->attr, &values);
        if (count < 0) return NIB_OK; /* of another kind: the file's check says so */
        v = graph_const_i64(g, m->attr, values, count);
    } else if (m->form == FORM_NUMBER) {
        v = pass_const_number(g, m->attr, pass_input(b->n, 0) ? pass_input(b->n, 0)->type.dtype : NIB_DTYPE_UNDEFINED,
                              0, graph_attr_float(b->n, m->attr, 0));
    } else {
        int64_t value = graph_attr_int(b->n, m->attr, m->absent[0]);
        v = graph_const_i64(g, m->attr, &value, m->form == FORM_ONE ? 1 : -1);
    }
    if (!v) return b->crossed = false, b->why = "the type of its input is not known", NIB_OK;
    NIB_TRY(pass_put_input(b, m->input, v));
    pass_drop_attr(b->n, m->attr);
fail:
    return status;
}

/* ---------------------------------------------------------------- to an attribute */

static nib_status list_to_attr(pass_border *b, const struct moved *m, const graph_value *v) {
    int64_t values[GRAPH_MAX_DATA];
    const int count = v->data_count;
    const bool axes = strcmp(m->attr, "axes") == 0;
    b->why = "a list that is computed, or too long, cannot be an attribute";
    if (!v->constant || (!v->data && count)) return b->crossed = false, NIB_OK;
    for (int i = 0; i < count; i++)
        if (!pass_int_at(v, i, &values[i])) return b->crossed = false, NIB_OK;
    if (count == 0 && graph_tensor_elements(v->constant) != 0) return b->crossed = false, NIB_OK;
    /* An empty list of axes: all of them, or none, as another attribute says. To Squeeze and Unsqueeze opsets say
     * different things. */
    b->why = "its list of axes is empty";
    if (count == 0 && axes && (strncmp(b->n->op, "Reduce", 6) != 0 || graph_attr_int(b->n, "noop_with_empty_axes", 0)))
        return b->crossed = false, NIB_OK;
    return (count == 0 && axes) || graph_set_ints(b->n, m->attr, values, (size_t)count) == NIB_OK
               ? NIB_OK
               : pass_border_no_memory(b);
}

static nib_status to_attr(pass_border *b, const struct moved *m) {
    nib_status status = NIB_OK;
    const graph_value *v = pass_input(b->n, m->input);
    double x;
    int64_t i;
    if (!v && m->absent[1] == NOTHING) return NIB_OK;
    if (m->form == FORM_LIST) {
        NIB_TRY(list_to_attr(b, m, v));
    } else if (m->form == FORM_NUMBER) {
        if (!graph_scalar(v, &x) || (double)(float)x != x)
            return b->crossed = false, b->why = "a computed number cannot be an attribute", NIB_OK;
        if (graph_set_float(b->n, m->attr, (float)x) != NIB_OK) return pass_border_no_memory(b);
    } else {
        i = m->absent[1];
        if (v && !(v->constant && pass_int_at(v, 0, &i)))
            return b->crossed = false, b->why = "a computed number cannot be an attribute", NIB_OK;
        if (graph_set_int(b->n, m->attr, i) != NIB_OK) return pass_border_no_memory(b);
    }
    if (b->crossed) NIB_TRY(pass_put_input(b, m->input, NULL));
fail:
    return status;
}

nib_status pass_cross_moved(pass_border *b) {
    nib_status status = NIB_OK;
    b->crossed = true;
    for (size_t i = 0; i < BASE_COUNT(moved) && b->crossed; i++)
        if (moved[i].since == b->since && strcmp(moved[i].op, b->n->op) == 0)
            NIB_TRY(b->up ? to_input(b, &moved[i]) : to_attr(b, &moved[i]));
fail:
    return status;
}
