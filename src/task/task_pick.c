/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose text is next. In: requests, each of a client and of a priority. Out: texts, one at a time.
 *
 * Clients of one priority stand in a ring. In each round a client may have its quantum of tokens, and what it did not use
 * of earlier ones while it had texts waiting: deficit round robin (Shreedhar and Varghese, 1995). One that comes anew is
 * next, so that a client which asks for little does not wait for others' rounds.
 */
#include "task_queue.h"
#include <string.h>

#define QUANTUM 256

/* ---- the table of clients */

static size_t place_of(const nib_queue *q, uint64_t name, int32_t priority) {
    uint64_t h = (name ^ (uint64_t)(uint32_t)priority << 32) * 0x9E3779B97F4A7C15u;
    return (size_t)(h >> 32) & (q->table_size - 1);
}

static void link_client(nib_queue *q, queue_client *c) {
    queue_client **at = &q->table[place_of(q, c->name, c->level->priority)];
    c->chain = *at;
    *at = c;
}

/* Twice as many places. Where there is no memory the table stays as it is: chains are longer then. */
static void grow_table(nib_queue *q) {
    queue_client **old = q->table;
    const size_t size = q->table_size;
    queue_client **table = base_calloc(&q->runtime->heap, 2 * size, sizeof *table);
    if (!table) return;
    q->table = table;
    q->table_size = 2 * size;
    for (size_t i = 0; i < size; i++)
        for (queue_client *c = old[i], *chain; c; c = chain) {
            chain = c->chain;
            link_client(q, c);
        }
    base_free(&q->runtime->heap, old);
}

static queue_client *find_client(const nib_queue *q, uint64_t name, int32_t priority) {
    queue_client *c = q->table[place_of(q, name, priority)];
    while (c && (c->name != name || c->level->priority != priority)) c = c->chain;
    return c;
}

static queue_level *get_level(nib_queue *q, int32_t priority) {
    queue_level **at = &q->levels;
    while (*at && (*at)->priority > priority) at = &(*at)->below;
    if (*at && (*at)->priority == priority) return *at;
    queue_level *l = base_calloc(&q->runtime->heap, 1, sizeof *l);
    if (!l) return NULL;
    l->priority = priority;
    l->below = *at;
    return *at = l;
}

static void drop_level(nib_queue *q, queue_level *l) {
    queue_level **at = &q->levels;
    if (l->count) return;
    while (*at != l) at = &(*at)->below;
    *at = l->below;
    base_free(&q->runtime->heap, l);
}

static queue_client *add_client(nib_queue *q, uint64_t name, int32_t priority) {
    queue_level *l = get_level(q, priority);
    queue_client *c = l ? base_calloc(&q->runtime->heap, 1, sizeof *c) : NULL;
    if (!c) {
        if (l) drop_level(q, l);
        return NULL;
    }
    *c = (queue_client){.name = name, .level = l, .fresh = true, .next = c, .before = c};
    if (l->turn) {
        c->next = l->turn;
        c->before = l->turn->before;
        c->before->next = c->next->before = c;
    }
    l->turn = c;
    l->count++;
    if (++q->clients > q->table_size) grow_table(q);
    link_client(q, c);
    return c;
}

static void drop_client(nib_queue *q, queue_client *c) {
    queue_level *l = c->level;
    queue_client **at = &q->table[place_of(q, c->name, l->priority)];
    while (*at != c) at = &(*at)->chain;
    *at = c->chain;
    c->before->next = c->next;
    c->next->before = c->before;
    l->count--;
    q->clients--;
    if (l->turn == c) l->turn = l->count ? c->next : NULL;
    if (l->owed == c) l->owed = l->count ? c->next : NULL;
    base_free(&q->runtime->heap, c);
    drop_level(q, l);
}

/* ---- requests at their clients */

nib_status queue_add(nib_queue *q, nib_request *r, nib_error *err) {
    queue_client *c = find_client(q, r->ticket.client, r->ticket.priority);
    if (!c) c = add_client(q, r->ticket.client, r->ticket.priority);
    if (!c) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a queue's client");
    r->client = c;
    r->behind = NULL;
    if (c->last) c->last->behind = r;
    else c->first = r;
    c->last = r;
    for (size_t i = 0; i < r->n; i++) c->tokens += r->texts[i].weight, q->count.waiting_tokens += r->texts[i].weight;
    c->texts += r->n;
    q->count.waiting_texts += r->n;
    if (q->count.waiting_texts > q->count.most_texts) q->count.most_texts = q->count.waiting_texts;
    return NIB_OK;
}

static void count_out(nib_queue *q, nib_request *r, size_t i) {
    queue_client *c = r->client;
    c->texts--;
    c->tokens -= r->texts[i].weight;
    q->count.waiting_texts--;
    q->count.waiting_tokens -= r->texts[i].weight;
}

static void unhang(nib_queue *q, nib_request *r) {
    queue_client *c = r->client;
    nib_request **at = &c->first, *before = NULL;
    while (*at != r) before = *at, at = &(*at)->behind;
    *at = r->behind;
    if (c->last == r) c->last = before;
    r->client = NULL;
    queue_forget_deadline(q, r);
    if (!c->first) drop_client(q, c);
}

void queue_remove(nib_queue *q, nib_request *r) {
    if (!r->client) return;
    for (; r->next < r->n; r->next++) count_out(q, r, r->next);
    unhang(q, r);
}

/* ---- the rules */

static const queue_text *first_of(const queue_client *c) { return &c->first->texts[c->first->next]; }

static bool fits(const queue_client *c, const queue_key *key) {
    const queue_key *k = &c->first->key;
    return !key->m || (k->m == key->m && k->which == key->which && k->skip == key->skip);
}

/* Deficit round robin: NULL if no client's first text fits. Credits grow by each round, so it ends. */
static queue_client *pick_in_turn(const nib_queue *q, queue_level *l, const queue_key *key) {
    const int64_t quantum = q->options.quantum > 0 ? q->options.quantum : QUANTUM;
    for (size_t unfit = 0; unfit < l->count; l->turn = l->turn->next) {
        queue_client *c = l->turn;
        if (!fits(c, key)) {
            if (!l->owed) l->owed = c;
            unfit++;
            continue;
        }
        unfit = 0;
        if (c->fresh) c->credit += quantum;
        c->fresh = false;
        if (c->credit >= first_of(c)->weight) return c;
        c->fresh = true;
    }
    return NULL;
}

static queue_client *pick_as_told(nib_queue *q, queue_level *l, const queue_key *key, bool *failed) {
    base_heap *heap = &q->runtime->heap;
    const double now = base_clock();
    size_t n = 0;
    *failed = !base_grow(heap, (void **)&q->shown, &q->shown_cap, l->count, sizeof *q->shown) ||
              !base_grow(heap, (void **)&q->shown_clients, &q->shown_clients_cap, l->count, sizeof *q->shown_clients);
    if (*failed) return NULL;
    queue_client *c = l->turn;
    for (size_t i = 0; i < l->count; i++, c = c->next) {
        if (!fits(c, key)) continue;
        q->shown_clients[n] = c;
        q->shown[n++] = (nib_waiting){.client = c->name,
                                      .texts = c->texts,
                                      .tokens = c->tokens,
                                      .next_tokens = first_of(c)->weight,
                                      .waited = now - c->first->submitted};
    }
    if (n == 0) return NULL;
    size_t at = q->options.pick(q->options.pick_user, q->shown, n);
    return q->shown_clients[at < n ? at : 0];
}

void queue_turn(nib_queue *q) {
    for (queue_level *l = q->levels; l; l = l->below) {
        if (l->owed) l->turn = l->owed;
        l->owed = NULL;
    }
}

bool queue_take(nib_queue *q, const queue_key *key, int64_t most, queue_member *out) {
    queue_client *c = NULL;
    for (queue_level *l = q->levels; l && !c; l = l->below) {
        bool failed = true; /* no memory to show a rule what waits: the default one */
        if (q->options.pick) c = pick_as_told(q, l, key, &failed);
        if (failed) c = pick_in_turn(q, l, key);
    }
    if (!c || first_of(c)->weight > most) return false;
    nib_request *r = c->first;
    *out = (queue_member){r, r->next++};
    c->credit -= r->texts[out->i].weight;
    count_out(q, r, out->i);
    r->texts[out->i].state = QUEUE_RUNNING;
    r->references++;
    if (r->next == r->n) unhang(q, r);
    return true;
}
