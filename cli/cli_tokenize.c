/* SPDX-License-Identifier: Apache-2.0
 *
 * nib tokenize. In: a model and texts. Out: the tokens of each as nib embed sees them, and the bytes that each stands for.
 */
#include "cli_json.h"
#include "cli_texts.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option tokenize_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "one text a line; - is standard input (read, too, where no text is given and it is a pipe or a file)", 0, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "one JSON object instead of lines", 1, 0, NULL},
    {0},
};

typedef struct tokens {
    int32_t *ids;
    size_t *begins, *ends, room;
    size_t count, all; /* kept, and without the cut */
} tokens;

static int make_room(tokens *t, size_t n) {
    if (n <= t->room) return 0;
    free(t->ids);
    free(t->begins);
    free(t->ends);
    t->room = n * 2;
    t->ids = malloc(t->room * sizeof *t->ids);
    t->begins = malloc(t->room * sizeof *t->begins);
    t->ends = malloc(t->room * sizeof *t->ends);
    return t->ids && t->begins && t->ends ? 0 : cli_no_memory();
}

static int find_tokens(tokens *t, const nib_model *model, const char *text) {
    nib_error error;
    size_t length = strlen(text);
    if (nib_tokenize(model, text, length, 0, NULL, NULL, NULL, 0, &t->all, &error) != NIB_OK) return cli_fail(&error);
    int code = make_room(t, t->all + 1);
    if (code) return code;
    nib_status status =
        nib_tokenize(model, text, length, nib_model_max_tokens(model), t->ids, t->begins, t->ends, t->all, &t->count, &error);
    return status == NIB_OK ? 0 : cli_fail(&error);
}

static void print_tokens(const tokens *t, const char *text, long long most) {
    for (size_t i = 0; i < t->count; i++)
        printf("%7d %5zu-%-5zu %.*s\n", t->ids[i], t->begins[i], t->ends[i], (int)(t->ends[i] - t->begins[i]), text + t->begins[i]);
    if (t->count < t->all) printf("%zu tokens; %zu more were cut: the longest text has %lld\n", t->count, t->all - t->count, most);
    else printf("%zu tokens\n", t->count);
}

static void json_tokens(cli_json *j, const tokens *t) {
    cli_json_open(j, NULL, '{');
    cli_json_open(j, "ids", '[');
    for (size_t i = 0; i < t->count; i++) cli_json_whole(j, NULL, t->ids[i]);
    cli_json_close(j);
    cli_json_open(j, "bytes", '[');
    for (size_t i = 0; i < t->count; i++) {
        cli_json_open(j, NULL, '[');
        cli_json_whole(j, NULL, (long long)t->begins[i]);
        cli_json_whole(j, NULL, (long long)t->ends[i]);
        cli_json_close(j);
    }
    cli_json_close(j);
    cli_json_whole(j, "cut", (long long)(t->all - t->count));
    cli_json_close(j);
}

static int tokenize_all(const cli_args *a, const nib_model *model, const char *prompt, const char *const *texts, size_t n) {
    tokens t = {0};
    cli_json j = {0};
    int code = 0;
    if (a->json) {
        cli_json_open(&j, NULL, '{');
        cli_json_text(&j, "model", a->m.path);
        cli_json_text(&j, "prompt", prompt);
        cli_json_whole(&j, "max_tokens", nib_model_max_tokens(model));
        cli_json_open(&j, "texts", '[');
    }
    for (size_t i = 0; i < n && code == 0; i++) {
        char *text = cli_texts_prompted(prompt, texts[i]);
        code = text ? find_tokens(&t, model, text) : cli_no_memory();
        if (code == 0 && a->json) json_tokens(&j, &t);
        else if (code == 0) print_tokens(&t, text, (long long)nib_model_max_tokens(model));
        free(text);
    }
    if (a->json) cli_json_close(&j), cli_json_close(&j);
    free(t.ids);
    free(t.begins);
    free(t.ends);
    return code;
}

static int run_tokenize(cli_args *a) {
    nib_model *model;
    nib_error error;
    cli_texts read = {0};
    const char *prompt = "", *input = a->input;
    int code = cli_choose_prompt(a);
    if (code) return code;
    if (input && a->plain.count) return cli_usage(a->verb, "give texts or --input, not both");
    if (!input && !a->plain.count && cli_stdin_waits()) input = "-";
    if (!input && !a->plain.count) return cli_usage(a->verb, "no text was given: give texts, --input, or a pipe or file on standard input");
    if (input && (code = cli_texts_read(&read, input)) != 0) return cli_texts_free(&read), code;
    if ((code = cli_model_open(&a->m, &model)) == 0) {
        if (a->prompt) prompt = a->prompt;
        else if (nib_model_choose_prompt(model, a->prompt_name, &prompt, &error) != NIB_OK) code = cli_fail(&error);
        if (code == 0 && input) code = tokenize_all(a, model, prompt, (const char *const *)read.texts, read.n);
        else if (code == 0) code = tokenize_all(a, model, prompt, a->plain.items, a->plain.count);
        nib_model_free(model);
    }
    cli_texts_free(&read);
    return code;
}

static const cli_option *const options[] = {tokenize_options,   cli_prompt_options, cli_model_option,
                                            cli_length_options, cli_safety_options, NULL};

const cli_verb cli_tokenize = {
    .name = "tokenize",
    .line = "what a text becomes",
    .usage = "--model PATH [options] [TEXT ...]",
    .about = "Prints each text's token ids as nib embed uses them: behind the model's prompt, and cut where it cuts; with the bytes of "
             "prompt and\n"
             "text that each stands for.\n",
    .options = options,
    .examples = "  nib tokenize --model models/all-MiniLM-L6-v2 'a nib writes'\n"
                "  nib tokenize --model models/all-MiniLM-L6-v2 --input texts.txt --json\n",
    .after = "The JSON object is {\"model\": path, \"prompt\": text, \"max_tokens\": n, \"texts\": [{\"ids\": [..],\n"
             "\"bytes\": [[begin, end], ..], \"cut\": tokens that were cut}, ..]}.\n",
    .plain = -1,
    .run = run_tokenize,
};
