/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model is held to. In: a model, texts. Out: rows that say what its own task gives for them, and how near two such are.
 *
 * Of vectors, of texts and of tokens and sparse ones, each has its cosine. Scores of labels are one vector for all texts, each label's
 * without its mean, which makes the cosine a correlation: what all texts share decides nothing. A model that reads pairs gets each text
 * beside the next.
 */
#include "quantize.h"
#include "task/task.h"
#include <string.h>

typedef enum kind { NONE, TEXTS, TOKENS } kind;

static const struct {
    kind rows;
    bool scores;
} tasks[MODEL_PROGRAMS] = {
    [NIB_TASK_EMBED] = {TEXTS, false},   [NIB_TASK_TOKENS] = {TOKENS, false}, [NIB_TASK_CLASSIFY] = {TEXTS, true},
    [NIB_TASK_TAG] = {TOKENS, true},     [NIB_TASK_COLBERT] = {TOKENS, false}, [NIB_TASK_SPARSE] = {TEXTS, false},
};

static nib_status text_rows(nib_model *m, const model_program *p, const task_texts *given, quantize_rows *out, nib_error *err) {
    out->width = p->width;
    out->data = base_calloc(&m->runtime->heap, given->n * (size_t)p->width + 1, sizeof *out->data);
    if (!out->data) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu vectors", given->n);
    for (size_t i = 0; i <= given->n; i++) out->offsets[i] = (int64_t)i;
    return task_rows(m, m->task, given, out->data, err);
}

static nib_status token_rows(nib_model *m, const task_texts *given, quantize_rows *out, nib_error *err) {
    task_vectors made;
    void *rows;
    nib_status status = task_token_rows(m, m->task, given, out->offsets, &rows, &made, err);
    out->data = rows;
    out->width = status == NIB_OK ? made.width : 0;
    return status;
}

nib_status quantize_rows_of(nib_model *m, const char *const *texts, size_t n, quantize_rows *out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const kind rows = tasks[m->task].rows;
    const char **next = NULL;
    const model_program *p;
    task_texts given = {.n = n, .texts = texts};
    *out = (quantize_rows){.n = n, .scores = tasks[m->task].scores};
    NIB_TRY(model_check_tokenizer(m, err));
    if (rows == NONE)
        NIB_FAIL(err, NIB_UNSUPPORTED, "min_cosine: what a model of the task %s gives is not measured", nib_task_name(m->task));
    out->offsets = base_calloc(heap, n + 1, sizeof *out->offsets);
    next = base_calloc(heap, n + 1, sizeof *next);
    if (!out->offsets || !next) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu vectors", n);
    for (size_t i = 0; i < n; i++) next[i] = texts[(i + 1) % n];
    NIB_TRY(model_get_program(m, (int)m->task, &p, err));
    if (m->task == NIB_TASK_CLASSIFY && (m->settings.judge.from[0] || p->width == 1)) given.pairs = next;
    NIB_TRY(rows == TOKENS ? token_rows(m, &given, out, err) : text_rows(m, p, &given, out, err));
fail:
    base_free(heap, next);
    if (status != NIB_OK) quantize_rows_free(heap, out);
    return status;
}

void quantize_rows_free(base_heap *heap, quantize_rows *r) {
    base_free(heap, r->data);
    base_free(heap, r->offsets);
    *r = (quantize_rows){0};
}

/* Rows [count, width], each column without its mean. */
static void centre(const float *from, size_t count, int64_t width, float *to) {
    for (int64_t k = 0; k < width; k++) {
        double mean = 0;
        for (size_t i = 0; i < count; i++) mean += from[i * (size_t)width + (size_t)k];
        mean /= count ? (double)count : 1;
        for (size_t i = 0; i < count; i++) to[i * (size_t)width + (size_t)k] = (float)(from[i * (size_t)width + (size_t)k] - mean);
    }
}

nib_status quantize_rows_compare(base_heap *heap, const quantize_rows *wanted, const quantize_rows *got, quantize_quality *out,
                                 nib_error *err) {
    const size_t n = got->n, count = (size_t)got->offsets[n];
    if (n > wanted->n || got->width != wanted->width || memcmp(got->offsets, wanted->offsets, (n + 1) * sizeof *got->offsets) != 0)
        return base_error_set(err, NIB_UNSUPPORTED, "min_cosine: %zu rows of %lld numbers, and in f32 others", count, (long long)got->width);
    if (!got->scores) return quantize_compare(wanted->data, got->data, count, got->width, out), NIB_OK;
    const size_t numbers = count * (size_t)got->width;
    float *both = base_alloc(heap, 2 * numbers * sizeof *both + 1);
    if (!both) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu scores", numbers);
    centre(wanted->data, count, got->width, both);
    centre(got->data, count, got->width, both + numbers);
    quantize_compare(both, both + numbers, 1, (int64_t)numbers, out);
    base_free(heap, both);
    return NIB_OK;
}
