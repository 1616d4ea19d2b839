/* SPDX-License-Identifier: Apache-2.0
 *
 * See base_thread.h. A child of fork() inherits locks that nobody will open and threads that are not there. Whatever is
 * to be used by several threads knows of which process it is, and is made anew by the first thread of another that comes
 * to it.
 */
#include "base_thread.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <time.h>

/* ---- processes */

static _Atomic unsigned process; /* how many forks lie between the first process and this one, times two */

static void in_child(void) { atomic_fetch_add(&process, 2); }
static void register_forks(void) { pthread_atfork(NULL, NULL, in_child); }

unsigned base_process(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_forks);
    return atomic_load_explicit(&process, memory_order_acquire);
}

/* The lowest bit of `of`: it is being made. */
bool base_is_inherited(_Atomic unsigned *of) {
    unsigned now = atomic_load_explicit(&process, memory_order_acquire), seen = atomic_load_explicit(of, memory_order_acquire);
    while (seen != now) {
        if (seen == (now | 1)) {
            sched_yield();
            seen = atomic_load_explicit(of, memory_order_acquire);
        } else if (atomic_compare_exchange_weak(of, &seen, now | 1)) {
            return true;
        }
    }
    return false;
}

void base_is_made(_Atomic unsigned *of) { atomic_store_explicit(of, base_process(), memory_order_release); }

/* ---- mutexes */

struct base_mutex {
    _Atomic unsigned process;
    pthread_mutex_t m;
};

base_mutex *base_mutex_create(base_heap *heap) {
    base_mutex *m = base_calloc(heap, 1, sizeof *m);
    if (!m) return NULL;
    pthread_mutex_init(&m->m, NULL);
    base_is_made(&m->process);
    return m;
}

void base_mutex_free(base_heap *heap, base_mutex *m) {
    if (!m) return;
    if (!base_is_inherited(&m->process)) pthread_mutex_destroy(&m->m);
    base_free(heap, m);
}

void base_mutex_lock(base_mutex *m) {
    if (base_is_inherited(&m->process)) { /* open, whoever of the parent's threads had it when it forked */
        pthread_mutex_init(&m->m, NULL);
        base_is_made(&m->process);
    }
    pthread_mutex_lock(&m->m);
}
void base_mutex_unlock(base_mutex *m) { pthread_mutex_unlock(&m->m); }

/* ---- conditions */

struct base_condition {
    unsigned process; /* in a child of fork() the parent's waiters are still counted, and destroying it would wait for them */
    pthread_cond_t c;
};

base_condition *base_condition_create(base_heap *heap) {
    base_condition *c = base_calloc(heap, 1, sizeof *c);
    pthread_condattr_t monotonic;
    if (!c) return NULL;
    c->process = base_process();
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->c, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return c;
}

void base_condition_free(base_heap *heap, base_condition *c) {
    if (!c) return;
    if (c->process == base_process()) pthread_cond_destroy(&c->c);
    base_free(heap, c);
}

void base_condition_wait(base_condition *c, base_mutex *m, double until) {
    if (until >= 1e9) {
        pthread_cond_wait(&c->c, &m->m);
        return;
    }
    struct timespec t = {.tv_sec = (time_t)until};
    t.tv_nsec = (long)(1e9 * (until - (double)t.tv_sec));
    pthread_cond_timedwait(&c->c, &m->m, &t);
}

void base_condition_signal(base_condition *c) { pthread_cond_signal(&c->c); }
void base_condition_broadcast(base_condition *c) { pthread_cond_broadcast(&c->c); }

/* ---- threads */

struct base_thread {
    pthread_t id;
    void (*fn)(void *arg);
    void *arg;
};

static void *run_thread(void *arg) {
    const base_thread *t = arg;
    t->fn(t->arg);
    return NULL;
}

nib_status base_thread_start(base_heap *heap, void (*fn)(void *arg), void *arg, base_thread **out, nib_error *err) {
    base_thread *t = base_calloc(heap, 1, sizeof *t);
    *out = NULL;
    if (!t) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a thread");
    t->fn = fn;
    t->arg = arg;
    if (pthread_create(&t->id, NULL, run_thread, t) != 0) {
        base_free(heap, t);
        return base_error_set(err, NIB_LIMIT, "the machine gives no more threads");
    }
    *out = t;
    return NIB_OK;
}

void base_thread_join(base_heap *heap, base_thread *t) {
    if (!t) return;
    pthread_join(t->id, NULL);
    base_free(heap, t);
}

bool base_thread_is_current(const base_thread *t) { return pthread_equal(t->id, pthread_self()) != 0; }

double base_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
