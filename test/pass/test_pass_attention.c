/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention: the forms that exporters write are taken, wherever the scale stands; what only looks like it is left, with a
 * note that says why.
 */
#include "pass_test.h"

/* Rows of 8 columns, two heads of 4. Each part can be replaced. */
typedef struct parts {
    const char *q_perm, *k_perm, *v_perm, *merge_perm, *scores, *probabilities, *extra, *bias, *split, *outputs;
} parts;

static const parts plain = {
    .q_perm = "0,2,1,3",
    .k_perm = "0,2,3,1",
    .v_perm = "0,2,1,3",
    .merge_perm = "0,2,1,3",
    .scores = "s = MatMul (qh, kh)",
    .probabilities = "p = Softmax <axis = -1> (s)",
    .extra = "",
    .bias = "b,1,1,s",
    .split = "0,0,2,4",
    .outputs = "float[b,s,8] y",
};

static graph *attention(parts p) {
    char text[2000];
    snprintf(text, sizeof text,
             HEAD "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[%s] bias) => (%s)"
                  " <int64[4] split = {%s}, int64[3] merge = {0,0,8}, float half = {0.5}, float two = {2}, float root = {0.70710678}, "
                  "float zero = {0}, float[4] vec = {@}, float[1,2,1,1] rel = {@}, float lowest = {-3.4028234e38}, float low = {-10000}> {"
                  " q4 = Reshape (q, split) qh = Transpose <perm = [%s]> (q4)"
                  " k4 = Reshape (k, split) kh = Transpose <perm = [%s]> (k4)"
                  " v4 = Reshape (v, split) vh = Transpose <perm = [%s]> (v4)"
                  " %s %s %s c = MatMul (p, vh) ct = Transpose <perm = [%s]> (c) y = Reshape (ct, merge) }",
             p.bias, p.outputs, p.split, p.q_perm, p.k_perm, p.v_perm, p.scores, p.probabilities, p.extra, p.merge_perm);
    return pass_check_same(text, PASSES(pass_attention));
}

static void assert_taken(parts p, float scale, int inputs) {
    graph *g = attention(p);
    if (strcmp(ops(g), "nib.Attention") != 0) fail_msg("%s / %s leaves %s: %s", p.scores, p.probabilities, ops(g), notes);
    assert_int_equal(g->first->n_inputs, inputs);
    assert_int_equal(graph_attr_int(g->first, "heads", 0), 2);
    op_attention a;
    assert_true(op_attention_get(g->first, &a) && fabs((double)(a.scale - scale)) < 1e-6);
    done(g);
}

static void the_scale_may_stand_anywhere(void **state) {
    static const struct {
        const char *scores;
        float scale;
        int inputs;
    } rows[] = {
        {"s = MatMul (qh, kh)", 1, 3},
        {"m = MatMul (qh, kh) s = Mul (m, half)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Mul (half, m)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Div (m, two)", 0.5f, 3},
        {"a = Mul (qh, half) s = MatMul (a, kh)", 0.5f, 3},
        {"a = Div (kh, two) s = MatMul (qh, a)", 0.5f, 3},
        {"a = Mul (qh, root) e = Mul (kh, root) s = MatMul (a, e)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Add (m, bias)", 1, 4},
        {"m = MatMul (qh, kh) n = Div (m, two) s = Add (n, bias)", 0.5f, 4},
        {"m = MatMul (qh, kh) n = Div (m, two) s = Add (bias, n)", 0.5f, 4},
        {"a = Mul (qh, root) e = Mul (kh, root) m = MatMul (a, e) s = Add (m, bias)", 0.5f, 4},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        parts p = plain;
        p.scores = rows[i].scores;
        assert_taken(p, rows[i].scale, rows[i].inputs);
    }
}

static void biases_of_all_shapes(void **state) {
    static const char *const shapes[] = {"b,1,1,s", "1,1,s,s", "b,2,s,s", "1,2,1,s", "s", "s,s", "b,1,s,1"};
    for (size_t i = 0; i < BASE_COUNT(shapes); i++) {
        parts p = plain;
        p.scores = "m = MatMul (qh, kh) n = Mul (m, half) s = Add (n, bias)";
        p.bias = shapes[i];
        assert_taken(p, 0.5f, 4);
    }
}

static void rows_of_nan_become_zero(void **state) {
    parts p = plain;
    p.scores = "m = MatMul (qh, kh) s = Add (m, bias)";
    p.probabilities = "p0 = Softmax <axis = 3> (s) isn = IsNaN (p0) p = Where (isn, zero, p0)";
    assert_taken(p, 1, 4);
}

static nib_status for_task(pass_context *ctx) { return ctx->mode = PASS_MODE_TASK, NIB_OK; }
static nib_status for_exact(pass_context *ctx) { return ctx->mode = PASS_MODE_EXACT, NIB_OK; }

/* A query whose keys are all -infinity: sdpa's form gives 0, and so must the operator; without it there is NaN, but in
 * a task. */
static void a_row_without_keys(void **state) {
    static const char *const text = HEAD
        "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, int64[b,s] mask) => (float[b,s,8] y)"
        " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, float zero = {0}, float ninf = {-inf}, int64[2] axes "
        "= {1,2}> {"
        " mb = Cast <to = 9> (mask) mu = Unsqueeze (mb, axes) bias = Where (mu, zero, ninf)"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split) kh = Transpose <perm "
        "= [0,2,3,1]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4)"
        " m = MatMul (qh, kh) s = Add (m, bias) p0 = Softmax <axis = -1> (s) isn = IsNaN (p0) p = %s (isn, zero, p0)"
        " c = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) }";
    for (int guarded = 0; guarded < 2; guarded++) {
        char full[2000];
        snprintf(full, sizeof full, text, "Where");
        char *end = guarded ? NULL : strstr(full, "isn = IsNaN");
        if (end)
            memmove(end, "p = Identity (p0)", 17),
                memmove(end + 17, strstr(full, " c = MatMul"), strlen(strstr(full, " c = MatMul")) + 1);
        for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) {
            graph *g = pass_check_same(full, PASSES(for_exact, pass_clean, pass_attention));
            assert_int_equal(graph_attr_int(find_op(g, "nib", "Attention"), "masked_nan", 0), !guarded);
            done(g);
        }
        mask_kind = MASK_FULL;
        graph *g = pass_check_same(full, PASSES(for_task, pass_clean, pass_attention));
        assert_int_equal(graph_attr_int(find_op(g, "nib", "Attention"), "masked_nan", 0), 0);
        done(g);
    }
}

static nib_status for_file(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE, NIB_OK; }
static nib_status for_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, NIB_OK; }
static nib_status pass_note_all(pass_context *ctx) { return pass_note_found(ctx), NIB_OK; }

static void assert_left(parts p, const char *reason) {
    graph *g = attention(p);
    if (count_op(g, "nib", "Attention")) fail_msg("%s / %s became %s", p.scores, p.probabilities, ops(g));
    if (!strstr(notes, reason)) fail_msg("the note is \"%s\", not about \"%s\"", notes, reason);
    done(g);
}

/* Whatever is added, in whatever order: the scores' operators, the attention, and what is left beside it to make the bias. */
static void biases_are_summed(void **state) {
    static const struct {
        const char *scores, *ops;
        float scale, softcap;
    } rows[] = {
        {"m = MatMul (qh, kh) n = Add (m, bias) s = Mul (n, half)", "Mul nib.Attention", 0.5f, 0},
        {"m = MatMul (qh, kh) n = Div (m, two) o = Add (n, rel) s = Add (o, bias)", "Add nib.Attention", 0.5f, 0},
        {"m = MatMul (qh, kh) o = Add (rel, bias) s = Add (m, o)", "Add nib.Attention", 1, 0},
        {"m = MatMul (qh, kh) cc = Greater (bias, zero) s = Where (cc, m, lowest)", "Greater Where nib.Attention", 1, 0},
        {"m = MatMul (qh, kh) cc = Greater (bias, zero) n = Mul (m, half) s = Where (cc, lowest, n)", "Greater Where nib.Attention", 0.5f,
         0},
        {"m = MatMul (qh, kh) cc = Greater (bias, zero) w = Where (cc, m, lowest) s = Add (w, rel)", "Greater Where Add nib.Attention", 1,
         0},
        {"m = MatMul (qh, kh) cc = Greater (bias, zero) n = Add (m, rel) s = Where (cc, n, lowest)", "Greater Where Add nib.Attention", 1,
         0},
        /* two numbers that low would be -infinity together */
        {"m = MatMul (qh, kh) cc = Greater (bias, zero) pad = Mul (rel, lowest) n = Add (m, pad) s = Where (cc, n, lowest)",
         "Greater Mul Where nib.Attention", 1, 0},
        {"m = MatMul (qh, kh) t = Tanh (m) s = Mul (t, two)", "nib.Attention", 2, 2},
        {"m = MatMul (qh, kh) n = Mul (m, half) d = Div (n, two) t = Tanh (d) u = Mul (t, two) s = Add (u, bias)", "nib.Attention", 0.5f,
         2},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        parts p = plain;
        p.scores = rows[i].scores;
        graph *g = attention(p);
        if (strcmp(ops(g), rows[i].ops) != 0) fail_msg("%s leaves %s: %s", p.scores, ops(g), notes);
        const graph_node *n = find_op(g, "nib", "Attention");
        op_attention a;
        assert_true(op_attention_get(n, &a) && fabs((double)(a.scale - rows[i].scale)) < 1e-6);
        assert_true(fabs((double)(a.softcap - rows[i].softcap)) < 1e-6);
        done(g);
    }
}

static void other_products_stay(void **state) {
    parts p = plain;
    p.scores = "m = MatMul (qh, kh) s = Exp (m)";
    assert_left(p, "scores are not");
    p = plain;
    p.scores = "m = MatMul (qh, kh) cc = Greater (bias, zero) s = Where (cc, m, low)"; /* -1e4 and a score are not -1e4 */
    assert_left(p, "scores are not");
    p = plain;
    p.scores = "m = MatMul (qh, kh) n = Add (m, bias) t = Tanh (n) s = Mul (t, two)"; /* the bias is capped, too */
    assert_left(p, "scores are not");
    p = plain;
    p.probabilities = "p0 = Softmax <axis = -1> (s) p = Mul (p0, half)";
    graph *g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.probabilities = "p0 = Softmax <axis = 2> (s) p = Transpose <perm = [0,1,2,3]> (p0)";
    g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.probabilities = "p = Softmax <axis = 2> (s)";
    g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
}

static void permutations_mean_what_they_do(void **state) {
    /* With s = 2 = heads (and 4 = 4) the shapes fit, so that only the permutation tells: rows may be heads, and are taken as that. */
    static const char *const text = HEAD
        "g (float[b,2,8] q, float[b,2,8] k, float[b,2,8] v) => (float[b,2,8] y) <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}> {"
        " q4 = Reshape (q, split) qh = Transpose <perm = [%s]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [%s]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [%s]> (v4) s = MatMul (qh, kh) p = Softmax <axis = -1> (s)"
        " c = MatMul (p, vh) ct = Transpose <perm = [%s]> (c) y = Reshape (ct, merge) }";
    static const char *const perms[][5] = {
        {"0,2,1,3", "0,2,3,1", "0,2,1,3", "0,2,1,3", ""}, {"0,1,2,3", "0,2,3,1", "0,2,1,3", "0,2,1,3", ""},
        {"0,2,1,3", "0,1,3,2", "0,2,1,3", "0,2,1,3", ""}, {"0,2,1,3", "0,2,3,1", "0,1,2,3", "0,2,1,3", ""},
        {"0,2,1,3", "0,2,3,1", "0,2,1,3", "0,1,2,3", ""},
    };
    char full[1500];
    for (size_t i = 0; i < BASE_COUNT(perms); i++) {
        snprintf(full, sizeof full, text, perms[i][0], perms[i][1], perms[i][2], perms[i][3]);
        graph *g = pass_check_same(full, PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), !*perms[i][4]);
        if (!strstr(notes, perms[i][4])) fail_msg("case %zu: the note is \"%s\"", i, notes);
        done(g);
    }
}

static void what_else_is_read_stays(void **state) {
    parts p = plain;
    p.outputs = "float[b,s,8] y, float[b,2,s,s] p"; /* the caller wants the probabilities: they are computed beside it */
    graph *g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.outputs = "float[b,s,8] y, float[b,2,s,4] c"; /* and the heads: they are made of the rows */
    g = attention(p);
    assert_int_equal(count_op(g, "nib", "Attention"), 1);
    assert_int_equal(count_op(g, "", "Softmax"), 0);
    done(g);
}

static void heads_must_agree(void **state) {
    static const char *const text = HEAD
        "g (float[b,4,8] q, float[b,4,8] k, float[b,4,8] v) => (float[b,4,8] y) <int64[4] split = {0,0,2,4}, int64[4] four = {0,0,4,2}, "
        "int64[3] merge = {0,0,8}> {"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [0,2,3,1]> (k4)"
        " v4 = Reshape (v, %s) vh = Transpose <perm = [0,2,1,3]> (v4) s = MatMul (qh, kh) p = Softmax <axis = -1> (s)"
        " c = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) }";
    char full[1500];
    snprintf(full, sizeof full, text, "split");
    graph *g = pass_check_same(full, PASSES(pass_attention));
    assert_int_equal(count_op(g, "nib", "Attention"), 1);
    done(g);
    snprintf(full, sizeof full, text, "four"); /* 2 heads against 4: no valid MatMul, but types may not have seen it */
    graph *bad;
    nib_error err = {0};
    char *filled = fill_text(full);
    assert_int_equal(graph_parse(&test_runtime->heap, filled, strlen(filled), &bad, &err), NIB_OK);
    base_free(&test_runtime->heap, filled);
    op_resolve(bad);
    assert_int_equal(op_infer_graph(bad, &err), NIB_SHAPE);
    graph_free(bad);
}

/* Two of four heads of keys and values each, as transformers' repeat_kv writes it; queries first turned by something unknown. */
static void shared_heads(void **state) {
    static const char *const text = HEAD
        "g (float[b,s,16] q, float[b,s,8] k, float[b,s,8] v) => (float[b,s,16] y)"
        " <int64[4] four = {0,0,4,4}, int64[4] two = {0,0,2,4}, int64[1] ax = {2}, int64[5] times = {1,1,2,1,1}, int64[4] all = {0,4,-1,4},"
        " int64[3] merge = {0,0,16}> {"
        " q4 = Reshape (q, four) qh = Transpose <perm = [0,2,1,3]> (q4) qt = Neg (qh)"
        " k4 = Reshape (k, two) kh = Transpose <perm = [0,2,1,3]> (k4) ku = Unsqueeze (kh, ax) ke = Expand (ku, times) kr = Reshape (ke, "
        "all)"
        " kt = Transpose <perm = [0,1,3,2]> (kr)"
        " v4 = Reshape (v, two) vh = Transpose <perm = [0,2,1,3]> (v4) vu = Unsqueeze (vh, ax) ve = Expand (vu, times) vr = Reshape (ve, "
        "all)"
        " s = MatMul (qt, kt) p = Softmax <axis = -1> (s) c = MatMul (p, vr) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) "
        "}";
    graph *g = pass_check_same(text, PASSES(pass_attention));
    const graph_node *n = find_op(g, "nib", "Attention");
    assert_non_null(n);
    assert_int_equal(graph_attr_int(n, "heads", 0), 4);
    assert_int_equal(graph_attr_int(n, "kv_heads", 0), 2);
    assert_ptr_equal(n->inputs[1].value, g->inputs[1]);
    assert_int_equal(count_op(g, "", "Expand"), 0);
    done(g);
}

/* Heads in the axis of the batch, as DeBERTa writes them. */
#define HEADS_IN_THE_BATCH(rel)                                                                                                            \
    HEAD "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[b,1,1,s] bias) => (float[b,s,8] y)"                                     \
         " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, int64[1] minus = {-1}, int64[1] two = {2}, int64[1] size = {4}, float "  \
         "r = "                                                                                                                            \
         "{3},"                                                                                                                            \
         " int64[1] v1 = {1}> {"                                                                                                           \
         " sh = Shape (q) n = Gather (sh, v1) to3 = Concat <axis = 0> (minus, n, size) to4 = Concat <axis = 0> (minus, two, n, n)"         \
         " sq = Concat <axis = 0> (minus, n, n) back = Concat <axis = 0> (minus, two, n, size)"                                            \
         " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) qb = Reshape (qh, to3)"                                          \
         " k4 = Reshape (k, split) kh = Transpose <perm = [0,2,1,3]> (k4) kb = Reshape (kh, to3) kt = Transpose <perm = [0,2,1]> (kb) kd " \
         "= "                                                                                                                              \
         "Div (kt, r)"                                                                                                                     \
         " v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4) vb = Reshape (vh, to3)"                                          \
         " m = MatMul (qb, kd)" rel " o = Add (m, rel) f = Reshape (o, to4) s = Add (f, bias) p = Softmax <axis = -1> (s)"                 \
         " pb = Reshape (p, sq) cb = MatMul (pb, vb) c = Reshape (cb, back) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, "       \
         "merge) }"

static void heads_in_the_batch(void **state) {
    static const char *const text = HEADS_IN_THE_BATCH("rel = Mul (m, m)");
    for (int file = 0; file < 2; file++) {
        graph *g = pass_check_same(text, file ? PASSES(for_ort, pass_attention) : PASSES(pass_attention));
        const graph_node *n = find_op(g, "nib", "Attention");
        op_attention a;
        assert_true(op_attention_get(n, &a) && fabs((double)a.scale - 1.0 / 3) < 1e-6);
        assert_int_equal(count_op(g, "", "Softmax"), 0);
        done(g);
    }
}

/* A bias that is broadcast over texts and heads, or of a size that nothing shows: the view of the scores would not be one of it. */
static void a_bias_of_joined_heads_must_be_as_large(void **state) {
    static const char *const texts[] = {
        HEADS_IN_THE_BATCH("rel = ReduceMax <axes = [0], keepdims = 1> (m)"),
        HEADS_IN_THE_BATCH("z = NonZero (m) one = ReduceMin <keepdims = 0> (z) ab = Abs (one) lo = Add (ab, n)"
                           " hi = Min (lo, n) top = Concat <axis = 0> (minus, n, hi) rel = Reshape (m, top)")};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = pass_check_same(texts[i], PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), 0);
        assert_int_equal(count_op(g, "", "Softmax"), 1);
        if (!strstr(notes, "its bias is not known to broadcast to the scores")) fail_msg("the note is \"%s\"", notes);
        done(g);
    }
}

/* A bias that is the corner of a table, as GPT-Neo has: as large as the scores, or larger texts fail with and without the pass. A table of
 * one row is as large as any scores: there it is not known. */
static void a_bias_cut_from_a_table(void **state) {
    char text[2000];
    for (int rows = 1; rows <= 16; rows += 15) {
        snprintf(text, sizeof text,
                 HEAD "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[1,1,%d,%d] table) => (float[b,s,8] y)"
                      " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, int64[1] zero = {0}, int64[1] v1 = {1}, int64[1] v2 = {2},"
                      " int64[1] v3 = {3}> {"
                      " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split)"
                      " kh = Transpose <perm = [0,2,3,1]> (k4) v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4)"
                      " m = MatMul (qh, kh) sh = Shape (q) n = Gather (sh, v1) upper = Slice (table, zero, n, v2)"
                      " bias = Slice (upper, zero, n, v3) s = Add (m, bias) p = Softmax <axis = -1> (s)"
                      " o = MatMul (p, vh) ot = Transpose <perm = [0,2,1,3]> (o) y = Reshape (ot, merge) }",
                 rows, rows);
        graph *g = pass_check_same(text, PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), rows > 1);
        done(g);
    }
}

/* What files of a low opset cannot say is found, and left. */
static void what_a_file_cannot_say_stays(void **state) {
    char text[2000];
    snprintf(
        text, sizeof text, "%s",
        HEAD
        "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[b,1,s,s] a, float[1,2,s,s] c) => (float[b,s,8] y)"
        " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}> {"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [0,2,3,1]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4) m = MatMul (qh, kh) n = Add (m, a) s = Add (n, c)"
        " p = Softmax <axis = -1> (s) o = MatMul (p, vh) ot = Transpose <perm = [0,2,1,3]> (o) y = Reshape (ot, merge) }");
    graph *g = pass_check_same(text, PASSES(for_file, pass_attention, pass_note_all));
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    if (!strstr(notes, "attention 1 (1 in the long form)")) fail_msg("the note is \"%s\"", notes);
    done(g);
    g = pass_check_same(text, PASSES(for_ort, pass_attention, pass_note_all));
    assert_int_equal(count_op(g, "nib", "Attention"), 1);
    assert_non_null(strstr(notes, "found: attention 1"));
    done(g);
}

/* Weights of [B, H, S, S] times [1,1,1,1,1] are [1, B, H, S, S]: so is what they weigh. */
static void a_scale_of_more_axes_stays(void **state) {
    static const char *const scores[] = {"s = MatMul (qh, kh) p4 = Softmax <axis = -1> (s) p = Mul (p4, many)",
                                         "m = MatMul (qh, kh) s = Mul (m, many) p = Softmax <axis = -1> (s)",
                                         "a = Div (qh, many) s = MatMul (a, kh) p = Softmax <axis = -1> (s)"};
    char text[1000];
    for (size_t i = 0; i < BASE_COUNT(scores); i++) {
        snprintf(text, sizeof text,
                 HEAD "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v) => (y) <int64[4] split = {0,0,2,4}, "
                      "float[1,1,1,1,1] many = {1}> {"
                      " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split)"
                      " kh = Transpose <perm = [0,2,3,1]> (k4) v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4) %s"
                      " y = MatMul (p, vh) }",
                 scores[i]);
        graph *g = pass_check_same(text, PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), 0);
        done(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scale_may_stand_anywhere),
        cmocka_unit_test(a_scale_of_more_axes_stays),
        cmocka_unit_test(biases_of_all_shapes),
        cmocka_unit_test(rows_of_nan_become_zero),
        cmocka_unit_test(a_row_without_keys),
        cmocka_unit_test(other_products_stay),
        cmocka_unit_test(permutations_mean_what_they_do),
        cmocka_unit_test(what_else_is_read_stays),
        cmocka_unit_test(heads_must_agree),
        cmocka_unit_test(biases_are_summed),
        cmocka_unit_test(shared_heads),
        cmocka_unit_test(heads_in_the_batch),
        cmocka_unit_test(a_bias_of_joined_heads_must_be_as_large),
        cmocka_unit_test(a_bias_cut_from_a_table),
        cmocka_unit_test(what_a_file_cannot_say_stays),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
