/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a command line. Out: the verb it names, run.
 */
#include "cli.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cli_verb *const verbs[] = {&cli_embed, &cli_run,  &cli_inspect,  &cli_explain,  &cli_tokenize, &cli_profile,
                                        &cli_bench, &cli_tune, &cli_optimize, &cli_simplify, &cli_diff,     &cli_compile};

#define N_VERBS (sizeof verbs / sizeof *verbs)

/* Models are mapped: a file that somebody truncates while we read it raises SIGBUS. Say so instead of a bare crash. */
static void on_bus_error(int number) {
    static const char message[] = "nib: a mapped file became shorter while it was in use\n";
    if (write(STDERR_FILENO, message, sizeof message - 1) < 0) _exit(2);
    _exit(1);
}

static void help(FILE *out) {
    fputs("nib " NIB_VERSION ": transformer models, small and fast, natively\n\nusage: nib VERB [options]\n\n", out);
    for (size_t i = 0; i < N_VERBS; i++) fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->line);
    fputs("\n  nib embed --model all-MiniLM-L6-v2 'a short text' 'another one'\n"
          "  nib embed --model model.onnx --input texts.txt --output vectors.npy\n"
          "  nib inspect all-MiniLM-L6-v2\n"
          "\nnib VERB --help says more. NIB_CPU=generic|avx2|avx512|... caps the instructions used.\n",
          out);
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves, or a file limit, is seen as a failed write: nothing half-written stays */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGBUS, on_bus_error);
    if (argc < 2) return help(stderr), 2;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        for (size_t i = 0; argc > 2 && i < N_VERBS; i++)
            if (strcmp(argv[2], verbs[i]->name) == 0) return fputs(verbs[i]->help, stdout), 0;
        return help(stdout), 0;
    }
    if (strcmp(argv[1], "--version") == 0) return printf("nib %s (%s)\n", nib_version(), nib_cpu_name()), 0;
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(argv[1], verbs[i]->name) == 0) return verbs[i]->run(argc - 1, argv + 1);
    fprintf(stderr, "nib: there is no verb %s; nib --help lists them\n", argv[1]);
    return 2;
}
