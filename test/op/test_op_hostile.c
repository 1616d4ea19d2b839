/* SPDX-License-Identifier: Apache-2.0
 *
 * The table's order, and nodes that no exporter writes: every operator of the default domain with missing inputs, wrong
 * types, wrong ranks, empty, huge and lying tensors. Whatever comes back must be a status; the sanitizers watch the rest.
 */
#include "../../src/op/op_local.h"
#include "op/op_nib.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Memory that is not there is a status, too: the address sanitizer shall not end the test where malloc says no. */
__attribute__((visibility("default"))) const char *__asan_default_options(void); /* else the sanitizer does not find it */
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static void rows_are_found(void **state) {
    (void)state;
    for (size_t f = 0; op_families[f]; f++)
        for (const op *o = op_families[f]; o->name; o++) {
            assert_ptr_equal(op_find(o->domain, o->name, o->since), o);
            assert_true(o->infer && o->eval);
            if (o[1].name && strcmp(o->name, o[1].name) == 0 && strcmp(o->domain, o[1].domain) == 0)
                assert_ptr_equal(op_find(o->domain, o->name, o[1].since - 1), o);
        }
    assert_null(op_find("", "Gelu", 19));
    assert_null(op_find("", "NoSuchOperator", 20));
    assert_ptr_equal(op_find("ai.onnx", "Add", 20), op_find("", "Add", 13));
}

/* A small generator: the same cases on every machine. */
static uint32_t next(uint32_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 17;
    *s ^= *s << 5;
    return *s;
}

static const nib_dtype types[] = {NIB_DTYPE_F32, NIB_DTYPE_F64,    NIB_DTYPE_F16,      NIB_DTYPE_I64,     NIB_DTYPE_I32,
                                  NIB_DTYPE_I8,  NIB_DTYPE_U8,     NIB_DTYPE_U64,      NIB_DTYPE_BOOL,    NIB_DTYPE_I4,
                                  NIB_DTYPE_U2,  NIB_DTYPE_F8E5M2, NIB_DTYPE_F4E2M1,   NIB_DTYPE_F8E8M0,  NIB_DTYPE_BF16,
                                  NIB_DTYPE_C64, NIB_DTYPE_STRING, NIB_DTYPE_SEQUENCE, NIB_DTYPE_OPTIONAL};
static const int64_t sizes[] = {0, 1, 2, 3, 4, 1, 2, 3};
static const int64_t numbers[] = {0, 1, -1, 2, 3, -2, INT64_MIN, INT64_MAX, INT32_MAX, (int64_t)1 << 40, -7, 4};

static graph_tensor *random_tensor(base_arena *arena, uint32_t *seed, bool list) {
    graph_tensor *t = base_arena_calloc(arena, 1, sizeof *t);
    /* half of them of the first ten types, so that most operators compute something */
    t->dtype = list ? NIB_DTYPE_I64 : types[next(seed) % (next(seed) % 2 ? 10 : BASE_COUNT(types))];
    t->rank = list ? (int)(next(seed) % 2) : (int)(next(seed) % 5);
    bool container = t->dtype == NIB_DTYPE_SEQUENCE || t->dtype == NIB_DTYPE_OPTIONAL;
    if (container) t->rank = 1;
    for (int i = 0; i < t->rank; i++) t->dims[i] = sizes[next(seed) % BASE_COUNT(sizes)];
    int64_t n = graph_tensor_elements(t);
    t->bytes = graph_type_bytes(t->dtype, (size_t)n);
    t->data = base_arena_calloc(arena, t->bytes + 1, 1);
    if (container && t->dtype == NIB_DTYPE_OPTIONAL && n > 1) t->dims[0] = n = 1;
    for (int64_t i = 0; container && i < n; i++) {
        nib_dtype one = ((graph_tensor *)t->data)[0].dtype;
        graph_tensor *e = random_tensor(arena, seed, next(seed) % 2);
        if (e->dtype == NIB_DTYPE_SEQUENCE || e->dtype == NIB_DTYPE_OPTIONAL || op_count(e->rank, e->dims) < 0 ||
            graph_type_bytes(e->dtype, (size_t)op_count(e->rank, e->dims)) > e->bytes)
            *e = (graph_tensor){.dtype = i ? one : NIB_DTYPE_F32, .rank = 1, .data = (void *)"", .bytes = 0};
        ((graph_tensor *)t->data)[i] = *e;
    }
    for (int64_t i = 0; t->dtype == NIB_DTYPE_STRING && i < n; i++) {
        static const char *const words[] = {"", "a", "1e3", "-17", "NaN", "a b  c", "\xc3\x84", "1.5", "ab"};
        const char *word = words[next(seed) % BASE_COUNT(words)];
        ((graph_string *)t->data)[i] = (graph_string){word, strlen(word)};
    }
    for (int64_t i = 0; i < n && !container && t->dtype != NIB_DTYPE_STRING; i++) {
        int64_t v = numbers[next(seed) % BASE_COUNT(numbers)];
        size_t size = op_size(t->dtype);
        if (t->dtype == NIB_DTYPE_BOOL) v &= 1;
        if (t->dtype == NIB_DTYPE_F32) ((float *)t->data)[i] = (float)v;
        else if (t->dtype == NIB_DTYPE_F64) ((double *)t->data)[i] = (double)v;
        else if (nib_dtype_bits(t->dtype) < 8) ((uint8_t *)t->data)[i * nib_dtype_bits(t->dtype) / 8] = (uint8_t)v;
        else memcpy((char *)t->data + (size_t)i * size, &v, size < 8 ? size : 8);
    }
    if (next(seed) % 40 == 0 && t->rank > 0) t->dims[0] = (int64_t)1 << 61; /* a shape that its bytes do not hold */
    if (next(seed) % 40 == 0 && t->rank > 0) t->dims[0] = -5;
    return t;
}

static void random_attributes(graph_node *n, uint32_t *seed) {
    static const char *const names[] = {"axis",
                                        "keepdims",
                                        "transA",
                                        "transB",
                                        "to",
                                        "k",
                                        "upper",
                                        "num_groups",
                                        "batch_dims",
                                        "block_size",
                                        "p",
                                        "start",
                                        "end",
                                        "dtype",
                                        "largest",
                                        "num_outputs",
                                        "q_num_heads",
                                        "kv_num_heads",
                                        "is_causal",
                                        "rotary_embedding_dim",
                                        "blocksize",
                                        "new_axis",
                                        "maxsplit",
                                        "size",
                                        "batch_axis",
                                        "time_axis",
                                        "group",
                                        "ceil_mode",
                                        "storage_order",
                                        "count_include_pad",
                                        "output_height",
                                        "sampling_ratio",
                                        "offset_group",
                                        "layout",
                                        "onesided",
                                        "inverse",
                                        "align_corners",
                                        "antialias",
                                        "exclude_outside",
                                        "periodic",
                                        "linear_before_reset",
                                        "input_forget",
                                        "center_point_box",
                                        "hidden_size",
                                        "num_heads",
                                        "kv_num_heads",
                                        "do_rotary",
                                        "unidirectional",
                                        "local_window_size",
                                        "N",
                                        "K",
                                        "bits",
                                        "transBatchA",
                                        "gather_axis",
                                        "quantize_axis",
                                        "channels_last",
                                        "interleaved",
                                        "rotary_interleaved",
                                        "smooth_softmax",
                                        "sample_size",
                                        "n_targets",
                                        "sorted",
                                        "num_scan_inputs"};
    static const char *const lists[] = {"axes",           "perm",         "pads",         "starts",         "ends",         "split",
                                        "shape",          "strides",      "ngram_counts", "ngram_indexes",  "pool_int64s",  "tree_roots",
                                        "leaf_targetids", "kernel_shape", "dilations",    "output_padding", "output_shape", "pooled_shape"};
    static const char *const texts[][2] = {{"mode", "CRD"},
                                           {"mode", "TFIDF"},
                                           {"reduction", "none"},
                                           {"update_rule", "linear"},
                                           {"pattern", "a|b{2,}"},
                                           {"pattern", "(["},
                                           {"delimiter", "a"},
                                           {"round_mode", "down"},
                                           {"case_change_action", "UPPER"},
                                           {"mode", "circular"},
                                           {"auto_pad", "SAME_LOWER"},
                                           {"auto_pad", "VALID"},
                                           {"equation", "ij,jk->ik"},
                                           {"equation", "...i,i..."},
                                           {"equation", "a,b->ba..."},
                                           {"mode", "cubic"},
                                           {"mode", "linear"},
                                           {"padding_mode", "reflection"},
                                           {"direction", "bidirectional"},
                                           {"coordinate_transformation_mode", "tf_crop_and_resize"},
                                           {"keep_aspect_ratio_policy", "not_smaller"}};
    if (next(seed) % 2) {
        size_t k = next(seed) % BASE_COUNT(texts);
        graph_set_string(n, texts[k][0], texts[k][1]);
    }
    for (int k = 0; k < 3; k++) graph_set_int(n, names[next(seed) % BASE_COUNT(names)], numbers[next(seed) % BASE_COUNT(numbers)]);
    if (next(seed) % 3 == 0) {
        int64_t v[4];
        for (int i = 0; i < 4; i++) v[i] = numbers[next(seed) % BASE_COUNT(numbers)];
        graph_set_ints(n, lists[next(seed) % BASE_COUNT(lists)], v, next(seed) % 5);
    }
}

static void hostile_node(const op *o, uint32_t *seed, int *evaluated) {
    base_heap heap;
    graph *g;
    nib_error err = {0};
    base_heap_init(&heap, NULL);
    assert_int_equal(graph_create(&heap, &g, &err), NIB_OK);
    graph_value *in[20] = {0}, *out[4];
    graph_tensor *given[20] = {0};
    int n_in = (int)(next(seed) % 6), n_out = 1 + (int)(next(seed) % 3);
    if (next(seed) % 8)
        n_in = o->max_in >= OP_ANY_IN ? o->min_in + (int)(next(seed) % 3)
                                      : o->min_in + (int)(next(seed) % (uint32_t)(o->max_in - o->min_in + 1));
    if (next(seed) % 8 && o->n_out > 0 && n_out > o->n_out) n_out = o->n_out;
    bool constants = next(seed) % 2;
    for (int i = 0; i < n_in; i++) {
        if (next(seed) % 16 == 0) continue;
        given[i] = i > 0 && given[0] && next(seed) % 2 ? given[0] : random_tensor(g->arena, seed, i > 0 && next(seed) % 2);
        bool honest = given[i]->rank == 0 || (given[i]->dims[0] >= 0 && given[i]->dims[0] < 100);
        in[i] = constants && honest && !op_is_container(given[i]->dtype) ? graph_add_constant(g, NULL, given[i], false)
                                                                         : graph_add_value(g, NULL);
        if (in[i]->constant) continue;
        in[i]->type = (graph_type){.dtype = given[i]->dtype, .rank = given[i]->rank};
        if (op_is_container(given[i]->dtype)) {
            in[i]->type =
                (graph_type){.kind = given[i]->dtype == NIB_DTYPE_SEQUENCE ? GRAPH_KIND_SEQUENCE : GRAPH_KIND_OPTIONAL, .rank = -1};
            continue;
        }
        for (int k = 0; k < given[i]->rank; k++)
            in[i]->type.dims[k] = next(seed) % 2 ? graph_dim_const(g->symbols, given[i]->dims[k]) : graph_dim_symbol(g->symbols, "n");
    }
    for (int i = 0; i < n_out; i++) {
        out[i] = graph_add_value(g, NULL);
        out[i]->type.rank = -1;
    }
    assert_int_equal(graph_set_opset(g, o->domain, o->since, &err), NIB_OK);
    graph_node *n = graph_add_node(g, NULL, o->domain, o->name, "hostile", in, n_in, out, n_out);
    random_attributes(n, seed);
    op_resolve(g);
    op_infer_graph(g, &err);
    op_rows_of(n);
    kernels table;
    kernel_table_init(&table, base_cpu_isas());
    op_env *env = op_env_create(g, g->arena, 1 << 16, &table);
    const graph_tensor *got;
    for (int i = 0; i < n_in; i++)
        if (in[i]) op_env_set(env, in[i], given[i]);
    for (int i = 0; i < n_out; i++) {
        nib_status status = op_env_get(env, out[i], &got, &err);
        *evaluated += status == NIB_OK;
        if (status != NIB_OK) assert_int_equal(err.status, status);
    }
    graph_free(g);
    assert_int_equal(heap.current, 0);
}

static void nothing_crashes(void **state) {
    (void)state;
    uint32_t seed = 2463534242u;
    int evaluated = 0;
    for (size_t f = 0; op_families[f]; f++)
        for (const op *o = op_families[f]; o->name; o++) /* those of nib, too: compiled files hold them */
            for (int i = 0; i < 300; i++) hostile_node(o, &seed, &evaluated);
    print_message("%d outputs computed\n", evaluated);
    assert_true(evaluated > 1000);
}

/* Inferring and evaluating what has sizes near 2^63, which no bytes need where another size is 0: the sanitizers watch the sums. */
static void sizes_that_overflow(void **state) {
    static const char *const texts[] = {
        "g (float[1,9223372036854775807,2] x) => (y) { y = DFT <inverse = 1, onesided = 1> (x) }",
        "g (float[1,4611686018427387905,2] x) => (y) { y = DFT <inverse = 1, onesided = 1> (x) }",
        "g () => (y) <float[0,4611686018427387904,2] x = {}> { y = DFT <inverse = 1, onesided = 1> (x) }",
        "g () => (y) <int64 a = {-9223372036854775808}, int64 b = {9223372036854775807}, int64 d = {4611686018427387904}> { y = Range (a, "
        "b, d) }",
        "g () => (y, z) <int64[2] x = {1, 2}, int64[2] s = {1, 9223372036854775807}> { y, z = Split (x, s) }",
        "g (float[1,1,65536] q, float[1,1,1] k, float[1,1,4611686018427387904] v) => (y) "
        "{ y, p = LinearAttention <q_num_heads = 65536, kv_num_heads = 1, update_rule = \"linear\"> (q, k, v) }",
        "g () => (y) <float[0,1,65536] q = {}, float[0,1,1] k = {}, float[0,1,4611686018427387904] v = {}> "
        "{ y, p = LinearAttention <q_num_heads = 65536, kv_num_heads = 1, update_rule = \"linear\"> (q, k, v) }",
        "g () => (y) <float[0,0,4611686018427387904] x = {}, float[0,1,4611686018427387905] w = {}> { y, p = CausalConvWithState (x, w) }",
        "g () => (y) <float[0,4611686018427387904] e = {}> { s = SequenceConstruct (e, e, e) y = ConcatFromSequence <axis = 1> (s) }",
        "g () => (y) <float[0,4611686018427387904] e = {}> { y = Concat <axis = 1> (e, e, e) }",
        "g () => (y) <float[0,4611686018427387904] e = {}, int64[2] r = {1, 9223372036854775807}> { y = Tile (e, r) }",
        "g () => (y) <float[0,4611686018427387904] e = {}, int64[4] p = {0, 4611686018427387904, 0, 4611686018427387904}> { y = Pad (e, p) "
        "}",
    };
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(texts); i++)
        for (int opset = 17; opset <= 27; opset += 10) {
            base_heap heap;
            graph *g;
            nib_error err = {0};
            char text[1000];
            kernels table;
            const graph_tensor *got;
            base_heap_init(&heap, NULL);
            snprintf(text, sizeof text, "<ir_version: 8, opset_import: [\"\" : %d]> %s", opset, texts[i]);
            if (graph_parse(&heap, text, strlen(text), &g, &err) != NIB_OK) fail_msg("%s\n%s", err.message, text);
            op_resolve(g);
            kernel_table_init(&table, base_cpu_isas());
            if (op_infer_graph(g, &err) == NIB_OK && g->n_inputs == 0) {
                op_env *env = op_env_create(g, g->arena, 1 << 16, &table);
                for (int k = 0; k < g->n_outputs; k++) op_env_get(env, g->outputs[k], &got, &err);
            }
            graph_free(g);
            assert_int_equal(heap.current, 0);
        }
}

/* Elements below a byte lie packed in attributes, too: three bytes of five fours, in a block of their size. */
static void attributes_below_a_byte(void **state) {
    static const int64_t want[] = {-8, -1, 3, 0, 7};
    base_heap heap;
    graph *g;
    nib_error err = {0};
    kernels table;
    const graph_tensor *got;
    uint8_t *keys = malloc(3), *values = malloc(3), *x = malloc(3);
    (void)state;
    memcpy(keys, (uint8_t[]){0x21, 0x43, 0x05}, 3);   /* 1 2 3 4 5 */
    memcpy(values, (uint8_t[]){0xf8, 0x03, 0x07}, 3); /* as wanted */
    memcpy(x, (uint8_t[]){0x21, 0x43, 0x05}, 3);
    base_heap_init(&heap, NULL);
    assert_int_equal(graph_create(&heap, &g, &err), NIB_OK);
    graph_tensor t = {.dtype = NIB_DTYPE_I4, .rank = 1, .dims = {5}, .data = x, .bytes = 3}, k = t, v = t,
                 other = {.dtype = NIB_DTYPE_I4, .data = values, .bytes = 1};
    k.data = keys;
    v.data = values;
    graph_value *in = graph_add_constant(g, NULL, &t, false), *y = graph_emit(g, NULL, "ai.onnx.ml", "LabelEncoder", &in, 1, NULL);
    assert_int_equal(graph_set_opset(g, "ai.onnx.ml", 4, &err), NIB_OK);
    const graph_attr attrs[] = {{.name = "keys_tensor", .kind = GRAPH_ATTR_TENSOR, .u.tensor = &k},
                                {.name = "values_tensor", .kind = GRAPH_ATTR_TENSOR, .u.tensor = &v},
                                {.name = "default_tensor", .kind = GRAPH_ATTR_TENSOR, .u.tensor = &other}};
    for (size_t i = 0; i < BASE_COUNT(attrs); i++) assert_int_equal(graph_set_attr(y->producer, &attrs[i]), NIB_OK);
    op_resolve(g);
    kernel_table_init(&table, base_cpu_isas());
    op_env *env = op_env_create(g, g->arena, 1 << 16, &table);
    if (op_env_get(env, y, &got, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(got->bytes, 3);
    for (int i = 0; i < 5; i++) {
        int nibble = ((const uint8_t *)got->data)[i / 2] >> (i % 2 * 4) & 15;
        assert_int_equal(nibble - (nibble & 8) * 2, want[i]);
    }
    graph_free(g);
    free(keys), free(values), free(x);
    assert_int_equal(heap.current, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_found), cmocka_unit_test(nothing_crashes),
                                       cmocka_unit_test(sizes_that_overflow), cmocka_unit_test(attributes_below_a_byte)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
