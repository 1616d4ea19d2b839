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
    "{40}, int64 w3 = {3}, int64 minus3 = {-3}, float r40 = {40.5}, float quarter = {0.25}, int64 big = {5000},"                           \
    " int64 endless = {2147483647}, float eight = {8}, int64[4,4] blocks = {1,1,0,0, 1,1,0,0, 0,0,1,1, 0,0,1,1}, int64[2] square = {9, "   \
    "9}, int64[4,4] table = {1,0,0,0, 1,1,0,0, 0,1,1,0, 0,0,1,1}>"

#define EAGER "u = Unsqueeze (mask, ax12) f = Cast <to = 1> (u) n = Sub (one, f) "
#define SDPA "mb = Cast <to = 9> (mask) mu = Unsqueeze (mb, ax12) "
/* i and j as [1, 1, s, 1] and [1, 1, 1, s] */
#define POSITIONS "sh = Shape (mask) len = Gather (sh, i1) r = Range (i0, len, i1) i = Unsqueeze (r, ax_i) j = Unsqueeze (r, ax_j) "

static pass_window window;   /* of the last yes */
static pass_queries queries; /* that are asked about */

static graph *mask_graph(const char *dims, const char *type, const char *body) {
    char text[4000];
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
    return g;
}

static bool is_padding(const char *dims, const char *type, const char *body, char *why) {
    nib_error err;
    graph *g = mask_graph(dims, type, body);
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    bool yes = pass_is_key_padding(&ctx, g->outputs[0], g->inputs[0], queries, &window, why, 200);
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
#define CORNER "end = Unsqueeze (len, ax0) in0 = Slice (t, ax0, end, ax0) in1 = Slice (in0, ax0, end, ax1) in = Cast <to = 9> (in1) " BEHIND
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
        {AWAY
         "in = LessOrEqual (a, w3) b0 = Where (in, zero, lowest) b1 = Where (mu, zero, lowest) bias = Add (b0, b1)",
         3, 3},
        {AWAY "in = LessOrEqual (a, w3) b1 = Where (mu, zero, lowest) bias = Where (in, b1, lowest)", 3, 3},
        {POSITIONS SDPA "in = Equal (j, i) " BEHIND, 0, 0},     /* itself alone */
        {AWAY "in = LessOrEqual (a, big) " BEHIND, 5000, 5000}, /* beyond every sample */
        {AWAY "f = Cast <to = 1> (a) q = Mul (f, quarter) in = LessOrEqual (q, r40) " BEHIND, 162, 162},
        {AWAY "f = Cast <to = 1> (a) g = Add (f, one) q = Log (g) in = LessOrEqual (q, eight) " BEHIND, 2979,
         2979}, /* e^8 - 1 */
        {AWAY "c = Clip (a, i0, big) in = Less (c, w3) " BEHIND, 2, 2},
        {POSITIONS SDPA "d = Sub (i, j) n = Neg (d) e = Sign (n) in = LessOrEqual (e, i0) " BEHIND, -1, 0},
        {AWAY "h = Div (a, w3) in = LessOrEqual (h, five) " BEHIND, 17, 17}, /* whole numbers: floor(a / 3) <= 5 */
        {POSITIONS SDPA "x = Mul (i, w3) y = Mul (j, w3) d = Sub (x, y) in = Less (d, w40) " BEHIND, 13, -1},
        {POSITIONS SDPA "inside = Less (j, len) in0 = LessOrEqual (j, i) in = And (inside, in0) " BEHIND, -1, 0},
        {POSITIONS SDPA "t0 = ConstantOfShape (square) t1 = Add (t0, one) t = Trilu <upper = 0> (t1) " CORNER, -1, 0},
        {POSITIONS SDPA "t = Identity (table) " CORNER, 1, 0}, /* a table of the 9 first: beyond, a text has no mask */
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
        {EAGER "bias = Mul (f, lowest)", "hides every unmasked key"}, /* inverted */
        {EAGER "bias = Mul (n, small)", "masked key"},                /* too weak */
        {EAGER "bias = Add (n, lowest)", "unmasked key"},
        {EAGER "m = Mul (n, lowest) bias = Add (m, one)", "its query, it is 1"},
        /* ids: what is made of them may tell any token from any other */
        {SDPA "rows = Gather (table, mask) bias = Where (mu, zero, ninf)", "which tokens there are"},
        {SDPA "c = Cast <to = 7> (mask) u = Unsqueeze (c, ax0) rows = Gather (table, u) bias = Where (mu, zero, ninf)",
         "which tokens there are"},
        {SDPA "computed = Identity (table) rows = Gather (computed, mask) bias = Where (mu, zero, ninf)",
         "which tokens there are"},
        /* dilated; in blocks; of the first five */
        {POSITIONS SDPA
         "d = Sub (i, j) r3 = Mod (d, w3) in = Equal (r3, i0) k = And (in, mu) bias = Where (k, zero, ninf)",
         "unmasked key"},
        {POSITIONS SDPA
         "bi = Div (i, w40) bj = Div (j, w40) in = Equal (bi, bj) k = And (in, mu) bias = Where (k, zero, ninf)",
         "where query and key stand"},
        {POSITIONS SDPA "in = Less (j, five) k = And (in, mu) bias = Where (k, zero, ninf)",
         "where query and key stand"},
        /* a window, and a first token that all see; neighbouring blocks; chunks; a window that grows with the position
         */
        {AWAY "in0 = Less (a, w40) first = Equal (j, i0) in = Or (in0, first) " BEHIND, "where query and key stand"},
        {POSITIONS SDPA
         "bi = Div (i, w40) bj = Div (j, w40) d = Sub (bi, bj) a = Abs (d) in = LessOrEqual (a, i1) " BEHIND,
         "where query and key stand"},
        {AWAY "more = Div (i, w3) limit = Add (more, w40) in = LessOrEqual (a, limit) " BEHIND,
         "where query and key stand"},
        /* every third key, within a window beyond which no small sample goes */
        {AWAY "in0 = Less (a, w40) r3 = Mod (a, w40) in1 = Equal (r3, i0) in = Or (in0, in1) " BEHIND,
         "beyond one that hides"},
        {AWAY "in0 = Less (a, w3) in1 = Greater (a, big) in = Or (in0, in1) " BEHIND, "beyond one that hides"},
        {AWAY "x = Add (d, five) y = Abs (x) in = Less (y, w3) " BEHIND, "no query sees itself"},
        /* what shows itself late, or where it likes: no samples are believed */
        {AWAY "f = Cast <to = 1> (a) q = Sqrt (f) in = LessOrEqual (q, eight) " BEHIND,
         "cannot be read at operator Sqrt"},
        {AWAY "f = Cast <to = 1> (a) g = Add (f, one) q = Sinh (g) in = LessOrEqual (q, eight) " BEHIND,
         "cannot be read at operator Sinh"},
        {POSITIONS SDPA "t = Identity (blocks) end = Unsqueeze (len, ax0) in0 = Slice (t, ax0, end, ax0) in1 = Slice "
                        "(in0, ax0, end, ax1) in = Cast <to "
                        "= 9> (in1) " BEHIND,
         "decides in the table"},
        /* what no formula has a word for, and more constants than samples can go beyond */
        {AWAY "f = Cast <to = 1> (a) q = Round (f) in = Less (q, r40) " BEHIND, "cannot be read at operator Round"},
        /* a window, but weak; a window, and a padded key in it */
        {POSITIONS SDPA "d = Sub (i, j) a = Abs (d) in = Less (a, w3) b0 = Where (in, zero, small) b1 = Where (mu, "
                        "zero, ninf) bias = Add (b0, "
                        "b1)",
         "it is -100"},
        {POSITIONS "d = Sub (i, j) a = Abs (d) in = Less (a, w3) mm = Cast <to = 9> (mask) mx = Unsqueeze (mm, ax12) "
                   "never = And (mx, in) two "
                   "= Or (never, in) bias = Where (two, zero, ninf)",
         "masked key"},
        {POSITIONS SDPA "first = Equal (j, i0) k = Or (first, mu) bias = Where (k, zero, ninf)",
         "where query and key stand"}, /* one padded key comes through */
        {"pad = Equal (ids, five) no = Not (pad) mb = Cast <to = 9> (mask) k = And (mb, no) ku = Unsqueeze (k, ax12) "
         "bias = Where (ku, "
         "zero, ninf)",
         "ids"}, /* reads ids */
        {"pad = Equal (ids, five) no = Not (pad) ku = Unsqueeze (no, ax12) bias = Where (ku, zero, ninf)",
         "does not depend on mask"},
        {"sh = Shape (mask) s = Gather (sh, ax1) bias = ConstantOfShape (s)", "masked key"},
        {SDPA "b0 = Where (mu, zero, ninf) bias = Transpose <perm = [0,1,3,2]> (b0)",
         "shape is not that of the scores"},
        {SDPA "bias = Cast <to = 11> (mu)", "f32"},
        {"u = Unsqueeze (mask, ax12) bias = nib.Nothing (u)", "not f32"},
    };
    char why[200];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        why[0] = 0;
        if (is_padding("b,s", "int64", rows[i][0], why)) fail_msg("%s is taken", rows[i][0]);
        if (!strstr(why, rows[i][1])) fail_msg("%s: the reason is \"%s\", not \"%s\"", rows[i][0], why, rows[i][1]);
    }
}

/* ---- whatever is written: what is called a window is one, at every length, and what is one is seldom refused */

/* A condition on i, j, d = i - j and a = |d|, of random operators and constants; some hide all from padded queries, or
 * show them all. */
static void random_condition(uint32_t *seed, char *out, size_t capacity) {
    static const char *const binary[] = {"Add", "Sub", "Min", "Max"}, *const by_constant[] = {"Add", "Sub", "Mul", "Div", "Mod"};
    static const char *const compare[] = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"}, *const both[] = {"And", "Or",
                                                                                                                         "Xor"};
    static const char *const constants[] = {"w3", "five", "w40", "minus3", "i0", "i1"};
    char values[16][16] = {"i", "j", "d", "a"}, conditions[8][16];
    int n_values = 4, n_conditions = 0, steps = 1 + (int)(next_random(seed) % 4);
    size_t at = (size_t)snprintf(out, capacity, "%s%s d = Sub (i, j) a = Abs (d) ", POSITIONS, SDPA);
    for (int k = 0; k < steps; k++) { /* the last values, which are seldom i or j themselves, are likelier */
        const char *x = values[next_random(seed) % 3 ? n_values - 1 : (int)(next_random(seed) % (uint32_t)n_values)];
        const char *y = values[2 + next_random(seed) % 2], *c = constants[next_random(seed) % 4];
        if (next_random(seed) % 3 == 0)
            at += (size_t)snprintf(out + at, capacity - at, "v%d = %s (%s, %s) ", k, binary[next_random(seed) % 4], x, y);
        else at += (size_t)snprintf(out + at, capacity - at, "v%d = %s (%s, %s) ", k, by_constant[next_random(seed) % 5], x, c);
        snprintf(values[n_values++], sizeof values[0], "v%d", k);
    }
    for (int k = 0; k < 1 + (int)(next_random(seed) % 3); k++) {
        const char *x = values[2 + next_random(seed) % (uint32_t)(n_values - 2)], *c = constants[next_random(seed) % 6];
        at += (size_t)snprintf(out + at, capacity - at, "c%d = %s (%s, %s) ", k, compare[next_random(seed) % 5], x, c);
        snprintf(conditions[n_conditions++], sizeof conditions[0], "c%d", k);
        if (n_conditions > 1) {
            at += (size_t)snprintf(out + at, capacity - at, "b%d = %s (%s, %s) ", k, both[next_random(seed) % 3],
                                   conditions[n_conditions - 2], conditions[n_conditions - 1]);
            snprintf(conditions[n_conditions - 1], sizeof conditions[0], "b%d", k);
        }
    }
    static const char *const ends[] = {"k = And (in, mu)", "kk = And (in, mu) k = And (kk, mq)",
                                       "kk = And (in, mu) no = Not (mq) k = Or (kk, no)"};
    snprintf(out + at, capacity - at,
             "in = Identity (%s) ax_q = Constant <value_ints = [1, 3]> () mq = Unsqueeze (mb, ax_q) %s bias = Where "
             "(k, zero, ninf)",
             conditions[n_conditions - 1], ends[next_random(seed) % 3]);
}

/* The bias of one text of n tokens of which the last `padded` are padding; in the arena, [n][n]. */
static const float *bias_of(graph *g, base_arena *arena, int64_t n, int64_t padded) {
    nib_error err;
    const graph_tensor *t;
    op_env *env = op_env_create(g, arena, 64u << 20, &test_kernels);
    int64_t *mask = base_arena_calloc(arena, (size_t)n, sizeof *mask);
    for (int64_t i = 0; i < n - padded; i++) mask[i] = 1;
    graph_tensor in = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, n}, .data = mask, .bytes = (size_t)n * sizeof *mask};
    if (op_env_set(env, g->inputs[0], &in) != NIB_OK || op_env_set(env, g->inputs[1], &in) != NIB_OK ||
        op_env_get(env, g->outputs[0], &t, &err) != NIB_OK)
        fail_msg("%s", err.message);
    assert_true(t->rank == 4 && t->dims[0] == 1 && t->dims[1] == 1);
    float *whole = base_arena_alloc(arena, (size_t)(n * n) * sizeof *whole); /* one row may be for all queries, one number for all keys */
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            whole[i * n + j] = ((const float *)t->data)[(t->dims[2] == 1 ? 0 : i) * t->dims[3] + (t->dims[3] == 1 ? 0 : j)];
    return whole;
}

/* Whether w says which keys are seen in a text of n tokens of which some are padding, by the queries that are asked
 * about. */
static bool says(graph *g, const pass_window *w, int64_t n, int64_t padded) {
    base_arena arena;
    base_arena_init(&arena, &test_runtime->heap);
    const float *bias = bias_of(g, &arena, n, padded);
    bool right = true;
    for (int64_t i = 0; i < (queries == PASS_QUERIES_ALL ? n : n - padded) && right; i++)
        for (int64_t j = 0; j < n && right; j++) {
            bool inside = j < n - padded && (w->left < 0 || i - j <= w->left) && (w->right < 0 || j - i <= w->right);
            right = inside ? bias[i * n + j] == 0 : bias[i * n + j] <= -1e4f;
        }
    base_arena_free(&arena);
    return right;
}

/* Whether any window says what is seen in a text of n tokens. */
static bool is_a_window(graph *g, int64_t n) {
    base_arena arena;
    pass_window w = {0};
    base_arena_init(&arena, &test_runtime->heap);
    const float *bias = bias_of(g, &arena, n, 0);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            int64_t *most = j < i ? &w.left : &w.right, away = j < i ? i - j : j - i;
            if (bias[i * n + j] == 0 && away > *most) *most = away;
        }
    base_arena_free(&arena);
    return says(g, &w, n, 0);
}

static void random_conditions_are_decided_right(void **state) {
    uint32_t seed = 20;
    int yes[2] = {0}, missed = 0, windows = 0;
    for (int k = 0; k < 400; k++) {
        char body[3000], why[200];
        nib_error err;
        random_condition(&seed, body, sizeof body);
        graph *g = mask_graph("b,s", "int64", body);
        pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
        for (queries = PASS_QUERIES_ALL;; queries = PASS_QUERIES_TOKENS) {
            bool taken = pass_is_key_padding(&ctx, g->outputs[0], g->inputs[0], queries, &window, why, sizeof why);
            yes[queries] += taken;
            for (int64_t n = 1; taken && n < 200; n = n * 3 / 2 + 1)
                if (!says(g, &window, n, n / 3))
                    fail_msg("%s: left %lld, right %lld is wrong at %lld tokens%s", body, (long long)window.left,
                             (long long)window.right, (long long)n,
                             queries == PASS_QUERIES_ALL ? ", of all queries" : "");
            if (queries == PASS_QUERIES_ALL) continue;
            bool is_one = is_a_window(g, 150);
            windows += is_one;
            missed += is_one && !taken;
            break;
        }
        graph_free(g);
    }
    print_message("%d windows, %d found, %d of them for padded queries, %d missed\n", windows, yes[0], yes[1], missed);
    assert_true(yes[PASS_QUERIES_TOKENS] > 60 && yes[PASS_QUERIES_ALL] > 20);
    assert_true(missed * 4 < windows); /* of places, but the same as a window: i + |j - i| >= -3 */
}

/* In a file what padded queries see shows, too; and the number that hides is the file's own. */
static void padded_queries_are_asked_about(void **state) {
#define QUERY "ax_q = Constant <value_ints = [1, 3]> () mq = Unsqueeze (mb, ax_q) "
    static const struct {
        const char *body, *why; /* NULL: yes */
        double hidden;
    } rows[] = {
        {EAGER "bias = Mul (n, ten)", NULL, -10000},
        {SDPA "bias = Where (mu, zero, ninf)", NULL, -INFINITY},
        {EAGER "m1 = Mul (n, ten) m2 = Mul (n, ten) bias = Add (m1, m2)", NULL, -20000},
        {POSITIONS SDPA "late = Greater (j, i) in = Not (late) k = And (in, mu) bias = Where (k, zero, ninf)", NULL,
         -INFINITY},
        {POSITIONS SDPA
         "late = Greater (j, i) b0 = Where (late, ten, zero) b1 = Where (mu, zero, ninf) bias = Add (b0, b1)",
         NULL, NAN},
        {SDPA QUERY "both = And (mu, mq) bias = Where (both, zero, ninf)", "do not see what tokens see", 0},
        {SDPA QUERY "no = Not (mq) k = Or (mu, no) bias = Where (k, zero, ninf)", "its masked query, it is 0", 0},
        {SDPA QUERY "b0 = Where (mu, zero, ninf) b1 = Where (mq, zero, ten) bias = Add (b0, b1)",
         "do not see what tokens see", 0},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char why[200] = "";
        queries = PASS_QUERIES_TOKENS;
        if (!is_padding("b,s", "int64", rows[i].body, why)) fail_msg("%s is refused: %s", rows[i].body, why);
        queries = PASS_QUERIES_ALL;
        bool yes = is_padding("b,s", "int64", rows[i].body, why);
        queries = PASS_QUERIES_TOKENS;
        if (yes != !rows[i].why || (!yes && !strstr(why, rows[i].why))) fail_msg("%s: %d, %s", rows[i].body, yes, why);
        bool same = isnan(rows[i].hidden) ? isnan(window.hidden) : window.hidden == rows[i].hidden;
        if (yes && !same) fail_msg("%s: %g hides", rows[i].body, window.hidden);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_is_recognised), cmocka_unit_test(windows_are_recognised),
        cmocka_unit_test(what_is_more_or_less_is_refused), cmocka_unit_test(padded_queries_are_asked_about),
        cmocka_unit_test(random_conditions_are_decided_right)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
