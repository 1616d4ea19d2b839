/* SPDX-License-Identifier: Apache-2.0
 *
 * nib inspect, nib explain. In: a model. Out: what it is; how it runs; as lines for a person or as one JSON object.
 */
#include "cli.h"
#include "cli_json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_names formats = {(const char *const[]){[NIB_GRAPH_TEXT] = "text", [NIB_GRAPH_DOT] = "dot"},
                                  (const int[]){NIB_GRAPH_TEXT, NIB_GRAPH_DOT, -1}};

static const cli_option inspect_options[] = {
    {"check", 0, CLI_FLAG, CLI_AT(small_files), NULL,
     "of a folder: only whether it would open, from config.json and the other small files; weights need not be there", 1, 0, NULL},
    {"verify", 0, CLI_FLAG, CLI_AT(verify), NULL, "of a compiled file: reads all of it and compares every checksum first", 1, 0, NULL},
    {"graph", 0, CLI_NAME, CLI_AT(graph), "text|dot", "prints the graph instead: ONNX's textual syntax, or a drawing for Graphviz", 0, 0,
     &formats},
    {"optimize-level", 0, CLI_INT, CLI_AT(m.options.optimize), "L", "of --graph: after passes of that level (default 0)", 0, 2, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};
static const cli_option explain_options[] = {
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

typedef nib_status (*text_fn)(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *error);

static nib_status describe(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *error) {
    error->status = nib_model_describe(model, buffer, capacity, length);
    if (error->status != NIB_OK) snprintf(error->message, sizeof error->message, "%s", nib_status_text(error->status));
    return error->status;
}

/* What the library says of a model; NULL with *code set. */
static char *text_of(nib_model *model, text_fn fn, int *code) {
    nib_error error = {.offset = -1};
    size_t length = 0;
    char *text = NULL;
    *code = fn(model, NULL, 0, &length, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (*code == 0 && !(text = malloc(length + 1))) *code = cli_no_memory();
    if (*code == 0 && fn(model, text, length + 1, &length, &error) != NIB_OK) *code = cli_fail(&error);
    if (*code == 0) return text;
    free(text);
    return NULL;
}

/* ---- JSON */

#define LABEL 14 /* characters in front of what a line of nib inspect says; blank where it goes on with the last label */

/* "longest text  256 tokens" becomes "longest_text": ["256 tokens"]. */
static void json_facts(cli_json *j, char *text) {
    bool open = false;
    cli_json_open(j, "facts", '{');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char label[LABEL + 1];
        if (strlen(line) <= LABEL) continue;
        memcpy(label, line, LABEL);
        int n = LABEL;
        while (n && label[n - 1] == ' ') n--;
        label[n] = 0;
        for (char *p = label; *p; p++)
            if (*p == ' ') *p = '_';
        if (n && open) cli_json_close(j);
        if (n || !open) cli_json_open(j, n ? label : "other", '['), open = true;
        cli_json_text(j, NULL, line + LABEL);
    }
    if (open) cli_json_close(j);
    cli_json_close(j);
}

static void json_inspect(const cli_model *m, nib_model *model, char *text, double opened) {
    cli_json j = {0};
    const char *name, *prompt;
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "model", m->path);
    const nib_task task = nib_model_task(model);
    cli_json_text(&j, "task", nib_task_name(task));
    cli_json_whole(&j, "embedding", task == NIB_TASK_EMBED ? nib_model_dim(model) : 0);
    cli_json_whole(&j, "max_tokens", nib_model_max_tokens(model));
    cli_json_real(&j, "opened_ms", 1e3 * opened);
    cli_json_open(&j, "prompts", '{');
    for (size_t i = 0; nib_model_prompt(model, i, &name, &prompt) == NIB_OK; i++) cli_json_text(&j, name, prompt);
    cli_json_close(&j);
    json_facts(&j, text);
    cli_json_close(&j);
}

static int json_explain(const cli_model *m, nib_model *model, char *text) {
    cli_json j = {0};
    nib_error error;
    nib_profile *profile;
    nib_profile_step s;
    if (nib_profile_create(model, &profile, &error) != NIB_OK) return cli_fail(&error);
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "model", m->path);
    cli_json_open(&j, "steps", '[');
    for (size_t i = 0; nib_profile_step_get(profile, i, NULL, 0, &s, sizeof s) == NIB_OK; i++) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "operator", s.op);
        cli_json_text(&j, "output", s.name);
        cli_json_text(&j, "kernel", s.kernel);
        cli_json_text(&j, "kind", s.kind);
        cli_json_close(&j);
    }
    cli_json_close(&j);
    cli_json_open(&j, "lines", '[');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) cli_json_text(&j, NULL, line);
    cli_json_close(&j);
    cli_json_close(&j);
    nib_profile_free(profile);
    return 0;
}

/* ---- the verbs */

/* What is said of how a model is to run has no effect where none is opened. */
static int check_alone(const cli_args *a) {
    static const char *const may[] = {"check", "json", "model", "quiet"};
    for (size_t i = 0; i < a->n_given; i++) {
        size_t k = 0;
        while (k < sizeof may / sizeof *may && strcmp(a->given[i].option->name, may[k]) != 0) k++;
        if (k == sizeof may / sizeof *may)
            return cli_usage(a->verb, "--check looks at small files alone: --%s has no effect on that", a->given[i].option->name);
    }
    return 0;
}

/* Whether a folder would open. */
static int run_check(const cli_args *a) {
    static char text[1 << 14];
    nib_error error = {.offset = -1};
    size_t length;
    if (nib_check(a->m.path, NULL, text, sizeof text, &length, &error) != NIB_OK) return cli_fail(&error);
    if (!a->json) {
        fputs(text, stdout);
        return 0;
    }
    cli_json j = {0};
    cli_json_open(&j, NULL, '{');
    cli_json_text(&j, "model", a->m.path);
    json_facts(&j, text);
    cli_json_close(&j);
    puts("");
    return 0;
}

static int run_inspect(cli_args *a) {
    nib_model *model;
    nib_error error = {.offset = -1};
    int code;
    if (a->small_files) return (code = check_alone(a)) ? code : run_check(a);
    if (a->graph >= 0 && (a->json || a->verify))
        return cli_usage(a->verb, "--graph prints the graph alone: no --json or --verify beside it");
    if (a->graph < 0 && a->m.options.optimize >= 0) return cli_usage(a->verb, "--optimize-level is of --graph, which is not given");
    if (a->graph >= 0) return cli_print_graph(&a->m, (nib_graph_format)a->graph, a->m.options.optimize < 0 ? 0 : a->m.options.optimize);
    if (a->verify && nib_compiled_verify(a->m.path, &error) != NIB_OK) return cli_fail(&error);
    double begun = cli_now();
    if ((code = cli_model_open(&a->m, &model)) != 0) return code;
    double opened = cli_now() - begun;
    char *text = text_of(model, describe, &code);
    if (text && a->json) json_inspect(&a->m, model, text, opened);
    else if (text) printf("%sopened in     %.1f ms\n", text, 1e3 * opened);
    free(text);
    nib_model_free(model);
    return code;
}

static int run_explain(cli_args *a) {
    nib_model *model;
    int code;
    if ((code = cli_model_open(&a->m, &model)) != 0) return code;
    char *text = text_of(model, nib_model_explain, &code);
    if (text && a->json) code = json_explain(&a->m, model, text);
    else if (text) fputs(text, stdout);
    free(text);
    nib_model_free(model);
    return code;
}

static const cli_option *const of_inspect[] = {cli_model_option,   inspect_options,    cli_task_option,
                                               cli_length_options, cli_engine_options, cli_vector_options,
                                               cli_thread_option,  cli_safety_options, NULL};
static const cli_option *const of_explain[] = {cli_model_option,   explain_options,    cli_task_option,
                                               cli_length_options, cli_engine_options, cli_vector_options,
                                               cli_thread_option,  cli_safety_options, NULL};

const cli_verb cli_inspect = {
    .name = "inspect",
    .line = "what a model is",
    .usage = "PATH [options]",
    .about = "Prints what a model is: inputs, outputs, weights, tokenizer, pooling, and which file or part of the "
             "graph says so.\n",
    .options = of_inspect,
    .examples = "  nib inspect models/all-MiniLM-L6-v2\n"
                "  nib inspect model.onnx --graph dot | dot -Tsvg >model.svg\n"
                "  nib inspect model.onnx --output-name last_hidden_state\n",
    .after = "The JSON object is {\"model\": path, \"task\": name, \"embedding\": numbers of a text's vector, "
             "\"max_tokens\": n,\n"
             "\"opened_ms\": x, \"prompts\": {name: text}, \"facts\": {label: [line, ...]}}: facts has the lines under "
             "their labels, a blank as _.\n",
    .run = run_inspect,
};

const cli_verb cli_explain = {
    .name = "explain",
    .line = "how a model runs, step by step",
    .usage = "PATH [options]",
    .about = "Prints every step of the plan: its range, its share of the least time that a text of 128 tokens could take on this machine "
             "(measured\n"
             "first: 100 ms), the kernel that computes it, and why nothing faster was taken.\n",
    .options = of_explain,
    .examples = "  nib explain models/all-MiniLM-L6-v2\n"
                "  NIB_CPU=avx2 nib explain model.onnx\n",
    .after = "The JSON object is {\"model\": path, \"steps\": [{\"operator\": .., \"output\": .., \"kernel\": .., \"kind\": ..}, ..],\n"
             "\"lines\": [line, ...]}: lines are those that are printed without --json.\n",
    .run = run_explain,
};
