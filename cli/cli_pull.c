/* SPDX-License-Identifier: Apache-2.0
 *
 * nib pull. In: ORG/NAME. Out: it is in the cache, and standard output says where; on standard error, a bar a file.
 */
#include "cli.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BAR 24
#define TAIL 62   /* columns of a bar and its figures */
#define NARROW 76 /* columns: fewer have no room for a bar */

static const cli_option pull_options[] = {
    {"include", 0, CLI_LIST, CLI_AT(includes), "PATTERN",
     "files of these names in place of the weights that nib would take, such as 'onnx/model_q4*'; may be given several "
     "times",
     0, 0, NULL},
    {"onnx", 0, CLI_FLAG, CLI_AT(weights), NULL, "the ONNX file, though nib may read the safetensors", NIB_WEIGHTS_ONNX,
     0, NULL},
    {"safetensors", 0, CLI_FLAG, CLI_AT(weights), NULL, "model.safetensors, though nib may not read such a model",
     NIB_WEIGHTS_SAFETENSORS, 0, NULL},
    {0},
};

typedef struct bars {
    char file[256]; /* whose bar is on the screen */
    double begun, shown;
    uint64_t first; /* bytes that were there when it began */
    int width;      /* of the terminal; 0: a line at the end of each file is all */
} bars;

static void size_text(char out[24], double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    for (; bytes >= 999.5 && unit < 4; unit++) bytes /= 1000;
    snprintf(out, 24, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void on_progress(void *user, const char *file, uint64_t done, uint64_t total) {
    bars *b = user;
    char bar[BAR + 1], have[24], all[24], rate[24];
    const double now = cli_now();
    if (strncmp(b->file, file, sizeof b->file - 1) != 0) {
        snprintf(b->file, sizeof b->file, "%s", file);
        b->begun = now;
        b->shown = 0;
        b->first = done;
    }
    const bool last = done == total;
    if (!last && (!b->width || now - b->shown < 0.1)) return;
    b->shown = now;
    for (int i = 0; i < BAR; i++) bar[i] = total == 0 || (double)i < (double)done / (double)total * BAR ? '#' : '.';
    bar[BAR] = 0;
    size_text(have, (double)done);
    size_text(all, (double)total);
    size_text(rate, (double)(done > b->first ? done - b->first : 0) / (now > b->begun ? now - b->begun : 1e-3));
    if (!b->width) fprintf(stderr, "nib: %s, %s\n", file, all);
    else if (b->width < NARROW)
        fprintf(stderr, "\r\033[K%.*s %s of %s%s", b->width > 30 ? b->width - 30 : 1, file, have, all,
                last ? "\n" : "");
    else
        fprintf(stderr, "\r\033[K%-*.*s [%s] %s of %s, %s/s%s", b->width - TAIL, b->width - TAIL, file, bar, have, all,
                rate, last ? "\n" : "");
    fflush(stderr);
}

static bool wants_bars(void) {
    static const char *const yes[] = {"1", "on", "yes", "true"};
    const char *off = getenv("HF_HUB_DISABLE_PROGRESS_BARS");
    for (size_t i = 0; off && i < sizeof yes / sizeof *yes; i++)
        if (strcasecmp(off, yes[i]) == 0) return false;
    return !cli_quiet;
}

int cli_pull_model(cli_args *a, const char *name) {
    nib_pull_options o;
    nib_error error;
    bars b = {.width = cli_terminal_width()};
    char repo[512];
    int code;
    /* ORG/NAME:FILE that is to be opened: that file is what is wanted */
    const char *colon = strchr(name, ':');
    snprintf(repo, sizeof repo, "%.*s", (int)(colon ? colon - name : (ptrdiff_t)strlen(name)), name);
    char pattern[1100];
    const char *patterns[] = {pattern};
    snprintf(pattern, sizeof pattern, "%s*", colon ? colon + 1 : "");
    cli_catch(true);
    nib_pull_defaults(&o, sizeof o);
    o.runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    o.weights = (nib_weights)a->weights;
    o.include = colon ? patterns : a->includes.items;
    o.include_count = colon ? 1 : a->includes.count;
    o.stop = cli_stop;
    if (wants_bars()) o.progress = on_progress, o.progress_user = &b;
    if (nib_pull(colon && a->verb->model == CLI_MODEL_OPENED ? repo : name, &o, &error) == NIB_OK) return 0;
    if (b.width && b.file[0] && b.shown > 0) fputc('\n', stderr);
    return cli_fail(&error);
}

static int run_pull(cli_args *a) {
    char path[4096];
    nib_error error;
    if (a->includes.count && a->weights)
        return cli_usage(a->verb, "--include says which files; --onnx and --safetensors beside it say nothing");
    const int code = cli_pull_model(a, a->m.path);
    if (code) return code;
    if (nib_hub_find(a->m.path, path, sizeof path, NULL, &error) != NIB_OK) return cli_fail(&error);
    printf("%s\n", path);
    return 0;
}

static const cli_option *const options[] = {pull_options, cli_common_options, NULL};

const cli_verb cli_pull = {
    .name = "pull",
    .line = "fetch a model into the cache of Hugging Face's tools",
    .usage = "ORG/NAME[@REVISION] [options]",
    .about = "Fetches a model's configuration, its tokenizer and one form of its weights (safetensors if nib reads "
             "such a model, else\n"
             "onnx/model.onnx), and prints the folder. Every verb then takes ORG/NAME. What is there is not fetched "
             "again, what was cut\n"
             "off goes on, and every file is compared with its hash.\n",
    .options = options,
    .examples = "  nib pull sentence-transformers/all-MiniLM-L6-v2\n"
                "  nib embed --model sentence-transformers/all-MiniLM-L6-v2 'a short text'\n"
                "  nib pull BAAI/bge-small-en-v1.5@main --onnx\n"
                "  nib pull Xenova/bge-small-en-v1.5 --include 'onnx/model_q4*'\n"
                "  nib inspect Xenova/bge-small-en-v1.5:onnx/model_q4.onnx\n",
    .after = "Needs libcurl. Obeys HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH, HF_HUB_OFFLINE,\n"
             "HF_HUB_DISABLE_SYMLINKS, HF_HUB_DISABLE_PROGRESS_BARS, HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT, and "
             "proxies\n"
             "as curl does. doc/command.md says more.\n",
    .model = CLI_MODEL_NAMED,
    .run = run_pull,
};
