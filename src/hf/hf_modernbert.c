/* SPDX-License-Identifier: Apache-2.0
 *
 * ModernBERT (Warner et al., 2024) as transformers' ModernBertModel computes it, without heads.
 *
 * In: config.json, as transformers 4 wrote it (global_attn_every_n_layers, global_rope_theta, local_rope_theta) or as version 5 does
 * (layer_types, rope_parameters), and the weights. Out: input_ids, attention_mask [batch, seq] -> last_hidden_state
 * [batch, seq, hidden].
 *
 * A layer is x + attention(norm(x)), then x + feed-forward(norm(x)); the first has no norm in front of its attention. Positions turn
 * queries and keys; "sliding" layers see keys at most local_attention / 2 away, and have a base of angles of their own.
 */
#include "hf_build.h"
#include "hf_json.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { FULL, SLIDING, KINDS }; /* of layers */
static const char *const kind_names[KINDS] = {"full_attention", "sliding_attention"};
static const char *const old_thetas[KINDS] = {"global_rope_theta", "local_rope_theta"};
static const double usual_thetas[KINDS] = {160000.0, 10000.0};

#define MOST_ANGLES (1 << 24) /* of one table: 64 MiB */

typedef struct modernbert {
    int64_t hidden, heads, head, layers, ffn, words, positions, window, every;
    float epsilon;
    bool norm_bias, attention_bias, mlp_bias;
    double theta[KINDS];
    yyjson_val *layer_types; /* NULL: every n-th layer is full */
    const char *activation;
} modernbert;

/* What a kind of layers shares. */
typedef struct shared {
    graph_value *bias;      /* [batch, 1, 1, seq] or [batch, 1, seq, seq] */
    graph_value *cos, *sin; /* [1, 1, seq, head] */
} shared;

static double read_theta(hf_builder *b, int kind) {
    yyjson_val *all = yyjson_obj_get(b->config, "rope_parameters"), *own = yyjson_obj_get(all, kind_names[kind]);
    yyjson_val *old = yyjson_obj_get(b->config, old_thetas[kind]);
    double theta = hf_json_real(own, "rope_theta", 0);
    if (!yyjson_is_null(yyjson_obj_get(b->config, "rope_scaling")) && yyjson_obj_get(b->config, "rope_scaling"))
        hf_refuse(b, NIB_UNSUPPORTED, "modernbert: rope_scaling");
    const char *type = hf_json_string(own, "rope_type", hf_json_string(own, "type", "default"));
    if (strcmp(type, "default") != 0) hf_refuse(b, NIB_UNSUPPORTED, "modernbert: rope_parameters.%s of type '%s'", kind_names[kind], type);
    if (all && !yyjson_is_null(all) && !yyjson_is_obj(all)) hf_refuse(b, NIB_BAD_MODEL, "config.json: rope_parameters is no object");
    if (theta == 0) theta = hf_json_real(b->config, old_thetas[kind], usual_thetas[kind]);
    if (kind == SLIDING && !own && yyjson_is_null(old)) theta = read_theta(b, FULL); /* null: the other layers' */
    if (!(theta > 0 && theta < 1e30))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: the base of rotary angles of %s is %g", kind_names[kind], theta);
    return theta;
}

static modernbert read_config(hf_builder *b) {
    modernbert m = {
        .hidden = hf_config_size(b, "hidden_size"),
        .heads = hf_config_size(b, "num_attention_heads"),
        .layers = hf_config_size(b, "num_hidden_layers"),
        .ffn = hf_config_size(b, "intermediate_size"),
        .words = hf_config_size(b, "vocab_size"),
        .positions = hf_config_size(b, "max_position_embeddings"),
        .window = hf_json_int(b->config, "local_attention", 128) / 2,
        .every = hf_json_int(b->config, "global_attn_every_n_layers", 3),
        .epsilon = (float)hf_json_real(b->config, "norm_eps", 1e-5),
        .norm_bias = hf_json_bool(b->config, "norm_bias", false),
        .attention_bias = hf_json_bool(b->config, "attention_bias", false),
        .mlp_bias = hf_json_bool(b->config, "mlp_bias", false),
        .layer_types = yyjson_obj_get(b->config, "layer_types"),
        .activation = hf_json_string(b->config, "hidden_activation", "gelu"),
    };
    for (int kind = 0; kind < KINDS; kind++) m.theta[kind] = read_theta(b, kind);
    if (b->status != NIB_OK) return m;
    if (yyjson_is_null(m.layer_types)) m.layer_types = NULL;
    if (m.layer_types && (!yyjson_is_arr(m.layer_types) || (int64_t)yyjson_arr_size(m.layer_types) != m.layers))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: layer_types is no list of %lld names", (long long)m.layers);
    m.head = hf_head_size(b, m.hidden, m.heads, 2);
    int64_t head = hf_json_int(b->config, "head_dim", m.head);
    if (head != m.head)
        hf_refuse(b, NIB_UNSUPPORTED, "modernbert: head_dim %lld is not hidden_size / num_attention_heads", (long long)head);
    if (m.positions > MOST_ANGLES / m.head)
        hf_refuse(b, NIB_LIMIT, "config.json: max_position_embeddings is %lld: its table of angles would be too large",
                  (long long)m.positions);
    if (m.window < 0 || m.window > INT32_MAX) hf_refuse(b, NIB_BAD_MODEL, "config.json: local_attention is negative or too large");
    if (m.every < 1) hf_refuse(b, NIB_BAD_MODEL, "config.json: global_attn_every_n_layers is no positive number");
    if (!(m.epsilon >= 0 && m.epsilon < 1)) hf_refuse(b, NIB_BAD_MODEL, "config.json: norm_eps is %g", (double)m.epsilon);
    return m;
}

static int kind_of(hf_builder *b, const modernbert *m, int64_t layer) {
    if (!m->layer_types) return layer % m->every ? SLIDING : FULL;
    const char *name = yyjson_get_str(yyjson_arr_get(m->layer_types, (size_t)layer));
    for (int kind = 0; kind < KINDS; kind++)
        if (name && strcmp(name, kind_names[kind]) == 0) return kind;
    hf_refuse(b, NIB_UNSUPPORTED, "config.json: layer_types holds '%s'", name ? name : "something that is no name");
    return FULL;
}

/* Added to scores where a key is too far away, beside the padding: [1, 1, seq, seq] of |i - j| <= window in standard operators. */
static graph_value *window_bias(hf_builder *b, const modernbert *m, graph_value *ids, graph_value *padding) {
    if (b->status != NIB_OK) return NULL;
    graph_value *axis = graph_const_i64(b->g, "window.axis", (int64_t[]){1}, -1),
                *zero = graph_const_i64(b->g, "window.zero", (int64_t[]){0}, -1);
    graph_value *one = graph_const_i64(b->g, "window.one", (int64_t[]){1}, -1),
                *most = graph_const_i64(b->g, "window.most", &m->window, -1);
    graph_value *rows = graph_const_i64(b->g, "window.rows", (int64_t[]){1}, 1);
    if (!axis || !zero || !one || !most || !rows) hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    graph_value *size = hf_op2(b, "Gather", "window.size", hf_op1(b, "Shape", "window.shape", ids), axis);
    graph_value *j = hf_op(b, "Range", "window.keys", (graph_value *[]){zero, size, one}, 3);
    graph_value *i = hf_op2(b, "Unsqueeze", "window.queries", j, rows);
    graph_value *far = hf_op1(b, "Abs", "window.distance", hf_op2(b, "Sub", "window.difference", i, j));
    graph_value *sees = hf_op2(b, "LessOrEqual", "window.sees", far, most);
    return hf_op(b, "Where", "window.bias", (graph_value *[]){sees, padding, hf_scalar(b, -FLT_MAX)}, 3);
}

/* cos or sin of position * theta^(-2 i / D), [positions, D / 2], in the precision that the model was trained with: angles are f32. */
static graph_value *table(hf_builder *b, const modernbert *m, int kind, const char *name, double (*of)(double)) {
    if (b->status != NIB_OK) return NULL;
    int64_t D = m->head, half = D / 2;
    graph_tensor t = {
        .dtype = NIB_DTYPE_F32, .rank = 2, .dims = {m->positions, half}, .bytes = (size_t)(m->positions * half) * sizeof(float)};
    float *values = base_arena_alloc(b->g->arena, t.bytes);
    for (int64_t i = 0; values && i < half; i++) {
        const float frequency = 1.0f / (float)pow(m->theta[kind], (double)((float)(2 * i) / (float)D));
        for (int64_t p = 0; p < m->positions; p++) {
            float angle = (float)p * frequency;
            values[p * half + i] = (float)of((double)angle);
        }
    }
    t.data = values;
    graph_value *v = values ? graph_add_constant(b->g, hf_path(b, "rotary.%s.%s", kind_names[kind], name), &t, false) : NULL;
    if (!v) hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    return v;
}

/* The rows of a table at the positions, twice side by side: [1, 1, seq, D]. */
static graph_value *angles(hf_builder *b, const modernbert *m, int kind, const char *name, double (*of)(double), graph_value *positions) {
    const char *at = hf_path(b, "rotary.%s.%s", kind_names[kind], name);
    graph_value *half = hf_op2(b, "Gather", hf_path(b, "%s.rows", at), table(b, m, kind, name, of), positions);
    return hf_unsqueeze(b, hf_path(b, "%s.heads", at), hf_concat(b, hf_path(b, "%s.twice", at), half, half), 1);
}

/* x cos + (-second half, first half) sin; x is [batch, heads, seq, D]. */
static graph_value *turn(hf_builder *b, const char *path, graph_value *x, const shared *s, int64_t D) {
    graph_value *first = hf_columns(b, hf_path(b, "%s.first", path), x, 0, D / 2);
    graph_value *second = hf_columns(b, hf_path(b, "%s.second", path), x, D / 2, D);
    graph_value *around = hf_concat(b, hf_path(b, "%s.around", path), hf_op1(b, "Neg", hf_path(b, "%s.negative", path), second), first);
    x = hf_op2(b, "Mul", hf_path(b, "%s.cos", path), x, s->cos);
    return hf_op2(b, "Add", hf_path(b, "%s.turned", path), x, hf_op2(b, "Mul", hf_path(b, "%s.sin", path), around, s->sin));
}

static graph_value *attention(hf_builder *b, const modernbert *m, const char *at, graph_value *x, const shared *s) {
    const int64_t C = m->hidden, D = m->head;
    graph_value *qkv = hf_project(b, hf_path(b, "%s.Wqkv", at), x, C, 3 * C, m->attention_bias), *parts[3];
    if (!hf_split(b, hf_path(b, "%s.part", at), qkv, C, 3, parts)) return NULL;
    graph_value *q = hf_heads(b, hf_path(b, "%s.q", at), parts[0], m->heads, D);
    graph_value *k = hf_heads(b, hf_path(b, "%s.k", at), parts[1], m->heads, D);
    graph_value *v = hf_heads(b, hf_path(b, "%s.v", at), parts[2], m->heads, D);
    q = turn(b, hf_path(b, "%s.q", at), q, s, D);
    k = hf_transpose(b, hf_path(b, "%s.k.columns", at), turn(b, hf_path(b, "%s.k", at), k, s, D), (int64_t[]){0, 1, 3, 2}, 4);
    x = hf_attend(b, at, q, k, v, s->bias, D, C);
    return hf_project(b, hf_path(b, "%s.Wo", at), x, C, C, m->attention_bias);
}

static graph_value *feed_forward(hf_builder *b, const modernbert *m, const char *at, graph_value *x) {
    graph_value *wide = hf_project(b, hf_path(b, "%s.Wi", at), x, m->hidden, 2 * m->ffn, m->mlp_bias), *halves[2];
    if (!hf_split(b, hf_path(b, "%s.half", at), wide, m->ffn, 2, halves)) return NULL;
    x = hf_op2(b, "Mul", hf_path(b, "%s.gated", at), hf_activation(b, hf_path(b, "%s.act", at), m->activation, halves[0]), halves[1]);
    return hf_project(b, hf_path(b, "%s.Wo", at), x, m->ffn, m->hidden, m->mlp_bias);
}

static graph_value *layer(hf_builder *b, const modernbert *m, int64_t i, graph_value *x, const shared *s) {
    const char *at = hf_path(b, "layers.%lld", (long long)i);
    graph_value *y = i == 0 ? x : hf_norm(b, hf_path(b, "%s.attn_norm", at), x, m->hidden, m->epsilon, m->norm_bias);
    y = attention(b, m, hf_path(b, "%s.attn", at), y, s);
    x = hf_op2(b, "Add", hf_path(b, "%s.attn.residual", at), x, y);
    y = hf_norm(b, hf_path(b, "%s.mlp_norm", at), x, m->hidden, m->epsilon, m->norm_bias);
    y = feed_forward(b, m, hf_path(b, "%s.mlp", at), y);
    return hf_op2(b, "Add", hf_path(b, "%s.mlp.residual", at), x, y);
}

nib_status hf_build_modernbert(hf_builder *b) {
    modernbert m = read_config(b);
    if (b->status != NIB_OK) return b->status;
    shared kinds[KINDS] = {{NULL, NULL, NULL}};
    graph_value *ids = hf_input(b, "input_ids");
    graph_value *mask = hf_input(b, "attention_mask");
    graph_value *padding = hf_mask_bias(b, mask), *positions = hf_positions(b, ids, m.positions);
    graph_value *x = hf_embedding(b, "embeddings.tok_embeddings", ids, m.words, m.hidden);
    x = hf_norm(b, "embeddings.norm", x, m.hidden, m.epsilon, m.norm_bias);
    for (int64_t i = 0; i < m.layers && b->status == NIB_OK; i++) {
        int kind = kind_of(b, &m, i);
        shared *s = &kinds[kind];
        if (!s->bias) {
            s->bias = kind == FULL ? padding : window_bias(b, &m, ids, padding);
            s->cos = angles(b, &m, kind, "cos", cos, positions);
            s->sin = angles(b, &m, kind, "sin", sin, positions);
        }
        x = layer(b, &m, i, x, s);
    }
    x = hf_norm(b, "final_norm", x, m.hidden, m.epsilon, m.norm_bias);
    hf_output(b, "last_hidden_state", x, m.hidden);
    return b->status;
}
