/* SPDX-License-Identifier: Apache-2.0
 *
 * nib inspect, nib explain, nib tokenize. In: a model. Out: what it is; how it runs; what a text becomes.
 */
#include "cli.h"
#include "cli_texts.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char inspect_help[] =
    "usage: nib inspect PATH [options]\n\n"
    "Prints what a model is: inputs, outputs, weights, tokenizer, pooling, and which file or part of the graph says so.\n\n" CLI_MODEL_HELP
    "  --verify             of a compiled file: reads all of it and compares every checksum first\n"
    "  --graph text|dot     prints the graph instead: ONNX's textual syntax, or a drawing for Graphviz\n"
    "  --optimize-level L   of --graph: after passes of that level (default 0)\n"
    "\nexamples:\n"
    "  nib inspect all-MiniLM-L6-v2\n"
    "  nib inspect model.onnx --graph dot | dot -Tsvg >model.svg\n"
    "  nib inspect model.onnx --output-name last_hidden_state\n";

static const char explain_help[] =
    "usage: nib explain PATH [options]\n\n"
    "Prints every step of the plan: its range, its share of the least time that a text of 128 tokens could take on this machine (measured\n"
    "first: 100 ms), the kernel that computes it, and why nothing faster was taken.\n\n" CLI_MODEL_HELP "\nexamples:\n"
    "  nib explain all-MiniLM-L6-v2\n"
    "  NIB_CPU=avx2 nib explain model.onnx\n";

static const char tokenize_help[] =
    "usage: nib tokenize --model PATH TEXT ...\n\n"
    "Prints each text's token ids as nib embed uses them: behind the model's prompt, and cut where it cuts; with the bytes of prompt and\n"
    "text that each stands for.\n\n" CLI_PROMPT_HELP CLI_MODEL_HELP "\nexample:\n"
    "  nib tokenize --model all-MiniLM-L6-v2 'a nib writes'\n";

typedef nib_status (*text_fn)(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *error);

static nib_status describe(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *error) {
    error->status = nib_model_describe(model, buffer, capacity, length);
    if (error->status != NIB_OK) snprintf(error->message, sizeof error->message, "%s", nib_status_text(error->status));
    return error->status;
}

static int print_text(nib_model *model, text_fn fn) {
    nib_error error = {.offset = -1};
    size_t length = 0;
    if (fn(model, NULL, 0, &length, &error) != NIB_OK) return cli_fail(&error);
    char *text = malloc(length + 1);
    if (!text) return fputs("nib: out of memory\n", stderr), 1;
    int code = fn(model, text, length + 1, &length, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (code == 0) fputs(text, stdout);
    code = cli_done(code);
    free(text);
    return code;
}

/* Parses the shared options; the first plain argument may be the model. `graph`, `verify` and `prompt` may be NULL: those options are
 * other verbs'. */
static int take_options(const cli_verb *verb, int argc, char **argv, cli_model *m, bool path_first, const char **graph, bool *verify,
                        cli_prompt *prompt) {
    static const struct option options[] = {CLI_MODEL_OPTIONS,
                                            CLI_PROMPT_OPTIONS,
                                            {"graph", required_argument, NULL, 'g'},
                                            {"verify", no_argument, NULL, 'v'},
                                            {"optimize-level", required_argument, NULL, CLI_OPTIMIZE},
                                            {NULL, 0, NULL, 0}};
    int c, code;
    cli_model_defaults(m);
    while ((c = getopt_long(argc, argv, "m:h", options, NULL)) != -1) {
        if (c == 'h') return fputs(verb->help, stdout), -1;
        if (c == '?') return 2;
        if (prompt && cli_prompt_option(prompt, c, optarg)) continue;
        if (c >= CLI_PROMPT) return cli_usage(verb, "prompts are for nib embed and nib tokenize");
        if (c == 'g' && graph) *graph = optarg;
        if (c == 'v' && verify) *verify = true;
        if ((c == 'g' && graph) || (c == 'v' && verify)) continue;
        if ((c == 'g' || c == 'v' || c == CLI_OPTIMIZE) && !graph)
            return cli_usage(verb, "--graph, --verify and --optimize-level are nib inspect's");
        if ((code = cli_model_option(m, c, optarg)) != 0) return code;
    }
    if (path_first && !m->path && optind < argc) m->path = argv[optind++];
    if (!m->path) return cli_usage(verb, "no model was named");
    if (path_first && optind < argc) return cli_usage(verb, "%s: one model at a time", argv[optind]);
    return 0;
}

static int run_text(const cli_verb *verb, int argc, char **argv, text_fn fn) {
    cli_model m;
    nib_model *model;
    const char *graph = NULL;
    bool verify = false, inspects = verb == &cli_inspect;
    nib_error error = {.offset = -1};
    int code = take_options(verb, argc, argv, &m, true, inspects ? &graph : NULL, inspects ? &verify : NULL, NULL);
    if (code) return code < 0 ? 0 : code;
    if (graph) return cli_print_graph(&m, graph, m.options.optimize < 0 ? 0 : m.options.optimize);
    if (verify && nib_compiled_verify(m.path, &error) != NIB_OK) return cli_fail(&error);
    double begun = cli_now();
    if ((code = cli_model_open(&m, &model)) != 0) return code;
    double opened = cli_now() - begun;
    code = print_text(model, fn);
    if (code == 0 && verb == &cli_inspect) printf("opened in     %.1f ms\n", 1e3 * opened);
    nib_model_free(model);
    return cli_done(code);
}

static int run_inspect(int argc, char **argv) { return run_text(&cli_inspect, argc, argv, describe); }
static int run_explain(int argc, char **argv) { return run_text(&cli_explain, argc, argv, nib_model_explain); }

static int print_tokens(nib_model *model, const char *text) {
    nib_error error;
    size_t count = 0, all = 0, length = strlen(text);
    int64_t most = nib_model_max_tokens(model);
    if (nib_tokenize(model, text, length, 0, NULL, NULL, NULL, 0, &all, &error) != NIB_OK) return cli_fail(&error);
    int32_t *ids = malloc((all + 1) * sizeof *ids);
    size_t *begins = malloc((all + 1) * sizeof *begins), *ends = malloc((all + 1) * sizeof *ends);
    int code = ids && begins && ends ? 0 : (fputs("nib: out of memory\n", stderr), 1);
    if (code == 0 && nib_tokenize(model, text, length, most, ids, begins, ends, all, &count, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; code == 0 && i < count; i++)
        printf("%7d %5zu-%-5zu %.*s\n", ids[i], begins[i], ends[i], (int)(ends[i] - begins[i]), text + begins[i]);
    if (code == 0 && count < all) printf("%zu tokens; %zu more were cut: the longest text has %lld\n", count, all - count, (long long)most);
    else if (code == 0) printf("%zu tokens\n", count);
    free(ids);
    free(begins);
    free(ends);
    return code;
}

static int run_tokenize(int argc, char **argv) {
    cli_model m;
    cli_prompt p = {NULL, NULL};
    nib_model *model;
    nib_error error;
    const char *prompt = "";
    int code = take_options(&cli_tokenize, argc, argv, &m, false, NULL, NULL, &p);
    if (code) return code < 0 ? 0 : code;
    if (optind == argc) return cli_usage(&cli_tokenize, "no text was given");
    if (p.text && p.name) return cli_usage(&cli_tokenize, "give --prompt or --prompt-name, not both");
    if ((code = cli_model_open(&m, &model)) != 0) return code;
    if (p.text) prompt = p.text;
    else if (nib_model_choose_prompt(model, p.name, &prompt, &error) != NIB_OK) code = cli_fail(&error);
    for (int i = optind; i < argc && code == 0; i++) {
        char *text = cli_texts_prompted(prompt, argv[i]);
        code = text ? print_tokens(model, text) : (fputs("nib: out of memory\n", stderr), 1);
        free(text);
    }
    nib_model_free(model);
    return cli_done(code);
}

const cli_verb cli_inspect = {"inspect", "what a model is", inspect_help, run_inspect};
const cli_verb cli_explain = {"explain", "how a model runs, step by step", explain_help, run_explain};
const cli_verb cli_tokenize = {"tokenize", "what a text becomes", tokenize_help, run_tokenize};
