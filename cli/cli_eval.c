/* SPDX-License-Identifier: Apache-2.0
 *
 * nib eval. In: models, and pairs with scores or a retrieval set. Out: a table of how well each model does, in each
 * precision, number of dimensions and type of vector that is asked for.
 *
 * A model embeds the texts once a precision; cuts and types are made of those vectors. Scores are those of nib search:
 * the first texts of pairs, and queries, stay float32, and documents are stored as the type says.
 */
#include "cli.h"
#include "cli_eval_set.h"
#include "cli_json.h"
#include "cli_number.h"
#include "cli_rows.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };                /* of one list */
enum { DEEP = 100, SHALLOW = 10 }; /* documents of recall and of NDCG */

static const cli_option eval_options[] = {
    {"pairs", 0, CLI_TEXT, CLI_AT(pairs), "FILE",
     "lines of text, tab, text, tab, how alike they are (default: a few that nib makes)", 0, 0, NULL},
    {"retrieval", 0, CLI_TEXT, CLI_AT(retrieval), "DIR", "corpus.jsonl, queries.jsonl and qrels.tsv, as BEIR has them",
     0, 0, NULL},
    {"precision", 0, CLI_TEXT, CLI_AT(precisions), "LIST",
     "f32,bf16,q8,q4,mixed: each in turn (default: as the weights are stored)", 0, 0, NULL},
    {"dimensions", 0, CLI_TEXT, CLI_AT(cuts), "LIST",
     "0,256,128: vectors cut to so many numbers, in turn; 0: all (the default)", 0, 0, NULL},
    {"type", 0, CLI_TEXT, CLI_AT(types), "LIST", "float32,int8,binary: how they are stored, in turn (default float32)",
     0, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one list of JSON instead of a table", 1, 0, NULL},
    {0},
};

typedef struct eval_run {
    cli_args *a;
    nib_runtime *runtime;
    eval_set set;
    nib_precision precisions[MOST];
    nib_vector_type types[MOST];
    int64_t cuts[MOST];
    size_t n_precisions, n_types, n_cuts, printed;
} eval_run;

/* One line of the table. */
typedef struct eval_row {
    const char *model;
    nib_precision precision;
    nib_vector_type type;
    int64_t dimensions;
    double measures[3];
} eval_row;

static const char *const pair_measures[] = {"spearman", "pearson", NULL};
static const char *const found_measures[] = {"ndcg@10", "recall@10", "recall@100", NULL};

/* ---- lists */

/* The words of a list with commas; each is taken by `take`, which says whether it is one. */
static int read_list(const cli_args *a, const char *name, const char *list, bool (*take)(eval_run *r, const char *word),
                     eval_run *r, const size_t *count) {
    for (const char *at = list; at;) {
        const char *comma = strchr(at, ',');
        const size_t n = comma ? (size_t)(comma - at) : strlen(at);
        char word[40];
        if (*count == MOST) return cli_usage(a->verb, "--%s takes %d at most", name, MOST);
        snprintf(word, sizeof word, "%.*s", n < sizeof word ? (int)n : (int)sizeof word - 1, at);
        if (!take(r, word)) return cli_usage(a->verb, "--%s: '%s' is none", name, word);
        at = comma ? comma + 1 : NULL;
    }
    return 0;
}

static bool take_precision(eval_run *r, const char *word) {
    return nib_precision_from_name(word, &r->precisions[r->n_precisions]) == NIB_OK && ++r->n_precisions;
}

static bool take_type(eval_run *r, const char *word) {
    return nib_vector_type_from_name(word, &r->types[r->n_types]) == NIB_OK && ++r->n_types;
}

static bool take_cut(eval_run *r, const char *word) {
    char *end;
    const long cut = strtol(word, &end, 10);
    if (!*word || *end || cut < 0 || cut > 1 << 30) return false;
    r->cuts[r->n_cuts++] = cut;
    return true;
}

static int read_lists(eval_run *r) {
    const cli_args *a = r->a;
    int code = read_list(a, "precision", a->precisions ? a->precisions : "file", take_precision, r, &r->n_precisions);
    if (code == 0) code = read_list(a, "dimensions", a->cuts ? a->cuts : "0", take_cut, r, &r->n_cuts);
    if (code == 0) code = read_list(a, "type", a->types ? a->types : "float32", take_type, r, &r->n_types);
    return code;
}

/* ---- vectors */

/* Rows as they are stored: of f32 rows [n, width]. */
typedef struct stored {
    nib_vectors v;
    void *data;
    float *ranges;
} stored;

static void free_stored(stored *s) {
    free(s->data);
    free(s->ranges);
}

static int store(const nib_vectors *rows, int64_t dimensions, nib_vector_type type, stored *out) {
    nib_error error;
    nib_vector_options o;
    const bool bytes = type == NIB_VECTOR_I8 || type == NIB_VECTOR_U8;
    nib_vector_options_defaults(&o, sizeof o);
    o.dimensions = dimensions;
    o.type = type;
    *out = (stored){.v = {.type = type, .n = rows->n, .width = dimensions}};
    out->data = malloc(rows->n * nib_vector_bytes(type, dimensions) + 1);
    if (bytes) out->ranges = malloc(2 * (size_t)dimensions * sizeof *out->ranges);
    if (!out->data || (bytes && !out->ranges)) return cli_no_memory();
    if (bytes && nib_vectors_ranges(rows->data, rows->n, rows->width, &o, out->ranges, &error) != NIB_OK)
        return cli_fail(&error);
    o.ranges = out->ranges;
    o.ranges_width = bytes ? dimensions : 0;
    out->v.ranges = out->ranges;
    out->v.data = out->data;
    return nib_vectors_convert(rows->data, rows->n, rows->width, &o, out->data, &error) == NIB_OK ? 0
                                                                                                  : cli_fail(&error);
}

/* ---- measures */

static int find_nearest(const eval_run *r, const nib_vectors *queries, const nib_vectors *documents, size_t k,
                        nib_hit *hits, size_t *counts) {
    nib_error error;
    nib_search_options o;
    nib_search_defaults(&o, sizeof o);
    o.runtime = r->runtime;
    o.stop = cli_stop;
    return nib_search(queries, documents, k, &o, hits, counts, &error) == NIB_OK ? 0 : cli_fail(&error);
}

static int measure_pairs(const eval_run *r, const nib_vectors *a, const nib_vectors *b, eval_row *row) {
    const size_t n = a->n, bytes = nib_vector_bytes(b->type, b->width);
    double *scores = malloc((n + 1) * sizeof *scores);
    int code = scores ? 0 : cli_no_memory();
    for (size_t i = 0; i < n && code == 0; i++) {
        nib_vectors query = *a, document = *b;
        nib_hit hit;
        size_t count = 0;
        query.data = (const float *)a->data + i * (size_t)a->width;
        document.data = (const char *)b->data + i * bytes;
        query.n = document.n = 1;
        code = find_nearest(r, &query, &document, 1, &hit, &count);
        scores[i] = count ? hit.score : (double)NAN;
    }
    if (code == 0) row->measures[0] = eval_spearman(scores, r->set.scores, n);
    if (code == 0) row->measures[1] = eval_pearson(scores, r->set.scores, n);
    free(scores);
    return code;
}

static double relevance_of(const eval_judgement *j, size_t n, size_t document) {
    for (size_t i = 0; i < n; i++)
        if (j[i].document == document) return j[i].relevance;
    return 0;
}

/* Of one query, whose judgements these are: adds to the sums; false if nothing answers it. */
static bool add_query(const eval_judgement *j, size_t n, const nib_hit *hits, size_t count, double *judged,
                      double sums[3]) {
    double found[DEEP];
    size_t answers = 0, within[2] = {0};
    for (size_t i = 0; i < n; i++) judged[i] = j[i].relevance, answers += j[i].relevance > 0;
    for (size_t i = 0; i < count; i++) {
        found[i] = relevance_of(j, n, hits[i].index);
        within[0] += found[i] > 0 && i < SHALLOW;
        within[1] += found[i] > 0;
    }
    if (!answers) return false;
    sums[0] += eval_ndcg(found, count, judged, n, SHALLOW);
    sums[1] += (double)within[0] / (double)answers;
    sums[2] += (double)within[1] / (double)answers;
    return true;
}

static int measure_retrieval(const eval_run *r, const nib_vectors *queries, const nib_vectors *documents,
                             eval_row *row) {
    const eval_set *s = &r->set;
    const size_t k = documents->n < DEEP ? documents->n : DEEP;
    nib_hit *hits = calloc(queries->n + 1, k * sizeof *hits);
    size_t *counts = calloc(queries->n + 1, sizeof *counts), asked = 0;
    double *judged = malloc((s->n_judgements + 1) * sizeof *judged), sums[3] = {0};
    int code = hits && counts && judged ? find_nearest(r, queries, documents, k, hits, counts) : cli_no_memory();
    for (size_t i = 0, end; code == 0 && i < s->n_judgements; i = end) {
        const size_t query = s->judgements[i].query;
        for (end = i; end < s->n_judgements && s->judgements[end].query == query;) end++;
        asked += add_query(s->judgements + i, end - i, hits + query * k, counts[query], judged, sums);
    }
    for (int i = 0; i < 3; i++) row->measures[i] = sums[i] / (double)asked;
    free(hits);
    free(counts);
    free(judged);
    return code;
}

/* ---- the table */

static void print_row(eval_run *r, const eval_row *row) {
    const char *const *names = r->set.scores ? pair_measures : found_measures;
    const size_t bytes = nib_vector_bytes(row->type, row->dimensions);
    if (!r->a->json) {
        if (!r->printed++) {
            printf("%-32s  %-9s  %7s  %-8s  %6s", "model", "precision", "numbers", "type", "bytes");
            for (int i = 0; names[i]; i++) printf("  %10s", names[i]);
            puts("");
        }
        const size_t length = strlen(row->model);
        printf("%-32s  %-9s  %7lld  %-8s  %6zu", length > 32 ? row->model + length - 32 : row->model,
               nib_precision_name(row->precision), (long long)row->dimensions, nib_vector_type_name(row->type), bytes);
        for (int i = 0; names[i]; i++) cli_number_print(12, row->measures[i]);
        puts("");
        return;
    }
    printf("%s{\"model\": ", r->printed++ ? ",\n " : "[");
    cli_json_string(row->model);
    printf(", \"precision\": \"%s\", \"dimensions\": %lld, \"type\": \"%s\", \"bytes\": %zu",
           nib_precision_name(row->precision), (long long)row->dimensions, nib_vector_type_name(row->type), bytes);
    for (int i = 0; names[i]; i++) {
        if (isfinite(row->measures[i])) printf(", \"%s\": %.6f", names[i], row->measures[i]);
        else printf(", \"%s\": null", names[i]);
    }
    putchar('}');
}

static int measure(eval_run *r, const nib_vectors *a, const nib_vectors *b, eval_row row) {
    stored first = {0}, second = {0};
    int code = store(a, row.dimensions, NIB_VECTOR_F32, &first);
    if (code == 0) code = store(b, row.dimensions, row.type, &second);
    if (code == 0)
        code = r->set.scores ? measure_pairs(r, &first.v, &second.v, &row)
                             : measure_retrieval(r, &first.v, &second.v, &row);
    if (code == 0) print_row(r, &row);
    free_stored(&first);
    free_stored(&second);
    return code;
}

/* The model's own prompt for queries or documents, where it has one of that name; of pairs the default. */
static const char *prompt_of(const eval_run *r, const nib_model *model, const char *name) {
    const char *text = NULL;
    return !r->set.scores && nib_model_choose_prompt(model, name, &text, NULL) == NIB_OK ? text : NULL;
}

static int measure_model(eval_run *r, const char *path, nib_precision precision) {
    cli_model m = r->a->m;
    nib_model *model = NULL;
    cli_rows a = {0}, b = {0};
    const eval_set *s = &r->set;
    m.path = path;
    m.options.precision = precision;
    m.options.task = NIB_TASK_EMBED;
    int code = cli_model_open(&m, &model);
    if (code == 0)
        code = cli_rows_embed(&a, model, (const char *const *)s->a.texts, s->a.n, prompt_of(r, model, "query"), 0);
    if (code == 0)
        code = cli_rows_embed(&b, model, (const char *const *)s->b.texts, s->b.n, prompt_of(r, model, "document"), 0);
    for (size_t i = 0; i < r->n_cuts && code == 0; i++)
        for (size_t k = 0; k < r->n_types && code == 0; k++) {
            const int64_t dim = a.v.width, cut = r->cuts[i] ? r->cuts[i] : dim;
            if (cut > dim)
                code = cli_usage(r->a->verb, "--dimensions %lld: the vectors of %s have %lld", (long long)cut, path,
                                 (long long)dim);
            else code = measure(r, &a.v, &b.v, (eval_row){path, precision, r->types[k], cut, {0}});
        }
    cli_rows_free(&a);
    cli_rows_free(&b);
    nib_model_free(model);
    return code;
}

static int run_eval(cli_args *a) {
    eval_run r = {.a = a};
    if (a->pairs && a->retrieval) return cli_usage(a->verb, "give --pairs or --retrieval, not both");
    int code = read_lists(&r);
    if (code) return code;
    cli_catch(false);
    code = a->pairs       ? eval_set_read_pairs(&r.set, a->pairs)
           : a->retrieval ? eval_set_read_retrieval(&r.set, a->retrieval)
                          : eval_set_make(&r.set);
    if (code == 0) r.runtime = cli_runtime(&a->m, &code);
    for (size_t i = 0; i < a->plain.count && code == 0; i++) code = cli_model_there(a, a->plain.items[i]);
    if (code == 0 && !a->json) printf("%s\n", r.set.name);
    for (size_t i = 0; i <= a->plain.count && code == 0; i++)
        for (size_t k = 0; k < r.n_precisions && code == 0; k++)
            code = measure_model(&r, i ? a->plain.items[i - 1] : a->m.path, r.precisions[k]);
    if (a->json && r.printed) puts("]");
    if (cli_signal && code) code = 128 + cli_signal;
    eval_set_free(&r.set);
    return code;
}

static const cli_option *const options[] = {
    eval_options, cli_model_option, cli_length_options, cli_group_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_eval = {
    .name = "eval",
    .line = "how good vectors are: models, precisions, cuts and types side by side",
    .usage = "MODEL [MODEL ...] [--pairs FILE | --retrieval DIR] [options]",
    .about = "Measures models on pairs of texts that people scored (Spearman's and Pearson's correlation), or on "
             "queries with\n"
             "documents of which is known which answer (NDCG@10, recall@10, recall@100).\n",
    .options = options,
    .examples = "  nib eval models/all-MiniLM-L6-v2 --precision f32,q8,q4\n"
                "  nib eval models/all-MiniLM-L6-v2 other-model --pairs stsb.tsv --dimensions 0,128 --type "
                "float32,int8,binary\n"
                "  nib eval models/all-MiniLM-L6-v2 --retrieval scifact --json\n",
    .after = "Without a file the pairs are 162 that nib makes of templates: a first answer, and no benchmark. Scores "
             "are those of\n"
             "nib search, cosine or of bits how many agree; queries stay float32, and documents are stored as --type "
             "says, with\n"
             "ranges of their own. Numbers are those of scipy and trec_eval.\n",
    .plain = -1,
    .run = run_eval,
};
