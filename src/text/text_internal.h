/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of a tokenizer, and the way of a text through them:
 *
 *     text --(added tokens with normalized = false cut it)--> segments
 *     segment --(normalizers)--> the buffer: normalised bytes, and for each the place in the text that it comes from
 *             --(added tokens with normalized = true cut it)--> parts: ranges of the buffer
 *     part --(pre-tokenizers: cut parts, may rewrite their bytes)--> words --(model)--> tokens
 *     tokens of one or two texts --(post-processors, truncation)--> the encoding
 *     ids --(decoders)--> text
 *
 * Each arrow is a list of stages. A stage is a kind with its data and one function; text_stage.c has the table of all
 * kinds and the one reader of Sequences. BertNormalizer, BertPreTokenizer and WordPiece (or none of the first two) are
 * run as one stage in chunks
 * (`fused`), which gives the same; whether they are is decided when the tokenizer is loaded.
 */
#ifndef TEXT_INTERNAL_H
#define TEXT_INTERNAL_H

#include "text.h"
#include "text_trie.h"
#include "text_unicode.h"

/* Bytes of a text that are normalised at once where it can be cut at a space; the buffers stay in the second-level
 * cache. */
#define TEXT_CHUNK 8192u
/* BertNormalizer: a character of n bytes becomes at most 3 n (Hangul syllables, broken bytes); the rest is room to sort
 * marks in. */
#define TEXT_GROWTH 6u

typedef struct text_raw {
    int32_t id;
    uint32_t begin, end; /* bytes of the text */
    bool added;          /* found in the text as an added token: the model may give its id as well */
    bool begins_word;    /* the first of a part, or an added one */
} text_raw;

/* ---------------------------------------------------------------- a text under way */

/* In `from`: nothing of the text gave this byte, it was put in front of the place in the lower bits. */
#define TEXT_INSERTED 0x80000000u

typedef struct text_buffer {
    uint8_t *bytes; /* [n] valid UTF-8, but where a stage says otherwise */
    uint32_t *from; /* [n] where in the text the character begins that the byte comes from, or TEXT_INSERTED | place */
    size_t n, bytes_cap, from_cap;
} text_buffer;

typedef struct text_part {
    uint32_t begin, end; /* of the buffer */
    int32_t id;          /* an added token that was found there; TEXT_WORD: none, it is still to be cut and looked up */
} text_part;
#define TEXT_WORD (-1)

typedef struct text_parts {
    text_part *items;
    size_t count, cap;
} text_parts;

/* What text_encoding.work points at: all that encoding needs between the text and the encoding. */
typedef struct text_work {
    base_heap *heap;
    text_buffer buf, next; /* `next` is what a stage that rewrites writes; then they change places */
    text_parts parts, more;
    text_raw *tokens; /* [token_cap] of both texts; those of the current one from `first` on */
    size_t token_cap, first;
    size_t count; /* tokens of the current text so far */
    size_t keep;  /* of these, only so many are stored */
    bool in_word; /* a token of the part at hand was pushed */
    const uint8_t *text;
    size_t length;
    void *scratch; /* [scratch_cap] a pattern's; zero where nothing was written yet */
    size_t scratch_cap;
    int64_t steps; /* of patterns, in the stage that runs */
    void *marks;   /* [2 * marks_cap] combining marks that wait for their order (text_norm_unicode.c) */
    size_t marks_cap;
    void *ways; /* [ways_cap] to the places of a part (text_model_unigram.c) */
    size_t ways_cap;
    struct text_bpe_work *bpe; /* what BPE needs for a word, and remembers of words (text_model_bpe.c) */
    nib_status status;         /* the first failure: OUT_OF_MEMORY, LIMIT; later work does nothing that matters */
    const char *why;           /* its message, or NULL */
} text_work;

void text_bpe_work_free(text_work *w);
void text_work_free(text_work *w); /* what it holds; *w itself is the caller's */
void text_fail(text_work *w, nib_status status, const char *why);

/* Room for n bytes in all; false: memory ran out, and w has failed. */
bool text_buffer_reserve(text_work *w, text_buffer *b, size_t n);
void text_work_swap(text_work *w); /* `next` becomes the buffer; pointers into both end here */
bool text_part_push(text_work *w, text_parts *list, size_t begin, size_t end, int32_t id);

/* Zeroed scratch of so many bytes for one user at a time; NULL: memory ran out. */
void *text_work_scratch(text_work *w, size_t bytes);

/* One byte or character more of w->next; `from` as in text_buffer. */
bool text_put(text_work *w, const uint8_t *bytes, size_t n, uint32_t from);
bool text_put_point(text_work *w, uint32_t cp, uint32_t from);
bool text_put_range(text_work *w, size_t begin, size_t end); /* w->buf[begin..end) as it is */

/* Writes a changed form of w->buf[begin..end) behind w->next, as the library's NormalizedString::transform does:
 * characters go out one by one with a change: 0 takes the place of the next character, -k does that and k characters
 * behind it are dropped, 1 is a new one and comes from where the one before it came. */
typedef struct text_change {
    text_work *w;
    size_t begin, at, end; /* the next character to be replaced */
} text_change;
void text_change_skip(text_change *c, size_t characters); /* those are dropped before anything is written */
bool text_change_put(text_change *c, uint32_t cp, int change);
uint32_t text_part_place(const text_work *w, size_t begin); /* where in the text what begins at w->buf[begin] begins */

void text_work_push_source(text_work *w, int32_t id, uint32_t begin, uint32_t end);

/* Where the character that begins at text[at] ends. */
static inline uint32_t text_work_end(const text_work *w, uint32_t at) {
    uint32_t cp;
    if (at & TEXT_INSERTED) return at & ~TEXT_INSERTED;
    return w->text[at] < 0x80 ? at + 1 : at + (uint32_t)text_utf8(w->text + at, w->length - at, &cp);
}

/* A token that is buf[begin..end), begin < end. */
static inline void text_work_push(text_work *w, int32_t id, size_t begin, size_t end) {
    if (w->count < w->keep)
        text_work_push_source(w, id, w->buf.from[begin] & ~TEXT_INSERTED, text_work_end(w, w->buf.from[end - 1]));
    else w->count++;
}

/* ---------------------------------------------------------------- stages */

typedef enum text_section {
    TEXT_NORMALIZER,
    TEXT_PRE_TOKENIZER,
    TEXT_MODEL,
    TEXT_POST_PROCESSOR,
    TEXT_DECODER,
    TEXT_SECTIONS
} text_section;

typedef struct text_stage text_stage;
typedef struct text_decoding text_decoding;

struct text_stage {
    const char *name;
    union {
        void (*normalize)(const text_stage *s, text_work *w); /* rewrites w->buf */
        void (*split)(const text_stage *s, text_work *w);     /* cuts w->parts that are TEXT_WORD, may rewrite w->buf */
        void (*word)(const text_stage *s, text_work *w, size_t begin,
                     size_t end); /* pushes the tokens of w->buf[begin..end), not empty */
        /* Changes the spans of the n tokens of one text, which is text[0..length). */
        void (*trim)(const text_stage *s, const struct text_tokenizer *t, const uint8_t *text, size_t length,
                     text_raw *tokens, size_t n);
        void (*decode)(const text_stage *s, text_decoding *d);
    } run;                                     /* NULL: the stage did its work when it was loaded */
    void *data;                                /* in the tokenizer's arena */
    void (*free)(base_heap *heap, void *data); /* of what the data hold of the heap; may be NULL */
};

typedef struct text_stages {
    text_stage *items;
    size_t count, cap;
} text_stages;

/* Reads its part of the file into *s, whose name is set; what was half read, s->free takes. */
typedef nib_status text_stage_load(struct text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err);

typedef struct text_kind {
    text_section section;
    const char *type;
    text_stage_load *load;
} text_kind;

text_stage_load text_norm_bert_load, text_norm_nfc_load, text_norm_nfd_load, text_norm_nfkc_load, text_norm_nfkd_load,
    text_norm_lowercase_load, text_norm_strip_accents_load, text_norm_strip_load, text_norm_replace_load,
    text_norm_prepend_load, text_norm_nmt_load, text_norm_bytes_load, text_norm_precompiled_load;
text_stage_load text_split_bert_load, text_split_bytes_load, text_split_pattern_load, text_split_whitespace_load,
    text_split_spaces_load, text_split_punctuation_load, text_split_digits_load, text_split_metaspace_load;
text_stage_load text_model_wordpiece_load, text_model_bpe_load, text_model_unigram_load, text_model_words_load;
text_stage_load text_post_template_load, text_post_bert_load, text_post_roberta_load, text_post_bytes_load;
text_stage_load text_decode_bytes_load, text_decode_wordpiece_load, text_decode_bpe_load, text_decode_fallback_load,
    text_decode_fuse_load, text_decode_replace_load, text_decode_strip_load, text_decode_metaspace_load;

/* Reads a section; a Sequence becomes its stages, in place. Absent or null: no stage. UNSUPPORTED names a kind that nib
 * lacks. */
nib_status text_stages_load(struct text_tokenizer *t, text_section section, yyjson_val *v, nib_error *err);
/* A stage more in t's list of that section, named and otherwise empty. */
nib_status text_stage_add(struct text_tokenizer *t, text_section section, const char *name, text_stage **out,
                          nib_error *err);
void text_stages_free(base_heap *heap, text_stages *list);
/* Zeroed data for a stage, in the tokenizer's arena. */
nib_status text_stage_data(struct text_tokenizer *t, text_stage *s, size_t size, void *out, nib_error *err);

/* ---------------------------------------------------------------- what several stages use */

typedef struct text_normalizer { /* BertNormalizer's data */
    /* Normalises text[begin..end) into bytes and from, which have room for TEXT_GROWTH times as many; returns the
     * bytes. Cutting a text at an ASCII space and normalising the parts gives the same. */
    size_t (*run)(const struct text_normalizer *n, const uint8_t *text, size_t begin, size_t end, uint8_t *norm,
                  uint32_t *from);
    bool clean_text, chinese, strip_accents, lowercase;
    uint8_t ascii[128]; /* what each becomes; 0xff: nothing */
    text_map map;       /* what each other character becomes: see text_norm_bert.c */
    uint32_t *pieces;   /* [piece_count] offset << 8 | length of a replacement */
    uint8_t *bytes;     /* the replacements */
    size_t piece_count, piece_cap, byte_count, byte_cap;
} text_normalizer;

/* A BertNormalizer of these flags; none set: it only reads broken bytes as U+FFFD. */
nib_status text_norm_bert_make(struct text_tokenizer *t, text_stage *s, bool clean_text, bool chinese, bool lowercase,
                               bool strip_accents, nib_error *err);

typedef struct text_splitter { /* BertPreTokenizer's data */
    /* The next word of s[at..n): false if there is none; *end is where to go on. */
    bool (*next)(const struct text_splitter *p, const uint8_t *s, size_t n, size_t at, size_t *begin, size_t *end);
    bool cuts_at_space; /* an ASCII space never lies in a word */
    uint8_t ascii[128];
    text_map map;
} text_splitter;

nib_status text_split_bert_make(struct text_tokenizer *t, text_stage *s, nib_error *err);
nib_status text_split_none_make(struct text_tokenizer *t, text_stage *s,
                                nib_error *err); /* all of the text is one word */

typedef struct text_wordpiece { /* WordPiece's data; the vocabulary is t->trie */
    const text_trie *trie;
    uint32_t continued; /* base of the node of continuing_subword_prefix */
    int32_t unknown;
    size_t max_chars;
} text_wordpiece;

/* What finds matches in a part: a string or a regular expression. */
typedef struct text_pattern text_pattern;
nib_status text_pattern_load(struct text_tokenizer *t, yyjson_val *v, const char *where, text_pattern **out,
                             nib_error *err);
/* GPT-2's, which ByteLevel has of its own. */
nib_status text_pattern_gpt2(struct text_tokenizer *t, text_pattern **out, nib_error *err);
/* The next match in s[0..n) from scan->at on, false: there is none, or w has failed. An empty match is never given
 * where the last one ended. Set the scan to zero first. */
typedef struct text_find {
    size_t at;
    bool matched; /* a match ended at `last` */
    size_t last, begin, end;
} text_find;
bool text_pattern_next(const text_pattern *p, text_work *w, const uint8_t *s, size_t n, text_find *scan);

/* What becomes of the parts that a split makes. */
typedef enum text_behavior {
    TEXT_REMOVED,
    TEXT_ISOLATED,
    TEXT_MERGED_WITH_PREVIOUS,
    TEXT_MERGED_WITH_NEXT,
    TEXT_CONTIGUOUS
} text_behavior;
nib_status text_behavior_load(yyjson_val *v, const char *where, text_behavior *out, nib_error *err);

/* Takes the parts of w->parts one by one and gives pieces of them to w->more: begin .. cut* .. end for each. */
typedef struct text_cutter {
    text_work *w;
    text_behavior behavior;
    bool last_match, pending; /* MERGED_WITH_NEXT: a match that waits for what follows */
    size_t first, begin, end; /* where this part's pieces begin in w->more; the match that waits */
} text_cutter;
void text_cut_begin(text_cutter *c, text_work *w, text_behavior behavior);
void text_cut(text_cutter *c, size_t begin, size_t end, bool match);
void text_cut_end(text_cutter *c);
void text_parts_swap(text_work *w); /* w->more, without its empty parts, becomes w->parts */

/* The alphabet in which byte-level vocabularies are written. */
uint32_t text_byte_point(uint8_t byte);                        /* the character of a byte */
int text_point_byte(uint32_t cp);                              /* the byte of a character, or -1 */
bool text_put_byte(text_work *w, uint8_t byte, uint32_t from); /* its character */

/* ByteLevel as a pre-tokenizer: whether its bytes may stay what they are, because the model behind it takes bytes. */
bool text_split_is_bytes(const text_stage *s);
void text_split_set_prefix(text_stage *s, bool prefix); /* of a ByteLevel */
void text_split_keep_bytes(text_stage *s);

/* ---------------------------------------------------------------- the tokenizer */

typedef struct text_added_token {
    const char *content; /* NUL-terminated */
    const char *form;    /* what is looked for: the content, or its normalised form */
    size_t length, form_length;
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
    bool first_alone; /* the types of its texts are of first windows; others have 0 and 1, as `tokenizers` leaves them */
} text_template;

typedef struct text_entry {
    const char *bytes; /* NULL: no such id */
    uint32_t length;
    bool extra; /* an added token that the model's vocabulary does not have */
} text_entry;

/* Finds the id of a string by a hash of it; for models that look up whole strings (text_vocab.c). */
typedef struct text_index {
    struct text_slot {
        uint32_t hash;
        int32_t id; /* -1: free */
    } * slots;      /* [mask + 1] in the arena; NULL: the vocabulary is in the trie */
    size_t mask;
    uint64_t seed, digest; /* of all strings and their ids */
} text_index;

struct text_tokenizer {
    base_heap *heap;
    base_arena arena;       /* strings, the tokens by id, added tokens, templates, the data of stages */
    text_entry *entries;    /* [ids]; NULL: they lie in a compiled file */
    const uint32_t *starts; /* [ids + 1] of those: id i, with a NUL, is text[starts[i]] .. text[starts[i + 1]]; nothing:
                               no such id */
    const char *text;
    size_t ids, tokens; /* largest id + 1; how many there are */
    text_trie trie;     /* the whole vocabulary, without added tokens; empty if there is an index */
    text_index index;
    text_stages stages[TEXT_SECTIONS];
    struct { /* the stages of the fused way; norm NULL: the texts of this tokenizer do not go it */
        const text_normalizer *norm;
        const text_splitter *split;
        const text_stage *model;
    } fused;
    text_stage own_norm, own_split; /* for the fused way, where the stages are not what it runs */
    const char *no_decoder;         /* why there is no decoding; NULL: there is */
    text_added_token *added;
    size_t added_count;
    uint32_t *added_at;         /* [ids] its place in `added` + 1, or 0 */
    text_added_set raw, normal; /* matched before and after normalization */
    text_template single, pair;
    text_truncation truncation;
    bool bare;             /* special tokens are not added */
    int32_t unknown;       /* the model's id for what it does not have, -1: none */
    bool marks_subwords;   /* continuing_subword_prefix is there, and not "" */
    int32_t left_out;      /* an id that is, -1: none */
    size_t median;         /* characters of a token: texts are cut to so many times max_tokens; 0: they are not */
    const struct packed_vocab *packed; /* while it is loaded: the vocabulary is there and not in the JSON */
    yyjson_val *added_json;            /* while it is loaded: added_tokens */
};

/* JSON helpers; `where` is the path of the object for messages. Absent and null give `fallback`. */
nib_status text_json_bool(yyjson_val *object, const char *where, const char *key, bool fallback, bool *out,
                          nib_error *err);
nib_status text_json_size(yyjson_val *object, const char *where, const char *key, size_t fallback, size_t most,
                          size_t *out, nib_error *err);
/* A string that must be there. */
nib_status text_json_string(yyjson_val *object, const char *where, const char *key, const char **out, size_t *length,
                            nib_error *err);
/* A string of one character. */
nib_status text_json_point(yyjson_val *object, const char *where, const char *key, uint32_t *out, nib_error *err);
nib_status text_json_id(yyjson_val *v, const char *where, size_t most, int32_t *out, nib_error *err);
bool text_json_is(yyjson_val *v, const char *text);

/* The tokens by id from the model's "vocab", an object or a list with scores (or the packed one), and added_tokens, and
 * with `indexed` an index of the first, else their trie. UNSUPPORTED if the vocabulary is packed and `indexed`. */
nib_status text_vocab_load(text_tokenizer *t, yyjson_val *vocab, bool indexed, nib_error *err);
int32_t text_vocab_find(const text_tokenizer *t, const char *s,
                        size_t n);                                   /* of the model's vocabulary; -1: it has none */
int32_t text_vocab_find_byte(const text_tokenizer *t, uint8_t byte); /* <0x0A>: the token that stands for a byte */
/* Many at once, of an indexed vocabulary: memory is asked for all of them before it is waited for. */
typedef struct text_lookup {
    const char *bytes;
    size_t length;
    uint32_t hash;
    int32_t id; /* what was found, or -1 */
} text_lookup;
void text_vocab_find_many(const text_tokenizer *t, text_lookup *looked, size_t n);
#if defined(__GNUC__)
#define TEXT_FETCH(p) __builtin_prefetch(p)
#else
#define TEXT_FETCH(p) ((void)(p))
#endif
nib_status text_added_load(text_tokenizer *t, yyjson_val *v, nib_error *err);
/* The templates [cls] A [sep], B [sep] with types 0 and 1. */
nib_status text_template_bert(text_tokenizer *t, int32_t cls, int32_t sep, nib_error *err);
nib_status text_truncation_load(text_tokenizer *t, yyjson_val *v, nib_error *err);

/* How many characters text[0..length) has, at most `most`; *bytes, which may be NULL: of these. */
size_t text_characters(const char *text, size_t length, size_t most, size_t *bytes);
/* Warns of keys that are not applied (text_keys.c). */
void text_keys_check(const nib_runtime *runtime, yyjson_val *root);

/* What s->rebuilt says of the model, in place of what was read, and of the template, which then need not be read. */
nib_status text_settings_apply(text_tokenizer *t, const text_settings *s, nib_error *err);
/* bare and no_unknown of s, and what of `model` is asked for by itself; `model` is the model's JSON. OUT_OF_MEMORY. */
nib_status text_settings_reduce(text_tokenizer *t, const text_settings *s, yyjson_val *model, nib_error *err);

/* The token of an id below t->ids. */
static inline text_entry text_entry_of(const text_tokenizer *t, int32_t id) {
    if (t->entries) return t->entries[id];
    uint32_t begin = t->starts[id], end = t->starts[id + 1];
    return begin == end ? (text_entry){NULL, 0, false} : (text_entry){t->text + begin, end - begin - 1, false};
}

/* A vocabulary that lies ready in a compiled file (text_packed.c). */
typedef struct packed_vocab {
    const void *bytes;
    size_t size;
} packed_vocab;
nib_status text_vocab_map(text_tokenizer *t, const void *bytes, size_t size, yyjson_val *added, nib_error *err);

/* Normalises text[begin..end) of w->text into w->buf, all of it, by the stages one after the other; begin < end. */
void text_normalize(const text_tokenizer *t, text_work *w, size_t begin, size_t end);
/* The same, then cut by added tokens and pre-tokenizers into w->parts. */
void text_prepare(const text_tokenizer *t, text_work *w, size_t begin, size_t end);

typedef struct text_match {
    const text_added_token *token;
    size_t begin, end; /* with the spaces it takes in */
} text_match;

/* How far a text has been searched. Matches may end beyond where the next one begins: what rstrip takes in is searched,
 * too. */
typedef struct text_scan {
    size_t at;    /* where to go on looking */
    size_t taken; /* where the last match ended */
    size_t white; /* up to here nothing but white space follows a match that took it in */
} text_scan;

/* The next match in s[0..n); its begin may lie before the last one's end: nothing stands between them then. */
bool text_added_next(const text_added_set *set, const uint8_t *s, size_t n, text_scan *scan, text_match *match);
/* The character that ends at s[at), at > 0; returns where it begins, of broken bytes where their ill-formed part does.
 */
size_t text_back(const uint8_t *s, size_t at, uint32_t *cp);

#endif
