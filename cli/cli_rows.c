/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_rows.h. In: files. Out: vectors in memory.
 */
#include "cli_rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cli_is_npy(const char *path) {
    const size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

void cli_rows_free(cli_rows *r) {
    nib_tensor_free(r->tensor);
    cli_texts_free(&r->texts);
    free(r->made);
    free(r->ranges);
    *r = (cli_rows){0};
}

static bool type_of(nib_dtype dtype, nib_vector_type bits, nib_vector_type *out) {
    static const struct {
        nib_dtype dtype;
        nib_vector_type plain, packed;
    } rows[] = {{NIB_DTYPE_F32, NIB_VECTOR_F32, NIB_VECTOR_F32},
                {NIB_DTYPE_F16, NIB_VECTOR_F16, NIB_VECTOR_F16},
                {NIB_DTYPE_I8, NIB_VECTOR_I8, NIB_VECTOR_BINARY},
                {NIB_DTYPE_U8, NIB_VECTOR_U8, NIB_VECTOR_UBINARY}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].dtype != dtype) continue;
        *out = bits == NIB_VECTOR_F32 ? rows[i].plain : rows[i].packed; /* which of the two kinds of bits the file itself says */
        return bits == NIB_VECTOR_F32 || *out == NIB_VECTOR_BINARY || *out == NIB_VECTOR_UBINARY;
    }
    return false;
}

int cli_rows_read(cli_rows *r, const char *path, nib_vector_type bits) {
    nib_error error;
    if (nib_tensor_read(path, NIB_DTYPE_UNDEFINED, &r->tensor, &error) != NIB_OK) return cli_fail(&error);
    const nib_tensor *t = r->tensor;
    if (t->rank != 2 || t->dims[1] < 1)
        return fprintf(stderr, "nib: %s: no array of vectors, [vectors, numbers]\n", path), 2;
    if (!type_of(t->dtype, bits, &r->v.type)) {
        const bool asked = bits != NIB_VECTOR_F32;
        return fprintf(stderr, "nib: %s: vectors of %s are not %s\n", path, nib_dtype_name(t->dtype),
                       asked ? nib_vector_type_name(bits) : "of a type that is searched: f32, f16, i8, u8"), 2;
    }
    r->v.data = t->data;
    r->v.n = (size_t)t->dims[0];
    r->v.width = t->dims[1] * (bits == NIB_VECTOR_F32 ? 1 : 8);
    return 0;
}

int cli_rows_embed(cli_rows *r, nib_model *model, const char *const *texts, size_t n, const char *prompt,
                   int64_t dimensions) {
    nib_error error;
    nib_embed_options o;
    nib_vector_options v;
    const int64_t width = dimensions ? dimensions : nib_model_dim(model);
    nib_embed_defaults(&o, sizeof o);
    nib_vector_options_defaults(&v, sizeof v);
    v.dimensions = dimensions;
    o.vectors = &v;
    o.prompt = prompt;
    o.stop = cli_stop;
    r->made = malloc((n ? n : 1) * (width > 0 ? (size_t)width : 1) * sizeof *r->made);
    int64_t *counts = malloc((2 * n + 1) * sizeof *counts);
    int code = r->made && counts ? 0 : cli_no_memory();
    size_t cut = 0;
    o.tokens = counts;
    o.full_tokens = counts + n;
    if (code == 0 && nib_embed(model, texts, n, &o, r->made, &error) != NIB_OK) code = cli_fail(&error);
    for (size_t i = 0; code == 0 && i < n; i++) cut += counts[n + i] > counts[i];
    if (cut) fprintf(stderr, "nib: %zu of %zu texts were longer than %lld tokens and were cut\n", cut, n, (long long)nib_model_max_tokens(model));
    r->v = (nib_vectors){.type = NIB_VECTOR_F32, .data = r->made, .n = n, .width = width};
    free(counts);
    return code;
}

int cli_rows_embed_file(cli_rows *r, nib_model *model, const char *path, const char *prompt, int64_t dimensions) {
    const int code = cli_texts_read(&r->texts, path);
    return code ? code
                : cli_rows_embed(r, model, (const char *const *)r->texts.texts, r->texts.n, prompt, dimensions);
}

/* Rows of length 1 stay so behind a cut; others are not made so: as a model does it. */
static bool have_length_one(const nib_vectors *v) {
    const float *x = v->data;
    for (size_t i = 0; i < v->n; i++, x += v->width) {
        double sum = 0;
        for (int64_t k = 0; k < v->width; k++) sum += (double)x[k] * x[k];
        if (!(sum > 0.998 && sum < 1.002)) return false;
    }
    return true;
}

/* Two rows, the first of which is nowhere above the second, are ranges; any others are vectors. */
static bool are_ranges(const nib_vectors *v) {
    const float *x = v->data;
    for (int64_t k = 0; v->n == 2 && k < v->width; k++)
        if (!(x[k] <= x[v->width + k])) return false;
    return v->n == 2;
}

int cli_ranges_read(float **ranges, const char *path, nib_model *model, const char *prompt, int64_t width,
                    int normalize) {
    nib_error error;
    nib_vector_options v;
    cli_rows r = {0};
    int code;
    nib_vector_options_defaults(&v, sizeof v);
    v.normalize = normalize;
    *ranges = malloc(2 * (size_t)width * sizeof **ranges);
    if (!*ranges) return cli_no_memory();
    if (cli_is_npy(path)) code = cli_rows_read(&r, path, NIB_VECTOR_F32);
    else if (!model) code = (fprintf(stderr, "nib: --ranges %s: texts take a --model\n", path), 2);
    else code = cli_rows_embed_file(&r, model, path, prompt, width);
    if (code == 0 && r.v.type != NIB_VECTOR_F32)
        code = (fprintf(stderr, "nib: %s: ranges are of vectors of float32\n", path), 2);
    if (code == 0 && r.v.width < width)
        code = (fprintf(stderr, "nib: %s: %lld numbers a vector, and %lld are needed\n", path, (long long)r.v.width,
                        (long long)width), 2);
    if (code == 0 && r.tensor && are_ranges(&r.v)) {
        for (int k = 0; k < 2; k++)
            memcpy(*ranges + k * width, (const float *)r.v.data + k * r.v.width, (size_t)width * sizeof **ranges);
    } else if (code == 0) {
        v.dimensions = width;
        if (normalize < 0 && width < r.v.width) v.normalize = have_length_one(&r.v);
        if (nib_vectors_ranges(r.v.data, r.v.n, r.v.width, &v, *ranges, &error) != NIB_OK) code = cli_fail(&error);
    }
    cli_rows_free(&r);
    return code;
}
