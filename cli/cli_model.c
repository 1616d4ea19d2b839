/* SPDX-License-Identifier: Apache-2.0
 *
 * The options that verbs with a model share, as tables. In: what they were set to. Out: a runtime, an open model, or a message.
 */
#include "cli.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What this build computes in: neither more nor less than is accepted here. */
static const cli_names precisions = {
    (const char *const[]){NIB_PRECISION_MAP(CLI_NAME_TEXT)},
    (const int[]){NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8, NIB_PRECISION_Q4,
                  NIB_PRECISION_MIXED, NIB_PRECISION_AUTO, -1}};
static const cli_names tasks = {(const char *const[]){NIB_TASK_MAP(CLI_NAME_TEXT)},
                                (const int[]){NIB_TASK_EMBED, NIB_TASK_TOKENS, NIB_TASK_CLASSIFY, NIB_TASK_TAG, NIB_TASK_COLBERT,
                                            NIB_TASK_SPARSE, NIB_TASK_HYBRID, NIB_TASK_FILL, NIB_TASK_ANSWER, -1}};
static const cli_names poolings = {
    (const char *const[]){NIB_POOLING_MAP(CLI_NAME_TEXT)},
    (const int[]){NIB_POOLING_MEAN, NIB_POOLING_CLS, NIB_POOLING_MAX, NIB_POOLING_LAST, NIB_POOLING_MEAN_SQRT_LEN,
                  NIB_POOLING_WEIGHTED_MEAN, NIB_POOLING_NONE, -1}};
static const cli_names yes_no = {(const char *const[]){"no", "yes"}, (const int[]){1, 0, -1}};

const cli_option cli_model_option[] = {
    {"model", 'm', CLI_TEXT, CLI_AT(m.path), "PATH",
     "folder as on Hugging Face, .onnx file, .nib file, or ORG/NAME[@REVISION][:FILE] of the cache; the first argument if this is not "
     "given", 0, 0, NULL},
    {"pull", 0, CLI_FLAG, CLI_AT(pull), NULL, "ORG/NAME that is not in the cache is fetched first, as nib pull does", 1, 0, NULL},
    {0},
};
const cli_option cli_length_options[] = {
    {"max-tokens", 0, CLI_WHOLE, CLI_AT(m.options.max_tokens), "N", "longest text; longer ones are cut (default: what the model says)", 1,
     1 << 30, NULL},
    {"route", 0, CLI_TEXT, CLI_AT(m.options.route), "TASK",
     "of a model with a Router: the task that texts are embedded for, query or document (default: the model's own)", 0, 0, NULL},
    {0},
};
const cli_option cli_task_option[] = {
    {"task", 0, CLI_NAME, CLI_AT(m.options.task), "T",
     "%s (default: what the folder or the outputs say)", 0, 0, &tasks},
    {0},
};
const cli_option cli_engine_options[] = {
    {"precision", 0, CLI_NAME, CLI_AT(m.options.precision), "P",
     "%s (default: the file's own; a named one is obeyed or refused)", 0, 0, &precisions},
    {"min-cosine", 0, CLI_REAL, CLI_AT(m.options.min_cosine), "X",
     "mean cosine to f32 that vectors must have, of sentences of nib's own: layers get more bits until they do, or it is not opened "
     "(default: of mixed 0.998)", 0, 1, NULL},
    {"device", 0, CLI_TEXT, CLI_AT(m.options.device), "D", "cpu, or plug-ins in front of it: NAME|PATH.so[:ARGUMENT],cpu (doc/devices.md)", 0, 0, NULL},
    {"output-name", 0, CLI_TEXT, CLI_AT(m.options.output_name), "NAME",
     "graph output to use (default: nib inspect says which and why)", 0, 0, NULL},
    {0},
};
const cli_option cli_vector_options[] = {
    {"pooling", 0, CLI_NAME, CLI_AT(m.options.pooling), "P", "%s (default: the model's)", 0, 0, &poolings},
    {"normalize", 0, CLI_NAME, CLI_AT(m.options.normalize), "yes|no",
     "vectors of length 1 (default: what the model says)", 0, 0, &yes_no},
    {0},
};
const cli_option cli_group_option[] = {
    {"batch-tokens", 0, CLI_WHOLE, CLI_AT(m.options.batch_tokens), "N", "tokens a thread works on at a time (default: what fits the cache)",
     1, 1 << 30, NULL},
    {0},
};
const cli_option cli_thread_option[] = {
    {"threads", 0, CLI_INT, CLI_AT(m.runtime.threads), "N", "threads that compute (default: NIB_NUM_THREADS, else all CPUs we may use)", 1,
     1024, NULL},
    {0},
};
const cli_option cli_prompt_options[] = {
    {"prompt-name", 0, CLI_TEXT, CLI_AT(prompt_name), "NAME",
     "puts that prompt of the model's before each text (default: the model's own default, if it has one); '' is none", 0, 0, NULL},
    {"prompt", 0, CLI_TEXT, CLI_AT(prompt), "TEXT", "puts TEXT before each text, as it is; --prefix is the same", 0, 0, NULL},
    {"prefix", 0, CLI_TEXT, CLI_AT(prompt), "TEXT", NULL, 0, 0, NULL},
    {"no-prompt", 0, CLI_FLAG, CLI_AT(no_prompt), NULL, "puts nothing before the texts", 1, 0, NULL},
    {0},
};
const cli_option cli_level_option[] = {
    {"optimize-level", 0, CLI_INT, CLI_AT(m.options.optimize), "L",
     "0 the graph as it is, 1 simplified, 2 with fused operators (default 2)", 0, 2, NULL},
    {0},
};
const cli_option cli_pack_option[] = {
    {"no-pack", 0, CLI_FLAG, CLI_AT(m.options.pack), NULL, "compute the padding of batches too", 0, 0, NULL},
    {0},
};
const cli_option cli_safety_options[] = {
    {"memory", 0, CLI_SIZE, CLI_AT(m.runtime.memory_limit), "SIZE",
     "ceiling, such as 500M or 2G; mapped files do not count (default: what the machine or the container has)", 1, 0, NULL},
    {"private-reads", 0, CLI_FLAG, CLI_AT(m.runtime.private_reads), NULL,
     "read files instead of mapping them: they may be cut off meanwhile", 1, 0, NULL},
    {"limit", 0, CLI_LIST, CLI_AT(limits), "NAME=N",
     "graph-depth, wire-nesting, json-depth, files, fold-bytes, expand-bytes: SECURITY.md says of what", 0, 0, NULL},
    {"quiet", 0, CLI_FLAG, CLI_AT(quiet), NULL, "no warnings and no progress on standard error; errors stay", 1, 0, NULL},
    {"help", 'h', CLI_FLAG, CLI_AT(help), NULL, "this text", 1, 0, NULL},
    {0},
};

const cli_option cli_common_options[] = {
    {"memory", 0, CLI_SIZE, CLI_AT(m.runtime.memory_limit), "SIZE", "ceiling, such as 500M or 2G", 1, 0, NULL},
    {"quiet", 0, CLI_FLAG, CLI_AT(quiet), NULL, "no warnings and no progress on standard error; errors stay", 1, 0, NULL},
    {"help", 'h', CLI_FLAG, CLI_AT(help), NULL, "this text", 1, 0, NULL},
    {0},
};

int cli_choose_prompt(cli_args *a) {
    if ((a->prompt != NULL) + (a->prompt_name != NULL) + (a->no_prompt != 0) > 1)
        return cli_usage(a->verb, "give one of --prompt, --prompt-name and --no-prompt, not both");
    if (a->no_prompt) a->prompt_name = "";
    return 0;
}

/* ---- the runtime: one for the process, so that whoever reports a failure can ask it about memory */

static nib_runtime *runtime;

/* The same warning is said once, however many runtimes and models a verb makes. */
static void log_line(void *user, nib_log_level level, const char *message) {
    static char last[512];
    if (level > NIB_LOG_INFO || cli_quiet || strcmp(last, message) == 0) return;
    snprintf(last, sizeof last, "%s", message);
    fprintf(stderr, "nib: %s\n", message);
}

nib_runtime *cli_runtime(const cli_model *m, int *code) {
    nib_error error;
    *code = 0;
    if (runtime || !m) return runtime;
    nib_runtime_options o = m->runtime;
    o.log = log_line;
    if (nib_runtime_create(&o, &runtime, &error) != NIB_OK) *code = cli_fail(&error);
    return runtime;
}

void cli_runtime_free(void) {
    nib_runtime_free(runtime);
    runtime = NULL;
}

/* ---- the model */

int cli_model_there(cli_args *a, const char *path) {
    char folder[4096];
    nib_error error;
    if (nib_hub_find(path, NULL, 0, NULL, &error) == NIB_OK) return 0;
    const int e = access(path, F_OK) == 0 ? 0 : errno;
    if (error.status == NIB_NOT_FOUND) return a->pull ? cli_pull_model(a, path) : cli_fail(&error);
    if (error.status != NIB_INVALID_ARGUMENT) return cli_fail(&error);
    const char *why = e == ENOENT ? "No such file or folder" : strerror(e);
    bool absolute = path[0] == '/' || !getcwd(folder, sizeof folder);
    fprintf(stderr,
            "nib: %s: %s%s%s; a model is an .onnx or .nib file, or a folder with config.json and model.safetensors, with model.onnx or "
            "with onnx/model.onnx, or ORG/NAME, which nib pull fetches\n",
            path, why, absolute ? "" : " in ", absolute ? "" : folder);
    return 2;
}

int cli_model_open(const cli_model *m, nib_model **out) {
    nib_error error;
    nib_model_options options = m->options;
    int code;
    *out = NULL;
    options.runtime = cli_runtime(m, &code);
    if (code) return code;
    return nib_model_open(m->path, &options, out, &error) == NIB_OK ? 0 : cli_fail(&error);
}
