/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_vectors.h.
 */
#include "cli_vectors.h"
#include "cli_json.h"
#include "cli_number.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool ends_with(const char *text, const char *tail) {
    size_t n = strlen(text), k = strlen(tail);
    return n > k && strcmp(text + n - k, tail) == 0;
}

/* NAME.npy -> NAME.offsets.npy, or whatever the tail is; NULL: no memory. */
static char *name_beside(const char *path, const char *tail) {
    const size_t n = strlen(path) - strlen(".npy"), k = strlen(tail) + 1;
    char *name = malloc(n + k);
    if (!name) return NULL;
    memcpy(name, path, n);
    memcpy(name + n, tail, k);
    return name;
}

int cli_vectors_open(cli_vectors *o, const cli_verb *verb, const char *path, nib_vector_type type, int64_t dim, bool ragged) {
    nib_error error;
    o->type = type;
    o->dim = dim;
    o->bytes = nib_vector_bytes(type, dim);
    o->elements = (int64_t)o->bytes * 8 / nib_dtype_bits(nib_vector_dtype(type));
    o->ragged = ragged;
    if (!path) return 0;
    if (ragged && strcmp(path, "-") == 0)
        return cli_usage(verb, "--tokens and --aggregate each write two arrays, and standard output is one: name a file, or leave "
                                     "--output out for JSON lines");
    if (strcmp(path, "-") == 0) {
        o->to_pipe = true;
        if (isatty(STDOUT_FILENO))
            return cli_usage(verb, "--output - writes bytes of .npy, not for a terminal; without --output there are JSON lines");
        return 0;
    }
    if (ragged && ends_with(path, ".npy") && !(o->offsets_path = name_beside(path, ".offsets.npy"))) return cli_no_memory();
    if (ends_with(path, ".npy")) return nib_npy_create_for(path, type, dim, &o->npy, &error) == NIB_OK ? 0 : cli_fail(&error);
    if (ends_with(path, ".jsonl")) return nib_file_create(path, &o->file, &error) == NIB_OK ? 0 : cli_fail(&error);
    return cli_usage(verb, "--output %s: a file must end in .npy or .jsonl", path);
}

static int hold(cli_vectors *o, const void *vector) {
    if (o->n_held == o->held_room) {
        size_t room = o->held_room * 2 + 1024;
        char *grown = realloc(o->held, room * (o->bytes ? o->bytes : 1));
        if (!grown) return cli_no_memory();
        o->held = grown;
        o->held_room = room;
    }
    memcpy(o->held + o->n_held++ * o->bytes, vector, o->bytes);
    return 0;
}

/* A file of version 1.0: the header ends at byte 128. */
static void write_held(const cli_vectors *o) {
    static const char *const kinds[] = {[NIB_VECTOR_F32] = "<f4",   [NIB_VECTOR_F16] = "<f2",    [NIB_VECTOR_I8] = "|i1",
                                        [NIB_VECTOR_U8] = "|u1",    [NIB_VECTOR_BINARY] = "|i1", [NIB_VECTOR_UBINARY] = "|u1"};
    char header[129];
    int n = sprintf(header, "%cNUMPY%c%c%c%c{'descr': '%s', 'fortran_order': False, 'shape': (%zu, %lld), }", 0x93, 1, 0, 118, 0,
                    kinds[o->type], o->n_held, (long long)o->elements);
    memset(header + n, ' ', (size_t)(127 - n));
    header[127] = '\n';
    fwrite(header, 1, 128, stdout);
    if (o->n_held) fwrite(o->held, o->bytes, o->n_held, stdout);
}

static float half(uint16_t u) {
    const int exponent = u >> 10 & 31, mantissa = u & 1023;
    if (exponent == 31) return mantissa ? NAN : u >> 15 ? -INFINITY : INFINITY;
    const float x = ldexpf((float)(exponent ? mantissa + 1024 : mantissa), exponent ? exponent - 25 : -24);
    return u >> 15 ? -x : x;
}

static float element(const cli_vectors *o, const void *row, int64_t i) {
    switch (nib_vector_dtype(o->type)) {
    case NIB_DTYPE_F16: return half(((const uint16_t *)row)[i]);
    case NIB_DTYPE_I8: return ((const int8_t *)row)[i];
    case NIB_DTYPE_U8: return ((const uint8_t *)row)[i];
    default: return ((const float *)row)[i];
    }
}

static char *write_base64(char *p, const unsigned char *bytes, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    *p++ = '"';
    for (size_t i = 0; i < n; i += 3) {
        const unsigned a = bytes[i], b = i + 1 < n ? bytes[i + 1] : 0, c = i + 2 < n ? bytes[i + 2] : 0;
        *p++ = digits[a >> 2];
        *p++ = digits[(a & 3) << 4 | b >> 4];
        *p++ = i + 1 < n ? digits[(b & 15) << 2 | c >> 6] : '=';
        *p++ = i + 2 < n ? digits[c & 63] : '=';
    }
    *p++ = '"';
    return p;
}

static char *write_vector(char *p, const cli_vectors *o, const void *row) {
    if (o->base64) return write_base64(p, row, o->bytes);
    *p++ = '[';
    for (int64_t i = 0; i < o->elements; i++) {
        if (i) *p++ = ',', *p++ = ' ';
        p = cli_number_write(p, element(o, row, i));
    }
    *p++ = ']';
    return p;
}

static int64_t rows_of(const cli_vectors *o, const cli_row *row) {
    return !o->ragged ? 1 : row->chunks ? row->n_chunks : row->tokens;
}

static int write_line(cli_vectors *o, const char *v, const cli_row *row) {
    nib_error error;
    const int64_t n = rows_of(o, row);
    size_t need = (size_t)n * ((size_t)o->dim * 20 + 8) + 160 + row->id_length + 6 * row->length + (size_t)row->n_chunks * 72;
    if (need > o->line_room) {
        char *grown = realloc(o->line, need);
        if (!grown) return cli_no_memory();
        o->line = grown;
        o->line_room = need;
    }
    char *p = o->line;
    p += sprintf(p, "{\"index\": %lld, ", o->index);
    if (row->id) {
        p += sprintf(p, "\"id\": ");
        memcpy(p, row->id, row->id_length);
        p += row->id_length;
        p += sprintf(p, ", ");
    }
    if (row->text) {
        p = cli_json_quote(p + sprintf(p, "\"text\": "), row->text, row->length);
        p += sprintf(p, ", ");
    }
    p += sprintf(p, "\"tokens\": %lld, \"truncated\": %s, ", (long long)row->tokens,
                 row->truncated ? "true" : "false");
    for (int64_t i = 0; i < row->n_chunks; i++)
        p += sprintf(p, "%s[%lld, %lld, %lld]", i ? ", " : "\"chunks\": [", (long long)row->chunks[i][0],
                     (long long)row->chunks[i][1], (long long)row->chunks[i][2]);
    p += sprintf(p, "%s\"embedding\": ", row->n_chunks ? "], " : "");
    if (o->ragged) *p++ = '[';
    for (int64_t i = 0; i < n; i++) {
        if (i) *p++ = ',', *p++ = ' ';
        p = write_vector(p, o, v + (size_t)i * o->bytes);
    }
    if (o->ragged) *p++ = ']';
    p += sprintf(p, "}\n");
    if (o->file) return nib_file_write(o->file, o->line, (size_t)(p - o->line), &error) == NIB_OK ? 0 : cli_fail(&error);
    return fwrite(o->line, 1, (size_t)(p - o->line), stdout) == (size_t)(p - o->line) ? 0 : 1; /* the process's end says why */
}

/* Where each text's rows begin. */
static int note_offsets(cli_vectors *o, const cli_row *rows, size_t n) {
    const size_t need = (size_t)o->index + n + 1;
    if (need > o->offsets_room) {
        int64_t *grown = realloc(o->offsets, 2 * need * sizeof *grown);
        if (!grown) return cli_no_memory();
        o->offsets = grown;
        o->offsets_room = 2 * need;
    }
    if (o->index == 0) o->offsets[0] = 0;
    for (size_t i = 0; i < n; i++)
        o->offsets[(size_t)o->index + i + 1] = o->offsets[(size_t)o->index + i] + rows_of(o, &rows[i]);
    return 0;
}

int cli_vectors_put(cli_vectors *o, const void *all_vectors, const cli_row *rows, size_t n) {
    nib_error error;
    const char *vectors = all_vectors;
    int code = o->offsets_path ? note_offsets(o, rows, n) : 0;
    int64_t all = 0;
    for (size_t i = 0; i < n; i++) all += rows_of(o, &rows[i]);
    if (code == 0 && o->npy && nib_npy_append(o->npy, vectors, all, &error) != NIB_OK) return cli_fail(&error);
    for (size_t i = 0; i < n && code == 0; i++, o->index++) {
        o->truncated += rows[i].truncated;
        if (o->to_pipe) code = hold(o, vectors);
        else if (!o->npy) code = write_line(o, vectors, &rows[i]);
        vectors += (size_t)rows_of(o, &rows[i]) * o->bytes;
    }
    if (code || o->npy || o->file || o->to_pipe) return code;
    return fflush(stdout) == 0 ? 0 : 1;
}

int cli_vectors_put_ranges(const cli_vectors *o, const char *path, const float *ranges) {
    nib_error error;
    if (!o->npy) return 0;
    char *name = name_beside(path, ".ranges.npy");
    if (!name) return cli_no_memory();
    const nib_tensor t = {.dtype = NIB_DTYPE_F32,
                          .rank = 2,
                          .dims = {2, o->dim},
                          .data = (void *)(uintptr_t)ranges,
                          .bytes = 2 * (size_t)o->dim * sizeof *ranges};
    const nib_status status = nib_tensor_write(name, &t, NULL, NIB_TENSOR_FORMAT_NPY, &error);
    free(name);
    return status == NIB_OK ? 0 : cli_fail(&error);
}

/* Each of the two files appears whole; the vectors come last. */
static int write_offsets(cli_vectors *o) {
    nib_error error;
    int code = note_offsets(o, NULL, 0);
    if (code) return code;
    const nib_tensor t = {.dtype = NIB_DTYPE_I64,
                          .rank = 1,
                          .dims = {o->index + 1},
                          .data = o->offsets,
                          .bytes = ((size_t)o->index + 1) * sizeof *o->offsets};
    return nib_tensor_write(o->offsets_path, &t, NULL, NIB_TENSOR_FORMAT_NPY, &error) == NIB_OK ? 0 : cli_fail(&error);
}

int cli_vectors_close(cli_vectors *o, int code) {
    nib_error error;
    if (code == 0 && o->offsets_path) code = write_offsets(o);
    if (code == 0 && o->npy) code = nib_npy_commit(o->npy, &error) == NIB_OK ? 0 : cli_fail(&error);
    else nib_npy_abort(o->npy);
    if (code == 0 && o->file) code = nib_file_commit(o->file, &error) == NIB_OK ? 0 : cli_fail(&error);
    else nib_file_abort(o->file);
    if (code == 0 && o->to_pipe) write_held(o);
    free(o->offsets_path);
    free(o->offsets);
    free(o->held);
    free(o->line);
    return code;
}
