/* SPDX-License-Identifier: Apache-2.0
 *
 * More encoders with a norm behind each sum: DistilBERT (Sanh et al., 2019), MPNet (Song et al., 2020: biases by
 * distance beside learned positions), ALBERT (Lan et al., 2019: layers that share weights), ELECTRA (Clark et al.,
 * 2020), RoFormer (Su et al., 2021: rotary positions that turn neighbouring columns together).
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>

static const base_key known[] = {
    BASE_KEY_OBEYED("position_embedding_type"),
    BASE_KEY_OBEYED("is_decoder"),
    BASE_KEY_OBEYED("inner_group_num"),
    BASE_KEY_OBEYED("rotary_value"),
    BASE_KEY_HARMLESS("add_cross_attention", "false|null", "an encoder has none"),
    BASE_KEY_HARMLESS("sinusoidal_pos_embds", "*", "the table of positions is among the weights"),
    BASE_KEY_HARMLESS("tie_weights_", "*", "a head's weights say it"),
    BASE_KEY_HARMLESS("qa_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("seq_classif_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("classifier_dropout_prob", "*", "only in training"),
    BASE_KEY_HARMLESS("summary_type", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_use_proj", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_activation", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_last_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("summary_first_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("net_structure_type", "*", "of ALBERT's first code"),
    BASE_KEY_HARMLESS("gap_size", "*", "of ALBERT's first code"),
    BASE_KEY_HARMLESS("num_memory_blocks", "*", "of ALBERT's first code"),
    BASE_KEY_HARMLESS("down_scale_factor", "*", "of ALBERT's first code"),
    BASE_KEYS_END,
};

static void configure(hf_builder *b, hf_stack *s) {
    const char *positions = hf_config_word(b, "position_embedding_type", "absolute");
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
    s->learned = HF_LEARNED_COLUMNS;
    hf_refuse_flag(b, "is_decoder", false);
    if (strcmp(positions, "absolute") != 0)
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: position_embedding_type '%.60s'", positions);
}

/* ---------------------------------------------------------------- DistilBERT */

static const hf_names distilbert_names = {
    .words = "embeddings.word_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "transformer.layer",
    .q = "attention.q_lin",
    .k = "attention.k_lin",
    .v = "attention.v_lin",
    .out = "attention.out_lin",
    .attention = {.after = "sa_layer_norm"},
    .feed_forward = {.after = "output_layer_norm"},
    .up = "ffn.lin1",
    .down = "ffn.lin2",
};

static const hf_key distilbert_keys[] = {
    HF_SIZE("dim|hidden_size", hidden),
    HF_SIZE("n_heads|num_attention_heads", heads),
    HF_SIZE("n_layers|num_hidden_layers", layers),
    HF_SIZE("hidden_dim", ffn),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("max_position_embeddings", positions),
    HF_TEXT_OR("activation", activation, "gelu"),
    HF_KEYS_END,
};

static void configure_distilbert(hf_builder *b, hf_stack *s) {
    configure(b, s);
    s->epsilon = 1e-12;
}

static const hf_head distilbert_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pre_classifier", "relu", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "vocab_transform", NULL, NULL, "vocab_layer_norm", NULL,
     "vocab_projector"},
    {.output = NULL},
};

const hf_family hf_family_distilbert = {
    .types = "distilbert",
    .classes = "DistilBert",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "distilbert.", NULL},
    .keys = {distilbert_keys, NULL},
    .known = {known, NULL},
    .names = &distilbert_names,
    .configure = configure_distilbert,
    .heads = distilbert_heads,
};

/* ---------------------------------------------------------------- MPNet */

static const hf_names mpnet_names = {
    .words = "embeddings.word_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .q = "attention.attn.q",
    .k = "attention.attn.k",
    .v = "attention.attn.v",
    .out = "attention.attn.o",
    .attention = {.after = "attention.LayerNorm"},
    .feed_forward = {.after = "output.LayerNorm"},
    .up = "intermediate.dense",
    .down = "output.dense",
    .buckets = "encoder.relative_attention_bias",
};

static const hf_key mpnet_keys[] = {
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_SIZE_OR("relative_attention_num_buckets", buckets, 32, 4),
    HF_KEYS_END,
};

static void configure_mpnet(hf_builder *b, hf_stack *s) {
    configure(b, s);
    s->learned = HF_LEARNED_IDS;
    s->pad = 1; /* whatever pad_token_id says */
    s->bucket_reach = 128;
    if (s->buckets != 32) /* transformers reckons with 32, however large the table is */
        hf_refuse(b, NIB_UNSUPPORTED, "mpnet: relative_attention_num_buckets is %lld, not 32", (long long)s->buckets);
}

static const hf_head mpnet_heads[] = {
    {"", "pooler_output", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, NULL, NULL},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "classifier.dense", "tanh", NULL, NULL,
     "classifier.out_proj", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "lm_head.dense", "gelu", NULL, "lm_head.layer_norm", NULL,
     "lm_head.decoder"},
    {.output = NULL},
};

const hf_family hf_family_mpnet = {
    .types = "mpnet",
    .classes = "MPNet",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "mpnet.", NULL},
    .keys = {hf_usual_sizes, mpnet_keys, NULL},
    .known = {known, NULL},
    .names = &mpnet_names,
    .configure = configure_mpnet,
    .heads = mpnet_heads,
};

/* ---------------------------------------------------------------- ALBERT */

static const hf_names albert_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .project = "encoder.embedding_hidden_mapping_in",
    .layer = "encoder.albert_layer_groups",
    .q = "albert_layers.0.attention.query",
    .k = "albert_layers.0.attention.key",
    .v = "albert_layers.0.attention.value",
    .out = "albert_layers.0.attention.dense",
    .attention = {.after = "albert_layers.0.attention.LayerNorm"},
    .feed_forward = {.after = "albert_layers.0.full_layer_layer_norm"},
    .up = "albert_layers.0.ffn",
    .down = "albert_layers.0.ffn_output",
};

static const hf_key albert_keys[] = {
    HF_SIZE_OR("embedding_size", embedding, 128, 1),  HF_SIZE_OR("num_hidden_groups", groups, 1, 1),
    HF_SIZE_OR("type_vocab_size", types, 2, 1),       HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu_new"), HF_KEYS_END,
};

static void configure_albert(hf_builder *b, hf_stack *s) {
    configure(b, s);
    s->always_project = true;
    if (hf_config_int(b, "inner_group_num", 1, 1, INT32_MAX) != 1)
        hf_refuse(b, NIB_UNSUPPORTED, "albert: inner_group_num is not 1");
}

static const hf_head albert_heads[] = {
    {"", "pooler_output", HF_TAKE_FIRST, "pooler", "tanh", NULL, NULL, NULL, NULL},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pooler", "tanh", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "predictions.dense", NULL, NULL, "predictions.LayerNorm", NULL,
     "predictions.decoder"},
    {.output = NULL},
};

const hf_family hf_family_albert = {
    .types = "albert",
    .classes = "Albert",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "albert.", NULL},
    .keys = {hf_usual_sizes, albert_keys, NULL},
    .known = {known, NULL},
    .names = &albert_names,
    .configure = configure_albert,
    .heads = albert_heads,
};

/* ---------------------------------------------------------------- ELECTRA */

static const hf_names electra_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .project = "embeddings_project",
    .layer = "encoder.layer",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .out = "attention.output.dense",
    .attention = {.after = "attention.output.LayerNorm"},
    .feed_forward = {.after = "output.LayerNorm"},
    .up = "intermediate.dense",
    .down = "output.dense",
    .angles = "encoder.embed_positions", /* of RoFormer, which is called alike */
};

static const hf_key electra_keys[] = {
    HF_SIZE_OR("embedding_size", embedding, 128, 1),
    HF_SIZE_OR("type_vocab_size", types, 2, 1),
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_KEYS_END,
};

static const hf_head electra_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "classifier.dense", "gelu", NULL, NULL,
     "classifier.out_proj", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "generator_predictions.dense", "gelu", NULL,
     "generator_predictions.LayerNorm", NULL, "generator_lm_head"},
    {.output = NULL},
};

const hf_family hf_family_electra = {
    .types = "electra",
    .classes = "Electra",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "electra.", NULL},
    .keys = {hf_usual_sizes, electra_keys, NULL},
    .known = {known, NULL},
    .names = &electra_names,
    .configure = configure,
    .heads = electra_heads,
};

/* ---------------------------------------------------------------- RoFormer */

static const hf_key roformer_keys[] = {
    HF_SIZE_OR("embedding_size", embedding, 0, 1),
    HF_SIZE_OR("type_vocab_size", types, 2, 1),
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_KEYS_END,
};

static void configure_roformer(hf_builder *b, hf_stack *s) {
    configure(b, s);
    s->learned = HF_LEARNED_NONE;
    s->rotary_pairs = true;
    s->sight[HF_FULL].rotary = (hf_rotary){.theta = 10000, .attention_factor = 1};
    hf_refuse_flag(b, "rotary_value", false);
}

static const hf_head roformer_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "classifier.dense", NULL, NULL, NULL, "classifier.out_proj",
     NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "cls.predictions.transform.dense", NULL, NULL,
     "cls.predictions.transform.LayerNorm", NULL, "cls.predictions.decoder"},
    {.output = NULL},
};

const hf_family hf_family_roformer = {
    .types = "roformer",
    .classes = "RoFormer",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "roformer.", NULL},
    .keys = {hf_usual_sizes, roformer_keys, NULL},
    .known = {known, NULL},
    .names = &electra_names,
    .configure = configure_roformer,
    .heads = roformer_heads,
};
