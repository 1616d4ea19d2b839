/* SPDX-License-Identifier: Apache-2.0
 *
 * The cpu's row in the device table. In: nodes. Out: steps, the fast compiler's where it says yes, eval's otherwise; the
 * reason for a "no" is kept as the step's `why`, which is what explain prints.
 */
#include "cpu.h"
#include <stdio.h>
#include <string.h>

typedef struct compiler {
    const char *domain, *op;
    nib_status (*compile)(cpu_compile *);
} compiler;

static const compiler compilers[] = {
    {"nib", "Linear", cpu_compile_linear},       {"nib", "Norm", cpu_compile_norm}, {"nib", "Embed", cpu_compile_embed},
    {"nib", "Attention", cpu_compile_attention}, {"nib", "Pool", cpu_compile_pool}, {"", "LpNormalization", cpu_compile_lp_norm},
    {"nib", "QuantizeRows", cpu_compile_round},  {"", "Cast", cpu_compile_round},   {"nib", "Rotary", cpu_compile_rotary},
    {"", "MatMulInteger", cpu_compile_matmul_integer},
    {"", "QLinearMatMul", cpu_compile_matmul_integer},
};

/* Those whose steps ask for sizes as they run: they serve in bodies, too. */
static const compiler by_sizes[] = {
    {"nib", "Map", cpu_compile_map},
    {"", "Conv", cpu_compile_conv},
    {"nib", "Conv", cpu_compile_conv},
    {"", "ConvInteger", cpu_compile_conv_bytes},
    {"", "QLinearConv", cpu_compile_conv_bytes},
    {"", "ConvTranspose", cpu_compile_conv_transpose},
    {"", "MaxPool", cpu_compile_pool2d},
    {"", "AveragePool", cpu_compile_pool2d},
    {"", "GlobalMaxPool", cpu_compile_global_pool},
    {"", "GlobalAveragePool", cpu_compile_global_pool},
    {"", "ReduceMean", cpu_compile_reduce},
    {"", "ReduceSum", cpu_compile_reduce},
    {"", "ReduceMax", cpu_compile_reduce},
    {"", "Softmax", cpu_compile_softmax},
    {"", "MatMul", cpu_compile_product},
    {"", "Gemm", cpu_compile_product},
    {"", "Resize", cpu_compile_resize},
    {"", "Upsample", cpu_compile_resize},
};

/* The same, and whichever outputs are read. */
static const compiler anywhere[] = {
    {"", "RNN", cpu_compile_recurrent},
    {"", "GRU", cpu_compile_recurrent},
    {"", "LSTM", cpu_compile_recurrent},
    {"com.microsoft", "DynamicQuantizeLSTM", cpu_compile_recurrent},
    {"", "DynamicQuantizeLinear", cpu_compile_dynamic},
    {"ai.onnx.ml", "TreeEnsemble", cpu_compile_forest},
    {"ai.onnx.ml", "TreeEnsembleRegressor", cpu_compile_forest},
    {"ai.onnx.ml", "TreeEnsembleClassifier", cpu_compile_forest},
};

static nib_status try_compilers(const compiler *list, size_t count, cpu_compile *c) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < count && status == NIB_OK; i++)
        if (graph_is_op(c->node, list[i].domain, list[i].op)) status = list[i].compile(c);
    return status;
}

void cpu_packed_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n) {
    *n = 0;
    cpu_linear_parts(step, parts, n);
    cpu_embed_parts(step, parts, n);
}

static bool cpu_claim(struct device *d, const graph *g, const graph_node *n, char *why, size_t capacity) {
    if (n->meaning && n->meaning->eval) return true;
    snprintf(why, capacity, "%s%s%s is not an operator nib knows", n->domain, n->domain[0] ? "." : "", n->op);
    return false;
}

static nib_status compile_node(cpu_device *d, plan *p, graph_node *n, plan_step *step, nib_error *err) {
    nib_status status = NIB_OK;
    cpu_compile c = {.d = d, .p = p, .node = n, .step = step, .why = "", .err = err};
    NIB_TRY(base_stop_check(err));
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i].value && n->inputs[i].value->packed && !op_reads_packed(n, i))
            NIB_FAIL(err, NIB_BAD_MODEL, "%s reads %s, which is packed", n->op, n->inputs[i].value->name);
    const bool eval_only = p->is_body || !n->outputs[0];
    if (eval_only) c.why = p->is_body ? "inside a body" : "nobody reads it";
    else NIB_TRY(try_compilers(compilers, BASE_COUNT(compilers), &c));
    if (n->outputs[0]) NIB_TRY(try_compilers(by_sizes, BASE_COUNT(by_sizes), &c));
    step->evaluates |= step->range == PLAN_RANGE_PARTS;
    NIB_TRY(try_compilers(anywhere, BASE_COUNT(anywhere), &c));
    int64_t rows;
    if (step->run && step->extent && !graph_dim_eval(step->extent, p->bindable, p->n_symbols, &rows)) {
        *step = (plan_step){.node = n, .device = step->device};
        c.why = "how many rows there are is in the data";
    }
    step->why = c.why;
    for (int i = 0; !step->run && i < n->n_inputs; i++)
        if (n->inputs[i].value && n->inputs[i].value->packed)
            NIB_FAIL(err, NIB_BAD_MODEL, "weight %s is packed, and no kernel takes it: %s", n->inputs[i].value->name, c.why);
    if (!step->run) NIB_TRY(cpu_compile_eval(&c));
    return NIB_OK;
fail:
    base_error_at_node(err, n->name);
    return status;
}

static nib_status cpu_compile_region(struct device *d, plan *p, graph_node *const *nodes, int n, plan_step *steps, nib_error *err) {
    nib_status status = NIB_OK;
    for (int i = 0; i < n; i++) NIB_TRY(compile_node((cpu_device *)d, p, nodes[i], &steps[i], err));
fail:
    return status;
}

static void cpu_props(const struct device *d, device_props *out) {
    *out = (device_props){.name = "cpu", .row_bucket = 1};
    for (int k = 0; k < KERNEL_WEIGHTS; k++)
        out->rows[k] = (uint8_t)(1 + kernel_linear_find(cpu_kernels(d), KERNEL_INPUTS, (kernel_weight_format)k, NULL)->input);
}
static const char *cpu_instructions(const struct device *d) { return nib_cpu_name(); }
static nib_status cpu_measure_device(struct device *d, int threads, plan_speed *out, nib_error *err) {
    return cpu_measure(d->runtime, cpu_kernels(d), threads, out, err);
}

static void cpu_close(struct device *base) {
    if (!base) return;
    cpu_device *d = (cpu_device *)base;
    nib_runtime *rt = base->runtime;
    cpu_weights_free(d);
    base_mutex_free(&rt->heap, d->lock);
    base_free(&rt->heap, d);
    base_runtime_release(rt);
}

static const device_table cpu_table = {
    .kind = "cpu",
    .props = cpu_props,
    .claim = cpu_claim,
    .compile = cpu_compile_region,
    .weight_bytes = cpu_weight_bytes,
    .instructions = cpu_instructions,
    .measure = cpu_measure_device,
    .close = cpu_close,
};

const kernels *cpu_kernels(const struct device *d) { return &((const cpu_device *)d)->kernels; }

nib_status cpu_open(nib_runtime *runtime, struct device **out, nib_error *err) {
    *out = NULL;
    cpu_device *d = base_calloc(&runtime->heap, 1, sizeof *d);
    if (!d) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the device");
    d->base.table = &cpu_table;
    d->base.runtime = base_runtime_retain(runtime);
    kernel_table_init(&d->kernels, runtime->isas);
    d->lock = base_mutex_create(&runtime->heap);
    if (!d->lock) {
        cpu_close(&d->base);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the device");
    }
    *out = &d->base;
    return NIB_OK;
}

bool cpu_same_rows(const graph_value *a, const graph_value *b) {
    if (a->type.kind != b->type.kind || a->type.dtype != b->type.dtype || a->type.rank != b->type.rank) return false;
    for (int k = 0; k < a->type.rank; k++)
        if (!a->type.dims[k] || a->type.dims[k] != b->type.dims[k]) return false;
    return true;
}

graph_dim cpu_rows(const graph_value *v, graph_symtab *t) {
    graph_dim d = v->type.rank < 1 ? NULL : graph_dim_const(t, 1);
    for (int i = 0; i + 1 < v->type.rank; i++) d = graph_dim_mul(t, d, v->type.dims[i]);
    return d;
}
