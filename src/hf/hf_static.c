/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the folder of a StaticEmbedding, as sentence-transformers or Model2Vec writes it. Out: the graph that gives each
 * token its row; of a SparseStaticEmbedding, its weight.
 *
 *     row(id) = table[mapping[id]] * weights[id]
 *
 * `mapping` and `weights` are Model2Vec's, of a vocabulary whose rows are shared; where they are not there, the row is
 * table[id]. The mean of a text's rows is the Pooling's (hf_modules.c).
 */
#include "hf_build.h"
#include <string.h>

static bool is_real(nib_dtype t) {
    return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16 || t == NIB_DTYPE_F64;
}

static graph_value *constant(hf_builder *b, const char *name, const graph_tensor *t) {
    graph_value *v = b->status == NIB_OK ? graph_add_constant(b->g, hf_path(b, "%s", name), t, false) : NULL;
    if (!v) hf_no_memory(b);
    return v;
}

static graph_value *as_f32(hf_builder *b, const char *name, graph_value *v, nib_dtype from) {
    return v && from != NIB_DTYPE_F32 ? hf_cast(b, hf_path(b, "%s.f32", name), v, NIB_DTYPE_F32) : v;
}

/* Numbers in a file, which may be misaligned. */
static int64_t index_at(const graph_tensor *t, int64_t i) {
    int64_t wide;
    int32_t narrow;
    if (t->dtype == NIB_DTYPE_I64) return memcpy(&wide, (const char *)t->data + i * 8, 8), wide;
    return memcpy(&narrow, (const char *)t->data + i * 4, 4), narrow;
}

/* A list as a table of one column: rows that are looked up in such a one are known for what they are (model_roles.c).
 */
static graph_value *column(hf_builder *b, const char *name, const graph_tensor *list) {
    graph_tensor t = *list;
    t.rank = 2;
    t.dims[1] = 1;
    return constant(b, name, &t);
}

/* ONNX's Gather would count negative rows from the end: what a file holds is looked at once, here. */
static graph_value *mapped(hf_builder *b, const graph_tensor *mapping, int64_t rows, graph_value *ids) {
    if (mapping->rank != 1 || (mapping->dtype != NIB_DTYPE_I64 && mapping->dtype != NIB_DTYPE_I32)) {
        hf_refuse(b, NIB_BAD_MODEL, "model.safetensors: mapping is no list of i64 or i32");
        return NULL;
    }
    for (int64_t i = 0; i < mapping->dims[0]; i++)
        if (index_at(mapping, i) < 0 || index_at(mapping, i) >= rows) {
            hf_refuse(b, NIB_BAD_MODEL, "model.safetensors: mapping[%lld] is %lld, and the table has %lld rows",
                      (long long)i, (long long)index_at(mapping, i), (long long)rows);
            return NULL;
        }
    graph_value *at = hf_op2(b, "Gather", "rows.column", column(b, "mapping", mapping), ids);
    return hf_op2(b, "Squeeze", "rows", at, hf_ints(b, "rows.axis", (int64_t[]){-1}, 1));
}

static graph_value *weighted(hf_builder *b, const graph_tensor *weights, int64_t count, graph_value *ids,
                             graph_value *x) {
    if (weights->rank != 1 || !is_real(weights->dtype) || weights->dims[0] != count) {
        hf_refuse(b, NIB_BAD_MODEL, "model.safetensors: weights is no list of %lld numbers, one for each token",
                  (long long)count);
        return NULL;
    }
    graph_value *w =
        hf_op2(b, "Gather", "weights.of", as_f32(b, "weights", column(b, "weights", weights), weights->dtype), ids);
    return hf_op2(b, "Mul", "rows.weighted", x, w);
}

/* A SparseStaticEmbedding's: a weight of each word. */
static void build_sparse(hf_builder *b, const graph_tensor *weights) {
    if (weights->rank != 1 || weights->dims[0] < 1 || !is_real(weights->dtype)) {
        hf_refuse(b, NIB_BAD_MODEL, "model.safetensors: weight is no list of numbers, one for each token");
        return;
    }
    graph_value *ids = hf_input(b, "input_ids");
    hf_input(b, "attention_mask");
    graph_value *w = as_f32(b, "weight.table", column(b, "weight", weights), weights->dtype);
    hf_output(b, "token_weights", hf_op2(b, "Gather", "weight.of", w, ids), 3, 1);
}

static void build(hf_builder *b) {
    static const char *const names[] = {"embedding.weight", "embeddings"};
    const graph_tensor *table = NULL, *mapping = hf_weights_find(b->weights, "mapping"),
                       *weights = hf_weights_find(b->weights, "weights");
    size_t which = 0;
    while (which < BASE_COUNT(names) && !(table = hf_weights_find(b->weights, names[which]))) which++;
    if (!table && (table = hf_weights_find(b->weights, "weight"))) {
        build_sparse(b, table);
        return;
    }
    if (!table) {
        hf_refuse(b, NIB_BAD_MODEL, "model.safetensors has neither %s nor %s", names[0], names[1]);
        return;
    }
    if (table->rank != 2 || table->dims[0] < 1 || table->dims[1] < 1 ||
        !(is_real(table->dtype) || table->dtype == NIB_DTYPE_I8)) {
        hf_refuse(b, NIB_BAD_MODEL, "model.safetensors: %s is no table of numbers", names[which]);
        return;
    }
    if (which == 0) mapping = weights = NULL; /* of a file that has the table itself, nobody reads these */
    graph_value *ids = hf_input(b, "input_ids"), *x = constant(b, names[which], table);
    hf_input(b, "attention_mask");
    x = as_f32(b, "table", x, table->dtype);
    x = hf_op2(b, "Gather", "token_rows", x, mapping ? mapped(b, mapping, table->dims[0], ids) : ids);
    if (weights) x = weighted(b, weights, mapping ? mapping->dims[0] : table->dims[0], ids, x);
    hf_output(b, "token_embeddings", x, 3, table->dims[1]);
}

nib_status hf_load_static(nib_runtime *runtime, const char *dir, graph **out, nib_error *err) {
    nib_status status = NIB_OK;
    hf_builder b = {.err = err};
    *out = NULL;
    NIB_TRY(hf_weights_open(runtime, dir, &b.weights, err));
    NIB_TRY(graph_create(&runtime->heap, &b.g, err));
    b.g->name = graph_intern(b.g, "static", 6);
    if (!b.g->name) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    b.g->ir_version = 8;
    b.g->producer = "";
    NIB_TRY(graph_set_opset(b.g, "", HF_OPSET, err));
    build(&b);
    NIB_TRY(b.status);
    NIB_TRY(graph_verify(b.g, err));
    NIB_TRY(hf_weights_give_files(b.weights, b.g, err));
    *out = b.g;
    b.g = NULL;
fail:
    graph_free(b.g);
    hf_weights_close(b.weights);
    return status;
}
