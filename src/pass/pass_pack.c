/* SPDX-License-Identifier: Apache-2.0
 *
 * Padded batch -> packed rows. In: a fused encoder on [B, S, C]. Out: the same encoder on [T, C] between Pack and Unpack (or
 * Pool, Pick), where T counts the rows whose mask is not 0.
 *
 * The proof. The mask M is the [B, S] input of which every attention's bias is the padding of keys (pass_mask.c looks at
 * what the bias computes; names play no part), perhaps with a window over i - j, columns of M: the window becomes the
 * attention's own, and counts in the columns that its rows had. What else is added to the scores (a table of all pairs) stays
 * on the grid, and is read at the columns of the rows; it may not be made of packed values. A value is packed if its
 * node is row-wise along B x S: an Embed of ids, an operator whose `rows` column says so with packed inputs, or such an
 * attention. Then a token's row depends only on rows of tokens of its own text, and dropping padded rows changes none of
 * the others. If any attention cannot be packed, nothing is: the padded plan still runs. Integer arithmetic on [B, S]
 * stays as the model wrote it; only its results are packed.
 */
#include "pass.h"
#include <stdio.h>
#include <string.h>

#define BIASES 8 /* different ones that attentions have: one for each kind of layer */

typedef struct seen_bias {
    const graph_value *bias;
    pass_window window;
    graph_value *rest; /* what it adds beside the padding of keys, or NULL */
} seen_bias;

typedef struct packing {
    pass_context *ctx;
    graph *g;
    graph_value *mask, *offsets, *grid; /* grid: Shape(mask) */
    graph_value *columns;               /* see columns_of_rows; NULL: not made yet */
    graph_dim b, s;
    seen_bias biases[BIASES];
    int n_biases;
    uint8_t *packed;       /* by value id: this value will be packed */
    graph_value **as_rows; /* by value id: the packed value, once made */
    graph_value **unpacked;
    int limit;
} packing;

static bool on_grid(const packing *p, const graph_value *v) {
    return v->type.rank == 3 && v->type.dims[0] == p->b && v->type.dims[1] == p->s;
}

static bool is_packed(const packing *p, const graph_value *v) { return v && v->id < p->limit && p->packed[v->id]; }

/* [B, S, C] or a [1, S, C], [B, 1, C] that broadcasts to it: can be brought to rows by Pack(Expand(v)). */
static bool can_be_packed(const packing *p, const graph_value *v) {
    if (v->type.rank != 3 || v->type.dtype != NIB_DTYPE_F32 || !v->type.dims[2]) return false;
    bool b = v->type.dims[0] == p->b || graph_dim_is_one(v->type.dims[0]);
    bool s = v->type.dims[1] == p->s || graph_dim_is_one(v->type.dims[1]);
    return b && s;
}

/* One integer for each row, or one for each column of the grid. */
static bool are_positions(const packing *p, const graph_value *v) {
    return v->type.rank == 2 && (v->type.dims[0] == p->b || graph_dim_is_one(v->type.dims[0])) &&
           (v->type.dtype == NIB_DTYPE_I64 || v->type.dtype == NIB_DTYPE_I32);
}

/* Ids that broadcast to the grid: that they do is what the sum's shape says; at a size where they do not (more tokens than
 * positions), Expand fails as the sum would have. */
static bool packs_embed(const packing *p, const graph_node *n) {
    for (int i = 0; i < n->n_inputs; i += 2)
        if (n->inputs[i].value->type.rank > 2) return false;
    return on_grid(p, n->outputs[0]);
}

/* How a row-wise node reads an input once its rows are packed. */
typedef enum operand {
    OPERAND_NONE,      /* it cannot */
    OPERAND_PACKED,    /* packed rows */
    OPERAND_PARAMETER, /* as it is, the same for every row */
    OPERAND_GRID,      /* the rows of Pack(Expand(v)) */
} operand;

static operand operand_of(const packing *p, const graph_node *n, int i, op_rows rows) {
    const graph_value *v = n->inputs[i].value;
    if (is_packed(p, v)) return OPERAND_PACKED;
    /* Input 0 and the residual of Linear and Norm are rows; what else a node on the last axis reads are parameters. */
    op_linear l;
    const graph_value *residual = op_linear_get(n, &l) ? l.residual : graph_is_op(n, "nib", "Norm") ? pass_input(n, 3) : NULL;
    bool is_row = rows != OP_ROWS_LAST || i == 0 || v == residual;
    if (!is_row) return v->constant ? OPERAND_PARAMETER : OPERAND_NONE;
    if (rows == OP_ROWS_ELEMENT && pass_is_row_parameter(v)) return OPERAND_PARAMETER;
    return can_be_packed(p, v) ? OPERAND_GRID : OPERAND_NONE;
}

static bool packs_rows(const packing *p, const graph_node *n, op_rows rows) {
    bool any = false;
    for (int i = 0; i < n->n_inputs; i++) {
        if (!n->inputs[i].value) continue;
        operand kind = operand_of(p, n, i, rows);
        if (kind == OPERAND_NONE) return false;
        any |= kind == OPERAND_PACKED;
    }
    return any && on_grid(p, n->outputs[0]);
}

static bool packs(const packing *p, const graph_node *n) {
    if (n->n_outputs < 1 || !n->outputs[0]) return false;
    for (const graph_use *u = n->outputs[0]->uses; u; u = u->next)
        if (u->node->owner != n->owner) return false; /* a body reads it, as it is */
    for (int i = 1; i < n->n_outputs; i++)
        if (n->outputs[i]) return false;
    if (graph_is_op(n, "nib", "Embed")) return packs_embed(p, n);
    op_attention a;
    if (op_attention_get(n, &a))
        return is_packed(p, a.q) && (!a.k || is_packed(p, a.k)) && (!a.v || is_packed(p, a.v)) && !a.offsets && !a.positions &&
               n->outputs[0]->type.rank == 3;
    if (graph_is_op(n, "nib", "Rotary"))
        return is_packed(p, n->inputs[0].value) && !is_packed(p, n->inputs[1].value) && !is_packed(p, n->inputs[2].value) &&
               are_positions(p, n->inputs[3].value) && on_grid(p, n->outputs[0]);
    op_rows rows = op_rows_of(n);
    return (rows == OP_ROWS_ELEMENT || rows == OP_ROWS_LAST) && packs_rows(p, n, rows);
}

/* ---- which input is the mask */

static graph_value *emit(const packing *p, graph_node *before, const char *domain, const char *type, graph_value *const *in, int n_in,
                         const char *hint) {
    graph_value *v = pass_emit(p->ctx, before, domain, type, in, n_in, hint);
    if (v && op_infer_node(p->g, v->producer, p->ctx->err) != NIB_OK) return NULL;
    return v;
}

static bool is_candidate(const graph_value *v) {
    nib_dtype t = v->type.dtype;
    return v->type.rank == 2 && v->type.dims[0] && v->type.dims[1] &&
           (t == NIB_DTYPE_I64 || t == NIB_DTYPE_I32 || t == NIB_DTYPE_BOOL || t == NIB_DTYPE_F32 || t == NIB_DTYPE_U8 ||
            t == NIB_DTYPE_I8);
}

static const seen_bias *find_bias(const packing *p, const graph_value *bias) {
    for (int i = 0; i < p->n_biases; i++)
        if (p->biases[i].bias == bias) return &p->biases[i];
    return NULL;
}

/* [B|1, heads|1, S|1, S]: one element for each pair of columns. */
static bool is_of_pairs(const graph_value *v, const graph_value *mask) {
    const graph_type *t = &v->type;
    if (t->rank != 4 || t->dtype != NIB_DTYPE_F32) return false;
    bool texts = t->dims[0] == mask->type.dims[0] || graph_dim_is_one(t->dims[0]);
    return texts && (t->dims[2] == mask->type.dims[1] || graph_dim_is_one(t->dims[2])) && t->dims[3] == mask->type.dims[1];
}

/* Way `way` of reading a bias as the padding of keys and a rest: a sum of both, or the rest where a key is seen. False if it is none. */
static bool take_apart(const packing *p, graph_value *bias, int way, graph_value **padding, graph_value **rest) {
    const graph_node *n = bias->producer;
    if (way < 2) {
        if (!graph_is_op(n, "", "Add")) return false;
        *padding = n->inputs[way].value;
        *rest = n->inputs[!way].value;
        return true;
    }
    if (!graph_is_op(n, "", "Where") || !n->inputs[2].value->constant) return false;
    const float zero = 0;
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .data = (void *)(uintptr_t)&zero, .bytes = sizeof zero};
    graph_value *none = graph_add_constant(p->g, "zero", &t, true);
    *rest = n->inputs[1].value;
    *padding =
        none ? emit(p, bias->producer, "", "Where", (graph_value *[]){n->inputs[0].value, none, n->inputs[2].value}, 3, bias->name) : NULL;
    return *padding != NULL;
}

/* Whether bias is the padding of keys by the mask, or that and a rest of pairs. */
static bool read_bias(const packing *p, graph_value *bias, graph_value *mask, seen_bias *seen, char *why, size_t capacity) {
    graph_value *padding, *rest;
    char other[200];
    *seen = (seen_bias){.bias = bias};
    if (pass_is_key_padding(p->ctx, bias, mask, pass_mode_of(p->ctx)->queries, &seen->window, why, capacity))
        return true;
    for (int way = 0; way < 3; way++) {
        if (!take_apart(p, bias, way, &padding, &rest) || !is_of_pairs(rest, mask)) continue;
        while (graph_is_op(rest->producer, "", "Expand") && is_of_pairs(rest->producer->inputs[0].value, mask))
            rest = rest->producer->inputs[0].value; /* once, and not for every text */
        if (!pass_is_key_padding(p->ctx, padding, mask, pass_mode_of(p->ctx)->queries, &seen->window, other,
                                 sizeof other))
            continue;
        seen->rest = rest;
        return true;
    }
    return false;
}

static bool is_mask_of(packing *p, graph_value *mask, char *why, size_t capacity) {
    p->n_biases = 0;
    for (graph_node *n = p->g->first; n; n = n->next) {
        op_attention a;
        if (!op_attention_get(n, &a)) continue;
        graph_value *bias = a.bias;
        if (!bias && a.causal) continue; /* tokens come first: none sees what pads */
        if (!bias) return snprintf(why, capacity, "attention at %s masks no keys", n->name), false;
        if (find_bias(p, bias)) continue;
        if (p->n_biases == BIASES) return snprintf(why, capacity, "attentions have more than %d different biases", BIASES), false;
        char detail[200];
        seen_bias *seen = &p->biases[p->n_biases];
        if (!read_bias(p, bias, mask, seen, detail, sizeof detail))
            return snprintf(why, capacity, "the bias of attention at %s is not the padding of keys by %s: %s", n->name, mask->name, detail),
                   false;
        p->n_biases++;
    }
    return true;
}

static graph_value *find_mask(packing *p, char *why, size_t capacity) {
    pass_context *ctx = p->ctx;
    char reason[360];
    size_t noted = ctx->notes ? ctx->notes->text.length : 0;
    snprintf(why, capacity, "no input of shape [batch, seq] is known as the padding mask of every attention");
    for (int i = 0; i < ctx->g->n_inputs; i++) {
        graph_value *v = ctx->g->inputs[i];
        if (!is_candidate(v)) continue;
        bool read = false;
        for (graph_node *n = ctx->g->first; n && !read; n = n->next) {
            op_attention a;
            read = op_attention_get(n, &a) && a.bias && pass_needs(ctx, a.bias, v);
            read |= graph_is_op(n, "nib", "Pool") && n->inputs[1].value == v; /* all there is, of a graph without attention */
        }
        if (read && is_mask_of(p, v, reason, sizeof reason)) {
            if (ctx->notes) ctx->notes->text.length = noted; /* why others are not it matters only where none is */
            return v;
        }
        if (read) pass_note(ctx, "%s", reason);
    }
    return NULL;
}

/* A bias that is made of packed values, or NULL. made: by value id, 0 at first. */
static const graph_value *bias_of_packed(const packing *p, uint8_t *made) {
    memcpy(made, p->packed, (size_t)p->limit);
    pass_mark_computed(p->g, made, NULL);
    for (int i = 0; i < p->n_biases; i++)
        if (p->biases[i].rest && made[p->biases[i].rest->id]) return p->biases[i].rest;
    return NULL;
}

/* ---- rewriting */

/* Pack(v), v brought to the full grid first if it is only broadcast to it. `width` 0: a [B, S] of ids. */
static graph_value *rows_of(packing *p, graph_node *before, graph_value *v, graph_dim width) {
    if (v->id < p->limit && p->as_rows[v->id]) return p->as_rows[v->id];
    graph_value *full = v;
    int rank = width ? 3 : 2;
    if (v->type.rank != rank || v->type.dims[0] != p->b || v->type.dims[1] != p->s) {
        graph_value *shape = p->grid;
        int64_t c;
        if (width) {
            if (!graph_dim_is_const(width, &c)) return NULL;
            graph_value *last = graph_const_i64(p->g, "width", &c, 1), *parts[2] = {p->grid, last};
            shape = last ? emit(p, before, "", "Concat", parts, 2, "grid") : NULL;
            if (!shape || graph_set_int(shape->producer, "axis", 0) != NIB_OK ||
                op_infer_node(p->g, shape->producer, p->ctx->err) != NIB_OK)
                return NULL;
        }
        full = emit(p, before, "", "Expand", (graph_value *[]){v, shape}, 2, v->name);
        if (!full) return NULL;
    }
    graph_value *rows = emit(p, before, "nib", "Pack", (graph_value *[]){full, p->mask}, 2, v->name);
    if (rows && v->id < p->limit) p->as_rows[v->id] = rows;
    return rows;
}

/* i32 [T]: the column of the mask that each row had. Made when the first window asks for it. */
static graph_value *columns_of_rows(packing *p) {
    if (p->columns) return p->columns;
    graph_node *before = p->grid->producer->next;
    int64_t zero = 0, one = 1;
    graph_value *z = graph_const_i64(p->g, "zero", &zero, -1), *o = graph_const_i64(p->g, "one", &one, -1);
    graph_value *axis = graph_const_i64(p->g, "axis", &zero, 1);
    graph_value *size = o ? emit(p, before, "", "Gather", (graph_value *[]){p->grid, o}, 2, "columns") : NULL;
    graph_value *range = z && size ? emit(p, before, "", "Range", (graph_value *[]){z, size, o}, 3, "columns") : NULL;
    graph_value *row = range && axis ? emit(p, before, "", "Unsqueeze", (graph_value *[]){range, axis}, 2, "columns") : NULL;
    graph_value *narrow = row ? pass_emit(p->ctx, before, "", "Cast", &row, 1, "columns") : NULL;
    if (!narrow || graph_set_int(narrow->producer, "to", NIB_DTYPE_I32) != NIB_OK ||
        op_infer_node(p->g, narrow->producer, p->ctx->err) != NIB_OK)
        return NULL;
    return p->columns = rows_of(p, before, narrow, NULL);
}

/* Both windows hold: the bias's and what the attention had of its own. */
static int64_t narrower(int64_t own, int64_t other) { return own < 0 || (other >= 0 && other < own) ? other : own; }

/* Whatever counts in i - j counts in columns of the mask: rows stand closer where the mask has holes. */
static nib_status pack_attention(packing *p, graph_node *n, op_attention *a, graph_value **y) {
    const seen_bias *seen = a->bias ? find_bias(p, a->bias) : NULL; /* is_mask_of has seen all */
    graph_value **const rows[] = {&a->q, &a->k, &a->v};
    for (size_t i = 0; i < BASE_COUNT(rows); i++)
        if (*rows[i]) *rows[i] = p->as_rows[(*rows[i])->id];
    if (seen) a->left = narrower(a->left, seen->window.left);
    if (seen) a->right = narrower(a->right, seen->window.right);
    bool limited = (seen && seen->rest) || a->left >= 0 || a->right >= 0 || a->causal || op_attention_by_distance(a);
    a->bias = seen ? seen->rest : NULL;
    a->offsets = p->offsets;
    a->positions = limited ? columns_of_rows(p) : NULL;
    if (limited && !a->positions) return base_error_set(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
    return pass_emit_attention(p->ctx, n, a, n->outputs[0]->name, y);
}

static graph_value *packed_operand(packing *p, graph_node *n, int i) {
    graph_value *v = n->inputs[i].value;
    const op_rows rows = op_rows_of(n);
    switch (operand_of(p, n, i, rows)) {
    case OPERAND_PACKED: return p->as_rows[v->id];
    case OPERAND_PARAMETER: return rows == OP_ROWS_ELEMENT ? pass_row_parameter(p->ctx, v) : v;
    default: return rows_of(p, n, v, v->type.dims[2]);
    }
}

static nib_status pack_rows(packing *p, graph_node *n, graph_value **y) {
    nib_status status = NIB_OK;
    graph_value *in[2 * OP_EMBED_MAX] = {NULL};
    bool embed = graph_is_op(n, "nib", "Embed"), rotary = graph_is_op(n, "nib", "Rotary");
    for (int i = 0; i < n->n_inputs; i++) {
        graph_value *v = n->inputs[i].value;
        if (!v) continue;
        if ((embed && i % 2) || (rotary && (i == 1 || i == 2))) in[i] = v;
        else if (embed || (rotary && i == 3)) in[i] = rows_of(p, n, v, NULL);
        else if (rotary) in[i] = is_packed(p, v) ? p->as_rows[v->id] : NULL;
        else in[i] = packed_operand(p, n, i);
        if (!in[i]) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
    }
    *y = pass_emit(p->ctx, n, n->domain, n->op, in, n->n_inputs, n->outputs[0]->name);
    if (!*y) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
    NIB_TRY(pass_copy_attrs(p->ctx, (*y)->producer, n));
    NIB_TRY(op_infer_node(p->g, (*y)->producer, p->ctx->err));
fail:
    return status;
}

static nib_status pack_node(packing *p, graph_node *n) {
    op_attention a;
    graph_value *y = NULL;
    nib_status status = op_attention_get(n, &a) ? pack_attention(p, n, &a, &y) : pack_rows(p, n, &y);
    if (status != NIB_OK) return status;
    p->as_rows[n->outputs[0]->id] = y;
    p->ctx->changes++;
    return NIB_OK;
}

/* A node that stays on the grid, or an output, reads a packed value through Unpack. */
static graph_value *grid_of(packing *p, graph_value *v) {
    if (!p->unpacked[v->id]) {
        graph_node *after = p->as_rows[v->id]->producer->next;
        p->unpacked[v->id] = emit(p, after, "nib", "Unpack", (graph_value *[]){p->as_rows[v->id], p->mask}, 2, v->name);
    }
    return p->unpacked[v->id];
}

static nib_status leave_grid(packing *p, graph_node *n) {
    nib_status status = NIB_OK;
    if (graph_is_op(n, "nib", "Pool") && is_packed(p, n->inputs[0].value) && n->inputs[1].value == p->mask &&
        !graph_attr_int(n, "packed", 0)) {
        graph_set_input(n, 0, p->as_rows[n->inputs[0].value->id]);
        graph_set_input(n, 1, p->offsets);
        NIB_TRY(graph_set_int(n, "packed", 1));
        return NIB_OK;
    }
    if (graph_is_op(n, "nib", "Pick") && is_packed(p, n->inputs[0].value)) {
        graph_value *in[3] = {p->as_rows[n->inputs[0].value->id], n->inputs[1].value, p->offsets};
        graph_value *y = pass_emit(p->ctx, n, "nib", "Pick", in, 3, n->outputs[0]->name);
        if (!y) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
        NIB_TRY(graph_set_int(y->producer, "packed", 1));
        NIB_TRY(op_infer_node(p->g, y->producer, p->ctx->err));
        return pass_replace(p->ctx, n->outputs[0], y);
    }
    for (int i = 0; i < n->n_inputs; i++) {
        graph_value *v = n->inputs[i].value;
        if (!is_packed(p, v)) continue;
        graph_value *full = grid_of(p, v);
        if (!full) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
        graph_set_input(n, i, full);
    }
fail:
    return status;
}

static nib_status rewrite(packing *p) {
    nib_status status = NIB_OK;
    graph *g = p->g;
    p->offsets = emit(p, g->first, "nib", "Offsets", &p->mask, 1, "offsets");
    p->grid = emit(p, g->first, "", "Shape", &p->mask, 1, "grid");
    if (!p->offsets || !p->grid) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->n_outputs && n->outputs[0] && is_packed(p, n->outputs[0])) NIB_TRY(pack_node(p, n));
    }
    for (graph_node *n = g->first; n; n = n->next) {
        bool replaced = n->n_outputs && n->outputs[0] && is_packed(p, n->outputs[0]);
        if (!replaced && !graph_is_op(n, "nib", "Unpack")) NIB_TRY(leave_grid(p, n));
    }
    for (int i = 0; i < g->n_outputs; i++) {
        graph_value *v = g->outputs[i];
        if (!is_packed(p, v)) continue;
        graph_value *full = grid_of(p, v);
        if (!full) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
        NIB_TRY(pass_replace(p->ctx, v, full));
    }
    NIB_TRY(op_infer_graph(g, p->ctx->err));
fail:
    return status;
}

/* Whether everything that attention reads is rows: *yes, or a note says why not. Fills p. */
static nib_status prove(packing *p, base_arena *arena, bool *yes) {
    nib_status status = NIB_OK;
    char why[360];
    *yes = false;
    p->mask = find_mask(p, why, sizeof why);
    if (!p->mask) {
        pass_note(p->ctx, "batches stay padded: %s", why);
        return NIB_OK;
    }
    p->limit = p->g->value_limit;
    p->b = p->mask->type.dims[0];
    p->s = p->mask->type.dims[1];
    p->packed = base_arena_calloc(arena, (size_t)p->limit + 1, 1);
    p->as_rows = base_arena_calloc(arena, (size_t)p->limit + 1, sizeof *p->as_rows);
    p->unpacked = base_arena_calloc(arena, (size_t)p->limit + 1, sizeof *p->unpacked);
    uint8_t *made = base_arena_calloc(arena, (size_t)p->limit + 1, 1);
    if (!p->packed || !p->as_rows || !p->unpacked || !made) NIB_FAIL(p->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while packing");
    for (graph_node *n = p->g->first; n; n = n->next) {
        if (packs(p, n)) p->packed[n->outputs[0]->id] = 1;
        else if (graph_is_op(n, "nib", "Attention")) {
            pass_note(p->ctx, "batches stay padded: attention at %s reads rows that are not row-wise along batch and sequence", n->name);
            return NIB_OK;
        }
    }
    const graph_value *bias = bias_of_packed(p, made);
    if (bias) pass_note(p->ctx, "batches stay padded: the bias %s is made of rows", bias->name);
    *yes = !bias;
fail:
    return status;
}

static void note_reach(pass_context *ctx, const graph_node *at) {
    const char *type = at ? at->op : "an input", *name = at ? at->name : "";
    if (ctx->reach == PASS_REACH_PADDING)
        pass_note(ctx, "texts of one length go together: padding reaches the output at %s %s", type, name);
    if (ctx->reach == PASS_REACH_NEIGHBOURS)
        pass_note(ctx, "texts go one at a time: it is not proven that no other text reaches the output at %s %s", type, name);
}

/* Sizes of the inputs, of which packing has not found the mask. */
static void find_sizes(packing *p) {
    for (int i = 0; i < p->g->n_inputs && !p->b; i++) {
        const graph_type *t = &p->g->inputs[i]->type;
        if (t->rank == 2) p->b = t->dims[0], p->s = t->dims[1];
    }
}

nib_status pass_pack(pass_context *ctx) {
    nib_status status = NIB_OK;
    packing p = {.ctx = ctx, .g = ctx->g};
    const graph_node *at = NULL;
    bool rows = false;
    base_arena arena;
    base_arena_init(&arena, ctx->g->heap);
    if (pass_mode_of(ctx)->packs && ctx->level >= 2) NIB_TRY(prove(&p, &arena, &rows));
    find_sizes(&p);
    NIB_TRY(pass_follow_texts(ctx, p.b, p.s, rows ? p.packed : NULL, &ctx->reach, &at));
    /* A text that the file pads to a fixed length has that padding in its values: rows without it have others. */
    const bool fixed = graph_dim_is_const(p.s, NULL), packs = rows && !(fixed && ctx->reach != PASS_REACH_NOTHING);
    if (rows && !packs)
        pass_note(ctx, "batches stay padded: padding to the fixed length reaches the output at %s %s", at ? at->op : "",
                  at ? at->name : "");
    if (!packs && ctx->reach == PASS_REACH_NOTHING) ctx->reach = PASS_REACH_PADDING; /* sums of other lengths have other bits */
    else note_reach(ctx, at);
    if (packs) NIB_TRY(rewrite(&p));
    ctx->packed = packs;
    for (int i = 0; i < p.n_biases && p.mask; i++) { /* beyond its table the model fails, packed or not */
        const int64_t longest = p.biases[i].window.longest;
        if (longest && (!ctx->longest || longest < ctx->longest)) ctx->longest = longest;
    }
    if (packs) pass_note(ctx, "batches are packed: %s is the padding mask of every attention", p.mask->name);
fail:
    base_arena_free(&arena);
    return status;
}
