/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph wants and gives, read from small graphs in ONNX's textual syntax whose names say little. In: graphs. Out: roles of
 * inputs, each task's output, the task of a model that nobody gave one, and why a graph cannot do it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "model/model_tasks.h"

static nib_runtime *rt;

static int make_runtime(void **state) {
    nib_error e;
    return base_runtime_create(NULL, &rt, &e) == NIB_OK ? 0 : -1;
}
static int drop_runtime(void **state) {
    base_runtime_release(rt);
    return 0;
}

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17]> g "
/* Three tables of 40, 2 and 12 rows, and their sum. */
#define TABLES                                                                                                                             \
    "words = ConstantOfShape<value = float[1] {0.5}>(s40) kinds = ConstantOfShape<value = float[1] {0.25}>(s2) "                           \
    "places = ConstantOfShape<value = float[1] {0.125}>(s12) "
#define SIZES "<int64[2] s40 = {40, 4}, int64[2] s2 = {2, 4}, int64[2] s12 = {12, 4}>"

static void look(nib_model *m, const char *text) {
    nib_error e;
    memset(m, 0, sizeof *m);
    m->runtime = rt;
    if (graph_parse(&rt->heap, text, strlen(text), &m->source, &e) != NIB_OK) fail_msg("%s", e.message);
    op_resolve(m->source);
    if (op_infer_graph(m->source, &e) != NIB_OK) fail_msg("%s", e.message);
    model_find_roles(m);
}

static void inputs_by_use(void **state) {
    nib_model m;
    look(&m, HEAD "(int64[n, k] a, int64[n, k] b, int64[n, k] c, float[n, k] d) => (float[n, k, w] y) " SIZES " {" TABLES
                  "x0 = Gather(places, a) x1 = Gather(words, b) x2 = Gather(kinds, c) x3 = Add(x0, x1) x4 = Add(x3, x2) "
                  "one = Constant<value_ints = [2]>() e = Unsqueeze(d, one) y = Mul(x4, e) }");
    assert_string_equal(m.no_texts, "");
    assert_int_equal(m.roles.positions, 0);
    assert_int_equal(m.roles.ids, 1);
    assert_int_equal(m.roles.types, 2);
    assert_int_equal(m.roles.mask, 3);
    graph_free(m.source);
}

static void a_table_in_half_precision_is_one(void **state) {
    nib_model m;
    look(&m, HEAD "(int64[n, k] a) => (float[n, k, 4] y) <int64[2] s40 = {40, 4}> "
                  "{ half = ConstantOfShape<value = float16[1] {15360}>(s40) words = Cast<to = 1>(half) y = Gather(words, a) }");
    m.source->first->next->outputs[0]->type.rank = -1; /* roles are looked for before anything is inferred */
    model_find_roles(&m);
    assert_string_equal(m.no_texts, "");
    assert_int_equal(m.roles.ids, 0);
    graph_free(m.source);
}

static void a_table_in_8_bits_is_one(void **state) {
    nib_model m;
    look(&m, HEAD
         "(int64[n, k] a) => (float[n, k, 4] y) <int8[3,4] bytes = {1,2,3,4,5,6,7,8,9,10,11,12}, float scale = {0.5}, int8 zero = {0}> "
         "{ words = DequantizeLinear(bytes, scale, zero) y = Gather(words, a) }");
    m.source->first->outputs[0]->type.rank = -1;
    model_find_roles(&m);
    assert_string_equal(m.no_texts, "");
    assert_int_equal(m.roles.ids, 0);
    graph_free(m.source);
}

static void fixed_shapes_are_seen(void **state) {
    nib_model m;
    look(&m, HEAD "(int64[1, 16] a) => (float[1, 16, w] y) " SIZES " {" TABLES "y = Gather(words, a) }");
    assert_int_equal(m.roles.ids, 0);
    assert_int_equal(m.roles.mask, -1);
    assert_int_equal(m.roles.fixed_batch, 1);
    assert_int_equal(m.roles.fixed_seq, 16);
    graph_free(m.source);
}

static void inputs_that_cannot_be_given(void **state) {
    nib_model m;
    look(&m,
         HEAD "(int64[n, k] a, float[n, 3, 8, 8] image) => (float[n, k, w] y) " SIZES " {" TABLES "y = Gather(words, a) z = Relu(image) }");
    assert_non_null(strstr(m.no_texts, "image"));
    graph_free(m.source);
    look(&m, HEAD "(float[n, k] x) => (float[n, k] y) { y = Relu(x) }");
    assert_non_null(strstr(m.no_texts, "no input"));
    graph_free(m.source);
    look(&m, HEAD "(int64[n, k] a, int64[n, k] mask_one, int64[n, k] mask_two) => (float[n, k, w] y) " SIZES " {" TABLES
                  "y = Gather(words, a) }");
    assert_non_null(strstr(m.no_texts, "seem to be for the same"));
    graph_free(m.source);
}

/* By use, rows that are added to the tokens'; by name, what nib knows; and nothing by being left. */
static void positions_by_use_or_by_name(void **state) {
    static const struct {
        const char *inputs, *body, *why; /* why: NULL if `d` is positions */
    } rows[] = {
        {"int64[n, k] d", "x0 = Gather(places, d) x1 = Gather(words, a) y = Add(x1, x0)", NULL},
        {"int64[n, k] d",
         "u = Cast<to = 6>(d) x0 = Gather(places, u) z = Identity(x0) x1 = Gather(words, a) x2 = Gather(kinds, a) "
         "x3 = Add(x1, x2) y = Add(x3, z)",
         NULL},
        {"int64[n, k] position_ids", "x0 = Gather(places, position_ids) x1 = Gather(words, a) y = Mul(x1, x0)", NULL},
        {"int64[n, k] positions",
         "c = Cast<to = 1>(positions) one = Constant<value_ints = [2]>() e = Unsqueeze(c, one) "
         "x1 = Gather(words, a) y = Mul(x1, e)",
         NULL},
        {"int64[n, k] decoder_input_ids",
         "x0 = Gather(words, decoder_input_ids) r = Relu(x0) x1 = Gather(words, a) y = Add(x1, r)",
         "input decoder_input_ids is for nothing that nib knows"},
        {"int64[n, k] decoder_input_ids",
         "x0 = Gather(places, decoder_input_ids) r = Relu(x0) x1 = Gather(words, a) y = Mul(x1, r)", "is for nothing"},
        {"int64[n, k] pos_tags", "x0 = Gather(places, pos_tags) r = Relu(x0) x1 = Gather(words, a) y = Mul(x1, r)",
         "is for nothing"},
        {"int64[n, k] d", "x0 = Gather(kinds, d) r = Relu(x0) x1 = Gather(words, a) y = Mul(x1, r)", "is for nothing"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[1500];
        nib_model m;
        snprintf(text, sizeof text, HEAD "(int64[n, k] a, %s) => (float[n, k, w] y) " SIZES " {" TABLES "%s }",
                 rows[i].inputs, rows[i].body);
        look(&m, text);
        if (strcmp(m.source->inputs[1]->name, "positions") == 0) { /* as some exporters call it */
            m.source->inputs[1]->name = "model.positions";
            m.no_texts[0] = 0;
            model_find_roles(&m);
        }
        if (rows[i].why ? !strstr(m.no_texts, rows[i].why) : m.no_texts[0] || m.roles.positions != 1)
            fail_msg("%s: %d, %s", rows[i].body, m.roles.positions, m.no_texts);
        graph_free(m.source);
    }
}

static model_program program;

/* The output's name; or "", and program.cannot. */
static const char *chosen_for(nib_task task, const char *outputs, const char *body, const char *wanted,
                              nib_status *status) {
    static nib_model m;
    static char text[4000];
    nib_error e;
    snprintf(text, sizeof text, HEAD "(int64[n, k] a) => (%s) " SIZES " {" TABLES "t = Gather(words, a) %s }", outputs, body);
    look(&m, text);
    memset(&program, 0, sizeof program);
    m.asked.output_name = wanted;
    m.task = task;
    *status = model_choose_output(&m, (int)task, &program, &e);
    graph_free(m.source);
    return program.cannot[0] ? "" : program.output_name;
}

static const char *chosen(const char *outputs, const char *body, const char *wanted, nib_status *status) {
    return chosen_for(NIB_TASK_EMBED, outputs, body, wanted, status);
}

#define POOLED "axis = Constant<value_ints = [1]>() p = ReduceMean<axes = [1], keepdims = 0>(t) "

static void outputs_by_name_then_shape(void **state) {
    nib_status s;
    assert_string_equal(chosen("float[n, w] q, float[n, k, w] x", POOLED "q = Relu(p) x = Relu(t)", NULL, &s),
                        "x"); /* rows of tokens before a vector of unknown kind */
    assert_string_equal(
        chosen("float[n, w] sentence_embedding, float[n, k, w] x", POOLED "sentence_embedding = Relu(p) x = Relu(t)", NULL, &s),
        "sentence_embedding");
    assert_string_equal(chosen("float[n, k, w] x, float[n, k, w] last_hidden_state", "x = Relu(t) last_hidden_state = Neg(t)", NULL, &s),
                        "last_hidden_state");
    assert_string_equal(chosen("float[n, w] q", POOLED "q = Relu(p)", NULL, &s), "q");
    assert_string_equal(chosen("float[n, k, w] x, float[n, k, w] y", "x = Relu(t) y = Neg(t)", "y", &s), "y");
    assert_int_equal(s, NIB_OK);
    chosen("float[n, k, w] x", "x = Relu(t)", "y", &s);
    assert_int_equal(s, NIB_NOT_FOUND);
}

#define ROWS "float[n, k, w] "
#define ROW "float[n, w] "

static void each_task_has_its_output(void **state) {
    static const struct {
        nib_task task;
        const char *outputs, *body, *wanted, *chosen; /* chosen: begins with '!': why there is none */
    } rows[] = {
        {NIB_TASK_TOKENS, ROW "q, " ROWS "x", "q = Relu(p) x = Relu(t)", NULL, "x"},
        {NIB_TASK_TOKENS, ROWS "x, " ROWS "last_hidden_state", "x = Relu(t) last_hidden_state = Neg(t)", NULL,
         "last_hidden_state"},
        {NIB_TASK_TOKENS, ROW "q", "q = Relu(p)", NULL, "!no output of shape [batch, seq, width]"},
        {NIB_TASK_TOKENS, ROWS "logits", "logits = Relu(t)", NULL, "!no output of shape [batch, seq, width]"},
        {NIB_TASK_TOKENS, ROW "q, " ROWS "x", "q = Relu(p) x = Relu(t)", "q",
         "!no output of shape [batch, seq, width]"},
        {NIB_TASK_EMBED, ROW "logits", "logits = Relu(p)", NULL, "!its output logits has scores"},
        {NIB_TASK_EMBED, ROW "logits", "logits = Relu(p)", "logits", "logits"},
        {NIB_TASK_EMBED, ROW "logits, " ROWS "x", "logits = Relu(p) x = Relu(t)", NULL, "x"},
        {NIB_TASK_CLASSIFY, ROW "logits, " ROWS "x", "logits = Relu(p) x = Relu(t)", NULL, "logits"},
        {NIB_TASK_CLASSIFY, ROW "q", "q = Relu(p)", NULL, "q"},
        {NIB_TASK_CLASSIFY, ROW "q, " ROW "r", "q = Relu(p) r = Neg(p)", NULL, "!no output logits"},
        {NIB_TASK_CLASSIFY, ROW "q, " ROW "r", "q = Relu(p) r = Neg(p)", "r", "r"},
        {NIB_TASK_CLASSIFY, ROW "q, " ROWS "x", "q = Relu(p) x = Relu(t)", NULL,
         "!no output logits"}, /* a pooled vector */
        {NIB_TASK_CLASSIFY, ROW "sentence_embedding", "sentence_embedding = Relu(p)", NULL, "!no output logits"},
        {NIB_TASK_CLASSIFY, ROWS "logits", "logits = Relu(t)", NULL, "!no output logits"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char body[200];
        nib_status s;
        snprintf(body, sizeof body, POOLED "%s", rows[i].body);
        const char *got = chosen_for(rows[i].task, rows[i].outputs, body, rows[i].wanted, &s);
        const bool refused = rows[i].chosen[0] == '!';
        assert_int_equal(s, NIB_OK);
        if (refused ? got[0] || !strstr(program.cannot, rows[i].chosen + 1) : strcmp(got, rows[i].chosen) != 0)
            fail_msg("row %zu: %s, %s", i, got, program.cannot);
    }
}

static void a_task_is_chosen(void **state) {
    static const struct {
        const char *outputs, *body, *architecture;
        nib_pooling folder;
        const char *output_name;
        nib_task task;
    } rows[] = {
        {ROW "logits", "logits = Relu(p)", "", 0, NULL, NIB_TASK_CLASSIFY},
        {ROW "logits, " ROWS "x", "logits = Relu(p) x = Relu(t)", "", 0, NULL, NIB_TASK_EMBED},
        {ROW "logits, " ROWS "x", "logits = Relu(p) x = Relu(t)", "BertForSequenceClassification", 0, NULL,
         NIB_TASK_CLASSIFY},
        {ROW "logits, " ROWS "x", "logits = Relu(p) x = Relu(t)", "BertForSequenceClassification", NIB_POOLING_MEAN,
         NULL, NIB_TASK_EMBED},
        {ROW "logits", "logits = Relu(p)", "BertForSequenceClassification", 0, "logits",
         NIB_TASK_EMBED}, /* asked for, as a vector */
        {ROW "q", "q = Relu(p)", "BertForSequenceClassification", 0, NULL, NIB_TASK_CLASSIFY},
        {ROW "q", "q = Relu(p)", "BertModel", 0, NULL, NIB_TASK_EMBED},
        {ROWS "x", "x = Relu(t)", "BertForSequenceClassification", 0, NULL,
         NIB_TASK_EMBED}, /* the encoder alone was exported */
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        static nib_model m;
        static char text[4000];
        const char *why = "";
        snprintf(text, sizeof text,
                 HEAD "(int64[n, k] a) => (%s) " SIZES " {" TABLES "t = Gather(words, a) " POOLED "%s }",
                 rows[i].outputs, rows[i].body);
        look(&m, text);
        m.settings.pooling = rows[i].folder;
        m.asked.output_name = rows[i].output_name;
        snprintf(m.settings.architecture, sizeof m.settings.architecture, "%s", rows[i].architecture);
        const nib_task got = model_choose_task(&m, &why);
        if (got != rows[i].task) fail_msg("row %zu: %s (%s)", i, nib_task_name(got), why);
        graph_free(m.source);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_by_use),
        cmocka_unit_test(positions_by_use_or_by_name),
        cmocka_unit_test(a_table_in_half_precision_is_one),
        cmocka_unit_test(a_table_in_8_bits_is_one),
        cmocka_unit_test(fixed_shapes_are_seen),
        cmocka_unit_test(inputs_that_cannot_be_given),
        cmocka_unit_test(outputs_by_name_then_shape),
        cmocka_unit_test(each_task_has_its_output),
        cmocka_unit_test(a_task_is_chosen),
    };
    return cmocka_run_group_tests(tests, make_runtime, drop_runtime);
}
