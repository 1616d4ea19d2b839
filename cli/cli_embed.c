/* SPDX-License-Identifier: Apache-2.0
 *
 * nib embed. In: texts from the command line, or lines of a file or pipe. Out: one vector a text, in input order, as .npy or
 * as JSON lines. A named file appears whole or not at all, also after Ctrl-C.
 */
#include "cli.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 4096
#define BAR 24 /* characters of the progress bar */

static const char embed_help[] =
    "usage: nib embed --model PATH [options] [TEXT ...]\n\n"
    "Turns texts into vectors: the TEXTs, or one text a line of --input.\n\n"
    "  --input FILE|-       lines to embed; - is standard input, answered whenever it pauses\n"
    "  --output FILE|-      FILE.npy (float32 [n, dim]), FILE.jsonl, or - for JSON lines on standard output (default)\n"
    "  --warm               take and touch all memory before the first text comes: the first answer is as fast as later "
    "ones\n" CLI_PROMPT_HELP "  --similarity         print how similar the texts are instead of their vectors\n" CLI_MODEL_HELP
    "\nexamples:\n"
    "  nib embed --model all-MiniLM-L6-v2 'a short text' 'another one'\n"
    "  nib embed --model all-MiniLM-L6-v2 --input texts.txt --output vectors.npy\n"
    "  tail -f log | nib embed --model all-MiniLM-L6-v2 --input -\n"
    "  nib embed --model model.onnx --similarity 'The cat sleeps.' 'A cat is asleep.' 'Stocks fell.'\n\n"
    "A JSON line is {\"index\": i, \"tokens\": n, \"truncated\": true|false, \"embedding\": [...]}; `truncated` says that the text\n"
    "had more tokens than were used. Bytes that are not UTF-8 are read as U+FFFD. An empty line is an empty text.\n";

typedef struct output {
    const char *path; /* NULL: standard output */
    nib_npy *npy;
    nib_file *file;
    char *line;
    size_t line_room;
    long long index, truncated;
} output;

typedef struct embed_run {
    nib_model *model;
    output out;
    float *vectors;
    int64_t *tokens, *full;
    size_t room;
    bool similarity, progress;
    cli_prompt prompt;
    double begun, shown;
} embed_run;

static volatile sig_atomic_t interrupted;

static void on_signal(int number) { interrupted = 1; }

/* ---- output */

static bool ends_with(const char *text, const char *tail) {
    size_t n = strlen(text), k = strlen(tail);
    return n > k && strcmp(text + n - k, tail) == 0;
}

static int output_open(output *o, const char *path, int64_t dim) {
    nib_error error;
    if (!path || strcmp(path, "-") == 0) return 0;
    o->path = path;
    if (ends_with(path, ".npy")) return nib_npy_create(path, dim, &o->npy, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (ends_with(path, ".jsonl")) return nib_file_create(path, &o->file, &error) == NIB_OK ? 0 : cli_fail(&error);
    return cli_usage(&cli_embed, "--output %s: a file must end in .npy or .jsonl", path);
}

/* Standard output cannot be written; a reader that has seen enough (`| head`) needs no message. */
static int output_lost(void) {
    if (errno != EPIPE) perror("nib: standard output");
    return 1;
}

static int write_line(output *o, const float *v, int64_t dim, int64_t tokens, bool truncated) {
    nib_error error;
    size_t need = (size_t)dim * 20 + 128;
    if (need > o->line_room) {
        char *grown = realloc(o->line, need);
        if (!grown) return fputs("nib: out of memory\n", stderr), 1;
        o->line = grown;
        o->line_room = need;
    }
    char *p = o->line;
    p += sprintf(p, "{\"index\": %lld, \"tokens\": %lld, \"truncated\": %s, \"embedding\": [", o->index, (long long)tokens,
                 truncated ? "true" : "false");
    for (int64_t i = 0; i < dim; i++) {
        if (i) *p++ = ',', *p++ = ' ';
        p = cli_number_write(p, v[i]);
    }
    p += sprintf(p, "]}\n");
    if (o->file) return nib_file_write(o->file, o->line, (size_t)(p - o->line), &error) == NIB_OK ? 0 : cli_fail(&error);
    if (fwrite(o->line, 1, (size_t)(p - o->line), stdout) != (size_t)(p - o->line)) return output_lost();
    return 0;
}

static int output_batch(embed_run *r, size_t n) {
    nib_error error;
    output *o = &r->out;
    int64_t dim = nib_model_dim(r->model);
    for (size_t i = 0; i < n; i++) o->truncated += r->full[i] > r->tokens[i];
    if (o->npy) {
        o->index += (long long)n;
        return nib_npy_append(o->npy, r->vectors, (int64_t)n, &error) == NIB_OK ? 0 : cli_fail(&error);
    }
    for (size_t i = 0; i < n; i++, o->index++) {
        int code = write_line(o, r->vectors + i * (size_t)dim, dim, r->tokens[i], r->full[i] > r->tokens[i]);
        if (code) return code;
    }
    if (!o->file && fflush(stdout) != 0) return output_lost();
    return 0;
}

static int output_close(output *o, int code) {
    nib_error error;
    if (code == 0 && o->npy) code = nib_npy_commit(o->npy, &error) == NIB_OK ? 0 : cli_fail(&error);
    else nib_npy_abort(o->npy);
    if (code == 0 && o->file) code = nib_file_commit(o->file, &error) == NIB_OK ? 0 : cli_fail(&error);
    else nib_file_abort(o->file);
    free(o->line);
    return code;
}

/* ---- work */

static int embed_batch(embed_run *r, const char *const *texts, const size_t *lengths, size_t n) {
    nib_error error;
    nib_embed_options o;
    size_t dim = (size_t)nib_model_dim(r->model);
    if (n > r->room) {
        free(r->vectors);
        free(r->tokens);
        free(r->full);
        r->vectors = malloc(n * (dim ? dim : 1) * sizeof *r->vectors);
        r->tokens = malloc(n * sizeof *r->tokens);
        r->full = malloc(n * sizeof *r->full);
        r->room = n;
        if (!r->vectors || !r->tokens || !r->full) return fputs("nib: out of memory\n", stderr), 1;
    }
    nib_embed_defaults(&o);
    o.lengths = lengths;
    o.tokens = r->tokens;
    o.full_tokens = r->full;
    o.prompt = r->prompt.text;
    o.prompt_name = r->prompt.name;
    return nib_embed(r->model, texts, n, &o, r->vectors, &error) == NIB_OK ? 0 : cli_fail(&error);
}

static void show_progress(embed_run *r, const cli_lines *lines, bool last) {
    unsigned long long done, total;
    double t = cli_now(), seconds = t - r->begun;
    if (!r->progress || (!last && t - r->shown < 0.2)) return;
    r->shown = t;
    cli_lines_progress(lines, &done, &total);
    double share = total ? (double)done / (double)total : 0;
    char bar[BAR + 1];
    for (int i = 0; i < BAR; i++) bar[i] = (double)i < share * BAR ? '#' : '.';
    bar[BAR] = 0;
    fputs("\r\033[K", stderr);
    if (total) fprintf(stderr, "[%s] %3.0f %%  ", bar, 100 * share);
    fprintf(stderr, "%lld texts, %.0f a second", r->out.index, seconds > 0 ? (double)r->out.index / seconds : 0.0);
    if (share > 0 && !last) fprintf(stderr, ", %.0f s left", seconds / share * (1 - share));
    if (last) fputc('\n', stderr);
    fflush(stderr);
}

static int embed_lines(embed_run *r, const char *path) {
    const char *reason = NULL;
    const char *const *texts;
    const size_t *lengths;
    int code = 0;
    cli_lines *lines = cli_lines_open(path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    for (size_t most = 64; code == 0 && !interrupted; most = BATCH) { /* a small first batch: the first answer comes early */
        long n = cli_lines_next(lines, most, &texts, &lengths, &reason);
        if (n < 0) code = (fprintf(stderr, "nib: %s: %s\n", path, reason), 1);
        if (n <= 0) break;
        code = embed_batch(r, texts, lengths, (size_t)n);
        if (code == 0) code = output_batch(r, (size_t)n);
        show_progress(r, lines, false);
    }
    show_progress(r, lines, true);
    cli_lines_close(lines);
    if (interrupted && code == 0) code = (fputs("nib: interrupted; no file was written\n", stderr), 130);
    return code;
}

static void print_similarity(const embed_run *r, char **texts, size_t n) {
    int64_t dim = nib_model_dim(r->model);
    for (size_t a = 0; a < n; a++)
        for (size_t b = a + 1; b < n; b++) {
            double dot = 0, x = 0, y = 0;
            for (int64_t i = 0; i < dim; i++) {
                double u = (double)r->vectors[a * (size_t)dim + (size_t)i], v = (double)r->vectors[b * (size_t)dim + (size_t)i];
                dot += u * v;
                x += u * u;
                y += v * v;
            }
            /* |x| |y| as a product of roots: no libm is needed for a figure of four digits */
            double norm = x * y, root = norm > 0 ? norm : 1;
            for (int k = 0; k < 60; k++) root = 0.5 * (root + norm / root);
            printf("%7.4f  %s  |  %s\n", norm > 0 ? dot / root : 0.0, texts[a], texts[b]);
        }
}

static int run_embed(int argc, char **argv) {
    static const struct option options[] = {CLI_MODEL_OPTIONS,
                                            CLI_PROMPT_OPTIONS,
                                            {"input", required_argument, NULL, 'i'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"warm", no_argument, NULL, 'w'},
                                            {"similarity", no_argument, NULL, 's'},
                                            {NULL, 0, NULL, 0}};
    cli_model m;
    embed_run r = {0};
    const char *input = NULL, *path = NULL;
    bool warm = false;
    nib_error error;
    int c, code;
    cli_model_defaults(&m);
    while ((c = getopt_long(argc, argv, "m:i:o:h", options, NULL)) != -1) {
        if (c == 'h') return fputs(embed_help, stdout), 0;
        if (c == 'i') input = optarg;
        else if (c == 'o') path = optarg;
        else if (c == 'w') warm = true;
        else if (c == 's') r.similarity = true;
        else if (c == '?') return 2;
        else if (cli_prompt_option(&r.prompt, c, optarg)) continue;
        else if ((code = cli_model_option(&m, c, optarg)) != 0) return code;
    }
    if (!m.path) return cli_usage(&cli_embed, "--model is missing");
    if (r.prompt.text && r.prompt.name) return cli_usage(&cli_embed, "give --prompt or --prompt-name, not both");
    if (optind < argc && strcmp(argv[optind], "-") == 0 && optind + 1 == argc && !input) input = "-", optind++;
    size_t n = (size_t)(argc - optind);
    if (input && n) return cli_usage(&cli_embed, "give texts or --input, not both");
    if (!input && !n) return cli_usage(&cli_embed, "there is nothing to embed: give texts or --input");
    if (r.similarity && (!n || path)) return cli_usage(&cli_embed, "--similarity takes texts on the command line and no --output");
    if ((code = cli_model_open(&m, &r.model)) != 0) return code;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL); /* no SA_RESTART: a blocked read returns, the loop ends, files are removed */
    sigaction(SIGTERM, &action, NULL);
    code = warm && nib_model_warm(r.model, 0, 1, &error) != NIB_OK ? cli_fail(&error) : 0;
    if (code == 0) code = output_open(&r.out, path, nib_model_dim(r.model));
    r.begun = r.shown = cli_now();
    r.progress = isatty(STDERR_FILENO) && input && path && strcmp(path, "-") != 0;
    if (code == 0 && input) {
        code = embed_lines(&r, input);
    } else if (code == 0) {
        code = embed_batch(&r, (const char *const *)(argv + optind), NULL, n);
        if (code == 0 && r.similarity) print_similarity(&r, argv + optind, n);
        else if (code == 0) code = output_batch(&r, n);
    }
    code = output_close(&r.out, code);
    if (code == 0 && r.out.truncated)
        fprintf(stderr, "nib: %lld of %lld texts were longer than %lld tokens and were cut\n", r.out.truncated, r.out.index,
                (long long)nib_model_max_tokens(r.model));
    free(r.vectors);
    free(r.tokens);
    free(r.full);
    nib_model_free(r.model);
    return code;
}

const cli_verb cli_embed = {"embed", "texts -> vectors", embed_help, run_embed};
