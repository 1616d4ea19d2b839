/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_eval_set.h. In: files. Out: texts with what people said of them; and the measures.
 */
#include "cli_eval_set.h"
#include "cli.h"
#include "cli_lines.h"
#include "cli_record.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts */

static char *copy(const char *text, size_t n) {
    char *out = malloc(n + 1);
    if (out && n) memcpy(out, text, n);
    if (out) out[n] = 0;
    return out;
}

static int add_text(eval_texts *t, char *id, char *text) {
    if (t->n == t->room) {
        const size_t room = t->room ? 2 * t->room : 256;
        char **texts = realloc(t->texts, room * sizeof *texts);
        if (texts) t->texts = texts;
        char **ids = texts ? realloc(t->ids, room * sizeof *ids) : NULL;
        if (ids) t->ids = ids, t->room = room;
    }
    if (t->n == t->room || !text) return free(id), free(text), cli_no_memory();
    t->ids[t->n] = id;
    t->texts[t->n++] = text;
    return 0;
}

static void free_texts(eval_texts *t) {
    for (size_t i = 0; i < t->n; i++) free(t->texts[i]), free(t->ids[i]);
    free(t->texts);
    free(t->ids);
}

void eval_set_free(eval_set *s) {
    free_texts(&s->a);
    free_texts(&s->b);
    free(s->scores);
    free(s->judgements);
}

/* ---- lines */

typedef struct reading {
    const char *path;
    eval_set *set;
    eval_texts *texts; /* of a file of them */
    size_t line;
    int (*each)(struct reading *r, const char *line, size_t length);
} reading;

static int wrong(const reading *r, const char *what) {
    return fprintf(stderr, "nib: %s: line %zu %s\n", r->path, r->line, what), 2;
}

static int each_line(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    reading *r = user;
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        r->line++;
        if (lengths[i]) code = r->each(r, texts[i], lengths[i]);
    }
    return code;
}

static int read_lines(reading *r) { return cli_lines_each(r->path, 4096, each_line, r); }

/* Up to three fields between tabs; returns how many there are. */
static size_t split(const char *line, size_t length, const char *fields[3], size_t lengths[3]) {
    size_t n = 0;
    const char *end = line + length;
    for (;;) {
        const char *tab = memchr(line, '\t', (size_t)(end - line)), *to = tab ? tab : end;
        if (n < 3) fields[n] = line, lengths[n] = (size_t)(to - line);
        n++;
        if (!tab) return n;
        line = tab + 1;
    }
}

static bool number_of(const char *text, size_t n, double *out) {
    char word[64], *end;
    if (n == 0 || n >= sizeof word) return false;
    memcpy(word, text, n);
    word[n] = 0;
    *out = strtod(word, &end);
    return *end == 0 && isfinite(*out);
}

static int add_score(eval_set *s, double score) {
    if (s->a.n > s->scores_room) {
        double *grown = realloc(s->scores, 2 * s->a.n * sizeof *grown);
        if (!grown) return cli_no_memory();
        s->scores = grown;
        s->scores_room = 2 * s->a.n;
    }
    s->scores[s->a.n - 1] = score;
    return 0;
}

static int add_pair(eval_set *s, char *a, char *b, double score) {
    int code = add_text(&s->a, NULL, a);
    if (code == 0) code = add_text(&s->b, NULL, b);
    else free(b);
    return code ? code : add_score(s, score);
}

static int pair_line(reading *r, const char *line, size_t length) {
    const char *f[3];
    size_t n[3];
    double score;
    if (split(line, length, f, n) != 3) return wrong(r, "is not text, tab, text, tab, number");
    if (!number_of(f[2], n[2], &score)) return r->line == 1 ? 0 : wrong(r, "has no number behind its texts");
    return add_pair(r->set, copy(f[0], n[0]), copy(f[1], n[1]), score);
}

int eval_set_read_pairs(eval_set *s, const char *path) {
    reading r = {.path = path, .set = s, .each = pair_line};
    s->name = path;
    const int code = read_lines(&r);
    if (code == 0 && s->a.n < 2) return fprintf(stderr, "nib: %s has fewer than two pairs\n", path), 2;
    return code;
}

/* ---- retrieval */

static int record_line(reading *r, const char *line, size_t length) {
    cli_record record;
    const char *bad = cli_record_read_as(&record, line, length, "_id", "title");
    int code = bad ? wrong(r, bad) : !record.id ? wrong(r, "has no \"_id\"") : 0;
    if (code == 0) {
        const bool quoted = record.id[0] == '"';
        char *id = copy(record.id + quoted, record.id_length - 2 * quoted);
        const size_t before = record.title ? record.title_length : 0;
        char *text = id ? malloc(before + record.length + 2) : NULL;
        if (text) {
            if (before) memcpy(text, record.title, before), text[before] = ' ';
            memcpy(text + before + (before > 0), record.text, record.length);
            text[before + (before > 0) + record.length] = 0;
        }
        code = add_text(r->texts, id, text);
    }
    cli_record_free(&record);
    return code;
}

static int text_line(reading *r, const char *line, size_t length) {
    const char *f[3];
    size_t n[3];
    if (split(line, length, f, n) != 2) return wrong(r, "is not id, tab, text");
    return add_text(r->texts, copy(f[0], n[0]), copy(f[1], n[1]));
}

static const char *in_folder(char *out, size_t size, const char *dir, const char *name) {
    snprintf(out, size, "%s/%s", dir, name);
    return out;
}

static bool is_there(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

static int read_texts(eval_set *s, eval_texts *to, const char *dir, const char *name) {
    char json[1000], tsv[1000], file[40];
    snprintf(file, sizeof file, "%s.jsonl", name);
    in_folder(json, sizeof json, dir, file);
    snprintf(file, sizeof file, "%s.tsv", name);
    in_folder(tsv, sizeof tsv, dir, file);
    const bool lines = !is_there(json) && is_there(tsv);
    reading r = {.path = lines ? tsv : json, .set = s, .texts = to, .each = lines ? text_line : record_line};
    const int code = read_lines(&r);
    if (code == 0 && to->n == 0) return fprintf(stderr, "nib: %s has no texts\n", r.path), 2;
    return code;
}

typedef struct named {
    const char *id;
    size_t at;
} named;

static int by_id(const void *a, const void *b) { return strcmp(((const named *)a)->id, ((const named *)b)->id); }

static named *index_of(const eval_texts *t) {
    named *list = malloc((t->n + 1) * sizeof *list);
    for (size_t i = 0; list && i < t->n; i++) list[i] = (named){t->ids[i], i};
    if (list && t->n) qsort(list, t->n, sizeof *list, by_id);
    return list;
}

static bool find(const named *list, size_t n, const char *id, size_t length, size_t *at) {
    char name[1000];
    if (length >= sizeof name) return false;
    memcpy(name, id, length);
    name[length] = 0;
    const named wanted = {name, 0}, *found = n ? bsearch(&wanted, list, n, sizeof *list, by_id) : NULL;
    if (found) *at = found->at;
    return found != NULL;
}

static named *queries, *documents; /* while judgements are read */

static int judgement_line(reading *r, const char *line, size_t length) {
    const char *f[3];
    size_t n[3];
    eval_set *s = r->set;
    eval_judgement j;
    if (split(line, length, f, n) != 3) return wrong(r, "is not query, tab, document, tab, relevance");
    if (!number_of(f[2], n[2], &j.relevance)) return r->line == 1 ? 0 : wrong(r, "has a relevance that is no number");
    if (!find(queries, s->a.n, f[0], n[0], &j.query)) return wrong(r, "names a query that there is not");
    if (!find(documents, s->b.n, f[1], n[1], &j.document)) return wrong(r, "names a document that there is not");
    if (s->n_judgements == s->judgements_room) {
        const size_t room = s->judgements_room ? 2 * s->judgements_room : 256;
        eval_judgement *grown = realloc(s->judgements, room * sizeof *grown);
        if (!grown) return cli_no_memory();
        s->judgements = grown;
        s->judgements_room = room;
    }
    s->judgements[s->n_judgements++] = j;
    return 0;
}

static int by_query(const void *a, const void *b) {
    const eval_judgement *x = a, *y = b;
    if (x->query != y->query) return x->query < y->query ? -1 : 1;
    return (x->document > y->document) - (x->document < y->document);
}

int eval_set_read_retrieval(eval_set *s, const char *dir) {
    char plain[1000], beir[1000];
    s->name = dir;
    int code = read_texts(s, &s->a, dir, "queries");
    if (code == 0) code = read_texts(s, &s->b, dir, "corpus");
    if (code) return code;
    in_folder(plain, sizeof plain, dir, "qrels.tsv");
    in_folder(beir, sizeof beir, dir, "qrels/test.tsv");
    reading r = {.path = is_there(plain) || !is_there(beir) ? plain : beir, .set = s, .each = judgement_line};
    queries = index_of(&s->a);
    documents = index_of(&s->b);
    code = queries && documents ? read_lines(&r) : cli_no_memory();
    free(queries);
    free(documents);
    if (code == 0 && s->n_judgements == 0)
        return fprintf(stderr, "nib: %s says of no document whether it answers\n", r.path), 2;
    if (code == 0) qsort(s->judgements, s->n_judgements, sizeof *s->judgements, by_query);
    return code;
}

/* ---- the set that is made here */

int eval_set_make(eval_set *s) {
    /* Parts of a sentence: as it is, in other words, another. */
    static const char *const parts[2][4][3] = {{{"A young boy", "A small lad", "The dentist"},
                                                {"is eating", "is having", "is painting"},
                                                {"a red apple", "a red piece of fruit", "a wooden fence"},
                                                {"in the garden", "in the yard behind the house", "at the airport"}},
                                               {{"The company", "The firm", "My grandmother"},
                                                {"bought", "purchased", "described"},
                                                {"an old factory", "an aging plant", "a bowl of soup"},
                                                {"last year", "twelve months ago", "for three hours"}}};
    static const double alike[3] = {1, 0.8, 0};
    int code = 0;
    s->name = "162 pairs of its own";
    for (int base = 0; base < 2 && code == 0; base++)
        for (int p = 0; p < 81 && code == 0; p++) {
            char a[200] = "", b[200] = "";
            double score = 0;
            for (int i = 0, digits = p; i < 4; i++, digits /= 3) {
                snprintf(a + strlen(a), sizeof a - strlen(a), "%s%s", i ? " " : "", parts[base][i][0]);
                snprintf(b + strlen(b), sizeof b - strlen(b), "%s%s", i ? " " : "", parts[base][i][digits % 3]);
                score += alike[digits % 3] * 5 / 4;
            }
            code = add_pair(s, copy(a, strlen(a)), copy(b, strlen(b)), score);
        }
    return code;
}

/* ---- measures */

double eval_pearson(const double *x, const double *y, size_t n) {
    double mx = 0, my = 0, xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) mx += x[i] / (double)n, my += y[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
        yy += (y[i] - my) * (y[i] - my);
    }
    return xy / (sqrt(xx) * sqrt(yy));
}

typedef struct placed {
    double x;
    size_t at;
} placed;

static int by_number(const void *a, const void *b) {
    const double x = ((const placed *)a)->x, y = ((const placed *)b)->x;
    return (x > y) - (x < y);
}

static double *ranks_of(const double *x, size_t n) {
    placed *order = malloc((n + 1) * sizeof *order);
    double *ranks = malloc((n + 1) * sizeof *ranks);
    for (size_t i = 0; order && i < n; i++) order[i] = (placed){x[i], i};
    if (order) qsort(order, n, sizeof *order, by_number);
    for (size_t i = 0, end; order && ranks && i < n; i = end) {
        for (end = i + 1; end < n && !(order[end].x > order[i].x);) end++;
        for (size_t k = i; k < end; k++) ranks[order[k].at] = (double)(i + end - 1) / 2;
    }
    if (!order) free(ranks), ranks = NULL;
    free(order);
    return ranks;
}

double eval_spearman(const double *x, const double *y, size_t n) {
    double *a = ranks_of(x, n), *b = ranks_of(y, n), found = NAN;
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]) || isnan(y[i])) n = 0; /* nothing is ranked beside what is no number */
    if (a && b && n) found = eval_pearson(a, b, n);
    free(a);
    free(b);
    return found;
}

static int largest_first(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static double gain(const double *relevance, size_t n, size_t k) {
    double sum = 0;
    for (size_t i = 0; i < n && i < k; i++)
        if (relevance[i] > 0) sum += relevance[i] / log2((double)i + 2);
    return sum;
}

double eval_ndcg(const double *found, size_t n, double *judged, size_t n_judged, size_t k) {
    qsort(judged, n_judged, sizeof *judged, largest_first);
    const double best = gain(judged, n_judged, k);
    return best > 0 ? gain(found, n, k) / best : 0;
}
