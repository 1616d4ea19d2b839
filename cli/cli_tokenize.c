/* SPDX-License-Identifier: Apache-2.0
 *
 * nib tokenize. In: a model, or a tokenizer alone, and texts, pairs of texts or lines of token ids. Out: the tokens of
 * each as nib embed and nib classify see them, in one of the formats below; or the text that the ids stand for.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BATCH 4096

enum { FORMAT_OFFSETS, FORMAT_PIECES, FORMAT_IDS, FORMAT_JSON };
static const cli_names formats = {
    (const char *const[]){
        [FORMAT_OFFSETS] = "offsets", [FORMAT_PIECES] = "pieces", [FORMAT_IDS] = "ids", [FORMAT_JSON] = "json"},
    (const int[]){FORMAT_OFFSETS, FORMAT_PIECES, FORMAT_IDS, FORMAT_JSON, -1}};

static const cli_names cuts = {(const char *const[]){NIB_CUT_MAP(CLI_NAME_TEXT)},
                               (const int[]){NIB_CUT_LONGEST_FIRST, NIB_CUT_ONLY_FIRST, NIB_CUT_ONLY_SECOND, -1}};
static const cli_names sides = {(const char *const[]){"right", "left"}, (const int[]){0, 1, -1}};

static const cli_option tokenize_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "one text a line; - is standard input (read, too, where no text is given and it is a pipe or a file)", 0, 0, NULL},
    {"pair", 0, CLI_FLAG, CLI_AT(pair), NULL,
     "two texts together, as nib classify takes them: TEXT TEXT, or a line with a tab between them", 1, 0, NULL},
    {"decode", 0, CLI_FLAG, CLI_AT(decode), NULL,
     "the other way: texts are token ids separated by spaces, and become text", 1, 0, NULL},
    {"no-special", 0, CLI_FLAG, CLI_AT(no_special), NULL,
     "without special tokens such as [CLS]; --decode leaves them out", 1, 0, NULL},
    {"no-truncation", 0, CLI_FLAG, CLI_AT(no_truncation), NULL, "long texts are not cut", 1, 0, NULL},
    {"truncation", 0, CLI_NAME, CLI_AT(cut), "T", "of a pair that is too long, %s is cut (default: longest-first)", 0,
     0, &cuts},
    {"truncation-side", 0, CLI_NAME, CLI_AT(cut_front), "S", "%s (default: what the model says)", 0, 0, &sides},
    {"stride", 0, CLI_WHOLE, CLI_AT(stride), "N",
     "what is cut off follows in windows that share N tokens, each as if it were a text", 0, 1 << 30, NULL},
    {"format", 0, CLI_NAME, CLI_AT(format), "F",
     "%s: a line a token with its bytes of the text (the default);\n"
     "a line a text of its tokens, or of their ids; one JSON object",
     0, 0, &formats},
    {"json", 0, CLI_FLAG, CLI_AT(format), NULL, "the same as --format json", FORMAT_JSON, 0, NULL},
    {0},
};

typedef struct text_pair {
    const char *texts[2]; /* the second is NULL: there is none */
    size_t lengths[2];
} text_pair;

typedef struct tokens {
    int32_t *ids, *types;
    size_t *begins, *ends, room;
    unsigned char *parts;       /* 0 the text, 1 the second, 2 the template */
    size_t *windows, n_windows; /* where each begins; one, but with --stride */
    size_t count, all;          /* of all windows, and of the text without the cut */
    size_t from, to;            /* of the window that is printed */
} tokens;

typedef struct tokenize_run {
    cli_args *a;
    nib_model *model; /* NULL: a tokenizer alone */
    nib_tokenizer *tokenizer;
    const char *prompt;
    const char *path; /* of the lines; NULL: the texts are arguments */
    long long index;
    cli_json j;
    tokens t;
    char *buffer; /* the prompt and a text, or a text that was decoded */
    size_t buffer_room;
} tokenize_run;

static void free_tokens(tokens *t) {
    free(t->ids);
    free(t->types);
    free(t->begins);
    free(t->ends);
    free(t->parts);
    free(t->windows);
}

static int make_room(tokens *t, size_t n) {
    if (n <= t->room) return 0;
    free_tokens(t);
    t->room = n * 2;
    t->ids = malloc(t->room * sizeof *t->ids);
    t->types = malloc(t->room * sizeof *t->types);
    t->begins = malloc(t->room * sizeof *t->begins);
    t->ends = malloc(t->room * sizeof *t->ends);
    t->parts = malloc(t->room);
    t->windows = malloc(t->room * sizeof *t->windows);
    return t->ids && t->types && t->begins && t->ends && t->parts && t->windows ? 0 : cli_no_memory();
}

static int make_buffer(tokenize_run *r, size_t n) {
    if (n <= r->buffer_room) return 0;
    free(r->buffer);
    r->buffer = malloc(n);
    r->buffer_room = r->buffer ? n : 0;
    return r->buffer ? 0 : cli_no_memory();
}

/* ---- texts to tokens */

static int find_tokens(tokenize_run *r, const text_pair *p) {
    tokens *t = &r->t;
    nib_error error;
    nib_encode_options o;
    nib_encode_defaults(&o, sizeof o);
    o.pair = p->texts[1];
    o.pair_length = p->lengths[1];
    o.no_special = r->a->no_special;
    if (r->a->no_truncation) o.max_tokens = 0;
    else if (r->a->m.options.max_tokens) o.max_tokens = r->a->m.options.max_tokens;
    o.full_count = &t->all;
    o.cut = (nib_cut)r->a->cut;
    o.cut_front = r->a->cut_front;
    o.windows = r->a->stride >= 0;
    o.stride = r->a->stride;
    o.window_count = &t->n_windows;
    int code = make_room(t, p->lengths[0] + p->lengths[1] + 16);
    for (; code == 0;
         code = make_room(t, t->count > t->n_windows
                                 ? t->count
                                 : t->n_windows)) { /* a text of n bytes rarely has more tokens than that */
        o.types = t->types;
        o.begins = t->begins;
        o.ends = t->ends;
        o.parts = t->parts;
        o.window_begins = t->windows;
        o.window_capacity = t->room;
        if (nib_encode(r->tokenizer, p->texts[0], p->lengths[0], &o, t->ids, t->room, &t->count, &error) != NIB_OK) {
            if (r->path) fprintf(stderr, "nib: %s: line %lld:\n", r->path, r->index + 1);
            return cli_fail(&error);
        }
        if (t->count <= t->room && t->n_windows <= t->room) break;
    }
    return code;
}

static void print_offsets(const tokenize_run *r, const text_pair *p) {
    const tokens *t = &r->t;
    for (size_t i = t->from; i < t->to; i++) {
        printf("%7d %5zu-%-5zu ", t->ids[i], t->begins[i], t->ends[i]);
        fwrite(p->texts[t->parts[i] == 1] + t->begins[i], 1, t->ends[i] - t->begins[i], stdout);
        putchar('\n');
    }
    const size_t count = t->to - t->from;
    printf("%zu tokens", count);
    if (t->n_windows == 1 && count < t->all)
        printf("; %zu more were cut: the longest text has %zu", t->all - count, count);
    putchar('\n');
}

/* Of a vocabulary's strings no byte is a space or a newline, but for what a file of somebody else's may hold. */
static void print_pieces(const tokenize_run *r) {
    for (size_t i = r->t.from; i < r->t.to; i++) {
        size_t n;
        const char *s = nib_tokenizer_token(r->tokenizer, r->t.ids[i], &n);
        if (i > r->t.from) putchar(' ');
        for (size_t k = 0; k < n; k++) putchar((unsigned char)s[k] <= 0x20 || s[k] == 0x7f ? '?' : s[k]);
    }
    putchar('\n');
}

static void print_ids(const tokenize_run *r) {
    for (size_t i = r->t.from; i < r->t.to; i++) printf(i > r->t.from ? " %d" : "%d", r->t.ids[i]);
    putchar('\n');
}

static void json_pieces(tokenize_run *r) {
    cli_json *j = &r->j;
    cli_json_open(j, "pieces", '[');
    for (size_t i = r->t.from; i < r->t.to; i++) {
        size_t n;
        const char *s = nib_tokenizer_token(r->tokenizer, r->t.ids[i], &n);
        cli_json_value(j, NULL, s ? s : "", n);
    }
    cli_json_close(j);
}

static void json_tokens(tokenize_run *r, bool pair) {
    cli_json *j = &r->j;
    const tokens *t = &r->t;
    cli_json_open(j, NULL, '{');
    cli_json_open(j, "ids", '[');
    for (size_t i = t->from; i < t->to; i++) cli_json_whole(j, NULL, t->ids[i]);
    cli_json_close(j);
    json_pieces(r);
    cli_json_open(j, "bytes", '[');
    for (size_t i = t->from; i < t->to; i++) {
        cli_json_open(j, NULL, '[');
        cli_json_whole(j, NULL, (long long)t->begins[i]);
        cli_json_whole(j, NULL, (long long)t->ends[i]);
        cli_json_close(j);
    }
    cli_json_close(j);
    if (pair) {
        cli_json_open(j, "types", '[');
        for (size_t i = t->from; i < t->to; i++) cli_json_whole(j, NULL, t->types[i]);
        cli_json_close(j);
        cli_json_open(j, "parts", '[');
        for (size_t i = t->from; i < t->to; i++) cli_json_whole(j, NULL, t->parts[i]);
        cli_json_close(j);
    }
    cli_json_whole(j, "cut", t->n_windows == 1 ? (long long)(t->all - (t->to - t->from)) : 0);
    cli_json_close(j);
}

static int tokenize_one(tokenize_run *r, text_pair p) {
    const size_t prompt = strlen(r->prompt);
    int code = prompt ? make_buffer(r, prompt + p.lengths[0]) : 0;
    if (code) return code;
    if (prompt) {
        memcpy(r->buffer, r->prompt, prompt);
        memcpy(r->buffer + prompt, p.texts[0], p.lengths[0]);
        p.texts[0] = r->buffer;
        p.lengths[0] += prompt;
    }
    if ((code = find_tokens(r, &p)) != 0) return code;
    tokens *t = &r->t;
    for (size_t k = 0; k < t->n_windows; k++) {
        t->from = t->windows[k];
        t->to = k + 1 < t->n_windows ? t->windows[k + 1] : t->count;
        if (r->a->format == FORMAT_JSON) json_tokens(r, p.texts[1] != NULL);
        else if (r->a->format == FORMAT_PIECES) print_pieces(r);
        else if (r->a->format == FORMAT_IDS) print_ids(r);
        else print_offsets(r, &p);
    }
    return 0;
}

/* ---- ids to text */

/* 0 and the ids in r->t; 2 after a message. */
static int parse_ids(tokenize_run *r, const char *text, size_t length) {
    tokens *t = &r->t;
    int code = make_room(t, length / 2 + 1);
    t->count = 0;
    for (size_t i = 0; code == 0 && i < length;) {
        int64_t id = 0;
        size_t digits = i;
        if (text[i] == ' ' || text[i] == '\t') {
            i++;
            continue;
        }
        for (; i < length && text[i] >= '0' && text[i] <= '9' && id <= INT32_MAX; i++) id = id * 10 + (text[i] - '0');
        if (i == digits || id > INT32_MAX || (i < length && text[i] != ' ' && text[i] != '\t')) {
            static const char why[] = "is not token ids separated by spaces";
            if (r->path) fprintf(stderr, "nib: %s: line %lld %s\n", r->path, r->index + 1, why);
            else fprintf(stderr, "nib: \"%.60s\" %s\n", text, why);
            return 2;
        }
        t->ids[t->count++] = (int32_t)id;
    }
    return code;
}

static int decode_one(tokenize_run *r, text_pair p) {
    nib_error error;
    size_t n = 0;
    int code = parse_ids(r, p.texts[0], p.lengths[0]);
    for (size_t room = p.lengths[0] * 4 + 64; code == 0; room = n + 1) {
        if ((code = make_buffer(r, room)) != 0) break;
        if (nib_decode(r->tokenizer, r->t.ids, r->t.count, r->a->no_special, r->buffer, r->buffer_room, &n, &error))
            return cli_fail(&error);
        if (n < r->buffer_room) break;
    }
    if (code) return code;
    if (r->a->format == FORMAT_JSON) cli_json_value(&r->j, NULL, r->buffer, n);
    else fwrite(r->buffer, 1, n, stdout), putchar('\n');
    return 0;
}

/* ---- what goes in */

static int do_one(tokenize_run *r, text_pair p) {
    int code = r->a->decode ? decode_one(r, p) : tokenize_one(r, p);
    r->index++;
    return code;
}

static int do_line(tokenize_run *r, const char *line, size_t length) {
    text_pair p = {{line, NULL}, {length, 0}};
    const char *tab = r->a->pair ? memchr(line, '\t', length) : NULL;
    if (tab) p = (text_pair){{line, tab + 1}, {(size_t)(tab - line), length - (size_t)(tab - line) - 1}};
    else if (r->a->pair)
        return fprintf(stderr, "nib: %s: line %lld has no tab between its two texts\n", r->path, r->index + 1), 2;
    return do_one(r, p);
}

static int do_lines(tokenize_run *r) {
    const char *reason = NULL, *const * texts;
    const size_t *lengths;
    int code = 0;
    long n = 0;
    cli_lines *lines = cli_lines_open(r->path, &reason);
    if (!lines) return fprintf(stderr, "nib: %s: %s\n", r->path, reason), 2;
    while (code == 0 && (n = cli_lines_next(lines, BATCH, &texts, &lengths, &reason)) > 0) {
        for (long i = 0; i < n && code == 0; i++) code = do_line(r, texts[i], lengths[i]);
        fflush(stdout);
    }
    cli_lines_close(lines);
    if (code) return code;
    if (n < 0) return fprintf(stderr, "nib: %s: %s\n", r->path, reason), 1;
    return r->index ? 0 : (fprintf(stderr, "nib: %s: there is no text in it\n", r->path), 2);
}

static int do_arguments(tokenize_run *r) {
    const cli_list *texts = &r->a->plain;
    const size_t step = r->a->pair ? 2 : 1;
    int code = 0;
    for (size_t i = 0; i + step <= texts->count && code == 0; i += step) {
        text_pair p = {{texts->items[i], r->a->pair ? texts->items[i + 1] : NULL}, {strlen(texts->items[i]), 0}};
        if (p.texts[1]) p.lengths[1] = strlen(p.texts[1]);
        code = do_one(r, p);
    }
    return code;
}

static int do_all(tokenize_run *r) {
    const bool json = r->a->format == FORMAT_JSON;
    if (json) {
        cli_json_open(&r->j, NULL, '{');
        cli_json_text(&r->j, "model", r->a->m.path);
        cli_json_text(&r->j, "prompt", r->prompt);
        cli_json_whole(&r->j, "max_tokens", r->a->no_truncation ? 0 : nib_tokenizer_max_tokens(r->tokenizer));
        cli_json_open(&r->j, "texts", '[');
    }
    int code = r->path ? do_lines(r) : do_arguments(r);
    if (json) cli_json_close(&r->j), cli_json_close(&r->j);
    return code;
}

/* ---- the model, or the tokenizer alone */

static bool ends_in(const char *path, const char *end) {
    const size_t n = strlen(path), m = strlen(end);
    return n > m && strcmp(path + n - m, end) == 0;
}

static int open_tokenizer(tokenize_run *r) {
    static const char *const ends[] = {".json", ".model", ".txt"};
    nib_error error, why;
    nib_status opened = NIB_NOT_FOUND;
    struct stat about;
    char found[4096];
    const char *path = r->a->m.path;
    bool alone = false;
    int code;
    if (nib_hub_find(path, found, sizeof found, NULL, &error) == NIB_OK) path = found;
    nib_model_options options = r->a->m.options;
    options.runtime = cli_runtime(&r->a->m, &code);
    if (code) return code;
    const bool folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    for (size_t i = 0; !folder && i < sizeof ends / sizeof *ends; i++) alone |= ends_in(path, ends[i]);
    if (!alone && (opened = nib_model_open(path, &options, &r->model, &error)) == NIB_OK)
        return nib_model_tokenizer(r->model, &r->tokenizer, &error) == NIB_OK ? 0 : cli_fail(&error);
    /* a folder without a model, or with one that nib cannot run, may have a tokenizer */
    if (!alone && (!folder || (opened != NIB_NOT_FOUND && opened != NIB_UNSUPPORTED))) return cli_fail(&error);
    if (nib_tokenizer_open(path, options.runtime, &r->tokenizer, &why) == NIB_OK) return 0;
    return cli_fail(!alone && why.status == NIB_NOT_FOUND ? &error : &why);
}

static int choose_prompt(tokenize_run *r) {
    nib_error error;
    const cli_args *a = r->a;
    r->prompt = a->prompt ? a->prompt : "";
    if (a->prompt || a->no_prompt || a->decode || (a->pair && !a->prompt_name)) return 0;
    if (!r->model) return a->prompt_name ? cli_usage(a->verb, "--prompt-name: a tokenizer alone has no prompts") : 0;
    return nib_model_choose_prompt(r->model, a->prompt_name, &r->prompt, &error) == NIB_OK ? 0 : cli_fail(&error);
}

static int check_args(cli_args *a, tokenize_run *r) {
    const size_t n = a->plain.count;
    int code = cli_choose_prompt(a);
    r->path = a->input;
    if (code) return code;
    if (r->path && n) return cli_usage(a->verb, "give texts or --input, not both");
    if (!r->path && !n && cli_stdin_waits()) r->path = "-";
    if (!r->path && !n)
        return cli_usage(a->verb, "no text was given: give texts, --input, or a pipe or file on standard input");
    if (a->decode && a->pair) return cli_usage(a->verb, "--pair is of texts, --decode of ids");
    if (a->no_truncation && a->m.options.max_tokens)
        return cli_usage(a->verb, "give one of --max-tokens and --no-truncation, not both");
    if (!r->path && a->pair && n % 2)
        return cli_usage(a->verb, "--pair takes two texts, or four, ...: one has no second");
    return 0;
}

static int run_tokenize(cli_args *a) {
    tokenize_run r = {.a = a};
    int code = check_args(a, &r);
    if (code == 0) code = open_tokenizer(&r);
    if (code == 0) code = choose_prompt(&r);
    if (code == 0) code = do_all(&r);
    nib_tokenizer_free(r.tokenizer);
    nib_model_free(r.model);
    free_tokens(&r.t);
    free(r.buffer);
    return code;
}

static const cli_option *const options[] = {tokenize_options,   cli_prompt_options, cli_model_option,
                                            cli_length_options, cli_safety_options, NULL};

const cli_verb cli_tokenize = {
    .name = "tokenize",
    .line = "what a text becomes, and ids back to text",
    .usage = "--model PATH [options] [TEXT ...]",
    .about =
        "Prints each text's token ids as nib embed uses them: behind the model's prompt, and cut where it cuts;\n"
        "with the bytes of prompt and text that each stands for. PATH may be a tokenizer alone: a folder without a\n"
        "model, a tokenizer.json, a SentencePiece .model or a vocab.txt.\n",
    .options = options,
    .examples = "  nib tokenize --model models/all-MiniLM-L6-v2 'a nib writes'\n"
                "  nib tokenize --model models/all-MiniLM-L6-v2 --input texts.txt --json\n"
                "  nib tokenize tokenizer.json --format ids --input texts.txt | nib tokenize tokenizer.json --decode\n",
    .after =
        "The JSON object is {\"model\": path, \"prompt\": text, \"max_tokens\": n, \"texts\": [{\"ids\": [..],\n"
        "\"pieces\": [..], \"bytes\": [[begin, end], ..], \"cut\": tokens that were cut}, ..]}; with --pair each has\n"
        "\"types\" and \"parts\", too: 0 the first text, 1 the second, 2 a token of the template. With --decode\n"
        "\"texts\" are strings.\n",
    .plain = -1,
    .run = run_tokenize,
};
