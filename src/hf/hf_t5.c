/* SPDX-License-Identifier: Apache-2.0
 *
 * Models of an encoder and a decoder: T5 (Raffel et al., 2020) and mT5, whose positions are biases by bucketed
 * distance, BART (Lewis et al., 2020) and mBART. The encoder's rows are what is embedded; the decoder's are there for
 * heads of sequences, which have both read the same text.
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>

static const base_key known[] = {
    BASE_KEY_HARMLESS("is_encoder_decoder", "*", "what a head takes says whether both are used"),
    BASE_KEY_HARMLESS("is_decoder", "false|null", "the encoder is used"),
    BASE_KEY_OBEYED("num_decoder_layers"),
    BASE_KEY_OBEYED("decoder_layers"),
    BASE_KEY_OBEYED("decoder_attention_heads"),
    BASE_KEY_OBEYED("decoder_ffn_dim"),
    BASE_KEY_OBEYED("decoder_start_token_id"),
    BASE_KEY_OBEYED("eos_token_id"),
    BASE_KEY_OBEYED("pad_token_id"),
    BASE_KEY_HARMLESS("decoder_layerdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("encoder_layerdrop", "*", "only in training"),
    BASE_KEY_HARMLESS("activation_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("dropout_rate", "*", "only in training"),
    BASE_KEY_HARMLESS("init_std", "*", "only in training"),
    BASE_KEY_HARMLESS("initializer_factor", "*", "only in training"),
    BASE_KEY_HARMLESS("scale_decoder_outputs", "*", "of generated text"),
    BASE_KEY_OBEYED("dense_act_fn"),
    BASE_KEY_OBEYED("is_gated_act"),
    BASE_KEY_HARMLESS("n_positions", "*", "distances are bucketed, whatever it says"),
    BASE_KEY_HARMLESS("output_past", "*", "an encoder has no cache"),
    BASE_KEY_HARMLESS("num_hidden_layers", "*", "another key says it"),
    BASE_KEY_HARMLESS("normalize_before", "false|null", "of a kind of BART's that transformers has not"),
    BASE_KEY_HARMLESS("normalize_embedding", "true|null", "of a kind of BART's that transformers has not"),
    BASE_KEY_HARMLESS("add_final_layer_norm", "*", "of a kind of BART's that transformers has not"),
    BASE_KEY_HARMLESS("add_bias_logits", "*", "of generated text"),
    BASE_KEY_HARMLESS("classif_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("static_position_embeddings", "false|null", "positions are learned"),
    BASE_KEY_HARMLESS("extra_pos_embeddings", "*", "of a kind of BART's that transformers has not"),
    BASE_KEY_HARMLESS("force_bos_token_to_be_generated", "*", "of generated text"),
    BASE_KEYS_END,
};

/* ---------------------------------------------------------------- T5 */

#define T5_NAMES(stack, last, wide)                                                                                     \
    .words = "shared|" stack ".embed_tokens", .layer = stack ".block", .q = "layer.0.SelfAttention.q",                 \
    .k = "layer.0.SelfAttention.k", .v = "layer.0.SelfAttention.v", .out = "layer.0.SelfAttention.o",                  \
    .attention = {.before = "layer.0.layer_norm"}, .feed_forward = {.before = "layer." last ".layer_norm"},            \
    .up = "layer." last ".DenseReluDense." wide, .gate = "layer." last ".DenseReluDense.wi_0",                         \
    .down = "layer." last ".DenseReluDense.wo",                                                                        \
    .buckets = stack ".block.0.layer.0.SelfAttention.relative_attention_bias",                                         \
    .final_norm = stack ".final_layer_norm"
#define T5_CROSS                                                                                                       \
    .cross = {"layer.1.EncDecAttention.q", "layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v",                   \
              "layer.1.EncDecAttention.o", {.before = "layer.1.layer_norm"}}
static const hf_names t5_names = {T5_NAMES("encoder", "1", "wi")}, gated_names = {T5_NAMES("encoder", "1", "wi_1")};
static const hf_names t5_decoder = {T5_NAMES("decoder", "2", "wi"), T5_CROSS};
static const hf_names gated_decoder = {T5_NAMES("decoder", "2", "wi_1"), T5_CROSS};

static const hf_key t5_keys[] = {
    HF_SIZE("d_model|hidden_size", hidden),
    HF_SIZE("num_heads|num_attention_heads", heads),
    HF_SIZE("num_layers", layers),
    HF_SIZE("d_ff", ffn),
    HF_SIZE("d_kv", head_size),
    HF_SIZE("vocab_size", vocabulary),
    HF_EPSILON("layer_norm_epsilon", 1e-6),
    HF_SIZE_OR("relative_attention_num_buckets", buckets, 32, 4),
    HF_SIZE_OR("relative_attention_max_distance", bucket_reach, 128, 2),
    HF_TEXT_OR("feed_forward_proj", activation, NULL),
    HF_KEYS_END,
};

/* "relu", "gated-gelu" (which is its approximation by tanh), "gated-silu"; where dense_act_fn and is_gated_act are there, they count. */
static void configure_t5(hf_builder *b, hf_stack *s) {
    static const char prefix[] = "gated-";
    const bool gated = strncmp(s->activation, prefix, sizeof prefix - 1) == 0;
    if (gated) s->activation = strcmp(s->activation, "gated-gelu") == 0 ? "gelu_new" : s->activation + sizeof prefix - 1;
    s->activation = hf_config_word(b, "dense_act_fn", s->activation);
    if (hf_config_flag(b, "is_gated_act", gated)) {
        s->gate = HF_GATE_SEPARATE;
        s->names = &gated_names;
    }
    s->norm = HF_NORM_RMS;
    s->score_size = 1;
}

static void configure_t5_decoder(hf_builder *b, hf_stack *s) {
    configure_t5(b, s);
    s->names = s->gate == HF_GATE_SEPARATE ? &gated_decoder : &t5_decoder;
    s->layers = hf_config_int(b, "num_decoder_layers", s->layers, 1, INT32_MAX);
    s->causal = true;
}

static const hf_key t5_decoder_keys[] = {
    HF_SIZE_OR("decoder_start_token_id", start, 0, 0),
    HF_SIZE_OR("eos_token_id", eos, 1, 0),
    HF_KEYS_END,
};

static const hf_family decoder_of_t5 = {
    .keys = {t5_keys, t5_decoder_keys, NULL},
    .names = &t5_decoder,
    .configure = configure_t5_decoder,
};

static const hf_head t5_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_DECODED, "classification_head.dense", "tanh", NULL, NULL,
     "classification_head.out_proj", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.output = NULL},
};

const hf_family hf_family_t5 = {
    .types = "t5|mt5",
    .classes = "T5|MT5",
    .probe = "encoder.final_layer_norm.weight",
    .prefixes = {"", "transformer.", NULL},
    .keys = {t5_keys, NULL},
    .known = {known, NULL},
    .names = &t5_names,
    .configure = configure_t5,
    .heads = t5_heads,
    .decoder = &decoder_of_t5,
};

/* ---------------------------------------------------------------- BART, mBART */

#define BART_NAMES(stack, side)                                                                                        \
    .words = "shared|" stack ".embed_tokens", .positions = stack ".embed_positions",                                   \
    .embedding_norm = stack ".layernorm_embedding", .layer = stack ".layers", .q = "self_attn.q_proj",                 \
    .k = "self_attn.k_proj", .v = "self_attn.v_proj", .out = "self_attn.out_proj",                                     \
    .attention = {.side = "self_attn_layer_norm"}, .feed_forward = {.side = "final_layer_norm"}, .up = "fc1",          \
    .down = "fc2"
#define BART_CROSS(side)                                                                                               \
    .cross = {"encoder_attn.q_proj", "encoder_attn.k_proj", "encoder_attn.v_proj", "encoder_attn.out_proj",            \
              {.side = "encoder_attn_layer_norm"}}
static const hf_names bart_names = {BART_NAMES("encoder", after)};
static const hf_names bart_decoder = {BART_NAMES("decoder", after), BART_CROSS(after)};
static const hf_names mbart_names = {BART_NAMES("encoder", before), .final_norm = "encoder.layer_norm"};
static const hf_names mbart_decoder = {BART_NAMES("decoder", before), BART_CROSS(before),
                                       .final_norm = "decoder.layer_norm"};

static const hf_key bart_keys[] = {
    HF_SIZE("d_model|hidden_size", hidden),
    HF_SIZE("encoder_attention_heads", heads),
    HF_SIZE("encoder_layers", layers),
    HF_SIZE("encoder_ffn_dim", ffn),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("max_position_embeddings", positions),
    HF_TEXT_OR("activation_function", activation, "gelu"),
    HF_KEYS_END,
};

static const base_key bart_known[] = {
    BASE_KEY_OBEYED("scale_embedding"),
    BASE_KEYS_END,
};

static void configure_bart(hf_builder *b, hf_stack *s) {
    s->epsilon = 1e-5;
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
    s->learned = HF_LEARNED_COLUMNS;
    s->position_offset = 2;
    if (hf_config_flag(b, "scale_embedding", false)) s->embedding_scale = sqrt((double)s->hidden);
}

static const hf_key bart_decoder_keys[] = {
    HF_SIZE("d_model|hidden_size", hidden),
    HF_SIZE("decoder_attention_heads", heads),
    HF_SIZE("decoder_layers", layers),
    HF_SIZE("decoder_ffn_dim", ffn),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("max_position_embeddings", positions),
    HF_TEXT_OR("activation_function", activation, "gelu"),
    HF_SIZE_OR("decoder_start_token_id", start, 2, 0),
    HF_SIZE_OR("pad_token_id", pad, 1, 0),
    HF_SIZE_OR("eos_token_id", eos, 2, 0),
    HF_KEYS_END,
};

static void configure_bart_decoder(hf_builder *b, hf_stack *s) {
    configure_bart(b, s);
    s->causal = true;
}

/* mBART's texts end with the id of their language, whatever decoder_start_token_id says. transformers looks for it by
 * how many ids of the text are not `pad`, as if those were its first ones. */
static void configure_mbart_decoder(hf_builder *b, hf_stack *s) {
    configure_bart_decoder(b, s);
    s->start = HF_START_COUNTED;
}

static const hf_family decoder_of_bart = {
    .keys = {bart_decoder_keys, NULL},
    .names = &bart_decoder,
    .configure = configure_bart_decoder,
};
static const hf_family decoder_of_mbart = {
    .keys = {bart_decoder_keys, NULL},
    .names = &mbart_decoder,
    .configure = configure_mbart_decoder,
};

static const hf_head bart_heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_DECODED, "classification_head.dense", "tanh", NULL, NULL,
     "classification_head.out_proj", NULL},
    {.output = NULL},
};

const hf_family hf_family_bart = {
    .types = "bart",
    .classes = "Bart",
    .probe = "encoder.embed_positions.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {bart_keys, NULL},
    .known = {known, bart_known, NULL},
    .names = &bart_names,
    .configure = configure_bart,
    .heads = bart_heads,
    .decoder = &decoder_of_bart,
};

const hf_family hf_family_mbart = {
    .types = "mbart",
    .classes = "MBart",
    .probe = "encoder.embed_positions.weight",
    .prefixes = {"", "model.", NULL},
    .keys = {bart_keys, NULL},
    .known = {known, bart_known, NULL},
    .names = &mbart_names,
    .configure = configure_bart,
    .heads = bart_heads,
    .decoder = &decoder_of_mbart,
};
