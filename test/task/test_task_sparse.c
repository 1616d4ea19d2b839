/* SPDX-License-Identifier: Apache-2.0
 *
 * Sparse vectors, against sentence-transformers' SparseEncoder. In: test/data/tasks/sparse-*. Out: weights, bits, the
 * largest alone, hits, .npz files, refusals.
 */
#include "task_golden.h"
#include <unistd.h>

static const char *const models[] = {"sparse-bert", "sparse-distilbert", "sparse-modernbert", "sparse-roberta",
                                     "sparse-router"};
#define MODELS (sizeof models / sizeof *models)

static nib_model *open_for(const char *name, const char *route, nib_precision precision, int threads) {
    char path[400];
    nib_runtime_options r;
    nib_model_options o;
    nib_error e;
    nib_model *m;
    snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : TASKS, name);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    nib_model_defaults(&o, sizeof o);
    o.precision = precision;
    o.task = NIB_TASK_SPARSE;
    o.route = route;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o.runtime);
    return m;
}

static nib_sparse *encode(nib_model *m, const char *const *texts, size_t n, int64_t top) {
    nib_sparse_options o;
    nib_error e;
    nib_sparse *s;
    nib_sparse_defaults(&o, sizeof o);
    o.top = top;
    if (nib_embed_sparse(m, texts, n, &o, &s, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(s->n, n);
    assert_int_equal(s->offsets[0], 0);
    return s;
}

/* The largest difference, in units of 1 + |wanted|, of vectors and a golden's [[columns, numbers], ...]. */
static double farthest(const nib_sparse *s, yyjson_val *want) {
    double most = 0;
    for (size_t i = 0; i < s->n; i++) {
        yyjson_val *text = yyjson_arr_get(want, i), *columns = yyjson_arr_get(text, 0),
                   *values = yyjson_arr_get(text, 1);
        double *row = calloc((size_t)s->width, sizeof *row);
        size_t k, n;
        yyjson_val *v;
        assert_non_null(row);
        yyjson_arr_foreach(columns, k, n, v) row[yyjson_get_int(v)] = yyjson_get_num(yyjson_arr_get(values, k));
        for (int64_t at = s->offsets[i], column = 0; column < s->width; column++) {
            const bool there = at < s->offsets[i + 1] && s->indices[at] == column;
            const double d = fabs((there ? (double)s->values[at++] : 0) - row[column]) / (1 + fabs(row[column]));
            if (!(d <= most)) most = d;
        }
        free(row);
    }
    return most;
}

static void weights_are_those_of_sparse_encoders(void **state) {
    for (size_t k = 0; k <= MODELS; k++) {
        const bool query = k == MODELS; /* the last one's other route */
        const char *name = models[query ? k - 1 : k], *route = strcmp(name, "sparse-router") ? NULL
                                                               : query                       ? "query"
                                                                                             : "document";
        const char *texts[MOST_TEXTS];
        yyjson_doc *doc = golden_open(name);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
        nib_model *m = open_for(name, route, NIB_PRECISION_FILE, 2);
        nib_sparse *s = encode(m, texts, n, 0), *best = query ? NULL : encode(m, texts, n, 8);
        assert_int_equal(s->width, yyjson_get_int(yyjson_obj_get(golden, "width")));
        double d = farthest(s, yyjson_obj_get(golden, query ? "query" : "document"));
        if (!(d <= 1e-5)) fail_msg("%s: weights differ by %g", name, d);
        d = best ? farthest(best, yyjson_obj_get(golden, "top8")) : 0;
        if (!(d <= 1e-5)) fail_msg("%s: the best 8 differ by %g", name, d);
        for (size_t i = 0; best && i < n; i++)
            for (size_t j = 0; j < n; j++) {
                const double want = yyjson_get_num(yyjson_arr_get(yyjson_arr_get(yyjson_obj_get(golden, "dot"), i), j));
                assert_true(fabs(nib_sparse_dot(s, i, s, j) - want) <= 1e-4 * (1 + fabs(want)));
            }
        nib_sparse_free(best);
        nib_sparse_free(s);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

static void a_folder_that_says_so_is_opened_for_it(void **state) {
    nib_model *m = golden_model("sparse-bert", NIB_PRECISION_FILE, 1);
    nib_error e;
    const char *text = "a nib";
    float row[32];
    assert_int_equal(nib_model_task(m), NIB_TASK_SPARSE);
    assert_int_equal(nib_embed(m, &text, 1, NULL, row, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "nib embed --sparse"));
    nib_model_free(m);
    m = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    nib_sparse *s;
    assert_int_equal(nib_embed_sparse(m, &text, 1, NULL, &s, &e), NIB_UNSUPPORTED);
    assert_null(s);
    nib_model_free(m);
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    const char *texts[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?", "Clara"};
    for (size_t k = 0; k < MODELS; k++)
        for (size_t p = 0; p < 3; p++) {
            const char *route = strcmp(models[k], "sparse-router") ? NULL : p % 2 ? "query" : "document";
            nib_model *m = open_for(models[k], route, precisions[p], 2),
                      *alone = open_for(models[k], route, precisions[p], 1);
            nib_sparse *all = encode(m, texts, 5, 0);
            for (size_t i = 0; i < 5; i++) {
                nib_sparse *one = encode(alone, texts + i, 1, 0);
                const size_t count = (size_t)(all->offsets[i + 1] - all->offsets[i]);
                assert_int_equal(one->offsets[1], count);
                if (count)
                    assert_memory_equal(one->indices, all->indices + all->offsets[i], count * sizeof *one->indices);
                if (count) assert_memory_equal(one->values, all->values + all->offsets[i], count * sizeof *one->values);
                nib_sparse_free(one);
            }
            nib_sparse_free(all);
            nib_model_free(m);
            nib_model_free(alone);
        }
}

/* ---- a queue */

static void a_queue_gives_the_same(void **state) {
    const char *texts[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?"};
    nib_model *m;
    nib_sparse *got;
    nib_queue *q;
    nib_ticket ticket;
    nib_sparse_options o;
    nib_model_options opened;
    nib_error e;
    nib_model_defaults(&opened, sizeof opened);
    assert_int_equal(nib_runtime_create(NULL, &opened.runtime, &e), NIB_OK);
    assert_int_equal(nib_model_open(TASKS "sparse-bert", &opened, &m, &e), NIB_OK);
    nib_sparse *want = encode(m, texts, 4, 0);
    assert_int_equal(nib_queue_create(opened.runtime, NULL, &q, &e), NIB_OK);
    nib_ticket_defaults(&ticket, sizeof ticket);
    ticket.queue = q;
    nib_sparse_defaults(&o, sizeof o);
    o.ticket = &ticket;
    if (nib_embed_sparse(m, texts, 4, &o, &got, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_memory_equal(got->offsets, want->offsets, 5 * sizeof *got->offsets);
    assert_memory_equal(got->values, want->values, (size_t)want->offsets[4] * sizeof *got->values);
    nib_sparse_free(got);
    nib_sparse_free(want);
    nib_queue_free(q);
    nib_model_free(m);
    nib_runtime_free(opened.runtime);
}

/* ---- vectors of the test's own */

enum { ROWS = 200, WIDTH = 50, TOP = 7 };

typedef struct own {
    nib_sparse s;
    int64_t offsets[ROWS + 1];
    int32_t indices[ROWS * WIDTH];
    float values[ROWS * WIDTH];
} own;

static void fill(own *o, size_t n, uint32_t seed) {
    o->s = (nib_sparse){n, WIDTH, o->offsets, o->indices, o->values};
    o->offsets[0] = 0;
    for (size_t i = 0, at = 0; i < n; i++) {
        for (int32_t c = 0; c < WIDTH; c++) {
            seed = seed * 1664525u + 1013904223u;
            if (seed >> 30 || i == 3) continue;
            o->indices[at] = c;
            o->values[at++] = (float)(int)(seed >> 20 & 255) / 16 - 4; /* sums are exact, and some are equal */
        }
        o->offsets[i + 1] = (int64_t)at;
    }
}

static void hits_are_the_best_of_all(void **state) {
    static own documents, queries;
    fill(&documents, ROWS, 1);
    fill(&queries, 9, 2);
    for (int threads = 1; threads <= 2; threads++) {
        nib_runtime_options r;
        nib_search_options o;
        nib_error e;
        nib_hit hits[9 * TOP];
        size_t counts[9];
        nib_runtime_defaults(&r, sizeof r);
        r.threads = threads;
        nib_search_defaults(&o, sizeof o);
        assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
        assert_int_equal(nib_sparse_search(&queries.s, &documents.s, TOP, &o, hits, counts, &e), NIB_OK);
        for (size_t i = 0; i < 9; i++) {
            double last = INFINITY;
            size_t index = 0;
            assert_int_equal(counts[i], TOP);
            for (size_t k = 0; k < TOP; k++) { /* each the best of those behind the one before */
                double best = -INFINITY;
                size_t at = 0;
                for (size_t j = 0; j < ROWS; j++) {
                    const double d = nib_sparse_dot(&queries.s, i, &documents.s, j);
                    if ((d < last || (k && d == last && j > index)) && d > best) best = d, at = j;
                }
                assert_int_equal(hits[i * TOP + k].index, at);
                assert_true(hits[i * TOP + k].score == best);
                last = best;
                index = at;
            }
        }
        nib_runtime_free(o.runtime);
    }
    documents.values[0] = NAN;
    documents.indices[0] = 0;
    nib_hit hits[ROWS];
    size_t count;
    queries.s.n = 1;
    assert_int_equal(nib_sparse_search(&queries.s, &documents.s, ROWS, NULL, hits, &count, NULL), NIB_OK);
    assert_in_range(count, ROWS - 1, ROWS);
}

static void what_is_no_csr_is_refused(void **state) {
    static own a, b;
    nib_hit hits[ROWS];
    nib_error e;
    struct {
        int64_t *at, value;
    } wrong[] = {{&a.offsets[0], 1}, {&a.offsets[2], 0}, {&a.s.width, 0}, {&a.s.width, 7}};
    fill(&b, 2, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fill(&a, 5, 3);
        *wrong[i].at = wrong[i].value;
        assert_int_equal(nib_sparse_search(&b.s, &a.s, 3, NULL, hits, NULL, &e), NIB_INVALID_ARGUMENT);
        assert_int_equal(nib_sparse_write("/tmp/nib-test-never.npz", &a.s, &e), NIB_INVALID_ARGUMENT);
    }
    fill(&a, 5, 3);
    a.indices[1] = a.indices[0];
    assert_int_equal(nib_sparse_search(&b.s, &a.s, 3, NULL, hits, NULL, &e), NIB_INVALID_ARGUMENT);
    assert_true(isnan(nib_sparse_dot(&b.s, 2, &b.s, 0)));
    assert_true(isnan(nib_sparse_dot(NULL, 0, &b.s, 0)));
}

static void files_come_back_as_they_were(void **state) {
    static own a;
    char path[] = "/tmp/nib-sparse-XXXXXX", copy[64];
    nib_sparse *s;
    nib_error e;
    close(mkstemp(path));
    fill(&a, ROWS, 5);
    assert_int_equal(nib_sparse_write(path, &a.s, &e), NIB_OK);
    assert_int_equal(nib_sparse_read(path, &s, &e), NIB_OK);
    assert_int_equal(s->n, ROWS);
    assert_int_equal(s->width, WIDTH);
    assert_memory_equal(s->offsets, a.offsets, sizeof a.offsets);
    assert_memory_equal(s->indices, a.indices, (size_t)a.offsets[ROWS] * 4);
    assert_memory_equal(s->values, a.values, (size_t)a.offsets[ROWS] * 4);
    nib_sparse_free(s);
    /* A file with any byte changed, or cut off anywhere, is read or refused. */
    a.s.n = 4;
    assert_int_equal(nib_sparse_write(path, &a.s, &e), NIB_OK);
    static unsigned char bytes[8192];
    FILE *f = fopen(path, "rb");
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    assert_in_range(size, 500, sizeof bytes - 1);
    snprintf(copy, sizeof copy, "%s.x", path);
    size_t refused = 0;
    for (size_t i = 0; i < 2 * size; i++) {
        const size_t at = i % size, length = i < size ? size : at;
        bytes[at] ^= i < size ? 0x81 : 0;
        f = fopen(copy, "wb");
        assert_int_equal(fwrite(bytes, 1, length, f), length);
        fclose(f);
        bytes[at] ^= i < size ? 0x81 : 0;
        const nib_status status = nib_sparse_read(copy, &s, &e);
        refused += status != NIB_OK;
        if (i >= size) assert_int_not_equal(status, NIB_OK);
        nib_sparse_free(s);
    }
    assert_in_range(refused, size + size / 2, 2 * size);
    assert_int_equal(nib_sparse_read("/tmp/nib-no-such-file.npz", &s, &e), NIB_NOT_FOUND);
    unlink(path);
    unlink(copy);
}

/* ---- folders that say something else */

static void what_cannot_be_done_is_said(void **state) {
    static const struct {
        const char *file, *text, *said;
    } rows[] = {
        {"1_SpladePooling/config.json", "{\"pooling_strategy\": \"mean\"}", "pooling_strategy 'mean'"},
        {"1_SpladePooling/config.json", "{\"activation_function\": \"tanh\"}", "activation_function 'tanh'"},
        {"modules.json",
         "[{\"path\": \"\", \"type\": \"x.Transformer\"}, {\"path\": \"1_S\", \"type\": \"x.SparseAutoEncoder\"}]",
         "SparseAutoEncoder"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = golden_variant("sparse-bert", rows[i].file, rows[i].text, strlen(rows[i].text));
        nib_model *m = open_for(path, NULL, NIB_PRECISION_FILE, 1);
        const char *text = "a nib";
        nib_sparse *s;
        nib_error e;
        assert_int_equal(nib_embed_sparse(m, &text, 1, NULL, &s, &e), NIB_UNSUPPORTED);
        if (!strstr(e.message, rows[i].said)) fail_msg("%s", e.message);
        nib_model_free(m);
        golden_remove(path);
    }
}

/* A NaN among the weights: what it reaches is no number, and the largest of all. */
static void what_is_no_number_stays_one(void **state) {
    size_t size;
    char *bytes = golden_file("sparse-bert", "model.safetensors", &size);
    const float nan = NAN;
    memcpy(bytes + size - sizeof nan, &nan, sizeof nan);
    const char *path = golden_variant("sparse-bert", "model.safetensors", bytes, size), *text = "a nib";
    nib_model *m = open_for(path, NULL, NIB_PRECISION_FILE, 1);
    nib_sparse_options o;
    nib_sparse *s;
    nib_error e;
    nib_sparse_defaults(&o, sizeof o);
    o.top = 3;
    assert_int_equal(nib_embed_sparse(m, &text, 1, &o, &s, &e), NIB_OK);
    assert_in_range(s->offsets[1], 0, 3);
    nib_sparse_free(s);
    nib_model_free(m);
    golden_remove(path);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_sparse_encoders),
        cmocka_unit_test(a_folder_that_says_so_is_opened_for_it),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(a_queue_gives_the_same),
        cmocka_unit_test(hits_are_the_best_of_all),
        cmocka_unit_test(what_is_no_csr_is_refused),
        cmocka_unit_test(files_come_back_as_they_were),
        cmocka_unit_test(what_cannot_be_done_is_said),
        cmocka_unit_test(what_is_no_number_stays_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
