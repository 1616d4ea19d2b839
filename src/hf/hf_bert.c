/* SPDX-License-Identifier: Apache-2.0
 *
 * BERT (Devlin et al., 2018) as transformers' BertModel computes it, without the pooler.
 *
 * In: config.json and the weights. Out: input_ids, attention_mask, token_type_ids [batch, seq] -> last_hidden_state
 * [batch, seq, hidden].
 */
#include "hf_build.h"
#include "hf_json.h"
#include <string.h>

typedef struct bert {
    int64_t hidden, heads, layers, ffn, words, positions, types;
    float epsilon;
    const char *activation;
} bert;

static bert read_config(hf_builder *b) {
    bert m = {
        .hidden = hf_config_size(b, "hidden_size"),
        .heads = hf_config_size(b, "num_attention_heads"),
        .layers = hf_config_size(b, "num_hidden_layers"),
        .ffn = hf_config_size(b, "intermediate_size"),
        .words = hf_config_size(b, "vocab_size"),
        .positions = hf_config_size(b, "max_position_embeddings"),
        .types = hf_config_size(b, "type_vocab_size"),
        .epsilon = (float)hf_json_real(b->config, "layer_norm_eps", 1e-12),
        .activation = hf_json_string(b->config, "hidden_act", "gelu"),
    };
    const char *kind = hf_json_string(b->config, "position_embedding_type", "absolute");
    if (strcmp(kind, "absolute") != 0) hf_refuse(b, NIB_UNSUPPORTED, "bert: position_embedding_type '%s'", kind);
    if (hf_json_bool(b->config, "is_decoder", false)) hf_refuse(b, NIB_UNSUPPORTED, "bert: a decoder (is_decoder is true)");
    hf_head_size(b, m.hidden, m.heads, 1);
    if (!(m.epsilon >= 0 && m.epsilon < 1)) hf_refuse(b, NIB_BAD_MODEL, "config.json: layer_norm_eps is %g", (double)m.epsilon);
    return m;
}

static graph_value *embeddings(hf_builder *b, const bert *m, graph_value *ids, graph_value *types) {
    graph_value *words = hf_embedding(b, "embeddings.word_embeddings", ids, m->words, m->hidden);
    graph_value *kinds = hf_embedding(b, "embeddings.token_type_embeddings", types, m->types, m->hidden);
    hf_weight(b, "embeddings.position_embeddings.weight", m->positions, m->hidden); /* before a range of that many is made */
    graph_value *places = hf_embedding(b, "embeddings.position_embeddings", hf_positions(b, ids, m->positions), m->positions, m->hidden);
    graph_value *sum = hf_op2(b, "Add", "embeddings.words_and_types", words, kinds);
    sum = hf_op2(b, "Add", "embeddings.sum", sum, places);
    return hf_layer_norm(b, "embeddings.LayerNorm", sum, m->hidden, m->epsilon);
}

static graph_value *layer(hf_builder *b, const bert *m, int64_t i, graph_value *x, graph_value *bias) {
    const char *at = hf_path(b, "encoder.layer.%lld", (long long)i);
    graph_value *q = hf_linear(b, hf_path(b, "%s.attention.self.query", at), x, m->hidden, m->hidden);
    graph_value *k = hf_linear(b, hf_path(b, "%s.attention.self.key", at), x, m->hidden, m->hidden);
    graph_value *v = hf_linear(b, hf_path(b, "%s.attention.self.value", at), x, m->hidden, m->hidden);
    graph_value *y = hf_attention(b, hf_path(b, "%s.attention.self", at), q, k, v, bias, m->heads, m->hidden);
    y = hf_linear(b, hf_path(b, "%s.attention.output.dense", at), y, m->hidden, m->hidden);
    y = hf_op2(b, "Add", hf_path(b, "%s.attention.output.residual", at), y, x);
    x = hf_layer_norm(b, hf_path(b, "%s.attention.output.LayerNorm", at), y, m->hidden, m->epsilon);
    y = hf_linear(b, hf_path(b, "%s.intermediate.dense", at), x, m->hidden, m->ffn);
    y = hf_activation(b, hf_path(b, "%s.intermediate.act", at), m->activation, y);
    y = hf_linear(b, hf_path(b, "%s.output.dense", at), y, m->ffn, m->hidden);
    y = hf_op2(b, "Add", hf_path(b, "%s.output.residual", at), y, x);
    return hf_layer_norm(b, hf_path(b, "%s.output.LayerNorm", at), y, m->hidden, m->epsilon);
}

nib_status hf_build_bert(hf_builder *b) {
    bert m = read_config(b);
    graph_value *ids = hf_input(b, "input_ids");
    graph_value *mask = hf_input(b, "attention_mask");
    graph_value *types = hf_input(b, "token_type_ids");
    graph_value *bias = hf_mask_bias(b, mask);
    graph_value *x = embeddings(b, &m, ids, types);
    for (int64_t i = 0; i < m.layers && b->status == NIB_OK; i++) x = layer(b, &m, i, x, bias);
    hf_output(b, "last_hidden_state", x, m.hidden);
    return b->status;
}
