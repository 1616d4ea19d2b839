/* SPDX-License-Identifier: Apache-2.0
 *
 * Models that are called as Llama's (Touvron et al., 2023): Llama, Mistral (Jiang et al., 2023), Qwen2, Qwen3 (Yang et
 * al., 2025), decoders, whose queries see their own token and those before it, so that the last token of a text has
 * seen all, OLMo 2 (OLMo Team, 2025) and StableLM (Bellagente et al., 2024) likewise; and EuroBERT (Boizard et al.,
 * 2025), whose queries see all.
 */
#include "hf_stack.h"
#include <math.h>

static const hf_names names = {
    .words = "embed_tokens",
    .layer = "layers",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .out = "self_attn.o_proj",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .attention = {.before = "input_layernorm"},
    .feed_forward = {.before = "post_attention_layernorm"},
    .up = "mlp.up_proj",
    .gate = "mlp.gate_proj",
    .down = "mlp.down_proj",
    .final_norm = "norm",
};

#define DECODER_KEYS                                                                                                   \
    HF_SIZE_OR("num_key_value_heads", kv_heads, 0, 1), HF_EPSILON("rms_norm_eps", 1e-6),                               \
        HF_TEXT_OR("hidden_act", activation, "silu"), HF_SIZE_OR("pad_token_id", pad, -1, -1)

static const base_key known[] = {
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEY_OBEYED("is_causal"),
    BASE_KEY_HARMLESS("pretraining_tp", "*", "how it was trained"),
    BASE_KEYS_END,
};

static const base_key window_known[] = {
    BASE_KEY_OBEYED("layer_types"),
    BASE_KEY_OBEYED("use_sliding_window"),
    BASE_KEY_OBEYED("sliding_window"),
    BASE_KEY_OBEYED("max_window_layers"),
    BASE_KEYS_END,
};

/* What all of these have in common. */
static void configure_decoder(hf_builder *b, hf_stack *s, double theta) {
    s->norm = HF_NORM_RMS;
    s->gate = HF_GATE_SEPARATE;
    s->causal = hf_is_causal(b);
    hf_read_rotary(b, s, HF_FULL, "rope_theta", theta, HF_OLDER_ANY);
    hf_read_rotary(b, s, HF_SLIDING, "rope_theta", theta, HF_OLDER_ANY);
}

/* So many tokens, the query's own among them; so many on either side, where queries see what comes after them, too. */
static void set_window(hf_stack *s, int64_t tokens) {
    hf_sight *sight = &s->sight[HF_SLIDING];
    sight->left = s->causal ? tokens - 1 : tokens;
    sight->right = s->causal ? 0 : tokens;
}

/* Layers from max_window_layers on have a window of sliding_window, where use_sliding_window is true. */
static void read_window(hf_builder *b, hf_stack *s) {
    const bool uses =
        hf_config_flag(b, "use_sliding_window", false) && !yyjson_is_null(yyjson_obj_get(b->config, "sliding_window"));
    const int64_t from = hf_config_int(b, "max_window_layers", 28, 0, INT32_MAX);
    for (int64_t i = from; uses && i < s->layers && i < HF_LAYERS; i++) s->kinds[i] = HF_SLIDING;
    hf_kinds_listed(b, s);
    if (uses) set_window(s, hf_config_int(b, "sliding_window", 4096, 1, INT32_MAX));
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_LAST, NULL, NULL, NULL, NULL, "score", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "score", NULL},
    {.output = NULL},
};

/* ---------------------------------------------------------------- Llama, EuroBERT */

static const hf_key llama_keys[] = {
    DECODER_KEYS,
    HF_SIZE_OR("head_dim", head_size, 0, 1),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_FLAG_OR("mlp_bias", up_bias, false),
    HF_KEYS_END,
};

static void configure_llama(hf_builder *b, hf_stack *s) {
    configure_decoder(b, s, 10000.0);
    s->k_bias = s->v_bias = s->out_bias = s->q_bias;
    s->down_bias = s->up_bias;
}

const hf_family hf_family_llama = {
    .types = "llama",
    .classes = "Llama",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, llama_keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_llama,
    .heads = heads,
};

static const base_key eurobert_known[] = {
    BASE_KEY_OBEYED("classifier_pooling"),
    BASE_KEY_HARMLESS("clf_pooling", "*", "an older name that transformers does not read"),
    BASE_KEYS_END,
};

static void configure_eurobert(hf_builder *b, hf_stack *s) {
    configure_llama(b, s);
    s->causal = false;
}

static const hf_head eurobert_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_KEY_LATE, "dense", "gelu", NULL, NULL, "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, NULL, "lm_head"},
    {.output = NULL},
};

const hf_family hf_family_eurobert = {
    .types = "eurobert",
    .classes = "EuroBert",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, llama_keys, NULL},
    .known = {known, eurobert_known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_eurobert,
    .heads = eurobert_heads,
};

/* ---------------------------------------------------------------- Mistral */

static const hf_key mistral_keys[] = {
    DECODER_KEYS,
    HF_SIZE_OR("head_dim", head_size, 0, 1),
    HF_SIZE_OR("sliding_window", sight[HF_SLIDING].left, 4096, 1),
    HF_KEYS_END,
};

/* All layers have the window; null is none. */
static void configure_mistral(hf_builder *b, hf_stack *s) {
    const int64_t window = s->sight[HF_SLIDING].left;
    const bool slides = !yyjson_is_null(yyjson_obj_get(b->config, "sliding_window"));
    configure_decoder(b, s, 10000.0);
    set_window(s, window);
    for (int64_t i = 0; slides && i < s->layers && i < HF_LAYERS; i++) s->kinds[i] = HF_SLIDING;
}

const hf_family hf_family_mistral = {
    .types = "mistral",
    .classes = "Mistral",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, mistral_keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_mistral,
    .heads = heads,
};

/* ---------------------------------------------------------------- Qwen2 */

static const hf_key qwen2_keys[] = {
    DECODER_KEYS,
    HF_SIZE_OR("head_dim", head_size, 0, 1),
    HF_KEYS_END,
};

static void configure_qwen2(hf_builder *b, hf_stack *s) {
    configure_decoder(b, s, 10000.0);
    read_window(b, s);
    s->q_bias = s->k_bias = s->v_bias = true;
}

const hf_family hf_family_qwen2 = {
    .types = "qwen2",
    .classes = "Qwen2",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, qwen2_keys, NULL},
    .known = {known, window_known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_qwen2,
    .heads = heads,
};

/* ---------------------------------------------------------------- Qwen3 */

static const hf_key qwen3_keys[] = {
    DECODER_KEYS,
    HF_SIZE_OR("head_dim", head_size, 128, 1),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_KEYS_END,
};

static void configure_qwen3(hf_builder *b, hf_stack *s) {
    configure_decoder(b, s, 10000.0);
    read_window(b, s);
    s->head_norm = HF_HEAD_NORM_HEAD;
    s->k_bias = s->v_bias = s->out_bias = s->q_bias;
}

const hf_family hf_family_qwen3 = {
    .types = "qwen3",
    .classes = "Qwen3",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, qwen3_keys, NULL},
    .known = {known, window_known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_qwen3,
    .heads = heads,
};

/* ---------------------------------------------------------------- OLMo 2 */

static const hf_names olmo2_names = {
    .words = "embed_tokens",
    .layer = "layers",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .out = "self_attn.o_proj",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
    .attention = {.inside = "post_attention_layernorm"},
    .feed_forward = {.inside = "post_feedforward_layernorm"},
    .up = "mlp.up_proj",
    .gate = "mlp.gate_proj",
    .down = "mlp.down_proj",
    .final_norm = "norm",
};

static const hf_key olmo2_keys[] = {
    DECODER_KEYS,
    HF_EPSILON("rms_norm_eps", 1e-5),
    HF_SIZE_OR("head_dim", head_size, 0, 1),
    HF_FLAG_OR("attention_bias", q_bias, false),
    HF_KEYS_END,
};

static void configure_olmo2(hf_builder *b, hf_stack *s) {
    configure_llama(b, s);
    s->head_norm = HF_HEAD_NORM_WIDTH;
}

const hf_family hf_family_olmo2 = {
    .types = "olmo2",
    .classes = "Olmo2",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, olmo2_keys, NULL},
    .known = {known, hf_rotary_keys, NULL},
    .names = &olmo2_names,
    .configure = configure_olmo2,
    .heads = heads,
};

/* ---------------------------------------------------------------- StableLM */

static const hf_key stablelm_keys[] = {
    DECODER_KEYS,
    HF_EPSILON("layer_norm_eps", 1e-5),
    HF_FLAG_OR("use_qkv_bias", q_bias, false),
    HF_REAL_OR("partial_rotary_factor", rotary_part, 0.25, 1e-6, 1),
    HF_KEYS_END,
};

static const base_key stablelm_known[] = {
    BASE_KEY_OBEYED("qk_layernorm"),
    BASE_KEY_OBEYED("use_parallel_residual"),
    BASE_KEY_HARMLESS("hidden_dropout", "*", "only in training"),
    BASE_KEYS_END,
};

static void configure_stablelm(hf_builder *b, hf_stack *s) {
    configure_decoder(b, s, 10000.0);
    s->norm = HF_NORM_LAYER;
    s->norm_bias = true;
    s->k_bias = s->v_bias = s->q_bias;
    hf_refuse_flag(b, "qk_layernorm", false);
    hf_refuse_flag(b, "use_parallel_residual", false);
}

const hf_family hf_family_stablelm = {
    .types = "stablelm",
    .classes = "StableLm",
    .probe = "embed_tokens.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {hf_usual_sizes, stablelm_keys, NULL},
    .known = {known, stablelm_known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_stablelm,
    .heads = heads,
};
