/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tensors and types of a graph. Out: their protobuf bytes, and the places of those that are external data.
 */
#include "onnx_write.h"
#include "base/base_number.h"
#include "base/base_sort.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- the sink */

void onnx_put_fail(onnx_out *s, nib_status code, const char *format, ...) {
    char text[256];
    va_list args;
    if (s->w->status != NIB_OK) return;
    va_start(args, format);
    base_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    s->w->status = base_error_set(s->w->err, code, "%s", text);
}

void onnx_sink_flush(onnx_out *s) {
    if (s->put && s->used && s->w->status == NIB_OK) s->w->status = s->put(s->user, s->buffer, s->used, s->w->err);
    s->used = 0;
}

void onnx_put_bytes(onnx_out *s, const void *bytes, size_t n) {
    s->count += n;
    if (!s->put || !n) return;
    if (n > ONNX_WRITE_BUFFER - s->used) onnx_sink_flush(s);
    if (n >= ONNX_WRITE_BUFFER || !s->buffer) {
        if (s->w->status == NIB_OK) s->w->status = s->put(s->user, bytes, n, s->w->err);
        return;
    }
    memcpy(s->buffer + s->used, bytes, n);
    s->used += n;
}

static void put_varint(onnx_out *s, uint64_t v) {
    uint8_t bytes[10];
    size_t n = 0;
    for (; v > 0x7f; v >>= 7) bytes[n++] = (uint8_t)(v | 0x80);
    bytes[n++] = (uint8_t)v;
    onnx_put_bytes(s, bytes, n);
}

enum { VARINT = 0, LENGTH = 2, FIXED32 = 5 }; /* wire types */

static void put_tag(onnx_out *s, uint32_t field, uint32_t wire) { put_varint(s, field << 3 | wire); }

void onnx_put_int(onnx_out *s, uint32_t field, int64_t value) {
    put_tag(s, field, VARINT);
    put_varint(s, (uint64_t)value);
}

void onnx_put_float(onnx_out *s, uint32_t field, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_tag(s, field, FIXED32);
    onnx_put_bytes(s, (uint8_t[]){(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16), (uint8_t)(bits >> 24)}, 4);
}

void onnx_put_field(onnx_out *s, uint32_t field, const void *bytes, size_t n) {
    put_tag(s, field, LENGTH);
    put_varint(s, n);
    onnx_put_bytes(s, bytes, n);
}

void onnx_put_text(onnx_out *s, uint32_t field, const char *text) {
    if (text && *text) onnx_put_field(s, field, text, strlen(text));
}

void onnx_put_message(onnx_out *s, uint32_t field, onnx_put_fn fn, const void *record) {
    onnx_out counter = {.w = s->w};
    if (s->w->status != NIB_OK) return;
    fn(&counter, record);
    put_tag(s, field, LENGTH);
    put_varint(s, counter.count);
    if (s->put) fn(s, record);
    else s->count += counter.count;
}

/* ---------------------------------------------------------------- tensors */

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const onnx_placed *)a)->tensor, y = (uintptr_t)((const onnx_placed *)b)->tensor;
    return (x > y) - (x < y);
}

static int by_data(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const onnx_place_of *)a)->data, y = (uintptr_t)((const onnx_place_of *)b)->data;
    return (x > y) - (x < y);
}

static void put_entry(onnx_out *s, const void *pair) {
    const char *const *texts = pair;
    onnx_put_text(s, 1, texts[0]);
    onnx_put_text(s, 2, texts[1]);
}

static void put_external(onnx_out *s, const graph_tensor *tensor, const char *location, uint64_t at) {
    char offset[24], length[24];
    snprintf(offset, sizeof offset, "%llu", (unsigned long long)at);
    snprintf(length, sizeof length, "%zu", tensor->bytes);
    const char *const entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    for (size_t i = 0; i < BASE_COUNT(entries); i++) onnx_put_message(s, 13, put_entry, entries[i]);
    onnx_put_int(s, 14, 1); /* data_location: EXTERNAL */
}

void onnx_put_tensor(onnx_out *s, const void *record) {
    const onnx_named_tensor *named = record;
    const graph_tensor *t = named->tensor;
    if (t->dtype <= NIB_DTYPE_UNDEFINED || t->dtype > NIB_DTYPE_I2) { /* containers; ONNX has no initializers of sequences */
        onnx_put_fail(s, NIB_UNSUPPORTED, "a constant of type %s cannot be written as a tensor", nib_dtype_name(t->dtype));
        return;
    }
    for (int i = 0; i < t->rank; i++) onnx_put_int(s, 1, t->dims[i]);
    onnx_put_int(s, 2, t->dtype);
    if (t->dtype == NIB_DTYPE_STRING) {
        const graph_string *strings = t->data;
        for (int64_t i = 0, n = graph_tensor_elements(t); i < n; i++) onnx_put_field(s, 6, strings[i].data, strings[i].length);
    }
    onnx_put_text(s, 8, named->name);
    if (t->dtype == NIB_DTYPE_STRING) return;
    const onnx_placed key = {.tensor = t}, *placed = base_find(&key, s->w->found, s->w->n_placed, sizeof key, by_address);
    const onnx_place_of wanted = {.data = t->data}, *given = NULL;
    if (t->data) given = base_find(&wanted, s->w->places, s->w->n_places, sizeof wanted, by_data);
    if (placed) put_external(s, t, s->w->location, placed->offset);
    else if (given) put_external(s, t, given->location, given->offset);
    else onnx_put_field(s, 9, t->data, t->bytes);
}

static nib_status place(onnx_writing *w, const graph_tensor *t) {
    if (t->dtype == NIB_DTYPE_STRING || t->dtype > NIB_DTYPE_I2 || t->bytes < ONNX_EXTERNAL_LEAST) return NIB_OK;
    uint64_t at = 0;
    if (w->n_placed) at = w->placed[w->n_placed - 1].offset + w->placed[w->n_placed - 1].tensor->bytes;
    at = (at + ONNX_EXTERNAL_ALIGN - 1) / ONNX_EXTERNAL_ALIGN * ONNX_EXTERNAL_ALIGN;
    if (!base_grow(w->heap, (void **)&w->placed, &w->cap_placed, w->n_placed + 1, sizeof *w->placed))
        return base_error_set(w->err, NIB_OUT_OF_MEMORY, "out of memory for a list of weights");
    w->placed[w->n_placed++] = (onnx_placed){t, at};
    return NIB_OK;
}

nib_status onnx_place(onnx_writing *w, const graph *g) {
    nib_status status = NIB_OK;
    for (int i = 0; i < g->n_constants; i++) NIB_TRY(place(w, g->constants[i]->constant));
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) NIB_TRY(place(w, g->inputs[i]->preset));
    for (const graph_node *n = g->first; n; n = n->next)
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(onnx_place(w, b.body));
    if (g->parent || !w->n_placed) return NIB_OK;
    w->found = base_alloc(w->heap, w->n_placed * sizeof *w->found);
    if (!w->found) NIB_FAIL(w->err, NIB_OUT_OF_MEMORY, "out of memory for a list of weights");
    memcpy(w->found, w->placed, w->n_placed * sizeof *w->found);
    base_sort(w->found, w->n_placed, sizeof *w->found, by_address);
fail:
    return status;
}

/* ---------------------------------------------------------------- types */

/* A number, a name, or the text of an expression, which is a name, too: equal expressions have equal texts. */
static void put_dimension(onnx_out *s, const void *record) {
    graph_dim d = record;
    int64_t value;
    if (graph_dim_is_const(d, &value)) {
        if (value >= 0) onnx_put_int(s, 1, value);
    } else if (graph_dim_is_symbol(d)) {
        onnx_put_text(s, 2, graph_symbol_name(s->w->g->symbols, graph_symbol_index(d)));
    } else if (d) {
        base_str text;
        base_str_init(&text, s->w->heap);
        graph_dim_print(d, &text);
        if (text.failed) onnx_put_fail(s, NIB_OUT_OF_MEMORY, "out of memory for a dimension");
        else onnx_put_text(s, 2, text.data);
        base_str_free(&text);
    }
}

static void put_shape(onnx_out *s, const void *record) {
    const graph_type *t = record;
    for (int i = 0; i < t->rank; i++) onnx_put_message(s, 1, put_dimension, t->dims[i]);
}

static void put_tensor_type(onnx_out *s, const void *record) {
    const graph_type *t = record;
    onnx_put_int(s, 1, t->dtype);
    if (t->rank >= 0) onnx_put_message(s, 2, put_shape, t);
}

static void put_container(onnx_out *s, const void *record) { /* Sequence or Optional, whose element is a type */
    graph_type element = *(const graph_type *)record;
    element.kind = element.of;
    element.of = GRAPH_KIND_TENSOR;
    onnx_put_message(s, 1, onnx_put_type, &element);
}

void onnx_put_type(onnx_out *s, const void *record) {
    const graph_type *t = record;
    switch (t->kind) {
    case GRAPH_KIND_TENSOR:
        if (t->dtype != NIB_DTYPE_UNDEFINED) onnx_put_message(s, 1, put_tensor_type, t);
        break;
    case GRAPH_KIND_SEQUENCE: onnx_put_message(s, 4, put_container, t); break;
    case GRAPH_KIND_OPTIONAL: onnx_put_message(s, 9, put_container, t); break;
    default: onnx_put_fail(s, NIB_UNSUPPORTED, "the type of a map cannot be written"); break;
    }
}
