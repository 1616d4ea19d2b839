/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes of nodes, and reading scalars out of constants. In: names and values. Out: copies in the graph's arena.
 */
#include "graph.h"
#include "base/base_half.h"
#include <string.h>

const graph_attr *graph_find_attr(const graph_node *n, const char *name) {
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) == 0) return &n->attrs[i];
    return NULL;
}

static const void *copy_bytes(graph *g, const void *from, size_t count, size_t element) {
    size_t bytes;
    if (!base_mul_size(count, element, &bytes)) return NULL;
    void *to = base_arena_alloc(g->arena, bytes);
    return to && bytes ? memcpy(to, from, bytes) : to;
}

static bool copy_string(graph *g, graph_string *s) {
    s->data = base_arena_strndup(g->arena, s->data ? s->data : "", s->length);
    return s->data != NULL;
}

static bool own_contents(graph *g, graph_attr *a) {
    switch (a->kind) {
    case GRAPH_ATTR_STRING: return copy_string(g, &a->u.s);
    case GRAPH_ATTR_FLOATS: return (a->u.floats = copy_bytes(g, a->u.floats, a->count, sizeof(float))) != NULL;
    case GRAPH_ATTR_INTS: return (a->u.ints = copy_bytes(g, a->u.ints, a->count, sizeof(int64_t))) != NULL;
    case GRAPH_ATTR_STRINGS: {
        graph_string *list = (graph_string *)(uintptr_t)copy_bytes(g, a->u.strings, a->count, sizeof *list);
        for (size_t i = 0; list && i < a->count; i++)
            if (!copy_string(g, &list[i])) return false;
        a->u.strings = list;
        return list != NULL;
    }
    case GRAPH_ATTR_TENSORS: return (a->u.tensors = copy_bytes(g, a->u.tensors, a->count, sizeof *a->u.tensors)) != NULL;
    case GRAPH_ATTR_GRAPHS: return (a->u.graphs = copy_bytes(g, a->u.graphs, a->count, sizeof *a->u.graphs)) != NULL;
    default: return true;
    }
}

nib_status graph_set_attr(graph_node *n, const graph_attr *attr) {
    graph *g = n->owner;
    graph_attr a = *attr;
    a.name = graph_intern(g, attr->name, strlen(attr->name));
    if (!a.name || !own_contents(g, &a)) return NIB_OUT_OF_MEMORY;
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, a.name) == 0) return n->attrs[i] = a, NIB_OK;
    if ((n->n_attrs & (n->n_attrs - 1)) == 0 || n->n_attrs == 0) { /* room doubles at powers of two */
        graph_attr *fresh = base_arena_alloc(g->arena, (size_t)(n->n_attrs ? n->n_attrs * 2 : 1) * sizeof *fresh);
        if (!fresh) return NIB_OUT_OF_MEMORY;
        if (n->n_attrs) memcpy(fresh, n->attrs, (size_t)n->n_attrs * sizeof *fresh);
        n->attrs = fresh;
    }
    n->attrs[n->n_attrs++] = a;
    return NIB_OK;
}

nib_status graph_set_int(graph_node *n, const char *name, int64_t value) {
    return graph_set_attr(n, &(graph_attr){.name = name, .kind = GRAPH_ATTR_INT, .u.i = value});
}
nib_status graph_set_float(graph_node *n, const char *name, float value) {
    return graph_set_attr(n, &(graph_attr){.name = name, .kind = GRAPH_ATTR_FLOAT, .u.f = value});
}
nib_status graph_set_string(graph_node *n, const char *name, const char *value) {
    return graph_set_attr(n, &(graph_attr){.name = name, .kind = GRAPH_ATTR_STRING, .u.s = {value, strlen(value)}});
}
nib_status graph_set_ints(graph_node *n, const char *name, const int64_t *values, size_t count) {
    return graph_set_attr(n, &(graph_attr){.name = name, .kind = GRAPH_ATTR_INTS, .count = count, .u.ints = values});
}

int64_t graph_attr_int(const graph_node *n, const char *name, int64_t otherwise) {
    const graph_attr *a = graph_find_attr(n, name);
    return a && a->kind == GRAPH_ATTR_INT ? a->u.i : otherwise;
}
float graph_attr_float(const graph_node *n, const char *name, float otherwise) {
    const graph_attr *a = graph_find_attr(n, name);
    return a && a->kind == GRAPH_ATTR_FLOAT ? a->u.f : otherwise;
}
const char *graph_attr_string(const graph_node *n, const char *name, const char *otherwise) {
    const graph_attr *a = graph_find_attr(n, name);
    return a && a->kind == GRAPH_ATTR_STRING ? a->u.s.data : otherwise;
}
int64_t graph_attr_ints(const graph_node *n, const char *name, const int64_t **values) {
    const graph_attr *a = graph_find_attr(n, name);
    if (!a || a->kind != GRAPH_ATTR_INTS) return -1;
    *values = a->u.ints;
    return (int64_t)a->count;
}

bool graph_scalar(const graph_value *v, double *out) {
    const graph_tensor *t = v ? v->constant : NULL;
    if (!t || graph_tensor_elements(t) != 1 || t->dtype == NIB_DTYPE_STRING) return false;
    switch (t->dtype) {
#define READ(tag, type, expr)                                                                                                              \
    case NIB_DTYPE_##tag: {                                                                                                                \
        type x;                                                                                                                            \
        memcpy(&x, t->data, sizeof x);                                                                                                     \
        *out = (double)(expr);                                                                                                             \
        return true;                                                                                                                       \
    }
        READ(F32, float, x)
        READ(F64, double, x)
        READ(F16, uint16_t, base_f16_to_f32(x))
        READ(BF16, uint16_t, base_bf16_to_f32(x))
        READ(I64, int64_t, x)
        READ(I32, int32_t, x)
        READ(I16, int16_t, x)
        READ(I8, int8_t, x)
        READ(U8, uint8_t, x)
        READ(U16, uint16_t, x)
        READ(U32, uint32_t, x)
        READ(U64, uint64_t, x)
        READ(BOOL, uint8_t, x != 0)
#undef READ
    default: return false;
    }
}
