/* SPDX-License-Identifier: Apache-2.0
 *
 * The command `nib`: a table of verbs over the public API. Exit codes: 0 done, 1 the work failed, 2 the command line or a
 * named file is wrong, 3 two models, or a model and what was expected of it, differ, 130 interrupted, 143 told to end.
 */
#ifndef CLI_H
#define CLI_H

#include "cli_options.h"

extern const cli_verb cli_embed, cli_run, cli_inspect, cli_explain, cli_tokenize, cli_bench, cli_profile, cli_tune;
extern const cli_verb cli_eval, cli_devices;
extern const cli_verb cli_search, cli_classify, cli_rank, cli_ner, cli_fill, cli_answer, cli_colbert, cli_pull, cli_models, cli_doctor;
extern const cli_verb cli_optimize, cli_simplify, cli_diff, cli_quantize, cli_compile, cli_export;

/* ---- a model (cli_model.c) */

/* 0 if there is something of that name, a file, a folder or a model of the cache; or else, with --pull, once it was fetched.
 * 2 after a message that says where it was looked for and what a model is. */
int cli_model_there(cli_args *args, const char *path);
/* Fetches ORG/NAME into the cache, with a bar a file: 0, or a code after a message (cli_pull.c). */
int cli_pull_model(cli_args *args, const char *name);
/* Opens the model; on failure prints why and returns 2 (the path or an option is wrong) or 1. */
int cli_model_open(const cli_model *m, nib_model **out);
/* The runtime that the options describe, made at the first call; main frees it. With m NULL, the
 * one there is, or NULL. NULL with a message and *code set on failure. */
nib_runtime *cli_runtime(const cli_model *m, int *code);
void cli_runtime_free(void);
/* Sets what --profile says and the command line does not: the model, its precision, dimensions, type and prompts. 0, or 2
 * after a message (cli_recipe.c). */
int cli_recipe_apply(cli_args *args);
/* Says what a verb without a model would take, and how to fetch it. */
void cli_recipe_hint(const cli_args *args);
/* One of the ways to say which prompt, or none, or 2 after a message. */
int cli_choose_prompt(cli_args *args);

/* Where texts come from: *input, which is NULL if they were given; 2 after a message: both, or nothing (cli_process.c). */
int cli_choose_input(cli_args *args, const char **input);

/* nib classify with labels of the command line's (cli_zero_shot.c). */
int cli_zero_shot(cli_args *a, const char *input);
/* The parts of all items of a list, which commas divide, without the spaces around them but for `spaces`; empty ones only
 * with that. *parts [*n] is to be freed, then *bytes. 0, or a code. */
int cli_parts(const cli_list *list, bool spaces, const char ***parts, size_t *n, char **bytes);

/* Prints a report, or writes it as JSON to `path` (-: standard output, in place of the text; NULL: nowhere), and frees it; returns the
 * exit code for `status`. */
int cli_finish_report(const char *path, nib_status status, const nib_error *error, nib_report *report);

/* Prints the graph of m->path, "text" or "dot", after passes of that level; returns the exit code. */
int cli_print_graph(const cli_model *m, nib_graph_format format, int level);

/* ---- the process (cli_process.c) */

/* Descriptors 0 to 2 are open from here on, so that no file of ours takes their place. */
void cli_start(void);
/* Flushes standard output at the very end: the code, or 1 if not all of it could be written (silently if its reader has left). */
int cli_done(int code);
/* From here on Ctrl-C and SIGTERM are noted: the number of the signal is in cli_signal. `once`: a second one ends the process. */
void cli_catch(bool once);
extern volatile sig_atomic_t cli_signal;
/* For nib's options: calls end once a signal was noted. */
int cli_stop(void *user, uint64_t done, uint64_t total);
/* Standard input is a pipe, a socket or a file: something that texts can come from when none are named. */
bool cli_stdin_waits(void);
/* Seconds on a clock that never goes back. */
double cli_now(void);
/* Characters in a line of the terminal that standard error is; 0: it is none. */
int cli_terminal_width(void);
/* Whether warnings and progress are wanted (--quiet). */
extern bool cli_quiet;

/* Prints a text of somebody else's, whose control characters are no business of the terminal: a '?' each. */
void cli_plain(const char *text, size_t length);
/* "nib: MESSAGE" on standard error, with node and byte offset; returns the exit code for the status. */
int cli_fail(const nib_error *error);
/* "nib: out of memory"; returns 1. */
int cli_no_memory(void);
/* Usage error: message and a hint at --help; returns 2. */
int cli_usage(const cli_verb *verb, const char *format, ...);

#endif
