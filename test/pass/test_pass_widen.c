/* SPDX-License-Identifier: Apache-2.0
 *
 * Half precision in a file, f32 in a task: the graph becomes what its f32 form is, bodies included; what might mean something else is
 * left alone.
 */
#include "pass_test.h"
#include "base/base_half.h"

static nib_status level_1(pass_context *ctx) { return ctx->level = 1, NIB_OK; }

static graph *widened(const char *text, const pass_fn *passes, const char *want, double tolerance) {
    static const int64_t sizes[] = {2, 5, 3};
    graph *before = parse_graph(text), *after = clone_graph(before);
    run_passes(after, passes);
    if (strcmp(ops(after), want) != 0) fail_msg("%s\nbecomes \"%s\", not \"%s\"\n%s", text, ops(after), want, notes);
    base_arena arena;
    base_arena_init(&arena, &test_runtime->heap);
    const graph_tensor *a = run_graph(before, &arena, sizes, 3, 0), *b = run_graph(after, &arena, sizes, 3, 0);
    assert_int_equal(b->dtype, NIB_DTYPE_F32);
    assert_int_equal(graph_tensor_elements(a), graph_tensor_elements(b));
    for (int64_t i = 0; i < graph_tensor_elements(a); i++) {
        uint16_t h;
        memcpy(&h, (const uint8_t *)a->data + 2 * i, 2);
        float x = a->dtype == NIB_DTYPE_F32   ? ((const float *)a->data)[i]
                  : a->dtype == NIB_DTYPE_F16 ? base_f16_to_f32(h)
                                              : base_bf16_to_f32(h),
              y = ((const float *)b->data)[i];
        if (!(fabsf(x - y) <= (float)tolerance * (1 + fabsf(x)))) fail_msg("[%lld]: %.8g and %.8g", (long long)i, (double)x, (double)y);
    }
    base_arena_free(&arena);
    graph_free(before);
    return after;
}

/* Constants of these types are written as bits in a text: here they come from f32 ones, whose Casts pass_fold takes away. */
#define GELU(type, to)                                                                                                                     \
    HEAD "g (float[b,4] x) => (" type "[b,3] y) <float[4,3] w0 = {@}, float[3] c0 = {@}, float half0 = {0.5}, float one0 = {1},"           \
         " float k0 = {0.044715}, float r0 = {0.79788456}, float three0 = {3}> {"                                                          \
         " w = Cast <to = " to "> (w0) c = Cast <to = " to "> (c0) half = Cast <to = " to "> (half0) one = Cast <to = " to "> (one0)"      \
         " k = Cast <to = " to "> (k0) r = Cast <to = " to "> (r0) three = Cast <to = " to "> (three0)"                                    \
         " h = Cast <to = " to "> (x) m = MatMul (h, w) a = Add (m, c) p = Pow (a, three) q = Mul (p, k) s = Add (a, q) t = Mul (s, r)"    \
         " u = Tanh (t) v = Add (u, one) f = Mul (a, half) y = Mul (f, v) }"
#define FUSED PASSES(pass_fold, pass_clean, pass_widen, pass_clean, pass_linear, pass_activation, pass_clean)

static void a_half_layer_is_the_f32_layer(void **state) {
    graph *g = widened(GELU("float16", "10"), FUSED, "nib.Linear", 1e-2);
    assert_string_equal(graph_attr_string(g->first, "activation", ""), "gelu_tanh");
    assert_int_equal(g->first->inputs[1].value->constant->dtype, NIB_DTYPE_F32);
    assert_non_null(strstr(notes, "half precision is computed in f32"));
    done(g);
    done(widened(GELU("bfloat16", "16"), FUSED, "nib.Linear", 4e-2));
}

static void casts_around_guarded_nodes_go(void **state) {
    done(widened(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w0 = {@}> { w = Cast <to = 10> (w0) h = Cast <to = 10> (x) m = "
                      "MatMul (h, w) f = Cast <to = 1> (m)"
                      " n = Softmax (f) k = Cast <to = 10> (n) o = MatMul (k, w) y = Cast <to = 1> (o) }",
                 PASSES(level_1, pass_fold, pass_clean, pass_widen, pass_clean), "MatMul Softmax MatMul", 1e-2));
}

static void inputs_keep_their_type(void **state) {
    graph *g = parse_graph(HEAD "g (float16[b,4] x) => (float16[b,4] y) { y = Relu (x) }");
    run_passes(g, PASSES(pass_widen));
    assert_string_equal(ops(g), "Cast Relu");
    assert_int_equal(g->inputs[0]->type.dtype, NIB_DTYPE_F16);
    assert_int_equal(g->outputs[0]->type.dtype, NIB_DTYPE_F32);
    done(g);
}

static void bodies_too(void **state) {
    done(widened(HEAD
                 "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4] w0 = {@}> { w = Cast <to = 10> (w0) h = Cast <to = 10> (x)"
                 " r = If (mask) <then_branch = t () => (float16[b,4] o) { o = Mul (h, h) },"
                 " else_branch = e () => (float16[b,4] o2) { o2 = Add (h, w) }> y = Cast <to = 1> (r) }",
                 PASSES(level_1, pass_fold, pass_clean, pass_widen, pass_clean), "If", 1e-2));
}

static void attributes_too(void **state) {
    graph *g = widened(HEAD "g (float[b,4] x) => (float16[b,4] y) { s = Shape (x) o = ConstantOfShape <value = float16[1] {16896}> (s)"
                            " h = Cast <to = 10> (x) y = Add (h, o) }",
                       PASSES(level_1, pass_fold, pass_clean, pass_widen, pass_clean), "Shape ConstantOfShape Add", 1e-2);
    assert_int_equal(graph_find_attr(find_op(g, "", "ConstantOfShape"), "value")->u.tensor->dtype, NIB_DTYPE_F32);
    done(g);
}

static void what_is_unknown_is_left_alone(void **state) {
    graph *g =
        parse_graph(HEAD "g (float[b,4] x) => (float[b,4] y) { h = Cast <to = 10> (x) o = other.Strange (h) y = Cast <to = 1> (o) }");
    run_passes(g, PASSES(pass_widen));
    assert_int_equal(graph_attr_int(g->first, "to", 0), NIB_DTYPE_F16);
    assert_non_null(strstr(notes, "half precision is kept: Strange might not compute the same in f32"));
    done(g);
    g = parse_graph(HEAD "g (float[b,4] x) => (float[b,4] y) { y = Relu (x) }"); /* nothing to do, nothing said */
    run_passes(g, PASSES(pass_widen));
    assert_string_equal(notes, "");
    done(g);
}

/* A weight of 64 KB and more stays as it is where only Linear and Embed read it, and nowhere else. */
static void large_weights_are_kept(void **state) {
    static const pass_fn before[] = {pass_fold,   pass_clean, pass_widen,      pass_fold, pass_linear,
                                     pass_rotary, pass_embed, pass_widen_rest, NULL};
    graph *g = widened(HEAD "g (float[b,140] x) => (float16[b,240] y) <float[240,140] w0 = {@}> { w = Cast <to = 10> (w0)"
                            " h = Cast <to = 10> (x) t = Transpose <perm = [1, 0]> (w) y = MatMul (h, t) }",
                       before, "nib.Linear", 4e-2);
    assert_int_equal(g->first->inputs[1].value->constant->dtype, NIB_DTYPE_F16);
    assert_int_equal(graph_attr_int(g->first, "trans_w", 0), 1);
    done(g);
    g = widened(HEAD
                "g (int64[b,s] ids) => (bfloat16[b,s,140] y) <float[240,140] w0 = {@}> { w = Cast <to = 16> (w0) y = Gather (w, ids) }",
                before, "nib.Embed", 0);
    assert_int_equal(g->first->inputs[1].value->constant->dtype, NIB_DTYPE_BF16);
    done(g);
    g = widened(HEAD "g (float[240,140] x) => (float16[240,140] y) <float[240,140] w0 = {@}> { w = Cast <to = 10> (w0)"
                     " h = Cast <to = 10> (x) y = Add (h, w) }",
                before, "Add", 1e-2); /* read by an Add */
    done(g);
    g = widened(HEAD "g (float[b,140] x) => (float16[b,140] y) <float[240,140] w0 = {@}, int64[1] at = {7}> { w = Cast <to = 10> (w0)"
                     " h = Cast <to = 10> (x) r = Gather (w, at) y = Add (h, r) }",
                before, "Add", 1e-2); /* its rows are known */
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_half_layer_is_the_f32_layer),
        cmocka_unit_test(casts_around_guarded_nodes_go),
        cmocka_unit_test(inputs_keep_their_type),
        cmocka_unit_test(bodies_too),
        cmocka_unit_test(attributes_too),
        cmocka_unit_test(what_is_unknown_is_left_alone),
        cmocka_unit_test(large_weights_are_kept),
    };
    return cmocka_run_group_tests_name("pass_widen", tests, pass_setup, pass_teardown);
}
