/* SPDX-License-Identifier: Apache-2.0
 *
 * Graph -> ONNX's textual syntax, as onnx.parser reads it and graph_parse does.
 *
 * Names that are no identifiers are quoted; a sum or product of symbols is written as one quoted symbol. Graph and attribute
 * names cannot be quoted there: in a graph's name, other characters become '_'.
 */
#include "graph_text.h"
#include "base/base_number.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const dtype_names[] = {
    NULL,        "float",      "uint8",      "int8",         "uint16",         "int16",      "int32",
    "int64",     "string",     "bool",       "float16",      "double",         "uint32",     "uint64",
    "complex64", "complex128", "bfloat16",   "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz",
    "uint4",     "int4",       "float4e2m1", "float8e8m0",   "uint2",          "int2",
};

static const char *const kind_names[] = {
    NULL, "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors", "graphs", NULL, NULL, "type_proto",
};

const char *graph_text_dtype(nib_dtype dtype) { return (unsigned)dtype < BASE_COUNT(dtype_names) ? dtype_names[dtype] : NULL; }

static int find_name(const char *const *names, size_t count, const char *name, size_t length) {
    for (size_t i = 0; i < count; i++) {
        if (names[i] && strlen(names[i]) == length && memcmp(names[i], name, length) == 0) return (int)i;
    }
    return 0;
}

nib_dtype graph_text_dtype_of(const char *name, size_t length) {
    return (nib_dtype)find_name(dtype_names, BASE_COUNT(dtype_names), name, length);
}

const char *graph_text_attr_kind(graph_attr_kind kind) { return (unsigned)kind < BASE_COUNT(kind_names) ? kind_names[kind] : NULL; }

graph_attr_kind graph_text_attr_kind_of(const char *name, size_t length) {
    return (graph_attr_kind)find_name(kind_names, BASE_COUNT(kind_names), name, length);
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool graph_text_is_identifier(const char *text) {
    if (!is_letter(*text)) return false;
    for (; *text; text++) {
        if (!is_letter(*text) && !is_digit(*text)) return false;
    }
    return true;
}

graph_text_class graph_text_class_of(nib_dtype dtype, size_t *width) {
    switch (dtype) {
    case NIB_DTYPE_F32:
    case NIB_DTYPE_C64: return *width = 4, GRAPH_TEXT_F32;
    case NIB_DTYPE_F64:
    case NIB_DTYPE_C128: return *width = 8, GRAPH_TEXT_F64;
    case NIB_DTYPE_STRING: return *width = sizeof(graph_string), GRAPH_TEXT_STRING;
    case NIB_DTYPE_I8: return *width = 1, GRAPH_TEXT_INT;
    case NIB_DTYPE_I16: return *width = 2, GRAPH_TEXT_INT;
    case NIB_DTYPE_I32: return *width = 4, GRAPH_TEXT_INT;
    case NIB_DTYPE_I64: return *width = 8, GRAPH_TEXT_INT;
    default: *width = nib_dtype_bits(dtype) >= 8 ? (size_t)nib_dtype_bits(dtype) / 8 : 1; return GRAPH_TEXT_UINT;
    }
}

/* ---------------------------------------------------------------- words */

static void print_quoted(const char *text, size_t length, base_str *out) {
    base_str_add(out, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') base_str_add(out, "\\");
        base_str_add_bytes(out, &text[i], 1);
    }
    base_str_add(out, "\"");
}

static void print_name(const char *name, base_str *out) {
    if (graph_text_is_identifier(name)) {
        base_str_add(out, name);
    } else {
        print_quoted(name, strlen(name), out);
    }
}

static void print_graph_name(const char *name, base_str *out) {
    if (!name || !*name) name = "graph";
    if (is_digit(*name)) base_str_add(out, "_");
    for (; *name; name++) base_str_add_bytes(out, is_letter(*name) || is_digit(*name) ? name : "_", 1);
}

/* Digits enough to read the same value back; with a point or an exponent, so that it reads as a float. */
static void print_real(double value, int digits, base_str *out) {
    char text[48];
    if (isnan(value)) {
        base_str_add(out, "nan");
        return;
    }
    base_snprintf(text, sizeof(text), "%.*g", digits, value);
    if (isfinite(value) && !strpbrk(text, ".eE")) strcat(text, ".0");
    base_str_add(out, text);
}

static void print_dim(graph_dim d, base_heap *heap, base_str *out) {
    base_str text;
    if (!d || graph_dim_is_const(d, NULL)) {
        graph_dim_print(d, out);
        return;
    }
    base_str_init(&text, heap);
    graph_dim_print(d, &text);
    if (text.failed) out->failed = true;
    if (text.data) print_name(text.data, out);
    base_str_free(&text);
}

static void print_tensor_type(const graph_type *t, base_heap *heap, base_str *out) {
    base_str_add(out, graph_text_dtype(t->dtype));
    if (t->rank < 0) base_str_add(out, "[]");
    for (int i = 0; i < t->rank; i++) {
        base_str_add(out, i ? "," : "[");
        print_dim(t->dims[i], heap, out);
    }
    if (t->rank > 0) base_str_add(out, "]");
}

/* Nothing where the element type is unknown: the syntax has no word for that. */
static bool print_type(const graph_type *t, base_heap *heap, base_str *out) {
    static const char *const around[] = {"", "seq(", "optional(", "map(int64, "};
    if (!graph_text_dtype(t->dtype)) return false;
    base_str_add(out, around[t->kind]);
    if (t->of == GRAPH_KIND_SEQUENCE) base_str_add(out, "seq(");
    print_tensor_type(t, heap, out);
    if (t->of == GRAPH_KIND_SEQUENCE) base_str_add(out, ")");
    if (t->kind != GRAPH_KIND_TENSOR) base_str_add(out, ")");
    return true;
}

/* ---------------------------------------------------------------- tensors */

static void print_element(const uint8_t *p, graph_text_class class, size_t width, base_str *out) {
    union {
        float f;
        double d;
        uint64_t u;
        graph_string s;
    } v = {.s = {NULL, 0}};
    memcpy(&v, p, width);
    if (class == GRAPH_TEXT_F32) {
        print_real((double)v.f, 9, out);
    } else if (class == GRAPH_TEXT_F64) {
        print_real(v.d, 17, out);
    } else if (class == GRAPH_TEXT_STRING) {
        print_quoted(v.s.data, v.s.length, out);
    } else {
        uint64_t bits = 0;
        for (size_t i = width; i-- > 0;) bits = bits << 8 | p[i];
        int unused = 64 - (int)width * 8;
        if (class == GRAPH_TEXT_INT) {
            base_str_printf(out, "%" PRId64, (int64_t)(bits << unused) >> unused);
        } else {
            base_str_printf(out, "%" PRIu64, bits);
        }
    }
}

static void print_tensor_values(const graph_tensor *t, int64_t max_elements, base_str *out) {
    size_t width;
    graph_text_class class = graph_text_class_of(t->dtype, &width);
    if (graph_tensor_elements(t) > max_elements) {
        base_str_add(out, "...");
        return;
    }
    base_str_add(out, "{");
    for (size_t at = 0; at + width <= t->bytes; at += width) {
        if (at) base_str_add(out, ",");
        print_element((const uint8_t *)t->data + at, class, width, out);
    }
    base_str_add(out, "}");
}

static void print_shape(const graph_tensor *t, base_str *out) {
    base_str_add(out, graph_text_dtype(t->dtype));
    for (int i = 0; i < t->rank; i++) base_str_printf(out, "%s%" PRId64, i ? "," : "[", t->dims[i]);
    if (t->rank > 0) base_str_add(out, "]");
}

/* ---------------------------------------------------------------- graphs */

typedef struct printer {
    base_heap *heap;
    int64_t max_elements;
    base_str *out;
} printer;

static void print_graph(const printer *p, const graph *g, int indent);

static void print_indent(const printer *p, int indent) {
    for (int i = 0; i < indent; i++) base_str_add(p->out, "   ");
}

static void print_attr_item(const printer *p, const graph_attr *a, size_t i, int indent) {
    const graph_tensor *t;
    switch (a->kind) {
    case GRAPH_ATTR_FLOAT: print_real((double)a->u.f, 9, p->out); break;
    case GRAPH_ATTR_FLOATS: print_real((double)a->u.floats[i], 9, p->out); break;
    case GRAPH_ATTR_INT: base_str_printf(p->out, "%" PRId64, a->u.i); break;
    case GRAPH_ATTR_INTS: base_str_printf(p->out, "%" PRId64, a->u.ints[i]); break;
    case GRAPH_ATTR_STRING: print_quoted(a->u.s.data, a->u.s.length, p->out); break;
    case GRAPH_ATTR_STRINGS: print_quoted(a->u.strings[i].data, a->u.strings[i].length, p->out); break;
    case GRAPH_ATTR_TENSOR:
    case GRAPH_ATTR_TENSORS:
        t = a->kind == GRAPH_ATTR_TENSOR ? a->u.tensor : a->u.tensors[i];
        print_shape(t, p->out);
        base_str_add(p->out, " ");
        print_tensor_values(t, p->max_elements, p->out);
        break;
    case GRAPH_ATTR_GRAPH: print_graph(p, a->u.graph, indent + 1); break;
    case GRAPH_ATTR_GRAPHS: print_graph(p, a->u.graphs[i], indent + 1); break;
    case GRAPH_ATTR_TYPE:
        if (!print_type(a->u.type, p->heap, p->out)) base_str_add(p->out, "?");
        break;
    }
}

static void print_attrs(const printer *p, const graph_node *n, int indent) {
    for (int i = 0; i < n->n_attrs; i++) {
        const graph_attr *a = &n->attrs[i];
        bool list = a->kind >= GRAPH_ATTR_FLOATS && a->kind <= GRAPH_ATTR_GRAPHS;
        base_str_add(p->out, i ? ", " : " <");
        print_name(a->name, p->out);
        base_str_printf(p->out, ": %s = ", graph_text_attr_kind(a->kind));
        if (a->ref) {
            base_str_add(p->out, "@");
            print_name(a->ref, p->out);
            continue;
        }
        if (list) base_str_add(p->out, "[");
        for (size_t k = 0; k < (list ? a->count : 1); k++) {
            if (k) base_str_add(p->out, ", ");
            print_attr_item(p, a, k, indent);
        }
        if (list) base_str_add(p->out, "]");
    }
    if (n->n_attrs > 0) base_str_add(p->out, ">");
}

/* "com.microsoft" stays bare: the syntax reads names with points between them. */
static void print_domain(const char *domain, base_str *out) {
    char piece[100];
    const char *from = domain;
    for (bool last = false; !last;) {
        size_t n = strcspn(from, ".");
        last = from[n] == 0;
        if (n >= sizeof(piece)) break;
        memcpy(piece, from, n);
        piece[n] = 0;
        if (!graph_text_is_identifier(piece)) break;
        from += n + 1;
        if (last) {
            base_str_add(out, domain);
            return;
        }
    }
    print_quoted(domain, strlen(domain), out);
}

static void print_node(const printer *p, const graph_node *n, int indent) {
    print_indent(p, indent);
    if (n->name[0]) {
        base_str_add(p->out, "[");
        print_name(n->name, p->out);
        base_str_add(p->out, "] ");
    }
    for (int i = 0; i < n->n_outputs; i++) {
        if (i) base_str_add(p->out, ", ");
        print_name(n->outputs[i] ? n->outputs[i]->name : "", p->out);
    }
    base_str_add(p->out, " = ");
    if (n->domain[0]) {
        print_domain(n->domain, p->out);
        base_str_add(p->out, ".");
    }
    print_name(n->op, p->out);
    print_attrs(p, n, indent);
    base_str_add(p->out, " (");
    for (int i = 0; i < n->n_inputs; i++) {
        if (i) base_str_add(p->out, ", ");
        print_name(n->inputs[i].value ? n->inputs[i].value->name : "", p->out);
    }
    base_str_add(p->out, ")\n");
}

static void print_value(const printer *p, const graph_value *v) {
    if (print_type(&v->type, p->heap, p->out)) base_str_add(p->out, " ");
    print_name(v->name, p->out);
}

static void print_signature(const printer *p, graph_value *const *values, int count) {
    base_str_add(p->out, "(");
    for (int i = 0; i < count; i++) {
        if (i) base_str_add(p->out, ", ");
        print_value(p, values[i]);
        if (!values[i]->preset) continue;
        base_str_add(p->out, " = ");
        print_tensor_values(values[i]->preset, p->max_elements, p->out);
    }
    base_str_add(p->out, ")");
}

/* Constants, then the types of what nodes make. */
static void print_declarations(const printer *p, const graph *g, int indent) {
    int count = 0;
    for (int i = 0; i < g->n_constants; i++) {
        base_str_add(p->out, count++ ? ",\n" : " <\n");
        print_indent(p, indent + 1);
        print_shape(g->constants[i]->constant, p->out);
        base_str_add(p->out, " ");
        print_name(g->constants[i]->name, p->out);
        base_str_add(p->out, " = ");
        print_tensor_values(g->constants[i]->constant, p->max_elements, p->out);
    }
    for (const graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) {
            const graph_value *v = n->outputs[i];
            if (!v || v->is_output || !graph_text_dtype(v->type.dtype)) continue;
            base_str_add(p->out, count++ ? ",\n" : " <\n");
            print_indent(p, indent + 1);
            print_value(p, v);
        }
    }
    if (count > 0) base_str_add(p->out, ">");
}

static void print_graph(const printer *p, const graph *g, int indent) {
    print_graph_name(g->name, p->out);
    base_str_add(p->out, " ");
    print_signature(p, g->inputs, g->n_inputs);
    base_str_add(p->out, " => ");
    print_signature(p, g->outputs, g->n_outputs);
    print_declarations(p, g, indent);
    base_str_add(p->out, " {\n");
    for (const graph_node *n = g->first; n; n = n->next) print_node(p, n, indent + 1);
    print_indent(p, indent);
    base_str_add(p->out, "}");
}

nib_status graph_print(const graph *g, int64_t max_elements, base_str *out) {
    printer p = {g->heap, max_elements, out};
    base_str_printf(out, "<\n   ir_version: %" PRId64 ",\n   opset_import: [", g->ir_version > 0 ? g->ir_version : 8);
    for (int i = 0; i < g->n_opsets; i++) {
        if (i) base_str_add(out, ", ");
        print_quoted(g->opsets[i].domain, strlen(g->opsets[i].domain), out);
        base_str_printf(out, " : %d", g->opsets[i].version);
    }
    base_str_add(out, "]");
    if (g->producer && *g->producer) {
        base_str_add(out, ",\n   producer_name: ");
        print_quoted(g->producer, strlen(g->producer), out);
    }
    base_str_add(out, "\n>\n");
    print_graph(&p, g, 0);
    base_str_add(out, "\n");
    return out->failed ? NIB_OUT_OF_MEMORY : NIB_OK;
}
