/* SPDX-License-Identifier: Apache-2.0
 *
 * What the printer and the parser of ONNX's textual syntax share: the names of types and kinds.
 */
#ifndef GRAPH_TEXT_H
#define GRAPH_TEXT_H

#include "graph.h"

const char *graph_text_dtype(nib_dtype dtype);                            /* "float", ...; NULL if the syntax has no name for it */
nib_dtype graph_text_dtype_of(const char *name, size_t length);           /* UNDEFINED if it is no type's name */
const char *graph_text_attr_kind(graph_attr_kind kind);                   /* "ints", ... */
graph_attr_kind graph_text_attr_kind_of(const char *name, size_t length); /* 0: none */
bool graph_text_is_identifier(const char *text);                          /* a letter or _, then letters, digits and _ */

/* How the syntax writes an element: as a number of this class, of so many bytes. Packed 4-bit and 2-bit elements, halves and
 * 8-bit floats are written as the integers that hold their bits, as ONNX's int32_data does. */
typedef enum graph_text_class { GRAPH_TEXT_INT, GRAPH_TEXT_UINT, GRAPH_TEXT_F32, GRAPH_TEXT_F64, GRAPH_TEXT_STRING } graph_text_class;
graph_text_class graph_text_class_of(nib_dtype dtype, size_t *width);

#endif
