/* SPDX-License-Identifier: Apache-2.0
 *
 * nib rank. In: a query, and documents from a file, a line each. Out: the documents, the best first, for a person or as
 * JSON.
 */
#include "cli.h"
#include "cli_texts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option rank_options[] = {
    {"query", 'q', CLI_TEXT, CLI_AT(query), "TEXT", "what the documents are to answer", 0, 0, NULL},
    {"top-k", 0, CLI_INT, CLI_AT(top_k), "N", "the N best alone; more than there are: all", 1, 1 << 30, NULL},
    {"raw", 0, CLI_FLAG, CLI_AT(raw), NULL, "scores as the model gives them, no probabilities", 1, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one list of JSON instead", 1, 0, NULL},
    {0},
};

static int rank_texts(cli_args *a, nib_model *model, const cli_texts *t) {
    nib_error error;
    nib_rank_options o;
    size_t count = 0;
    long long cut = 0;
    nib_ranked *ranked = calloc(t->n, sizeof *ranked);
    int64_t *tokens = calloc(t->n, sizeof *tokens), *full = calloc(t->n, sizeof *full);
    int code = ranked && tokens && full ? 0 : cli_no_memory();
    nib_rank_defaults(&o, sizeof o);
    o.tokens = tokens;
    o.full_tokens = full;
    o.top = (size_t)a->top_k;
    o.prompt = a->prompt;
    o.prompt_name = a->prompt_name;
    o.scores = a->raw ? NIB_SCORES_RAW : NIB_SCORES_MODEL;
    o.stop = cli_stop;
    if (code == 0 &&
        nib_rank(model, a->query, (const char *const *)t->texts, t->n, &o, ranked, &count, &error) != NIB_OK)
        code = cli_fail(&error);
    if (code == 0) cli_ranked_print(t, ranked, count, a->json);
    for (size_t i = 0; i < t->n && code == 0; i++) cut += full[i] > tokens[i];
    if (cut && !a->quiet)
        fprintf(stderr, "nib: %lld of %zu documents were longer, with the query, than %lld tokens and were cut\n", cut,
                t->n, (long long)nib_model_max_tokens(model));
    free(ranked);
    free(tokens);
    free(full);
    return code == 0 && cli_signal ? 128 + cli_signal : code;
}

static int run_rank(cli_args *a) {
    cli_texts texts = {0};
    nib_model *model;
    const char *path = a->plain.count ? a->plain.items[0] : cli_stdin_waits() ? "-" : NULL;
    if (!a->query) return cli_usage(a->verb, "--query says what the documents are to answer");
    if (!path)
        return cli_usage(a->verb, "there are no documents: name a file, or give a pipe or file on standard input");
    int code = cli_choose_prompt(a);
    if (code) return code;
    cli_catch(false);
    a->m.options.task = NIB_TASK_CLASSIFY;
    code = cli_model_open(&a->m, &model);
    if (code) return code;
    code = cli_texts_read(&texts, path);
    if (code == 0) code = rank_texts(a, model, &texts);
    cli_texts_free(&texts);
    nib_model_free(model);
    return code;
}

static const cli_option *const options[] = {rank_options,       cli_prompt_options, cli_model_option,
                                            cli_length_options, cli_engine_options, cli_group_option,
                                            cli_thread_option,  cli_safety_options, NULL};

const cli_verb cli_rank = {
    .name = "rank",
    .line = "a query and documents -> the documents, the best answer first",
    .usage = "--model PATH --query TEXT [options] [FILE|-]",
    .about = "Orders the documents of FILE, one a line, by how well they answer the query: with a cross encoder, or a\n"
             "reranker of one label or two.\n",
    .options = options,
    .examples = "  nib rank --model cross-encoder --query 'who wrote it?' documents.txt\n"
                "  nib rank --model cross-encoder --query 'who wrote it?' --top-k 10 --json documents.txt\n",
    .after = "A line has the score, the document's line in the file, and the document. --json gives what "
             "CrossEncoder.rank of\n"
             "sentence-transformers does, in one list: corpus_id, which counts from 0, score, text.\n",
    .plain = 1,
    .run = run_rank,
};
