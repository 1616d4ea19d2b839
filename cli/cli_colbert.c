/* SPDX-License-Identifier: Apache-2.0
 *
 * nib colbert. In: a query and documents from a file, or texts of one role. Out: the documents in the order of their
 * MaxSim; or the vectors of the texts' tokens, as JSON lines or .npy.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include "cli_texts.h"
#include "cli_vectors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 1024

static const cli_names roles = {(const char *const[]){NIB_COLBERT_MAP(CLI_NAME_TEXT)},
                                (const int[]){NIB_COLBERT_QUERY, NIB_COLBERT_DOCUMENT, -1}};

static const cli_option colbert_options[] = {
    {"query", 'q', CLI_TEXT, CLI_AT(query), "TEXT", "ranks the documents, a line of FILE each, by this query", 0, 0,
     NULL},
    {"role", 0, CLI_NAME, CLI_AT(role), "ROLE",
     "%s: gives the vectors of the TEXTs, or of the lines of --input, as such", 0, 0, &roles},
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-", "lines whose vectors are wanted; - is standard input", 0, 0,
     NULL},
    {"output", 'o', CLI_FILE, CLI_AT(output), "FILE",
     ".npy: the vectors, and in FILE.offsets.npy where each text's begin; else JSON lines (default: those on standard "
     "output)",
     0, 0, NULL},
    {"pool-factor", 0, CLI_REAL, CLI_AT(pool_factor), "F",
     "about one vector for F tokens of a document: the mean of those near each other", 1, 1e6, NULL},
    {"top-k", 0, CLI_INT, CLI_AT(top_k), "N", "the N best documents alone; more than there are: all", 1, 1 << 30, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one list of JSON of the ranked documents instead", 1, 0, NULL},
    {0},
};

typedef struct colbert_run {
    cli_args *a;
    nib_model *model;
    nib_colbert_role role;
    cli_vectors out; /* of vectors that are wanted */
    nib_tensor *query;
    nib_ranked *ranked; /* [room] of documents that are ranked */
    size_t count, room;
    cli_texts texts;
    long long cut;
} colbert_run;

/* Vectors of n texts of that role, rows [offsets[n], width]; their count goes into r->cut where they are cut. */
static int encode(colbert_run *r, nib_colbert_role role, const char *const *texts, const size_t *lengths, size_t n,
                  int64_t *offsets, nib_tensor **rows) {
    nib_error error;
    nib_colbert_options o;
    int64_t *tokens = calloc(n + 1, sizeof *tokens), *full = calloc(n + 1, sizeof *full);
    int code = tokens && full ? 0 : cli_no_memory();
    *rows = NULL;
    nib_colbert_defaults(&o, sizeof o);
    o.lengths = lengths;
    o.tokens = tokens;
    o.full_tokens = full;
    o.pool_factor = r->a->pool_factor;
    o.stop = cli_stop;
    if (code == 0 && nib_colbert(r->model, role, texts, n, &o, offsets, rows, &error) != NIB_OK)
        code = cli_fail(&error);
    for (size_t i = 0; i < n && code == 0; i++) r->cut += full[i] > tokens[i];
    free(tokens);
    free(full);
    return code;
}

/* ---- vectors */

static int put_batch(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    colbert_run *r = user;
    nib_tensor *rows = NULL;
    int64_t *offsets = calloc(n + 1, sizeof *offsets);
    cli_row *lines = calloc(n + 1, sizeof *lines);
    int code = offsets && lines ? encode(r, r->role, texts, lengths, n, offsets, &rows) : cli_no_memory();
    for (size_t i = 0; i < n && code == 0; i++) lines[i].tokens = offsets[i + 1] - offsets[i];
    if (code == 0) code = cli_vectors_put(&r->out, rows->data, lines, n);
    nib_tensor_free(rows);
    free(offsets);
    free(lines);
    return code;
}

static int give_vectors(colbert_run *r, const char *input) {
    int code = cli_vectors_open(&r->out, &cli_colbert, r->a->output, NIB_VECTOR_F32, nib_model_dim(r->model), true);
    if (code) return code;
    code =
        input ? cli_lines_each(input, BATCH, put_batch, r) : put_batch(r, r->a->plain.items, NULL, r->a->plain.count);
    return cli_vectors_close(&r->out, code);
}

/* ---- ranking */

static nib_vectors rows_of(const nib_tensor *t) {
    return (nib_vectors){.type = NIB_VECTOR_F32, .data = t->data, .n = (size_t)t->dims[0], .width = t->dims[1]};
}

static int score_batch(colbert_run *r, size_t first, size_t n) {
    nib_error error;
    nib_tensor *rows = NULL;
    int64_t *offsets = calloc(n + 1, sizeof *offsets);
    float *scores = calloc(n + 1, sizeof *scores);
    int code = offsets && scores ? 0 : cli_no_memory();
    if (code == 0)
        code = encode(r, NIB_COLBERT_DOCUMENT, (const char *const *)r->texts.texts + first, NULL, n, offsets, &rows);
    if (code == 0) {
        const nib_vectors query = rows_of(r->query), documents = rows_of(rows);
        nib_runtime *runtime = cli_runtime(&r->a->m, &code);
        if (code == 0 && nib_maxsim(runtime, &query, &documents, offsets, n, scores, &error) != NIB_OK)
            code = cli_fail(&error);
    }
    for (size_t i = 0; i < n && code == 0; i++) r->ranked[first + i] = (nib_ranked){first + i, scores[i]};
    nib_tensor_free(rows);
    free(offsets);
    free(scores);
    return code;
}

static int by_score(const void *a, const void *b) {
    const nib_ranked *x = a, *y = b;
    const int nan_x = x->score != x->score, nan_y = y->score != y->score;
    if (nan_x != nan_y) return nan_x - nan_y;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int rank_documents(colbert_run *r, const char *path) {
    int64_t offsets[2];
    int code = cli_texts_read(&r->texts, path);
    if (code) return code;
    r->ranked = calloc(r->texts.n, sizeof *r->ranked);
    if (!r->ranked) return cli_no_memory();
    code = encode(r, NIB_COLBERT_QUERY, &r->a->query, NULL, 1, offsets, &r->query);
    for (size_t at = 0; at < r->texts.n && code == 0; at += BATCH)
        code = score_batch(r, at, r->texts.n - at < BATCH ? r->texts.n - at : BATCH);
    if (code) return code;
    qsort(r->ranked, r->texts.n, sizeof *r->ranked, by_score);
    r->count = r->a->top_k && (size_t)r->a->top_k < r->texts.n ? (size_t)r->a->top_k : r->texts.n;
    cli_ranked_print(&r->texts, r->ranked, r->count, r->a->json);
    return 0;
}

/* ---- the verb */

static int run_colbert(cli_args *a) {
    colbert_run r = {.a = a, .role = (nib_colbert_role)a->role};
    const char *input = NULL;
    int code = 0;
    if (!a->query == !a->role)
        return cli_usage(a->verb, "--query ranks documents, and --role gives vectors: give one of them");
    if (a->query && (a->input || a->output))
        return cli_usage(a->verb,
                         "with --query the documents' file is an argument, and the ranking goes to standard output");
    if (a->query && a->plain.count > 1) return cli_usage(a->verb, "the documents are the lines of one file");
    if (a->role && (a->top_k || a->json))
        return cli_usage(a->verb, "--top-k and --json are of documents that are ranked");
    if (a->role) code = cli_choose_input(a, &input);
    else if (a->plain.count) input = a->plain.items[0];
    else if (cli_stdin_waits()) input = "-";
    else return cli_usage(a->verb, "there are no documents: name a file, or give a pipe or file on standard input");
    if (code) return code;
    cli_catch(false);
    a->m.options.task = NIB_TASK_COLBERT;
    if ((code = cli_model_open(&a->m, &r.model)) != 0) return code;
    code = a->query ? rank_documents(&r, input) : give_vectors(&r, input);
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    if (code == 0 && r.cut && !a->quiet) fprintf(stderr, "nib: %lld texts were too long and were cut\n", r.cut);
    cli_texts_free(&r.texts);
    nib_tensor_free(r.query);
    free(r.ranked);
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {colbert_options,  cli_model_option,  cli_length_options, cli_engine_options,
                                            cli_group_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_colbert = {
    .name = "colbert",
    .line = "late interaction: documents ranked by MaxSim, or vectors of tokens",
    .usage = "--model PATH (--query TEXT [FILE|-] | --role ROLE [TEXT ...]) [options]",
    .about = "With --query orders the documents of FILE, one a line, by the MaxSim of their tokens' vectors with the\n"
             "query's. With --role gives those vectors, of the TEXTs or of the lines of --input.\n",
    .options = options,
    .examples = "  nib colbert --model colbert --query 'who wrote it?' documents.txt\n"
                "  nib colbert --model colbert --role document --input documents.txt --output vectors.npy\n"
                "  nib colbert --model colbert --role query 'who wrote it?'\n",
    .after = "Prefixes, lengths, what queries are filled up with, and the tokens whose vectors documents leave out "
             "come from\n"
             "the model's folder; nib inspect prints them. --json has corpus_id, score and text, as nib rank has.\n",
    .plain = -1,
    .run = run_colbert,
};
