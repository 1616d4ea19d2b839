/* SPDX-License-Identifier: Apache-2.0
 *
 * Graph + devices -> plan. Immutable once built; any number of groups and lanes run it at once.
 *
 * Where the host runs all of it, a plan is steps in order, where each value lives and how long, and packed weights. Where other
 * devices have a part, it is a list of regions in order, each with the program that its device made of it (device.h): the host's is
 * a plan of its own, and what crosses between regions is moved by who runs the plan (run_regions.c).
 *
 * Who is who when a plan runs:
 *
 *     group   one sub-batch: the sizes of its symbols, and memory for the values that steps hand to one another
 *     lane    one thread serving a group: scratch, and memory for the values of one block of rows inside a chain
 *
 * A step declares its range: rows, texts x heads, texts, parts of its own making, or whole. `run(step, lo, hi, lane)`
 * computes that part of its output; parts may run at the same time on different lanes of the group, in any order, with
 * the same bits. A step whose work is reading weights can be divided by columns as well (`run_columns`): a range of
 * tiles, rows by columns.
 *
 * A stage is one step, or a chain: consecutive row steps over the same rows. A chain is walked in blocks of
 * plan->block_rows (block_most at the end), so that values used only inside it (storage BLOCK) need one block of memory, in cache.
 *
 * Storage of a value:
 *     CONSTANT  bytes of the graph (aligned copy where the file's are misaligned and a step reads them typed)
 *     INPUT     bound by the caller
 *     ROWS      row_bytes for each row of the plan's main row count (T when packed): offset is given once, in bytes per row
 *     BLOCK     the same, for block_most rows, in each lane
 *     SIZED     laid out on numbers when a group meets new sizes
 *     DYNAMIC   its size depends on data: a buffer that grows
 *     CROSSING  in a plan of regions: where the region that gives it left it, and copies on the devices that read it
 *
 * A body (of If, Loop, Scan) has a plan of its own, among `bodies`. Its sizes may change with every run, so all of its values
 * are DYNAMIC and its steps WHOLE: buffers that stay from run to run, nothing to lay out. What it reads of the graphs around it
 * is looked up in the groups that run those (plan_tensor).
 */
#ifndef PLAN_H
#define PLAN_H

#include "base/base_runtime.h"
#include "graph/graph.h"
#include "kernel/kernel.h"
#include "op/op.h"

typedef struct plan plan;
typedef struct plan_step plan_step;
typedef struct plan_group plan_group;
typedef struct plan_lane plan_lane;
struct device;

typedef enum plan_storage {
    PLAN_NONE,
    PLAN_CONSTANT,
    PLAN_INPUT,
    PLAN_ROWS,
    PLAN_BLOCK,
    PLAN_SIZED,
    PLAN_DYNAMIC,
    PLAN_CROSSING
} plan_storage;
typedef enum plan_range { PLAN_RANGE_WHOLE, PLAN_RANGE_ROWS, PLAN_RANGE_TEXT_HEADS, PLAN_RANGE_TEXTS, PLAN_RANGE_PARTS } plan_range;

typedef struct plan_value { /* indexed by graph value id */
    const graph_value *v;
    plan_storage storage;
    int first, last;      /* steps (CROSSING: regions): written, last read; outputs of the plan are read at n_steps (n_regions) */
    size_t row_bytes;     /* ROWS, BLOCK: bytes of one row, dense */
    size_t offset;        /* ROWS: bytes per row; BLOCK: bytes per row of the block */
    bool must_fit_type;         /* read by a step that asks for no more than the type, so at run time the shape must be the type's */
    const void *constant; /* CONSTANT: as steps read it; may be misaligned if only packed. INPUT: its preset, or NULL */
} plan_value;

struct plan_step {
    const graph_node *node;
    plan_range range;
    graph_dim extent; /* ROWS: how many rows; TEXTS, TEXT_HEADS: how many texts; else NULL */
    int heads;        /* TEXT_HEADS: parts of one text */
    /* PARTS: into how many its work divides at the sizes of this group, at least 1: 1 where an output is not where the plan put it. */
    int64_t (*parts)(const plan_step *step, const plan_group *group);
    struct device *device;
    nib_status (*run)(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane);
    /* ROWS: part `part` of `parts` of the columns of rows [lo, hi), for rows that are too few to be divided: all parts together
     * are what run computes, with the same bits. NULL: it can only be divided by rows. */
    nib_status (*run_columns)(const plan_step *step, int64_t lo, int64_t hi, int part, int parts, plan_lane *lane);
    void *state;        /* the device's, freed with the device */
    const char *kernel; /* what computes it, for explain and profile: "nk_gemm_f32_f32_f32__12x32_avx512", "eval" */
    const char *why;    /* why nothing faster: the very refusals that took the decision, one line; "" if it is the best */
    size_t scratch;     /* bytes a lane must have */
    uint32_t whole;     /* ROWS: bit i: input i is read elsewhere than at the step's own rows, so it must be whole before */
    int tile_rows;      /* ROWS: how many it computes at once, at best; 0: it does not matter */
    bool evaluates;     /* as the operator's eval: reads what it is given as its type, whatever its shape */
};

typedef struct plan_stage {
    int first, count; /* steps */
    bool chain;
} plan_stage;

/* Nodes that one device runs without waiting for another: a convex part of the graph. */
typedef struct plan_region {
    struct device *device;
    char name[64];         /* the device's, for people; of a pool, its kind */
    graph *g;              /* they, as graph_extract gives them; symbols have the plan's numbers */
    int *inputs, *outputs; /* of g, as ids of the plan's values */
    plan *host;            /* the host's program; NULL: another device's, by index of its pool: */
    struct device_program **programs;
    int n_programs;
} plan_region;

struct plan {
    nib_runtime *runtime;
    const graph *g; /* borrowed: the model keeps it as long as the plan */
    base_arena arena;
    plan_value *values; /* [g->value_limit] */
    plan_step *steps;
    int n_steps;
    plan_stage *stages;
    int n_stages;
    graph_dim rows;       /* the main row count; NULL if no value is ROWS */
    size_t rows_bytes;    /* memory of all ROWS values per row */
    size_t block_bytes;   /* memory of all BLOCK values per row of a block, largest chain */
    int64_t group_tokens; /* tokens that a group should have where the caller leaves the choice to nib */
    int block_rows;       /* of a block */
    int block_most;       /* so many if they are the last: a few rows of their own would fetch all weights again for little */
    int *sized;
    int n_sized;    /* value ids */
    size_t scratch; /* largest step's */
    int n_symbols;
    int64_t *bindable; /* [n_symbols] 1: a caller's inputs give the symbol its number; else GRAPH_UNBOUND: only data can */
    int tokens_symbol; /* of T in a packed plan; -1: none */
    const char *notes; /* what passes and devices had to say */
    struct plan_end *ends; /* what is called when the plan is freed */
    bool is_body;
    plan **bodies; /* of all nodes, in order */
    int n_bodies;
    plan_region *regions; /* in order; none: the host runs the whole graph, by the steps above */
    int n_regions;
    struct device **others; /* [n_others] that are not the host and have regions */
    int n_others;
};

typedef struct plan_options {
    size_t l2_bytes; /* cache a block should fit; 0: the machine's */
    bool body;       /* the graph is a body */
    const int64_t *bindable; /* of a region's graph: what plan.bindable of the whole says; NULL: it is found */
} plan_options;

/* Builds a plan for g, whose nodes are resolved and inferred. Devices are an order of preference: each node goes to the first that
 * claims it; the last is a host. The plan borrows g and devices. */
nib_status plan_build(nib_runtime *runtime, const graph *g, struct device *const *devices, int n_devices, const plan_options *options,
                      plan **out, nib_error *err);
void plan_free(plan *p); /* NULL is accepted */
/* While a plan is built: fn(a, b) is called when it is freed, before its memory is. What devices keep for several plans is
 * counted so. False when memory runs out. */
bool plan_at_end(plan *p, void (*fn)(void *a, void *b), void *a, void *b);

/* Makes p->regions of g: on[node id] is who runs the node, and not all are the host (plan_regions.c). */
nib_status plan_make_regions(plan *p, struct device *const *on, struct device *host, const plan_options *options, nib_error *err);
void plan_free_regions(plan *p);

/* ---- memory (plan_memory.c): places n items with lifetimes so that no two alive at once overlap. */
typedef struct plan_item {
    int first, last; /* inclusive */
    int id;          /* the caller's: items may come back in another order */
    size_t size;     /* what it got: at least what was asked for, a multiple of 64 */
    size_t offset;   /* result */
    int order, next; /* the planner's own */
} plan_item;
/* Returns the total size; SIZE_MAX if it does not fit size_t. Allocates nothing. O(n log n) for many. */
size_t plan_memory_place(plan_item *items, int n);

/* ---- running: what steps see */
typedef struct plan_slot {
    graph_tensor t; /* concrete type and dims; data: where row 0 is (NULL for BLOCK) */
} plan_slot;

struct plan_group {
    const plan *p;
    int64_t *symbols;        /* [n_symbols] */
    plan_slot *slots;        /* [g->value_limit] */
    const plan_group *outer; /* of a body: the group that runs the graph around it */
    /* A buffer for value id that holds `bytes`, kept by the group from run to run; NULL when memory runs out. */
    void *(*grow)(plan_group *group, int id, size_t bytes);
    /* The same for what the elements of value id point to (strings, sequences). */
    void *(*hold)(plan_group *group, int id, size_t bytes);
};

struct plan_lane {
    plan_group *group;
    char *block;                                   /* plan->block_bytes x block_most */
    int64_t block_first;                           /* row that the block begins with */
    char *scratch;                                 /* plan->scratch bytes, 64-aligned */
    void *(*eval_scratch)(plan_lane *lane, size_t bytes); /* eval's scratch: until the step ends */
    /* Runs the plan of a body, as op_eval.body. */
    nib_status (*body)(plan_lane *lane, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs);
    bool (*stopped)(const plan_lane *lane); /* the run was cancelled: a step that takes long asks */
    nib_error *err;
};

/* Address of row `row` of a value in ROWS, BLOCK or any dense storage. */
static inline char *plan_row(const plan_lane *lane, int id, int64_t row) {
    const plan_value *pv = &lane->group->p->values[id];
    if (pv->storage == PLAN_BLOCK)
        return lane->block + pv->offset * (size_t)lane->group->p->block_most + (size_t)(row - lane->block_first) * pv->row_bytes;
    return (char *)lane->group->slots[id].t.data + (size_t)row * pv->row_bytes;
}

/* Where a value is: in this group or in one around it. */
static inline const graph_tensor *plan_tensor(const plan_group *group, const graph_value *v) {
    while (group->p->g != v->owner && group->outer) group = group->outer;
    return &group->slots[v->id].t;
}

/* How far a step's range goes in this group; -1 if a symbol is unbound. */
int64_t plan_extent(const plan_step *step, const plan_group *group);

/* ---- what steps have to do (plan_work.c) */
typedef struct plan_work {
    double operations;   /* of Linear, Attention, MatMul, a multiply-add counting two; else 0 */
    double weight_bytes; /* constants read, once for all rows */
    double value_bytes;  /* rows or whole values, read and written */
    kernel_input input;  /* what the operations are done on */
} plan_work;

/* Of the part [lo, hi) of a step's range, at the sizes that the group is laid out for. */
void plan_step_work(const plan_step *step, const plan_group *group, int64_t lo, int64_t hi, plan_work *out);
kernel_input plan_step_input(const plan_step *step);
/* Where each text's rows begin, as the step reads it; NULL: it reads no packed texts. */
const graph_value *plan_step_offsets(const plan_step *step);
/* What the step is for, in few words: "linear qkv", "attention", "norm", ... Static storage. */
const char *plan_step_kind(const plan_step *step);

/* How fast a machine computes and reads, one thread; all 0 where it is not known. */
typedef struct plan_speed {
    double operations[KERNEL_INPUTS]; /* a second, by what is multiplied */
    double cache_bytes, memory_bytes; /* read a second, from L2 and from memory */
    size_t cache_size;                /* constants that are more than this together come from memory */
} plan_speed;
/* Seconds that one thread needs for the work at least. `constants`: bytes of all constants that the plan reads. */
double plan_bound(const plan_speed *speed, const plan_work *work, double constants);
/* The sum over all steps, for one text of `tokens` tokens: sizes that come first are 1, all others are `tokens`. */
nib_status plan_estimate(const plan *p, const plan_speed *speed, int64_t tokens, double *seconds);
/* Bytes of all weights as steps read them. */
double plan_weight_bytes(const plan *p);

/* Lines of text, one a step: kernel, share of the lower bound of one text of `tokens` tokens, why nothing faster (plan_explain.c). */
nib_status plan_explain(const plan *p, const plan_speed *speed, int64_t tokens, base_str *out);

#endif
