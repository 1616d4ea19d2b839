/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: whatever the pieces, the chunks and bits of nib_embed_chunks on the whole text; what waits is bounded, and
 * nothing is lost where nobody reads. In: the tiny model.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include "model/model.h"
#include <stdlib.h>
#include <string.h>

#define TINY NIB_TEST_DATA "/nib/tiny"
#define WIDTH 32
#define MOST 400

static nib_model *model;
static nib_chunk_options chunks;
static nib_embed_options embed;
static const char *const texts[] = {
    "", "ink", "   ", "a nib is the tip of a pen.  The pen\n\nis of ink, a n\xc3\xad" "b of a pen! \xe3\x81\x82\xe3\x80\x82 is a pen "
    "the ink\tof a nib? a pen is a pen of ink. the tip is a nib \xe2\x82 broken \xff bytes of ink ",
    "a b c a nib pen tip. ink ink ink ink ink ink ink ink ink ink ink ink ink ink ink. a pen, of a nib; the tip"};
enum { TEXTS = sizeof texts / sizeof *texts };

static int open_model(void **state) {
    if (nib_model_open(TINY, NULL, &model, NULL) != NIB_OK) return -1;
    nib_chunk_options_defaults(&chunks, sizeof chunks);
    nib_embed_defaults(&embed, sizeof embed);
    chunks.overflow = NIB_OVERFLOW_CHUNK;
    chunks.aggregate = NIB_AGGREGATE_EACH;
    chunks.tokens = 8;
    chunks.overlap = 2;
    embed.chunks = &chunks;
    return 0;
}

static int close_model(void **state) {
    nib_model_free(model);
    return 0;
}

typedef struct told {
    size_t n;
    nib_stream_chunk chunks[MOST];
    float rows[MOST][WIDTH];
} told;

static void note(void *user, const nib_stream_chunk *chunk, const void *row) {
    told *t = user;
    assert_true(t->n < MOST);
    t->chunks[t->n] = *chunk;
    memcpy(t->rows[t->n++], row, sizeof *t->rows);
}

static void is_whole(const char *text, const told *t) {
    nib_error e;
    int64_t at[2];
    nib_tensor *rows, *spans;
    if (nib_embed_chunks(model, &text, 1, &embed, at, &spans, &rows, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(t->n, at[1]);
    for (size_t k = 0; k < t->n; k++) {
        const int64_t *span = (const int64_t *)spans->data + 3 * k;
        assert_int_equal(t->chunks[k].index, k);
        assert_int_equal(t->chunks[k].begin, span[0]);
        assert_int_equal(t->chunks[k].end, span[1]);
        assert_int_equal(t->chunks[k].tokens, span[2]);
    }
    assert_memory_equal(t->rows, rows->data, rows->bytes);
    nib_tensor_free(rows);
    nib_tensor_free(spans);
}

/* Pieces of `piece` bytes, or of any length up to 9. */
static void feed_in(const char *text, size_t piece) {
    nib_error e;
    nib_stream_options o;
    nib_stream *s;
    told *t = calloc(1, sizeof *t);
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.vector = note;
    o.user = t;
    if (nib_stream_open(model, &o, &s, &e) != NIB_OK) fail_msg("%s", e.message);
    uint32_t random = 7;
    for (size_t at = 0, n, taken, length = strlen(text); at < length; at += n) {
        random = random * 1664525 + 1013904223;
        n = piece ? piece : 1 + (random >> 24) % 9;
        if (n > length - at) n = length - at;
        if (nib_stream_feed(s, text + at, n, &taken, &e) != NIB_OK) fail_msg("%s", e.message);
        assert_int_equal(taken, n);
    }
    if (nib_stream_end(s, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_stream_free(s);
    is_whole(text, t);
    free(t);
}

static void pieces_make_no_difference(void **state) {
    for (int sentences = 0; sentences < 4; sentences++)
        for (int prompt = 0; prompt < 2; prompt++) {
            chunks.sentences = sentences & 1;
            chunks.overlap_sentences = sentences & 2 ? 1 : 0;
            chunks.overlap = sentences & 2 ? 0 : 2;
            embed.prompt = prompt ? "ink: " : NULL;
            chunks.tokens = prompt ? 12 : 8;
            for (int i = 0; i < TEXTS; i++) feed_in(texts[i], 1), feed_in(texts[i], 0), feed_in(texts[i], 1000);
        }
    chunks.sentences = 0;
    chunks.overlap_sentences = 0;
    chunks.overlap = 2;
    chunks.tokens = 8;
    embed.prompt = NULL;
}

/* A vector comes before the text is whole, and what waits stays small in a text that goes on. */
static void chunks_come_early_and_memory_is_bounded(void **state) {
    nib_error e;
    nib_stream_options o;
    nib_stream *s;
    nib_stream_statistics c;
    size_t taken;
    told *t = calloc(1, sizeof *t);
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.vector = note;
    o.user = t;
    assert_int_equal(nib_stream_open(model, &o, &s, &e), NIB_OK);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(nib_stream_feed(s, "pen ", 4, &taken, &e), NIB_OK);
        if (i == 9) assert_int_equal(t->n, 1); /* seven tokens and the two words that prove them */
    }
    nib_stream_statistics_get(s, &c, sizeof c);
    assert_int_equal(c.bytes, 4000);
    assert_true(c.chunks == t->n && t->n > 200 && c.first_seconds > 0);
    assert_true(c.most_bytes < 32 && c.waiting_tokens <= 8);
    nib_stream_free(s); /* without its end */
    free(t);
}

static void nobody_reads_and_nothing_is_lost(void **state) {
    nib_error e;
    nib_stream_options o;
    nib_stream *s;
    nib_stream_statistics c;
    told *t = calloc(1, sizeof *t);
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.max_vectors = 2;
    assert_int_equal(nib_stream_open(model, &o, &s, &e), NIB_OK);
    nib_stream_chunk chunk;
    float row[WIDTH];
    nib_status status;
    const char *text = texts[3];
    for (size_t at = 0, taken, length = strlen(text); at < length; at += taken) {
        status = nib_stream_feed(s, text + at, length - at < 3 ? length - at : 3, &taken, &e);
        if (status == NIB_OK) continue;
        assert_int_equal(status, NIB_QUEUE_FULL);
        assert_int_equal(nib_stream_next(s, 0, &chunk, row, &e), NIB_OK);
        note(t, &chunk, row);
    }
    assert_int_equal(nib_stream_end(s, &e), NIB_OK);
    nib_stream_statistics_get(s, &c, sizeof c);
    assert_true(c.refused > 0 && c.most_vectors == 2);
    while ((status = nib_stream_next(s, 0, &chunk, row, &e)) == NIB_OK) note(t, &chunk, row);
    assert_int_equal(status, NIB_NOT_FOUND);
    is_whole(text, t);
    assert_int_equal(nib_stream_feed(s, "a", 1, &(size_t){0}, &e), NIB_CANCELLED);
    nib_stream_free(s);
    free(t);
}

static void *read_all(void *stream) {
    told *t = calloc(1, sizeof *t);
    nib_stream_chunk chunk;
    float row[WIDTH];
    while (nib_stream_next(stream, -1, &chunk, row, NULL) == NIB_OK) note(t, &chunk, row);
    return t;
}

static void feeding_waits_for_a_reader(void **state) {
    nib_error e;
    nib_stream_options o;
    nib_stream *s;
    pthread_t reader;
    void *t;
    size_t taken;
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.max_vectors = 1;
    o.full = NIB_QUEUE_FULL_BLOCK;
    assert_int_equal(nib_stream_open(model, &o, &s, &e), NIB_OK);
    assert_int_equal(pthread_create(&reader, NULL, read_all, s), 0);
    assert_int_equal(nib_stream_feed(s, texts[3], strlen(texts[3]), &taken, &e), NIB_OK);
    assert_int_equal(nib_stream_end(s, &e), NIB_OK);
    pthread_join(reader, &t);
    is_whole(texts[3], t);
    free(t);
    nib_stream_free(s);
}

static void a_text_without_a_place_to_cut_is_a_limit(void **state) {
    nib_error e;
    nib_stream_options o;
    nib_stream *s;
    char text[200];
    size_t taken;
    memset(text, 'a', sizeof text);
    nib_stream_defaults(&o, sizeof o);
    o.embed = &embed;
    o.max_bytes = 100;
    assert_int_equal(nib_stream_open(model, &o, &s, &e), NIB_OK);
    assert_int_equal(nib_stream_feed(s, text, sizeof text, &taken, &e), NIB_LIMIT);
    assert_int_equal(taken, 100);
    nib_stream_free(s);
    chunks.aggregate = NIB_AGGREGATE_LATE;
    assert_int_equal(nib_stream_open(model, &o, &s, &e), NIB_INVALID_ARGUMENT);
    chunks.aggregate = NIB_AGGREGATE_EACH;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(chunks_come_early_and_memory_is_bounded),
        cmocka_unit_test(nobody_reads_and_nothing_is_lost),
        cmocka_unit_test(feeding_waits_for_a_reader),
        cmocka_unit_test(a_text_without_a_place_to_cut_is_a_limit),
    };
    return cmocka_run_group_tests_name("task_stream", tests, open_model, close_model);
}
