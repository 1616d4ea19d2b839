/* SPDX-License-Identifier: Apache-2.0
 *
 * A hundred thousand short texts in one call. Each has the bits that it has among a few, and the memory that the library asks for
 * beside the caller's own is what it is for a tenth of them; of a ranking it is a few words a document more. And a stream that does
 * not end, and one that nobody reads: their memory has an end.
 */
#include "task_golden.h"
#include <stdatomic.h>
#include <stdlib.h>

#define MANY 100000
#define FEW 64   /* different ones */
#define WIDTH 32 /* at most, of a row */

static char written[FEW][40];
static const char *texts[MANY];
static float few[FEW][WIDTH];
static _Atomic size_t live, most;

static void *count_allocate(void *user, size_t bytes) {
    const size_t room = (bytes + 127) / 64 * 64;
    char *p = aligned_alloc(64, room + 64);
    if (!p) return NULL;
    memcpy(p, &room, sizeof room);
    const size_t now = atomic_fetch_add(&live, room) + room;
    for (size_t seen = atomic_load(&most); now > seen && !atomic_compare_exchange_weak(&most, &seen, now);) {
    }
    return p + 64;
}

static void count_release(void *user, void *memory, size_t bytes) {
    size_t room;
    if (!memory) return;
    char *p = (char *)memory - 64;
    memcpy(&room, p, sizeof room);
    atomic_fetch_sub(&live, room);
    free(p);
}

static nib_model *open_counted(const char *path, nib_task task) {
    nib_runtime_options r;
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    r.allocate = count_allocate;
    r.release = count_release;
    nib_model_defaults(&o, sizeof o);
    o.task = task;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o.runtime);
    return m;
}

/* Lengths differ from place to place, not in step with the windows of a call. */
static int begin(void **state) {
    for (int i = 0; i < FEW; i++)
        for (int k = 0; k <= i % 7; k++) sprintf(written[i] + strlen(written[i]), "%c ", 'a' + (i * 5 + k) % 26);
    for (size_t i = 0; i < MANY; i++) texts[i] = written[i * 31 % FEW];
    return 0;
}

static void check_rows(const float *rows, size_t width) {
    for (size_t i = 0; i < MANY; i++)
        if (memcmp(rows + i * width, few[i * 31 % FEW], width * sizeof *rows) != 0) fail_msg("text %zu has other bits", i);
}

/* What grows with the texts is ten times as much; which thread's buffers have grown already is chance. */
static void check_peaks(size_t tenth, size_t all, size_t more) {
    if (all > 2 * tenth + more) fail_msg("%zu bytes for a tenth of the texts, %zu for all", tenth, all);
}

static void embedded(void **state) {
    nib_error e;
    nib_model *m = open_counted(NIB_TEST_DATA "/nib/tiny", NIB_TASK_EMBED);
    const size_t width = (size_t)nib_model_dim(m);
    const char *own[FEW];
    float *rows = calloc(MANY, width * sizeof *rows);
    assert_true(width <= WIDTH);
    for (size_t i = 0; i < FEW; i++) own[i] = written[i];
    for (size_t i = 0; i < FEW; i++) assert_int_equal(nib_embed(m, &own[i], 1, NULL, few[i], &e), NIB_OK);
    const size_t before = atomic_load(&live);
    atomic_store(&most, before);
    assert_int_equal(nib_embed(m, texts, MANY / 10, NULL, rows, &e), NIB_OK);
    const size_t tenth = atomic_load(&most) - before;
    assert_int_equal(nib_embed(m, texts, MANY, NULL, rows, &e), NIB_OK);
    check_peaks(tenth, atomic_load(&most) - before, 0);
    check_rows(rows, width);
    free(rows);
    nib_model_free(m);
    assert_int_equal(live, 0);
}

static void classified(void **state) {
    nib_error e;
    nib_model *m = open_counted(NIB_TEST_DATA "/classify/labels", NIB_TASK_CLASSIFY);
    const size_t width = (size_t)nib_model_label_count(m);
    float *rows = calloc(MANY, width * sizeof *rows);
    assert_true(width <= WIDTH);
    for (size_t i = 0; i < FEW; i++) {
        const char *one = written[i];
        assert_int_equal(nib_classify(m, &one, NULL, 1, NULL, few[i], &e), NIB_OK);
    }
    const size_t before = atomic_load(&live);
    atomic_store(&most, before);
    assert_int_equal(nib_classify(m, texts, NULL, MANY / 10, NULL, rows, &e), NIB_OK);
    const size_t tenth = atomic_load(&most) - before;
    assert_int_equal(nib_classify(m, texts, NULL, MANY, NULL, rows, &e), NIB_OK);
    check_peaks(tenth, atomic_load(&most) - before, 0);
    check_rows(rows, width);
    free(rows);
    nib_model_free(m);
    assert_int_equal(live, 0);
}

static void ranked(void **state) {
    nib_error e;
    nib_model *m = open_counted(NIB_TEST_DATA "/tasks/rank-bert", NIB_TASK_CLASSIFY);
    nib_ranked *out = calloc(MANY, sizeof *out);
    char *seen = calloc(MANY, 1);
    size_t count;
    for (size_t i = 0; i < FEW; i++) {
        const char *one = written[i];
        assert_int_equal(nib_rank(m, "a b", &one, 1, NULL, out, &count, &e), NIB_OK);
        few[i][0] = out->score;
    }
    const size_t before = atomic_load(&live);
    atomic_store(&most, before);
    assert_int_equal(nib_rank(m, "a b", texts, MANY / 10, NULL, out, &count, &e), NIB_OK);
    const size_t tenth = atomic_load(&most) - before;
    assert_int_equal(nib_rank(m, "a b", texts, MANY, NULL, out, &count, &e), NIB_OK);
    check_peaks(tenth, atomic_load(&most) - before, (size_t)MANY * 32);
    assert_int_equal(count, MANY);
    for (size_t i = 0; i < MANY; i++) {
        const size_t at = out[i].index;
        assert_true(at < MANY && !seen[at]);
        seen[at] = 1;
        if (memcmp(&out[i].score, few[at * 31 % FEW], sizeof out[i].score) != 0) fail_msg("document %zu has another score", at);
        if (i) assert_true(out[i].score < out[i - 1].score || (out[i].score <= out[i - 1].score && at > out[i - 1].index));
    }
    free(seen);
    free(out);
    nib_model_free(m);
    assert_int_equal(live, 0);
}

/* ---- streams */

static nib_stream *open_stream(nib_model *m, nib_stream_options *o) {
    static nib_embed_options embed;
    static nib_chunk_options chunks;
    nib_stream *s;
    nib_error e;
    nib_embed_defaults(&embed, sizeof embed);
    nib_chunk_options_defaults(&chunks, sizeof chunks);
    chunks.overflow = NIB_OVERFLOW_CHUNK;
    chunks.aggregate = NIB_AGGREGATE_EACH;
    embed.chunks = &chunks;
    o->embed = &embed;
    if (nib_stream_open(m, o, &s, &e) != NIB_OK) fail_msg("%s", e.message);
    return s;
}

static void count_vector(void *user, const nib_stream_chunk *chunk, const void *row) {
    assert_int_equal(chunk->index, *(uint64_t *)user);
    ++*(uint64_t *)user;
}

static void a_stream_that_never_ends(void **state) {
    enum { PIECES = 4000 };
    nib_error e;
    nib_stream_options o;
    nib_stream_statistics c;
    uint64_t vectors = 0;
    size_t taken, early = 0;
    nib_model *m = open_counted(NIB_TEST_DATA "/nib/tiny", NIB_TASK_EMBED);
    nib_stream_defaults(&o, sizeof o);
    o.vector = count_vector;
    o.user = &vectors;
    nib_stream *s = open_stream(m, &o);
    atomic_store(&most, 0);
    for (int i = 0; i < PIECES; i++) {
        char piece[200];
        int length = 0;
        while (length < 150) length += snprintf(piece + length, sizeof piece - (size_t)length, "pen %c%d ", 'a' + i % 26, length);
        assert_int_equal(nib_stream_feed(s, piece, (size_t)length, &taken, &e), NIB_OK);
        assert_int_equal(taken, length);
        if (i == PIECES / 20) early = atomic_load(&most);
    }
    if (atomic_load(&most) > early + early / 20) fail_msg("%zu bytes at first, %zu in the end", early, atomic_load(&most));
    nib_stream_statistics_get(s, &c, sizeof c);
    assert_true(vectors == c.chunks && vectors > PIECES / 4 && c.most_bytes < 1000);
    nib_stream_free(s);
    nib_model_free(m);
    assert_int_equal(live, 0);
}

static void a_stream_that_nobody_reads(void **state) {
    nib_error e;
    nib_stream_options o;
    nib_stream_statistics c;
    size_t taken, full = 0;
    nib_model *m = open_counted(NIB_TEST_DATA "/nib/tiny", NIB_TASK_EMBED);
    nib_stream_defaults(&o, sizeof o);
    o.max_vectors = 8;
    nib_stream *s = open_stream(m, &o);
    while (nib_stream_feed(s, "a pen of ink ", 13, &taken, &e) == NIB_OK) assert_true(++full < 10000);
    const size_t then = atomic_load(&live);
    atomic_store(&most, then);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(nib_stream_feed(s, "a pen of ink ", 13, &taken, &e), NIB_QUEUE_FULL);
        assert_int_equal(taken, 0);
    }
    assert_int_equal(most, then);
    nib_stream_statistics_get(s, &c, sizeof c);
    assert_true(c.waiting_vectors == 8 && c.most_vectors == 8 && c.refused == 10001);
    nib_stream_free(s);
    nib_model_free(m);
    assert_int_equal(live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedded),
        cmocka_unit_test(classified),
        cmocka_unit_test(ranked),
        cmocka_unit_test(a_stream_that_never_ends),
        cmocka_unit_test(a_stream_that_nobody_reads),
    };
    return cmocka_run_group_tests(tests, begin, NULL);
}
