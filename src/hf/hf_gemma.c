/* SPDX-License-Identifier: Apache-2.0
 *
 * Gemma (Gemma Team, 2024): a Llama whose norms' weights count from 1. Gemma 2 and 3 (2024, 2025) and EmbeddingGemma:
 * norms on both sides of attention and feed-forward layers, layers that see a window and layers that see all.
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>

static const hf_names names = {
    .words = "embed_tokens",
    .layer = "layers",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .out = "self_attn.o_proj",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .attention = {.before = "input_layernorm", .inside = "post_attention_layernorm"},
    .feed_forward = {.before = "pre_feedforward_layernorm", .inside = "post_feedforward_layernorm"},
    .up = "mlp.up_proj",
    .gate = "mlp.gate_proj",
    .down = "mlp.down_proj",
    .final_norm = "norm",
};

static const hf_names first_names = {
    .words = "embed_tokens",
    .layer = "layers",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .out = "self_attn.o_proj",
    .attention = {.before = "input_layernorm"},
    .feed_forward = {.before = "post_attention_layernorm"},
    .up = "mlp.up_proj",
    .gate = "mlp.gate_proj",
    .down = "mlp.down_proj",
    .final_norm = "norm",
};

static const hf_key first_keys[] = {
    HF_SIZE_OR("num_key_value_heads", kv_heads, 16, 1),
    HF_SIZE_OR("head_dim", head_size, 256, 1),
    HF_EPSILON("rms_norm_eps", 1e-6),
    HF_TEXT_OR("hidden_act", activation, "gelu_pytorch_tanh"),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_SIZE_OR("pad_token_id", pad, 0, -1),
    HF_KEYS_END,
};

static const hf_key keys[] = {
    HF_SIZE_OR("num_key_value_heads", kv_heads, 4, 1),
    HF_SIZE_OR("head_dim", head_size, 256, 1),
    HF_EPSILON("rms_norm_eps", 1e-6),
    HF_TEXT_OR("hidden_activation|hidden_act", activation, "gelu_pytorch_tanh"),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_REAL_OR("query_pre_attn_scalar", score_size, 256, 1e-3, 1e6),
    HF_SIZE_OR("sliding_window", sight[HF_SLIDING].left, 4096, 0),
    HF_SIZE_OR("pad_token_id", pad, 0, -1),
    HF_KEYS_END,
};

static const base_key known[] = {
    BASE_KEY_OBEYED("layer_types"),
    BASE_KEY_OBEYED("is_causal"),
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEY_OBEYED("rope_local_base_freq"),
    BASE_KEY_OBEYED("attn_logit_softcapping"),
    BASE_KEY_OBEYED("sliding_window_pattern"),
    BASE_KEY_OBEYED("use_bidirectional_attention"),
    BASE_KEY_HARMLESS("_sliding_window_pattern", "*", "layer_types says it"),
    BASE_KEY_HARMLESS("final_logit_softcapping", "*", "of generated text"),
    BASE_KEY_HARMLESS("cache_implementation", "*", "of generated text"),
    BASE_KEYS_END,
};

static void configure(hf_builder *b, hf_stack *s) {
    if (!hf_is_causal(b)) hf_refuse(b, NIB_UNSUPPORTED, "config.json: is_causal is not true");
    s->norm = HF_NORM_RMS_ONE;
    s->gate = HF_GATE_SEPARATE;
    s->k_bias = s->v_bias = s->out_bias = s->q_bias;
    s->embedding_scale = sqrt((double)s->hidden);
}

static void configure_first(hf_builder *b, hf_stack *s) {
    configure(b, s);
    hf_refuse_flag(b, "use_bidirectional_attention", false); /* of which transformers leaves the mask causal */
    s->causal = true;
    if (strcmp(s->activation, "gelu") == 0) s->activation = "gelu_pytorch_tanh"; /* what "gelu" has meant here */
    hf_read_rotary(b, s, HF_FULL, "rope_theta", 10000.0, HF_OLDER_ANY);
}

/* A window of so many tokens, of which `sliding_window` counts the query's own; half on either side where queries see
 * all. */
static void read_window(hf_builder *b, hf_stack *s) {
    hf_sight *sight = &s->sight[HF_SLIDING];
    s->causal = !hf_config_flag(b, "use_bidirectional_attention", false);
    if (s->causal && sight->left == 0)
        hf_refuse(b, NIB_BAD_MODEL, "config.json: a sliding_window of 0, in which a query would not see itself");
    if (s->causal) sight->left -= 1;
    else sight->left = sight->right = sight->left / 2;
}

static void configure_gemma3(hf_builder *b, hf_stack *s) {
    configure(b, s);
    read_window(b, s);
    hf_kinds_every(b, s, (int64_t)hf_config_real(b, b->config, "sliding_window_pattern", 6, 1, INT32_MAX), 1);
    hf_read_rotary(b, s, HF_FULL, "rope_theta", 1000000.0, HF_OLDER_BY_ROPE_TYPE);
    hf_read_rotary(b, s, HF_SLIDING, "rope_local_base_freq", 10000.0, HF_OLDER_NONE);
    s->head_norm = HF_HEAD_NORM_HEAD;
}

static void configure_gemma2(hf_builder *b, hf_stack *s) {
    configure(b, s);
    hf_refuse_flag(b, "use_bidirectional_attention", false); /* of which transformers leaves the mask causal */
    read_window(b, s);
    hf_kinds_every(b, s, 2, 1);
    hf_read_rotary(b, s, HF_FULL, "rope_theta", 10000.0, HF_OLDER_ANY);
    hf_read_rotary(b, s, HF_SLIDING, "rope_theta", 10000.0, HF_OLDER_ANY);
    if (!yyjson_is_null(yyjson_obj_get(b->config, "attn_logit_softcapping")))
        s->score_cap = hf_config_real(b, b->config, "attn_logit_softcapping", 50, 1e-3, 1e6);
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_LAST, NULL, NULL, NULL, NULL, "score", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "score", NULL},
    {.output = NULL},
};

const hf_family hf_family_gemma = {
    .types = "gemma",
    .classes = "Gemma",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, first_keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &first_names,
    .configure = configure_first,
    .heads = heads,
};

const hf_family hf_family_gemma3 = {
    .types = "gemma3_text",
    .classes = "Gemma3",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", "model.language_model.", "language_model.model.", NULL},
    .keys = {hf_usual_sizes, keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_gemma3,
    .heads = heads,
};

const hf_family hf_family_gemma2 = {
    .types = "gemma2",
    .classes = "Gemma2",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_gemma2,
    .heads = heads,
};
