/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of nib.Embed: one that is also a head's weight is held once and gives the bits that it gives apart; one of a quantized type gives
 * what the operator's eval gives.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"
#include "npy.h"

enum { ROWS = 70, C = 24, TOKENS = 6 };

static int64_t numbers[] = {0, ROWS - 1, 7, -1, 33, 32};

/* What a plan of g gives of the ids; *packed: bytes that the device holds packed. */
static void run_of(graph *g, float *out, size_t count, size_t *packed) {
    nib_error err = {0};
    struct device *cpu;
    plan *p;
    run_session *s;
    nib_tensor ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, TOKENS}, .data = numbers, .bytes = sizeof numbers}, y;
    assert_int_equal(cpu_open(test_runtime, &cpu, &err), NIB_OK);
    if (plan_build(test_runtime, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
    for (int i = 0; i < p->n_steps; i++) assert_string_not_equal(p->steps[i].kernel, "eval");
    assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
    if (run_tensors(s, (const nib_tensor *const[]){&ids}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    assert_int_equal(run_output(s, 0, &y, &err), NIB_OK);
    assert_int_equal(y.bytes, count * sizeof *out);
    memcpy(out, y.data, y.bytes);
    *packed = cpu_weight_bytes(cpu);
    run_session_free(s);
    plan_free(p);
    cpu->table->close(cpu);
}

static void a_tied_table_is_held_once(void **state) {
    static float tied[TOKENS * ROWS], apart[TOKENS * ROWS];
    size_t once, twice;
    for (int i = 0; i < 2; i++) {
        graph *g = parse_graph(HEAD "g (int64[1,6] ids) => (float[1,6,70] y) <float[70,24] t = {@}, float[70,24] head = {@}> "
                                    "{ x = nib.Embed (ids, t) y = nib.Linear <trans_w = 1> (x, head) }");
        op_linear l;
        graph_node *linear = g->last;
        nib_error err;
        assert_true(op_linear_get(linear, &l));
        graph_value *table = g->first->inputs[1].value;
        memcpy((void *)(uintptr_t)l.weights[0]->constant->data, table->constant->data, table->constant->bytes);
        if (i == 0) l.weights[0] = table;
        assert_int_equal(op_linear_set(linear, &l, &err), NIB_OK);
        run_of(g, i == 0 ? tied : apart, TOKENS * ROWS, i == 0 ? &once : &twice);
        graph_free(g);
    }
    assert_memory_equal(tied, apart, sizeof tied);
    assert_int_equal(once, twice);
}

/* What a device has packed for one plan is not taken for the weight of a later one that lies in the same place: the
 * memory of a graph that is gone is given to the next. */
static void a_place_is_not_a_weight(void **state) {
    nib_error err = {0};
    struct device *cpu;
    float x[C], got[2];
    nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {1, C}, .data = x, .bytes = sizeof x}, y;
    for (int k = 0; k < C; k++) x[k] = 1;
    assert_int_equal(cpu_open(test_runtime, &cpu, &err), NIB_OK);
    float *place = NULL;
    for (int i = 0; i < 2; i++) {
        plan *p;
        run_session *s;
        graph *g = parse_graph(HEAD "g (float[batch,24] x) => (float[batch,70] y) <float[24,70] w = {@}> { y = nib.Linear (x, w) }");
        op_linear l;
        assert_true(op_linear_get(g->first, &l));
        graph_tensor *w = l.weights[0]->constant;
        if (!place) place = malloc(w->bytes);
        for (size_t k = 0; k < w->bytes / sizeof *place; k++) place[k] = i == 0 ? 1.0f : 2.0f;
        w->data = place;
        if (plan_build(test_runtime, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
        if (run_tensors(s, (const nib_tensor *const[]){&in}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
        assert_int_equal(run_output(s, 0, &y, &err), NIB_OK);
        got[i] = *(const float *)y.data;
        assert_true(cpu_weight_bytes(cpu) > 0);
        run_session_free(s);
        plan_free(p);
        assert_int_equal(cpu_weight_bytes(cpu), 0);
        graph_free(g);
    }
    assert_float_equal(got[0], C, 0);
    assert_float_equal(got[1], 2 * C, 0);
    free(place);
    cpu->table->close(cpu);
}

static void quantized_tables(void **state) {
    static float plan_gives[TOKENS * C], exact[TOKENS * C];
    for (int format = 0; format < KERNEL_WEIGHTS; format++) {
        if (kernel_weight_formats[format].sums) continue; /* of no table */
        graph *g = parse_graph(HEAD "g (int64[1,6] ids) => (float[1,6,24] y) <float[70,24] t = {@}> { y = nib.Embed (ids, t) }");
        nib_error err;
        base_arena arena;
        const graph_tensor *eval_gives;
        size_t packed;
        graph_value *table = g->first->inputs[1].value;
        nib_tensor ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, TOKENS}, .data = numbers, .bytes = sizeof numbers};
        table->type.quant = kernel_weight_formats[format].type;
        table->type.quant.axis = 1;
        run_of(g, plan_gives, TOKENS * C, &packed);
        assert_true((packed > 0) == (format != KERNEL_WEIGHT_F32));
        base_arena_init(&arena, &test_runtime->heap);
        op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
        op_env_set(env, g->inputs[0], &ids);
        assert_int_equal(op_env_get(env, g->outputs[0], &eval_gives, &err), NIB_OK);
        assert_memory_equal(plan_gives, eval_gives->data, sizeof plan_gives);
        if (format == KERNEL_WEIGHT_F32) memcpy(exact, plan_gives, sizeof exact);
        double off = test_difference(plan_gives, exact, TOKENS * C);
        assert_true(format == KERNEL_WEIGHT_F32 ? off == 0 : off > 0 && off < (format == KERNEL_WEIGHT_Q4 ? 0.4 : 0.05));
        base_arena_free(&arena);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tied_table_is_held_once), cmocka_unit_test(a_place_is_not_a_weight), cmocka_unit_test(quantized_tables)};
    return cmocka_run_group_tests_name("plan_tables", tests, pass_setup, pass_teardown);
}
