/* SPDX-License-Identifier: Apache-2.0
 *
 * Which biases are nothing but the padding of keys: yes for every way to write it, no for whatever lets a padded key through,
 * hides a token, or reads anything else, each with its reason.
 */
#include "pass_test.h"

#define CONSTANTS                                                                                                                          \
    "<int64[2] ax12 = {1,2}, int64[1] ax0 = {0}, int64[1] ax1 = {1}, int64[1] ax2 = {2}, int64[2] ax23 = {2,3}, float one = {1}, float "   \
    "zero = {0}, float lowest = {-3.4e38},"                                                                                                \
    " float ninf = {-inf}, float ten = {-10000}, float small = {-100}, int64 i0 = {0}, int64 i1 = {1}, int64 five = {5}, int64 w40 = "     \
    "{40}, int64 w3 = {3}, int64 big = {5000},"                                                                                            \
    " int64 endless = {2147483647}>"

#define EAGER "u = Unsqueeze (mask, ax12) f = Cast <to = 1> (u) n = Sub (one, f) "
#define SDPA "mb = Cast <to = 9> (mask) mu = Unsqueeze (mb, ax12) "
/* i and j as [1, 1, s, 1] and [1, 1, 1, s] */
#define POSITIONS "sh = Shape (mask) len = Gather (sh, i1) r = Range (i0, len, i1) i = Unsqueeze (r, ax_i) j = Unsqueeze (r, ax_j) "

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
    bool yes = pass_is_key_padding(&ctx, g->outputs[0], g->inputs[0], why, 200);
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
    }
    static const char *const types[] = {"int64", "int32", "float", "bool"};
    for (size_t i = 0; i < BASE_COUNT(types); i++)
        if (!is_padding("b,s", types[i], EAGER "bias = Mul (n, lowest)", why)) fail_msg("%s: %s", types[i], why);
    static const char *const dims[] = {"2,7", "b,16", "1,s"};
    for (size_t i = 0; i < BASE_COUNT(dims); i++)
        if (!is_padding(dims[i], "int64", EAGER "bias = Mul (n, lowest)", why)) fail_msg("%s: %s", dims[i], why);
}

static void what_is_more_or_less_is_refused(void **state) {
    static const char *const rows[][2] = {
        {EAGER "bias = Mul (f, lowest)", "key 0, it is -3.4e+38"}, /* inverted */
        {EAGER "bias = Mul (n, small)", "masked key"},             /* too weak */
        {EAGER "bias = Add (n, lowest)", "unmasked key"},
        {EAGER "m = Mul (n, lowest) bias = Add (m, one)", "unmasked key 0, it is 1"},
        {POSITIONS SDPA "late = Greater (j, i) no = Not (late) k = And (no, mu) bias = Where (k, zero, ninf)",
         "unmasked key 1"}, /* causal */
        {POSITIONS SDPA "d = Sub (i, j) a = Abs (d) in = Less (a, w3) k = And (in, mu) bias = Where (k, zero, ninf)", "unmasked key"},
        {POSITIONS SDPA "d = Sub (i, j) a = Abs (d) in = Less (a, w40) k = And (in, mu) bias = Where (k, zero, ninf)", "at 41 tokens"},
        {POSITIONS SDPA "d = Sub (i, j) a = Abs (d) in = Less (a, big) k = And (in, mu) bias = Where (k, zero, ninf)",
         "too large to be sampled"},
        {POSITIONS SDPA "first = Equal (j, i0) k = Or (first, mu) bias = Where (k, zero, ninf)",
         "masked key 0, it is 0"}, /* one padded key comes through */
        {POSITIONS SDPA "self = Equal (j, i) k = And (self, mu) bias = Where (k, zero, ninf)", "unmasked key"},
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(padding_is_recognised), cmocka_unit_test(what_is_more_or_less_is_refused)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
