/* SPDX-License-Identifier: Apache-2.0
 *
 * One pool, many callers. A job lives on its caller's stack and hangs in the pool's list while it has tasks to give; a worker
 * joins it under the lock (which gives it a slot), takes task after task with one atomic add, and leaves. The caller takes
 * tasks too, unhooks the job, and waits until the last worker has left.
 *
 * An idle worker first watches the job counter for PATIENCE (what a fork-join between two layers needs; with shared cores a
 * long spin costs others milliseconds), then sleeps on a condition. Being woken takes 20 to 100 microseconds. So a worker that
 * was woken soon after it had gone to sleep is in the middle of calls that follow one another, and watches longer the next
 * time. Times are seconds, not pauses: a pause is 10 nanoseconds on one processor and 60 on another.
 */
#include "base_pool.h"
#include "base_stop.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define PATIENCE 20e-6
#define PATIENCE_LONG 300e-6
#define SOON 2e-3
#define PAUSES 8 /* between two looks at the clock */

static inline void cpu_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Spins while *at is `value`, for so many seconds at most. */
static void spin_while(_Atomic unsigned *at, unsigned value, double seconds) {
    const double until = base_clock() + seconds;
    do
        for (int i = 0; i < PAUSES; i++) {
            if (atomic_load_explicit(at, memory_order_acquire) != value) return;
            cpu_pause();
        }
    while (base_clock() < until);
}

/* Waiting for another thread. When it takes long there are more threads than free cores, and the one that is waited for gets
 * a chance to run. */
typedef struct waiting {
    double since; /* when the clock was first looked at; 0: it was not */
    int turns;
} waiting;

static void wait_a_turn(waiting *w) {
    cpu_pause();
    if (++w->turns % 64) return;
    const double now = base_clock();
    if (w->since == 0) w->since = now;
    else if (now - w->since > 5 * PATIENCE) sched_yield();
}

/* ---- the pool */

typedef struct job {
    base_task_fn fn;
    void *arg;
    size_t n;
    _Atomic size_t next; /* the task to take */
    int slots;           /* given so far, the caller's 0 included; guarded by the lock */
    _Atomic unsigned inside; /* workers that joined and have not left; changed under the lock */
    bool listed;
    base_watch *watch; /* the caller's: who helps with its work is refused memory on its account, */
    base_stop *stop;   /* and ends where that is stopped */
    struct job *link;
} job;

struct base_pool {
    base_heap *heap;
    _Atomic unsigned process; /* whose the next four are */
    pthread_mutex_t lock;
    pthread_cond_t wake, left;
    int started; /* workers */
    job *jobs;
    _Atomic unsigned epoch; /* counts jobs added: what spinning workers watch */
    bool stop;
    int threads; /* slots, the caller's included */
    _Atomic double crowded; /* until then teams are of one, as base_clock goes */
    pthread_t *workers;
};

static void unlist(base_pool *p, job *j) {
    for (job **at = &p->jobs; j->listed && *at; at = &(*at)->link)
        if (*at == j) {
            *at = j->link;
            j->listed = false;
            break;
        }
}

static void take_tasks(job *j, int slot) {
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (i >= j->n) return;
        j->fn(j->arg, i, slot);
    }
}

static void *worker(void *arg) {
    base_pool *p = arg;
    double patience = PATIENCE;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        job *j = p->jobs;
        if (j) {
            int slot = j->slots++;
            j->inside++;
            if (j->slots >= p->threads) unlist(p, j); /* every slot is taken */
            pthread_mutex_unlock(&p->lock);
            base_watch_swap(j->watch);
            base_stop_lend(j->stop);
            take_tasks(j, slot);
            base_stop_lend(NULL);
            base_watch_swap(NULL);
            pthread_mutex_lock(&p->lock);
            unlist(p, j);
            if (--j->inside == 0) pthread_cond_broadcast(&p->left);
            continue;
        }
        if (p->stop) break;
        unsigned seen = atomic_load(&p->epoch);
        pthread_mutex_unlock(&p->lock);
        spin_while(&p->epoch, seen, patience);
        pthread_mutex_lock(&p->lock);
        if (p->jobs || p->stop) continue;
        const double slept = base_clock();
        while (!p->jobs && !p->stop) pthread_cond_wait(&p->wake, &p->lock);
        patience = base_clock() - slept < SOON ? PATIENCE_LONG : PATIENCE;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Locks that nobody has, no jobs, and up to `wanted` workers: a machine that gives fewer threads gets a smaller pool; the work is the
 * same, bits too. */
static void begin_process(base_pool *p, int wanted) {
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->left, NULL);
    p->jobs = NULL;
    p->started = 0;
    while (p->started < wanted && pthread_create(&p->workers[p->started], NULL, worker, p) == 0) p->started++;
    base_is_made(&p->process);
}

nib_status base_pool_create(base_heap *heap, int threads, base_pool **out, nib_error *err) {
    nib_status status = NIB_OK;
    *out = NULL;
    base_pool *p = base_calloc(heap, 1, sizeof *p);
    if (!p) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the thread pool");
    p->heap = heap;
    p->workers = base_calloc(heap, (size_t)threads, sizeof *p->workers);
    if (!p->workers) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the thread pool");
    begin_process(p, threads - 1);
    pthread_mutex_lock(&p->lock);
    p->threads = p->started + 1;
    pthread_mutex_unlock(&p->lock);
    *out = p;
    return NIB_OK;
fail:
    base_free(heap, p);
    return status;
}

void base_pool_free(base_pool *p) {
    if (!p) return;
    if (!base_is_inherited(&p->process)) { /* else: the parent's workers, which are not here to be waited for */
        pthread_mutex_lock(&p->lock);
        p->stop = true;
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
        for (int i = 0; i < p->started; i++) pthread_join(p->workers[i], NULL);
        pthread_mutex_destroy(&p->lock);
        pthread_cond_destroy(&p->wake);
        pthread_cond_destroy(&p->left);
    }
    base_free(p->heap, p->workers);
    base_free(p->heap, p);
}

int base_pool_threads(const base_pool *p) { return p->threads; }

/* With the lock held. Whoever may be stopped goes on asking; nobody else would. */
static void wait_for_helpers(base_pool *p) {
    struct timespec until;
    if (!base_stop_may_ask()) {
        pthread_cond_wait(&p->left, &p->lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += BASE_STOP_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&p->left, &p->lock, &until);
    pthread_mutex_unlock(&p->lock);
    base_stop_wanted();
    pthread_mutex_lock(&p->lock);
}

/* With the lock held, open meanwhile. The last tasks end at about the same time: to sleep and be woken would take longer. */
static void spin_for_helpers(base_pool *p, job *j) {
    const unsigned inside = j->inside;
    pthread_mutex_unlock(&p->lock);
    if (inside) spin_while(&j->inside, inside, PATIENCE);
    pthread_mutex_lock(&p->lock);
}

void base_pool_run(base_pool *p, size_t n, base_task_fn fn, void *arg) {
    job j = {.fn = fn, .arg = arg, .n = n, .slots = 1};
    if (n == 0) return;
    if (n == 1 || p->threads == 1) {
        for (size_t i = 0; i < n; i++) fn(arg, i, 0);
        return;
    }
    if (base_is_inherited(&p->process)) begin_process(p, p->threads - 1);
    pthread_mutex_lock(&p->lock);
    job **end = &p->jobs; /* first come, first served */
    while (*end) end = &(*end)->link;
    *end = &j;
    j.watch = base_watch_swap(NULL);
    base_watch_swap(j.watch);
    j.stop = base_stop_current();
    j.listed = true;
    atomic_fetch_add_explicit(&p->epoch, 1, memory_order_release);
    if (n - 1 >= (size_t)p->threads - 1) pthread_cond_broadcast(&p->wake);
    else
        for (size_t i = 1; i < n; i++) pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    take_tasks(&j, 0);
    pthread_mutex_lock(&p->lock);
    unlist(p, &j);
    for (bool spun = false; j.inside; spun = true)
        if (spun) wait_for_helpers(p);
        else spin_for_helpers(p, &j);
    pthread_mutex_unlock(&p->lock);
}

/* ---- teams: a job with one task per member. The caller is the first, and never waits for one that has not come. Others take a
 * number and wait to be admitted, which the last to arrive at a meeting does. */

struct base_team {
    base_team_fn fn;
    void *arg;
    int wanted;
    _Atomic int admitted; /* numbers up to it are members */
    _Atomic int closed;   /* member 0 has finished */
    _Atomic int start;    /* where those admitted last begin, */
    _Atomic unsigned from; /* once the meeting is over: phase is this */
    _Atomic uint64_t waited; /* nanoseconds of all members, in meetings that took long */
    /* Each on a line of its own: who waits reads one, and is not in the way of who arrives at the others. */
    _Alignas(64) _Atomic int came; /* numbers given: 1, 2, ... */
    _Alignas(64) _Atomic int arrived;
    _Alignas(64) _Atomic unsigned phase;
};

static void team_member(void *arg, size_t i, int slot) {
    base_team *t = arg;
    waiting w = {0};
    if (i == 0) {
        t->fn(t->arg, t, 0);
        atomic_store(&t->closed, 1);
        return;
    }
    const int number = atomic_fetch_add(&t->came, 1) + 1;
    while (atomic_load_explicit(&t->admitted, memory_order_acquire) < number) {
        if (atomic_load(&t->closed)) return; /* too late: this one goes without us */
        wait_a_turn(&w);
    }
    while (atomic_load_explicit(&t->phase, memory_order_acquire) != atomic_load(&t->from)) cpu_pause();
    t->fn(t->arg, t, number);
}

/* Where other programs have the cores, members stand still in the middle of a step and the others wait for them: that takes longer
 * than one thread alone. A team that waited for a quarter of its time is the last one for a while. */
#define CROWDED 20e-3

void base_pool_team(base_pool *p, int wanted, base_team_fn fn, void *arg) {
    base_team t = {.fn = fn, .arg = arg};
    const double begun = base_clock();
    t.wanted = wanted < p->threads ? wanted : p->threads;
    if (t.wanted < 1 || begun < atomic_load(&p->crowded)) t.wanted = 1;
    base_pool_run(p, (size_t)t.wanted, team_member, &t);
    const double end = base_clock(), waited = 1e-9 * (double)atomic_load(&t.waited);
    if (t.wanted > 1 && waited > 0.25 * (end - begun) * t.wanted) atomic_store(&p->crowded, end + CROWDED);
}

int base_team_size(const base_team *t) { return atomic_load((_Atomic int *)(uintptr_t)&t->admitted) + 1; }
int base_team_start(const base_team *t) { return atomic_load((_Atomic int *)(uintptr_t)&t->start); }

/* Before the meeting of that phase ends: until it has, members do not see the new size, and new ones do not begin. */
static void admit(base_team *t, int next, unsigned phase) {
    int came = atomic_load(&t->came);
    if (came > t->wanted - 1) came = t->wanted - 1;
    if (came <= atomic_load(&t->admitted)) return;
    atomic_store(&t->start, next);
    atomic_store(&t->from, phase + 1);
    atomic_store_explicit(&t->admitted, came, memory_order_release);
}

/* next -1: nobody is admitted. */
static void meet(base_team *t, int next) {
    const int n = base_team_size(t);
    waiting w = {0};
    const unsigned phase = atomic_load(&t->phase);
    if (n == 1 || atomic_fetch_add(&t->arrived, 1) == n - 1) {
        atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
        if (next >= 0) admit(t, next, phase);
        atomic_store_explicit(&t->phase, phase + 1, memory_order_release);
        return;
    }
    while (atomic_load_explicit(&t->phase, memory_order_acquire) == phase) wait_a_turn(&w);
    if (w.since > 0) atomic_fetch_add(&t->waited, (uint64_t)(1e9 * (base_clock() - w.since)));
}

void base_team_barrier(base_team *t) { meet(t, -1); }
void base_team_meet(base_team *t, int next) { meet(t, next); }
