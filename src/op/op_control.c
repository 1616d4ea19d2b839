/* SPDX-License-Identifier: Apache-2.0
 *
 * Control flow, https://onnx.ai/onnx/operators/: If Loop Scan SequenceMap. Bodies are attributes of the node; the context runs
 * them (op_eval.body). What a body gives lives until it runs again, so what is carried on is copied: into one of two blocks in
 * turn, because a body's outputs may be its inputs.
 */
#include "op_local.h"

/* ---- memory that outlives a run of the body */

typedef struct room { /* one tensor, replaced again and again */
    char *memory;
    size_t size;
} room;

static nib_status keep(op_eval *c, room *r, const graph_tensor *t, graph_tensor *out) {
    size_t bytes = op_deep_bytes(t);
    if (bytes == SIZE_MAX || bytes > SIZE_MAX / 4) return op_bad(c, NIB_LIMIT, "a value is too large");
    if (!r->memory || bytes > r->size) {
        size_t want = bytes > 2 * r->size ? bytes : 2 * r->size;
        OP_TRY(op_scratch(c, (int64_t)want, 1, &r->memory));
        r->size = want;
    }
    char *at = r->memory;
    op_deep_copy(out, t, &at);
    return NIB_OK;
}

typedef struct pile { /* a growing list of tensors */
    graph_tensor *items;
    int64_t count, capacity;
    char *chunk;
    size_t left;
} pile;

/* What is piled becomes one tensor, or the elements of a sequence: it is no container. `alike`: it must have the first one's type and
 * shape, on which whoever reads the pile relies. */
static nib_status pile_add(op_eval *c, pile *p, const graph_tensor *t, bool alike) {
    const graph_tensor *first = p->count > 0 ? p->items : t;
    if (op_is_container(t->dtype)) return op_bad(c, NIB_TYPE, "the body gives a %s to be piled", nib_dtype_name(t->dtype));
    if (alike &&
        (t->dtype != first->dtype || t->rank != first->rank || memcmp(t->dims, first->dims, sizeof(int64_t) * (size_t)t->rank) != 0))
        return op_bad(c, NIB_SHAPE, "an output changes its type or shape from one run of the body to the next");
    size_t bytes = op_deep_bytes(t);
    if (bytes == SIZE_MAX || bytes > SIZE_MAX / 4) return op_bad(c, NIB_LIMIT, "a value is too large");
    if (p->count == p->capacity) {
        graph_tensor *items;
        int64_t capacity = p->capacity ? 2 * p->capacity : 16;
        OP_TRY(op_scratch(c, capacity, sizeof *items, &items));
        if (p->count > 0) memcpy(items, p->items, sizeof *items * (size_t)p->count);
        p->items = items;
        p->capacity = capacity;
    }
    if (!p->chunk || bytes > p->left) {
        size_t want = bytes * (size_t)(p->count < 1 ? 1 : p->count < 1024 ? p->count : 1024);
        if (want / (bytes ? bytes : 1) == 0 || want < bytes) want = bytes;
        OP_TRY(op_scratch(c, (int64_t)want, 1, &p->chunk));
        p->left = want;
    }
    op_deep_copy(&p->items[p->count++], t, &p->chunk);
    p->left -= bytes;
    return NIB_OK;
}

/* Output i, of the shape `dims`: the pile's tensors, each as `outer` runs of `inner` elements, of one run after the other. */
static nib_status put_pile(op_eval *c, int i, const pile *p, nib_dtype dtype, const op_dims *dims, int64_t outer, int64_t inner,
                           bool reverse) {
    char *y;
    OP_TRY(op_out(c, i, dtype, dims, &y));
    size_t size = op_size(dtype), run = (size_t)inner * size;
    for (int64_t k = 0; y && k < p->count && outer > 0 && run > 0; k++) {
        graph_tensor t;
        OP_TRY(op_unpack(c, &p->items[reverse ? p->count - 1 - k : k], &t));
        for (int64_t o = 0; o < outer; o++) memcpy(y + (size_t)(o * p->count + k) * run, (const char *)t.data + (size_t)o * run, run);
    }
    return NIB_OK;
}

/* Output i: the pile's tensors side by side along a new axis. `body` says what no tensor can. */
static nib_status stack_up(op_eval *c, int i, const pile *p, const graph_value *body, int64_t axis, bool reverse) {
    op_dims dims = {0};
    nib_dtype dtype = p->count ? p->items[0].dtype : body->type.dtype;
    int rank = p->count ? p->items[0].rank : body->type.rank < 0 ? 0 : body->type.rank;
    if (rank + 1 > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", rank + 1);
    axis = op_axis(axis, rank + 1);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (dtype == NIB_DTYPE_UNDEFINED || (!p->count && body->type.kind != GRAPH_KIND_TENSOR))
        return op_bad(c, NIB_TYPE, "the type of output %d is not known, or no tensor's", i);
    dims.rank = rank + 1;
    for (int k = 0, at = 0; k < dims.rank; k++) {
        int64_t v = 0;
        if (k == axis) dims.d[k] = p->count;
        else if (p->count) dims.d[k] = p->items[0].dims[at++];
        else dims.d[k] = graph_dim_is_const(body->type.dims[at++], &v) ? v : 0;
    }
    return put_pile(c, i, p, dtype, &dims, op_count((int)axis, dims.d), op_count(rank - (int)axis, dims.d + axis + 1), reverse);
}

static const graph *body_of(const op_eval *c, const char *name) {
    const graph_attr *a = graph_find_attr(c->node, name);
    return a && a->kind == GRAPH_ATTR_GRAPH ? a->u.graph : NULL;
}

static nib_status truth(op_eval *c, const graph_tensor *t, bool *out) {
    if (t->dtype != NIB_DTYPE_BOOL || op_count(t->rank, t->dims) != 1) return op_bad(c, NIB_TYPE, "a condition is not one bool");
    *out = *(const uint8_t *)t->data != 0;
    return NIB_OK;
}

/* The attribute num_scan_inputs, or -1 where it makes no sense. */
static int scan_inputs(const graph_node *n) {
    int64_t v = graph_attr_int(n, "num_scan_inputs", 0);
    return v < 1 || v > n->n_inputs ? -1 : (int)v;
}

/* ---- If */

static nib_status eval_if(op_eval *c) {
    bool yes = false;
    graph_tensor *outputs;
    OP_TRY(truth(c, op_arg(c, 0), &yes));
    const graph *g = body_of(c, yes ? "then_branch" : "else_branch");
    if (!g) return op_bad(c, NIB_BAD_MODEL, "a branch is missing");
    if (g->n_inputs != 0 || g->n_outputs != c->node->n_outputs) return op_bad(c, NIB_BAD_MODEL, "a branch of other inputs or outputs");
    OP_TRY(op_scratch(c, g->n_outputs, sizeof *outputs, &outputs));
    OP_TRY(c->body(c, g, NULL, outputs));
    for (int i = 0; i < g->n_outputs; i++) OP_TRY(op_give(c, i, &outputs[i]));
    return NIB_OK;
}

/* ---- Loop */

typedef struct loop {
    int carried, piles;
    bool alike; /* what is piled becomes one tensor */
    const graph *g;
    graph_tensor *state;       /* [carried] */
    room *rooms;               /* [2 * carried] */
    pile *piled;               /* [piles] */
    graph_tensor *outputs;     /* [g->n_outputs] */
    const graph_tensor **args; /* [g->n_inputs] */
} loop;

static nib_status loop_ready(op_eval *c, loop *l) {
    OP_TRY(op_scratch(c, l->carried + 1, sizeof *l->state, &l->state));
    OP_TRY(op_scratch(c, 2 * l->carried + 1, sizeof *l->rooms, &l->rooms));
    OP_TRY(op_scratch(c, l->piles + 1, sizeof *l->piled, &l->piled));
    OP_TRY(op_scratch(c, l->g->n_outputs + 1, sizeof *l->outputs, &l->outputs));
    OP_TRY(op_scratch(c, l->g->n_inputs + 1, sizeof *l->args, &l->args));
    memset(l->rooms, 0, sizeof *l->rooms * (size_t)(2 * l->carried + 1));
    memset(l->piled, 0, sizeof *l->piled * (size_t)(l->piles + 1));
    return NIB_OK;
}

/* What the body gave, beginning with output `first`, becomes the state and goes on the piles. */
static nib_status loop_take(op_eval *c, loop *l, int first, int64_t turn) {
    for (int i = 0; i < l->carried; i++) {
        const graph_tensor *y = &l->outputs[first + i];
        nib_dtype before = l->state[i].dtype;
        if (y->dtype != before && before != NIB_DTYPE_OPTIONAL) /* which may be filled: what it holds goes on in its place */
            return op_bad(c, NIB_TYPE, "state %d is %s, and %s after a run of the body", i, nib_dtype_name(before),
                          nib_dtype_name(y->dtype));
        OP_TRY(keep(c, &l->rooms[2 * i + (turn & 1)], y, &l->state[i]));
    }
    for (int i = 0; i < l->piles; i++) OP_TRY(pile_add(c, &l->piled[i], &l->outputs[first + l->carried + i], l->alike));
    return NIB_OK;
}

static nib_status eval_loop(op_eval *c) {
    loop l = {.carried = c->n_in - 2, .alike = true, .g = body_of(c, "body")};
    int64_t most = INT64_MAX, turn = 0;
    bool go = true;
    uint8_t truth_byte = 1;
    if (!l.g || l.carried < 0 || l.g->n_inputs != l.carried + 2 || l.g->n_outputs < l.carried + 1 ||
        c->node->n_outputs > l.g->n_outputs - 1)
        return op_bad(c, NIB_BAD_MODEL, "a body of other inputs or outputs");
    l.piles = l.g->n_outputs - 1 - l.carried;
    OP_TRY(loop_ready(c, &l));
    if (op_arg(c, 0)) OP_TRY(op_read_int(c, 0, &most));
    if (op_arg(c, 1)) OP_TRY(truth(c, op_arg(c, 1), &go));
    for (int i = 0; i < l.carried; i++) {
        if (!c->raw[2 + i]) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", 2 + i);
        l.state[i] = *c->raw[2 + i];
    }
    graph_tensor count = {.dtype = NIB_DTYPE_I64, .data = &turn, .bytes = sizeof turn};
    graph_tensor cond = {.dtype = NIB_DTYPE_BOOL, .data = &truth_byte, .bytes = 1};
    for (; go && turn < most; turn++) {
        l.args[0] = &count;
        l.args[1] = &cond;
        for (int i = 0; i < l.carried; i++) l.args[2 + i] = &l.state[i];
        OP_TRY(op_spend(c, l.g->n_outputs, 16));
        OP_TRY(c->body(c, l.g, l.args, l.outputs));
        OP_TRY(truth(c, &l.outputs[0], &go));
        OP_TRY(loop_take(c, &l, 1, turn));
    }
    for (int i = 0; i < l.carried; i++) OP_TRY(op_give(c, i, &l.state[i]));
    for (int i = 0; i < l.piles && l.carried + i < c->node->n_outputs; i++)
        if (c->node->outputs[l.carried + i]) OP_TRY(stack_up(c, l.carried + i, &l.piled[i], l.g->outputs[1 + l.carried + i], 0, false));
    return NIB_OK;
}

/* ---- Scan */

static int64_t list_at(const graph_node *n, const char *name, int i) {
    const int64_t *list;
    return graph_attr_ints(n, name, &list) > i ? list[i] : 0;
}

/* The part of x at index `at` of an axis, in `memory`, as it lies outside of evals. */
static nib_status slice_of(op_eval *c, const graph_tensor *x, int axis, int64_t at, room *r, graph_tensor *out) {
    int64_t outer = op_count(axis, x->dims), n = x->dims[axis], inner = op_count(x->rank - axis - 1, x->dims + axis + 1);
    size_t size = op_size(x->dtype), bytes = (size_t)(outer * inner) * size;
    if (nib_dtype_bits(x->dtype) > 0 && nib_dtype_bits(x->dtype) < 8)
        return op_bad(c, NIB_UNSUPPORTED, "scanning %s", nib_dtype_name(x->dtype));
    if (!r->memory) {
        OP_TRY(op_scratch(c, (int64_t)(bytes > 0 ? bytes : 1), 1, &r->memory));
        r->size = bytes;
    }
    *out = *x;
    out->rank = x->rank - 1;
    for (int k = axis; k < out->rank; k++) out->dims[k] = x->dims[k + 1];
    out->data = r->memory;
    out->bytes = bytes;
    for (int64_t o = 0; o < outer && inner > 0; o++)
        memcpy(r->memory + (size_t)(o * inner) * size, (const char *)x->data + (size_t)((o * n + at) * inner) * size, (size_t)inner * size);
    return NIB_OK;
}

/* Runs the body over `length` parts of each scanned tensor; l->state holds the states before and after. */
static nib_status scan(op_eval *c, loop *l, int scanned, const graph_tensor *x, const int *axis, const char *directions, int64_t length,
                       room *slices, graph_tensor *parts) {
    for (int64_t turn = 0; turn < length; turn++) {
        for (int i = 0; i < l->carried; i++) l->args[i] = &l->state[i];
        for (int i = 0; i < scanned; i++) {
            int64_t at = list_at(c->node, directions, i) ? length - 1 - turn : turn;
            OP_TRY(slice_of(c, &x[i], axis[i], at, &slices[i], &parts[i]));
            l->args[l->carried + i] = &parts[i];
        }
        OP_TRY(op_spend(c, l->g->n_outputs, 16));
        OP_TRY(c->body(c, l->g, l->args, l->outputs));
        OP_TRY(loop_take(c, l, 0, turn));
    }
    return NIB_OK;
}

typedef struct scan_room {
    int scanned;
    graph_tensor *x, *parts;
    int *axis;
    room *slices;
} scan_room;

/* `first`: where the states begin among the inputs; 1 in opset 8, where input 0 is the lengths. */
static nib_status scan_ready(op_eval *c, int first, loop *l, scan_room *s) {
    s->scanned = scan_inputs(c->node);
    l->g = body_of(c, "body");
    l->carried = c->n_in - first - s->scanned;
    if (!l->g || s->scanned < 1 || l->carried < 0 || l->g->n_inputs != c->n_in - first || l->g->n_outputs < l->carried ||
        c->node->n_outputs > l->g->n_outputs)
        return op_bad(c, NIB_BAD_MODEL, "a body of other inputs or outputs");
    for (int i = first; i < c->n_in; i++)
        if (!c->raw[i]) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", i);
    l->piles = l->g->n_outputs - l->carried;
    OP_TRY(loop_ready(c, l));
    OP_TRY(op_scratch(c, s->scanned, sizeof *s->x, &s->x));
    OP_TRY(op_scratch(c, s->scanned, sizeof *s->parts, &s->parts));
    OP_TRY(op_scratch(c, s->scanned, sizeof *s->axis, &s->axis));
    OP_TRY(op_scratch(c, s->scanned, sizeof *s->slices, &s->slices));
    memset(s->slices, 0, sizeof *s->slices * (size_t)s->scanned);
    return NIB_OK;
}

static nib_status eval_scan(op_eval *c) {
    loop l = {.alike = true};
    scan_room s;
    int64_t length = -1;
    OP_TRY(scan_ready(c, 0, &l, &s));
    for (int i = 0; i < l.carried; i++) l.state[i] = *c->raw[i];
    for (int i = 0; i < s.scanned; i++) {
        s.x[i] = *c->raw[l.carried + i];
        s.axis[i] = op_axis(list_at(c->node, "scan_input_axes", i), s.x[i].rank);
        if (s.axis[i] < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
        int64_t n = s.x[i].dims[s.axis[i]];
        if (length >= 0 && n != length) return op_bad(c, NIB_SHAPE, "scanned inputs differ in length");
        length = n;
    }
    OP_TRY(scan(c, &l, s.scanned, s.x, s.axis, "scan_input_directions", length, s.slices, s.parts));
    for (int i = 0; i < l.carried; i++) OP_TRY(op_give(c, i, &l.state[i]));
    for (int i = 0; i < l.piles && l.carried + i < c->node->n_outputs; i++)
        OP_TRY(stack_up(c, l.carried + i, &l.piled[i], l.g->outputs[l.carried + i], list_at(c->node, "scan_output_axes", i),
                        list_at(c->node, "scan_output_directions", i) != 0));
    return NIB_OK;
}

/* Opset 8: every input and output has a batch axis in front, and each row of it is scanned on its own, along axis 1. Rows
 * shorter than the longest are refused: their outputs would be padded with what the standard leaves open. */
static nib_status eval_scan_8(op_eval *c) {
    loop l = {.alike = true};
    scan_room s;
    pile *rows;
    OP_TRY(scan_ready(c, 1, &l, &s));
    int outputs = l.g->n_outputs;
    OP_TRY(op_scratch(c, outputs, sizeof *rows, &rows));
    memset(rows, 0, sizeof *rows * (size_t)outputs);
    const graph_tensor *first = c->raw[1 + l.carried];
    if (first->rank < 2) return op_bad(c, NIB_SHAPE, "a scanned input has rank %d", first->rank);
    int64_t batch = first->dims[0], length = first->dims[1];
    const graph_tensor *lengths = op_arg(c, 0);
    for (int64_t b = 0; b < batch; b++) {
        if (lengths &&
            (op_count(lengths->rank, lengths->dims) != batch || lengths->dtype != NIB_DTYPE_I64 || op_index(lengths, b) != length))
            return op_bad(c, NIB_UNSUPPORTED, "rows of different lengths");
        for (int i = 1; i < c->n_in; i++) {
            room fresh = {0};
            const graph_tensor *x = c->raw[i];
            bool is_state = i <= l.carried;
            if (x->rank < (is_state ? 1 : 2) || x->dims[0] != batch || (!is_state && x->dims[1] != length))
                return op_bad(c, NIB_SHAPE, "inputs differ in batch or length");
            OP_TRY(slice_of(c, x, 0, b, &fresh, is_state ? &l.state[i - 1] : &s.x[i - 1 - l.carried]));
            if (!is_state) s.axis[i - 1 - l.carried] = 0;
        }
        memset(s.slices, 0, sizeof *s.slices * (size_t)s.scanned);
        memset(l.piled, 0, sizeof *l.piled * (size_t)(l.piles + 1));
        OP_TRY(scan(c, &l, s.scanned, s.x, s.axis, "directions", length, s.slices, s.parts));
        for (int i = 0; i < l.carried; i++) OP_TRY(pile_add(c, &rows[i], &l.state[i], true));
        for (int i = 0; i < l.piles; i++) /* [length, ...] of one row: its parts, one after the other */
            for (int64_t k = 0; k < l.piled[i].count; k++) OP_TRY(pile_add(c, &rows[l.carried + i], &l.piled[i].items[k], true));
    }
    for (int i = 0; i < outputs && i < c->node->n_outputs; i++) {
        const graph_tensor *t = rows[i].items;
        if (i < l.carried || !t) {
            OP_TRY(stack_up(c, i, &rows[i], l.g->outputs[i], 0, false));
            continue;
        }
        if (t->rank + 2 > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", t->rank + 2);
        op_dims dims = {t->rank + 2, {batch, length}};
        memcpy(dims.d + 2, t->dims, sizeof(int64_t) * (size_t)t->rank);
        OP_TRY(put_pile(c, i, &rows[i], t->dtype, &dims, 1, op_count(t->rank, t->dims), false));
    }
    return NIB_OK;
}

/* ---- SequenceMap: the body for each element of the first sequence; further sequences go along, tensors are the same for all */

static nib_status eval_sequence_map(op_eval *c) {
    loop l = {.g = body_of(c, "body")};
    const graph_tensor *first = op_arg(c, 0);
    if (!l.g || l.g->n_inputs != c->n_in || l.g->n_outputs != c->node->n_outputs)
        return op_bad(c, NIB_BAD_MODEL, "a body of other inputs or outputs");
    l.piles = l.g->n_outputs;
    OP_TRY(loop_ready(c, &l));
    for (int i = 0; i < c->n_in; i++) {
        if (!op_arg(c, i)) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", i);
        bool sequence = op_arg(c, i)->dtype == NIB_DTYPE_SEQUENCE;
        if ((i == 0 && !sequence) || (sequence && op_arg(c, i)->dims[0] != first->dims[0]))
            return op_bad(c, NIB_TYPE, "input %d is no sequence as long as the first", i);
    }
    for (int64_t k = 0; k < first->dims[0]; k++) {
        for (int i = 0; i < c->n_in; i++)
            l.args[i] = c->raw[i]->dtype == NIB_DTYPE_SEQUENCE ? (const graph_tensor *)c->raw[i]->data + k : c->raw[i];
        OP_TRY(op_spend(c, l.g->n_outputs, 16));
        OP_TRY(c->body(c, l.g, l.args, l.outputs));
        OP_TRY(loop_take(c, &l, 0, k));
    }
    for (int i = 0; i < l.piles; i++) {
        graph_tensor *y;
        OP_TRY(op_out(c, i, NIB_DTYPE_SEQUENCE, &(op_dims){1, {l.piled[i].count}}, &y));
        if (y && l.piled[i].count) memcpy(y, l.piled[i].items, sizeof *y * (size_t)l.piled[i].count);
    }
    return NIB_OK;
}

/* ---- inference. Bodies are inferred before their node (op_infer.c), their inputs by op_infer_bodies before that. */

static const graph *infer_body(const op_infer *c, const char *name) {
    const graph_attr *a = graph_find_attr(c->node, name);
    return a && a->kind == GRAPH_ATTR_GRAPH ? a->u.graph : NULL;
}

/* A type without its sizes: what a state may be from one turn to the next. */
static void fill_type(graph_type *to, const graph_type *from, int rank) {
    if (to->kind == GRAPH_KIND_TENSOR && to->dtype == NIB_DTYPE_UNDEFINED && from->kind != GRAPH_KIND_TENSOR) {
        *to = *from;
        return;
    }
    if (to->dtype == NIB_DTYPE_UNDEFINED) to->dtype = from->dtype;
    if (to->rank >= 0 || rank < 0 || to->kind != GRAPH_KIND_TENSOR) return;
    to->rank = rank;
    for (int k = 0; k < rank; k++) to->dims[k] = NULL;
}

void op_infer_bodies(graph_node *n) {
    const graph_attr *a = graph_find_attr(n, "body");
    if (!a || a->kind != GRAPH_ATTR_GRAPH || strcmp(n->domain, "") != 0) return;
    graph *g = a->u.graph;
    bool is_loop = strcmp(n->op, "Loop") == 0, is_scan = strcmp(n->op, "Scan") == 0;
    static const graph_type number = {.dtype = NIB_DTYPE_I64}, truth_type = {.dtype = NIB_DTYPE_BOOL};
    int scanned = scan_inputs(n);
    int first = is_scan && op_since(n) < 9 ? 1 : 0;
    for (int i = 0; i < g->n_inputs; i++) {
        int at = i + first;
        const graph_value *v = at < n->n_inputs ? n->inputs[at].value : NULL;
        if (is_loop && i < 2) {
            fill_type(&g->inputs[i]->type, i == 0 ? &number : &truth_type, 0);
        } else if (v && is_loop) {
            fill_type(&g->inputs[i]->type, &v->type, -1);
        } else if (v && is_scan) {
            int less = first + (at >= n->n_inputs - scanned ? 1 : 0);
            fill_type(&g->inputs[i]->type, &v->type, less && v->type.rank >= less ? v->type.rank - less : -1);
        } else if (v && strcmp(n->op, "SequenceMap") == 0) {
            graph_type t = v->type;
            t.kind = GRAPH_KIND_TENSOR;
            fill_type(&g->inputs[i]->type, &t, -1);
        }
    }
}

/* What both branches agree on. */
static nib_status infer_if(op_infer *c) {
    const graph *a = infer_body(c, "then_branch"), *b = infer_body(c, "else_branch");
    if (!a || !b) return op_fail(c, NIB_BAD_MODEL, "a branch is missing");
    for (int i = 0; i < c->node->n_outputs && i < a->n_outputs && i < b->n_outputs; i++) {
        const graph_type *x = &a->outputs[i]->type, *y = &b->outputs[i]->type;
        if (x->kind != y->kind) continue;
        graph_type t = *x;
        if (y->dtype != t.dtype) t.dtype = NIB_DTYPE_UNDEFINED;
        if (y->rank != t.rank) t.rank = -1;
        for (int k = 0; k < t.rank; k++) t.dims[k] = x->dims[k] == y->dims[k] ? x->dims[k] : NULL;
        OP_TRY(op_set_type(c, i, &t));
    }
    return NIB_OK;
}

/* Types and ranks of the body's outputs, whose sizes may change from turn to turn: `add` axes are put in front. */
static nib_status infer_output(op_infer *c, int i, const graph_value *body, int add, bool sizes) {
    graph_type t = body->type;
    if (t.kind == GRAPH_KIND_TENSOR && t.rank >= 0) {
        if (t.rank + add > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", t.rank + add);
        memmove(t.dims + add, t.dims, sizeof t.dims[0] * (size_t)t.rank);
        for (int k = 0; k < add; k++) t.dims[k] = NULL;
        t.rank += add;
        for (int k = 0; k < t.rank && !sizes; k++) t.dims[k] = NULL;
    }
    return op_set_type(c, i, &t);
}

static nib_status infer_loop(op_infer *c) {
    const graph *g = infer_body(c, "body");
    int carried = c->node->n_inputs - 2;
    if (!g) return op_fail(c, NIB_BAD_MODEL, "the body is missing");
    for (int i = 0; i < c->node->n_outputs && i + 1 < g->n_outputs; i++) {
        bool piled = i >= carried;
        graph_type t = g->outputs[i + 1]->type;
        if (!piled && t.kind == GRAPH_KIND_TENSOR) { /* a state's rank may change as well */
            OP_TRY(op_set(c, i, t.dtype, -1, NULL));
        } else {
            OP_TRY(infer_output(c, i, g->outputs[i + 1], piled, false));
        }
    }
    return NIB_OK;
}

static nib_status infer_scan(op_infer *c) {
    const graph *g = infer_body(c, "body");
    int scanned = scan_inputs(c->node);
    int batch = op_since(c->node) < 9;
    int carried = c->node->n_inputs - batch - scanned;
    if (!g || scanned < 0) return op_fail(c, NIB_BAD_MODEL, "the body or its number of inputs is missing");
    for (int i = 0; i < c->node->n_outputs && i < g->n_outputs; i++)
        OP_TRY(infer_output(c, i, g->outputs[i], batch + (i >= carried), false));
    return NIB_OK;
}

static nib_status infer_sequence_map(op_infer *c) {
    const graph *g = infer_body(c, "body");
    if (!g) return op_fail(c, NIB_BAD_MODEL, "the body is missing");
    for (int i = 0; i < c->node->n_outputs && i < g->n_outputs; i++) {
        graph_type t = {.kind = GRAPH_KIND_SEQUENCE, .dtype = g->outputs[i]->type.dtype, .rank = -1};
        OP_TRY(op_set_type(c, i, &t));
    }
    return NIB_OK;
}

const op op_family_control[] = {
    {"If", "", 1, 1, 1, -1, OP_ROWS_MIXED | OP_LISTS, infer_if, eval_if, NULL},
    {"Loop", "", 1, 0, OP_ANY_IN, -1, OP_ROWS_MIXED | OP_LISTS, infer_loop, eval_loop, NULL},
    {"Scan", "", 8, 0, OP_ANY_IN, -1, OP_ROWS_MIXED, infer_scan, eval_scan_8, NULL},
    {"Scan", "", 9, 1, OP_ANY_IN, -1, OP_ROWS_MIXED, infer_scan, eval_scan, NULL},
    {"SequenceMap", "", 17, 1, OP_ANY_IN, -1, OP_ROWS_MIXED | OP_LISTS, infer_sequence_map, eval_sequence_map, NULL},
    {0},
};
