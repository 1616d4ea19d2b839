/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors in fewer numbers and bits: sentence-transformers' bytes, one step's bytes those of its parts, the same by
 * every door of a model, and refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>
#include "test_vectors.h"

#define TINY NIB_TEST_DATA "/nib/tiny"
#define DIM 32
#define MOST_BYTES (WIDTH * 4)

static nib_error e;
static const nib_vector_type types[] = {NIB_VECTOR_F32, NIB_VECTOR_F16,    NIB_VECTOR_I8,
                                        NIB_VECTOR_U8,  NIB_VECTOR_BINARY, NIB_VECTOR_UBINARY};
enum { TYPES = sizeof types / sizeof *types };

static nib_vector_options options_of(nib_vector_type type, const float *ranges, int64_t width) {
    nib_vector_options o;
    nib_vector_options_defaults(&o, sizeof o);
    o.type = type;
    o.ranges = ranges;
    o.ranges_width = width;
    return o;
}

static void convert(const float *rows, size_t n, int64_t width, const nib_vector_options *o, void *out) {
    if (nib_vectors_convert(rows, n, width, o, out, &e) != NIB_OK) fail_msg("%s", e.message);
}

/* quantize_embeddings, byte for byte. */
static void bytes_are_those_of_sentence_transformers(void **state) {
    static const char *const names[TYPES] = {"rows", "float16", "int8", "uint8", "binary", "ubinary"};
    const float *rows = golden("rows"), *ranges = golden("ranges");
    char *got = malloc(N * MOST_BYTES);
    float own[2 * WIDTH];
    for (int i = 0; i < TYPES; i++) {
        const nib_vector_options o = options_of(types[i], ranges, WIDTH);
        convert(rows, N, WIDTH, &o, got);
        assert_memory_equal(got, golden(names[i]), N * nib_vector_bytes(types[i], WIDTH));
    }
    assert_int_equal(nib_vectors_ranges(golden("calibration"), 60, WIDTH, NULL, own, &e), NIB_OK);
    assert_memory_equal(own, ranges, sizeof own);
    assert_int_equal(nib_vectors_ranges(rows, N, WIDTH, NULL, own, &e), NIB_OK);
    const nib_vector_options o = options_of(NIB_VECTOR_I8, own, WIDTH);
    convert(rows, N, WIDTH, &o, got);
    assert_memory_equal(got, golden("own"), N * WIDTH);
    free(got);
}

static void a_cut_has_length_one_again(void **state) {
    const float *rows = golden("rows"), *want = golden("unit_cut");
    float got[N * CUT], as_it_was[N * CUT];
    nib_vector_options o = options_of(NIB_VECTOR_F32, NULL, 0);
    o.dimensions = CUT;
    convert(rows, N, WIDTH, &o, got);
    for (int i = 0; i < N * CUT; i++) assert_float_equal(got[i], want[i], 1e-6);
    for (int i = 0; i < CUT; i++) assert_true(got[3 * CUT + i] == 0.0f); /* a vector of zeros */
    o.normalize = 0;
    convert(rows, N, WIDTH, &o, as_it_was);
    for (int r = 0; r < N; r++) assert_memory_equal(as_it_was + r * CUT, rows + r * WIDTH, CUT * sizeof *rows);
}

/* Cut, length and type at once give what one after the other does; and a row alone what it gives among others. */
static void one_step_is_its_parts(void **state) {
    const float *from = golden("rows");
    float rows[N * WIDTH], unit[N * CUT], ranges[2 * CUT];
    char *got = malloc(N * MOST_BYTES), *want = malloc(N * MOST_BYTES), *alone = malloc(MOST_BYTES);
    memcpy(rows, from, sizeof rows);
    rows[0] = NAN;
    rows[WIDTH + 1] = INFINITY;
    for (int i = 0; i < CUT; i++) rows[4 * WIDTH + i] = i % 3 ? 1e-45f : 3e38f; /* quotients that are rounded to 0 */
    for (int i = 0; i < CUT; i++) rows[5 * WIDTH + i] = i % 2 ? 4.2e-45f : 3.0f;
    nib_vector_options o = options_of(NIB_VECTOR_F32, NULL, 0);
    o.dimensions = CUT;
    convert(rows, N, WIDTH, &o, unit);
    assert_int_equal(nib_vectors_ranges(rows, N, WIDTH, &o, ranges, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "vector 0"));
    assert_int_equal(nib_vectors_ranges(rows + 6 * WIDTH, N - 6, WIDTH, &o, ranges, &e), NIB_OK);
    for (int i = 0; i < TYPES; i++) {
        const size_t bytes = nib_vector_bytes(types[i], CUT);
        o = options_of(types[i], ranges, CUT);
        o.normalize = 0;
        convert(unit, N, CUT, &o, want);
        o.normalize = -1;
        o.dimensions = CUT;
        convert(rows, N, WIDTH, &o, got);
        assert_memory_equal(got, want, N * bytes);
        for (int r = 0; r < N; r++) {
            convert(rows + r * WIDTH, 1, WIDTH, &o, alone);
            assert_memory_equal(alone, got + (size_t)r * bytes, bytes);
        }
        if (types[i] == NIB_VECTOR_U8) assert_int_equal(got[0], 0); /* NaN */
    }
    free(got);
    free(want);
    free(alone);
}

static nib_model *open_tiny(int normalize, nib_task task, nib_runtime *runtime) {
    nib_model_options o;
    nib_model *m;
    nib_model_defaults(&o, sizeof o);
    o.normalize = normalize;
    o.task = task;
    o.runtime = runtime;
    if (nib_model_open(TINY, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    return m;
}

#define TEXTS 4
static const char *const texts[TEXTS] = {"a nib is a tip of a pen", "ink", "", "pen pen pen"};

/* By nib_embed, by ids, submitted, in a queue, and by tokens: what converting its f32 vectors gives. */
static void every_door_converts(void **state) {
    nib_runtime *runtime;
    nib_queue *queue;
    nib_request *request;
    nib_ticket ticket;
    nib_embed_options embed;
    float f32[TEXTS * DIM], ranges[2 * 20];
    char got[TEXTS * DIM * 4], want[TEXTS * DIM * 4];
    assert_int_equal(nib_runtime_create(NULL, &runtime, &e), NIB_OK);
    nib_model *m = open_tiny(1, NIB_TASK_AUTO, runtime);
    assert_int_equal(nib_queue_create(runtime, NULL, &queue, &e), NIB_OK);
    assert_int_equal(nib_embed(m, texts, TEXTS, NULL, f32, &e), NIB_OK);
    nib_vector_options o = options_of(NIB_VECTOR_F32, NULL, 0);
    o.dimensions = 20;
    assert_int_equal(nib_vectors_ranges(f32, TEXTS, DIM, &o, ranges, &e), NIB_OK);
    for (int i = 0; i < TYPES; i++) {
        const size_t bytes = TEXTS * nib_vector_bytes(types[i], 20);
        nib_embed_defaults(&embed, sizeof embed);
        nib_ticket_defaults(&ticket, sizeof ticket);
        o = options_of(types[i], ranges, 20);
        o.dimensions = 20;
        convert(f32, TEXTS, DIM, &o, want);
        embed.vectors = &o;
        memset(got, 0x55, sizeof got);
        assert_int_equal(nib_embed(m, texts, TEXTS, &embed, got, &e), NIB_OK);
        assert_memory_equal(got, want, bytes);
        assert_int_equal((unsigned char)got[bytes], 0x55);
        ticket.queue = queue;
        embed.ticket = &ticket;
        memset(got, 0, sizeof got);
        assert_int_equal(nib_embed(m, texts, TEXTS, &embed, got, &e), NIB_OK);
        assert_memory_equal(got, want, bytes);
        memset(got, 0, sizeof got);
        assert_int_equal(nib_submit_embed(m, texts, TEXTS, &embed, got, &request, &e), NIB_OK);
        assert_int_equal(nib_request_wait(request, -1, &e), NIB_OK);
        nib_request_free(request);
        assert_memory_equal(got, want, bytes);
    }
    o.dimensions = DIM + 1;
    assert_int_equal(nib_embed(m, texts, TEXTS, &embed, got, &e), NIB_INVALID_ARGUMENT);
    assert_string_equal(e.message, "dimensions 33: the vectors have 32");
    nib_queue_free(queue);
    nib_model_free(m);
    nib_runtime_free(runtime);
}

static void ids_and_tokens_convert(void **state) {
    static const int32_t ids[2][3] = {{2, 5, 3}, {2, 6, 3}};
    static const int32_t *const rows[2] = {ids[0], ids[1]};
    static const int64_t lengths[2] = {3, 3};
    nib_embed_options embed;
    nib_tensor *wide, *narrow;
    int64_t offsets[TEXTS + 1];
    float f32[2 * DIM];
    uint8_t got[2 * DIM / 8], want[2 * DIM / 8];
    nib_model *m = open_tiny(-1, NIB_TASK_AUTO, NULL);
    nib_vector_options o = options_of(NIB_VECTOR_UBINARY, NULL, 0);
    nib_embed_defaults(&embed, sizeof embed);
    assert_int_equal(nib_embed_ids(m, rows, lengths, 2, &embed, f32, &e), NIB_OK);
    embed.vectors = &o;
    assert_int_equal(nib_embed_ids(m, rows, lengths, 2, &embed, got, &e), NIB_OK);
    convert(f32, 2, DIM, &o, want);
    assert_memory_equal(got, want, sizeof got);
    embed.vectors = NULL;
    assert_int_equal(nib_embed_tokens(m, texts, TEXTS, &embed, offsets, &wide, &e), NIB_OK);
    embed.vectors = &o;
    assert_int_equal(nib_embed_tokens(m, texts, TEXTS, &embed, offsets, &narrow, &e), NIB_OK);
    assert_int_equal(narrow->dtype, NIB_DTYPE_U8);
    assert_int_equal(narrow->dims[0], wide->dims[0]);
    assert_int_equal(narrow->dims[1], DIM / 8);
    uint8_t *bits = malloc((size_t)wide->dims[0] * DIM / 8);
    convert(wide->data, (size_t)wide->dims[0], DIM, &o, bits);
    assert_memory_equal(narrow->data, bits, (size_t)wide->dims[0] * DIM / 8);
    free(bits);
    nib_tensor_free(narrow);
    /* Pooled from tokens: the model's own vectors, which are means. */
    float pooled[TEXTS * DIM], own[TEXTS * DIM];
    embed.vectors = NULL;
    nib_vector_options plain = options_of(NIB_VECTOR_F32, NULL, 0);
    nib_model *raw = open_tiny(0, NIB_TASK_AUTO, NULL);
    assert_int_equal(nib_embed(raw, texts, TEXTS, &embed, own, &e), NIB_OK);
    assert_int_equal(nib_vectors_pool(wide->data, offsets, TEXTS, DIM, NIB_POOLING_MEAN, &plain, pooled, &e), NIB_OK);
    for (int i = 0; i < TEXTS * DIM; i++) assert_float_equal(pooled[i], own[i], 1e-5);
    o.dimensions = 20;
    o.type = NIB_VECTOR_F16;
    uint16_t at_once[TEXTS * 20], in_steps[TEXTS * 20];
    assert_int_equal(nib_vectors_pool(wide->data, offsets, TEXTS, DIM, NIB_POOLING_MEAN, &o, at_once, &e), NIB_OK);
    convert(pooled, TEXTS, DIM, &o, in_steps);
    assert_memory_equal(at_once, in_steps, sizeof at_once);
    assert_int_equal(nib_vectors_pool(wide->data, offsets, TEXTS, DIM, NIB_POOLING_NONE, &o, at_once, &e),
                     NIB_INVALID_ARGUMENT);
    offsets[1] = offsets[2] + 1;
    assert_int_equal(nib_vectors_pool(wide->data, offsets, TEXTS, DIM, NIB_POOLING_MEAN, &o, at_once, &e),
                     NIB_INVALID_ARGUMENT);
    nib_tensor_free(wide);
    nib_model_free(raw);
    nib_model_free(m);
}

/* A cut of a model whose vectors are not of length 1 is left as it is, unless it is asked for. */
static void a_model_says_whether_a_cut_is_normalized(void **state) {
    nib_embed_options embed;
    nib_vector_options o = options_of(NIB_VECTOR_F32, NULL, 0);
    float all[TEXTS * DIM], cut[TEXTS * 8];
    for (int unit = 0; unit < 2; unit++) {
        nib_model *m = open_tiny(unit, NIB_TASK_AUTO, NULL);
        nib_embed_defaults(&embed, sizeof embed);
        assert_int_equal(nib_embed(m, texts, TEXTS, &embed, all, &e), NIB_OK);
        embed.vectors = &o;
        o.dimensions = 8;
        assert_int_equal(nib_embed(m, texts, TEXTS, &embed, cut, &e), NIB_OK);
        double length = 0;
        for (int i = 0; i < 8; i++) length += (double)cut[i] * (double)cut[i];
        if (unit) assert_float_equal(length, 1, 1e-5);
        else assert_memory_equal(cut, all, 8 * sizeof *cut);
        nib_model_free(m);
    }
}

/* Pooled and normalized by one step: the bits of two. */
static void the_norm_behind_pooling_has_the_same_bits(void **state) {
    float fused[TEXTS * DIM], raw[TEXTS * DIM], apart[TEXTS * DIM];
    nib_model *m = open_tiny(1, NIB_TASK_AUTO, NULL), *plain = open_tiny(0, NIB_TASK_AUTO, NULL);
    char said[20000];
    size_t length;
    assert_int_equal(nib_model_explain(m, said, sizeof said, &length, &e), NIB_OK);
    assert_null(strstr(said, "LpNormalization"));
    nib_vector_options o = options_of(NIB_VECTOR_F32, NULL, 0);
    o.normalize = 1;
    assert_int_equal(nib_embed(m, texts, TEXTS, NULL, fused, &e), NIB_OK);
    assert_int_equal(nib_embed(plain, texts, TEXTS, NULL, raw, &e), NIB_OK);
    convert(raw, TEXTS, DIM, &o, apart);
    assert_memory_equal(fused, apart, sizeof fused);
    nib_model_free(m);
    nib_model_free(plain);
}

static void refusals(void **state) {
    static const float rows[2][4] = {{1, 2, 3, 4}, {4, 3, 2, 1}};
    static const float ranges[2 * 4] = {0, 0, 0, 0, 1, 1, 1, 1}, wrong[2 * 4] = {0, 0, 2, 0, 1, 1, 1, 1};
    static const float endless[2 * 4] = {0, 0, 0, 0, 1, 1, INFINITY, 1}, huge[2 * 4] = {0, -3e38f, 0, 0, 1, 3e38f, 1, 1};
    char out[64];
    const struct {
        int64_t width;
        nib_vector_options o;
        const char *says;
    } cases[] = {
        {0, {.type = NIB_VECTOR_F32}, "vectors of 0 numbers"},
        {-4, {.type = NIB_VECTOR_F32}, "vectors of -4 numbers"},
        {4, {.type = NIB_VECTOR_F32, .dimensions = 5}, "dimensions 5: the vectors have 4"},
        {4, {.type = NIB_VECTOR_F32, .dimensions = -1}, "dimensions -1: the vectors have 4"},
        {4, {.type = (nib_vector_type)6}, "vectors of type 6: there is no such"},
        {4, {.type = NIB_VECTOR_F32, .normalize = 2}, "normalize is 2, and may be -1, 0 or 1"},
        {4, {.type = NIB_VECTOR_I8}, "int8 needs the range of each column"},
        {4, {.type = NIB_VECTOR_U8, .ranges = ranges, .ranges_width = 3}, "ranges of 3 columns, and vectors of 4"},
        {4, {.type = NIB_VECTOR_U8, .ranges = wrong, .ranges_width = 4}, "ranges, column 2: from 2 to 1"},
        {4, {.type = NIB_VECTOR_U8, .ranges = endless, .ranges_width = 4}, "ranges, column 2: from 0 to inf"},
        {4, {.type = NIB_VECTOR_I8, .ranges = huge, .ranges_width = 4}, "ranges, column 1: from -3e+38 to 3e+38"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nib_vector_options o = cases[i].o;
        o.size = sizeof o;
        assert_int_equal(nib_vectors_convert(rows[0], 2, cases[i].width, &o, out, &e), NIB_INVALID_ARGUMENT);
        assert_string_equal(e.message, cases[i].says);
    }
    float none[8];
    assert_int_equal(nib_vectors_ranges(rows[0], 0, 4, NULL, none, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_vectors_convert(NULL, 1, 4, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_vectors_convert(NULL, 0, 4, NULL, NULL, &e), NIB_OK);
    assert_int_equal(nib_vectors_convert(rows[0], 2, 4, NULL, out + 1, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_vector_bytes(NIB_VECTOR_BINARY, 9), 2);
    assert_int_equal(nib_vector_bytes(NIB_VECTOR_F16, 9), 18);
    assert_int_equal(nib_vector_bytes(NIB_VECTOR_F32, 0), 0);
    assert_int_equal(nib_vector_bytes((nib_vector_type)9, 8), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_those_of_sentence_transformers),
        cmocka_unit_test(a_cut_has_length_one_again),
        cmocka_unit_test(one_step_is_its_parts),
        cmocka_unit_test(every_door_converts),
        cmocka_unit_test(ids_and_tokens_convert),
        cmocka_unit_test(a_model_says_whether_a_cut_is_normalized),
        cmocka_unit_test(the_norm_behind_pooling_has_the_same_bits),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, free_goldens);
}
