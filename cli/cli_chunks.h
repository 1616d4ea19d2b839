/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of texts that are longer than the model, as options say.
 */
#ifndef CLI_CHUNKS_H
#define CLI_CHUNKS_H

#include "cli.h"

/* 0, or an exit code after a message: options that do not go together. */
int cli_chunks_check(const cli_args *a);
void cli_chunks_fill(const cli_args *a, nib_chunk_options *out);
/* Whether a text has a row for each of its chunks. */
bool cli_chunks_each(const cli_args *a);

#endif
