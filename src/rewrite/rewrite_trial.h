/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of one or two graphs on the same random inputs: what the proof (rewrite_prove.c) and the costs (rewrite_costs.c) share.
 */
#ifndef REWRITE_TRIAL_H
#define REWRITE_TRIAL_H

#include "rewrite.h"

#define REWRITE_SEED 0x9e3779b97f4a7c15ull

typedef struct rewrite_cut {
    int first, second;  /* the value before it is rounded: which output of either graph it is */
    graph_value *input; /* of the second: what it rounds instead */
    rewrite_difference found;
} rewrite_cut;

typedef struct rewrite_cuts {
    rewrite_cut *items;
    int n, roundings[2];
} rewrite_cuts;

/* Cuts b, and makes both give what they round; both are clones. None may be found: n is 0. */
nib_status rewrite_cut_at_roundings(base_arena *arena, graph *a, graph *b, rewrite_cuts *cuts, nib_error *err);
/* b's inputs: those of `whole`, which it is a clone of, and what the first graph has just given. NULL when memory runs out. */
const nib_tensor **rewrite_cut_inputs(base_arena *arena, const rewrite_cuts *cuts, run_session *first, const graph *b, const graph *whole,
                                    const nib_tensor **given);

typedef struct rewrite_prover {
    nib_runtime *runtime;
    base_arena arena; /* inputs of one trial */
    const graph *g[2];
    device *device;
    plan *plans[2];
    run_session *sessions[2];
    int64_t *symbols; /* [graph_symbol_count of g[0]] sizes */
    uint64_t seed;
    int64_t size, batch;
    bool tokens_only;
    rewrite_cuts cuts;
    graph *clones[2];
    const nib_tensor *mask; /* the trial's, [B, S], or NULL */
    char *why;              /* [REWRITE_WHY] what stood in the way of the last trial */
    nib_error *err;
} rewrite_prover;

/* Random inputs of p->g[0] in p->arena, which this opens and the caller frees, whatever it answers; given[1]: the same by name for p->g[1].
 * False with why[]. */
bool rewrite_trial_inputs(rewrite_prover *p, const nib_tensor **given[2]);
/* Runs p->sessions[0]; false with why[]. */
bool rewrite_trial_first(rewrite_prover *p, const nib_tensor **given);
/* A plan and a session for `clone`, of graph i; false with why[]. */
bool rewrite_trial_ready(rewrite_prover *p, int i, graph *clone);
void rewrite_trial_end(rewrite_prover *p, int i, graph *clone);

#endif
