/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a value of f32 rows that are about to be quantized. Out: a factor for each column, so that columns of large numbers do not
 * decide the scale of all others, if the graph tells how large they are: it does where the rows come out of a norm.
 *
 * Moving scale from activations into weights is SmoothQuant's idea (Xiao et al., 2022), with the migration strength 1/2; its
 * calibration data is not needed here, because column k of a norm's output is beta[k] + gamma[k] times a number of variance 1. The
 * size of the weights is measured on the columns whose products are carried on: where an attention reads queries, keys and
 * values of the same rows, on the values' alone, for the others only steer a softmax. Factors are powers of two: nothing is
 * rounded by them.
 */
#include "quant.h"
#include "base/base_half.h"
#include "op/op_nib.h"
#include <math.h>
#include <string.h>

#define NORM_SPREAD 3.0 /* a number of variance 1 seldom lies further out */
#define SAMPLES 64      /* columns of a weight that are looked at */
#define MOST 8          /* a factor lies between 2^-8 and 2^8 */

/* The first of a Linear's columns that are carried on; those before it, of N, are an attention's queries and keys. */
static int64_t first_carried(const graph_node *n, int64_t N) {
    const graph_value *y = n->outputs[0];
    op_attention a;
    if (y->use_count == 1 && graph_is_op(y->uses->node, "nib", "Rotary")) y = y->uses->node->outputs[0];
    for (const graph_use *u = y->uses; u; u = u->next) {
        if (!op_attention_get(u->node, &a)) continue;
        if (a.k) return a.v == y ? 0 : N;
        if (a.heads > 0 && a.kv_heads > 0 && N % (a.heads + 2 * a.kv_heads) == 0)
            return N / (a.heads + 2 * a.kv_heads) * (a.heads + a.kv_heads);
    }
    return 0;
}

/* Adds up the squares of w(k, n) over some of the columns [lo, hi); returns how many. */
static int64_t add_squares(const graph_tensor *w, bool trans, int64_t lo, int64_t hi, double *squares) {
    const int64_t K = w->dims[trans], N = w->dims[!trans], step = hi - lo > SAMPLES ? (hi - lo) / SAMPLES : 1;
    int64_t count = 0;
    for (int64_t n = lo; n < hi; n += step, count++)
        for (int64_t k = 0; k < K; k++) {
            float x;
            base_widen(w->dtype, (const char *)w->data + graph_type_bytes(w->dtype, (size_t)(trans ? n * K + k : k * N + n)), 1, &x);
            if (isfinite(x)) squares[k] += (double)x * (double)x;
        }
    return count;
}

/* The same over all weights of a Linear [K, ..]. */
static int64_t add_linear(const graph_node *n, const op_linear *l, int64_t K, double *squares) {
    int64_t N = 0, seen = 0, column = 0;
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *w = l->weights[i]->constant;
        if (!w || !op_is_weight_type(w->dtype) || w->dims[l->trans] != K) return 0;
        N += w->dims[!l->trans];
    }
    const int64_t first = first_carried(n, N);
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *w = l->weights[i]->constant;
        int64_t columns = w->dims[!l->trans], lo = first > column ? first - column : 0;
        if (lo < columns) seen += add_squares(w, l->trans, lo, columns, squares);
        column += columns;
    }
    return seen;
}

static float number_at(const graph_value *v, int64_t i) {
    float x = 0;
    if (v) memcpy(&x, (const char *)v->constant->data + i * (int64_t)sizeof(float), sizeof x);
    return x;
}

static bool is_vector(const graph_value *v, int64_t C) {
    return v->constant && v->constant->dtype == NIB_DTYPE_F32 && graph_tensor_elements(v->constant) == C;
}

/* log2 of sqrt(size of column k of the rows / size of row k of the weights), less the mean. */
static void balance(const graph_node *norm, const double *squares, int64_t K, double *log2s) {
    double sum = 0;
    for (int64_t k = 0; k < K; k++) {
        double x = NORM_SPREAD * fabs((double)number_at(norm->inputs[1].value, k)) +
                   fabs((double)number_at(norm->n_inputs > 2 ? norm->inputs[2].value : NULL, k));
        log2s[k] = x > 0 && isfinite(x) && squares[k] > 0 ? 0.5 * (log2(x) - 0.5 * log2(squares[k])) : NAN;
    }
    int64_t known = 0;
    for (int64_t k = 0; k < K; k++)
        if (isfinite(log2s[k])) sum += log2s[k], known++;
    for (int64_t k = 0; k < K; k++) log2s[k] = isfinite(log2s[k]) ? log2s[k] - sum / (double)known : 0;
}

nib_status quant_smooth(pass_context *ctx, const graph_value *x, graph_value **factor) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    const graph_node *norm = x->producer;
    double *squares = NULL;
    int64_t K, seen = 0;
    *factor = NULL;
    if (!graph_is_op(norm, "nib", "Norm") || x != norm->outputs[0] || x->type.rank < 1 ||
        !graph_dim_is_const(x->type.dims[x->type.rank - 1], &K))
        return NIB_OK;
    if (!is_vector(norm->inputs[1].value, K) || (norm->n_inputs > 2 && norm->inputs[2].value && !is_vector(norm->inputs[2].value, K)))
        return NIB_OK;
    squares = base_calloc(g->heap, (size_t)K * 2, sizeof *squares);
    float *out = base_arena_calloc(g->arena, (size_t)K, sizeof *out);
    if (!squares || !out) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    for (const graph_use *u = x->uses; u; u = u->next) {
        op_linear l;
        if (op_linear_get(u->node, &l) && l.x == x) seen += add_linear(u->node, &l, K, squares);
    }
    if (seen > 0) {
        balance(norm, squares, K, squares + K);
        for (int64_t k = 0; k < K; k++) {
            double l = nearbyint(squares[K + k]);
            out[k] = ldexpf(1, -(int)(l > MOST ? MOST : l < -MOST ? -MOST : l));
        }
        graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {K}, .data = out, .bytes = (size_t)K * sizeof *out};
        *factor = graph_add_constant(g, x->name, &t, false);
        if (!*factor) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    }
fail:
    base_free(g->heap, squares);
    return status;
}
