/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue itself. In: options. Out: threads that take groups, until it is closed.
 */
#include "task_queue.h"
#include <string.h>

void queue_release(nib_queue *q) {
    nib_runtime *runtime = q->runtime;
    base_heap *heap = &runtime->heap;
    base_condition_free(heap, q->work);
    base_condition_free(heap, q->room);
    base_condition_free(heap, q->idle);
    base_mutex_free(heap, q->lock);
    base_free(heap, q->table);
    base_free(heap, q->deadlines);
    base_free(heap, q->shown);
    base_free(heap, q->shown_clients);
    base_free(heap, q->threads);
    base_free(heap, q);
    base_runtime_release(runtime);
}

nib_status queue_create(nib_runtime *runtime, const nib_queue_options *options, nib_queue **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    *out = NULL;
    nib_queue *q = base_calloc(heap, 1, sizeof *q);
    if (!q) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a queue");
    q->runtime = base_runtime_retain(runtime);
    q->options = *options;
    if (q->options.threads <= 0) q->options.threads = base_pool_threads(q->runtime->pool);
    q->references = 1;
    q->process = base_process();
    q->table_size = 16;
    q->lock = base_mutex_create(heap);
    q->work = base_condition_create(heap);
    q->room = base_condition_create(heap);
    q->idle = base_condition_create(heap);
    q->table = base_calloc(heap, q->table_size, sizeof *q->table);
    q->threads = base_calloc(heap, (size_t)q->options.threads, sizeof *q->threads);
    if (!q->lock || !q->work || !q->room || !q->idle || !q->table || !q->threads)
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a queue");
    for (; q->started < q->options.threads; q->started++) {
        status = base_thread_start(heap, queue_thread, q, &q->threads[q->started], err);
        if (status == NIB_LIMIT && q->started > 0) break; /* fewer do, too */
        NIB_TRY(status);
    }
    status = NIB_OK;
    *out = q;
fail:
    if (status != NIB_OK) queue_free(q);
    return status;
}

void queue_close(nib_queue *q) {
    if (q->process != base_process()) return;
    base_mutex_lock(q->lock);
    q->closed = true;
    base_condition_broadcast(q->work);
    base_condition_broadcast(q->room);
    while (q->levels) {
        nib_request *r = q->levels->turn->first;
        r->references++;
        queue_fail_waiting(r, NIB_CANCELLED, "the queue was closed");
        queue_drop(r);
    }
    base_mutex_unlock(q->lock);
}

void queue_free(nib_queue *q) {
    if (!q) return;
    base_heap *heap = &q->runtime->heap;
    const bool here = q->process == base_process(); /* else: the parent's threads, which are not here */
    if (here && q->lock && q->work && q->room && q->table) queue_close(q);
    for (int i = 0; here && i < q->started; i++) base_thread_join(heap, q->threads[i]);
    if (!q->lock) {
        queue_release(q);
        return;
    }
    base_mutex_lock(q->lock);
    while (here && q->active > 0) base_condition_wait(q->idle, q->lock, INFINITY);
    const bool last = --q->references == 0;
    base_mutex_unlock(q->lock);
    if (last) queue_release(q);
}

void queue_statistics(nib_queue *q, nib_queue_statistics *out) {
    base_mutex_lock(q->lock);
    *out = q->count;
    base_mutex_unlock(q->lock);
}

/* ---- deadlines: a heap of the requests that have one and texts that wait */

static bool is_sooner(const nib_request *a, const nib_request *b) { return a->deadline < b->deadline; }

static void put_at(nib_queue *q, size_t at, nib_request *r) {
    q->deadlines[at] = r;
    r->heap_at = at + 1;
}

static void sift_up(nib_queue *q, size_t at, nib_request *r) {
    for (; at > 0 && is_sooner(r, q->deadlines[(at - 1) / 2]); at = (at - 1) / 2) put_at(q, at, q->deadlines[(at - 1) / 2]);
    put_at(q, at, r);
}

static void sift_down(nib_queue *q, size_t at, nib_request *r) {
    for (size_t child; (child = 2 * at + 1) < q->deadline_count; at = child) {
        if (child + 1 < q->deadline_count && is_sooner(q->deadlines[child + 1], q->deadlines[child])) child++;
        if (!is_sooner(q->deadlines[child], r)) break;
        put_at(q, at, q->deadlines[child]);
    }
    put_at(q, at, r);
}

nib_status queue_watch_deadline(nib_queue *q, nib_request *r, nib_error *err) {
    if (!(r->deadline < INFINITY)) return NIB_OK;
    if (!base_grow(&q->runtime->heap, (void **)&q->deadlines, &q->deadline_cap, q->deadline_count + 1, sizeof *q->deadlines))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a request");
    sift_up(q, q->deadline_count++, r);
    return NIB_OK;
}

void queue_forget_deadline(nib_queue *q, nib_request *r) {
    if (!r->heap_at) return;
    const size_t at = r->heap_at - 1;
    nib_request *last = q->deadlines[--q->deadline_count];
    r->heap_at = 0;
    if (last == r) return;
    sift_up(q, at, last);
    sift_down(q, last->heap_at - 1, last);
}

void queue_expire(nib_queue *q) {
    while (q->deadline_count > 0 && q->deadlines[0]->deadline <= base_clock()) {
        nib_request *r = q->deadlines[0];
        r->references++;
        queue_fail_waiting(r, NIB_TIMEOUT, QUEUE_OVERDUE);
        queue_drop(r);
    }
}
