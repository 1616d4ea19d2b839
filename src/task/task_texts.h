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
#include "task_vectors.h"

struct nib_profile;

/* On any thread, for different texts; a queue may give a text's rows twice. */
typedef void (*task_take_fn)(void *user, size_t i, const run_item *item, const float *rows, int64_t count);

/* Which rows of text i are wanted, of a program that picks them (run_roles.places): item->ids are there, and first and
 * count, or places and count, are to be filled in. On any thread; twice for a text whose group a queue runs again. */
typedef nib_status (*task_want_fn)(void *user, size_t i, run_item *item, nib_error *err);

/* What a call is given. */
typedef struct task_texts {
    size_t n;
    const char *const *texts,
        *const *pairs; /* [n] pairs NULL: single texts. */
    const size_t *text_lengths, *pair_lengths; /* [n]; NULL: they end with NUL */
    bool are_ids;                              /* in place of texts: */
    const int32_t *const *ids;                 /* [n][lengths[i]] */
    const int32_t *const *id_types;            /* [n][lengths[i]] their types; NULL: all 0. Not of what is submitted */
    const int64_t *lengths;                    /* [n] */
    const int64_t *seen;                       /* [n] run_item.seen; NULL: all. Not of what is submitted */
    const char *prompt;                        /* put before each text; "" or NULL: none */
    int64_t max_tokens;                        /* of a text; 0, or more than the model's: the model's */
    text_strategy strategy; /* which text of a pair is cut */
    int64_t *tokens, *full_tokens; /* [n], filled with how many were used, and how many there would be; may be NULL */
    struct nib_profile *profile;   /* of the task's program; NULL: nothing is timed */
    void (*finish)(float *row, int64_t width); /* what is made of a row before anybody has it; NULL: nothing */
    const nib_vector_options *vectors; /* how rows are written to the call's `out`; NULL: f32, as they come */
    const nib_ticket *ticket;                  /* a queue to wait in, and who is told of texts; NULL: neither */
    task_take_fn take;                         /* who is given text i's rows in place of the call's `out`; NULL: nobody */
    void *take_user;
    task_want_fn want; /* the same user's; NULL: all rows are */
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
    task_vectors vectors; /* how rows are written */
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
/* Runs them. Text i's rows, each finished, go as c->vectors says to row at[i] of `to` [.., vectors.bytes], or of
 * c->first + i where `at` is NULL; then the ticket's `answer` is told of them as they come. */
nib_status task_run(task_call *c, void *to, const int64_t *at, nib_error *err);
/* What the rows of a program become in a call. A cut that the model was not trained for is a warning, once.
 * INVALID_ARGUMENT as nib_vectors_convert. */
nib_status task_choose_vectors(nib_model *m, int which, const model_program *p, const nib_vector_options *vectors,
                               task_vectors *out, nib_error *err);

/* ---- pieces of it, of one text each */

typedef struct task_text {
    const char *prompt, *text, *pair; /* prompt, pair: NULL is none */
    text_strategy strategy;
    size_t prompt_length, length, pair_length;
    int64_t max_tokens;
} task_text;
/* Its ids to the end of the store. */
nib_status task_encode(nib_model *m, model_ids *store, const task_text *t, int64_t *length, int64_t *full, nib_error *err);
/* The same of a query and a document that a chat template makes one text of (task_judge.c); the prompt is its
 * instruction. */
nib_status task_encode_judged(nib_model *m, model_ids *store, const task_text *t, int64_t *length, int64_t *full,
                              nib_error *err);
/* UNSUPPORTED, INVALID_ARGUMENT: the model's template takes pairs, and it is not known what of, or there are none;
 * there is no place in it for an instruction. */
nib_status task_check_judged(const nib_model *m, const task_texts *given, nib_error *err);
/* How many tokens a prompt has by itself, but for a special one at its end: as sentence-transformers counts what is not
 * pooled. 0 where the program pools all. */
nib_status task_count_prompt(nib_model *m, const model_program *p, model_ids *store, const char *prompt,
                             int64_t max_tokens, int64_t *out, nib_error *err);
/* `fault` and a message unless every id and type is a row of its table: ONNX would count negative ones from the table's
 * end, and give vectors that mean nothing. `text`: its number, for the message. */
nib_status task_check_ids(const nib_model *m, const run_item *item, size_t text, nib_status fault, nib_error *err);
/* INVALID_ARGUMENT: a text or pair without a token is classified. There is no row that its score could come from, and the
 * reference fails, too. `which`: the program's task; `text`: as above. */
nib_status task_check_empty(int which, bool pair, const run_item *item, size_t text, nib_error *err);
/* The longest text that a call may ask for: the model's and the program's limits. */
int64_t task_longest(const nib_model *m, const model_program *p, int64_t asked);

/* All of that for a task whose result is a row a text: out is [n] of them as given->vectors says. With a ticket that has a queue the
 * texts wait in it. */
nib_status task_rows(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err);
/* The same at once. */
nib_status task_rows_now(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err);
/* A row a token: of text i rows offsets[i] to offsets[i + 1] of *rows, which is of the runtime's heap and as *made says;
 * NULL on failure. */
nib_status task_token_rows(nib_model *m, nib_task task, const task_texts *given, int64_t *offsets, void **rows,
                           task_vectors *made, nib_error *err);

#endif
