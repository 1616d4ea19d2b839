/* SPDX-License-Identifier: Apache-2.0
 *
 * TypeProto -> graph_type. A named dimension becomes the symbol of that name; an unnamed or negative one is unknown, and so is one whose
 * name only says so: two of them need not be equal.
 */
#include "onnx_build.h"

/* What exporters write where they know no name: a word for nothing, or no letter at all ("?", "-1", "*"). */
static bool is_name(onnx_bytes text) {
    static const char *const words[] = {"None", "none", "unknown"};
    for (size_t i = 0; i < BASE_COUNT(words); i++)
        if (onnx_bytes_are(text, words[i])) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i] | 0x20; /* bytes of other alphabets are letters, too */
        if ((c >= 'a' && c <= 'z') || text.data[i] >= 0x80 || text.data[i] == '_') return true;
    }
    return false;
}

static nib_status tensor_type(onnx_loader *l, graph_symtab *symbols, const onnx_type_tensor *record, graph_type *out) {
    nib_status status = NIB_OK;
    if (record->elem_type < 0 || record->elem_type > NIB_DTYPE_I2)
        NIB_FAIL(l->err, NIB_UNSUPPORTED, "element type %lld is not supported", (long long)record->elem_type);
    out->dtype = (nib_dtype)record->elem_type;
    if (!record->shape) return NIB_OK;
    const onnx_dimension_list *dims = &record->shape->dims;
    if (dims->count > GRAPH_MAX_RANK) NIB_FAIL(l->err, NIB_LIMIT, "a type of rank %zu; the limit is %d", dims->count, GRAPH_MAX_RANK);
    out->rank = (int)dims->count;
    for (size_t i = 0; i < dims->count; i++) {
        const onnx_dimension *d = &dims->items[i];
        out->dims[i] = NULL;
        if (ONNX_SEEN(d, 1)) {
            if (d->value >= 0) out->dims[i] = graph_dim_const(symbols, d->value);
        } else if (is_name(d->param)) {
            const char *name = onnx_intern(l, d->param, &status);
            if (!name) goto fail;
            if (onnx_bytes_are(d->param, GRAPH_TOKENS_SYMBOL))
                NIB_FAIL(l->err, NIB_BAD_MODEL, "a size is called %s, which is nib's own", name);
            out->dims[i] = graph_dim_symbol(symbols, name);
        }
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, record->head.offset);
    return status;
}

nib_status onnx_type_build(onnx_loader *l, graph_symtab *symbols, const onnx_type *record, graph_type *out) {
    nib_status status = NIB_OK;
    *out = (graph_type){.kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_UNDEFINED, .rank = -1};
    if (!record) return NIB_OK;
    const onnx_type_of *of = record->sequence ? record->sequence : record->optional ? record->optional : record->map;
    if (record->tensor) return tensor_type(l, symbols, record->tensor, out);
    if (record->sparse.data || record->opaque.data) NIB_FAIL(l->err, NIB_UNSUPPORTED, "sparse and opaque types are not supported");
    if (!of) return NIB_OK;
    out->kind = record->sequence ? GRAPH_KIND_SEQUENCE : record->optional ? GRAPH_KIND_OPTIONAL : GRAPH_KIND_MAP;
    const onnx_type *element = of->elem_type;
    if (element && element->sequence && !record->sequence) { /* optional(sequence(tensor)) */
        out->of = GRAPH_KIND_SEQUENCE;
        element = element->sequence->elem_type;
    }
    if (element && element->tensor) return tensor_type(l, symbols, element->tensor, out);
    return NIB_OK; /* deeper: the element is left unknown */
fail:
    base_error_at_offset(l->err, record->head.offset);
    return status;
}
