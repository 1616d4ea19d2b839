/* SPDX-License-Identifier: Apache-2.0
 *
 * What the verbs that measure work on: all lines of a file, or a built-in sample, with their token ids; or ids alone, from a file.
 */
#ifndef CLI_TEXTS_H
#define CLI_TEXTS_H

#include "cli.h"

typedef struct cli_texts {
    char **texts; /* [n]; NULL where only ids were given */
    int32_t **ids;
    int64_t *lengths; /* [n] tokens */
    size_t n, room;
    int64_t tokens, longest;
    int64_t cut; /* rows of ids that were longer than the model takes; texts are cut without count */
} cli_texts;

/* Each returns 0, or an exit code after a message. */
int cli_texts_read(cli_texts *t, const char *path);
/* 64 lines of English of mixed lengths, the same everywhere. */
int cli_texts_sample(cli_texts *t);
/* Lines of token ids, special ones included, separated by spaces. */
int cli_texts_read_ids(cli_texts *t, const char *path);
/* The prompt and the text behind it, to be freed; NULL: no memory. */
char *cli_texts_prompted(const char *prompt, const char *text);
/* Ids of all texts behind the model's default prompt, as nib_embed puts it there, cut as the model cuts; sums up what is there. Does
 * nothing to ids that were read. */
int cli_texts_tokenize(cli_texts *t, const nib_model *model);
void cli_texts_free(cli_texts *t);

/* Documents of a text each, the best first: a line each, " 0.9987     2  a text" of score, line and text; or one list of
 * JSON, as CrossEncoder.rank of sentence-transformers gives it with return_documents. */
void cli_ranked_print(const cli_texts *t, const nib_ranked *ranked, size_t count, int json);

/* Sorts; the value below which a share p of n figures lies. */
double cli_percentile(double *values, size_t n, double p);

#endif
