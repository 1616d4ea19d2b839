/* SPDX-License-Identifier: Apache-2.0
 *
 * Many callers embed at once, each with a session of its own; then one alone calls, often. What the others took should not stay.
 */
#include "known.h"
#include <pthread.h>
#include <sched.h>

#define CALLERS 16
#define CALLS_AFTER 200

static _Thread_local int waits;
static _Atomic int here;

/* A caller's first request, which is for a session: nobody goes on before all are there, so each needs its own. */
static void *allocate(void *user, size_t bytes) {
    if (waits) {
        waits = 0;
        atomic_fetch_add(&here, 1);
        while (atomic_load(&here) < CALLERS) sched_yield();
    }
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void *call(void *model) {
    waits = 1;
    if (known_embed(model) == NIB_OK && !waits) return model;
    if (waits) atomic_fetch_add(&here, 1);
    return NULL;
}

int main(void) {
    nib_runtime *rt;
    nib_model *m;
    nib_memory opened, burst, after;
    pthread_t threads[CALLERS];
    int done = 0;
    NEEDS(known_open(allocate, &rt, &m) == NIB_OK);
    nib_runtime_memory(rt, &opened);
    for (int i = 0; i < CALLERS; i++)
        if (pthread_create(&threads[i], NULL, call, m) != 0) abort();
    for (int i = 0; i < CALLERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        done += result != NULL;
    }
    nib_runtime_memory(rt, &burst);
    for (int i = 0; i < CALLS_AFTER && done == CALLERS; i++) done -= known_embed(m) != NIB_OK;
    nib_runtime_memory(rt, &after);
    nib_model_free(m);
    nib_runtime_free(rt);
    NEEDS(done == CALLERS);
    if (after.current - opened.current < (burst.peak - opened.current) / 2) return FAULT_IS_GONE;
    printf("%zu bytes were taken by %d callers at once, and %zu of them stay with one\n", burst.peak - opened.current, CALLERS,
           after.current - opened.current);
    return FAULT_IS_THERE;
}
