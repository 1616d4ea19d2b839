/* SPDX-License-Identifier: Apache-2.0
 *
 * nib classify --labels. In: texts, and labels of the command line's. Out: for each text its best labels and their scores,
 * for a person or as JSON, in input order.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1024

int cli_parts(const cli_list *list, bool spaces, const char ***parts, size_t *n, char **bytes) {
    size_t size = 0, most = 0;
    for (size_t i = 0; i < list->count; i++) size += strlen(list->items[i]) + 1;
    *n = 0;
    char *to = *bytes = malloc(size + 1);
    *parts = malloc((size + 1) * sizeof **parts);
    if (!to || !*parts) return cli_no_memory();
    for (size_t i = 0; i < list->count; i++)
        for (const char *at = list->items[i]; at;) {
            const char *comma = strchr(at, ','), *end = comma ? comma : at + strlen(at);
            const char *from = at;
            while (!spaces && from < end && *from == ' ') from++;
            while (!spaces && end > from && end[-1] == ' ') end--;
            const size_t length = (size_t)(end - from);
            if (length || spaces) {
                memcpy(to, from, length);
                to[length] = 0;
                (*parts)[most++] = to;
                to += length + 1;
            }
            at = comma ? comma + 1 : NULL;
        }
    *n = most;
    return 0;
}

typedef struct zero_shot_run {
    cli_args *a;
    nib_model *model;
    const char **labels;
    size_t n_labels;
} zero_shot_run;

/* As transformers' pipeline("zero-shot-classification") gives it. */
static void print_json(const zero_shot_run *r, const char *text, size_t length, const nib_ranked *found, size_t count) {
    fputs("{\"sequence\": ", stdout);
    cli_json_bytes(text, length);
    fputs(", \"labels\": [", stdout);
    for (size_t k = 0; k < count; k++) {
        if (k) fputs(", ", stdout);
        cli_json_string(r->labels[found[k].index]);
    }
    fputs("], \"scores\": [", stdout);
    for (size_t k = 0; k < count; k++) {
        char number[20];
        *cli_number_write(number, found[k].score) = 0;
        printf("%s%s", k ? ", " : "", number);
    }
    puts("]}");
}

/* The text, and a line for each label below it. */
static void print_lines(const zero_shot_run *r, const char *text, size_t length, const nib_ranked *found, size_t count) {
    cli_plain(text, length);
    putchar('\n');
    for (size_t k = 0; k < count; k++) {
        const char *label = r->labels[found[k].index];
        cli_number_print(7, (double)found[k].score);
        fputs("  ", stdout);
        cli_plain(label, strlen(label));
        putchar('\n');
    }
}

static int label_batch(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    zero_shot_run *r = user;
    const cli_args *a = r->a;
    nib_error error;
    nib_zero_shot_options o;
    nib_ranked *found = calloc(n ? n : 1, r->n_labels * sizeof *found);
    size_t count = a->top_k && (size_t)a->top_k < r->n_labels ? (size_t)a->top_k : r->n_labels;
    int code = found ? 0 : cli_no_memory();
    nib_zero_shot_defaults(&o, sizeof o);
    o.hypothesis = a->hypothesis;
    o.multi_label = a->multi_label;
    o.lengths = lengths;
    o.stop = cli_stop;
    if (code == 0 && nib_zero_shot(r->model, texts, n, r->labels, r->n_labels, &o, found, &error) != NIB_OK)
        code = cli_fail(&error);
    for (size_t i = 0; i < n && code == 0; i++) {
        const nib_ranked *of = found + i * r->n_labels;
        const size_t length = lengths ? lengths[i] : strlen(texts[i]);
        if (a->json) print_json(r, texts[i], length, of, count);
        else print_lines(r, texts[i], length, of, count);
    }
    free(found);
    return code ? code : fflush(stdout) == 0 ? 0 : 1;
}

int cli_zero_shot(cli_args *a, const char *input) {
    zero_shot_run r = {.a = a};
    char *bytes = NULL;
    int code = cli_parts(&a->labels, false, &r.labels, &r.n_labels, &bytes);
    if (code == 0 && !r.n_labels) code = cli_usage(a->verb, "--labels has no label");
    cli_catch(false);
    a->m.options.task = NIB_TASK_CLASSIFY;
    if (code == 0 && (code = cli_model_open(&a->m, &r.model)) == 0)
        code = input ? cli_lines_each(input, BATCH, label_batch, &r) : label_batch(&r, a->plain.items, NULL, a->plain.count);
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    free(r.labels);
    free(bytes);
    nib_model_free(r.model);
    return code;
}
