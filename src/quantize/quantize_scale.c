/* SPDX-License-Identifier: Apache-2.0
 *
 * Scale migration. In: what rows of x were like, and the weights [K, N] that they are multiplied with. Out: a factor for each of the K
 * columns, so that x / factor, in one scale for all of x, and factor * weight, in one scale a column, lose least together.
 *
 * SmoothQuant (Xiao et al., 2022, https://arxiv.org/abs/2211.10438) takes factor = most(|x|)^a / most(|w|)^(1 - a) with one a for a whole
 * model. Here each x has its own, and the exponents of both are apart: of a grid, the pair whose loss is least by what is known about
 * both. Rounding to steps d is off by d^2 / 12 in the mean, so the product loses
 *
 *     rows (range of x / 255)^2 / 12 sum_kn (factor w)^2  +  sum_n (most_k |factor w| / 127)^2 / 12 sum_k (sum of x^2) / factor^2
 *
 * of which the second counts WEIGHTS times: a reader that gives each row a scale of its own, as nib does, has less of the first.
 *
 * Where weights alone are rounded, to 4 bits, large columns of x want small errors: factor = (sum of x^2)^(a / 2), with the a whose
 * rounding loses least (AWQ, Lin et al., 2023, https://arxiv.org/abs/2306.00978). Such factors are powers of two, so that a scale that
 * takes one up stays one that f16 holds.
 */
#include "quantize.h"
#include <math.h>
#include <string.h>

#define LEAST_RATIO 1e-5 /* a column that is 0, or nearly, is taken for this share of the largest */
#define WEIGHTS 4        /* MiniLM, in nib and in ONNX Runtime: 1, 0.9991 and 0.9983; 4, 0.9993 and 0.9976; 16, 0.9993 and 0.9959 */
#define WORTH 0.95       /* a Mul is not added for less than a twentieth of the loss */

typedef struct migration {
    const quantize_moments *m;
    quantize_layers *layers;
    double *x, *w, *squares; /* [K]: most of |x|, most of |w|, sum of w^2 */
    double *factor, *column; /* [K], [widest N] */
    int64_t block;           /* 0: 8 bits of rows and weights */
} migration;

static bool takes_part(const migration *g, const quantize_layer *l) {
    return l->x == g->m->x && !l->table && !l->kept && !l->why && !(g->block && l->K % g->block);
}

static double finite_at(const float *w, int64_t i) { return isfinite(w[i]) ? fabs((double)w[i]) : 0; }

static void look_at_weights(migration *g, const quantize_layer *l) {
    const float *w = l->w->data;
    for (int64_t k = 0; k < l->K; k++)
        for (int64_t n = 0; n < l->N; n++) {
            const double x = finite_at(w, k * l->N + n);
            if (x > g->w[k]) g->w[k] = x;
            g->squares[k] += x * x;
        }
}

/* What one layer's weights lose by their own rounding. */
static double weight_loss(const migration *g, const quantize_layer *l) {
    const int64_t K = l->K, N = l->N;
    double rows = 0, sum = 0;
    memset(g->column, 0, (size_t)N * sizeof *g->column);
    for (int64_t k = 0; k < K; k++) {
        const double f = g->factor[k];
        for (int64_t n = 0; n < N; n++) {
            const double x = f * finite_at(l->w->data, k * N + n);
            if (x > g->column[n]) g->column[n] = x;
        }
        rows += g->m->sum[k * K + k] / (f * f);
    }
    double most = 0;
    for (int64_t n = 0; n < N; n++) most = fmax(most, g->column[n]);
    for (int64_t n = 0; n < N && l->one_scale; n++) g->column[n] = most;
    for (int64_t n = 0; n < N; n++) sum += g->column[n] / 127 * (g->column[n] / 127);
    return sum / 12 * rows;
}

#define SAMPLES 64 /* columns of a weight that are rounded for a trial */

/* What a layer's weights lose in blocks of 4 bits, by how large the rows are that meet them. */
static double block_loss(const migration *g, const quantize_layer *l) {
    const int64_t step = l->N > SAMPLES ? l->N / SAMPLES : 1;
    const float *w = l->w->data;
    double sum = 0;
    for (int64_t n = 0; n < l->N; n += step)
        for (int64_t at = 0; at < l->K; at += g->block) {
            double largest = 0;
            for (int64_t k = at; k < at + g->block; k++) {
                const double x = isfinite(w[k * l->N + n]) ? g->factor[k] * (double)w[k * l->N + n] : 0;
                if (fabs(x) > fabs(largest)) largest = x;
            }
            const double d = -largest / 8;
            for (int64_t k = at; k < at + g->block && d != 0; k++) {
                const double x = isfinite(w[k * l->N + n]) ? g->factor[k] * (double)w[k * l->N + n] : 0;
                const double off = (x - d * fmin(7, rint(x / d))) / g->factor[k];
                sum += off * off * g->m->sum[k * g->m->K + k];
            }
        }
    return sum * (double)step;
}

static double loss_of(const migration *g) {
    double lo = 0, hi = 0, squares = 0, sum = 0;
    for (int i = 0; g->block && i < g->layers->count; i++)
        if (takes_part(g, &g->layers->items[i])) sum += block_loss(g, &g->layers->items[i]);
    if (g->block) return sum;
    for (int64_t k = 0; k < g->m->K; k++) {
        lo = fmin(lo, g->m->least[k] / g->factor[k]), hi = fmax(hi, g->m->most[k] / g->factor[k]);
        squares += g->factor[k] * g->factor[k] * g->squares[k];
    }
    for (int i = 0; i < g->layers->count; i++)
        if (takes_part(g, &g->layers->items[i])) sum += weight_loss(g, &g->layers->items[i]);
    return WEIGHTS * sum + (double)g->m->rows * (hi - lo) / 255 * (hi - lo) / 255 / 12 * squares;
}

/* factor = x^a / w^b, of mean 1 in its logarithm. */
static void set_factors(const migration *g, double a, double b) {
    const int64_t K = g->m->K;
    double mean = 0;
    for (int64_t k = 0; k < K; k++) mean += (g->factor[k] = a * log(g->x[k]) - b * log(g->w[k])) / (double)K;
    for (int64_t k = 0; k < K; k++) g->factor[k] = exp(g->factor[k] - mean);
    for (int64_t k = 0; k < K && g->block; k++) g->factor[k] = exp2(nearbyint(log2(g->factor[k])));
}

static bool no_zeros(double *x, int64_t K) {
    double most = 0;
    for (int64_t k = 0; k < K; k++) most = fmax(most, x[k]);
    for (int64_t k = 0; k < K; k++) x[k] = fmax(x[k], LEAST_RATIO * most);
    return most > 0 && isfinite(most);
}

/* The best pair's factors; false: none are better. */
static bool choose(const migration *g) {
    static const double steps[] = {0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1};
    double best_a = 0, best_b = 0, plain = 0, best = 0;
    for (size_t i = 0; i < BASE_COUNT(steps); i++)
        for (int b = 0; b < (g->block ? 1 : 3); b++) {
            const double other = (1 - steps[i]) * b / 2;
            if (b && other == 0) continue;
            set_factors(g, steps[i], other);
            const double loss = loss_of(g);
            if (!i && !b) plain = best = loss;
            if (loss < best) best = loss, best_a = steps[i], best_b = other;
        }
    set_factors(g, best_a, best_b);
    return best < WORTH * plain;
}

nib_status quantize_migrate(base_heap *heap, quantize_layers *layers, const quantize_moments *moments, int64_t block, nib_error *err) {
    nib_status status = NIB_OK;
    migration g = {.m = moments, .layers = layers, .block = block};
    const size_t K = (size_t)moments->K;
    size_t N = 0;
    double *all = NULL;
    for (int i = 0; i < layers->count; i++)
        if (takes_part(&g, &layers->items[i]) && (size_t)layers->items[i].N > N) N = (size_t)layers->items[i].N;
    if (!N || !moments->least || !moments->rows) return NIB_OK;
    all = base_calloc(heap, 4 * K + N, sizeof *all);
    if (!all) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for factors");
    g.x = all, g.w = all + K, g.squares = all + 2 * K, g.factor = all + 3 * K, g.column = all + 4 * K;
    for (size_t k = 0; k < K; k++)
        g.x[k] = block ? sqrt(fmax(moments->sum[k * K + k], 0)) : fmax(fabs((double)moments->least[k]), fabs((double)moments->most[k]));
    for (int i = 0; i < layers->count; i++)
        if (takes_part(&g, &layers->items[i])) look_at_weights(&g, &layers->items[i]);
    if (!no_zeros(g.x, moments->K) || !no_zeros(g.w, moments->K) || !choose(&g)) goto fail;
    for (int i = 0; i < layers->count; i++) {
        quantize_layer *l = &layers->items[i];
        if (!takes_part(&g, l)) continue;
        if (!(l->factor = base_alloc(heap, K * sizeof *l->factor))) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for factors");
        for (size_t k = 0; k < K; k++) l->factor[k] = (float)g.factor[k];
    }
fail:
    base_free(heap, all);
    return status;
}
