/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `hybrid`: what BGE-M3 makes of texts. In: texts, and which of three are wanted. Out: a dense vector of each,
 * a sparse one, a row of each token but the first. The texts are run once, with a sink for each of the program's
 * outputs that is wanted; one alone is its own task's program.
 */
#include "task.h"
#include "task_sparse.h"
#include <string.h>

typedef struct hybrid {
    task_call call;
    float *dense; /* [n, width] of texts */
    int64_t dense_width, row_width;
    task_sparse sparse;
    float *rows;     /* [offsets[n], row_width] */
    size_t rows_cap; /* in numbers */
    int64_t *offsets;
} hybrid;

static void give_dense(void *user, size_t i, float *rows, int64_t count) {
    const hybrid *h = user;
    memcpy(h->dense + (h->call.first + i) * (size_t)h->dense_width, rows, (size_t)h->dense_width * sizeof *rows);
}

static void give_weights(void *user, size_t i, float *rows, int64_t count) {
    hybrid *h = user;
    task_sparse_take_tokens(&h->sparse, h->call.first + i, h->call.caller->items[i].ids, rows, count);
}

static void give_rows(void *user, size_t i, float *rows, int64_t count) {
    const hybrid *h = user;
    const size_t W = (size_t)h->row_width, at = (size_t)h->offsets[h->call.first + i];
    if (count > 1) memcpy(h->rows + at * W, rows + W, (size_t)(count - 1) * W * sizeof *rows);
}

/* Which program gives what is wanted. */
static nib_task choose(bool dense, bool sparse, bool rows) {
    if (dense + sparse + rows > 1) return NIB_TASK_HYBRID;
    return dense ? NIB_TASK_EMBED : sparse ? NIB_TASK_SPARSE : NIB_TASK_COLBERT;
}

static nib_status check(const nib_model *m, bool sparse, bool rows, nib_error *err) {
    const char *lacking = sparse && !m->settings.m3.lexical ? "sparse_linear.pt"
                          : rows && !m->settings.m3.rows    ? "colbert_linear.pt"
                                                            : NULL;
    if (!lacking) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED, "%s has no %s, which BGE-M3 has for what is wanted", m->path, lacking);
}

/* Room for the rows of the texts at hand. */
static nib_status place_rows(hybrid *h, nib_error *err) {
    task_call *c = &h->call;
    for (size_t i = 0; i < c->count; i++) {
        const int64_t length = c->caller->items[i].length;
        h->offsets[c->first + i + 1] = h->offsets[c->first + i] + (length > 1 ? length - 1 : 0);
    }
    const size_t n = (size_t)h->offsets[c->first + c->count], W = (size_t)h->row_width;
    size_t numbers;
    if (!base_mul_size(n, W, &numbers) ||
        !base_grow(&c->m->runtime->heap, (void **)&h->rows, &h->rows_cap, numbers + 1, sizeof *h->rows))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu tokens", n);
    return NIB_OK;
}

static nib_status run_window(hybrid *h, const run_sink *sinks, nib_error *err) {
    task_call *c = &h->call;
    nib_profile *profile = c->given->profile;
    const run_batch batch = {.n = c->count, .items = c->caller->items, .skip = c->skip};
    run_session_profile(c->caller->session, profile ? profile->steps : NULL);
    return run_texts(c->caller->session, &c->program->roles, &batch, c->m->batch_tokens, RUN_TEAM_ALL, sinks, err);
}

nib_status task_embed_hybrid(nib_model *m, const char *const *texts, size_t n, const nib_sparse_options *o,
                             float *dense, nib_sparse **sparse, int64_t *offsets, float **rows, int64_t *width,
                             nib_error *err) {
    nib_status status = NIB_OK;
    hybrid h = {.dense = dense, .offsets = offsets};
    run_sink sinks[3];
    int n_sinks = 0;
    const nib_task task = choose(dense, sparse, rows);
    const bool all = task == NIB_TASK_HYBRID;
    task_texts given = {.n = n,
                        .texts = texts,
                        .text_lengths = o->lengths,
                        .max_tokens = o->max_tokens,
                        .tokens = o->tokens,
                        .full_tokens = o->full_tokens,
                        .profile = o->profile};
    NIB_TRY(task_prompt(m, o->prompt_name, o->prompt, &given.prompt, err));
    NIB_TRY(task_begin(&h.call, m, task, &given, err));
    NIB_TRY(check(m, sparse, rows, err));
    const model_program *p = h.call.program;
    const int lexical = all ? 1 : 0, late = all ? 1 + m->settings.m3.lexical : 0; /* outputs: model_hybrid_more */
    h.dense_width = p->width;
    h.row_width = late ? p->more[late - 1] : p->width;
    if (sparse) NIB_TRY(task_sparse_begin(&h.sparse, m, n, 1, true, o->top, err));
    if (dense) sinks[n_sinks++] = (run_sink){.output = 0, .width = p->width, .give = give_dense, .user = &h};
    if (sparse)
        sinks[n_sinks++] = (run_sink){.output = lexical, .width = 1, .tokens = true, .give = give_weights, .user = &h};
    if (rows)
        sinks[n_sinks++] =
            (run_sink){.output = late, .width = h.row_width, .tokens = true, .give = give_rows, .user = &h};
    for (int i = 0; i + 1 < n_sinks; i++) sinks[i].next = &sinks[i + 1];
    if (rows) offsets[0] = 0;
    for (size_t at = 0; at < n; at += h.call.count) {
        NIB_TRY(task_tokenize(&h.call, at, task_window(&h.call, at), err));
        if (rows) NIB_TRY(place_rows(&h, err));
        NIB_TRY(run_window(&h, sinks, err));
    }
    if (rows && !h.rows && !(h.rows = base_alloc(&m->runtime->heap, sizeof *h.rows)))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for vectors");
    if (sparse) NIB_TRY(task_sparse_finish(&h.sparse, sparse, err));
    if (rows) *rows = h.rows, *width = h.row_width, h.rows = NULL;
fail:
    if (h.call.m) task_end(&h.call);
    task_sparse_end(&h.sparse);
    base_free(&m->runtime->heap, h.rows);
    return status;
}
