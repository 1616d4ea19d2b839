/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that may be stopped: the innermost one of each thread. A helper has one, too, but never asks.
 */
#include "base_stop.h"
#include "base_mem.h"
#include "base_pool.h"

static _Thread_local base_stop *current;
static _Thread_local bool lent;

void base_stop_begin(base_stop *s, nib_stop_fn ask, void *user, uint64_t total) {
    *s = (base_stop){.ask = ask, .user = user, .total = total, .outer = current};
    current = s;
}

void base_stop_end(base_stop *s) { current = s->outer; }

base_stop *base_stop_current(void) { return current; }

void base_stop_lend(base_stop *s) {
    current = s;
    lent = s != NULL;
}

/* Asks with nothing of the call's on the thread: what the function does is not the call's. */
static void ask(base_stop *s) {
    double now = base_clock();
    if (now - s->asked < BASE_STOP_MS * 1e-3) return;
    base_watch *watch = base_watch_swap(NULL);
    base_stop *inner = current;
    current = NULL;
    if (s->ask(s->user, atomic_load(&s->done), s->total)) atomic_store(&s->stopped, 1);
    current = inner;
    base_watch_swap(watch);
    s->asked = base_clock();
}

bool base_stop_wanted(void) {
    for (base_stop *s = current; s; s = s->outer) {
        if (s->ask && !lent && !atomic_load_explicit(&s->stopped, memory_order_relaxed)) ask(s);
        if (atomic_load_explicit(&s->stopped, memory_order_relaxed)) return true;
    }
    return false;
}

bool base_stop_may_ask(void) {
    for (const base_stop *s = current; s && !lent; s = s->outer)
        if (s->ask) return true;
    return false;
}

nib_status base_stop_check(nib_error *err) {
    return base_stop_wanted() ? base_error_set(err, NIB_CANCELLED, "the call was stopped by its caller") : NIB_OK;
}

void base_stop_advance(uint64_t done) {
    if (current) atomic_fetch_add_explicit(&current->done, done, memory_order_relaxed);
}
