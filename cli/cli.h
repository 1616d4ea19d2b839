/* SPDX-License-Identifier: Apache-2.0
 *
 * The command `nib`: a table of verbs over the public API. Exit codes: 0 done, 1 the work failed, 2 the command line or a
 * named file is wrong, 3 two models, or a model and what was expected of it, differ, 130 interrupted.
 */
#ifndef CLI_H
#define CLI_H

#include <nib/nib.h>
#include <stdbool.h>

typedef struct cli_verb {
    const char *name, *line; /* one line for `nib --help` */
    const char *help;        /* `nib VERB --help`: usage, options, examples */
    int (*run)(int argc, char **argv);
} cli_verb;

extern const cli_verb cli_embed, cli_run, cli_inspect, cli_explain, cli_tokenize, cli_bench, cli_profile, cli_tune;
extern const cli_verb cli_optimize, cli_simplify, cli_diff, cli_compile;

/* What model options look like on every command line that opens one. */
typedef struct cli_model {
    const char *path;
    nib_model_options options;
    nib_runtime_options runtime;
} cli_model;

/* What a model's files may cost (SECURITY.md). */
#define CLI_SAFETY_OPTIONS                                                                                                                 \
    {"private-reads", no_argument, NULL, CLI_PRIVATE}, { "limit", required_argument, NULL, CLI_LIMIT }
#define CLI_SAFETY_HELP                                                                                                                    \
    "  --memory SIZE        ceiling, such as 500M or 2G; mapped files do not count (default: what the machine or the container has)\n"     \
    "  --private-reads      read files instead of mapping them: they may be cut off meanwhile\n"                                           \
    "  --limit NAME=N       graph-depth, wire-nesting, json-depth, files, fold-bytes, expand-bytes: SECURITY.md says of what\n"

/* Options shared by the verbs; each verb adds its own and passes all to getopt_long. */
#define CLI_MODEL_OPTIONS                                                                                                                  \
    {"model", required_argument, NULL, 'm'}, {"threads", required_argument, NULL, 't'}, {"max-tokens", required_argument, NULL, 'x'},      \
        {"precision", required_argument, NULL, 'p'}, {"device", required_argument, NULL, 'd'},                                             \
        {"output-name", required_argument, NULL, 'n'}, {"pooling", required_argument, NULL, 'P'},                                          \
        {"normalize", required_argument, NULL, 'N'}, {"memory", required_argument, NULL, 'M'},                                             \
        {"batch-tokens", required_argument, NULL, 'B'}, CLI_SAFETY_OPTIONS, {                                                              \
        "help", no_argument, NULL, 'h'                                                                                                     \
    }

#define CLI_MODEL_HELP                                                                                                                     \
    "  --model PATH         folder as on Hugging Face, .onnx file, or .nib file\n"                                                         \
    "  --threads N          threads that compute (default: NIB_NUM_THREADS, else all CPUs we may use)\n"                                   \
    "  --max-tokens N       longest text; longer ones are cut (default: what the model says)\n"                                            \
    "  --precision P        f32, bf16, q8 or auto (default: the file's own; a named one is obeyed or refused)\n"                           \
    "  --device D           cpu\n"                                                                                                         \
    "  --output-name NAME   graph output to use (default: nib inspect says which and why)\n"                                               \
    "  --pooling P          mean, cls, max, last, mean_sqrt_len, weighted_mean, none (default: the model's)\n"                             \
    "  --normalize yes|no   vectors of length 1 (default: what the model says)\n"                                                          \
    "  --batch-tokens N     tokens a thread works on at a time (default: what fits the cache)\n" CLI_SAFETY_HELP

/* What is put before each text; verbs that read texts. */
typedef struct cli_prompt {
    const char *name, *text; /* NULL: not given */
} cli_prompt;
#define CLI_PROMPT_OPTIONS                                                                                                                 \
    {"prompt", required_argument, NULL, CLI_PROMPT}, {"prefix", required_argument, NULL, CLI_PROMPT},                                      \
        {"prompt-name", required_argument, NULL, CLI_PROMPT_NAME}, {                                                                       \
        "no-prompt", no_argument, NULL, CLI_NO_PROMPT                                                                                      \
    }
#define CLI_PROMPT_HELP                                                                                                                    \
    "  --prompt-name NAME   puts that prompt of the model's before each text (default: the model's own default, if it has one)\n"          \
    "  --prompt TEXT        puts TEXT before each text, as it is; --prefix is the same\n"                                                  \
    "  --no-prompt          puts nothing before the texts\n"

/* Levers that only verbs which measure show: what each is worth. */
enum { CLI_OPTIMIZE = 1000, CLI_NO_PACK, CLI_PRIVATE, CLI_LIMIT, CLI_PROMPT, CLI_PROMPT_NAME, CLI_NO_PROMPT };
#define CLI_LEVER_OPTIONS                                                                                                                  \
    {"optimize-level", required_argument, NULL, CLI_OPTIMIZE}, { "no-pack", no_argument, NULL, CLI_NO_PACK }
#define CLI_LEVER_HELP                                                                                                                     \
    "  --optimize-level L   0 the graph as it is, 1 simplified, 2 with fused operators (default 2)\n"                                      \
    "  --no-pack            compute the padding of batches too\n"

void cli_model_defaults(cli_model *m);
/* Takes one option of CLI_MODEL_OPTIONS or CLI_LEVER_OPTIONS. Returns 0; 2 with a message if its value is wrong; -1 if it is none of
 * them. */
int cli_model_option(cli_model *m, int option, const char *value);
/* Takes one option of CLI_PROMPT_OPTIONS; false if it is none of them. */
bool cli_prompt_option(cli_prompt *p, int option, const char *value);
/* Opens the model; on failure prints why and returns 2 (the path or an option is wrong) or 1. */
int cli_model_open(const cli_model *m, nib_model **out);
/* The same, and gives the runtime, of which the caller then owns a reference. */
int cli_model_open_in(const cli_model *m, nib_runtime **runtime, nib_model **out);

/* A whole number within bounds. */
bool cli_whole_number(const char *text, long long least, long long most, long long *out);
const char *cli_precision_name(nib_precision p);

/* Flushes standard output at a verb's end: the code, or 1 if it could not be written (silently if its reader has left). */
int cli_done(int code);
/* Seconds on a clock that never goes back. */
double cli_now(void);
/* Prints text as a JSON string, in quotes. */
void cli_json_string(const char *text);

/* Prints the graph of m->path, "text" or "dot", after passes of that level; returns the exit code. */
int cli_print_graph(const cli_model *m, const char *format, int level);

/* "nib: MESSAGE" on standard error, with node and byte offset; returns the exit code for the status. */
int cli_fail(const nib_error *error);
/* Usage error: message and a hint at --help; returns 2. */
int cli_usage(const cli_verb *verb, const char *format, ...);

#endif
