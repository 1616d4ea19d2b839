/* SPDX-License-Identifier: Apache-2.0
 *
 * nib ner. In: texts from the command line, or a line each. Out: the entities of each, for a person or as JSON, in
 * input order.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4096

static const cli_names aggregations = {(const char *const[]){NIB_AGGREGATION_MAP(CLI_NAME_TEXT)},
                                       (const int[]){NIB_AGGREGATION_NONE, NIB_AGGREGATION_SIMPLE,
                                                     NIB_AGGREGATION_FIRST, NIB_AGGREGATION_AVERAGE,
                                                     NIB_AGGREGATION_MAX, -1}};

static const cli_option ner_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "lines to look at; - is standard input, answered whenever it pauses (read, too, where no text is given\n"
     "and it is a pipe or a file)",
     0, 0, NULL},
    {"aggregation", 0, CLI_NAME, CLI_AT(aggregation), "HOW",
     "%s: tokens by themselves, or together as transformers does it (default: simple)", 0, 0, &aggregations},
    {"ignore", 0, CLI_LIST, CLI_AT(ignore), "LABEL", "leaves that label out, in place of O; may be given several times",
     0, 0, NULL},
    {"stride", 0, CLI_WHOLE, CLI_AT(stride), "N",
     "long texts in windows that share N tokens, so that nothing is cut off", 0, 1 << 30, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "a list of JSON for each text instead, a line each", 1, 0, NULL},
    {0},
};

typedef struct ner_run {
    cli_args *a;
    nib_model *model;
    long long count, cut;
} ner_run;

/* As transformers' pipeline("token-classification") gives it: places are in characters. */
static void print_json(const ner_run *r, const char *text, const nib_entity *found, size_t count) {
    const bool single = r->a->aggregation == NIB_AGGREGATION_NONE;
    size_t at = 0, characters = 0;
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        char number[20];
        *cli_number_write(number, found[i].score) = 0;
        if (found[i].begin < at) at = characters = 0; /* an entity that begins within the one before */
        characters += cli_json_characters(text + at, found[i].begin - at);
        at = found[i].begin;
        printf("%s{\"%s\": ", i ? ", " : "", single ? "entity" : "entity_group");
        cli_json_string(found[i].label);
        printf(", \"score\": %s", number);
        if (single) printf(", \"index\": %d", (int)found[i].token);
        fputs(", \"word\": ", stdout);
        cli_json_string(found[i].word);
        printf(", \"start\": %zu, \"end\": %zu}", characters,
               characters + cli_json_characters(text + at, found[i].end - at));
    }
    puts("]");
}

/* The text, and a line for each entity below it: " 0.9931  PER  Clara Schumann". */
static void print_lines(const char *text, size_t length, const nib_entity *found, size_t count) {
    cli_plain(text, length);
    putchar('\n');
    for (size_t i = 0; i < count; i++) {
        cli_number_print(7, (double)found[i].score);
        fputs("  ", stdout);
        cli_plain(found[i].label, strlen(found[i].label));
        fputs("  ", stdout);
        cli_plain(text + found[i].begin, found[i].end - found[i].begin);
        putchar('\n');
    }
}

static int tag_batch(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    ner_run *r = user;
    const cli_args *a = r->a;
    nib_error error;
    nib_tag_options o;
    nib_tags *tags;
    int64_t *tokens = calloc(n, sizeof *tokens), *full = calloc(n, sizeof *full);
    int code = tokens && full ? 0 : cli_no_memory();
    nib_tag_defaults(&o, sizeof o);
    o.aggregation = (nib_aggregation)a->aggregation;
    o.lengths = lengths;
    o.tokens = tokens;
    o.full_tokens = full;
    o.ignore = a->ignore.count ? a->ignore.items : NULL;
    o.ignore_count = a->ignore.count;
    o.windows = a->stride >= 0;
    o.stride = a->stride >= 0 ? a->stride : 0;
    o.stop = cli_stop;
    if (code == 0 && nib_tag(r->model, texts, n, &o, &tags, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; i < n && code == 0; i++) {
        const nib_entity *found;
        const size_t count = nib_tags_get(tags, i, &found);
        if (a->json) print_json(r, texts[i], found, count);
        else print_lines(texts[i], lengths ? lengths[i] : strlen(texts[i]), found, count);
        r->cut += full[i] > tokens[i];
        r->count++;
    }
    if (code == 0) nib_tags_free(tags);
    free(tokens);
    free(full);
    return code ? code : fflush(stdout) == 0 ? 0 : 1;
}

static int run_ner(cli_args *a) {
    ner_run r = {.a = a};
    const char *input;
    int code = cli_choose_input(a, &input);
    if (code) return code;
    if (a->stride >= 0 && a->aggregation == NIB_AGGREGATION_NONE)
        return cli_usage(a->verb, "--stride wants an aggregation: tokens that two windows share would be there twice");
    cli_catch(false);
    a->m.options.task = NIB_TASK_TAG;
    if ((code = cli_model_open(&a->m, &r.model)) != 0) return code;
    code = input ? cli_lines_each(input, BATCH, tag_batch, &r) : tag_batch(&r, a->plain.items, NULL, a->plain.count);
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    if (code == 0 && r.cut && !a->quiet)
        fprintf(stderr,
                "nib: %lld of %lld texts were longer than %lld tokens and were cut: --stride looks at all of them\n",
                r.cut, r.count, (long long)nib_model_max_tokens(r.model));
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {ner_options,      cli_model_option,  cli_length_options, cli_engine_options,
                                            cli_group_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_ner = {
    .name = "ner",
    .line = "texts -> names, places and other entities in them",
    .usage = "--model PATH [options] [TEXT ...]",
    .about = "Finds what a model for token classification finds in texts: the TEXTs, or one a line of --input.\n",
    .options = options,
    .examples = "  nib ner --model ner 'Clara Schumann played in Dresden.'\n"
                "  nib ner --model ner --input texts.txt --aggregation first --json >entities.jsonl\n"
                "  nib ner --model ner --input long.txt --stride 32\n",
    .after = "--json has what transformers' pipeline(\"token-classification\") gives with that aggregation_strategy, a "
             "line a\n"
             "text: entity_group (entity and index of single tokens), score, word, start and end in characters.\n",
    .plain = -1,
    .run = run_ner,
};
