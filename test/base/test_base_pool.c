/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool: every index exactly once, slots never shared within a job, many callers at once, teams that meet at barriers.
 * Most of what this file can find needs the thread sanitizer; without it, counts and memory of the slots are the evidence.
 */
#include "base_test.h"
#include "base/base_pool.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#define THREADS 6
#define TASKS 300

static base_heap heap;

typedef struct job {
    int threads;
    _Atomic int seen[TASKS];
    _Atomic int busy[THREADS]; /* by slot */
    int by_slot[THREADS];      /* plain: the sanitizer sees two threads in one slot */
    _Atomic int wrong;
} job;

static void count_task(void *arg, size_t i, int slot) {
    job *j = arg;
    if (slot < 0 || slot >= j->threads || i >= TASKS) {
        atomic_fetch_add(&j->wrong, 1);
        return;
    }
    if (atomic_exchange(&j->busy[slot], 1)) atomic_fetch_add(&j->wrong, 1);
    atomic_fetch_add(&j->seen[i], 1);
    j->by_slot[slot]++;
    for (volatile int k = 0; k < 200; k++) {
    }
    atomic_store(&j->busy[slot], 0);
}

static void check_job(const job *j, size_t n) {
    int total = 0;
    assert_int_equal(j->wrong, 0);
    for (size_t i = 0; i < TASKS; i++)
        if (j->seen[i] != (i < n)) fail_msg("task %zu of %zu ran %d times", i, n, j->seen[i]);
    for (int s = 0; s < j->threads; s++) total += j->by_slot[s];
    assert_int_equal(total, n);
}

static base_pool *pool_of(int threads) {
    base_pool *p;
    nib_error err;
    assert_int_equal(base_pool_create(&heap, threads, &p, &err), NIB_OK);
    return p;
}

static void every_index_once(void **state) {
    static const size_t counts[] = {0, 1, 2, 3, 5, 6, 7, 64, TASKS};
    for (int threads = 1; threads <= THREADS; threads++) {
        base_pool *p = pool_of(threads);
        assert_int_equal(base_pool_threads(p), threads);
        for (size_t k = 0; k < BASE_COUNT(counts); k++)
            for (int again = 0; again < 20; again++) {
                job j = {.threads = threads};
                base_pool_run(p, counts[k], count_task, &j);
                check_job(&j, counts[k]);
            }
        base_pool_free(p);
    }
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void the_caller_is_slot_zero(void *arg, size_t i, int slot) {
    if (pthread_equal(pthread_self(), *(pthread_t *)arg)) assert_int_equal(slot, 0);
    else assert_int_not_equal(slot, 0);
}

static void slots_tell_threads_apart(void **state) {
    base_pool *p = pool_of(4);
    pthread_t self = pthread_self();
    for (int again = 0; again < 50; again++) base_pool_run(p, 40, the_caller_is_slot_zero, &self);
    base_pool_free(p);
}

typedef struct caller {
    base_pool *pool;
    int failed;
} caller;

static void *call_often(void *arg) {
    caller *c = arg;
    for (int again = 0; again < 60; again++) {
        size_t n = (size_t)(again * 31 % TASKS);
        job j = {.threads = base_pool_threads(c->pool)};
        base_pool_run(c->pool, n, count_task, &j);
        c->failed += j.wrong != 0;
        for (size_t i = 0; i < TASKS; i++) c->failed += j.seen[i] != (i < n);
    }
    return NULL;
}

static void many_callers_share_the_workers(void **state) {
    base_pool *p = pool_of(4);
    pthread_t threads[8];
    caller callers[8];
    for (int i = 0; i < 8; i++) {
        callers[i] = (caller){p, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].failed, 0);
    }
    base_pool_free(p);
}

static void run_inside(void *arg, size_t i, int slot) {
    job j = {.threads = THREADS};
    base_pool_run(arg, 10, count_task, &j);
    check_job(&j, 10);
}

static void a_task_may_start_a_job(void **state) {
    base_pool *p = pool_of(3);
    base_pool_run(p, 12, run_inside, p);
    base_pool_free(p);
}

/* ---- teams */

#define ROUNDS 50
typedef struct meeting {
    int size; /* as each member sees it */
    _Atomic int members, wrong;
    _Atomic int present[THREADS];
    int cells[THREADS]; /* plain: written by one, read by the next after the barrier */
} meeting;

static void meet(void *arg, base_team *team, int member) {
    meeting *m = arg;
    int n = base_team_size(team);
    if (member < 0 || member >= n || n > THREADS || atomic_fetch_add(&m->present[member], 1) != 0) {
        atomic_fetch_add(&m->wrong, 1);
        return;
    }
    atomic_fetch_add(&m->members, 1);
    if (member == 0) m->size = n;
    for (int round = 0; round < ROUNDS; round++) {
        m->cells[member] = round * 100 + member;
        base_team_barrier(team);
        int next = (member + 1) % n;
        if (m->cells[next] != round * 100 + next) atomic_fetch_add(&m->wrong, 1);
        base_team_barrier(team);
    }
}

static void teams_meet(void **state) {
    for (int threads = 1; threads <= 4; threads++) {
        base_pool *p = pool_of(threads);
        for (int wanted = 0; wanted <= 6; wanted++)
            for (int again = 0; again < 10; again++) {
                meeting m = {0};
                base_pool_team(p, wanted, meet, &m);
                assert_int_equal(m.wrong, 0);
                assert_int_equal(m.members, m.size); /* all who were counted took part, nobody else did */
                assert_true(m.size >= 1 && m.size <= threads && (m.size <= wanted || m.size == 1));
            }
        base_pool_free(p);
    }
}

/* Members that come late, at any stage: whoever takes part in a stage meets all others of it, at its middle and at its end. */
#define STAGES 40
typedef struct late {
    _Atomic int began[STAGES], middle[STAGES], wrong, grown;
    unsigned seed;
    double until; /* base_clock: member 0 does not begin before somebody has come, or it is so late; 0: it begins at once */
} late;

/* Member 0 alone, at stage 0: meets nobody, again and again, so that whoever has come is admitted to that stage. */
static void wait_for_company(base_team *team, double until) {
    while (base_team_size(team) == 1 && base_clock() < until) {
        base_team_meet(team, 0);
        sched_yield();
    }
}

static void late_member(void *arg, base_team *team, int member) {
    late *l = arg;
    if (member == 0) wait_for_company(team, l->until);
    if (member == 0) atomic_fetch_add(&l->grown, base_team_size(team) > 1);
    for (int i = base_team_start(team); i < STAGES; i++) {
        const int size = base_team_size(team);
        if (member >= size) atomic_fetch_add(&l->wrong, 1);
        for (volatile unsigned k = (l->seed * 2654435761u + (unsigned)(i * 7 + member)) % (member ? 3 : 300); k > 0;) k--;
        atomic_fetch_add(&l->began[i], 1);
        base_team_barrier(team);
        if (atomic_load(&l->began[i]) != size) atomic_fetch_add(&l->wrong, 1);
        atomic_fetch_add(&l->middle[i], 1);
        base_team_meet(team, i + 1);
        if (atomic_load(&l->middle[i]) != size) atomic_fetch_add(&l->wrong, 1);
        if (base_team_size(team) > size && member == 0) atomic_fetch_add(&l->grown, 1);
    }
}

static void members_come_late(void **state) {
    (void)state;
    base_pool *pool;
    nib_error err;
    int grown = 0;
    assert_int_equal(base_pool_create(&heap, 4, &pool, &err), NIB_OK);
    for (int turn = 0; turn < 3000; turn++) {
        late l = {.seed = (unsigned)turn};
        base_pool_team(pool, 1 + turn % 4, late_member, &l);
        assert_int_equal(atomic_load(&l.wrong), 0);
        for (int i = 0; i < STAGES; i++) assert_true(atomic_load(&l.began[i]) >= 1);
    }
    /* Whether anybody came in those is the scheduler's affair. Here the team waits for it; a team is of one for a moment
     * behind one that was held up (CROWDED), hence the turns. */
    const double limit = base_clock() + 60;
    for (unsigned turn = 0; grown < 10 && base_clock() < limit; turn++) {
        late l = {.seed = turn, .until = base_clock() + 0.05};
        base_pool_team(pool, 4, late_member, &l);
        assert_int_equal(atomic_load(&l.wrong), 0);
        for (int i = 0; i < STAGES; i++) assert_true(atomic_load(&l.began[i]) >= 1);
        grown += atomic_load(&l.grown) > 0;
    }
    assert_int_equal(grown, 10);
    base_pool_free(pool);
}

static void *team_often(void *arg) {
    caller *c = arg;
    for (int again = 0; again < 20; again++) {
        meeting m = {0};
        base_pool_team(c->pool, 3, meet, &m);
        c->failed += m.wrong != 0 || m.members != m.size;
    }
    return NULL;
}

static void teams_and_jobs_mix(void **state) {
    base_pool *p = pool_of(4);
    pthread_t threads[6];
    caller callers[6];
    for (int i = 0; i < 6; i++) {
        callers[i] = (caller){p, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, i % 2 ? team_often : call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].failed, 0);
    }
    base_pool_free(p);
}

static void no_memory_no_pool(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 64};
    base_heap tight;
    base_pool *p = (base_pool *)state;
    nib_error err = {0};
    base_heap_init(&tight, &options);
    assert_int_equal(base_pool_create(&tight, 4, &p, &err), NIB_OUT_OF_MEMORY);
    assert_null(p);
    base_pool_free(NULL);
    assert_int_equal(atomic_load(&tight.current), 0);
}

static void *lock_often(void *arg) {
    void **pair = arg;
    for (int i = 0; i < 10000; i++) {
        base_mutex_lock(pair[0]);
        ++*(int *)pair[1];
        base_mutex_unlock(pair[0]);
    }
    return NULL;
}

static void mutexes_exclude(void **state) {
    int count = 0;
    base_mutex *m = base_mutex_create(&heap);
    void *pair[2] = {m, &count};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, lock_often, pair), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(count, 40000);
    base_mutex_free(&heap, m);
    base_mutex_free(&heap, NULL);
    double a = base_clock(), b = base_clock();
    assert_true(a > 0 && b >= a);
}

typedef struct greedy {
    base_heap *heap;
    pthread_t caller;
    _Atomic bool come; /* a worker has */
    bool asks;
} greedy;

/* The caller waits until a worker has come and asked for more than there is. */
static void ask_for_too_much(void *arg, size_t i, int slot) {
    greedy *g = arg;
    if (pthread_equal(pthread_self(), g->caller)) {
        while (!atomic_load(&g->come)) sched_yield();
        return;
    }
    if (g->asks) assert_null(base_alloc(g->heap, 5000));
    atomic_store(&g->come, true);
}

static void a_refused_helper_is_the_callers_affair(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 4096};
    base_heap tight;
    base_pool *p = pool_of(2);
    base_heap_init(&tight, &options);
    for (int on_watch = 0; on_watch < 2; on_watch++) {
        base_watch watch;
        greedy g = {.heap = &tight, .caller = pthread_self(), .asks = true};
        if (on_watch) base_watch_begin(&watch, &tight);
        base_pool_run(p, 2, ask_for_too_much, &g);
        if (!on_watch) continue;
        assert_true(base_watch_refused(&watch));
        base_watch_end(&watch);
        base_watch_begin(&watch, &tight); /* another job of the same worker */
        g = (greedy){.heap = &tight, .caller = pthread_self()};
        base_pool_run(p, 2, ask_for_too_much, &g);
        assert_false(base_watch_refused(&watch));
        base_watch_end(&watch);
    }
    base_pool_free(p);
}

#ifndef __SANITIZE_THREAD__ /* which takes no threads after a fork */
static _Atomic int held;    /* 1: a thread has the lock; 2: it may give it back */

static void *hold(void *mutex) {
    base_mutex_lock(mutex);
    atomic_store(&held, 1);
    while (atomic_load(&held) != 2) sched_yield();
    base_mutex_unlock(mutex);
    return NULL;
}

/* A lock that a thread has which the child has not is open there, and its pool is whole. */
static void a_child_begins_anew(void **state) {
    base_pool *p = pool_of(THREADS);
    base_mutex *m = base_mutex_create(&heap);
    pthread_t holder;
    int status;
    assert_int_equal(pthread_create(&holder, NULL, hold, m), 0);
    while (atomic_load(&held) != 1) sched_yield();
    pid_t child = fork();
    if (child == 0) {
        alarm(60); /* instead of hanging */
        job j = {.threads = THREADS};
        int total = 0;
        base_mutex_lock(m);
        base_mutex_unlock(m);
        base_pool_run(p, TASKS, count_task, &j);
        for (int s = 0; s < THREADS; s++) total += j.by_slot[s];
        base_pool_free(p);
        base_mutex_free(&heap, m);
        _exit(total != TASKS || j.wrong != 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    atomic_store(&held, 2);
    pthread_join(holder, NULL);
    assert_int_equal(status, 0);
    job j = {.threads = THREADS};
    base_pool_run(p, TASKS, count_task, &j);
    check_job(&j, TASKS);
    base_pool_free(p);
    base_mutex_free(&heap, m);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_once),
        cmocka_unit_test(slots_tell_threads_apart),
        cmocka_unit_test(many_callers_share_the_workers),
        cmocka_unit_test(a_task_may_start_a_job),
        cmocka_unit_test(teams_meet),
        cmocka_unit_test(teams_and_jobs_mix), cmocka_unit_test(members_come_late),
        cmocka_unit_test(no_memory_no_pool),
        cmocka_unit_test(mutexes_exclude),
        cmocka_unit_test(a_refused_helper_is_the_callers_affair),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(a_child_begins_anew),
#endif
    };
    base_heap_init(&heap, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
