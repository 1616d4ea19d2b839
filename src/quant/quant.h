/* SPDX-License-Identifier: Apache-2.0
 *
 * Graph -> graph: weights to fewer bits. Precision is a property of the graph: what this room writes into it, the plan only packs.
 *
 * quant_apply works on a fused graph. The weights of each nib.Linear become values of the quantized type, with the same bytes, and it
 * reads the rows that the device wants beside such weights: of q8 and q4, what one nib.QuantizeRows per value makes (asymmetric u8, a
 * scale and zero point a row); of bf16, rows of bf16 where they are multiplied. q4 makes large tables q8, too. A Linear that cannot
 * be rewritten stays f32, with a note.
 */
#ifndef QUANT_H
#define QUANT_H

#include "pass/pass.h"

/* What is rounded as one: a Linear, or a large table, by the name of its (first) weight, which is the same in every program of a
 * model; or the products of all attentions. */
#define QUANT_ATTENTION "" /* their name */
#define QUANT_NAME 256
/* A weight's, before it is rounded: without the number of its own that graph_add_value puts behind the name of what a pass makes, for
 * that is another in each program. */
void quant_layer_name(const graph_value *v, char out[QUANT_NAME]);
typedef struct quant_layer {
    char *name;
    kernel_weight_format format; /* of its weights; F32: it is not rounded */
    double numbers;              /* that it has; of attentions 0 */
} quant_layer;
typedef struct quant_layers {
    quant_layer *items;
    int count;
} quant_layers;
quant_layer *quant_layers_find(const quant_layers *l, const char *name); /* NULL: it is not there */
/* All of a name are one. */
nib_status quant_layers_add(base_heap *heap, quant_layers *l, const char *name, kernel_weight_format format, double numbers,
                            nib_error *err);
/* What was chosen for a layer; F32 for one that nobody has measured; `otherwise` where the list is empty: nothing was chosen. */
kernel_weight_format quant_layers_format(const quant_layers *chosen, const char *name, kernel_weight_format otherwise);
void quant_layers_free(base_heap *heap, quant_layers *l);

/* precision: NIB_PRECISION_Q8, NIB_PRECISION_Q4, NIB_PRECISION_MIXED or NIB_PRECISION_BF16; UNSUPPORTED for any other. MIXED is Q4 but
 * for what is chosen.
 * `chosen`: empty, or the only layers that are rounded, in formats of their own (quant_layers_format); not read with as_file.
 * `made`, the caller's, empty: what was rounded, in the graph's order.
 * `as_file`, of a file that was quantized: each Linear in what its own weights were quantized to, q4 or q8, if they were
 * (quant_grid.c), else in f32; precision then says only what tables become.
 * `rows` [KERNEL_WEIGHTS]: what a product reads beside weights of each format. */
nib_status quant_apply(pass_context *ctx, nib_precision precision, bool as_file, const quant_layers *chosen, quant_layers *made,
                       const kernel_input *rows);

/* What a Linear's weights lie on the grid of: KERNEL_WEIGHT_Q4, _Q8 for any other grid of up to 8 bits, or _F32 for none. */
kernel_weight_format quant_grid_of(const op_linear *l);
/* Whether rows of a table [rows, columns] are what s8 with a scale a row holds without loss; rows of some hundred places are looked at. */
bool quant_grid_of_rows(const graph_tensor *table);

/* The factors [K] that a QuantizeRows of x should multiply its columns by, as a constant of the graph; *factor NULL if nothing is known
 * about them (quant_smooth.c). */
nib_status quant_smooth(pass_context *ctx, const graph_value *x, graph_value **factor);

/* What `auto` means on a CPU: q8 where it has instructions for it, f32 otherwise. *why: one line. */
nib_precision quant_auto(uint32_t isas, const char **why);

#endif
