/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of texts that are longer than the model, as options say.
 */
#ifndef CLI_CHUNKS_H
#define CLI_CHUNKS_H

#include "cli_vectors.h"

/* 0, or an exit code after a message: options that do not go together. */
int cli_chunks_check(const cli_args *a);
void cli_chunks_fill(const cli_args *a, nib_chunk_options *out);
/* Whether a text has a row for each of its chunks. */
bool cli_chunks_each(const cli_args *a);
/* Standard input as one text, a JSON line for each chunk as soon as its vector is there. */
int cli_stream(const cli_args *a, nib_model *model, const nib_vector_options *stored, cli_vectors *out);

#endif
