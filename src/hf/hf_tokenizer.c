/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tokenizer_config.json, special_tokens_map.json and what config.json calls the model. Out: what the tokenizer's
 * class builds in place of what tokenizer.json holds.
 *
 * Of transformers 5, BertTokenizer and the classes that are or derive from it take the vocabulary and added tokens from
 * tokenizer.json and build the rest anew from the arguments of their constructor, which tokenizer_config.json gives: an
 * argument that it does not give has its default there (lower case, Chinese characters apart, accents stripped as case
 * is). In transformers 4, BertTokenizerFast put the same three into the normalizer. Others that build a WordPiece of
 * their own, MPNetTokenizer among them, and those that build another kind of tokenizer are not followed, and said where
 * that may matter. Every other class, one that transformers does not know, too, takes the file as it is; that of
 * ModernBERT does whatever class is named.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const rebuilt_classes[] = {
    "BertTokenizer",     "DistilBertTokenizer", "ElectraTokenizer",     "ConvBertTokenizer",          "MobileBertTokenizer",
    "LayoutLMTokenizer", "LxmertTokenizer",     "SqueezeBertTokenizer", "DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer",
};

/* Models whose tokenizer is one of these where no class is named. */
static const char *const rebuilt_models[] = {
    "bert",  "distilbert",  "electra", "ernie",    "convbert",  "mobilebert", "nomic_bert", "megatron-bert",
    "nezha", "squeezebert", "qdqbert", "layoutlm", "retribert", "lxmert",     "dpr",
};

/* Classes that build a WordPiece and BertNormalizer of the same arguments with templates of their own. */
static const char *const own_classes[] = {"MPNetTokenizer", "FunnelTokenizer", "SplinterTokenizer",
                                          "LayoutLMv2Tokenizer"};
static const char *const own_models[][2] = {{"mpnet", "MPNetTokenizer"},
                                            {"funnel", "FunnelTokenizer"},
                                            {"splinter", "SplinterTokenizer"},
                                            {"layoutlmv2", "LayoutLMv2Tokenizer"}};

/* Classes of transformers 5, without "Tokenizer", that build another kind of tokenizer, whatever stands in
 * tokenizer.json. */
static const char *const other_classes[] = {
    "Albert",       "Barthez",
    "Bartpho",      "BertGeneration",
    "BertJapanese", "Bertweet",
    "BigBird",      "BioGpt",
    "Blenderbot",   "BlenderbotSmall",
    "ByT5",         "CLIP",
    "CTRL",         "Camembert",
    "Canine",       "Clvp",
    "CodeGen",      "CodeLlama",
    "Cohere",       "CpmAnt",
    "Deberta",      "DebertaV2",
    "Dia",          "Esm",
    "Esmc",         "FNet",
    "FSMT",         "FastSpeech2Conformer",
    "Flaubert",     "GPT2",
    "GPTNeoX",      "GPTNeoXJapanese",
    "GPTSw3",       "Gemma",
    "Herbert",      "Lasr",
    "LayoutLMv3",   "LayoutXLM",
    "Llama",        "Luke",
    "MBart",        "MBart50",
    "MLuke",        "MarkupLM",
    "Mgpstr",       "MyT5",
    "Nllb",         "Nougat",
    "OpenAIGPT",    "PLBart",
    "Parakeet",     "Pegasus",
    "Perceiver",    "Phobert",
    "ProphetNet",   "Qwen2",
    "Qwen3_5",      "Rag",
    "Reformer",     "RemBert",
    "RoCBert",      "RoFormer",
    "Roberta",      "SeamlessM4T",
    "Siglip2",      "SpeechT5",
    "T5",           "Tapas",
    "Tipsv2",       "Udop",
    "VideoPrism",   "Vits",
    "Wav2Vec2CTC",  "Wav2Vec2PhonemeCTC",
    "Whisper",      "XGLM",
    "XLM",          "XLMRoberta",
    "XLNet",
};

/* Encoders whose class is one of these where none is named. */
static const char *const other_models[][2] = {
    {"albert", "Albert"},
    {"big_bird", "BigBird"},
    {"camembert", "Camembert"},
    {"canine", "Canine"},
    {"data2vec-text", "Roberta"},
    {"deberta", "Deberta"},
    {"deberta-v2", "DebertaV2"},
    {"esm", "Esm"},
    {"flaubert", "Flaubert"},
    {"fnet", "FNet"},
    {"ibert", "Roberta"},
    {"longformer", "Roberta"},
    {"luke", "Luke"},
    {"rembert", "RemBert"},
    {"roberta", "Roberta"},
    {"roberta-prelayernorm", "Roberta"},
    {"roc_bert", "RoCBert"},
    {"roformer", "RoFormer"},
    {"t5", "T5"},
    {"xlm", "XLM"},
    {"xlm-roberta", "XLMRoberta"},
    {"xlnet", "XLNet"},
};

/* Classes that build a ByteLevel anew, with add_prefix_space of tokenizer_config.json (false if it is not there), and
 * have it take the place of tokenizer.json's. */
static const char *const byte_level_classes[] = {
    "GPT2Tokenizer",     "RobertaTokenizer", "BartTokenizer",       "LongformerTokenizer",
    "DebertaTokenizer",  "LukeTokenizer",    "BlenderbotTokenizer", "CodeGenTokenizer",
};

/* Models whose named class transformers does not believe. */
static const char *const as_it_is[] = {"modernbert", "modernbert-decoder"};

static bool is_one_of(const char *const *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

static void cut_end(char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    if (n > m && strcmp(name + n - m, end) == 0) name[n - m] = 0;
}

static const char *class_of(const char *const (*models)[2], size_t n, const char *model_type) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(models[i][0], model_type) == 0) return models[i][1];
    return NULL;
}

/* Fills rebuilt, own_class and other_class: what transformers makes of the class that is named, or of the model where
 * none is. */
static void read_class(const hf_settings *s, const char *class_name, hf_tokenizer *t) {
    char name[64];
    snprintf(name, sizeof name, "%s", class_name);
    cut_end(name, "Fast");
    if (is_one_of(as_it_is, BASE_COUNT(as_it_is), s->model_type)) return;
    if (is_one_of(byte_level_classes, BASE_COUNT(byte_level_classes), name)) t->byte_level = true;
    const char *own = name[0] ? name : class_of(own_models, BASE_COUNT(own_models), s->model_type);
    t->rebuilt = name[0] ? is_one_of(rebuilt_classes, BASE_COUNT(rebuilt_classes), name)
                         : is_one_of(rebuilt_models, BASE_COUNT(rebuilt_models), s->model_type);
    if (own && is_one_of(own_classes, BASE_COUNT(own_classes), own))
        snprintf(t->own_class, sizeof t->own_class, "%s", own);
    cut_end(name, "Tokenizer");
    const char *other = name[0] ? name : class_of(other_models, BASE_COUNT(other_models), s->model_type);
    if (other && is_one_of(other_classes, BASE_COUNT(other_classes), other))
        snprintf(t->other_class, sizeof t->other_class, "%.40sTokenizer", other);
}

/* ---------------------------------------------------------------- keys */

/* A flag that may be null, which is -1; absent: `*out` stays. */
static nib_status read_flag(yyjson_val *root, const char *key, bool null, int *out, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (!v) return NIB_OK;
    if (!yyjson_is_bool(v) && !(null && yyjson_is_null(v)))
        return base_error_set(err, NIB_BAD_MODEL, "tokenizer_config.json: %s is neither true nor false", key);
    *out = yyjson_is_null(v) ? -1 : yyjson_get_bool(v);
    return NIB_OK;
}

static nib_status read_side(yyjson_val *root, hf_tokenizer *t, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, "truncation_side");
    if (!v) return NIB_OK;
    if (!yyjson_equals_str(v, "left") && !yyjson_equals_str(v, "right"))
        return base_error_set(err, NIB_BAD_MODEL, "tokenizer_config.json: truncation_side is neither left nor right");
    t->truncation_left = yyjson_equals_str(v, "left");
    return NIB_OK;
}

/* A token is a string, or an object with its "content". */
static nib_status read_token(yyjson_val *root, const char *file, const char *key, char out[64], nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (yyjson_is_obj(v)) v = yyjson_obj_get(v, "content");
    if (!yyjson_is_str(v) || yyjson_get_len(v) >= 64 || strlen(yyjson_get_str(v)) != yyjson_get_len(v))
        return base_error_set(err, NIB_BAD_MODEL, "%s: %s is no token of at most 63 bytes", file, key);
    snprintf(out, 64, "%s", yyjson_get_str(v));
    return NIB_OK;
}

/* ---------------------------------------------------------------- tokens by name */

#define MOST_TOKENS 65536

static nib_status note_token(base_heap *heap, hf_tokenizer *t, const char *file, yyjson_val *v, int64_t id, nib_error *err) {
    static const char *const names[] = {"lstrip", "rstrip", "single_word", "normalized", "special"};
    yyjson_val *content = yyjson_is_obj(v) ? yyjson_obj_get(v, "content") : v;
    hf_token token = {.id = id, .flags = -1};
    if (!yyjson_is_str(content) || strlen(yyjson_get_str(content)) != yyjson_get_len(content))
        return base_error_set(err, NIB_BAD_MODEL, "%s: a token is no text", file);
    if (t->count == MOST_TOKENS) return base_error_set(err, NIB_LIMIT, "%s: more than %d tokens", file, MOST_TOKENS);
    if (id >= 0) token.flags = 0; /* those of a token by name are tokenizer.json's */
    for (int i = 0; id >= 0 && i < (int)BASE_COUNT(names); i++)
        if (yyjson_is_true(yyjson_obj_get(v, names[i]))) token.flags |= 1 << i;
    token.content = base_strndup(heap, yyjson_get_str(content), yyjson_get_len(content));
    if (!token.content || !base_grow(heap, (void **)&t->tokens, &t->cap, t->count + 1, sizeof *t->tokens)) {
        base_free(heap, token.content);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for the tokens that %s names", file);
    }
    t->tokens[t->count++] = token;
    return NIB_OK;
}

/* All tokens that the file names, one by one and in lists. */
static nib_status note_tokens(base_heap *heap, hf_tokenizer *t, const char *file, yyjson_val *root, nib_error *err) {
    static const char *const keys[] = {"cls_token", "sep_token", "unk_token", "pad_token", "mask_token", "bos_token", "eos_token"};
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    nib_status status = NIB_OK;
    size_t i, n;
    yyjson_val *key, *v;
    for (size_t k = 0; k < BASE_COUNT(keys); k++) {
        v = yyjson_obj_get(root, keys[k]);
        if (v && !yyjson_is_null(v)) NIB_TRY(note_token(heap, t, file, v, -1, err));
    }
    for (size_t k = 0; k < BASE_COUNT(lists); k++) {
        yyjson_val *list = yyjson_obj_get(root, lists[k]);
        yyjson_arr_foreach(list, i, n, v) NIB_TRY(note_token(heap, t, file, v, -1, err));
        if (yyjson_is_obj(list)) {
            yyjson_obj_foreach(list, i, n, key, v) NIB_TRY(note_token(heap, t, file, v, -1, err));
        }
    }
    yyjson_val *decoder = yyjson_obj_get(root, "added_tokens_decoder");
    t->has_decoder = t->has_decoder || yyjson_is_obj(decoder);
    if (!yyjson_is_obj(decoder)) return NIB_OK;
    yyjson_obj_foreach(decoder, i, n, key, v) {
        char *end;
        long long id = strtoll(yyjson_get_str(key), &end, 10);
        if (*end || id < 0 || !yyjson_is_obj(v)) NIB_FAIL(err, NIB_BAD_MODEL, "%s: added_tokens_decoder names no token", file);
        NIB_TRY(note_token(heap, t, file, v, id, err));
    }
fail:
    return status;
}

static nib_status read_tokens(yyjson_val *root, const char *file, hf_tokenizer *t, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(read_token(root, file, "cls_token", t->cls, err));
    NIB_TRY(read_token(root, file, "sep_token", t->sep, err));
    NIB_TRY(read_token(root, file, "unk_token", t->unknown, err));
fail:
    return status;
}

/* Whether the tokenizer's calls give no segments: of a pair, too, they are 0 then. */
static bool leaves_types_out(yyjson_val *root) {
    yyjson_val *names = yyjson_obj_get(root, "model_input_names"), *name;
    size_t i, n;
    yyjson_arr_foreach(names, i, n, name) if (yyjson_equals_str(name, "token_type_ids")) return false;
    return yyjson_is_arr(names);
}

static nib_status has_file(nib_runtime *runtime, const char *dir, const char *name, bool *out, nib_error *err) {
    char *path = base_path_join(&runtime->heap, dir, name);
    if (!path) return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for a path");
    *out = base_path_is_file(path);
    base_free(&runtime->heap, path);
    return NIB_OK;
}

nib_status hf_tokenizer_load(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL, *special = NULL;
    hf_tokenizer *t = &s->tokenizer;
    int lowercase = 1, chinese = 1;
    bool whole = false;
    t->strip_accents = t->truncation_left = -1;
    NIB_TRY(hf_json_open(runtime, dir, "tokenizer_config.json", false, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    NIB_TRY(has_file(runtime, dir, "tokenizer.json", &whole, err));
    const char *kind = whole ? "tokenizer_config.json" : "tokenizer_config.json without tokenizer.json";
    if (root) hf_keys_check(runtime, "tokenizer_config.json", kind, root);
    read_class(s, hf_json_string(root, "tokenizer_class", s->tokenizer_class), t);
    if (t->byte_level) t->prefix_space = yyjson_is_true(yyjson_obj_get(root, "add_prefix_space")) ? 2 : 1;
    NIB_TRY(read_side(root, t, err));
    t->no_types = leaves_types_out(root);
    NIB_TRY(note_tokens(&runtime->heap, t, "tokenizer_config.json", root, err));
    NIB_TRY(read_token(root, "tokenizer_config.json", "mask_token", t->mask, err));
    NIB_TRY(read_token(root, "tokenizer_config.json", "pad_token", t->pad, err));
    t->cleans = yyjson_is_true(yyjson_obj_get(root, "clean_up_tokenization_spaces"));
    if (t->rebuilt || t->own_class[0]) {
        NIB_TRY(read_flag(root, "do_lower_case", false, &lowercase, err));
        NIB_TRY(read_flag(root, "tokenize_chinese_chars", false, &chinese, err));
        NIB_TRY(read_flag(root, "strip_accents", true, &t->strip_accents, err));
    }
    if (t->rebuilt) NIB_TRY(read_tokens(root, "tokenizer_config.json", t, err));
    t->lowercase = lowercase;
    t->chinese = chinese;
    if (!yyjson_obj_get(root, "added_tokens_decoder")) { /* of older versions; where there are both, transformers reads this one alone */
        NIB_TRY(hf_json_open(runtime, dir, "special_tokens_map.json", false, &special, err));
        yyjson_val *map = yyjson_doc_get_root(special);
        if (map) hf_keys_check(runtime, "special_tokens_map.json", "special_tokens_map.json", map);
        NIB_TRY(note_tokens(&runtime->heap, t, "special_tokens_map.json", map, err));
        NIB_TRY(read_token(map, "special_tokens_map.json", "mask_token", t->mask, err));
        NIB_TRY(read_token(map, "special_tokens_map.json", "pad_token", t->pad, err));
        if (t->rebuilt) NIB_TRY(read_tokens(map, "special_tokens_map.json", t, err));
    }
fail:
    base_json_free(&runtime->heap, doc);
    base_json_free(&runtime->heap, special);
    return status;
}
