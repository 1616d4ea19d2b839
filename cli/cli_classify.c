/* SPDX-License-Identifier: Apache-2.0
 *
 * nib classify. In: texts, or pairs of texts, from the command line or a line each. Out: for each its best labels and their scores, for a
 * person or as JSON, in input order.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4096

static const cli_option classify_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "lines to classify; - is standard input, answered whenever it pauses (read, too, where no text is given\n"
     "and it is a pipe or a file)",
     0, 0, NULL},
    {"pair", 0, CLI_FLAG, CLI_AT(pair), NULL,
     "two texts together, as a cross encoder's query and document: TEXT TEXT, or a line with a tab between them", 1, 0,
     NULL},
    {"top-k", 0, CLI_INT, CLI_AT(top_k), "N", "the N best labels instead of the best one; more than there are: all", 1,
     1000000, NULL},
    {"raw", 0, CLI_FLAG, CLI_AT(raw), NULL, "scores as the model gives them, no probabilities", 1, 0, NULL},
    {"labels", 0, CLI_LIST, CLI_AT(labels), "LABEL,...",
     "these labels instead of the model's, which is one for natural language inference; may be given several times", 0, 0,
     NULL},
    {"template", 0, CLI_TEXT, CLI_AT(hypothesis), "TEXT",
     "with --labels: what is said of a label, {} standing for it (default: This example is {}.)", 0, 0, NULL},
    {"multi-label", 0, CLI_FLAG, CLI_AT(multi_label), NULL, "with --labels: each may hold or not, by itself", 1, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "a line of JSON for each instead", 1, 0, NULL},
    {0},
};

typedef struct ranked {
    float score;
    int64_t label;
} ranked;

typedef struct classify_run {
    cli_args *a;
    nib_model *model;
    const char *input; /* where lines come from; NULL: texts were given */
    int64_t labels;
    float *scores; /* [room][labels] */
    int64_t *tokens, *full;
    ranked *order;                /* [labels] */
    const char **firsts, **seconds; /* of lines with pairs */
    size_t *first_lengths, *second_lengths;
    size_t room;
    long long index, truncated;
} classify_run;

typedef struct batch {
    const char *const *texts, *const *pairs;       /* pairs NULL: single texts */
    const size_t *lengths, *pair_lengths; /* NULL: they end with NUL */
    size_t n;
} batch;

static void free_room(classify_run *r) {
    free(r->scores);
    free(r->tokens);
    free(r->full);
    free(r->firsts);
    free(r->seconds);
    free(r->first_lengths);
    free(r->second_lengths);
}

static int make_room(classify_run *r, size_t n) {
    if (n <= r->room) return 0;
    free_room(r);
    r->scores = malloc(n * (size_t)(r->labels ? r->labels : 1) * sizeof *r->scores);
    r->tokens = malloc(n * sizeof *r->tokens);
    r->full = malloc(n * sizeof *r->full);
    r->firsts = malloc(n * sizeof *r->firsts);
    r->seconds = malloc(n * sizeof *r->seconds);
    r->first_lengths = malloc(n * sizeof *r->first_lengths);
    r->second_lengths = malloc(n * sizeof *r->second_lengths);
    r->room = n;
    return r->scores && r->tokens && r->full && r->firsts && r->seconds && r->first_lengths && r->second_lengths
               ? 0
               : cli_no_memory();
}

/* The best first, equal ones in the model's order; what is no number comes last. */
static int by_score(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    const int nan_x = x->score != x->score, nan_y = y->score != y->score;
    if (nan_x != nan_y) return nan_x - nan_y;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return (x->label > y->label) - (x->label < y->label);
}

static void rank(classify_run *r, const float *scores) {
    for (int64_t i = 0; i < r->labels; i++) r->order[i] = (ranked){scores[i], i};
    qsort(r->order, (size_t)r->labels, sizeof *r->order, by_score);
}

/* ---- what comes out */

/* As transformers' pipeline("text-classification") gives it: the best label, or with top_k a list of them. */
static void print_json(const classify_run *r, int64_t count) {
    if (r->a->top_k) putchar('[');
    for (int64_t i = 0; i < count; i++) {
        char number[20];
        *cli_number_write(number, r->order[i].score) = 0;
        fputs(i ? ", {\"label\": " : "{\"label\": ", stdout);
        cli_json_string(nib_model_label(r->model, r->order[i].label));
        printf(", \"score\": %s}", number);
    }
    puts(r->a->top_k ? "]" : "");
}

static void print_text(const batch *b, size_t i) {
    cli_plain(b->texts[i], b->lengths ? b->lengths[i] : strlen(b->texts[i]));
    if (!b->pairs) return;
    fputs("  |  ", stdout);
    cli_plain(b->pairs[i], b->pair_lengths ? b->pair_lengths[i] : strlen(b->pairs[i]));
}

/* "0.9987  positive  a text"; with --top-k the text, and a line for each label below it. */
static void print_lines(const classify_run *r, const batch *b, size_t i, int64_t count) {
    if (r->a->top_k) print_text(b, i), putchar('\n');
    for (int64_t k = 0; k < count; k++) {
        const char *label = nib_model_label(r->model, r->order[k].label);
        cli_number_print(7, (double)r->order[k].score);
        fputs("  ", stdout);
        cli_plain(label, strlen(label));
        if (!r->a->top_k) fputs("  ", stdout), print_text(b, i);
        putchar('\n');
    }
}

static int classify_batch(classify_run *r, const batch *b) {
    nib_error error;
    nib_classify_options o;
    const int64_t wanted = r->a->top_k ? r->a->top_k : 1, count = wanted < r->labels ? wanted : r->labels;
    nib_classify_defaults(&o, sizeof o);
    o.lengths = b->lengths;
    o.pair_lengths = b->pair_lengths;
    o.tokens = r->tokens;
    o.full_tokens = r->full;
    o.scores = r->a->raw ? NIB_SCORES_RAW : NIB_SCORES_MODEL;
    o.stop = cli_stop;
    if (nib_classify(r->model, b->texts, b->pairs, b->n, &o, r->scores, &error) != NIB_OK) return cli_fail(&error);
    for (size_t i = 0; i < b->n; i++) {
        rank(r, r->scores + i * (size_t)r->labels);
        if (r->a->json) print_json(r, count);
        else print_lines(r, b, i, count);
        r->truncated += r->full[i] > r->tokens[i];
        r->index++;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

/* ---- what goes in */

/* n lines with a tab each, as pairs. */
static int split_lines(classify_run *r, const char *path, batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        const char *line = b->texts[i], *tab = memchr(line, '\t', b->lengths[i]);
        if (!tab)
            return fprintf(stderr, "nib: %s: line %lld has no tab between its two texts\n", path, r->index + (long long)i + 1),
                   2;
        r->firsts[i] = line;
        r->first_lengths[i] = (size_t)(tab - line);
        r->seconds[i] = tab + 1;
        r->second_lengths[i] = b->lengths[i] - r->first_lengths[i] - 1;
    }
    *b = (batch){r->firsts, r->seconds, r->first_lengths, r->second_lengths, b->n};
    return 0;
}

static int classify_lines(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    classify_run *r = user;
    batch b = {.texts = texts, .lengths = lengths, .n = n};
    int code = make_room(r, n);
    if (code == 0 && r->a->pair) code = split_lines(r, r->input, &b);
    return code ? code : classify_batch(r, &b);
}

static int classify_given(classify_run *r) {
    const char *const *given = r->a->plain.items;
    batch b = {.texts = given, .n = r->a->plain.count};
    int code;
    if (r->a->pair) b.n /= 2;
    if ((code = make_room(r, b.n)) != 0) return code;
    for (size_t i = 0; r->a->pair && i < b.n; i++) r->firsts[i] = given[2 * i], r->seconds[i] = given[2 * i + 1];
    if (r->a->pair) b.texts = r->firsts, b.pairs = r->seconds;
    code = classify_batch(r, &b);
    return code == 0 && cli_signal ? 128 + cli_signal : code;
}

static int run_classify(cli_args *a) {
    classify_run r = {.a = a};
    int code = cli_choose_input(a, &r.input);
    if (code) return code;
    if (a->labels.count && (a->pair || a->raw))
        return cli_usage(a->verb, "--labels with --pair or --raw: a label's score is a probability, of one text");
    if (!a->labels.count && (a->hypothesis || a->multi_label))
        return cli_usage(a->verb, "--template and --multi-label are said of --labels");
    if (a->labels.count) return cli_zero_shot(a, r.input);
    if (!r.input && a->pair && a->plain.count % 2)
        return cli_usage(a->verb, "--pair takes two texts, or four, ...: one has no second");
    cli_catch(false);
    a->m.options.task = NIB_TASK_CLASSIFY;
    if ((code = cli_model_open(&a->m, &r.model)) != 0) return code;
    r.labels = nib_model_label_count(r.model);
    r.order = malloc((size_t)(r.labels ? r.labels : 1) * sizeof *r.order);
    code = !r.order ? cli_no_memory() : r.input ? cli_lines_each(r.input, BATCH, classify_lines, &r) : classify_given(&r);
    if (code == 0 && r.truncated && !a->quiet)
        fprintf(stderr, "nib: %lld of %lld %s were longer than %lld tokens and were cut\n", r.truncated, r.index,
                a->pair ? "pairs" : "texts", (long long)nib_model_max_tokens(r.model));
    free_room(&r);
    free(r.order);
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {classify_options,   cli_model_option, cli_length_options,
                                            cli_engine_options, cli_group_option, cli_thread_option,
                                            cli_safety_options, NULL};

const cli_verb cli_classify = {
    .name = "classify",
    .line = "texts, or pairs of them -> labels with scores",
    .usage = "--model PATH [options] [TEXT ...]",
    .about = "Says which label of a classifier fits a text best, or how well two texts fit together: the TEXTs, or one a line of "
             "--input.\n",
    .options = options,
    .examples = "  nib classify --model sentiment 'a film to remember' 'two hours that nobody gives back'\n"
                "  nib classify --model cross-encoder --pair 'who wrote it' 'a nib writes'\n"
                "  nib classify --model sentiment --input texts.txt --top-k 3 --json >scores.jsonl\n"
                "  nib classify --model nli --labels travel,cooking,sport 'one day I will see the world'\n",
    .after = "Labels and what scores are come from config.json; nib inspect prints both. With --json there is a line for each text, as\n"
             "transformers' pipeline(\"text-classification\") has it: {\"label\": .., \"score\": ..}; with --top-k a list of these. With\n"
             "--labels as pipeline(\"zero-shot-classification\") has it: sequence, labels, scores.\n",
    .plain = -1,
    .run = run_classify,
};
