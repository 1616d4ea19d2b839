/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph's bookkeeping: names, use lists, replacing and moving, copies that print the same, and a verifier that sees each
 * rule broken.
 */
#include "onnx/onnx_test.h"

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17]> "
#define TEXT                                                                                                                               \
    HEAD "g (float[b,s] x, bool c) => (float[b,s] y, float[b,s] n) <float[1] k = {2}> { n = Neg (x) m = Mul (n, n) p = Add (m, k)"         \
         " y = If (c) <then_branch = t () => (float[b,s] ty) { ty = Add (p, m) }, else_branch = e () => (float[b,s] ey) { ey = Abs (n) "   \
         "}> }"

static graph *parse(void **state, const char *text) {
    graph *g;
    nib_error err = {0};
    nib_runtime *r = *state;
    if (graph_parse(&r->heap, text, strlen(text), &g, &err) != NIB_OK) fail_msg("%s", err.message);
    return g;
}

static int count_uses(const graph_value *v) {
    int n = 0;
    for (const graph_use *u = v->uses; u; u = u->next, n++) {
        assert_ptr_equal(u->value, v);
        assert_ptr_equal(u->node->inputs[u->index].value, v);
    }
    assert_int_equal(n, v->use_count);
    return n;
}

static void assert_sound(const graph *g) {
    nib_error err = {0};
    if (graph_verify(g, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
}

static void use_lists_are_kept(void **state) {
    graph *g = parse(state, TEXT);
    graph_value *n = graph_find_value(g, "n"), *m = graph_find_value(g, "m"), *x = graph_find_value(g, "x");
    assert_int_equal(count_uses(n), 3); /* twice by m, once inside the else branch */
    assert_int_equal(count_uses(m), 2);
    assert_int_equal(count_uses(x), 1);
    graph_set_input(m->producer, 1, x);
    assert_int_equal(count_uses(n), 2);
    assert_int_equal(count_uses(x), 2);
    nib_error err;
    assert_int_equal(graph_append_input(m->producer, n, &err), NIB_OK);
    assert_int_equal(m->producer->n_inputs, 3);
    assert_int_equal(count_uses(n), 3);
    assert_int_equal(count_uses(x), 2);
    graph_set_input(m->producer, 2, NULL);
    assert_int_equal(count_uses(n), 2);
    assert_sound(g);
    graph_free(g);
}

static void replacing_reaches_subgraphs_and_outputs(void **state) {
    graph *g = parse(state, TEXT);
    graph_value *n = graph_find_value(g, "n"), *x = graph_find_value(g, "x");
    graph_value *fresh = graph_emit(g, n->producer, "", "Exp", &x, 1, "fresh");
    graph_replace_uses(g, n, fresh);
    assert_int_equal(count_uses(fresh), 3);
    assert_int_equal(count_uses(n), 0);
    assert_ptr_equal(g->outputs[1], fresh);
    assert_string_equal(fresh->name, "n"); /* the output's name stays */
    assert_ptr_equal(graph_find_value(g, "n"), fresh);
    assert_ptr_equal(graph_find_value(g, n->name), n);
    assert_true(fresh->is_output && !n->is_output);
    graph_remove_node(g, n->producer);
    assert_null(n->producer);
    assert_sound(g);
    /* an input or another output keeps its own name, and the replaced output its value */
    graph_value *y = graph_find_value(g, "y");
    graph_replace_uses(g, fresh, y);
    assert_ptr_equal(g->outputs[1], fresh);
    assert_string_equal(g->outputs[0]->name, "y");
    assert_string_equal(g->outputs[1]->name, "n");
    graph_free(g);
}

static void names_are_unique(void **state) {
    graph *g = parse(state, TEXT);
    graph_value *a = graph_add_value(g, "n"), *b = graph_add_value(g, NULL), *c = graph_add_value(g, "");
    assert_string_not_equal(a->name, "n");
    assert_string_not_equal(b->name, c->name);
    assert_ptr_equal(graph_intern(g, "abc", 3), graph_intern(g, "abcd", 3));
    assert_ptr_not_equal(graph_intern(g, "abc", 3), graph_intern(g, "abcd", 4));
    assert_null(graph_find_value(g, "nobody"));
    for (int i = 0; i < 2000; i++) assert_non_null(graph_add_value(g, "n"));
    assert_ptr_equal(graph_find_value(g, "n"), g->outputs[1]);
    graph_free(g);
}

static void attributes(void **state) {
    graph *g = parse(state, TEXT);
    graph_node *n = g->first;
    const int64_t *values, three[] = {1, 2, 3};
    assert_int_equal(graph_set_int(n, "i", 7), NIB_OK);
    assert_int_equal(graph_set_int(n, "i", 8), NIB_OK);
    assert_int_equal(n->n_attrs, 1);
    assert_int_equal(graph_attr_int(n, "i", 0), 8);
    assert_int_equal(graph_attr_int(n, "none", 5), 5);
    assert_int_equal(graph_set_ints(n, "list", three, 3), NIB_OK);
    assert_int_equal(graph_attr_ints(n, "list", &values), 3);
    assert_memory_equal(values, three, sizeof three);
    assert_int_equal(graph_attr_ints(n, "none", &values), -1);
    assert_int_equal(graph_set_string(n, "s", "text"), NIB_OK);
    assert_string_equal(graph_attr_string(n, "s", ""), "text");
    assert_int_equal(graph_attr_int(n, "s", 3), 3); /* another kind is as good as none */
    graph_free(g);
}

static void constants_and_scalars(void **state) {
    graph *g = parse(state, TEXT);
    double x;
    assert_true(graph_scalar(graph_find_value(g, "k"), &x) && x == 2);
    assert_false(graph_scalar(graph_find_value(g, "x"), &x));
    graph_value *v = graph_const_i64(g, "list", (int64_t[]){4, 5}, 2), *s = graph_const_i64(g, "one", (int64_t[]){9}, -1);
    assert_int_equal(v->type.rank, 1);
    assert_int_equal(v->data_count, 2);
    assert_int_equal(s->type.rank, 0);
    assert_true(graph_scalar(s, &x) && x == 9);
    assert_false(graph_scalar(v, &x));
    char bytes[20] = {0};
    float want = 1.5f;
    memcpy(bytes + 1, &want, 4);
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {1}, .data = bytes + 1, .bytes = 4};
    const float *aligned = graph_tensor_aligned(g->arena, &t);
    assert_int_equal((uintptr_t)aligned % 4, 0);
    assert_true(*aligned == want);
    assert_int_equal(graph_type_bytes(NIB_DTYPE_I4, 3), 2);
    assert_int_equal(graph_type_bytes(NIB_DTYPE_F64, SIZE_MAX / 4), SIZE_MAX);
    assert_int_equal(graph_tensor_elements(&(graph_tensor){.rank = 2, .dims = {INT64_MAX, 2}}), -1);
    assert_int_equal(graph_tensor_elements(&(graph_tensor){.rank = 1, .dims = {-1}}), -1);
    graph_free(g);
}

static char *print(const graph *g, base_str *s) {
    base_str_init(s, g->heap);
    assert_int_equal(graph_print(g, INT64_MAX, s), NIB_OK);
    return s->data;
}

static void copies_print_the_same(void **state) {
    graph *g = parse(state, TEXT), *copy;
    nib_error err;
    base_str a, b;
    assert_int_equal(graph_clone(g, &copy, &err), NIB_OK);
    assert_sound(copy);
    assert_string_equal(print(g, &a), print(copy, &b));
    assert_ptr_not_equal(graph_find_value(copy, "n"), graph_find_value(g, "n"));
    base_str_free(&b);
    graph_remove_node(copy, copy->last->prev); /* rewriting the copy leaves the original alone */
    assert_string_equal(a.data, print(g, &b));
    base_str_free(&a);
    base_str_free(&b);
    graph_free(copy);
    graph_free(g);
}

/* As merged decoders are written: branches call what they give, values and constants, by the names of the If's own outputs. */
static void copies_keep_names_of_branches(void **state) {
    static const char text[] = HEAD
        "g (float[b,s] x, bool c) => (float[b,s] logits, float[n] present) { logits, present = If (c) <"
        "then_branch = t () => (float[b,s] logits, float[n] present) <float[2] present = {1, 2}> { logits = Neg (x) }, "
        "else_branch = e () => (float[b,s] logits, float[n] present) <float[3] w = {1, 2, 3}> { logits = Abs (x) present = Neg (w) }> }";
    graph *g = parse(state, text), *copy;
    nib_error err = {0};
    base_str a, b;
    if (graph_clone(g, &copy, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_sound(copy);
    assert_string_equal(print(g, &a), print(copy, &b));
    base_str_free(&a);
    base_str_free(&b);
    graph_free(copy);
    graph_free(g);
}

static void nesting_is_limited(void **state) {
    graph *g = parse(state, TEXT), *sub = g, *next;
    nib_error err;
    for (int i = 0; i < 32; i++) {
        assert_int_equal(graph_create_sub(sub, &next, &err), NIB_OK);
        sub = next;
    }
    assert_int_equal(graph_create_sub(sub, &next, &err), NIB_LIMIT);
    assert_null(next);
    graph_free(g);
}

/* ---- one broken rule at a time */

static void out_of_order(graph *g) { graph_move_before(g->first, g->last); }
static void two_producers(graph *g) { g->first->next->outputs[0] = g->first->outputs[0]; }
static void written_input(graph *g) { g->first->outputs[0]->is_input = true; }
static void lost_use(graph *g) { graph_find_value(g, "x")->uses = NULL; }
static void wrong_index(graph *g) { g->first->inputs[0].index = 4; }
static void wrong_node(graph *g) { g->first->inputs[0].node = g->last; }
static void wrong_owner(graph *g) { g->first->owner = NULL; }
static void wrong_count(graph *g) { g->node_count++; }
static void doubled_input(graph *g) { graph_add_input(g, g->inputs[0]); }
static void empty_constant(graph *g) { g->constants[0]->constant = NULL; }
static void undefined_output(graph *g) { graph_add_output(g, graph_add_value(g, "nowhere")); }
static void undefined_input(graph *g) { graph_set_input(g->first, 0, graph_add_value(g, "nowhere")); }
static void wrong_value_id(graph *g) { g->first->outputs[0]->id = g->value_limit + 100000; }
static void wrong_node_id(graph *g) { g->first->id = -1; }
static void wrong_name(graph *g) { g->first->outputs[0]->name = "stranger"; }
static void wrong_use_count(graph *g) { g->inputs[0]->use_count++; }
static void broken_branch(graph *g) {
    graph *then = graph_find_attr(g->last, "then_branch")->u.graph;
    graph_set_input(then->first, 0, graph_add_value(then, "nowhere"));
}
static void sibling_branch(graph *g) { /* a value of one branch is not to be seen in the other */
    graph *then = graph_find_attr(g->last, "then_branch")->u.graph, *other = graph_find_attr(g->last, "else_branch")->u.graph;
    graph_set_input(other->first, 0, then->first->outputs[0]);
}

static void every_broken_rule_is_seen(void **state) {
    static const struct {
        void (*harm)(graph *);
        const char *says;
    } rules[] = {
        {out_of_order, "before it is defined"},
        {two_producers, "two producers"},
        {written_input, "is written"},
        {lost_use, "not counted"},
        {wrong_index, "does not know its node"},
        {wrong_node, "does not know its node"},
        {wrong_owner, "another graph"},
        {wrong_count, "node count"},
        {doubled_input, "listed twice"},
        {empty_constant, "no data"},
        {undefined_output, "never defined"},
        {undefined_input, "before it is defined"},
        {wrong_value_id, "id"},
        {wrong_node_id, "id"},
        {wrong_name, "by its name"},
        {wrong_use_count, "not counted"},
        {broken_branch, "before it is defined"},
        {sibling_branch, "before it is defined"},
    };
    for (size_t i = 0; i < BASE_COUNT(rules); i++) {
        graph *g = parse(state, TEXT);
        nib_error err = {0};
        assert_sound(g);
        rules[i].harm(g);
        if (graph_verify(g, &err) != NIB_BAD_MODEL) fail_msg("rule %zu (%s) is not seen", i, rules[i].says);
        if (!strstr(err.message, rules[i].says)) fail_msg("rule %zu: \"%s\", not \"%s\"", i, err.message, rules[i].says);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(use_lists_are_kept),
        cmocka_unit_test(replacing_reaches_subgraphs_and_outputs),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(attributes),
        cmocka_unit_test(constants_and_scalars),
        cmocka_unit_test(copies_print_the_same),
        cmocka_unit_test(copies_keep_names_of_branches),
        cmocka_unit_test(nesting_is_limited),
        cmocka_unit_test(every_broken_rule_is_seen),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
