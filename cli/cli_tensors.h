/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs of a session from files, or made at random; names of the files of outputs.
 */
#ifndef CLI_TENSORS_H
#define CLI_TENSORS_H

#include "cli.h"

typedef struct cli_tensors {
    cli_list files, shapes; /* of NAME=VALUE; borrowed */
    bool random;
    uint64_t seed;
} cli_tensors;

/* Bind every input of the session, which has and frees what was read or made. Return 0, or a code with a message said.
 */
int cli_tensors_bind(const cli_tensors *t, nib_session *session);
int cli_tensors_suite(nib_session *session, const char *folder);

/* FOLDER/NAME.KIND, the name of an output with whatever is no letter, digit, '-', '.' or '_' as '_', and its number behind if an earlier
 * one has the same; false, with a message, if it is too long. */
bool cli_tensors_path(char *path, size_t room, const char *folder, const nib_session *session, size_t output, const char *kind);
nib_tensor_format cli_tensors_format(nib_dtype dtype); /* npy where NumPy has the type */
int cli_tensors_folder(const char *path);              /* makes it if it is not there; 0, or a code with a message said */

#endif
