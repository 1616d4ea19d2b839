/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_chunks.h.
 */
#include "cli_chunks.h"
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

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
    {"chunk-overlap-sentences", 0, CLI_WHOLE, CLI_AT(chunk_overlap_sentences), "N",
     "sentences that a chunk shares with the one before it, as far as they fill half of one", 0, 1 << 30, NULL},
    {"chunk-sentences", 0, CLI_FLAG, CLI_AT(chunk_sentences), NULL,
     "chunks end behind a sentence, where one ends in their last third", 1, 0, NULL},
    {"aggregate", 0, CLI_NAME, CLI_AT(aggregate), "A",
     "%s: one vector of a text's chunks (mean is the default), or a vector of each; of late, pooled after one\n"
     "pass over the whole text", 0, 0, &aggregates},
    {"stream", 0, CLI_FLAG, CLI_AT(stream), NULL,
     "standard input is one text without an end: a vector of each chunk as soon as it is there", 1, 0, NULL},
    {0},
};

int cli_chunks_check(const cli_args *a) {
    if (a->stream && (a->overflow || a->aggregate || a->tokens || a->similarity || a->input || a->plain.count || a->jsonl ||
                      a->with_text))
        return cli_usage(a->verb, "--stream is of standard input alone, and gives a vector of each chunk");
    if (a->stream && (a->type == NIB_VECTOR_I8 || a->type == NIB_VECTOR_U8) && !a->ranges_from)
        return cli_usage(a->verb, "--stream with --type int8 or uint8 takes --ranges");
    if (a->overflow != NIB_OVERFLOW_CHUNK && !a->stream &&
        (a->chunk_tokens || a->chunk_overlap || a->chunk_overlap_sentences || a->chunk_sentences || a->aggregate != NIB_AGGREGATE_MEAN))
        return cli_usage(a->verb, "--chunk-tokens, --chunk-overlap, --chunk-overlap-sentences, --chunk-sentences and --aggregate are of --overflow chunk");
    if (a->chunk_overlap && a->chunk_overlap_sentences)
        return cli_usage(a->verb, "--chunk-overlap is in tokens, --chunk-overlap-sentences in sentences: give one of them");
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
    out->overlap_sentences = a->chunk_overlap_sentences;
}

bool cli_chunks_each(const cli_args *a) { return a->overflow == NIB_OVERFLOW_CHUNK && a->aggregate >= NIB_AGGREGATE_EACH; }

/* ---- a stream */

typedef struct streaming {
    cli_vectors *out;
    int code;
} streaming;

static void put_chunk(void *user, const nib_stream_chunk *chunk, const void *row) {
    streaming *s = user;
    const int64_t span[1][3] = {{(int64_t)chunk->begin, (int64_t)chunk->end, chunk->tokens}};
    const cli_row line = {.tokens = chunk->tokens, .chunks = span, .n_chunks = 1};
    if (s->code == 0) s->code = cli_vectors_put(s->out, row, &line, 1);
}

int cli_stream(const cli_args *a, nib_model *model, const nib_vector_options *stored, cli_vectors *out) {
    static char bytes[65536];
    streaming s = {.out = out};
    nib_chunk_options chunks;
    nib_embed_options embed;
    nib_stream_options o;
    nib_stream *stream;
    nib_error error;
    nib_status status;
    cli_chunks_fill(a, &chunks);
    chunks.overflow = NIB_OVERFLOW_CHUNK;
    chunks.aggregate = NIB_AGGREGATE_EACH;
    nib_embed_defaults(&embed, sizeof embed);
    embed.chunks = &chunks;
    embed.vectors = stored;
    embed.prompt = a->prompt;
    embed.prompt_name = a->prompt_name;
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.vector = put_chunk;
    o.user = &s;
    if ((status = nib_stream_open(model, &o, &stream, &error)) != NIB_OK) return cli_fail(&error);
    while (status == NIB_OK && s.code == 0 && !cli_signal) {
        size_t taken;
        const ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) s.code = (perror("nib: standard input"), 1);
        if (n <= 0) break;
        status = nib_stream_feed(stream, bytes, (size_t)n, &taken, &error);
    }
    if (status == NIB_OK && s.code == 0 && !cli_signal) status = nib_stream_end(stream, &error);
    if (status != NIB_OK && s.code == 0) s.code = cli_fail(&error);
    if (cli_signal && s.code == 0) s.code = (fputs("nib: interrupted\n", stderr), 128 + cli_signal);
    nib_stream_free(stream);
    return s.code;
}
