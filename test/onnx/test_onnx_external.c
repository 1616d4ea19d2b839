/* SPDX-License-Identifier: Apache-2.0
 *
 * External data: what may be read, and every way out of the folder, in initializers and in attributes alike.
 */
#include "onnx_test.h"
#include "wire_writer.h"
#include <sys/stat.h>
#include <unistd.h>

static char root[64]; /* root/secret.bin, root/model/{model.onnx,w.bin,...} */

static void write_file(const char *name, const void *bytes, size_t n) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static int make_folder(void **state) {
    char path[200], target[200];
    float data[16];
    for (int i = 0; i < 16; i++) data[i] = (float)i;
    strcpy(root, "/tmp/nib-external-XXXXXX");
    if (!mkdtemp(root)) return -1;
    snprintf(path, sizeof path, "%s/model", root);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/model/sub", root);
    mkdir(path, 0755);
    write_file("secret.bin", data, sizeof data);
    write_file("model/w.bin", data, sizeof data);
    write_file("model/sub/w.bin", data, sizeof data);
    snprintf(target, sizeof target, "%s/secret.bin", root);
    snprintf(path, sizeof path, "%s/model/link.bin", root);
    if (symlink(target, path)) return -1;
    snprintf(path, sizeof path, "%s/model/out", root);
    if (symlink("..", path)) return -1;
    return test_runtime_setup(state);
}

static int remove_folder(void **state) {
    static const char *const names[] = {
        "model/link.bin", "model/out", "model/w.bin", "model/sub/w.bin", "model/sub", "model/model.onnx", "model", "secret.bin", ""};
    char path[200];
    for (size_t i = 0; i < BASE_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", root, names[i]);
        remove(path);
    }
    return test_runtime_teardown(state);
}

static wire_msg external_tensor(const char *location, const char *offset, const char *length) {
    wire_msg t = wm_tensor("w", 1, 4, -1);
    wm_int(&t, 14, 1);
    if (location) wm_add(&t, 13, wm_entry("location", location));
    if (offset) wm_add(&t, 13, wm_entry("offset", offset));
    if (length) wm_add(&t, 13, wm_entry("length", length));
    wm_add(&t, 13, wm_entry("checksum", "unknown keys mean nothing"));
    return t;
}

/* The tensor as an initializer, or as the value of a Constant, as an attribute, or inside a subgraph. */
static nib_status load_in(nib_runtime *r, int place, wire_msg tensor, graph **out, nib_error *err) {
    wire_msg g = {0}, m, attr = {0}, node;
    char path[200];
    wm_add(&g, 11, wm_value("x"));
    wm_add(&g, 12, wm_value("y"));
    if (place == 0) {
        wm_add(&g, 5, tensor);
        wm_add(&g, 1, wm_node("Add", "x w", "y"));
    } else if (place == 3) {
        wire_msg body = {0};
        wm_add(&body, 5, tensor);
        wm_add(&body, 1, wm_node("Add", "x w", "z"));
        wm_add(&body, 12, wm_value("z"));
        node = wm_node("If", "x", "y");
        wm_text(&attr, 1, "then_branch");
        wm_add(&attr, 6, body);
        wm_int(&attr, 20, 5);
        wm_add(&node, 5, attr);
        wm_add(&g, 1, node);
    } else {
        node = wm_node(place == 1 ? "Constant" : "ConstantOfShape", place == 1 ? "" : "x", "c");
        wm_text(&attr, 1, "value");
        wm_add(&attr, 5, tensor);
        wm_int(&attr, 20, 4);
        wm_add(&node, 5, attr);
        wm_add(&g, 1, node);
        wm_add(&g, 1, wm_node("Add", "x c", "y"));
    }
    m = wm_model(g, 17);
    write_file("model/model.onnx", m.data, m.size);
    free(m.data);
    snprintf(path, sizeof path, "%s/model/model.onnx", root);
    return onnx_load(r, path, out, err);
}

static void reads_and_refuses(void **state) {
    static const char huge[] = "18446744073709551616";
    char absolute[200];
    snprintf(absolute, sizeof absolute, "%s/model/w.bin", root);
    const struct {
        const char *location, *offset, *length;
        bool good;
    } cases[] = {
        {"w.bin", NULL, NULL, true},
        {"w.bin", "16", "16", true},
        {"w.bin", "48", NULL, true},
        {"sub/w.bin", "4", "16", true},
        {"w.bin", "1", "16", true} /* misaligned */,
        {"w.bin", "49", NULL, false},
        {"w.bin", "64", "16", false},
        {"w.bin", "65", NULL, false},
        {"w.bin", "-1", NULL, false},
        {"w.bin", NULL, "-1", false},
        {"w.bin", huge, NULL, false},
        {"w.bin", "18446744073709551608", NULL, false},
        {"w.bin", NULL, "15", false},
        {"w.bin", NULL, huge, false},
        {"w.bin", " 16", NULL, false},
        {"w.bin", "0x10", NULL, false},
        {"w.bin", "", NULL, false},
        {"../secret.bin", NULL, NULL, false},
        {"sub/../../secret.bin", NULL, NULL, false},
        {absolute, NULL, NULL, false},
        {"link.bin", NULL, NULL, false},
        {"out/secret.bin", NULL, NULL, false},
        {"nothing.bin", NULL, NULL, false},
        {"", NULL, NULL, false},
        {NULL, NULL, NULL, false},
        {"sub", NULL, NULL, false},
        {"/etc/passwd", NULL, NULL, false},
        {".", NULL, NULL, false},
    };
    nib_runtime *r = *state;
    for (int place = 0; place < 4; place++) {
        for (size_t i = 0; i < BASE_COUNT(cases); i++) {
            graph *g;
            nib_error err = {0};
            size_t before = r->heap.current;
            nib_status status = load_in(r, place, external_tensor(cases[i].location, cases[i].offset, cases[i].length), &g, &err);
            if ((status == NIB_OK) != cases[i].good) fail_msg("place %d, case %zu: %d %s", place, i, status, err.message);
            if (status == NIB_OK && place == 0) {
                float first;
                memcpy(&first, graph_find_value(g, "w")->constant->data, sizeof first);
                if (!cases[i].offset) assert_true(first == 0.0f);
                if (cases[i].offset && strcmp(cases[i].offset, "48") == 0) assert_true(first == 12.0f);
            }
            graph_free(g);
            assert_int_equal(r->heap.current, before);
        }
    }
}

static void tensors_share_one_mapping(void **state) {
    graph *g;
    assert_loads(*state, test_path("bert-tiny.dynamo.eager.onnx"), &g);
    assert_int_equal(g->n_files, 2); /* the model and its data */
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_refuses),
        cmocka_unit_test(tensors_share_one_mapping),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
