/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's files: bytes and .npy. In: rows of floats. Out: a file that is whole. The header of .npy is written with room for any row
 * count first and completed at the end.
 */
#include "api.h"
#include "base/base_file.h"
#include "base/base_npy.h"
#include <stdlib.h>
#include <string.h>

#define NPY_HEADER 128

/* Both hold a heap of their own: files belong to no runtime. */
struct nib_file {
    base_heap heap;
    base_writer *writer;
};

struct nib_npy {
    nib_file *file;
    nib_dtype dtype;
    int64_t rows, columns; /* columns: elements of a row */
};

static nib_status try_file_create(const char *path, nib_file **out, nib_error *err) {
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the file");
    *out = NULL;
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was named");
    nib_file *f = calloc(1, sizeof *f);
    if (!f) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    base_heap_init(&f->heap, NULL);
    nib_status status = base_writer_open(&f->heap, path, &f->writer, err);
    if (status == NIB_OK) *out = f;
    else free(f);
    return status;
}

static nib_status try_file_write(nib_file *f, const void *bytes, size_t size, nib_error *err) {
    if (!f || (!bytes && size)) return base_error_set(err, NIB_INVALID_ARGUMENT, "file and bytes must be given");
    return base_writer_write(f->writer, bytes, size, err);
}

static nib_status try_file_commit(nib_file *f, nib_error *err) {
    if (!f) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was given");
    nib_status status = base_writer_commit(f->writer, err);
    free(f);
    return status;
}

void nib_file_abort(nib_file *f) {
    if (!f) return;
    base_writer_abort(f->writer);
    free(f);
}

static nib_status write_header(nib_npy *n, nib_error *err) {
    char header[BASE_NPY_HEADER_MOST];
    size_t length;
    nib_status status = base_npy_header(n->dtype, 2, (int64_t[]){n->rows, n->columns}, NPY_HEADER, header, &length, err);
    return status == NIB_OK ? try_file_write(n->file, header, length, err) : status;
}

static nib_status try_npy_create(const char *path, nib_dtype dtype, int64_t columns, nib_npy **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_npy *n = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the file");
    *out = NULL;
    if (columns < 0) return base_error_set(err, NIB_INVALID_ARGUMENT, "rows of so many columns there cannot be");
    n = calloc(1, sizeof *n);
    if (!n) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    n->dtype = dtype;
    n->columns = columns;
    NIB_TRY(try_file_create(path, &n->file, err));
    NIB_TRY(write_header(n, err));
    *out = n;
    return NIB_OK;
fail:
    nib_npy_abort(n);
    return status;
}

static nib_status try_npy_append(nib_npy *n, const void *rows, int64_t count, nib_error *err) {
    if (!n || count < 0 || (!rows && count)) return base_error_set(err, NIB_INVALID_ARGUMENT, "file and rows must be given");
    n->rows += count;
    return try_file_write(n->file, rows, (size_t)count * (size_t)n->columns * (size_t)nib_dtype_bits(n->dtype) / 8, err);
}

static nib_status try_npy_commit(nib_npy *n, nib_error *err) {
    nib_status status = NIB_OK;
    if (!n) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was given");
    NIB_TRY(base_writer_rewind(n->file->writer, err));
    NIB_TRY(write_header(n, err));
    status = try_file_commit(n->file, err);
    n->file = NULL;
fail:
    nib_npy_abort(n);
    return status;
}

void nib_npy_abort(nib_npy *n) {
    if (!n) return;
    nib_file_abort(n->file);
    free(n);
}

/* ---- the calls, as nib.h has them */

nib_status nib_file_create(const char *path, nib_file **out, nib_error *err) { return API_CALL(err, try_file_create(path, out, err)); }
nib_status nib_file_write(nib_file *f, const void *bytes, size_t size, nib_error *err) {
    return API_CALL(err, try_file_write(f, bytes, size, err));
}
nib_status nib_file_commit(nib_file *f, nib_error *err) { return API_CALL(err, try_file_commit(f, err)); }
nib_status nib_npy_create(const char *path, int64_t columns, nib_npy **out, nib_error *err) {
    return API_CALL(err, try_npy_create(path, NIB_DTYPE_F32, columns, out, err));
}
nib_status nib_npy_create_for(const char *path, nib_vector_type type, int64_t width, nib_npy **out, nib_error *err) {
    const nib_dtype dtype = nib_vector_dtype(type);
    const int64_t bits = nib_dtype_bits(dtype), columns = bits ? (int64_t)nib_vector_bytes(type, width) * 8 / bits : -1;
    return API_CALL(err, try_npy_create(path, dtype, columns ? columns : -1, out, err));
}
nib_status nib_npy_append(nib_npy *n, const void *rows, int64_t count, nib_error *err) {
    return API_CALL(err, try_npy_append(n, rows, count, err));
}
nib_status nib_npy_commit(nib_npy *n, nib_error *err) { return API_CALL(err, try_npy_commit(n, err)); }
