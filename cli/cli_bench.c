/* SPDX-License-Identifier: Apache-2.0
 *
 * nib bench encode. In: a model and lines of text. Out: how many tokens and texts a second it embeds, tokenizing included, in rounds over
 * all lines; and how long one text alone takes, as percentiles. With --callers, that many threads call at once, each with all lines.
 */
#include "cli.h"
#include "cli_lines.h"
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_CALLERS 256

static const char bench_help[] =
    "usage: nib bench encode --model PATH --input FILE [options]\n\n"
    "Measures embedding: tokens and texts a second over all lines of FILE, and the latency of single texts. Tokenizing is included.\n\n"
    "  --input FILE         one text a line\n"
    "  --rounds N           rounds over all lines, after one that does not count (default 5)\n"
    "  --callers N          threads that call at the same time (default 1)\n"
    "  --json               one JSON object instead of lines\n" CLI_MODEL_HELP "\nexample:\n"
    "  nib bench encode --model all-MiniLM-L6-v2 --input texts.txt --precision q8 --threads 1\n\n"
    "Machines differ and are shared: compare only figures of one run, alternating.\n";

typedef struct bench {
    nib_model *model;
    char **texts;
    size_t n, room;
    int rounds, callers;
    bool json;
    int64_t tokens, longest;
    double *seconds;   /* [rounds] of a round */
    double *latencies; /* [n] of one text alone */
} bench;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int read_texts(bench *b, const char *path) {
    const char *reason = NULL, *const * texts;
    const size_t *lengths;
    cli_lines *lines = cli_lines_open(path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    long got;
    while ((got = cli_lines_next(lines, 4096, &texts, &lengths, &reason)) > 0)
        for (long i = 0; i < got; i++) {
            if (b->n == b->room) {
                size_t room = b->room ? b->room * 2 : 1024;
                char **grown = realloc(b->texts, room * sizeof *grown);
                if (!grown) return fputs("nib: out of memory\n", stderr), 1;
                b->texts = grown;
                b->room = room;
            }
            if (!(b->texts[b->n] = strndup(texts[i], lengths[i]))) return fputs("nib: out of memory\n", stderr), 1;
            b->n++;
        }
    cli_lines_close(lines);
    if (got < 0) return fprintf(stderr, "nib: %s: %s\n", path, reason), 1;
    return b->n ? 0 : (fprintf(stderr, "nib: %s: there is no text in it\n", path), 2);
}

typedef struct call {
    bench *b;
    float *out;
    int64_t *tokens;
    nib_error error;
    nib_status status;
} call;

static void *embed_all(void *arg) {
    call *c = arg;
    nib_embed_options o;
    nib_embed_defaults(&o);
    o.tokens = c->tokens;
    c->status = nib_embed(c->b->model, (const char *const *)c->b->texts, c->b->n, &o, c->out, &c->error);
    return NULL;
}

/* One round: every caller embeds all texts. */
static int run_round(bench *b, call *calls, double *seconds) {
    pthread_t threads[MOST_CALLERS];
    double begun = now();
    int started = 1;
    for (; started < b->callers && pthread_create(&threads[started], NULL, embed_all, &calls[started]) == 0; started++) {
    }
    embed_all(&calls[0]);
    for (int i = 1; i < started; i++) pthread_join(threads[i], NULL);
    *seconds = now() - begun;
    if (started < b->callers) return fputs("nib: the system gives no more threads\n", stderr), 1;
    for (int i = 0; i < b->callers; i++)
        if (calls[i].status != NIB_OK) return cli_fail(&calls[i].error);
    return 0;
}

static int measure(bench *b) {
    size_t dim = (size_t)nib_model_dim(b->model);
    call *calls = calloc((size_t)b->callers, sizeof *calls);
    double warm;
    int code = calls ? 0 : 1;
    b->seconds = calloc((size_t)b->rounds, sizeof *b->seconds);
    b->latencies = calloc(b->n, sizeof *b->latencies);
    for (int i = 0; code == 0 && i < b->callers; i++) {
        calls[i].b = b;
        calls[i].out = malloc(b->n * (dim ? dim : 1) * sizeof(float));
        calls[i].tokens = malloc(b->n * sizeof *calls[i].tokens);
        if (!calls[i].out || !calls[i].tokens || !b->seconds || !b->latencies) code = (fputs("nib: out of memory\n", stderr), 1);
    }
    if (code == 0) code = run_round(b, calls, &warm);
    for (int r = 0; code == 0 && r < b->rounds; r++) code = run_round(b, calls, &b->seconds[r]);
    for (size_t i = 0; code == 0 && i < b->n; i++) {
        nib_error error;
        b->tokens += calls[0].tokens[i];
        if (calls[0].tokens[i] > b->longest) b->longest = calls[0].tokens[i];
        double begun = now();
        if (nib_embed(b->model, (const char *const *)&b->texts[i], 1, NULL, calls[0].out, &error) != NIB_OK) code = cli_fail(&error);
        b->latencies[i] = now() - begun;
    }
    for (int i = 0; calls && i < b->callers; i++) {
        free(calls[i].out);
        free(calls[i].tokens);
    }
    free(calls);
    return code;
}

static double percentile(const double *sorted, size_t n, double p) { return 1e3 * sorted[(size_t)(p * (double)(n - 1) + 0.5)]; }

static void print(bench *b, const cli_model *m, int64_t threads) {
    static const char *const precisions[] = {"file", "auto", "f32", "bf16", "f16", "q8", "q4"};
    const char *precision = precisions[m->options.precision];
    qsort(b->seconds, (size_t)b->rounds, sizeof *b->seconds, by_value);
    qsort(b->latencies, b->n, sizeof *b->latencies, by_value);
    double best = b->seconds[0], median = b->seconds[b->rounds / 2], all = (double)b->callers;
    double p50 = percentile(b->latencies, b->n, 0.5), p90 = percentile(b->latencies, b->n, 0.9), p99 = percentile(b->latencies, b->n, 0.99);
    if (b->json) {
        printf("{\"precision_asked\": \"%s\", \"cpu\": \"%s\", \"threads_asked\": %lld, \"callers\": %d, \"texts\": %zu, \"tokens\": %lld, \"rounds\": "
               "%d, "
               "\"tokens_per_second\": %.1f, \"tokens_per_second_median\": %.1f, \"texts_per_second\": %.2f, \"latency_ms\": {\"p50\": "
               "%.3f, \"p90\": %.3f, \"p99\": %.3f}}\n",
               precision, nib_cpu_name(), (long long)threads, b->callers, b->n, (long long)b->tokens, b->rounds,
               all * (double)b->tokens / best, all * (double)b->tokens / median, all * (double)b->n / best, p50, p90, p99);
        return;
    }
    printf("texts       %zu of %lld tokens, the longest %lld; precision asked for: %s, %s, %d caller%s\n", b->n, (long long)b->tokens,
           (long long)b->longest, precision, nib_cpu_name(), b->callers, b->callers > 1 ? "s" : "");
    printf("throughput  %.0f tokens/s, %.1f texts/s (best of %d rounds; median %.0f tokens/s)\n", all * (double)b->tokens / best,
           all * (double)b->n / best, b->rounds, all * (double)b->tokens / median);
    printf("one text    %.2f ms (half of them), %.2f ms (90 %%), %.2f ms (99 %%)\n", p50, p90, p99);
}

static bool count_of(const char *text, int most, int *out) {
    char *end;
    long n = strtol(text, &end, 10);
    *out = (int)n;
    return *text && !*end && n >= 1 && n <= most;
}

static int run_bench(int argc, char **argv) {
    static const struct option options[] = {CLI_MODEL_OPTIONS,
                                            {"input", required_argument, NULL, 'i'},
                                            {"rounds", required_argument, NULL, 'r'},
                                            {"callers", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {NULL, 0, NULL, 0}};
    cli_model m;
    bench b = {.rounds = 5, .callers = 1};
    const char *input = NULL;
    int c, code;
    cli_model_defaults(&m);
    while ((c = getopt_long(argc, argv, "m:i:h", options, NULL)) != -1) {
        if (c == 'h') return fputs(bench_help, stdout), 0;
        if (c == '?') return 2;
        if (c == 'i') input = optarg;
        else if (c == 'j') b.json = true;
        else if (c == 'r' && !count_of(optarg, 10000, &b.rounds))
            return cli_usage(&cli_bench, "--rounds %s: a number from 1 to 10000", optarg);
        else if (c == 'c' && !count_of(optarg, MOST_CALLERS, &b.callers))
            return cli_usage(&cli_bench, "--callers %s: a number from 1 to 256", optarg);
        else if (c != 'r' && c != 'c' && (code = cli_model_option(&m, c, optarg)) != 0) return code;
    }
    if (optind + 1 != argc || strcmp(argv[optind], "encode") != 0) return cli_usage(&cli_bench, "say what to measure: encode");
    if (!m.path || !input) return cli_usage(&cli_bench, "--model and --input are needed");
    if ((code = read_texts(&b, input)) == 0 && (code = cli_model_open(&m, &b.model)) == 0) code = measure(&b);
    if (code == 0) print(&b, &m, m.runtime.threads);
    nib_model_free(b.model);
    for (size_t i = 0; i < b.n; i++) free(b.texts[i]);
    free(b.texts);
    free(b.seconds);
    free(b.latencies);
    return code;
}

const cli_verb cli_bench = {"bench", "how fast: tokens a second, latency", bench_help, run_bench};
