/* SPDX-License-Identifier: Apache-2.0
 *
 * The thread pool. `base_pool_run` calls fn(arg, i, slot) for every i in [0, n): the caller works too, workers help, and
 * it returns when all are done. Any number of threads may call it at once; their jobs share the workers. Tasks are
 * started in order of i. `slot` is in [0, base_pool_threads) and no two tasks of one job run at the same time with the
 * same slot, so it can index a caller's per-thread memory; the caller's own slot is 0. An idle worker spins briefly,
 * longer while calls follow one another closely, then sleeps.
 *
 * In a child of fork() a pool goes on with workers of its own: jobs of threads that only the parent has are forgotten.
 *
 * A team (`base_pool_team`) is for steps that must be split: fn(arg, team, member) runs at most once per member at the
 * same time. The caller is member 0 and begins at once; whoever is woken meanwhile joins where the team next meets
 * (base_team_meet), so that nobody waits for a thread that sleeps.
 */
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include "base_thread.h"

typedef struct base_pool base_pool;

/* threads includes the caller: threads - 1 workers are started. */
nib_status base_pool_create(base_heap *heap, int threads, base_pool **out, nib_error *err);
void base_pool_free(base_pool *pool); /* no job may be running; NULL is accepted */
int base_pool_threads(const base_pool *pool);

typedef void (*base_task_fn)(void *arg, size_t i, int slot);
void base_pool_run(base_pool *pool, size_t n, base_task_fn fn, void *arg);

typedef struct base_team base_team;
typedef void (*base_team_fn)(void *arg, base_team *team, int member);
/* Runs fn on up to `wanted` threads at once; returns when all have finished. */
void base_pool_team(base_pool *pool, int wanted, base_team_fn fn, void *arg);
/* How many members there are; it changes only where they meet. */
int base_team_size(const base_team *team);
/* What was `next` in the meeting where the calling member joined; of member 0, 0. To be read first. */
int base_team_start(const base_team *team);
/* All members wait until each has arrived. Memory written before is visible after. */
void base_team_barrier(base_team *team);
/* The same; and who has come meanwhile is a member from here on, and begins with `next`. All members give the same. */
void base_team_meet(base_team *team, int next);

#endif
