/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph wants. In: the source graph. Out: roles of its inputs, and the reasons, which `nib inspect` prints. What
 * an input is for is read from what the graph does with it; names decide only where that leaves a choice.
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
    *r = (run_roles){.ids = -1, .mask = -1, .types = -1, .positions = -1, .skip = -1, .places = -1};
    r->ids = find_ids(g);
    if (r->ids < 0) {
        snprintf(m->no_texts, sizeof m->no_texts,
                 "no input [batch, seq] of the graph looks rows up in a table of tokens");
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
            snprintf(m->no_texts, sizeof m->no_texts,
                     "input %.80s is neither ids, mask, types nor positions of shape [batch, seq]", v->name);
            return;
        }
        tables_of(v, 0, &least, &most);
        int *role = role_of(r, g, ids, v, most);
        if (!role) {
            snprintf(m->no_texts, sizeof m->no_texts,
                     "input %.80s is for nothing that nib knows: rows that it looks up are not added to those of "
                     "%.80s, nor is it named as "
                     "positions or segments",
                     v->name, ids->name);
            return;
        }
        if (*role >= 0) {
            snprintf(m->no_texts, sizeof m->no_texts, "inputs %.80s and %.80s seem to be for the same",
                     g->inputs[*role]->name, v->name);
            return;
        }
        *role = i;
    }
    unify_shapes(g, ids);
}
