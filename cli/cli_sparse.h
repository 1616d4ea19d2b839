/* SPDX-License-Identifier: Apache-2.0
 *
 * Sparse vectors in the command: nib embed --sparse, alone or beside --dense and --colbert, and nib search over .npz.
 */
#ifndef CLI_SPARSE_H
#define CLI_SPARSE_H

#include "cli.h"

extern const cli_option cli_sparse_options[]; /* --sparse, --dense, --colbert, --top, --format */

/* Whether the command line asks for what this file does. */
bool cli_sparse_wanted(const cli_args *a);
/* All of nib embed then. */
int cli_sparse_embed(cli_args *a);

bool cli_is_npz(const char *path);
/* All of nib search, of documents in an .npz file. */
int cli_sparse_search(cli_args *a);

#endif
