/* SPDX-License-Identifier: Apache-2.0
 *
 * Encoders that are called as BERT's: BERT (Devlin et al., 2018), JinaBERT v2 (Guenther et al., 2023: ALiBi and gated
 * feed-forward layers under the model_type of BERT), RoBERTa (Liu et al., 2019) and its kin.
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------- BERT */

static const hf_names bert_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .out = "attention.output.dense",
    .attention = {.after = "attention.output.LayerNorm"},
    .feed_forward = {.after = "output.LayerNorm"},
    .up = "intermediate.dense",
    .down = "output.dense",
};

static const hf_names jina_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .out = "attention.output.dense",
    .attention = {.after = "attention.output.LayerNorm"},
    .feed_forward = {.after = "mlp.layernorm"},
    .up = "mlp.gated_layers",
    .down = "mlp.wo",
};

/* The second form, of the models for code and for Spanish. Its layers add their input twice. */
static const hf_names jina_code_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .q_norm = "attention.self.layer_norm_q",
    .k_norm = "attention.self.layer_norm_k",
    .out = "attention.output.dense",
    .attention = {.joined = "attention.output.LayerNorm", .after = "layer_norm_1"},
    .feed_forward = {.after = "layer_norm_2"},
    .up = "mlp.up_gated_layer",
    .down = "mlp.down_layer",
};

static const hf_key bert_keys[] = {
    HF_SIZE_OR("type_vocab_size", types, 2, 1),
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_SIZE_OR("pad_token_id", pad, -1, -1),
    HF_KEYS_END,
};

static const base_key bert_known[] = {
    BASE_KEY_OBEYED("position_embedding_type"),
    BASE_KEY_OBEYED("feed_forward_type"),
    BASE_KEY_OBEYED("is_decoder"),
    BASE_KEY_HARMLESS("add_cross_attention", "false|null", "an encoder has none"),
    BASE_KEY_HARMLESS("directionality", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("pooler_fc_size", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("pooler_num_attention_heads", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("pooler_num_fc_layers", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("pooler_size_per_head", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("pooler_type", "*", "of a pooler that transformers has not"),
    BASE_KEY_HARMLESS("emb_pooler", "*", "how its own code pools; modules.json and 1_Pooling say how nib does"),
    BASE_KEY_HARMLESS("model_max_length", "*", "the tokenizer's files say it"),
    BASE_KEYS_END,
};

/* What all encoders of this kind have in common: a bias everywhere. */
static void all_biases(hf_stack *s) { s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true; }

static void configure_bert(hf_builder *b, hf_stack *s) {
    const char *positions = hf_config_word(b, "position_embedding_type", "absolute");
    const char *forward = hf_config_word(b, "feed_forward_type", "original");
    all_biases(s);
    hf_refuse_flag(b, "is_decoder", false);
    s->learned = HF_LEARNED_COLUMNS;
    if (strcmp(positions, "alibi") == 0) s->learned = HF_LEARNED_NONE, s->alibi = true;
    else if (strcmp(positions, "absolute") != 0) hf_refuse(b, NIB_UNSUPPORTED, "bert: position_embedding_type '%.60s'", positions);
    if (strcmp(forward, "geglu") == 0) {
        s->gate = HF_GATE_FIRST;
        s->activation = "gelu";
        s->up_bias = false;
        s->names = &jina_names;
    } else if (strcmp(forward, "original") != 0) {
        hf_refuse(b, NIB_UNSUPPORTED, "bert: feed_forward_type '%.60s'", forward);
    }
    if (s->alibi != (s->gate != HF_GATE_NONE))
        hf_refuse(b, NIB_UNSUPPORTED, "bert: position_embedding_type '%.60s' with feed_forward_type '%.60s'", positions, forward);
}

/* config.json is the same for both forms of JinaBERT v2. */
static void look_bert(hf_builder *b, hf_stack *s) {
    const char *norm = hf_path(b, "%s.0.%s.weight", jina_code_names.layer, jina_code_names.q_norm);
    if (s->gate == HF_GATE_NONE || !hf_has_weight(b, norm)) return;
    s->names = &jina_code_names;
    s->gate = HF_GATE_SECOND;
    s->head_norm = HF_HEAD_NORM_WIDTH;
    s->head_norm_bias = true;
}

static const hf_head bert_heads[] = {
    {.output = "pooler_output", .suffix = "", .take = HF_TAKE_FIRST, .dense = "pooler.dense", .activation = "tanh"},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "cls.predictions.transform.dense", NULL, NULL, "cls.predictions.transform.LayerNorm", NULL,
     "cls.predictions.decoder"},
    {.output = NULL},
};

const hf_family hf_family_bert = {
    .types = "bert",
    .classes = "Bert|JinaBert|HF_ColBERT",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "bert.", NULL},
    .keys = {hf_usual_sizes, bert_keys, NULL},
    .known = {bert_known, NULL},
    .names = &bert_names,
    .configure = configure_bert,
    .look = look_bert,
    .heads = bert_heads,
};

/* ---------------------------------------------------------------- RoBERTa */

static const hf_key roberta_keys[] = {
    HF_SIZE_OR("type_vocab_size", types, 2, 1),
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_SIZE_OR("pad_token_id", pad, 1, 0),
    HF_KEYS_END,
};

static const base_key roberta_known[] = {
    BASE_KEY_OBEYED("position_embedding_type"),
    BASE_KEY_OBEYED("is_decoder"),
    BASE_KEY_HARMLESS("add_cross_attention", "false|null", "an encoder has none"),
    BASE_KEY_HARMLESS("output_past", "*", "an encoder has no cache"),
    BASE_KEYS_END,
};

static void configure_roberta(hf_builder *b, hf_stack *s) {
    const char *positions = hf_config_word(b, "position_embedding_type", "absolute");
    all_biases(s);
    hf_refuse_flag(b, "is_decoder", false);
    s->learned = HF_LEARNED_IDS;
    s->types_unread = s->types == 1; /* its tokenizers give no segments */
    if (strcmp(positions, "absolute") != 0) hf_refuse(b, NIB_UNSUPPORTED, "roberta: position_embedding_type '%.60s'", positions);
}

static const hf_head roberta_heads[] = {
    {.output = "pooler_output", .suffix = "", .take = HF_TAKE_FIRST, .dense = "pooler.dense", .activation = "tanh"},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "classifier.dense", "tanh", NULL, NULL, "classifier.out_proj", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "lm_head.dense", "gelu", NULL, "lm_head.layer_norm", NULL, "lm_head.decoder"},
    {.output = NULL},
};

const hf_family hf_family_roberta = {
    .types = "roberta|xlm-roberta|camembert",
    .classes = "Roberta|XLMRoberta|Camembert",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "roberta.", NULL},
    .keys = {hf_usual_sizes, roberta_keys, NULL},
    .known = {roberta_known, NULL},
    .names = &bert_names,
    .configure = configure_roberta,
    .heads = roberta_heads,
};
