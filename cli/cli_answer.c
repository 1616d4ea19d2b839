/* SPDX-License-Identifier: Apache-2.0
 *
 * nib answer. In: a question, and a text: named, a file or standard input. Out: where in the text its answers are, for a
 * person or as JSON.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option answer_options[] = {
    {"question", 'q', CLI_TEXT, CLI_AT(query), "TEXT", "what is asked", 0, 0, NULL},
    {"context", 'c', CLI_TEXT, CLI_AT(context), "TEXT", "the text that has the answer, in place of FILE", 0, 0, NULL},
    {"top", 0, CLI_INT, CLI_AT(top_k), "N", "the N best answers (default: 1)", 1, 1 << 30, NULL},
    {"longest", 0, CLI_INT, CLI_AT(longest), "N", "tokens that an answer has at most (default: 15)", 1, 1 << 30, NULL},
    {"stride", 0, CLI_WHOLE, CLI_AT(stride), "N",
     "tokens that two windows of a long text share (default: 128, or half of --max-tokens)", 0, 1 << 30, NULL},
    {"impossible", 0, CLI_FLAG, CLI_AT(impossible), NULL, "that there is no answer is one, too: an empty one", 1, 0, NULL},
    {"within-words", 0, CLI_FLAG, CLI_AT(within_words), NULL, "an answer may begin and end within a word", 1, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "JSON instead: an answer, or a list of --top", 1, 0, NULL},
    {0},
};

/* All of a file, with a NUL behind it; - is standard input. */
static int read_all(const char *path, char **out, size_t *length) {
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t cap = 1 << 16, n = 0;
    char *text = malloc(cap + 1);
    int code = 0;
    *out = NULL;
    if (!f) {
        fprintf(stderr, "nib: %s: %s\n", path, strerror(errno));
        free(text);
        return 2;
    }
    while (text && !cli_signal) {
        const size_t got = fread(text + n, 1, cap - n, f);
        n += got;
        if (got == 0) break;
        if (n < cap) continue;
        char *more = realloc(text, 2 * cap + 1);
        if (!more) free(text);
        text = more;
        cap *= 2;
    }
    if (!text) code = cli_no_memory();
    else if (ferror(f)) code = 2, fprintf(stderr, "nib: %s: %s\n", path, strerror(errno)), free(text);
    if (f != stdin) fclose(f);
    if (code) return code;
    const size_t mark = cli_lines_mark(text, n);
    memmove(text, text + mark, n - mark);
    text[n - mark] = 0;
    *out = text;
    *length = n - mark;
    return 0;
}

/* As transformers' pipeline("question-answering") gives it: places are in characters. */
static void print_json(const char *context, const nib_answer_entry *found, size_t count, bool list) {
    if (list) putchar('[');
    for (size_t i = 0; i < count; i++) {
        char number[20];
        *cli_number_write(number, found[i].score) = 0;
        const size_t begin = cli_json_characters(context, found[i].begin);
        printf("%s{\"score\": %s, \"start\": %zu, \"end\": %zu, \"answer\": ", i ? ", " : "", number, begin,
               begin + cli_json_characters(context + found[i].begin, found[i].end - found[i].begin));
        cli_json_bytes(context + found[i].begin, found[i].end - found[i].begin);
        putchar('}');
    }
    puts(list ? "]" : "");
}

static void print_lines(const char *context, const nib_answer_entry *found, size_t count) {
    for (size_t i = 0; i < count; i++) {
        cli_number_print(7, (double)found[i].score);
        fputs("  ", stdout);
        cli_plain(context + found[i].begin, found[i].end - found[i].begin);
        putchar('\n');
    }
}

static int ask(const cli_args *a, nib_model *model, const char *context, size_t length) {
    nib_error error;
    nib_answers *answers;
    nib_answer_options o;
    const nib_answer_entry *found;
    nib_answer_defaults(&o, sizeof o);
    o.context_lengths = &length;
    o.stride = a->stride;
    if (a->top_k) o.top = (size_t)a->top_k;
    if (a->longest) o.longest = a->longest;
    if (a->m.options.max_tokens > 0) o.max_tokens = a->m.options.max_tokens;
    o.impossible = a->impossible;
    o.whole_words = !a->within_words;
    o.stop = cli_stop;
    if (nib_answer(model, &a->query, &context, 1, &o, &answers, &error) != NIB_OK) return cli_fail(&error);
    const size_t count = nib_answers_get(answers, 0, &found);
    if (a->json) print_json(context, found, count, o.top > 1 || count != 1);
    else print_lines(context, found, count);
    nib_answers_free(answers);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int run_answer(cli_args *a) {
    nib_model *model = NULL;
    const char *path = a->plain.count ? a->plain.items[0] : cli_stdin_waits() ? "-" : NULL;
    char *text = NULL;
    size_t length = 0;
    if (!a->query) return cli_usage(a->verb, "--question says what is asked");
    if (a->context && a->plain.count) return cli_usage(a->verb, "--context and a file: give one of them");
    if (!a->context && !path)
        return cli_usage(a->verb, "there is no text: give --context, name a file, or give a pipe or file on standard input");
    cli_catch(false);
    a->m.options.task = NIB_TASK_ANSWER;
    int code = cli_model_open(&a->m, &model);
    if (code == 0 && !a->context) code = read_all(path, &text, &length);
    if (code == 0 && cli_signal == 0) code = ask(a, model, text ? text : a->context, text ? length : strlen(a->context));
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    free(text);
    nib_model_free(model);
    return code;
}

static const cli_option *const options[] = {answer_options,   cli_model_option,  cli_length_options, cli_engine_options,
                                            cli_group_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_answer = {
    .name = "answer",
    .line = "a question and a text -> where the answer is",
    .usage = "--model PATH --question TEXT [options] [FILE]",
    .about = "Finds the answer to a question in a text, by a model for question answering: in FILE, --context or standard\n"
             "input. A long text is looked at in windows.\n",
    .options = options,
    .examples = "  nib answer --model qa --question 'Where did she play?' --context 'Clara Schumann played in Dresden.'\n"
                "  nib answer --model qa -q 'What is a nib?' --top 3 page.txt\n"
                "  nib answer --model qa -q 'What is a nib?' --impossible --json page.txt\n",
    .after = "--json has what transformers' pipeline(\"question-answering\") gives: score, start, end and answer; start and\n"
             "end count characters.\n",
    .plain = 1,
    .run = run_answer,
};
