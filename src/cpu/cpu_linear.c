/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Linear on the cpu: the weight packed once for the best kernel, rows computed with bias, activation and residual in the
 * kernel's epilogue. In: rows of x. Out: rows of y. Also the cache of packed weights.
 */
#include "cpu.h"
#include <string.h>

typedef struct linear {
    const kernel_linear *kernel;
    const void *packed;
    const float *bias;
    int64_t N, K;
    kernel_activation activation;
    int x, y, residual, params; /* value ids; residual, params -1: none */
} linear;

static nib_status run_linear(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const linear *l = step->state;
    kernel_linear_args a = {
        .x_stride = l->K,
        .w = l->packed,
        .bias = l->bias,
        .y = (float *)plan_row(lane, l->y, lo),
        .y_stride = l->N,
        .M = hi - lo,
        .N = l->N,
        .K = l->K,
        .activation = l->activation,
    };
    if (l->residual >= 0) {
        a.residual = (const float *)plan_row(lane, l->residual, lo);
        a.residual_stride = l->N;
    }
    const void *x = plan_row(lane, l->x, lo);
    switch (l->kernel->input) {
    case KERNEL_INPUT_F32: a.x = x; break;
    case KERNEL_INPUT_BF16: a.x16 = x; break;
    case KERNEL_INPUT_U8:
        a.x8 = x;
        a.x_params = (const float *)plan_row(lane, l->params, lo);
        a.x_params_stride = 2;
        break;
    }
    l->kernel->run(&a, 0, hi - lo, 0, l->N);
    return NIB_OK;
}

/* The best kernel for the precision that the graph asks for and the rows it brings; NULL if there is none. */
static const kernel_linear *choose_kernel(const kernels *k, const char *weight, nib_dtype rows) {
    const kernel_linear *const *list = strcmp(weight, "q8") == 0     ? k->linear_q8
                                       : strcmp(weight, "bf16") == 0 ? k->linear_bf16
                                                                     : k->linear_f32;
    kernel_input want = rows == NIB_DTYPE_U8 ? KERNEL_INPUT_U8 : rows == NIB_DTYPE_BF16 ? KERNEL_INPUT_BF16 : KERNEL_INPUT_F32;
    for (int i = 0; i < KERNEL_LINEAR_MOST && list[i]; i++)
        if (list[i]->input == want) return list[i];
    return NULL;
}

nib_status cpu_compile_linear(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value, *w = n->inputs[1].value, *bias = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    const graph_value *residual = n->n_inputs > 3 ? n->inputs[3].value : NULL, *factor = n->n_inputs > 5 ? n->inputs[5].value : NULL;
    bool trans = graph_attr_int(n, "trans_w", 0) != 0;
    int act = op_activation(n);
    if (!w->constant || w->constant->dtype != NIB_DTYPE_F32) return c->why = "the weight is not a constant of f32", NIB_OK;
    const char *weight = graph_attr_string(n, "weight", "f32");
    const kernel_linear *kernel = choose_kernel(&c->d->kernels, weight, x->type.dtype);
    if (!kernel || act < 0 || x->constant) return c->why = "no kernel reads such rows", NIB_OK;
    if (kernel->input == KERNEL_INPUT_U8 && (n->n_inputs < 5 || !n->inputs[4].value))
        return c->why = "rows of u8 without scale and zero point", NIB_OK;
    if (bias && (!bias->constant || bias->constant->dtype != NIB_DTYPE_F32)) return c->why = "the bias is not a constant of f32", NIB_OK;
    if (factor && (!factor->constant || factor->constant->dtype != NIB_DTYPE_F32)) return c->why = "the factors are not a constant of f32", NIB_OK;
    if (residual && residual->constant) return c->why = "the residual is a constant", NIB_OK;
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    linear *l = base_arena_calloc(&c->p->arena, 1, sizeof *l);
    if (!l) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    l->kernel = kernel;
    l->params = kernel->input == KERNEL_INPUT_U8 ? n->inputs[4].value->id : -1;
    l->K = w->constant->dims[trans];
    l->N = w->constant->dims[!trans];
    if (bias && graph_tensor_elements(bias->constant) != l->N)
        NIB_FAIL(c->err, NIB_SHAPE, "the bias does not have %lld elements", (long long)l->N);
    if (factor && graph_tensor_elements(factor->constant) != l->K)
        NIB_FAIL(c->err, NIB_SHAPE, "the factors do not have %lld elements", (long long)l->K);
    l->bias = bias ? bias->constant->data : NULL;
    l->activation = (kernel_activation)act;
    l->x = x->id;
    l->y = n->outputs[0]->id;
    l->residual = residual ? residual->id : -1;
    NIB_TRY(cpu_weight_get(c->d, c->p->g, w->constant, trans, factor ? factor->constant->data : NULL, l->kernel, &l->packed, c->err));
    c->step->state = l;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = l->kernel->name;
    c->step->run = run_linear;
fail:
    return status;
}

/* ---- packed weights */

typedef struct packing {
    const kernel_linear *kernel;
    kernel_weight w;
    int64_t part;
    void *packed;
} packing;

static void pack_part(void *arg, size_t i, int slot) {
    const packing *p = arg;
    int64_t lo = (int64_t)i * p->part, hi = lo + p->part < p->w.N ? lo + p->part : p->w.N;
    p->kernel->pack(&p->w, lo, hi, p->packed);
}

#define CHUNK_LEAST (1u << 20)
#define CHUNK_MOST (8u << 20)

static void *weight_memory(cpu_device *d, size_t bytes) {
    base_heap *heap = &d->base.runtime->heap;
    cpu_chunk *c = d->chunks;
    bytes = (bytes + BASE_ALIGN - 1) / BASE_ALIGN * BASE_ALIGN;
    if (!c || c->size - c->used < bytes) {
        size_t want = d->chunk_bytes < CHUNK_LEAST  ? CHUNK_LEAST
                      : d->chunk_bytes > CHUNK_MOST ? CHUNK_MOST
                                                    : d->chunk_bytes; /* doubles the total */
        if (want < bytes + BASE_ALIGN) want = bytes + BASE_ALIGN;
        c = base_alloc(heap, want);
        if (!c && want > bytes + BASE_ALIGN) c = base_alloc(heap, want = bytes + BASE_ALIGN);
        if (!c) return NULL;
        *c = (cpu_chunk){d->chunks, BASE_ALIGN, want};
        d->chunks = c;
        d->chunk_bytes += want;
    }
    c->used += bytes;
    return (char *)c + c->used - bytes;
}

static void release_pages(const graph *g, const graph_tensor *t) {
    while (g->parent) g = g->parent;
    for (int i = 0; i < g->n_files; i++) {
        const base_file *f = &g->files[i];
        if ((const uint8_t *)t->data >= f->data && (const uint8_t *)t->data < f->data + f->size) base_file_release(f, t->data, t->bytes);
    }
}

static bool same_factors(const float *a, const float *b, int64_t K) {
    return a == b || (a && b && memcmp(a, b, (size_t)K * sizeof(float)) == 0);
}

nib_status cpu_weight_get(cpu_device *d, const graph *g, const graph_tensor *w, bool trans, const float *factor, const kernel_linear *kernel,
                          const void **packed, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &d->base.runtime->heap;
    const int64_t K = w->dims[trans], N = w->dims[!trans];
    packing p = {.kernel = kernel, .w = {w->data, trans ? 1 : N, trans ? K : 1, N, K, factor}};
    base_mutex_lock(d->lock);
    cpu_weight *at = d->weights;
    while (at && (at->source != w->data || at->trans != trans || at->kernel != kernel || !same_factors(at->factor, factor, K))) at = at->next;
    if (!at) {
        size_t bytes = kernel->packed_bytes(N, K);
        at = base_calloc(heap, 1, sizeof *at);
        p.packed = at && bytes != SIZE_MAX ? weight_memory(d, bytes) : NULL;
        if (!p.packed) {
            base_free(heap, at);
            at = NULL;
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a packed weight of %zu bytes", bytes);
        }
        p.part = (N / 8 + kernel->tile_n - 1) / kernel->tile_n * kernel->tile_n;
        if (p.part < kernel->tile_n) p.part = kernel->tile_n;
        base_pool_run(d->base.runtime->pool, (size_t)((N + p.part - 1) / p.part), pack_part, &p);
        *at = (cpu_weight){d->weights, w->data, trans, kernel, factor, p.packed, bytes};
        d->weights = at;
        release_pages(g, w);
    }
    *packed = at->packed;
fail:
    base_mutex_unlock(d->lock);
    return status;
}

size_t cpu_weight_bytes(const struct device *base) {
    size_t total = 0;
    for (const cpu_weight *w = ((const cpu_device *)base)->weights; w; w = w->next) total += w->bytes;
    return total;
}

void cpu_weights_free(cpu_device *d) {
    base_heap *heap = &d->base.runtime->heap;
    for (cpu_weight *w = d->weights, *next; w; w = next) {
        next = w->next;
        base_free(heap, w);
    }
    for (cpu_chunk *c = d->chunks, *next; c; c = next) {
        next = c->next;
        base_free(heap, c);
    }
    d->weights = NULL;
    d->chunks = NULL;
}
