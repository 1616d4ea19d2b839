/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a tokenizer, and the way of a text through them:
 *
 *     text --(added tokens with normalized = false cut it)--> segments
 *     segment --(normalizer, in chunks)--> normalised bytes, and for each the byte of the text it comes from
 *             --(added tokens with normalized = true cut it)--> pieces
 *     piece --(splitter)--> words --(model)--> tokens --(template, truncation)--> the encoding
 *
 * A normalizer, a splitter and a model are each a function with its data; a further kind is a further function.
 */
#ifndef TEXT_INTERNAL_H
#define TEXT_INTERNAL_H

#include "text.h"
#include "text_trie.h"
#include "text_unicode.h"

/* Bytes of a text that are normalised at once where it can be cut at a space; the buffers stay in the second-level cache. */
#define TEXT_CHUNK 8192u
/* A character of n bytes becomes at most 3 n (Hangul syllables, broken bytes); the rest is room to sort marks in. */
#define TEXT_GROWTH 6u

typedef struct text_raw {
    int32_t id;
    uint32_t begin, end; /* bytes of the text */
} text_raw;

/* What text_encoding.work points at: all that encoding needs between the text and the encoding. */
typedef struct text_work {
    base_heap *heap;
    uint8_t *norm;  /* [norm_cap] the normalised chunk */
    uint32_t *from; /* [from_cap] for each of its bytes, where in the text the character begins that gave it */
    size_t norm_cap, from_cap;
    text_raw *tokens; /* [token_cap] of both texts; those of the current one from `first` on */
    size_t token_cap, first;
    size_t count; /* tokens of the current text so far */
    size_t keep;  /* of these, only so many are stored */
    const uint8_t *text;
    size_t length;
    bool failed; /* out of memory */
} text_work;

void text_work_push_source(text_work *w, int32_t id, uint32_t begin, uint32_t end);

/* Where the character that begins at text[at] ends. */
static inline uint32_t text_work_end(const text_work *w, uint32_t at) {
    uint32_t cp;
    return w->text[at] < 0x80 ? at + 1 : at + (uint32_t)text_utf8(w->text + at, w->length - at, &cp);
}

/* A token that is norm[begin..end), begin < end. */
static inline void text_work_push(text_work *w, int32_t id, size_t begin, size_t end) {
    if (w->count < w->keep) text_work_push_source(w, id, w->from[begin], text_work_end(w, w->from[end - 1]));
    else w->count++;
}

typedef struct text_normalizer {
    /* Normalises text[begin..end) into norm and from, which have room for TEXT_GROWTH times as many; returns the bytes.
     * Cutting a text at an ASCII space and normalising the parts gives the same. */
    size_t (*run)(const struct text_normalizer *n, const uint8_t *text, size_t begin, size_t end, uint8_t *norm, uint32_t *from);
    const char *name;
    bool clean_text, chinese, strip_accents, lowercase;
    uint8_t ascii[128]; /* what each becomes; 0xff: nothing */
    text_map map;       /* what each other character becomes: see text_normalize.c */
    uint32_t *pieces;   /* [piece_count] offset << 8 | length of a replacement */
    uint8_t *bytes;     /* the replacements */
    size_t piece_count, piece_cap, byte_count, byte_cap;
} text_normalizer;

typedef struct text_splitter {
    /* The next word of s[at..n): false if there is none; *end is where to go on. */
    bool (*next)(const struct text_splitter *p, const uint8_t *s, size_t n, size_t at, size_t *begin, size_t *end);
    const char *name;
    bool cuts_at_space; /* an ASCII space never lies in a word */
    uint8_t ascii[128];
    text_map map;
} text_splitter;

typedef struct text_model {
    /* Pushes the tokens of norm[begin..end). */
    void (*word)(const struct text_tokenizer *t, text_work *w, size_t begin, size_t end);
    const char *name;
    text_trie trie;     /* the whole vocabulary, without added tokens */
    uint32_t continued; /* base of the node of continuing_subword_prefix */
    int32_t unknown;
    size_t max_chars;
} text_model;

typedef struct text_added_token {
    const char *content; /* NUL-terminated */
    size_t length;
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
} text_added_token;

/* Added tokens that are looked for in the same form of the text. */
typedef struct text_added_set {
    const text_added_token *tokens;
    text_trie trie; /* values are places in `tokens` */
    size_t count;
    int only_first; /* the byte that all begin with, or -1 */
    bool first[256];
} text_added_set;

typedef struct text_piece {
    int32_t id; /* >= 0: this token; < 0: the first (-1) or the second text (-2) */
    int32_t type_id;
} text_piece;

typedef struct text_template {
    text_piece *pieces; /* NULL: the texts one after the other, with types 0 and 1 */
    size_t count, specials;
} text_template;

typedef enum text_strategy { TEXT_LONGEST_FIRST, TEXT_ONLY_FIRST, TEXT_ONLY_SECOND } text_strategy;

typedef struct text_truncation {
    int64_t max_tokens; /* 0: none */
    text_strategy strategy;
    bool left;
} text_truncation;

typedef struct text_entry {
    const char *bytes; /* NULL: no such id */
    uint32_t length;
} text_entry;

struct text_tokenizer {
    base_heap *heap;
    base_arena arena;       /* strings, the tokens by id, added tokens, templates */
    text_entry *entries;    /* [ids]; NULL: they lie in a compiled file */
    const uint32_t *starts; /* [ids + 1] of those: id i, with a NUL, is text[starts[i]] .. text[starts[i + 1]]; nothing: no such id */
    const char *text;
    size_t ids, tokens; /* largest id + 1; how many there are */
    text_normalizer normalizer;
    text_splitter splitter;
    text_model model;
    text_added_token *added;
    size_t added_count;
    text_added_set raw, normal; /* matched before and after normalization */
    text_template single, pair;
    text_truncation truncation;
};

/* JSON helpers; `where` is the path of the object for messages. Absent and null give `fallback`. */
nib_status text_json_bool(yyjson_val *object, const char *where, const char *key, bool fallback, bool *out, nib_error *err);
nib_status text_json_size(yyjson_val *object, const char *where, const char *key, size_t fallback, size_t most, size_t *out,
                          nib_error *err);
/* A string that must be there. */
nib_status text_json_string(yyjson_val *object, const char *where, const char *key, const char **out, size_t *length, nib_error *err);
nib_status text_json_id(yyjson_val *v, const char *where, size_t most, int32_t *out, nib_error *err);
bool text_json_is(yyjson_val *v, const char *text);

/* Each reads its part of the file into *t; the free functions take what was half read. */
nib_status text_normalizer_load(text_tokenizer *t, yyjson_val *v, const text_settings *s, nib_error *err);
void text_normalizer_free(text_normalizer *n);
nib_status text_splitter_load(text_tokenizer *t, yyjson_val *v, nib_error *err);
nib_status text_splitter_bert(text_tokenizer *t, nib_error *err); /* a BertPreTokenizer */
void text_splitter_free(text_splitter *p);
nib_status text_wordpiece_load(text_tokenizer *t, yyjson_val *v, nib_error *err);
nib_status text_vocab_load(text_tokenizer *t, yyjson_val *vocab, yyjson_val *added, nib_error *err);
nib_status text_added_load(text_tokenizer *t, yyjson_val *v, nib_error *err);
nib_status text_template_load(text_tokenizer *t, yyjson_val *v, nib_error *err);
nib_status text_truncation_load(text_tokenizer *t, yyjson_val *v, nib_error *err);

/* Warns of keys that are not applied (text_keys.c). */
void text_keys_check(const nib_runtime *runtime, yyjson_val *root);

/* What s->rebuilt says of the model, in place of what was read, and of the template, which then need not be read. */
nib_status text_settings_apply(text_tokenizer *t, const text_settings *s, nib_error *err);

/* The token of an id below t->ids. */
static inline text_entry text_entry_of(const text_tokenizer *t, int32_t id) {
    if (t->entries) return t->entries[id];
    uint32_t begin = t->starts[id], end = t->starts[id + 1];
    return begin == end ? (text_entry){NULL, 0} : (text_entry){t->text + begin, end - begin - 1};
}

/* A vocabulary that lies ready in a compiled file (text_packed.c). */
nib_status text_vocab_map(text_tokenizer *t, const void *bytes, size_t size, yyjson_val *added, nib_error *err);

/* Room for `bytes` of text in norm and from. */
bool text_work_reserve(text_work *w, size_t bytes);

typedef struct text_match {
    const text_added_token *token;
    size_t begin, end; /* with the spaces it takes in */
} text_match;

/* How far a text has been searched. Matches may end beyond where the next one begins: what rstrip takes in is searched, too. */
typedef struct text_scan {
    size_t at;    /* where to go on looking */
    size_t taken; /* where the last match ended */
    size_t white; /* up to here nothing but white space follows a match that took it in */
} text_scan;

/* The next match in s[0..n); its begin may lie before the last one's end: nothing stands between them then. */
bool text_added_next(const text_added_set *set, const uint8_t *s, size_t n, text_scan *scan, text_match *match);

#endif
