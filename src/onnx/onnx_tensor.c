/* SPDX-License-Identifier: Apache-2.0
 *
 * TensorProto -> graph_tensor, the only way a tensor enters: initializers, attributes, subgraphs, functions, sparse parts
 * and tensor files all pass here, so that what is checked is checked for all of them.
 *
 * raw_data is borrowed from the mapped file, external data from its own mapping; typed fields are decoded. In every case the
 * bytes must be exactly what shape and element type need.
 */
#include "onnx_build.h"
#include <string.h>

/* Where a type keeps its values when not in raw_data, and how a value of that field becomes bytes. */
typedef enum typed_field { IN_NONE, IN_FLOAT, IN_INT32, IN_INT64, IN_UINT64, IN_DOUBLE, IN_STRING } typed_field;

/* clang-format off */
static const struct typed_store {
    uint8_t in;
    uint8_t width; /* bytes that one entry of the field gives */
} typed_stores[] = {
    [NIB_DTYPE_UNDEFINED] = { IN_NONE, 0 },
    [NIB_DTYPE_F32] = { IN_FLOAT, 4 },       [NIB_DTYPE_C64] = { IN_FLOAT, 4 },
    [NIB_DTYPE_F64] = { IN_DOUBLE, 8 },      [NIB_DTYPE_C128] = { IN_DOUBLE, 8 },
    [NIB_DTYPE_I64] = { IN_INT64, 8 },
    [NIB_DTYPE_U32] = { IN_UINT64, 4 },      [NIB_DTYPE_U64] = { IN_UINT64, 8 },
    [NIB_DTYPE_STRING] = { IN_STRING, sizeof(graph_string) },
    [NIB_DTYPE_I32] = { IN_INT32, 4 },
    [NIB_DTYPE_U16] = { IN_INT32, 2 },       [NIB_DTYPE_I16] = { IN_INT32, 2 },
    [NIB_DTYPE_F16] = { IN_INT32, 2 },       [NIB_DTYPE_BF16] = { IN_INT32, 2 },
    [NIB_DTYPE_U8] = { IN_INT32, 1 },        [NIB_DTYPE_I8] = { IN_INT32, 1 },
    [NIB_DTYPE_BOOL] = { IN_INT32, 1 },
    [NIB_DTYPE_F8E4M3FN] = { IN_INT32, 1 },  [NIB_DTYPE_F8E4M3FNUZ] = { IN_INT32, 1 },
    [NIB_DTYPE_F8E5M2] = { IN_INT32, 1 },    [NIB_DTYPE_F8E5M2FNUZ] = { IN_INT32, 1 },
    [NIB_DTYPE_F8E8M0] = { IN_INT32, 1 },
    [NIB_DTYPE_U4] = { IN_INT32, 1 },        [NIB_DTYPE_I4] = { IN_INT32, 1 }, /* an entry is a byte of two */
    [NIB_DTYPE_F4E2M1] = { IN_INT32, 1 },
    [NIB_DTYPE_U2] = { IN_INT32, 1 },        [NIB_DTYPE_I2] = { IN_INT32, 1 }, /* of four */
};

/* clang-format on */

static const uint8_t no_bytes[16];

/* The entries of the field that this type uses; NULL items and 0 for another's. */
static const void *typed_items(const onnx_tensor *r, typed_field in, size_t *count) {
    const onnx_float_list *floats = &r->float_data;
    const onnx_double_list *doubles = &r->double_data;
    switch (in) {
    case IN_FLOAT: return *count = floats->count, floats->items;
    case IN_DOUBLE: return *count = doubles->count, doubles->items;
    case IN_INT32: return *count = r->int32_data.count, r->int32_data.items;
    case IN_INT64: return *count = r->int64_data.count, r->int64_data.items;
    case IN_UINT64: return *count = r->uint64_data.count, r->uint64_data.items;
    case IN_STRING: return *count = r->string_data.count, r->string_data.items;
    default: return *count = 0, NULL;
    }
}

static size_t all_typed_entries(const onnx_tensor *r) {
    return r->float_data.count + r->double_data.count + r->int32_data.count + r->int64_data.count + r->uint64_data.count +
           r->string_data.count;
}

static nib_status copy_strings(onnx_loader *l, const onnx_tensor *r, graph_string *to) {
    for (size_t i = 0; i < r->string_data.count; i++) {
        onnx_bytes s = r->string_data.items[i];
        char *text = base_arena_strndup(l->into, (const char *)s.data, s.size);
        if (!text) return base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor of strings");
        to[i] = (graph_string){text, s.size};
    }
    return NIB_OK;
}

static nib_status typed_data(onnx_loader *l, const onnx_tensor *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    const struct typed_store *store = &typed_stores[out->dtype];
    size_t count = 0, have = 0;
    const uint8_t *items = typed_items(r, (typed_field)store->in, &count);
    if (count != all_typed_entries(r)) NIB_FAIL(l->err, NIB_BAD_MODEL, "the values are in a field of another element type");
    if (!base_mul_size(count, store->width, &have) || have != out->bytes)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "%zu values give %zu bytes; shape and type need %zu", count, have, out->bytes);
    uint8_t *to = base_arena_alloc(l->into, out->bytes);
    if (!to) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", out->bytes);
    out->data = to;
    if (store->in == IN_STRING) return copy_strings(l, r, out->data);
    size_t stride = store->in == IN_FLOAT ? 4 : 8;                                                      /* of the decoded list */
    for (size_t i = 0; i < count; i++) memcpy(to + i * store->width, items + i * stride, store->width); /* the low bytes */
    return NIB_OK;
fail:
    return status;
}

/* ---------------------------------------------------------------- external data */

/* A number as ONNX writes it in external_data: decimal digits and nothing else. */
static bool parse_size(onnx_bytes text, size_t *out) {
    size_t value = 0;
    if (text.size == 0) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        if (!base_mul_size(value, 10, &value) || !base_add_size(value, (size_t)(text.data[i] - '0'), &value)) return false;
    }
    *out = value;
    return true;
}

/* Opens the file of that location, or finds it open. */
static nib_status external_file(onnx_loader *l, onnx_bytes location, const onnx_external **out) {
    nib_status status = NIB_OK;
    base_file file = {0};
    const onnx_external *known = onnx_map_get(&l->files, location);
    if (known) {
        *out = known;
        return NIB_OK;
    }
    if (l->files.count >= (size_t)l->into->heap->limits.files)
        NIB_FAIL(l->err, NIB_LIMIT, "more than %d files of external data", l->into->heap->limits.files);
    if (location.size == 0 || memchr(location.data, 0, location.size))
        NIB_FAIL(l->err, NIB_BAD_MODEL, "external data with an empty location or one with a NUL inside");
    const char *relative = base_arena_strndup(&l->scratch, (const char *)location.data, location.size);
    onnx_external *fresh = base_arena_calloc(&l->scratch, 1, sizeof(*fresh));
    if (!relative || !fresh) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for external data");
    NIB_TRY(base_file_open_beneath(&l->runtime->heap, l->dir, relative, l->model_path, l->runtime->private_reads, &file, l->err));
    fresh->data = file.data ? file.data : no_bytes;
    fresh->size = file.size;
    NIB_TRY(graph_take_file(l->g, &file, l->err));
    const void *old;
    NIB_TRY(onnx_map_put(l, &l->files, location, fresh, &old));
    *out = fresh;
    return NIB_OK;
fail:
    return status;
}

static nib_status external_data(onnx_loader *l, const onnx_tensor *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    onnx_bytes location = {0};
    size_t offset = 0, length = out->bytes;
    if (!l->dir && !l->blobs) NIB_FAIL(l->err, NIB_UNSUPPORTED, "external data, but the model was not read from a file");
    if (out->dtype == NIB_DTYPE_STRING) NIB_FAIL(l->err, NIB_BAD_MODEL, "strings cannot be external data");
    if (r->raw_data.size > 0 || all_typed_entries(r) > 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "both external data and data of its own");
    for (size_t i = 0; i < r->external_data.count; i++) {
        const onnx_entry *e = &r->external_data.items[i];
        if (onnx_bytes_are(e->key, "location")) location = e->value;
        if (onnx_bytes_are(e->key, "offset") && !parse_size(e->value, &offset))
            NIB_FAIL(l->err, NIB_BAD_MODEL, "external data: the offset '%s' is no size", onnx_show(l, e->value));
        if (onnx_bytes_are(e->key, "length") && !parse_size(e->value, &length))
            NIB_FAIL(l->err, NIB_BAD_MODEL, "external data: the length '%s' is no size", onnx_show(l, e->value));
    }
    if (l->may_be_packed && onnx_bytes_are(location, ONNX_PACKED) && out->bytes > 0) {
        if (out->dtype != NIB_DTYPE_F32 || out->rank != 2) /* only weights are packed: whatever else reads values finds them */
            NIB_FAIL(l->err, NIB_BAD_MODEL, "a packed constant that is no matrix of f32");
        out->bytes = 0; /* and no data: whoever asked for the graph knows where the values are */
        return NIB_OK;
    }
    if (length != out->bytes) NIB_FAIL(l->err, NIB_BAD_MODEL, "external data of %zu bytes; shape and type need %zu", length, out->bytes);
    const onnx_external *file = NULL, blobs = l->blobs ? (onnx_external){l->blobs->data, l->blobs->size} : (onnx_external){0};
    if (l->blobs && !onnx_bytes_are(location, ONNX_BLOBS))
        NIB_FAIL(l->err, NIB_BAD_MODEL, "external data at '%s': a compiled file has none but its own", onnx_show(l, location));
    if (l->blobs) file = &blobs;
    else NIB_TRY(external_file(l, location, &file));
    if (offset > file->size || length > file->size - offset)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "external data at %zu, %zu bytes long, in the file '%s' of %zu bytes", offset, length,
                 onnx_show(l, location), file->size);
    out->data = (void *)(uintptr_t)(file->data + offset);
    return NIB_OK;
fail:
    return status;
}

/* ---------------------------------------------------------------- the tensor */

static nib_status header(onnx_loader *l, int64_t dtype, const onnx_int_list *dims, graph_tensor *out) {
    nib_status status = NIB_OK;
    memset(out, 0, sizeof(*out));
    if (dtype == NIB_DTYPE_UNDEFINED) NIB_FAIL(l->err, NIB_BAD_MODEL, "a tensor without an element type");
    if (dtype < 0 || dtype >= (int64_t)BASE_COUNT(typed_stores))
        NIB_FAIL(l->err, NIB_UNSUPPORTED, "element type %lld is not supported", (long long)dtype);
    if (dims->count > GRAPH_MAX_RANK) NIB_FAIL(l->err, NIB_LIMIT, "a tensor of rank %zu; the limit is %d", dims->count, GRAPH_MAX_RANK);
    out->dtype = (nib_dtype)dtype;
    out->rank = (int)dims->count;
    for (size_t i = 0; i < dims->count; i++) {
        out->dims[i] = dims->items[i];
        if (out->dims[i] < 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "a tensor with dimension %lld", (long long)out->dims[i]);
    }
    int64_t elements = graph_tensor_elements(out);
    out->bytes = elements < 0 ? SIZE_MAX : graph_type_bytes(out->dtype, (size_t)elements);
    if (out->bytes == SIZE_MAX) NIB_FAIL(l->err, NIB_BAD_MODEL, "a tensor with more elements than memory has bytes");
    return NIB_OK;
fail:
    return status;
}

static nib_status raw_data(onnx_loader *l, const onnx_tensor *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    if (out->dtype == NIB_DTYPE_STRING) NIB_FAIL(l->err, NIB_BAD_MODEL, "strings cannot be raw data");
    if (all_typed_entries(r) > 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "both raw data and typed data");
    if (r->raw_data.size != out->bytes)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "%zu bytes of raw data; shape and type need %zu", r->raw_data.size, out->bytes);
    out->data = (void *)(uintptr_t)r->raw_data.data;
    if (l->copy_raw) {
        out->data = base_arena_alloc(l->into, out->bytes);
        if (!out->data) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", out->bytes);
        if (out->bytes > 0) memcpy(out->data, r->raw_data.data, out->bytes);
    }
    return NIB_OK;
fail:
    return status;
}

nib_status onnx_tensor_build(onnx_loader *l, const onnx_tensor *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    NIB_TRY(header(l, r->data_type, &r->dims, out));
    if (r->segment.data) NIB_FAIL(l->err, NIB_UNSUPPORTED, "tensors in segments are not supported");
    if (r->data_location == 1) {
        NIB_TRY(external_data(l, r, out));
    } else if (r->data_location != 0) {
        NIB_FAIL(l->err, NIB_BAD_MODEL, "data location %lld is unknown", (long long)r->data_location);
    } else if (r->raw_data.data && (r->raw_data.size > 0 || all_typed_entries(r) == 0)) {
        NIB_TRY(raw_data(l, r, out));
    } else {
        NIB_TRY(typed_data(l, r, out));
    }
    return NIB_OK;
fail:
    if (l->err && r->name.size > 0 && l->err->node[0] == 0) base_error_at_node(l->err, onnx_show(l, r->name));
    base_error_at_offset(l->err, r->head.offset);
    return status;
}

/* Element i of an integer tensor whose data may be misaligned. */
static int64_t index_at(const graph_tensor *t, size_t i) {
    int64_t value;
    memcpy(&value, (const uint8_t *)t->data + i * sizeof(value), sizeof(value));
    return value;
}

/* The flat position of non-zero i: given as such, or as one index per dimension. -1: outside. */
static int64_t sparse_position(const graph_tensor *indices, const graph_tensor *dense, size_t i) {
    int64_t elements = graph_tensor_elements(dense), flat = 0;
    if (indices->rank == 1) {
        flat = index_at(indices, i);
        return flat >= 0 && flat < elements ? flat : -1;
    }
    for (int k = 0; k < dense->rank; k++) {
        int64_t at = index_at(indices, i * (size_t)dense->rank + (size_t)k);
        if (at < 0 || at >= dense->dims[k]) return -1;
        flat = flat * dense->dims[k] + at;
    }
    return flat;
}

nib_status onnx_sparse_build(onnx_loader *l, const onnx_sparse *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    graph_tensor values, indices;
    if (!r->values || !r->indices) NIB_FAIL(l->err, NIB_BAD_MODEL, "a sparse tensor without values or indices");
    NIB_TRY(onnx_tensor_build(l, r->values, &values));
    NIB_TRY(onnx_tensor_build(l, r->indices, &indices));
    NIB_TRY(header(l, r->values->data_type, &r->dims, out));
    int width = nib_dtype_bits(out->dtype) / 8;
    if (width == 0) NIB_FAIL(l->err, NIB_UNSUPPORTED, "sparse tensors of %s are not supported", nib_dtype_name(out->dtype));
    if (out->bytes > l->into->heap->limits.expand_bytes)
        NIB_FAIL(l->err, NIB_LIMIT, "a sparse tensor of %zu bytes; the limit is %zu", out->bytes, l->into->heap->limits.expand_bytes);
    bool flat = indices.rank == 1 && values.rank == 1 && indices.dims[0] == values.dims[0];
    bool pairs = indices.rank == 2 && values.rank == 1 && indices.dims[0] == values.dims[0] && indices.dims[1] == out->rank;
    if (indices.dtype != NIB_DTYPE_I64 || (!flat && !pairs))
        NIB_FAIL(l->err, NIB_BAD_MODEL, "the indices of a sparse tensor do not fit its values and shape");
    uint8_t *dense = base_arena_calloc(l->into, out->bytes, 1);
    if (!dense) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", out->bytes);
    out->data = dense;
    for (int64_t i = 0; i < values.dims[0]; i++) {
        int64_t at = sparse_position(&indices, out, (size_t)i);
        if (at < 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "index %lld of a sparse tensor is outside of its shape", (long long)i);
        memcpy(dense + at * width, (const uint8_t *)values.data + i * width, (size_t)width);
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, r->head.offset);
    return status;
}
