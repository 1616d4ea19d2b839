/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs with an initializer: a caller may leave them or give another value, in a session, in an optimized file and in a compiled one.
 * Before IR 4 they are constants.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "rewrite/rewrite.h"

static nib_runtime *runtime;
static char source[300], result[300];

static int setup(void **state) {
    nib_runtime_options options = {.size = sizeof options, .threads = 1};
    nib_error err;
    const char *folder = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    (void)state;
    snprintf(source, sizeof source, "%s/nib-presets-%d.onnx", folder, (int)getpid());
    snprintf(result, sizeof result, "%s/nib-presets-%d.out", folder, (int)getpid());
    return base_runtime_create(&options, &runtime, &err) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    unlink(source);
    unlink(result);
    base_runtime_release(runtime);
    return 0;
}

/* The input with a preset stands in front of the one that must be given; its product with a constant could be folded. */
#define MODEL(ir)                                                                                                                          \
    "<ir_version: " #ir ", opset_import: [\"\" : 17]> g (float[4] scale = {1, 2, 3, 4}, float[n,4] x) => (float[n,4] y) "                  \
    "<float two = {2}> { s = Mul (scale, two) y = Mul (x, s) }"

static void write_source(const char *text) {
    nib_error err = {0};
    graph *g = NULL;
    if (graph_parse(&runtime->heap, text, strlen(text), &g, &err) != NIB_OK) fail_msg("%s", err.message);
    if (onnx_save(runtime, g, source, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    graph_free(g);
}

/* Element 0 and 3 of y for x = 1, with the preset, or with 10 in its place. */
static void check_run(const char *path, bool given, float first, float last) {
    static float x[4] = {1, 1, 1, 1}, scale[4] = {10, 10, 10, 10};
    nib_model_options o;
    nib_model *model = NULL;
    nib_session *s = NULL;
    nib_error err = {0};
    nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {1, 4}, .data = x, .bytes = sizeof x}, y;
    nib_tensor other = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {4}, .data = scale, .bytes = sizeof scale};
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    if (nib_model_open(path, &o, &model, &err) != NIB_OK || nib_session_create(model, &s, &err) != NIB_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < nib_session_input_count(s); i++) {
        nib_value_info info;
        assert_int_equal(nib_session_input_info(s, i, &info, sizeof info), NIB_OK);
        assert_int_equal(info.optional, strcmp(nib_session_input_name(s, i), "scale") == 0);
    }
    assert_int_equal(nib_session_set_input(s, "x", &in, &err), NIB_OK);
    if (given) assert_int_equal(nib_session_set_input(s, "scale", &other, &err), NIB_OK);
    if (nib_session_run(s, &err) != NIB_OK || nib_session_get_output(s, "y", &y, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_true(((float *)y.data)[0] == first && ((float *)y.data)[3] == last);
    nib_session_free(s);
    nib_model_free(model);
}

static void a_session_may_leave_or_give_them(void **state) {
    (void)state;
    write_source(MODEL(8));
    check_run(source, false, 2, 8);
    check_run(source, true, 20, 20);
}

static void a_written_file_has_them(void **state) {
    nib_error err = {0};
    (void)state;
    for (int level = 0; level <= 2; level++) {
        nib_optimize_options o;
        graph *g;
        write_source(MODEL(8));
        nib_optimize_defaults(&o, sizeof o);
        o.runtime = runtime;
        o.level = level;
        o.external_over = level == 2 ? 0 : -1;
        if (nib_optimize_file(source, result, &o, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
        check_run(result, false, 2, 8);
        check_run(result, true, 20, 20);
        if (onnx_load(runtime, result, &g, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(g->n_inputs, 2);
        assert_int_equal(graph_required_inputs(g), 1);
        graph_free(g);
    }
}

/* A shape that the file's own value does not have would make a file that nobody opens. */
static void a_shape_must_fit_them(void **state) {
    nib_error err = {0};
    nib_optimize_options o;
    const char *shape = "x=2x5";
    (void)state;
    graph *g = NULL;
    if (graph_parse(&runtime->heap, MODEL(8), strlen(MODEL(8)), &g, &err) != NIB_OK) fail_msg("%s", err.message);
    g->inputs[0]->type.dims[1] = g->inputs[1]->type.dims[0] = graph_dim_symbol(g->symbols, graph_intern(g, "k", 1));
    if (onnx_save(runtime, g, source, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    graph_free(g);
    nib_optimize_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.shapes = &shape;
    o.shape_count = 1;
    assert_int_equal(nib_optimize_file(source, result, &o, NULL, &err), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "input scale has a value in the model"));
}

static void a_compiled_file_has_them(void **state) {
    nib_compile_options o;
    nib_model_options m;
    nib_error err = {0};
    (void)state;
    write_source(MODEL(8));
    nib_compile_defaults(&o, sizeof o);
    nib_model_defaults(&m, sizeof m);
    m.runtime = runtime;
    o.model = &m;
    o.exact = 1;
    if (nib_compile_file(source, result, &o, &err) != NIB_OK) fail_msg("%s", err.message);
    check_run(result, false, 2, 8);
    check_run(result, true, 20, 20);
}

static void they_are_constants_before_ir_4(void **state) {
    nib_error err = {0};
    graph *g;
    (void)state;
    write_source(MODEL(8));
    FILE *f = fopen(source, "r+b"); /* the first field is the version: 08 08 */
    assert_non_null(f);
    fputs("\b\3", f);
    fclose(f);
    if (onnx_load(runtime, source, &g, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(g->n_inputs, 1);
    assert_int_equal(g->n_constants, 2);
    graph_free(g);
    graph_parse(&runtime->heap, MODEL(3), strlen(MODEL(3)), &g, &err);
    assert_int_equal(g->n_inputs, 1);
    graph_free(g);
}

/* What a caller may give is no constant: a proof that never gives another value would not see that it has become one. */
static void the_proof_gives_other_values(void **state) {
    nib_error err = {0};
    rewrite_proof proof;
    static const char folded[] = "<ir_version: 8, opset_import: [\"\" : 17]> g (float[4] scale = {1, 2, 3, 4}, float[n,4] x) => "
                                 "(float[n,4] y) <float[4] s = {2, 4, 6, 8}> { y = Mul (x, s) }";
    graph *g[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *text = i ? folded : MODEL(8);
        if (graph_parse(&runtime->heap, text, strlen(text), &g[i], &err) != NIB_OK) fail_msg("%s", err.message);
        op_resolve(g[i]);
        if (op_infer_graph(g[i], &err) != NIB_OK) fail_msg("%s", err.message);
    }
    if (rewrite_prove(runtime, g[0], g[1], REWRITE_PROVE_WHOLE, &proof, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_true(proof.ran && rewrite_proof_worst(&proof) > 0.01);
    graph_free(g[0]);
    graph_free(g[1]);
}

/* Texts fill ids and mask, and nobody can give a scale: for them it is a constant, and the two products of the norm are one. */
static void tasks_take_them_as_constants(void **state) {
    nib_error err = {0};
    nib_model_options o;
    nib_model *m = NULL;
    static const char text[] =
        "<ir_version: 8, opset_import: [\"\" : 17]> g (int64[b,s] ids, int64[b,s] mask, float[2] scale = {1, 2}) => (float[b,s,2] y) "
        "<float[3,2] table = {1,2,3,4,5,6}, float two = {2}> { e = Gather (table, ids) t = Mul (scale, two) y = Mul (e, t) }";
    (void)state;
    write_source(text);
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    if (nib_model_open(source, &o, &m, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_string_equal(model_own(m)->cannot, "");
    assert_int_equal(model_own(m)->g->n_inputs, 2);
    for (const graph_node *n = model_own(m)->g->first; n; n = n->next)
        for (int i = 0; i < n->n_inputs; i++) assert_false(n->inputs[i].value && strcmp(n->inputs[i].value->name, "scale") == 0);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_may_leave_or_give_them), cmocka_unit_test(a_written_file_has_them),
        cmocka_unit_test(a_compiled_file_has_them),         cmocka_unit_test(a_shape_must_fit_them),
        cmocka_unit_test(they_are_constants_before_ir_4),   cmocka_unit_test(the_proof_gives_other_values),
        cmocka_unit_test(tasks_take_them_as_constants),
    };
    return cmocka_run_group_tests_name("model_presets", tests, setup, teardown);
}
