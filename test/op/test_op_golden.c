/* SPDX-License-Identifier: Apache-2.0
 *
 * Every golden case of test/data/op (made by tools/make_op_goldens.py, which describes the format): a graph of one node is
 * built, inferred, evaluated and compared; what inference promised must hold for what evaluation gave, and inference must
 * not contradict itself when the inputs' sizes are unknown or symbols.
 */
#include "op/op.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>
#include "base/base_half.h"

typedef struct reader {
    const uint8_t *p, *end;
} reader;

static const void *take(reader *r, size_t n) {
    assert_true((size_t)(r->end - r->p) >= n);
    const void *p = r->p;
    r->p += n;
    return p;
}
#define TAKE(r, type, name)                                                                                                                \
    type name;                                                                                                                             \
    memcpy(&name, take(r, sizeof name), sizeof name)

static const char *take_text(reader *r, base_arena *arena, size_t *length) {
    TAKE(r, uint16_t, n);
    *length = n;
    return base_arena_strndup(arena, take(r, n), n);
}

static graph_tensor *take_tensor(reader *r, base_arena *arena) {
    graph_tensor *t = base_arena_calloc(arena, 1, sizeof *t);
    TAKE(r, uint8_t, dtype);
    TAKE(r, uint8_t, rank);
    t->dtype = (nib_dtype)dtype;
    t->rank = rank;
    for (int i = 0; i < rank; i++) {
        TAKE(r, int64_t, d);
        t->dims[i] = d;
    }
    TAKE(r, uint32_t, bytes);
    t->bytes = bytes;
    t->data = base_arena_alloc(arena, bytes + 1);
    memcpy(t->data, take(r, bytes), bytes);
    return t;
}

static void take_attribute(reader *r, graph *g, graph_node *n) {
    graph_attr a = {0};
    size_t length;
    a.name = take_text(r, g->arena, &length);
    TAKE(r, uint8_t, kind);
    a.kind = (graph_attr_kind)kind;
    if (kind == GRAPH_ATTR_FLOAT) memcpy(&a.u.f, take(r, 4), 4);
    else if (kind == GRAPH_ATTR_INT) memcpy(&a.u.i, take(r, 8), 8);
    else if (kind == GRAPH_ATTR_TENSOR) a.u.tensor = take_tensor(r, g->arena);
    else if (kind == GRAPH_ATTR_STRING) a.u.s.data = take_text(r, g->arena, &a.u.s.length);
    else if (kind == GRAPH_ATTR_STRINGS) {
        TAKE(r, uint32_t, count);
        graph_string *list = base_arena_calloc(g->arena, count + 1, sizeof *list);
        a.count = count;
        for (uint32_t i = 0; i < count; i++) list[i].data = take_text(r, g->arena, &list[i].length);
        a.u.strings = list;
    } else {
        size_t size = kind == GRAPH_ATTR_FLOATS ? 4 : 8;
        TAKE(r, uint32_t, count);
        a.count = count;
        void *list = base_arena_alloc(g->arena, count * size + 1);
        memcpy(list, take(r, count * size), count * size);
        if (size == 4) a.u.floats = list;
        else a.u.ints = list;
    }
    assert_int_equal(graph_set_attr(n, &a), NIB_OK);
}

static double at(const graph_tensor *t, int64_t i) {
    switch (t->dtype) {
    case NIB_DTYPE_F32: return ((const float *)t->data)[i];
    case NIB_DTYPE_F64: return ((const double *)t->data)[i];
    case NIB_DTYPE_F16: return base_f16_to_f32(((const uint16_t *)t->data)[i]);
    default: return base_bf16_to_f32(((const uint16_t *)t->data)[i]);
    }
}

static bool same(const char *name, const graph_tensor *got, const graph_tensor *want) {
    if (got->dtype != want->dtype || got->rank != want->rank || memcmp(got->dims, want->dims, sizeof(int64_t) * (size_t)want->rank) != 0) {
        print_error("%s: type or shape differ: %s rank %d, wanted %s rank %d\n", name, nib_dtype_name(got->dtype), got->rank,
                    nib_dtype_name(want->dtype), want->rank);
        return false;
    }
    int64_t n = graph_tensor_elements(want);
    if (want->dtype != NIB_DTYPE_F32 && want->dtype != NIB_DTYPE_F64 && want->dtype != NIB_DTYPE_F16 && want->dtype != NIB_DTYPE_BF16) {
        if (want->bytes == 0 || memcmp(got->data, want->data, want->bytes) == 0) return true;
        print_error("%s: integers differ", name);
        for (size_t i = 0; i < want->bytes && i < 12; i++)
            print_error(" %02x/%02x", ((const uint8_t *)got->data)[i], ((const uint8_t *)want->data)[i]);
        print_error("\n");
        return false;
    }
    double relative = want->dtype == NIB_DTYPE_F16 ? 4e-3 : want->dtype == NIB_DTYPE_BF16 ? 2e-2 : 1e-5;
    double absolute = want->dtype == NIB_DTYPE_F16 ? 1e-3 : want->dtype == NIB_DTYPE_BF16 ? 1e-2 : 1e-6;
    for (int64_t i = 0; i < n; i++) {
        double a = at(got, i), b = at(want, i);
        if ((isnan(a) && isnan(b)) || a == b || fabs(a - b) <= absolute + relative * fabs(b)) continue;
        print_error("%s: element %lld is %.9g, wanted %.9g\n", name, (long long)i, a, b);
        return false;
    }
    return true;
}

static bool inferred_holds(const char *name, const graph_value *v, const graph_tensor *t) {
    bool ok = (v->type.dtype == NIB_DTYPE_UNDEFINED || v->type.dtype == t->dtype) && (v->type.rank < 0 || v->type.rank == t->rank);
    int64_t d;
    for (int i = 0; ok && i < v->type.rank; i++)
        if (graph_dim_is_const(v->type.dims[i], &d)) ok = d == t->dims[i];
    for (int i = 0; ok && v->data && i < v->data_count; i++) {
        if (!graph_dim_is_const(v->data[i], &d)) continue;
        int64_t got = t->dtype == NIB_DTYPE_I64   ? ((const int64_t *)t->data)[i]
                      : t->dtype == NIB_DTYPE_I32 ? ((const int32_t *)t->data)[i]
                                                  : ((const uint8_t *)t->data)[i];
        ok = v->data_count == graph_tensor_elements(t) && d == got;
    }
    if (!ok) print_error("%s: inference promised something else\n", name);
    return ok;
}

enum { AS_CONSTANTS, AS_INPUTS, AS_SYMBOLS, AS_UNKNOWN, WAYS };

/* How much these give is for their numbers to say. */
static const char any_size[] = "NonZero Compress Unique NonMaxSuppression";

/* One case in one way: what inference is told of the inputs. */
static bool run_case(const uint8_t *begin, const uint8_t *end, const uint8_t **next, int way, int *unknown_dims) {
    base_heap heap;
    graph *g;
    nib_error err = {0};
    bool ok = true;
    size_t length;
    reader r = {begin, end};
    base_heap_init(&heap, NULL);
    assert_int_equal(graph_create(&heap, &g, &err), NIB_OK);
    const char *name = take_text(&r, g->arena, &length), *op_type = take_text(&r, g->arena, &length), *domain = "";
    char *colon = strchr(op_type, ':'); /* domain:operator */
    if (colon) {
        *colon = 0;
        domain = op_type;
        op_type = colon + 1;
    }
    TAKE(&r, uint16_t, opset);
    assert_int_equal(graph_set_opset(g, domain, opset, &err), NIB_OK);
    reader attributes = r;
    graph_node *scrap = graph_add_node(g, NULL, domain, op_type, "scrap", NULL, 0, NULL, 0);
    TAKE(&r, uint16_t, n_attrs);
    for (int i = 0; i < n_attrs; i++) take_attribute(&r, g, scrap);
    graph_value *in[64] = {0}, *out[64] = {0};
    graph_tensor *given[64] = {0}, *want[64] = {0};
    TAKE(&r, uint16_t, n_in);
    for (int i = 0; i < n_in; i++) {
        TAKE(&r, uint8_t, present);
        if (!present) continue;
        given[i] = take_tensor(&r, g->arena);
        if (way == AS_CONSTANTS) {
            in[i] = graph_add_constant(g, NULL, given[i], false);
            continue;
        }
        in[i] = graph_add_value(g, NULL);
        in[i]->type = (graph_type){.dtype = given[i]->dtype, .rank = way == AS_UNKNOWN ? -1 : given[i]->rank};
        for (int k = 0; k < given[i]->rank && way != AS_UNKNOWN; k++)
            in[i]->type.dims[k] = way == AS_INPUTS ? graph_dim_const(g->symbols, given[i]->dims[k]) : graph_dim_fresh(g->symbols, "s");
        assert_int_equal(graph_add_input(g, in[i]), NIB_OK);
    }
    TAKE(&r, uint16_t, n_out);
    for (int i = 0; i < n_out; i++) {
        TAKE(&r, uint8_t, present);
        if (!present) continue;
        want[i] = take_tensor(&r, g->arena);
        out[i] = graph_add_value(g, NULL);
        out[i]->type = (graph_type){.rank = -1};
    }
    *next = r.p;
    graph_remove_node(g, scrap);
    graph_node *n = graph_add_node(g, NULL, domain, op_type, name, in, n_in, out, n_out);
    uint16_t count;
    memcpy(&count, take(&attributes, 2), 2);
    for (int i = 0; i < count; i++) take_attribute(&attributes, g, n);
    op_resolve(g);
    kernels table;
    memset(&table, 0, sizeof table);
    if (!n->meaning || op_infer_graph(g, &err) != NIB_OK) {
        print_error("%s (opset %d, way %d): %s\n", name, opset, way, n->meaning ? err.message : "no such operator");
        ok = false;
    }
    op_env *env = op_env_create(g, g->arena, 1 << 20, &table);
    for (int i = 0; i < n_in; i++)
        if (in[i]) assert_int_equal(op_env_set(env, in[i], given[i]), NIB_OK);
    for (int i = 0; ok && i < n_out; i++) {
        const graph_tensor *got;
        if (!out[i]) continue;
        if (op_env_get(env, out[i], &got, &err) != NIB_OK) {
            print_error("%s (opset %d): eval: %s\n", name, opset, err.message);
            ok = false;
            break;
        }
        ok = (way != AS_CONSTANTS || same(name, got, want[i])) && inferred_holds(name, out[i], got);
        for (int k = 0; way == AS_CONSTANTS && k < (out[i]->type.rank < 0 ? 1 : out[i]->type.rank); k++)
            if ((out[i]->type.rank < 0 || !graph_dim_is_const(out[i]->type.dims[k], NULL)) && !strstr(any_size, op_type)) {
                if (*unknown_dims < 20) print_message("%s: size %d not inferred from constants\n", name, k);
                ++*unknown_dims;
            }
    }
    graph_free(g);
    assert_int_equal(heap.current, 0);
    return ok;
}

static void run_file(const char *file) {
    char path[512];
    base_heap heap;
    base_file f;
    nib_error err = {0};
    uint32_t count;
    int passed = 0, unknown = 0;
    snprintf(path, sizeof path, "%s/op/%s", NIB_TEST_DATA, file);
    base_heap_init(&heap, NULL);
    assert_int_equal(base_file_open(&heap, path, false, &f, &err), NIB_OK);
    assert_true(f.size > 12 && memcmp(f.data, "NIBGOLD1", 8) == 0);
    memcpy(&count, f.data + 8, 4);
    const uint8_t *p = f.data + 12, *next = p;
    for (uint32_t i = 0; i < count; i++, p = next) {
        bool ok = true;
        for (int way = 0; way < WAYS; way++) ok = run_case(p, f.data + f.size, &next, way, &unknown) && ok;
        passed += ok;
    }
    assert_ptr_equal(next, f.data + f.size);
    base_file_close(&f);
    print_message("%s: %d of %u cases pass\n", file, passed, count);
    assert_int_equal(passed, count);
    assert_int_equal(unknown, 0);
}

#define FILE_TEST(name)                                                                                                                    \
    static void name(void **state) {                                                                                                       \
        (void)state;                                                                                                                       \
        run_file(#name ".bin");                                                                                                            \
    }
FILE_TEST(conformance)
FILE_TEST(elementwise)
FILE_TEST(shapes)
FILE_TEST(indexing)
FILE_TEST(reductions)
FILE_TEST(products)
FILE_TEST(quantized)
FILE_TEST(contrib)
FILE_TEST(learned)
FILE_TEST(windows)

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(conformance), cmocka_unit_test(elementwise), cmocka_unit_test(shapes),
                                       cmocka_unit_test(indexing),    cmocka_unit_test(reductions),  cmocka_unit_test(products),
                                       cmocka_unit_test(quantized),   cmocka_unit_test(contrib),     cmocka_unit_test(learned),
                                       cmocka_unit_test(windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
