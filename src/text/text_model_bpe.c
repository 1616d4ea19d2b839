/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte pair encoding. In: a word. Out: its characters (or bytes), of which neighbours are put together as long as the
 * table of merges has them: always the pair of the lowest rank, of equal ones the first.
 *
 * Short words look through all pairs for each merge; long ones keep them in order, so that a word of n bytes takes at
 * most n log n, and mostly n. Words that were seen before are found in a table of fixed size that each encoding has for
 * itself.
 *
 * Behind ByteLevel a vocabulary is written in an alphabet of characters for bytes. Where every byte has its token the
 * words stay bytes: a byte is its token at once, and nothing is rewritten.
 */
#include "text_internal.h"
#include <string.h>

#define SHORT 48           /* symbols up to which looking through is faster than a heap */
#define AFFIX_MAX 64       /* bytes of a prefix or suffix */
#define MEMORY 4096        /* words that are remembered */
#define MEMORY_BYTES 20    /* of a word */
#define MEMORY_TOKENS 8    /* of it */
#define NO_RANK UINT32_MAX /* the pair is not merged */
#define NONE UINT32_MAX
#define OPEN 1024 /* runs that pairs can join */

typedef struct merge {   /* of a slot of the table */
    int32_t left, right; /* left < 0: free */
    uint32_t rank;
    int32_t id;
} merge;

typedef struct bpe {
    const text_tokenizer *t;
    merge *merges; /* [mask + 1] */
    size_t mask;
    uint64_t digest;       /* of the merges and all that changes what a word becomes */
    int32_t bytes[256];    /* words are bytes: the token of each */
    int32_t fallback[256]; /* <0x00>, ..: -1: there is none */
    const char *prefix, *suffix;
    size_t prefix_length, suffix_length;
    int32_t unknown; /* -1: what is not in the vocabulary is dropped */
    bool is_bytes, fuse_unknown, byte_fallback, ignore_merges;
} bpe;

typedef struct symbol {
    int32_t id;
    uint32_t length; /* 0: it went into another one */
    uint32_t prev, next;
} symbol;

/* Pairs that wait to be merged, the lowest rank first and of equal ones the first: runs of one rank in the order of the
 * word, and a heap of runs by what comes first in each. Neighbours are looked at from left to right, so that the pairs
 * of a rank mostly join its last run, and there are few runs however long the word is. */
typedef struct waiting {
    uint32_t at, next; /* the pair that begins with symbol `at`; the one behind it in its run, or NONE */
} waiting;

typedef struct run {
    uint32_t head, tail; /* of `waiting` */
} run;

typedef struct candidate { /* of the heap: a run by its first pair */
    uint32_t rank, at, run;
} candidate;

typedef struct open_run { /* the last run of a rank, or of another one with the same place */
    uint32_t rank, run;
} open_run;

typedef struct remembered {
    uint8_t length, count; /* length 0: free */
    uint8_t bytes[MEMORY_BYTES];
    uint8_t ends[MEMORY_TOKENS]; /* where each token ends in the word */
    int32_t ids[MEMORY_TOKENS];
} remembered;

struct text_bpe_work {
    symbol *symbols;
    waiting *pairs;
    run *runs;
    candidate *heap;
    size_t count, symbol_cap, pair_count, pair_cap, run_count, run_cap, heap_count, heap_cap;
    uint32_t free_pair, free_run; /* lists of those that are used no more, or NONE */
    open_run open[OPEN];
    uint64_t digest; /* whose words are remembered; 0: nobody's */
    remembered memory[MEMORY];
};
typedef struct text_bpe_work bpe_work;

void text_bpe_work_free(text_work *w) {
    if (!w->bpe) return;
    base_free(w->heap, w->bpe->symbols);
    base_free(w->heap, w->bpe->pairs);
    base_free(w->heap, w->bpe->runs);
    base_free(w->heap, w->bpe->heap);
    base_free(w->heap, w->bpe);
    w->bpe = NULL;
}

static bpe_work *work_of(const bpe *b, text_work *w) {
    if (!w->bpe && !(w->bpe = base_calloc(w->heap, 1, sizeof *w->bpe)))
        return text_fail(w, NIB_OUT_OF_MEMORY, NULL), NULL;
    if (w->bpe->digest != b->digest) {
        memset(w->bpe->memory, 0, sizeof w->bpe->memory);
        w->bpe->digest = b->digest;
    }
    return w->bpe;
}

/* ---- merges */

static inline uint64_t pair_hash(const bpe *b, int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) ^ b->t->index.seed;
    h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

static inline const merge *find_merge(const bpe *b, int32_t left, int32_t right) {
    for (size_t i = pair_hash(b, left, right) & b->mask;; i = (i + 1) & b->mask) {
        const merge *m = &b->merges[i];
        if (m->left == left && m->right == right) return m;
        if (m->left < 0) return NULL;
    }
}

/* ---- the symbols of a word */

static bool add_symbol(text_work *w, int32_t id, size_t length) {
    bpe_work *k = w->bpe;
    if (k->count == k->symbol_cap &&
        !base_grow(w->heap, (void **)&k->symbols, &k->symbol_cap, k->count + 1, sizeof *k->symbols)) {
        text_fail(w, NIB_OUT_OF_MEMORY, NULL);
        return false;
    }
    k->symbols[k->count] = (symbol){id, (uint32_t)length, (uint32_t)k->count - 1, (uint32_t)k->count + 1};
    k->count++;
    return true;
}

/* The token of a character with what stands around it. */
static int32_t find_char(const bpe *b, const uint8_t *s, size_t length, bool first, bool last) {
    char text[2 * AFFIX_MAX + 4];
    size_t n = 0;
    if (!first && b->prefix_length) memcpy(text, b->prefix, n = b->prefix_length);
    memcpy(text + n, s, length);
    n += length;
    if (last && b->suffix_length) memcpy(text + n, b->suffix, b->suffix_length), n += b->suffix_length;
    return text_vocab_find(b->t, text, n);
}

/* A character as the tokens of its bytes, with those of what stands around it; false: one has none. */
static bool add_fallback(const bpe *b, text_work *w, const uint8_t *s, size_t length, bool first, bool last) {
    const struct {
        const uint8_t *bytes;
        size_t length;
    } parts[] = {{(const uint8_t *)b->prefix, first ? 0 : b->prefix_length},
                 {s, length},
                 {(const uint8_t *)b->suffix, last ? b->suffix_length : 0}};
    for (int pass = 0; pass < 2; pass++)
        for (size_t p = 0; p < BASE_COUNT(parts); p++)
            for (size_t i = 0; i < parts[p].length; i++) {
                const int32_t id = b->fallback[parts[p].bytes[i]];
                if (id < 0) return false;
                if (pass && !add_symbol(w, id, 1)) return true;
            }
    return true;
}

/* An unknown one is kept back until a known one comes: bytes that fall back go before it, as in the library. */
static void add_chars(const bpe *b, text_work *w, const uint8_t *s, size_t n) {
    size_t unknown = 0; /* bytes of what is kept back */
    for (size_t at = 0, end; at < n && w->status == NIB_OK; at = end) {
        uint32_t cp;
        end = at + text_utf8(s + at, n - at, &cp);
        const int32_t id = find_char(b, s + at, end - at, at == 0, end == n);
        if (id >= 0) {
            if (unknown) add_symbol(w, b->unknown, unknown);
            unknown = 0;
            add_symbol(w, id, end - at);
            continue;
        }
        if (b->byte_fallback && add_fallback(b, w, s + at, end - at, at == 0, end == n)) continue;
        if (b->unknown < 0) continue;
        if (unknown && !b->fuse_unknown) add_symbol(w, b->unknown, unknown), unknown = 0;
        unknown += end - at;
    }
    if (unknown) add_symbol(w, b->unknown, unknown);
}

/* ---- merging */

/* All pairs are looked through; of `count` symbols those that are left stay in front. */
static void merge_short(const bpe *b, bpe_work *k) {
    symbol *s = k->symbols;
    const merge *next[SHORT];
    size_t n = k->count;
    for (size_t i = 0; i + 1 < n; i++) next[i] = find_merge(b, s[i].id, s[i + 1].id);
    while (n > 1) {
        size_t best = n;
        uint32_t rank = NO_RANK;
        for (size_t i = 0; i + 1 < n; i++)
            if (next[i] && next[i]->rank < rank) rank = next[i]->rank, best = i;
        if (best == n) break;
        s[best].id = next[best]->id;
        s[best].length += s[best + 1].length;
        n--;
        for (size_t i = best + 1; i < n; i++) s[i] = s[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) next[i] = next[i + 1];
        if (best + 1 < n) next[best] = find_merge(b, s[best].id, s[best + 1].id);
        if (best > 0) next[best - 1] = find_merge(b, s[best - 1].id, s[best].id);
    }
    k->count = n;
}

static inline bool before(candidate a, candidate b) { return a.rank < b.rank || (a.rank == b.rank && a.at < b.at); }

/* Moves heap[0] down to where it belongs. */
static void sift_down(bpe_work *k) {
    const candidate top = k->heap[0];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < k->heap_count; i = child) {
        if (child + 1 < k->heap_count && before(k->heap[child + 1], k->heap[child])) child++;
        if (!before(k->heap[child], top)) break;
        k->heap[i] = k->heap[child];
    }
    k->heap[i] = top;
}

/* A place in an array that has a list of free ones; NONE: memory ran out, and w has failed. */
static uint32_t take_pair(text_work *w) {
    bpe_work *k = w->bpe;
    const uint32_t i = k->free_pair;
    if (i != NONE) return k->free_pair = k->pairs[i].next, i;
    if (k->pair_count == k->pair_cap &&
        !base_grow(w->heap, (void **)&k->pairs, &k->pair_cap, k->pair_count + 1, sizeof *k->pairs))
        return text_fail(w, NIB_OUT_OF_MEMORY, NULL), NONE;
    return (uint32_t)k->pair_count++;
}

static uint32_t take_run(text_work *w) {
    bpe_work *k = w->bpe;
    const uint32_t i = k->free_run;
    if (i != NONE) return k->free_run = k->runs[i].head, i;
    if (k->run_count == k->run_cap &&
        !base_grow(w->heap, (void **)&k->runs, &k->run_cap, k->run_count + 1, sizeof *k->runs))
        return text_fail(w, NIB_OUT_OF_MEMORY, NULL), NONE;
    return (uint32_t)k->run_count++;
}

static void push_run(text_work *w, candidate c) {
    bpe_work *k = w->bpe;
    if (k->heap_count == k->heap_cap &&
        !base_grow(w->heap, (void **)&k->heap, &k->heap_cap, k->heap_count + 1, sizeof *k->heap)) {
        text_fail(w, NIB_OUT_OF_MEMORY, NULL);
        return;
    }
    size_t i = k->heap_count++;
    for (; i > 0 && before(c, k->heap[(i - 1) / 2]); i = (i - 1) / 2) k->heap[i] = k->heap[(i - 1) / 2];
    k->heap[i] = c;
}

static void push_pair(const bpe *b, text_work *w, uint32_t left, uint32_t right) {
    bpe_work *k = w->bpe;
    const merge *m = find_merge(b, k->symbols[left].id, k->symbols[right].id);
    if (!m) return;
    const uint32_t pair = take_pair(w);
    if (pair == NONE) return;
    k->pairs[pair] = (waiting){left, NONE};
    open_run *open = &k->open[m->rank % OPEN];
    if (open->run != NONE && open->rank == m->rank && k->pairs[k->runs[open->run].tail].at < left) {
        run *r = &k->runs[open->run];
        r->tail = k->pairs[r->tail].next = pair;
        return;
    }
    const uint32_t fresh = take_run(w);
    if (fresh == NONE) return;
    k->runs[fresh] = (run){pair, pair};
    *open = (open_run){m->rank, fresh};
    push_run(w, (candidate){m->rank, left, fresh});
}

static candidate pop_pair(bpe_work *k) {
    const candidate top = k->heap[0];
    run *r = &k->runs[top.run];
    const uint32_t pair = r->head, next = k->pairs[pair].next;
    k->pairs[pair].next = k->free_pair;
    k->free_pair = pair;
    if (next != NONE) {
        r->head = next;
        k->heap[0].at = k->pairs[next].at;
    } else {
        open_run *open = &k->open[top.rank % OPEN];
        if (open->run == top.run) open->run = NONE;
        r->head = k->free_run;
        k->free_run = top.run;
        k->heap[0] = k->heap[--k->heap_count];
    }
    if (k->heap_count) sift_down(k);
    return top;
}

static void merge_long(const bpe *b, text_work *w) {
    bpe_work *k = w->bpe;
    const uint32_t n = (uint32_t)k->count;
    k->heap_count = k->pair_count = k->run_count = 0;
    k->free_pair = k->free_run = NONE;
    memset(k->open, 0xff, sizeof k->open);
    for (uint32_t i = 0; i + 1 < n && w->status == NIB_OK; i++) push_pair(b, w, i, i + 1);
    while (k->heap_count && w->status == NIB_OK) {
        const candidate c = pop_pair(k);
        symbol *s = &k->symbols[c.at];
        if (!s->length || s->next >= n) continue;
        symbol *right = &k->symbols[s->next];
        const merge *m = find_merge(b, s->id, right->id);
        if (!m || m->rank != c.rank) continue; /* one of the two has grown since */
        s->id = m->id;
        s->length += right->length;
        right->length = 0;
        s->next = right->next;
        if (s->next < n) k->symbols[s->next].prev = c.at;
        if (s->prev < n) push_pair(b, w, s->prev, c.at);
        if (s->next < n) push_pair(b, w, c.at, s->next);
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (k->symbols[i].length) k->symbols[kept++] = k->symbols[i];
    k->count = kept;
}

/* ---- words */

/* The token that the whole word is, or -1. */
static int32_t whole_word(const bpe *b, const uint8_t *s, size_t n) {
    char text[2 * TEXT_TRIE_KEY_MAX];
    size_t at = 0;
    if (!b->is_bytes) return text_vocab_find(b->t, (const char *)s, n);
    if (n > TEXT_TRIE_KEY_MAX) return -1; /* no token is so long */
    for (size_t i = 0; i < n; i++) at += (size_t)base_utf8_encode(text_byte_point(s[i]), text + at);
    return text_vocab_find(b->t, text, at);
}

static void push_symbols(text_work *w, size_t begin, size_t end) {
    const bpe_work *k = w->bpe;
    for (size_t i = 0; i < k->count;
         i++) { /* where something was dropped, or a prefix counts as bytes, they need not add up */
        const size_t from = begin < end ? begin : end - 1, to = begin + k->symbols[i].length;
        text_work_push(w, k->symbols[i].id, from, to < end ? to : end);
        begin = to;
    }
}

static inline uint64_t load_some(const uint8_t *s, size_t n) {
    uint64_t v = 0;
    memcpy(&v, s, n < 8 ? n : 8);
    return v;
}

static remembered *place_of(const bpe *b, bpe_work *k, const uint8_t *s, size_t n) {
    uint64_t h = (load_some(s, n) ^ (uint64_t)n << 56 ^ b->digest) * 0x9e3779b97f4a7c15u;
    if (n > 8) h = (h ^ h >> 31 ^ load_some(s + n - 8, 8)) * 0xbf58476d1ce4e5b9u;
    return &k->memory[(h >> 40) % MEMORY];
}

static void remember(remembered *r, const bpe_work *k, const uint8_t *s, size_t n) {
    size_t at = 0;
    if (k->count > MEMORY_TOKENS) return;
    for (size_t i = 0; i < k->count; i++) {
        at += k->symbols[i].length;
        if (at > n) return;
        r->ids[i] = k->symbols[i].id;
        r->ends[i] = (uint8_t)at;
    }
    memcpy(r->bytes, s, n);
    r->length = (uint8_t)n;
    r->count = (uint8_t)k->count;
}

static void bpe_word(const text_stage *stage, text_work *w, size_t begin, size_t end) {
    const bpe *b = stage->data;
    const uint8_t *s = w->buf.bytes + begin;
    const size_t n = end - begin;
    bpe_work *k = work_of(b, w);
    remembered *r = NULL;
    if (!k) return;
    if (n <= MEMORY_BYTES) {
        r = place_of(b, k, s, n);
        if (r->length == n && memcmp(r->bytes, s, n) == 0) {
            for (size_t i = 0, at = 0; i < r->count; at = r->ends[i++])
                text_work_push(w, r->ids[i], begin + at, begin + r->ends[i]);
            return;
        }
    }
    k->count = 0;
    const int32_t whole = b->ignore_merges ? whole_word(b, s, n) : -1;
    if (whole >= 0) add_symbol(w, whole, n);
    else if (b->is_bytes)
        for (size_t i = 0; i < n && add_symbol(w, b->bytes[s[i]], 1); i++) {
        }
    else add_chars(b, w, s, n);
    if (w->status != NIB_OK) return;
    if (k->count <= SHORT) merge_short(b, k);
    else merge_long(b, w);
    if (w->status != NIB_OK) return;
    if (r) remember(r, k, s, n);
    push_symbols(w, begin, end);
}

/* ---- reading */

/* More of what words become by this model. */
static void note(bpe *b, uint64_t v) {
    b->digest = (b->digest ^ v) * 0x9e3779b97f4a7c15u;
    b->digest ^= b->digest >> 29;
}

static void note_bytes(bpe *b, const char *s, size_t n) {
    note(b, n);
    for (size_t i = 0; i < n; i++) note(b, (uint8_t)s[i]);
}

/* "a b", or ["a", "b"]. */
static nib_status read_pair(yyjson_val *v, size_t i, text_lookup pair[2], nib_error *err) {
    if (yyjson_is_str(v)) {
        const char *text = yyjson_get_str(v), *space = memchr(text, ' ', yyjson_get_len(v));
        if (space) {
            pair[0] = (text_lookup){.bytes = text, .length = (size_t)(space - text)};
            pair[1] = (text_lookup){.bytes = space + 1, .length = yyjson_get_len(v) - pair[0].length - 1};
            if (!memchr(pair[1].bytes, ' ', pair[1].length)) return NIB_OK;
        }
    } else if (yyjson_is_arr(v) && yyjson_arr_size(v) == 2) {
        yyjson_val *a = yyjson_arr_get_first(v), *b = yyjson_arr_get(v, 1);
        pair[0] = (text_lookup){.bytes = yyjson_get_str(a), .length = yyjson_get_len(a)};
        pair[1] = (text_lookup){.bytes = yyjson_get_str(b), .length = yyjson_get_len(b)};
        if (yyjson_is_str(a) && yyjson_is_str(b)) return NIB_OK;
    }
    return base_error_set(err, NIB_BAD_TOKENIZER, "model.merges[%zu]: not two tokens", i);
}

/* The token that two become. Most files have it right behind that of the merge before. */
static int32_t find_both(const bpe *b, const text_lookup pair[2], int32_t guess) {
    char both[2 * TEXT_TRIE_KEY_MAX];
    const size_t more = pair[1].length - b->prefix_length, n = pair[0].length + more;
    memcpy(both, pair[0].bytes, pair[0].length);
    memcpy(both + pair[0].length, pair[1].bytes + b->prefix_length, more);
    if (guess >= 0 && (size_t)guess < b->t->ids) {
        const text_entry e = text_entry_of(b->t, guess);
        if (e.bytes && e.length == n && memcmp(e.bytes, both, n) == 0 && !e.extra) return guess;
    }
    return text_vocab_find(b->t, both, n);
}

static nib_status add_merge(bpe *b, const text_lookup pair[2], size_t at, uint32_t rank, int32_t *last,
                            nib_error *err) {
    for (int k = 0; k < 2; k++)
        if (pair[k].id < 0)
            return base_error_set(err, NIB_BAD_TOKENIZER, "model.merges[%zu]: \"%.*s\" is not in the vocabulary", at,
                                  (int)(pair[k].length & 255), pair[k].bytes);
    if (pair[1].length < b->prefix_length)
        return base_error_set(err, NIB_BAD_TOKENIZER, "model.merges[%zu]: the second token is shorter than the prefix",
                              at);
    const int32_t id = find_both(b, pair, *last + 1), left = pair[0].id, right = pair[1].id;
    if (id < 0)
        return base_error_set(err, NIB_BAD_TOKENIZER, "model.merges[%zu]: what comes of it is not in the vocabulary",
                              at);
    *last = id;
    size_t i = pair_hash(b, left, right) & b->mask;
    while (b->merges[i].left >= 0 && (b->merges[i].left != left || b->merges[i].right != right)) i = (i + 1) & b->mask;
    b->merges[i] = (merge){left, right, rank, id}; /* of the same pair twice the last one counts */
    note(b, (uint64_t)(uint32_t)left << 32 | (uint32_t)right);
    note(b, (uint32_t)id);
    return NIB_OK;
}

#define AT_ONCE 64

static nib_status read_merges(text_tokenizer *t, bpe *b, yyjson_val *list, nib_error *err) {
    nib_status status = NIB_OK;
    text_lookup pairs[AT_ONCE][2];
    size_t slots = 16, at = 0, n, k;
    uint32_t rank = 0;
    int32_t last = -1;
    yyjson_arr_iter iter;
    if (!yyjson_is_arr(list)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"merges\" is not an array");
    if (yyjson_arr_size(list) >= INT32_MAX) NIB_FAIL(err, NIB_LIMIT, "model: 2^31 merges or more");
    while (slots < yyjson_arr_size(list) * 2) slots *= 2;
    b->merges = base_arena_alloc(&t->arena, slots * sizeof *b->merges);
    if (!b->merges) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for merges");
    memset(b->merges, 0xff, slots * sizeof *b->merges);
    b->mask = slots - 1;
    yyjson_arr_iter_init(list, &iter);
    do {
        for (n = 0; n < AT_ONCE && yyjson_arr_iter_has_next(&iter);) {
            yyjson_val *v = yyjson_arr_iter_next(&iter);
            if (yyjson_is_str(v) && strncmp(yyjson_get_str(v), "#version", 8) == 0) continue;
            NIB_TRY(read_pair(v, at + n, pairs[n], err));
            if (pairs[n][0].length > TEXT_TRIE_KEY_MAX || pairs[n][1].length > TEXT_TRIE_KEY_MAX)
                NIB_FAIL(err, NIB_BAD_TOKENIZER, "model.merges[%zu]: a token longer than any of the vocabulary",
                         at + n);
            n++;
        }
        text_vocab_find_many(t, pairs[0], 2 * n);
        for (k = 0; k < n; k++) TEXT_FETCH(&b->merges[pair_hash(b, pairs[k][0].id, pairs[k][1].id) & b->mask]);
        for (k = 0; k < n; k++) NIB_TRY(add_merge(b, pairs[k], at + k, rank++, &last, err));
        at += n;
    } while (n == AT_ONCE);
fail:
    return status;
}

/* A prefix or suffix: absent and null are none. */
static nib_status read_affix(text_tokenizer *t, yyjson_val *v, const char *key, const char **out, size_t *length,
                             nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *affix = yyjson_obj_get(v, key);
    *out = "";
    *length = 0;
    if (!affix || yyjson_is_null(affix)) return NIB_OK;
    NIB_TRY(text_json_string(v, "model", key, out, length, err));
    if (*length > AFFIX_MAX)
        NIB_FAIL(err, NIB_LIMIT, "model: \"%s\" has %zu bytes; nib takes %d", key, *length, AFFIX_MAX);
    *out = base_arena_strndup(&t->arena, *out, *length);
    if (!*out) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the model");
fail:
    return status;
}

static nib_status read_options(text_tokenizer *t, bpe *b, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *dropout = yyjson_obj_get(v, "dropout"), *unknown = yyjson_obj_get(v, "unk_token");
    const char *name;
    size_t length;
    if (dropout && !yyjson_is_null(dropout) && !(yyjson_is_num(dropout) && yyjson_get_num(dropout) == 0))
        NIB_FAIL(err, NIB_UNSUPPORTED, "model: BPE with \"dropout\"");
    NIB_TRY(text_json_bool(v, "model", "fuse_unk", false, &b->fuse_unknown, err));
    NIB_TRY(text_json_bool(v, "model", "byte_fallback", false, &b->byte_fallback, err));
    NIB_TRY(text_json_bool(v, "model", "ignore_merges", false, &b->ignore_merges, err));
    NIB_TRY(read_affix(t, v, "continuing_subword_prefix", &b->prefix, &b->prefix_length, err));
    NIB_TRY(read_affix(t, v, "end_of_word_suffix", &b->suffix, &b->suffix_length, err));
    b->unknown = -1;
    if (unknown && !yyjson_is_null(unknown)) {
        NIB_TRY(text_json_string(v, "model", "unk_token", &name, &length, err));
        b->unknown = text_vocab_find(t, name, length);
        if (b->unknown < 0) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: unk_token \"%s\" is not in the vocabulary", name);
    }
    for (int c = 0; c < 256; c++) b->fallback[c] = text_vocab_find_byte(t, (uint8_t)c);
fail:
    return status;
}

/* Whether words may stay bytes; ByteLevel, the last that cuts them, then leaves them alone. */
static void keep_bytes(text_tokenizer *t, bpe *b) {
    const text_stages *split = &t->stages[TEXT_PRE_TOKENIZER];
    char text[4];
    if (!split->count || !text_split_is_bytes(&split->items[split->count - 1])) return;
    if (b->prefix_length || b->suffix_length || b->byte_fallback) return;
    for (int c = 0; c < 256; c++) {
        b->bytes[c] = text_vocab_find(t, text, (size_t)base_utf8_encode(text_byte_point((uint8_t)c), text));
        if (b->bytes[c] < 0) return;
    }
    b->is_bytes = true;
    text_split_keep_bytes(&split->items[split->count - 1]);
}

nib_status text_model_bpe_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    bpe *b;
    if (yyjson_is_arr(yyjson_obj_get(v, "vocab")))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an object");
    NIB_TRY(text_vocab_load(t, yyjson_obj_get(v, "vocab"), true, err));
    NIB_TRY(text_stage_data(t, s, sizeof *b, &b, err));
    b->t = t;
    NIB_TRY(read_options(t, b, v, err));
    b->digest = t->index.seed ^ t->index.digest;
    NIB_TRY(read_merges(t, b, yyjson_obj_get(v, "merges"), err));
    s->run.word = bpe_word;
    keep_bytes(t, b);
    note(b, (uint64_t)b->is_bytes | (uint64_t)b->fuse_unknown << 1 | (uint64_t)b->byte_fallback << 2 |
                (uint64_t)b->ignore_merges << 3);
    note(b, (uint32_t)b->unknown);
    note_bytes(b, b->prefix, b->prefix_length);
    note_bytes(b, b->suffix, b->suffix_length);
    b->digest |= 1; /* 0 is nobody's */
fail:
    return status;
}
