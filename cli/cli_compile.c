/* SPDX-License-Identifier: Apache-2.0
 *
 * nib compile. In: a model and how it is to run. Out: one file that opens at once. Ctrl-C leaves nothing behind.
 */
#include "cli.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

static const char compile_help[] =
    "usage: nib compile MODEL -o MODEL.nib [options]\n\n"
    "Writes one file that opens at once on machines like this one: the optimized graph, weights as the kernels here read them, tokenizer "
    "and\n"
    "settings. Every verb that runs a model takes it, and gives the same bits as from MODEL. What the options decide is decided here:\n"
    "a compiled model is opened in its own precision, pooling and output. A processor without kernels for its weights refuses it.\n\n"
    "  -o, --output FILE    where to write it\n"
    "  --exact              named tensors, too (nib run); without it a model that embeds is compiled for texts alone\n" CLI_MODEL_HELP
        CLI_LEVER_HELP "\nexamples:\n"
    "  nib compile all-MiniLM-L6-v2 -o minilm.nib --precision q8\n"
    "  nib embed --model minilm.nib 'a short text'\n"
    "  nib inspect minilm.nib --verify\n"
    "  NIB_CPU=avx2 nib compile model.onnx -o anywhere-x86.nib\n";

static volatile sig_atomic_t interrupted;
static void on_signal(int number) { interrupted = number; }
static int stop(void *user) { return interrupted != 0; }

static int run_compile(int argc, char **argv) {
    static const struct option options[] = {CLI_MODEL_OPTIONS,
                                            {"output", required_argument, NULL, 'o'},
                                            {"exact", no_argument, NULL, 'e'},
                                            CLI_LEVER_OPTIONS,
                                            {NULL, 0, NULL, 0}};
    cli_model m;
    nib_compile_options o;
    nib_error error = {.offset = -1};
    const char *out = NULL;
    int c, code;
    cli_model_defaults(&m);
    nib_compile_defaults(&o);
    while ((c = getopt_long(argc, argv, "m:o:h", options, NULL)) != -1) {
        if (c == 'h') return fputs(compile_help, stdout), 0;
        if (c == '?') return 2;
        if (c == 'o') out = optarg;
        else if (c == 'e') o.exact = 1;
        else if ((code = cli_model_option(&m, c, optarg)) != 0) return code;
    }
    if (!m.path && optind < argc) m.path = argv[optind++];
    if (!m.path) return cli_usage(&cli_compile, "no model was named");
    if (optind < argc) return cli_usage(&cli_compile, "%s: one model at a time", argv[optind]);
    if (!out) return cli_usage(&cli_compile, "-o is missing: where to write it");
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    o.model = &m.options;
    o.stop = stop;
    nib_status status = nib_runtime_create(&m.runtime, &m.options.runtime, &error);
    if (status == NIB_OK) status = nib_compile_file(m.path, out, &o, &error);
    nib_runtime_free(m.options.runtime);
    if (interrupted) return 128 + interrupted;
    return status == NIB_OK ? cli_done(0) : cli_fail(&error);
}

const cli_verb cli_compile = {"compile", "write a model as one file that opens at once", compile_help, run_compile};
