/* SPDX-License-Identifier: Apache-2.0
 *
 * What two graphs cost where they run. In: both, as files say them. Out: memory and time of one run of each in nib, as a session would run
 * it (fused for execution), at one size: the memory a session holds, the least time by the machine's measured speed, and the time taken.
 *
 * They run in turns, and the least time of each counts: what else the machine does passes over both.
 */
#include "rewrite_trial.h"
#include <stdio.h>
#include <string.h>

#define SIZE 128                   /* of what is not a batch; halved where the model is shorter */
#define ROUNDS 7                   /* at most, */
#define PATIENCE 0.06              /* seconds in all, but once each */
#define LARGEST_WEIGHTS (1u << 30) /* beyond, packing them twice more is no report's business */

static nib_status make_program(rewrite_prover *p, int i, graph **clone) {
    nib_status status = NIB_OK;
    NIB_TRY(graph_clone(p->g[i], clone, p->err));
    int opset = graph_opset_version(*clone, "");
    pass_context ctx = {.g = *clone,
                        .runtime = p->runtime,
                        .kernels = cpu_kernels(p->device),
                        .mode = PASS_MODE_EXACT,
                        .level = opset > 0 && opset < 7 ? 0 : 2,
                        .err = p->err};
    NIB_TRY(pass_run_all(&ctx));
    if (!rewrite_trial_ready(p, i, *clone)) status = NIB_UNSUPPORTED;
fail:
    return status;
}

/* Runs session i once; what it took, or -1. */
static double time_of(rewrite_prover *p, int i, const nib_tensor **given) {
    nib_error err = {0};
    double begun = base_clock();
    if (run_tensors(p->sessions[i], given, &err) == NIB_OK) return base_clock() - begun;
    snprintf(p->why, REWRITE_WHY, "it does not run at size %lld: %.160s", (long long)p->size, err.message);
    return -1;
}

static bool measure(rewrite_prover *p, rewrite_costs *c) {
    const nib_tensor **given[2];
    bool ran = rewrite_trial_inputs(p, given);
    for (int i = 0; i < 2 && ran; i++) { /* the first run finds its memory */
        ran = time_of(p, i, given[i]) >= 0;
        c->memory[i] = ran ? run_session_bytes(p->sessions[i]) : 0;
    }
    double begun = base_clock();
    for (c->rounds = 0; ran && c->rounds < ROUNDS && (!c->rounds || base_clock() - begun < PATIENCE); c->rounds++)
        for (int i = 0; i < 2 && ran; i++) {
            double t = time_of(p, i, given[i]);
            ran = t >= 0;
            if (!c->rounds || t < c->measured[i]) c->measured[i] = t;
        }
    base_arena_free(&p->arena);
    return ran;
}

static bool has_open_sizes(const graph *g) {
    int64_t n;
    for (int i = 0; i < g->n_inputs; i++)
        for (int k = 0; k < g->inputs[i]->type.rank; k++)
            if (!graph_dim_is_const(g->inputs[i]->type.dims[k], &n)) return true;
    return false;
}

nib_status rewrite_costs_of(nib_runtime *runtime, const graph *a, const graph *b, rewrite_costs *costs, nib_error *err) {
    nib_status status = NIB_OK;
    nib_error refused = {0};
    rewrite_prover p = {.runtime = runtime, .g = {a, b}, .seed = REWRITE_SEED, .batch = 1, .why = costs->why, .err = &refused};
    graph *clones[2] = {NULL, NULL};
    uint64_t weights = 0;
    plan_speed speed;
    *costs = (rewrite_costs){.threads = base_pool_threads(runtime->pool)};
    for (int i = 0; i < a->n_constants; i++) weights += a->constants[i]->constant->bytes;
    if (weights > LARGEST_WEIGHTS) return snprintf(costs->why, REWRITE_WHY, "its weights are more than 1 GiB"), NIB_OK;
    NIB_TRY(cpu_open(runtime, &p.device, err));
    for (int i = 0; i < 2 && status == NIB_OK; i++) status = make_program(&p, i, &clones[i]);
    if (status != NIB_OK) { /* a report without costs is a report */
        if (!costs->why[0]) snprintf(costs->why, REWRITE_WHY, "%.250s", refused.message);
        status = base_stop_check(err);
        goto fail;
    }
    bool open = has_open_sizes(a);
    for (p.size = SIZE; p.size > 0 && !costs->ran; p.size = open ? p.size / 2 : 0) {
        costs->ran = measure(&p, costs);
        costs->size = open ? p.size : 0;
    }
    NIB_TRY(base_stop_check(err));
    if (!costs->ran) goto fail;
    NIB_TRY(p.device->table->measure(p.device, costs->threads, &speed, err));
    for (int i = 0; i < 2; i++)
        if (plan_estimate(p.plans[i], &speed, open ? costs->size : 1, &costs->estimated[i]) != NIB_OK)
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for an estimate");
fail:
    for (int i = 0; i < 2; i++) rewrite_trial_end(&p, i, clones[i]);
    if (p.device) p.device->table->close(p.device);
    return status;
}
