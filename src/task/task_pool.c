/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_pool.h. Ward's method by chains of nearest neighbours (Murtagh, 1983; Müllner, 2011): a chain follows
 * nearest neighbours until two are each other's, which are merged. Merges are found out of order, sorted by distance,
 * and numbered as scipy numbers them, so that clusters come out in its order.
 */
#include "task_pool.h"
#include "base/base_error.h"
#include "base/base_sort.h"
#include <math.h>
#include <string.h>

typedef struct merge {
    size_t a, b;  /* what was merged: points, then clusters by n + their place */
    double at;    /* at which distance */
    size_t order; /* in which it was found */
} merge;

typedef struct clustering {
    size_t n;
    double *distances; /* [n (n - 1) / 2] of clusters, by one of their points; i < j at row i */
    size_t *sizes;     /* [n] points of the cluster that this point stands for; 0: it stands for none */
    size_t *chain;     /* [n] */
    merge *merges;     /* [n - 1] */
    size_t *parents;   /* [2 n] */
    size_t *labels;    /* [n] */
    size_t *stack;     /* [n] */
    bool *visited;     /* [2 n] */
} clustering;

static double *distance(const clustering *c, size_t i, size_t j) {
    const size_t a = i < j ? i : j, b = i < j ? j : i;
    return &c->distances[c->n * a - a * (a + 1) / 2 + (b - a - 1)];
}

/* ---- merges */

/* The end of a chain whose last two are each other's nearest. */
static size_t follow(clustering *c, size_t length) {
    for (;;) {
        const size_t x = c->chain[length - 1], before = length > 1 ? c->chain[length - 2] : x;
        size_t y = before;
        double least = length > 1 ? *distance(c, x, before) : INFINITY;
        for (size_t i = 0; i < c->n; i++) {
            if (c->sizes[i] == 0 || i == x) continue;
            const double d = *distance(c, x, i);
            if (d < least) least = d, y = i;
        }
        if ((length > 1 && y == before) || y == x) return length;
        c->chain[length++] = y;
    }
}

/* Cluster y becomes both: by Lance and Williams' formula of Ward's method. */
static void merge_pair(clustering *c, size_t x, size_t y) {
    const double d = *distance(c, x, y), nx = (double)c->sizes[x], ny = (double)c->sizes[y];
    c->sizes[y] += c->sizes[x];
    c->sizes[x] = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->sizes[i] == 0 || i == y) continue;
        const double ni = (double)c->sizes[i], dx = *distance(c, i, x), dy = *distance(c, i, y), t = 1 / (nx + ny + ni);
        *distance(c, i, y) = sqrt((ni + nx) * t * dx * dx + (ni + ny) * t * dy * dy - ni * t * d * d);
    }
}

static void find_merges(clustering *c) {
    size_t length = 0;
    for (size_t k = 0; k + 1 < c->n; k++) {
        if (length == 0) {
            size_t first = 0;
            while (c->sizes[first] == 0) first++;
            c->chain[length++] = first;
        }
        length = follow(c, length);
        size_t x = c->chain[length - 1], y = length > 1 ? c->chain[length - 2] : x;
        if (y == x) /* all distances are no numbers: anything goes, and comes to an end */
            for (y = 0; c->sizes[y] == 0 || y == x;) y++;
        length = length > 1 ? length - 2 : 0;
        const size_t a = x < y ? x : y, b = x < y ? y : x;
        c->merges[k] = (merge){a, b, *distance(c, a, b), k};
        merge_pair(c, a, b);
    }
}

static int by_distance(const void *a, const void *b) {
    const merge *x = a, *y = b;
    if (x->at < y->at || x->at > y->at) return x->at < y->at ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static size_t root_of(clustering *c, size_t x) {
    while (c->parents[x] != x) x = c->parents[x] = c->parents[c->parents[x]];
    return x;
}

/* Points become clusters' numbers: merge k makes n + k, of the lower number and the higher. */
static void number_merges(clustering *c) {
    base_sort(c->merges, c->n - 1, sizeof *c->merges, by_distance);
    for (size_t i = 0; i < 2 * c->n; i++) c->parents[i] = i;
    for (size_t k = 0; k + 1 < c->n; k++) {
        const size_t x = root_of(c, c->merges[k].a), y = root_of(c, c->merges[k].b);
        c->merges[k].a = x < y ? x : y;
        c->merges[k].b = x < y ? y : x;
        c->parents[x] = c->parents[y] = c->n + k;
    }
}

/* ---- clusters */

/* The distance below which clusters stay: the least of a merge's that leaves no more than `most`. Merges at one
 * distance are made together. */
static double find_cut(const clustering *c, size_t most) {
    size_t k = c->n - most - 1;
    while (k + 2 < c->n && !(c->merges[k].at <= c->merges[k + 1].at)) k++; /* no numbers: all of them */
    return c->merges[k].at;
}

/* Labels from 0, in the order in which a walk down from the root meets clusters: inner nodes first, the lower number
 * before the higher, then points. Returns how many. */
static size_t label_points(clustering *c, double cut) {
    size_t count = 0, depth = 1, leader = SIZE_MAX;
    memset(c->visited, 0, 2 * c->n * sizeof *c->visited);
    c->stack[0] = c->n - 2;
    while (depth > 0) {
        const size_t k = c->stack[depth - 1];
        const merge *m = &c->merges[k];
        const size_t sides[2] = {m->a, m->b};
        bool down = false;
        if (leader == SIZE_MAX && m->at <= cut) leader = k, count++;
        for (int s = 0; s < 2 && !down; s++) {
            if (sides[s] < c->n || c->visited[sides[s]]) continue;
            c->visited[sides[s]] = down = true;
            c->stack[depth++] = sides[s] - c->n;
        }
        if (down) continue;
        for (int s = 0; s < 2; s++) {
            if (sides[s] >= c->n) continue;
            if (leader == SIZE_MAX) count++;
            c->labels[sides[s]] = count - 1;
        }
        if (leader == k) leader = SIZE_MAX;
        depth--;
    }
    return count;
}

/* ---- rows */

static void normalize(float *row, int64_t width) {
    double sum = 0;
    for (int64_t k = 0; k < width; k++) sum += (double)row[k] * (double)row[k];
    const float length = (float)sqrt(sum);
    for (int64_t k = 0; k < width; k++) row[k] /= length > 1e-12f ? length : 1e-12f;
}

static void measure(clustering *c, const float *rows, int64_t width) {
    for (size_t i = 0; i < c->n; i++)
        for (size_t j = i + 1; j < c->n; j++) {
            const float *a = rows + (int64_t)i * width, *b = rows + (int64_t)j * width;
            float dot = 0;
            for (int64_t k = 0; k < width; k++) dot += a[k] * b[k];
            const float d = 1 - dot;
            *distance(c, i, j) = d < 0 ? 0 : d > 2 ? 2 : (double)d;
        }
}

/* Means of the rows of each label, which `sums` [count, width] has room for. */
static void average(const clustering *c, float *rows, int64_t width, size_t count, float *sums) {
    memset(sums, 0, count * (size_t)width * sizeof *sums);
    for (size_t label = 0; label < count; label++) c->sizes[label] = 0;
    for (size_t i = 0; i < c->n; i++) {
        float *to = sums + (int64_t)c->labels[i] * width;
        for (int64_t k = 0; k < width; k++) to[k] += rows[(int64_t)i * width + k];
        c->sizes[c->labels[i]]++;
    }
    for (size_t label = 0; label < count; label++)
        for (int64_t k = 0; k < width; k++)
            rows[(int64_t)label * width + k] = sums[(int64_t)label * width + k] / (float)c->sizes[label];
}

static void *take(char **at, size_t bytes) {
    void *here = *at;
    *at += (bytes + 63) / 64 * 64;
    return here;
}

/* One block for all of it; NULL: no memory. */
static void *make(base_heap *heap, clustering *c, size_t n, int64_t width, float **sums) {
    size_t pairs, all, rows;
    if (n > (size_t)1 << 31 || !base_mul_size(n * (n - 1) / 2, sizeof(double), &pairs)) return NULL;
    if (!base_mul_size(n, (size_t)width * sizeof(float), &rows) || !base_add_size(pairs, rows, &all)) return NULL;
    if (!base_add_size(all, n * (sizeof(merge) + 8 * sizeof(size_t) + 2) + 1024, &all)) return NULL;
    char *block = base_alloc(heap, all), *at = block;
    if (!block) return NULL;
    c->n = n;
    c->distances = take(&at, pairs);
    *sums = take(&at, rows);
    c->merges = take(&at, n * sizeof *c->merges);
    c->sizes = take(&at, n * sizeof *c->sizes);
    c->chain = take(&at, n * sizeof *c->chain);
    c->labels = take(&at, n * sizeof *c->labels);
    c->stack = take(&at, n * sizeof *c->stack);
    c->parents = take(&at, 2 * n * sizeof *c->parents);
    c->visited = take(&at, 2 * n);
    for (size_t i = 0; i < n; i++) c->sizes[i] = 1;
    return block;
}

nib_status task_pool(base_heap *heap, float *rows, size_t *n, int64_t width, double factor, nib_error *err) {
    const size_t others = *n > 0 ? *n - 1 : 0;
    const double wanted = floor((double)others / factor);
    const size_t clusters = wanted < 1 ? 1 : (size_t)wanted;
    if (clusters < others) {
        clustering c;
        float *sums;
        void *block = make(heap, &c, others, width, &sums);
        if (!block) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory to pool %zu tokens", others);
        measure(&c, rows + width, width);
        find_merges(&c);
        number_merges(&c);
        const size_t count = label_points(&c, find_cut(&c, clusters));
        average(&c, rows + width, width, count, sums);
        *n = 1 + count;
        base_free(heap, block);
    }
    for (size_t i = 0; i < *n; i++) normalize(rows + (int64_t)i * width, width);
    return NIB_OK;
}
