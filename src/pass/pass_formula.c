/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading a formula. In: the value that is added to scores. Out: terms (pass_formula_terms.h), or why there are none.
 *
 * A value is read at coordinates, one term for each of its axes: a bias [B, H, S, S] at (text, head, i, j). An index operator hands its
 * input other coordinates, and an element-wise operator makes a term of its inputs'. A value is read once for the same coordinates.
 */
#include "pass_formula_terms.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_READ 512            /* values at coordinates */
#define MAX_DEPTH 200           /* of the subgraph */
#define MAX_LOOKED_AT (1 << 25) /* elements of constants, of one mask */
#define MAX_DIAGONALS (1 << 16) /* of all tables */

typedef struct coordinates {
    int rank, at[GRAPH_MAX_RANK]; /* terms */
} coordinates;

typedef struct read_value {
    const graph_value *v;
    coordinates at;
    int term;
} read_value;

typedef struct reader {
    base_arena *arena;
    graph *g;
    pass_formula *f;
    const graph_value *mask;
    graph_dim tokens; /* S */
    int64_t fixed;    /* S where the file fixes it; 0: free */
    bool tokens_first;
    pass_queries queries;
    read_value *seen; /* [MAX_READ] */
    int n_seen, depth;
    int64_t looked_at, diagonals; /* so many elements of constants, so many diagonals of tables */
    char *why;
    size_t capacity;
} reader;

static int read_at(reader *r, const graph_value *v, const coordinates *at);

static int no(reader *r, const char *what, const char *name) {
    if (!r->why[0]) snprintf(r->why, r->capacity, "%s%s%.80s", what, name[0] ? " " : "", name);
    return -1;
}

/* ---------------------------------------------------------------- terms */

static const term *term_at(const reader *r, int i) { return &r->f->terms[i]; }

static bool as_place(const term *t, int64_t at[4]) {
    if (t->kind == TERM_PLACE) return memcpy(at, t->at, sizeof t->at), true;
    if (t->kind != TERM_CONSTANT || fabs(t->value) > 1e15 || t->value != floor(t->value)) return false;
    memset(at, 0, 4 * sizeof *at);
    at[3] = (int64_t)t->value;
    return true;
}

static bool same_term(const term *a, const term *b) {
    return a->kind == b->kind && a->f32 == b->f32 && a->whole == b->whole && memcmp(a->in, b->in, sizeof a->in) == 0 &&
           memcmp(&a->value, &b->value, sizeof a->value) == 0 && memcmp(a->at, b->at, sizeof a->at) == 0 && a->table == b->table;
}

/* A term of constants is a constant. */
static void fold(const reader *r, term *t) {
    pass_interval of[3];
    term local = *t;
    if (t->kind < TERM_ADD) return;
    for (int i = 0; i < 3; i++) {
        if (t->in[i] < 0) continue;
        if (term_at(r, t->in[i])->kind != TERM_CONSTANT) return;
        of[i] = (pass_interval){term_at(r, t->in[i])->value, term_at(r, t->in[i])->value};
        local.in[i] = i;
    }
    pass_interval x = term_range(&local, of, 0, 0, (pass_pair){true, true});
    if (x.least == x.most) *t = (term){.kind = TERM_CONSTANT, .in = {-1, -1, -1}, .value = x.least};
}

static int put(reader *r, term t) {
    if (t.kind == TERM_PLACE && !t.at[0] && !t.at[1] && !t.at[2])
        t = (term){.kind = TERM_CONSTANT, .in = {-1, -1, -1}, .value = (double)t.at[3]};
    fold(r, &t);
    for (int i = 0; i < r->f->n; i++)
        if (same_term(term_at(r, i), &t)) return i;
    if (r->f->n == MAX_TERMS) return no(r, "its formula is too long", "");
    r->f->terms[r->f->n] = t;
    return r->f->n++;
}

static int constant(reader *r, double value) { return put(r, (term){.kind = TERM_CONSTANT, .in = {-1, -1, -1}, .value = value}); }

static int leaf(reader *r, term_kind kind) { return put(r, (term){.kind = kind, .in = {-1, -1, -1}}); }

static int place(reader *r, const int64_t at[4]) {
    term t = {.kind = TERM_PLACE, .in = {-1, -1, -1}};
    for (int k = 0; k < 4; k++) {
        if (at[k] > (1ll << 40) || at[k] < -(1ll << 40)) return no(r, "its formula has numbers too large", "");
        t.at[k] = at[k];
    }
    if (r->fixed) t.at[3] += t.at[2] * r->fixed, t.at[2] = 0;
    return put(r, t);
}

/* S, or a size that differs from it by a constant. */
static int size_term(reader *r, graph_dim d) {
    int64_t c;
    if (graph_dim_is_const(d, &c)) return constant(r, (double)c);
    if (d && graph_dim_is_const(graph_dim_sub(r->g->symbols, d, r->tokens), &c)) return place(r, (int64_t[]){0, 0, 1, c});
    return no(r, "it reads a size that is not the number of tokens", "");
}

/* The least and most of a place over all i, j < S and all S. It is linear in S once i and j are at an end. */
static pass_interval range_of_place(const reader *r, const int64_t at[4]) {
    double most = (double)(at[0] > 0 ? at[0] : 0) + (double)(at[1] > 0 ? at[1] : 0);
    double least = (double)(at[0] < 0 ? at[0] : 0) + (double)(at[1] < 0 ? at[1] : 0);
    pass_interval all = {INFINITY, -INFINITY};
    double sizes[2] = {r->fixed ? (double)r->fixed : 1, (double)r->f->longest};
    for (int i = 0; i < 2; i++) {
        double rest = (double)at[2] * sizes[i] + (double)at[3];
        all.least = fmin(all.least, least * (sizes[i] - 1) + rest);
        all.most = fmax(all.most, most * (sizes[i] - 1) + rest);
    }
    return all;
}

/* Text times S, and that plus a place; -1: none. */
static int row_of(reader *r, term_kind kind, int a, int b) {
    int64_t p[4];
    term t = {.kind = TERM_ROW, .in = {-1, -1, -1}};
    if (!as_place(term_at(r, b), p)) return -1;
    if (kind == TERM_MUL)
        return term_at(r, a)->kind == TERM_TEXT && !p[0] && !p[1] && (p[2] == 1 ? !p[3] : !p[2] && r->fixed && p[3] == r->fixed) ? put(r, t)
                                                                                                                                 : -1;
    if (term_at(r, a)->kind != TERM_ROW) return -1;
    for (int k = 0; k < 4; k++) t.at[k] = term_at(r, a)->at[k] + p[k];
    return put(r, t);
}

static int operation(reader *r, term_kind kind, const graph_value *y, int a, int b, int c) {
    nib_dtype type = y->type.dtype;
    int64_t x[4], z[4], sum[4];
    if (a < 0) return -1;
    if (type == NIB_DTYPE_F16 || type == NIB_DTYPE_BF16) return no(r, "it computes in half precision at", y->name);
    if (b >= 0 && (kind == TERM_MUL || kind == TERM_ADD)) {
        const int row = row_of(r, kind, a, b), turned = row >= 0 ? row : row_of(r, kind, b, a);
        if (turned >= 0) return turned;
    }
    /* Key j is before the text's end: it is a token. */
    if (kind == TERM_LESS && b >= 0 && term_at(r, b)->kind == TERM_LENGTH && as_place(term_at(r, a), x))
        return !x[0] && x[1] == 1 && !x[2] && !x[3] ? leaf(r, TERM_TOKEN) : no(r, "it compares lengths at", y->name);
    bool places = b >= 0 && as_place(term_at(r, a), x) && as_place(term_at(r, b), z);
    if (places && type == NIB_DTYPE_F32) places = llabs(x[3]) < PASS_LONGEST && llabs(z[3]) < PASS_LONGEST; /* f32 counts exactly */
    if (places && (kind == TERM_ADD || kind == TERM_SUB)) {
        for (int k = 0; k < 4; k++) sum[k] = kind == TERM_ADD ? x[k] + z[k] : x[k] - z[k];
        return place(r, sum);
    }
    bool x_constant = places && !x[0] && !x[1] && !x[2], z_constant = places && !z[0] && !z[1] && !z[2];
    if (kind == TERM_MUL && type != NIB_DTYPE_F32 && (x_constant || z_constant)) {
        int64_t factor = x_constant ? x[3] : z[3];
        if (factor > -(1 << 20) && factor < (1 << 20)) {
            for (int k = 0; k < 4; k++) sum[k] = (x_constant ? z[k] : x[k]) * factor;
            return place(r, sum);
        }
    }
    if (places && (kind == TERM_LESS || kind == TERM_EQUAL)) { /* by the difference, which may be decided for every text */
        for (int k = 0; k < 4; k++) sum[k] = x[k] - z[k];
        pass_interval d = range_of_place(r, sum);
        if (kind == TERM_LESS && (d.most < 0 || d.least >= 0)) return constant(r, d.most < 0);
        if (kind == TERM_EQUAL && (d.most < 0 || d.least > 0)) return constant(r, 0);
        a = place(r, sum);
        b = constant(r, 0);
        if (a < 0 || b < 0) return -1;
    }
    bool whole = type != NIB_DTYPE_F32 && type != NIB_DTYPE_F64;
    const term *when = kind == TERM_WHERE ? term_at(r, a) : NULL;
    if (when && when->kind == TERM_BOOL && when->in[0] == c) c = constant(r, 0); /* read only where it is 0 */
    return put(r, (term){.kind = kind, .in = {a, b, c}, .f32 = type == NIB_DTYPE_F32, .whole = whole, .made = y});
}

/* ---------------------------------------------------------------- constants */

static double number(const graph_tensor *t, int64_t i) { return op_number(t, i); }

/* Texts end where a table does. */
static void end_at(reader *r, const int64_t at[4], int64_t size) {
    if (at[0] + at[1] == 1 && at[0] * at[1] == 0 && !at[2] && size - at[3] < r->f->longest) r->f->longest = size - at[3];
}

/* A table [size] whose elements go up or down by the same whole step, at a place. */
static int read_sequence(reader *r, const graph_tensor *t, int64_t size, const int64_t at[4]) {
    double first = number(t, 0), step = number(t, 1) - first;
    int64_t out[4];
    if (step != floor(step) || first != floor(first) || fabs(step) > 1e6 || fabs(first) > 1e12) return -1;
    for (int64_t i = 2; i < size; i++)
        if (number(t, i) != first + step * (double)i) return -1;
    for (int k = 0; k < 4; k++) out[k] = at[k] * (int64_t)step;
    out[3] += (int64_t)first;
    end_at(r, at, size);
    return place(r, out);
}

/* A table [rows, columns] at (i + a, j + b) or turned, whose element depends on row - column alone. */
static int read_diagonals(reader *r, const graph_tensor *t, const int64_t size[2], const int64_t at[2][4], const char *name) {
    const bool turned = at[0][1] == 1;
    const int64_t count = size[0] + size[1] - 1;
    for (int k = 0; k < 2; k++)
        if (at[k][turned ? 1 - k : k] != 1 || at[k][turned ? k : 1 - k] != 0 || at[k][2]) return no(r, "it looks up the table", name);
    if ((r->diagonals += count) > MAX_DIAGONALS) return no(r, "its tables are too large", "");
    double *table = base_arena_alloc(r->arena, (size_t)count * sizeof *table);
    if (!table) return no(r, "out of memory", "");
    for (int64_t k = 0; k < size[0]; k++)
        for (int64_t l = 0; l < size[1]; l++) {
            int64_t d = turned ? l - k + size[0] - 1 : k - l + size[1] - 1; /* i - j, from 0 on */
            double x = number(t, k * size[1] + l);
            if (k == 0 || l == 0) table[d] = x;
            else if (table[d] != x) return no(r, "more than how far apart two tokens are decides in the table", name);
        }
    end_at(r, at[0], size[0]);
    end_at(r, at[1], size[1]);
    int64_t offset = turned ? at[1][3] - at[0][3] + size[0] - 1 : at[0][3] - at[1][3] + size[1] - 1;
    return put(r, (term){.kind = TERM_TABLE, .in = {-1, -1, -1}, .at = {0, 0, 0, offset}, .table = table, .count = count});
}

/* Elements first, first + stride, .. of a table, [count], of which the term says which. */
static int read_list(reader *r, const graph_tensor *t, int64_t first, int64_t stride, int64_t count, int which) {
    if (count > MAX_DIAGONALS - r->diagonals) return no(r, "its tables are too large", "");
    double *table = base_arena_alloc(r->arena, (size_t)count * sizeof *table);
    if (!table) return no(r, "out of memory", "");
    r->diagonals += count;
    for (int64_t i = 0; i < count; i++) table[i] = number(t, first + i * stride);
    return put(r, (term){.kind = TERM_LOOKUP, .in = {which, -1, -1}, .table = table, .count = count});
}

static int read_constant(reader *r, const graph_value *v, const coordinates *at) {
    graph_tensor t = *v->constant;
    int64_t n = graph_tensor_elements(&t), fixed = 0, size[2], place_at[2][4], stride = 0;
    int axes = 0, listed = -1;
    if (n < 1 || n > MAX_LOOKED_AT - r->looked_at || v->packed) return no(r, "it reads the constant", v->name);
    if (nib_dtype_bits(t.dtype) < 8 || t.dtype == NIB_DTYPE_F16 || t.dtype == NIB_DTYPE_BF16)
        return no(r, "it reads the constant", v->name);
    t.data = (void *)(uintptr_t)graph_tensor_aligned(r->arena, &t);
    if (!t.data) return no(r, "out of memory", "");
    r->looked_at += n;
    bool same = true;
    for (int64_t i = 1; i < n && same; i++) same = number(&t, i) == number(&t, 0);
    if (same) return constant(r, number(&t, 0));
    for (int k = 0; k < t.rank; k++) {
        int64_t p[4];
        fixed *= t.dims[k];
        stride *= t.dims[k];
        if (t.dims[k] == 1) continue;
        if (!as_place(term_at(r, at->at[k]), p)) {
            if (listed >= 0) return no(r, "it looks up the table", v->name);
            listed = k;
            stride = 1;
            continue;
        }
        if (!p[0] && !p[1] && !p[2]) {
            if (axes || p[3] < 0 || p[3] >= t.dims[k]) return no(r, "it looks up the table", v->name);
            fixed += p[3];
        } else if (axes < 2 && fixed == 0) {
            memcpy(place_at[axes], p, sizeof p);
            size[axes++] = t.dims[k];
        } else {
            return no(r, "it looks up the table", v->name);
        }
    }
    if (listed >= 0)
        return axes ? no(r, "it looks up the table", v->name)
                    : read_list(r, &t, fixed, stride, t.dims[listed], at->at[listed]);
    if (axes == 0) return constant(r, number(&t, fixed));
    int found =
        axes == 1 ? read_sequence(r, &t, size[0], place_at[0]) : read_diagonals(r, &t, size, (const int64_t(*)[4])place_at, v->name);
    return found < 0 ? no(r, "it looks up the table", v->name) : found;
}

/* ---------------------------------------------------------------- operators that choose elements */

/* Whether axis k of v, counted from the last, is not 1, or of a size that is 1 only where texts have one token. A size that inference does
 * not know, as min(S, 9) against S, is not 1 where an operand's is not. */
static bool spans(const graph_value *v, int k, int depth) {
    if (k >= v->type.rank) return false;
    if (v->type.dims[v->type.rank - 1 - k]) return !graph_dim_is_one(v->type.dims[v->type.rank - 1 - k]);
    const graph_node *n = v->producer;
    bool broadcasts = n && !n->domain[0] && (op_rows_of(n) == OP_ROWS_ELEMENT || graph_is_op(n, "", "Identity"));
    for (int i = 0; broadcasts && depth < 16 && i < n->n_inputs; i++)
        if (n->inputs[i].value && spans(n->inputs[i].value, k, depth + 1)) return true;
    return false;
}

/* Where an operand of that shape is read for an element of what it broadcasts to. */
static bool operand_at(const graph_value *v, const coordinates *of, reader *r, coordinates *at) {
    const int rank = v->type.rank, zero = constant(r, 0);
    *at = (coordinates){.rank = rank};
    if (rank < 0 || rank > of->rank || zero < 0) return false;
    for (int k = 0; k < rank; k++) {
        bool spanned = spans(v, rank - 1 - k, 0);
        if (!spanned && !graph_dim_is_one(v->type.dims[k])) return false;
        at->at[k] = spanned ? of->at[of->rank - rank + k] : zero;
    }
    return true;
}

static int read_operand(reader *r, const graph_value *v, const coordinates *of) {
    coordinates at;
    if (!v || !operand_at(v, of, r, &at)) return no(r, "a shape is not known at", v ? v->name : "");
    return read_at(r, v, &at);
}

/* Reshape, Squeeze, Unsqueeze, where only axes of 1 come or go. */
static int read_view(reader *r, const graph_value *x, const graph_value *y, const coordinates *of) {
    coordinates at = {.rank = x->type.rank};
    int k = 0, zero = constant(r, 0);
    for (int i = 0; i < of->rank; i++) { /* [B, S] laid out flat */
        const term *row = of->at[i] < 0 ? NULL : term_at(r, of->at[i]);
        if (!row || row->kind != TERM_ROW || !r->mask || x->type.rank != 2) continue;
        graph_dim all = graph_dim_mul(r->g->symbols, r->mask->type.dims[0], r->tokens);
        if (x->type.dims[0] != r->mask->type.dims[0] || x->type.dims[1] != r->tokens || !all || y->type.dims[i] != all)
            return no(r, "it reshapes at", y->name);
        const int64_t at_row[4] = {row->at[0], row->at[1], row->at[2], row->at[3]};
        return read_at(r, x, &(coordinates){.rank = 2, .at = {leaf(r, TERM_TEXT), place(r, at_row)}});
    }
    for (int i = 0; i < x->type.rank; i++) {
        at.at[i] = zero;
        if (graph_dim_is_one(x->type.dims[i])) continue;
        while (k < y->type.rank && graph_dim_is_one(y->type.dims[k])) k++;
        if (!x->type.dims[i] || k == y->type.rank || y->type.dims[k] != x->type.dims[i]) return no(r, "it reshapes at", y->name);
        at.at[i] = of->at[k++];
    }
    return read_at(r, x, &at);
}

static int sum_of_places(reader *r, int a, int b) {
    int64_t x[4], y[4];
    if (a < 0 || b < 0 || !as_place(term_at(r, a), x) || !as_place(term_at(r, b), y)) return -1;
    for (int k = 0; k < 4; k++) x[k] += y[k];
    return place(r, x);
}

static int read_slice(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *x = n->inputs[0].value, *starts = pass_input(n, 1), *axes = pass_input(n, 3), *steps = pass_input(n, 4);
    coordinates at = *of;
    if (!x || !starts || !starts->data) return no(r, "it slices at", n->outputs[0]->name);
    for (int i = 0; i < starts->data_count; i++) {
        int64_t axis = i, step = 1, from;
        if ((axes && !pass_int_at(axes, i, &axis)) || (steps && !pass_int_at(steps, i, &step)) || step != 1)
            return no(r, "it slices at", n->outputs[0]->name);
        axis += axis < 0 ? x->type.rank : 0;
        if (axis < 0 || axis >= x->type.rank) return no(r, "it slices at", n->outputs[0]->name);
        int start = size_term(r, starts->data[i]);
        if (start >= 0 && pass_int_at(starts, i, &from) && from < 0) start = sum_of_places(r, start, size_term(r, x->type.dims[axis]));
        at.at[axis] = sum_of_places(r, at.at[axis], start);
        if (at.at[axis] < 0) return no(r, "it slices at", n->outputs[0]->name);
    }
    return read_at(r, x, &at);
}

static int read_gather(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *x = n->inputs[0].value, *indices = n->inputs[1].value;
    int64_t axis = graph_attr_int(n, "axis", 0), p[4];
    if (!x || !indices || x->type.rank < 1 || indices->type.rank < 0) return no(r, "a shape is not known at", n->outputs[0]->name);
    axis += axis < 0 ? x->type.rank : 0;
    if (axis < 0 || of->rank != x->type.rank - 1 + indices->type.rank) return no(r, "it looks up at", n->outputs[0]->name);
    coordinates at = {.rank = x->type.rank}, where = {.rank = indices->type.rank};
    for (int k = 0; k < where.rank; k++) where.at[k] = of->at[axis + k];
    int found = read_at(r, indices, &where);
    if (found < 0) return -1;
    const bool row = term_at(r, found)->kind == TERM_ROW;
    const bool listed = x->constant && !as_place(term_at(r, found), p);
    if (!row && !listed && (!as_place(term_at(r, found), p) || range_of_place(r, p).least < 0))
        return no(r, "it looks up at", n->outputs[0]->name);
    for (int k = 0; k < x->type.rank; k++) at.at[k] = k < axis ? of->at[k] : k == axis ? found : of->at[k - 1 + where.rank];
    return read_at(r, x, &at);
}

/* Parts one after the other: a place that is a number says which. */
static int read_concat(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *y = n->outputs[0];
    int64_t axis = graph_attr_int(n, "axis", 0), p[4], size;
    axis += axis < 0 ? of->rank : 0;
    if (axis < 0 || axis >= of->rank || !as_place(term_at(r, of->at[axis]), p) || p[0] || p[1] || p[2])
        return no(r, "it joins parts at", y->name);
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *x = n->inputs[i].value;
        if (!x || x->type.rank != of->rank || !graph_dim_is_const(x->type.dims[axis], &size)) break;
        if (p[3] < size) {
            coordinates at = *of;
            at.at[axis] = constant(r, (double)p[3]);
            return read_at(r, x, &at);
        }
        p[3] -= size;
    }
    return no(r, "it joins parts at", y->name);
}

/* x[i0, i1, ..] of the numbers in the last axis of the indices. */
static int read_gather_nd(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *x = n->inputs[0].value, *indices = n->inputs[1].value;
    int64_t depth, p[4];
    if (!x || !indices || graph_attr_int(n, "batch_dims", 0) || indices->type.rank < 1 ||
        !graph_dim_is_const(indices->type.dims[indices->type.rank - 1], &depth) || depth > x->type.rank ||
        of->rank != indices->type.rank - 1 + x->type.rank - (int)depth)
        return no(r, "it looks up at", n->outputs[0]->name);
    coordinates where = {.rank = indices->type.rank}, at = {.rank = x->type.rank};
    for (int k = 0; k + 1 < where.rank; k++) where.at[k] = of->at[k];
    for (int k = 0; k < x->type.rank; k++) {
        at.at[k] = of->at[where.rank - 1 + k - (k < depth ? 0 : (int)depth)];
        if (k >= depth) continue;
        where.at[where.rank - 1] = constant(r, k);
        at.at[k] = read_at(r, indices, &where);
        if (at.at[k] < 0) return -1;
        const term *found = term_at(r, at.at[k]);
        if (found->kind == TERM_TEXT && r->mask && x->type.dims[k] == r->mask->type.dims[0]) continue;
        if (!as_place(found, p) || range_of_place(r, p).least < 0) return no(r, "it looks up at", n->outputs[0]->name);
        if (graph_dim_is_one(x->type.dims[k]) && (p[0] || p[1] || p[2] || p[3])) return no(r, "it looks up at", n->outputs[0]->name);
    }
    return read_at(r, x, &at);
}

/* How many tokens a text has: a sum of the mask along its columns. It says which they are only where they come first. */
static int read_length(reader *r, const graph_node *n) {
    const graph_value *x = n->inputs[0].value, *y = n->outputs[0];
    const int64_t *listed, column[4] = {0, 1, 0, 0};
    int64_t axis = -1;
    const bool one = graph_attr_ints(n, "axes", &listed) == 1 ? (axis = listed[0], true) : pass_int_at(pass_input(n, 1), 0, &axis);
    if (!r->tokens_first || !one || (axis != 1 && axis != -1) || x->type.rank != 2 || x->type.dims[1] != r->tokens)
        return no(r, "it cannot be read at operator", n->op);
    const int sum = read_at(r, x, &(coordinates){.rank = 2, .at = {leaf(r, TERM_TEXT), place(r, column)}});
    if (sum < 0) return -1;
    pass_formula part = *r->f;
    part.root = sum;
    const int64_t reach = r->f->longest - 1;
    const pass_interval yes = pass_formula_range(&part, -reach, reach, (pass_pair){true, true}),
                        none = pass_formula_range(&part, -reach, reach, (pass_pair){true, false});
    const bool counts = yes.least == 1 && yes.most == 1 && none.least == 0 && none.most == 0;
    return counts ? leaf(r, TERM_LENGTH) : no(r, "it adds at", y->name);
}

static int read_transpose(reader *r, const graph_node *n, const coordinates *of) {
    const int64_t *perm;
    coordinates at = {.rank = of->rank};
    bool given = graph_attr_ints(n, "perm", &perm) == of->rank;
    for (int k = 0; k < of->rank; k++) {
        int64_t axis = given ? perm[k] : of->rank - 1 - k;
        if (axis < 0 || axis >= of->rank) return no(r, "it turns axes at", n->outputs[0]->name);
        at.at[axis] = of->at[k];
    }
    return read_at(r, n->inputs[0].value, &at);
}

static int read_range(reader *r, const graph_node *n, const coordinates *of) {
    const coordinates scalar = {0};
    int64_t at[4], by[4];
    int from = read_at(r, n->inputs[0].value, &scalar), step = from < 0 ? -1 : read_at(r, n->inputs[2].value, &scalar);
    if (step < 0) return -1;
    if (term_at(r, of->at[0])->kind == TERM_TEXT && term_at(r, from)->kind == TERM_CONSTANT && term_at(r, from)->value == 0 &&
        term_at(r, step)->kind == TERM_CONSTANT && term_at(r, step)->value == 1)
        return of->at[0]; /* text b is b */
    if (!as_place(term_at(r, of->at[0]), at) || !as_place(term_at(r, step), by) || by[0] || by[1] || by[2] || llabs(by[3]) > 1000000)
        return no(r, "it counts at", n->outputs[0]->name);
    for (int k = 0; k < 4; k++) at[k] *= by[3];
    int offset = place(r, at);
    return offset < 0 ? -1 : sum_of_places(r, from, offset);
}

/* Keeps what is on (upper: and above) diagonal k: column - row >= k, or <= k. */
static int read_trilu(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *y = n->outputs[0], *diagonal = pass_input(n, 1);
    int64_t k = 0, row[4], column[4];
    const bool upper = graph_attr_int(n, "upper", 1) != 0;
    int x = read_at(r, n->inputs[0].value, of), zero = constant(r, 0);
    if (x < 0 || zero < 0) return -1;
    if ((diagonal && !pass_int_at(diagonal, 0, &k)) || of->rank < 2 || !as_place(term_at(r, of->at[of->rank - 2]), row) ||
        !as_place(term_at(r, of->at[of->rank - 1]), column))
        return no(r, "it cuts a corner at", y->name);
    for (int i = 0; i < 4; i++) column[i] -= row[i];
    int away = place(r, column), limit = constant(r, (double)k);
    int outside = away < 0 || limit < 0 ? -1
                  : upper               ? operation(r, TERM_LESS, y, away, limit, -1)
                                        : operation(r, TERM_LESS, y, limit, away, -1);
    return outside < 0 ? -1 : operation(r, TERM_WHERE, y, outside, zero, x);
}

/* ---------------------------------------------------------------- operators that compute */

static const struct {
    const char *op;
    term_kind kind;
    int inputs;
    bool swapped, negated; /* Greater(a, b) is Less(b, a); LessOrEqual(a, b) is Not(Less(b, a)) */
} operators[] = {
    {"Add", TERM_ADD, 2, false, false},
    {"Sub", TERM_SUB, 2, false, false},
    {"Mul", TERM_MUL, 2, false, false},
    {"Div", TERM_DIV, 2, false, false},
    {"Mod", TERM_MOD, 2, false, false},
    {"Min", TERM_MIN, 2, false, false},
    {"Max", TERM_MAX, 2, false, false},
    {"Less", TERM_LESS, 2, false, false},
    {"Greater", TERM_LESS, 2, true, false},
    {"LessOrEqual", TERM_LESS, 2, true, true},
    {"GreaterOrEqual", TERM_LESS, 2, false, true},
    {"Equal", TERM_EQUAL, 2, false, false},
    {"And", TERM_AND, 2, false, false},
    {"BitwiseAnd", TERM_AND, 2, false, false}, /* of bools: read_operator */
    {"Or", TERM_OR, 2, false, false},
    {"Xor", TERM_XOR, 2, false, false},
    {"Not", TERM_NOT, 1, false, false},
    {"Sign", TERM_SIGN, 1, false, false},
    {"Log", TERM_LOG, 1, false, false},
    {"Abs", TERM_ABS, 1, false, false},
    {"Floor", TERM_FLOOR, 1, false, false},
    {"Ceil", TERM_CEIL, 1, false, false},
    {"Where", TERM_WHERE, 3, false, false},
};

static int read_cast(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *x = n->inputs[0].value, *y = n->outputs[0];
    int64_t at[4];
    int a = read_operand(r, x, of);
    if (a < 0) return -1;
    if (y->type.dtype == NIB_DTYPE_BOOL) return x->type.dtype == NIB_DTYPE_BOOL ? a : operation(r, TERM_BOOL, y, a, -1, -1);
    bool from_real = x->type.dtype == NIB_DTYPE_F32 || x->type.dtype == NIB_DTYPE_F64;
    bool real = y->type.dtype == NIB_DTYPE_F32 || y->type.dtype == NIB_DTYPE_F64;
    if (real || !from_real) {
        bool wide = real || y->type.dtype == NIB_DTYPE_I64 || y->type.dtype == NIB_DTYPE_I32;
        bool bit = x->type.dtype == NIB_DTYPE_BOOL || x == r->mask;
        if (!wide && !bit) return no(r, "numbers may not fit at", y->name);
        const term_kind kind = term_at(r, a)->kind;
        if (x->type.dtype == NIB_DTYPE_BOOL || as_place(term_at(r, a), at) || (kind != TERM_TOKEN && kind < TERM_ADD)) return a;
        return put(r, (term){.kind = TERM_CAST, .in = {a, -1, -1}, .f32 = y->type.dtype == NIB_DTYPE_F32, .whole = !real,
                             .value = y->type.dtype, .made = y});
    }
    return y->type.dtype == NIB_DTYPE_I64 || y->type.dtype == NIB_DTYPE_I32 ? operation(r, TERM_TRUNC, y, a, -1, -1)
                                                                            : no(r, "numbers may not fit at", y->name);
}

static int read_operator(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *y = n->outputs[0];
    for (size_t i = 0; i < BASE_COUNT(operators); i++) {
        int in[3] = {-1, -1, -1};
        if (!graph_is_op(n, "", operators[i].op) || n->n_inputs != operators[i].inputs) continue;
        if (operators[i].kind == TERM_MOD && graph_attr_int(n, "fmod", 0)) break;
        if (strcmp(n->op, "BitwiseAnd") == 0 && y->type.dtype != NIB_DTYPE_BOOL) break;
        if (n->n_inputs > 1 && graph_opset_version(r->g, "") < 7) break; /* operators broadcast otherwise then */
        for (int k = 0; k < n->n_inputs; k++)
            if ((in[k] = read_operand(r, n->inputs[k].value, of)) < 0) return -1;
        int found = operators[i].swapped ? operation(r, operators[i].kind, y, in[1], in[0], -1)
                                         : operation(r, operators[i].kind, y, in[0], in[1], in[2]);
        return found < 0 || !operators[i].negated ? found : operation(r, TERM_NOT, y, found, -1, -1);
    }
    return no(r, "it cannot be read at operator", n->op);
}

/* What Clip's bounds leave; they are inputs since 11. */
static int read_clip(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *y = n->outputs[0];
    int x = read_operand(r, n->inputs[0].value, of);
    if (graph_opset_version(r->g, "") < 11) return no(r, "it cannot be read at operator", n->op);
    for (int k = 1; k < 3; k++) {
        const graph_value *bound = pass_input(n, k);
        const int limit = bound ? read_operand(r, bound, of) : -1;
        if (bound && (limit < 0 || x < 0)) return -1;
        if (bound) x = operation(r, k == 1 ? TERM_MAX : TERM_MIN, y, x, limit, -1);
    }
    return x;
}

static int read_negative(reader *r, const graph_node *n, const coordinates *of) {
    const int x = read_operand(r, n->inputs[0].value, of), zero = constant(r, 0);
    return x < 0 ? -1 : operation(r, TERM_SUB, n->outputs[0], zero, x, -1);
}

static int read_node(reader *r, const graph_node *n, const coordinates *of) {
    const graph_value *y = n->outputs[0], *x = pass_input(n, 0);
    if (n->domain[0] || n->n_outputs != 1) return no(r, "it cannot be read at operator", n->op);
    if (!x) return no(r, "it cannot be read at operator", n->op);
    if (graph_is_op(n, "", "Identity")) return read_at(r, x, of);
    if (graph_is_op(n, "", "Cast")) return read_cast(r, n, of);
    if (graph_is_op(n, "", "Expand")) return read_operand(r, x, of);
    if (graph_is_op(n, "", "Unsqueeze") || graph_is_op(n, "", "Squeeze") || graph_is_op(n, "", "Reshape") || graph_is_op(n, "", "Flatten"))
        return read_view(r, x, y, of);
    if (graph_is_op(n, "", "Transpose")) return read_transpose(r, n, of);
    if (graph_is_op(n, "", "Gather")) return read_gather(r, n, of);
    if (graph_is_op(n, "", "ReduceSum")) return read_length(r, n);
    if (graph_is_op(n, "", "GatherND") && n->n_inputs == 2) return read_gather_nd(r, n, of);
    if (graph_is_op(n, "", "Concat")) return read_concat(r, n, of);
    if (graph_is_op(n, "", "Slice") && n->n_inputs > 1) return read_slice(r, n, of);
    if (graph_is_op(n, "", "Range")) return read_range(r, n, of);
    if (graph_is_op(n, "", "Trilu")) return read_trilu(r, n, of);
    if (graph_is_op(n, "", "Clip")) return read_clip(r, n, of);
    if (graph_is_op(n, "", "Neg")) return read_negative(r, n, of);
    if (graph_is_op(n, "", "ConstantOfShape")) {
        const graph_attr *a = graph_find_attr(n, "value");
        if (!a || a->kind != GRAPH_ATTR_TENSOR) return constant(r, 0);
        const graph_value one = {.name = y->name, .constant = a->u.tensor};
        return read_constant(r, &one, &(coordinates){.rank = a->u.tensor->rank, .at = {constant(r, 0)}});
    }
    return read_operator(r, n, of);
}

/* ---------------------------------------------------------------- values */

static int read_mask(reader *r, const coordinates *at) {
    const term *text = term_at(r, at->at[0]);
    int64_t p[4];
    bool own = text->kind == TERM_TEXT || graph_dim_is_one(r->mask->type.dims[0]);
    if (!own || !as_place(term_at(r, at->at[1]), p) || p[2] || p[3]) return no(r, "it looks elsewhere in", r->mask->name);
    if (p[0] == 0 && p[1] == 1) return leaf(r, TERM_TOKEN);
    if (p[0] == 1 && p[1] == 0) return r->queries == PASS_QUERIES_ALL ? leaf(r, TERM_QUERY) : constant(r, 1);
    return no(r, "it looks elsewhere in", r->mask->name);
}

static int read_new(reader *r, const graph_value *v, const coordinates *at) {
    if (v->constant) return read_constant(r, v, at);
    if (v->data && v->type.rank <= 1) { /* a size, or a list of some */
        int64_t p[4] = {0};
        bool known = v->data_count == 1 || (as_place(term_at(r, at->at[0]), p) && !p[0] && !p[1] && !p[2]);
        if (known && p[3] >= 0 && p[3] < v->data_count && v->data[p[3]]) return size_term(r, v->data[p[3]]);
    }
    if (v == r->mask) return read_mask(r, at);
    if (!v->producer) return no(r, "it reads the contents of", v->name);
    return read_node(r, v->producer, at);
}

static int read_at(reader *r, const graph_value *v, const coordinates *at) {
    if (!v || v->type.rank != at->rank) return no(r, "a shape is not known at", v ? v->name : "");
    for (int k = 0; k < at->rank; k++)
        if (at->at[k] < 0) return -1;
    for (int i = 0; i < r->n_seen; i++)
        if (r->seen[i].v == v && memcmp(r->seen[i].at.at, at->at, (size_t)at->rank * sizeof *at->at) == 0) return r->seen[i].term;
    if (r->depth == MAX_DEPTH || r->n_seen == MAX_READ) return no(r, "its subgraph is too large", "");
    r->depth++;
    int found = read_new(r, v, at);
    r->depth--;
    if (found >= 0 && r->n_seen < MAX_READ) r->seen[r->n_seen++] = (read_value){v, *at, found};
    return found;
}

/* Whether nothing that the formula's value comes from is more than d. */
static bool is_of_distance(pass_formula *f, const char **what) {
    bool used[MAX_TERMS] = {false};
    used[f->root] = true;
    for (int i = f->n - 1; i >= 0; i--) {
        term *t = &f->terms[i];
        if (!used[i]) continue;
        *what = t->kind == TERM_TEXT || t->kind == TERM_ROW || t->kind == TERM_LENGTH ? "it differs from text to text"
                : t->kind == TERM_HEAD                                                ? "it differs from head to head"
                                                                                      : NULL;
        if (t->kind == TERM_PLACE && (t->at[0] != -t->at[1] || t->at[2]))
            *what = "it depends on where query and key stand, not only on how far apart they are";
        if (*what) return false;
        for (int k = 0; k < 3; k++)
            if (t->in[k] >= 0) used[t->in[k]] = true;
    }
    return true;
}

bool pass_formula_read(base_arena *arena, graph *g, const pass_formula_of *of, const pass_formula **out, char *why,
                       size_t capacity) {
    const graph_value *bias = of->bias, *mask = of->mask;
    const graph_type *t = &bias->type;
    reader r = {.arena = arena, .g = g, .mask = mask, .tokens_first = of->tokens_first, .queries = of->queries};
    const char *what = "";
    r.why = why;
    r.capacity = capacity;
    why[0] = 0;
    const bool typed = of->index ? t->dtype == NIB_DTYPE_I64 || t->dtype == NIB_DTYPE_I32 : t->dtype == NIB_DTYPE_F32;
    if (t->rank < 1 || t->rank > 4 || !typed) return no(&r, "it is not f32 of rank 1 to 4", ""), false;
    r.f = base_arena_calloc(arena, 1, sizeof *r.f);
    r.seen = base_arena_alloc(arena, MAX_READ * sizeof *r.seen);
    if (!r.f || !r.seen) return no(&r, "out of memory", ""), false;
    r.tokens = mask ? mask->type.dims[1] : t->dims[t->rank - 1];
    bool square = true;
    for (int k = 1; k <= 2 && k <= t->rank; k++) { /* queries and keys are the same tokens, or one row is for all queries */
        graph_dim d = t->dims[t->rank - k];
        square &= !d || d == r.tokens || graph_dim_is_capped(d, r.tokens, 1) || (k == 2 && graph_dim_is_one(d));
    }
    if (!r.tokens || !square) return no(&r, "its shape is not that of the scores", ""), false;
    r.f->longest = PASS_LONGEST;
    if (graph_dim_is_const(r.tokens, &r.fixed)) r.f->longest = r.fixed;
    static const int64_t axes[2][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}};
    coordinates full = {.rank = 4,
                        .at = {leaf(&r, TERM_TEXT), of->head ? constant(&r, (double)*of->head) : leaf(&r, TERM_HEAD),
                               place(&r, axes[0]), place(&r, axes[1])}},
                at;
    if (!operand_at(bias, &full, &r, &at)) return no(&r, "its shape is not known", ""), false;
    r.f->root = read_at(&r, bias, &at);
    if (r.f->root < 0) return false;
    if (!is_of_distance(r.f, &what)) return no(&r, what, ""), false;
    *out = r.f;
    return true;
}

int64_t pass_formula_reach(const pass_formula *f) { return f->longest - 1; }
