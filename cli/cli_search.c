/* SPDX-License-Identifier: Apache-2.0
 *
 * nib search. In: queries, as texts or vectors, and documents, as an .npy file or a file of texts. Out: the nearest
 * documents of each query, exactly: a line each, or one JSON object a query.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_number.h"
#include "cli_rows.h"
#include "cli_sparse.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_names types = {(const char *const[]){NIB_VECTOR_MAP(CLI_NAME_TEXT)},
                                (const int[]){NIB_VECTOR_BINARY, NIB_VECTOR_UBINARY, -1}};
static const cli_names similarities = {
    (const char *const[]){NIB_SIMILARITY_MAP(CLI_NAME_TEXT)},
    (const int[]){NIB_SIMILARITY_COSINE, NIB_SIMILARITY_DOT, NIB_SIMILARITY_EUCLIDEAN, NIB_SIMILARITY_MANHATTAN,
                  NIB_SIMILARITY_HAMMING, -1}};

static const cli_option search_options[] = {
    {"query", 'q', CLI_LIST, CLI_AT(queries), "TEXT", "what to look for; may be given several times", 0, 0, NULL},
    {"queries", 0, CLI_TEXT, CLI_AT(input), "FILE|-", "a query a line", 0, 0, NULL},
    {"query-vectors", 0, CLI_TEXT, CLI_AT(query_vectors), "FILE.npy",
     "vectors of queries, float32 or what the documents are; no model is needed", 0, 0, NULL},
    {"top", 'k', CLI_INT, CLI_AT(top), "N", "so many documents a query (default 10)", 1, 1 << 30, NULL},
    {"similarity", 0, CLI_NAME, CLI_AT(measure), "S",
     "%s: larger is nearer, a distance has a minus\n(default: what the model says, else cosine; of bits hamming)", 0, 0, &similarities},
    {"type", 0, CLI_NAME, CLI_AT(type), "T",
     "%s: the bytes of the file are bits (default: int8 and uint8 are numbers)", 0, 0, &types},
    {"rescore", 0, CLI_INT, CLI_AT(rescore), "N",
     "N times as many are found first, and scored anew with the query's float32 numbers", 1, 1 << 20, NULL},
    {"rescore-with", 0, CLI_TEXT, CLI_AT(better), "FILE.npy",
     "the same documents in more bits, which they are scored anew with (default: those searched)", 0, 0, NULL},
    {"ranges", 0, CLI_TEXT, CLI_AT(ranges_from), "FILE",
     "what bytes stand for: an .npy of ranges [2, width] or of vectors, or texts (default: NAME.ranges.npy beside\n"
     "the documents' NAME.npy, which nib embed writes)", 0, 0, NULL},
    {"no-prompt", 0, CLI_FLAG, CLI_AT(no_prompt), NULL, "the model's prompts query and document are not used", 1, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object a query", 1, 0, NULL},
    {0},
};

typedef struct search_run {
    cli_args *a;
    nib_model *model; /* NULL: none is needed */
    cli_rows documents, queries, better;
    const char *const *asked; /* the queries' texts; NULL: vectors */
} search_run;

static bool is_bits(const nib_vectors *v) { return v->type == NIB_VECTOR_BINARY || v->type == NIB_VECTOR_UBINARY; }
static bool is_bytes(const nib_vectors *v) { return v->type == NIB_VECTOR_I8 || v->type == NIB_VECTOR_U8; }

/* The prompt of that name for this run; NULL: the model's own default. */
static const char *prompt_of(const search_run *r, const char *name) {
    const bool query = strcmp(name, "query") == 0;
    const char *text = "";
    if (r->a->no_prompt) return "";
    if (r->a->profile) return query ? r->a->prompt : r->a->document_prompt;
    return nib_model_choose_prompt(r->model, name, &text, NULL) == NIB_OK ? text : NULL;
}

static int check_args(cli_args *a) {
    const int given = (a->queries.count > 0) + (a->input != NULL) + (a->query_vectors != NULL);
    if (a->plain.count != 1) return cli_usage(a->verb, "name the documents: an .npy file of vectors, or a file of texts");
    if (given != 1) return cli_usage(a->verb, "give one of --query, --queries and --query-vectors");
    if (!a->m.path && (!a->query_vectors || !cli_is_npy(a->plain.items[0])))
        return cli_usage(a->verb, "texts are embedded by a model: give --model PATH or --profile NAME");
    if (a->better && !a->rescore) return cli_usage(a->verb, "--rescore-with is for --rescore N");
    if (a->better && !cli_is_npy(a->better)) return cli_usage(a->verb, "--rescore-with takes an .npy file of vectors");
    if (a->rescore && !cli_is_npy(a->plain.items[0])) return cli_usage(a->verb, "--rescore is of an .npy file of documents: texts are embedded in f32");
    if (a->type && !a->profile && !cli_is_npy(a->plain.items[0])) return cli_usage(a->verb, "--type is of an .npy file of documents");
    return 0;
}

/* NAME.npy -> NAME.ranges.npy, if it is there. */
static char *ranges_beside(const char *path) {
    static const char tail[] = ".ranges.npy";
    const size_t n = strlen(path) - strlen(".npy"); /* it is named so: check_args */
    char *name = malloc(n + sizeof tail);
    if (!name) return NULL;
    memcpy(name, path, n);
    memcpy(name + n, tail, sizeof tail);
    if (access(name, R_OK) == 0) return name;
    free(name);
    return NULL;
}

static int read_ranges(search_run *r, cli_rows *rows, const char *path) {
    if (!is_bytes(&rows->v)) return 0;
    char *beside = r->a->ranges_from ? NULL : ranges_beside(path);
    const char *from = r->a->ranges_from ? r->a->ranges_from : beside;
    int code = 0;
    if (from) code = cli_ranges_read(&rows->ranges, from, r->model, r->model ? prompt_of(r, "document") : NULL,
                                     rows->v.width, -1);
    else if (!r->a->quiet)
        fprintf(stderr, "nib: %s: without --ranges, bytes count as the numbers they are; bits take --type\n", path);
    rows->v.ranges = rows->ranges;
    free(beside);
    return code;
}

/* How many numbers of the model's are compared: as many as the documents have. Bits are stored by the byte, so that a file does not
 * say how many of the last byte's are numbers: --dimensions does. */
static int64_t cut_for(const search_run *r) {
    const nib_vectors *d = &r->documents.v;
    const int64_t dim = nib_model_dim(r->model), asked = r->a->dimensions;
    int64_t wanted = d->width;
    if (is_bits(d) && asked && (asked + 7) / 8 * 8 == d->width) wanted = asked;
    else if (is_bits(d) && (dim + 7) / 8 * 8 == d->width) wanted = dim;
    else if (is_bits(d) && d->width < dim && !r->a->quiet)
        fprintf(stderr, "nib: %s: %lld to %lld bits a vector, all of which are taken for numbers; --dimensions says how many are\n",
                r->a->plain.items[0], (long long)d->width - 7, (long long)d->width);
    return wanted < dim ? wanted : 0;
}

static int read_documents(search_run *r) {
    const char *path = r->a->plain.items[0];
    if (!cli_is_npy(path))
        return cli_rows_embed_file(&r->documents, r->model, path, prompt_of(r, "document"), r->a->dimensions);
    int code = cli_rows_read(&r->documents, path, (nib_vector_type)r->a->type);
    if (code == 0 && r->a->dimensions && !r->a->profile && !is_bits(&r->documents.v))
        return cli_usage(r->a->verb, "--dimensions is of documents that are texts, or bits: these have %lld numbers", (long long)r->documents.v.width);
    if (code == 0) code = read_ranges(r, &r->documents, path);
    if (code == 0 && r->a->better) code = cli_rows_read(&r->better, r->a->better, NIB_VECTOR_F32);
    if (code == 0 && r->a->better) code = read_ranges(r, &r->better, r->a->better);
    return code;
}

static int read_queries(search_run *r) {
    nib_vectors *q = &r->queries.v, *d = &r->documents.v;
    cli_args *a = r->a;
    int code;
    if (a->query_vectors) {
        code = cli_rows_read(&r->queries, a->query_vectors, NIB_VECTOR_F32);
        if (code == 0 && is_bits(d) && q->type != NIB_VECTOR_F32) { /* bits, too */
            cli_rows_free(&r->queries);
            code = cli_rows_read(&r->queries, a->query_vectors, d->type);
        }
    } else {
        const int64_t cut = cut_for(r);
        const char *prompt = prompt_of(r, "query");
        if (cut && !a->quiet && !a->dimensions)
            fprintf(stderr, "nib: queries are cut to the %lld numbers of the documents\n", (long long)cut);
        code = a->input ? cli_rows_embed_file(&r->queries, r->model, a->input, prompt, cut)
                        : cli_rows_embed(&r->queries, r->model, a->queries.items, a->queries.count, prompt, cut);
        r->asked = a->input ? (const char *const *)r->queries.texts.texts : a->queries.items;
    }
    /* Bits are stored by the byte: how many of the last are numbers, the queries say. */
    if (code == 0 && is_bits(d) && (q->width + 7) / 8 * 8 == d->width) d->width = q->width;
    return code;
}

static void print_json(const search_run *r, size_t i, const nib_hit *hits, size_t count) {
    cli_json j = {0};
    char *const *texts = r->documents.texts.texts;
    cli_json_open(&j, NULL, '{');
    if (r->asked) cli_json_text(&j, "query", r->asked[i]);
    else cli_json_whole(&j, "query", (long long)i);
    cli_json_open(&j, "hits", '[');
    for (size_t k = 0; k < count; k++) {
        cli_json_open(&j, NULL, '{');
        cli_json_whole(&j, "index", (long long)hits[k].index);
        cli_json_real(&j, "score", hits[k].score + 0.0); /* no -0 */
        if (texts) cli_json_text(&j, "text", texts[hits[k].index]);
        cli_json_close(&j);
    }
    cli_json_close(&j);
    cli_json_close(&j);
}

static void print_lines(const search_run *r, size_t i, const nib_hit *hits, size_t count) {
    char *const *texts = r->documents.texts.texts;
    if (r->queries.v.n > 1) printf("%s%s", i ? "\n" : "", r->asked ? r->asked[i] : "");
    if (r->queries.v.n > 1 && !r->asked) printf("query %zu", i);
    if (r->queries.v.n > 1) printf("\n");
    for (size_t k = 0; k < count; k++) {
        cli_number_print(9, hits[k].score + 0.0); /* no -0 */
        printf("  %zu%s%s\n", hits[k].index, texts ? "  " : "", texts ? texts[hits[k].index] : "");
    }
}

static int search_and_print(search_run *r) {
    nib_error error;
    nib_search_options o;
    int code;
    const size_t n = r->queries.v.n, there = r->documents.v.n, top = r->a->top ? (size_t)r->a->top : 10;
    const size_t k = top < there ? top : there ? there : 1;
    nib_search_defaults(&o, sizeof o);
    o.runtime = cli_runtime(&r->a->m, &code);
    if (code) return code;
    o.similarity = (nib_similarity)r->a->measure;
    if (!r->a->measure && r->model && !is_bits(&r->documents.v)) o.similarity = nib_model_similarity(r->model);
    o.rescore = r->a->rescore;
    o.better = r->a->better ? &r->better.v : NULL;
    o.stop = cli_stop;
    nib_hit *hits = calloc((n ? n : 1), k * sizeof *hits);
    size_t *counts = calloc(n ? n : 1, sizeof *counts);
    if (!hits || !counts) code = cli_no_memory();
    else if (nib_search(&r->queries.v, &r->documents.v, k, &o, hits, counts, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; code == 0 && i < n; i++)
        (r->a->json ? print_json : print_lines)(r, i, hits + i * k, counts[i]);
    free(hits);
    free(counts);
    return code;
}

static int run_search(cli_args *a) {
    search_run r = {.a = a};
    if (a->plain.count == 1 && cli_is_npz(a->plain.items[0])) return cli_sparse_search(a);
    int code = check_args(a);
    if (code) return code;
    cli_catch(false);
    a->m.options.task = NIB_TASK_EMBED;
    if (a->m.path && (code = cli_model_open(&a->m, &r.model)) != 0) return code;
    code = read_documents(&r);
    if (code == 0) code = read_queries(&r);
    if (code == 0) code = search_and_print(&r);
    if (cli_signal && code == 1) code = 128 + cli_signal;
    cli_rows_free(&r.documents);
    cli_rows_free(&r.queries);
    cli_rows_free(&r.better);
    nib_model_free(r.model);
    return code;
}

static const cli_option dimensions_option[] = {
    {"dimensions", 0, CLI_WHOLE, CLI_AT(dimensions), "N",
     "of documents that are texts: their vectors are cut to so many numbers; of bits: how many of a vector's are numbers", 1, 1 << 30, NULL},
    {0},
};

static const cli_option *const options[] = {
    search_options,     dimensions_option, cli_recipe_option, cli_model_option,  cli_length_options, cli_engine_options,
    cli_vector_options, cli_group_option,  cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_search = {
    .name = "search",
    .line = "texts or vectors -> the nearest of many",
    .usage = "--model PATH --query TEXT [options] DOCUMENTS",
    .about = "Finds the documents nearest to each query, by looking at all of them. DOCUMENTS is an .npy file of vectors, as\n"
             "nib embed writes it (float32, float16, int8, uint8, or bits), an .npz file of sparse vectors (nib embed --sparse),\n"
             "or a file with a text a line.\n",
    .options = options,
    .examples =
        "  nib search --model models/all-MiniLM-L6-v2 --query 'what is a nib?' texts.txt\n"
        "  nib search --model models/all-MiniLM-L6-v2 --query 'what is a nib?' vectors.npy --top 3 --json\n"
        "  nib search --model models/all-MiniLM-L6-v2 -q 'what is a nib?' bits.npy --type ubinary --rescore 4\n"
        "  nib search --model splade --query 'what is a nib?' documents.npz\n"
        "  nib search --query-vectors queries.npy vectors.npy --similarity dot\n",
    .after = "A line is a score, the document's index from 0 on, and its text if there is one. Of equal scores the smaller\n"
             "index comes first. A vector of zeros has the cosine 0, and what gives NaN is no hit.\n",
    .model = CLI_MODEL_MAYBE,
    .plain = 1,
    .run = run_search,
    .recipes = true,
};
