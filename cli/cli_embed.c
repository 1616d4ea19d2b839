/* SPDX-License-Identifier: Apache-2.0
 *
 * nib embed. In: texts from the command line, or lines of a file or pipe. Out: one vector a text, or a token, in input
 * order, as .npy or as JSON lines. A named file appears whole or not at all, also after Ctrl-C.
 */
#include "cli_chunks.h"
#include "cli_lines.h"
#include "cli_number.h"
#include "cli_record.h"
#include "cli_rows.h"
#include "cli_sparse.h"
#include "cli_vectors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCH 4096
#define BATCH_TOKENS 256 /* texts whose tokens' vectors are in memory at a time */
#define BAR 24 /* characters of the progress bar */

static const cli_names formats = {(const char *const[]){"lines", "jsonl"}, (const int[]){0, 1, -1}};

static const cli_names types = {(const char *const[]){NIB_VECTOR_MAP(CLI_NAME_TEXT)},
                                (const int[]){NIB_VECTOR_F32, NIB_VECTOR_F16, NIB_VECTOR_I8, NIB_VECTOR_U8,
                                              NIB_VECTOR_BINARY, NIB_VECTOR_UBINARY, -1}};
static const cli_names encodings = {(const char *const[]){"float", "base64"}, (const int[]){0, 1, -1}};

static const cli_option stored_options[] = {
    {"dimensions", 0, CLI_WHOLE, CLI_AT(dimensions), "N",
     "only the first N numbers of each vector, made of length 1 again (Matryoshka)", 1, 1 << 30, NULL},
    {"type", 0, CLI_NAME, CLI_AT(type), "T",
     "%s: how numbers are stored (the precision of sentence-transformers)", 0, 0, &types},
    {"ranges", 0, CLI_TEXT, CLI_AT(ranges_from), "FILE",
     "of int8 and uint8: texts or vectors (.npy) to calibrate on, or the ranges [2, N] themselves (default: the\n"
     "vectors that are made, which then are held until the last)", 0, 0, NULL},
    {"encoding-format", 0, CLI_NAME, CLI_AT(format), "F",
     "%s: in JSON lines, numbers or their bytes, little endian (as OpenAI's API)", 0, 0, &encodings},
    {0},
};

static const cli_option embed_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "lines to embed; - is standard input, answered whenever it pauses (read, too, where no text is given\nand it is a "
     "pipe or a file)",
     0, 0, NULL},
    {"output", 'o', CLI_TEXT, CLI_AT(output), "FILE|-",
     "FILE.npy (float32 [n, dim]), FILE.jsonl, or - for .npy on standard output (default: JSON lines there)", 0, 0,
     NULL},
    {"input-format", 0, CLI_NAME, CLI_AT(jsonl), "F",
     "%s: a text each (the default), or {\"id\": .., \"text\": ..} each, whose id comes out again", 0, 0, &formats},
    {"with-text", 0, CLI_FLAG, CLI_AT(with_text), NULL, "JSON lines have the text, too, as \"text\"", 1, 0, NULL},
    {"warm", 0, CLI_FLAG, CLI_AT(warm), NULL,
     "take and touch all memory before the first text comes: the first answer is as fast as later ones", 1, 0, NULL},
    {"tokens", 0, CLI_FLAG, CLI_AT(tokens), NULL,
     "a vector of each token, before they are pooled, instead of one of each text", 1, 0, NULL},
    {"similarity", 0, CLI_FLAG, CLI_AT(similarity), NULL, "print how similar the texts are instead of their vectors", 1,
     0, NULL},
    {0},
};

typedef struct embed_run {
    cli_args *a;
    nib_model *model;
    cli_vectors out;
    nib_vector_options stored; /* how vectors are written */
    int64_t dim;               /* numbers of one */
    float *ranges;             /* [2, dim] of int8 and uint8 */
    bool own_ranges;           /* they come from the vectors themselves, which are held till then: */
    float *held;               /* [n_held, dim] */
    size_t n_held, held_room;
    void *vectors;
    nib_tensor *rows_of_tokens; /* --tokens, and a vector of each chunk: these instead, of the last batch */
    nib_tensor *spans;          /* of the chunks */
    int64_t *tokens, *full, *offsets;
    cli_row *rows;
    cli_record *records; /* [n_records] of the lines of this batch, where they are JSON */
    const char **texts;
    size_t *lengths, n_records;
    long long line;
    size_t room;
    const cli_lines *lines; /* where texts come from; NULL: the command line */
    unsigned long long before; /* bytes of them that were done before this batch */
    bool progress;
    double begun, shown;
} embed_run;

static void show_progress(embed_run *r, uint64_t done, uint64_t of, bool last);

/* Now and then in the middle of a batch, of which so many texts are done. */
static int stop_or_show(void *user, uint64_t done, uint64_t total) {
    show_progress(user, done, total, false);
    return cli_signal != 0;
}

static void free_batch(embed_run *r) {
    nib_tensor_free(r->rows_of_tokens);
    nib_tensor_free(r->spans);
    r->spans = NULL;
    free(r->vectors);
    free(r->tokens);
    free(r->full);
    free(r->offsets);
    free(r->rows);
    r->rows_of_tokens = NULL;
}

static int make_room(embed_run *r, size_t n) {
    const size_t bytes = r->out.ragged ? 0 : (size_t)r->dim * sizeof(float); /* or fewer */
    if (n <= r->room) return 0;
    free_batch(r);
    r->vectors = malloc(n * (bytes ? bytes : 1));
    r->tokens = malloc(n * sizeof *r->tokens);
    r->full = malloc(n * sizeof *r->full);
    r->offsets = malloc((n + 1) * sizeof *r->offsets);
    r->rows = malloc(n * sizeof *r->rows);
    r->room = n;
    return r->vectors && r->tokens && r->full && r->offsets && r->rows ? 0 : cli_no_memory();
}

static int embed_batch(embed_run *r, const char *const *texts, const size_t *lengths, size_t n) {
    nib_error error;
    nib_embed_options o;
    int code = make_room(r, n);
    if (code) return code;
    nib_embed_defaults(&o, sizeof o);
    o.lengths = lengths;
    o.tokens = r->tokens;
    o.full_tokens = r->full;
    o.prompt = r->a->prompt;
    o.prompt_name = r->a->prompt_name;
    o.stop = stop_or_show;
    o.stop_user = r;
    o.vectors = &r->stored;
    nib_chunk_options chunks;
    cli_chunks_fill(r->a, &chunks);
    o.chunks = &chunks;
    nib_tensor_free(r->rows_of_tokens);
    nib_tensor_free(r->spans);
    r->rows_of_tokens = r->spans = NULL;
    nib_status status = cli_chunks_each(r->a)
                            ? nib_embed_chunks(r->model, texts, n, &o, r->offsets, &r->spans, &r->rows_of_tokens, &error)
                        : r->a->tokens ? nib_embed_tokens(r->model, texts, n, &o, r->offsets, &r->rows_of_tokens, &error)
                                     : nib_embed(r->model, texts, n, &o, r->vectors, &error);
    return status == NIB_OK ? 0 : cli_fail(&error);
}

/* Of a batch whose ranges are not known yet: kept as f32. */
static int hold_batch(embed_run *r, size_t n) {
    if (r->n_held + n > r->held_room) {
        const size_t room = 2 * (r->n_held + n);
        float *grown = realloc(r->held, room * (size_t)r->dim * sizeof *grown);
        if (!grown) return cli_no_memory();
        r->held = grown;
        r->held_room = room;
    }
    memcpy(r->held + r->n_held * (size_t)r->dim, r->vectors, n * (size_t)r->dim * sizeof *r->held);
    r->n_held += n;
    return 0;
}

/* Ranges of n f32 vectors, cut already, which become what they are stored as, in place: a byte lies before its number. */
static int convert_by_own(embed_run *r, float *vectors, size_t n) {
    nib_error error;
    nib_vector_options o = r->stored;
    const size_t dim = (size_t)r->dim;
    if (n < 2) {
        fprintf(stderr, "nib: %zu vectors have no ranges: --type %s takes --ranges FILE, or more texts\n",
                n, nib_vector_type_name((nib_vector_type)r->a->type));
        return 2;
    }
    o.type = (nib_vector_type)r->a->type;
    o.dimensions = 0;
    o.normalize = 0;
    r->ranges = malloc(2 * dim * sizeof *r->ranges);
    char *bytes = malloc(n * dim);
    if (!r->ranges || !bytes) return free(bytes), cli_no_memory();
    nib_status status = nib_vectors_ranges(vectors, n, r->dim, &o, r->ranges, &error);
    o.ranges = r->ranges;
    o.ranges_width = r->dim;
    if (status == NIB_OK) status = nib_vectors_convert(vectors, n, r->dim, &o, bytes, &error);
    if (status == NIB_OK) memcpy(vectors, bytes, n * dim);
    free(bytes);
    if (status != NIB_OK) return cli_fail(&error);
    if (!r->a->quiet)
        fprintf(stderr, "nib: the ranges of %s are those of these %zu vectors; --ranges FILE takes them from elsewhere\n",
                nib_vector_type_name(o.type), n);
    return 0;
}

static int output_held(embed_run *r) {
    int code = convert_by_own(r, r->held, r->n_held);
    cli_row *rows = code ? NULL : calloc(r->n_held, sizeof *rows);
    if (code == 0 && !rows) code = cli_no_memory();
    const long long truncated = r->out.truncated;
    r->out.index = 0;
    if (code == 0) code = cli_vectors_put(&r->out, r->held, rows, r->n_held);
    r->out.truncated = truncated;
    free(rows);
    return code;
}

static int output_batch(embed_run *r, const char *const *texts, const size_t *lengths, size_t n) {
    if (r->own_ranges && r->lines) { /* only how many, for progress and the end's remark */
        for (size_t i = 0; i < n; i++) r->out.truncated += r->full[i] > r->tokens[i];
        r->out.index += (long long)n;
        return hold_batch(r, n);
    }
    int code = r->own_ranges ? convert_by_own(r, r->vectors, n) : 0;
    if (code) return code;
    for (size_t i = 0; i < n; i++) {
        r->rows[i] = (cli_row){.tokens = r->tokens[i], .truncated = r->full[i] > r->tokens[i]};
        if (r->spans) {
            r->rows[i].chunks = (const int64_t(*)[3])r->spans->data + r->offsets[i];
            r->rows[i].n_chunks = r->offsets[i + 1] - r->offsets[i];
        }
        if (r->n_records) r->rows[i].id = r->records[i].id, r->rows[i].id_length = r->records[i].id_length;
        if (r->a->with_text) r->rows[i].text = texts[i], r->rows[i].length = lengths ? lengths[i] : strlen(texts[i]);
    }
    return cli_vectors_put(&r->out, r->out.ragged ? r->rows_of_tokens->data : r->vectors, r->rows, n);
}

static void free_records(embed_run *r) {
    for (size_t i = 0; i < r->n_records; i++) cli_record_free(&r->records[i]);
    free(r->records);
    free(r->texts);
    free(r->lengths);
    r->records = NULL;
    r->texts = NULL;
    r->lengths = NULL;
    r->n_records = 0;
}

/* The texts of n lines of JSON, in place of the lines. */
static int read_records(embed_run *r, const char *path, size_t n, const char *const **texts, const size_t **lengths) {
    free_records(r);
    r->records = calloc(n, sizeof *r->records);
    r->texts = malloc(n * sizeof *r->texts);
    r->lengths = malloc(n * sizeof *r->lengths);
    if (!r->records || !r->texts || !r->lengths) return cli_no_memory();
    for (r->n_records = 0; r->n_records < n;) {
        size_t i = r->n_records++;
        const char *wrong = cli_record_read(&r->records[i], (*texts)[i], (*lengths)[i]);
        r->line++;
        if (wrong) return fprintf(stderr, "nib: %s: line %lld %s\n", path, r->line, wrong), 2;
        r->texts[i] = r->records[i].text;
        r->lengths[i] = r->records[i].length;
    }
    *texts = r->texts;
    *lengths = r->lengths;
    return 0;
}

/* One line that is drawn over the last one; cut off where the terminal ends, for what wraps stays. `done` texts of the
 * batch, which has `of`, are done and not written yet. */
static void show_progress(embed_run *r, uint64_t done, uint64_t of, bool last) {
    unsigned long long read, total;
    double t = cli_now(), seconds = t - r->begun, texts = (double)r->out.index + (double)done;
    char line[200], bar[BAR + 1];
    if (!r->progress || !r->lines || (!last && t - r->shown < 0.2)) return;
    r->shown = t;
    cli_lines_progress(r->lines, &read, &total);
    int width = cli_terminal_width() - 1, n = 0, size = width < 60 ? 0 : BAR;
    double bytes = (double)read;
    if (of > 0) bytes = (double)r->before + (double)(read - r->before) * (double)done / (double)of;
    double share = total ? bytes / (double)total : 0;
    for (int i = 0; i < size; i++) bar[i] = (double)i < share * size ? '#' : '.';
    bar[size] = 0;
    if (total && size) n += snprintf(line + n, sizeof line - (size_t)n, "[%s] ", bar);
    if (total) n += snprintf(line + n, sizeof line - (size_t)n, "%3.0f %%  ", 100 * share);
    n += snprintf(line + n, sizeof line - (size_t)n, "%.0f texts, %.0f a second", texts,
                  seconds > 0 ? texts / seconds : 0.0);
    if (share > 0 && !last) snprintf(line + n, sizeof line - (size_t)n, ", %.0f s left", seconds / share * (1 - share));
    fprintf(stderr, "\r\033[K%.*s%s", width > 0 ? width : 0, line, last ? "\n" : "");
    fflush(stderr);
}

static int embed_lines(embed_run *r, const char *path) {
    const char *reason = NULL;
    const char *const *texts;
    const size_t *lengths;
    int code = 0;
    cli_lines *lines = cli_lines_open(path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", path, reason), 2;
    r->lines = lines;
    for (size_t most = 64; code == 0 && !cli_signal;
         most = r->out.ragged ? BATCH_TOKENS : BATCH) { /* a small first batch: the first answer comes early */
        unsigned long long total;
        cli_lines_progress(lines, &r->before, &total);
        long n = cli_lines_next(lines, most, &texts, &lengths, &reason);
        if (n < 0) code = (fprintf(stderr, "nib: %s: %s\n", path, reason), 1);
        if (n <= 0) break;
        if (code == 0 && r->a->jsonl) code = read_records(r, path, (size_t)n, &texts, &lengths);
        if (code == 0) code = embed_batch(r, texts, lengths, (size_t)n);
        if (code == 0) code = output_batch(r, texts, lengths, (size_t)n);
        show_progress(r, 0, 0, false);
    }
    show_progress(r, 0, 0, true);
    if (code == 0 && r->own_ranges && !cli_signal) code = output_held(r);
    r->lines = NULL;
    cli_lines_close(lines);
    free_records(r);
    if (cli_signal && code == 0) code = (fputs("nib: interrupted\n", stderr), 128 + cli_signal);
    return code;
}

static void print_similarity(const embed_run *r, const char *const *texts, size_t n) {
    const int64_t dim = r->dim;
    const float *vectors = r->vectors;
    for (size_t a = 0; a < n; a++)
        for (size_t b = a + 1; b < n; b++) {
            double dot = 0, x = 0, y = 0;
            for (int64_t i = 0; i < dim; i++) {
                double u = (double)vectors[a * (size_t)dim + (size_t)i], v = (double)vectors[b * (size_t)dim + (size_t)i];
                dot += u * v;
                x += u * u;
                y += v * v;
            }
            /* |x| |y| as a product of roots: no libm is needed for a figure of four digits */
            double norm = x * y, root = norm > 0 ? norm : 1;
            for (int k = 0; k < 60; k++) root = 0.5 * (root + norm / root);
            const double cosine = norm == 0 ? 0.0 : dot / root; /* NaN where a number of the vectors is none */
            cli_number_print(7, norm == 0 || norm > 0 ? cosine : norm);
            printf("  %s  |  %s\n", texts[a], texts[b]);
        }
}

/* What is wrong with the options together; 0 and where lines come from, NULL if texts were given. */
static int check_args(cli_args *a, const char **input) {
    cli_list *texts = &a->plain;
    *input = a->input;
    if (texts->count == 1 && strcmp(texts->items[0], "-") == 0 && !a->input) *input = "-", texts->count = 0;
    if (*input && texts->count) return cli_usage(a->verb, "give texts or --input, not both");
    if (!*input && !texts->count && (a->stream || cli_stdin_waits())) *input = "-";
    if (!*input && !texts->count)
        return cli_usage(a->verb, "there is nothing to embed: give texts, --input, or a pipe or file on standard input");
    if (a->similarity && (*input || a->output)) return cli_usage(a->verb, "--similarity takes texts on the command line and no --output");
    if (a->similarity && a->tokens)
        return cli_usage(a->verb, "--similarity is of texts, and --tokens gives vectors of tokens");
    if (a->tokens && a->m.options.pooling != NIB_POOLING_MODEL)
        return cli_usage(a->verb, "--pooling is of texts' vectors, and --tokens gives those before pooling");
    if (a->jsonl && !*input)
        return cli_usage(a->verb, "--input-format is of --input or standard input; these texts are on the command line");
    if (a->similarity && a->with_text) return cli_usage(a->verb, "--with-text is for JSON lines, and --similarity prints none");
    size_t n = a->output ? strlen(a->output) : 0;
    if (a->with_text && n && (n < 6 || strcmp(a->output + n - 6, ".jsonl") != 0))
        return cli_usage(a->verb, "--with-text is for JSON lines; .npy has vectors only");
    const bool bytes = a->type == NIB_VECTOR_I8 || a->type == NIB_VECTOR_U8;
    if (a->ranges_from && !bytes) return cli_usage(a->verb, "--ranges are of --type int8 or uint8");
    if (a->similarity && a->type && a->type != NIB_VECTOR_F32)
        return cli_usage(a->verb, "--similarity is of float32; nib search compares other types");
    if (bytes && !a->ranges_from && a->tokens) return cli_usage(a->verb, "--tokens with --type int8 or uint8 takes --ranges");
    if (a->tokens && a->ranges_from && !cli_is_npy(a->ranges_from))
        return cli_usage(a->verb, "--tokens: --ranges takes an .npy file, of ranges or of vectors of tokens: a text's vector has others");
    if (bytes && !a->ranges_from && *input && (!n || (n > 6 && strcmp(a->output + n - 6, ".jsonl") == 0)))
        return cli_usage(a->verb, "--type int8 and uint8 take --ranges FILE, where vectors are written as they come");
    if (a->format && n && (n < 6 || strcmp(a->output + n - 6, ".jsonl") != 0))
        return cli_usage(a->verb, "--encoding-format is of JSON lines; .npy has bytes as they are");
    return cli_choose_prompt(a);
}

/* How vectors are stored: cut, type, ranges. */
static int choose_stored(embed_run *r) {
    cli_args *a = r->a;
    const bool bytes = a->type == NIB_VECTOR_I8 || a->type == NIB_VECTOR_U8;
    const int64_t dim = nib_model_dim(r->model);
    nib_vector_options_defaults(&r->stored, sizeof r->stored);
    if (a->dimensions > dim)
        return cli_usage(a->verb, "--dimensions %lld: the model's vectors have %lld", (long long)a->dimensions,
                         (long long)dim);
    r->dim = a->dimensions ? a->dimensions : dim;
    r->stored.dimensions = a->dimensions;
    r->own_ranges = bytes && !a->ranges_from;
    if (!r->own_ranges) r->stored.type = (nib_vector_type)a->type;
    if (!bytes || r->own_ranges) return 0;
    const char *prompt = NULL;
    nib_error error;
    if (a->prompt) prompt = a->prompt;
    else if (nib_model_choose_prompt(r->model, a->prompt_name, &prompt, &error) != NIB_OK) return cli_fail(&error);
    const int code = cli_ranges_read(&r->ranges, a->ranges_from, r->model, prompt, r->dim, -1);
    r->stored.ranges = r->ranges;
    r->stored.ranges_width = r->dim;
    return code;
}

static int run_embed(cli_args *a) {
    embed_run r = {.a = a};
    const char *input;
    nib_error error;
    int code = cli_chunks_check(a);
    if (code == 0 && cli_sparse_wanted(a)) return cli_sparse_embed(a);
    if (a->top || a->keys) return cli_usage(a->verb, "--top and --format are of --sparse");
    if (code == 0) code = check_args(a, &input);
    if (code) return code;
    cli_catch(false);
    a->m.options.task = a->tokens ? NIB_TASK_TOKENS : NIB_TASK_EMBED;
    if ((code = cli_model_open(&a->m, &r.model)) != 0) return code;
    code = a->warm && nib_model_warm(r.model, 0, 1, &error) != NIB_OK ? cli_fail(&error) : 0;
    if (code == 0) code = choose_stored(&r);
    r.out.base64 = a->format != 0;
    if (code == 0) code = cli_vectors_open(&r.out, &cli_embed, a->output, (nib_vector_type)a->type, r.dim,
                                           a->tokens || cli_chunks_each(a));
    r.begun = r.shown = cli_now();
    r.progress = !a->quiet && cli_terminal_width() && input && a->output;
    if (code == 0 && a->stream) {
        code = cli_stream(a, r.model, &r.stored, &r.out);
    } else if (code == 0 && input) {
        code = embed_lines(&r, input);
    } else if (code == 0) {
        const char *const *texts = a->plain.items;
        code = embed_batch(&r, texts, NULL, a->plain.count);
        if (code == 0 && a->similarity) print_similarity(&r, texts, a->plain.count);
        else if (code == 0) code = output_batch(&r, texts, NULL, a->plain.count);
        if (code == 0 && cli_signal) code = 128 + cli_signal;
    }
    if (code == 0 && r.ranges) code = cli_vectors_put_ranges(&r.out, a->output, r.ranges);
    code = cli_vectors_close(&r.out, code);
    if (code == 0 && r.out.truncated && !a->quiet)
        fprintf(stderr, "nib: %lld of %lld texts were longer than %lld tokens and were cut\n", r.out.truncated, r.out.index,
                (long long)nib_model_max_tokens(r.model));
    free_batch(&r);
    free(r.held);
    free(r.ranges);
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {
    embed_options,      cli_sparse_options, stored_options,     cli_recipe_option, cli_prompt_options, cli_model_option,
    cli_length_options, cli_chunk_options,  cli_engine_options,
    cli_vector_options, cli_group_option,   cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_embed = {
    .name = "embed",
    .line = "texts -> vectors",
    .usage = "--model PATH [options] [TEXT ...]",
    .about = "Turns texts into vectors: the TEXTs, or one text a line of --input.\n",
    .options = options,
    .examples =
        "  nib embed --model models/all-MiniLM-L6-v2 'a short text' 'another one'\n"
        "  nib embed --model models/all-MiniLM-L6-v2 --input texts.txt --output vectors.npy\n"
        "  nib embed --model models/all-MiniLM-L6-v2 --input texts.jsonl --input-format jsonl --output vectors.jsonl\n"
        "  nib embed --model models/all-MiniLM-L6-v2 --input texts.txt --tokens --output tokens.npy\n"
        "  nib embed --model models/all-MiniLM-L6-v2 --input texts.txt --dimensions 256 --type ubinary --output bits.npy\n"
        "  nib embed --model splade --sparse 'a short text'\n"
        "  nib embed --model bge-m3 --dense --sparse --colbert 'a short text'\n"
        "  nib embed --profile efficient --pull 'a short text'\n"
        "  tail -f log | nib embed --model models/all-MiniLM-L6-v2\n"
        "  nib embed --model model.onnx --similarity 'The cat sleeps.' 'A cat is asleep.' 'Stocks fell.'\n",
    .after = "With --sparse a JSON line has \"sparse\": {token: weight, ...}, the largest first; with --dense or --colbert "
             "beside it\n\"dense_vecs\", \"lexical_weights\", \"colbert_vecs\". --output FILE.npz takes sparse vectors as "
             "scipy.sparse.save_npz does.\n"
             "Else a JSON line is {\"index\": i, \"tokens\": n, \"truncated\": true|false, \"embedding\": [...]}; "
             "`truncated` says that the text\n"
             "had more tokens than were used; \"id\" and \"text\" come behind \"index\". Bytes that are not UTF-8 are "
             "read as U+FFFD. An empty "
             "line is an empty text.\n"
             "With --tokens, \"embedding\" is an array of arrays, one for each of the n tokens; tokens.npy is float32 "
             "[all tokens, dim], and\n"
             "tokens.offsets.npy int64 [texts + 1]: text i has rows offsets[i] to offsets[i + 1]. Token vectors are "
             "normalized by\n"
             "--normalize yes alone.\n"
             "With --aggregate each or late, \"embedding\" is an array for each chunk, and \"chunks\" has [begin, end, "
             "tokens] of each, in bytes\n"
             "of the text; beside vectors.npy [all chunks, dim] vectors.offsets.npy says which rows are whose.\n"
             "Beside vectors.npy of int8 or uint8, vectors.ranges.npy has their ranges, which nib search reads.\n",
    .plain = -1,
    .run = run_embed,
    .recipes = true,
};
