/* SPDX-License-Identifier: Apache-2.0
 *
 * Walking a plan. In: a group laid out. Out: its values computed. A chain is walked block by block; the blocks of one lane are
 * its own, so lanes need not meet inside a chain.
 */
#include "run_internal.h"

static nib_status run_step(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    run_worker *w = (run_worker *)(void *)((char *)lane - offsetof(run_worker, lane));
    w->eval_scratch_used = 0;
    if (w->counters && lo < hi) return run_step_timed(w, step, lo, hi, lane);
    return lo < hi ? step->run(step, lo, hi, lane) : NIB_OK;
}

/* The part [lo, hi) of a stage's range. */
static nib_status run_part(const plan *p, const plan_stage *stage, int64_t lo, int64_t hi, plan_lane *lane) {
    nib_status status = NIB_OK;
    const plan_step *steps = p->steps + stage->first;
    if (!stage->chain || stage->count == 1) return run_step(steps, lo, hi, lane);
    for (int64_t at = lo, end; at < hi; at = end) {
        end = hi - at <= p->block_most ? hi : at + p->block_rows;
        lane->block_first = at;
        for (int i = 0; i < stage->count; i++) NIB_TRY(run_step(&steps[i], at, end, lane));
    }
fail:
    return status;
}

/* Results of steps that eval put elsewhere than planned must be planned anew next time: the slot says where it is now. */
static nib_status stage_extent(const plan *p, const plan_stage *stage, const plan_group *group, int64_t *out, nib_error *err) {
    *out = plan_extent(&p->steps[stage->first], group);
    if (*out < 0) return base_error_set(err, NIB_SHAPE, "the size of %s is not known before it runs", p->steps[stage->first].node->op);
    return NIB_OK;
}

nib_status run_alone(run_worker *w, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    w->lane.err = err;
    w->lane.group = &w->group;
    for (int i = 0; i < p->n_stages; i++) {
        int64_t n;
        if (run_is_cancelled(w)) NIB_FAIL(err, NIB_CANCELLED, "the run was cancelled");
        NIB_TRY(stage_extent(p, &p->stages[i], &w->group, &n, err));
        NIB_TRY(run_part(p, &p->stages[i], 0, n, &w->lane));
    }
fail:
    return status;
}

typedef struct team_run {
    run_worker *w, *const *lanes;
    _Atomic int failed_stage; /* of the first failure; n_stages: there is none */
    nib_error errors[RUN_TEAM_MOST]; /* by member */
    _Atomic int status, failed_member;
} team_run;

static void team_fail(team_run *t, int stage, int member, nib_status status) {
    int none = t->w->group.p->n_stages;
    if (status == NIB_OK || !atomic_compare_exchange_strong(&t->failed_stage, &none, stage)) return;
    atomic_store(&t->status, status);
    atomic_store(&t->failed_member, member);
}

static void run_member(void *arg, base_team *team, int member) {
    team_run *t = arg;
    const plan *p = t->w->group.p;
    plan_lane *lane = &t->lanes[member]->lane;
    int size = base_team_size(team);
    lane->group = &t->w->group;
    lane->err = &t->errors[member];
    for (int i = 0; i < p->n_stages; i++) {
        const plan_stage *stage = &p->stages[i];
        int64_t n = 0;
        nib_status status = stage_extent(p, stage, lane->group, &n, lane->err);
        bool whole = p->steps[stage->first].range == PLAN_RANGE_WHOLE;
        if (status == NIB_OK && whole && member == 0) status = run_part(p, stage, 0, n, lane);
        if (status == NIB_OK && !whole) status = run_part(p, stage, n * member / size, n * (member + 1) / size, lane);
        if (status == NIB_OK && run_is_cancelled(t->w))
            status = base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        team_fail(t, i, member, status);
        base_team_barrier(team);
        /* What failed up to here all members see alike. Another may be in the next stage already and have failed there:
         * it waits for this one at that stage's barrier. */
        if (atomic_load(&t->failed_stage) <= i) break;
    }
    lane->group = &t->lanes[member]->group;
}

nib_status run_in_team(run_worker *w, run_worker *const *lanes, int threads, nib_error *err) {
    if (threads <= 1) return run_alone(w, err);
    team_run t = {.w = w, .lanes = lanes, .failed_stage = w->group.p->n_stages};
    base_pool_team(w->group.p->runtime->pool, threads, run_member, &t);
    nib_status status = (nib_status)atomic_load(&t.status);
    if (status != NIB_OK && err) *err = t.errors[atomic_load(&t.failed_member)];
    return status;
}

nib_status run_laid_out(run_session *s, run_worker *w, int threads, nib_error *err) {
    nib_status status = NIB_OK;
    run_worker *lanes[RUN_TEAM_MOST];
    if (threads > RUN_TEAM_MOST) threads = RUN_TEAM_MOST;
    if (s->p->n_regions) return run_group_regions(s, w, threads, err);
    lanes[0] = w;
    for (int i = 1; i < threads; i++) {
        lanes[i] = &s->workers[i];
        NIB_TRY(run_worker_ready(s, lanes[i], err));
    }
    NIB_TRY(run_in_team(w, lanes, threads, err));
fail:
    return status;
}
