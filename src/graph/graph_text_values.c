/* SPDX-License-Identifier: Apache-2.0
 *
 * ONNX's textual syntax -> tensors and attributes.
 *
 * Memory is taken only for values that the text can hold: one needs two characters at least, its own and a comma.
 */
#include "graph_text_parse.h"
#include <string.h>

/* ---------------------------------------------------------------- tensors */

static nib_status parse_element(text_parser *t, graph_text_class class, size_t width, uint8_t *to) {
    nib_status status = NIB_OK;
    literal v;
    NIB_TRY(lex_value(&t->lex, &v));
    if (class == GRAPH_TEXT_STRING) {
        if (v.kind != LITERAL_STRING) return lex_fail(&t->lex, "expected a string");
        graph_string s = {base_arena_strndup(t->root->arena, v.text, v.length), v.length};
        if (!s.data) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        memcpy(to, &s, sizeof(s));
    } else if (class == GRAPH_TEXT_F32) {
        float f;
        NIB_TRY(lex_f32(&t->lex, &v, &f));
        memcpy(to, &f, sizeof(f));
    } else if (class == GRAPH_TEXT_F64) {
        double d;
        NIB_TRY(lex_f64(&t->lex, &v, &d));
        memcpy(to, &d, sizeof(d));
    } else {
        uint64_t bits;
        int64_t signed_bits;
        if (v.text[0] == '-') {
            NIB_TRY(lex_int(&t->lex, &v, &signed_bits));
            bits = (uint64_t)signed_bits;
        } else {
            NIB_TRY(lex_uint(&t->lex, &v, &bits));
        }
        for (size_t i = 0; i < width; i++) to[i] = (uint8_t)(bits >> (8 * i));
    }
fail:
    return status;
}

nib_status text_parse_data(text_parser *t, const graph_type *type, graph_tensor *out) {
    nib_status status = NIB_OK;
    size_t width, count = 0;
    graph_text_class class = graph_text_class_of(type->dtype, &width);
    memset(out, 0, sizeof(*out));
    if (type->kind != GRAPH_KIND_TENSOR || !graph_text_dtype(type->dtype) || type->rank < 0)
        return lex_fail(&t->lex, "data needs a tensor's type with a shape");
    out->dtype = type->dtype;
    out->rank = type->rank;
    for (int i = 0; i < type->rank; i++) {
        if (!graph_dim_is_const(type->dims[i], &out->dims[i])) return lex_fail(&t->lex, "data needs a shape of numbers");
    }
    int64_t elements = graph_tensor_elements(out);
    out->bytes = elements < 0 ? SIZE_MAX : graph_type_bytes(out->dtype, (size_t)elements);
    if (out->bytes / width > (size_t)(t->lex.end - t->lex.p)) return lex_fail(&t->lex, "fewer values than the shape needs");
    uint8_t *data = base_arena_alloc(t->root->arena, out->bytes);
    if (!data) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    out->data = data;
    NIB_TRY(lex_expect(&t->lex, '{'));
    if (!lex_accept(&t->lex, '}')) {
        do {
            if ((count + 1) * width > out->bytes) return lex_fail(&t->lex, "more values than the shape needs");
            NIB_TRY(parse_element(t, class, width, data + count * width));
            count++;
        } while (lex_accept(&t->lex, ','));
        NIB_TRY(lex_expect(&t->lex, '}'));
    }
    if (count * width != out->bytes) return lex_fail(&t->lex, "fewer values than the shape needs");
fail:
    return status;
}

/* ---------------------------------------------------------------- attributes */

/* One value of an attribute; its kind is known from `expected` or from how it begins. */
static nib_status parse_tensor_or_type(text_parser *t, graph_attr *out) {
    nib_status status = NIB_OK;
    graph_type type;
    const char *word;
    literal name;
    NIB_TRY(text_parse_type(t, &type));
    char next = lex_peek(&t->lex);
    if (next != '{' && next != '=' && next != '"' && lex_peek_word(&t->lex, &word) == 0) {
        out->kind = GRAPH_ATTR_TYPE;
        out->u.type = base_arena_alloc(t->root->arena, sizeof(type));
        if (!out->u.type) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        *out->u.type = type;
        return NIB_OK;
    }
    if (next != '{' && next != '=') NIB_TRY(lex_name(&t->lex, &name)); /* a tensor's own name means nothing here */
    lex_accept(&t->lex, '=');
    out->kind = GRAPH_ATTR_TENSOR;
    out->u.tensor = base_arena_alloc(t->root->arena, sizeof(*out->u.tensor));
    if (!out->u.tensor) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    NIB_TRY(text_parse_data(t, &type, out->u.tensor));
fail:
    return status;
}

static bool is_special_float(text_parser *t) {
    static const char *const words[] = {"nan", "inf", "infinity", "NaN", "Inf", "NAN", "INF"};
    const char *word;
    size_t n = lex_peek_word(&t->lex, &word);
    for (size_t i = 0; i < BASE_COUNT(words); i++) {
        if (n == strlen(words[i]) && memcmp(word, words[i], n) == 0) return true;
    }
    return false;
}

static nib_status parse_reference(text_parser *t, graph_attr *out) {
    nib_status status = NIB_OK;
    literal v;
    NIB_TRY(lex_name(&t->lex, &v));
    out->ref = graph_intern(t->root, v.text, v.length);
    if (out->kind == GRAPH_ATTR_STRING) out->u.s.data = "";
    if (!out->ref) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
fail:
    return status;
}

static nib_status parse_item(text_parser *t, graph *g, graph_attr_kind expected, graph_attr *out) {
    nib_status status = NIB_OK;
    literal v;
    const char *word;
    out->kind = expected;
    if (lex_accept(&t->lex, '@')) return parse_reference(t, out);
    if (lex_peek_word(&t->lex, &word) > 0 && !is_special_float(t)) {
        if (text_next_is_type(t)) return parse_tensor_or_type(t, out);
        out->kind = GRAPH_ATTR_GRAPH;
        NIB_TRY(graph_create_sub(g, &out->u.graph, t->lex.err));
        return text_parse_graph(t, out->u.graph);
    }
    NIB_TRY(lex_value(&t->lex, &v));
    if (v.kind == LITERAL_STRING) {
        out->kind = GRAPH_ATTR_STRING;
        out->u.s = (graph_string){v.text, v.length};
    } else if (v.kind == LITERAL_FLOAT || expected == GRAPH_ATTR_FLOAT) {
        out->kind = GRAPH_ATTR_FLOAT;
        NIB_TRY(lex_f32(&t->lex, &v, &out->u.f));
    } else {
        out->kind = GRAPH_ATTR_INT;
        NIB_TRY(lex_int(&t->lex, &v, &out->u.i));
    }
fail:
    return status;
}

static const struct {
    uint8_t one, list;
    uint8_t size; /* of an item in the list's array */
} lists[] = {
    {GRAPH_ATTR_FLOAT, GRAPH_ATTR_FLOATS, sizeof(float)},          {GRAPH_ATTR_INT, GRAPH_ATTR_INTS, sizeof(int64_t)},
    {GRAPH_ATTR_STRING, GRAPH_ATTR_STRINGS, sizeof(graph_string)}, {GRAPH_ATTR_TENSOR, GRAPH_ATTR_TENSORS, sizeof(graph_tensor *)},
    {GRAPH_ATTR_GRAPH, GRAPH_ATTR_GRAPHS, sizeof(graph *)},
};

static int find_list(graph_attr_kind kind) {
    for (size_t i = 0; i < BASE_COUNT(lists); i++) {
        if (lists[i].one == kind || lists[i].list == kind) return (int)i;
    }
    return -1;
}

/* [ item, ... ], all of one kind. */
static nib_status parse_list(text_parser *t, graph *g, graph_attr *out) {
    nib_status status = NIB_OK;
    uint8_t *items = NULL;
    size_t capacity = 0;
    int which = out->kind ? find_list(out->kind) : -1;
    if (out->kind && (which < 0 || lists[which].list != out->kind)) return lex_fail(&t->lex, "a list where the kind is no list");
    if (!out->kind && lex_peek(&t->lex) == ']') return lex_fail(&t->lex, "an empty list needs its kind");
    while (!lex_accept(&t->lex, ']')) {
        graph_attr item = {0};
        NIB_TRY(parse_item(t, g, which < 0 ? (graph_attr_kind)0 : (graph_attr_kind)lists[which].one, &item));
        if (which < 0) which = find_list(item.kind);
        if (item.ref || which < 0 || lists[which].one != item.kind) NIB_TRY(lex_fail(&t->lex, "items of several kinds in a list"));
        size_t size = lists[which].size;
        if (!base_grow(t->root->heap, (void **)&items, &capacity, out->count + 1, size))
            NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
        memcpy(items + out->count++ * size, &item.u, size);
        if (!lex_accept(&t->lex, ',') && lex_peek(&t->lex) != ']') NIB_TRY(lex_fail(&t->lex, "expected ','"));
    }
    out->kind = (graph_attr_kind)lists[which].list;
    void *kept = base_arena_alloc(t->root->arena, out->count * lists[which].size);
    if (!kept) NIB_FAIL(t->lex.err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    if (out->count > 0) memcpy(kept, items, out->count * lists[which].size);
    out->u.floats = kept; /* all members of the union that are lists are one pointer */
fail:
    base_free(t->root->heap, items);
    return status;
}

nib_status text_parse_attr(text_parser *t, graph *g, graph_attr *out) {
    nib_status status = NIB_OK;
    literal name;
    memset(out, 0, sizeof(*out));
    NIB_TRY(lex_name(&t->lex, &name));
    if (name.length == 0) return lex_fail(&t->lex, "an attribute without a name");
    out->name = name.text;
    if (lex_accept(&t->lex, ':')) {
        const char *word = "";
        size_t n = lex_peek_word(&t->lex, &word);
        out->kind = graph_text_attr_kind_of(word, n);
        if (!out->kind) return lex_fail(&t->lex, "expected an attribute's kind");
        t->lex.p += n;
    }
    NIB_TRY(lex_expect(&t->lex, '='));
    if (lex_accept(&t->lex, '[')) return parse_list(t, g, out);
    graph_attr_kind expected = out->kind;
    NIB_TRY(parse_item(t, g, expected, out));
    if (!out->ref && expected && out->kind != expected) return lex_fail(&t->lex, "the value is not of the kind that is named");
fail:
    return status;
}
