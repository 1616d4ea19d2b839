/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `colbert`: queries and documents as rows of tokens. In: texts and what they are. Out: the rows that count,
 * one text behind another, as sentence-transformers' MultiVectorEncoder gives them.
 *
 *     text -> ids, the role's prefix behind the leading special tokens, a query filled up -> rows of length 1
 *          -> a document's without those of the skip list, pooled if that is asked for
 */
#include "task_job.h"
#include "task_pool.h"
#include <stdio.h>
#include <string.h>

typedef struct encoding_run {
    task_job job;
    nib_colbert_options options;
    bool query;
    int32_t prefix, mask; /* ids; -1: there is none */
    char *front;          /* text in front of each */
    size_t expand;        /* tokens that a query is filled up to */
    uint8_t *skips;       /* [vocabulary] 1: rows of this token are left out */
    size_t vocabulary;
    float *rows;      /* all so far */
    size_t used, cap; /* in numbers */
    int64_t *offsets; /* [n + 1] the caller's */
} encoding_run;

/* ---- tokens */

static void insert(text_encoding *e, size_t at, int32_t id) {
    const size_t behind = e->count - at;
    memmove(e->ids + at + 1, e->ids + at, behind * sizeof *e->ids);
    memmove(e->type_ids + at + 1, e->type_ids + at, behind * sizeof *e->type_ids);
    memmove(e->spans + at + 1, e->spans + at, behind * sizeof *e->spans);
    memmove(e->special + at + 1, e->special + at, behind * sizeof *e->special);
    memmove(e->texts + at + 1, e->texts + at, behind * sizeof *e->texts);
    memmove(e->begins + at + 1, e->begins + at, behind * sizeof *e->begins);
    e->ids[at] = id;
    e->type_ids[at] = 0;
    e->spans[at] = (text_span){0, 0};
    e->special[at] = 1;
    e->texts[at] = 0;
    e->begins[at] = 1;
    e->count++;
}

static nib_status edit(void *user, size_t i, text_encoding *e, nib_error *err) {
    encoding_run *r = user;
    size_t at = 0;
    if (!text_encoding_grow(e, e->count + 1 > r->expand ? e->count + 1 : r->expand))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for token ids");
    while (at < e->count && e->special[at] && e->spans[at].end == 0 && at + 1 < e->count) at++;
    if (r->prefix >= 0) insert(e, at < e->count ? at : e->count, r->prefix);
    const size_t real = e->count;
    while (e->count < r->expand) insert(e, e->count, r->mask);
    r->job.chunk.seen[i] = r->expand && !r->job.chunk.m->settings.colbert.attends ? (int64_t)real : 0;
    return NIB_OK;
}

/* ---- rows */

/* How many text i of the chunk has. */
static size_t *count_of(const task_chunk *c, size_t i) { return (size_t *)c->records + i; }

static nib_status take_rows(void *user, size_t i, int slot, nib_error *err) {
    encoding_run *r = user;
    task_chunk *c = &r->job.chunk;
    const text_encoding *e = &c->encodings[i];
    const size_t W = (size_t)c->width;
    float *rows = c->rows + (size_t)c->offsets[c->items[i]] * W;
    size_t n = 0;
    if (c->items[i] == c->items[i + 1]) return *count_of(c, i) = 0, NIB_OK;
    for (size_t k = 0; k < e->count; k++) {
        const bool first = k == 0 && !c->m->settings.colbert.there; /* BGE-M3 has no row of it */
        const bool skips = first || (!r->query && (size_t)e->ids[k] < r->vocabulary && r->skips[e->ids[k]]);
        if (!skips && n != k) memcpy(rows + n * W, rows + k * W, W * sizeof *rows);
        n += !skips;
    }
    *count_of(c, i) = n;
    if (r->query || r->options.pool_factor <= 1) return NIB_OK;
    return task_pool(&c->m->runtime->heap, rows, count_of(c, i), c->width, r->options.pool_factor, err);
}

/* Behind those that are there. */
static nib_status keep_rows(task_job *job, nib_error *err) {
    encoding_run *r = (encoding_run *)job;
    const task_chunk *c = &r->job.chunk;
    const size_t W = (size_t)c->width;
    for (size_t i = 0; i < c->count; i++) {
        const size_t numbers = *count_of(c, i) * W;
        if (!base_grow(&c->m->runtime->heap, (void **)&r->rows, &r->cap, r->used + numbers + 1, sizeof *r->rows))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu texts", c->given.n);
        if (numbers)
            memcpy(r->rows + r->used, c->rows + (size_t)c->offsets[c->items[i]] * W, numbers * sizeof *r->rows);
        r->used += numbers;
        r->offsets[c->first + i + 1] = r->offsets[c->first + i] + (int64_t)*count_of(c, i);
    }
    return NIB_OK;
}

/* ---- the job */

static nib_status find_skips(encoding_run *r, nib_error *err) {
    const nib_model *m = r->job.chunk.m;
    const char *word = m->settings.colbert.skip;
    r->vocabulary = text_vocab_size(m->tokenizer);
    r->skips = base_calloc(&m->runtime->heap, r->vocabulary + 1, 1);
    if (!r->skips) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a skip list");
    for (const char *end; (end = strchr(word, '\n')) != NULL; word = end + 1) {
        const int32_t id = text_token_id(m->tokenizer, word, (size_t)(end - word));
        if (id >= 0) r->skips[id] = 1; /* one that the vocabulary does not have as a token is passed over */
    }
    return NIB_OK;
}

/* The prefix as a token: all of it, else what stands before its space ("[unused0] "). Not a token: a text in front. */
static int32_t prefix_token(const nib_model *m, const char *prefix) {
    const size_t length = strlen(prefix), word = strcspn(prefix, " ");
    int32_t id = length ? text_token_id(m->tokenizer, prefix, length) : -1;
    if (id < 0 && word && word + 1 >= length) id = text_token_id(m->tokenizer, prefix, word);
    return id;
}

/* What stands in front of each text: the prefix, a token or a text, and the role's prompt, which may begin with it. */
static nib_status choose_front(encoding_run *r, const char *prefix, nib_error *err) {
    const nib_model *m = r->job.chunk.m;
    const int64_t at = hf_settings_find_prompt(&m->settings, r->query ? "query" : "document");
    const char *prompt = at >= 0 ? m->settings.prompts[at].text : "";
    const size_t length = strlen(prefix);
    if (strncmp(prompt, prefix, length) == 0) prompt += length;
    r->prefix = prefix_token(m, prefix);
    const size_t room = length + strlen(prompt) + 1;
    r->front = base_alloc(&m->runtime->heap, room);
    if (!r->front) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a prompt");
    snprintf(r->front, room, "%s%s", r->prefix < 0 ? prefix : "", prompt);
    r->job.chunk.given.prompt = r->front;
    return NIB_OK;
}

static nib_status choose_expansion(encoding_run *r, nib_error *err) {
    const nib_model *m = r->job.chunk.m;
    const hf_colbert *c = &m->settings.colbert;
    const char *mask = c->mask[0] ? c->mask : "[MASK]";
    if (!r->query || !c->expand) return NIB_OK;
    r->expand = (size_t)(c->expand < m->max_tokens ? c->expand : m->max_tokens);
    r->mask = text_token_id(m->tokenizer, mask, strlen(mask));
    if (r->mask >= 0) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED, "queries are filled up with %s, which the vocabulary does not have",
                          mask);
}

/* Tokens of a text before a prefix's is put in. */
static int64_t room_of(const encoding_run *r, int64_t asked) {
    const nib_model *m = r->job.chunk.m;
    const int64_t said = m->settings.colbert.lengths[r->query ? HF_QUERY : HF_DOCUMENT];
    int64_t most = r->expand ? (int64_t)r->expand : said && said < m->max_tokens ? said : m->max_tokens;
    if (asked > 0 && asked < most && !r->expand) most = asked;
    return most - (r->prefix >= 0);
}

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    encoding_run *r = (encoding_run *)job;
    task_chunk *c = &job->chunk;
    c->edit = edit;
    c->sees = true;
    c->record_bytes = sizeof(size_t);
    NIB_TRY(task_chunk_begin(c, false, 0, err));
    NIB_TRY(choose_front(r, job->m->settings.colbert.prefixes[r->query ? HF_QUERY : HF_DOCUMENT], err));
    NIB_TRY(choose_expansion(r, err));
    NIB_TRY(find_skips(r, err));
    c->cut.max_tokens = room_of(r, r->options.max_tokens);
    if (c->cut.max_tokens < 1) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the prefix leaves a text no token");
    r->offsets[0] = 0;
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    encoding_run *r = (encoding_run *)job;
    if (!r->rows) r->rows = base_alloc(&job->m->runtime->heap, sizeof *r->rows);
    return r->rows ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for vectors");
}

static void free_job(task_job *job) {
    encoding_run *r = (encoding_run *)job;
    base_heap *heap = &job->m->runtime->heap;
    base_free(heap, r->skips);
    base_free(heap, r->front);
    base_free(heap, r->rows);
}

static const task_job_kind kind = {.bytes = sizeof(encoding_run),
                                   .chunked = true,
                                   .begin = begin,
                                   .each = take_rows,
                                   .took = keep_rows,
                                   .conclude = conclude,
                                   .free = free_job};

task_job *task_colbert_job(nib_model *m, nib_colbert_role role, const char *const *texts, size_t n,
                           const nib_colbert_options *o, int64_t *offsets) {
    const task_texts given = {.n = n,
                              .texts = texts,
                              .text_lengths = o->lengths,
                              .tokens = o->tokens,
                              .full_tokens = o->full_tokens,
                              .profile = o->profile,
                              .ticket = o->ticket};
    encoding_run *r = (encoding_run *)task_job_new(&kind, m, NIB_TASK_COLBERT, &given);
    if (!r) return NULL;
    r->options = *o;
    r->query = role == NIB_COLBERT_QUERY;
    r->prefix = r->mask = -1;
    r->offsets = offsets;
    return &r->job;
}

float *task_colbert_rows(task_job *job, int64_t *width) {
    encoding_run *r = (encoding_run *)job;
    float *rows = r->rows;
    *width = job->chunk.width;
    r->rows = NULL;
    return rows;
}
