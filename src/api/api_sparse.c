/* SPDX-License-Identifier: Apache-2.0
 *
 * sparse.h's calls: argument checks, and .npz files; src/task does the work.
 */
#include "api_options.h"
#include "base/base_npy.h"
#include "base/base_zip.h"
#include "task/task.h"
#include "task/task_job.h"
#include "task/task_sparse.h"
#include <math.h>
#include <string.h>

#define MEMBERS 16 /* of an .npz file; scipy writes five */

/* ---- texts */

static nib_status try_embed(nib_model *model, const char *const *texts, size_t n, const nib_sparse_options *options,
                            nib_sparse **out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_sparse_options o;
    nib_ticket ticket;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_options_take(API_SPARSE_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (o.max_tokens < 0 || o.top < -1) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    NIB_TRY(api_run_job(task_sparse_job(model, texts, n, &o, out), o.stop, o.stop_user, n, request, err));
fail:
    return status;
}

static nib_status try_hybrid(nib_model *model, const char *const *texts, size_t n, const nib_sparse_options *options,
                             float *dense, nib_sparse **sparse, int64_t *offsets, nib_tensor **rows, nib_error *err) {
    nib_status status = NIB_OK;
    nib_sparse_options o;
    base_stop stop;
    float *made = NULL;
    int64_t width = 0;
    if (sparse) *sparse = NULL;
    if (rows) *rows = NULL;
    NIB_TRY(api_options_take(API_SPARSE_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (!offsets != !rows || !(dense || sparse || rows))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "nothing is wanted, or one of rows and offsets without the other");
    if (o.max_tokens < 0 || o.top < -1 || o.ticket) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK)
        status = task_embed_hybrid(model, texts, n, &o, dense, sparse, offsets, rows ? &made : NULL, &width, err);
    base_stop_end(&stop);
    NIB_TRY(status);
    if (!rows) return NIB_OK;
    const nib_tensor t = {.dtype = NIB_DTYPE_F32,
                          .rank = 2,
                          .dims = {offsets[n], width},
                          .data = made,
                          .bytes = (size_t)offsets[n] * (size_t)width * sizeof *made};
    NIB_TRY(api_tensor_own(model->runtime, &t, rows, err));
fail:
    if (status != NIB_OK && sparse) nib_sparse_free(*sparse), *sparse = NULL;
    return status;
}

/* ---- vectors */

/* Whether the struct is as sparse.h says. `kind` is for messages: "queries", "the file". */
static nib_status check(const nib_sparse *s, const char *kind, nib_status fault, nib_error *err) {
    if (s->width < 1 || s->width > INT32_MAX)
        return base_error_set(err, fault, "%s: vectors of %lld numbers", kind, (long long)s->width);
    if (!s->offsets || s->offsets[0] != 0) return base_error_set(err, fault, "%s: offsets do not begin with 0", kind);
    for (size_t i = 0; i < s->n; i++)
        if (s->offsets[i + 1] < s->offsets[i])
            return base_error_set(err, fault, "%s: the offsets of vector %zu fall", kind, i);
    if (s->offsets[s->n] && (!s->indices || !s->values))
        return base_error_set(err, fault, "%s: indices and values must be given", kind);
    for (size_t i = 0; i < s->n; i++)
        for (int64_t k = s->offsets[i], last = -1; k < s->offsets[i + 1]; last = s->indices[k++])
            if (s->indices[k] <= last || s->indices[k] >= s->width)
                return base_error_set(err, fault, "%s: vector %zu: column %d behind column %lld, of %lld", kind, i,
                                      s->indices[k], (long long)last, (long long)s->width);
    return NIB_OK;
}

static nib_status try_search(const nib_sparse *queries, const nib_sparse *documents, size_t k,
                             const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *err) {
    nib_status status = NIB_OK;
    nib_search_options o;
    nib_runtime *runtime = NULL;
    base_stop stop;
    NIB_TRY(api_options_take(API_SEARCH_OPTIONS, &o, options, err));
    if (!queries || !documents) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "queries and documents must be given");
    NIB_TRY(check(queries, "queries", NIB_INVALID_ARGUMENT, err));
    NIB_TRY(check(documents, "documents", NIB_INVALID_ARGUMENT, err));
    if (queries->width != documents->width)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "queries of %lld columns, and documents of %lld", (long long)queries->width,
                 (long long)documents->width);
    if (k == 0 || (queries->n && !hits)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "there is no place for a hit");
    if (o.similarity != NIB_SIMILARITY_AUTO && o.similarity != NIB_SIMILARITY_DOT)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "sparse vectors are compared by the dot product alone");
    if (o.runtime) runtime = base_runtime_retain(o.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, (uint64_t)queries->n * documents->n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_sparse_search(runtime, queries, documents, k, hits, counts, err);
    base_stop_end(&stop);
fail:
    if (runtime) base_runtime_release(runtime);
    return status;
}

/* ---- .npz: indices int32, indptr int64, format "csr", shape int64 [2], data float32 */

static nib_status put_member(base_zip_entry *e, const char *name, char header[BASE_NPY_HEADER_MOST], nib_dtype dtype,
                             int64_t count, const void *data, nib_error *err) {
    size_t length;
    nib_status status = base_npy_header(dtype, 1, &count, 0, header, &length, err);
    const size_t bytes = (size_t)count * (size_t)nib_dtype_bits(dtype) / 8;
    *e = (base_zip_entry){.name = name, .parts = {header, data}, .sizes = {length, bytes}};
    return status;
}

static nib_status try_write(const char *path, const nib_sparse *s, nib_error *err) {
    /* NumPy's header of a zero-dimensional array of bytes, "csr", as scipy writes it. */
    static const char format[] = "\x93NUMPY\x01\x00\x76\x00{'descr': '|S3', 'fortran_order': False, 'shape': (), }"
                                 "                              "
                                 "                                \ncsr";
    nib_status status = NIB_OK;
    base_heap heap;
    base_writer *w = NULL;
    char headers[4][BASE_NPY_HEADER_MOST];
    base_zip_entry e[5];
    if (!path || !*path || !s) return base_error_set(err, NIB_INVALID_ARGUMENT, "a path and vectors must be given");
    NIB_TRY(check(s, "vectors", NIB_INVALID_ARGUMENT, err));
    const int64_t shape[2] = {(int64_t)s->n, s->width}, numbers = s->offsets[s->n];
    base_heap_init(&heap, NULL);
    NIB_TRY(put_member(&e[0], "indices.npy", headers[0], NIB_DTYPE_I32, numbers, s->indices, err));
    NIB_TRY(put_member(&e[1], "indptr.npy", headers[1], NIB_DTYPE_I64, (int64_t)s->n + 1, s->offsets, err));
    e[2] = (base_zip_entry){.name = "format.npy", .parts = {format}, .sizes = {sizeof format - 1}};
    NIB_TRY(put_member(&e[3], "shape.npy", headers[2], NIB_DTYPE_I64, 2, shape, err));
    NIB_TRY(put_member(&e[4], "data.npy", headers[3], NIB_DTYPE_F32, numbers, s->values, err));
    NIB_TRY(base_writer_open(&heap, path, &w, err));
    NIB_TRY(base_zip_write(&heap, w, e, BASE_COUNT(e), err));
    status = base_writer_commit(w, err);
    w = NULL;
fail:
    base_writer_abort(w);
    return status;
}

static nib_status find_array(base_arena *arena, const base_zip *zip, const char *name, nib_tensor *t, nib_error *err) {
    nib_status status = NIB_OK;
    const base_zip_member *m = base_zip_find(zip, name);
    if (!m) NIB_FAIL(err, NIB_BAD_MODEL, "there is no %s: this is no sparse matrix of scipy's", name);
    NIB_TRY(base_zip_check(m, err));
    NIB_TRY(base_npy_read(arena, m->data, m->size, t, err));
fail:
    return status;
}

static bool whole_at(const nib_tensor *t, int64_t i, int64_t *out) {
    if (t->dtype == NIB_DTYPE_I64) return *out = ((const int64_t *)t->data)[i], true;
    if (t->dtype == NIB_DTYPE_I32) return *out = ((const int32_t *)t->data)[i], true;
    return false;
}

typedef struct arrays {
    nib_tensor indices, indptr, shape, data, format;
} arrays;

static nib_status check_format(const nib_tensor *t, nib_error *err) {
    const nib_string *format = t->dtype == NIB_DTYPE_STRING && t->rank == 0 ? t->data : NULL;
    if (format && format->length == 3 && memcmp(format->data, "csr", 3) == 0) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED, "format is not csr: M.tocsr() of scipy makes it so");
}

static nib_status check_arrays(const arrays *a, int64_t *n, int64_t *width, nib_error *err) {
    if (a->shape.rank != 1 || a->shape.dims[0] != 2 || !whole_at(&a->shape, 0, n) || !whole_at(&a->shape, 1, width) ||
        *n < 0)
        return base_error_set(err, NIB_BAD_MODEL, "shape is not two whole numbers");
    if (a->data.dtype != NIB_DTYPE_F32 && a->data.dtype != NIB_DTYPE_F64)
        return base_error_set(err, NIB_UNSUPPORTED, "data is of %s: float32 and float64 are read",
                              nib_dtype_name(a->data.dtype));
    int64_t some;
    const bool lists = a->data.rank == 1 && a->indices.rank == 1 && a->indptr.rank == 1;
    if (!lists || a->data.dims[0] != a->indices.dims[0] || a->indptr.dims[0] - 1 != *n ||
        !whole_at(&a->indptr, *n, &some) || some != a->data.dims[0] || (some && !whole_at(&a->indices, 0, &some)))
        return base_error_set(err, NIB_BAD_MODEL, "indices, indptr and data do not fit one another");
    return NIB_OK;
}

static nib_status read_arrays(base_arena *arena, const base_zip *zip, nib_runtime *runtime, nib_sparse **out,
                              nib_error *err) {
    nib_status status = NIB_OK;
    arrays a;
    int64_t n = 0, width = 0, x = 0;
    NIB_TRY(find_array(arena, zip, "format.npy", &a.format, err));
    NIB_TRY(check_format(&a.format, err));
    NIB_TRY(find_array(arena, zip, "indices.npy", &a.indices, err));
    NIB_TRY(find_array(arena, zip, "indptr.npy", &a.indptr, err));
    NIB_TRY(find_array(arena, zip, "shape.npy", &a.shape, err));
    NIB_TRY(find_array(arena, zip, "data.npy", &a.data, err));
    NIB_TRY(check_arrays(&a, &n, &width, err));
    const int64_t numbers = a.data.dims[0];
    nib_sparse *s = *out = task_sparse_create(runtime, (size_t)n, width, (size_t)numbers);
    if (!s) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %lld numbers", (long long)numbers);
    for (int64_t i = 0; i <= n; i++) whole_at(&a.indptr, i, &s->offsets[i]);
    for (int64_t k = 0; k < numbers; k++) {
        whole_at(&a.indices, k, &x);
        s->indices[k] = x < 0 || x > INT32_MAX ? -1 : (int32_t)x;
        s->values[k] =
            a.data.dtype == NIB_DTYPE_F32 ? ((const float *)a.data.data)[k] : (float)((const double *)a.data.data)[k];
    }
    for (int64_t i = 0; i <= n; i++)
        if (s->offsets[i] < 0 || s->offsets[i] > numbers)
            NIB_FAIL(err, NIB_BAD_MODEL, "indptr[%lld] leaves data", (long long)i);
    NIB_TRY(check(s, "vectors", NIB_BAD_MODEL, err));
fail:
    return status;
}

static nib_status try_read(const char *path, nib_sparse **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *runtime = NULL;
    base_file file = {0};
    base_zip zip = {0};
    nib_runtime_options alone;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no file was named");
    nib_runtime_defaults(&alone, sizeof alone);
    alone.threads = 1;
    NIB_TRY(base_runtime_create(&alone, &runtime, err));
    base_arena arena;
    base_arena_init(&arena, &runtime->heap);
    status = base_file_open(&runtime->heap, path, true, &file, err);
    if (status == NIB_OK) {
        status = base_zip_open(&runtime->heap, file.data ? (const void *)file.data : "", file.size, MEMBERS, &zip, err);
        if (status == NIB_OK) status = read_arrays(&arena, &zip, runtime, out, err);
        if (status != NIB_OK) base_error_in_file(err, path);
    }
    if (status != NIB_OK) nib_sparse_free(*out), *out = NULL;
    base_zip_close(&runtime->heap, &zip);
    base_arena_free(&arena);
    base_file_close(&file);
fail:
    if (runtime) base_runtime_release(runtime);
    return status;
}

/* ---- the calls, as sparse.h has them */

nib_status nib_embed_sparse(nib_model *model, const char *const *texts, size_t n, const nib_sparse_options *options,
                            nib_sparse **out, nib_error *err) {
    return API_CALL(err, try_embed(model, texts, n, options, out, NULL, err));
}
nib_status nib_embed_hybrid(nib_model *model, const char *const *texts, size_t n, const nib_sparse_options *options,
                            float *dense, nib_sparse **sparse, int64_t *offsets, nib_tensor **rows, nib_error *err) {
    return API_CALL(err, try_hybrid(model, texts, n, options, dense, sparse, offsets, rows, err));
}
double nib_sparse_dot(const nib_sparse *a, size_t i, const nib_sparse *b, size_t j) {
    return a && b ? task_sparse_dot(a, i, b, j) : (double)NAN;
}
nib_status nib_sparse_search(const nib_sparse *queries, const nib_sparse *documents, size_t k,
                             const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *err) {
    return API_CALL(err, try_search(queries, documents, k, options, hits, counts, err));
}
nib_status nib_sparse_write(const char *path, const nib_sparse *sparse, nib_error *err) {
    return API_CALL(err, try_write(path, sparse, err));
}
nib_status nib_sparse_read(const char *path, nib_sparse **out, nib_error *err) {
    return API_CALL(err, try_read(path, out, err));
}
void nib_sparse_free(nib_sparse *sparse) { task_sparse_free(sparse); }
nib_status nib_submit_embed_sparse(nib_model *model, const char *const *texts, size_t n, const nib_sparse_options *options,
                             nib_sparse **out, nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_embed(model, texts, n, options, out, request, err)));
}
