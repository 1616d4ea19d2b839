/* SPDX-License-Identifier: Apache-2.0
 *
 * GPT-2 (Radford et al., 2019): a decoder with learned positions, whose weights are [in, out].
 */
#include "hf_stack.h"
#include <math.h>

static const hf_names names = {
    .words = "wte",
    .positions = "wpe",
    .layer = "h",
    .qkv = "attn.c_attn",
    .out = "attn.c_proj",
    .attention = {.before = "ln_1"},
    .feed_forward = {.before = "ln_2"},
    .up = "mlp.c_fc",
    .down = "mlp.c_proj",
    .final_norm = "ln_f",
};

static const hf_key keys[] = {
    HF_SIZE("n_embd|hidden_size", hidden),
    HF_SIZE("n_head|num_attention_heads", heads),
    HF_SIZE("n_layer|num_hidden_layers", layers),
    HF_SIZE_OR("n_inner", ffn, 0, 1),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("n_positions|max_position_embeddings", positions),
    HF_EPSILON("layer_norm_epsilon", 1e-5),
    HF_TEXT_OR("activation_function", activation, "gelu_new"),
    HF_SIZE_OR("pad_token_id", pad, -1, -1),
    HF_KEYS_END,
};

static const base_key known[] = {
    BASE_KEY_OBEYED("is_causal"),
    BASE_KEY_OBEYED("scale_attn_weights"),
    BASE_KEY_OBEYED("scale_attn_by_inverse_layer_idx"),
    BASE_KEY_HARMLESS("reorder_and_upcast_attn", "*", "sums are f32"),
    BASE_KEY_HARMLESS("n_ctx", "*", "n_positions says it"),
    BASE_KEY_HARMLESS("add_cross_attention", "false|null", "there is no encoder"),
    BASE_KEY_HARMLESS("resid_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("embd_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("attn_pdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("summary_type", "*", "of a head with two parts"),
    BASE_KEY_HARMLESS("summary_use_proj", "*", "of a head with two parts"),
    BASE_KEY_HARMLESS("summary_activation", "*", "of a head with two parts"),
    BASE_KEY_HARMLESS("summary_proj_to_labels", "*", "of a head with two parts"),
    BASE_KEY_HARMLESS("summary_first_dropout", "*", "of a head with two parts"),
    BASE_KEYS_END,
};

static void configure(hf_builder *b, hf_stack *s) {
    if (!hf_is_causal(b)) hf_refuse(b, NIB_UNSUPPORTED, "config.json: is_causal is not true");
    hf_refuse_flag(b, "scale_attn_by_inverse_layer_idx", false);
    if (!hf_config_flag(b, "scale_attn_weights", true)) s->score_size = 1;
    if (s->ffn == 0) s->ffn = 4 * s->hidden;
    s->causal = s->in_out = true;
    s->qkv = HF_QKV_BLOCKS;
    s->learned = HF_LEARNED_COLUMNS;
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_LAST, NULL, NULL, NULL, NULL, "score", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.output = NULL},
};

const hf_family hf_family_gpt2 = {
    .types = "gpt2",
    .classes = "GPT2",
    .probe = "wte.weight",
    .prefixes = {"", "transformer.", NULL},
    .keys = {keys, NULL},
    .known = {known, NULL},
    .names = &names,
    .configure = configure,
    .heads = heads,
};
