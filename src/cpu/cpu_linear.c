/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Linear on the cpu: each weight packed once for the best kernel, rows computed with bias, activation and residual in the
 * kernel's epilogue. In: rows of x. Out: rows of y. Also the cache of packed weights.
 *
 * A gated pair goes stripe by stripe: the activated half writes a stripe of y, and the other half multiplies into it while it is
 * in cache.
 */
#include "cpu.h"
#include "base/base_half.h"
#include <string.h>

typedef struct linear_part { /* one weight, or half of one: its columns of y */
    const void *packed;
    const float *bias;
    int64_t N, column;
    const graph_value *weight;
    int half; /* of the weight's columns */
} linear_part;

typedef struct linear {
    const kernel_linear *kernel;
    linear_part parts[OP_LINEAR_WEIGHTS];
    int n_parts;
    bool gated; /* two parts, of the same columns: the first is activated, the second multiplies */
    int64_t N, K;
    kernel_activation activation;
    const float *factor;        /* [K] that the weights are divided by, or NULL */
    int x, y, residual, params; /* value ids; residual, params -1: none */
} linear;

#define STRIPE 256 /* columns: a stripe of a block of rows stays in L2 beside x */

static void run_part(const linear *l, const linear_part *part, kernel_linear_args *a, int64_t n_lo, int64_t n_hi) {
    a->w = part->packed;
    a->bias = part->bias;
    a->N = part->N;
    l->kernel->run(a, 0, a->M, n_lo, n_hi);
}

/* Columns [lo, hi) of a gated pair. */
static void run_gated(const linear *l, kernel_linear_args *a, float *y, int64_t lo, int64_t hi) {
    const int64_t stripe = (STRIPE + l->kernel->tile_n - 1) / l->kernel->tile_n * l->kernel->tile_n;
    a->y = y;
    for (int64_t n = lo; n < hi; n += stripe) {
        int64_t end = n + stripe < hi ? n + stripe : hi;
        a->activation = l->activation;
        a->residual = NULL;
        a->residual_multiplies = false;
        run_part(l, &l->parts[0], a, n, end);
        a->activation = KERNEL_ACT_NONE;
        a->residual = y;
        a->residual_multiplies = true;
        run_part(l, &l->parts[1], a, n, end);
    }
}

/* Part `part` of `parts` of N columns, whole tiles. */
static void columns_of(const linear *l, int64_t N, int part, int parts, int64_t *lo, int64_t *hi) {
    const int64_t tile = l->kernel->tile_n, tiles = (N + tile - 1) / tile;
    *lo = tiles * part / parts * tile;
    *hi = tiles * (part + 1) / parts * tile;
    if (*hi > N) *hi = N;
}

static nib_status run_columns(const plan_step *step, int64_t lo, int64_t hi, int part, int parts, plan_lane *lane) {
    const linear *l = step->state;
    kernel_linear_args a = {
        .x_stride = l->K,
        .y_stride = l->N,
        .residual_stride = l->N,
        .M = hi - lo,
        .K = l->K,
        .activation = l->activation,
    };
    float *y = (float *)plan_row(lane, l->y, lo);
    const float *residual = l->residual >= 0 ? (const float *)plan_row(lane, l->residual, lo) : NULL;
    const void *x = plan_row(lane, l->x, lo);
    int64_t first, end;
    switch (l->kernel->input) {
    case KERNEL_INPUT_F32: a.x = x; break;
    case KERNEL_INPUT_BF16: a.x16 = x; break;
    case KERNEL_INPUT_U8:
        a.x8 = x;
        a.x_params = (const float *)plan_row(lane, l->params, lo);
        a.x_params_stride = 2;
        break;
    case KERNEL_INPUTS: break;
    }
    if (l->gated) {
        columns_of(l, l->N, part, parts, &first, &end);
        if (first < end) run_gated(l, &a, y, first, end);
        return NIB_OK;
    }
    for (int i = 0; i < l->n_parts; i++) {
        columns_of(l, l->parts[i].N, part, parts, &first, &end);
        if (first >= end) continue;
        a.y = y + l->parts[i].column;
        a.residual = residual ? residual + l->parts[i].column : NULL;
        run_part(l, &l->parts[i], &a, first, end);
    }
    return NIB_OK;
}

static nib_status run_linear(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    return run_columns(step, lo, hi, 0, 1, lane);
}

/* Packed weights can only be read by a kernel that packs alike: says which the file has and which this processor would take. */
static nib_status no_kernel(cpu_compile *c, kernel_input rows, kernel_weight_format weight, const char *layout) {
    char name[KERNEL_LAYOUT_NAME] = "none";
    const kernel_linear *best = kernel_linear_find(&c->d->kernels, rows, weight, NULL);
    if (best) kernel_layout_name(best, name);
    return base_error_set(c->err, NIB_UNSUPPORTED,
                          "the file's weights are packed as %.32s, and no kernel for %s reads that (it has %s): compile the model again "
                          "for this processor",
                          layout, base_isa_name(base_cpu_best(c->d->kernels.isas)), name);
}

/* Packs columns [half N, half N + N) of weight i as the next part, whose columns of y begin at `column`. */
static nib_status add_part(cpu_compile *c, linear *l, const op_linear *n, int i, int half, int64_t N, int64_t column, const float *bias) {
    linear_part *p = &l->parts[l->n_parts++];
    const graph_value *w = n->weights[i];
    *p = (linear_part){.bias = bias, .N = N, .column = column, .weight = w, .half = half};
    if (w->packed) return cpu_weight_mapped(c->d, w, half, N, l->K, l->kernel, &p->packed, c->err);
    return cpu_weight_get(c->d, c->p, w->constant, n->trans, half * N, N, l->factor, l->kernel, &p->packed, c->err);
}

static nib_status make_parts(cpu_compile *c, linear *l, const op_linear *n) {
    nib_status status = NIB_OK;
    const float *bias = n->bias ? n->bias->constant->data : NULL;
    if (n->gate && n->n_weights == 1) {
        NIB_TRY(add_part(c, l, n, 0, 0, l->N, 0, bias));
        NIB_TRY(add_part(c, l, n, 0, 1, l->N, 0, bias ? bias + l->N : NULL));
    } else {
        for (int64_t i = 0, column = 0; i < n->n_weights; i++) {
            int64_t columns = n->weights[i]->constant->dims[!n->trans];
            NIB_TRY(add_part(c, l, n, (int)i, 0, columns, n->gate ? 0 : column, bias ? bias + column : NULL));
            column += columns;
        }
    }
    if (n->gate == OP_GATE_SECOND) {
        linear_part first = l->parts[0];
        l->parts[0] = l->parts[1];
        l->parts[1] = first;
    }
    l->gated = n->gate != OP_GATE_NONE;
fail:
    return status;
}

/* All weights matrices of f32 or half precision, constant, of K rows; *columns: of all of them. */
static bool weights_fit(const op_linear *n, int64_t *columns) {
    *columns = 0;
    for (int i = 0; i < n->n_weights; i++) {
        const graph_tensor *w = n->weights[i]->constant, *first = n->weights[0]->constant;
        if (!w || !op_is_weight_type(w->dtype) || w->rank != 2 || w->dims[n->trans] != first->dims[n->trans]) return false;
        if (w->dims[!n->trans] > INT32_MAX || w->dims[n->trans] > INT32_MAX) return false; /* sums of columns stay small */
        *columns += w->dims[!n->trans];
    }
    return n->n_weights > 0;
}

/* The layout that all weights are packed in; NULL if they are not, "" if they are not alike. */
static const char *layout_of(const op_linear *n) {
    const graph_packed *first = n->weights[0]->packed;
    for (int i = 1; i < n->n_weights; i++) {
        const graph_packed *p = n->weights[i]->packed;
        if (!p != !first || (p && strcmp(p->layout, first->layout) != 0)) return "";
    }
    return first ? first->layout : NULL;
}

/* The scales and zero points of quantized rows: two numbers for each. */
static bool params_fit(const graph_value *params, const graph_value *x) {
    graph_type want = x->type;
    int64_t two;
    if (!params || params->constant || params->type.dtype != NIB_DTYPE_F32 || params->type.rank != want.rank) return false;
    for (int k = 0; k + 1 < want.rank; k++)
        if (params->type.dims[k] != want.dims[k]) return false;
    return graph_dim_is_const(params->type.dims[want.rank - 1], &two) && two == 2;
}

static bool is_vector_of_f32(const graph_value *v) { return !v || (v->constant && v->constant->dtype == NIB_DTYPE_F32); }

/* Why the kernel cannot compute it; NULL: it can. What the kernel reads, and does not ask for, is looked at here. */
static const char *refusal(const op_linear *n, const graph_value *y, const kernel_linear *kernel, int64_t columns) {
    const graph_value *x = n->x;
    const kernel_format *rows = kernel ? &kernel_input_formats[kernel->input] : NULL;
    int64_t width; /* rows are found by their bytes, and the kernel reads K of each: what the type leaves open, only eval checks */
    if (n->gate < 0 || (n->gate && (n->residual || (n->n_weights > 1 &&
                                                    (n->n_weights != 2 || n->weights[0]->constant->dims[!n->trans] * 2 != columns)))))
        return "the gate is not two halves of the columns";
    if (!kernel || n->activation < 0 || x->constant) return "no kernel reads such rows";
    if (x->type.rank < 1 || !graph_dim_is_const(x->type.dims[x->type.rank - 1], &width) ||
        width != n->weights[0]->constant->dims[n->trans])
        return "the width of the rows is not known before the run";
    if (rows->type.scale != NIB_DTYPE_UNDEFINED && !params_fit(n->params, x)) return "quantized rows without scale and zero point";
    if (width % rows->multiple) return "rows in few bits of an odd width";
    if (!is_vector_of_f32(n->bias)) return "the bias is not a constant of f32";
    if (!is_vector_of_f32(n->factor)) return "the factors are not a constant of f32";
    if (n->residual && n->residual->constant) return "the residual is a constant";
    if (n->residual && !cpu_same_rows(n->residual, y)) return "the residual is not as large as the result";
    return NULL;
}

nib_status cpu_compile_linear(cpu_compile *c) {
    nib_status status = NIB_OK;
    op_linear n;
    const graph_value *y = c->node->outputs[0];
    int64_t columns;
    op_linear_get(c->node, &n);
    if (!weights_fit(&n, &columns)) return c->why = "the weight is not a constant of floats", NIB_OK;
    const char *layout = layout_of(&n);
    const int rows = op_rows_input(&n.x->type);
    if (layout && !*layout) return base_error_set(c->err, NIB_BAD_MODEL, "the weights of one Linear are not packed alike");
    if (rows < 0 || n.weight_format < 0) return c->why = "rows or weights are of a type that no kernel reads", NIB_OK;
    const kernel_linear *kernel =
        kernel_linear_find(&c->d->kernels, (kernel_input)rows, (kernel_weight_format)n.weight_format, layout);
    if (!kernel && layout) return no_kernel(c, (kernel_input)rows, (kernel_weight_format)n.weight_format, layout);
    const char *why = refusal(&n, y, kernel, columns);
    if (why) return c->why = why, NIB_OK;
    c->step->extent = cpu_rows(y, c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    linear *l = base_arena_calloc(&c->p->arena, 1, sizeof *l);
    if (!l) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    l->kernel = kernel;
    l->params = n.params && kernel->input == KERNEL_INPUT_U8 ? n.params->id : -1;
    l->K = n.weights[0]->constant->dims[n.trans];
    l->N = n.gate ? columns / 2 : columns;
    if (n.bias && graph_tensor_elements(n.bias->constant) != columns)
        NIB_FAIL(c->err, NIB_SHAPE, "the bias does not have %lld elements", (long long)columns);
    if (n.factor && graph_tensor_elements(n.factor->constant) != l->K)
        NIB_FAIL(c->err, NIB_SHAPE, "the factors do not have %lld elements", (long long)l->K);
    l->factor = n.factor ? n.factor->constant->data : NULL;
    l->activation = (kernel_activation)n.activation;
    l->x = n.x->id;
    l->y = y->id;
    l->residual = n.residual ? n.residual->id : -1;
    NIB_TRY(make_parts(c, l, &n));
    c->step->state = l;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = l->kernel->name;
    c->step->tile_rows = l->kernel->tile_m;
    c->step->run = run_linear;
    c->step->run_columns = run_columns;
fail:
    return status;
}

void cpu_linear_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n) {
    const linear *l = step->state;
    for (int i = 0; step->run == run_linear && i < l->n_parts; i++) {
        const linear_part *p = &l->parts[i];
        parts[(*n)++] = (cpu_packed){p->packed, l->kernel->packed_bytes(p->N, l->K), p->weight, p->half, l->kernel};
    }
}

/* ---- packed weights */

nib_status cpu_weight_mapped(cpu_device *d, const graph_value *v, int part, int64_t N, int64_t K, const kernel_linear *kernel,
                             const void **packed, nib_error *err) {
    const graph_packed *p = v->packed;
    size_t bytes = kernel->packed_bytes(N, K);
    if (part >= p->parts || p->bytes[part] != bytes)
        return base_error_set(err, NIB_BAD_MODEL, "weight %s has %zu bytes packed as %.32s; %s reads %zu", v->name,
                              part < p->parts ? p->bytes[part] : 0, p->layout, kernel->name, bytes);
    atomic_fetch_add(&d->weight_bytes, bytes);
    *packed = p->data[part];
    return NIB_OK;
}

typedef struct packing {
    const kernel_linear *kernel;
    kernel_weight w;
    int64_t part;
    void *packed;
    nib_dtype type; /* of what w.w points to */
    float *wide;    /* of any type but f32: [threads][K tile_n] for a panel's columns in f32 */
} packing;

/* n numbers as f32; of u8, 128 less, which is what s8 holds of them. */
static void widen(nib_dtype type, const char *from, int64_t n, float *to) {
    if (base_is_half(type)) base_widen(type, from, (size_t)n, to);
    for (int64_t i = 0; type == NIB_DTYPE_I8 && i < n; i++) to[i] = (float)((const int8_t *)from)[i];
    for (int64_t i = 0; type == NIB_DTYPE_U8 && i < n; i++) to[i] = (float)((const uint8_t *)from)[i] - 128.0f;
}

/* Columns of another type are widened a panel at a time, so that the weight is never in memory as f32 beside its packed form. */
static void pack_wide(const packing *p, int64_t lo, int64_t hi, float *wide) {
    const int tile_n = p->kernel->tile_n;
    const int64_t K = p->w.K, unit = nib_dtype_bits(p->type) / 8;
    for (int64_t n = lo; n < hi; n += tile_n) {
        const int64_t columns = p->w.N - n < tile_n ? p->w.N - n : tile_n;
        const char *from = (const char *)p->w.w + n * p->w.n_stride * unit;
        kernel_weight w = p->w;
        w.w = wide;
        w.N = columns;
        if (w.k_stride == 1) {
            widen(p->type, from, columns * K, wide);
        } else {
            w.k_stride = columns;
            for (int64_t k = 0; k < K; k++) widen(p->type, from + k * p->w.k_stride * unit, columns, wide + k * columns);
        }
        p->kernel->pack(&w, 0, columns, (char *)p->packed + p->kernel->packed_bytes(n, K));
    }
}

static void pack_part(void *arg, size_t i, int slot) {
    const packing *p = arg;
    int64_t lo = (int64_t)i * p->part, hi = lo + p->part < p->w.N ? lo + p->part : p->w.N;
    if (p->wide) pack_wide(p, lo, hi, p->wide + (size_t)slot * (size_t)p->w.K * (size_t)p->kernel->tile_n);
    else p->kernel->pack(&p->w, lo, hi, p->packed);
}

/* Where every thread of the pool widens a panel. */
static float *room_to_widen(cpu_device *d, const packing *p) {
    size_t n;
    if (!base_mul_size((size_t)p->w.K, (size_t)p->kernel->tile_n * sizeof(float), &n) ||
        !base_mul_size(n, (size_t)base_pool_threads(d->base.runtime->pool), &n))
        return NULL;
    return base_alloc(&d->base.runtime->heap, n + 1);
}

#define CHUNK_LEAST (1u << 20)
#define CHUNK_MOST (8u << 20)

/* Memory for a packed weight, and the chunk that it is in. */
static void *weight_memory(cpu_device *d, size_t bytes, cpu_chunk **chunk) {
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
        *c = (cpu_chunk){.next = d->chunks, .used = BASE_ALIGN, .size = want};
        d->chunks = c;
        d->chunk_bytes += want;
    }
    c->used += bytes;
    c->weights++;
    *chunk = c;
    return (char *)c + c->used - bytes;
}

static void drop_chunk(cpu_device *d, cpu_chunk *c) {
    cpu_chunk **at = &d->chunks;
    if (--c->weights > 0) return;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    d->chunk_bytes -= c->size;
    base_free(&d->base.runtime->heap, c);
}

/* A plan that reads it is gone. */
static void drop_weight(void *of, void *weight) {
    cpu_device *d = of;
    cpu_weight *w = weight, **at = &d->weights;
    base_mutex_lock(d->lock);
    if (--w->users == 0) {
        while (*at != w) at = &(*at)->next;
        *at = w->next;
        atomic_fetch_sub(&d->weight_bytes, w->bytes);
        drop_chunk(d, w->chunk);
        base_free(&d->base.runtime->heap, w);
    }
    base_mutex_unlock(d->lock);
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

/* Packs p for `at`, which gets its memory here. */
static nib_status pack_weight(cpu_device *d, packing *p, cpu_weight *at, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &d->base.runtime->heap;
    const int tile_n = p->kernel->tile_n;
    const int64_t N = p->w.N;
    p->packed = at->bytes != SIZE_MAX ? weight_memory(d, at->bytes, &at->chunk) : NULL;
    if (p->packed && p->type != NIB_DTYPE_F32) p->wide = room_to_widen(d, p);
    if (!p->packed || (p->type != NIB_DTYPE_F32 && !p->wide)) {
        if (p->packed) drop_chunk(d, at->chunk);
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a packed weight of %zu bytes", at->bytes);
    }
    p->part = (N / 8 + tile_n - 1) / tile_n * tile_n;
    if (p->part < tile_n) p->part = tile_n;
    base_pool_run(d->base.runtime->pool, (size_t)((N + p->part - 1) / p->part), pack_part, p);
    base_free(heap, p->wide);
    at->packed = p->packed;
    atomic_fetch_add(&d->weight_bytes, at->bytes);
fail:
    return status;
}

nib_status cpu_weight_get(cpu_device *d, plan *of, const graph_tensor *w, bool trans, int64_t first, int64_t N, const float *factor,
                          const kernel_linear *kernel, const void **packed, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &d->base.runtime->heap;
    const int64_t K = w->dims[trans], n_stride = trans ? K : 1;
    const void *source = (const char *)w->data + graph_type_bytes(w->dtype, (size_t)(first * n_stride)); /* perhaps misaligned */
    packing p = {.kernel = kernel, .w = {source, trans ? 1 : w->dims[1], n_stride, N, K, factor}, .type = w->dtype};
    cpu_weight *fresh = NULL;
    base_mutex_lock(d->lock);
    cpu_weight *at = d->weights;
    while (at && (at->source != source || at->N != N || at->trans != trans || at->kernel != kernel || !same_factors(at->factor, factor, K)))
        at = at->next;
    if (!at) {
        const size_t factor_bytes = factor ? (size_t)K * sizeof *factor : 0; /* of the plan that came first: a copy */
        fresh = base_calloc(heap, 1, sizeof *fresh + factor_bytes);
        if (!fresh) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a packed weight");
        *fresh = (cpu_weight){.source = source, .N = N, .trans = trans, .kernel = kernel, .bytes = kernel->packed_bytes(N, K)};
        if (factor) fresh->factor = memcpy(fresh + 1, factor, factor_bytes);
        NIB_TRY(pack_weight(d, &p, fresh, err));
        at = fresh;
        fresh = NULL;
        at->next = d->weights;
        d->weights = at;
        if (first + N == w->dims[!trans]) release_pages(of->g, w); /* halves are packed in order */
    }
    at->users++;
    *packed = at->packed;
    if (!plan_at_end(of, drop_weight, d, at)) {
        base_mutex_unlock(d->lock);
        drop_weight(d, at);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    }
fail:
    base_free(heap, fresh);
    base_mutex_unlock(d->lock);
    return status;
}

size_t cpu_weight_bytes(const struct device *base) {
    return atomic_load(&((cpu_device *)(uintptr_t)base)->weight_bytes);
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
