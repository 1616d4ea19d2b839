/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions: one caller's run at a time. A session has a worker for each pool thread that serves it; a worker owns a group's
 * memory and a lane. Everything grows and is kept, so that a run at sizes seen before allocates nothing.
 *
 * run_texts cuts a batch into groups of whole texts; pool threads take group after group through all steps without meeting.
 * Only where groups are fewer than threads do all of them work on one group, each on its part of every step's range. A
 * text's bits are the same either way. A group that does not fit the memory ceiling is halved and tried again.
 *
 * run_tensors runs the plan once on named tensors: one group, all threads; outputs go to memory of the caller's where it gave some.
 */
#ifndef RUN_H
#define RUN_H

#include "plan/device.h"

typedef struct run_session run_session;

/* The session borrows the plan. */
nib_status run_session_create(const plan *p, run_session **out, nib_error *err);
void run_session_free(run_session *s); /* NULL is accepted */

/* Bytes that the session holds for values, blocks and scratch, of all its workers: what its runs so far needed. */
size_t run_session_bytes(const run_session *s);

/* Which texts may be one group: what is proven of the graph. */
typedef enum run_grouping {
    RUN_GROUP_ONE,   /* one text at a time */
    RUN_GROUP_EQUAL, /* texts of one length */
    RUN_GROUP_ANY,   /* any, padded to the longest */
} run_grouping;

/* What each graph input is given, by index in g->inputs; -1: the graph has no such input. */
typedef struct run_roles {
    int ids, mask, types, positions;
    run_grouping group;
    int skip;                       /* [1]: how many rows of each text, from the first on, are not pooled */
    int places;                     /* i64 [wanted, 2]: the text and token of each row that is wanted (nib.Pick) */
    int64_t fixed_batch, fixed_seq; /* > 0: the model's shape is fixed: batches and texts are padded to it;
                                       RUN_GROUP_ONE: a batch is so many copies of its text */
} run_roles;

/* A text on its way through a plan. Text generation will add to it: `sequence`, the pages of its old keys and values
 * with how many there are (a chunk of a prompt and a single new row are then the same item, and a group is ragged over
 * both); which of its rows are wanted as logits are first and count, or `places`, already. */
typedef struct run_item {
    const int32_t *ids;   /* [length] */
    const int32_t *types; /* [length], or NULL: all 0 */
    int64_t length;
    int64_t first, count; /* the rows that a sink of rows a token wants: [first, first + count) of the text's own */
    const int64_t *places; /* [count] or these, where the graph picks rows (run_roles.places); NULL: from first on */
    int64_t seen; /* tokens that others see: the first so many; 0: all. The mask says it, so that no plan of these is packed */
} run_item;

typedef struct run_batch {
    size_t n;
    const run_item *items; /* [n] */
    int64_t skip;          /* rows of each text, from the first on, that are not pooled */
} run_batch;

/* Takes what text i of a batch gives, as soon as its group is done: rows [count, width], which are the session's and
 * may be changed until it returns. On the thread that ran the group, and on several at once for different texts. */
typedef void (*run_give_fn)(void *user, size_t i, float *rows, int64_t count);

/* Where what a run of texts gives goes. */
typedef struct run_sink {
    int output;    /* of the graph, f32: [B, width], one row a text; with `tokens` [B, S, width], one row a token,
                      or [wanted, width] where the graph picks rows: the items' own, in order */
    int64_t width; /* numbers in a row */
    bool tokens;   /* a row for each token that the item wants */
    run_give_fn give; /* NULL: nobody, it is run for what running leaves behind */
    void *user;
    const struct run_sink *next; /* another output's; NULL: there is none. A text's are given one after the other */
} run_sink;

/* A give function for one matrix: user is a run_matrix. */
typedef struct run_matrix {
    float *to; /* [.., width] */
    int64_t width;
    const int64_t *at; /* [n] the row that the first one of text i becomes; NULL: row i */
} run_matrix;
void run_to_matrix(void *user, size_t i, float *rows, int64_t count);

typedef enum run_team {
    RUN_TEAM_ALL,  /* threads of the pool take groups, or share one where there are fewer groups than threads */
    RUN_TEAM_ALONE /* the calling thread alone */
} run_team;

/* Runs all texts and hands what they give to the sink. SHAPE if the output is not of the form that the sink says.
 * `group_tokens`: how many tokens a group should have; 0: chosen from the cache. After a failure some texts may have
 * been given, each whole. */
nib_status run_texts(run_session *s, const run_roles *roles, const run_batch *batch, int64_t group_tokens,
                     run_team team, const run_sink *sink, nib_error *err);

/* inputs[i] belongs to g->inputs[i]; all must be there. Afterwards run_output gives graph output i: its data is the session's, valid
 * until the next run. */
nib_status run_tensors(run_session *s, const nib_tensor *const *inputs, nib_error *err);
nib_status run_output(run_session *s, int i, nib_tensor *out, nib_error *err);
/* Output i of the next runs is written to `data`, the caller's, aligned for its type; NULL: to the session's memory again.
 * BUFFER_TOO_SMALL from a run that needs more. */
nib_status run_bind_output(run_session *s, int i, void *data, size_t bytes, nib_error *err);
/* The run at hand, or the next one, ends with CANCELLED after the step that it is in. From any thread, and from signal handlers. */
void run_cancel(run_session *s);
/* What output i will be with these inputs; data NULL. Unknown before the run: dims -1 and bytes 0; rank -1. */
nib_status run_output_shape(run_session *s, const nib_tensor *const *inputs, int i, nib_tensor *out, nib_error *err);

/* ---- profile: what each step took. Runs of any number of sessions of one plan may count in it at once. */
typedef struct run_profile run_profile;
/* What is counted: a step of the host's; or of a region that another device runs, its launches, or the copies around them. */
typedef struct run_profile_row {
    const plan *p;         /* that has the step: of a plan of regions, the host's of one */
    const plan_step *step; /* NULL: */
    const plan_region *region;
    bool copies;
} run_profile_row;
typedef struct run_counts {
    uint64_t ns, calls, rows; /* thread time, or the device's; calls of the step's run, launches, or copies; parts of its range, or
                                 rows of the packed batches launched */
    uint64_t operations, weight_bytes, value_bytes; /* as plan_work; of copies, value_bytes alone; of launches none is known */
} run_counts;
/* `threads`: of the runtime. The profile borrows the plan. UNSUPPORTED: one of its devices does not tell what it took. */
nib_status run_profile_create(const plan *p, int threads, run_profile **out, nib_error *err);
void run_profile_free(run_profile *f); /* NULL is accepted */
void run_profile_reset(run_profile *f);
/* In the order of the plan: its steps, or region by region the host's steps, or another device's launches and then its copies. */
int run_profile_rows(const run_profile *f);
run_profile_row run_profile_row_at(const run_profile *f, int row);
void run_profile_sum(const run_profile *f, int row, run_counts *out);
/* The next runs of the session count in f; NULL: nothing is timed any more (one branch a step remains). */
void run_session_profile(run_session *s, run_profile *f);

/* Gets ready for texts of up to `longest` tokens in groups of `group_tokens` (0: chosen from the cache): every worker runs groups of
 * the extreme shapes, so that later runs find their memory there, and mapped. */
nib_status run_warm(run_session *s, const run_roles *roles, int64_t longest, int64_t group_tokens, nib_error *err);

#endif
