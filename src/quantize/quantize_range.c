/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of rows that are rounded to 8 bits by one scale for good. In: what rows of x were like, and a sample of them. Out: the range
 * that is worth its 255 steps; what lies outside is clipped.
 *
 *     minmax      all that was seen
 *     percentile  all but one number in ten thousand at either end (a sample's)
 *     mse         of each end from all down to a fifth of it, what loses least by clipping and rounding together
 *     entropy     the one after which the histogram tells least about a number that it did not tell before (Kullback and Leibler's
 *                 divergence, as in TensorRT: Migacz, "8-bit inference with TensorRT", 2017)
 */
#include "quantize.h"
#include "base/base_sort.h"
#include <math.h>

#define SHRINKS 33
#define STEPS 255.0
#define OUTSIDE 1e-4
#define BINS 2048

typedef struct sample {
    float *x; /* [n], ascending */
    size_t n;
    double lo, hi; /* of all rows, 0 within */
} sample;

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void by_percentile(const sample *s, double *lo, double *hi) {
    const size_t cut = (size_t)(OUTSIDE * (double)s->n);
    *lo = fmin(0, s->x[cut]), *hi = fmax(0, s->x[s->n - 1 - cut]);
}

static double squares_lost(const sample *s, double lo, double hi) {
    const double step = (hi - lo) / STEPS;
    double sum = 0;
    for (size_t i = 0; i < s->n && step > 0; i++) {
        const double x = fmin(hi, fmax(lo, s->x[i])), off = lo + step * rint((x - lo) / step) - s->x[i];
        sum += off * off;
    }
    return sum;
}

/* What the histogram of `bins`, in which the first `kept` are all that is left, loses by being told in 128 levels. */
static double divergence(const double *bins, int kept) {
    double all = 0, tail = 0, sum = 0;
    for (int i = 0; i < BINS; i++) all += bins[i];
    for (int i = kept; i < BINS; i++) tail += bins[i];
    for (int level = 0; level < 128; level++) {
        const int from = level * kept / 128, to = (level + 1) * kept / 128;
        double total = 0;
        int used = 0;
        for (int i = from; i < to; i++) total += bins[i], used += bins[i] > 0;
        for (int i = from; i < to; i++) {
            const double p = (bins[i] + (i == kept - 1 ? tail : 0)) / all, q = bins[i] > 0 ? total / used / all : 1e-9;
            if (p > 0) sum += p * log(p / q);
        }
    }
    return sum;
}

static double by_entropy(const sample *s) {
    double bins[BINS] = {0}, most = fmax(-s->lo, s->hi), best = INFINITY;
    int chosen = BINS;
    for (size_t i = 0; i < s->n; i++) {
        const int at = (int)(fabs((double)s->x[i]) / most * BINS);
        bins[at < BINS ? at : BINS - 1]++;
    }
    for (int kept = 128; kept <= BINS; kept += 32) {
        const double d = divergence(bins, kept);
        if (d < best) best = d, chosen = kept;
    }
    return most * chosen / BINS;
}

/* One end after the other. */
static void by_squares(const sample *s, double *lo, double *hi) {
    for (int end = 0; end < 2; end++) {
        const double all[2] = {*lo, *hi};
        double best = INFINITY;
        for (int i = 0; i < SHRINKS; i++) {
            const double part = 1 - 0.8 * i / (SHRINKS - 1), a = end ? all[0] : all[0] * part, b = end ? all[1] * part : all[1];
            const double lost = squares_lost(s, a, b);
            if (lost < best) best = lost, *lo = a, *hi = b;
        }
    }
}

static void choose(const sample *s, nib_ranges how, double *lo, double *hi) {
    double most;
    *lo = s->lo, *hi = s->hi;
    if (!s->n || !(s->hi > s->lo)) return;
    if (how == NIB_RANGES_PERCENTILE) by_percentile(s, lo, hi);
    if (how == NIB_RANGES_ENTROPY) most = by_entropy(s), *lo = fmax(s->lo, -most), *hi = fmin(s->hi, most);
    if (how == NIB_RANGES_MSE) by_squares(s, lo, hi);
}

nib_status quantize_range(base_heap *heap, quantize_layers *layers, const quantize_moments *m, nib_ranges how, nib_error *err) {
    sample s = {.n = (size_t)(m->sampled * m->K)};
    const float *factor = NULL;
    double lo, hi;
    for (int i = 0; i < layers->count; i++)
        if (layers->items[i].x == m->x && layers->items[i].factor) factor = layers->items[i].factor;
    if (how != NIB_RANGES_MINMAX && !(s.x = base_alloc(heap, (s.n + 1) * sizeof *s.x)))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a range");
    for (int64_t k = 0; k < m->K; k++) {
        const double f = factor ? factor[k] : 1;
        s.lo = fmin(s.lo, m->least[k] / f), s.hi = fmax(s.hi, m->most[k] / f);
    }
    if (!s.x) s.n = 0;
    for (size_t i = 0; i < s.n; i++) s.x[i] = m->sample[i] / (factor ? factor[i % (size_t)m->K] : 1);
    if (s.n) base_sort(s.x, s.n, sizeof *s.x, ascending);
    choose(&s, how, &lo, &hi);
    for (int i = 0; i < layers->count; i++)
        if (layers->items[i].x == m->x) layers->items[i].range[0] = (float)lo, layers->items[i].range[1] = (float)hi;
    base_free(heap, s.x);
    return NIB_OK;
}
