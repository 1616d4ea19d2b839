/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `classify`: a score a label, of texts or of pairs. The program gives raw scores; what is made of them is a
 * function of the rows, in double as the definitions say, so that a text's scores are its own.
 */
#include "task.h"
#include <math.h>

/* e^(x - the largest), over their sum. */
void task_softmax(float *x, int64_t n) {
    double sum = 0, most = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (!((double)x[i] <= most)) most = (double)x[i]; /* NaN stays */
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - most);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(exp((double)x[i] - most) / sum);
}

static void sigmoid(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)(1 / (1 + exp(-(double)x[i])));
}

static void (*const functions[])(float *x, int64_t n) = {
    [NIB_SCORES_RAW] = NULL, [NIB_SCORES_SOFTMAX] = task_softmax, [NIB_SCORES_SIGMOID] = sigmoid};

nib_status task_classify_given(nib_model *m, const char *const *texts, const char *const *pairs, size_t n,
                               const nib_classify_options *options, task_texts *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_scores scores = options->scores;
    const model_program *program;
    NIB_TRY(model_get_program(m, NIB_TASK_CLASSIFY, &program, err));
    if (scores == NIB_SCORES_MODEL && m->labels.unknown[0])
        NIB_FAIL(err, NIB_UNSUPPORTED,
                 "config.json wants its scores to go through %s, which nib does not have: ask for raw ones",
                 m->labels.unknown);
    if (scores == NIB_SCORES_MODEL) scores = program->scores;
    *out = (task_texts){.n = n,
                        .texts = texts,
                        .pairs = pairs,
                        .text_lengths = options->lengths,
                        .pair_lengths = options->pair_lengths,
                        .max_tokens = options->max_tokens,
                        .tokens = options->tokens,
                        .full_tokens = options->full_tokens,
                        .profile = options->profile,
                        .finish = functions[scores],
                        .ticket = options->ticket};
fail:
    return status;
}

nib_status task_classify(nib_model *m, const char *const *texts, const char *const *pairs, size_t n,
                         const nib_classify_options *options, float *out, nib_error *err) {
    task_texts given;
    nib_status status = task_classify_given(m, texts, pairs, n, options, &given, err);
    return status == NIB_OK ? task_rows(m, NIB_TASK_CLASSIFY, &given, out, err) : status;
}
