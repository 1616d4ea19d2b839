/* SPDX-License-Identifier: Apache-2.0
 *
 * Decoders that are called as Llama's, used for what they know of a text: Qwen3 (Yang et al., 2025). A query sees its own
 * token and those before it; the last token of a text has seen all.
 */
#include "hf_json.h"
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

#define DECODER_KEYS                                                                                                                       \
    HF_SIZE_OR("num_key_value_heads", kv_heads, 0, 1), HF_EPSILON("rms_norm_eps", 1e-6), HF_TEXT_OR("hidden_act", activation, "silu"),     \
        HF_FLAG_OR("is_causal", causal, true), HF_SIZE_OR("pad_token_id", pad, -1, -1)

static const base_key known[] = {
    BASE_KEY_OBEYED("layer_types"),
    BASE_KEY_OBEYED("rope_theta"),
    BASE_KEY_OBEYED("use_sliding_window"),
    BASE_KEY_OBEYED("sliding_window"),
    BASE_KEY_OBEYED("max_window_layers"),
    BASE_KEY_HARMLESS("pretraining_tp", "*", "how it was trained"),
    BASE_KEYS_END,
};

/* What all of these have in common. */
static void configure_decoder(hf_builder *b, hf_stack *s, double theta) {
    s->norm = HF_NORM_RMS;
    s->gate = HF_GATE_SEPARATE;
    hf_read_rotary(b, s, HF_FULL, "rope_theta", theta, true);
    hf_read_rotary(b, s, HF_SLIDING, "rope_theta", theta, true);
}

/* Layers from max_window_layers on see `sliding_window` tokens, their own among them, where use_sliding_window is true. */
static void read_window(hf_builder *b, hf_stack *s) {
    const bool uses = hf_json_bool(b->config, "use_sliding_window", false) && !yyjson_is_null(yyjson_obj_get(b->config, "sliding_window"));
    const double from = hf_config_real(b, b->config, "max_window_layers", 28, 0, INT32_MAX);
    for (int64_t i = 0; uses && i < s->layers && i < HF_LAYERS; i++) s->kinds[i] = (double)i >= from ? HF_SLIDING : HF_FULL;
    hf_kinds_listed(b, s);
    if (uses) s->sight[HF_SLIDING].left = (int64_t)hf_config_real(b, b->config, "sliding_window", 4096, 1, INT32_MAX) - 1;
    if (uses && !s->causal) hf_refuse(b, NIB_UNSUPPORTED, "config.json: a sliding_window with is_causal false");
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_LAST, NULL, NULL, NULL, NULL, "score", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "score", NULL},
    {.output = NULL},
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
    .known = {known, hf_rotary_keys, NULL},
    .names = &names,
    .configure = configure_qwen3,
    .heads = heads,
};
