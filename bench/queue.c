/* SPDX-License-Identifier: Apache-2.0
 *
 * What a queue is worth, on this machine: `make bench-queue`. In: a model folder, a precision. Out: a line a question.
 * Rates are of alternating rounds, and their median is told.
 *
 *     one call          10,000 short texts in one call of nib_embed
 *     callers           64 threads that embed one of them at a time, each for itself
 *     queue             the same 64, through a queue
 *     lone              one thread, one text at a time: what the queue adds, in microseconds
 *     fair              one short text among four clients of 32 texts of 256 tokens each: how long it waits, by the
 *                       default rule and first come, first served
 *     abandoned         the next short text after 12 requests of 32 long texts each that were cancelled
 */
#include <nib/nib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXTS 10000
#define CALLERS 64
#define MOST_DIM 4096

static nib_runtime *runtime;
static nib_model *model;
static nib_error e;
static const char *texts[TEXTS], *longs[32];
static float *vectors;
static size_t dim;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(nib_status status) {
    if (status == NIB_OK) return;
    fprintf(stderr, "queue: %s\n", e.message);
    exit(1);
}

static unsigned seed = 1;
static unsigned draw(unsigned n) { return (seed = seed * 1664525u + 1013904223u) / 65536u % n; }

static char *make_text(int words) {
    static const char *const all[] = {"river", "small", "engine", "of", "the", "light", "walk", "green", "paper", "and",
                                      "window", "to", "music", "cold", "table", "run", "city", "in", "blue", "morning"};
    char *text = calloc((size_t)words, 8);
    for (int i = 0; i < words; i++) sprintf(text + strlen(text), "%s ", all[draw(20)]);
    return text;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}
static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_value);
    return x[n / 2];
}

/* ---- rates */

static nib_queue *queue; /* NULL: each caller for itself */
static _Atomic int next_text;

static void *call_one_by_one(void *user) {
    nib_embed_options o;
    nib_ticket t;
    nib_embed_defaults(&o, sizeof o);
    nib_ticket_defaults(&t, sizeof t);
    t.queue = queue;
    t.client = (uint64_t)(size_t)user;
    if (queue) o.ticket = &t;
    for (int i; (i = atomic_fetch_add(&next_text, 1)) < TEXTS;)
        check(nib_embed(model, &texts[i], 1, &o, vectors + (size_t)i * dim, &e));
    return NULL;
}

static double time_callers(nib_queue *q) {
    pthread_t threads[CALLERS];
    const double begun = now();
    queue = q;
    atomic_store(&next_text, 0);
    for (size_t i = 0; i < CALLERS; i++) pthread_create(&threads[i], NULL, call_one_by_one, (void *)i);
    for (size_t i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
    return now() - begun;
}

static double time_one_call(void) {
    const double begun = now();
    check(nib_embed(model, texts, TEXTS, NULL, vectors, &e));
    return now() - begun;
}

static double time_lone(nib_queue *q, int n) {
    nib_embed_options o;
    nib_ticket t;
    double each[400];
    nib_embed_defaults(&o, sizeof o);
    nib_ticket_defaults(&t, sizeof t);
    t.queue = q;
    if (q) o.ticket = &t;
    for (int i = 0; i < n; i++) {
        const double begun = now();
        check(nib_embed(model, &texts[i], 1, &o, vectors, &e));
        each[i] = now() - begun;
    }
    return median(each, n);
}

static nib_queue *make_queue(nib_pick_fn pick) {
    nib_queue_options o;
    nib_queue *q;
    nib_queue_defaults(&o, sizeof o);
    o.pick = pick;
    check(nib_queue_create(runtime, &o, &q, &e));
    return q;
}

/* ---- fairness */

/* A short text's wait behind `requests` requests of 32 long ones, of `clients` clients. */
static double time_short(nib_queue *q, int requests, int clients, int cancels) {
    nib_embed_options o;
    nib_ticket t;
    nib_request *r[16];
    nib_embed_defaults(&o, sizeof o);
    nib_ticket_defaults(&t, sizeof t);
    t.queue = q;
    o.ticket = &t;
    for (int i = 0; i < requests; i++) {
        t.client = 1 + (uint64_t)(i % clients);
        check(nib_submit_embed(model, longs, 32, &o, vectors + (size_t)i * 32 * dim, &r[i], &e));
    }
    const struct timespec a_while = {.tv_nsec = 5000000};
    nanosleep(&a_while, NULL);
    for (int i = 0; i < requests && cancels; i++) nib_request_free(r[i]);
    t.client = 99;
    const double begun = now();
    check(nib_embed(model, texts, 1, &o, vectors + 16 * 32 * dim, &e));
    const double took = now() - begun;
    for (int i = 0; i < requests && !cancels; i++) {
        check(nib_request_wait(r[i], -1, &e));
        nib_request_free(r[i]);
    }
    return took;
}

int main(int argc, char **argv) {
    nib_runtime_options r;
    nib_model_options o;
    if (argc < 2) return fputs("usage: queue MODEL [PRECISION [ROUNDS]]\n", stderr), 2;
    const int rounds = argc > 3 ? atoi(argv[3]) : 7;
    nib_runtime_defaults(&r, sizeof r);
    check(nib_runtime_create(&r, &runtime, &e));
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    if (nib_precision_from_name(argc > 2 ? argv[2] : "q8", &o.precision) != NIB_OK) return 2;
    check(nib_model_open(argv[1], &o, &model, &e));
    dim = (size_t)nib_model_dim(model);
    vectors = malloc(TEXTS * dim * sizeof *vectors);
    for (int i = 0; i < TEXTS; i++) texts[i] = make_text(6 + (int)draw(9));
    for (int i = 0; i < 32; i++) longs[i] = make_text(400); /* cut to the model's 256 tokens */
    double one[64], alone[64], through[64], lone[64], fair[64], first[64], after[64];
    nib_memory before, later;
    nib_queue *q = make_queue(NULL), *in_order = make_queue(nib_pick_oldest);
    time_one_call();
    time_callers(q);
    nib_runtime_memory(runtime, &before, sizeof before);
    for (int i = 0; i < rounds && i < 64; i++) {
        one[i] = time_one_call();
        through[i] = time_callers(q);
        if (i < 3) alone[i] = time_callers(NULL);
        lone[i] = time_lone(NULL, 400);
        lone[i] = time_lone(q, 400) - lone[i];
        fair[i] = time_short(q, 4, 4, 0);
        first[i] = time_short(in_order, 4, 4, 0);
        after[i] = time_short(q, 12, 12, 1);
    }
    const double call = median(one, rounds), by_queue = median(through, rounds), by_self = median(alone, rounds < 3 ? rounds : 3);
    const double waits = median(fair, rounds), in_turn = median(first, rounds);
    printf("one call    %8.0f texts/s\n", TEXTS / call);
    printf("callers     %8.0f texts/s, %d threads, each for itself\n", TEXTS / by_self, CALLERS);
    printf("queue       %8.0f texts/s, %d threads: %.2f of one call, %.2f times callers\n", TEXTS / by_queue, CALLERS,
           call / by_queue, by_self / by_queue);
    printf("lone        %8.1f us more a text than without a queue\n", 1e6 * median(lone, rounds));
    printf("fair        %8.1f ms, first come, first served %.1f: %.3f of it\n", 1e3 * waits, 1e3 * in_turn, waits / in_turn);
    printf("abandoned   %8.1f ms\n", 1e3 * median(after, rounds));
    nib_queue_statistics s;
    nib_queue_statistics_get(q, &s, sizeof s);
    nib_queue_free(q);
    nib_queue_free(in_order);
    for (int i = 0; i < 101; i++) check(nib_embed(model, texts, 1, NULL, vectors, &e)); /* what nobody wants goes */
    nib_runtime_memory(runtime, &later, sizeof later);
    printf("memory      %8.1f MB after all of it, %.1f after the first round\n", (double)later.current / 1e6,
           (double)before.current / 1e6);
    printf("groups      %8.1f texts, %.0f tokens each\n", (double)s.group_texts / (double)s.groups,
           (double)s.group_tokens / (double)s.groups);
    nib_model_free(model);
    nib_runtime_free(runtime);
    return 0;
}
