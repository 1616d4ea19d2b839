/* SPDX-License-Identifier: Apache-2.0
 *
 * Several devices of a kind. In: a group wants one. Out: which, by the pool's policy, of those that have not failed.
 */
#include "device.h"
#include <string.h>

bool device_policy_from_name(const char *name, size_t length, device_policy *out) {
#define DEVICE_POLICY_NAME(upper, number, text) {DEVICE_POLICY_##upper, text},
    static const struct {
        device_policy policy;
        const char *name;
    } names[] = {DEVICE_POLICY_MAP(DEVICE_POLICY_NAME)};
#undef DEVICE_POLICY_NAME
    for (size_t i = 0; i < BASE_COUNT(names); i++)
        if (strlen(names[i].name) == length && memcmp(names[i].name, name, length) == 0) return *out = names[i].policy, true;
    return false;
}

/* A number for each turn that looks like none of the others (splitmix64, Steele, Lea and Flood, 2014). */
static uint64_t scatter(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* What the policy counts against device i; the least is taken, of equals the one whose turn it is. One whose speed is not known is
 * taken first: it becomes known so. */
static double cost(const device_pool *pool, int i) {
    const int running = atomic_load(&pool->state[i].running);
    switch (pool->policy) {
    case DEVICE_POLICY_LEAST_LOADED: return running;
    case DEVICE_POLICY_BY_SPEED: return (running + 1) * (double)atomic_load(&pool->state[i].picoseconds);
    case DEVICE_POLICY_ROUND_ROBIN:
    case DEVICE_POLICY_RANDOM: break;
    }
    return 0;
}

int device_pool_pick(device_pool *pool) {
    const uint64_t turn = atomic_fetch_add(&pool->turn, 1);
    const uint64_t from = pool->policy == DEVICE_POLICY_RANDOM ? scatter(turn) : turn;
    int best = -1;
    double least = 0;
    for (int k = 0; k < pool->n; k++) {
        const int i = (int)((from + (uint64_t)k) % (uint64_t)pool->n);
        if (atomic_load(&pool->state[i].lost)) continue;
        const double c = cost(pool, i);
        if (best < 0 || c < least) best = i, least = c;
    }
    if (best >= 0) atomic_fetch_add(&pool->state[best].running, 1);
    return best;
}

void device_pool_done(device_pool *pool, int at, bool lost, double seconds, int64_t tokens) {
    if (lost) atomic_store(&pool->state[at].lost, true);
    if (seconds > 0 && tokens > 0) { /* half of what it was, half of this group's: two groups at a time may lose one's half */
        const uint64_t now = (uint64_t)(1e12 * seconds / (double)tokens) + 1, before = atomic_load(&pool->state[at].picoseconds);
        atomic_store(&pool->state[at].picoseconds, before ? before / 2 + now / 2 : now);
    }
    atomic_fetch_sub(&pool->state[at].running, 1);
}
