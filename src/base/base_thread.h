/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads, mutexes, conditions and the clock, for the few places that need them.
 *
 * In a child of fork() a mutex is open: locks of threads that only the parent has are forgotten. The thread that forks
 * holds no lock, else its child may only exec or exit. A child has none of its parent's threads: who owns some asks
 * base_process.
 */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base_mem.h"

typedef struct base_mutex base_mutex;
base_mutex *base_mutex_create(base_heap *heap); /* NULL when memory runs out */
void base_mutex_free(base_heap *heap, base_mutex *mutex);
void base_mutex_lock(base_mutex *mutex);
void base_mutex_unlock(base_mutex *mutex);

typedef struct base_condition base_condition;
base_condition *base_condition_create(base_heap *heap); /* NULL when memory runs out */
void base_condition_free(base_heap *heap, base_condition *condition);
/* With the mutex held, which is open meanwhile. Returns when it was signalled, at `until` (base_clock; INFINITY: never),
 * or for no reason: what is waited for is to be looked at again. */
void base_condition_wait(base_condition *condition, base_mutex *mutex, double until);
void base_condition_signal(base_condition *condition); /* one that waits */
void base_condition_broadcast(base_condition *condition);

typedef struct base_thread base_thread;
/* A thread that runs fn(arg). LIMIT: the machine gives none. */
nib_status base_thread_start(base_heap *heap, void (*fn)(void *arg), void *arg, base_thread **out, nib_error *err);
void base_thread_join(base_heap *heap, base_thread *thread); /* waits for its end and frees it; NULL is accepted */
/* Whether the calling thread is that one. */
bool base_thread_is_current(const base_thread *thread);

/* Seconds on a clock that never goes back. */
double base_clock(void);

/* Of which process something is: another number in every child of fork(). */
unsigned base_process(void);

/* ---- for what several threads use and a child makes anew: whether the calling thread is to do so, since `of` is another
 * process; it says base_is_made then, and others wait until it did. */
bool base_is_inherited(_Atomic unsigned *of);
void base_is_made(_Atomic unsigned *of);

#endif
