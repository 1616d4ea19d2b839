/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparisons, logic and choice, https://onnx.ai/onnx/operators/: Equal Greater GreaterOrEqual Less LessOrEqual, And Or Xor
 * Not, IsNaN IsInf, Where. Outputs are bool (Where: of its branches' type), inputs broadcast. A bool is a byte; any byte
 * but 0 is true, and 1 is written.
 */
#include "op_local.h"

#define COMPARE_LOOP(name, N, S, W, LOAD, operator)                                                                                        \
    static void name##_##N(void *out, const void *const *in, const int64_t *step, int64_t n, const void *arg) {                            \
        const S *a = in[0], *b = in[1];                                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            W x = LOAD(a[i * step[0]]), y = LOAD(b[i * step[1]]);                                                                          \
            ((uint8_t *)out)[i] = x operator y;                                                                                            \
        }                                                                                                                                  \
    }
#define TRUTH(x) ((x) != 0)
#define COMPARE_CASE(name, N)                                                                                                              \
    case NIB_DTYPE_##N:                                                                                                                    \
        return name##_##N;
#define COMPARE(name, operator)                                                                                                            \
    COMPARE_LOOP(name, F32, float, float, OP_SAME, operator)                                                                               \
    COMPARE_LOOP(name, F64, double, double, OP_SAME, operator)                                                                             \
    COMPARE_LOOP(name, F16, uint16_t, float, base_f16_to_f32, operator)                                                                    \
    COMPARE_LOOP(name, BF16, uint16_t, float, base_bf16_to_f32, operator)                                                                  \
    COMPARE_LOOP(name, I8, int8_t, int, OP_SAME, operator)                                                                                 \
    COMPARE_LOOP(name, I16, int16_t, int, OP_SAME, operator)                                                                               \
    COMPARE_LOOP(name, I32, int32_t, int32_t, OP_SAME, operator)                                                                           \
    COMPARE_LOOP(name, I64, int64_t, int64_t, OP_SAME, operator)                                                                           \
    COMPARE_LOOP(name, U8, uint8_t, int, OP_SAME, operator)                                                                                \
    COMPARE_LOOP(name, U16, uint16_t, int, OP_SAME, operator)                                                                              \
    COMPARE_LOOP(name, U32, uint32_t, uint32_t, OP_SAME, operator)                                                                         \
    COMPARE_LOOP(name, U64, uint64_t, uint64_t, OP_SAME, operator)                                                                         \
    COMPARE_LOOP(name, BOOL, uint8_t, int, TRUTH, operator)                                                                                \
    static op_loop *name##_loop(nib_dtype dtype) {                                                                                         \
        switch (dtype) {                                                                                                                   \
            COMPARE_CASE(name, F32)                                                                                                        \
            COMPARE_CASE(name, F64)                                                                                                        \
            COMPARE_CASE(name, F16)                                                                                                        \
            COMPARE_CASE(name, BF16)                                                                                                       \
            COMPARE_CASE(name, I8)                                                                                                         \
            COMPARE_CASE(name, I16)                                                                                                        \
            COMPARE_CASE(name, I32)                                                                                                        \
            COMPARE_CASE(name, I64)                                                                                                        \
            COMPARE_CASE(name, U8)                                                                                                         \
            COMPARE_CASE(name, U16)                                                                                                        \
            COMPARE_CASE(name, U32)                                                                                                        \
            COMPARE_CASE(name, U64)                                                                                                        \
            COMPARE_CASE(name, BOOL)                                                                                                       \
        default: return NULL;                                                                                                              \
        }                                                                                                                                  \
    }                                                                                                                                      \
    static nib_status eval_##name(op_eval *c) { return eval_compare(c, name##_loop(op_arg(c, 0)->dtype)); }

static nib_status eval_compare(op_eval *c, op_loop *loop) {
    op_dims dims;
    void *y;
    nib_dtype dtype = op_arg(c, 0)->dtype;
    if (op_arg(c, 1)->dtype != dtype) return op_bad(c, NIB_TYPE, "inputs differ in type");
    if (!loop) return op_bad(c, NIB_TYPE, "inputs of type %s", nib_dtype_name(dtype));
    OP_TRY(op_broadcast_dims(c, 2, c->in, &dims));
    OP_TRY(op_out(c, 0, NIB_DTYPE_BOOL, &dims, &y));
    if (y) op_walk(&dims, y, 1, 2, c->in, loop, NULL);
    return NIB_OK;
}

static void string_equal(void *out, const void *const *in, const int64_t *step, int64_t n, const void *arg) {
    const graph_string *a = in[0], *b = in[1];
    for (int64_t i = 0; i < n; i++) {
        const graph_string *x = &a[i * step[0]], *y = &b[i * step[1]];
        ((uint8_t *)out)[i] = x->length == y->length && (x->length == 0 || memcmp(x->data, y->data, x->length) == 0);
    }
}

COMPARE(equal_number, ==)
COMPARE(greater, >)
COMPARE(greater_equal, >=)
COMPARE(less, <)
COMPARE(less_equal, <=)
static nib_status eval_equal(op_eval *c) {
    return op_arg(c, 0)->dtype == NIB_DTYPE_STRING ? eval_compare(c, string_equal) : eval_equal_number(c);
}

#define LOGIC(name, expression)                                                                                                            \
    static void loop_##name(void *out, const void *const *in, const int64_t *step, int64_t n, const void *arg) {                           \
        const uint8_t *a = in[0], *b = in[1];                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            int x = a[i * step[0]] != 0, y = b[i * step[1]] != 0;                                                                          \
            ((uint8_t *)out)[i] = (uint8_t)(expression);                                                                                   \
        }                                                                                                                                  \
    }                                                                                                                                      \
    static nib_status eval_##name(op_eval *c) { return eval_compare(c, op_arg(c, 0)->dtype == NIB_DTYPE_BOOL ? loop_##name : NULL); }
LOGIC(and, x &y)
LOGIC(or, x | y)
LOGIC(xor, x ^ y)

static nib_status eval_not(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    uint8_t *y;
    if (x->dtype != NIB_DTYPE_BOOL) return op_bad(c, NIB_TYPE, "input is not bool");
    OP_TRY(op_out(c, 0, NIB_DTYPE_BOOL, &dims, &y));
    int64_t n = y ? op_count(x->rank, x->dims) : 0;
    for (int64_t i = 0; i < n; i++) y[i] = ((const uint8_t *)x->data)[i] == 0;
    return NIB_OK;
}

/* IsNaN, IsInf: which of the two and which signs count. */
static nib_status eval_is(op_eval *c, bool nan, bool negative, bool positive) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    uint8_t *y;
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_out(c, 0, NIB_DTYPE_BOOL, &dims, &y));
    int64_t n = y ? op_count(x->rank, x->dims) : 0;
    for (int64_t i = 0; i < n; i++) {
        double v = op_number(x, i);
        y[i] = nan ? v != v : (negative && v == -INFINITY) || (positive && v == INFINITY);
    }
    return NIB_OK;
}
static nib_status eval_is_nan(op_eval *c) { return eval_is(c, true, false, false); }
static nib_status eval_is_inf(op_eval *c) {
    return eval_is(c, false, graph_attr_int(c->node, "detect_negative", 1) != 0, graph_attr_int(c->node, "detect_positive", 1) != 0);
}

#define WHERE_LOOP(bits)                                                                                                                   \
    static void where_##bits(void *out, const void *const *in, const int64_t *step, int64_t n, const void *arg) {                          \
        const uint8_t *choose = in[0];                                                                                                     \
        const uint##bits##_t *a = in[1], *b = in[2];                                                                                       \
        uint##bits##_t *y = out;                                                                                                           \
        for (int64_t i = 0; i < n; i++) y[i] = choose[i * step[0]] ? a[i * step[1]] : b[i * step[2]];                                      \
    }
WHERE_LOOP(8)
WHERE_LOOP(16)
WHERE_LOOP(32)
WHERE_LOOP(64)
static void where_string(void *out, const void *const *in, const int64_t *step, int64_t n, const void *arg) {
    const uint8_t *choose = in[0];
    const graph_string *a = in[1], *b = in[2];
    for (int64_t i = 0; i < n; i++) ((graph_string *)out)[i] = choose[i * step[0]] ? a[i * step[1]] : b[i * step[2]];
}

static nib_status eval_where(op_eval *c) {
    nib_dtype dtype = op_arg(c, 1)->dtype;
    size_t size = op_size(dtype);
    op_loop *loop = dtype == NIB_DTYPE_STRING ? where_string
                    : size == 1               ? where_8
                    : size == 2               ? where_16
                    : size == 4               ? where_32
                    : size == 8               ? where_64
                                              : NULL;
    op_dims dims;
    void *y;
    if (op_arg(c, 0)->dtype != NIB_DTYPE_BOOL) return op_bad(c, NIB_TYPE, "condition is not bool");
    if (op_arg(c, 2)->dtype != dtype) return op_bad(c, NIB_TYPE, "branches differ in type");
    if (!loop) return op_bad(c, NIB_TYPE, "branches of type %s", nib_dtype_name(dtype));
    OP_TRY(op_broadcast_dims(c, 3, c->in, &dims));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (y) op_walk(&dims, y, size, 3, c->in, loop, NULL);
    return NIB_OK;
}

/* ---- inference */

static nib_status infer_logic(op_infer *c) {
    for (int i = 0; i < 2; i++)
        if (op_in_type(c, i)->dtype != NIB_DTYPE_BOOL && op_in_type(c, i)->dtype != NIB_DTYPE_UNDEFINED)
            return op_fail(c, NIB_TYPE, "input %d is not bool", i);
    return op_infer_broadcast_as(c, 0, 2, NIB_DTYPE_BOOL);
}

/* a ? b for `what` in = > g(reater or equal) < l(ess or equal): 1, 0, or -1 where it cannot be told. */
static int compare_dims(const op_infer *c, char what, graph_dim a, graph_dim b) {
    int64_t x, y;
    graph_symtab *t = OP_SYMS(c);
    if (!a || !b) return -1;
    graph_dim up = graph_dim_sub(t, a, b), down = graph_dim_sub(t, b, a), one = op_const(c, 1);
    if (graph_dim_is_const(up, &x) && graph_dim_is_const(down, &y)) {
        return what == '=' ? x == 0 : what == '>' ? x > 0 : what == 'g' ? x >= 0 : what == '<' ? x < 0 : x <= 0;
    }
    bool more = up && graph_dim_is_nonnegative(graph_dim_sub(t, up, one)),
         less = down && graph_dim_is_nonnegative(graph_dim_sub(t, down, one));
    /* A size is never below zero: a shape's element against the -1 that stands for "as it is". */
    if (graph_dim_is_const(b, &y) && y < 0 && graph_dim_is_nonnegative(a)) more = true;
    if (graph_dim_is_const(a, &x) && x < 0 && graph_dim_is_nonnegative(b)) less = true;
    if (more) return what == '>' || what == 'g';
    if (less) return what == '<' || what == 'l';
    if (what == 'g' && graph_dim_is_nonnegative(up)) return 1;
    if (what == 'l' && graph_dim_is_nonnegative(down)) return 1;
    return -1;
}

static nib_status infer_compare(op_infer *c, char what) {
    graph_dim a[GRAPH_MAX_DATA], b[GRAPH_MAX_DATA], out[GRAPH_MAX_DATA];
    int n, m;
    nib_dtype p = op_in_type(c, 0)->dtype, q = op_in_type(c, 1)->dtype;
    if (p != q && p != NIB_DTYPE_UNDEFINED && q != NIB_DTYPE_UNDEFINED)
        return op_fail(c, NIB_TYPE, "inputs differ in type: %s and %s", nib_dtype_name(p), nib_dtype_name(q));
    OP_TRY(op_infer_broadcast_as(c, 0, 2, NIB_DTYPE_BOOL));
    if (!op_in_data(c, 0, a, &n) || !op_in_data(c, 1, b, &m) || (n != m && n != 1 && m != 1)) return NIB_OK;
    int count = n == 1 ? m : n;
    for (int i = 0; i < count; i++) {
        int truth = compare_dims(c, what, a[n == 1 ? 0 : i], b[m == 1 ? 0 : i]);
        out[i] = truth < 0 ? NULL : op_const(c, truth);
    }
    return op_set_data(c, 0, out, count);
}
static nib_status infer_equal(op_infer *c) { return infer_compare(c, '='); }
static nib_status infer_greater(op_infer *c) { return infer_compare(c, '>'); }
static nib_status infer_greater_equal(op_infer *c) { return infer_compare(c, 'g'); }
static nib_status infer_less(op_infer *c) { return infer_compare(c, '<'); }
static nib_status infer_less_equal(op_infer *c) { return infer_compare(c, 'l'); }

static nib_status infer_not(op_infer *c) {
    graph_dim d[GRAPH_MAX_DATA];
    int n;
    int64_t v;
    if (op_in_type(c, 0)->dtype != NIB_DTYPE_BOOL && op_in_type(c, 0)->dtype != NIB_DTYPE_UNDEFINED)
        return op_fail(c, NIB_TYPE, "input is not bool");
    OP_TRY(op_set_like(c, 0, NIB_DTYPE_BOOL, op_in_type(c, 0)));
    if (!op_in_data(c, 0, d, &n)) return NIB_OK;
    for (int i = 0; i < n; i++) d[i] = graph_dim_is_const(d[i], &v) ? op_const(c, v == 0) : NULL;
    return op_set_data(c, 0, d, n);
}

static nib_status infer_is(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return op_set_like(c, 0, NIB_DTYPE_BOOL, op_in_type(c, 0));
}

static nib_status infer_where(op_infer *c) {
    graph_dim w[GRAPH_MAX_DATA], a[GRAPH_MAX_DATA], b[GRAPH_MAX_DATA], out[GRAPH_MAX_DATA];
    int k, n, m;
    int64_t v;
    nib_dtype p = op_in_type(c, 1)->dtype, q = op_in_type(c, 2)->dtype;
    if (op_in_type(c, 0)->dtype != NIB_DTYPE_BOOL && op_in_type(c, 0)->dtype != NIB_DTYPE_UNDEFINED)
        return op_fail(c, NIB_TYPE, "condition is not bool");
    if (p != q && p != NIB_DTYPE_UNDEFINED && q != NIB_DTYPE_UNDEFINED) return op_fail(c, NIB_TYPE, "branches differ in type");
    OP_TRY(op_infer_broadcast_as(c, 0, 3, p == NIB_DTYPE_UNDEFINED ? q : p));
    bool known = op_in_data(c, 0, w, &k), has_a = op_in_data(c, 1, a, &n), has_b = op_in_data(c, 2, b, &m);
    if ((!has_a && !has_b) || !op_is_int(p)) return NIB_OK;
    int count = 1;
    const int counts[3] = {known ? k : 1, has_a ? n : 1, has_b ? m : 1};
    for (int i = 0; i < 3; i++) {
        if (counts[i] != 1 && count != 1 && counts[i] != count) return NIB_OK;
        if (counts[i] != 1) count = counts[i];
    }
    /* An operand whose contents are unknown has to have the right count all the same: one that is a single element, or as many. */
    graph_type *y = c->node->outputs[0] ? &c->node->outputs[0]->type : NULL;
    int64_t size = 1;
    if (!y || y->rank < 0 || y->rank > 1 || (y->rank == 1 && !graph_dim_is_const(y->dims[0], &size)) || size > GRAPH_MAX_DATA ||
        (count != 1 && size != count))
        return NIB_OK;
    for (int i = 0; i < size; i++) {
        graph_dim x = has_a ? a[n == 1 ? 0 : i] : NULL, z = has_b ? b[m == 1 ? 0 : i] : NULL;
        bool decided = known && graph_dim_is_const(w[k == 1 ? 0 : i], &v);
        out[i] = decided ? (v ? x : z) : x == z ? x : NULL;
    }
    return op_set_data(c, 0, out, (int)size);
}

OP_ALIGNED(and, -1)
OP_ALIGNED(or, -1)
OP_ALIGNED(xor, -1)
OP_ALIGNED(equal, -1)
OP_ALIGNED(greater, -1)
OP_ALIGNED(less, -1)

#define OLD(name, eval)                                                                                                                    \
    { name, "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned_bool, eval, NULL }
#define ROW(name, since, inputs, infer, eval)                                                                                              \
    { name, "", since, inputs, inputs, 1, OP_ROWS_ELEMENT, infer, eval, NULL }

const op op_family_logic[] = {
    OLD("And", eval_old_and),
    ROW("And", 7, 2, infer_logic, eval_and),
    OLD("Equal", eval_old_equal),
    ROW("Equal", 7, 2, infer_equal, eval_equal),
    OLD("Greater", eval_old_greater),
    ROW("Greater", 7, 2, infer_greater, eval_greater),
    ROW("GreaterOrEqual", 12, 2, infer_greater_equal, eval_greater_equal),
    ROW("IsInf", 10, 1, infer_is, eval_is_inf),
    ROW("IsNaN", 9, 1, infer_is, eval_is_nan),
    OLD("Less", eval_old_less),
    ROW("Less", 7, 2, infer_less, eval_less),
    ROW("LessOrEqual", 12, 2, infer_less_equal, eval_less_equal),
    ROW("Not", 1, 1, infer_not, eval_not),
    OLD("Or", eval_old_or),
    ROW("Or", 7, 2, infer_logic, eval_or),
    ROW("Where", 9, 3, infer_where, eval_where),
    OLD("Xor", eval_old_xor),
    ROW("Xor", 7, 2, infer_logic, eval_xor),
    {0},
};
