/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's tensor files. In: a path. Out: a tensor that owns its bytes, or a file that is whole.
 */
#include "api.h"
#include "base/base_file.h"
#include "base/base_npy.h"
#include "onnx/onnx.h"
#include <stdlib.h>
#include <string.h>

typedef struct owned {
    nib_tensor t; /* first: what the caller sees */
    base_heap heap;
    base_arena arena;
    base_file file; /* .npy data may point into it */
    nib_runtime *runtime; /* whose heap t.data is a block of; NULL: it is not */
} owned;

static graph_kind kind_of(nib_dtype container) {
    return container == NIB_DTYPE_SEQUENCE   ? GRAPH_KIND_SEQUENCE
           : container == NIB_DTYPE_OPTIONAL ? GRAPH_KIND_OPTIONAL
                                             : GRAPH_KIND_TENSOR;
}

static nib_status try_tensor_read(const char *path, nib_dtype container, nib_tensor **out, nib_error *err) {
    nib_status status = NIB_OK;
    owned *o = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the tensor");
    *out = NULL;
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was named");
    o = calloc(1, sizeof *o);
    if (!o) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    base_heap_init(&o->heap, NULL);
    base_arena_init(&o->arena, &o->heap);
    NIB_TRY(base_file_open(&o->heap, path, true, &o->file, err));
    const void *bytes = o->file.data ? (const void *)o->file.data : "";
    if (base_npy_is(bytes, o->file.size)) status = base_npy_read(&o->arena, bytes, o->file.size, &o->t, err);
    else status = onnx_load_value(&o->arena, kind_of(container), bytes, o->file.size, &o->t, err);
    if (status != NIB_OK) base_error_in_file(err, path);
    NIB_TRY(status);
    if (!o->t.data) o->t.data = (void *)(uintptr_t) "";
    o->t.place.kind = NIB_DEVICE_CPU;
    *out = &o->t;
    return NIB_OK;
fail:
    nib_tensor_free((nib_tensor *)o);
    return status;
}

nib_status api_tensor_own(nib_runtime *runtime, const nib_tensor *t, nib_tensor **out, nib_error *err) {
    owned *o = calloc(1, sizeof *o);
    *out = NULL;
    if (!o) {
        base_free(&runtime->heap, t->data);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    base_heap_init(&o->heap, NULL);
    base_arena_init(&o->arena, &o->heap);
    o->t = *t;
    o->t.place.kind = NIB_DEVICE_CPU;
    o->runtime = base_runtime_retain(runtime);
    *out = &o->t;
    return NIB_OK;
}

void nib_tensor_free(nib_tensor *tensor) {
    owned *o = (owned *)tensor;
    if (!o) return;
    if (o->runtime) base_free(&o->runtime->heap, o->t.data);
    base_runtime_release(o->runtime);
    base_arena_free(&o->arena);
    base_file_close(&o->file);
    free(o);
}

/* The data is looked at only once it is known to be the CPU's; elements that cannot be there are others' to refuse. */
static const nib_tensor *elsewhere(const nib_tensor *t, int depth) {
    if (t->place.kind != 0 && t->place.kind != NIB_DEVICE_CPU) return t;
    bool container = t->dtype == NIB_DTYPE_SEQUENCE || t->dtype == NIB_DTYPE_OPTIONAL;
    bool readable = container && depth < 16 && t->rank == 1 && (uintptr_t)t->data % _Alignof(nib_tensor) == 0;
    const nib_tensor *items = readable ? t->data : NULL, *found = NULL;
    int64_t count = items ? (int64_t)(t->bytes / sizeof *items) : 0;
    for (int64_t i = 0; !found && i < count && i < t->dims[0]; i++) found = elsewhere(&items[i], depth + 1);
    return found;
}

nib_status api_check_place(const nib_tensor *t, const char *kind, const char *name, nib_error *err) {
    const nib_tensor *found = elsewhere(t, 0);
    if (!found) return NIB_OK;
    return base_error_set(
        err, NIB_UNSUPPORTED, "%s %s is on device %s %d (kind %d); nib reads and writes memory of the CPU", kind, name,
        nib_device_name((nib_device_kind)found->place.kind), (int)found->place.index, (int)found->place.kind);
}

static nib_status write_part(void *user, const void *bytes, size_t size, nib_error *err) { return nib_file_write(user, bytes, size, err); }

static nib_status write_npy(nib_file *file, const nib_tensor *t, nib_error *err) {
    nib_status status = NIB_OK;
    char header[BASE_NPY_HEADER_MOST];
    size_t length;
    int64_t count = t->rank >= 0 && t->rank <= NIB_MAX_RANK ? graph_tensor_elements(t) : -1;
    NIB_TRY(base_npy_header(t->dtype, count < 0 ? 0 : t->rank, t->dims, 0, header, &length, err));
    if (count < 0 || graph_type_bytes(t->dtype, (size_t)count) > t->bytes || (t->bytes && !t->data))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the tensor has fewer bytes than its shape needs");
    NIB_TRY(nib_file_write(file, header, length, err));
    if (count > 0) NIB_TRY(nib_file_write(file, t->data, graph_type_bytes(t->dtype, (size_t)count), err));
fail:
    return status;
}

static nib_status try_tensor_write(const char *path, const nib_tensor *t, const char *name, nib_tensor_format format, nib_error *err) {
    nib_status status = NIB_OK;
    nib_file *file = NULL;
    if (!path || !t) return base_error_set(err, NIB_INVALID_ARGUMENT, "path and tensor must be given");
    NIB_TRY(api_check_place(t, "the", "tensor", err));
    size_t n = strlen(path);
    if (format == NIB_TENSOR_FORMAT_AUTO)
        format = n > 4 && strcmp(path + n - 4, ".npy") == 0 ? NIB_TENSOR_FORMAT_NPY : NIB_TENSOR_FORMAT_PB;
    NIB_TRY(nib_file_create(path, &file, err));
    if (format == NIB_TENSOR_FORMAT_NPY) NIB_TRY(write_npy(file, t, err));
    else NIB_TRY(onnx_write_value(t, name, write_part, file, err));
    status = nib_file_commit(file, err);
    file = NULL;
fail:
    nib_file_abort(file);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_tensor_read(const char *path, nib_dtype container, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_tensor_read(path, container, out, err));
}
nib_status nib_tensor_write(const char *path, const nib_tensor *t, const char *name, nib_tensor_format format, nib_error *err) {
    return API_CALL(err, try_tensor_write(path, t, name, format, err));
}
