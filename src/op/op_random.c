/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers, https://onnx.ai/onnx/operators/: RandomNormal RandomUniform and their Like forms, Bernoulli, Multinomial,
 * and what Dropout drops in training. The standard fixes distributions, not numbers. Here a node's numbers depend on its seed
 * alone and, without one, on its output's name: a run gives the same bits every time, on every CPU and thread.
 */
#include "op_random.h"

/* SplitMix64 (G. Steele et al., Fast Splittable Pseudorandom Number Generators, 2014) */
static uint64_t next(op_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

op_random op_random_of(const graph_node *n) {
    op_random r = {1469598103934665603ull};
    const graph_attr *seed = graph_find_attr(n, "seed");
    const char *name = n->n_outputs && n->outputs[0] ? n->outputs[0]->name : n->op;
    if (seed && seed->kind == GRAPH_ATTR_FLOAT) memcpy(&r.state, &seed->u.f, sizeof seed->u.f);
    else if (seed && seed->kind == GRAPH_ATTR_INT) r.state = (uint64_t)seed->u.i;
    else
        for (const char *p = name; *p; p++) r.state = (r.state ^ (unsigned char)*p) * 1099511628211ull;
    return r;
}

double op_random_uniform(op_random *r) { return (double)(next(r) >> 11) * 0x1p-53; }

/* Box and Muller's: of two uniform numbers one normal one. */
static double normal(op_random *r) {
    double u = 1 - op_random_uniform(r), v = op_random_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

static nib_dtype wanted_type(const graph_node *n, nib_dtype otherwise) {
    int64_t to = graph_attr_int(n, "dtype", 0);
    return to > 0 && to <= NIB_DTYPE_I2 ? (nib_dtype)to : otherwise;
}

static nib_status shape_of(op_eval *c, op_dims *dims) {
    const int64_t *list;
    int64_t n = graph_attr_ints(c->node, "shape", &list);
    if (n < 0 || n > GRAPH_MAX_RANK) return op_bad(c, NIB_BAD_MODEL, "attribute `shape` is missing or too long");
    dims->rank = (int)n;
    for (int i = 0; i < dims->rank; i++)
        if ((dims->d[i] = list[i]) < 0) return op_bad(c, NIB_SHAPE, "size %lld", (long long)list[i]);
    return NIB_OK;
}

static nib_status draw(op_eval *c, bool is_normal) {
    op_dims dims;
    op_random r = op_random_of(c->node);
    void *y;
    double a = graph_attr_float(c->node, is_normal ? "mean" : "low", 0), b = graph_attr_float(c->node, is_normal ? "scale" : "high", 1);
    nib_dtype dtype = wanted_type(c->node, c->n_in ? op_arg(c, 0)->dtype : NIB_DTYPE_F32);
    if (c->n_in) dims = op_dims_of(op_arg(c, 0));
    else OP_TRY(shape_of(c, &dims));
    if (!op_is_float(dtype)) return op_bad(c, NIB_TYPE, "numbers of type %s", nib_dtype_name(dtype));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) op_put(dtype, y, i, is_normal ? a + b * normal(&r) : a + (b - a) * op_random_uniform(&r));
    return NIB_OK;
}
static nib_status eval_normal(op_eval *c) { return draw(c, true); }
static nib_status eval_uniform(op_eval *c) { return draw(c, false); }

static nib_status eval_bernoulli(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    op_random r = op_random_of(c->node);
    nib_dtype dtype = wanted_type(c->node, x->dtype);
    double *p;
    void *y;
    OP_TRY(op_reals(c, x, &p));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) op_put(dtype, y, i, op_random_uniform(&r) < p[i]);
    return NIB_OK;
}

static nib_status eval_multinomial(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t samples = graph_attr_int(c->node, "sample_size", 1);
    op_random r = op_random_of(c->node);
    nib_dtype dtype = wanted_type(c->node, NIB_DTYPE_I32);
    double *p;
    void *y;
    if (x->rank != 2 || samples < 0 || x->dims[1] < 1)
        return op_bad(c, NIB_SHAPE, "input of rank %d, %lld samples", x->rank, (long long)samples);
    op_dims dims = {2, {x->dims[0], samples}};
    OP_TRY(op_reals(c, x, &p));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    for (int64_t row = 0, n = x->dims[1]; y && row < x->dims[0]; row++) {
        double *line = p + row * n, most = line[0], sum = 0;
        for (int64_t k = 1; k < n; k++) most = fmax(most, line[k]);
        for (int64_t k = 0; k < n; k++) sum += line[k] = exp(line[k] - most);
        for (int64_t i = 0; i < samples; i++) {
            OP_TRY(op_spend(c, n, 1));
            double left = op_random_uniform(&r) * sum;
            int64_t k = 0;
            while (k < n - 1 && left >= line[k]) left -= line[k++];
            op_put(dtype, y, row * samples + i, (double)k);
        }
    }
    return NIB_OK;
}

static nib_status infer_shape(op_infer *c) {
    const int64_t *list;
    int64_t n = graph_attr_ints(c->node, "shape", &list);
    graph_dim dims[GRAPH_MAX_RANK];
    if (n < 0 || n > GRAPH_MAX_RANK) return op_fail(c, NIB_BAD_MODEL, "attribute `shape` is missing or too long");
    for (int i = 0; i < n; i++) dims[i] = op_const(c, list[i]);
    return op_set(c, 0, wanted_type(c->node, NIB_DTYPE_F32), (int)n, dims);
}
static nib_status infer_like(op_infer *c) { return op_set_like(c, 0, wanted_type(c->node, op_in_type(c, 0)->dtype), op_in_type(c, 0)); }
static nib_status infer_multinomial(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[2] = {x->rank == 2 ? x->dims[0] : NULL, op_const(c, graph_attr_int(c->node, "sample_size", 1))};
    return op_set(c, 0, wanted_type(c->node, NIB_DTYPE_I32), 2, dims);
}

const op op_family_random[] = {
    {"Bernoulli", "", 15, 1, 1, 1, OP_ROWS_MIXED, infer_like, eval_bernoulli, NULL},
    {"Multinomial", "", 7, 1, 1, 1, OP_ROWS_MIXED, infer_multinomial, eval_multinomial, NULL},
    {"RandomNormal", "", 1, 0, 0, 1, OP_ROWS_MIXED, infer_shape, eval_normal, NULL},
    {"RandomNormalLike", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_like, eval_normal, NULL},
    {"RandomUniform", "", 1, 0, 0, 1, OP_ROWS_MIXED, infer_shape, eval_uniform, NULL},
    {"RandomUniformLike", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_like, eval_uniform, NULL},
    {0},
};
