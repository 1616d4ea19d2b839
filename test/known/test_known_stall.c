/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's first session is made under its lock. A thread is held up in the middle of that, in the allocator; another embeds meanwhile,
 * which needs nothing that the first one makes.
 */
#include "known.h"
#include <pthread.h>
#include <stdbool.h>
#include <unistd.h>

#define REQUESTS 10  /* of the first session, before it is held up */
#define PATIENCE 200 /* hundredths of a second */

static _Thread_local int until = -1;
static _Atomic bool inside, embedded, in_time;

static void *allocate(void *user, size_t bytes) {
    if (until >= 0 && until-- == 0) {
        atomic_store(&inside, true);
        for (int i = 0; i < PATIENCE && !atomic_load(&embedded); i++) usleep(10000);
        atomic_store(&in_time, atomic_load(&embedded));
    }
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void *make_session(void *model) {
    nib_session *s = NULL;
    until = REQUESTS;
    nib_session_create(model, &s, NULL);
    nib_session_free(s);
    return NULL;
}

int main(void) {
    nib_runtime *rt;
    nib_model *m;
    pthread_t thread;
    NEEDS(known_open(allocate, &rt, &m) == NIB_OK);
    NEEDS(known_embed(m) == NIB_OK);
    NEEDS(pthread_create(&thread, NULL, make_session, m) == 0);
    for (int i = 0; i < PATIENCE && !atomic_load(&inside); i++) usleep(10000);
    NEEDS(atomic_load(&inside));
    nib_status status = known_embed(m);
    atomic_store(&embedded, true);
    pthread_join(thread, NULL);
    nib_model_free(m);
    nib_runtime_free(rt);
    NEEDS(status == NIB_OK);
    if (atomic_load(&in_time)) return FAULT_IS_GONE;
    printf("embedding waited for another thread's first session\n");
    return FAULT_IS_THERE;
}
