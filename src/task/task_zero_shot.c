/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels of the caller's, by a model for natural language inference, as transformers' ZeroShotClassificationPipeline has
 * it (pipelines/zero_shot_classification.py). In: texts and labels. Out: for each text all labels, the best first. Pairs
 * of a text and what is said of a label go through the program of the task classify.
 */
#include "base/base_sort.h"
#include "task_job.h"
#include <math.h>
#include <string.h>

#define PAIRS 65536 /* about so many at a time, whole texts of them */

typedef struct zero_shot {
    task_job job;
    nib_zero_shot_options options;
    const char *const *texts, *const *labels; /* [n], [n_labels] */
    size_t n, done;                           /* texts; those that `given` has had */
    nib_ranked *out;                          /* [n, n_labels] */
    int64_t width, entails, contradicts; /* columns of a row */
    size_t n_labels, room;               /* texts at a time */
    char *said;                          /* what is said of all labels */
    const char **hypotheses;             /* [n_labels] within it */
    const char **premises, **seconds;    /* [room * n_labels] */
    size_t *lengths;                     /* the same; NULL: they end with NUL */
    float *rows;                         /* [room * n_labels, width] */
} zero_shot;

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the labels"); }

/* The first label that begins with "entail". */
static void find_columns(zero_shot *z, const model_program *p) {
    static const char word[] = "entail";
    z->entails = -1;
    for (int64_t i = p->width; i-- > 0;) {
        size_t k = 0;
        while (word[k] && (p->labels[i][k] | 0x20) == word[k]) k++;
        if (!word[k]) z->entails = i;
    }
    z->contradicts = z->entails == 0 ? p->width - 1 : 0;
    if (z->entails >= 0) return;
    base_log(z->job.m->runtime, NIB_LOG_WARN, "no label of the model begins with \"entail\": the last, %.60s, is taken for it",
             p->labels[p->width - 1]);
    z->entails = p->width - 1;
}

/* What the hypothesis says of each label. */
static nib_status say(zero_shot *z, nib_error *err) {
    const char *text = z->options.hypothesis ? z->options.hypothesis : "This example is {}.";
    const char *at = strstr(text, "{}");
    base_heap *heap = &z->job.m->runtime->heap;
    if (!at || strstr(at + 2, "{}"))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "what is said of labels must have {} once, where the label goes");
    const size_t before = (size_t)(at - text), behind = strlen(at + 2);
    size_t bytes = 0;
    for (size_t i = 0; i < z->n_labels; i++)
        if (!base_add_size(bytes, before + behind + strlen(z->labels[i]) + 1, &bytes)) return no_memory(err);
    char *to = z->said = base_alloc(heap, bytes + 1);
    z->hypotheses = base_calloc(heap, z->n_labels, sizeof *z->hypotheses);
    if (!to || !z->hypotheses) return no_memory(err);
    for (size_t i = 0; i < z->n_labels; i++) {
        const size_t n = strlen(z->labels[i]);
        z->hypotheses[i] = to;
        memcpy(to, text, before);
        memcpy(to + before, z->labels[i], n);
        memcpy(to + before + n, at + 2, behind + 1);
        to += before + n + behind + 1;
    }
    return NIB_OK;
}

static nib_status make_room(zero_shot *z, bool all, nib_error *err) {
    base_heap *heap = &z->job.m->runtime->heap;
    size_t pairs, bytes;
    z->room = PAIRS / z->n_labels < 1 ? 1 : PAIRS / z->n_labels;
    if (z->room > z->n || all) z->room = z->n;
    if (!base_mul_size(z->room, z->n_labels, &pairs) || !base_mul_size(pairs, (size_t)z->width * sizeof *z->rows, &bytes))
        return no_memory(err);
    z->premises = base_calloc(heap, pairs, sizeof *z->premises);
    z->seconds = base_calloc(heap, pairs, sizeof *z->seconds);
    z->lengths = z->options.lengths ? base_calloc(heap, pairs, sizeof *z->lengths) : NULL;
    z->rows = base_alloc(heap, bytes);
    return z->premises && z->seconds && z->rows && (z->lengths || !z->options.lengths) ? NIB_OK : no_memory(err);
}

/* A total order: the best first, equal ones by number, what is no number last. */
static int by_score(const void *a, const void *b) {
    const nib_ranked *x = a, *y = b;
    const int nan_x = isnan(x->score) != 0, nan_y = isnan(y->score) != 0;
    if (nan_x != nan_y) return nan_x - nan_y;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Of one text: rows [n_labels, width] -> labels in order. */
static void rank_labels(const zero_shot *z, const float *rows, nib_ranked *out) {
    const bool alone = z->options.multi_label || z->n_labels == 1;
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < z->n_labels && !alone; i++) {
        const double x = (double)rows[i * (size_t)z->width + (size_t)z->entails];
        if (!(x <= most)) most = x; /* NaN stays */
    }
    for (size_t i = 0; i < z->n_labels && !alone; i++) sum += exp((double)rows[i * (size_t)z->width + (size_t)z->entails] - most);
    for (size_t i = 0; i < z->n_labels; i++) {
        const float *row = rows + i * (size_t)z->width;
        const double x = (double)row[z->entails], other = (double)row[z->contradicts];
        out[i] = (nib_ranked){.index = i, .score = (float)(alone ? 1 / (1 + exp(other - x)) : exp(x - most) / sum)};
    }
    base_sort(out, z->n_labels, sizeof *out, by_score);
}

/* ---- the job */

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    zero_shot *z = (zero_shot *)job;
    const model_program *program;
    NIB_TRY(model_get_program(job->m, NIB_TASK_CLASSIFY, &program, err));
    z->width = program->width;
    if (z->width < 2)
        NIB_FAIL(err, NIB_UNSUPPORTED, "this model has one label, and cannot say whether what is said of a text follows or not");
    find_columns(z, program);
    NIB_TRY(say(z, err));
fail:
    return status;
}

/* The pairs of some texts, `room` of them. */
static nib_status next(task_job *job, bool all, bool *more, nib_error *err) {
    nib_status status = NIB_OK;
    zero_shot *z = (zero_shot *)job;
    const size_t L = z->n_labels;
    *more = z->done < z->n;
    job->given.n = 0;
    if (!*more) return NIB_OK;
    if (!z->rows) NIB_TRY(make_room(z, all, err));
    const size_t count = z->n - z->done < z->room ? z->n - z->done : z->room;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < L; k++) {
            z->premises[i * L + k] = z->texts[z->done + i];
            z->seconds[i * L + k] = z->hypotheses[k];
            if (z->lengths) z->lengths[i * L + k] = z->options.lengths[z->done + i];
        }
    z->done += count;
    job->given.n = count * L;
    job->given.texts = z->premises;
    job->given.text_lengths = z->lengths;
    job->given.pairs = z->seconds;
    job->out = z->rows;
fail:
    return status;
}

static nib_status took(task_job *job, nib_error *err) {
    zero_shot *z = (zero_shot *)job;
    const size_t L = z->n_labels, count = job->given.n / L, first = z->done - count;
    for (size_t i = 0; i < count; i++) rank_labels(z, z->rows + i * L * (size_t)z->width, z->out + (first + i) * L);
    return NIB_OK;
}

static void free_job(task_job *job) {
    zero_shot *z = (zero_shot *)job;
    base_heap *heap = &job->m->runtime->heap;
    base_free(heap, z->said);
    base_free(heap, z->hypotheses);
    base_free(heap, z->premises);
    base_free(heap, z->seconds);
    base_free(heap, z->lengths);
    base_free(heap, z->rows);
}

static const task_job_kind kind = {.bytes = sizeof(zero_shot), .begin = begin, .next = next, .took = took, .free = free_job};

task_job *task_zero_shot_job(nib_model *m, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                             const nib_zero_shot_options *options, nib_ranked *out) {
    const task_texts given = {.n = n * n_labels,
                              .strategy = TEXT_ONLY_FIRST,
                              .max_tokens = options->max_tokens,
                              .profile = options->profile,
                              .ticket = options->ticket};
    zero_shot *z = (zero_shot *)task_job_new(&kind, m, NIB_TASK_CLASSIFY, &given);
    if (!z) return NULL;
    z->options = *options;
    z->texts = texts;
    z->n = n;
    z->labels = labels;
    z->n_labels = n_labels;
    z->out = out;
    return &z->job;
}
