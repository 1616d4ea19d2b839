/* SPDX-License-Identifier: Apache-2.0
 *
 * What one caller of a task's program has for itself while it calls: a session of the plan, and buffers for the texts
 * that src/task fills. Any number may call at once; a program keeps those that are idle, so that a call at sizes seen
 * before allocates nothing.
 */
#ifndef MODEL_CALLERS_H
#define MODEL_CALLERS_H

#include "model.h"

typedef struct model_ids { /* ids of the texts that one thread tokenized, end to end */
    text_encoding encoding;
    int32_t *ids, *types;
    size_t count, ids_cap, types_cap;
    char *prompted; /* [prompted_cap] a prompt and the text behind it */
    size_t prompted_cap;
} model_ids;

typedef struct model_place { /* where a text's ids lie */
    int store;
    size_t at;
    int64_t length, full;
} model_place;

typedef struct model_caller {
    struct model_caller *next;
    uint64_t returned; /* nib_model.idle_returns when it was last given back */
    run_session *session;
    model_ids *stores; /* [threads] */
    int threads;
    model_place *places;
    run_item *items;
    size_t places_cap, items_cap;
} model_caller;

/* An idle one, or a new one, of program `which`, which is made. */
nib_status model_take_caller(nib_model *m, int which, model_caller **out, nib_error *err);
void model_give_back(nib_model *m, int which, model_caller *c);
/* So many stay, however long nobody wants them. */
void model_keep_callers(nib_model *m, int which, int count);
/* Frees all that are idle. */
void model_free_callers(nib_model *m, int which);

/* Room for n texts. */
bool model_caller_grow(nib_model *m, model_caller *c, size_t n);

#endif
