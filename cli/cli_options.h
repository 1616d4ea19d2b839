/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line as data: a verb lists tables of options, and the same rows parse them, refuse what is wrong, given twice or unknown, and
 * write --help. What a verb does not list it does not take.
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <nib/nib.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct cli_model {
    const char *path;
    nib_model_options options;
    nib_runtime_options runtime; /* its limits are these: */
    nib_limits limits;
} cli_model;

typedef struct cli_list { /* of values, as given; borrowed */
    const char **items;
    size_t count, capacity;
} cli_list;

typedef struct cli_verb cli_verb;
typedef struct cli_option cli_option;

#define CLI_MOST_OPTIONS 64
typedef struct cli_given { /* an option of this command line */
    const cli_option *option;
    const char *value;
} cli_given;

/* Every option of every verb has its place here. */
typedef struct cli_args {
    const cli_verb *verb;
    cli_model m;
    cli_list plain; /* arguments that are no options, behind the model */
    cli_given given[CLI_MOST_OPTIONS];
    size_t n_given;
    cli_list inputs, shapes, disabled, keep, limits, includes, ignore, queries, targets, labels;
    const char *input, *output, *ids, *report, *output_dir, *compare, *suite, *calibrate, *check_texts;
    const char *word; /* of the verb's */
    const char *pairs, *retrieval, *precisions, *cuts, *types; /* of nib eval */
    const char *prompt, *prompt_name, *query, *profile, *ranges_from, *query_vectors, *better, *document_prompt;
    int json, quiet, warm, tokens, pair, raw, top_k, similarity, with_text, jsonl, verify, exact, random, keep_random,
        check, help, no_prompt, decode, no_special, no_truncation, with_pooling, pull, weights, small_files, no_speed,
        preset, per_tensor, reduce_range;
    int top, rescore, measure; /* of nib search */
    int longest, impossible, within_words; /* of nib answer; longest 0: not given */
    const char *context, *hypothesis;
    int multi_label;
    int rounds, callers, repeat, level, opset, target, type, ranges, block, format, graph, dtype;
    int sparse, dense, late, keys; /* of nib embed: --sparse, --dense, --colbert, --format */
    int aggregation, role; /* role 0: not given */
    double pool_factor;
    int overflow, aggregate, chunk_sentences, stream; /* of long texts */
    int64_t chunk_tokens, chunk_overlap, chunk_overlap_sentences;
    int cut, cut_front; /* level, graph, cut_front, stride: -1 if not given; repeat, opset, type, block, dtype: 0 */
    int64_t seed, stride, dimensions;
    double seconds, least_cosine, min_cosine, rtol, atol, tolerance;
    size_t external_over; /* SIZE_MAX: not given */
    size_t most_bytes;    /* 0: not given */
} cli_args;

typedef enum cli_kind {
    CLI_TEXT,  /* const char * */
    CLI_FILE,  /* const char *: where something is written; "-" is no file */
    CLI_FLAG,  /* int: takes no value, stores `least` */
    CLI_INT,   /* int, `least` to `most` */
    CLI_WHOLE, /* int64_t */
    CLI_REAL,  /* double */
    CLI_SIZE,  /* size_t: 500M, 2G */
    CLI_NAME,  /* int: one of `names`, which its help says where it has %s */
    CLI_LIST   /* cli_list: may be given several times; NAME=VALUE each if `value` says so */
} cli_kind;

typedef struct cli_names {
    const char *const *texts; /* [number] */
    const int *accepted;      /* numbers, in the order in which they are said; ended by -1 */
} cli_names;
#define CLI_NAME_TEXT(name, number, text) [number] = text, /* of nib.h's lists of names */

struct cli_option {   /* a table ends with a row without a name */
    const char *name; /* "threads" */
    char letter;      /* 'o': -o, too; 0: none */
    cli_kind kind;
    size_t at;          /* of its place in cli_args; two options with one place exclude each other */
    const char *value;  /* what --help calls its value */
    const char *help;   /* one line or several */
    double least, most; /* of numbers */
    const cli_names *names;
};

#define CLI_AT(member) offsetof(cli_args, member)

struct cli_verb {
    const char *name, *line;          /* one line for `nib --help` */
    const char *usage;                /* behind "nib NAME " */
    const char *about;                /* what it does, in lines */
    const cli_option *const *options; /* ended by NULL */
    const char *examples;             /* lines */
    const char *after;                /* said at the end; may be NULL */
    const char *word;                 /* '|' between; one must be the first plain argument, and is args' word; may be NULL */
    /* one that is there; ORG/NAME of one; it takes none; one that is there, if --model names it */
    enum { CLI_MODEL_OPENED, CLI_MODEL_NAMED, CLI_MODEL_NONE, CLI_MODEL_MAYBE } model;
    int plain;                        /* how many plain arguments it takes beside the model; -1: any number, texts */
    int (*run)(cli_args *args);
    bool recipes; /* it takes --profile, which may name the model */
};

extern const cli_verb *const cli_verbs[]; /* ended by NULL */

/* Tables that verbs share (cli_model.c). */
extern const cli_option cli_model_option[];   /* --model, --pull */
extern const cli_option cli_length_options[]; /* --max-tokens, --route */
extern const cli_option cli_chunk_options[];  /* --overflow and how chunks are made (cli_chunks.c) */
extern const cli_option cli_task_option[];    /* --task */
extern const cli_option cli_engine_options[]; /* precision, device, output */
extern const cli_option cli_vector_options[]; /* pooling, normalize */
extern const cli_option cli_recipe_option[];  /* --profile */
extern const cli_option cli_group_option[];   /* --batch-tokens */
extern const cli_option cli_thread_option[];
extern const cli_option cli_prompt_options[];
extern const cli_option cli_level_option[];   /* --optimize-level */
extern const cli_option cli_pack_option[];    /* --no-pack */
extern const cli_option cli_safety_options[]; /* what a model's files may cost (SECURITY.md), and --quiet, --help */
extern const cli_option cli_common_options[]; /* --memory, --quiet, --help, of verbs that open no model */

/* Fills `args` from argv[1..]: 0; 2 after a message; -1 if help was asked for and printed. Free it with cli_args_free either way. */
int cli_parse(const cli_verb *verb, int argc, char **argv, cli_args *args);
void cli_args_free(cli_args *args);
void cli_help(const cli_verb *verb);

/* A pair NAME=VALUE that names what an earlier one does (up to the first '='), or NULL. */
const char *cli_list_twice(const cli_list *list);
/* What "did you mean" offers: the name nearest to `text` among `count` (two changes at most, or the only one that begins so); NULL: none.
 */
const char *cli_nearest(const char *text, const char *const *names, size_t count);

#endif
