/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a command line. Out: the verb it names, run; and, whatever the verb, standard output flushed and checked.
 */
#include "cli.h"
#include <stdio.h>
#include <string.h>

const cli_verb *const cli_verbs[] = {&cli_embed,    &cli_search,   &cli_eval,     &cli_classify, &cli_rank,     &cli_ner,
                                     &cli_fill,     &cli_answer,   &cli_colbert,  &cli_run,      &cli_inspect,  &cli_explain,
                                     &cli_tokenize, &cli_profile,  &cli_bench,    &cli_tune,     &cli_optimize, &cli_simplify,
                                     &cli_diff,     &cli_quantize, &cli_export,   &cli_compile,  &cli_pull,     &cli_models,
                                     &cli_doctor,   &cli_devices,  NULL};
#define N_VERBS (sizeof cli_verbs / sizeof *cli_verbs - 1)

static int help(FILE *out, int code) {
    fputs("nib " NIB_VERSION ": transformer models, small and fast, natively\n\nusage: nib VERB [options]\n\n", out);
    for (size_t i = 0; i < N_VERBS; i++) fprintf(out, "  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->line);
    fputs("\n  nib embed --model models/all-MiniLM-L6-v2 'a short text' 'another one'\n"
          "  nib embed --model model.onnx --input texts.txt --output vectors.npy\n"
          "  nib inspect models/all-MiniLM-L6-v2\n"
          "  nib pull sentence-transformers/all-MiniLM-L6-v2\n"
          "\nnib VERB --help says more. NIB_CPU=generic|avx2|avx512|... caps the instructions used.\n",
          out);
    return code;
}

static const cli_verb *find_verb(const char *name) {
    const char *names[N_VERBS + 2], *near;
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(name, cli_verbs[i]->name) == 0) return cli_verbs[i];
        names[i] = cli_verbs[i]->name;
    }
    names[N_VERBS] = "--version";
    names[N_VERBS + 1] = "--help";
    near = cli_nearest(name, names, N_VERBS + 2);
    fprintf(stderr, "nib: there is no verb %s%s%s%s; nib --help lists them\n", name, near ? "; did you mean nib " : "", near ? near : "",
            near ? "?" : "");
    return NULL;
}

static bool asks_help(const char *text) { return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0 || strcmp(text, "help") == 0; }

static int run(int argc, char **argv) {
    const cli_verb *verb;
    cli_args args;
    if (argc < 2) return help(stderr, 2);
    if (strcmp(argv[1], "--version") == 0) return printf("nib %s (%s)\n", nib_version(), nib_cpu_name()), 0;
    bool helps = asks_help(argv[1]);
    if (helps && argc == 2) return help(stdout, 0);
    if (!(verb = find_verb(argv[helps ? 2 : 1]))) return 2;
    if (helps) return cli_help(verb), 0;
    int code = cli_parse(verb, argc - 1, argv + 1, &args);
    if (code == 0) code = verb->run(&args);
    cli_args_free(&args);
    return code < 0 ? 0 : code;
}

int main(int argc, char **argv) {
    cli_start();
    int code = run(argc, argv);
    cli_runtime_free();
    return cli_done(code);
}
