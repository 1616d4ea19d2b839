/* SPDX-License-Identifier: Apache-2.0
 *
 * safetensors: model.safetensors, or the shards that model.safetensors.index.json names.
 *
 *     u64 header length n (little endian) | n bytes of JSON | data
 *     JSON: { "name": { "dtype": "F32", "shape": [d, ...], "data_offsets": [begin, end] }, ..., "__metadata__": { ... } }
 *
 * A file is checked whole before anything of it is used: n fits the file, each span lies in the data and is exactly what
 * shape and element type need, no two spans overlap, no name comes twice, in a file or over all shards.
 */
#include "hf_json.h"
#include "base/base_sort.h"
#include <string.h>

#define MAX_HEADER (100u << 20) /* what the format's own reader allows */

typedef struct entry {
    const char *name;
    size_t shard;
    size_t begin, end; /* in the shard's data */
    graph_tensor tensor;
} entry;

struct hf_weights {
    nib_runtime *runtime;
    base_arena arena; /* names */
    entry *entries;   /* sorted by name once open */
    size_t count, capacity;
    base_file *files;
    size_t n_files, cap_files;
};

static const struct {
    const char *name;
    nib_dtype dtype;
} dtypes[] = {
    {"F32", NIB_DTYPE_F32},
    {"F16", NIB_DTYPE_F16},
    {"BF16", NIB_DTYPE_BF16},
    {"F64", NIB_DTYPE_F64},
    {"I64", NIB_DTYPE_I64},
    {"I32", NIB_DTYPE_I32},
    {"I16", NIB_DTYPE_I16},
    {"I8", NIB_DTYPE_I8},
    {"U64", NIB_DTYPE_U64},
    {"U32", NIB_DTYPE_U32},
    {"U16", NIB_DTYPE_U16},
    {"U8", NIB_DTYPE_U8},
    {"BOOL", NIB_DTYPE_BOOL},
    {"C64", NIB_DTYPE_C64},
    {"F8_E4M3", NIB_DTYPE_F8E4M3FN},
    {"F8_E5M2", NIB_DTYPE_F8E5M2},
    {"F8_E8M0", NIB_DTYPE_F8E8M0},
    {"F8_E4M3FNUZ", NIB_DTYPE_F8E4M3FNUZ},
    {"F8_E5M2FNUZ", NIB_DTYPE_F8E5M2FNUZ},
    {"F4", NIB_DTYPE_F4E2M1},
};

static int by_name(const void *a, const void *b) { return strcmp(((const entry *)a)->name, ((const entry *)b)->name); }

static int by_place(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* ---------------------------------------------------------------- one tensor */

static nib_status read_shape(const char *name, yyjson_val *shape, graph_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, n;
    yyjson_val *v;
    if (!yyjson_is_arr(shape)) NIB_FAIL(err, NIB_BAD_MODEL, "%s has no shape", name);
    if (yyjson_arr_size(shape) > GRAPH_MAX_RANK)
        NIB_FAIL(err, NIB_LIMIT, "%s is of rank %zu; the limit is %d", name, yyjson_arr_size(shape), GRAPH_MAX_RANK);
    yyjson_arr_foreach(shape, i, n, v) {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT64_MAX) NIB_FAIL(err, NIB_BAD_MODEL, "%s has a dimension that is no size", name);
        out->dims[out->rank++] = (int64_t)yyjson_get_uint(v);
    }
    int64_t elements = graph_tensor_elements(out);
    out->bytes = elements < 0 ? SIZE_MAX : graph_type_bytes(out->dtype, (size_t)elements);
    if (out->bytes == SIZE_MAX) NIB_FAIL(err, NIB_BAD_MODEL, "%s has more elements than memory has bytes", name);
fail:
    return status;
}

static nib_status read_tensor(const char *name, yyjson_val *v, const uint8_t *data, size_t size, entry *out, nib_error *err) {
    nib_status status = NIB_OK;
    const char *dtype = hf_json_string(v, "dtype", NULL);
    yyjson_val *offsets = yyjson_obj_get(v, "data_offsets"), *begin = yyjson_arr_get(offsets, 0), *end = yyjson_arr_get(offsets, 1);
    if (!yyjson_is_obj(v) || !dtype) NIB_FAIL(err, NIB_BAD_MODEL, "%s has no dtype", name);
    for (size_t i = 0; i < BASE_COUNT(dtypes); i++) {
        if (strcmp(dtypes[i].name, dtype) == 0) out->tensor.dtype = dtypes[i].dtype;
    }
    if (out->tensor.dtype == NIB_DTYPE_UNDEFINED) NIB_FAIL(err, NIB_UNSUPPORTED, "%s has the element type %s", name, dtype);
    NIB_TRY(read_shape(name, yyjson_obj_get(v, "shape"), &out->tensor, err));
    if (yyjson_arr_size(offsets) != 2 || !yyjson_is_uint(begin) || !yyjson_is_uint(end))
        NIB_FAIL(err, NIB_BAD_MODEL, "%s has no data_offsets [begin, end]", name);
    uint64_t from = yyjson_get_uint(begin), to = yyjson_get_uint(end);
    if (from > to || to > size)
        NIB_FAIL(err, NIB_BAD_MODEL, "%s lies at [%llu, %llu) of %zu bytes of data", name, (unsigned long long)from, (unsigned long long)to,
                 size);
    if (to - from != out->tensor.bytes)
        NIB_FAIL(err, NIB_BAD_MODEL, "%s has %llu bytes; shape and type need %zu", name, (unsigned long long)(to - from),
                 out->tensor.bytes);
    out->begin = (size_t)from;
    out->end = (size_t)to;
    out->tensor.data = (void *)(uintptr_t)(data + from);
fail:
    return status;
}

/* ---------------------------------------------------------------- one file */

static nib_status check_overlaps(entry *entries, size_t count, nib_error *err) {
    const entry *last = NULL; /* the last one that holds any bytes */
    base_sort(entries, count, sizeof(*entries), by_place);
    for (size_t i = 0; i < count; i++) {
        if (entries[i].begin == entries[i].end) continue;
        if (last && entries[i].begin < last->end)
            return base_error_set(err, NIB_BAD_MODEL, "%s and %s overlap", last->name, entries[i].name);
        last = &entries[i];
    }
    return NIB_OK;
}

static nib_status read_entries(hf_weights *w, size_t shard, yyjson_val *root, const uint8_t *data, size_t size, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_obj_iter iter = yyjson_obj_iter_with(root);
    size_t first = w->count;
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key; key = yyjson_obj_iter_next(&iter)) {
        const char *name = yyjson_get_str(key);
        entry e = {.shard = shard};
        if (strcmp(name, "__metadata__") == 0) continue;
        if (strlen(name) != yyjson_get_len(key)) NIB_FAIL(err, NIB_BAD_MODEL, "the name %s has a NUL inside", name);
        NIB_TRY(read_tensor(name, yyjson_obj_iter_get_val(key), data, size, &e, err));
        if (!base_grow(&w->runtime->heap, (void **)&w->entries, &w->capacity, w->count + 1, sizeof(*w->entries)) ||
            !(e.name = base_arena_strndup(&w->arena, name, yyjson_get_len(key))))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the weights' names");
        w->entries[w->count++] = e;
    }
    if (w->count > first) NIB_TRY(check_overlaps(w->entries + first, w->count - first, err));
fail:
    return status;
}

/* Takes the file, on failure too. */
static nib_status add_file(hf_weights *w, base_file *file, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    uint64_t header = 0;
    if (!base_grow(&w->runtime->heap, (void **)&w->files, &w->cap_files, w->n_files + 1, sizeof(*w->files))) {
        base_file_close(file);
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the weights' files");
    }
    size_t shard = w->n_files++;
    w->files[shard] = *file;
    memset(file, 0, sizeof(*file));
    const base_file *f = &w->files[shard];
    if (f->size < 8) NIB_FAIL(err, NIB_BAD_MODEL, "a file of %zu bytes", f->size);
    for (int i = 7; i >= 0; i--) header = header << 8 | f->data[i];
    if (header > f->size - 8) NIB_FAIL(err, NIB_BAD_MODEL, "a header of %llu bytes in a file of %zu", (unsigned long long)header, f->size);
    if (header > MAX_HEADER) NIB_FAIL(err, NIB_LIMIT, "a header of %llu bytes; the limit is %u", (unsigned long long)header, MAX_HEADER);
    NIB_TRY(
        base_json_parse(&w->runtime->heap, (const char *)f->data + 8, (size_t)header, "the safetensors header", NIB_BAD_MODEL, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) NIB_FAIL(err, NIB_BAD_MODEL, "the header is no JSON object");
    NIB_TRY(read_entries(w, shard, root, f->data + 8 + header, f->size - 8 - (size_t)header, err));
fail:
    base_json_free(&w->runtime->heap, doc);
    return status;
}

/* Takes the file, on failure too; messages name it. */
static nib_status add_named(hf_weights *w, base_file *file, const char *name, nib_error *err) {
    nib_status status = add_file(w, file, err);
    if (status != NIB_OK) base_error_in_file(err, name);
    return status;
}

/* ---------------------------------------------------------------- shards */

typedef struct shard_name {
    const char *name;
} shard_name;

static int by_shard_name(const void *a, const void *b) { return strcmp(((const shard_name *)a)->name, ((const shard_name *)b)->name); }

static nib_status open_shards(hf_weights *w, const char *dir, const char *index_path, yyjson_val *index, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *map = yyjson_obj_get(index, "weight_map");
    yyjson_obj_iter iter = yyjson_obj_iter_with(map);
    size_t count = 0;
    base_file file = {0};
    shard_name *names = base_calloc(&w->runtime->heap, yyjson_obj_size(map) + 1, sizeof(*names));
    if (!names) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the names of shards");
    if (!yyjson_is_obj(map)) NIB_FAIL(err, NIB_BAD_MODEL, "model.safetensors.index.json has no weight_map");
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key; key = yyjson_obj_iter_next(&iter)) {
        yyjson_val *v = yyjson_obj_iter_get_val(key);
        if (!yyjson_is_str(v) || strlen(yyjson_get_str(v)) != yyjson_get_len(v))
            NIB_FAIL(err, NIB_BAD_MODEL, "model.safetensors.index.json: the shard of %s is no file name", yyjson_get_str(key));
        names[count++].name = yyjson_get_str(v);
    }
    base_sort(names, count, sizeof(*names), by_shard_name);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(names[i].name, names[i - 1].name) == 0) continue;
        if (w->n_files >= (size_t)w->runtime->heap.limits.files)
            NIB_FAIL(err, NIB_LIMIT, "more than %d shards", w->runtime->heap.limits.files);
        NIB_TRY(base_file_open_beneath(&w->runtime->heap, dir, names[i].name, index_path, w->runtime->private_reads, &file, err));
        NIB_TRY(add_named(w, &file, names[i].name, err));
    }
fail:
    base_free(&w->runtime->heap, names);
    return status;
}

/* Every tensor that the index lists must be in some shard: a shard that lost one is not a smaller model. */
static nib_status check_index(const hf_weights *w, yyjson_val *index, nib_error *err) {
    yyjson_obj_iter iter = yyjson_obj_iter_with(yyjson_obj_get(index, "weight_map"));
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key; key = yyjson_obj_iter_next(&iter)) {
        if (!hf_weights_find(w, yyjson_get_str(key)))
            return base_error_set(err, NIB_BAD_MODEL, "model.safetensors.index.json lists %s, which no shard has", yyjson_get_str(key));
    }
    return NIB_OK;
}

static nib_status create(nib_runtime *runtime, hf_weights **out, nib_error *err) {
    *out = base_calloc(&runtime->heap, 1, sizeof(**out));
    if (!*out) return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for the weights");
    (*out)->runtime = runtime;
    base_arena_init(&(*out)->arena, &runtime->heap);
    return NIB_OK;
}

/* By name, each once. */
static nib_status sort_entries(hf_weights *w, nib_error *err) {
    base_sort(w->entries, w->count, sizeof(*w->entries), by_name);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->entries[i - 1].name, w->entries[i].name) == 0)
            return base_error_set(err, NIB_BAD_MODEL, "%s is there twice", w->entries[i].name);
    return NIB_OK;
}

nib_status hf_weights_open_file(nib_runtime *runtime, const char *dir, const char *name, hf_weights **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_file file = {0};
    hf_weights *w = NULL;
    char *config = base_path_join(&runtime->heap, dir, "config.json");
    *out = NULL;
    NIB_TRY(create(runtime, &w, err));
    if (!config) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the weights");
    NIB_TRY(base_file_open_beneath(&runtime->heap, dir, name, config, runtime->private_reads, &file, err));
    NIB_TRY(add_named(w, &file, name, err));
    NIB_TRY(sort_entries(w, err));
    *out = w;
    w = NULL;
fail:
    hf_weights_close(w);
    base_free(&runtime->heap, config);
    return status;
}

nib_status hf_weights_open(nib_runtime *runtime, const char *dir, hf_weights **out, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *index = NULL;
    base_file file = {0};
    char *path = base_path_join(&runtime->heap, dir, "model.safetensors");
    char *index_path = base_path_join(&runtime->heap, dir, "model.safetensors.index.json");
    hf_weights *w = NULL;
    *out = NULL;
    NIB_TRY(create(runtime, &w, err));
    if (!path || !index_path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for the weights");
    if (base_path_is_file(path)) {
        NIB_TRY(base_file_open(&runtime->heap, path, runtime->private_reads, &file, err));
        NIB_TRY(add_named(w, &file, path, err));
    } else {
        NIB_TRY(hf_json_open(runtime, dir, "model.safetensors.index.json", false, &index, err));
        if (!index) NIB_FAIL(err, NIB_NOT_FOUND, "%s has neither model.safetensors nor model.safetensors.index.json", dir);
        NIB_TRY(open_shards(w, dir, index_path, yyjson_doc_get_root(index), err));
    }
    NIB_TRY(sort_entries(w, err));
    if (index) NIB_TRY(check_index(w, yyjson_doc_get_root(index), err));
    *out = w;
    w = NULL;
fail:
    hf_weights_close(w);
    base_json_free(&runtime->heap, index);
    base_free(&runtime->heap, path);
    base_free(&runtime->heap, index_path);
    return status;
}

void hf_weights_close(hf_weights *w) {
    if (!w) return;
    base_heap *heap = &w->runtime->heap;
    for (size_t i = 0; i < w->n_files; i++) base_file_close(&w->files[i]);
    base_free(heap, w->files);
    base_free(heap, w->entries);
    base_arena_free(&w->arena);
    base_free(heap, w);
}

const graph_tensor *hf_weights_find(const hf_weights *w, const char *name) {
    entry key = {.name = name};
    const entry *e = base_find(&key, w->entries, w->count, sizeof(*w->entries), by_name);
    return e ? &e->tensor : NULL;
}

size_t hf_weights_count(const hf_weights *w) { return w->count; }

nib_status hf_weights_give_files(hf_weights *w, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < w->n_files; i++) NIB_TRY(graph_take_file(g, &w->files[i], err));
fail:
    return status;
}
