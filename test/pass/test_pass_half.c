/* SPDX-License-Identifier: Apache-2.0
 *
 * Half precision: what computes in f16, what stays f32 and is named with its value, where the Casts stand, what becomes of masks
 * and weights. Ranges are measured here by the operators' evals, on inputs in (-1, 1).
 */
#include "pass_test.h"
#include "base/base_half.h"

/* Ranges of every f32 value, from one run of each. */
static pass_range *measure(const graph *g) {
    static pass_range ranges[1000];
    static const int64_t sizes[] = {2, 5, 3};
    assert_in_range(g->value_limit, 0, 999);
    for (size_t i = 0; i < BASE_COUNT(ranges); i++) ranges[i] = (pass_range){-1, -1};
    base_arena arena;
    base_arena_init(&arena, &test_runtime->heap);
    op_env *env = op_env_create(g, &arena, 64u << 20, &test_kernels);
    uint32_t seed = 99;
    for (int k = 0; k < g->n_inputs; k++) {
        graph_tensor t;
        fill_input(&arena, g->inputs[k], sizes, 3, &seed, &t);
        assert_int_equal(op_env_set(env, g->inputs[k], &t), NIB_OK);
        if (t.dtype == NIB_DTYPE_F32) pass_range_add(&ranges[g->inputs[k]->id], t.data, t.bytes / 4);
    }
    for (const graph_node *n = g->first; n; n = n->next) {
        const graph_tensor *t;
        nib_error err;
        assert_int_equal(op_env_get(env, n->outputs[0], &t, &err), NIB_OK);
        if (t->dtype == NIB_DTYPE_F32) pass_range_add(&ranges[n->outputs[0]->id], t->data, t->bytes / 4);
    }
    base_arena_free(&arena);
    return ranges;
}

static nib_status half(pass_context *ctx) { return pass_half(ctx, measure(ctx->g), (size_t)ctx->g->value_limit); }

static graph *source; /* of the last halved graph, which borrows its constants */

static void finish(graph *g) {
    graph_free(g);
    graph_free(source);
    source = NULL;
}

/* The halved graph: its operators are `want`, each output within `tolerance` of the f32 graph's. Free it with finish(). */
static graph *halved(const char *text, const char *want, double tolerance) {
    static const int64_t sizes[] = {2, 5, 3};
    graph *before = parse_graph(text), *after = clone_graph(before);
    run_passes(after, PASSES(half));
    if (strcmp(ops(after), want) != 0) fail_msg("%s\nbecomes \"%s\", not \"%s\"\n%s", text, ops(after), want, notes);
    for (int i = 0; i < before->n_outputs; i++) {
        base_arena arena;
        base_arena_init(&arena, &test_runtime->heap);
        compare(run_graph(before, &arena, sizes, 3, i), run_graph(after, &arena, sizes, 3, i), before->outputs[i]->name, false, tolerance);
        base_arena_free(&arena);
    }
    for (int i = 0; i < after->n_inputs; i++) assert_int_equal(after->inputs[i]->type.dtype, before->inputs[i]->type.dtype);
    for (int i = 0; i < after->n_outputs; i++) assert_string_equal(after->outputs[i]->name, before->outputs[i]->name);
    source = before;
    return after;
}

static void said(const char *text) {
    if (!strstr(notes, text)) fail_msg("\"%s\" was not said, but:\n%s", text, notes);
}

static void casts_stand_at_the_ends_only(void **state) {
    graph *g = halved(
        HEAD "g (float[b,4] x) => (float[b,3] y) <float[4,3] w = {@}, float[3] c = {@}> { m = MatMul (x, w) a = Add (m, c) y = Relu (a) }",
        "Cast MatMul Add Relu Cast", 4e-3);
    assert_int_equal(graph_attr_int(g->first, "to", 0), NIB_DTYPE_F16);
    assert_int_equal(graph_attr_int(g->last, "to", 0), NIB_DTYPE_F32);
    const graph_tensor *w = find_op(g, "", "MatMul")->inputs[1].value->constant;
    assert_int_equal(w->dtype, NIB_DTYPE_F16);
    assert_string_equal(find_op(g, "", "MatMul")->inputs[1].value->name, "w");
    said("3 nodes compute in f16, 0 stay f32");
    finish(g);
}

static void weights_round_to_nearest_even(void **state) {
    graph *g =
        halved(HEAD "g (float[b,1] x) => (float[b,6] y) <float[1,6] w = {1.00048828125, 1.00146484375, 0.00001, 0.00000001, -2.5, 0}> {"
                    " y = MatMul (x, w) }",
               "Cast MatMul Cast", 1e-3);
    const uint16_t *w = find_op(g, "", "MatMul")->inputs[1].value->constant->data;
    assert_int_equal(w[0], 0x3c00); /* between 1 and 1 + 2^-10: to even */
    assert_int_equal(w[1], 0x3c02);
    assert_true(w[2] > 0 && w[2] < 0x400);
    assert_int_equal(w[3], 0);
    assert_int_equal(w[4], 0xc100);
    said("of 6 weights 2 lie below f16's least normal number (6.1e-5) and lose digits, 1 become 0");
    finish(g);
}

static void what_is_too_large_stays_and_is_named(void **state) {
    /* the middle product leaves the range: it and its neighbours of little work stay */
    graph *g = halved(HEAD "g (float[b,2] x) => (float[b,2] y) <float[2,2] w = {@}, float[2,2] big = {30000, 30000, 30000, 30000},"
                           " float[2,2] small = {0.0001, 0.0002, 0.0001, 0.0002}, float k = {4}> {"
                           " a = MatMul (x, w) b4 = Mul (a, k) m = MatMul (b4, big) n = Neg (m) r = MatMul (n, small) y = MatMul (r, w) }",
                      "Cast MatMul Mul Cast MatMul Neg MatMul Cast MatMul Cast", 1e-2);
    said("half: MatMul m stays f32: output m reaches ");
    said("half: MatMul r stays f32: input n reaches ");
    finish(g);
    /* a weight */
    g = halved(HEAD "g (float[b,2] x) => (float[b,2] y) <float[2] w = {50000, 1}> { n = Neg (x) a = Exp (n) m = Mul (a, w) y = Log (m) }",
               "Cast Neg Exp Cast Mul Log", 1e-2);
    said("half: Mul m stays f32: weight w reaches 50000, beyond 32752");
    finish(g);
    /* an epsilon that would be 0 */
    g = halved(HEAD "g (float[b,2] x) => (float[b,2] y) <float e = {0.000000000001}> { a = Abs (x) m = Add (a, e) y = Sqrt (m) }",
               "Abs Add Sqrt", 1e-6);
    said("half: Add m stays f32: 1e-12 would become 0");
    finish(g);
}

static void operators_without_a_form_stay(void **state) {
    graph *g = halved(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w = {@}> {"
                           " m = MatMul (x, w) n = Celu (m) k = MatMul (n, w) y = Relu (k) }",
                      "Cast MatMul Cast Celu Cast MatMul Relu Cast", 1e-2);
    said("half: 1 Celu stays f32: no f16 form in this opset");
    finish(g);
    /* CumSum has one from opset 14 on, but adds up */
    g = halved(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w = {@}, int64 one = {1}> { m = MatMul (x, w) y = CumSum (m, one) }",
               "Cast MatMul Cast CumSum", 1e-2);
    said("half: 1 CumSum stays f32: sums of many numbers lose digits in f16");
    finish(g);
}

static void written_out_norms_stay_whole(void **state) {
    graph *g =
        halved(HEAD "g (float[b,s,4] x) => (float[b,s,4] y) <float[4,4] w = {@}, float two = {2}, float e = {0.00001}, float[4] g1 = {@},"
                    " float[4] b1 = {@}> {"
                    " h = MatMul (x, w) m = ReduceMean <axes = [-1]> (h) d = Sub (h, m) p = Pow (d, two) v = ReduceMean <axes = [-1]> (p)"
                    " q = Add (v, e) s1 = Sqrt (q) n = Div (d, s1) o = Mul (n, g1) t = Add (o, b1) y = MatMul (t, w) }",
               "Cast MatMul Cast ReduceMean Sub Pow ReduceMean Add Sqrt Div Mul Add Cast MatMul Cast", 3e-2);
    said("half: 2 ReduceMean stay f32");
    said("2 nodes compute in f16, 9 stay f32 (9 of them around sums)");
    finish(g);
}

static void positions_stay(void **state) {
    graph *g =
        halved(HEAD "g (float[b,s,4] x, int64[b,s] ids) => (float[b,s,4] y) <float[4,4] w = {@}, float[1] f = {0.5}, int64[1] ax = {2}> {"
                    " c = Cast <to = 1> (ids) u = Unsqueeze (c, ax) a = Mul (u, f) r = Cos (a) m = MatMul (x, w) y = Mul (m, r) }",
               "Cast Cast Unsqueeze Mul Cos Cast MatMul Mul Cast", 2e-3);
    said("and 4 that count sizes and positions");
    finish(g);
}

/* Ids are whole numbers, too: what looks rows of weights up with them, by whatever operator, is no position. */
static void tables_are_weights(void **state) {
#define TABLE "float[4,4] t = {@}, float[4,4] w = {@}, int64 four = {4}, float[2] values = {0, 1}, float[4] g1 = {@}, float[4] b1 = {@}"
    (void)state;
    graph *g = halved(HEAD "g (int64[b,s] ids) => (float[b,s,4] y) <" TABLE "> { h = OneHot (ids, four, values) e = MatMul (h, t) "
                           "y = MatMul (e, w) }",
                      "OneHot Cast MatMul MatMul Cast", 2e-3);
    finish(g);
    g = halved(HEAD "g (int64[b,s] ids) => (float[b,s,4] y) <" TABLE ", uint8[4,4] q = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}, "
                    "float scale = {0.1}> { r = Gather (q, ids) e = DequantizeLinear (r, scale) y = MatMul (e, w) }",
               "Gather DequantizeLinear Cast MatMul Cast", 2e-3); /* a quantized one, too */
    finish(g);
    g = parse_graph(HEAD "g (int32[b,s] ids, int32[b,s] mask) => (float[b,s,4] y) <" TABLE
                         "> { e, m = com.microsoft.EmbedLayerNormalization "
                         "(ids, \"\", t, w, \"\", g1, b1, \"\", mask) y = MatMul (e, w) }");
    pass_context ctx;
    run_context(g, &ctx, PASSES(half));
    assert_int_equal(find_op(g, "", "MatMul")->inputs[1].value->type.dtype, NIB_DTYPE_F16);
    assert_int_equal(ctx.half.all, 64);
    assert_int_equal(ctx.half.half, 64);
    done(g);
    g = parse_graph(HEAD "g (float[b,2] x, bool c) => (float[b,2] y) <float[2,2] w = {@}, float[2,2] big = {50000, 0, 0, 50000}> { "
                         "a = MatMul (x, w) d = MatMul (a, big) y = If (c) <then_branch = t () => (ty) { ty = MatMul (d, w) }, "
                         "else_branch = e () => (ey) { ey = Neg (d) }> }");
    run_context(g, &ctx, PASSES(half));
    assert_int_equal(ctx.half.all, 48); /* one became f16, one is beyond its range, one stands in a body */
    assert_int_equal(ctx.half.half, 16);
    assert_int_equal(ctx.half.guarded, 16);
    done(g);
}

static void masks_are_clamped(void **state) {
    static const char text[] = HEAD
        "g (float[b,s,s] x, int64[b,s] mask) => (float[b,s,s] y) <float one = {1}, float low = {-3.4e38}, int64[1] ax = {1}> {"
        " c = Cast <to = 1> (mask) i = Sub (one, c) m = Mul (i, low) u = Unsqueeze (m, ax) a = Add (x, u) y = Softmax <axis = -1> (a) }";
    mask_kind = MASK_RIGHT;
    graph *g = halved(text, "Cast Cast Sub Mul Unsqueeze Cast Add Softmax Cast", 2e-3);
    said("half: low means masked: -3.4e+38 became -32752");
    double x;
    assert_true(graph_scalar(find_op(g, "", "Mul")->inputs[1].value, &x) && x == -32752);
    finish(g);
    /* every key masked: still no NaN */
    mask_kind = MASK_EMPTY_ROW;
    g = halved(text, "Cast Cast Sub Mul Unsqueeze Cast Add Softmax Cast", 2e-1);
    finish(g);
    mask_kind = MASK_FULL;
    /* what reaches an output is a number like any other */
    g = halved(HEAD "g (float[b,2] x) => (float[b,2] y) <float low = {-1e9}> { r = Relu (x) y = Add (r, low) }", "Relu Add", 1e-6);
    said("weight low reaches 1e+09");
    finish(g);
}

static void casts_that_are_there_are_used(void **state) {
    /* a file that is half f16 already: no pair of Casts is left between two f16 nodes */
    graph *g = halved(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w = {@}> {"
                           " h = Cast <to = 10> (x) r = Relu (h) f = Cast <to = 1> (r) m = MatMul (f, w) k = Cast <to = 10> (m) n = Neg (k)"
                           " y = Cast <to = 1> (n) }",
                      "Cast Relu MatMul Neg Cast", 5e-3);
    finish(g);
}

static void bodies_keep_their_types(void **state) {
    graph *g = halved(HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4,4] w = {@}> {"
                           " m = MatMul (x, w) r = If (mask) <then_branch = t () => (float[b,4] o) { o = Neg (m) },"
                           " else_branch = e () => (float[b,4] o2) { o2 = Abs (m) }> k = MatMul (r, w) y = Relu (k) }",
                      "Cast MatMul Cast If Cast MatMul Relu Cast", 1e-2);
    finish(g);
}

/* A difference in front of a rounding to 8 bits is a step behind it: f16 begins behind the last. */
static void what_is_rounded_to_8_bits_stays(void **state) {
    graph *g = halved(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w = {@}, float[4,4] w2 = {@}> {"
                           " h = MatMul (x, w) r = Relu (h) q, s, z = DynamicQuantizeLinear (r) d = DequantizeLinear (q, s, z)"
                           " m = MatMul (d, w2) y = Tanh (m) }",
                      "MatMul Relu DynamicQuantizeLinear DequantizeLinear Cast MatMul Tanh Cast", 1e-2);
    said("half: 2 nodes stay f32: 8 bits are made of what they compute");
    said("half: 2 nodes compute in f16, 4 stay f32");
    finish(g);
    g = halved(HEAD "g (float[b,4] x) => (float[b,4] y, float[b,4] z) <float[4,4] w = {@}> {" /* one branch is rounded */
                    " h = MatMul (x, w) r = Relu (h) t = Tanh (h) u = MatMul (t, w) z = Relu (u) y = Round (r) }",
               "MatMul Cast Relu Tanh MatMul Relu Cast Round", 1e-2);
    finish(g);
    g = halved(HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4,4] w = {@}> {" /* in a body */
                    " m = MatMul (x, w) r = If (mask) <then_branch = t () => (float[b,4] o) { o = Round (m) },"
                    " else_branch = e () => (float[b,4] o2) { o2 = Abs (m) }> k = MatMul (r, w) y = Relu (k) }",
               "MatMul If Cast MatMul Relu Cast", 1e-2);
    finish(g);
}

/* Twice is once. */
static void a_second_time_changes_nothing(void **state) {
    graph *g = halved(HEAD "g (float[b,4] x) => (float[b,4] y) <float[4,4] w = {@}, float[4,4] big = {@}, float k = {40000}> {"
                           " m = MatMul (x, w) n = Mul (m, k) o = ReduceMax <axes = [1]> (n) p = Div (n, o) y = MatMul (p, big) }",
                      "Cast MatMul Cast Mul ReduceMax Div Cast MatMul Cast", 1e-1);
    base_str a, b;
    base_str_init(&a, &test_runtime->heap);
    base_str_init(&b, &test_runtime->heap);
    assert_int_equal(graph_print(g, 4, &a), NIB_OK);
    run_passes(g, PASSES(half));
    assert_int_equal(graph_print(g, 4, &b), NIB_OK);
    assert_string_equal(a.data, b.data);
    base_str_free(&a);
    base_str_free(&b);
    finish(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(casts_stand_at_the_ends_only),
        cmocka_unit_test(weights_round_to_nearest_even),
        cmocka_unit_test(what_is_too_large_stays_and_is_named),
        cmocka_unit_test(operators_without_a_form_stay),
        cmocka_unit_test(written_out_norms_stay_whole),
        cmocka_unit_test(positions_stay),
        cmocka_unit_test(masks_are_clamped),
        cmocka_unit_test(tables_are_weights),
        cmocka_unit_test(casts_that_are_there_are_used),
        cmocka_unit_test(bodies_keep_their_types),
        cmocka_unit_test(what_is_rounded_to_8_bits_stays),
        cmocka_unit_test(a_second_time_changes_nothing),
    };
    return cmocka_run_group_tests_name("pass_half", tests, pass_setup, pass_teardown);
}
