/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers in a text, against transformers' pipeline (4.57). In: test/data/tasks/answer-*. Out: places, scores, windows,
 * bits, refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"answer-bert", "answer-roberta", "answer-deberta", "answer-modernbert"};
#define MODELS (sizeof models / sizeof *models)

static nib_answer_options options_of(size_t top) {
    nib_answer_options o;
    nib_answer_defaults(&o, sizeof o);
    assert_true(o.top == 1 && o.stride == -1 && o.longest == 15 && o.whole_words && !o.impossible);
    o.stride = 8;
    if (top) o.top = top;
    return o;
}

static nib_answers *answer(nib_model *m, const char *const *q, const char *const *c, size_t n, const nib_answer_options *o) {
    nib_error e;
    nib_answers *answers;
    if (nib_answer(m, q, c, n, o, &answers, &e) != NIB_OK) fail_msg("%s", e.message);
    return answers;
}

static void refused(nib_model *m, const char *q, const char *c, const nib_answer_options *o, nib_status want, const char *why) {
    nib_error e;
    nib_answers *answers = (nib_answers *)&e;
    assert_int_equal(nib_answer(m, &q, &c, 1, o, &answers, &e), want);
    assert_null(answers);
    if (!strstr(e.message, why)) fail_msg("%s, want '%s'", e.message, why);
}

static size_t byte_of(const char *text, size_t character) {
    size_t at = 0;
    for (; character > 0; character--)
        for (at++; (text[at] & 0xc0) == 0x80;) at++;
    return at;
}

static void check_way(const char *model, const char *way, nib_model *m, const nib_answer_options *o, yyjson_val *golden) {
    const char *questions[MOST_TEXTS], *contexts[MOST_TEXTS];
    const size_t n = golden_texts(yyjson_obj_get(golden, "questions"), questions);
    golden_texts(yyjson_obj_get(golden, "contexts"), contexts);
    nib_answers *answers = answer(m, questions, contexts, n, o);
    for (size_t i = 0; i < n; i++) {
        const nib_answer_entry *got;
        size_t k, count;
        yyjson_val *w, *want = yyjson_arr_get(yyjson_obj_get(golden, way), i);
        size_t possible = 0; /* where there are too few, the pipeline fills up with places of probability 0 */
        yyjson_arr_foreach(want, k, count, w) possible += yyjson_get_num(yyjson_obj_get(w, "score")) > 0;
        if (nib_answers_get(answers, i, &got) != possible)
            fail_msg("%s, %s, question %zu: %zu answers, want %zu", model, way, i, nib_answers_get(answers, i, NULL), possible);
        yyjson_arr_foreach(want, k, count, w) {
            const double score = yyjson_get_num(yyjson_obj_get(w, "score"));
            if (k >= possible) break;
            const size_t begin = byte_of(contexts[i], yyjson_get_uint(yyjson_obj_get(w, "start")));
            const size_t end = byte_of(contexts[i], yyjson_get_uint(yyjson_obj_get(w, "end")));
            if (got[k].begin != begin || got[k].end != end || !(fabs((double)got[k].score - score) <= 1e-5))
                fail_msg("%s, %s, question %zu, answer %zu: %zu to %zu %g, want %zu to %zu %g '%s'", model, way, i, k, got[k].begin,
                         got[k].end, (double)got[k].score, begin, end, score, yyjson_get_str(yyjson_obj_get(w, "answer")));
        }
    }
    assert_int_equal(nib_answers_get(answers, n, NULL), 0);
    nib_answers_free(answers);
}

static void answers_are_the_pipelines(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        assert_int_equal(nib_model_task(m), NIB_TASK_ANSWER);
        nib_answer_options o = options_of(0);
        check_way(models[k], "plain", m, &o, golden);
        o = options_of(3);
        check_way(models[k], "best 3", m, &o, golden);
        o.whole_words = 0;
        check_way(models[k], "tokens", m, &o, golden);
        o = options_of(2);
        o.impossible = 1;
        check_way(models[k], "impossible", m, &o, golden);
        o = options_of(2);
        o.longest = 2;
        o.max_tokens = 40;
        o.stride = 3;
        check_way(models[k], "short", m, &o, golden);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

/* What nib export writes has both outputs, and answers alike. */
static void exported(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        char to[64];
        yyjson_doc *doc = golden_open(models[k]);
        const nib_answer_options plain = options_of(0);
        nib_model *m = golden_exported(models[k], to);
        assert_int_equal(nib_model_task(m), NIB_TASK_ANSWER);
        check_way(models[k], "plain", m, &plain, yyjson_doc_get_root(doc));
        nib_model_free(m);
        yyjson_doc_free(doc);
        golden_remove(to);
    }
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    for (size_t k = 0; k < MODELS; k++) {
        const char *questions[MOST_TEXTS], *contexts[MOST_TEXTS];
        yyjson_doc *doc = golden_open(models[k]);
        const size_t n = golden_texts(yyjson_obj_get(yyjson_doc_get_root(doc), "questions"), questions);
        golden_texts(yyjson_obj_get(yyjson_doc_get_root(doc), "contexts"), contexts);
        for (size_t p = 0; p < 3; p++) {
            const nib_answer_options o = options_of(5);
            nib_model *m = golden_model(models[k], precisions[p], 2), *alone = golden_model(models[k], precisions[p], 1);
            nib_answers *all = answer(m, questions, contexts, n, &o);
            for (size_t i = 0; i < n; i++) {
                const nib_answer_entry *x, *y;
                nib_answers *one = answer(alone, questions + i, contexts + i, 1, &o);
                const size_t count = nib_answers_get(all, i, &x);
                assert_int_equal(count, nib_answers_get(one, 0, &y));
                for (size_t j = 0; j < count; j++) {
                    assert_memory_equal(&x[j].score, &y[j].score, sizeof x[j].score);
                    assert_true(x[j].begin == y[j].begin && x[j].end == y[j].end);
                }
                nib_answers_free(one);
            }
            nib_model_free(m);
            nib_answers_free(all);
            nib_model_free(alone);
        }
        yyjson_doc_free(doc);
    }
}

static void a_context_of_many_windows(void **state) {
    enum { REPEATS = 3000 };
    char *context = malloc(REPEATS * 7 + 20);
    const char *question = "who?", *list[1] = {context};
    const nib_answer_entry *got;
    nib_model *m = golden_model("answer-bert", NIB_PRECISION_FILE, 2);
    for (int i = 0; i < REPEATS; i++) memcpy(context + 7 * i, "Clara, ", 8);
    nib_answer_options o = options_of(4);
    nib_answers *answers = answer(m, &question, list, 1, &o);
    const size_t count = nib_answers_get(answers, 0, &got);
    assert_true(count == 4 && got[0].score > 1); /* what is said everywhere counts everywhere */
    for (size_t i = 0; i < count; i++) assert_true(got[i].begin < got[i].end && got[i].end <= 7 * REPEATS);
    nib_answers_free(answers);
    nib_model_free(m);
    free(context);
}

static void what_cannot_be_answered(void **state) {
    char long_question[600] = "";
    nib_answers *answers;
    nib_model *m = golden_model("answer-bert", NIB_PRECISION_FILE, 1), *other = golden_model("ner-bert", NIB_PRECISION_FILE, 1);
    nib_answer_options o = options_of(1);
    refused(m, "", "a nib", &o, NIB_INVALID_ARGUMENT, "question 0, or its context, is empty");
    refused(m, "who?", "", &o, NIB_INVALID_ARGUMENT, "empty");
    for (int i = 0; i < 60; i++) strcat(long_question, "who? ");
    refused(m, long_question, "a nib of ink", &o, NIB_INVALID_ARGUMENT, "too short");
    refused(other, "who?", "a nib", &o, NIB_UNSUPPORTED, "this model cannot answer questions: no outputs start_logits and end_logits");
    o.stride = 47;
    char context[2000] = "";
    for (int i = 0; i < 200; i++) strcat(context, "a nib ");
    refused(m, "who?", context, &o, NIB_INVALID_ARGUMENT, "cannot share 47");
    o = options_of(1);
    o.longest = 0;
    refused(m, "who?", "a nib", &o, NIB_INVALID_ARGUMENT, "out of range");
    o = options_of(1);
    const char *question = "who?", *blank = "  ";
    answers = answer(m, &question, &blank, 1, &o);
    assert_int_equal(nib_answers_get(answers, 0, NULL), 0); /* there is no token that could be one */
    nib_answers_free(answers);
    o.impossible = 1;
    answers = answer(m, &question, &blank, 1, &o);
    const nib_answer_entry *none;
    assert_int_equal(nib_answers_get(answers, 0, &none), 1);
    assert_true(none->score == 1 && none->begin == 0 && none->end == 0);
    nib_answers_free(answers);
    answers = answer(m, NULL, NULL, 0, NULL);
    nib_answers_free(answers);
    nib_answers_free(NULL);
    nib_model_free(m);
    nib_model_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_pipelines),
        cmocka_unit_test(exported),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(a_context_of_many_windows),
        cmocka_unit_test(what_cannot_be_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
