/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts a chunk at a time, for tasks that need to know which token is where in its text: their encodings stay beside
 * the rows that the model gives for their tokens.
 *
 *     task_chunk_begin
 *     task_chunk_next     how many texts come next: chunk.first, chunk.count
 *     task_chunk_run      their encodings and rows
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
    int64_t *seen;                      /* [count] the edit's: run_item.seen of texts without windows; NULL: all */
    void *user;
    size_t first, count;      /* the texts at hand */
    text_encoding *encodings; /* [count] */
    size_t encodings_cap, made;
    size_t *items;                /* [count + 1] text i's windows are items items[i] to items[i + 1] */
    const int32_t **ids, **types; /* [items[count]] */
    int64_t *lengths, *offsets;   /* [items[count]], [items[count] + 1]: item k has rows offsets[k] to offsets[k + 1] */
    size_t items_cap, list_cap;
    float *rows; /* [offsets[items[count]], width] */
    int64_t width;
    char **prompted; /* [threads] a prompt and the text behind it */
    size_t *prompted_caps;
} task_chunk;

/* `c` has m, task, given, edit and user. UNSUPPORTED: the model cannot do the task, or reads no texts. Ended with
 * task_chunk_end, on failure too. */
nib_status task_chunk_begin(task_chunk *c, bool windows, int64_t stride, nib_error *err);
void task_chunk_end(task_chunk *c);

bool task_chunk_next(task_chunk *c); /* false: there are no more */
nib_status task_chunk_run(task_chunk *c, nib_error *err);

/* fn(user, i, slot) of each text i < count of the chunk; at most one at a time has a slot, which is below the number of
 * the runtime's threads. The first failure ends it. */
typedef nib_status (*task_chunk_fn)(void *user, size_t i, int slot, nib_error *err);
nib_status task_chunk_each(const task_chunk *c, task_chunk_fn fn, void *user, nib_error *err);

#endif
