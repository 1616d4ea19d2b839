/* SPDX-License-Identifier: Apache-2.0
 *
 * Token classification, against transformers' pipeline. In: test/data/tasks/ner-*. Out: entities, scores, bits,
 * refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"ner-bert", "ner-modernbert", "ner-deberta"};
#define MODELS (sizeof models / sizeof *models)

static nib_tags *tag(nib_model *m, const char *const *texts, size_t n, const nib_tag_options *o) {
    nib_error e;
    nib_tags *tags;
    if (nib_tag(m, texts, n, o, &tags, &e) != NIB_OK) fail_msg("%s", e.message);
    return tags;
}

static nib_tag_options options_of(nib_aggregation how) {
    nib_tag_options o;
    nib_tag_defaults(&o, sizeof o);
    o.aggregation = how;
    return o;
}

static size_t byte_of(const char *text, size_t character) {
    size_t at = 0;
    for (; character > 0; character--)
        for (at++; (text[at] & 0xc0) == 0x80;) at++;
    return at;
}

/* The entities of one text, and the pipeline's. */
static void check_text(const char *what, const char *text, const nib_entity *got, size_t count, yyjson_val *want) {
    size_t i, n;
    yyjson_val *w;
    if (count != yyjson_arr_size(want))
        fail_msg("%s: '%s': %zu entities, want %zu", what, text, count, yyjson_arr_size(want));
    yyjson_arr_foreach(want, i, n, w) {
        const nib_entity *g = &got[i];
        yyjson_val *label = yyjson_obj_get(w, "entity"), *index = yyjson_obj_get(w, "index");
        if (!label) label = yyjson_obj_get(w, "entity_group");
        const size_t begin = byte_of(text, yyjson_get_uint(yyjson_obj_get(w, "start")));
        const size_t end = byte_of(text, yyjson_get_uint(yyjson_obj_get(w, "end")));
        const double score = yyjson_get_num(yyjson_obj_get(w, "score"));
        if (strcmp(g->label, yyjson_get_str(label)) != 0 ||
            strcmp(g->word, yyjson_get_str(yyjson_obj_get(w, "word"))) != 0)
            fail_msg("%s: '%s', entity %zu: %s '%s', want %s '%s'", what, text, i, g->label, g->word,
                     yyjson_get_str(label), yyjson_get_str(yyjson_obj_get(w, "word")));
        if (g->begin != begin || g->end != end || (index && g->token != yyjson_get_int(index)))
            fail_msg("%s: '%s', entity %zu: %zu to %zu, token %d", what, text, i, g->begin, g->end, (int)g->token);
        if (!(fabs((double)g->score - score) <= 1e-5))
            fail_msg("%s: '%s', entity %zu: %g, want %g", what, text, i, (double)g->score, score);
    }
}

static void check_all(const char *what, nib_model *m, const nib_tag_options *o, const char *const *texts, size_t n,
                      yyjson_val *want) {
    nib_tags *tags = tag(m, texts, n, o);
    for (size_t i = 0; i < n; i++) {
        const nib_entity *found;
        const size_t count = nib_tags_get(tags, i, &found);
        check_text(what, texts[i], found, count, yyjson_arr_get(want, i));
    }
    assert_int_equal(nib_tags_get(tags, n, NULL), 0);
    nib_tags_free(tags);
}

static void entities_are_the_pipelines(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        const char *texts[MOST_TEXTS], *ignored[] = {"PER", "LOC"};
        char what[80], all[4000] = "", *joined = all;
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        assert_int_equal(nib_model_task(m), NIB_TASK_TAG);
        assert_int_equal(nib_model_label_count(m), 7);
        assert_string_equal(nib_model_label(m, 1), "B-PER");
        for (int how = NIB_AGGREGATION_NONE; how <= NIB_AGGREGATION_MAX; how++) {
            const nib_tag_options o = options_of((nib_aggregation)how);
            snprintf(what, sizeof what, "%s, %s", models[k], nib_aggregation_name(o.aggregation));
            check_all(what, m, &o, texts, n, yyjson_obj_get(golden, nib_aggregation_name(o.aggregation)));
        }
        nib_tag_options o = options_of(NIB_AGGREGATION_MAX);
        o.ignore = ignored;
        o.ignore_count = 2;
        check_all("ignore", m, &o, texts, n, yyjson_obj_get(golden, "ignore"));
        for (size_t i = 0; i < n; i++) joined += sprintf(joined, "%s%s", i ? " " : "", texts[i]);
        const char *long_text = all;
        o = options_of(NIB_AGGREGATION_FIRST);
        o.windows = 1;
        o.stride = 7;
        check_all("windows", m, &o, &long_text, 1, yyjson_obj_get(golden, "stride"));
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

/* Raw scores, as vectors of tokens of that output. */
static void scores_are_pytorchs(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        char path[300];
        const char *texts[MOST_TEXTS];
        int64_t offsets[MOST_TEXTS + 1];
        double most = 0, largest = 0;
        size_t i, j, l, n, rows, labels;
        nib_error e;
        nib_tensor *got;
        nib_model *m;
        nib_model_options o;
        yyjson_val *text, *row, *x;
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        const size_t count = golden_texts(yyjson_obj_get(golden, "texts"), texts);
        snprintf(path, sizeof path, TASKS "%s", models[k]);
        nib_model_defaults(&o, sizeof o);
        o.task = NIB_TASK_TOKENS;
        o.output_name = "logits";
        assert_int_equal(nib_model_open(path, &o, &m, &e), NIB_OK);
        assert_int_equal(nib_embed_tokens(m, texts, count, NULL, offsets, &got, &e), NIB_OK);
        yyjson_arr_foreach(yyjson_obj_get(golden, "logits"), i, n, text) {
            assert_int_equal(offsets[i + 1] - offsets[i], yyjson_arr_size(text));
            yyjson_arr_foreach(text, j, rows, row) yyjson_arr_foreach(row, l, labels, x) {
                const float *at = (const float *)got->data + ((size_t)offsets[i] + j) * labels + l;
                const double d = fabs((double)*at - yyjson_get_num(x));
                if (!(d <= most)) most = d;
                if (fabs(yyjson_get_num(x)) > largest) largest = fabs(yyjson_get_num(x));
            }
        }
        if (!(most <= 1e-4 * largest)) fail_msg("%s: %g of %g", models[k], most, largest);
        nib_tensor_free(got);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

static void same(const nib_tags *a, size_t i, const nib_tags *b, size_t j) {
    const nib_entity *x, *y;
    const size_t n = nib_tags_get(a, i, &x);
    assert_int_equal(n, nib_tags_get(b, j, &y));
    for (size_t k = 0; k < n; k++) {
        assert_memory_equal(&x[k].score, &y[k].score, sizeof x[k].score);
        assert_true(x[k].begin == y[k].begin && x[k].end == y[k].end && x[k].token == y[k].token);
        assert_string_equal(x[k].label, y[k].label);
        assert_string_equal(x[k].word, y[k].word);
    }
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    const char *texts[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?", "Clara"};
    for (size_t k = 0; k < MODELS; k++)
        for (size_t p = 0; p < 3; p++) {
            const nib_tag_options o = options_of(NIB_AGGREGATION_AVERAGE);
            nib_model *m = golden_model(models[k], precisions[p], 2),
                      *alone = golden_model(models[k], precisions[p], 1);
            nib_tags *all = tag(m, texts, 5, &o);
            for (size_t i = 0; i < 5; i++) {
                nib_tags *one = tag(alone, texts + i, 1, &o);
                same(all, i, one, 0);
                nib_tags_free(one);
            }
            nib_model_free(m);
            nib_tags_free(all); /* labels outlive the caller's model */
            nib_model_free(alone);
        }
}

static void nothing_is_lost_of_a_long_text(void **state) {
    enum { REPEATS = 3000 };
    char *text = malloc(REPEATS * 7 + 1);
    int64_t tokens, full;
    const nib_entity *found;
    nib_model *m = golden_model("ner-bert", NIB_PRECISION_FILE, 2);
    nib_tag_options o = options_of(NIB_AGGREGATION_FIRST);
    for (int i = 0; i < REPEATS; i++) memcpy(text + 7 * i, "Clara, ", 8);
    o.ignore = (const char *const[]){""}; /* so that O is no exception */
    o.ignore_count = 1;
    o.tokens = &tokens;
    o.full_tokens = &full;
    nib_tags *cut = tag(m, (const char *const *)&text, 1, &o);
    size_t n = nib_tags_get(cut, 0, &found);
    assert_true(tokens == 48 && full > REPEATS && n > 0 && found[n - 1].end < 200);
    nib_tags_free(cut);
    o.windows = 1;
    o.stride = 5;
    nib_tags *whole = tag(m, (const char *const *)&text, 1, &o);
    n = nib_tags_get(whole, 0, &found);
    assert_int_equal(found[n - 1].end, 7 * REPEATS - 1);
    for (size_t i = 1; i < n; i++) assert_true(found[i].begin >= found[i - 1].end);
    nib_tags_free(whole);
    nib_model_free(m);
    free(text);
}

static void through_a_queue_and_many(void **state) {
    enum { MANY = 5000 };
    nib_error e;
    nib_queue *queue;
    nib_queue_options q;
    nib_ticket ticket;
    nib_runtime *runtime;
    nib_model_options open;
    nib_model *m;
    const char **texts = malloc(MANY * sizeof *texts);
    nib_tag_options o = options_of(NIB_AGGREGATION_SIMPLE);
    for (size_t i = 0; i < MANY; i++) texts[i] = i % 3 ? "Ada of Paris" : i % 2 ? "" : "Clara";
    assert_int_equal(nib_runtime_create(NULL, &runtime, &e), NIB_OK);
    nib_model_defaults(&open, sizeof open);
    open.runtime = runtime;
    assert_int_equal(nib_model_open(TASKS "ner-bert", &open, &m, &e), NIB_OK);
    nib_queue_defaults(&q, sizeof q);
    nib_ticket_defaults(&ticket, sizeof ticket);
    assert_int_equal(nib_queue_create(runtime, &q, &queue, &e), NIB_OK);
    nib_tags *plain = tag(m, texts, MANY, &o);
    ticket.queue = queue;
    o.ticket = &ticket;
    nib_tags *waited = tag(m, texts, MANY, &o);
    for (size_t i = 0; i < MANY; i++) same(plain, i, waited, i);
    for (size_t i = 6; i < MANY; i++) same(plain, i, plain, i % 6);
    nib_tags_free(plain);
    nib_tags_free(waited);
    nib_queue_free(queue);
    nib_model_free(m);
    nib_runtime_free(runtime);
    free(texts);
}

static void numbers_that_are_none_and_labels_that_are_missing(void **state) {
    static const char more[] =
        "{\"architectures\": [\"BertForTokenClassification\"], \"model_type\": \"bert\", \"hidden_size\": 32, "
        "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"intermediate_size\": 40, "
        "\"max_position_embeddings\": 48, \"vocab_size\": 170, \"type_vocab_size\": 2, "
        "\"id2label\": {\"0\": \"B-PER\", \"9\": \"far\"}}";
    const char *text = "Clara";
    size_t size;
    const nib_entity *found;
    const nib_tag_options o = options_of(NIB_AGGREGATION_NONE);
    char *weights = golden_file("ner-bert", "model.safetensors", &size);
    memset(weights + size - 4, 0xff, 4);
    const char *path = golden_variant("ner-bert", "model.safetensors", weights, size);
    nib_model *m = golden_model(path, NIB_PRECISION_FILE, 1);
    nib_tags *tags = tag(m, &text, 1, &(nib_tag_options){.size = o.size, .ignore = &text, .ignore_count = 1});
    assert_true(nib_tags_get(tags, 0, &found) > 0 && isnan(found[0].score));
    nib_tags_free(tags);
    nib_model_free(m);
    golden_remove(path);
    free(weights);
    path = golden_variant("ner-bert", "config.json", more, sizeof more - 1);
    m = golden_model(path, NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_model_label_count(m), 7);
    assert_string_equal(nib_model_label(m, 0), "B-PER");
    assert_string_equal(nib_model_label(m, 6), "LABEL_6");
    nib_model_free(m);
    golden_remove(path);
}

static void what_cannot_be_tagged_is_refused(void **state) {
    const char
        *texts[] = {"a nib", NULL},
        *long_text =
            "a b c d e f g h i j k l m n o p q r s t u v w x y z a b c d e f g h i j k l m n o p q r s t u v w x y z";
    nib_error e;
    nib_tags *tags;
    nib_tag_options o = options_of(NIB_AGGREGATION_NONE);
    nib_model *m = golden_model("ner-bert", NIB_PRECISION_FILE, 1),
              *other = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    o.windows = 1;
    assert_int_equal(nib_tag(m, texts, 1, &o, &tags, &e), NIB_INVALID_ARGUMENT);
    assert_null(tags);
    o = options_of(NIB_AGGREGATION_SIMPLE);
    o.windows = 1;
    o.stride = 46; /* of 48, two of which are special: nothing new would come into a window */
    assert_int_equal(nib_tag(m, &long_text, 1, &o, &tags, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_tag(m, texts, 2, NULL, &tags, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_tag(other, texts, 1, NULL, &tags, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "this model cannot label tokens"));
    nib_model_free(m);
    nib_model_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entities_are_the_pipelines),
        cmocka_unit_test(scores_are_pytorchs),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(nothing_is_lost_of_a_long_text),
        cmocka_unit_test(through_a_queue_and_many),
        cmocka_unit_test(numbers_that_are_none_and_labels_that_are_missing),
        cmocka_unit_test(what_cannot_be_tagged_is_refused),
    };
    return cmocka_run_group_tests_name("tag", tests, NULL, NULL);
}
