/* SPDX-License-Identifier: Apache-2.0
 *
 * nib run. In: a model, and a tensor file for each input (or random ones). Out: each output's type, shape and values, in files, and how
 * they differ from those that were expected.
 */
#include "cli_json.h"
#include "cli_number.h"
#include "cli_tensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_names formats = {(const char *const[]){[NIB_TENSOR_FORMAT_NPY] = "npy", [NIB_TENSOR_FORMAT_PB] = "pb"},
                                  (const int[]){NIB_TENSOR_FORMAT_NPY, NIB_TENSOR_FORMAT_PB, -1}};

static const cli_option run_options[] = {
    {"input", 'i', CLI_LIST, CLI_AT(inputs), "NAME=FILE",
     ".npy, or .pb (TensorProto, SequenceProto, OptionalProto: also strings, bf16, small types); once for each input",
     0, 0, NULL},
    {"random", 0, CLI_FLAG, CLI_AT(random), NULL,
     "make the inputs that no file is given for: ids below the table they look up, masks of ones, then zeros\n"
     "(an input that the model holds a value for keeps that, unless it is given or has a --shape)",
     1, 0, NULL},
    {"shape", 0, CLI_LIST, CLI_AT(shapes), "NAME=2x8",
     "shape of a random input; dimensions of the same name elsewhere follow, and sums of them by name\n(else 2 for the "
     "first axis, 8)",
     0, 0, NULL},
    {"seed", 0, CLI_WHOLE, CLI_AT(seed), "N", "of the random numbers (default 0)", 0, 9e18, NULL},
    {"output-dir", 'o', CLI_FILE, CLI_AT(output_dir), "DIR",
     "write each output to DIR/NAME.npy (or .pb); DIR is made if it is not there", 0, 0, NULL},
    {"format", 0, CLI_NAME, CLI_AT(format), "npy|pb", "of those files (default: npy where NumPy has the type, else pb)",
     0, 0, &formats},
    {"compare", 0, CLI_TEXT, CLI_AT(compare), "DIR", "compare with DIR/NAME.npy or DIR/NAME.pb", 0, 0, NULL},
    {"suite", 0, CLI_TEXT, CLI_AT(suite), "DIR",
     "inputs DIR/input_0.pb, ... and expected DIR/output_0.pb, ..., as in ONNX's backend suite", 0, 0, NULL},
    {"rtol", 0, CLI_REAL, CLI_AT(rtol), "X", "tolerance: |got - want| <= atol + rtol |want| (default 1e-3)", 0, 1e30,
     NULL},
    {"atol", 0, CLI_REAL, CLI_AT(atol), "Y", "the other part of the tolerance (default 1e-5)", 0, 1e30, NULL},
    {"repeat", 0, CLI_INT, CLI_AT(repeat), "N", "run N times and print the least and the mean time (default 1)", 1,
     1000000, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

typedef struct tensor_run {
    cli_model m;
    nib_model *model;
    nib_session *session;
    cli_tensors inputs;
    const char *output_dir, *compare, *suite;
    nib_tensor_format format;
    bool json, over;
    double rtol, atol, least, total;
    int repeat;
} tensor_run;

static int compute(tensor_run *r) {
    nib_error error;
    for (int i = 0; i < r->repeat; i++) {
        double begun = cli_now();
        if (nib_session_run(r->session, &error) != NIB_OK) return cli_fail(&error);
        double seconds = cli_now() - begun;
        if (i == 0 || seconds < r->least) r->least = seconds;
        r->total += seconds;
    }
    return 0;
}

/* Reads what output i should be: 1 it is there, 0 it is not, -1 it cannot be read. */
static int expected(const tensor_run *r, size_t i, const nib_tensor *got, nib_tensor **want) {
    static const char *const kinds[] = {"npy", "pb"};
    nib_error error;
    char path[4300];
    *want = NULL;
    for (int k = 0; k < 2; k++) {
        if (r->suite) snprintf(path, sizeof path, "%s/output_%zu.%s", r->suite, i, kinds[k]);
        else if (!cli_tensors_path(path, sizeof path, r->compare, r->session, i, kinds[k])) return -1;
        if (access(path, F_OK) != 0) continue;
        if (nib_tensor_read(path, got->dtype, want, &error) == NIB_OK) return 1;
        cli_fail(&error);
        return -1;
    }
    return 0;
}

static void print_output(tensor_run *r, size_t i, const char *name, const nib_tensor *got, const nib_difference *d) {
    if (r->json) {
        printf("%s\n  {\"name\": ", i ? "," : "");
        cli_json_string(name);
        printf(", \"type\": \"%s\", \"shape\": [", nib_dtype_name(got->dtype));
        for (int k = 0; k < got->rank; k++) printf("%s%lld", k ? ", " : "", (long long)got->dims[k]);
        printf("]");
        if (d) {
            char largest[32], relative[32];
            printf(", \"same\": %s, \"largest\": %s, \"largest_relative\": %s, \"wrong\": %llu, \"elements\": %llu, \"message\": ",
                   d->same ? "true" : "false", cli_number_json(largest, d->largest), cli_number_json(relative, d->largest_relative),
                   (unsigned long long)d->wrong, (unsigned long long)d->elements);
            cli_json_string(d->message);
        }
        printf("}");
        return;
    }
    printf("%s  %s[", name, nib_dtype_name(got->dtype));
    for (int k = 0; k < got->rank; k++) printf("%s%lld", k ? "," : "", (long long)got->dims[k]);
    printf("]");
    if (d && d->same) printf("  same: largest difference %.3g, relative %.3g", d->largest, d->largest_relative);
    if (d && !d->same) printf("  DIFFERS: %s; largest difference %.3g, relative %.3g", d->message, d->largest, d->largest_relative);
    printf("\n");
}

static int finish_output(tensor_run *r, size_t i) {
    nib_error error;
    nib_tensor got, *want;
    nib_difference d;
    char path[4300];
    const char *name = nib_session_output_name(r->session, i);
    if (nib_session_get_output(r->session, name, &got, &error) != NIB_OK) return cli_fail(&error);
    int known = r->suite || r->compare ? expected(r, i, &got, &want) : 0;
    if (known < 0) return 2;
    if (!known && r->compare) return fprintf(stderr, "nib: %s has neither %s.npy nor %s.pb to compare with\n", r->compare, name, name), 2;
    if (known) {
        nib_tensor_compare(&got, want, r->rtol, r->atol, &d, sizeof d);
        nib_tensor_free(want);
        if (!d.same) r->over = true;
    }
    print_output(r, i, name, &got, known ? &d : NULL);
    if (!r->output_dir) return 0;
    nib_tensor_format format = r->format ? r->format : cli_tensors_format(got.dtype);
    if (!cli_tensors_path(path, sizeof path, r->output_dir, r->session, i, format == NIB_TENSOR_FORMAT_NPY ? "npy" : "pb")) return 2;
    return nib_tensor_write(path, &got, name, format, &error) == NIB_OK ? 0 : cli_fail(&error);
}

/* What is slow about a model in half precision here, and only here. */
static void say_halves(nib_model *model) {
    char text[4096] = "";
    size_t length;
    if (nib_model_describe(model, text, sizeof text, &length) != NIB_OK) return;
    const char *weights = strstr(text, "\nweights "), *end = weights ? strchr(weights + 1, '\n') : NULL,
               *half = weights ? strstr(weights, "f16") : NULL;
    if (half && (!end || half < end)) /* f16 and bf16 */
        printf("half precision: its exact values are computed element by element; nib embed widens it and takes the time of f32\n");
}

static int finish(tensor_run *r) {
    size_t n = nib_session_output_count(r->session);
    int code = 0;
    if (r->output_dir && (code = cli_tensors_folder(r->output_dir)) != 0) return code;
    if (r->json) {
        printf("{\"model\": ");
        cli_json_string(r->m.path);
        printf(", \"repeat\": %d, \"least_ms\": %.6f, \"mean_ms\": %.6f, \"outputs\": [", r->repeat, 1e3 * r->least,
               1e3 * r->total / r->repeat);
    }
    cli_catch(false); /* from here on files are written: none is left half-way */
    for (size_t i = 0; i < n && code == 0 && !cli_signal; i++) code = finish_output(r, i);
    if (r->json) printf("]}\n");
    else if (code == 0 && r->repeat > 1) {
        printf("%d runs, least %.3f ms, mean %.3f ms\n", r->repeat, 1e3 * r->least, 1e3 * r->total / r->repeat);
        say_halves(r->model);
    }
    if (cli_signal && code == 0) code = (fputs("nib: interrupted; not all outputs were written\n", stderr), 128 + cli_signal);
    return code == 0 && r->over ? 3 : code;
}

static int run_run(cli_args *a) {
    tensor_run r = {.m = a->m,
                    .inputs = {.files = a->inputs, .shapes = a->shapes, .random = a->random, .seed = (uint64_t)a->seed},
                    .output_dir = a->output_dir,
                    .compare = a->compare,
                    .suite = a->suite,
                    .format = (nib_tensor_format)a->format,
                    .json = a->json,
                    .rtol = a->rtol,
                    .atol = a->atol,
                    .repeat = a->repeat ? a->repeat : 1};
    nib_error error;
    if (r.suite && (r.compare || r.inputs.files.count || r.inputs.random))
        return cli_usage(a->verb, "--suite brings inputs and expected outputs: no --input, --random or --compare beside it");
    r.m.options.sessions = 1;
    int code = cli_model_open(&r.m, &r.model);
    if (code) return code;
    code = nib_session_create(r.model, &r.session, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (code == 0) code = r.suite ? cli_tensors_suite(r.session, r.suite) : cli_tensors_bind(&r.inputs, r.session);
    if (code == 0) code = compute(&r);
    if (code == 0) code = finish(&r);
    nib_session_free(r.session);
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {cli_model_option, run_options, cli_thread_option, cli_level_option, cli_safety_options, NULL};

const cli_verb cli_run = {
    .name = "run",
    .line = "named tensors -> named tensors, of any model",
    .usage = "MODEL [options]",
    .about = "Runs the graph once on named tensors, with ONNX's exact meaning: any model, any inputs. Prints each output's name, type and "
             "shape, and\n"
             "with --compare or --suite the largest difference; exit code 3 if one is over the tolerance.\n",
    .options = options,
    .examples = "  nib run model.onnx --input input_ids=ids.npy --input attention_mask=mask.npy --output-dir out\n"
                "  nib run model.onnx --random --shape input_ids=4x32 --repeat 10\n"
                "  nib run case/model.onnx --suite case/test_data_set_0\n",
    .run = run_run,
};
