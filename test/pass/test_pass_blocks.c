/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in blocks of few bits become the numbers that they stand for, whatever the bits, zero points and sizes: the same
 * results as the operators' own, which tests of ONNX Runtime's cases hold.
 */
#include "kernel/kernel_pack.h"
#include "pass_test.h"

static nib_status for_exact(pass_context *ctx) { return ctx->mode = PASS_MODE_EXACT, ctx->fold_left = 1 << 20, NIB_OK; }

static void products_and_tables(void **state) {
    static const struct {
        const char *weights, *body;
        int left; /* of com.microsoft */
    } rows[] = {
        {"uint8[3,2,16] w = {@}, float[6] s = {@}", "y = com.microsoft.MatMulNBits <K=64, N=3, bits=4, block_size=32> (x, w, s)", 0},
        {"uint8[3,4,8] w = {@}, float[12] s = {@}, uint8[3,2] z = {@}",
         "y = com.microsoft.MatMulNBits <K=64, N=3, bits=4, block_size=16> (x, w, s, z)", 0},
        {"uint8[3,2,32] w = {@}, float[6] s = {@}, uint8[3,2] z = {@}, float[3] b = {@}",
         "y = com.microsoft.MatMulNBits <K=64, N=3, bits=8, block_size=32> (x, w, s, z, , b)", 0},
        {"uint8[3,1,32] w = {@}, float[3] s = {@}, float[3] z = {@}",
         "y = com.microsoft.MatMulNBits <K=64, N=3, bits=2, block_size=128> (x, w, s, z)", 0},
        {"uint8[9,16] t = {@}, float[9,1] s = {@}", "y = com.microsoft.GatherBlockQuantized <bits=4, block_size=32> (t, ids, s)", 0},
        {"uint8[9,32] t = {@}, float[9,2] s = {@}, uint8[9,2] z = {@}",
         "y = com.microsoft.GatherBlockQuantized <bits=8, block_size=16> (t, ids, s, z)", 0},
        {"uint8[64,3] w = {@}, float[2,3] s = {@}", "m = DequantizeLinear <axis=0, block_size=32> (w, s) y = MatMul (x, m)", 0},
        {"uint8[9,64] t = {@}, float[9,3] s = {@}, uint8[9,3] z = {@}",
         "m = DequantizeLinear <axis=1, block_size=24> (t, s, z) y = Gather (m, ids)", 0},
        {"uint8[9,32] t = {@}, float[1,32] s = {@}", /* blocks down the table stay */
         "y = com.microsoft.GatherBlockQuantized <bits=8, block_size=16, quantize_axis=0> (t, ids, s)", 1},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[2000];
        snprintf(text, sizeof text, HEAD "g (float[n,64] x, int64[n] ids) => (float[y0,y1] y) <%s> { %s }", rows[i].weights, rows[i].body);
        graph *g = pass_check_same(text, PASSES(for_exact, pass_blocks));
        if (count_op(g, "com.microsoft", "MatMulNBits") + count_op(g, "com.microsoft", "GatherBlockQuantized") != rows[i].left ||
            count_op(g, "", "DequantizeLinear"))
            fail_msg("%s leaves %s", rows[i].body, ops(g));
        done(g);
    }
}

static nib_status for_texts(pass_context *ctx) { return ctx->mode = PASS_MODE_TASK, ctx->fold_left = 1 << 20, NIB_OK; }

/* Rows that are looked up as integers and made numbers then: one Gather of numbers, for texts. */
static void rows_that_are_looked_up(void **state) {
    static const struct {
        const char *weights, *body;
        bool stays;
    } rows[] = {
        {"int8[9,32] t = {@}, float[9,1] s = {@}", "i = Gather (t, ids) c = Cast <to=1> (i) r = Gather (s, ids) y = Mul (c, r)", false},
        {"uint8[9,32] t = {@}, float[9,1] s = {@}", "i = Gather (t, ids) c = Cast <to=1> (i) r = Gather (s, ids) y = Mul (r, c)", false},
        {"uint8[9,32] t = {@}, float s = {0.25}, uint8 z = {7}", "i = Gather (t, ids) y = DequantizeLinear (i, s, z)", false},
        {"int8[9,32] t = {@}, float s = {0.25}", "i = Gather (t, ids) y = DequantizeLinear (i, s)", false},
        /* scales of other rows; a scale a column */
        {"int8[9,32] t = {@}, float[9,1] s = {@}",
         "i = Gather (t, ids) c = Cast <to=1> (i) d = Abs (ids) r = Gather (s, d) y = Mul (c, r)", true},
        {"int8[9,32] t = {@}, float[9,32] s = {@}", "i = Gather (t, ids) c = Cast <to=1> (i) r = Gather (s, ids) y = Mul (c, r)", true},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[2000];
        snprintf(text, sizeof text, HEAD "g (int64[n] ids) => (float[y0,y1] y) <%s> { %s }", rows[i].weights, rows[i].body);
        graph *g = pass_check_same(text, PASSES(for_texts, pass_blocks));
        const int left = count_op(g, "", "Mul") + count_op(g, "", "DequantizeLinear");
        if (left != rows[i].stays || (!left && count_op(g, "", "Gather") != 1)) fail_msg("%s leaves %s", rows[i].body, ops(g));
        done(g);
    }
}

/* Numbers that q4 has made keep their integers; its scale is what f16 holds of theirs. */
static void q4_keeps_its_grid(void **state) {
    uint32_t seed = 7;
    for (int trial = 0; trial < 2000; trial++) {
        float x[KERNEL_Q4_BLOCK], scale, d = (float)(1 + trial) * 0.000123f;
        int8_t want[KERNEL_Q4_BLOCK], q[KERNEL_Q4_BLOCK];
        int gcd = 0;
        for (int i = 0; i < KERNEL_Q4_BLOCK; i++) {
            seed = seed * 1664525u + 1013904223u;
            want[i] = (int8_t)((int)(seed >> 24) % 16 - 8);
            x[i] = (float)want[i] * d;
            for (int a = want[i] < 0 ? -want[i] : want[i], b; a; b = gcd % a, gcd = a, a = b) {
            }
        }
        if (gcd != 1) continue;
        kernel_round_q4(x, 1, q, &scale);
        assert_true(fabsf(fabsf(scale) - d) <= d * 5e-4f);
        for (int i = 0; i < KERNEL_Q4_BLOCK; i++) assert_int_equal(scale < 0 ? -q[i] : q[i], want[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_and_tables), cmocka_unit_test(rows_that_are_looked_up),
                                       cmocka_unit_test(q4_keeps_its_grid)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
