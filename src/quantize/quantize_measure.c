/* SPDX-License-Identifier: Apache-2.0
 *
 * What rounding did to vectors. In: texts, models. Out: cosines and neighbours.
 */
#include "quantize.h"
#include "base/base_sort.h"
#include "task/task.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

nib_status quantize_open_model(nib_runtime *runtime, const model_source *source, nib_precision precision, int optimize, nib_model **out,
                               nib_error *err) {
    nib_model_options o = {
        .size = sizeof o, .runtime = runtime, .precision = precision, .normalize = -1, .optimize = optimize, .pack = -1};
    o.task = NIB_TASK_EMBED;
    return model_open(source, &o, out, err);
}

nib_status quantize_vectors(nib_model *m, const char *const *texts, size_t n, float **out, int64_t *width, nib_error *err) {
    nib_status status = NIB_OK;
    const model_program *p;
    nib_embed_options o = {.size = sizeof o};
    base_heap *heap = &m->runtime->heap;
    *out = NULL;
    NIB_TRY(model_check_tokenizer(m, err));
    NIB_TRY(model_get_program(m, NIB_TASK_EMBED, &p, err));
    *width = p->width;
    *out = base_calloc(heap, n * (size_t)p->width + 1, sizeof **out);
    if (!*out) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu vectors", n);
    NIB_TRY(task_embed(m, texts, n, &o, *out, err));
fail:
    if (status != NIB_OK) base_free(heap, *out), *out = NULL;
    return status;
}

static double dot(const float *a, const float *b, int64_t n) {
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)a[i] * b[i];
    return s;
}

static double cosine(const float *a, const float *b, int64_t n) {
    const double x = dot(a, a, n) * dot(b, b, n);
    return x > 0 ? task_cosine(dot(a, b, n), sqrt(x)) : dot(a, a, n) == dot(b, b, n);
}

static bool all_numbers(const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The QUANTIZE_NEIGHBOURS texts that are nearest to text i, the first of equals. */
static void nearest(const float *v, size_t n, int64_t width, size_t i, size_t out[QUANTIZE_NEIGHBOURS]) {
    double best[QUANTIZE_NEIGHBOURS];
    int count = 0;
    for (size_t k = 0; k < n; k++) {
        if (k == i) continue;
        const double c = cosine(v + i * (size_t)width, v + k * (size_t)width, width);
        int at = count < QUANTIZE_NEIGHBOURS ? count++ : QUANTIZE_NEIGHBOURS;
        for (; at > 0 && c > best[at - 1]; at--)
            if (at < QUANTIZE_NEIGHBOURS) best[at] = best[at - 1], out[at] = out[at - 1];
        if (at < QUANTIZE_NEIGHBOURS) best[at] = c, out[at] = k;
    }
}

#define MOST_FOR_NEIGHBOURS 2000 /* texts: each is compared with each */

void quantize_compare(const float *a, const float *b, size_t n, int64_t width, quantize_quality *out) {
    double *cosines = malloc((n + 1) * sizeof *cosines);
    *out = (quantize_quality){.known = cosines != NULL, .worst = 1, .overlap = -1, .texts = n};
    if (!cosines) return (void)snprintf(out->why, sizeof out->why, "out of memory");
    for (size_t i = 0; i < n; i++) {
        double c = cosine(a + i * (size_t)width, b + i * (size_t)width, width);
        cosines[i] = c = isnan(c) ? -1 : c;
        out->lost += !all_numbers(b + i * (size_t)width, width) && all_numbers(a + i * (size_t)width, width);
        out->mean += c;
        if (c < out->worst) out->worst = c;
    }
    if (n) out->mean /= (double)n; /* of equal vectors 1, not nearly */
    base_sort(cosines, n, sizeof *cosines, by_size);
    out->fifth = n ? cosines[n / 20] : 1;
    free(cosines);
    if (n <= QUANTIZE_NEIGHBOURS || n > MOST_FOR_NEIGHBOURS) return;
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        size_t x[QUANTIZE_NEIGHBOURS], y[QUANTIZE_NEIGHBOURS];
        nearest(a, n, width, i, x);
        nearest(b, n, width, i, y);
        for (int k = 0; k < QUANTIZE_NEIGHBOURS; k++)
            for (int j = 0; j < QUANTIZE_NEIGHBOURS; j++) same += x[k] == y[j];
    }
    out->overlap = (double)same / (double)(n * QUANTIZE_NEIGHBOURS);
}
