/* SPDX-License-Identifier: Apache-2.0
 *
 * Sequences and optionals where they do not belong: at operators that move bytes, in bodies whose turns differ, on piles, in each
 * other. Each graph is run as it is and optimized, and must end with the status and the words of its row; those that are as ONNX wants
 * them give what is counted.
 */
#include "../pass/pass_test.h"
#include "../../src/op/op_local.h"
#include "cpu/cpu.h"
#include "run/run.h"

#define TEXT(opset, head, nodes) "<ir_version: 8, opset_import: [\"\" : " #opset "]> g (bool c) => (y) " head " { " nodes " }"
/* `s` has one of two kinds, so that inference knows neither: what refuses it is the eval. */
#define HIDDEN(nodes)                                                                                                                      \
    TEXT(17, "<float[2] a = {1, 2}, int64 i = {0}, int64[2] p = {2, 2}>",                                                                  \
         "s = If <then_branch = t () => (u) { u = SequenceConstruct (a, a, a) }, else_branch = e () => (v) { v = Neg (a) }> (c) " nodes)
#define BODY(name, in, out, nodes) "body = " name " (" in ") => (" out ") { " nodes " }"
/* A string in one turn and 16 bytes of floats in another, by a condition `k`. */
#define STRING_OR_FLOATS "If <then_branch = t () => (u) { u = Identity (words) }, else_branch = e () => (v) { v = Identity (four) }> (k)"
#define BOTH "<string[1] words = {\"abc\"}, float[4] four = {1, 2, 3, 4}, bool[1,2] flags = {1, 0}, int64 n = {2}, int64 i = {0}>"

static const struct {
    const char *text;
    nib_status status;
    const char *says; /* of what is right: NULL, and the output's bytes are so many */
    size_t bytes;
} rows[] = {
    {HIDDEN("x = SequenceAt (s, i) y = Neg (x)"), NIB_OK, NULL, 8},
    {HIDDEN("y = SequenceLength (s)"), NIB_OK, NULL, 8},
    {HIDDEN("z = Identity (s) y = SequenceLength (z)"), NIB_OK, NULL, 8},
    {HIDDEN("o = Optional (s) q = OptionalGetElement (o) y = SequenceLength (q)"), NIB_OK, NULL, 8},
    {HIDDEN("z = Pad (s, p) y = SequenceAt (z, i)"), NIB_TYPE, "Pad: input 0 is of type sequence", 0},
    {HIDDEN("z = Reshape (s, p) y = SequenceAt (z, i)"), NIB_TYPE, "Reshape: input 0", 0},
    {HIDDEN("z = Unsqueeze (s, i) y = SequenceAt (z, i)"), NIB_TYPE, "Unsqueeze: input 0", 0},
    {HIDDEN("z = Expand (s, p) y = SequenceAt (z, i)"), NIB_TYPE, "Expand: input 0", 0},
    {HIDDEN("z = Tile (s, p) y = SequenceAt (z, i)"), NIB_TYPE, "Tile: input 0", 0},
    {HIDDEN("z = Concat <axis = 0> (s, s) y = SequenceAt (z, i)"), NIB_TYPE, "Concat: input 0", 0},
    {HIDDEN("z = Gather (s, i) y = SequenceAt (z, i)"), NIB_TYPE, "Gather: input 0", 0},
    {HIDDEN("y = Shape (s)"), NIB_TYPE, "Shape: input 0", 0},
    {HIDDEN("y = Where (c, s, s)"), NIB_TYPE, "Where: input 1", 0},
    {HIDDEN("y = SplitToSequence (s)"), NIB_TYPE, "SplitToSequence: input 0", 0},
    {HIDDEN("y = SequenceConstruct (s)"), NIB_TYPE, "SequenceConstruct: input 0", 0},
    {HIDDEN("y = SequenceInsert (s, s)"), NIB_TYPE, "SequenceInsert: ", 0},
    {HIDDEN("o = Optional (s) y = Optional (o)"), NIB_TYPE, "Optional: output 0 holds what no optional may", 0},
    {HIDDEN("y = Scan <num_scan_inputs = 1, " BODY("b", "x", "q", "q = SequenceAt (x, i)") "> (s)"), NIB_TYPE, "Scan: input 0", 0},
    {TEXT(17, BOTH, "z = Loop <" BODY("b", "t, on", "on2, e", "on2 = Identity (on) e = SequenceEmpty ()") "> (n, c) y = SequenceAt (z, i)"),
     NIB_TYPE, "the body gives a sequence to be piled", 0},
    {TEXT(17, BOTH, "z = Loop <" BODY("b", "t, on", "on2, e", "on2 = Identity (on) e = SequenceEmpty ()") "> (i, c) y = Neg (z)"), NIB_TYPE,
     "", 0}, /* no turn: neither is there a tensor */
    {TEXT(8, BOTH, "y = Scan <num_scan_inputs = 1, " BODY("b", "k", "q", "q = " STRING_OR_FLOATS) "> (, flags)"), NIB_SHAPE,
     "Scan: an output changes its type or shape", 0},
    {TEXT(17, BOTH, "f = Squeeze (flags) y = Scan <num_scan_inputs = 1, " BODY("b", "k", "q", "q = " STRING_OR_FLOATS) "> (f)"), NIB_SHAPE,
     "Scan: an output changes its type or shape", 0},
    {TEXT(17, BOTH,
          "y = Loop <" BODY("b", "t, k, w", "k2, q",
                            "k2 = Identity (k) z = Equal (t, i) q = If <then_branch = t () => (u) "
                            "{ u = Identity (words) }, else_branch = e () => (v) { v = Identity (four) }> (z)") "> (n, c, words)"),
     NIB_TYPE, "Loop: state 0 is string, and f32", 0},
    {TEXT(20, BOTH,
          "f = Squeeze (flags) l = SplitToSequence <keepdims = 0> (f) y = SequenceMap <" BODY("b", "k", "q",
                                                                                              "q = " STRING_OR_FLOATS) "> (l)"),
     NIB_TYPE, "SequenceMap: output 0 holds what no sequence may", 0},
    {TEXT(17, BOTH,
          "e = SequenceEmpty () y = Loop <" BODY("b", "t, k, l", "k2, m", "k2 = Identity (k) m = SequenceConstruct (l)") "> (n, c, e)"),
     NIB_TYPE, "SequenceConstruct: input 0", 0}, /* a sequence in a sequence in a sequence, as deep as the loop is long */
    {TEXT(17, "<float[0,4611686018427387904] a = {}>", "s = SequenceConstruct (a, a, a) y = ConcatFromSequence <axis = 1> (s)"), NIB_LIMIT,
     "output is too large", 0},
    {TEXT(17, "<float[0,4611686018427387904] a = {}>", "y = Concat <axis = 1> (a, a, a)"), NIB_LIMIT, "", 0},
};

static nib_status run_at(const char *text, int level, size_t *bytes, nib_error *err) {
    nib_status status = NIB_OK;
    uint8_t yes = 1;
    nib_tensor c = {.dtype = NIB_DTYPE_BOOL, .data = &yes, .bytes = 1}, out = {0};
    graph *source = NULL, *g = NULL;
    plan *p = NULL;
    run_session *s = NULL;
    struct device *cpu = NULL;
    memset(err, 0, sizeof *err);
    NIB_TRY(graph_parse(&test_runtime->heap, text, strlen(text), &source, err));
    op_resolve(source);
    NIB_TRY(op_infer_graph(source, err));
    NIB_TRY(graph_clone(source, &g, err));
    NIB_TRY(cpu_open(test_runtime, &cpu, err));
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .level = level, .err = err};
    NIB_TRY(pass_run_all(&ctx));
    NIB_TRY(plan_build(test_runtime, g, &cpu, 1, NULL, &p, err));
    NIB_TRY(run_session_create(p, &s, err));
    NIB_TRY(run_tensors(s, (const nib_tensor *const[]){&c}, err));
    NIB_TRY(run_output(s, 0, &out, err));
    *bytes = out.bytes;
fail:
    run_session_free(s);
    plan_free(p);
    graph_free(g);
    graph_free(source);
    if (cpu) cpu->table->close(cpu);
    return status;
}

static void each_row(void **state) {
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(rows); i++)
        for (int level = 0; level <= 2; level += 2) {
            nib_error err;
            size_t bytes = 0;
            nib_status status = run_at(rows[i].text, level, &bytes, &err);
            if (status != rows[i].status || (rows[i].says && !strstr(err.message, rows[i].says)) || bytes != rows[i].bytes)
                fail_msg("row %zu, level %d: %d, %zu bytes, %s\n%s", i, level, (int)status, bytes, err.message, rows[i].text);
        }
}

/* Where the kind is known, the model does not even open. */
static void inference_refuses_what_it_knows(void **state) {
    static const char text[] = TEXT(17, "<float[2] a = {1, 2}>", "s = SequenceConstruct (a, a) y = Neg (s)");
    graph *g;
    nib_error err = {0};
    (void)state;
    assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
    op_resolve(g);
    assert_int_equal(op_infer_graph(g, &err), NIB_TYPE);
    assert_string_equal(err.message, "Neg: input 0 is of type sequence");
    graph_free(g);
}

/* No operator whose row does not say that it takes lists gets one: its eval is not even asked. */
static void the_table_decides(void **state) {
    static float numbers[2];
    graph_tensor element = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {2}, .data = numbers, .bytes = sizeof numbers};
    graph_tensor items[3] = {element, element, element};
    const graph_tensor list = {.dtype = NIB_DTYPE_SEQUENCE, .rank = 1, .dims = {3}, .data = items, .bytes = sizeof items};
    int refused = 0;
    (void)state;
    for (size_t f = 0; op_families[f]; f++)
        for (const op *o = op_families[f]; o->name; o++) {
            if (o->rows & OP_TAKES_LISTS || o->max_in == 0) continue;
            graph_value *none = NULL;
            graph_node node = {.op = o->name, .domain = o->domain, .meaning = o, .n_outputs = 1, .outputs = &none};
            const graph_tensor *in[32];
            nib_error err = {0};
            for (int i = 0; i < 32; i++) in[i] = &list;
            op_eval c = {.node = &node, .n_in = o->min_in > 0 ? o->min_in : 1, .in = in, .kernels = &test_kernels, .err = &err};
            if (op_eval_node(&c) != NIB_TYPE || !strstr(err.message, "input 0 is of type sequence"))
                fail_msg("%s of domain '%s': %s", o->name, o->domain, err.message);
            refused++;
        }
    assert_true(refused > 250);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_row), cmocka_unit_test(inference_refuses_what_it_knows),
                                       cmocka_unit_test(the_table_decides)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
