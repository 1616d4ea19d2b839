/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_texts.h.
 */
#include "cli_texts.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sample[] =
    "the model reads a sentence and gives one vector back so that texts of like meaning lie close together while others "
    "stay far apart which lets a program search through many pages of notes letters and manuals in a moment without "
    "knowing the words that their authors chose";
#define SAMPLE_TEXTS 64
#define SAMPLE_BYTES 1200

static bool append(cli_texts *t, char *text, int32_t *ids, int64_t length) {
    if (t->n == t->room) {
        size_t room = t->room ? t->room * 2 : 1024;
        char **texts = realloc(t->texts, room * sizeof *texts);
        if (texts) t->texts = texts;
        int32_t **all = realloc(t->ids, room * sizeof *all);
        if (all) t->ids = all;
        int64_t *lengths = realloc(t->lengths, room * sizeof *lengths);
        if (lengths) t->lengths = lengths;
        if (!texts || !all || !lengths) return false;
        t->room = room;
    }
    t->texts[t->n] = text;
    t->ids[t->n] = ids;
    t->lengths[t->n++] = length;
    return true;
}

/* The ids of one line; NULL with a message. */
static int32_t *parse_ids(const char *line, size_t length, int64_t *count, const char *path, size_t number) {
    char *copy = strndup(line, length), *at = copy;
    int32_t *ids = malloc((length / 2 + 1) * sizeof *ids);
    *count = 0;
    while (copy && ids) {
        char *end;
        errno = 0;
        long id = strtol(at, &end, 10);
        if (end == at) break;
        if (errno || id < 0 || id > INT32_MAX) break;
        ids[(*count)++] = (int32_t)id;
        at = end;
    }
    bool whole = copy && ids && at[strspn(at, " \t")] == 0 && *count;
    if (!copy || !ids) cli_no_memory();
    else if (!whole) fprintf(stderr, "nib: %s: line %zu is not token ids separated by spaces\n", path, number);
    free(copy);
    if (whole) return ids;
    free(ids);
    return NULL;
}

static int read_lines(cli_texts *t, const char *path, bool ids) {
    const char *reason = NULL, *const * texts;
    const size_t *lengths;
    cli_lines *lines = cli_lines_open(path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    long got;
    int code = 0;
    while (code == 0 && (got = cli_lines_next(lines, 4096, &texts, &lengths, &reason)) > 0)
        for (long i = 0; i < got && code == 0; i++) {
            int64_t count = 0;
            int32_t *row = ids ? parse_ids(texts[i], lengths[i], &count, path, t->n + 1) : NULL;
            char *text = ids ? NULL : strndup(texts[i], lengths[i]);
            if (ids && !row) code = 2;
            else if ((!ids && !text) || !append(t, text, row, count)) code = cli_no_memory(), free(text), free(row);
        }
    cli_lines_close(lines);
    if (code) return code;
    if (got < 0) return fprintf(stderr, "nib: %s: %s\n", path, reason), 1;
    return t->n ? 0 : (fprintf(stderr, "nib: %s: there is no text in it\n", path), 2);
}

int cli_texts_read(cli_texts *t, const char *path) { return read_lines(t, path, false); }
int cli_texts_read_ids(cli_texts *t, const char *path) { return read_lines(t, path, true); }

int cli_texts_sample(cli_texts *t) {
    const size_t all = sizeof sample - 1;
    uint32_t random = 12345;
    for (int i = 0; i < SAMPLE_TEXTS; i++) {
        random = random * 1664525u + 1013904223u;
        size_t from = random / 65536 % all, step = (random >> 8) % 9, length = 20 + step * step * 18; /* more short ones than long ones */
        if (length > SAMPLE_BYTES) length = SAMPLE_BYTES;
        while (from > 0 && sample[from - 1] != ' ') from--;
        char *text = malloc(length + 1);
        if (!text || !append(t, text, NULL, 0)) return free(text), cli_no_memory();
        for (size_t k = 0; k < length; k++) text[k] = (from + k) % (all + 1) == all ? ' ' : sample[(from + k) % (all + 1)];
        text[length] = 0;
    }
    return 0;
}

char *cli_texts_prompted(const char *prompt, const char *text) {
    size_t n = strlen(prompt), k = strlen(text);
    char *both = malloc(n + k + 1);
    if (!both) return NULL;
    memcpy(both, prompt, n);
    memcpy(both + n, text, k + 1);
    return both;
}

/* Replaces ids[i] by those of `text`. */
static int tokenize_one(cli_texts *t, size_t i, const nib_model *model, const char *text) {
    nib_error error;
    size_t count = 0, length = strlen(text), room = length + 16; /* a token is a byte at least, but for special ones */
    for (;;) {
        free(t->ids[i]);
        t->ids[i] = malloc(room * sizeof **t->ids);
        if (!t->ids[i]) return cli_no_memory();
        if (nib_tokenize(model, text, length, nib_model_max_tokens(model), t->ids[i], NULL, NULL, room, &count, &error) != NIB_OK)
            return cli_fail(&error);
        t->lengths[i] = (int64_t)count;
        if (count <= room) return 0;
        room = count; /* normalizing may make more of a text */
    }
}

int cli_texts_tokenize(cli_texts *t, const nib_model *model) {
    nib_error error;
    const char *prompt = "";
    int64_t most = nib_model_max_tokens(model);
    t->tokens = t->longest = t->cut = 0;
    if (nib_model_choose_prompt(model, NULL, &prompt, &error) != NIB_OK) return cli_fail(&error);
    for (size_t i = 0; i < t->n; i++) {
        if (t->texts[i]) {
            char *text = cli_texts_prompted(prompt, t->texts[i]);
            int code = text ? tokenize_one(t, i, model, text) : cli_no_memory();
            free(text);
            if (code) return code;
        } else if (t->lengths[i] > most) {
            t->lengths[i] = most;
            t->cut++;
        }
        t->tokens += t->lengths[i];
        if (t->lengths[i] > t->longest) t->longest = t->lengths[i];
    }
    return 0;
}

void cli_texts_free(cli_texts *t) {
    for (size_t i = 0; i < t->n; i++) {
        free(t->texts[i]);
        free(t->ids[i]);
    }
    free(t->texts);
    free(t->ids);
    free(t->lengths);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double cli_percentile(double *values, size_t n, double p) {
    if (n == 0) return 0;
    qsort(values, n, sizeof *values, by_value);
    return values[(size_t)(p * (double)(n - 1) + 0.5)];
}

static void print_json(const cli_texts *t, const nib_ranked *ranked, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) {
        char number[20];
        *cli_number_write(number, ranked[i].score) = 0;
        printf("%s{\"corpus_id\": %zu, \"score\": %s, \"text\": ", i ? ", " : "", ranked[i].index, number);
        cli_json_string(t->texts[ranked[i].index]);
        putchar('}');
    }
    puts("]");
}

void cli_ranked_print(const cli_texts *t, const nib_ranked *ranked, size_t count, int json) {
    if (json) print_json(t, ranked, count);
    for (size_t i = 0; i < count && !json; i++) {
        const char *text = t->texts[ranked[i].index];
        cli_number_print(7, (double)ranked[i].score);
        printf(" %5zu  ", ranked[i].index + 1);
        cli_plain(text, strlen(text));
        putchar('\n');
    }
}
