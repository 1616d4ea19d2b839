/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: many callers, one machine. A part of nib.h, which includes it.
 *
 * A queue takes texts of any number of callers and models of one runtime. Those of one model that may be computed
 * together become a group, whoever they are of, and each text is answered as soon as its group is done. A text's bits
 * are what they are without a queue. Whose text is next is a rule: by default clients share the machine by tokens, so
 * that a short text does not wait behind the thousand long ones of another.
 *
 *     nib_queue_defaults(&options, sizeof options);
 *     nib_queue_create(runtime, &options, &queue, &error);
 *     nib_ticket_defaults(&ticket, sizeof ticket);
 *     ticket.queue = queue;
 *     embed.ticket = &ticket;                               (in nib_embed_options)
 *     nib_embed(model, texts, n, &embed, vectors, &error);  waits its turn
 *     nib_submit_embed(model, texts, n, &embed, vectors, &request, &error);  does not wait
 *
 * Threads: all calls here may come from any thread at any time, but nothing may be used once it is freed. In a child of
 * fork() a queue of the parent's has no threads: calls with it are UNSUPPORTED, and it may be freed. */
#ifndef NIB_QUEUE_H
#define NIB_QUEUE_H

#include "nib.h"
#include "sparse.h"
#include "tasks.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What submitting does where the queue is full. */
#define NIB_QUEUE_FULL_MAP(X)                                                                                          \
    X(REFUSE, 0, "refuse") /* QUEUE_FULL, before a text is tokenized */                                                \
    X(BLOCK, 1, "block")   /* it waits for room: until its deadline, its stop, or the queue's closing */

typedef enum nib_queue_full {
#define NIB_QUEUE_FULL_ENUM(name, number, text) NIB_QUEUE_FULL_##name = number,
    NIB_QUEUE_FULL_MAP(NIB_QUEUE_FULL_ENUM)
#undef NIB_QUEUE_FULL_ENUM
} nib_queue_full;

/* A client that has texts waiting. Frozen. */
typedef struct nib_waiting {
    uint64_t client;
    uint64_t texts;
    int64_t tokens;      /* of all its waiting texts; texts not read yet are counted by their bytes */
    int64_t next_tokens; /* of its first */
    double waited;       /* seconds since its first was submitted */
} nib_waiting;

/* The rule: which of n >= 1 clients' first text is taken next, as an index. All are of the highest priority that waits
 * and may join the group that is being filled. It is asked for each text, with the queue's lock held: it must be quick,
 * and call nothing of nib. An index out of range is taken for 0. */
typedef size_t (*nib_pick_fn)(void *user, const nib_waiting *clients, size_t n);

/* A rule: whose first text has waited longest. */
NIB_API size_t nib_pick_oldest(void *user, const nib_waiting *clients, size_t n);

typedef struct nib_queue_options {
    size_t size;
    int threads;          /* groups that run at a time; 0: as many as the runtime has threads */
    uint64_t max_texts;   /* that wait; 0: any number */
    int64_t max_tokens;   /* that wait; 0: any number. One request that is larger is taken when nothing waits */
    nib_queue_full full;
    int64_t quantum;  /* tokens that a client has in each round of the default rule (deficit round robin: Shreedhar and
                         Varghese, 1995); 0: 256 */
    nib_pick_fn pick; /* NULL: the default rule */
    void *pick_user;
} nib_queue_options;

NIB_API void nib_queue_defaults(nib_queue_options *options, size_t size);
/* A queue for the models of that runtime, which it keeps alive. */
NIB_API nib_status nib_queue_create(nib_runtime *runtime, const nib_queue_options *options, nib_queue **out,
                                    nib_error *error);

/* From now on nothing is taken: submitting is CANCELLED, as are all texts that wait. What runs is answered. */
NIB_API void nib_queue_close(nib_queue *queue);
/* Closes it and waits for what runs. Requests stay valid, and are freed by who has them. Not from a callback. NULL is
 * accepted. */
NIB_API void nib_queue_free(nib_queue *queue);

#define NIB_QUEUE_WAITS 24 /* classes of waiting times */

typedef struct nib_queue_statistics {
    uint64_t waiting_texts;
    int64_t waiting_tokens; /* as of nib_waiting */
    uint64_t running_texts;
    uint64_t most_texts; /* that ever waited at once */
    /* texts, since the queue was made */
    uint64_t submitted, answered, failed, cancelled, expired;
    uint64_t refused; /* that were not taken: no room, or none before the deadline */
    uint64_t groups, group_texts, group_tokens;  /* sums over all groups that were run */
    double wait_seconds, wait_most;              /* sum and maximum over the texts in them: from submitted to begun */
    uint64_t wait_counts[NIB_QUEUE_WAITS];       /* of them, that waited less than 2^i microseconds and no less than half of it; the
                                                    last also those that waited longer */
} nib_queue_statistics;

NIB_API void nib_queue_statistics_get(nib_queue *queue, nib_queue_statistics *out, size_t size);

/* What is told of one text as soon as its group is done, in any order: text i of the call has rows [rows, width] (one
 * row, but for tokens), which are the library's until it returns, or failed with `status` and no rows. On a thread of the
 * library's, or one of the call's own; never two at a time for one call. It must be quick: others' texts wait. It may
 * cancel and submit, and not wait for a request or free a queue. */
typedef void (*nib_answer_fn)(void *user, size_t i, nib_status status, const float *row, int64_t rows, int64_t width);
/* All texts of a request are answered: OK, or the first that went wrong. After it nothing is called or written. It may
 * free the request. */
typedef void (*nib_finish_fn)(void *user, nib_status status);

/* How a call's texts wait, and who is told of them. */
struct nib_ticket {
    size_t size;
    nib_queue *queue; /* NULL: they are run at once, by this call */
    uint64_t client;  /* who they are of */
    int32_t priority; /* texts of a higher one go first, whatever the rule */
    double deadline;  /* seconds from now: a text that has not begun by then is not run, and TIMEOUT; 0: none */
    nib_answer_fn answer; /* NULL: nobody is told */
    void *answer_user;
    nib_finish_fn finish; /* of submitted calls; NULL: nobody is told */
    void *finish_user;
};

NIB_API void nib_ticket_defaults(nib_ticket *ticket, size_t size);

/* As the calls of the same names with options->ticket, which must have a queue, but they return as soon as the texts are
 * in it. Texts and what belongs to them are copied, options too; where results go, and `tokens` and `full_tokens` of the
 * options, must live until the request is finished. `stop` and `profile` must be NULL. QUEUE_FULL: nothing was taken.
 *
 * nib_embed (in chunks, too), nib_classify and, with scores of the model's, nib_rank may have an `answer`; then `out` of
 * the first two may be NULL. Of nib_embed_tokens `answer` alone gets the rows. */
NIB_API nib_status nib_submit_embed(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                                    void *out, nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_embed_tokens(nib_model *model, const char *const *texts, size_t n,
                                           const nib_embed_options *options, nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                                       const nib_classify_options *options, float *out, nib_request **request,
                                       nib_error *error);

/* The others' results are there when the request is finished, and has not failed or been cancelled: *out is NULL, and
 * *count 0, until then. What is made of a text's tokens is cut by who submits: what is wrong with a text is said at
 * once, and in the queue and its statistics a text is each window or chunk of it. */
NIB_API nib_status nib_submit_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                                   const nib_rank_options *options, nib_ranked *out, size_t *count, nib_request **request,
                                   nib_error *error);
NIB_API nib_status nib_submit_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels,
                                        size_t n_labels, const nib_zero_shot_options *options, nib_ranked *out,
                                        nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options,
                                  nib_tags **out, nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options,
                                   nib_fills **out, nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                                     const nib_answer_options *options, nib_answers **out, nib_request **request,
                                     nib_error *error);
NIB_API nib_status nib_submit_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                                      const nib_colbert_options *options, int64_t *offsets, nib_tensor **out,
                                      nib_request **request, nib_error *error);
NIB_API nib_status nib_submit_embed_sparse(nib_model *model, const char *const *texts, size_t n,
                                     const nib_sparse_options *options, nib_sparse **out, nib_request **request,
                                     nib_error *error);
NIB_API nib_status nib_submit_embed_chunks(nib_model *model, const char *const *texts, size_t n,
                                           const nib_embed_options *options, int64_t *offsets, nib_tensor **spans,
                                           nib_tensor **out, nib_request **request, nib_error *error);

/* Waits until the request is finished, or for so many seconds (negative: for ever; 0: not at all). OK, or what the first
 * text that failed failed with; TIMEOUT: the time is up, and the request goes on. */
NIB_API nib_status nib_request_wait(nib_request *request, double seconds, nib_error *error);
/* Texts that are not answered are CANCELLED, and when this returns nothing more is written to the caller's memory. A
 * group of which nobody wants anything stops after the step that it is in. */
NIB_API void nib_request_cancel(nib_request *request);
/* Cancels it if it is not finished. NULL is accepted. */
NIB_API void nib_request_free(nib_request *request);

#ifdef __cplusplus
}
#endif
#endif
