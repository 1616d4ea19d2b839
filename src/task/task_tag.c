/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `tag`: tokens with probabilities of labels, and what they are together. In: texts. Out: entities, as
 * transformers' TokenClassificationPipeline makes them (pipelines/token_classification.py), whose steps have their
 * names here: pre-entities, words, groups, windows that overlap.
 */
#include "task.h"
#include "task_job.h"
#include <math.h>
#include <string.h>

typedef struct tag_result {
    nib_entity *list; /* in an arena */
    size_t count;
} tag_result;

struct nib_tags {
    nib_model *model; /* one reference: labels are its own */
    size_t n;
    tag_result *results; /* [n] */
    base_arena *arenas;  /* [threads] entities and words, by the thread that made them */
    int threads;
};

/* A token, or a word, on its way to an entity. */
typedef struct tag {
    const char *label;
    double score;
    text_string word;
    size_t begin, end;
    int32_t token;
    bool subword;        /* of a token: it goes on with the one before */
    const float *scores; /* of a token: [labels] */
} tag;

/* What one thread works with. */
typedef struct tag_work {
    tag *tags;  /* a window's tokens, then its words */
    tag *found; /* a text's entities */
    text_string *strings;
    float *means; /* [labels] */
    size_t tags_cap, found_cap, strings_cap, means_cap, found_count;
    base_str text;
} tag_work;

typedef struct tagging {
    task_job job;
    nib_tag_options options;
    const char **ignored; /* [ignore_count] options.ignore, in one block */
    nib_tags **to;
    nib_tags *out; /* until it is the caller's */
    const model_program *program;
    int32_t unknown; /* id of the unknown token, -1: none */
    bool marks;      /* text_marks_subwords */
    tag_work *works; /* [threads] */
} tagging;

static nib_status no_memory(nib_error *err) {
    return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for what was found in a text");
}

/* ---- pre-entities */

static size_t characters(const char *text, size_t length) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

/* As numpy's argmax: the first of the largest, or the first that is no number. */
static int64_t best_of(const float *scores, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 0; i < n && !isnan(scores[best]); i++)
        if (scores[i] > scores[best] || isnan(scores[i])) best = i;
    return best;
}

/* Whether the token goes on with a word, as the pipeline guesses. */
static bool is_subword(const tagging *t, const char *text, size_t length, const tag *x) {
    if (t->marks) return characters(x->word.bytes, x->word.length) != characters(text + x->begin, x->end - x->begin);
    return x->begin > 0 && text[x->begin - 1] != ' ' && (x->begin >= length || text[x->begin] != ' ');
}

/* The tokens of item `item`, from place `at` of the encoding on, but for the template's; returns how many. */
static size_t gather(const tagging *t, tag_work *w, size_t i, size_t item, size_t at) {
    const task_chunk *c = &t->job.chunk;
    const text_encoding *e = &c->encodings[i];
    const char *text = c->given.texts[c->first + i];
    const size_t length = c->given.text_lengths ? c->given.text_lengths[c->first + i] : strlen(text);
    size_t n = 0;
    for (int64_t k = 0; k < c->lengths[item]; k++) {
        const size_t j = at + (size_t)k;
        if (e->special[j]) continue;
        tag *x = &w->tags[n++];
        *x = (tag){.begin = e->spans[j].begin,
                   .end = e->spans[j].end,
                   .token = (int32_t)k,
                   .scores = c->rows + (c->offsets[item] + k) * c->width};
        x->word.bytes = text_token(c->m->tokenizer, e->ids[j], &x->word.length);
        x->subword = is_subword(t, text, length, x);
        if (e->ids[j] == t->unknown) {
            x->word = (text_string){text + x->begin, x->end - x->begin};
            x->subword = false;
        }
        const int64_t best = best_of(x->scores, c->width);
        x->label = t->program->labels[best];
        x->score = (double)x->scores[best];
    }
    return n;
}

/* ---- words: convert_tokens_to_string of the tags' words, in the arena */

static nib_status join(const tagging *t, tag_work *w, base_arena *arena, const tag *tags, size_t n, text_string *out,
                       nib_error *err) {
    if (!base_grow(w->text.heap, (void **)&w->strings, &w->strings_cap, n, sizeof *w->strings)) return no_memory(err);
    for (size_t i = 0; i < n; i++) w->strings[i] = tags[i].word;
    base_str_clear(&w->text);
    nib_status status = text_decode_strings(t->job.chunk.m->tokenizer, w->strings, n, &w->text, err);
    if (status != NIB_OK) return status;
    out->length = w->text.length;
    out->bytes = base_arena_strndup(arena, w->text.data ? w->text.data : "", out->length);
    return out->bytes ? NIB_OK : no_memory(err);
}

/* The label of a word of n tokens, and its score. */
static nib_status label_word(const tagging *t, tag_work *w, const tag *tags, size_t n, tag *word, nib_error *err) {
    const int64_t W = t->job.chunk.width;
    const tag *most = tags;
    if (t->options.aggregation == NIB_AGGREGATION_MAX)
        for (size_t i = 1; i < n; i++)
            if (tags[i].score > most->score) most = &tags[i];
    word->label = most->label;
    word->score = most->score;
    if (t->options.aggregation != NIB_AGGREGATION_AVERAGE) return NIB_OK;
    if (!base_grow(w->text.heap, (void **)&w->means, &w->means_cap, (size_t)W, sizeof *w->means)) return no_memory(err);
    for (int64_t k = 0; k < W; k++) {
        double sum = 0;
        size_t count = 0;
        for (size_t i = 0; i < n; i++)
            if (!isnan(tags[i].scores[k])) sum += (double)tags[i].scores[k], count++;
        w->means[k] = count ? (float)(sum / (double)count) : NAN;
    }
    const int64_t best = best_of(w->means, W);
    word->label = t->program->labels[best];
    word->score = (double)w->means[best];
    return NIB_OK;
}

/* Words in the place of n tokens; *n becomes how many. */
static nib_status make_words(const tagging *t, tag_work *w, base_arena *arena, size_t *n, nib_error *err) {
    nib_status status = NIB_OK;
    size_t words = 0;
    for (size_t i = 0, end; i < *n; i = end) {
        tag word = {.begin = w->tags[i].begin, .token = w->tags[i].token};
        for (end = i + 1; end < *n && w->tags[end].subword;) end++;
        word.end = w->tags[end - 1].end;
        NIB_TRY(label_word(t, w, w->tags + i, end - i, &word, err));
        NIB_TRY(join(t, w, arena, w->tags + i, end - i, &word.word, err));
        w->tags[words++] = word;
    }
    *n = words;
fail:
    return status;
}

/* ---- groups */

/* What a label names, and whether it begins one. */
static const char *name_of(const char *label, bool *begins) {
    *begins = strncmp(label, "B-", 2) == 0;
    return *begins || strncmp(label, "I-", 2) == 0 ? label + 2 : label;
}

static bool goes_on(const tag *before, const tag *x) {
    bool begins, began;
    const char *name = name_of(x->label, &begins), *last = name_of(before->label, &began);
    return !begins && strcmp(name, last) == 0;
}

/* What stands behind the first '-', whatever that is. */
static const char *group_label(const char *label) {
    const char *dash = strchr(label, '-');
    return dash ? dash + 1 : label;
}

static nib_status make_groups(const tagging *t, tag_work *w, base_arena *arena, size_t *n, nib_error *err) {
    nib_status status = NIB_OK;
    size_t groups = 0;
    for (size_t i = 0, end; i < *n; i = end) {
        tag group = {.label = group_label(w->tags[i].label), .begin = w->tags[i].begin, .token = w->tags[i].token};
        double sum = 0;
        size_t count = 0;
        for (end = i; end < *n && (end == i || goes_on(&w->tags[end - 1], &w->tags[end])); end++)
            if (!isnan(w->tags[end].score)) sum += w->tags[end].score, count++;
        group.score = count ? sum / (double)count : NAN;
        group.end = w->tags[end - 1].end;
        NIB_TRY(join(t, w, arena, w->tags + i, end - i, &group.word, err));
        w->tags[groups++] = group;
    }
    *n = groups;
fail:
    return status;
}

/* ---- a text */

static bool is_ignored(const nib_tag_options *o, const char *label) {
    if (!o->ignore) return strcmp(label, "O") == 0;
    for (size_t i = 0; i < o->ignore_count; i++)
        if (strcmp(o->ignore[i], label) == 0) return true;
    return false;
}

/* The entities of one window, behind those that were found. */
static nib_status tag_window(const tagging *t, tag_work *w, base_arena *arena, size_t i, size_t item, size_t at,
                             nib_error *err) {
    nib_status status = NIB_OK;
    const nib_aggregation how = t->options.aggregation;
    base_heap *heap = w->text.heap;
    if (!base_grow(heap, (void **)&w->tags, &w->tags_cap, (size_t)t->job.chunk.lengths[item], sizeof *w->tags))
        return no_memory(err);
    size_t n = gather(t, w, i, item, at);
    if (how > NIB_AGGREGATION_SIMPLE) NIB_TRY(make_words(t, w, arena, &n, err));
    if (how != NIB_AGGREGATION_NONE) NIB_TRY(make_groups(t, w, arena, &n, err));
    if (!base_grow(heap, (void **)&w->found, &w->found_cap, w->found_count + n, sizeof *w->found))
        return no_memory(err);
    for (size_t k = 0; k < n; k++)
        if (!is_ignored(&t->options, w->tags[k].label)) w->found[w->found_count++] = w->tags[k];
fail:
    return status;
}

/* Of entities of several windows that lie over one another the longest, then the one with the highest score. Sorted by
 * where they begin, those that begin at one place in the order in which they were found. */
static void settle_overlaps(tag_work *w) {
    tag *x = w->found;
    size_t kept = 0;
    for (size_t i = 1; i < w->found_count; i++) /* windows are in order, so that little moves */
        for (size_t k = i; k > 0 && x[k - 1].begin > x[k].begin; k--) {
            const tag other = x[k];
            x[k] = x[k - 1];
            x[k - 1] = other;
        }
    for (size_t i = 1; i < w->found_count; i++) {
        tag *last = &x[kept];
        const size_t now = x[i].end - x[i].begin, before = last->end - last->begin;
        if (x[i].begin >= last->end) x[++kept] = x[i];
        else if (now > before || (now == before && x[i].score > last->score)) *last = x[i];
    }
    if (w->found_count) w->found_count = kept + 1;
}

static nib_status keep_found(const tag_work *w, base_arena *arena, tag_result *out, nib_error *err) {
    out->list = base_arena_calloc(arena, w->found_count + 1, sizeof *out->list);
    if (!out->list) return no_memory(err);
    for (size_t k = 0; k < w->found_count; k++) {
        const tag *x = &w->found[k];
        /* A word of a group lies in the arena already; a token's is its tokenizer's, or a part of the caller's text. */
        const char *word = base_arena_strndup(arena, x->word.bytes, x->word.length);
        if (!word) return no_memory(err);
        out->list[k] = (nib_entity){.label = x->label,
                                    .word = word,
                                    .score = (float)x->score,
                                    .token = x->token,
                                    .begin = x->begin,
                                    .end = x->end};
    }
    out->count = w->found_count;
    return NIB_OK;
}

static nib_status tag_text(void *user, size_t i, int slot, nib_error *err) {
    nib_status status = NIB_OK;
    tagging *t = user;
    const task_chunk *c = &t->job.chunk;
    tag_work *w = &t->works[slot];
    size_t at = 0;
    w->found_count = 0;
    for (size_t item = c->items[i]; item < c->items[i + 1]; at += (size_t)c->lengths[item++])
        NIB_TRY(tag_window(t, w, &t->out->arenas[slot], i, item, at, err));
    if (c->items[i + 1] - c->items[i] > 1) settle_overlaps(w);
    NIB_TRY(keep_found(w, &t->out->arenas[slot], &t->out->results[c->first + i], err));
fail:
    return status;
}

/* ---- the job */

static nib_status make_out(tagging *t, size_t n, nib_error *err) {
    nib_model *m = t->job.chunk.m;
    base_heap *heap = &m->runtime->heap;
    nib_tags *out = t->out = base_calloc(heap, 1, sizeof *out);
    if (!out) return no_memory(err);
    out->model = nib_model_retain(m);
    out->n = n;
    out->threads = base_pool_threads(m->runtime->pool);
    out->results = base_calloc(heap, n + 1, sizeof *out->results);
    out->arenas = base_calloc(heap, (size_t)out->threads, sizeof *out->arenas);
    t->works = base_calloc(heap, (size_t)out->threads, sizeof *t->works);
    for (int i = 0; out->arenas && i < out->threads; i++) base_arena_init(&out->arenas[i], heap);
    for (int i = 0; t->works && i < out->threads; i++) base_str_init(&t->works[i].text, heap);
    return out->results && out->arenas && t->works ? NIB_OK : no_memory(err);
}

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    tagging *t = (tagging *)job;
    nib_model *m = job->m;
    const char *named = m->settings.tokenizer.unknown;
    NIB_TRY(task_chunk_begin(&job->chunk, t->options.windows != 0, t->options.stride, err));
    NIB_TRY(model_get_program(m, NIB_TASK_TAG, &t->program, err));
    NIB_TRY(make_out(t, job->given.n, err));
    if (t->options.ignore)
        NIB_TRY(task_copy_texts(&m->runtime->heap, t->options.ignore, NULL, t->options.ignore_count, &t->ignored, err));
    t->options.ignore = t->ignored;
    t->unknown = named[0] ? text_token_id(m->tokenizer, named, strlen(named)) : text_unknown_id(m->tokenizer);
    t->marks = text_marks_subwords(m->tokenizer);
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    tagging *t = (tagging *)job;
    *t->to = t->out;
    t->out = NULL;
    return NIB_OK;
}

static void free_job(task_job *job) {
    tagging *t = (tagging *)job;
    base_heap *heap = &job->m->runtime->heap;
    for (int i = 0; t->works && i < base_pool_threads(job->m->runtime->pool); i++) {
        base_free(heap, t->works[i].tags);
        base_free(heap, t->works[i].found);
        base_free(heap, t->works[i].strings);
        base_free(heap, t->works[i].means);
        base_str_free(&t->works[i].text);
    }
    base_free(heap, t->works);
    base_free(heap, t->ignored);
    nib_tags_free(t->out);
}

static const task_job_kind kind = {
    .bytes = sizeof(tagging), .chunked = true, .begin = begin, .each = tag_text, .conclude = conclude, .free = free_job};

task_job *task_tag_job(nib_model *m, const char *const *texts, size_t n, const nib_tag_options *o, nib_tags **out) {
    const task_texts given = {TASK_GIVEN(o, n, texts), .finish = task_softmax};
    tagging *t = (tagging *)task_job_new(&kind, m, NIB_TASK_TAG, &given);
    if (!t) return NULL;
    t->options = *o;
    t->to = out;
    return &t->job;
}

size_t nib_tags_get(const nib_tags *tags, size_t i, const nib_entity **entities) {
    const bool there = tags && i < tags->n;
    if (entities) *entities = there ? tags->results[i].list : NULL;
    return there ? tags->results[i].count : 0;
}

void nib_tags_free(nib_tags *tags) {
    if (!tags) return;
    nib_model *m = tags->model;
    base_heap *heap = &m->runtime->heap;
    for (int i = 0; tags->arenas && i < tags->threads; i++) base_arena_free(&tags->arenas[i]);
    base_free(heap, tags->arenas);
    base_free(heap, tags->results);
    base_free(heap, tags);
    nib_model_free(m);
}
