/* SPDX-License-Identifier: Apache-2.0
 *
 * ModernBERT (Warner et al., 2024), from config.json as transformers 4 wrote it (global_attn_every_n_layers,
 * global_rope_theta, local_rope_theta) or as version 5 does (layer_types, rope_parameters).
 */
#include "hf_stack.h"
#include <math.h>

static const hf_names names = {
    .words = "embeddings.tok_embeddings",
    .embedding_norm = "embeddings.norm",
    .layer = "layers",
    .qkv = "attn.Wqkv",
    .out = "attn.Wo",
    .attention = {.before = "attn_norm"},
    .feed_forward = {.before = "mlp_norm"},
    .up = "mlp.Wi",
    .down = "mlp.Wo",
    .final_norm = "final_norm",
};

static const hf_key keys[] = {
    HF_EPSILON("norm_eps", 1e-5),
    HF_TEXT_OR("hidden_activation", activation, "gelu"),
    HF_FLAG_OR("norm_bias", norm_bias, false),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_FLAG_OR("mlp_bias", up_bias, false),
    HF_SIZE_OR("local_attention", sight[HF_SLIDING].left, 128, 0),
    HF_SIZE_OR("global_attn_every_n_layers", groups, 3, 1),
    HF_KEYS_END,
};

static const base_key known[] = {
    BASE_KEY_OBEYED("head_dim"),
    BASE_KEY_OBEYED("layer_types"),
    BASE_KEY_OBEYED("global_rope_theta"),
    BASE_KEY_OBEYED("local_rope_theta"),
    BASE_KEY_HARMLESS("is_decoder", "*", "the family has encoders alone"),
    BASE_KEY_HARMLESS("add_cross_attention", "*", "the family has encoders alone"),
    BASE_KEY_HARMLESS("layer_norm_eps", "*", "norm_eps is what the family reads"),
    BASE_KEY_HARMLESS("position_embedding_type", "*", "positions turn queries and keys, whatever it says"),
    BASE_KEY_HARMLESS("sparse_prediction", "*", "the head is not run"),
    BASE_KEY_HARMLESS("sparse_pred_ignore_index", "*", "the head is not run"),
    BASE_KEY_HARMLESS("deterministic_flash_attn", "*", "which kernel computes the same"),
    BASE_KEY_HARMLESS("reference_compile", "*", "how Python runs it"),
    BASE_KEY_HARMLESS("repad_logits_with_grad", "*", "only in training"),
    BASE_KEY_OBEYED("classifier_pooling"),
    BASE_KEY_OBEYED("classifier_activation"),
    BASE_KEY_HARMLESS("classifier_bias", "*", "a head has the biases that its weights have"),
    BASE_KEY_HARMLESS("decoder_bias", "*", "a head has the biases that its weights have"),
    BASE_KEYS_END,
};

static void configure(hf_builder *b, hf_stack *s) {
    hf_sight *sliding = &s->sight[HF_SLIDING];
    yyjson_val *own = yyjson_obj_get(yyjson_obj_get(b->config, "rope_parameters"), hf_kind_names[HF_SLIDING]);
    hf_kinds_every(b, s, s->groups, 0);
    s->groups = 0;
    s->qkv = HF_QKV_BLOCKS;
    s->gate = HF_GATE_FIRST;
    s->first_without_before = true;
    s->out_bias = s->q_bias;
    s->down_bias = s->up_bias;
    sliding->left = sliding->right = sliding->left / 2; /* on either side */
    hf_read_rotary(b, s, HF_FULL, "global_rope_theta", 160000.0, HF_OLDER_BY_ROPE_TYPE);
    hf_read_rotary(b, s, HF_SLIDING, "local_rope_theta", 10000.0, HF_OLDER_BY_ROPE_TYPE);
    if (!own && yyjson_is_null(yyjson_obj_get(b->config, "local_rope_theta")))
        sliding->rotary.theta = s->sight[HF_FULL].rotary.theta;
    const int64_t head = hf_config_int(b, "head_dim", 0, 0, INT32_MAX);
    if (head != 0 && head * s->heads != s->hidden)
        hf_refuse(b, NIB_UNSUPPORTED, "modernbert: head_dim %lld is not hidden_size / num_attention_heads",
                  (long long)head);
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_KEY_CLS, "head.dense", "gelu", "classifier_activation", "head.norm",
     "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, "head.dense", "gelu", "classifier_activation", "head.norm",
     "classifier", NULL},
    {"ForQuestionAnswering", "start_logits", HF_TAKE_SPANS, "head.dense", "gelu", "classifier_activation", "head.norm",
     "classifier", NULL},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "head.dense", "gelu", "classifier_activation", "head.norm", NULL,
     "decoder"},
    {.output = NULL},
};

const hf_family hf_family_modernbert = {
    .types = "modernbert",
    .classes = "ModernBert",
    .probe = "embeddings.tok_embeddings.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure,
    .heads = heads,
};
