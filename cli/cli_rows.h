/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors that a verb reads: an .npy file's, or those of texts, embedded here.
 */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli_texts.h"

typedef struct cli_rows {
    nib_vectors v;
    nib_tensor *tensor; /* of a file; or */
    float *made;        /* of texts */
    cli_texts texts;    /* of a file of texts */
    float *ranges;      /* [2, width], where they were read */
} cli_rows;

/* Each returns 0, or an exit code after a message. Freed by cli_rows_free either way. */

/* Whether the file is named as .npy. */
bool cli_is_npy(const char *path);
/* Rows of an .npy file [n, elements] of a type that vectors have. `bits`: BINARY or UBINARY, if bytes are to be bits; F32: not so. */
int cli_rows_read(cli_rows *r, const char *path, nib_vector_type bits);
/* f32 vectors of the lines of a file, or of n texts; cut to `dimensions` (0: all). prompt NULL: the model's default. */
int cli_rows_embed_file(cli_rows *r, nib_model *model, const char *path, const char *prompt, int64_t dimensions);
int cli_rows_embed(cli_rows *r, nib_model *model, const char *const *texts, size_t n, const char *prompt,
                   int64_t dimensions);
/* Ranges [2, width] from a file: an .npy of f32 with two rows of which the first is nowhere above the second, which are such, and are cut
 * to their first columns; or one of vectors; or texts to be embedded, which takes a model (NULL: refused). `normalize` as of
 * nib_vector_options; -1: vectors of length 1 have it again behind the cut, others not. */
int cli_ranges_read(float **ranges, const char *path, nib_model *model, const char *prompt, int64_t width,
                    int normalize);
void cli_rows_free(cli_rows *r);

#endif
