/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `sparse`: a weight for each word. In: texts. Out: CSR. See task_sparse.h.
 */
#include "task_sparse.h"
#include "base/base_sort.h"
#include "task.h"
#include "task_job.h"
#include <math.h>
#include <string.h>

/* ---- a text's numbers */

typedef struct number {
    int32_t index;
    float value;
} number;

static int by_index(const void *a, const void *b) {
    const number *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

/* What is no number is larger than any, as torch.topk has it. */
static double magnitude(const number *x) { return isnan(x->value) ? INFINITY : fabs((double)x->value); }

static int by_magnitude(const void *a, const void *b) {
    const double x = magnitude(a), y = magnitude(b);
    return x > y ? -1 : x < y ? 1 : by_index(a, b);
}

/* Of one word the largest first. */
static int by_word(const void *a, const void *b) {
    const int words = by_index(a, b);
    const float x = ((const number *)a)->value, y = ((const number *)b)->value;
    if (words) return words;
    if (isnan(x) || isnan(y)) return isnan(y) - isnan(x);
    return x > y ? -1 : x < y;
}

/* `numbers`, which may be sorted anew, as text i's list. */
static void keep(task_sparse *s, size_t i, number *numbers, size_t count) {
    task_sparse_list *list = &s->lists[i];
    base_heap *heap = &s->m->runtime->heap;
    if (s->top && count > (size_t)s->top) {
        base_sort(numbers, count, sizeof *numbers, by_magnitude);
        count = (size_t)s->top;
        base_sort(numbers, count, sizeof *numbers, by_index);
    }
    base_free(heap, list->indices); /* a queue may run a text again */
    *list = (task_sparse_list){.count = count};
    list->indices = base_alloc(heap, count * (sizeof *list->indices + sizeof *list->values) + 1);
    if (!list->indices) {
        list->count = 0;
        atomic_store(&s->status, NIB_OUT_OF_MEMORY);
        return;
    }
    list->values = (float *)(void *)(list->indices + count);
    for (size_t k = 0; k < count; k++) list->indices[k] = numbers[k].index, list->values[k] = numbers[k].value;
}

static number *make_numbers(task_sparse *s, size_t count) {
    number *numbers = base_alloc(&s->m->runtime->heap, count * sizeof *numbers + 1);
    if (!numbers) atomic_store(&s->status, NIB_OUT_OF_MEMORY);
    return numbers;
}

void task_sparse_take_row(task_sparse *s, size_t i, const float *row) {
    size_t count = 0;
    for (int64_t k = 0; k < s->width; k++) count += row[k] != 0; /* of NaN, too */
    number *numbers = make_numbers(s, count);
    if (!numbers) return;
    count = 0;
    for (int64_t k = 0; k < s->width; k++)
        if (row[k] != 0) numbers[count++] = (number){(int32_t)k, row[k]};
    keep(s, i, numbers, count);
    base_free(&s->m->runtime->heap, numbers);
}

void task_sparse_take_tokens(task_sparse *s, size_t i, const int32_t *ids, const float *weights, int64_t count) {
    size_t n = 0, words = 0;
    number *numbers = make_numbers(s, (size_t)count);
    if (!numbers) return;
    for (int64_t k = 0; k < count; k++) {
        const bool unused = s->unused && (size_t)ids[k] < s->vocabulary && s->unused[ids[k]];
        if (!unused && ids[k] < s->width && weights[k] != 0) numbers[n++] = (number){ids[k], weights[k]};
    }
    base_sort(numbers, n, sizeof *numbers, by_word);
    for (size_t k = 0; k < n; k++)
        if (k == 0 || numbers[k].index != numbers[words - 1].index) numbers[words++] = numbers[k];
    keep(s, i, numbers, words);
    base_free(&s->m->runtime->heap, numbers);
}

/* ---- begin, end, finish */

/* Tokens that BGE-M3 gives no weight: cls, eos, pad, unk, which are XLM-RoBERTa's if the folder names no others. */
static nib_status leave_out(task_sparse *s, nib_error *err) {
    const hf_tokenizer *t = &s->m->settings.tokenizer;
    const char *const names[] = {"<s>", "</s>", "<pad>", "<unk>", t->cls, t->sep, t->unknown};
    s->unused = base_calloc(&s->m->runtime->heap, s->vocabulary + 1, 1);
    if (!s->unused) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a list of tokens");
    for (size_t i = 0; s->m->tokenizer && i < BASE_COUNT(names); i++) {
        const int32_t id = names[i][0] ? text_token_id(s->m->tokenizer, names[i], strlen(names[i])) : -1;
        if (id >= 0 && (size_t)id < s->vocabulary) s->unused[id] = 1;
    }
    return NIB_OK;
}

nib_status task_sparse_begin(task_sparse *s, const nib_model *m, size_t n, int64_t width, bool tokens, int64_t top,
                             nib_error *err) {
    nib_status status = NIB_OK;
    const size_t words = m->tokenizer ? text_vocab_size(m->tokenizer) : 0;
    *s = (task_sparse){.m = m, .n = n, .vocabulary = words};
    s->top = top > 0 ? top : top < 0 ? 0 : m->settings.sparse.top;
    s->width = tokens ? (m->ids_below < INT32_MAX ? m->ids_below : (int64_t)words) : width;
    s->lists = base_calloc(&m->runtime->heap, n + 1, sizeof *s->lists);
    if (!s->lists) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu texts", n);
    if (m->settings.m3.lexical) NIB_TRY(leave_out(s, err));
fail:
    return status;
}

void task_sparse_end(task_sparse *s) {
    if (!s->m) return;
    base_heap *heap = &s->m->runtime->heap;
    for (size_t i = 0; s->lists && i < s->n; i++) base_free(heap, s->lists[i].indices);
    base_free(heap, s->lists);
    base_free(heap, s->unused);
}

nib_status task_sparse_finish(task_sparse *s, nib_sparse **out, nib_error *err) {
    size_t numbers = 0;
    for (size_t i = 0; i < s->n; i++) numbers += s->lists[i].count;
    nib_sparse *made =
        atomic_load(&s->status) == NIB_OK ? task_sparse_create(s->m->runtime, s->n, s->width, numbers) : NULL;
    if (!made) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu texts", s->n);
    for (size_t i = 0; i < s->n; i++) {
        task_sparse_list *list = &s->lists[i];
        const int64_t at = made->offsets[i];
        if (list->count) {
            memcpy(made->indices + at, list->indices, list->count * sizeof *list->indices);
            memcpy(made->values + at, list->values, list->count * sizeof *list->values);
        }
        made->offsets[i + 1] = at + (int64_t)list->count;
        base_free(&s->m->runtime->heap, list->indices);
        *list = (task_sparse_list){0};
    }
    *out = made;
    return NIB_OK;
}

/* ---- the struct that callers get, of a runtime's memory */

typedef struct owned {
    nib_sparse s; /* first */
    nib_runtime *runtime;
} owned;

nib_sparse *task_sparse_create(nib_runtime *runtime, size_t n, int64_t width, size_t numbers) {
    base_heap *heap = &runtime->heap;
    size_t bytes;
    owned *o =
        n < SIZE_MAX / 16 && base_mul_size(numbers, sizeof(int32_t), &bytes) ? base_calloc(heap, 1, sizeof *o) : NULL;
    if (!o) return NULL;
    o->runtime = base_runtime_retain(runtime);
    o->s = (nib_sparse){.n = n, .width = width};
    o->s.offsets = base_calloc(heap, n + 1, sizeof *o->s.offsets);
    o->s.indices = base_alloc(heap, bytes + 1);
    o->s.values = base_alloc(heap, bytes + 1);
    if (o->s.offsets && o->s.indices && o->s.values) return &o->s;
    task_sparse_free(&o->s);
    return NULL;
}

void task_sparse_free(nib_sparse *sparse) {
    owned *o = (owned *)(void *)sparse;
    if (!o) return;
    nib_runtime *runtime = o->runtime;
    base_free(&runtime->heap, o->s.offsets);
    base_free(&runtime->heap, o->s.indices);
    base_free(&runtime->heap, o->s.values);
    base_free(&runtime->heap, o);
    base_runtime_release(runtime);
}

/* ---- the job */

typedef struct sparse_job {
    task_job job;
    nib_sparse_options options;
    nib_sparse **out;
    task_sparse sparse;
} sparse_job;

static void take(void *user, size_t i, const run_item *item, const float *rows, int64_t count) {
    task_sparse_take_tokens(user, i, item->ids, rows, count);
}

static void take_row(void *user, size_t i, const run_item *item, const float *rows, int64_t count) {
    task_sparse_take_row(user, i, rows);
}

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    sparse_job *s = (sparse_job *)job;
    const model_program *p;
    NIB_TRY(model_get_program(job->m, NIB_TASK_SPARSE, &p, err));
    job->given.take = p->tokens ? take : take_row;
    job->given.take_user = &s->sparse;
    NIB_TRY(task_prompt(job->m, s->options.prompt_name, s->options.prompt, &job->given.prompt, err));
    NIB_TRY(task_sparse_begin(&s->sparse, job->m, job->given.n, p->width, p->tokens, s->options.top, err));
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    sparse_job *s = (sparse_job *)job;
    return task_sparse_finish(&s->sparse, s->out, err);
}

static void free_job(task_job *job) { task_sparse_end(&((sparse_job *)job)->sparse); }

static const task_job_kind kind = {.bytes = sizeof(sparse_job), .begin = begin, .conclude = conclude, .free = free_job};

task_job *task_sparse_job(nib_model *m, const char *const *texts, size_t n, const nib_sparse_options *o, nib_sparse **out) {
    const task_texts given = {TASK_GIVEN(o, n, texts)};
    sparse_job *s = (sparse_job *)task_job_new(&kind, m, NIB_TASK_SPARSE, &given);
    if (!s) return NULL;
    s->options = *o;
    s->out = out;
    return &s->job;
}
