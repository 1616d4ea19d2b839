/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing: the packed encoder gives the same rows as the padded one wherever the mask is not 0, and zeros elsewhere, for every
 * way to pad; and every refusal leaves the padded graph and says why.
 */
#include "pass_test.h"

#define PADDING "u = Unsqueeze (attention_mask, ax12) f = Cast <to = 1> (u) n = Sub (one, f) bias = Mul (n, lowest) "
#define ALL PASSES(pass_run_all)

typedef struct encoder {
    const char *bias, *bias2; /* bias2: of the second attention; NULL: the same */
    const char *middle;       /* h1 -> h2, between the two layers */
    const char *tail, *outputs, *inputs;
    const char *sizes, *constant; /* of input_ids, instead of b,s; shape of c; NULL: none */
} encoder;

static const encoder plain = {
    .bias = PADDING, .middle = "h2 = Identity (h1)", .tail = "y = Identity (h3)", .outputs = "float[b,s,8] y", .inputs = ""};

static char *layer(char *out, size_t capacity, const char *x, const char *y, const char *bias, const char *id) {
    char text[1500], *to = out;
    snprintf(text, sizeof text,
             "@q0 = MatMul (%s, wq) @q = Add (@q0, bq) @k0 = MatMul (%s, wk) @k = Add (@k0, bk) @v0 = MatMul (%s, wv) @v = Add (@v0, bv)"
             " @q4 = Reshape (@q, split) @qh = Transpose <perm = [0,2,1,3]> (@q4) @k4 = Reshape (@k, split) @kh = Transpose <perm = "
             "[0,2,3,1]> (@k4)"
             " @v4 = Reshape (@v, split) @vh = Transpose <perm = [0,2,1,3]> (@v4) @m = MatMul (@qh, @kh) @d = Div (@m, two) %s @p = "
             "Softmax <axis = -1> (@s)"
             " @c = MatMul (@p, @vh) @ct = Transpose <perm = [0,2,1,3]> (@c) @r = Reshape (@ct, merge)"
             " @o = MatMul (@r, wo) @o1 = Add (@o, bq) @a = Add (@o1, %s) @n1 = LayerNormalization <axis = -1> (@a, gamma, beta)"
             " @f0 = MatMul (@n1, w1) @f1 = Add (@f0, b1) @g = Relu (@f1) @f2 = MatMul (@g, w2) @f3 = Add (@f2, bk) @a2 = Add (@f3, @n1)"
             " %s = LayerNormalization <axis = -1> (@a2, gamma, beta) ",
             x, x, x, bias, x, y);
    for (const char *p = text; *p && to < out + capacity - 4; p++) { /* @ stands for this layer's prefix */
        if (*p == '@') *to++ = *id;
        else *to++ = *p;
    }
    *to = 0;
    return out;
}

static graph *build(encoder e) {
    static char one[3000], two[3000], text[9000];
    snprintf(text, sizeof text,
             HEAD "g (int64[b,s] input_ids, int64[b,s] attention_mask%s) => (%s)"
                  " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, float two = {2}, float one = {1}, float zero = {0}, float "
                  "lowest = {-3.4e38}, float ninf = {-inf}, int64[2] ax12 = {1,2}, int64[2] ax01 = {0,1},"
                  " int64 i0 = {0}, int64 i1 = {1}, int64[1] v0 = {0}, int64[1] v1 = {1}, int64[1] v2 = {2}, float[6,8] words = {@}, "
                  "float[16,8] positions = {@},"
                  " float[8,8] wq = {@}, float[8,8] wk = {@}, float[8,8] wv = {@}, float[8,8] wo = {@}, float[8,12] w1 = {@}, float[12,8] "
                  "w2 = {@}, float[8] bq = {@}, float[8] bk = {@},"
                  " float[8] bv = {@}, float[12] b1 = {@}, float[8] gamma = {@}, float[1,1,8] row = {@}, float[8] beta = {@}> {"
                  " sh = Shape (input_ids) len = Gather (sh, i1) r0 = Range (i0, len, i1) pos = Unsqueeze (r0, v0)"
                  " e0 = Gather (words, input_ids) e1 = Gather (positions, pos) e2 = Add (e0, e1) h0 = LayerNormalization <axis = -1> (e2, "
                  "gamma, beta) %s %s %s %s %s }",
             e.inputs, e.outputs, e.bias, layer(one, sizeof one, "h0", "h1", "@s = Add (@d, bias)", "A"), e.middle,
             layer(two, sizeof two, "h2", "h3", e.bias2 ? e.bias2 : "@s = Add (@d, bias)", "B"), e.tail);
    if (!e.sizes) return parse_graph(text);
    static char sized[9500];
    char *to = sized;
    for (const char *p = text; *p; p++) { /* b,s is written so in shapes alone */
        if (strncmp(p, "[b,s", 4) == 0) to += sprintf(to, "[%s", e.sizes), p += 3;
        else *to++ = *p;
        if (e.constant && strncmp(p, "> { ", 4) == 0 && to < sized + 9400)
            to += sprintf(to - 1, ", float[%s] c = {@}>", e.constant) - 1, e.constant = NULL;
    }
    *to = 0;
    return parse_graph(sized);
}

/* Packs with every kind of mask and compares; returns the packed graph. */
static graph *check_packed(encoder e, bool tokens_only) {
    graph *before = build(e), *after = clone_graph(before);
    run_passes(after, ALL);
    if (!strstr(notes, "batches are packed: attention_mask")) fail_msg("not packed: %s", notes);
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, after, tokens_only);
    mask_kind = MASK_FULL;
    graph_free(before);
    return after;
}

static void packed_rows_are_the_padded_ones(void **state) {
    graph *g = check_packed(plain, true);
    assert_int_equal(count_op(g, "nib", "Attention"), 2);
    assert_int_equal(count_op(g, "", "Softmax"), 0);
    assert_int_equal(count_op(g, "nib", "Offsets"), 1);
    assert_int_equal(count_op(g, "nib", "Unpack"), 1);
    assert_int_equal(count_op(g, "nib", "Pack"), 2); /* ids and positions */
    for (const graph_node *n = g->first; n; n = n->next)
        if (graph_is_op(n, "nib", "Attention") || graph_is_op(n, "nib", "Linear") || graph_is_op(n, "nib", "Norm")) {
            assert_int_equal(n->outputs[0]->type.rank, 2);
            assert_ptr_equal(n->outputs[0]->type.dims[0], graph_dim_symbol(g->symbols, OP_TOKENS_SYMBOL));
        }
    done(g);
}

static void minus_infinity_packs_too(void **state) {
    encoder e = plain;
    e.bias = "mb = Cast <to = 9> (attention_mask) mu = Unsqueeze (mb, ax12) bias = Where (mu, zero, ninf) ";
    graph *before = build(e), *after = clone_graph(before);
    run_passes(after, ALL);
    assert_non_null(strstr(notes, "batches are packed"));
    for (mask_kind = 0; mask_kind < MASK_EMPTY_ROW; mask_kind++)
        check_equal(before, after, true); /* an empty row is NaN in the model itself */
    mask_kind = MASK_FULL;
    graph_free(before);
    done(after);
}

/* Whichever sizes a file fixes: a constant is the same for every row, or has rows of its own, wherever it stands. */
static void constants_of_fixed_sizes_keep_their_rows(void **state) {
    static const char
        *const sizes[] = {"b,4", "2,4", "1,4", "2,s"},
               *const middles[] = {
                   "h2 = Add (h1, c)",
                   "h2 = Mul (c, h1)",
                   "m = MatMul (h1, wq) h2 = Add (m, c)",
                   "m = MatMul (h1, wq) m1 = Add (m, bq) m2 = Add (c, m1) h2 = LayerNormalization <axis = -1> (m2, gamma, beta)",
                   "m = Add (h1, c) h2 = LayerNormalization <axis = -1> (m, gamma, beta)",
                   "h2 = LayerNormalization <axis = -1> (h1, c, beta)",
                   "h2 = LayerNormalization <axis = -1> (h1, gamma, c)",
                   "z = Less (c, zero) h2 = Where (z, h1, bq)",
                   "m = MatMul (h1, wq) m1 = Relu (m) h2 = Mul (m1, c)",
               };
    static const char *const shapes[][9] = {{"8", "1", "1,8", "1,1,8", "1,1,1", "4,8", "1,4,8", "4,1", "1,4,1"},
                                            {"8", "1", "1,8", "1,1,8", "4,8", "1,4,8", "2,4,8", "2,1,8", "2,4,1"},
                                            {"8", "1", "1,8", "1,1,8", "1,1,1", "4,8", "1,4,8", "4,1", "1,4,1"},
                                            {"8", "1", "1,8", "1,1,8", "1,1,1", "2,1,8", "2,1,1", NULL, NULL}};
    int packed = 0, all = 0;
    for (size_t i = 0; i < BASE_COUNT(sizes); i++)
        for (size_t k = 0; k < BASE_COUNT(shapes[i]) * BASE_COUNT(middles); k++) {
            encoder e = plain;
            e.sizes = sizes[i];
            e.middle = middles[k % BASE_COUNT(middles)];
            if (!(e.constant = shapes[i][k / BASE_COUNT(middles)])) continue;
            if (strstr(e.middle, "(h1, c, beta)") && e.constant[0] != '8') continue; /* a scale is [8] */
            if (strstr(e.middle, "gamma, c)") && e.constant[0] != '8') continue;
            graph *before = build(e), *after = clone_graph(before);
            run_passes(after, ALL);
            all++;
            bool is_packed = strstr(notes, "batches are packed") != NULL; /* then rows of padding are 0 */
            packed += is_packed;
            for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, after, is_packed);
            mask_kind = MASK_FULL;
            graph_free(before);
            graph_free(after);
        }
    print_message("%d of %d packed\n", packed, all);
    assert_true(packed * 2 > all);
}

static void pooling_reads_packed_rows(void **state) {
    encoder e = plain;
    e.tail = "y = nib.Pool <mode = \"mean\"> (h3, attention_mask)";
    e.outputs = "float[b,8] y";
    graph *g = check_packed(e, false);
    assert_int_equal(count_op(g, "nib", "Unpack"), 0);
    assert_int_equal(graph_attr_int(find_op(g, "nib", "Pool"), "packed", 0), 1);
    done(g);
}

static void element_work_between_is_packed(void **state) {
    static const char *const middles[] = {
        "h2 = Mul (h1, row)",
        "t = Tanh (h1) h2 = Add (t, h1)",
        "h2 = Mul (h1, gamma)",
        "h2 = Softmax <axis = -1> (h1)",
        "h2 = Softmax <axis = 2> (h1)",
        "t = MatMul (h1, wq) h2 = Sigmoid (t)",
        "h2 = Add (h1, extra)",
        "h2 = Add (extra1, h1)",
        "h2 = Mul (h1, extra2)",
        "h2 = Mul (extra3, h1)",
        "t = Slice (h1, v0, v1, v2) h2 = Sub (h1, t)",
        "t = ReduceMean <axes = [2]> (h1) h2 = Sub (h1, t)",
        "t = ReduceSum (h1, v2) h2 = Add (h1, t)",
    };
    for (size_t i = 0; i < BASE_COUNT(middles); i++) {
        encoder e = plain;
        e.inputs = ", float[b,s,8] extra, float[1,s,8] extra1, float[b,1,8] extra2, float[b,s,1] extra3";
        e.middle = middles[i];
        graph *g = check_packed(e, true);
        assert_int_equal(count_op(g, "nib", "Unpack"), 1);
        done(g);
    }
}

static void other_readers_get_the_grid(void **state) {
    encoder e = plain;
    e.outputs = "float[b,s,8] y, float[b,8] first, float[b,s,8] h1";
    e.tail = "y = Identity (h3) first = Gather <axis = 1> (h3, i0)";
    graph *before = build(e), *after = clone_graph(before);
    run_passes(after, ALL);
    assert_non_null(strstr(notes, "batches are packed"));
    assert_string_equal(after->outputs[2]->name, "h1");
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) {
        if (mask_kind == MASK_LEFT || mask_kind == MASK_EMPTY_ROW) continue; /* the first row is padding there */
        check_equal(before, after, true);
    }
    mask_kind = MASK_FULL;
    graph_free(before);
    done(after);
}

static void assert_padded(encoder e, const char *reason) {
    graph *before = build(e), *after = clone_graph(before);
    run_passes(after, ALL);
    if (!strstr(notes, "batches stay padded") || !strstr(notes, reason)) fail_msg("not \"%s\": %s", reason, notes);
    assert_int_equal(count_op(after, "nib", "Pack") + count_op(after, "nib", "Unpack") + count_op(after, "nib", "Offsets"), 0);
    for (mask_kind = 0; mask_kind < MASK_EMPTY_ROW; mask_kind++) check_equal(before, after, false);
    mask_kind = MASK_FULL;
    graph_free(before);
    done(after);
}

/* The second attention sees two keys on each side; positions count in columns of the mask, holes and padding included. */
static void windows_are_packed(void **state) {
    encoder e = plain;
    e.bias = PADDING "col = Unsqueeze (r0, v1) d = Sub (col, r0) far = Abs (d) most = Constant <value_int = 2> () in = LessOrEqual (far, "
                     "most) local = Where (in, bias, lowest) ";
    e.bias2 = "@s = Add (@d, local)";
    graph *g = check_packed(e, true);
    int seen = 0;
    for (const graph_node *n = g->first; n; n = n->next) {
        if (!graph_is_op(n, "nib", "Attention")) continue;
        assert_int_equal(graph_attr_int(n, "window_left", -1), seen ? 2 : -1);
        assert_int_equal(graph_attr_int(n, "window_right", -1), seen ? 2 : -1);
        assert_int_equal(n->n_inputs, seen ? 6 : 5);
        seen++;
    }
    assert_int_equal(seen, 2);
    done(g);
}

/* What is added for the distance of two tokens stays on the grid, and is read at their columns: as a sum, and where a key is seen. */
static void biases_of_pairs_are_kept(void **state) {
    static const char *const forms[] = {
        "both = Add (rel, bias) ",
        "wide = Expand (rel, full) both = Add (bias, wide) ",
        "seen = Cast <to = 9> (u) both = Where (seen, rel, lowest) ",
    };
    for (size_t i = 0; i < BASE_COUNT(forms); i++) {
        char bias[900];
        encoder e = plain;
        snprintf(bias, sizeof bias, "%s%s%s",
                 PADDING
                 "col = Unsqueeze (r0, v1) far = Sub (col, r0) real = Cast <to = 1> (far) sn = Sin (real) rel = Unsqueeze (sn, ax01) ",
                 "fb = Gather (sh, v0) fs = Gather (sh, v1) full = Concat <axis = 0> (fb, v1, fs, fs) ", forms[i]);
        e.bias = bias;
        e.bias2 = "@s = Add (@d, both)";
        graph *g = check_packed(e, true);
        const graph_node *last = NULL;
        for (const graph_node *n = g->first; n; n = n->next)
            if (graph_is_op(n, "nib", "Attention")) last = n;
        assert_int_equal(last->n_inputs, 6);
        assert_non_null(last->inputs[3].value);
        if (i < 2) assert_int_equal(count_op(g, "", "Where"), 0);
        done(g);
    }
}

/* A causal attention without a mask: tokens come first, so that none of them sees what pads. */
static void causal_attention_packs_without_a_mask(void **state) {
    encoder e = plain;
    e.middle = "h2 = com.microsoft.MultiHeadAttention <num_heads = 2, unidirectional = 1> (h1, h1, h1)";
    graph *before = build(e), *after = clone_graph(before);
    run_passes(after, ALL);
    if (!strstr(notes, "batches are packed: attention_mask")) fail_msg("not packed: %s", notes);
    assert_int_equal(count_op(after, "nib", "Attention"), 3);
    assert_int_equal(count_op(after, "nib", "Pack"), 3); /* ids, positions, columns */
    for (mask_kind = MASK_FULL; mask_kind <= MASK_RIGHT; mask_kind++) check_equal(before, after, true);
    mask_kind = MASK_FULL;
    graph_free(before);
    done(after);
}

static void refusals(void **state) {
    encoder e = plain;
    e.bias = "u = Unsqueeze (attention_mask, ax12) f = Cast <to = 1> (u) bias = Mul (f, lowest) "; /* inverted */
    assert_padded(e, "is not the padding of keys by attention_mask");
    e = plain;
    e.bias2 = "@s = Identity (@d)"; /* the second attention masks nothing */
    assert_padded(e, "masks no keys");
    e = plain;
    e.middle = "t = Transpose <perm = [0,2,1]> (h1) t2 = Softmax <axis = -1> (t) h2 = Transpose <perm = [0,2,1]> (t2)"; /* mixes tokens */
    e.bias2 = NULL;
    assert_padded(e, "reads rows that are not row-wise");
    e = plain;
    e.middle = "h2 = Identity (h1) t = Transpose <perm = [0,2,1]> (h1) r3 = MatMul (h1, t) rel = Unsqueeze (r3, v1) both = Add (rel, bias)";
    e.bias2 = "@s = Add (@d, both)";
    assert_padded(e, "is made of rows");
}

/* An attention that was not recognised stays on the grid: padded rows are zero there, and its own bias hides them. */
static void what_is_not_recognised_runs_padded(void **state) {
    encoder e = plain;
    e.bias2 = "@t = Add (@d, bias) @s = Sub (@t, one)";
    graph *g = check_packed(e, true);
    assert_int_equal(count_op(g, "nib", "Attention"), 1);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    assert_true(count_op(g, "nib", "Unpack") >= 1);
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packed_rows_are_the_padded_ones),
        cmocka_unit_test(minus_infinity_packs_too),
        cmocka_unit_test(constants_of_fixed_sizes_keep_their_rows),
        cmocka_unit_test(pooling_reads_packed_rows),
        cmocka_unit_test(element_work_between_is_packed),
        cmocka_unit_test(other_readers_get_the_grid),
        cmocka_unit_test(biases_of_pairs_are_kept),
        cmocka_unit_test(causal_attention_packs_without_a_mask),
        cmocka_unit_test(refusals),
        cmocka_unit_test(windows_are_packed),
        cmocka_unit_test(what_is_not_recognised_runs_padded),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
