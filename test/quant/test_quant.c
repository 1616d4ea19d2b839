/* SPDX-License-Identifier: Apache-2.0
 *
 * q8 and bf16 as rewrites of the graph, on bert-tiny. In: ragged ids. Out: near f32, the same bits however the batch is cut, and every
 * Linear rewritten; the plain eval of a rewritten Linear agrees with the kernels.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "npy.h"

#define TEXTS 9
#define DIM 64

static int32_t ids[TEXTS][40];
static const int32_t *rows[TEXTS];
static int64_t lengths[TEXTS];

static int make_texts(void **state) {
    unsigned seed = 5;
    for (int i = 0; i < TEXTS; i++) {
        lengths[i] = 1 + i * 4;
        for (int k = 0; k < lengths[i]; k++) ids[i][k] = (int32_t)((seed = seed * 1664525u + 1013904223u) >> 8) % 479 + 1;
        rows[i] = ids[i];
    }
    return 0;
}

static const char *model_path = NIB_TEST_DATA "/hf/bert-tiny";

static nib_model *open_as(nib_precision precision, int threads) {
    nib_model_options o;
    nib_runtime_options r;
    nib_runtime *rt;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.precision = precision;
    if (nib_model_open(model_path, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_runtime_free(rt);
    return m;
}

static void run(nib_model *m, int first, int n, int64_t group, float *out) {
    nib_error e;
    run_session *s;
    run_item items[TEXTS];
    for (int i = 0; i < n; i++) items[i] = (run_item){.ids = rows[first + i], .length = lengths[first + i]};
    const run_batch batch = {.n = (size_t)n, .items = items};
    const run_sink sink = {.width = DIM, .give = run_to_matrix, .user = &(run_matrix){.to = out, .width = DIM}};
    assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
    if (run_texts(s, &model_own(m)->roles, &batch, group, RUN_TEAM_ALL, &sink, &e) != NIB_OK)
        fail_msg("%s (%s)", e.message, e.node);
    run_session_free(s);
}

static void check_precision(nib_precision precision, const char *weight, double least) {
    static float want[TEXTS][DIM], got[TEXTS][DIM], again[TEXTS][DIM];
    nib_model *m = open_as(NIB_PRECISION_F32, 1);
    run(m, 0, TEXTS, 0, want[0]);
    nib_model_free(m);
    for (int threads = 1; threads <= 3; threads++) {
        m = open_as(precision, threads);
        int linears = 0;
        for (const graph_node *n = model_own(m)->g->first; n; n = n->next) {
            op_linear l;
            if (!op_linear_get(n, &l)) continue;
            assert_string_equal(kernel_weight_formats[l.weight_format].name, weight);
            linears++;
        }
        assert_int_equal(linears, 8); /* two layers of four: queries, keys and values are one */
        for (int i = 0; i < model_own(m)->p->n_steps; i++)
            if (graph_is_op(model_own(m)->p->steps[i].node, "nib", "Linear"))
                assert_string_not_equal(model_own(m)->p->steps[i].kernel, "eval");
        run(m, 0, TEXTS, 0, threads == 1 ? got[0] : again[0]);
        if (threads > 1) assert_memory_equal(again, got, sizeof got);
        for (int64_t group = 1; group < 80; group += 13) {
            run(m, 0, TEXTS, group, again[0]);
            assert_memory_equal(again, got, sizeof got);
        }
        for (int i = 0; i < TEXTS; i++) {
            run(m, i, 1, 0, again[0]);
            assert_memory_equal(again[0], got[i], sizeof got[0]);
        }
        nib_model_free(m);
    }
    for (int i = 0; i < TEXTS; i++) {
        double c = test_cosine(got[i], want[i], DIM);
        if (!(c >= least)) fail_msg("%s, text %d: cosine %g", weight, i, c);
    }
    assert_memory_not_equal(got, want, sizeof got); /* it did compute in fewer bits */
}

static void q8(void **state) { check_precision(NIB_PRECISION_Q8, "q8", 0.995); }
static void q4(void **state) { check_precision(NIB_PRECISION_Q4, "q4", 0.95); }
static void bf16(void **state) { check_precision(NIB_PRECISION_BF16, "bf16", 0.9999); }

static void auto_says_what_it_took(void **state) {
    const char *why;
    assert_int_equal(quant_auto(1u << BASE_ISA_GENERIC | 1u << BASE_ISA_AVX2, &why), NIB_PRECISION_F32);
    assert_int_equal(quant_auto(1u << BASE_ISA_AVX2 | 1u << BASE_ISA_AVXVNNI, &why), NIB_PRECISION_Q8);
    assert_int_equal(quant_auto(1u << BASE_ISA_NEON | 1u << BASE_ISA_DOTPROD, &why), NIB_PRECISION_Q8);
    nib_model *m = open_as(NIB_PRECISION_AUTO, 1);
    char text[8000];
    assert_int_equal(nib_model_describe(m, text, sizeof text, NULL), NIB_OK);
    assert_non_null(strstr(text, "auto: this CPU"));
    nib_model_free(m);
}

/* The plain eval is what the graph means; the step that the cpu made of the same node must agree. */
/* A file that is quantized already is fused and packed as any, in 8 bits where those are faster, and near what it was made of. */
static void files_of_8_bits_run_as_any(void **state) {
    static float want[TEXTS][DIM], got[TEXTS][DIM];
    const char *why;
    nib_model *m = open_as(NIB_PRECISION_FILE, 1);
    run(m, 0, TEXTS, 0, want[0]);
    nib_model_free(m);
    model_path = NIB_TEST_DATA "/onnx/bert-tiny.int8.onnx";
    for (int f32 = 0; f32 < 2; f32++) {
        m = open_as(f32 ? NIB_PRECISION_F32 : NIB_PRECISION_FILE, 1);
        bool q8 = !f32 && quant_auto(m->runtime->isas, &why) == NIB_PRECISION_Q8;
        assert_int_equal(model_own(m)->computes == NIB_PRECISION_Q8, q8);
        assert_non_null(strstr(model_own(m)->notes, "batches are packed"));
        for (const graph_node *n = model_own(m)->g->first; n; n = n->next) {
            if (graph_is_op(n, "", "MatMulInteger") || graph_is_op(n, "", "DequantizeLinear") || graph_is_op(n, "", "MatMul"))
                fail_msg("%s is left", n->op);
            op_linear l;
            if (op_linear_get(n, &l)) assert_int_equal(l.weight_format, q8 ? KERNEL_WEIGHT_Q8 : KERNEL_WEIGHT_F32);
        }
        run(m, 0, TEXTS, 0, got[0]);
        for (int i = 0; i < TEXTS; i++) {
            double c = test_cosine(got[i], want[i], DIM);
            if (!(c >= 0.99)) fail_msg("text %d: cosine %g", i, c);
        }
        nib_model_free(m);
    }
    model_path = NIB_TEST_DATA "/hf/bert-tiny";
}

static void eval_agrees_with_kernels(void **state) {
    nib_error e;
    nib_model *m = open_as(NIB_PRECISION_Q8, 1);
    graph *g = model_own(m)->g;
    const kernels *k = cpu_kernels(m->device);
    int checked = 0;
    for (graph_node *n = g->first; n; n = n->next) {
        op_linear l;
        if (!op_linear_get(n, &l) || l.residual) continue;
        base_arena arena;
        base_arena_init(&arena, g->heap);
        int64_t trans = l.trans, K = l.weights[0]->constant->dims[trans], total, first = 0;
        assert_true(graph_dim_is_const(n->outputs[0]->type.dims[n->outputs[0]->type.rank - 1], &total));
        float *x = base_arena_alloc(&arena, sizeof(float) * (size_t)(5 * K)), params[10];
        uint8_t *x8 = base_arena_alloc(&arena, (size_t)(5 * K));
        for (int64_t i = 0; i < 5 * K; i++) x[i] = (float)((i * 37) % 101) / 25 - 1.5f;
        k->quantize_rows_u8(x, K, NULL, 5, K, x8, K, params, 2);
        graph_tensor rows8 = {.dtype = NIB_DTYPE_U8, .rank = 2, .dims = {5, K}, .data = x8, .bytes = (size_t)(5 * K)};
        graph_tensor scales = {
            .dtype = NIB_DTYPE_F32, .rank = 2, .dims = {5, 2}, .data = params, .bytes = sizeof params};
        const graph_tensor *y;
        op_env *env = op_env_create(g, &arena, 1 << 26, k);
        op_env_set(env, l.x, &rows8);
        op_env_set(env, l.params, &scales);
        if (op_env_get(env, n->outputs[0], &y, &e) != NIB_OK) fail_msg("%s", e.message);
        const kernel_linear *kernel = kernel_linear_find(k, KERNEL_INPUT_U8, KERNEL_WEIGHT_Q8, NULL);
        const float *factor = l.factor ? l.factor->constant->data : NULL;
        float *got = base_arena_alloc(&arena, sizeof(float) * (size_t)(5 * total));
        for (int i = 0; i < l.n_weights; i++, checked++) {
            const graph_tensor *t = l.weights[i]->constant;
            int64_t N = t->dims[!trans];
            void *packed = base_arena_alloc(&arena, kernel->packed_bytes(N, K));
            kernel->pack(&(kernel_weight){graph_tensor_aligned(&arena, t), trans ? 1 : N, trans ? K : 1, N, K, factor}, 0, N, packed);
            kernel_linear_args a = {.x8 = x8,
                                    .x_stride = K,
                                    .x_params = params,
                                    .x_params_stride = 2,
                                    .w = packed,
                                    .y = got + first,
                                    .y_stride = total,
                                    .M = 5,
                                    .N = N,
                                    .K = K};
            a.bias = l.bias ? (const float *)l.bias->constant->data + first : NULL;
            a.activation = (kernel_activation)l.activation;
            kernel->run(&a, 0, 5, 0, N);
            first += N;
        }
        assert_int_equal(first, total);
        assert_true(test_difference(got, y->data, (size_t)(5 * total)) <= (l.activation == KERNEL_ACT_GELU_ERF ? 5.5e-5 : 2e-6));
        base_arena_free(&arena);
    }
    assert_true(checked >= 8);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(q8), cmocka_unit_test(q4),
        cmocka_unit_test(bf16),
        cmocka_unit_test(auto_says_what_it_took),
        cmocka_unit_test(files_of_8_bits_run_as_any),
        cmocka_unit_test(eval_agrees_with_kernels),
    };
    return cmocka_run_group_tests(tests, make_texts, NULL);
}
