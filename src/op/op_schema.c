/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph that is to be a file. Out: OK, or the first node that its opset does not have in these words. Values of attributes are not
 * part of onnx's schemas; the few words that came and went with opsets are a table of their own.
 */
#include "op_schema.h"
#include "base/base_number.h"
#include "op_local.h"
#include <stdio.h>
#include <stdlib.h>

/* Words that an attribute may have: since which opset of the operator. */
static const struct {
    const char *op, *attr;
    int since;
    const char *words;
} words[] = {
    {"GridSample", "mode", 16, "bilinear nearest bicubic"},
    {"GridSample", "mode", 20, "linear nearest cubic"},
    {"Pad", "mode", 1, "constant reflect edge"},
    {"Pad", "mode", 19, "constant reflect edge wrap"},
    {"Resize", "coordinate_transformation_mode", 11,
     "half_pixel pytorch_half_pixel align_corners asymmetric tf_half_pixel_for_nn tf_crop_and_resize"},
    {"Resize", "coordinate_transformation_mode", 13, "half_pixel pytorch_half_pixel align_corners asymmetric tf_crop_and_resize"},
    {"Resize", "coordinate_transformation_mode", 19,
     "half_pixel half_pixel_symmetric pytorch_half_pixel align_corners asymmetric tf_crop_and_resize"},
    {"Resize", "mode", 10, "nearest linear"},
    {"Resize", "mode", 11, "nearest linear cubic"},
    {"ScatterElements", "reduction", 16, "none add mul"},
    {"ScatterElements", "reduction", 18, "none add mul max min"},
    {"ScatterND", "reduction", 16, "none add mul"},
    {"ScatterND", "reduction", 18, "none add mul max min"},
    {"Upsample", "mode", 7, "nearest linear"},
};

const op_schema *op_schema_find(const char *name, int opset) {
    size_t low = 0, high = op_schema_count;
    while (low < high) { /* the first row behind (name, opset) */
        size_t middle = low + (high - low) / 2;
        int order = strcmp(op_schema_rows[middle].name, name);
        if (order < 0 || (order == 0 && op_schema_rows[middle].since <= opset)) low = middle + 1;
        else high = middle;
    }
    return low > 0 && strcmp(op_schema_rows[low - 1].name, name) == 0 ? &op_schema_rows[low - 1] : NULL;
}

const char *op_schema_attr(const op_schema *s, const char *name) {
    size_t n = strlen(name);
    for (const char *p = s->attrs; *p; p += strcspn(p, ","), p += *p == ',') {
        const char *at = p + (*p == '!');
        if (strncmp(at, name, n) == 0 && at[n] == '=') return at;
    }
    return NULL;
}

bool op_schema_is_default(const op_schema *s, const graph_attr *a) {
    const char *row = op_schema_attr(s, a->name), *value = row ? strchr(row, '=') + 2 : "";
    size_t n = strcspn(value, ",");
    if (n == 0) return false;
    if (a->kind == GRAPH_ATTR_INT) return strtoll(value, NULL, 10) == a->u.i;
    return a->kind == GRAPH_ATTR_STRING && a->u.s.length == n && memcmp(a->u.s.data, value, n) == 0;
}

typedef struct checking {
    const graph_node *n;
    const op_schema *s;
    int opset;
    nib_error *err;
    uint64_t seen[26]; /* by letter: the type of what has it */
} checking;

static nib_status wrong(const checking *c, const char *format, ...) BASE_PRINTF(2, 3);
static nib_status wrong(const checking *c, const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    base_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    base_error_set(c->err, NIB_UNSUPPORTED, "%s in opset %d: %s", c->n->op, c->opset, text);
    base_error_at_node(c->err, op_name(c->n));
    return NIB_UNSUPPORTED;
}

static bool has_word(const char *list, graph_string word) {
    for (const char *p = list; *p; p += strcspn(p, " "), p += *p == ' ')
        if (strcspn(p, " ") == word.length && memcmp(p, word.data, word.length) == 0) return true;
    return false;
}

static nib_status check_attrs(const checking *c) {
    static const char kinds[] = " fistgFISTG  p";
    for (int i = 0; i < c->n->n_attrs; i++) {
        const graph_attr *a = &c->n->attrs[i];
        const char *row = op_schema_attr(c->s, a->name), *allowed = NULL;
        if (!row) return wrong(c, "it has no attribute %s", a->name);
        char kind = strchr(row, '=')[1];
        if (kind != kinds[a->kind]) return wrong(c, "attribute %s is of another kind", a->name);
        for (size_t k = 0; k < BASE_COUNT(words) && a->kind == GRAPH_ATTR_STRING; k++)
            if (words[k].since <= c->opset && strcmp(words[k].op, c->n->op) == 0 && strcmp(words[k].attr, a->name) == 0)
                allowed = words[k].words;
        if (allowed && !has_word(allowed, a->u.s))
            return wrong(c, "attribute %s may be %s, and is %.*s", a->name, allowed, (int)a->u.s.length, a->u.s.data);
    }
    for (const char *p = c->s->attrs; *p; p += strcspn(p, ","), p += *p == ',') {
        char name[80];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p + 1, "="), p + 1);
        if (*p == '!' && !graph_find_attr(c->n, name)) return wrong(c, "attribute %s is missing", name);
    }
    return NIB_OK;
}

static uint64_t type_bit(const graph_value *v) {
    static const int first[] = {[GRAPH_KIND_TENSOR] = 0, [GRAPH_KIND_SEQUENCE] = 27, [GRAPH_KIND_OPTIONAL] = 44};
    const graph_type *t = &v->type;
    if (t->kind == GRAPH_KIND_MAP || t->dtype == NIB_DTYPE_UNDEFINED || (t->kind != GRAPH_KIND_TENSOR && t->dtype > NIB_DTYPE_BF16))
        return 0; /* not known */
    return (uint64_t)1 << (first[t->kind] + (int)t->dtype);
}

static uint64_t set_of(const op_schema *s, char letter) {
    const char *p = strchr(s->types, ' ');
    while (p && p[1] != letter) p = strchr(p + 1, ' ');
    char digits[3] = {p ? p[2] : '0', p ? p[3] : '0', 0};
    return op_schema_sets[strtol(digits, NULL, 16)];
}

/* One side: formal parameters from `p` on, values [n]. */
static nib_status check_side(checking *c, const char *p, const char *what, graph_value *const *values, const graph_use *uses, int n) {
    for (int i = 0; i < n; i++) {
        const graph_value *v = values ? values[i] : uses[i].value;
        char letter = *p;
        bool optional = p[0] && p[1] == '?', mixed = p[0] && p[1] == '*';
        const char *next = p + 1 + (optional || mixed);
        if (*next && *next != '>' && *next != ' ') p = next; /* the last one stands for all that follow */
        if (!v && !optional && uses) return wrong(c, "input %d is left out", i);
        uint64_t bit = v && letter >= 'a' && letter <= 'z' ? type_bit(v) : 0;
        if (!bit) continue;
        if (!(set_of(c->s, letter) & bit)) return wrong(c, "%s %d may not be %s", what, i, nib_dtype_name(v->type.dtype));
        uint64_t *seen = &c->seen[letter - 'a'];
        if (!mixed && *seen && *seen != bit) return wrong(c, "%s %d is %s, and others are not", what, i, nib_dtype_name(v->type.dtype));
        *seen = bit;
    }
    return NIB_OK;
}

static nib_status check_node(const graph_node *n, int opset, nib_error *err) {
    checking c = {.n = n, .s = op_schema_find(n->op, opset), .opset = opset, .err = err};
    if (!c.s) return wrong(&c, "there is no such operator");
    if (c.s->deprecated) return wrong(&c, "it is deprecated");
    if (n->n_inputs < c.s->min_in || (c.s->max_in != OP_SCHEMA_ANY && n->n_inputs > c.s->max_in))
        return wrong(&c, "%d inputs", n->n_inputs);
    if (n->n_outputs < c.s->min_out || (c.s->max_out != OP_SCHEMA_ANY && n->n_outputs > c.s->max_out))
        return wrong(&c, "%d outputs", n->n_outputs);
    OP_TRY(check_attrs(&c));
    OP_TRY(check_side(&c, c.s->types, "input", NULL, n->inputs, n->n_inputs));
    return check_side(&c, strchr(c.s->types, '>') + 1, "output", n->outputs, NULL, n->n_outputs);
}

/* ONNX Runtime registers these in ai.onnx's domain, whatever the opset. */
static bool is_of_runtime(const graph_node *n) {
    return strcmp(n->op, "SimplifiedLayerNormalization") == 0 || (strcmp(n->op, "LayerNormalization") == 0 && n->n_inputs > 1);
}

nib_status op_schema_check(const graph *g, bool onnxruntime, nib_error *err) {
    int opset = graph_opset_version(g, "");
    for (const graph_node *n = g->first; n; n = n->next) {
        if (!n->domain[0] && !(onnxruntime && is_of_runtime(n))) OP_TRY(check_node(n, opset, err));
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) OP_TRY(op_schema_check(b.body, onnxruntime, err));
    }
    return NIB_OK;
}
