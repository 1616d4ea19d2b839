/* SPDX-License-Identifier: Apache-2.0
 *
 * What a path looks like that turned out to be no model.
 */
#ifndef MODEL_LOOK_H
#define MODEL_LOOK_H

#include "base/base_mem.h"

/* After a file could not be read as ONNX: if its first bytes are those of something else, err says what it is and what nib takes;
 * otherwise it stays as it is. */
void model_look(const char *path, nib_error *err);

/* "; it has FILE, which nib does not read (..)" for a folder with weights of another kind, or "". Static storage. */
const char *model_look_in(base_heap *heap, const char *folder);

#endif
