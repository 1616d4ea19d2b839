/* SPDX-License-Identifier: Apache-2.0
 *
 * Small models and their features, of ai.onnx.ml, https://onnx.ai/onnx/operators/#ai-onnx-ml: Normalizer Scaler Imputer
 * FeatureVectorizer OneHotEncoder, LinearRegressor LinearClassifier SVMRegressor.
 * X is [N, C], or [C] for one row. In double, rounded once to f32.
 */
#include "op_ml.h"

typedef struct rows {
    int64_t N, C;
    double *v;
} rows;

static nib_status rows_of(op_eval *c, int input, rows *r) {
    const graph_tensor *x = op_arg(c, input);
    if (x->rank != 1 && x->rank != 2) return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    r->N = x->rank == 2 ? x->dims[0] : 1;
    r->C = x->dims[x->rank - 1];
    return op_reals(c, x, &r->v);
}

/* A list of floats; its length, 0 if it is absent. */
static int64_t floats(const graph_node *n, const char *name, const float **out) {
    const graph_attr *a = graph_find_attr(n, name);
    bool there = a && a->kind == GRAPH_ATTR_FLOATS;
    *out = there ? a->u.floats : NULL;
    return there ? (int64_t)a->count : 0;
}

static nib_status transform_of(op_eval *c, int *how) {
    static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"};
    const char *name = graph_attr_string(c->node, "post_transform", "NONE");
    for (*how = 0; *how < 4; ++*how)
        if (strcmp(name, names[*how]) == 0) return NIB_OK;
    return op_bad(c, NIB_UNSUPPORTED, "post_transform %s", name);
}

/* ---- features */

static nib_status eval_normalize(op_eval *c) {
    const char *norm = graph_attr_string(c->node, "norm", "MAX");
    op_dims dims = op_dims_of(op_arg(c, 0));
    rows x;
    float *y;
    OP_TRY(rows_of(c, 0, &x));
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    for (int64_t r = 0; y && x.C > 0 && r < x.N; r++) {
        const double *v = x.v + r * x.C;
        double most = v[0], sum = 0, square = 0;
        for (int64_t k = 0; k < x.C; k++) {
            most = fmax(most, v[k]);
            sum += fabs(v[k]);
            square += v[k] * v[k];
        }
        double by = norm[0] == 'M' ? most : norm[1] == '1' ? sum : sqrt(square);
        for (int64_t k = 0; k < x.C; k++) y[r * x.C + k] = (float)(by != 0 ? v[k] / by : v[k]);
    }
    return NIB_OK;
}

static nib_status eval_scale(op_eval *c) {
    const float *offset, *scale;
    int64_t offsets = floats(c->node, "offset", &offset), scales = floats(c->node, "scale", &scale);
    op_dims dims = op_dims_of(op_arg(c, 0));
    rows x;
    float *y;
    OP_TRY(rows_of(c, 0, &x));
    if ((offsets != 1 && offsets != x.C) || (scales != 1 && scales != x.C)) return op_bad(c, NIB_BAD_MODEL, "offset and scale do not fit");
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    for (int64_t i = 0; y && i < x.N * x.C; i++)
        y[i] = (float)((x.v[i] - (double)offset[offsets == 1 ? 0 : i % x.C]) * (double)scale[scales == 1 ? 0 : i % x.C]);
    return NIB_OK;
}

static nib_status eval_impute(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    bool whole = x->dtype == NIB_DTYPE_I64;
    const float *real = NULL;
    const int64_t *number = NULL;
    int64_t n = whole ? graph_attr_ints(c->node, "imputed_value_int64s", &number) : floats(c->node, "imputed_value_floats", &real);
    int64_t wrong = graph_attr_int(c->node, "replaced_value_int64", 0), width = x->rank > 0 ? x->dims[x->rank - 1] : 1;
    double missing = graph_attr_float(c->node, "replaced_value_float", 0);
    void *y;
    if (!whole && !op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (n != 1 && n != width) return op_bad(c, NIB_BAD_MODEL, "%lld imputed values for %lld columns", (long long)n, (long long)width);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t count = op_count(x->rank, x->dims);
    for (int64_t i = 0; y && i < count; i++) {
        int64_t k = n == 1 ? 0 : i % width;
        if (whole) {
            int64_t v = op_index(x, i);
            ((int64_t *)y)[i] = v == wrong ? number[k] : v;
        } else {
            double v = op_number(x, i);
            op_put(x->dtype, y, i, v == missing || (v != v && missing != missing) ? (double)real[k] : v);
        }
    }
    return NIB_OK;
}

static nib_status eval_vectorize(op_eval *c) {
    const int64_t *sizes;
    int64_t n = graph_attr_ints(c->node, "inputdimensions", &sizes), width = 0, N = 0, first = 0;
    float *y;
    if (n != c->n_in) return op_bad(c, NIB_BAD_MODEL, "inputdimensions do not fit");
    for (int i = 0; i < c->n_in; i++) {
        const graph_tensor *x = c->in[i];
        int64_t own = x->rank == 2 ? x->dims[0] : 1;
        if ((x->rank != 1 && x->rank != 2) || (i > 0 && own != N) || sizes[i] < 0 || sizes[i] > ((int64_t)1 << 40))
            return op_bad(c, NIB_SHAPE, "input %d does not fit", i);
        N = own;
        width += sizes[i];
    }
    op_dims dims = {2, {N, width}};
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    if (!y || op_count(2, dims.d) == 0) return NIB_OK;
    memset(y, 0, sizeof *y * (size_t)(N * width));
    for (int i = 0; i < c->n_in; first += sizes[i++]) {
        rows x;
        OP_TRY(rows_of(c, i, &x));
        for (int64_t r = 0; r < N; r++) /* cut or filled up with zeros */
            for (int64_t k = 0; k < x.C && k < sizes[i]; k++) y[r * width + first + k] = (float)x.v[r * x.C + k];
    }
    return NIB_OK;
}

static nib_status eval_one_hot(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    const graph_attr *words = graph_find_attr(c->node, "cats_strings");
    const int64_t *numbers;
    bool text = x->dtype == NIB_DTYPE_STRING;
    int64_t count = text ? (words && words->kind == GRAPH_ATTR_STRINGS ? (int64_t)words->count : -1)
                         : graph_attr_ints(c->node, "cats_int64s", &numbers);
    op_dims dims = op_dims_of(x);
    double *v = NULL;
    float *y;
    if (count < 0) return op_bad(c, NIB_BAD_MODEL, "no categories of the input's type");
    if (dims.rank == GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "too many axes");
    dims.d[dims.rank++] = count;
    if (!text) OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    int64_t n = op_count(x->rank, x->dims);
    for (int64_t i = 0; y && i < n; i++) {
        bool found = false;
        for (int64_t k = 0; k < count; k++) {
            bool hit = false;
            if (text) {
                graph_string a = ((const graph_string *)x->data)[i], b = words->u.strings[k];
                hit = a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
            } else {
                hit = trunc(v[i]) == (double)numbers[k];
            }
            y[i * count + k] = hit;
            found = found || hit;
        }
        if (!found && graph_attr_int(c->node, "zeros", 1) == 0) return op_bad(c, NIB_BAD_MODEL, "an element of no category");
    }
    return NIB_OK;
}

/* ---- labels of a classifier */

typedef struct labels {
    const graph_string *texts;
    const int64_t *numbers;
    int64_t count;
    void *y; /* output 0, or NULL */
} labels;

static nib_status labels_of(op_eval *c, const char *ints, int64_t N, labels *l) {
    const graph_attr *texts = graph_find_attr(c->node, "classlabels_strings");
    op_dims dims = {1, {N}};
    bool text = texts && texts->kind == GRAPH_ATTR_STRINGS && texts->count > 0;
    l->texts = text ? texts->u.strings : NULL;
    l->count = text ? (int64_t)texts->count : graph_attr_ints(c->node, ints, &l->numbers);
    if (l->count < 1) return op_bad(c, NIB_BAD_MODEL, "no class labels");
    return op_out(c, 0, text ? NIB_DTYPE_STRING : NIB_DTYPE_I64, &dims, &l->y);
}

static void put_label(const labels *l, int64_t row, int64_t k) {
    if (!l->y) return;
    if (l->texts) ((graph_string *)l->y)[row] = l->texts[k];
    else ((int64_t *)l->y)[row] = l->numbers[k];
}

static int64_t largest(const double *v, int64_t n) {
    int64_t best = 0;
    for (int64_t k = 1; k < n; k++)
        if (v[k] > v[best]) best = k;
    return best;
}

/* ---- linear */

/* E scores of each row of x into `out`. */
static nib_status linear_scores(op_eval *c, const rows *x, int64_t E, double **out) {
    const float *w, *b;
    int64_t cells, n = floats(c->node, "coefficients", &w), nb = floats(c->node, "intercepts", &b);
    if (E < 1 || !base_mul_i64(E, x->C, &cells) || n != cells || (nb != 0 && nb != E))
        return op_bad(c, NIB_BAD_MODEL, "coefficients do not fit");
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){x->N, E}), sizeof **out, out));
    for (int64_t i = 0; i < x->N * E; i++) {
        OP_TRY(op_spend(c, x->C, 1));
        double sum = nb ? (double)b[i % E] : 0;
        for (int64_t k = 0; k < x->C; k++) sum += x->v[i / E * x->C + k] * (double)w[i % E * x->C + k];
        (*out)[i] = sum;
    }
    return NIB_OK;
}

static nib_status put_scores(op_eval *c, int output, int64_t N, int64_t E, double *v, int how) {
    float *y;
    OP_TRY(op_out(c, output, NIB_DTYPE_F32, &(op_dims){2, {N, E}}, &y));
    for (int64_t r = 0; y && r < N; r++) {
        op_ml_transform(v + r * E, E, how);
        for (int64_t k = 0; k < E; k++) y[r * E + k] = (float)v[r * E + k];
    }
    return NIB_OK;
}

static nib_status eval_linear(op_eval *c) {
    int64_t E = graph_attr_int(c->node, "targets", 1);
    rows x;
    double *v;
    int how;
    OP_TRY(transform_of(c, &how));
    OP_TRY(rows_of(c, 0, &x));
    OP_TRY(linear_scores(c, &x, E, &v));
    return put_scores(c, 0, x.N, E, v, how);
}

/* One score for two labels: it is the second's; the first gets what is left. */
static nib_status eval_linear_classifier(op_eval *c) {
    const float *b;
    rows x;
    labels l;
    double *v, *two;
    int how;
    OP_TRY(transform_of(c, &how));
    OP_TRY(rows_of(c, 0, &x));
    OP_TRY(labels_of(c, "classlabels_ints", x.N, &l));
    bool single = l.count == 2 && floats(c->node, "intercepts", &b) == 1;
    int64_t E = single ? 1 : l.count;
    OP_TRY(linear_scores(c, &x, E, &v));
    for (int64_t r = 0; r < x.N; r++) put_label(&l, r, single ? v[r] > 0 : largest(v + r * E, E));
    if (!single) return put_scores(c, 1, x.N, E, v, how);
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){x.N, 2}), sizeof *two, &two));
    for (int64_t r = 0; r < x.N; r++) {
        two[2 * r] = -v[r];
        two[2 * r + 1] = v[r];
    }
    return put_scores(c, 1, x.N, 2, two, how);
}

/* ---- SVMRegressor */

static double kernel(char kind, const double *p, const double *x, const float *s, int64_t n) {
    double dot = 0, far = 0;
    for (int64_t k = 0; k < n; k++) {
        dot += x[k] * (double)s[k];
        far += (x[k] - (double)s[k]) * (x[k] - (double)s[k]);
    }
    return kind == 'L' ? dot : kind == 'P' ? pow(p[0] * dot + p[1], p[2]) : kind == 'R' ? exp(-p[0] * far) : tanh(p[0] * dot + p[1]);
}

static nib_status eval_svm(op_eval *c) {
    const float *w, *s, *rho, *params;
    const char *kind = graph_attr_string(c->node, "kernel_type", "LINEAR");
    int64_t supports = graph_attr_int(c->node, "n_supports", 0), n = floats(c->node, "coefficients", &w),
            ns = floats(c->node, "support_vectors", &s), cells;
    double p[3] = {0, 0, 3}, *v;
    rows x;
    int how;
    OP_TRY(transform_of(c, &how));
    OP_TRY(rows_of(c, 0, &x));
    if (floats(c->node, "rho", &rho) < 1) return op_bad(c, NIB_BAD_MODEL, "rho is missing");
    for (int64_t i = 0; i < 3 && i < floats(c->node, "kernel_params", &params); i++) p[i] = (double)params[i];
    bool direct = supports <= 0; /* the coefficients are the weights */
    if (direct ? n != x.C : (n != supports || !base_mul_i64(supports, x.C, &cells) || ns != cells))
        return op_bad(c, NIB_BAD_MODEL, "support vectors do not fit");
    if (!strchr("LPRS", kind[0]) || !kind[0]) return op_bad(c, NIB_UNSUPPORTED, "kernel_type %s", kind);
    OP_TRY(op_scratch(c, x.N, sizeof *v, &v));
    for (int64_t r = 0; r < x.N; r++) {
        v[r] = (double)rho[0];
        OP_TRY(op_spend(c, direct ? 1 : supports, 2 * x.C + 8));
        for (int64_t i = 0; i < supports; i++) v[r] += (double)w[i] * kernel(kind[0], p, x.v + r * x.C, s + i * x.C, x.C);
        if (direct) v[r] += kernel(kind[0], p, x.v + r * x.C, w, x.C);
        if (graph_attr_int(c->node, "one_class", 0)) v[r] = v[r] > 0 ? 1 : -1;
    }
    return put_scores(c, 0, x.N, 1, v, how);
}

/* ---- inference */

static nib_status infer_floats(op_infer *c) { return op_set_like(c, 0, NIB_DTYPE_F32, op_in_type(c, 0)); }

static nib_status infer_table(op_infer *c, int output, int64_t width) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim N = x->rank == 2 ? x->dims[0] : x->rank == 1 ? op_const(c, 1) : NULL;
    return op_set(c, output, NIB_DTYPE_F32, 2, (graph_dim[]){N, width > 0 ? op_const(c, width) : NULL});
}

static nib_status infer_vectorize(op_infer *c) {
    const int64_t *sizes;
    int64_t n = graph_attr_ints(c->node, "inputdimensions", &sizes), width = 0;
    for (int64_t i = 0; i < n && width >= 0; i++) width = sizes[i] < 0 || sizes[i] > ((int64_t)1 << 40) ? -1 : width + sizes[i];
    return infer_table(c, 0, width);
}

static nib_status infer_one_hot(op_infer *c) {
    const graph_attr *words = graph_find_attr(c->node, "cats_strings");
    const int64_t *numbers;
    graph_type t = *op_in_type(c, 0);
    int64_t count = t.dtype == NIB_DTYPE_STRING ? (words && words->kind == GRAPH_ATTR_STRINGS ? (int64_t)words->count : -1)
                                                : graph_attr_ints(c->node, "cats_int64s", &numbers);
    if (t.rank < 0 || t.rank == GRAPH_MAX_RANK || t.dtype == NIB_DTYPE_UNDEFINED) return op_set(c, 0, NIB_DTYPE_F32, -1, NULL);
    t.dims[t.rank++] = count >= 0 ? op_const(c, count) : NULL;
    return op_set_like(c, 0, NIB_DTYPE_F32, &t);
}

static nib_status infer_linear(op_infer *c) { return infer_table(c, 0, graph_attr_int(c->node, "targets", 1)); }
static nib_status infer_svm(op_infer *c) { return infer_table(c, 0, 1); }

static nib_status infer_classifier(op_infer *c) {
    const graph_attr *texts = graph_find_attr(c->node, "classlabels_strings");
    const graph_type *x = op_in_type(c, 0);
    const int64_t *numbers;
    bool text = texts && texts->kind == GRAPH_ATTR_STRINGS && texts->count > 0;
    int64_t n = text ? (int64_t)texts->count : graph_attr_ints(c->node, "classlabels_ints", &numbers);
    graph_dim N = x->rank == 2 ? x->dims[0] : x->rank == 1 ? op_const(c, 1) : NULL;
    OP_TRY(op_set(c, 0, text ? NIB_DTYPE_STRING : NIB_DTYPE_I64, 1, &N));
    return infer_table(c, 1, n);
}

#define ML "ai.onnx.ml"
const op op_family_ml_model[] = {
    {"FeatureVectorizer", ML, 1, 1, INT_MAX, 1, OP_ROWS_MIXED, infer_vectorize, eval_vectorize, NULL},
    {"Imputer", ML, 1, 1, 1, 1, OP_ROWS_MIXED, op_infer_same, eval_impute, NULL},
    {"LinearClassifier", ML, 1, 1, 1, 2, OP_ROWS_MIXED, infer_classifier, eval_linear_classifier, NULL},
    {"LinearRegressor", ML, 1, 1, 1, 1, OP_ROWS_MIXED, infer_linear, eval_linear, NULL},
    {"Normalizer", ML, 1, 1, 1, 1, OP_ROWS_MIXED, infer_floats, eval_normalize, NULL},
    {"OneHotEncoder", ML, 1, 1, 1, 1, OP_ROWS_MIXED, infer_one_hot, eval_one_hot, NULL},
    {"SVMRegressor", ML, 1, 1, 1, 1, OP_ROWS_MIXED, infer_svm, eval_svm, NULL},
    {"Scaler", ML, 1, 1, 1, 1, OP_ROWS_MIXED, infer_floats, eval_scale, NULL},
    {0},
};
