/* SPDX-License-Identifier: Apache-2.0
 *
 * In: config.json. Out: the description of a stack of layers, checked whole, or why it is none.
 */
#include "hf_json.h"
#include "hf_stack.h"
#include <math.h>
#include <string.h>

#define MOST_POSITIONS (1 << 24) /* f32 counts so far */
#define MOST_COLUMNS (1 << 24)   /* of a row of heads */

const char *const hf_kind_names[HF_KINDS] = {"full_attention", "sliding_attention"};

const hf_key hf_usual_sizes[] = {
    HF_SIZE("hidden_size", hidden),
    HF_SIZE("num_attention_heads", heads),
    HF_SIZE("num_hidden_layers", layers),
    HF_SIZE("intermediate_size", ffn),
    HF_SIZE("vocab_size", vocabulary),
    HF_SIZE("max_position_embeddings", positions),
    HF_KEYS_END,
};

/* ---------------------------------------------------------------- one key */

/* The first of the names that is there and not null; `name` is it, or the first of all. */
static yyjson_val *find_key(yyjson_val *config, const char *names, char name[64]) {
    yyjson_val *found = NULL;
    for (const char *at = names; *at && !found; at += strcspn(at, "|"), at += *at == '|') {
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, "|"), at);
        found = yyjson_obj_get(config, one);
        if (yyjson_is_null(found)) found = NULL;
        if (found || at == names) memcpy(name, one, sizeof one);
    }
    return found;
}

double hf_config_real(hf_builder *b, yyjson_val *object, const char *key, double otherwise, double least, double most) {
    char name[64];
    yyjson_val *v = find_key(object, key, name);
    double x = v ? yyjson_get_num(v) : otherwise;
    if ((!v || yyjson_is_num(v)) && x >= least && x <= most) return x;
    if (v && yyjson_is_num(v)) hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is %g", name, x);
    else hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is %s", name, v ? "no number" : "missing");
    return least;
}

int64_t hf_config_int(hf_builder *b, const char *key, int64_t otherwise, int64_t least, int64_t most) {
    char name[64];
    yyjson_val *v = find_key(b->config, key, name);
    const int64_t x = v ? hf_json_int(b->config, name, INT64_MIN) : otherwise;
    if (!v || (x >= least && x <= most)) return x;
    hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is %s", name,
              least >= 1 ? "missing or no positive number" : "no number that it may be");
    return least;
}

bool hf_config_flag(hf_builder *b, const char *key, bool otherwise) {
    char name[64];
    yyjson_val *v = find_key(b->config, key, name);
    if (v && !yyjson_is_bool(v)) hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is neither true nor false", name);
    return v ? yyjson_is_true(v) : otherwise;
}

const char *hf_config_word(hf_builder *b, const char *key, const char *otherwise) {
    char name[64];
    yyjson_val *v = find_key(b->config, key, name);
    const char *text = v ? hf_json_string(b->config, name, NULL) : otherwise;
    if (v && !text) hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is no text", name);
    return text ? text : otherwise;
}

/* Sizes that have two names must be the same: which counts in transformers depends on the family. */
static void check_synonyms(hf_builder *b, const hf_key *k, const char *name) {
    yyjson_val *first = yyjson_obj_get(b->config, name);
    for (const char *at = k->names; *at; at += strcspn(at, "|"), at += *at == '|') {
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, "|"), at);
        yyjson_val *v = yyjson_obj_get(b->config, one);
        if (v && !yyjson_is_null(v) && !yyjson_equals(v, first))
            hf_refuse(b, NIB_UNSUPPORTED, "config.json: %s and %s are both there and differ", name, one);
    }
}

static void read_key(hf_builder *b, const hf_key *k, hf_stack *s) {
    char name[64];
    void *out = (char *)s + k->at;
    const bool there = find_key(b->config, k->names, name) != NULL;
    if (there && k->kind == HF_KEY_SIZE) check_synonyms(b, k, name);
    switch (k->kind) {
    case HF_KEY_SIZE:
        if (!there && isnan(k->otherwise))
            hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is missing or no positive number", name);
        else
            *(int64_t *)out =
                hf_config_int(b, k->names, there ? 0 : (int64_t)k->otherwise, (int64_t)k->least, (int64_t)k->most);
        return;
    case HF_KEY_REAL: *(double *)out = hf_config_real(b, b->config, k->names, k->otherwise, k->least, k->most); return;
    case HF_KEY_FLAG: *(bool *)out = hf_config_flag(b, k->names, k->otherwise != 0); return;
    case HF_KEY_TEXT:
        *(const char **)out = hf_config_word(b, k->names, k->text);
        if (!there && !k->text) hf_refuse(b, NIB_BAD_MODEL, "config.json: %s is missing", name);
        return;
    }
}

void hf_refuse_flag(hf_builder *b, const char *key, bool allowed) {
    if (hf_config_flag(b, key, allowed) != allowed)
        hf_refuse(b, NIB_UNSUPPORTED, "%s: %s is %s", hf_json_string(b->config, "model_type", ""), key,
                  allowed ? "false" : "true");
}

bool hf_is_causal(hf_builder *b) {
    return !yyjson_is_null(yyjson_obj_get(b->config, "is_causal")) && hf_config_flag(b, "is_causal", true);
}

/* ---------------------------------------------------------------- kinds of layers */

void hf_kinds_listed(hf_builder *b, hf_stack *s) {
    yyjson_val *list = yyjson_obj_get(b->config, "layer_types");
    if (!list || yyjson_is_null(list) || s->layers > HF_LAYERS) return; /* too many: hf_stack_read refuses them */
    if (!yyjson_is_arr(list) || (int64_t)yyjson_arr_size(list) != s->layers) {
        hf_refuse(b, NIB_BAD_MODEL, "config.json: layer_types is no list of %lld names", (long long)s->layers);
        return;
    }
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach(list, i, n, v) {
        const char *name = yyjson_get_str(v);
        int kind = 0;
        while (kind < HF_KINDS && !(name && strcmp(name, hf_kind_names[kind]) == 0)) kind++;
        if (kind == HF_KINDS)
            hf_refuse(b, NIB_UNSUPPORTED, "config.json: layer_types holds '%.60s'",
                      name ? name : "something that is no name");
        s->kinds[i] = kind == HF_SLIDING;
    }
}

void hf_kinds_every(hf_builder *b, hf_stack *s, int64_t n, int64_t shift) {
    for (int64_t i = 0; i < s->layers && i < HF_LAYERS && n > 0; i++)
        s->kinds[i] = (i + shift) % n ? HF_SLIDING : HF_FULL;
    hf_kinds_listed(b, s);
}

/* ---------------------------------------------------------------- rotary positions */

/* The object that says it for this kind of layers: rope_parameters' own, or rope_parameters where it says it for all,
 * or NULL. */
static yyjson_val *own_parameters(hf_builder *b, hf_kind kind) {
    yyjson_val *all = yyjson_obj_get(b->config, "rope_parameters");
    if (!all || yyjson_is_null(all) || (yyjson_is_obj(all) && yyjson_obj_size(all) == 0)) return NULL;
    if (!yyjson_is_obj(all)) hf_refuse(b, NIB_BAD_MODEL, "config.json: rope_parameters is no object");
    yyjson_val *own = yyjson_obj_get(all, hf_kind_names[kind]);
    bool for_kinds = false;
    for (int i = 0; i < HF_KINDS; i++) for_kinds |= yyjson_obj_get(all, hf_kind_names[i]) != NULL;
    if (!for_kinds) return all;
    if (own && !yyjson_is_null(own) && !yyjson_is_obj(own))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: rope_parameters.%s is no object", hf_kind_names[kind]);
    return yyjson_is_obj(own) ? own : NULL;
}

/* As yarn has it: 0.1 m ln(scale) + 1. */
static double mscale(double scale, double m) { return scale <= 1 ? 1 : 0.1 * m * log(scale) + 1; }

/* A number of which 0 and null say nothing. */
static double real_or(hf_builder *b, yyjson_val *from, const char *key, double otherwise) {
    const double x = hf_config_real(b, from, key, 0, 0, 1e6);
    return x > 0 ? x : otherwise;
}

static void read_yarn(hf_builder *b, yyjson_val *from, bool nested, hf_rotary *r) {
    const double m = hf_config_real(b, from, "mscale", 0, 0, 1e6),
                 all = hf_config_real(b, from, "mscale_all_dim", 0, 0, 1e6);
    const double usual = m != 0 && all != 0 ? mscale(r->factor, m) / mscale(r->factor, all) : mscale(r->factor, 1);
    r->attention_factor = hf_config_real(b, from, "attention_factor", usual, 0, 1e6);
    r->high = real_or(b, from, "beta_fast", 32);
    r->low = real_or(b, from, "beta_slow", 1);
    /* transformers looks for it beside the kinds of layers, not within one. */
    r->truncate = hf_json_bool(nested ? yyjson_obj_get(b->config, "rope_parameters") : from, "truncate", true);
}

/* Texts of more than `original` tokens have long_factor in transformers, all positions of a batch together. Here a text's numbers depend
 * on that text alone: the model ends where short_factor does, unless both are the same. */
static void read_longrope(hf_builder *b, yyjson_val *from, hf_rotary *r) {
    yyjson_val *longer = yyjson_obj_get(from, "long_factor"), *v;
    size_t i, n;
    r->factors = yyjson_obj_get(from, "short_factor");
    if (!yyjson_is_arr(r->factors) || !yyjson_is_arr(longer))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: longrope without the lists short_factor and long_factor");
    yyjson_arr_foreach(r->factors, i, n, v) {
        if (!yyjson_is_num(v) || !(yyjson_get_num(v) >= 1e-6 && yyjson_get_num(v) <= 1e6))
            hf_refuse(b, NIB_BAD_MODEL, "config.json: short_factor holds something that is no factor");
    }
    r->to_original = !yyjson_equals(r->factors, longer);
    const double usual = r->factor <= 1 || r->original <= 1 ? 1 : sqrt(1 + log(r->factor) / log(r->original));
    r->attention_factor = real_or(b, from, "attention_factor", usual);
}

/* As GTE's own code has it: a factor up to 1 changes nothing, and the length of a text never does. */
static void read_ntk(hf_builder *b, yyjson_val *from, hf_rotary *r) {
    yyjson_val *mixed = yyjson_obj_get(from, "mixed_b");
    r->factor = hf_config_real(b, from, "factor", NAN, 1e-6, 1e6);
    if (mixed && !yyjson_is_null(mixed)) {
        r->mixed = hf_config_real(b, from, "mixed_b", NAN, 1e-6, 1e6);
        r->scaling = HF_SCALING_NTK_MIXED;
    }
    if (r->factor <= 1) r->scaling = HF_SCALING_NONE;
}

/* `keys`: of the key that says the kind. `nested`: each kind of layers has an object of its own. */
static void read_scaling(hf_builder *b, const hf_stack *s, yyjson_val *from, const char *keys, bool nested,
                         hf_rotary *r) {
    static const char *const names[] = {"default", "linear", "llama3", "yarn", "longrope", "ntk", "ntk with mixed_b", "dynamic"};
    char name[64];
    yyjson_val *said = find_key(from, keys, name);
    const char *type = said ? hf_json_string(from, name, "") : "default";
    size_t kind = 0;
    while (kind < BASE_COUNT(names) && strcmp(names[kind], type) != 0) kind++;
    if (kind == BASE_COUNT(names))
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: rotary positions of the rope_type '%.60s'", type);
    r->scaling = (hf_scaling)kind;
    if (s->rotary_ntk && r->scaling == HF_SCALING_NTK) {
        read_ntk(b, from, r);
        return;
    }
    if (r->scaling == HF_SCALING_NTK || r->scaling == HF_SCALING_NTK_MIXED)
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: rotary positions of the rope_type '%.60s'", type);
    if (b->status != NIB_OK || r->scaling == HF_SCALING_NONE || r->scaling == HF_SCALING_DYNAMIC) return;
    r->original = hf_config_real(b, from, "original_max_position_embeddings", (double)s->positions, 1, 1e9);
    if (!nested) r->original = hf_config_real(b, b->config, "original_max_position_embeddings", r->original, 1, 1e9);
    yyjson_val *said_factor = yyjson_obj_get(from, "factor");
    const bool by_lengths = (r->scaling == HF_SCALING_YARN && yyjson_is_null(said_factor)) ||
                            (r->scaling == HF_SCALING_LONGROPE && (!said_factor || yyjson_is_null(said_factor)));
    const double factor = by_lengths ? (double)s->positions / r->original : NAN;
    r->factor = hf_config_real(b, from, "factor", factor, 1e-6, 1e6);
    if (r->scaling == HF_SCALING_LINEAR) return;
    if (r->scaling == HF_SCALING_LONGROPE) {
        read_longrope(b, from, r);
        return;
    }
    if (r->scaling == HF_SCALING_YARN) {
        read_yarn(b, from, nested, r);
        return;
    }
    r->low = hf_config_real(b, from, "low_freq_factor", NAN, 1e-6, 1e6);
    r->high = hf_config_real(b, from, "high_freq_factor", NAN, 1e-6, 1e6);
    if (r->high <= r->low) hf_refuse(b, NIB_BAD_MODEL, "config.json: high_freq_factor is not above low_freq_factor");
}

void hf_read_rotary(hf_builder *b, hf_stack *s, hf_kind kind, const char *theta, double otherwise, hf_older older) {
    yyjson_val *all = yyjson_obj_get(b->config, "rope_parameters"), *old = yyjson_obj_get(b->config, "rope_scaling");
    yyjson_val *own = own_parameters(b, kind), *from = own ? own : older != HF_OLDER_NONE ? old : NULL;
    const bool nested = own ? own != all : older == HF_OLDER_BY_ROPE_TYPE;
    hf_rotary *r = &s->sight[kind].rotary;
    if (old && !yyjson_is_null(old) && !yyjson_is_obj(old))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: rope_scaling is no object");
    if (yyjson_obj_size(all) > 0 && yyjson_obj_size(old) > 0 && !yyjson_equals(all, old))
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: rope_parameters and rope_scaling are both there and differ");
    r->attention_factor = 1;
    otherwise = hf_config_real(b, b->config, theta, otherwise, 1e-30, 1e30);
    r->theta = hf_config_real(b, from, "rope_theta", otherwise, 1e-30, 1e30);
    const char *keys = !own && older == HF_OLDER_BY_ROPE_TYPE ? "rope_type" : "rope_type|type";
    if (yyjson_is_obj(from)) read_scaling(b, s, from, keys, nested, r);
    s->rotary_part = hf_config_real(b, own, "partial_rotary_factor", s->rotary_part > 0 ? s->rotary_part : 1, 1e-6, 1);
}

/* ---------------------------------------------------------------- the whole */

static void check_heads(hf_builder *b, hf_stack *s) {
    if (s->head_size == 0 && s->hidden % s->heads != 0)
        hf_refuse(b, NIB_BAD_MODEL, "config.json: hidden_size %lld is no multiple of %lld heads", (long long)s->hidden,
                  (long long)s->heads);
    if (s->head_size == 0) s->head_size = s->hidden / s->heads;
    if (s->kv_heads == 0) s->kv_heads = s->heads;
    if (s->heads % s->kv_heads != 0)
        hf_refuse(b, NIB_BAD_MODEL, "config.json: %lld heads are no multiple of %lld heads of keys",
                  (long long)s->heads, (long long)s->kv_heads);
    if (s->head_size < 1 || s->head_size > MOST_COLUMNS / s->heads)
        hf_refuse(b, NIB_LIMIT, "config.json: %lld heads of %lld columns are too many", (long long)s->heads,
                  (long long)s->head_size);
    if (s->qkv == HF_QKV_HEADS && s->kv_heads != s->heads)
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: heads that share keys in a weight that is ordered by heads");
    if (s->qkv == HF_QKV_BLOCKS && s->rotary_pairs)
        hf_refuse(b, NIB_UNSUPPORTED,
                  "config.json: rotary positions of neighbouring columns with a weight of queries, keys and values");
    if (s->score_size == 0) s->score_size = (double)s->head_size;
}

static void check_positions(hf_builder *b, hf_stack *s) {
    bool rotates = false;
    for (int kind = 0; kind < HF_KINDS; kind++) {
        hf_sight *sight = &s->sight[kind];
        rotates |= sight->rotary.theta > 0;
        if (s->causal) sight->right = 0;
        if (sight->left < -1 || sight->right < -1 || sight->left > INT32_MAX || sight->right > INT32_MAX)
            hf_refuse(b, NIB_BAD_MODEL, "config.json: a window of negative size, or too large");
    }
    if (rotates && (s->positions < 1 || s->positions > MOST_POSITIONS))
        hf_refuse(b, NIB_LIMIT, "config.json: max_position_embeddings is %lld: f32 does not count so far",
                  (long long)s->positions);
    if (s->learned == HF_LEARNED_IDS && (s->pad < 0 || s->pad >= s->positions))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: pad_token_id %lld leaves none of %lld positions", (long long)s->pad,
                  (long long)s->positions);
    const int64_t columns = s->rotary_part > 0 ? (int64_t)((double)s->head_size * s->rotary_part) : s->head_size;
    for (int kind = 0; kind < HF_KINDS; kind++) {
        const hf_rotary *r = &s->sight[kind].rotary;
        if (r->scaling != HF_SCALING_LONGROPE) continue;
        if (r->to_original && r->original < (double)s->positions) s->positions = (int64_t)r->original;
        if ((int64_t)yyjson_arr_size(r->factors) != columns / 2)
            hf_refuse(b, NIB_BAD_MODEL, "config.json: short_factor has %zu factors for %lld frequencies", yyjson_arr_size(r->factors),
                      (long long)(columns / 2));
    }
    if (rotates && (columns < 2 || columns % 2 != 0))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: of heads of %lld columns, %lld are rotated: no even number",
                  (long long)s->head_size, (long long)columns);
    const int64_t whole = s->causal ? s->buckets / 2 : s->buckets / 4; /* distances that have a bucket each */
    if (s->buckets && (s->buckets < 4 || s->buckets % 2 != 0 || s->bucket_reach <= whole || s->bucket_reach > 1 << 20))
        hf_refuse(b, NIB_BAD_MODEL, "config.json: %lld buckets up to a distance of %lld", (long long)s->buckets,
                  (long long)s->bucket_reach);
}

static void check_stack(hf_builder *b, hf_stack *s) {
    if (s->layers > HF_LAYERS)
        hf_refuse(b, NIB_LIMIT, "config.json: %lld layers are more than %d", (long long)s->layers, HF_LAYERS);
    if (s->embedding == 0) s->embedding = s->hidden;
    if (s->embedding_scale == 0) s->embedding_scale = 1;
    if (s->groups == 0) s->groups = s->layers;
    if (s->groups > s->layers)
        hf_refuse(b, NIB_BAD_MODEL, "config.json: %lld layers in %lld groups", (long long)s->layers,
                  (long long)s->groups);
    if (s->start >= s->vocabulary)
        hf_refuse(b, NIB_BAD_MODEL, "config.json: decoder_start_token_id %lld is none of %lld tokens",
                  (long long)s->start, (long long)s->vocabulary);
    if (!hf_knows_activation(s->activation))
        hf_refuse(b, NIB_UNSUPPORTED, "config.json: the activation '%.60s'", s->activation ? s->activation : "");
    if (b->status == NIB_OK) check_heads(b, s);
    if (b->status == NIB_OK) check_positions(b, s);
}

void hf_stack_read(hf_builder *b, const hf_family *f, hf_stack *s) {
    *s = (hf_stack){
        .pad = -1, .eos = -1, .sight = {{.left = -1, .right = -1}, {.left = -1, .right = -1}}, .names = f->names};
    for (const hf_key *const *keys = f->keys; *keys; keys++)
        for (const hf_key *k = *keys; k->names; k++) read_key(b, k, s);
    if (b->status == NIB_OK && f->configure) f->configure(b, s);
    if (b->status == NIB_OK) check_stack(b, s);
}

int64_t hf_stack_longest(const hf_stack *s) {
    if (s->learned == HF_LEARNED_IDS) return s->positions - s->pad - 1;
    return s->learned || s->sight[HF_FULL].rotary.theta > 0 || s->sight[HF_SLIDING].rotary.theta > 0 ? s->positions : 0;
}
