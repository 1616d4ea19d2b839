/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized graphs, as ONNX Runtime's quantization writes them, become the f32 graphs that their weights stand for; what only looks like
 * them is left.
 */
#include "pass_test.h"

#define WEIGHTS                                                                                                                            \
    "uint8[2,3] w = {1,2,3,4,5,255}, float scale = {0.5}, uint8 zero = {2}, int8[2,3] s8 = {-1,2,-3,4,-5,127}, float[3] scales = "         \
    "{0.5,1,2}, int8[3] zeros = {0,1,-1}, uint8[4,2] table = {0,1,2,3,4,5,6,255}, float fixed = {0.10023}, float of2 = {0.0078431377}, float half = {0.0019607844}, float one = {1}, uint8 middle = {128}, uint8 low = {0}"
#define DYNAMIC "xq, xs, xz = DynamicQuantizeLinear (x) "

static graph *graph_of(const char *weights, const char *body) {
    char text[2000];
    snprintf(text, sizeof text, HEAD "g (float[n,2] x, int64[n] ids) => (float[y0,y1] y) <%s> { %s }", weights, body);
    return parse_graph(text);
}

static void quantized_graphs_are_read_as_what_they_stand_for(void **state) {
    static const struct {
        const char *before, *constants, *after;
    } rows[] = {
        {DYNAMIC "p = MatMulInteger (xq, w, xz, zero) c = Cast <to = 1> (p) m = Mul (xs, scale) y = Mul (c, m)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "y = MatMul (x, r)"},
        {DYNAMIC "p = MatMulInteger (xq, s8, xz, zeros) c = Cast <to = 1> (p) m = Mul (scales, xs) y = Mul (m, c)",
         "float[2,3] r = {-0.5,1,-4,2,-6,256}", "y = MatMul (x, r)"},
        {DYNAMIC "p = MatMulInteger (xq, s8, xz) c = Cast <to = 1> (p) m = Mul (scales, xs) y = Mul (m, c)",
         "float[2,3] r = {-0.5,2,-6,2,-5,254}", "y = MatMul (x, r)"},
        {"y = com.microsoft.DynamicQuantizeMatMul (x, w, scale, zero, scales)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}, float[3] b = {0.5,1,2}", "p = MatMul (x, r) y = Add (p, b)"},
        {DYNAMIC "y = com.microsoft.MatMulIntegerToFloat (xq, s8, xs, scales, xz, zeros)", "float[2,3] r = {-0.5,1,-4,2,-6,256}",
         "y = MatMul (x, r)"},
        {"r = DequantizeLinear (w, scale, zero) y = MatMul (x, r)", "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "y = MatMul (x, r)"},
        {"r = DequantizeLinear <axis = 1> (s8, scales, zeros) y = MatMul (x, r)", "float[2,3] r = {-0.5,1,-4,2,-6,256}",
         "y = MatMul (x, r)"},
        {"q = QuantizeLinear (x, fixed, middle) p = QLinearMatMul (q, fixed, middle, w, scale, zero, scale, middle) y = DequantizeLinear "
         "(p, scale, middle)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "y = MatMul (x, r)"},
        {"q = QuantizeLinear (x, fixed, middle) t = Transpose (x) k = QuantizeLinear (t, fixed, zero) p = QLinearMatMul (q, fixed, middle, "
         "k, fixed, "
         "zero, scale, middle) y = DequantizeLinear (p, scale, middle)",
         "float z = {0}", "t = Transpose (x) y = MatMul (x, t)"},
        {"q = QuantizeLinear (x, fixed, middle) d = DequantizeLinear (q, fixed, middle) r = DequantizeLinear (w, scale, zero) y = MatMul "
         "(d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "y = MatMul (x, r)"},
        /* a range that ends at 0 is an activation that the quantizer took away, unless the model has it still */
        {"q = QuantizeLinear (x, fixed, low) d = DequantizeLinear (q, fixed, low) r = DequantizeLinear (w, scale, zero) y = MatMul (d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}, float most = {25.55865}", "a = Relu (x) d = Min (a, most) y = MatMul (d, r)"},
        {"a = Sigmoid (x) q = QuantizeLinear (a, fixed, low) d = DequantizeLinear (q, fixed, low) r = DequantizeLinear (w, scale, zero) y = "
         "MatMul (d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "a = Sigmoid (x) y = MatMul (a, r)"},
        /* and one as wide as a number that people write: Clip (-1, 1), of which the zero point moves the ends */
        {"q = QuantizeLinear (x, of2, middle) d = DequantizeLinear (q, of2, middle) r = DequantizeLinear (w, scale, zero) y = MatMul (d, "
         "r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}, float least = {-1.0039216}, float most = {0.99607843}",
         "a = Max (x, least) d = Min (a, most) y = MatMul (d, r)"},
        {"t = Tanh (x) v = Identity (t) q = QuantizeLinear (v, of2, middle) d = DequantizeLinear (q, of2, middle) r = DequantizeLinear (w, "
         "scale, zero) y = MatMul (d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "t = Tanh (x) y = MatMul (t, r)"}, /* which is within it by itself */
        {"t = Tanh (x) v = Mul (t, t) q = QuantizeLinear (v, of2, middle) d = DequantizeLinear (q, of2, middle) r = DequantizeLinear (w, "
         "scale, zero) y = MatMul (d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}, float least = {-1.0039216}, float most = {0.99607843}",
         "t = Tanh (x) v = Mul (t, t) a = Max (v, least) d = Min (a, most) y = MatMul (d, r)"}, /* which is not seen */
        {"t = Sigmoid (x) q = QuantizeLinear (t, half, low) d = DequantizeLinear (q, half, low) r = DequantizeLinear (w, scale, zero) "
         "y = MatMul (d, r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}, float most = {0.5}",
         "t = Sigmoid (x) a = Relu (t) d = Min (a, most) y = MatMul (d, r)"}, /* Clip (0, 0.5) */
        {"q = QuantizeLinear (x, one, middle) d = DequantizeLinear (q, one, middle) r = DequantizeLinear (w, scale, zero) y = MatMul (d, "
         "r)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "y = MatMul (x, r)"}, /* of one number */
        /* attention's products have no weight; behind one, what rounds them is not the model's own */
        {DYNAMIC "p = MatMulInteger (xq, w, xz, zero) c = Cast <to = 1> (p) m = Mul (xs, scale) k = Mul (c, m) t = Transpose (k) "
         "kq, ks, kz = DynamicQuantizeLinear (k) tq, ts, tz = DynamicQuantizeLinear (t) i = MatMulInteger (kq, tq, kz, tz) "
         "f = Cast <to = 1> (i) s = Mul (ts, ks) y = Mul (s, f)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}", "k = MatMul (x, r) t = Transpose (k) y = MatMul (k, t)"},
        {DYNAMIC "p = MatMulInteger (xq, w, xz, zero) c = Cast <to = 1> (p) m = Mul (xs, scale) k = Mul (c, m) t = Transpose (k) "
         "kq, ks, kz = DynamicQuantizeLinear (k) tq, ts, tz = DynamicQuantizeLinear (t) i = MatMulInteger (kq, tq, kz, tz) "
         "f = Cast <to = 1> (i) s = Mul (ts, ts) y = Mul (s, f)",
         "float[2,3] r = {-0.5,0,0.5,1,1.5,126.5}",
         "k = MatMul (x, r) t = Transpose (k) kq, ks, kz = DynamicQuantizeLinear (k) tq, ts, tz = DynamicQuantizeLinear (t) "
         "i = MatMulInteger (kq, tq, kz, tz) f = Cast <to = 1> (i) s = Mul (ts, ts) y = Mul (s, f)"},
        {"e = Gather (table, ids) y = DequantizeLinear (e, scale, zero)", "float[4,2] t = {-1,-0.5,0,0.5,1,1.5,2,126.5}",
         "y = Gather (t, ids)"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = graph_of(WEIGHTS, rows[i].before), *want = graph_of(rows[i].constants, rows[i].after);
        run_passes(g, PASSES(pass_quantized, pass_clean));
        static char got[4000];
        snprintf(got, sizeof got, "%s", ops(g));
        assert_string_equal(got, ops(want));
        check_equal(want, g, false);
        graph_free(want);
        done(g);
    }
}

static void what_only_looks_like_them_is_left(void **state) {
    static const char *const rows[] = {
        /* another tensor's scale, another zero point, another scale, the cast of another type */
        DYNAMIC "aq, as, az = DynamicQuantizeLinear (x) p = MatMulInteger (xq, w, xz, zero) c = Cast <to = 1> (p) m = Mul (as, scale) y = "
                "Mul (c, m)",
        DYNAMIC "p = MatMulInteger (xq, w, zero, zero) c = Cast <to = 1> (p) m = Mul (xs, scale) y = Mul (c, m)",
        DYNAMIC "p = MatMulInteger (xq, w, xz, zero) c = Cast <to = 1> (p) m = Mul (xs, xs) y = Mul (c, m)",
        /* no weight has 8 bits: the roundings are the model's own */
        DYNAMIC "t = Transpose (x) tq, ts, tz = DynamicQuantizeLinear (t) p = MatMulInteger (xq, tq, xz, tz) c = Cast <to = 1> (p) "
                "m = Mul (xs, ts) y = Mul (c, m)",
        DYNAMIC "y = com.microsoft.MatMulIntegerToFloat (xq, s8, fixed, scales, xz, zeros)",
        "q = QuantizeLinear (x, fixed, middle) d = DequantizeLinear (q, scale, middle) y = Relu (d)",
        /* the model's own rounding, and the ends of its range: no weight has 8 bits */
        "q = QuantizeLinear (x, fixed, middle) d = DequantizeLinear (q, fixed, middle) y = Relu (d)",
        "q = QuantizeLinear (x, fixed, middle) y = DequantizeLinear (q, fixed)",
        "q = QuantizeLinear (x, fixed, middle) p = QLinearMatMul (q, scale, middle, w, scale, zero, scale, middle) y = DequantizeLinear "
        "(p, scale, middle)",
        "q = QuantizeLinear (x, fixed, middle) p = QLinearMatMul (q, fixed, middle, w, scale, zero, scale, middle) y = DequantizeLinear "
        "(p, fixed, middle)",
        "e = Gather <axis = 1> (table, ids) y = DequantizeLinear (e, scale, zero)",
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = graph_of(WEIGHTS, rows[i]);
        int before = g->node_count;
        run_passes(g, PASSES(pass_quantized));
        assert_int_equal(g->node_count, before);
        done(g);
    }
}

/* One small constant, read with ever other scales: what is made of it has a limit. */
static void what_is_made_has_a_limit(void **state) {
    graph *g =
        graph_of(WEIGHTS, "a = DequantizeLinear (w, scale, zero) b = DequantizeLinear (w, fixed, zero) s = Add (a, b) y = MatMul (x, s)");
    nib_error err = {0};
    pass_context ctx = {.g = g,
                        .runtime = test_runtime,
                        .kernels = &test_kernels,
                        .level = 2,
                        .mode = PASS_MODE_TASK,
                        .fold_left = 24,
                        .err = &err};
    assert_int_equal(pass_quantized(&ctx), NIB_OK);
    assert_int_equal(count_op(g, "", "DequantizeLinear"), 1);
    assert_int_equal(ctx.fold_left, 0);
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantized_graphs_are_read_as_what_they_stand_for),
        cmocka_unit_test(what_only_looks_like_them_is_left),
        cmocka_unit_test(what_is_made_has_a_limit),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
