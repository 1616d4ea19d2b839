/* SPDX-License-Identifier: Apache-2.0
 *
 * nib bench encode. In: a model and lines of text, or of token ids. Out: how many tokens and texts a second it embeds, from ids (the engine
 * alone) and from texts (tokenizing included), in rounds that alternate; how long one text alone takes, as percentiles; where the time
 * goes; and the share of what the machine can do, which is measured first. With --callers, that many threads call at once, each with all
 * lines.
 */
#include "cli_bench.h"
#include "cli_json.h"
#include "cli_steps.h"
#include "cli_texts.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CALLERS 256
#define ALONE 500 /* texts that are timed alone, evenly taken from all (7919 is prime to every smaller number), or what 10 s allow */
#define LATER 5   /* calls after the first that it is compared with */
#define SLOW 1.0  /* seconds of one call: models as slow need no repeats to be timed */
#define ALONE_SECONDS 10

static const cli_option bench_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "one text a line; - is standard input (read, too, where no file is given and it is a pipe or a file)", 0, 0, NULL},
    {"ids", 0, CLI_TEXT, CLI_AT(ids), "FILE|-", "instead: token ids, special ones included, one text a line; only the engine is measured",
     0, 0, NULL},
    {"rounds", 0, CLI_INT, CLI_AT(rounds), "N", "rounds over all lines of each kind, after one that does not count (default 5)", 1, 10000,
     NULL},
    {"callers", 0, CLI_INT, CLI_AT(callers), "N", "threads that call at the same time (default 1)", 1, MOST_CALLERS, NULL},
    {"warm", 0, CLI_FLAG, CLI_AT(warm), NULL, "take and touch all memory before the first call; the first call is timed either way", 1, 0,
     NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

typedef struct rounds {
    double *seconds, best, median;
} rounds; /* of all callers together */

typedef struct bench {
    cli_model m;
    nib_runtime *runtime;
    nib_model *model;
    nib_profile *profile;
    nib_machine machine;
    cli_texts texts;
    int count, callers, threads; /* threads: that compute at the same time */
    bool json, warm;
    double opened, warmed, first, later; /* seconds */
    rounds of_ids, of_texts;
    double profiled; /* seconds of the round that was profiled */
    double *alone;   /* [n_alone] */
    size_t n_alone;
    nib_memory memory;
} bench;

typedef struct call {
    bench *b;
    bool ids;
    nib_profile *profile;
    float *out;
    nib_error error;
    nib_status status;
} call;

static void *embed_all(void *arg) {
    call *c = arg;
    const cli_texts *t = &c->b->texts;
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    o.profile = c->profile;
    if (c->ids) c->status = nib_embed_ids(c->b->model, (const int32_t *const *)t->ids, t->lengths, t->n, &o, c->out, &c->error);
    else c->status = nib_embed(c->b->model, (const char *const *)t->texts, t->n, &o, c->out, &c->error);
    return NULL;
}

/* One round: every caller embeds all texts. */
static int run_round(bench *b, call *calls, bool ids, nib_profile *profile, double *seconds) {
    pthread_t threads[MOST_CALLERS];
    for (int i = 0; i < b->callers; i++) calls[i].ids = ids, calls[i].profile = profile;
    double begun = cli_now();
    int started = 1;
    for (; started < b->callers && pthread_create(&threads[started], NULL, embed_all, &calls[started]) == 0; started++) {
    }
    embed_all(&calls[0]);
    for (int i = 1; i < started; i++) pthread_join(threads[i], NULL);
    *seconds = cli_now() - begun;
    if (started < b->callers) return fputs("nib: the system gives no more threads\n", stderr), 1;
    for (int i = 0; i < b->callers; i++)
        if (calls[i].status != NIB_OK) return cli_fail(&calls[i].error);
    return 0;
}

/* One text: by its ids, or whole where there are texts. */
static int run_one(bench *b, size_t i, float *out, double *seconds) {
    nib_error error;
    nib_status status;
    double begun = cli_now();
    if (b->texts.texts[i]) status = nib_embed(b->model, (const char *const *)&b->texts.texts[i], 1, NULL, out, &error);
    else status = nib_embed_ids(b->model, (const int32_t *const *)&b->texts.ids[i], &b->texts.lengths[i], 1, NULL, out, &error);
    *seconds = cli_now() - begun;
    return status == NIB_OK ? 0 : cli_fail(&error);
}

/* The first call ever made, on the longest text, and calls like it afterwards. */
static int measure_first(bench *b, float *out) {
    nib_error error;
    size_t longest = 0;
    double later[LATER];
    for (size_t i = 0; i < b->texts.n; i++)
        if (b->texts.lengths[i] > b->texts.lengths[longest]) longest = i;
    double begun = cli_now();
    if (b->warm && nib_model_warm(b->model, b->texts.longest, b->callers, &error) != NIB_OK) return cli_fail(&error);
    b->warmed = cli_now() - begun;
    int code = run_one(b, longest, out, &b->first);
    size_t n = 0;
    while (n < (b->first < SLOW ? LATER : 1) && code == 0) code = run_one(b, longest, out, &later[n++]);
    b->later = cli_percentile(later, n, 0.5);
    return code;
}

static int measure_rounds(bench *b, call *calls) {
    bool texts = b->texts.texts[0] != NULL;
    double unused;
    int code = b->first < SLOW ? run_round(b, calls, true, NULL, &unused) : 0;
    for (int r = 0; code == 0 && r < b->count; r++) {
        code = run_round(b, calls, true, NULL, &b->of_ids.seconds[r]);
        if (code == 0 && texts) code = run_round(b, calls, false, NULL, &b->of_texts.seconds[r]);
    }
    if (code == 0) code = run_round(b, calls, true, b->profile, &b->profiled);
    rounds *each[2] = {&b->of_ids, &b->of_texts};
    for (int i = 0; i < 2; i++) {
        each[i]->median = cli_percentile(each[i]->seconds, (size_t)b->count, 0.5);
        each[i]->best = each[i]->seconds[0];
    }
    return code;
}

static int measure_alone(bench *b, float *out) {
    int code = 0;
    size_t n = b->texts.n < ALONE ? b->texts.n : ALONE, middle = n / 2;
    double begun = cli_now();
    /* from the middle on, round: where time is up early, the texts are not all from the beginning of the file */
    for (size_t i = 0; i < n && code == 0 && (i == 0 || cli_now() - begun < ALONE_SECONDS); i++)
        code = run_one(b, (i * 7919 + middle) % n * b->texts.n / n, out, &b->alone[b->n_alone++]);
    return code;
}

static int measure(bench *b) {
    size_t dim = (size_t)nib_model_dim(b->model);
    call *calls = calloc((size_t)b->callers, sizeof *calls);
    b->of_ids.seconds = calloc((size_t)b->count, sizeof(double));
    b->of_texts.seconds = calloc((size_t)b->count, sizeof(double));
    b->alone = calloc(ALONE, sizeof(double));
    int code = calls && b->of_ids.seconds && b->of_texts.seconds && b->alone ? 0 : cli_no_memory();
    for (int i = 0; code == 0 && i < b->callers; i++) {
        calls[i].b = b;
        calls[i].out = calloc(b->texts.n, (dim ? dim : 1) * sizeof(float)); /* touched later: the caller's memory, not nib's */
        if (!calls[i].out) code = cli_no_memory();
    }
    if (code == 0) code = measure_first(b, calls[0].out);
    if (code == 0) code = measure_rounds(b, calls);
    if (code == 0) code = measure_alone(b, calls[0].out);
    if (code == 0) nib_runtime_memory(b->runtime, &b->memory, sizeof b->memory);
    for (int i = 0; calls && i < b->callers; i++) free(calls[i].out);
    free(calls);
    return code;
}

/* ---- results */

/* What a round takes at the machine's peak on all its threads, over what it took; the profile has counted one round. */
static double share_of_peak(const bench *b, const cli_split *s, double seconds) {
    return s->all.peak_ns > 0 ? 1e-9 * s->all.peak_ns / (seconds * b->machine.threads) : 0;
}

static void print_rate(const bench *b, const char *name, const rounds *r, const cli_split *s) {
    double all = b->callers;
    printf("%-11s %.0f tokens/s, %.1f texts/s (best of %d round%s; median %.0f tokens/s), %.1f %% of the machine's peak\n", name,
           all * (double)b->texts.tokens / r->best, all * (double)b->texts.n / r->best, b->count, b->count > 1 ? "s" : "", all * (double)b->texts.tokens / r->median,
           100 * share_of_peak(b, s, r->best));
}

static void json_rate(const bench *b, const char *name, const rounds *r, const cli_split *s) {
    double all = b->callers;
    printf(" \"%s\": {\"tokens_per_second\": %.1f, \"tokens_per_second_median\": %.1f, \"texts_per_second\": %.2f, \"share_of_peak\": "
           "%.4f},\n",
           name, all * (double)b->texts.tokens / r->best, all * (double)b->texts.tokens / r->median, all * (double)b->texts.n / r->best,
           share_of_peak(b, s, r->best));
}

static void print_json(bench *b, const cli_split *s, double thread_ns) {
    printf("{\"model\": ");
    cli_json_string(b->m.path);
    printf(", \"precision_asked\": \"%s\", \"callers\": %d, \"texts\": %zu, \"tokens\": %lld, \"longest\": %lld, "
           "\"rounds\": %d,\n "
           "\"machine\": ",
           nib_precision_name(b->m.options.precision), b->callers, b->texts.n, (long long)b->texts.tokens,
           (long long)b->texts.longest, b->count);
    cli_machine_json(&b->machine);
    printf(",\n");
    json_rate(b, "ids", &b->of_ids, s);
    if (b->texts.texts[0]) json_rate(b, "with_tokenizing", &b->of_texts, s);
    printf(" \"latency_ms\": {\"texts\": %zu, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f},\n", b->n_alone,
           1e3 * cli_percentile(b->alone, b->n_alone, 0.5), 1e3 * cli_percentile(b->alone, b->n_alone, 0.9),
           1e3 * cli_percentile(b->alone, b->n_alone, 0.99));
    printf(" \"open_ms\": %.3f, \"warm_ms\": %.3f, \"first_call_ms\": %.4f, \"later_calls_ms\": %.4f, \"peak_heap_bytes\": %zu,\n ",
           1e3 * b->opened, 1e3 * b->warmed, 1e3 * b->first, 1e3 * b->later, b->memory.peak);
    cli_split_json(s, thread_ns, 1);
    printf("}\n");
}

static void print(bench *b) {
    cli_split s;
    cli_split_of(b->profile, &b->machine, &s);
    double thread_ns = 1e9 * b->profiled * b->threads;
    if (b->json) {
        print_json(b, &s, thread_ns);
        return;
    }
    printf("texts       %zu of %lld tokens, the longest %lld; precision asked for: %s; %d caller%s\n", b->texts.n,
           (long long)b->texts.tokens, (long long)b->texts.longest, nib_precision_name(b->m.options.precision),
           b->callers, b->callers > 1 ? "s" : "");
    if (b->texts.cut) printf("cut         %lld rows of ids were longer than the model takes\n", (long long)b->texts.cut);
    cli_machine_print(&b->machine);
    print_rate(b, "throughput", &b->of_ids, &s);
    if (b->texts.texts[0]) print_rate(b, "  tokenized", &b->of_texts, &s);
    printf("one text    %.2f ms (half of them), %.2f ms (90 %%), %.2f ms (99 %%) of %zu, %s\n",
           1e3 * cli_percentile(b->alone, b->n_alone, 0.5), 1e3 * cli_percentile(b->alone, b->n_alone, 0.9),
           1e3 * cli_percentile(b->alone, b->n_alone, 0.99), b->n_alone, b->texts.texts[0] ? "tokenizing included" : "from ids");
    printf("first call  %.2f ms on the longest text, %.2fx of later ones; opening took %.1f ms", 1e3 * b->first, b->first / b->later,
           1e3 * b->opened);
    if (b->warm) printf(", warming up %.1f ms", 1e3 * b->warmed);
    printf("\nmemory      %.1f MB at most, mapped files not counted\n\n", 1e-6 * (double)b->memory.peak);
    cli_split_print(&s, thread_ns, 1);
}

/* As many threads as will compute, but no more than there are CPUs for. */
static int measure_machine(bench *b) {
    nib_error error;
    nib_runtime *all = NULL, *used = NULL;
    nib_runtime_options o = b->m.runtime;
    int code = 0;
    if (nib_runtime_create(NULL, &all, &error) != NIB_OK) return cli_fail(&error);
    int most = nib_runtime_threads(all) > nib_runtime_threads(b->runtime) ? nib_runtime_threads(all) : nib_runtime_threads(b->runtime);
    o.threads = b->threads < most ? b->threads : most;
    if (nib_runtime_create(&o, &used, &error) != NIB_OK ||
        nib_machine_measure(used, &b->machine, sizeof b->machine, &error) != NIB_OK)
        code = cli_fail(&error);
    nib_runtime_free(used);
    nib_runtime_free(all);
    return code;
}

static int run_all(bench *b, const char *input, const char *ids) {
    nib_error error;
    int code = ids ? cli_texts_read_ids(&b->texts, ids) : cli_texts_read(&b->texts, input);
    if (code) return code;
    double begun = cli_now();
    if ((code = cli_model_open(&b->m, &b->model)) != 0) return code;
    b->runtime = cli_runtime(&b->m, &code);
    b->opened = cli_now() - begun;
    if ((code = cli_texts_tokenize(&b->texts, b->model)) != 0) return code;
    if (nib_profile_create(b->model, &b->profile, &error) != NIB_OK) return cli_fail(&error);
    b->threads = nib_runtime_threads(b->runtime) - 1 + b->callers; /* every caller computes too */
    if ((code = measure_machine(b)) != 0) return code;
    if ((code = measure(b)) != 0) return code;
    print(b);
    return 0;
}

static int run_bench(cli_args *a) {
    bench b = {.m = a->m, .count = a->rounds, .callers = a->callers, .json = a->json, .warm = a->warm};
    const char *input = a->input;
    if (input && a->ids) return cli_usage(a->verb, "give --input or --ids, not both");
    if (!input && !a->ids && cli_stdin_waits()) input = "-";
    if (strcmp(a->word, "encode") != 0) return cli_bench_task(a, input);
    if (!input && !a->ids) return cli_usage(a->verb, "texts are needed: --input, --ids, or a pipe or file on standard input");
    b.m.options.task = NIB_TASK_EMBED;
    int code = run_all(&b, input, a->ids);
    nib_profile_free(b.profile);
    nib_model_free(b.model);
    cli_texts_free(&b.texts);
    free(b.of_ids.seconds);
    free(b.of_texts.seconds);
    free(b.alone);
    return code;
}

static const cli_option *const options[] = {bench_options,
                                            cli_level_option,
                                            cli_pack_option,
                                            cli_model_option,
                                            cli_length_options,
                                            cli_engine_options,
                                            cli_vector_options,
                                            cli_group_option,
                                            cli_thread_option,
                                            cli_safety_options,
                                            NULL};

const cli_verb cli_bench = {
    .name = "bench",
    .line = "how fast: tokens a second, latency",
    .usage = "encode|classify|rank|tokenize|queue --model PATH --input FILE [options]",
    .about =
        "Measures embedding, from token ids (the engine alone) and from texts (tokenizing included): tokens and texts a second over all\n"
        "lines of FILE; the latency of single texts; the split of the time; the share of the machine's peak, measured first.\n"
        "The other kinds measure a task: labels of all lines, documents ranked by the first line, ids of one thread, vectors\n"
        "that --callers ask for through a queue, a text each.\n",
    .options = options,
    .examples = "  nib bench encode --model models/all-MiniLM-L6-v2 --input texts.txt --precision q8 --threads 1\n"
                "  nib bench encode --model models/all-MiniLM-L6-v2 --input texts.txt --no-pack --optimize-level 1\n"
                "  nib bench queue --model models/all-MiniLM-L6-v2 --input texts.txt --callers 16\n",
    .after = "Machines differ and are shared: compare only figures of one run, alternating.\n",
    .word = "encode|classify|rank|tokenize|queue",
    .run = run_bench,
};
