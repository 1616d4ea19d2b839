/* SPDX-License-Identifier: Apache-2.0
 *
 * Inference with symbols: the chains by which exporters compute shapes end in known expressions, and what is declared is
 * merged with what is inferred.
 */
#include "op/op.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static base_heap heap;
static graph *g;
static graph_dim batch, seq;
static nib_error err;

static int setup(void **state) {
    (void)state;
    base_heap_init(&heap, NULL);
    if (graph_create(&heap, &g, &err) != NIB_OK) return -1;
    batch = graph_dim_symbol(g->symbols, "batch");
    seq = graph_dim_symbol(g->symbols, "seq");
    return graph_set_opset(g, "", 17, &err);
}

static int teardown(void **state) {
    (void)state;
    graph_free(g);
    return heap.current == 0 ? 0 : -1;
}

static graph_dim num(int64_t v) { return graph_dim_const(g->symbols, v); }

static graph_value *input(nib_dtype dtype, int rank, graph_dim a, graph_dim b, graph_dim c, graph_dim d) {
    graph_value *v = graph_add_value(g, NULL);
    v->type = (graph_type){.dtype = dtype, .rank = rank, .dims = {a, b, c, d}};
    assert_int_equal(graph_add_input(g, v), NIB_OK);
    return v;
}

static graph_value *ints(int count, const int64_t *v) { return graph_const_i64(g, NULL, v, count); }
#define INTS(...) ints((int)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})
static graph_value *scalar(int64_t v) { return graph_const_i64(g, NULL, &v, -1); }

static graph_value *node(const char *op_type, graph_value *a, graph_value *b, graph_value *c, graph_value *d) {
    graph_value *in[4] = {a, b, c, d};
    int n = d ? 4 : c ? 3 : b ? 2 : 1;
    graph_value *v = graph_emit(g, NULL, "", op_type, in, n, NULL);
    assert_non_null(v);
    return v;
}

static void infer(void) {
    op_resolve(g);
    nib_status status = op_infer_graph(g, &err);
    if (status != NIB_OK) print_error("%s\n", err.message);
    assert_int_equal(status, NIB_OK);
}

static void assert_dims(const graph_value *v, int rank, graph_dim a, graph_dim b, graph_dim c, graph_dim d) {
    graph_dim want[4] = {a, b, c, d};
    assert_int_equal(v->type.rank, rank);
    for (int i = 0; i < rank; i++) assert_ptr_equal(v->type.dims[i], want[i]);
}

static graph_value *size_of(graph_value *x, int64_t axis) {
    return node("Gather", node("Shape", x, NULL, NULL, NULL), scalar(axis), NULL, NULL);
}
static graph_value *listed(graph_value *x) { return node("Unsqueeze", x, INTS(0), NULL, NULL); }

/* x.view(b, s, heads, -1).transpose, and back, as TorchScript writes it. */
static void heads_are_split_and_joined(void **state) {
    (void)state;
    graph_value *x = input(NIB_DTYPE_F32, 3, batch, seq, num(768), NULL);
    graph_value *cat[4] = {listed(size_of(x, 0)), listed(size_of(x, 1)), INTS(12), INTS(-1)};
    graph_value *shape = graph_emit(g, NULL, "", "Concat", cat, 4, NULL);
    graph_set_int(shape->producer, "axis", 0);
    graph_value *split = node("Reshape", x, shape, NULL, NULL), *back = node("Reshape", split, INTS(0, 0, -1), NULL, NULL);
    graph_value *half = node("Div", size_of(split, 3), scalar(2), NULL, NULL);
    infer();
    assert_dims(split, 4, batch, seq, num(12), num(64));
    assert_dims(back, 3, batch, seq, num(768), NULL);
    assert_ptr_equal(half->data[0], num(32));
}

/* A table of positions cut to the sequence, added to what is as long as the sequence. */
static void positions_fit_the_sequence(void **state) {
    (void)state;
    graph_value *ids = input(NIB_DTYPE_I64, 2, batch, seq, NULL, NULL), *words = input(NIB_DTYPE_F32, 3, batch, seq, num(8), NULL);
    graph_value *table = input(NIB_DTYPE_I64, 2, num(1), num(512), NULL, NULL),
                *rows = input(NIB_DTYPE_F32, 2, num(512), num(8), NULL, NULL);
    graph_value *cut = node("Slice", table, INTS(0), listed(size_of(ids, 1)), INTS(1));
    graph_value *sum = node("Add", words, node("Gather", rows, cut, NULL, NULL), NULL, NULL);
    infer();
    assert_dims(cut, 2, num(1), graph_dim_min(g->symbols, num(512), seq), NULL, NULL);
    assert_dims(sum, 3, batch, seq, num(8), NULL);
}

/* Expand to [batch, 1, seq, seq] with the Where(shape == -1, 1, shape) that exporters put before it. */
static void masks_are_expanded(void **state) {
    (void)state;
    graph_value *mask = input(NIB_DTYPE_I64, 2, batch, seq, NULL, NULL);
    graph_value *wide = node("Unsqueeze", mask, INTS(1, 2), NULL, NULL);
    graph_value *cat[4] = {listed(size_of(mask, 0)), INTS(1), listed(size_of(mask, 1)), listed(size_of(mask, 1))};
    graph_value *shape = graph_emit(g, NULL, "", "Concat", cat, 4, NULL);
    graph_set_int(shape->producer, "axis", 0);
    graph_value *chosen = node("Where", node("Equal", shape, INTS(-1), NULL, NULL), INTS(1, 1, 1, 1), shape, NULL);
    graph_value *y = node("Expand", wide, chosen, NULL, NULL);
    graph_value *range = node("Range", scalar(0), size_of(mask, 1), scalar(1), NULL);
    infer();
    assert_dims(wide, 4, batch, num(1), num(1), seq);
    assert_dims(y, 4, batch, num(1), seq, seq);
    assert_dims(range, 1, seq, NULL, NULL, NULL);
}

static void data_makes_symbols(void **state) {
    (void)state;
    graph_value *y = node("NonZero", input(NIB_DTYPE_I64, 2, batch, seq, NULL, NULL), NULL, NULL, NULL);
    infer();
    graph_dim found = y->type.dims[1];
    assert_true(graph_dim_is_symbol(found));
    infer(); /* again: no other symbol */
    assert_ptr_equal(y->type.dims[1], found);
}

static void declarations_are_merged(void **state) {
    (void)state;
    graph_value *x = input(NIB_DTYPE_F32, 2, batch, num(4), NULL, NULL), *y = node("Relu", x, NULL, NULL, NULL),
                *z = node("Relu", x, NULL, NULL, NULL);
    y->type = (graph_type){.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {graph_dim_symbol(g->symbols, "declared"), NULL}};
    infer();
    assert_dims(y, 2, batch, num(4), NULL, NULL);
    z->type.dims[1] = num(5);
    assert_int_equal(op_infer_graph(g, &err), NIB_SHAPE);
    z->type.dims[1] = num(4);
    z->type.dtype = NIB_DTYPE_I64;
    assert_int_equal(op_infer_graph(g, &err), NIB_TYPE);
    assert_true(err.node[0] != 0);
}

/* A number that a file declares where its inputs give a symbol is true for one size only. */
static void what_inputs_give_wins_over_what_is_declared(void **state) {
    (void)state;
    graph_value *x = input(NIB_DTYPE_F32, 2, batch, seq, NULL, NULL), *y = node("Relu", x, NULL, NULL, NULL);
    y->type = (graph_type){.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {num(2), num(16)}};
    infer();
    assert_dims(y, 2, batch, seq, NULL, NULL);
}

/* Declared shapes that operators contradict are left out together; what operators say against each other stays an error. */
static void contradicted_declarations_are_left_out(void **state) {
    (void)state;
    char why[200];
    graph_value *x = input(NIB_DTYPE_F32, 2, num(3), num(4), NULL, NULL), *y = node("Relu", x, NULL, NULL, NULL);
    graph_value *flat = node("Reshape", y, INTS(-1), NULL, NULL);
    op_resolve(g);
    assert_int_equal(op_infer_declared(g, why, sizeof why, &err), NIB_OK);
    assert_string_equal(why, "");
    y->type.dims[1] = num(5);
    flat->type.dims[0] = num(15);
    assert_int_equal(op_infer_declared(g, why, sizeof why, &err), NIB_OK);
    assert_non_null(strstr(why, "Relu: output 0, axis 1: size 4, declared 5"));
    assert_dims(y, 2, num(3), num(4), NULL, NULL);
    assert_dims(flat, 1, num(12), NULL, NULL, NULL);
    node("Add", y, input(NIB_DTYPE_F32, 1, num(3), NULL, NULL, NULL), NULL, NULL);
    op_resolve(g);
    assert_int_equal(op_infer_declared(g, why, sizeof why, &err), NIB_SHAPE);
}

static void rows_depend_on_attributes(void **state) {
    (void)state;
    graph_value *x = input(NIB_DTYPE_F32, 3, batch, seq, num(8), NULL), *w = input(NIB_DTYPE_F32, 2, num(8), num(8), NULL, NULL);
    graph_value *last = node("Softmax", x, NULL, NULL, NULL), *middle = node("Softmax", x, NULL, NULL, NULL);
    graph_set_int(middle->producer, "axis", 1);
    graph_value *linear = node("MatMul", x, w, NULL, NULL), *scores = node("MatMul", x, x, NULL, NULL),
                *sum = node("Add", x, x, NULL, NULL);
    op_resolve(g);
    assert_int_equal(op_rows_of(last->producer), OP_ROWS_LAST);
    assert_int_equal(op_rows_of(middle->producer), OP_ROWS_MIXED);
    assert_int_equal(op_rows_of(linear->producer), OP_ROWS_LAST);
    assert_int_equal(op_rows_of(scores->producer), OP_ROWS_MIXED);
    assert_int_equal(op_rows_of(sum->producer), OP_ROWS_ELEMENT);
}

/* A chain as long as a hostile file likes is evaluated without a stack; nothing beyond the limit is made. */
static void environments_are_bounded(void **state) {
    (void)state;
    base_arena arena;
    const graph_tensor *t;
    graph_value *x = input(NIB_DTYPE_I64, 0, NULL, NULL, NULL, NULL), *y = x;
    for (int i = 0; i < 20000; i++) y = node("Neg", y, NULL, NULL, NULL);
    graph_value *huge = node("ConstantOfShape", INTS((int64_t)1 << 44), NULL, NULL, NULL);
    infer();
    int64_t seven = 7;
    kernels table;
    memset(&table, 0, sizeof table);
    base_arena_init(&arena, &heap);
    op_env *env = op_env_create(g, &arena, 1 << 20, &table);
    assert_int_equal(op_env_get(env, y, &t, &err), NIB_NOT_FOUND);
    assert_int_equal(op_env_set(env, x, &(graph_tensor){.dtype = NIB_DTYPE_I64, .data = &seven, .bytes = 8}), NIB_OK);
    assert_int_equal(op_env_get(env, y, &t, &err), NIB_OK);
    assert_int_equal(*(const int64_t *)t->data, 7);
    assert_int_equal(op_env_get(env, huge, &t, &err), NIB_LIMIT);
    base_arena_free(&arena);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(heads_are_split_and_joined),
                                       TEST(positions_fit_the_sequence),
                                       TEST(masks_are_expanded),
                                       TEST(data_makes_symbols),
                                       TEST(declarations_are_merged),
                                       TEST(rows_depend_on_attributes),
                                       TEST(environments_are_bounded),
                                       TEST(what_inputs_give_wins_over_what_is_declared),
                                       TEST(contradicted_declarations_are_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
