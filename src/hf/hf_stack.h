/* SPDX-License-Identifier: Apache-2.0
 *
 * A stack of transformer layers, described. A family of models is a row (hf_family): which keys of config.json fill the
 * description, what its weights are called, and its traits. One builder writes the graph of any description.
 *
 *     config.json --hf_stack_read--> hf_stack --hf_stack_build--> graph of ai.onnx operators
 *
 * What a layer computes. x is [batch, seq, hidden]; a norm whose path is NULL is not there:
 *
 *     x = after(x + inside(attention(before(x))))         BERT has `after`, Llama `before`, Gemma `before` and `inside`
 *     x = after(x + inside(feed_forward(before(x))))
 *
 *     attention: softmax(cap(rotate(q) rotate(k)^T / sqrt(score_size)) + bias + mask) v, heads of head_size columns
 *     feed_forward: down(act(up(x))), or down(act(gate(x)) * up(x))
 *
 * Every operator is one that exporters use, in the form they use, so that the passes meet one form of a model,
 * whichever door it came through. What config.json says is checked once, in hf_stack_read, before a weight is read: no
 * size that comes out of it is 0, heads divide, and no number is NaN.
 */
#ifndef HF_STACK_H
#define HF_STACK_H

#include "base/base_keys.h"
#include "hf_build.h"

#define HF_LAYERS 1024 /* at most */

/* ---- the description */

typedef enum hf_norm_kind {
    HF_NORM_LAYER,   /* (x - mean) / deviation * weight + bias */
    HF_NORM_RMS,     /* x / root of the mean square * weight */
    HF_NORM_RMS_ONE, /* the same, times 1 + weight (Gemma) */
} hf_norm_kind;

typedef enum hf_gate {
    HF_GATE_NONE,
    HF_GATE_SEPARATE, /* act(gate(x)) * up(x), two weights */
    HF_GATE_FIRST,    /* one weight, named `up`, of twice the width: act(first half of columns) * second half */
    HF_GATE_SECOND,   /* first half * act(second half) */
} hf_gate;

typedef enum hf_head_norm {
    HF_HEAD_NORM_NONE,
    HF_HEAD_NORM_HEAD,  /* q and k, over the columns of each head, before they are rotated (Qwen3) */
    HF_HEAD_NORM_WIDTH, /* over all columns of q, of k, before they are split into heads (OLMo 2) */
} hf_head_norm;

typedef enum hf_qkv {
    HF_QKV_SEPARATE, /* weights q, k, v */
    HF_QKV_BLOCKS,   /* one weight: rows of q, of k, of v (ModernBERT, NomicBERT) */
    HF_QKV_HEADS,    /* one weight: head by head, rows of its q, k, v (BLOOM) */
} hf_qkv;

typedef enum hf_scaling {
    HF_SCALING_NONE,
    HF_SCALING_LINEAR,    /* frequencies / factor */
    HF_SCALING_LLAMA3,    /* long waves / factor, short ones as they are, and a ramp in between */
    HF_SCALING_YARN,      /* by number of rotations in `original` positions; cos and sin times attention_factor */
    HF_SCALING_LONGROPE,  /* each frequency / its factor; cos and sin times attention_factor */
    HF_SCALING_NTK,       /* of a base that is `factor` times as large, / factor^(2 / columns); for families that say so */
    HF_SCALING_NTK_MIXED, /* each frequency / exp(a (i + 1)^b), a = ln(factor) / (columns / 2)^b; b is `mixed` */
    HF_SCALING_DYNAMIC,   /* as they are: up to max_position_embeddings, which nib's texts do not exceed, it changes nothing */
} hf_scaling;

/* Frequencies as transformers' ROPE_INIT_FUNCTIONS reckons them, in f32. */
typedef struct hf_rotary {
    double theta; /* 0: such layers rotate nothing */
    hf_scaling scaling;
    double factor, low, high, original; /* llama3: low_freq_factor, high_freq_factor; yarn: beta_slow, beta_fast */
    double attention_factor;            /* of cos and sin */
    double mixed;                       /* ntk: mixed_b */
    bool truncate;                      /* yarn: the ramp ends at whole dimensions */
    yyjson_val *factors;                /* longrope: short_factor, numbers; of config.json, which lives as long as the builder */
    bool to_original;                   /* longrope: beyond `original` positions other factors hold: a model ends there */
} hf_rotary;

/* Layers are of one of two kinds, called as in layer_types. */
typedef enum hf_kind { HF_FULL, HF_SLIDING, HF_KINDS } hf_kind;
extern const char *const hf_kind_names[HF_KINDS]; /* "full_attention", "sliding_attention" */

typedef struct hf_sight {
    int64_t left, right; /* a query sees so many keys before and after its own; -1: all; causal: right is 0 */
    hf_rotary rotary;
} hf_sight;

typedef enum hf_learned {
    HF_LEARNED_NONE,
    HF_LEARNED_COLUMNS, /* row: column of the batch + position_offset (BERT 0, BART 2) */
    HF_LEARNED_IDS,     /* row: how many ids so far are not `pad`, + pad; that of a pad is pad (RoBERTa, MPNet) */
} hf_learned;

/* Scores by what a token says and how far the other is (He et al., 2021), beside those of both tokens: query times the
 * key of a distance (c2p), key times the query of a distance (p2c). */
typedef struct hf_disentangled {
    int64_t span;    /* distances have 2 span rows; 0: no such scores */
    int64_t buckets; /* distances from buckets / 2 on share rows, ever more of them; 0: each has its own */
    int64_t reach;   /* the last distance that buckets count */
    bool c2p, p2c;
    bool own; /* weights pos_key and pos_query; else those of k and q */
    bool normed;
} hf_disentangled;

typedef struct hf_names hf_names;

#define HF_START_COUNTED (-1) /* hf_stack.start */

/* Lengths are in tokens, widths in numbers of f32. What a family does not set is 0, which is "none" or, where it says
 * so, another member's value. */
typedef struct hf_stack {
    int64_t hidden, layers, vocabulary, ffn; /* ffn: columns of down's input */
    int64_t heads, kv_heads, head_size;      /* kv_heads 0: heads; head_size 0: hidden / heads. hidden / heads may differ */
    int64_t embedding;                       /* width of the tables; 0: hidden. Else names->project makes hidden of it */
    bool always_project;                     /* even where they are the same (ALBERT) */
    int64_t groups;                          /* weights for so many layers, each used by layers / groups in turn (ALBERT); 0: layers */
    const char *activation;                  /* a name of transformers' ACT2FN that hf_activation knows */
    hf_gate gate;

    /* norms */
    hf_norm_kind norm;
    double epsilon;
    bool norm_bias;            /* HF_NORM_LAYER: there is one */
    hf_head_norm head_norm;    /* of kind `norm` */
    bool head_norm_bias;       /* HF_NORM_LAYER: there is one */
    bool first_without_before; /* layer 0 has no norm before its attention (ModernBERT) */

    /* there is a bias */
    bool q_bias, k_bias, v_bias, out_bias, up_bias, down_bias; /* up_bias: gate's, too */
    bool in_out; /* weights of layers are [in, out] (GPT-2's Conv1D), and not [out, in]; with HF_QKV_BLOCKS */

    /* embeddings: norm(words * scale + types + positions), then project */
    double embedding_scale; /* 0: 1. f32, as transformers has it in an f32 model (Gemma, BART) */
    int64_t types;          /* rows of the table of segments; 0: none, and no input token_type_ids */
    bool types_unread;      /* its first row is added to all tokens, and there is no such input (RoBERTa) */
    hf_learned learned;
    int64_t positions;       /* max_position_embeddings */
    int64_t position_offset; /* rows in front of the first that is read; the table has positions + position_offset rows,
                              * but with HF_LEARNED_IDS, whose `positions` counts them */
    int64_t pad;             /* pad_token_id; -1: none */

    /* attention */
    hf_qkv qkv;
    double score_size; /* scores are divided by its root; 0: head_size. T5 1, Gemma query_pre_attn_scalar */
    double score_cap;  /* c tanh(score / c); 0: none */
    bool causal;
    hf_sight sight[HF_KINDS];
    uint8_t kinds[HF_LAYERS]; /* hf_kind of each layer; see hf_kinds_every, hf_kinds_listed */
    bool rotary_ntk;          /* rope_scaling's type "ntk" has a meaning (GTE's own code) */
    double rotary_part;       /* the first columns of a head that are rotated, as a part of head_size; 0: all */
    bool rotary_pairs;        /* columns 2 i and 2 i + 1 are turned together, not i and D / 2 + i (RoFormer) */
    bool alibi;               /* scores - slope |i - j|, a slope for each head (Press et al., 2021) */
    int64_t buckets;          /* rows of a table of biases for each head, by distance (T5, MPNet); 0: none */
    int64_t bucket_reach;     /* from this distance on it is the last one */
    hf_disentangled relative;

    /* of a decoder, which reads the ids of the text moved on by one (Lewis et al., 2020): */
    int64_t start; /* the id in front of them; HF_START_COUNTED: see moved_ids (mBART) */
    int64_t eos;   /* the id that ends a text, of whose row a text is classified */
    const hf_names *names;
} hf_stack;

/* Paths of weights, without ".weight" and the family's prefix. Those of layer i stand behind "layer.i.". NULL: there is
 * none. */
typedef struct hf_places {
    const char *before, *inside, *after;
    const char *joined; /* of what the part makes and its input together, in front of the sum with its input (JinaBERT v2's
                         * second form) */
} hf_places;

/* A decoder's second attention, which sees the rows that an encoder has made of the same text: its weights. */
typedef struct hf_cross {
    const char *q, *k, *v, *out;
    hf_places around; /* norms */
} hf_cross;

struct hf_names {
    const char *words; /* '|' between those that it may have: the first that is there counts */
    const char *types, *positions, *embedding_norm, *project;
    const char *layer;
    const char *qkv; /* HF_QKV_BLOCKS, HF_QKV_HEADS */
    const char *q, *k, *v, *out, *q_norm, *k_norm;
    hf_places attention, feed_forward; /* norms around them */
    hf_cross cross;                    /* q NULL: there is none */
    const char *up, *gate, *down;
    const char *buckets;                  /* [buckets, heads], of the whole stack: a path without `layer` */
    const char *relative, *relative_norm; /* hf_disentangled: the table of distances, and a norm of it; without `layer` */
    const char *pos_key, *pos_query;
    const char *final_norm; /* behind the last layer */
    const char *angles;     /* a table that a file may have of rotary positions [positions, columns]: sin, then cos (RoFormer) */
};

/* ---- keys of config.json, read by table */

typedef enum hf_key_kind { HF_KEY_SIZE, HF_KEY_REAL, HF_KEY_FLAG, HF_KEY_TEXT } hf_key_kind;

/* A number that is absent or null is `otherwise`, which NaN makes an error; one out of [least, most], or of another
 * JSON type, is BAD_MODEL, naming the key. Every key of a table counts as obeyed. */
typedef struct hf_key {
    const char *names; /* '|' between; the first that is there counts */
    hf_key_kind kind;
    size_t at; /* offset in hf_stack of an int64_t, double, bool or const char * */
    double otherwise, least, most;
    const char *text; /* HF_KEY_TEXT's otherwise; NULL: an error */
} hf_key;

#define HF_SIZE(names, member)                                                                                                             \
    { names, HF_KEY_SIZE, offsetof(hf_stack, member), NAN, 1, INT32_MAX, NULL }
#define HF_SIZE_OR(names, member, otherwise, least)                                                                                        \
    { names, HF_KEY_SIZE, offsetof(hf_stack, member), otherwise, least, INT32_MAX, NULL }
#define HF_REAL_OR(names, member, otherwise, least, most)                                                                                  \
    { names, HF_KEY_REAL, offsetof(hf_stack, member), otherwise, least, most, NULL }
#define HF_EPSILON(names, otherwise) HF_REAL_OR(names, epsilon, otherwise, 0, 0.999)
#define HF_FLAG_OR(names, member, otherwise)                                                                                               \
    { names, HF_KEY_FLAG, offsetof(hf_stack, member), otherwise, 0, 1, NULL }
#define HF_TEXT_OR(names, member, otherwise)                                                                                               \
    { names, HF_KEY_TEXT, offsetof(hf_stack, member), 0, 0, 0, otherwise }
#define HF_KEYS_END                                                                                                                        \
    { NULL, HF_KEY_SIZE, 0, 0, 0, 0, NULL }

/* hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, vocab_size, max_position_embeddings */
extern const hf_key hf_usual_sizes[];

/* ---- heads: what stands behind the last layer */

typedef enum hf_take {
    HF_TAKE_TOKENS, /* each row: [batch, seq, ..] */
    HF_TAKE_FIRST,  /* the first row of a text: [batch, ..] */
    HF_TAKE_MEAN,   /* the mean of its rows whose mask is 1 */
    HF_TAKE_LAST,   /* its last row whose id is not `pad` (transformers' GenericForSequenceClassification); without a
                     * pad, for which transformers refuses batches, its last row */
    HF_TAKE_SPANS,  /* each row, of whose two columns start_logits and end_logits [batch, seq] are made */
    HF_TAKE_LATE,   /* the mean of what the head makes of each of them */
    HF_TAKE_DECODED, /* of the rows of the family's decoder that of the text's last `eos` */
    /* As classifier_pooling says: "cls", "bos", "mean", "late"; else the first of these (ModernBERT), the last
       (EuroBERT). */
    HF_TAKE_KEY_CLS,
    HF_TAKE_KEY_LATE,
} hf_take;

/* out(norm(act(dense(rows)))), for an architecture whose name ends with `suffix`, where its weights are there. There is
 * a bias wherever the file has one. */
typedef struct hf_head {
    const char *suffix, *output; /* "ForSequenceClassification", "logits"; suffix "": any */
    hf_take take;
    const char *dense;          /* NULL: none, and no activation */
    const char *activation;     /* of hf_activation; NULL: the stack's own */
    const char *activation_key; /* of config.json, which says it instead, if it is there; or NULL */
    const char *norm;           /* NULL: none */
    const char *out;            /* its rows are the labels; NULL: none */
    /* Instead of `out`, scores of all words: the weight at this path where the file has it, else the table of words.
     * transformers does not tie a weight that a file has beside the table and that differs from it, whatever
     * tie_word_embeddings says. The bias is the path's own, or the one beside it ("cls.predictions.bias" of
     * "cls.predictions.decoder"). NULL: none. */
    const char *tied;
} hf_head;

/* ---- families */

typedef struct hf_family {
    const char *types;        /* of config.json's model_type, '|' between */
    const char *classes;      /* what the names of its architectures begin with, '|' between: "Bert|JinaBert" */
    const char *probe;        /* a weight that all models of the family have, without prefix */
    const char *prefixes[6];  /* what may stand before it, ends with NULL */
    const hf_key *keys[3];    /* read in this order, ends with NULL */
    const base_key *known[4]; /* other keys that `configure` obeys or that change nothing; ends with NULL */
    const hf_names *names;
    void (*configure)(hf_builder *b, hf_stack *s); /* traits; the keys are read. It only fills *s, or refuses */
    /* What config.json leaves open and the names of the weights say. It only changes *s; NULL: nothing is open. */
    void (*look)(hf_builder *b, hf_stack *s);
    const hf_head *heads; /* ends with a NULL output; NULL: none */
    /* A stack behind this one, of heads that take its rows: types, classes, heads and what may stand before names are
     * this one's. NULL: none. */
    const struct hf_family *decoder;
} hf_family;
extern const hf_family *const hf_families[]; /* ends with NULL */
extern const base_key hf_common_keys[], hf_rotary_keys[];

/* The family of a model_type, or NULL. */
const hf_family *hf_find_family(const char *model_type);
/* Whether an architecture's name is one of the family's. */
bool hf_is_class_of(const hf_family *f, const char *architecture);
/* The members that the model is described by: config.json's own, or those of text_config where a model has several
 * parts. */
yyjson_val *hf_text_config(yyjson_val *config);
/* The description that config.json gives: keys, configure, checks. Weights are not looked at. b->status, b->err say
 * what is wrong; *s is then of no use. */
void hf_stack_read(hf_builder *b, const hf_family *f, hf_stack *s);
/* Whether a head that the architecture names takes rows of the decoder; its description, as hf_stack_read. */
bool hf_decodes(const hf_builder *b, const hf_family *f);
/* The longest text that the model has positions for; 0: any. */
int64_t hf_stack_longest(const hf_stack *s);
/* Inputs input_ids, attention_mask and, if it reads them, token_type_ids: i64 [batch, seq]. Outputs: last_hidden_state
 * f32 [batch, seq, hidden], and what the heads give. */
void hf_stack_build(hf_builder *b, const hf_family *f, const hf_stack *s);
/* Warns of keys of config.json, which `file` is, that are not obeyed. */
void hf_family_check_keys(nib_runtime *runtime, const char *file, const hf_family *f, yyjson_val *config);

/* ---- words for configure */

/* Every n-th layer is HF_FULL, the others HF_SLIDING: those with (layer + shift) % n == 0. layer_types, if there,
 * counts instead. */
void hf_kinds_every(hf_builder *b, hf_stack *s, int64_t n, int64_t shift);
/* As layer_types says, if it is there. */
void hf_kinds_listed(hf_builder *b, hf_stack *s);
/* Whether the older rope_scaling holds for a kind of layers. transformers puts it over {"rope_type": "default"} where
 * a family has an object for each kind: there the older word `type` changes nothing. */
typedef enum hf_older { HF_OLDER_NONE, HF_OLDER_ANY, HF_OLDER_BY_ROPE_TYPE } hf_older;
/* rope_parameters (own of the kind, or one for all), or as older versions say it: the key `theta` and rope_scaling,
 * which refuse each other where both are there and differ. */
void hf_read_rotary(hf_builder *b, hf_stack *s, hf_kind kind, const char *theta, double otherwise, hf_older older);
/* Refuses a family's trait: "model_type: key is value". */
void hf_refuse_flag(hf_builder *b, const char *key, bool allowed);
/* is_causal of a decoder: true where it is absent, and false where it is null, as transformers takes it. */
bool hf_is_causal(hf_builder *b);

/* ---- the rows */

/* One word for each, in the order in which they are told: its row is hf_family_WORD. */
/* clang-format off */
#define HF_FAMILIES(X)                                                                                                 \
    X(bert) X(roberta) X(distilbert) X(mpnet) X(albert) X(electra) X(roformer) X(deberta) X(modernbert) X(eurobert)    \
    X(nomic) X(gte) X(jina3) X(t5) X(bart) X(mbart) X(llama) X(mistral) X(qwen2) X(qwen3) X(gemma) X(gemma2)     \
    X(gemma3) X(olmo2) X(stablelm) X(bloom) X(gpt2)
/* clang-format on */
#define HF_DECLARE_FAMILY(word) extern const hf_family hf_family_##word;
HF_FAMILIES(HF_DECLARE_FAMILY)
#undef HF_DECLARE_FAMILY

/* ---- inside the room: parts of hf_stack_build */

/* What layers share: one for each kind. */
typedef struct hf_shared {
    graph_value *bias;      /* added to scores: [batch, 1 or heads, 1 or seq, seq] */
    graph_value *cos, *sin; /* [1, 1, seq, rotated columns] or NULL */
    graph_value *ids;       /* [batch, seq] */
    graph_value *memory;    /* a decoder's: the encoder's rows [batch, seq, hidden]; else NULL */
    graph_value *padding;   /* a decoder's: what is added to scores of those, [batch, 1, 1, seq] */
} hf_shared;
/* mask [batch, seq], ids [batch, seq]. */
hf_shared hf_shared_make(hf_builder *b, const hf_stack *s, hf_kind kind, graph_value *ids, graph_value *mask);
/* Attention's own part of a layer: x [batch, seq, hidden] -> [batch, seq, hidden]; `at` is the layer's path. */
graph_value *hf_stack_attention(hf_builder *b, const hf_stack *s, const char *at, graph_value *x, const hf_shared *shared);
/* The same of a decoder's second attention, whose keys and values are of shared->memory. */
graph_value *hf_stack_cross(hf_builder *b, const hf_stack *s, const char *at, graph_value *x, const hf_shared *shared);
/* The rows behind the last layer: [batch, seq, hidden]. memory: the encoder's, of a decoder; else NULL. */
graph_value *hf_stack_rows(hf_builder *b, const hf_stack *s, graph_value *ids, graph_value *mask, graph_value *memory);
/* The rows of the family's decoder, which sees `memory`, what the encoder has made of ids; *d becomes its description.
 */
graph_value *hf_decoder_rows(hf_builder *b, const hf_family *f, graph_value *ids, graph_value *mask,
                             graph_value *memory, hf_stack *d);
/* x's row [batch, ..] of each text's last token whose id `is` that one or is another; -1: of its last token. Where
 * there is no such token, of the first. Rows are told from padding by the mask. */
graph_value *hf_last_row(hf_builder *b, const char *at, graph_value *x, graph_value *ids, graph_value *mask, int64_t id,
                         bool is);
/* What hf_disentangled adds to scores that are divided by sqrt(score_size): [batch, heads, seq, seq], of q [batch,
 * heads, seq, D] and k [batch, heads, D, seq]. */
graph_value *hf_relative_scores(hf_builder *b, const hf_stack *s, const char *layer, graph_value *q, graph_value *k, graph_value *ids);
/* i - j: i64 [seq, seq], of query i and key j. */
graph_value *hf_differences(hf_builder *b, graph_value *ids);
/* A norm as the stack has it, over `width` columns. */
graph_value *hf_stack_norm(hf_builder *b, const hf_stack *s, const char *path, graph_value *x, int64_t width, bool bias);
/* x through a weight of a layer. */
graph_value *hf_stack_project(hf_builder *b, const hf_stack *s, const char *path, graph_value *x, int64_t in,
                              int64_t out, bool bias);
/* The path of the table of words. */
const char *hf_stack_words(hf_builder *b, const hf_stack *s);
/* The suffix of a head that the architecture names and the graph, which is built, lacks the outputs of; NULL: there is none. */
const char *hf_heads_missing(const hf_builder *b, const hf_family *f);
/* The heads' outputs behind x [batch, seq, hidden]; nothing where the architecture or its weights are others. */
void hf_heads_build(hf_builder *b, const hf_family *f, const hf_stack *s, graph_value *x, graph_value *ids, graph_value *mask);

#endif
