/* SPDX-License-Identifier: Apache-2.0
 *
 * Malformed and hostile models: each gives a status, none crashes, and none leaves memory behind.
 */
#include "hf/hf.h"
#include "onnx_test.h"
#include "wire_writer.h"
#include <time.h>

static nib_error last;

/* Loads bytes from a block of exactly their size, so that a sanitizer sees any read beyond. Frees the message. */
static nib_status load_bytes(nib_runtime *r, wire_msg m) {
    uint8_t *exact = malloc(m.size ? m.size : 1);
    graph *g = NULL;
    size_t before = r->heap.current;
    if (m.size > 0) memcpy(exact, m.data, m.size);
    memset(&last, 0, sizeof last);
    nib_status status = onnx_load_memory(r, exact, m.size, NULL, &g, &last);
    assert_true((status == NIB_OK) == (g != NULL));
    if (status != NIB_OK) {
        assert_int_equal(last.status, status);
        assert_true(last.message[0] != 0);
    }
    graph_free(g);
    assert_int_equal(r->heap.current, before);
    free(exact);
    free(m.data);
    return status;
}

static wire_msg read_file(const char *path) {
    wire_msg m = {0};
    uint8_t block[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    while ((n = fread(block, 1, sizeof block, f)) > 0) wm_raw(&m, block, n);
    fclose(f);
    return m;
}

static wire_msg copy_of(const wire_msg *m, size_t size) {
    wire_msg c = {0};
    wm_raw(&c, m->data, size);
    return c;
}

/* x -> Relu -> y, with what `extra` adds to the graph before. */
static wire_msg small_graph(void) {
    wire_msg g = {0};
    wm_add(&g, 11, wm_value("x"));
    wm_add(&g, 12, wm_value("y"));
    return g;
}

static void truncation_at_every_byte(void **state) {
    wire_msg all = read_file(test_path("everything.onnx"));
    size_t ok = 0;
    for (size_t n = 0; n < all.size; n++) ok += load_bytes(*state, copy_of(&all, n)) == NIB_OK;
    assert_int_equal(ok, 3); /* after the opset of ai.onnx and the two fields that follow: a whole model that lacks its functions */
    assert_int_equal(load_bytes(*state, copy_of(&all, all.size)), NIB_OK);
    free(all.data);
}

static void every_byte_changed(void **state) {
    wire_msg all = read_file(test_path("everything.onnx"));
    static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x08, 0x7f};
    for (size_t n = 0; n < all.size; n++) {
        for (size_t k = 0; k < sizeof masks; k++) {
            wire_msg c = copy_of(&all, all.size);
            c.data[n] ^= masks[k];
            load_bytes(*state, c); /* any status */
        }
    }
    free(all.data);
}

static void nesting_bombs(void **state) {
    wire_msg type = {0}, value = {0}, g = small_graph();
    for (int i = 0; i < 300; i++) { /* seq(seq(seq(...))) */
        wire_msg seq = {0}, outer = {0};
        wm_add(&seq, 1, type);
        wm_add(&outer, 4, seq);
        type = outer;
    }
    wm_text(&value, 1, "z");
    wm_add(&value, 2, type);
    wm_add(&g, 13, value);
    wm_add(&g, 1, wm_node("Relu", "x", "y"));
    assert_int_equal(load_bytes(*state, wm_model(g, 17)), NIB_LIMIT);

    wire_msg groups = {0};
    for (int i = 0; i < 100000; i++) wm_varint(&groups, 50 << 3 | 3);
    assert_int_equal(load_bytes(*state, groups), NIB_BAD_MODEL);

    wire_msg few = small_graph();
    wm_varint(&few, 50 << 3 | 3); /* a closed group is stepped over */
    wm_int(&few, 51, 7);
    wm_varint(&few, 50 << 3 | 4);
    wm_add(&few, 1, wm_node("Relu", "x", "y"));
    assert_int_equal(load_bytes(*state, wm_model(few, 17)), NIB_OK);
}

static wire_msg nested_if(int depth) {
    wire_msg g = {0};
    char out[20];
    snprintf(out, sizeof out, "o%d", depth);
    if (depth == 0) {
        wm_add(&g, 1, wm_node("Relu", "x", out));
    } else {
        wire_msg attr = {0}, node = wm_node("Loop", "x", out);
        wm_text(&attr, 1, "body");
        wm_add(&attr, 6, nested_if(depth - 1));
        wm_int(&attr, 20, 5);
        wm_add(&node, 5, attr);
        wm_add(&g, 1, node);
    }
    wm_add(&g, 12, wm_value(out));
    return g;
}

static void nested_subgraphs(void **state) {
    wire_msg g = nested_if(20);
    wm_add(&g, 11, wm_value("x"));
    assert_int_equal(load_bytes(*state, wm_model(g, 17)), NIB_OK);
    g = nested_if(60);
    wm_add(&g, 11, wm_value("x"));
    assert_int_equal(load_bytes(*state, wm_model(g, 17)), NIB_LIMIT);
}

static void order_and_names(void **state) {
    static const struct {
        const char *nodes[3][3];
        const char *says, *node;
    } cases[] = {
        {{{"Relu", "h", "y"}, {"Relu", "x", "h"}}, "later", "y"},                        /* not sorted */
        {{{"Add", "x b", "a"}, {"Add", "x a", "b"}, {"Add", "a b", "y"}}, "later", "a"}, /* a cycle */
        {{{"Relu", "nothing", "y"}}, "'nothing' is never defined", "y"},
        {{{"Relu", "y", "y"}}, "later", "y"},
        {{{"Relu", "x", "y"}, {"Relu", "x", "y"}}, "'y' is defined twice", "y"},
        {{{"Relu", "x", "x"}, {"Relu", "x", "y"}}, "'x' is defined twice", "x"},
        {{{"Relu", "x", "other"}}, "output 'y' is never defined", ""},
        {{{"", "x", "y"}}, "without an operator", "y"},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        wire_msg g = small_graph();
        for (int k = 0; k < 3 && cases[i].nodes[k][0]; k++)
            wm_add(&g, 1, wm_node(cases[i].nodes[k][0], cases[i].nodes[k][1], cases[i].nodes[k][2]));
        assert_int_equal(load_bytes(*state, wm_model(g, 17)), NIB_BAD_MODEL);
        if (!strstr(last.message, cases[i].says)) fail_msg("case %zu: %s", i, last.message);
        assert_string_equal(last.node, cases[i].node);
    }
}

static void opsets(void **state) {
    static const struct {
        int64_t version;
        nib_status status;
    } cases[] = {
        {1, NIB_OK}, {7, NIB_OK}, {28, NIB_OK}, {29, NIB_UNSUPPORTED}, {0, NIB_BAD_MODEL}, {INT64_MIN, NIB_BAD_MODEL},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        wire_msg g = small_graph();
        wm_add(&g, 1, wm_node("Relu", "x", "y"));
        assert_int_equal(load_bytes(*state, wm_model(g, cases[i].version)), cases[i].status);
    }
}

/* One initializer `w`, made by the caller, and a node that reads it. */
static nib_status load_initializer(nib_runtime *r, wire_msg tensor) {
    wire_msg g = small_graph();
    wm_add(&g, 5, tensor);
    wm_add(&g, 1, wm_node("Add", "x w", "y"));
    return load_bytes(r, wm_model(g, 17));
}

static void tensors(void **state) {
    static const uint8_t zeros[64];
    wire_msg t = wm_tensor("w", 1, 2, 3);
    wm_bytes(&t, 9, zeros, 24);
    assert_int_equal(load_initializer(*state, t), NIB_OK);
    static const struct {
        int64_t dtype, rows, columns;
        size_t raw;
        nib_status status;
    } cases[] = {
        {1, 2, 3, 23, NIB_BAD_MODEL},
        {1, 2, 3, 25, NIB_BAD_MODEL},
        {1, -1, 3, 0, NIB_BAD_MODEL},
        {1, 1LL << 62, 4, 0, NIB_BAD_MODEL},
        {1, 1LL << 32, 1LL << 32, 0, NIB_BAD_MODEL},
        {0, 2, 3, 24, NIB_BAD_MODEL},
        {27, 2, 3, 24, NIB_UNSUPPORTED},
        {-1, 2, 3, 24, NIB_UNSUPPORTED},
        {8, 2, -1, 32, NIB_BAD_MODEL},
        {22, 5, -1, 3, NIB_OK},
        {22, 5, -1, 2, NIB_BAD_MODEL},
        {22, 5, -1, 5, NIB_BAD_MODEL},
        {1, 17592186044800, -1, 4, NIB_BAD_MODEL},
        {1, 0, 3, 0, NIB_OK},
        {1, 2, 3, 0, NIB_BAD_MODEL},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        t = wm_tensor("w", cases[i].dtype, cases[i].rows, cases[i].columns);
        if (cases[i].raw) wm_bytes(&t, 9, zeros, cases[i].raw);
        nib_status status = load_initializer(*state, t);
        if (status != cases[i].status) fail_msg("case %zu: %d %s", i, status, last.message);
        if (status != NIB_OK) assert_true(last.offset > 0);
    }
    t = wm_tensor("w", 1, 1, -1);
    for (int i = 0; i < 40; i++) wm_int(&t, 1, 1); /* rank 41 */
    assert_int_equal(load_initializer(*state, t), NIB_LIMIT);
    t = wm_tensor("w", 1, 1, -1);
    wm_bytes(&t, 9, zeros, 4);
    wm_int(&t, 5, 3); /* int32_data as well */
    assert_int_equal(load_initializer(*state, t), NIB_BAD_MODEL);
    t = wm_tensor("w", 1, 1, -1);
    wm_int(&t, 7, 3); /* a float in int64_data */
    assert_int_equal(load_initializer(*state, t), NIB_BAD_MODEL);
    t = wm_tensor("w", 1, 1, -1);
    wm_int(&t, 14, 1); /* external, and there is no folder */
    wm_add(&t, 13, wm_entry("location", "w.bin"));
    assert_int_equal(load_initializer(*state, t), NIB_UNSUPPORTED);
    t = (wire_msg){0}; /* a name with a NUL inside */
    wm_int(&t, 2, 1);
    wm_bytes(&t, 8, "w\0w", 3);
    wm_bytes(&t, 9, zeros, 4);
    assert_int_equal(load_initializer(*state, t), NIB_BAD_MODEL);
}

/* values [2] at `first` and 3 of a vector of `size`, or NULL values: external ones */
static nib_status load_sparse(nib_runtime *r, int64_t size, int64_t first, int64_t values_dtype, bool external) {
    static const float ones[] = {1.0f, 1.0f};
    wire_msg values = wm_tensor("w", values_dtype, 2, -1), indices = wm_tensor("", 7, 2, -1), sparse = {0}, g = small_graph();
    if (external) {
        wm_int(&values, 14, 1);
        wm_add(&values, 13, wm_entry("location", "/etc/passwd"));
    } else {
        wm_bytes(&values, 9, ones, sizeof ones);
    }
    wm_int(&indices, 7, first);
    wm_int(&indices, 7, 3);
    wm_add(&sparse, 1, values);
    wm_add(&sparse, 2, indices);
    wm_int(&sparse, 3, size);
    wm_add(&g, 15, sparse);
    wm_add(&g, 1, wm_node("Add", "x w", "y"));
    return load_bytes(r, wm_model(g, 17));
}

static void sparse_tensors(void **state) {
    assert_int_equal(load_sparse(*state, 8, 1, 1, false), NIB_OK);
    assert_int_equal(load_sparse(*state, 8, 8, 1, false), NIB_BAD_MODEL);
    assert_int_equal(load_sparse(*state, 8, -1, 1, false), NIB_BAD_MODEL);
    assert_int_equal(load_sparse(*state, 3, 1, 1, false), NIB_BAD_MODEL);
    assert_int_equal(load_sparse(*state, -8, 1, 1, false), NIB_BAD_MODEL);
    assert_int_equal(load_sparse(*state, 1LL << 40, 1, 1, false), NIB_LIMIT);
    assert_int_equal(load_sparse(*state, INT64_MAX, 1, 1, false), NIB_BAD_MODEL);
    assert_int_equal(load_sparse(*state, 8, 1, 1, true), NIB_UNSUPPORTED);
}

/* ---------------------------------------------------------------- local functions */

static wire_msg function(const char *name, const char *callee, int calls) {
    wire_msg f = {0};
    char in[20] = "a", out[20];
    wm_text(&f, 1, name);
    wm_text(&f, 4, "a");
    for (int i = 0; i < calls; i++) {
        snprintf(out, sizeof out, "v%d", i);
        wire_msg node = wm_node(callee, in, out);
        if (name[0] == 'f') wm_text(&node, 7, callee[0] == 'f' ? "local" : "");
        wm_add(&f, 7, node);
        strcpy(in, out);
    }
    wm_text(&f, 5, in);
    wm_text(&f, 10, "local");
    return f;
}

static wire_msg model_calling(const char *callee) {
    wire_msg g = small_graph(), node = wm_node(callee, "x", "y");
    wm_text(&node, 7, "local");
    wm_add(&g, 1, node);
    return wm_model(g, 17);
}

static void functions(void **state) {
    wire_msg m = model_calling("f0");
    wm_add(&m, 25, function("f0", "Relu", 3));
    assert_int_equal(load_bytes(*state, m), NIB_OK);

    m = model_calling("f0"); /* f0 calls f1 calls f0 */
    wm_add(&m, 25, function("f0", "f1", 1));
    wm_add(&m, 25, function("f1", "f0", 1));
    assert_int_equal(load_bytes(*state, m), NIB_BAD_MODEL);
    assert_non_null(strstr(last.message, "calls itself"));

    m = model_calling("f0"); /* each calls the next 16 times: 16^8 nodes */
    for (int i = 0; i < 8; i++) {
        char name[16], next[16];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(next, sizeof next, i == 7 ? "Relu" : "f%d", i + 1);
        wm_add(&m, 25, function(name, next, 16));
    }
    assert_int_equal(load_bytes(*state, m), NIB_LIMIT);

    m = model_calling("f0");
    wm_add(&m, 25, function("f0", "Relu", 1));
    wm_add(&m, 25, function("f0", "Relu", 1));
    assert_int_equal(load_bytes(*state, m), NIB_BAD_MODEL);

    m = model_calling("f0"); /* the output is the input: an Identity */
    wm_add(&m, 25, function("f0", "Relu", 0));
    assert_int_equal(load_bytes(*state, m), NIB_OK);
}

static wire_msg int_attribute(const char *name, int64_t value, const char *refers) {
    wire_msg a = {0};
    wm_text(&a, 1, name);
    if (refers) wm_text(&a, 21, refers);
    else wm_int(&a, 3, value);
    wm_int(&a, 20, 2);
    return a;
}

/* Attributes of a function are found by name: as many defaults, and as many that refer to them, as there are, at every call. */
static void attributes_of_functions(void **state) {
    enum { MANY = 50000, CALLS = 3 };
    wire_msg f = {0}, opset = {0}, g = small_graph();
    char name[40], other[40];
    clock_t begin = clock();
    wm_text(&f, 1, "f0");
    wm_text(&f, 4, "a");
    wm_text(&f, 5, "b");
    wm_text(&f, 6, "given");
    wm_text(&f, 6, "neither");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "p%d", i);
        wm_add(&f, 11, int_attribute(name, i, NULL));
        wm_text(&f, 6, "given"); /* a formal one twice is one */
    }
    wire_msg node = wm_node("Shape", "a", "b"); /* attributes of any name: operators read those they know */
    wm_add(&node, 5, int_attribute("start", 0, "given"));
    wm_add(&node, 5, int_attribute("end", 0, "p7"));
    wm_add(&node, 5, int_attribute("absent", 0, "neither"));
    wm_add(&f, 7, node);
    for (int i = 0; i < MANY / 100; i++) {
        snprintf(other, sizeof other, "z%d", i);
        node = wm_node("Shape", "a", other);
        for (int k = 0; k < 100; k++) {
            snprintf(name, sizeof name, "p%d", MANY - 1 - k);
            snprintf(other, sizeof other, "q%d", k);
            wm_add(&node, 5, int_attribute(other, 0, name));
        }
        wm_add(&f, 7, node);
    }
    wm_int(&opset, 2, 17);
    wm_add(&f, 9, opset);
    wm_text(&f, 10, "local");
    for (int i = 0; i < CALLS; i++) {
        snprintf(other, sizeof other, i ? "y%d" : "y", i);
        node = wm_node("f0", "x", other);
        wm_text(&node, 7, "local");
        wm_add(&node, 5, int_attribute("given", 3, NULL));
        wm_add(&g, 1, node);
    }
    wire_msg m = wm_model(g, 17);
    opset = (wire_msg){0};
    wm_text(&opset, 1, "local");
    wm_int(&opset, 2, 1);
    wm_add(&m, 8, opset);
    wm_add(&m, 25, f);
    graph *made;
    if (onnx_load_memory(*state, m.data, m.size, NULL, &made, &last) != NIB_OK) fail_msg("%s", last.message);
    const graph_node *n = made->first;
    assert_int_equal(graph_attr_int(n, "start", -1), 3);
    assert_int_equal(graph_attr_int(n, "end", -1), 7);
    assert_null(graph_find_attr(n, "absent"));
    assert_int_equal(graph_attr_int(n->next, "q1", -1), MANY - 2);
    graph_free(made);
    free(m.data);
    double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
    if (took > 20) fail_msg("%.1f s", took);
}

/* Wherever an attribute's tensor lies in the file, operators may read it as an array. */
static void attributes_are_aligned(void **state) {
    for (int pad = 0; pad < 16; pad++) {
        wire_msg g = small_graph(), node = wm_node("ConstantOfShape", "s", "y"), t = wm_tensor("", NIB_DTYPE_I64, 1, -1), a = {0};
        int64_t value = 77;
        char name[40];
        snprintf(name, sizeof name, "%.*s", pad, "nnnnnnnnnnnnnnnn");
        wm_bytes(&t, 9, &value, sizeof value);
        wm_text(&a, 1, "value");
        wm_text(&a, 13, name); /* its doc string */
        wm_add(&a, 5, t);
        wm_int(&a, 20, 4);
        wm_add(&node, 5, a);
        wm_add(&g, 1, wm_node("Shape", "x", "s"));
        wm_add(&g, 1, node);
        wire_msg m = wm_model(g, 17);
        graph *made;
        if (onnx_load_memory(*state, m.data, m.size, NULL, &made, &last) != NIB_OK) fail_msg("%s", last.message);
        const graph_tensor *got = graph_find_attr(made->first->next, "value")->u.tensor;
        assert_int_equal((uintptr_t)got->data % sizeof value, 0);
        assert_int_equal(*(const int64_t *)got->data, 77);
        graph_free(made);
        free(m.data);
    }
}

/* ---------------------------------------------------------------- memory */

typedef struct failing {
    size_t left;
} failing;

static void *failing_allocate(void *user, size_t bytes) {
    failing *f = user;
    if (f->left == 0) return NULL;
    f->left--;
    return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
}

static void failing_release(void *user, void *pointer, size_t bytes) { free(pointer); }

static nib_status load_one(nib_runtime *r, int door, graph **g, nib_error *err) {
    if (door == 0) return onnx_load(r, test_path("everything.onnx"), g, err);
    if (door == 1) return hf_load_graph(r, NIB_TEST_DATA "/hf/bert-tiny", g, err);
    static const char text[] = "<opset_import: [\"\" : 17]> g (float[N] x) => (y) <float[2] w = {1,2}>"
                               "{ h = Add <s = \"t\", i = [1,2]> (x, w) y = If (h) <b = s () => (z) { z = Neg (h) }> }";
    return graph_parse(&r->heap, text, strlen(text), g, err);
}

static void every_allocation_fails_once(void **state) {
    failing f = {1000};
    nib_runtime_options options = {
        .size = sizeof options, .threads = 1, .allocate = failing_allocate, .release = failing_release, .alloc_user = &f};
    nib_runtime *r;
    nib_error err;
    assert_int_equal(base_runtime_create(&options, &r, &err), NIB_OK);
    for (int door = 0; door < 3; door++) {
        nib_status status = NIB_OUT_OF_MEMORY;
        for (size_t n = 0; status == NIB_OUT_OF_MEMORY && n < 10000; n++) {
            graph *g;
            size_t before = r->heap.current;
            f.left = n;
            status = load_one(r, door, &g, &err);
            assert_true((status == NIB_OK) == (g != NULL));
            graph_free(g);
            assert_int_equal(r->heap.current, before);
        }
        if (status != NIB_OK) fail_msg("door %d: %d %s", door, status, err.message);
    }
    f.left = 1000;
    base_runtime_release(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncation_at_every_byte),
        cmocka_unit_test(every_byte_changed),
        cmocka_unit_test(nesting_bombs),
        cmocka_unit_test(nested_subgraphs),
        cmocka_unit_test(order_and_names),
        cmocka_unit_test(opsets),
        cmocka_unit_test(tensors),
        cmocka_unit_test(functions),
        cmocka_unit_test(attributes_of_functions),
        cmocka_unit_test(attributes_are_aligned),
        cmocka_unit_test(sparse_tensors),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
