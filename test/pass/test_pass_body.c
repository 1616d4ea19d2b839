/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of If and Loop in files: fused as the graph around them is, up to their edge, and written in the operators of the target. Where
 * the graph is run they are simplified only: test_pass_conv.
 */
#include "pass_test.h"

static nib_status for_file(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, NIB_OK; }
static nib_status for_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, NIB_OK; }
static nib_status no_pack(pass_context *ctx) { return ctx->mode = PASS_MODE_EXACT, NIB_OK; }
static nib_status without_bodies(pass_context *ctx) {
    static const char *const names[] = {"bodies"};
    return ctx->disabled = names, ctx->n_disabled = 1, NIB_OK;
}
static nib_status note_found(pass_context *ctx) { return pass_note_found(ctx), NIB_OK; }
static nib_status expand_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, pass_expand(ctx); }
static nib_status expand_standard(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, pass_expand(ctx); }

static const pass_fn ort[] = {for_ort, pass_run_all, note_found, expand_ort, pass_names, pass_body_names, NULL};
static const pass_fn standard[] = {for_file, pass_run_all, note_found, expand_standard, pass_names, pass_body_names, NULL};

#define WEIGHTS                                                                                                                            \
    "float[8,8] w = {@}, float[8,8] wq = {@}, float[8] c = {@}, float[8,8] wk = {@}, float[8,8] wv = {@}, float[8] gamma = {@}, float[8] " \
    "beta = {@}, float "                                                                                                                   \
    "half = {0.5}, "                                                                                                                       \
    "float one = {1}, float root = {1.4142135}, float two = {2}, float eps = {0.001}, int64[4] heads = {0,0,2,4}, int64[3] merge = "       \
    "{0,0,8}, int64 times = "                                                                                                              \
    "{2}, bool yes = {1}"
/* A layer, v -> out: product, GELU, layer norm written out, attention. */
#define GELU(in, out)                                                                                                                      \
    "d" out " = Div (" in ", root) e" out " = Erf (d" out ") f" out " = Add (e" out ", one) g" out " = Mul (" in ", f" out ") " out        \
    " = Mul (g" out ", half) "
#define NORM(in, out)                                                                                                                      \
    "m_ = ReduceMean <axes = [-1]> (" in ") s_ = Sub (" in                                                                                 \
    ", m_) p_ = Pow (s_, two) v_ = ReduceMean <axes = [-1]> (p_) ve = Add (v_, eps) r_ = Sqrt (ve) "                                       \
    "n_ = Div (s_, r_) ng = Mul (n_, gamma) " out " = Add (ng, beta) "
#define ATTENTION(in, out)                                                                                                                 \
    "q0 = MatMul (" in ", wq) k0 = MatMul (" in ", wk) u0 = MatMul (" in                                                                   \
    ", wv) q4 = Reshape (q0, heads) qh = Transpose <perm = [0,2,1,3]> (q4) "                                                               \
    "k4 = Reshape (k0, heads) kt = Transpose <perm = [0,2,3,1]> (k4) u4 = Reshape (u0, heads) uh = Transpose <perm = [0,2,1,3]> (u4) "     \
    "sc = MatMul (qh, kt) sm = Mul (sc, half) pr = Softmax <axis = -1> (sm) o4 = MatMul (pr, uh) ot = Transpose <perm = [0,2,1,3]> "       \
    "(o4) " out " = Reshape (ot, merge) "
#define LAYER(in, out)                                                                                                                     \
    "h_ = MatMul (" in ", w) hc = Add (h_, c) " GELU("hc", "ge") NORM("ge", "no") ATTENTION("no", "at") out " = Add (at, no) "

#define BRANCHES                                                                                                                           \
    HEAD "g (float[b,s,8] x, bool[1] mask) => (float[b,s,8] y) <" WEIGHTS                                                                  \
         "> { r = If (mask) <then_branch = t () => (float[b,s,8] o) { " LAYER(                                                             \
             "x", "o") " }, else_branch = e () => (float[b,s,8] o2) { o2 = Neg (x) }> y = Relu (r) }"
#define LOOP                                                                                                                               \
    HEAD "g (float[b,s,8] x) => (float[b,s,8] y) <" WEIGHTS "> { y = Loop (times, yes, x) <body = l (int64 i, bool t, float[b,s,8] v) => " \
         "(bool t2, float[b,s,8] o) { t2 = Identity (t) " LAYER("v", "o") " }> }"

static const graph *body_of(const graph *g, const char *type, const char *attribute) {
    return graph_find_attr(find_op(g, "", type), attribute)->u.graph;
}

static graph *written(const char *text, const pass_fn *passes) {
    graph *before = parse_graph(text), *g = clone_graph(before);
    run_passes(g, passes);
    check_equal(before, g, false);
    graph *again = clone_graph(g);
    char said[sizeof notes];
    memcpy(said, notes, sizeof said);
    run_passes(again, passes);
    base_str a, c;
    base_str_init(&a, &test_runtime->heap);
    base_str_init(&c, &test_runtime->heap);
    assert_int_equal(graph_print(g, 1000, &a), NIB_OK); /* bodies, too, and every name in them */
    assert_int_equal(graph_print(again, 1000, &c), NIB_OK);
    if (a.length != c.length || memcmp(a.data, c.data, a.length) != 0)
        fail_msg("%.*s\nbecomes\n%.*s", (int)a.length, a.data, (int)c.length, c.data);
    base_str_free(&a);
    base_str_free(&c);
    graph_free(again);
    graph_free(before);
    memcpy(notes, said, sizeof said);
    return g;
}

static void bodies_are_fused_in_files(void **state) {
    static const char *const ops_of[][3] = {{BRANCHES, "If", "then_branch"}, {LOOP, "Loop", "body"}};
    for (size_t i = 0; i < BASE_COUNT(ops_of); i++) {
        graph *g = written(ops_of[i][0], ort);
        const graph *body = body_of(g, ops_of[i][1], ops_of[i][2]);
        assert_int_equal(count_op(body, "com.microsoft", "Attention"), 1);
        assert_int_equal(count_op(body, "com.microsoft", "BiasGelu"), 1);
        assert_int_equal(count_op(body, "", "LayerNormalization"), 1);
        assert_int_equal(count_op(body, "", "Softmax") + count_op(body, "", "ReduceMean") + count_op(body, "", "Erf"), 0);
        assert_non_null(strstr(notes, "found: attention 1, norm 1"));
        done(g);
        g = written(ops_of[i][0], standard);
        body = body_of(g, ops_of[i][1], ops_of[i][2]);
        assert_int_equal(count_op(body, "", "LayerNormalization"), 1);
        assert_int_equal(count_op(body, "", "ReduceMean"), 0);
        done(g);
        /* where they are run: no */
        g = pass_check_same(ops_of[i][0], PASSES(no_pack, pass_run_all));
        assert_int_equal(count_op(body_of(g, ops_of[i][1], ops_of[i][2]), "", "MatMul"), 6);
        done(g);
        g = pass_check_same(ops_of[i][0], PASSES(for_ort, without_bodies, pass_run_all, note_found, expand_ort, pass_names));
        assert_int_equal(count_op(body_of(g, ops_of[i][1], ops_of[i][2]), "", "Softmax"), 1);
        done(g);
    }
}

/* A product around a Loop is not computed in every round, whatever in the body it would be fused with; nor do nodes of two graphs meet. */
static void a_body_ends_at_its_edge(void **state) {
    graph *g = written(
        HEAD "g (float[b,s,8] x) => (float[b,s,8] y) <" WEIGHTS
             "> { h = MatMul (x, w) y = Loop (times, yes, x) <body = l (int64 i, bool t, "
             "float[b,s,8] v) => (bool t2, float[b,s,8] o) { t2 = Identity (t) hc = Add (h, c) " GELU("hc", "ge") " o = Add (ge, v) }> }",
        ort);
    assert_string_equal(ops(g), "MatMul Loop");
    const graph *body = body_of(g, "Loop", "body");
    assert_int_equal(count_op(body, "", "MatMul"), 0);
    assert_ptr_equal(find_op(g, "", "MatMul")->outputs[0]->producer, g->first);
    done(g);
    /* keys and values of an attention in the branch are split around it */
    g = written(
        HEAD
        "g (float[b,s,8] x, bool[1] mask) => (float[b,s,8] y) <" WEIGHTS
        "> { k0 = MatMul (x, wk) k4 = Reshape (k0, heads) kt = Transpose <perm = "
        "[0,2,3,1]> (k4) r = If (mask) <then_branch = t () => (float[b,s,8] o) { q0 = MatMul (x, w) q4 = Reshape (q0, heads) qh = "
        "Transpose "
        "<perm = [0,2,1,3]> (q4) s = MatMul (qh, kt) p = Softmax <axis = -1> (s) u = MatMul (p, qh) ut = Transpose <perm = [0,2,1,3]> (u) "
        "o = Reshape (ut, merge) }, else_branch = e () => (float[b,s,8] o2) { o2 = Neg (x) }> y = Relu (r) }",
        ort);
    assert_int_equal(count_op(g, "", "MatMul"), 1);
    assert_int_equal(count_op(body_of(g, "If", "then_branch"), "", "Softmax"), 1);
    done(g);
}

/* A body in a body; and weights that two bodies read, which stay one. */
static void bodies_in_bodies(void **state) {
    graph *g = written(HEAD "g (float[b,s,8] x, bool[1] mask) => (float[b,s,8] y) <" WEIGHTS
                            "> { r = If (mask) <then_branch = t () => (float[b,s,8] o) { a = Abs (x) "
                            "o = If (mask) <then_branch = t2 () => (float[b,s,8] p) { " LAYER(
                                "a", "p") " }, else_branch = e2 () => (float[b,s,8] q) { q = Neg (a) }> }, "
                                          "else_branch = e () => (float[b,s,8] o2) { " LAYER("x", "o2") " }> y = Relu (r) }",
                       ort);
    const graph *outer = body_of(g, "If", "then_branch"), *inner = body_of(outer, "If", "then_branch"),
                *other = body_of(g, "If", "else_branch");
    assert_int_equal(count_op(inner, "com.microsoft", "MultiHeadAttention"), 1);
    assert_int_equal(count_op(other, "com.microsoft", "MultiHeadAttention"), 1);
    assert_int_equal(count_op(inner, "", "LayerNormalization") + count_op(other, "", "LayerNormalization"), 2);
    assert_int_equal(inner->n_constants + other->n_constants, 0);
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_are_fused_in_files),
        cmocka_unit_test(a_body_ends_at_its_edge),
        cmocka_unit_test(bodies_in_bodies),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
