/* SPDX-License-Identifier: Apache-2.0
 *
 * The device `cpu`: claims every operator that has an eval, and runs the fused ones with kernels. Inside: one compiler per
 * operator (cpu_compile), a cache of packed weights, and eval as the fallback.
 */
#ifndef CPU_H
#define CPU_H

#include "op/op_nib.h"
#include "plan/device.h"

/* Opens the device; it keeps a reference to the runtime. Closed with table->close. */
nib_status cpu_open(nib_runtime *runtime, struct device **out, nib_error *err);

/* The kernels of a device that cpu_open has opened. */
const kernels *cpu_kernels(const struct device *d);

/* Measures the machine with these kernels on `threads` threads of the runtime's pool at the same time: sums over the threads.
 * About 100 ms; reads up to 256 MiB (less under a memory ceiling: memory_bytes is then 0). */
nib_status cpu_measure(nib_runtime *rt, const kernels *k, int threads, plan_speed *out, nib_error *err);

/* What a step has packed of a weight or a table: all of it, or half of a gated pair, as a compiled file keeps it. *n is 0 for a step that
 * has packed nothing. */
#define CPU_PACKED_MOST OP_EMBED_MAX
typedef struct cpu_packed {
    const void *data;
    size_t bytes;
    const graph_value *weight;
    int half;
    const kernel_linear *kernel;
} cpu_packed;
void cpu_packed_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n);

/* ---- inside the room */
/* A weight packed for one kernel. It lives as long as a plan that reads it: what it is known by again, the place of its
 * bytes, is somebody else's as soon as the graph of the last such plan is gone. */
typedef struct cpu_weight {
    struct cpu_weight *next;
    int users; /* uses of it by plans */
    size_t bytes;
    struct cpu_chunk *chunk;
    const void *source; /* the first column's bytes in the constant: the key, with N, trans and the kernel */
    int64_t N;
    bool trans;
    const kernel_linear *kernel;
    const float *factor; /* [K] as kernel_weight's, a copy behind this; weights with equal factors are one */
    void *packed;
} cpu_weight;

/* Packed weights lie end to end in a few large blocks, which the system backs with large pages where it can: fewer page
 * faults while packing, fewer TLB misses while computing. */
typedef struct cpu_chunk {
    struct cpu_chunk *next;
    int weights; /* that lie in it */
    size_t used, size; /* counted from the chunk's begin */
} cpu_chunk;

typedef struct cpu_device {
    struct device base;
    kernels kernels;
    cpu_weight *weights; /* guarded by lock, as all below; it is held while a weight is packed */
    cpu_chunk *chunks;
    size_t chunk_bytes;
    base_mutex *lock;
    _Atomic size_t weight_bytes; /* packed here, or lying packed in a compiled file; to be read without the lock */
} cpu_device;

typedef struct cpu_compile {
    cpu_device *d;
    plan *p;
    const graph_node *node;
    plan_step *step;
    const char *why; /* a compiler that says no leaves its reason here */
    nib_error *err;
} cpu_compile;

/* Each returns NIB_OK with step->run set, or NIB_OK with step->run NULL and c->why: eval runs it then. */
nib_status cpu_compile_linear(cpu_compile *c);
nib_status cpu_compile_norm(cpu_compile *c);
nib_status cpu_compile_rotary(cpu_compile *c);
nib_status cpu_compile_embed(cpu_compile *c);
nib_status cpu_compile_attention(cpu_compile *c);
nib_status cpu_compile_matmul_integer(cpu_compile *c); /* and QLinearMatMul */
nib_status cpu_compile_dynamic(cpu_compile *c);
nib_status cpu_compile_forest(cpu_compile *c);
nib_status cpu_compile_resize(cpu_compile *c); /* and Upsample */
nib_status cpu_compile_product(cpu_compile *c);
nib_status cpu_compile_recurrent(cpu_compile *c);
nib_status cpu_compile_pool(cpu_compile *c);
nib_status cpu_compile_lp_norm(cpu_compile *c);
nib_status cpu_compile_round(cpu_compile *c); /* QuantizeRows, and Cast of rows, f32 to bf16 and s32 to f32 */
nib_status cpu_compile_map(cpu_compile *c);
nib_status cpu_compile_conv(cpu_compile *c);
nib_status cpu_compile_conv_bytes(cpu_compile *c); /* ConvInteger, QLinearConv */
nib_status cpu_compile_conv_transpose(cpu_compile *c);
nib_status cpu_compile_pool2d(cpu_compile *c);
nib_status cpu_compile_global_pool(cpu_compile *c);
nib_status cpu_compile_reduce(cpu_compile *c);
nib_status cpu_compile_softmax(cpu_compile *c);
nib_status cpu_compile_eval(cpu_compile *c);  /* never says no */

/* What parts of an operator's eval ask for when a step runs them: scratch memory of the lane, which is the op_eval's `user`, and leave to
 * go on. */
void *cpu_lane_scratch(op_eval *c, size_t bytes);
nib_status cpu_lane_spend(op_eval *c, int64_t work);
/* Runs the eval of a step that has a fast way on what that way is not made for: all of its work. */
nib_status cpu_eval_whole(const plan_step *step, const kernels *k, plan_lane *lane);

/* Sums y [N] of (x - zero) b, b as the kernel has it: less what b's zero points take off, (sum of x - K zero) times each; one_zero: all
 * have the first. */
void cpu_take_off_zeros(const uint8_t *x, int64_t K, int zero, const int16_t *zeros, int64_t N, bool one_zero, int32_t *y);
/* Zero points t (NULL: 0) of bytes of `type`, as the packed s8 have them; NULL with *ok where all are 0. */
const int16_t *cpu_zeros_of(cpu_compile *c, const graph_tensor *t, nib_dtype type, bool *ok);
/* Scale and zero point of numbers from lo <= 0 to hi >= 0, as DynamicQuantizeLinear has them. */
void cpu_grid_of(float lo, float hi, float params[2]);

/* Parts of cpu_packed_parts. */
void cpu_linear_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n);
void cpu_embed_parts(const plan_step *step, cpu_packed parts[CPU_PACKED_MOST], int *n);

/* The packed form of columns [first, first + N) of weight w [K, ..] (trans: [.., K]), rows divided by factor [K] (NULL: 1), both of which
 * must live as long as the plan; made once for all plans of a device that are there at the same time, on all threads. */
nib_status cpu_weight_get(cpu_device *d, plan *of, const graph_tensor *w, bool trans, int64_t first, int64_t N, const float *factor,
                          const kernel_linear *kernel, const void **packed, nib_error *err);
/* The packed form that a compiled file brought, part `part` of value v, for columns [.., N) of K rows; BAD_MODEL if its size is not what
 * the kernel reads. */
nib_status cpu_weight_mapped(cpu_device *d, const graph_value *v, int part, int64_t N, int64_t K, const kernel_linear *kernel,
                             const void **packed, nib_error *err);
size_t cpu_weight_bytes(const struct device *d);
void cpu_weights_free(cpu_device *d);

/* Offsets of texts [lo, hi) climb, and end within the rows: what indexes with them was not made by nib alone. */
static inline bool cpu_texts_fit(const int64_t *offsets, int64_t lo, int64_t hi, int64_t rows) {
    for (int64_t b = lo; b < hi; b++)
        if (offsets[b] < 0 || offsets[b] > offsets[b + 1] || offsets[b + 1] > rows) return false;
    return true;
}
/* Where a step that is not on rows writes output i of n, once it knows its shape: where the plan put it, or a buffer that grows.
 * NULL with *status: memory ran out, or it is not the shape that others rely on. Several lanes may ask for one that is planned. */
void *cpu_output(plan_lane *lane, const graph_node *n, int i, nib_dtype dtype, int rank, const int64_t *dims, nib_status *status);
/* Whether `bytes` of value id have a place of the plan's: what a step whose work is divided must have. */
bool cpu_is_planned(const plan_group *group, int id, size_t bytes);
/* The same of output 0 of a step, in f32 and of these dimensions: whether its work may be divided. */
bool cpu_is_placed(const plan_step *step, const plan_group *group, int rank, const int64_t *dims);
bool cpu_same_shape(const graph_tensor *a, const graph_tensor *b);
/* One type and one shape, known to be. */
bool cpu_same_rows(const graph_value *a, const graph_value *b);
/* Product of all dims but the last; NULL if unknown. */
graph_dim cpu_rows(const graph_value *v, graph_symtab *t);

#endif
