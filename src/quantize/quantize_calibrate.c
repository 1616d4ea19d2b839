/* SPDX-License-Identifier: Apache-2.0
 *
 * What rows reach each product. In: a graph, a model that is made of it (whose tokenizer and roles are used), texts. Out: the sum of x^T x
 * of each x, a few at a time: the graph runs once for each few, one text after the other, without padding, with those x as outputs.
 */
#include "quantize.h"
#include "cpu/cpu.h"
#include <string.h>

#define MOMENTS_BYTES ((size_t)128 << 20) /* of sums that are held at once */
#define ROWS 512                          /* that are multiplied at once */
#define SAMPLED 512                       /* rows that are kept of an x */

typedef struct calibration {
    nib_model *m;
    const graph *g;
    quantize_moments *moments; /* [count], of distinct x */
    float **rows;              /* [count], each [ROWS, K] of which `filled` are there */
    int64_t *filled;
    int count;
    nib_error *err;
} calibration;

/* ---------------------------------------------------------------- sums */

/* Adds what is there of x number i, and empties it. */
static nib_status flush(calibration *c, int i) {
    quantize_moments *m = &c->moments[i];
    const quantize_matrix turned = {.data = c->rows[i], .row = 1, .column = m->K, .sign = 1},
                          rows = {.data = c->rows[i], .row = m->K, .column = 1, .sign = 1};
    const int64_t T = c->filled[i];
    c->filled[i] = 0;
    return quantize_multiply(c->m->runtime, &turned, &rows, m->sum, m->K, m->K, m->K, T, c->err);
}

static void widen_range(quantize_moments *m, const float *x, int64_t rows) {
    if (!m->rows) memcpy(m->least, x, (size_t)m->K * sizeof *x), memcpy(m->most, x, (size_t)m->K * sizeof *x);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < m->K; k++) {
            const float v = x[r * m->K + k];
            m->least[k] = v < m->least[k] ? v : m->least[k];
            m->most[k] = v > m->most[k] ? v : m->most[k];
        }
    m->rows += rows;
}

/* Each row has the same chance to be there in the end (reservoir sampling), by a sequence that is always the same. */
static void sample(quantize_moments *m, const float *x, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        const uint64_t seen = (uint64_t)(m->rows + r);
        uint64_t at = seen < SAMPLED ? seen : ((seen * 6364136223846793005u + 1442695040888963407u) >> 20) % (seen + 1);
        if (at >= SAMPLED) continue;
        memcpy(m->sample + at * (uint64_t)m->K, x + r * m->K, (size_t)m->K * sizeof *x);
        if (m->sampled <= (int64_t)at) m->sampled = (int64_t)at + 1;
    }
}

static nib_status add(calibration *c, int i, const float *x, int64_t rows) {
    nib_status status = NIB_OK;
    const int64_t K = c->moments[i].K;
    sample(&c->moments[i], x, rows);
    widen_range(&c->moments[i], x, rows);
    while (rows > 0) {
        int64_t n = ROWS - c->filled[i] < rows ? ROWS - c->filled[i] : rows;
        memcpy(c->rows[i] + c->filled[i] * K, x, (size_t)(n * K) * sizeof *x);
        c->filled[i] += n, rows -= n, x += n * K;
        if (c->filled[i] == ROWS) NIB_TRY(flush(c, i));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- runs */

/* Input number i of the graph for one text: its ids, or what stands beside them. */
static bool fill(const calibration *c, int i, const int32_t *ids, int64_t n, base_arena *arena, nib_tensor *t) {
    const run_roles *r = &c->m->roles;
    const graph_value *v = c->g->inputs[i];
    const int64_t dims[2] = {1, n};
    *t = (nib_tensor){.dtype = v->type.dtype, .rank = 2, .bytes = graph_type_bytes(v->type.dtype, (size_t)n)};
    memcpy(t->dims, dims, sizeof dims);
    if (v->type.rank != 2 || (i != r->ids && i != r->mask && i != r->types && i != r->positions)) return false;
    void *data = base_arena_calloc(arena, (size_t)n + 1, sizeof(int64_t));
    t->data = data;
    for (int64_t k = 0; data && k < n; k++) {
        const int64_t x = i == r->ids ? ids[k] : i == r->mask ? 1 : i == r->positions ? k : 0;
        if (t->dtype == NIB_DTYPE_I64) ((int64_t *)data)[k] = x;
        else if (t->dtype == NIB_DTYPE_I32) ((int32_t *)data)[k] = (int32_t)x;
        else if (t->dtype == NIB_DTYPE_F32) ((float *)data)[k] = (float)x;
        else return false;
    }
    return data != NULL;
}

static nib_status run_text(calibration *c, run_session *s, const int32_t *ids, int64_t n) {
    nib_status status = NIB_OK;
    base_arena arena;
    nib_tensor tensors[4], y;
    const nib_tensor *list[4];
    base_arena_init(&arena, &c->m->runtime->heap);
    if (c->g->n_inputs > 4)
        NIB_FAIL(c->err, NIB_UNSUPPORTED, "calibrating: the model has other inputs than ids, mask, types and positions");
    for (int i = 0; i < c->g->n_inputs; i++) {
        if (!fill(c, i, ids, n, &arena, &tensors[i]))
            NIB_FAIL(c->err, NIB_UNSUPPORTED, "calibrating: input %s is not one of ids, mask, types and positions", c->g->inputs[i]->name);
        list[i] = &tensors[i];
    }
    NIB_TRY(run_tensors(s, list, c->err));
    for (int i = 0; i < c->count; i++) {
        NIB_TRY(run_output(s, i, &y, c->err));
        const int64_t all = graph_tensor_elements(&y);
        if (y.dtype == NIB_DTYPE_F32 && all > 0 && all % c->moments[i].K == 0) NIB_TRY(add(c, i, y.data, all / c->moments[i].K));
    }
fail:
    base_arena_free(&arena);
    return status;
}

/* All texts through a clone whose outputs are the x at hand. */
static nib_status run_all(calibration *c, const char *const *texts, size_t n) {
    nib_status status = NIB_OK;
    nib_runtime *rt = c->m->runtime;
    graph *clone = NULL;
    plan *p = NULL;
    run_session *s = NULL;
    text_encoding e;
    pass_notes notes;
    size_t tokens = 0;
    text_encoding_init(&e, &rt->heap);
    base_str_init(&notes.text, &rt->heap);
    NIB_TRY(graph_clone(c->g, &clone, c->err));
    for (int i = 0; i < clone->n_outputs; i++) clone->outputs[i]->is_output = false;
    clone->n_outputs = 0;
    for (int i = 0; i < c->count; i++) {
        graph_value *v = graph_find_value(clone, c->moments[i].x->name);
        if (!v || graph_add_output(clone, v) != NIB_OK) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a calibration");
    }
    pass_context ctx = {.g = clone,
                        .runtime = rt,
                        .kernels = cpu_kernels(c->m->device),
                        .level = 2,
                        .mode = PASS_MODE_EXACT,
                        .notes = &notes,
                        .err = c->err};
    NIB_TRY(pass_run_all(&ctx));
    NIB_TRY(plan_build(rt, clone, &c->m->device, 1, NULL, &p, c->err));
    NIB_TRY(run_session_create(p, &s, c->err));
    for (size_t i = 0; i < n; i++) {
        NIB_TRY(text_encode(c->m->tokenizer, texts[i], strlen(texts[i]), NULL, 0, c->m->max_tokens, true, &e, c->err));
        if (e.count == 0) continue;
        tokens += e.count;
        NIB_TRY(run_text(c, s, e.ids, (int64_t)e.count));
        NIB_TRY(base_stop_check(c->err));
    }
    if (!tokens) NIB_FAIL(c->err, NIB_INVALID_ARGUMENT, "calibrating: the texts have no tokens");
    for (int i = 0; i < c->count; i++) NIB_TRY(flush(c, i));
fail:
    run_session_free(s);
    plan_free(p);
    graph_free(clone);
    text_encoding_free(&e);
    base_str_free(&notes.text);
    return status;
}

static void drop(calibration *c) {
    base_heap *heap = &c->m->runtime->heap;
    for (int i = 0; i < c->count; i++) {
        base_free(heap, c->moments[i].sum);
        base_free(heap, c->moments[i].least);
        base_free(heap, c->moments[i].sample);
        base_free(heap, c->rows[i]);
    }
    c->count = 0;
}

/* Takes layers from *at on until their sums would be too many. */
static nib_status take(calibration *c, const quantize_layers *layers, int *at) {
    base_heap *heap = &c->m->runtime->heap;
    size_t bytes = 0;
    for (; *at < layers->count; ++*at) {
        const quantize_layer *l = &layers->items[*at];
        bool seen = l->table || l->kept || l->why || l->x->constant;
        for (int i = 0; i < c->count; i++) seen |= c->moments[i].x == l->x;
        if (seen) continue;
        const size_t more = (size_t)l->K * (size_t)l->K * sizeof(float);
        if (c->count && bytes + more > MOMENTS_BYTES) break;
        bytes += more;
        quantize_moments *m = &c->moments[c->count];
        *m = (quantize_moments){.x = l->x, .K = l->K, .sum = base_calloc(heap, (size_t)l->K * (size_t)l->K, sizeof(float))};
        m->least = base_calloc(heap, 2 * (size_t)l->K, sizeof(float));
        m->most = m->least ? m->least + l->K : NULL;
        m->sample = base_alloc(heap, (size_t)l->K * SAMPLED * sizeof(float));
        c->rows[c->count] = base_alloc(heap, (size_t)l->K * ROWS * sizeof(float));
        c->filled[c->count++] = 0;
        if (!m->sum || !m->least || !m->sample || !c->rows[c->count - 1]) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a calibration");
    }
    return NIB_OK;
}

nib_status quantize_calibrate(nib_model *m, const graph *g, const quantize_layers *layers, const char *const *texts, size_t n,
                              quantize_each each, void *user, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const size_t slots = (size_t)layers->count + 1;
    calibration c = {.m = m, .g = g, .err = err};
    c.moments = base_calloc(heap, slots, sizeof *c.moments);
    c.rows = base_calloc(heap, slots, sizeof *c.rows);
    c.filled = base_calloc(heap, slots, sizeof *c.filled);
    if (!c.moments || !c.rows || !c.filled) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a calibration");
    NIB_TRY(model_check_tokenizer(m, err));
    for (int at = 0; at < layers->count;) {
        NIB_TRY(take(&c, layers, &at));
        if (!c.count) break;
        NIB_TRY(run_all(&c, texts, n));
        for (int i = 0; i < c.count; i++) NIB_TRY(each(user, &c.moments[i], err));
        drop(&c);
    }
fail:
    if (c.moments && c.rows) drop(&c);
    base_free(heap, c.moments);
    base_free(heap, c.rows);
    base_free(heap, c.filled);
    return status;
}
