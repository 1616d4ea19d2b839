/* SPDX-License-Identifier: Apache-2.0
 *
 * nib bench classify, rank, tokenize, queue. In: a model and lines of text. Out: how many texts and tokens a second, in
 * rounds over all lines after one that does not count, and how long one text alone takes, as percentiles. Each kind is
 * a row of a table: a round over all lines, and one line.
 */
#include "cli_bench.h"
#include "cli_json.h"
#include "cli_texts.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALONE 500 /* texts that are timed alone, or what 10 s allow */
#define ALONE_SECONDS 10
#define MOST_CALLERS 256
#define MOST_IDS 65536

typedef struct task_bench {
    cli_args *a;
    nib_model *model;
    nib_tokenizer *tokenizer;
    nib_queue *queue;
    cli_texts texts;
    double *rounds, *alone; /* seconds [a->rounds], [n_alone] */
    size_t n_alone;
    double bytes;
    /* of a queue's round: */
    _Atomic size_t next;
    _Atomic int failed;
    nib_error error; /* of the first caller that failed */
} task_bench;

/* ---- the kinds */

static nib_status classify(task_bench *b, size_t first, size_t n, nib_error *error) {
    const int64_t labels = nib_model_label_count(b->model);
    float *out = malloc(n * (size_t)(labels > 0 ? labels : 1) * sizeof *out);
    if (!out) return error->status = NIB_OUT_OF_MEMORY;
    const nib_status status =
        nib_classify(b->model, (const char *const *)b->texts.texts + first, NULL, n, NULL, out, error);
    free(out);
    return status;
}

/* The first line is the query. */
static nib_status rank(task_bench *b, size_t first, size_t n, nib_error *error) {
    size_t count;
    nib_ranked *out = malloc(n * sizeof *out);
    if (!out) return error->status = NIB_OUT_OF_MEMORY;
    const nib_status status =
        nib_rank(b->model, b->texts.texts[0], (const char *const *)b->texts.texts + first, n, NULL, out, &count, error);
    free(out);
    return status;
}

static nib_status tokenize(task_bench *b, size_t first, size_t n, nib_error *error) {
    static int32_t ids[MOST_IDS];
    nib_status status = NIB_OK;
    for (size_t i = first; i < first + n && status == NIB_OK; i++) {
        size_t count;
        status =
            nib_encode(b->tokenizer, b->texts.texts[i], strlen(b->texts.texts[i]), NULL, ids, MOST_IDS, &count, error);
    }
    return status;
}

/* One text, as one of many clients asks for it. */
static nib_status ask(task_bench *b, size_t i, uint64_t client, float *out, nib_error *error) {
    nib_ticket ticket;
    nib_embed_options o;
    nib_ticket_defaults(&ticket, sizeof ticket);
    ticket.queue = b->queue;
    ticket.client = client;
    nib_embed_defaults(&o, sizeof o);
    o.ticket = &ticket;
    return nib_embed(b->model, (const char *const *)b->texts.texts + i, 1, &o, out, error);
}

static void *caller(void *user) {
    task_bench *b = user;
    const int64_t dim = nib_model_dim(b->model);
    float *out = malloc((size_t)(dim > 0 ? dim : 1) * sizeof *out);
    nib_error error = {.status = NIB_OUT_OF_MEMORY, .message = "out of memory"};
    nib_status status = out ? NIB_OK : NIB_OUT_OF_MEMORY;
    for (size_t i; status == NIB_OK && (i = atomic_fetch_add(&b->next, 1)) < b->texts.n;)
        status = ask(b, i, i, out, &error);
    if (status != NIB_OK && !atomic_exchange(&b->failed, 1)) b->error = error;
    free(out);
    return NULL;
}

static nib_status queue(task_bench *b, size_t first, size_t n, nib_error *error) {
    pthread_t threads[MOST_CALLERS];
    if (n == 1) {
        float *out = malloc((size_t)nib_model_dim(b->model) * sizeof *out);
        const nib_status status = out ? ask(b, first, 0, out, error) : (error->status = NIB_OUT_OF_MEMORY);
        free(out);
        return status;
    }
    int started = 0;
    atomic_store(&b->next, 0);
    while (started < b->a->callers && pthread_create(&threads[started], NULL, caller, b) == 0) started++;
    if (started == 0) caller(b);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    if (!atomic_load(&b->failed)) return NIB_OK;
    *error = b->error;
    return error->status;
}

static const struct kind {
    const char *name;
    nib_task task;
    nib_status (*run)(task_bench *b, size_t first, size_t n, nib_error *error); /* these lines */
} kinds[] = {
    {"classify", NIB_TASK_CLASSIFY, classify},
    {"rank", NIB_TASK_CLASSIFY, rank},
    {"tokenize", NIB_TASK_EMBED, tokenize},
    {"queue", NIB_TASK_EMBED, queue},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* ---- measuring */

static int timed(task_bench *b, const struct kind *k, size_t first, size_t n, double *seconds) {
    nib_error error = {.message = "out of memory"};
    const double begun = cli_now();
    const nib_status status = k->run(b, first, n, &error);
    *seconds = cli_now() - begun;
    return status == NIB_OK ? 0 : cli_fail(&error);
}

static int measure(task_bench *b, const struct kind *k) {
    double unused;
    b->rounds = calloc((size_t)b->a->rounds, sizeof *b->rounds);
    b->alone = calloc(ALONE, sizeof *b->alone);
    int code = b->rounds && b->alone ? timed(b, k, 0, b->texts.n, &unused) : cli_no_memory();
    for (int i = 0; i < b->a->rounds && code == 0; i++) code = timed(b, k, 0, b->texts.n, &b->rounds[i]);
    const size_t n = b->texts.n < ALONE ? b->texts.n : ALONE;
    const double begun = cli_now();
    for (size_t i = 0; i < n && code == 0 && (i == 0 || cli_now() - begun < ALONE_SECONDS); i++)
        code = timed(b, k, i * b->texts.n / n, 1, &b->alone[b->n_alone++]);
    return code;
}

/* ---- results */

static void print(task_bench *b) {
    const cli_texts *t = &b->texts;
    const double median = cli_percentile(b->rounds, (size_t)b->a->rounds, 0.5), best = b->rounds[0],
                 texts = (double)t->n, tokens = (double)t->tokens;
    double late[3];
    for (int i = 0; i < 3; i++)
        late[i] = 1e3 * cli_percentile(b->alone, b->n_alone, (const double[]){0.5, 0.9, 0.99}[i]);
    if (b->a->json) {
        printf("{\"measured\": \"%s\", \"model\": ", b->a->word);
        cli_json_string(b->a->m.path);
        printf(", \"precision_asked\": \"%s\", \"texts\": %zu, \"tokens\": %lld, \"rounds\": %d, \"callers\": %d, "
               "\"texts_per_second\": %.2f, \"texts_per_second_median\": %.2f, \"tokens_per_second\": %.1f, "
               "\"megabytes_per_second\": %.3f, \"latency_ms\": {\"texts\": %zu, \"p50\": %.4f, \"p90\": %.4f, "
               "\"p99\": %.4f}}\n",
               nib_precision_name(b->a->m.options.precision), t->n, (long long)t->tokens, b->a->rounds, b->a->callers,
               texts / best, texts / median, tokens / best, 1e-6 * b->bytes / best, b->n_alone, late[0], late[1],
               late[2]);
        return;
    }
    printf("texts       %zu of %lld tokens; precision asked for: %s; %d caller%s\n", t->n, (long long)t->tokens,
           nib_precision_name(b->a->m.options.precision), b->a->callers, b->a->callers > 1 ? "s" : "");
    printf("throughput  %.1f texts/s, %.0f tokens/s, %.2f MB/s of text (best of %d round%s; median %.1f texts/s)\n",
           texts / best, tokens / best, 1e-6 * b->bytes / best, b->a->rounds, b->a->rounds > 1 ? "s" : "", texts / median);
    printf("one text    %.3f ms (half of them), %.3f ms (90 %%), %.3f ms (99 %%) of %zu\n", late[0], late[1], late[2],
           b->n_alone);
}

static int run(task_bench *b, const struct kind *k, const char *input) {
    nib_error error;
    int code = cli_texts_read(&b->texts, input);
    if (code == 0) code = cli_model_open(&b->a->m, &b->model);
    if (code == 0) code = cli_texts_tokenize(&b->texts, b->model);
    if (code) return code;
    for (size_t i = 0; i < b->texts.n; i++) b->bytes += (double)strlen(b->texts.texts[i]);
    if (nib_model_tokenizer(b->model, &b->tokenizer, &error) != NIB_OK) return cli_fail(&error);
    nib_runtime *runtime = cli_runtime(&b->a->m, &code);
    if (code == 0 && k->run == queue && nib_queue_create(runtime, NULL, &b->queue, &error) != NIB_OK)
        code = cli_fail(&error);
    if (code == 0) code = measure(b, k);
    if (code == 0) print(b);
    return code;
}

int cli_bench_task(cli_args *a, const char *input) {
    task_bench b = {.a = a};
    size_t k = 0;
    while (k + 1 < KINDS && strcmp(kinds[k].name, a->word) != 0) k++;
    if (a->ids || a->warm) return cli_usage(a->verb, "--ids and --warm are of nib bench encode");
    if (a->callers > 1 && kinds[k].run != queue)
        return cli_usage(a->verb, "--callers is of nib bench encode and queue");
    if (!input) return cli_usage(a->verb, "texts are needed: --input, or a pipe or file on standard input");
    a->m.options.task = kinds[k].task;
    const int code = run(&b, &kinds[k], input);
    nib_queue_free(b.queue);
    nib_tokenizer_free(b.tokenizer);
    nib_model_free(b.model);
    cli_texts_free(&b.texts);
    free(b.rounds);
    free(b.alone);
    return code;
}
