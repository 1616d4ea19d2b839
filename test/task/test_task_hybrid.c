/* SPDX-License-Identifier: Apache-2.0
 *
 * BGE-M3: dense vectors, sparse ones and rows in one pass. In: test/data/tasks/m3-xlmr, whose golden is by
 * FlagEmbedding's formulas. Out: the same numbers; each alone as together; refusals.
 */
#include "task_golden.h"
#include <unistd.h>

#define MODEL "m3-xlmr"
enum { WIDTH = 32 };

typedef struct made {
    float dense[MOST_TEXTS * WIDTH];
    nib_sparse *sparse;
    int64_t offsets[MOST_TEXTS + 1];
    nib_tensor *rows;
} made;

static void make(nib_model *m, const char *const *texts, size_t n, bool dense, bool sparse, bool rows, made *out) {
    nib_error e;
    *out = (made){.sparse = NULL};
    if (nib_embed_hybrid(m, texts, n, NULL, dense ? out->dense : NULL, sparse ? &out->sparse : NULL,
                         rows ? out->offsets : NULL, rows ? &out->rows : NULL, &e) != NIB_OK)
        fail_msg("%s", e.message);
}

static void drop(made *o) {
    nib_sparse_free(o->sparse);
    nib_tensor_free(o->rows);
}

static void near(const char *what, size_t text, double got, yyjson_val *want) {
    if (!(fabs(got - yyjson_get_num(want)) <= 1e-4))
        fail_msg("%s, text %zu: %g, want %g", what, text, got, yyjson_get_num(want));
}

static void check_text(const made *o, size_t i, yyjson_val *golden) {
    yyjson_val *dense = yyjson_arr_get(yyjson_obj_get(golden, "dense"), i),
               *words = yyjson_arr_get(yyjson_obj_get(golden, "sparse"), i),
               *rows = yyjson_arr_get(yyjson_obj_get(golden, "colbert"), i), *row, *v;
    size_t j, k, n, w;
    const int64_t at = o->sparse->offsets[i];
    yyjson_arr_foreach(dense, k, n, v) near("dense", i, (double)o->dense[i * WIDTH + k], v);
    assert_int_equal(o->sparse->offsets[i + 1] - at, yyjson_arr_size(yyjson_arr_get(words, 0)));
    yyjson_arr_foreach(yyjson_arr_get(words, 0), k, n, v)
        assert_int_equal(o->sparse->indices[at + (int64_t)k], yyjson_get_int(v));
    yyjson_arr_foreach(yyjson_arr_get(words, 1), k, n, v)
        near("sparse", i, (double)o->sparse->values[at + (int64_t)k], v);
    assert_int_equal(o->offsets[i + 1] - o->offsets[i], yyjson_arr_size(rows));
    yyjson_arr_foreach(rows, j, n, row) yyjson_arr_foreach(row, k, w, v)
        near("rows", i, (double)((const float *)o->rows->data)[((size_t)o->offsets[i] + j) * WIDTH + k], v);
}

static void all_three_are_those_of_flag_embedding(void **state) {
    const char *texts[MOST_TEXTS];
    yyjson_doc *doc = golden_open(MODEL);
    yyjson_val *golden = yyjson_doc_get_root(doc);
    const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
    nib_model *m = golden_model(MODEL, NIB_PRECISION_FILE, 2);
    made o;
    assert_int_equal(nib_model_task(m), NIB_TASK_EMBED);
    make(m, texts, n, true, true, true, &o);
    assert_int_equal(o.rows->dims[1], WIDTH);
    for (size_t i = 0; i < n; i++) check_text(&o, i, golden);
    drop(&o);
    nib_model_free(m);
    yyjson_doc_free(doc);
}

/* Whichever are wanted, and by whichever call, in any company. In q8 rows are balanced against all weights that they
 * meet, of which one task alone has fewer: there the same bits are those of two or three. */
static void each_is_the_same_alone(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    const char *texts[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?", "Clara"};
    for (size_t p = 0; p < 3; p++) {
        nib_model *m = golden_model(MODEL, precisions[p], 2), *alone = golden_model(MODEL, precisions[p], 1);
        made all, some;
        make(m, texts, 5, true, true, true, &all);
        for (int wanted = 1; wanted < 7; wanted++) {
            const bool single = (wanted & (wanted - 1)) == 0;
            if (single && precisions[p] == NIB_PRECISION_Q8) continue;
            make(alone, texts, 5, wanted & 1, wanted & 2, wanted & 4, &some);
            if (wanted & 1) assert_memory_equal(some.dense, all.dense, 5 * WIDTH * sizeof *all.dense);
            if (wanted & 2) assert_memory_equal(some.sparse->offsets, all.sparse->offsets, sizeof(int64_t[6]));
            if (wanted & 2)
                assert_memory_equal(some.sparse->values, all.sparse->values,
                                    (size_t)all.sparse->offsets[5] * sizeof(float));
            if (wanted & 4) assert_memory_equal(some.offsets, all.offsets, sizeof(int64_t[6]));
            if (wanted & 4) assert_memory_equal(some.rows->data, all.rows->data, all.rows->bytes);
            drop(&some);
        }
        for (size_t i = 0; i < 5 && precisions[p] != NIB_PRECISION_Q8;
             i++) { /* a text by itself, by the calls of single tasks */
            nib_error e;
            nib_sparse *words;
            nib_tensor *rows;
            int64_t offsets[2];
            float dense[WIDTH];
            assert_int_equal(nib_embed(alone, texts + i, 1, NULL, dense, &e), NIB_OK);
            assert_memory_equal(dense, all.dense + i * WIDTH, sizeof dense);
            assert_int_equal(nib_embed_sparse(alone, texts + i, 1, NULL, &words, &e), NIB_OK);
            const size_t count = (size_t)(all.sparse->offsets[i + 1] - all.sparse->offsets[i]);
            assert_int_equal(words->offsets[1], count);
            if (count)
                assert_memory_equal(words->values, all.sparse->values + all.sparse->offsets[i], count * sizeof(float));
            assert_int_equal(nib_colbert(alone, NIB_COLBERT_QUERY, texts + i, 1, NULL, offsets, &rows, &e), NIB_OK);
            assert_int_equal(offsets[1], all.offsets[i + 1] - all.offsets[i]);
            if (rows->bytes)
                assert_memory_equal(rows->data, (char *)all.rows->data + (size_t)all.offsets[i] * WIDTH * 4,
                                    rows->bytes);
            nib_sparse_free(words);
            nib_tensor_free(rows);
        }
        drop(&all);
        nib_model_free(m);
        nib_model_free(alone);
    }
}

static void a_head_that_is_missing_is_named(void **state) {
    static const char *const files[] = {"sparse_linear.pt", "colbert_linear.pt"};
    const char *text = "a nib";
    for (int missing = 0; missing < 2; missing++) {
        char at[200];
        const char *path = golden_variant(MODEL, "never", "", 0);
        snprintf(at, sizeof at, "%s/%s", path, files[missing]);
        unlink(at);
        nib_model *m = golden_model(path, NIB_PRECISION_FILE, 1);
        made o = {.sparse = NULL};
        nib_error e;
        assert_int_equal(nib_embed_hybrid(m, &text, 1, NULL, o.dense, &o.sparse, o.offsets, &o.rows, &e),
                         NIB_UNSUPPORTED);
        if (!strstr(e.message, files[missing])) fail_msg("%s", e.message);
        make(m, &text, 1, true, missing, !missing, &o);
        drop(&o);
        nib_model_free(m);
        golden_remove(path);
    }
    nib_model *m = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    float dense[WIDTH];
    int64_t offsets[2];
    nib_tensor *rows;
    nib_error e;
    assert_int_equal(nib_embed_hybrid(m, &text, 1, NULL, dense, NULL, offsets, &rows, &e), NIB_UNSUPPORTED);
    assert_int_equal(nib_embed_hybrid(m, &text, 1, NULL, NULL, NULL, NULL, NULL, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_hybrid(m, &text, 1, NULL, dense, NULL, offsets, NULL, &e), NIB_INVALID_ARGUMENT);
    nib_model_free(m);
}

static void many_texts_go_in_windows(void **state) {
    enum { N = 9000 };
    const char **texts = malloc(N * sizeof *texts), *const some[] = {"a nib", "", "Clara of Dresden"};
    float *dense = malloc(N * WIDTH * sizeof *dense);
    int64_t *offsets = malloc((N + 1) * sizeof *offsets);
    nib_sparse *words;
    nib_tensor *rows;
    nib_error e;
    for (size_t i = 0; i < N; i++) texts[i] = some[i % 3];
    nib_model *m = golden_model(MODEL, NIB_PRECISION_FILE, 2);
    assert_int_equal(nib_embed_hybrid(m, texts, N, NULL, dense, &words, offsets, &rows, &e), NIB_OK);
    for (size_t i = 3; i < N; i++) {
        assert_memory_equal(dense + i * WIDTH, dense + i % 3 * WIDTH, WIDTH * sizeof *dense);
        assert_int_equal(words->offsets[i + 1] - words->offsets[i], words->offsets[i % 3 + 1] - words->offsets[i % 3]);
        assert_int_equal(offsets[i + 1] - offsets[i], offsets[i % 3 + 1] - offsets[i % 3]);
        const size_t bytes = (size_t)(offsets[i + 1] - offsets[i]) * WIDTH * sizeof(float);
        if (bytes)
            assert_memory_equal((float *)rows->data + offsets[i] * WIDTH, (float *)rows->data + offsets[i % 3] * WIDTH,
                                bytes);
    }
    nib_sparse_free(words);
    nib_tensor_free(rows);
    nib_model_free(m);
    free(offsets);
    free(dense);
    free(texts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_three_are_those_of_flag_embedding),
        cmocka_unit_test(each_is_the_same_alone),
        cmocka_unit_test(a_head_that_is_missing_is_named),
        cmocka_unit_test(many_texts_go_in_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
