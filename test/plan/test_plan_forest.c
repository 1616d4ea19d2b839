/* SPDX-License-Identifier: Apache-2.0
 *
 * Forests as steps: random trees of any shape, in both of ai.onnx.ml's ways to write them, give the sums of a plain walk
 * to the bit, for any number of rows, on one thread and on three; walks in circles and features that are not there are
 * errors.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

#define ML_HEAD "<ir_version: 8, opset_import: [\"\" : 17, \"ai.onnx.ml\" : %d]> "

static uint32_t seed = 3;
static int draw(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}
static bool chance(int percent) { return draw(100) < percent; }

static nib_runtime *runtimes[2]; /* of one thread and of three */

enum { NODES = 4000, FEATURES = 6, TARGETS = 3 };
static const char *const modes[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"};

/* Nodes of all trees; yes < 0: a leaf. */
static struct node {
    int tree, own, mode, feature, yes, no, missing, target;
    float split, weight;
} nodes[NODES];
static int n_nodes, roots[100], n_roots;

static int grow(int tree, int depth, int mode) {
    const int at = n_nodes++;
    nodes[at] = (struct node){.tree = tree,
                              .own = at - roots[tree],
                              .yes = -1,
                              .target = draw(TARGETS),
                              .weight = ldexpf((float)(draw(2000) - 1000) / 7, draw(80) - 40)};
    if (depth == 0 || chance(20) || n_nodes > NODES - 40) return at;
    nodes[at].mode = mode < 0 ? draw(6) : mode;
    nodes[at].feature = draw(FEATURES);
    nodes[at].split = (float)(draw(20) - 10) / 4;
    nodes[at].missing = mode < 0 ? draw(2) : 0;
    nodes[at].yes = grow(tree, depth - 1, mode);
    nodes[at].no = grow(tree, depth - 1, mode);
    return at;
}

static int plain_leaf(int at, const float *x, bool old) {
    while (nodes[at].yes >= 0) {
        const struct node *n = &nodes[at];
        const float v = x[n->feature], s = n->split;
        const bool answers[] = {v <= s, v<s, v >= s, v> s, v == s, v != s};
        bool yes = answers[n->mode];
        if (v != v) yes = n->missing || (!old && n->mode == 5);
        at = yes ? n->yes : n->no;
    }
    return at;
}

/* ---- texts */

static char text[400000];
static size_t length;
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    va_list list;
    va_start(list, format);
    length += (size_t)vsnprintf(text + length, sizeof text - length, format, list);
    va_end(list);
    assert_true(length < sizeof text);
}

#define LIST(name, keep, format, value)                                                                                                    \
    do {                                                                                                                                   \
        const char *between = "";                                                                                                          \
        say(", " name " = [");                                                                                                             \
        for (int i = 0; i < n_nodes; i++) {                                                                                                \
            const struct node *n = &nodes[i];                                                                                              \
            if (keep) say("%s" format, between, value), between = ", ";                                                                    \
        }                                                                                                                                  \
        say("]");                                                                                                                          \
    } while (0)

static void say_old(const char *type) {
    length = 0;
    say(ML_HEAD "g (%s[b,w] x) => (float[b,%d] y) { y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = %d", 3, type, TARGETS, TARGETS);
    LIST("nodes_treeids", true, "%d", n->tree);
    LIST("nodes_nodeids", true, "%d", n->own);
    LIST("nodes_featureids", true, "%d", n->feature);
    LIST("nodes_modes", true, "\"%s\"", modes[n->yes < 0 ? 6 : n->mode]);
    LIST("nodes_values", true, "%.3f", (double)n->split);
    LIST("nodes_truenodeids", true, "%d", n->yes < 0 ? 0 : nodes[n->yes].own);
    LIST("nodes_falsenodeids", true, "%d", n->yes < 0 ? 0 : nodes[n->no].own);
    LIST("nodes_missing_value_tracks_true", true, "%d", n->missing);
    LIST("target_treeids", n->yes < 0, "%d", n->tree);
    LIST("target_nodeids", n->yes < 0, "%d", n->own);
    LIST("target_ids", n->yes < 0, "%d", n->target);
    LIST("target_weights", n->yes < 0, "%.9e", (double)n->weight);
    say("> (x) }");
}

static nib_status run_on(nib_runtime *rt, const nib_tensor *in, float *out, size_t bytes, nib_error *err) {
    struct device *cpu;
    plan *p;
    run_session *s;
    nib_tensor got;
    graph *g = parse_graph(text);
    assert_int_equal(cpu_open(rt, &cpu, err), NIB_OK);
    if (plan_build(rt, g, &cpu, 1, NULL, &p, err) != NIB_OK) fail_msg("%s", err->message);
    assert_string_equal(p->steps[0].kernel, "forest");
    assert_int_equal(run_session_create(p, &s, err), NIB_OK);
    const nib_status status = run_tensors(s, (const nib_tensor *const[]){in}, err);
    if (status == NIB_OK) {
        assert_int_equal(run_output(s, 0, &got, err), NIB_OK);
        assert_int_equal(got.bytes, bytes);
        memcpy(out, got.data, bytes);
    }
    run_session_free(s);
    plan_free(p);
    cpu->table->close(cpu);
    graph_free(g);
    return status;
}

static void random_forest(int mode) {
    n_nodes = n_roots = 0;
    for (int trees = 1 + draw(30); n_roots < trees && n_nodes < NODES / 2; n_roots++) {
        roots[n_roots] = n_nodes;
        grow(n_roots, 1 + draw(8), mode);
    }
}

static void sums_of_a_plain_walk(void **state) {
    static float x[1000 * FEATURES], got[1000 * TARGETS];
    static double wide[1000 * FEATURES];
    for (int round = 0; round < 60; round++) {
        const bool f64 = chance(25);
        const int rows = chance(40) ? 1 + draw(9) : 1 + draw(700);
        nib_error err = {0};
        random_forest(chance(70) ? draw(6) : -1);
        say_old(f64 ? "double" : "float");
        for (int i = 0; i < rows * FEATURES; i++) wide[i] = x[i] = chance(3) ? NAN : (float)(draw(24) - 12) / 4;
        const nib_tensor in = {.dtype = f64 ? NIB_DTYPE_F64 : NIB_DTYPE_F32,
                               .rank = 2,
                               .dims = {rows, FEATURES},
                               .data = f64 ? (void *)wide : (void *)x,
                               .bytes = (size_t)(rows * FEATURES) * (f64 ? 8 : 4)};
        for (int r = 0; r < 2; r++) {
            if (run_on(runtimes[r], &in, got, (size_t)(rows * TARGETS) * sizeof *got, &err) != NIB_OK) fail_msg("%s", err.message);
            for (int i = 0; i < rows; i++) {
                double sum[TARGETS] = {0};
                for (int t = 0; t < n_roots; t++) {
                    const struct node *leaf = &nodes[plain_leaf(roots[t], x + i * FEATURES, true)];
                    sum[leaf->target] += (double)leaf->weight;
                }
                for (int k = 0; k < TARGETS; k++)
                    if (got[i * TARGETS + k] != (float)sum[k])
                        fail_msg("round %d, row %d of %d: %g, not %g", round, i, rows, (double)got[i * TARGETS + k], sum[k]);
            }
        }
    }
}

/* A second walk of a branch to itself, and a feature beyond the row: where a row comes to them, and not before. */
static void what_ends_in_no_leaf(void **state) {
    static const char *const circle =
        "g (float[b,w] x) => (float[b,1] y) { y = ai.onnx.ml.TreeEnsemble <n_targets = 1, tree_roots = [0], nodes_featureids = [0, %d], "
        "nodes_splits = float[2] {0, 1}, nodes_modes = uint8[2] {0, 0}, nodes_truenodeids = [0, %d], nodes_falsenodeids = [1, 1], "
        "nodes_trueleafs = [1, %d], nodes_falseleafs = [0, 1], leaf_targetids = [0, 0], leaf_weights = float[2] {5, 7}> (x) }";
    float x[20], y[20];
    nib_error err = {0};
    const nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {20, 1}, .data = x, .bytes = sizeof x};
    for (int which = 0; which < 2; which++) { /* the second branch: to itself; of feature 9 */
        length = 0;
        say(ML_HEAD, 5);
        say(circle, which ? 9 : 0, which ? 0 : 1, which);
        for (int i = 0; i < 20; i++) x[i] = -1;
        assert_int_equal(run_on(runtimes[0], &in, y, sizeof y, &err), NIB_OK);
        for (int i = 0; i < 20; i++) assert_true(y[i] == 5);
        x[17] = 0.5f;
        assert_int_equal(run_on(runtimes[0], &in, y, sizeof y, &err), NIB_BAD_MODEL);
        assert_non_null(strstr(err.message, "ends in no leaf"));
    }
}

static int setup(void **state) {
    nib_error err;
    for (int i = 0; i < 2; i++) {
        nib_runtime_options options = {.size = sizeof options, .threads = i ? 3 : 1};
        if (base_runtime_create(&options, &runtimes[i], &err) != NIB_OK) return -1;
    }
    return pass_setup(state);
}

static int teardown(void **state) {
    for (int i = 0; i < 2; i++) base_runtime_release(runtimes[i]);
    return pass_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_of_a_plain_walk), cmocka_unit_test(what_ends_in_no_leaf)};
    return cmocka_run_group_tests_name("plan_forest", tests, setup, teardown);
}
