/* SPDX-License-Identifier: Apache-2.0
 *
 * In: texts. Out: JSON lines of sparse vectors, and of dense ones and rows of tokens beside them, as BGE-M3 gives all
 * three; or one .npz file. See cli_sparse.h.
 */
#include "cli_sparse.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1024
enum { TOKENS, IDS };

static const cli_names formats = {(const char *const[]){"tokens", "ids"}, (const int[]){TOKENS, IDS, -1}};

const cli_option cli_sparse_options[] = {
    {"sparse", 0, CLI_FLAG, CLI_AT(sparse), NULL,
     "a weight for each word of the vocabulary (SPLADE, inference-free queries, BGE-M3) instead of a vector", 1, 0,
     NULL},
    {"dense", 0, CLI_FLAG, CLI_AT(dense), NULL, "of BGE-M3 the dense vectors, too, in the same pass", 1, 0, NULL},
    {"colbert", 0, CLI_FLAG, CLI_AT(late), NULL, "of BGE-M3 the vectors of tokens, too, in the same pass", 1, 0, NULL},
    {"top", 0, CLI_INT, CLI_AT(top), "N", "with --sparse: only the N largest weights of each text", 1, 1 << 30, NULL},
    {"format", 0, CLI_NAME, CLI_AT(keys), "F", "with --sparse: %s: what the weights are of in JSON lines", 0, 0,
     &formats},
    {0},
};

bool cli_sparse_wanted(const cli_args *a) { return a->sparse || a->dense || a->late; }

bool cli_is_npz(const char *path) {
    const size_t n = path ? strlen(path) : 0;
    return n > 4 && strcmp(path + n - 4, ".npz") == 0;
}

typedef struct sparse_run {
    cli_args *a;
    nib_model *model;
    nib_tokenizer *tokenizer;
    bool hybrid;    /* keys are FlagEmbedding's */
    nib_sparse all; /* what goes into a file, so far; its arrays are ours */
    size_t room, numbers_room;
    long long index, cut;
} sparse_run;

/* ---- JSON */

/* Numbers are written as nib embed writes them: the shortest that reads back as the same float. */
static void print_floats(const char *key, const float *x, int64_t n) {
    if (key) printf("%s: ", key);
    putchar('[');
    for (int64_t k = 0; k < n; k++) {
        if (isfinite(x[k])) printf("%s%.9g", k ? ", " : "", (double)x[k]);
        else printf("%snull", k ? ", " : "");
    }
    putchar(']');
}

static const float *sorting; /* the weights that `by_weight` looks at */

static int by_weight(const void *a, const void *b) {
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const float x = sorting[i], y = sorting[j];
    if (isnan(x) || isnan(y)) return isnan(x) ? isnan(y) ? (i > j) - (i < j) : -1 : 1;
    return x > y ? -1 : x < y ? 1 : (i > j) - (i < j);
}

static int print_words(const sparse_run *r, const nib_sparse *s, size_t i) {
    const int64_t first = s->offsets[i], n = s->offsets[i + 1] - first;
    int64_t *order = malloc((size_t)(n + 1) * sizeof *order);
    if (!order) return cli_no_memory();
    for (int64_t k = 0; k < n; k++) order[k] = first + k;
    sorting = s->values;
    qsort(order, (size_t)n, sizeof *order, by_weight);
    printf("\"%s\": {", r->hybrid ? "lexical_weights" : "sparse");
    for (int64_t k = 0; k < n; k++) {
        const int32_t id = s->indices[order[k]];
        const float x = s->values[order[k]];
        size_t length = 0;
        const char *token = r->a->keys == IDS ? NULL : nib_tokenizer_token(r->tokenizer, id, &length);
        fputs(k ? ", " : "", stdout);
        if (token) cli_json_bytes(token, length);
        else printf("\"%d\"", id);
        if (isfinite(x)) printf(": %.9g", (double)x);
        else printf(": null");
    }
    putchar('}');
    free(order);
    return 0;
}

/* ---- one .npz */

static int grow(void **array, size_t element, size_t need) {
    void *grown = realloc(*array, need * element);
    if (!grown) return cli_no_memory();
    *array = grown;
    return 0;
}

static int keep(sparse_run *r, const nib_sparse *s) {
    nib_sparse *all = &r->all;
    const size_t n = all->n + s->n, had = all->n ? (size_t)all->offsets[all->n] : 0,
                 numbers = had + (size_t)s->offsets[s->n];
    int code = 0;
    if (n + 1 > r->room) code = grow((void **)&all->offsets, sizeof *all->offsets, r->room = 2 * n + 1);
    if (code == 0 && numbers + 1 > r->numbers_room) {
        r->numbers_room = 2 * numbers + 1;
        code = grow((void **)&all->indices, sizeof *all->indices, r->numbers_room);
        if (code == 0) code = grow((void **)&all->values, sizeof *all->values, r->numbers_room);
    }
    if (code) return code;
    for (size_t i = 0; i <= s->n; i++) all->offsets[all->n + i] = (int64_t)had + s->offsets[i];
    memcpy(all->indices + had, s->indices, (size_t)s->offsets[s->n] * sizeof *s->indices);
    memcpy(all->values + had, s->values, (size_t)s->offsets[s->n] * sizeof *s->values);
    all->n = n;
    all->width = s->width;
    return 0;
}

/* ---- texts */

typedef struct batch {
    float *dense; /* [n, width] */
    nib_sparse *sparse;
    int64_t *offsets, *tokens, *full;
    nib_tensor *rows;
} batch;

static int print_batch(sparse_run *r, const batch *b, size_t n) {
    const int64_t width = b->dense ? nib_model_dim(r->model) : 0;
    int code = 0;
    for (size_t i = 0; i < n && code == 0; i++) {
        printf("{\"index\": %lld, \"tokens\": %lld, \"truncated\": %s", r->index + (long long)i,
               (long long)b->tokens[i], b->full[i] > b->tokens[i] ? "true" : "false");
        if (b->dense) print_floats(", \"dense_vecs\"", b->dense + i * (size_t)width, width);
        if (b->sparse) fputs(", ", stdout), code = print_words(r, b->sparse, i);
        if (b->rows) {
            const int64_t W = b->rows->dims[1];
            fputs(", \"colbert_vecs\": [", stdout);
            for (int64_t k = b->offsets[i]; k < b->offsets[i + 1]; k++) {
                if (k > b->offsets[i]) fputs(", ", stdout);
                print_floats(NULL, (const float *)b->rows->data + k * W, W);
            }
            putchar(']');
        }
        puts("}");
    }
    fflush(stdout);
    return code;
}

static nib_status embed(sparse_run *r, const char *const *texts, size_t n, const nib_sparse_options *o, batch *b,
                        nib_error *error) {
    const cli_args *a = r->a;
    if (!r->hybrid) return nib_embed_sparse(r->model, texts, n, o, &b->sparse, error);
    return nib_embed_hybrid(r->model, texts, n, o, a->dense ? b->dense : NULL, a->sparse ? &b->sparse : NULL,
                            a->late ? b->offsets : NULL, a->late ? &b->rows : NULL, error);
}

static int put_batch(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    sparse_run *r = user;
    nib_error error;
    nib_sparse_options o;
    const int64_t width = r->a->dense ? nib_model_dim(r->model) : 0;
    batch b = {.offsets = calloc(n + 1, sizeof *b.offsets),
               .tokens = calloc(n + 1, sizeof *b.tokens),
               .full = calloc(n + 1, sizeof *b.full)};
    if (r->a->dense) b.dense = calloc(n + 1, (size_t)(width > 0 ? width : 1) * sizeof *b.dense);
    int code = b.offsets && b.tokens && b.full && (b.dense || !r->a->dense) ? 0 : cli_no_memory();
    nib_sparse_defaults(&o, sizeof o);
    o.lengths = lengths;
    o.tokens = b.tokens;
    o.full_tokens = b.full;
    o.prompt = r->a->prompt;
    o.prompt_name = r->a->prompt_name;
    o.top = r->a->top;
    o.stop = cli_stop;
    if (code == 0 && embed(r, texts, n, &o, &b, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; i < n && code == 0; i++) r->cut += b.full[i] > b.tokens[i];
    if (code == 0) code = r->a->output ? keep(r, b.sparse) : print_batch(r, &b, n);
    r->index += (long long)n;
    nib_sparse_free(b.sparse);
    nib_tensor_free(b.rows);
    free(b.dense);
    free(b.offsets);
    free(b.tokens);
    free(b.full);
    return code;
}

static int check_args(cli_args *a, const char **input) {
    if (a->similarity || a->tokens || a->type || a->dimensions || a->ranges_from || a->format || a->with_text ||
        a->jsonl || a->stream)
        return cli_usage(a->verb,
                         "--sparse, --dense and --colbert give JSON lines of their own: how vectors are stored, "
                         "records and --tokens are not of them");
    if (!a->sparse && (a->top || a->keys)) return cli_usage(a->verb, "--top and --format are of --sparse");
    if (a->output && (!cli_is_npz(a->output) || a->dense || a->late))
        return cli_usage(a->verb,
                         "--output takes an .npz file, of sparse vectors alone; JSON lines go to standard output");
    const int code = cli_choose_input(a, input);
    return code ? code : cli_choose_prompt(a);
}

static int write_all(sparse_run *r) {
    nib_error error;
    if (!r->all.offsets) return fputs("nib: there are no texts to write vectors of\n", stderr), 2;
    return nib_sparse_write(r->a->output, &r->all, &error) == NIB_OK ? 0 : cli_fail(&error);
}

int cli_sparse_embed(cli_args *a) {
    sparse_run r = {.a = a, .hybrid = a->dense || a->late};
    const char *input = NULL;
    nib_error error;
    int code = check_args(a, &input);
    if (code) return code;
    cli_catch(false);
    const bool several = a->sparse + a->dense + a->late > 1;
    a->m.options.task = several     ? NIB_TASK_HYBRID
                        : a->sparse ? NIB_TASK_SPARSE
                        : a->dense  ? NIB_TASK_EMBED
                                    : NIB_TASK_COLBERT;
    if ((code = cli_model_open(&a->m, &r.model)) != 0) return code;
    if (nib_model_tokenizer(r.model, &r.tokenizer, &error) != NIB_OK) code = cli_fail(&error);
    if (code == 0)
        code =
            input ? cli_lines_each(input, BATCH, put_batch, &r) : put_batch(&r, a->plain.items, NULL, a->plain.count);
    if (code == 0 && a->output) code = write_all(&r);
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    if (code == 0 && r.cut && !a->quiet)
        fprintf(stderr, "nib: %lld of %lld texts were longer than %lld tokens and were cut\n", r.cut, r.index,
                (long long)nib_model_max_tokens(r.model));
    free(r.all.offsets);
    free(r.all.indices);
    free(r.all.values);
    nib_tokenizer_free(r.tokenizer);
    nib_model_free(r.model);
    return code;
}

/* ---- search */

static void print_hits(const cli_args *a, const char *const *asked, size_t i, size_t n, const nib_hit *hits,
                       size_t count) {
    cli_json j = {0};
    if (a->json) {
        cli_json_open(&j, NULL, '{');
        if (asked) cli_json_text(&j, "query", asked[i]);
        else cli_json_whole(&j, "query", (long long)i);
        cli_json_open(&j, "hits", '[');
    } else if (n > 1) {
        printf("%s", i ? "\n" : "");
        if (asked) printf("%s\n", asked[i]);
        else printf("query %zu\n", i);
    }
    for (size_t k = 0; k < count; k++) {
        if (!a->json) {
            cli_number_print(9, hits[k].score + 0.0);
            printf("  %zu\n", hits[k].index);
            continue;
        }
        cli_json_open(&j, NULL, '{');
        cli_json_whole(&j, "index", (long long)hits[k].index);
        cli_json_real(&j, "score", hits[k].score + 0.0); /* no -0 */
        cli_json_close(&j);
    }
    if (a->json) cli_json_close(&j), cli_json_close(&j);
}

/* The queries as sparse vectors: read, or made of texts. */
static int read_queries(cli_args *a, nib_sparse **out) {
    nib_error error;
    nib_model *model = NULL;
    nib_sparse_options o;
    const char *text = NULL;
    if (a->query_vectors) return nib_sparse_read(a->query_vectors, out, &error) == NIB_OK ? 0 : cli_fail(&error);
    a->m.options.task = NIB_TASK_SPARSE;
    int code = cli_model_open(&a->m, &model);
    if (code) return code;
    nib_sparse_defaults(&o, sizeof o);
    o.stop = cli_stop;
    o.prompt = a->no_prompt ? "" : NULL;
    o.prompt_name = !a->no_prompt && nib_model_choose_prompt(model, "query", &text, NULL) == NIB_OK ? "query" : NULL;
    if (nib_embed_sparse(model, a->queries.items, a->queries.count, &o, out, &error) != NIB_OK) code = cli_fail(&error);
    nib_model_free(model);
    return code;
}

static int search(cli_args *a, const nib_sparse *queries, const nib_sparse *documents) {
    nib_error error;
    nib_search_options o;
    int code;
    const size_t top = a->top ? (size_t)a->top : 10, there = documents->n ? documents->n : 1,
                 k = top < there ? top : there;
    nib_search_defaults(&o, sizeof o);
    o.runtime = cli_runtime(&a->m, &code);
    if (code) return code;
    o.similarity = (nib_similarity)a->measure;
    o.stop = cli_stop;
    nib_hit *hits = calloc(queries->n + 1, k * sizeof *hits);
    size_t *counts = calloc(queries->n + 1, sizeof *counts);
    if (!hits || !counts) code = cli_no_memory();
    else if (nib_sparse_search(queries, documents, k, &o, hits, counts, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; code == 0 && i < queries->n; i++)
        print_hits(a, a->query_vectors ? NULL : a->queries.items, i, queries->n, hits + i * k, counts[i]);
    free(hits);
    free(counts);
    return code;
}

int cli_sparse_search(cli_args *a) {
    nib_sparse *queries = NULL, *documents = NULL;
    nib_error error;
    if (a->input || (a->queries.count > 0) + (a->query_vectors != NULL) != 1)
        return cli_usage(a->verb, "of sparse documents the queries are --query TEXT, or --query-vectors FILE.npz");
    if (a->query_vectors && !cli_is_npz(a->query_vectors))
        return cli_usage(a->verb, "sparse documents take queries in an .npz file");
    if (!a->query_vectors && !a->m.path) return cli_usage(a->verb, "texts are embedded by a model: give --model PATH");
    if (a->type || a->rescore || a->better || a->ranges_from || a->dimensions)
        return cli_usage(a->verb, "sparse vectors are float32, and have no type, ranges or rescoring");
    cli_catch(false);
    int code = nib_sparse_read(a->plain.items[0], &documents, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (code == 0) code = read_queries(a, &queries);
    if (code == 0) code = search(a, queries, documents);
    if (cli_signal && code == 1) code = 128 + cli_signal;
    nib_sparse_free(queries);
    nib_sparse_free(documents);
    return code;
}
