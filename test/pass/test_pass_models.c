/* SPDX-License-Identifier: Apache-2.0
 *
 * All passes on the committed exports: the counts that a fused and packed BERT of two layers has, and the same numbers as
 * the graph that the exporter wrote.
 */
#include "pass_test.h"

static const struct {
    const char *file;
    int attentions;
    bool nan_rows; /* a text without tokens is NaN in the model itself */
    int kinds;     /* of masks; 0: all. Fused by ONNX Runtime it knows only how many tokens there are: they come first */
} models[] = {
    {"bert-tiny.ts.eager.onnx", 2, false, 0},    {"bert-tiny.ts.sdpa.onnx", 2, true, 0}, {"bert-tiny.dynamo.eager.onnx", 2, false, 0},
    {"bert-tiny.dynamo.sdpa.onnx", 2, false, 0}, {"bert-tiny.pooled.onnx", 2, true, 0},  {"bert-tiny.ort.onnx", 2, false, MASK_LEFT},
};

static graph *load(const char *file) {
    graph *g;
    nib_error err = {0};
    assert_loads(test_runtime, test_path(file), &g);
    op_resolve(g);
    if (op_infer_graph(g, &err) != NIB_OK) fail_msg("%s: %s", file, err.message);
    return g;
}

static void compare_all(const graph *a, const graph *b, const char *file, bool tokens_only) {
    static const int64_t sizes[][4] = {{2, 7, 2, 7}, {1, 1, 1, 1}, {3, 12, 3, 12}};
    for (size_t k = 0; k < BASE_COUNT(sizes); k++)
        for (int i = 0; i < a->n_outputs; i++) {
            base_arena arena;
            bool rows = a->outputs[i]->type.rank == 3 || a->n_outputs == 1;
            base_arena_init(&arena, &test_runtime->heap);
            assert_string_equal(a->outputs[i]->name, b->outputs[i]->name);
            bool first_is_padding =
                mask_kind == MASK_LEFT && strstr(a->outputs[i]->name, "pooler"); /* reads the first row, which is padding */
            if (!first_is_padding)
                compare(run_graph(a, &arena, sizes[k], 4, i), run_graph(b, &arena, sizes[k], 4, i), file, rows && tokens_only, 2e-5);
            base_arena_free(&arena);
        }
}

static void exports_are_fused_and_packed(void **state) {
    for (size_t m = 0; m < BASE_COUNT(models); m++) {
        graph *before = load(models[m].file), *after = clone_graph(before);
        run_passes(after, PASSES(pass_run_all));
        if (count_op(after, "nib", "Attention") != models[m].attentions || count_op(after, "", "Softmax") ||
            !strstr(notes, "batches are packed"))
            fail_msg("%s: %s\n%s", models[m].file, ops(after), notes);
        assert_int_equal(count_op(after, "", "MatMul") + count_op(after, "", "Gemm") + count_op(after, "", "LayerNormalization") +
                             count_op(after, "", "Erf"),
                         0);
        assert_int_equal(count_op(after, "nib", "Embed"), 1);
        assert_int_equal(count_op(after, "nib", "Norm"), 5);
        assert_int_equal(count_op(after, "nib", "Offsets"), 1);
        int packed_linears = 0, gelus = 0, residuals = 0;
        for (const graph_node *n = after->first; n; n = n->next) {
            op_linear l;
            if (!op_linear_get(n, &l)) continue;
            packed_linears +=
                n->outputs[0]->type.rank == 2 && n->outputs[0]->type.dims[0] == graph_dim_symbol(after->symbols, OP_TOKENS_SYMBOL);
            gelus += l.activation == KERNEL_ACT_GELU_ERF;
            residuals += l.residual != NULL;
        }
        assert_int_equal(packed_linears, 8);
        assert_int_equal(gelus, 2);
        assert_int_equal(residuals, 4);
        for (mask_kind = 0; mask_kind < (models[m].kinds ? models[m].kinds : models[m].nan_rows ? MASK_EMPTY_ROW : MASK_KINDS); mask_kind++)
            compare_all(before, after, models[m].file, true);
        mask_kind = MASK_FULL;
        graph_free(before);
        graph_free(after);
    }
}

/* Without packing every row is the exporter's, padded ones too. */
static void unpacked_levels_change_nothing(void **state) {
    for (size_t m = 0; m < BASE_COUNT(models); m++)
        for (int level = 0; level <= 2; level++) {
            graph *before = load(models[m].file), *after = clone_graph(before);
            nib_error err = {0};
            pass_context ctx = {.g = after, .runtime = test_runtime, .kernels = &test_kernels, .level = level, .err = &err};
            assert_int_equal(pass_run_all(&ctx), NIB_OK);
            assert_int_equal(graph_verify(after, &err), NIB_OK);
            if (level == 0) assert_int_equal(after->node_count, before->node_count);
            if (level == 1) {
                assert_int_equal(count_op(after, "", "Constant") + count_op(after, "", "Identity"), 0);
                for (const graph_node *n = after->first; n; n = n->next) assert_string_not_equal(n->domain, "nib");
            }
            mask_kind = MASK_HOLES;
            compare_all(before, after, models[m].file, false);
            mask_kind = MASK_FULL;
            graph_free(before);
            graph_free(after);
        }
}

/* The n-th request for memory fails, for many n: a status, never a crash, and nothing is lost. */
static int requests_left;
static void *failing_allocate(void *user, size_t bytes) {
    void *p = NULL;
    if (requests_left-- <= 0 || posix_memalign(&p, 64, bytes) != 0) return NULL;
    return p;
}
static void failing_release(void *user, void *p, size_t bytes) { free(p); }

static void memory_may_run_out(void **state) {
    nib_runtime_options options = {.size = sizeof options, .threads = 1, .allocate = failing_allocate, .release = failing_release};
    bool finished = false;
    for (int n = 4; !finished && n < 200000; n += 1 + n / 12) {
        nib_runtime *runtime;
        nib_error err = {0};
        graph *g = NULL;
        requests_left = n;
        if (base_runtime_create(&options, &runtime, &err) != NIB_OK) continue;
        size_t pool = atomic_load(&runtime->heap.current);
        nib_status status = onnx_load(runtime, test_path("bert-tiny.dynamo.sdpa.onnx"), &g, &err);
        if (status == NIB_OK) {
            op_resolve(g);
            status = op_infer_graph(g, &err);
        }
        if (status == NIB_OK) {
            pass_context ctx = {
                .g = g, .runtime = runtime, .kernels = &test_kernels, .level = 2, .mode = PASS_MODE_TASK, .err = &err};
            status = pass_run_all(&ctx);
        }
        finished = requests_left > 0;
        if (finished ? status != NIB_OK : status != NIB_OK && status != NIB_OUT_OF_MEMORY) fail_msg("%d requests: %s", n, err.message);
        graph_free(g);
        assert_int_equal(atomic_load(&runtime->heap.current), pool);
        base_runtime_release(runtime);
    }
    assert_true(finished);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_are_fused_and_packed),
        cmocka_unit_test(unpacked_levels_change_nothing),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
