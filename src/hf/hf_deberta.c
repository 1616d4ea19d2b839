/* SPDX-License-Identifier: Apache-2.0
 *
 * DeBERTa v2 and v3 (He et al., 2021): BERT whose scores also depend on what a token says and how far the other is.
 */
#include "hf_stack.h"
#include <math.h>
#include <string.h>
#include <strings.h>

static const hf_names names = {
    .words = "embeddings.word_embeddings",
    .types = "embeddings.token_type_embeddings",
    .positions = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .layer = "encoder.layer",
    .q = "attention.self.query_proj",
    .k = "attention.self.key_proj",
    .v = "attention.self.value_proj",
    .out = "attention.output.dense",
    .attention = {.after = "attention.output.LayerNorm"},
    .feed_forward = {.after = "output.LayerNorm"},
    .up = "intermediate.dense",
    .down = "output.dense",
    .relative = "encoder.rel_embeddings",
    .relative_norm = "encoder.LayerNorm",
    .pos_key = "attention.self.pos_key_proj",
    .pos_query = "attention.self.pos_query_proj",
};

static const hf_key keys[] = {
    HF_SIZE_OR("type_vocab_size", types, 0, 0),
    HF_SIZE_OR("embedding_size", embedding, 0, 1),
    HF_EPSILON("layer_norm_eps", 1e-7),
    HF_TEXT_OR("hidden_act", activation, "gelu"),
    HF_SIZE_OR("position_buckets", relative.buckets, 0, -1),
    HF_SIZE_OR("max_relative_positions", relative.reach, -1, -1),
    HF_KEYS_END,
};

static const base_key known[] = {
    BASE_KEY_OBEYED("relative_attention"),
    BASE_KEY_OBEYED("position_biased_input"),
    BASE_KEY_OBEYED("pos_att_type"),
    BASE_KEY_OBEYED("share_att_key"),
    BASE_KEY_OBEYED("norm_rel_ebd"),
    BASE_KEY_OBEYED("conv_kernel_size"),
    BASE_KEY_OBEYED("attention_head_size"),
    BASE_KEY_OBEYED("pooler_hidden_act"),
    BASE_KEY_HARMLESS("conv_act", "*", "of conv_kernel_size"),
    BASE_KEY_HARMLESS("conv_groups", "*", "of conv_kernel_size"),
    BASE_KEY_HARMLESS("pooler_dropout", "*", "only in training"),
    BASE_KEY_HARMLESS("pooler_hidden_size", "*", "the pooler's weights say it"),
    BASE_KEY_HARMLESS("padding_idx", "*", "padding is computed by nobody"),
    BASE_KEY_HARMLESS("legacy", "*", "a head is known by its weights"),
    BASE_KEY_HARMLESS("z_steps", "*", "how it was trained"),
    BASE_KEY_HARMLESS("summary_type", "*", "of a head that nib has not"),
    BASE_KEYS_END,
};

/* Whether `list`, words with '|' between of any case, has `word`. */
static bool lists(const char *list, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, "|"), at += *at == '|') {
        at += strspn(at, " ");
        const size_t length = strcspn(at, "|");
        if (strncasecmp(at, word, n) == 0 && n + strspn(at + n, " ") == length) return true;
    }
    return false;
}

/* Whether a key has `word`: a text of several, in any case, or a list, each as it stands. */
static bool says(hf_builder *b, const char *key, const char *word) {
    yyjson_val *v = yyjson_obj_get(b->config, key), *one;
    size_t i, n;
    if (yyjson_is_str(v)) return lists(yyjson_get_str(v), word);
    yyjson_arr_foreach(v, i, n, one) if (yyjson_is_str(one) && strcmp(yyjson_get_str(one), word) == 0) return true;
    return false;
}

static void read_relative(hf_builder *b, hf_stack *s, bool c2p, bool p2c) {
    hf_disentangled *r = &s->relative;
    r->c2p = c2p;
    r->p2c = p2c;
    r->own = !hf_config_flag(b, "share_att_key", false);
    r->normed = says(b, "norm_rel_ebd", "layer_norm");
    if (r->reach < 1) r->reach = s->positions;
    if (r->buckets < 1) r->buckets = 0;
    r->span = r->c2p || r->p2c ? (r->buckets ? r->buckets : r->reach) : 0;
    if (r->span > 1 << 16)
        hf_refuse(b, NIB_LIMIT, "config.json: rows for %lld distances are too many", (long long)r->span);
    if (r->buckets && (r->buckets < 4 || r->reach <= r->buckets / 2 + 1))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: %lld position_buckets up to a distance of %lld",
                  (long long)r->buckets, (long long)r->reach);
}

static void configure(hf_builder *b, hf_stack *s) {
    s->norm_bias = s->q_bias = s->k_bias = s->v_bias = s->out_bias = s->up_bias = s->down_bias = true;
    if (hf_config_flag(b, "position_biased_input", true)) s->learned = HF_LEARNED_COLUMNS;
    const bool c2p = says(b, "pos_att_type", "c2p"), p2c = says(b, "pos_att_type", "p2c");
    if (hf_config_flag(b, "relative_attention", false)) read_relative(b, s, c2p, p2c);
    s->score_size = (double)(1 + c2p + p2c) * (double)s->hidden / (double)s->heads; /* with such scores or without */
    if (hf_config_int(b, "conv_kernel_size", 0, 0, INT32_MAX) > 0)
        hf_refuse(b, NIB_UNSUPPORTED, "deberta-v2: a convolution (conv_kernel_size)");
    if (s->embedding && s->embedding != s->hidden)
        hf_refuse(b, NIB_UNSUPPORTED, "deberta-v2: embedding_size is not hidden_size");
    const int64_t head = hf_config_int(b, "attention_head_size", 0, 0, INT32_MAX);
    if (head != 0 && head * s->heads != s->hidden)
        hf_refuse(b, NIB_UNSUPPORTED, "deberta-v2: attention_head_size is not hidden_size / num_attention_heads");
}

static const hf_head heads[] = {
    {"ForSequenceClassification", "logits", HF_TAKE_FIRST, "pooler.dense", "gelu", "pooler_hidden_act", NULL,
     "classifier", NULL},
    {"ForTokenClassification", "logits", HF_TAKE_TOKENS, NULL, NULL, NULL, NULL, "classifier", NULL},
    {.suffix = "ForQuestionAnswering", .output = "start_logits", .take = HF_TAKE_SPANS, .out = "qa_outputs"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "cls.predictions.transform.dense", NULL, NULL,
     "cls.predictions.transform.LayerNorm", NULL, "cls.predictions.decoder"},
    {"ForMaskedLM", "logits", HF_TAKE_TOKENS, "lm_predictions.lm_head.dense", NULL, NULL,
     "lm_predictions.lm_head.LayerNorm", NULL, "lm_predictions.lm_head"},
    {.output = NULL},
};

const hf_family hf_family_deberta = {
    .types = "deberta-v2",
    .classes = "DebertaV2",
    .probe = "embeddings.word_embeddings.weight",
    .prefixes = {"", "deberta.", NULL},
    .keys = {hf_usual_sizes, keys, NULL},
    .known = {known, NULL},
    .names = &names,
    .configure = configure,
    .heads = heads,
};
