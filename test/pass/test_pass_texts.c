/* SPDX-License-Identifier: Apache-2.0
 *
 * What else of a batch reaches a text's result: padding, its neighbours, or nothing, for many ways to make one vector of a text. Where it
 * says "nothing", or "only padding", that is tried: the same text beside others, and padded further.
 */
#include "pass_test.h"

#define BODY(text)                                                                                                                         \
    HEAD                                                                                                                                   \
        "g (int64[b,s] ids, int64[b,s] mask) => (float[] y) <float[4,6] words = {@}, float[6,6] w = {@}, float[6] bias = {@}, float[6,1] " \
        "score = {@}, int64[1] v0 = {0}, int64[1] v1 = {1}, int64[1] v2 = {2}, int64[1] vlast = {-1}, int64[1] vend = "                    \
        "{-9223372036854775807}, int64[2] "                                                                                                \
        "pair = {0,1}, int64 i0 = {0}, int64 i1 = {1}, float one = {1}, float zero = {0}, float lowest = {-3.4e38}, float weak = {-5}, "   \
        "int64[2] v02 = {0,2}, float tenth = {0.1}, int64 far = {-1099511627776}, uint8 z = {0}, int64[6] pads = {0,1,0,0,0,0}> {"         \
        " x = Gather (words, ids) mf = Cast <to = 1> (mask) m3 = Unsqueeze (mf, v2) sh = Shape (mask) nb = Gather (sh, i0) ns = Gather "   \
        "(sh, i1) " text " }"

static const struct {
    const char *body;
    pass_reach reach;
} rows[] = {
    /* pooled by the mask, in the ways that exporters write it */
    {BODY("mx = Mul (x, m3) sum = ReduceSum (mx, v1) n = ReduceSum (m3, v1) y = Div (sum, n)"), PASS_REACH_NOTHING},
    {BODY(
         "mx = Mul (x, m3) sum = ReduceSum <keepdims = 0> (mx, v1) n0 = ReduceSum <keepdims = 0> (mf, v1) n1 = Unsqueeze (n0, v1) n = Clip "
         "(n1, tenth) y = Div (sum, n)"),
     PASS_REACH_NOTHING},
    {BODY("mb = Cast <to = 9> (m3) h = Where (mb, x, lowest) y = ReduceMax <axes = [1]> (h)"), PASS_REACH_NOTHING},
    {BODY("no = Sub (one, m3) p = Mul (no, lowest) h = Add (x, p) y = ReduceMax <axes = [1]> (h)"), PASS_REACH_NOTHING},
    {BODY("y = Gather <axis = 1> (x, i0)"), PASS_REACH_NOTHING},
    {BODY("f = Slice (x, v0, v1, v1) y = Squeeze (f, v1)"), PASS_REACH_NOTHING},
    {BODY("l = MatMul (x, w) t = Tanh (l) y = nib.Pool <mode = \"max\"> (t, mask)"), PASS_REACH_NOTHING},
    /* attention over the tokens of a text */
    {BODY("s = MatMul (x, score) no = Sub (one, m3) p = Mul (no, lowest) h = Add (s, p) a = Softmax <axis = 1> (h) ax = Mul (a, x) y = "
          "ReduceSum (ax, v1)"),
     PASS_REACH_NOTHING},
    {BODY("s = MatMul (x, score) no = Sub (one, m3) p = Mul (no, lowest) h = Add (s, p) a = Softmax <axis = 1> (h) at = Transpose <perm = "
          "[0,2,1]> (a) y = MatMul (at, x)"),
     PASS_REACH_NOTHING},
    /* positions, in rows that the mask pools */
    {BODY("r = Range (i0, ns, i1) f = Cast <to = 1> (r) f2 = Unsqueeze (f, v02) h = Add (x, f2) hm = Mul (h, m3) y = ReduceSum (hm, v1)"),
     PASS_REACH_NOTHING},
    {BODY("c = CumSum (mask, v1) f = Cast <to = 1> (c) f2 = Unsqueeze (f, v2) h = Add (x, f2) hm = Mul (h, m3) y = ReduceSum (hm, v1)"),
     PASS_REACH_NOTHING},
    /* the last token's row, as heads of decoders take it, and ids that move on by one, as decoders read them */
    {BODY("r = Range (i0, ns, i1) t = Cast <to = 9> (mask) k = Where (t, r, far) i = ArgMax <axis = 1> (k) y = GatherND <batch_dims = 1> "
          "(x, i)"),
     PASS_REACH_NOTHING},
    {BODY("r = Range (i0, ns, i1) b = Sub (r, i1) f = Max (b, i0) moved = Gather <axis = 1> (ids, f) h = Gather (words, moved) hm = "
          "Mul (h, m3) y = ReduceSum (hm, v1)"),
     PASS_REACH_NOTHING},

    /* padding has a part in it */
    {BODY("i = ArgMax <axis = 1> (ids) y = GatherND <batch_dims = 1> (x, i)"), PASS_REACH_PADDING},
    {BODY("r = Range (i0, ns, i1) f = Sub (r, i1) moved = Gather <axis = 1> (ids, f) h = Gather (words, moved) hm = Mul (h, m3) y = "
          "ReduceSum (hm, v1)"),
     PASS_REACH_PADDING}, /* -1 is the last column */
    {BODY("r = Range (i0, ns, i1) l = Sub (ns, i1) b = Sub (l, r) f = Max (b, i0) moved = Gather <axis = 1> (ids, f) h = Gather (words, "
          "moved) hm = Mul (h, m3) y = ReduceSum (hm, v1)"),
     PASS_REACH_PADDING},
    {BODY("y = ReduceMean <axes = [1]> (x)"), PASS_REACH_PADDING},
    {BODY("y = ReduceMax <axes = [1]> (x)"), PASS_REACH_PADDING},
    {BODY("mx = Mul (x, m3) y = ReduceMean <axes = [1]> (mx)"), PASS_REACH_PADDING},
    {BODY("mx = Mul (x, m3) y = ReduceMax <axes = [1]> (mx)"), PASS_REACH_PADDING}, /* 0 may be the largest */
    {BODY("sum = ReduceSum (x, v1) n = ReduceSum (m3, v1) y = Div (sum, n)"), PASS_REACH_PADDING},
    {BODY("mx = Mul (x, m3) sum = ReduceSum (mx, v1) f = Cast <to = 1> (ns) y = Div (sum, f)"), PASS_REACH_PADDING},
    {BODY("y = Gather <axis = 1> (x, vlast)"), PASS_REACH_PADDING},
    {BODY("y = Gather <axis = 1> (x, i1)"), PASS_REACH_PADDING}, /* a text of one token has no second */
    {BODY("f = Slice (x, vlast, vend, v1, vlast) h = Add (x, f) hm = Mul (h, m3) y = ReduceSum (hm, v1)"), PASS_REACH_PADDING},
    {BODY("mean = ReduceMean <axes = [1]> (x) h = Add (x, mean) hm = Mul (h, m3) y = ReduceSum (hm, v1)"), PASS_REACH_PADDING},
    {BODY("s = MatMul (x, score) a = Softmax <axis = 1> (s) ax = Mul (a, x) am = Mul (ax, m3) y = ReduceSum (am, v1)"), PASS_REACH_PADDING},
    {BODY("s = MatMul (x, score) no = Sub (one, m3) p = Mul (no, weak) h = Add (s, p) a = Softmax <axis = 1> (h) ax = Mul (a, x) y = "
          "ReduceSum (ax, v1)"),
     PASS_REACH_PADDING},
    {BODY("c = CumSum <reverse = 1> (mask, v1) f = Cast <to = 1> (c) no = Cast <to = 1> (ids) h = Mul (f, no) y = ReduceSum (h, v1)"),
     PASS_REACH_PADDING},
    {BODY("i = ArgMax <axis = 1, keepdims = 1> (x) y = Cast <to = 1> (i)"), PASS_REACH_PADDING},

    {BODY("p = Pad (x, pads) q = Slice (p, v0, ns1, v1) hm = Mul (q, m3) y = ReduceSum (hm, v1)"), PASS_REACH_PADDING},

    /* all scores of a text hidden; 0 / 0 where it is padded; tokens lower than what hides */
    {BODY("seven = Constant <value_int = 3> () e = Equal (ids, seven) lo = Constant <value_float = -10000.0> () h = Where (e, zero, lo) h3 "
          "= "
          "Unsqueeze (h, v2) a = Softmax <axis = 1> (h3) ax = Mul (a, x) y = ReduceSum (ax, v1)"),
     PASS_REACH_PADDING},
    {BODY("d = Div (m3, m3) ax = Mul (d, x) am = Mul (ax, m3) y = ReduceSum (am, v1)"), PASS_REACH_PADDING},
    {BODY("mb = Cast <to = 9> (m3) lo = Constant <value_float = -10000.0> () h = Where (mb, x, lo) y = ReduceMax <axes = [1]> (h)"),
     PASS_REACH_PADDING},

    /* neighbours have */
    {BODY("f = Gather <axis = 1> (x, i0) nz = NonZero (mask) sz = Shape <start = 1> (nz) n = Cast <to = 1> (sz) y = Div (f, n)"),
     PASS_REACH_NEIGHBOURS},
    {BODY("mean = ReduceMean <axes = [0,1]> (x) y = Sub (x, mean)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) mean = ReduceMean <axes = [0]> (f) y = Sub (f, mean)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) y = Softmax <axis = 0> (f)"), PASS_REACH_NEIGHBOURS},
    {BODY("q, qs, qz = DynamicQuantizeLinear (x) d = DequantizeLinear (q, qs, qz) y = Gather <axis = 1> (d, i0)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) t = Transpose (f) g = MatMul (f, t) y = MatMul (g, f)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) n = Cast <to = 1> (nb) y = Div (f, n)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) r = Range (i0, nb, i1) n = Cast <to = 1> (r) c = Unsqueeze (n, v1) y = Add (f, c)"),
     PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) y = Gather (f, v0)"), PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) y = CumSum (f, i0)"), PASS_REACH_NEIGHBOURS},
    /* inference does not know the size of what is cut: caution */
    {BODY("f = Slice (x, v1, ns1, v1) l = Slice (x, v0, v1, v1) r = Concat <axis = 1> (f, l) h = Add (x, r) hm = Mul (h, m3) y = ReduceSum "
          "(hm, v1)"),
     PASS_REACH_NEIGHBOURS},
    {BODY("f = Gather <axis = 1> (x, i0) r = RandomNormalLike (f) y = Add (f, r)"), PASS_REACH_NEIGHBOURS},
};

/* y of ids [texts][tokens] of which a text has `used` tokens; in the arena. */
static const graph_tensor *result(graph *g, base_arena *arena, int64_t texts, int64_t tokens, int64_t used, int64_t others, uint32_t seed) {
    int64_t *ids = base_arena_calloc(arena, (size_t)(texts * tokens), sizeof *ids),
            *mask = base_arena_calloc(arena, (size_t)(texts * tokens), sizeof *mask);
    const graph_tensor *y;
    nib_error err;
    for (int64_t b = 0; b < texts; b++)
        for (int64_t j = 0; j < (b ? others : used); j++) {
            ids[b * tokens + j] = b ? (int64_t)(next_random(&seed) % 4) : (j * 3 + 1) % 4;
            mask[b * tokens + j] = 1;
        }
    op_env *env = op_env_create(g, arena, 64u << 20, &test_kernels);
    const size_t bytes = (size_t)(texts * tokens) * sizeof *ids;
    assert_int_equal(op_env_set(env, g->inputs[0],
                                &(graph_tensor){.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {texts, tokens}, .data = ids, .bytes = bytes}),
                     NIB_OK);
    assert_int_equal(op_env_set(env, g->inputs[1],
                                &(graph_tensor){.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {texts, tokens}, .data = mask, .bytes = bytes}),
                     NIB_OK);
    return op_env_get(env, g->outputs[0], &y, &err) == NIB_OK ? y : NULL; /* the model itself takes no text of that length */
}

/* The first text's row is the same bits alone, beside others, and, if `padded`, padded further. */
static void check_alone(graph *g, const char *body, bool padded) {
    for (int64_t used = 1; used < 40; used = used * 2 + 1)
        for (int64_t texts = 1; texts < 4; texts++) {
            base_arena arena;
            base_arena_init(&arena, &test_runtime->heap);
            const int64_t tokens = padded ? used + 3 * texts : used;
            const graph_tensor *alone = result(g, &arena, 1, used, used, used, 1),
                               *beside = result(g, &arena, texts, tokens, used, tokens, 5);
            assert_true((alone && beside) || used == 1);
            if (!alone || !beside) {
                base_arena_free(&arena);
                continue;
            }
            size_t row = alone->bytes;
            if (!alone->rank || alone->dims[0] != 1 || beside->dims[0] != texts || beside->bytes != row * (size_t)texts)
                fail_msg("%s: no row a text", body);
            if (memcmp(alone->data, beside->data, row) != 0)
                fail_msg("%s: other bits for %lld tokens in %lld texts of %lld", body, (long long)used, (long long)texts,
                         (long long)tokens);
            base_arena_free(&arena);
        }
}

static void what_reaches_a_text_is_found(void **state) {
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[3000];
        const graph_node *at;
        nib_error err;
        pass_reach reach;
        snprintf(text, sizeof text, "%s", rows[i].body);
        char *list = strstr(text, "ns1"); /* [s], as ends of slices are */
        if (list) {
            char *body = strstr(text, "(sh, i1) ");
            memmove(body + 9 + 28, body + 9, strlen(body + 9) + 1);
            memcpy(body + 9, "ns1 = Unsqueeze (ns, v0)    ", 28);
        }
        graph *g = parse_graph(text);
        pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .mask = g->inputs[1], .err = &err};
        const graph_type *t = &g->inputs[0]->type;
        assert_int_equal(pass_follow_texts(&ctx, t->dims[0], t->dims[1], NULL, &reach, &at), NIB_OK);
        if (reach != rows[i].reach) fail_msg("%s: %d at %s", rows[i].body, reach, at ? at->op : "nothing");
        assert_true(reach == PASS_REACH_NOTHING || at);
        if (reach != PASS_REACH_NEIGHBOURS) check_alone(g, rows[i].body, reach == PASS_REACH_NOTHING);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_reaches_a_text_is_found)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
