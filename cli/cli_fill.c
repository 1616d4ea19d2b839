/* SPDX-License-Identifier: Apache-2.0
 *
 * nib fill. In: texts with masks, from the command line or a line each. Out: the most probable words for each mask, for
 * a person or as JSON, in input order.
 */
#include "cli.h"
#include "cli_json.h"
#include "cli_lines.h"
#include "cli_number.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 4096

static const cli_option fill_options[] = {
    {"input", 'i', CLI_TEXT, CLI_AT(input), "FILE|-",
     "lines to fill; - is standard input, answered whenever it pauses (read, too, where no text is given and it\n"
     "is a pipe or a file)",
     0, 0, NULL},
    {"top", 0, CLI_INT, CLI_AT(top_k), "N", "so many words of each mask (default: 5); more than there are: all", 1, 1 << 30, NULL},
    {"targets", 0, CLI_LIST, CLI_AT(targets), "WORD,...",
     "only these words, with a comma between; may be given several times", 0, 0, NULL},
    {"json", 0, CLI_FLAG, CLI_AT(json), NULL, "a list of JSON for each text instead, a line each", 1, 0, NULL},
    {0},
};

typedef struct fill_run {
    cli_args *a;
    nib_model *model;
    const char **targets; /* [n_targets] of all lists, apart */
    size_t n_targets;
} fill_run;

/* As transformers' pipeline("fill-mask") gives it: a list of words, of several masks a list of such lists. */
static void print_json(const nib_fills *fills, size_t i) {
    const size_t masks = nib_fills_masks(fills, i);
    if (masks > 1) putchar('[');
    for (size_t mask = 0; mask < masks; mask++) {
        const nib_fill_entry *found;
        const size_t count = nib_fills_get(fills, i, mask, &found);
        fputs(mask ? ", [" : "[", stdout);
        for (size_t k = 0; k < count; k++) {
            char number[20];
            *cli_number_write(number, found[k].score) = 0;
            printf("%s{\"score\": %s, \"token\": %d, \"token_str\": ", k ? ", " : "", number, (int)found[k].token);
            cli_json_bytes(found[k].word, found[k].word_length);
            fputs(", \"sequence\": ", stdout);
            cli_json_bytes(found[k].sequence, found[k].sequence_length);
            putchar('}');
        }
        putchar(']');
    }
    puts(masks > 1 ? "]" : "");
}

/* The text, and a line for each word below it: " 0.9931  capital"; of several masks with the number of the mask. */
static void print_lines(const char *text, size_t length, const nib_fills *fills, size_t i) {
    const size_t masks = nib_fills_masks(fills, i);
    cli_plain(text, length);
    putchar('\n');
    for (size_t mask = 0; mask < masks; mask++) {
        const nib_fill_entry *found;
        const size_t count = nib_fills_get(fills, i, mask, &found);
        for (size_t k = 0; k < count; k++) {
            cli_number_print(7, (double)found[k].score);
            fputs("  ", stdout);
            if (masks > 1) printf("%zu  ", mask + 1);
            cli_plain(found[k].word, found[k].word_length);
            putchar('\n');
        }
    }
}

static int fill_batch(void *user, const char *const *texts, const size_t *lengths, size_t n) {
    fill_run *r = user;
    const cli_args *a = r->a;
    nib_error error;
    nib_fill_options o;
    nib_fills *fills;
    nib_fill_defaults(&o, sizeof o);
    if (a->top_k) o.top = (size_t)a->top_k;
    o.lengths = lengths;
    o.targets = a->targets.count ? r->targets : NULL;
    o.target_count = r->n_targets;
    o.stop = cli_stop;
    if (nib_fill(r->model, texts, n, &o, &fills, &error) != NIB_OK) return cli_fail(&error);
    for (size_t i = 0; i < n; i++) {
        if (a->json) print_json(fills, i);
        else print_lines(texts[i], lengths ? lengths[i] : strlen(texts[i]), fills, i);
    }
    nib_fills_free(fills);
    return fflush(stdout) == 0 ? 0 : 1;
}

static int run_fill(cli_args *a) {
    fill_run r = {.a = a};
    const char *input;
    char *bytes = NULL;
    int code = cli_choose_input(a, &input);
    if (code) return code;
    cli_catch(false);
    a->m.options.task = NIB_TASK_FILL;
    if ((code = cli_parts(&a->targets, true, &r.targets, &r.n_targets, &bytes)) == 0 && (code = cli_model_open(&a->m, &r.model)) == 0)
        code = input ? cli_lines_each(input, BATCH, fill_batch, &r) : fill_batch(&r, a->plain.items, NULL, a->plain.count);
    if (code == 0 && cli_signal) code = 128 + cli_signal;
    free(r.targets);
    free(bytes);
    nib_model_free(r.model);
    return code;
}

static const cli_option *const options[] = {fill_options,     cli_model_option,  cli_length_options, cli_engine_options,
                                            cli_group_option, cli_thread_option, cli_safety_options, NULL};

const cli_verb cli_fill = {
    .name = "fill",
    .line = "texts with masks -> words for them",
    .usage = "--model PATH [options] [TEXT ...]",
    .about = "Finds words for the masks in texts, by a masked language model: the TEXTs, or one a line of --input. A mask is\n"
             "the token that the model's tokenizer has for it, [MASK] or <mask>.\n",
    .options = options,
    .examples = "  nib fill --model bert 'Paris is the [MASK] of France.'\n"
                "  nib fill --model bert --targets capital,heart 'Paris is the [MASK] of France.'\n"
                "  nib fill --model bert --input texts.txt --top 1 --json >words.jsonl\n",
    .after = "--json has what transformers' pipeline(\"fill-mask\") gives, a line a text: score, token, token_str and sequence;\n"
             "of a text with several masks a list for each.\n",
    .plain = -1,
    .run = run_fill,
};
