/* SPDX-License-Identifier: Apache-2.0
 *
 * Rerankers that are decoders, against sentence-transformers' CrossEncoder and the card of Qwen3-Reranker. In:
 * test/data/tasks/judge-*. Out: scores with an instruction, and of texts that are cut; compiled files; what is refused.
 * (test_task_rank.c has their order, scores and bits.)
 */
#include "task_golden.h"
#include "model/model.h"

static const char *const models[] = {"judge-qwen3", "judge-llama",      "judge-classifier",
                                     "judge-card",  "judge-card-qwen2", "judge-card-gemma"};
#define MODELS (sizeof models / sizeof *models)

/* The largest difference from a golden's scores, as a part of the largest of them. */
static double difference(nib_model *m, yyjson_val *golden, const char *want, const nib_rank_options *given) {
    const char *documents[MOST_TEXTS];
    nib_ranked got[MOST_TEXTS];
    nib_error e;
    size_t count;
    double most = 0, largest = 1e-30;
    nib_rank_options o = *given;
    const size_t n = golden_texts(yyjson_obj_get(golden, "documents"), documents);
    o.scores = NIB_SCORES_RAW;
    if (nib_rank(m, yyjson_get_str(yyjson_obj_get(golden, "query")), documents, n, &o, got, &count, &e) != NIB_OK)
        fail_msg("%s", e.message);
    for (size_t i = 0; i < n; i++) {
        const double w = yyjson_get_num(yyjson_arr_get(yyjson_obj_get(golden, want), got[i].index));
        if (!(fabs((double)got[i].score - w) <= most)) most = fabs((double)got[i].score - w);
        if (fabs(w) > largest) largest = fabs(w);
    }
    return most / largest;
}

static nib_rank_options options_of(void) {
    nib_rank_options o;
    nib_rank_defaults(&o, sizeof o);
    return o;
}

static void instructions_and_cut_texts(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        nib_rank_options plain = options_of(), named = plain, told = plain, cut = plain;
        named.prompt_name = "towns";
        told.prompt = yyjson_get_str(yyjson_obj_get(golden, "instruction"));
        cut.max_tokens = yyjson_get_sint(yyjson_obj_get(golden, "short"));
        double d = difference(m, golden, "instructed", strncmp(models[k], "judge-card", 10) == 0 ? &told : &named);
        if (!(d <= 1e-4)) fail_msg("%s, with an instruction by name: differs by %g", models[k], d);
        if (!((d = difference(m, golden, "instructed", &told)) <= 1e-4))
            fail_msg("%s, with an instruction: differs by %g", models[k], d);
        if (!((d = difference(m, golden, "cut", &cut)) <= 1e-4)) fail_msg("%s, cut: differs by %g", models[k], d);
        assert_true(difference(m, golden, "instructed", &plain) > 1e-2);
        assert_true(difference(m, golden, "cut", &plain) > 1e-2);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

/* Two rows of the head, and not as many as there are words. */
static void no_word_else_is_scored(void **state) {
    static char text[1 << 16];
    size_t length;
    nib_error e;
    nib_model *m = golden_model("judge-qwen3", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_model_task(m), NIB_TASK_CLASSIFY);
    assert_int_equal(nib_model_label_count(m), 1);
    assert_int_equal(nib_model_explain(m, text, sizeof text, &length, &e), NIB_OK);
    const graph *g = model_own(m)->g;
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_tensor *t = n->inputs[i].value ? n->inputs[i].value->constant : NULL;
            const bool of_words = t && t->rank == 2 && (t->dims[0] == 560 || t->dims[1] == 560);
            if (of_words && strcmp(n->op, "Embed") != 0) fail_msg("%s reads a table of all words", n->op);
        }
    assert_non_null(strstr(text, "batches are packed"));
    assert_int_equal(nib_model_describe(m, text, sizeof text, &length), NIB_OK);
    assert_non_null(strstr(text, "with any others"));
    assert_non_null(strstr(text, "1_LogitScore/config.json"));
    nib_model_free(m);
}

static void compiled(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        char from[300], to[] = "/tmp/nib-judge-XXXXXX", file[64];
        nib_compile_options o;
        nib_model_options model;
        nib_error e;
        yyjson_doc *doc = golden_open(models[k]);
        const nib_rank_options plain = options_of();
        nib_rank_options told = plain;
        assert_non_null(mkdtemp(to));
        snprintf(from, sizeof from, TASKS "%s", models[k]);
        snprintf(file, sizeof file, "%s/it.nib", to);
        nib_compile_defaults(&o, sizeof o);
        nib_model_defaults(&model, sizeof model);
        model.task = NIB_TASK_CLASSIFY;
        o.model = &model;
        if (nib_compile_file(from, file, &o, &e) != NIB_OK) fail_msg("%s: %s", models[k], e.message);
        nib_model *m = golden_model(file, NIB_PRECISION_FILE, 2);
        told.prompt = yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "instruction"));
        assert_true(difference(m, yyjson_doc_get_root(doc), "relevance", &plain) <= 1e-4);
        assert_true(difference(m, yyjson_doc_get_root(doc), "instructed", &told) <= 1e-4);
        nib_model_free(m);
        yyjson_doc_free(doc);
        golden_remove(to);
    }
}

/* What nib export writes has the score, and the template beside it. */
static void exported(void **state) {
    static const char *const rows[] = {"judge-qwen3", "judge-llama", "judge-classifier"};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        char to[64];
        yyjson_doc *doc = golden_open(rows[k]);
        const nib_rank_options plain = options_of();
        nib_model *m = golden_exported(rows[k], to);
        const double d = difference(m, yyjson_doc_get_root(doc), "relevance", &plain);
        if (!(d <= 1e-4)) fail_msg("%s, exported: differs by %g", rows[k], d);
        nib_model_free(m);
        yyjson_doc_free(doc);
        golden_remove(to);
    }
}

/* A folder with another file in it gives this answer to who ranks. */
static void refused(const char *name, const char *file, const char *text, const nib_rank_options *o, nib_status want,
                    const char *why) {
    const char *document = "a nib", *path = golden_variant(name, file, text, strlen(text));
    char where[64];
    nib_model_options options;
    nib_ranked got;
    nib_error e = {.message = ""};
    nib_model *m = NULL;
    size_t count;
    snprintf(where, sizeof where, "%s", path);
    nib_model_defaults(&options, sizeof options);
    nib_status status = nib_model_open(where, &options, &m, &e);
    if (status == NIB_OK) status = nib_rank(m, "who?", &document, 1, o, &got, &count, &e);
    if (status != want || !strstr(e.message, why)) fail_msg("%s, %s: %s, want '%s'", name, file, e.message, why);
    nib_model_free(m);
    golden_remove(where);
}

#define PAIR "{{ messages[-2].content }} {{ messages[-1].content }}"

/* The score of one document where chat_template.jinja is this. */
static float score_with(const char *chat_template) {
    const char *document = "a nib";
    const nib_rank_options o = options_of();
    char where[64];
    nib_ranked got;
    nib_error e = {.message = ""};
    size_t count;
    snprintf(where, sizeof where, "%s", golden_variant("judge-qwen3", "chat_template.jinja", chat_template, strlen(chat_template)));
    nib_model *m = golden_model(where, NIB_PRECISION_FILE, 1);
    if (nib_rank(m, "who?", &document, 1, &o, &got, &count, &e) != NIB_OK) fail_msg("%s: %s", chat_template, e.message);
    nib_model_free(m);
    golden_remove(where);
    return got.score;
}

/* What apply_chat_template always gives a template, whether it was asked for or not. */
static void variables_of_every_template(void **state) {
    static const char *const same[] = {
        PAIR "{% if tools is not none or documents is not none or add_generation_prompt %}!{% endif %}",
        PAIR "{% if tools is undefined or documents is not defined or add_generation_prompt is not defined %}!{% endif %}",
        PAIR "{# a comment +#}",
        PAIR "{#-#}",
        PAIR "{% if enable_thinking is defined %}!{% endif %}",
    };
    const float want = score_with(PAIR);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (score_with(same[i]) != want) fail_msg("%s is not %s", same[i], PAIR);
    assert_true(score_with(PAIR "!") != want);
}

#define ARGUMENTS(of, arguments)                                                                                       \
    "{\"transformer_task\": \"text-generation\", \"modality_config\": {\"message\": {\"format\": \"flat\"}}, "           \
    "\"processing_kwargs\": {\"" of "\": " arguments "}}"
#define SAID(arguments) ARGUMENTS("chat_template", arguments)
#define TEXT(arguments) ARGUMENTS("text", arguments)
#define COMMON(arguments) ARGUMENTS("common", arguments)

/* A pair of which the template makes nothing at all has no score, in a call that waits in a queue or does not. */
static void a_pair_without_tokens(void **state) {
    const char *const documents[] = {"a nib", ""};
    static const char chat_template[] = "{{ messages[-2].content }}{{ messages[-1].content }}";
    nib_rank_options o = options_of();
    nib_ticket ticket;
    nib_queue *q;
    char where[64];
    nib_ranked got[2];
    nib_error e = {.message = ""};
    size_t count;
    snprintf(where, sizeof where, "%s", golden_variant("judge-qwen3", "chat_template.jinja", chat_template, strlen(chat_template)));
    nib_model *m = golden_model(where, NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_rank(m, "who?", documents, 2, &o, got, &count, &e), NIB_OK);
    assert_int_equal(nib_rank(m, "", documents, 1, &o, got, &count, &e), NIB_OK);
    assert_int_equal(nib_rank(m, "", documents, 2, &o, got, &count, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "the pair of texts 1 has no token"));
    assert_int_equal(nib_queue_create(m->runtime, NULL, &q, &e), NIB_OK);
    nib_ticket_defaults(&ticket, sizeof ticket);
    ticket.queue = q;
    o.ticket = &ticket;
    e.message[0] = 0;
    assert_int_equal(nib_rank(m, "", documents, 2, &o, got, &count, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "the pair of texts 1 has no token"));
    nib_queue_free(q);
    nib_model_free(m);
    golden_remove(where);
}

/* judge-qwen3's config.json, which says of a head that is the table of words that it is not. */
static const char *untied(void) {
    static char text[4096];
    FILE *f = fopen(TASKS "judge-qwen3/config.json", "rb");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    char *at = strstr(text, "\"tie_word_embeddings\": true");
    assert_non_null(at);
    memcpy(at, "\"tie_word_embeddings\":false", strlen("\"tie_word_embeddings\": true"));
    return text;
}

static void what_is_refused(void **state) {
    const char *text = "a nib";
    float score;
    nib_error e;
    nib_rank_options told = options_of(), plain = told;
    told.prompt = "of towns";
    refused("judge-qwen3", "chat_template.jinja", "{{ messages | tojson }}", &plain, NIB_UNSUPPORTED,
            "the filter `tojson`");
    refused("judge-qwen3", "chat_template.jinja", "{{ messages[-1].content }}", &plain, NIB_UNSUPPORTED,
            "roles query and document");
    refused("judge-classifier", "chat_template.jinja", "{% block x %}{% endblock %}", &plain, NIB_UNSUPPORTED, "block");
    refused("judge-qwen3", "chat_template.jinja", "{{ messages[-2].content }} {{ messages[-1].content }}", &told,
            NIB_INVALID_ARGUMENT, "no place for an instruction");
    refused("judge-qwen3", "chat_template.jinja", "{{ messages[-2].content }} {{ messages[-1].content }}", &plain,
            NIB_OK, "");
    refused("judge-qwen3", "chat_template.jinja", PAIR "{{ other_token }}", &plain, NIB_UNSUPPORTED, "the variable `other_token`");
    refused("judge-qwen3", "chat_template.jinja", PAIR "{% if 1 == 1 in [true] %}!{% endif %}", &plain, NIB_UNSUPPORTED, "in a chain");
    refused("judge-qwen3", "chat_template.jinja", PAIR "\xc2\xa0{%- if true %}!{% endif %}", &plain, NIB_UNSUPPORTED, "beyond ASCII");
    refused("judge-qwen3", "chat_template.jinja", PAIR "{% if true -%}\xe3\x80\x80!{% endif %}", &plain, NIB_UNSUPPORTED, "beyond ASCII");
    refused("judge-qwen3", "chat_template.jinja", PAIR "{% if messages[5] is iterable %}!{% endif %}", &plain, NIB_UNSUPPORTED,
            "undefined");
    refused("judge-qwen3", "sentence_bert_config.json",
            SAID("{\"max_length\": 30}"), &plain, NIB_UNSUPPORTED, "processing_kwargs.chat_template.max_length");
    refused("judge-qwen3", "sentence_bert_config.json",
            SAID("{\"restore_suffix\": true, \"max_length\": null, \"add_generation_prompt\": false}"), &plain, NIB_OK, "");
    refused("judge-qwen3", "sentence_bert_config.json", SAID("{\"tools\": [1]}"), &plain, NIB_UNSUPPORTED, "(tools)");
    refused("judge-qwen3", "sentence_bert_config.json", SAID("{\"task\": \"\\u0002\"}"), &plain, NIB_UNSUPPORTED, "(task)");
    refused("judge-qwen3", "sentence_bert_config.json",
            "{\"transformer_task\": \"feature-extraction\", \"modality_config\": {\"message\": {\"format\": \"flat\"}}}", &plain,
            NIB_UNSUPPORTED, "transformer_task");
    refused("judge-qwen3", "sentence_bert_config.json", "{}", &plain, NIB_UNSUPPORTED, "transformer_task");
    refused("judge-qwen3", "sentence_bert_config.json", TEXT("{\"truncation\": false}"), &plain, NIB_UNSUPPORTED,
            "processing_kwargs.text: truncation false");
    refused("judge-qwen3", "sentence_bert_config.json", TEXT("{\"add_special_tokens\": false}"), &plain, NIB_UNSUPPORTED,
            "add_special_tokens false");
    refused("judge-qwen3", "sentence_bert_config.json", TEXT("{\"max_length\": 0}"), &plain, NIB_BAD_MODEL, "max_length");
    refused("judge-qwen3", "sentence_bert_config.json", TEXT("{\"truncation\": true, \"padding\": \"max_length\"}"), &plain, NIB_OK,
            "");
    refused("judge-qwen3", "sentence_bert_config.json", COMMON("{\"max_length\": 20}"), &plain, NIB_UNSUPPORTED,
            "processing_kwargs.common: max_length 20");
    refused("judge-qwen3", "config.json", untied(), &plain, NIB_UNSUPPORTED, "tie_word_embeddings");
    refused("judge-qwen3", "1_LogitScore/config.json", "{\"true_token_id\": 999999}", &plain, NIB_UNSUPPORTED,
            "999999");
    refused("judge-qwen3", "1_LogitScore/config.json", "{\"true_token_id\": 5, \"false_token_id\": 560}", &plain,
            NIB_UNSUPPORTED, "560");
    refused("judge-qwen3", "1_LogitScore/config.json", "{\"true_token_id\": -1}", &plain, NIB_BAD_MODEL,
            "true_token_id");
    refused("judge-qwen3", "1_LogitScore/config.json", "{}", &plain, NIB_BAD_MODEL, "true_token_id");
    refused("judge-llama", "modules.json", "[{\"path\": \"\", \"type\": \"Transformer\"}]", &plain, NIB_UNSUPPORTED,
            "cannot classify");
    nib_model *m = golden_model("judge-qwen3", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_classify(m, &text, NULL, 1, NULL, &score, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "a query and a document"));
    assert_int_equal(nib_classify(m, &text, &text, 1, NULL, &score, &e), NIB_OK);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instructions_and_cut_texts),
        cmocka_unit_test(no_word_else_is_scored),
        cmocka_unit_test(compiled),
        cmocka_unit_test(exported),
        cmocka_unit_test(variables_of_every_template),
        cmocka_unit_test(a_pair_without_tokens),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests_name("judge", tests, NULL, NULL);
}
