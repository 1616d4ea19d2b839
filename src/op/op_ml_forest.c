/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks forests (op_ml.h). In: rows of features. Out: scores of each row, put where the operator wants them.
 *
 * Where all branches ask the same and features are f32, a block of rows goes through one tree after the other, eight rows
 * side by side, so that a tree stays in the first cache and one row's loads hide another's. Every row adds its leaves'
 * weights in the order of the trees, in double, in either way.
 */
#include "op_ml.h"

#define BLOCK 128 /* rows */
#define LANES 8

/* A branch in 16 bytes. A leaf leads to itself. Where it leads is looked up by the answer: which of two nodes comes next
 * nobody can foretell, and a jump would wait for it. */
struct op_ml_branch {
    float split;
    int32_t feature, to[2]; /* no, yes */
};

nib_status op_ml_forest_alloc(op_eval *c, op_ml_forest *f, int64_t nodes, int64_t weights, int64_t roots) {
    if (nodes >= INT32_MAX || weights >= INT32_MAX) return op_bad(c, NIB_LIMIT, "a forest of %lld nodes", (long long)nodes);
    f->nodes = nodes;
    f->weights = weights;
    OP_TRY(op_scratch(c, nodes, sizeof *f->node, &f->node));
    OP_TRY(op_scratch(c, weights, sizeof *f->target, &f->target));
    OP_TRY(op_scratch(c, weights, sizeof *f->weight, &f->weight));
    return op_scratch(c, roots, sizeof *f->root, &f->root);
}

nib_status op_ml_forest_finish(op_eval *c, op_ml_forest *f) {
    int mode = -1;
    f->most_feature = 0;
    for (int64_t i = 0; i < f->nodes; i++) {
        const op_ml_node *n = &f->node[i];
        if (n->mode == OP_ML_LEAF) continue;
        if (n->feature < 0) return NIB_OK;
        if (n->feature > f->most_feature) f->most_feature = n->feature;
        if (mode < 0) mode = n->mode;
        if (n->mode != mode || mode >= OP_ML_LEAF || n->yes_if_nan) return NIB_OK;
        if (!((double)(float)n->split == n->split)) return NIB_OK;
    }
    if (mode < 0 || f->most_feature >= INT32_MAX) return NIB_OK;
    OP_TRY(op_scratch(c, f->nodes, sizeof *f->branch, &f->branch));
    for (int64_t i = 0; i < f->nodes; i++) {
        const op_ml_node *n = &f->node[i];
        const bool leaf = n->mode == OP_ML_LEAF;
        f->branch[i] = (struct op_ml_branch){.split = (float)n->split,
                                             .feature = leaf ? 0 : (int32_t)n->feature,
                                             .to = {leaf ? (int32_t)i : n->no, leaf ? (int32_t)i : n->yes}};
    }
    f->mode = mode;
    return NIB_OK;
}

/* ---- one row at a time */

static bool goes_yes(const op_ml_forest *f, const op_ml_node *n, double x) {
    if (x != x) return n->yes_if_nan;
    if (n->mode < OP_ML_LEAF) return op_ml_holds(n->mode, x, n->split);
    for (int64_t k = n->first; k < f->n_members && f->members[k] == f->members[k]; k++) /* a NaN ends a set */
        if (f->members[k] == x) return true;
    return false;
}

/* -1: a feature that is not there, or in circles. */
static int32_t find_leaf(const op_ml_forest *f, int32_t at, const double *x, int64_t width, int64_t *work) {
    for (int64_t steps = 0; steps <= f->nodes; steps++) {
        const op_ml_node *n = &f->node[at];
        if (n->mode == OP_ML_LEAF) return at;
        if (n->feature < 0 || n->feature >= width) return -1;
        *work += n->mode > OP_ML_LEAF ? f->n_members : 1;
        at = goes_yes(f, n, x[n->feature]) ? n->yes : n->no;
    }
    return -1;
}

/* ---- several rows side by side */

/* LANES walks, each from at[r] on for the features of row[r], to their leaves. False: one goes in circles. */
static inline bool find_leaves(const op_ml_forest *f, const int mode, int32_t at[LANES], const float *const row[LANES], int64_t *work) {
    int32_t moved = 1;
    for (int64_t steps = 0; moved; steps++) {
        if (steps > f->nodes) return false;
        moved = 0;
        for (int r = 0; r < LANES; r++) {
            const struct op_ml_branch *b = &f->branch[at[r]];
            const float v = row[r][b->feature];
            bool yes;
            switch (mode) {
            case 0: yes = v <= b->split; break;
            case 1: yes = v < b->split; break;
            case 2: yes = v >= b->split; break;
            case 3: yes = v > b->split; break;
            case 4: yes = v == b->split; break;
            default: yes = v == v && v != b->split; break;
            }
            const int32_t next = b->to[yes];
            moved |= next ^ at[r];
            at[r] = next;
        }
        *work += LANES;
    }
    return true;
}

static bool find_leaves_by(const op_ml_forest *f, int32_t at[LANES], const float *const row[LANES], int64_t *work) {
    switch (f->mode) {
    case 0: return find_leaves(f, 0, at, row, work);
    case 1: return find_leaves(f, 1, at, row, work);
    case 2: return find_leaves(f, 2, at, row, work);
    case 3: return find_leaves(f, 3, at, row, work);
    case 4: return find_leaves(f, 4, at, row, work);
    default: return find_leaves(f, 5, at, row, work);
    }
}

/* ---- scores */

static void add_leaf(const op_ml_forest *f, int32_t leaf, double *scores) {
    const op_ml_node *n = &f->node[leaf];
    for (int32_t i = 0; i < n->count; i++) {
        double *s = &scores[f->target[n->first + i]], w = f->weight[n->first + i];
        *s = f->aggregate == OP_ML_MIN ? fmin(*s, w) : f->aggregate == OP_ML_MAX ? fmax(*s, w) : *s + w;
    }
}

static nib_status no_leaf(op_eval *c, int64_t tree) { return op_bad(c, NIB_BAD_MODEL, "tree %lld ends in no leaf", (long long)tree); }

static nib_status take_leaf(op_eval *c, const op_ml_forest *f, int64_t tree, int32_t leaf, double *scores, int64_t *work) {
    if (leaf < 0 || f->node[leaf].mode != OP_ML_LEAF || f->node[leaf].count < 0) return no_leaf(c, tree); /* a branch to itself */
    *work += f->node[leaf].count;
    add_leaf(f, leaf, scores);
    return NIB_OK;
}

/* Tree t on `rows` rows, whose scores lie from `scores` on. */
static nib_status walk_rows(op_eval *c, const op_ml_forest *f, int64_t t, const float *x, int64_t width, int64_t rows, double *scores) {
    int64_t work = 0;
    for (int64_t first = 0; first < rows; first += LANES) {
        int32_t at[LANES];
        const float *row[LANES];
        for (int r = 0; r < LANES; r++) at[r] = f->root[t], row[r] = x + (first + r < rows ? first + r : first) * width;
        if (!find_leaves_by(f, at, row, &work)) return no_leaf(c, t);
        for (int r = 0; r < LANES && first + r < rows; r++) OP_TRY(take_leaf(c, f, t, at[r], scores + (first + r) * f->targets, &work));
    }
    return op_spend(c, work, 1);
}

/* One row through all trees, several at a time. */
static nib_status walk_trees(op_eval *c, const op_ml_forest *f, const float *x, double *scores) {
    int64_t work = 0;
    for (int64_t first = 0; first < f->n_roots; first += LANES) {
        int32_t at[LANES];
        const float *row[LANES];
        for (int r = 0; r < LANES; r++) at[r] = f->root[first + r < f->n_roots ? first + r : first], row[r] = x;
        if (!find_leaves_by(f, at, row, &work)) return no_leaf(c, first);
        for (int r = 0; r < LANES && first + r < f->n_roots; r++) OP_TRY(take_leaf(c, f, first + r, at[r], scores, &work));
    }
    return op_spend(c, work, 1);
}

/* The same of any forest and any type. */
static nib_status walk_plain(op_eval *c, const op_ml_forest *f, const double *x, int64_t width, double *scores) {
    int64_t work = 0;
    for (int64_t t = 0; t < f->n_roots; t++) OP_TRY(take_leaf(c, f, t, find_leaf(f, f->root[t], x, width, &work), scores, &work));
    return op_spend(c, work, 1);
}

/* `rows` rows from row `first` on; wide: room for them as double, NULL: side by side. */
static nib_status walk_block(op_eval *c, const op_ml_forest *f, const graph_tensor *x, int64_t first, int64_t rows, double *wide,
                             double *scores) {
    const int64_t width = x->dims[1];
    const float *narrow = wide ? NULL : (const float *)x->data + first * width;
    for (int64_t i = 0; wide && i < rows * width; i++) wide[i] = op_number(x, first * width + i);
    for (int64_t t = 0; !wide && rows >= LANES && t < f->n_roots; t++) OP_TRY(walk_rows(c, f, t, narrow, width, rows, scores));
    for (int64_t r = 0; r < rows && (wide || rows < LANES); r++) {
        double *own = scores + r * f->targets;
        OP_TRY(wide ? walk_plain(c, f, wide + r * width, width, own) : walk_trees(c, f, narrow + r * width, own));
    }
    return NIB_OK;
}

/* What is made of a row's sums: base values included. */
static void finish_scores(const op_ml_forest *f, double *scores) {
    for (int64_t k = 0; k < f->targets; k++) {
        if (!(scores[k] - scores[k] == 0)) scores[k] = 0; /* no leaf speaks of it */
        if (f->aggregate == OP_ML_AVERAGE) scores[k] /= (double)f->n_roots;
        if (f->n_base == f->targets || f->n_base == 1) scores[k] += f->base[f->n_base == 1 ? 0 : k];
    }
}

nib_status op_ml_forest_run(op_eval *c, const op_ml_forest *f, const graph_tensor *x, int64_t lo, int64_t hi, void *const out[2]) {
    const bool fast = f->branch && x->dtype == NIB_DTYPE_F32 && f->most_feature < x->dims[1];
    double *scores, *wide = NULL;
    OP_TRY(op_scratch(c, BLOCK * f->targets, sizeof *scores, &scores));
    if (!fast) OP_TRY(op_scratch(c, BLOCK * x->dims[1], sizeof *wide, &wide));
    for (int64_t first = lo; first < hi; first += BLOCK) {
        const int64_t end = first + BLOCK < hi ? first + BLOCK : hi;
        const double from = f->aggregate == OP_ML_MIN ? INFINITY : f->aggregate == OP_ML_MAX ? -INFINITY : 0;
        for (int64_t i = 0; i < (end - first) * f->targets; i++) scores[i] = from;
        OP_TRY(walk_block(c, f, x, first, end - first, wide, scores));
        for (int64_t r = first; r < end; r++) {
            double *s = scores + (r - first) * f->targets;
            finish_scores(f, s);
            f->put(f, r, s, out);
        }
    }
    return NIB_OK;
}
