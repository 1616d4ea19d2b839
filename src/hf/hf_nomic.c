/* SPDX-License-Identifier: Apache-2.0
 *
 * BERT with rotary positions: NomicBERT (Nussbaum et al., 2024), GTE (Zhang et al., 2024), Jina embeddings v3 (Sturua
 * et al., 2024, without adapters). Weights are named as in the published folders.
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------- NomicBERT */

static const hf_names nomic_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "emb_ln",
    .layer = "encoder.layers",
    .qkv = "attn.Wqkv",
    .out = "attn.out_proj",
    .attention = {.after = "norm1"},
    .feed_forward = {.after = "norm2"},
    .up = "mlp.fc11",
    .gate = "mlp.fc12",
    .down = "mlp.fc2",
};

static const hf_key nomic_keys[] = {
    HF_SIZE("hidden_size|n_embd", hidden),
    HF_SIZE("num_attention_heads|n_head", heads),
    HF_SIZE("num_hidden_layers|n_layer", layers),
    HF_SIZE("intermediate_size|n_inner", ffn),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("max_position_embeddings|n_positions", positions),
    HF_SIZE_OR("head_dim", head_size, 0, 1),
    HF_SIZE_OR("type_vocab_size", types, 2, 0),
    HF_EPSILON("layer_norm_eps|layer_norm_epsilon", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "silu"),
    HF_FLAG_OR("qkv_proj_bias", q_bias, false),
    HF_FLAG_OR("mlp_fc1_bias", up_bias, false),
    HF_FLAG_OR("mlp_fc2_bias", down_bias, false),
    HF_REAL_OR("rotary_emb_fraction", rotary_part, 1, 1e-6, 1),
    HF_FLAG_OR("rotary_emb_interleaved", rotary_pairs, false),
    HF_KEYS_END,
};

static const base_key nomic_known[] = {
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEY_OBEYED("rotary_emb_base"),
    BASE_KEY_OBEYED("activation_function"),
    BASE_KEY_OBEYED("prenorm"),
    BASE_KEY_OBEYED("parallel_block"),
    BASE_KEY_OBEYED("causal"),
    BASE_KEY_OBEYED("use_rms_norm"),
    BASE_KEY_OBEYED("num_experts"),
    BASE_KEY_HARMLESS("rotary_scaling_factor", "null", "as if it were not there"),
    BASE_KEY_HARMLESS("rotary_emb_scale_base", "null", "as if it were not there"),
    BASE_KEY_HARMLESS("max_trained_positions", "*", "of rotary_scaling_factor"),
    BASE_KEY_HARMLESS("attn_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("embd_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("resid_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("dense_seq_output", "*", "how its own code runs it"),
    BASE_KEY_HARMLESS("fused_bias_fc", "*", "how its own code runs it"),
    BASE_KEY_HARMLESS("fused_dropout_add_ln", "*", "how its own code runs it"),
    BASE_KEY_HARMLESS("last_layer_subset", "*", "how its own code runs it"),
    BASE_KEY_HARMLESS("pad_vocab_size_multiple", "*", "vocab_size counts what is added"),
    BASE_KEY_HARMLESS("use_flash_attn", "*", "which kernel computes the same"),
    BASE_KEY_HARMLESS("use_xentropy", "*", "only in training"),
    BASE_KEY_HARMLESS("scale_attn_weights", "true|null", "scores are scaled"),
    BASE_KEY_HARMLESS("scale_attn_by_inverse_layer_idx", "false|null", "scores are scaled alike in all layers"),
    BASE_KEY_HARMLESS("reorder_and_upcast_attn", "*", "sums are f32"),
    BASE_KEY_HARMLESS("summary_activation", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_first_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("summary_proj_to_labels", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_type", "*", "of a head that nib has not"),
    BASE_KEY_HARMLESS("summary_use_proj", "*", "of a head that nib has not"),
    BASE_KEYS_END,
};

static void configure_nomic(hf_builder *b, hf_stack *s) {
    static const char *const never[] = {"prenorm", "parallel_block", "causal", "use_rms_norm"};
    const char *act = hf_config_word(b, "activation_function", NULL);
    for (size_t i = 0; i < BASE_COUNT(never); i++) hf_refuse_flag(b, never[i], false);
    if (hf_config_int(b, "num_experts", 0, 0, INT32_MAX) > 0) hf_refuse(b, NIB_UNSUPPORTED, "nomic_bert: layers of experts (num_experts)");
    if (act && strcmp(act, "swiglu") == 0) s->activation = "silu";
    else if (act && strcmp(act, "geglu") == 0) s->activation = "gelu";
    else if (act) hf_refuse(b, NIB_UNSUPPORTED, "nomic_bert: activation_function '%.60s'", act);
    s->norm_bias = true;
    s->k_bias = s->v_bias = s->out_bias = s->q_bias;
    s->qkv = HF_QKV_BLOCKS;
    s->gate = HF_GATE_SEPARATE;
    hf_read_rotary(b, s, HF_FULL, "rope_theta|rotary_emb_base", 1000.0, HF_OLDER_ANY);
}

static const hf_head nomic_heads[] = {
    {"", "pooler_output", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, NULL, NULL},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "cls.predictions.transform.dense", NULL, NULL, "cls.predictions.transform.layer_norm", NULL,
     "cls.predictions.decoder"},
    {.output = NULL},
};

const hf_family hf_family_nomic = {
    .types = "nomic_bert",
    .classes = "NomicBert",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "nomic_bert.", "bert.", NULL},
    .keys = {nomic_keys, NULL},
    .known = {nomic_known, hf_rotary_keys, NULL},
    .names = &nomic_names,
    .configure = configure_nomic,
    .heads = nomic_heads,
};

/* ---------------------------------------------------------------- GTE */

static const hf_names gte_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .qkv = "attention.qkv_proj",
    .q = "attention.q_proj",
    .k = "attention.k_proj",
    .v = "attention.v_proj",
    .out = "attention.o_proj",
    .attention = {.after = "attn_ln"},
    .feed_forward = {.after = "mlp_ln"},
    .up = "mlp.up_gate_proj",
    .down = "mlp.down_proj",
};

static const hf_key rotated_keys[] = {
    HF_SIZE_OR("type_vocab_size", types, 1, 0),
    HF_EPSILON("layer_norm_eps", 1e-12),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_KEYS_END,
};

static const base_key rotated_known[] = {
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEYS_END,
};

/* GTE's own code has model_type "new", and its words are also found beside "gte" (Snowflake Arctic Embed M v2). */
static const base_key gte_known[] = {
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEY_OBEYED("pack_qkv"),
    BASE_KEY_OBEYED("position_embedding_type"),
    BASE_KEY_OBEYED("layer_norm_type"),
    BASE_KEY_OBEYED("logn_attention_scale"),
    BASE_KEY_HARMLESS("logn_attention_clip1", "*", "of logn_attention_scale"),
    BASE_KEY_HARMLESS("unpad_inputs", "*", "how its own code runs it"),
    BASE_KEY_HARMLESS("use_memory_efficient_attention", "*", "which kernel computes the same"),
    BASE_KEYS_END,
};

/* Refuses all but one value of a word. */
static void only_word(hf_builder *b, const char *key, const char *word) {
    const char *said = hf_config_word(b, key, word);
    if (strcmp(said, word) != 0) hf_refuse(b, NIB_UNSUPPORTED, "gte: %s '%.60s'", key, said);
}

static void configure_gte(hf_builder *b, hf_stack *s) {
    const bool own = strcmp(hf_config_word(b, "model_type", "gte"), "new") == 0;
    only_word(b, "position_embedding_type", "rope");
    only_word(b, "layer_norm_type", "layer_norm");
    hf_refuse_flag(b, "logn_attention_scale", false);
    s->rotary_ntk = true;
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->down_bias = true;
    s->types_unread = s->types == 1;
    s->qkv = hf_config_flag(b, "pack_qkv", true) ? HF_QKV_BLOCKS : HF_QKV_SEPARATE;
    s->gate = HF_GATE_SECOND;
    hf_read_rotary(b, s, HF_FULL, "rope_theta", own ? 10000.0 : 160000.0, HF_OLDER_ANY);
}

static const hf_head gte_heads[] = {
    {"", "pooler_output", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, NULL, NULL},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "lm_head.dense", "gelu", NULL, "lm_head.norm", NULL, "lm_head.decoder"},
    {.output = NULL},
};

const hf_family hf_family_gte = {
    .types = "gte|new",
    .classes = "Gte|New",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "gte.", "new.", NULL},
    .keys = {hf_usual_sizes, rotated_keys, NULL},
    .known = {gte_known, hf_rotary_keys, NULL},
    .names = &gte_names,
    .configure = configure_gte,
    .heads = gte_heads,
};

/* ---------------------------------------------------------------- Jina embeddings v3 */

static const hf_names jina_names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "emb_ln",
    .layer = "encoder.layers",
    .qkv = "mixer.Wqkv",
    .out = "mixer.out_proj",
    .attention = {.after = "norm1"},
    .feed_forward = {.after = "norm2"},
    .up = "mlp.fc1",
    .down = "mlp.fc2",
};

static void configure_jina(hf_builder *b, hf_stack *s) {
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
    s->types_unread = s->types == 1;
    s->qkv = HF_QKV_BLOCKS;
    hf_read_rotary(b, s, HF_FULL, "rope_theta", 20000.0, HF_OLDER_ANY);
}

static const hf_head jina_heads[] = {
    {"", "pooler_output", HF_TAKE_FIRST, "pooler.dense", "tanh", NULL, NULL, NULL, NULL},
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "classifier.dense", "tanh", NULL, NULL, "classifier.out_proj", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "lm_head.dense", "gelu", NULL, "lm_head.layer_norm", NULL, "lm_head.decoder"},
    {.output = NULL},
};

const hf_family hf_family_jina3 = {
    .types = "jina_embeddings_v3",
    .classes = "JinaEmbeddingsV3",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "roberta.", NULL},
    .keys = {hf_usual_sizes, rotated_keys, NULL},
    .known = {rotated_known, hf_rotary_keys, NULL},
    .names = &jina_names,
    .configure = configure_jina,
    .heads = jina_heads,
};
