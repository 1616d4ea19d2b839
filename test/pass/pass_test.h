/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of passes share: graphs in ONNX's textual syntax, passes run on them, and the proof that matters, equal
 * outputs before and after on random inputs, computed by the operators' own eval.
 *
 * In a text, `= {@}` stands for random values of the constant's shape, f32, int8 or uint8. Symbols of input shapes get
 * sizes from SIZES in order of creation. Inputs named mask* hold 0 and 1 as `mask_kind` says (MASK_NUMBERS, which is
 * none of the kinds: other numbers, too), ids* hold 0 .. 3, other integers 0 or 1.
 */
#ifndef PASS_TEST_H
#define PASS_TEST_H

#include <math.h>
#include "onnx/onnx_test.h"
#include "pass/pass.h"

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17, \"com.microsoft\" : 1]> "
#define HEAD_OF(opset) "<ir_version: 8, opset_import: [\"\" : " #opset "]> "

typedef nib_status (*pass_fn)(pass_context *);
#define PASSES(...) ((const pass_fn[]){__VA_ARGS__, NULL})

enum { MASK_FULL, MASK_RIGHT, MASK_LEFT, MASK_HOLES, MASK_EMPTY_ROW, MASK_KINDS, MASK_NUMBERS };
static int mask_kind;    /* of inputs named mask* */
static char notes[4000]; /* what the passes of the last run said */
static nib_runtime *test_runtime;
static kernels test_kernels;

static inline int pass_setup(void **state) {
    nib_error err;
    nib_runtime_options options = {.size = sizeof options, .threads = 1};
    if (base_runtime_create(&options, &test_runtime, &err) != NIB_OK) return -1;
    kernel_table_init(&test_kernels, test_runtime->isas);
    *state = test_runtime;
    return 0;
}

/* Fails if a test left memory behind, apart from the pool's. */
static inline int pass_teardown(void **state) {
    base_runtime_release(test_runtime);
    return 0;
}

static inline uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}
static inline float random_float(uint32_t *state) { return (float)next_random(state) / 8388608.0f - 1.0f; }

/* Replaces each {@} by random values of the shape in front of its name. */
static inline char *fill_text(const char *text) {
    base_str out;
    uint32_t seed = 7;
    base_str_init(&out, &test_runtime->heap);
    for (const char *at; (at = strstr(text, "{@}")) != NULL; text = at + 3) {
        const char *open = at;
        long count = 1;
        while (*open != '[' && *open != '<') open--;
        for (char *end = (char *)(uintptr_t)open; *end == '[' || *end == ',';) count *= strtol(end + 1, &end, 10);
        base_str_add_bytes(&out, text, (size_t)(at - text));
        const bool bytes = open - text >= 4 && memcmp(open - 4, "int8", 4) == 0; /* uint8, too */
        const int from = bytes && !(open - text >= 5 && open[-5] == 'u') ? 128 : 0;
        for (long i = 0; i < count; i++) {
            if (bytes) base_str_printf(&out, "%s%d", i ? ", " : "{", (int)(next_random(&seed) % 256) - from);
            else base_str_printf(&out, "%s%.5f", i ? ", " : "{", (double)random_float(&seed));
        }
        base_str_add(&out, "}");
    }
    base_str_add(&out, text);
    assert_false(out.failed);
    return out.data;
}

static inline graph *parse_graph(const char *text) {
    graph *g;
    nib_error err = {0};
    char *full = fill_text(text);
    if (graph_parse(&test_runtime->heap, full, strlen(full), &g, &err) != NIB_OK) fail_msg("%s\n%s", err.message, full);
    base_free(&test_runtime->heap, full);
    op_resolve(g);
    if (op_infer_graph(g, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    return g;
}

static inline graph *clone_graph(const graph *g) {
    graph *copy;
    nib_error err = {0};
    if (graph_clone(g, &copy, &err) != NIB_OK) fail_msg("%s", err.message);
    return copy;
}

/* The operators in order, "MatMul nib.Linear"; constants' producers are no nodes. */
static inline const char *ops(const graph *g) {
    static char text[4000];
    size_t n = 0;
    text[0] = 0;
    for (const graph_node *node = g->first; node && n < sizeof text - 100; node = node->next)
        n += (size_t)sprintf(text + n, "%s%s%s%s", n ? " " : "", node->domain, node->domain[0] ? "." : "", node->op);
    return text;
}

static inline int count_op(const graph *g, const char *domain, const char *type) {
    int count = 0;
    for (const graph_node *n = g->first; n; n = n->next) count += graph_is_op(n, domain, type);
    return count;
}

static inline graph_node *find_op(const graph *g, const char *domain, const char *type) {
    for (graph_node *n = g->first; n; n = n->next)
        if (graph_is_op(n, domain, type)) return n;
    fail_msg("no %s.%s in %s", domain, type, ops(g));
    return NULL;
}

/* ---- running passes */

static inline void run_context(graph *g, pass_context *ctx, const pass_fn *passes) {
    nib_error err = {0};
    pass_notes n;
    base_str_init(&n.text, &test_runtime->heap);
    *ctx = (pass_context){.g = g,
                          .runtime = test_runtime,
                          .kernels = &test_kernels,
                          .level = 2,
                          .mode = PASS_MODE_TASK,
                          .fold_limit = PASS_FOLD_LIMIT,
                          .fold_left = PASS_FOLD_LIMIT,
                          .notes = &n,
                          .err = &err};
    for (; *passes; passes++) {
        if ((*passes)(ctx) != NIB_OK) fail_msg("pass: %s (%s)", err.message, err.node);
        if (graph_verify(g, &err) != NIB_OK) fail_msg("after a pass: %s (%s)", err.message, err.node);
    }
    snprintf(notes, sizeof notes, "%.*s", (int)n.text.length, n.text.data ? n.text.data : "");
    base_str_free(&n.text);
    ctx->notes = NULL;
    ctx->err = NULL;
}

static inline void run_passes(graph *g, const pass_fn *passes) {
    pass_context ctx;
    run_context(g, &ctx, passes);
}

/* ---- evaluating */

static inline int mask_at(int kind, int64_t b, int64_t s, int64_t S) {
    int64_t pad = S * (b + 1) / 4;
    switch (kind) {
    case MASK_RIGHT: return s < S - pad;
    case MASK_LEFT: return s >= pad;
    case MASK_HOLES: return s == 0 || (s * 3 + b) % 4 != 1;
    case MASK_EMPTY_ROW: return b != 1 && s < S - pad;
    default: return 1;
    }
}

static inline void fill_input(base_arena *arena, const graph_value *v, const int64_t *sizes, int count, uint32_t *seed, graph_tensor *t) {
    *t = (graph_tensor){.dtype = v->type.dtype, .rank = v->type.rank};
    for (int i = 0; i < t->rank; i++)
        if (!graph_dim_eval(v->type.dims[i], sizes, count, &t->dims[i])) fail_msg("size of %s is unknown", v->name);
    int64_t n = graph_tensor_elements(t), S = t->rank == 2 && t->dims[1] ? t->dims[1] : 1;
    t->bytes = graph_type_bytes(t->dtype, (size_t)n);
    t->data = base_arena_alloc(arena, t->bytes);
    for (int64_t i = 0; i < n; i++) {
        int64_t x = strncmp(v->name, "ids", 3) == 0 || strstr(v->name, "input_ids") ? next_random(seed) % 4 : next_random(seed) % 2;
        if (strstr(v->name, "mask")) x = mask_at(mask_kind, i / S, i % S, S);
        float real = (float)x;
        if (strstr(v->name, "mask") && mask_kind == MASK_NUMBERS) {
            static const float numbers[] = {1, 2, 1, 0, -1, 0.5f, 256}; /* what a whole type has of them */
            real = numbers[i % (int64_t)BASE_COUNT(numbers)];
            x = (int64_t)real;
        }
        if (t->dtype == NIB_DTYPE_I64) ((int64_t *)t->data)[i] = x;
        else if (t->dtype == NIB_DTYPE_I32) ((int32_t *)t->data)[i] = (int32_t)x;
        else if (t->dtype == NIB_DTYPE_F32) ((float *)t->data)[i] = strstr(v->name, "mask") ? real : random_float(seed);
        else if (t->dtype == NIB_DTYPE_BOOL) ((uint8_t *)t->data)[i] = (uint8_t)x;
        else fail_msg("input %s is %s", v->name, nib_dtype_name(t->dtype));
    }
}

/* Computes output i of a graph; the tensor lives in the arena. */
static inline const graph_tensor *run_graph(const graph *g, base_arena *arena, const int64_t *sizes, int count, int i) {
    const graph_tensor *out;
    nib_error err = {0};
    uint32_t seed = 99;
    op_env *env = op_env_create(g, arena, 256u << 20, &test_kernels);
    for (int k = 0; k < g->n_inputs; k++) {
        graph_tensor t;
        fill_input(arena, g->inputs[k], sizes, count, &seed, &t);
        assert_int_equal(op_env_set(env, g->inputs[k], &t), NIB_OK);
    }
    if (op_env_get(env, g->outputs[i], &out, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    return out;
}

/* With rows_of not NULL: rows of [B, S, ..] outputs whose mask is 0 must be 0 in `b` and are not compared. */
static inline void compare(const graph_tensor *a, const graph_tensor *b, const char *name, bool tokens_only, double tolerance) {
    assert_int_equal(a->dtype, b->dtype);
    if (a->rank != b->rank) fail_msg("%s: rank %d and %d", name, a->rank, b->rank);
    for (int i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) fail_msg("%s: axis %d is %lld and %lld", name, i, (long long)a->dims[i], (long long)b->dims[i]);
    int64_t n = graph_tensor_elements(a), row = a->rank ? a->dims[a->rank - 1] : 1;
    if (a->dtype != NIB_DTYPE_F32) {
        assert_memory_equal(a->data, b->data, a->bytes);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        float x = ((const float *)a->data)[i], y = ((const float *)b->data)[i];
        if (tokens_only && a->rank == 3 && !mask_at(mask_kind, i / row / a->dims[1], i / row % a->dims[1], a->dims[1])) x = 0;
        if (isnan(x) && isnan(y)) continue;
        if (!(fabs((double)x - (double)y) <= tolerance * (1 + fabs((double)x))))
            fail_msg("%s[%lld]: %.8g and %.8g", name, (long long)i, (double)x, (double)y);
    }
}

static inline void check_equal(const graph *before, const graph *after, bool tokens_only) {
    static const int64_t SIZES[][6] = {{2, 5, 3, 7, 4, 6}, {1, 1, 1, 1, 1, 1}, {3, 9, 4, 2, 8, 5}};
    assert_int_equal(before->n_outputs, after->n_outputs);
    assert_int_equal(before->n_inputs, after->n_inputs);
    for (size_t k = 0; k < BASE_COUNT(SIZES); k++)
        for (int i = 0; i < before->n_outputs; i++) {
            base_arena arena;
            assert_string_equal(before->outputs[i]->name, after->outputs[i]->name);
            base_arena_init(&arena, &test_runtime->heap);
            compare(run_graph(before, &arena, SIZES[k], 6, i), run_graph(after, &arena, SIZES[k], 6, i), before->outputs[i]->name,
                    tokens_only, 1e-5);
            base_arena_free(&arena);
        }
}

/* Runs passes on a copy, compares outputs and returns the copy: free it with done(). */
static inline graph *pass_check_same(const char *text, const pass_fn *passes) {
    graph *before = parse_graph(text), *after = clone_graph(before);
    run_passes(after, passes);
    check_equal(before, after, false);
    graph_free(before);
    return after;
}

/* Two graphs of the same inputs and outputs compute the same. */
static inline void pass_check_equal_graphs(const char *one, const char *other) {
    graph *a = parse_graph(one), *b = parse_graph(other);
    check_equal(a, b, false);
    graph_free(a);
    graph_free(b);
}

static inline void done(graph *g) { graph_free(g); }

/* The same passes once more leave the same operators. */
static inline void check_fixed_point(const graph *after, const pass_fn *passes) {
    char once[4000], said[sizeof notes];
    memcpy(said, notes, sizeof said);
    graph *again = clone_graph(after);
    run_passes(again, passes);
    snprintf(once, sizeof once, "%s", ops(after));
    assert_string_equal(once, ops(again));
    graph_free(again);
    memcpy(notes, said, sizeof said);
}

/* Same outputs, and these operators left. */
static inline void pass_check_ops(const char *text, const pass_fn *passes, const char *want) {
    graph *g = pass_check_same(text, passes);
    if (strcmp(ops(g), want) != 0) fail_msg("%s\nleaves \"%s\", not \"%s\"\n%s", text, ops(g), want, notes);
    graph_free(g);
}

#endif
