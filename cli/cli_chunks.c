/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_chunks.h.
 */
#include "cli_chunks.h"

static const cli_names overflows = {
    (const char *const[]){NIB_OVERFLOW_MAP(CLI_NAME_TEXT)},
    (const int[]){NIB_OVERFLOW_TRUNCATE, NIB_OVERFLOW_ERROR, NIB_OVERFLOW_CHUNK, -1}};
static const cli_names aggregates = {(const char *const[]){NIB_AGGREGATE_MAP(CLI_NAME_TEXT)},
                                     (const int[]){NIB_AGGREGATE_MEAN, NIB_AGGREGATE_MAX, NIB_AGGREGATE_WEIGHTED,
                                                   NIB_AGGREGATE_EACH, NIB_AGGREGATE_LATE, -1}};

const cli_option cli_chunk_options[] = {
    {"overflow", 0, CLI_NAME, CLI_AT(overflow), "O",
     "%s: a text that is too long is cut (the default), ends the command, or is embedded in chunks", 0, 0, &overflows},
    {"chunk-tokens", 0, CLI_WHOLE, CLI_AT(chunk_tokens), "N",
     "tokens of a chunk at most, special ones included (default: as many as the model takes)", 1, 1 << 30, NULL},
    {"chunk-overlap", 0, CLI_WHOLE, CLI_AT(chunk_overlap), "N",
     "tokens that a chunk shares with the one before it; with --chunk-sentences whole sentences of so many", 0, 1 << 30,
     NULL},
    {"chunk-sentences", 0, CLI_FLAG, CLI_AT(chunk_sentences), NULL,
     "chunks end behind a sentence, where one ends in their last third", 1, 0, NULL},
    {"aggregate", 0, CLI_NAME, CLI_AT(aggregate), "A",
     "%s: one vector of a text's chunks (mean is the default), or a vector of each; of late, pooled after one\n"
     "pass over the whole text", 0, 0, &aggregates},
    {0},
};

int cli_chunks_check(const cli_args *a) {
    if (a->overflow != NIB_OVERFLOW_CHUNK &&
        (a->chunk_tokens || a->chunk_overlap || a->chunk_sentences || a->aggregate != NIB_AGGREGATE_MEAN))
        return cli_usage(a->verb, "--chunk-tokens, --chunk-overlap, --chunk-sentences and --aggregate are of --overflow chunk");
    if (a->overflow && a->tokens) return cli_usage(a->verb, "--overflow is of texts' vectors, and --tokens gives those of tokens");
    if (cli_chunks_each(a) && a->similarity) return cli_usage(a->verb, "--similarity is of one vector a text");
    if (cli_chunks_each(a) && (a->type == NIB_VECTOR_I8 || a->type == NIB_VECTOR_U8) && !a->ranges_from)
        return cli_usage(a->verb, "vectors of chunks with --type int8 or uint8 take --ranges");
    return 0;
}

void cli_chunks_fill(const cli_args *a, nib_chunk_options *out) {
    nib_chunk_options_defaults(out, sizeof *out);
    out->overflow = (nib_overflow)a->overflow;
    out->aggregate = (nib_aggregate)a->aggregate;
    out->tokens = a->chunk_tokens;
    out->overlap = a->chunk_overlap;
    out->sentences = a->chunk_sentences;
}

bool cli_chunks_each(const cli_args *a) { return a->overflow == NIB_OVERFLOW_CHUNK && a->aggregate >= NIB_AGGREGATE_EACH; }
