/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue: texts of many callers in, groups of texts out, answers to whom they belong.
 *
 *     task_queue.c    made, closed, freed; threads, statistics
 *     task_request.c  a caller's texts: submitted, waited for, cancelled
 *     task_pick.c     clients and the rule: whose text is next
 *     task_group.c    a thread's work: a group is taken, tokenized, run, handed over
 *
 * One lock guards all of it, requests too; nothing slow is done under it. A text goes from WAITING (its request hangs
 * at its client) to RUNNING (a group has it) to DONE, once. Whoever makes it DONE settles it (queue_settle): counts it,
 * and finishes the request with the last.
 *
 * A request is held by its owner and by each text of it that a group has; a queue by its owner and its requests.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include "task.h"
#include "task_job.h"
#include <math.h>

typedef enum queue_state { QUEUE_WAITING, QUEUE_RUNNING, QUEUE_DONE } queue_state;

typedef struct queue_text {
    const char *text, *pair;
    const int32_t *ids; /* [length] in place of a text; NULL: there is one */
    const int32_t *types; /* [length] of these; NULL: all 0 */
    size_t length, pair_length;
    int64_t seen; /* run_item.seen */
    int64_t weight; /* tokens, guessed from bytes where they are not known */
    queue_state state;
    struct queue_group *group; /* RUNNING: which */
    void *rows;                /* nib_request.keeps: [count] of nib_request.vectors, once answered */
    int64_t count;
} queue_text;

/* Texts may be in one group if these are the same. */
typedef struct queue_key {
    const nib_model *m;
    int which;    /* program */
    int64_t skip; /* tokens of the prompt that are not pooled */
} queue_key;

struct nib_request {
    nib_queue *q;
    nib_model *m; /* one reference */
    const model_program *program;
    queue_key key;
    int references;
    struct queue_client *client; /* while texts wait */
    nib_request *behind;         /* at the same client */
    double submitted, deadline;  /* base_clock; INFINITY: none */
    size_t heap_at;              /* in nib_queue.deadlines, + 1; 0: not there */
    size_t n, next, settled;     /* texts; the first that waits; those that are DONE */
    queue_text *texts;           /* [n] */
    char *copied;                /* what they point to, if it is the request's own */
    char *prompt;
    int64_t max_tokens;
    int64_t *tokens, *full_tokens; /* the caller's, or NULL */
    task_vectors vectors;          /* how rows are written */
    float *ranges;                 /* of them, if they are the request's own */
    void *out;                     /* [n] rows so, the caller's; NULL: nowhere */
    bool keeps;                    /* rows stay in the texts, until their caller takes them */
    task_take_fn take; /* is given them; NULL: nobody */
    void *take_user;
    task_want_fn want;
    text_strategy strategy;
    void (*finish)(float *row, int64_t width);
    nib_ticket ticket;
    nib_status status; /* of the first text that failed */
    nib_error error;
    bool cancelled;          /* by its owner: nothing is written or told any more */
    bool busy;               /* a thread writes or tells something, */
    int eager;               /* and so many wait for it */
    base_condition *changed; /* it ended, or was cancelled, or is no longer busy and somebody waits */
    task_job *job;      /* the request's, concluded when all texts are answered; NULL: it ends with its last text */
    nib_request *later; /* in queue_group.concluding */
    bool concluding;    /* the job is at it */
    bool ended;         /* nothing is to come any more */
};

/* A client that has texts waiting, of one priority. In the ring of its level, and in the table of all. */
typedef struct queue_client {
    uint64_t name;
    struct queue_level *level;
    nib_request *first, *last;
    uint64_t texts;
    int64_t tokens, credit; /* credit: tokens that it may still have in this round */
    bool fresh;             /* its quantum for this round is not given yet */
    struct queue_client *next, *before, *chain;
} queue_client;

typedef struct queue_level {
    int32_t priority;
    queue_client *turn, *owed; /* whose turn it is; who was passed over, since its texts did not fit the group */
    size_t count;
    struct queue_level *below;
} queue_level;

typedef struct queue_member {
    nib_request *r;
    size_t i;
} queue_member;

#define QUEUE_FEW 16
#define QUEUE_OVERDUE "its deadline was over before it began"

/* What a thread works at. */
typedef struct queue_group {
    nib_queue *q;
    queue_member *members; /* [count] in room for `cap`, `few` to begin with */
    size_t count, cap;
    int64_t tokens; /* guessed */
    size_t wanted;  /* members that are not settled */
    base_stop stop; /* stopped when there are none */
    nib_request *concluding; /* jobs whose last rows came in this group: they are concluded behind it */
    model_caller *caller;
    size_t items; /* of the caller's: members that have ids. Item i is of the member places[i].store */
    size_t first; /* the item that is the run's first */
    queue_member few[QUEUE_FEW];
} queue_group;

struct nib_queue {
    nib_runtime *runtime; /* one reference */
    nib_queue_options options;
    base_mutex *lock;
    base_condition *work, *room, *idle; /* texts wait; there is room for some; a group ended */
    unsigned process;                   /* whose its threads are */
    int references;
    bool closed;
    queue_level *levels; /* highest priority first; none is empty */
    queue_client **table;
    size_t table_size, clients; /* table_size: a power of two */
    nib_request **deadlines;    /* heap: soonest first */
    size_t deadline_count, deadline_cap;
    nib_waiting *shown; /* what a rule of the caller's looks at */
    queue_client **shown_clients;
    size_t shown_cap, shown_clients_cap;
    int active; /* groups that run, and calls that run by themselves */
    base_thread **threads;
    int started;
    nib_queue_statistics count;
};

/* ---- calls of src/api */

nib_status queue_create(nib_runtime *runtime, const nib_queue_options *options, nib_queue **out, nib_error *err);
void queue_close(nib_queue *q);
void queue_free(nib_queue *q);
void queue_statistics(nib_queue *q, nib_queue_statistics *out);

/* As nib_submit_...: the given ticket has a queue. `out` NULL: only its answer gets the rows. */
nib_status queue_submit(nib_model *m, nib_task task, const task_texts *given, void *out, nib_request **request, nib_error *err);
/* The same of a job, which has such a ticket; takes the job. */
nib_status queue_submit_job(task_job *job, nib_request **request, nib_error *err);
nib_status queue_wait(nib_request *r, double seconds, nib_error *err);
void queue_cancel(nib_request *r);
void queue_request_free(nib_request *r);

/* ---- calls that wait: as task_rows and task_token_rows */

nib_status queue_rows(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err);
nib_status queue_tokens(nib_model *m, nib_task task, const task_texts *given, int64_t *offsets, void **rows,
                        task_vectors *made, nib_error *err);

/* ---- among the four files; with the lock held */

/* Hangs a request at its client. OUT_OF_MEMORY: it does not. */
nib_status queue_add(nib_queue *q, nib_request *r, nib_error *err);
/* What waits of it is no longer there. */
void queue_remove(nib_queue *q, nib_request *r);
/* The next text of `key`, or of any where key->m is NULL, as the rule has it, among priorities from `level` down; it is
 * RUNNING then and gets a reference. False: none. `most`: tokens that it may have; more only if any is allowed. */
bool queue_take(nib_queue *q, const queue_key *key, int64_t most, queue_member *out);
/* A new group begins: whoever was passed over is next. */
void queue_turn(nib_queue *q);

/* Text i is DONE. True: it was the last, and the caller, with the lock open, calls queue_tell_end; or, where r->ended is not set yet,
 * queue_conclude, which does. */
bool queue_settle(nib_request *r, size_t i, nib_status status, const nib_error *err);
/* Without the lock. */
void queue_tell_end(nib_request *r);
/* All rows of a job are there: what it makes of them, then the end. Without the lock, and outside of a group's stop. */
void queue_conclude(nib_request *r);
/* Begins to write or tell something of r; false: nobody wants it any more. The lock is open in between. */
bool queue_begin_answer(nib_request *r);
void queue_end_answer(nib_request *r);
/* Tells `answer` of text i, without the lock and between those two. */
void queue_tell(nib_request *r, size_t i, nib_status status, const float *rows, int64_t count);
/* Text i fails, unless it is DONE, and is told. Opens the lock in between. */
void queue_fail(nib_request *r, size_t i, nib_status status, const nib_error *err);
/* One reference less; frees it with the last. Opens the lock in between. */
void queue_drop(nib_request *r);

/* The deadline of a request that has one is seen to; or no more. */
nib_status queue_watch_deadline(nib_queue *q, nib_request *r, nib_error *err);
void queue_forget_deadline(nib_queue *q, nib_request *r);
/* Texts whose deadline is over fail. Opens the lock in between. */
void queue_expire(nib_queue *q);
/* All texts that wait of r fail with `status`, and are told. Opens the lock in between. */
void queue_fail_waiting(nib_request *r, nib_status status, const char *why);

/* Frees it: nobody has it any more, and the lock is open. */
void queue_release(nib_queue *q);

/* ---- a thread of the queue's */
void queue_thread(void *queue);

#endif
