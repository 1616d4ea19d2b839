/* SPDX-License-Identifier: Apache-2.0
 *
 * The options that every verb with a model shares. In: option letters and values. Out: an open model, or a message.
 */
#include "cli.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void log_line(void *user, nib_log_level level, const char *message) {
    if (level <= NIB_LOG_INFO) fprintf(stderr, "nib: %s\n", message);
}

void cli_model_defaults(cli_model *m) {
    memset(m, 0, sizeof *m);
    nib_model_defaults(&m->options);
    nib_runtime_defaults(&m->runtime);
    m->runtime.log = log_line;
    m->runtime.memory_limit = NIB_MEMORY_AUTO;
}

static int wrong(const char *option, const char *value, const char *want) {
    fprintf(stderr, "nib: --%s %s: it takes %s\n", option, value, want);
    return 2;
}

bool cli_whole_number(const char *text, long long least, long long most, long long *out) {
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *text && *end == 0 && errno == 0 && *out >= least && *out <= most;
}

/* 500M, 2G, 123456 */
static bool size_of(const char *text, size_t *out) {
    char *end;
    errno = 0;
    double n = strtod(text, &end);
    double unit = *end == 'K' || *end == 'k' ? 1024.0 : *end == 'M' ? 1048576.0 : *end == 'G' ? 1073741824.0 : 1;
    if (unit > 1) end++;
    if (end == text || *end || !(n > 0) || n * unit > 1e18) return false;
    *out = (size_t)(n * unit);
    return true;
}

/* The position of text in a list of names, -1 if it is not there. */
static int one_of(const char *text, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (names[i] && strcmp(text, names[i]) == 0) return i;
    return -1;
}

static const char *const precisions[] = {NULL, "auto", "f32", "bf16", "f16", "q8", "q4"};

const char *cli_precision_name(nib_precision p) { return precisions[p] ? precisions[p] : "file"; }

static bool take_limit(nib_limits *l, const char *text) {
    const struct {
        const char *name;
        int *number;
        size_t *bytes;
    } rows[] = {
        {"graph-depth", &l->graph_depth, NULL}, {"wire-nesting", &l->wire_nesting, NULL},
        {"json-depth", &l->json_depth, NULL},   {"files", &l->files, NULL},
        {"fold-bytes", NULL, &l->fold_bytes},   {"expand-bytes", NULL, &l->expand_bytes},
    };
    const char *equals = strchr(text, '=');
    for (size_t i = 0; equals && i < sizeof rows / sizeof *rows; i++) {
        long long n;
        if (strlen(rows[i].name) != (size_t)(equals - text) || strncmp(rows[i].name, text, (size_t)(equals - text)) != 0) continue;
        if (rows[i].bytes) return size_of(equals + 1, rows[i].bytes);
        if (!cli_whole_number(equals + 1, 1, 1 << 30, &n)) return false;
        *rows[i].number = (int)n;
        return true;
    }
    return false;
}

int cli_model_option(cli_model *m, int option, const char *value) {
    static const char *const poolings[] = {NULL, "none", "mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last"};
    long long n;
    int at;
    switch (option) {
    case 'm': m->path = value; return 0;
    case 'd': m->options.device = value; return 0;
    case 'n': m->options.output_name = value; return 0;
    case 't':
        if (!cli_whole_number(value, 1, 1024, &n)) return wrong("threads", value, "a number from 1 to 1024");
        m->runtime.threads = (int)n;
        return 0;
    case 'x':
        if (!cli_whole_number(value, 1, 1 << 30, &n)) return wrong("max-tokens", value, "a positive number");
        m->options.max_tokens = n;
        return 0;
    case 'B':
        if (!cli_whole_number(value, 1, 1 << 30, &n)) return wrong("batch-tokens", value, "a positive number");
        m->options.batch_tokens = n;
        return 0;
    case 'p':
        if ((at = one_of(value, precisions, 7)) < 0) return wrong("precision", value, "auto, f32, bf16, f16, q8 or q4");
        m->options.precision = (nib_precision)at;
        return 0;
    case 'P':
        if ((at = one_of(value, poolings, 8)) < 0)
            return wrong("pooling", value, "mean, cls, max, last, mean_sqrt_len, weighted_mean or none");
        m->options.pooling = (nib_pooling)at;
        return 0;
    case 'N':
        if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) return wrong("normalize", value, "yes or no");
        m->options.normalize = value[0] == 'y';
        return 0;
    case 'M':
        if (!size_of(value, &m->runtime.memory_limit)) return wrong("memory", value, "a size such as 500M or 2G");
        return 0;
    case CLI_OPTIMIZE:
        if (!cli_whole_number(value, 0, 2, &n)) return wrong("optimize-level", value, "0, 1 or 2");
        m->options.optimize = (int)n;
        return 0;
    case CLI_NO_PACK: m->options.pack = 0; return 0;
    case CLI_PRIVATE: m->runtime.private_reads = 1; return 0;
    case CLI_LIMIT:
        if (!take_limit(&m->runtime.limits, value)) return wrong("limit", value, "NAME=N; --help lists the names");
        return 0;
    default: return -1;
    }
}

bool cli_prompt_option(cli_prompt *p, int option, const char *value) {
    if (option == CLI_PROMPT) p->text = value;
    if (option == CLI_PROMPT_NAME) p->name = value;
    if (option == CLI_NO_PROMPT) p->name = "";
    return option == CLI_PROMPT || option == CLI_PROMPT_NAME || option == CLI_NO_PROMPT;
}

double cli_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int cli_done(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    if (errno != EPIPE) perror("nib: standard output");
    return code ? code : 1;
}

void cli_json_string(const char *text) {
    putchar('"');
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') printf("\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f) printf("\\u%04x", *p);
        else putchar(*p);
    }
    putchar('"');
}

int cli_fail(const nib_error *error) {
    fprintf(stderr, "nib: %s", error->message);
    if (error->node[0]) fprintf(stderr, " (node %s)", error->node);
    if (error->offset >= 0) fprintf(stderr, " (at byte %lld)", (long long)error->offset);
    fputc('\n', stderr);
    switch (error->status) {
    case NIB_INVALID_ARGUMENT:
    case NIB_NOT_FOUND:
    case NIB_BAD_MODEL:
    case NIB_BAD_TOKENIZER:
    case NIB_UNSUPPORTED: return 2;
    default: return 1;
    }
}

int cli_usage(const cli_verb *verb, const char *format, ...) {
    va_list args;
    fprintf(stderr, "nib %s: ", verb->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; nib %s --help shows how\n", verb->name);
    return 2;
}

int cli_model_open_in(const cli_model *m, nib_runtime **runtime, nib_model **out) {
    nib_error error;
    nib_model_options options = m->options;
    *out = NULL;
    *runtime = NULL;
    if (nib_runtime_create(&m->runtime, runtime, &error) != NIB_OK) return cli_fail(&error);
    options.runtime = *runtime;
    if (nib_model_open(m->path, &options, out, &error) == NIB_OK) return 0;
    nib_runtime_free(*runtime);
    *runtime = NULL;
    return cli_fail(&error);
}

int cli_model_open(const cli_model *m, nib_model **out) {
    nib_runtime *runtime;
    int code = cli_model_open_in(m, &runtime, out);
    nib_runtime_free(runtime); /* the model has a reference of its own */
    return code;
}
