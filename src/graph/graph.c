/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph's bookkeeping: names, values, nodes, use lists. In: calls of doors and passes. Out: a graph on which
 * graph_verify holds after each of them, except that a node's outputs may be unused.
 */
#include "graph.h"
#include <limits.h>
#include <string.h>

/* Interned strings and, per graph, the value of each name: two open-addressing hash tables. */
typedef struct interned {
    uint64_t hash;
    size_t length;
    const char *text;
} interned;

typedef struct graph_strings {
    interned *slots;
    size_t count, capacity;
} graph_strings;

struct graph_names {
    graph_strings *strings; /* shared with subgraphs */
    graph_value **slots;    /* by name pointer */
    size_t count, capacity;
};

static uint64_t hash_bytes(const char *text, size_t n) {
    uint64_t h = 1469598103934665603ull;
    for (size_t i = 0; i < n; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211ull;
    return h ^ (h >> 29);
}

static uint64_t hash_pointer(const void *p) {
    uint64_t h = (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15ull;
    return h ^ (h >> 32);
}

const char *graph_intern(graph *g, const char *text, size_t length) {
    graph_strings *t = g->names->strings;
    if (t->count * 2 >= t->capacity) {
        size_t capacity = t->capacity ? t->capacity * 2 : 256;
        interned *slots = base_arena_calloc(g->arena, capacity, sizeof *slots);
        if (!slots) return NULL;
        for (size_t i = 0; i < t->capacity; i++) {
            if (!t->slots[i].text) continue;
            size_t at = t->slots[i].hash & (capacity - 1);
            while (slots[at].text) at = (at + 1) & (capacity - 1);
            slots[at] = t->slots[i];
        }
        t->slots = slots;
        t->capacity = capacity;
    }
    uint64_t hash = hash_bytes(text, length);
    size_t at = hash & (t->capacity - 1);
    for (; t->slots[at].text; at = (at + 1) & (t->capacity - 1)) {
        const interned *s = &t->slots[at];
        if (s->hash == hash && s->length == length && memcmp(s->text, text, length) == 0) return s->text;
    }
    char *copy = base_arena_strndup(g->arena, text, length);
    if (!copy) return NULL;
    t->slots[at] = (interned){hash, length, copy};
    t->count++;
    return copy;
}

static graph_value **name_slot(const struct graph_names *names, const char *name) {
    size_t at = hash_pointer(name) & (names->capacity - 1);
    while (names->slots[at] && names->slots[at]->name != name) at = (at + 1) & (names->capacity - 1);
    return &names->slots[at];
}

static bool register_name(graph *g, graph_value *v) {
    struct graph_names *names = g->names;
    if ((names->count + 1) * 2 > names->capacity) {
        size_t old = names->capacity, capacity = old ? old * 2 : 64;
        graph_value **from = names->slots, **slots = base_arena_calloc(g->arena, capacity, sizeof *slots);
        if (!slots) return false;
        names->slots = slots;
        names->capacity = capacity;
        for (size_t i = 0; i < old; i++)
            if (from[i]) *name_slot(names, from[i]->name) = from[i];
    }
    *name_slot(names, v->name) = v;
    names->count++;
    return true;
}

graph_value *graph_find_value(const graph *g, const char *name) {
    graph_strings *t = g->names->strings;
    size_t length = strlen(name);
    if (!t->capacity || !g->names->capacity) return NULL;
    uint64_t hash = hash_bytes(name, length);
    for (size_t at = hash & (t->capacity - 1); t->slots[at].text; at = (at + 1) & (t->capacity - 1)) {
        const interned *s = &t->slots[at];
        if (s->hash == hash && s->length == length && memcmp(s->text, name, length) == 0) return *name_slot(g->names, s->text);
    }
    return NULL;
}

static graph *new_graph(base_arena *arena, graph_strings *strings) {
    graph *g = base_arena_calloc(arena, 1, sizeof *g);
    if (!g || !(g->names = base_arena_calloc(arena, 1, sizeof *g->names))) return NULL;
    g->heap = arena->heap;
    g->arena = arena;
    g->names->strings = strings ? strings : base_arena_calloc(arena, 1, sizeof *strings);
    g->name = "";
    g->producer = "";
    return g->names->strings ? g : NULL;
}

nib_status graph_create(base_heap *heap, graph **out, nib_error *err) {
    *out = NULL;
    base_arena *arena = base_alloc(heap, sizeof *arena);
    if (!arena) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    base_arena_init(arena, heap);
    graph *g = new_graph(arena, NULL);
    if (g) g->symbols = graph_symtab_create(arena);
    if (!g || !g->symbols) {
        base_arena_free(arena);
        base_free(heap, arena);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    }
    *out = g;
    return NIB_OK;
}

nib_status graph_create_sub(graph *parent, graph **out, nib_error *err) {
    *out = NULL;
    int most = parent->heap->limits.graph_depth;
    if (parent->depth + 1 > most) return base_error_set(err, NIB_LIMIT, "graphs are nested deeper than %d", most);
    graph *g = new_graph(parent->arena, parent->names->strings);
    if (!g) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    g->parent = parent;
    g->depth = parent->depth + 1;
    g->symbols = parent->symbols;
    g->ir_version = parent->ir_version;
    *out = g;
    return NIB_OK;
}

void graph_free(graph *g) {
    if (!g || g->parent) return;
    for (int i = 0; i < g->n_files; i++) base_file_close(&g->files[i]);
    base_arena *arena = g->arena;
    base_heap *heap = g->heap;
    base_arena_free(arena);
    base_free(heap, arena);
}

/* Grows an array in the arena: the old one is left behind, which doubling keeps below the final size. */
static bool arena_grow(base_arena *arena, void *array, int *capacity, int need, size_t element) {
    if (need <= *capacity) return true;
    if (*capacity > INT_MAX / 2) return false;
    int want = *capacity ? *capacity * 2 : 8;
    void *fresh = base_arena_alloc(arena, (size_t)want * element), **at = array;
    if (!fresh) return false;
    if (*capacity) memcpy(fresh, *at, (size_t)*capacity * element);
    *at = fresh;
    *capacity = want;
    return true;
}

nib_status graph_set_opset(graph *g, const char *domain, int version, nib_error *err) {
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (int i = 0; i < g->n_opsets; i++)
        if (strcmp(g->opsets[i].domain, domain) == 0) return g->opsets[i].version = version, NIB_OK;
    graph_opset *fresh = base_arena_alloc(g->arena, (size_t)(g->n_opsets + 1) * sizeof *fresh);
    const char *name = graph_intern(g, domain, strlen(domain));
    if (!fresh || !name) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    if (g->n_opsets) memcpy(fresh, g->opsets, (size_t)g->n_opsets * sizeof *fresh);
    fresh[g->n_opsets] = (graph_opset){name, version};
    g->opsets = fresh;
    g->n_opsets++;
    return NIB_OK;
}

int graph_opset_version(const graph *g, const char *domain) {
    if (strcmp(domain, "nib") == 0) return 1;
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    while (g->parent) g = g->parent;
    for (int i = 0; i < g->n_opsets; i++)
        if (strcmp(g->opsets[i].domain, domain) == 0) return g->opsets[i].version;
    return 0;
}

bool graph_next_body(graph_bodies *b) {
    for (; b->attr < b->node->n_attrs; b->attr++, b->at = 0) {
        const graph_attr *a = &b->node->attrs[b->attr];
        const size_t count = a->kind == GRAPH_ATTR_GRAPH ? a->u.graph != NULL : a->kind == GRAPH_ATTR_GRAPHS ? a->count : 0;
        if (b->at == count) continue;
        b->body = a->kind == GRAPH_ATTR_GRAPH ? a->u.graph : a->u.graphs[b->at];
        b->at++;
        return true;
    }
    return false;
}

bool graph_has_bodies(const graph_node *n) { return graph_next_body(&(graph_bodies){.node = n}); }

bool graph_uses_domain(const graph *g, const char *domain) {
    for (const graph_node *n = g->first; n; n = n->next) {
        if (strcmp(n->domain, domain) == 0) return true;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);)
            if (graph_uses_domain(b.body, domain)) return true;
    }
    return false;
}

nib_status graph_take_file(graph *g, base_file *file, nib_error *err) {
    while (g->parent) g = g->parent;
    base_file *fresh = base_arena_alloc(g->arena, (size_t)(g->n_files + 1) * sizeof *fresh);
    if (!fresh) {
        base_file_close(file);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    }
    if (g->n_files) memcpy(fresh, g->files, (size_t)g->n_files * sizeof *fresh);
    fresh[g->n_files++] = *file;
    g->files = fresh;
    memset(file, 0, sizeof *file);
    return NIB_OK;
}

static bool name_taken(const graph *g, const char *name) {
    for (; g; g = g->parent)
        if (graph_find_value(g, name)) return true;
    return false;
}

graph_value *graph_add_value(graph *g, const char *name) {
    const char *wanted = name && *name ? name : "v";
    const char *text = name && *name && !name_taken(g, name) ? name : NULL;
    for (int i = g->value_limit; !text; i++) {
        text = base_arena_printf(g->arena, "%s_%d", wanted, i);
        if (!text) return NULL;
        if (name_taken(g, text)) text = NULL;
    }
    return graph_add_named(g, text);
}

graph_value *graph_add_named(graph *g, const char *name) {
    graph_value *v = base_arena_calloc(g->arena, 1, sizeof *v);
    if (!v || !(v->name = graph_intern(g, name, strlen(name)))) return NULL;
    v->type.rank = -1;
    v->owner = g;
    v->id = g->value_limit;
    if (!register_name(g, v)) return NULL;
    g->value_limit++;
    return v;
}

static nib_status add_to(graph *g, graph_value ***list, int *count, int *capacity, graph_value *v) {
    if (!arena_grow(g->arena, list, capacity, *count + 1, sizeof **list)) return NIB_OUT_OF_MEMORY;
    (*list)[(*count)++] = v;
    return NIB_OK;
}

nib_status graph_add_input(graph *g, graph_value *v) {
    v->is_input = true;
    return add_to(g, &g->inputs, &g->n_inputs, &g->cap_inputs, v);
}

nib_status graph_add_output(graph *g, graph_value *v) {
    v->is_output = true;
    return add_to(g, &g->outputs, &g->n_outputs, &g->cap_outputs, v);
}

size_t graph_type_bytes(nib_dtype dtype, size_t elements) {
    size_t bits;
    if (dtype == NIB_DTYPE_STRING) return base_mul_size(elements, sizeof(graph_string), &bits) ? bits : SIZE_MAX;
    if (dtype == NIB_DTYPE_SEQUENCE || dtype == NIB_DTYPE_OPTIONAL)
        return base_mul_size(elements, sizeof(graph_tensor), &bits) ? bits : SIZE_MAX;
    if (!base_mul_size(elements, (size_t)nib_dtype_bits(dtype), &bits) || bits > SIZE_MAX - 7) return SIZE_MAX;
    return (bits + 7) / 8;
}

int64_t graph_tensor_elements(const graph_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0 || !base_mul_i64(n, t->dims[i], &n)) return -1;
    return n;
}

const void *graph_tensor_aligned(base_arena *arena, const graph_tensor *t) {
    size_t bits = (size_t)nib_dtype_bits(t->dtype), align = bits ? bits / 8 : sizeof(void *); /* strings hold pointers */
    if (align > 8) align = 8;
    if (align <= 1 || (uintptr_t)t->data % align == 0) return t->data ? t->data : (const void *)"";
    void *copy = base_arena_alloc(arena, t->bytes);
    return copy ? memcpy(copy, t->data, t->bytes) : NULL;
}

bool graph_align_constants(graph *g) {
    for (int i = 0; i < g->n_constants; i++) {
        graph_tensor *t = g->constants[i]->constant;
        const void *aligned = g->constants[i]->packed ? t->data : graph_tensor_aligned(g->arena, t);
        if (!aligned && t->data) return false;
        t->data = (void *)(uintptr_t)aligned;
    }
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) {
        graph_tensor *t = g->inputs[i]->preset;
        const void *aligned = graph_tensor_aligned(g->arena, t);
        if (!aligned) return false;
        t->data = (void *)(uintptr_t)aligned;
    }
    for (const graph_node *n = g->first; n; n = n->next)
        for (graph_bodies b = {.node = n}; graph_next_body(&b);)
            if (!graph_align_constants(b.body)) return false;
    return true;
}

/* What is known of a constant's elements, as expressions: small integer vectors and scalars. */
static void note_data(graph *g, graph_value *v) {
    const graph_tensor *t = v->constant;
    int64_t n = graph_tensor_elements(t);
    size_t width = (size_t)nib_dtype_bits(t->dtype) / 8;
    if (t->rank > 1 || n < 0 || n > GRAPH_MAX_DATA ||
        (t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32 && t->dtype != NIB_DTYPE_BOOL))
        return;
    v->data = base_arena_calloc(g->arena, n ? (size_t)n : 1, sizeof *v->data);
    if (!v->data) return;
    v->data_count = (int)n;
    for (int i = 0; i < (int)n; i++) {
        const char *at = (const char *)t->data + (size_t)i * width;
        int64_t wide = 0;
        int32_t narrow = 0;
        if (t->dtype == NIB_DTYPE_I64) memcpy(&wide, at, 8);
        else if (t->dtype == NIB_DTYPE_I32) memcpy(&narrow, at, 4), wide = narrow;
        else wide = *at != 0;
        v->data[i] = graph_dim_const(g->symbols, wide);
    }
}

nib_status graph_make_constant(graph *g, graph_value *v, graph_tensor *t) {
    v->constant = t;
    v->type.dtype = t->dtype;
    v->type.rank = t->rank;
    for (int i = 0; i < t->rank; i++) v->type.dims[i] = graph_dim_const(g->symbols, t->dims[i]);
    note_data(g, v);
    return add_to(g, &g->constants, &g->n_constants, &g->cap_constants, v);
}

graph_value *graph_add_constant(graph *g, const char *name, const graph_tensor *tensor, bool copy) {
    graph_value *v = graph_add_value(g, name);
    graph_tensor *t = v ? base_arena_alloc(g->arena, sizeof *t) : NULL;
    if (!t) return NULL;
    *t = *tensor;
    if (copy) {
        t->data = base_arena_alloc(g->arena, tensor->bytes);
        if (!t->data) return NULL;
        if (tensor->bytes) memcpy(t->data, tensor->data, tensor->bytes);
    }
    return graph_make_constant(g, v, t) == NIB_OK ? v : NULL;
}

graph_value *graph_const_i64(graph *g, const char *name, const int64_t *values, int64_t count) {
    int64_t n = count < 0 ? 1 : count;
    graph_tensor t = {.dtype = NIB_DTYPE_I64, .rank = count >= 0, .dims = {n}, .data = (void *)(uintptr_t)values, .bytes = (size_t)n * 8};
    return graph_add_constant(g, name, &t, true);
}

graph_value *graph_const_f32(graph *g, const char *name, float value) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .data = &value, .bytes = 4};
    return graph_add_constant(g, name, &t, true);
}

static void link_use(graph_use *u, graph_value *v) {
    u->value = v;
    u->prev = NULL;
    u->next = NULL;
    if (!v) return;
    u->next = v->uses;
    if (v->uses) v->uses->prev = u;
    v->uses = u;
    v->use_count++;
}

static void unlink_use(graph_use *u) {
    if (!u->value) return;
    if (u->prev) u->prev->next = u->next;
    else u->value->uses = u->next;
    if (u->next) u->next->prev = u->prev;
    u->value->use_count--;
    u->value = NULL;
}

static void insert(graph *g, graph_node *n, graph_node *before) {
    n->next = before;
    n->prev = before ? before->prev : g->last;
    if (n->prev) n->prev->next = n;
    else g->first = n;
    if (before) before->prev = n;
    else g->last = n;
}

static void take_out(graph *g, graph_node *n) {
    if (n->prev) n->prev->next = n->next;
    else g->first = n->next;
    if (n->next) n->next->prev = n->prev;
    else g->last = n->prev;
}

graph_node *graph_add_node(graph *g, graph_node *before, const char *domain, const char *op, const char *name, graph_value *const *inputs,
                           int n_inputs, graph_value *const *outputs, int n_outputs) {
    graph_node *n = base_arena_calloc(g->arena, 1, sizeof *n);
    if (!n) return NULL;
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    n->domain = graph_intern(g, domain, strlen(domain));
    n->op = graph_intern(g, op, strlen(op));
    n->name = graph_intern(g, name ? name : "", name ? strlen(name) : 0);
    n->inputs = base_arena_calloc(g->arena, n_inputs ? (size_t)n_inputs : 1, sizeof *n->inputs);
    n->outputs = base_arena_calloc(g->arena, n_outputs ? (size_t)n_outputs : 1, sizeof *n->outputs);
    if (!n->domain || !n->op || !n->name || !n->inputs || !n->outputs) return NULL;
    n->owner = g;
    n->id = g->node_limit++;
    n->n_inputs = n_inputs;
    n->n_outputs = n_outputs;
    for (int i = 0; i < n_inputs; i++) {
        n->inputs[i].node = n;
        n->inputs[i].index = i;
        link_use(&n->inputs[i], inputs[i]);
    }
    for (int i = 0; i < n_outputs; i++) {
        n->outputs[i] = outputs[i];
        if (!outputs[i]) continue;
        outputs[i]->producer = n;
        outputs[i]->producer_index = i;
    }
    insert(g, n, before);
    g->node_count++;
    return n;
}

graph_value *graph_emit(graph *g, graph_node *before, const char *domain, const char *op, graph_value *const *inputs, int n_inputs,
                        const char *output_name) {
    graph_value *out = graph_add_value(g, output_name);
    if (!out || !graph_add_node(g, before, domain, op, out->name, inputs, n_inputs, &out, 1)) return NULL;
    return out;
}

nib_status graph_append_input(graph_node *n, graph_value *v, nib_error *err) {
    graph_use *fresh = base_arena_calloc(n->owner->arena, (size_t)n->n_inputs + 1, sizeof *fresh);
    if (!fresh) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    for (int i = 0; i <= n->n_inputs; i++) {
        graph_value *value = i < n->n_inputs ? n->inputs[i].value : v;
        if (i < n->n_inputs) unlink_use(&n->inputs[i]);
        fresh[i].node = n;
        fresh[i].index = i;
        link_use(&fresh[i], value);
    }
    n->inputs = fresh;
    n->n_inputs++;
    return NIB_OK;
}

void graph_set_input(graph_node *n, int index, graph_value *v) {
    unlink_use(&n->inputs[index]);
    link_use(&n->inputs[index], v);
}

/* The two values trade names, so that an output of the graph keeps its own. */
static void swap_names(graph *g, graph_value *a, graph_value *b) {
    graph_value **slot_a = name_slot(g->names, a->name), **slot_b = name_slot(g->names, b->name);
    const char *name = a->name;
    a->name = b->name;
    b->name = name;
    *slot_a = b;
    *slot_b = a;
}

void graph_replace_uses(graph *g, graph_value *old, graph_value *with) {
    if (old == with) return;
    while (old->uses) {
        graph_use *u = old->uses;
        unlink_use(u);
        link_use(u, with);
    }
    if (!old->is_output) return;
    /* An input, another output, or an outer value keeps its own name: then this output stays the value it was. */
    if (with->is_input || with->is_output || with->owner != g) return;
    bool listed = false; /* else it is a subgraph's output, which finds it by being that value */
    for (int i = 0; i < g->n_outputs; i++) {
        if (g->outputs[i] != old) continue;
        g->outputs[i] = with;
        listed = true;
    }
    if (!listed) return;
    swap_names(g, old, with);
    old->is_output = false;
    with->is_output = true;
}

void graph_take_over(graph *g, graph_value *old, graph_value *with) {
    bool fresh = !with->uses && !with->is_output && with->producer && with->producer->owner == g && old->owner == g;
    bool output = old->is_output;
    for (int i = 0; fresh && old->type.rank == with->type.rank && i < old->type.rank; i++) /* what was known of it is still known */
        if (!with->type.dims[i]) with->type.dims[i] = old->type.dims[i];
    graph_replace_uses(g, old, with);
    if (fresh && !output && !old->is_input && !old->constant) swap_names(g, old, with);
}

static bool rename_value(graph *g, graph_value *v, const char *const *names) {
    v->name = names[v->id];
    return register_name(g, v);
}

bool graph_rename(graph *g, const char *const *names) {
    bool ok = true;
    if (g->names->slots) memset(g->names->slots, 0, g->names->capacity * sizeof *g->names->slots);
    g->names->count = 0;
    for (int i = 0; i < g->n_inputs; i++) ok &= rename_value(g, g->inputs[i], names);
    for (int i = 0; i < g->n_constants; i++) ok &= rename_value(g, g->constants[i], names);
    for (graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) ok &= rename_value(g, n->outputs[i], names);
    return ok;
}

/* What the node's bodies read is read no more. */
static void unlink_bodies(graph_node *n) {
    for (graph_bodies b = {.node = n}; graph_next_body(&b);)
        for (graph_node *m = b.body->first; m; m = m->next) {
            for (int j = 0; j < m->n_inputs; j++) unlink_use(&m->inputs[j]);
            unlink_bodies(m);
        }
}

void graph_remove_node(graph *g, graph_node *n) {
    unlink_bodies(n);
    for (int i = 0; i < n->n_inputs; i++) unlink_use(&n->inputs[i]);
    for (int i = 0; i < n->n_outputs; i++)
        if (n->outputs[i] && n->outputs[i]->producer == n) n->outputs[i]->producer = NULL;
    take_out(g, n);
    g->node_count--;
}

void graph_move_before(graph_node *n, graph_node *before) {
    if (n == before) return;
    take_out(n->owner, n);
    insert(n->owner, n, before);
}

static void captures_of(const graph *g, int depth, void (*fn)(void *user, graph_value *v), void *user) {
    for (const graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value && n->inputs[i].value->owner->depth <= depth) fn(user, n->inputs[i].value);
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) captures_of(b.body, depth, fn, user);
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i]->owner->depth <= depth) fn(user, g->outputs[i]);
}

void graph_each_capture(const graph_node *n, void (*fn)(void *user, graph_value *v), void *user) {
    for (graph_bodies b = {.node = n}; graph_next_body(&b);) captures_of(b.body, n->owner->depth, fn, user);
}

bool graph_is_op(const graph_node *n, const char *domain, const char *op) {
    return n && (n->meaning || !n->owner || !n->owner->resolved) && strcmp(n->op, op) == 0 && strcmp(n->domain, domain) == 0;
}
