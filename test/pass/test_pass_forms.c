/* SPDX-License-Identifier: Apache-2.0
 *
 * A decoder's attention on the way to files: rotary positions, shared heads and masks become what ai.onnx of opset 23 and
 * com.microsoft have for them, and compute the same, in padded rows, too; so do gates, embeddings and sums. ONNX Runtime itself is asked by
 * tools/compare_optimizers.py.
 */
#include "pass_test.h"

static nib_status for_file(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, NIB_OK; }
static nib_status for_exact(pass_context *ctx) { return ctx->mode = PASS_MODE_EXACT, NIB_OK; }
static nib_status for_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, NIB_OK; }
static nib_status expand_standard(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, pass_expand(ctx); }
static nib_status expand_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, pass_expand(ctx); }
static nib_status note_found(pass_context *ctx) { return pass_note_found(ctx), NIB_OK; }

/* Masks as scores get them. */
#define CAUSAL "col = Unsqueeze (r, v1) open = LessOrEqual (r, col) bias = Where (open, zero, lowest) "
#define CAUSAL_PADDED                                                                                                                      \
    "col = Unsqueeze (r, v1) le = LessOrEqual (r, col) m4 = Unsqueeze (mask, v12) mb = Cast <to = 9> (m4) open = And (mb, le) "            \
    "bias = Where (open, zero, lowest) "
#define CAUSAL_INFINITE                                                                                                                    \
    "col = Unsqueeze (r, v1) le = LessOrEqual (r, col) m4 = Unsqueeze (mask, v12) mb = Cast <to = 9> (m4) open = And (mb, le) "            \
    "bias = Where (open, zero, infinite) "
#define TESTED "mb = Cast <to = 9> (mask) m4 = Unsqueeze (mb, v12) bias = Where (m4, zero, lowest) "
#define PADDED "m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mo = Sub (one, mf) bias = Mul (mo, lowest) "

#define SOFTMAX "p = Softmax <axis = -1> (sb) "
#define GUARDED "pp = Softmax <axis = -1> (sb) isn = IsNaN (pp) p = Where (isn, zero, pp) "

/* What pairs of tokens see: a padded query sees nothing. */
#define PAIRS(low)                                                                                                     \
    "col = Unsqueeze (r, v1) v13 = Constant <value_ints = [1, 3]> () m4 = Unsqueeze (mask, v12) q4m = Unsqueeze "      \
    "(mask, v13) "                                                                                                     \
    "pair = Mul (m4, q4m) open = Cast <to = 9> (pair) once = Where (open, zero, " low ") "
#define ONCE "bias = Identity (once) "
#define TWICE "bias = Add (once, once) " /* beyond the lowest f32 */

static bool fixed_length; /* of texts: five tokens */

/* Four heads of queries on two of keys and values, each of size 4, turned by computed angles. */
static graph *decoder(int opset, const char *mask, const char *softmax) {
    char text[6000];
    snprintf(
        text, sizeof text,
        "<ir_version: 8, opset_import: [\"\" : %d, \"com.microsoft\" : 1]> "
        "g (float[b,s,8] x, int64[b,s] ids, int64[b,s] mask, float[b,1,s,s] given) => (float[b,s,16] y) <float[8,16] "
        "wq = {@}, float[8,8] "
        "wk = {@}, float[8,8] "
        "wv = "
        "{@},"
        " int64[4] four = {0,0,4,4}, int64[4] two = {0,0,2,4}, int64[5] times = {1,1,2,1,1}, int64[4] all = "
        "{0,4,-1,4}, int64[3] merge = "
        "{0,0,16},"
        " float[1,1,2] inverse = {1.0, 0.01}, float half = {0.5}, float zero = {0}, float one = {1}, float one5 = {1.5}, float tens = {10000}, float billion = {-1000000000}, float lowest = "
        "{-3.40282346638528859e38}, float ten = {-10000}, float infinite = {-inf}, int64 i0 = {0}, int64 i1 = {1}, "
        "int64[1] v0 = {0}, "
        "int64[1] v1 = {1}, "
        "int64[1] v2 = "
        "{2}, int64[2] v12 = {1,2}, int64[1] v3 = {3}, int64[1] end = {9223372036854775807}> {"
        " sh = Shape (ids) len = Gather (sh, i1) r = Range (i0, len, i1) pos = Unsqueeze (r, v0) %s"
        " pf = Cast <to = 1> (pos) pu = Unsqueeze (pf, v2) fr = Mul (pu, inverse) em = Concat <axis = -1> (fr, fr)"
        " cc = Cos (em) ss = Sin (em) cos = Unsqueeze (cc, v1) sin = Unsqueeze (ss, v1)"
        " q = MatMul (x, wq) q4 = Reshape (q, four) qh = Transpose <perm = [0,2,1,3]> (q4)"
        " k = MatMul (x, wk) k4 = Reshape (k, two) kh = Transpose <perm = [0,2,1,3]> (k4)"
        " v = MatMul (x, wv) v4 = Reshape (v, two) vh = Transpose <perm = [0,2,1,3]> (v4)"
        " qa = Slice (qh, v0, v2, v3) qb = Slice (qh, v2, end, v3) qn = Neg (qb) qc = Concat <axis = -1> (qn, qa) qx = "
        "Mul (qh, cos) qs = "
        "Mul "
        "(qc, sin) qr = Add (qx, qs)"
        " ka = Slice (kh, v0, v2, v3) kb = Slice (kh, v2, end, v3) kn = Neg (kb) kc = Concat <axis = -1> (kn, ka) kx = "
        "Mul (kh, cos) ks = "
        "Mul "
        "(kc, sin) kr = Add (kx, ks)"
        " ku = Unsqueeze (kr, v2) ke = Expand (ku, times) kf = Reshape (ke, all) kt = Transpose <perm = [0,1,3,2]> (kf)"
        " vu = Unsqueeze (vh, v2) ve = Expand (vu, times) vf = Reshape (ve, all)"
        " s = MatMul (qr, kt) sc = Mul (s, half) sb = Add (sc, bias) %s"
        " o = MatMul (p, vf) ot = Transpose <perm = [0,2,1,3]> (o) y = Reshape (ot, merge) }",
        opset, mask, softmax);
    for (char *at = text; fixed_length && (at = strstr(at, "[b,s")) != NULL;) at[3] = '5';
    return parse_graph(text);
}

/* Rewrites, compares for every kind of mask, and rewrites again: nothing may change. */
static graph *written(int opset, const char *mask, const char *softmax, bool onnxruntime) {
    graph *before = decoder(opset, mask, softmax), *after = clone_graph(before);
    const pass_fn *passes = onnxruntime ? PASSES(for_ort, pass_run_all, note_found, expand_ort, pass_names)
                                        : PASSES(for_file, pass_run_all, note_found, expand_standard, pass_names);
    run_passes(after, passes);
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, after, false);
    mask_kind = MASK_NUMBERS; /* of which the lowest number makes infinity, and NaN, that no operator but a guard makes 0 */
    check_equal(before, after, false);
    mask_kind = MASK_FULL;
    check_fixed_point(after, passes);
    graph_free(before);
    return after;
}

static void opset_23_says_all(void **state) {
    graph *g = written(23, CAUSAL, SOFTMAX, false);
    const graph_node *n = find_op(g, "", "Attention");
    assert_int_equal(graph_attr_int(n, "q_num_heads", 0), 4);
    assert_int_equal(graph_attr_int(n, "kv_num_heads", 0), 2);
    assert_int_equal(graph_attr_int(n, "is_causal", 0), 1); /* said by an attribute: no bias is left */
    assert_int_equal(count_op(g, "", "Where") + count_op(g, "", "LessOrEqual"), 0);
    assert_int_equal(count_op(g, "", "RotaryEmbedding"), 2);
    assert_int_equal(count_op(g, "", "Softmax") + count_op(g, "", "Neg"), 0);
    assert_non_null(strstr(notes, "found: attention 1, rotary 2"));
    done(g);
    static const char *const masks[] = {CAUSAL_PADDED, CAUSAL_INFINITE, PADDED};
    for (size_t i = 0; i < BASE_COUNT(masks); i++) {
        g = written(23, masks[i], GUARDED, false);
        n = find_op(g, "", "Attention");
        assert_int_equal(graph_attr_int(n, "is_causal", 0), 0); /* padding, too: the bias as it is */
        assert_non_null(n->inputs[3].value);
        done(g);
    }
}

static void com_microsoft_says_all(void **state) {
    graph *g = written(17, CAUSAL, SOFTMAX, true);
    const graph_node *n = find_op(g, "com.microsoft", "MultiHeadAttention");
    assert_int_equal(graph_attr_int(n, "num_heads", 0), 4);
    assert_int_equal(graph_attr_int(n, "unidirectional", 0), 1);
    assert_int_equal(n->n_inputs, 3);
    assert_int_equal(n->inputs[1].value->type.rank, 4); /* heads, each as often as it is read */
    assert_int_equal(count_op(g, "com.microsoft", "RotaryEmbedding"), 2);
    done(g);
    g = written(17, CAUSAL_PADDED, GUARDED, true);
    n = find_op(g, "com.microsoft", "MultiHeadAttention");
    assert_int_equal(graph_attr_int(n, "unidirectional", 0), 0);
    assert_int_equal(n->n_inputs, 6);
    assert_int_equal(count_op(g, "", "IsNaN"), 0); /* no key at -infinity: no row of NaN */
    done(g);
    g = written(17, CAUSAL_INFINITE, GUARDED, true);
    assert_int_equal(count_op(g, "", "IsNaN"), 1);
    done(g);
}

/* com.microsoft's operators ask of a mask whether it is above 0. They get what the model asks of it, where that is one
 * question: masks also hold other numbers than 0 and 1. Where the model computes with them, its bias stays. */
static void a_mask_of_any_numbers(void **state) {
    static const struct {
        const char *mask;
        const char *made; /* of the mask, for the operator; NULL: its bias stays */
    } rows[] = {
        {TESTED, "Cast Cast"},
        {"m4 = Unsqueeze (mask, v12) mb = Cast <to = 9> (m4) bias = Where (mb, zero, lowest) ", "Cast Cast"},
        {"mb = Cast <to = 9> (mask) mf = Cast <to = 1> (mb) m4 = Unsqueeze (mf, v12) mo = Sub (one, m4) bias = Mul (mo, "
         "ten) ", "Cast Cast"},
        {"eq = Equal (mask, i1) m4 = Unsqueeze (eq, v12) bias = Where (m4, zero, lowest) ", "Equal Cast"},
        {"eq = Equal (mask, i0) m4 = Unsqueeze (eq, v12) bias = Where (m4, lowest, zero) ", "Cast Cast"},
        {"mf = Cast <to = 1> (mask) lt = Less (mf, half) m4 = Unsqueeze (lt, v12) bias = Where (m4, lowest, zero) ", "Cast Less Not Cast"},
        {"mf = Cast <to = 1> (mask) m4 = Unsqueeze (mf, v12) gt = Greater (m4, half) bias = Where (gt, zero, ten) ",
         "Cast Greater Cast"},
        {"m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mo = Sub (one, mf) mb = Cast <to = 9> (mo) "
         "bias = Where (mb, lowest, mo) ", "Equal Cast"},
        {"mi = Cast <to = 3> (mask) mb = Cast <to = 9> (mi) m4 = Unsqueeze (mb, v12) bias = Where (m4, zero, ten) ",
         "Cast Cast Cast"}, /* 256 is 0 in 8 bits */
        {"mi = Cast <to = 3> (mask) mj = Cast <to = 7> (mi) mo = Sub (mj, i1) mb = Cast <to = 9> (mo) m4 = Unsqueeze (mb, v12) "
         "bias = Where (m4, ten, zero) ", "Cast Cast Equal Cast"},
        {PADDED, NULL},
        {"m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) gt = Greater (mf, half) lt = Less (mf, one5) "
         "mb = And (gt, lt) bias = Where (mb, zero, lowest) ", NULL},
        {"m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mb = Cast <to = 9> (mf) w = Where (mb, zero, lowest) "
         "less = Sub (mf, one) m0 = Mul (less, zero) bias = Add (w, m0) ", NULL},
        {"mi = Cast <to = 3> (mask) mb = Cast <to = 9> (mi) mn = Cast <to = 9> (mask) ma = And (mb, mn) m4 = Unsqueeze "
         "(ma, v12) bias = Where (m4, zero, ten) ", NULL},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = written(17, rows[i].mask, SOFTMAX, true);
        const graph_node *n = find_op(g, "com.microsoft", "MultiHeadAttention");
        char made[100] = "";
        if (n->n_inputs != (rows[i].made ? 5 : 6)) fail_msg("%s: %s", rows[i].mask, ops(g));
        const graph_value *v = n->inputs[4].value;
        if (v) assert_int_equal(v->type.dtype, NIB_DTYPE_I32);
        for (; v && v->producer; v = v->producer->inputs[0].value) {
            char rest[100];
            snprintf(rest, sizeof rest, "%s", made);
            snprintf(made, sizeof made, "%.40s%s%.50s", v->producer->op, rest[0] ? " " : "", rest);
        }
        assert_string_equal(made, rows[i].made ? rows[i].made : "");
        done(g);
    }
}

/* A query whose keys are all hidden shows in a file: it is what the model made of it, in the forms that can say so. */
static void a_query_without_keys(void **state) {
    static const struct {
        int opset;
        const char *mask, *softmax;
        bool onnxruntime;
        int fused, guards; /* attentions; IsNaN */
    } rows[] = {
        {23, PAIRS("infinite") ONCE, SOFTMAX, false, 0, 0},
        {23, PAIRS("infinite") ONCE, GUARDED, false, 1, 0},
        {23, CAUSAL_INFINITE, SOFTMAX, false, 0, 0},
        {23, CAUSAL_INFINITE, GUARDED, false, 1, 0},
        {23, PAIRS("lowest") ONCE, SOFTMAX, false, 1, 0},
        {23, PAIRS("ten") ONCE, SOFTMAX, false, 1, 0},
        {17, PAIRS("infinite") ONCE, SOFTMAX, true, 1, 0},
        {17, PAIRS("infinite") ONCE, GUARDED, true, 1, 1},
        {17, CAUSAL_INFINITE, SOFTMAX, true, 1, 0},
        {17, PAIRS("lowest") ONCE, SOFTMAX, true, 1, 0},
        {17, PAIRS("ten") ONCE, GUARDED, true, 1, 0},
        {17, PAIRS("ten") ONCE, SOFTMAX, true, 1, 0},
        {23, PAIRS("lowest") TWICE, SOFTMAX, false, 0, 0},
        {17, PAIRS("lowest") TWICE, GUARDED, true, 1, 1},
        {23, "bias = Cast <to = 1> (given) ", SOFTMAX, false, 0, 0},
        {17, "bias = Cast <to = 1> (given) ", GUARDED, true, 1, 1},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = written(rows[i].opset, rows[i].mask, rows[i].softmax, rows[i].onnxruntime);
        const int fused =
            rows[i].onnxruntime ? count_op(g, "com.microsoft", "MultiHeadAttention") : count_op(g, "", "Attention");
        if (fused != rows[i].fused || count_op(g, "", "IsNaN") != rows[i].guards)
            fail_msg("opset %d, %s, %s: %s", rows[i].opset, rows[i].mask, rows[i].softmax, ops(g));
        assert_int_equal(strstr(notes, "keeps its long form: a query without keys is NaN") != NULL, !rows[i].fused);
        assert_null(strstr(notes, "it cannot say what is in its long form")); /* no opset can */
        if (rows[i].onnxruntime)
            assert_int_equal(find_op(g, "com.microsoft", "MultiHeadAttention")->n_inputs, 6); /* no mask of keys */
        done(g);
    }
}

#define SUM(n, ...) n " = Add (" #__VA_ARGS__ ") "
#define PADDING(low) "m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mo = Sub (one, mf) bias = Mul (mo, " low ") "
#define PADDING_TURNED "m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mo = Sub (mf, one) bias = Mul (mo, tens) "
#define WINDOW(low)                                                                                                    \
    "col = Unsqueeze (r, v1) away = Sub (r, col) far = Abs (away) near = Less (far, v2) win = Where (near, zero, " low ") "

/* -10000 leaves digits of a score, and rows of padding have no others: biases that are added one after the other are
 * not their sum there. */
static void the_order_of_biases_shows(void **state) {
    static const struct {
        const char *biases, *sum; /* of which "bias" is the first that is added */
        bool fused;
    } rows[] = {
        {PADDING("ten") WINDOW("ten"), "rel = Mul (given, half) " SUM("s1", sb, rel) SUM("s2", s1, win), false},
        {PADDING_TURNED WINDOW("ten"), "rel = Mul (given, half) " SUM("s1", sb, rel) SUM("s2", s1, win), false},
        {PADDING("ten") WINDOW("lowest"), "rel = Mul (given, half) " SUM("s1", sb, rel) SUM("s2", s1, win), false},
        {PADDING("lowest") WINDOW("ten"), "rel = Mul (given, half) " SUM("s1", sb, rel) SUM("s2", s1, win), false},
        {PADDING("ten") WINDOW("ten"), SUM("s2", sb, win), false},
        {PADDING("lowest") WINDOW("billion"), "rel = Mul (given, half) " SUM("s1", sb, rel) SUM("s2", s1, win), true},
        {PADDING("ten") WINDOW("ten"), "rel = Mul (given, half) " SUM("s2", sb, rel), true}, /* a text with a token has no such row */
        {PADDING("lowest") WINDOW("ten"), SUM("s2", sb, win), true},
        {WINDOW("ten") "bias = Identity (win) ", "s2 = Identity (sb) ", true},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char softmax[300];
        snprintf(softmax, sizeof softmax, "%sp = Softmax <axis = -1> (s2) ", rows[i].sum);
        for (int way = 0; way < 4; way++) {
            graph *before = decoder(23, rows[i].biases, softmax), *g = clone_graph(before);
            run_passes(g, way == 0   ? PASSES(for_exact, pass_run_all)
                          : way == 1 ? PASSES(for_file, pass_run_all, note_found, expand_standard, pass_names)
                          : way == 2 ? PASSES(for_ort, pass_run_all, note_found, expand_ort, pass_names)
                                     : PASSES(pass_run_all)); /* a task shows no rows of padding */
            if (!count_op(g, "", "Softmax") != (rows[i].fused || way == 3))
                fail_msg("%s%s in way %d: %s", rows[i].biases, rows[i].sum, way, ops(g));
            if (way == 1 && !rows[i].fused) assert_null(strstr(notes, "it cannot say what is in its long form"));
            for (mask_kind = 0; way < 3 && mask_kind < MASK_EMPTY_ROW; mask_kind++) check_equal(before, g, false);
            mask_kind = MASK_FULL;
            done(g);
            graph_free(before);
        }
    }
}

/* The number that hides a key is the model's own: it decides what a text without a token gets. */
static void a_mask_hides_as_the_model_does(void **state) {
    static const struct {
        const char *mask;
        float filter;
    } rows[] = {{TESTED, -3.40282346638528859e38f},
                {"mb = Cast <to = 9> (mask) m4 = Unsqueeze (mb, v12) mf = Cast <to = 1> (m4) mo = Sub (one, mf) bias = Mul "
                 "(mo, ten) ", -10000},
                {"m4 = Unsqueeze (mask, v12) mb = Cast <to = 9> (m4) bias = Where (mb, zero, infinite) ", -INFINITY}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *before = decoder(17, rows[i].mask, SOFTMAX), *g = clone_graph(before); /* which reads its constants */
        run_passes(g, PASSES(for_ort, pass_run_all, expand_ort, pass_names));
        const graph_node *n = find_op(g, "com.microsoft", "MultiHeadAttention");
        assert_int_equal(n->n_inputs, 5);
        assert_true(graph_attr_float(n, "mask_filter_value", 0) == rows[i].filter);
        for (int back = 0; back < 2; back++) {
            for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, g, false);
            mask_kind = MASK_FULL;
            if (!back) run_passes(g, PASSES(for_exact, pass_contrib));
        }
        assert_int_equal(graph_attr_int(find_op(g, "nib", "Attention"), "masked_nan", 0), 1);
        done(g);
        graph_free(before);
    }
}

/* A guard makes the rows of a text without a token 0, where the operator, whose mask hides by a number, gives the mean of its values. */
static void a_text_without_tokens_stays_0(void **state) {
    static const int opsets[] = {13, 17, 20};
    for (size_t i = 0; i < BASE_COUNT(opsets); i++) {
        graph *g = written(opsets[i], "m4 = Unsqueeze (mask, v12) mb = Cast <to = 9> (m4) bias = Where (mb, zero, infinite) ", GUARDED, true);
        assert_int_equal(count_op(g, "com.microsoft", "MultiHeadAttention"), 1);
        assert_int_equal(count_op(g, "", "ReduceMax"), 1);
        done(g);
    }
}

/* (1 - mask) * lowest of 256 is +infinity, whose softmax is NaN: the guard stays behind the operator that cannot say it. */
static void a_guard_stays_where_a_bias_overflows(void **state) {
    static const struct {
        int opset;
        const char *mask;
        bool onnxruntime;
        int guards;
    } rows[] = {{17, PADDED, true, 1}, {17, PADDED, false, 1}, {23, PADDED, false, 1}, {24, PADDED, false, 1}, {23, TESTED, false, 0}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = written(rows[i].opset, rows[i].mask, GUARDED, rows[i].onnxruntime);
        assert_int_equal(count_op(g, "", "IsNaN"), rows[i].guards);
        done(g);
    }
}

/* Angles and positions are constants then. */
static void a_fixed_length_is_said_alike(void **state) {
    fixed_length = true;
    graph *g = written(17, CAUSAL, SOFTMAX, true);
    fixed_length = false;
    assert_int_equal(count_op(g, "com.microsoft", "RotaryEmbedding"), 2);
    const graph_node *n = find_op(g, "com.microsoft", "RotaryEmbedding");
    assert_int_equal(n->inputs[1].value->type.rank, 1); /* from position 0 on */
    assert_int_equal(n->inputs[2].value->constant->dims[1], 2);
    assert_int_equal(count_op(g, "", "Neg") + count_op(g, "", "Cos"), 0);
    done(g);
}

/* Below opset 23 ai.onnx has no words for it: counted, and left. */
static void a_low_opset_keeps_the_long_form(void **state) {
    graph *g = written(17, CAUSAL_PADDED, SOFTMAX, false);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    assert_non_null(strstr(notes, "attention 1 (1 in the long form), rotary 2 (2 in the long form)"));
    done(g);
}

static graph *for_onnxruntime(const char *text) {
    return pass_check_same(text, PASSES(for_ort, pass_run_all, note_found, expand_ort, pass_names));
}

static void gates_are_found(void **state) {
    static const char *const text =
        HEAD "g (float[b,s,4] x) => (float[b,s,4] y) <float[4,6] w1 = {@}, float[4,6] w2 = {@}, float[6,4] w3 = {@}, float[6] c = {@}> {"
             " u = MatMul (x, w1) sg = Sigmoid (u) a = Mul (u, sg) v0 = MatMul (x, w2) v = Add (v0, c) h = Mul (a, v) y = MatMul (h, w3) }";
    graph *g = for_onnxruntime(text);
    assert_string_equal(ops(g), "MatMul com.microsoft.QuickGelu MatMul Add Mul MatMul");
    assert_int_equal((int)graph_attr_float(find_op(g, "com.microsoft", "QuickGelu"), "alpha", 0), 1);
    assert_non_null(strstr(notes, "found: gated feed-forward 1"));
    done(g);
    /* Of the halves of one product: they are written as they were. */
    g = for_onnxruntime(HEAD "g (float[b,s,4] x) => (float[b,s,3] y) <float[4,6] w = {@}, int64[2] halves = {3,3}> {"
                             " h = MatMul (x, w) u, v = Split <axis = -1> (h, halves) sg = Sigmoid (u) a = Mul (u, sg) y = Mul (a, v) }");
    assert_string_equal(ops(g), "MatMul Split Sigmoid Mul Mul");
    assert_non_null(strstr(notes, "found: gated feed-forward 1"));
    done(g);
    /* Of two different rows it is a product, and no gate. */
    g = for_onnxruntime(HEAD "g (float[b,s,4] x, float[b,s,4] z) => (float[b,s,6] y) <float[4,6] w1 = {@}, float[4,6] w2 = {@}> {"
                             " u = MatMul (x, w1) sg = Sigmoid (u) a = Mul (u, sg) v = MatMul (z, w2) y = Mul (a, v) }");
    assert_null(strstr(notes, "gated"));
    done(g);
}

#define EMBED                                                                                                                              \
    "g (int64[b,s] ids_w, int64[b,s] ids_t%s) => (float[b,s,4] y%s) <float[4,4] words = {@}, float[9,4] places = {@}, float[4,4] kinds = " \
    "{@}, "                                                                                                                                \
    "float[4] gamma = {@}, float[4] beta = {@}, int64 i0 = {0}, int64 i1 = {1}, int64[1] v0 = {0}> {"                                      \
    " sh = Shape (ids_w) len = Gather (sh, i1) r = Range (i0, len, i1) pos = Unsqueeze (r, v0)"                                            \
    " p = Gather (places, pos) k = Gather (kinds, ids_t) w = Gather (words, ids_w) pk = Add (p, k) e = Add (w, pk)"                        \
    " y = LayerNormalization <axis = -1> (e, gamma, beta) %s }"

static void embeddings_are_one(void **state) {
    char text[2000];
    snprintf(text, sizeof text, HEAD EMBED, "", "", "");
    graph *g = for_onnxruntime(text);
    const graph_node *n = find_op(g, "com.microsoft", "EmbedLayerNormalization");
    assert_int_equal(n->n_inputs, 9);
    assert_string_equal(n->inputs[3].value->name, "places"); /* positions are what is the same for all texts */
    assert_int_equal(count_op(g, "", "LayerNormalization"), 0);
    done(g);
    snprintf(text, sizeof text, HEAD EMBED, "", ", float[b,s,4] z", "z = Neg (e)"); /* the sum is read, too */
    g = for_onnxruntime(text);
    assert_int_equal(count_op(g, "com.microsoft", "EmbedLayerNormalization"), 0);
    done(g);
}

/* The operator stops where a look-up counts from the end: positions that a mask makes are seen to be 0 and above, or are
 * looked up as the model does. */
static void positions_below_0_are_looked_up(void **state) {
    static const struct {
        const char *positions;
        int made;
    } rows[] = {
        {"pos = Sub (counted, i1)", 0},
        {"less = Sub (counted, i1) pos = Where (padding, i1, less)", 0}, /* never below 0, which is not seen */
        {"less = Sub (counted, i1) pos = Max (less, i0)", 1},
        {"less = Sub (counted, i1) pos = Clip (less, i0)", 1},
        {"less = Sub (counted, i1) pos = Clip (less, , i1)", 0},
        {"real = Mul (counted, mask) pos = Add (real, i1)", 1}, /* RoBERTa's */
        {"real = Mul (counted, mask) pos = Add (real, im)", 0},
        {"pos = Min (counted, i1)", 1},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[2000];
        snprintf(text, sizeof text,
                 HEAD "g (int64[b,s] ids_w, int64[b,s] mask) => (float[b,s,4] y) <float[4,4] words = {@}, float[12,4] places = {@}, "
                      "float[4] gamma = {@}, float[4] beta = {@}, int64 i0 = {0}, int64 i1 = {1}, int64 im = {-1}> {"
                      " counted = CumSum (mask, i1) padding = Equal (mask, i0) %s p = Gather (places, pos)"
                      " w = Gather (words, ids_w) e = Add (w, p) y = LayerNormalization <axis = -1> (e, gamma, beta) }",
                 rows[i].positions);
        graph *before = parse_graph(text), *g = clone_graph(before);
        run_passes(g, PASSES(for_ort, pass_run_all, expand_ort, pass_names));
        if (count_op(g, "com.microsoft", "EmbedLayerNormalization") != rows[i].made) fail_msg("%s: %s", rows[i].positions, ops(g));
        for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, g, false);
        mask_kind = MASK_FULL;
        done(g);
        graph_free(before);
    }
}

/* SkipLayerNormalization is slower in ONNX Runtime than the two operators; of an opset without LayerNormalization it is not. */
static void norms_of_sums(void **state) {
    static const char *const text =
        "g (float[b,s,4] x, float[b,s,4] r) => (float[b,s,4] y) <float[4,4] w = {@}, float[4] c = {@}, float[4] gamma = {@}, float[4] beta "
        "= {@}> {"
        " h = MatMul (x, w) hc = Add (h, c) a = Add (hc, r) n = LayerNormalization <axis = -1> (a, gamma, beta) y = %s (n, %s) }";
    char full[1000];
    for (int reads_sum = 0; reads_sum < 2; reads_sum++) {
        size_t head = (size_t)snprintf(full, sizeof full, "%s", HEAD);
        snprintf(full + head, sizeof full - head, text, reads_sum ? "Add" : "Mul", reads_sum ? "a" : "x");
        graph *g = for_onnxruntime(full);
        assert_string_equal(ops(g), reads_sum ? "MatMul Sum LayerNormalization Add" : "MatMul Sum LayerNormalization Mul");
        run_passes(g, PASSES(pass_contrib, pass_linear)); /* and back, where it is run */
        assert_int_equal(count_op(g, "", "Sum"), 0);
        assert_int_equal(find_op(g, "nib", "Linear")->n_inputs, 3);
        done(g);
    }
}

/* Rows that are folded for Gemm: GPT-2 of torch.export. */
static void rows_behind_gemm_stay_rows(void **state) {
    graph *g = pass_check_same(
        HEAD
        "g (float[b,s,4] x) => (float[b,s,4] y) <float[4,6] w = {@}, float[6] c = {@}, float[6,4] v = {@}, float[4] d = {@}, int64[2] f4 = "
        "{-1,4}, int64[2] f6 = {-1,6}, int64[1] sz = {6}, int64[1] z0 = {0}, int64[1] z2 = {2}> {"
        " sh = Shape (x) f = Reshape (x, f4) h = Gemm (f, w, c) bs = Slice (sh, z0, z2)"
        " to = Concat <axis = 0> (bs, sz) u = Reshape (h, to)"
        " r = Relu (u) q = Reshape (r, f6) o = Gemm (q, v, d) y = Reshape (o, sh) }",
        PASSES(pass_fold, pass_linear, pass_rows, pass_activation));
    assert_int_equal(count_op(g, "nib", "Linear"), 2);
    assert_int_equal(count_op(g, "", "Relu") + count_op(g, "", "Gemm"), 0);
    done(g);
}

static void near_misses_are_said(void **state) {
    static const struct {
        const char *text, *note;
    } rows[] = {
        {HEAD "g (float[b,s,4] x, float[4] gamma) => (float[b,s,4] y) { y = LayerNormalization <axis = -1> (x, gamma) }",
         "its scale is no constant"},
        {HEAD "g (float[b,3,4] x) => (float[b,3,4] y) <float[3,4] gamma = {@}> { y = LayerNormalization <axis = 1> (x, gamma) }",
         "not over the last axis"},
        {HEAD "g (float[b,4] x) => (float[b,4] y) <float two = {2}, float eps = {0.00001}, float[4] w = {1,2,3,4}> { p = Pow (x, two) m = "
              "ReduceMean "
              "<axes = [0]> (p) e = Add (m, eps) s = Sqrt (e) n = Div (x, s) y = Mul (n, w) }",
         "its mean is not over the last axis"},
        {HEAD "g (float[b,4] x) => (float[b,4] y, float[b,4] z) <float[4,4] w = {@}> { h = MatMul (x, w) y = Relu (h) z = Neg (h) }",
         "activation relu at y is not fused: what it reads is read elsewhere"},
        {HEAD "g (int64[b,s] ids_w, int64[b,s] ids_t) => (float[b,s,4] y, float[b,s,4] z) <float[4,4] t = {@}, float[4,4] u = {@}> {"
              " a = Gather (t, ids_w) c = Gather (u, ids_t) y = Add (a, c) z = Neg (a) }",
         "embedding at y is not fused: rows of one table are read elsewhere"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = pass_check_same(rows[i].text, PASSES(pass_linear, pass_norm, pass_activation, pass_embed));
        if (!strstr(notes, rows[i].note)) fail_msg("%s: the note is \"%s\"", rows[i].text, notes);
        done(g);
    }
}

static bool is_causal(const char *mask, char *why) {
    graph *g = decoder(17, mask, SOFTMAX);
    nib_error err;
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    graph_value *bias = graph_find_value(g, "bias");
    assert_non_null(bias);
    bool yes = pass_is_causal(&ctx, bias, why, 200);
    graph_free(g);
    return yes;
}

static void causal_is_what_it_computes(void **state) {
    char why[200] = "";
    static const char *const yes[] = {
        CAUSAL,
        "col = Unsqueeze (r, v1) d = Sub (r, col) open = Greater (d, i0) bias = Where (open, infinite, zero) ",
    };
    static const char *const no[] = {
        "col = Unsqueeze (r, v1) open = Less (r, col) bias = Where (open, zero, lowest) ",                          /* not itself */
        "col = Unsqueeze (r, v1) open = GreaterOrEqual (r, col) bias = Where (open, zero, lowest) ",                /* backwards */
        "col = Unsqueeze (r, v1) c1 = Add (col, i1) open = LessOrEqual (r, c1) bias = Where (open, zero, lowest) ", /* one ahead */
        "col = Unsqueeze (r, v1) open = LessOrEqual (r, col) bias = Where (open, zero, half) ",                     /* not closed */
        "col = Unsqueeze (r, v1) open = LessOrEqual (r, col) bias = Where (open, half, lowest) ",                   /* not zero */
        "col = Unsqueeze (r, v1) d = Sub (col, r) nine = Constant <value_int = 9> () o1 = LessOrEqual (d, nine) o2 = LessOrEqual (r, col)"
        " open = And (o1, o2) bias = Where (open, zero, lowest) ", /* a window of nine, which small samples do not show */
        CAUSAL_PADDED,
    };
    for (size_t i = 0; i < BASE_COUNT(yes); i++)
        if (!is_causal(yes[i], why)) fail_msg("%s: %s", yes[i], why);
    for (size_t i = 0; i < BASE_COUNT(no); i++)
        if (is_causal(no[i], why)) fail_msg("%s is causal", no[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opset_23_says_all),
        cmocka_unit_test(com_microsoft_says_all),
        cmocka_unit_test(a_mask_of_any_numbers),
        cmocka_unit_test(the_order_of_biases_shows),
        cmocka_unit_test(a_query_without_keys),
        cmocka_unit_test(a_mask_hides_as_the_model_does),
        cmocka_unit_test(a_text_without_tokens_stays_0), cmocka_unit_test(a_guard_stays_where_a_bias_overflows),
        cmocka_unit_test(a_fixed_length_is_said_alike),
        cmocka_unit_test(a_low_opset_keeps_the_long_form),
        cmocka_unit_test(causal_is_what_it_computes),
        cmocka_unit_test(gates_are_found),
        cmocka_unit_test(embeddings_are_one),
        cmocka_unit_test(positions_below_0_are_looked_up),
        cmocka_unit_test(norms_of_sums),
        cmocka_unit_test(rows_behind_gemm_stay_rows),
        cmocka_unit_test(near_misses_are_said),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
