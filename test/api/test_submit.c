/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of all tasks through a queue without waiting. In: a row a task, texts with windows, masks and nothing in them. Out: the
 * bits of the plain call; an end for all that is cancelled, late, refused, or has no memory, and no result of it.
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
#include <time.h>
#include <cmocka.h>

#define TEXTS 12
#define LABELS 3
#define MOST (1 << 20)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a call gives, of any task; what it says of its texts, too. */
typedef struct result {
    nib_ranked ranked[TEXTS * LABELS];
    size_t count;
    nib_tags *tags;
    nib_fills *fills;
    nib_answers *answers;
    nib_sparse *sparse;
    nib_tensor *rows, *spans;
    int64_t offsets[TEXTS + 1], tokens[TEXTS], full[TEXTS];
    float vectors[TEXTS * 64];
} result;

typedef nib_status (*call_fn)(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e);

static char written[TEXTS][2400];
/* What calls are given, and what nobody may look at once they have returned. */
static _Thread_local char given[TEXTS][2500];
static _Thread_local const char *texts[TEXTS];

static void write_texts(void) {
    for (int i = 0; i < TEXTS; i++) {
        strcpy(given[i], written[i]);
        texts[i] = given[i];
    }
}

/* ---- the tasks: r NULL calls and waits */

static nib_status rank(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    nib_rank_options o;
    nib_rank_defaults(&o, sizeof o);
    o.ticket = t;
    o.tokens = to->tokens;
    return r ? nib_submit_rank(m, "who writes?", texts, n, &o, to->ranked, &to->count, r, e)
             : nib_rank(m, "who writes?", texts, n, &o, to->ranked, &to->count, e);
}

static nib_status zero_shot(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    static const char *const labels[LABELS] = {"a", "b c", "d"};
    nib_zero_shot_options o;
    nib_zero_shot_defaults(&o, sizeof o);
    o.ticket = t;
    return r ? nib_submit_zero_shot(m, texts, n, labels, LABELS, &o, to->ranked, r, e)
             : nib_zero_shot(m, texts, n, labels, LABELS, &o, to->ranked, e);
}

static nib_status tag(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    static _Thread_local char first[8], second[8]; /* nobody may look at them later */
    const char *const ignore[] = {strcpy(first, "O"), strcpy(second, "LOC")};
    nib_tag_options o;
    nib_tag_defaults(&o, sizeof o);
    o.ticket = t;
    o.aggregation = NIB_AGGREGATION_SIMPLE;
    o.windows = 1;
    o.stride = 3;
    o.ignore = ignore;
    o.ignore_count = 2;
    o.tokens = to->tokens;
    o.full_tokens = to->full;
    nib_status status = r ? nib_submit_tag(m, texts, n, &o, &to->tags, r, e) : nib_tag(m, texts, n, &o, &to->tags, e);
    memset(first, 'x', 1);
    memset(second, 'x', 3);
    return status;
}

static nib_status fill(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    nib_fill_options o;
    for (size_t i = 0; i < n; i++) snprintf(given[i], sizeof given[i], "%.60s a %.2399s", nib_model_mask_token(m), written[i]);
    nib_fill_defaults(&o, sizeof o);
    o.ticket = t;
    o.top = 3;
    return r ? nib_submit_fill(m, texts, n, &o, &to->fills, r, e) : nib_fill(m, texts, n, &o, &to->fills, e);
}

static nib_status answer(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    const char *questions[TEXTS], *contexts[TEXTS];
    nib_answer_options o;
    for (size_t i = 0; i < n; i++) {
        questions[i] = i % 2 ? "who a b?" : "what?";
        contexts[i] = texts[i][0] ? texts[i] : "a";
    }
    nib_answer_defaults(&o, sizeof o);
    o.ticket = t;
    o.top = 3;
    o.max_tokens = 24;
    o.stride = 4;
    return r ? nib_submit_answer(m, questions, contexts, n, &o, &to->answers, r, e)
             : nib_answer(m, questions, contexts, n, &o, &to->answers, e);
}

static nib_status colbert(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    nib_colbert_options o;
    nib_colbert_defaults(&o, sizeof o);
    o.ticket = t;
    o.tokens = to->tokens;
    return r ? nib_submit_colbert(m, NIB_COLBERT_DOCUMENT, texts, n, &o, to->offsets, &to->rows, r, e)
             : nib_colbert(m, NIB_COLBERT_DOCUMENT, texts, n, &o, to->offsets, &to->rows, e);
}

static nib_status sparse(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    nib_sparse_options o;
    nib_sparse_defaults(&o, sizeof o);
    o.ticket = t;
    o.top = 9;
    return r ? nib_submit_embed_sparse(m, texts, n, &o, &to->sparse, r, e) : nib_embed_sparse(m, texts, n, &o, &to->sparse, e);
}

static nib_status chunks_of(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e, nib_aggregate how) {
    nib_embed_options o;
    nib_chunk_options c;
    nib_embed_defaults(&o, sizeof o);
    nib_chunk_options_defaults(&c, sizeof c);
    c.overflow = NIB_OVERFLOW_CHUNK;
    c.aggregate = how;
    c.tokens = 12;
    c.overlap = 2;
    o.chunks = &c;
    o.ticket = t;
    o.tokens = to->tokens;
    if (how < NIB_AGGREGATE_EACH)
        return r ? nib_submit_embed(m, texts, n, &o, to->vectors, r, e) : nib_embed(m, texts, n, &o, to->vectors, e);
    return r ? nib_submit_embed_chunks(m, texts, n, &o, to->offsets, &to->spans, &to->rows, r, e)
             : nib_embed_chunks(m, texts, n, &o, to->offsets, &to->spans, &to->rows, e);
}

/* int8 of ranges that nobody may look at later; of texts that are cut, and of chunks. */
static nib_status bytes_in(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e, nib_overflow overflow) {
    static _Thread_local float ranges[2 * 64];
    nib_embed_options o;
    nib_chunk_options c;
    nib_vector_options v;
    nib_embed_defaults(&o, sizeof o);
    nib_chunk_options_defaults(&c, sizeof c);
    nib_vector_options_defaults(&v, sizeof v);
    c.overflow = overflow;
    c.tokens = 12;
    v.type = NIB_VECTOR_I8;
    v.ranges = ranges;
    v.ranges_width = nib_model_dim(m);
    for (int64_t i = 0; i < v.ranges_width; i++) ranges[i] = -0.3f, ranges[v.ranges_width + i] = 0.4f;
    o.chunks = &c;
    o.vectors = &v;
    o.ticket = t;
    nib_status status = r ? nib_submit_embed(m, texts, n, &o, to->vectors, r, e) : nib_embed(m, texts, n, &o, to->vectors, e);
    for (int64_t i = 0; i < v.ranges_width; i++) ranges[i] = -9, ranges[v.ranges_width + i] = 9;
    return status;
}

static nib_status cut_bytes(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return bytes_in(m, n, t, r, to, e, NIB_OVERFLOW_TRUNCATE);
}
static nib_status chunk_bytes(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return bytes_in(m, n, t, r, to, e, NIB_OVERFLOW_CHUNK);
}
static nib_status means(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return chunks_of(m, n, t, r, to, e, NIB_AGGREGATE_MEAN);
}
static nib_status chunks(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return chunks_of(m, n, t, r, to, e, NIB_AGGREGATE_EACH);
}
static nib_status late(nib_model *m, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return chunks_of(m, n, t, r, to, e, NIB_AGGREGATE_LATE);
}

static const struct row {
    const char *name, *folder;
    nib_task task;
    call_fn call;
} rows[] = {
    {"rank", "/tasks/rank-bert", NIB_TASK_CLASSIFY, rank},       {"zero-shot", "/tasks/zero-bert", NIB_TASK_CLASSIFY, zero_shot},
    {"tag", "/tasks/ner-bert", NIB_TASK_TAG, tag},               {"fill", "/tasks/fill-bert", NIB_TASK_FILL, fill},
    {"answer", "/tasks/answer-bert", NIB_TASK_ANSWER, answer},   {"colbert", "/tasks/colbert-bert", NIB_TASK_COLBERT, colbert},
    {"sparse", "/tasks/sparse-bert", NIB_TASK_SPARSE, sparse},   {"chunks, means", "/nib/tiny", NIB_TASK_EMBED, means},
    {"int8", "/nib/tiny", NIB_TASK_EMBED, cut_bytes},            {"chunks, int8", "/nib/tiny", NIB_TASK_EMBED, chunk_bytes},
    {"chunks, each", "/nib/tiny", NIB_TASK_EMBED, chunks},       {"chunks, late", "/nib/tiny", NIB_TASK_EMBED, late},
};
#define ROWS COUNT(rows)

static nib_runtime *runtime;
static nib_model *models[ROWS], *tiny;

static nib_status call_on(nib_model *m, size_t row, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    write_texts();
    const nib_status status = rows[row].call(m, n, t, r, to, e);
    memset(given, 'z', sizeof given);
    return status;
}

static nib_status call(size_t row, size_t n, const nib_ticket *t, nib_request **r, result *to, nib_error *e) {
    return call_on(models[row], row, n, t, r, to, e);
}

/* ---- results as bytes, of which nothing is an address */

typedef struct bytes {
    char *data;
    size_t n;
} bytes;

static void put(bytes *b, const void *from, size_t n) {
    assert_true(b->n + n < MOST);
    if (n) memcpy(b->data + b->n, from, n);
    b->n += n;
}

static void put_tensor(bytes *b, const nib_tensor *t) {
    if (!t) return;
    put(b, t->dims, sizeof t->dims[0] * (size_t)t->rank);
    put(b, t->data, t->bytes);
}

static void put_words(bytes *b, const result *x, size_t i) {
    const nib_entity *found;
    const nib_fill_entry *words;
    const nib_answer_entry *places;
    size_t n = nib_tags_get(x->tags, i, &found);
    for (size_t k = 0; k < n; k++) {
        put(b, found[k].label, strlen(found[k].label));
        put(b, found[k].word, strlen(found[k].word));
        put(b, &found[k].score, sizeof found[k].score);
        put(b, &found[k].begin, sizeof found[k].begin);
    }
    n = nib_fills_get(x->fills, i, 0, &words);
    for (size_t k = 0; k < n; k++) {
        put(b, &words[k].score, sizeof words[k].score);
        put(b, words[k].sequence, words[k].sequence_length);
    }
    n = nib_answers_get(x->answers, i, &places);
    for (size_t k = 0; k < n; k++) put(b, &places[k], sizeof places[k]);
}

static bytes bytes_of(const result *x) {
    bytes b = {malloc(MOST), 0};
    put(&b, x->ranked, sizeof x->ranked);
    put(&b, &x->count, sizeof x->count);
    put(&b, x->offsets, sizeof x->offsets);
    put(&b, x->tokens, sizeof x->tokens);
    put(&b, x->full, sizeof x->full);
    put(&b, x->vectors, sizeof x->vectors);
    for (size_t i = 0; i < TEXTS; i++) put_words(&b, x, i);
    put_tensor(&b, x->rows);
    put_tensor(&b, x->spans);
    if (x->sparse) {
        const size_t n = (size_t)x->sparse->offsets[x->sparse->n];
        put(&b, x->sparse->offsets, (x->sparse->n + 1) * sizeof(int64_t));
        put(&b, x->sparse->indices, n * sizeof(int32_t));
        put(&b, x->sparse->values, n * sizeof(float));
    }
    return b;
}

static bool is_nothing(const result *x) {
    return !x->count && !x->tags && !x->fills && !x->answers && !x->sparse && !x->rows && !x->spans;
}

static void free_result(result *x) {
    nib_tags_free(x->tags);
    nib_fills_free(x->fills);
    nib_answers_free(x->answers);
    nib_sparse_free(x->sparse);
    nib_tensor_free(x->rows);
    nib_tensor_free(x->spans);
    free(x);
}

static result *make_result(void) { return calloc(1, sizeof(result)); }

static bytes plain(size_t row, size_t n) {
    nib_error e;
    result *x = make_result();
    if (call(row, n, NULL, NULL, x, &e) != NIB_OK) fail_msg("%s: %s", rows[row].name, e.message);
    bytes b = bytes_of(x);
    free_result(x);
    return b;
}

static void check_same(size_t row, const bytes *want, const result *x) {
    bytes got = bytes_of(x);
    if (got.n != want->n || memcmp(got.data, want->data, got.n) != 0) fail_msg("%s: not what the plain call gives", rows[row].name);
    free(got.data);
}

/* ---- what all need */

static nib_model *open_on(nib_runtime *rt, const char *folder, nib_task task) {
    char path[400];
    nib_model_options o;
    nib_model *m;
    nib_error e;
    snprintf(path, sizeof path, NIB_TEST_DATA "%s", folder);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.task = task;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    return m;
}

static int begin(void **state) {
    nib_runtime_options r;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    if (nib_runtime_create(&r, &runtime, &e) != NIB_OK) return 1;
    for (size_t i = 0; i < ROWS; i++) models[i] = open_on(runtime, rows[i].folder, rows[i].task);
    tiny = open_on(runtime, "/nib/tiny", NIB_TASK_EMBED);
    for (int i = 0; i < TEXTS; i++) { /* one is empty, some are longer than a model */
        for (int j = 0; j < (i == 4 ? 0 : i % 3 == 2 ? 150 : i + 1); j++)
            sprintf(written[i] + strlen(written[i]), "%c%s ", 'a' + (i * 7 + j * 5) % 26, j % 9 == 8 ? "." : "");
    }
    write_texts();
    return 0;
}

static int end(void **state) {
    for (size_t i = 0; i < ROWS; i++) nib_model_free(models[i]);
    nib_model_free(tiny);
    nib_runtime_free(runtime);
    return 0;
}

static nib_queue *make_queue(int threads, uint64_t max_texts) {
    nib_queue_options o;
    nib_queue *q;
    nib_error e;
    nib_queue_defaults(&o, sizeof o);
    o.threads = threads;
    o.max_texts = max_texts;
    if (nib_queue_create(runtime, &o, &q, &e) != NIB_OK) fail_msg("%s", e.message);
    return q;
}

static nib_ticket ticket_of(nib_queue *q) {
    nib_ticket t;
    nib_ticket_defaults(&t, sizeof t);
    t.queue = q;
    return t;
}

typedef struct gate {
    _Atomic int arrived, open;
} gate;

static void pass_gate(void *user, size_t i, nib_status status, const float *row, int64_t count, int64_t width) {
    gate *g = user;
    atomic_fetch_add(&g->arrived, 1);
    while (!atomic_load(&g->open)) sched_yield();
}

/* The queue's only thread is in this request's answer until the gate is opened. */
static nib_request *hold(nib_queue *q, gate *g) {
    static float out[64];
    nib_request *r;
    nib_error e;
    nib_embed_options o;
    nib_ticket t = ticket_of(q);
    t.answer = pass_gate;
    t.answer_user = g;
    t.client = 999;
    nib_embed_defaults(&o, sizeof o);
    o.ticket = &t;
    write_texts();
    assert_int_equal(nib_submit_embed(tiny, texts, 1, &o, out, &r, &e), NIB_OK);
    while (!atomic_load(&g->arrived)) sched_yield();
    return r;
}

static void let_go(nib_request *r, gate *g) {
    nib_error e;
    atomic_store(&g->open, 1);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_OK);
    nib_request_free(r);
}

/* ---- the tests */

typedef struct told {
    _Atomic int ends;
    nib_status status;
    bool there; /* the result was, when the end was told */
    const result *of;
} told;

static void be_told_the_end(void *user, nib_status status) {
    told *t = user;
    t->status = status;
    t->there = !is_nothing(t->of);
    atomic_fetch_add(&t->ends, 1);
}

static void submitting_gives_the_same_bits(void **state) {
    nib_queue *q = make_queue(2, 0);
    nib_error e;
    result *x[ROWS];
    nib_request *r[ROWS];
    told ends[ROWS];
    bytes want[ROWS];
    for (size_t i = 0; i < ROWS; i++) want[i] = plain(i, TEXTS);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < ROWS; i++) {
            nib_ticket t = ticket_of(q);
            x[i] = make_result();
            ends[i] = (told){.of = x[i]};
            t.client = i % 3;
            t.finish = be_told_the_end;
            t.finish_user = &ends[i];
            if (call(i, TEXTS, &t, &r[i], x[i], &e) != NIB_OK) fail_msg("%s: %s", rows[i].name, e.message);
        }
        for (size_t i = 0; i < ROWS; i++) {
            if (nib_request_wait(r[i], -1, &e) != NIB_OK) fail_msg("%s: %s", rows[i].name, e.message);
            while (!atomic_load(&ends[i].ends)) sched_yield();
            check_same(i, &want[i], x[i]);
            assert_int_equal(ends[i].ends, 1);
            assert_int_equal(ends[i].status, NIB_OK);
            nib_request_free(r[i]);
            nib_request_free(NULL);
            free_result(x[i]);
        }
    }
    for (size_t i = 0; i < ROWS; i++) free(want[i].data);
    nib_queue_free(q);
}

static void none_is_no_error(void **state) {
    nib_queue *q = make_queue(1, 0);
    for (size_t i = 0; i < ROWS; i++) {
        nib_error e;
        nib_request *r;
        result *x = make_result();
        told ends = {.of = x};
        bytes want = plain(i, 0);
        nib_ticket t = ticket_of(q);
        t.finish = be_told_the_end;
        t.finish_user = &ends;
        if (call(i, 0, &t, &r, x, &e) != NIB_OK) fail_msg("%s: %s", rows[i].name, e.message);
        assert_int_equal(nib_request_wait(r, 0, &e), NIB_OK);
        assert_int_equal(ends.ends, 1);
        check_same(i, &want, x);
        nib_request_free(r);
        free_result(x);
        free(want.data);
    }
    nib_queue_free(q);
}

static void what_is_cancelled_gives_nothing(void **state) {
    for (size_t i = 0; i < ROWS; i++) {
        nib_queue *q = make_queue(1, 0);
        nib_error e;
        nib_request *r;
        gate g = {0};
        nib_ticket t = ticket_of(q);
        result *x = make_result();
        nib_request *held = hold(q, &g);
        assert_int_equal(call(i, TEXTS, &t, &r, x, &e), NIB_OK);
        assert_int_equal(nib_request_wait(r, 0, &e), NIB_TIMEOUT);
        nib_request_cancel(r);
        assert_int_equal(nib_request_wait(r, -1, &e), NIB_CANCELLED);
        let_go(held, &g);
        if (!is_nothing(x)) fail_msg("%s: there is something", rows[i].name);
        nib_request_free(r);
        assert_int_equal(call(i, TEXTS, &t, &r, x, &e), NIB_OK);
        nib_request_free(r); /* wherever it is */
        nib_queue_free(q);
        free_result(x);
    }
}

static void what_is_late_fails(void **state) {
    for (size_t i = 0; i < ROWS; i++) {
        nib_queue *q = make_queue(1, 0);
        nib_error e;
        nib_request *r;
        gate g = {0};
        nib_ticket t = ticket_of(q);
        result *x = make_result();
        told ends = {.of = x};
        nib_request *held = hold(q, &g);
        t.deadline = 0.001;
        t.finish = be_told_the_end;
        t.finish_user = &ends;
        assert_int_equal(call(i, TEXTS, &t, &r, x, &e), NIB_OK);
        assert_int_equal(nib_request_wait(r, -1, &e), NIB_TIMEOUT);
        let_go(held, &g);
        assert_true(is_nothing(x));
        assert_int_equal(ends.ends, 1);
        assert_int_equal(ends.status, NIB_TIMEOUT);
        nib_request_free(r);
        nib_queue_free(q);
        free_result(x);
    }
}

static void a_full_queue_refuses(void **state) {
    for (size_t i = 0; i < ROWS; i++) {
        nib_queue *q = make_queue(1, 2);
        nib_queue_statistics c;
        nib_error e;
        nib_request *r, *waits;
        float out[2 * 64];
        gate g = {0};
        nib_embed_options o;
        nib_ticket t = ticket_of(q);
        result *x = make_result();
        nib_request *held = hold(q, &g);
        nib_embed_defaults(&o, sizeof o);
        o.ticket = &t;
        assert_int_equal(nib_submit_embed(tiny, (const char *const[]){"a", "b"}, 2, &o, out, &waits, &e), NIB_OK);
        assert_int_equal(call(i, TEXTS, &t, &r, x, &e), NIB_QUEUE_FULL);
        assert_null(r);
        assert_true(is_nothing(x));
        nib_queue_statistics_get(q, &c, sizeof c);
        assert_true(c.refused >= TEXTS);
        let_go(held, &g);
        assert_int_equal(nib_request_wait(waits, -1, &e), NIB_OK);
        nib_request_free(waits);
        nib_queue_free(q);
        free_result(x);
    }
}

static int stop_at_once(void *user, uint64_t done, uint64_t total) { return 1; }

static void wrong_calls_are_refused(void **state) {
    nib_queue *q = make_queue(1, 0);
    nib_error e;
    nib_rank_options o;
    result *x = make_result();
    nib_request *r;
    nib_ticket t = ticket_of(NULL), with = ticket_of(q);
    for (size_t i = 0; i < ROWS; i++) {
        r = (nib_request *)&t;
        assert_int_equal(call(i, TEXTS, &t, &r, x, &e), NIB_INVALID_ARGUMENT);
        assert_null(r);
        assert_int_equal(call(i, TEXTS, NULL, &r, x, &e), NIB_INVALID_ARGUMENT);
        nib_queue_close(q);
        assert_int_equal(call(i, TEXTS, &with, &r, x, &e), NIB_CANCELLED);
        nib_queue_free(q);
        q = make_queue(1, 0);
        with = ticket_of(q);
    }
    nib_rank_defaults(&o, sizeof o);
    o.ticket = &with;
    o.stop = stop_at_once;
    assert_int_equal(nib_submit_rank(models[0], "q", texts, 1, &o, x->ranked, &x->count, &r, &e), NIB_INVALID_ARGUMENT);
    assert_string_equal(e.message, "a submitted call has no stop: it is cancelled");
    assert_int_equal(nib_submit_rank(models[0], "q", texts, 1, NULL, x->ranked, &x->count, NULL, &e), NIB_INVALID_ARGUMENT);
    assert_string_equal(e.message, "nowhere to put the request");
    const char *const none[] = {"a text without a mask"};
    nib_fill_options f; /* one text's fault is the call's */
    nib_fill_defaults(&f, sizeof f);
    f.ticket = &with;
    assert_int_equal(nib_submit_fill(models[3], none, 1, &f, &x->fills, &r, &e), NIB_OK);
    assert_int_equal(nib_request_wait(r, -1, &e), NIB_INVALID_ARGUMENT);
    assert_null(x->fills);
    nib_request_free(r);
    nib_queue_free(q);
    free_result(x);
}

/* A request whose last text is answered, and whose result is not made yet, is cancelled by somebody in the same group. */
typedef struct last_moment {
    nib_request *victim;
    _Atomic int told, cancelled;
} last_moment;

static void note_answer(void *user, size_t i, nib_status status, const float *row, int64_t count, int64_t width) {
    last_moment *l = user;
    if (status == NIB_OK) atomic_store(&l->told, 1);
}

static void cancel_victim(void *user, size_t i, nib_status status, const float *row, int64_t count, int64_t width) {
    last_moment *l = user;
    if (!atomic_load(&l->told) || atomic_exchange(&l->cancelled, 1)) return;
    nib_request_cancel(l->victim);
}

static void an_answered_job_may_be_cancelled(void **state) {
    static const char *const few[] = {"a", "b", "c", "d", "e", "f"};
    nib_queue *q = make_queue(1, 0);
    float out[6 * 4];
    nib_ranked ranked[1] = {{77, 77}};
    size_t count = 0;
    gate g = {0};
    last_moment l = {0};
    nib_error e;
    nib_request *others;
    nib_request *held = hold(q, &g);
    nib_ticket t = ticket_of(q), u = ticket_of(q);
    t.answer = note_answer;
    u.answer = cancel_victim;
    t.answer_user = u.answer_user = &l;
    nib_rank_options o;
    nib_classify_options c;
    nib_rank_defaults(&o, sizeof o);
    nib_classify_defaults(&c, sizeof c);
    o.ticket = &t;
    c.ticket = &u;
    assert_int_equal(nib_submit_rank(models[0], "a", few, 1, &o, ranked, &count, &l.victim, &e), NIB_OK);
    assert_int_equal(nib_submit_classify(models[0], few, NULL, 6, &c, out, &others, &e), NIB_OK);
    let_go(held, &g);
    assert_int_equal(nib_request_wait(others, -1, &e), NIB_OK);
    assert_true(l.told && l.cancelled);
    assert_int_equal(nib_request_wait(l.victim, -1, &e), NIB_CANCELLED);
    nib_request_free(l.victim);
    nib_request_free(others);
    nib_queue_free(q);
    assert_int_equal(count, 0);
    assert_int_equal(ranked[0].index, 77);
}

/* ---- a crowd */

typedef struct visitor {
    nib_queue *q;
    const bytes *want; /* [ROWS] */
    unsigned seed;
    int wrong, done, cancelled;
} visitor;

static void *come_and_go(void *user) {
    visitor *v = user;
    for (int turn = 0; turn < 20; turn++) {
        v->seed = v->seed * 1103515245u + 12345u;
        const size_t i = v->seed >> 16 & 0xff;
        const size_t row = i % ROWS;
        nib_error e;
        nib_request *r;
        nib_ticket t = ticket_of(v->q);
        result *x = make_result();
        t.client = v->seed >> 24 & 3;
        v->wrong += call(row, TEXTS, &t, &r, x, &e) != NIB_OK;
        if (v->seed >> 28 & 1) nib_request_cancel(r);
        const nib_status status = nib_request_wait(r, -1, &e);
        if (status == NIB_OK) {
            bytes got = bytes_of(x);
            v->wrong += got.n != v->want[row].n || memcmp(got.data, v->want[row].data, got.n) != 0;
            v->done++;
            free(got.data);
        } else {
            v->wrong += status != NIB_CANCELLED || !is_nothing(x);
            v->cancelled++;
        }
        nib_request_free(r);
        free_result(x);
    }
    return NULL;
}

static void a_crowd_comes_and_goes(void **state) {
    enum { CROWD = 6 };
    nib_queue *q = make_queue(2, 0);
    bytes want[ROWS];
    pthread_t threads[CROWD];
    visitor v[CROWD];
    int done = 0, cancelled = 0;
    for (size_t i = 0; i < ROWS; i++) want[i] = plain(i, TEXTS);
    for (unsigned i = 0; i < CROWD; i++) {
        v[i] = (visitor){.q = q, .want = want, .seed = i * 77 + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &v[i]), 0);
    }
    for (int i = 0; i < CROWD; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(v[i].wrong, 0);
        done += v[i].done;
        cancelled += v[i].cancelled;
    }
    assert_true(done > 0 && cancelled > 0);
    for (size_t i = 0; i < ROWS; i++) free(want[i].data);
    nib_queue_free(q);
}

/* ---- memory */

static _Atomic long allowed = -1, live;

static void *some_allocate(void *user, size_t size) {
    if (atomic_load(&allowed) >= 0 && atomic_fetch_sub(&allowed, 1) <= 0) {
        atomic_store(&allowed, 0);
        return NULL;
    }
    void *p = aligned_alloc(64, (size + 63) / 64 * 64);
    if (p) atomic_fetch_add(&live, 1);
    return p;
}
static void some_release(void *user, void *p, size_t size) {
    atomic_fetch_sub(&live, p != NULL);
    free(p);
}

/* Requests for memory fail from one on, for many such: a status, nothing lost, no half of a result. */
static void no_memory_is_a_status(void **state) {
    for (size_t i = 0; i < ROWS; i++) {
        nib_runtime_options o;
        nib_runtime *own;
        nib_error e;
        nib_runtime_defaults(&o, sizeof o);
        o.threads = 2;
        o.allocate = some_allocate;
        o.release = some_release;
        assert_int_equal(nib_runtime_create(&o, &own, &e), NIB_OK);
        nib_model *m = open_on(own, rows[i].folder, rows[i].task);
        result *first = make_result(); /* makes the program */
        assert_int_equal(call_on(m, i, 1, NULL, NULL, first, &e), NIB_OK);
        free_result(first);
        bool done = false;
        int failed = 0;
        for (long n = 0, step = 1; !done; n += step, step += n / 30) {
            nib_queue_options qo;
            nib_queue *q;
            nib_request *r = NULL;
            result *x = make_result();
            nib_queue_defaults(&qo, sizeof qo);
            qo.threads = 1;
            assert_int_equal(nib_queue_create(own, &qo, &q, &e), NIB_OK);
            const nib_ticket t = ticket_of(q);
            atomic_store(&allowed, n);
            nib_status status = call_on(m, i, 3, &t, &r, x, &e);
            if (status == NIB_OK) status = nib_request_wait(r, -1, &e);
            done = status == NIB_OK && atomic_load(&allowed) > 0;
            atomic_store(&allowed, -1);
            failed += status != NIB_OK;
            if (status != NIB_OK && (status != NIB_OUT_OF_MEMORY || !is_nothing(x)))
                fail_msg("%s, %ld: %s", rows[i].name, n, e.message);
            nib_request_free(r);
            nib_queue_free(q);
            free_result(x);
            assert_true(n < 100000);
        }
        assert_true(failed > 8);
        nib_model_free(m);
        nib_runtime_free(own);
        assert_int_equal(live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submitting_gives_the_same_bits),
        cmocka_unit_test(none_is_no_error),
        cmocka_unit_test(what_is_cancelled_gives_nothing),
        cmocka_unit_test(what_is_late_fails),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(wrong_calls_are_refused),
        cmocka_unit_test(an_answered_job_may_be_cancelled),
        cmocka_unit_test(a_crowd_comes_and_goes),
        cmocka_unit_test(no_memory_is_a_status),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
