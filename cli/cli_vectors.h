/* SPDX-License-Identifier: Apache-2.0
 *
 * Where vectors go: an .npy or .jsonl file that appears whole or not at all, JSON lines on standard output, or an .npy
 * file there, which is held back until its number of rows is known. A text has one row, or, if ragged, as many as it
 * has tokens: then a line has an array of arrays, and beside NAME.npy [all rows, dim] there is NAME.offsets.npy [texts
 * + 1], i64: text i has rows offsets[i] to offsets[i + 1].
 */
#ifndef CLI_VECTORS_H
#define CLI_VECTORS_H

#include "cli.h"

typedef struct cli_vectors {
    nib_npy *npy;
    nib_file *file;
    bool to_pipe; /* .npy on standard output */
    char *held;   /* its rows */
    size_t n_held, held_room;
    char *line;
    size_t line_room;
    nib_vector_type type;
    int64_t dim, elements; /* numbers of a vector; elements of a row, which of bits are bytes */
    size_t bytes;          /* of a row */
    bool base64;           /* in JSON: a row's bytes, as the API of OpenAI has them */
    bool ragged;
    char *offsets_path; /* of a ragged .npy; NULL: it is none */
    int64_t *offsets;   /* [index + 1] */
    size_t offsets_room;
    long long index, truncated;
} cli_vectors;

typedef struct cli_row { /* what a line says beside the vector */
    int64_t tokens; /* as many rows, if ragged */
    bool truncated;
    const char *id, *text; /* id: JSON; either may be NULL */
    size_t id_length, length;
    const int64_t (*chunks)[3]; /* ragged rows of chunks, not of tokens: where each begins and ends, its tokens */
    int64_t n_chunks;
} cli_row;

/* `verb`: whose messages they are. `path`: NULL for JSON lines on standard output, "-" for .npy there, else a file. Each returns an exit code, after a message. */
int cli_vectors_open(cli_vectors *o, const cli_verb *verb, const char *path, nib_vector_type type, int64_t dim, bool ragged);
/* vectors: the rows of n texts, of the type and width that it was opened for, one text's behind another's. */
int cli_vectors_put(cli_vectors *o, const void *vectors, const cli_row *rows, size_t n);
/* Ranges [2, dim] to NAME.ranges.npy beside NAME.npy; nowhere, if that is not where vectors go. */
int cli_vectors_put_ranges(const cli_vectors *o, const char *path, const float *ranges);
/* Frees; the file appears if code is 0, and the new code is returned. */
int cli_vectors_close(cli_vectors *o, int code);

#endif
