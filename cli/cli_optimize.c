/* SPDX-License-Identifier: Apache-2.0
 *
 * nib optimize, nib simplify, nib diff, and nib inspect --graph. In: model files or folders. Out: a smaller one, what was done,
 * what differs, a drawing.
 */
#include "cli.h"
#include <stdio.h>
#include <string.h>

static const cli_names targets = {(const char *const[]){NIB_TARGET_MAP(CLI_NAME_TEXT)},
                                  (const int[]){NIB_TARGET_STANDARD, NIB_TARGET_ONNXRUNTIME, -1}};

static const cli_option where_options[] = {
    {"output", 'o', CLI_FILE, CLI_AT(output), "OUT", "where to write it", 0, 0, NULL},
    {0},
};
static const cli_option level_options[] = {
    {"level", 'O', CLI_INT, CLI_AT(level), "L",
     "-O0 as it is\n"
     "-O1 simplified: standard operators only (the default)\n"
     "-O2 and fused: norms, GELU, attention\n"
     "-O3 and GELU by its approximation with tanh\n"
     "-O4 and weights and values in float16, but for what would leave its range or lose digits there: the report "
     "names\n"
     "each; the file's inputs and outputs keep their types. Exit 3 where nothing of that is the reason, and less\n"
     "than 90 % of the Linear layers' weights become float16",
     0, 4, NULL},
    {"target", 0, CLI_NAME, CLI_AT(target), "T",
     "what -O2 may write: %s (ai.onnx alone, which is the default, or com.microsoft, too)", 0, 0,
     &targets},
    {0},
};
static const cli_option writing_options[] = {
    {"disable", 0, CLI_LIST, CLI_AT(disabled), "PASS", "leaves a pass out; may be given several times", 0, 0, NULL},
    {"opset", 0, CLI_INT, CLI_AT(opset), "N", "of ai.onnx in the written file (default: the model's)", 7, 28, NULL},
    {"keep-random", 0, CLI_FLAG, CLI_AT(keep_random), NULL,
     "Dropouts that are set to training stay so (default: they are off, and gone; the report names each)", 1, 0, NULL},
    {"external-over", 0, CLI_SIZE, CLI_AT(external_over), "SIZE",
     "weights go to OUT.data if the model's own file would be longer (default: 2 GiB - 1; 0: always)", 0, 0, NULL},
    {0},
};
static const cli_option checking_options[] = {
    {"shape", 0, CLI_LIST, CLI_AT(shapes), "NAME=AxBxC",
     "the shape of an input; a size that is no number stays as it is (--shape input_ids=1xseq)", 0, 0, NULL},
    {"report", 0, CLI_TEXT, CLI_AT(report), "FILE|-",
     "JSON of what was done: operators before and after, what matched and what did not, the comparison, costs;\n"
     "- is standard output, in place of the text",
     0, 0, NULL},
    {"no-check", 0, CLI_FLAG, CLI_AT(check), NULL, "without running both graphs on random inputs first", 0, 0, NULL},
    {"tolerance", 0, CLI_REAL, CLI_AT(tolerance), "X",
     "largest difference relative to an output's largest number (1e-5; with -O2 1e-4, -O3 1e-2, -O4 3e-2)", 1e-300, 1e300, NULL},
    {0},
};

static int fill_options(const cli_args *a, nib_optimize_options *o) {
    int code;
    const char *twice = cli_list_twice(&a->shapes);
    if (twice) return cli_usage(a->verb, "--shape %s: this input was given twice", twice);
    nib_optimize_defaults(o, sizeof *o);
    if (a->level >= 0) o->level = a->level;
    o->target = (nib_target)a->target;
    o->opset = a->opset;
    o->check = a->check;
    o->keep_random = a->keep_random;
    o->tolerance = a->tolerance;
    o->external_over = (int64_t)a->external_over; /* not given: -1 */
    o->shapes = a->shapes.items;
    o->shape_count = a->shapes.count;
    o->disabled = a->disabled.items;
    o->disabled_count = a->disabled.count;
    o->runtime = cli_runtime(&a->m, &code);
    o->stop = cli_stop;
    cli_catch(true);
    return code;
}

static int write_report(const char *path, const nib_report *report) {
    nib_error error = {.offset = -1};
    nib_file *file = NULL;
    const char *json = nib_report_json(report);
    if (nib_file_create(path, &file, &error) != NIB_OK) return cli_fail(&error);
    if (nib_file_write(file, json, strlen(json), &error) != NIB_OK) return nib_file_abort(file), cli_fail(&error);
    return nib_file_commit(file, &error) == NIB_OK ? 0 : cli_fail(&error);
}

int cli_finish_report(const char *path, nib_status status, const nib_error *error, nib_report *report) {
    int code = 0;
    bool piped = path && strcmp(path, "-") == 0;
    if (report) {
        fputs(piped ? nib_report_json(report) : nib_report_text(report), stdout);
        if (path && !piped) code = write_report(path, report);
    }
    if (status != NIB_OK) code = cli_fail(error);
    if (status == NIB_DIFFERENT) code = 3;
    nib_report_free(report);
    return code;
}

static int optimize(const cli_args *a, const char *out) {
    nib_optimize_options o;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    int code = fill_options(a, &o);
    if (code) return code;
    nib_status status = nib_optimize_file(a->m.path, out, &o, &report, &error);
    return cli_finish_report(a->report, status, &error, report);
}

static int run_optimize(cli_args *a) {
    if (!a->output) return cli_usage(a->verb, "-o is missing: where to write it");
    return optimize(a, a->output);
}

static int run_simplify(cli_args *a) {
    if ((a->output != NULL) + (a->plain.count > 0) != 1) return cli_usage(a->verb, "a model and where to write it must be named, once");
    const char *out = a->output ? a->output : a->plain.items[0];
    if (strcmp(out, "-") == 0) return cli_usage(a->verb, "a model is not written to standard output; name a file");
    return optimize(a, out);
}

static int run_diff(cli_args *a) {
    nib_optimize_options o;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    if (!a->plain.count) return cli_usage(a->verb, "two models must be named");
    int code = cli_model_there(a, a->plain.items[0]);
    if (code == 0) code = fill_options(a, &o);
    if (code) return code;
    nib_status status = nib_diff_files(a->m.path, a->plain.items[0], &o, &report, &error);
    return cli_finish_report(a->report, status, &error, report);
}

int cli_print_graph(const cli_model *m, nib_graph_format format, int level) {
    nib_optimize_options o;
    nib_error error = {.offset = -1};
    nib_report *report = NULL;
    int code;
    nib_optimize_defaults(&o, sizeof o);
    o.level = level;
    o.runtime = cli_runtime(m, &code);
    if (code) return code;
    nib_status status = nib_graph_of_file(m->path, &o, format, &report, &error);
    return cli_finish_report(NULL, status, &error, report);
}

#define EVERY cli_model_option, checking_options, cli_thread_option, cli_safety_options, NULL
static const cli_option *const of_optimize[] = {where_options, level_options, writing_options, EVERY};
static const cli_option *const of_simplify[] = {where_options, writing_options, EVERY};
static const cli_option *const of_diff[] = {EVERY};

const cli_verb cli_optimize = {
    .name = "optimize",
    .line = "write a model with fewer, larger operators",
    .usage = "IN -o OUT [-O0 ... -O4] [options]",
    .about = "Writes a model with fewer and larger operators. IN is an .onnx file or a folder as on Hugging Face; OUT is an .onnx file, "
             "or, for a\n"
             "folder, a folder: model.onnx, the tokenizer and settings, nib.json. Both graphs are run on random inputs, and OUT is written "
             "only\n"
             "if they agree (exit 3 if not). Optimizing OUT again changes no byte. A folder with model.safetensors is refused as OUT: it "
             "would be\n"
             "opened by that.\n",
    .options = of_optimize,
    .examples = "  nib optimize model.onnx -o small.onnx\n"
                "  nib optimize models/all-MiniLM-L6-v2 -o minilm-onnx -O2 --target onnxruntime\n"
                "  nib optimize model.onnx -o fixed.onnx --shape input_ids=1x128 --shape attention_mask=1x128\n",
    .run = run_optimize,
};

const cli_verb cli_simplify = {
    .name = "simplify",
    .line = "optimize -O1, as onnxsim is called",
    .usage = "IN OUT [options]",
    .about = "nib optimize -O1, as onnxsim is called.\n",
    .options = of_simplify,
    .examples = "  nib simplify model.onnx model.simple.onnx\n",
    .plain = 1,
    .run = run_simplify,
};

const cli_verb cli_diff = {
    .name = "diff",
    .line = "what two models have and compute differently",
    .usage = "A B [options]",
    .about = "Compares two models: counts of operators, inputs, outputs and constants, and their outputs on the same "
             "random inputs.\n"
             "Exit 3 if the outputs differ, if the second wants an input that the first does not have, or if no output "
             "has the same name; exit 2 if the models cannot be run, so that outputs were not compared.\n",
    .options = of_diff,
    .examples = "  nib diff model.onnx small.onnx\n",
    .plain = 1,
    .run = run_diff,
};
