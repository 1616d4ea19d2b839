/* SPDX-License-Identifier: Apache-2.0
 *
 * ONNX's textual syntax: what is printed parses to the same graph, matches the committed text that onnx.parser was seen to
 * read, and what onnx.printer prints parses.
 */
#include "hf/hf.h"
#include "onnx/onnx_test.h"

static char *read_text(const char *name, size_t *length) {
    char path[100];
    snprintf(path, sizeof path, "text/%s", name);
    FILE *f = fopen(test_path(path), "rb");
    if (!f) fail_msg("no %s", name);
    char *text = malloc(1 << 20);
    *length = fread(text, 1, (1 << 20) - 1, f);
    text[*length] = 0;
    fclose(f);
    return text;
}

static base_str print(const graph *g) {
    base_str text;
    base_str_init(&text, g->heap);
    assert_int_equal(graph_print(g, INT64_MAX, &text), NIB_OK);
    return text;
}

static graph *parse(nib_runtime *r, const char *text, size_t length) {
    graph *g;
    nib_error err = {0};
    if (graph_parse(&r->heap, text, length, &g, &err) != NIB_OK) fail_msg("%s (offset %lld)", err.message, (long long)err.offset);
    return g;
}

/* print -> parse -> print gives the same text; with `golden`, also that file's. */
static void assert_round_trip(nib_runtime *r, const graph *g, const char *golden) {
    base_str once = print(g);
    graph *again = parse(r, once.data, once.length);
    base_str twice = print(again);
    assert_string_equal(once.data, twice.data);
    assert_int_equal(again->node_count, g->node_count);
    assert_int_equal(again->n_constants, g->n_constants);
    if (golden) {
        size_t length;
        char *text = read_text(golden, &length);
        assert_string_equal(once.data, text);
        free(text);
    }
    graph_free(again);
    base_str_free(&once);
    base_str_free(&twice);
}

static void models_round_trip(void **state) {
    static const char *const files[][2] = {
        {"everything.onnx", "everything.nib.txt"}, {"linear.onnx", "linear.nib.txt"},     {"bert-tiny.ts.eager.onnx", NULL},
        {"bert-tiny.ts.sdpa.onnx", NULL},          {"bert-tiny.dynamo.eager.onnx", NULL}, {"bert-tiny.dynamo.sdpa.onnx", NULL},
        {"bert-tiny.pooled.onnx", NULL},
    };
    for (size_t i = 0; i < BASE_COUNT(files); i++) {
        graph *g;
        assert_loads(*state, test_path(files[i][0]), &g);
        assert_round_trip(*state, g, files[i][1]);
        graph_free(g);
    }
    graph *g;
    nib_error err;
    assert_int_equal(hf_load_graph(*state, NIB_TEST_DATA "/hf/bert-tiny", &g, &err), NIB_OK);
    assert_round_trip(*state, g, NULL);
    graph_free(g);
}

static void reads_what_onnx_prints(void **state) {
    static const struct {
        const char *file;
        int nodes, constants;
    } files[] = {{"linear.txt", 2, 2}, {"plain.txt", 9, 14}};
    for (size_t i = 0; i < BASE_COUNT(files); i++) {
        size_t length;
        char *text = read_text(files[i].file, &length);
        graph *g = parse(*state, text, length);
        assert_int_equal(g->node_count, files[i].nodes);
        assert_int_equal(g->n_constants, files[i].constants);
        assert_round_trip(*state, g, NULL);
        graph_free(g);
        free(text);
    }
}

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17]> "

static void forms(void **state) {
    static const char text[] = HEAD
        "g (float[N,\"a b\"] \"x/1:0\", float[2] w = {1, -2.5e3}) => (y) <double d = {1e300}, float[3] f = {nan, -inf, 0.1}> # comment\n"
        "{ [\"n 1\"] h, , = my.own.Op <a = 1, b = 1.5, c = \"q\\\"\", d = [1,2], e = [1.0, 2.0], s = [\"x\"], t = float[2] {1,2},\n"
        "    tp = float[N], el : ints = [], fi : float = 3, k : tensors = [float {1}, int64[1] {2}]> (\"x/1:0\", \"\", w)\n"
        "  y = If (h) <then_branch = a () => (p) { p = Relu (h) }, else_branch = b () => (q) { q = Neg (w) }> }";
    graph *g = parse(*state, text, strlen(text));
    assert_int_equal(g->n_inputs, 2);
    assert_int_equal(graph_required_inputs(g), 1); /* the other has data, which is what it holds if it is not given */
    assert_string_equal(g->inputs[0]->name, "x/1:0");
    const graph_node *n = g->first;
    assert_string_equal(n->name, "n 1");
    assert_string_equal(n->domain, "my.own");
    assert_string_equal(n->op, "Op");
    assert_int_equal(n->n_outputs, 2);
    assert_null(n->outputs[1]);
    assert_int_equal(n->n_inputs, 3);
    assert_null(n->inputs[1].value);
    assert_int_equal(graph_attr_int(n, "a", 0), 1);
    assert_true(graph_attr_float(n, "fi", 0) == 3.0f);
    assert_string_equal(graph_attr_string(n, "c", ""), "q\"");
    assert_int_equal(graph_find_attr(n, "el")->count, 0);
    assert_int_equal(graph_find_attr(n, "tp")->kind, GRAPH_ATTR_TYPE);
    assert_int_equal(graph_find_attr(n, "k")->count, 2);
    assert_int_equal(graph_find_attr(n->next, "then_branch")->u.graph->node_count, 1);
    assert_round_trip(*state, g, NULL);
    graph_free(g);
}

static void refuses(void **state) {
    static const char *const texts[] = {
        "",
        "<",
        HEAD,
        HEAD "g",
        HEAD "g (x) => (y) {",
        HEAD "g (x) => (y) { y = Relu (x)",
        HEAD "g (x) => (y) { y = Relu (z) }",
        HEAD "g (x) => (z) { y = Relu (x) }",
        HEAD "g (x) => (y) { y = Relu (x) y = Relu (x) }",
        HEAD "g (x, x) => (y) { y = Relu (x) }",
        HEAD "g (x) => (y) <float[3] w = {1,2}> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[1] w = {1,2}> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[100000000000] w = {1}> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[3] w = ...> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[9223372036854775807,4] w = {}> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[N] w = {1}> { y = Relu (x) }",
        HEAD "g (x) => (y) <float[2] w = {1,\"a\"}> { y = Relu (x) }",
        HEAD "g (x) => (y) { y = Relu <a> (x) }",
        HEAD "g (x) => (y) { y = Relu <a = []> (x) }",
        HEAD "g (x) => (y) { y = Relu <a = [1, \"b\"]> (x) }",
        HEAD "g (x) => (y) { y = Relu <a : int = 1.5> (x) }",
        HEAD "g (x) => (y) { y = Relu <a = 1, a = 2> (x) }",
        HEAD "g (x) => (y) { y = Relu (x) } extra",
        HEAD "g (x) => (y) { y = Relu (x) } <domain: \"a\"> F (a) => (b) { b = Relu (a) }",
        HEAD "g (x) => (y) { y = \"Rel",
        HEAD "g (x) => (y) { y = Relu <a = 99999999999999999999> (x) }",
        HEAD "g (x) => (y, y) { y = Relu (x) }",
        "<opset_import: [\"\" : 0]> g (x) => (y) { y = Relu (x) }",
        HEAD "g (float[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1] x) => (x) { }",
    };
    nib_runtime *r = *state;
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g;
        nib_error err = {0};
        size_t before = r->heap.current;
        if (graph_parse(&r->heap, texts[i], strlen(texts[i]), &g, &err) == NIB_OK) fail_msg("accepted: %s", texts[i]);
        assert_null(g);
        assert_int_equal(r->heap.current, before);
    }
}

/* Cut anywhere and with any byte changed: a status, never a crash; from a block of exactly the text's size. */
static void mutations(void **state) {
    static const char junk[] = "<>{}[]()=:,\"@#.-9a\0";
    size_t length;
    nib_runtime *r = *state;
    char *text = read_text("everything.nib.txt", &length);
    for (size_t n = 0; n < length; n++) {
        for (size_t k = 0; k <= sizeof junk; k++) {
            size_t size = k == sizeof junk ? n : length;
            char *exact = malloc(size ? size : 1);
            graph *g;
            size_t before = r->heap.current;
            memcpy(exact, text, size);
            if (k < sizeof junk) exact[n] = junk[k];
            if (graph_parse(&r->heap, exact, size, &g, NULL) == NIB_OK) graph_free(g);
            assert_int_equal(r->heap.current, before);
            free(exact);
        }
    }
    free(text);
}

static void nesting(void **state) {
    static char text[40000];
    size_t n = (size_t)snprintf(text, sizeof text, HEAD "g (x) => (y) {");
    for (int i = 0; i < 1000; i++) n += (size_t)snprintf(text + n, sizeof text - n, " y = If <b = g () => (y) {");
    graph *g;
    nib_error err;
    assert_int_equal(graph_parse(&((nib_runtime *)*state)->heap, text, n, &g, &err), NIB_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_round_trip),
        cmocka_unit_test(reads_what_onnx_prints),
        cmocka_unit_test(forms),
        cmocka_unit_test(refuses),
        cmocka_unit_test(mutations),
        cmocka_unit_test(nesting),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
