/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans of whole graphs: what must hold of every plan, whatever graph it is of; what a few small graphs become; and what is refused.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/device.h"
#include "plan/plan.h"

static struct device *cpu;

static int setup(void **state) {
    nib_error err;
    return pass_setup(state) == 0 && cpu_open(test_runtime, &cpu, &err) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    cpu->table->close(cpu);
    return pass_teardown(state);
}

static plan *plan_of(const graph *g, size_t l2) {
    plan *p;
    nib_error err = {0};
    plan_options options = {.l2_bytes = l2};
    if (plan_build(test_runtime, g, &cpu, 1, &options, &p, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    return p;
}

/* ---- what holds of every plan */

typedef struct where {
    int stage;
    bool chain;
} where;

static where where_of(const plan *p, int step) {
    for (int i = 0; i < p->n_stages; i++)
        if (step >= p->stages[i].first && step < p->stages[i].first + p->stages[i].count) return (where){i, p->stages[i].chain};
    return (where){-1, false};
}

static bool apart(const plan_value *a, const plan_value *b) {
    return a->offset + a->row_bytes <= b->offset || b->offset + b->row_bytes <= a->offset;
}
static bool together(const plan_value *a, const plan_value *b) { return a->first <= b->last && b->first <= a->last; }

/* Every value is written before it is read, and by one step; what is alive at the same time lies apart and inside of its memory; what a
 * chain keeps in its block is read by nobody else. */
static void check_values(const plan *p) {
    const graph *g = p->g;
    for (int i = 0; i < p->n_steps; i++) {
        const graph_node *n = p->steps[i].node;
        for (int k = 0; k < n->n_inputs; k++) {
            const plan_value *pv = n->inputs[k].value ? &p->values[n->inputs[k].value->id] : NULL;
            if (!pv) continue;
            assert_int_not_equal(pv->storage, PLAN_NONE);
            assert_true(pv->storage == PLAN_CONSTANT || pv->storage == PLAN_INPUT || (pv->first < i && i <= pv->last) ||
                        where_of(p, pv->first).stage == where_of(p, i).stage);
            if (pv->storage == PLAN_BLOCK) assert_int_equal(where_of(p, pv->first).stage, where_of(p, i).stage);
            if (pv->storage == PLAN_CONSTANT && p->steps[i].evaluates && pv->v->constant->bytes)
                assert_int_equal((uintptr_t)pv->constant % (uintptr_t)((nib_dtype_bits(pv->v->type.dtype) + 7) / 8), 0);
        }
        assert_true(p->steps[i].scratch <= p->scratch);
        assert_non_null(p->steps[i].run);
        assert_non_null(p->steps[i].kernel);
        const bool extends = p->steps[i].range != PLAN_RANGE_WHOLE && p->steps[i].range != PLAN_RANGE_PARTS;
        assert_true((p->steps[i].extent != NULL) == extends);
        if (p->steps[i].range == PLAN_RANGE_PARTS) assert_non_null(p->steps[i].parts);
    }
    for (int a = 0; a < g->value_limit; a++) {
        const plan_value *x = &p->values[a];
        if (x->storage != PLAN_ROWS && x->storage != PLAN_BLOCK) continue;
        assert_int_equal(x->offset % 64, 0);
        assert_true(x->offset + x->row_bytes <= (x->storage == PLAN_ROWS ? p->rows_bytes : p->block_bytes));
        for (int b = 0; b < a; b++) {
            const plan_value *y = &p->values[b];
            bool same = x->storage == y->storage && together(x, y);
            if (same && x->storage == PLAN_BLOCK) same = where_of(p, x->first).stage == where_of(p, y->first).stage;
            if (same && !apart(x, y)) fail_msg("%s and %s lie in the same bytes", x->v->name, y->v->name);
        }
    }
    for (int i = 0; i < g->n_outputs; i++) assert_int_not_equal(p->values[g->outputs[i]->id].storage, PLAN_BLOCK);
}

static void check_stages(const plan *p) {
    int step = 0;
    for (int i = 0; i < p->n_stages; i++) {
        const plan_stage *s = &p->stages[i];
        assert_int_equal(s->first, step);
        assert_true(s->count >= 1 && (s->chain || s->count == 1));
        for (int k = s->first; s->chain && k < s->first + s->count; k++) {
            assert_int_equal(p->steps[k].range, PLAN_RANGE_ROWS);
            assert_ptr_equal(p->steps[k].extent, p->steps[s->first].extent);
        }
        step += s->count;
    }
    assert_int_equal(step, p->n_steps);
    assert_true(p->block_rows >= 12 && p->block_rows <= 192);
    assert_true(p->block_most >= p->block_rows && p->group_tokens >= 128);
}

static void plans_of_models_hold(void **state) {
    static const char *const files[] = {"bert-tiny.ts.eager.onnx", "bert-tiny.dynamo.sdpa.onnx", "bert-tiny.pooled.onnx",
                                        "bert-tiny.ort.onnx",      "modernbert-tiny.ts.onnx",    "modernbert-tiny.dynamo.onnx"};
    for (size_t m = 0; m < BASE_COUNT(files); m++)
        for (int kind = 0; kind < 3; kind++) { /* as it is, fused, packed */
            graph *g;
            nib_error err = {0};
            assert_loads(test_runtime, test_path(files[m]), &g);
            op_resolve(g);
            assert_int_equal(op_infer_graph(g, &err), NIB_OK);
            pass_context ctx = {.g = g,
                                .runtime = test_runtime,
                                .kernels = &test_kernels,
                                .level = kind ? 2 : 0,
                                .mode = kind == 2 ? PASS_MODE_TASK : PASS_MODE_EXACT,
                                .err = &err};
            assert_int_equal(pass_run_all(&ctx), NIB_OK);
            for (size_t l2 = 0; l2 <= 4u << 20; l2 += 1u << 20) { /* 0: this machine's */
                plan *p = plan_of(g, l2);
                assert_int_equal(p->n_steps, g->node_count);
                check_stages(p);
                check_values(p);
                assert_int_equal(p->tokens_symbol >= 0, count_op(g, "nib", "Pack") > 0);
                plan_free(p);
            }
            graph_free(g);
        }
}

/* ---- what small graphs become */

/* A letter for where each value of the graph's nodes lies, in order: r rows, b block, s sized, d dynamic. */
static void small_graphs_are_planned_so(void **state) {
    static const struct {
        const char *text, *storage;
        int stages, chains;
    } rows[] = {
        /* a chain: what lies between its steps needs one block */
        {"g (float[n,8] x) => (float[n,8] y) <float[8,8] w = {@}> { a = MatMul (x, w) b = Relu (a) y = MatMul (b, w) }", "bbr", 1, 1},
        /* read behind the chain, and an output inside of it */
        {"g (float[n,8] x) => (float[n,8] y, float[n,8] a) <float[8,8] w = {@}> { a = MatMul (x, w) y = Relu (a) }", "rr", 1, 1},
        /* a step over all rows cuts it */
        {"g (float[n,8] x) => (float[8,n] y) { a = Relu (x) t = Transpose <perm = [1,0]> (a) y = Relu (t) }", NULL, 3, -1},
        /* how many there are is known only when they are computed */
        {"g (float[n] x) => (int64[1,k] y) { a = NonZero (x) y = Identity (a) }", "dd", 2, 0},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[1000], storage[32] = "";
        snprintf(text, sizeof text, HEAD "%s", rows[i].text);
        graph *g = parse_graph(text);
        plan *p = plan_of(g, 0);
        check_stages(p);
        check_values(p);
        int chains = 0;
        for (int k = 0; k < p->n_stages; k++) chains += p->stages[k].chain;
        for (int k = 0; k < p->n_steps; k++) {
            plan_storage at = p->values[p->steps[k].node->outputs[0]->id].storage;
            storage[k] = at == PLAN_ROWS ? 'r' : at == PLAN_BLOCK ? 'b' : at == PLAN_SIZED ? 's' : at == PLAN_DYNAMIC ? 'd' : '?';
        }
        if (p->n_stages != rows[i].stages || (rows[i].chains >= 0 && chains != rows[i].chains) ||
            (rows[i].storage && strcmp(storage, rows[i].storage) != 0))
            fail_msg("%s: %d stages, %d chains, %s", rows[i].text, p->n_stages, chains, storage);
        plan_free(p);
        graph_free(g);
    }
}

/* The more cache, the more rows a block has, up to its limit; where almost nothing fits, it is tall so that weights are fetched less. */
static void blocks_fit_the_cache(void **state) {
    graph *g = parse_graph(HEAD "g (float[n,256] x) => (float[n,256] y) <float[256,256] w = {@}> { a = MatMul (x, w) b = Relu (a) c = "
                                "MatMul (b, w) y = Relu (c) }");
    int before = 0;
    for (size_t l2 = 1024; l2 <= 64u << 20; l2 *= 4) {
        plan *p = plan_of(g, l2);
        if (l2 == 1024) assert_int_equal(p->block_rows, 132);
        else assert_true(p->block_rows == 132 || p->block_rows >= before);
        if (p->block_rows != 132) before = p->block_rows;
        plan_free(p);
    }
    assert_int_equal(before, 192);
    graph_free(g);
}

/* ---- refusals */

static void what_no_device_runs_is_named(void **state) {
    nib_error err = {0};
    plan *p = (plan *)&err;
    graph *g =
        parse_graph("<ir_version: 8, opset_import: [\"\" : 17, \"acme\" : 1]> g (float[n] x) => (float[n] y) { [odd] y = acme.Magic (x) }");
    assert_int_equal(plan_build(test_runtime, g, &cpu, 1, NULL, &p, &err), NIB_UNSUPPORTED);
    assert_null(p);
    assert_non_null(strstr(err.message, "acme.Magic"));
    assert_string_equal(err.node, "odd");
    graph_free(g);
}

/* Some hundred thousand nodes are planned in the time that they take, not in its square. */
static void long_graphs_are_planned(void **state) {
    base_str text;
    const int n = 60000;
    base_str_init(&text, &test_runtime->heap);
    base_str_printf(&text, HEAD "g (float[n,2] x) => (float[n,2] y) { v0 = Relu (x) ");
    for (int i = 1; i < n; i++) base_str_printf(&text, i % 3 ? "v%d = Relu (v%d) " : "v%d = Transpose <perm = [0,1]> (v%d) ", i, i - 1);
    base_str_printf(&text, "y = Relu (v%d) }", n - 1);
    assert_false(text.failed);
    graph *g = parse_graph(text.data);
    plan *p = plan_of(g, 0);
    assert_int_equal(p->n_steps, n + 1);
    check_stages(p);
    assert_true(p->rows_bytes < 64 * 16); /* places are used again */
    plan_free(p);
    graph_free(g);
    base_str_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_of_models_hold),    cmocka_unit_test(small_graphs_are_planned_so),
        cmocka_unit_test(blocks_fit_the_cache),    cmocka_unit_test(what_no_device_runs_is_named),
        cmocka_unit_test(long_graphs_are_planned),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
