/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the parser of ONNX's textual syntax.
 */
#ifndef GRAPH_TEXT_PARSE_H
#define GRAPH_TEXT_PARSE_H

#include "graph_text_lex.h"

typedef struct text_parser {
    lexer lex;
    graph *root;
} text_parser;

nib_status text_parse_graph(text_parser *t, graph *g); /* name ( ... ) => ( ... ) < ... > { ... } into an empty graph */
bool text_next_is_type(text_parser *t);
nib_status text_parse_type(text_parser *t, graph_type *out);
nib_status text_parse_data(text_parser *t, const graph_type *type, graph_tensor *out); /* { value, ... }, into the graph's arena */
nib_status text_parse_attr(text_parser *t, graph *g, graph_attr *out);                 /* g: parent of its subgraphs */

#endif
