/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph wants and gives. In: the source graph. Out: roles of its inputs, the output to use, and the reasons, which
 * `nib inspect` prints. What an input is for is read from what the graph does with it; names decide only where that leaves
 * a choice.
 */
#include "model.h"
#include <stdio.h>
#include <string.h>

/* Operators that look rows of a table [rows, width] up: which input has the indices, which the table. */
static const struct {
    const char *domain, *type;
    int ids, table;
} lookups[] = {
    {"", "Gather", 1, 0},
    {"com.microsoft", "GatherBlockQuantized", 1, 0},
    {"com.microsoft", "EmbedLayerNormalization", 0, 2},
    {"com.microsoft", "EmbedLayerNormalization", 1, 4},
    {"com.microsoft", "EmbedLayerNormalization", 8, 3},
};

/* Rows of the table that n looks up with its input `index`; 0: none, or not known. */
static int64_t looked_up(const graph_node *n, int index) {
    for (size_t i = 0; i < BASE_COUNT(lookups); i++) {
        if (lookups[i].ids != index || lookups[i].table >= n->n_inputs || !graph_is_op(n, lookups[i].domain, lookups[i].type)) continue;
        const graph_value *table = n->inputs[lookups[i].table].value;
        int64_t rows;
        if (table && (graph_is_op(table->producer, "", "Cast") || graph_is_op(table->producer, "", "DequantizeLinear")))
            table = table->producer->inputs[0].value; /* stored in half precision, or in 8 bits */
        bool of_rows = graph_attr_int(n, "axis", 0) == 0 && graph_attr_int(n, "gather_axis", 0) == 0;
        if (of_rows && table && table->type.rank == 2 && graph_dim_is_const(table->type.dims[0], &rows)) return rows;
    }
    return 0;
}

/* Operators that hand indices on. */
static const char *const through[] = {"Cast", "Identity", "Slice", "Unsqueeze", "Squeeze", "Reshape", "Expand"};

/* Rows of the smallest and largest constant table that this value indexes, looking through those. */
static void tables_of(const graph_value *v, int depth, int64_t *least, int64_t *most) {
    for (const graph_use *u = v->uses; u && depth < 6; u = u->next) {
        const graph_node *n = u->node;
        int64_t rows = looked_up(n, u->index);
        if (rows > 0 && rows < *least) *least = rows;
        if (rows > *most) *most = rows;
        for (size_t i = 0; i < BASE_COUNT(through); i++)
            if (u->index == 0 && graph_is_op(n, "", through[i]) && n->outputs[0]) tables_of(n->outputs[0], depth + 1, least, most);
    }
}

/* Whether `index` is v, seen through the same operators. */
static bool indexes(const graph_value *v, const graph_value *index, int depth) {
    const graph_node *n = index->producer;
    if (v == index) return true;
    for (size_t i = 0; n && depth < 6 && i < BASE_COUNT(through); i++)
        if (graph_is_op(n, "", through[i]) && n->inputs[0].value && indexes(v, n->inputs[0].value, depth + 1))
            return true;
    return false;
}

int64_t model_input_below(const nib_model *m, int i) {
    int64_t least = INT64_MAX, most = 0;
    if (m->compiled) return i < m->compiled->n_below ? m->compiled->below[i] : 0;
    tables_of(m->source->inputs[i], 0, &least, &most);
    return most > 0 ? least : 0;
}

void model_tables_of(const graph_value *v, int64_t *least, int64_t *most) {
    *least = INT64_MAX;
    *most = 0;
    tables_of(v, 0, least, most);
}

static bool has(const char *name, const char *part) { return strstr(name, part) != NULL; }

/* ---------------------------------------------------------------- what a looked-up row is for */

enum { MARK_IDS = 1, MARK_OTHER = 2 };

/* Marks what a value looks up, through the operators that tables_of looks through. */
static void mark_lookups(const graph_value *v, uint8_t mark, uint8_t *marks) {
    for (const graph_node *n = v->owner->first; n; n = n->next)
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_value *in = n->inputs[i].value;
            if (in && looked_up(n, i) > 0 && n->n_outputs > 0 && n->outputs[0] && indexes(v, in, 0))
                marks[n->outputs[0]->id] |= mark;
        }
}

/* Whether rows that `other` looks up are added to those of the ids: then they say something of each token. */
static bool is_added_to_rows(const graph *g, const graph_value *ids, const graph_value *other) {
    static const char *const adding[] = {
        "Add",       "Sum",     "Identity", "Cast",           "Dropout",         "Mul", "Div", "Reshape",
        "Unsqueeze", "Squeeze", "Expand",   "QuantizeLinear", "DequantizeLinear"};
    uint8_t *marks = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    bool both = false;
    if (!marks) return false;
    mark_lookups(ids, MARK_IDS, marks);
    mark_lookups(other, MARK_OTHER, marks);
    for (const graph_node *n = g->first; n && !both; n = n->next) {
        uint8_t *to = n->n_outputs > 0 && n->outputs[0] ? &marks[n->outputs[0]->id] : NULL;
        bool adds = graph_is_op(n, "com.microsoft", "SkipLayerNormalization");
        for (size_t i = 0; i < BASE_COUNT(adding); i++) adds |= graph_is_op(n, "", adding[i]);
        for (int i = 0; to && adds && i < n->n_inputs; i++)
            if (n->inputs[i].value && n->inputs[i].value->owner == g) *to |= marks[n->inputs[i].value->id];
        both = to && *to == (MARK_IDS | MARK_OTHER);
    }
    base_free(g->heap, marks);
    return both;
}

/* Known by name: what is left of a name without a prefix, as in "input.position_ids". */
static bool is_named(const char *name, const char *const *names, size_t n) {
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; i < n; i++)
        if (strcmp(dot ? dot + 1 : name, names[i]) == 0) return true;
    return false;
}

/* One pair of symbols for all [batch, seq] inputs: exporters name them apart, but no encoder means them to differ. */
static void unify_shapes(graph *g, const graph_value *ids) {
    for (int i = 0, n = graph_required_inputs(g); i < n; i++) {
        graph_value *v = g->inputs[i];
        if (v == ids || v->type.rank != 2) continue;
        for (int k = 0; k < 2; k++)
            if (!v->type.dims[k] || graph_dim_is_symbol(v->type.dims[k])) v->type.dims[k] = ids->type.dims[k];
    }
}

static bool is_grid_input(const graph_value *v) {
    nib_dtype t = v->type.dtype;
    return v->type.rank == 2 && (t == NIB_DTYPE_I64 || t == NIB_DTYPE_I32 || t == NIB_DTYPE_BOOL || t == NIB_DTYPE_F32 ||
                                 t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8);
}

static int find_ids(const graph *g) {
    int best = -1;
    int64_t best_rows = 0;
    for (int i = 0, n = graph_required_inputs(g); i < n; i++) {
        int64_t least = INT64_MAX, most = 0;
        if (!is_grid_input(g->inputs[i])) continue;
        tables_of(g->inputs[i], 0, &least, &most);
        if (most > best_rows) best = i, best_rows = most;
    }
    return best;
}

/* Which role an input has, by use or by a known name; NULL: none. most: rows of the largest table that it looks up. */
static int *role_of(run_roles *r, const graph *g, const graph_value *ids, const graph_value *v, int64_t most) {
    static const char *const positions[] = {"position_ids", "position_id", "positions", "position", "pos_ids", "pos"};
    if (has(v->name, "type") || has(v->name, "segment")) return &r->types;
    if (is_named(v->name, positions, BASE_COUNT(positions))) return &r->positions;
    if (most == 0) return &r->mask;
    if (!is_added_to_rows(g, ids, v)) return NULL;
    return most > 4 ? &r->positions : &r->types; /* a table of 512 places, or of 2 segments */
}

void model_find_roles(nib_model *m) {
    graph *g = m->source;
    run_roles *r = &m->roles;
    *r = (run_roles){.ids = -1, .mask = -1, .types = -1, .positions = -1, .skip = -1};
    r->ids = find_ids(g);
    if (r->ids < 0) {
        snprintf(m->cannot_embed, sizeof m->cannot_embed, "no input [batch, seq] of the graph looks rows up in a table of tokens");
        return;
    }
    graph_value *ids = g->inputs[r->ids];
    for (int k = 0; k < 2; k++)
        if (!ids->type.dims[k]) ids->type.dims[k] = graph_dim_symbol(g->symbols, k ? "seq" : "batch");
    graph_dim_is_const(ids->type.dims[0], &r->fixed_batch);
    graph_dim_is_const(ids->type.dims[1], &r->fixed_seq);
    for (int i = 0, n = graph_required_inputs(g); i < n; i++) {
        const graph_value *v = g->inputs[i];
        int64_t least = INT64_MAX, most = 0;
        if (i == r->ids) continue;
        if (!is_grid_input(v)) {
            snprintf(m->cannot_embed, sizeof m->cannot_embed, "input %.80s is neither ids, mask, types nor positions of shape [batch, seq]",
                     v->name);
            return;
        }
        tables_of(v, 0, &least, &most);
        int *role = role_of(r, g, ids, v, most);
        if (!role) {
            snprintf(m->cannot_embed, sizeof m->cannot_embed,
                     "input %.80s is for nothing that nib knows: rows that it looks up are not added to those of "
                     "%.80s, nor is it named as "
                     "positions or segments",
                     v->name, ids->name);
            return;
        }
        if (*role >= 0) {
            snprintf(m->cannot_embed, sizeof m->cannot_embed, "inputs %.80s and %.80s seem to be for the same", g->inputs[*role]->name,
                     v->name);
            return;
        }
        *role = i;
    }
    unify_shapes(g, ids);
}

static graph_value *named_output(const graph *g, const char *name) {
    for (int i = 0; i < g->n_outputs; i++)
        if (strcmp(g->outputs[i]->name, name) == 0) return g->outputs[i];
    return NULL;
}

static bool is_real(nib_dtype t) { return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16; }

static graph_value *output_of_rank(const graph *g, int rank) {
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i]->type.rank == rank && is_real(g->outputs[i]->type.dtype)) return g->outputs[i];
    return NULL;
}

nib_status model_choose_output(nib_model *m, const char *wanted, nib_error *err) {
    const graph *g = m->source;
    graph_value *v = NULL;
    const char *why = "";
    static const char *const token_outputs[] = {"last_hidden_state", "token_embeddings", "hidden_states", "encoder_output"};
    if (wanted) {
        v = named_output(g, wanted);
        if (!v) {
            base_str names;
            base_str_init(&names, &m->runtime->heap);
            for (int i = 0; i < g->n_outputs; i++) base_str_printf(&names, "%s%s", i ? ", " : "", g->outputs[i]->name);
            nib_status status =
                base_error_set(err, NIB_NOT_FOUND, "the model has no output %s; it has %s", wanted, names.data ? names.data : "none");
            base_str_free(&names);
            return status;
        }
        why = "asked for";
    }
    if (!v && (v = named_output(g, "sentence_embedding")) && v->type.rank == 2) why = "by its name";
    else if (!wanted) v = NULL;
    for (size_t i = 0; !v && i < BASE_COUNT(token_outputs); i++)
        if ((v = named_output(g, token_outputs[i])) != NULL) why = "by its name, one row a token";
    if (!v && (v = output_of_rank(g, 3))) why = "the first of shape [batch, seq, width]";
    if (!v && (v = output_of_rank(g, 2))) why = "the first of shape [batch, width]";
    if (!v || (v->type.rank != 2 && v->type.rank != 3)) {
        snprintf(m->cannot_embed, sizeof m->cannot_embed, "no output of shape [batch, seq, width] or [batch, width] of f32");
        return NIB_OK;
    }
    snprintf(m->output_name, sizeof m->output_name, "%s", v->name);
    m->pooled = v->type.rank == 2;
    snprintf(m->output_why, sizeof m->output_why, "%s; %s", why, m->pooled ? "already pooled, used as it is" : "pooled");
    return NIB_OK;
}

/* ones like ids, for a graph without a mask input */
static graph_value *all_ones(graph *g, graph_value *ids) {
    int64_t one = 1;
    if (graph_opset_version(g, "") < 9) { /* before there is ConstantOfShape */
        graph_value *same = graph_emit(g, NULL, "", "Equal", (graph_value *[]){ids, ids}, 2, "ids_same");
        graph_value *cast = same ? graph_emit(g, NULL, "", "Cast", &same, 1, "all_tokens") : NULL;
        return cast && graph_set_int(cast->producer, "to", NIB_DTYPE_I64) == NIB_OK ? cast : NULL;
    }
    graph_tensor *t = base_arena_calloc(g->arena, 1, sizeof *t);
    int64_t *data = base_arena_alloc(g->arena, sizeof *data);
    graph_value *shape = graph_emit(g, NULL, "", "Shape", &ids, 1, "ids_shape");
    graph_value *ones = shape ? graph_emit(g, NULL, "", "ConstantOfShape", &shape, 1, "all_tokens") : NULL;
    if (!t || !data || !ones) return NULL;
    *data = one;
    *t = (graph_tensor){.dtype = NIB_DTYPE_I64, .rank = 1, .dims = {1}, .data = data, .bytes = sizeof one};
    graph_attr a = {.name = "value", .kind = GRAPH_ATTR_TENSOR, .u.tensor = t};
    return graph_set_attr(ones->producer, &a) == NIB_OK ? ones : NULL;
}

/* How many rows of each text belong to its prompt; a graph input after all others. */
static graph_value *skip_input(nib_model *m, graph *g) {
    graph_value *v = graph_add_value(g, "nib.prompt_rows");
    if (!v) return NULL;
    v->type = (graph_type){.kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_I64, .rank = 1, .dims = {graph_dim_const(g->symbols, 1)}};
    if (graph_add_input(g, v) != NIB_OK) return NULL;
    m->roles.skip = g->n_inputs - 1;
    return v;
}

static graph_value *normalized(graph *g, graph_value *v) {
    v = graph_emit(g, NULL, "", "LpNormalization", &v, 1, "embedding");
    return v && graph_set_int(v->producer, "axis", -1) == NIB_OK && graph_set_int(v->producer, "p", 2) == NIB_OK ? v
                                                                                                                 : NULL;
}

/* As many as there are, up to so many. */
static graph_value *first_columns(graph *g, graph_value *v, int64_t columns) {
    const int64_t zero = 0, one = 1;
    if (graph_opset_version(g, "") < 10) { /* lists were attributes */
        v = graph_emit(g, NULL, "", "Slice", &v, 1, "cut");
        return v && graph_set_ints(v->producer, "starts", &zero, 1) == NIB_OK &&
                       graph_set_ints(v->producer, "ends", &columns, 1) == NIB_OK &&
                       graph_set_ints(v->producer, "axes", &one, 1) == NIB_OK
                   ? v
                   : NULL;
    }
    graph_value *in[4] = {v, graph_const_i64(g, "starts", &zero, 1), graph_const_i64(g, "ends", &columns, 1),
                          graph_const_i64(g, "axes", &one, 1)};
    return in[1] && in[2] && in[3] ? graph_emit(g, NULL, "", "Slice", in, 4, "cut") : NULL;
}

nib_status model_add_suffix(nib_model *m, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    graph_value *v = named_output(g, m->output_name);
    if (!v) NIB_FAIL(err, NIB_INTERNAL, "output %s was lost", m->output_name);
    if (v->type.rank == 3 && m->pooling != NIB_POOLING_NONE) {
        graph_value *mask = m->roles.mask >= 0 ? g->inputs[m->roles.mask] : all_ones(g, g->inputs[m->roles.ids]);
        graph_value *skip = m->settings.excludes_prompt ? skip_input(m, g) : NULL;
        if (m->settings.excludes_prompt && !skip) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
        v = mask ? graph_emit(g, NULL, "nib", "Pool", (graph_value *[]){v, mask, skip}, skip ? 3 : 2, "pooled") : NULL;
        if (!v || graph_set_string(v->producer, "mode", nib_pooling_name(m->pooling)) != NIB_OK)
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    /* A module of the folder normalizes before the cut, whoever calls encode with normalize_embeddings behind it. */
    if (m->normalize_first) v = normalized(g, v);
    if (v && m->settings.truncate_dim > 0 && m->pooling != NIB_POOLING_NONE)
        v = first_columns(g, v, m->settings.truncate_dim);
    if (v && m->normalize) v = normalized(g, v);
    if (!v) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < g->n_outputs; i++) g->outputs[i]->is_output = false;
    g->n_outputs = 0;
    NIB_TRY(graph_add_output(g, v));
    op_resolve(g);
    NIB_TRY(op_infer_graph(g, err));
fail:
    return status;
}
