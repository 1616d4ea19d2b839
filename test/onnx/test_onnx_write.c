/* SPDX-License-Identifier: Apache-2.0
 *
 * The writer: what is loaded, written and loaded again prints the same text and is written as the same bytes; external data;
 * files that cannot be written.
 */
#include "onnx_test.h"
#include "wire_writer.h"
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static const char *temp(const char *name) {
    static char paths[4][300];
    static int turn;
    char *p = paths[turn++ % 4];
    snprintf(p, 300, "%s/nib-test-write-%d-%s", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid(), name);
    return p;
}

static char *printed(const graph *g) {
    base_str s;
    base_str_init(&s, g->heap);
    assert_int_equal(graph_print(g, 1 << 20, &s), NIB_OK);
    char *text = strdup(strstr(s.data, "opset_import"));
    base_str_free(&s);
    char *producer = strstr(text, ",\n   producer_name:"), *end = producer ? strchr(producer + 2, '\n') : NULL;
    if (producer) memmove(producer, end, strlen(end) + 1); /* who wrote it is not the same */
    return text;
}

static char *file_bytes(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 22);
    *size = fread(bytes, 1, 1 << 22, f);
    fclose(f);
    return bytes;
}

static void assert_saves(nib_runtime *rt, const graph *g, const char *path, const onnx_save_options *options) {
    nib_error err = {0};
    nib_status status = onnx_save(rt, g, path, options, &err);
    if (status != NIB_OK) fail_msg("%s: %s", path, err.message);
}

static void check_round(nib_runtime *rt, const graph *g, const onnx_save_options *options) {
    const char *path = temp("round.onnx"), *again_path = temp("again.onnx");
    graph *again = NULL;
    size_t a, b;
    assert_saves(rt, g, path, options);
    assert_loads(rt, path, &again);
    char *want = printed(g), *got = printed(again);
    assert_string_equal(got, want);
    if (!options || options->external_over < 0) { /* the name of the external file stands in the model */
        assert_saves(rt, again, again_path, options);
        char *x = file_bytes(path, &a), *y = file_bytes(again_path, &b);
        assert_int_equal(a, b);
        assert_memory_equal(x, y, a);
        free(x);
        free(y);
        unlink(again_path);
    }
    free(want);
    free(got);
    graph_free(again);
    unlink(path);
    unlink(temp("round.onnx.data"));
}

static void parse(nib_runtime *rt, const char *text, graph **out) {
    nib_error err = {0};
    nib_status status = graph_parse(&rt->heap, text, strlen(text), out, &err);
    if (status != NIB_OK) fail_msg("%s", err.message);
}

/* Every kind of attribute, type and dimension, a body, left out names. */
static const char everything[] =
    "<ir_version: 10, opset_import: [\"\" : 21, \"my.domain\" : 3]>\n"
    "all (float[batch, seq, 8] x, int64[n] ids, seq(float[batch]) s, optional(seq(float)) o, bool c, float16[?, 3] h)\n"
    "    => (float[batch, seq, 4] y, float z, float[batch, seq, 8] r)\n"
    "<float[8, 4] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, "
    "32},\n"
    " string[2] names = {\"one\", \"two\"}, int64 one = {1}, double[2] d = {0.5, -2}, bool[2] flags = {1, 0}>\n"
    "{\n"
    "    y = MatMul(x, w)\n"
    "    z = my.domain.Odd <f = 1.5, i = -7, s = \"text\", fs = [1.0, 2.5], is = [1, -2, 3], ss = [\"a\", \"b\"],"
    " t = float[2] {3, 4}> (x, , ids, names, s, o, h, d, flags)\n"
    "    r = If (c) <then_branch = then () => (float[batch, seq, 8] a) { a = Identity (x) },"
    " else_branch = otherwise () => (float[batch, seq, 8] b) <float k = {2}> { b = Mul (x, k) }>\n"
    "}\n";

static void test_everything(void **state) {
    graph *g;
    parse(*state, everything, &g);
    check_round(*state, g, NULL);
    check_round(*state, g, &(onnx_save_options){.external_over = -1, .types = true});
    graph_free(g);
}

static void test_files(void **state) {
    static const char *const files[] = {"everything.onnx", "linear.onnx", "bert-tiny.ts.sdpa.onnx", "bert-tiny.dynamo.eager.onnx",
                                        "modernbert-tiny.dynamo.onnx"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        graph *g = NULL;
        assert_loads(*state, test_path(files[i]), &g);
        check_round(*state, g, &(onnx_save_options){.external_over = -1, .types = true});
        graph_free(g);
    }
}

/* 2000 floats go outside, each tensor at a multiple of 4096; 3 stay. */
static void test_external(void **state) {
    nib_runtime *rt = *state;
    graph *g, *again = NULL;
    float numbers[2000];
    const char *path = temp("round.onnx");
    size_t size;
    parse(rt,
          "<ir_version: 8, opset_import: [\"\" : 13]> g (float[n, 2000] x) => (float[n, 2000] y) <float[1] k = {3}>"
          " { y = Mul (x, k) }",
          &g);
    for (int i = 0; i < 2000; i++) numbers[i] = (float)i;
    for (int i = 0; i < 2; i++) {
        graph_tensor t = {.data = numbers, .dtype = NIB_DTYPE_F32, .rank = 1, .dims = {2000}, .bytes = sizeof numbers};
        assert_non_null(graph_add_constant(g, i ? "second" : "first", &t, true));
    }
    assert_saves(rt, g, path, &(onnx_save_options){.external_over = 0});
    char *bytes = file_bytes(temp("round.onnx.data"), &size);
    assert_int_equal(size, 8192 + 8000);
    assert_memory_equal(bytes + 8192, numbers, sizeof numbers);
    free(bytes);
    assert_loads(rt, path, &again);
    assert_memory_equal(graph_find_value(again, "second")->constant->data, numbers, sizeof numbers);
    graph_free(again);
    check_round(rt, g, &(onnx_save_options){.external_over = 0});
    check_round(rt, g, &(onnx_save_options){.external_over = 100000}); /* it all fits */
    graph_free(g);
}

/* A disk that is full: an error, and the file that was there stays, and nothing beside it. */
static void test_full_disk(void **state) {
    nib_runtime *rt = *state;
    nib_error err = {0};
    graph *g;
    const char *path = temp("full.onnx");
    size_t size;
    struct rlimit before, tight = {100, 100};
    FILE *f = fopen(path, "wb");
    fputs("old", f);
    fclose(f);
    parse(rt, everything, &g);
    getrlimit(RLIMIT_FSIZE, &before);
    tight.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &tight);
    nib_status status = onnx_save(rt, g, path, NULL, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, NIB_IO);
    assert_non_null(strstr(err.message, "full.onnx"));
    char *bytes = file_bytes(path, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "old", 3);
    free(bytes);
    unlink(path);
    assert_int_equal(onnx_save(rt, g, "/nowhere/at/all.onnx", NULL, &err), NIB_IO);
    graph_free(g);
}

static void test_refusals(void **state) {
    nib_runtime *rt = *state;
    nib_error err = {0};
    graph *g;
    parse(rt, "<ir_version: 8, opset_import: [\"\" : 13]> g (map(int64, float) m, float x) => (float y) { y = Neg (x) }", &g);
    assert_int_equal(onnx_save(rt, g, temp("map.onnx"), NULL, &err), NIB_UNSUPPORTED);
    assert_int_equal(access(temp("map.onnx"), F_OK), -1);
    graph_free(g);
}

/* Whatever the ceiling: a status, and no file but a whole one. */
static void test_memory(void **state) {
    nib_runtime_options options = {.size = sizeof options, .threads = 1, .memory_limit = 0};
    (void)state;
    graph *g;
    nib_runtime *rt;
    nib_error err = {0};
    bool refused = false, saved = false;
    for (size_t limit = 20000; limit < 400000; limit += 9000) {
        options.memory_limit = limit;
        if (base_runtime_create(&options, &rt, &err) != NIB_OK) continue;
        if (graph_parse(&rt->heap, everything, strlen(everything), &g, &err) == NIB_OK) {
            nib_status status = onnx_save(rt, g, temp("memory.onnx"), NULL, &err);
            assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
            assert_int_equal(access(temp("memory.onnx"), F_OK), status == NIB_OK ? 0 : -1);
            unlink(temp("memory.onnx"));
            refused |= status == NIB_OUT_OF_MEMORY;
            saved |= status == NIB_OK;
            graph_free(g);
        }
        base_runtime_release(rt);
    }
    assert_true(refused && saved);
}

/* What people and tools wrote beside the model is in every copy: the fields in which this model comes back, as bytes. */
static void test_words(void **state) {
    nib_runtime *rt = *state;
    nib_error err = {0};
    wire_msg node = wm_node("Neg", "x", "y"), g = {0}, import = {0};
    wm_text(&node, 6, "doc of a node");
    wm_add(&node, 9, wm_entry("key of a node", "value of a node"));
    wm_add(&g, 1, node);
    wm_text(&g, 2, "g");
    wm_text(&g, 10, "doc of a graph");
    wm_add(&g, 11, wm_value("x"));
    wm_add(&g, 12, wm_value("y"));
    wm_add(&g, 16, wm_entry("key of a graph", "value of a graph"));
    wire_msg m = wm_model(g, 17);
    wm_text(&import, 1, "org.unused");
    wm_int(&import, 2, 3);
    wm_add(&m, 8, import);
    static const char *const texts[] = {NULL, NULL, "pytorch", "2.15", "org.example", NULL, "doc of a model"};
    for (uint32_t i = 0; i < BASE_COUNT(texts); i++)
        if (texts[i]) wm_text(&m, i, texts[i]);
    wm_int(&m, 5, 77);
    wm_add(&m, 14, wm_entry("key of a model", "value of a model"));
    wm_add(&m, 14, wm_entry("empty", ""));
    graph *loaded, *copy, *again;
    if (onnx_load_memory(rt, m.data, m.size, NULL, &loaded, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(graph_clone(loaded, &copy, &err), NIB_OK);
    const char *path = temp("words.onnx");
    assert_saves(rt, copy, path, NULL);
    assert_loads(rt, path, &again);
    const graph_metadata *all[] = {again->model_metadata, again->metadata, again->first->metadata};
    static const char *const of[] = {"model", "graph", "node"};
    for (size_t i = 0; i < BASE_COUNT(of); i++) {
        char want[100];
        assert_non_null(all[i]);
        assert_int_equal(all[i]->n_props, i ? 1 : 2);
        const graph_string got[] = {all[i]->doc, all[i]->props[0][0], all[i]->props[0][1]};
        static const char *const forms[] = {"doc", "key", "value"};
        for (size_t k = 0; k < BASE_COUNT(forms); k++) {
            snprintf(want, sizeof want, "%s of a %s", forms[k], of[i]);
            assert_int_equal(got[k].length, strlen(want));
            assert_memory_equal(got[k].data, want, strlen(want));
        }
    }
    assert_int_equal(again->model_version, 77);
    assert_memory_equal(again->producer_name.data, "pytorch", 7);
    assert_memory_equal(again->producer_version.data, "2.15", 4);
    assert_memory_equal(again->model_domain.data, "org.example", 11);
    assert_int_equal(graph_opset_version(again, "org.unused"), 3);
    graph_free(again);
    graph_free(copy);
    graph_free(loaded);
    free(m.data);
    unlink(path);
}

/* What exporters write where they know no name is no name: two of them need not be equal. Others come back as they were. */
static void names_of_nothing_are_unknown(void **state) {
    nib_runtime *rt = *state;
    static const char text[] = "<ir_version: 8, opset_import: [\"\" : 17]> g (float[\"?\",3,\"?\",\"unk__1\"] x, float[\"-1\",None,N,N] z) "
                               "=> (float[\"?\",3,\"?\",\"unk__1\"] y) { y = Relu (x) }";
    graph *g, *again;
    const char *path = temp("names.onnx");
    parse(rt, text, &g);
    assert_saves(rt, g, path, NULL);
    assert_loads(rt, path, &again);
    const graph_type *x = &again->inputs[0]->type, *z = &again->inputs[1]->type;
    assert_null(x->dims[0]);
    assert_null(x->dims[2]);
    assert_non_null(x->dims[3]);
    assert_null(z->dims[0]);
    assert_null(z->dims[1]);
    assert_non_null(z->dims[2]);
    assert_ptr_equal(z->dims[2], z->dims[3]);
    graph_free(g);
    graph_free(again);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_nothing_are_unknown),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests_name("onnx_write", tests, test_runtime_setup, test_runtime_teardown);
}
