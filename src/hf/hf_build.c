/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for the builders: weights, single operators, inputs and outputs; see hf_build.h. Layers are in hf_layers.c.
 */
#include "hf_build.h"
#include "base/base_number.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Every helper ends in this: a NULL that no earlier failure explains means that memory ran out. */
static graph_value *made(hf_builder *b, graph_value *v) {
    if (!v) hf_no_memory(b);
    return b->status == NIB_OK ? v : NULL;
}

void hf_refuse(hf_builder *b, nib_status status, const char *format, ...) {
    char text[300];
    va_list args;
    if (b->status != NIB_OK) return;
    va_start(args, format);
    base_vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    b->status = base_error_set(b->err, status, "%s", text);
}

const char *hf_path(hf_builder *b, const char *format, ...) {
    char text[300]; /* ours, and never longer: paths are made of words of the builders */
    va_list args;
    va_start(args, format);
    base_vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const char *path = b->status == NIB_OK ? base_arena_strndup(b->g->arena, text, strlen(text)) : NULL;
    if (!path) made(b, NULL);
    return path ? path : "";
}

void hf_no_memory(hf_builder *b) { hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph"); }

/* ---------------------------------------------------------------- weights */

/* A weight under any of the family's prefixes: a head on top puts the encoder's name before its weights, and a file may
 * have been put together of both. `full` becomes the name it has; without one, that which it should have; `other` the
 * second one's, or "". */
static const graph_tensor *find_weight(const hf_builder *b, const char *name, char full[400], char other[400]) {
    const graph_tensor *found = NULL;
    char one[400];
    other[0] = 0;
    snprintf(full, 400, "%s%s", b->prefix, name);
    for (const char *const *p = b->prefixes; *p; p++) {
        snprintf(one, sizeof one, "%s%s", *p, name);
        const graph_tensor *t = hf_weights_find(b->weights, one);
        if (t) snprintf(found ? other : full, 400, "%s", one);
        if (!found) found = t;
    }
    return found;
}

bool hf_has_weight(const hf_builder *b, const char *name) {
    char full[400], other[400];
    return find_weight(b, name, full, other) != NULL;
}

int64_t hf_weight_rows(const hf_builder *b, const char *name) {
    char full[400], other[400];
    const graph_tensor *t = find_weight(b, name, full, other);
    return t && t->rank > 0 ? t->dims[0] : 0;
}

static bool is_same(const graph_tensor *a, const graph_tensor *b) {
    return a->dtype == b->dtype && a->bytes == b->bytes && (a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
}

static void show_shape(const graph_tensor *t, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < t->rank && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
}

/* The tensor, of that shape; `full` becomes its name. NULL: refused. */
static const graph_tensor *checked(hf_builder *b, const char *name, int64_t rows, int64_t columns, const char **full) {
    graph_tensor expected = {.rank = columns > 0 ? 2 : 1, .dims = {rows, columns}};
    char want[64], have[200], found[400], other[400];
    const graph_tensor *t = find_weight(b, name, found, other);
    show_shape(&expected, want, sizeof(want));
    *full = hf_path(b, "%s", found);
    if (other[0] && !is_same(t, hf_weights_find(b->weights, other)))
        hf_refuse(b, NIB_BAD_MODEL, "the weights %s and %s differ, and only one of them can be meant", *full, other);
    if (!t) {
        hf_refuse(b, NIB_BAD_MODEL, "the weight %s [%s] is missing", *full, want);
        return NULL;
    }
    if (t->rank != expected.rank || t->dims[0] != rows || (columns > 0 && t->dims[1] != columns)) {
        show_shape(t, have, sizeof(have));
        hf_refuse(b, NIB_BAD_MODEL, "the weight %s is [%s]; config.json needs [%s]", *full, have, want);
    } else if (t->dtype != NIB_DTYPE_F32 && t->dtype != NIB_DTYPE_F16 && t->dtype != NIB_DTYPE_BF16 &&
               t->dtype != NIB_DTYPE_F64) {
        hf_refuse(b, NIB_UNSUPPORTED, "the weight %s is of type %s", *full, nib_dtype_name(t->dtype));
    }
    return b->status == NIB_OK ? t : NULL;
}

/* A constant of t, named `full`, as f32. */
static graph_value *as_f32(hf_builder *b, const char *name, const char *full, const graph_tensor *t) {
    graph_value *known = graph_find_value(b->g, full),
                *v = known ? known : made(b, graph_add_constant(b->g, full, t, false));
    if (!v || t->dtype == NIB_DTYPE_F32) return v;
    const char *cast_name = hf_path(b, "%s.f32", name);
    graph_value *cast = graph_find_value(b->g, cast_name);
    return cast ? cast : hf_cast(b, cast_name, v, NIB_DTYPE_F32);
}

graph_value *hf_weight(hf_builder *b, const char *name, int64_t rows, int64_t columns) {
    const char *full;
    const graph_tensor *t = b->status == NIB_OK ? checked(b, name, rows, columns, &full) : NULL;
    return t ? as_f32(b, name, full, t) : NULL;
}

graph_value *hf_weight_picked(hf_builder *b, const char *name, int64_t rows, int64_t columns, const hf_pick *pick) {
    const char *full;
    const graph_tensor *t = b->status == NIB_OK ? checked(b, name, rows, columns, &full) : NULL;
    if (!t) return NULL;
    const size_t row = t->bytes / (size_t)rows;
    graph_tensor picked = *t;
    char *data = base_arena_alloc(b->g->arena, row * (size_t)pick->count);
    for (int64_t i = 0; data && i < pick->count; i++)
        memcpy(data + row * (size_t)i, (const char *)t->data + row * (size_t)pick->row(i, pick->user), row);
    picked.dims[0] = pick->count;
    picked.bytes = row * (size_t)pick->count;
    picked.data = data;
    if (!data) return made(b, NULL);
    return as_f32(b, hf_path(b, "%s.%s", name, pick->called), hf_path(b, "%s.%s", full, pick->called), &picked);
}

/* ---------------------------------------------------------------- operators */

graph_value *hf_op(hf_builder *b, const char *op, const char *name, graph_value *const *inputs, int count) {
    if (b->status != NIB_OK) return NULL;
    return made(b, graph_emit(b->g, NULL, "", op, inputs, count, name));
}

graph_value *hf_op1(hf_builder *b, const char *op, const char *name, graph_value *x) {
    return hf_op(b, op, name, (graph_value *[]){x}, 1);
}

graph_value *hf_op2(hf_builder *b, const char *op, const char *name, graph_value *x, graph_value *y) {
    return hf_op(b, op, name, (graph_value *[]){x, y}, 2);
}

graph_value *hf_scalar(hf_builder *b, float value) {
    char name[40];
    if (b->status != NIB_OK) return NULL;
    base_snprintf(name, sizeof(name), "const.%.9g", (double)value);
    graph_value *known = graph_find_value(b->g, name);
    const graph_tensor *t = known ? known->constant : NULL; /* a graph of another's may have the name for something else */
    const bool same = t && t->dtype == NIB_DTYPE_F32 && t->rank == 0 && memcmp(t->data, &value, sizeof value) == 0;
    return same ? known : made(b, graph_const_f32(b->g, name, value));
}

graph_value *hf_int(hf_builder *b, const char *name, int64_t value) {
    if (b->status != NIB_OK) return NULL;
    graph_value *known = graph_find_value(b->g, name);
    return known ? known : made(b, graph_const_i64(b->g, name, &value, -1));
}

graph_value *hf_ints(hf_builder *b, const char *name, const int64_t *values, int64_t count) {
    if (b->status != NIB_OK) return NULL;
    return made(b, graph_const_i64(b->g, name, values, count));
}

graph_value *hf_constant(hf_builder *b, const char *name, int64_t rows, int64_t columns,
                         float (*fill)(int64_t i, const void *user), const void *user) {
    if (b->status != NIB_OK) return NULL;
    const int64_t count = columns > 0 ? rows * columns : rows;
    graph_tensor t = {.dtype = NIB_DTYPE_F32,
                      .rank = columns > 0 ? 2 : 1,
                      .dims = {rows, columns},
                      .bytes = (size_t)count * sizeof(float)};
    float *values = t.data = base_arena_alloc(b->g->arena, t.bytes);
    for (int64_t i = 0; values && i < count; i++) values[i] = fill(i, user);
    return made(b, values ? graph_add_constant(b->g, name, &t, false) : NULL);
}

graph_value *hf_cast(hf_builder *b, const char *name, graph_value *x, nib_dtype to) {
    graph_value *v = hf_op1(b, "Cast", name, x);
    return v && graph_set_int(v->producer, "to", to) != NIB_OK ? made(b, NULL) : v;
}

graph_value *hf_input(hf_builder *b, const char *name) {
    if (b->status != NIB_OK) return NULL;
    graph_value *v = made(b, graph_add_value(b->g, name));
    if (!v) return NULL;
    graph_dim batch = graph_dim_symbol(b->g->symbols, "batch"), seq = graph_dim_symbol(b->g->symbols, "seq");
    v->type = (graph_type){.kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_I64, .rank = 2, .dims = {batch, seq}};
    return made(b, graph_add_input(b->g, v) == NIB_OK ? v : NULL);
}

void hf_output(hf_builder *b, const char *name, graph_value *x, int rank, int64_t width) {
    graph_value *v = hf_op1(b, "Identity", name, x);
    if (!v) return;
    graph_symtab *t = b->g->symbols;
    v->type = (graph_type){
        .kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_F32, .rank = rank, .dims = {graph_dim_symbol(t, "batch")}};
    if (rank == 3) v->type.dims[1] = graph_dim_symbol(t, "seq");
    v->type.dims[rank - 1] = width ? graph_dim_const(t, width) : graph_dim_symbol(t, "seq");
    made(b, graph_add_output(b->g, v) == NIB_OK ? v : NULL);
}

graph_value *hf_reshape(hf_builder *b, const char *name, graph_value *x, const int64_t *shape, int64_t rank) {
    if (b->status != NIB_OK) return NULL;
    graph_value *to = made(b, graph_const_i64(b->g, hf_path(b, "%s.shape", name), shape, rank));
    return hf_op2(b, "Reshape", name, x, to);
}

graph_value *hf_transpose(hf_builder *b, const char *name, graph_value *x, const int64_t *perm, size_t rank) {
    graph_value *v = hf_op1(b, "Transpose", name, x);
    if (v && graph_set_ints(v->producer, "perm", perm, rank) != NIB_OK) return made(b, NULL);
    return v;
}

graph_value *hf_unsqueeze(hf_builder *b, const char *name, graph_value *x, int64_t axis) {
    if (b->status != NIB_OK) return NULL;
    return hf_op2(b, "Unsqueeze", name, x, made(b, graph_const_i64(b->g, hf_path(b, "%s.axis", name), &axis, 1)));
}

graph_value *hf_concat(hf_builder *b, const char *name, graph_value *x, graph_value *y) {
    graph_value *v = hf_op2(b, "Concat", name, x, y);
    if (v && graph_set_int(v->producer, "axis", -1) != NIB_OK) return made(b, NULL);
    return v;
}

graph_value *hf_columns(hf_builder *b, const char *name, graph_value *x, int64_t begin, int64_t end) {
    if (b->status != NIB_OK) return NULL;
    graph_value *from = made(b, graph_const_i64(b->g, hf_path(b, "%s.begin", name), &begin, 1));
    graph_value *to = made(b, graph_const_i64(b->g, hf_path(b, "%s.end", name), &end, 1));
    graph_value *axis = made(b, graph_const_i64(b->g, hf_path(b, "%s.axis", name), (int64_t[]){-1}, 1));
    return hf_op(b, "Slice", name, (graph_value *[]){x, from, to, axis}, 4);
}

bool hf_split(hf_builder *b, const char *name, graph_value *x, const int64_t *widths, int count, graph_value **parts) {
    graph_value *split = hf_ints(b, hf_path(b, "%s.sizes", name), widths, count);
    if (b->status != NIB_OK) return false;
    for (int i = 0; i < count; i++) parts[i] = made(b, graph_add_value(b->g, hf_path(b, "%s.%d", name, i)));
    if (b->status != NIB_OK) return false;
    graph_node *n =
        graph_add_node(b->g, NULL, "", "Split", hf_path(b, "%s", name), (graph_value *[]){x, split}, 2, parts, count);
    if (!n || graph_set_int(n, "axis", -1) != NIB_OK) hf_no_memory(b);
    return b->status == NIB_OK;
}
