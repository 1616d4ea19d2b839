/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions on named tensors through nib.h: outputs written into the caller's memory, shapes before the run, allocations counted, every
 * type in and out. In: models that the test writes, and test/data/onnx. Out: addresses, statuses, counts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "onnx/wire_writer.h"
#include "npy.h"
#include <stdlib.h>
#include <unistd.h>

#define MODEL NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx"

typedef struct bench {
    nib_runtime *runtime;
    nib_model *model;
    nib_session *session;
    nib_error err;
} bench;

static void open_on(bench *b, const char *path, int threads) {
    nib_runtime_options r;
    nib_model_options o;
    memset(b, 0, sizeof *b);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &b->runtime, &b->err), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = b->runtime;
    if (nib_model_open(path, &o, &b->model, &b->err) != NIB_OK || nib_session_create(b->model, &b->session, &b->err) != NIB_OK)
        fail_msg("%s", b->err.message);
}

static void close_bench(bench *b) {
    nib_session_free(b->session);
    nib_model_free(b->model);
    nib_runtime_free(b->runtime);
}

static uint64_t allocations(const bench *b) {
    nib_memory m;
    nib_runtime_memory(b->runtime, &m, sizeof m);
    return m.allocations;
}

#define OK(call)                                                                                                                           \
    do {                                                                                                                                   \
        b.err.message[0] = 0;                                                                                                              \
        if ((call) != NIB_OK) fail_msg("%s: %s", #call, b.err.message);                                                                    \
    } while (0)

static int64_t ids[4 * 40], mask[4 * 40], types[4 * 40];

static void set_texts(bench *at, int64_t B, int64_t S) {
    bench b = *at;
    const char *const names[] = {"input_ids", "attention_mask", "token_type_ids"};
    int64_t *const data[] = {ids, mask, types};
    for (int i = 0; i < 4 * 40; i++) ids[i] = 5 + i % 90, mask[i] = i % S < S - 2 || i < S;
    for (int i = 0; i < 3; i++) {
        nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {B, S}, .data = data[i], .bytes = (size_t)(B * S) * 8};
        OK(nib_session_set_input(b.session, names[i], &t, &b.err));
    }
}

static void outputs_go_straight_into_the_callers_memory(void **state) {
    for (int threads = 1; threads <= 2; threads++) {
        bench b;
        nib_tensor got, shape;
        open_on(&b, MODEL, threads);
        set_texts(&b, 3, 11);
        OK(nib_session_output_shape(b.session, "last_hidden_state", &shape, &b.err));
        assert_int_equal(shape.rank, 3);
        assert_int_equal(shape.dims[0], 3);
        assert_int_equal(shape.dims[1], 11);
        assert_int_equal(shape.dims[2], 64);
        assert_int_equal(shape.bytes, 3 * 11 * 64 * 4);
        assert_int_equal(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err), NIB_INVALID_ARGUMENT); /* no run yet */
        OK(nib_session_run(b.session, &b.err));
        OK(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err));
        float *own = malloc(shape.bytes), *mine = malloc(shape.bytes + 8);
        memcpy(own, got.data, shape.bytes);
        mine[0] = mine[1 + shape.bytes / 4] = 12345; /* around it, and only aligned for a float */
        nib_tensor to = {.data = mine + 1, .bytes = shape.bytes};
        OK(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err));
        memset(mine + 1, 0xff, shape.bytes);
        OK(nib_session_run(b.session, &b.err));
        OK(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err));
        assert_ptr_equal(got.data, mine + 1);
        assert_memory_equal(mine + 1, own, shape.bytes);
        assert_true(mine[0] == 12345 && mine[1 + shape.bytes / 4] == 12345);
        /* back to the session's own memory: the caller's is not touched any more */
        memset(mine, 0x55, shape.bytes);
        OK(nib_session_bind_output(b.session, "last_hidden_state", NULL, &b.err));
        OK(nib_session_run(b.session, &b.err));
        OK(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err));
        assert_ptr_not_equal(got.data, mine + 1);
        assert_memory_equal(got.data, own, shape.bytes);
        assert_int_equal(((unsigned char *)mine)[64], 0x55);
        free(own);
        free(mine);
        close_bench(&b);
    }
}

static void a_buffer_too_small_is_told_how_much_it_needs(void **state) {
    bench b;
    float small[100], *enough = malloc(3 * 11 * 64 * 4);
    nib_tensor got, to = {.dtype = NIB_DTYPE_F32, .data = small, .bytes = sizeof small};
    open_on(&b, MODEL, 1);
    set_texts(&b, 3, 11);
    for (int i = 0; i < 100; i++) small[i] = 7;
    OK(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err));
    assert_int_equal(nib_session_run(b.session, &b.err), NIB_BUFFER_TOO_SMALL);
    assert_non_null(strstr(b.err.message, "8448"));
    for (int i = 0; i < 100; i++) assert_true(small[i] == 7); /* it was known before anything was computed */
    assert_int_equal(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err), NIB_INVALID_ARGUMENT);
    to.data = enough;
    to.bytes = 8448;
    OK(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err));
    OK(nib_session_run(b.session, &b.err));
    assert_int_equal(nib_session_bind_output(b.session, "nothing", &to, &b.err), NIB_NOT_FOUND);
    to.dtype = NIB_DTYPE_I64;
    assert_int_equal(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err), NIB_TYPE);
    to = (nib_tensor){.data = (char *)enough + 1, .bytes = 8000};
    assert_int_equal(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err), NIB_INVALID_ARGUMENT);
    free(enough);
    close_bench(&b);
}

static void a_second_run_allocates_nothing(void **state) {
    for (int bound = 0; bound < 2; bound++) {
        bench b;
        open_on(&b, MODEL, 2);
        float *mine = malloc(4 * 40 * 64 * 4);
        nib_tensor got, to = {.data = mine, .bytes = 4 * 40 * 64 * 4};
        if (bound) OK(nib_session_bind_output(b.session, "last_hidden_state", &to, &b.err));
        for (int round = 0; round < 2; round++) {
            uint64_t before = allocations(&b);
            for (int64_t S = 40; S >= 10; S -= 15) {
                set_texts(&b, 4, S);
                OK(nib_session_run(b.session, &b.err));
                OK(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err));
            }
            if (round == 1) assert_int_equal(allocations(&b), before);
        }
        free(mine);
        close_bench(&b);
    }
}

/* ---- graphs of the test's own, in files */

static wire_msg value(const char *name, nib_dtype dtype, const char *dim) { /* of rank 1; dim NULL: not named */
    wire_msg size = {0}, shape = {0}, tensor = {0}, type = {0}, m = {0};
    if (dim) wm_text(&size, 2, dim);
    wm_add(&shape, 1, size);
    wm_int(&tensor, 1, dtype);
    wm_add(&tensor, 2, shape);
    wm_add(&type, 1, tensor);
    wm_text(&m, 1, name);
    wm_add(&m, 2, type);
    return m;
}

static void open_graph(bench *b, wire_msg g, int threads) {
    char path[] = "/tmp/nib-session-XXXXXX";
    wire_msg m = wm_model(g, 20);
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, m.data, m.size) == (ssize_t)m.size);
    close(fd);
    free(m.data);
    open_on(b, path, threads);
    unlink(path);
}

/* An output whose size depends on data, one that is an input, one that is a constant, and one value under two names. */
static void every_kind_of_output_can_be_bound(void **state) {
    bench b;
    wire_msg g = {0}, seven = wm_tensor("seven", NIB_DTYPE_F32, 1, -1);
    wm_add(&g, 1, wm_node("Compress", "x keep", "kept"));
    wm_add(&g, 1, wm_node("Identity", "x", "same"));
    wm_add(&g, 1, wm_node("Neg", "x", "negative"));
    wm_add(&g, 1, wm_node("Identity", "negative", "again"));
    wm_add(&g, 1, wm_node("Identity", "seven", "constant"));
    wm_text(&g, 2, "g");
    wm_bytes(&seven, 9, &(float){7}, 4);
    wm_add(&g, 5, seven);
    wm_add(&g, 11, value("x", NIB_DTYPE_F32, "n"));
    wm_add(&g, 11, value("keep", NIB_DTYPE_BOOL, "n"));
    const char *const names[] = {"kept", "same", "negative", "again", "constant"};
    for (int i = 0; i < 5; i++) wm_add(&g, 12, value(names[i], NIB_DTYPE_F32, NULL));
    open_graph(&b, g, 1);

    float x[6] = {1, 2, 3, 4, 5, 6}, out[5][6];
    unsigned char keep[6] = {1, 0, 0, 1, 1, 0};
    nib_tensor tx = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {6}, .data = x, .bytes = sizeof x}, got, shape;
    nib_tensor tk = {.dtype = NIB_DTYPE_BOOL, .rank = 1, .dims = {6}, .data = keep, .bytes = sizeof keep};
    OK(nib_session_set_input(b.session, "x", &tx, &b.err));
    OK(nib_session_set_input(b.session, "keep", &tk, &b.err));
    OK(nib_session_output_shape(b.session, "kept", &shape, &b.err));
    assert_int_equal(shape.rank, 1);
    assert_int_equal(shape.dims[0], -1); /* only the run can tell */
    assert_int_equal(shape.bytes, 0);
    OK(nib_session_output_shape(b.session, "negative", &shape, &b.err));
    assert_int_equal(shape.bytes, 24);
    for (int i = 0; i < 5; i++) {
        nib_tensor to = {.data = out[i], .bytes = sizeof out[i]};
        OK(nib_session_bind_output(b.session, names[i], &to, &b.err));
    }
    for (int round = 0; round < 2; round++) {
        memset(out, 0, sizeof out);
        uint64_t before = allocations(&b);
        OK(nib_session_run(b.session, &b.err));
        if (round == 1) assert_int_equal(allocations(&b), before);
        const float want[5][6] = {{1, 4, 5}, {1, 2, 3, 4, 5, 6}, {-1, -2, -3, -4, -5, -6}, {-1, -2, -3, -4, -5, -6}, {7}};
        assert_memory_equal(out, want, sizeof want);
        for (int i = 0; i < 5; i++) {
            OK(nib_session_get_output(b.session, names[i], &got, &b.err));
            assert_ptr_equal(got.data, out[i]);
            assert_int_equal(got.dims[0], i == 0 ? 3 : i == 4 ? 1 : 6);
        }
    }
    nib_tensor small = {.data = out[0], .bytes = 8};
    OK(nib_session_bind_output(b.session, "kept", &small, &b.err));
    assert_int_equal(nib_session_run(b.session, &b.err), NIB_BUFFER_TOO_SMALL);
    assert_non_null(strstr(b.err.message, "kept needs 12 bytes; 8 are bound"));
    OK(nib_session_bind_output(b.session, "kept", NULL, &b.err));
    OK(nib_session_run(b.session, &b.err));
    close_bench(&b);
}

static wire_msg matrix(const char *name, int64_t columns) { /* f32 [a, columns]; 0: [a, b] */
    wire_msg type = {0}, tensor = {0}, shape = {0}, m = {0};
    for (int k = 0; k < 2; k++) {
        wire_msg dim = {0};
        if (k && columns) wm_int(&dim, 1, columns);
        else wm_text(&dim, 2, k ? "b" : "a");
        wm_add(&shape, 1, dim);
    }
    wm_int(&tensor, 1, NIB_DTYPE_F32);
    wm_add(&tensor, 2, shape);
    wm_add(&type, 1, tensor);
    wm_text(&m, 1, name);
    wm_add(&m, 2, type);
    return m;
}

/* x is [a, b]; that b is 3, only the weight says. Rows must not be found by a width that the type does not give. */
static void a_width_that_only_the_weight_knows(void **state) {
    for (int threads = 1; threads <= 2; threads++) {
        bench b;
        wire_msg g = {0}, w = wm_tensor("w", NIB_DTYPE_F32, 3, 2), y = {0};
        float *rows = calloc(600 * 3, sizeof *rows);
        wm_bytes(&w, 9, (float[6]){1, 0, 0, 1, 1, 1}, 24);
        wm_text(&y, 1, "y");
        wm_text(&g, 2, "g");
        wm_add(&g, 1, wm_node("MatMul", "x w", "m"));
        wm_add(&g, 1, wm_node("Relu", "m", "y"));
        wm_add(&g, 5, w);
        wm_add(&g, 11, matrix("x", 0));
        wm_add(&g, 12, y);
        open_graph(&b, g, threads);
        for (int i = 0; i < 600; i++) rows[i * 3] = (float)i, rows[i * 3 + 2] = 1;
        nib_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {600, 3}, .data = rows, .bytes = 7200}, got;
        OK(nib_session_set_input(b.session, "x", &t, &b.err));
        OK(nib_session_run(b.session, &b.err));
        OK(nib_session_get_output(b.session, "y", &got, &b.err));
        for (int i = 0; i < 600; i++) assert_true(((float *)got.data)[i * 2] == (float)(i + 1) && ((float *)got.data)[i * 2 + 1] == 1);
        t.dims[1] = 2;
        OK(nib_session_set_input(b.session, "x", &t, &b.err));
        assert_int_equal(nib_session_run(b.session, &b.err), NIB_SHAPE);
        free(rows);
        close_bench(&b);
    }
}

/* Another thread's, or a signal handler's, or one's own before: the run ends, and the next one works. */
/* What is opened for sessions alone takes no memory for texts, and says so when it is given some. */
static void a_model_can_be_opened_for_sessions_alone(void **state) {
    nib_model_options o;
    nib_model *model;
    nib_session *session;
    nib_error err;
    nib_memory before, after;
    const char *const text = "a nib";
    const int32_t two[] = {1, 2}, *rows[] = {two};
    const int64_t length = 2;
    float vector[1024];
    bench b;
    open_on(&b, MODEL, 1);
    nib_model_defaults(&o, sizeof o);
    o.runtime = b.runtime;
    o.sessions = 1;
    nib_runtime_memory(b.runtime, &before, sizeof before);
    assert_int_equal(nib_model_open(MODEL, &o, &model, &err), NIB_OK);
    nib_runtime_memory(b.runtime, &after, sizeof after);
    assert_true(after.current - before.current < before.current / 2);
    assert_int_equal(nib_embed(model, &text, 1, NULL, vector, &err), NIB_UNSUPPORTED);
    assert_int_equal(nib_embed_ids(model, rows, &length, 1, NULL, vector, &err), NIB_UNSUPPORTED);
    assert_non_null(strstr(err.message, "opened for sessions alone"));
    assert_int_equal(nib_session_create(model, &session, &err), NIB_OK);
    nib_session_free(session);
    nib_model_free(model);
    close_bench(&b);
}

static void a_run_can_be_cancelled(void **state) {
    for (int threads = 1; threads <= 2; threads++) {
        bench b;
        nib_tensor got;
        open_on(&b, MODEL, threads);
        set_texts(&b, 3, 11);
        nib_session_cancel(b.session);
        assert_int_equal(nib_session_run(b.session, &b.err), NIB_CANCELLED);
        assert_int_equal(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err), NIB_INVALID_ARGUMENT);
        OK(nib_session_run(b.session, &b.err));
        OK(nib_session_get_output(b.session, "last_hidden_state", &got, &b.err));
        close_bench(&b);
    }
}

/* A step that fails while other threads are still on their way out of the one before: none waits for one that has gone.
 * With more threads than cores, some always are. */
static void a_run_of_many_threads_fails_and_ends(void **state) {
    bench b;
    wire_msg g = {0}, w = wm_tensor("w", NIB_DTYPE_F32, 3, 2), z = {0};
    enum { N = 8192 };
    float *x = calloc(N * 3, sizeof *x);
    int64_t at[1];
    wm_bytes(&w, 9, (float[6]){1, 0, 0, 1, 1, 1}, 24);
    wm_text(&z, 1, "z");
    wm_text(&g, 2, "g");
    wm_add(&g, 1, wm_node("MatMul", "x w", "y"));
    wm_add(&g, 1, wm_node("Gather", "y at", "z"));
    wm_add(&g, 5, w);
    wm_add(&g, 11, matrix("x", 3));
    wm_add(&g, 11, value("at", NIB_DTYPE_I64, "r"));
    wm_add(&g, 12, z);
    open_graph(&b, g, 8);
    nib_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {N, 3}, .data = x, .bytes = N * 3 * sizeof *x};
    nib_tensor r = {.dtype = NIB_DTYPE_I64, .rank = 1, .dims = {1}, .data = at, .bytes = sizeof at};
    OK(nib_session_set_input(b.session, "x", &t, &b.err));
    OK(nib_session_set_input(b.session, "at", &r, &b.err));
    for (int i = 0; i < 3000; i++) {
        at[0] = i % 2 ? N - 1 : N;
        assert_int_equal(nib_session_run(b.session, &b.err) == NIB_OK, i % 2);
    }
    free(x);
    close_bench(&b);
}

static void strings_go_in_and_out(void **state) {
    bench b;
    wire_msg g = {0};
    wm_add(&g, 1, wm_node("StringConcat", "a b", "c"));
    wm_text(&g, 2, "g");
    wm_add(&g, 11, value("a", NIB_DTYPE_STRING, "n"));
    wm_add(&g, 11, value("b", NIB_DTYPE_STRING, "n"));
    wm_add(&g, 12, value("c", NIB_DTYPE_STRING, "n"));
    open_graph(&b, g, 1);
    nib_string left[2] = {{"ni", 2}, {NULL, 0}}, right[2] = {{"b", 1}, {"pen", 3}};
    nib_tensor t = {.dtype = NIB_DTYPE_STRING, .rank = 1, .dims = {2}, .data = left, .bytes = sizeof left}, got;
    nib_value_info info;
    OK(nib_session_set_input(b.session, "a", &t, &b.err));
    t.data = right;
    OK(nib_session_set_input(b.session, "b", &t, &b.err));
    OK(nib_session_run(b.session, &b.err));
    OK(nib_session_get_output(b.session, "c", &got, &b.err));
    const nib_string *c = got.data;
    assert_int_equal(got.dims[0], 2);
    assert_int_equal(c[0].length, 3);
    assert_memory_equal(c[0].data, "nib", 3);
    assert_memory_equal(c[1].data, "pen", 3);
    assert_int_equal(nib_session_bind_output(b.session, "c", &(nib_tensor){.data = left, .bytes = sizeof left}, &b.err), NIB_TYPE);
    left[1] = (nib_string){NULL, 5}; /* says five bytes and has none */
    assert_int_equal(nib_session_run(b.session, &b.err), NIB_INVALID_ARGUMENT);
    left[1] = (nib_string){"x", 1};
    OK(nib_session_run(b.session, &b.err));
    assert_int_equal(nib_session_input_info(b.session, 0, &info, sizeof info), NIB_OK);
    assert_int_equal(info.dtype, NIB_DTYPE_STRING);
    assert_string_equal(info.symbols[0], "n");
    assert_int_equal(nib_session_input_info(b.session, 2, &info, sizeof info), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_session_output_info(b.session, 0, &info, sizeof info), NIB_OK);
    close_bench(&b);
}

static void inputs_say_what_they_are_for(void **state) {
    static const nib_role roles[] = {NIB_ROLE_IDS, NIB_ROLE_MASK, NIB_ROLE_TYPES};
    bench b;
    nib_value_info info;
    open_on(&b, MODEL, 1);
    assert_int_equal(nib_session_input_count(b.session), 3);
    for (size_t i = 0; i < 3; i++) {
        OK(nib_session_input_info(b.session, i, &info, sizeof info));
        assert_int_equal(info.role, roles[i]);
        assert_int_equal(info.rank, 2);
        assert_int_equal(info.dims[1], -1);
        assert_string_equal(info.symbols[1], "seq");
    }
    OK(nib_session_input_info(b.session, 0, &info, sizeof info));
    assert_true(info.below > 90);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_go_straight_into_the_callers_memory),
        cmocka_unit_test(a_buffer_too_small_is_told_how_much_it_needs),
        cmocka_unit_test(a_second_run_allocates_nothing),
        cmocka_unit_test(every_kind_of_output_can_be_bound),
        cmocka_unit_test(a_width_that_only_the_weight_knows),
        cmocka_unit_test(a_model_can_be_opened_for_sessions_alone), cmocka_unit_test(a_run_can_be_cancelled),
        cmocka_unit_test(a_run_of_many_threads_fails_and_ends),
        cmocka_unit_test(strings_go_in_and_out),
        cmocka_unit_test(inputs_say_what_they_are_for),
    };
    return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
