/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of run/ share: workers, and walking a plan's stages.
 */
#ifndef RUN_INTERNAL_H
#define RUN_INTERNAL_H

#include "run.h"

typedef struct run_buffer {
    void *data;
    size_t size;
} run_buffer;

typedef struct run_counter {
    _Atomic uint64_t ns, calls, rows, operations, weight_bytes, value_bytes;
} run_counter;

struct run_profile {
    const plan *p;
    int threads;
    int n_rows;
    run_counter *counters; /* [threads][n_rows] */
};

typedef struct run_worker {
    plan_group group; /* first, so that a group's callback finds its worker */
    plan_lane lane;
    base_heap *heap;
    run_buffer arena; /* ROWS, then SIZED values */
    run_buffer block, scratch;
    run_buffer *eval_scratch; /* [eval_scratch_cap] eval's scratch of one step */
    size_t eval_scratch_cap;
    size_t eval_scratch_used;
    run_buffer *dynamic, *elements; /* [value_limit] */
    const run_buffer *bound;  /* [value_limit] the caller's memory for outputs; NULL: none was ever bound */
    run_buffer inputs[6];     /* ids, mask, types, positions, skip, places of a text group */
    int64_t *laid_out;        /* [n_symbols] the sizes the memory is laid out for */
    bool is_laid_out;
    plan_item *items; /* [n_sized] */
    bool ready;
    run_counter *counters;        /* [n_rows] of the profile in use; NULL: none */
    const _Atomic int *cancelled; /* the session's; NULL: nobody can cancel */
    struct run_worker *bodies;    /* [p->n_bodies]; made when the first one runs */
    struct run_regions *regions;  /* of a plan of regions (run_regions.c); made when the first group runs */
} run_worker;

struct run_session {
    const plan *p;
    base_heap *heap;
    run_worker *workers; /* [threads] */
    int threads;
    _Atomic int cancelled;
    /* of the batch at hand */
    size_t *order, order_cap;
    struct run_span *spans; /* groups: texts order[begin .. end) */
    size_t spans_cap;
    /* the caller's memory for outputs (run_tensors.c): by output and, of those, by value id; NULL until the first is bound */
    run_buffer *bound, *bound_values;
};

typedef struct run_span {
    size_t begin, end;
} run_span;

/* Prepares a worker's fixed memory; does nothing the second time. */
nib_status run_worker_ready(run_session *s, run_worker *w, nib_error *err);
void run_worker_free(base_heap *heap, run_worker *w);
/* plan_lane.body: a worker for each body, which keeps its buffers (run_body.c). */
nib_status run_body(plan_lane *lane, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs);
nib_status run_worker_make(const plan *p, base_heap *heap, run_worker *w, nib_error *err);
bool run_buffer_grow(base_heap *heap, run_buffer *b, size_t bytes);

/* Binds symbols from an input's dims; SHAPE if it contradicts the graph. */
nib_status run_bind_input(run_worker *w, int index, const nib_tensor *t, nib_error *err);
void run_unbind(run_worker *w);
/* Gives every value its place for the bound sizes. */
nib_status run_layout(run_worker *w, nib_error *err);
/* Concrete dims and bytes of a value at the bound sizes; false if one is not known before the run (-1). */
bool run_resolve(const run_worker *w, const graph_value *v, graph_tensor *t);

/* The rows of regions in front of this one (n_regions: all). */
int run_rows_before(const plan *p, int region);
/* Of another device's region: row `first` of its launches, and the copies behind it. */
void run_count_region(run_counter *first, double launch, double copies, uint64_t rows, uint64_t n_copies, uint64_t bytes);
/* One step, counted in w->counters; parts > 1: that part of its columns. */
nib_status run_step_timed(run_worker *w, const plan_step *step, int64_t lo, int64_t hi, int part, int parts, plan_lane *lane);
/* Whether there is so much to do in the group that is laid out that a second thread is worth waking. */
bool run_pays_a_team(const run_worker *w);

/* By nib_session_cancel, or by the caller of the call that runs. */
static inline bool run_is_cancelled(const run_worker *w) {
    return (w->cancelled && atomic_load_explicit((_Atomic int *)(uintptr_t)w->cancelled, memory_order_relaxed)) || base_stop_wanted();
}

#define RUN_TEAM_MOST 64

/* Runs the worker's group, which is laid out, on up to `threads` threads: by its steps or by its regions. */
nib_status run_laid_out(run_session *s, run_worker *w, int threads, nib_error *err);
/* All steps: alone, or on up to `threads` threads with the lanes of these workers, the first of which is w. */
nib_status run_alone(run_worker *w, nib_error *err);
nib_status run_in_team(run_worker *w, run_worker *const *lanes, int threads, nib_error *err);

/* Plans of regions (run_regions.c). */
nib_status run_group_regions(run_session *s, run_worker *w, int threads, nib_error *err);
void run_regions_free(base_heap *heap, run_worker *w);
size_t run_regions_bytes(const run_worker *w);
size_t run_worker_bytes(const run_worker *w);

#endif
