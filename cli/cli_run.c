/* SPDX-License-Identifier: Apache-2.0
 *
 * nib run. In: a model, and a tensor file for each input (or random ones). Out: each output's type, shape and values, in files, and how
 * they differ from those that were expected.
 */
#include "cli_tensors.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char run_help[] =
    "usage: nib run MODEL [options]\n\n"
    "Runs the graph once on named tensors, with ONNX's exact meaning: any model, any inputs. Prints each output's name, type and shape, "
    "and\n"
    "with --compare or --suite the largest difference; exit code 3 if one is over the tolerance.\n\n"
    "  --input NAME=FILE    .npy, or .pb (TensorProto, SequenceProto, OptionalProto: also strings, bf16, small types); once for each "
    "input\n"
    "  --random             make the inputs that no file is given for: ids below the table they look up, masks of ones, then zeros\n"
    "                       (an input that the model holds a value for keeps that, unless it is given or has a --shape)\n"
    "  --shape NAME=2x8     shape of a random input; dimensions of the same name elsewhere follow, and sums of them by name\n"
    "                       (else 2 for the first axis, 8)\n"
    "  --seed N             of the random numbers (default 0)\n"
    "  --output-dir DIR     write each output to DIR/NAME.npy (or .pb); DIR is made if it is not there\n"
    "  --format npy|pb      of those files (default: npy where NumPy has the type, else pb)\n"
    "  --compare DIR        compare with DIR/NAME.npy or DIR/NAME.pb\n"
    "  --suite DIR          inputs DIR/input_0.pb, ... and expected DIR/output_0.pb, ..., as in ONNX's backend suite\n"
    "  --rtol X, --atol Y   |got - want| <= atol + rtol |want| (default 1e-3 and 1e-5)\n"
    "  --repeat N           run N times and print the least and the mean time (default 1)\n"
    "  --json               one JSON object instead of lines\n"
    "  --threads N          threads that compute (default: NIB_NUM_THREADS, else all CPUs we may use)\n"
    "  --optimize-level L   0 the graph as it is, 1 simplified, 2 with fused operators (default 2)\n" CLI_SAFETY_HELP "\nexamples:\n"
    "  nib run model.onnx --input input_ids=ids.npy --input attention_mask=mask.npy --output-dir out\n"
    "  nib run model.onnx --random --shape input_ids=4x32 --repeat 10\n"
    "  nib run case/model.onnx --suite case/test_data_set_0\n";

enum { INPUT = 2000, RANDOM, SHAPE, SEED, OUTPUT_DIR, FORMAT, COMPARE, SUITE, RTOL, ATOL, REPEAT, JSON };

static const struct option run_options[] = {{"model", required_argument, NULL, 'm'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"memory", required_argument, NULL, 'M'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"optimize-level", required_argument, NULL, CLI_OPTIMIZE},
                                            {"input", required_argument, NULL, INPUT},
                                            {"random", no_argument, NULL, RANDOM},
                                            {"shape", required_argument, NULL, SHAPE},
                                            {"seed", required_argument, NULL, SEED},
                                            {"output-dir", required_argument, NULL, OUTPUT_DIR},
                                            {"format", required_argument, NULL, FORMAT},
                                            {"compare", required_argument, NULL, COMPARE},
                                            {"suite", required_argument, NULL, SUITE},
                                            {"rtol", required_argument, NULL, RTOL},
                                            {"atol", required_argument, NULL, ATOL},
                                            {"repeat", required_argument, NULL, REPEAT},
                                            {"json", no_argument, NULL, JSON},
                                            CLI_SAFETY_OPTIONS,
                                            {NULL, 0, NULL, 0}};

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

static volatile sig_atomic_t interrupted;
static void on_signal(int number) { interrupted = number; }

static bool tolerance(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return *text && *end == 0 && *out >= 0 && *out <= 1e30;
}

/* One option; 0, or 2 with a message. */
static int take(tensor_run *r, int c, const char *value) {
    long long n;
    switch (c) {
    case INPUT: return cli_tensors_add(&r->inputs.files, value) ? 0 : cli_usage(&cli_run, "--input %s: it takes NAME=FILE", value);
    case SHAPE: return cli_tensors_add(&r->inputs.shapes, value) ? 0 : cli_usage(&cli_run, "--shape %s: it takes NAME=2x8", value);
    case RANDOM: r->inputs.random = true; return 0;
    case SEED:
        if (!cli_whole_number(value, 0, INT64_MAX, &n)) return cli_usage(&cli_run, "--seed %s: it takes a number", value);
        r->inputs.seed = (uint64_t)n;
        return 0;
    case OUTPUT_DIR: r->output_dir = value; return 0;
    case FORMAT:
        if (strcmp(value, "npy") == 0) r->format = NIB_TENSOR_FORMAT_NPY;
        else if (strcmp(value, "pb") == 0) r->format = NIB_TENSOR_FORMAT_PB;
        else return cli_usage(&cli_run, "--format %s: it takes npy or pb", value);
        return 0;
    case COMPARE: r->compare = value; return 0;
    case SUITE: r->suite = value; return 0;
    case RTOL: return tolerance(value, &r->rtol) ? 0 : cli_usage(&cli_run, "--rtol %s: it takes a number from 0 on", value);
    case ATOL: return tolerance(value, &r->atol) ? 0 : cli_usage(&cli_run, "--atol %s: it takes a number from 0 on", value);
    case REPEAT:
        if (!cli_whole_number(value, 1, 1000000, &n)) return cli_usage(&cli_run, "--repeat %s: it takes a number from 1 to 1000000", value);
        r->repeat = (int)n;
        return 0;
    case JSON: r->json = true; return 0;
    default: return cli_model_option(&r->m, c, value);
    }
}

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
            printf(", \"same\": %s, \"largest\": %.9g, \"largest_relative\": %.9g, \"wrong\": %llu, \"elements\": %llu, \"message\": ",
                   d->same ? "true" : "false", d->largest, d->largest_relative, (unsigned long long)d->wrong,
                   (unsigned long long)d->elements);
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
        nib_tensor_compare(&got, want, r->rtol, r->atol, &d);
        nib_tensor_free(want);
        if (!d.same) r->over = true;
    }
    print_output(r, i, name, &got, known ? &d : NULL);
    if (!r->output_dir) return 0;
    nib_tensor_format format = r->format ? r->format : cli_tensors_format(got.dtype);
    if (!cli_tensors_path(path, sizeof path, r->output_dir, r->session, i, format == NIB_TENSOR_FORMAT_NPY ? "npy" : "pb")) return 2;
    return nib_tensor_write(path, &got, name, format, &error) == NIB_OK ? 0 : cli_fail(&error);
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
    struct sigaction action = {.sa_handler = on_signal}; /* from here on files are written: none is left half-way */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    for (size_t i = 0; i < n && code == 0 && !interrupted; i++) code = finish_output(r, i);
    if (r->json) printf("]}\n");
    else if (code == 0 && r->repeat > 1)
        printf("%d runs, least %.3f ms, mean %.3f ms\n", r->repeat, 1e3 * r->least, 1e3 * r->total / r->repeat);
    if (interrupted && code == 0) code = (fputs("nib: interrupted; not all outputs were written\n", stderr), 130);
    return code == 0 && r->over ? 3 : code;
}

static int run_run(int argc, char **argv) {
    tensor_run r = {.rtol = 1e-3, .atol = 1e-5, .repeat = 1};
    nib_error error;
    int c, code;
    cli_model_defaults(&r.m);
    while ((c = getopt_long(argc, argv, "m:h", run_options, NULL)) != -1) {
        if (c == 'h') return fputs(run_help, stdout), cli_done(0);
        if (c == '?') return 2;
        if ((code = take(&r, c, optarg)) != 0) goto done;
    }
    if (!r.m.path && optind < argc) r.m.path = argv[optind++];
    code = 2;
    if (!r.m.path) {
        cli_usage(&cli_run, "no model was named");
    } else if (optind < argc) {
        cli_usage(&cli_run, "it takes one model, not %s too", argv[optind]);
    } else if (r.suite && (r.compare || r.inputs.files.count || r.inputs.random)) {
        cli_usage(&cli_run, "--suite brings inputs and expected outputs: no --input, --random or --compare beside it");
    } else if ((code = cli_model_open(&r.m, &r.model)) == 0) {
        code = nib_session_create(r.model, &r.session, &error) == NIB_OK ? 0 : cli_fail(&error);
        if (code == 0) code = r.suite ? cli_tensors_suite(&r.inputs, r.session, r.suite) : cli_tensors_bind(&r.inputs, r.session);
        if (code == 0) code = compute(&r);
        if (code == 0) code = finish(&r);
        code = cli_done(code);
    }
done:
    nib_session_free(r.session);
    nib_model_free(r.model);
    cli_tensors_free(&r.inputs);
    return code;
}

const cli_verb cli_run = {"run", "named tensors -> named tensors, of any model", run_help, run_run};
