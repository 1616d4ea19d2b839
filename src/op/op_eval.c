/* SPDX-License-Identifier: Apache-2.0
 *
 * Running a node's eval, and whole subgraphs at build time.
 *
 * op_eval_node is the door: what it checks of the inputs, no operator checks again. op_env keeps one tensor per value of a
 * graph; to compute a value it first marks, going backwards, the nodes that the value needs, then runs those in list order,
 * so that a long chain costs no stack.
 */
#include "op_wrap.h"
#include "base/base_stop.h"

static nib_status check_input(op_eval *c, int i) {
    const graph_tensor *t = c->in[i];
    const op *o = c->node->meaning;
    if (!t) return i < o->min_in || o->max_in == INT_MAX ? op_bad(c, NIB_BAD_MODEL, "input %d is missing", i) : NIB_OK;
    if (op_is_container(t->dtype) && (!(o->rows & OP_TAKES_LISTS) || t->rank != 1))
        return op_bad(c, NIB_TYPE, "input %d is of type %s", i, nib_dtype_name(t->dtype));
    if (t->rank < 0 || t->rank > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "input %d has rank %d", i, t->rank);
    int64_t n = op_count(t->rank, t->dims);
    size_t bytes = n < 0 ? SIZE_MAX : graph_type_bytes(t->dtype, (size_t)n);
    if (bytes == SIZE_MAX) return op_bad(c, NIB_LIMIT, "input %d is too large", i);
    if (bytes > 0 && (!t->data || bytes > t->bytes)) return op_bad(c, NIB_SHAPE, "input %d has fewer bytes than its shape says", i);
    return op_spend(c, (int64_t)(bytes / 16), 1);
}

nib_status op_eval_node(op_eval *c) {
    const op *o = c->node->meaning;
    if (!o || !o->eval) return op_bad(c, NIB_BAD_MODEL, "operator %s of domain \"%s\" cannot be computed", c->node->op, c->node->domain);
    if (c->n_in < o->min_in || c->n_in > o->max_in) return op_bad(c, NIB_BAD_MODEL, "%d inputs", c->n_in);
    if (c->node->n_outputs < 1 || (o->n_out >= 0 && c->node->n_outputs > o->n_out))
        return op_bad(c, NIB_BAD_MODEL, "%d outputs", c->node->n_outputs);
    for (int i = 0; i < c->n_in; i++) OP_TRY(check_input(c, i));
    c->raw = c->in;
    c->pending = NULL;
    c->n_pending = 0;
    c->text_left = 0;
    OP_TRY(op_unpack_inputs(c));
    OP_TRY(o->eval(c));
    return op_finish_outputs(c);
}

/* ---- environments */

typedef struct env_slot {
    const graph_value *value; /* whose tensor it is: values of an outer graph may have the same id */
    const graph_tensor *tensor;
} env_slot;

typedef struct scratch_block {
    struct scratch_block *next;
    void *memory;
} scratch_block;

typedef struct env_budget {
    size_t bytes;                    /* that may still be made */
    int64_t bodies;                  /* that may still be run */
    int64_t *spent, own_spent, most; /* work */
} env_budget;

struct op_env {
    const graph *g;
    base_arena *arena;
    const kernels *kernels;
    env_budget own, *budget; /* an inner environment spends its outer one's */
    env_slot *slots;         /* open addressing; n_slots is 0 or a power of two, at most half of them are taken */
    size_t n_slots, n_taken;
    scratch_block *scratch; /* of the node that runs */
    op_env *outer;          /* has the values of graphs around g */
    int depth;
    base_arena body; /* of the body that ran last for the node that runs */
    bool has_body;
};

op_env *op_env_create(const graph *g, base_arena *arena, size_t byte_limit, const kernels *table) {
    op_env *env = base_arena_calloc(arena, 1, sizeof *env);
    if (!env) return NULL;
    *env = (op_env){.g = g, .arena = arena, .kernels = table, .own = {byte_limit, OP_ENV_BODIES, .most = OP_ENV_WORK}};
    env->own.spent = &env->own.own_spent;
    env->budget = &env->own;
    return env;
}

void op_env_work(op_env *env, int64_t *spent, int64_t limit) {
    env->own.spent = spent;
    env->own.most = limit;
}

/* The slot of v, or the empty one where it would be; n_slots > 0. Values of an outer graph may have the same id. */
static env_slot *slot_of(env_slot *slots, size_t n_slots, const graph_value *v) {
    size_t i = (size_t)((uint32_t)v->id * 2654435761u) & (n_slots - 1);
    while (slots[i].value && slots[i].value != v) i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

/* Room for one more. An environment costs what it holds, not what its graph has: folding makes one for every node. */
static bool grow(op_env *env) {
    if (2 * (env->n_taken + 1) <= env->n_slots) return true;
    size_t n = env->n_slots ? 2 * env->n_slots : 8;
    env_slot *slots = base_arena_calloc(env->arena, n, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < env->n_slots; i++)
        if (env->slots[i].value) *slot_of(slots, n, env->slots[i].value) = env->slots[i];
    env->slots = slots;
    env->n_slots = n;
    return true;
}

static const graph_tensor *lookup(const op_env *env, const graph_value *v) {
    return env->n_slots ? slot_of(env->slots, env->n_slots, v)->tensor : NULL;
}

nib_status op_env_set(op_env *env, const graph_value *v, const graph_tensor *tensor) {
    graph_tensor *copy = base_arena_alloc(env->arena, sizeof *copy);
    if (!copy || !grow(env)) return NIB_OUT_OF_MEMORY;
    *copy = *tensor;
    env_slot *slot = slot_of(env->slots, env->n_slots, v);
    if (!slot->value) env->n_taken++;
    *slot = (env_slot){v, copy};
    return NIB_OK;
}

static bool spend(op_env *env, op_eval *c, int i, size_t bytes) {
    if (bytes > env->budget->bytes) {
        op_bad(c, NIB_LIMIT, "output %d takes %zu bytes, more than may be computed at build time", i, bytes);
        return false;
    }
    env->budget->bytes -= bytes;
    return true;
}

/* False, and no more from then on: what is left undone for want of work must not depend on what else is tried. */
static bool take_work(op_env *env, int64_t work) {
    env_budget *b = env->budget;
    bool enough = work <= b->most - *b->spent;
    *b->spent = enough ? *b->spent + work : b->most;
    return enough;
}

static nib_status env_spend(op_eval *c, int64_t work) {
    if (base_stop_wanted()) return c->status = base_stop_check(c->err);
    return take_work(c->user, work) ? NIB_OK : op_bad(c, NIB_LIMIT, "is more work than may be done at build time");
}

static void *env_hold(op_eval *c, int i, size_t bytes) {
    op_env *env = c->user;
    if (!spend(env, c, i, bytes)) return NULL;
    void *p = base_arena_alloc(env->arena, bytes);
    if (!p) op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
    return p;
}

static void *env_output(op_eval *c, int i, nib_dtype dtype, int rank, const int64_t *dims) {
    op_env *env = c->user;
    size_t bytes = graph_type_bytes(dtype, (size_t)op_count(rank, dims)); /* op_out has checked both */
    graph_tensor t = {.dtype = dtype, .rank = rank, .bytes = bytes};
    if (!spend(env, c, i, bytes)) return NULL;
    memcpy(t.dims, dims, sizeof(int64_t) * (size_t)rank);
    t.data = base_arena_alloc(env->arena, bytes > 0 ? bytes : 1);
    if (!t.data || op_env_set(env, c->node->outputs[i], &t) != NIB_OK) {
        op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
        return NULL;
    }
    return t.data;
}

static void *env_scratch(op_eval *c, size_t bytes) {
    op_env *env = c->user;
    scratch_block *block = NULL;
    if (bytes <= SIZE_MAX - BASE_ALIGN && (block = base_alloc(env->arena->heap, sizeof *block)) != NULL) {
        block->memory = base_alloc(env->arena->heap, bytes);
        block->next = env->scratch;
        env->scratch = block;
        if (block->memory) return block->memory;
    }
    op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
    return NULL;
}

static void free_scratch(op_env *env) {
    for (scratch_block *b = env->scratch, *next; b; b = next) {
        next = b->next;
        base_free(env->arena->heap, b->memory);
        base_free(env->arena->heap, b);
    }
    env->scratch = NULL;
}

/* The tensor of a value if it needs no computing. *out NULL: it does. */
static nib_status ready(op_env *env, const graph_value *v, const graph_tensor **out, nib_error *err) { /* recursion: depth of graphs */
    if (v->owner != env->g && env->outer) return ready(env->outer, v, out, err);
    *out = lookup(env, v);
    if (*out || !v->constant) return NIB_OK;
    graph_tensor t = *v->constant;
    t.data = (void *)graph_tensor_aligned(env->arena, v->constant);
    if (!t.data && t.bytes > 0) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    if (op_env_set(env, v, &t) != NIB_OK) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    *out = lookup(env, v);
    return NIB_OK;
}

static void close_body(op_env *env) {
    if (env->has_body) base_arena_free(&env->body);
    env->has_body = false;
}

/* A body in an environment of its own, whose memory lasts until the next one. */
static nib_status env_body(op_eval *c, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs) {
    op_env *env = c->user;
    if (env->depth >= env->arena->heap->limits.graph_depth) return op_bad(c, NIB_LIMIT, "bodies are nested too deep");
    if (env->budget->bodies-- <= 0) return op_bad(c, NIB_LIMIT, "bodies run too often to be computed at build time");
    base_arena last = env->body;
    bool had = env->has_body;
    base_arena_init(&env->body, env->arena->heap);
    env->has_body = true;
    if (had) base_arena_free(&last);
    op_env *inner = op_env_create(g, &env->body, 0, env->kernels);
    if (!inner) return op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
    inner->budget = env->budget;
    inner->outer = env;
    inner->depth = env->depth + 1;
    for (int i = 0; i < g->n_inputs; i++)
        if (inputs[i] && op_env_set(inner, g->inputs[i], inputs[i]) != NIB_OK) return op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < g->n_outputs; i++) {
        const graph_tensor *t;
        OP_TRY(op_env_get(inner, g->outputs[i], &t, c->err));
        outputs[i] = *t;
    }
    return NIB_OK;
}

static nib_status run_node(op_env *env, const graph_node *n, nib_error *err) {
    const graph_tensor **in = base_alloc(env->arena->heap, sizeof *in * (size_t)(n->n_inputs > 0 ? n->n_inputs : 1));
    nib_status status = NIB_OK;
    if (!in) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < n->n_inputs; i++) {
        in[i] = NULL;
        if (!n->inputs[i].value) continue;
        NIB_TRY(ready(env, n->inputs[i].value, &in[i], err));
        if (!in[i]) NIB_FAIL(err, NIB_NOT_FOUND, "`%s` has no value", n->inputs[i].value->name);
    }
    op_eval c = {.node = n,
                 .n_in = n->n_inputs,
                 .in = in,
                 .kernels = env->kernels,
                 .output = env_output,
                 .scratch = env_scratch,
                 .hold = env_hold,
                 .body = env_body,
                 .spend = env_spend,
                 .user = env,
                 .err = err};
    status = op_eval_node(&c);
    free_scratch(env);
    close_body(env);
    for (int i = 0; status != NIB_OK && i < n->n_outputs; i++) { /* half-made outputs are none */
        const graph_value *v = n->outputs[i];
        if (v && lookup(env, v)) slot_of(env->slots, env->n_slots, v)->tensor = NULL;
    }
fail:
    base_free(env->arena->heap, (void *)in);
    return status;
}

nib_status op_env_run(op_env *env, const graph_node *n, nib_error *err) { return run_node(env, n, err); }

/* Marks in `needed` (by node id) what v needs, and every input that is not there yet is an error. `stack` has room for
 * every node: a node is pushed once. */
typedef struct marking {
    op_env *env;
    uint8_t *needed;
    graph_node **stack;
    int depth;
    nib_status status;
    nib_error *err;
} marking;

static void mark_value(void *user, graph_value *v) {
    marking *m = user;
    const graph_tensor *t;
    if (m->status != NIB_OK) return;
    m->status = ready(m->env, v, &t, m->err);
    if (m->status != NIB_OK || t) return;
    graph_node *p = v->producer;
    if (!p || p->owner != m->env->g) {
        m->status = base_error_set(m->err, NIB_NOT_FOUND, "`%s` has no value", v->name);
    } else if (!m->needed[p->id]) {
        m->needed[p->id] = 1;
        m->stack[m->depth++] = p;
    }
}

static nib_status mark(op_env *env, graph_node *first, uint8_t *needed, graph_node **stack, nib_error *err) {
    marking m = {.env = env, .needed = needed, .stack = stack, .err = err};
    needed[first->id] = 1;
    stack[m.depth++] = first;
    while (m.depth > 0 && m.status == NIB_OK) {
        graph_node *n = stack[--m.depth];
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value) mark_value(&m, n->inputs[i].value);
        graph_each_capture(n, mark_value, &m);
    }
    return m.status;
}

nib_status op_env_get(op_env *env, graph_value *v, const graph_tensor **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = env->arena->heap;
    uint8_t *needed = NULL;
    graph_node **stack = NULL;
    *out = NULL;
    NIB_TRY(ready(env, v, out, err));
    if (*out) return NIB_OK;
    if (!v->producer || v->producer->owner != env->g) NIB_FAIL(err, NIB_NOT_FOUND, "`%s` has no value", v->name);
    if (!take_work(env, env->g->node_limit)) NIB_FAIL(err, NIB_LIMIT, "`%s` is more work than may be done at build time", v->name);
    needed = base_calloc(heap, (size_t)env->g->node_limit + 1, 1);
    stack = base_calloc(heap, (size_t)env->g->node_limit + 1, sizeof *stack);
    if (!needed || !stack) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(mark(env, v->producer, needed, stack, err));
    for (const graph_node *n = env->g->first; n; n = n->next) {
        if (needed[n->id]) NIB_TRY(run_node(env, n, err));
        if (n == v->producer) break;
    }
    *out = lookup(env, v);
    if (!*out) NIB_FAIL(err, NIB_INTERNAL, "`%s` was not computed", v->name);
fail:
    base_free(heap, needed);
    base_free(heap, (void *)stack);
    return status;
}
