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

/* Measures the machine with these kernels on `threads` threads of the runtime's pool at the same time: sums over the threads.
 * About 100 ms; reads up to 256 MiB (less under a memory ceiling: memory_bytes is then 0). */
nib_status cpu_measure(nib_runtime *rt, const kernels *k, int threads, plan_speed *out, nib_error *err);

/* ---- inside the room */
typedef struct cpu_weight { /* a weight packed for one kernel */
    struct cpu_weight *next;
    const void *source; /* the first column's bytes in the constant: the key, with N, trans and the kernel */
    int64_t N;
    bool trans;
    const kernel_linear *kernel;
    const float *factor; /* as kernel_weight's; weights with equal factors are one */
    void *packed;
    size_t bytes;
} cpu_weight;

/* Packed weights lie end to end in a few large blocks, which the system backs with large pages where it can: fewer page
 * faults while packing, fewer TLB misses while computing. */
typedef struct cpu_chunk {
    struct cpu_chunk *next;
    size_t used, size; /* counted from the chunk's begin */
} cpu_chunk;

typedef struct cpu_device {
    struct device base;
    kernels kernels;
    cpu_weight *weights; /* guarded by lock, as all below */
    cpu_chunk *chunks;
    size_t chunk_bytes;
    base_mutex *lock;
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
nib_status cpu_compile_pool(cpu_compile *c);
nib_status cpu_compile_lp_norm(cpu_compile *c);
nib_status cpu_compile_round(cpu_compile *c); /* QuantizeRows, and Cast of f32 rows to bf16 */
nib_status cpu_compile_eval(cpu_compile *c);  /* never says no */

/* The packed form of columns [first, first + N) of weight w [K, ..] (trans: [.., K]), rows divided by factor [K] (NULL: 1), which must
 * live as long as the device; made once per device and kernel, on all threads. */
nib_status cpu_weight_get(cpu_device *d, const graph *g, const graph_tensor *w, bool trans, int64_t first, int64_t N, const float *factor,
                          const kernel_linear *kernel, const void **packed, nib_error *err);
size_t cpu_weight_bytes(const struct device *d);
void cpu_weights_free(cpu_device *d);

/* Product of all dims but the last; NULL if unknown. */
graph_dim cpu_rows(const graph_value *v, graph_symtab *t);

#endif
