/* SPDX-License-Identifier: Apache-2.0
 *
 * NodeProto -> nodes of the graph: names looked up in their scope, attributes read, subgraphs built, calls of local
 * functions inlined, Constant nodes turned into constants.
 *
 * A value is made when its producer is reached, never earlier, so that an input that cannot be found is an input that is not
 * defined before its use: the order of the file is the order of the graph.
 */
#include "onnx_build.h"
#include <string.h>

static const graph_value left_out; /* stands in a scope for an input that a call did not give */

/* ---------------------------------------------------------------- scopes */

static graph_value *find_bound(const onnx_scope *s, onnx_bytes name) {
    for (; s; s = s->outer) {
        const void *v = onnx_map_get(&s->values, name);
        if (v) return (graph_value *)(uintptr_t)v;
    }
    return NULL;
}

graph_value *onnx_find(const onnx_scope *s, onnx_bytes name) {
    graph_value *v = find_bound(s, name);
    return v == &left_out ? NULL : v;
}

nib_status onnx_find_input(onnx_loader *l, const onnx_scope *s, const onnx_node *node, size_t i, graph_value **out) {
    nib_status status = NIB_OK;
    onnx_bytes name = node->input.items[i];
    *out = NULL;
    if (name.size == 0) return NIB_OK;
    graph_value *v = find_bound(s, name);
    if (!v)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "input '%s' is %s", onnx_show(l, name),
                 onnx_map_get(s->declared, name) ? "defined by a later node: nodes must be sorted, without cycles" : "never defined");
    *out = v == &left_out ? NULL : v;
fail:
    return status;
}

nib_status onnx_bind(onnx_loader *l, onnx_scope *s, onnx_bytes name, graph_value *v) {
    nib_status status = NIB_OK;
    const void *old;
    NIB_TRY(onnx_map_put(l, &s->values, name, v ? v : &left_out, &old));
    if (old) NIB_FAIL(l->err, NIB_BAD_MODEL, "'%s' is defined twice", onnx_show(l, name));
fail:
    return status;
}

/* Inside functions: a name that no value has and that none of the graph's own will want. */
static const char *fresh_name(onnx_loader *l, const onnx_scope *s, onnx_bytes inner) {
    const char *base = inner.size <= 200 ? onnx_show(l, inner) : "value";
    for (bool first = true;; first = false) {
        const char *text = first ? base_arena_printf(&l->scratch, "%s/%s", s->call->path, base)
                                 : base_arena_printf(&l->scratch, "%s/%s_%zu", s->call->path, base, l->fresh++);
        if (!text) return NULL;
        onnx_bytes name = {(const uint8_t *)text, strlen(text)};
        if (!onnx_map_get(s->declared, name) && !graph_find_value(s->g, text)) return text;
    }
}

static bool formal_output(const onnx_scope *s, onnx_bytes name, size_t *index) {
    const onnx_bytes_list *formal = &s->call->function->output;
    for (size_t i = 0; i < s->call->node->output.count; i++) {
        if (onnx_bytes_equal(formal->items[i], name)) return *index = i, s->call->node->output.items[i].size > 0;
    }
    return false;
}

/* The name that a value of the scope gets in the graph. */
static const char *name_in_graph(onnx_loader *l, const onnx_scope *s, onnx_bytes name, nib_status *status) {
    const char *text = onnx_intern(l, name, status);
    if (text && s->call && !(text = fresh_name(l, s, name))) *status = base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for a name");
    if (text && !s->call && graph_find_value(s->g, text)) {
        *status = base_error_set(l->err, NIB_BAD_MODEL, "'%s' is defined twice", text);
        return NULL;
    }
    return text;
}

nib_status onnx_define(onnx_loader *l, onnx_scope *s, onnx_bytes name, graph_value **out) {
    nib_status status = NIB_OK;
    size_t i;
    *out = NULL;
    if (onnx_map_get(&s->values, name)) NIB_FAIL(l->err, NIB_BAD_MODEL, "'%s' is defined twice", onnx_show(l, name));
    if (s->is_body && formal_output(s, name, &i)) {
        NIB_TRY(onnx_define(l, s->call->caller, s->call->node->output.items[i], out));
    } else {
        const char *text = name_in_graph(l, s, name, &status);
        if (!text) goto fail;
        *out = graph_add_value(s->g, text);
        if (!*out) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a value");
    }
    NIB_TRY(onnx_bind(l, s, name, *out));
fail:
    return status;
}

nib_status onnx_define_constant(onnx_loader *l, onnx_scope *s, onnx_bytes name, const graph_tensor *tensor) {
    nib_status status = NIB_OK;
    if (onnx_map_get(&s->values, name)) NIB_FAIL(l->err, NIB_BAD_MODEL, "'%s' is defined twice", onnx_show(l, name));
    const char *text = name_in_graph(l, s, name, &status);
    if (!text) goto fail;
    graph_value *v = graph_add_constant(s->g, text, tensor, false);
    if (!v) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a constant");
    NIB_TRY(onnx_bind(l, s, name, v));
fail:
    return status;
}

/* ---------------------------------------------------------------- attributes */

/* The kind of an attribute that does not say it, as files before IR 2 do: by the field that is there. */
static int64_t attribute_kind(const onnx_attribute *a) {
    static const struct {
        uint8_t number, kind;
    } single[] = {
        {2, GRAPH_ATTR_FLOAT},  {3, GRAPH_ATTR_INT},   {4, GRAPH_ATTR_STRING},
        {5, GRAPH_ATTR_TENSOR}, {6, GRAPH_ATTR_GRAPH}, {14, GRAPH_ATTR_TYPE},
    };
    if (a->type != 0) return a->type;
    for (size_t i = 0; i < BASE_COUNT(single); i++) {
        if (ONNX_SEEN(a, single[i].number)) return single[i].kind;
    }
    return a->floats.count    ? GRAPH_ATTR_FLOATS
           : a->ints.count    ? GRAPH_ATTR_INTS
           : a->strings.count ? GRAPH_ATTR_STRINGS
           : a->tensors.count ? GRAPH_ATTR_TENSORS
           : a->graphs.count  ? GRAPH_ATTR_GRAPHS
                              : 0;
}

static nib_status build_tensor_attr(onnx_loader *l, const onnx_tensor *record, graph_tensor **out) {
    nib_status status = NIB_OK;
    *out = base_arena_alloc(l->g->arena, sizeof(**out));
    if (!*out) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor");
    NIB_TRY(onnx_tensor_build(l, record, *out));
    (*out)->data = (void *)(uintptr_t)graph_tensor_aligned(l->g->arena, *out); /* operators read them as arrays */
    if (!(*out)->data) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a tensor of %zu bytes", (*out)->bytes);
fail:
    return status;
}

static nib_status build_subgraph(onnx_loader *l, graph *parent, const onnx_scope *seen, const onnx_graph *record, graph **out) {
    nib_status status = NIB_OK;
    onnx_scope inner = {.outer = seen, .call = seen->call};
    l->depth++;
    int most = l->g->heap->limits.wire_nesting;
    if (l->depth > most) NIB_FAIL(l->err, NIB_LIMIT, "functions and subgraphs are nested more than %d deep", most);
    NIB_TRY(graph_create_sub(parent, &inner.g, l->err));
    NIB_TRY(onnx_build_graph(l, &inner, record));
    *out = inner.g;
fail:
    l->depth--;
    return status;
}

static nib_status build_lists(onnx_loader *l, graph *g, const onnx_argument *from, graph_attr *out) {
    nib_status status = NIB_OK;
    const onnx_attribute *a = from->attribute;
    size_t n = out->kind == GRAPH_ATTR_STRINGS ? a->strings.count : out->kind == GRAPH_ATTR_TENSORS ? a->tensors.count : a->graphs.count;
    out->count = n;
    if (out->kind == GRAPH_ATTR_STRINGS) {
        graph_string *items = base_arena_calloc(&l->scratch, n + 1, sizeof(*items));
        if (!items) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an attribute");
        for (size_t i = 0; i < n; i++) items[i] = (graph_string){(const char *)a->strings.items[i].data, a->strings.items[i].size};
        out->u.strings = items;
    } else if (out->kind == GRAPH_ATTR_TENSORS) {
        graph_tensor **items = base_arena_calloc(&l->scratch, n + 1, sizeof(*items));
        if (!items) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an attribute");
        for (size_t i = 0; i < n; i++) NIB_TRY(build_tensor_attr(l, &a->tensors.items[i], &items[i]));
        out->u.tensors = items;
    } else {
        graph **items = base_arena_calloc(&l->scratch, n + 1, sizeof(*items));
        if (!items) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an attribute");
        for (size_t i = 0; i < n; i++) NIB_TRY(build_subgraph(l, g, from->scope, &a->graphs.items[i], &items[i]));
        out->u.graphs = items;
    }
fail:
    return status;
}

/* `g` is where the node stands: parent of the subgraphs in its attributes. */
static nib_status build_attribute(onnx_loader *l, graph *g, const onnx_argument *from, graph_attr *out) {
    nib_status status = NIB_OK;
    const onnx_attribute *a = from->attribute;
    memset(out, 0, sizeof(*out));
    out->name = onnx_intern(l, from->name, &status);
    if (!out->name) goto fail;
    if (!out->name[0]) NIB_FAIL(l->err, NIB_BAD_MODEL, "an attribute without a name");
    out->kind = (graph_attr_kind)attribute_kind(a);
    switch ((int)out->kind) {
    case GRAPH_ATTR_FLOAT: out->u.f = a->f; break;
    case GRAPH_ATTR_INT: out->u.i = a->i; break;
    case GRAPH_ATTR_STRING: out->u.s = (graph_string){a->s.data ? (const char *)a->s.data : "", a->s.size}; break;
    case GRAPH_ATTR_FLOATS: out->u.floats = a->floats.items, out->count = a->floats.count; break;
    case GRAPH_ATTR_INTS: out->u.ints = a->ints.items, out->count = a->ints.count; break;
    case GRAPH_ATTR_STRINGS:
    case GRAPH_ATTR_TENSORS:
    case GRAPH_ATTR_GRAPHS: NIB_TRY(build_lists(l, g, from, out)); break;
    case GRAPH_ATTR_TENSOR:
        if (!a->t) NIB_FAIL(l->err, NIB_BAD_MODEL, "attribute '%s' has no tensor", out->name);
        NIB_TRY(build_tensor_attr(l, a->t, &out->u.tensor));
        break;
    case GRAPH_ATTR_GRAPH:
        if (!a->g) NIB_FAIL(l->err, NIB_BAD_MODEL, "attribute '%s' has no graph", out->name);
        NIB_TRY(build_subgraph(l, g, from->scope, a->g, &out->u.graph));
        break;
    case GRAPH_ATTR_TYPE:
        out->u.type = base_arena_alloc(l->g->arena, sizeof(*out->u.type));
        if (!out->u.type) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an attribute");
        NIB_TRY(onnx_type_build(l, l->g->symbols, a->tp, out->u.type));
        break;
    default:
        NIB_FAIL(l->err, NIB_UNSUPPORTED, "attribute '%s' is of kind %lld, which is not supported", out->name,
                 (long long)attribute_kind(a));
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, a->head.offset);
    return status;
}

static nib_status build_attributes(onnx_loader *l, const onnx_scope *s, const onnx_node *node, graph_attr **out, size_t *count) {
    nib_status status = NIB_OK;
    graph_attr *attrs = base_arena_calloc(&l->scratch, node->attribute.count + 1, sizeof(*attrs));
    if (!attrs) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for attributes");
    if (node->attribute.count > 1000) NIB_FAIL(l->err, NIB_LIMIT, "a node with %zu attributes", node->attribute.count);
    *count = 0;
    for (size_t i = 0; i < node->attribute.count; i++) {
        onnx_argument argument;
        NIB_TRY(onnx_attribute_resolve(l, s, &node->attribute.items[i], &argument));
        if (!argument.attribute) continue;
        NIB_TRY(build_attribute(l, s->g, &argument, &attrs[*count]));
        for (size_t k = 0; k < *count; k++) {
            if (attrs[k].name == attrs[*count].name) NIB_FAIL(l->err, NIB_BAD_MODEL, "attribute '%s' is given twice", attrs[k].name);
        }
        ++*count;
    }
    *out = attrs;
fail:
    return status;
}

/* ---------------------------------------------------------------- nodes */

/* The value of a Constant node whose one attribute is `a`. */
static nib_status constant_tensor(onnx_loader *l, const onnx_argument *from, graph_tensor *out) {
    nib_status status = NIB_OK;
    const onnx_attribute *a = from->attribute;
    onnx_tensor r = {.head = a->head};
    int64_t count = -1; /* -1: a scalar */
    if (onnx_bytes_are(from->name, "value") && a->t) return onnx_tensor_build(l, a->t, out);
    if (onnx_bytes_are(from->name, "sparse_value") && a->sparse) return onnx_sparse_build(l, a->sparse, out);
    if (onnx_bytes_are(from->name, "value_float")) {
        r.data_type = NIB_DTYPE_F32, r.float_data = (onnx_float_list){&a->f, 1};
    } else if (onnx_bytes_are(from->name, "value_floats")) {
        r.data_type = NIB_DTYPE_F32, r.float_data = a->floats, count = (int64_t)a->floats.count;
    } else if (onnx_bytes_are(from->name, "value_int")) {
        r.data_type = NIB_DTYPE_I64, r.int64_data = (onnx_int_list){&a->i, 1};
    } else if (onnx_bytes_are(from->name, "value_ints")) {
        r.data_type = NIB_DTYPE_I64, r.int64_data = a->ints, count = (int64_t)a->ints.count;
    } else if (onnx_bytes_are(from->name, "value_string")) {
        r.data_type = NIB_DTYPE_STRING, r.string_data = (onnx_bytes_list){&a->s, 1};
    } else if (onnx_bytes_are(from->name, "value_strings")) {
        r.data_type = NIB_DTYPE_STRING, r.string_data = a->strings, count = (int64_t)a->strings.count;
    } else {
        NIB_FAIL(l->err, NIB_BAD_MODEL, "a Constant with the attribute '%s'", onnx_show(l, from->name));
    }
    if (count >= 0) r.dims = (onnx_int_list){&count, 1};
    return onnx_tensor_build(l, &r, out);
fail:
    return status;
}

static nib_status build_constant(onnx_loader *l, onnx_scope *s, const onnx_node *node) {
    nib_status status = NIB_OK;
    onnx_argument only = {0};
    graph_tensor tensor;
    for (size_t i = 0; i < node->attribute.count; i++) {
        onnx_argument argument;
        NIB_TRY(onnx_attribute_resolve(l, s, &node->attribute.items[i], &argument));
        if (!argument.attribute) continue;
        if (only.attribute) NIB_FAIL(l->err, NIB_BAD_MODEL, "a Constant with several values");
        only = argument;
    }
    if (!only.attribute || node->input.count != 0 || node->output.count != 1 || node->output.items[0].size == 0)
        NIB_FAIL(l->err, NIB_BAD_MODEL, "a Constant has one attribute, no inputs and one output");
    NIB_TRY(constant_tensor(l, &only, &tensor));
    NIB_TRY(onnx_define_constant(l, s, node->output.items[0], &tensor));
fail:
    return status;
}

nib_status onnx_build_metadata(onnx_loader *l, onnx_bytes doc, const onnx_entry_list *metadata, const graph_metadata **out) {
    *out = NULL;
    if (!doc.size && !metadata->count) return NIB_OK;
    graph_metadata *w = base_arena_calloc(l->g->arena, 1, sizeof *w);
    graph_string(*props)[2] = base_arena_calloc(l->g->arena, metadata->count + 1, sizeof *props);
    if (!w || !props) return base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for metadata");
    for (size_t i = 0; i < metadata->count; i++) {
        const onnx_entry *e = &metadata->items[i];
        props[i][0] = (graph_string){(const char *)e->key.data, e->key.size};
        props[i][1] = (graph_string){(const char *)e->value.data, e->value.size};
    }
    w->doc = (graph_string){(const char *)doc.data, doc.size};
    w->props = (const graph_string(*)[2])props;
    w->n_props = metadata->count;
    *out = w;
    return NIB_OK;
}

static nib_status build_ordinary(onnx_loader *l, onnx_scope *s, const onnx_node *node, const char *op, const char *domain) {
    nib_status status = NIB_OK;
    size_t n_in = node->input.count, n_out = node->output.count, n_attrs = 0;
    graph_attr *attrs = NULL;
    const char *name = onnx_intern(l, node->name, &status);
    if (!name) goto fail;
    if (n_in > 1u << 20 || n_out > 1u << 20) NIB_FAIL(l->err, NIB_LIMIT, "a node with %zu inputs and %zu outputs", n_in, n_out);
    graph_value **inputs = base_arena_calloc(&l->scratch, n_in + n_out + 1, sizeof(*inputs)), **outputs = inputs + n_in;
    if (!inputs) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a node");
    for (size_t i = 0; i < n_in; i++) NIB_TRY(onnx_find_input(l, s, node, i, &inputs[i]));
    NIB_TRY(build_attributes(l, s, node, &attrs, &n_attrs)); /* before the outputs exist: subgraphs must not see them */
    for (size_t i = 0; i < n_out; i++) {
        if (node->output.items[i].size > 0) NIB_TRY(onnx_define(l, s, node->output.items[i], &outputs[i]));
    }
    graph_node *made = graph_add_node(s->g, NULL, domain, op, name, inputs, (int)n_in, outputs, (int)n_out);
    if (!made) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for a node");
    NIB_TRY(onnx_build_metadata(l, node->doc_string, &node->metadata, &made->metadata));
    for (size_t i = 0; i < n_attrs; i++) {
        if (graph_set_attr(made, &attrs[i]) != NIB_OK) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an attribute");
    }
fail:
    return status;
}

static nib_status build_node(onnx_loader *l, onnx_scope *s, const onnx_node *node) {
    nib_status status = NIB_OK;
    const onnx_function *function = onnx_function_of(l, node, &status);
    if (status != NIB_OK) goto fail;
    const char *op = onnx_intern(l, node->op_type, &status);
    const char *domain = op ? onnx_domain(l, node->domain, &status) : NULL;
    if (!domain) goto fail;
    if (!op[0]) NIB_FAIL(l->err, NIB_BAD_MODEL, "a node without an operator");
    if (function) {
        NIB_TRY(onnx_function_inline(l, s, node, function));
    } else if (domain[0] == 0 && strcmp(op, "Constant") == 0) {
        NIB_TRY(build_constant(l, s, node));
    } else {
        if (strcmp(domain, "nib") == 0 && !l->blobs) /* what nib's own operators are given, passes have checked */
            NIB_FAIL(l->err, NIB_UNSUPPORTED, "operators of domain nib are made by nib and are not read from files");
        if (domain[0] == 0 && graph_opset_version(l->g, "") == 0)
            NIB_FAIL(l->err, NIB_BAD_MODEL, "the model does not say which version of ai.onnx its operators are of");
        /* ONNX Runtime opens files that use its own domain without importing it, and its tools have written some. */
        if (strcmp(domain, "com.microsoft") == 0 && graph_opset_version(l->g, domain) == 0)
            NIB_TRY(graph_set_opset(l->g, domain, 1, l->err));
        NIB_TRY(build_ordinary(l, s, node, op, domain));
    }
    return NIB_OK;
fail:
    base_error_at_node(l->err, onnx_show(l, node->name.size > 0 ? node->name : node->op_type));
    base_error_at_offset(l->err, node->head.offset);
    return status;
}

nib_status onnx_build_nodes(onnx_loader *l, onnx_scope *s, const onnx_node_list *nodes) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < nodes->count; i++) NIB_TRY(build_node(l, s, &nodes->items[i]));
fail:
    return status;
}
