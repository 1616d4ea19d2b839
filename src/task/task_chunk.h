/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts a chunk at a time, for tasks that need to know which token is where in its text: their encodings stay beside
 * the rows that the model gives for their tokens.
 *
 *     task_chunk_begin
 *     task_chunk_next     how many texts come next: chunk.first, chunk.count
 *     task_chunk_run      their encodings and rows; or task_chunk_encode, and rows that somebody else has made
 *     task_chunk_each     a function of each text, on all threads
 *     task_chunk_end
 *
 * What tokens are put to the model is what the encodings say when they are run: an `edit` may have changed them.
 */
#ifndef TASK_CHUNK_H
#define TASK_CHUNK_H

#include "task_texts.h"

#define TASK_CHUNK_TEXTS 1024 /* of a chunk, at most */

typedef struct task_chunk {
    nib_model *m;
    nib_task task;
    bool pooled; /* the task has a row for each item, not for each of its tokens */
    task_texts given;    /* n, texts, text_lengths, pairs, pair_lengths, prompt, tokens, full_tokens, profile, finish, ticket */
    text_truncation cut; /* of each text; with windows each of them is an item. The caller's, once it has begun */
    nib_status (*edit)(void *user, size_t i, text_encoding *e,
                       nib_error *err); /* of text i's encoding; NULL: nothing */
    bool sees;                          /* the edit says what texts without windows show to others: */
    int64_t *seen;                      /* [count] run_item.seen; NULL: all */
    size_t record_bytes;                /* what a task keeps of each text, */
    void *records;                      /* [count] of these: zeros at first, and as they were left for the next chunk's */
    void *user;
    size_t first, count;      /* the texts at hand */
    text_encoding *encodings; /* [count] */
    size_t encodings_cap, made, seen_cap, records_cap;
    size_t *items;                /* [count + 1] text i's windows are items items[i] to items[i + 1] */
    const int32_t **ids, **types; /* [items[count]] */
    int64_t *lengths, *offsets;   /* [items[count]], [items[count] + 1]: item k has rows offsets[k] to offsets[k + 1] */
    size_t items_cap, list_cap;
    float *rows; /* [offsets[items[count]], width] */
    int64_t width;
    char **prompted; /* [threads] a prompt and the text behind it */
    size_t *prompted_caps;
    /* Of what `given` points to, where the caller does not keep it: texts and pairs, their lengths, the prompt. */
    const char **copied[2];
    size_t *lengths_copied[2];
    char *prompt_copied;
} task_chunk;

/* `c` has m, task, given, edit and user. UNSUPPORTED: the model cannot do the task, or reads no texts. Ended with
 * task_chunk_end, on failure too. */
nib_status task_chunk_begin(task_chunk *c, bool windows, int64_t stride, nib_error *err);
void task_chunk_end(task_chunk *c);

bool task_chunk_next(task_chunk *c); /* false: there are no more */
nib_status task_chunk_run(task_chunk *c, nib_error *err);

/* In place of task_chunk_next: all texts at once, and copies of them. */
nib_status task_chunk_all(task_chunk *c, nib_error *err);
/* The first half of task_chunk_run: encodings, items. */
nib_status task_chunk_encode(task_chunk *c, nib_error *err);
/* What the items are put to the program as; `ticket`, which it may need, has no answer. */
task_texts task_chunk_given(const task_chunk *c, nib_ticket *ticket);
/* Room for rows of items without tokens of their own: rows [items[count], width]. */
nib_status task_chunk_make_rows(task_chunk *c, nib_error *err);

/* fn(user, i, slot) of each text i < count of the chunk; at most one at a time has a slot, which is below the number of
 * the runtime's threads. The first failure ends it. */
typedef nib_status (*task_chunk_fn)(void *user, size_t i, int slot, nib_error *err);
nib_status task_chunk_each(const task_chunk *c, task_chunk_fn fn, void *user, nib_error *err);

/* *out [n]: copies of texts of these lengths (NULL: they end with NUL), each with a NUL behind it, in one block of the heap's. */
nib_status task_copy_texts(base_heap *heap, const char *const *list, const size_t *lengths, size_t n, const char ***out,
                           nib_error *err);

#endif
