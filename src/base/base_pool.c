/* SPDX-License-Identifier: Apache-2.0
 *
 * One pool, many callers. A job lives on its caller's stack and hangs in the pool's list while it has tasks to give; a worker
 * joins it under the lock (which gives it a slot), takes task after task with one atomic add, and leaves. The caller takes
 * tasks too, unhooks the job, and waits until the last worker has left.
 *
 * An idle worker first watches the job counter for a bounded number of pauses (about 20 microseconds: what a fork-join
 * between two layers needs; with shared cores a long spin costs others milliseconds), then sleeps on a condition.
 */
#include "base_pool.h"
#include "base_stop.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define SPIN_PAUSES 400

static inline void cpu_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* ---- the pool */

typedef struct job {
    base_task_fn fn;
    void *arg;
    size_t n;
    _Atomic size_t next; /* the task to take */
    int slots;           /* given so far, the caller's 0 included; guarded by the lock */
    _Atomic int inside;  /* workers that joined and have not left; changed under the lock */
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
        for (int i = 0; i < SPIN_PAUSES && atomic_load_explicit(&p->epoch, memory_order_acquire) == seen; i++) cpu_pause();
        pthread_mutex_lock(&p->lock);
        while (!p->jobs && !p->stop) pthread_cond_wait(&p->wake, &p->lock);
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
static void spin_for_helpers(base_pool *p, const job *j) {
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < SPIN_PAUSES && atomic_load_explicit(&((job *)(uintptr_t)j)->inside, memory_order_acquire); i++) cpu_pause();
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

/* ---- teams: a job with one task per member. Members never wait for one that has not come: the barrier counts those who
 * joined before the first barrier was passed. To keep that simple, joining closes when the caller starts. */

struct base_team {
    base_team_fn fn;
    void *arg;
    int wanted;
    _Atomic int joined; /* members so far */
    _Atomic int closed; /* no more may join; size is final */
    _Atomic int size;
    _Atomic int arrived;
    _Atomic unsigned phase;
};

static void team_member(void *arg, size_t i, int slot) {
    base_team *t = arg;
    int member;
    if (i == 0) { /* the caller, or whoever was first, gives the others a moment to come, then closes the door */
        member = atomic_fetch_add(&t->joined, 1);
        for (int s = 0; s < SPIN_PAUSES * 4 && atomic_load(&t->joined) < t->wanted; s++) cpu_pause();
        atomic_store(&t->closed, 1);
        int n = atomic_fetch_add(&t->joined, 1 << 16) & 0xffff;
        atomic_store_explicit(&t->size, n, memory_order_release);
    } else {
        member = atomic_load(&t->joined);
        for (;;) {
            if (member >> 16 || atomic_load(&t->closed)) return; /* too late: this step runs without us */
            if (atomic_compare_exchange_weak(&t->joined, &member, member + 1)) break;
        }
        int spins = 0;
        while (atomic_load_explicit(&t->size, memory_order_acquire) == 0) {
            cpu_pause();
            if (++spins > SPIN_PAUSES * 8) sched_yield();
        }
    }
    t->fn(t->arg, t, member & 0xffff);
}

void base_pool_team(base_pool *p, int wanted, base_team_fn fn, void *arg) {
    base_team t = {.fn = fn, .arg = arg};
    t.wanted = wanted < p->threads ? wanted : p->threads;
    if (t.wanted < 1) t.wanted = 1;
    base_pool_run(p, (size_t)t.wanted, team_member, &t);
}

int base_team_size(const base_team *t) { return atomic_load((_Atomic int *)(uintptr_t)&t->size); }

void base_team_barrier(base_team *t) {
    int n = base_team_size(t);
    if (n == 1) return;
    unsigned phase = atomic_load(&t->phase);
    if (atomic_fetch_add(&t->arrived, 1) == n - 1) {
        atomic_store(&t->arrived, 0);
        atomic_store_explicit(&t->phase, phase + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&t->phase, memory_order_acquire) == phase; spins++) {
        cpu_pause();
        if (spins > SPIN_PAUSES * 4) sched_yield(); /* more threads than free cores: let the one we wait for run */
    }
}
