/* SPDX-License-Identifier: Apache-2.0
 *
 * A caller's texts in the queue. In: what a call is given. Out: texts that wait, answers, and an end.
 */
#include "task_queue.h"
#include <string.h>

static _Thread_local const nib_request *answering; /* whose callback the thread is in */

/* ---- making one */

static void destroy(nib_request *r) {
    base_heap *heap = &r->q->runtime->heap;
    for (size_t i = 0; r->texts && r->keeps && i < r->n; i++) base_free(heap, r->texts[i].rows);
    task_job_free(r->job);
    base_condition_free(heap, r->changed);
    base_free(heap, r->texts);
    base_free(heap, r->copied);
    base_free(heap, r->ranges);
    nib_model_free(r->m);
    base_free(heap, r);
}

/* What a text of so many bytes, or a pair, may have of tokens: about one in four bytes, and two at its ends. */
static int64_t guess(size_t bytes, int64_t most) {
    const int64_t tokens = bytes / 4 > (size_t)most ? most : (int64_t)(bytes / 4) + 2;
    return tokens < most ? tokens : most;
}

static void point(nib_request *r, const task_texts *t) {
    for (size_t i = 0; i < r->n; i++) {
        queue_text *x = &r->texts[i];
        if (t->are_ids) {
            x->ids = t->ids[i];
            x->types = t->id_types ? t->id_types[i] : NULL;
            x->length = (size_t)t->lengths[i];
            x->seen = t->seen ? t->seen[i] : 0;
            x->weight = t->lengths[i];
            continue;
        }
        x->text = t->texts[i];
        x->length = t->text_lengths ? t->text_lengths[i] : strlen(x->text);
        x->pair = t->pairs ? t->pairs[i] : NULL;
        x->pair_length = !x->pair ? 0 : t->pair_lengths ? t->pair_lengths[i] : strlen(x->pair);
        x->weight = guess(x->length + x->pair_length, r->max_tokens);
    }
}

static const void *keep(char **at, const void *bytes, size_t size) {
    void *to = *at;
    if (size) memcpy(to, bytes, size);
    *at += size;
    return to;
}

/* Makes what the texts point to the request's own. */
static nib_status copy_texts(nib_request *r, nib_error *err) {
    size_t bytes = r->prompt ? strlen(r->prompt) + 1 : 1;
    for (size_t i = 0; i < r->n; i++) {
        const queue_text *x = &r->texts[i];
        const size_t own = x->ids ? x->length * sizeof *x->ids * (x->types ? 2 : 1) : x->length;
        if (!base_add_size(bytes, own, &bytes) || !base_add_size(bytes, x->pair_length, &bytes))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "the texts are too large");
    }
    char *at = r->copied = base_alloc(&r->q->runtime->heap, bytes);
    if (!at) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a request of %zu texts", r->n);
    for (size_t i = 0; i < r->n && r->texts[i].ids; i++) { /* ids first, since they are aligned */
        queue_text *x = &r->texts[i];
        x->ids = keep(&at, x->ids, x->length * sizeof(int32_t));
        if (x->types) x->types = keep(&at, x->types, x->length * sizeof(int32_t));
    }
    for (size_t i = 0; i < r->n; i++) {
        queue_text *x = &r->texts[i];
        if (x->text) x->text = keep(&at, x->text, x->length);
        if (x->pair) x->pair = keep(&at, x->pair, x->pair_length);
    }
    if (r->prompt) r->prompt = (char *)(uintptr_t)keep(&at, r->prompt, strlen(r->prompt) + 1);
    return NIB_OK;
}

static nib_status check_ids(nib_request *r, nib_error *err) {
    for (size_t i = 0; i < r->n && r->texts[i].ids; i++) {
        const run_item item = {.ids = r->texts[i].ids, .types = r->texts[i].types, .length = (int64_t)r->texts[i].length};
        if (item.length < 1 || item.length > r->max_tokens)
            return base_error_set(err, NIB_INVALID_ARGUMENT, "text %zu: from 1 to %lld ids are needed", i, (long long)r->max_tokens);
        nib_status status = task_check_ids(r->m, &item, i, NIB_INVALID_ARGUMENT, err);
        if (status != NIB_OK) return status;
    }
    return NIB_OK;
}

static nib_status count_skipped(nib_request *r, nib_error *err) {
    model_caller *c;
    if (!r->prompt || !*r->prompt || r->program->roles.skip < 0) return NIB_OK;
    nib_status status = model_take_caller(r->m, r->key.which, &c, err);
    if (status != NIB_OK) return status;
    status = task_count_prompt(r->m, r->program, &c->stores[0], r->prompt, r->max_tokens, &r->key.skip, err);
    model_give_back(r->m, r->key.which, c);
    return status;
}

/* A request with one reference, which does not wait yet, and whose texts are the caller's. */
static nib_status make(nib_model *m, nib_task task, const task_texts *t, void *out, nib_request **made, nib_error *err) {
    nib_status status = NIB_OK;
    nib_queue *q = t->ticket->queue;
    base_heap *heap = &q->runtime->heap;
    *made = NULL;
    if (q->runtime != m->runtime) return base_error_set(err, NIB_INVALID_ARGUMENT, "the model is of another runtime than the queue");
    if (q->process != base_process())
        return base_error_set(err, NIB_UNSUPPORTED, "the queue was made before fork(), and has no threads here");
    nib_request *r = base_calloc(heap, 1, sizeof *r);
    if (!r) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a request");
    *r = (nib_request){.q = q,
                       .m = nib_model_retain(m),
                       .key = {m, (int)task, 0},
                       .references = 1,
                       .n = t->n,
                       .prompt = (char *)(uintptr_t)t->prompt,
                       .tokens = t->tokens,
                       .full_tokens = t->full_tokens,
                       .out = out,
                       .finish = t->finish,
                       .take = t->take,
                       .take_user = t->take_user,
                       .want = t->want,
                       .strategy = t->strategy,
                       .ticket = *t->ticket,
                       .ended = t->n == 0,
                       .submitted = base_clock(),
                       .deadline = INFINITY};
    NIB_TRY(model_get_program(m, r->key.which, &r->program, err));
    NIB_TRY(task_choose_vectors(m, r->key.which, r->program, t->vectors, &r->vectors, err));
    if (!t->are_ids) NIB_TRY(model_check_tokenizer(m, err));
    r->max_tokens = task_longest(m, r->program, t->max_tokens);
    r->texts = base_calloc(heap, t->n ? t->n : 1, sizeof *r->texts);
    r->changed = base_condition_create(heap);
    if (!r->texts || !r->changed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a request of %zu texts", t->n);
    point(r, t);
    if (t->are_ids) NIB_TRY(check_ids(r, err));
    NIB_TRY(count_skipped(r, err));
    *made = r;
    r = NULL;
fail:
    if (r) destroy(r);
    return status;
}

/* ---- into the queue */

static int64_t weight_of(const nib_request *r) {
    int64_t sum = 0;
    for (size_t i = 0; i < r->n; i++) sum += r->texts[i].weight;
    return sum;
}

static bool has_room(const nib_queue *q, size_t n, int64_t tokens) {
    const nib_queue_options *o = &q->options;
    const nib_queue_statistics *c = &q->count;
    if (c->waiting_texts == 0) return true;
    if (o->max_texts && (c->waiting_texts >= o->max_texts || n > o->max_texts - c->waiting_texts)) return false;
    return o->max_tokens <= 0 || c->waiting_tokens + tokens <= o->max_tokens;
}

static nib_status refuse(nib_queue *q, size_t n, nib_error *err) {
    q->count.refused += n;
    return base_error_set(err, NIB_QUEUE_FULL, "%llu texts of about %lld tokens wait already",
                          (unsigned long long)q->count.waiting_texts, (long long)q->count.waiting_tokens);
}

/* With the lock held, which is open meanwhile. */
static nib_status wait_for_room(nib_queue *q, nib_request *r, nib_error *err) {
    const int64_t weight = weight_of(r);
    while (!q->closed && !has_room(q, r->n, weight)) {
        double now = base_clock(), until = r->deadline;
        if (q->options.full == NIB_QUEUE_FULL_REFUSE) return refuse(q, r->n, err);
        if (now >= r->deadline) {
            q->count.refused += r->n;
            return base_error_set(err, NIB_TIMEOUT, "the deadline was over before there was room");
        }
        if (base_stop_may_ask() && until > now + BASE_STOP_MS * 1e-3) until = now + BASE_STOP_MS * 1e-3;
        base_condition_wait(q->room, q->lock, until);
        base_mutex_unlock(q->lock);
        nib_status status = base_stop_check(err);
        base_mutex_lock(q->lock);
        if (status != NIB_OK) return status;
    }
    return q->closed ? base_error_set(err, NIB_CANCELLED, "the queue is closed") : NIB_OK;
}

static nib_status enter(nib_request *r, nib_error *err) {
    nib_queue *q = r->q;
    nib_status status = NIB_OK;
    if (r->ticket.deadline > 0) r->deadline = r->submitted + r->ticket.deadline;
    base_mutex_lock(q->lock);
    NIB_TRY(wait_for_room(q, r, err));
    if (r->n > 0) {
        NIB_TRY(queue_watch_deadline(q, r, err));
        status = queue_add(q, r, err);
        if (status != NIB_OK) queue_forget_deadline(q, r);
        NIB_TRY(status);
        if (q->active < q->options.threads) base_condition_signal(q->work);
    }
    q->count.submitted += r->n;
    q->references++; /* the request's */
fail:
    base_mutex_unlock(q->lock);
    return status;
}

/* Into the queue. The job becomes the request's where this succeeds. `copies`: the texts do. */
static nib_status submit(nib_model *m, nib_task task, const task_texts *given, void *out, task_job *job, bool copies,
                         nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_request *r = NULL;
    *request = NULL;
    NIB_TRY(make(m, task, given, out, &r, err));
    status = copies ? copy_texts(r, err) : NIB_OK;
    if (status == NIB_OK) status = task_vectors_own_ranges(&r->vectors, &r->q->runtime->heap, &r->ranges, err);
    r->keeps = job && job->kind->chunked && !job->chunk.pooled;
    r->job = job;
    if (job) r->submitted = job->asked;
    *request = r; /* before it can be finished: the callback may free it */
    if (status == NIB_OK) status = enter(r, err);
    if (status != NIB_OK) *request = NULL, r->job = NULL, destroy(r);
    else if (given->n == 0 && job) r->ended = false, queue_conclude(r);
    else if (given->n == 0 && r->ticket.finish) r->ticket.finish(r->ticket.finish_user, NIB_OK);
fail:
    return status;
}

nib_status queue_submit(nib_model *m, nib_task task, const task_texts *given, void *out, nib_request **request, nib_error *err) {
    return submit(m, task, given, out, NULL, true, request, err);
}

/* Whether a queue that refuses is full already: before anything is tokenized. */
static nib_status check_room(nib_queue *q, const task_texts *t, nib_error *err) {
    nib_status status = NIB_OK;
    base_mutex_lock(q->lock);
    if (q->closed) status = base_error_set(err, NIB_CANCELLED, "the queue is closed");
    else if (q->options.full == NIB_QUEUE_FULL_REFUSE && !has_room(q, t->n, 0)) status = refuse(q, t->n, err);
    base_mutex_unlock(q->lock);
    return status;
}

nib_status queue_submit_job(task_job *job, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_ticket ticket;
    task_chunk *c = &job->chunk;
    *request = NULL;
    job->asked = base_clock();
    NIB_TRY(check_room(job->ticket.queue, &job->given, err));
    NIB_TRY(task_job_prepare(job, err));
    if (!job->kind->chunked) {
        NIB_TRY(submit(job->m, job->task, &job->given, job->out, job, true, request, err));
        return NIB_OK;
    }
    const task_texts items = task_chunk_given(c, &ticket);
    if (c->pooled) NIB_TRY(task_chunk_make_rows(c, err));
    NIB_TRY(submit(job->m, c->task, &items, c->pooled ? c->rows : NULL, job, false, request, err));
    return NIB_OK;
fail:
    task_job_free(job);
    return status;
}

/* ---- answers and the end */

bool queue_settle(nib_request *r, size_t i, nib_status status, const nib_error *err) {
    queue_text *x = &r->texts[i];
    nib_queue_statistics *count = &r->q->count;
    if (x->state == QUEUE_DONE) return false;
    if (x->group && --x->group->wanted == 0) atomic_store(&x->group->stop.stopped, 1);
    if (x->group) count->running_texts--;
    x->group = NULL;
    x->state = QUEUE_DONE;
    count->answered += status == NIB_OK;
    count->cancelled += status == NIB_CANCELLED;
    count->expired += status == NIB_TIMEOUT;
    count->failed += status != NIB_OK && status != NIB_CANCELLED && status != NIB_TIMEOUT;
    if (status != NIB_OK && r->status == NIB_OK) {
        r->status = status;
        r->error = *err;
    }
    if (++r->settled < r->n) return false;
    if (r->job && r->status == NIB_OK) return true;
    r->ended = true;
    base_condition_broadcast(r->changed);
    return !r->cancelled && r->ticket.finish;
}

/* The rows that texts kept, one behind the other: text i's from offsets[i] on. *rows is the heap's. */
static nib_status gather_rows(nib_request *r, int64_t *offsets, void **rows, nib_error *err) {
    base_heap *heap = &r->q->runtime->heap;
    const size_t W = r->vectors.bytes;
    size_t bytes;
    offsets[0] = 0;
    for (size_t i = 0; i < r->n; i++) offsets[i + 1] = offsets[i] + r->texts[i].count;
    *rows = base_mul_size((size_t)offsets[r->n], W, &bytes) ? base_alloc(heap, bytes + 1) : NULL;
    if (!*rows) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %lld tokens", (long long)offsets[r->n]);
    for (size_t i = 0; i < r->n; i++) {
        if (r->texts[i].count) memcpy((char *)*rows + (size_t)offsets[i] * W, r->texts[i].rows, (size_t)r->texts[i].count * W);
        base_free(heap, r->texts[i].rows);
        r->texts[i].rows = NULL;
    }
    return NIB_OK;
}

static nib_status finish_job(nib_request *r, nib_error *err) {
    nib_status status = NIB_OK;
    void *rows;
    if (r->keeps) {
        NIB_TRY(gather_rows(r, r->job->chunk.offsets, &rows, err));
        r->job->chunk.rows = rows;
    }
    NIB_TRY(task_job_finish(r->job, err));
fail:
    return status;
}

void queue_conclude(nib_request *r) {
    nib_queue *q = r->q;
    const nib_request *outer = answering;
    nib_error e;
    base_mutex_lock(q->lock);
    const bool wanted = r->concluding = !r->ended;
    base_mutex_unlock(q->lock);
    if (!wanted) return;
    answering = r;
    const nib_status status = finish_job(r, &e);
    answering = outer;
    base_mutex_lock(q->lock);
    if (status != NIB_OK) {
        r->status = status;
        r->error = e;
    }
    r->ended = true;
    base_condition_broadcast(r->changed);
    base_mutex_unlock(q->lock);
    if (r->ticket.finish) queue_tell_end(r);
}

void queue_tell_end(nib_request *r) {
    const nib_request *outer = answering;
    answering = r;
    r->ticket.finish(r->ticket.finish_user, r->status);
    answering = outer;
}

bool queue_begin_answer(nib_request *r) {
    r->eager++;
    while (r->busy && !r->cancelled) base_condition_wait(r->changed, r->q->lock, INFINITY);
    r->eager--;
    if (r->cancelled) return false;
    r->busy = true;
    return true;
}

void queue_end_answer(nib_request *r) {
    r->busy = false;
    if (r->eager) base_condition_broadcast(r->changed);
}

void queue_tell(nib_request *r, size_t i, nib_status status, const float *rows, int64_t count) {
    const nib_request *outer = answering;
    if (!r->ticket.answer) return;
    answering = r;
    r->ticket.answer(r->ticket.answer_user, i, status, rows, count, r->program->width);
    answering = outer;
}

void queue_fail(nib_request *r, size_t i, nib_status status, const nib_error *err) {
    nib_queue *q = r->q;
    if (r->texts[i].state == QUEUE_DONE) return;
    if (r->ticket.answer && queue_begin_answer(r)) {
        base_mutex_unlock(q->lock);
        queue_tell(r, i, status, NULL, 0);
        base_mutex_lock(q->lock);
        queue_end_answer(r);
    }
    if (!queue_settle(r, i, status, err)) return;
    base_mutex_unlock(q->lock);
    queue_tell_end(r);
    base_mutex_lock(q->lock);
}

void queue_fail_waiting(nib_request *r, nib_status status, const char *why) {
    nib_error e;
    base_error_set(&e, status, "%s", why);
    const size_t first = r->next;
    queue_remove(r->q, r);
    base_condition_broadcast(r->q->room);
    for (size_t i = first; i < r->n; i++) queue_fail(r, i, status, &e);
}

void queue_drop(nib_request *r) {
    nib_queue *q = r->q;
    if (--r->references > 0) return;
    q->references--;
    base_mutex_unlock(q->lock);
    destroy(r);
    base_mutex_lock(q->lock);
}

/* ---- the owner's calls */

static nib_status result_of(const nib_request *r, nib_error *err) {
    if (r->cancelled) return base_error_set(err, NIB_CANCELLED, "the request was cancelled");
    if (r->status != NIB_OK && err) *err = r->error;
    return r->status;
}

nib_status queue_wait(nib_request *r, double seconds, nib_error *err) {
    nib_queue *q = r->q;
    const double end = seconds < 0 ? INFINITY : base_clock() + seconds;
    nib_status status = NIB_OK;
    base_mutex_lock(q->lock);
    while (!r->ended && status == NIB_OK) {
        const double now = base_clock();
        double until = end;
        if (r->heap_at && now >= r->deadline) {
            r->references++;
            queue_fail_waiting(r, NIB_TIMEOUT, QUEUE_OVERDUE);
            queue_drop(r);
            continue;
        }
        if (r->heap_at && r->deadline < until) until = r->deadline;
        if (base_stop_may_ask() && until > now + BASE_STOP_MS * 1e-3) until = now + BASE_STOP_MS * 1e-3;
        if (now >= end) {
            status = base_error_set(err, NIB_TIMEOUT, "%zu of %zu texts are answered", r->settled, r->n);
            break;
        }
        base_condition_wait(r->changed, q->lock, until);
        base_mutex_unlock(q->lock);
        status = base_stop_check(err);
        base_mutex_lock(q->lock);
    }
    if (status == NIB_OK) status = result_of(r, err);
    base_mutex_unlock(q->lock);
    return status;
}

void queue_cancel(nib_request *r) {
    nib_queue *q = r->q;
    nib_error e;
    if (q->process != base_process()) return;
    base_error_set(&e, NIB_CANCELLED, "the request was cancelled");
    base_mutex_lock(q->lock);
    if (!r->ended && !r->concluding) { /* a job that is at its end is let come to it */
        r->cancelled = true;
        queue_remove(q, r);
        for (size_t i = 0; i < r->n; i++) queue_settle(r, i, NIB_CANCELLED, &e);
        r->ended = true;
        base_condition_broadcast(q->room);
        base_condition_broadcast(r->changed);
    }
    while ((r->busy || !r->ended) && answering != r) {
        r->eager++;
        base_condition_wait(r->changed, q->lock, INFINITY);
        r->eager--;
    }
    base_mutex_unlock(q->lock);
}

void queue_request_free(nib_request *r) {
    if (!r) return;
    nib_queue *q = r->q;
    if (q->process != base_process()) return; /* its threads are the parent's, and so is what they hold */
    queue_cancel(r);
    base_mutex_lock(q->lock);
    queue_drop(r);
    const bool last = q->references == 0;
    base_mutex_unlock(q->lock);
    if (last) queue_release(q);
}

/* ---- calls that wait */

/* Whether a call may run by itself, since nothing else does: it begins at once and no thread is woken. */
static bool goes_alone(nib_queue *q, const nib_request *r) {
    const int64_t most = r->m->batch_tokens > 0 ? r->m->batch_tokens : r->program->p->group_tokens;
    bool alone = false;
    base_mutex_lock(q->lock);
    if (!q->closed && q->active == 0 && q->count.waiting_texts == 0 && weight_of(r) <= most) {
        alone = true;
        q->active++;
        q->count.running_texts += r->n;
        q->count.submitted += r->n;
    }
    base_mutex_unlock(q->lock);
    return alone;
}

static void went_alone(nib_queue *q, size_t n, nib_status status) {
    base_mutex_lock(q->lock);
    q->active--;
    q->count.running_texts -= n;
    q->count.answered += status == NIB_OK ? n : 0;
    q->count.cancelled += status == NIB_CANCELLED ? n : 0;
    q->count.failed += status != NIB_OK && status != NIB_CANCELLED ? n : 0;
    if (q->count.waiting_texts) base_condition_signal(q->work);
    if (q->closed) base_condition_broadcast(q->idle);
    base_mutex_unlock(q->lock);
}

nib_status queue_rows(nib_model *m, nib_task task, const task_texts *given, void *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_queue *q = given->ticket->queue;
    nib_request *r = NULL;
    NIB_TRY(make(m, task, given, out, &r, err));
    if (goes_alone(q, r)) {
        destroy(r);
        status = task_rows_now(m, task, given, out, err);
        went_alone(q, given->n, status);
        return status;
    }
    status = copy_texts(r, err); /* a group may read them when the caller has been stopped, and has gone */
    if (status == NIB_OK) status = enter(r, err);
    if (status != NIB_OK) {
        destroy(r);
        return status;
    }
    status = queue_wait(r, -1, err);
    queue_request_free(r);
fail:
    return status;
}

nib_status queue_tokens(nib_model *m, nib_task task, const task_texts *given, int64_t *offsets, void **rows,
                        task_vectors *made, nib_error *err) {
    nib_status status = NIB_OK;
    nib_request *r = NULL;
    *rows = NULL;
    NIB_TRY(make(m, task, given, NULL, &r, err));
    *made = r->vectors;
    r->keeps = true;
    status = copy_texts(r, err);
    if (status == NIB_OK) status = enter(r, err);
    if (status != NIB_OK) {
        destroy(r);
        return status;
    }
    NIB_TRY(queue_wait(r, -1, err));
    NIB_TRY(gather_rows(r, offsets, rows, err));
fail:
    queue_request_free(r);
    return status;
}
