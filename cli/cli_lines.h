/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of a file, a pipe or a terminal, in batches. A batch ends when it is full or when the input pauses: somebody who
 * feeds a line and waits gets an answer, somebody who feeds a million gets full batches.
 */
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cli_lines cli_lines;

/* path "-": standard input. NULL with *reason set on failure. */
cli_lines *cli_lines_open(const char *path, const char **reason);
void cli_lines_close(cli_lines *l);

/* Bytes of the mark at the beginning of a UTF-8 file (U+FEFF), as editors write it; 0: there is none. It is no part of
 * the first line. */
size_t cli_lines_mark(const char *text, size_t length);

/* The next batch: up to `most` lines without their newline (nor a \r before it), valid until the next call. Returns how many, 0 at
 * the end, -1 on a read error with *reason set. The last line need not end with a newline. */
long cli_lines_next(cli_lines *l, size_t most, const char *const **texts, const size_t **lengths, const char **reason);

/* Calls `each` with every batch of a file or "-", of at most `most` lines, a small one first, so that the first answer
 * comes early, until it returns another code than 0 or the process is told to end. Returns an exit code, after a message
 * of its own if the file is at fault. */
int cli_lines_each(const char *path, size_t most,
                   int (*each)(void *user, const char *const *texts, const size_t *lengths, size_t n), void *user);

/* Bytes read so far, and the file's size (0 if it is not known). */
void cli_lines_progress(const cli_lines *l, unsigned long long *done, unsigned long long *total);

#endif
