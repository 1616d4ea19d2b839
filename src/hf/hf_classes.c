/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_classes.h. Source: the constructors of transformers 5 (models/NAME/tokenization_NAME.py) and convert_from_spm
 * of convert_slow_tokenizer.py.
 */
#include "hf_classes.h"
#include "base/base_error.h"
#include <stdio.h>
#include <string.h>

const char hf_mbart_languages[] = "=ar_AR =cs_CZ =de_DE =en_XX =es_XX =et_EE =fi_FI =fr_XX =gu_IN =hi_IN =it_IT =ja_XX "
                                  "=kk_KZ =ko_KR =lt_LT =lv_LV =my_MM =ne_NP =nl_XX =ro_RO =ru_RU =si_LK =tr_TR =vi_VN "
                                  "=zh_CN";

/* ---- parts */

#define SPACE "\xe2\x96\x81" /* U+2581, which stands for a space in pieces */
#define REPLACE(pattern, content) "{\"type\":\"Replace\",\"pattern\":{" pattern "},\"content\":\"" content "\"}"
#define STRING(s) "\"String\":\"" s "\""
#define REGEX(s) "\"Regex\":\"" s "\""
#define SPLIT(pattern, how, invert)                                                                                    \
    "{\"type\":\"Split\",\"pattern\":{" pattern "},\"behavior\":\"" how "\",\"invert\":" invert "}"
#define IF(what, part) "{\"if\":\"" what "\",\"part\":" part "}"
#define PRECOMPILED IF("precompiled", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"$precompiled\"}")
#define TYPE(name) "{\"type\":\"" name "\"}"
#define STRIP_RIGHT "{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":true}"
#define QUOTES REPLACE(STRING("``"), "\\\"") "," REPLACE(STRING("''"), "\\\"")
#define ACCENTS IF("!keep_accents", TYPE("NFKD")) "," IF("!keep_accents", TYPE("StripAccents"))
#define LOWERCASE IF("do_lower_case", TYPE("Lowercase"))
#define METASPACE(scheme, split)                                                                                       \
    "{\"type\":\"Metaspace\",\"replacement\":\"" SPACE "\",\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"
#define METASPACE_OR(without)                                                                                          \
    IF("add_prefix_space", METASPACE("always", "true")) "," IF("!add_prefix_space", METASPACE(without, "true"))
#define BYTES(regex)                                                                                                   \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":\"$add_prefix_space\",\"trim_offsets\":true,\"use_regex\":" regex "}"
#define DECODE_BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}"
#define DECODE_SPACE REPLACE(STRING(SPACE), " ")
#define DECODE_STRIP "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"
#define BERT_NORMALIZER                                                                                                \
    "[{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":\"$tokenize_chinese_chars\","          \
    "\"strip_accents\":\"$strip_accents\",\"lowercase\":\"$do_lower_case\"}]"
#define BERT_MODEL                                                                                                     \
    "{\"type\":\"WordPiece\",\"unk_token\":\"$unk_token\",\"continuing_subword_prefix\":\"##\","                       \
    "\"max_input_chars_per_word\":100}"
#define BERT_DECODER "[{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}]"
#define UNIGRAM "{\"type\":\"Unigram\",\"byte_fallback\":false}"
#define BYTE_BPE                                                                                                       \
    "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,\"continuing_subword_prefix\":\"\","                        \
    "\"end_of_word_suffix\":\"\",\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false}"
#define PIECE_BPE(unknown)                                                                                             \
    "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":" unknown ",\"continuing_subword_prefix\":null,"                 \
    "\"end_of_word_suffix\":null,\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false}"
#define ROBERTA(trim, prefix)                                                                                          \
    "{\"type\":\"RobertaProcessing\",\"sep\":[\"$sep_token\",\"#sep_token\"],\"cls\":[\"$cls_token\",\"#cls_token\"]," \
    "\"trim_offsets\":" trim ",\"add_prefix_space\":" prefix "}"

/* ---- arguments */

/* Of two with one name the first counts. */
#define NAMED(name, text) "\"" name "_token\":\"" text "\","
#define MASK_LSTRIP "\"mask_token\":{\"content\":\"<mask>\",\"lstrip\":true},"
#define BRACKETS                                                                                                       \
    NAMED("unk", "[UNK]") NAMED("sep", "[SEP]") NAMED("pad", "[PAD]") NAMED("cls", "[CLS]") NAMED("mask", "[MASK]")
#define ANGLES                                                                                                         \
    NAMED("bos", "<s>")                                                                                                \
    NAMED("eos", "</s>") NAMED("unk", "<unk>") NAMED("sep", "</s>") NAMED("pad", "<pad>") NAMED("cls", "<s>")
#define ALBERT_NAMES                                                                                                   \
    NAMED("bos", "[CLS]")                                                                                              \
    NAMED("eos", "[SEP]") NAMED("unk", "<unk>") NAMED("sep", "[SEP]") NAMED("pad", "<pad>") NAMED("cls", "[CLS]")      \
        NAMED("mask", "[MASK]")
#define LOWER "\"do_lower_case\":true,\"tokenize_chinese_chars\":true,\"strip_accents\":null"

#define BERT_SINGLE "cls A sep"
#define BERT_PAIR "cls A sep B:1 sep:1"
#define FAIRSEQ_SINGLE "bos A eos"
#define FAIRSEQ_PAIR "bos A eos eos B eos"
#define QWEN2_REGEX                                                                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"        \
    "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static const hf_class classes[] = {
    {.name = "Bert",
     .vocab = HF_VOCAB_LINES,
     .arguments = "{" BRACKETS LOWER "}",
     .model = BERT_MODEL,
     .normalizer = BERT_NORMALIZER,
     .pre_tokenizer = "[" TYPE("BertPreTokenizer") "]",
     .decoder = BERT_DECODER,
     .single = BERT_SINGLE,
     .pair = BERT_PAIR},
    {.name = "MPNet",
     .vocab = HF_VOCAB_LINES,
     .arguments = "{" NAMED("unk", "[UNK]") ANGLES MASK_LSTRIP LOWER "}",
     .model = BERT_MODEL,
     .normalizer = BERT_NORMALIZER,
     .pre_tokenizer = "[" TYPE("BertPreTokenizer") "]",
     .decoder = BERT_DECODER,
     .post = ROBERTA("true", "false")},
    {.name = "GPT2",
     .vocab = HF_VOCAB_JSON,
     .arguments = "{" NAMED("unk", "<|endoftext|>") NAMED("bos", "<|endoftext|>")
         NAMED("eos", "<|endoftext|>") "\"add_prefix_space\":false}",
     .model = BYTE_BPE,
     .pre_tokenizer = "[" BYTES("true") "]",
     .decoder = "[" DECODE_BYTES "]"},
    {.name = "Roberta",
     .vocab = HF_VOCAB_JSON,
     .arguments = "{" ANGLES NAMED("mask", "<mask>") "\"add_prefix_space\":false,\"trim_offsets\":true}",
     .model = BYTE_BPE,
     .pre_tokenizer = "[" BYTES("true") "]",
     .decoder = "[" DECODE_BYTES "]",
     .post = ROBERTA("\"$trim_offsets\"", "\"$add_prefix_space\"")},
    {.name = "Deberta",
     .vocab = HF_VOCAB_JSON,
     .arguments = "{" BRACKETS NAMED("bos", "[CLS]") NAMED("eos", "[SEP]") "\"add_prefix_space\":false}",
     .model = BYTE_BPE,
     .pre_tokenizer = "[" BYTES("true") "]",
     .decoder = "[" DECODE_BYTES "]",
     .single = BERT_SINGLE,
     .pair = "cls A sep sep B sep"},
    {.name = "Qwen2",
     .vocab = HF_VOCAB_JSON,
     .arguments = "{" NAMED("unk", "<|endoftext|>") NAMED("eos", "<|endoftext|>")
         NAMED("pad", "<|endoftext|>") "\"add_prefix_space\":false}",
     .model = BYTE_BPE,
     .normalizer = "[" TYPE("NFC") "]",
     .pre_tokenizer = "[" SPLIT(REGEX(QWEN2_REGEX), "Isolated", "false") "," BYTES("false") "]",
     .decoder = "[" DECODE_BYTES "]"},
    {.name = "Albert",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" ALBERT_NAMES "\"do_lower_case\":true,\"keep_accents\":false,\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {1},
     .normalizer = "[" QUOTES "," ACCENTS "," LOWERCASE "," PRECOMPILED "]",
     .pre_tokenizer = "[" TYPE("WhitespaceSplit") "," METASPACE_OR("never") "]",
     .decoder = "[" METASPACE_OR("never") "]",
     .single = BERT_SINGLE,
     .pair = BERT_PAIR},
    {.name = "BigBird",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" NAMED("sep", "[SEP]") NAMED("cls", "[CLS]") ANGLES
     "\"mask_token\":{\"content\":\"[MASK]\",\"lstrip\":true},\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {HF_UNKNOWN_NAMED, 100},
     .normalizer =
         "[{\"type\":\"Strip\",\"strip_left\":false,\"strip_right\":false}," REPLACE(REGEX(" {2,}"), SPACE) "]",
     .pre_tokenizer = "[" METASPACE_OR("never") "]",
     .decoder = "[" METASPACE_OR("never") "]",
     .single = BERT_SINGLE,
     .pair = BERT_PAIR},
    {.name = "Camembert",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" ANGLES MASK_LSTRIP "\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {HF_UNKNOWN_NAMED, 0},
     .front = "=<s>NOTUSED pad =</s>NOTUSED unk =<unk>NOTUSED",
     .dropped = 1,
     .behind = "mask",
     .normalizer = "[" PRECOMPILED "]",
     .pre_tokenizer = "[" TYPE("WhitespaceSplit") "," METASPACE_OR("never") "]",
     .decoder = "[" METASPACE_OR("never") "]",
     .single = FAIRSEQ_SINGLE,
     .pair = FAIRSEQ_PAIR},
    {.name = "DebertaV2",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" BRACKETS NAMED("bos", "[CLS]")
         NAMED("eos", "[SEP]") "\"do_lower_case\":false,\"split_by_punct\":false,\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {HF_UNKNOWN_NAMED, HF_UNKNOWN_FILE},
     .normalizer =
         "[" LOWERCASE "," REPLACE(REGEX("\\\\s{2,}|[\\\\n\\\\r\\\\t]"), " ") "," TYPE("NFC") "," STRIP_RIGHT "]",
     .pre_tokenizer =
         "[" IF("split_by_punct", "{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}") "," METASPACE_OR("first") "]",
     .decoder = "[" METASPACE_OR("first") "]",
     .single = BERT_SINGLE,
     .pair = BERT_PAIR},
    {.name = "Gemma",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .merges = true,
     .arguments = "{" NAMED("unk", "<unk>") NAMED("bos", "<bos>") NAMED("eos", "<eos>")
         NAMED("pad", "<pad>") "\"mask_token\":\"<mask>\"}",
     .model = PIECE_BPE("\"$unk_token\""),
     .normalizer = "[" REPLACE(STRING(" "), SPACE) "]",
     .pre_tokenizer = "[" SPLIT(STRING(" "), "MergedWithPrevious", "false") "]",
     .decoder = "[" DECODE_SPACE "," TYPE("ByteFallback") "," TYPE("Fuse") "]"},
    {.name = "Llama",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .merges = true,
     .arguments = "{" NAMED("unk", "<unk>") NAMED("bos", "<s>")
         NAMED("eos", "</s>") "\"legacy\":false,\"add_prefix_space\":true}",
     .model = PIECE_BPE("null"),
     .pre_tokenizer = "[" IF("add_prefix_space legacy", METASPACE("always", "false")) "," IF(
         "add_prefix_space !legacy", METASPACE("first", "false")) "," IF("!add_prefix_space",
                                                                         METASPACE("never", "false")) "]",
     .decoder =
         "[" DECODE_SPACE "," TYPE("ByteFallback") "," TYPE("Fuse") "," IF("add_prefix_space", DECODE_STRIP) "]"},
    {.name = "MBart",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" ANGLES MASK_LSTRIP "\"src_lang\":\"en_XX\"}",
     .model = UNIGRAM,
     .unknown = {3},
     .front = "bos pad eos unk",
     .dropped = 3,
     .behind = "languages mask",
     .extra = "languages",
     .pre_tokenizer = "[" TYPE("WhitespaceSplit") "," METASPACE("always", "true") "]",
     .decoder = "[" METASPACE("always", "true") "]",
     .single = "A eos src_lang",
     .pair = "A B eos src_lang"},
    {.name = "RemBert",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" ALBERT_NAMES "\"do_lower_case\":false,\"keep_accents\":true,\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {2},
     .normalizer = "[" QUOTES "," REPLACE(REGEX(" {2,}"), " ") "," ACCENTS "," LOWERCASE "," PRECOMPILED "]",
     .pre_tokenizer = "[" METASPACE_OR("never") "]",
     .decoder = "[" METASPACE_OR(
         "never") "]"}, /* its constructor makes a template, and then puts the one without a name there */
    {.name = "T5",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" NAMED("eos", "</s>") NAMED("unk", "<unk>") NAMED("pad", "<pad>") "\"extra_ids\":100}",
     .model = UNIGRAM,
     .unknown = {2},
     .behind = "extra_ids",
     .extra = "extra_ids",
     .normalizer = "[" PRECOMPILED "]",
     .pre_tokenizer = "[" TYPE("WhitespaceSplit") "," METASPACE("always", "true") "]",
     .decoder = "[" METASPACE("always", "true") "]",
     .single = "A eos",
     .pair = "A eos B eos"},
    {.name = "XLMRoberta",
     .vocab = HF_VOCAB_SENTENCEPIECE,
     .arguments = "{" ANGLES NAMED("mask", "<mask>") "\"add_prefix_space\":true}",
     .model = UNIGRAM,
     .unknown = {3},
     .front = "bos pad eos unk",
     .dropped = 3,
     .behind = "mask",
     .normalizer = "[" PRECOMPILED "]",
     .pre_tokenizer = "[" TYPE("WhitespaceSplit") "," METASPACE_OR("never") "]",
     .decoder = "[" METASPACE_OR("never") "]",
     .single = FAIRSEQ_SINGLE,
     .pair = FAIRSEQ_PAIR},
};

/* SpmConverter.build_tokenizer_from_spm_proto. */
const hf_class hf_class_pieces = {
    .name = "SentencePiece",
    .vocab = HF_VOCAB_SENTENCEPIECE,
    .arguments = "{\"legacy\":true}",
    .model = "[" IF(
        "merges",
        "{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"$unk_piece\",\"fuse_unk\":true,"
        "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
        "\"byte_fallback\":\"$byte_fallback\",\"ignore_merges\":\"$user_defined\"}") "," IF("!merges",
                                                                                            "{\"type\":\"Unigram\","
                                                                                            "\"byte_fallback\":\"$byte_"
                                                                                            "fallback\"}") "]",
    .unknown = {HF_UNKNOWN_FILE},
    .normalizer = "[" PRECOMPILED "," IF("remove_extra_whitespaces", REPLACE(REGEX("\\\\A +| +\\\\z"), "")) "," IF(
        "remove_extra_whitespaces",
        REPLACE(REGEX(" {2,}"), " ")) "," IF("escape_whitespaces",
                                             REPLACE(STRING(" "), SPACE)) "," IF("add_dummy_prefix legacy",
                                                                                 REPLACE(REGEX("\\\\A" SPACE),
                                                                                         SPACE SPACE)) "]",
    .pre_tokenizer = "[" IF("add_dummy_prefix legacy", METASPACE("always", "false")) "," IF(
        "add_dummy_prefix !legacy",
        METASPACE("first", "false")) "," IF("user_defined", SPLIT(REGEX("$user_pattern"), "Isolated", "false")) "]",
    .decoder =
        "[" DECODE_SPACE "," IF("byte_fallback", TYPE("ByteFallback")) "," IF("add_dummy_prefix", TYPE("Fuse")) "," IF(
            "add_dummy_prefix", DECODE_STRIP) "," IF("!add_dummy_prefix byte_fallback", TYPE("Fuse")) "]",
};

/* Classes that are another's. */
static const char *const same[][2] = {
    {"DistilBert", "Bert"},
    {"Electra", "Bert"},
    {"ConvBert", "Bert"},
    {"MobileBert", "Bert"},
    {"LayoutLM", "Bert"},
    {"Lxmert", "Bert"},
    {"SqueezeBert", "Bert"},
    {"DPRContextEncoder", "Bert"},
    {"DPRQuestionEncoder", "Bert"},
    {"DPRReader", "Bert"},
    {"Bart", "Roberta"},
    {"Longformer", "Roberta"},
    {"LED", "Roberta"},
    {"FNet", "Albert"},
};

static const char *const models[][2] = {
    {"albert", "Albert"},
    {"bart", "Roberta"},
    {"bert", "Bert"},
    {"big_bird", "BigBird"},
    {"camembert", "Camembert"},
    {"convbert", "Bert"},
    {"data2vec-text", "Roberta"},
    {"deberta", "Deberta"},
    {"deberta-v2", "DebertaV2"},
    {"distilbert", "Bert"},
    {"electra", "Bert"},
    {"ernie", "Bert"},
    {"fnet", "Albert"},
    {"gemma", "Gemma"},
    {"gemma2", "Gemma"},
    {"gemma3", "Gemma"},
    {"gemma3_text", "Gemma"},
    {"gpt2", "GPT2"},
    {"ibert", "Roberta"},
    {"layoutlm", "Bert"},
    {"llama", "Llama"},
    {"longformer", "Roberta"},
    {"mbart", "MBart"},
    {"megatron-bert", "Bert"},
    {"mistral", "Llama"},
    {"mobilebert", "Bert"},
    {"mpnet", "MPNet"},
    {"mt5", "T5"},
    {"nezha", "Bert"},
    {"nomic_bert", "Bert"},
    {"opt", "GPT2"},
    {"qwen2", "Qwen2"},
    {"qwen3", "Qwen2"},
    {"rembert", "RemBert"},
    {"roberta", "Roberta"},
    {"roberta-prelayernorm", "Roberta"},
    {"squeezebert", "Bert"},
    {"t5", "T5"},
    {"xlm-roberta", "XLMRoberta"},
    {"xlm-roberta-xl", "XLMRoberta"},
};

static void cut_end(char *name, const char *end) {
    size_t n = strlen(name), m = strlen(end);
    if (n > m && strcmp(name + n - m, end) == 0) name[n - m] = 0;
}

static const char *other_name(const char *const (*names)[2], size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i][0], name) == 0) return names[i][1];
    return NULL;
}

const hf_class *hf_class_find(const char *full) {
    char name[64];
    snprintf(name, sizeof name, "%s", full);
    cut_end(name, "Fast");
    cut_end(name, "Tokenizer");
    const char *other = other_name(same, BASE_COUNT(same), name);
    for (size_t i = 0; i < BASE_COUNT(classes); i++)
        if (strcmp(classes[i].name, other ? other : name) == 0) return &classes[i];
    return NULL;
}

const hf_class *hf_class_of_model(const char *model_type) {
    const char *name = other_name(models, BASE_COUNT(models), model_type);
    return name ? hf_class_find(name) : NULL;
}
