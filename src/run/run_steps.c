/* SPDX-License-Identifier: Apache-2.0
 *
 * Walking a plan. In: a group laid out. Out: its values computed. A chain is walked block by block; the blocks of one lane are
 * its own, so lanes need not meet inside a chain.
 *
 * Rows that are too few to be divided among the threads of a team are one block of all: each thread computes a part of the columns of
 * each step, and they meet behind every one.
 */
#include "run_internal.h"

static nib_status run_step(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    run_worker *w = (run_worker *)(void *)((char *)lane - offsetof(run_worker, lane));
    w->eval_scratch_used = 0;
    if (w->counters && lo < hi) return run_step_timed(w, step, lo, hi, 0, 1, lane);
    return lo < hi ? step->run(step, lo, hi, lane) : NIB_OK;
}

/* Part `part` of `parts` of a step on n rows: of its columns, or where it has no such parts, of its rows. */
static nib_status run_tile(const plan_step *step, int64_t n, int part, int parts, plan_lane *lane) {
    run_worker *w = (run_worker *)(void *)((char *)lane - offsetof(run_worker, lane));
    if (!step->run_columns) return run_step(step, n * part / parts, n * (part + 1) / parts, lane);
    if (w->counters) return run_step_timed(w, step, 0, n, part, parts, lane);
    return step->run_columns(step, 0, n, part, parts, lane);
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
    char *block; /* the first lane's */
    _Atomic int failed_step; /* of the first failure; n_steps: there is none */
    nib_error errors[RUN_TEAM_MOST]; /* by member */
    _Atomic int status, failed_member;
} team_run;

/* All members meet behind step `at`, each with what became of its part. False: the team ends here. What failed up to here all members
 * see alike. Another may be behind a later step already and have failed there: it waits for this one at that step's meeting. Who has
 * come meanwhile begins with stage `next`; -1: it waits on. */
static bool meet(team_run *t, base_team *team, int at, int next, int member, nib_status status) {
    int none = t->w->group.p->n_steps;
    if (status != NIB_OK && atomic_compare_exchange_strong(&t->failed_step, &none, at)) {
        atomic_store(&t->status, status);
        atomic_store(&t->failed_member, member);
    }
    if (next < 0) base_team_barrier(team);
    else base_team_meet(team, next);
    return atomic_load(&t->failed_step) > at;
}

/* Whether a stage on n rows is walked step by step, by columns. Fewer rows than this for each thread leave a kernel's tiles half empty,
 * and every thread would read all weights for them. */
#define ROWS_LEAST 24

static bool by_columns(const plan *p, const plan_stage *stage, int64_t n, int size) {
    if (size < 2 || n < 1 || n > p->block_most || n >= (int64_t)ROWS_LEAST * size) return false;
    if (p->steps[stage->first].range != PLAN_RANGE_ROWS) return false;
    for (int i = 0; i < stage->count; i++)
        if (p->steps[stage->first + i].run_columns) return true;
    return false;
}

/* All steps of a stage, in the block of the first member. False: the team ends. */
static bool run_stage_by_columns(team_run *t, base_team *team, int index, int64_t n, int member, plan_lane *lane) {
    const plan *p = t->w->group.p;
    const plan_stage *stage = &p->stages[index];
    const int end = stage->first + stage->count, size = base_team_size(team);
    char *own = lane->block;
    bool on = true;
    lane->block = t->block;
    lane->block_first = 0;
    for (int at = stage->first; on && at < end; at++)
        on = meet(t, team, at, at + 1 < end ? -1 : index + 1, member, run_tile(&p->steps[at], n, member, size, lane));
    lane->block = own;
    return on;
}

static nib_status run_share(const plan *p, const plan_stage *stage, int64_t n, int member, int size, plan_lane *lane) {
    if (p->steps[stage->first].range == PLAN_RANGE_WHOLE) return member == 0 ? run_part(p, stage, 0, n, lane) : NIB_OK;
    return run_part(p, stage, n * member / size, n * (member + 1) / size, lane);
}

static void run_member(void *arg, base_team *team, int member) {
    team_run *t = arg;
    const plan *p = t->w->group.p;
    plan_lane *lane = &t->lanes[member]->lane;
    const int start = base_team_start(team);
    /* Who joined where the team ended goes again: what failed there was said before. */
    bool on = start < p->n_stages && (start == 0 || atomic_load(&t->failed_step) >= p->stages[start].first);
    lane->group = &t->w->group;
    lane->err = &t->errors[member];
    for (int i = start; on && i < p->n_stages; i++) {
        const plan_stage *stage = &p->stages[i];
        const int size = base_team_size(team);
        int64_t n = 0;
        nib_status status = stage_extent(p, stage, lane->group, &n, lane->err);
        if (status == NIB_OK && by_columns(p, stage, n, size)) {
            on = run_stage_by_columns(t, team, i, n, member, lane);
            continue;
        }
        if (status == NIB_OK) status = run_share(p, stage, n, member, size, lane);
        if (status == NIB_OK && run_is_cancelled(t->w)) status = base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        on = meet(t, team, stage->first + stage->count - 1, i + 1, member, status);
    }
    lane->group = &t->lanes[member]->group;
}

nib_status run_in_team(run_worker *w, run_worker *const *lanes, int threads, nib_error *err) {
    if (threads <= 1) return run_alone(w, err);
    team_run t = {.w = w, .lanes = lanes, .block = lanes[0]->lane.block, .failed_step = w->group.p->n_steps};
    base_pool_team(w->group.p->runtime->pool, threads, run_member, &t);
    nib_status status = (nib_status)atomic_load(&t.status);
    if (status != NIB_OK && err) *err = t.errors[atomic_load(&t.failed_member)];
    return status;
}

/* What a team must have to share before it is called: waking one that spins takes 1.1 us, one that sleeps 20, and each stage ends with a
 * barrier. In bytes read or written from near caches, of which a thread does some 20 a nanosecond; a multiply-add is about a sixteenth. */
#define TEAM_LEAST 65536.0

/* Whether the steps that a team shares have so much to do, by the sizes that are bound now. Steps that one thread does alone count nothing,
 * and where only the run tells a size, or the work is attention's, it has. Takes no longer than the work that it finds. */
bool run_pays_a_team(const run_worker *w) {
    const plan *p = w->group.p;
    double sum = 0;
    if (p->n_regions) return true;
    for (int i = 0; i < p->n_steps && sum < TEAM_LEAST; i++) {
        const plan_step *step = &p->steps[i];
        plan_work work;
        if (step->range == PLAN_RANGE_WHOLE) continue;
        int64_t n = plan_extent(step, &w->group);
        if (n < 0 || (step->range != PLAN_RANGE_ROWS && step->range != PLAN_RANGE_PARTS)) return true;
        if (step->range == PLAN_RANGE_PARTS && n == 1) continue;
        plan_step_work(step, &w->group, 0, n, &work);
        sum += work.operations / 32 + work.weight_bytes + work.value_bytes;
    }
    return sum >= TEAM_LEAST;
}

nib_status run_laid_out(run_session *s, run_worker *w, int threads, nib_error *err) {
    nib_status status = NIB_OK;
    run_worker *lanes[RUN_TEAM_MOST];
    if (threads > RUN_TEAM_MOST) threads = RUN_TEAM_MOST;
    if (s->p->n_regions) return run_group_regions(s, w, threads, err);
    if (threads > 1 && !run_pays_a_team(w)) threads = 1;
    lanes[0] = w;
    for (int i = 1; i < threads; i++) {
        lanes[i] = &s->workers[i];
        NIB_TRY(run_worker_ready(s, lanes[i], err));
    }
    NIB_TRY(run_in_team(w, lanes, threads, err));
fail:
    return status;
}
