/* SPDX-License-Identifier: Apache-2.0
 *
 * Sequences and optionals, https://onnx.ai/onnx/operators/: SequenceEmpty SequenceConstruct SequenceAt SequenceLength
 * SequenceInsert SequenceErase SplitToSequence ConcatFromSequence Optional OptionalHasElement OptionalGetElement.
 *
 * A sequence is a tensor of tensors; evals put the elements of their inputs (c->raw, as they lie outside of evals) into the
 * output as they are, and op_eval_node copies what they point to.
 */
#include "op_local.h"

static nib_status sequence_in(op_eval *c, const graph_tensor **items, int64_t *n) {
    const graph_tensor *s = op_arg(c, 0);
    *items = NULL;
    *n = 0;
    if (s->dtype != NIB_DTYPE_SEQUENCE) return op_bad(c, NIB_TYPE, "input 0 is %s, not a sequence", nib_dtype_name(s->dtype));
    *items = s->data;
    *n = s->dims[0];
    return NIB_OK;
}

static nib_status sequence_out(op_eval *c, nib_dtype dtype, int64_t n, graph_tensor **y) {
    return op_out(c, 0, dtype, &(op_dims){1, {n}}, y);
}

static nib_status eval_empty(op_eval *c) {
    graph_tensor *y;
    return sequence_out(c, NIB_DTYPE_SEQUENCE, 0, &y);
}

static nib_status eval_construct(op_eval *c) {
    graph_tensor *y;
    OP_TRY(sequence_out(c, NIB_DTYPE_SEQUENCE, c->n_in, &y));
    for (int i = 0; y && i < c->n_in; i++) {
        if (c->raw[i]->dtype != c->raw[0]->dtype) return op_bad(c, NIB_TYPE, "elements differ in type");
        y[i] = *c->raw[i];
    }
    return NIB_OK;
}

/* Input `index` as a place in [0, n + more); `otherwise` if it is left out. */
static nib_status place(op_eval *c, int index, int64_t n, int64_t more, int64_t otherwise, int64_t *out) {
    *out = otherwise;
    if (!op_arg(c, index)) return NIB_OK;
    OP_TRY(op_read_int(c, index, out));
    if (*out < -n || *out >= n + more) return op_bad(c, NIB_SHAPE, "position %lld in a sequence of %lld", (long long)*out, (long long)n);
    if (*out < 0) *out += n;
    return NIB_OK;
}

static nib_status eval_at(op_eval *c) {
    const graph_tensor *items;
    int64_t n, at;
    OP_TRY(sequence_in(c, &items, &n));
    OP_TRY(place(c, 1, n, 0, 0, &at));
    return op_give(c, 0, &items[at]);
}

static nib_status eval_length(op_eval *c) {
    const graph_tensor *items;
    int64_t n, *y;
    OP_TRY(sequence_in(c, &items, &n));
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &(op_dims){0, {0}}, &y));
    if (y) *y = n;
    return NIB_OK;
}

static nib_status eval_insert(op_eval *c) {
    const graph_tensor *items;
    graph_tensor *y;
    int64_t n, at;
    OP_TRY(sequence_in(c, &items, &n));
    OP_TRY(place(c, 2, n, 1, n, &at));
    if (n > 0 && items[0].dtype != c->raw[1]->dtype) return op_bad(c, NIB_TYPE, "the element is not of the sequence's type");
    OP_TRY(sequence_out(c, NIB_DTYPE_SEQUENCE, n + 1, &y));
    for (int64_t i = 0; y && i <= n; i++) y[i] = i < at ? items[i] : i == at ? *c->raw[1] : items[i - 1];
    return NIB_OK;
}

static nib_status eval_erase(op_eval *c) {
    const graph_tensor *items;
    graph_tensor *y;
    int64_t n, at;
    OP_TRY(sequence_in(c, &items, &n));
    if (n == 0) return op_bad(c, NIB_SHAPE, "the sequence is empty");
    OP_TRY(place(c, 1, n, 0, n - 1, &at));
    OP_TRY(sequence_out(c, NIB_DTYPE_SEQUENCE, n - 1, &y));
    for (int64_t i = 0; y && i < n - 1; i++) y[i] = items[i < at ? i : i + 1];
    return NIB_OK;
}

/* The part [begin, end) of x along an axis, in scratch. */
static nib_status part_of(op_eval *c, const graph_tensor *x, int axis, int64_t begin, int64_t end, graph_tensor *out) {
    int64_t outer = op_count(axis, x->dims), n = x->dims[axis], inner = op_count(x->rank - axis - 1, x->dims + axis + 1);
    size_t size = op_size(x->dtype), run = (size_t)((end - begin) * inner) * size;
    char *to;
    *out = *x;
    out->dims[axis] = end - begin;
    out->bytes = (size_t)outer * run;
    OP_TRY(op_scratch(c, (int64_t)out->bytes, 1, &to));
    out->data = to;
    for (int64_t o = 0; o < outer && run > 0; o++)
        memcpy(to + (size_t)o * run, (const char *)x->data + (size_t)((o * n + begin) * inner) * size, run);
    return NIB_OK;
}

static nib_status eval_split(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *split = op_arg(c, 1);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (nib_dtype_bits(x->dtype) % 8) return op_bad(c, NIB_UNSUPPORTED, "element type %s", nib_dtype_name(x->dtype));
    int64_t n = x->dims[axis], step = 1, count, begin = 0;
    bool listed = split && split->rank == 1, drop = !split && graph_attr_int(c->node, "keepdims", 1) == 0;
    if (split && split->dtype != NIB_DTYPE_I64 && split->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "split must be integers");
    if (split && !listed) OP_TRY(op_read_int(c, 1, &step));
    if (step <= 0) return op_bad(c, NIB_SHAPE, "split is %lld", (long long)step);
    count = listed ? split->dims[0] : n / step + (n % step != 0);
    graph_tensor *y;
    OP_TRY(sequence_out(c, NIB_DTYPE_SEQUENCE, count, &y));
    for (int64_t i = 0; y && i < count; i++) {
        int64_t size = listed ? op_index(split, i) : n - begin < step ? n - begin : step;
        if (size < 0 || size > n - begin) return op_bad(c, NIB_SHAPE, "the parts do not fit %lld elements", (long long)n);
        OP_TRY(part_of(c, x, axis, begin, begin + size, &y[i]));
        if (drop) {
            for (int k = axis; k + 1 < x->rank; k++) y[i].dims[k] = x->dims[k + 1];
            y[i].rank--;
        }
        begin += size;
    }
    return begin == n || !y ? NIB_OK : op_bad(c, NIB_SHAPE, "the parts do not fit %lld elements", (long long)n);
}

static nib_status eval_concat(op_eval *c) {
    const graph_tensor *items;
    int64_t n, total = 0;
    bool fresh = graph_attr_int(c->node, "new_axis", 0) != 0;
    OP_TRY(sequence_in(c, &items, &n));
    if (n == 0) return op_bad(c, NIB_SHAPE, "the sequence is empty");
    op_dims dims = op_dims_of(&items[0]);
    int rank = dims.rank + fresh, axis = op_axis(graph_attr_int(c->node, "axis", 0), rank);
    if (axis < 0 || rank > GRAPH_MAX_RANK) return op_bad(c, NIB_SHAPE, "axis out of range");
    for (int64_t i = 0; i < n; i++) {
        bool fits = items[i].dtype == items[0].dtype && items[i].rank == items[0].rank;
        for (int k = 0; fits && k < items[0].rank; k++) fits = items[i].dims[k] == items[0].dims[k] || (!fresh && k == axis);
        if (!fits) return op_bad(c, NIB_SHAPE, "elements do not fit together");
        int64_t more = fresh ? 1 : items[i].dims[axis];
        if (more > INT64_MAX - total) return op_bad(c, NIB_LIMIT, "output is too large");
        total += more;
    }
    if (fresh) memmove(dims.d + axis + 1, dims.d + axis, sizeof(int64_t) * (size_t)(dims.rank - axis));
    dims.rank = rank;
    dims.d[axis] = total;
    char *y;
    OP_TRY(op_out(c, 0, items[0].dtype, &dims, &y));
    size_t size = op_size(items[0].dtype);
    int64_t outer = op_count(axis, dims.d), inner = op_count(rank - axis - 1, dims.d + axis + 1), at = 0;
    for (int64_t i = 0; y && i < n; i++) {
        graph_tensor t;
        int64_t run = fresh ? 1 : items[i].dims[axis];
        OP_TRY(op_unpack(c, &items[i], &t));
        for (int64_t o = 0; o < outer && run * inner > 0; o++)
            memcpy(y + (size_t)((o * total + at) * inner) * size, (const char *)t.data + (size_t)(o * run * inner) * size,
                   (size_t)(run * inner) * size);
        at += run;
    }
    return NIB_OK;
}

/* ---- optionals */

static nib_status eval_optional(op_eval *c) {
    graph_tensor *y;
    bool full = c->n_in > 0 && c->raw[0];
    OP_TRY(sequence_out(c, NIB_DTYPE_OPTIONAL, full, &y));
    if (full && y) *y = *c->raw[0];
    return NIB_OK;
}

static nib_status eval_has(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    uint8_t *y;
    OP_TRY(op_out(c, 0, NIB_DTYPE_BOOL, &(op_dims){0, {0}}, &y));
    if (y) *y = x && (x->dtype != NIB_DTYPE_OPTIONAL || x->dims[0] > 0);
    return NIB_OK;
}

static nib_status eval_get(op_eval *c) {
    const graph_tensor *x = c->raw[0];
    if (x->dtype != NIB_DTYPE_OPTIONAL) return op_give(c, 0, x);
    return x->dims[0] > 0 ? op_give(c, 0, x->data) : op_bad(c, NIB_INVALID_ARGUMENT, "the optional is empty");
}

/* ---- inference: kinds and element types; sizes of elements differ from one to the next */

static nib_status set_sequence(op_infer *c, nib_dtype element) {
    return op_set_type(c, 0, &(graph_type){.kind = GRAPH_KIND_SEQUENCE, .dtype = element, .rank = -1});
}

static nib_status infer_empty(op_infer *c) { return set_sequence(c, (nib_dtype)graph_attr_int(c->node, "dtype", NIB_DTYPE_F32)); }
static nib_status infer_same_sequence(op_infer *c) { return set_sequence(c, op_in_type(c, 0)->dtype); }
static nib_status infer_at(op_infer *c) { return op_set(c, 0, op_in_type(c, 0)->dtype, -1, NULL); }
static nib_status infer_length(op_infer *c) { return op_set(c, 0, NIB_DTYPE_I64, 0, NULL); }
static nib_status infer_has(op_infer *c) { return op_set(c, 0, NIB_DTYPE_BOOL, 0, NULL); }

static nib_status infer_optional(op_infer *c) {
    const graph_attr *a = graph_find_attr(c->node, "type");
    const graph_type *from = op_in(c, 0) ? op_in_type(c, 0) : a && a->kind == GRAPH_ATTR_TYPE ? a->u.type : NULL;
    if (!from) return op_fail(c, NIB_BAD_MODEL, "neither an input nor a type");
    graph_type t = *from;
    t.of = from->kind;
    t.kind = GRAPH_KIND_OPTIONAL;
    return op_set_type(c, 0, &t);
}

static nib_status infer_get(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    if (t.kind == GRAPH_KIND_OPTIONAL) {
        t.kind = t.of;
        t.of = GRAPH_KIND_TENSOR;
    }
    return op_set_type(c, 0, &t);
}

const op op_family_sequence[] = {
    {"ConcatFromSequence", "", 11, 1, 1, 1, OP_ROWS_MIXED | OP_TAKES_LISTS, infer_at, eval_concat, NULL},
    {"Optional", "", 15, 0, 1, 1, OP_ROWS_MIXED | OP_LISTS, infer_optional, eval_optional, NULL},
    {"OptionalGetElement", "", 15, 1, 1, 1, OP_ROWS_MIXED | OP_LISTS, infer_get, eval_get, NULL},
    {"OptionalHasElement", "", 15, 0, 1, 1, OP_ROWS_MIXED | OP_TAKES_LISTS, infer_has, eval_has, NULL},
    {"SequenceAt", "", 11, 2, 2, 1, OP_ROWS_MIXED | OP_TAKES_LISTS, infer_at, eval_at, NULL},
    {"SequenceConstruct", "", 11, 1, INT_MAX, 1, OP_ROWS_MIXED | OP_GIVES_LISTS, infer_same_sequence, eval_construct, NULL},
    {"SequenceEmpty", "", 11, 0, 0, 1, OP_ROWS_MIXED | OP_GIVES_LISTS, infer_empty, eval_empty, NULL},
    {"SequenceErase", "", 11, 1, 2, 1, OP_ROWS_MIXED | OP_LISTS, infer_same_sequence, eval_erase, NULL},
    {"SequenceInsert", "", 11, 2, 3, 1, OP_ROWS_MIXED | OP_LISTS, infer_same_sequence, eval_insert, NULL},
    {"SequenceLength", "", 11, 1, 1, 1, OP_ROWS_MIXED | OP_TAKES_LISTS, infer_length, eval_length, NULL},
    {"SplitToSequence", "", 11, 1, 2, 1, OP_ROWS_MIXED | OP_GIVES_LISTS, infer_same_sequence, eval_split, NULL},
    {0},
};
