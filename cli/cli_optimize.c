/* SPDX-License-Identifier: Apache-2.0
 *
 * nib optimize, nib simplify, nib diff, and nib inspect --graph. In: model files or folders. Out: a smaller one, what was done,
 * what differs, a drawing.
 */
#include "cli.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST 64

typedef struct args {
    nib_optimize_options o;
    cli_model m; /* what the files may cost, threads */
    const char *shapes[MAX_LIST], *disabled[MAX_LIST];
    const char *in, *out, *report;
} args;

enum { TARGET = 256, SHAPE, DISABLE, REPORT, OPSET, NO_CHECK, TOLERANCE, EXTERNAL, LEVEL, KEEP_RANDOM };

static const struct option options[] = {{"output", required_argument, NULL, 'o'},
                                        {"target", required_argument, NULL, TARGET},
                                        {"shape", required_argument, NULL, SHAPE},
                                        {"disable", required_argument, NULL, DISABLE},
                                        {"report", required_argument, NULL, REPORT},
                                        {"opset", required_argument, NULL, OPSET},
                                        {"no-check", no_argument, NULL, NO_CHECK},
                                        {"keep-random", no_argument, NULL, KEEP_RANDOM},
                                        {"tolerance", required_argument, NULL, TOLERANCE},
                                        {"external-over", required_argument, NULL, EXTERNAL},
                                        {"threads", required_argument, NULL, 't'},
                                        {"memory", required_argument, NULL, 'M'},
                                        {"level", required_argument, NULL, LEVEL},
                                        {"help", no_argument, NULL, 'h'},
                                        CLI_SAFETY_OPTIONS,
                                        {NULL, 0, NULL, 0}};

#define COMMON_HELP                                                                                                                        \
    "  --shape NAME=AxBxC   the shape of an input; a size that is no number stays as it is (--shape input_ids=1xseq)\n"                    \
    "  --disable PASS       leaves a pass out; may be given several times\n"                                                               \
    "  --opset N            of ai.onnx in the written file (default: the model's)\n"                                                       \
    "  --report FILE.json   what was done: operators before and after, what matched and what did not, the comparison, costs\n"             \
    "  --keep-random        Dropouts that are set to training stay so (default: they are off, and gone; the report names each)\n"          \
    "  --no-check           writes without running both graphs on random inputs first\n"                                                   \
    "  --tolerance X        largest difference relative to an output's largest number (1e-5; with -O2 1e-4, -O3 1e-2, -O4 3e-2)\n"         \
    "  --external-over SIZE weights go to OUT.data if the model's own file would be longer (default: 2 GiB - 1; 0: always)\n"              \
    "  --threads N          threads that compute\n" CLI_SAFETY_HELP

static const char optimize_help[] =
    "usage: nib optimize IN -o OUT [-O0 ... -O4] [options]\n\n"
    "Writes a model with fewer and larger operators. IN is an .onnx file or a folder as on Hugging Face; OUT is an .onnx file, or, for a\n"
    "folder, a folder: model.onnx, the tokenizer and settings, nib.json. Both graphs are run on random inputs, and OUT is written only\n"
    "if they agree (exit 3 if not). Optimizing OUT again changes no byte. A folder with model.safetensors is refused as OUT: it would be\n"
    "opened by that.\n\n"
    "  -o, --output OUT     where to write it\n"
    "  -O0                  as it is\n"
    "  -O1                  simplified: standard operators only (the default)\n"
    "  -O2                  and fused: norms, GELU, attention\n"
    "  -O3                  and GELU by its approximation with tanh\n"
    "  -O4                  and weights and values in float16, but for what would leave its range or lose digits there: the report names\n"
    "                       each; the file's inputs and outputs keep their types. Exit 3 where nothing of that is the reason, and less\n"
    "                       than 90 % of the Linear layers' weights become float16\n"
    "  --target T           what -O2 may write: standard (ai.onnx only; the default), or onnxruntime (com.microsoft, too)\n" COMMON_HELP
    "\nexamples:\n"
    "  nib optimize model.onnx -o small.onnx\n"
    "  nib optimize all-MiniLM-L6-v2 -o minilm-onnx -O2 --target onnxruntime\n"
    "  nib optimize model.onnx -o fixed.onnx --shape input_ids=1x128 --shape attention_mask=1x128\n";

static const char simplify_help[] = "usage: nib simplify IN OUT [options]\n\n"
                                    "nib optimize -O1, as onnxsim is called.\n\n" COMMON_HELP "\nexample:\n"
                                    "  nib simplify model.onnx model.simple.onnx\n";

static const char diff_help[] =
    "usage: nib diff A B [options]\n\n"
    "Compares two models: counts of operators, inputs, outputs and constants, and their outputs on the same random inputs.\n"
    "Exit 3 if the outputs differ.\n\n"
    "  --no-check           does not run them\n"
    "  --tolerance X        largest difference relative to an output's largest number (default 1e-5)\n"
    "  --shape NAME=AxBxC   the shape of an input of both\n"
    "  --report FILE.json   the same for programs\n"
    "  --threads N          threads that compute\n" CLI_SAFETY_HELP "\nexample:\n"
    "  nib diff model.onnx small.onnx\n";

/* "500M", "2G", "0". */
static bool read_size(const char *text, int64_t *out) {
    char *end;
    double value = strtod(text, &end);
    const char *units = "KMGT", *unit = *end ? strchr(units, *end & ~32) : NULL;
    for (long i = 0; unit && i <= unit - units; i++) value *= 1024;
    if (end == text || (*end && (!unit || end[1])) || value < 0 || value > 9e18) return false;
    *out = (int64_t)value;
    return true;
}

static int add(const cli_verb *verb, const char **list, size_t *count, const char *item) {
    if (*count == MAX_LIST) return cli_usage(verb, "%s: at most %d of them", item, MAX_LIST);
    list[(*count)++] = item;
    return 0;
}

static int take(const cli_verb *verb, args *a, int c, const char *value) {
    long long n;
    char *end;
    switch (c) {
    case 'o': a->out = value; return 0;
    case 'O':
    case LEVEL:
        if (!cli_whole_number(value, 0, 4, &n)) return cli_usage(verb, "-O%s: the level is 0 to 4", value);
        a->o.level = (int)n;
        return 0;
    case TARGET:
        if (strcmp(value, "standard") == 0) a->o.target = NIB_TARGET_STANDARD;
        else if (strcmp(value, "onnxruntime") == 0) a->o.target = NIB_TARGET_ONNXRUNTIME;
        else return cli_usage(verb, "target %s: it is standard or onnxruntime", value);
        return 0;
    case SHAPE: return add(verb, a->shapes, &a->o.shape_count, value);
    case DISABLE: return add(verb, a->disabled, &a->o.disabled_count, value);
    case REPORT: a->report = value; return 0;
    case OPSET:
        if (!cli_whole_number(value, 7, 28, &n)) return cli_usage(verb, "opset %s: it is 7 to 28", value);
        a->o.opset = (int)n;
        return 0;
    case NO_CHECK: a->o.check = 0; return 0;
    case KEEP_RANDOM: a->o.keep_random = 1; return 0;
    case TOLERANCE:
        a->o.tolerance = strtod(value, &end);
        if (*end || end == value || !(a->o.tolerance > 0)) return cli_usage(verb, "tolerance %s: it is a number above 0", value);
        return 0;
    case EXTERNAL:
        if (!read_size(value, &a->o.external_over)) return cli_usage(verb, "external-over %s: it is a size such as 500M", value);
        return 0;
    default: return cli_model_option(&a->m, c, value);
    }
}

/* Options and `plain` plain arguments; 0, or the exit code; -1: help was printed. */
static int parse(const cli_verb *verb, int argc, char **argv, args *a, int plain) {
    int c, code;
    const char *names[2] = {NULL, NULL};
    *a = (args){0};
    nib_optimize_defaults(&a->o);
    cli_model_defaults(&a->m);
    while ((c = getopt_long(argc, argv, "o:O:h", options, NULL)) != -1) {
        if (c == 'h') return fputs(verb->help, stdout), -1;
        if (c == '?') return 2;
        if ((code = take(verb, a, c, optarg)) != 0) return code;
    }
    for (int i = 0; optind < argc; i++, optind++) {
        if (i >= plain) return cli_usage(verb, "%s: one argument too many", argv[optind]);
        names[i] = argv[optind];
    }
    a->in = names[0];
    if (names[1]) a->out = names[1];
    a->o.shapes = a->shapes;
    a->o.disabled = a->disabled;
    return 0;
}

static int write_report(const char *path, const nib_report *report) {
    nib_error error = {.offset = -1};
    nib_file *file = NULL;
    const char *json = nib_report_json(report);
    if (nib_file_create(path, &file, &error) != NIB_OK) return cli_fail(&error);
    if (nib_file_write(file, json, strlen(json), &error) != NIB_OK) return nib_file_abort(file), cli_fail(&error);
    return nib_file_commit(file, &error) == NIB_OK ? 0 : cli_fail(&error);
}

static int finish(const args *a, nib_status status, const nib_error *error, nib_report *report) {
    int code = 0;
    if (report) {
        fputs(nib_report_text(report), stdout);
        if (a->report) code = write_report(a->report, report);
    }
    if (status != NIB_OK) code = cli_fail(error);
    if (status == NIB_DIFFERENT) code = 3;
    nib_report_free(report);
    return cli_done(code);
}

static int optimize(args *a) {
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    nib_status status = nib_runtime_create(&a->m.runtime, &a->o.runtime, &error);
    if (status == NIB_OK) status = nib_optimize_file(a->in, a->out, &a->o, &report, &error);
    nib_runtime_free(a->o.runtime);
    return finish(a, status, &error, report);
}

static int run_optimize(int argc, char **argv) {
    args a;
    int code = parse(&cli_optimize, argc, argv, &a, 1);
    if (code) return code < 0 ? 0 : code;
    if (!a.in) return cli_usage(&cli_optimize, "no model was named");
    if (!a.out) return cli_usage(&cli_optimize, "-o is missing: where to write it");
    return optimize(&a);
}

static int run_simplify(int argc, char **argv) {
    args a;
    int code = parse(&cli_simplify, argc, argv, &a, 2);
    if (code) return code < 0 ? 0 : code;
    if (!a.in || !a.out) return cli_usage(&cli_simplify, "a model and where to write it must be named");
    a.o.level = 1;
    return optimize(&a);
}

static int run_diff(int argc, char **argv) {
    args a;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    int code = parse(&cli_diff, argc, argv, &a, 2);
    if (code) return code < 0 ? 0 : code;
    if (!a.in || !a.out) return cli_usage(&cli_diff, "two models must be named");
    nib_status status = nib_runtime_create(&a.m.runtime, &a.o.runtime, &error);
    if (status == NIB_OK) status = nib_diff_files(a.in, a.out, &a.o, &report, &error);
    nib_runtime_free(a.o.runtime);
    return finish(&a, status, &error, report);
}

int cli_print_graph(const cli_model *m, const char *format, int level) {
    nib_optimize_options o;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    nib_graph_format f = strcmp(format, "dot") == 0 ? NIB_GRAPH_DOT : NIB_GRAPH_TEXT;
    if (f == NIB_GRAPH_TEXT && strcmp(format, "text") != 0) return cli_usage(&cli_inspect, "graph %s: it is text or dot", format);
    nib_optimize_defaults(&o);
    o.level = level;
    nib_status status = nib_runtime_create(&m->runtime, &o.runtime, &error);
    if (status == NIB_OK) status = nib_graph_of_file(m->path, &o, f, &report, &error);
    nib_runtime_free(o.runtime);
    return finish(&(args){0}, status, &error, report);
}

const cli_verb cli_optimize = {"optimize", "write a model with fewer, larger operators", optimize_help, run_optimize};
const cli_verb cli_simplify = {"simplify", "optimize -O1, as onnxsim is called", simplify_help, run_simplify};
const cli_verb cli_diff = {"diff", "what two models have and compute differently", diff_help, run_diff};
