/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `fill`: words in the place of masks, as transformers' FillMaskPipeline finds them (pipelines/fill_mask.py).
 * In: texts. Out: for each mask the most probable words. The rows of masks are all that is wanted of the program
 * (run_item.places); a row of all words' scores is looked at where it was made, on the thread that ran it, and not kept.
 */
#include "base/base_sort.h"
#include "task.h"
#include "task_job.h"
#include <math.h>
#include <string.h>

typedef struct fill_text {
    size_t masks;
    int64_t *places;         /* [masks] which tokens they are */
    nib_fill_entry *entries; /* [masks][kept] */
} fill_text;

struct nib_fills {
    nib_model *model; /* one reference */
    size_t n, kept;
    fill_text *texts; /* [n]; lists in the arena */
    base_arena arena; /* with the lock held */
    base_mutex *lock;
};

typedef struct filling {
    task_job job;
    nib_fill_options options;
    nib_fills **to;
    nib_fills *out; /* until it is the caller's */
    int64_t width;      /* words */
    int32_t mask, pad;  /* -1: none */
    int32_t *targets;   /* [n_targets] NULL: all words */
    size_t n_targets;
    _Atomic int status; /* of what is made of rows */
    nib_error error;    /* of the first failure */
} filling;

/* ---- the mask */

/* A special token of the tokenizer: as named, or of the two names that it has everywhere. */
static const char *special_token(const nib_model *m, const char *named, const char *const usual[2]) {
    const char *const names[] = {named, usual[0], usual[1]};
    for (size_t i = named[0] ? 0 : 1; m->tokenizer && i < (named[0] ? 1 : BASE_COUNT(names)); i++)
        if (text_token_id(m->tokenizer, names[i], strlen(names[i])) >= 0) return names[i];
    return NULL;
}

const char *task_mask_token(const nib_model *m) {
    return special_token(m, m->settings.tokenizer.mask, (const char *const[]){"[MASK]", "<mask>"});
}

static int32_t id_of(const nib_model *m, const char *token) {
    return token ? text_token_id(m->tokenizer, token, strlen(token)) : -1;
}

/* ---- targets */

/* The vocabulary's token of that name, or the first of the tokens that it becomes; -1: it becomes none. */
static nib_status target_id(const filling *f, const char *target, int32_t *id, nib_error *err) {
    nib_status status = NIB_OK;
    text_encoding e;
    size_t length = 0;
    *id = text_token_id(f->job.m->tokenizer, target, strlen(target));
    if (*id >= 0) return NIB_OK;
    text_encoding_init(&e, &f->job.m->runtime->heap);
    NIB_TRY(text_encode(f->job.m->tokenizer, target, strlen(target), NULL, 0, 0, false, &e, err));
    if (e.count) *id = e.ids[0];
    const char *token = e.count ? text_token(f->job.m->tokenizer, *id, &length) : NULL;
    if (token)
        base_log(f->job.m->runtime, NIB_LOG_WARN, "target \"%.60s\" is no token of the vocabulary: %.*s stands for it", target,
                 (int)(length < 60 ? length : 60), token);
    else base_log(f->job.m->runtime, NIB_LOG_WARN, "target \"%.60s\" is no token of the vocabulary, and is left out", target);
fail:
    text_encoding_free(&e);
    return status;
}

static int by_id(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static nib_status find_targets(filling *f, const nib_fill_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    size_t n = 0;
    if (!o->targets) return NIB_OK;
    f->targets = base_calloc(&f->job.m->runtime->heap, o->target_count + 1, sizeof *f->targets);
    if (!f->targets) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu targets", o->target_count);
    for (size_t i = 0; i < o->target_count; i++) {
        int32_t id;
        NIB_TRY(target_id(f, o->targets[i], &id, err));
        if (id >= f->width)
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "target \"%.60s\" is token %d, and the model has scores of %lld words",
                     o->targets[i], (int)id, (long long)f->width);
        if (id >= 0) f->targets[n++] = id;
    }
    base_sort(f->targets, n, sizeof *f->targets, by_id);
    for (size_t i = 0; i < n; i++)
        if (!i || f->targets[i] != f->targets[i - 1]) f->targets[f->n_targets++] = f->targets[i];
    if (!f->n_targets) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "no target is left: one at least is needed");
fail:
    return status;
}

/* ---- which rows */

static nib_status want_masks(void *user, size_t i, run_item *item, nib_error *err) {
    filling *f = user;
    nib_fills *out = f->out;
    fill_text *t = &out->texts[i];
    size_t masks = 0, count;
    for (int64_t k = 0; k < item->length; k++) masks += item->ids[k] == f->mask;
    if (!masks)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "text %zu has no mask among its tokens: this model's is %s", i,
                              task_mask_token(f->job.m));
    if (!t->entries) {
        base_mutex_lock(out->lock);
        t->places = base_arena_calloc(&out->arena, masks, sizeof *t->places);
        t->entries = base_mul_size(masks, out->kept, &count) ? base_arena_calloc(&out->arena, count, sizeof *t->entries) : NULL;
        base_mutex_unlock(out->lock);
        if (!t->places || !t->entries)
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the words of %zu masks", masks);
    }
    t->masks = 0;
    for (int64_t k = 0; k < item->length; k++)
        if (item->ids[k] == f->mask) t->places[t->masks++] = k;
    item->places = t->places;
    item->count = (int64_t)masks;
    return NIB_OK;
}

/* ---- the best words of a row */

typedef struct word {
    float score; /* raw */
    int32_t id;
} word;

/* Higher scores first, then lower ids. */
static bool goes_before(const word *a, const word *b) {
    return a->score > b->score || (!(a->score < b->score) && a->id < b->id);
}

static int by_score(const void *a, const void *b) { return goes_before(a, b) ? -1 : goes_before(b, a); }

/* The worst of n words is at the root of a heap; one that is better than it takes its place. */
static void offer(word *heap, size_t *n, size_t most, word x) {
    size_t at = 0;
    if (*n < most) {
        for (at = (*n)++; at && goes_before(&heap[(at - 1) / 2], &x); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = x;
        return;
    }
    if (!goes_before(&x, &heap[0])) return;
    for (size_t child; (child = 2 * at + 1) < most; at = child) {
        if (child + 1 < most && goes_before(&heap[child], &heap[child + 1])) child++;
        if (!goes_before(&x, &heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

/* `best` [kept] of a row, in order, their scores made probabilities of all words. */
static void best_words(const filling *f, const float *row, word *best) {
    const size_t kept = f->out->kept, n = f->targets ? f->n_targets : (size_t)f->width;
    double most = -INFINITY, sum = 0;
    size_t have = 0;
    for (int64_t i = 0; i < f->width; i++)
        if (!((double)row[i] <= most)) most = (double)row[i]; /* NaN stays */
    for (int64_t i = 0; i < f->width; i++) sum += exp((double)row[i] - most);
    const bool nan = isnan(sum) != 0; /* then all are, and the first ids as good as any */
    for (size_t i = 0; i < (nan ? kept : n); i++) {
        const int32_t id = f->targets ? f->targets[i] : (int32_t)i;
        if (have == kept && !(row[id] > best[0].score)) continue; /* nearly all: ids rise, and equal ones come too late */
        offer(best, &have, kept, (word){nan ? 0 : row[id], id});
    }
    base_sort(best, kept, sizeof *best, by_score);
    for (size_t i = 0; i < kept; i++) best[i].score = (float)(exp((double)best[i].score - most) / sum);
}

/* ---- what they say */

/* The decoded tokens, in the arena. */
static nib_status decode(const filling *f, const int32_t *ids, size_t n, bool skip_special, base_str *text, const char **out,
                         size_t *length, nib_error *err) {
    base_str_clear(text);
    nib_status status = text_decode(f->job.m->tokenizer, ids, n, skip_special, text, err);
    if (status != NIB_OK) return status;
    if (f->job.m->settings.tokenizer.cleans) text_clean_up(f->job.m->tokenizer, text);
    *length = text->length;
    base_mutex_lock(f->out->lock);
    *out = text->failed ? NULL : base_arena_strndup(&f->out->arena, text->data ? text->data : "", text->length);
    base_mutex_unlock(f->out->lock);
    return *out ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the words of a mask");
}

static nib_status fill_mask(const filling *f, const fill_text *t, const run_item *item, size_t mask, const word *best,
                            int32_t *ids, base_str *text, nib_error *err) {
    nib_status status = NIB_OK;
    for (size_t k = 0; k < f->out->kept; k++) {
        nib_fill_entry *e = &t->entries[mask * f->out->kept + k];
        size_t n = 0;
        for (int64_t j = 0; j < item->length; j++) {
            const int32_t id = j == t->places[mask] ? best[k].id : item->ids[j];
            if (id != f->pad) ids[n++] = id;
        }
        *e = (nib_fill_entry){.score = best[k].score, .token = best[k].id};
        NIB_TRY(decode(f, &best[k].id, 1, false, text, &e->word, &e->word_length, err));
        NIB_TRY(decode(f, ids, n, t->masks == 1, text, &e->sequence, &e->sequence_length, err));
    }
fail:
    return status;
}

static void take_rows(void *user, size_t i, const run_item *item, const float *rows, int64_t count) {
    filling *f = user;
    base_heap *heap = &f->job.m->runtime->heap;
    const fill_text *t = &f->out->texts[i];
    nib_error e;
    nib_status status = NIB_OK;
    base_str text;
    word *best = base_calloc(heap, f->out->kept, sizeof *best);
    int32_t *ids = base_calloc(heap, (size_t)item->length + 1, sizeof *ids);
    base_str_init(&text, heap);
    if (!best || !ids) status = base_error_set(&e, NIB_OUT_OF_MEMORY, "out of memory for the words of a mask");
    for (int64_t k = 0; k < count && status == NIB_OK; k++) {
        best_words(f, rows + k * f->width, best);
        status = fill_mask(f, t, item, (size_t)k, best, ids, &text, &e);
    }
    base_str_free(&text);
    base_free(heap, best);
    base_free(heap, ids);
    if (status == NIB_OK) return;
    base_mutex_lock(f->out->lock);
    if (atomic_load(&f->status) == NIB_OK) f->error = e;
    atomic_store(&f->status, status);
    base_mutex_unlock(f->out->lock);
}

/* ---- the job */

static nib_status make_out(filling *f, size_t n, const nib_fill_options *o, nib_error *err) {
    base_heap *heap = &f->job.m->runtime->heap;
    const size_t words = f->targets ? f->n_targets : (size_t)f->width;
    nib_fills *out = f->out = base_calloc(heap, 1, sizeof *out);
    if (!out) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", n);
    out->model = nib_model_retain(f->job.m);
    out->n = n;
    out->kept = o->top < words ? o->top : words;
    base_arena_init(&out->arena, heap);
    out->texts = base_calloc(heap, n + 1, sizeof *out->texts);
    out->lock = base_mutex_create(heap);
    return out->texts && out->lock ? NIB_OK
                                   : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", n);
}

static nib_status begin(task_job *job, nib_error *err) {
    static const char *const pads[2] = {"[PAD]", "<pad>"};
    nib_status status = NIB_OK;
    filling *f = (filling *)job;
    nib_model *m = job->m;
    const model_program *program;
    NIB_TRY(model_get_program(m, NIB_TASK_FILL, &program, err));
    NIB_TRY(model_check_tokenizer(m, err));
    f->width = program->width;
    f->mask = id_of(m, task_mask_token(m));
    f->pad = id_of(m, special_token(m, m->settings.tokenizer.pad, pads));
    if (f->mask < 0)
        NIB_FAIL(err, NIB_UNSUPPORTED, "this model cannot fill masks: its tokenizer names no mask token that it has");
    NIB_TRY(find_targets(f, &f->options, err));
    NIB_TRY(make_out(f, job->given.n, &f->options, err));
    job->given.take = take_rows;
    job->given.want = want_masks;
    job->given.take_user = f;
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    filling *f = (filling *)job;
    if (atomic_load(&f->status) != NIB_OK) {
        if (err) *err = f->error;
        return (nib_status)atomic_load(&f->status);
    }
    *f->to = f->out;
    f->out = NULL;
    return NIB_OK;
}

static void free_job(task_job *job) {
    filling *f = (filling *)job;
    base_free(&job->m->runtime->heap, f->targets);
    nib_fills_free(f->out);
}

static const task_job_kind kind = {.bytes = sizeof(filling), .begin = begin, .conclude = conclude, .free = free_job};

task_job *task_fill_job(nib_model *m, const char *const *texts, size_t n, const nib_fill_options *o, nib_fills **out) {
    const task_texts given = {TASK_GIVEN(o, n, texts)};
    filling *f = (filling *)task_job_new(&kind, m, NIB_TASK_FILL, &given);
    if (!f) return NULL;
    f->options = *o;
    f->to = out;
    return &f->job;
}

size_t nib_fills_masks(const nib_fills *fills, size_t i) { return fills && i < fills->n ? fills->texts[i].masks : 0; }

size_t nib_fills_get(const nib_fills *fills, size_t i, size_t mask, const nib_fill_entry **entries) {
    const bool there = mask < nib_fills_masks(fills, i);
    if (entries) *entries = there ? fills->texts[i].entries + mask * fills->kept : NULL;
    return there ? fills->kept : 0;
}

void nib_fills_free(nib_fills *fills) {
    if (!fills) return;
    nib_model *m = fills->model;
    base_heap *heap = &m->runtime->heap;
    base_arena_free(&fills->arena);
    base_mutex_free(heap, fills->lock);
    base_free(heap, fills->texts);
    base_free(heap, fills);
    nib_model_free(m);
}
