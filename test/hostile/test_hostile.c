/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs that broke other systems (doc: SECURITY.md), one row each: how the files are made, what opening or running them must answer.
 * In: nothing; each row writes a folder of its own. Out: status and message, in bounded time and memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../fuzz/fuzz.h"
#include "../onnx/wire_writer.h"

#define SECONDS 60 /* of one row, under sanitizers too */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MANY 20000
#else
#define MANY 200000
#endif

static char root[] = "/tmp/nib-hostile-XXXXXX";

static const char *at(const char *name) {
    static char path[4][300];
    static int turn;
    char *p = path[turn++ % 4];
    snprintf(p, 300, "%s/%s", root, name);
    return p;
}

static void put(const char *name, const void *bytes, size_t n) {
    FILE *f = fopen(at(name), "wb");
    assert_true(f && (n == 0 || fwrite(bytes, 1, n, f) == n) && fclose(f) == 0);
}
static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void put_model(wire_msg g, int64_t opset) {
    wire_msg m = wm_model(g, opset);
    put("m/model.onnx", m.data, m.size);
    free(m.data);
}

static void remove_tree(void) {
    char command[400];
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    assert_int_equal(system(command), 0);
}

/* A model folder, a secret beside it, and links between them. */
static void furnish(void) {
    static const char *const links[][2] = {{"../secret.bin", "m/link.bin"}, {"..", "m/out"}, {"w.bin", "m/in.bin"}, {"loop", "m/loop"}};
    remove_tree();
    assert_int_equal(mkdir(at("m"), 0700), 0);
    assert_int_equal(mkdir(at("m/sub"), 0700), 0);
    put("secret.bin", "secretsecretsecr", 16);
    put("m/w.bin", "0123456789abcdef", 16);
    for (int i = 0; i < 4; i++) assert_int_equal(symlink(links[i][0], at(links[i][1])), 0);
    assert_int_equal(mkfifo(at("m/fifo"), 0600), 0);
    assert_int_equal(link(at("secret.bin"), at("m/hard.bin")), 0);
}

/* ---- models with external data: [4] of f32 in `location`, in five places */

static wire_msg external_named(const char *name, const char *location, const char *offset, const char *length) {
    wire_msg t = wm_tensor(name, NIB_DTYPE_F32, 4, -1);
    if (location) wm_add(&t, 13, wm_entry("location", location));
    if (offset) wm_add(&t, 13, wm_entry("offset", offset));
    if (length) wm_add(&t, 13, wm_entry("length", length));
    wm_add(&t, 13, wm_entry("a_key_that_nobody_knows", "1"));
    wm_int(&t, 14, 1);
    return t;
}

static wire_msg external(const char *location, const char *offset, const char *length) {
    return external_named("w", location, offset, length);
}

static wire_msg plain_graph(void) {
    wire_msg g = {0};
    wm_add(&g, 11, wm_value("x"));
    wm_add(&g, 12, wm_value("y"));
    wm_text(&g, 2, "g");
    return g;
}

static wire_msg attribute(const char *name, uint32_t field, wire_msg value, int64_t kind) {
    wire_msg a = {0};
    wm_text(&a, 1, name);
    wm_add(&a, field, value);
    wm_int(&a, 20, kind);
    return a;
}

static wire_msg sparse(wire_msg values) {
    wire_msg s = {0}, i = wm_tensor("i", NIB_DTYPE_I64, 4, -1);
    int64_t numbers[4] = {0, 1, 2, 3};
    wm_bytes(&i, 9, numbers, sizeof numbers);
    wm_add(&s, 1, values);
    wm_add(&s, 2, i);
    wm_int(&s, 3, 8);
    return s;
}

enum { INITIALIZER, CONSTANT, SPARSE_INITIALIZER, SPARSE_CONSTANT, BODY, PLACES };

static void external_in(int place, wire_msg t) {
    wire_msg g = plain_graph(), node;
    if (place == INITIALIZER) wm_add(&g, 5, t);
    if (place == SPARSE_INITIALIZER) wm_add(&g, 15, sparse(t));
    if (place == CONSTANT || place == SPARSE_CONSTANT) {
        node = wm_node("Constant", "", "w");
        wm_add(&node, 5, place == CONSTANT ? attribute("value", 5, t, 4) : attribute("sparse_value", 22, sparse(t), 11));
        wm_add(&g, 1, node);
    }
    if (place == BODY) {
        wire_msg body = {0};
        wm_add(&body, 5, t);
        wm_add(&body, 1, wm_node("Identity", "w", "z"));
        wm_add(&body, 12, wm_value("z"));
        node = wm_node("If", "x", "y");
        wm_add(&node, 5, attribute("then_branch", 6, body, 5));
        wm_add(&g, 1, node);
    } else {
        wm_add(&g, 1, wm_node("Add", "x w", "y"));
    }
    put_model(g, 17);
}

static const struct {
    const char *location, *offset, *length;
    nib_status status; /* in every place */
    const char *says;
} externals[] = {
    {"../secret.bin", NULL, NULL, NIB_BAD_MODEL, "leaves the model's folder"},
    {"../../etc/passwd", NULL, NULL, NIB_BAD_MODEL, "leaves the model's folder"},
    {"sub/../../secret.bin", NULL, NULL, NIB_BAD_MODEL, "leaves the model's folder"},
    {"sub/../w.bin", NULL, NULL, NIB_BAD_MODEL, "leaves the model's folder"}, /* it would not, but no exporter writes it */
    {"/etc/passwd", NULL, NULL, NIB_BAD_MODEL, "must be relative"},
    {"link.bin", NULL, NULL, NIB_BAD_MODEL, "leads out of the model's folder"},
    {"out/secret.bin", NULL, NULL, NIB_BAD_MODEL, "leads out of the model's folder"},
    {"out/m/w.bin", NULL, NULL, NIB_OK, ""}, /* out and in again: what counts is where the file is */
    {"in.bin", NULL, NULL, NIB_OK, ""},
    {"hard.bin", NULL, NULL, NIB_OK, ""}, /* a hard link is no other file: deployments are made of them */
    {"loop", NULL, NULL, NIB_IO, "loop"},
    {"sub", NULL, NULL, NIB_IO, "is a folder"},
    {".", NULL, NULL, NIB_BAD_MODEL, "leads out of the model's folder"},
    {"fifo", NULL, NULL, NIB_IO, "is not a regular file"},
    {"nothing.bin", NULL, NULL, NIB_NOT_FOUND, "No such file"},
    {"w.bin/x", NULL, NULL, NIB_NOT_FOUND, "Not a directory"},
    {"", NULL, NULL, NIB_BAD_MODEL, "empty location"},
    {NULL, NULL, NULL, NIB_BAD_MODEL, "empty location"},
    {"w.bin", "1", NULL, NIB_BAD_MODEL, "at 1, 16 bytes long"},
    {"w.bin", "-1", NULL, NIB_BAD_MODEL, "offset '-1' is no size"},
    {"w.bin", NULL, "-1", NIB_BAD_MODEL, "length '-1' is no size"},
    {"w.bin", NULL, "1125899906842624", NIB_BAD_MODEL, "1125899906842624 bytes"},
    {"w.bin", "18446744073709551615", NULL, NIB_BAD_MODEL, "at 18446744073709551615"},
    {"w.bin", "18446744073709551616", NULL, NIB_BAD_MODEL, "is no size"},
    {"w.bin", "0", "16", NIB_OK, ""},
};

static nib_status open_in(nib_runtime *rt, const char *path, bool run, nib_error *err) {
    nib_model_options o;
    nib_model *m = NULL;
    nib_session *s = NULL;
    memset(err, 0, sizeof *err);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    alarm(SECONDS);
    nib_status status = nib_model_open(path, &o, &m, err);
    if (status == NIB_OK && run) status = nib_session_create(m, &s, err);
    if (status == NIB_OK && run) {
        float x[8] = {0};
        nib_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {4}, .data = x, .bytes = 16};
        for (size_t i = 0; i < nib_session_input_count(s); i++) nib_session_set_input(s, nib_session_input_name(s, i), &t, err);
        status = nib_session_run(s, err);
    }
    alarm(0);
    nib_session_free(s);
    nib_model_free(m);
    return status;
}

static nib_runtime *new_runtime(size_t memory, int private_reads) {
    nib_runtime_options o;
    nib_runtime *rt;
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    o.memory_limit = memory;
    o.private_reads = private_reads;
    assert_int_equal(nib_runtime_create(&o, &rt, NULL), NIB_OK);
    return rt;
}

static void external_data_stays_in_its_folder(void **state) {
    nib_error err;
    for (int private_reads = 0; private_reads < 2; private_reads++) {
        nib_runtime *rt = new_runtime(0, private_reads);
        for (int place = 0; place < PLACES; place++)
            for (size_t i = 0; i < BASE_COUNT(externals); i++) {
                furnish();
                external_in(place, external(externals[i].location, externals[i].offset, externals[i].length));
                nib_status want = externals[i].status, status = open_in(rt, at("m/model.onnx"), false, &err);
                bool body = place == BODY && want == NIB_OK; /* an If without an else branch is refused for that */
                if (!body && (status != want || !strstr(err.message, externals[i].says)))
                    fail_msg("place %d, %s: %s, \"%s\"", place, externals[i].location, nib_status_text(status), err.message);
                if (status != NIB_OK && strstr(err.message, "secretsecret")) fail_msg("a secret is told");
                remove_tree();
            }
        nib_runtime_free(rt);
    }
}

static void hugging_face_caches_open(void **state) { /* snapshots/COMMIT/file -> ../../blobs/HASH */
    nib_error err;
    nib_runtime *rt = new_runtime(0, 0);
    furnish();
    external_in(INITIALIZER, external("model.onnx_data", NULL, NULL));
    assert_int_equal(mkdir(at("blobs"), 0700) | mkdir(at("snapshots"), 0700) | mkdir(at("snapshots/c"), 0700), 0);
    assert_int_equal(rename(at("m/model.onnx"), at("blobs/aa")) | rename(at("m/w.bin"), at("blobs/bb")), 0);
    assert_int_equal(symlink("../../blobs/aa", at("snapshots/c/model.onnx")) | symlink("../../blobs/bb", at("snapshots/c/model.onnx_data")),
                     0);
    if (open_in(rt, at("snapshots/c/model.onnx"), false, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(unlink(at("snapshots/c/model.onnx_data")) | symlink("../../secret.bin", at("snapshots/c/model.onnx_data")), 0);
    assert_int_equal(open_in(rt, at("snapshots/c/model.onnx"), false, &err), NIB_BAD_MODEL);
    remove_tree();
    nib_runtime_free(rt);
}

static void a_file_cut_off_while_open_is_harmless_when_read_privately(void **state) {
    nib_error err;
    nib_runtime *rt = new_runtime(0, 1);
    nib_model_options o;
    nib_model *m;
    nib_session *s;
    float x[4] = {0};
    nib_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {4}, .data = x, .bytes = 16}, y;
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    furnish();
    external_in(INITIALIZER, external("w.bin", NULL, NULL));
    assert_int_equal(nib_model_open(at("m/model.onnx"), &o, &m, &err), NIB_OK);
    assert_int_equal(truncate(at("m/w.bin"), 0) | truncate(at("m/model.onnx"), 0), 0);
    assert_int_equal(nib_session_create(m, &s, &err) | nib_session_set_input(s, "x", &t, &err) | nib_session_run(s, &err), NIB_OK);
    assert_int_equal(nib_session_get_output(s, "y", &y, &err), NIB_OK);
    assert_memory_equal(y.data, "0123456789abcdef", 4); /* 0 + w */
    nib_session_free(s);
    nib_model_free(m);
    nib_runtime_free(rt);
    remove_tree();
}

/* ---- models that no exporter writes */

static wire_msg chain(const char *type, int n) {
    wire_msg g = plain_graph(), c = wm_tensor("v0", NIB_DTYPE_F32, 4, -1);
    char in[40], out[40];
    wm_bytes(&c, 9, (float[4]){1, 2, 3, 4}, 16);
    wm_add(&g, 5, c);
    for (int i = 0; i < n; i++) {
        snprintf(in, sizeof in, "v%d", i);
        snprintf(out, sizeof out, "v%d", i + 1);
        wm_add(&g, 1, wm_node(type, in, out));
    }
    snprintf(in, sizeof in, "x v%d", n);
    wm_add(&g, 1, wm_node("Add", in, "y"));
    return g;
}
static void many_constant_nodes(void) { put_model(chain("Neg", MANY), 17); }
static void many_identities(void) { put_model(chain("Identity", MANY), 17); }

static void many_uses(void) { /* one value read many times */
    wire_msg g = plain_graph();
    char out[40];
    for (int i = 0; i < MANY; i++) {
        snprintf(out, sizeof out, "v%d", i);
        wm_add(&g, 1, wm_node("Neg", "x", out));
    }
    wm_add(&g, 1, wm_node("Add", "x v7", "y"));
    put_model(g, 17);
}

static void doubling(void) { /* y = x + x, 62 times, of Concat: 2^62 elements from a kilobyte */
    wire_msg g = plain_graph();
    char in[40], out[40];
    for (int i = 0; i < 62; i++) {
        snprintf(in, sizeof in, i ? "v%d v%d" : "x x", i, i);
        snprintf(out, sizeof out, i == 61 ? "y" : "v%d", i + 1);
        wire_msg n = wm_node("Concat", in, out), axis = {0};
        wm_text(&axis, 1, "axis");
        wm_int(&axis, 3, 0);
        wm_int(&axis, 20, 2);
        wm_add(&n, 5, axis);
        wm_add(&g, 1, n);
    }
    put_model(g, 17);
}

static wire_msg integers(const char *name, const int64_t *v, int n) {
    wire_msg t = wm_tensor(name, NIB_DTYPE_I64, n, -1);
    wm_bytes(&t, 9, v, (size_t)n * 8);
    return t;
}

/* Op(x, constants), which makes more than there is */
static void grow_by(const char *type, const char *inputs, const int64_t *v, int n) {
    wire_msg g = {0}, y = {0};
    wm_add(&g, 11, wm_value("x"));
    wm_text(&y, 1, "y"); /* no type: nothing but the operator says what it is */
    wm_add(&g, 12, y);
    wm_text(&g, 2, "g");
    wm_add(&g, 5, integers("s", v, n));
    wm_add(&g, 1, wm_node(type, inputs, "y"));
    put_model(g, 17);
}
static void huge_constant_of_shape(void) { grow_by("ConstantOfShape", "s", (int64_t[]){17592186044800}, 1); }
static void wrapping_constant_of_shape(void) { grow_by("ConstantOfShape", "s", (int64_t[]){4294967296, 4294967296, 4294967296, 1}, 4); }
static void wrapping_expand(void) { grow_by("Expand", "x s", (int64_t[]){4611686018427387904, 4, 1}, 3); }
static void huge_tile(void) { grow_by("Tile", "x s", (int64_t[]){4611686018427387904}, 1); }
static void negative_shape(void) { grow_by("ConstantOfShape", "s", (int64_t[]){-5}, 1); }
static void reshape_to_more(void) { grow_by("Reshape", "x s", (int64_t[]){1000, -1}, 2); }

static void nested_groups(void) {
    wire_msg m = {0};
    for (int i = 0; i < 100000; i++) wm_varint(&m, 19u << 3 | 3);
    put("m/model.onnx", m.data, m.size);
    free(m.data);
}

static void node_without_inputs(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("Add", "", "y"));
    put_model(g, 17);
}
static void output_never_defined(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("Relu", "x", "z"));
    put_model(g, 17);
}
static void gemm_of_vectors(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("Gemm", "x x x", "y"));
    put_model(g, 17);
}
static void onehot_of_rank_2(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("OneHot", "x x x", "y"));
    put_model(g, 17);
}
static void unknown_operator(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("Frobnicate", "x", "y"));
    put_model(g, 17);
}
static void nib_operator(void) {
    wire_msg g = plain_graph(), n = wm_node("Norm", "x", "y");
    wm_text(&n, 7, "nib");
    wm_add(&g, 1, n);
    put_model(g, 17);
}
static void cycle(void) {
    wire_msg g = plain_graph();
    wm_add(&g, 1, wm_node("Add", "x b", "a"));
    wm_add(&g, 1, wm_node("Add", "a a", "b"));
    wm_add(&g, 1, wm_node("Add", "a b", "y"));
    put_model(g, 17);
}

static void tensor_of(nib_dtype dtype, int64_t rows, int64_t columns, size_t bytes) {
    wire_msg g = plain_graph(), t = wm_tensor("w", dtype, rows, columns);
    uint8_t data[64] = {0};
    wm_bytes(&t, 9, data, bytes);
    wm_add(&g, 5, t);
    wm_add(&g, 1, wm_node("Add", "x w", "y"));
    put_model(g, 17);
}
static void fewer_bytes_than_dims(void) { tensor_of(NIB_DTYPE_F32, 4, -1, 12); }
static void more_bytes_than_dims(void) { tensor_of(NIB_DTYPE_F32, 4, -1, 20); }
static void packed_fours(void) { tensor_of(NIB_DTYPE_I4, 5, -1, 2); } /* five halves of a byte need three */
static void dims_that_wrap(void) { tensor_of(NIB_DTYPE_F32, 4294967296, 4294967296, 0); }
static void negative_dim(void) { tensor_of(NIB_DTYPE_F32, -4, -1, 16); }
static void huge_dim(void) { tensor_of(NIB_DTYPE_U8, 17592186044800, -1, 16); }

static void huge_rank(void) {
    wire_msg g = plain_graph(), t = wm_tensor("w", NIB_DTYPE_F32, 1, -1);
    for (int i = 0; i < 100000; i++) wm_int(&t, 1, 1);
    wm_add(&g, 5, t);
    wm_add(&g, 1, wm_node("Add", "x w", "y"));
    put_model(g, 17);
}

/* Functions f0 .. f(n-1), each two calls of the next; the last calls `end`. */
static void functions(int n, const char *end, bool through_if) {
    wire_msg g = plain_graph(), m;
    char name[40], next[40];
    wire_msg call = wm_node("f0", "x", "y");
    wm_text(&call, 7, "local");
    wm_add(&g, 1, call);
    m = wm_model(g, 17);
    wire_msg import = {0};
    wm_text(&import, 1, "local");
    wm_int(&import, 2, 1);
    wm_add(&m, 8, import);
    for (int i = 0; i < n; i++) {
        wire_msg f = {0}, opset = {0};
        snprintf(name, sizeof name, "f%d", i);
        snprintf(next, sizeof next, "f%d", i + 1);
        bool last = i == n - 1;
        wm_text(&f, 1, name);
        wm_text(&f, 4, "a");
        wm_text(&f, 5, "b");
        for (int k = 0; k < 2; k++) {
            wire_msg node = wm_node(last ? end : next, k ? "c" : "a", k ? "b" : "c");
            if (!last || end[0] == 'f') wm_text(&node, 7, "local");
            if (through_if) {
                wire_msg body = {0}, branch = wm_node("If", k ? "c" : "a", k ? "b" : "c");
                wire_msg inner = wm_node(last ? end : next, k ? "c" : "a", "r");
                wm_text(&inner, 7, "local");
                wm_add(&body, 1, inner);
                wm_add(&body, 12, wm_value("r"));
                wm_add(&branch, 5, attribute("then_branch", 6, body, 5));
                free(node.data);
                node = branch;
            }
            wm_add(&f, 7, node);
        }
        wm_int(&opset, 2, 17);
        wm_add(&f, 9, opset);
        wm_text(&f, 10, "local");
        wm_add(&m, 25, f);
    }
    put("m/model.onnx", m.data, m.size);
    free(m.data);
}
static void function_calls_itself(void) { functions(1, "f0", false); }
static void functions_call_each_other(void) { functions(3, "f0", false); }
static void function_calls_itself_through_if(void) { functions(1, "f0", true); }
static void billion_laughs(void) { functions(31, "Neg", false); } /* 2^31 nodes from 3 KB */

static void bodies(int depth) {
    wire_msg g = {0};
    wm_add(&g, 1, wm_node("Identity", "x", "r"));
    wm_add(&g, 12, wm_value("r"));
    for (int i = 0; i < depth; i++) {
        wire_msg outer = {0}, node = wm_node("If", "x", "r");
        wire_msg other = {0};
        wm_add(&other, 1, wm_node("Identity", "x", "q"));
        wm_add(&other, 12, wm_value("q"));
        wm_add(&node, 5, attribute("then_branch", 6, g, 5));
        wm_add(&node, 5, attribute("else_branch", 6, other, 5));
        wm_add(&outer, 1, node);
        wm_add(&outer, 12, wm_value("r"));
        g = outer;
    }
    wm_add(&g, 11, wm_value("x"));
    put_model(g, 17);
}
static void bodies_33_deep(void) { bodies(33); }
static void bodies_1000_deep(void) { bodies(1000); }

static void bodies_4_deep(void) { bodies(4); }

static void external_twice(void) {
    wire_msg g = plain_graph(), t = external("w.bin", NULL, NULL), u = external_named("u", "hard.bin", NULL, NULL);
    wm_add(&g, 5, t);
    wm_add(&g, 5, u);
    wm_add(&g, 1, wm_node("Add", "w u", "y"));
    put_model(g, 17);
}

static void sparse_of_8(void) {
    wire_msg g = plain_graph(), v = wm_tensor("w", NIB_DTYPE_F32, 4, -1);
    wm_bytes(&v, 9, (float[4]){1, 2, 3, 4}, 16);
    wm_add(&g, 15, sparse(v));
    wm_add(&g, 1, wm_node("Identity", "w", "y"));
    put_model(g, 17);
}

static void many_large_constants(void) { /* 300 outputs of 400 KB, each from a few bytes */
    wire_msg g = {0};
    char from[40], name[40];
    wm_text(&g, 2, "g");
    wm_add(&g, 5, integers("s", (int64_t[]){100000}, 1));
    wm_add(&g, 1, wm_node("ConstantOfShape", "s", "c0"));
    for (int i = 0; i < 300; i++) {
        wire_msg y = {0};
        snprintf(from, sizeof from, "c%d", i);
        snprintf(name, sizeof name, "c%d", i + 1);
        wm_add(&g, 1, wm_node("Exp", from, name));
        wm_text(&y, 1, name);
        wm_add(&g, 12, y);
    }
    put_model(g, 17);
}

static void empty_file(void) { put("m/model.onnx", "", 0); }
static void zeros(void) {
    static const uint8_t z[100000];
    put("m/model.onnx", z, sizeof z);
}
static void text_file(void) { put_text("m/model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 90405214\n"); }
static void a_folder(void) { assert_int_equal(mkdir(at("m/model.onnx"), 0700), 0); }
static void a_fifo(void) { assert_int_equal(mkfifo(at("m/model.onnx"), 0600), 0); }
static void a_device(void) { assert_int_equal(symlink("/dev/zero", at("m/model.onnx")), 0); }

/* ---- safetensors and the small files of a folder */

/* A description without a fault, since weights are read after it. */
static const char config_whole[] = "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,"
                                   "\"intermediate_size\":8,\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}";

static void folder_with(uint64_t length, const char *header, size_t data) {
    char file[4000] = {0};
    for (int i = 0; i < 8; i++) file[i] = (char)(length >> 8 * i);
    size_t n = strlen(header);
    memcpy(file + 8, header, n);
    put("m/model.safetensors", file, 8 + n + data);
    put_text("m/config.json", config_whole);
}
static void header_of(const char *header, size_t data) { folder_with(strlen(header), header, data); }

static void st_header_near_2_64(void) { folder_with(UINT64_MAX - 7, "{}", 0); }
static void st_header_longer_than_file(void) { folder_with(100, "{}", 0); }
static void st_wraps_to_0(void) { header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0); }
static void st_begin_after_end(void) { header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[8,4]}}", 8); }
static void st_span_is_not_shape(void) { header_of("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,8]}}", 16); }
static void st_beyond_the_end(void) { header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[40],\"data_offsets\":[0,40]}}", 8); }
static void st_overlap(void) {
    header_of(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 8);
}
static void st_twice(void) {
    header_of(
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", 8);
}
static void st_negative(void) { header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,8]}}", 8); }
static void st_fraction(void) { header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1e3],\"data_offsets\":[0,8]}}", 8); }
static void st_array(void) { header_of("[]", 8); }
static void st_rank_17(void) {
    header_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
}
static void st_no_weights(void) { header_of("{}", 0); }
static void index_that_leaves(void) {
    put_text("m/config.json", config_whole);
    put_text("m/model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../secret.bin\"}}");
}
static void index_of_a_fifo(void) {
    put_text("m/config.json", config_whole);
    put_text("m/model.safetensors.index.json", "{\"weight_map\": {\"a\": \"fifo\"}}");
}
static void config_with(const char *config) {
    header_of("{\"embeddings.word_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[1,4],\"data_offsets\":[0,16]}}", 16);
    put_text("m/config.json", config);
}
static void config_deep(void) {
    char text[2001];
    memset(text, '[', 2000);
    text[2000] = 0;
    config_with(text);
}
static void config_cut(void) { config_with("{\"model_type\": \"be"); }
static void config_empty(void) { config_with(""); }
static void config_unknown(void) { config_with("{\"model_type\": \"\\u001b[2J\\n\\ud83d\\ude00\"}"); }
static void config_huge_layers(void) {
    config_with("{\"model_type\":\"bert\",\"num_hidden_layers\":9223372036854775807,\"hidden_size\":4,\"num_attention_heads\":1,"
                "\"intermediate_size\":4,\"vocab_size\":1,\"max_position_embeddings\":1,\"type_vocab_size\":1}");
}
static void config_no_heads(void) {
    config_with("{\"model_type\":\"bert\",\"num_hidden_layers\":1,\"hidden_size\":4,\"num_attention_heads\":0,\"intermediate_size\":4,"
                "\"vocab_size\":1,\"max_position_embeddings\":1,\"type_vocab_size\":1}");
}

static void compiled_cut(void) { put("m/model.onnx", "\x89NIB\r\n\x1a\n", 8); }
static void compiled_zeros(void) {
    static char file[4096] = "\x89NIB\r\n\x1a\n";
    put("m/model.onnx", file, sizeof file);
}
static void size_of_nibs_own(void) {
    wire_msg g = {0}, v = {0}, type = {0}, tensor = {0}, shape = {0}, d = {0};
    wm_text(&d, 2, "nib_tokens");
    wm_add(&shape, 1, d);
    wm_int(&tensor, 1, 1);
    wm_add(&tensor, 2, shape);
    wm_add(&type, 1, tensor);
    wm_text(&v, 1, "x");
    wm_add(&v, 2, type);
    wm_add(&g, 11, v);
    wm_add(&g, 12, wm_value("y"));
    wm_text(&g, 2, "g");
    wm_add(&g, 1, wm_node("Relu", "x", "y"));
    put_model(g, 17);
}

static const struct row {
    const char *name;
    void (*make)(void);
    const char *path; /* in the root; NULL: m/model.onnx */
    nib_status open;  /* what opening answers */
    const char *says;
    nib_status run; /* if it opens: what running it answers; NIB_INTERNAL: not run */
} rows[] = {
    {"empty file", empty_file, NULL, NIB_BAD_MODEL, "looks like this: empty", NIB_INTERNAL},
    {"100 KB of zeros", zeros, NULL, NIB_BAD_MODEL, "is no model", NIB_INTERNAL},
    {"a pointer of Git LFS", text_file, NULL, NIB_BAD_MODEL, "", NIB_INTERNAL},
    {"a folder as model.onnx", a_folder, NULL, NIB_NOT_FOUND, "holds no model", NIB_INTERNAL},
    {"a FIFO", a_fifo, NULL, NIB_IO, "is not a regular file", NIB_INTERNAL},
    {"/dev/zero", a_device, NULL, NIB_IO, "is not a regular file", NIB_INTERNAL},
    {"no such file", empty_file, "m/nothing.onnx", NIB_NOT_FOUND, "No such file", NIB_INTERNAL},
    {"nested protobuf groups", nested_groups, NULL, NIB_BAD_MODEL, "groups are nested too deep", NIB_INTERNAL},
    {"node without inputs", node_without_inputs, NULL, NIB_BAD_MODEL, "Add", NIB_INTERNAL},
    {"graph output never defined", output_never_defined, NULL, NIB_BAD_MODEL, "y", NIB_INTERNAL},
    {"Gemm of rank 1", gemm_of_vectors, NULL, NIB_SHAPE, "Gemm", NIB_INTERNAL},
    {"OneHot of wrong ranks", onehot_of_rank_2, NULL, NIB_OK, "", NIB_SHAPE}, /* of another rank than is declared, which is left out */
    {"nib's own operators", nib_operator, NULL, NIB_UNSUPPORTED, "made by nib", NIB_INTERNAL},
    {"a size of nib's own name", size_of_nibs_own, NULL, NIB_BAD_MODEL, "which is nib's own", NIB_INTERNAL},
    {"a compiled file cut after its first bytes", compiled_cut, NULL, NIB_BAD_MODEL, "ends within its head", NIB_INTERNAL},
    {"a compiled file of zeros", compiled_zeros, NULL, NIB_BAD_MODEL, "head of the compiled file is broken", NIB_INTERNAL},
    {"unknown operator", unknown_operator, NULL, NIB_OK, "", NIB_UNSUPPORTED},
    {"cycle", cycle, NULL, NIB_BAD_MODEL, "b", NIB_INTERNAL},
    {"raw_data shorter than dims", fewer_bytes_than_dims, NULL, NIB_BAD_MODEL, "12 bytes of raw data; shape and type need 16",
     NIB_INTERNAL},
    {"raw_data longer than dims", more_bytes_than_dims, NULL, NIB_BAD_MODEL, "20 bytes of raw data; shape and type need 16", NIB_INTERNAL},
    {"int4 packed too short", packed_fours, NULL, NIB_BAD_MODEL, "2 bytes of raw data; shape and type need 3", NIB_INTERNAL},
    {"dims whose product wraps to 0", dims_that_wrap, NULL, NIB_BAD_MODEL, "more elements than memory has bytes", NIB_INTERNAL},
    {"negative dim", negative_dim, NULL, NIB_BAD_MODEL, "dimension -4", NIB_INTERNAL},
    {"dim 17592186044800", huge_dim, NULL, NIB_BAD_MODEL, "16 bytes of raw data", NIB_INTERNAL},
    {"rank 100001", huge_rank, NULL, NIB_LIMIT, "rank 100001", NIB_INTERNAL},
    {"ConstantOfShape of 64 TB", huge_constant_of_shape, NULL, NIB_OK, "", NIB_OUT_OF_MEMORY},
    {"ConstantOfShape that wraps", wrapping_constant_of_shape, NULL, NIB_OK, "", NIB_LIMIT},
    {"ConstantOfShape of -5", negative_shape, NULL, NIB_SHAPE, "", NIB_SHAPE},
    {"Expand that wraps", wrapping_expand, NULL, NIB_OK, "", NIB_LIMIT},
    {"Tile by 2^62", huge_tile, NULL, NIB_OK, "", NIB_SHAPE},
    {"Reshape to more elements", reshape_to_more, NULL, NIB_OK, "", NIB_SHAPE},
    {"Concat doubled 62 times", doubling, NULL, NIB_OK, "", NIB_OUT_OF_MEMORY},
    {"function that calls itself", function_calls_itself, NULL, NIB_BAD_MODEL, "calls itself", NIB_INTERNAL},
    {"functions that call each other", functions_call_each_other, NULL, NIB_BAD_MODEL, "calls itself", NIB_INTERNAL},
    {"function that calls itself in an If", function_calls_itself_through_if, NULL, NIB_BAD_MODEL, "calls itself", NIB_INTERNAL},
    {"billion laughs of functions", billion_laughs, NULL, NIB_LIMIT, "grow too large", NIB_INTERNAL},
    {"bodies 33 deep", bodies_33_deep, NULL, NIB_LIMIT, "nested", NIB_INTERNAL},
    {"bodies 1000 deep", bodies_1000_deep, NULL, NIB_LIMIT, "", NIB_INTERNAL},
    {"many constant nodes", many_constant_nodes, NULL, NIB_OK, "", NIB_OK},
    {"many identities", many_identities, NULL, NIB_OK, "", NIB_OK},
    {"many uses of one value", many_uses, NULL, NIB_OK, "", NIB_OK},
    {"safetensors: header of 2^64 - 8 bytes", st_header_near_2_64, "m", NIB_BAD_MODEL, "a header of", NIB_INTERNAL},
    {"safetensors: header longer than the file", st_header_longer_than_file, "m", NIB_BAD_MODEL, "a header of 100 bytes", NIB_INTERNAL},
    {"safetensors: product wraps to 0", st_wraps_to_0, "m", NIB_BAD_MODEL, "more elements than memory has bytes", NIB_INTERNAL},
    {"safetensors: begin after end", st_begin_after_end, "m", NIB_BAD_MODEL, "lies at [8, 4)", NIB_INTERNAL},
    {"safetensors: span is not the shape's", st_span_is_not_shape, "m", NIB_BAD_MODEL, "8 bytes; shape and type need 16", NIB_INTERNAL},
    {"safetensors: beyond the end", st_beyond_the_end, "m", NIB_BAD_MODEL, "lies at [0, 40) of 8", NIB_INTERNAL},
    {"safetensors: overlap", st_overlap, "m", NIB_BAD_MODEL, "a and b overlap", NIB_INTERNAL},
    {"safetensors: a name twice", st_twice, "m", NIB_BAD_MODEL, "twice", NIB_INTERNAL},
    {"safetensors: negative dimension", st_negative, "m", NIB_BAD_MODEL, "is no size", NIB_INTERNAL},
    {"safetensors: dimension 1e3", st_fraction, "m", NIB_BAD_MODEL, "is no size", NIB_INTERNAL},
    {"safetensors: header is an array", st_array, "m", NIB_BAD_MODEL, "no JSON object", NIB_INTERNAL},
    {"safetensors: rank 17", st_rank_17, "m", NIB_LIMIT, "rank 17", NIB_INTERNAL},
    {"safetensors: no weights", st_no_weights, "m", NIB_BAD_MODEL, "", NIB_INTERNAL},
    {"index: shard outside", index_that_leaves, "m", NIB_BAD_MODEL, "leaves the model's folder", NIB_INTERNAL},
    {"index: shard is a FIFO", index_of_a_fifo, "m", NIB_IO, "is not a regular file", NIB_INTERNAL},
    {"config.json 2000 deep", config_deep, "m", NIB_LIMIT, "nested deeper than 64", NIB_INTERNAL},
    {"config.json cut off", config_cut, "m", NIB_BAD_MODEL, "config.json", NIB_INTERNAL},
    {"config.json empty", config_empty, "m", NIB_BAD_MODEL, "the file is empty", NIB_INTERNAL},
    {"config.json: control characters", config_unknown, "m", NIB_UNSUPPORTED, "model_type", NIB_INTERNAL},
    {"config.json: 2^63 layers", config_huge_layers, "m", NIB_BAD_MODEL, "", NIB_INTERNAL},
    {"config.json: no heads", config_no_heads, "m", NIB_BAD_MODEL, "heads", NIB_INTERNAL},
};

static void each_answers_what_it_must(void **state) {
    int wrong = 0;
    for (int private_reads = 0; private_reads < 2; private_reads++) {
        nib_runtime *rt = new_runtime((size_t)1 << 30, private_reads);
        nib_memory before, after;
        nib_runtime_memory(rt, &before, sizeof before);
        for (size_t i = 0; i < BASE_COUNT(rows); i++) {
            const struct row *r = &rows[i];
            nib_error err;
            furnish();
            r->make();
            const char *path = at(r->path ? r->path : r->make == a_folder ? "m" : "m/model.onnx");
            nib_status status = open_in(rt, path, false, &err);
            bool good = status == r->open && (status == NIB_OK || strstr(err.message, r->says));
            for (const char *p = err.message; *p; p++) good = good && (unsigned char)*p >= 0x20;
            if (good && status == NIB_OK && r->run != NIB_INTERNAL) good = (status = open_in(rt, path, true, &err)) == r->run;
            if (!good) wrong++, print_message("%s: %s, \"%s\"\n", r->name, nib_status_text(status), status == NIB_OK ? "" : err.message);
            remove_tree();
        }
        nib_runtime_memory(rt, &after, sizeof after);
        assert_int_equal(after.current, before.current);
        nib_runtime_free(rt);
    }
    assert_int_equal(wrong, 0);
}

/* Each limit, lowered until a file that opened is too much; raised, it opens what the default refuses. */
static void limits_are_options(void **state) {
    static const struct {
        nib_limits limits;
        void (*make)(void);
        nib_status status;
        const char *says;
    } cases[] = {
        {{.graph_depth = 4}, bodies_4_deep, NIB_OK, ""},
        {{.graph_depth = 3}, bodies_4_deep, NIB_LIMIT, "deeper than 3"},
        {{.graph_depth = 40}, bodies_33_deep, NIB_LIMIT, "more than 100 deep"},
        {{.graph_depth = 32, .wire_nesting = 200}, bodies_33_deep, NIB_LIMIT, "deeper than 32"},
        {{.graph_depth = 40, .wire_nesting = 200}, bodies_33_deep, NIB_OK, ""},
        {{.graph_depth = 1000000, .wire_nesting = 1000000}, bodies_1000_deep, NIB_LIMIT, "more than 200 deep"},
        {{.wire_nesting = 3}, bodies_4_deep, NIB_LIMIT, "more than 3 deep"},
        {{.expand_bytes = 1000}, billion_laughs, NIB_LIMIT, "grow too large"},
        {{.files = 1}, external_twice, NIB_LIMIT, "more than 1 files"},
        {{.files = 2}, external_twice, NIB_OK, ""},
        {{.expand_bytes = 31}, sparse_of_8, NIB_LIMIT, "the limit is 31"},
        {{.expand_bytes = 32}, sparse_of_8, NIB_OK, ""},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        nib_runtime_options o;
        nib_runtime *rt;
        nib_error err;
        nib_runtime_defaults(&o, sizeof o);
        o.threads = 1;
        nib_limits limits = cases[i].limits;
        limits.size = sizeof limits;
        o.limits = &limits;
        assert_int_equal(nib_runtime_create(&o, &rt, NULL), NIB_OK);
        furnish();
        cases[i].make();
        nib_status status = open_in(rt, at("m/model.onnx"), false, &err);
        if (status != cases[i].status || (status != NIB_OK && !strstr(err.message, cases[i].says)))
            fail_msg("case %zu: %s, \"%s\"", i, nib_status_text(status), err.message);
        remove_tree();
        nib_runtime_free(rt);
    }
}

/* 300 nodes that each may be folded: what is kept of them is bounded together. */
static void folding_has_one_budget(void **state) {
    nib_runtime_options o;
    nib_runtime *rt;
    nib_error err;
    nib_model_options how;
    nib_model *m;
    nib_session *s;
    nib_memory memory;
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    o.limits = &(nib_limits){.size = sizeof(nib_limits), .fold_bytes = 1 << 20};
    assert_int_equal(nib_runtime_create(&o, &rt, NULL), NIB_OK);
    furnish();
    many_large_constants();
    nib_model_defaults(&how, sizeof how);
    how.runtime = rt;
    assert_int_equal(nib_model_open(at("m/model.onnx"), &how, &m, &err), NIB_OK);
    assert_int_equal(nib_session_create(m, &s, &err), NIB_OK);
    nib_runtime_memory(rt, &memory, sizeof memory);
    if (memory.current > (size_t)8 << 20) fail_msg("%zu bytes are held", memory.current);
    nib_session_free(s);
    nib_model_free(m);
    remove_tree();
    nib_runtime_free(rt);
}

static int set_up(void **state) { return mkdtemp(root) ? 0 : -1; }
static int tear_down(void **state) {
    remove_tree();
    return rmdir(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(external_data_stays_in_its_folder),
        cmocka_unit_test(hugging_face_caches_open),
        cmocka_unit_test(a_file_cut_off_while_open_is_harmless_when_read_privately),
        cmocka_unit_test(each_answers_what_it_must),
        cmocka_unit_test(limits_are_options),
        cmocka_unit_test(folding_has_one_budget),
    };
    return cmocka_run_group_tests_name("hostile", tests, set_up, tear_down);
}
