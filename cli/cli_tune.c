/* SPDX-License-Identifier: Apache-2.0
 *
 * nib tune. In: a model, texts like those it will meet. Out: tables of tokens a second for threads x tokens in a group, for each precision,
 * with how much of the vectors' direction each precision keeps; and the options to use. Time is bounded; Ctrl-C ends the search, and what
 * was measured until then is printed.
 */
#include "cli_json.h"
#include "cli_texts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option tune_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "one text a line, like those it will meet; - is standard input (default: 64 built-in ones)", 0, 0, NULL},
    {"seconds", 0, CLI_REAL, CLI_AT(seconds), "N", "time to take (default 60)", 0.1, 86400, NULL},
    {"least-cosine", 0, CLI_REAL, CLI_AT(least_cosine), "C",
     "the worst that a text's vector may be (cosine to f32's) to be recommended (default 0.995)", -1, 1, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of tables", 1, 0, NULL},
    {0},
};

#define MOST_THREADS 16
#define MOST_BATCHES 6
#define JUDGED 32        /* texts whose vectors are compared */
#define CALL_TOKENS 2048 /* a thread, in one call */

static const nib_precision all_precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
#define MOST_PRECISIONS (sizeof all_precisions / sizeof *all_precisions)

typedef struct tuning {
    const cli_args *args;
    cli_model m;
    nib_runtime *runtime; /* as the command line says: how many threads there are */
    cli_texts texts;
    double seconds, least_cosine, begun;
    bool json;
    int precisions, threads, batches; /* how many of each are tried */
    nib_precision precision[MOST_PRECISIONS];
    int thread[MOST_THREADS];
    int64_t batch[MOST_BATCHES];                              /* 0: nib's own choice */
    double rate[MOST_PRECISIONS][MOST_THREADS][MOST_BATCHES]; /* tokens a second; 0: not measured */
    double mean[MOST_PRECISIONS], worst[MOST_PRECISIONS];     /* cosine; < -1: not measured */
    char refused[MOST_PRECISIONS][400];
    float *reference, *vectors; /* [judged, dim] */
    size_t judged;
    int64_t dim;
} tuning;

static bool is_over(const tuning *t) { return cli_signal || cli_now() - t->begun >= t->seconds; }

static int open_with(const tuning *t, int p, int threads, int64_t batch, nib_model **out, nib_error *error) {
    nib_runtime *runtime;
    nib_runtime_options r = t->m.runtime;
    nib_model_options o = t->m.options;
    r.threads = threads;
    r.log = NULL;
    if (nib_runtime_create(&r, &runtime, error) != NIB_OK) return -1;
    o.runtime = runtime;
    o.precision = t->precision[p];
    o.batch_tokens = batch;
    nib_status status = nib_model_open(t->m.path, &o, out, error);
    nib_runtime_free(runtime);
    return status == NIB_OK ? 0 : -1;
}

/* Vectors of the first texts, against those of f32. */
static int judge(tuning *t, int p, nib_model *model) {
    nib_error error;
    float *into = t->precision[p] == NIB_PRECISION_F32 ? t->reference : t->vectors;
    if (t->mean[p] >= -1) return 0;
    if (nib_embed_ids(model, (const int32_t *const *)t->texts.ids, t->texts.lengths, t->judged, NULL, into, &error) != NIB_OK)
        return cli_fail(&error);
    double sum = 0, worst = 1;
    for (size_t i = 0; i < t->judged; i++) {
        const float *a = t->reference + i * (size_t)t->dim, *b = into + i * (size_t)t->dim;
        double dot = 0, x = 0, y = 0;
        for (int64_t k = 0; k < t->dim; k++) dot += (double)a[k] * b[k], x += (double)a[k] * a[k], y += (double)b[k] * b[k];
        double cosine = x > 0 && y > 0 ? dot / sqrt(x * y) : x == y;
        if (cosine > 1) cosine = 1; /* by rounding */
        sum += cosine;
        if (cosine < worst) worst = cosine;
    }
    t->mean[p] = sum / (double)t->judged;
    t->worst[p] = worst;
    return 0;
}

/* The median rate of calls that go round the texts until `until`; at least one, after one that does not count if there is time for that. */
static int measure(tuning *t, nib_model *model, int threads, double until, float *out, double *rate) {
    enum { MOST = 64 };
    double rates[MOST];
    size_t n = 0, at = 0;
    nib_error error;
    for (int call = 0; n < MOST && !cli_signal && (n == 0 || cli_now() < until); call++) {
        size_t count = 0;
        int64_t tokens = 0;
        while (at + count < t->texts.n && tokens < (int64_t)threads * CALL_TOKENS) tokens += t->texts.lengths[at + count++];
        double begun = cli_now();
        if (nib_embed_ids(model, (const int32_t *const *)t->texts.ids + at, t->texts.lengths + at, count, NULL, out, &error) != NIB_OK)
            return cli_fail(&error);
        double seconds = cli_now() - begun;
        if (call > 0) rates[n++] = (double)tokens / seconds;
        else if (seconds * 4 < until - begun) continue; /* the call that does not count is counted out only where there is time */
        else rates[n++] = (double)tokens / seconds;
        at += count;
        if (at >= t->texts.n) at = 0;
    }
    *rate = n ? cli_percentile(rates, n, 0.5) : 0;
    return 0;
}

/* All cells, each with its part of the time that is left. */
static int sweep(tuning *t) {
    int code = 0, left = t->precisions * t->threads * t->batches;
    float *out = malloc(t->texts.n * (size_t)t->dim * sizeof *out);
    if (!out) return cli_no_memory();
    for (int p = 0; p < t->precisions; p++)
        for (int i = 0; i < t->threads; i++)
            for (int b = 0; b < t->batches; b++, left--) {
                nib_model *model;
                nib_error error;
                double now = cli_now(), until = now + (t->begun + t->seconds - now) / left;
                if (code || t->refused[p][0] || cli_signal || ((i || b) && is_over(t)))
                    continue; /* each precision has one figure at least */
                if (open_with(t, p, t->thread[i], t->batch[b], &model, &error) != 0) {
                    snprintf(t->refused[p], sizeof t->refused[p], "%s", error.message);
                    continue;
                }
                code = judge(t, p, model);
                if (code == 0) code = measure(t, model, t->thread[i], until, out, &t->rate[p][i][b]);
                nib_model_free(model);
            }
    free(out);
    return code;
}

/* ---- what to try */

static void choose_cells(tuning *t) {
    static const int64_t batches[] = {0, 64, 128, 256, 512, 1024};
    for (size_t i = 0; i < MOST_PRECISIONS; i++)
        if (t->m.options.precision == NIB_PRECISION_FILE || t->m.options.precision == NIB_PRECISION_AUTO ||
            t->m.options.precision == all_precisions[i] || all_precisions[i] == NIB_PRECISION_F32)
            t->precision[t->precisions++] = all_precisions[i]; /* f32 always: the others are judged by it */
    int most = t->m.runtime.threads;
    if (most == 0 && (most = nib_runtime_threads(t->runtime)) < 1) most = 1;
    if (t->m.runtime.threads > 0) t->thread[t->threads++] = most;
    else
        for (int n = 1; t->threads < MOST_THREADS; n *= 2) {
            t->thread[t->threads++] = n < most ? n : most;
            if (n >= most) break;
        }
    if (t->m.options.batch_tokens > 0) t->batch[t->batches++] = t->m.options.batch_tokens;
    else
        for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) t->batch[t->batches++] = batches[i];
    for (int p = 0; p < t->precisions; p++) t->mean[p] = t->worst[p] = -2;
}

/* ---- results */

typedef struct cell {
    int p, i, b;
    double rate;
} cell;

/* The fastest of the cells that were measured, in a precision that is close enough and that was asked for. */
static cell best_of(const tuning *t) {
    const nib_precision asked = t->m.options.precision;
    cell best = {-1, 0, 0, 0};
    for (int p = 0; p < t->precisions; p++) {
        if (t->worst[p] < t->least_cosine) continue;
        if (asked != NIB_PRECISION_FILE && asked != NIB_PRECISION_AUTO && asked != t->precision[p]) continue;
        for (int i = 0; i < t->threads; i++)
            for (int b = 0; b < t->batches; b++)
                if (t->rate[p][i][b] > best.rate) best = (cell){p, i, b, t->rate[p][i][b]};
    }
    return best;
}

static void print_table(const tuning *t, int p) {
    printf("\n%s", nib_precision_name(t->precision[p]));
    if (t->refused[p][0]) {
        printf("  refused: %s\n", t->refused[p]);
        return;
    }
    if (t->mean[p] >= -1) printf("  cosine to f32: mean %.5f, worst %.5f of %zu texts", t->mean[p], t->worst[p], t->judged);
    printf("\n  tokens/s   batch tokens:");
    for (int b = 0; b < t->batches; b++)
        if (t->batch[b]) printf(" %9lld", (long long)t->batch[b]);
        else printf("   nib's own");
    printf("\n");
    for (int i = 0; i < t->threads; i++) {
        printf("  %4d thread%s            ", t->thread[i], t->thread[i] == 1 ? " " : "s");
        for (int b = 0; b < t->batches; b++) {
            int width = t->batch[b] ? 9 : 11;
            if (t->rate[p][i][b] > 0) printf(" %*.0f", width, t->rate[p][i][b]);
            else printf(" %*s", width, "-");
        }
        printf("\n");
    }
}

/* As a shell reads it back. */
static void print_word(const char *word) {
    bool plain = *word && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/=-")] == 0;
    if (!plain) putchar('\'');
    for (const char *s = word; *s; s++) *s == '\'' ? (void)fputs("'\\''", stdout) : (void)putchar(*s);
    if (!plain) putchar('\'');
}

/* The command line of a cell: what was searched, and every other option as it was given, for it was measured with that. */
static void print_line(const tuning *t, const cell *c) {
    static const size_t own[] = {CLI_AT(m.path),
                                 CLI_AT(m.runtime.threads),
                                 CLI_AT(m.options.batch_tokens),
                                 CLI_AT(m.options.precision),
                                 CLI_AT(input),
                                 CLI_AT(json),
                                 CLI_AT(seconds),
                                 CLI_AT(least_cosine),
                                 CLI_AT(quiet)};
    printf("nib embed --model ");
    print_word(t->m.path);
    for (size_t i = 0; i < t->args->n_given; i++) {
        const cli_given *g = &t->args->given[i];
        size_t k = 0;
        while (k < sizeof own / sizeof *own && own[k] != g->option->at) k++;
        if (k < sizeof own / sizeof *own) continue;
        printf(" --%s", g->option->name);
        if (g->value) putchar(' '), print_word(g->value);
    }
    printf(" --threads %d", t->thread[c->i]);
    if (t->batch[c->b]) printf(" --batch-tokens %lld", (long long)t->batch[c->b]);
    printf(" --precision %s\n", nib_precision_name(t->precision[c->p]));
}

static int not_measured(const tuning *t) {
    int n = 0;
    for (int p = 0; p < t->precisions; p++)
        for (int i = 0; i < t->threads; i++)
            for (int b = 0; b < t->batches; b++) n += !t->refused[p][0] && !(t->rate[p][i][b] > 0);
    return n;
}

static void print_tables(const tuning *t) {
    cell best = best_of(t);
    printf("texts  %zu of %lld tokens, the longest %lld; %s; %.0f s\n", t->texts.n, (long long)t->texts.tokens, (long long)t->texts.longest,
           nib_cpu_name(), cli_now() - t->begun);
    for (int p = 0; p < t->precisions; p++) print_table(t, p);
    printf("\n");
    if (best.p < 0) {
        printf("nothing was measured that keeps a cosine of %.4f\n", t->least_cosine);
        return;
    }
    int missing = not_measured(t);
    if (missing) printf("%d cells (-) were not measured and are not compared: more --seconds, or fewer cells, measure them\n", missing);
    printf("fastest with a worst cosine of at least %.4f (%.0f tokens/s; differences of a few percent are noise):\n", t->least_cosine,
           best.rate);
    print_line(t, &best);
}

static void print_json(const tuning *t) {
    cell best = best_of(t);
    printf("{\"model\": ");
    cli_json_string(t->m.path);
    printf(", \"cpu\": \"%s\", \"texts\": %zu, \"tokens\": %lld, \"seconds\": %.1f, \"interrupted\": %s,\n \"precisions\": [",
           nib_cpu_name(), t->texts.n, (long long)t->texts.tokens, cli_now() - t->begun, cli_signal ? "true" : "false");
    for (int p = 0; p < t->precisions; p++) {
        printf("%s\n  {\"precision\": \"%s\"", p ? "," : "", nib_precision_name(t->precision[p]));
        if (t->refused[p][0]) printf(", \"refused\": "), cli_json_string(t->refused[p]);
        if (t->mean[p] >= -1) printf(", \"cosine_mean\": %.6f, \"cosine_worst\": %.6f", t->mean[p], t->worst[p]);
        printf(", \"cells\": [");
        bool first = true;
        for (int i = 0; i < t->threads; i++)
            for (int b = 0; b < t->batches; b++)
                if (t->rate[p][i][b] > 0) {
                    printf("%s\n    {\"threads\": %d, \"batch_tokens\": %lld, \"tokens_per_second\": %.1f}", first ? "" : ",", t->thread[i],
                           (long long)t->batch[b], t->rate[p][i][b]);
                    first = false;
                }
        printf("]}");
    }
    printf("],\n \"best\": ");
    if (best.p < 0) printf("null}\n");
    else
        printf("{\"precision\": \"%s\", \"threads\": %d, \"batch_tokens\": %lld, \"tokens_per_second\": %.1f}}\n",
               nib_precision_name(t->precision[best.p]), t->thread[best.i], (long long)t->batch[best.b], best.rate);
}

static int run_all(tuning *t, const char *input) {
    cli_catch(true);
    nib_model *model;
    nib_error error;
    int code = input ? cli_texts_read(&t->texts, input) : cli_texts_sample(&t->texts);
    if (code) return code;
    t->runtime = cli_runtime(&t->m, &code);
    if (code) return code;
    choose_cells(t);
    if (open_with(t, 0, t->thread[0], 0, &model, &error) != 0) return cli_fail(&error);
    t->dim = nib_model_dim(model);
    code = t->dim > 0 ? cli_texts_tokenize(&t->texts, model) : (fputs("nib: this model cannot embed texts\n", stderr), 2);
    nib_model_free(model);
    if (code) return code;
    t->judged = t->texts.n < JUDGED ? t->texts.n : JUDGED;
    t->reference = malloc(t->judged * (size_t)t->dim * sizeof *t->reference);
    t->vectors = malloc(t->judged * (size_t)t->dim * sizeof *t->vectors);
    if (!t->reference || !t->vectors) return cli_no_memory();
    t->begun = cli_now();
    if ((code = sweep(t)) != 0 && !cli_signal) return code;
    if (t->json) print_json(t);
    else print_tables(t);
    if (cli_signal) fputs("nib: interrupted; what was measured until then is above\n", stderr);
    return cli_signal ? 128 + cli_signal : 0;
}

static int run_tune(cli_args *a) {
    static tuning t;
    t.args = a;
    t.m = a->m;
    t.seconds = a->seconds;
    t.least_cosine = a->least_cosine;
    t.json = a->json;
    t.m.options.task = NIB_TASK_EMBED;
    int code = run_all(&t, a->input);
    free(t.reference);
    free(t.vectors);
    cli_texts_free(&t.texts);
    return code;
}

static const cli_option *const options[] = {tune_options,       cli_model_option,   cli_length_options,
                                            cli_engine_options, cli_vector_options, cli_group_option,
                                            cli_thread_option,  cli_safety_options, NULL};

const cli_verb cli_tune = {
    .name = "tune",
    .line = "the fastest settings on this machine",
    .usage = "MODEL [options]",
    .about = "Finds the fastest settings on this machine: precision, threads, tokens that a thread works on at a time. Prints what each "
             "gave, how\n"
             "close the vectors of each precision stay to those of f32, and the options to use. Each figure is that of a fraction of a "
             "second: the\n"
             "more --seconds, the surer. Ctrl-C ends it early; what was measured is printed.\n",
    .options = options,
    .examples = "  nib tune models/all-MiniLM-L6-v2 --input texts.txt\n"
                "  nib tune model.onnx --seconds 20 --threads 4\n",
    .after = "--precision, --threads and --batch-tokens fix what they name.\n",
    .run = run_tune,
};
