/* SPDX-License-Identifier: Apache-2.0
 *
 * Passes that make graphs for files: constant shapes, equal constants, uniform constants, RMS norms in their long forms, other
 * opsets, random nodes, nib's operators written as ai.onnx's and com.microsoft's, and names.
 */
#include "pass_test.h"

static nib_status expand_standard(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, pass_expand(ctx); }
static nib_status expand_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, pass_expand(ctx); }
static nib_status only_simplify(pass_context *ctx) { return ctx->level = 1, NIB_OK; }
static nib_status for_file(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, NIB_OK; }
static nib_status note_random(pass_context *ctx) { return pass_note_random(ctx), NIB_OK; }
static nib_status to_18(pass_context *ctx) { return pass_opset(ctx, 18); }
static nib_status to_23(pass_context *ctx) { return pass_opset(ctx, 23); }

static void computed_shapes_become_constants(void **state) {
    graph *g = pass_check_same(
        HEAD "g (float[b,s,6] x) => (float[b,s,2,3] y) <int64 zero = {0}, int64 one = {1}, int64[1] ax = {0}, int64[2] t = {2,3}> {"
             " z = Shape (x) p = Gather (z, zero) q = Gather (z, one) p1 = Unsqueeze (p, ax) q1 = Unsqueeze (q, ax)"
             " to = Concat <axis = 0> (p1, q1, t) y = Reshape (x, to) }",
        PASSES(pass_fold, pass_reshape, pass_clean));
    assert_string_equal(ops(g), "Reshape");
    const int64_t *shape = g->first->inputs[1].value->constant->data;
    assert_true(shape[0] == 0 && shape[1] == 0 && shape[2] == 2 && shape[3] == 3);
    done(g);
    /* two sizes that neither stand in place nor are known need the arithmetic */
    pass_check_ops(HEAD
                   "g (float[b,s,6] x) => (float[s,b,6] y) <int64[3] o = {1,0,2}> { z = Shape (x) to = Gather (z, o) y = Reshape (x, to) }",
                   PASSES(pass_fold, pass_reshape, pass_clean), "Shape Gather Reshape");
}

static void reshapes_merge(void **state) {
    pass_check_ops(HEAD "g (float[b,s,6] x) => (float[b,s,6] y) <int64[2] flat = {-1,6}, int64[1] ax = {1}> {"
                        " z = Shape (x) f = Reshape (x, flat) u = Unsqueeze (f, ax) y = Reshape (u, z) }",
                   PASSES(pass_fold, pass_reshape, pass_clean), "Reshape");
    pass_check_ops(HEAD "g (float[b,s,6] x) => (float[b,s,6] y) <int64[2] flat = {-1,6}> { z = Shape (x) f = Reshape (x, flat) n = Neg (f) "
                        "y = Reshape (n, z) }",
                   PASSES(pass_fold, pass_reshape, pass_clean), "Shape Reshape Neg Reshape"); /* b * s apart again: no constant */
}

static void equal_constants_are_one(void **state) {
    pass_check_ops(HEAD "g (float[b,2] x) => (float[b,2] y, float[b,2] z) <float[2] a = {1,2}, float[2] c = {1,2}, float[1,2] d = {1,2}> {"
                        " y = Mul (x, a) m = Mul (x, c) n = Mul (x, d) z = Add (m, n) }",
                   PASSES(pass_constants, pass_clean), "Mul Mul Add");
}

static void uniform_constants_go_from_files(void **state) {
    static const char text[] = HEAD "g (float[b,2] x) => (float[b,2] y) <float[2] o = {1,1}, float[2] z = {0,0}, float[2] h = {1,2}> {"
                                    " m = Mul (o, x) a = Add (m, z) y = Add (a, h) }";
    pass_check_ops(text, PASSES(only_simplify, pass_clean), "Add");
    pass_check_ops(text, PASSES(pass_clean), "Mul Add Add"); /* a norm may want its scale */
    pass_check_ops(HEAD "g (float[b,1] x) => (float[b,2] y) <float[2] o = {1,1}> { y = Mul (x, o) }", PASSES(only_simplify, pass_clean),
                   "Mul");
}

#define RMS(form)                                                                                                                          \
    HEAD "g (float[b,4] x) => (float[b,4] y) <float two = {2}, float one = {1}, float eps = {0.00001}, float[4] w = {1,2,3,4}> {" form "}"

static void rms_norms_in_long_forms(void **state) {
    static const char *const forms[] = {
        RMS("p = Pow (x, two) m = ReduceMean <axes = [-1]> (p) e = Add (m, eps) s = Sqrt (e) r = Reciprocal (s) n = Mul (x, r) y = Mul (w, "
            "n)"),
        RMS("p = Pow (x, two) m = ReduceMean <axes = [-1]> (p) e = Add (m, eps) s = Sqrt (e) r = Div (one, s) n = Mul (x, r) y = Mul (n, "
            "w)"),
        RMS("p = Mul (x, x) m = ReduceMean <axes = [-1]> (p) e = Add (m, eps) s = Sqrt (e) n = Div (x, s) y = Mul (n, w)"),
    };
    for (size_t i = 0; i < BASE_COUNT(forms); i++) {
        graph *g = pass_check_same(forms[i], PASSES(pass_norm));
        assert_string_equal(graph_attr_string(find_op(g, "nib", "Norm"), "kind", ""), "rms");
        done(g);
    }
    pass_check_ops(RMS("p = Pow (x, two) m = ReduceMean <axes = [0]> (p) e = Add (m, eps) s = Sqrt (e) n = Div (x, s) y = Mul (n, w)"),
                   PASSES(pass_norm), "Pow ReduceMean Add Sqrt Div Mul"); /* not over rows */
}

static void other_opsets(void **state) {
    pass_check_ops(HEAD "g (float[b,4] x) => (float[b] y) { y = ReduceMean <axes = [1], keepdims = 0> (x) }", PASSES(to_18), "ReduceMean");
    graph *g = pass_check_same(HEAD "g (float[b,4] x) => (float[b,2] y, float[b,2] z) { y, z = Split <axis = 1> (x) }", PASSES(to_18));
    assert_int_equal(graph_attr_int(g->first, "num_outputs", 0), 2);
    assert_int_equal(graph_opset_version(g, ""), 18);
    done(g);
    g = parse_graph(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4] w = {1,2,3,4}> { y = LayerNormalization (x, w) }");
    nib_error err = {0};
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    assert_int_equal(pass_opset(&ctx, 13), NIB_UNSUPPORTED); /* there is none */
    assert_non_null(strstr(err.message, "LayerNormalization"));
    graph_free(g);
}

#define BLOCK                                                                                                                              \
    "g (float[b,s,4] x) => (float[b,s,4] y) <float[4,4] w = {@}, float[4] c = {@}, float[4,4] w2 = {@}, float[4] c2 = {@}, float half = "  \
    "{0.5},"                                                                                                                               \
    " float one = {1}, float root = {1.41421354}, float[4] gamma = {@}, float[4] beta = {@}> {"                                            \
    " m = MatMul (x, w) a = Add (m, c) d = Div (a, root) e = Erf (d) f = Add (e, one) h = Mul (a, f) i = Mul (h, half)"                    \
    " m2 = MatMul (i, w2) a2 = Add (m2, c2) r = Add (a2, x) y = LayerNormalization <axis = -1> (r, gamma, beta) }"

static void fused_ones_are_written_back(void **state) {
    pass_check_ops(HEAD BLOCK, PASSES(for_file, pass_run_all, expand_standard),
                   "MatMul Add Div Erf Add Mul Mul MatMul Add Add LayerNormalization");
    pass_check_ops(HEAD BLOCK, PASSES(for_file, to_23, pass_run_all, expand_standard), "MatMul Add Gelu MatMul Add Add LayerNormalization");
    graph *g =
        parse_graph(HEAD BLOCK); /* com.microsoft's have no evaluation here: ONNX Runtime checks them (tools/compare_optimizers.py) */
    run_passes(g, PASSES(for_file, pass_run_all, expand_ort, pass_names));
    assert_string_equal(ops(g), "MatMul com.microsoft.BiasGelu MatMul Sum LayerNormalization");
    const graph_node *n = g->last->prev;
    assert_int_equal(n->n_inputs, 3);
    assert_ptr_equal(n->inputs[1].value, g->inputs[0]);
    assert_string_equal(n->inputs[2].value->name, "c2");
    assert_string_equal(g->outputs[0]->name, "y");
    graph_free(g);
}

/* Rows of a table, a layer norm, a product with GELU and one attention, in words of opset 9 (-1 is no axis there yet). */
#define OLD(opset)                                                                                                                         \
    HEAD_OF(opset)                                                                                                                         \
    "g (int64[b,s] ids) => (float[b,s,4] y) <float[5,4] words = {@}, float[4,4] w = {@}, float[4,4] wk = {@}, float[4] c = {@}, "          \
    "float[4] gamma = {@}, float[4] beta = {@}, float two = {2}, float eps = {0.00001}, float root = {1.41421354}, float one = {1}, "      \
    "float half = {0.5}, int64[4] split = {0,0,2,2}, int64[3] merge = {0,0,4}> {"                                                          \
    " e = Gather (words, ids) m = ReduceMean <axes = [2]> (e) d = Sub (e, m) p = Pow (d, two) v = ReduceMean <axes = [2]> (p)"             \
    " ve = Add (v, eps) sd = Sqrt (ve) n = Div (d, sd) g0 = Mul (n, gamma) h = Add (g0, beta)"                                             \
    " q0 = MatMul (h, w) q1 = Add (q0, c) k0 = MatMul (h, wk) k1 = Add (k0, c) q2 = Reshape (q1, split) k2 = Reshape (k1, split)"          \
    " q = Transpose <perm = [0,2,1,3]> (q2) k = Transpose <perm = [0,2,3,1]> (k2) vh = Transpose <perm = [0,2,1,3]> (k2)"                  \
    " s0 = MatMul (q, k) s1 = Mul (s0, half) pr = Softmax <axis = 3> (s1) o = MatMul (pr, vh) ot = Transpose <perm = [0,2,1,3]> (o)"       \
    " r = Reshape (ot, merge) f0 = MatMul (r, w) f = Add (f0, c) x0 = Div (f, root) x1 = Erf (x0) x2 = Add (x1, one) x3 = Mul (f, x2)"     \
    " y = Mul (x3, half) }"

static void old_opsets_are_fused_and_kept(void **state) {
    static const char *const texts[] = {OLD(9), OLD(10), OLD(11), OLD(12)};
    for (int i = 0; i < 4; i++)
        for (int ort = 0; ort < 2; ort++) {
            graph *before = parse_graph(texts[i]), *g = clone_graph(before);
            run_passes(g, PASSES(for_file, pass_run_all));
            assert_int_equal(count_op(g, "nib", "Norm"), 1);
            assert_int_equal(count_op(g, "nib", "Attention"), 1);
            assert_int_equal(count_op(g, "nib", "Embed"), 1);
            run_passes(g, PASSES(ort ? expand_ort : expand_standard, pass_names));
            assert_int_equal(graph_opset_version(g, ""), 9 + i);
            if (ort)
                assert_string_equal(ops(g), "Gather ReduceMean Sub Mul ReduceMean Add Sqrt Div Mul Add MatMul Add MatMul Add "
                                            "com.microsoft.MultiHeadAttention MatMul com.microsoft.BiasGelu");
            for (const graph_node *n = g->first; n; n = n->next) {
                assert_string_not_equal(n->domain, "nib");
                assert_ptr_equal(n->meaning, op_find(n->domain, n->op, n->domain[0] ? 1 : 9 + i));
                assert_non_null(n->meaning);
                if (graph_find_attr(n, "axis")) assert_true(graph_attr_int(n, "axis", 0) >= 0 || i >= 2);
                const int64_t *axes;
                if (graph_attr_ints(n, "axes", &axes) == 1) assert_true(axes[0] == 2 || i >= 2);
            }
            check_equal(before, g, false);
            graph_free(before);
            done(g);
        }
}

/* A file is for use: its Dropouts are off, whatever they were set to, and gone; in bodies, and where opset 6 says so with an attribute. */
static void dropouts_are_off_in_files(void **state) {
    static const char *const texts[] = {
        HEAD
        "g (float[b,s,4] x, bool t) => (float[b,s,4] y) <float ratio = {0.5}, bool train = {1}, bool never = {0}> { d = Dropout (x, ratio, "
        "train) e = Dropout (d, ratio, t) f = Dropout (e, ratio, never) y = Neg (f) }",
        HEAD "g (float[b,s,4] x, bool t) => (float[b,s,4] y) <float ratio = {0.5}, bool train = {1}> { y = If (t) <then_branch = a () => "
             "(float[b,s,4] "
             "yes) { d = Dropout (x, ratio, train) yes = Neg (d) }, else_branch = c () => (float[b,s,4] no) { no = Abs (x) }> }",
        HEAD_OF(6) "g (float[b,s,4] x) => (float[b,s,4] y) { d = Dropout <ratio = 0.5> (x) y = Neg (d) }",
    };
    static const int off[] = {2, 1, 1};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = parse_graph(texts[i]);
        pass_context ctx;
        run_context(g, &ctx, PASSES(for_file, pass_dropout, pass_run_all));
        assert_int_equal(ctx.dropouts, off[i]);
        if (!strstr(notes, "Dropout at d is set to training: it is off")) fail_msg("it says: %s", notes);
        assert_int_equal(count_op(g, "", "Dropout"), 0);
        done(g);
    }
}

/* Without a seed, a name says what numbers a node draws: they are the same behind a level that renames. A Dropout that is not known to
 * rest is not one node with its neighbour, and its numbers are not folded. */
static void random_nodes_keep_their_numbers(void **state) {
    static const char text[] = HEAD
        "g (float[b,s,4] x) => (float[b,s,4] y) <float[4,4] w = {@}, float ratio = {0.5}, bool train = {1}, float[4] ones = {1,1,1,1}> {"
        " a_7 = MatMul (x, w) d_3_1 = Dropout (a_7, ratio, train) d_3_2 = Dropout (a_7, ratio, train) n_4 = RandomNormalLike (x)"
        " k_9 = Dropout (ones, ratio, train) s_1 = Add (d_3_1, d_3_2) s_2 = Add (s_1, n_4) y = Mul (s_2, k_9) }";
    graph *before = parse_graph(text), *g = clone_graph(before);
    run_passes(g, PASSES(for_file, pass_run_all, expand_standard, note_random, pass_names));
    if (!strstr(notes, "draws random numbers when it runs: Dropout at d_3_1 and 3 more")) fail_msg("it says: %s", notes);
    assert_int_equal(count_op(g, "", "Dropout"), 3);
    assert_null(graph_find_value(g, "a_7")); /* others are renamed */
    check_equal(before, g, false);
    graph_free(before);
    done(g);
    g = parse_graph(HEAD "g (float[b,4] x) => (float[b,4] y) <float half = {0.5}> { d = Dropout (x, half) y = Neg (d) }");
    run_passes(g, PASSES(note_random));
    assert_string_equal(notes, "");
    done(g);
}

static void names_depend_on_the_graph_only(void **state) {
    graph *g = parse_graph(HEAD "g (float[b,2] x) => (float[b,2] y) <float k_7 = {2}, float[2] w_3 = {1,2}> {"
                                " a_5_9 = Mul (x, k_7) a = Add (a_5_9, w_3) b_1 = Neg (a) y = Exp (b_1) }");
    run_passes(g, PASSES(pass_names));
    static const char *const want[] = {"a", "a_1", "b", "y"};
    int i = 0;
    for (const graph_node *n = g->first; n; n = n->next, i++) {
        assert_string_equal(n->outputs[0]->name, want[i]);
        assert_string_equal(n->name, want[i]);
        assert_ptr_equal(graph_find_value(g, want[i]), n->outputs[0]);
    }
    assert_string_equal(g->constants[0]->name, "k");
    assert_string_equal(g->constants[1]->name, "w_3"); /* a weight keeps its name */
    assert_null(graph_find_value(g, "a_5_9"));
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(computed_shapes_become_constants), cmocka_unit_test(reshapes_merge),
        cmocka_unit_test(equal_constants_are_one),          cmocka_unit_test(uniform_constants_go_from_files),
        cmocka_unit_test(rms_norms_in_long_forms),          cmocka_unit_test(other_opsets),
        cmocka_unit_test(fused_ones_are_written_back),      cmocka_unit_test(names_depend_on_the_graph_only),
        cmocka_unit_test(old_opsets_are_fused_and_kept),    cmocka_unit_test(dropouts_are_off_in_files),
        cmocka_unit_test(random_nodes_keep_their_numbers),
    };
    return cmocka_run_group_tests_name("pass_file", tests, pass_setup, pass_teardown);
}
