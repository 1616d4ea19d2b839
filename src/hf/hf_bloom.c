/* SPDX-License-Identifier: Apache-2.0
 *
 * BLOOM (Le Scao et al., 2022): a decoder whose positions are ALiBi.
 */
#include "hf_stack.h"
#include <math.h>

static const hf_names names = {
    .words = "word_embeddings",
    .embedding_norm = "word_embeddings_layernorm",
    .layer = "h",
    .qkv = "self_attention.query_key_value",
    .out = "self_attention.dense",
    .attention = {.before = "input_layernorm"},
    .feed_forward = {.before = "post_attention_layernorm"},
    .up = "mlp.dense_h_to_4h",
    .down = "mlp.dense_4h_to_h",
    .final_norm = "ln_f",
};

static const hf_key keys[] = {
    HF_SIZE("n_embed|hidden_size", hidden),
    HF_SIZE("n_head|num_attention_heads", heads),
    HF_SIZE("n_layer|num_hidden_layers", layers),
    HF_SIZE("vocab_size", vocabulary),
    HF_EPSILON("layer_norm_epsilon", 1e-5),
    HF_SIZE_OR("pad_token_id", pad, -1, -1),
    HF_KEYS_END,
};

static const base_key known[] = {
    BASE_KEY_OBEYED("is_causal"),
    BASE_KEY_OBEYED("apply_residual_connection_post_layernorm"),
    BASE_KEY_HARMLESS("hidden_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("pretraining_tp", "*", "how it was trained"),
    BASE_KEY_HARMLESS("slow_but_exact", "*", "how Python adds"),
    BASE_KEY_HARMLESS("seq_length", "*", "how it was trained"),
    BASE_KEY_HARMLESS("masked_softmax_fusion", "*", "how it was trained"),
    BASE_KEY_HARMLESS("attention_softmax_in_fp32", "*", "sums are f32"),
    BASE_KEY_HARMLESS("bias_dropout_fusion", "*", "how it was trained"),
    BASE_KEY_HARMLESS("offset_alibi", "*", "how it was trained"),
    BASE_KEY_HARMLESS("skip_bias_add", "*", "how it was trained"),
    BASE_KEY_HARMLESS("skip_bias_add_qkv", "*", "how it was trained"),
    BASE_KEY_HARMLESS("unk_token_id", "*", "the tokenizer says it"),
    BASE_KEYS_END,
};

static void configure(hf_builder *b, hf_stack *s) {
    hf_refuse_flag(b, "apply_residual_connection_post_layernorm", false);
    if (!hf_is_causal(b)) hf_refuse(b, NIB_UNSUPPORTED, "config.json: is_causal is not true");
    s->causal = s->alibi = true;
    s->qkv = HF_QKV_HEADS;
    s->ffn = 4 * s->hidden;
    s->activation = "gelu_pytorch_tanh";
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_LAST, NULL, NULL, NULL, NULL, "score", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.output = NULL},
};

const hf_family hf_family_bloom = {
    .types = "bloom",
    .classes = "Bloom",
    .probe = "word_embeddings.weight",
    .prefixes = {"", "transformer.", NULL},
    .keys = {keys, NULL},
    .known = {known, NULL},
    .names = &names,
    .configure = configure,
    .heads = heads,
};
