/* SPDX-License-Identifier: Apache-2.0
 *
 * A kind of module, between the file that reads them (hf_modules.c) and the one that builds them (hf_modules_build.c).
 */
#ifndef HF_MODULES_H
#define HF_MODULES_H

#include "hf_build.h"

struct hf_module_kind {
    const char *type;                    /* the last word of its class's name */
    const char *weight, *offset, *across; /* what its weights' file calls these; NULL: it has none */
    graph_value *(*emit)(hf_builder *b, const hf_module *m, graph_value *x); /* NULL: x is what comes out */
};

const char *hf_last_word(const char *type); /* of a class's name */
/* A Dense of weights that stand in no list: [out, in], with a bias. */
hf_module hf_module_dense(const char *path, int64_t in, int64_t out, const char *activation);
graph_value *hf_emit_dense(hf_builder *b, const hf_module *m, graph_value *x);
graph_value *hf_emit_layer_norm(hf_builder *b, const hf_module *m, graph_value *x);
graph_value *hf_emit_normalize(hf_builder *b, const hf_module *m, graph_value *x);

#endif
