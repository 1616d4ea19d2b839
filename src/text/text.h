/* SPDX-License-Identifier: Apache-2.0
 *
 * Text -> token ids with offsets, as the `tokenizers` library does from the same tokenizer.json.
 *
 * A tokenizer is immutable and may be used by any thread; all that changes lies in the caller's text_encoding, whose buffers
 * grow and are used again, so that encoding at sizes seen before allocates nothing. There is no cache that grows.
 */
#ifndef TEXT_H
#define TEXT_H

#include "base/base_json.h"
#include "base/base_mem.h"
#include "base/base_runtime.h"
#include "base/base_str.h"

typedef struct text_tokenizer text_tokenizer;

/* What the files beside tokenizer.json say in its place. */
typedef struct text_settings {
    const nib_runtime *runtime; /* whose log is told of keys of tokenizer.json that are not applied; NULL: nobody */
    /* What transformers' BertTokenizer builds anew, whatever tokenizer.json holds: a BertNormalizer of these flags that cleans, a
     * BertPreTokenizer, WordPiece with ## and words of up to 100 characters, and the template [CLS] text [SEP]. */
    bool rebuilt;
    bool lowercase, chinese;
    int strip_accents;               /* 1 yes, 0 no, -1: as lowercase */
    const char *cls, *sep, *unknown; /* "": [CLS], [SEP], [UNK] where the vocabulary has them, else tokenizer.json's */
    bool lower_first;                /* the text becomes lower case before the normalizer sees it */
    int prefix_space;                /* of ByteLevel: 2 a space is put before texts, 1 it is not, 0: as tokenizer.json says */
    bool bare; /* nothing is put around a text, whatever the post-processor is */
    /* As Model2Vec encodes: a text is first cut to max_tokens times the median length of the vocabulary's tokens, in
     * characters; and what is left of unknown tokens behind truncation is left out. */
    bool no_unknown;
    int truncation_left;             /* 1 the front is cut, 0 the end, -1: as tokenizer.json says */
} text_settings;
void text_settings_init(text_settings *s); /* nothing is said */

/* Whether t normalizes as a BertNormalizer with these flags; strip_accents -1: as lowercase. */
bool text_normalizes_as(const text_tokenizer *t, bool lowercase, bool chinese, int strip_accents);

/* Reads a tokenizer.json. Any component that nib does not implement is refused by its name (UNSUPPORTED); anything
 * malformed is BAD_TOKENIZER. The bytes are not needed afterwards. */
nib_status text_tokenizer_load(base_heap *heap, const char *json, size_t length, text_tokenizer **out, nib_error *err);
/* The same, but for what `settings` says in place of the file. BAD_TOKENIZER for a named token that the vocabulary does not have. */
nib_status text_tokenizer_load_with(base_heap *heap, const char *json, size_t length, const text_settings *settings, text_tokenizer **out,
                                    nib_error *err);
void text_tokenizer_free(text_tokenizer *t); /* NULL is accepted */

/* For compiled files: *json becomes tokenizer.json without its vocabulary, *vocab the vocabulary of t, which was loaded from it, as bytes
 * that need not be read to be used (text_packed.c). UNSUPPORTED for a kind that has no such form: keep the JSON. */
nib_status text_tokenizer_pack(const text_tokenizer *t, const char *tokenizer_json, size_t length, base_str *json, base_str *vocab,
                               nib_error *err);
/* A tokenizer of these two, equal to t. vocab is aligned to 8 and must live as long as the tokenizer; nothing in it is believed. */
nib_status text_tokenizer_load_packed(base_heap *heap, const char *json, size_t length, const void *vocab, size_t size,
                                      const text_settings *settings, text_tokenizer **out, nib_error *err);

typedef struct text_span {
    uint32_t begin, end; /* bytes of the text as given; special tokens that a template added: 0, 0 */
} text_span;

typedef struct text_encoding {
    base_heap *heap;
    int32_t *ids;      /* [count] */
    int32_t *type_ids; /* [count] */
    text_span *spans;  /* [count] */
    uint8_t *special;  /* [count] 1: added by the template */
    uint8_t *texts;    /* [count] 0: of the first text, 1: of the second; of a special token 0 */
    uint8_t *begins;   /* [count] 1: the first token of a word, as pre-tokenizers cut words; of a special token 1 */
    size_t count;
    size_t full_count; /* what count would be without truncation */
    size_t *windows;   /* [window_count] where each begins in the arrays above; the first at 0 */
    size_t window_count, window_cap;
    size_t cap;
    void *work; /* what encoding needs between the text and the arrays above; opaque */
    size_t work_cap;
} text_encoding;

/* How long an encoding may be, and what is cut where it is longer. */
typedef enum text_strategy { TEXT_LONGEST_FIRST, TEXT_ONLY_FIRST, TEXT_ONLY_SECOND } text_strategy;
typedef struct text_truncation {
    int64_t max_tokens; /* special ones included; 0: no limit */
    text_strategy strategy;
    bool left;    /* the front is cut */
    bool windows; /* what is cut off follows in windows of the same length, as `tokenizers` gives "overflowing" */
    int64_t stride; /* tokens that two windows in a row share */
} text_truncation;
/* As tokenizer.json says; without windows. */
text_truncation text_own_truncation(const text_tokenizer *t);

void text_encoding_init(text_encoding *e, base_heap *heap);
void text_encoding_free(text_encoding *e);
bool text_encoding_grow(text_encoding *e, size_t need); /* room for so many tokens; false: memory ran out */

/* Encodes text[0..length), and pair[0..pair_length) if pair is not NULL. max_tokens > 0: truncates to that many, special
 * tokens included (longest first for pairs; the side is the tokenizer's); 0: no truncation; < 0: what tokenizer.json says.
 * Bytes that are not UTF-8 are read as U+FFFD, one for each maximal ill-formed part, as Python's errors="replace" does.
 * LIMIT if the text has 2^31 bytes or more; INVALID_ARGUMENT if max_tokens holds not even the special tokens, or if the
 * file's OnlyFirst or OnlySecond cannot be kept. On failure the encoding is empty. */
nib_status text_encode(const text_tokenizer *t, const char *text, size_t length, const char *pair, size_t pair_length, int64_t max_tokens,
                       bool add_special, text_encoding *out, nib_error *err);

/* The same with a truncation of the caller's. Windows stand one behind the other in `out`, each with its special tokens,
 * in the order of `tokenizers`: of a pair, each window of the first text with all of the second's, then the first's first
 * with the rest of the second's. INVALID_ARGUMENT, too, for a stride that leaves nothing new to a window. */
nib_status text_encode_cut(const text_tokenizer *t, const char *text, size_t length, const char *pair, size_t pair_length,
                           const text_truncation *cut, bool add_special, text_encoding *out, nib_error *err);

/* Appends the text that n ids stand for, as the file's decoder puts it together (none: tokens with a space between them); ids without
 * a token are left out, special tokens too if `skip_special`. Where tokens are parts of characters that do not fit, U+FFFD. UNSUPPORTED
 * for a decoder that nib lacks. */
nib_status text_decode(const text_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, base_str *out, nib_error *err);

/* The same of n strings, which are tokens' or what stands in the place of some: transformers' convert_tokens_to_string. */
typedef struct text_string {
    const char *bytes;
    size_t length;
} text_string;
nib_status text_decode_strings(const text_tokenizer *t, const text_string *strings, size_t n, base_str *out,
                               nib_error *err);

/* Takes spaces before punctuation and English endings away, as transformers' clean_up_tokenization does of decoded text;
 * not where tokens are BPE's, as there. */
void text_clean_up(const text_tokenizer *t, base_str *text);

/* The largest id + 1, added tokens included; between them there may be ids without a token. */
size_t text_vocab_size(const text_tokenizer *t);
/* The token's string; *length its bytes; NULL if there is no such id. */
const char *text_token(const text_tokenizer *t, int32_t id, size_t *length);
int32_t text_token_id(const text_tokenizer *t, const char *token, size_t length); /* -1 if there is none */
/* Truncation and kind as tokenizer.json says, for people: "WordPiece, 30522 tokens, BertNormalizer, ..." */
int64_t text_max_tokens(const text_tokenizer *t); /* 0: none */
/* Added tokens, by place; false: there is none at that place. */
typedef struct text_added {
    const char *content;
    size_t length;
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} text_added;
bool text_added_at(const text_tokenizer *t, size_t i, text_added *out);
bool text_is_special(const text_tokenizer *t, int32_t id); /* an added token that is special */
bool text_is_wordpiece(const text_tokenizer *t);
int32_t text_unknown_id(const text_tokenizer *t); /* the model's unknown token, -1: there is none */
bool text_marks_subwords(const text_tokenizer *t); /* the model has a continuing_subword_prefix ("##"), and it is not "" */
void text_describe(const text_tokenizer *t, char *buffer, size_t capacity);

#endif
