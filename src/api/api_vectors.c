/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's vectors (vectors.h): argument checks; src/task does the work, src/hub has the recipes.
 */
#include "api_options.h"
#include "hub/hub.h"
#include "model/model.h"
#include "task/task_vectors.h"

static bool is_aligned(const void *data, nib_vector_type type) {
    const uintptr_t bytes = (uintptr_t)nib_dtype_bits(nib_vector_dtype(type)) / 8;
    return (uintptr_t)data % bytes == 0;
}

/* Rows in, and what is made of them. */
static nib_status choose(const float *rows, size_t n, int64_t width, const nib_vector_options *options,
                         bool wants_ranges, const void *out, task_vectors *v, nib_error *err) {
    nib_status status = NIB_OK;
    nib_vector_options o;
    size_t bytes;
    NIB_TRY(api_options_take(API_VECTOR_OPTIONS, &o, options, err));
    if (n && (!rows || !out)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "rows and a place for what they become must be given");
    NIB_TRY(task_vectors_choose(&o, width, true, wants_ranges, v, err));
    if (!base_mul_size(n, (size_t)width * sizeof *rows, &bytes))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "%zu vectors of %lld numbers fit no memory", n, (long long)width);
fail:
    return status;
}

static nib_status try_convert(const float *rows, size_t n, int64_t width, const nib_vector_options *options, void *out,
                              nib_error *err) {
    nib_status status = NIB_OK;
    task_vectors v;
    NIB_TRY(choose(rows, n, width, options, true, out, &v, err));
    if (!is_aligned(out, v.type)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the place for vectors is not aligned");
    if (n) task_vectors_put(&v, rows, n, out);
fail:
    return status;
}

static nib_status try_ranges(const float *rows, size_t n, int64_t width, const nib_vector_options *options,
                             float *ranges, nib_error *err) {
    nib_status status = NIB_OK;
    task_vectors v;
    NIB_TRY(choose(rows, n, width, options, false, ranges, &v, err));
    NIB_TRY(task_vectors_ranges(&v, rows, n, ranges, err));
fail:
    return status;
}

static nib_status try_pool(const float *tokens, const int64_t *offsets, size_t n, int64_t width, nib_pooling pooling,
                           const nib_vector_options *options, void *out, nib_error *err) {
    nib_status status = NIB_OK;
    task_vectors v;
    NIB_TRY(choose(tokens, n, width, options, true, out, &v, err));
    if (n && !offsets) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "offsets must be given");
    if (!is_aligned(out, v.type)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the place for vectors is not aligned");
    NIB_TRY(task_vectors_pool(&v, tokens, offsets, n, pooling, out, err));
fail:
    return status;
}

/* ---- search */

static nib_status check_vectors(const nib_vectors *v, const char *what, nib_error *err) {
    size_t bytes;
    if (nib_vector_dtype(v->type) == NIB_DTYPE_UNDEFINED)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s of type %d: there is no such", what, (int)v->type);
    if (v->width < 1 || !nib_vector_bytes(v->type, v->width))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s of %lld numbers", what, (long long)v->width);
    if (v->n && !v->data) return base_error_set(err, NIB_INVALID_ARGUMENT, "%s must be given", what);
    if (!is_aligned(v->data, v->type)) return base_error_set(err, NIB_INVALID_ARGUMENT, "%s are not aligned", what);
    if (!base_mul_size(v->n, nib_vector_bytes(v->type, v->width), &bytes))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "so many %s fit no memory", what);
    const bool ranges = v->ranges && (v->type == NIB_VECTOR_I8 || v->type == NIB_VECTOR_U8);
    return ranges ? task_vectors_check_ranges(v->ranges, v->width, err) : NIB_OK;
}

static nib_status try_search(const nib_vectors *queries, const nib_vectors *documents, size_t k,
                             const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *err) {
    nib_status status = NIB_OK;
    nib_search_options o;
    nib_runtime *runtime = NULL;
    base_stop stop;
    NIB_TRY(api_options_take(API_SEARCH_OPTIONS, &o, options, err));
    if (!queries || !documents) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "queries and documents must be given");
    NIB_TRY(check_vectors(queries, "queries", err));
    NIB_TRY(check_vectors(documents, "documents", err));
    if (o.better) NIB_TRY(check_vectors(o.better, "better documents", err));
    if (k == 0 || (queries->n && !hits)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "there is no place for a hit");
    if ((unsigned)o.similarity > NIB_SIMILARITY_HAMMING || o.rescore < 0)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (o.runtime) runtime = base_runtime_retain(o.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, (uint64_t)queries->n * documents->n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_search(runtime, queries, documents, k, &o, hits, counts, err);
    base_stop_end(&stop);
fail:
    base_runtime_release(runtime);
    return status;
}

static nib_status try_maxsim(nib_runtime *runtime, const nib_vectors *query, const nib_vectors *documents,
                             const int64_t *offsets, size_t n, float *scores, nib_error *err) {
    nib_status status = NIB_OK;
    if (!query || !documents || (n && (!offsets || !scores)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "query, documents, offsets and scores must be given");
    NIB_TRY(check_vectors(query, "rows of the query", err));
    NIB_TRY(check_vectors(documents, "rows of documents", err));
    if (!task_maxsim_takes(query->type))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "MaxSim of %s: it takes float32, int8, binary and ubinary",
                 nib_vector_type_name(query->type));
    if (query->type != documents->type || query->width != documents->width)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the query has rows of %lld of %s, and documents of %lld of %s",
                 (long long)query->width, nib_vector_type_name(query->type), (long long)documents->width,
                 nib_vector_type_name(documents->type));
    if (query->type != NIB_VECTOR_F32 && query->width > KERNEL_S8_MOST_K)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "rows of %lld numbers: %s has at most %d", (long long)query->width,
                 nib_vector_type_name(query->type), KERNEL_S8_MOST_K);
    for (size_t i = 0; i < n; i++)
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || (uint64_t)offsets[i + 1] > documents->n)
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "document %zu is rows %lld to %lld of %zu", i, (long long)offsets[i],
                     (long long)offsets[i + 1], documents->n);
    NIB_TRY(task_maxsim(runtime, query, documents, offsets, n, scores, err));
fail:
    return status;
}

static nib_status try_recipe(const char *name, int64_t dimensions, uint64_t memory, nib_recipe *out, size_t size,
                             nib_error *err) {
    nib_recipe r;
    if (!name || !out || dimensions < 0)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "a name and a place for the recipe must be given");
    nib_status status = hub_recipe_find(name, dimensions, memory, &r, err);
    if (status == NIB_OK) api_fill(out, size, &r, sizeof r);
    return status;
}

/* ---- the calls, as vectors.h has them */

nib_status nib_vectors_convert(const float *rows, size_t n, int64_t width, const nib_vector_options *options, void *out,
                               nib_error *err) {
    return API_CALL(err, try_convert(rows, n, width, options, out, err));
}
nib_status nib_vectors_ranges(const float *rows, size_t n, int64_t width, const nib_vector_options *options,
                              float *ranges, nib_error *err) {
    return API_CALL(err, try_ranges(rows, n, width, options, ranges, err));
}
nib_status nib_vectors_pool(const float *tokens, const int64_t *offsets, size_t n, int64_t width, nib_pooling pooling,
                            const nib_vector_options *options, void *out, nib_error *err) {
    return API_CALL(err, try_pool(tokens, offsets, n, width, pooling, options, out, err));
}
nib_status nib_search(const nib_vectors *queries, const nib_vectors *documents, size_t k,
                      const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *err) {
    return API_CALL(err, try_search(queries, documents, k, options, hits, counts, err));
}
nib_status nib_maxsim(nib_runtime *runtime, const nib_vectors *query, const nib_vectors *documents,
                      const int64_t *offsets, size_t n, float *scores, nib_error *err) {
    return API_CALL(err, try_maxsim(runtime, query, documents, offsets, n, scores, err));
}
nib_similarity nib_model_similarity(const nib_model *model) {
    nib_similarity found = NIB_SIMILARITY_AUTO;
    if (model) nib_similarity_from_name(model->settings.similarity, &found);
    return found;
}
nib_status nib_recipe_at(size_t i, nib_recipe *out, size_t size) {
    const nib_recipe *r = hub_recipe_at(i);
    if (!r || !out) return r ? NIB_INVALID_ARGUMENT : NIB_NOT_FOUND;
    api_fill(out, size, r, sizeof *r);
    return NIB_OK;
}
nib_status nib_recipe_find(const char *name, int64_t dimensions, uint64_t memory, nib_recipe *out, size_t size,
                           nib_error *err) {
    return API_CALL(err, try_recipe(name, dimensions, memory, out, size, err));
}
