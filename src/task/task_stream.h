/* SPDX-License-Identifier: Apache-2.0
 *
 * A text that comes in pieces (nib/chunks.h). In: bytes. Out: vectors of its chunks.
 */
#ifndef TASK_STREAM_H
#define TASK_STREAM_H

#include "task.h"

/* As nib/chunks.h, of checked and complete options, which point to complete ones. */
nib_status stream_open(nib_model *m, const nib_stream_options *options, nib_stream **out, nib_error *err);
nib_status stream_feed(nib_stream *s, const char *bytes, size_t length, size_t *taken, nib_error *err);
nib_status stream_end(nib_stream *s, nib_error *err);
nib_status stream_next(nib_stream *s, double seconds, nib_stream_chunk *chunk, void *row, nib_error *err);
void stream_statistics(nib_stream *s, nib_stream_statistics *out);
void stream_free(nib_stream *s);

#endif
