/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread of the queue's. In: texts that wait. Out: their rows, to whom they belong.
 */
#include "task_queue.h"
#include <string.h>

#define GROUP_MOST 4096 /* texts */
#define SMALL 16384     /* bytes that are copied under the lock */

/* ---- taking a group */

/* How many tokens a group should have: as many as the cache is good for, fewer where that leaves nothing for the other
 * threads, and half where clients wait for one another. */
static int64_t target_of(const nib_queue *q, const nib_request *r) {
    const int64_t best = r->m->batch_tokens > 0 ? r->m->batch_tokens : r->program->p->group_tokens;
    int64_t share = (q->count.waiting_tokens + r->texts[r->next - 1].weight) / (2 * q->options.threads);
    if (q->clients > 1 && share > best / 2) share = best / 2;
    if (share > best) share = best;
    return share < best / 4 ? best / 4 : share;
}

static void join_group(nib_queue *q, queue_group *g, const queue_member *m, double now) {
    queue_text *x = &m->r->texts[m->i];
    const double waited = now - m->r->submitted;
    int class = 0;
    while (class < NIB_QUEUE_WAITS - 1 && waited * 1e6 >= (double)((uint64_t)1 << class)) class ++;
    q->count.wait_counts[class]++;
    q->count.wait_seconds += waited;
    if (waited > q->count.wait_most) q->count.wait_most = waited;
    g->members[g->count++] = *m;
    g->tokens += x->weight;
    g->wanted++;
    x->group = g;
    q->count.running_texts++;
}

/* At least one text waits. */
static void take_group(nib_queue *q, queue_group *g) {
    const double now = base_clock();
    const size_t room = q->count.waiting_texts < GROUP_MOST ? (size_t)q->count.waiting_texts : GROUP_MOST;
    queue_member m, *more = g->members == g->few ? NULL : g->members;
    if (room > g->cap) {
        size_t cap = more ? g->cap : 0;
        if (base_grow(&q->runtime->heap, (void **)&more, &cap, room, sizeof *more)) g->members = more, g->cap = cap;
    }
    g->count = g->wanted = 0;
    g->concluding = NULL;
    g->tokens = 0;
    queue_turn(q);
    if (!queue_take(q, &(queue_key){0}, INT64_MAX, &m)) return;
    const int64_t target = target_of(q, m.r);
    const queue_key key = m.r->key;
    do join_group(q, g, &m, now);
    while (g->count < g->cap && queue_take(q, &key, target - g->tokens, &m));
    q->count.groups++;
    q->count.group_texts += g->count;
    q->count.group_tokens += (uint64_t)g->tokens;
}

/* ---- its ids */

/* Member k's ids become the next item, unless it fails. */
static void add_item(queue_group *g, size_t k) {
    nib_request *r = g->members[k].r;
    const queue_text *x = &r->texts[g->members[k].i];
    model_place *place = &g->caller->places[g->items];
    model_ids *store = &g->caller->stores[0];
    const task_text text = {.prompt = r->prompt,
                            .prompt_length = r->prompt ? strlen(r->prompt) : 0,
                            .text = x->text,
                            .length = x->length,
                            .pair = x->pair,
                            .strategy = r->strategy,
                            .pair_length = x->pair_length,
                            .max_tokens = r->max_tokens};
    nib_error e;
    nib_status status = NIB_OK;
    *place = (model_place){.store = (int)k, .at = store->count, .length = (int64_t)x->length, .full = (int64_t)x->length};
    if (!x->ids) status = task_encode(r->m, store, &text, &place->length, &place->full, &e);
    if (status == NIB_OK) {
        g->items++;
        return;
    }
    base_mutex_lock(g->q->lock);
    queue_fail(r, g->members[k].i, status, &e);
    base_mutex_unlock(g->q->lock);
}

/* The caller's function, unless it has gone. */
static nib_status ask_want(const queue_member *m, run_item *item, nib_error *err) {
    nib_request *r = m->r;
    nib_status status = NIB_OK;
    base_mutex_lock(r->q->lock);
    if (r->texts[m->i].state != QUEUE_DONE && queue_begin_answer(r)) {
        base_mutex_unlock(r->q->lock);
        status = r->want(r->take_user, m->i, item, err);
        base_mutex_lock(r->q->lock);
        queue_end_answer(r);
    } else {
        item->length = item->count = 0;
    }
    base_mutex_unlock(r->q->lock);
    return status;
}

/* Once all are there, since a store moves while it grows. Items whose ids are none of the model's fail, and keep their
 * place with no tokens. */
static void point_items(queue_group *g) {
    const model_ids *store = &g->caller->stores[0];
    for (size_t i = 0; i < g->items; i++) {
        const model_place *place = &g->caller->places[i];
        const queue_member *m = &g->members[place->store];
        const queue_text *x = &m->r->texts[m->i];
        const bool types = !m->r->m->settings.tokenizer.no_types;
        run_item item = {.ids = x->ids ? x->ids : store->ids + place->at,
                         .types = !types ? NULL : x->ids ? x->types : store->types + place->at,
                         .length = place->length,
                         .seen = x->seen,
                         .count = place->length};
        nib_error e;
        nib_status status = x->ids ? NIB_OK : task_check_ids(m->r->m, &item, m->i, NIB_BAD_TOKENIZER, &e);
        if (status == NIB_OK) status = task_check_empty(m->r->key.which, x->pair != NULL, &item, m->i, &e);
        if (status == NIB_OK && m->r->want) status = ask_want(m, &item, &e);
        if (status != NIB_OK) {
            item.length = item.count = 0;
            base_mutex_lock(g->q->lock);
            queue_fail(m->r, m->i, status, &e);
            base_mutex_unlock(g->q->lock);
        }
        g->caller->items[i] = item;
    }
}

/* ---- handing over */

static bool keep_rows(nib_request *r, size_t i, const float *rows, int64_t count) {
    const size_t bytes = (size_t)count * r->vectors.bytes;
    queue_text *x = &r->texts[i];
    x->rows = base_alloc(&r->q->runtime->heap, bytes + 1);
    if (!x->rows) return false;
    task_vectors_put(&r->vectors, rows, (size_t)count, x->rows);
    x->count = count;
    return true;
}

static nib_status write_rows(nib_request *r, size_t i, const model_place *place, const run_item *item, const float *rows,
                             int64_t count) {
    if (r->tokens) r->tokens[i] = place->length;
    if (r->full_tokens) r->full_tokens[i] = place->full;
    if (r->take) r->take(r->take_user, i, item, rows, count);
    if (r->out) task_vectors_put(&r->vectors, rows, (size_t)count, (char *)r->out + i * r->vectors.bytes);
    return !r->keeps || keep_rows(r, i, rows, count) ? NIB_OK : NIB_OUT_OF_MEMORY;
}

static void give(void *user, size_t item, float *rows, int64_t count) {
    queue_group *g = user;
    nib_queue *q = g->q;
    const model_place *place = &g->caller->places[g->first + item];
    nib_request *r = g->members[place->store].r;
    const size_t i = g->members[place->store].i;
    const int64_t W = r->program->width;
    bool ended = false;
    for (int64_t j = 0; j < count && r->finish; j++) r->finish(rows + j * W, W);
    base_mutex_lock(q->lock);
    if (r->texts[i].state != QUEUE_DONE && queue_begin_answer(r)) {
        nib_error e;
        const bool slow = r->ticket.answer || (size_t)(count * W) * sizeof *rows > SMALL;
        if (slow) base_mutex_unlock(q->lock);
        nib_status status = write_rows(r, i, place, &g->caller->items[g->first + item], rows, count);
        if (status != NIB_OK) base_error_set(&e, status, "out of memory for the vectors of %lld tokens", (long long)count);
        if (slow) {
            queue_tell(r, i, status, status == NIB_OK ? rows : NULL, status == NIB_OK ? count : 0);
            base_mutex_lock(q->lock);
        }
        queue_end_answer(r);
        ended = queue_settle(r, i, status, &e);
        if (ended && !r->ended) {
            r->later = g->concluding;
            g->concluding = r;
            ended = false;
        }
    }
    base_mutex_unlock(q->lock);
    if (ended) queue_tell_end(r);
}

/* ---- running it */

/* Members from the first on that are not settled fail. */
static void fail_all(queue_group *g, nib_status status, const nib_error *err) {
    base_mutex_lock(g->q->lock);
    for (size_t k = 0; k < g->count; k++) queue_fail(g->members[k].r, g->members[k].i, status, err);
    base_mutex_unlock(g->q->lock);
}

static nib_status run_items(queue_group *g, size_t first, size_t count, run_team team, nib_error *err) {
    const nib_request *r = g->members[0].r;
    const run_sink sink = {.width = r->program->width, .tokens = r->program->tokens, .give = give, .user = g};
    const run_batch batch = {.n = count, .items = g->caller->items + first, .skip = r->key.skip};
    g->first = first;
    run_session_profile(g->caller->session, NULL);
    return run_texts(g->caller->session, &r->program->roles, &batch, r->m->batch_tokens, team, &sink, err);
}

static bool is_settled(const queue_group *g, size_t item) {
    const queue_member *m = &g->members[g->caller->places[item].store];
    base_mutex_lock(g->q->lock);
    const bool is = m->r->texts[m->i].state == QUEUE_DONE;
    base_mutex_unlock(g->q->lock);
    return is;
}

/* What one text fails with is its own: those of a failed group that have no answer yet are run one by one. */
static void run_one_by_one(queue_group *g) {
    for (size_t i = 0; i < g->items; i++) {
        nib_error e;
        const nib_status status = is_settled(g, i) ? NIB_OK : run_items(g, i, 1, RUN_TEAM_ALONE, &e);
        if (status == NIB_OK) continue;
        const queue_member *m = &g->members[g->caller->places[i].store];
        base_mutex_lock(g->q->lock);
        queue_fail(m->r, m->i, status, &e);
        base_mutex_unlock(g->q->lock);
    }
}

static void run_group(queue_group *g, run_team team) {
    nib_model *m = g->members[0].r->m;
    const int which = g->members[0].r->key.which;
    nib_error e;
    nib_status status = model_take_caller(m, which, &g->caller, &e);
    if (status == NIB_OK && !model_caller_grow(m, g->caller, g->count))
        status = base_error_set(&e, NIB_OUT_OF_MEMORY, "out of memory for a batch of %zu texts", g->count);
    if (status != NIB_OK) {
        fail_all(g, status, &e);
    } else {
        g->caller->stores[0].count = 0;
        g->items = 0;
        for (size_t k = 0; k < g->count && !atomic_load(&g->stop.stopped); k++) add_item(g, k);
        point_items(g);
        status = run_items(g, 0, g->items, team, &e);
        if (status != NIB_OK && !atomic_load(&g->stop.stopped)) run_one_by_one(g);
    }
    if (g->caller) model_give_back(m, which, g->caller);
    g->caller = NULL;
}

static void work_once(nib_queue *q, queue_group *g) {
    take_group(q, g);
    q->active++;
    const run_team team = q->active == 1 && q->count.waiting_texts == 0 ? RUN_TEAM_ALL : RUN_TEAM_ALONE;
    if (q->count.waiting_texts && q->active < q->options.threads) base_condition_signal(q->work);
    base_condition_broadcast(q->room);
    nib_model *m = nib_model_retain(g->members[0].r->m);
    base_stop_begin(&g->stop, NULL, NULL, g->count);
    base_mutex_unlock(q->lock);
    run_group(g, team);
    base_stop_end(&g->stop);
    for (nib_request *r = g->concluding, *later; r; r = later) {
        later = r->later;
        queue_conclude(r);
    }
    base_mutex_lock(q->lock);
    for (size_t k = 0; k < g->count; k++) {
        g->members[k].r->texts[g->members[k].i].group = NULL;
        queue_drop(g->members[k].r);
    }
    base_mutex_unlock(q->lock);
    nib_model_free(m);
    base_mutex_lock(q->lock);
    q->active--;
    if (q->closed) base_condition_broadcast(q->idle);
}

void queue_thread(void *arg) {
    nib_queue *q = arg;
    queue_group g = {.q = q, .cap = QUEUE_FEW};
    g.members = g.few;
    base_mutex_lock(q->lock);
    while (!q->closed) {
        queue_expire(q);
        if (q->closed) break;
        if (q->count.waiting_texts && q->active < q->options.threads) work_once(q, &g);
        else base_condition_wait(q->work, q->lock, INFINITY);
    }
    base_mutex_unlock(q->lock);
    if (g.members != g.few) base_free(&q->runtime->heap, g.members);
}
