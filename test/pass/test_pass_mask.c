/* SPDX-License-Identifier: Apache-2.0
 *
 * Which biases are nothing but the padding of keys, and a window: yes for every way to write it, no for whatever lets a padded key
 * through, hides a token by anything but its distance, or reads anything else, each with its reason.
 */
#include "pass_test.h"

#define CONSTANTS                                                                                                                          \
    "<int64[2] ax12 = {1,2}, int64[1] ax0 = {0}, int64[1] ax1 = {1}, int64[1] ax2 = {2}, int64[2] ax23 = {2,3}, float one = {1}, float "   \
    "zero = {0}, float lowest = {-3.4e38},"                                                                                                \
    " float ninf = {-inf}, float ten = {-10000}, float small = {-100}, int64 i0 = {0}, int64 i1 = {1}, int64 five = {5}, int64 w40 = "     \
    "{40}, int64 w3 = {3}, int64 minus3 = {-3}, float r40 = {40.5}, int64 big = {5000},"                                                   \
    " int64 endless = {2147483647}>"

#define EAGER "u = Unsqueeze (mask, ax12) f = Cast <to = 1> (u) n = Sub (one, f) "
#define SDPA "mb = Cast <to = 9> (mask) mu = Unsqueeze (mb, ax12) "
/* i and j as [1, 1, s, 1] and [1, 1, 1, s] */
#define POSITIONS "sh = Shape (mask) len = Gather (sh, i1) r = Range (i0, len, i1) i = Unsqueeze (r, ax_i) j = Unsqueeze (r, ax_j) "

static pass_window window; /* of the last yes */

static bool is_padding(const char *dims, const char *type, const char *body, char *why) {
    char text[2500];
    nib_error err;
    snprintf(text, sizeof text,
             HEAD "g (%s[%s] mask, int64[%s] ids) => (float bias) <int64[3] ax_i = {0,1,3}, int64[3] ax_j = {0,1,2}, %s { %s }", type, dims,
             dims, &CONSTANTS[1], body);
    char *full = fill_text(text);
    graph *g;
    if (graph_parse(&test_runtime->heap, full, strlen(full), &g, &err) != NIB_OK) fail_msg("%s\n%s", err.message, full);
    base_free(&test_runtime->heap, full);
    g->outputs[0]->type = (graph_type){.rank = -1}; /* whatever it turns out to be */
    op_resolve(g);
    if (op_infer_graph(g, &err) != NIB_OK) fail_msg("%s: %s", body, err.message);
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    bool yes = pass_is_key_padding(&ctx, g->outputs[0], g->inputs[0], &window, why, 200);
    graph_free(g);
    return yes;
}

static void padding_is_recognised(void **state) {
    static const char *const bodies[] = {
        EAGER "bias = Mul (n, lowest)",
        EAGER "bias = Mul (n, ten)",
        SDPA "bias = Where (mu, zero, ninf)",
        SDPA "no = Not (mu) bias = Where (no, lowest, zero)",
        /* expanded to [b, 1, s, s] */
        SDPA "sh = Shape (mask) b = Gather (sh, ax0) s = Gather (sh, ax1) to = Concat <axis = 0> (b, ax1, s, s) e = Expand (mu, to) bias = "
             "Where (e, zero, ninf)",
        /* a bound that no text reaches */
        POSITIONS SDPA "d = Sub (i, j) in = Less (d, endless) k = And (in, mu) bias = Where (k, zero, ninf)",
        /* the sizes come from another input */
        SDPA
        "sh = Shape (ids) s = Gather (sh, ax1) one_row = ConstantOfShape (s) bias0 = Where (mu, zero, ninf) bias = Add (bias0, one_row)",
        /* padded queries see nothing either: their rows are never read */
        SDPA "mq = Unsqueeze (mb, ax_q) both = And (mu, mq) bias = Where (both, zero, ninf)",
    };
    char why[200];
    for (size_t i = 0; i < BASE_COUNT(bodies); i++) {
        char body[900];
        snprintf(body, sizeof body, "%s%s", strstr(bodies[i], "ax_q") ? "ax_q = Constant <value_ints = [1, 3]> () " : "", bodies[i]);
        if (!is_padding("b,s", "int64", body, why)) fail_msg("%s is refused: %s", body, why);
        assert_true(window.left == -1 && window.right == -1);
    }
    static const char *const types[] = {"int64", "int32", "float", "bool"};
    for (size_t i = 0; i < BASE_COUNT(types); i++)
        if (!is_padding("b,s", types[i], EAGER "bias = Mul (n, lowest)", why)) fail_msg("%s: %s", types[i], why);
    static const char *const dims[] = {"2,7", "b,16", "1,s"};
    for (size_t i = 0; i < BASE_COUNT(dims); i++)
        if (!is_padding(dims[i], "int64", EAGER "bias = Mul (n, lowest)", why)) fail_msg("%s: %s", dims[i], why);
}

static void windows_are_recognised(void **state) {
#define BEHIND "k = And (in, mu) bias = Where (k, zero, ninf)"
#define AWAY POSITIONS SDPA "d = Sub (i, j) a = Abs (d) "
    static const struct {
        const char *body;
        int64_t left, right;
    } rows[] = {
        {POSITIONS SDPA "late = Greater (j, i) in = Not (late) " BEHIND, -1, 0}, /* causal */
        {AWAY "in = Less (a, w3) " BEHIND, 2, 2},
        {AWAY "in = LessOrEqual (a, w3) " BEHIND, 3, 3},
        {AWAY "in = LessOrEqual (a, w40) " BEHIND, 40, 40},
        {AWAY "f = Cast <to = 1> (a) in = Less (f, r40) " BEHIND, 40, 40},
        {AWAY "in = GreaterOrEqual (d, minus3) " BEHIND, -1, 3},
        {AWAY "in = Less (d, w40) " BEHIND, 39, -1},
        {AWAY "in0 = LessOrEqual (d, w3) in1 = GreaterOrEqual (d, i0) in = And (in0, in1) " BEHIND, 3, 0},
        {AWAY "in0 = Less (a, w40) in1 = Less (a, w3) in = And (in0, in1) " BEHIND, 2, 2},
        {AWAY "in = LessOrEqual (a, w3) b0 = Where (in, zero, lowest) b1 = Where (mu, zero, lowest) bias = Add (b0, b1)", 3, 3},
        {AWAY "in = LessOrEqual (a, w3) b1 = Where (mu, zero, lowest) bias = Where (in, b1, lowest)", 3, 3},
        {POSITIONS SDPA "in = Equal (j, i) " BEHIND, 0, 0}, /* itself alone */
    };
    char why[200];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        if (!is_padding("b,s", "int64", rows[i].body, why)) fail_msg("%s is refused: %s", rows[i].body, why);
        if (window.left != rows[i].left || window.right != rows[i].right)
            fail_msg("%s: %lld and %lld", rows[i].body, (long long)window.left, (long long)window.right);
    }
}

static void what_is_more_or_less_is_refused(void **state) {
    static const char *const rows[][2] = {
        {EAGER "bias = Mul (f, lowest)", "key 0, it is -3.4e+38"}, /* inverted */
        {EAGER "bias = Mul (n, small)", "masked key"},             /* too weak */
        {EAGER "bias = Add (n, lowest)", "unmasked key"},
        {EAGER "m = Mul (n, lowest) bias = Add (m, one)", "unmasked key 0, it is 1"},
        /* dilated; in blocks; of the first five */
        {POSITIONS SDPA "d = Sub (i, j) r3 = Mod (d, w3) in = Equal (r3, i0) k = And (in, mu) bias = Where (k, zero, ninf)",
         "unmasked key"},
        {POSITIONS SDPA "bi = Div (i, w40) bj = Div (j, w40) in = Equal (bi, bj) k = And (in, mu) bias = Where (k, zero, ninf)",
         "unmasked key"},
        {POSITIONS SDPA "in = Less (j, five) k = And (in, mu) bias = Where (k, zero, ninf)", "unmasked key"},
        /* a window, but weak; a window, and a padded key in it */
        {POSITIONS SDPA
         "d = Sub (i, j) a = Abs (d) in = Less (a, w3) b0 = Where (in, zero, small) b1 = Where (mu, zero, ninf) bias = Add (b0, "
         "b1)",
         "it is -100"},
        {POSITIONS
         "d = Sub (i, j) a = Abs (d) in = Less (a, w3) mm = Cast <to = 9> (mask) mx = Unsqueeze (mm, ax12) never = And (mx, in) two "
         "= Or (never, in) bias = Where (two, zero, ninf)",
         "masked key"},
        {POSITIONS SDPA "d = Sub (i, j) a = Abs (d) in = Less (a, big) k = And (in, mu) bias = Where (k, zero, ninf)",
         "too large to be sampled"},
        {POSITIONS SDPA "first = Equal (j, i0) k = Or (first, mu) bias = Where (k, zero, ninf)",
         "masked key 0, it is 0"}, /* one padded key comes through */
        {"pad = Equal (ids, five) no = Not (pad) mb = Cast <to = 9> (mask) k = And (mb, no) ku = Unsqueeze (k, ax12) bias = Where (ku, "
         "zero, ninf)",
         "ids"}, /* reads ids */
        {"pad = Equal (ids, five) no = Not (pad) ku = Unsqueeze (no, ax12) bias = Where (ku, zero, ninf)", "does not depend on mask"},
        {"sh = Shape (mask) s = Gather (sh, ax1) bias = ConstantOfShape (s)", "masked key"},
        {SDPA "b0 = Where (mu, zero, ninf) bias = Transpose <perm = [0,1,3,2]> (b0)", "key"},
        {SDPA "bias = Cast <to = 11> (mu)", "f32"},
        {"u = Unsqueeze (mask, ax12) bias = nib.Nothing (u)", "cannot be evaluated"},
    };
    char why[200];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        why[0] = 0;
        if (is_padding("b,s", "int64", rows[i][0], why)) fail_msg("%s is taken", rows[i][0]);
        if (!strstr(why, rows[i][1])) fail_msg("%s: the reason is \"%s\", not \"%s\"", rows[i][0], why, rows[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(padding_is_recognised), cmocka_unit_test(windows_are_recognised),
                                       cmocka_unit_test(what_is_more_or_less_is_refused)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
