/* SPDX-License-Identifier: Apache-2.0
 *
 * ONNX's textual syntax -> graph; what graph_print and onnx.printer write. Tensors are in graph_text_values.c.
 *
 *     model := < key: value, ... > graph
 *     graph := name ( value, ... ) => ( value, ... ) [ < value [= data], ... > ] { node ... }
 *     value := [type] name
 *     node  := [ "[" name "]" ] name, ... = [domain .] op [ < attr, ... > ] ( name, ... ) [ < attr, ... > ]
 *     attr  := name [: kind] = item | [ item, ... ]
 *
 * Not read: functions after the graph, data written as `...`, external data, overloads.
 */
#include "graph_text_parse.h"
#include <string.h>

/* ---------------------------------------------------------------- types */

static nib_status parse_dim(text_parser *t, graph_dim *out) {
    nib_status status = NIB_OK;
    literal v;
    const char *word;
    *out = NULL;
    if (lex_accept(&t->lex, '?')) return NIB_OK;
    if (lex_peek(&t->lex) == '"' || lex_peek_word(&t->lex, &word) > 0) {
        NIB_TRY(lex_name(&t->lex, &v));
        const char *name = graph_intern(t->root, v.text, v.length);
        if (!name) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        if (*name) *out = graph_dim_symbol(t->root->symbols, name);
    } else {
        int64_t size;
        NIB_TRY(lex_value(&t->lex, &v));
        NIB_TRY(lex_int(&t->lex, &v, &size));
        if (size >= 0) *out = graph_dim_const(t->root->symbols, size);
    }
fail:
    return status;
}

static nib_status parse_tensor_type(text_parser *t, graph_type *out) {
    nib_status status = NIB_OK;
    const char *word = "";
    size_t n = lex_peek_word(&t->lex, &word);
    out->dtype = graph_text_dtype_of(word, n);
    if (out->dtype == NIB_DTYPE_UNDEFINED) return lex_fail(&t->lex, "expected an element type");
    t->lex.p += n;
    out->rank = 0;
    if (!lex_accept(&t->lex, '[')) return NIB_OK;
    if (lex_accept(&t->lex, ']')) {
        out->rank = -1;
        return NIB_OK;
    }
    do {
        if (out->rank == GRAPH_MAX_RANK) return lex_fail(&t->lex, "the rank is too large");
        NIB_TRY(parse_dim(t, &out->dims[out->rank]));
        out->rank++;
    } while (lex_accept(&t->lex, ','));
    NIB_TRY(lex_expect(&t->lex, ']'));
fail:
    return status;
}

bool text_next_is_type(text_parser *t) {
    static const char *const others[] = {"seq", "optional", "map", "sparse_tensor", "opaque"};
    const char *word;
    size_t n = lex_peek_word(&t->lex, &word);
    for (size_t i = 0; i < BASE_COUNT(others); i++) {
        if (n == strlen(others[i]) && memcmp(word, others[i], n) == 0) return true;
    }
    return n > 0 && graph_text_dtype_of(word, n) != NIB_DTYPE_UNDEFINED;
}

nib_status text_parse_type(text_parser *t, graph_type *out) {
    nib_status status = NIB_OK;
    *out = (graph_type){.kind = GRAPH_KIND_TENSOR, .rank = -1};
    if (lex_accept_word(&t->lex, "seq")) {
        out->kind = GRAPH_KIND_SEQUENCE;
    } else if (lex_accept_word(&t->lex, "optional")) {
        out->kind = GRAPH_KIND_OPTIONAL;
    } else if (lex_accept_word(&t->lex, "map")) {
        out->kind = GRAPH_KIND_MAP;
    } else {
        return parse_tensor_type(t, out);
    }
    NIB_TRY(lex_expect(&t->lex, '('));
    if (out->kind == GRAPH_KIND_MAP) {
        literal key;
        NIB_TRY(lex_name(&t->lex, &key));
        NIB_TRY(lex_expect(&t->lex, ','));
    }
    if (lex_accept_word(&t->lex, "seq")) { /* optional(seq(T)) */
        out->of = GRAPH_KIND_SEQUENCE;
        NIB_TRY(lex_expect(&t->lex, '('));
        NIB_TRY(parse_tensor_type(t, out));
        NIB_TRY(lex_expect(&t->lex, ')'));
    } else {
        NIB_TRY(parse_tensor_type(t, out));
    }
    NIB_TRY(lex_expect(&t->lex, ')'));
fail:
    return status;
}

/* ---------------------------------------------------------------- values */

typedef struct declaration {
    const char *name;
    graph_type type;
    const char *at; /* in the text */
} declaration;

typedef struct declarations {
    declaration *items;
    size_t count, capacity;
} declarations;

static nib_status add_declaration(text_parser *t, declarations *list) {
    nib_status status = NIB_OK;
    literal name;
    declaration d = {.at = t->lex.p, .type = {.rank = -1}};
    if (text_next_is_type(t)) NIB_TRY(text_parse_type(t, &d.type));
    NIB_TRY(lex_name(&t->lex, &name));
    d.name = graph_intern(t->root, name.text, name.length);
    if (!d.name || !base_grow(t->root->heap, (void **)&list->items, &list->capacity, list->count + 1, sizeof(d)))
        NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    if (!d.name[0]) return lex_fail(&t->lex, "a value without a name");
    list->items[list->count++] = d;
fail:
    return status;
}

/* `= data` after a declaration makes it a constant; the declaration is taken off its list. */
static nib_status parse_constant(text_parser *t, graph *g, const declaration *d) {
    nib_status status = NIB_OK;
    graph_tensor tensor;
    if (graph_find_value(g, d->name)) return lex_fail(&t->lex, "a name is defined twice");
    NIB_TRY(text_parse_data(t, &d->type, &tensor));
    if (!graph_add_constant(g, d->name, &tensor, false)) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
fail:
    return status;
}

static nib_status parse_declarations(text_parser *t, graph *g, char close, bool data, declarations *list) {
    nib_status status = NIB_OK;
    if (lex_accept(&t->lex, close)) return NIB_OK;
    do {
        NIB_TRY(add_declaration(t, list));
        if (data && lex_accept(&t->lex, '=')) {
            declaration d = list->items[list->count - 1];
            if (close == '>') list->count--; /* an input stays listed (make_inputs) */
            NIB_TRY(parse_constant(t, g, &d));
        }
    } while (lex_accept(&t->lex, ','));
    NIB_TRY(lex_expect(&t->lex, close));
fail:
    return status;
}

/* As in a file: before IR 4, and in bodies, an input with data is a constant; else the data is what it holds if it is not given. */
static nib_status make_presets(text_parser *t, graph *g, const declarations *inputs) {
    nib_status status = NIB_OK;
    if (g->parent || g->ir_version < 4) return NIB_OK;
    for (size_t i = 0; i < inputs->count; i++) {
        graph_value *v = graph_find_value(g, inputs->items[i].name);
        if (v->constant && graph_make_preset(g, v, &inputs->items[i].type) != NIB_OK)
            NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    }
    graph_drop_presets(g);
fail:
    return status;
}

static nib_status make_inputs(text_parser *t, graph *g, const declarations *inputs) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < inputs->count; i++) {
        graph_value *v = graph_find_value(g, inputs->items[i].name);
        if (v && v->constant) continue;
        if (v) return lex_fail(&t->lex, "an input is listed twice");
        v = graph_add_value(g, inputs->items[i].name);
        if (!v || graph_add_input(g, v) != NIB_OK) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        v->type = inputs->items[i].type;
    }
    NIB_TRY(make_presets(t, g, inputs));
fail:
    return status;
}

static nib_status make_outputs(text_parser *t, graph *g, const declarations *outputs, const declarations *infos) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < infos->count; i++) {
        graph_value *v = graph_find_value(g, infos->items[i].name);
        if (v && v->producer) v->type = infos->items[i].type;
    }
    for (size_t i = 0; i < outputs->count; i++) {
        const declaration *d = &outputs->items[i];
        graph_value *v = graph_find_value(g, d->name);
        if (!v || v->is_output) {
            t->lex.p = d->at;
            return lex_fail(&t->lex, v ? "an output is listed twice" : "an output is never defined");
        }
        if (v->producer && d->type.dtype != NIB_DTYPE_UNDEFINED) v->type = d->type;
        if (graph_add_output(g, v) != NIB_OK) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- nodes */

typedef struct names {
    const char **items;
    size_t count, capacity;
} names;

/* name, ..., where a name may be "" or nothing: an operand left out. A comma may follow the last. */
static nib_status parse_names(text_parser *t, names *list) {
    nib_status status = NIB_OK;
    const char *word;
    for (;;) {
        literal v = {LITERAL_STRING, "", 0};
        char next = lex_peek(&t->lex);
        if (next == '"' || lex_peek_word(&t->lex, &word) > 0) {
            NIB_TRY(lex_name(&t->lex, &v));
        } else if (next != ',') {
            return NIB_OK;
        }
        const char *name = graph_intern(t->root, v.text, v.length);
        if (!name || !base_grow(t->root->heap, (void **)&list->items, &list->capacity, list->count + 1, sizeof(*list->items)))
            NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        list->items[list->count++] = name;
        if (!lex_accept(&t->lex, ',')) return NIB_OK;
    }
fail:
    return status;
}

static graph_value *find_value(graph *g, const char *name) {
    graph_value *v = NULL;
    for (; g && !v; g = g->parent) v = graph_find_value(g, name);
    return v;
}

/* domain.op: names between points; the last is the operator. */
static nib_status parse_op(text_parser *t, const char **domain, const char **op) {
    nib_status status = NIB_OK;
    literal v;
    *domain = "";
    NIB_TRY(lex_name(&t->lex, &v));
    *op = v.text;
    while (lex_accept(&t->lex, '.')) {
        *domain = **domain ? base_arena_printf(&t->lex.scratch, "%s.%s", *domain, *op) : *op;
        if (!*domain) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        NIB_TRY(lex_name(&t->lex, &v));
        *op = v.text;
    }
    if (strcmp(*domain, "ai.onnx") == 0) *domain = "";
    if (!**op) return lex_fail(&t->lex, "a node without an operator");
    if (lex_peek(&t->lex) == ':') return lex_fail(&t->lex, "overloads are not supported");
fail:
    return status;
}

static nib_status parse_attr_list(text_parser *t, graph *g, graph_attr **attrs, size_t *count, size_t *capacity) {
    nib_status status = NIB_OK;
    if (!lex_accept(&t->lex, '<') || lex_accept(&t->lex, '>')) return NIB_OK;
    do {
        if (!base_grow(t->root->heap, (void **)attrs, capacity, *count + 1, sizeof(**attrs)))
            NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        NIB_TRY(text_parse_attr(t, g, &(*attrs)[*count]));
        ++*count;
    } while (lex_accept(&t->lex, ','));
    NIB_TRY(lex_expect(&t->lex, '>'));
fail:
    return status;
}

static nib_status add_node(text_parser *t, graph *g, const char *domain, const char *op, const char *name, const names *outputs,
                           const names *inputs, const graph_attr *attrs, size_t n_attrs) {
    nib_status status = NIB_OK;
    graph_value **values = base_calloc(g->heap, inputs->count + outputs->count + 1, sizeof(*values));
    if (!values) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    for (size_t i = 0; i < inputs->count; i++) {
        if (!inputs->items[i][0]) continue;
        if (!(values[i] = find_value(g, inputs->items[i]))) {
            status = lex_fail(&t->lex, "an input of this node is not defined before it");
            base_error_at_node(t->lex.err, *name ? name : op);
            goto fail;
        }
    }
    for (size_t i = 0; i < outputs->count; i++) {
        if (!outputs->items[i][0]) continue;
        if (graph_find_value(g, outputs->items[i])) {
            status = lex_fail(&t->lex, "an output of this node is defined twice");
            base_error_at_node(t->lex.err, *name ? name : op);
            goto fail;
        }
        if (!(values[inputs->count + i] = graph_add_value(g, outputs->items[i])))
            NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    }
    graph_node *n = graph_add_node(g, NULL, domain, op, name, values, (int)inputs->count, values + inputs->count, (int)outputs->count);
    if (!n) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    for (size_t i = 0; i < n_attrs; i++) {
        if (graph_find_attr(n, attrs[i].name)) NIB_TRY(lex_fail(&t->lex, "an attribute is given twice"));
        if (graph_set_attr(n, &attrs[i]) != NIB_OK) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    }
fail:
    base_free(g->heap, values);
    return status;
}

static nib_status parse_node(text_parser *t, graph *g) {
    nib_status status = NIB_OK;
    names outputs = {0}, inputs = {0};
    graph_attr *attrs = NULL;
    size_t n_attrs = 0, cap_attrs = 0;
    literal name = {LITERAL_STRING, "", 0};
    const char *domain, *op;
    if (lex_accept(&t->lex, '[')) {
        NIB_TRY(lex_name(&t->lex, &name));
        NIB_TRY(lex_expect(&t->lex, ']'));
    }
    NIB_TRY(parse_names(t, &outputs));
    NIB_TRY(lex_expect(&t->lex, '='));
    NIB_TRY(parse_op(t, &domain, &op));
    NIB_TRY(parse_attr_list(t, g, &attrs, &n_attrs, &cap_attrs));
    NIB_TRY(lex_expect(&t->lex, '('));
    NIB_TRY(parse_names(t, &inputs));
    NIB_TRY(lex_expect(&t->lex, ')'));
    NIB_TRY(parse_attr_list(t, g, &attrs, &n_attrs, &cap_attrs)); /* the printer writes graphs after the operands */
    NIB_TRY(add_node(t, g, domain, op, name.text, &outputs, &inputs, attrs, n_attrs));
fail:
    base_free(g->heap, attrs);
    base_free(g->heap, (void *)outputs.items);
    base_free(g->heap, (void *)inputs.items);
    return status;
}

nib_status text_parse_graph(text_parser *t, graph *g) {
    nib_status status = NIB_OK;
    declarations inputs = {0}, outputs = {0}, infos = {0};
    literal name;
    NIB_TRY(lex_name(&t->lex, &name));
    g->name = graph_intern(t->root, name.text, name.length);
    if (!g->name) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    NIB_TRY(lex_expect(&t->lex, '('));
    NIB_TRY(parse_declarations(t, g, ')', true, &inputs));
    NIB_TRY(lex_expect(&t->lex, '='));
    NIB_TRY(lex_expect(&t->lex, '>'));
    NIB_TRY(lex_expect(&t->lex, '('));
    NIB_TRY(parse_declarations(t, g, ')', false, &outputs));
    if (lex_accept(&t->lex, '<')) NIB_TRY(parse_declarations(t, g, '>', true, &infos));
    NIB_TRY(make_inputs(t, g, &inputs));
    NIB_TRY(lex_expect(&t->lex, '{'));
    while (!lex_accept(&t->lex, '}')) NIB_TRY(parse_node(t, g));
    NIB_TRY(make_outputs(t, g, &outputs, &infos));
fail:
    base_free(g->heap, inputs.items);
    base_free(g->heap, outputs.items);
    base_free(g->heap, infos.items);
    return status;
}

/* ---------------------------------------------------------------- the model */

static nib_status parse_opsets(text_parser *t) {
    nib_status status = NIB_OK;
    NIB_TRY(lex_expect(&t->lex, '['));
    if (lex_accept(&t->lex, ']')) return NIB_OK;
    do {
        literal domain, v;
        int64_t version;
        NIB_TRY(lex_name(&t->lex, &domain));
        NIB_TRY(lex_expect(&t->lex, ':'));
        NIB_TRY(lex_value(&t->lex, &v));
        NIB_TRY(lex_int(&t->lex, &v, &version));
        if (version < 1 || version > INT32_MAX) return lex_fail(&t->lex, "the version of an opset is out of range");
        NIB_TRY(graph_set_opset(t->root, domain.text, (int)version, t->lex.err));
    } while (lex_accept(&t->lex, ','));
    NIB_TRY(lex_expect(&t->lex, ']'));
fail:
    return status;
}

/* "producer_name" and "producer_version" become one string. */
static nib_status note_producer(text_parser *t, const literal *v) {
    const char *before = t->root->producer ? t->root->producer : "";
    t->root->producer = base_arena_printf(t->root->arena, "%s%s%s", before, *before && v->length ? " " : "", v->text);
    return t->root->producer ? NIB_OK : base_error_set(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
}

/* Metadata and whatever else the header holds: a value, or a list of pairs. */
static nib_status skip_property(text_parser *t) {
    nib_status status = NIB_OK;
    literal v;
    if (!lex_accept(&t->lex, '[')) return lex_value(&t->lex, &v);
    while (!lex_accept(&t->lex, ']')) {
        NIB_TRY(lex_value(&t->lex, &v));
        NIB_TRY(lex_expect(&t->lex, ':'));
        NIB_TRY(lex_value(&t->lex, &v));
        lex_accept(&t->lex, ',');
    }
fail:
    return status;
}

static nib_status parse_header(text_parser *t) {
    nib_status status = NIB_OK;
    if (!lex_accept(&t->lex, '<') || lex_accept(&t->lex, '>')) return NIB_OK;
    do {
        literal key, v;
        NIB_TRY(lex_name(&t->lex, &key));
        NIB_TRY(lex_expect(&t->lex, ':'));
        if (strcmp(key.text, "opset_import") == 0) {
            NIB_TRY(parse_opsets(t));
        } else if (strcmp(key.text, "ir_version") == 0) {
            NIB_TRY(lex_value(&t->lex, &v));
            NIB_TRY(lex_int(&t->lex, &v, &t->root->ir_version));
        } else if (strcmp(key.text, "producer_name") == 0 || strcmp(key.text, "producer_version") == 0) {
            NIB_TRY(lex_value(&t->lex, &v));
            NIB_TRY(note_producer(t, &v));
        } else {
            NIB_TRY(skip_property(t));
        }
    } while (lex_accept(&t->lex, ','));
    NIB_TRY(lex_expect(&t->lex, '>'));
fail:
    return status;
}

nib_status graph_parse(base_heap *heap, const char *text, size_t length, graph **out, nib_error *err) {
    nib_status status = NIB_OK;
    text_parser t = {.lex = {.begin = text, .p = text, .end = text + length, .err = err}};
    *out = NULL;
    base_arena_init(&t.lex.scratch, heap);
    NIB_TRY(graph_create(heap, &t.root, err));
    NIB_TRY(parse_header(&t));
    NIB_TRY(text_parse_graph(&t, t.root));
    if (lex_peek(&t.lex) == '<') NIB_FAIL(err, NIB_UNSUPPORTED, "functions are not supported in a graph's text");
    if (lex_peek(&t.lex) != 0 || t.lex.p < t.lex.end) NIB_TRY(lex_fail(&t.lex, "more text after the graph"));
    if (!t.root->producer) t.root->producer = "";
    NIB_TRY(graph_verify(t.root, err));
    *out = t.root;
    t.root = NULL;
fail:
    graph_free(t.root);
    base_arena_free(&t.lex.scratch);
    return status;
}
