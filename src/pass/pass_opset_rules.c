/* SPDX-License-Identifier: Apache-2.0
 *
 * What became of operators at the borders of opsets, but for arguments that only moved (pass_opset_moves.c). In: a node
 * at a border. Out: one that means on the other side what it meant on this one, or why there is none. onnx's changelog
 * is the source: a rule stands where the words or the meaning changed, not where types were added.
 */
#include "pass_opset.h"
#include <string.h>

static nib_status same(pass_border *b) {
    b->crossed = true;
    return NIB_OK;
}

static bool is_read(const graph_node *n, int output) {
    return output < n->n_outputs && n->outputs[output] && (n->outputs[output]->uses || n->outputs[output]->is_output);
}

static nib_status refuse(pass_border *b, const char *why) {
    b->why = why;
    return NIB_OK;
}

/* v, made in front of the node, is read in place of output 0; its producer stands for the node. */
static void stand_in(pass_border *b, graph_node *instead, graph_value *v) {
    graph_node *n = b->n;
    v->type = n->outputs[0]->type;
    graph_take_over(n->owner, n->outputs[0], v);
    graph_remove_node(n->owner, n);
    b->n = instead;
    b->crossed = true;
}

/* The shape of v, as a constant where it is known. */
static graph_value *shape_of(graph *g, graph_node *before, graph_value *v) {
    int64_t dims[GRAPH_MAX_RANK];
    bool known = v->type.rank >= 0;
    for (int i = 0; i < v->type.rank; i++) known &= graph_dim_is_const(v->type.dims[i], &dims[i]);
    return known ? graph_const_i64(g, "shape", dims, v->type.rank) : graph_emit(g, before, "", "Shape", &v, 1, "shape");
}

/* ---------------------------------------------------------------- before 7 */

/* b was laid along a's axes from `axis` on, and is now along its last ones. */
static nib_status broadcast(pass_border *b) {
    graph_node *n = b->n;
    graph_value *x = pass_input(n, 0), *y = pass_input(n, 1);
    if (!b->up || !x || !y) return NIB_OK;
    const bool given = graph_attr_int(n, "broadcast", 0) != 0, whole = !graph_find_attr(n, "axis");
    int64_t axis = graph_attr_int(n, "axis", 0), dims[GRAPH_MAX_RANK];
    pass_drop_attr(n, "broadcast");
    pass_drop_attr(n, "axis");
    if (!given || whole) return same(b);
    axis += axis < 0 ? x->type.rank : 0;
    if (x->type.rank < 0 || y->type.rank < 0 || axis < 0 || axis > x->type.rank || axis + y->type.rank > x->type.rank)
        return refuse(b, "its sizes are not known");
    if (axis + y->type.rank == x->type.rank) return same(b);
    const int rank = x->type.rank - (int)axis;
    for (int i = 0; i < rank; i++) {
        dims[i] = 1;
        if (i < y->type.rank && !graph_dim_is_const(y->type.dims[i], &dims[i]))
            return refuse(b, "its sizes are not known");
    }
    graph_value *shape = graph_const_i64(n->owner, "shape", dims, rank);
    graph_value *laid = shape ? graph_emit(n->owner, n, "", "Reshape", (graph_value *[]){y, shape}, 2, y->name) : NULL;
    if (!laid) return pass_border_no_memory(b);
    laid->type.dtype = y->type.dtype;
    graph_set_input(n, 1, laid);
    return same(b);
}

/* A slope for each channel lies along axis 1. */
static nib_status slopes(pass_border *b) {
    graph_node *n = b->n;
    const graph_value *slope = pass_input(n, 1);
    if (!slope || slope->type.rank < 0) return refuse(b, "its slopes' number is not known");
    bool one = true;
    for (int i = 0; i < slope->type.rank; i++) one &= graph_dim_is_one(slope->type.dims[i]);
    if (one || !b->up) return b->crossed = one, NIB_OK;
    if (graph_set_int(n, "broadcast", 1) != NIB_OK || graph_set_int(n, "axis", 1) != NIB_OK)
        return pass_border_no_memory(b);
    return broadcast(b);
}

/* An attribute said that it is used, not trained. */
static nib_status in_use(pass_border *b) {
    b->crossed = b->up && graph_attr_int(b->n, "is_test", 0) != 0;
    pass_drop_attr(b->n, "is_test");
    pass_drop_attr(b->n, "consumed_inputs");
    return b->crossed ? NIB_OK : refuse(b, "it is in training");
}

static nib_status gemm_7(pass_border *b) {
    pass_drop_attr(b->n, "broadcast");
    return same(b);
}

/* ---------------------------------------------------------------- words and types */

static nib_status gemm_11(pass_border *b) {
    const graph_value *x = pass_input(b->n, 0);
    if (b->up || pass_input(b->n, 2)) return same(b);
    graph_value *zero = pass_const_number(b->n->owner, "zero", x ? x->type.dtype : NIB_DTYPE_UNDEFINED, 1, 0);
    if (!zero) return refuse(b, "it has no third input, and is of no type that a zero could have");
    b->crossed = true;
    return pass_put_input(b, 2, zero);
}

static nib_status spatial(pass_border *b) {
    if (b->up && graph_attr_int(b->n, "spatial", 1) == 1) pass_drop_attr(b->n, "spatial");
    return same(b);
}

/* More than one output meant training; later an attribute does. */
static nib_status one_output(pass_border *b) {
    for (int i = 1; i < b->n->n_outputs; i++)
        if (b->n->outputs[i]) return refuse(b, "it is in training");
    if (graph_attr_int(b->n, "training_mode", 0)) return refuse(b, "it is in training");
    return same(b);
}

/* The mask was of the input's type. */
static nib_status dropout_10(pass_border *b) {
    if (is_read(b->n, 1)) return refuse(b, "its mask is read, which has another type there");
    if (b->n->n_outputs > 1 && b->n->outputs[1] && b->n->outputs[0])
        b->n->outputs[1]->type.dtype = b->up ? NIB_DTYPE_BOOL : b->n->outputs[0]->type.dtype;
    return same(b);
}

static nib_status dropout_12(pass_border *b) {
    nib_status status = NIB_OK;
    const graph_value *ratio = pass_input(b->n, 1), *training = pass_input(b->n, 2);
    double x = 0;
    if (!b->up) {
        if (training && (!graph_scalar(training, &x) || x != 0)) return refuse(b, "it is in training");
        NIB_TRY(pass_put_input(b, 2, NULL));
        if (ratio && !graph_scalar(ratio, &x)) NIB_TRY(pass_put_input(b, 1, NULL)); /* nothing reads it */
        pass_drop_attr(b->n, "seed");
    }
    return pass_cross_moved(b);
fail:
    return status;
}

static nib_status rois(pass_border *b) {
    static const char *const mode = "output_half_pixel";
    if (b->up && graph_find_attr(b->n, "coordinate_transformation_mode")) return same(b);
    if (b->up)
        return graph_set_string(b->n, "coordinate_transformation_mode", mode) == NIB_OK ? same(b)
                                                                                        : pass_border_no_memory(b);
    if (strcmp(graph_attr_string(b->n, "coordinate_transformation_mode", "half_pixel"), mode) != 0)
        return refuse(b, "its regions are half a pixel off");
    pass_drop_attr(b->n, "coordinate_transformation_mode");
    return same(b);
}

static nib_status grid_modes(pass_border *b) {
    static const char *const modes[][2] = {{"bilinear", "linear"}, {"bicubic", "cubic"}};
    for (size_t i = 0; i < BASE_COUNT(modes); i++)
        if (strcmp(graph_attr_string(b->n, "mode", ""), modes[i][!b->up]) == 0 &&
            graph_set_string(b->n, "mode", modes[i][b->up]) != NIB_OK)
            return pass_border_no_memory(b);
    return same(b);
}

/* Its axes are said: onnx makes a function of it since 13, and its checker knows no default there. */
static nib_status say_axes(pass_border *b) {
    static const int64_t axes[] = {0, 2, 3};
    if (b->up && !graph_find_attr(b->n, "axes") && graph_set_ints(b->n, "axes", axes, 3) != NIB_OK)
        return pass_border_no_memory(b);
    return same(b);
}

static nib_status rename_op(pass_border *b, const char *to) {
    const char *name = graph_intern(b->n->owner, to, strlen(to));
    if (!name) return pass_border_no_memory(b);
    b->n->op = name;
    return same(b);
}
static nib_status scatter(pass_border *b) { return rename_op(b, b->up ? "ScatterElements" : "Scatter"); }

/* A mask of fewer keys than there are hides the others since 24. */
static nib_status attention_24(pass_border *b) {
    const graph_value *k = pass_input(b->n, 1), *mask = pass_input(b->n, 3), *past = pass_input(b->n, 4);
    if (b->up) return same(b);
    if (pass_input(b->n, 6)) return refuse(b, "it has lengths of keys");
    if (!mask) return same(b);
    graph_dim keys = !k || k->type.rank < 3 ? NULL : k->type.dims[k->type.rank - 2];
    if (past) keys = keys && past->type.rank == 4 ? graph_dim_add(b->ctx->g->symbols, past->type.dims[2], keys) : NULL;
    b->crossed = keys && mask->type.rank > 0 && mask->type.dims[mask->type.rank - 1] == keys;
    return b->crossed ? NIB_OK : refuse(b, "its mask may be shorter than its keys");
}

/* ---------------------------------------------------------------- lists and axes */

/* Steps of 1, which are no attribute. */
static nib_status slice_10(pass_border *b) {
    const graph_value *steps = pass_input(b->n, 4);
    int64_t step;
    for (int i = 0; steps && !b->up; i++) {
        if (i == steps->data_count && steps->constant) break;
        if (!steps->constant || !pass_int_at(steps, i, &step) || step != 1) return refuse(b, "it has steps");
    }
    nib_status status = b->up ? NIB_OK : pass_put_input(b, 4, NULL);
    return status == NIB_OK ? pass_cross_moved(b) : status;
}

/* Pads of some axes as pads of all. */
static nib_status pad_18(pass_border *b) {
    const graph_value *x = pass_input(b->n, 0), *pads = pass_input(b->n, 1), *axes = pass_input(b->n, 3);
    int64_t all[2 * GRAPH_MAX_RANK] = {0}, axis;
    if (b->up || !axes) return same(b);
    const int rank = x ? x->type.rank : -1, count = axes->data_count;
    if (rank < 0 || !axes->constant || !pads || !pads->constant || pads->data_count != 2 * count)
        return refuse(b, "its axes, or their number, are not known");
    for (int i = 0; i < count; i++) {
        if (!pass_int_at(axes, i, &axis)) return refuse(b, "its axes, or their number, are not known");
        axis += axis < 0 ? rank : 0;
        if (axis < 0 || axis >= rank || !pass_int_at(pads, i, &all[axis]) ||
            !pass_int_at(pads, count + i, &all[rank + axis]))
            return refuse(b, "its axes, or their number, are not known");
    }
    graph_value *whole = graph_const_i64(b->n->owner, "pads", all, 2 * rank);
    if (!whole) return pass_border_no_memory(b);
    graph_set_input(b->n, 1, whole);
    b->crossed = true;
    return pass_put_input(b, 3, NULL);
}

/* A Split without sizes: since 18 it says into how many parts, and the last one may be smaller. */
static nib_status split_18(pass_border *b) {
    graph_node *n = b->n;
    const bool sizes = pass_input(n, 1) != NULL;
    if (b->up && !sizes && graph_set_int(n, "num_outputs", n->n_outputs) != NIB_OK) return pass_border_no_memory(b);
    for (int i = 1; i < n->n_outputs && !sizes && !b->up; i++)
        if (!n->outputs[0] || !n->outputs[i] || !pass_same_shape(n->outputs[0], n->outputs[i]))
            return refuse(b, "its parts are not known to be equal");
    if (!b->up) pass_drop_attr(n, "num_outputs");
    return same(b);
}

/* Softmax over all axes from one on, as a matrix. */
static nib_status over_flat(pass_border *b, int64_t axis) {
    graph_node *n = b->n, *m;
    graph *g = n->owner;
    graph_value *shape = shape_of(g, n, n->inputs[0].value),
                *flat = graph_emit(g, n, "", "Flatten", &n->inputs[0].value, 1, "rows");
    if (!shape || !flat || graph_set_int(flat->producer, "axis", axis) != NIB_OK) return pass_border_no_memory(b);
    graph_value *y = graph_emit(g, n, "", n->op, &flat, 1, n->outputs[0]->name);
    graph_value *z = y ? graph_emit(g, n, "", "Reshape", (graph_value *[]){y, shape}, 2, n->outputs[0]->name) : NULL;
    if (!z || graph_set_int(y->producer, "axis", -1) != NIB_OK) return pass_border_no_memory(b);
    m = y->producer;
    flat->type = y->type = (graph_type){.dtype = n->outputs[0]->type.dtype, .rank = 2};
    stand_in(b, m, z);
    return NIB_OK;
}

/* Softmax over one axis, which is turned to the end and back. */
static nib_status over_turned(pass_border *b, int64_t axis, int rank) {
    graph_node *n = b->n;
    graph *g = n->owner;
    int64_t perm[GRAPH_MAX_RANK];
    for (int i = 0; i < rank; i++) perm[i] = i;
    perm[axis] = rank - 1;
    perm[rank - 1] = axis;
    graph_value *x = graph_emit(g, n, "", "Transpose", &n->inputs[0].value, 1, "turned");
    graph_value *y = x ? graph_emit(g, n, "", n->op, &x, 1, n->outputs[0]->name) : NULL;
    graph_value *z = y ? graph_emit(g, n, "", "Transpose", &y, 1, n->outputs[0]->name) : NULL;
    if (!z || graph_set_ints(x->producer, "perm", perm, (size_t)rank) != NIB_OK ||
        graph_set_ints(z->producer, "perm", perm, (size_t)rank) != NIB_OK ||
        graph_set_int(y->producer, "axis", rank - 1) != NIB_OK)
        return pass_border_no_memory(b);
    x->type = y->type = (graph_type){.dtype = n->outputs[0]->type.dtype, .rank = rank};
    stand_in(b, y->producer, z);
    return NIB_OK;
}

/* Over all axes from one on before 13, over one since: the last one is both. */
static nib_status over_axis(pass_border *b) {
    const int rank = pass_input(b->n, 0) && b->n->outputs[0] ? pass_input(b->n, 0)->type.rank : -1;
    int64_t axis = graph_attr_int(b->n, "axis", b->up ? 1 : -1);
    if (rank < 1) return refuse(b, "its rank is not known");
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank) return refuse(b, "its axis is none of its input's");
    if (axis != rank - 1) return b->up ? over_flat(b, axis) : over_turned(b, axis, rank);
    return graph_set_int(b->n, "axis", b->up ? -1 : rank - 1) == NIB_OK ? same(b) : pass_border_no_memory(b);
}

/* ---------------------------------------------------------------- images */

/* Scales from the attribute to the input, and back. */
static nib_status upsample_9(pass_border *b) {
    graph_node *n = b->n;
    const graph_attr *a = graph_find_attr(n, "scales");
    const graph_value *given = pass_input(n, 1);
    if (b->up) {
        if (!a || a->kind != GRAPH_ATTR_FLOATS) return same(b);
        graph_tensor t = {
            .dtype = NIB_DTYPE_F32, .rank = 1, .dims = {(int64_t)a->count}, .bytes = a->count * sizeof(float)};
        t.data = (void *)(uintptr_t)a->u.floats;
        graph_value *scales = graph_add_constant(n->owner, "scales", &t, true);
        pass_drop_attr(n, "scales");
        b->crossed = true;
        return scales ? pass_put_input(b, 1, scales) : pass_border_no_memory(b);
    }
    const graph_tensor *t = given ? given->constant : NULL;
    const float *scales =
        t && t->dtype == NIB_DTYPE_F32 && t->rank == 1 ? graph_tensor_aligned(n->owner->arena, t) : NULL;
    if (!scales) return refuse(b, "its scales are computed");
    const graph_attr attr = {
        .name = "scales", .kind = GRAPH_ATTR_FLOATS, .count = (size_t)t->dims[0], .u.floats = scales};
    if (graph_set_attr(n, &attr) != NIB_OK) return pass_border_no_memory(b);
    b->crossed = true;
    return pass_put_input(b, 1, NULL);
}

static nib_status upsample_10(pass_border *b) { return b->up ? rename_op(b, "Resize") : same(b); }

static graph_value *empty(pass_border *b) {
    const graph_tensor none = {.dtype = NIB_DTYPE_F32, .rank = 1};
    return graph_add_constant(b->n->owner, "none", &none, true);
}

/* X, a region that nothing reads, scales. */
static nib_status resize_11(pass_border *b) {
    nib_status status = NIB_OK;
    graph_value *scales = pass_input(b->n, 1), *region = b->up ? empty(b) : NULL;
    if (!b->up) return refuse(b, "it does not say so much there");
    if (!region) return pass_border_no_memory(b);
    NIB_TRY(pass_put_input(b, 2, scales));
    graph_set_input(b->n, 1, region);
    if (graph_set_string(b->n, "coordinate_transformation_mode", "asymmetric") != NIB_OK ||
        graph_set_string(b->n, "nearest_mode", "floor") != NIB_OK)
        return pass_border_no_memory(b);
    return same(b);
fail:
    return status;
}

/* What is left out was an empty list. floor((x + 0.5) / s) is what half_pixel gives, rounded with halves going up. */
static nib_status resize_13(pass_border *b) {
    nib_status status = NIB_OK;
    graph_node *n = b->n;
    const graph_value *region = pass_input(n, 1);
    if (!b->up) {
        for (int i = 1; i < 3; i++) {
            graph_value *none = pass_input(n, i) ? NULL : empty(b);
            if (!pass_input(n, i) && !none) return pass_border_no_memory(b);
            if (none) NIB_TRY(pass_put_input(b, i, none));
        }
        return same(b);
    }
    if (region && region->constant && graph_tensor_elements(region->constant) == 0 && n->n_inputs > 2)
        graph_set_input(n, 1, NULL);
    if (strcmp(graph_attr_string(n, "coordinate_transformation_mode", ""), "tf_half_pixel_for_nn") != 0 ||
        strcmp(graph_attr_string(n, "nearest_mode", ""), "floor") != 0 ||
        strcmp(graph_attr_string(n, "mode", "nearest"), "nearest") != 0)
        return same(b);
    if (graph_set_string(n, "coordinate_transformation_mode", "half_pixel") != NIB_OK ||
        graph_set_string(n, "nearest_mode", "round_prefer_ceil") != NIB_OK)
        return pass_border_no_memory(b);
    return same(b);
fail:
    return status;
}

/* ---------------------------------------------------------------- groups */

/* v [groups] as [channels]: each number as often as its group has channels. */
static graph_value *for_channels(graph *g, graph_node *before, graph_value *v, int64_t groups, int64_t channels) {
    const int64_t shape[] = {groups, 1}, wide[] = {groups, groups ? channels / groups : 0};
    graph_value *column = graph_const_i64(g, "shape", shape, 2), *size = graph_const_i64(g, "shape", wide, 2),
                *flat = graph_const_i64(g, "shape", &channels, 1);
    graph_value *x = column ? graph_emit(g, before, "", "Reshape", (graph_value *[]){v, column}, 2, v->name) : NULL;
    graph_value *y = x && size ? graph_emit(g, before, "", "Expand", (graph_value *[]){x, size}, 2, v->name) : NULL;
    graph_value *z = y && flat ? graph_emit(g, before, "", "Reshape", (graph_value *[]){y, flat}, 2, v->name) : NULL;
    if (z) x->type.dtype = y->type.dtype = z->type.dtype = v->type.dtype;
    return z;
}

#define MOST_REPEATED (1 << 20) /* channels; what has more is repeated when it runs */

/* The same of a constant's bytes; NULL if it has none in memory, or they are not so many, or would be too many. */
static graph_value *repeated(graph *g, const graph_value *v, int64_t groups, int64_t channels) {
    const graph_tensor *t = v->constant;
    const size_t element = t ? (size_t)nib_dtype_bits(t->dtype) / 8 : 0;
    if (!t || !t->data || channels > MOST_REPEATED || t->rank != 1 || t->dims[0] != groups ||
        t->bytes != (size_t)groups * element || v->packed)
        return NULL;
    graph_tensor wide = {.dtype = t->dtype, .rank = 1, .dims = {channels}, .bytes = (size_t)channels * element};
    char *to = wide.data = base_arena_alloc(g->arena, wide.bytes + 1);
    for (int64_t i = 0; to && i < channels; i++)
        memcpy(to + (size_t)i * element, (const char *)t->data + (size_t)(i / (channels / groups)) * element, element);
    return to ? graph_add_constant(g, v->name, &wide, false) : NULL;
}

/* A scale and a bias for each group; since 21 for each channel. */
static nib_status group_norm(pass_border *b) {
    graph_node *n = b->n;
    const graph_value *x = pass_input(n, 0);
    int64_t groups = graph_attr_int(n, "num_groups", 0), channels;
    if (!b->up) return refuse(b, "there it has a scale for each group, and is deprecated");
    if (!x || x->type.rank < 2 || !graph_dim_is_const(x->type.dims[1], &channels) || groups < 1 || channels < groups ||
        channels % groups)
        return refuse(b, "its channels' number is not known");
    for (int i = 1; i < 3; i++) {
        graph_value *v = pass_input(n, i), *wide = v ? repeated(n->owner, v, groups, channels) : NULL;
        if (v && !wide) wide = for_channels(n->owner, n, v, groups, channels);
        if (!wide) return pass_border_no_memory(b);
        graph_set_input(n, i, wide);
    }
    return same(b);
}

/* ---------------------------------------------------------------- Scan */

/* body becomes one of a node of `parent`. */
static void move_body(graph *body, graph *parent) {
    body->parent = parent;
    body->depth = parent->depth + 1;
    for (graph_node *n = body->first; n; n = n->next)
        for (graph_bodies of = {.node = n}; graph_next_body(&of);) move_body(of.body, body);
}

static int depth_of(const graph *g) {
    int deepest = 0;
    for (const graph_node *n = g->first; n; n = n->next)
        for (graph_bodies of = {.node = n}; graph_next_body(&of);) {
            int depth = depth_of(of.body);
            if (depth > deepest) deepest = depth;
        }
    return deepest + 1;
}

/* One text's Scan in `around`, a body that gives what it gives. NULL: out of memory. */
static graph_node *scan_of_one(graph *around, graph *body, int states, int scanned) {
    graph_value *in[64], *out[64];
    for (int i = 0; i < states + scanned; i++) {
        if (!(in[i] = graph_add_value(around, body->inputs[i]->name)) || graph_add_input(around, in[i]) != NIB_OK)
            return NULL;
        graph_type *t = &in[i]->type;
        *t = body->inputs[i]->type;
        if (i < states || t->rank < 0) continue;
        memmove(t->dims + 1, t->dims, (size_t)t->rank * sizeof *t->dims);
        t->dims[0] = NULL;
        t->rank++;
    }
    for (int i = 0; i < body->n_outputs; i++)
        if (!(out[i] = graph_add_value(around, body->outputs[i]->name))) return NULL;
    graph_node *n = graph_add_node(around, NULL, "", "Scan", "", in, states + scanned, out, body->n_outputs);
    for (int i = 0; i < body->n_outputs; i++) {
        out[i]->type = (graph_type){.dtype = body->outputs[i]->type.dtype, .rank = -1};
        if (!n || graph_add_output(around, out[i]) != NIB_OK) return NULL;
    }
    return n && graph_set_int(n, "num_scan_inputs", scanned) == NIB_OK ? n : NULL;
}

/* Of a batch: a Scan over its texts, whose body is the Scan over one's steps. */
static nib_status scan_9(pass_border *b) {
    nib_status status = NIB_OK;
    graph_node *n = b->n;
    graph *around;
    const graph_attr *body = graph_find_attr(n, "body"), *directions = graph_find_attr(n, "directions");
    const int64_t scanned = graph_attr_int(n, "num_scan_inputs", 0);
    const int all = n->n_inputs - 1, most = n->owner->heap->limits.graph_depth;
    if (!b->up || !body || body->kind != GRAPH_ATTR_GRAPH) return NIB_OK;
    graph *inner = body->u.graph;
    if (pass_input(n, 0)) return refuse(b, "its texts have lengths of their own");
    if (scanned < 1 || all < scanned || all > 64 || inner->n_inputs != all || inner->n_outputs > 64 ||
        inner->n_outputs != n->n_outputs || inner->depth + depth_of(inner) > most)
        return refuse(b, "its body does not fit");
    for (int i = 0; i < all; i++)
        if (inner->inputs[i]->type.rank >= GRAPH_MAX_RANK) return refuse(b, "its body does not fit");
    NIB_TRY(graph_create_sub(n->owner, &around, b->ctx->err));
    graph_node *one = scan_of_one(around, inner, all - (int)scanned, (int)scanned);
    graph_attr of_one = *body, of_all = *body;
    of_all.u.graph = around;
    if (!one || graph_set_attr(one, &of_one) != NIB_OK || graph_set_attr(n, &of_all) != NIB_OK)
        return pass_border_no_memory(b);
    if (directions && directions->kind == GRAPH_ATTR_INTS &&
        graph_set_ints(one, "scan_input_directions", directions->u.ints, directions->count) != NIB_OK)
        return pass_border_no_memory(b);
    move_body(inner, around);
    pass_drop_attr(n, "directions");
    if (graph_set_int(n, "num_scan_inputs", all) != NIB_OK) return pass_border_no_memory(b);
    for (int i = 0; i < all; i++) graph_set_input(n, i, n->inputs[i + 1].value);
    graph_set_input(n, all, NULL);
    n->n_inputs = all;
    return same(b);
fail:
    return status;
}

/* ---------------------------------------------------------------- the table */

static const struct crossing {
    const char *op;
    int since;
    nib_status (*cross)(pass_border *b);
} crossings[] = {
    {"Add", 7, broadcast},
    {"And", 7, broadcast},
    {"Attention", 24, attention_24},
    {"BatchNormalization", 7, in_use},
    {"BatchNormalization", 9, spatial},
    {"BatchNormalization", 14, one_output},
    {"Clip", 11, pass_cross_moved},
    {"DFT", 20, pass_cross_moved},
    {"Div", 7, broadcast},
    {"Dropout", 7, in_use},
    {"Dropout", 10, dropout_10},
    {"Dropout", 12, dropout_12},
    {"Equal", 7, broadcast},
    {"Gemm", 7, gemm_7},
    {"Gemm", 11, gemm_11},
    {"Greater", 7, broadcast},
    {"GridSample", 20, grid_modes},
    {"GroupNormalization", 21, group_norm},
    {"Hardmax", 13, over_axis},
    {"Less", 7, broadcast},
    {"LogSoftmax", 13, over_axis},
    {"MeanVarianceNormalization", 13, say_axes},
    {"MeanVarianceNormalization", 18, say_axes},
    {"Mul", 7, broadcast},
    {"Or", 7, broadcast},
    {"PRelu", 7, slopes},
    {"Pad", 11, pass_cross_moved},
    {"Pad", 18, pad_18},
    {"Pow", 7, broadcast},
    {"ReduceL1", 18, pass_cross_moved},
    {"ReduceL2", 18, pass_cross_moved},
    {"ReduceLogSum", 18, pass_cross_moved},
    {"ReduceLogSumExp", 18, pass_cross_moved},
    {"ReduceMax", 18, pass_cross_moved},
    {"ReduceMean", 18, pass_cross_moved},
    {"ReduceMin", 18, pass_cross_moved},
    {"ReduceProd", 18, pass_cross_moved},
    {"ReduceSum", 13, pass_cross_moved},
    {"ReduceSumSquare", 18, pass_cross_moved},
    {"Resize", 11, resize_11},
    {"Resize", 13, resize_13},
    {"RoiAlign", 16, rois},
    {"Scan", 9, scan_9},
    {"Scatter", 11, scatter},
    {"ScatterElements", 11, scatter},
    {"Slice", 10, slice_10},
    {"Softmax", 13, over_axis},
    {"Split", 13, pass_cross_moved},
    {"Split", 18, split_18},
    {"Squeeze", 13, pass_cross_moved},
    {"Sub", 7, broadcast},
    {"TopK", 10, pass_cross_moved},
    {"Unsqueeze", 13, pass_cross_moved},
    {"Upsample", 9, upsample_9},
    {"Upsample", 10, upsample_10},
    {"Xor", 7, broadcast},
};

nib_status pass_cross(pass_border *b, bool *known) {
    *known = false;
    for (size_t i = 0; i < BASE_COUNT(crossings); i++) {
        if (crossings[i].since != b->since || strcmp(crossings[i].op, b->n->op) != 0) continue;
        *known = true;
        return crossings[i].cross(b);
    }
    return NIB_OK;
}
