/* SPDX-License-Identifier: Apache-2.0
 *
 * A call that its caller may stop. In: a function of the caller's, which is told how far the call is and answers whether it
 * is to end. Whatever takes long, anywhere below, asks base_stop_wanted() and ends with CANCELLED; nobody hands anything
 * down to it.
 *
 * The function runs on the thread that made the call and on no other. Threads that help it (base_pool hands on what they need to know)
 * see what was answered. It is asked at most every BASE_STOP_MS, since asking may be slow (a lock of an interpreter's), and with nothing
 * of the call's on the thread: it may call nib itself.
 */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include "base_error.h"
#include <stdbool.h>

#define BASE_STOP_MS 5

typedef struct base_stop {
    nib_stop_fn ask; /* NULL: nobody can stop it */
    void *user;
    _Atomic uint64_t done;
    uint64_t total; /* 0: not known */
    double asked;   /* when; base_clock; 0: not yet, so that the first to want to know asks at once */
    _Atomic int stopped;
    struct base_stop *outer;
} base_stop;

/* From begin to end the calling thread is in this call. Calls nest (one may stop, all outer ones may); `stop` lies on the stack. */
void base_stop_begin(base_stop *stop, nib_stop_fn ask, void *user, uint64_t total);
void base_stop_end(base_stop *stop);

/* Whether the call at hand is to end; false outside of any. Some 20 ns. */
bool base_stop_wanted(void);
/* Whether this thread's call has a function to ask. */
bool base_stop_may_ask(void);
/* CANCELLED if it is. */
nib_status base_stop_check(nib_error *err);
/* So much more of the total is done. From any thread of the call. */
void base_stop_advance(uint64_t done);

/* ---- for base_pool: what the calling thread is in, and a helper's being in it for a while (NULL: in nothing) */
base_stop *base_stop_current(void);
void base_stop_lend(base_stop *stop);

#endif
