/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts on their way through a task's program: the piece that all tasks share. Texts, pairs of texts or token ids go
 * in; they are tokenized on all threads, a window at a time, so that memory does not grow with their number, and handed
 * to src/run with a sink.
 *
 *     task_begin                      the program, made if need be; a caller's session and buffers
 *     task_window, task_tokenize      how many texts come next; their ids
 *     task_run                        these, into a sink
 *     task_end
 *
 * Any number of threads may do so at once.
 */
#ifndef TASK_TEXTS_H
#define TASK_TEXTS_H

#include "model/model_callers.h"

struct nib_profile;

/* What a call is given. */
typedef struct task_texts {
    size_t n;
    const char *const *texts,
        *const *pairs; /* [n] pairs NULL: single texts. With a pair, text_encode cuts the longer one first */
    const size_t *text_lengths, *pair_lengths; /* [n]; NULL: they end with NUL */
    bool are_ids;                              /* in place of texts: */
    const int32_t *const *ids;                 /* [n][lengths[i]] */
    const int64_t *lengths;                    /* [n] */
    const char *prompt;                        /* put before each text; "" or NULL: none */
    int64_t max_tokens;                        /* of a text; 0, or more than the model's: the model's */
    int64_t *tokens, *full_tokens; /* [n], filled with how many were used, and how many there would be; may be NULL */
    struct nib_profile *profile;   /* of the task's program; NULL: nothing is timed */
} task_texts;

/* A call at work. */
typedef struct task_call {
    nib_model *m;
    const task_texts *given;
    int which; /* program */
    const model_program *program;
    model_caller *caller; /* NULL: it has not begun */
    int64_t max_tokens;
    int64_t skip;        /* tokens of the prompt that are not pooled */
    size_t first, count; /* the texts whose ids are there: places, lengths, ids of the caller */
} task_call;

/* UNSUPPORTED: the model cannot do the task, or reads no texts. INVALID_ARGUMENT: the profile is another program's, or
 * there are more ids than the model takes. Ended with task_end, on failure too. */
nib_status task_begin(task_call *c, nib_model *m, nib_task task, const task_texts *given, nib_error *err);
void task_end(task_call *c);

/* How many texts from `first` on make a window. */
size_t task_window(const task_call *c, size_t first);
/* Gets and checks the ids of `count` texts from `first` on, and says in given->tokens how many there are. */
nib_status task_tokenize(task_call *c, size_t first, size_t count, nib_error *err);
/* Runs them. */
nib_status task_run(task_call *c, const run_sink *sink, nib_error *err);

/* All of that for a task whose result is a row a text: out is [n, program->width]. */
nib_status task_rows(nib_model *m, nib_task task, const task_texts *given, float *out, nib_error *err);

#endif
