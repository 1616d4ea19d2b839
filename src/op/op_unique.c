/* SPDX-License-Identifier: Apache-2.0
 *
 * Unique, https://onnx.ai/onnx/operators/onnx__Unique.html: which elements, or slices along an axis, there are. Slices are
 * compared element by element; NaN is above all numbers and equal to itself.
 */
#include "op_local.h"

typedef struct slices { /* the tensor as [outer, n, inner] */
    const graph_tensor *x;
    int64_t outer, n, inner;
} slices;

static int compare_elements(const graph_tensor *x, int64_t i, int64_t j) {
    switch (x->dtype) {
#define CASE_F(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N: {                                                                                                                  \
        W a = LOAD(((const S *)x->data)[i]), b = LOAD(((const S *)x->data)[j]);                                                            \
        return a != a || b != b ? (a != a) - (b != b) : (a > b) - (a < b);                                                                 \
    }
#define CASE_I(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N: return (((const S *)x->data)[i] > ((const S *)x->data)[j]) - (((const S *)x->data)[i] < ((const S *)x->data)[j]);
        OP_FLOATS(CASE_F)
        OP_INTS(CASE_I)
#undef CASE_F
#undef CASE_I
    case NIB_DTYPE_STRING: {
        graph_string a = ((const graph_string *)x->data)[i], b = ((const graph_string *)x->data)[j];
        size_t n = a.length < b.length ? a.length : b.length;
        int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
        return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
    }
    default: return ((const uint8_t *)x->data)[i] - ((const uint8_t *)x->data)[j]; /* bool */
    }
}

static int compare_slices(const slices *s, int64_t a, int64_t b) {
    for (int64_t o = 0; o < s->outer; o++)
        for (int64_t i = 0; i < s->inner; i++) {
            int order = compare_elements(s->x, (o * s->n + a) * s->inner + i, (o * s->n + b) * s->inner + i);
            if (order) return order;
        }
    return 0;
}

/* By merging: stable, so that the first of equal slices comes first. */
static nib_status sort(op_eval *c, const slices *s, int64_t *index, int64_t *room) {
    for (int64_t i = 0; i < s->n; i++) index[i] = i;
    for (int64_t width = 1; width < s->n; width *= 2) {
        OP_TRY(op_spend(c, s->n, s->inner * s->outer));
        for (int64_t lo = 0; lo < s->n; lo += 2 * width) {
            int64_t mid = lo + width < s->n ? lo + width : s->n, hi = lo + 2 * width < s->n ? lo + 2 * width : s->n, a = lo, b = mid;
            for (int64_t k = lo; k < hi; k++)
                room[k] = b >= hi || (a < mid && compare_slices(s, index[a], index[b]) <= 0) ? index[a++] : index[b++];
        }
        memcpy(index, room, sizeof *index * (size_t)s->n);
    }
    return NIB_OK;
}

/* group[i]: the group of slice i; first[g], counts[g]: its first slice and how many. Groups in sorted order, or by appearance. */
static int64_t find_groups(const slices *s, bool sorted, const int64_t *index, int64_t *group, int64_t *first, int64_t *counts,
                           int64_t *room) {
    int64_t groups = 0;
    for (int64_t k = 0; k < s->n; k++) {
        if (k == 0 || compare_slices(s, index[k - 1], index[k]) != 0) {
            first[groups] = index[k];
            counts[groups++] = 0;
        }
        counts[groups - 1]++;
        group[index[k]] = groups - 1;
    }
    if (sorted) return groups;
    int64_t *number = room, seen = 0; /* of a group, by appearance */
    for (int64_t g = 0; g < groups; g++) number[g] = -1;
    for (int64_t i = 0; i < s->n; i++)
        if (number[group[i]] < 0) number[group[i]] = seen++;
    for (int64_t i = 0; i < s->n; i++) group[i] = number[group[i]];
    for (int64_t g = 0; g < groups; g++) counts[g] = 0;
    for (int64_t i = s->n; i-- > 0;) first[group[i]] = i, counts[group[i]]++;
    return groups;
}

static nib_status put_list(op_eval *c, int i, const int64_t *from, int64_t n) {
    int64_t *y;
    OP_TRY(op_out(c, i, NIB_DTYPE_I64, &(op_dims){1, {n}}, &y));
    if (y && n > 0) memcpy(y, from, sizeof *y * (size_t)n);
    return NIB_OK;
}

static nib_status eval_unique(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    slices s = {x, 1, op_count(x->rank, x->dims), 1};
    const graph_attr *a = graph_find_attr(c->node, "axis");
    op_dims dims = {1, {0}};
    int axis = 0;
    int64_t *index, *group, *first, *counts, *room;
    char *y;
    if (!op_is_float(x->dtype) && !op_is_int(x->dtype) && x->dtype != NIB_DTYPE_STRING && x->dtype != NIB_DTYPE_BOOL)
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (a && a->kind == GRAPH_ATTR_INT) {
        axis = op_axis(a->u.i, x->rank);
        if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
        s = (slices){x, op_count(axis, x->dims), x->dims[axis], op_count(x->rank - axis - 1, x->dims + axis + 1)};
        dims = op_dims_of(x);
    }
    int64_t **lists[] = {&index, &group, &first, &counts, &room};
    for (size_t i = 0; i < BASE_COUNT(lists); i++) OP_TRY(op_scratch(c, s.n, sizeof(int64_t), lists[i]));
    OP_TRY(sort(c, &s, index, room));
    int64_t groups = find_groups(&s, graph_attr_int(c->node, "sorted", 1) != 0, index, group, first, counts, room);
    dims.d[axis] = groups;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    size_t run = (size_t)s.inner * op_size(x->dtype);
    for (int64_t o = 0; y && o < s.outer && run > 0; o++)
        for (int64_t g = 0; g < groups; g++)
            memcpy(y + (size_t)(o * groups + g) * run, (const char *)x->data + (size_t)(o * s.n + first[g]) * run, run);
    OP_TRY(put_list(c, 1, first, groups));
    OP_TRY(put_list(c, 2, group, s.n));
    return put_list(c, 3, counts, groups);
}

static nib_status infer_unique(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    const graph_attr *a = graph_find_attr(c->node, "axis");
    graph_type t = {.dtype = x->dtype, .rank = 1};
    graph_dim all = NULL;
    if (a && a->kind == GRAPH_ATTR_INT) {
        t = *x;
        int axis = t.rank < 0 ? 0 : op_axis(a->u.i, t.rank);
        if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
        if (t.rank > 0) all = t.dims[axis], t.dims[axis] = NULL;
    } else if (x->rank >= 0) {
        all = op_product(c, x->dims, 0, x->rank);
    }
    OP_TRY(op_set_like(c, 0, x->dtype, &t));
    OP_TRY(op_set(c, 1, NIB_DTYPE_I64, 1, NULL));
    OP_TRY(op_set(c, 2, NIB_DTYPE_I64, 1, &all));
    return op_set(c, 3, NIB_DTYPE_I64, 1, NULL);
}

const op op_family_unique[] = {
    {"Unique", "", 11, 1, 1, 4, OP_ROWS_MIXED, infer_unique, eval_unique, NULL},
    {0},
};
