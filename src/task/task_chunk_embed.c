/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts that are longer than a model (nib/chunks.h). In: texts. Out: a vector each, of those of its chunks, or all of
 * those. Chunks are the items of a task_chunk, so that they run like any texts; what is made of their rows depends on
 * nothing but a text's own rows and their order.
 */
#include "task.h"
#include "task_job.h"
#include "task_chunk_cut.h"
#include <string.h>

typedef struct text_chunks {
    chunk_range *ranges; /* [count] of the text's own tokens */
    int64_t (*spans)[3]; /* [count] */
    size_t count, ranges_cap, spans_cap;
    size_t lead, content;  /* tokens in front, and the text's own */
    chunk_range *windows;  /* [window_count] what the model sees: `ranges`, but for LATE */
    size_t window_count, windows_cap;
} text_chunks;

typedef struct chunking {
    task_job job;
    nib_embed_options embed;
    nib_chunk_options o;
    nib_vector_options vectors;
    bool late;
    size_t prompt; /* bytes */
    int64_t longest; /* of what the model sees */
    task_vectors made;
    float *ranges; /* of `made` */
    float *row;    /* [width] */
    char *out; /* nib_embed's; NULL: only the ticket's answer gets vectors */
    int64_t *offsets; /* nib_embed_chunks'; NULL: it is nib_embed. Then: */
    chunk_rows all;
    size_t rows_cap, spans_cap;
} chunking;

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for chunks"); }

/* Of text i of those at hand. */
static text_chunks *chunks_of(const chunking *j, size_t i) { return (text_chunks *)j->job.chunk.records + i; }

/* ---- from a text's encoding to its windows */

static bool add_range(base_heap *heap, chunk_range **to, size_t *count, size_t *cap, chunk_range r) {
    if (!base_grow(heap, (void **)to, cap, *count + 1, sizeof **to)) return false;
    (*to)[(*count)++] = r;
    return true;
}

static nib_status cut(base_heap *heap, const chunk_rule *rule, const uint8_t *ends, size_t n, chunk_range **to,
                      size_t *count, size_t *cap, nib_error *err) {
    *count = 0;
    for (size_t at = 0, next; at < n || *count == 0; at = next) {
        chunk_range r = {.first = at};
        chunk_rule_next(rule, ends, n, true, &r, &next);
        if (!add_range(heap, to, count, cap, r)) return no_memory(err);
        if (r.end == n) break;
    }
    return NIB_OK;
}

/* Each window with what stands around a text, in place of the encoding. */
static nib_status put_windows(text_encoding *e, const chunk_frame *f, const chunk_range *w, size_t n, nib_error *err) {
    text_encoding to;
    size_t total = 0, tail = e->count - f->tail;
    text_encoding_init(&to, e->heap);
    for (size_t k = 0; k < n; k++) total += f->lead + f->tail + w[k].end - w[k].first;
    if (!text_encoding_grow(&to, total) ||
        !base_grow(e->heap, (void **)&to.windows, &to.window_cap, n, sizeof *to.windows)) {
        text_encoding_free(&to);
        return no_memory(err);
    }
    for (size_t k = 0; k < n; k++) {
        const size_t own = w[k].end - w[k].first;
        const size_t parts[3][2] = {{0, f->lead}, {f->lead + w[k].first, own}, {tail, f->tail}};
        to.windows[to.window_count++] = to.count;
        for (int p = 0; p < 3; p++) {
            if (parts[p][1]) memcpy(to.ids + to.count, e->ids + parts[p][0], parts[p][1] * sizeof *e->ids);
            if (parts[p][1]) memcpy(to.type_ids + to.count, e->type_ids + parts[p][0], parts[p][1] * sizeof *e->ids);
            to.count += parts[p][1];
        }
    }
    text_encoding_free(e);
    *e = to;
    return NIB_OK;
}

static nib_status find_ends(const chunking *j, size_t i, const text_encoding *e, const text_chunks *t, uint8_t **ends,
                            nib_error *err) {
    const task_texts *given = &j->job.chunk.given;
    const char *text = given->texts[j->job.chunk.first + i];
    const size_t length = given->text_lengths ? given->text_lengths[j->job.chunk.first + i] : strlen(text);
    *ends = base_alloc(&j->job.chunk.m->runtime->heap, t->content + 1);
    if (!*ends) return no_memory(err);
    for (size_t k = 0; k < t->content; k++) {
        const size_t end = e->spans[t->lead + k].end;
        (*ends)[k] = end >= j->prompt && chunk_sentence_ends(text, length, end - j->prompt);
    }
    return NIB_OK;
}

static nib_status note_spans(const chunking *j, const text_encoding *e, const chunk_frame *f, text_chunks *t,
                             nib_error *err) {
    if (!base_grow(&j->job.chunk.m->runtime->heap, (void **)&t->spans, &t->spans_cap, t->count, sizeof *t->spans))
        return no_memory(err);
    for (size_t k = 0; k < t->count; k++) {
        const chunk_range r = t->ranges[k];
        const text_span *own = e->spans + f->lead;
        const size_t begin = r.first < r.end ? own[r.first].begin : j->prompt;
        const size_t end = r.first < r.end ? own[r.end - 1].end : j->prompt;
        t->spans[k][0] = begin > j->prompt ? (int64_t)(begin - j->prompt) : 0;
        t->spans[k][1] = end > j->prompt ? (int64_t)(end - j->prompt) : 0;
        t->spans[k][2] = (int64_t)(f->lead + f->tail + r.end - r.first);
    }
    return NIB_OK;
}

/* An edit of task_chunk: text i's encoding becomes windows. */
static nib_status cut_text(void *user, size_t i, text_encoding *e, nib_error *err) {
    chunking *j = user;
    base_heap *heap = &j->job.chunk.m->runtime->heap;
    nib_status status = NIB_OK;
    text_chunks *t = chunks_of(j, i);
    chunk_frame f = chunk_frame_of(e, j->prompt);
    chunk_rule rule = {0};
    uint8_t *ends = NULL;
    t->lead = f.lead;
    t->content = e->count - f.lead - f.tail;
    if (j->o.overflow == NIB_OVERFLOW_ERROR && e->count > (size_t)j->longest)
        NIB_FAIL(err, NIB_LIMIT, "text %zu has %zu tokens, and there is room for %lld", j->job.chunk.first + i, e->count,
                 (long long)j->longest);
    const int64_t own = j->o.tokens && j->o.tokens < j->longest ? j->o.tokens : j->longest;
    NIB_TRY(chunk_rule_make(&j->o, j->o.overflow == NIB_OVERFLOW_CHUNK ? own : j->longest, &f, &rule, err));
    if (chunk_rule_reads_ends(&rule)) NIB_TRY(find_ends(j, i, e, t, &ends, err));
    NIB_TRY(cut(heap, &rule, ends, t->content, &t->ranges, &t->count, &t->ranges_cap, err));
    NIB_TRY(note_spans(j, e, &f, t, err));
    const size_t room = (size_t)j->longest - f.lead - f.tail;
    const chunk_rule seen = {.most = room, .overlap = room / 4};
    if (j->late) NIB_TRY(cut(heap, &seen, NULL, t->content, &t->windows, &t->window_count, &t->windows_cap, err));
    NIB_TRY(j->late ? put_windows(e, &f, t->windows, t->window_count, err)
                    : put_windows(e, &f, t->ranges, t->count, err));
fail:
    base_free(heap, ends);
    return status;
}

/* ---- from rows to a text's vector */

static void combine(nib_aggregate how, const float *rows, size_t n, int64_t width, float *out) {
    float sum = 0;
    memset(out, 0, (size_t)width * sizeof *out);
    for (size_t i = 0; i < n; i++, rows += width) {
        const size_t from_end = n - 1 - i, middle = i < from_end ? i : from_end;
        const float w = how == NIB_AGGREGATE_WEIGHTED ? (float)(1 + middle) : 1;
        sum += w;
        for (int64_t k = 0; k < width; k++) {
            if (how != NIB_AGGREGATE_MAX) out[k] += w * rows[k];
            else if (i == 0 || rows[k] > out[k]) out[k] = rows[k];
        }
    }
    for (int64_t k = 0; k < width && how != NIB_AGGREGATE_MAX && n; k++) out[k] /= sum;
}

static void put_one(const chunking *j, size_t i) {
    const task_chunk *c = &j->job.chunk;
    const nib_ticket *ticket = c->given.ticket;
    const size_t n = c->items[i + 1] - c->items[i];
    float *row = j->row;
    const float *rows = c->rows + (int64_t)c->items[i] * c->width;
    if (n == 1) {
        memcpy(row, rows, (size_t)c->width * sizeof *row);
    } else {
        combine(j->o.aggregate, rows, n, c->width, row);
        if (n && c->m->normalize) j->made.k.l2_normalize_f32(row, c->width, 1, c->width, row, c->width);
    }
    if (j->out) task_vectors_put(&j->made, row, 1, j->out + (c->first + i) * j->made.bytes);
    if (ticket && ticket->answer) ticket->answer(ticket->answer_user, c->first + i, NIB_OK, row, 1, c->width);
}

/* The row of the text's own token k in the first window that has it; w is that window, or one before it. */
static const float *row_of(const chunking *j, size_t i, size_t k, size_t *w) {
    const task_chunk *c = &j->job.chunk;
    const text_chunks *t = chunks_of(j, i);
    while (k >= t->windows[*w].end) ++*w;
    return c->rows + (c->offsets[c->items[i] + *w] + (int64_t)(t->lead + k - t->windows[*w].first)) * c->width;
}

static void pool_late(const chunking *j, size_t i, chunk_range r, float *out) {
    const int64_t W = j->job.chunk.width;
    size_t w = 0;
    memset(out, 0, (size_t)W * sizeof *out);
    for (size_t k = r.first; k < r.end; k++) {
        const float *row = row_of(j, i, k, &w);
        for (int64_t x = 0; x < W; x++) out[x] += row[x];
    }
    for (int64_t x = 0; x < W && r.end > r.first; x++) out[x] /= (float)(r.end - r.first);
    if (j->job.chunk.m->normalize) j->made.k.l2_normalize_f32(out, W, 1, W, out, W);
}

static nib_status put_each(chunking *j, size_t i, nib_error *err) {
    const task_chunk *c = &j->job.chunk;
    const text_chunks *t = chunks_of(j, i);
    base_heap *heap = &c->m->runtime->heap;
    chunk_rows *all = &j->all;
    const size_t n = c->items[i + 1] == c->items[i] ? 0 : t->count;
    if (!base_grow(heap, &all->rows, &j->rows_cap, all->count + n + 1, j->made.bytes) ||
        !base_grow(heap, (void **)&all->spans, &j->spans_cap, all->count + n + 1, sizeof *all->spans))
        return no_memory(err);
    for (size_t k = 0; k < n; k++, all->count++) {
        const float *row = c->rows + (int64_t)(c->items[i] + k) * c->width;
        if (j->late) pool_late(j, i, t->ranges[k], j->row), row = j->row;
        task_vectors_put(&j->made, row, 1, (char *)all->rows + all->count * j->made.bytes);
        memcpy(all->spans[all->count], t->spans[k], sizeof *all->spans);
    }
    j->offsets[c->first + i + 1] = (int64_t)all->count;
    return NIB_OK;
}

/* ---- the job */

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    chunking *j = (chunking *)job;
    task_chunk *c = &job->chunk;
    const model_program *embed;
    if (j->offsets) j->offsets[0] = 0;
    NIB_TRY(task_prompt(job->m, j->embed.prompt_name, j->embed.prompt, &c->given.prompt, err));
    c->task = j->late ? NIB_TASK_TOKENS : NIB_TASK_EMBED;
    c->pooled = !j->late;
    NIB_TRY(model_get_program(c->m, NIB_TASK_EMBED, &embed, err));
    NIB_TRY(task_choose_vectors(c->m, NIB_TASK_EMBED, embed, c->given.vectors, &j->made, err));
    NIB_TRY(task_vectors_own_ranges(&j->made, &c->m->runtime->heap, &j->ranges, err));
    if (j->late && (c->m->settings.modules_said[0] || c->m->settings.truncate_dim > 0 || embed->pooled))
        NIB_FAIL(err, NIB_UNSUPPORTED, "late chunks are means of tokens' rows, and this model makes more than that of them%s",
                 c->m->settings.modules_said);
    NIB_TRY(task_chunk_begin(c, false, 0, err));
    if (j->late && c->m->slots[c->task].program.normalized)
        NIB_FAIL(err, NIB_UNSUPPORTED, "late chunks are means of tokens' rows as they come, and the model was opened to make "
                                       "them of length 1: vectors.normalize does so with the means alone");
    if (c->width != embed->width)
        NIB_FAIL(err, NIB_UNSUPPORTED, "late chunks: rows of tokens have %lld numbers, and vectors %lld",
                 (long long)c->width, (long long)embed->width);
    j->longest = c->cut.max_tokens;
    j->prompt = c->given.prompt ? strlen(c->given.prompt) : 0;
    c->cut.max_tokens = 0;
    c->edit = cut_text;
    c->record_bytes = sizeof(text_chunks);
    j->row = base_alloc(&c->m->runtime->heap, (size_t)c->width * sizeof *j->row);
    if (!j->row) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a vector");
fail:
    return status;
}

static nib_status took(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    chunking *j = (chunking *)job;
    for (size_t i = 0; i < job->chunk.count; i++) {
        if (!j->offsets) put_one(j, i);
        else NIB_TRY(put_each(j, i, err));
    }
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    chunking *j = (chunking *)job;
    j->all.made = j->made;
    return NIB_OK;
}

static void free_job(task_job *job) {
    chunking *j = (chunking *)job;
    base_heap *heap = &job->m->runtime->heap;
    for (size_t i = 0; i < job->chunk.records_cap; i++) {
        base_free(heap, chunks_of(j, i)->ranges);
        base_free(heap, chunks_of(j, i)->windows);
        base_free(heap, chunks_of(j, i)->spans);
    }
    base_free(heap, j->row);
    base_free(heap, j->ranges);
    base_free(heap, j->all.rows);
    base_free(heap, j->all.spans);
}

static const task_job_kind kind = {
    .bytes = sizeof(chunking), .chunked = true, .begin = begin, .took = took, .conclude = conclude, .free = free_job};

task_job *task_embed_job(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, void *out,
                         int64_t *offsets) {
    const task_texts given = {TASK_GIVEN(options, n, texts)};
    chunking *j = (chunking *)task_job_new(&kind, m, NIB_TASK_EMBED, &given);
    if (!j) return NULL;
    j->embed = *options;
    j->o = *options->chunks;
    if (options->vectors) {
        j->vectors = *options->vectors;
        j->job.given.vectors = &j->vectors;
    }
    j->late = j->o.overflow == NIB_OVERFLOW_CHUNK && j->o.aggregate == NIB_AGGREGATE_LATE;
    j->out = out;
    j->offsets = offsets;
    return &j->job;
}

chunk_rows task_chunks_rows(task_job *job) {
    chunking *j = (chunking *)job;
    const chunk_rows made = j->all;
    j->all = (chunk_rows){0};
    return made;
}
