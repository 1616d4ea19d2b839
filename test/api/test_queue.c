/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue. In: texts of many callers, the tiny model. Out: the bits that each text has by itself, in the order that
 * the rule says, once each; and an end for all that is refused, late, cancelled or closed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nib/nib.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define DIM 32
#define TEXTS 40
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TINY NIB_TEST_DATA "/nib/tiny"
#define LABELS NIB_TEST_DATA "/classify/labels"

static nib_runtime *runtime;
static nib_model *model;
static nib_error e;
static char written[TEXTS][80];
static const char *texts[TEXTS];
static float want[TEXTS][DIM];

static nib_model *open_task(const char *path, nib_task task) {
    nib_model_options o;
    nib_model *m;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.task = task;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    return m;
}

static int begin(void **state) {
    nib_runtime_options r;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    if (nib_runtime_create(&r, &runtime, &e) != NIB_OK) return 1;
    model = open_task(TINY, NIB_TASK_AUTO);
    for (int i = 0; i < TEXTS; i++) {
        for (int j = 0; j <= i % 9; j++) sprintf(written[i] + strlen(written[i]), "%c%d ", 'a' + (i * 7 + j) % 26, j);
        texts[i] = written[i];
    }
    return nib_embed(model, texts, TEXTS, NULL, want[0], &e);
}

static int end(void **state) {
    nib_model_free(model);
    nib_runtime_free(runtime);
    return 0;
}

static nib_queue *make_queue(const nib_queue_options *like) {
    nib_queue_options o;
    nib_queue *q;
    nib_queue_defaults(&o, sizeof o);
    if (like) o = *like;
    if (nib_queue_create(runtime, &o, &q, &e) != NIB_OK) fail_msg("%s", e.message);
    return q;
}

static nib_queue_options queue_options(void) {
    nib_queue_options o;
    nib_queue_defaults(&o, sizeof o);
    return o;
}

static nib_ticket ticket_of(nib_queue *q) {
    nib_ticket t;
    nib_ticket_defaults(&t, sizeof t);
    t.queue = q;
    return t;
}

static nib_embed_options with(const nib_ticket *t) {
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    o.ticket = t;
    return o;
}

static nib_queue_statistics counts(nib_queue *q) {
    nib_queue_statistics c;
    nib_queue_statistics_get(q, &c, sizeof c);
    return c;
}

/* ---- a gate: whose answer holds a thread of the queue's up until it is opened */

typedef struct gate {
    _Atomic int arrived, open;
} gate;

static void pass_gate(void *user, size_t i, nib_status status, const float *row, int64_t rows, int64_t width) {
    gate *g = user;
    atomic_fetch_add(&g->arrived, 1);
    while (!atomic_load(&g->open)) sched_yield();
}

/* The queue's only thread is in this request's answer until the gate is opened. */
static nib_request *hold(nib_queue *q, gate *g) {
    static float out[DIM];
    nib_request *r;
    nib_ticket t = ticket_of(q);
    t.answer = pass_gate;
    t.answer_user = g;
    t.client = 999;
    nib_embed_options o = with(&t);
    assert_int_equal(nib_submit_embed(model, texts, 1, &o, out, &r, &e), NIB_OK);
    while (!atomic_load(&g->arrived)) sched_yield();
    return r;
}

static void let_go(nib_request *r, gate *g) {
    atomic_store(&g->open, 1);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_OK);
    nib_request_free(r);
}

/* ---- the same bits */

static void waiting_gives_the_same_bits(void **state) {
    nib_queue *q = make_queue(NULL);
    const nib_ticket t = ticket_of(q);
    float got[TEXTS][DIM];
    int64_t tokens[TEXTS] = {0}, full[TEXTS] = {0}, plain[TEXTS];
    nib_embed_options o = with(&t);
    o.tokens = tokens;
    o.full_tokens = full;
    assert_int_equal(nib_embed(model, texts, TEXTS, &o, got[0], &e), NIB_OK);
    assert_memory_equal(got, want, sizeof want);
    o = with(NULL);
    o.tokens = plain;
    assert_int_equal(nib_embed(model, texts, TEXTS, &o, got[0], &e), NIB_OK);
    assert_memory_equal(tokens, plain, sizeof plain);
    assert_memory_equal(full, plain, sizeof plain);
    nib_queue_free(q);
}

static void ids_wait_too(void **state) {
    nib_queue *q = make_queue(NULL);
    const nib_ticket t = ticket_of(q);
    const nib_embed_options o = with(&t);
    static const int32_t some[] = {2, 5, 9, 3}, none[] = {2, -1, 3};
    const int32_t *ids[] = {some, some}, *bad[] = {none};
    const int64_t lengths[] = {4, 3};
    float got[2][DIM], plain[2][DIM];
    assert_int_equal(nib_embed_ids(model, ids, lengths, 2, NULL, plain[0], &e), NIB_OK);
    assert_int_equal(nib_embed_ids(model, ids, lengths, 2, &o, got[0], &e), NIB_OK);
    assert_memory_equal(got, plain, sizeof plain);
    assert_int_equal(nib_embed_ids(model, bad, lengths + 1, 1, &o, got[0], &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "id -1"));
    nib_queue_free(q);
}

static void other_tasks_wait_too(void **state) {
    nib_queue_options one = queue_options();
    one.threads = 1;
    nib_queue *q = make_queue(&one);
    const nib_ticket t = ticket_of(q);
    nib_embed_options o = with(&t);
    int64_t offsets[TEXTS + 1], plain_offsets[TEXTS + 1];
    nib_tensor *got, *plain;
    assert_int_equal(nib_embed_tokens(model, texts, TEXTS, NULL, plain_offsets, &plain, &e), NIB_OK);
    if (nib_embed_tokens(model, texts, TEXTS, &o, offsets, &got, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_memory_equal(offsets, plain_offsets, sizeof offsets);
    assert_int_equal(got->bytes, plain->bytes);
    assert_memory_equal(got->data, plain->data, plain->bytes);
    nib_tensor_free(got);
    nib_tensor_free(plain);
    nib_model *labels = open_task(LABELS, NIB_TASK_AUTO);
    nib_classify_options c;
    nib_classify_defaults(&c, sizeof c);
    float scores[TEXTS * 16], plain_scores[TEXTS * 16];
    const size_t width = (size_t)nib_model_label_count(labels);
    assert_true(width > 0 && width <= 16);
    gate g = {0, 0};
    nib_request *held = hold(q, &g), *r;
    c.ticket = &t;
    assert_int_equal(nib_submit_classify(labels, texts, texts, TEXTS, &c, scores, &r, &e), NIB_OK);
    let_go(held, &g);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_OK);
    nib_request_free(r);
    c.ticket = NULL;
    assert_int_equal(nib_classify(labels, texts, texts, TEXTS, &c, plain_scores, &e), NIB_OK);
    assert_memory_equal(scores, plain_scores, TEXTS * width * sizeof(float));
    nib_model_free(labels);
    nib_queue_free(q);
}

/* ---- answers */

typedef struct told {
    int times[TEXTS];
    nib_status status[TEXTS];
    float rows[TEXTS][DIM];
    _Atomic int now, most, answers, ends;
    nib_status end;
    nib_request *request; /* freed or cancelled from within */
    int cancel_at;        /* after so many answers; 0: never */
} told;

static void be_told(void *user, size_t i, nib_status status, const float *row, int64_t rows, int64_t width) {
    told *t = user;
    const int now = atomic_fetch_add(&t->now, 1) + 1;
    if (now > atomic_load(&t->most)) atomic_store(&t->most, now);
    assert_true(i < TEXTS);
    t->times[i]++;
    t->status[i] = status;
    if (status == NIB_OK) {
        assert_true(width == DIM && rows == 1);
        memcpy(t->rows[i], row, sizeof t->rows[i]);
    }
    if (atomic_fetch_add(&t->answers, 1) + 1 == t->cancel_at) nib_request_cancel(t->request);
    atomic_fetch_sub(&t->now, 1);
}

static void be_told_the_end(void *user, nib_status status) {
    told *t = user;
    t->end = status;
    nib_request_free(t->request); /* allowed here */
    atomic_fetch_add(&t->ends, 1);
}

static void each_text_is_told_once(void **state) {
    nib_queue *q = make_queue(NULL);
    for (int how = 0; how < 3; how++) { /* submitted, waiting, without a queue */
        static told t;
        memset(&t, 0, sizeof t);
        nib_ticket ticket = ticket_of(how == 2 ? NULL : q);
        ticket.answer = be_told;
        ticket.answer_user = &t;
        nib_embed_options o = with(&ticket);
        float out[TEXTS][DIM];
        if (how == 0) {
            ticket.finish = be_told_the_end;
            ticket.finish_user = &t;
            assert_int_equal(nib_submit_embed(model, texts, TEXTS, &o, NULL, &t.request, &e), NIB_OK);
            while (!atomic_load(&t.ends)) sched_yield();
            assert_int_equal(t.end, NIB_OK);
        } else {
            assert_int_equal(nib_embed(model, texts, TEXTS, &o, out[0], &e), NIB_OK);
            assert_memory_equal(out, want, sizeof want);
        }
        assert_int_equal(t.most, 1); /* one at a time */
        for (int i = 0; i < TEXTS; i++) assert_true(t.times[i] == 1 && t.status[i] == NIB_OK);
        assert_memory_equal(t.rows, want, sizeof want);
    }
    nib_queue_free(q);
}

/* ---- whose text is next */

typedef struct caller {
    char name;
    uint64_t client;
    int32_t priority;
    size_t n;
} caller;

static char *order_at;
static char order[200];

static void note_a(void *user, size_t i, nib_status status, const float *row, int64_t rows, int64_t width) {
    if (status == NIB_OK) *order_at++ = *(const char *)user;
}

/* Who is answered one after the other, by a queue of one thread whose groups hold one text. */
static const char *order_of(const nib_queue_options *like, const caller *callers, size_t n, const char *text) {
    nib_model_options mo;
    nib_model *m;
    nib_model_defaults(&mo, sizeof mo);
    mo.runtime = runtime;
    mo.batch_tokens = 1;
    assert_int_equal(nib_model_open(TINY, &mo, &m, &e), NIB_OK);
    nib_queue_options o = like ? *like : queue_options();
    o.threads = 1;
    nib_queue *q = make_queue(&o);
    gate g = {0, 0};
    nib_request *held = hold(q, &g), *r[8];
    const char *same[TEXTS];
    for (int i = 0; i < TEXTS; i++) same[i] = text;
    order_at = order;
    memset(order, 0, sizeof order);
    for (size_t k = 0; k < n; k++) {
        nib_ticket t = ticket_of(q);
        t.client = callers[k].client;
        t.priority = callers[k].priority;
        t.answer = note_a;
        t.answer_user = (void *)(uintptr_t)&callers[k].name;
        const nib_embed_options eo = with(&t);
        assert_int_equal(nib_submit_embed(m, same, callers[k].n, &eo, NULL, &r[k], &e), NIB_OK);
    }
    let_go(held, &g);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(nib_request_wait(r[k], -1, &e), NIB_OK);
        nib_request_free(r[k]);
    }
    nib_queue_free(q);
    nib_model_free(m);
    return order;
}

static void clients_share_by_tokens(void **state) {
    /* 38 bytes are taken for 11 tokens: with a quantum of 22 a client has two texts a round */
    static const char text[] = "one two three four five six seven eig ";
    nib_queue_options o = queue_options();
    o.quantum = 22;
    const caller two[] = {{'a', 1, 0, 6}, {'b', 2, 0, 4}};
    assert_string_equal(order_of(&o, two, 2, text), "bbaabbaaaa");
    /* a client's own texts stay in order, whatever requests they came in */
    const caller one[] = {{'a', 1, 0, 2}, {'b', 1, 0, 2}};
    assert_string_equal(order_of(&o, one, 2, text), "aabb");
    /* a higher priority goes first */
    const caller high[] = {{'a', 1, 0, 3}, {'b', 2, 0, 1}, {'c', 3, 5, 2}};
    assert_string_equal(order_of(&o, high, 3, text), "ccbaaa");
    /* another rule */
    o.pick = nib_pick_oldest;
    assert_string_equal(order_of(&o, two, 2, text), "aaaaaabbbb");
}

/* ---- room */

static void a_full_queue_refuses_or_blocks(void **state) {
    float out[TEXTS][DIM];
    for (int by_tokens = 0; by_tokens < 2; by_tokens++) {
        nib_queue_options o = queue_options();
        o.threads = 1;
        if (by_tokens) o.max_tokens = 12;
        else o.max_texts = 3;
        nib_queue *q = make_queue(&o);
        const nib_ticket t = ticket_of(q);
        const nib_embed_options eo = with(&t);
        gate g = {0, 0};
        nib_request *held = hold(q, &g), *first, *none = (nib_request *)&g;
        assert_int_equal(nib_submit_embed(model, texts, 3, &eo, out[0], &first, &e), NIB_OK);
        assert_int_equal(nib_submit_embed(model, texts + 8, 1, &eo, out[3], &none, &e), NIB_QUEUE_FULL);
        assert_null(none);
        assert_int_equal(counts(q).refused, 1);
        assert_int_equal(counts(q).waiting_texts, 3);
        let_go(held, &g);
        assert_int_equal(nib_request_wait(first, -1, &e), NIB_OK);
        nib_request_free(first);
        /* more than there can be room for is taken when nothing waits */
        assert_int_equal(nib_embed(model, texts, TEXTS, &eo, out[0], &e), NIB_OK);
        assert_memory_equal(out, want, sizeof want);
        nib_queue_free(q);
    }
}

static void *submit_blocked(void *user) {
    nib_embed_options o = with(user);
    float out[DIM];
    nib_error mine;
    const nib_status status = nib_embed(model, texts, 1, &o, out, &mine);
    return (void *)(intptr_t)(status == NIB_OK && memcmp(out, want[0], sizeof out) != 0 ? 1 : status);
}

static void a_blocking_queue_waits_for_room(void **state) {
    float out[DIM];
    nib_queue_options o = queue_options();
    o.threads = 1;
    o.max_texts = 1;
    o.full = NIB_QUEUE_FULL_BLOCK;
    for (int closes = 0; closes < 2; closes++) {
        nib_queue *q = make_queue(&o);
        const nib_ticket t = ticket_of(q);
        nib_ticket late = t;
        late.deadline = 0.02;
        const nib_embed_options eo = with(&t), late_options = with(&late);
        gate g = {0, 0};
        nib_request *held = hold(q, &g), *first;
        pthread_t thread;
        void *result;
        assert_int_equal(nib_submit_embed(model, texts, 1, &eo, out, &first, &e), NIB_OK);
        assert_int_equal(nib_embed(model, texts, 1, &late_options, want[1], &e), NIB_TIMEOUT);
        assert_int_equal(pthread_create(&thread, NULL, submit_blocked, (void *)(uintptr_t)&t), 0);
        if (closes) nib_queue_close(q);
        let_go(held, &g);
        pthread_join(thread, &result);
        assert_int_equal((intptr_t)result, closes ? NIB_CANCELLED : NIB_OK);
        assert_int_equal(nib_request_wait(first, -1, &e), closes ? NIB_CANCELLED : NIB_OK);
        nib_request_free(first);
        nib_queue_free(q);
    }
    assert_int_equal(nib_embed(model, texts + 1, 1, NULL, want[1], &e), NIB_OK);
}

/* ---- ends */

static void late_texts_are_not_run(void **state) {
    nib_queue_options o = queue_options();
    o.threads = 1;
    nib_queue *q = make_queue(&o);
    static told t;
    memset(&t, 0, sizeof t);
    nib_ticket ticket = ticket_of(q);
    gate g = {0, 0};
    nib_request *held = hold(q, &g);
    ticket.deadline = 0.01;
    ticket.answer = be_told;
    ticket.answer_user = &t;
    nib_embed_options eo = with(&ticket);
    nib_request *r;
    assert_int_equal(nib_submit_embed(model, texts, 3, &eo, NULL, &r, &e), NIB_OK);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_TIMEOUT); /* though the only thread is held up */
    for (int i = 0; i < 3; i++) assert_true(t.times[i] == 1 && t.status[i] == NIB_TIMEOUT);
    assert_int_equal(nib_request_wait(r, 0, &e), NIB_TIMEOUT);
    nib_request_free(r);
    assert_int_equal(counts(q).expired, 3);
    let_go(held, &g);
    nib_queue_free(q);
}

static void a_cancelled_request_writes_nothing(void **state) {
    nib_queue_options o = queue_options();
    o.threads = 1;
    nib_queue *q = make_queue(&o);
    const nib_ticket ticket = ticket_of(q);
    const nib_embed_options eo = with(&ticket);
    float out[TEXTS][DIM];
    gate g = {0, 0};
    nib_request *held = hold(q, &g), *r;
    memset(out, 0x5a, sizeof out);
    assert_int_equal(nib_submit_embed(model, texts, TEXTS, &eo, out[0], &r, &e), NIB_OK);
    assert_int_equal(nib_request_wait(r, 0, &e), NIB_TIMEOUT); /* it goes on */
    nib_request_cancel(r);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_CANCELLED);
    nib_request_free(r);
    let_go(held, &g);
    for (size_t i = 0; i < sizeof out; i++) assert_int_equal(((const char *)out)[i], 0x5a);
    assert_int_equal(counts(q).cancelled, TEXTS);
    assert_int_equal(counts(q).answered, 1);
    nib_queue_free(q);
}

static void an_answer_may_cancel(void **state) {
    nib_queue *q = make_queue(NULL);
    static told t;
    memset(&t, 0, sizeof t);
    t.cancel_at = 3;
    nib_ticket ticket = ticket_of(q);
    ticket.answer = be_told;
    ticket.answer_user = &t;
    const nib_embed_options eo = with(&ticket);
    nib_queue_options one = queue_options();
    one.threads = 1;
    nib_queue *single = make_queue(&one);
    gate g = {0, 0};
    nib_request *held = hold(single, &g);
    ticket.queue = single; /* so that the request is known before its first answer */
    assert_int_equal(nib_submit_embed(model, texts, TEXTS, &eo, NULL, &t.request, &e), NIB_OK);
    let_go(held, &g);
    assert_int_equal(nib_request_wait(t.request, -1, &e), NIB_CANCELLED);
    nib_request_free(t.request);
    assert_int_equal(t.answers, 3);
    nib_queue_free(single);
    nib_queue_free(q);
}

static void a_closed_queue_takes_nothing(void **state) {
    nib_queue_options o = queue_options();
    o.threads = 1;
    nib_queue *q = make_queue(&o);
    static told t;
    memset(&t, 0, sizeof t);
    nib_ticket ticket = ticket_of(q);
    ticket.answer = be_told;
    ticket.answer_user = &t;
    nib_embed_options eo = with(&ticket);
    gate g = {0, 0};
    nib_request *held = hold(q, &g), *r;
    assert_int_equal(nib_submit_embed(model, texts, 3, &eo, NULL, &r, &e), NIB_OK);
    nib_queue_close(q);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_CANCELLED);
    for (int i = 0; i < 3; i++) assert_true(t.times[i] == 1 && t.status[i] == NIB_CANCELLED);
    float out[DIM];
    assert_int_equal(nib_embed(model, texts, 1, &eo, out, &e), NIB_CANCELLED);
    let_go(held, &g); /* what runs is answered */
    nib_queue_free(q);
    nib_request_free(r); /* after the queue */
}

static int stop_at_once(void *user, uint64_t done, uint64_t total) { return atomic_load((_Atomic int *)user); }

static void a_waiting_call_can_be_stopped(void **state) {
    nib_queue_options o = queue_options();
    o.threads = 1;
    nib_queue *q = make_queue(&o);
    const nib_ticket ticket = ticket_of(q);
    nib_embed_options eo = with(&ticket);
    _Atomic int stop = 0;
    gate g = {0, 0};
    float out[DIM];
    nib_request *held = hold(q, &g);
    eo.stop = stop_at_once;
    eo.stop_user = &stop;
    atomic_store(&stop, 1);
    assert_int_equal(nib_embed(model, texts, 1, &eo, out, &e), NIB_CANCELLED);
    let_go(held, &g);
    nib_queue_free(q);
}

/* ---- arguments */

static void wrong_tickets_are_refused(void **state) {
    nib_queue *q = make_queue(NULL);
    nib_ticket t = ticket_of(NULL);
    nib_embed_options o = with(&t);
    nib_request *r;
    float out[DIM];
    const struct {
        uint64_t client;
        int32_t priority;
        double deadline;
        bool queue, finish;
    } wrong[] = {{1, 0, 0, false, false}, {0, 1, 0, false, false}, {0, 0, 1, false, false}, {0, 0, -1, true, false},
                 {0, 0, 0, true, true}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        t.client = wrong[i].client;
        t.priority = wrong[i].priority;
        t.deadline = wrong[i].deadline;
        t.queue = wrong[i].queue ? q : NULL;
        t.finish = wrong[i].finish ? be_told_the_end : NULL;
        assert_int_equal(nib_embed(model, texts, 1, &o, out, &e), NIB_INVALID_ARGUMENT);
    }
    t = ticket_of(NULL);
    assert_int_equal(nib_submit_embed(model, texts, 1, &o, out, &r, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_submit_embed(model, texts, 1, NULL, out, &r, &e), NIB_INVALID_ARGUMENT);
    t = ticket_of(q);
    assert_int_equal(nib_submit_embed(model, texts, 1, &o, NULL, &r, &e), NIB_INVALID_ARGUMENT); /* to nobody */
    assert_int_equal(nib_submit_embed(NULL, texts, 1, &o, out, &r, &e), NIB_INVALID_ARGUMENT);
    o.stop = stop_at_once;
    assert_int_equal(nib_submit_embed(model, texts, 1, &o, out, &r, &e), NIB_INVALID_ARGUMENT);
    nib_model *other;
    assert_int_equal(nib_model_open(TINY, NULL, &other, &e), NIB_OK); /* of a runtime of its own */
    o = with(&t);
    assert_int_equal(nib_embed(other, texts, 1, &o, out, &e), NIB_INVALID_ARGUMENT);
    nib_model_free(other);
    assert_int_equal(nib_submit_embed(model, NULL, 0, &o, NULL, &r, &e), NIB_OK);
    nib_request_free(r);
    assert_int_equal(nib_request_wait(NULL, 0, &e), NIB_INVALID_ARGUMENT);
    nib_queue_options none;
    nib_queue *made;
    nib_queue_defaults(&none, sizeof none);
    assert_int_equal(nib_queue_create(NULL, &none, &made, &e), NIB_INVALID_ARGUMENT);
    assert_null(made);
    nib_queue_free(NULL);
    nib_queue_close(NULL);
    nib_request_free(NULL);
    nib_request_cancel(NULL);
    nib_queue_free(q);
}

static void a_child_is_told(void **state) {
    nib_queue *q = make_queue(NULL);
    const nib_ticket t = ticket_of(q);
    const nib_embed_options o = with(&t);
    float out[DIM];
    const pid_t child = fork();
    if (child == 0) {
        const nib_status status = nib_embed(model, texts, 1, &o, out, &e);
        nib_queue_free(q);
        _exit(status == NIB_UNSUPPORTED ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
    nib_queue_free(q);
}

/* ---- everybody at once */

#define CALLERS 64
#define CALLS 10

typedef struct crowd {
    nib_queue *q;
    _Atomic int wrong, answered, refused, over;
} crowd;

typedef struct member {
    crowd *c;
    int number;
} member;

static void *come_and_go(void *user) {
    const member *me = user;
    crowd *c = me->c;
    unsigned seed = (unsigned)me->number * 7919u + 1;
    for (int k = 0; k < CALLS; k++) {
        nib_ticket t = ticket_of(c->q);
        nib_error mine;
        nib_request *r = NULL;
        float out[8][DIM];
        const int how = rand_r(&seed) % 4, n = 1 + rand_r(&seed) % 8, first = rand_r(&seed) % (TEXTS - 8);
        t.client = (uint64_t)(rand_r(&seed) % 5);
        t.priority = rand_r(&seed) % 2;
        if (how == 3) t.deadline = 1e-4 * (1 + rand_r(&seed) % 20);
        const nib_embed_options o = with(&t);
        nib_status status;
        if (how == 0) {
            status = nib_embed(model, texts + first, (size_t)n, &o, out[0], &mine);
        } else {
            status = nib_submit_embed(model, texts + first, (size_t)n, &o, out[0], &r, &mine);
            if (status == NIB_OK && how == 2) nib_request_cancel(r);
            if (status == NIB_OK) status = nib_request_wait(r, -1, &mine);
            nib_request_free(r);
        }
        if (status == NIB_OK && memcmp(out, want[first], (size_t)n * sizeof *out) != 0) atomic_fetch_add(&c->wrong, 1);
        if (status == NIB_OK) atomic_fetch_add(&c->answered, 1);
        else if (status == NIB_QUEUE_FULL) atomic_fetch_add(&c->refused, 1);
        else if (status == NIB_CANCELLED || status == NIB_TIMEOUT) atomic_fetch_add(&c->over, 1);
        else atomic_fetch_add(&c->wrong, 1);
    }
    return NULL;
}

static void a_crowd_comes_and_goes(void **state) {
    for (int round = 0; round < 3; round++) { /* unbounded, bounded, closed in the middle */
        nib_queue_options o = queue_options();
        if (round == 1) o.max_texts = 6;
        crowd c = {.q = make_queue(&o)};
        pthread_t threads[CALLERS];
        member members[CALLERS];
        for (int i = 0; i < CALLERS; i++) {
            members[i] = (member){&c, i};
            assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &members[i]), 0);
        }
        if (round == 2) {
            while (counts(c.q).answered < 40) sched_yield();
            nib_queue_close(c.q);
        }
        for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
        assert_int_equal(c.wrong, 0);
        assert_int_equal(c.answered + c.refused + c.over, CALLERS * CALLS);
        const nib_queue_statistics s = counts(c.q);
        assert_true(s.waiting_texts == 0 && s.waiting_tokens == 0 && s.running_texts == 0);
        assert_int_equal(s.submitted, s.answered + s.failed + s.cancelled + s.expired);
        nib_queue_free(c.q);
    }
}

/* ---- memory */

static _Atomic long allowed = -1, live;

static void *some_allocate(void *user, size_t bytes) {
    if (atomic_load(&allowed) >= 0 && atomic_fetch_sub(&allowed, 1) <= 0) {
        atomic_store(&allowed, 0);
        return NULL;
    }
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p) atomic_fetch_add(&live, 1);
    return p;
}
static void some_release(void *user, void *p, size_t bytes) {
    atomic_fetch_sub(&live, p != NULL);
    free(p);
}

/* Each request for memory fails once: a status, nothing lost, and the queue goes on. */
static void no_memory_is_a_status(void **state) {
    nib_runtime_options r;
    nib_model_options mo;
    nib_runtime *own;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    r.allocate = some_allocate;
    r.release = some_release;
    assert_int_equal(nib_runtime_create(&r, &own, &e), NIB_OK);
    nib_model_defaults(&mo, sizeof mo);
    mo.runtime = own;
    assert_int_equal(nib_model_open(TINY, &mo, &m, &e), NIB_OK);
    int done = 0;
    for (long n = 0; !done; n++) {
        nib_queue_options o = queue_options();
        nib_queue *q;
        nib_request *request = NULL;
        float out[4][DIM];
        o.threads = 1;
        atomic_store(&allowed, n);
        nib_status status = nib_queue_create(own, &o, &q, &e);
        nib_ticket t = ticket_of(q);
        const nib_embed_options eo = with(&t);
        if (status == NIB_OK) status = nib_submit_embed(m, texts, 4, &eo, out[0], &request, &e);
        if (status == NIB_OK) status = nib_request_wait(request, -1, &e);
        done = status == NIB_OK && atomic_load(&allowed) > 0;
        atomic_store(&allowed, -1);
        assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
        if (status == NIB_OK) assert_memory_equal(out, want, sizeof out);
        nib_request_free(request);
        nib_queue_free(q);
        assert_true(n < 2000);
    }
    nib_model_free(m);
    nib_runtime_free(own);
    assert_int_equal(live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waiting_gives_the_same_bits),
        cmocka_unit_test(ids_wait_too),
        cmocka_unit_test(other_tasks_wait_too),
        cmocka_unit_test(each_text_is_told_once),
        cmocka_unit_test(clients_share_by_tokens),
        cmocka_unit_test(a_full_queue_refuses_or_blocks),
        cmocka_unit_test(a_blocking_queue_waits_for_room),
        cmocka_unit_test(late_texts_are_not_run),
        cmocka_unit_test(a_cancelled_request_writes_nothing),
        cmocka_unit_test(an_answer_may_cancel),
        cmocka_unit_test(a_closed_queue_takes_nothing),
        cmocka_unit_test(a_waiting_call_can_be_stopped),
        cmocka_unit_test(wrong_tickets_are_refused),
        cmocka_unit_test(a_child_is_told),
        cmocka_unit_test(a_crowd_comes_and_goes),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
