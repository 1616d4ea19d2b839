/* SPDX-License-Identifier: Apache-2.0
 *
 * nib doctor. In: a model. Out: which file decided what, whether its tokenizer and its vectors keep their promises on a
 * few texts, and which of this CPU's kernels compute it. Exit code 1 if a check fails.
 */
#include "cli.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_IDS 8192
#define LABEL "%-13s "

/* Kinds of texts that tokenizers differ on. */
static const char *const samples[] = {
    "A nib is the tip of a pen.",
    "caf\u00e9 na\u00efve \u00fcber",
    "\u6f22\u5b57 \u3068 \u4eee\u540d",
    "\U0001f58b\ufe0f ink",
    "x",
    "  two  spaces\tand\na line",
    "\u0645\u0631\u062d\u0628\u0627",
    "12,345.67 USD (2024-01-31)",
};
enum { SAMPLES = sizeof samples / sizeof *samples };

typedef struct doctor {
    nib_model *model;
    nib_tokenizer *tokenizer;
    int failures;
} doctor;

/* "ok" or "FAILED", and what was looked at. */
static void check(doctor *d, const char *label, bool good, const char *format, ...) {
    va_list args;
    printf(LABEL "%s", label, good ? "ok: " : "FAILED: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    d->failures += !good;
}

/* ---------------------------------------------------------------- the tokenizer */

/* Every token's span lies in its text, behind the one before. */
static bool spans_are_good(const size_t *begins, const size_t *ends, size_t n, size_t length) {
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (begins[i] > ends[i] || ends[i] > length) return false;
        if (begins[i] < ends[i] && begins[i] < last) return false;
        if (begins[i] < ends[i]) last = begins[i];
    }
    return true;
}

/* ids -> text -> the same ids. */
static bool comes_back(const doctor *d, const nib_encode_options *o, const int32_t *ids, size_t n) {
    static int32_t again[MOST_IDS];
    char text[4096];
    size_t length, count;
    if (nib_decode(d->tokenizer, ids, n, 0, text, sizeof text, &length, NULL) != NIB_OK || length >= sizeof text)
        return false;
    nib_encode_options plain = *o;
    plain.begins = plain.ends = NULL;
    return nib_encode(d->tokenizer, text, length, &plain, again, MOST_IDS, &count, NULL) == NIB_OK && count == n &&
           memcmp(ids, again, n * sizeof *ids) == 0;
}

static void check_cut(doctor *d) {
    static int32_t ids[MOST_IDS];
    static char text[2 * MOST_IDS];
    nib_error error;
    nib_encode_options o;
    size_t n = 0, full = 0;
    const int64_t most = nib_tokenizer_max_tokens(d->tokenizer);
    if (most <= 0 || most > MOST_IDS / 2) return;
    for (size_t i = 0; i + 1 < sizeof text; i += 2) memcpy(text + i, "a ", 2);
    nib_encode_defaults(&o, sizeof o);
    o.full_count = &full;
    const bool good =
        nib_encode(d->tokenizer, text, sizeof text - 2, &o, ids, MOST_IDS, &n, &error) == NIB_OK && (int64_t)n <= most;
    check(d, "", good, "a text of %zu tokens is cut to %zu, of at most %lld", full, n, (long long)most);
}

static void check_tokenizer(doctor *d) {
    static int32_t ids[MOST_IDS];
    static size_t begins[MOST_IDS], ends[MOST_IDS];
    nib_error error = {.message = ""};
    nib_encode_options o;
    size_t tokens = 0, back = 0, n;
    bool good = true;
    if (nib_model_tokenizer(d->model, &d->tokenizer, &error) != NIB_OK) {
        printf(LABEL "none: %s\n", "self-check", error.message);
        return;
    }
    nib_encode_defaults(&o, sizeof o);
    o.no_special = 1;
    o.begins = begins;
    o.ends = ends;
    for (size_t i = 0; good && i < SAMPLES; i++) {
        good = nib_encode(d->tokenizer, samples[i], strlen(samples[i]), &o, ids, MOST_IDS, &n, &error) == NIB_OK &&
               n <= MOST_IDS && spans_are_good(begins, ends, n, strlen(samples[i]));
        for (size_t k = 0; good && k < n; k++) {
            size_t length;
            good = nib_tokenizer_token(d->tokenizer, ids[k], &length) != NULL;
        }
        tokens += n;
        back += good && comes_back(d, &o, ids, n);
    }
    check(d, "self-check", good, "%d texts are %zu tokens, each of the vocabulary, in order and within its text%s%s",
          (int)SAMPLES, tokens, error.message[0] ? ": " : "", error.message);
    printf(LABEL "%zu of %d texts give the same tokens after they were put together again\n", "", back, (int)SAMPLES);
    check_cut(d);
}

/* ---------------------------------------------------------------- the numbers */

static bool is_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(x[i] - x[i] == 0)) return false;
    return true;
}

/* All samples at once, and each alone. */
static void check_vectors(doctor *d) {
    const size_t dim = (size_t)nib_model_dim(d->model);
    nib_error error = {.message = ""};
    if (!dim || nib_model_task(d->model) != NIB_TASK_EMBED || !d->tokenizer) return;
    float *all = malloc(SAMPLES * dim * sizeof *all), *one = malloc(dim * sizeof *one);
    if (!all || !one) {
        d->failures++;
        cli_no_memory();
    } else {
        bool good = nib_embed(d->model, samples, SAMPLES, NULL, all, &error) == NIB_OK,
             finite = good && is_finite(all, SAMPLES * dim);
        for (size_t i = 0; good && i < SAMPLES; i++)
            good = nib_embed(d->model, &samples[i], 1, NULL, one, &error) == NIB_OK &&
                   memcmp(one, all + i * dim, dim * sizeof *one) == 0;
        check(d, "vectors", finite, "%d of them, %zu numbers each, all finite%s%s", (int)SAMPLES, dim,
              error.message[0] ? ": " : "", error.message);
        check(d, "", good, "the same bits alone and in a batch");
    }
    free(all);
    free(one);
}

/* ---------------------------------------------------------------- what computes it */

/* What of its instructions kernels are written for, under the names that Linux has for them in /proc/cpuinfo. */
static const char *const features[] = {"avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16",
                                       "amx_tile", "amx_int8", "amx_bf16", /* aarch64: */ "asimd", "asimddp"};

/* The first line of the file that lists features, of any processor; nothing where the system has no such file. */
static void print_features(void) {
    static char line[8192];
    FILE *f = fopen("/proc/cpuinfo", "re");
    bool found = false;
    while (f && !found && fgets(line, sizeof line, f)) found = !strncmp(line, "flags", 5) || !strncmp(line, "Features", 8);
    if (f) fclose(f);
    if (!found) return;
    const char *sep = "";
    printf(LABEL, "features");
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        const size_t n = strlen(features[i]);
        const char *at = line;
        while ((at = strstr(at, features[i])) && !(strchr(" \t", at[-1]) && strchr(" \n", at[n]))) at += n;
        if (at) printf("%s%s", sep, features[i]), sep = " ";
    }
    printf("%s\n", *sep ? "" : "none that kernels are written for");
}

static void print_kernels(doctor *d) {
    nib_profile *profile;
    nib_profile_step s, t;
    nib_error error;
    const char *cap = getenv("NIB_CPU"), *label = "kernels";
    printf(LABEL "%s%s%s\n", "CPU", nib_cpu_name(), cap && *cap ? ", capped by NIB_CPU=" : "", cap && *cap ? cap : "");
    print_features();
    if (nib_profile_create(d->model, &profile, &error) != NIB_OK) {
        printf(LABEL "none: %s\n", label, error.message);
        return;
    }
    for (size_t i = 0; nib_profile_step_get(profile, i, NULL, 0, &s, sizeof s) == NIB_OK; i++) {
        size_t steps = 0;
        bool said = false;
        for (size_t k = 0; nib_profile_step_get(profile, k, NULL, 0, &t, sizeof t) == NIB_OK; k++) {
            const bool same = strcmp(s.kernel, t.kernel) == 0 && strcmp(s.op, t.op) == 0;
            said |= same && k < i;
            steps += same;
        }
        if (said) continue;
        printf(LABEL "%s by %s, %zu step%s\n", label, s.op, s.kernel, steps, steps == 1 ? "" : "s");
        label = "";
    }
    nib_profile_free(profile);
}

static int print_model(doctor *d) {
    size_t length;
    if (nib_model_describe(d->model, NULL, 0, &length) != NIB_OK) return 1;
    char *text = malloc(length + 1);
    if (!text) return cli_no_memory();
    nib_model_describe(d->model, text, length + 1, &length);
    fputs(text, stdout);
    free(text);
    return 0;
}

static int run_doctor(cli_args *a) {
    doctor d = {0};
    int code = cli_model_open(&a->m, &d.model);
    if (code) return code;
    code = print_model(&d);
    if (code == 0) {
        check_tokenizer(&d);
        check_vectors(&d);
        print_kernels(&d);
        code = d.failures ? 1 : 0;
    }
    nib_tokenizer_free(d.tokenizer);
    nib_model_free(d.model);
    return code;
}

static const cli_option *const options[] = {
    cli_model_option,   cli_task_option,   cli_length_options, cli_engine_options,
    cli_vector_options, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_doctor = {
    .name = "doctor",
    .line = "which file decided what, and whether it holds",
    .usage = "MODEL [options]",
    .about = "Prints what nib inspect prints, with the file that decided it; tries the tokenizer and the vectors on a "
             "few texts; and says\n"
             "which kernels compute the model on this CPU. Exit code 1: a check failed.\n",
    .options = options,
    .examples = "  nib doctor models/all-MiniLM-L6-v2\n"
                "  nib doctor sentence-transformers/all-MiniLM-L6-v2 --precision q8\n"
                "  NIB_CPU=avx2 nib doctor model.onnx\n",
    .run = run_doctor,
};
