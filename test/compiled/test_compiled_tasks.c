/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled files of each task: the same bits as from the source; another task is refused by name; what a file says of
 * its task is not believed. In: small models of test/data.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../fuzz/nib_sign.h"

#define TINY NIB_TEST_DATA "/nib/tiny"
#define LABELS NIB_TEST_DATA "/classify/labels"
#define RELEVANCE NIB_TEST_DATA "/classify/relevance"
#define TEXTS 3
#define M3 NIB_TEST_DATA "/tasks/m3-xlmr"
#define MOST 2000 /* numbers of a result */

static char folder[] = "/tmp/nib-compiled-tasks-XXXXXX";
static char file[100];
static const char *const texts[TEXTS] = {"a nib", "", "the pen is of ink, the tip of the nib"};
static const char *const pairs[TEXTS] = {"ink", "a", "b c"};

static int set_up(void **state) {
    snprintf(file, sizeof file, "%s/m.nib", mkdtemp(folder) ? folder : "");
    return 0;
}
static int tear_down(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static nib_status compile_as(const char *path, nib_task task, int exact, nib_error *e) {
    nib_model_options o;
    nib_compile_options c;
    nib_model_defaults(&o, sizeof o);
    nib_compile_defaults(&c, sizeof c);
    o.task = task;
    o.normalize = task == NIB_TASK_TOKENS ? 1 : -1;
    c.model = &o;
    c.exact = exact;
    return nib_compile_file(path, file, &c, e);
}

static nib_status open_as(const char *path, nib_task task, int normalize, nib_model **m, nib_error *e) {
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.task = task;
    o.normalize = normalize;
    return nib_model_open(path, &o, m, e);
}

/* ---- what a model makes of the texts by each task */

static nib_status embed(nib_model *m, float *out, nib_error *e) { return nib_embed(m, texts, TEXTS, NULL, out, e); }

static nib_status tokens(nib_model *m, float *out, nib_error *e) {
    int64_t offsets[TEXTS + 1];
    nib_tensor *t;
    nib_status status = nib_embed_tokens(m, texts, TEXTS, NULL, offsets, &t, e);
    if (status != NIB_OK) return status;
    assert_true(t->bytes <= MOST * sizeof *out);
    memcpy(out, t->data, t->bytes);
    nib_tensor_free(t);
    return NIB_OK;
}

static nib_status classify(nib_model *m, float *out, nib_error *e) {
    nib_status status = nib_classify(m, texts, NULL, TEXTS, NULL, out, e);
    return status == NIB_OK ? nib_classify(m, texts, pairs, TEXTS, NULL, out + MOST / 2, e) : status;
}

static nib_status tag(nib_model *m, float *out, nib_error *e) {
    nib_tags *tags;
    nib_status status = nib_tag(m, texts, TEXTS, NULL, &tags, e);
    for (size_t i = 0; i < TEXTS && status == NIB_OK; i++) {
        const nib_entity *found;
        const size_t count = nib_tags_get(tags, i, &found);
        assert_true(count < MOST / TEXTS);
        for (size_t k = 0; k < count; k++) *out++ = found[k].score + (float)found[k].begin;
    }
    if (status == NIB_OK) nib_tags_free(tags);
    return status;
}

static nib_status colbert(nib_model *m, float *out, nib_error *e) {
    for (int role = NIB_COLBERT_QUERY; role <= NIB_COLBERT_DOCUMENT; role++) {
        int64_t offsets[TEXTS + 1];
        nib_tensor *t;
        nib_status status = nib_colbert(m, (nib_colbert_role)role, texts, TEXTS, NULL, offsets, &t, e);
        if (status != NIB_OK) return status;
        assert_true(t->bytes <= MOST / 2 * sizeof *out);
        memcpy(out, t->data, t->bytes);
        out += MOST / 2;
        nib_tensor_free(t);
    }
    return NIB_OK;
}

static nib_status sparse(nib_model *m, float *out, nib_error *e) {
    nib_sparse *s;
    const nib_status status = nib_embed_sparse(m, texts, TEXTS, NULL, &s, e);
    if (status != NIB_OK) return status;
    for (int64_t k = 0; k < s->offsets[TEXTS] && k < MOST; k++) out[k] = s->values[k] + (float)s->indices[k];
    nib_sparse_free(s);
    return NIB_OK;
}

static nib_status hybrid(nib_model *m, float *out, nib_error *e) {
    nib_sparse *s;
    nib_tensor *rows;
    int64_t offsets[TEXTS + 1];
    const nib_status status = nib_embed_hybrid(m, texts, TEXTS, NULL, out, &s, offsets, &rows, e);
    if (status != NIB_OK) return status;
    out += TEXTS * 32;
    for (int64_t k = 0; k < s->offsets[TEXTS] && k < 100; k++) out[k] = s->values[k] + (float)s->indices[k];
    memcpy(out + 100, rows->data, rows->bytes < 4000 ? rows->bytes : 4000);
    nib_sparse_free(s);
    nib_tensor_free(rows);
    return NIB_OK;
}

static nib_status fill(nib_model *m, float *out, nib_error *e) {
    static const char *const masked[] = {"a [MASK]", "[MASK], ink of [MASK]"};
    nib_fills *fills;
    size_t n = 0;
    nib_status status = nib_fill(m, masked, 2, NULL, &fills, e);
    for (size_t i = 0; status == NIB_OK && i < 2; i++)
        for (size_t mask = 0; mask < nib_fills_masks(fills, i); mask++) {
            const nib_fill_entry *found;
            const size_t count = nib_fills_get(fills, i, mask, &found);
            for (size_t k = 0; k < count; k++) out[n++] = found[k].score, out[n++] = (float)found[k].token;
        }
    if (status == NIB_OK) nib_fills_free(fills);
    return status;
}

static nib_status answer(nib_model *m, float *out, nib_error *e) {
    static const char *const asked[] = {"what?"}, *const contexts[] = {"the pen is of ink, the tip of the nib"};
    const nib_answer_entry *found;
    nib_answers *answers;
    nib_answer_options o;
    nib_answer_defaults(&o, sizeof o);
    o.top = 4;
    nib_status status = nib_answer(m, asked, contexts, 1, &o, &answers, e);
    if (status != NIB_OK) return status;
    const size_t count = nib_answers_get(answers, 0, &found);
    assert_true(count > 0);
    for (size_t k = 0; k < count; k++) out[2 * k] = found[k].score, out[2 * k + 1] = (float)found[k].begin;
    nib_answers_free(answers);
    return NIB_OK;
}

static nib_status (*const calls[MODEL_PROGRAMS])(nib_model *m, float *out,
                                                 nib_error *e) = {[NIB_TASK_EMBED] = embed,
                                                                  [NIB_TASK_TOKENS] = tokens,
                                                                  [NIB_TASK_CLASSIFY] = classify,
                                                                  [NIB_TASK_TAG] = tag,
                                                                  [NIB_TASK_COLBERT] = colbert,
                                                                  [NIB_TASK_SPARSE] = sparse,
                                                                  [NIB_TASK_HYBRID] = hybrid,
                                                                  [NIB_TASK_FILL] = fill,
                                                                  [NIB_TASK_ANSWER] = answer};

static const struct {
    const char *path;
    nib_task asked, task;
} rows[] = {
    {TINY, NIB_TASK_AUTO, NIB_TASK_EMBED},
    {TINY, NIB_TASK_TOKENS, NIB_TASK_TOKENS},
    {LABELS, NIB_TASK_AUTO, NIB_TASK_CLASSIFY},
    {RELEVANCE, NIB_TASK_CLASSIFY, NIB_TASK_CLASSIFY},
    {NIB_TEST_DATA "/tasks/ner-bert", NIB_TASK_AUTO, NIB_TASK_TAG},
    {NIB_TEST_DATA "/tasks/colbert-bert", NIB_TASK_AUTO, NIB_TASK_COLBERT},
    {NIB_TEST_DATA "/tasks/sparse-bert", NIB_TASK_AUTO, NIB_TASK_SPARSE},
    {NIB_TEST_DATA "/tasks/sparse-distilbert", NIB_TASK_SPARSE, NIB_TASK_SPARSE},
    {M3, NIB_TASK_HYBRID, NIB_TASK_HYBRID},
    {M3, NIB_TASK_SPARSE, NIB_TASK_SPARSE},
    {M3, NIB_TASK_COLBERT, NIB_TASK_COLBERT},
    {NIB_TEST_DATA "/tasks/fill-bert", NIB_TASK_FILL, NIB_TASK_FILL},
    {NIB_TEST_DATA "/tasks/answer-bert", NIB_TASK_AUTO, NIB_TASK_ANSWER},
};

static void a_file_does_its_task_and_no_other(void **state) {
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        static float want[MOST], got[MOST];
        nib_error e;
        nib_model *source, *m;
        const int normalize = rows[i].task == NIB_TASK_TOKENS ? 1 : -1;
        if (compile_as(rows[i].path, rows[i].asked, 1, &e) != NIB_OK) fail_msg("%s: %s", rows[i].path, e.message);
        assert_int_equal(open_as(rows[i].path, rows[i].asked, normalize, &source, &e), NIB_OK);
        if (open_as(file, NIB_TASK_AUTO, -1, &m, &e) != NIB_OK) fail_msg("%s: %s", rows[i].path, e.message);
        assert_int_equal(nib_model_task(m), rows[i].task);
        memset(want, 0, sizeof want);
        memset(got, 0, sizeof got);
        assert_int_equal(calls[rows[i].task](source, want, &e), NIB_OK);
        if (calls[rows[i].task](m, got, &e) != NIB_OK) fail_msg("%s: %s", rows[i].path, e.message);
        assert_memory_equal(want, got, sizeof want);
        assert_int_equal(nib_model_label_count(m),
                         model_gives_labels((int)rows[i].task) ? nib_model_label_count(source) : 0);
        for (int64_t k = 0; k < nib_model_label_count(m); k++)
            assert_string_equal(nib_model_label(m, k), nib_model_label(source, k));
        for (int task = 1; task < MODEL_PROGRAMS; task++) {
            nib_model *other = NULL;
            if (task == (int)rows[i].task) continue;
            assert_int_equal(calls[task](m, got, &e), NIB_UNSUPPORTED);
            if (!strstr(e.message, nib_task_name((nib_task)task))) fail_msg("%s", e.message);
            assert_int_equal(open_as(file, (nib_task)task, -1, &other, &e), NIB_UNSUPPORTED);
            assert_non_null(strstr(e.message, "compiled with another task"));
        }
        nib_model_free(source);
        nib_model_free(m);
    }
}

static void options_that_differ_are_refused(void **state) {
    nib_error e;
    nib_model *m;
    assert_int_equal(compile_as(TINY, NIB_TASK_TOKENS, 0, &e), NIB_OK);
    assert_int_equal(open_as(file, NIB_TASK_TOKENS, 1, &m, &e), NIB_OK);
    nib_model_free(m);
    assert_int_equal(open_as(file, NIB_TASK_TOKENS, 0, &m, &e), NIB_UNSUPPORTED);
    assert_int_equal(compile_as(TINY, NIB_TASK_CLASSIFY, 0, &e), NIB_OK); /* which it cannot: named tensors alone */
    assert_int_equal(open_as(file, NIB_TASK_AUTO, -1, &m, &e), NIB_OK);
    float out[MOST];
    assert_int_equal(classify(m, out, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "this model cannot classify texts: no output logits"));
    nib_model_free(m);
}

/* Replaces `from` by `to`, of the same length, in the file's bytes. */
static void replace(uint8_t *data, size_t size, const char *from, const char *to) {
    const size_t n = strlen(from);
    assert_int_equal(n, strlen(to));
    for (size_t i = 0; i + n <= size; i++)
        if (memcmp(data + i, from, n) == 0) {
            memcpy(data + i, to, n);
            nib_sign(data, size);
            return;
        }
    fail_msg("%s is not there", from);
}

static void what_a_file_says_is_not_believed(void **state) {
    static const struct {
        const char *from, *to;
        nib_status status;
    } lies[] = {
        {"\"serves\": \"classify\"", "\"serves\": \"embedded\"", NIB_BAD_MODEL},
        {"\"serves\": \"classify\"", "\"serves\": \"tokens\"  ", NIB_BAD_MODEL}, /* its output has no rows of tokens */
        {"\"serves\": \"classify\"", "\"serves\": \"auto\"    ", NIB_BAD_MODEL},
        {"\"serves\": \"classify\"", "\"serves\": 7         ", NIB_BAD_MODEL},
        {"\"scores\": 2", "\"scores\": 9", NIB_BAD_MODEL},
        {"\"labels\": [", "\"labels\": {", NIB_BAD_MODEL},
        {"\"maybe\"", "1234567", NIB_BAD_MODEL},
        {"\"no\",\n    \"maybe\"", "\"no,      maybe\" ", NIB_OK}, /* one name less */
        {"\"scores\": 2", "\"score5\": 2", NIB_OK},                /* as if nothing was said */
    };
    for (size_t i = 0; i < BASE_COUNT(lies); i++) {
        nib_error e;
        nib_model *m = NULL;
        assert_int_equal(compile_as(LABELS, NIB_TASK_AUTO, 0, &e), NIB_OK);
        FILE *f = fopen(file, "rb");
        uint8_t *data = aligned_alloc(64, 1 << 20);
        const size_t size = fread(data, 1, 1 << 20, f);
        fclose(f);
        replace(data, size, lies[i].from, lies[i].to);
        nib_status status = nib_model_open_memory(data, size, NULL, NULL, &m, &e);
        if (status != lies[i].status) fail_msg("%s: %s (%s)", lies[i].to, nib_status_text(status), e.message);
        if (status == NIB_OK) {
            float out[MOST];
            assert_int_equal(classify(m, out, &e), NIB_OK);
            for (int64_t k = 0; k < 3; k++) assert_non_null(nib_model_label(m, k));
        }
        nib_model_free(m);
        free(data);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_does_its_task_and_no_other),
        cmocka_unit_test(options_that_differ_are_refused),
        cmocka_unit_test(what_a_file_says_is_not_believed),
    };
    return cmocka_run_group_tests_name("compiled tasks", tests, set_up, tear_down);
}
