/* SPDX-License-Identifier: Apache-2.0
 *
 * What nib bench measures beside embedding (cli_bench_task.c).
 */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include "cli.h"

/* Measures a->word, "classify", "rank", "tokenize" or "queue", on the lines of `input`. */
int cli_bench_task(cli_args *a, const char *input);

#endif
