/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalisations and activations of domain com.microsoft: SkipLayerNormalization SkipSimplifiedLayerNormalization
 * EmbedLayerNormalization SimplifiedLayerNormalization (which exporters also write into domain ""), BiasGelu FastGelu
 * QuickGelu Gelu.
 */
#include "op_contrib.h"

nib_status op_float_input(op_eval *c, int i, const double **out) {
    const graph_tensor *t = op_arg(c, i);
    double *v;
    *out = NULL;
    if (!t) return NIB_OK;
    if (!op_is_float(t->dtype)) return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(t->dtype));
    OP_TRY(op_reals(c, t, &v));
    *out = v;
    return NIB_OK;
}

nib_status op_float_row(op_eval *c, int i, int64_t want, const double **out) {
    const graph_tensor *t = op_arg(c, i);
    if (t && op_count(t->rank, t->dims) != want) return op_bad(c, NIB_SHAPE, "input %d does not have %lld elements", i, (long long)want);
    return op_float_input(c, i, out);
}

nib_status op_one_number(op_eval *c, int i, double otherwise, double *out) {
    const graph_tensor *t = op_arg(c, i);
    *out = otherwise;
    if (!t) return NIB_OK;
    if (op_count(t->rank, t->dims) != 1) return op_bad(c, NIB_SHAPE, "input %d must have one element", i);
    *out = op_number(t, 0);
    return NIB_OK;
}

nib_status op_need(op_eval *c, uint32_t inputs) {
    for (int i = 0; i < 32; i++)
        if (inputs >> i & 1 && !op_arg(c, i)) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", i);
    return NIB_OK;
}

double op_erf_gelu(double x) { return 0.5 * x * (1 + erf(x * 0.70710678118654752440)); }

/* ---- normalized rows */

typedef struct norm {
    int64_t width;
    double epsilon;
    bool simple; /* the root of the mean square alone */
    const double *gamma, *beta;
    nib_dtype dtype;
    void *y, *mean, *inverse; /* the latter two one number a row, NULL: not wanted */
    nib_dtype stash;
} norm;

static void norm_row(const norm *n, int64_t row, const double *x) {
    double mean = 0, square = 0;
    for (int64_t k = 0; !n->simple && k < n->width; k++) mean += x[k];
    mean /= (double)n->width;
    for (int64_t k = 0; k < n->width; k++) square += (x[k] - mean) * (x[k] - mean);
    double inverse = 1 / sqrt(square / (double)n->width + n->epsilon);
    for (int64_t k = 0; n->y && k < n->width; k++)
        op_put(n->dtype, n->y, row * n->width + k, (x[k] - mean) * inverse * n->gamma[k] + (n->beta ? n->beta[k] : 0));
    if (n->mean) op_put(n->stash, n->mean, row, mean);
    if (n->inverse) op_put(n->stash, n->inverse, row, inverse);
}

static nib_status check_row(op_eval *c, const graph_tensor *x, int64_t *rows, int64_t *width) {
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank < 1) return op_bad(c, NIB_SHAPE, "a scalar");
    *width = x->dims[x->rank - 1];
    *rows = op_count(x->rank - 1, x->dims);
    return *rows < 0 ? op_bad(c, NIB_LIMIT, "too many rows") : NIB_OK;
}

/* ---- skips: input, skip (broadcast over leading axes), gamma, [beta,] bias -> y, mean, inverse, sum */

static nib_status skip_norm(op_eval *c, bool simple) {
    const graph_tensor *x = op_arg(c, 0), *skip = op_arg(c, 1);
    norm n = {.simple = simple, .epsilon = graph_attr_float(c->node, "epsilon", 1e-12f), .dtype = x->dtype, .stash = NIB_DTYPE_F32};
    const double *v, *s, *bias;
    double *row;
    int64_t rows = 0, skipped = op_count(skip->rank, skip->dims);
    void *sum;
    OP_TRY(check_row(c, x, &rows, &n.width));
    bool fits = skip->rank > 0 && skip->rank <= x->rank && skip->dims[skip->rank - 1] == n.width && skip->dtype == x->dtype;
    for (int i = 2; fits && i <= skip->rank; i++) {
        int64_t d = skip->dims[skip->rank - i];
        fits = d == x->dims[x->rank - i] || (d == 1 && i == skip->rank);
    }
    if (!fits) return op_bad(c, NIB_SHAPE, "skip does not fit the input");
    OP_TRY(op_float_row(c, 2, n.width, &n.gamma));
    if (!simple) OP_TRY(op_float_row(c, 3, n.width, &n.beta));
    OP_TRY(op_float_row(c, simple ? 3 : 4, n.width, &bias));
    op_dims dims = op_dims_of(x), stat = dims;
    stat.d[x->rank - 1] = 1;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &n.y));
    OP_TRY(op_out(c, 1, n.stash, &stat, &n.mean));
    OP_TRY(op_out(c, 2, n.stash, &stat, &n.inverse));
    OP_TRY(op_out(c, 3, x->dtype, &dims, &sum));
    OP_TRY(op_float_input(c, 0, &v));
    OP_TRY(op_float_input(c, 1, &s));
    OP_TRY(op_scratch(c, n.width, sizeof *row, &row));
    if (n.width == 0) return NIB_OK;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t k = 0; k < n.width; k++) {
            int64_t i = r * n.width + k;
            row[k] = v[i] + s[i % skipped] + (bias ? bias[k] : 0);
            if (sum) op_put(x->dtype, sum, i, row[k]);
        }
        norm_row(&n, r, row);
    }
    return NIB_OK;
}

static nib_status eval_skip(op_eval *c) { return skip_norm(c, false); }
static nib_status eval_skip_simple(op_eval *c) { return skip_norm(c, true); }

static nib_status infer_skip(op_infer *c) {
    graph_type stat = *op_in_type(c, 0);
    OP_TRY(op_check_float(c, 0));
    OP_TRY(op_set_like(c, 0, stat.dtype, op_in_type(c, 0)));
    OP_TRY(op_set_like(c, 3, stat.dtype, op_in_type(c, 0)));
    if (stat.rank > 0) stat.dims[stat.rank - 1] = op_const(c, 1);
    OP_TRY(op_set_like(c, 1, NIB_DTYPE_F32, &stat));
    return op_set_like(c, 2, NIB_DTYPE_F32, &stat);
}

/* ---- SimplifiedLayerNormalization: over all axes from `axis` on */

static nib_status eval_simplified(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    norm n = {.simple = true, .epsilon = graph_attr_float(c->node, "epsilon", 1e-5f), .dtype = x->dtype, .stash = NIB_DTYPE_F32};
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank);
    const double *v;
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    int64_t rows = op_count(axis, x->dims);
    n.width = op_count(x->rank - axis, x->dims + axis);
    op_dims dims = op_dims_of(x), stat = dims;
    for (int i = axis; i < x->rank; i++) stat.d[i] = 1;
    OP_TRY(op_float_row(c, 1, n.width, &n.gamma));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &n.y));
    OP_TRY(op_out(c, 1, n.stash, &stat, &n.inverse));
    OP_TRY(op_float_input(c, 0, &v));
    for (int64_t r = 0; n.width > 0 && r < rows; r++) norm_row(&n, r, v + r * n.width);
    return NIB_OK;
}

static nib_status infer_simplified(op_infer *c) {
    graph_type stat = *op_in_type(c, 0);
    OP_TRY(op_check_float(c, 0));
    OP_TRY(op_infer_same(c));
    int axis = stat.rank > 0 ? op_axis(graph_attr_int(c->node, "axis", -1), stat.rank) : -1;
    if (stat.rank >= 0 && axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    for (int i = axis; i >= 0 && i < stat.rank; i++) stat.dims[i] = op_const(c, 1);
    return op_set_like(c, 1, NIB_DTYPE_F32, &stat);
}

/* ---- EmbedLayerNormalization: ids, segments?, tables of words, positions, segments?, gamma, beta, mask?, position_ids? */

/* Row of table `input` that an id names, or NULL with the status set. */
static nib_status table_row(op_eval *c, int input, const double *table, int64_t id, int64_t width, const double **row) {
    const graph_tensor *t = op_arg(c, input);
    if (id < 0 || id >= t->dims[0]) return op_bad(c, NIB_SHAPE, "id %lld of %lld", (long long)id, (long long)t->dims[0]);
    *row = table + id * width;
    return NIB_OK;
}

static bool ids_fit(const graph_tensor *t, const graph_tensor *ids) {
    return !t || (t->dtype == NIB_DTYPE_I32 && t->rank == 2 && t->dims[0] == ids->dims[0] && t->dims[1] == ids->dims[1]);
}

static nib_status eval_embed(op_eval *c) {
    const graph_tensor *ids = op_arg(c, 0), *segments = op_arg(c, 1), *words = op_arg(c, 2), *mask = op_arg(c, 7), *places = op_arg(c, 8);
    norm n = {.epsilon = graph_attr_float(c->node, "epsilon", 1e-12f)};
    const double *table[3] = {NULL};
    double *row;
    int32_t *count;
    void *sum;
    OP_TRY(op_need(c, 1u << 2 | 1u << 3 | 1u << 5 | 1u << 6));
    bool shared = places && places->rank == 2 && places->dims[0] == 1 && ids->rank == 2 && places->dims[1] == ids->dims[1];
    if (ids->dtype != NIB_DTYPE_I32 || ids->rank != 2 || !ids_fit(segments, ids) || !ids_fit(mask, ids) ||
        (places && (places->dtype != NIB_DTYPE_I32 || (!shared && !ids_fit(places, ids)))))
        return op_bad(c, NIB_SHAPE, "ids, segments, mask or positions do not fit");
    if (words->rank != 2 || !segments != !op_arg(c, 4)) return op_bad(c, NIB_SHAPE, "tables do not fit");
    n.dtype = words->dtype;
    n.width = words->dims[1];
    for (int i = 0; i < 3; i++) {
        const graph_tensor *t = op_arg(c, 2 + i);
        if (t && (t->rank != 2 || t->dims[1] != n.width)) return op_bad(c, NIB_SHAPE, "table %d does not fit", i);
        OP_TRY(op_float_input(c, 2 + i, &table[i]));
    }
    int64_t B = ids->dims[0], S = ids->dims[1];
    op_dims dims = {3, {B, S, n.width}};
    OP_TRY(op_float_row(c, 5, n.width, &n.gamma));
    OP_TRY(op_float_row(c, 6, n.width, &n.beta));
    OP_TRY(op_out(c, 0, n.dtype, &dims, &n.y));
    OP_TRY(op_out(c, 1, NIB_DTYPE_I32, &(op_dims){1, {B}}, &count));
    OP_TRY(op_out(c, 2, n.dtype, &dims, &sum));
    OP_TRY(op_scratch(c, n.width, sizeof *row, &row));
    for (int64_t b = 0; count && b < B; b++) {
        count[b] = 0;
        for (int64_t s = 0; mask && s < S; s++) count[b] += op_index(mask, b * S + s) == 1;
    }
    for (int64_t r = 0; n.width > 0 && r < op_count(2, ids->dims); r++) {
        const double *w = NULL, *p = NULL, *g = NULL;
        OP_TRY(table_row(c, 2, table[0], op_index(ids, r), n.width, &w));
        OP_TRY(table_row(c, 3, table[1], places ? op_index(places, shared ? r % S : r) : r % S, n.width, &p));
        if (segments) OP_TRY(table_row(c, 4, table[2], op_index(segments, r), n.width, &g));
        for (int64_t k = 0; k < n.width; k++) {
            row[k] = w[k] + p[k] + (g ? g[k] : 0);
            if (sum) op_put(n.dtype, sum, r * n.width + k, row[k]);
        }
        norm_row(&n, r, row);
    }
    return NIB_OK;
}

static nib_status infer_embed(op_infer *c) {
    const graph_type *ids = op_in_type(c, 0), *words = op_in_type(c, 2);
    graph_dim dims[3] = {ids->rank == 2 ? ids->dims[0] : NULL, ids->rank == 2 ? ids->dims[1] : NULL,
                         words->rank == 2 ? words->dims[1] : NULL};
    OP_TRY(op_check_float(c, 2));
    OP_TRY(op_set(c, 0, words->dtype, 3, dims));
    OP_TRY(op_set(c, 1, NIB_DTYPE_I32, 1, dims));
    return op_set(c, 2, words->dtype, 3, dims);
}

/* ---- activations, with a bias along the last axis */

static double tanh_gelu(double x, double alpha) {
    (void)alpha;
    return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
}
static double erf_gelu(double x, double alpha) {
    (void)alpha;
    return op_erf_gelu(x);
}
static double quick_gelu(double x, double alpha) { return x / (1 + exp(-alpha * x)); }

static nib_status biased(op_eval *c, double (*f)(double, double)) {
    const graph_tensor *x = op_arg(c, 0);
    double alpha = graph_attr_float(c->node, "alpha", 1.702f);
    const double *v, *bias;
    op_dims dims = op_dims_of(x);
    void *y;
    int64_t n = op_count(x->rank, x->dims), width = x->rank > 0 ? x->dims[x->rank - 1] : 1;
    OP_TRY(op_float_input(c, 0, &v));
    OP_TRY(op_float_row(c, 1, width, &bias));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) op_put(x->dtype, y, i, f(v[i] + (bias ? bias[i % width] : 0), alpha));
    return NIB_OK;
}

static nib_status eval_gelu(op_eval *c) { return biased(c, erf_gelu); }
static nib_status eval_fast_gelu(op_eval *c) { return biased(c, tanh_gelu); }
static nib_status eval_quick_gelu(op_eval *c) { return biased(c, quick_gelu); }

const op op_family_contrib_norm[] = {
    {"BiasGelu", OP_MS, 1, 2, 2, 1, OP_ROWS_LAST, op_infer_float_same, eval_gelu, NULL},
    {"EmbedLayerNormalization", OP_MS, 1, 1, 9, 3, OP_ROWS_MIXED, infer_embed, eval_embed, NULL},
    {"FastGelu", OP_MS, 1, 1, 2, 1, OP_ROWS_LAST, op_infer_float_same, eval_fast_gelu, NULL},
    {"Gelu", OP_MS, 1, 1, 1, 1, OP_ROWS_ELEMENT, op_infer_float_same, eval_gelu, NULL},
    {"QuickGelu", OP_MS, 1, 1, 1, 1, OP_ROWS_ELEMENT, op_infer_float_same, eval_quick_gelu, NULL},
    {"SimplifiedLayerNormalization", OP_MS, 1, 2, 2, 2, OP_ROWS_MIXED, infer_simplified, eval_simplified, NULL},
    {"SimplifiedLayerNormalization", "", 1, 2, 2, 2, OP_ROWS_MIXED, infer_simplified, eval_simplified, NULL},
    {"SkipLayerNormalization", OP_MS, 1, 3, 5, 4, OP_ROWS_MIXED, infer_skip, eval_skip, NULL},
    {"SkipSimplifiedLayerNormalization", OP_MS, 1, 3, 4, 4, OP_ROWS_MIXED, infer_skip, eval_skip_simple, NULL},
    {0},
};
